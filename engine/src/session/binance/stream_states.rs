//! What happens to a connection, told per stream: begun, acknowledged, refused, lost, silent, awake.

use super::VENUE;
use super::book_sync::BookContext;
use super::feed::Feed;
use super::groups::seat_of;
use super::links::{Carried, LinkState, StreamName};
use super::symbol::Symbol;
use crate::event::{Event, Severity};
use crate::publisher::Publisher;
use crate::session::candles::{CandleSet, CandleSource};
use crate::session::states::StreamState;
use crate::session::{Link, Out};
use codec::time::Now;
use codec::words::{Interval, Reason, State, Stream};

/// Where and when something happens to a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    pub(super) link: Link,
    pub(super) now: Now,
    /// The venue's clock, ms since the epoch.
    pub(super) venue_ms: u64,
}

impl At {
    pub(super) const fn candles<'a>(self, instrument: u32, publisher: &'a mut Publisher) -> CandleSource<'a> {
        let Self { link: source, now, venue_ms } = self;
        CandleSource { publisher, venue: VENUE, instrument, source, now, venue_ms }
    }

    pub(super) const fn book<'a>(self, instrument: u32, publisher: &'a mut Publisher) -> BookContext<'a> {
        BookContext { publisher, instrument, source: self.link, now: self.now }
    }
}

/// What happens to every state of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    To(State, Reason),
    Silent,
    Awake,
}

impl Turn {
    fn of(self, state: &StreamState) -> Option<(State, Reason)> {
        match self {
            Self::To(to, reason) => Some((to, reason)),
            Self::Silent => state.is_live().then_some((State::Stale, Reason::Silence)),
            Self::Awake => (state.state == State::Stale && state.reason == Reason::Silence)
                .then_some((State::Live, Reason::None)),
        }
    }
}

impl Symbol {
    fn turn(&mut self, name: StreamName, turn: Turn, at: At, publisher: &mut Publisher) {
        let instrument = self.instrument;
        let (state, stream) = match name {
            StreamName::BookTicker => (self.quote.as_mut().map(|quote| &mut quote.state), Stream::Quotes),
            StreamName::AggTrade => (self.trades.as_mut().map(|trades| &mut trades.state), Stream::Trades),
            StreamName::MarkPrice => {
                (self.funding.as_mut().map(|funding| &mut funding.state), Stream::Funding)
            }
            StreamName::Kline(_) => {
                (self.candles.as_mut().map(|candles| &mut candles.state), Stream::Candles)
            }
            StreamName::Depth | StreamName::Heartbeat | StreamName::ContractInfo => return,
        };
        if let Some(state) = state
            && let Some(to) = turn.of(state)
        {
            state.set(publisher, (VENUE, instrument, stream), to, at.now);
        }
    }

    /// The connection is open: the subscription goes out.
    pub(super) fn on_subscribing(&mut self, name: StreamName, at: At, publisher: &mut Publisher) {
        match (name, &mut self.book) {
            (StreamName::Depth, Some(book)) => {
                book.on_subscribing(Reason::Subscribing, &mut at.book(self.instrument, publisher));
            }
            _ => self.turn(name, Turn::To(State::Warming, Reason::Subscribing), at, publisher),
        }
    }

    /// The subscription is acknowledged.
    pub(super) fn on_acked(&mut self, name: StreamName, at: At, publisher: &mut Publisher) {
        if let Some(watch) = self.watch_of(name) {
            watch.on_acked(at.now);
        }
        let instrument = self.instrument;
        let mut live = true;
        match name {
            StreamName::Depth => {
                if let Some(book) = &mut self.book {
                    book.on_subscribing(Reason::AwaitingData, &mut at.book(instrument, publisher));
                }
                return;
            }
            StreamName::BookTicker | StreamName::MarkPrice => {
                let state = match name {
                    StreamName::BookTicker => self.quote.as_ref().map(|quote| quote.state),
                    _ => self.funding.as_ref().map(|funding| funding.state),
                };
                // Asked for again, it keeps saying what is wrong until data comes.
                let waits =
                    |state: StreamState| state.state == State::Warming || state.reason == Reason::Rejected;
                if state.is_some_and(waits) {
                    self.turn(name, Turn::To(State::Warming, Reason::AwaitingData), at, publisher);
                }
                return;
            }
            // A market without trades is quiet, not broken: the acknowledgement is all there is.
            StreamName::AggTrade => {
                if let Some(trades) = &mut self.trades {
                    trades.on_subscribed(at.now);
                }
            }
            StreamName::Kline(interval) => {
                let all =
                    self.candles.as_mut().is_some_and(|candles| candles.on_subscribed(interval, at.venue_ms));
                // Asked for again, it keeps saying what is wrong until a frame comes.
                live = all && !self.has_silent_kline();
            }
            StreamName::Heartbeat | StreamName::ContractInfo => return,
        }
        if live {
            self.turn(name, Turn::To(State::Live, Reason::None), at, publisher);
        }
    }

