//! Funding, the account's fills and the particulars of instruments, field by field.

mod common;

use codec::decimal::Price;
use codec::record::{
    FillBody, FundingBody, GapBody, Header, InstrumentBody, Kind, NO_INSTRUMENT, NONE_I64, Record,
    RecordBuilder,
};
use codec::words::{InstrumentKind, InstrumentStatus, Reason, State, Stream, Venue};
use common::{BTC, Bench, HYPE, get, keys, level};
use slipstream_client::{Message, Request, Value, request};
use zerocopy::FromZeros;

fn hype(kind: &str) -> Request {
    request(kind).venue("hyperliquid").symbol("HYPE")
}

fn fills() -> Request {
    request("subscribe_fills").venue("hyperliquid")
}

/// Type and data of each message.
fn told(values: &[Value]) -> Vec<(&str, &Value)> {
    values.iter().map(|value| (get(value, "type").as_str().unwrap(), get(value, "data"))).collect()
}

#[test]
fn funding_begins_with_what_is_and_has_nulls_for_what_is_not_given() {
    let mut bench = Bench::live();
    let mut early = bench.connect();
    early.send(&mut bench, &hype("subscribe_funding"));
    assert_eq!(early.values(&mut bench).len(), 1, "nothing has come yet");
    let (code, message) = early.refusal(&mut bench, &hype("get_funding"));
    assert_eq!(code, "not_ready");
    assert!(message.contains("funding of HYPE"), "{message}");
    bench.feed(|records| records.funding(HYPE));
    bench.feed(|records| records.status(HYPE, Stream::Funding, State::Stale, Reason::Silence));
    let mut late = bench.connect();
    late.send(&mut bench, &hype("subscribe_funding"));
    let values = late.values(&mut bench);
    let messages = told(&values);
    let kinds: Vec<_> = messages.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["subscribed", "status", "funding"]);
    let values = early.values(&mut bench);
    assert_eq!(told(&values)[0].1, messages[2].1, "the same that was streamed");
    assert_eq!(&late.reply(&mut bench, &hype("get_funding")).1, messages[2].1, "and that is asked for");
    let funding = messages[2].1;
    assert_eq!(
        keys(funding),
        [
            "funding_rate",
            "index_price",
            "interval_hours",
            "mark_price",
            "next_funding_us",
            "open_interest",
            "received_us",
            "symbol",
            "timestamp_us",
            "venue"
        ]
    );
    assert_eq!(get(funding, "funding_rate"), &Value::F64(0.000_012_5));
    assert_eq!(get(funding, "mark_price"), &Value::F64(100.0));
    assert_eq!((get(funding, "index_price"), get(funding, "open_interest")), (&Value::Nil, &Value::Nil));
    assert_eq!(get(funding, "interval_hours").as_u64(), Some(8));
    assert_eq!(get(funding, "next_funding_us").as_u64(), Some(1_700_003_600_000_000));
    assert_eq!(get(funding, "received_us").as_u64(), Some(1_700_000_000_000_000));
    assert_eq!(get(funding, "timestamp_us").as_u64(), Some(1_699_999_999_998_000));

    // The other way round: what was null is given, and what was given is not.
    let body = FundingBody {
        index_price: level(99.5, 0.0).price,
        open_interest: level(0.0, 1234.5).size,
        mark_price: Price::from_raw(NONE_I64),
        next_funding_ns: 0,
        interval_hours: 0,
        ..FundingBody::new_zeroed()
    };
    let mut builder = RecordBuilder::new();
    let header = Header::of(Kind::Funding, Venue::Hyperliquid, Stream::Funding, HYPE);
    let header = Header { sequence: 2, ts_recv_ns: 5_000, ..header };
    bench.core.on_record(builder.fixed(header, &body), bench.records.now);
    let (_, data) = late.reply(&mut bench, &hype("get_funding"));
    for name in ["mark_price", "next_funding_us", "interval_hours"] {
        assert!(get(&data, name).is_nil(), "{name}");
    }
    assert_eq!(get(&data, "funding_rate"), &Value::F64(0.0));
    assert_eq!(get(&data, "index_price"), &Value::F64(99.5));
    assert_eq!(get(&data, "open_interest"), &Value::F64(1234.5));
    assert_eq!(get(&data, "timestamp_us").as_u64(), Some(5), "the venue gives none");
}

