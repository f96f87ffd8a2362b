//! The venue's clock, from what its messages show: the local one may be wrong, and a playback is of another year.

use codec::candle::CandleRow;
use codec::time::Now;

/// A frame this long after the end of its period is not late: the clock is wrong.
const LATE_FRAME_MS: u64 = 60_000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct VenueClock {
    /// What it showed last, ms since the epoch, and when, monotonic ns.
    seen: Option<(u64, u64)>,
}

impl VenueClock {
    /// A message of this venue time came.
    #[inline]
    pub const fn on_event(&mut self, venue_ms: u64, now: Now) {
        self.seen = Some((venue_ms, now.mono_ns));
    }

    /// A message of this venue time came by one of several connections: the newest counts.
    #[inline]
    pub fn on_newest(&mut self, venue_ms: u64, now: Now) {
        if self.seen.is_none_or(|(seen_ms, _)| venue_ms >= seen_ms) {
            self.on_event(venue_ms, now);
        }
    }

    /// A candle that runs came: the clock stands within its period, or hardly past it.
    #[inline]
    pub fn on_running(&mut self, row: &CandleRow, now: Now) {
        let shown_ms = self.now_ms(now);
        if shown_ms < row.start_ms {
            self.on_event(row.start_ms, now);
        } else if shown_ms > row.end_ms.saturating_add(LATE_FRAME_MS) {
            self.on_event(row.end_ms, now);
        }
    }

    /// The time now: what was shown last and the time since then, or else our own.
    #[must_use]
    #[inline]
    pub fn now_ms(&self, now: Now) -> u64 {
        self.seen.map_or(now.wall_ns / 1_000_000, |(venue_ms, seen_mono_ns)| {
            venue_ms.saturating_add(now.mono_ns.saturating_sub(seen_mono_ns) / 1_000_000)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_candle_bounds_the_clock() {
        let now = Now { mono_ns: 5_000_000_000, wall_ns: 1_800_000_000_000_000_000 };
        let mut clock = VenueClock::default();
        assert_eq!(clock.now_ms(now), 1_800_000_000_000);
        let row = CandleRow { start_ms: 60_000, end_ms: 119_999, candle: None };
        clock.on_running(&row, now);
        assert_eq!(clock.now_ms(now), 119_999);
        let later = Now { mono_ns: now.mono_ns + 30_000_000_000, ..now };
        clock.on_running(&row, later);
        assert_eq!(clock.now_ms(later), 149_999, "somewhat late");
        clock.on_running(&CandleRow { start_ms: 180_000, end_ms: 239_999, candle: None }, later);
        assert_eq!(clock.now_ms(later), 180_000);
        clock.on_event(170_000, later);
        assert_eq!(clock.now_ms(later), 170_000);
        clock.on_newest(165_000, later);
        assert_eq!(clock.now_ms(later), 170_000);
    }
}
