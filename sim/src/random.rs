//! A small seeded generator, so that one number decides a whole market.
//!
//! It promises the same sequence for the same seed and stream on every machine and in every version
//! of this crate; it does not promise anything about secrecy.

/// A xoshiro256** generator.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

/// Bits of an `f64` mantissa: a unit value takes exactly this many random bits.
const MANTISSA_BITS: u32 = 53;

impl Random {
    /// A generator for one use (`stream`) of a seed: streams of one seed are unrelated to each other.
    pub fn seeded(seed: u64, stream: u64) -> Self {
        // SplitMix64, the seeding the authors of xoshiro recommend: it never yields the all-zero state.
        let mut mixed = seed ^ stream.wrapping_mul(0xD1B5_4A32_D192_ED03);
        let state = std::array::from_fn(|_| {
            mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = mixed;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^ (word >> 31)
        });
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let result = self.state[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let shifted = self.state[1] << 17;
        self.state[2] ^= self.state[0];
        self.state[3] ^= self.state[1];
        self.state[1] ^= self.state[2];
        self.state[0] ^= self.state[3];
        self.state[2] ^= shifted;
        self.state[3] = self.state[3].rotate_left(45);
        result
    }

    /// A value in `0..bound`; 0 if the bound is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        (wide >> u64::BITS) as u64
    }

    /// A value in `0..bound` as an index.
    pub fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// A value in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        let bits = self.next_u64() >> (u64::BITS - MANTISSA_BITS);
        bits as f64 / (1u64 << MANTISSA_BITS) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// An exponentially distributed value with this mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A value of mean 0 and variance 1, near enough to normal (sum of twelve uniforms).
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    /// An integer whose logarithm is uniform between those of `low` and `high` (both at least 1).
    pub fn log_uniform(&mut self, low: usize, high: usize) -> usize {
        let (low, high) = (low.max(1) as f64, high.max(1) as f64);
        if high <= low {
            return low as usize;
        }
        (low * ((high / low).ln() * self.unit()).exp()) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_sequence_and_streams_differ() {
        let mut one = Random::seeded(7, 0);
        let mut same = Random::seeded(7, 0);
        let mut other = Random::seeded(7, 1);
        let first: Vec<u64> = (0..8).map(|_| one.next_u64()).collect();
        assert_eq!(first, (0..8).map(|_| same.next_u64()).collect::<Vec<_>>());
        assert_ne!(first, (0..8).map(|_| other.next_u64()).collect::<Vec<_>>());
    }

    #[test]
    fn values_keep_their_range() {
        let mut random = Random::seeded(1, 2);
        for _ in 0..10_000 {
            assert!(random.below(3) < 3);
            assert!((0.0..1.0).contains(&random.unit()));
            assert!(random.exponential(2.0) >= 0.0);
            assert!((10..=1000).contains(&random.log_uniform(10, 1000)));
        }
        assert_eq!(random.below(0), 0);
    }
}
