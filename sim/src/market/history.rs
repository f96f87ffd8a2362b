//! What one symbol's market was: every change, quote and trade of a window of time.
//!
//! ```text
//! segments:  [full book | changes … 4096] [full book | changes … 4096] [full book | changes …]
//!             ^ oldest state kept                                        ^ newest
//! ```
//! Any state in between is the full book before it plus the changes up to it. Whole segments are dropped once
//! the next one begins before the window does.

use super::MarketConfig;
use super::book::{Book, Level, Side};
use crate::limits::{HISTORY_QUOTES_MAX, HISTORY_SEGMENTS_MAX, HISTORY_TRADES_MAX};
use std::collections::VecDeque;

/// One level set to an absolute size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The venue-wide id of this change.
    pub update_id: u64,
    /// When it happened.
    pub time_ms: i64,
    /// The side.
    pub side: Side,
    /// The level as it became; a size of zero removed it.
    pub level: Level,
}

/// The best of both sides after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// The change that made it.
    pub update_id: u64,
    /// When.
    pub time_ms: i64,
    /// The best bid.
    pub bid: Option<Level>,
    /// The best ask.
    pub ask: Option<Level>,
}

/// Who crossed the spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aggressor {
    /// A buyer took an ask.
    Buy,
    /// A seller took a bid.
    Sell,
}

/// One trade: what one taker order took at one price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trade {
    /// Binance: the aggregate id, contiguous per symbol. Hyperliquid: the `tid`, a hash without order.
    pub id: u64,
    /// Binance: the first trade id merged in it.
    pub first_trade_id: u64,
    /// Binance: the last trade id merged in it.
    pub last_trade_id: u64,
    /// Binance: placeholder ids (`X: "NA"`) used up between the trade before and this one.
    pub placeholders: u32,
    /// The taker order; trades of one order share it.
    pub order_id: u64,
    /// The change of the book this trade caused; the book just before it held the price as its best.
    pub update_id: u64,
    /// When.
    pub time_ms: i64,
    /// The price.
    pub price_e8: i64,
    /// The size, with fills against hidden retail orders.
    pub size_e8: i64,
    /// The size taken from the visible book (Binance `nq`).
    pub visible_size_e8: i64,
    /// Who took.
    pub aggressor: Aggressor,
}

struct Segment {
    /// How many changes came before this segment.
    first_index: u64,
    /// The id of the last change before it, or that of the beginning.
    start_id: u64,
    start_ms: i64,
    start_book: Book,
    changes: Vec<Change>,
}

/// The history of one symbol.
pub struct History {
    segments: VecDeque<Segment>,
    quotes: VecDeque<Quote>,
    trades: VecDeque<Trade>,
    retention_ms: i64,
    segment_changes: usize,
    /// True once a trade was dropped: what is older is then not known to be nothing.
    trades_dropped: bool,
}

/// Drops what is older than the window, and what is too many.
fn trim<T>(items: &mut VecDeque<T>, count_max: usize, oldest_ms: i64, time_ms: impl Fn(&T) -> i64) -> bool {
    let before = items.len();
    while items.len() > count_max || items.front().is_some_and(|item| time_ms(item) < oldest_ms) {
        items.pop_front();
    }
    items.len() != before
}

impl History {
    /// A history that begins with a book.
    pub fn new(book: &Book, update_id: u64, time_ms: i64, config: &MarketConfig) -> Self {
        let mut history = Self {
            segments: VecDeque::new(),
            quotes: VecDeque::new(),
            trades: VecDeque::new(),
            retention_ms: config.retention_ms,
            segment_changes: config.segment_changes.max(1),
            trades_dropped: false,
        };
        history.begin_segment(0, update_id, time_ms, book);
        history
    }

    fn begin_segment(&mut self, first_index: u64, start_id: u64, start_ms: i64, book: &Book) {
        self.segments.push_back(Segment {
            first_index,
            start_id,
            start_ms,
            start_book: book.clone(),
            changes: Vec::new(),
        });
    }

    /// Adds a change; `after` is the book with the change in it.
    pub fn push_change(&mut self, change: Change, after: &Book) {
        let Some(last) = self.segments.back_mut() else { return };
        last.changes.push(change);
        if last.changes.len() < self.segment_changes {
            return;
        }
        let next_index = last.first_index + last.changes.len() as u64;
        self.begin_segment(next_index, change.update_id, change.time_ms, after);
        let oldest_ms = change.time_ms - self.retention_ms;
        while self.segments.len() > HISTORY_SEGMENTS_MAX
            || self.segments.get(1).is_some_and(|second| second.start_ms < oldest_ms)
        {
            self.segments.pop_front();
        }
    }

