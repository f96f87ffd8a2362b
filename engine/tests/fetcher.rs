//! The fetcher against a small HTTP server: answers decoded, limits obeyed, failures told.

mod bench_net;

use bench_net::{Identity, Server, TempDir, closed_port, identity, read_request, wait_for};
use codec::words::Venue;
use engine::agent::Agent;
use engine::clock::Clock;
use engine::connector::Trust;
use engine::driver::EventSink;
use engine::event::Event;
use engine::fetch::{Answer, FetchError, FetchRequest, Fetched, Priority, Query};
use engine::fetcher::{FetchVenue, Fetcher, Lane};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

fn lane() -> (rtrb::Producer<FetchRequest>, rtrb::Consumer<Fetched>, Lane) {
    let (requests_in, requests) = rtrb::RingBuffer::new(64);
    let (answers, answers_out) = rtrb::RingBuffer::new(1);
    (requests_in, answers_out, Lane { requests, answers })
}

struct Bench {
    fetcher: Fetcher,
    clock: Clock,
    requests: rtrb::Producer<FetchRequest>,
    answers: rtrb::Consumer<Fetched>,
    events: rtrb::Consumer<Event>,
}

impl Bench {
    fn new(venues: Vec<FetchVenue>) -> Self {
        let clock = Clock::start();
        let (requests, answers, lane) = lane();
        let (events_in, events) = rtrb::RingBuffer::new(64);
        let stop = Arc::new(AtomicBool::new(false));
        let sink = EventSink::new(events_in);
        let fetcher = Fetcher::new(clock.clone(), vec![lane], venues, sink, stop, 1).unwrap();
        Self { fetcher, clock, requests, answers, events }
    }

    fn ask(&mut self, venue: Venue, query: Query, token: u64) {
        let request = FetchRequest { venue, query, instrument: 3, token, priority: Priority::Repair };
        self.requests.push(request).unwrap();
    }

    fn answer(&mut self) -> Fetched {
        wait_for("an answer", || {
            self.fetcher.do_work(self.clock.now());
            self.answers.pop().ok()
        })
    }
}

