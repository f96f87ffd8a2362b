//! What the tests of candles share.

use super::{BTC, Bench, Peer, get};
use codec::candle::Candle;
use codec::decimal::{Price, Size};
use codec::record::flags;
use codec::words::Interval;
use ipc::CandleHistory;
use slipstream_client::{Request, Value, request};

pub const HOUR_S: u64 = 3600;
/// The hour in which the tests begin; a multiple of four hours, and of a quarter of an hour.
pub const NOW_S: u64 = 1_700_006_400;
pub const HISTORY: u8 = flags::BACKFILL | flags::SNAPSHOT;

pub fn price(value: u64) -> Price {
    Price::from_raw(value as i64 * 100_000_000)
}

/// A candle of the period that starts at `start_s`, telling itself apart by its close.
pub fn candle(start_s: u64, close: u64) -> Candle {
    let mut candle = Candle::of_trade(start_s * 1000, price(close + 1), Size::from_raw(150_000_000));
    candle.add_trade(price(close), Size::from_raw(50_000_000));
    candle
}

/// `count` candles that end with the one before `until_s`; each closes at its place from the end.
pub fn past(interval_s: u64, until_s: u64, count: u64) -> Vec<Candle> {
    (1..=count).rev().map(|back| candle(until_s - back * interval_s, 1000 - back % 1000)).collect()
}

pub fn binance(kind: &str) -> Request {
    request(kind).venue("binance").symbol("BTCUSDT")
}

pub fn candles(interval: &str, count: u64) -> Request {
    binance("get_candles").with("interval", interval).with("count", count)
}

pub fn batch(symbols: &[&str], interval: &str, count: u64, layout: &str) -> Request {
    let symbols = symbols.iter().map(|symbol| Value::from(*symbol)).collect();
    request("get_candles_batch")
        .venue("binance")
        .with("symbols", Value::Array(symbols))
        .with("interval", interval)
        .with("count", count)
        .with("layout", layout)
}

pub fn subscribe(interval: &str) -> Request {
    binance("subscribe_candles").with("interval", interval)
}

pub trait Feeding {
    fn at(&mut self, wall_s: u64);
    fn history(&mut self, instrument: u32, interval: Interval, candles: Vec<Candle>, complete: bool);
    fn put(&mut self, interval: Interval, candle: Candle, closed: bool, revised: bool, flags: u8);
    fn figure(&self, name: &str) -> u64;
}

impl Feeding for Bench {
    fn at(&mut self, wall_s: u64) {
        self.records.now.wall_ns = wall_s * 1_000_000_000;
    }

    fn history(&mut self, instrument: u32, interval: Interval, candles: Vec<Candle>, complete: bool) {
        let item = CandleHistory { instrument, interval, candles: candles.into(), complete };
        self.core.on_history(item, self.records.now);
    }

    fn put(&mut self, interval: Interval, candle: Candle, closed: bool, revised: bool, flags: u8) {
        let body = candle.body(interval, closed, revised);
        self.feed(|records| records.candle_of(BTC, &body, flags));
    }

    fn figure(&self, name: &str) -> u64 {
        self.core.counters().figures().find(|(figure, _)| *figure == name).unwrap().1
    }
}

pub fn bench() -> Bench {
    let mut bench = Bench::live();
    bench.at(NOW_S);
    bench
}

/// With 50 hours of BTC in the past.
pub fn loaded() -> Bench {
    let mut bench = bench();
    bench.history(BTC, Interval::H1, past(HOUR_S, NOW_S, 50), true);
    bench
}

/// Hours from [`NOW_S`], close, and whether it is closed, of each row.
pub fn rows(data: &Value) -> Vec<(i64, u64, bool)> {
    let row = |row: &Value| {
        let start_s = get(row, "timestamp").as_u64().unwrap() as i64;
        let close = get(row, "close").as_f64().unwrap() as u64;
        ((start_s - NOW_S as i64) / HOUR_S as i64, close, get(row, "closed").as_bool().unwrap())
    };
    data.as_array().unwrap().iter().map(row).collect()
}

pub fn hours(bench: &mut Bench, peer: &mut Peer, count: u64) -> Vec<(i64, u64, bool)> {
    rows(&peer.reply(bench, &candles("1h", count)).1)
}

pub fn ordered_keys(value: &Value) -> Vec<&str> {
    value.as_map().unwrap().iter().map(|(key, _)| key.as_str().unwrap()).collect()
}

/// A column as numbers.
pub fn column(fields: &Value, name: &str) -> Vec<f64> {
    let Value::Binary(bytes) = get(fields, name) else { panic!("{name} is a bin") };
    let whole = matches!(name, "timestamp" | "num_trades" | "closed");
    let number = |bytes: &[u8]| {
        let bytes = bytes.try_into().unwrap();
        if whole { i64::from_le_bytes(bytes) as f64 } else { f64::from_le_bytes(bytes) }
    };
    bytes.chunks(8).map(number).collect()
}
