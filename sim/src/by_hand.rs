//! A venue without sockets, in virtual time: connections are opened, spoken on and cut, and REST is answered, by calls.
//!
//! ```text
//!   open, say, ping, pong, close, request ──▶ venue ──▶ Heard: texts, pings, ends of connections, answers
//!   pass_to(time) ───────────────────────────▶
//! ```
//! It does what the server does with real sockets, faults included: refused connections, failing TLS and names, slow
//! bytes, delayed answers, odd frames, cuts. REST needs no connection here; whoever simulates one asks
//! [`ByHand::connect`]. It never sleeps and reads no clock; a step may be a millisecond or an hour. The order of what is heard is that of the
//! venue. Two by-hand venues of one seed, configuration and sequence of calls hear the same.

use crate::binance::Binance;
use crate::config::Config;
use crate::counters::{Counters, SharedCounters};
use crate::error::SimError;
use crate::faults::{Fault, TlsHow};
use crate::framing::{self, Opcode};
use crate::hyperliquid::Hyperliquid;
use crate::market::{Interval, MarketHandle, NewFill, TruthCandle, Venue};
use crate::names::Names;
use crate::playback::PlaybackHandle;
use crate::protocol::{
    Action, Backlog, ConnectionId, ControlFrame, OddMessage, Protocol, Request, RequestId, Response, Target,
};
use crate::sim::{binance_protocol, hyperliquid_protocol};
use crate::transport::Transport;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use tungstenite::Utf8Bytes;

/// What a client of a by-hand venue hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A text message.
    Text(ConnectionId, Utf8Bytes),
    /// A binary message.
    Binary(ConnectionId, Vec<u8>),
    /// A text message in fragments as they came; they may be cut within a character.
    Fragments(ConnectionId, Vec<Vec<u8>>),
    /// A text message whose payload is not UTF-8.
    NotUtf8(ConnectionId, Vec<u8>),
    /// The first half of a frame, in bytes as on the wire; the end of the connection follows.
    HalfFrame(ConnectionId, Vec<u8>),
    /// A WebSocket ping, to be answered with its payload.
    Ping(ConnectionId, Vec<u8>),
    /// The connection was closed with a close frame; it is gone.
    Closed(ConnectionId, u16, &'static str),
    /// The connection ended without a close frame (1006 at a client), by a reset if so; it is gone.
    Dropped(ConnectionId, bool),
    /// The answer to a request. A request that a fault leaves without an answer is never heard of.
    Answer(RequestId, Response),
}

impl Heard {
    /// The connection and the bytes that came on it, as a client's frame reader gets them; `None` for what is no frame.
    pub fn to_bytes(&self) -> Option<(ConnectionId, Vec<u8>)> {
        Some(match self {
            Self::Text(id, text) => (*id, framing::frame(Opcode::Text, text.as_bytes())),
            Self::Binary(id, payload) => (*id, framing::frame(Opcode::Binary, payload)),
            Self::Fragments(id, parts) => (*id, framing::fragments(parts)),
            Self::NotUtf8(id, payload) => (*id, framing::frame(Opcode::Text, payload)),
            Self::HalfFrame(id, bytes) => (*id, bytes.clone()),
            Self::Ping(id, payload) => (*id, framing::frame(Opcode::Ping, payload)),
            Self::Closed(id, code, reason) => {
                let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
                (*id, framing::frame(Opcode::Close, &payload))
            }
            Self::Dropped(..) | Self::Answer(..) => return None,
        })
    }

    /// The bytes it takes on the wire, about.
    fn length_bytes(&self) -> usize {
        match self {
            Self::Text(_, text) => text.len(),
            Self::Answer(_, response) => response.body.len(),
            other => other.to_bytes().map_or(0, |(_, bytes)| bytes.len()),
        }
    }
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The TCP connection was closed at once.
    Refused,
    /// TLS failed.
    Tls(TlsHow),
    /// The handshake was answered with this.
    Answered(Response),
}

