//! A venue's whole market: all symbols, one sequence of update ids, and the truth about any moment of a window.
//!
//! It promises: the same seed, symbols, rate and start give the same market, however the steps are cut; ids ascend
//! over all symbols and leave holes; nothing here reads a clock.

mod accounts;
mod book;
mod candle;
mod candles;
mod funding;
mod history;
mod instrument;
mod interval;
mod kinds;
mod listing;
mod model;
mod past;
mod truth;
mod universe;

pub use accounts::{Accounts, Fill, NewFill};
pub use book::{Book, Level, Side};
pub use candle::{Bar, TruthCandle};
pub use candles::{CandleSource, Candles};
pub use funding::{Funding, RATE_SCALE_E10, SettledFunding, TruthFunding};
pub use history::{Aggressor, Change, History, Quote, Trade};
pub(crate) use instrument::hyperliquid;
pub use instrument::{BINANCE_FUNDING_HOURS, Contract, Instrument, PriceGrid, Venue, list};
pub use interval::{DAY_MS, HOUR_MS, Interval, MINUTE_MS};
pub use kinds::{DEXES, other_kinds, spot_base};
pub use listing::NewListing;
pub use past::Past;
pub use truth::{MarketHandle, TruthBook};

use crate::limits::{CANDLE_MINUTES_KEPT, HISTORY_SEGMENT_CHANGES};
use crate::random::Random;
use model::{Moment, SymbolMarket};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// How a venue's market is made.
#[derive(Clone, Debug, PartialEq)]
pub struct MarketConfig {
    /// How many symbols: the well-known ones first, then made-up ones.
    pub symbols: usize,
    /// Events a second of each trading symbol, or of the first if the rates fall.
    pub rate_per_s: f64,
    /// How fast the rates fall with the rank: the symbol at rank n has the rate divided by n + 1 to this power.
    pub rate_exponent: f64,
    /// The share of events that are taker orders.
    pub trade_share: f64,
    /// Levels a side the books hover about.
    pub book_levels: usize,
    /// How long the truth is kept.
    pub retention_ms: i64,
    /// Changes happen at multiples of this: 1 on Binance, a block on Hyperliquid.
    pub block_ms: i64,
    /// How many past candles of each interval can be asked for, beside those of the simulation's own time.
    pub past_periods: usize,
    /// Minutes with trades whose own candles are kept; longer candles are kept much longer.
    pub candle_minutes: usize,
    /// Changes in one segment of a symbol's history; whole segments are dropped once they are too old.
    pub segment_changes: usize,
    /// Whether made-up symbols have names and turnovers as at the venue, instead of numbers.
    pub named: bool,
    /// Whether there are symbols of every other kind too: see [`other_kinds`].
    pub other_kinds: bool,
}

/// Past candles of each interval by default: enough for 2000 of 15 minutes or an hour, and 1200 of 4 hours.
const PAST_PERIODS: usize = 2_500;

/// The share of taker orders by default.
const TRADE_SHARE: f64 = 0.08;

impl MarketConfig {
    /// Events a second of the symbol at a rank.
    pub fn rate_of(&self, rank: usize) -> f64 {
        if self.rate_exponent == 0.0 {
            return self.rate_per_s;
        }
        self.rate_per_s / ((rank + 1) as f64).powf(self.rate_exponent)
    }

