//! Funding and mark prices of one symbol, once a second, as the venue gives them.

use super::VENUE;
use crate::publisher::{Publisher, Stamp};
use crate::session::account::{DropReason, Outcome};
use crate::session::states::StreamState;
use codec::decimal::{Price, Rate, Size};
use codec::record::{FundingBody, GapBody, NONE_I64};
use codec::time::{Now, ns_of_ms};
use codec::venues::binance::MarkPrice;
use codec::words::{Reason, State, Stream};

/// See the module.
#[derive(Debug, Default)]
pub struct FundingSync {
    /// The stream's state.
    pub state: StreamState,
    /// Hours between settlements; 0 until `fundingInfo` has told.
    pub interval_hours: u32,
    /// The newest event's time: what is not newer came by the other connection of a rotation.
    event_ms: u64,
}

impl FundingSync {
    /// The connection is gone: the next event counts whatever its time.
    pub const fn on_link_lost(&mut self) {
        self.event_ms = 0;
    }

    /// A mark price off the wire.
    pub fn on_mark(
        &mut self,
        mark: &MarkPrice<'_>,
        publisher: &mut Publisher,
        stamp: &Stamp,
        now: Now,
    ) -> Outcome {
        self.state.touch(now);
        if mark.event_ms <= self.event_ms && self.event_ms != 0 {
            return Outcome::Dropped(DropReason::Duplicate);
        }
        self.event_ms = mark.event_ms;
        let of = (VENUE, stamp.instrument, Stream::Funding);
        if mark.mark.is_none() {
            // Every event has one: this one has more digits than are carried.
            let body = GapBody::new(Reason::Unrepresentable, 1, 0, 0);
            publisher.gap(VENUE, stamp.instrument, Stream::Funding, &body, now);
        }
        self.state.set(publisher, of, (State::Live, Reason::None), now);
        publisher.funding(stamp, &self.body(mark));
        Outcome::Published
    }

    fn body(&self, mark: &MarkPrice<'_>) -> FundingBody {
        // A contract without funding has no next settlement, and a rate of zero or none at all.
        let funded = mark.next_funding_ms != 0;
        FundingBody {
            rate: mark.rate.filter(|_| funded).unwrap_or(Rate::from_raw(NONE_I64)),
            mark_price: mark.mark.unwrap_or(Price::from_raw(NONE_I64)),
            index_price: mark.index.unwrap_or(Price::from_raw(NONE_I64)),
            open_interest: Size::from_raw(NONE_I64),
            next_funding_ns: ns_of_ms(mark.next_funding_ms),
            interval_hours: if funded { self.interval_hours } else { 0 },
            reserved: 0,
        }
    }

    /// Time passed: silent for `silent_ms`, a live stream is stale.
    pub fn on_tick(&mut self, silent_ms: u64, instrument: u32, publisher: &mut Publisher, now: Now) {
        if self.state.is_live() && self.state.age_ms(now) >= silent_ms {
            let of = (VENUE, instrument, Stream::Funding);
            self.state.set(publisher, of, (State::Stale, Reason::Silence), now);
        }
    }
}