/// See the module.
pub struct ByHand<P: Protocol> {
    venue: P,
    which: Venue,
    market: MarketHandle,
    counters: SharedCounters,
    playback: Option<PlaybackHandle>,
    now_ms: i64,
    wait_ms: i64,
    next_id: u64,
    open: BTreeSet<ConnectionId>,
    heard: VecDeque<Heard>,
    actions: Vec<Action>,
    transport: Transport,
    names: Names,
    /// What is heard later, by when and in which order.
    later: BTreeMap<(i64, u64), Heard>,
    laters: u64,
    /// While everything comes slowly: when the last byte of each connection comes.
    busy_until_ms: BTreeMap<ConnectionId, i64>,
}

/// Nobody's socket is ever full.
struct NoBacklog;

impl Backlog for NoBacklog {
    fn backlog_bytes(&self, _connection: ConnectionId) -> usize {
        0
    }
}

impl ByHand<Binance> {
    /// Binance as configured, at a moment. Only the seed, the tick and the venue's own part of the configuration count.
    pub fn binance(config: &Config, start_ms: i64) -> Result<Self, SimError> {
        let (venue, parts) = binance_protocol(config, start_ms)?;
        Ok(Self::new(venue, Venue::Binance, parts, start_ms))
    }
}

impl ByHand<Hyperliquid> {
    /// Hyperliquid as configured, at a moment.
    pub fn hyperliquid(config: &Config, start_ms: i64) -> Result<Self, SimError> {
        let (venue, parts) = hyperliquid_protocol(config, start_ms)?;
        Ok(Self::new(venue, Venue::Hyperliquid, parts, start_ms))
    }
}

impl<P: Protocol> ByHand<P> {
    fn new(
        venue: P,
        which: Venue,
        (counters, market, playback): (SharedCounters, MarketHandle, Option<PlaybackHandle>),
        start_ms: i64,
    ) -> Self {
        Self {
            venue,
            which,
            market,
            counters,
            playback,
            now_ms: start_ms,
            wait_ms: 0,
            next_id: 1,
            open: BTreeSet::new(),
            heard: VecDeque::new(),
            actions: Vec::new(),
            transport: Transport::default(),
            names: Names::new(443),
            later: BTreeMap::new(),
            laters: 0,
            busy_until_ms: BTreeMap::new(),
        }
    }

    /// Which venue.
    pub fn venue(&self) -> Venue {
        self.which
    }

    /// The virtual time.
    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// The truth about the market.
    pub fn market(&self) -> &MarketHandle {
        &self.market
    }

    /// A copy of the counters now.
    pub fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    /// The playback, if one was configured.
    pub fn playback(&self) -> Option<&PlaybackHandle> {
        self.playback.as_ref()
    }