    /// Another connection takes over, on which the stream is acknowledged: on the one before it may never have been.
    fn on_taken_over(&mut self, name: StreamName, at: At, publisher: &mut Publisher) {
        let state = match name {
            StreamName::BookTicker => self.quote.as_ref().map(|quote| quote.state),
            StreamName::AggTrade => self.trades.as_ref().map(|trades| trades.state),
            StreamName::MarkPrice => self.funding.as_ref().map(|funding| funding.state),
            StreamName::Kline(_) => self.candles.as_ref().map(|candles| candles.state),
            // Its events say what it is.
            StreamName::Depth | StreamName::Heartbeat | StreamName::ContractInfo => None,
        };
        if state.is_some_and(|state| state.reason == Reason::Subscribing) {
            self.on_acked(name, at, publisher);
        }
    }

    /// Whether trades have been asked for, and nothing says yet that the venue took that.
    #[inline]
    pub(super) fn awaits_trades(&self) -> bool {
        self.trades.as_ref().is_some_and(|trades| trades.state.reason == Reason::Subscribing)
    }

    /// Whether candles of an interval have, likewise.
    #[inline]
    pub(super) fn awaits_candles(&self, interval: Interval) -> bool {
        let awaits =
            |candles: &CandleSet| candles.state.reason == Reason::Subscribing && candles.is_awaited(interval);
        self.candles.as_deref().is_some_and(awaits)
    }

    /// The connection is gone, or the stream is wanted no longer: nothing of it is known to be right.
    pub(super) fn on_lost(&mut self, name: StreamName, reason: Reason, at: At, publisher: &mut Publisher) {
        if let Some(watch) = self.watch_of(name) {
            *watch = Default::default();
        }
        match name {
            StreamName::Depth => {
                if let Some(book) = &mut self.book {
                    book.on_link_lost(reason, &mut at.book(self.instrument, publisher));
                }
            }
            StreamName::BookTicker => {
                if let Some(quote) = &mut self.quote {
                    quote.on_link_lost();
                }
            }
            StreamName::AggTrade => {
                if let Some(trades) = &mut self.trades {
                    trades.on_link_lost();
                }
            }
            StreamName::MarkPrice => {
                if let Some(funding) = &mut self.funding {
                    funding.on_link_lost();
                }
            }
            StreamName::Kline(interval) => {
                if let Some(candles) = &mut self.candles {
                    candles.on_link_lost(interval);
                }
            }
            StreamName::Heartbeat | StreamName::ContractInfo => return,
        }
        self.turn(name, Turn::To(State::Down, reason), at, publisher);
    }

    /// The connection is silent: what was live is stale.
    fn on_silent(&mut self, name: StreamName, at: At, publisher: &mut Publisher) {
        match (name, &mut self.book) {
            (StreamName::Depth, Some(book)) => {
                book.on_link_silent(&mut at.book(self.instrument, publisher));
            }
            // Judged by its own beat.
            (StreamName::MarkPrice, _) => {}
            _ => self.turn(name, Turn::Silent, at, publisher),
        }
    }

    /// A silent connection speaks again: nothing was lost, so what was stale for its silence alone is live.
    fn on_awake(&mut self, name: StreamName, at: At, publisher: &mut Publisher) {
        match (name, &mut self.book) {
            (StreamName::Depth, Some(book)) => {
                book.on_link_awake(&mut at.book(self.instrument, publisher));
            }
            (StreamName::MarkPrice, _) => {}
            _ => self.turn(name, Turn::Awake, at, publisher),
        }
    }
}

impl Feed {
    pub(super) fn at(&self, link: Link, now: Now) -> At {
        At { link, now, venue_ms: self.clock.ms(now) }
    }

    /// Calls `act` for each stream of a symbol that a group carries, is not refused and passes `which`.
    fn each_stream(
        &mut self,
        group: usize,
        which: impl Fn(&LinkState, u16) -> bool,
        now: Now,
        mut act: impl FnMut(&mut Symbol, StreamName, At),
    ) {
        let at = self.at(self.groups[group].active().link(), now);
        let Self { groups, symbols, .. } = self;
        let group = &groups[group];
        for (place, known) in group.places.iter().enumerate() {
            let Some(known) = known.filter(|known| !known.is_refused) else { continue };
            let Carried { symbol, name } = known.carried;
            if let Some(symbol) = symbols.get_mut(symbol).filter(|_| name != StreamName::ContractInfo)
                && which(group.active(), place as u16)
            {
                act(symbol, name, at);
            }
        }
    }

    pub(super) fn begin_streams(
        &mut self,
        group: usize,
        which: impl Fn(&LinkState, u16) -> bool,
        now: Now,
        out: &mut Out<'_>,
    ) {
        self.each_stream(group, which, now, |symbol, name, at| {
            symbol.on_subscribing(name, at, out.publisher);
        });
    }

