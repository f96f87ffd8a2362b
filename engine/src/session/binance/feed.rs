//! Everything of the session but the decoder: messages to the symbols they are of, ticks, connections.

use super::VENUE;
use super::book_sync::BookEvent;
use super::groups::{Group, seat_of};
use super::links::LinkTrouble;
use super::rotation::Rotation;
use super::stream_states::At;
use super::symbol::{Symbol, on_ticker};
use super::universe::{FundingInfoFetch, Refresh};
use crate::event::{Event, Severity};
use crate::limits::{
    BINANCE_CONNECTS_BURST, BINANCE_CONNECTS_PER_SECOND, BINANCE_SILENT_MS, BINANCE_SILENT_RECONNECT_MS,
    BOOK_CHECK_INTERVAL_MS, CANDLE_TICK_MS, TICK_MS,
};
use crate::publisher::Stamp;
use crate::session::backoff::Random;
use crate::session::lifecycle::SilenceLimits;
use crate::session::pace::Pace;
use crate::session::settings::Settings;
use crate::session::states::VenueState;
use crate::session::symbols::SymbolTable;
use crate::session::turns::Turns;
use crate::session::venue_clock::VenueClock;
use crate::session::{Action, CloseCause, Generation, Link, Out};
use codec::record::{GapBody, NO_INSTRUMENT};
use codec::time::{Now, ns_of_ms};
use codec::venues::DecodeError;
use codec::venues::binance::{AggTrade, Depth, Kline, MarkPrice, Message};
use codec::words::{Reason, State, Stream};

/// See the module.
pub(super) struct Feed {
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) venue_state: VenueState,
    pub(super) clock: VenueClock,
    pub(super) table: SymbolTable,
    pub(super) symbols: Vec<Symbol>,
    /// Place in `symbols` + 1 by instrument number; 0: not of this venue.
    pub(super) by_instrument: Vec<u32>,
    /// Lower-case names, as streams want them.
    pub(super) stream_prefixes: Vec<String>,
    pub(super) groups: Vec<Group>,
    pub(super) connects: Pace,
    pub(super) refresh: Refresh,
    pub(super) funding_info: FundingInfoFetch,
    candle_turns: Turns,
    check_turns: Turns,
    next_look_mono_ns: u64,
    /// Messages for symbols we do not carry, unreadable ones, and duplicates.
    unexpected: u64,
    malformed: u64,
    /// Of those, not told to clients yet.
    malformed_untold: u64,
    pub(super) stopping: bool,
}