    /// The same as [`crate::VenueHandle::candles`].
    pub fn candles(
        &self,
        symbol: &str,
        interval: &str,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<TruthCandle>, SimError> {
        let interval =
            Interval::from_name(interval).ok_or_else(|| SimError::UnknownInterval(interval.to_owned()))?;
        match &self.playback {
            Some(playback) => playback.candles(symbol, interval, from_ms, before_ms),
            None => self.market.candles(symbol, interval, from_ms, before_ms),
        }
    }

    /// Lets an account trade at the next block.
    pub fn add_fill(&self, symbol: &str, fill: NewFill) -> Result<(), SimError> {
        self.market.add_fill(symbol, fill)
    }

    /// Whether a connection can be made now: what a request that needs a new one has to ask first.
    pub fn connect(&self) -> Result<(), NotOpened> {
        if self.transport.refuses(self.now_ms).is_some() {
            return Err(NotOpened::Refused);
        }
        self.transport.tls_failure(self.now_ms).map_or(Ok(()), |how| Err(NotOpened::Tls(how)))
    }

    /// Looks a name up now.
    pub fn lookup(&self, host: &str) -> std::io::Result<Vec<SocketAddr>> {
        self.names.lookup_at(host, self.now_ms)
    }

    /// Opens a WebSocket at a path (`/ws`, `/public/stream?streams=…`).
    pub fn open(&mut self, path: &str) -> Result<ConnectionId, NotOpened> {
        self.connect()?;
        let id = self.next_id;
        self.next_id += 1;
        let opened = self.venue.open(id, &Target::parse(path), self.now_ms, &mut self.actions);
        opened.map_err(NotOpened::Answered)?;
        self.open.insert(id);
        self.carry_out();
        Ok(id)
    }

    /// Whether a connection is open.
    pub fn is_open(&self, connection: ConnectionId) -> bool {
        self.open.contains(&connection)
    }

    /// Sends a text; false if the connection is gone.
    pub fn say(&mut self, connection: ConnectionId, text: &str) -> bool {
        let open = self.is_open(connection);
        if open {
            self.venue.text(connection, text, self.now_ms, &mut self.actions);
            self.carry_out();
        }
        open
    }

    /// Sends a ping, or a pong with the payload of a ping heard; false if the connection is gone.
    pub fn send_control(&mut self, connection: ConnectionId, frame: ControlFrame) -> bool {
        let open = self.is_open(connection);
        if open {
            self.venue.control(connection, frame, self.now_ms, &mut self.actions);
            self.carry_out();
        }
        open
    }

    /// Ends a connection from the client's side, as a cut of the network does as well.
    pub fn close(&mut self, connection: ConnectionId) {
        if self.open.remove(&connection) {
            self.venue.closed(connection, self.now_ms);
            self.forget_later(connection);
        }
    }

    /// Sends a request; its answer is heard later, at once unless a fault or a playback holds it back.
    pub fn request(&mut self, request: &Request) -> RequestId {
        let id = self.next_id;
        self.next_id += 1;
        self.venue.request(id, request, self.now_ms, &mut self.actions);
        self.carry_out();
        id
    }

    /// A GET of a path with its query.
    pub fn get(&mut self, path: &str) -> RequestId {
        self.request(&Request {
            method: "GET".to_owned(),
            target: Target::parse(path),
            headers: Vec::new(),
            body: Vec::new(),
        })
    }

    /// A POST of JSON.
    pub fn post(&mut self, path: &str, body: &str) -> RequestId {
        self.request(&Request {
            method: "POST".to_owned(),
            target: Target::parse(path),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.as_bytes().to_vec(),
        })
    }

    /// Makes something go wrong.
    pub fn fault(&mut self, fault: &Fault) -> Result<(), SimError> {
        if let Fault::DnsFailure { for_ms } = fault {
            self.names.fail_until(self.now_ms + for_ms);
            return Ok(());
        }
        let done = self.venue.fault(fault, self.now_ms, &mut self.actions);
        self.carry_out();
        done
    }

    /// Lets time pass up to a moment, in one step; going back does nothing.
    pub fn pass_to(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.release_later();
        self.wait_ms = self.venue.tick(self.now_ms, &NoBacklog, &mut self.actions);
        self.carry_out();
    }

    fn release_later(&mut self) {
        while let Some(due) = self.later.first_entry() {
            if due.key().0 > self.now_ms {
                break;
            }
            let (_, heard) = due.remove_entry();
            self.heard.push_back(heard);
        }
    }

    /// What was still on its way to a connection is lost.
    fn forget_later(&mut self, connection: ConnectionId) {
        if self.busy_until_ms.remove(&connection).is_some() {
            self.later.retain(|_, heard| heard.to_bytes().is_none_or(|(to, _)| to != connection));
        }
    }

    /// When the venue would be looked at next if it were served over sockets.
    pub fn next_look_ms(&self) -> i64 {
        let venue_ms = self.now_ms + self.wait_ms.max(0);
        self.later.first_key_value().map_or(venue_ms, |((due_ms, _), _)| venue_ms.min(*due_ms))
    }

    /// What was heard first of what has not been taken yet.
    pub fn next_heard(&mut self) -> Option<Heard> {
        self.heard.pop_front()
    }

    /// Takes all that was heard.
    pub fn drain_heard(&mut self) -> impl Iterator<Item = Heard> + '_ {
        self.heard.drain(..)
    }

