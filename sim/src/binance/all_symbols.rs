//! The streams of all symbols together, in which COIN-M contracts come too (`st` 2).

use super::hub::Hub;
use super::streams::AllSymbols;
use super::{frames, funding, listing};
use crate::market::{Contract, Market};
use crate::protocol::Action;

/// `!bookTicker` tells every symbol so often.
const QUOTES_INTERVAL_MS: i64 = 5_000;
const MARKS_INTERVAL_MS: i64 = 1_000;
const SLOW_MARKS_INTERVAL_MS: i64 = 3_000;

/// When they are told.
pub struct AllSymbolsStreams {
    second: i64,
}

impl AllSymbolsStreams {
    /// From now on.
    pub fn new(now_ms: i64) -> Self {
        Self { second: now_ms.div_euclid(MARKS_INTERVAL_MS) }
    }

    /// Tells what is due: at most once a call, however long ago the last one was.
    pub fn tick(&mut self, market: &Market, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        let second = now_ms.div_euclid(MARKS_INTERVAL_MS);
        let before = std::mem::replace(&mut self.second, second);
        if before == second {
            return;
        }
        let passed = |interval_ms: i64| {
            let every = interval_ms / MARKS_INTERVAL_MS;
            before.div_euclid(every) != second.div_euclid(every)
        };
        for every_second in [true, false] {
            if every_second || passed(SLOW_MARKS_INTERVAL_MS) {
                tell_marks(market, hub, (every_second, second * MARKS_INTERVAL_MS), now_ms, out);
            }
        }
        if let Some(stream) = hub.live_of_all(AllSymbols::BookTicker).filter(|_| passed(QUOTES_INTERVAL_MS)) {
            for symbol in 0..market.symbol_count() {
                let instrument = market.instrument(symbol);
                let Some(quote) = market.history(symbol).quote_at_time(now_ms) else { continue };
                if let Some(data) = frames::book_ticker(instrument, &quote, now_ms) {
                    hub.deliver_named(&instrument.symbol, stream, &data, now_ms, out);
                }
            }
        }
    }
}

/// Two frames: traditional assets come separately.
fn tell_marks(
    market: &Market,
    hub: &mut Hub,
    (every_second, at_ms): (bool, i64),
    now_ms: i64,
    out: &mut Vec<Action>,
) {
    let Some(stream) = hub.live_of_all(AllSymbols::MarkPrice { every_second }) else { return };
    for traditional in [false, true] {
        let rows: Vec<String> = (0..market.symbol_count())
            .filter(|symbol| {
                let contract = market.instrument(*symbol).contract;
                (contract == Contract::TradfiPerpetual) == traditional
            })
            .filter_map(|symbol| {
                let mut funding = market.funding_at(symbol, at_ms)?;
                if hub.disturbances.rate_is_empty(&market.instrument(symbol).symbol, now_ms) {
                    funding.rate_e10 = None;
                }
                Some(funding::mark_price(market.instrument(symbol), &funding))
            })
            .collect();
        if !rows.is_empty() {
            hub.deliver_named("", stream, &format!("[{}]", rows.join(",")), now_ms, out);
        }
    }
}

/// Tells what has been made of the list of symbols.
pub fn tell_listing(market: &Market, hub: &mut Hub, symbol: usize, now_ms: i64, out: &mut Vec<Action>) {
    let Some(stream) = hub.live_of_all(AllSymbols::ContractInfo) else { return };
    let instrument = market.instrument(symbol);
    let data = listing::contract_info(instrument, now_ms);
    hub.deliver_named(&instrument.symbol, stream, &data, now_ms, out);
}
