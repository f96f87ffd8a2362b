//! One series: what is known of it, what is on its way, and what goes to its file and to the server.
//!
//! ```text
//!             file read                    nothing is missing, or what was has come
//!   Unread ──────────────▶ Known ────────────────────────────────────────────────▶ Known, complete
//!      │                     │  ▲                                                    │     ▲
//!      └─── no usable file ─▶ Cold ◀── its file is another market's ─────────────────┘     └ tails
//! ```
//! Of a series that has been handed over only its last rows stay here.

use super::file::SeriesName;
use super::outbox::{HistoryCounters, Outbox};
use super::rows::{self, Agreement, Closed};
use super::store::CandleFiles;
use crate::event::Severity;
use crate::fetch::Priority;
use crate::limits::{
    HISTORY_LIVE_ROWS_MAX, HISTORY_MATURE_MS, HISTORY_OVERLAP_ROWS, HISTORY_RETRY_FIRST_MS,
    HISTORY_RETRY_LAST_MS, HISTORY_SILENCE_MS, HISTORY_SILENCE_PAUSE_LAST_MS, HISTORY_UNSAVED_ROWS_MAX,
};
use crate::session::backoff::{Backoff, Random};
use codec::candle::{Candle, CandleRow};
use codec::time::Now;
use codec::words::Interval;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;

/// What a series' steps need from around it.
pub(super) struct Context<'a> {
    pub files: &'a mut dyn CandleFiles,
    pub out: &'a mut Outbox,
    pub counters: &'a HistoryCounters,
    pub random: &'a mut Random,
    pub name: SeriesName<'a>,
    pub instrument: u32,
    pub now: Now,
    /// The venue's time, as far as it is known.
    pub now_ms: u64,
}

impl Context<'_> {
    pub fn tell(&mut self, severity: Severity, what: &'static str, detail: &str) {
        let subject = format!("{} {}", self.name.symbol, self.name.interval);
        self.out.tell(severity, self.name.venue, what, &subject, detail);
    }
}

/// How much of a series is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its file has not been read yet.
    Unread,
    /// Nothing usable: all of it is to be fetched, or folded.
    Cold,
    /// A run of rows up to some time; perhaps none, if there are none.
    Known,
}

/// What a request is to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All, or all before what was folded.
    Whole,
    /// What follows the last row.
    Tail,
}

/// A request on its way, or waiting to be asked again.
#[derive(Debug)]
pub(super) struct Job {
    pub id: u64,
    pub part: Part,
    pub start_ms: u64,
    pub end_ms: u64,
    /// Where the next page starts.
    pub cursor_ms: u64,
    /// The pages that have come.
    pub rows: Vec<CandleRow>,
    /// The token of the request that counts, and its priority.
    pub asked: Option<(u64, Priority)>,
    /// Answers in a row that could not be read.
    pub unreadable: u32,
}

/// The series' file.
#[derive(Debug, Default)]
struct FileState {
    /// Rows in it, replaced ones included.
    written: usize,
    /// Rows that the disk refused so far.
    unsaved: Vec<Candle>,
    /// Not written to any more in this run.
    given_up: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Series {
    pub interval: Interval,
    /// Rows kept.
    pub retention: usize,
    /// Whether its periods are made of the symbol's finest ones.
    pub folded: bool,
    pub stage: Stage,
    /// The server has been told that it has all.
    pub complete: bool,
    /// The engine has been told where it stands.
    pub seeded: bool,
    /// The last rows: of the finest series, those that longer ones are folded from.
    pub recent: VecDeque<Candle>,
    /// Start of the first row.
    pub first_ms: u64,
    /// The venue has nothing before the first row.
    pub at_origin: bool,
    /// Rows folded from the finest series that wait for those before them.
    pub held: Vec<Candle>,
    /// Closed by the engine, but not connected to the last row.
    pub live: Vec<Closed>,
    pub job: Option<Job>,
    pub retry_at_ns: u64,
    pub retry: Backoff,
    /// When to look whether a period ended without a close from the engine; ms since the epoch.
    pub check_at_ms: u64,
    pub quiet: Backoff,
    /// Known rows are in the file and not with the server: they are handed over once they are known to be this
    /// market's, for what the server has cannot be taken back.
    pub unsent: bool,
    /// The file holds a run that is too short to be all: it serves if nothing better comes.
    pub short_file: bool,
    /// Loads in a row that brought nothing, or were refused.
    pub vain: u32,
    /// After such a load: not asked for before then.
    pub again_at_ns: u64,
    file: FileState,
}

impl Series {
    pub fn new(interval: Interval, retention: usize, folded: bool) -> Self {
        Self {
            interval,
            retention,
            folded,
            stage: Stage::Unread,
            complete: false,
            seeded: false,
            recent: VecDeque::new(),
            first_ms: 0,
            at_origin: false,
            held: Vec::new(),
            live: Vec::new(),
            job: None,
            retry_at_ns: 0,
            retry: Backoff::new(HISTORY_RETRY_FIRST_MS, HISTORY_RETRY_LAST_MS),
            check_at_ms: 0,
            quiet: Backoff::new(HISTORY_SILENCE_MS, HISTORY_SILENCE_PAUSE_LAST_MS),
            unsent: false,
            short_file: false,
            vain: 0,
            again_at_ns: 0,
            file: FileState::default(),
        }
    }

