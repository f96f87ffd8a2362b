//! Every request and its reply, field by field, and every way it is refused.

mod common;

use codec::drift::{DriftKind, DriftWriter};
use codec::words::{InstrumentStatus, Reason, State, Stream, Venue};
use common::{BTC, Bench, ETH, HYPE, config, get, keys, level};
use slipstream_client::{Request, Value, request};

fn binance(kind: &str) -> Request {
    request(kind).venue("binance").symbol("BTCUSDT")
}

fn floats(levels: &Value) -> Vec<(f64, f64)> {
    levels
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| {
            let pair = pair.as_array().unwrap();
            assert!(
                matches!((&pair[0], &pair[1]), (Value::F64(_), Value::F64(_))),
                "whole numbers are floats too"
            );
            (pair[0].as_f64().unwrap(), pair[1].as_f64().unwrap())
        })
        .collect()
}

#[test]
fn hello_and_ping() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let (kind, data) = peer.reply(&mut bench, &request("hello").with("client", "test"));
    assert_eq!(kind, "hello");
    assert_eq!(keys(&data), ["protocol", "run_id", "server", "venues", "version"]);
    assert_eq!(get(&data, "protocol").as_u64(), Some(1));
    assert_eq!(get(&data, "run_id").as_str(), Some("0123456789abcdef"));
    let venues: Vec<_> = get(&data, "venues").as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(venues, ["hyperliquid", "binance"]);
    assert_eq!(peer.reply(&mut bench, &request("ping")).0, "pong");
    let (code, message) = peer.refusal(&mut bench, &request("hello").with("encoding", "json"));
    assert_eq!(code, "bad_request");
    assert!(message.contains("\"msgpack\"") && message.contains("\"record\""), "{message}");
}

#[test]
fn the_id_is_echoed_as_it_came() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    for id in [Value::from(-5), Value::from(u64::MAX), Value::from("seven"), Value::from("")] {
        for kind in ["ping", "no_such_request"] {
            let mut frame = Vec::new();
            rmpv::encode::write_value(&mut frame, &request(kind).with("id", id.clone()).value()).unwrap();
            peer.send_frame(&mut bench, &frame);
            let reply = peer.values(&mut bench).remove(0);
            assert_eq!(get(&reply, "id"), &id);
        }
    }
    for id in [Value::from(1.5), Value::from("x".repeat(1025)), Value::from(true)] {
        let mut frame = Vec::new();
        rmpv::encode::write_value(&mut frame, &request("ping").with("id", id.clone()).value()).unwrap();
        peer.send_frame(&mut bench, &frame);
        let reply = peer.values(&mut bench).remove(0);
        assert_eq!(get(get(&reply, "data"), "code").as_str(), Some("bad_request"));
        if id.is_str() {
            assert_eq!(get(&reply, "id"), &id, "too long to be allowed, and echoed: nobody waits in vain");
        }
    }
    peer.send_frame(&mut bench, b"\x81\xa4type\xa4ping");
    assert_eq!(keys(&peer.values(&mut bench).remove(0)), ["data", "type"], "no id, none echoed");
}

