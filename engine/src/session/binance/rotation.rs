//! Replacing a connection without a loss: the successor delivers everything before the old one goes.
//!
//! ```text
//!   Idle ──open──▶ Due ──23 h old, or to be renewed──▶ Preparing ──acknowledged, data for some seconds──▶ Due
//!    ▲              ▲ │ lost                              │ │ the successor fails or is not ready: later again
//!    └──────────────┼─┘                                   │ └──────────────────────────────────────▶ Due
//!                   └────── the old one is lost: the successor carries on with what it has ─────────┘
//! ```
//! In the overlap both deliver; what comes twice is dropped by its id where it is handled. No state changes:
//! the streams' states follow the old connection until the successor takes over, and it has everything then.

use super::feed::Feed;
use super::{VENUE, links::LinkTrouble};
use crate::event::{Event, Severity};
use crate::limits::{
    BINANCE_RENEW_INTERVAL_MS, BINANCE_ROTATE_AFTER_MS, BINANCE_ROTATE_JITTER_MS,
    BINANCE_ROTATION_DEADLINE_MS, BINANCE_ROTATION_OVERLAP_MS,
};
use crate::session::lifecycle::SilenceLimits;
use crate::session::{Action, Out};
use codec::time::{Now, ns_of_ms};
use codec::words::Reason;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// There is no connection to replace.
    Idle,
    /// The connection is replaced at this time.
    Due {
        /// Monotonic ns.
        at_mono_ns: u64,
    },
    /// The successor is made ready.
    Preparing {
        /// … or given up at this time, monotonic ns.
        until_mono_ns: u64,
        /// Since when all of it is acknowledged, monotonic ns.
        subscribed_mono_ns: Option<u64>,
    },
}

impl Feed {
    /// When a connection that is open since now is replaced.
    fn next_rotation(&mut self, now: Now) -> Rotation {
        let age_ms = BINANCE_ROTATE_AFTER_MS - self.random.below(BINANCE_ROTATE_JITTER_MS);
        Rotation::Due { at_mono_ns: now.after_ms(age_ms) }
    }

    /// The active connection is open.
    pub(super) fn schedule_rotation(&mut self, at: usize, now: Now) {
        self.groups[at].rotation = self.next_rotation(now);
    }

    /// Single streams of a connection are dead: it is replaced, with overlap, if that was not tried of late.
    pub(super) fn renew(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        if now.mono_ns < group.renew_not_before_mono_ns || !matches!(group.rotation, Rotation::Due { .. }) {
            return;
        }
        group.renew_not_before_mono_ns = now.after_ms(BINANCE_RENEW_INTERVAL_MS);
        group.rotation = Rotation::Due { at_mono_ns: now.mono_ns };
        let what = "streams silent in spite of asking again, connection replaced";
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what)
                .about(group.route.as_str())
                .number(group.active().link().into()),
        );
    }

    /// Begins, watches and ends the rotation of a group.
    pub(super) fn tick_rotation(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let judged = self.is_judged(at);
        let group = &mut self.groups[at];
        let other = 1 - group.active;
        match group.rotation {
            Rotation::Idle => {}
            Rotation::Due { at_mono_ns } => {
                if now.mono_ns >= at_mono_ns && group.active().life.is_open() {
                    let until_mono_ns = now.after_ms(BINANCE_ROTATION_DEADLINE_MS);
                    group.rotation = Rotation::Preparing { until_mono_ns, subscribed_mono_ns: None };
                }
            }
            Rotation::Preparing { until_mono_ns, subscribed_mono_ns } => {
                // Its silence is not told: it is not ready then, and given up at the deadline.
                let never = SilenceLimits { stale_ms: u64::MAX, reconnect_ms: u64::MAX };
                let trouble = group.sides[other].trouble(now, never, false);
                if now.mono_ns >= until_mono_ns || trouble.is_some_and(|it| it != LinkTrouble::AckLate) {
                    self.give_up_rotation(at, now, out);
                    return;
                }
                if !group.is_subscribed(other) {
                    group.rotation = Rotation::Preparing { until_mono_ns, subscribed_mono_ns: None };
                    return;
                }
                let since = subscribed_mono_ns.unwrap_or(now.mono_ns);
                group.rotation = Rotation::Preparing { until_mono_ns, subscribed_mono_ns: Some(since) };
                let overlap_ns = ns_of_ms(BINANCE_ROTATION_OVERLAP_MS);
                let speaks = group.sides[other].data_mono_ns.saturating_add(overlap_ns) > now.mono_ns;
                let data_for_ns = now.mono_ns.saturating_sub(since);
                if data_for_ns >= overlap_ns && (speaks || !judged) {
                    self.finish_rotation(at, now, out);
                }
            }
        }
    }

    /// The successor takes over.
    pub(super) fn finish_rotation(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        let old = group.active;
        out.actions.push_back(Action::Close { link: group.sides[old].link() });
        group.sides[old].on_closed(now, &mut self.random);
        group.rotation_backoff.reset();
        self.take_over(at, Reason::Disconnect, now, out);
        let group = &self.groups[at];
        (out.events)(
            Event::new(Severity::Info, Some(VENUE), "connection replaced")
                .about(group.route.as_str())
                .number(group.active().link().into()),
        );
    }

    /// The other side is the active one from now on, in whatever state it is: its streams carry on, those it
    /// does not have yet are lost for this reason.
    pub(super) fn take_over(&mut self, at: usize, reason: Reason, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        group.active = 1 - group.active;
        let is_open = group.active().life.is_open();
        group.is_lost = !is_open;
        group.rotation = Rotation::Idle;
        if is_open {
            self.schedule_rotation(at, now);
        }
        self.end_overlap(at, None, now, out);
        self.lose_streams(at, reason, |active, place| !active.is_acked(place), now, out);
        if is_open {
            self.take_over_streams(at, now, out);
            self.begin_streams(at, |active, place| !active.is_acked(place), now, out);
            self.wake_streams(at, now, out);
        }
    }

    /// The successor fails: the old connection stays, and it is tried again later.
    pub(super) fn give_up_rotation(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        let other = &mut group.sides[1 - group.active];
        if other.is_in_use() {
            out.actions.push_back(Action::Close { link: other.link() });
            other.on_closed(now, &mut self.random);
        }
        self.postpone_rotation(at, now, out);
    }

    /// As [`Self::give_up_rotation`], with the successor gone already.
    pub(super) fn postpone_rotation(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        let delay_ms = group.rotation_backoff.next_ms(&mut self.random);
        group.rotation = Rotation::Due { at_mono_ns: now.after_ms(delay_ms) };
        let what = "connection could not be replaced, the old one stays for now";
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what).about(group.route.as_str()).number(delay_ms),
        );
        let given_up = self.groups[at].sides[1 - self.groups[at].active].link();
        self.end_overlap(at, Some(given_up), now, out);
    }
}