    pub fn last(&self) -> Option<&Candle> {
        self.recent.back()
    }

    /// Start of the period after the last row.
    pub fn next_ms(&self) -> Option<u64> {
        self.last().map(|last| self.interval.next_start_ms(last.start_ms))
    }

    /// Whether a period that is not known has ended long enough ago to be fetched.
    pub fn is_behind(&self, now_ms: u64) -> bool {
        self.next_ms().is_some_and(|next| rows::end_ms(self.interval, next) + HISTORY_MATURE_MS <= now_ms)
    }

    /// Whether every period that is over is known.
    pub fn is_current(&self, now_ms: u64) -> bool {
        self.next_ms().is_none_or(|next| rows::end_ms(self.interval, next) > now_ms)
    }

    /// Whether a period ended so recently that a request for the newest rows is better made a little later.
    pub fn is_settling(&self, now_ms: u64) -> bool {
        self.interval.is_aligned() && now_ms < self.interval.start_ms_of(now_ms) + HISTORY_MATURE_MS
    }

    /// The end of the newest period known to be over.
    pub fn known_to_ms(&self) -> u64 {
        let live = self.live.iter().map(|closed| &closed.candle);
        let newest = live.chain(self.held.last()).chain(self.last()).map(|row| row.start_ms).max();
        newest.map_or(0, |start_ms| rows::end_ms(self.interval, start_ms))
    }

    /// Where a request for the tail starts: some rows that are known already are read again.
    pub fn tail_start_ms(&self) -> Option<u64> {
        let back = self.recent.len().min(HISTORY_OVERLAP_ROWS);
        self.recent.get(self.recent.len() - back).map(|row| row.start_ms)
    }

    /// Reads the file; the rows of a usable one become known. `true` if there were any.
    pub fn read(&mut self, cx: &mut Context<'_>, oldest_ms: u64) -> bool {
        let mut rows = self.load(cx);
        self.stage = Stage::Cold;
        let Some(last) = rows.last() else { return false };
        if self.interval.next_start_ms(last.start_ms) < oldest_ms {
            // Everything in it is older than what is kept.
            return false;
        }
        cx.counters.rows_from_disk.fetch_add(rows.len() as u64, Relaxed);
        // A few rows short are soon made up for; a file that lost more is fetched whole.
        if !self.at_origin && rows.len() < self.retention - self.retention / 20 {
            self.short_file = true;
            return false;
        }
        self.first_ms = rows[0].start_ms;
        self.recent = rows.drain(..).collect();
        self.stage = Stage::Known;
        self.unsent = true;
        true
    }

    /// The newest run in the file, as much of it as is kept.
    fn load(&mut self, cx: &mut Context<'_>) -> Vec<Candle> {
        let loaded = cx.files.load(cx.name);
        if let Some(trouble) = &loaded.trouble {
            cx.counters.files_damaged.fetch_add(1, Relaxed);
            cx.tell(Severity::Warn, trouble.what, &trouble.detail);
        }
        self.file.given_up |= loaded.unusable;
        self.file.written = loaded.written;
        let mut rows = loaded.rows;
        let dropped = rows::keep_newest_run(&mut rows, self.interval);
        if dropped > 0 {
            let detail = format!("{dropped} rows lie before it");
            cx.tell(Severity::Warn, "candle file has a hole: what follows it is kept", &detail);
        }
        rows.drain(..rows.len().saturating_sub(self.retention));
        self.at_origin = rows.first().is_some_and(|row| row.start_ms == loaded.origin_ms);
        rows
    }

