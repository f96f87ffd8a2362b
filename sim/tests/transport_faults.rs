//! Faults of the transport over real sockets: TLS, TCP, how fast bytes come, and what no WebSocket library would send.

mod common;

use common::{Client, Got, PATIENCE, quick, tls_config};
use rustls::{ClientConnection, StreamOwned};
use sim::{Config, CutHow, Fault, MalformedHow, RefuseHow, Route, Sim, TlsHow};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const LONG_MS: i64 = 600_000;

fn door(sim: &Sim, path: &str) -> Client {
    Client::connect(sim, &format!("{}{path}", sim.binance().ws_url()))
}

fn tcp(sim: &Sim) -> TcpStream {
    let tcp = TcpStream::connect(("127.0.0.1", sim.binance().port())).expect("a connection");
    tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    tcp
}

fn fault(sim: &Sim, fault: Fault) {
    sim.binance().fault(fault).expect("a fault");
}

/// Tries until something works: the end of a fault is a time, not an event.
fn until_it_works<T>(mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(worked) => return worked,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn tls_fails_in_three_ways_and_recovers() {
    let sim = Sim::start(quick()).expect("a simulation");
    let url = format!("{}/public/ws", sim.binance().ws_url());
    for (how, told) in
        [(TlsHow::Garbage, ""), (TlsHow::WrongName, "not valid for name"), (TlsHow::Expired, "expired")]
    {
        let mut open = door(&sim, "/public/ws/btcusdt@bookTicker");
        fault(&sim, Fault::TlsFailure { for_ms: LONG_MS, how });
        let failed = Client::try_connect(&sim, &url).err().expect("a failure");
        assert!(failed.contains(told), "{how:?}: {failed}");
        assert_eq!(open.next_json()["e"], "bookTicker", "what is open stays open");
        fault(&sim, Fault::TlsFailure { for_ms: 0, how });
        drop(Client::connect(&sim, &url));
    }
    fault(&sim, Fault::TlsFailure { for_ms: LONG_MS, how: TlsHow::Garbage });
    let mut raw = tcp(&sim);
    raw.write_all(&[0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]).expect("half a hello");
    let mut answer = Vec::new();
    raw.read_to_end(&mut answer).expect("an end");
    assert!(answer.starts_with(b"GARBAGE"), "{answer:?}");

    let plain = Sim::start(Config { tls: false, ..quick() }).expect("a simulation");
    let refused = plain.binance().fault(Fault::TlsFailure { for_ms: 1, how: TlsHow::Garbage });
    assert!(refused.is_err_and(|error| error.to_string().contains("TLS is not spoken")));
}

#[test]
fn a_port_that_nobody_listens_on_refuses_and_is_served_again() {
    let sim = Sim::start(quick()).expect("a simulation");
    let mut open = door(&sim, "/public/ws/btcusdt@bookTicker");
    let port = sim.binance().port();
    fault(&sim, Fault::RefuseConnections { for_ms: LONG_MS, how: RefuseHow::Refuse });
    for _ in 0..3 {
        let refused = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.kind());
        assert_eq!(refused.err(), Some(ErrorKind::ConnectionRefused));
    }
    assert_eq!(open.next_json()["e"], "bookTicker", "what is open stays open");
    fault(&sim, Fault::RefuseConnections { for_ms: 0, how: RefuseHow::Refuse });
    let url = format!("{}/public/ws/btcusdt@bookTicker", sim.binance().ws_url());
    let mut again = until_it_works(|| Client::try_connect(&sim, &url));
    assert_eq!((again.next_json()["e"].as_str(), sim.binance().port()), (Some("bookTicker"), port));
}

/// Reads what TLS hands out until the end; the error of a connection that ends without `close_notify`.
fn read_all(stream: &mut impl Read) -> (Vec<u8>, Option<ErrorKind>) {
    let (mut all, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (all, None),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) => return (all, Some(error.kind())),
        }
    }
}

/// A WebSocket opened by hand, to see its bytes.
fn by_bytes(sim: &Sim) -> StreamOwned<ClientConnection, TcpStream> {
    let config = tls_config(sim).expect("TLS");
    let tls = ClientConnection::new(config, "localhost".try_into().expect("a name")).expect("TLS");
    let mut stream = StreamOwned::new(tls, tcp(sim));
    stream
        .write_all(
            b"GET /public/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .expect("a request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the head");
        head.push(byte[0]);
    }
    stream
}

