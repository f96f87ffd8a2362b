//! What one symbol's market really was, followed forward: cheap where a record asks for a later moment than the
//! last one did.

use sim::{Aggressor, MarketHandle, Side};
use std::collections::BTreeMap;

/// Price and size at 1e-8, best first.
pub type Levels = Vec<(i64, i64)>;

/// A trade as it happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrueTrade {
    /// Its place among all trades of the symbol.
    pub place: usize,
    pub time_ms: i64,
    pub price: i64,
    pub size: i64,
    pub bought: bool,
}

/// A book that goes forward in time.
#[derive(Default)]
struct Moving {
    bids: Levels,
    asks: Levels,
    at_id: u64,
    at_ms: i64,
    next_change: u64,
}

/// See the module.
pub struct Truth {
    market: MarketHandle,
    symbol: String,
    index: usize,
    moving: Moving,
    /// Every size each price ever had, by time: Hyperliquid's levels are of different moments.
    sizes: BTreeMap<(bool, i64), Vec<(i64, i64)>>,
    next_logged: u64,
    pub trades: BTreeMap<u64, TrueTrade>,
    last_trade: Option<u64>,
}

fn set(levels: &mut Levels, is_bid: bool, price: i64, size: i64) {
    let sign = if is_bid { -1 } else { 1 };
    let at = levels.partition_point(|(held, _)| sign * held < sign * price);
    let there = levels.get(at).is_some_and(|(held, _)| *held == price);
    match (there, size == 0) {
        (true, true) => drop(levels.remove(at)),
        (true, false) => levels[at].1 = size,
        (false, true) => {}
        (false, false) => levels.insert(at, (price, size)),
    }
}

impl Truth {
    pub fn new(market: &MarketHandle, symbol: &str) -> Option<Self> {
        let (index, now_ms, next) = {
            let locked = market.lock();
            let index = locked.find(symbol)?;
            (index, locked.now_ms(), locked.history(index).change_count())
        };
        let book = market.truth_at_time(symbol, now_ms).ok()?;
        let levels = |levels: &[sim::Level]| levels.iter().map(|of| (of.price_e8, of.size_e8)).collect();
        let moving = Moving {
            bids: levels(&book.bids),
            asks: levels(&book.asks),
            at_id: book.update_id,
            at_ms: book.time_ms,
            next_change: next,
        };
        let mut sizes: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (is_bid, side) in [(true, &moving.bids), (false, &moving.asks)] {
            for &(price, size) in side {
                sizes.insert((is_bid, price), vec![(i64::MIN, size)]);
            }
        }
        Some(Self {
            market: market.clone(),
            symbol: symbol.to_owned(),
            index,
            moving,
            sizes,
            next_logged: next,
            trades: BTreeMap::new(),
            last_trade: None,
        })
    }

    /// Takes note of all that has happened, before the market forgets it.
    pub fn follow(&mut self, with_sizes: bool) {
        let market = self.market.lock();
        let history = market.history(self.index);
        if with_sizes {
            for change in history.changes_from(self.next_logged) {
                let key = (change.side == Side::Bid, change.level.price_e8);
                let of = self.sizes.entry(key).or_default();
                match of.last_mut() {
                    // Of one block only the end is ever shown.
                    Some(last) if last.0 == change.time_ms => last.1 = change.level.size_e8,
                    _ => of.push((change.time_ms, change.level.size_e8)),
                }
            }
            self.next_logged = history.change_count();
        }
        let trades = history.trades();
        let new = trades.iter().rev().take_while(|trade| Some(trade.id) != self.last_trade).count();
        for trade in trades.iter().skip(trades.len() - new) {
            let place = self.trades.len();
            let of = TrueTrade {
                place,
                time_ms: trade.time_ms,
                price: trade.price_e8,
                size: trade.size_e8,
                bought: trade.aggressor == Aggressor::Buy,
            };
            self.trades.insert(trade.id, of);
            self.last_trade = Some(trade.id);
        }
    }

    /// The size that rested at a price at a time.
    pub fn size_at(&self, is_bid: bool, price: i64, time_ms: i64) -> i64 {
        let Some(sizes) = self.sizes.get(&(is_bid, price)) else { return 0 };
        let after = sizes.partition_point(|(at_ms, _)| *at_ms <= time_ms);
        after.checked_sub(1).map_or(0, |at| sizes[at].1)
    }

    fn forward(&mut self, reached: impl Fn(&sim::Change) -> bool) {
        let market = self.market.lock();
        for change in market.history(self.index).changes_from(self.moving.next_change) {
            if !reached(change) {
                break;
            }
            let (is_bid, level) = (change.side == Side::Bid, change.level);
            let side = if is_bid { &mut self.moving.bids } else { &mut self.moving.asks };
            set(side, is_bid, level.price_e8, level.size_e8);
            (self.moving.at_id, self.moving.at_ms) = (change.update_id, change.time_ms);
            self.moving.next_change += 1;
        }
    }

    /// The whole book after every change up to an id.
    pub fn at_id(&mut self, id: u64) -> Option<(Levels, Levels)> {
        if id < self.moving.at_id {
            return self.market.truth_at_update_id(&self.symbol, id).ok().map(|book| of_book(&book));
        }
        self.forward(|change| change.update_id <= id);
        Some((self.moving.bids.clone(), self.moving.asks.clone()))
    }

    /// The whole book as of the block of a time.
    pub fn at_time(&mut self, time_ms: i64) -> Option<(Levels, Levels)> {
        if time_ms < self.moving.at_ms {
            return self.market.truth_at_time(&self.symbol, time_ms).ok().map(|book| of_book(&book));
        }
        self.forward(|change| change.time_ms <= time_ms);
        Some((self.moving.bids.clone(), self.moving.asks.clone()))
    }

    pub fn quote_at_id(&self, id: u64) -> Option<sim::Quote> {
        self.market.quote_at_update_id(&self.symbol, id).ok()
    }

    pub fn quote_at_time(&self, time_ms: i64) -> Option<sim::Quote> {
        self.market.quote_at_time(&self.symbol, time_ms).ok()
    }

    pub fn funding_at(&self, time_ms: i64) -> Option<sim::TruthFunding> {
        self.market.funding_at(&self.symbol, time_ms).ok()
    }

    /// When the best changed first after this id: what else changes nobody but the book itself tells.
    pub fn first_quote_after(&self, id: u64) -> Option<i64> {
        let market = self.market.lock();
        let found = market.history(self.index).quotes().find(|quote| quote.update_id > id);
        found.map(|quote| quote.time_ms)
    }
}

fn of_book(book: &sim::TruthBook) -> (Levels, Levels) {
    let levels = |levels: &[sim::Level]| levels.iter().map(|of| (of.price_e8, of.size_e8)).collect();
    (levels(&book.bids), levels(&book.asks))
}
