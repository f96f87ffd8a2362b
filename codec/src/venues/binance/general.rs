//! Binance's messages from a parsed document: any key order, any form of number, unknown fields.

use super::{AggTrade, BookTicker, Depth, Kline, MarkPrice, Message, Trade, aggressor};
use crate::decimal::{Price, Size};
use crate::record::Level;
use crate::venues::general::{Known, Value, level_of, optional, required};
use crate::venues::{DecodeError, candle_row};
use crate::words::{Interval, Side};
use bumpalo::Bump;

const fn known(of: &'static str, also: &'static [&'static str]) -> Known {
    Known { of, also }
}

/// A kline's candle: what is read here and in [`candle_row`], and what is not read.
const BAR: Known =
    known("kline.k", &["t", "T", "o", "h", "l", "c", "v", "n", "s", "f", "L", "q", "V", "Q", "B"]);

const CONTRACT: Known = known("contractInfo", &["e", "E", "ps", "ct", "cs", "dt", "ot", "bks"]);

/// Where trades come from (`X`, measured 2026-10).
const ORIGINS: &[&str] = &["MARKET", "INSURANCE_FUND", "ADL", "NA"];

/// Kinds of contracts (`contractType`, `ct`; October 2026; empty while one is pending).
pub const CONTRACT_TYPES: &[&str] = &[
    "",
    "PERPETUAL",
    "TRADIFI_PERPETUAL",
    "CURRENT_MONTH",
    "NEXT_MONTH",
    "CURRENT_QUARTER",
    "NEXT_QUARTER",
    "PERPETUAL_DELIVERING",
    "PERPETUAL DELIVERING",
    "CURRENT_QUARTER DELIVERING",
    "NEXT_QUARTER DELIVERING",
];

/// Stages of a contract's life (`status`, `cs`; October 2026).
pub const CONTRACT_STATUSES: &[&str] = &[
    "TRADING",
    "PENDING_TRADING",
    "PRE_DELIVERING",
    "DELIVERING",
    "DELIVERED",
    "PRE_SETTLE",
    "SETTLING",
    "CLOSE",
    "HALT",
    "BREAK",
];

/// The message, its levels in the arena.
pub fn message<'a>(root: Value<'_, 'a>, arena: &'a Bump) -> Result<Message<'a>, DecodeError> {
    if root.is_array() {
        return Ok(Message::Other { stream: "", event: "" });
    }
    let names = ["stream", "data", "e", "result", "error", "code", "msg", "id"];
    let [stream, data, event, result, error, code, text, id] = root.fields(names, "an object or array")?;
    if stream.is_some() || data.is_some() {
        root.known_fields(["stream", "data"], known("combined", &[]), "a combined message")?;
        let stream = required(stream, "a stream")?.text().ok_or(DecodeError::Malformed("a stream's name"))?;
        let data = required(data, "a stream's data")?;
        if data.is_array() {
            return Ok(Message::Other { stream, event: "" });
        }
        let [event] = data.fields(["e"], "a stream's data")?;
        return event_of(data, stream, name_of(event), arena);
    }
    if event.is_some() {
        return event_of(root, "", name_of(event), arena);
    }
    let present = |field: &Value<'_, 'a>| !field.is_null();
    let id = id.and_then(|id| id.integer("an id").ok());
    Ok(if let Some(error) = error.filter(present) {
        let [code, text] = match error.text() {
            Some(_) => [None, Some(error)],
            None => error.fields(["code", "msg"], "an error")?,
        };
        refusal(id, code, text)
    } else if code.is_some() {
        refusal(id, code, text)
    } else if result.is_some() {
        Message::Reply { id }
    } else {
        Message::Other { stream: "", event: "" }
    })
}

fn name_of<'a>(event: Option<Value<'_, 'a>>) -> &'a str {
    event.and_then(Value::text).unwrap_or("")
}

fn refusal<'a>(id: Option<u64>, code: Option<Value<'_, 'a>>, text: Option<Value<'_, 'a>>) -> Message<'a> {
    Message::Error { id, code: code.and_then(Value::signed).unwrap_or(0), message: name_of(text) }
}