#[test]
fn symbols_and_instruments() {
    let mut bench = Bench::live();
    bench.feed(|records| records.instrument_with(9, Venue::Binance, "AAAUSDT", InstrumentStatus::Delisted));
    bench.feed(|records| records.instrument(10, Venue::Binance, "ADAUSDT"));
    let mut peer = bench.connect();
    let (kind, data) = peer.reply(&mut bench, &request("get_symbols").venue("binance"));
    assert_eq!(kind, "symbols");
    let symbols: Vec<_> = data.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(symbols, ["ADAUSDT", "BTCUSDT", "ETHUSDT"], "sorted, without the delisted one");
    // One that is configured, before the venue's list has come: told with nothing known of it.
    bench.feed(|records| records.instrument_with(11, Venue::Binance, "ZZZUSDT", InstrumentStatus::Delisted));
    bench.feed(|records| records.status(11, Stream::Quotes, State::Warming, Reason::AwaitingInstruments));
    let (_, data) = peer.reply(&mut bench, &request("get_symbols").venue("binance"));
    assert_eq!(data.as_array().unwrap().len(), 4, "it is carried");
    let (kind, data) = peer.reply(&mut bench, &request("get_instruments").venue("binance"));
    assert_eq!(kind, "instruments");
    let listed = data.as_array().unwrap();
    assert_eq!(listed.len(), 4);
    assert_eq!(get(&listed[0], "status").as_str(), Some("delisted"));
    let btc = &listed[2];
    assert_eq!(keys(btc), ["base", "kind", "lot_size", "quote", "status", "symbol", "tick_size", "venue"]);
    assert_eq!(get(btc, "symbol").as_str(), Some("BTCUSDT"));
    assert_eq!(get(btc, "base").as_str(), Some("BTC"));
    assert_eq!(get(btc, "quote").as_str(), Some("USDT"));
    assert_eq!(get(btc, "kind").as_str(), Some("perp"));
    assert_eq!(get(btc, "status").as_str(), Some("trading"));
    assert_eq!(get(btc, "tick_size").as_f64(), Some(0.1));
    assert_eq!(get(btc, "lot_size").as_f64(), Some(0.001));
}

#[test]
fn a_book() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let (kind, data) = peer.reply(&mut bench, &binance("get_orderbook"));
    assert_eq!(kind, "orderbook_snapshot");
    assert_eq!(
        keys(&data),
        [
            "asks",
            "bids",
            "depth_timestamp_us",
            "fresh_levels",
            "received_us",
            "sequence",
            "symbol",
            "timestamp_us",
            "venue",
            "venue_sequence"
        ]
    );
    assert_eq!(floats(get(&data, "bids")), [(100.0, 1.0), (99.0, 2.0)]);
    assert_eq!(floats(get(&data, "asks")), [(101.0, 1.5), (102.0, 3.0)]);
    assert_eq!(get(&data, "sequence").as_u64(), Some(1));
    assert_eq!(get(&data, "venue_sequence").as_u64(), Some(10));
    assert_eq!(get(&data, "fresh_levels").as_u64(), Some(2));
    assert_eq!(get(&data, "timestamp_us").as_u64(), Some(1_699_999_999_998_000));
    assert_eq!(get(&data, "depth_timestamp_us").as_u64(), Some(1_699_999_999_998_000));
    assert_eq!(get(&data, "received_us").as_u64(), Some(1_700_000_000_000_000));
    let (_, data) = peer.reply(&mut bench, &binance("get_orderbook").with("depth", 1));
    assert_eq!(floats(get(&data, "bids")), [(100.0, 1.0)]);
    let (_, data) = peer.reply(&mut bench, &binance("get_orderbook").with("depth", 1_000_000));
    assert_eq!(floats(get(&data, "asks")).len(), 2, "a query for more than there is gets what there is");

    let hype = request("get_orderbook").venue("hyperliquid").symbol("HYPE");
    let (_, data) = peer.reply(&mut bench, &hype);
    assert_eq!(get(&data, "venue_sequence"), &Value::Nil);
    assert_eq!(get(&data, "fresh_levels").as_u64(), Some(1), "the deeper level is older");
    assert_eq!(get(&data, "depth_timestamp_us").as_u64(), Some(1_699_999_999_498_000));
    let (_, data) = peer.reply(&mut bench, &hype.with("depth", 1));
    assert_eq!(get(&data, "depth_timestamp_us").as_u64(), Some(1_699_999_999_998_000), "of the shown levels");

    for (depth, want) in
        [(Value::from(0), "at least 1"), (Value::from(-1), "at least 1"), ("ten".into(), "integer")]
    {
        let (code, message) = peer.refusal(&mut bench, &binance("get_orderbook").with("depth", depth));
        assert_eq!(code, "bad_depth");
        assert!(message.contains(want), "{message}");
    }
}

