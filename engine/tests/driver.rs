//! The driver carries out what a session asks for and tells it what happened, over real sockets.

mod bench_net;

use bench_net::{Identity, Server, Stream, TempDir, answer_handshake, closed_port, identity, wait_for};
use codec::candle::Candle;
use codec::decimal::Price;
use codec::record::Kind as RecordKind;
use codec::time::Now;
use codec::words::{Interval, Stream as DataStream, Venue};
use engine::agent::Agent;
use engine::clock::Clock;
use engine::connector::{Connector, Trust};
use engine::driver::{Driver, EventSink, Parts};
use engine::event::Event;
use engine::fetch::{FetchError, FetchRequest, Fetched, Priority, Query};
use engine::limits::WRITE_QUEUE_BYTES_MAX;
use engine::publisher::{Outlet, Publisher};
use engine::session::{Action, CandleSeed, CloseCause, Generation, Interest, Link, Out, Session};
use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tungstenite::protocol::{CloseFrame, Role};
use tungstenite::{Message, WebSocket};

/// What a session was told.
#[derive(Clone, Debug, PartialEq)]
enum Told {
    Start,
    Connected(Link, Generation),
    Closed(Link, Generation, CloseCause),
    Message(Link, String),
    Binary(Link, Vec<u8>),
    Pong(Link),
    Ping(Link),
    Fetched(u64, Option<FetchError>),
    Interest(u32),
    Seed(u32),
    Shutdown,
}

#[derive(Default)]
struct Shared {
    told: Vec<Told>,
    ticks: u64,
    /// Actions to be asked for at the next tick.
    next: VecDeque<Action>,
    /// Actions to be asked for when a message begins with this.
    on_message: Option<(String, Vec<Action>)>,
    walls: Vec<u64>,
}

/// A session that writes down what it is told and asks for what the test says.
#[derive(Clone, Default)]
struct Scripted(Arc<Mutex<Shared>>);

impl Scripted {
    fn told(&self, told: Told) {
        self.0.lock().unwrap().told.push(told);
    }

    fn ask(&self, action: Action) {
        self.0.lock().unwrap().next.push_back(action);
    }
}

impl Session for Scripted {
    fn venue(&self) -> Venue {
        Venue::Binance
    }
    fn on_start(&mut self, _: Now, _: &mut Out<'_>) {
        self.told(Told::Start);
    }
    fn on_connected(&mut self, link: Link, generation: Generation, _: Now, _: &mut Out<'_>) {
        self.told(Told::Connected(link, generation));
    }
    fn on_closed(&mut self, link: Link, generation: Generation, cause: &CloseCause, _: Now, _: &mut Out<'_>) {
        self.told(Told::Closed(link, generation, cause.clone()));
    }
    fn on_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        let text = String::from_utf8(message.to_vec()).unwrap();
        let mut shared = self.0.lock().unwrap();
        shared.walls.push(now.wall_ns);
        if let Some((start, actions)) = &shared.on_message
            && text.starts_with(start.as_str())
        {
            out.actions.extend(actions.iter().cloned());
        }
        shared.told.push(Told::Message(link, text));
    }
    fn on_binary(&mut self, link: Link, message: &[u8], _: Now, _: &mut Out<'_>) {
        self.told(Told::Binary(link, message.to_vec()));
    }
    fn on_pong(&mut self, link: Link, _: Now, _: &mut Out<'_>) {
        self.told(Told::Pong(link));
    }
    fn on_ping(&mut self, link: Link, _: Now, _: &mut Out<'_>) {
        self.told(Told::Ping(link));
    }
    fn on_fetched(&mut self, fetched: Fetched, _: Now, _: &mut Out<'_>) {
        self.told(Told::Fetched(fetched.request.token, fetched.outcome.err()));
    }
    fn on_tick(&mut self, _: Now, out: &mut Out<'_>) {
        let mut shared = self.0.lock().unwrap();
        shared.ticks += 1;
        out.actions.extend(shared.next.drain(..));
    }
    fn on_interest(&mut self, interest: &Interest) {
        self.told(Told::Interest(interest.instrument));
    }
    fn on_seed(&mut self, seed: &CandleSeed, _: Now, _: &mut Out<'_>) {
        self.told(Told::Seed(seed.instrument));
    }
    fn on_shutdown(&mut self, _: Now, _: &mut Out<'_>) {
        self.told(Told::Shutdown);
    }
}

