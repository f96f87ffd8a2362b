//! Candles by hand in virtual time: frames, rows and truth are one, whatever the interval and whenever it began.

mod common;

use common::{ByHand, binance_by_hand, hyperliquid_by_hand, number, scaled};
use serde_json::{Value, json};
use sim::{
    Binance, BinanceConfig, HyperliquidConfig, Interval, MarketConfig, MarketHandle, TruthCandle, Venue,
};
use std::collections::BTreeMap;
use std::time::Instant;

/// Seven seconds before a quarter of an hour, an hour, four hours and a day begin.
const START_MS: i64 = 1_789_999_993_000 - 1_789_999_993_000 % 86_400_000 + 86_400_000 - 7_000;

fn small(venue: Venue) -> MarketConfig {
    MarketConfig { book_levels: 60, rate_per_s: 20.0, retention_ms: 3_600_000, ..MarketConfig::of(venue) }
}

fn binance() -> (ByHand<Binance>, MarketHandle) {
    let config = BinanceConfig { market: small(Venue::Binance), ..BinanceConfig::default() };
    let (hand, market, _) = binance_by_hand(&config, 5, START_MS);
    (hand, market)
}

fn interval(name: &str) -> Interval {
    Interval::from_name(name).expect("an interval")
}

/// What a kline event says, in the form of the truth.
fn of_event(k: &Value) -> TruthCandle {
    TruthCandle {
        open_ms: k["t"].as_i64().expect("t"),
        close_ms: k["T"].as_i64().expect("T"),
        open_e8: number(&k["o"]),
        high_e8: number(&k["h"]),
        low_e8: number(&k["l"]),
        close_e8: number(&k["c"]),
        volume_e8: scaled(&k["v"], 8),
        quote_e16: scaled(&k["q"], 16),
        buy_volume_e8: scaled(&k["V"], 8),
        buy_quote_e16: scaled(&k["Q"], 16),
        trades: k["n"].as_u64().expect("n"),
        first_trade_id: k["f"].as_i64().expect("f"),
        last_trade_id: k["L"].as_i64().expect("L"),
        closed: k["x"].as_bool().expect("x"),
    }
}

/// What a row of `/klines` says; ids are not in it.
fn of_row(row: &Value, like: &TruthCandle) -> TruthCandle {
    TruthCandle {
        open_ms: row[0].as_i64().expect("t"),
        close_ms: row[6].as_i64().expect("T"),
        open_e8: number(&row[1]),
        high_e8: number(&row[2]),
        low_e8: number(&row[3]),
        close_e8: number(&row[4]),
        volume_e8: scaled(&row[5], 8),
        quote_e16: scaled(&row[7], 16),
        trades: row[8].as_u64().expect("n"),
        buy_volume_e8: scaled(&row[9], 8),
        buy_quote_e16: scaled(&row[10], 16),
        ..*like
    }
}

#[test]
fn binance_tells_each_change_once_and_each_end_at_once() {
    let (mut hand, market) = binance();
    let names: Vec<String> =
        Interval::all().map(|interval| format!("btcusdt@kline_{}", interval.name())).collect();
    hand.open(1, &format!("/market/ws/{}", names.join("/")));
    hand.pass_in_steps(190_000, 5);
    let mut last: BTreeMap<String, (i64, TruthCandle)> = BTreeMap::new();
    let mut closed: BTreeMap<String, Vec<TruthCandle>> = BTreeMap::new();
    for event in hand.heard(1) {
        assert_eq!((event["e"].as_str(), event["s"].as_str()), (Some("kline"), Some("BTCUSDT")));
        let name = event["k"]["i"].as_str().expect("an interval").to_owned();
        let (candle, at_ms) = (of_event(&event["k"]), event["E"].as_i64().expect("E"));
        if candle.closed {
            assert!((1..=10).contains(&(at_ms - candle.close_ms)), "{event}");
            closed.entry(name.clone()).or_default().push(candle);
        } else {
            assert!((candle.open_ms..=candle.close_ms).contains(&at_ms), "{event}");
        }
        if let Some((before_ms, before)) = last.insert(name, (at_ms, candle)) {
            assert!(candle.open_ms >= before.open_ms && !(before.closed && candle.open_ms == before.open_ms));
            assert!(candle.closed || before.closed || at_ms - before_ms >= 245, "{event}");
            assert!(candle != before, "only what changed is told");
        }
    }
    assert_eq!(closed["1m"].len(), 4);
    assert_eq!((closed["3m"].len(), closed["15m"].len(), closed["1d"].len()), (2, 1, 1));
    for (name, told) in &closed {
        let (from_ms, until_ms) = (told[0].open_ms, told[told.len() - 1].close_ms + 1);
        assert_eq!(*told, market.candles("BTCUSDT", interval(name), from_ms, until_ms).expect("candles"));
    }
    let minute = &closed["1m"][1];
    let trades = market.trades_between("BTCUSDT", minute.open_ms, minute.close_ms + 1).expect("trades");
    let fills: u64 = trades.iter().map(|trade| trade.last_trade_id - trade.first_trade_id + 1).sum();
    assert_eq!((minute.trades, minute.open_e8), (fills, trades[0].price_e8));
    assert_eq!(minute.volume_e8, trades.iter().map(|trade| i128::from(trade.size_e8)).sum::<i128>());
    assert_eq!(minute.last_trade_id as u64, trades[trades.len() - 1].last_trade_id);
}

