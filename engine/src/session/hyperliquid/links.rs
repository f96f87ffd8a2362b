//! One Hyperliquid connection: one subscription a message, acknowledged by its echo, kept alive by pings.

use crate::limits::{ACK_DEADLINE_MS, HYPERLIQUID_PING_MS, HYPERLIQUID_PONG_DEADLINE_MS};
use crate::session::backoff::{Backoff, Random};
use crate::session::lifecycle::{Lifecycle, Silence, SilenceLimits};
use crate::session::pace::Pace;
use crate::session::{Action, Link};
use codec::time::Now;
use codec::venues::hyperliquid::Subscription;
use std::collections::VecDeque;

/// A kind of subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// `l2Book` with `fast: true`.
    FastBook,
    /// `l2Book`.
    DefaultBook,
    /// `bbo`.
    Bbo,
    /// `trades`.
    Trades,
}

impl Channel {
    fn matches(self, echoed: &Subscription<'_>) -> bool {
        match self {
            Self::FastBook => echoed.kind == "l2Book" && echoed.fast,
            Self::DefaultBook => echoed.kind == "l2Book" && !echoed.fast,
            Self::Bbo => echoed.kind == "bbo",
            Self::Trades => echoed.kind == "trades",
        }
    }

    /// The whole subscription object, replayed verbatim at every reconnect.
    fn message(self, coin_json: &str) -> String {
        let (kind, more) = match self {
            Self::FastBook => ("l2Book", ",\"fast\":true"),
            Self::DefaultBook => ("l2Book", ""),
            Self::Bbo => ("bbo", ""),
            Self::Trades => ("trades", ""),
        };
        format!(
            "{{\"method\":\"subscribe\",\"subscription\":{{\"type\":\"{kind}\",\"coin\":{coin_json}{more}}}}}"
        )
    }
}

/// A subscription that a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The symbol's place in the session.
    pub symbol: usize,
    /// Which kind.
    pub channel: Channel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ack {
    /// Not asked on this connection.
    Unasked,
    /// Asked; due by this monotonic time.
    Due { deadline_mono_ns: u64 },
    /// Acknowledged.
    Done,
}

/// What is wrong with a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTrouble {
    /// The connection was not made in time.
    ConnectTimeout,
    /// A subscription was not acknowledged in time.
    AckTimeout,
    /// No answer to a ping.
    PongTimeout,
    /// No data for so long that its streams are stale.
    Silent,
    /// No data for so long that it has to be made anew.
    Dead,
}

/// See the module.
#[derive(Debug)]
pub struct LinkState {
    /// Waiting, connecting, open.
    pub life: Lifecycle,
    /// What it carries, in order of subscription.
    pub carried: Vec<Carried>,
    acks: Vec<Ack>,
    asked: usize,
    next_ping_mono_ns: u64,
    pong_due_mono_ns: Option<u64>,
}

impl LinkState {
    /// A link that connects at its first tick.
    #[must_use]
    pub fn new(link: Link, backoff: Backoff) -> Self {
        Self {
            life: Lifecycle::new(link, backoff),
            carried: Vec::new(),
            acks: Vec::new(),
            asked: 0,
            next_ping_mono_ns: 0,
            pong_due_mono_ns: None,
        }
    }

    /// Its slot.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.life.link()
    }

    /// The connection is open.
    pub fn on_connected(&mut self, now: Now) {
        self.life.on_connected(now);
        self.forget_requests();
        self.next_ping_mono_ns = now.after_ms(HYPERLIQUID_PING_MS);
    }

    /// The connection is gone: when it is tried again, ms from now.
    pub fn on_closed(&mut self, now: Now, random: &mut Random) -> u64 {
        self.forget_requests();
        self.life.on_closed(now, random)
    }

    fn forget_requests(&mut self) {
        self.asked = 0;
        self.acks.clear();
        self.acks.resize(self.carried.len(), Ack::Unasked);
        self.pong_due_mono_ns = None;
    }

    /// The venue answered a ping.
    pub fn on_pong(&mut self) {
        self.pong_due_mono_ns = None;
    }

    /// An acknowledgement: the subscription it is for, if it was still open.
    pub fn on_acknowledged(&mut self, symbol: usize, echoed: &Subscription<'_>) -> Option<Carried> {
        let at = self
            .carried
            .iter()
            .position(|carried| carried.symbol == symbol && carried.channel.matches(echoed))?;
        let was_due = matches!(self.acks[at], Ack::Due { .. });
        self.acks[at] = Ack::Done;
        was_due.then_some(self.carried[at])
    }

    /// Opens the connection if it is time, subscribes what is not subscribed yet, pings.
    pub fn drive(
        &mut self,
        now: Now,
        url: &str,
        coins_json: &[String],
        pace: &mut Pace,
        actions: &mut VecDeque<Action>,
    ) {
        if self.carried.is_empty() {
            return;
        }
        if let Some(generation) = self.life.begin(now) {
            actions.push_back(Action::Connect { link: self.link(), generation, url: url.to_owned() });
        }
        if !self.life.is_open() {
            return;
        }
        if now.mono_ns >= self.next_ping_mono_ns && pace.take(now.mono_ns) {
            self.next_ping_mono_ns = now.after_ms(HYPERLIQUID_PING_MS);
            self.pong_due_mono_ns.get_or_insert(now.after_ms(HYPERLIQUID_PONG_DEADLINE_MS));
            actions.push_back(Action::Send { link: self.link(), text: "{\"method\":\"ping\"}".to_owned() });
        }
        while self.asked < self.carried.len() && pace.take(now.mono_ns) {
            let carried = self.carried[self.asked];
            let text = carried.channel.message(&coins_json[carried.symbol]);
            actions.push_back(Action::Send { link: self.link(), text });
            self.acks[self.asked] = Ack::Due { deadline_mono_ns: now.after_ms(ACK_DEADLINE_MS) };
            self.asked += 1;
        }
    }

    /// What is wrong with it now, if anything; silence is answered once, until data comes.
    pub fn trouble(&mut self, now: Now, limits: SilenceLimits) -> Option<LinkTrouble> {
        if self.life.is_overdue(now) {
            return Some(LinkTrouble::ConnectTimeout);
        }
        if !self.life.is_open() {
            return None;
        }
        if self.pong_due_mono_ns.is_some_and(|due| now.mono_ns >= due) {
            return Some(LinkTrouble::PongTimeout);
        }
        let late =
            |ack: &Ack| matches!(ack, Ack::Due { deadline_mono_ns } if now.mono_ns >= *deadline_mono_ns);
        if self.acks.iter().any(late) {
            return Some(LinkTrouble::AckTimeout);
        }
        match self.life.silence(now, limits)? {
            Silence::Stale => Some(LinkTrouble::Silent),
            Silence::Reconnect => Some(LinkTrouble::Dead),
        }
    }
}
