//! Sessions: one state machine per venue, without socket, clock, thread or random source.
//!
//! A session is told what happened (a connection opened or closed, a message came, a fetch ended, time
//! passed) together with the time, publishes records, and asks for things by pushing [`Action`]s. The
//! driver ([`crate::driver`]) carries the actions out; a test, a fuzzer or a simulation can do so just as
//! well.
//!
//! ```text
//!            on_start, on_connected, on_message, on_closed, on_fetched, on_tick
//!   driver ────────────────────────────────────────────────────────────▶ session
//!      ▲                                                                 │    │
//!      └──────────── Action: Connect, Send, Close, Fetch ◀───────────────┘    └──▶ Publisher ──▶ rings
//! ```

use self::account::Account;
use crate::event::Event;
use crate::fetch::{FetchRequest, Fetched};
use crate::publisher::Publisher;
use codec::candle::Candle;
use codec::drift::DriftTable;
use codec::time::Now;
use codec::words::{Interval, Stream, Venue};
use std::collections::VecDeque;
use std::sync::Arc;

pub mod account;
pub mod backoff;
pub mod binance;
pub mod cadence;
pub mod candles;
pub mod drift;
pub mod hyperliquid;
pub mod lifecycle;
pub mod pace;
pub mod settings;
pub mod states;
pub mod symbols;
pub mod turns;
pub mod venue_clock;

/// Which of a venue's connections: a slot number, the `source` in record headers.
pub type Link = u8;

/// One attempt at a connection on a link. Whatever arrives under an older one is dropped by the driver.
pub type Generation = u32;

/// What a session asks its driver to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Open a WebSocket to `url`; answered by `on_connected` or `on_closed`.
    Connect {
        /// Slot to open; it has no connection now.
        link: Link,
        /// Number of this attempt.
        generation: Generation,
        /// `wss://…` or `ws://…`, path included.
        url: String,
    },
    /// Send one text message.
    Send {
        /// Slot.
        link: Link,
        /// The message.
        text: String,
    },
    /// Send a protocol ping.
    Ping {
        /// Slot.
        link: Link,
    },
    /// Close the connection and forget it: no `on_closed` follows.
    Close {
        /// Slot.
        link: Link,
    },
    /// Fetch by REST; answered by `on_fetched`.
    Fetch(FetchRequest),
}

/// Why a connection is no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloseCause {
    /// It could not be made: what was tried and what went wrong.
    ConnectFailed(String),
    /// The venue closed it, with this WebSocket code if it sent one.
    ClosedByVenue(Option<u16>),
    /// Cut: end of stream or an I/O error.
    Dropped(String),
    /// The venue broke the WebSocket protocol or one of our limits.
    Protocol(&'static str),
}

impl CloseCause {
    /// A fixed phrase for the log, and particulars.
    #[must_use]
    pub fn describe(&self) -> (&'static str, String) {
        match self {
            Self::ConnectFailed(why) => ("connection failed, trying again", why.clone()),
            Self::ClosedByVenue(code) => (
                "connection closed by the venue, reconnecting",
                code.map_or_else(String::new, |code| format!("code {code}")),
            ),
            Self::Dropped(why) => ("connection lost, reconnecting", why.clone()),
            Self::Protocol(why) => ("venue broke the protocol, reconnecting", (*why).to_owned()),
        }
    }
}

/// What somebody wants, or no longer wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The instrument's number in this run.
    pub instrument: u32,
    /// The stream.
    pub stream: Stream,
    /// Of candles: which.
    pub interval: Option<Interval>,
    /// Whether it is wanted now.
    pub wanted: bool,
}

/// What history knows when it has loaded a series of candles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleSeed {
    /// The venue.
    pub venue: Venue,
    /// The instrument's number in this run.
    pub instrument: u32,
    /// The interval.
    pub interval: Interval,
    /// The newest closed candle.
    pub last: Candle,
    /// Of an interval that is made of the finest one: the closed candles of that after `last` as one, and
    /// the end (exclusive, ms) of what they cover.
    pub base: Option<(Candle, u64)>,
}

/// Where a session's results go.
pub struct Out<'a> {
    /// Records, to the rings.
    pub publisher: &'a mut Publisher,
    /// Requests, to the driver; carried out in order when the call returns.
    pub actions: &'a mut VecDeque<Action>,
    /// Things worth a log line, to the ops thread.
    pub events: &'a mut dyn FnMut(Event),
}

/// A venue's state machine.
pub trait Session {
    /// The venue.
    fn venue(&self) -> Venue;
    /// The daemon starts. Called once, first.
    fn on_start(&mut self, now: Now, out: &mut Out<'_>);
    /// A connection asked for is open.
    fn on_connected(&mut self, link: Link, generation: Generation, now: Now, out: &mut Out<'_>);
    /// A connection is gone, or could not be made.
    fn on_closed(
        &mut self,
        link: Link,
        generation: Generation,
        cause: &CloseCause,
        now: Now,
        out: &mut Out<'_>,
    );
    /// One whole text message. `now.wall_ns` is the receive time of its first byte.
    fn on_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>);
    /// One whole binary message: the venues send none, so nobody knows what it held.
    fn on_binary(&mut self, _link: Link, _message: &[u8], _now: Now, _out: &mut Out<'_>) {}
    /// The venue answered a protocol ping.
    fn on_pong(&mut self, link: Link, now: Now, out: &mut Out<'_>);
    /// The venue sent a protocol ping; the driver has answered it already.
    fn on_ping(&mut self, link: Link, now: Now, out: &mut Out<'_>);
    /// A fetch ended, well or not.
    fn on_fetched(&mut self, fetched: Fetched, now: Now, out: &mut Out<'_>);
    /// Time passed: called at least every [`crate::limits::TICK_MS`].
    fn on_tick(&mut self, now: Now, out: &mut Out<'_>);
    /// Somebody wants (or no longer wants) a stream of an instrument: serve it first.
    fn on_interest(&mut self, interest: &Interest);
    /// History has loaded a series of candles: what follows is said by the session.
    fn on_seed(&mut self, seed: &CandleSeed, now: Now, out: &mut Out<'_>);
    /// The daemon stops: say so on every stream.
    fn on_shutdown(&mut self, now: Now, out: &mut Out<'_>);
    /// What came and what became of it, for whoever reads figures; `None` of a session that keeps no account.
    fn account(&self) -> Option<Arc<Account>> {
        None
    }
    /// How the venue differs from what is known of it; `None` of a session that does not look.
    fn drift(&self) -> Option<Arc<DriftTable>> {
        None
    }
}