struct Bench {
    session: Scripted,
    driver: Driver,
    connector: Connector,
    clock: Clock,
    records: codec::ring::Consumer,
    answers: rtrb::Producer<Fetched>,
    requests: rtrb::Consumer<FetchRequest>,
    interest: rtrb::Producer<ipc::Interest>,
    seeds: rtrb::Producer<CandleSeed>,
    events: rtrb::Consumer<Event>,
    stop: Arc<AtomicBool>,
    seen: usize,
}

impl Bench {
    fn new(trust: Option<Trust>) -> Self {
        let clock = Clock::start();
        let stop = Arc::new(AtomicBool::new(false));
        let session = Scripted::default();
        let (producer, records) = codec::ring::ring(0);
        let (jobs, jobs_out) = rtrb::RingBuffer::new(4);
        let (connected_in, connected) = rtrb::RingBuffer::new(4);
        let (requests_in, requests) = rtrb::RingBuffer::new(1);
        let (answers, answers_out) = rtrb::RingBuffer::new(4);
        let (interest, interest_out) = rtrb::RingBuffer::new(4);
        let (seeds, seeds_out) = rtrb::RingBuffer::new(4);
        let (events_in, events) = rtrb::RingBuffer::new(64);
        let trust = trust.map(|trust| (Venue::Binance, trust)).into_iter().collect();
        let connector = Connector::new(clock.clone(), jobs_out, connected_in, trust, Arc::clone(&stop));
        let driver = Driver::new(Parts {
            clock: clock.clone(),
            sessions: vec![Box::new(session.clone())],
            publisher: Publisher::new(9, vec![Outlet::all("ipc", producer)]),
            stall_ms: vec![5],
            jobs,
            connected,
            requests: requests_in,
            answers: answers_out,
            interest: interest_out,
            seeds: seeds_out,
            events: EventSink::new(events_in),
            stop: Arc::clone(&stop),
            sleeps: true,
            seed: 1,
        })
        .unwrap();
        Self {
            session,
            driver,
            connector,
            clock,
            records,
            answers,
            requests,
            interest,
            seeds,
            events,
            stop,
            seen: 0,
        }
    }

    fn turn(&mut self) {
        self.connector.do_work(self.clock.now());
        self.driver.do_work(self.clock.now());
    }

    /// The next thing the session is told.
    fn next(&mut self) -> Told {
        let told = wait_for("the session to be told something", || {
            let told = self.session.0.lock().unwrap().told.get(self.seen).cloned();
            if told.is_none() {
                self.turn();
            }
            told
        });
        self.seen += 1;
        told
    }

    fn connect(&mut self, scheme: &str, port: u16, link: Link, generation: Generation) {
        let url = format!("{scheme}://localhost:{port}/x");
        self.session.ask(Action::Connect { link, generation, url });
    }

    fn send(&self, link: Link, text: &str) {
        self.session.ask(Action::Send { link, text: text.into() });
    }

    /// Started and connected on link 0, generation 1.
    fn connected(trust: Option<Trust>, scheme: &str, port: u16) -> Self {
        let mut bench = Self::new(trust);
        assert_eq!(bench.next(), Told::Start);
        bench.connect(scheme, port, 0, 1);
        assert_eq!(bench.next(), Told::Connected(0, 1));
        bench
    }
}

/// A venue that obeys: every text message is an order.
fn venue(identity: Option<&Identity>) -> Server {
    Server::start(identity, |mut stream, _| {
        if answer_handshake(stream.as_mut(), &[]).is_none() {
            return;
        }
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        while let Ok(message) = socket.read() {
            let done = match message {
                Message::Text(text) => obey(&mut socket, &text),
                // tungstenite answers pings by itself, at the next read or flush.
                Message::Ping(_) => socket.flush().is_err(),
                Message::Pong(payload) => {
                    socket.send(Message::text(format!("ponged {}", payload.len()))).is_err()
                }
                _ => false,
            };
            if done {
                return;
            }
        }
    })
}

/// Whether the connection is over.
fn obey(socket: &mut WebSocket<Box<dyn Stream>>, order: &str) -> bool {
    match order.split_once(' ').unwrap_or((order, "")) {
        ("ping", payload) => socket.send(Message::Ping(payload.as_bytes().to_vec().into())).is_err(),
        ("binary", payload) => socket.send(Message::binary(payload.as_bytes().to_vec())).is_err(),
        ("big", length) => socket.send(Message::text("x".repeat(length.parse().unwrap()))).is_err(),
        ("many", count) => {
            for number in 0..count.parse::<u32>().unwrap() {
                socket.write(Message::text(format!("{number}"))).unwrap();
            }
            socket.flush().is_err()
        }
        ("close", code) => {
            let code = code.parse::<u16>().unwrap().into();
            let _ = socket.close(Some(CloseFrame { code, reason: "bye".into() }));
            // Until the other side has answered.
            while socket.read().is_ok() {}
            true
        }
        ("cut", _) => true,
        ("break", _) => {
            let _ = socket.get_mut().write_all(&[0xFF, 0xFF]);
            let _ = socket.get_mut().flush();
            std::thread::sleep(Duration::from_secs(1));
            true
        }
        _ => socket.send(Message::text(format!("echo {order}"))).is_err(),
    }
}

