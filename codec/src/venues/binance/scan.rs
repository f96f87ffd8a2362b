//! The scanner for Binance's known events, `e` first as the venue sends it.

use super::{AggTrade, BookTicker, Depth, Message, Trade, aggressor};
use crate::decimal::{Price, Size};
use crate::record::Level;
use crate::venues::scan::{Cursor, members};

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
    if c.take(b"bookTicker\",") {
        book_ticker(c, stream)
    } else if c.take(b"depthUpdate\",") {
        depth(c, stream, bids, asks)
    } else if c.take(b"aggTrade\",") {
        agg_trade(c, stream)
    } else if c.take(b"trade\",") {
        trade(c, stream)
    } else {
        None
    }
}

/// After the event: the end of the message, of the combined stream's object before that.
#[inline(always)]
fn close(mut c: Cursor<'_>, stream: Option<&str>) -> Option<()> {
    if stream.is_some() {
        c.literal(b"}")?;
    }
    c.end()
}

#[inline(never)]
fn book_ticker<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut update_id, mut symbol, mut pair, mut bid, mut bid_size) = (None, None, None, None, None);
    let (mut ask, mut ask_size, mut transaction_ms, mut event_ms, mut kind) = (None, None, None, None, None);
    members!(c:
        b"\"u\":" => update_id = c.integer()?;
        b"\"s\":\"" => symbol = c.text()?;
        b"\"ps\":\"" => pair = c.skip_text()?;
        b"\"b\":\"" => bid = c.decimal()?;
        b"\"B\":\"" => bid_size = c.decimal()?;
        b"\"a\":\"" => ask = c.decimal()?;
        b"\"A\":\"" => ask_size = c.decimal()?;
        b"\"T\":" => transaction_ms = c.integer()?;
        b"\"E\":" => event_ms = c.integer()?;
        b"\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    Some(Message::BookTicker(BookTicker {
        stream: stream.unwrap_or(""),
        symbol: symbol?,
        event_ms: event_ms?,
        transaction_ms: transaction_ms?,
        update_id: update_id?,
        quote: Some((level(bid?, bid_size?), level(ask?, ask_size?))),
        coin_margined: kind == Some(2),
    }))
}

#[inline(never)]
fn depth<'a>(
    mut c: Cursor<'a>,
    stream: Option<&'a str>,
    bids: &'a mut [Level],
    asks: &'a mut [Level],
) -> Option<Message<'a>> {
    let (mut event_ms, mut transaction_ms, mut symbol, mut pair, mut first_id) =
        (None, None, None, None, None);
    let (mut last_id, mut prev_id, mut bid_count, mut ask_count, mut kind) = (None, None, None, None, None);
    members!(c:
        b"\"E\":" => event_ms = c.integer()?;
        b"\"T\":" => transaction_ms = c.integer()?;
        b"\"s\":\"" => symbol = c.text()?;
        b"\"ps\":\"" => pair = c.skip_text()?;
        b"\"U\":" => first_id = c.integer()?;
        b"\"u\":" => last_id = c.integer()?;
        b"\"pu\":" => prev_id = c.integer()?;
        b"\"b\":[" => bid_count = levels(&mut c, bids)?;
        b"\"a\":[" => ask_count = levels(&mut c, asks)?;
        b"\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    Some(Message::Depth(Depth {
        stream: stream.unwrap_or(""),
        symbol: symbol?,
        event_ms: event_ms?,
        transaction_ms: transaction_ms?,
        first_id: first_id?,
        last_id: last_id?,
        prev_id: prev_id?,
        bids: &bids[..bid_count?],
        asks: &asks[..ask_count?],
        unrepresentable: 0,
        coin_margined: kind == Some(2),
    }))
}

/// The rest of an array of `["price","size"]` after its opening bracket.
#[inline(never)]
fn levels(cursor: &mut Cursor<'_>, into: &mut [Level]) -> Option<usize> {
    if cursor.take(b"]") {
        return Some(0);
    }
    // A copy of its own stays in registers.
    let mut c = *cursor;
    let mut count = 0;
    loop {
        c.literal(b"[\"")?;
        let price = c.decimal()?;
        c.literal(b",\"")?;
        let size = c.decimal()?;
        c.literal(b"]")?;
        *into.get_mut(count)? = level(price, size);
        count += 1;
        if !c.another(b']')? {
            *cursor = c;
            return Some(count);
        }
    }
}

#[inline(never)]
fn agg_trade<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut event_ms, mut agg_id, mut symbol, mut price, mut size) = (None, None, None, None, None);
    let (mut normal_size, mut first_id, mut last_id) = (None, None, None);
    let (mut trade_ms, mut buyer_is_maker, mut kind) = (None, None, None);
    members!(c:
        b"\"E\":" => event_ms = c.integer()?;
        b"\"a\":" => agg_id = c.integer()?;
        b"\"s\":\"" => symbol = c.text()?;
        b"\"p\":\"" => price = c.decimal()?;
        b"\"q\":\"" => size = c.decimal()?;
        b"\"nq\":\"" => normal_size = c.skip_text()?;
        b"\"f\":" => first_id = c.integer()?;
        b"\"l\":" => last_id = c.integer()?;
        b"\"T\":" => trade_ms = c.integer()?;
        b"\"m\":" => buyer_is_maker = c.boolean()?;
        b"\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    Some(Message::AggTrade(AggTrade {
        stream: stream.unwrap_or(""),
        symbol: symbol?,
        event_ms: event_ms?,
        trade_ms: trade_ms?,
        agg_id: agg_id?,
        value: Some((Price::from_raw(price?), Size::from_raw(size?))),
        side: aggressor(buyer_is_maker?),
        coin_margined: kind == Some(2),
    }))
}

#[inline(never)]
fn trade<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut event_ms, mut trade_ms, mut symbol, mut trade_id, mut price) = (None, None, None, None, None);
    let (mut size, mut origin, mut buyer_is_maker, mut kind) = (None, None, None, None);
    members!(c:
        b"\"E\":" => event_ms = c.integer()?;
        b"\"T\":" => trade_ms = c.integer()?;
        b"\"s\":\"" => symbol = c.text()?;
        b"\"t\":" => trade_id = c.integer()?;
        b"\"p\":\"" => price = c.decimal()?;
        b"\"q\":\"" => size = c.decimal()?;
        b"\"X\":\"" => origin = c.text()?;
        b"\"m\":" => buyer_is_maker = c.boolean()?;
        b"\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    Some(Message::Trade(Trade {
        stream: stream.unwrap_or(""),
        symbol: symbol?,
        event_ms: event_ms?,
        trade_ms: trade_ms?,
        trade_id: trade_id?,
        value: Some((Price::from_raw(price?), Size::from_raw(size?))),
        side: aggressor(buyer_is_maker?),
        market: origin == Some("MARKET"),
        coin_margined: kind == Some(2),
    }))
}

#[inline(always)]
const fn level(price: i64, size: i64) -> Level {
    Level { price: Price::from_raw(price), size: Size::from_raw(size) }
}
