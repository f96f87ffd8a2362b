//! Queries: answered from the replica.

use crate::client::ClientId;
use crate::core::Core;
use crate::limits::HISTORY_DEPTH;
use crate::names::require_stream;
use crate::reply::{Long, LongReply, Rows};
use crate::topic::Slot;
use codec::protocol::error::ErrorCode;
use codec::protocol::message::{self, Extra, Frame, StatusView, put_instrument};
use codec::protocol::pack;
use codec::protocol::request::{Refusal, Request};
use codec::time::Now;
use codec::words::{State, Stream};

/// Refuses what is not live, unless that is allowed; whether it is to be marked stale.
fn require_live(served: bool, allow_stale: bool, what: &str, status: &StatusView) -> Result<bool, Refusal> {
    if served {
        return Ok(false);
    }
    if allow_stale {
        return Ok(true);
    }
    Err(Refusal::new(
        ErrorCode::NotLive,
        format!(
            "{what} is {} ({}), last data {} ms ago; ask with `allow_stale` to get it all the same",
            status.state, status.reason, status.age_ms
        ),
    ))
}

impl Core {
    fn reply_long(&mut self, client: ClientId, request: &Request<'_>, slot: Slot, rows: Rows) {
        let names = self.replica.instrument(slot).names.clone();
        let long = LongReply::new(request.id, names, rows);
        if let Some(client) = self.client_mut(client) {
            client.long = Some(Box::new(Long::Rows(long)));
        }
    }

    pub(crate) fn get_symbols(&mut self, client: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        let venue = self.named_venue(request)?;
        let mut out = Vec::new();
        let frame = Frame::begin(&mut out, request.id, "symbols");
        let carried =
            || venue.sorted.iter().map(|&slot| self.replica.instrument(slot)).filter(|one| one.is_carried());
        pack::array(&mut out, carried().count());
        for instrument in carried() {
            pack::string(&mut out, &instrument.symbol);
        }
        frame.end(&mut out);
        self.reply(client, |to| to.append(&mut out));
        Ok(())
    }

    pub(crate) fn get_instruments(&mut self, client: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        let venue = self.named_venue(request)?;
        let mut out = Vec::new();
        let frame = Frame::begin(&mut out, request.id, "instruments");
        let known = || {
            venue.sorted.iter().filter_map(|&slot| {
                let instrument = self.replica.instrument(slot);
                let body = instrument.body.as_ref().filter(|_| !instrument.is_awaited())?;
                Some((instrument, body))
            })
        };
        pack::array(&mut out, known().count());
        for (instrument, body) in known() {
            put_instrument(&mut out, &instrument.names, body, instrument.tick_size());
        }
        frame.end(&mut out);
        self.reply(client, |to| to.append(&mut out));
        Ok(())
    }

    pub(crate) fn get_orderbook(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let (venue, slot) = self.named_instrument(request)?;
        require_stream(venue, Stream::Orderbook)?;
        let depth_max = self.config.retention.orderbook_depth;
        let depth = request.at_least_one("depth", ErrorCode::BadDepth)?.unwrap_or(depth_max).min(depth_max);
        let allow_stale = request.flag("allow_stale")?;
        self.ask(slot, Stream::Orderbook);
        let instrument = self.replica.instrument(slot);
        let what = format!("the book of {}", instrument.symbol);
        let status = instrument.status(Stream::Orderbook, now);
        let stale = require_live(instrument.book.is_served(), allow_stale, &what, &status)?;
        if !instrument.book.is_loaded() {
            return Err(nothing_yet(&what, &status));
        }
        let Self { clients, window, replica, .. } = self;
        let instrument = replica.instrument(slot);
        instrument.book.show(window, depth);
        if let Some(client) = clients.get_mut(client as usize).and_then(Option::as_deref_mut) {
            let levels = (&window.bids[..], &window.asks[..]);
            let extra = Extra { stale, conflated: 0 };
            message::book(&mut client.out, request.id, true, &instrument.names, &window.meta, levels, extra);
        }
        Ok(())
    }

    pub(crate) fn get_orderbook_history(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
    ) -> Result<(), Refusal> {
        let (venue, slot) = self.named_instrument(request)?;
        require_stream(venue, Stream::Orderbook)?;
        let count = count(request)?;
        let depth = request.at_least_one("depth", ErrorCode::BadDepth)?.unwrap_or(HISTORY_DEPTH);
        let rows = self.replica.instrument(slot).books.newest(count);
        self.reply_long(client, request, slot, Rows::Books { rows, depth });
        Ok(())
    }

    pub(crate) fn get_quote(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let (venue, slot) = self.named_instrument(request)?;
        require_stream(venue, Stream::Quotes)?;
        let allow_stale = request.flag("allow_stale")?;
        self.ask(slot, Stream::Quotes);
        let instrument = self.replica.instrument(slot);
        let what = format!("the quote of {}", instrument.symbol);
        let status = instrument.status(Stream::Quotes, now);
        let stale = require_live(instrument.is_served(Stream::Quotes), allow_stale, &what, &status)?;
        let Some(row) = instrument.quote.map(|quote| quote.row) else {
            return Err(nothing_yet(&what, &status));
        };
        let names = instrument.names.clone();
        self.reply(client, |out| message::quote_reply(out, request.id, &names, row.times, &row.body, stale));
        Ok(())
    }

    /// `get_quotes` and `get_trades`.
    pub(crate) fn get_rows(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        stream: Stream,
    ) -> Result<(), Refusal> {
        let (venue, slot) = self.named_instrument(request)?;
        require_stream(venue, stream)?;
        let count = count(request)?;
        self.ask(slot, stream);
        let instrument = self.replica.instrument(slot);
        let rows = match stream {
            Stream::Quotes => Rows::Quotes(instrument.quotes.newest(count)),
            _ => Rows::Trades(instrument.trades.newest(count)),
        };
        self.reply_long(client, request, slot, rows);
        Ok(())
    }

    pub(crate) fn get_funding(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let (venue, slot) = self.named_instrument(request)?;
        require_stream(venue, Stream::Funding)?;
        self.ask(slot, Stream::Funding);
        let instrument = self.replica.instrument(slot);
        let Some(funding) = instrument.funding else {
            let status = instrument.status(Stream::Funding, now);
            return Err(Refusal::new(
                ErrorCode::NotReady,
                format!(
                    "the funding of {} has not come yet ({}, {})",
                    instrument.symbol, status.state, status.reason
                ),
            ));
        };
        let names = instrument.names.clone();
        let times = message::Times::of(&funding.header);
        self.reply(client, |out| message::funding(out, request.id, &names, times, &funding.body));
        Ok(())
    }
}

fn nothing_yet(what: &str, status: &StatusView) -> Refusal {
    let state = if status.state == State::Live { State::Warming } else { status.state };
    Refusal::new(
        ErrorCode::NotLive,
        format!("{what} is {state} ({}); nothing of it has come yet", status.reason),
    )
}

/// How many rows are asked for; all, when not said.
fn count(request: &Request<'_>) -> Result<usize, Refusal> {
    Ok(request.at_least_one("count", ErrorCode::BadCount)?.unwrap_or(usize::MAX))
}
