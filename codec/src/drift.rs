//! How a venue differs from what is known of it: kept by one writer, read by anybody.
//!
//! ```text
//!   session ──DriftWriter::note──▶ DriftTable: entry │ entry │ entry │ (free) │ …   + totals by kind
//!                                      ▲ set once, then only its count rises
//!   status report, metrics ────────────┘
//! ```
//! An entry, once there, keeps its place and its words; readers see it whole or not at all. What has no room
//! is in the totals, and counted as overflow. Some places are reserved for each kind, so that none of them can take
//! every place.

use crate::limits::{DRIFT_ENTRIES_MAX, DRIFT_ENTRIES_RESERVED, DRIFT_FRAME_BYTES_MAX, DRIFT_WHAT_BYTES_MAX};
use core::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// In which way a venue differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriftKind {
    /// A known message has a member it did not have.
    NewField,
    /// A channel or an event that is not known.
    NewChannel,
    /// A known member holds a word it did not hold.
    NewValue,
    /// A stream comes at another pace than expected.
    Cadence,
    /// Everything asked for on a route is acknowledged, and nothing comes.
    SilentRoute,
    /// A stream is acknowledged, and nothing comes.
    SilentStream,
    /// An instrument has another tick, or other decimals of its prices.
    TickSize,
    /// An instrument has another lot, or other decimals of its sizes.
    LotSize,
}

impl DriftKind {
    /// Every kind, in the order in which totals hold them.
    pub const ALL: &'static [Self] = &[
        Self::NewField,
        Self::NewChannel,
        Self::NewValue,
        Self::Cadence,
        Self::SilentRoute,
        Self::SilentStream,
        Self::TickSize,
        Self::LotSize,
    ];

    /// Its word for clients and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewField => "new_field",
            Self::NewChannel => "new_channel",
            Self::NewValue => "new_value",
            Self::Cadence => "cadence",
            Self::SilentRoute => "silent_route",
            Self::SilentStream => "silent_stream",
            Self::TickSize => "tick_size",
            Self::LotSize => "lot_size",
        }
    }
}

/// One difference.
#[derive(Debug)]
pub struct DriftEntry {
    /// In which way.
    pub kind: DriftKind,
    /// What differs.
    pub what: Box<str>,
    /// When it was first seen, µs since the epoch.
    pub first_us: u64,
    /// The message that showed it first, cut; or, where no message does, what was seen.
    pub frame: Box<str>,
    count: AtomicU64,
}

impl DriftEntry {
    /// Times it was seen.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Places that every kind may take once it has taken those reserved for it.
const SHARED: usize = DRIFT_ENTRIES_MAX - DRIFT_ENTRIES_RESERVED * DriftKind::ALL.len();

/// See the module.
#[derive(Debug)]
pub struct DriftTable {
    entries: [OnceLock<DriftEntry>; DRIFT_ENTRIES_MAX],
    totals: [AtomicU64; DriftKind::ALL.len()],
    overflow: AtomicU64,
}

impl Default for DriftTable {
    fn default() -> Self {
        Self {
            entries: [const { OnceLock::new() }; DRIFT_ENTRIES_MAX],
            totals: Default::default(),
            overflow: AtomicU64::new(0),
        }
    }
}

impl DriftTable {
    /// Every difference that is kept, in order of first sight.
    pub fn entries(&self) -> impl Iterator<Item = &DriftEntry> {
        self.entries.iter().map_while(OnceLock::get)
    }

    /// Times a difference of this kind was seen, kept or not.
    #[must_use]
    pub fn total(&self, kind: DriftKind) -> u64 {
        self.totals[kind as usize].load(Ordering::Relaxed)
    }

    /// Times a difference was seen that has no entry.
    #[must_use]
    pub fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }
}

/// The table's one writer.
#[derive(Debug, Default)]
pub struct DriftWriter {
    table: Arc<DriftTable>,
}

/// One writer, so a load and a store do.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// The text's beginning, of at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

impl DriftWriter {
    /// The table, for readers.
    #[must_use]
    pub fn table(&self) -> Arc<DriftTable> {
        Arc::clone(&self.table)
    }

