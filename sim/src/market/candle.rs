//! A candle as exact integers, and how candles are put together: from trades, and from shorter candles.

use super::history::{Aggressor, Trade};
use super::instrument::Venue;

/// A candle; prices and sizes at 1e-8, quote volumes at 1e-16. Nothing is rounded anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruthCandle {
    /// The first millisecond of the period.
    pub open_ms: i64,
    /// The last millisecond of the period, inclusive.
    pub close_ms: i64,
    /// The price of the first trade; without trades the close before.
    pub open_e8: i64,
    /// The highest price.
    pub high_e8: i64,
    /// The lowest price.
    pub low_e8: i64,
    /// The price of the last trade.
    pub close_e8: i64,
    /// The base volume.
    pub volume_e8: i128,
    /// The quote volume.
    pub quote_e16: i128,
    /// The base volume that buyers took.
    pub buy_volume_e8: i128,
    /// The quote volume that buyers took.
    pub buy_quote_e16: i128,
    /// How many trades; 0 for a flat candle of an empty period.
    pub trades: u64,
    /// Binance: the first trade id; -1 without trades.
    pub first_trade_id: i64,
    /// Binance: the last trade id; -1 without trades.
    pub last_trade_id: i64,
    /// Whether the period is over, so that nothing of it changes any more.
    pub closed: bool,
}

/// What was traded in some period; there is none without a trade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bar {
    /// The first price.
    pub open_e8: i64,
    /// The highest price.
    pub high_e8: i64,
    /// The lowest price.
    pub low_e8: i64,
    /// The last price.
    pub close_e8: i64,
    /// The base volume.
    pub volume_e8: i128,
    /// The quote volume.
    pub quote_e16: i128,
    /// The base volume that buyers took.
    pub buy_volume_e8: i128,
    /// The quote volume that buyers took.
    pub buy_quote_e16: i128,
    /// How many trades.
    pub trades: u64,
    /// The first trade id.
    pub first_trade_id: u64,
    /// The last trade id.
    pub last_trade_id: u64,
}

impl Bar {
    /// The bar of one trade. Binance counts the fills merged in it, Hyperliquid the trade itself.
    pub fn of(trade: &Trade, venue: Venue) -> Self {
        let quote_e16 = i128::from(trade.price_e8) * i128::from(trade.size_e8);
        let bought = trade.aggressor == Aggressor::Buy;
        Self {
            open_e8: trade.price_e8,
            high_e8: trade.price_e8,
            low_e8: trade.price_e8,
            close_e8: trade.price_e8,
            volume_e8: trade.size_e8.into(),
            quote_e16,
            buy_volume_e8: if bought { trade.size_e8.into() } else { 0 },
            buy_quote_e16: if bought { quote_e16 } else { 0 },
            trades: match venue {
                Venue::Binance => trade.last_trade_id - trade.first_trade_id + 1,
                Venue::Hyperliquid => 1,
            },
            first_trade_id: trade.first_trade_id,
            last_trade_id: trade.last_trade_id,
        }
    }

    /// This bar and the one after it as one.
    pub fn then(self, next: &Self) -> Self {
        Self {
            open_e8: self.open_e8,
            high_e8: self.high_e8.max(next.high_e8),
            low_e8: self.low_e8.min(next.low_e8),
            close_e8: next.close_e8,
            volume_e8: self.volume_e8 + next.volume_e8,
            quote_e16: self.quote_e16 + next.quote_e16,
            buy_volume_e8: self.buy_volume_e8 + next.buy_volume_e8,
            buy_quote_e16: self.buy_quote_e16 + next.buy_quote_e16,
            trades: self.trades + next.trades,
            first_trade_id: self.first_trade_id,
            last_trade_id: next.last_trade_id,
        }
    }

    /// Several bars in their order as one; `None` of none.
    pub fn fold(bars: impl IntoIterator<Item = Self>) -> Option<Self> {
        bars.into_iter().reduce(|all, next| all.then(&next))
    }

    /// The candle of a period in which this was traded.
    pub fn candle(&self, open_ms: i64, next_open_ms: i64, closed: bool) -> TruthCandle {
        TruthCandle {
            open_ms,
            close_ms: next_open_ms - 1,
            open_e8: self.open_e8,
            high_e8: self.high_e8,
            low_e8: self.low_e8,
            close_e8: self.close_e8,
            volume_e8: self.volume_e8,
            quote_e16: self.quote_e16,
            buy_volume_e8: self.buy_volume_e8,
            buy_quote_e16: self.buy_quote_e16,
            trades: self.trades,
            first_trade_id: i64::try_from(self.first_trade_id).unwrap_or(i64::MAX),
            last_trade_id: i64::try_from(self.last_trade_id).unwrap_or(i64::MAX),
            closed,
        }
    }
}

impl TruthCandle {
    /// The candle of a period without trades, at the close before it.
    pub fn flat(open_ms: i64, next_open_ms: i64, price_e8: i64, closed: bool) -> Self {
        Self {
            open_ms,
            close_ms: next_open_ms - 1,
            open_e8: price_e8,
            high_e8: price_e8,
            low_e8: price_e8,
            close_e8: price_e8,
            volume_e8: 0,
            quote_e16: 0,
            buy_volume_e8: 0,
            buy_quote_e16: 0,
            trades: 0,
            first_trade_id: -1,
            last_trade_id: -1,
            closed,
        }
    }
}
