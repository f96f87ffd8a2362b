//! What is true of Binance: a book, a quote and a mark price are those of their own id or time.

use super::line::{Held, Line};
use codec::record::{FundingBody, Header, QuoteBody};

/// The book as it stands is the market's at its update id, from the best on, without a hole.
pub fn book(line: &mut Line, header: &Header) -> Result<(), String> {
    let id = header.venue_sequence;
    let Some((bids, asks)) = line.truth.at_id(id) else { return Ok(()) };
    for (name, held, truth) in [("bids", &line.book.bids, &bids), ("asks", &line.book.asks, &asks)] {
        let is_true = held.len() <= truth.len()
            && held
                .iter()
                .zip(truth)
                .all(|(held, truth)| (held.level.price.raw(), held.level.size.raw()) == *truth);
        if held.is_empty() || !is_true {
            let wrong = held
                .iter()
                .zip(truth)
                .position(|(held, truth)| (held.level.price.raw(), held.level.size.raw()) != *truth);
            let around = wrong.unwrap_or(0);
            return Err(format!(
                "{name} at {id}: {} of {} levels, level {wrong:?}: {:?} is not {:?}",
                held.len(),
                truth.len(),
                held.iter().nth(around).map(|held| held.level),
                truth.get(around)
            ));
        }
    }
    Ok(())
}

pub fn quote(line: &Line, header: &Header, body: &QuoteBody) -> Result<(), String> {
    let Some(truth) = line.truth.quote_at_id(header.venue_sequence) else { return Ok(()) };
    super::same_quote(body, &truth)
}

pub fn funding(line: &Line, header: &Header, body: &FundingBody) -> Result<(), String> {
    let at_ms = (header.ts_event_ns / 1_000_000) as i64;
    let Some(truth) = line.truth.funding_at(at_ms) else { return Ok(()) };
    if (body.mark_price.raw(), body.index_price.raw()) == (truth.mark_e8, truth.index_e8) {
        return Ok(());
    }
    Err(format!("funding at {at_ms}: {body:?} is not {truth:?}"))
}

/// How long ago the book should have shown another best.
pub fn lag_ms(line: &Line, held: &Held, now_ms: i64) -> i64 {
    line.truth.first_quote_after(held.venue_sequence).map_or(0, |at_ms| now_ms - at_ms)
}