fn message(text: &str) -> Told {
    Told::Message(0, text.into())
}

fn talk(trust: Option<Trust>, scheme: &str, server: &Server) {
    let mut bench = Bench::connected(trust, scheme, server.port);
    // In order, each answered.
    bench.send(0, "one");
    bench.send(0, "two");
    assert_eq!(bench.next(), message("echo one"));
    assert_eq!(bench.next(), message("echo two"));
    // A ping is answered with its payload, and told.
    bench.send(0, "ping abc");
    assert_eq!(bench.next(), Told::Ping(0));
    assert_eq!(bench.next(), message("ponged 3"));
    bench.session.ask(Action::Ping { link: 0 });
    assert_eq!(bench.next(), Told::Pong(0));
    // A binary frame is the session's, which says in the log what it is to it: nobody else does.
    bench.send(0, "binary abc");
    assert_eq!(bench.next(), Told::Binary(0, b"abc".to_vec()));
    assert!(bench.events.pop().is_err());
    // Larger than every buffer on the way, and the same again.
    for _ in 0..2 {
        bench.send(0, "big 3000000");
        let Told::Message(0, text) = bench.next() else { panic!("no message") };
        assert_eq!(text.len(), 3_000_000);
    }
    // More than one turn may read, every one, in order, with times that do not run backwards.
    bench.send(0, "many 60000");
    for number in 0..60_000 {
        assert_eq!(bench.next(), message(&number.to_string()));
    }
    assert!(bench.session.0.lock().unwrap().walls.is_sorted());
    // A long message of ours.
    let long = "y".repeat(100_000);
    bench.send(0, &long);
    assert!(bench.next() == message(&format!("echo {long}")), "the long message comes back");
    bench.send(0, "close 1001");
    assert_eq!(bench.next(), Told::Closed(0, 1, CloseCause::ClosedByVenue(Some(1001))));
    // The slot is free for the next attempt.
    bench.connect(scheme, server.port, 0, 2);
    assert_eq!(bench.next(), Told::Connected(0, 2));
    bench.send(0, "again");
    assert_eq!(bench.next(), message("echo again"));
}

#[test]
fn a_conversation_in_plain() {
    talk(None, "ws", &venue(None));
}

#[test]
fn a_conversation_over_tls() {
    let directory = TempDir::new();
    let identity = identity(&directory, "ca.pem");
    let trust = Trust::load(Some(&identity.ca_file)).unwrap();
    talk(Some(trust), "wss", &venue(Some(&identity)));
}

#[test]
fn every_end_has_its_cause() {
    let server = venue(None);
    let mut bench = Bench::connected(None, "ws", server.port);
    bench.send(0, "cut");
    let Told::Closed(0, 1, CloseCause::Dropped(_)) = bench.next() else { panic!("not dropped") };
    bench.connect("ws", server.port, 0, 2);
    assert_eq!(bench.next(), Told::Connected(0, 2));
    bench.send(0, "break");
    assert_eq!(bench.next(), Told::Closed(0, 2, CloseCause::Protocol("reserved opcode")));
    bench.connect("ws", closed_port(), 0, 3);
    let Told::Closed(0, 3, CloseCause::ConnectFailed(reason)) = bench.next() else { panic!("connected") };
    assert!(reason.contains("refused"), "{reason}");
    bench.connect("ws", server.port, 200, 4);
    let Told::Closed(200, 4, CloseCause::ConnectFailed(reason)) = bench.next() else { panic!("connected") };
    assert_eq!(reason, "more connections than are allowed to one venue");
}

#[test]
fn a_venue_that_does_not_read_is_left() {
    let deaf = Server::start(None, |mut stream, _| {
        let _ = answer_handshake(stream.as_mut(), &[]);
        std::thread::sleep(Duration::from_secs(20));
    });
    let mut bench = Bench::connected(None, "ws", deaf.port);
    let text = "z".repeat(WRITE_QUEUE_BYTES_MAX / 4);
    // Far more than the system's own buffers take.
    for _ in 0..100 {
        bench.send(0, &text);
    }
    let cause = CloseCause::Protocol("our write queue is full: the venue does not read");
    assert_eq!(bench.next(), Told::Closed(0, 1, cause));
}

