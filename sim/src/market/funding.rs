//! Funding, mark and index prices of one symbol: pure functions of seed, symbol, time and the mid price.
//!
//! The rate settled at the end of each funding period is a throw of dice; in between the estimate goes straight
//! from the last settled rate to the next, so that the last estimate is what is settled.

use super::interval::{HOUR_MS, MINUTE_MS};
use super::past::{mixed, unit};

/// The scale of funding rates and premiums: this many units are 1.
pub const RATE_SCALE_E10: i64 = 10_000_000_000;

/// Mark, index and funding of a symbol at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TruthFunding {
    /// The moment.
    pub time_ms: i64,
    /// The mark price.
    pub mark_e8: i64,
    /// Binance: the moving average of the mark price.
    pub mark_average_e8: i64,
    /// The index price; on Hyperliquid the oracle price.
    pub index_e8: i64,
    /// Binance: the estimated settlement price.
    pub settle_e8: i64,
    /// The rate of the current period, as a fraction per period; none of a contract without funding.
    pub rate_e10: Option<i64>,
    /// How far the mark is from the oracle.
    pub premium_e10: i64,
    /// The next funding; 0 of a contract without.
    pub next_funding_ms: i64,
    /// The length of a period; 0 of a contract without.
    pub interval_hours: u32,
}

/// A settled funding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SettledFunding {
    /// When.
    pub time_ms: i64,
    /// The rate.
    pub rate_e10: i64,
    /// The premium it came from.
    pub premium_e10: i64,
}

/// The rate of an hour about which all rates hover: 0.01 % per eight hours.
const HOURLY_E10: i64 = 125_000;
/// How far the rate of an hour strays.
const STRAY_E10: i64 = 300_000;
/// How far the index strays from the mid, as a share at 1e-10.
const BASIS_E10: i64 = 8_000_000;

/// A symbol's funding.
#[derive(Clone, Copy, Debug)]
pub struct Funding {
    seed: u64,
    hours: u32,
    /// Prices are told in multiples of this.
    unit_e8: i64,
}

impl Funding {
    /// The funding of a symbol with periods of so many hours (0: it has none), its prices in multiples of a unit.
    pub fn new(seed: u64, symbol: &str, hours: u32, unit_e8: i64) -> Self {
        let seed = symbol.bytes().fold(!seed, |hash, byte| mixed(hash ^ u64::from(byte)));
        Self { seed, hours, unit_e8: unit_e8.max(1) }
    }

    /// A number of a lattice between minus and plus a bound.
    fn throw(&self, stream: u64, at: i64, bound: i64) -> i64 {
        let word = mixed(self.seed ^ mixed((at as u64).wrapping_mul(16).wrapping_add(stream)));
        ((unit(word) * 2.0 - 1.0) * bound as f64) as i64
    }

    /// The same, straight between the points of a lattice of time.
    fn wander(&self, stream: u64, time_ms: i64, step_ms: i64, bound: i64) -> i64 {
        let at = time_ms.div_euclid(step_ms);
        let (from, to) = (self.throw(stream, at, bound), self.throw(stream, at + 1, bound));
        let gone = i128::from(to - from) * i128::from(time_ms.rem_euclid(step_ms)) / i128::from(step_ms);
        from + gone as i64
    }

    /// What is settled at the end of the period of this number.
    fn settled_e10(&self, period: i64) -> i64 {
        let hours = i64::from(self.hours.max(1));
        (HOURLY_E10 + self.throw(1, period, STRAY_E10)) * hours / 100 * 100
    }

    fn period_ms(&self) -> i64 {
        i64::from(self.hours.max(1)) * HOUR_MS
    }

    /// Everything at a moment, given the mid price of then.
    pub fn at(&self, time_ms: i64, mid_e8: i64) -> TruthFunding {
        let basis_e10 = self.wander(2, time_ms, MINUTE_MS, BASIS_E10);
        let share = |value_e8: i64, share_e10: i64| {
            (i128::from(value_e8) * i128::from(share_e10) / i128::from(RATE_SCALE_E10)) as i64
        };
        let off = |share_e10: i64| {
            let price_e8 = mid_e8 + share(mid_e8, share_e10);
            (price_e8 - price_e8.rem_euclid(self.unit_e8)).max(self.unit_e8)
        };
        let (index_e8, mark_e8) = (off(basis_e10), off(basis_e10 / 4));
        let premium = i128::from(mid_e8 - index_e8) * i128::from(RATE_SCALE_E10);
        let period_ms = self.period_ms();
        let period = time_ms.div_euclid(period_ms);
        let (before, after) = (self.settled_e10(period - 1), self.settled_e10(period));
        let passed = i128::from(after - before) * i128::from(time_ms.rem_euclid(period_ms));
        let rate_e10 = (before + (passed / i128::from(period_ms)) as i64) / 100 * 100;
        let funded = self.hours > 0;
        TruthFunding {
            time_ms,
            mark_e8,
            mark_average_e8: off(basis_e10 / 5),
            index_e8,
            settle_e8: off(self.wander(3, time_ms, MINUTE_MS, BASIS_E10)),
            rate_e10: funded.then_some(rate_e10),
            premium_e10: (premium / i128::from(index_e8.max(1))) as i64,
            next_funding_ms: if funded { (period + 1) * period_ms } else { 0 },
            interval_hours: self.hours,
        }
    }

    /// What was settled from one time on and not after another; oldest first, at most so many.
    pub fn settled(&self, from_ms: i64, to_ms: i64, limit: usize) -> Vec<SettledFunding> {
        if self.hours == 0 {
            return Vec::new();
        }
        let period_ms = self.period_ms();
        let first = from_ms.div_euclid(period_ms) + i64::from(from_ms.rem_euclid(period_ms) != 0);
        let times = (first..).map(|number| number * period_ms).take_while(|time_ms| *time_ms <= to_ms);
        let settled = times.take(limit).map(|time_ms| SettledFunding {
            time_ms,
            rate_e10: self.settled_e10(time_ms / period_ms - 1),
            premium_e10: self.throw(4, time_ms, BASIS_E10),
        });
        settled.collect()
    }

    /// The open interest, in base units at 1e-8, about a typical one.
    pub fn open_interest_e8(&self, time_ms: i64, typical_e8: i64) -> i64 {
        typical_e8 + self.wander(5, time_ms, HOUR_MS, typical_e8 / 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_ends_at_what_is_settled() {
        for hours in [1, 4, 8] {
            let funding = Funding::new(7, "X", hours, 1);
            let period_ms = i64::from(hours) * HOUR_MS;
            let start_ms = 1_790_000_000_000 / period_ms * period_ms;
            let settled = funding.settled(start_ms, start_ms + 10 * period_ms, 500);
            assert_eq!(settled.len(), 11);
            for row in settled {
                let before = funding.at(row.time_ms - 1, 100_000_000);
                assert_eq!(before.next_funding_ms, row.time_ms);
                let off = before.rate_e10.map(|rate| (rate - row.rate_e10).abs());
                assert!(off.is_some_and(|off| off <= 200), "{before:?} {row:?}");
            }
        }
        let none = Funding::new(7, "X", 0, 1).at(1_790_000_000_000, 100_000_000);
        assert_eq!((none.rate_e10, none.next_funding_ms), (None, 0));
    }
}
