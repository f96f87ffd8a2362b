//! Questions about what a market really was, answered exactly or with a clear error.

use super::{
    Book, Change, Fill, Instrument, Interval, Level, Market, NewFill, Quote, SettledFunding, Side, Trade,
    TruthCandle, TruthContext, TruthFunding,
};
use crate::error::SimError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A whole book at a moment; values are integers at 1e-8.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruthBook {
    /// The last change in it.
    pub update_id: u64,
    /// When that change happened.
    pub time_ms: i64,
    /// Best (highest) first.
    pub bids: Vec<Level>,
    /// Best (lowest) first.
    pub asks: Vec<Level>,
}

impl TruthBook {
    fn new((book, update_id, time_ms): (Book, u64, i64)) -> Self {
        let side = |side| book.levels(side).copied().collect();
        Self { update_id, time_ms, bids: side(Side::Bid), asks: side(Side::Ask) }
    }
}

/// A venue's market, to be asked from any thread.
#[derive(Clone)]
pub struct MarketHandle {
    market: Arc<Mutex<Market>>,
}

impl MarketHandle {
    /// A handle on a market.
    pub fn new(market: Market) -> Self {
        Self { market: Arc::new(Mutex::new(market)) }
    }

    /// The market itself, locked: the venue stands still while the guard lives.
    pub fn lock(&self) -> MutexGuard<'_, Market> {
        // A panic elsewhere cannot leave a market half changed in a way that matters to a reader.
        self.market.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(
        &self,
        symbol: &str,
        question: impl FnOnce(&Market, usize) -> Result<T, SimError>,
    ) -> Result<T, SimError> {
        let market = self.lock();
        let index = market.find(symbol).ok_or_else(|| SimError::UnknownSymbol(symbol.to_owned()))?;
        question(&market, index)
    }

    /// The whole book after every change up to an update id.
    pub fn truth_at_update_id(&self, symbol: &str, update_id: u64) -> Result<TruthBook, SimError> {
        self.ask(symbol, |market, index| {
            reached(symbol, "update id", update_id, market.last_update_id())?;
            let history = market.history(index);
            history
                .book_at_id(update_id)
                .map(TruthBook::new)
                .ok_or_else(|| outside(symbol, "update id", update_id, history.oldest_id()))
        })
    }

    /// The whole book after every change up to a time (on Hyperliquid: as of the block of that time).
    pub fn truth_at_time(&self, symbol: &str, time_ms: i64) -> Result<TruthBook, SimError> {
        self.ask(symbol, |market, index| {
            reached(symbol, "time_ms", time_ms, market.now_ms())?;
            let history = market.history(index);
            history
                .book_at_time(time_ms)
                .map(TruthBook::new)
                .ok_or_else(|| outside(symbol, "time_ms", time_ms, history.oldest_ms()))
        })
    }

    /// The best of both sides after every change up to an update id.
    pub fn quote_at_update_id(&self, symbol: &str, update_id: u64) -> Result<Quote, SimError> {
        self.ask(symbol, |market, index| {
            reached(symbol, "update id", update_id, market.last_update_id())?;
            let history = market.history(index);
            history
                .quote_at_id(update_id)
                .ok_or_else(|| outside(symbol, "update id", update_id, oldest_quote(market, index).update_id))
        })
    }

    /// The best of both sides after every change up to a time.
    pub fn quote_at_time(&self, symbol: &str, time_ms: i64) -> Result<Quote, SimError> {
        self.ask(symbol, |market, index| {
            reached(symbol, "time_ms", time_ms, market.now_ms())?;
            let history = market.history(index);
            history
                .quote_at_time(time_ms)
                .ok_or_else(|| outside(symbol, "time_ms", time_ms, oldest_quote(market, index).time_ms))
        })
    }

    /// Every quote kept, oldest first: one for each change of the best.
    pub fn quotes(&self, symbol: &str) -> Result<Vec<Quote>, SimError> {
        self.ask(symbol, |market, index| Ok(market.history(index).quotes().copied().collect()))
    }

    /// Every trade kept, oldest first.
    pub fn trades(&self, symbol: &str) -> Result<Vec<Trade>, SimError> {
        self.ask(symbol, |market, index| Ok(market.history(index).trades().iter().copied().collect()))
    }

    /// The trades from a time on and before another.
    pub fn trades_between(&self, symbol: &str, from_ms: i64, before_ms: i64) -> Result<Vec<Trade>, SimError> {
        self.ask(symbol, |market, index| {
            let history = market.history(index);
            let oldest_ms = history.trades().front().map_or(market.now_ms(), |trade| trade.time_ms);
            if history.trades_dropped() && from_ms < oldest_ms {
                return Err(outside(symbol, "time_ms", from_ms, oldest_ms));
            }
            let wanted = |trade: &&Trade| (from_ms..before_ms).contains(&trade.time_ms);
            Ok(history.trades().iter().filter(wanted).copied().collect())
        })
    }

