//! What may be asked of a venue now: weight per minute, reserves for what is more urgent, rests the venue orders.
//!
//! ```text
//!  0 ── background ──┤ 50 % ── seed ──┤ 75 % ── asked ──┤ 90 % (Binance 85 %) ── repair ──┤ limit
//! ```
//! Each kind may fill the minute up to its own mark, whoever filled the part below it. So what a strategy
//! asks for in the middle of a long load in the background, or while the books of hundreds of symbols are seeded
//! after a start, need not wait for the minute to turn.
//!
//! No I/O and no clock: a test runs days of it in a moment.

use crate::fetch::Priority;
use crate::limits::{
    FETCH_BACKGROUND_PERCENT_MAX, FETCH_REPAIR_RESERVE_PERCENT, FETCH_SEED_PERCENT_MAX,
    HYPERLIQUID_REPAIR_RESERVE_PERCENT,
};
use codec::time::Now;
use codec::words::Venue;
use std::collections::VecDeque;

const MINUTE_NS: u64 = 60_000_000_000;

/// How a venue counts a minute.
#[derive(Debug)]
enum Window {
    /// The UTC clock's minute, as Binance counts (measured, 2026-10).
    ClockMinute { minute: u64, used: u32 },
    /// Any sixty seconds: the careful reading of Hyperliquid's "per minute", and safe under every other.
    Sliding { spent: VecDeque<(u64, u32)>, used: u32 },
}

/// One venue's budget.
#[derive(Debug)]
pub struct Budget {
    window: Window,
    limit: u32,
    /// What a request must leave of `limit`, by its priority.
    reserves: [u32; 4],
    resting_until_mono_ns: u64,
}

impl Budget {
    /// `limit` weight a minute, counted the venue's way.
    #[must_use]
    pub fn new(venue: Venue, limit: u32) -> Self {
        let window = match venue {
            Venue::Binance => Window::ClockMinute { minute: 0, used: 0 },
            Venue::Hyperliquid => Window::Sliding { spent: VecDeque::new(), used: 0 },
        };
        let repair_percent = match venue {
            Venue::Binance => FETCH_REPAIR_RESERVE_PERCENT,
            Venue::Hyperliquid => HYPERLIQUID_REPAIR_RESERVE_PERCENT,
        };
        let percent = |percent: u32| (u64::from(limit) * u64::from(percent) / 100) as u32;
        let reserves = [
            0,
            percent(repair_percent),
            percent(100 - FETCH_SEED_PERCENT_MAX),
            percent(100 - FETCH_BACKGROUND_PERCENT_MAX),
        ];
        Self { window, limit, reserves, resting_until_mono_ns: 0 }
    }

    /// Weight used in the present minute.
    pub fn used(&mut self, now: Now) -> u32 {
        match &mut self.window {
            Window::ClockMinute { minute, used } => {
                let current = now.wall_ns / MINUTE_NS;
                if *minute != current {
                    (*minute, *used) = (current, 0);
                }
                *used
            }
            Window::Sliding { spent, used } => {
                while let Some(&(at_ns, weight)) = spent.front() {
                    if now.mono_ns.saturating_sub(at_ns) < MINUTE_NS {
                        break;
                    }
                    spent.pop_front();
                    *used -= weight;
                }
                *used
            }
        }
    }

    /// Whether a request of `weight` may be asked now.
    pub fn allows(&mut self, weight: u32, priority: Priority, now: Now) -> bool {
        if now.mono_ns < self.resting_until_mono_ns {
            return false;
        }
        let reserve = self.reserves[priority as usize];
        let used = self.used(now);
        // A budget smaller than one request still lets one through a minute.
        used.saturating_add(weight) <= self.limit - reserve || used == 0
    }

    /// Takes `weight` off.
    pub fn charge(&mut self, weight: u32, now: Now) {
        self.used(now);
        match &mut self.window {
            Window::ClockMinute { used, .. } => *used = used.saturating_add(weight),
            Window::Sliding { spent, used } => {
                spent.push_back((now.mono_ns, weight));
                *used = used.saturating_add(weight);
            }
        }
    }

    /// Believes the venue's own figure for the clock minute, where it is higher than ours: others share the
    /// address. A figure from an earlier minute than the present one says nothing.
    pub fn learn_used(&mut self, venue_used: u32, asked_wall_ns: u64, now: Now) {
        let own = self.used(now);
        if let Window::ClockMinute { minute, used } = &mut self.window
            && asked_wall_ns / MINUTE_NS == *minute
        {
            *used = own.max(venue_used);
        }
    }

    /// Asks nothing for `ms`, or longer if so ordered before.
    pub fn rest(&mut self, ms: u64, now: Now) {
        self.resting_until_mono_ns =
            self.resting_until_mono_ns.max(now.mono_ns.saturating_add(ms.saturating_mul(1_000_000)));
    }