#[test]
fn fills_come_with_their_states_and_gaps() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let (code, message) = peer.refusal(&mut bench, &request("subscribe_fills").venue("binance"));
    assert_eq!(code, "not_configured");
    assert!(message.contains("account_address"), "{message}");
    peer.send(&mut bench, &fills());
    let values = peer.values(&mut bench);
    let messages = told(&values);
    assert_eq!(messages.len(), 2);
    assert_eq!((messages[0].0, messages[1].0), ("subscribed", "status"));
    let status = messages[1].1;
    assert_eq!(
        (get(status, "stream").as_str(), get(status, "state").as_str()),
        (Some("fills"), Some("warming"))
    );
    assert!(get(status, "symbol").is_nil());

    bench.feed(|records| records.whole(Some(Venue::Hyperliquid), Stream::Fills, State::Live, Reason::None));
    bench.feed(|records| records.fill(HYPE));
    let mut builder = RecordBuilder::new();
    let header = Header {
        ts_recv_ns: 7_000,
        ..Header::of(Kind::Gap, Venue::Hyperliquid, Stream::Fills, NO_INSTRUMENT)
    };
    let gap = GapBody::new(Reason::Disconnect, 3, 0, 0);
    bench.core.on_record(builder.fixed(header, &gap), bench.records.now);
    let body = FillBody {
        price: level(10.5, 0.0).price,
        size: level(0.0, 3.0).size,
        order_id: u64::MAX,
        trade_id: 0,
        fee: level(1.0, 0.0).price,
        side: codec::words::Side::Buy.number(),
        is_snapshot: 0,
        reserved: [0; 6],
    };
    let header = Header {
        ts_recv_ns: 9_000,
        ts_event_ns: 8_000,
        ..Header::of(Kind::Fill, Venue::Hyperliquid, Stream::Fills, HYPE)
    };
    bench.core.on_record(builder.fixed(header, &body), bench.records.now);
    let values = peer.values(&mut bench);
    let messages = told(&values);
    let kinds: Vec<_> = messages.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, ["status", "fill", "gap", "fill"], "in the order in which they came");
    let (past, gap, fill) = (messages[1].1, messages[2].1, messages[3].1);
    assert_eq!((get(gap, "stream").as_str(), get(gap, "missed").as_u64()), (Some("fills"), Some(3)));
    assert_eq!(get(past, "is_snapshot").as_bool(), Some(true));
    assert_eq!((get(past, "side").as_str(), get(past, "fee")), (Some("Sell"), &Value::F64(-0.25)));
    assert_eq!(
        keys(fill),
        [
            "fee",
            "is_snapshot",
            "order_id",
            "price",
            "received_us",
            "side",
            "size",
            "symbol",
            "timestamp_us",
            "trade_id",
            "venue"
        ]
    );
    assert_eq!(
        (get(fill, "venue").as_str(), get(fill, "symbol").as_str()),
        (Some("hyperliquid"), Some("HYPE"))
    );
    assert_eq!((get(fill, "price"), get(fill, "size")), (&Value::F64(10.5), &Value::F64(3.0)));
    assert_eq!((get(fill, "fee"), get(fill, "side").as_str()), (&Value::F64(1.0), Some("Buy")));
    assert_eq!(get(fill, "order_id").as_str(), Some("18446744073709551615"));
    assert_eq!(get(fill, "trade_id").as_str(), Some("0"));
    assert_eq!(get(fill, "is_snapshot").as_bool(), Some(false));
    assert_eq!((get(fill, "timestamp_us").as_u64(), get(fill, "received_us").as_u64()), (Some(8), Some(9)));

    // Who comes now finds it live and begins with the next one.
    let mut late = bench.connect();
    late.send(&mut bench, &fills());
    assert_eq!(late.values(&mut bench).len(), 1);
    assert_eq!(peer.reply(&mut bench, &fills().unsubscribe()).0, "unsubscribed");
    bench.feed(|records| records.fill(HYPE));
    assert!(peer.read(&mut bench).is_empty());
    assert!(matches!(&late.read(&mut bench)[..], [Message::Fill(_)]));
    let (_, data) = peer.reply(&mut bench, &request("get_status"));
    let streams = get(get(get(&data, "venues"), "hyperliquid"), "streams").as_array().unwrap();
    let ours: Vec<_> =
        streams.iter().filter(|stream| get(stream, "stream").as_str() == Some("fills")).collect();
    assert_eq!(ours.len(), 1, "once for the account, not for each symbol");
    assert_eq!((get(ours[0], "state").as_str(), get(ours[0], "symbol")), (Some("live"), &Value::Nil));
}