    /// Hands the rows that are only in the file over to the server; `false` if they are there no more.
    pub fn hand_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !std::mem::take(&mut self.unsent) {
            return true;
        }
        let rows = self.load(cx);
        if rows.last() != self.last() {
            self.forget();
            return false;
        }
        self.send(cx, &rows);
        true
    }

    /// Hands rows to the server.
    pub fn send(&self, cx: &mut Context<'_>, rows: &[Candle]) {
        cx.out.send(cx.instrument, self.interval, rows);
    }

    /// Lets go of its oldest rows here, and of the room of a whole history once it has been handed over.
    pub fn forget_oldest(&mut self, rows: usize) {
        self.recent.drain(..rows);
        let needed = self.recent.len().max(HISTORY_OVERLAP_ROWS);
        if self.recent.capacity() > 8 * needed {
            self.recent.shrink_to(2 * needed);
        }
    }

    /// Everything anew: what is known is another market's, or gone.
    pub fn forget(&mut self) {
        self.stage = Stage::Cold;
        self.recent.clear();
        self.held.clear();
        self.job = None;
        self.unsent = false;
        self.short_file = false;
        self.at_origin = false;
        self.seeded = false;
        (self.vain, self.again_at_ns) = (0, 0);
    }

    /// Makes a run all there is of this series.
    pub fn install(&mut self, cx: &mut Context<'_>, mut run: Vec<Candle>, at_origin: bool) {
        let excess = run.len().saturating_sub(self.retention);
        run.drain(..excess);
        self.at_origin = at_origin && excess == 0;
        self.stage = Stage::Known;
        (self.unsent, self.short_file) = (false, false);
        self.held = Vec::new();
        self.first_ms = run.first().map_or(0, |row| row.start_ms);
        if !run.is_empty() {
            self.rewrite(cx, &run);
            self.send(cx, &run);
        }
        self.recent = run.into();
        self.forget_connected();
        self.expect_next(cx.now_ms);
    }

    /// Adds rows behind the last, for the file and the server.
    pub fn extend(&mut self, cx: &mut Context<'_>, run: &[Candle]) {
        if run.is_empty() {
            return;
        }
        self.save(cx, run);
        self.send(cx, run);
        self.push(cx, run);
    }

    /// Notes rows behind the last, or newer states of known ones.
    pub fn push(&mut self, cx: &Context<'_>, run: &[Candle]) {
        for row in run {
            let next_ms = self.next_ms();
            if next_ms.is_none_or(|next| next == row.start_ms) {
                self.first_ms = if next_ms.is_none() { row.start_ms } else { self.first_ms };
                self.recent.push_back(*row);
            } else if let Some(known) =
                self.recent.iter_mut().rev().find(|known| known.start_ms == row.start_ms)
            {
                *known = *row;
            }
        }
        self.forget_connected();
        self.expect_next(cx.now_ms);
    }

    fn forget_connected(&mut self) {
        let next_ms = self.next_ms();
        self.live.retain(|closed| next_ms.is_some_and(|next| closed.candle.start_ms >= next));
    }

    /// When to look next whether a period ended unseen. One that ended just now, before anybody looked, is
    /// looked after as soon as it is mature.
    fn expect_next(&mut self, now_ms: u64) {
        let Some(next_ms) = self.next_ms() else { return };
        let end_ms = rows::end_ms(self.interval, next_ms);
        self.check_at_ms = end_ms + if end_ms <= now_ms { HISTORY_MATURE_MS } else { HISTORY_SILENCE_MS };
        self.quiet.reset();
    }

    /// When to look whether the first period has ended unseen, where none has yet.
    pub fn expect_first(&mut self, now_ms: u64) {
        self.check_at_ms =
            rows::end_ms(self.interval, self.interval.start_ms_of(now_ms)) + HISTORY_SILENCE_MS;
    }

