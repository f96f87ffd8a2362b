//! The server on a real socket: its file, many clients, slow ones, and the end.

mod common;

use codec::candle::Candle;
use codec::decimal::Price;
use codec::record::Record;
use codec::ring::{Importance, Producer};
use codec::time::Now;
use codec::words::{Interval, Reason, State, Stream, Venue};
use common::{BTC, Records, config, level};
use ipc::{CandleHistory, CandleWish, Counters, Event, IpcError, Outlets, Server, ServerConfig};
use slipstream_client::{Client, ClientError, Message, request};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const LONG: Duration = Duration::from_secs(20);

/// A directory of its own, removed in the end.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("ipc-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("mktdata.sock")
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn now() -> Now {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let mono = START.get_or_init(Instant::now).elapsed();
    Now { mono_ns: 1_000_000_000 + mono.as_nanos() as u64, wall_ns: wall_ns() }
}

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

fn server(config: ServerConfig) -> Result<(Server, Producer), IpcError> {
    let (producer, consumer) = codec::ring::ring(8 << 20);
    Server::new(config, consumer, None, Outlets::default(), Box::new(wall_ns), now())
        .map(|server| (server, producer))
}

/// A server on a thread of its own, and the pen that writes its records.
struct Daemon {
    _directory: Directory,
    path: PathBuf,
    producer: Producer,
    records: Records,
    counters: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<bool>>,
    events: rtrb::Consumer<Event>,
    history: rtrb::Producer<CandleHistory>,
    wishes: rtrb::Consumer<CandleWish>,
}

