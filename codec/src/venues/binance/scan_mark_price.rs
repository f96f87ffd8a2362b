//! The scanner for `markPriceUpdate`.

use super::scan::close;
use super::{MarkPrice, Message};
use crate::decimal::{Price, Rate};
use crate::venues::scan::{Cursor, members};

#[inline(never)]
pub fn mark_price<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut symbol, mut event_ms, mut next_funding_ms, mut kind) = ("", 0, 0, 0);
    let (mut mark, mut index, mut rate) = (0, None, None);
    members!(c:
        must b",\"E\":" => event_ms = c.integer()?;
        must b",\"s\":\"" => symbol = c.text()?;
        may b",\"ps\":\"" => c.skip_text()?;
        must b",\"p\":\"" => mark = c.decimal()?;
        may b",\"ap\":\"" => c.skip_text()?;
        may b",\"P\":\"" => c.skip_text()?;
        may b",\"i\":\"" => index = if c.take(b"\"") { None } else { Some(c.decimal()?) };
        must b",\"r\":\"" => rate = if c.take(b"\"") { None } else { Some(c.rate()?) };
        must b",\"T\":" => next_funding_ms = c.integer()?;
        may b",\"st\":" => kind = c.integer()?;
    );
    close(c, stream)?;
    if kind > 2 {
        return None;
    }
    Some(Message::MarkPrice(MarkPrice {
        stream: stream.unwrap_or(""),
        symbol,
        event_ms,
        mark: Some(Price::from_raw(mark)),
        index: index.map(Price::from_raw),
        rate: rate.map(Rate::from_raw),
        next_funding_ms,
        coin_margined: kind == 2,
    }))
}
