//! Ticks of each symbol, what they ask of REST, and its answers; what clients and history say of candles.

use super::VENUE;
use super::book_sync::{BookContext, BookEvent};
use super::feed::Feed;
use super::stream_states::At;
use crate::event::{Event, Severity};
use crate::fetch::{Answer, FetchError, FetchRequest, Fetched, Priority, Query};
use crate::limits::{BINANCE_FUNDING_SILENT_MS, BINANCE_SNAPSHOT_LEVELS};
use crate::publisher::Stamp;
use crate::session::{Action, CandleSeed, Interest, Out};
use codec::time::Now;
use codec::words::{Interval, Stream};

/// Bits of a token that are the candle series' own; the interval's number stands above them.
const TOKEN_BITS: u32 = 48;

/// A token that says which interval it is of.
const fn pack(interval: Interval, token: u64) -> u64 {
    ((interval.number() as u64) << TOKEN_BITS) | token
}

/// The interval and the series' own token.
fn unpack(packed: u64) -> Option<(Interval, u64)> {
    let interval = Interval::from_number(u8::try_from(packed >> TOKEN_BITS).ok()?)?;
    Some((interval, packed & ((1 << TOKEN_BITS) - 1)))
}

impl Feed {
    fn ask(&self, index: usize, query: Query, token: u64, priority: Priority, out: &mut Out<'_>) {
        let instrument = self.symbols[index].instrument;
        out.actions.push_back(Action::Fetch(FetchRequest {
            venue: VENUE,
            query,
            instrument,
            token,
            priority,
        }));
    }

    /// With every tick.
    pub(super) fn tick_symbol(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        let mut snapshot = None;
        if let Some(book) = &mut symbol.book {
            let mut cx = BookContext { publisher: out.publisher, instrument, source: 0, now };
            snapshot = book.on_tick(&mut cx);
            if out.publisher.wants_snapshot(instrument) && book.state().is_live() {
                let _ = out.publisher.republish_snapshot(&book.stamp(instrument, 0, now), book.book());
            }
        }
        let mut fill = None;
        if let Some(trades) = &mut symbol.trades {
            if trades.is_ahead_too_long(now) {
                trades.end_overlap(None, out.publisher, now);
            }
            fill = trades.on_tick(now);
        }
        if let Some(wish) = snapshot {
            let symbol = self.symbols[index].name.clone();
            let query = Query::Book { symbol, limit: BINANCE_SNAPSHOT_LEVELS as u32 };
            self.ask(index, query, wish.token, wish.priority, out);
        }
        if let Some(wish) = fill {
            let symbol = self.symbols[index].name.clone();
            let query = Query::AggTrades { symbol, from_id: wish.from_id, limit: wish.limit };
            self.ask(index, query, wish.token, Priority::Repair, out);
        }
    }

    /// Once a second: the book against its replicas, the quote against the book, funding's beat.
    pub(super) fn check_symbol(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let silent_ms = self.settings.stale_after_ms.unwrap_or(BINANCE_FUNDING_SILENT_MS);
        let symbol = &mut self.symbols[index];
        if !symbol.carried {
            return;
        }
        let instrument = symbol.instrument;
        if let Some(book) = symbol.book.as_ref().filter(|book| book.state().is_live()) {
            out.publisher.check(&book.stamp(instrument, 0, now), book.book());
        }
        symbol.check_quote(now, out);
        if let Some(funding) = &mut symbol.funding {
            funding.on_tick(silent_ms, instrument, out.publisher, now);
        }
    }

    /// Ten times a second.
    pub(super) fn tick_candles(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        if !self.clock.is_known() {
            // By the local clock a period might seem over that is not.
            return;
        }
        let at = self.at(0, now);
        let symbol = &mut self.symbols[index];
        let Some(candles) = symbol.candles.as_mut().filter(|_| symbol.carried) else { return };
        let wanted = candles.on_tick(at.candles(symbol.instrument, out.publisher));
        self.account.candles(candles.take_counts());
        let Some(wanted) = wanted else { return };
        let query = Query::Candles {
            symbol: symbol.name.clone(),
            interval: wanted.interval,
            start_ms: wanted.wish.start_ms,
            end_ms: wanted.wish.end_ms,
            limit: wanted.wish.limit,
        };
        self.ask(index, query, pack(wanted.interval, wanted.wish.token), wanted.wish.priority, out);
    }