    /// A candle that the engine closed. The server knows it already.
    pub fn on_closed(&mut self, cx: &mut Context<'_>, closed: Closed) {
        let Closed { candle, revised } = closed;
        if self.stage != Stage::Known || !self.complete {
            self.hold(closed);
            return;
        }
        match self.next_ms() {
            Some(next_ms) if candle.start_ms > next_ms => {
                // A hole: fetched at once.
                self.hold(closed);
                self.check_at_ms = 0;
            }
            Some(next_ms) if candle.start_ms < next_ms => {
                // REST may have been first with it; then the engine's own close is no news, unless REST was so
                // soon that it lacked the last trades.
                let is_more = || {
                    let known = self.recent.iter().rev().find(|known| known.start_ms == candle.start_ms);
                    known.is_some_and(|known| rows::agreement(known, &candle) == Agreement::Outgrown)
                };
                if candle.start_ms >= self.first_ms && (revised || is_more()) {
                    self.save(cx, &[candle]);
                    self.push(cx, &[candle]);
                }
            }
            _ => {
                self.save(cx, &[candle]);
                self.push(cx, &[candle]);
                self.connect(cx);
            }
        }
    }

    fn hold(&mut self, closed: Closed) {
        if self.live.len() == HISTORY_LIVE_ROWS_MAX {
            self.live.remove(0);
        }
        self.live.push(closed);
    }

    /// Takes in what the engine closed, as far as it follows the last row.
    pub fn connect(&mut self, cx: &mut Context<'_>) {
        while let Some(next_ms) = self.next_ms() {
            // The last word on a period is the newest.
            let Some(at) = self.live.iter().rposition(|closed| closed.candle.start_ms == next_ms) else {
                break;
            };
            let candle = self.live[at].candle;
            if !self.hand_over(cx) {
                return;
            }
            self.save(cx, &[candle]);
            // The server has it from the engine, too; but it may have come there before the rows below it.
            self.send(cx, &[candle]);
            self.push(cx, &[candle]);
        }
    }

    /// Tells the server that it has all.
    pub fn finish(&mut self, cx: &mut Context<'_>) {
        if !self.complete {
            self.complete = true;
            cx.out.finish(cx.instrument, self.interval);
        }
        self.expect_next(cx.now_ms);
    }

    /// After a request that brought nothing new.
    pub fn pause(&mut self, cx: &mut Context<'_>) {
        self.check_at_ms = cx.now_ms + self.quiet.next_ms(cx.random);
    }

    /// Appends to the file, with what could not be written before.
    pub fn save(&mut self, cx: &mut Context<'_>, rows: &[Candle]) {
        if self.file.given_up {
            return;
        }
        self.file.unsaved.extend_from_slice(rows);
        match cx.files.append(cx.name, &self.file.unsaved) {
            Ok(()) => {
                self.file.written += self.file.unsaved.len();
                self.file.unsaved = Vec::new();
                if self.file.written > 2 * self.retention {
                    self.compact(cx);
                }
            }
            Err(error) => {
                if self.file.unsaved.len() > HISTORY_UNSAVED_ROWS_MAX {
                    // A file that ends early is continued at the next start; one with a hole would be lost.
                    self.file.given_up = true;
                    self.file.unsaved = Vec::new();
                }
                cx.tell(Severity::Warn, "candle file cannot be written", &error.to_string());
            }
        }
    }

    fn compact(&mut self, cx: &mut Context<'_>) {
        let rows = self.load(cx);
        self.rewrite(cx, &rows);
    }

    fn rewrite(&mut self, cx: &mut Context<'_>, run: &[Candle]) {
        if self.file.given_up {
            return;
        }
        let origin_ms = if self.at_origin { run.first().map_or(0, |row| row.start_ms) } else { 0 };
        match cx.files.replace(cx.name, origin_ms, run) {
            Ok(()) => self.file = FileState { written: run.len(), ..FileState::default() },
            Err(error) => {
                // What is in the file now may not be what later rows follow.
                self.file.given_up = true;
                cx.tell(Severity::Warn, "candle file cannot be written", &error.to_string());
            }
        }
    }

    /// If nothing came but the file has a short run: better than none.
    pub fn fall_back(&mut self, cx: &mut Context<'_>) {
        if std::mem::take(&mut self.short_file) {
            let rows = self.load(cx);
            self.first_ms = rows.first().map_or(0, |row| row.start_ms);
            self.send(cx, &rows);
            self.recent = rows.into();
        }
        self.stage = Stage::Known;
    }
}
