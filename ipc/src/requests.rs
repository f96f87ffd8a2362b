//! Requests: told apart by their type and answered.

use crate::client::ClientId;
use crate::core::{Core, shutting_down};
use crate::counters::add;
use crate::event::Event;
use crate::limits::REPLY_BYTES_PER_TURN;
use crate::names::{echo, suggestion};
use crate::topic::Encoding;
use codec::protocol::PROTOCOL;
use codec::protocol::error::ErrorCode;
use codec::protocol::message::{self, Frame};
use codec::protocol::pack;
use codec::protocol::request::{Id, Refusal, Request};
use codec::time::Now;
use codec::words::Stream;

/// Every request there is, for suggestions.
const TYPES: &[&str] = &[
    "hello",
    "ping",
    "get_symbols",
    "get_instruments",
    "get_candles",
    "get_candles_batch",
    "get_orderbook",
    "get_orderbook_history",
    "get_quote",
    "get_quotes",
    "get_trades",
    "get_funding",
    "get_status",
    "subscribe_orderbook",
    "subscribe_quote",
    "subscribe_trades",
    "subscribe_funding",
    "subscribe_candles",
    "subscribe_all_candles",
    "subscribe_all_trades",
    "subscribe_all_quotes",
    "subscribe_fills",
    "unsubscribe",
];

impl Core {
    /// Answers one frame.
    pub(crate) fn handle(&mut self, client: ClientId, frame: &[u8], now: Now) {
        add(&self.outlets.counters.requests_total, 1);
        match Request::read(frame) {
            Ok(request) => {
                if let Err(refusal) = self.answer(client, &request, now) {
                    self.refuse(client, request.id, &refusal);
                }
            }
            Err((id, refusal)) => {
                if refusal.code == ErrorCode::Malformed {
                    self.tell(Event::Malformed { client });
                }
                self.refuse(client, id, &refusal);
            }
        }
    }

    fn refuse(&mut self, client: ClientId, id: Option<Id<'_>>, refusal: &Refusal) {
        add(&self.outlets.counters.errors_total, 1);
        // Looking for the nearest name costs more than its few bytes.
        self.reply_bytes += REPLY_BYTES_PER_TURN / 8;
        self.reply(client, |out| message::error(out, id, refusal));
    }

    /// Appends to what a client is written next.
    pub(crate) fn reply(&mut self, client: ClientId, put: impl FnOnce(&mut Vec<u8>)) {
        if let Some(client) = self.client_mut(client) {
            put(&mut client.out);
        }
    }

    fn answer(&mut self, client: ClientId, request: &Request<'_>, now: Now) -> Result<(), Refusal> {
        if self.shutting_down {
            return Err(shutting_down());
        }
        match request.kind {
            "hello" => self.hello(client, request),
            "ping" => {
                self.reply(client, |out| message::empty(out, request.id, "pong"));
                Ok(())
            }
            "get_symbols" => self.get_symbols(client, request),
            "get_instruments" => self.get_instruments(client, request),
            "get_candles" => self.get_candles(client, request, now),
            "get_candles_batch" => self.get_candles_batch(client, request, now),
            "get_orderbook" => self.get_orderbook(client, request, now),
            "get_orderbook_history" => self.get_orderbook_history(client, request),
            "get_quote" => self.get_quote(client, request, now),
            "get_quotes" => self.get_rows(client, request, Stream::Quotes),
            "get_trades" => self.get_rows(client, request, Stream::Trades),
            "get_funding" => self.get_funding(client, request, now),
            "get_status" => self.get_status(client, request, now),
            "unsubscribe" => self.unsubscribe(client, request),
            kind if kind.starts_with("subscribe_") && TYPES.contains(&kind) => {
                self.subscribe(client, request, now)
            }
            other => {
                let hint = suggestion(other, TYPES.iter().copied(), 0);
                Err(Refusal::new(ErrorCode::UnknownType, format!("no request of type {}{hint}", echo(other))))
            }
        }
    }

    fn hello(&mut self, client: ClientId, request: &Request<'_>) -> Result<(), Refusal> {
        request.text_or_none("client")?;
        let encoding = match request.text_or_none("encoding")? {
            None => None,
            Some("msgpack") => Some(Encoding::Msgpack),
            Some("record") => Some(Encoding::Record),
            Some(other) => {
                return Err(Refusal::new(
                    ErrorCode::BadRequest,
                    format!("no encoding {}; it is \"msgpack\" or \"record\"", echo(other)),
                ));
            }
        };
        let Some(state) = self.client_mut(client) else { return Ok(()) };
        if let Some(encoding) = encoding.filter(|encoding| *encoding != state.encoding) {
            if !state.subscriptions.is_empty() {
                return Err(Refusal::new(
                    ErrorCode::BadRequest,
                    "the encoding cannot change while there are subscriptions; say `hello` before subscribing",
                ));
            }
            state.encoding = encoding;
        }
        let Self { clients, config, replica, .. } = self;
        let Some(state) = clients.get_mut(client as usize).and_then(Option::as_deref_mut) else {
            return Ok(());
        };
        let out = &mut state.out;
        let frame = Frame::begin(out, request.id, "hello");
        pack::map(out, 5);
        pack::string(out, "server");
        pack::string(out, &config.server);
        pack::string(out, "version");
        pack::string(out, &config.version);
        pack::string(out, "protocol");
        pack::uint(out, PROTOCOL);
        pack::string(out, "run_id");
        pack::string(out, &format!("{:016x}", config.run_id));
        pack::string(out, "venues");
        pack::array(out, replica.venues().len());
        for venue in replica.venues() {
            pack::string(out, venue.config.venue.as_str());
        }
        frame.end(out);
        Ok(())
    }
}