    /// Binance: the trades with aggregate ids from one to another, both inclusive.
    pub fn trades_by_id(&self, symbol: &str, first_id: u64, last_id: u64) -> Result<Vec<Trade>, SimError> {
        self.ask(symbol, |market, index| {
            let history = market.history(index);
            let oldest_id = history.trades().front().map_or(0, |trade| trade.id);
            if history.trades_dropped() && first_id < oldest_id {
                return Err(outside(symbol, "trade id", first_id, oldest_id));
            }
            let wanted = |trade: &&Trade| (first_id..=last_id).contains(&trade.id);
            Ok(history.trades().iter().filter(wanted).copied().collect())
        })
    }

    /// The candles of the periods that begin from one time on and before another, as far as they have begun and can
    /// be told; flat ones where nothing was traded. `closed` says which are final.
    pub fn candles(
        &self,
        symbol: &str,
        interval: Interval,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<TruthCandle>, SimError> {
        self.ask(symbol, |market, index| {
            Ok(market.candles(index).rows(interval, from_ms, before_ms.saturating_sub(1), market.now_ms()))
        })
    }

    /// Mark, index and funding at a time within the window.
    pub fn funding_at(&self, symbol: &str, time_ms: i64) -> Result<TruthFunding, SimError> {
        self.ask(symbol, |market, index| {
            reached(symbol, "time_ms", time_ms, market.now_ms())?;
            let oldest_ms = oldest_quote(market, index).time_ms;
            let old = || outside(symbol, "time_ms", time_ms, oldest_ms);
            market.funding_at(index, time_ms).filter(|_| time_ms >= oldest_ms).ok_or_else(old)
        })
    }

    /// A symbol's context now, as Hyperliquid tells it.
    pub fn context(&self, symbol: &str) -> Result<TruthContext, SimError> {
        self.ask(symbol, |market, index| Ok(market.context(index)))
    }

    /// What was settled from one time on and before another, oldest first.
    pub fn fundings(
        &self,
        symbol: &str,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<SettledFunding>, SimError> {
        self.ask(symbol, |market, index| {
            let to_ms = (before_ms - 1).min(market.now_ms());
            Ok(market.funding(index).settled(from_ms, to_ms, usize::MAX))
        })
    }

    /// Lets an account trade at the next block; the fill is told to it, and the trade to all.
    pub fn add_fill(&self, symbol: &str, fill: NewFill) -> Result<(), SimError> {
        let mut market = self.lock();
        let index = market.find(symbol).ok_or_else(|| SimError::UnknownSymbol(symbol.to_owned()))?;
        market.ask_fill(index, fill);
        Ok(())
    }

    /// The fills of an account so far, oldest first.
    pub fn fills(&self, user: &str) -> Vec<Fill> {
        self.lock().accounts().fills(user).to_vec()
    }

    /// Every change kept, oldest first.
    pub fn changes(&self, symbol: &str) -> Result<Vec<Change>, SimError> {
        self.ask(symbol, |market, index| Ok(market.history(index).changes_from(0).copied().collect()))
    }

    /// The update ids whose state is known: the oldest of a symbol, and the newest of all.
    pub fn update_id_window(&self, symbol: &str) -> Result<(u64, u64), SimError> {
        self.ask(symbol, |market, index| Ok((market.history(index).oldest_id(), market.last_update_id())))
    }

    /// The end of the last block that happened.
    pub fn now_ms(&self) -> i64 {
        self.lock().now_ms()
    }

    /// The instruments, in the venue's order.
    pub fn instruments(&self) -> Vec<Instrument> {
        self.lock().instruments().cloned().collect()
    }

    /// The names of the symbols that trade, in the venue's order.
    pub fn trading_symbols(&self) -> Vec<String> {
        let trading = |instrument: Instrument| instrument.trading.then_some(instrument.symbol);
        self.instruments().into_iter().filter_map(trading).collect()
    }
}

fn oldest_quote(market: &Market, index: usize) -> Quote {
    let none = Quote { update_id: market.last_update_id(), time_ms: market.now_ms(), bid: None, ask: None };
    market.history(index).quotes().next().copied().unwrap_or(none)
}

fn reached<T: Into<i128> + PartialOrd>(
    symbol: &str,
    what: &'static str,
    asked: T,
    newest: T,
) -> Result<(), SimError> {
    if asked <= newest {
        return Ok(());
    }
    Err(SimError::NotReached { symbol: symbol.to_owned(), what, asked: asked.into(), newest: newest.into() })
}

fn outside<T: Into<i128>>(symbol: &str, what: &'static str, asked: T, oldest: T) -> SimError {
    SimError::OutsideWindow { symbol: symbol.to_owned(), what, asked: asked.into(), oldest: oldest.into() }
}
