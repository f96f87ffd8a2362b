//! The scanner for `kline`.

use super::scan::close;
use super::{Kline, Message};
use crate::candle::{Candle, CandleRow};
use crate::decimal::{Price, Volume};
use crate::venues::scan::{Cursor, members};
use crate::words::Interval;

#[inline(never)]
pub fn kline<'a>(mut c: Cursor<'a>, stream: Option<&'a str>) -> Option<Message<'a>> {
    let (mut symbol, mut event_ms, mut found) = ("", 0, None);
    members!(c:
        must b",\"E\":" => event_ms = c.integer()?;
        must b",\"s\":\"" => symbol = c.text()?;
        may b",\"ps\":\"" => c.skip_text()?;
        must b",\"k\":{\"t\":" => found = Some(bar(&mut c)?);
        may b",\"st\":" => c.skip_integer()?;
    );
    close(c, stream)?;
    let (interval, row, closed) = found?;
    Some(Message::Kline(Kline { stream: stream.unwrap_or(""), symbol, event_ms, interval, row, closed }))
}

/// The rest of `k` after the key of its first member, the start.
#[inline(always)]
fn bar(c: &mut Cursor<'_>) -> Option<(Option<Interval>, CandleRow, bool)> {
    let start_ms = c.integer()?;
    let (mut end_ms, mut interval, mut closed, mut num_trades) = (0, "", false, 0);
    let (mut open, mut high, mut low, mut last, mut volume) = (0, 0, 0, 0, Volume::ZERO);
    members!(c:
        must b",\"T\":" => end_ms = c.integer()?;
        may b",\"s\":\"" => c.skip_text()?;
        must b",\"i\":\"" => interval = c.text()?;
        // The first and the last trade are -1 in a bar without trades.
        may b",\"f\":" => c.skip_integer()?;
        may b",\"L\":" => c.skip_integer()?;
        must b",\"o\":\"" => open = c.decimal()?;
        must b",\"c\":\"" => last = c.decimal()?;
        must b",\"h\":\"" => high = c.decimal()?;
        must b",\"l\":\"" => low = c.decimal()?;
        must b",\"v\":\"" => volume = c.volume()?;
        must b",\"n\":" => num_trades = c.integer()?;
        must b",\"x\":" => closed = c.boolean()?;
        may b",\"q\":\"" => c.skip_text()?;
        may b",\"V\":\"" => c.skip_text()?;
        may b",\"Q\":\"" => c.skip_text()?;
        may b",\"B\":\"" => c.skip_text()?;
    );
    let candle = Candle {
        start_ms,
        open: Price::from_raw(open),
        high: Price::from_raw(high),
        low: Price::from_raw(low),
        close: Price::from_raw(last),
        volume,
        num_trades,
    };
    // An unknown one is for the general parser to note.
    let interval = Some(Interval::from_word(interval)?);
    Some((interval, CandleRow { start_ms, end_ms, candle: Some(candle) }, closed))
}