#[test]
fn a_book_or_quote_that_is_not_live() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    for stream in [Stream::Orderbook, Stream::Quotes] {
        bench.feed(|records| records.status(BTC, stream, State::Stale, Reason::Silence));
    }
    bench.wait_ms(1500);
    for kind in ["get_orderbook", "get_quote"] {
        let (code, message) = peer.refusal(&mut bench, &binance(kind));
        assert_eq!(code, "not_live");
        assert!(
            message.contains("stale") && message.contains("silence") && message.contains("1500 ms"),
            "{message}"
        );
        let (_, data) = peer.reply(&mut bench, &binance(kind).with("allow_stale", true));
        assert_eq!(get(&data, "stale").as_bool(), Some(true));
    }
    let mut bench = Bench::new(config());
    let mut peer = bench.connect();
    for kind in ["get_orderbook", "get_quote"] {
        for allow in [false, true] {
            let (code, message) = peer.refusal(&mut bench, &binance(kind).with("allow_stale", allow));
            assert_eq!(code, "not_live", "nothing has come that could be served");
            assert!(message.contains("warming"), "{message}");
        }
    }
}

#[test]
fn quotes_and_trades() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let (kind, data) = peer.reply(&mut bench, &binance("get_quote"));
    assert_eq!(kind, "quote");
    assert_eq!(
        keys(&data),
        ["ask_price", "ask_size", "bid_price", "bid_size", "received_us", "symbol", "timestamp_us", "venue"]
    );
    assert_eq!(get(&data, "bid_price"), &Value::F64(100.0));
    assert_eq!(get(&data, "ask_size"), &Value::F64(1.5));
    bench.feed(|records| records.quote(BTC, level(0.0, 0.0), level(101.0, 1.0)));
    let (_, data) = peer.reply(&mut bench, &binance("get_quote"));
    assert_eq!((get(&data, "bid_price"), get(&data, "bid_size")), (&Value::Nil, &Value::Nil));
    let (kind, data) = peer.reply(&mut bench, &binance("get_quotes").with("count", 2));
    assert_eq!(kind, "quotes");
    let prices: Vec<_> =
        data.as_array().unwrap().iter().map(|quote| get(quote, "bid_price").as_f64()).collect();
    assert_eq!(prices, [Some(100.0), None], "oldest first");

    for id in 1..=5 {
        bench.feed(|records| records.trade(BTC, id, 0));
    }
    let (kind, data) = peer.reply(&mut bench, &binance("get_trades").with("count", 3));
    assert_eq!(kind, "trades");
    let trades = data.as_array().unwrap();
    let ids: Vec<_> = trades.iter().filter_map(|trade| get(trade, "trade_id").as_str()).collect();
    assert_eq!(ids, ["3", "4", "5"]);
    assert_eq!(
        keys(&trades[0]),
        ["backfill", "price", "received_us", "side", "size", "symbol", "timestamp_us", "trade_id", "venue"]
    );
    assert_eq!(get(&trades[0], "side").as_str(), Some("Sell"));
    assert_eq!(get(&trades[1], "side").as_str(), Some("Buy"));
    assert_eq!(get(&trades[0], "price"), &Value::F64(103.0));
    let (code, _) = peer.refusal(&mut bench, &binance("get_trades").with("count", 0));
    assert_eq!(code, "bad_count");
    let (_, data) = peer.reply(&mut bench, &request("get_trades").venue("binance").symbol("ETHUSDT"));
    assert!(data.as_array().unwrap().is_empty());
}

#[test]
fn long_replies_come_in_pieces_and_whole() {
    let mut config = config();
    config.retention.trades_per_symbol = 20_000;
    let mut bench = Bench::live_with(config);
    for id in 0..25_000 {
        bench.feed(|records| records.trade(BTC, id, 0));
    }
    let mut peer = bench.connect();
    peer.send(&mut bench, &binance("get_trades").with("count", 15_000));
    let ping = peer.send(&mut bench, &request("ping"));
    let values = peer.values(&mut bench);
    assert_eq!(values.len(), 2);
    let trades = get(&values[0], "data").as_array().unwrap();
    assert_eq!(trades.len(), 15_000);
    assert_eq!(get(&trades[0], "trade_id").as_str(), Some("10000"));
    assert_eq!(get(&trades[14_999], "trade_id").as_str(), Some("24999"));
    assert_eq!(get(&values[1], "id").as_u64(), Some(ping), "replies come in order");
}

