//! Candles of captures: folded from captured trades, played as they were captured, and their final values.

mod common;

use common::{Client, PATIENCE, agent, captured, fixture, get, number, post, scaled};
use serde_json::{Value, json};
use sim::{Config, KeyOrder, PlaybackConfig, Sim, TruthCandle};
use std::collections::BTreeMap;

const BTCUSDT: &str = "binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz";
const BTCUSDT_KLINES: &str = "binance_usdm/btcusdt_klines_1m_20240808.csv";
const FOUR: &str = "binance_usdm/four_symbols_all_streams_20210722.txt.gz";
const ETH: &str = "hyperliquid/eth_candle_1m_20250214_00-06.txt.gz";
/// The capture begins within a minute and ends within another; these are whole.
const FIRST_MS: i64 = 1_723_161_300_000;
const WHOLE: usize = 5;

/// Reads klines off a connection until it has been silent, or so many have closed.
fn closed(client: &mut Client, count: usize) -> Vec<Value> {
    let mut closed = Vec::new();
    while closed.len() < count {
        let event = client.next_json();
        if event["k"]["x"] == true {
            closed.push(event["k"].clone());
        }
    }
    closed
}

#[test]
fn candles_folded_from_the_capture_are_the_venues_own() {
    let (Some(path), Some(csv)) = (fixture(BTCUSDT), fixture(BTCUSDT_KLINES)) else { return };
    let csv = std::fs::read_to_string(csv).expect("the venue's candles");
    let own: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let own = own.iter().filter(|row| row[0].parse::<i64>().is_ok_and(|open_ms| open_ms >= FIRST_MS));
    let own: Vec<&Vec<&str>> = own.take(WHOLE).collect();
    let mut config = Config::default();
    config.binance.playback = Some(PlaybackConfig::at_full_speed(path, 1));
    let sim = Sim::start(config).expect("a simulation");
    let venue = sim.binance();
    let mut client = Client::connect(&sim, &format!("{}/market/ws/btcusdt@kline_1m", venue.ws_url()));
    let told = closed(&mut client, WHOLE);
    assert!(venue.playback().expect("a playback").wait_ended(PATIENCE));
    let url = format!("{}/fapi/v1/klines?symbol=BTCUSDT&interval=1m", venue.rest_url());
    let (status, rows) = get(&agent(&sim), &url);
    let rows = rows.as_array().expect("rows").clone();
    assert_eq!((status, rows.len()), (200, WHOLE + 1), "the whole minutes, and the one the capture ends in");
    for ((own, told), row) in own.iter().zip(&told).zip(&rows) {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let row: Vec<String> = row.as_array().expect("a row").iter().map(text).collect();
        assert_eq!(row, **own);
        for (at, name) in ["t", "o", "h", "l", "c", "v", "T", "q", "n", "V", "Q"].into_iter().enumerate() {
            assert_eq!(text(&told[name]), own[at], "{name} of {told}");
        }
    }
    let truth = venue.candles("BTCUSDT", "1m", 0, i64::MAX).expect("the truth");
    assert_eq!(truth.len(), WHOLE);
    assert!(truth.iter().zip(&rows).all(|(truth, row)| truth.quote_e16 == scaled(&row[7], 16)));
    assert_eq!(venue.candles("BTCUSDT", "3m", 0, i64::MAX).expect("the truth").len(), 1);
    assert!(venue.candles("BTCUSDT", "7m", 0, 1).is_err());
}

#[test]
fn captured_candles_are_played_as_they_are() {
    let Some(path) = fixture(FOUR) else { return };
    let lines = captured(&path);
    let expected: Vec<&String> = lines.iter().filter(|line| line.contains("@kline_1m\"")).collect();
    let mut config = Config::default();
    config.binance.playback = Some(PlaybackConfig::at_full_speed(path, 4));
    let sim = Sim::start(config).expect("a simulation");
    let venue = sim.binance();
    let names = ["sushi", "akro", "keep", "ctk"].map(|name| format!("{name}usdt@kline_1m"));
    let url = format!("{}/market/stream?streams={}", venue.ws_url(), names.join("/"));
    let mut client = Client::connect(&sim, &url);
    for expected in &expected {
        assert_eq!(client.next_text().as_ref(), Some(*expected));
    }
    assert!(venue.playback().expect("a playback").wait_ended(PATIENCE));
    let mut last: BTreeMap<(String, i64), Value> = BTreeMap::new();
    for line in expected {
        let k = serde_json::from_str::<Value>(line).expect("JSON")["data"]["k"].clone();
        last.insert((k["s"].as_str().expect("s").to_owned(), k["t"].as_i64().expect("t")), k);
    }
    assert_eq!(last.values().filter(|k| k["x"] == true).count(), 4);
    let agent = agent(&sim);
    for symbol in ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"] {
        let url = format!("{}/fapi/v1/klines?symbol={symbol}&interval=1m", venue.rest_url());
        let (_, rows) = get(&agent, &url);
        let rows = rows.as_array().expect("rows").clone();
        assert_eq!(rows.len(), last.keys().filter(|(of, _)| of == symbol).count());
        for row in rows {
            let k = &last[&(symbol.to_owned(), row[0].as_i64().expect("t"))];
            let told = ["o", "h", "l", "c", "v", "T", "q", "n", "V", "Q"].map(|name| k[name].clone());
            assert_eq!(row.as_array().expect("a row")[1..11], told);
        }
        let truth = venue.candles(symbol, "1m", 0, i64::MAX).expect("the truth");
        assert_eq!(truth.len(), 1, "the one that closed");
    }
}

