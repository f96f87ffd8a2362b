//! One Binance connection: streams subscribed in paced messages, each acknowledged in time or asked for again.
//!
//! Which streams these are is the group's business ([`super::groups`]): here a stream is its place in there.
//!
//! ```text
//!   Wanted ──asked──▶ Asked ──reply──▶ Acked
//!     ▲                 │ no reply in time: asked again, once; then the connection is in doubt
//!     │                 │ refused with others: each asked alone; refused alone: told
//!     └── connection gone, from anywhere
//! ```

use super::groups::Place;
use crate::limits::{
    ACK_DEADLINE_MS, BINANCE_CONTROL_BURST, BINANCE_NAMES_PER_MESSAGE, BINANCE_STREAM_RETRY_MS,
};
use crate::session::backoff::{Backoff, Random};
use crate::session::lifecycle::{Lifecycle, Silence, SilenceLimits};
use crate::session::pace::Pace;
use crate::session::{Action, Link};
use codec::time::Now;
use codec::words::Interval;
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

impl Route {
    /// Its word in the address.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Market => "market",
        }
    }
}

/// A stream of one symbol, or of the venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamName {
    /// `@depth@100ms`.
    Depth,
    /// `@bookTicker`.
    BookTicker,
    /// `@aggTrade`.
    AggTrade,
    /// `@markPrice@1s`, for funding.
    MarkPrice,
    /// `@kline_<interval>`.
    Kline(Interval),
    /// `@markPrice@1s` of some symbol, where no other stream is sure to prove the connection every second.
    Heartbeat,
    /// `!contractInfo`: of no symbol; says when a listing changes.
    ContractInfo,
}

impl StreamName {
    /// Where it lives (venue documentation, 2026-03).
    #[must_use]
    pub const fn route(self) -> Route {
        match self {
            Self::Depth | Self::BookTicker => Route::Public,
            Self::AggTrade | Self::MarkPrice | Self::Kline(_) | Self::Heartbeat | Self::ContractInfo => {
                Route::Market
            }
        }
    }

    fn write(self, prefix: &str, text: &mut String) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Depth => write!(text, "{prefix}@depth@100ms"),
            Self::BookTicker => write!(text, "{prefix}@bookTicker"),
            Self::AggTrade => write!(text, "{prefix}@aggTrade"),
            Self::MarkPrice | Self::Heartbeat => write!(text, "{prefix}@markPrice@1s"),
            Self::Kline(interval) => write!(text, "{prefix}@kline_{interval}"),
            Self::ContractInfo => write!(text, "!contractInfo"),
        };
    }
}

/// A stream that a connection carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The symbol's place in the session; of no meaning for [`StreamName::ContractInfo`].
    pub symbol: usize,
    /// Which stream.
    pub name: StreamName,
}

impl Carried {
    /// Its name on the wire.
    #[must_use]
    pub fn wire_name(self, stream_prefixes: &[String]) -> String {
        let mut text = String::new();
        self.name.write(stream_prefixes.get(self.symbol).map_or("", String::as_str), &mut text);
        text
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Wanted,
    Asked,
    Acked,
}

/// Streams to be asked for in one message.
#[derive(Clone, Debug)]
struct Ask {
    places: Vec<u16>,
    /// Times it went unanswered.
    unanswered: u8,
    /// After a refusal: the next one is meant for this stream.
    alone: bool,
}

#[derive(Clone, Debug)]
struct Request {
    id: u64,
    deadline_mono_ns: u64,
    ask: Ask,
}

/// What a tick of a link asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkTrouble {
    /// The connection was not made in time.
    ConnectTimeout,
    /// A subscription was not acknowledged in time, and is asked for again.
    AckLate,
    /// … nor when it was asked for again.
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
    /// Told silent, and no data since.
    pub is_silent: bool,
    /// When data last came on this connection, monotonic ns; 0: not yet.
    pub data_mono_ns: u64,
    connecting: bool,
    /// By place.
    progress: Vec<Progress>,
    /// Not asked for on this connection yet.
    fresh: VecDeque<u16>,
    /// To be asked for again.
    asks: VecDeque<Ask>,
    /// … and not before this, monotonic ns.
    postponed: Vec<(u64, Ask)>,
    requests: Vec<Request>,
    /// Names to be unsubscribed.
    drops: Vec<String>,
    pace: Pace,
    next_id: u64,
}

