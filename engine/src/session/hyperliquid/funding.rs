//! Funding and mark of one coin: the venue gives no time, and settles every full hour.

use super::VENUE;
use crate::publisher::{Publisher, Stamp};
use crate::session::Link;
use crate::session::account::Outcome;
use crate::session::states::StreamState;
use codec::decimal::{Price, Rate, Size};
use codec::record::{FundingBody, NONE_I64};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::AssetCtx;
use codec::words::{Reason, State, Stream};

const HOUR_MS: u64 = 3_600_000;

/// See the module.
#[derive(Debug, Default)]
pub struct FundingSync {
    /// The stream's state.
    pub state: StreamState,
    /// Acknowledged at this monotonic time, ns; 0: not.
    pub acked_mono_ns: u64,
    /// Asked for again since it fell silent, at this monotonic time, ns; 0: not.
    pub retried_mono_ns: u64,
}

impl FundingSync {
    /// A frame, or this coin's part of one.
    pub fn on_ctx(
        &mut self,
        ctx: &AssetCtx<'_>,
        publisher: &mut Publisher,
        (instrument, source): (u32, Link),
        venue_ms: u64,
        now: Now,
    ) -> Outcome {
        self.state.touch(now);
        self.state.set(publisher, (VENUE, instrument, Stream::Funding), (State::Live, Reason::None), now);
        let stamp = Stamp { source, ..Stamp::now(VENUE, instrument, now) };
        publisher.funding(&stamp, &body(ctx, venue_ms));
        Outcome::Published
    }
}

/// Spot pairs have a mark price and no funding.
fn body(ctx: &AssetCtx<'_>, venue_ms: u64) -> FundingBody {
    let has_funding = !ctx.spot;
    FundingBody {
        rate: ctx.rate.unwrap_or(Rate::from_raw(NONE_I64)),
        mark_price: ctx.mark.unwrap_or(Price::from_raw(NONE_I64)),
        index_price: ctx.oracle.unwrap_or(Price::from_raw(NONE_I64)),
        open_interest: ctx.open_interest.unwrap_or(Size::from_raw(NONE_I64)),
        next_funding_ns: if has_funding { ns_of_ms((venue_ms / HOUR_MS + 1) * HOUR_MS) } else { 0 },
        interval_hours: u32::from(has_funding),
        reserved: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spot_pair_lacks_is_none() {
        let mark = Some(Price::from_raw(5));
        let ctx = AssetCtx { coin: "@1", spot: true, rate: None, open_interest: None, oracle: None, mark };
        let spot = body(&ctx, HOUR_MS);
        assert_eq!((spot.rate.raw(), spot.next_funding_ns, spot.interval_hours), (NONE_I64, 0, 0));
        let rate = Some(Rate::from_raw(7));
        let perp = body(&AssetCtx { spot: false, rate, ..ctx }, HOUR_MS - 1);
        assert_eq!((perp.rate.raw(), perp.next_funding_ns, perp.interval_hours), (7, HOUR_MS * 1_000_000, 1));
        let perp = body(&AssetCtx { spot: false, rate, ..ctx }, HOUR_MS);
        assert_eq!(perp.next_funding_ns, 2 * HOUR_MS * 1_000_000, "at the full hour the next one counts");
    }
}