fn event_of<'a>(
    data: Value<'_, 'a>,
    stream: &'a str,
    event: &'a str,
    arena: &'a Bump,
) -> Result<Message<'a>, DecodeError> {
    match event {
        "depthUpdate" => depth(data, stream, arena),
        "bookTicker" => book_ticker(data, stream),
        "aggTrade" => agg_trade(data, stream),
        "trade" => trade(data, stream),
        "kline" => kline(data, stream),
        "markPriceUpdate" => mark_price(data, stream),
        "contractInfo" => contract_info(data),
        _ => Ok(Message::Other { stream, event }),
    }
}

fn depth<'a>(data: Value<'_, 'a>, stream: &'a str, arena: &'a Bump) -> Result<Message<'a>, DecodeError> {
    let names = ["s", "E", "T", "U", "u", "pu", "b", "a", "st"];
    let [symbol, event_ms, transaction_ms, first_id, last_id, prev_id, bid_rows, ask_rows, kind] =
        data.known_fields(names, known("depthUpdate", &["e", "ps"]), "a depthUpdate")?;
    let (bids, bids_left_out) = required(bid_rows, "b")?.levels(arena, level)?;
    let (asks, asks_left_out) = required(ask_rows, "a")?.levels(arena, level)?;
    Ok(Message::Depth(Depth {
        stream,
        symbol: text(symbol, "s")?,
        event_ms: integer(event_ms, "E")?,
        transaction_ms: integer(transaction_ms, "T")?,
        first_id: integer(first_id, "U")?,
        last_id: integer(last_id, "u")?,
        prev_id: integer(prev_id, "pu")?,
        bids,
        asks,
        unrepresentable: bids_left_out + asks_left_out,
        coin_margined: coin_margined(kind)?,
    }))
}

/// A level `[price, size]`; further elements are ignored.
pub fn level(row: Value<'_, '_>) -> Result<Option<Level>, DecodeError> {
    let mut cells = row.elements("a level")?;
    match (cells.next(), cells.next()) {
        (Some(price), Some(size)) => level_of(price, size),
        _ => Err(DecodeError::Malformed("a level of price and size")),
    }
}

fn book_ticker<'a>(data: Value<'_, 'a>, stream: &'a str) -> Result<Message<'a>, DecodeError> {
    let names = ["s", "E", "T", "u", "b", "B", "a", "A", "st"];
    let [symbol, event_ms, transaction_ms, update_id, bid, bid_size, ask, ask_size, kind] =
        data.known_fields(names, known("bookTicker", &["e", "ps"]), "a bookTicker")?;
    let bid = level_of(required(bid, "b")?, required(bid_size, "B")?)?;
    let ask = level_of(required(ask, "a")?, required(ask_size, "A")?)?;
    Ok(Message::BookTicker(BookTicker {
        stream,
        symbol: text(symbol, "s")?,
        event_ms: integer(event_ms, "E")?,
        transaction_ms: integer(transaction_ms, "T")?,
        update_id: integer(update_id, "u")?,
        quote: bid.zip(ask),
        coin_margined: coin_margined(kind)?,
    }))
}

fn agg_trade<'a>(data: Value<'_, 'a>, stream: &'a str) -> Result<Message<'a>, DecodeError> {
    let names = ["s", "E", "T", "a", "p", "q", "m", "st"];
    let [symbol, event_ms, trade_ms, agg_id, price, size, buyer_is_maker, kind] =
        data.known_fields(names, known("aggTrade", &["e", "nq", "f", "l"]), "an aggTrade")?;
    Ok(Message::AggTrade(AggTrade {
        stream,
        symbol: text(symbol, "s")?,
        event_ms: integer(event_ms, "E")?,
        trade_ms: integer(trade_ms, "T")?,
        agg_id: integer(agg_id, "a")?,
        value: value(price, size)?,
        side: side(buyer_is_maker)?,
        coin_margined: coin_margined(kind)?,
    }))
}

fn trade<'a>(data: Value<'_, 'a>, stream: &'a str) -> Result<Message<'a>, DecodeError> {
    let names = ["s", "E", "T", "t", "p", "q", "m", "X", "st"];
    let [symbol, event_ms, trade_ms, trade_id, price, size, buyer_is_maker, origin, kind] =
        data.known_fields(names, known("trade", &["e"]), "a trade")?;
    if let Some(origin) = origin
        && origin.text().is_none_or(|word| !ORIGINS.contains(&word))
    {
        origin.note_value("trade.X");
    }
    Ok(Message::Trade(Trade {
        stream,
        symbol: text(symbol, "s")?,
        event_ms: integer(event_ms, "E")?,
        trade_ms: integer(trade_ms, "T")?,
        trade_id: integer(trade_id, "t")?,
        value: value(price, size)?,
        side: side(buyer_is_maker)?,
        market: origin.and_then(Value::text) == Some("MARKET"),
        coin_margined: coin_margined(kind)?,
    }))
}

