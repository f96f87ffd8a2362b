//! A venue without sockets, in virtual time: connections are opened, spoken on and cut, and REST is answered, by calls.
//!
//! ```text
//!   open, say, ping, pong, close, request ──▶ venue ──▶ Heard: texts, pings, ends of connections, answers
//!   pass_to(time) ───────────────────────────▶
//! ```
//! It does what the server does with real sockets, faults included: refused connections, delayed answers, cuts. It
//! never sleeps and reads no clock; a step may be a millisecond or an hour. The order of what is heard is that of the
//! venue. Two by-hand venues of one seed, configuration and sequence of calls hear the same.

use crate::binance::Binance;
use crate::config::Config;
use crate::counters::{Counters, SharedCounters};
use crate::error::SimError;
use crate::faults::Fault;
use crate::hyperliquid::Hyperliquid;
use crate::market::{Interval, MarketHandle, NewFill, TruthCandle, Venue};
use crate::playback::PlaybackHandle;
use crate::protocol::{
    Action, Backlog, ConnectionId, ControlFrame, Protocol, Request, RequestId, Response, Target,
};
use crate::sim::{binance_protocol, hyperliquid_protocol};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use tungstenite::Utf8Bytes;

/// What a client of a by-hand venue hears.
#[derive(Clone, Debug)]
pub enum Heard {
    /// A text message.
    Text(ConnectionId, Utf8Bytes),
    /// A WebSocket ping, to be answered with its payload.
    Ping(ConnectionId, Vec<u8>),
    /// The connection was closed with a close frame; it is gone.
    Closed(ConnectionId, u16, &'static str),
    /// The connection ended without a close frame (1006 at a client), by a reset if so; it is gone.
    Dropped(ConnectionId, bool),
    /// The answer to a request. A request that a fault leaves without an answer is never heard of.
    Answer(RequestId, Response),
}

/// Why there is no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotOpened {
    /// The TCP connection was closed at once.
    Refused,
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
    refuse_until_ms: i64,
    /// By how much answers are held back, and until when.
    delay: (i64, i64),
    delayed: BTreeMap<(i64, RequestId), Response>,
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
            refuse_until_ms: i64::MIN,
            delay: (0, i64::MIN),
            delayed: BTreeMap::new(),
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

    /// Opens a WebSocket at a path (`/ws`, `/public/stream?streams=…`).
    pub fn open(&mut self, path: &str) -> Result<ConnectionId, NotOpened> {
        if self.now_ms < self.refuse_until_ms {
            return Err(NotOpened::Refused);
        }
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
        let done = self.venue.fault(fault, self.now_ms, &mut self.actions);
        self.carry_out();
        done
    }

    /// Lets time pass up to a moment, in one step; going back does nothing.
    pub fn pass_to(&mut self, now_ms: i64) {
        self.now_ms = self.now_ms.max(now_ms);
        self.wait_ms = self.venue.tick(self.now_ms, &NoBacklog, &mut self.actions);
        self.carry_out();
        while let Some(due) = self.delayed.first_entry() {
            if due.key().0 > self.now_ms {
                break;
            }
            let ((_, request), response) = due.remove_entry();
            self.heard.push_back(Heard::Answer(request, response));
        }
    }

    /// When the venue would be looked at next if it were served over sockets.
    pub fn next_look_ms(&self) -> i64 {
        self.now_ms + self.wait_ms.max(0)
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
            self.heard.push_back(heard);
        }
    }

    fn carry_out(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Text(id, text) if self.is_open(id) => self.heard.push_back(Heard::Text(id, text)),
                Action::Ping(id, payload) if self.is_open(id) => {
                    self.heard.push_back(Heard::Ping(id, payload));
                }
                Action::Text(..) | Action::Ping(..) => {}
                Action::Close(id, code, reason) => self.end(id, Heard::Closed(id, code, reason)),
                Action::Drop(id) => self.end(id, Heard::Dropped(id, false)),
                Action::Reset(id) => self.end(id, Heard::Dropped(id, true)),
                Action::Respond(id, response) => {
                    let (delay_ms, until_ms) = self.delay;
                    if self.now_ms < until_ms && delay_ms > 0 {
                        self.delayed.insert((self.now_ms + delay_ms, id), response);
                    } else {
                        self.heard.push_back(Heard::Answer(id, response));
                    }
                }
                Action::RefuseUntil(until_ms) => self.refuse_until_ms = until_ms,
                Action::DelayRest { delay_ms, until_ms } => self.delay = (delay_ms, until_ms),
            }
        }
        self.actions = actions;
    }
}
