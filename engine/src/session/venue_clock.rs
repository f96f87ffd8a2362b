//! The venue's clock: the newest event time of any frame, and the time since. The local clock may be off, and a
//! playback is of another year.

use crate::limits::VENUE_CLOCK_STEP_MS;
use codec::candle::CandleRow;
use codec::time::Now;

/// See the module.
#[derive(Debug, Default)]
pub struct VenueClock {
    /// The newest event time, and when it came: ms since the epoch, monotonic ns.
    newest: Option<(u64, u64)>,
    /// One that is far off, waiting for a second opinion.
    doubtful: Option<(u64, u64)>,
}

impl VenueClock {
    /// The venue's time now, ms since the epoch; the local clock's before any frame has come.
    #[must_use]
    pub fn ms(&self, now: Now) -> u64 {
        self.newest.map_or(now.wall_ns / 1_000_000, |base| since(base, now))
    }

    /// A frame carries this time.
    #[inline]
    pub fn on_event(&mut self, event_ms: u64, now: Now) {
        let Some(newest) = self.newest else {
            self.newest = Some((event_ms, now.mono_ns));
            return;
        };
        if event_ms.abs_diff(since(newest, now)) > VENUE_CLOCK_STEP_MS {
            self.on_step(event_ms, now);
            return;
        }
        if event_ms > newest.0 {
            self.newest = Some((event_ms, now.mono_ns));
        }
        self.doubtful = None;
    }

    /// A candle that runs came, of a venue whose frames have no time of their own: the clock stands within its
    /// period, or hardly past it.
    #[inline]
    pub fn on_running(&mut self, row: &CandleRow, now: Now) {
        let shown_ms = self.ms(now);
        if shown_ms < row.start_ms {
            self.newest = Some((row.start_ms, now.mono_ns));
        } else if shown_ms > row.end_ms.saturating_add(VENUE_CLOCK_STEP_MS) {
            self.newest = Some((row.end_ms, now.mono_ns));
        }
    }

    /// One frame with nonsense in it must not close every candle; a venue that has set its clock is followed.
    #[cold]
    fn on_step(&mut self, event_ms: u64, now: Now) {
        let stepped = (event_ms, now.mono_ns);
        let agrees = |earlier| event_ms.abs_diff(since(earlier, now)) <= VENUE_CLOCK_STEP_MS;
        if self.doubtful.is_some_and(agrees) {
            self.newest = Some(stepped);
            self.doubtful = None;
        } else {
            self.doubtful = Some(stepped);
        }
    }
}

fn since((event_ms, mono_ns): (u64, u64), now: Now) -> u64 {
    event_ms.saturating_add(now.mono_ns.saturating_sub(mono_ns) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Now {
        Now { mono_ns: ms * 1_000_000, wall_ns: 5_000_000_000_000 + ms * 1_000_000 }
    }

    #[test]
    fn a_running_candle_bounds_the_clock() {
        let mut clock = VenueClock::default();
        let row = CandleRow { start_ms: 60_000, end_ms: 119_999, candle: None };
        clock.on_running(&row, at(0));
        assert_eq!(clock.ms(at(0)), 119_999);
        clock.on_running(&row, at(30_000));
        assert_eq!(clock.ms(at(30_000)), 149_999, "somewhat late");
        clock.on_running(&CandleRow { start_ms: 180_000, end_ms: 239_999, candle: None }, at(30_000));
        assert_eq!(clock.ms(at(30_000)), 180_000);
    }

    #[test]
    fn it_follows_the_newest_frame_and_the_time_since() {
        let mut clock = VenueClock::default();
        assert_eq!(clock.ms(at(7)), 5_000_007, "the local clock, for want of better");
        clock.on_event(9_000_000, at(10));
        clock.on_event(8_999_000, at(20));
        assert_eq!(clock.ms(at(110)), 9_000_100, "an older frame says nothing");
        clock.on_event(9_000_050, at(110));
        assert_eq!(clock.ms(at(110)), 9_000_050);
    }

    #[test]
    fn one_frame_with_nonsense_moves_nothing_and_two_that_agree_do() {
        let mut clock = VenueClock::default();
        clock.on_event(9_000_000, at(0));
        clock.on_event(u64::MAX, at(10));
        clock.on_event(9_000_020, at(20));
        clock.on_event(u64::MAX, at(30));
        assert_eq!(clock.ms(at(30)), 9_000_030);
        clock.on_event(1_000_000, at(40));
        clock.on_event(1_000_010, at(50));
        assert_eq!(clock.ms(at(60)), 1_000_020);
    }
}
