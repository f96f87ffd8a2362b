//! The history's logic: told records, wishes, answers and the time, it says what to ask, store and hand on.
//!
//! Order of loading: what was wished for (of each symbol its finest series, which others are folded from, and
//! the wished one), then the other series of those symbols, then the rest in the order of instruments. Only a
//! few requests are on their way at a time, so that a wish never waits behind a long queue; a request that
//! waits in the background when its symbol is wished for is asked again, urgently.

use super::clock::{AskedAt, VenueClock};
use super::outbox::{HistoryCounters, Outbox};
use super::progress::Progress;
use super::rows::Closed;
use super::series::{Job, Series};
use super::store::CandleFiles;
use super::symbol::{Symbol, Want, World};
use crate::event::Severity;
use crate::fetch::{Answer, FetchError, FetchRequest, Fetched, Priority, Query};
use crate::limits::{
    BINANCE_CANDLES_PAGE, HISTORY_ASKED_REQUESTS_MAX, HISTORY_BACKGROUND_REQUESTS_MAX,
    HISTORY_EARLY_WISHES_MAX, HISTORY_LOOK_INTERVAL_MS, HISTORY_SYMBOLS_READ_PER_TURN,
    HISTORY_UNREADABLE_RETRIES_MAX, HYPERLIQUID_CANDLES_MAX,
};
use crate::session::backoff::Random;
use codec::candle::{Candle, CandleRow};
use codec::record::{Kind, Record};
use codec::time::{Now, ns_of_ms};
use codec::words::{InstrumentStatus, Interval, Venue};
use ipc::CandleWish;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// One venue's candles.
pub struct CoreVenue {
    /// The venue.
    pub venue: Venue,
    /// Intervals carried and how many closed candles of each are kept, shortest first.
    pub intervals: Vec<(Interval, u32)>,
    /// Where they are stored.
    pub files: Box<dyn CandleFiles + Send>,
}

struct VenueState {
    venue: Venue,
    intervals: Vec<(Interval, u32)>,
    files: Box<dyn CandleFiles + Send>,
    /// Requests on their way.
    background: usize,
    asked: usize,
    /// Requests made so far.
    requests: u64,
    progress: Progress,
    clock: VenueClock,
}

/// A request on its way.
struct Pending {
    symbol: usize,
    series: usize,
    job: u64,
    cursor_ms: u64,
    priority: Priority,
    asked: AskedAt,
}

/// See the module.
pub struct HistoryCore {
    venues: Vec<VenueState>,
    symbols: Vec<Symbol>,
    by_instrument: HashMap<u32, usize>,
    /// Symbols whose files are to be read.
    unread: VecDeque<usize>,
    /// Symbols wished for, in that order.
    wished: Vec<usize>,
    early_wishes: Vec<CandleWish>,
    pending: HashMap<u64, Pending>,
    /// For tokens and jobs.
    last_number: u64,
    random: Random,
    counters: Arc<HistoryCounters>,
    out: Outbox,
    /// Something has happened since the series were last looked through.
    stirred: bool,
    next_look_ns: u64,
}

impl HistoryCore {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(venues: Vec<CoreVenue>, counters: Arc<HistoryCounters>, seed: u64) -> Self {
        let state = |CoreVenue { venue, intervals, files }| VenueState {
            venue,
            intervals,
            files,
            background: 0,
            asked: 0,
            requests: 0,
            progress: Progress::new(venue),
            clock: VenueClock::default(),
        };
        Self {
            venues: venues.into_iter().map(state).collect(),
            symbols: Vec::new(),
            by_instrument: HashMap::new(),
            unread: VecDeque::new(),
            wished: Vec::new(),
            early_wishes: Vec::new(),
            pending: HashMap::new(),
            last_number: 0,
            random: Random::new(seed),
            counters,
            out: Outbox::default(),
            stirred: true,
            next_look_ns: 0,
        }
    }

