//! The Hyperliquid session: a book fused from three sources, quotes by block, trades told from backlog.
//!
//! Source of every rule: the venue's documentation and measurements of 2026, told where they apply.

mod feed;
mod fills;
mod funding;
mod fused;
mod links;
mod listing;
mod plan;
mod quarantine;
mod refusals;
mod room;
mod streams;
mod symbol;
mod ticks;
mod trade_sync;
mod universe;

use self::fills::FillSync;
use self::funding::FundingSync;
use self::fused::{Changes, FusedBook, Source};
use self::links::{LinkState, Names};
use self::listing::{Listed, is_spot, json_string, unknown_body};
use self::plan::Plan;
use self::quarantine::Quarantine;
use self::symbol::{BookSync, QuoteSync, Symbol};
use super::account::Account;
use super::backoff::{Backoff, Random};
use super::cadence::Cadence;
use super::candles::{CandleSet, Finality};
use super::drift::Drift;
use super::pace::Pace;
use super::settings::{Settings, SymbolChoice};
use super::states::{StreamState, VenueState};
use super::symbols::SymbolTable;
use super::turns::Turns;
use super::venue_clock::VenueClock;
use super::{Action, CandleSeed, CloseCause, Generation, Interest, Link, Out, Session};
use crate::event::{Event, Severity};
use crate::fetch::{Answer, Fetched, Query};
use crate::limits::{
    BOOK_CHECK_INTERVAL_MS, CANDLE_TICK_MS, FUSED_LEVELS_MAX, HYPERLIQUID_CONTROL_BURST,
    HYPERLIQUID_DEFAULT_BOOK_MS, HYPERLIQUID_DEFAULT_SILENT_MS, HYPERLIQUID_FAST_BOOK_MS,
    HYPERLIQUID_FAST_SILENT_MS, INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS, TICK_MS,
};
use codec::drift::DriftTable;
use codec::record::{GapBody, InstrumentBody, NO_INSTRUMENT};
use codec::time::Now;
use codec::venues::hyperliquid::Decoder;
use codec::words::{InstrumentStatus, Interval, Reason, State, Stream, Venue};
use std::collections::HashMap;
use std::sync::Arc;

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
/// The connection that suspects are tried on. Data that comes by it is not used.
const PROBE_LINK: Link = 2;

