//! The life of one connection slot: waiting, connecting, open, silent, waiting again.
//!
//! ```text
//!   Waiting ──due──▶ Connecting ──▶ Open ──silent──▶ (told once) ──silent longer──▶ closed
//!      ▲                 │            │                                               │
//!      └──── backoff ◀───┴────────────┴───────────────────────────────────────────────┘
//! ```

use super::backoff::{Backoff, Random};
use super::{Generation, Link};
use crate::limits::{CONNECT_DEADLINE_MS, STEADY_AFTER_MS};
use codec::time::Now;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { until_mono_ns: u64 },
    Connecting { deadline_mono_ns: u64 },
    Open { since_mono_ns: u64 },
}

/// How long a link may be silent, ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilenceLimits {
    /// After this its streams are stale.
    pub stale_ms: u64,
    /// After this it is made anew.
    pub reconnect_ms: u64,
}

/// What silence asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Its streams are stale; answered once per silence.
    Stale,
    /// It has to be made anew.
    Reconnect,
}

/// See the module.
#[derive(Debug)]
pub struct Lifecycle {
    link: Link,
    generation: Generation,
    phase: Phase,
    backoff: Backoff,
    closed_once: bool,
    last_data_mono_ns: u64,
    told_silent: bool,
}

impl Lifecycle {
    /// A slot that is due at once.
    #[must_use]
    pub const fn new(link: Link, backoff: Backoff) -> Self {
        Self {
            link,
            generation: 0,
            phase: Phase::Waiting { until_mono_ns: 0 },
            backoff,
            closed_once: false,
            last_data_mono_ns: 0,
            told_silent: false,
        }
    }

    /// The slot.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Whether this generation is the present one.
    #[must_use]
    pub const fn is_current(&self, generation: Generation) -> bool {
        self.generation == generation
    }

    /// Whether the connection is open.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open { .. })
    }

    /// Whether a connection was lost or could not be made, and none is open.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.closed_once && !self.is_open()
    }

    /// How long it has been open, ms; 0 when it is not.
    #[must_use]
    pub const fn open_ms(&self, now: Now) -> u64 {
        match self.phase {
            Phase::Open { since_mono_ns } => now.mono_ns.saturating_sub(since_mono_ns) / 1_000_000,
            _ => 0,
        }
    }

    /// Whether data has come on the connection that is open.
    #[must_use]
    pub const fn has_heard(&self) -> bool {
        matches!(self.phase, Phase::Open { since_mono_ns } if self.last_data_mono_ns > since_mono_ns)
    }

    /// A new attempt, if one is due now: the connection to ask for.
    pub fn begin(&mut self, now: Now) -> Option<Generation> {
        match self.phase {
            Phase::Waiting { until_mono_ns } if now.mono_ns >= until_mono_ns => {
                self.generation += 1;
                self.phase = Phase::Connecting { deadline_mono_ns: now.after_ms(CONNECT_DEADLINE_MS) };
                Some(self.generation)
            }
            Phase::Open { .. } if self.open_ms(now) > STEADY_AFTER_MS => {
                self.backoff.reset();
                None
            }
            _ => None,
        }
    }

    /// The connection is open.
    pub const fn on_connected(&mut self, now: Now) {
        self.phase = Phase::Open { since_mono_ns: now.mono_ns };
        self.last_data_mono_ns = now.mono_ns;
        self.told_silent = false;
    }

    /// Forgets the connection, if there is one, and is due for the next at once.
    pub const fn restart(&mut self) {
        self.phase = Phase::Waiting { until_mono_ns: 0 };
    }

    /// The connection is gone, or could not be made: ms until the next attempt.
    pub fn on_closed(&mut self, now: Now, random: &mut Random) -> u64 {
        let delay_ms = self.backoff.next_ms(random);
        self.closed_once = true;
        self.phase = Phase::Waiting { until_mono_ns: now.after_ms(delay_ms) };
        delay_ms
    }

    /// Whether the attempt under way takes too long.
    #[must_use]
    pub const fn is_overdue(&self, now: Now) -> bool {
        matches!(self.phase, Phase::Connecting { deadline_mono_ns } if now.mono_ns >= deadline_mono_ns)
    }

    /// Data came. Answers whether the link had been told silent.
    #[inline]
    pub const fn on_data(&mut self, now: Now) -> bool {
        self.last_data_mono_ns = now.mono_ns;
        core::mem::replace(&mut self.told_silent, false)
    }

    /// What an open link's silence asks for now, if anything.
    pub const fn silence(&mut self, now: Now, limits: SilenceLimits) -> Option<Silence> {
        if !self.is_open() {
            return None;
        }
        let silent_ms = now.mono_ns.saturating_sub(self.last_data_mono_ns) / 1_000_000;
        if silent_ms >= limits.reconnect_ms {
            return Some(Silence::Reconnect);
        }
        if silent_ms >= limits.stale_ms && !self.told_silent {
            self.told_silent = true;
            return Some(Silence::Stale);
        }
        None
    }
}