#[test]
fn once_a_second_books() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    for second in 0..5u32 {
        bench.wait_ms(1000);
        bench.feed(|records| records.delta(BTC, &[level(98.0 - f64::from(second), 1.0)], &[]));
        while bench.core.keep_books(bench.records.now) {}
    }
    let (kind, data) = peer.reply(&mut bench, &binance("get_orderbook_history").with("count", 3));
    assert_eq!(kind, "orderbook_history");
    let sequences: Vec<_> =
        data.as_array().unwrap().iter().filter_map(|book| get(book, "sequence").as_u64()).collect();
    assert_eq!(sequences, [4, 5, 6]);
    let (_, data) = peer.reply(&mut bench, &binance("get_orderbook_history").with("depth", 1));
    assert_eq!(data.as_array().unwrap().len(), 5);
    assert_eq!(floats(get(&data.as_array().unwrap()[4], "bids")).len(), 1);
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Stale, Reason::Silence));
    bench.wait_ms(1000);
    while bench.core.keep_books(bench.records.now) {}
    let (_, data) = peer.reply(&mut bench, &binance("get_orderbook_history"));
    assert_eq!(data.as_array().unwrap().len(), 5, "only live books are kept");
}

#[test]
fn funding_and_candles() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let (code, _) = peer.refusal(&mut bench, &binance("get_funding"));
    assert_eq!(code, "not_ready");
    bench.feed(|records| records.funding(BTC));
    let (kind, data) = peer.reply(&mut bench, &binance("get_funding"));
    assert_eq!(kind, "funding");
    assert_eq!(
        keys(&data),
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
    assert_eq!(get(&data, "funding_rate"), &Value::F64(0.000_012_5));
    assert_eq!(get(&data, "interval_hours").as_u64(), Some(8));
    assert_eq!(get(&data, "next_funding_us").as_u64(), Some(1_700_003_600_000_000));
    assert_eq!(get(&data, "mark_price"), &Value::F64(100.0));
    assert_eq!(get(&data, "open_interest"), &Value::Nil);

    let candles = binance("get_candles").with("interval", "1h");
    assert_eq!(peer.refusal(&mut bench, &candles.clone().with("count", 5)).0, "not_ready");
    assert_eq!(peer.refusal(&mut bench, &candles.clone().with("count", 0)).0, "bad_count");
    assert_eq!(peer.refusal(&mut bench, &candles).0, "bad_request");
    let (code, message) =
        peer.refusal(&mut bench, &binance("get_candles").with("interval", "7m").with("count", 5));
    assert_eq!(code, "unknown_interval");
    assert!(message.contains("15m, 1h, 4h"), "{message}");
    let batch = |symbols: Vec<Value>| {
        request("get_candles_batch")
            .venue("binance")
            .with("symbols", Value::Array(symbols))
            .with("interval", "1h")
            .with("count", 5)
    };
    let (code, message) = peer.refusal(&mut bench, &batch(vec!["BTCUSDT".into(), "NOPE".into()]));
    assert_eq!(code, "unknown_symbol");
    assert!(message.contains("NOPE"), "{message}");
    assert_eq!(peer.refusal(&mut bench, &batch(vec!["BTCUSDT".into()])).0, "not_ready");
    assert_eq!(peer.refusal(&mut bench, &batch(vec![5.into()])).0, "bad_request");
}

