//! The scanner for Binance's known events, `e` first as the venue sends it.

use super::scan_kline::kline;
use super::scan_mark_price::mark_price;
use super::{AggTrade, BookTicker, Depth, Message, Trade, aggressor};
use crate::decimal::{Price, Size};
use crate::record::Level;
use crate::venues::scan::{Cursor, levels, members};

/// The message, its levels in the buffers; `None` for the general parser.
#[inline(always)]
pub fn message<'a>(bytes: &'a [u8], bids: &'a mut [Level], asks: &'a mut [Level]) -> Option<Message<'a>> {
    let mut c = Cursor::new(bytes);
    let stream = if c.take(b"{\"stream\":\"") {
        let stream = c.text()?;
        c.literal(b",\"data\":{\"e\":\"")?;
        Some(stream)
    } else {
        c.literal(b"{\"e\":\"")?;
        None
    };
    if c.take(b"bookTicker\"") {
        book_ticker(c, stream)
    } else if c.take(b"depthUpdate\"") {
        depth(c, stream, bids, asks)
    } else if c.take(b"aggTrade\"") {
        agg_trade(c, stream)
    } else if c.take(b"trade\"") {
        trade(c, stream)
    } else if c.take(b"kline\"") {
        kline(c, stream)
    } else if c.take(b"markPriceUpdate\"") {
        mark_price(c, stream)
    } else {
        None
    }
}

/// After the event: the end of the message, of the combined stream's object before that.
#[inline(always)]
pub fn close(mut c: Cursor<'_>, stream: Option<&str>) -> Option<()> {
    if stream.is_some() {
        c.literal(b"}")?;
    }
    c.end()
}

#[inline(never)]
fn book_ticker<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut symbol, mut event_ms, mut transaction_ms, mut update_id, mut kind) = ("", 0, 0, 0, 0);
    let (mut bid, mut bid_size, mut ask, mut ask_size) = (0, 0, 0, 0);
    members!(c:
        must b",\"u\":" => update_id = c.integer()?;
        must b",\"s\":\"" => symbol = c.text()?;
        may b",\"ps\":\"" => c.skip_text()?;
        must b",\"b\":\"" => bid = c.decimal()?;
        must b",\"B\":\"" => bid_size = c.decimal()?;
        must b",\"a\":\"" => ask = c.decimal()?;
        must b",\"A\":\"" => ask_size = c.decimal()?;
        must b",\"T\":" => transaction_ms = c.integer()?;
        must b",\"E\":" => event_ms = c.integer()?;
        may b",\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    if kind > 2 {
        return None;
    }
    Some(Message::BookTicker(BookTicker {
        stream: stream.unwrap_or(""),
        symbol,
        event_ms,
        transaction_ms,
        update_id,
        quote: Some((level_of(bid, bid_size), level_of(ask, ask_size))),
        coin_margined: kind == 2,
    }))
}

#[inline(never)]
fn depth<'a>(
    mut c: Cursor<'a>,
    stream: Option<&'a str>,
    bids: &'a mut [Level],
    asks: &'a mut [Level],
) -> Option<Message<'a>> {
    let (mut symbol, mut event_ms, mut transaction_ms, mut kind) = ("", 0, 0, 0);
    let (mut first_id, mut last_id, mut prev_id, mut bid_count, mut ask_count) = (0, 0, 0, 0, 0);
    members!(c:
        must b",\"E\":" => event_ms = c.integer()?;
        must b",\"T\":" => transaction_ms = c.integer()?;
        must b",\"s\":\"" => symbol = c.text()?;
        may b",\"ps\":\"" => c.skip_text()?;
        must b",\"U\":" => first_id = c.integer()?;
        must b",\"u\":" => last_id = c.integer()?;
        must b",\"pu\":" => prev_id = c.integer()?;
        must b",\"b\":[" => bid_count = levels(&mut c, bids, level)?;
        must b",\"a\":[" => ask_count = levels(&mut c, asks, level)?;
        may b",\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    if kind > 2 {
        return None;
    }
    Some(Message::Depth(Depth {
        stream: stream.unwrap_or(""),
        symbol,
        event_ms,
        transaction_ms,
        first_id,
        last_id,
        prev_id,
        bids: &bids[..bid_count],
        asks: &asks[..ask_count],
        unrepresentable: 0,
        coin_margined: kind == 2,
    }))
}

#[inline(never)]
fn agg_trade<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut symbol, mut event_ms, mut trade_ms, mut agg_id, mut kind) = ("", 0, 0, 0, 0);
    let (mut price, mut size, mut buyer_is_maker) = (0, 0, false);
    members!(c:
        must b",\"E\":" => event_ms = c.integer()?;
        must b",\"a\":" => agg_id = c.integer()?;
        must b",\"s\":\"" => symbol = c.text()?;
        must b",\"p\":\"" => price = c.decimal()?;
        must b",\"q\":\"" => size = c.decimal()?;
        may b",\"nq\":\"" => c.skip_text()?;
        may b",\"f\":" => c.integer()?;
        may b",\"l\":" => c.integer()?;
        must b",\"T\":" => trade_ms = c.integer()?;
        must b",\"m\":" => buyer_is_maker = c.boolean()?;
        may b",\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    if kind > 2 {
        return None;
    }
    Some(Message::AggTrade(AggTrade {
        stream: stream.unwrap_or(""),
        symbol,
        event_ms,
        trade_ms,
        agg_id,
        value: Some((Price::from_raw(price), Size::from_raw(size))),
        side: aggressor(buyer_is_maker),
        coin_margined: kind == 2,
    }))
}

#[inline(never)]
fn trade<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut symbol, mut origin, mut event_ms, mut trade_ms, mut trade_id, mut kind) = ("", "", 0, 0, 0, 0);
    let (mut price, mut size, mut buyer_is_maker) = (0, 0, false);
    members!(c:
        must b",\"E\":" => event_ms = c.integer()?;
        must b",\"T\":" => trade_ms = c.integer()?;
        must b",\"s\":\"" => symbol = c.text()?;
        must b",\"t\":" => trade_id = c.integer()?;
        must b",\"p\":\"" => price = c.decimal()?;
        must b",\"q\":\"" => size = c.decimal()?;
        may b",\"X\":\"" => origin = c.text()?;
        must b",\"m\":" => buyer_is_maker = c.boolean()?;
        may b",\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    if kind > 2 || !matches!(origin, "" | "MARKET" | "INSURANCE_FUND" | "ADL" | "NA") {
        return None;
    }
    Some(Message::Trade(Trade {
        stream: stream.unwrap_or(""),
        symbol,
        event_ms,
        trade_ms,
        trade_id,
        value: Some((Price::from_raw(price), Size::from_raw(size))),
        side: aggressor(buyer_is_maker),
        market: origin == "MARKET",
        coin_margined: kind == 2,
    }))
}

/// A level `["price","size"]`.
#[inline(always)]
fn level(c: &mut Cursor<'_>) -> Option<Level> {
    c.literal(b"[\"")?;
    let price = c.decimal()?;
    c.literal(b",\"")?;
    let size = c.decimal()?;
    c.literal(b"]")?;
    Some(level_of(price, size))
}

#[inline(always)]
const fn level_of(price: i64, size: i64) -> Level {
    Level { price: Price::from_raw(price), size: Size::from_raw(size) }
}
