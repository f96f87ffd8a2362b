//! What the history has to say, until the rings have room for it, and its figures.

use crate::event::{Event, Severity};
use crate::fetch::FetchRequest;
use crate::limits::{HISTORY_CHUNK_ROWS, HISTORY_WAITING_MAX};
use crate::session::CandleSeed;
use codec::candle::Candle;
use codec::words::{Interval, Venue};
use ipc::CandleHistory;
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;

/// Figures for metrics, written by the history's thread.
#[derive(Debug, Default)]
pub struct HistoryCounters {
    /// Series of carried instruments.
    pub series_total: AtomicU64,
    /// Of these, those whose past has been loaded.
    pub series_loaded: AtomicU64,
    /// Rows that came from files.
    pub rows_from_disk: AtomicU64,
    /// Closed candles that came by REST.
    pub rows_fetched: AtomicU64,
    /// Candles folded from shorter ones instead of being fetched.
    pub rows_folded: AtomicU64,
    /// Files that were damaged or put aside.
    pub files_damaged: AtomicU64,
    /// Requests made.
    pub requests: AtomicU64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Outbox {
    /// For the server.
    pub history: VecDeque<CandleHistory>,
    /// For the engine.
    pub seeds: VecDeque<CandleSeed>,
    /// For the fetcher.
    pub requests: VecDeque<FetchRequest>,
    /// For the log.
    pub events: VecDeque<Event>,
}

impl Outbox {
    /// Whether so much waits for the server that nothing more should be made for it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.history.len() >= HISTORY_WAITING_MAX
    }

    /// Rows for the server.
    pub(super) fn send(&mut self, instrument: u32, interval: Interval, rows: &[Candle]) {
        for chunk in rows.chunks(HISTORY_CHUNK_ROWS) {
            self.history.push_back(CandleHistory {
                instrument,
                interval,
                candles: chunk.into(),
                complete: false,
            });
        }
    }

    /// Word for the server that a series has all of its past: with its last rows, where they still wait.
    pub(super) fn finish(&mut self, instrument: u32, interval: Interval) {
        match self.history.back_mut() {
            Some(last) if last.instrument == instrument && last.interval == interval => last.complete = true,
            _ => self.history.push_back(CandleHistory {
                instrument,
                interval,
                candles: Box::default(),
                complete: true,
            }),
        }
    }

    /// A line for the log.
    pub(super) fn tell(
        &mut self,
        severity: Severity,
        venue: Venue,
        what: &'static str,
        subject: &str,
        detail: &str,
    ) {
        self.events.push_back(Event::new(severity, Some(venue), what).about(subject).detail(detail));
    }
}
