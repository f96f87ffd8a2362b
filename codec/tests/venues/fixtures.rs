//! Captured messages: every one decodes to what the oracle reads, the hot ones by the scanner.

use crate::check::{Bench, Venue};
use flate2::read::GzDecoder;
use std::io::Read;
use std::path::PathBuf;

/// A fixture's text; `None`, with a word about it, where the captures are absent.
pub fn read(name: &str) -> Option<String> {
    let folder = std::env::var_os("SLIPSTREAM_FIXTURES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures")),
        PathBuf::from,
    );
    let path = folder.join(name);
    let Ok(bytes) = std::fs::read(&path) else {
        eprintln!("skipped: no capture at {}", path.display());
        return None;
    };
    if !name.ends_with(".gz") {
        return Some(String::from_utf8(bytes).expect("a fixture is text"));
    }
    let mut text = String::new();
    GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("a fixture is sound");
    Some(text)
}

/// The JSON of a capture's lines: `RECV_NS JSON`, or JSON alone.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty()).map(|line| match line.split_once(' ') {
        Some((time, json)) if time.bytes().all(|byte| byte.is_ascii_digit()) => json,
        _ => line,
    })
}

#[test]
fn btcusdt_capture() {
    let Some(text) = read("binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz") else { return };
    let mut bench = Bench::new();
    for json in lines(&text).filter(|json| json.starts_with(r#"{"stream""#)) {
        bench.check(Venue::Binance, json.as_bytes());
    }
    assert_eq!((bench.accepted, bench.refused), (93_953, 0));
    assert_eq!(bench.binance.fallbacks(), 0);
}

#[test]
fn four_symbols_capture() {
    let Some(text) = read("binance_usdm/four_symbols_all_streams_20210722.txt.gz") else { return };
    let mut bench = Bench::new();
    let (klines, hot): (Vec<_>, Vec<_>) = lines(&text)
        .filter(|json| json.starts_with(r#"{"stream""#))
        .partition(|json| json.contains("@kline"));
    for json in &hot {
        bench.check(Venue::Binance, json.as_bytes());
    }
    assert_eq!((bench.accepted, bench.refused, bench.binance.fallbacks()), (hot.len(), 0, 0));
    for json in &klines {
        bench.check(Venue::Binance, json.as_bytes());
    }
    assert_eq!(bench.accepted, hot.len() + klines.len());
}

#[test]
fn binance_wire_of_2026() {
    let Some(text) = read("binance_usdm/wire_2026_09.jsonl") else { return };
    let mut bench = Bench::new();
    for json in lines(&text) {
        let before = bench.binance.fallbacks();
        bench.check(Venue::Binance, json.as_bytes());
        let hot = ["bookTicker", "depthUpdate", "aggTrade"].iter().any(|event| json.contains(event));
        assert_eq!(bench.binance.fallbacks() == before, hot, "{json}");
    }
    assert_eq!(bench.refused, 0);
}

#[test]
fn hyperliquid_captures() {
    let Some(text) = read("hyperliquid/btc_l2book_trades_20250126.txt.gz") else { return };
    let mut bench = Bench::new();
    for json in lines(&text) {
        bench.check(Venue::Hyperliquid, json.as_bytes());
    }
    assert_eq!((bench.accepted, bench.refused, bench.hyperliquid.fallbacks()), (55, 0, 0));
    let Some(text) = read("hyperliquid/wire_2026_09.jsonl") else { return };
    for json in lines(&text) {
        let before = bench.hyperliquid.fallbacks();
        bench.check(Venue::Hyperliquid, json.as_bytes());
        let hot = ["l2Book\",\"data", "bbo\",\"data", "trades\",\"data", "pong\"}"];
        assert_eq!(
            bench.hyperliquid.fallbacks() == before,
            hot.iter().any(|channel| json.contains(&format!("{{\"channel\":\"{channel}"))),
            "{json}"
        );
    }
    let Some(text) = read("hyperliquid/eth_candle_1m_20250214_00-06.txt.gz") else { return };
    for json in lines(&text).step_by(50) {
        bench.check(Venue::Hyperliquid, json.as_bytes());
    }
    assert_eq!(bench.refused, 0);
}