#[test]
fn klines_are_paged_weighed_and_refused_as_documented() {
    let (mut hand, market) = binance();
    hand.pass_in_steps(60_000, 5);
    for (query, code) in [
        ("symbol=BTCUSDT&interval=1m&limit=1501", -1130),
        ("symbol=BTCUSDT&interval=1m&limit=0", -1130),
        ("symbol=BTCUSDT&interval=1s", -1120),
        ("symbol=NOPE&interval=1m", -1121),
        ("symbol=BTCUSDT", -1102),
        ("interval=1m", -1102),
        ("symbol=BTCUSDT&interval=1m&startTime=x", -1102),
    ] {
        let (status, body) = hand.get(&format!("/fapi/v1/klines?{query}"));
        assert_eq!((status, &body["code"]), (400, &json!(code)), "{query}");
    }
    let mut used_before = None;
    for (limit, weight) in
        [("", 2), ("&limit=99", 1), ("&limit=500", 2), ("&limit=1000", 5), ("&limit=1500", 10)]
    {
        let url = format!("/fapi/v1/klines?symbol=ETHUSDT&interval=15m{limit}");
        let response = hand.ask("GET", &url, "");
        let used = response.headers.iter().find(|(name, _)| *name == "X-MBX-USED-WEIGHT-1M");
        let used: u64 = used.expect("the weight").1.parse().expect("a number");
        let before = used_before.replace(used).unwrap_or(used - weight);
        assert_eq!(used - before, weight, "{limit}");
    }
    let truth = market.candles("BTCUSDT", interval("15m"), 0, i64::MAX).expect("candles");
    assert_eq!(truth.len(), 2_501 + 1, "those before the start, the one it began in, and the running one");
    let (_, newest) = hand.get("/fapi/v1/klines?symbol=BTCUSDT&interval=15m");
    let rows = newest.as_array().expect("rows");
    assert_eq!(rows.len(), 500);
    for (row, candle) in rows.iter().zip(&truth[truth.len() - 500..]) {
        assert_eq!(of_row(row, candle), *candle);
    }
    let start_ms = truth[10].open_ms + 1;
    let end_ms = truth[13].open_ms;
    let url = format!("/fapi/v1/klines?symbol=BTCUSDT&interval=15m&startTime={start_ms}&endTime={end_ms}");
    let (_, page) = hand.get(&url);
    let opens: Vec<_> = page.as_array().expect("rows").iter().filter_map(|row| row[0].as_i64()).collect();
    assert_eq!(opens, truth[11..=13].iter().map(|candle| candle.open_ms).collect::<Vec<_>>());
    let (_, months) = hand.get("/fapi/v1/klines?symbol=BTCUSDT&interval=1M&limit=4");
    assert_eq!(months.as_array().map(Vec::len), Some(4));
}