/// An HTTP server whose answer is a function of request line and body and the number of the request.
fn http(
    identity: Option<&Identity>,
    answer: impl Fn(&str, &str, u32) -> String + Send + Sync + 'static,
) -> Server {
    let count = AtomicU32::new(0);
    Server::start(identity, move |mut stream, _| {
        while let Some((head, body)) = read_request(stream.as_mut()) {
            let line = head.lines().next().unwrap_or("").to_owned();
            let answer = answer(&line, &body, count.fetch_add(1, Ordering::Relaxed));
            if stream.write_all(answer.as_bytes()).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    })
}

fn with_status(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn ok(body: &str) -> String {
    with_status("200 OK", "", body)
}

fn venue(venue: Venue, scheme: &str, port: u16, trust: Option<Trust>) -> FetchVenue {
    FetchVenue { venue, rest_url: format!("{scheme}://127.0.0.1:{port}"), weight_per_minute: 1000, trust }
}

fn book(symbol: &str) -> Query {
    Query::Book { symbol: symbol.into(), limit: 1000 }
}

#[test]
fn answers_come_decoded_over_http_and_https() {
    let directory = TempDir::new();
    let server_identity = identity(&directory, "ca.pem");
    let binance = http(Some(&server_identity), |line, _, _| {
        assert_eq!(line, "GET /fapi/v1/depth?symbol=BTCUSDT&limit=1000 HTTP/1.1");
        ok(r#"{"lastUpdateId":7,"E":2,"T":1,"bids":[["1.5","2"]],"asks":[]}"#)
    });
    let hyperliquid = http(None, |line, body, _| {
        assert_eq!(line, "POST /info HTTP/1.1");
        assert_eq!(body, r#"{"type":"l2Book","coin":"NOPE"}"#);
        ok("null")
    });
    let trust = Trust::load(Some(&server_identity.ca_file)).unwrap();
    let mut bench = Bench::new(vec![
        venue(Venue::Binance, "https", binance.port, Some(trust)),
        venue(Venue::Hyperliquid, "http", hyperliquid.port, None),
    ]);
    bench.ask(Venue::Binance, book("BTCUSDT"), 1);
    bench.ask(Venue::Hyperliquid, book("NOPE"), 2);
    let mut answers = [bench.answer(), bench.answer()];
    answers.sort_by_key(|fetched| fetched.request.token);
    let [first, second] = answers;
    let Ok(Answer::BinanceBook(snapshot)) = first.outcome else { panic!("{first:?}") };
    assert_eq!((snapshot.last_update_id, snapshot.bids.len()), (7, 1));
    assert_eq!(first.request.instrument, 3);
    assert!(matches!(second.outcome, Ok(Answer::HyperliquidBook(None))), "{second:?}");
}

#[test]
fn after_a_429_nothing_is_asked_until_the_venue_allows() {
    let server = http(None, |_, _, number| match number {
        0 => with_status("429 Too Many Requests", "Retry-After: 1\r\n", r#"{"code":-1003,"msg":"slow"}"#),
        _ => ok("[]"),
    });
    let mut bench = Bench::new(vec![venue(Venue::Binance, "http", server.port, None)]);
    let trades = Query::AggTrades { symbol: "X".into(), from_id: 5, limit: 10 };
    bench.ask(Venue::Binance, trades.clone(), 1);
    let Err(FetchError::RateLimited { retry_after_ms }) = bench.answer().outcome else { panic!("no limit") };
    assert!(retry_after_ms > 1000);
    let asked = Instant::now();
    bench.ask(Venue::Binance, trades, 2);
    assert!(matches!(bench.answer().outcome, Ok(Answer::AggTrades(rows)) if rows.is_empty()));
    assert!(asked.elapsed().as_millis() as u64 + 5 >= retry_after_ms);
    assert_eq!(bench.events.pop().unwrap().what, "REST limit exceeded: all requests rest");
}

#[test]
fn failures_are_told_apart() {
    let server = http(None, |line, _, _| match line {
        line if line.contains("symbol=BAD") => {
            with_status("400 Bad Request", "", r#"{"code":-1121,"msg":"Invalid symbol."}"#)
        }
        line if line.contains("symbol=DOWN") => with_status("503 Service Unavailable", "", "<html>"),
        line if line.contains("symbol=MOVED") => with_status("302 Found", "Location: /x\r\n", ""),
        _ => ok("{\"bids\":"),
    });
    let mut bench = Bench::new(vec![
        venue(Venue::Binance, "http", server.port, None),
        venue(Venue::Hyperliquid, "http", closed_port(), None),
    ]);
    let mut outcome = |venue, query| {
        bench.ask(venue, query, 0);
        bench.answer().outcome.unwrap_err()
    };
    let permanent =
        |status, code, message: &str| FetchError::Permanent { status, code, message: message.into() };
    assert_eq!(outcome(Venue::Binance, book("BAD")), permanent(400, -1121, "Invalid symbol."));
    assert_eq!(outcome(Venue::Binance, book("DOWN")), FetchError::Transient("HTTP 503 <html>".into()));
    assert_eq!(outcome(Venue::Binance, book("MOVED")), permanent(302, 0, "no explanation"));
    assert!(matches!(outcome(Venue::Binance, book("GARBLED")), FetchError::Permanent { status: 200, .. }));
    assert!(matches!(outcome(Venue::Binance, Query::SpotInstruments), FetchError::Permanent { .. }));
    let FetchError::Transient(text) = outcome(Venue::Hyperliquid, Query::Instruments) else { panic!() };
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn a_venue_that_is_off_overflows() {
    let mut bench = Bench::new(Vec::new());
    bench.ask(Venue::Binance, Query::Instruments, 0);
    assert_eq!(bench.answer().outcome.unwrap_err(), FetchError::Overflow);
}

#[test]
fn a_lane_that_takes_no_answers_stops_no_other() {
    let server = http(None, |line, body, _| match line {
        line if line.contains("/klines?") => ok("[]"),
        _ => {
            assert!(body.contains("candleSnapshot"), "{body}");
            ok("[]")
        }
    });
    let clock = Clock::start();
    let venues = vec![
        FetchVenue { weight_per_minute: 2400, ..venue(Venue::Binance, "http", server.port, None) },
        venue(Venue::Hyperliquid, "http", server.port, None),
    ];
    let (mut stuck, mut stuck_answers, stuck_lane) = lane();
    let (mut brisk, mut brisk_answers, brisk_lane) = lane();
    let (events_in, _events) = rtrb::RingBuffer::new(64);
    let stop = Arc::new(AtomicBool::new(false));
    let lanes = vec![stuck_lane, brisk_lane];
    let mut fetcher = Fetcher::new(clock.clone(), lanes, venues, EventSink::new(events_in), stop, 1).unwrap();
    let mut clock = clock;
    let request = |venue, token| {
        let (symbol, interval) = ("X".to_owned(), codec::words::Interval::M15);
        let query = Query::Candles { symbol, interval, start_ms: 0, end_ms: 0, limit: 10 };
        FetchRequest { venue, query, instrument: 1, token, priority: Priority::Asked }
    };
    for token in 0..20 {
        stuck.push(request(Venue::Binance, token)).unwrap();
    }
    for token in 100..120 {
        let venue = if token % 2 == 0 { Venue::Binance } else { Venue::Hyperliquid };
        brisk.push(request(venue, token)).unwrap();
        let fetched = wait_for("an answer on the brisk lane", || {
            fetcher.do_work(clock.now());
            brisk_answers.pop().ok()
        });
        assert_eq!(fetched.request.token, token);
        assert!(matches!(fetched.outcome, Ok(Answer::Candles(rows)) if rows.is_empty()));
    }
    let mut tokens = Vec::new();
    while tokens.len() < 20 {
        let fetched = wait_for("an answer on the stuck lane", || {
            fetcher.do_work(clock.now());
            stuck_answers.pop().ok()
        });
        tokens.push(fetched.request.token);
    }
    tokens.sort_unstable();
    assert_eq!(tokens, (0..20).collect::<Vec<_>>());
}