fn kline<'a>(data: Value<'_, 'a>, stream: &'a str) -> Result<Message<'a>, DecodeError> {
    let [symbol, event_ms, bar] =
        data.known_fields(["s", "E", "k"], known("kline", &["e", "ps", "st"]), "a kline")?;
    let bar = required(bar, "k")?;
    let [interval, closed] = bar.known_fields(["i", "x"], BAR, "a kline's candle")?;
    let word = text(interval, "i")?;
    let length = Interval::from_word(word);
    if let (None, Some(interval)) = (length, interval) {
        interval.note_value("kline.k.i");
    }
    Ok(Message::Kline(Kline {
        stream,
        symbol: text(symbol, "s")?,
        event_ms: integer(event_ms, "E")?,
        interval: length,
        row: candle_row::of_object(bar)?,
        closed: closed.and_then(Value::boolean).ok_or(DecodeError::Malformed("x, true or false"))?,
    }))
}

fn mark_price<'a>(data: Value<'_, 'a>, stream: &'a str) -> Result<Message<'a>, DecodeError> {
    let names = ["s", "E", "p", "i", "r", "T", "st"];
    let [symbol, event_ms, mark, index, rate, next_funding_ms, kind] =
        data.known_fields(names, known("markPriceUpdate", &["e", "ps", "ap", "P"]), "a markPriceUpdate")?;
    Ok(Message::MarkPrice(MarkPrice {
        stream,
        symbol: text(symbol, "s")?,
        event_ms: integer(event_ms, "E")?,
        mark: required(mark, "p")?.price()?,
        index: optional(index, Value::price)?,
        rate: optional(Some(required(rate, "r")?), Value::rate)?,
        next_funding_ms: integer(next_funding_ms, "T")?,
        coin_margined: coin_margined(kind)?,
    }))
}

fn contract_info<'a>(data: Value<'_, 'a>) -> Result<Message<'a>, DecodeError> {
    let [symbol, kind] = data.known_fields(["s", "st"], CONTRACT, "a contractInfo")?;
    for (key, word) in data.members("a contractInfo")? {
        let (words, of) = match key {
            "ct" => (CONTRACT_TYPES, "contractInfo.ct"),
            "cs" => (CONTRACT_STATUSES, "contractInfo.cs"),
            _ => continue,
        };
        if word.text().is_none_or(|text| !words.contains(&text)) {
            word.note_value(of);
        }
    }
    Ok(Message::ContractInfo { symbol: text(symbol, "s")?, coin_margined: coin_margined(kind)? })
}

/// Price and size, if both are representable.
pub fn value(
    price: Option<Value<'_, '_>>,
    size: Option<Value<'_, '_>>,
) -> Result<Option<(Price, Size)>, DecodeError> {
    Ok(required(price, "a price")?.price()?.zip(required(size, "a size")?.size()?))
}

/// The aggressor, from `m`, which must be a real boolean.
pub fn side(buyer_is_maker: Option<Value<'_, '_>>) -> Result<Side, DecodeError> {
    buyer_is_maker.and_then(Value::boolean).map(aggressor).ok_or(DecodeError::Malformed("m, true or false"))
}

pub fn integer(field: Option<Value<'_, '_>>, name: &'static str) -> Result<u64, DecodeError> {
    required(field, name)?.integer(name)
}

pub fn text<'a>(field: Option<Value<'_, 'a>>, name: &'static str) -> Result<&'a str, DecodeError> {
    field.and_then(Value::text).ok_or(DecodeError::Malformed(name))
}

/// `st`: 1 or absent is USDⓈ-M, 2 is COIN-M (since 2026-06-30).
fn coin_margined(kind: Option<Value<'_, '_>>) -> Result<bool, DecodeError> {
    match kind {
        Some(kind) if !kind.is_null() => {
            let number = kind.integer("st")?;
            if !matches!(number, 1 | 2) {
                kind.note_value("st");
            }
            Ok(number == 2)
        }
        _ => Ok(false),
    }
}
