//! Subscriptions that may have killed a connection, tried on a connection of their own.
//!
//! A batch that survives is acquitted. Of one that dies, what was acknowledged is acquitted and the rest is
//! halved, until the culprit stands alone: when it kills a second connection in a row, it is condemned, and tried
//! again after a long time only. A connection that dies together with others shows nothing: that is the network.

use super::links::{Carried, LinkState, Names};
use crate::limits::{
    HYPERLIQUID_FATAL_WITHIN_MS, HYPERLIQUID_PROBE_PAUSE_MS, HYPERLIQUID_RETRIAL_MS,
    HYPERLIQUID_SAME_FALL_MS, QUARANTINE_MAX,
};
use crate::session::backoff::Backoff;
use crate::session::pace::Pace;
use crate::session::{Action, Link};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::Subscription;
use std::collections::VecDeque;

/// What is known of some suspects now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Harmless: they go back to where they belong.
    Acquitted(Vec<Carried>),
    /// It kills connections.
    Condemned(Carried),
}

/// The end of a trial's connection, until it is judged.
#[derive(Debug)]
struct Fall {
    at_mono_ns: u64,
    acknowledged: Vec<Carried>,
}

/// See the module.
#[derive(Debug)]
pub struct Quarantine {
    /// The connection the suspects are tried on.
    pub probe: LinkState,
    /// To be tried, each batch on a connection; the last one first.
    batches: Vec<Vec<Carried>>,
    under_trial: Vec<Carried>,
    condemned: Vec<(Carried, u64)>,
    not_before_mono_ns: u64,
    fall: Option<Fall>,
    /// When a connection elsewhere died last.
    other_fell_mono_ns: Option<u64>,
    /// Each has killed its last connection, and nothing else was left that could have.
    doubted: Vec<Carried>,
}

impl Quarantine {
    /// Empty, with `link` for its connections.
    #[must_use]
    pub fn new(link: Link) -> Self {
        Self {
            // Trials are paced here, not by the connection's own backoff.
            probe: LinkState::new(link, Backoff::new(HYPERLIQUID_PROBE_PAUSE_MS, HYPERLIQUID_PROBE_PAUSE_MS)),
            batches: Vec::new(),
            under_trial: Vec::new(),
            condemned: Vec::new(),
            not_before_mono_ns: 0,
            fall: None,
            other_fell_mono_ns: None,
            doubted: Vec::new(),
        }
    }

    /// Takes suspects in. `false`: there is no room, and they are tried where they were.
    pub fn take(&mut self, suspects: Vec<Carried>) -> bool {
        let held: usize = self.batches.iter().map(Vec::len).sum();
        if held + suspects.len() > QUARANTINE_MAX {
            return false;
        }
        if !suspects.is_empty() {
            self.batches.push(suspects);
        }
        true
    }

    /// Forgets what belongs to a symbol.
    pub fn forget_symbol(&mut self, symbol: usize) {
        self.batches.iter_mut().for_each(|batch| batch.retain(|one| one.symbol != symbol));
        self.batches.retain(|batch| !batch.is_empty());
        self.condemned.retain(|(one, _)| one.symbol != symbol);
        self.doubted.retain(|one| one.symbol != symbol);
    }

    /// Forgets one subscription.
    pub fn forget(&mut self, carried: Carried) {
        self.batches.iter_mut().for_each(|batch| batch.retain(|one| *one != carried));
        self.batches.retain(|batch| !batch.is_empty());
        self.condemned.retain(|(one, _)| *one != carried);
        self.doubted.retain(|one| *one != carried);
    }

    /// One that the venue refused in words.
    pub fn condemn(&mut self, carried: Carried, now: Now) {
        self.condemned.retain(|(one, _)| *one != carried);
        self.condemned.push((carried, now.after_ms(HYPERLIQUID_RETRIAL_MS)));
    }

    /// The venue refused one of those under trial in words: it is condemned, and the others go on.
    pub fn refuse(&mut self, symbol: usize, refused: &Subscription<'_>, now: Now) -> Option<Carried> {
        let carried = self.probe.refuse(symbol, refused)?;
        self.probe.forget(carried);
        self.under_trial.retain(|one| *one != carried);
        self.condemn(carried, now);
        Some(carried)
    }

