//! Frames as the venue writes them (October 2026).

use crate::support::Bench;
use codec::candle::CandleRow;
use codec::decimal::{Price, Rate};
use codec::record::Level;
use codec::venues::binance::{Decoder, Kline, MarkPrice, Message};
use codec::venues::rest_binance::AggTradeRow;
use codec::words::Interval;
use engine::session::Link;
use engine::session::binance::BinanceSession;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// 1e-8 units as a decimal.
fn decimal(raw: i64) -> String {
    format!("{}.{:08}", raw / 100_000_000, raw % 100_000_000)
}

fn levels(changes: &BTreeMap<(bool, i64), i64>, bid: bool) -> String {
    let mut text = String::new();
    for ((_, price), size) in changes.iter().filter(|((side, _), _)| *side == bid) {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}[\"{}\",\"{}\"]", decimal(*price), decimal(*size));
    }
    text
}

pub fn depth(symbol: &str, ms: u64, (prev, id): (u64, u64), changes: &BTreeMap<(bool, i64), i64>) -> String {
    format!(
        r#"{{"stream":"{}@depth@100ms","data":{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{symbol}","ps":"{symbol}","U":{},"u":{id},"pu":{prev},"b":[{}],"a":[{}],"st":1}}}}"#,
        symbol.to_lowercase(),
        prev + 1,
        levels(changes, true),
        levels(changes, false)
    )
}

pub fn ticker(symbol: &str, ms: u64, id: u64, bid: Level, ask: Level) -> String {
    format!(
        r#"{{"stream":"{}@bookTicker","data":{{"e":"bookTicker","u":{id},"s":"{symbol}","ps":"{symbol}","b":"{}","B":"{}","a":"{}","A":"{}","T":{ms},"E":{ms},"st":1}}}}"#,
        symbol.to_lowercase(),
        bid.price,
        bid.size,
        ask.price,
        ask.size
    )
}

pub fn agg_trade(symbol: &str, ms: u64, row: &AggTradeRow) -> String {
    let (price, size) = row.value.unwrap();
    format!(
        r#"{{"stream":"{}@aggTrade","data":{{"e":"aggTrade","E":{ms},"a":{},"s":"{symbol}","p":"{price}","q":"{size}","nq":"{size}","f":1,"l":1,"T":{},"m":false,"st":1}}}}"#,
        symbol.to_lowercase(),
        row.agg_id,
        row.trade_ms
    )
}

/// Hands over a frame that the decoder may not know yet: as text where it does, and as what it means.
fn hear(bench: &mut Bench<BinanceSession>, link: Link, text: &str, meant: Message<'_>) {
    thread_local! {
        static DECODER: std::cell::RefCell<Decoder> = std::cell::RefCell::new(Decoder::new());
    }
    let known = DECODER.with_borrow_mut(|decoder| match decoder.decode(text.as_bytes()).unwrap() {
        Message::Other { .. } => false,
        read => {
            assert_eq!(read, meant, "{text}");
            true
        }
    });
    if known {
        bench.message(link, text);
    } else {
        bench.with(|session, now, out| session.on_decoded(link, &meant, now, out));
    }
}

pub fn kline(
    bench: &mut Bench<BinanceSession>,
    link: Link,
    symbol: &str,
    ms: u64,
    interval: Interval,
    row: &CandleRow,
    closed: bool,
) {
    let candle = row.candle.unwrap();
    let stream = format!("{}@kline_{interval}", symbol.to_lowercase());
    let text = format!(
        r#"{{"stream":"{stream}","data":{{"e":"kline","E":{ms},"s":"{symbol}","k":{{"t":{},"T":{},"s":"{symbol}","i":"{interval}","f":1,"L":1,"o":"{}","c":"{}","h":"{}","l":"{}","v":"{}","n":{},"x":{closed},"q":"1.0","V":"1.0","Q":"1.0","B":"0"}}}}}}"#,
        row.start_ms,
        row.end_ms,
        candle.open,
        candle.close,
        candle.high,
        candle.low,
        decimal(candle.volume.raw() as i64),
        candle.num_trades
    );
    let meant = Message::Kline(Kline {
        stream: &stream,
        symbol,
        event_ms: ms,
        interval: Some(interval),
        row: *row,
        closed,
    });
    hear(bench, link, &text, meant);
}

pub const MARK: i64 = 8_308_430_000_000;
pub const RATE: i64 = 780_000;
/// Next settlement of every frame, ms.
pub const NEXT_FUNDING_MS: u64 = 1_791_388_800_000;

pub fn mark(bench: &mut Bench<BinanceSession>, link: Link, symbol: &str, ms: u64) {
    let stream = format!("{}@markPrice@1s", symbol.to_lowercase());
    let text = format!(
        r#"{{"stream":"{stream}","data":{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}","p":"83084.30000000","ap":"83084.30000000","P":"83195.15881449","i":"83123.65891304","r":"0.00000078","T":{NEXT_FUNDING_MS},"st":1}}}}"#
    );
    let meant = Message::MarkPrice(MarkPrice {
        stream: &stream,
        symbol,
        event_ms: ms,
        mark: Some(Price::from_raw(MARK)),
        index: Some(Price::from_raw(8_312_365_891_304)),
        rate: Some(Rate::from_raw(RATE)),
        next_funding_ms: NEXT_FUNDING_MS,
        coin_margined: false,
    });
    hear(bench, link, &text, meant);
}

/// A contract without funding.
pub fn mark_unfunded(bench: &mut Bench<BinanceSession>, link: Link, symbol: &str, ms: u64) {
    let stream = format!("{}@markPrice@1s", symbol.to_lowercase());
    let text = format!(
        r#"{{"stream":"{stream}","data":{{"e":"markPriceUpdate","E":{ms},"s":"{symbol}","p":"83084.30000000","P":"83195.15881449","i":"","r":"","T":0,"st":1}}}}"#
    );
    let meant = Message::MarkPrice(MarkPrice {
        stream: &stream,
        symbol,
        event_ms: ms,
        mark: Some(Price::from_raw(MARK)),
        index: None,
        rate: None,
        next_funding_ms: 0,
        coin_margined: false,
    });
    hear(bench, link, &text, meant);
}

pub fn contract_info(bench: &mut Bench<BinanceSession>, link: Link, symbol: &str) {
    let text = format!(
        r#"{{"stream":"!contractInfo","data":{{"e":"contractInfo","E":1669356423908,"s":"{symbol}","ps":"{symbol}","ct":"PERPETUAL","dt":4133404800000,"ot":1569398400000,"cs":"TRADING","st":1}}}}"#
    );
    hear(bench, link, &text, Message::ContractInfo { symbol, coin_margined: false });
}