    /// Adds a quote.
    pub fn push_quote(&mut self, quote: Quote) {
        self.quotes.push_back(quote);
        trim(&mut self.quotes, HISTORY_QUOTES_MAX, quote.time_ms - self.retention_ms, |quote| quote.time_ms);
    }

    /// Adds a trade.
    pub fn push_trade(&mut self, trade: Trade) {
        self.trades.push_back(trade);
        let oldest_ms = trade.time_ms - self.retention_ms;
        self.trades_dropped |= trim(&mut self.trades, HISTORY_TRADES_MAX, oldest_ms, |trade| trade.time_ms);
    }

    /// The number of changes since the beginning, dropped ones included.
    pub fn change_count(&self) -> u64 {
        self.segments.back().map_or(0, |last| last.first_index + last.changes.len() as u64)
    }

    /// The changes from an index (counted from the beginning) on.
    pub fn changes_from(&self, index: u64) -> impl Iterator<Item = &Change> {
        let first = self.segments.partition_point(|segment| {
            segment.first_index + segment.changes.len() as u64 <= index && !segment.changes.is_empty()
        });
        self.segments.range(first..).flat_map(move |segment| {
            let skip = index.saturating_sub(segment.first_index) as usize;
            segment.changes.get(skip..).unwrap_or_default()
        })
    }

    /// The oldest update id whose state is known.
    pub fn oldest_id(&self) -> u64 {
        self.segments.front().map_or(0, |segment| segment.start_id)
    }

    /// The oldest time whose state is known.
    pub fn oldest_ms(&self) -> i64 {
        self.segments.front().map_or(0, |segment| segment.start_ms)
    }

    /// The newest book of which `is_later` is not yet true of any change in it, with the change that made it.
    fn book_before(
        &self,
        started_later: impl Fn(&Segment) -> bool,
        is_later: impl Fn(&Change) -> bool,
    ) -> Option<(Book, u64, i64)> {
        let after = self.segments.partition_point(|segment| !started_later(segment));
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let mut book = segment.start_book.clone();
        let (mut update_id, mut time_ms) = (segment.start_id, segment.start_ms);
        for change in segment.changes.iter().take_while(|change| !is_later(change)) {
            book.set(change.side, change.level);
            (update_id, time_ms) = (change.update_id, change.time_ms);
        }
        Some((book, update_id, time_ms))
    }

    /// The book after every change up to this id; `None` if it is older than what is kept.
    pub fn book_at_id(&self, id: u64) -> Option<(Book, u64, i64)> {
        self.book_before(|segment| segment.start_id > id, |change| change.update_id > id)
    }

    /// The book after every change up to this time; `None` if it is older than what is kept.
    pub fn book_at_time(&self, at_ms: i64) -> Option<(Book, u64, i64)> {
        if at_ms < self.oldest_ms() {
            return None;
        }
        // A segment may begin in the middle of a millisecond: only one that began before it is safe to build on,
        // except the very first, which begins with the market.
        let safe = |segment: &Segment| segment.start_ms >= at_ms && segment.first_index > 0;
        self.book_before(safe, |change| change.time_ms > at_ms).map(|(book, id, time_ms)| {
            let after = self.segments.partition_point(|segment| !safe(segment));
            let mut state = (book, id, time_ms);
            // The rest of that millisecond may lie in the segments that follow.
            for change in self.segments.range(after..).flat_map(|segment| &segment.changes) {
                if change.time_ms > at_ms {
                    break;
                }
                state.0.set(change.side, change.level);
                (state.1, state.2) = (change.update_id, change.time_ms);
            }
            state
        })
    }

    /// The newest quote made by a change up to this id.
    pub fn quote_at_id(&self, id: u64) -> Option<Quote> {
        let after = self.quotes.partition_point(|quote| quote.update_id <= id);
        self.quotes.get(after.checked_sub(1)?).copied()
    }

    /// The newest quote made up to this time.
    pub fn quote_at_time(&self, at_ms: i64) -> Option<Quote> {
        let after = self.quotes.partition_point(|quote| quote.time_ms <= at_ms);
        self.quotes.get(after.checked_sub(1)?).copied()
    }

    /// The quotes kept, oldest first.
    pub fn quotes(&self) -> impl Iterator<Item = &Quote> {
        self.quotes.iter()
    }

    /// The trades kept, oldest first.
    pub fn trades(&self) -> &VecDeque<Trade> {
        &self.trades
    }

    /// Whether trades were dropped from the front.
    pub fn trades_dropped(&self) -> bool {
        self.trades_dropped
    }
}