    /// What has to go out.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.out
    }

    /// A record from the engine; only instruments and closed candles mean anything here.
    pub fn on_record(&mut self, record: Record<'_>, now: Now) {
        match record.kind() {
            Kind::Instrument => self.on_instrument(record, now),
            Kind::Candle => {
                let (header, Some(body)) = (record.header(), record.candle()) else { return };
                let Some(interval) = body.interval().filter(|_| body.closed == 1) else { return };
                if let Some(venue) = self.venues.iter_mut().find(|state| Some(state.venue) == header.venue())
                {
                    venue.clock.prove(interval.next_start_ms(Candle::of_body(body).start_ms), now);
                }
                let closed = Closed { candle: Candle::of_body(body), revised: body.revised == 1 };
                self.on_closed(header.instrument, interval, closed, now);
            }
            _ => {}
        }
    }

    fn on_instrument(&mut self, record: Record<'_>, now: Now) {
        let (header, Some(body)) = (record.header(), record.instrument()) else { return };
        let Some(venue) = self.venues.iter_mut().find(|state| Some(state.venue) == header.venue()) else {
            return;
        };
        let status = body.status().unwrap_or(InstrumentStatus::Halted);
        let trading = status == InstrumentStatus::Trading;
        let at = match self.by_instrument.get(&header.instrument) {
            Some(&at) => {
                // A second word on it comes from the venue's list: halted is listed, then.
                self.carry(at, status != InstrumentStatus::Delisted);
                at
            }
            None => {
                let at = self.symbols.len();
                self.symbols.push(Symbol {
                    venue: venue.venue,
                    instrument: header.instrument,
                    name: body.symbol().to_owned(),
                    carried: false,
                    trading,
                    wished: 0,
                    series: series(venue),
                });
                self.by_instrument.insert(header.instrument, at);
                self.carry(at, trading);
                at
            }
        };
        self.symbols[at].trading = trading;
        if let Some(venue) = self.venue_of(at) {
            self.venues[venue].progress.on_instrument(now);
        }
        self.stirred = true;
        for wish in std::mem::take(&mut self.early_wishes) {
            self.on_wish(wish);
        }
    }

    fn carry(&mut self, at: usize, carried: bool) {
        if self.symbols[at].carried == carried {
            return;
        }
        self.symbols[at].carried = carried;
        if carried {
            self.unread.push_back(at);
        } else if let Some(venue) = self.venue_of(at) {
            // What is on its way finds nobody waiting for it.
            self.symbols[at].series = series(&self.venues[venue]);
            self.unread.retain(|unread| *unread != at);
        }
    }

    fn on_closed(&mut self, instrument: u32, interval: Interval, closed: Closed, now: Now) {
        let Some(&at) = self.by_instrument.get(&instrument).filter(|at| self.symbols[**at].carried) else {
            return;
        };
        let Some(i) = self.symbols[at].series.iter().position(|series| series.interval == interval) else {
            return;
        };
        self.with(at, now, |symbol, world| symbol.on_closed(i, closed, world));
        self.stirred = true;
    }

    /// Somebody asked for a series: it goes first.
    pub fn on_wish(&mut self, wish: CandleWish) {
        let Some(&at) = self.by_instrument.get(&wish.instrument) else {
            if self.early_wishes.len() < HISTORY_EARLY_WISHES_MAX {
                self.early_wishes.push(wish);
            }
            return;
        };
        let symbol = &mut self.symbols[at];
        let Some(i) = symbol.series.iter().position(|series| series.interval == wish.interval) else {
            return;
        };
        if symbol.wished == 0 {
            self.wished.push(at);
        }
        symbol.wished |= 1 << i;
        self.stirred = true;
    }

    /// An answer of the fetcher.
    pub fn on_fetched(&mut self, fetched: Fetched, now: Now) {
        let Some(pending) = self.pending.remove(&fetched.request.token) else { return };
        let Pending { symbol: at, series: i, .. } = pending;
        self.stirred = true;
        let mut clock = VenueClock::default();
        if let Some(venue) = self.venue_of(at) {
            let venue = &mut self.venues[venue];
            let count =
                if pending.priority == Priority::Asked { &mut venue.asked } else { &mut venue.background };
            *count = count.saturating_sub(1);
            clock = venue.clock;
        }
        let venue = self.symbols[at].venue;
        let series = &mut self.symbols[at].series[i];
        let Some(job) = &mut series.job else { return };
        if job.id != pending.job || job.cursor_ms != pending.cursor_ms {
            return;
        }
        let is_awaited = job.asked.is_some_and(|(token, _)| token == fetched.request.token);
        match fetched.outcome {
            Ok(Answer::Candles(rows)) => {
                job.asked = None;
                series.retry.reset();
                if !job.take(venue, series.interval, rows) {
                    return;
                }
                let Some(job) = series.job.take() else { return };
                let newest_ms = job.rows.iter().map(|row| row.start_ms).max().unwrap_or(0);
                let mature_ms = clock.mature_ms(pending.asked, newest_ms.max(series.known_to_ms()));
                if let Some(venue) = self.venue_of(at) {
                    self.venues[venue].clock.prove(newest_ms, now);
                }
                self.with(at, now, |symbol, world| symbol.on_rows(i, job, mature_ms, world));
            }
            // Asked twice: the other request counts.
            _ if !is_awaited => {}
            Ok(_) => self.retry(at, i, 0, now),
            Err(error) => self.on_error(at, i, error, now),
        }
    }

    fn on_error(&mut self, at: usize, i: usize, error: FetchError, now: Now) {
        let (status, code, message) = match error {
            FetchError::RateLimited { retry_after_ms } => {
                self.symbols[at].series[i].retry.reset();
                return self.retry(at, i, retry_after_ms, now);
            }
            FetchError::Transient(_) | FetchError::Overflow => return self.retry(at, i, 0, now),
            FetchError::Permanent { status, code, message } => (status, code, message),
        };
        let series = &mut self.symbols[at].series[i];
        if let Some(job) = series.job.as_mut().filter(|_| (200..300).contains(&status)) {
            job.unreadable += 1;
            if job.unreadable <= HISTORY_UNREADABLE_RETRIES_MAX {
                return self.retry(at, i, 0, now);
            }
        }
        let Some(job) = series.job.take() else { return };
        series.retry.reset();
        if series.vain == 0 {
            let subject = format!("{} {}", self.symbols[at].name, self.symbols[at].series[i].interval);
            let detail = format!("HTTP {status}, code {code}: {message}");
            let what = "candle history refused: it is asked for again later";
            self.out.tell(Severity::Warn, self.symbols[at].venue, what, &subject, &detail);
        }
        self.with(at, now, |symbol, world| symbol.on_refused(i, job.part, world));
    }

    /// Asks again, after a pause and at least `after_ms`.
    fn retry(&mut self, at: usize, i: usize, after_ms: u64, now: Now) {
        let series = &mut self.symbols[at].series[i];
        if let Some(job) = &mut series.job {
            job.asked = None;
        }
        let pause_ms = series.retry.next_ms(&mut self.random);
        series.retry_at_ns = now.after_ms(after_ms.saturating_add(pause_ms));
    }

    /// Does what there is to do; returns how much it was.
    pub fn work(&mut self, now: Now) -> usize {
        if self.out.is_full() {
            return 0;
        }
        let mut work = 0;
        for _ in 0..HISTORY_SYMBOLS_READ_PER_TURN {
            let wished = self.unread.iter().position(|at| self.symbols[*at].wished != 0);
            let Some(at) = self.unread.remove(wished.unwrap_or(0)) else { break };
            self.with(at, now, |symbol, world| symbol.read(world));
            self.stirred = true;
            work += 1;
        }
        if self.stirred || now.mono_ns >= self.next_look_ns {
            work += usize::from(std::mem::take(&mut self.stirred));
            self.next_look_ns = now.mono_ns + ns_of_ms(HISTORY_LOOK_INTERVAL_MS);
            self.look(now);
        }
        work
    }

    /// Looks through all series, the most wanted first.
    fn look(&mut self, now: Now) {
        let wished = std::mem::take(&mut self.wished);
        for &at in &wished {
            for i in 0..self.symbols[at].series.len() {
                if i == 0 || self.symbols[at].wished & 1 << i != 0 {
                    self.step(at, i, Priority::Asked, now);
                }
            }
        }
        let rest = 0..self.symbols.len();
        for at in wished.iter().copied().chain(rest) {
            for i in 0..self.symbols[at].series.len() {
                self.step(at, i, Priority::Background, now);
            }
        }
        self.wished = wished;
        self.count(now);
    }

    fn step(&mut self, at: usize, i: usize, priority: Priority, now: Now) {
        let Some(venue) = self.venue_of(at).filter(|_| self.symbols[at].carried) else { return };
        // Whoever has his history already is served in the background from then on.
        if priority == Priority::Asked && self.symbols[at].series[i].complete {
            return;
        }
        let may_ask = match priority {
            Priority::Background => self.venues[venue].background < HISTORY_BACKGROUND_REQUESTS_MAX,
            _ => self.venues[venue].asked < HISTORY_ASKED_REQUESTS_MAX,
        };
        if self.symbols[at].series[i].job.is_none() {
            let want = self.with(at, now, |symbol, world| symbol.advance(i, world));
            if let Some(want) = want.filter(|_| may_ask) {
                self.last_number += 1;
                self.symbols[at].series[i].job = Some(Job::new(self.last_number, want));
            }
        }
        let series = &self.symbols[at].series[i];
        let Some(job) = &series.job else { return };
        let is_due = match job.asked {
            None => now.mono_ns >= series.retry_at_ns,
            Some((_, asked)) => asked == Priority::Background && priority == Priority::Asked,
        };
        if is_due && may_ask {
            self.ask(at, i, venue, priority, now);
        }
    }

    fn ask(&mut self, at: usize, i: usize, venue: usize, priority: Priority, now: Now) {
        self.last_number += 1;
        let token = self.last_number;
        let symbol = &mut self.symbols[at];
        let series = &mut symbol.series[i];
        let Some(job) = &mut series.job else { return };
        job.asked = Some((token, priority));
        let query = Query::Candles {
            symbol: symbol.name.clone(),
            interval: series.interval,
            start_ms: job.cursor_ms,
            end_ms: job.end_ms,
            limit: job.page_rows(symbol.venue, series.interval),
        };
        let (job, cursor_ms) = (job.id, job.cursor_ms);
        let asked = self.venues[venue].clock.asked_at(now);
        self.pending.insert(token, Pending { symbol: at, series: i, job, cursor_ms, priority, asked });
        let instrument = symbol.instrument;
        let request = FetchRequest { venue: symbol.venue, query, instrument, token, priority };
        self.out.requests.push_back(request);
        self.counters.requests.fetch_add(1, Relaxed);
        self.venues[venue].requests += 1;
        match priority {
            Priority::Asked => self.venues[venue].asked += 1,
            _ => self.venues[venue].background += 1,
        }
    }

    /// Counts what is loaded, and tells it.
    fn count(&mut self, now: Now) {
        let (mut all_loaded, mut all_total) = (0, 0);
        for venue in &mut self.venues {
            let (mut loaded, mut total) = (0, 0);
            for symbol in self.symbols.iter().filter(|symbol| symbol.carried && symbol.venue == venue.venue) {
                total += symbol.series.len() as u64;
                loaded += symbol.series.iter().filter(|series| series.complete).count() as u64;
            }
            venue.progress.look(loaded, total, venue.requests, now, &mut self.out);
            all_loaded += loaded;
            all_total += total;
        }
        self.counters.series_loaded.store(all_loaded, Relaxed);
        self.counters.series_total.store(all_total, Relaxed);
    }

    fn venue_of(&self, at: usize) -> Option<usize> {
        self.venues.iter().position(|state| state.venue == self.symbols[at].venue)
    }

    /// A step of one symbol.
    fn with<R: Default>(
        &mut self,
        at: usize,
        now: Now,
        step: impl FnOnce(&mut Symbol, &mut World<'_>) -> R,
    ) -> R {
        let Some(venue) = self.venue_of(at) else { return R::default() };
        let now_ms = self.venues[venue].clock.now_ms(now);
        let mut world = World {
            files: self.venues[venue].files.as_mut(),
            out: &mut self.out,
            counters: &self.counters,
            random: &mut self.random,
            now,
            now_ms,
        };
        step(&mut self.symbols[at], &mut world)
    }
}

