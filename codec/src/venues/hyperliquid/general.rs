//! Hyperliquid's messages from a parsed document: any key order, any form of number, unknown fields.

use super::{Bbo, L2Book, Message, Subscription, Trade, general_fills, general_market as market};
use crate::decimal::{Price, Size};
use crate::limits::MESSAGE_TRADES_MAX;
use crate::record::Level;
use crate::venues::DecodeError;
use crate::venues::general::{Known, Value, level_of, required};
use crate::words::Side;
use bumpalo::Bump;
use bumpalo::collections::Vec;

pub const fn known(of: &'static str, also: &'static [&'static str]) -> Known {
    Known { of, also }
}

const TRADE: Known = known("trade", &["hash", "users"]);

const SUBSCRIPTION: Known = known("subscription", &["nSigFigs", "mantissa", "aggregateByTime"]);

/// The message, what it has many of in the arena.
pub fn message<'a>(root: Value<'_, 'a>, arena: &'a Bump) -> Result<Message<'a>, DecodeError> {
    let [channel, data] = root.known_fields(["channel", "data"], known("message", &[]), "an object")?;
    let channel = channel.and_then(Value::text).unwrap_or("");
    let data = || required(data, "data");
    match channel {
        "l2Book" => Ok(Message::Book(book(data()?, arena)?)),
        "bbo" => Ok(Message::Bbo(bbo(data()?)?)),
        "trades" => Ok(Message::Trades(trades(data()?, arena)?)),
        "candle" => Ok(Message::Candles(market::candles(data()?, arena)?)),
        "activeAssetCtx" => Ok(Message::AssetCtx(market::asset_ctx(data()?, false)?)),
        "activeSpotAssetCtx" => Ok(Message::AssetCtx(market::asset_ctx(data()?, true)?)),
        "allDexsAssetCtxs" => Ok(Message::DexCtxs(market::dex_ctxs(data()?, arena)?)),
        "userFills" => Ok(Message::UserFills(general_fills::user_fills(data()?, arena)?)),
        "subscriptionResponse" => acknowledgement(data()?),
        "error" => data()?.text().map(Message::Error).ok_or(DecodeError::Malformed("an error's text")),
        "pong" => Ok(Message::Pong),
        "post" => {
            let [id] = data()?.fields(["id"], "a post's data")?;
            Ok(Message::Post { id: integer(id, "id")? })
        }
        _ => Ok(Message::Other { channel }),
    }
}

fn book<'a>(data: Value<'_, 'a>, arena: &'a Bump) -> Result<L2Book<'a>, DecodeError> {
    let [coin, time_ms, both, fast, spread] =
        data.known_fields(["coin", "time", "levels", "fast", "spread"], known("l2Book", &[]), "an l2Book")?;
    let [bid_rows, ask_rows] = pair(required(both, "levels")?, "levels of two sides")?;
    let (bids, bids_left_out) = bid_rows.levels(arena, level)?;
    let (asks, asks_left_out) = ask_rows.levels(arena, level)?;
    Ok(L2Book {
        coin: text(coin, "coin")?,
        time_ms: integer(time_ms, "time")?,
        fast: flag(fast, "fast")?,
        aggregated: spread.is_some_and(|spread| !spread.is_null()),
        bids,
        asks,
        unrepresentable: bids_left_out + asks_left_out,
    })
}

/// A level `{px, sz, …}`.
pub fn level(row: Value<'_, '_>) -> Result<Option<Level>, DecodeError> {
    let [price, size] = row.known_fields(["px", "sz"], known("level", &["n"]), "a level")?;
    level_of(required(price, "px")?, required(size, "sz")?)
}

fn bbo<'a>(data: Value<'_, 'a>) -> Result<Bbo<'a>, DecodeError> {
    let [coin, time_ms, both] = data.known_fields(["coin", "time", "bbo"], known("bbo", &[]), "a bbo")?;
    let [bid_row, ask_row] = pair(required(both, "bbo")?, "a bbo of two sides")?;
    let side = |row: Value<'_, '_>| if row.is_null() { Ok(None) } else { level(row) };
    let (bid, ask) = (side(bid_row)?, side(ask_row)?);
    Ok(Bbo {
        coin: text(coin, "coin")?,
        time_ms: integer(time_ms, "time")?,
        bid,
        ask,
        unrepresentable: (bid.is_none() && !bid_row.is_null()) || (ask.is_none() && !ask_row.is_null()),
    })
}

