//! The history's logic in virtual time: an engine that closes candles, the fetcher's real queue and budget in
//! front of a scripted REST, a server that looks at everything it is handed.

use crate::market::Market;
use codec::candle::Candle;
use codec::record::{Header, InstrumentBody, Kind, RecordBuilder};
use codec::time::Now;
use codec::words::{InstrumentKind, InstrumentStatus, Interval, Stream, Venue};
use engine::event::Event;
use engine::fetch::{Answer, FetchError, FetchRequest, Fetched, Query};
use engine::fetcher::{Queue, Reply, Ticket};
use engine::history::{CandleFiles, CandleSeed, CoreVenue, HistoryCore, HistoryCounters, Loaded, SeriesName};
use ipc::CandleWish;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};

/// 2026-11-22 11:32:42 UTC.
pub const START_MS: u64 = 1_795_347_162_000;
/// The engine closes a candle this long after its end.
const CLOSE_AFTER_MS: u64 = 2_000;
const STEP_MS: u64 = 100;
/// Of an answer.
const LATENCY_MS: u64 = 300;

type Key = (Venue, String, Interval);
/// Origin and rows, as written.
type Stored = (u64, Vec<Candle>);

/// Files in memory, which survive a restart.
#[derive(Clone, Default)]
pub struct Memory {
    pub series: Arc<Mutex<HashMap<Key, Stored>>>,
    /// So many writes succeed, then none.
    pub writes_left: Arc<Mutex<Option<usize>>>,
}

fn key(name: SeriesName<'_>) -> Key {
    (name.venue, name.symbol.to_owned(), name.interval)
}