impl Feed {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            random: Random::new(settings.seed),
            venue_state: VenueState::new(VENUE),
            clock: VenueClock::default(),
            table: SymbolTable::default(),
            symbols: Vec::new(),
            by_instrument: Vec::new(),
            stream_prefixes: Vec::new(),
            groups: Vec::new(),
            connects: Pace::new(BINANCE_CONNECTS_PER_SECOND, BINANCE_CONNECTS_BURST),
            refresh: Refresh::new(),
            funding_info: FundingInfoFetch::new(),
            candle_turns: Turns::new(CANDLE_TICK_MS, TICK_MS),
            check_turns: Turns::new(BOOK_CHECK_INTERVAL_MS, TICK_MS),
            next_look_mono_ns: 0,
            unexpected: 0,
            malformed: 0,
            malformed_untold: 0,
            stopping: false,
            settings,
        }
    }

    /// A message came.
    #[inline]
    pub(super) fn on_decoded(&mut self, link: Link, message: &Message<'_>, now: Now, out: &mut Out<'_>) {
        let (at, side) = seat_of(link);
        let Some(group) = self.groups.get(at) else { return };
        if !group.sides[side].life.is_open() {
            return;
        }
        let overlap = group.is_overlapping();
        let mut book_event = None;
        match message {
            Message::BookTicker(ticker) if !ticker.coin_margined => {
                self.clock.on_event(ticker.event_ms, now);
                if let Some(symbol) = self.carried(ticker.symbol) {
                    on_ticker(symbol, ticker, link, now, out);
                }
            }
            Message::Depth(depth) if !depth.coin_margined => {
                self.clock.on_event(depth.event_ms, now);
                book_event = self.on_depth(depth, overlap, link, now, out);
            }
            Message::AggTrade(trade) if !trade.coin_margined => {
                self.clock.on_event(trade.event_ms, now);
                self.on_trade(trade, overlap, link, now, out);
            }
            Message::Kline(kline) => {
                self.clock.on_event(kline.event_ms, now);
                self.on_kline(kline, link, now, out);
            }
            Message::MarkPrice(mark) if !mark.coin_margined => {
                self.clock.on_event(mark.event_ms, now);
                self.on_mark(mark, link, now, out);
            }
            Message::ContractInfo { coin_margined: false, .. } => self.refresh.on_announced(now),
            Message::Reply { id } => {
                self.on_acknowledged((at, side), *id, now, out);
                return;
            }
            Message::Error { id, code, message } => {
                self.on_refused((at, side), (*id, *code, message), now, out);
                return;
            }
            _ => {}
        }
        self.venue_state.touch(now);
        if self.groups[at].sides[side].on_data(now) && self.groups[at].active == side {
            self.wake_streams(at, now, out);
        }
        if let Some((index, event)) = book_event {
            self.on_book_event(index, event, out);
        }
    }

    /// The symbol of this name, if it is carried.
    #[inline]
    fn carried(&mut self, name: &str) -> Option<&mut Symbol> {
        let symbol = self.table.get(name).map(|index| &mut self.symbols[index]);
        // Frames of a symbol that was dropped may still be on their way.
        let symbol = symbol.filter(|symbol| symbol.carried);
        if symbol.is_none() {
            self.unexpected += 1;
        }
        symbol
    }

    #[inline]
    fn on_depth(
        &mut self,
        depth: &Depth<'_>,
        overlap: bool,
        link: Link,
        now: Now,
        out: &mut Out<'_>,
    ) -> Option<(usize, BookEvent)> {
        let at = At { link, now, venue_ms: 0 };
        let symbol = self.carried(depth.symbol)?;
        let mut cx = at.book(symbol.instrument, out.publisher);
        match symbol.book.as_mut()?.on_depth(depth, overlap, &mut cx) {
            BookEvent::Nothing | BookEvent::Duplicate => None,
            event => Some((self.table.get(depth.symbol)?, event)),
        }
    }

    fn on_trade(&mut self, trade: &AggTrade<'_>, overlap: bool, link: Link, now: Now, out: &mut Out<'_>) {
        let Some(symbol) = self.carried(trade.symbol) else { return };
        if let Some(trades) = &mut symbol.trades {
            let stamp = Stamp {
                source: link,
                venue_sequence: trade.agg_id,
                ts_event_ns: ns_of_ms(trade.trade_ms),
                ..Stamp::now(VENUE, symbol.instrument, now)
            };
            trades.on_trade(trade, overlap, out.publisher, &stamp, now);
        }
    }

    fn on_kline(&mut self, kline: &Kline<'_>, link: Link, now: Now, out: &mut Out<'_>) {
        let at = self.at(link, now);
        let (Some(interval), Some(symbol)) = (kline.interval, self.carried(kline.symbol)) else { return };
        if let Some(candles) = &mut symbol.candles {
            let from = at.candles(symbol.instrument, out.publisher);
            candles.on_frame(interval, &kline.row, kline.closed, kline.event_ms, from);
        }
    }

    fn on_mark(&mut self, mark: &MarkPrice<'_>, link: Link, now: Now, out: &mut Out<'_>) {
        let Some(symbol) = self.carried(mark.symbol) else { return };
        if let Some(funding) = &mut symbol.funding {
            let stamp = Stamp {
                source: link,
                ts_event_ns: ns_of_ms(mark.event_ms),
                ..Stamp::now(VENUE, symbol.instrument, now)
            };
            funding.on_mark(mark, out.publisher, &stamp, now);
        }
    }

    pub(super) fn on_book_event(&self, index: usize, event: BookEvent, out: &mut Out<'_>) {
        let (severity, what, detail) = match event {
            BookEvent::Nothing | BookEvent::Duplicate => return,
            BookEvent::Joined => (Severity::Info, "book joined its snapshot", ""),
            BookEvent::Resumed => (Severity::Info, "book went on without a loss", ""),
            BookEvent::Reseeded => (Severity::Debug, "book seeded anew", ""),
            BookEvent::SnapshotTooOld => {
                (Severity::Debug, "snapshot older than the buffered events, asked again", "")
            }
            BookEvent::Lost(reason) => {
                (Severity::Warn, "book lost its place, resynchronising", reason.as_str())
            }
        };
        (out.events)(Event::new(severity, Some(VENUE), what).about(&self.symbols[index].name).detail(detail));
    }

    #[cold]
    pub(super) fn on_unreadable(&mut self, error: &DecodeError, message: &[u8], out: &mut Out<'_>) {
        self.malformed += 1;
        self.malformed_untold += 1;
        let shown = String::from_utf8_lossy(&message[..message.len().min(96)]);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), "message that cannot be read, dropped")
                .about(&error.to_string())
                .detail(&shown)
                .number(self.malformed),
        );
    }

    pub(super) fn on_ping(&mut self, link: Link, now: Now) {
        let (at, side) = seat_of(link);
        if let Some(group) = self.groups.get_mut(at) {
            group.sides[side].on_ping(now);
        }
    }

    /// Time passed.
    pub(super) fn on_tick(&mut self, now: Now, out: &mut Out<'_>) {
        if self.stopping {
            return;
        }
        self.fetch_instruments(now, out);
        self.fetch_funding_info(now, out);
        if self.malformed_untold > 0 {
            // What it held nobody knows: everybody at this venue is told.
            let missed = core::mem::take(&mut self.malformed_untold);
            let body = GapBody::new(Reason::Malformed, missed, 0, 0);
            out.publisher.gap(VENUE, NO_INSTRUMENT, Stream::Connection, &body, now);
        }
        for at in 0..self.groups.len() {
            self.tick_group(at, now, out);
        }
        if now.mono_ns >= self.next_look_mono_ns {
            self.next_look_mono_ns = now.after_ms(BOOK_CHECK_INTERVAL_MS);
            self.tick_deadlines(now, out);
        }
        for index in 0..self.symbols.len() {
            if self.symbols[index].carried {
                self.tick_symbol(index, now, out);
            }
        }
        for slice in self.check_turns.advance(now) {
            for index in self.check_turns.items(slice, self.symbols.len()) {
                self.check_symbol(index, now, out);
            }
        }
        for slice in self.candle_turns.advance(now) {
            for index in self.candle_turns.items(slice, self.symbols.len()) {
                self.tick_candles(index, now, out);
            }
        }
        self.tell_venue(now, out);
    }

    fn tick_group(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let Self { groups, settings, connects, stream_prefixes, .. } = self;
        let group = &mut groups[at];
        if group.is_empty() {
            return;
        }
        let preparing = matches!(group.rotation, Rotation::Preparing { .. });
        for side in [group.active, 1 - group.active] {
            if side == group.active || preparing {
                let link = &mut group.sides[side];
                link.connect_if_due(group.route, &settings.websocket_url, connects, now, out.actions);
                link.speak(&group.places, stream_prefixes, now, out.actions);
            }
        }
        self.tick_active(at, now, out);
        self.tick_rotation(at, now, out);
    }

    /// What is wrong with the connection that a group's streams follow, and what that means.
    fn tick_active(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let stale_ms = self.settings.stale_after_ms.unwrap_or(BINANCE_SILENT_MS);
        let reconnect_ms = stale_ms.saturating_mul(BINANCE_SILENT_RECONNECT_MS / BINANCE_SILENT_MS);
        let judged = self.is_judged(at);
        let group = &mut self.groups[at];
        let active = &mut group.sides[group.active];
        let Some(trouble) = active.trouble(now, SilenceLimits { stale_ms, reconnect_ms }, judged) else {
            return;
        };
        let (what, reason) = match trouble {
            LinkTrouble::ConnectTimeout => ("connection took too long, given up", Reason::Disconnect),
            LinkTrouble::AckLate => ("subscription not acknowledged, asked for again", Reason::None),
            LinkTrouble::AckTimeout => ("subscription not acknowledged at all", Reason::Disconnect),
            LinkTrouble::Silent => ("connection silent, its streams are stale", Reason::Silence),
            LinkTrouble::Dead => ("connection silent, reconnecting", Reason::Silence),
        };
        let link = active.link();
        // Without any data there is nothing to lose by making it anew at once.
        let is_dumb = active.data_mono_ns == 0;
        let has_successor = group.is_overlapping() && group.is_subscribed(1 - group.active);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what).about(group.route.as_str()).number(link.into()),
        );
        match trouble {
            LinkTrouble::AckLate => {}
            LinkTrouble::AckTimeout if !is_dumb => self.renew(at, now, out),
            LinkTrouble::Silent if has_successor => self.finish_rotation(at, now, out),
            LinkTrouble::Silent => self.silence_streams(at, now, out),
            LinkTrouble::ConnectTimeout | LinkTrouble::AckTimeout | LinkTrouble::Dead => {
                out.actions.push_back(Action::Close { link });
                group.sides[group.active].on_closed(now, &mut self.random);
                self.on_active_gone(at, reason, now, out);
            }
        }
    }

    /// The connection that a group's streams follow is gone.
    fn on_active_gone(&mut self, at: usize, reason: Reason, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        if group.is_overlapping() {
            self.take_over(at, reason, now, out);
            return;
        }
        let other = &mut group.sides[1 - group.active];
        if other.is_in_use() {
            out.actions.push_back(Action::Close { link: other.link() });
            other.on_closed(now, &mut self.random);
        }
        group.rotation = Rotation::Idle;
        group.is_lost = true;
        self.lose_streams(at, reason, |_, _| true, now, out);
    }

    pub(super) fn on_connected(&mut self, link: Link, generation: Generation, now: Now, out: &mut Out<'_>) {
        let (at, side) = seat_of(link);
        let Some(group) = self.groups.get_mut(at) else { return };
        if !group.sides[side].life.is_current(generation) || !group.sides[side].is_in_use() {
            return;
        }
        (out.events)(
            Event::new(Severity::Info, Some(VENUE), "connected")
                .about(group.route.as_str())
                .number(link.into()),
        );
        let places = group.wanted_places();
        group.sides[side].on_connected(places.into_iter(), now);
        if side == group.active {
            group.counts = true;
            group.is_lost = false;
            self.schedule_rotation(at, now);
            self.begin_streams(at, |_, _| true, now, out);
        }
        let Self { groups, stream_prefixes, .. } = self;
        let group = &mut groups[at];
        group.sides[side].speak(&group.places, stream_prefixes, now, out.actions);
        self.tell_venue(now, out);
    }

    pub(super) fn on_closed(
        &mut self,
        link: Link,
        generation: Generation,
        cause: &CloseCause,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let (at, side) = seat_of(link);
        let Some(group) = self.groups.get_mut(at) else { return };
        if !group.sides[side].life.is_current(generation) || !group.sides[side].is_in_use() {
            return;
        }
        let delay_ms = group.sides[side].on_closed(now, &mut self.random);
        let (what, detail) = cause.describe();
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what)
                .about(group.route.as_str())
                .detail(&detail)
                .number(delay_ms),
        );
        if side == group.active {
            self.on_active_gone(at, Reason::Disconnect, now, out);
        } else {
            self.postpone_rotation(at, now, out);
        }
        self.tell_venue(now, out);
    }

    pub(super) fn tell_venue(&mut self, now: Now, out: &mut Out<'_>) {
        if self.stopping {
            return;
        }
        let mut groups = self.groups.iter().filter(|group| group.counts && !group.is_empty()).peekable();
        let (state, reason) = if !self.refresh.is_known() {
            (State::Warming, Reason::AwaitingInstruments)
        } else if groups.peek().is_none() {
            (State::Down, Reason::UnknownSymbol)
        } else if groups.clone().all(|group| group.active().life.is_open()) {
            (State::Live, Reason::None)
        } else if groups.any(|group| group.is_lost) {
            (State::Down, Reason::Disconnect)
        } else {
            (State::Warming, Reason::Connecting)
        };
        self.venue_state.set(out.publisher, state, reason, now);
    }

    pub(super) fn on_shutdown(&mut self, now: Now, out: &mut Out<'_>) {
        self.stopping = true;
        for symbol in &mut self.symbols {
            symbol.set_all(State::Down, Reason::Shutdown, now, out);
        }
        self.venue_state.set(out.publisher, State::Down, Reason::Shutdown, now);
        for side in self.groups.iter().flat_map(|group| &group.sides).filter(|side| side.is_in_use()) {
            out.actions.push_back(Action::Close { link: side.link() });
        }
    }
}
