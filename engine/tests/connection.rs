//! A connection writes whole frames in order through a socket that takes them only in pieces.

mod bench_net;

use bench_net::{Server, TempDir, answer_handshake, identity};
use engine::connection::Connection;
use engine::connector::{Ready, Trust, open};
use engine::frame::Outgoing;
use engine::limits::WRITE_QUEUE_BYTES_MAX;
use engine::session::CloseCause;
use engine::session::backoff::Random;
use mio::{Events, Poll, Token};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use tungstenite::WebSocket;
use tungstenite::protocol::Role;

const MESSAGES: usize = 3;
const MESSAGE_BYTES: usize = 250_000;
/// Once let go, the venue reads at once; a frame that never comes must not hang the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes the socket take little at a time: by default the loopback takes megabytes.
fn narrow(stream: &TcpStream) {
    let bytes: libc::c_int = 16 * 1024;
    // SAFETY: the descriptor is open, and the option's value is one int that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    assert_eq!(result, 0);
}

fn message(number: usize) -> String {
    // No two stretches alike, so that bytes sent twice or left out show.
    (0..MESSAGE_BYTES / 8).map(|index| format!("{:08}", index * MESSAGES + number)).collect()
}

fn writes_in_pieces(scheme: &str, encrypted: bool) {
    let directory = TempDir::new();
    let identity = encrypted.then(|| identity(&directory, "ca.pem"));
    let trust = identity.as_ref().map(|identity| Trust::load(Some(&identity.ca_file)).unwrap());
    let (let_go, may_read) = channel::<()>();
    let (tell, told) = channel();
    let shared = std::sync::Mutex::new((may_read, tell));
    let server = Server::start(identity.as_ref(), move |mut stream, _| {
        answer_handshake(stream.as_mut(), &[]).unwrap();
        let (may_read, tell) = &*shared.lock().unwrap();
        may_read.recv().unwrap();
        let mut socket = WebSocket::from_raw_socket(stream, Role::Server, None);
        for _ in 0..MESSAGES {
            tell.send(socket.read().map(|message| message.to_string())).unwrap();
        }
    });
    let url = format!("{scheme}://localhost:{}/", server.port);
    let ready = open(&url, trust.as_ref().map(|trust| &trust.config), Instant::now() + PATIENCE).unwrap();
    let Ready { stream, tls, leftover } = ready;
    narrow(&stream);
    let mut connection = Connection::new(mio::net::TcpStream::from_std(stream), tls, &leftover);
    let (mut poll, mut events, token) = (Poll::new().unwrap(), Events::with_capacity(8), Token(5));
    connection.register(poll.registry(), token).unwrap();
    let mut random = Random::new(1);
    for number in 0..MESSAGES {
        connection.send(Outgoing::Text(&message(number)), &mut random).unwrap();
    }
    assert!(connection.wants_write(), "the socket took everything: the test tests nothing");
    connection.update_interest(poll.registry(), token).unwrap();
    let_go.send(()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while connection.wants_write() {
        assert!(Instant::now() < deadline, "still waiting to write");
        // Only the poll says when to go on.
        poll.poll(&mut events, Some(PATIENCE)).unwrap();
        assert!(events.iter().any(|event| event.token() == token && event.is_writable()));
        connection.flush().unwrap();
    }
    connection.update_interest(poll.registry(), token).unwrap();
    for number in 0..MESSAGES {
        let text = told.recv_timeout(PATIENCE).unwrap().unwrap();
        assert!(text == message(number), "message {number} is damaged");
    }
}

#[test]
fn frames_stay_whole_in_plain() {
    writes_in_pieces("ws", false);
}

#[test]
fn frames_stay_whole_over_tls() {
    writes_in_pieces("wss", true);
}

#[test]
fn a_queue_over_its_limit_is_refused() {
    let server = Server::start(None, |mut stream, _| {
        let _ = answer_handshake(stream.as_mut(), &[]);
        std::thread::sleep(PATIENCE);
    });
    let url = format!("ws://localhost:{}/", server.port);
    let Ready { stream, leftover, .. } = open(&url, None, Instant::now() + PATIENCE).unwrap();
    narrow(&stream);
    let mut connection = Connection::new(mio::net::TcpStream::from_std(stream), None, &leftover);
    let text = "x".repeat(WRITE_QUEUE_BYTES_MAX / 2);
    let mut random = Random::new(1);
    let refused = (0..64).find_map(|_| connection.send(Outgoing::Text(&text), &mut random).err());
    assert!(matches!(refused, Some(CloseCause::Protocol(_))), "{refused:?}");
}