#[test]
fn particulars_follow_their_records() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let mut entry = |bench: &mut Bench| {
        let (kind, data) = peer.reply(bench, &request("get_instruments").venue("binance"));
        assert_eq!(kind, "instruments");
        let list = data.as_array().unwrap();
        list.iter().find(|entry| get(entry, "symbol").as_str() == Some("BTCUSDT")).unwrap().clone()
    };
    let before = entry(&mut bench);
    assert_eq!(
        keys(&before),
        ["base", "kind", "lot_size", "quote", "status", "symbol", "tick_size", "venue"]
    );
    assert_eq!((get(&before, "tick_size"), get(&before, "lot_size")), (&Value::F64(0.1), &Value::F64(0.001)));
    assert_eq!((get(&before, "base").as_str(), get(&before, "quote").as_str()), (Some("BTC"), Some("USDT")));
    assert_eq!(
        (get(&before, "kind").as_str(), get(&before, "status").as_str()),
        (Some("perp"), Some("trading"))
    );

    let define = |bench: &mut Bench, change: &dyn Fn(&mut InstrumentBody)| {
        let status = InstrumentStatus::Halted;
        let mut body = InstrumentBody::new(InstrumentKind::Perp, status, "BTCUSDT", "BTC", "USDT").unwrap();
        change(&mut body);
        let mut builder = RecordBuilder::new();
        let header =
            Header { stream: 0, ..Header::of(Kind::Instrument, Venue::Binance, Stream::Quotes, BTC) };
        bench.core.on_record(builder.fixed(header, &body), bench.records.now);
    };
    define(&mut bench, &|body| body.tick_size = level(0.5, 0.0).price);
    let after = entry(&mut bench);
    assert_eq!(
        (get(&after, "tick_size"), get(&after, "status").as_str()),
        (&Value::F64(0.5), Some("halted"))
    );
    assert!(get(&after, "lot_size").is_nil(), "not known");
    // A tick that follows from the price: five figures, at most six decimals.
    define(&mut bench, &|body| (body.price_figures, body.price_decimals) = (5, 6));
    assert_eq!(get(&entry(&mut bench), "tick_size"), &Value::F64(0.01), "at a bid of 100");
    bench.feed(|records| records.quote(BTC, level(12_345.0, 1.0), level(12_346.0, 1.0)));
    assert_eq!(get(&entry(&mut bench), "tick_size"), &Value::F64(1.0));
    bench.feed(|records| records.quote(BTC, level(0.012_345, 1.0), level(0.012_346, 1.0)));
    assert_eq!(get(&entry(&mut bench), "tick_size"), &Value::F64(0.000_001));
    let words = bench.records.instrument_with(BTC, Venue::Binance, "BTCUSDT", InstrumentStatus::Delisted);
    bench.core.on_record(Record::first(&words).unwrap(), bench.records.now);
    assert_eq!(get(&entry(&mut bench), "status").as_str(), Some("delisted"));
}
