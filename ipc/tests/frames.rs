//! Frames that are not requests: answered, survived, and never the end of a connection that can go on.

mod common;

use common::{Bench, get};
use proptest::prelude::*;
use slipstream_client::{Message, request};

fn code(messages: &[Message]) -> &str {
    match messages {
        [Message::Error { code, .. }] => code,
        other => panic!("one error, not {other:?}"),
    }
}

#[test]
fn malformed_frames_are_answered_and_the_connection_goes_on() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let mut deep = b"\x82\xa4type\xa4ping\xa1x".to_vec();
    deep.extend([0x91; 32]);
    deep.push(0xC0);
    for payload in [
        &b""[..],
        b"\xc0",
        b"\x93\x01\x02\x03",
        b"\x80\x80",
        b"\x81\xa4type",
        b"\x81\xa4type\xa4pin",
        b"\x81\x01\x02",
        b"\x81\xa4type\xc1",
        b"{\"type\": \"ping\"}",
        &deep,
    ] {
        peer.send_frame(&mut bench, payload);
        assert_eq!(code(&peer.read(&mut bench)), "malformed", "{payload:x?}");
    }
    for payload in [&b"\x80"[..], b"\x81\xa4type\x05", b"\x81\xa4type\xa2\xff\xfe"] {
        peer.send_frame(&mut bench, payload);
        assert_eq!(code(&peer.read(&mut bench)), "bad_request", "{payload:x?}");
    }
    deep.truncate(deep.len() - 2);
    deep.push(0xC0);
    peer.send_frame(&mut bench, &deep);
    assert_eq!(get(&peer.values(&mut bench)[0], "type").as_str(), Some("pong"), "32 levels are fine");
    assert_eq!(peer.reply(&mut bench, &request("ping").with("unknown", 1)).0, "pong");
}

#[test]
fn a_frame_that_is_too_large_ends_the_connection_once_it_is_told() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    peer.send(&mut bench, &request("ping"));
    bench.core.input(peer.id, &(1u32 << 20 | 1).to_be_bytes());
    bench.core.serve(peer.id, bench.records.now);
    let messages = peer.read(&mut bench);
    assert!(
        matches!(&messages[..], [Message::Other { .. }, Message::Error { code, .. }] if code == "frame_too_large")
    );
    assert!(bench.core.is_over(peer.id));
    assert_eq!(bench.core.verdict(peer.id, bench.records.now), None, "it may still read");
    bench.wait_ms(2000);
    assert!(bench.core.verdict(peer.id, bench.records.now).is_some());
}

#[test]
fn the_largest_frame_is_read() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let mut payload = b"\x82\xa4type\xa4ping\xa1x\xdb".to_vec();
    let rest = (1 << 20) - payload.len() - 4;
    payload.extend((rest as u32).to_be_bytes());
    payload.resize(1 << 20, b'x');
    peer.send_frame(&mut bench, &payload);
    assert_eq!(get(&peer.values(&mut bench)[0], "type").as_str(), Some("pong"));
}

#[test]
fn the_memory_of_a_client_that_left_is_no_longer_told() {
    let mut bench = Bench::live();
    let peer = bench.connect();
    bench.core.input(peer.id, &[0, 0, 1, 0, 0x81]);
    let held = |bench: &Bench| bench.core.counters().private_bytes.load(std::sync::atomic::Ordering::Relaxed);
    assert!(held(&bench) > 0);
    bench.core.disconnect(peer.id, ipc::LeaveReason::Closed);
    assert_eq!(held(&bench), 0);
}

#[test]
fn a_frame_may_come_byte_by_byte() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    for byte in [0, 0, 0, 11, 0x81, 0xA4, b't', b'y', b'p', b'e', 0xA4, b'p', b'i', b'n', b'g'] {
        assert!(peer.read(&mut bench).is_empty());
        bench.core.input(peer.id, &[byte]);
        bench.core.serve(peer.id, bench.records.now);
    }
    assert_eq!(peer.read(&mut bench).len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_payload_gets_one_answer(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut bench = Bench::live();
        let mut peer = bench.connect();
        peer.send_frame(&mut bench, &payload);
        prop_assert_eq!(peer.read(&mut bench).len(), 1);
        prop_assert_eq!(peer.reply(&mut bench, &request("ping")).0, "pong");
    }

    #[test]
    fn any_bytes_are_survived(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let mut bench = Bench::live();
        let mut peer = bench.connect();
        for chunk in chunks {
            bench.core.input(peer.id, &chunk);
            peer.take(&mut bench, usize::MAX);
        }
        let mut other = bench.connect();
        prop_assert_eq!(other.reply(&mut bench, &request("ping")).0, "pong");
    }

    /// Requests that nearly are ones: known types with fields of every kind.
    #[test]
    fn any_fields_get_an_answer(
        kind in proptest::sample::select(vec![
            "hello", "get_symbols", "get_instruments", "get_candles", "get_candles_batch", "get_orderbook",
            "get_orderbook_history", "get_quotes", "get_trades", "get_funding", "subscribe_orderbook",
            "subscribe_candles", "subscribe_all_quotes", "subscribe_fills", "unsubscribe",
        ]),
        fields in proptest::collection::vec((
            proptest::sample::select(vec![
                "venue", "symbol", "depth", "mode", "interval", "count", "symbols", "subscription", "encoding",
            ]),
            proptest::sample::select(vec![
                rmpv::Value::Nil, true.into(), 0.into(), (-1).into(), u64::MAX.into(), 1.5.into(), "binance".into(),
                "BTCUSDT".into(), "delta".into(), "record".into(), "1h".into(),
                rmpv::Value::Array(vec!["BTCUSDT".into()]), rmpv::Value::Map(vec![("type".into(), "ping".into())]),
                rmpv::Value::Binary(vec![1]), rmpv::Value::Ext(1, vec![2]),
            ]),
        ), 0..6),
    ) {
        let mut bench = Bench::live();
        let mut peer = bench.connect();
        let mut asked = request(kind);
        for (name, value) in fields {
            asked = asked.with(name, value);
        }
        let id = peer.send(&mut bench, &asked);
        peer.take(&mut bench, usize::MAX);
        let replies = peer.messages().into_iter().filter(|message| message.id() == Some(id)).count();
        prop_assert_eq!(replies, 1);
    }
}