#[test]
fn the_status_report() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    peer.reply(&mut bench, &binance("subscribe_quote"));
    for state in [State::Live, State::Down, State::Live] {
        bench.feed(|records| {
            records.whole(Some(Venue::Binance), Stream::Connection, state, Reason::Disconnect)
        });
    }
    bench.feed(|records| records.gap(BTC, Stream::Trades, Reason::Disconnect, 3));
    bench.feed(|records| records.status(ETH, Stream::Orderbook, State::Resyncing, Reason::SequenceBreak));
    bench.wait_ms(2000);
    let (kind, data) = peer.reply(&mut bench, &request("get_status"));
    assert_eq!(kind, "status_report");
    assert_eq!(
        keys(&data),
        ["clients", "recorder", "run_id", "subscriptions", "uptime_s", "venues", "version"]
    );
    assert_eq!(get(&data, "clients").as_u64(), Some(1));
    assert_eq!(get(&data, "subscriptions").as_u64(), Some(1));
    assert_eq!(get(&data, "uptime_s").as_u64(), Some(2));
    let binance = get(get(&data, "venues"), "binance");
    assert_eq!(keys(binance), ["candles", "connected", "drift", "gaps", "reconnects", "state", "streams"]);
    assert_eq!(get(binance, "connected").as_bool(), Some(true));
    assert_eq!(get(binance, "state").as_str(), Some("live"));
    assert_eq!(get(binance, "reconnects").as_u64(), Some(1));
    assert_eq!(get(binance, "gaps").as_u64(), Some(1));
    assert_eq!(get(binance, "drift").as_array().map(Vec::len), Some(0));
    let counters = bench.core.counters().venue(Venue::Binance);
    assert_eq!(counters.gaps_of(Stream::Trades, Reason::Disconnect), 1);
    assert_eq!(counters.gaps_of(Stream::Trades, Reason::Silence), 0);
    assert_eq!(counters.connected.load(std::sync::atomic::Ordering::Relaxed), 1);
    let streams = get(binance, "streams").as_array().unwrap();
    let eth = streams
        .iter()
        .find(|stream| {
            get(stream, "symbol").as_str() == Some("ETHUSDT")
                && get(stream, "stream").as_str() == Some("orderbook")
        })
        .unwrap();
    assert_eq!(keys(eth), ["age_ms", "reason", "state", "stream", "symbol"]);
    assert_eq!(get(eth, "state").as_str(), Some("resyncing"));
    assert_eq!(get(eth, "reason").as_str(), Some("sequence_break"));
    assert_eq!(get(eth, "age_ms").as_u64(), Some(2000), "ages grow");
    let hyperliquid = get(get(&data, "venues"), "hyperliquid");
    assert_eq!(get(hyperliquid, "connected").as_bool(), Some(false));
}

#[test]
fn the_status_report_tells_how_a_venue_has_changed() {
    let mut writer = DriftWriter::default();
    let outlets = ipc::Outlets { drift: vec![(Venue::Binance, writer.table())], ..ipc::Outlets::default() };
    let records = common::Records::new();
    let core = ipc::Core::new(common::config(), outlets, records.now);
    let mut bench = Bench { core, records };
    let mut peer = bench.connect();
    writer.note(DriftKind::NewField, "trade.z", 2, b"{\"z\":1}", 7);
    writer.note(DriftKind::Cadence, "depth@100ms", 1, b"every 500 ms", 8);
    writer.note(DriftKind::NewField, "trade.z", 1, b"another", 9);
    let (_, data) = peer.reply(&mut bench, &request("get_status"));
    let venues = get(&data, "venues");
    let told: Vec<_> = get(get(venues, "binance"), "drift")
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert_eq!(keys(entry), ["count", "first_us", "frame", "kind", "what"]);
            let text = |name| get(entry, name).as_str().unwrap().to_owned();
            let number = |name| get(entry, name).as_u64().unwrap();
            (text("kind"), text("what"), number("count"), number("first_us"), text("frame"))
        })
        .collect();
    let expected =
        [("new_field", "trade.z", 3, 7, "{\"z\":1}"), ("cadence", "depth@100ms", 1, 8, "every 500 ms")];
    let expected = expected.map(|(kind, what, count, first_us, frame)| {
        (kind.to_owned(), what.to_owned(), count, first_us, frame.to_owned())
    });
    assert_eq!(told, expected);
    assert_eq!(get(get(venues, "hyperliquid"), "drift").as_array().map(Vec::len), Some(0));
}

