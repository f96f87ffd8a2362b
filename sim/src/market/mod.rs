//! A venue's whole market: all symbols, one sequence of update ids, and the truth about any moment of a window.
//!
//! It promises: the same seed, symbols, rate and start give the same market, however the steps are cut; ids ascend
//! over all symbols and leave holes; nothing here reads a clock.

mod book;
mod history;
mod instrument;
mod model;
mod truth;

pub use book::{Book, Level, Side};
pub use history::{Aggressor, Change, History, Quote, Trade};
pub(crate) use instrument::hyperliquid;
pub use instrument::{Instrument, PriceGrid, Venue, list};
pub use truth::{MarketHandle, TruthBook};

use crate::random::Random;
use model::{Moment, SymbolMarket};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// How a venue's market is made.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketConfig {
    /// How many symbols: the well-known ones first, then made-up ones.
    pub symbols: usize,
    /// Events a second of each trading symbol.
    pub rate_per_s: f64,
    /// Levels a side the books hover about.
    pub book_levels: usize,
    /// How long the truth is kept.
    pub retention_ms: i64,
    /// Changes happen at multiples of this: 1 on Binance, a block on Hyperliquid.
    pub block_ms: i64,
}

impl MarketConfig {
    /// The defaults of a venue.
    pub fn of(venue: Venue) -> Self {
        match venue {
            Venue::Hyperliquid => {
                Self { symbols: 5, rate_per_s: 50.0, book_levels: 300, retention_ms: 600_000, block_ms: 75 }
            }
            Venue::Binance => {
                Self { symbols: 6, rate_per_s: 100.0, book_levels: 2500, retention_ms: 600_000, block_ms: 1 }
            }
        }
    }
}

/// What happened that a subscriber may be told at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarketEvent {
    /// The best of a book changed.
    Quote {
        /// The symbol's index.
        symbol: usize,
        /// The new quote.
        quote: Quote,
    },
    /// Somebody traded.
    Trade {
        /// The symbol's index.
        symbol: usize,
        /// The trade.
        trade: Trade,
    },
}

/// The venue-wide update ids.
#[derive(Clone, Debug)]
pub struct Ids {
    last: u64,
    random: Random,
}

/// Ids used by what is not simulated (other symbols, other order types) between two of ours, at most.
const ID_HOLE_MAX: u64 = 60;
/// Where the ids begin: of the size seen in 2026.
const ID_START: u64 = 11_757_092_000_000;

impl Ids {
    /// Takes the next id: after the last, with a hole.
    pub fn take(&mut self) -> u64 {
        self.last += 1 + self.random.below(ID_HOLE_MAX);
        self.last
    }
}

/// A venue's market.
pub struct Market {
    venue: Venue,
    symbols: Vec<SymbolMarket>,
    index: HashMap<String, usize>,
    /// When each trading symbol does something next.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    ids: Ids,
    now_ms: i64,
    rate_per_s: f64,
    block_ms: i64,
}

const US_PER_MS: i64 = 1000;

impl Market {
    /// A market of a venue's default symbols, at a moment.
    pub fn new(venue: Venue, config: &MarketConfig, seed: u64, start_ms: i64) -> Self {
        let instruments = list(venue, config.symbols, config.book_levels, seed);
        Self::with_instruments(venue, config, instruments, seed, start_ms)
    }

    /// A market of these symbols.
    pub fn with_instruments(
        venue: Venue,
        config: &MarketConfig,
        instruments: Vec<Instrument>,
        seed: u64,
        start_ms: i64,
    ) -> Self {
        let block_ms = config.block_ms.max(1);
        let start_ms = start_ms - start_ms.rem_euclid(block_ms);
        let venue_seed = seed ^ (venue as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut ids = Ids { last: ID_START, random: Random::seeded(venue_seed, 0) };
        let mut queue = BinaryHeap::new();
        let mut symbols = Vec::with_capacity(instruments.len());
        for (index, instrument) in instruments.into_iter().enumerate() {
            let start = (ids.take(), start_ms);
            let mut symbol =
                SymbolMarket::new(venue, index, instrument, venue_seed, start, config.retention_ms);
            if symbol.instrument.trading && config.rate_per_s > 0.0 {
                let first_us = start_ms * US_PER_MS + symbol.pause_us(config.rate_per_s);
                queue.push(Reverse((first_us, index)));
            }
            symbols.push(symbol);
        }
        let index = symbols
            .iter()
            .enumerate()
            .map(|(index, symbol)| (symbol.instrument.symbol.clone(), index))
            .collect();
        Self { venue, symbols, index, queue, ids, now_ms: start_ms, rate_per_s: config.rate_per_s, block_ms }
    }

    /// Lets time pass up to `now_ms`; whole blocks only. What happened is appended to `events`, in order.
    pub fn step(&mut self, now_ms: i64, events: &mut Vec<MarketEvent>) {
        let block_now_ms = now_ms - now_ms.rem_euclid(self.block_ms);
        while let Some(&Reverse((due_us, index))) = self.queue.peek() {
            // Rounded up to the end of its block.
            let due_ms = due_us.div_euclid(US_PER_MS) + 1;
            let time_ms = (due_ms + self.block_ms - 1).div_euclid(self.block_ms) * self.block_ms;
            if time_ms > block_now_ms {
                break;
            }
            self.queue.pop();
            let symbol = &mut self.symbols[index];
            symbol.event(&mut Moment { time_ms, ids: &mut self.ids, events });
            self.queue.push(Reverse((due_us + symbol.pause_us(self.rate_per_s), index)));
        }
        self.now_ms = self.now_ms.max(block_now_ms);
    }

    /// Which venue.
    pub fn venue(&self) -> Venue {
        self.venue
    }

    /// The end of the last block that happened.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The last update id of any symbol.
    pub fn last_update_id(&self) -> u64 {
        self.ids.last
    }

    /// How many symbols there are, trading or not.
    pub fn symbol_count(&self) -> usize {
        self.symbols.len()
    }

    /// The index of a symbol by its name.
    pub fn find(&self, symbol: &str) -> Option<usize> {
        self.index.get(symbol).copied()
    }

    /// What the symbol at an index is.
    pub fn instrument(&self, symbol: usize) -> &Instrument {
        &self.symbols[symbol].instrument
    }

    /// The instruments, in order.
    pub fn instruments(&self) -> impl Iterator<Item = &Instrument> {
        self.symbols.iter().map(|symbol| &symbol.instrument)
    }

    /// The book of a symbol now.
    pub fn book(&self, symbol: usize) -> &Book {
        &self.symbols[symbol].book
    }

    /// The id of a symbol's last change.
    pub fn symbol_update_id(&self, symbol: usize) -> u64 {
        self.symbols[symbol].last_update_id
    }

    /// The history of a symbol.
    pub fn history(&self, symbol: usize) -> &History {
        &self.symbols[symbol].history
    }
}
