//! The venue's clock: the newest event time of any frame, and the time since. The local clock may be off, and a
//! playback is of another year.

use crate::limits::VENUE_CLOCK_STEP_MS;
use codec::candle::CandleRow;
use codec::time::Now;
use codec::words::Interval;

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

    /// Whether anything of the venue's time is known.
    #[must_use]
    pub const fn is_known(&self) -> bool {
        self.newest.is_some()
    }

    /// A candle that runs came, of a venue whose frames have no time of their own: the clock stands within its
    /// period. Where in it nobody knows, so the beginning is taken: late is better than early.
    #[inline]
    pub fn on_running(&mut self, interval: Interval, row: &CandleRow, now: Now) {
        let shown_ms = self.ms(now);
        let length_ms = interval.length_ms().unwrap_or(0);
        let usual = if self.is_known() {
            // The next period may begin a whole one early in a playback, and no more.
            row.start_ms <= shown_ms.saturating_add(length_ms + VENUE_CLOCK_STEP_MS)
        } else {
            true
        };
        let outside = shown_ms < row.start_ms || shown_ms > row.end_ms.saturating_add(VENUE_CLOCK_STEP_MS);
        if !usual {
            self.on_step(row.start_ms, now);
        } else if outside {
            self.newest = Some((row.start_ms, now.mono_ns));
        } else if !self.is_known() {
            self.newest = Some((shown_ms, now.mono_ns));
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
    fn a_running_candle_bounds_the_clock_and_never_makes_it_early() {
        let mut clock = VenueClock::default();
        let row = |start_ms| CandleRow { start_ms, end_ms: start_ms + 59_999, candle: None };
        assert!(!clock.is_known());
        clock.on_running(Interval::M1, &row(60_000), at(0));
        assert_eq!(clock.ms(at(0)), 60_000, "the local clock was years ahead");
        clock.on_running(Interval::M1, &row(60_000), at(80_000));
        assert_eq!(clock.ms(at(80_000)), 140_000, "somewhat late");
        clock.on_running(Interval::M1, &row(180_000), at(80_000));
        assert_eq!(clock.ms(at(80_000)), 180_000);
        clock.on_running(Interval::M1, &row(9_000_000_000), at(80_000));
        assert_eq!(clock.ms(at(80_000)), 180_000, "nonsense");
        clock.on_running(Interval::M1, &row(9_000_000_000), at(80_100));
        assert_eq!(clock.ms(at(80_100)), 9_000_000_000, "twice is no nonsense");
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