    /// Whether nothing is left to be tried on the connection that is there.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.under_trial.is_empty()
    }

    /// The trial under way shows nothing: another time, not before so many ms.
    pub fn put_off(&mut self, ms: u64, now: Now) {
        let batch = self.end(now);
        self.batches.extend((!batch.is_empty()).then_some(batch));
        self.not_before_mono_ns = now.after_ms(ms);
        self.probe.restart();
    }

    /// A connection elsewhere died.
    pub fn on_other_fell(&mut self, now: Now) {
        self.other_fell_mono_ns = Some(now.mono_ns);
    }

    /// Time passed: begins the next trial, or judges one that ended.
    pub fn on_tick(&mut self, now: Now) -> Vec<Finding> {
        while let Some(place) = self.condemned.iter().position(|(_, until)| now.mono_ns >= *until) {
            let (carried, _) = self.condemned.swap_remove(place);
            self.batches.push(vec![carried]);
        }
        let judged_after_ns = ns_of_ms(HYPERLIQUID_SAME_FALL_MS);
        if let Some(fall) = self.fall.take_if(|fall| now.mono_ns >= fall.at_mono_ns + judged_after_ns) {
            return self.judge(fall, now);
        }
        if self.under_trial.is_empty()
            && now.mono_ns >= self.not_before_mono_ns
            && let Some(batch) = self.batches.pop()
        {
            self.probe.restart();
            batch.iter().for_each(|one| self.probe.add(*one));
            self.under_trial = batch;
        }
        Vec::new()
    }

    /// Whether the trial was survived: its connection can be closed, and everybody let go.
    #[must_use]
    pub fn is_survived(&self, now: Now) -> bool {
        let is_running = !self.under_trial.is_empty() && self.fall.is_none();
        is_running && self.probe.settled_ms(now).is_some_and(|ms| ms > HYPERLIQUID_FATAL_WITHIN_MS)
    }

    /// Ends a trial that was survived.
    pub fn acquit(&mut self, now: Now) -> Finding {
        self.probe.restart();
        let innocent = self.end(now);
        self.clear(innocent)
    }

    fn clear(&mut self, innocent: Vec<Carried>) -> Finding {
        self.doubted.retain(|one| !innocent.contains(one));
        Finding::Acquitted(innocent)
    }

    fn end(&mut self, now: Now) -> Vec<Carried> {
        self.not_before_mono_ns = now.after_ms(HYPERLIQUID_PROBE_PAUSE_MS);
        self.fall = None;
        core::mem::take(&mut self.under_trial)
    }

    /// The probe's connection died, or was given up. `was_open`: it had been open when it did.
    pub fn on_died(&mut self, was_open: bool, now: Now) {
        let acknowledged: Vec<Carried> = self.probe.acknowledged().collect();
        self.probe.restart();
        if was_open {
            self.fall = Some(Fall { at_mono_ns: now.mono_ns, acknowledged });
        } else {
            // Not made at all: that says nothing about the batch.
            self.put_off(HYPERLIQUID_PROBE_PAUSE_MS, now);
        }
    }

    /// What the death of a trial's connection means.
    fn judge(&mut self, fall: Fall, now: Now) -> Vec<Finding> {
        let same_ns = ns_of_ms(HYPERLIQUID_SAME_FALL_MS);
        if self.other_fell_mono_ns.is_some_and(|other| other.abs_diff(fall.at_mono_ns) <= same_ns) {
            self.put_off(HYPERLIQUID_PROBE_PAUSE_MS, now);
            return Vec::new();
        }
        let batch = self.end(now);
        let (mut acquitted, mut rest): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|one| fall.acknowledged.contains(one));
        match (rest.len(), acquitted.len()) {
            (0, 0) => Vec::new(),
            (0, 1) => self.doubt(acquitted[0], now),
            // All were acknowledged, and one of them is none the less deadly.
            (0, count) => {
                let second = acquitted.split_off(count / 2);
                self.batches.extend([second, acquitted]);
                Vec::new()
            }
            (1, _) => {
                let mut findings = self.doubt(rest[0], now);
                findings.push(self.clear(acquitted));
                findings
            }
            (count, _) => {
                let second = rest.split_off(count / 2);
                self.batches.extend([second, rest]);
                vec![self.clear(acquitted)]
            }
        }
    }

    /// It stood alone: once is an accident.
    fn doubt(&mut self, suspect: Carried, now: Now) -> Vec<Finding> {
        if let Some(place) = self.doubted.iter().position(|one| *one == suspect) {
            self.doubted.swap_remove(place);
            self.condemn(suspect, now);
            return vec![Finding::Condemned(suspect)];
        }
        self.doubted.push(suspect);
        self.batches.push(vec![suspect]);
        Vec::new()
    }

    /// Drives the probe's connection.
    pub fn drive(
        &mut self,
        now: Now,
        url: &str,
        names: &Names<'_>,
        pace: &mut Pace,
        actions: &mut VecDeque<Action>,
    ) {
        if !self.under_trial.is_empty() && self.fall.is_none() {
            self.probe.drive(now, url, names, pace, actions);
        }
    }
}
