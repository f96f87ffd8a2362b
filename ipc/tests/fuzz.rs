//! Fuzz targets: whatever a client sends to the server, and whatever a server sends to the client.

mod common;
#[path = "../../codec/tests/support/fuzz.rs"]
mod fuzz;

use codec::protocol::frame::{LENGTH_BYTES, RECORD_MARK, REQUEST_BYTES_MAX, put_frame};
use codec::record::Record;
use common::{BTC, Bench, Peer, get};
use slipstream_client::{Book, Client, Message, request};
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// One request being gathered, one read, and replies up to where no more requests are taken, each in memory that
/// has grown to the next power of two.
const CLIENT_BYTES_MAX: usize = 4 << 20;
/// Patience with a socket whose other end has written everything already.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a client sends: raw bytes, or payloads a line that are framed properly.
fn sent(input: &[u8]) -> Vec<u8> {
    let Some((&mode, rest)) = input.split_first() else { return Vec::new() };
    if mode % 2 == 0 {
        return rest.to_vec();
    }
    let mut bytes = Vec::new();
    rest.split(|&byte| byte == b'\n').for_each(|payload| put_frame(&mut bytes, payload));
    bytes
}

/// How a stream of frames ends.
#[derive(Debug, PartialEq)]
enum End {
    /// After a whole frame.
    Whole,
    /// Within one.
    Within,
    /// At a frame that is too long.
    TooLarge,
}

/// Whole frames of a stream, and its end: the plainest reader there is.
fn frames_of(mut bytes: &[u8]) -> (usize, End) {
    let mut frames = 0;
    loop {
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
            return (frames, if bytes.is_empty() { End::Whole } else { End::Within });
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > REQUEST_BYTES_MAX {
            return (frames, End::TooLarge);
        }
        let Some(after) = rest.get(length..) else { return (frames, End::Within) };
        (frames, bytes) = (frames + 1, after);
    }
}

/// Every frame the server wrote is a message: a map of `type` and `data`, or a record. How many can only be answers.
fn answers(peer: &mut Peer) -> (usize, Option<String>) {
    let (mut answers, mut last_error) = (0, None);
    for frame in peer.frames() {
        Message::read(&frame).unwrap_or_else(|error| panic!("the server wrote {frame:x?}: {error}"));
        if let Some(record) = frame.strip_prefix(&RECORD_MARK) {
            let words: Vec<u64> =
                record.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
            Record::first(&words).expect("a whole record");
            continue;
        }
        let mut rest = &frame[..];
        let value = rmpv::decode::read_value(&mut rest).expect("MessagePack");
        assert!(rest.is_empty(), "bytes after the map");
        let kind = get(&value, "type").as_str().expect("a type").to_owned();
        let streamed =
            ["orderbook_", "quote", "trade", "candle", "funding", "fill", "status", "gap", "heartbeat"];
        let may_be_streamed = streamed.iter().any(|word| kind.starts_with(word)) && kind != "status_report";
        if get(&value, "id").is_nil() && may_be_streamed {
            continue;
        }
        answers += 1;
        last_error = None;
        if kind == "error" {
            let code = get(get(&value, "data"), "code").as_str().expect("a code").to_owned();
            assert!(get(get(&value, "data"), "message").as_str().is_some_and(|text| !text.is_empty()));
            last_error = Some(code);
        }
    }
    (answers, last_error)
}

/// A client that sends anything in any pieces: it is answered in messages, never more than once a frame, within bounded
/// memory; its connection goes on or ends as documented, and another client notices nothing.
#[test]
fn fuzz_socket() {
    fuzz::run(&fuzz::inputs(include_str!("corpus/socket.txt")), 1_500, |input| {
        let mut random = fuzz::Random(input.iter().fold(7, |sum, &byte| sum * 31 % 65_521 + u64::from(byte)));
        let mut bench = Bench::live();
        let mut bystander = bench.connect();
        let trades = request("subscribe_trades").venue("binance").symbol("BTCUSDT");
        assert_eq!(bystander.reply(&mut bench, &trades).0, "subscribed");
        let mut peer = bench.connect();
        let bytes = sent(input);
        let (mut rest, mut traded, mut heard, mut answered, mut last_error) = (&bytes[..], 0, 0, 0, None);
        while !rest.is_empty() {
            if random.one_in(4) {
                traded += 1;
                bench.feed(|records| records.trade(BTC, traded, 0));
            }
            if bench.core.wants_input(peer.id) {
                let (piece, after) = rest.split_at((1 + random.below(300)).min(rest.len()));
                bench.core.input(peer.id, piece);
                rest = after;
            }
            peer.take(&mut bench, if random.one_in(3) { random.below(200) } else { usize::MAX });
            let held = bench.core.client(peer.id).map_or(0, |client| client.private_bytes);
            assert!(held <= CLIENT_BYTES_MAX, "{held} bytes held for one client");
            heard += bystander.read(&mut bench).len();
        }
        peer.take(&mut bench, usize::MAX);
        let (made, error) = answers(&mut peer);
        answered += made;
        last_error = error.or(last_error);
        let (frames, end) = frames_of(&bytes);
        assert!(
            answered <= frames + usize::from(end == End::TooLarge),
            "{answered} answers to {frames} frames"
        );
        match end {
            End::TooLarge => {
                assert_eq!(last_error.as_deref(), Some("frame_too_large"));
                assert!(bench.core.is_over(peer.id));
                bench.wait_ms(2_000);
                assert!(bench.core.verdict(peer.id, bench.records.now).is_some(), "it is not kept for ever");
            }
            End::Whole => assert_eq!(peer.reply(&mut bench, &request("ping")).0, "pong"),
            End::Within => {
                assert!(!bench.core.is_over(peer.id));
                assert_eq!(bench.core.verdict(peer.id, bench.records.now), None);
            }
        }
        heard += bystander.read(&mut bench).len();
        assert_eq!(heard as u64, traded, "the other client gets its trades");
        assert_eq!(bystander.reply(&mut bench, &request("ping")).0, "pong");
        for id in [peer.id, bystander.id] {
            bench.core.disconnect(id, ipc::LeaveReason::Closed);
        }
        assert_eq!(
            bench.core.counters().private_bytes.load(Ordering::Relaxed),
            0,
            "memory of those who left"
        );
    });
}

/// A server that sends anything: the client yields messages and then an error, and never panics.
#[test]
fn fuzz_replies() {
    fuzz::run(&fuzz::inputs(include_str!("corpus/replies.txt")), 4_000, |input| {
        let bytes = sent(input);
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        far.set_nonblocking(true).expect("a socket");
        // What the socket has no room for is not sent: the client sees an end within a frame.
        let _ = far.write_all(&bytes);
        far.shutdown(Shutdown::Write).expect("a socket");
        let mut client = Client::from_stream(near);
        let mut book = Book::default();
        let mut messages = 0;
        while let Ok(message) = client.recv(PATIENCE) {
            let message = message.expect("everything is here already");
            messages += 1;
            match message {
                Message::OrderbookSnapshot(snapshot) => book = snapshot,
                Message::OrderbookDelta(delta) => {
                    let follows = delta.prev_sequence == book.sequence && delta.head.symbol == book.symbol;
                    assert_eq!(book.apply(&delta), follows);
                }
                Message::Other { kind, data, .. } => drop(Message::typed(&kind, &data)),
                _ => {}
            }
        }
        let (frames, _) = frames_of(&bytes);
        assert!(messages <= frames, "{messages} messages of {frames} frames");
        // And a single frame by itself.
        let _ = Message::read(input);
    });
}