    /// The defaults of a venue.
    pub fn of(venue: Venue) -> Self {
        match venue {
            Venue::Hyperliquid => Self {
                symbols: 5,
                rate_per_s: 50.0,
                book_levels: 300,
                retention_ms: 600_000,
                block_ms: 75,
                past_periods: PAST_PERIODS,
                candle_minutes: CANDLE_MINUTES_KEPT,
                rate_exponent: 0.0,
                trade_share: TRADE_SHARE,
                segment_changes: HISTORY_SEGMENT_CHANGES,
                named: false,
                other_kinds: false,
            },
            Venue::Binance => Self {
                symbols: 6,
                rate_per_s: 100.0,
                book_levels: 2500,
                retention_ms: 600_000,
                block_ms: 1,
                past_periods: PAST_PERIODS,
                candle_minutes: CANDLE_MINUTES_KEPT,
                rate_exponent: 0.0,
                trade_share: TRADE_SHARE,
                segment_changes: HISTORY_SEGMENT_CHANGES,
                named: false,
                other_kinds: false,
            },
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
    /// An account traded; its trade comes as well, just before.
    Fill {
        /// The symbol's index.
        symbol: usize,
        /// The account's index.
        account: usize,
        /// Which of its fills.
        fill: usize,
        /// When.
        time_ms: i64,
    },
    /// A symbol was listed, halted or got another tick.
    Listing {
        /// The symbol's index.
        symbol: usize,
        /// When.
        time_ms: i64,
    },
}

impl MarketEvent {
    /// When it happened.
    pub fn time_ms(&self) -> i64 {
        match self {
            Self::Quote { quote, .. } => quote.time_ms,
            Self::Trade { trade, .. } => trade.time_ms,
            Self::Fill { time_ms, .. } | Self::Listing { time_ms, .. } => *time_ms,
        }
    }
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

/// What Hyperliquid tells of a coin every second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruthContext {
    /// Mark, oracle, premium and funding; the prices are those of the last full three seconds.
    pub funding: TruthFunding,
    /// The middle of the best prices; none while a side is empty.
    pub mid_e8: Option<i64>,
    /// The impact prices: the best bid and ask.
    pub impact_e8: Option<(i64, i64)>,
    /// The open interest in base units.
    pub open_interest_e8: i64,
    /// The price a day ago.
    pub day_ago_e8: i64,
    /// The base volume of the last day.
    pub day_base_e8: i128,
    /// The quote volume of the last day.
    pub day_quote_e16: i128,
}

/// How often mark and oracle prices are refreshed in contexts.
const CONTEXT_REFRESH_MS: i64 = 3_000;
/// About so many lots are open.
const TYPICAL_OPEN_LOTS: i64 = 3_000_000;

/// A venue's market.
pub struct Market {
    venue: Venue,
    symbols: Vec<SymbolMarket>,
    index: HashMap<String, usize>,
    /// When each trading symbol does something next.
    queue: BinaryHeap<Reverse<(i64, usize)>>,
    ids: Ids,
    now_ms: i64,
    config: MarketConfig,
    seed: u64,
    block_ms: i64,
    accounts: Accounts,
    /// Fills asked for, to happen at the next block.
    asked: Vec<(usize, NewFill)>,
    /// What has been made of the list of symbols since the last step.
    listings: Vec<MarketEvent>,
}

const US_PER_MS: i64 = 1000;

impl Market {
    /// A market of a venue's default symbols, at a moment.
    pub fn new(venue: Venue, config: &MarketConfig, seed: u64, start_ms: i64) -> Self {
        let mut instruments = list(venue, config.symbols, config.book_levels, seed);
        if config.named {
            universe::rename(venue, &mut instruments, seed);
        }
        if config.other_kinds {
            instruments.extend(other_kinds(venue, config.book_levels));
        }
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
            let mut symbol = SymbolMarket::new(venue, index, instrument, venue_seed, start, config);
            if symbol.instrument.trading && config.rate_per_s > 0.0 {
                let first_us = start_ms * US_PER_MS + symbol.pause_us(config.rate_of(index));
                queue.push(Reverse((first_us, index)));
            }
            symbols.push(symbol);
        }
        let index = symbols
            .iter()
            .enumerate()
            .map(|(index, symbol)| (symbol.instrument.symbol.clone(), index))
            .collect();
        Self {
            venue,
            symbols,
            index,
            queue,
            ids,
            now_ms: start_ms,
            config: config.clone(),
            seed: venue_seed,
            block_ms,
            accounts: Accounts::default(),
            asked: Vec::new(),
            listings: Vec::new(),
        }
    }

    /// Lets time pass up to `now_ms`; whole blocks only. What happened is appended to `events`, in order.
    pub fn step(&mut self, now_ms: i64, events: &mut Vec<MarketEvent>) {
        let block_now_ms = now_ms - now_ms.rem_euclid(self.block_ms);
        events.append(&mut self.listings);
        while let Some(&Reverse((due_us, index))) = self.queue.peek() {
            // Rounded up to the end of its block.
            let due_ms = due_us.div_euclid(US_PER_MS) + 1;
            let time_ms = (due_ms + self.block_ms - 1).div_euclid(self.block_ms) * self.block_ms;
            if time_ms > block_now_ms {
                break;
            }
            self.queue.pop();
            let symbol = &mut self.symbols[index];
            if !symbol.instrument.trading {
                continue;
            }
            symbol.event(&mut Moment { time_ms, ids: &mut self.ids, events });
            self.queue.push(Reverse((due_us + symbol.pause_us(self.config.rate_of(index)), index)));
        }
        if block_now_ms > self.now_ms || self.block_ms == 1 {
            self.fill(block_now_ms.max(self.now_ms), events);
        }
        self.now_ms = self.now_ms.max(block_now_ms);
    }

    /// Lets the fills asked for happen.
    fn fill(&mut self, time_ms: i64, events: &mut Vec<MarketEvent>) {
        for (symbol, fill) in std::mem::take(&mut self.asked) {
            let mut moment = Moment { time_ms, ids: &mut self.ids, events: &mut *events };
            let trade = self.symbols[symbol].trade_at(&fill, &mut moment);
            let name = &self.symbols[symbol].instrument.symbol;
            let (account, fill) = self.accounts.filled(name, &fill, &trade);
            events.push(MarketEvent::Fill { symbol, account, fill, time_ms });
        }
    }

    /// Asks for a fill of an account; it happens, and is traded, at the next block.
    pub fn ask_fill(&mut self, symbol: usize, fill: NewFill) {
        self.asked.push((symbol, fill));
    }

    /// The accounts and their fills.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The candles of a symbol.
    pub fn candles(&self, symbol: usize) -> &Candles {
        &self.symbols[symbol].candles
    }

    /// Mark, index and funding of a symbol at a time within the window; none while there never was a quote.
    pub fn funding_at(&self, symbol: usize, time_ms: i64) -> Option<TruthFunding> {
        let of = &self.symbols[symbol];
        let quote = of.history.quote_at_time(time_ms).or_else(|| of.history.quotes().next().copied())?;
        let mid_e8 = match (quote.bid, quote.ask) {
            (Some(bid), Some(ask)) => (bid.price_e8 + ask.price_e8) / 2,
            (one, other) => one.or(other).map_or(of.instrument.start_price_e8, |level| level.price_e8),
        };
        Some(of.funding.at(time_ms, mid_e8))
    }

    /// A symbol's context now, as Hyperliquid tells it.
    pub fn context(&self, symbol: usize) -> TruthContext {
        let of = &self.symbols[symbol];
        let (day_base_e8, day_quote_e16) = of.candles.day_volumes(self.now_ms);
        let day_ago_ms = Interval::Minute15.open_of(self.now_ms - DAY_MS);
        let (bid, ask) = (of.book.best(Side::Bid), of.book.best(Side::Ask));
        let refreshed_ms = self.now_ms - self.now_ms.rem_euclid(CONTEXT_REFRESH_MS);
        let estimate = self.funding_at(symbol, self.now_ms);
        let prices = self.funding_at(symbol, refreshed_ms).or(estimate);
        let funding = match (estimate, prices) {
            (Some(estimate), Some(prices)) => {
                TruthFunding { rate_e10: estimate.rate_e10, time_ms: estimate.time_ms, ..prices }
            }
            _ => of.funding.at(self.now_ms, of.instrument.start_price_e8),
        };
        let typical_e8 = of.instrument.lot_e8().saturating_mul(TYPICAL_OPEN_LOTS);
        TruthContext {
            funding,
            mid_e8: of.book.mid_e8(),
            impact_e8: bid.zip(ask).map(|(bid, ask)| (bid.price_e8, ask.price_e8)),
            open_interest_e8: of.funding.open_interest_e8(self.now_ms, typical_e8),
            day_ago_e8: of.candles.price_before(day_ago_ms).unwrap_or(of.instrument.start_price_e8),
            day_base_e8,
            day_quote_e16,
        }
    }

    /// The dice of a symbol's funding.
    pub fn funding(&self, symbol: usize) -> &Funding {
        &self.symbols[symbol].funding
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

impl CandleSource for Market {
    fn symbol_count(&self) -> usize {
        self.symbols.len()
    }

    fn instrument(&self, symbol: usize) -> &Instrument {
        &self.symbols[symbol].instrument
    }

    fn candle(&self, symbol: usize, interval: Interval, open_ms: i64, now_ms: i64) -> Option<TruthCandle> {
        self.symbols[symbol].candles.candle(interval, open_ms, now_ms)
    }
}
