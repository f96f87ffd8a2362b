//! Candles: what subscribers get, and what is told upstream about who wants them.

mod common;

use codec::record::{Kind, Record, flags};
use codec::words::{Interval, Reason, State, Stream, Venue};
use common::candles::*;
use common::{BTC, Bench, ETH, Records, config, get};
use ipc::{CandleWish, Core, CoreConfig, Interest, Outlets};
use slipstream_client::{Message, Value, request};

#[test]
fn the_stream_has_what_is_new_and_marks_corrections() {
    let mut bench = loaded();
    let mut one = bench.connect();
    let mut both = bench.connect();
    let all = request("subscribe_all_candles").venue("binance").with("interval", "1h");
    let begins = |values: &[Value]| {
        values.iter().map(|value| get(value, "type").as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    one.send(&mut bench, &subscribe("1h"));
    let values = one.values(&mut bench);
    assert_eq!(begins(&values), ["subscribed", "candle"]);
    assert_eq!(
        rows(&Value::Array(vec![get(&values[1], "data").clone()])),
        [(0, 999, false)],
        "what runs now"
    );
    both.send(&mut bench, &all);
    assert_eq!(begins(&both.values(&mut bench)), ["subscribed", "candle"], "nothing of ETHUSDT is known");
    both.send(&mut bench, &subscribe("1h"));
    assert_eq!(begins(&both.values(&mut bench)), ["subscribed", "candle"]);

    bench.put(Interval::H1, candle(NOW_S, 1), false, false, 0);
    bench.put(Interval::H1, candle(NOW_S - 60 * HOUR_S, 2), true, false, HISTORY);
    bench.put(Interval::H1, candle(NOW_S, 3), true, false, 0);
    bench.put(Interval::H4, candle(NOW_S, 4), true, false, 0);
    bench.put(Interval::H1, candle(NOW_S + HOUR_S, 5), true, false, flags::BACKFILL);
    bench.put(Interval::H1, candle(NOW_S, 6), true, true, 0);
    bench.put(Interval::H1, candle(NOW_S + 2 * HOUR_S, 7), false, false, 0);
    let want = [(0, 1, false), (0, 3, true), (1, 5, true), (0, 6, true), (2, 7, false)];
    for peer in [&mut one, &mut both] {
        let values = peer.values(&mut bench);
        let data: Vec<_> = values.iter().map(|value| get(value, "data").clone()).collect();
        let revised: Vec<_> = data.iter().map(|data| get(data, "revised").as_bool()).collect();
        assert_eq!(rows(&Value::Array(data)), want, "each once, in order, and nothing of the past");
        assert_eq!(revised, [None, None, None, Some(true), None]);
    }
    // A history that comes while it streams is told to nobody.
    bench.history(BTC, Interval::H1, past(HOUR_S, NOW_S, 60), true);
    assert!(one.values(&mut bench).is_empty());
    assert_eq!(one.reply(&mut bench, &subscribe("1h").unsubscribe()).0, "unsubscribed");
    bench.put(Interval::H1, candle(NOW_S + 2 * HOUR_S, 8), false, false, 0);
    assert!(one.values(&mut bench).is_empty());
    assert_eq!(both.reply(&mut bench, &all.unsubscribe()).0, "unsubscribed");
    bench.put(Interval::H1, candle(NOW_S + 2 * HOUR_S, 9), false, false, 0);
    assert_eq!(both.values(&mut bench).len(), 1, "the single subscription is left");
}

#[test]
fn a_subscription_begins_with_the_status_and_with_nothing_made_up() {
    let mut bench = bench();
    let mut peer = bench.connect();
    bench.feed(|records| records.status(BTC, Stream::Candles, State::Warming, Reason::AwaitingData));
    // Rows of which nobody knows whether they are the newest say nothing about the candle that runs.
    bench.history(BTC, Interval::H1, past(HOUR_S, NOW_S - 500 * HOUR_S, 10), false);
    let messages = peer.ask(&mut bench, &subscribe("1h"));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(format!("{:?}", messages[1]).contains("awaiting_data"), "{messages:?}");
    // What the engine tells is there, loaded or not.
    bench.put(Interval::H1, candle(NOW_S, 1), false, false, 0);
    let mut late = bench.connect();
    let messages = late.ask(&mut bench, &subscribe("1h"));
    assert!(
        matches!(&messages[1..], [Message::Status(_), Message::Candle(candle)] if candle.close == 1.0),
        "{messages:?}"
    );
}

#[test]
fn subscribing_again_while_behind_keeps_the_order() {
    let mut bench = loaded();
    let mut peer = bench.connect();
    peer.reply(&mut bench, &subscribe("1h"));
    bench.put(Interval::H1, candle(NOW_S, 1), true, false, 0);
    bench.put(Interval::H1, candle(NOW_S + HOUR_S, 2), false, false, 0);
    peer.send(&mut bench, &subscribe("1h"));
    let values = peer.values(&mut bench);
    let data: Vec<_> = values
        .iter()
        .filter(|value| get(value, "type").as_str() == Some("candle"))
        .map(|value| get(value, "data").clone())
        .collect();
    assert_eq!(rows(&Value::Array(data)), [(0, 1, true), (1, 2, false)], "no closed one lost, none repeated");
}

#[test]
fn as_records_the_candle_that_runs_is_a_record() {
    let mut bench = loaded();
    let mut peer = bench.connect();
    peer.reply(&mut bench, &request("hello").with("encoding", "record"));
    let mut begin = |bench: &mut Bench, interval: &str| {
        peer.send(bench, &subscribe(interval));
        peer.take(bench, usize::MAX);
        let records: Vec<_> = peer
            .frames()
            .into_iter()
            .filter(|frame| frame[..4] == [0; 4])
            .map(|frame| {
                let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
                frame[4..].chunks(8).map(word).collect::<Vec<_>>()
            })
            .collect();
        records
    };
    let records = begin(&mut bench, "1h");
    let kinds: Vec<_> = records.iter().map(|words| Record::first(words).unwrap().kind()).collect();
    assert_eq!(kinds, [Kind::Instrument, Kind::Candle]);
    let made = Record::first(&records[1]).unwrap();
    let body = made.candle().unwrap();
    assert_eq!((body.start_ns, body.close, body.closed), (NOW_S * 1_000_000_000, price(999), 0));
    assert_eq!((made.header().instrument, made.header().sequence), (BTC, 0), "it takes no sequence");
    let told = candle(NOW_S, 5).body(Interval::H4, false, false);
    let words = bench.records.candle_of(BTC, &told, 0);
    bench.core.on_record(Record::first(&words).unwrap(), bench.records.now);
    assert_eq!(begin(&mut bench, "4h"), [words], "the engine's own");
}

/// A core whose wishes and interest are read, with rings of `ring_items`.
struct Asked {
    bench: Bench,
    wishes: rtrb::Consumer<CandleWish>,
    interest: rtrb::Consumer<Interest>,
}

impl Asked {
    fn new(config: CoreConfig, ring_items: usize) -> Self {
        let (wish_producer, wishes) = rtrb::RingBuffer::new(ring_items);
        let (interest_producer, interest) = rtrb::RingBuffer::new(64);
        let outlets = Outlets {
            candle_wishes: Some(wish_producer),
            interest: Some(interest_producer),
            ..Outlets::default()
        };
        let records = Records::new();
        let core = Core::new(config, outlets, records.now);
        Self { bench: Bench { core, records }, wishes, interest }
    }

    fn define(&mut self) {
        self.bench.feed(|records| records.instrument(BTC, Venue::Binance, "BTCUSDT"));
        self.bench.feed(|records| records.instrument(ETH, Venue::Binance, "ETHUSDT"));
    }

    fn wishes(&mut self) -> Vec<(u32, Interval)> {
        std::iter::from_fn(|| self.wishes.pop().ok()).map(|wish| (wish.instrument, wish.interval)).collect()
    }

    fn interest(&mut self) -> Vec<(u32, Option<Interval>, bool)> {
        std::iter::from_fn(|| self.interest.pop().ok())
            .inspect(|interest| assert_eq!(interest.stream, Stream::Candles))
            .map(|interest| (interest.instrument, interest.interval, interest.wanted))
            .collect()
    }
}

#[test]
fn whoever_asks_wishes_once_until_it_is_ready() {
    let mut asked = Asked::new(config(), 64);
    asked.define();
    let mut peer = asked.bench.connect();
    let (hour, four) = (Some(Interval::H1), Some(Interval::H4));
    for _ in 0..2 {
        peer.refusal(&mut asked.bench, &candles("1h", 5));
        peer.refusal(&mut asked.bench, &batch(&["BTCUSDT", "ETHUSDT"], "1h", 5, "rows"));
        peer.reply(&mut asked.bench, &subscribe("1h"));
    }
    assert_eq!(asked.wishes(), [(BTC, Interval::H1), (ETH, Interval::H1)]);
    assert_eq!(asked.interest()[..2], [(BTC, hour, true), (ETH, hour, true)]);
    let all = request("subscribe_all_candles").venue("binance").with("interval", "4h");
    peer.reply(&mut asked.bench, &all);
    assert_eq!(asked.wishes(), [(BTC, Interval::H4), (ETH, Interval::H4)]);
    assert_eq!(asked.interest(), [(BTC, four, true), (ETH, four, true)], "each interval for itself");
    peer.reply(&mut asked.bench, &all.unsubscribe());
    assert_eq!(asked.interest(), [(BTC, four, false), (ETH, four, false)]);
    asked.bench.history(BTC, Interval::M15, Vec::new(), true);
    peer.reply(&mut asked.bench, &candles("15m", 5));
    assert_eq!(asked.wishes(), [], "it is here");
}

#[test]
fn wishes_wait_for_the_instruments_number() {
    let mut config = config();
    config.venues[1].symbols = vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()];
    let mut asked = Asked::new(config, 64);
    let mut peer = asked.bench.connect();
    peer.refusal(&mut asked.bench, &candles("1h", 5));
    peer.reply(&mut asked.bench, &subscribe("4h").symbol("ETHUSDT"));
    assert!(asked.wishes().is_empty() && asked.interest().is_empty());
    asked.define();
    assert_eq!(asked.wishes(), [(BTC, Interval::H1), (ETH, Interval::H4)]);
    assert_eq!(asked.interest(), [(BTC, Some(Interval::H1), true), (ETH, Some(Interval::H4), true)]);
    asked.define();
    assert_eq!(asked.wishes(), [], "told again, but the number is the same");
    asked.bench.feed(|records| records.instrument(9, Venue::Binance, "BTCUSDT"));
    assert_eq!(asked.wishes(), [(9, Interval::H1)]);
}

#[test]
fn a_symbol_that_comes_later_is_wished_for_by_who_wants_all() {
    let mut asked = Asked::new(config(), 64);
    asked.define();
    let mut peer = asked.bench.connect();
    peer.reply(&mut asked.bench, &request("subscribe_all_candles").venue("binance").with("interval", "1h"));
    assert_eq!(asked.wishes().len(), 2);
    asked.bench.feed(|records| records.instrument(7, Venue::Binance, "XRPUSDT"));
    assert_eq!(asked.wishes(), [(7, Interval::H1)]);
}

#[test]
fn a_full_ring_of_wishes_is_counted_and_asked_again() {
    let mut asked = Asked::new(config(), 1);
    asked.define();
    let mut peer = asked.bench.connect();
    let both = batch(&["BTCUSDT", "ETHUSDT"], "1h", 5, "rows");
    peer.refusal(&mut asked.bench, &both);
    assert_eq!(asked.bench.figure("candle_wishes_dropped_total"), 1);
    assert_eq!(asked.wishes(), [(BTC, Interval::H1)]);
    peer.refusal(&mut asked.bench, &both);
    assert_eq!(asked.wishes(), [(ETH, Interval::H1)]);
}

#[test]
fn ages_and_states_of_the_stream() {
    let mut bench = bench();
    let mut peer = bench.connect();
    let mut report = |bench: &mut Bench| {
        let (_, data) = peer.reply(bench, &request("get_status"));
        let streams = get(get(get(&data, "venues"), "binance"), "streams").as_array().unwrap().clone();
        let ours = |stream: &&Value| {
            get(stream, "stream").as_str() == Some("candles")
                && get(stream, "symbol").as_str() == Some("BTCUSDT")
        };
        let stream = streams.iter().find(ours).unwrap();
        let text = |name: &str| get(stream, name).as_str().unwrap().to_owned();
        (text("state"), text("reason"), get(stream, "age_ms").as_u64().unwrap())
    };
    bench.feed(|records| records.status(BTC, Stream::Candles, State::Warming, Reason::AwaitingData));
    bench.wait_ms(1000);
    assert_eq!(report(&mut bench), ("warming".to_owned(), "awaiting_data".to_owned(), 1007));
    bench.put(Interval::H1, candle(NOW_S, 1), false, false, 0);
    bench.feed(|records| records.live(BTC, Stream::Candles));
    bench.wait_ms(300);
    // What comes from the past makes nothing younger.
    bench.put(Interval::H1, candle(NOW_S - HOUR_S, 1), true, false, HISTORY);
    bench.put(Interval::H1, candle(NOW_S - HOUR_S, 1), true, false, flags::BACKFILL);
    bench.history(BTC, Interval::H1, past(HOUR_S, NOW_S, 5), true);
    assert_eq!(report(&mut bench), ("live".to_owned(), "none".to_owned(), 300));
}