#[test]
fn every_interval_adds_up_and_two_starts_agree_on_the_past() {
    for venue in [Venue::Binance, Venue::Hyperliquid] {
        let config = small(venue);
        let symbol = if venue == Venue::Binance { "ETHUSDT" } else { "ETH" };
        let at = |start_ms| MarketHandle::new(sim::Market::new(venue, &config, 5, start_ms));
        let (early, late) = (at(START_MS - 3 * 3_600_000 - 77_777), at(START_MS));
        let candles = |market: &MarketHandle, name: &str, from_ms, before_ms| {
            market.candles(symbol, interval(name), from_ms, before_ms).expect("candles")
        };
        let until_ms = START_MS - 4 * 3_600_000;
        for name in ["1m", "5m", "15m", "1h", "4h", "1d", "1w", "1M"] {
            let span_ms = 100 * interval(name).about_ms();
            let (one, other) = (
                candles(&early, name, until_ms - span_ms, until_ms),
                candles(&late, name, until_ms - span_ms, until_ms),
            );
            let ended = |all: &[TruthCandle]| -> Vec<TruthCandle> {
                all.iter().filter(|candle| candle.close_ms < until_ms).copied().collect()
            };
            assert_eq!(ended(&one), ended(&other), "{name}");
            assert!(ended(&one).len() >= 97, "{name}");
            assert!(one.windows(2).all(|pair| pair[0].close_ms + 1 == pair[1].open_ms));
        }
        for (long, short) in
            [("3m", "1m"), ("15m", "5m"), ("4h", "15m"), ("6h", "2h"), ("1d", "4h"), ("1w", "1d")]
        {
            for candle in candles(&late, long, START_MS - 5 * interval(long).about_ms(), START_MS) {
                let parts = candles(&late, short, candle.open_ms, candle.close_ms + 1);
                let parts: Vec<_> = parts.iter().filter(|part| part.trades > 0).collect();
                let (first, last) = (parts[0], parts[parts.len() - 1]);
                assert_eq!(
                    (candle.open_e8, candle.close_e8),
                    (first.open_e8, last.close_e8),
                    "{long} {candle:?}"
                );
                assert_eq!(Some(candle.high_e8), parts.iter().map(|part| part.high_e8).max());
                assert_eq!(Some(candle.low_e8), parts.iter().map(|part| part.low_e8).min());
                assert_eq!(candle.quote_e16, parts.iter().map(|part| part.quote_e16).sum::<i128>());
                assert_eq!(candle.volume_e8, parts.iter().map(|part| part.volume_e8).sum::<i128>());
                assert_eq!(candle.trades, parts.iter().map(|part| part.trades).sum::<u64>());
                assert_eq!(candle.first_trade_id, first.first_trade_id);
            }
        }
    }
}

#[test]
fn live_trades_go_on_from_the_past() {
    let (mut hand, market) = binance();
    let before = market.candles("BTCUSDT", interval("1m"), START_MS - 600_000, START_MS).expect("candles");
    hand.pass_in_steps(10_000, 5);
    let trades = market.trades("BTCUSDT").expect("trades");
    let last = before.iter().rfind(|candle| candle.close_ms < START_MS).expect("a minute");
    let off = (trades[0].price_e8 - last.close_e8).abs();
    assert!(off < last.close_e8 / 5_000, "{} after {}", trades[0].price_e8, last.close_e8);
    assert!(trades[0].first_trade_id > last.last_trade_id as u64);
    let hour = market.candles("BTCUSDT", interval("1h"), START_MS - 3_600_000, START_MS).expect("candles")[0];
    let minutes =
        market.candles("BTCUSDT", interval("1m"), hour.open_ms, hour.close_ms + 1).expect("candles");
    assert_eq!(hour.volume_e8, minutes.iter().map(|minute| minute.volume_e8).sum::<i128>());
    assert!(hour.closed && hour.last_trade_id >= trades[0].first_trade_id as i64, "both in one candle");
}

