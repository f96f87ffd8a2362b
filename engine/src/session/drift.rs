//! How the venue differs from what we know of it: counted, told once each, the first message kept.

use crate::event::{Event, Severity};
use crate::session::Out;
use codec::drift::{DriftKind, DriftTable, DriftWriter};
use codec::record::InstrumentBody;
use codec::time::Now;
use codec::venues::{Strange, StrangeKind};
use codec::words::Venue;
use std::sync::Arc;

/// See the module.
#[derive(Debug)]
pub struct Drift {
    venue: Venue,
    writer: DriftWriter,
    /// Of each thing the decoder found strange, by its place there: where it is in the table, how often it was
    /// counted there, and its kind.
    strange: Vec<(Option<usize>, u64, DriftKind)>,
    overflow: u64,
    /// Kinds of which something had no place in the table, and that was told.
    told_full: [bool; DriftKind::ALL.len()],
}

/// What is said in the log at the first sight of a difference.
const fn phrase(kind: DriftKind) -> &'static str {
    match kind {
        DriftKind::NewField => "venue drift: a member that is not known",
        DriftKind::NewChannel => "venue drift: a channel that is not known",
        DriftKind::NewValue => "venue drift: a word that is not known",
        DriftKind::Cadence => "venue drift: a stream comes at another pace than expected",
        DriftKind::SilentRoute => "venue drift: a connection is acknowledged and silent",
        DriftKind::SilentStream => "venue drift: a stream is acknowledged and silent",
        DriftKind::TickSize => "venue drift: an instrument has another tick",
        DriftKind::LotSize => "venue drift: an instrument has another lot",
    }
}

impl Drift {
    /// Nothing differs yet.
    #[must_use]
    pub fn new(venue: Venue) -> Self {
        Self {
            venue,
            writer: DriftWriter::default(),
            strange: Vec::new(),
            overflow: 0,
            told_full: Default::default(),
        }
    }

    /// The table, for readers.
    #[must_use]
    pub fn table(&self) -> Arc<DriftTable> {
        self.writer.table()
    }

    /// Notes a difference, and tells it if it is new. `seen`: the message that shows it, or what was seen.
    #[cold]
    pub fn note(&mut self, kind: DriftKind, what: &str, seen: &[u8], now: Now, out: &mut Out<'_>) {
        let (place, is_new) = self.writer.note(kind, what, 1, seen, now.wall_ns / 1_000);
        if is_new {
            self.tell(kind, what, seen, out);
        } else if place.is_none() {
            self.tell_full(kind, what, out);
        }
    }

    /// The log tells of differences once each, and of those that the table does not keep it would tell each time: of
    /// these the first of each kind is told, and that more of it is only counted.
    #[cold]
    fn tell_full(&mut self, kind: DriftKind, what: &str, out: &mut Out<'_>) {
        if !core::mem::replace(&mut self.told_full[kind as usize], true) {
            let full = "no room for more of what the venue changed, from here on only counted";
            let event = Event::new(Severity::Warn, Some(self.venue), full);
            (out.events)(event.about(kind.as_str()).detail(what));
        }
    }

    fn tell(&self, kind: DriftKind, what: &str, seen: &[u8], out: &mut Out<'_>) {
        let seen = String::from_utf8_lossy(&seen[..seen.len().min(crate::event::TEXT_BYTES_MAX)]);
        let event = Event::new(Severity::Warn, Some(self.venue), phrase(kind));
        (out.events)(event.about(what).detail(&seen));
    }

    /// The decoder found something strange in a message for the first time.
    #[cold]
    pub fn on_strange(&mut self, strange: &mut Strange, message: &[u8], now: Now, out: &mut Out<'_>) {
        let now_us = now.wall_ns / 1_000;
        for (place, thing) in strange.look() {
            let (kind, what) = match thing.kind {
                StrangeKind::Field => (DriftKind::NewField, format!("{}.{}", thing.of, thing.name())),
                StrangeKind::Value => (DriftKind::NewValue, format!("{}={}", thing.of, thing.name())),
            };
            let (entry, is_new) = self.writer.note(kind, &what, thing.count, message, now_us);
            debug_assert_eq!(place, self.strange.len());
            self.strange.push((entry, thing.count, kind));
            if is_new {
                self.tell(kind, &what, message, out);
            } else if entry.is_none() {
                self.tell_full(kind, &what, out);
            }
        }
    }

    /// Brings the counts up to what the decoder has seen.
    #[inline]
    pub fn count(&mut self, strange: &Strange, out: &mut Out<'_>) {
        for (thing, (entry, counted, kind)) in strange.things().iter().zip(&mut self.strange) {
            if thing.count > *counted {
                self.writer.add(*kind, *entry, thing.count - *counted);
                *counted = thing.count;
            }
        }
        if strange.overflow() > self.overflow {
            self.writer.add(DriftKind::NewField, None, strange.overflow() - self.overflow);
            self.overflow = strange.overflow();
            self.tell_full(DriftKind::NewField, "", out);
        }
    }

    /// An instrument's particulars, as they were and as they are.
    pub fn on_redefined(
        &mut self,
        before: Option<InstrumentBody>,
        after: &InstrumentBody,
        name: &str,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let Some(before) = before else { return };
        // What was not known before has not changed.
        let was_known = before.lot_size.raw() != 0;
        if was_known && (before.tick_size, before.price_decimals) != (after.tick_size, after.price_decimals) {
            let seen = format!(
                "tick {} became {}, decimals {} became {}",
                before.tick_size, after.tick_size, before.price_decimals, after.price_decimals
            );
            self.note(DriftKind::TickSize, name, seen.as_bytes(), now, out);
        }
        if was_known && before.lot_size != after.lot_size {
            let seen = format!("lot {} became {}", before.lot_size, after.lot_size);
            self.note(DriftKind::LotSize, name, seen.as_bytes(), now, out);
        }
    }

    /// A stream's pace is another than expected, or as expected again.
    #[cold]
    pub fn on_cadence(
        &mut self,
        what: &'static str,
        expected_ms: u64,
        change: super::cadence::Change,
        now: Now,
        out: &mut Out<'_>,
    ) {
        match change {
            super::cadence::Change::Other(median_ms) => {
                let seen = format!("every {median_ms} ms (median) instead of {expected_ms}");
                self.note(DriftKind::Cadence, what, seen.as_bytes(), now, out);
            }
            super::cadence::Change::Expected => {
                let what_is = "stream comes at its expected pace again";
                (out.events)(Event::new(Severity::Info, Some(self.venue), what_is).about(what));
            }
        }
    }
}
