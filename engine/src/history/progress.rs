//! How far the loading of a venue's history is, for the log.

use super::outbox::Outbox;
use crate::event::{Event, Severity};
use crate::limits::HISTORY_PROGRESS_INTERVAL_MS;
use codec::time::Now;
use codec::words::Venue;

/// Instruments come in bursts; a load begins, or is over, when none has come for this long.
const SETTLED_MS: u64 = 200;

/// See the module.
#[derive(Debug)]
pub(super) struct Progress {
    venue: Venue,
    settled_at_ns: u64,
    /// When the present load began; `None`: all is loaded.
    began_ns: Option<u64>,
    told_start: bool,
    told_tenths: u64,
    told_ns: u64,
}

impl Progress {
    pub fn new(venue: Venue) -> Self {
        Self { venue, settled_at_ns: 0, began_ns: None, told_start: false, told_tenths: 0, told_ns: 0 }
    }

    /// An instrument has come.
    pub fn on_instrument(&mut self, now: Now) {
        self.settled_at_ns = now.after_ms(SETTLED_MS);
    }

    /// Tells what there is to tell.
    pub fn look(&mut self, loaded: u64, total: u64, requests: u64, now: Now, out: &mut Outbox) {
        if self.began_ns.is_none() && loaded < total {
            *self = Self {
                began_ns: Some(now.mono_ns),
                settled_at_ns: self.settled_at_ns,
                ..Self::new(self.venue)
            };
            self.told_ns = now.mono_ns;
        }
        let Some(began_ns) = self.began_ns.filter(|_| now.mono_ns >= self.settled_at_ns) else { return };
        let mut tell = |what, detail: String| {
            out.events
                .push_back(Event::new(Severity::Info, Some(self.venue), what).number(total).detail(&detail));
        };
        let seconds = (now.mono_ns - began_ns) / 1_000_000_000;
        if loaded == total {
            tell("candle history loaded", format!("{total} series in {seconds} s, {requests} requests"));
            self.began_ns = None;
            return;
        }
        let tenths = loaded * 10 / total.max(1);
        if !self.told_start {
            tell("candle history: loading", format!("{loaded} of {total} series are there"));
            self.told_start = true;
        } else if tenths > self.told_tenths
            || now.mono_ns.saturating_sub(self.told_ns) >= HISTORY_PROGRESS_INTERVAL_MS * 1_000_000
        {
            tell("candle history: still loading", format!("{loaded} of {total} series after {seconds} s"));
        } else {
            return;
        }
        (self.told_tenths, self.told_ns) = (tenths, now.mono_ns);
    }
}