impl LinkState {
    /// A link without a connection.
    #[must_use]
    pub fn new(link: Link, per_second: u64, backoff: Backoff) -> Self {
        Self {
            life: Lifecycle::new(link, backoff),
            is_silent: false,
            data_mono_ns: 0,
            connecting: false,
            progress: Vec::new(),
            fresh: VecDeque::new(),
            asks: VecDeque::new(),
            postponed: Vec::new(),
            requests: Vec::new(),
            drops: Vec::new(),
            pace: Pace::new(per_second, per_second.min(BINANCE_CONTROL_BURST)),
            next_id: 1,
        }
    }

    /// Its slot.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.life.link()
    }

    /// Whether there is a connection or an attempt at one.
    #[must_use]
    pub const fn is_in_use(&self) -> bool {
        self.connecting || self.life.is_open()
    }

    /// Whether the stream at this place is acknowledged on this connection.
    #[must_use]
    pub fn is_acked(&self, place: u16) -> bool {
        self.progress.get(usize::from(place)) == Some(&Progress::Acked)
    }

    /// Whether nothing is left to ask for or to be answered.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.life.is_open() && self.fresh.is_empty() && self.asks.is_empty() && self.requests.is_empty()
    }

    /// The connection is open: these places are to be asked for.
    pub fn on_connected(&mut self, places: impl Iterator<Item = u16>, now: Now) {
        self.life.on_connected(now);
        self.forget_requests();
        self.fresh.extend(places);
    }

    /// The connection is gone: when it is tried again, ms from now.
    pub fn on_closed(&mut self, now: Now, random: &mut Random) -> u64 {
        self.forget_requests();
        self.life.on_closed(now, random)
    }

    fn forget_requests(&mut self) {
        self.connecting = false;
        self.is_silent = false;
        self.data_mono_ns = 0;
        self.progress.fill(Progress::Wanted);
        self.fresh.clear();
        self.asks.clear();
        self.postponed.clear();
        self.requests.clear();
        self.drops.clear();
    }

    /// Data came. Answers whether the link had been told silent.
    #[inline]
    pub const fn on_data(&mut self, now: Now) -> bool {
        self.data_mono_ns = now.mono_ns;
        self.is_silent = false;
        self.life.on_data(now)
    }

    /// The venue pinged and was answered: that counts against its limit.
    pub fn on_ping(&mut self, now: Now) {
        self.pace.count(now.mono_ns);
    }

    /// A stream is carried from now on.
    pub fn add(&mut self, place: u16) {
        if self.life.is_open() {
            self.fresh.push_back(place);
        }
    }

    /// A stream is carried no longer; `wire_name` is what it is unsubscribed by.
    pub fn remove(&mut self, place: u16, wire_name: String) {
        self.fresh.retain(|other| *other != place);
        let asked = self.requests.iter_mut().map(|request| &mut request.ask);
        let postponed = self.postponed.iter_mut().map(|(_, ask)| ask);
        for ask in self.asks.iter_mut().chain(asked).chain(postponed) {
            ask.places.retain(|other| *other != place);
        }
        if let Some(progress) = self.progress.get_mut(usize::from(place))
            && *progress != Progress::Wanted
        {
            *progress = Progress::Wanted;
            self.drops.push(wire_name);
        }
    }

    /// Asks once more for one stream, whatever came of it before.
    pub fn ask_again(&mut self, place: u16) {
        if self.life.is_open() {
            self.asks.push_back(Ask { places: vec![place], unanswered: 0, alone: false });
        }
    }

    /// A control reply: the places it acknowledges.
    pub fn on_reply(&mut self, id: Option<u64>) -> Vec<u16> {
        let Some(request) = self.take_request(id) else { return Vec::new() };
        for &place in &request.ask.places {
            self.set_progress(place, Progress::Acked);
        }
        request.ask.places
    }

    /// The stream at this place delivers, whatever became of its acknowledgement.
    pub fn on_delivered(&mut self, place: u16) {
        self.set_progress(place, Progress::Acked);
    }

    /// A refusal. Streams asked for together are asked for one by one; a place that was refused alone, and
    /// so is refused for good, is the answer.
    pub fn on_refused(&mut self, id: Option<u64>) -> Option<u16> {
        // One without an id can only mean the request that waits, if it is the only one.
        let id = id.or(match &self.requests[..] {
            [only] => Some(only.id),
            _ => None,
        });
        let ask = self.take_request(id)?.ask;
        if ask.alone {
            return ask.places.first().copied();
        }
        let alone = |place| Ask { places: vec![place], unanswered: 0, alone: true };
        self.asks.extend(ask.places.into_iter().map(alone));
        None
    }

    fn take_request(&mut self, id: Option<u64>) -> Option<Request> {
        let at = self.requests.iter().position(|request| Some(request.id) == id)?;
        Some(self.requests.swap_remove(at))
    }

    fn set_progress(&mut self, place: u16, progress: Progress) {
        let at = usize::from(place);
        if self.progress.len() <= at {
            self.progress.resize(at + 1, Progress::Wanted);
        }
        self.progress[at] = progress;
    }

    /// Opens the connection if it is time, and one may be begun now.
    pub fn connect_if_due(
        &mut self,
        route: Route,
        base_url: &str,
        connects: &mut Pace,
        now: Now,
        actions: &mut VecDeque<Action>,
    ) {
        let mut paced = connects.clone();
        if !self.life.is_open() && !paced.take(now.mono_ns) {
            return;
        }
        if let Some(generation) = self.life.begin(now) {
            *connects = paced;
            self.connecting = true;
            let url = format!("{}/{}/stream", base_url.trim_end_matches('/'), route.as_str());
            actions.push_back(Action::Connect { link: self.link(), generation, url });
        }
    }

    /// Says what is to be said on an open connection, as the pace allows.
    pub fn speak(
        &mut self,
        places: &[Option<Place>],
        stream_prefixes: &[String],
        now: Now,
        actions: &mut VecDeque<Action>,
    ) {
        while self.life.is_open() && self.has_to_say() && self.pace.take(now.mono_ns) {
            if !self.drops.is_empty() {
                let names = self.drops.len().min(BINANCE_NAMES_PER_MESSAGE);
                let names: Vec<_> = self.drops.drain(..names).collect();
                self.send("UNSUBSCRIBE", &names, actions);
                continue;
            }
            let ask = self.asks.pop_front().unwrap_or_else(|| {
                let count = self.fresh.len().min(BINANCE_NAMES_PER_MESSAGE);
                Ask { places: self.fresh.drain(..count).collect(), unanswered: 0, alone: false }
            });
            let carried = |place: &u16| places.get(usize::from(*place)).and_then(Option::as_ref);
            let names: Vec<_> = ask
                .places
                .iter()
                .filter_map(carried)
                .map(|place| place.carried.wire_name(stream_prefixes))
                .collect();
            if names.is_empty() {
                continue;
            }
            for &place in &ask.places {
                if !self.is_acked(place) {
                    self.set_progress(place, Progress::Asked);
                }
            }
            let id = self.send("SUBSCRIBE", &names, actions);
            self.requests.push(Request { id, deadline_mono_ns: now.after_ms(ACK_DEADLINE_MS), ask });
        }
    }

    fn has_to_say(&self) -> bool {
        !self.drops.is_empty() || !self.asks.is_empty() || !self.fresh.is_empty()
    }

    fn send(&mut self, method: &str, names: &[String], actions: &mut VecDeque<Action>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let names = names.join("\",\"");
        let text = format!("{{\"method\":\"{method}\",\"params\":[\"{names}\"],\"id\":{id}}}");
        actions.push_back(Action::Send { link: self.link(), text });
        id
    }

    /// What is wrong with it now, if anything; silence is answered once, until data comes. `judged`: its
    /// silence would be a fault.
    pub fn trouble(&mut self, now: Now, limits: SilenceLimits, judged: bool) -> Option<LinkTrouble> {
        if self.life.is_overdue(now) {
            return Some(LinkTrouble::ConnectTimeout);
        }
        if let Some(at) = self.requests.iter().position(|request| now.mono_ns >= request.deadline_mono_ns) {
            let mut ask = self.requests.swap_remove(at).ask;
            if ask.unanswered > 0 {
                self.postponed.push((now.after_ms(BINANCE_STREAM_RETRY_MS), ask));
                return Some(LinkTrouble::AckTimeout);
            }
            ask.unanswered += 1;
            self.asks.push_back(ask);
            return Some(LinkTrouble::AckLate);
        }
        if let Some(at) = self.postponed.iter().position(|(until, _)| now.mono_ns >= *until) {
            self.asks.push_back(self.postponed.swap_remove(at).1);
        }
        if !judged || !self.progress.contains(&Progress::Acked) {
            return None;
        }
        match self.life.silence(now, limits)? {
            Silence::Stale => {
                self.is_silent = true;
                Some(LinkTrouble::Silent)
            }
            Silence::Reconnect => Some(LinkTrouble::Dead),
        }
    }
}