impl Daemon {
    fn start(adjust: impl FnOnce(&mut ServerConfig)) -> Self {
        let directory = Directory::new();
        let path = directory.socket();
        let mut config = ServerConfig::new(config(), &path);
        adjust(&mut config);
        let (producer, consumer) = codec::ring::ring(8 << 20);
        let counters = Arc::new(Counters::default());
        let (event_producer, events) = rtrb::RingBuffer::new(4096);
        let (wish_producer, wishes) = rtrb::RingBuffer::new(64);
        let (history, history_consumer) = rtrb::RingBuffer::new(64);
        let outlets = Outlets {
            counters: counters.clone(),
            events: Some(event_producer),
            candle_wishes: Some(wish_producer),
            ..Outlets::default()
        };
        let clock = Box::new(wall_ns);
        let mut server =
            Server::new(config, consumer, Some(history_consumer), outlets, clock, now()).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            loop {
                if stopped.load(Ordering::Relaxed) {
                    server.begin_shutdown(now());
                }
                let work = server.do_work(now());
                if server.is_drained(now()) {
                    return server.core().has_ended();
                }
                if work == 0 {
                    std::thread::sleep(Duration::from_micros(200));
                }
            }
        });
        let mut daemon = Self {
            _directory: directory,
            path,
            producer,
            records: Records::new(),
            counters,
            stop,
            thread: Some(thread),
            events,
            history,
            wishes,
        };
        daemon.feed(|records| records.instrument(BTC, Venue::Binance, "BTCUSDT"));
        for stream in [Stream::Orderbook, Stream::Quotes, Stream::Trades] {
            daemon.feed(|records| records.live(BTC, stream));
        }
        daemon.feed(|records| records.snapshot(BTC, &[level(100.0, 1.0)], &[level(101.0, 1.0)]));
        daemon
    }

    fn feed(&mut self, make: impl FnOnce(&mut Records) -> Vec<u64>) {
        self.records.now = now();
        let words = make(&mut self.records);
        let start = Instant::now();
        while !self.producer.push(Record::first(&words).unwrap(), Importance::Normal) {
            assert!(start.elapsed() < LONG, "the server takes no records");
            std::thread::yield_now();
        }
    }

    fn connect(&self) -> Client {
        Client::connect(&self.path).unwrap()
    }

    fn figure(&self, name: &str) -> u64 {
        self.counters.figures().find(|(figure, _)| *figure == name).unwrap().1
    }

    fn until(&self, what: &str, mut is: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !is(self) {
            assert!(start.elapsed() < LONG, "never came: {what}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether the record that ends a run was taken.
    fn stop(&mut self) -> bool {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().is_some_and(|thread| thread.join().unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The next message that is no heartbeat.
fn next(client: &mut Client) -> Message {
    loop {
        match client.recv(LONG).unwrap() {
            None => panic!("no message"),
            Some(Message::Heartbeat { .. }) => {}
            Some(message) => return message,
        }
    }
}

#[test]
fn queries_while_streaming() {
    let mut daemon = Daemon::start(|_| {});
    let mut client = daemon.connect();
    client.hello("test", "msgpack").unwrap();
    client.subscribe_orderbook("binance", "BTCUSDT", 5, "delta").unwrap();
    client.subscribe_trades("binance", "BTCUSDT").unwrap();
    let Message::OrderbookSnapshot(mut book) = next(&mut client) else { panic!("a snapshot first") };
    for id in 1..=500 {
        daemon.feed(|records| records.trade(BTC, id, 0));
        daemon.feed(|records| records.delta(BTC, &[level(99.0, id as f64)], &[]));
        if id % 50 == 0 {
            client.query(&request("get_orderbook").venue("binance").symbol("BTCUSDT")).unwrap();
        }
    }
    let mut trades = 0;
    while trades < 500 || book.sequence < 501 {
        match next(&mut client) {
            Message::Trade(trade) => {
                trades += 1;
                assert_eq!(trade.trade_id, trades.to_string());
            }
            Message::OrderbookDelta(delta) => assert!(book.apply(&delta)),
            other => panic!("{other:?}"),
        }
    }
    let error = client.request(&request("get_quote").venue("binance").symbol("NOPE")).unwrap_err();
    assert_eq!(error.code(), Some("unknown_symbol"));
    daemon.until("latency figures", |daemon| daemon.counters.latency.buckets().iter().sum::<u64>() >= 1000);
}

#[test]
fn candles_of_the_past_come_by_their_own_ring() {
    let mut daemon = Daemon::start(|_| {});
    let mut client = daemon.connect();
    let candles = request("get_candles")
        .venue("binance")
        .symbol("BTCUSDT")
        .with("interval", "15m")
        .with("count", 3_000);
    let refused = client.request(&candles).unwrap_err();
    assert_eq!(refused.code(), Some("not_ready"), "{refused:?}");
    daemon.until("the wish", |daemon| daemon.wishes.slots() > 0);
    let wish = daemon.wishes.pop().unwrap();
    assert_eq!((wish.instrument, wish.interval), (BTC, Interval::M15));
    let history: Vec<_> =
        (0..2000).map(|period| Candle::flat(period * 900_000, Price::from_raw(100_000_000))).collect();
    for chunk in history.chunks(ipc::limits::HISTORY_CHUNK_ROWS_MAX) {
        let complete = chunk.len() < ipc::limits::HISTORY_CHUNK_ROWS_MAX;
        let item =
            CandleHistory { instrument: BTC, interval: Interval::M15, candles: chunk.into(), complete };
        daemon.history.push(item).unwrap();
    }
    daemon.until("the history", |daemon| daemon.figure("candle_series_loaded") == 1);
    let (_, data) = client.request(&candles).unwrap();
    assert_eq!(data.as_array().unwrap().len(), 2001);
    assert_eq!(daemon.figure("candle_rows"), 2000);
}

#[test]
fn a_spinning_client_gets_the_same() {
    let mut daemon = Daemon::start(|_| {});
    let mut client = daemon.connect();
    client.set_wait(slipstream_client::Wait::Spin).unwrap();
    client.subscribe_trades("binance", "BTCUSDT").unwrap();
    daemon.feed(|records| records.trade(BTC, 1, 0));
    assert!(matches!(next(&mut client), Message::Trade(_)));
    assert!(client.recv(Duration::from_millis(1)).unwrap().is_none());
}

#[test]
fn five_hundred_idle_clients_delay_nobody() {
    let mut daemon = Daemon::start(|config| config.core.clients_max = 600);
    let idle: Vec<_> = (0..500).map(|_| daemon.connect()).collect();
    let mut client = daemon.connect();
    client.subscribe_trades("binance", "BTCUSDT").unwrap();
    for id in 1..=200 {
        daemon.feed(|records| records.trade(BTC, id, 0));
        let Message::Trade(trade) = next(&mut client) else { panic!("a trade") };
        assert_eq!(trade.trade_id, id.to_string());
    }
    assert_eq!(daemon.figure("clients"), 501);
    drop(idle);
    daemon.until("the idle ones are gone", |daemon| daemon.figure("clients") == 1);
}

#[test]
fn idle_clients_hear_heartbeats() {
    let daemon = Daemon::start(|_| {});
    let mut client = daemon.connect();
    let start = Instant::now();
    let message = client.recv(LONG).unwrap().unwrap();
    assert!(matches!(message, Message::Heartbeat { .. }));
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn a_client_that_never_reads_costs_little_and_harms_nobody() {
    let mut daemon = Daemon::start(|_| {});
    let mut deaf = daemon.connect();
    let mut client = daemon.connect();
    for client in [&mut deaf, &mut client] {
        client.subscribe_trades("binance", "BTCUSDT").unwrap();
        client.subscribe_quote("binance", "BTCUSDT").unwrap();
    }
    let total = 30_000u64;
    let (mut seen, mut missed) = (0, 0);
    for id in 1..=total {
        daemon.feed(|records| records.trade(BTC, id, 0));
        daemon.feed(|records| records.quote(BTC, level(id as f64, 1.0), level(9e6, 1.0)));
        if id % 50 == 0 {
            while seen + missed < id {
                match next(&mut client) {
                    Message::Trade(_) => seen += 1,
                    Message::Gap(gap) => missed += gap.missed.unwrap(),
                    _ => {}
                }
            }
        }
    }
    assert_eq!(seen, total, "the one that reads gets everything");
    assert!(daemon.figure("private_bytes") < 4 << 20);
    // Now the deaf one reads: the account is complete.
    let (mut seen, mut missed, mut quotes) = (0, 0, 0);
    while seen + missed < total || quotes < total {
        match next(&mut deaf) {
            Message::Trade(_) => seen += 1,
            Message::Gap(gap) if gap.stream == "trades" => missed += gap.missed.unwrap(),
            Message::Quote(quote) => quotes += 1 + quote.conflated,
            _ => {}
        }
    }
    assert!(missed > 0);
    assert_eq!((seen + missed, quotes), (total, total));
    assert!(daemon.figure("lagged_total") >= 1);
}

#[test]
fn a_frame_too_large_is_told_then_closed() {
    let daemon = Daemon::start(|_| {});
    let mut stream = UnixStream::connect(&daemon.path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    let mut frame = (3u32 << 20).to_be_bytes().to_vec();
    frame.resize(3 << 20, 0);
    stream.write_all(&frame).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let message = Message::read(&answer[4..]).unwrap();
    assert!(matches!(&message, Message::Error { code, .. } if code == "frame_too_large"), "{message:?}");
    let mut other = daemon.connect();
    other.request(&request("ping")).unwrap();
}

#[test]
fn garbage_for_a_while_harms_nobody() {
    let daemon = Daemon::start(|_| {});
    let mut seed = 0x9E37_79B9_7F4A_7C15u64;
    for _ in 0..200 {
        let mut stream = UnixStream::connect(&daemon.path).unwrap();
        let mut bytes = Vec::new();
        for _ in 0..1 + seed % 500 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            bytes.push(seed as u8);
        }
        if seed.is_multiple_of(3) {
            // A length that may well be complete.
            bytes.iter_mut().take(2).for_each(|byte| *byte = 0);
        }
        let _ = stream.write_all(&bytes);
    }
    daemon.connect().request(&request("ping")).unwrap();
    daemon.until("they are gone", |daemon| daemon.figure("clients") <= 1);
}

#[test]
fn one_client_too_many_reads_why() {
    let mut daemon = Daemon::start(|config| config.core.clients_max = 1);
    let mut one = daemon.connect();
    one.request(&request("ping")).unwrap();
    let mut two = daemon.connect();
    assert!(matches!(next(&mut two), Message::Error { code, .. } if code == "too_many"));
    assert!(matches!(two.recv(LONG), Err(ClientError::Closed)));
    drop(one);
    daemon.until("it is gone", |daemon| daemon.figure("clients") == 0);
    daemon.connect().request(&request("ping")).unwrap();
    let refused = std::iter::from_fn(|| daemon.events.pop().ok())
        .any(|event| matches!(event, Event::ClientRefused { .. }));
    assert!(refused);
}

#[test]
fn only_those_who_are_named_are_let_in() {
    let refused = Daemon::start(|config| {
        config.allow_uids = Some(vec![4_000_000_000]);
        config.allow_gids = Some(vec![4_000_000_000]);
    });
    let mut client = refused.connect();
    assert!(client.request(&request("ping")).is_err());
    let own = rustix::process::geteuid().as_raw();
    let allowed = Daemon::start(|config| config.allow_uids = Some(vec![own]));
    allowed.connect().request(&request("ping")).unwrap();
}

#[test]
fn a_client_that_stops_sending_still_gets_its_answers() {
    let daemon = Daemon::start(|_| {});
    let mut stream = UnixStream::connect(&daemon.path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(b"\0\0\0\x0b\x81\xa4type\xa4ping\0\0\0\x0b\x81\xa4type\xa4ping").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).unwrap();
    let mut frames = codec::protocol::frame::Frames::new(1000);
    frames.push(&answers);
    assert!(frames.next_frame().unwrap().is_some() && frames.next_frame().unwrap().is_some());
}

#[test]
fn at_the_end_everything_due_is_written_and_the_file_is_gone() {
    let mut daemon = Daemon::start(|_| {});
    let mut client = daemon.connect();
    client.subscribe_trades("binance", "BTCUSDT").unwrap();
    for id in 1..=100 {
        daemon.feed(|records| records.trade(BTC, id, 0));
    }
    daemon.feed(|records| {
        records.whole(Some(Venue::Binance), Stream::Connection, State::Down, Reason::Shutdown)
    });
    daemon.feed(Records::end);
    assert!(daemon.stop(), "every record was taken");
    for id in 1..=100u64 {
        let Message::Trade(trade) = next(&mut client) else { panic!("a trade") };
        assert_eq!(trade.trade_id, id.to_string());
    }
    assert!(matches!(next(&mut client), Message::Status(status) if status.reason == "shutdown"));
    assert!(matches!(client.recv(LONG), Err(ClientError::Closed)));
    assert!(!daemon.path.exists());
}

#[test]
fn at_the_end_a_client_without_subscriptions_is_told_too() {
    let mut daemon = Daemon::start(|_| {});
    let mut idle = daemon.connect();
    // Accepted and known before the end begins.
    idle.request(&request("ping")).unwrap();
    daemon.feed(Records::end);
    daemon.stop();
    let told = next(&mut idle);
    assert!(matches!(&told, Message::Error { code, id: None, .. } if code == "shutting_down"), "{told:?}");
    assert!(matches!(idle.recv(LONG), Err(ClientError::Closed)));
}

#[test]
fn a_client_that_does_not_read_does_not_hold_up_the_end() {
    let mut daemon = Daemon::start(|_| {});
    let mut deaf = daemon.connect();
    deaf.subscribe_trades("binance", "BTCUSDT").unwrap();
    for id in 1..=5000 {
        daemon.feed(|records| records.trade(BTC, id, 0));
    }
    let start = Instant::now();
    daemon.stop();
    assert!(start.elapsed() < Duration::from_secs(5));
}

/// The fault: the daemon at the path hangs, and its queue of connections is full.
#[test]
fn one_that_takes_no_connections_is_respected_without_waiting_for_it() {
    let directory = Directory::new();
    let path = directory.socket();
    let hangs = UnixListener::bind(&path).unwrap();
    // Without a queue there is room for one, and the next would wait for ever.
    rustix::net::listen(&hangs, 0).unwrap();
    let _first = UnixStream::connect(&path).unwrap();
    let error = server(ServerConfig::new(config(), &path)).unwrap_err();
    assert!(matches!(error, IpcError::InUse { .. }), "{error}");
}

#[test]
fn the_socket_file() {
    let directory = Directory::new();
    let path = directory.socket();
    let config = |path: &Path| ServerConfig::new(config(), path);

    let (first, _producer) = server(config(&path)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    let error = server(config(&path)).unwrap_err();
    assert!(matches!(error, IpcError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()));
    assert!(UnixStream::connect(&path).is_ok(), "the live one goes on");
    drop(first);
    assert!(!path.exists(), "removed in the end");

    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "stale");
    let mut with_mode = config(&path);
    with_mode.socket_mode = 0o600;
    let (second, _producer) = server(with_mode).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // Somebody else's file at our path is not ours to remove.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    drop(second);
    let error = server(config(&path)).unwrap_err();
    assert!(matches!(error, IpcError::NotASocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

    let nowhere = directory.0.join("no/such/dir.sock");
    let error = server(config(&nowhere)).unwrap_err();
    assert!(matches!(error, IpcError::NoDirectory { .. }), "{error}");
    let long = directory.0.join("x".repeat(120));
    let error = server(config(&long)).unwrap_err();
    assert!(matches!(error, IpcError::PathTooLong { .. }), "{error}");
}
