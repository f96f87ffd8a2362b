//! The two clocks, read together: monotonic time for deadlines, real time for stamps.
//!
//! Real time is anchored to the monotonic clock at start and from then on only slewed, at most 500 ppm,
//! toward what the system says. So it never goes backwards and never jumps, whatever NTP or an operator
//! does to the system's clock; the price is that after a step of the system's clock ours needs a while
//! ([`Clock::offset_ns`] tells how far it is off).

use codec::time::Now;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How much faster or slower than the monotonic clock real time may run, parts per million. The kernel's
/// own slewing uses the same figure.
const SLEW_PPM_MAX: i64 = 500;
/// How often the system's real time is looked at.
pub const LOOK_INTERVAL_NS: u64 = 100_000_000;
/// An offset is meant to be gone after about this long: noise of single looks is smoothed.
const SLEW_HORIZON_NS: i64 = 1_000_000_000;
/// Where monotonic time starts, so that "a while ago" can always be subtracted from it.
const MONO_START_NS: u64 = 3_600_000_000_000;

/// Real time as a function of monotonic time: a line whose slope changes at each look.
#[derive(Clone, Copy, Debug)]
pub struct Slew {
    mono_ns: u64,
    wall_ns: u64,
    ppm: i64,
    offset_ns: i64,
}

impl Slew {
    /// Right at this moment.
    #[must_use]
    pub const fn new(mono_ns: u64, wall_ns: u64) -> Self {
        Self { mono_ns, wall_ns, ppm: 0, offset_ns: 0 }
    }

    /// Real time at a monotonic one, ns.
    #[must_use]
    pub fn at(&self, mono_ns: u64) -> u64 {
        let passed = mono_ns.saturating_sub(self.mono_ns);
        // A look happens many times a second; even after a day without one this does not overflow.
        let slewed = (passed as i64).saturating_mul(self.ppm) / 1_000_000;
        (self.wall_ns + passed).saturating_add_signed(slewed)
    }

    /// Takes a look at the system's real time.
    pub fn look(&mut self, mono_ns: u64, system_ns: u64) {
        let wall_ns = self.at(mono_ns);
        let offset_ns = (i128::from(system_ns) - i128::from(wall_ns))
            .clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        let ppm = (offset_ns / (SLEW_HORIZON_NS / 1_000_000)).clamp(-SLEW_PPM_MAX, SLEW_PPM_MAX);
        *self = Self { mono_ns, wall_ns, ppm, offset_ns };
    }
}

/// A clock. Clones share their monotonic origin, so that times of different threads can be compared.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: Instant,
    slew: Slew,
    next_look_ns: u64,
}

impl Clock {
    /// A clock that is right now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
            slew: Slew::new(MONO_START_NS, system_ns()),
            next_look_ns: MONO_START_NS + LOOK_INTERVAL_NS,
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&mut self) -> Now {
        let mono_ns = MONO_START_NS + self.origin.elapsed().as_nanos() as u64;
        if mono_ns >= self.next_look_ns {
            self.slew.look(mono_ns, system_ns());
            self.next_look_ns = mono_ns + LOOK_INTERVAL_NS;
        }
        Now { mono_ns, wall_ns: self.slew.at(mono_ns) }
    }

    /// How far the system's real time was ahead of ours at the last look.
    #[must_use]
    pub const fn offset_ns(&self) -> i64 {
        self.slew.offset_ns
    }
}

/// The system's real time; before 1970, 1970.
fn system_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `seconds` of looks with the system's time a function of ours; returns the clock at the end.
    fn run(seconds: u64, mut system: impl FnMut(u64) -> u64) -> (Slew, u64) {
        let mut slew = Slew::new(0, system(0));
        let mut mono_ns = 0;
        let mut last_ns = slew.at(0);
        for _ in 0..seconds * 10 {
            // Three readings between looks.
            for _ in 0..3 {
                mono_ns += LOOK_INTERVAL_NS / 3;
                let wall_ns = slew.at(mono_ns);
                let step = wall_ns - last_ns;
                let expected = LOOK_INTERVAL_NS / 3;
                assert!(step.abs_diff(expected) <= expected * SLEW_PPM_MAX as u64 / 1_000_000 + 1);
                last_ns = wall_ns;
            }
            slew.look(mono_ns, system(mono_ns));
        }
        (slew, mono_ns)
    }

    const START_NS: u64 = 1_795_000_000_000_000_000;

    #[test]
    fn a_drifting_system_clock_is_followed() {
        let (slew, mono_ns) = run(60, |mono_ns| START_NS + mono_ns + mono_ns / 10_000);
        // 100 ppm of drift leaves an offset of one horizon's worth.
        assert!(slew.at(mono_ns).abs_diff(START_NS + mono_ns + mono_ns / 10_000) < 200_000);
    }

    #[test]
    fn a_step_is_walked_never_jumped_and_never_backwards() {
        for step_ns in [-20_000_000i64, 20_000_000] {
            let system = |mono_ns: u64| {
                (START_NS + mono_ns).saturating_add_signed(if mono_ns > 5_000_000_000 { step_ns } else { 0 })
            };
            let (slew, _) = run(20, system);
            assert!(slew.offset_ns.abs() > 10_000_000, "half-way: {}", slew.offset_ns);
            let (slew, _) = run(120, system);
            assert!(slew.offset_ns.abs() < 1_000_000, "arrived: {}", slew.offset_ns);
        }
        // A system clock set back to the epoch is not followed at more than the limit.
        run(10, |mono_ns| if mono_ns == 0 { START_NS } else { 0 });
    }

    #[test]
    fn clones_agree_and_advance() {
        let mut one = Clock::start();
        let mut other = one.clone();
        let (a, b) = (one.now(), other.now());
        assert!(b.mono_ns >= a.mono_ns && b.wall_ns >= a.wall_ns);
        assert!(a.wall_ns.abs_diff(system_ns()) < 10_000_000_000);
    }
}
