//! One Binance connection: which streams it carries, subscribed in paced batches, each acknowledged in time.

use crate::limits::{ACK_DEADLINE_MS, BINANCE_CONTROL_BURST, BINANCE_NAMES_PER_MESSAGE};
use crate::session::backoff::{Backoff, Random};
use crate::session::lifecycle::{Lifecycle, Silence, SilenceLimits};
use crate::session::pace::Pace;
use crate::session::{Action, Link};
use codec::time::Now;
use std::collections::VecDeque;
use std::fmt::Write as _;

/// Which of the venue's addresses a stream lives at. A stream asked for at the wrong one is acknowledged
/// and then silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `/public`: books and quotes.
    Public,
    /// `/market`: trades, candles, mark prices.
    Market,
}

/// A stream of one symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamName {
    /// `@depth@100ms`.
    Depth,
    /// `@bookTicker`.
    BookTicker,
    /// `@aggTrade`.
    AggTrade,
    /// `@markPrice@1s`.
    MarkPrice,
}

impl StreamName {
    /// Where it lives (venue documentation, 2026-03).
    #[must_use]
    pub const fn route(self) -> Route {
        match self {
            Self::Depth | Self::BookTicker => Route::Public,
            Self::AggTrade | Self::MarkPrice => Route::Market,
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Depth => "@depth@100ms",
            Self::BookTicker => "@bookTicker",
            Self::AggTrade => "@aggTrade",
            Self::MarkPrice => "@markPrice@1s",
        }
    }
}

/// A stream that a link carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The symbol's place in the session.
    pub symbol: usize,
    /// Which stream.
    pub name: StreamName,
}

#[derive(Clone, Copy, Debug)]
struct Unacked {
    id: u64,
    deadline_mono_ns: u64,
    from: usize,
    to: usize,
}

/// What a tick of a link asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTrouble {
    /// The connection was not made in time.
    ConnectTimeout,
    /// A subscription was not acknowledged in time.
    AckTimeout,
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
    /// Its address family.
    pub route: Route,
    /// What it carries, in order of subscription.
    pub carried: Vec<Carried>,
    pace: Pace,
    /// Streams already asked for on this connection.
    asked: usize,
    unacked: Vec<Unacked>,
    next_id: u64,
}

impl LinkState {
    /// A link that connects at its first tick.
    #[must_use]
    pub fn new(link: Link, route: Route, per_second: u64, backoff: Backoff) -> Self {
        Self {
            life: Lifecycle::new(link, backoff),
            route,
            carried: Vec::new(),
            pace: Pace::new(per_second, per_second.min(BINANCE_CONTROL_BURST)),
            asked: 0,
            unacked: Vec::new(),
            next_id: 1,
        }
    }

    /// Its slot.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.life.link()
    }

    /// Whether everything it carries is subscribed and acknowledged.
    #[must_use]
    pub fn is_subscribed(&self) -> bool {
        self.life.is_open() && self.asked == self.carried.len() && self.unacked.is_empty()
    }

    /// The connection is open.
    pub fn on_connected(&mut self, now: Now) {
        self.life.on_connected(now);
        self.forget_requests();
    }

    /// The connection is gone: when it is tried again, ms from now.
    pub fn on_closed(&mut self, now: Now, random: &mut Random) -> u64 {
        self.forget_requests();
        self.life.on_closed(now, random)
    }

    fn forget_requests(&mut self) {
        self.asked = 0;
        self.unacked.clear();
    }

    /// The venue pinged and was answered: that counts against its limit.
    pub fn on_ping(&mut self, now: Now) {
        self.pace.count(now.mono_ns);
    }

    /// A control reply: the streams it acknowledges.
    pub fn on_reply(&mut self, id: Option<u64>) -> &[Carried] {
        let Some(at) = self.unacked.iter().position(|unacked| Some(unacked.id) == id) else { return &[] };
        let unacked = self.unacked.swap_remove(at);
        &self.carried[unacked.from..unacked.to]
    }

    /// Opens the connection if it is time, and subscribes what is not subscribed yet.
    pub fn drive(
        &mut self,
        now: Now,
        base_url: &str,
        stream_prefixes: &[String],
        actions: &mut VecDeque<Action>,
    ) {
        if let Some(generation) = self.life.begin(now) {
            let route = match self.route {
                Route::Public => "public",
                Route::Market => "market",
            };
            let url = format!("{}/{route}/stream", base_url.trim_end_matches('/'));
            actions.push_back(Action::Connect { link: self.link(), generation, url });
        }
        if !self.life.is_open() {
            return;
        }
        while self.asked < self.carried.len() && self.pace.take(now.mono_ns) {
            let to = self.carried.len().min(self.asked + BINANCE_NAMES_PER_MESSAGE);
            self.subscribe(self.asked, to, stream_prefixes, now, actions);
            self.asked = to;
        }
    }

    fn subscribe(
        &mut self,
        from: usize,
        to: usize,
        stream_prefixes: &[String],
        now: Now,
        actions: &mut VecDeque<Action>,
    ) {
        let id = self.next_id;
        self.next_id += 1;
        let mut text = String::from("{\"method\":\"SUBSCRIBE\",\"params\":[");
        for (index, carried) in self.carried[from..to].iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Writing to a String cannot fail.
            let _ = write!(text, "{comma}\"{}{}\"", stream_prefixes[carried.symbol], carried.name.suffix());
        }
        let _ = write!(text, "],\"id\":{id}}}");
        actions.push_back(Action::Send { link: self.link(), text });
        self.unacked.push(Unacked { id, deadline_mono_ns: now.after_ms(ACK_DEADLINE_MS), from, to });
    }

    /// Asks again for one stream that was acknowledged and stayed silent.
    pub fn resubscribe(
        &mut self,
        carried: Carried,
        stream_prefixes: &[String],
        now: Now,
        actions: &mut VecDeque<Action>,
    ) -> bool {
        let Some(at) = self.carried.iter().position(|other| *other == carried) else { return false };
        if !self.life.is_open() || !self.pace.take(now.mono_ns) {
            return false;
        }
        self.subscribe(at, at + 1, stream_prefixes, now, actions);
        true
    }

    /// What is wrong with it now, if anything; silence is answered once, until data comes.
    pub fn trouble(&mut self, now: Now, limits: SilenceLimits) -> Option<LinkTrouble> {
        if self.life.is_overdue(now) {
            return Some(LinkTrouble::ConnectTimeout);
        }
        if self.unacked.iter().any(|unacked| now.mono_ns >= unacked.deadline_mono_ns) {
            return Some(LinkTrouble::AckTimeout);
        }
        if !self.is_subscribed() {
            return None;
        }
        match self.life.silence(now, limits)? {
            Silence::Stale => Some(LinkTrouble::Silent),
            Silence::Reconnect => Some(LinkTrouble::Dead),
        }
    }
}
