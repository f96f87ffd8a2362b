//! Captures played back over real sockets: every message, in order, word for word where it must be.

mod common;

use common::{Client, NaiveBook, PATIENCE, agent, captured, fixture, get, number, post};
use serde_json::{Value, json};
use sim::{Config, PlaybackConfig, Sim, Speed, StartWhen};
use std::collections::HashMap;
use std::path::PathBuf;

const BTCUSDT: &str = "binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz";
const FOUR: &str = "binance_usdm/four_symbols_all_streams_20210722.txt.gz";
const HYPERLIQUID: &str = "hyperliquid/btc_l2book_trades_20250126.txt.gz";

fn binance(path: PathBuf, subscriptions: usize) -> Sim {
    let mut config = Config::default();
    config.binance.playback = Some(PlaybackConfig::at_full_speed(path, subscriptions));
    Sim::start(config).expect("a simulation")
}

fn texts(client: &mut Client, count: usize) -> Vec<String> {
    (0..count).map(|at| client.next_text().unwrap_or_else(|| panic!("no message {at} of {count}"))).collect()
}

#[test]
fn the_btcusdt_capture_arrives_whole_and_its_book_joins() {
    let Some(path) = fixture(BTCUSDT) else { return };
    let lines = captured(&path);
    assert_eq!(lines.len(), 93_954);
    let kind = |name: &str| {
        lines.iter().filter(|line| line.starts_with(&format!("{{\"stream\":\"{name}\""))).count()
    };
    let (depths, tickers, trades) =
        (kind("btcusdt@depth@0ms"), kind("btcusdt@bookTicker"), kind("btcusdt@trade"));
    assert_eq!(depths + tickers + trades + 1, lines.len());

    let sim = binance(path, 3);
    let (ws, rest) = (sim.binance().ws_url(), sim.binance().rest_url());
    let agent = agent(&sim);
    // Asked for before the playback has even begun: held back until its place comes.
    let url = format!("{rest}/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    let asked = {
        let agent = agent.clone();
        std::thread::spawn(move || get(&agent, &url))
    };
    assert!(sim.binance().wait_until(PATIENCE, |counters| counters.rest_requests == 1));
    assert!(!sim.binance().playback().expect("a playback").has_started());

    let mut market = Client::connect(&sim, &format!("{ws}/market/ws/btcusdt@aggTrade"));
    let mut public =
        Client::connect(&sim, &format!("{ws}/public/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker"));
    let aggregates = std::thread::spawn(move || texts(&mut market, trades));
    let got = texts(&mut public, depths + tickers);
    let expected: Vec<String> = lines
        .iter()
        .filter(|line| {
            line.starts_with("{\"stream\":\"btcusdt@depth") || line.contains("\"e\":\"bookTicker\"")
        })
        .map(|line| line.replacen("\"btcusdt@depth@0ms\"", "\"btcusdt@depth@100ms\"", 1))
        .collect();
    assert_eq!(got.len(), expected.len());
    for (got, expected) in got.iter().zip(&expected) {
        assert_eq!(got, expected);
    }

    let aggregates = aggregates.join().expect("the trades");
    let recorded = lines.iter().filter(|line| line.contains("\"e\":\"trade\""));
    let mut last_id = None;
    for (aggregate, recorded) in aggregates.iter().zip(recorded) {
        let parse = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
        let (aggregate, recorded) = (parse(aggregate), &parse(recorded)["data"]);
        for (name, of) in
            [("a", "t"), ("f", "t"), ("l", "t"), ("p", "p"), ("q", "q"), ("nq", "q"), ("m", "m")]
        {
            assert_eq!(aggregate[name], recorded[of]);
        }
        assert_eq!((&aggregate["T"], &aggregate["E"]), (&recorded["T"], &recorded["E"]));
        let id = aggregate["a"].as_u64();
        assert!(last_id.is_none_or(|last: u64| id == Some(last + 1)), "trade ids have no hole");
        last_id = id;
    }

    let (status, snapshot) = asked.join().expect("the snapshot");
    assert_eq!((status, snapshot["lastUpdateId"].as_u64()), (200, Some(5_123_107_852_948)));
    assert_eq!(snapshot["bids"].as_array().map(Vec::len), Some(1000));
    let joined = join(&got, &snapshot);
    assert!(joined > 6_000, "{joined} events applied");
    let playback = sim.binance().playback().expect("a playback");
    assert!(playback.wait_ended(PATIENCE));
    assert_eq!((playback.played(), playback.unclaimed()), (93_954, 0));

    let from = last_id.expect("trades") - 4;
    let (_, rows) = get(&agent, &format!("{rest}/fapi/v1/aggTrades?symbol=BTCUSDT&fromId={from}"));
    let ids: Vec<_> = rows.as_array().expect("rows").iter().filter_map(|row| row["a"].as_u64()).collect();
    assert_eq!(ids, (from..from + 5).collect::<Vec<_>>());
    let (_, info) = get(&agent, &format!("{rest}/fapi/v1/exchangeInfo"));
    assert_eq!(info["symbols"][0]["filters"][0]["tickSize"], "0.10");
    let (_, again) = get(&agent, &format!("{rest}/fapi/v1/depth?symbol=BTCUSDT&limit=5"));
    assert_eq!(again["bids"].as_array().map(Vec::len), Some(5));
}