fn trades<'a>(data: Value<'_, 'a>, arena: &'a Bump) -> Result<&'a [Trade<'a>], DecodeError> {
    let rows = data.elements("an array of trades")?;
    if rows.len() > MESSAGE_TRADES_MAX {
        return Err(DecodeError::TooLarge("trades"));
    }
    let mut trades = Vec::with_capacity_in(rows.len(), arena);
    for row in rows {
        trades.push(trade(row)?);
    }
    Ok(trades.into_bump_slice())
}

/// One trade; hash and users are ignored.
pub fn trade<'a>(row: Value<'_, 'a>) -> Result<Trade<'a>, DecodeError> {
    let [coin, side, price, size, time_ms, tid] =
        row.known_fields(["coin", "side", "px", "sz", "time", "tid"], TRADE, "a trade")?;
    Ok(Trade {
        coin: text(coin, "coin")?,
        side: side_of(side)?,
        value: value(price, size)?,
        time_ms: integer(time_ms, "time")?,
        tid: integer(tid, "tid")?,
    })
}

/// `B` buys, `A` sells.
pub fn side_of(side: Option<Value<'_, '_>>) -> Result<Side, DecodeError> {
    match text(side, "side")? {
        "B" => Ok(Side::Buy),
        "A" => Ok(Side::Sell),
        _ => Err(DecodeError::Malformed("side, A or B")),
    }
}

/// Price and size, if both are representable.
pub fn value(
    price: Option<Value<'_, '_>>,
    size: Option<Value<'_, '_>>,
) -> Result<Option<(Price, Size)>, DecodeError> {
    Ok(required(price, "px")?.price()?.zip(required(size, "sz")?.size()?))
}

fn acknowledgement<'a>(data: Value<'_, 'a>) -> Result<Message<'a>, DecodeError> {
    let [method, subscription] = data.known_fields(
        ["method", "subscription"],
        known("subscriptionResponse", &[]),
        "a subscriptionResponse",
    )?;
    let [kind, coin, interval, fast, user, dex] = required(subscription, "a subscription")?.known_fields(
        ["type", "coin", "interval", "fast", "user", "dex"],
        SUBSCRIPTION,
        "a subscription",
    )?;
    let word = |field: Option<Value<'_, 'a>>| field.and_then(Value::text).unwrap_or("");
    let subscription = Subscription {
        kind: text(kind, "type")?,
        coin: word(coin),
        interval: word(interval),
        fast: flag(fast, "fast")?,
        user: word(user),
        dex: word(dex),
    };
    match text(method, "method")? {
        "subscribe" => Ok(Message::Subscribed(subscription)),
        "unsubscribe" => Ok(Message::Unsubscribed(subscription)),
        _ => Err(DecodeError::Malformed("method, subscribe or unsubscribe")),
    }
}

/// The two elements of an array of two.
pub fn pair<'t, 'a>(value: Value<'t, 'a>, expected: &'static str) -> Result<[Value<'t, 'a>; 2], DecodeError> {
    let mut elements = value.elements(expected)?;
    match (elements.next(), elements.next(), elements.next()) {
        (Some(first), Some(second), None) => Ok([first, second]),
        _ => Err(DecodeError::Malformed(expected)),
    }
}

pub fn integer(field: Option<Value<'_, '_>>, name: &'static str) -> Result<u64, DecodeError> {
    required(field, name)?.integer(name)
}

pub fn text<'a>(field: Option<Value<'_, 'a>>, name: &'static str) -> Result<&'a str, DecodeError> {
    field.and_then(Value::text).ok_or(DecodeError::Malformed(name))
}

/// A boolean, false where absent or null.
pub fn flag(field: Option<Value<'_, '_>>, name: &'static str) -> Result<bool, DecodeError> {
    match field {
        Some(field) if !field.is_null() => field.boolean().ok_or(DecodeError::Malformed(name)),
        _ => Ok(false),
    }
}
