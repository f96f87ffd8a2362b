//! The Hyperliquid session: a book fused from three sources, quotes by block, trades told from backlog.
//!
//! Source of every rule: the venue's documentation and measurements of 2026, told where they apply.

mod fused;
mod links;
mod listing;
mod symbol;
mod trade_sync;

use self::fused::{Changes, FusedBook, Source};
use self::links::{Carried, Channel, LinkState, LinkTrouble};
use self::listing::{Listed, is_spot, json_string, unknown_body};
use self::symbol::{BookSync, QuoteSync, Symbol};
use super::backoff::{Backoff, Random};
use super::lifecycle::SilenceLimits;
use super::pace::Pace;
use super::settings::{Settings, SymbolChoice};
use super::states::{StreamState, VenueState};
use super::symbols::SymbolTable;
use super::{Action, CandleSeed, CloseCause, Generation, Interest, Link, Out, Session};
use crate::event::{Event, Severity};
use crate::fetch::{Answer, FetchError, FetchRequest, Fetched, Priority, Query};
use crate::limits::{
    BOOK_CHECK_INTERVAL_MS, FIRST_DATA_DEADLINE_MS, FUSED_LEVELS_MAX, HYPERLIQUID_CONTROL_BURST,
    HYPERLIQUID_DEFAULT_SILENT_MS, HYPERLIQUID_FAST_SILENT_MS, HYPERLIQUID_LATENCY_MS,
    HYPERLIQUID_RECONNECT_FACTOR, INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS,
};
use crate::publisher::Stamp;
use codec::record::{GapBody, InstrumentBody, NO_INSTRUMENT};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::{Decoder, Message, Subscription, parse_subscription};
use codec::venues::rest_hyperliquid::InstrumentInfo;
use codec::words::{InstrumentStatus, Reason, State, Stream, Venue};

const VENUE: Venue = Venue::Hyperliquid;

/// Which book sources are subscribed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookSources {
    /// Five levels every half second.
    Fast,
    /// Twenty levels every five seconds.
    Default,
    /// Both.
    Both,
}

impl BookSources {
    const fn has_fast(self) -> bool {
        !matches!(self, Self::Default)
    }

    const fn has_default(self) -> bool {
        !matches!(self, Self::Fast)
    }
}

/// The connection with fast books, quotes and trades.
const FRESH_LINK: Link = 0;
/// The connection with default books: frames do not name their precision, and a burst of deep books
/// must not hold up a quote.
const DEEP_LINK: Link = 1;

/// See the module.
pub struct HyperliquidSession {
    settings: Settings,
    sources: BookSources,
    decoder: Decoder,
    random: Random,
    venue_state: VenueState,
    table: SymbolTable,
    symbols: Vec<Symbol>,
    coins_json: Vec<String>,
    links: Vec<LinkState>,
    pace: Pace,
    changes: Changes,
    listed: Listed,
    instruments_known: bool,
    instruments_backoff: Backoff,
    instruments_at_mono_ns: Option<u64>,
    next_check_mono_ns: u64,
    /// The venue's clock as last seen on a book or quote, ms, and when that was, monotonic ns.
    venue_clock: Option<(u64, u64)>,
    unexpected: u64,
    malformed: u64,
    /// Of those, not told to clients yet.
    malformed_untold: u64,
    stopping: bool,
}

