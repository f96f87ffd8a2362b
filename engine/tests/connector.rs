//! Connections are made, over TLS and without, and every way they can fail is told precisely.

mod bench_net;

use bench_net::{Server, TempDir, answer_handshake, closed_port, identity, read_request, wait_for};
use codec::words::Venue;
use engine::agent::Agent;
use engine::clock::Clock;
use engine::connector::{ConnectJob, Connected, Connector, Ready, Trust, TrustError, open};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn failure(url: &str, trust: Option<&Trust>, deadline: Instant) -> String {
    open(url, trust.map(|trust| &trust.config), deadline).expect_err(url).to_string()
}

/// A server that answers every request with these bytes.
fn saying(answer: &'static str) -> Server {
    Server::start(None, move |mut stream, _| {
        if read_request(stream.as_mut()).is_some() {
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

#[test]
fn bytes_behind_the_handshake_are_not_lost() {
    let server = Server::start(None, |mut stream, _| {
        answer_handshake(stream.as_mut(), b"\x81\x02hi").unwrap();
        std::thread::sleep(Duration::from_secs(5));
    });
    let Ready { leftover, tls, .. } =
        open(&format!("ws://127.0.0.1:{}/a?b", server.port), None, soon()).unwrap();
    // They come with the answer or stay in the socket; here they come with it.
    assert_eq!(leftover, b"\x81\x02hi");
    assert!(tls.is_none());
}

#[test]
fn tls_needs_a_certificate_we_trust() {
    let directory = TempDir::new();
    let (server_identity, other) = (identity(&directory, "a.pem"), identity(&directory, "b.pem"));
    let server = Server::start(Some(&server_identity), |mut stream, _| {
        let _ = answer_handshake(stream.as_mut(), &[]);
        std::thread::sleep(Duration::from_secs(5));
    });
    let trust = Trust::load(Some(&server_identity.ca_file)).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("wss://{host}:{}", server.port);
        assert!(open(&url, Some(&trust.config), soon()).unwrap().tls.is_some());
    }
    let distrust = Trust::load(Some(&other.ca_file)).unwrap();
    let url = format!("wss://localhost:{}", server.port);
    let told = failure(&url, Some(&distrust), soon());
    assert!(told.starts_with("TLS with localhost: invalid peer certificate"), "{told}");
    assert_eq!(failure(&url, None, soon()), "TLS with localhost: no certificates were loaded");
}

#[test]
fn a_ca_file_that_is_none_is_named() {
    let directory = TempDir::new();
    let file = directory.path("ca.pem");
    let fault = |content: &str| {
        std::fs::write(&file, content).unwrap();
        Trust::load(Some(&file)).unwrap_err()
    };
    let error = fault("no certificate");
    assert!(matches!(&error, TrustError::File { .. }));
    assert_eq!(error.to_string(), format!("tls_ca_file {}: it holds no certificate", file.display()));
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(fault(garbage).to_string().contains("no certificate that can be read"));
    let missing = Trust::load(Some(&directory.path("missing.pem"))).unwrap_err().to_string();
    assert!(missing.contains("missing.pem"), "{missing}");
}

#[test]
fn every_refusal_says_what_the_venue_said() {
    for (answer, told) in [
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\n<html>\r\n",
            "127.0.0.1 answered HTTP 403 Forbidden: <html>",
        ),
        (
            "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\n\r\n",
            "127.0.0.1 answered HTTP 429 Too Many Requests, retry after 30 s",
        ),
        ("HTTP/1.1 451 \r\n\r\n", "127.0.0.1 answered HTTP 451"),
        (
            "HTTP/1.1 301 Moved\r\nLocation: wss://elsewhere/\r\n\r\n",
            "127.0.0.1 answered HTTP 301 Moved, which points to wss://elsewhere/",
        ),
        (
            "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            "WebSocket handshake with 127.0.0.1: the answer's Sec-WebSocket-Accept is wrong",
        ),
        (
            "HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n",
            "WebSocket handshake with 127.0.0.1: no Upgrade: websocket in the answer",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", "WebSocket handshake with 127.0.0.1: not HTTP: invalid HTTP version"),
        ("", "WebSocket handshake with 127.0.0.1: the connection was closed before an answer"),
    ] {
        let server = saying(answer);
        let error = failure(&format!("ws://127.0.0.1:{}/", server.port), None, soon());
        assert_eq!(error.trim_end(), told);
    }
    let port = closed_port();
    let refused = failure(&format!("ws://127.0.0.1:{port}/"), None, soon());
    assert!(refused.starts_with(&format!("connecting to 127.0.0.1:{port}: Connection refused")), "{refused}");
    let unknown = failure("ws://nowhere.invalid/", None, soon());
    assert!(unknown.starts_with("resolving nowhere.invalid: "), "{unknown}");
    assert!(failure("ws:/x", None, soon()).starts_with("ws:/x: it must begin with"));
}

#[test]
fn silence_ends_at_the_deadline() {
    let silent = Server::start(None, |_stream, _| std::thread::sleep(Duration::from_secs(20)));
    let deadline = Instant::now() + Duration::from_millis(200);
    let url = format!("ws://127.0.0.1:{}/", silent.port);
    assert_eq!(failure(&url, None, deadline), "time-out while waiting for the WebSocket handshake");
    let directory = TempDir::new();
    let trust = Trust::load(Some(&identity(&directory, "a.pem").ca_file)).unwrap();
    let deadline = Instant::now() + Duration::from_millis(200);
    let url = format!("wss://127.0.0.1:{}/", silent.port);
    assert_eq!(failure(&url, Some(&trust), deadline), "time-out while waiting for the TLS handshake");
}

#[test]
fn a_slow_attempt_delays_nobody() {
    let silent = Server::start(None, |_stream, _| std::thread::sleep(Duration::from_secs(20)));
    let good = Server::start(None, |mut stream, _| {
        let _ = answer_handshake(stream.as_mut(), &[]);
        std::thread::sleep(Duration::from_secs(5));
    });
    let (mut jobs, jobs_out) = rtrb::RingBuffer::new(64);
    let (results_in, mut results) = rtrb::RingBuffer::<Connected>::new(1);
    let stop = Arc::new(AtomicBool::new(false));
    let mut clock = Clock::start();
    let mut connector = Connector::new(clock.clone(), jobs_out, results_in, Vec::new(), stop);
    let job = |link: u8, port: u16| ConnectJob {
        venue: Venue::Binance,
        link,
        generation: 7,
        url: format!("ws://127.0.0.1:{port}/"),
    };
    jobs.push(job(0, silent.port)).unwrap();
    for link in 1..4 {
        jobs.push(job(link, good.port)).unwrap();
    }
    let mut links = Vec::new();
    while links.len() < 3 {
        let connected = wait_for("a connection", || {
            connector.do_work(clock.now());
            results.pop().ok()
        });
        assert!(connected.outcome.is_ok() && connected.generation == 7);
        links.push(connected.link);
    }
    links.sort_unstable();
    assert_eq!(links, [1, 2, 3]);
}

#[test]
fn a_name_that_does_not_resolve_is_told_and_found_again() {
    let server = Server::start(None, |mut stream, _| {
        let _ = answer_handshake(stream.as_mut(), b"");
        std::thread::sleep(Duration::from_secs(5));
    });
    let (jobs_in, jobs) = rtrb::RingBuffer::new(8);
    let (results, results_out) = rtrb::RingBuffer::new(8);
    let (mut jobs_in, mut results_out) = (jobs_in, results_out);
    let stop = Arc::new(AtomicBool::new(false));
    let knows = Arc::new(AtomicBool::new(false));
    let resolve = {
        let (knows, port) = (Arc::clone(&knows), server.port);
        move |host: &str, _: u16| match (host, knows.load(Ordering::Relaxed)) {
            ("venue.test", true) => Ok(vec![([127, 0, 0, 1], port).into()]),
            ("nowhere.test", _) => Ok(Vec::new()),
            _ => Err(std::io::Error::other("no such name")),
        }
    };
    let mut connector =
        Connector::new(Clock::start(), jobs, results, Vec::new(), stop).resolving_by(Arc::new(resolve));
    let mut attempt = |link, host: &str| {
        let url = format!("ws://{host}:1/ws");
        jobs_in.push(ConnectJob { venue: Venue::Binance, link, generation: 1, url }).unwrap();
        wait_for("the attempt's end", || {
            let now = connector.clock().now();
            connector.do_work(now);
            results_out.pop().ok()
        })
    };
    let told = attempt(0, "venue.test").outcome.unwrap_err();
    assert_eq!(told, "resolving venue.test: no such name");
    assert_eq!(
        attempt(1, "nowhere.test").outcome.unwrap_err(),
        "resolving nowhere.test: the name has no address"
    );
    knows.store(true, Ordering::Relaxed);
    let connected = attempt(0, "venue.test");
    assert!(connected.outcome.is_ok() && connected.link == 0, "the next attempt asks anew");
}
