//! The account's own fills: each once, although every subscription begins with the past ones.

use super::VENUE;
use crate::limits::FILL_WINDOW;
use crate::publisher::{Publisher, Stamp};
use crate::session::Link;
use crate::session::account::{DropReason, Outcome};
use crate::session::states::StreamState;
use codec::decimal::Price;
use codec::record::{FillBody, GapBody, MISSED_UNKNOWN, NO_INSTRUMENT, NONE_I64, flags};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::UserFill;
use codec::words::{Reason, Stream};
use std::collections::VecDeque;

/// See the module.
#[derive(Debug, Default)]
pub struct FillSync {
    /// The stream's state, of the whole venue.
    pub state: StreamState,
    /// (time, trade id, order id) of the newest: one trade of two own orders is two fills.
    seen: VecDeque<(u64, u64, u64)>,
    begun: bool,
    /// The connection was lost since the last fill.
    reconnected: bool,
}

impl FillSync {
    /// The connection is gone.
    pub const fn on_link_lost(&mut self) {
        self.reconnected = self.begun;
    }

    /// A frame begins. A past that does not reach back to what was seen leaves a hole, which is told.
    pub fn on_frame(
        &mut self,
        fills: &[UserFill<'_>],
        is_snapshot: bool,
        publisher: &mut Publisher,
        now: Now,
    ) {
        self.state.touch(now);
        if !is_snapshot {
            return;
        }
        let overlaps = fills.iter().any(|fill| self.seen.contains(&key(fill)));
        if self.reconnected && !self.seen.is_empty() && !overlaps {
            let body = GapBody::new(Reason::Disconnect, MISSED_UNKNOWN, 0, 0);
            publisher.gap(VENUE, NO_INSTRUMENT, Stream::Fills, &body, now);
        }
    }

    /// Whether this one has not been seen yet.
    pub fn is_new(&self, fill: &UserFill<'_>) -> bool {
        !self.seen.contains(&key(fill))
    }

    /// One fill of an instrument, once.
    pub fn on_fill(
        &mut self,
        fill: &UserFill<'_>,
        is_snapshot: bool,
        publisher: &mut Publisher,
        (instrument, source): (u32, Link),
        now: Now,
    ) -> Outcome {
        if !self.is_new(fill) {
            return Outcome::Dropped(DropReason::Duplicate);
        }
        if self.seen.len() == FILL_WINDOW {
            self.seen.pop_front();
        }
        self.seen.push_back(key(fill));
        let Some((price, size)) = fill.value else {
            let body = GapBody::new(Reason::Unrepresentable, 1, 0, 0);
            publisher.gap(VENUE, NO_INSTRUMENT, Stream::Fills, &body, now);
            return Outcome::Dropped(DropReason::Unrepresentable);
        };
        // What a later snapshot brings was missed, and is new.
        let is_past = is_snapshot && !self.begun;
        let stamp = Stamp {
            source,
            flags: if is_snapshot { flags::BACKFILL } else { 0 },
            ts_event_ns: ns_of_ms(fill.time_ms),
            ..Stamp::now(VENUE, instrument, now)
        };
        let body = FillBody {
            price,
            size,
            order_id: fill.oid,
            trade_id: fill.tid,
            fee: fill.fee.unwrap_or(Price::from_raw(NONE_I64)),
            side: fill.side.number(),
            is_snapshot: is_past.into(),
            reserved: [0; 6],
        };
        publisher.fill(&stamp, &body);
        Outcome::Published
    }

    /// A frame is done.
    pub const fn on_frame_done(&mut self, is_snapshot: bool) {
        if is_snapshot {
            self.begun = true;
            self.reconnected = false;
        }
    }
}

/// A frame's fills, oldest first: snapshots come newest first (venue), live ones in their order.
pub fn in_order<'a, 'f>(
    fills: &'a [UserFill<'f>],
    is_snapshot: bool,
) -> impl Iterator<Item = &'a UserFill<'f>> {
    let times = fills.first().zip(fills.last());
    let turned = is_snapshot && times.is_some_and(|(first, last)| first.time_ms > last.time_ms);
    let last = fills.len().wrapping_sub(1);
    (0..fills.len()).map(move |place| &fills[if turned { last - place } else { place }])
}

fn key(fill: &UserFill<'_>) -> (u64, u64, u64) {
    (fill.time_ms, fill.tid, fill.oid)
}
