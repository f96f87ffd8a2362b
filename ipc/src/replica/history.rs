//! What is kept of the past, per symbol: trades, quotes, once-a-second books.

use crate::limits::HISTORY_DEPTH;
use crate::window::Window;
use codec::decimal::{Price, Size};
use codec::protocol::message::{BookMeta, Times};
use codec::record::{Level, QuoteBody, TradeBody};
use std::collections::VecDeque;

/// A row that is kept.
pub trait Row: Copy {
    /// Order among rows; later ones are greater.
    fn key(&self) -> (u64, u64);
}

/// A trade that is kept.
#[derive(Clone, Copy, Debug)]
pub struct TradeRow {
    /// The trade.
    pub body: TradeBody,
    /// Its times.
    pub times: Times,
    /// Filled in later.
    pub backfill: bool,
}

impl Row for TradeRow {
    fn key(&self) -> (u64, u64) {
        (self.times.event_ns, self.body.trade_id)
    }
}

/// A quote that is kept.
#[derive(Clone, Copy, Debug)]
pub struct QuoteRow {
    /// The quote.
    pub body: QuoteBody,
    /// Its times.
    pub times: Times,
}

impl Row for QuoteRow {
    fn key(&self) -> (u64, u64) {
        // As received: the venue's times of quotes may run back across connections.
        (self.times.recv_ns, 0)
    }
}

const NO_LEVEL: Level = Level { price: Price::ZERO, size: Size::ZERO };

/// A book that is kept: its top levels.
#[derive(Clone, Copy, Debug)]
pub struct BookRow {
    /// What it says beside its levels.
    pub meta: BookMeta,
    bid_count: u8,
    ask_count: u8,
    bids: [Level; HISTORY_DEPTH],
    asks: [Level; HISTORY_DEPTH],
}

impl BookRow {
    /// Of a window of at most [`HISTORY_DEPTH`] levels a side.
    #[must_use]
    pub fn of(window: &Window) -> Self {
        let mut row = Self {
            meta: window.meta,
            bid_count: window.bids.len() as u8,
            ask_count: window.asks.len() as u8,
            bids: [NO_LEVEL; HISTORY_DEPTH],
            asks: [NO_LEVEL; HISTORY_DEPTH],
        };
        row.bids[..window.bids.len()].copy_from_slice(&window.bids);
        row.asks[..window.asks.len()].copy_from_slice(&window.asks);
        row
    }

    /// Its top `depth` bids.
    #[must_use]
    pub fn bids(&self, depth: usize) -> &[Level] {
        &self.bids[..depth.min(self.bid_count as usize)]
    }

    /// Its top `depth` asks.
    #[must_use]
    pub fn asks(&self, depth: usize) -> &[Level] {
        &self.asks[..depth.min(self.ask_count as usize)]
    }
}

impl Row for BookRow {
    fn key(&self) -> (u64, u64) {
        (self.meta.sequence, 0)
    }
}

/// The newest rows of one kind, oldest first. Memory is taken with the first row and then never again.
#[derive(Clone, Debug)]
pub struct History<R> {
    rows: VecDeque<R>,
    rows_max: usize,
}

impl<R: Row> History<R> {
    /// Keeps at most `rows_max`.
    #[must_use]
    pub const fn new(rows_max: usize) -> Self {
        Self { rows: VecDeque::new(), rows_max }
    }

    /// Adds a row at its place: nearly always the end; a trade filled in later goes before those after it.
    pub fn push(&mut self, row: R) {
        if self.rows_max == 0 {
            return;
        }
        if self.rows.capacity() == 0 {
            self.rows.reserve_exact(self.rows_max);
        }
        let mut at = self.rows.len();
        while at > 0 && self.rows[at - 1].key() > row.key() {
            at -= 1;
        }
        if self.rows.len() == self.rows_max {
            if at == 0 {
                return;
            }
            self.rows.pop_front();
            at -= 1;
        }
        if at == self.rows.len() { self.rows.push_back(row) } else { self.rows.insert(at, row) }
    }

    /// The newest `count` rows, oldest first.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<R> {
        self.rows.iter().skip(self.rows.len().saturating_sub(count)).copied().collect()
    }

    /// Rows kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether none is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::words::Side;

    fn trade(event_ns: u64, id: u64) -> TradeRow {
        TradeRow {
            body: TradeBody::new(Price::ZERO, Size::ZERO, Side::Buy, id),
            times: Times { event_ns, recv_ns: 0 },
            backfill: false,
        }
    }

    #[test]
    fn late_rows_find_their_place_and_the_oldest_leave() {
        let mut history = History::new(4);
        for (time, id) in [(10, 1), (20, 2), (40, 5), (20, 3), (30, 4)] {
            history.push(trade(time, id));
        }
        let ids = |rows: Vec<TradeRow>| rows.iter().map(|row| row.body.trade_id).collect::<Vec<_>>();
        assert_eq!(ids(history.newest(9)), [2, 3, 4, 5]);
        history.push(trade(1, 0));
        assert_eq!(ids(history.newest(9)), [2, 3, 4, 5], "older than everything kept");
        assert_eq!(ids(history.newest(2)), [4, 5]);
    }
}
