//! The Binance USDⓈ-M session: two kinds of connection, books joined to snapshots, trades by aggregate id.
//!
//! Source of every rule: the venue's documentation and measurements of 2026, told where they apply.

mod book_sync;
mod event_buffer;
mod links;
mod symbol;
mod trade_sync;

use self::book_sync::{BookContext, BookEvent, BookSync};
use self::links::{Carried, LinkState, LinkTrouble, Route, StreamName};
use self::symbol::{QuoteSync, Symbol, instrument_body, on_ticker, unknown_body};
use super::backoff::{Backoff, Random};
use super::lifecycle::SilenceLimits;
use super::settings::{Settings, SymbolChoice};
use super::states::{StreamState, VenueState};
use super::symbols::SymbolTable;
use super::{Action, CandleSeed, CloseCause, Generation, Interest, Link, Out, Session};
use crate::event::{Event, Severity};
use crate::fetch::{Answer, FetchError, FetchRequest, Fetched, Priority, Query};
use crate::limits::{
    BINANCE_SILENT_MS, BINANCE_SILENT_RECONNECT_MS, BINANCE_SNAPSHOT_LEVELS, BOOK_CHECK_INTERVAL_MS,
    FIRST_DATA_DEADLINE_MS, INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS,
};
use crate::publisher::Stamp;
use codec::record::{GapBody, InstrumentBody, NO_INSTRUMENT};
use codec::time::{Now, ns_of_ms};
use codec::venues::binance::{Decoder, Message};
use codec::venues::rest_binance::InstrumentInfo;
use codec::words::{InstrumentStatus, Reason, State, Stream, Venue};

const VENUE: Venue = Venue::Binance;

/// See the module.
pub struct BinanceSession {
    settings: Settings,
    decoder: Decoder,
    random: Random,
    venue_state: VenueState,
    table: SymbolTable,
    symbols: Vec<Symbol>,
    /// Lower-case names, as streams want them.
    stream_prefixes: Vec<String>,
    links: Vec<LinkState>,
    instruments_known: bool,
    instruments_backoff: Backoff,
    instruments_at_mono_ns: Option<u64>,
    next_check_mono_ns: u64,
    /// Messages for symbols we do not carry, unreadable ones, and duplicates.
    unexpected: u64,
    malformed: u64,
    /// Of those, not told to clients yet.
    malformed_untold: u64,
    stopping: bool,
}