    /// Notes `more` times of a difference. Answers with its entry's place, if it has one, and whether it is new.
    pub fn note(
        &mut self,
        kind: DriftKind,
        what: &str,
        more: u64,
        frame: &[u8],
        now_us: u64,
    ) -> (Option<usize>, bool) {
        let what = cut(what, DRIFT_WHAT_BYTES_MAX);
        let known = self.table.entries().position(|entry| entry.kind == kind && *entry.what == *what);
        if known.is_some() {
            self.add(kind, known, more);
            return (known, false);
        }
        let place = self.room_for(kind);
        if let Some(place) = place {
            let frame = String::from_utf8_lossy(&frame[..frame.len().min(DRIFT_FRAME_BYTES_MAX)]);
            let entry = DriftEntry {
                kind,
                what: what.into(),
                first_us: now_us,
                frame: cut(&frame, DRIFT_FRAME_BYTES_MAX).into(),
                count: AtomicU64::new(0),
            };
            // Nobody else writes, so the place is free.
            let _ = self.table.entries[place].set(entry);
        }
        self.add(kind, place, more);
        (place, place.is_some())
    }

    /// The place of this kind's next entry, if it may have one: of those reserved for it, or else of the shared ones.
    fn room_for(&self, kind: DriftKind) -> Option<usize> {
        let mut taken = [0_usize; DriftKind::ALL.len()];
        self.table.entries().for_each(|entry| taken[entry.kind as usize] += 1);
        let beyond: usize = taken.iter().map(|&of_kind| of_kind.saturating_sub(DRIFT_ENTRIES_RESERVED)).sum();
        let may = taken[kind as usize] < DRIFT_ENTRIES_RESERVED || beyond < SHARED;
        may.then(|| taken.iter().sum())
    }

    /// Counts `more` times of a difference whose entry's place is known.
    pub fn add(&mut self, kind: DriftKind, place: Option<usize>, more: u64) {
        add(&self.table.totals[kind as usize], more);
        match place.and_then(|place| self.table.entries[place].get()) {
            Some(entry) => add(&entry.count, more),
            None => add(&self.table.overflow, more),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_new_once_and_keeps_its_first_frame() {
        let mut writer = DriftWriter::default();
        let table = writer.table();
        assert_eq!(writer.note(DriftKind::NewField, "trade.z", 1, b"{\"z\":1}", 5), (Some(0), true));
        assert_eq!(writer.note(DriftKind::NewField, "trade.z", 2, b"other", 6), (Some(0), false));
        assert_eq!(writer.note(DriftKind::NewChannel, "trade.z", 1, &[0xff; 600], 7), (Some(1), true));
        let seen: Vec<_> = table.entries().map(|entry| (entry.kind, entry.first_us, entry.count())).collect();
        assert_eq!(seen, [(DriftKind::NewField, 5, 3), (DriftKind::NewChannel, 7, 1)]);
        assert_eq!(&*table.entries().next().unwrap().frame, "{\"z\":1}");
        assert!(table.entries().all(|entry| entry.frame.len() <= DRIFT_FRAME_BYTES_MAX));
        assert_eq!((table.total(DriftKind::NewField), table.overflow()), (3, 0));
    }

    #[test]
    fn what_has_no_room_is_in_the_totals() {
        let mut writer = DriftWriter::default();
        const ROOM: usize = DRIFT_ENTRIES_RESERVED + SHARED;
        for number in 0..ROOM + 3 {
            writer.note(DriftKind::NewChannel, &number.to_string(), 2, b"", 0);
        }
        let table = writer.table();
        assert_eq!(table.entries().count(), ROOM);
        assert_eq!(table.overflow(), 6);
        assert_eq!(table.total(DriftKind::NewChannel), 2 * (ROOM as u64 + 3));
        assert_eq!(writer.note(DriftKind::NewChannel, "new", 1, b"", 0), (None, false));
    }

    /// The fault: ticks of hundreds of symbols change, in the ordinary course of a long run.
    #[test]
    fn no_kind_takes_the_places_of_the_others() {
        let mut writer = DriftWriter::default();
        for number in 0..1_000 {
            writer.note(DriftKind::TickSize, &number.to_string(), 1, b"", 0);
        }
        for &kind in DriftKind::ALL.iter().filter(|kind| **kind != DriftKind::TickSize) {
            for number in 0..DRIFT_ENTRIES_RESERVED {
                let (place, is_new) = writer.note(kind, &number.to_string(), 1, b"{}", 0);
                assert!(place.is_some() && is_new, "{kind:?} {number}");
            }
            assert_eq!(writer.note(kind, "more", 1, b"{}", 0), (None, false), "{kind:?}");
        }
        assert_eq!(writer.table().entries().count(), DRIFT_ENTRIES_MAX);
    }
}