    /// How much longer nothing is asked, ms.
    #[must_use]
    pub fn resting_ms(&self, now: Now) -> u64 {
        self.resting_until_mono_ns.saturating_sub(now.mono_ns).div_ceil(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds into a clock minute.
    const START_S: u64 = 1_795_000_030 / 60 * 60 + 10;

    fn at(seconds: u64) -> Now {
        Now { mono_ns: (1_000 + seconds) * 1_000_000_000, wall_ns: (START_S + seconds) * 1_000_000_000 }
    }

    fn spend(budget: &mut Budget, weight: u32, priority: Priority, now: Now) -> u32 {
        let mut count = 0;
        while budget.allows(weight, priority, now) {
            budget.charge(weight, now);
            count += 1;
        }
        count
    }

    #[test]
    fn the_clock_minute_begins_anew_on_the_minute() {
        let mut budget = Budget::new(Venue::Binance, 1800);
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(0)), 45, "half is kept");
        assert_eq!(spend(&mut budget, 20, Priority::Seed, at(0)), 22, "a quarter is kept");
        assert_eq!(spend(&mut budget, 20, Priority::Asked, at(0)), 9, "some more is kept");
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(0)), 0);
        assert_eq!(spend(&mut budget, 20, Priority::Repair, at(1)), 14);
        assert_eq!(spend(&mut budget, 20, Priority::Repair, at(49)), 0);
        assert_eq!(spend(&mut budget, 20, Priority::Repair, at(50)), 90);
    }

    #[test]
    fn who_asks_less_urgently_leaves_room_for_the_others() {
        let mut budget = Budget::new(Venue::Hyperliquid, 1000);
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(0)), 25);
        assert_eq!(spend(&mut budget, 20, Priority::Asked, at(1)), 20);
        assert_eq!(spend(&mut budget, 2, Priority::Repair, at(2)), 50);
        // The first minute's spending leaves the window in the order in which it came.
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(60)), 0, "the asked ones still count");
        assert_eq!(spend(&mut budget, 20, Priority::Asked, at(60)), 20);
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(62)), 5);
        // What was asked for urgently counts against the background, not the other way round.
        let mut budget = Budget::new(Venue::Binance, 1800);
        assert_eq!(spend(&mut budget, 10, Priority::Repair, at(0)), 180);
        assert!(!budget.allows(1, Priority::Asked, at(0)) && !budget.allows(1, Priority::Background, at(0)));
        // No limit is too large for its percents.
        assert!(Budget::new(Venue::Binance, u32::MAX).allows(u32::MAX / 2, Priority::Background, at(0)));
    }

    #[test]
    fn any_sixty_seconds_hold_at_most_the_limit() {
        let mut budget = Budget::new(Venue::Hyperliquid, 1000);
        let mut spent: Vec<(u64, u32)> = Vec::new();
        for second in 0..600 {
            let weight = if second % 3 == 0 { 20 } else { 2 };
            let count = spend(&mut budget, weight, Priority::Repair, at(second));
            spent.push((second, count * weight));
            let window: u32 = spent.iter().filter(|(at, _)| second - at < 60).map(|(_, weight)| weight).sum();
            assert!(window <= 1000, "{window} in the minute before {second}");
        }
        assert!(spent.iter().map(|(_, weight)| weight).sum::<u32>() >= 9900);
    }

    #[test]
    fn the_venues_figure_counts_where_it_is_higher_and_of_this_minute() {
        let mut budget = Budget::new(Venue::Binance, 1800);
        budget.charge(100, at(0));
        budget.learn_used(50, at(0).wall_ns, at(1));
        assert_eq!(budget.used(at(1)), 100);
        budget.learn_used(1790, at(0).wall_ns, at(1));
        assert!(!budget.allows(20, Priority::Repair, at(2)));
        // Asked before the minute turned, answered after.
        budget.learn_used(1790, at(49).wall_ns, at(50));
        assert_eq!(budget.used(at(50)), 0);
        // Hyperliquid gives no figure.
        let mut budget = Budget::new(Venue::Hyperliquid, 1000);
        budget.learn_used(900, at(0).wall_ns, at(0));
        assert_eq!(budget.used(at(0)), 0);
    }

    #[test]
    fn rest_stops_everything_and_the_longest_counts() {
        let mut budget = Budget::new(Venue::Binance, 1800);
        budget.rest(5_000, at(0));
        budget.rest(1_000, at(0));
        assert!(!budget.allows(1, Priority::Repair, at(4)));
        assert_eq!(budget.resting_ms(at(4)), 1000);
        assert!(budget.allows(1, Priority::Repair, at(5)));
    }

    #[test]
    fn a_tiny_budget_still_lets_one_through() {
        let mut budget = Budget::new(Venue::Hyperliquid, 1);
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(0)), 1);
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(59)), 0);
        assert_eq!(spend(&mut budget, 20, Priority::Background, at(60)), 1);
    }
}