    /// The place of an instrument among the symbols.
    fn index_of(&self, instrument: u32) -> Option<usize> {
        let index = *self.by_instrument.get(usize::try_from(instrument).ok()?)?;
        (index as usize).checked_sub(1)
    }

    /// REST answered, or did not.
    pub(super) fn on_fetched(&mut self, fetched: Fetched, now: Now, out: &mut Out<'_>) {
        let Fetched { request, outcome } = fetched;
        match request.query {
            Query::Instruments => self.on_instruments_fetched(outcome, now, out),
            Query::FundingInfo => self.on_funding_info_fetched(outcome, now, out),
            _ => {
                // A symbol that is dropped meanwhile hears it too: it may be back one day, and wait no more.
                let Some(index) = self.index_of(request.instrument) else { return };
                if let Err(error) = &outcome
                    && !matches!(error, FetchError::RateLimited { .. })
                {
                    (out.events)(
                        Event::new(Severity::Warn, Some(VENUE), "REST request failed, trying again")
                            .about(&self.symbols[index].name)
                            .detail(&format!("{error:?}")),
                    );
                }
                self.on_symbol_fetched(index, &request, outcome, now, out);
            }
        }
    }

    fn on_symbol_fetched(
        &mut self,
        index: usize,
        request: &FetchRequest,
        outcome: Result<Answer, FetchError>,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let at = self.at(0, now);
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        let token = request.token;
        match (&request.query, outcome) {
            (Query::Book { .. }, Ok(Answer::BinanceBook(snapshot))) => {
                let Some(book) = &mut symbol.book else { return };
                let event = book.on_snapshot(token, snapshot, &mut at.book(instrument, out.publisher));
                if event == BookEvent::Joined {
                    symbol.quote_from_book(0, now, out);
                }
                self.on_book_event(index, event, out);
            }
            (Query::Book { .. }, Err(error)) => {
                if let Some(book) = &mut symbol.book {
                    book.on_snapshot_failed(token, &error, now);
                }
            }
            (Query::AggTrades { .. }, outcome) => {
                let Some(trades) = &mut symbol.trades else { return };
                let stamp = Stamp::now(VENUE, instrument, now);
                match outcome {
                    Ok(Answer::AggTrades(rows)) => trades.on_rows(token, &rows, out.publisher, &stamp, now),
                    Ok(_) => {}
                    Err(error) => trades.on_failed(token, &error, out.publisher, &stamp, now),
                }
            }
            (Query::Candles { .. }, outcome) => {
                let (Some(candles), Some((interval, token))) = (&mut symbol.candles, unpack(token)) else {
                    return;
                };
                let from = at.candles(instrument, out.publisher);
                match &outcome {
                    Ok(Answer::Candles(rows)) => candles.on_fetched(interval, token, Ok(rows), from),
                    Ok(_) => {}
                    Err(error) => candles.on_fetched(interval, token, Err(error), from),
                }
            }
            _ => {}
        }
    }

    /// Somebody wants candles or a book, or no longer does: what they lack is asked for first.
    pub(super) fn on_interest(&mut self, interest: &Interest) {
        let Some(index) = self.index_of(interest.instrument) else { return };
        let symbol = &mut self.symbols[index];
        match (interest.stream, &mut symbol.candles, &mut symbol.book) {
            (Stream::Candles, Some(candles), _) => {
                candles.on_interest(interest.interval, interest.wanted);
            }
            (Stream::Orderbook, _, Some(book)) => book.on_interest(interest.wanted),
            _ => {}
        }
    }

    /// History has loaded a series of candles.
    pub(super) fn on_seed(&mut self, seed: &CandleSeed, now: Now, out: &mut Out<'_>) {
        let at: At = self.at(0, now);
        if let Some(index) = self.index_of(seed.instrument)
            && let Some(candles) = &mut self.symbols[index].candles
        {
            let from = at.candles(seed.instrument, out.publisher);
            candles.on_seed(seed.interval, &seed.last, seed.base, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_keeps_its_interval() {
        for &interval in Interval::ALL {
            for token in [0, 1, (1 << TOKEN_BITS) - 1] {
                assert_eq!(unpack(pack(interval, token)), Some((interval, token)));
            }
        }
        assert_eq!(unpack(7), None);
        assert_eq!(unpack(u64::MAX), None);
    }
}
