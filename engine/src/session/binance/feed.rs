//! Everything of the session but the decoder: messages to the symbols they are of, ticks, connections.

use super::VENUE;
use super::book_sync::BookEvent;
use super::groups::{Group, seat_of};
use super::links::{LinkTrouble, StreamName};
use super::rotation::Rotation;
use super::stream_states::At;
use super::symbol::{Symbol, on_ticker};
use super::universe::{FundingInfoFetch, Refresh};
use crate::event::{Event, Severity};
use crate::limits::{
    BINANCE_CONNECTS_BURST, BINANCE_CONNECTS_PER_SECOND, BINANCE_DEPTH_MS, BINANCE_MARK_PRICE_MS,
    BINANCE_SILENT_MS, BINANCE_SILENT_RECONNECT_MS, BOOK_CHECK_INTERVAL_MS, CADENCE_BUSY_QUOTES,
    CANDLE_TICK_MS, TICK_MS,
};
use crate::publisher::Stamp;
use crate::session::account::{Account, Channel, Check, DropReason, Outcome};
use crate::session::backoff::Random;
use crate::session::cadence::Cadence;
use crate::session::drift::Drift;
use crate::session::lifecycle::SilenceLimits;
use crate::session::pace::Pace;
use crate::session::settings::Settings;
use crate::session::states::VenueState;
use crate::session::symbols::SymbolTable;
use crate::session::turns::Turns;
use crate::session::venue_clock::VenueClock;
use crate::session::{Action, CloseCause, Generation, Link, Out};
use codec::drift::DriftKind;
use codec::record::{GapBody, NO_INSTRUMENT};
use codec::time::{Now, ns_of_ms};
use codec::venues::DecodeError;
use codec::venues::binance::{AggTrade, Depth, Kline, MarkPrice, Message};
use codec::words::{Reason, State, Stream};
use std::sync::Arc;

const CONTROL: Outcome = Outcome::Dropped(DropReason::Control);
const NOT_CARRIED: Outcome = Outcome::Dropped(DropReason::NotCarried);
const GIVEN_UP: Outcome = Outcome::Dropped(DropReason::GivenUp);

