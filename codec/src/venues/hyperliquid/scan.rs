//! The scanner for Hyperliquid's hot channels, `channel` first as the venue sends it.

use super::scan_candle::candle;
use super::scan_ctx::asset_ctx;
use super::{Bbo, L2Book, Message, Trade};
use crate::decimal::{Price, Size};
use crate::limits::MESSAGE_TRADES_MAX;
use crate::record::Level;
use crate::venues::scan::{Cursor, levels, members};
use crate::words::Side;
use bumpalo::Bump;
use bumpalo::collections::Vec;

/// Bytes of the shortest trade: what a message has room for.
const TRADE_BYTES_MIN: usize = br#"{"coin":"","side":"A","px":"0","sz":"0","time":0,"tid":0},"#.len();

/// A transaction's hash and an address as they are written, `0x` included.
const HASH_BYTES: usize = 66;
const ADDRESS_BYTES: usize = 42;

/// The message, its levels, trades and candles in the buffers; `None` for the general parser.
#[inline(always)]
pub fn message<'a>(
    bytes: &'a [u8],
    bids: &'a mut [Level],
    asks: &'a mut [Level],
    arena: &'a mut Bump,
) -> Option<Message<'a>> {
    let mut c = Cursor::new(bytes);
    c.literal(b"{\"channel\":\"")?;
    if c.take(b"bbo\",\"data\":{") {
        bbo(c)
    } else if c.take(b"l2Book\",\"data\":{") {
        book(c, bids, asks)
    } else if c.take(b"trades\",\"data\":[") {
        trades(c, arena)
    } else if c.take(b"candle\",\"data\":{") {
        candle(c, arena)
    } else if c.take(b"activeAssetCtx\",\"data\":{") {
        asset_ctx(c)
    } else {
        c.literal(b"pong\"}")?;
        c.end()?;
        Some(Message::Pong)
    }
}

#[inline(never)]
fn book<'a>(mut c: Cursor<'a>, bids: &'a mut [Level], asks: &'a mut [Level]) -> Option<Message<'a>> {
    c.literal(b"\"coin\":\"")?;
    let coin = c.text()?;
    let (mut time_ms, mut both, mut fast, mut aggregated) = (0, (0, 0), false, false);
    members!(c:
        may b",\"fast\":" => fast = c.boolean()?;
        must b",\"time\":" => time_ms = c.integer()?;
        must b",\"levels\":[[" => both = sides(&mut c, bids, asks)?;
        may b",\"spread\":\"" => aggregated = c.skip_text().map(|()| true)?;
    );
    c.literal(b"}")?;
    c.end()?;
    let (bid_count, ask_count) = both;
    Some(Message::Book(L2Book {
        coin,
        time_ms,
        fast,
        aggregated,
        bids: &bids[..bid_count],
        asks: &asks[..ask_count],
        unrepresentable: 0,
    }))
}

#[inline(always)]
fn sides(c: &mut Cursor<'_>, bids: &mut [Level], asks: &mut [Level]) -> Option<(usize, usize)> {
    let bid_count = levels(c, bids, level)?;
    c.literal(b",[")?;
    let ask_count = levels(c, asks, level)?;
    c.literal(b"]")?;
    Some((bid_count, ask_count))
}

/// A level, in the documentation's order or alphabetically.
#[inline(always)]
fn level(c: &mut Cursor<'_>) -> Option<Level> {
    let (price, size);
    if c.take(b"{\"px\":\"") {
        price = c.decimal()?;
        c.literal(b",\"sz\":\"")?;
        size = c.decimal()?;
        c.literal(b",\"n\":")?;
        c.integer()?;
    } else {
        c.literal(b"{\"n\":")?;
        c.integer()?;
        c.literal(b",\"px\":\"")?;
        price = c.decimal()?;
        c.literal(b",\"sz\":\"")?;
        size = c.decimal()?;
    }
    c.literal(b"}")?;
    Some(Level { price: Price::from_raw(price), size: Size::from_raw(size) })
}

#[inline(never)]
fn bbo<'a>(mut c: Cursor<'a>) -> Option<Message<'a>> {
    let (mut coin, mut time_ms, mut both) = ("", 0, (None, None));
    if c.take(b"\"bbo\":[") {
        both = best(&mut c)?;
        members!(c:
            must b",\"coin\":\"" => coin = c.text()?;
            must b",\"time\":" => time_ms = c.integer()?;
        );
    } else {
        c.literal(b"\"coin\":\"")?;
        coin = c.text()?;
        members!(c:
            must b",\"time\":" => time_ms = c.integer()?;
            must b",\"bbo\":[" => both = best(&mut c)?;
        );
    }
    c.literal(b"}")?;
    c.end()?;
    let (bid, ask) = both;
    Some(Message::Bbo(Bbo { coin, time_ms, bid, ask, unrepresentable: false }))
}

/// The rest of `[bid,ask]` after its opening bracket, either of which may be `null`.
#[inline(always)]
fn best(c: &mut Cursor<'_>) -> Option<(Option<Level>, Option<Level>)> {
    let bid = if c.take(b"null") { None } else { Some(level(c)?) };
    c.literal(b",")?;
    let ask = if c.take(b"null") { None } else { Some(level(c)?) };
    c.literal(b"]")?;
    Some((bid, ask))
}

#[inline(never)]
fn trades<'a>(mut c: Cursor<'a>, arena: &'a mut Bump) -> Option<Message<'a>> {
    arena.reset();
    let room = (c.left() / TRADE_BYTES_MIN + 1).min(MESSAGE_TRADES_MAX);
    let mut trades = Vec::with_capacity_in(room, &*arena);
    if !c.take(b"]") {
        loop {
            if trades.len() == MESSAGE_TRADES_MAX {
                return None;
            }
            trades.push(trade(&mut c)?);
            if !c.another()? {
                break;
            }
        }
    }
    c.literal(b"}")?;
    c.end()?;
    Some(Message::Trades(trades.into_bump_slice()))
}

#[inline(always)]
fn trade<'a>(c: &mut Cursor<'a>) -> Option<Trade<'a>> {
    c.literal(b"{\"coin\":\"")?;
    let coin = c.text()?;
    let (mut side, mut price, mut size, mut time_ms, mut tid) = (Side::Buy, 0, 0, 0, 0);
    members!(c:
        must b",\"side\":\"" => side = aggressor(c)?;
        must b",\"px\":\"" => price = c.decimal()?;
        must b",\"sz\":\"" => size = c.decimal()?;
        must b",\"time\":" => time_ms = c.integer()?;
        may b",\"hash\":\"" => c.skip_sized_text::<HASH_BYTES>()?;
        must b",\"tid\":" => tid = c.integer()?;
        may b",\"users\":[\"" => both_users(c)?;
    );
    Some(Trade { coin, side, value: Some((Price::from_raw(price), Size::from_raw(size))), time_ms, tid })
}

#[inline(always)]
fn aggressor(c: &mut Cursor<'_>) -> Option<Side> {
    if c.take(b"B\"") { Some(Side::Buy) } else { c.literal(b"A\"").map(|()| Side::Sell) }
}

#[inline(always)]
fn both_users(c: &mut Cursor<'_>) -> Option<()> {
    c.skip_sized_text::<ADDRESS_BYTES>()?;
    c.literal(b",\"")?;
    c.skip_sized_text::<ADDRESS_BYTES>()?;
    c.literal(b"]")
}