/// The bulk stream of funding, where it is used; times are monotonic ns, 0: not.
#[derive(Debug, Default)]
struct BulkCtx {
    acked_mono_ns: u64,
    data_mono_ns: u64,
    /// Asked for again since it fell silent.
    retried_mono_ns: u64,
}

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
    fills: FillSync,
    quarantine: Quarantine,
    plan: Plan,
    listed: Listed,
    /// Coins of fills that are not carried otherwise.
    fill_instruments: HashMap<String, u32>,
    /// Symbols by place in each dex's universe, for the bulk stream of funding.
    ctx_places: Vec<(String, Vec<Option<usize>>)>,
    bulk_ctx: BulkCtx,
    awaits_turnover: bool,
    turnover_tries: u32,
    instruments_known: bool,
    instruments_backoff: Backoff,
    instruments_at_mono_ns: Option<u64>,
    check_turns: Turns,
    candle_turns: Turns,
    /// No connection is made anew for the sake of one stream before this.
    escalate_after_mono_ns: u64,
    /// Symbols by instrument number.
    by_instrument: HashMap<u32, usize>,
    venue_clock: VenueClock,
    account: Arc<Account>,
    drift: Drift,
    fast_cadence: Cadence,
    default_cadence: Cadence,
    /// Messages that could not be read, and of those, how many are not told to clients yet.
    malformed: u64,
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
        let per_second = settings.max_messages_per_second;
        let backoff = || Backoff::new(settings.reconnect_delay_ms, settings.max_reconnect_delay_ms);
        let links = [FRESH_LINK, DEEP_LINK].map(|link| LinkState::new(link, backoff())).into();
        Self {
            decoder: Decoder::new(),
            random: Random::new(settings.seed),
            venue_state: VenueState::new(VENUE),
            table: SymbolTable::default(),
            symbols: Vec::new(),
            coins_json: Vec::new(),
            links,
            pace: Pace::new(per_second, HYPERLIQUID_CONTROL_BURST),
            changes: Changes::with_capacity(4 * FUSED_LEVELS_MAX),
            fills: FillSync::default(),
            quarantine: Quarantine::new(PROBE_LINK),
            plan: Plan::default(),
            listed: Listed::of_names(names),
            fill_instruments: HashMap::new(),
            ctx_places: Vec::new(),
            bulk_ctx: BulkCtx::default(),
            awaits_turnover: false,
            turnover_tries: 0,
            instruments_known: false,
            instruments_backoff: Backoff::new(INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS),
            instruments_at_mono_ns: Some(0),
            check_turns: Turns::new(BOOK_CHECK_INTERVAL_MS, TICK_MS),
            candle_turns: Turns::new(CANDLE_TICK_MS, TICK_MS),
            escalate_after_mono_ns: 0,
            by_instrument: HashMap::new(),
            venue_clock: VenueClock::default(),
            account: Arc::default(),
            drift: Drift::new(VENUE),
            fast_cadence: Cadence::new(HYPERLIQUID_FAST_BOOK_MS),
            default_cadence: Cadence::new(HYPERLIQUID_DEFAULT_BOOK_MS),
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
        // A fill of it may have come before it was listed.
        let instrument = match self.fill_instruments.remove(name) {
            Some(instrument) if instrument != NO_INSTRUMENT => {
                out.publisher.redefine(instrument, body, now);
                instrument
            }
            _ => out.publisher.define(VENUE, body, now),
        };
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
            turnover: 0.0,
            spot: is_spot(name),
            book: wants(Stream::Orderbook).then(|| {
                Box::new(BookSync {
                    fused: FusedBook::new(fast_is_whole),
                    state: StreamState::new(),
                    beat,
                    silent_after_ms,
                    beat_mono_ns: 0,
                    awaiting_since_mono_ns: 0,
                    retried_mono_ns: 0,
                    seeded: false,
                    served_before: false,
                })
            }),
            quote: wants(Stream::Quotes).then(QuoteSync::default),
            trades: wants(Stream::Trades).then(Box::default),
            candles: wants(Stream::Candles).then(|| {
                let has_trades = wants(Stream::Trades);
                Box::new(CandleSet::new(&self.settings.intervals, &[], Finality::Unmarked, has_trades))
            }),
            funding: wants(Stream::Funding).then(FundingSync::default),
        };
        symbol.set_all((State::Warming, Reason::AwaitingInstruments), now, out);
        self.by_instrument.insert(instrument, self.symbols.len());
        self.symbols.push(symbol);
        self.coins_json.push(json_string(name));
        index
    }

    fn tell_venue(&mut self, now: Now, out: &mut Out<'_>) {
        if self.stopping {
            return;
        }
        let mut used = self.links.iter().filter(|link| link.is_used());
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

    /// The venue's clock now: what it showed last and the time since then, or else our own.
    fn venue_now_ms(&self, now: Now) -> u64 {
        self.venue_clock.ms(now)
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
        self.account.begin(&self.settings.streams, now);
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
        if link == PROBE_LINK {
            if self.quarantine.probe.life.is_current(generation) {
                self.quarantine.probe.on_connected(now);
            }
            return;
        }
        let at = usize::from(link);
        if self.links.get(at).is_none_or(|state| !state.life.is_current(generation)) {
            return;
        }
        self.links[at].on_connected(now);
        (out.events)(
            Event::new(Severity::Info, Some(VENUE), "connected").about(link_name(link)).number(link.into()),
        );
        self.on_subscribing(at, now, out);
        let names = names(&self.coins_json, &self.settings);
        self.links[at].drive(now, &self.settings.websocket_url, &names, &mut self.pace, out.actions);
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
        if link == PROBE_LINK {
            self.on_probe_closed(generation, now);
            return;
        }
        let at = usize::from(link);
        if self.links.get(at).is_none_or(|state| !state.life.is_current(generation)) {
            return;
        }
        let (delay_ms, suspects) = self.links[at].on_closed(now, &mut self.random);
        self.quarantine.on_other_fell(now);
        let (what, detail) = cause.describe();
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what)
                .about(link_name(link))
                .detail(&detail)
                .number(delay_ms),
        );
        if !suspects.is_empty() {
            let what = "connection died right after subscriptions, they are tried apart";
            (out.events)(Event::new(Severity::Warn, Some(VENUE), what).number(suspects.len() as u64));
            if !self.quarantine.take(suspects.clone()) {
                suspects.into_iter().for_each(|carried| self.links[at].acquit(carried));
            }
        }
        self.lose_link(at, Reason::Disconnect, now, out);
        self.tell_venue(now, out);
    }

    fn on_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        self.take_message(link, message, now, out);
        if self.decoder.strange().has_news() {
            self.drift.on_strange(self.decoder.strange(), message, now, out);
        }
    }

    fn on_binary(&mut self, _link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        self.on_unreadable("a binary frame", message, now, out);
    }

    fn on_pong(&mut self, _link: Link, _now: Now, _out: &mut Out<'_>) {}

    fn on_ping(&mut self, _link: Link, now: Now, _out: &mut Out<'_>) {
        self.pace.count(now.mono_ns);
    }

    fn on_fetched(&mut self, fetched: Fetched, now: Now, out: &mut Out<'_>) {
        let Fetched { request, outcome } = fetched;
        if let Query::Candles { interval, .. } = request.query {
            let venue_ms = self.venue_now_ms(now);
            let Some(&index) = self.by_instrument.get(&request.instrument) else { return };
            let symbol = &mut self.symbols[index];
            if let Some(candles) = &mut symbol.candles {
                let rows = match &outcome {
                    Ok(Answer::Candles(rows)) => Ok(&rows[..]),
                    Ok(_) => return,
                    Err(error) => Err(error),
                };
                let source = Self::candle_source(request.instrument, FRESH_LINK, venue_ms, now, out);
                candles.on_fetched(interval, request.token & CANDLE_TOKEN_MASK, rows, source);
            }
            return;
        }
        match outcome {
            Ok(answer) => self.on_list(&request.query, answer, now, out),
            Err(error) => self.on_list_failed(&request.query, &error, now, out),
        }
    }

    fn on_tick(&mut self, now: Now, out: &mut Out<'_>) {
        self.drift.count(self.decoder.strange(), out);
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
        self.tick_bulk_funding(now, out);
        self.tick_quarantine(now, out);
        for index in 0..self.symbols.len() {
            self.tick_book(index, now, out);
        }
        for slice in self.check_turns.advance(now) {
            for index in self.check_turns.items(slice, self.symbols.len()) {
                self.check_book(index, now, out);
                self.tick_funding(index, now, out);
            }
        }
        for slice in self.candle_turns.advance(now) {
            for index in self.candle_turns.items(slice, self.symbols.len()) {
                self.tick_candles(index, now, out);
            }
        }
        self.tell_venue(now, out);
    }

    fn on_interest(&mut self, interest: &Interest) {
        let Some(&index) = self.by_instrument.get(&interest.instrument) else { return };
        if interest.stream == Stream::Candles
            && let Some(candles) = &mut self.symbols[index].candles
        {
            candles.on_interest(interest.interval, interest.wanted);
        }
    }

    fn on_seed(&mut self, seed: &CandleSeed, now: Now, out: &mut Out<'_>) {
        let venue_ms = self.venue_now_ms(now);
        let Some(&index) = self.by_instrument.get(&seed.instrument) else { return };
        if let Some(candles) = &mut self.symbols[index].candles {
            let source = Self::candle_source(seed.instrument, FRESH_LINK, venue_ms, now, out);
            candles.on_seed(seed.interval, &seed.last, seed.base, source);
        }
    }

    fn on_shutdown(&mut self, now: Now, out: &mut Out<'_>) {
        self.stopping = true;
        for symbol in &mut self.symbols {
            symbol.set_all((State::Down, Reason::Shutdown), now, out);
        }
        if self.settings.account_address.is_some() {
            let of = (VENUE, NO_INSTRUMENT, Stream::Fills);
            self.fills.state.set(out.publisher, of, (State::Down, Reason::Shutdown), now);
        }
        self.venue_state.set(out.publisher, State::Down, Reason::Shutdown, now);
        for link in &self.links {
            out.actions.push_back(Action::Close { link: link.link() });
        }
    }

    fn account(&self) -> Option<Arc<Account>> {
        Some(Arc::clone(&self.account))
    }

    fn drift(&self) -> Option<Arc<DriftTable>> {
        Some(self.drift.table())
    }
}

/// The low bits of a request's token are the series' own, the high ones its interval: one instrument may have
/// several series waiting.
const CANDLE_TOKEN_MASK: u64 = (1 << 48) - 1;

fn candle_token(interval: Interval, token: u64) -> u64 {
    u64::from(interval.number()) << 48 | token & CANDLE_TOKEN_MASK
}

fn names<'a>(coins_json: &'a [String], settings: &'a Settings) -> Names<'a> {
    Names { coins_json, account: settings.account_address.as_deref() }
}