impl BinanceSession {
    /// A session that does nothing until it is started.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let random = Random::new(settings.seed);
        Self {
            decoder: Decoder::new(),
            random,
            venue_state: VenueState::new(VENUE),
            table: SymbolTable::default(),
            symbols: Vec::new(),
            stream_prefixes: Vec::new(),
            links: Vec::new(),
            instruments_known: false,
            instruments_backoff: Backoff::new(INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS),
            instruments_at_mono_ns: Some(0),
            next_check_mono_ns: 0,
            unexpected: 0,
            malformed: 0,
            malformed_untold: 0,
            stopping: false,
            settings,
        }
    }

    fn add_symbol(&mut self, name: &str, body: InstrumentBody, now: Now, out: &mut Out<'_>) -> usize {
        let index = self.table.insert(name);
        if index < self.symbols.len() {
            return index;
        }
        let instrument = out.publisher.define(VENUE, body, now);
        let wants = |stream| self.settings.wants(stream);
        let mut symbol = Symbol {
            instrument,
            name: name.to_owned(),
            carried: false,
            book: wants(Stream::Orderbook).then(|| {
                Box::new(BookSync::new(self.settings.book_levels_max, self.settings.orderbook_depth))
            }),
            quote: wants(Stream::Quotes).then(QuoteSync::default),
            trades: wants(Stream::Trades).then(Box::default),
            acked_mono_ns: [0; 4],
            asked_again: [false; 4],
        };
        symbol.set_all(State::Warming, Reason::AwaitingInstruments, now, out);
        self.symbols.push(symbol);
        self.stream_prefixes.push(name.to_lowercase());
        index
    }

    fn on_instruments(&mut self, listed: &[InstrumentInfo], now: Now, out: &mut Out<'_>) {
        let chosen: Vec<String> = match &self.settings.symbols {
            SymbolChoice::Listed(names) => names.clone(),
            SymbolChoice::All => listed
                .iter()
                .filter(|info| {
                    info.perpetual && info.status == InstrumentStatus::Trading && !info.coin_margined
                })
                .map(|info| info.symbol.clone())
                .collect(),
        };
        for name in &chosen {
            let info = listed.iter().find(|info| info.symbol == *name && !info.coin_margined);
            let body = info.map_or_else(|| unknown_body(name), instrument_body);
            let Some(body) = body else {
                (out.events)(
                    Event::new(Severity::Error, Some(VENUE), "symbol name too long, not carried").about(name),
                );
                continue;
            };
            let index = self.add_symbol(name, body, now, out);
            let symbol = &mut self.symbols[index];
            out.publisher.redefine(symbol.instrument, body, now);
            symbol.carried = info.is_some_and(|info| info.status != InstrumentStatus::Delisted);
            if symbol.carried {
                symbol.set_all(State::Warming, Reason::Connecting, now, out);
            } else {
                symbol.set_all(State::Down, Reason::UnknownSymbol, now, out);
                let what = if info.is_some() {
                    "symbol is delisted, not subscribed"
                } else {
                    "symbol is not listed, not subscribed"
                };
                let nearest = listed
                    .iter()
                    .map(|info| &*info.symbol)
                    .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
                let detail = nearest
                    .map_or_else(String::new, |nearest| format!("the nearest listed name is {nearest}"));
                (out.events)(Event::new(Severity::Error, Some(VENUE), what).about(name).detail(&detail));
            }
        }
        if !self.instruments_known {
            self.instruments_known = true;
            self.plan_links();
        }
        self.tell_venue(now, out);
    }

    /// Shares the streams out over as few connections per route as the limit allows.
    fn plan_links(&mut self) {
        for route in [Route::Public, Route::Market] {
            let mut streams = Vec::new();
            for (index, symbol) in self.symbols.iter().enumerate().filter(|(_, symbol)| symbol.carried) {
                let mut add = |wanted: bool, name: StreamName| {
                    if wanted && name.route() == route {
                        streams.push(Carried { symbol: index, name });
                    }
                };
                add(symbol.book.is_some(), StreamName::Depth);
                add(symbol.quote.is_some(), StreamName::BookTicker);
                add(symbol.trades.is_some(), StreamName::AggTrade);
                add(self.settings.wants(Stream::Funding), StreamName::MarkPrice);
            }
            let limit = self.settings.max_subscriptions.max(2);
            // One place is kept for the heartbeat.
            for chunk in streams.chunks(limit - 1) {
                let link = self.links.len() as Link;
                let backoff =
                    Backoff::new(self.settings.reconnect_delay_ms, self.settings.max_reconnect_delay_ms);
                let mut state = LinkState::new(link, route, self.settings.max_messages_per_second, backoff);
                state.carried.extend_from_slice(chunk);
                let has_heartbeat = chunk.iter().any(|carried| carried.name == StreamName::MarkPrice);
                if route == Route::Market && !has_heartbeat {
                    // Trades may be silent for long; mark prices come every second and prove the connection.
                    state.carried.push(Carried { symbol: chunk[0].symbol, name: StreamName::MarkPrice });
                }
                self.links.push(state);
            }
        }
    }

    fn tell_venue(&mut self, now: Now, out: &mut Out<'_>) {
        if self.stopping {
            return;
        }
        let (state, reason) = if !self.instruments_known {
            (State::Warming, Reason::AwaitingInstruments)
        } else if self.links.is_empty() {
            (State::Down, Reason::UnknownSymbol)
        } else if self.links.iter().all(|link| link.life.is_open()) {
            (State::Live, Reason::None)
        } else if self.links.iter().any(|link| link.life.is_lost()) {
            (State::Down, Reason::Disconnect)
        } else {
            (State::Warming, Reason::Connecting)
        };
        self.venue_state.set(out.publisher, state, reason, now);
    }

    /// Every stream of a link is no longer known to be right.
    fn lose_link(&mut self, at: usize, reason: Reason, now: Now, out: &mut Out<'_>) {
        let link = self.links[at].link();
        for carried in &self.links[at].carried {
            let symbol = &mut self.symbols[carried.symbol];
            symbol.acked_mono_ns[carried.name as usize] = 0;
            symbol.asked_again[carried.name as usize] = false;
            let instrument = symbol.instrument;
            match carried.name {
                StreamName::Depth => {
                    if let Some(book) = &mut symbol.book {
                        let mut cx = BookContext { publisher: out.publisher, instrument, source: link, now };
                        book.on_link_lost(reason, &mut cx);
                    }
                }
                StreamName::BookTicker => {
                    if let Some(quote) = &mut symbol.quote {
                        quote.on_link_lost();
                        let of = (VENUE, instrument, Stream::Quotes);
                        quote.state.set(out.publisher, of, (State::Down, reason), now);
                    }
                }
                StreamName::AggTrade => {
                    if let Some(trades) = &mut symbol.trades {
                        trades.on_link_lost();
                        let of = (VENUE, instrument, Stream::Trades);
                        trades.state.set(out.publisher, of, (State::Down, reason), now);
                    }
                }
                StreamName::MarkPrice => {}
            }
        }
    }

    /// What was live on a silent link is stale; streams that never had data say so.
    fn stale_link(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let link = self.links[at].link();
        for carried in &self.links[at].carried {
            let symbol = &mut self.symbols[carried.symbol];
            let instrument = symbol.instrument;
            let mut silence = |state: &mut StreamState, stream| {
                if state.is_live() {
                    state.set(
                        out.publisher,
                        (VENUE, instrument, stream),
                        (State::Stale, Reason::Silence),
                        now,
                    );
                }
            };
            match carried.name {
                StreamName::Depth => {
                    if let Some(book) = &mut symbol.book {
                        let mut cx = BookContext { publisher: out.publisher, instrument, source: link, now };
                        book.on_link_silent(&mut cx);
                    }
                }
                StreamName::BookTicker => {
                    if let Some(quote) = &mut symbol.quote {
                        silence(&mut quote.state, Stream::Quotes);
                    }
                }
                StreamName::AggTrade => {
                    if let Some(trades) = &mut symbol.trades {
                        silence(&mut trades.state, Stream::Trades);
                    }
                }
                StreamName::MarkPrice => {}
            }
        }
    }

    /// A silent link speaks again: nothing was lost on it, so what was stale for its silence alone is live.
    fn wake_link(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        let link = self.links[at].link();
        for carried in &self.links[at].carried {
            let symbol = &mut self.symbols[carried.symbol];
            let instrument = symbol.instrument;
            let mut wake = |state: &mut StreamState, stream| {
                if state.state == State::Stale && state.reason == Reason::Silence {
                    state.set(out.publisher, (VENUE, instrument, stream), (State::Live, Reason::None), now);
                }
            };
            match carried.name {
                StreamName::Depth => {
                    if let Some(book) = &mut symbol.book {
                        let mut cx = BookContext { publisher: out.publisher, instrument, source: link, now };
                        book.on_link_awake(&mut cx);
                    }
                }
                StreamName::BookTicker => {
                    if let Some(quote) = &mut symbol.quote {
                        wake(&mut quote.state, Stream::Quotes);
                    }
                }
                StreamName::AggTrade => {
                    if let Some(trades) = &mut symbol.trades {
                        wake(&mut trades.state, Stream::Trades);
                    }
                }
                StreamName::MarkPrice => {}
            }
        }
    }

    fn on_acknowledged(&mut self, at: usize, id: Option<u64>, now: Now, out: &mut Out<'_>) {
        let link = self.links[at].link();
        for carried in self.links[at].on_reply(id) {
            let symbol = &mut self.symbols[carried.symbol];
            let instrument = symbol.instrument;
            symbol.acked_mono_ns[carried.name as usize] = now.mono_ns;
            match carried.name {
                StreamName::Depth => {
                    if let Some(book) = &mut symbol.book {
                        let mut cx = BookContext { publisher: out.publisher, instrument, source: link, now };
                        book.on_subscribing(Reason::AwaitingData, &mut cx);
                    }
                }
                StreamName::BookTicker => {
                    if let Some(quote) = &mut symbol.quote
                        && !quote.state.is_live()
                        && quote.state.reason != Reason::NoFirstData
                    {
                        let of = (VENUE, instrument, Stream::Quotes);
                        quote.state.set(out.publisher, of, (State::Warming, Reason::AwaitingData), now);
                    }
                }
                StreamName::AggTrade => {
                    // A market without trades is quiet, not broken: the acknowledgement is all there is.
                    if let Some(trades) = &mut symbol.trades {
                        trades.on_subscribed(now);
                        let of = (VENUE, instrument, Stream::Trades);
                        trades.state.set(out.publisher, of, (State::Live, Reason::None), now);
                    }
                }
                StreamName::MarkPrice => {}
            }
        }
    }

    fn on_book_event(&self, index: usize, event: BookEvent, out: &mut Out<'_>) {
        let (severity, what, detail) = match event {
            BookEvent::Nothing => return,
            BookEvent::Duplicate => return,
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

    fn fetch_instruments(&mut self, now: Now, out: &mut Out<'_>) {
        if self.instruments_at_mono_ns.is_some_and(|at| now.mono_ns >= at) {
            self.instruments_at_mono_ns = None;
            out.actions.push_back(Action::Fetch(FetchRequest {
                venue: VENUE,
                query: Query::Instruments,
                instrument: NO_INSTRUMENT,
                token: 0,
                priority: Priority::Repair,
            }));
        }
    }

    fn tick_symbol(&mut self, index: usize, check: bool, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        if let Some(book) = &mut symbol.book {
            let mut cx = BookContext { publisher: out.publisher, instrument, source: 0, now };
            if let Some(wish) = book.on_tick(&mut cx) {
                out.actions.push_back(Action::Fetch(FetchRequest {
                    venue: VENUE,
                    query: Query::Book { symbol: symbol.name.clone(), limit: BINANCE_SNAPSHOT_LEVELS as u32 },
                    instrument,
                    token: wish.token,
                    priority: wish.priority,
                }));
            }
            if check && book.state().is_live() {
                out.publisher.check(&book.stamp(instrument, 0, now), book.book());
            }
            if out.publisher.wants_snapshot(instrument) && book.state().is_live() {
                let _ = out.publisher.republish_snapshot(&book.stamp(instrument, 0, now), book.book());
            }
        }
        if check {
            symbol.check_quote(now, out);
        }
        if let Some(trades) = &mut symbol.trades
            && let Some(wish) = trades.on_tick(now)
        {
            out.actions.push_back(Action::Fetch(FetchRequest {
                venue: VENUE,
                query: Query::AggTrades {
                    symbol: symbol.name.clone(),
                    from_id: wish.from_id,
                    limit: wish.limit,
                },
                instrument,
                token: wish.token,
                priority: Priority::Repair,
            }));
        }
    }

    fn tick_links(&mut self, now: Now, out: &mut Out<'_>) {
        let stale_ms = self.settings.stale_after_ms.unwrap_or(BINANCE_SILENT_MS);
        let reconnect_ms = stale_ms * (BINANCE_SILENT_RECONNECT_MS / BINANCE_SILENT_MS);
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            link.drive(now, &self.settings.websocket_url, &self.stream_prefixes, out.actions);
            let Some(trouble) = link.trouble(now, SilenceLimits { stale_ms, reconnect_ms }) else { continue };
            let (what, reason) = match trouble {
                LinkTrouble::ConnectTimeout => ("connection took too long, given up", Reason::Disconnect),
                LinkTrouble::AckTimeout => {
                    ("subscription not acknowledged, reconnecting", Reason::Disconnect)
                }
                LinkTrouble::Silent => ("connection silent, its streams are stale", Reason::Silence),
                LinkTrouble::Dead => ("connection silent, reconnecting", Reason::Silence),
            };
            let number = link.link().into();
            (out.events)(
                Event::new(Severity::Warn, Some(VENUE), what).about(route_name(link.route)).number(number),
            );
            if trouble == LinkTrouble::Silent {
                self.stale_link(at, now, out);
            } else {
                out.actions.push_back(Action::Close { link: link.link() });
                link.on_closed(now, &mut self.random);
                self.lose_link(at, reason, now, out);
            }
        }
    }

    /// Streams that were acknowledged and stayed silent: asked for once more, and reported.
    fn tick_first_data(&mut self, now: Now, out: &mut Out<'_>) {
        for at in 0..self.links.len() {
            for position in 0..self.links[at].carried.len() {
                let carried = self.links[at].carried[position];
                let symbol = &mut self.symbols[carried.symbol];
                let acked = symbol.acked_mono_ns[carried.name as usize];
                let (data_mono_ns, what) = match (carried.name, &symbol.book, &symbol.quote) {
                    (StreamName::Depth, Some(book), _) => (book.state().data_mono_ns, "depth"),
                    (StreamName::BookTicker, _, Some(quote)) => (quote.state.data_mono_ns, "bookTicker"),
                    // Trades may be long in coming; mark prices are carried for their beat alone.
                    _ => continue,
                };
                let overdue = acked != 0
                    && data_mono_ns < acked
                    && now.mono_ns.saturating_sub(acked) >= ns_of_ms(FIRST_DATA_DEADLINE_MS);
                if !overdue || symbol.asked_again[carried.name as usize] {
                    continue;
                }
                let instrument = symbol.instrument;
                let silent = (State::Down, Reason::NoFirstData);
                match (carried.name, &mut symbol.book, &mut symbol.quote) {
                    (StreamName::Depth, Some(book), _) => {
                        let source = self.links[at].link();
                        let mut cx = BookContext { publisher: out.publisher, instrument, source, now };
                        book.set_state(silent.0, silent.1, &mut cx);
                    }
                    // One that the book has told the best prices is judged by the book (`check_quote`).
                    (_, _, Some(quote)) if !quote.state.is_live() => {
                        quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), silent, now);
                    }
                    _ => {}
                }
                if self.links[at].resubscribe(carried, &self.stream_prefixes, now, out.actions) {
                    let symbol = &mut self.symbols[carried.symbol];
                    symbol.asked_again[carried.name as usize] = true;
                    let what_happened = "stream acknowledged but silent, asked for again";
                    (out.events)(
                        Event::new(Severity::Warn, Some(VENUE), what_happened)
                            .about(&symbol.name)
                            .detail(what),
                    );
                }
            }
        }
    }

    #[cold]
    fn on_unreadable(&mut self, what: &str, message: &[u8], out: &mut Out<'_>) {
        self.malformed += 1;
        self.malformed_untold += 1;
        let shown = String::from_utf8_lossy(&message[..message.len().min(96)]);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), "message that cannot be read, dropped")
                .about(what)
                .detail(&shown)
                .number(self.malformed),
        );
    }
}

