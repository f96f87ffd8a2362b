//! How fast control messages may go out: a token bucket that is told the time.

/// `burst` at once, then `per_second` more each second.
#[derive(Clone, Debug)]
pub struct Pace {
    per_second: u64,
    burst: u64,
    /// Tokens in millionths.
    tokens_micro: u64,
    last_mono_ns: u64,
}

impl Pace {
    /// A full bucket.
    #[must_use]
    pub const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst, tokens_micro: burst * 1_000_000, last_mono_ns: 0 }
    }

    /// Takes one token if there is one.
    pub fn take(&mut self, mono_ns: u64) -> bool {
        self.refill(mono_ns);
        if self.tokens_micro < 1_000_000 {
            return false;
        }
        self.tokens_micro -= 1_000_000;
        true
    }

    /// Counts a message that had to go out whatever the pace (a pong).
    pub fn count(&mut self, mono_ns: u64) {
        self.refill(mono_ns);
        self.tokens_micro = self.tokens_micro.saturating_sub(1_000_000);
    }

    fn refill(&mut self, mono_ns: u64) {
        if self.last_mono_ns == 0 {
            self.last_mono_ns = mono_ns;
        }
        let elapsed_ns = mono_ns.saturating_sub(self.last_mono_ns);
        let gained_micro = u128::from(elapsed_ns) * u128::from(self.per_second) / 1000;
        if gained_micro > 0 {
            self.last_mono_ns = mono_ns;
            let gained_micro = u64::try_from(gained_micro).unwrap_or(u64::MAX);
            self.tokens_micro = self.tokens_micro.saturating_add(gained_micro).min(self.burst * 1_000_000);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_burst_plus_rate() {
        let mut pace = Pace::new(5, 10);
        let mut sent = 0;
        for step in 0..3_000u64 {
            while pace.take(1 + step * 1_000_000) {
                sent += 1;
            }
        }
        // Three seconds: ten at once, then five a second.
        assert!((24..=25).contains(&sent), "{sent}");
    }
}
