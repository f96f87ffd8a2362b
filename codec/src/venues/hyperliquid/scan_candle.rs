//! The scanner for `candle`: one candle, its members in the documentation's order or alphabetically.

use super::{CandleFrame, Message};
use crate::candle::{Candle, CandleRow};
use crate::decimal::Price;
use crate::venues::scan::Cursor;
use crate::words::Interval;
use bumpalo::Bump;

#[inline(never)]
pub fn candle<'a>(mut c: Cursor<'a>, arena: &'a mut Bump) -> Option<Message<'a>> {
    let frame = if c.take(b"\"t\":") { documented(&mut c)? } else { alphabetical(&mut c)? };
    c.literal(b"}}")?;
    c.end()?;
    arena.reset();
    Some(Message::Candles(core::slice::from_ref(arena.alloc(frame))))
}

/// After the first key, `t`.
#[inline(always)]
fn documented<'a>(c: &mut Cursor<'a>) -> Option<CandleFrame<'a>> {
    let start_ms = c.integer()?;
    c.literal(b",\"T\":")?;
    let end_ms = c.integer()?;
    c.literal(b",\"s\":\"")?;
    let coin = c.text()?;
    c.literal(b",\"i\":\"")?;
    let interval = c.text()?;
    c.literal(b",\"o\":\"")?;
    let open = price(c)?;
    c.literal(b",\"c\":\"")?;
    let close = price(c)?;
    c.literal(b",\"h\":\"")?;
    let high = price(c)?;
    c.literal(b",\"l\":\"")?;
    let low = price(c)?;
    c.literal(b",\"v\":\"")?;
    let volume = c.volume()?;
    c.literal(b",\"n\":")?;
    let num_trades = c.integer()?;
    frame(coin, interval, end_ms, Candle { start_ms, open, high, low, close, volume, num_trades })
}

#[inline(always)]
fn alphabetical<'a>(c: &mut Cursor<'a>) -> Option<CandleFrame<'a>> {
    c.literal(b"\"T\":")?;
    let end_ms = c.integer()?;
    c.literal(b",\"c\":\"")?;
    let close = price(c)?;
    c.literal(b",\"h\":\"")?;
    let high = price(c)?;
    c.literal(b",\"i\":\"")?;
    let interval = c.text()?;
    c.literal(b",\"l\":\"")?;
    let low = price(c)?;
    c.literal(b",\"n\":")?;
    let num_trades = c.integer()?;
    c.literal(b",\"o\":\"")?;
    let open = price(c)?;
    c.literal(b",\"s\":\"")?;
    let coin = c.text()?;
    c.literal(b",\"t\":")?;
    let start_ms = c.integer()?;
    c.literal(b",\"v\":\"")?;
    let volume = c.volume()?;
    frame(coin, interval, end_ms, Candle { start_ms, open, high, low, close, volume, num_trades })
}

#[inline(always)]
fn frame<'a>(coin: &'a str, interval: &str, end_ms: u64, candle: Candle) -> Option<CandleFrame<'a>> {
    Some(CandleFrame {
        coin,
        // An unknown one is for the general parser to note.
        interval: Some(Interval::from_word(interval)?),
        row: CandleRow { start_ms: candle.start_ms, end_ms, candle: Some(candle) },
    })
}

#[inline(always)]
fn price(c: &mut Cursor<'_>) -> Option<Price> {
    c.decimal().map(Price::from_raw)
}