#[test]
fn what_is_unknown_is_told_with_what_is_near() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    for (request, code, hint) in [
        (request("get_quote"), "bad_request", "`venue`"),
        (request("get_quote").with("venue", 5).symbol("X"), "bad_request", "string"),
        (request("get_quote").venue("binance"), "bad_request", "`symbol`"),
        (request("get_quote").venue("binanse").symbol("BTCUSDT"), "unknown_venue", "binance"),
        (request("get_quote").venue("nasdaq").symbol("AAPL"), "unknown_venue", "hyperliquid"),
        (binance("get_quote").symbol("btcusdt"), "unknown_symbol", "BTCUSDT"),
        (request("subscribe_orderbok").venue("binance"), "unknown_type", "subscribe_orderbook"),
        (request(""), "unknown_type", ""),
        (request("subscribe_fills").venue("binance"), "not_configured", "account_address"),
        (binance("subscribe_orderbook").with("depth", 1001), "bad_depth", "1 to 1000"),
        (binance("subscribe_orderbook").with("depth", 0), "bad_depth", "1"),
        (binance("subscribe_orderbook").with("mode", "diff"), "bad_mode", "delta"),
        (binance("subscribe_orderbook").with("mode", 1), "bad_mode", "string"),
        (binance("subscribe_candles").with("interval", "1M"), "unknown_interval", "4h"),
        (request("unsubscribe"), "bad_request", "subscription"),
        (binance("subscribe_quote").unsubscribe(), "not_subscribed", "subscribe_quote"),
        (binance("get_quote").unsubscribe(), "bad_request", "get_quote"),
        (binance("get_orderbook").with("allow_stale", "yes"), "bad_request", "boolean"),
    ] {
        let (is, message) = peer.refusal(&mut bench, &request);
        assert_eq!(is, code, "{message}");
        assert!(message.contains(hint), "{message}");
    }
    let long = "x".repeat(5000);
    let (_, message) = peer.refusal(&mut bench, &request("get_quote").venue(&long));
    assert!(message.len() < 300, "a long name is not repeated whole");
}

#[test]
fn a_venue_that_is_off_or_has_told_nothing() {
    let mut config = config();
    config.venues.remove(0);
    config.venues[0].symbols = vec!["BTCUSDT".to_owned()];
    config.venues[0].streams.retain(|stream| *stream != Stream::Funding);
    let mut bench = Bench::new(config.clone());
    let mut peer = bench.connect();
    let (code, _) = peer.refusal(&mut bench, &request("get_symbols").venue("hyperliquid"));
    assert_eq!(code, "not_configured");
    assert_eq!(peer.refusal(&mut bench, &binance("get_funding")).0, "not_configured");
    assert_eq!(peer.refusal(&mut bench, &binance("subscribe_funding")).0, "not_configured");
    let _ = HYPE;

    // Before the venue has told its instruments, those that are configured by name can be subscribed to.
    let records = common::Records::new();
    let core = ipc::Core::new(config, ipc::Outlets::default(), records.now);
    let mut bench = Bench { core, records };
    let mut peer = bench.connect();
    let messages = peer.ask(&mut bench, &binance("subscribe_quote"));
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(format!("{:?}", messages[1]).contains("awaiting_instruments"));
    let (code, _) = peer.refusal(&mut bench, &binance("get_quote").symbol("ETHUSDT"));
    assert_eq!(code, "not_ready", "it may turn out to exist");
    bench.feed(|records| records.instrument(4, Venue::Binance, "BTCUSDT"));
    bench.feed(|records| records.live(4, Stream::Quotes));
    bench.feed(|records| records.quote(4, level(1.0, 1.0), level(2.0, 1.0)));
    assert_eq!(peer.read(&mut bench).len(), 2, "status and quote");
}