#[test]
fn hyperliquid_candles_are_played_word_for_word_and_end_with_more_than_was_shown() {
    let Some(path) = fixture(ETH) else { return };
    let lines = captured(&path);
    assert_eq!(lines.len(), 11_353);
    let mut config = Config::default();
    config.hyperliquid.key_order = KeyOrder::Alphabetical;
    config.hyperliquid.playback = Some(PlaybackConfig::at_full_speed(path, 1));
    let sim = Sim::start(config).expect("a simulation");
    let venue = sim.hyperliquid();
    let truth = venue.candles("ETH", "1m", 0, i64::MAX).expect("the truth");
    assert_eq!(truth.len(), 360, "all but the one the capture ends in");
    let url = format!("{}/info", venue.rest_url());
    let ask = |start: i64| json!({"type": "candleSnapshot", "req": {"coin": "ETH", "interval": "1m", "startTime": start}});
    let agent = agent(&sim);
    assert_eq!(post(&agent, &url, &ask(0).to_string()), (200, json!([])), "nothing has been played");

    let mut client = Client::connect(&sim, &venue.ws_url());
    client.send(r#"{"method":"subscribe","subscription":{"type":"candle","coin":"ETH","interval":"1m"}}"#);
    assert_eq!(client.next_json()["channel"], "subscriptionResponse");
    let mut last: BTreeMap<i64, Value> = BTreeMap::new();
    for line in &lines {
        let text = client.next_text().expect("a frame");
        assert_eq!(text, *line);
        let data = serde_json::from_str::<Value>(&text).expect("JSON")["data"].clone();
        last.insert(data["t"].as_i64().expect("t"), data);
    }
    assert!(venue.playback().expect("a playback").wait_ended(PATIENCE));
    let rows = post(&agent, &url, &ask(0).to_string()).1.as_array().expect("rows").clone();
    assert_eq!(rows.len(), 361);
    let (mut more, mut closes) = (0, 0);
    for (row, truth) in rows.iter().zip(&truth) {
        let shown = &last[&truth.open_ms];
        assert_eq!(told(row), seen(truth));
        assert!(truth.closed && scaled(&shown["v"], 8) <= truth.volume_e8);
        more += usize::from(shown["n"].as_u64() < Some(truth.trades));
        closes += usize::from(number(&shown["c"]) != truth.close_e8);
    }
    assert!((100..200).contains(&more) && (50..150).contains(&closes), "{more} {closes}");
    assert_eq!(rows[360], last[&rows[360]["t"].as_i64().expect("t")], "the running one is as it was shown");
    let from_ms = truth[300].open_ms + 5;
    let rows = post(&agent, &url, &ask(from_ms).to_string()).1;
    assert_eq!((rows.as_array().map(Vec::len), rows[0]["t"].as_i64()), (Some(61), Some(truth[300].open_ms)));
    assert_eq!(venue.counters().rest_weight_by_path["candleSnapshot"], 20 + (20 + 7) + (20 + 2));
}

fn told(row: &Value) -> (i64, [i64; 4], i128, u64) {
    let prices = ["o", "h", "l", "c"].map(|name| number(&row[name]));
    (row["t"].as_i64().expect("t"), prices, scaled(&row["v"], 8), row["n"].as_u64().expect("n"))
}

fn seen(truth: &TruthCandle) -> (i64, [i64; 4], i128, u64) {
    let prices = [truth.open_e8, truth.high_e8, truth.low_e8, truth.close_e8];
    (truth.open_ms, prices, truth.volume_e8, truth.trades)
}
