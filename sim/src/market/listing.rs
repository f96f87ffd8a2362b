//! What changes about symbols while a market runs: listed, halted, another tick, no trades for a while.

use super::instrument::{Instrument, PriceGrid, Venue, binance, hyperliquid};
use super::model::{Moment, SymbolMarket};
use super::{Market, MarketEvent, US_PER_MS};
use crate::error::SimError;
use std::cmp::Reverse;

/// A perpetual to be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewListing {
    /// The venue's name for it.
    pub symbol: String,
    /// The first price.
    pub price_e8: i64,
    /// Binance: the tick; Hyperliquid's follows from the price.
    pub tick_e8: i64,
    /// Decimals of a size.
    pub size_decimals: u32,
}

/// Decimals needed to write multiples of a tick.
fn decimals_of(tick_e8: i64) -> u32 {
    let zeros = (0..8u32).take_while(|places| tick_e8 % 10i64.pow(places + 1) == 0).count() as u32;
    8 - zeros
}

impl Market {
    /// Lists a symbol, which has no past; returns its index.
    pub fn list(&mut self, new: &NewListing) -> Result<usize, SimError> {
        if self.find(&new.symbol).is_some() {
            return Err(SimError::Fault(format!("{} is listed already", new.symbol)));
        }
        if new.price_e8 <= 0 || new.tick_e8 <= 0 || new.size_decimals > 8 {
            return Err(SimError::Fault("a price, a tick and size decimals up to 8 are needed".to_owned()));
        }
        let made = match self.venue {
            Venue::Hyperliquid => hyperliquid(&new.symbol, new.price_e8, new.size_decimals),
            Venue::Binance => {
                let decimals = decimals_of(new.tick_e8);
                binance(&new.symbol, new.price_e8, new.tick_e8, decimals, new.size_decimals)
            }
        };
        let instrument = Instrument { book_levels: self.config.book_levels, ..made };
        let (index, now_ms) = (self.symbols.len(), self.now_ms);
        let start = (self.ids.take(), now_ms);
        let mut symbol =
            SymbolMarket::newly_listed(self.venue, index, instrument, self.seed, start, &self.config);
        if self.config.rate_per_s > 0.0 {
            let first_us = now_ms * US_PER_MS + symbol.pause_us(self.config.rate_of(index));
            self.queue.push(Reverse((first_us, index)));
        }
        self.symbols.push(symbol);
        self.index.insert(new.symbol.clone(), index);
        self.listings.push(MarketEvent::Listing { symbol: index, time_ms: now_ms });
        Ok(index)
    }

    /// Ends a symbol's trading for good: its book empties.
    pub fn halt(&mut self, symbol: usize) {
        let mut moment = Moment { time_ms: self.now_ms, ids: &mut self.ids, events: &mut self.listings };
        self.symbols[symbol].instrument.trading = false;
        self.symbols[symbol].clear(true, &mut moment);
        self.listings.push(MarketEvent::Listing { symbol, time_ms: self.now_ms });
    }

    /// Gives a symbol another tick; orders between its prices are taken out, and others put in.
    pub fn change_tick(&mut self, symbol: usize, tick_e8: i64) -> Result<(), SimError> {
        let of = &mut self.symbols[symbol];
        if tick_e8 <= 0 || !matches!(of.instrument.grid, PriceGrid::Tick { .. }) {
            return Err(SimError::Fault("only a Binance symbol has a tick of its own, above 0".to_owned()));
        }
        of.instrument.grid = PriceGrid::Tick { tick_e8 };
        of.instrument.price_decimals = of.instrument.price_decimals.max(decimals_of(tick_e8));
        let mut moment = Moment { time_ms: self.now_ms, ids: &mut self.ids, events: &mut self.listings };
        of.clear(false, &mut moment);
        of.refill(&mut moment);
        self.listings.push(MarketEvent::Listing { symbol, time_ms: self.now_ms });
        Ok(())
    }

    /// Lets nobody trade a symbol before a time; its book lives on.
    pub fn stop_trades(&mut self, symbol: usize, until_ms: i64) {
        self.symbols[symbol].stop_trades(until_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_need_their_decimals() {
        assert_eq!([1, 10, 1_000_000, 100_000_000, 500_000_000].map(decimals_of), [8, 7, 2, 0, 0]);
    }
}