const fn route_name(route: Route) -> &'static str {
    match route {
        Route::Public => "public",
        Route::Market => "market",
    }
}

impl Session for BinanceSession {
    fn venue(&self) -> Venue {
        VENUE
    }

    fn on_start(&mut self, now: Now, out: &mut Out<'_>) {
        self.venue_state.tell(out.publisher, now);
        if let SymbolChoice::Listed(names) = self.settings.symbols.clone() {
            for name in &names {
                if let Some(mut body) = unknown_body(name) {
                    // Not known to be delisted: not known at all yet.
                    body.status = InstrumentStatus::Halted.number();
                    self.add_symbol(name, body, now, out);
                }
            }
        }
        self.tell_venue(now, out);
        self.fetch_instruments(now, out);
    }

    fn on_connected(&mut self, link: Link, generation: Generation, now: Now, out: &mut Out<'_>) {
        let Some(at) = self.links.iter().position(|state| state.link() == link) else { return };
        if !self.links[at].life.is_current(generation) {
            return;
        }
        self.links[at].on_connected(now);
        (out.events)(
            Event::new(Severity::Info, Some(VENUE), "connected")
                .about(route_name(self.links[at].route))
                .number(link.into()),
        );
        for carried in &self.links[at].carried {
            let symbol = &mut self.symbols[carried.symbol];
            let instrument = symbol.instrument;
            let waiting = (State::Warming, Reason::Subscribing);
            match carried.name {
                StreamName::Depth => {
                    if let Some(book) = &mut symbol.book {
                        let mut cx = BookContext { publisher: out.publisher, instrument, source: link, now };
                        book.on_subscribing(Reason::Subscribing, &mut cx);
                    }
                }
                StreamName::BookTicker => {
                    if let Some(quote) = &mut symbol.quote {
                        quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), waiting, now);
                    }
                }
                StreamName::AggTrade => {
                    if let Some(trades) = &mut symbol.trades {
                        trades.state.set(out.publisher, (VENUE, instrument, Stream::Trades), waiting, now);
                    }
                }
                StreamName::MarkPrice => {}
            }
        }
        self.links[at].drive(now, &self.settings.websocket_url, &self.stream_prefixes, out.actions);
        self.tell_venue(now, out);
    }

    fn on_closed(
        &mut self,
        link: Link,
        generation: Generation,
        cause: &CloseCause,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let Some(at) = self.links.iter().position(|state| state.link() == link) else { return };
        if !self.links[at].life.is_current(generation) {
            return;
        }
        let delay_ms = self.links[at].on_closed(now, &mut self.random);
        let (what, detail) = cause.describe();
        let route = route_name(self.links[at].route);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what).about(route).detail(&detail).number(delay_ms),
        );
        self.lose_link(at, Reason::Disconnect, now, out);
        self.tell_venue(now, out);
    }

    fn on_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        let at = usize::from(link);
        if at >= self.links.len() {
            return;
        }
        // The decoder lends its buffers to the message, so the parts used beside it are borrowed apart.
        let Self { decoder, symbols, table, .. } = self;
        let mut book_event = None;
        let mut acknowledged = None;
        match decoder.decode(message) {
            Ok(Message::BookTicker(ticker)) if !ticker.coin_margined => match table.get(ticker.symbol) {
                Some(index) => on_ticker(&mut symbols[index], &ticker, link, now, out),
                None => self.unexpected += 1,
            },
            Ok(Message::Depth(depth)) if !depth.coin_margined => match table.get(depth.symbol) {
                Some(index) => {
                    let symbol = &mut symbols[index];
                    if let Some(book) = &mut symbol.book {
                        let mut cx = BookContext {
                            publisher: out.publisher,
                            instrument: symbol.instrument,
                            source: link,
                            now,
                        };
                        match book.on_depth(&depth, &mut cx) {
                            BookEvent::Nothing => {}
                            event => book_event = Some((index, event)),
                        }
                    }
                }
                None => self.unexpected += 1,
            },
            Ok(Message::AggTrade(trade)) if !trade.coin_margined => match table.get(trade.symbol) {
                Some(index) => {
                    let symbol = &mut symbols[index];
                    if let Some(trades) = &mut symbol.trades {
                        let stamp = Stamp {
                            venue: VENUE,
                            instrument: symbol.instrument,
                            source: link,
                            flags: 0,
                            venue_sequence: trade.agg_id,
                            ts_event_ns: ns_of_ms(trade.trade_ms),
                            ts_recv_ns: now.wall_ns,
                        };
                        trades.on_trade(&trade, out.publisher, &stamp, now);
                    }
                }
                None => self.unexpected += 1,
            },
            Ok(Message::Reply { id }) => acknowledged = Some(id),
            Ok(Message::Error { code, message, .. }) => {
                (out.events)(
                    Event::new(Severity::Error, Some(VENUE), "venue refused a request")
                        .detail(message)
                        .number(code.unsigned_abs()),
                );
                // A refused SUBSCRIBE is left unacknowledged: the deadline makes the connection anew.
                return;
            }
            Ok(_) => {}
            Err(error) => {
                let what = error.to_string();
                self.on_unreadable(&what, message, out);
                return;
            }
        }
        if let Some(id) = acknowledged {
            self.on_acknowledged(at, id, now, out);
            return;
        }
        self.venue_state.touch(now);
        if self.links[at].life.on_data(now) {
            self.wake_link(at, now, out);
        }
        if let Some((index, event)) = book_event {
            self.on_book_event(index, event, out);
        }
    }

    fn on_pong(&mut self, _link: Link, _now: Now, _out: &mut Out<'_>) {}

    fn on_ping(&mut self, link: Link, now: Now, _out: &mut Out<'_>) {
        if let Some(state) = self.links.iter_mut().find(|state| state.link() == link) {
            state.on_ping(now);
        }
    }

    fn on_fetched(&mut self, fetched: Fetched, now: Now, out: &mut Out<'_>) {
        let Fetched { request, outcome } = fetched;
        if request.query == Query::Instruments {
            match outcome {
                Ok(Answer::BinanceInstruments(info)) => {
                    self.instruments_backoff.reset();
                    self.on_instruments(&info.symbols, now, out);
                }
                Ok(_) => {}
                Err(error) => {
                    let delay_ms = self.instruments_backoff.next_ms(&mut self.random);
                    self.instruments_at_mono_ns = Some(now.after_ms(delay_ms));
                    (out.events)(
                        Event::new(
                            Severity::Error,
                            Some(VENUE),
                            "instrument list could not be fetched, trying again",
                        )
                        .detail(&format!("{error:?}"))
                        .number(delay_ms),
                    );
                }
            }
            return;
        }
        let Some(index) = self.symbols.iter().position(|symbol| symbol.instrument == request.instrument)
        else {
            return;
        };
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        let stamp = Stamp::now(VENUE, instrument, now);
        match (outcome, &mut symbol.book, &mut symbol.trades) {
            (Ok(Answer::BinanceBook(snapshot)), Some(book), _) => {
                let mut cx = BookContext { publisher: out.publisher, instrument, source: 0, now };
                let event = book.on_snapshot(request.token, snapshot, &mut cx);
                if event == BookEvent::Joined {
                    symbol.quote_from_book(0, now, out);
                }
                self.on_book_event(index, event, out);
            }
            (Ok(Answer::AggTrades(rows)), _, Some(trades)) => {
                trades.on_rows(request.token, &rows, out.publisher, &stamp, now);
            }
            (Err(error), book, trades) => {
                match (&request.query, book, trades) {
                    (Query::Book { .. }, Some(book), _) => {
                        book.on_snapshot_failed(request.token, &error, now)
                    }
                    (Query::AggTrades { .. }, _, Some(trades)) => {
                        trades.on_failed(request.token, &error, out.publisher, &stamp, now);
                    }
                    _ => {}
                }
                if !matches!(error, FetchError::RateLimited { .. }) {
                    (out.events)(
                        Event::new(Severity::Warn, Some(VENUE), "REST request failed, trying again")
                            .about(&self.symbols[index].name)
                            .detail(&format!("{error:?}")),
                    );
                }
            }
            _ => {}
        }
    }

    fn on_tick(&mut self, now: Now, out: &mut Out<'_>) {
        if self.stopping {
            return;
        }
        self.fetch_instruments(now, out);
        if self.malformed_untold > 0 {
            // What it held nobody knows: everybody at this venue is told.
            let missed = core::mem::take(&mut self.malformed_untold);
            let body = GapBody::new(Reason::Malformed, missed, 0, 0);
            out.publisher.gap(VENUE, NO_INSTRUMENT, Stream::Connection, &body, now);
        }
        self.tick_links(now, out);
        let check = now.mono_ns >= self.next_check_mono_ns;
        if check {
            self.next_check_mono_ns = now.after_ms(BOOK_CHECK_INTERVAL_MS);
            self.tick_first_data(now, out);
        }
        for index in 0..self.symbols.len() {
            if self.symbols[index].carried {
                self.tick_symbol(index, check, now, out);
            }
        }
        self.tell_venue(now, out);
    }

    fn on_interest(&mut self, _interest: &Interest) {}

    fn on_seed(&mut self, _seed: &CandleSeed, _now: Now, _out: &mut Out<'_>) {}

    fn on_shutdown(&mut self, now: Now, out: &mut Out<'_>) {
        self.stopping = true;
        for symbol in &mut self.symbols {
            symbol.set_all(State::Down, Reason::Shutdown, now, out);
        }
        self.venue_state.set(out.publisher, State::Down, Reason::Shutdown, now);
        for link in &self.links {
            out.actions.push_back(Action::Close { link: link.link() });
        }
    }
}
