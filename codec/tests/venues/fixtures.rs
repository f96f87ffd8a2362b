//! Captured messages: every one decodes to what the oracle reads, the hot ones by the scanner.

use crate::check::{Bench, Venue};
use codec::venues::{binance, hyperliquid};
use codec::words::Interval;
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
    let frames: Vec<_> = lines(&text).filter(|json| json.starts_with(r#"{"stream""#)).collect();
    for json in &frames {
        bench.check(Venue::Binance, json.as_bytes());
    }
    assert_eq!((bench.accepted, bench.refused, bench.binance.fallbacks()), (frames.len(), 0, 0));

    let (mut candles, mut closed) = (0, Vec::new());
    for json in frames {
        let Ok(binance::Message::Kline(kline)) = bench.binance.decode(json.as_bytes()) else { continue };
        let candle = kline.row.candle.expect("every value fits");
        assert_eq!((kline.interval, kline.row.end_ms), (Some(Interval::M1), candle.start_ms + 59_999));
        assert!(candle.low <= candle.open.min(candle.close) && candle.open.max(candle.close) <= candle.high);
        candles += 1;
        if kline.closed {
            closed.push((kline.symbol.to_owned(), candle.start_ms));
        }
    }
    closed.sort();
    let minute = 1_626_992_700_000;
    let symbols = ["AKROUSDT", "CTKUSDT", "KEEPUSDT", "SUSHIUSDT"];
    assert_eq!((candles, closed), (67, symbols.map(|symbol| (symbol.to_owned(), minute)).to_vec()));
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
        let hot = [
            "l2Book\",\"data",
            "bbo\",\"data",
            "trades\",\"data",
            "candle\",\"data",
            "activeAssetCtx\",\"data",
            "pong\"}",
        ];
        assert_eq!(
            bench.hyperliquid.fallbacks() == before,
            hot.iter().any(|channel| json.contains(&format!("{{\"channel\":\"{channel}"))),
            "{json}"
        );
    }
    assert_eq!(bench.refused, 0);
}

/// Six hours of one coin's minutes: what a frame is like, and in which order they come.
#[test]
fn eth_candle_capture() {
    let Some(text) = read("hyperliquid/eth_candle_1m_20250214_00-06.txt.gz") else { return };
    let mut bench = Bench::new();
    for json in lines(&text) {
        bench.check(Venue::Hyperliquid, json.as_bytes());
    }
    assert_eq!((bench.accepted, bench.refused, bench.hyperliquid.fallbacks()), (11_353, 0, 0));

    let (mut minutes, mut before) = (0, None);
    for json in lines(&text) {
        let decoded = bench.hyperliquid.decode(json.as_bytes());
        let Ok(hyperliquid::Message::Candles([frame])) = decoded else { panic!("{decoded:?}") };
        let candle = frame.row.candle.expect("every value fits");
        assert_eq!((frame.coin, frame.interval), ("ETH", Some(Interval::M1)));
        assert_eq!(frame.row.end_ms, candle.start_ms + 59_999);
        match before {
            // Every frame of a minute has more trades than the one before.
            Some((start_ms, num_trades)) if start_ms == candle.start_ms => {
                assert!(num_trades < candle.num_trades);
            }
            // No minute is left out, and none is told of again once the next has begun.
            Some((start_ms, _)) => {
                assert_eq!(candle.start_ms, start_ms + 60_000);
                minutes += 1;
            }
            None => minutes += 1,
        }
        before = Some((candle.start_ms, candle.num_trades));
    }
    assert_eq!(minutes, 361);
}