/// What a message is about, whatever becomes of it.
const fn channel_of(message: &Message<'_>) -> Channel {
    match message {
        Message::Depth(_) => Channel::Orderbook,
        Message::BookTicker(_) => Channel::Quotes,
        Message::AggTrade(_) | Message::Trade(_) => Channel::Trades,
        Message::Kline(_) => Channel::Candles,
        Message::MarkPrice(_) => Channel::Funding,
        Message::ContractInfo { .. } | Message::Reply { .. } | Message::Error { .. } => Channel::Control,
        Message::Other { .. } => Channel::Unknown,
    }
}

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
    pub(super) account: Arc<Account>,
    pub(super) drift: Drift,
    depth_cadence: Cadence,
    mark_cadence: Cadence,
    /// Messages that could not be read, and of those, how many are not told to clients yet.
    malformed: u64,
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
            account: Arc::default(),
            drift: Drift::new(VENUE),
            depth_cadence: Cadence::new(BINANCE_DEPTH_MS),
            mark_cadence: Cadence::new(BINANCE_MARK_PRICE_MS),
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
        let group = self.groups.get(at).filter(|group| group.sides[side].life.is_open());
        let Some(group) = group else {
            self.account.one(channel_of(message), GIVEN_UP, now);
            return;
        };
        let overlap = group.is_overlapping();
        let mut book_event = None;
        let check = Check::begin(out.publisher);
        let (channel, outcome) = match message {
            Message::BookTicker(ticker) if !ticker.coin_margined => {
                self.clock.on_event(ticker.event_ms, now);
                let symbol = self.carried(ticker.symbol);
                let outcome = symbol.map_or(NOT_CARRIED, |symbol| on_ticker(symbol, ticker, link, now, out));
                (Channel::Quotes, outcome)
            }
            Message::Depth(depth) if !depth.coin_margined => {
                self.clock.on_event(depth.event_ms, now);
                let (event, outcome) = self.on_depth(depth, overlap, link, now, out);
                book_event = event;
                (Channel::Orderbook, outcome)
            }
            Message::AggTrade(trade) if !trade.coin_margined => {
                self.clock.on_event(trade.event_ms, now);
                (Channel::Trades, self.on_trade(trade, overlap, link, now, out))
            }
            Message::Kline(kline) => {
                self.clock.on_event(kline.event_ms, now);
                (Channel::Candles, self.on_kline(kline, link, now, out))
            }
            Message::MarkPrice(mark) if !mark.coin_margined => {
                self.clock.on_event(mark.event_ms, now);
                let outcome = self.on_mark(mark, link, now, out);
                if !overlap {
                    self.watch_marks(mark, now, out);
                }
                (Channel::Funding, outcome)
            }
            Message::ContractInfo { coin_margined: false, .. } => {
                self.refresh.on_announced(now);
                (Channel::Control, CONTROL)
            }
            Message::Reply { id } => {
                self.account.one(Channel::Control, CONTROL, now);
                self.on_acknowledged((at, side), *id, now, out);
                return;
            }
            Message::Error { id, code, message } => {
                self.account.one(Channel::Control, CONTROL, now);
                self.on_refused((at, side), (*id, *code, message), now, out);
                return;
            }
            Message::Other { .. } => (Channel::Unknown, Outcome::Dropped(DropReason::Unknown)),
            // A contract margined in coin, or a stream that was never asked for.
            _ => (channel_of(message), NOT_CARRIED),
        };
        check.end(outcome, overlap || channel == Channel::Candles, out.publisher);
        self.account.one(channel, outcome, now);
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
        symbol.filter(|symbol| symbol.carried)
    }

    #[inline]
    fn on_depth(
        &mut self,
        depth: &Depth<'_>,
        overlap: bool,
        link: Link,
        now: Now,
        out: &mut Out<'_>,
    ) -> (Option<(usize, BookEvent)>, Outcome) {
        let at = At { link, now, venue_ms: 0 };
        let Some(symbol) = self.carried(depth.symbol) else { return (None, NOT_CARRIED) };
        let instrument = symbol.instrument;
        let busy = core::mem::take(&mut symbol.quotes_since_depth) >= CADENCE_BUSY_QUOTES;
        let mut cx = at.book(instrument, out.publisher);
        let Some(book) = &mut symbol.book else { return (None, NOT_CARRIED) };
        let taken = book.on_depth(depth, overlap, &mut cx);
        // Two connections cut the same changes into events differently.
        if !overlap
            && let Some(change) =
                self.depth_cadence.on_message(instrument as usize, depth.event_ms, busy, now.mono_ns)
        {
            self.drift.on_cadence("depth@100ms", BINANCE_DEPTH_MS, change, now, out);
        }
        match taken {
            (BookEvent::Nothing | BookEvent::Duplicate, outcome) => (None, outcome),
            (event, outcome) => (self.table.get(depth.symbol).map(|index| (index, event)), outcome),
        }
    }

    fn on_trade(
        &mut self,
        trade: &AggTrade<'_>,
        overlap: bool,
        link: Link,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        let Some(mut symbol) = self.carried(trade.symbol) else { return NOT_CARRIED };
        if symbol.awaits_trades() {
            self.take_as_acknowledged(link, trade.symbol, StreamName::AggTrade, now, out);
            let Some(again) = self.carried(trade.symbol) else { return NOT_CARRIED };
            symbol = again;
        }
        if let Some(trades) = &mut symbol.trades {
            let stamp = Stamp {
                source: link,
                venue_sequence: trade.agg_id,
                ts_event_ns: ns_of_ms(trade.trade_ms),
                ..Stamp::now(VENUE, symbol.instrument, now)
            };
            return trades.on_trade(trade, overlap, out.publisher, &stamp, now);
        }
        NOT_CARRIED
    }

    fn on_kline(&mut self, kline: &Kline<'_>, link: Link, now: Now, out: &mut Out<'_>) -> Outcome {
        let at = self.at(link, now);
        let (Some(interval), Some(mut symbol)) = (kline.interval, self.carried(kline.symbol)) else {
            return NOT_CARRIED;
        };
        if symbol.awaits_candles(interval) {
            self.take_as_acknowledged(link, kline.symbol, StreamName::Kline(interval), now, out);
            let Some(again) = self.carried(kline.symbol) else { return NOT_CARRIED };
            symbol = again;
        }
        if let Some(candles) = &mut symbol.candles {
            let from = at.candles(symbol.instrument, out.publisher);
            let outcome = candles.on_frame(interval, &kline.row, kline.closed, kline.event_ms, from);
            symbol.on_kline_seen(interval, now, out);
            return outcome;
        }
        NOT_CARRIED
    }

    fn on_mark(&mut self, mark: &MarkPrice<'_>, link: Link, now: Now, out: &mut Out<'_>) -> Outcome {
        let Some(symbol) = self.carried(mark.symbol) else { return NOT_CARRIED };
        if let Some(funding) = &mut symbol.funding {
            let stamp = Stamp {
                source: link,
                ts_event_ns: ns_of_ms(mark.event_ms),
                ..Stamp::now(VENUE, symbol.instrument, now)
            };
            return funding.on_mark(mark, out.publisher, &stamp, now);
        }
        NOT_CARRIED
    }

    fn watch_marks(&mut self, mark: &MarkPrice<'_>, now: Now, out: &mut Out<'_>) {
        let Some(index) = self.table.get(mark.symbol) else { return };
        if let Some(change) = self.mark_cadence.on_message(index, mark.event_ms, true, now.mono_ns) {
            self.drift.on_cadence("markPrice@1s", BINANCE_MARK_PRICE_MS, change, now, out);
        }
    }

    /// An event that is not known, or the like: once told, counted from then on.
    #[cold]
    pub(super) fn on_unknown(
        &mut self,
        stream: &str,
        event: &str,
        message: &[u8],
        now: Now,
        out: &mut Out<'_>,
    ) {
        let of_stream = stream.split_once('@').map_or(stream, |(_, kind)| kind);
        let what = [event, of_stream].into_iter().find(|name| !name.is_empty()).unwrap_or("(no name)");
        self.drift.note(DriftKind::NewChannel, what, message, now, out);
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
            BookEvent::SnapshotNeverReached => {
                let where_from = "do websocket_url and rest_url lead to the same environment?";
                (Severity::Warn, "snapshot ahead of everything that comes, asked again", where_from)
            }
            BookEvent::Lost(reason) => {
                (Severity::Warn, "book lost its place, resynchronising", reason.as_str())
            }
        };
        (out.events)(Event::new(severity, Some(VENUE), what).about(&self.symbols[index].name).detail(detail));
    }

    #[cold]
    pub(super) fn on_unreadable(&mut self, error: &DecodeError, message: &[u8], now: Now, out: &mut Out<'_>) {
        self.account.one(Channel::Unknown, Outcome::Dropped(DropReason::Malformed), now);
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
        if trouble == LinkTrouble::Silent && is_dumb {
            let seen = format!("acknowledged, and nothing in {stale_ms} ms");
            self.drift.note(DriftKind::SilentRoute, group.route.as_str(), seen.as_bytes(), now, out);
        }
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