#[test]
fn a_cut_comes_in_the_middle_of_a_frame_or_of_a_record() {
    let sim = Sim::start(quick()).expect("a simulation");
    for (how, frame_comes) in [(CutHow::MidFrame, true), (CutHow::MidRecord, false)] {
        let mut stream = by_bytes(&sim);
        assert!(sim.binance().wait_until(PATIENCE, |counters| counters.connections_open == 1));
        fault(&sim, Fault::Cut { route: None, how, code: 1000 });
        let (bytes, end) = read_all(&mut stream);
        assert_eq!(end, Some(ErrorKind::UnexpectedEof), "{how:?}");
        if frame_comes {
            // A text frame of 200 bytes, half of which came.
            assert_eq!((&bytes[..4], bytes.len()), (&[0x81, 126, 0, 200][..], 102));
        } else {
            assert_eq!(bytes.len(), 0, "of half a record nothing can be read");
        }
        assert!(sim.binance().wait_until(PATIENCE, |counters| counters.connections_open == 0));
    }
    let mut closed = door(&sim, "/public/ws");
    fault(&sim, Fault::Cut { route: Some(Route::Public), how: CutHow::Close, code: 1012 });
    assert!(matches!(closed.read_to_end(), Got::Closed { code: Some(1012), .. }));
}

#[test]
fn a_dripping_server_sends_frames_in_pieces() {
    let sim = Sim::start(quick()).expect("a simulation");
    let mut client = door(&sim, "/public/ws/btcusdt@bookTicker");
    client.next_json();
    let before = Instant::now();
    fault(&sim, Fault::Drip { for_ms: LONG_MS, bytes_per_s: 400 });
    // What was sent before it may be read at once; then a frame of about 200 bytes takes half a second.
    drop(client.all_within(Duration::from_millis(200)));
    let slow = client.all_within(Duration::from_millis(3_000)).len();
    let waited_s = before.elapsed().as_secs_f64();
    assert!(slow as f64 * 150.0 <= 400.0 * waited_s + 400.0, "{slow} frames in {waited_s} s");
    // When it ends all that waited comes at once, in order.
    fault(&sim, Fault::Drip { for_ms: 0, bytes_per_s: 400 });
    let mut last = 0;
    for _ in 0..50 {
        let update_id = client.next_json()["u"].as_u64().expect("an id");
        assert!(update_id > last);
        last = update_id;
    }
}

#[test]
fn odd_frames_cross_the_socket_in_their_turn() {
    let sim = Sim::start(quick()).expect("a simulation");
    let mut client = door(&sim, "/public/ws/btcusdt@depth@100ms");
    client.next_json();
    fault(&sim, Fault::FragmentFrames { frames: 5 });
    fault(&sim, Fault::OversizeFrame { bytes: 300_000 });
    let mut last = client.next_json()["u"].clone();
    let mut large = 0;
    for _ in 0..10 {
        let event = client.next_json();
        assert_eq!(event["pu"], last, "put together again, nothing is missing");
        last = event["u"].clone();
        large += usize::from(event["padding"].as_str().is_some_and(|padding| padding.len() > 290_000));
    }
    assert!(large <= 1);
    fault(&sim, Fault::MalformedFrames { frames: 1, symbol: None, how: MalformedHow::NotUtf8 });
    assert!(matches!(client.read_to_end(), Got::Broken), "no client takes a text that is not UTF-8");
}

#[test]
fn names_fail_and_come_back() {
    let sim = Sim::start(quick()).expect("a simulation");
    let names = sim.binance().names().clone();
    let addresses = names.lookup("localhost").expect("an address");
    assert_eq!(addresses[0].port(), sim.binance().port());
    fault(&sim, Fault::DnsFailure { for_ms: LONG_MS });
    assert!(names.lookup("localhost").is_err());
    assert_eq!(names.failed(), 1);
    assert!(sim.hyperliquid().names().lookup("localhost").is_ok(), "of one venue only");
    fault(&sim, Fault::DnsFailure { for_ms: 0 });
    assert!(names.lookup("localhost").is_ok());
}
