//! Candles of the past: from the history ring into the replica.
//!
//! They come by a ring of their own, so they may be earlier than the record that tells their instrument's
//! number; then they are held, within a limit, until it comes.

use crate::candle_feed::CandleHistory;
use crate::core::Core;
use crate::counters::add;
use codec::time::Now;
use std::sync::atomic::Ordering;

/// What waits for its instrument.
#[derive(Debug, Default)]
pub struct Parked {
    items: Vec<CandleHistory>,
    rows: usize,
}

impl Core {
    /// Takes one item of the history ring.
    pub fn on_history(&mut self, item: CandleHistory, now: Now) {
        let Some(slot) = self.replica.slot(item.instrument) else { return self.park(item) };
        let instrument = self.replica.instrument_mut(slot);
        let Some(series) = instrument.series_mut(item.interval) else { return self.drop_history(&item) };
        let before = series.rows();
        let refused = series.take_history(&item.candles, now.wall_ns);
        let after = series.rows();
        if item.complete && series.set_ready() {
            self.totals_changed = true;
        }
        self.count_rows(before, after, refused);
        add(&self.outlets.counters.candle_history_rows_total, item.candles.len() as u64);
    }

    /// Takes what waited for an instrument that has its number now.
    pub(crate) fn unpark(&mut self, instrument: u32, now: Now) {
        if self.parked.items.is_empty() {
            return;
        }
        let (ours, others) = core::mem::take(&mut self.parked.items)
            .into_iter()
            .partition::<Vec<_>, _>(|item| item.instrument == instrument);
        self.parked.items = others;
        for item in ours {
            self.parked.rows -= item.candles.len();
            self.on_history(item, now);
        }
    }

    fn park(&mut self, item: CandleHistory) {
        let rows = self.parked.rows + item.candles.len();
        let items_max = crate::limits::HISTORY_PARKED_ITEMS_MAX;
        if rows > crate::limits::HISTORY_PARKED_ROWS_MAX || self.parked.items.len() >= items_max {
            return self.drop_history(&item);
        }
        self.parked.rows = rows;
        self.parked.items.push(item);
    }

    fn drop_history(&mut self, item: &CandleHistory) {
        add(&self.outlets.counters.candle_history_dropped_total, item.candles.len().max(1) as u64);
    }

    /// Counts what became of a series.
    pub(crate) fn count_rows(&mut self, before: usize, after: usize, refused: usize) {
        let counters = &self.outlets.counters;
        add(&counters.candle_rows, (after as u64).wrapping_sub(before as u64));
        if refused > 0 {
            add(&counters.candle_unrepresentable_total, refused as u64);
        }
    }

    /// Counts the series anew, if that is due.
    pub(crate) fn count_series(&mut self) {
        if !core::mem::take(&mut self.totals_changed) {
            return;
        }
        let (mut loaded, mut total) = (0, 0);
        for venue in self.replica.venues() {
            let totals = self.replica.candle_totals(venue);
            loaded += totals.loaded;
            total += totals.total;
        }
        self.outlets.counters.candle_series_loaded.store(loaded, Ordering::Relaxed);
        self.outlets.counters.candle_series.store(total, Ordering::Relaxed);
    }
}
