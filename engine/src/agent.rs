//! Agents: the one shape of thread, and the policies by which they wait.
//!
//! An agent is asked again and again to do what there is to do, and answers how much it was. What happens
//! when it was nothing is not its business but a policy's. Nobody is ever woken: a wake-up costs its sender
//! about 8 µs, a short sleep costs the sleeper about 50.

use crate::clock::Clock;
use crate::config::Wait;
use codec::time::Now;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Something that runs on a thread of its own.
pub trait Agent {
    /// Its thread's name.
    fn name(&self) -> &'static str;
    /// Its clock, which tells it the time of each turn.
    fn clock(&mut self) -> &mut Clock;
    /// Does what there is to do; returns how much it was, in units of its own.
    fn do_work(&mut self, now: Now) -> usize;
    /// Whether it has ended.
    fn is_done(&self) -> bool;
}

/// How an agent waits when there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitPolicy {
    /// Looks again at once. Also for an agent that blocks by itself inside `do_work`.
    Spin,
    /// Lets another thread have the core, then looks again.
    Yield,
    /// Sleeps for about 50 µs, longer when nothing has happened for a while.
    Park,
    /// Sleeps for some milliseconds: for side roads, where nobody counts microseconds.
    Doze,
}

impl WaitPolicy {
    /// The policy of a configured word: `auto` spins only on a core of its own.
    #[must_use]
    pub const fn of(wait: Wait, pinned: bool) -> Self {
        match wait {
            Wait::Spin => Self::Spin,
            Wait::Yield => Self::Yield,
            Wait::Park => Self::Park,
            Wait::Auto if pinned => Self::Spin,
            Wait::Auto => Self::Park,
        }
    }
}

/// A parked agent's sleep: the shortest that pays; the timer makes about 50 µs of it.
const PARK_NS: u64 = 20_000;
/// A dozing agent's sleep: short against any round trip to a venue.
const DOZE_NS: u64 = 2_000_000;
/// A parked agent's sleep when it has been idle for long: nobody is waiting for microseconds then.
const PARK_IDLE_NS: u64 = 500_000;
/// Looks without work after which a parked agent counts as idle for long (about a second).
const IDLE_LOOKS: u32 = 20_000;

/// Counts an agent's turns, so that somebody else can see that it lives.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Turns so far.
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs an agent on the calling thread until it is done.
pub fn run(agent: &mut dyn Agent, policy: WaitPolicy, progress: &Progress) {
    if policy == WaitPolicy::Park {
        shorten_timer_slack();
    }
    let mut idle_looks = 0;
    let mut turns = 0;
    while !agent.is_done() {
        let now = agent.clock().now();
        let work = agent.do_work(now);
        turns += 1;
        progress.0.store(turns, Ordering::Relaxed);
        if work > 0 {
            idle_looks = 0;
            continue;
        }
        match policy {
            WaitPolicy::Spin => core::hint::spin_loop(),
            WaitPolicy::Yield => std::thread::yield_now(),
            WaitPolicy::Doze => std::thread::sleep(Duration::from_nanos(DOZE_NS)),
            WaitPolicy::Park => {
                idle_looks = u32::min(idle_looks + 1, IDLE_LOOKS);
                let long = idle_looks == IDLE_LOOKS;
                std::thread::sleep(Duration::from_nanos(if long { PARK_IDLE_NS } else { PARK_NS }));
            }
        }
    }
}

/// Pins the calling thread; `false` when the system refuses.
#[must_use]
pub fn pin(core: usize) -> bool {
    core_affinity::set_for_current(core_affinity::CoreId { id: core })
}

/// Lets this thread's sleeps end when they should: by default the kernel may add 50 µs.
fn shorten_timer_slack() {
    // SAFETY: PR_SET_TIMERSLACK takes one integer and changes nothing but this thread's timers.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Countdown(u32, Clock);

    impl Agent for Countdown {
        fn name(&self) -> &'static str {
            "countdown"
        }
        fn clock(&mut self) -> &mut Clock {
            &mut self.1
        }
        fn do_work(&mut self, _: Now) -> usize {
            self.0 -= 1;
            (self.0 % 2) as usize
        }
        fn is_done(&self) -> bool {
            self.0 == 0
        }
    }

    #[test]
    fn an_agent_runs_to_its_end_under_every_policy() {
        for policy in [WaitPolicy::Spin, WaitPolicy::Yield, WaitPolicy::Park, WaitPolicy::Doze] {
            let progress = Progress::default();
            run(&mut Countdown(100, Clock::start()), policy, &progress);
            assert_eq!(progress.turns(), 100);
        }
    }

    #[test]
    fn auto_spins_only_on_its_own_core() {
        assert_eq!(WaitPolicy::of(Wait::Auto, true), WaitPolicy::Spin);
        assert_eq!(WaitPolicy::of(Wait::Auto, false), WaitPolicy::Park);
        assert_eq!(WaitPolicy::of(Wait::Yield, true), WaitPolicy::Yield);
    }
}