    fn end(&mut self, connection: ConnectionId, heard: Heard) {
        if self.open.remove(&connection) {
            self.venue.closed(connection, self.now_ms);
            if matches!(heard, Heard::Dropped(..)) {
                self.forget_later(connection);
            }
            self.hear(connection, heard);
            self.busy_until_ms.remove(&connection);
        }
    }

    /// Lets something be heard when its last byte has come.
    fn hear(&mut self, connection: ConnectionId, heard: Heard) {
        let drip = self.transport.drip_bytes_per_s(self.now_ms);
        if drip.is_none()
            && self.busy_until_ms.get(&connection).is_none_or(|until_ms| *until_ms <= self.now_ms)
        {
            return self.heard.push_back(heard);
        }
        let milliseconds = heard.length_bytes() as u64 * 1000 / drip.unwrap_or(u64::MAX);
        let free_ms =
            self.busy_until_ms.get(&connection).map_or(self.now_ms, |until_ms| self.now_ms.max(*until_ms));
        // At the end of the fault the rest comes at once, but never before what was sent before it.
        let last_ms = free_ms.max(self.transport.drip_until_ms());
        let due_ms = free_ms.saturating_add_unsigned(milliseconds).min(last_ms);
        self.busy_until_ms.insert(connection, due_ms);
        self.hear_at(due_ms, heard);
    }

    fn hear_at(&mut self, due_ms: i64, heard: Heard) {
        if due_ms <= self.now_ms {
            return self.heard.push_back(heard);
        }
        self.laters += 1;
        self.later.insert((due_ms, self.laters), heard);
    }

    /// An answer is heard when a fault lets it, but not before this time.
    fn answer(&mut self, request: RequestId, response: Response, at_ms: i64) {
        let heard = Heard::Answer(request, response);
        let mut at_ms = at_ms.max(self.transport.answer_at_ms(self.now_ms));
        if let Some(bytes_per_s) = self.transport.drip_bytes_per_s(self.now_ms) {
            at_ms = at_ms.saturating_add_unsigned(heard.length_bytes() as u64 * 1000 / bytes_per_s);
        }
        self.hear_at(at_ms, heard);
    }

    fn carry_out(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Text(id, text) if self.is_open(id) => self.hear(id, Heard::Text(id, text)),
                Action::Ping(id, payload) if self.is_open(id) => self.hear(id, Heard::Ping(id, payload)),
                Action::Odd(id, message) if self.is_open(id) => {
                    let heard = match message {
                        OddMessage::Binary(payload) => Heard::Binary(id, payload),
                        OddMessage::Fragments(parts) => Heard::Fragments(id, parts),
                        OddMessage::NotUtf8(payload) => Heard::NotUtf8(id, payload),
                    };
                    self.hear(id, heard);
                }
                Action::Text(..) | Action::Ping(..) | Action::Odd(..) => {}
                Action::Half { connection, of_record } if self.is_open(connection) => {
                    self.forget_later(connection);
                    // Nothing of half a TLS record is ever heard.
                    if !of_record {
                        let mut half = framing::unfinished();
                        half.truncate(half.len() / 2);
                        self.heard.push_back(Heard::HalfFrame(connection, half));
                    }
                    self.end(connection, Heard::Dropped(connection, false));
                }
                Action::Half { .. } => {}
                Action::Close(id, code, reason) => self.end(id, Heard::Closed(id, code, reason)),
                Action::Drop(id) => self.end(id, Heard::Dropped(id, false)),
                Action::Reset(id) => self.end(id, Heard::Dropped(id, true)),
                Action::Respond(id, response) => self.answer(id, response, self.now_ms),
                Action::RespondAt(id, response, at_ms) => self.answer(id, response, at_ms),
                Action::Transport(fault) => self.transport.begin(&fault, self.now_ms),
            }
        }
        self.actions = actions;
    }
}
