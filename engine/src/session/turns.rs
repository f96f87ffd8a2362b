//! Work for every symbol once per period, shared out evenly over the ticks in it.
//!
//! Item `i` is due in the slices `n` of the clock with `n % slices == i % slices`; slices that went by without
//! a tick are made up for, at most a whole period of them.

use codec::time::Now;

/// See the module.
#[derive(Debug)]
pub struct Turns {
    slices: u64,
    slice_ns: u64,
    /// Number of the last slice done.
    done: u64,
}

impl Turns {
    /// Everything once in `period_ms`, a slice every `slice_ms`.
    #[must_use]
    pub const fn new(period_ms: u64, slice_ms: u64) -> Self {
        Self { slices: period_ms / slice_ms, slice_ns: slice_ms * 1_000_000, done: 0 }
    }

    /// The slices that are due now: hand each to [`Self::items`].
    pub fn advance(&mut self, now: Now) -> core::ops::RangeInclusive<u64> {
        let newest = now.mono_ns / self.slice_ns;
        let first = (self.done + 1).max((newest + 1).saturating_sub(self.slices));
        self.done = self.done.max(newest);
        first..=newest
    }

    /// The items of a slice, of `count`.
    pub fn items(&self, slice: u64, count: usize) -> impl Iterator<Item = usize> + use<> {
        ((slice % self.slices) as usize..count).step_by(self.slices as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_turn_once_a_period_even_when_ticks_are_late() {
        let mut turns = Turns::new(100, 10);
        let mut seen = [0u32; 25];
        let mut mono_ms = 100_000;
        turns.advance(Now { mono_ns: mono_ms * 1_000_000, wall_ns: 0 });
        while mono_ms < 101_000 {
            mono_ms += [3, 10, 37][mono_ms as usize % 3];
            for slice in turns.advance(Now { mono_ns: mono_ms * 1_000_000, wall_ns: 0 }) {
                turns.items(slice, seen.len()).for_each(|item| seen[item] += 1);
            }
        }
        assert!(seen.iter().all(|count| (9..=11).contains(count)), "{seen:?}");
        for slice in turns.advance(Now { mono_ns: 500_000_000_000, wall_ns: 0 }) {
            turns.items(slice, seen.len()).for_each(|item| seen[item] = 0);
        }
        assert_eq!(seen, [0; 25], "after a long pause each once");
    }
}