#[test]
fn hyperliquid_tells_candles_only_when_somebody_trades_and_never_their_end() {
    let config = HyperliquidConfig { market: small(Venue::Hyperliquid), ..HyperliquidConfig::default() };
    let (mut hand, market, counters) = hyperliquid_by_hand(&config, 5, START_MS);
    hand.open(1, "/ws");
    for name in ["1m", "15m", "1M"] {
        hand.subscribe(1, &format!(r#"{{"type":"candle","coin":"BTC","interval":"{name}"}}"#));
    }
    hand.pass_in_steps(190_000, 5);
    let mut last: BTreeMap<(String, i64), Value> = BTreeMap::new();
    for frame in hand.heard(1).into_iter().filter(|frame| frame["channel"] == "candle") {
        let data = &frame["data"];
        assert!(data.get("x").is_none() && data["n"].as_u64() > Some(0));
        assert_eq!(data["s"], "BTC");
        let key = (data["i"].as_str().expect("i").to_owned(), data["t"].as_i64().expect("t"));
        if let Some(before) = last.insert(key, data.clone()) {
            assert!(before["n"].as_u64() < data["n"].as_u64(), "a frame comes of a trade");
        }
    }
    assert_eq!(last.keys().filter(|(name, _)| name == "1m").count(), 5);
    for ((name, open_ms), data) in &last {
        let truth = market.candles("BTC", interval(name), *open_ms, open_ms + 1).expect("candles")[0];
        if truth.closed {
            assert_eq!(number(&data["c"]), truth.close_e8, "{data}");
            assert_eq!((scaled(&data["v"], 8), data["n"].as_u64()), (truth.volume_e8, Some(truth.trades)));
        }
    }

    let weight = |kind: &str| counters.snapshot().rest_weight_by_path.get(kind).copied().unwrap_or(0);
    let ask = |start: i64| {
        json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "15m", "startTime": start}})
            .to_string()
    };
    let (status, rows) = hand.info(&ask(START_MS - 119 * 900_000));
    let rows = rows.as_array().expect("rows").clone();
    assert_eq!((status, rows.len()), (200, 121), "the period the time lies in, to the running one");
    assert_eq!(weight("candleSnapshot"), 20 + 3);
    let truth = market.candles("BTC", interval("15m"), START_MS - 120 * 900_000, i64::MAX).expect("candles");
    for (row, candle) in rows.iter().zip(&truth) {
        assert_eq!(row["t"].as_i64(), Some(candle.open_ms));
        assert_eq!((number(&row["o"]), number(&row["h"])), (candle.open_e8, candle.high_e8));
        assert_eq!((scaled(&row["v"], 8), row["n"].as_u64()), (candle.volume_e8, Some(candle.trades)));
    }
    for (body, status) in [
        (r#"{"type":"candleSnapshot","req":{"coin":"BTC","interval":"15m","startTime":"7"}}"#, 422),
        (r#"{"type":"candleSnapshot","req":{"coin":"BTC","interval":"6h","startTime":7}}"#, 422),
        (r#"{"type":"candleSnapshot","req":{"coin":"NOPE","interval":"1h","startTime":7}}"#, 500),
        (r#"{"type":"candleSnapshot"}"#, 422),
    ] {
        assert_eq!(hand.info(body).0, status, "{body}");
    }
    let delisted = r#"{"type":"candleSnapshot","req":{"coin":"MATIC","interval":"1h","startTime":7}}"#;
    assert_eq!(hand.info(delisted), (200, json!([])));
}

#[test]
fn only_five_thousand_candles_exist_at_hyperliquid() {
    let market = MarketConfig { past_periods: 9_000, ..small(Venue::Hyperliquid) };
    let (mut hand, ..) =
        hyperliquid_by_hand(&HyperliquidConfig { market, ..HyperliquidConfig::default() }, 5, START_MS);
    for name in ["1m", "15m", "4h"] {
        let body = format!(
            r#"{{"type":"candleSnapshot","req":{{"coin":"ETH","interval":"{name}","startTime":0}}}}"#
        );
        let (_, rows) = hand.info(&body);
        assert_eq!(rows.as_array().map(Vec::len), Some(5_000), "{name}");
        assert_eq!(rows[4_999]["t"].as_i64(), Some(interval(name).open_of(START_MS)));
    }
}

#[test]
fn quiet_symbols_have_flat_candles_where_nothing_was_traded() {
    let market = MarketConfig { symbols: 160, rate_per_s: 0.0, ..small(Venue::Binance) };
    let (mut hand, market, _) =
        binance_by_hand(&BinanceConfig { market, ..BinanceConfig::default() }, 5, START_MS);
    let symbol = market.trading_symbols().pop().expect("a symbol");
    let (_, rows) = hand.get(&format!("/fapi/v1/klines?symbol={symbol}&interval=15m&limit=1500"));
    let rows = rows.as_array().expect("rows");
    let flat: Vec<usize> = (1..rows.len()).filter(|at| rows[*at][8] == 0).collect();
    assert!(flat.len() > 5, "{}", flat.len());
    for at in flat {
        for place in 1..=4 {
            assert_eq!(rows[at][place], rows[at - 1][4], "the close before");
        }
        assert_eq!(scaled(&rows[at][5], 8), 0);
    }
}

/// Not a benchmark: only that nobody pays for the past twice.
#[test]
fn the_past_of_two_hundred_symbols_is_cheap() {
    let market = MarketConfig { symbols: 201, rate_per_s: 0.0, ..small(Venue::Binance) };
    let config = BinanceConfig { market, enforce_limits: false, ..BinanceConfig::default() };
    let (mut hand, market, _) = binance_by_hand(&config, 5, START_MS);
    let begun = Instant::now();
    let mut rows = 0;
    for symbol in market.trading_symbols() {
        for name in ["15m", "1h", "4h"] {
            let url = format!("/fapi/v1/klines?symbol={symbol}&interval={name}&limit=1500");
            rows += hand.ask("GET", &url, "").body.iter().filter(|byte| **byte == b'[').count() - 1;
        }
    }
    println!("{rows} rows in {:?}", begun.elapsed());
    assert_eq!(rows, 200 * 3 * 1_500);
    assert!(begun.elapsed().as_secs() < 60);
}
