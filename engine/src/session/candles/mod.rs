//! Candles of one instrument: each period closed exactly once, in order, and corrected openly.
//!
//! ```text
//!   frames ──▶ CandleSync (an interval the venue streams) ──closed, open, revised──▶ Publisher
//!   REST   ──▶      ▲                    │
//!   trades ──▶ OwnTrades                 └──▶ Folded (an interval made of the finest one) ──▶ Publisher
//! ```
//! Binance marks the closing frame, Hyperliquid marks nothing: `sync.rs` tells what that means.

mod folded;
mod own_trades;
mod set;
mod sync;

pub use folded::Folded;
pub use own_trades::OwnTrades;
pub use set::{CandleCounts, CandleSet, CandleSource, SetWish};
pub use sync::{CandleSync, Finality, Wish};

use crate::publisher::{Publisher, Stamp};
use crate::session::Link;
use codec::candle::Candle;
use codec::record::GapBody;
use codec::time::Now;
use codec::words::{Interval, Reason, Stream, Venue};

/// What is said of a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// Its period runs.
    Open,
    /// Its period is over: once for each period.
    Closed,
    /// What was said at its close was not right.
    Revised,
}

/// What candles need to speak: where to publish, as whom, and the time.
pub struct CandleContext<'a> {
    /// Records go here.
    pub publisher: &'a mut Publisher,
    /// The venue.
    pub venue: Venue,
    /// Instrument number.
    pub instrument: u32,
    /// Connection the data came by.
    pub source: Link,
    /// Receive time and monotonic time.
    pub now: Now,
    /// The venue's clock now, ms since the epoch.
    pub venue_ms: u64,
    /// Intervals that are made of what is published here.
    pub folded: &'a mut [Folded],
}

impl CandleContext<'_> {
    /// Publishes a candle, and with it what is made of it.
    fn say(&mut self, interval: Interval, candle: &Candle, saying: Saying) {
        self.publish(interval, candle, saying);
        let Self { publisher, venue, instrument, source, now, venue_ms, folded } = self;
        for fold in folded.iter_mut() {
            let mut cx = CandleContext {
                publisher,
                venue: *venue,
                instrument: *instrument,
                source: *source,
                now: *now,
                venue_ms: *venue_ms,
                folded: &mut [],
            };
            fold.on_part(candle, saying, &mut cx);
        }
    }

    fn publish(&mut self, interval: Interval, candle: &Candle, saying: Saying) {
        let stamp = Stamp { source: self.source, ..Stamp::now(self.venue, self.instrument, self.now) };
        let (closed, revised) = (saying != Saying::Open, saying == Saying::Revised);
        self.publisher.candle(&stamp, &candle.body(interval, closed, revised));
    }

    fn gap(&mut self, reason: Reason, missed: u64) {
        let body = GapBody::new(reason, missed, 0, 0);
        self.publisher.gap(self.venue, self.instrument, Stream::Candles, &body, self.now);
    }
}
