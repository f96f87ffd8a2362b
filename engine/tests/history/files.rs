//! Files on a real disk, and the agent with its rings.

use crate::bench::START_MS;
use crate::bench_net::{TempDir, wait_for};
use crate::market::Market;
use codec::candle::Candle;
use codec::record::{Header, InstrumentBody, Kind, RecordBuilder};
use codec::ring::Importance;
use codec::words::{InstrumentKind, InstrumentStatus, Interval, Stream, Venue};
use engine::agent::Agent;
use engine::clock::Clock;
use engine::driver::EventSink;
use engine::event::Event;
use engine::fetch::{Answer, FetchRequest, Fetched, Query};
use engine::history::{
    CandleFiles, CandleSeed, Directory, History, HistoryCounters, HistoryRings, HistorySettings,
    HistoryVenue, SeriesName,
};
use ipc::{CandleHistory, CandleWish};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const URL: &str = "https://fapi.binance.com";
const NAME: SeriesName<'static> =
    SeriesName { venue: Venue::Binance, symbol: "BTCUSDT", interval: Interval::M1 };

fn open(path: &Path) -> Directory {
    Directory::open(path, Venue::Binance, URL).unwrap()
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn rows(count: u64) -> Vec<Candle> {
    let market = Market::new(1);
    (0..count)
        .map(|at| market.candle("X", Interval::M15, START_MS / 900_000 * 900_000 + at * 900_000).unwrap())
        .collect()
}

#[test]
fn rows_come_back_as_they_went_in() {
    let directory = TempDir::new();
    let path = directory.path("candles");
    let mut store = open(&path);
    assert_eq!(store.load(NAME), engine::history::Loaded::default());
    let rows = rows(6);
    store.replace(NAME, 7, &rows[..2]).unwrap();
    store.append(NAME, &rows[2..4]).unwrap();
    let corrected = Candle { num_trades: 99, ..rows[1] };
    store.append(NAME, &[corrected, rows[4]]).unwrap();
    let loaded = store.load(NAME);
    assert_eq!(loaded.rows, [rows[0], corrected, rows[2], rows[3], rows[4]]);
    assert_eq!((loaded.origin_ms, loaded.written, loaded.trouble), (7, 6, None));
    // Every name has a file of its own, whatever it holds.
    for (symbol, interval) in [
        ("BTCUSDT", Interval::Month1),
        ("a/../b", Interval::M1),
        ("币安", Interval::M1),
        ("PURR/USDC", Interval::H1),
    ] {
        let name = SeriesName { symbol, interval, ..NAME };
        store.append(name, &rows[..1]).unwrap();
        assert_eq!(store.load(name).rows, rows[..1]);
    }
    let venue = path.join("binance-fapi.binance.com_443");
    assert_eq!(
        files(&venue),
        [
            "%E5%B8%81%E5%AE%89.1m.candles",
            ".lock",
            "BTCUSDT.1M.candles",
            "BTCUSDT.1m.candles",
            "PURR%2FUSDC.1h.candles",
            "a%2F..%2Fb.1m.candles",
        ]
    );
    // Another environment of the same venue, and another venue.
    let test = Directory::open(&path, Venue::Binance, "http://[::1]:8443/x");
    test.unwrap().append(NAME, &rows[..1]).unwrap();
    assert_eq!(files(&path), ["binance-%3A%3A1_8443", "binance-fapi.binance.com_443"]);
}

/// The fault: one byte of the file is not what was written.
#[test]
fn a_damaged_file_never_gives_a_wrong_row_and_is_told_once() {
    let directory = TempDir::new();
    let mut store = open(&directory.path("candles"));
    let file = directory.path("candles/binance-fapi.binance.com_443/BTCUSDT.1m.candles");
    let rows = rows(3);
    for at in 0..80 + 3 * 72 {
        store.replace(NAME, 0, &rows).unwrap();
        let mut bytes = std::fs::read(&file).unwrap();
        bytes[at] ^= 0x10;
        std::fs::write(&file, &bytes).unwrap();
        let loaded = store.load(NAME);
        assert!(loaded.rows.iter().all(|row| rows.contains(row)), "{at}");
        let trouble = loaded.trouble.unwrap();
        if at < 80 {
            assert_eq!((trouble.what, loaded.rows.len()), ("candle file put aside", 0));
            std::fs::remove_file(file.with_extension("candles.bad")).unwrap();
        } else {
            assert_eq!(loaded.rows.len(), 2);
            assert_eq!(loaded.written, 2);
        }
        assert_eq!(store.load(NAME).trouble, None, "told once");
    }
    // Cut anywhere: whole rows stay, and what is appended then can be read.
    for length in 80..80 + 3 * 72 {
        store.replace(NAME, 0, &rows).unwrap();
        std::fs::File::options().write(true).open(&file).unwrap().set_len(length).unwrap();
        store.append(NAME, &rows[2..]).unwrap();
        let whole = (length as usize - 80) / 72;
        let mut expected = rows[..whole].to_vec();
        expected.push(rows[2]);
        let loaded = store.load(NAME);
        assert_eq!((loaded.rows, loaded.trouble), (expected, None), "{length}");
    }
}

#[test]
fn nothing_is_deleted_that_somebody_may_want_back() {
    let directory = TempDir::new();
    let mut store = open(&directory.path("candles"));
    let place = directory.path("candles/binance-fapi.binance.com_443");
    for text in ["first", "second"] {
        std::fs::write(place.join("BTCUSDT.1m.candles"), text).unwrap();
        assert_eq!(store.load(NAME).trouble.unwrap().what, "candle file put aside");
    }
    // An empty one, which a power cut may leave, holds nothing that anybody wants.
    std::fs::write(place.join("BTCUSDT.1m.candles"), "").unwrap();
    let loaded = store.load(NAME);
    assert!(loaded.rows.is_empty() && loaded.trouble.is_none() && !loaded.unusable);
    // Another series' file under this one's name.
    let other = SeriesName { symbol: "ETHUSDT", ..NAME };
    store.replace(other, 0, &rows(2)).unwrap();
    std::fs::copy(place.join("ETHUSDT.1m.candles"), place.join("BTCUSDT.1m.candles")).unwrap();
    let loaded = store.load(NAME);
    assert!(loaded.rows.is_empty() && loaded.trouble.unwrap().detail.starts_with("it is another series'"));
    let aside: Vec<String> = files(&place).into_iter().filter(|name| name.contains(".bad")).collect();
    assert_eq!(aside.len(), 3);
    assert_eq!(std::fs::read(place.join(&aside[0])).unwrap(), b"first");
    assert_eq!(std::fs::read(place.join(&aside[1])).unwrap(), b"second");
    // What is no file at all is left alone.
    std::fs::create_dir(place.join("SOLUSDT.1m.candles")).unwrap();
    let loaded = store.load(SeriesName { symbol: "SOLUSDT", ..NAME });
    assert!(loaded.unusable && loaded.trouble.is_some());
}

#[test]
fn one_daemon_uses_a_directory_at_a_time() {
    let directory = TempDir::new();
    let path = directory.path("candles");
    let first = open(&path);
    let trouble = Directory::open(&path, Venue::Binance, URL).unwrap_err();
    assert_eq!(trouble.what, "another process uses the candle files: history comes by REST only");
    // Another venue's, and this one's when the first is gone.
    assert!(Directory::open(&path, Venue::Hyperliquid, URL).is_ok());
    drop(first);
    open(&path);
    // A directory that cannot be made.
    std::fs::write(directory.path("file"), "").unwrap();
    let trouble = Directory::open(&directory.path("file"), Venue::Binance, URL).unwrap_err();
    assert_eq!(trouble.what, "candle files cannot be written: history comes by REST only");
}

/// A history with the other ends of its rings.
struct Desk {
    history: History,
    clock: Clock,
    records: codec::ring::Producer,
    wishes: rtrb::Producer<CandleWish>,
    rows: rtrb::Consumer<CandleHistory>,
    seeds: rtrb::Consumer<CandleSeed>,
    requests: rtrb::Consumer<FetchRequest>,
    answers: rtrb::Producer<Fetched>,
    events: rtrb::Consumer<Event>,
    counters: Arc<HistoryCounters>,
    stop: Arc<AtomicBool>,
    market: Market,
    asked: usize,
}

impl Desk {
    fn new(candles_path: Option<PathBuf>) -> Self {
        let clock = Clock::start();
        let (records, records_out) = codec::ring::ring(0);
        let (wishes, wishes_out) = rtrb::RingBuffer::new(16);
        // A server that takes its time.
        let (rows_in, rows) = rtrb::RingBuffer::new(1);
        let (seeds_in, seeds) = rtrb::RingBuffer::new(1);
        let (requests_in, requests) = rtrb::RingBuffer::new(1);
        let (answers, answers_out) = rtrb::RingBuffer::new(16);
        let (events_in, events) = rtrb::RingBuffer::new(64);
        let counters = Arc::new(HistoryCounters::default());
        let stop = Arc::new(AtomicBool::new(false));
        let intervals = vec![(Interval::M15, 2000), (Interval::H1, 100)];
        let venue = HistoryVenue { venue: Venue::Binance, rest_url: URL.to_owned(), intervals };
        let settings = HistorySettings { candles_path, venues: vec![venue], seed: 1 };
        let rings = HistoryRings {
            records: records_out,
            wishes: wishes_out,
            rows: rows_in,
            seeds: seeds_in,
            requests: requests_in,
            answers: answers_out,
        };
        let sink = EventSink::new(events_in);
        let history =
            History::new(clock.clone(), settings, rings, Arc::clone(&counters), sink, Arc::clone(&stop));
        Self {
            history,
            clock,
            records,
            wishes,
            rows,
            seeds,
            requests,
            answers,
            events,
            counters,
            stop,
            market: Market::new(3),
            asked: 0,
        }
    }

    fn instrument(&mut self, number: u32, name: &str) {
        let status = InstrumentStatus::Trading;
        let body = InstrumentBody::new(InstrumentKind::Perp, status, name, name, "USDT").unwrap();
        let header = Header::of(Kind::Instrument, Venue::Binance, Stream::Candles, number);
        let mut builder = RecordBuilder::new();
        assert!(self.records.push(builder.fixed(header, &body), Importance::Kept));
    }

    fn candle(&mut self, instrument: u32, candle: Candle, closed: bool) {
        let header = Header::of(Kind::Candle, Venue::Binance, Stream::Candles, instrument);
        let mut builder = RecordBuilder::new();
        let body = candle.body(Interval::M15, closed, false);
        assert!(self.records.push(builder.fixed(header, &body), Importance::Kept));
    }

    fn turn(&mut self) -> Option<CandleHistory> {
        let now = self.clock.now();
        self.history.do_work(now);
        while let Ok(request) = self.requests.pop() {
            self.asked += 1;
            let Query::Candles { symbol, interval, start_ms, end_ms, limit } = &request.query else {
                panic!()
            };
            let range = (*start_ms, *end_ms);
            let now_ms = now.wall_ns / 1_000_000;
            let rows = self.market.answer(request.venue, symbol, *interval, range, *limit as usize, now_ms);
            self.answers.push(Fetched { request, outcome: Ok(Answer::Candles(rows)) }).unwrap();
        }
        self.rows.pop().ok()
    }

    fn until_loaded(&mut self, series: usize) -> Vec<Candle> {
        let mut candles = Vec::new();
        let mut complete = 0;
        let mut seeds = 0;
        wait_for("all series", || {
            if let Some(history) = self.turn() {
                complete += usize::from(history.complete);
                candles.extend(history.candles);
            }
            seeds += usize::from(self.seeds.pop().is_ok());
            (complete == series && seeds == series).then_some(())
        });
        candles
    }
}

#[test]
fn the_agent_loads_keeps_and_ends() {
    let directory = TempDir::new();
    let mut desk = Desk::new(Some(directory.path("candles")));
    for (number, name) in ["BTCUSDT", "ETHUSDT", "SOLUSDT"].into_iter().enumerate() {
        desk.instrument(number as u32, name);
    }
    desk.wishes.push(CandleWish { instrument: 2, interval: Interval::H1 }).unwrap();
    let fetched = desk.until_loaded(6);
    assert!((6290..=6310).contains(&fetched.len()), "{}", fetched.len());
    assert_eq!(desk.asked, 9);
    // The next close is the engine's, and the last thing it says before it ends.
    let next = |desk: &Desk| {
        let now_ms = desk.clock.clone().now().wall_ns / 1_000_000;
        desk.market.candle("BTCUSDT", Interval::M15, Interval::M15.start_ms_of(now_ms)).unwrap()
    };
    let (open, closed) = (next(&desk), next(&desk));
    desk.candle(0, open, false);
    desk.candle(0, closed, true);
    desk.stop.store(true, Ordering::Relaxed);
    wait_for("the end", || {
        desk.turn();
        desk.history.is_done().then_some(())
    });
    // A second daemon finds the directory in use, and does without.
    let mut second = Desk::new(Some(directory.path("candles")));
    assert!(second.events.pop().unwrap().what.starts_with("another process uses the candle files"));
    second.instrument(0, "BTCUSDT");
    second.until_loaded(2);
    assert!(second.asked > 0);
    // After the first has gone its rows are there again.
    drop(desk);
    let mut third = Desk::new(Some(directory.path("candles")));
    third.instrument(7, "BTCUSDT");
    let stored = third.until_loaded(2);
    assert_eq!(stored[1999], closed);
    assert_eq!((third.asked, stored.len()), (0, 2100));
    assert_eq!(third.counters.rows_from_disk.load(Ordering::Relaxed), 2100);
    // Without a path there is nothing on disk.
    let mut none = Desk::new(None);
    none.instrument(0, "BTCUSDT");
    none.until_loaded(2);
    assert_eq!(files(&directory.path("")), ["candles"]);
}
