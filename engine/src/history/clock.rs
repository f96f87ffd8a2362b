//! What is certain of a venue's time, whatever the local clock says.
//!
//! Periods are the venue's: one is over when the venue's clock says so. The venue's clock is certainly not
//! behind the end of a candle that the engine closed, nor the start of a row that an answer holds; from then
//! on it runs like the monotonic clock. That makes a bound from below, *proven*.
//!
//! - A local clock that is behind is put forward to the bound, so that it stops nothing: at worst the newest
//!   periods come as late as it is behind, if the engine does not close them.
//! - A local clock that is ahead makes no running row a closed one: a row counts as closed when its end is
//!   proven, or, where nothing is traded that could prove it, when the local clock has it over for longer than
//!   clocks are thought to be wrong ([`HISTORY_CLOCK_ERROR_MS`]). It may still make a row count as settled that
//!   is over only since seconds, so that it lacks its last trades until it is corrected; and it asks in vain.

use crate::limits::{HISTORY_CLOCK_BEHIND_MAX_MS, HISTORY_CLOCK_ERROR_MS, HISTORY_MATURE_MS};
use codec::time::Now;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct VenueClock {
    /// The bound at the monotonic clock's zero, ns since the epoch; `None`: nothing seen yet.
    proven_at_zero_ns: Option<i64>,
}

/// When a request was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct AskedAt {
    /// By the clock as far as it was known then, ms since the epoch.
    pub now_ms: u64,
    /// Monotonic.
    pub mono_ns: u64,
}

impl VenueClock {
    /// The venue's clock has reached `at_ms`.
    pub fn prove(&mut self, at_ms: u64, now: Now) {
        if at_ms > now.wall_ns / 1_000_000 + HISTORY_CLOCK_BEHIND_MAX_MS {
            // That is no clock's fault.
            return;
        }
        let at_zero_ns = signed(at_ms.saturating_mul(1_000_000)) - signed(now.mono_ns);
        self.proven_at_zero_ns = self.proven_at_zero_ns.max(Some(at_zero_ns));
    }

    /// The venue's clock certainly stood there, or later.
    fn proven_ms(&self, mono_ns: u64) -> u64 {
        self.proven_at_zero_ns
            .and_then(|at_zero_ns| u64::try_from(at_zero_ns.saturating_add(signed(mono_ns))).ok())
            .map_or(0, |ns| ns / 1_000_000)
    }

    /// The time, ms since the epoch.
    pub fn now_ms(&self, now: Now) -> u64 {
        (now.wall_ns / 1_000_000).max(self.proven_ms(now.mono_ns))
    }

    /// When a request is made.
    pub fn asked_at(&self, now: Now) -> AskedAt {
        AskedAt { now_ms: self.now_ms(now), mono_ns: now.mono_ns }
    }

    /// Rows of an answer that ended by then are closed and settled. `seen_ms`: what the answer itself and the
    /// rows around it prove.
    pub fn mature_ms(&self, asked: AskedAt, seen_ms: u64) -> u64 {
        let over_ms = self
            .proven_ms(asked.mono_ns)
            .max(seen_ms)
            .max(asked.now_ms.saturating_sub(HISTORY_CLOCK_ERROR_MS));
        asked.now_ms.saturating_sub(HISTORY_MATURE_MS).min(over_ms)
    }
}

fn signed(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}
