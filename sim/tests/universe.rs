//! Many symbols over much virtual time, by hand: cheap, and true to the end.

mod common;

use common::{number, scaled};
use serde_json::Value;
use sim::protocol::ControlFrame;
use sim::{ByHand, Config, Heard};
use std::collections::BTreeMap;
use std::time::Instant;

const START_MS: i64 = 1_790_000_000_000;
const HOUR_MS: i64 = 3_600_000;
/// Streams of one Binance connection.
const PER_CONNECTION: usize = 1_000;

/// Runs both venues with all their symbols for some hours, a second at a time; returns the frames heard.
fn run(binance: usize, hyperliquid: usize, hours: i64) -> u64 {
    let begun = Instant::now();
    let config = Config::universe(binance, hyperliquid);
    let mut one = ByHand::binance(&config, START_MS).expect("Binance");
    let mut other = ByHand::hyperliquid(&config, START_MS).expect("Hyperliquid");
    let symbols = one.market().trading_symbols();
    let names = |kinds: &[&str]| -> Vec<String> {
        let of = |symbol: &String| {
            kinds.iter().map(|kind| format!("{}@{kind}", symbol.to_lowercase())).collect::<Vec<_>>()
        };
        symbols.iter().flat_map(of).collect()
    };
    let public = names(&["depth@100ms", "bookTicker"]);
    let market = names(&["aggTrade", "markPrice@1s", "kline_15m", "kline_1h", "kline_4h"]);
    let doors = [("public", public), ("market", market)].map(|(route, names)| {
        let urls =
            names.chunks(PER_CONNECTION).map(|chunk| format!("/{route}/stream?streams={}", chunk.join("/")));
        urls.collect::<Vec<_>>()
    });
    let open = |venue: &mut ByHand<sim::Binance>| {
        for url in doors.iter().flatten() {
            venue.open(url).expect("an open door");
        }
    };
    open(&mut one);
    let connection = other.open("/ws").expect("an open door");
    let subscribe =
        |subscription: String| format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#);
    for coin in other.market().trading_symbols() {
        for kind in [r#""l2Book""#, r#""l2Book","fast":true"#, r#""trades""#, r#""candle","interval":"15m""#]
        {
            other.say(connection, &subscribe(format!(r#"{{"type":{kind},"coin":"{coin}"}}"#)));
        }
    }
    other.say(connection, &subscribe(r#"{"type":"allDexsAssetCtxs"}"#.to_owned()));
    let (mut frames, mut closed, mut last_hour) = (0u64, BTreeMap::new(), Vec::new());
    for second in 1..=hours * 3_600 {
        let now_ms = START_MS + second * 1_000;
        one.pass_to(now_ms);
        other.pass_to(now_ms);
        if second % 30 == 0 {
            other.say(connection, r#"{"method":"ping"}"#);
        }
        let mut aged = false;
        let all: Vec<Heard> = one.drain_heard().chain(other.drain_heard()).collect();
        for heard in all {
            match heard {
                Heard::Text(_, text) => {
                    frames += 1;
                    if text.contains("\"x\":true") {
                        *closed.entry(text.contains("\"i\":\"15m\"")).or_insert(0u64) += 1;
                        if text.contains("\"i\":\"1h\"") && second > (hours - 1) * 3_600 {
                            last_hour.push(text.to_string());
                        }
                    }
                }
                Heard::Closed(_, 1000, _) => aged = true,
                // Hyperliquid pings nobody.
                Heard::Ping(from, payload) => assert!(one.send_control(from, ControlFrame::Pong(payload))),
                Heard::Answer(..) => {}
                other => panic!("{other:?}"),
            }
        }
        if aged {
            open(&mut one);
        }
    }
    println!("{frames} frames of {binance} + {hyperliquid} symbols, {hours} hours, in {:?}", begun.elapsed());
    let quarters = closed.get(&true).copied().unwrap_or(0);
    assert_eq!(quarters, 4 * hours as u64 * symbols.len() as u64);
    assert_eq!(last_hour.len(), symbols.len());
    for text in last_hour {
        let event: Value = serde_json::from_str(&text).expect("JSON");
        let k = &event["data"]["k"];
        let (symbol, open_ms) = (k["s"].as_str().expect("s"), k["t"].as_i64().expect("t"));
        let truth = one.candles(symbol, "1h", open_ms, open_ms + HOUR_MS).expect("candles")[0];
        assert_eq!((number(&k["c"]), scaled(&k["q"], 16)), (truth.close_e8, truth.quote_e16));
    }
    assert_eq!(one.counters().limit_violations_total() + other.counters().limit_violations_total(), 0);
    frames
}

#[test]
fn a_big_universe_by_hand() {
    assert!(run(200, 60, 3) > 20_000);
}

/// Two days of all symbols: `cargo test -p sim --test universe -- --ignored --nocapture` says how long it took.
#[test]
#[ignore = "a minute of its own"]
fn two_days_of_all_symbols_by_hand() {
    assert!(run(800, 240, 48) > 1_000_000);
}