/// The series of a symbol, of which nothing is known yet.
fn series(venue: &VenueState) -> Vec<Series> {
    let finest = venue.intervals.first().map(|(interval, _)| *interval);
    let of = |&(interval, count): &(Interval, u32)| {
        let most = match venue.venue {
            // The running candle is one of those the venue has.
            Venue::Hyperliquid => HYPERLIQUID_CANDLES_MAX - 1,
            Venue::Binance => u32::MAX,
        };
        let folded = finest.is_some_and(|finest| interval.is_made_of(finest));
        Series::new(interval, count.clamp(1, most) as usize, folded)
    };
    venue.intervals.iter().map(of).collect()
}

impl Job {
    fn new(id: u64, want: Want) -> Self {
        let Want { part, start_ms, end_ms } = want;
        let rows = Vec::new();
        Self { id, part, start_ms, end_ms, cursor_ms: start_ms, rows, asked: None, unreadable: 0 }
    }

    /// Rows to ask for at a time.
    fn page_rows(&self, venue: Venue, interval: Interval) -> u32 {
        // A month has four weeks at least.
        let length_ms = interval.length_ms().unwrap_or(28 * 86_400_000);
        let periods = self.end_ms.saturating_sub(self.cursor_ms) / length_ms + 1;
        let most = match venue {
            Venue::Binance => BINANCE_CANDLES_PAGE,
            Venue::Hyperliquid => HYPERLIQUID_CANDLES_MAX,
        };
        u32::try_from(periods).unwrap_or(most).min(most)
    }

    /// Takes a page; whether it was the last.
    fn take(&mut self, venue: Venue, interval: Interval, mut rows: Vec<CandleRow>) -> bool {
        let is_full = rows.len() >= self.page_rows(venue, interval) as usize;
        // What nobody asked for is not believed.
        rows.retain(|row| (self.cursor_ms..=self.end_ms).contains(&row.start_ms));
        let Some(newest_ms) = rows.iter().map(|row| row.start_ms).max() else { return true };
        self.rows.append(&mut rows);
        self.cursor_ms = interval.next_start_ms(newest_ms);
        !is_full || self.cursor_ms > self.end_ms
    }
}
