//! When to try again: exponential backoff with full jitter, from a seeded generator.

/// A small seeded generator (SplitMix64): jitter and mask bytes need no more.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound` (0 for a bound of 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }
}

/// Delays that double from a first to a last value, each drawn from the upper half of its range and
/// below, so that many daemons cut at once do not come back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first_ms: u64,
    last_ms: u64,
    attempts: u32,
}

impl Backoff {
    /// Doubling from `first_ms` to `last_ms`.
    #[must_use]
    pub const fn new(first_ms: u64, last_ms: u64) -> Self {
        Self { first_ms, last_ms, attempts: 0 }
    }

    /// The next delay, ms: uniformly between a tenth and the whole of the current step.
    pub fn next_ms(&mut self, random: &mut Random) -> u64 {
        let step = self.first_ms.saturating_mul(1 << self.attempts.min(20)).min(self.last_ms).max(1);
        self.attempts = self.attempts.saturating_add(1);
        step / 10 + random.below(step - step / 10 + 1)
    }

    /// After a success that lasted.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }

    /// Failures since the last success.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_last_and_vary() {
        let mut random = Random::new(1);
        let mut backoff = Backoff::new(1000, 30_000);
        let mut step = 1000;
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..10 {
            let delay = backoff.next_ms(&mut random);
            assert!(delay >= step / 10 && delay <= step, "{delay} of {step}");
            seen.insert(delay);
            step = (step * 2).min(30_000);
        }
        assert!(seen.len() > 5);
        backoff.reset();
        assert!(backoff.next_ms(&mut random) <= 1000);
    }
}