/// Follows the venue's procedure; the book's top must equal the quotes wherever their ids meet.
fn join(texts: &[String], snapshot: &Value) -> usize {
    let snapshot_id = snapshot["lastUpdateId"].as_u64();
    let (mut book, mut last, mut applied) = (NaiveBook::from_snapshot(snapshot), None, 0);
    let mut quotes = HashMap::new();
    for text in texts {
        let message: Value = serde_json::from_str(text).expect("JSON");
        let data = &message["data"];
        if data["e"] == "bookTicker" {
            let pair = |price: &str, size: &str| Some((number(&data[price]), number(&data[size])));
            quotes.insert(data["u"].as_u64(), (pair("b", "B"), pair("a", "A")));
            continue;
        }
        let (until, previous) = (data["u"].as_u64(), data["pu"].as_u64());
        if until < snapshot_id {
            continue;
        }
        assert!(if applied == 0 { previous <= snapshot_id } else { previous == last }, "the chain holds");
        book.apply(&data["b"], &data["a"]);
        (last, applied) = (until, applied + 1);
        if let Some(quote) = quotes.get(&until) {
            assert_eq!(book.best(), *quote, "at {until:?}");
        }
    }
    applied
}

#[test]
fn four_symbols_arrive_by_both_doors_with_their_snapshots() {
    let Some(path) = fixture(FOUR) else { return };
    let lines = captured(&path);
    let sim = binance(path, 16);
    let (ws, rest) = (sim.binance().ws_url(), sim.binance().rest_url());
    let symbols = ["SUSHI", "AKRO", "KEEP", "CTK"];
    let names = |kinds: &[&str]| {
        let of = |symbol: &&str| {
            kinds.iter().map(|kind| format!("{}usdt@{kind}", symbol.to_lowercase())).collect::<Vec<_>>()
        };
        symbols.iter().flat_map(of).collect::<Vec<_>>()
    };
    let (public_names, market_names) =
        (names(&["depth@100ms", "bookTicker"]), names(&["aggTrade", "kline_1m"]));
    let expected = |names: &[String]| -> Vec<String> {
        let begins: Vec<String> = names.iter().map(|name| format!("{{\"stream\":\"{name}\"")).collect();
        lines.iter().filter(|line| begins.iter().any(|begin| line.starts_with(begin))).cloned().collect()
    };
    let (public_lines, market_lines) = (expected(&public_names), expected(&market_names));
    let agent = agent(&sim);
    let (_, info) = get(&agent, &format!("{rest}/fapi/v1/exchangeInfo"));
    assert_eq!(info["symbols"].as_array().map(Vec::len), Some(122), "the recorded one, at once");

    let mut public = Client::connect(&sim, &format!("{ws}/public/stream?streams={}", public_names.join("/")));
    let mut market = Client::connect(&sim, &format!("{ws}/market/stream?streams={}", market_names.join("/")));
    let market = std::thread::spawn(move || texts(&mut market, market_lines.len()) == market_lines);
    let snapshots: Vec<_> = symbols
        .map(|symbol| {
            let (agent, url) =
                (agent.clone(), format!("{rest}/fapi/v1/depth?symbol={symbol}USDT&limit=1000"));
            std::thread::spawn(move || get(&agent, &url).1)
        })
        .into_iter()
        .collect();
    let got = texts(&mut public, public_lines.len());
    assert_eq!(got, public_lines);
    assert!(market.join().expect("the market door"));
    assert_eq!(lines.iter().filter(|line| line.contains("\"x\":true")).count(), 4);
    for (symbol, snapshot) in symbols.iter().zip(snapshots) {
        let snapshot = snapshot.join().expect("a snapshot");
        let own: Vec<String> =
            got.iter().filter(|text| text.contains(&format!("\"s\":\"{symbol}USDT\""))).cloned().collect();
        assert!(join(&own, &snapshot) > 50, "{symbol}");
    }
    assert!(sim.binance().playback().expect("a playback").wait_ended(PATIENCE));
    let market = sim.binance().market();
    assert!(
        market.truth_at_time("SUSHIUSDT", market.now_ms()).is_err(),
        "there is no model behind a capture"
    );
}

