//! What is true of Hyperliquid: every level is what rested there at its source's time, and the best levels are
//! those of the message's own time.

use super::line::{Held, Line};
use super::truth::Levels;
use codec::record::{BookRecord, Header, QuoteBody};

/// Levels a side whose truth at the message's time is remembered.
pub const FRESH_KEPT: usize = 20;

fn level(line: &Line, is_bid: bool, price: i64, size: i64, source_ns: u64) -> Result<(), String> {
    let at_ms = (source_ns / 1_000_000) as i64;
    let truth = line.truth.size_at(is_bid, price, at_ms);
    if truth == size {
        return Ok(());
    }
    Err(format!(
        "{} {price} has size {size} at {at_ms}, in truth {truth}",
        if is_bid { "bid" } else { "ask" }
    ))
}

/// The levels that a delta sets.
pub fn changes(line: &Line, delta: &BookRecord<'_>) -> Result<(), String> {
    for (is_bid, side) in [(true, delta.bids), (false, delta.asks)] {
        for of in side.iter().filter(|of| of.size.raw() != 0) {
            level(line, is_bid, of.price.raw(), of.size.raw(), delta.body.source_ts_ns)?;
        }
    }
    Ok(())
}

/// Every level of the book as it stands.
pub fn whole(line: &Line) -> Result<(), String> {
    for (is_bid, side) in [(true, &line.book.bids), (false, &line.book.asks)] {
        for held in side.iter() {
            level(line, is_bid, held.level.price.raw(), held.level.size.raw(), held.source_ts_ns)?;
        }
    }
    Ok(())
}

/// The best of both sides; gives the true levels of that moment.
pub fn best(line: &mut Line, header: &Header) -> Result<(Levels, Levels), String> {
    let at_ms = (header.ts_event_ns / 1_000_000) as i64;
    let Some((mut bids, mut asks)) = line.truth.at_time(at_ms) else { return Ok(Default::default()) };
    let top = |of: Option<codec::record::Level>| of.map(|of| (of.price.raw(), of.size.raw()));
    let held = (top(line.book.bids.best()), top(line.book.asks.best()));
    // A side that the venue was made to tell as nobody's is empty until the next message.
    let mut lacks = false;
    for (held, truth) in [(held.0, &mut bids), (held.1, &mut asks)] {
        if held.is_none() && line.nulls.0 > 0 && !truth.is_empty() {
            truth.clear();
            lacks = true;
        }
    }
    line.null_books += u64::from(lacks);
    if line.null_books > line.nulls.0 {
        return Err(format!("a side is empty at {at_ms}: {held:?}"));
    }
    if held != (bids.first().copied(), asks.first().copied()) {
        return Err(format!("best at {at_ms}: {held:?} is not {:?}", (bids.first(), asks.first())));
    }
    bids.truncate(FRESH_KEPT);
    asks.truncate(FRESH_KEPT);
    Ok((bids, asks))
}

pub fn quote(line: &Line, header: &Header, body: &QuoteBody) -> Result<(), String> {
    let at_ms = (header.ts_event_ns / 1_000_000) as i64;
    let Some(truth) = line.truth.quote_at_time(at_ms) else { return Ok(()) };
    super::same_quote(body, &truth)
}

/// How long ago the newest part of the book was true.
pub fn lag_ms(held: &Held, now_ms: i64) -> i64 {
    now_ms - (held.event_us / 1000) as i64
}
