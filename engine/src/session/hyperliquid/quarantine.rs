//! Subscriptions that may have killed a connection, tried on a connection of their own.
//!
//! A batch that survives is acquitted. Of one that dies, what was acknowledged is acquitted and the rest is
//! halved, until the culprit stands alone: that one is condemned, and tried again after a long time only.

use super::links::{Carried, LinkState, Names};
use crate::limits::{
    HYPERLIQUID_FATAL_WITHIN_MS, HYPERLIQUID_PROBE_PAUSE_MS, HYPERLIQUID_RETRIAL_MS, QUARANTINE_MAX,
};
use crate::session::backoff::Backoff;
use crate::session::pace::Pace;
use crate::session::{Action, Link};
use codec::time::Now;
use std::collections::VecDeque;

/// What is known of some suspects now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Harmless: they go back to where they belong.
    Acquitted(Vec<Carried>),
    /// It kills connections.
    Condemned(Carried),
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
    }

    /// One that the venue refused in words.
    pub fn condemn(&mut self, carried: Carried, now: Now) {
        self.condemned.push((carried, now.after_ms(HYPERLIQUID_RETRIAL_MS)));
    }

    /// Time passed: begins the next trial, or ends one that was survived.
    pub fn on_tick(&mut self, now: Now) -> Option<Finding> {
        while let Some(place) = self.condemned.iter().position(|(_, until)| now.mono_ns >= *until) {
            let (carried, _) = self.condemned.swap_remove(place);
            self.batches.push(vec![carried]);
        }
        if self.under_trial.is_empty() {
            if now.mono_ns >= self.not_before_mono_ns
                && let Some(batch) = self.batches.pop()
            {
                self.probe.restart();
                batch.iter().for_each(|one| self.probe.add(*one));
                self.under_trial = batch;
            }
            return None;
        }
        if self.probe.settled_ms(now).is_some_and(|ms| ms > HYPERLIQUID_FATAL_WITHIN_MS) {
            return Some(Finding::Acquitted(self.end(now)));
        }
        None
    }

    fn end(&mut self, now: Now) -> Vec<Carried> {
        self.not_before_mono_ns = now.after_ms(HYPERLIQUID_PROBE_PAUSE_MS);
        core::mem::take(&mut self.under_trial)
    }

    /// The probe's connection died. `early`: it had been open when it did.
    pub fn on_died(&mut self, early: bool, now: Now) -> Vec<Finding> {
        let acquitted: Vec<Carried> = self.probe.acknowledged().collect();
        let batch = self.end(now);
        if !early {
            // Not made at all: that says nothing about the batch.
            self.batches.push(batch);
            return Vec::new();
        }
        let mut rest: Vec<Carried> = batch.into_iter().filter(|one| !acquitted.contains(one)).collect();
        let mut findings = Vec::new();
        match rest.len() {
            // All were acknowledged, and one of them is none the less deadly.
            0 if acquitted.len() > 1 => {
                let mut first = acquitted;
                let second = first.split_off(first.len() / 2);
                self.batches.extend([second, first]);
            }
            0 => {
                for one in acquitted {
                    findings.push(Finding::Condemned(one));
                    self.condemn(one, now);
                }
            }
            1 => {
                findings.push(Finding::Condemned(rest[0]));
                self.condemn(rest[0], now);
                findings.push(Finding::Acquitted(acquitted));
            }
            count => {
                let second = rest.split_off(count / 2);
                self.batches.push(second);
                self.batches.push(rest);
                findings.push(Finding::Acquitted(acquitted));
            }
        }
        findings
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
        if !self.under_trial.is_empty() {
            self.probe.drive(now, url, names, pace, actions);
        }
    }
}
