//! Faults of frames, in virtual time: each venue is compared with an undisturbed twin of the same seed, frame by frame.

use serde_json::Value;
use sim::protocol::{ConnectionId, Protocol};
use sim::{Binance, ByHand, Config, CutHow, Fault, Heard, Hyperliquid, MalformedHow, StrangeOrder, parse_e8};
use std::collections::BTreeMap;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

const START_MS: i64 = 1_790_000_000_000;

fn config() -> Config {
    let mut config = Config { seed: 31, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.book_levels, market.rate_per_s) = (60, 60.0);
    }
    config
}

fn binance() -> (ByHand<Binance>, ConnectionId) {
    let mut venue = ByHand::binance(&config(), START_MS).expect("a venue");
    let streams = "btcusdt@bookTicker/btcusdt@depth@100ms/btcusdt@trade/ethusdt@bookTicker";
    let id = venue.open(&format!("/public/stream?streams={streams}")).expect("open");
    venue.open("/market/ws/btcusdt@aggTrade/btcusdt@kline_1m/btcusdt@markPrice@1s").expect("open");
    (venue, id)
}

fn hyperliquid() -> (ByHand<Hyperliquid>, ConnectionId) {
    let mut venue = ByHand::hyperliquid(&config(), START_MS).expect("a venue");
    let id = venue.open("/ws").expect("open");
    for kind in ["bbo", "trades", "activeAssetCtx", "l2Book"] {
        let fast = if kind == "l2Book" { r#","fast":true"# } else { "" };
        let text =
            format!(r#"{{"method":"subscribe","subscription":{{"type":"{kind}","coin":"BTC"{fast}}}}}"#);
        assert!(venue.say(id, &text));
    }
    venue.say(id, r#"{"method":"subscribe","subscription":{"type":"bbo","coin":"ETH"}}"#);
    (venue, id)
}

fn pass<P: Protocol>(venue: &mut ByHand<P>, ms: i64) {
    let until_ms = venue.now_ms() + ms;
    while venue.now_ms() < until_ms {
        venue.pass_to(venue.now_ms() + 10);
    }
}

/// What is heard in ten seconds after a second without fault.
fn heard<P: Protocol>((mut venue, _): (ByHand<P>, ConnectionId), fault: Option<&Fault>) -> Vec<Heard> {
    pass(&mut venue, 1_000);
    drop(venue.drain_heard().collect::<Vec<_>>());
    if let Some(fault) = fault {
        venue.fault(fault).expect("a fault this venue can have");
    }
    pass(&mut venue, 10_000);
    venue.drain_heard().collect()
}

/// A message with what it says, whatever its form.
fn said(heard: &Heard) -> (ConnectionId, String) {
    match heard {
        Heard::Text(id, text) => (*id, text.to_string()),
        Heard::Binary(id, payload) => (*id, String::from_utf8(payload.clone()).expect("UTF-8")),
        Heard::Fragments(id, parts) => {
            assert!(parts.len() > 1);
            (*id, String::from_utf8(parts.concat()).expect("UTF-8"))
        }
        other => panic!("{other:?}"),
    }
}

/// Runs both venues with a fault and without, and hands both to a check.
fn with_twins(fault: &Fault, check: impl Fn(Vec<Heard>, Vec<Heard>)) {
    let of = |symbol: &str, new: &str| Fault::clone(fault).for_symbol(symbol, new);
    check(heard(binance(), Some(&of("BTCUSDT", "BTCUSDT"))), heard(binance(), None));
    check(heard(hyperliquid(), Some(&of("BTCUSDT", "BTC"))), heard(hyperliquid(), None));
}

/// A fault for the other venue's name of the symbol.
trait ForSymbol {
    fn for_symbol(self, from: &str, to: &str) -> Fault;
}

impl ForSymbol for Fault {
    fn for_symbol(mut self, from: &str, to: &str) -> Fault {
        match &mut self {
            Fault::MalformedFrames { symbol: Some(symbol), .. }
            | Fault::ReorderFrames { symbol, .. }
            | Fault::ZeroPriceTrades { symbol, .. }
            | Fault::NullSides { symbol, .. }
                if symbol == from =>
            {
                *symbol = to.to_owned();
            }
            _ => {}
        }
        self
    }
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn binary_and_fragmented_frames_say_the_same() {
    for fault in [Fault::BinaryFrames { frames: 7 }, Fault::FragmentFrames { frames: 7 }] {
        with_twins(&fault, |odd, plain| {
            assert_eq!(odd.iter().filter(|heard| !matches!(heard, Heard::Text(..))).count(), 7);
            assert_eq!(odd.iter().map(said).collect::<Vec<_>>(), plain.iter().map(said).collect::<Vec<_>>());
        });
    }
}

#[test]
fn an_oversize_frame_has_the_size_asked_for_and_one_more_member() {
    with_twins(&Fault::OversizeFrame { bytes: 3_000_000 }, |odd, plain| {
        assert_eq!(said(&odd[0]).1.len(), 3_000_000);
        let mut large = value(&said(&odd[0]).1);
        large.as_object_mut().expect("an object").remove("padding");
        assert_eq!(large, value(&said(&plain[0]).1));
        assert!(odd.iter().skip(1).map(said).eq(plain.iter().skip(1).map(said)));
    });
}

#[test]
fn malformed_frames_replace_what_they_would_have_said() {
    for how in
        [MalformedHow::Truncated, MalformedHow::NotJson, MalformedHow::WrongType, MalformedHow::NotUtf8]
    {
        let symbol = Some("BTCUSDT".to_owned());
        with_twins(&Fault::MalformedFrames { frames: 5, symbol, how }, |odd, plain| {
            assert_eq!(odd.len(), plain.len());
            let mut spoilt = 0;
            for (odd, plain) in odd.iter().zip(&plain) {
                let meant = said(plain).1;
                let text = match odd {
                    Heard::Text(_, text) if text.as_str() == meant => continue,
                    Heard::Text(_, text) => text.as_str(),
                    Heard::NotUtf8(_, bytes) => {
                        assert!(how == MalformedHow::NotUtf8 && std::str::from_utf8(bytes).is_err());
                        ""
                    }
                    other => panic!("{other:?}"),
                };
                spoilt += 1;
                assert!(meant.contains("BTC"), "of the symbol named: {meant}");
                let is_json = serde_json::from_str::<Value>(text).is_ok();
                assert_eq!(is_json, how == MalformedHow::WrongType, "{text}");
                assert!(how != MalformedHow::WrongType || text.contains("null"), "{text}");
            }
            assert_eq!(spoilt, 5);
        });
    }
    // Without a symbol it is the very next frame, whatever it is about.
    let fault = Fault::MalformedFrames { frames: 1, symbol: None, how: MalformedHow::NotJson };
    with_twins(&fault, |odd, plain| assert_ne!(said(&odd[0]), said(&plain[0])));
}

#[test]
fn swapped_frames_are_all_there_in_the_wrong_order() {
    with_twins(&Fault::ReorderFrames { symbol: "BTCUSDT".to_owned(), frames: 2 }, |odd, plain| {
        let by_stream = |heard: &[Heard]| {
            let mut streams: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for text in heard.iter().map(|heard| said(heard).1) {
                let json = value(&text);
                let kinds = [&json["stream"], &json["e"], &json["channel"]];
                let kind = kinds.iter().find_map(|kind| kind.as_str()).expect("a kind");
                let coin = json["data"]["coin"].as_str().unwrap_or_default();
                streams.entry(format!("{kind}{coin}")).or_default().push(text);
            }
            streams
        };
        let (odd, mut plain) = (by_stream(&odd), by_stream(&plain));
        for (stream, texts) in &mut plain {
            let is_other = ["ethusdt@bookTicker", "bboETH"].contains(&stream.as_str());
            if !is_other && texts.len() >= 4 {
                texts.swap(0, 1);
                texts.swap(2, 3);
                assert_eq!(&odd[stream], texts, "{stream}");
            } else if is_other {
                assert_eq!(&odd[stream], texts, "{stream}");
            }
        }
    });
}

/// A value without what is not in the other one.
fn known_part(odd: &Value, plain: &Value) -> Value {
    match (odd, plain) {
        (Value::Object(odd), Value::Object(plain)) => {
            let member =
                |(key, value): (&String, &Value)| Some((key.clone(), known_part(odd.get(key)?, value)));
            Value::Object(plain.iter().filter_map(member).collect())
        }
        (Value::Array(odd), Value::Array(plain)) if odd.len() == plain.len() => {
            odd.iter().zip(plain).map(|(odd, plain)| known_part(odd, plain)).collect()
        }
        (odd, _) => odd.clone(),
    }
}

#[test]
fn new_fields_stand_beside_the_known_ones() {
    with_twins(&Fault::NewFields { frames: 200 }, |odd, plain| {
        let mut more = 0;
        for (odd, plain) in odd.iter().map(said).zip(plain.iter().map(said)) {
            let (odd, plain) = (value(&odd.1), value(&plain.1));
            assert_eq!(known_part(&odd, &plain), plain);
            more += usize::from(odd != plain);
        }
        assert_eq!(more, 200.min(plain.len()));
    });
}

#[test]
fn keys_come_in_any_order_and_values_stay() {
    for order in [StrangeOrder::Reversed, StrangeOrder::Shuffled] {
        with_twins(&Fault::KeyOrder { for_ms: 5_000, order }, |odd, plain| {
            let differ = odd.iter().zip(&plain).filter(|(odd, plain)| said(odd) != said(plain)).count();
            assert!(differ > plain.len() / 4 && differ < plain.len(), "{differ} of {}", plain.len());
            for (odd, plain) in odd.iter().map(said).zip(plain.iter().map(said)) {
                assert_eq!((odd.0, value(&odd.1)), (plain.0, value(&plain.1)));
            }
        });
    }
}

/// The stamps of a frame.
fn stamps(text: &str) -> Vec<i64> {
    let json = value(text);
    let event = if json["data"].is_object() && json["stream"].is_string() { &json["data"] } else { &json };
    let is_mark = event["e"] == "markPriceUpdate";
    let of = |of: &Value, names: &[&str]| -> Vec<i64> {
        names
            .iter()
            .filter(|name| !(is_mark && **name == "T"))
            .filter_map(|name| of[*name].as_i64())
            .collect()
    };
    let mut stamps = of(event, &["E", "T"]);
    stamps.extend(of(&event["data"], &["time"]));
    for row in event["data"].as_array().into_iter().flatten() {
        stamps.extend(of(row, &["time"]));
    }
    stamps
}

#[test]
fn a_stepped_clock_moves_stamps_and_nothing_else() {
    for by_ms in [-90_000, 3_600_000] {
        with_twins(&Fault::ClockStep { by_ms, for_ms: Some(4_000) }, |odd, plain| {
            let mut moved = 0;
            for (odd, plain) in odd.iter().map(said).zip(plain.iter().map(said)) {
                let expected: Vec<i64> = stamps(&plain.1)
                    .into_iter()
                    .map(|at_ms| {
                        let within = (START_MS + 1_000..START_MS + 5_000).contains(&at_ms);
                        moved += i64::from(within);
                        if within { at_ms + by_ms } else { at_ms }
                    })
                    .collect();
                assert_eq!(stamps(&odd.1), expected);
                assert_eq!(value(&odd.1)["data"]["levels"], value(&plain.1)["data"]["levels"]);
                assert_eq!(value(&odd.1)["k"], value(&plain.1)["k"], "periods are no stamps");
            }
            assert!(moved > 100, "{moved}");
        });
    }
}

#[test]
fn trades_without_price_come_beside_the_real_ones() {
    with_twins(&Fault::ZeroPriceTrades { symbol: "BTCUSDT".to_owned(), count: 3 }, |odd, plain| {
        let mut zeros = 0;
        let mut is_real = |trade: &Value, name: &str| {
            let zero = trade[name].as_str().and_then(parse_e8) == Some(0);
            zeros += usize::from(zero);
            !zero
        };
        let mut real = Vec::new();
        for text in odd.iter().map(|heard| said(heard).1) {
            let mut json = value(&text);
            match json.get_mut("data").and_then(Value::as_array_mut) {
                Some(trades) => trades.retain(|trade| is_real(trade, "px")),
                None => {
                    let event = if json["stream"].is_string() { &json["data"] } else { &json };
                    let trade = ["trade", "aggTrade"].iter().any(|kind| event["e"] == *kind);
                    if trade && !is_real(event, "p") {
                        continue;
                    }
                }
            }
            real.push(json);
        }
        let plain: Vec<Value> = plain.iter().map(|heard| value(&said(heard).1)).collect();
        assert!(real == plain, "all else is as it was");
        // On both of Binance's trade streams.
        let is_binance = plain.iter().any(|json| json["e"] == "aggTrade");
        assert_eq!(zeros, if is_binance { 6 } else { 3 });
    });
}

#[test]
fn quotes_without_sides_come_in_turn() {
    with_twins(&Fault::NullSides { symbol: "BTCUSDT".to_owned(), frames: 6 }, |odd, plain| {
        let quotes = |heard: &[Heard]| -> Vec<(bool, bool)> {
            let empty = |side: &Value| side.is_null() || side.as_str().and_then(parse_e8) == Some(0);
            let texts = heard.iter().map(|heard| value(&said(heard).1)["data"].clone());
            let own = texts.filter(|data| data["coin"] == "BTC" || data["s"] == "BTCUSDT");
            own.filter_map(|data| match data["bbo"].as_array() {
                Some(sides) => Some((empty(&sides[0]), empty(&sides[1]))),
                None => (data["e"] == "bookTicker").then(|| (empty(&data["b"]), empty(&data["a"]))),
            })
            .collect()
        };
        let (odd, plain) = (quotes(&odd), quotes(&plain));
        let turn = [(true, true), (false, true), (true, false)];
        assert_eq!(odd[..6], [turn, turn].concat());
        assert!(
            odd.len() == plain.len() && odd[6..].iter().chain(&plain).all(|sides| *sides == (false, false))
        );
    });
}

#[test]
fn a_slower_stream_tells_its_newest_state() {
    let stream = "btcusdt@bookTicker";
    let slow = Fault::ChangeCadence { stream: stream.to_owned(), period_ms: 2_000, for_ms: 7_000 };
    let (odd, plain) = (heard(binance(), Some(&slow)), heard(binance(), None));
    let quotes = |heard: &[Heard]| -> Vec<Value> {
        let all = heard.iter().map(|heard| value(&said(heard).1));
        all.filter(|json| json["stream"] == stream).map(|json| json["data"].clone()).collect()
    };
    let (odd, plain) = (quotes(&odd), quotes(&plain));
    assert!(plain.len() > 50 && odd.len() < plain.len(), "{} of {}", odd.len(), plain.len());
    // Told after 2, 4 and 6 seconds, each time what was newest then; after 7 all is as before.
    for (told, at_ms) in odd.iter().zip([2_000, 4_000, 6_000]) {
        let newest = plain.iter().rfind(|quote| quote["E"].as_i64() <= Some(START_MS + 1_000 + at_ms));
        assert_eq!(Some(told), newest, "{at_ms}");
    }
    assert!(plain.ends_with(&odd[4..]) && odd.len() > 4);
    // Of changes nothing is lost: they are told together.
    let stream = "btcusdt@depth@100ms".to_owned();
    let slow = Fault::ChangeCadence { stream: stream.clone(), period_ms: 3_000, for_ms: 8_000 };
    let events: Vec<Value> = heard(binance(), Some(&slow))
        .iter()
        .map(|heard| value(&said(heard).1))
        .filter(|json| json["stream"] == stream.as_str())
        .collect();
    assert!(events.windows(2).all(|pair| pair[1]["data"]["pu"] == pair[0]["data"]["u"]));
    assert!(events.len() < 40, "{}", events.len());
    let (mut venue, _) = binance();
    let refused = |stream: &str| Fault::ChangeCadence { stream: stream.to_owned(), period_ms: 9, for_ms: 9 };
    assert!(
        venue.fault(&refused("btcusdt@aggTrade")).is_err_and(|error| error.to_string().contains("states"))
    );
    assert!(hyperliquid().0.fault(&refused("trades:BTC")).is_err());
}

/// What a client's WebSocket makes of all that came on a connection.
fn read(heard: &[Heard], connection: ConnectionId) -> (Vec<Message>, String) {
    let bytes: Vec<u8> = heard
        .iter()
        .filter_map(Heard::to_bytes)
        .filter(|(to, _)| *to == connection)
        .flat_map(|(_, bytes)| bytes)
        .collect();
    let mut client = WebSocket::from_raw_socket(std::io::Cursor::new(bytes), Role::Client, None);
    let mut messages = Vec::new();
    loop {
        match client.read() {
            Ok(message) => messages.push(message),
            Err(error) => return (messages, error.to_string()),
        }
    }
}

#[test]
fn what_is_heard_reads_back_from_its_bytes() {
    let (mut venue, id) = hyperliquid();
    venue.fault(&Fault::FragmentFrames { frames: 5 }).expect("a fault");
    venue.fault(&Fault::BinaryFrames { frames: 2 }).expect("a fault");
    pass(&mut venue, 3_000);
    venue.fault(&Fault::Cut { route: None, how: CutHow::MidFrame, code: 1000 }).expect("a cut");
    let heard: Vec<Heard> = venue.drain_heard().collect();
    let (messages, end) = read(&heard, id);
    assert!(end.contains("without closing handshake") || end.contains("reset"), "{end}");
    assert!(matches!(heard[heard.len() - 2..], [Heard::HalfFrame(..), Heard::Dropped(_, false)]));
    assert_eq!(messages.len(), heard.len() - 2);
    assert_eq!(messages.iter().filter(|message| message.is_binary()).count(), 2);
    for (message, heard) in messages.iter().zip(&heard) {
        assert_eq!(message.to_text().expect("UTF-8"), said(heard).1);
    }

    let (mut venue, id) = binance();
    venue.fault(&Fault::Cut { route: None, how: CutHow::Close, code: 1012 }).expect("a cut");
    let heard: Vec<Heard> = venue.drain_heard().collect();
    let (messages, _) = read(&heard, id);
    assert!(matches!(&messages[..], [Message::Close(Some(frame))] if u16::from(frame.code) == 1012));
}