    pub(super) fn lose_streams(
        &mut self,
        group: usize,
        reason: Reason,
        which: impl Fn(&LinkState, u16) -> bool,
        now: Now,
        out: &mut Out<'_>,
    ) {
        self.each_stream(group, which, now, |symbol, name, at| {
            symbol.on_lost(name, reason, at, out.publisher);
        });
    }

    pub(super) fn silence_streams(&mut self, group: usize, now: Now, out: &mut Out<'_>) {
        self.each_stream(
            group,
            |_, _| true,
            now,
            |symbol, name, at| {
                symbol.on_silent(name, at, out.publisher);
            },
        );
    }

    pub(super) fn wake_streams(&mut self, group: usize, now: Now, out: &mut Out<'_>) {
        self.each_stream(group, LinkState::is_acked, now, |symbol, name, at| {
            symbol.on_awake(name, at, out.publisher);
        });
    }

    /// What the connection before this one never had acknowledged, and this one has.
    pub(super) fn take_over_streams(&mut self, group: usize, now: Now, out: &mut Out<'_>) {
        self.each_stream(group, LinkState::is_acked, now, |symbol, name, at| {
            symbol.on_taken_over(name, at, out.publisher);
        });
    }

    /// One connection of two is left: what waited for the other waits in vain.
    pub(super) fn end_overlap(&mut self, group: usize, given_up: Option<Link>, now: Now, out: &mut Out<'_>) {
        let all = |_: &LinkState, _| true;
        self.each_stream(group, all, now, |symbol, name, at| {
            symbol.end_overlap(name, given_up, at, out.publisher);
        });
    }

    /// Whether the silence of a group's connection would be a fault: some symbol of it trades.
    pub(super) fn is_judged(&self, group: usize) -> bool {
        let trades = |carried: Carried| {
            carried.name != StreamName::ContractInfo
                && self.symbols.get(carried.symbol).is_some_and(|symbol| !symbol.halted)
        };
        self.groups[group].carried().any(|(_, carried)| trades(carried))
    }

    pub(super) fn on_acknowledged(
        &mut self,
        (group, side): (usize, usize),
        id: Option<u64>,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let places = self.groups[group].sides[side].on_reply(id);
        if side != self.groups[group].active {
            // Streams' states follow the connection that is to be replaced.
            return;
        }
        let at = self.at(self.groups[group].active().link(), now);
        for place in places {
            let Some(place) = self.groups[group].places.get(usize::from(place)).copied().flatten() else {
                continue;
            };
            let Carried { symbol, name } = place.carried;
            if let Some(symbol) = self.symbols.get_mut(symbol) {
                symbol.on_acked(name, at, out.publisher);
            }
        }
    }

    /// Data came of a stream whose acknowledgement did not: that was lost, for the data shows that the venue took the
    /// subscription.
    #[cold]
    pub(super) fn take_as_acknowledged(
        &mut self,
        link: Link,
        symbol: &str,
        name: StreamName,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let (group, side) = seat_of(link);
        let Some(index) = self.table.get(symbol) else { return };
        let group = &mut self.groups[group];
        // Streams' states follow the connection that is not to be replaced.
        if side != group.active {
            return;
        }
        let wanted = Carried { symbol: index, name };
        let place = group.carried().find(|(_, carried)| *carried == wanted).map(|(place, _)| place);
        if let Some(place) = place {
            group.sides[side].on_delivered(place);
            let at = self.at(link, now);
            self.symbols[index].on_acked(name, at, out.publisher);
        }
    }

    /// The venue refused a request. Its streams are asked for one by one; the one that is refused again is
    /// left out until the next list of instruments.
    #[cold]
    pub(super) fn on_refused(
        &mut self,
        (group, side): (usize, usize),
        (id, code, message): (Option<u64>, i64, &str),
        now: Now,
        out: &mut Out<'_>,
    ) {
        let place = self.groups[group].sides[side].on_refused(id);
        let carried = place.and_then(|place| self.groups[group].places.get(usize::from(place))).copied();
        let carried = carried.flatten().map(|place| place.carried);
        let subject = carried.map_or_else(String::new, |carried| carried.wire_name(&self.stream_prefixes));
        (out.events)(
            Event::new(Severity::Error, Some(VENUE), "venue refused a request")
                .about(&subject)
                .detail(message)
                .number(code.unsigned_abs()),
        );
        let (Some(at_place), Some(Carried { symbol, name })) = (place, carried) else { return };
        if side != self.groups[group].active {
            // The old connection has it still: better that one than a new one without.
            self.give_up_rotation(group, now, out);
            return;
        }
        if let Some(place) = &mut self.groups[group].places[usize::from(at_place)] {
            place.is_refused = true;
        }
        let at = self.at(self.groups[group].active().link(), now);
        if let Some(symbol) = self.symbols.get_mut(symbol).filter(|_| name != StreamName::ContractInfo) {
            symbol.on_lost(name, Reason::Rejected, at, out.publisher);
        }
    }
}