#[test]
fn a_closed_link_says_nothing_more() {
    let server = venue(None);
    let mut bench = Bench::connected(None, "ws", server.port);
    // In the middle of many messages the session closes and connects anew.
    let url = format!("ws://localhost:{}/x", server.port);
    bench.session.0.lock().unwrap().on_message =
        Some(("10".into(), vec![Action::Close { link: 0 }, Action::Connect { link: 0, generation: 2, url }]));
    bench.send(0, "many 5000");
    for number in 0..=10 {
        assert_eq!(bench.next(), message(&number.to_string()));
    }
    assert_eq!(bench.next(), Told::Connected(0, 2));
    // What the old one still has to say, thousands of frames read or on their way, is nobody's: the next message is
    // the new one's.
    bench.send(0, "whose");
    assert_eq!(bench.next(), message("echo whose"));
    // The same for one that is replaced without being closed first.
    let url = format!("ws://localhost:{}/x", server.port);
    bench.session.0.lock().unwrap().on_message =
        Some(("7".into(), vec![Action::Connect { link: 0, generation: 3, url }]));
    bench.send(0, "many 5000");
    for number in 0..=7 {
        assert_eq!(bench.next(), message(&number.to_string()));
    }
    assert_eq!(bench.next(), Told::Connected(0, 3));
    bench.send(0, "and now");
    assert_eq!(bench.next(), message("echo and now"));
    // An attempt that is overtaken is dropped, although it is ready before the one that counts.
    let slow = Server::start(None, |mut stream, _| {
        std::thread::sleep(Duration::from_millis(300));
        let _ = answer_handshake(stream.as_mut(), &[]);
        std::thread::sleep(Duration::from_secs(5));
    });
    bench.session.ask(Action::Close { link: 0 });
    bench.connect("ws", server.port, 0, 4);
    bench.session.ask(Action::Close { link: 0 });
    bench.connect("ws", slow.port, 0, 5);
    assert_eq!(bench.next(), Told::Connected(0, 5));
    // Sending into nothing does nothing.
    bench.session.ask(Action::Close { link: 0 });
    bench.send(0, "lost");
    bench.connect("ws", server.port, 1, 6);
    assert_eq!(bench.next(), Told::Connected(1, 6));
}

#[test]
fn fetches_wishes_and_ticks_reach_the_session() {
    let mut bench = Bench::new(None);
    assert_eq!(bench.next(), Told::Start);
    let request = |token| FetchRequest {
        venue: Venue::Binance,
        query: Query::Instruments,
        instrument: 0,
        token,
        priority: Priority::Asked,
    };
    bench.session.ask(Action::Fetch(request(1)));
    bench.session.ask(Action::Fetch(request(2)));
    assert_eq!(bench.next(), Told::Fetched(2, Some(FetchError::Overflow)), "the ring holds one");
    let asked = bench.requests.pop().unwrap();
    assert_eq!(asked.token, 1);
    let outcome = Err(FetchError::Transient("no".into()));
    bench.answers.push(Fetched { request: asked, outcome }).unwrap();
    assert_eq!(bench.next(), Told::Fetched(1, Some(FetchError::Transient("no".into()))));
    let wish = ipc::Interest {
        instrument: 42,
        stream: DataStream::Trades,
        interval: None,
        wanted: true,
        resend: false,
    };
    bench.interest.push(wish).unwrap();
    assert_eq!(bench.next(), Told::Interest(42));
    let last = Candle::flat(0, Price::ZERO);
    let seed = CandleSeed { venue: Venue::Binance, instrument: 43, interval: Interval::M1, last, base: None };
    bench.seeds.push(seed).unwrap();
    assert_eq!(bench.next(), Told::Seed(43));
    let ticks = bench.session.0.lock().unwrap().ticks;
    wait_for("ticks", || {
        bench.turn();
        (bench.session.0.lock().unwrap().ticks > ticks + 3).then_some(())
    });
    assert!(bench.events.pop().is_err());
}

#[test]
fn the_run_ends_in_order() {
    let server = venue(None);
    let mut bench = Bench::connected(None, "ws", server.port);
    bench.stop.store(true, Ordering::Relaxed);
    assert_eq!(bench.next(), Told::Shutdown);
    assert!(bench.driver.is_done());
    let mut kinds = Vec::new();
    bench.records.drain(usize::MAX, |record| kinds.push(record.kind()));
    assert_eq!(kinds, [RecordKind::End]);
}
