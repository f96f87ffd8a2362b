//! How often a stream comes, against how often it should: told when it changes, not when it hiccups.
//!
//! One instrument is the witness: the venue's own times of its messages give the gaps, and the median of the
//! last [`CADENCE_WINDOW`] of them is the stream's pace. A step of a clock, a late burst or a lost message is
//! one gap of many. A witness that falls silent gives way to the next instrument that speaks.

use crate::limits::{CADENCE_FACTOR_PERCENT, CADENCE_WINDOW, CADENCE_WITNESS_SILENT_MS};

/// What has become of a pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is another than expected: this one, ms.
    Other(u64),
    /// It is as expected again.
    Expected,
}

/// See the module.
#[derive(Debug)]
pub struct Cadence {
    expected_ms: u64,
    witness: Option<usize>,
    /// The witness's last time at the venue, and when a gap of it last counted, monotonic ms.
    last_ms: u64,
    counted_mono_ms: u64,
    gaps_ms: [u32; CADENCE_WINDOW],
    filled: usize,
    is_other: bool,
}

impl Cadence {
    /// A stream that should come every so many milliseconds.
    #[must_use]
    pub const fn new(expected_ms: u64) -> Self {
        Self {
            expected_ms,
            witness: None,
            last_ms: 0,
            counted_mono_ms: 0,
            gaps_ms: [0; CADENCE_WINDOW],
            filled: 0,
            is_other: false,
        }
    }

    /// What is expected, ms.
    #[must_use]
    pub const fn expected_ms(&self) -> u64 {
        self.expected_ms
    }

    /// A message of an instrument, of this time at the venue. `busy`: the market gave it reason to come in
    /// time; of one that had none only a short gap says something.
    #[inline]
    pub fn on_message(
        &mut self,
        instrument: usize,
        venue_ms: u64,
        busy: bool,
        mono_ns: u64,
    ) -> Option<Change> {
        if self.witness == Some(instrument) {
            let gap_ms = venue_ms.saturating_sub(self.last_ms);
            if gap_ms == 0 {
                // The same moment again, or one before it.
                return None;
            }
            self.last_ms = venue_ms;
            if busy || gap_ms <= self.expected_ms {
                return self.count(gap_ms, mono_ns);
            }
        } else if self.witness.is_none()
            || mono_ns / 1_000_000 > self.counted_mono_ms + CADENCE_WITNESS_SILENT_MS
        {
            self.witness = Some(instrument);
            self.forget(venue_ms, mono_ns);
        }
        None
    }

    fn forget(&mut self, venue_ms: u64, mono_ns: u64) {
        (self.last_ms, self.counted_mono_ms, self.filled) = (venue_ms, mono_ns / 1_000_000, 0);
    }

    fn count(&mut self, gap_ms: u64, mono_ns: u64) -> Option<Change> {
        self.counted_mono_ms = mono_ns / 1_000_000;
        self.gaps_ms[self.filled] = u32::try_from(gap_ms).unwrap_or(u32::MAX);
        self.filled += 1;
        if self.filled < CADENCE_WINDOW {
            return None;
        }
        self.filled = 0;
        self.gaps_ms.sort_unstable();
        let median_ms = u64::from(self.gaps_ms[CADENCE_WINDOW / 2]);
        let is_other = median_ms * 100 > self.expected_ms * CADENCE_FACTOR_PERCENT
            || median_ms * CADENCE_FACTOR_PERCENT < self.expected_ms * 100;
        let changed = is_other != self.is_other;
        self.is_other = is_other;
        changed.then_some(if is_other { Change::Other(median_ms) } else { Change::Expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Messages of an instrument at such gaps; the changes that shows.
    fn feed(
        cadence: &mut Cadence,
        at: &mut (u64, u64),
        gaps_ms: impl IntoIterator<Item = u64>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        for gap_ms in gaps_ms {
            at.0 += gap_ms;
            at.1 += gap_ms * 1_000_000;
            changes.extend(cadence.on_message(3, at.0, true, at.1));
        }
        changes
    }

    #[test]
    fn a_pace_that_changes_is_told_once_and_so_is_its_return() {
        let mut cadence = Cadence::new(540);
        let mut at = (1_000, 0);
        assert_eq!(feed(&mut cadence, &mut at, std::iter::repeat_n(550, 200)), []);
        // A pause and a step of the clock are no change.
        assert_eq!(feed(&mut cadence, &mut at, [60_000, 550, 86_400_000]), []);
        assert_eq!(feed(&mut cadence, &mut at, std::iter::repeat_n(5_000, 200)), [Change::Other(5_000)]);
        assert_eq!(feed(&mut cadence, &mut at, std::iter::repeat_n(540, 200)), [Change::Expected]);
        assert_eq!(feed(&mut cadence, &mut at, std::iter::repeat_n(250, 200)), [Change::Other(250)]);
    }

    #[test]
    fn a_quiet_market_is_no_change_and_a_silent_witness_gives_way() {
        let mut cadence = Cadence::new(100);
        let mut mono_ns = 0;
        for round in 0..1_000u64 {
            mono_ns += 700_000_000;
            assert_eq!(cadence.on_message(1, 5_000 + round * 700, false, mono_ns), None);
        }
        let mut changes = Vec::new();
        for round in 0..100u64 {
            mono_ns += 500_000_000;
            changes.extend(cadence.on_message(2, round * 500, true, mono_ns));
        }
        assert_eq!(changes, [Change::Other(500)], "the busy one is listened to");
    }
}