impl HyperliquidSession {
    /// A session that does nothing until it is started.
    #[must_use]
    pub fn new(settings: Settings, sources: BookSources) -> Self {
        let names: &[String] = match &settings.symbols {
            SymbolChoice::Listed(names) => names,
            SymbolChoice::All => &[],
        };
        let mut dexes: Vec<(String, Option<Vec<InstrumentInfo>>)> = Vec::new();
        for (dex, _) in names.iter().filter_map(|name| name.split_once(':')) {
            if !dexes.iter().any(|(known, _)| known == dex) {
                dexes.push((dex.to_owned(), None));
            }
        }
        let wants_spot = names.iter().any(|name| is_spot(name));
        let per_second = settings.max_messages_per_second;
        Self {
            decoder: Decoder::new(),
            random: Random::new(settings.seed),
            venue_state: VenueState::new(VENUE),
            table: SymbolTable::default(),
            symbols: Vec::new(),
            coins_json: Vec::new(),
            links: Vec::new(),
            pace: Pace::new(per_second, HYPERLIQUID_CONTROL_BURST),
            changes: Changes::with_capacity(4 * FUSED_LEVELS_MAX),
            listed: Listed { perps: Vec::new(), spot: (!wants_spot).then(Vec::new), dexes },
            instruments_known: false,
            instruments_backoff: Backoff::new(INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS),
            instruments_at_mono_ns: Some(0),
            next_check_mono_ns: 0,
            venue_clock: None,
            unexpected: 0,
            malformed: 0,
            malformed_untold: 0,
            stopping: false,
            sources,
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
        let fast_is_whole = !self.sources.has_default();
        let (beat, silent_ms) = if self.sources.has_fast() {
            (Source::Fast, HYPERLIQUID_FAST_SILENT_MS)
        } else {
            (Source::Default, HYPERLIQUID_DEFAULT_SILENT_MS)
        };
        let silent_after_ms = self.settings.stale_after_ms.unwrap_or(silent_ms);
        let mut symbol = Symbol {
            instrument,
            carried: false,
            book: wants(Stream::Orderbook).then(|| {
                Box::new(BookSync {
                    fused: FusedBook::new(fast_is_whole),
                    state: StreamState::new(),
                    beat,
                    silent_after_ms,
                    beat_mono_ns: 0,
                    awaiting_since_mono_ns: 0,
                    seeded: false,
                    served_before: false,
                })
            }),
            quote: wants(Stream::Quotes).then(QuoteSync::default),
            trades: wants(Stream::Trades).then(Box::default),
        };
        symbol.each_state(|state, stream| {
            let waiting = (State::Warming, Reason::AwaitingInstruments);
            state.set(out.publisher, (VENUE, instrument, stream), waiting, now);
        });
        self.symbols.push(symbol);
        self.coins_json.push(json_string(name));
        index
    }

    /// Asks for the lists that are missing; Hyperliquid has one per kind of name.
    fn fetch_instruments(&mut self, now: Now, out: &mut Out<'_>) {
        if self.instruments_at_mono_ns.is_none_or(|at| now.mono_ns < at) {
            return;
        }
        self.instruments_at_mono_ns = None;
        let mut ask = |query: Query| {
            out.actions.push_back(Action::Fetch(FetchRequest {
                venue: VENUE,
                query,
                instrument: NO_INSTRUMENT,
                token: 0,
                priority: Priority::Repair,
            }));
        };
        if self.listed.perps.is_empty() {
            ask(Query::Instruments);
        }
        if self.listed.spot.is_none() {
            ask(Query::SpotInstruments);
        }
        for (dex, answered) in &self.listed.dexes {
            if answered.is_none() {
                ask(Query::DexInstruments { dex: dex.clone() });
            }
        }
    }

    fn on_list(&mut self, query: &Query, answer: Answer, now: Now, out: &mut Out<'_>) {
        match (query, answer) {
            (Query::Instruments, Answer::HyperliquidInstruments(perps)) => self.listed.perps = perps,
            (Query::SpotInstruments, Answer::HyperliquidSpot(spot)) => self.listed.spot = Some(spot),
            (Query::DexInstruments { dex }, Answer::HyperliquidInstruments(perps)) => {
                for (known, answered) in &mut self.listed.dexes {
                    if known == dex {
                        *answered = Some(perps.clone());
                    }
                }
            }
            _ => return,
        }
        let whole = !self.listed.perps.is_empty()
            && self.listed.spot.is_some()
            && self.listed.dexes.iter().all(|(_, answered)| answered.is_some());
        if self.listed.perps.is_empty() && *query == Query::Instruments {
            // An empty universe is no answer.
            let delay_ms = self.instruments_backoff.next_ms(&mut self.random);
            self.instruments_at_mono_ns = Some(now.after_ms(delay_ms));
        }
        if whole && !self.instruments_known {
            self.instruments_known = true;
            self.instruments_backoff.reset();
            self.choose_symbols(now, out);
            self.plan_links(out);
            self.tell_venue(now, out);
        }
    }

    fn choose_symbols(&mut self, now: Now, out: &mut Out<'_>) {
        let chosen: Vec<String> = match &self.settings.symbols {
            SymbolChoice::Listed(names) => names.clone(),
            SymbolChoice::All => {
                self.listed.perps.iter().filter(|info| !info.delisted).map(|info| info.name.clone()).collect()
            }
        };
        for name in &chosen {
            let found = self.listed.find(name);
            let (is_listed, carried) = (found.is_some(), found.is_some_and(|found| !found.delisted()));
            let body = found
                .map_or_else(|| unknown_body(name, InstrumentStatus::Delisted), |found| found.body(name));
            let Some(body) = body else {
                (out.events)(
                    Event::new(Severity::Error, Some(VENUE), "symbol name too long, not carried").about(name),
                );
                continue;
            };
            let index = self.add_symbol(name, body, now, out);
            let symbol = &mut self.symbols[index];
            let instrument = symbol.instrument;
            out.publisher.redefine(instrument, body, now);
            symbol.carried = carried;
            let state = if carried {
                (State::Warming, Reason::Connecting)
            } else {
                (State::Down, Reason::UnknownSymbol)
            };
            symbol.each_state(|stream_state, stream| {
                stream_state.set(out.publisher, (VENUE, instrument, stream), state, now);
            });
            if !carried {
                let what = if is_listed {
                    "symbol is delisted, not subscribed"
                } else {
                    "symbol is not listed, not subscribed"
                };
                let detail = self.listed.nearest(name);
                (out.events)(Event::new(Severity::Error, Some(VENUE), what).about(name).detail(&detail));
            }
        }
    }

    /// Two connections; what exceeds the venue's limit is shed: the default books of the last symbols first.
    fn plan_links(&mut self, out: &mut Out<'_>) {
        let mut fresh = Vec::new();
        let mut deep = Vec::new();
        for (symbol, state) in self.symbols.iter().enumerate().filter(|(_, state)| state.carried) {
            let mut add = |wanted: bool, channel| {
                if wanted {
                    fresh.push(Carried { symbol, channel });
                }
            };
            let book = state.book.is_some();
            add(book && self.sources.has_fast(), Channel::FastBook);
            // The book needs the best of each block as much as the quote does.
            add(book || state.quote.is_some(), Channel::Bbo);
            add(state.trades.is_some(), Channel::Trades);
            if book && self.sources.has_default() {
                deep.push(Carried { symbol, channel: Channel::DefaultBook });
            }
        }
        let limit = self.settings.max_subscriptions;
        if fresh.len() + deep.len() > limit {
            let before = fresh.len() + deep.len();
            deep.truncate(limit.saturating_sub(fresh.len()));
            fresh.truncate(limit);
            (out.events)(
                Event::new(
                    Severity::Warn,
                    Some(VENUE),
                    "more subscriptions than max_subscriptions, some left out",
                )
                .number((before - fresh.len() - deep.len()) as u64),
            );
        }
        for (link, carried) in [(FRESH_LINK, fresh), (DEEP_LINK, deep)] {
            let backoff =
                Backoff::new(self.settings.reconnect_delay_ms, self.settings.max_reconnect_delay_ms);
            let mut state = LinkState::new(link, backoff);
            state.carried = carried;
            self.links.push(state);
        }
    }

    fn tell_venue(&mut self, now: Now, out: &mut Out<'_>) {
        if self.stopping {
            return;
        }
        let mut used = self.links.iter().filter(|link| !link.carried.is_empty());
        let (state, reason) = if !self.instruments_known {
            (State::Warming, Reason::AwaitingInstruments)
        } else if used.clone().next().is_none() {
            (State::Down, Reason::UnknownSymbol)
        } else if used.clone().all(|link| link.life.is_open()) {
            (State::Live, Reason::None)
        } else if used.any(|link| link.life.is_lost()) {
            (State::Down, Reason::Disconnect)
        } else {
            (State::Warming, Reason::Connecting)
        };
        self.venue_state.set(out.publisher, state, reason, now);
    }

    /// What a connection carried is no longer known to be right.
    fn lose_link(&mut self, at: usize, reason: Reason, now: Now, out: &mut Out<'_>) {
        for &Carried { symbol, channel } in &self.links[at].carried {
            let symbol = &mut self.symbols[symbol];
            let instrument = symbol.instrument;
            let down = (State::Down, reason);
            match channel {
                Channel::FastBook | Channel::DefaultBook => {
                    if let Some(book) = &mut symbol.book {
                        // With both sources the fast one alone keeps the top right; the deep part ages out.
                        if channel == Channel::DefaultBook && self.sources.has_fast() {
                            continue;
                        }
                        book.fused.clear();
                        book.seeded = false;
                        book.beat_mono_ns = 0;
                        book.state.set(out.publisher, (VENUE, instrument, Stream::Orderbook), down, now);
                    }
                }
                Channel::Bbo => {
                    if let Some(quote) = &mut symbol.quote {
                        quote.lost |= quote.last.is_some();
                        quote.last = None;
                        quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), down, now);
                    }
                }
                Channel::Trades => {
                    if let Some(trades) = &mut symbol.trades {
                        trades.on_link_lost();
                        trades.state.set(out.publisher, (VENUE, instrument, Stream::Trades), down, now);
                    }
                }
            }
        }
    }

    /// A silent link: quotes and trades, which may be quiet by nature, are judged by their link's books.
    fn stale_link(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        for &Carried { symbol, channel } in &self.links[at].carried {
            let symbol = &mut self.symbols[symbol];
            let instrument = symbol.instrument;
            let stale = (State::Stale, Reason::Silence);
            match channel {
                Channel::Bbo => {
                    if let Some(quote) = symbol.quote.as_mut().filter(|quote| quote.state.is_live()) {
                        quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), stale, now);
                    }
                }
                Channel::Trades => {
                    if let Some(trades) = symbol.trades.as_mut().filter(|trades| trades.state.is_live()) {
                        trades.state.set(out.publisher, (VENUE, instrument, Stream::Trades), stale, now);
                    }
                }
                Channel::FastBook | Channel::DefaultBook => {}
            }
        }
    }

    /// A silent link speaks again: TCP lost nothing.
    fn wake_link(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        for &Carried { symbol, channel } in &self.links[at].carried {
            let symbol = &mut self.symbols[symbol];
            let instrument = symbol.instrument;
            let (state, stream) = match (channel, &mut symbol.quote, &mut symbol.trades) {
                (Channel::Bbo, Some(quote), _) => (&mut quote.state, Stream::Quotes),
                (Channel::Trades, _, Some(trades)) => (&mut trades.state, Stream::Trades),
                _ => continue,
            };
            if state.state == State::Stale && state.reason == Reason::Silence {
                state.set(out.publisher, (VENUE, instrument, stream), (State::Live, Reason::None), now);
            }
        }
    }

    /// The venue's clock now: what it showed last and the time since then, or else our own.
    fn venue_now_ms(&self, now: Now) -> u64 {
        self.venue_clock.map_or(now.wall_ns / 1_000_000, |(venue_ms, seen_mono_ns)| {
            venue_ms.saturating_add(now.mono_ns.saturating_sub(seen_mono_ns) / 1_000_000)
        })
    }

    fn on_acknowledged(&mut self, at: usize, echoed: &Subscription<'_>, now: Now, out: &mut Out<'_>) {
        let Some(index) = self.table.get(echoed.coin) else { return };
        let Some(carried) = self.links[at].on_acknowledged(index, echoed) else { return };
        let begun_ms = self.venue_now_ms(now).saturating_add(HYPERLIQUID_LATENCY_MS);
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        let waiting = (State::Warming, Reason::AwaitingData);
        match carried.channel {
            Channel::FastBook | Channel::DefaultBook => {
                if let Some(book) = symbol.book.as_mut().filter(|book| !book.seeded) {
                    let state = if book.served_before { State::Resyncing } else { State::Warming };
                    let of = (VENUE, instrument, Stream::Orderbook);
                    book.state.set(out.publisher, of, (state, Reason::AwaitingData), now);
                    book.awaiting_since_mono_ns = now.mono_ns;
                }
            }
            Channel::Bbo => {
                if let Some(quote) = symbol.quote.as_mut().filter(|quote| !quote.state.is_live()) {
                    quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), waiting, now);
                }
            }
            Channel::Trades => {
                if let Some(trades) = &mut symbol.trades {
                    trades.on_subscribed(begun_ms);
                    let of = (VENUE, instrument, Stream::Trades);
                    trades.state.set(out.publisher, of, (State::Live, Reason::None), now);
                }
            }
        }
    }

    fn tick_links(&mut self, now: Now, out: &mut Out<'_>) {
        for at in 0..self.links.len() {
            let link = &mut self.links[at];
            let default_ms = if link.link() == FRESH_LINK
                && self.sources.has_fast()
                && self.settings.wants(Stream::Orderbook)
            {
                HYPERLIQUID_FAST_SILENT_MS
            } else if link.link() == DEEP_LINK {
                HYPERLIQUID_DEFAULT_SILENT_MS
            } else {
                // Quotes and trades alone may be quiet for long; the pong proves the connection.
                u64::MAX / HYPERLIQUID_RECONNECT_FACTOR
            };
            let stale_ms = self.settings.stale_after_ms.map_or(default_ms, |own| own.min(default_ms));
            // However early its streams are to be called stale, a link is given time for its own beat.
            let reconnect_ms = stale_ms.max(default_ms).saturating_mul(HYPERLIQUID_RECONNECT_FACTOR);
            let limits = SilenceLimits { stale_ms, reconnect_ms };
            link.drive(now, &self.settings.websocket_url, &self.coins_json, &mut self.pace, out.actions);
            let Some(trouble) = link.trouble(now, limits) else { continue };
            let (what, reason) = match trouble {
                LinkTrouble::ConnectTimeout => ("connection took too long, given up", Reason::Disconnect),
                LinkTrouble::AckTimeout => {
                    ("subscription not acknowledged, reconnecting", Reason::Disconnect)
                }
                LinkTrouble::PongTimeout => ("ping not answered, reconnecting", Reason::Silence),
                LinkTrouble::Silent => ("connection silent, its streams are stale", Reason::Silence),
                LinkTrouble::Dead => ("connection silent, reconnecting", Reason::Silence),
            };
            (out.events)(
                Event::new(Severity::Warn, Some(VENUE), what)
                    .about(link_name(link.link()))
                    .number(link.link().into()),
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

    fn tick_book(&mut self, index: usize, check: bool, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        let Some(book) = &mut symbol.book else { return };
        if book.state.is_live() && book.is_silent(now) {
            let of = (VENUE, instrument, Stream::Orderbook);
            book.state.set(out.publisher, of, (State::Stale, Reason::Silence), now);
            // A quote may be quiet by nature, but not beside a book that is silent.
            if let Some(quote) = symbol.quote.as_mut().filter(|quote| quote.state.is_live())
                && quote.state.age_ms(now) > book.silent_after_ms
            {
                let of = (VENUE, instrument, Stream::Quotes);
                quote.state.set(out.publisher, of, (State::Stale, Reason::Silence), now);
            }
        }
        if book.state.reason == Reason::AwaitingData
            && now.mono_ns.saturating_sub(book.awaiting_since_mono_ns) >= ns_of_ms(FIRST_DATA_DEADLINE_MS)
        {
            // Books come by the clock, changed or not: acknowledged and silent is a fault of its own.
            let of = (VENUE, instrument, Stream::Orderbook);
            book.state.set(out.publisher, of, (State::Down, Reason::NoFirstData), now);
        }
        if !book.state.is_live() {
            return;
        }
        let stamp = book.stamp(instrument, FRESH_LINK, now);
        if check {
            out.publisher.check(&stamp, book.fused.book());
        }
        if out.publisher.wants_snapshot(instrument) {
            let _ = out.publisher.republish_snapshot(&stamp, book.fused.book());
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

const fn link_name(link: Link) -> &'static str {
    if link == DEEP_LINK { "default books" } else { "fast books, quotes, trades" }
}

impl Session for HyperliquidSession {
    fn venue(&self) -> Venue {
        VENUE
    }

    fn on_start(&mut self, now: Now, out: &mut Out<'_>) {
        self.venue_state.tell(out.publisher, now);
        if let SymbolChoice::Listed(names) = self.settings.symbols.clone() {
            for name in &names {
                if let Some(body) = unknown_body(name, InstrumentStatus::Halted) {
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
            Event::new(Severity::Info, Some(VENUE), "connected").about(link_name(link)).number(link.into()),
        );
        for &Carried { symbol, channel } in &self.links[at].carried {
            let symbol = &mut self.symbols[symbol];
            let instrument = symbol.instrument;
            let (state, stream) = match (channel, &mut symbol.book, &mut symbol.quote, &mut symbol.trades) {
                // The deep part alone does not make a book that has a fast source.
                (Channel::DefaultBook, ..) if self.sources.has_fast() => continue,
                (Channel::FastBook | Channel::DefaultBook, Some(book), ..) => {
                    (&mut book.state, Stream::Orderbook)
                }
                (Channel::Bbo, _, Some(quote), _) => (&mut quote.state, Stream::Quotes),
                (Channel::Trades, _, _, Some(trades)) => (&mut trades.state, Stream::Trades),
                _ => continue,
            };
            if !state.is_live() {
                let waiting = (State::Warming, Reason::Subscribing);
                state.set(out.publisher, (VENUE, instrument, stream), waiting, now);
            }
        }
        self.links[at].drive(
            now,
            &self.settings.websocket_url,
            &self.coins_json,
            &mut self.pace,
            out.actions,
        );
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
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what)
                .about(link_name(link))
                .detail(&detail)
                .number(delay_ms),
        );
        self.lose_link(at, Reason::Disconnect, now, out);
        self.tell_venue(now, out);
    }

    fn on_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        let at = usize::from(link);
        if at >= self.links.len() {
            return;
        }
        let Self { decoder, symbols, table, changes, venue_clock, unexpected, .. } = self;
        match decoder.decode(message) {
            Ok(Message::Book(frame)) if !frame.aggregated => match table.get(frame.coin) {
                Some(index) => {
                    *venue_clock = Some((frame.time_ms, now.mono_ns));
                    symbols[index].on_book(&frame, link, changes, now, out);
                }
                None => *unexpected += 1,
            },
            Ok(Message::Bbo(bbo)) => match table.get(bbo.coin) {
                Some(index) => {
                    *venue_clock = Some((bbo.time_ms, now.mono_ns));
                    symbols[index].on_bbo(&bbo, link, changes, now, out);
                }
                None => *unexpected += 1,
            },
            Ok(Message::Trades(trades)) => {
                let Some(first) = trades.first() else { return };
                match table.get(first.coin) {
                    Some(index) if trades.iter().all(|trade| trade.coin == first.coin) => {
                        let symbol = &mut symbols[index];
                        let stamp = Stamp { source: link, ..Stamp::now(VENUE, symbol.instrument, now) };
                        if let Some(sync) = &mut symbol.trades {
                            sync.on_trades(trades, out.publisher, &stamp, now);
                        }
                    }
                    _ => *unexpected += 1,
                }
            }
            Ok(Message::Subscribed(echoed)) => {
                let echoed = Echo::of(&echoed);
                self.on_acknowledged(at, &echoed.subscription(), now, out);
                return;
            }
            Ok(Message::Error(text)) => {
                let text = text.to_owned();
                self.on_error_text(at, &text, now, out);
                return;
            }
            Ok(Message::Pong) => {
                self.links[at].on_pong();
                return;
            }
            Ok(_) => return,
            Err(error) => {
                let what = error.to_string();
                self.on_unreadable(&what, message, out);
                return;
            }
        }
        self.venue_state.touch(now);
        if self.links[at].life.on_data(now) {
            self.wake_link(at, now, out);
        }
    }

    fn on_pong(&mut self, _link: Link, _now: Now, _out: &mut Out<'_>) {}

    fn on_ping(&mut self, _link: Link, now: Now, _out: &mut Out<'_>) {
        self.pace.count(now.mono_ns);
    }

    fn on_fetched(&mut self, fetched: Fetched, now: Now, out: &mut Out<'_>) {
        match fetched.outcome {
            Ok(answer) => self.on_list(&fetched.request.query, answer, now, out),
            Err(error @ FetchError::Permanent { .. })
                if matches!(fetched.request.query, Query::DexInstruments { .. }) =>
            {
                // A dex that does not exist lists nothing; the symbols named by it are told unknown.
                (out.events)(
                    Event::new(
                        Severity::Error,
                        Some(VENUE),
                        "builder dex could not be asked, its symbols are unknown",
                    )
                    .detail(&format!("{:?}: {error:?}", fetched.request.query)),
                );
                let answer = Answer::HyperliquidInstruments(Vec::new());
                self.on_list(&fetched.request.query, answer, now, out);
            }
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
        }
        for index in 0..self.symbols.len() {
            self.tick_book(index, check, now, out);
        }
        self.tell_venue(now, out);
    }

    fn on_interest(&mut self, _interest: &Interest) {}

    fn on_seed(&mut self, _seed: &CandleSeed, _now: Now, _out: &mut Out<'_>) {}

    fn on_shutdown(&mut self, now: Now, out: &mut Out<'_>) {
        self.stopping = true;
        for symbol in &mut self.symbols {
            let instrument = symbol.instrument;
            symbol.each_state(|state, stream| {
                state.set(out.publisher, (VENUE, instrument, stream), (State::Down, Reason::Shutdown), now);
            });
        }
        self.venue_state.set(out.publisher, State::Down, Reason::Shutdown, now);
        for link in &self.links {
            out.actions.push_back(Action::Close { link: link.link() });
        }
    }
}

/// An acknowledged subscription, kept beside the decoder that lent it.
struct Echo {
    kind: String,
    coin: String,
    fast: bool,
}

impl Echo {
    fn of(subscription: &Subscription<'_>) -> Self {
        Self {
            kind: subscription.kind.to_owned(),
            coin: subscription.coin.to_owned(),
            fast: subscription.fast,
        }
    }

    fn subscription(&self) -> Subscription<'_> {
        Subscription { kind: &self.kind, coin: &self.coin, interval: "", fast: self.fast, user: "", dex: "" }
    }
}

impl HyperliquidSession {
    /// The venue's errors are plain strings; "Already subscribed" is as good as an acknowledgement.
    fn on_error_text(&mut self, at: usize, text: &str, now: Now, out: &mut Out<'_>) {
        if let Some((true, subscription)) = parse_subscription(text.as_bytes()) {
            self.on_acknowledged(at, &subscription, now, out);
            return;
        }
        (out.events)(Event::new(Severity::Error, Some(VENUE), "venue refused a request").detail(text));
    }
}
