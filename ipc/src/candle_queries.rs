//! `get_candles` and `get_candles_batch`: answered once the past of every series asked for has loaded.

use crate::candle_reply::{CandleReply, Shape};
use crate::client::ClientId;
use crate::core::Core;
use crate::limits::{BATCH_SYMBOLS_MAX, CANDLE_REPLY_BYTES_MAX};
use crate::names::{echo, require_stream};
use crate::reply::Long;
use crate::topic::Slot;
use codec::protocol::error::ErrorCode;
use codec::protocol::request::{Refusal, Request};
use codec::time::Now;
use codec::words::{Interval, State, Stream, Venue};
use std::collections::HashSet;

impl Core {
    pub(crate) fn get_candles(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let (venue, slot) = self.named_instrument(request)?;
        require_stream(venue, Stream::Candles)?;
        let interval = self.named_interval(request, venue)?;
        let count = required_count(request)?;
        self.answer_candles(client, request, (Shape::Single, interval), (&[slot], count), now)
    }

    pub(crate) fn get_candles_batch(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let venue = self.named_venue(request)?;
        require_stream(venue, Stream::Candles)?;
        let interval = self.named_interval(request, venue)?;
        let count = required_count(request)?;
        let shape = match request.text_or_none("layout")? {
            None | Some("rows") => Shape::Rows,
            Some("columns") => Shape::Columns,
            Some(other) => {
                return Err(Refusal::new(
                    ErrorCode::BadRequest,
                    format!("no layout {}; it is \"rows\" or \"columns\"", echo(other)),
                ));
            }
        };
        let symbols = request.list("symbols")?;
        let mut slots = Vec::new();
        let mut named = HashSet::new();
        for (place, symbol) in symbols.iter().enumerate() {
            if place == BATCH_SYMBOLS_MAX {
                return Err(Refusal::new(
                    ErrorCode::TooMany,
                    format!("`symbols` names more than {BATCH_SYMBOLS_MAX}; ask in several requests"),
                ));
            }
            let Some(symbol) = symbol.as_str() else {
                return Err(Refusal::new(
                    ErrorCode::BadRequest,
                    format!("`symbols` holds {}; it must be an array of strings", symbol.what()),
                ));
            };
            // The reply is a map: a symbol named twice is in it once.
            let slot = self.find_symbol(venue, symbol)?;
            if named.insert(slot) {
                slots.push(slot);
            }
        }
        self.answer_candles(client, request, (shape, interval), (&slots, count), now)
    }

    fn answer_candles(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        (shape, interval): (Shape, Interval),
        (slots, count): (&[Slot], usize),
        now: Now,
    ) -> Result<(), Refusal> {
        for &slot in slots {
            self.ask_candles(slot, interval);
        }
        self.require_loaded(slots, interval, now)?;
        let reply = CandleReply::new(request.id, (shape, interval), (slots, count), &self.replica, now);
        let reply = reply.map_err(|long| {
            Refusal::new(
                ErrorCode::TooMany,
                format!(
                    "{} candles would be a reply of {} MB; at most {} MB are sent, so ask for fewer symbols or a smaller `count`",
                    long.candles,
                    long.bytes / 1_000_000,
                    CANDLE_REPLY_BYTES_MAX / 1_000_000
                ),
            )
        })?;
        if let Some(client) = self.client_mut(client) {
            client.long = Some(Box::new(Long::Candles(reply)));
        }
        Ok(())
    }

    /// Refuses series whose past has not loaded, naming the first of them.
    fn require_loaded(&self, slots: &[Slot], interval: Interval, now: Now) -> Result<(), Refusal> {
        let is_ready = |slot: &Slot| {
            self.replica.instrument(*slot).series(interval).is_some_and(|series| series.is_ready())
        };
        let Some(&first) = slots.iter().find(|slot| !is_ready(slot)) else { return Ok(()) };
        let instrument = self.replica.instrument(first);
        if !instrument.is_carried() {
            return Err(Refusal::new(
                ErrorCode::UnknownSymbol,
                format!(
                    "{} is configured, but {} does not list it (any more): it has no candles",
                    instrument.symbol, instrument.venue
                ),
            ));
        }
        let others = slots.iter().filter(|slot| !is_ready(slot)).count() - 1;
        let whose = match others {
            0 => instrument.symbol.to_string(),
            _ => format!("{} and {others} more of the symbols asked for", instrument.symbol),
        };
        let status = instrument.status(Stream::Candles, now);
        let stream = match status.state {
            State::Live => String::new(),
            state => format!("; their stream is {state} ({})", status.reason),
        };
        Err(Refusal::new(
            ErrorCode::NotReady,
            format!(
                "the {interval} candles of {whose} have not loaded yet ({}){stream}; try again shortly",
                self.loaded_so_far(instrument.venue)
            ),
        ))
    }

    fn loaded_so_far(&self, venue: Venue) -> String {
        let totals = self.replica.venue(venue).map(|venue| self.replica.candle_totals(venue));
        let totals = totals.unwrap_or_default();
        format!("{} of {} series of {venue} loaded", totals.loaded, totals.total)
    }
}

fn required_count(request: &Request<'_>) -> Result<usize, Refusal> {
    request.at_least_one("count", ErrorCode::BadCount)?.ok_or_else(|| {
        Refusal::new(ErrorCode::BadRequest, "`count` is missing; it must be an integer of at least 1")
    })
}