#[test]
fn the_hyperliquid_capture_arrives_word_for_word_at_its_own_pace() {
    let Some(path) = fixture(HYPERLIQUID) else { return };
    let lines = captured(&path);
    assert_eq!(lines.len(), 55);
    let mut config = Config::default();
    config.hyperliquid.playback = Some(PlaybackConfig {
        path,
        speed: Speed::Times(50.0),
        start: StartWhen::Subscribed(vec!["l2Book:BTC".to_owned(), "trades:BTC".to_owned()]),
        pause_at_rest: false,
    });
    let sim = Sim::start(config).expect("a simulation");
    let mut client = Client::connect(&sim, &sim.hyperliquid().ws_url());
    let mut fast = Client::connect(&sim, &sim.hyperliquid().ws_url());
    fast.send(r#"{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","fast":true}}"#);
    for kind in ["l2Book", "trades"] {
        client.send(&format!(r#"{{"method":"subscribe","subscription":{{"type":"{kind}","coin":"BTC"}}}}"#));
    }
    let got: Vec<String> =
        texts(&mut client, 57).into_iter().filter(|text| !text.contains("subscriptionResponse")).collect();
    assert_eq!(got, lines);
    assert!(sim.hyperliquid().playback().expect("a playback").wait_ended(PATIENCE));
    assert_eq!(fast.next_json()["channel"], "subscriptionResponse");
    fast.send(r#"{"method":"ping"}"#);
    assert_eq!(fast.next_json(), json!({"channel": "pong"}), "a recorded book is not a fast one");
    let url = format!("{}/info", sim.hyperliquid().rest_url());
    let (_, meta) = post(&agent(&sim), &url, r#"{"type":"meta"}"#);
    assert_eq!(
        meta["universe"][0],
        json!({"szDecimals": 5, "name": "BTC", "maxLeverage": 40, "marginTableId": 56})
    );
    let (_, book) = post(&agent(&sim), &url, r#"{"type":"l2Book","coin":"BTC"}"#);
    assert_eq!(book["levels"][0].as_array().map(Vec::len), Some(20));
}

#[test]
fn a_playback_waits_for_its_command() {
    let Some(path) = fixture(HYPERLIQUID) else { return };
    let mut config = Config::default();
    config.hyperliquid.playback =
        Some(PlaybackConfig { start: StartWhen::Command, ..PlaybackConfig::at_full_speed(path, 0) });
    let sim = Sim::start(config).expect("a simulation");
    let playback = sim.hyperliquid().playback().expect("a playback");
    assert!(!playback.wait_ended(std::time::Duration::from_millis(100)) && !playback.has_started());
    sim.hyperliquid().start_playback().expect("a start");
    assert!(playback.wait_ended(PATIENCE));
    assert_eq!((playback.played(), playback.unclaimed()), (55, 55));
    assert!(sim.binance().start_playback().is_err());
}