impl Memory {
    fn write(&self) -> io::Result<()> {
        match self.writes_left.lock().unwrap().as_mut() {
            None => Ok(()),
            Some(0) => Err(io::Error::from(io::ErrorKind::StorageFull)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// The rows of a series as they will be read.
    pub fn rows(&self, venue: Venue, symbol: &str, interval: Interval) -> Vec<Candle> {
        let series = self.series.lock().unwrap();
        let Some((_, rows)) = series.get(&(venue, symbol.to_owned(), interval)) else { return Vec::new() };
        let by_start: BTreeMap<u64, Candle> = rows.iter().map(|row| (row.start_ms, *row)).collect();
        by_start.into_values().collect()
    }

    pub fn written(&self, venue: Venue, symbol: &str, interval: Interval) -> usize {
        self.series
            .lock()
            .unwrap()
            .get(&(venue, symbol.to_owned(), interval))
            .map_or(0, |(_, rows)| rows.len())
    }
}

impl CandleFiles for Memory {
    fn load(&mut self, name: SeriesName<'_>) -> Loaded {
        let (origin_ms, written) = self
            .series
            .lock()
            .unwrap()
            .get(&key(name))
            .map_or((0, 0), |(origin, rows)| (*origin, rows.len()));
        Loaded {
            rows: self.rows(name.venue, name.symbol, name.interval),
            origin_ms,
            written,
            ..Loaded::default()
        }
    }

    fn append(&mut self, name: SeriesName<'_>, rows: &[Candle]) -> io::Result<()> {
        self.write()?;
        self.series.lock().unwrap().entry(key(name)).or_default().1.extend_from_slice(rows);
        Ok(())
    }

    fn replace(&mut self, name: SeriesName<'_>, origin_ms: u64, rows: &[Candle]) -> io::Result<()> {
        self.write()?;
        self.series.lock().unwrap().insert(key(name), (origin_ms, rows.to_vec()));
        Ok(())
    }
}

/// One series as the server has it.
#[derive(Clone, Debug, Default)]
pub struct Served {
    pub rows: BTreeMap<u64, Candle>,
    pub complete_ms: Option<u64>,
}

/// An instrument of the bench.
#[derive(Clone, Debug)]
pub struct Instrument {
    pub venue: Venue,
    pub name: String,
    pub number: u32,
}

/// What a request fails with; `None`: it does not.
pub type Script = Box<dyn FnMut(&FetchRequest, u64) -> Option<FetchError>>;

/// Which requests are answered without a row.
pub type Silence = Box<dyn FnMut(&FetchRequest, u64) -> bool>;

/// See the module.
pub struct Bench {
    pub market: Market,
    pub now: Now,
    pub core: HistoryCore,
    pub counters: Arc<HistoryCounters>,
    pub files: Memory,
    pub intervals: Vec<(Interval, u32)>,
    pub instruments: Vec<Instrument>,
    pub served: HashMap<(u32, Interval), Served>,
    pub seeds: HashMap<(u32, Interval), CandleSeed>,
    pub events: Vec<Event>,
    pub requests: Vec<FetchRequest>,
    /// Whether the engine closes candles: of (instrument, interval, start).
    pub closes: Box<dyn FnMut(u32, Interval, u64) -> bool>,
    pub script: Script,
    /// Of (request, time).
    pub empty: Silence,
    /// The local clock is ahead of the venues' by so much.
    pub ahead_ms: i64,
    queues: Vec<(Venue, Queue)>,
    /// Weight a minute, the same at both venues, instead of the usual.
    budget: Option<u32>,
    on_their_way: Vec<(u64, Now, Ticket)>,
    /// When, where, and how much by the venue's own count.
    spent: Vec<(u64, Venue, u64)>,
    last_closed_ms: u64,
}

impl Bench {
    pub fn new(market: Market, intervals: &[(Interval, u32)], files: Memory, start_ms: u64) -> Self {
        let counters = Arc::new(HistoryCounters::default());
        let venue =
            |venue| CoreVenue { venue, intervals: intervals.to_vec(), files: Box::new(files.clone()) };
        let venues = vec![venue(Venue::Hyperliquid), venue(Venue::Binance)];
        Self {
            market,
            now: Now { mono_ns: 3_600_000_000_000, wall_ns: start_ms * 1_000_000 },
            core: HistoryCore::new(venues, Arc::clone(&counters), 7),
            counters,
            files,
            intervals: intervals.to_vec(),
            instruments: Vec::new(),
            served: HashMap::new(),
            seeds: HashMap::new(),
            events: Vec::new(),
            requests: Vec::new(),
            closes: Box::new(|_, _, _| true),
            script: Box::new(|_, _| None),
            empty: Box::new(|_, _| false),
            ahead_ms: 0,
            queues: vec![
                (Venue::Hyperliquid, Queue::new(Venue::Hyperliquid, 1000, 1)),
                (Venue::Binance, Queue::new(Venue::Binance, 1800, 1)),
            ],
            budget: None,
            on_their_way: Vec::new(),
            spent: Vec::new(),
            last_closed_ms: start_ms - CLOSE_AFTER_MS,
        }
    }

    /// So much weight a minute, before anything is asked.
    pub fn limit(&mut self, weight: u32) {
        self.budget = Some(weight);
        self.queues =
            [Venue::Hyperliquid, Venue::Binance].map(|venue| (venue, Queue::new(venue, weight, 1))).into();
    }

    pub fn now_ms(&self) -> u64 {
        self.now.wall_ns / 1_000_000
    }

    /// Now, by the local clock.
    fn local(&self) -> Now {
        Now { wall_ns: self.now.wall_ns.saturating_add_signed(self.ahead_ms * 1_000_000), ..self.now }
    }

    /// The same files, another run: so much later.
    pub fn restart(self, after_ms: u64) -> Self {
        let names: Vec<_> = self.instruments.iter().map(|one| (one.venue, one.name.clone())).collect();
        let mut bench =
            Self::new(self.market.clone(), &self.intervals, self.files.clone(), self.now_ms() + after_ms);
        if let Some(weight) = self.budget {
            bench.limit(weight);
        }
        for (venue, name) in names {
            bench.instrument(venue, &name, InstrumentStatus::Trading);
        }
        bench
    }

    /// Tells an instrument; its number is the answer.
    pub fn instrument(&mut self, venue: Venue, name: &str, status: InstrumentStatus) -> u32 {
        let known = self.instruments.iter().find(|one| one.venue == venue && one.name == name);
        let number = known.map_or(self.instruments.len() as u32, |one| one.number);
        if known.is_none() {
            self.instruments.push(Instrument { venue, name: name.to_owned(), number });
        }
        let body = InstrumentBody::new(InstrumentKind::Perp, status, name, name, "USDC").unwrap();
        let header = Header::of(Kind::Instrument, venue, Stream::Candles, number);
        let mut builder = RecordBuilder::new();
        self.core.on_record(builder.fixed(header, &body), self.local());
        number
    }

    pub fn symbols(&mut self, venue: Venue, count: usize) {
        for number in 0..count {
            self.instrument(venue, &format!("SYM{number}"), InstrumentStatus::Trading);
        }
    }

    pub fn wish(&mut self, instrument: u32, interval: Interval) {
        self.core.on_wish(CandleWish { instrument, interval });
    }

    /// The engine closes a candle.
    pub fn close(&mut self, instrument: u32, interval: Interval, candle: Candle, revised: bool) {
        let venue = self.instruments[instrument as usize].venue;
        let header = Header::of(Kind::Candle, venue, Stream::Candles, instrument);
        let mut builder = RecordBuilder::new();
        self.core.on_record(builder.fixed(header, &candle.body(interval, true, revised)), self.local());
        // The server has it from the engine.
        let served = self.served.entry((instrument, interval)).or_default();
        if served.complete_ms.is_some() {
            served.rows.insert(candle.start_ms, candle);
        }
    }

    fn close_what_ended(&mut self) {
        let until_ms = self.now_ms() - CLOSE_AFTER_MS;
        for (interval, _) in self.intervals.clone() {
            let start_ms = self.market.start_ms_of(interval, until_ms);
            if start_ms <= self.last_closed_ms {
                continue;
            }
            let ended_ms = self.market.start_ms_of(interval, start_ms - 1);
            for one in self.instruments.clone() {
                if (self.closes)(one.number, interval, ended_ms)
                    && let Some(candle) = self.market.candle(&one.name, interval, ended_ms)
                {
                    self.close(one.number, interval, candle, false);
                }
            }
        }
        self.last_closed_ms = until_ms;
    }

    fn take_out(&mut self) {
        let now_ms = self.now_ms();
        let out = self.core.outbox();
        for history in out.history.drain(..) {
            let served = self.served.entry((history.instrument, history.interval)).or_default();
            assert!(history.candles.len() <= 512);
            assert!(
                history
                    .candles
                    .windows(2)
                    .all(|pair| { history.interval.next_start_ms(pair[0].start_ms) == pair[1].start_ms }),
                "a hole inside {history:?}"
            );
            if let Some(last) = history.candles.last() {
                assert!(history.interval.next_start_ms(last.start_ms) <= now_ms, "it runs: {last:?}");
            }
            if let (Some(first), Some((last, _)), None) =
                (history.candles.first(), served.rows.last_key_value(), served.complete_ms)
            {
                let next = history.interval.next_start_ms(*last);
                assert!(first.start_ms <= next, "a hole before {first:?}, expected {next}");
            }
            served.rows.extend(history.candles.iter().map(|candle| (candle.start_ms, *candle)));
            if history.complete {
                assert_eq!(served.complete_ms, None, "completed twice");
                served.complete_ms = Some(now_ms);
            }
        }
        let finest = self.intervals[0].0;
        for seed in out.seeds.drain(..) {
            let start_ms = seed.interval.next_start_ms(seed.last.start_ms);
            let until_ms = finest.start_ms_of(now_ms);
            if self.ahead_ms == 0 && seed.interval.is_made_of(finest) {
                let base = seed.base.map_or((start_ms, start_ms), |(base, end_ms)| (base.start_ms, end_ms));
                assert_eq!(base, (start_ms, until_ms), "{seed:?}");
            }
            self.seeds.insert((seed.instrument, seed.interval), seed);
        }
        self.events.extend(out.events.drain(..));
        let requests: Vec<_> = out.requests.drain(..).collect();
        for request in requests {
            self.requests.push(request.clone());
            let (_, queue) = self.queues.iter_mut().find(|(venue, _)| *venue == request.venue).unwrap();
            queue.push(Ticket { lane: 0, request }).unwrap();
        }
    }

    fn ask(&mut self) {
        for (venue, queue) in &mut self.queues {
            while let Some(ticket) = queue.next(self.now) {
                let at_ms = self.now.wall_ns / 1_000_000;
                let Query::Candles { interval, start_ms, end_ms, limit, .. } = &ticket.request.query else {
                    panic!("{ticket:?}")
                };
                // The venues' own counting, as their documentation has it.
                let weight = match venue {
                    Venue::Hyperliquid => {
                        let length = interval.length_ms().unwrap_or(31 * 86_400_000);
                        20 + (((end_ms - start_ms) / length + 1).min(5000)).div_ceil(60)
                    }
                    Venue::Binance => match limit {
                        0..100 => 1,
                        100..500 => 2,
                        500..=1000 => 5,
                        _ => 10,
                    },
                };
                self.spent.push((at_ms, *venue, weight));
                self.on_their_way.push((at_ms + LATENCY_MS, self.now, ticket));
            }
        }
    }

    fn answer(&mut self) {
        let now_ms = self.now_ms();
        let (ready, waiting) = self.on_their_way.drain(..).partition(|(at_ms, _, _)| *at_ms <= now_ms);
        self.on_their_way = waiting;
        for (_, asked, Ticket { request, .. }) in ready {
            let (_, queue) = self.queues.iter_mut().find(|(venue, _)| *venue == request.venue).unwrap();
            let failure = (self.script)(&request, now_ms);
            let status = match &failure {
                None => 200,
                Some(FetchError::Permanent { .. }) => 400,
                Some(_) => 408,
            };
            let message = if status == 200 { String::new() } else { "scripted".to_owned() };
            // The fetcher slows down by itself after failures; that is tested there.
            let reply =
                Reply { status: if status == 408 { 400 } else { status }, message, ..Reply::default() };
            let _ = queue.settle(&reply, asked, self.now);
            let outcome = match failure {
                Some(error) => Err(error),
                None if (self.empty)(&request, now_ms) => Ok(Answer::Candles(Vec::new())),
                None => Ok(Answer::Candles(self.rows_of(&request))),
            };
            self.core.on_fetched(Fetched { request, outcome }, self.local());
        }
    }

    fn rows_of(&self, request: &FetchRequest) -> Vec<codec::candle::CandleRow> {
        let Query::Candles { symbol, interval, start_ms, end_ms, limit } = &request.query else {
            return Vec::new();
        };
        let range = (*start_ms, *end_ms);
        let limit = match request.venue {
            Venue::Binance => {
                assert!(*limit <= 1500, "refused with -1130");
                *limit as usize
            }
            Venue::Hyperliquid => usize::MAX,
        };
        self.market.answer(request.venue, symbol, *interval, range, limit, self.now_ms())
    }

    /// A tenth of a second.
    pub fn step(&mut self) {
        self.close_what_ended();
        self.answer();
        while self.core.work(self.local()) > 0 {
            self.take_out();
        }
        self.take_out();
        self.ask();
        self.now.mono_ns += STEP_MS * 1_000_000;
        self.now.wall_ns += STEP_MS * 1_000_000;
    }

    pub fn run(&mut self, ms: u64) {
        for _ in 0..ms / STEP_MS {
            self.step();
        }
    }

    /// Runs until all is loaded; how long it took.
    pub fn load(&mut self, ms_max: u64) -> u64 {
        let start_ms = self.now_ms();
        loop {
            self.step();
            let load = |counter: &AtomicU64| counter.load(Relaxed);
            let total = load(&self.counters.series_total);
            if total > 0 && load(&self.counters.series_loaded) == total {
                return self.now_ms() - start_ms;
            }
            assert!(self.now_ms() - start_ms < ms_max, "not loaded after {ms_max} ms");
        }
    }

    pub fn is_complete(&self, instrument: u32, interval: Interval) -> bool {
        self.served.get(&(instrument, interval)).is_some_and(|served| served.complete_ms.is_some())
    }

    /// The newest rows the server has, as many as are kept.
    pub fn rows(&self, instrument: u32, interval: Interval) -> Vec<Candle> {
        let served = &self.served[&(instrument, interval)];
        let count = self.retention(interval);
        served.rows.values().skip(served.rows.len().saturating_sub(count)).copied().collect()
    }

    fn retention(&self, interval: Interval) -> usize {
        self.intervals.iter().find(|(known, _)| *known == interval).unwrap().1 as usize
    }

    /// Everything served is what happened, and so is everything in the files.
    pub fn check(&self) {
        for one in &self.instruments {
            for &(interval, count) in &self.intervals {
                self.check_series(one, interval, count as usize);
            }
        }
    }

    pub fn check_series(&self, one: &Instrument, interval: Interval, count: usize) {
        let truth = self.market.closed(&one.name, interval, count, self.now_ms());
        let rows = self.rows(one.number, interval);
        let rows = rows[rows.len().saturating_sub(count)..].to_vec();
        let differs = truth.iter().zip(&rows).position(|(truth, row)| truth != row);
        assert!(
            rows == truth,
            "{} {interval}: {} rows for {}, first difference {differs:?}, {:?} for {:?}",
            one.name,
            rows.len(),
            truth.len(),
            differs.map(|at| rows[at]),
            differs.map(|at| truth[at]),
        );
        let stored = self.files.rows(one.venue, &one.name, interval);
        let stored = &stored[stored.len().saturating_sub(count)..];
        assert!(stored == truth, "{} {interval}: the file differs", one.name);
    }

    /// No venue's limit was exceeded, by its own count.
    pub fn check_weights(&self) {
        for &(at_ms, venue, _) in &self.spent {
            let in_minute = |from: u64, to: u64| -> u64 {
                self.spent
                    .iter()
                    .filter(|(at, of, _)| *of == venue && (from..to).contains(at))
                    .map(|(_, _, weight)| weight)
                    .sum()
            };
            let (used, limit) = match venue {
                Venue::Hyperliquid => (in_minute(at_ms, at_ms + 60_000), 1000),
                Venue::Binance => (in_minute(at_ms / 60_000 * 60_000, (at_ms / 60_000 + 1) * 60_000), 1800),
            };
            let limit = self.budget.map_or(limit, u64::from);
            assert!(used <= limit, "{used} of {venue} in the minute from {at_ms}");
        }
    }

    pub fn weight_spent(&self) -> u64 {
        self.spent.iter().map(|(_, _, weight)| weight).sum()
    }

    pub fn told(&self, what: &str) -> usize {
        self.events.iter().filter(|event| event.what.contains(what)).count()
    }
}
