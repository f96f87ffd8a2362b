//! Which instruments there are: the venue's list, asked for at the start, every hour, and when the venue says
//! that a listing changes; with it, how often funding is settled.

use super::VENUE;
use super::book_sync::BookSync;
use super::deadlines::KlineWatch;
use super::feed::Feed;
use super::funding::FundingSync;
use super::symbol::{Placed, QuoteSync, Symbol, instrument_body, unknown_body};
use crate::event::{Event, Severity};
use crate::fetch::{Answer, FetchError, FetchRequest, Priority, Query};
use crate::limits::{
    BINANCE_FUNDING_HOURS, FUNDING_INFO_RETRY_FIRST_MS, FUNDING_INFO_RETRY_LAST_MS,
    INSTRUMENTS_REFRESH_JITTER_MS, INSTRUMENTS_REFRESH_MS, INSTRUMENTS_RETRY_FIRST_MS,
    INSTRUMENTS_RETRY_LAST_MS, INSTRUMENTS_SPACING_MS,
};
use crate::session::backoff::{Backoff, Random};
use crate::session::candles::{CandleSet, Finality};
use crate::session::settings::SymbolChoice;
use crate::session::{Action, Out};
use codec::drift::DriftKind;
use codec::record::{InstrumentBody, NO_INSTRUMENT};
use codec::time::Now;
use codec::venues::rest_binance::{FundingInfo, InstrumentInfo};
use codec::words::{InstrumentStatus, Reason, State, Stream};

/// When the instrument list is asked for.
#[derive(Debug)]
pub(super) struct Refresh {
    /// A list has come.
    known: bool,
    asked: bool,
    at_mono_ns: u64,
    asked_mono_ns: u64,
    /// A listing changed while the list was on its way.
    again: bool,
    backoff: Backoff,
}

impl Refresh {
    pub(super) const fn new() -> Self {
        Self {
            known: false,
            asked: false,
            at_mono_ns: 0,
            asked_mono_ns: 0,
            again: false,
            backoff: Backoff::new(INSTRUMENTS_RETRY_FIRST_MS, INSTRUMENTS_RETRY_LAST_MS),
        }
    }

    pub(super) const fn is_known(&self) -> bool {
        self.known
    }

    /// The venue says that a listing changes.
    pub(super) fn on_announced(&mut self, now: Now) {
        if self.asked {
            self.again = true;
        } else {
            self.at_mono_ns = self.at_mono_ns.min(self.soonest_mono_ns(now));
        }
    }

    fn soonest_mono_ns(&self, now: Now) -> u64 {
        let spaced = Now { mono_ns: self.asked_mono_ns, ..now }.after_ms(INSTRUMENTS_SPACING_MS);
        spaced.max(now.mono_ns)
    }

    fn on_answered(&mut self, now: Now, random: &mut Random) {
        self.backoff.reset();
        self.known = true;
        let pause_ms = INSTRUMENTS_REFRESH_MS - random.below(INSTRUMENTS_REFRESH_JITTER_MS);
        self.at_mono_ns = now.after_ms(pause_ms);
        if core::mem::take(&mut self.again) {
            self.at_mono_ns = self.soonest_mono_ns(now);
        }
    }
}

/// When `fundingInfo` is asked for.
#[derive(Debug)]
pub(super) struct FundingInfoFetch {
    known: bool,
    at_mono_ns: Option<u64>,
    backoff: Backoff,
}

impl FundingInfoFetch {
    pub(super) const fn new() -> Self {
        Self {
            known: false,
            at_mono_ns: None,
            backoff: Backoff::new(FUNDING_INFO_RETRY_FIRST_MS, FUNDING_INFO_RETRY_LAST_MS),
        }
    }
}

impl Feed {
    pub(super) fn on_start(&mut self, now: Now, out: &mut Out<'_>) {
        self.venue_state.tell(out.publisher, now);
        self.account.begin(&self.settings.streams, now);
        if let SymbolChoice::Listed(names) = self.settings.symbols.clone() {
            for name in &names {
                if let Some(mut body) = unknown_body(name) {
                    // Not known to be delisted: not known at all yet.
                    body.status = InstrumentStatus::Halted.number();
                    self.add_symbol(name, body, now, out);
                } else {
                    (out.events)(
                        Event::new(Severity::Error, Some(VENUE), "symbol name too long, not carried")
                            .about(name),
                    );
                }
            }
        }
        self.tell_venue(now, out);
        self.fetch_instruments(now, out);
    }

    fn add_symbol(&mut self, name: &str, body: InstrumentBody, now: Now, out: &mut Out<'_>) -> usize {
        let index = self.table.insert(name);
        if index < self.symbols.len() {
            return index;
        }
        let instrument = out.publisher.define(VENUE, body, now);
        let settings = &self.settings;
        let wants = |stream| settings.wants(stream);
        let mut symbol = Symbol {
            instrument,
            name: name.to_owned(),
            carried: false,
            halted: false,
            placed: Placed::default(),
            told_unknown: false,
            book: wants(Stream::Orderbook)
                .then(|| Box::new(BookSync::new(settings.book_levels_max, settings.orderbook_depth))),
            quote: wants(Stream::Quotes).then(QuoteSync::default),
            trades: wants(Stream::Trades).then(Box::default),
            candles: (wants(Stream::Candles) && !settings.intervals.is_empty())
                .then(|| Box::new(CandleSet::new(&settings.intervals, &[], Finality::Marked, false))),
            funding: wants(Stream::Funding).then(FundingSync::default),
            watches: Default::default(),
            klines: settings.intervals.iter().map(|&interval| KlineWatch::new(interval)).collect(),
            quotes_since_depth: 0,
        };
        symbol.set_all(State::Warming, Reason::AwaitingInstruments, now, out);
        let place = instrument as usize;
        self.by_instrument.resize(self.by_instrument.len().max(place + 1), 0);
        self.by_instrument[place] = index as u32 + 1;
        self.symbols.push(symbol);
        self.stream_prefixes.push(name.to_lowercase());
        index
    }

    pub(super) fn fetch_instruments(&mut self, now: Now, out: &mut Out<'_>) {
        if self.refresh.asked || now.mono_ns < self.refresh.at_mono_ns {
            return;
        }
        self.refresh.asked = true;
        self.refresh.asked_mono_ns = now.mono_ns;
        // Nothing runs before the first list; later ones do not hurry.
        let priority = if self.refresh.known { Priority::Asked } else { Priority::Repair };
        out.actions.push_back(fetch(Query::Instruments, priority));
    }

    pub(super) fn fetch_funding_info(&mut self, now: Now, out: &mut Out<'_>) {
        if self.funding_info.at_mono_ns.is_some_and(|at| now.mono_ns >= at) {
            self.funding_info.at_mono_ns = None;
            out.actions.push_back(fetch(Query::FundingInfo, Priority::Asked));
        }
    }

    pub(super) fn on_instruments_fetched(
        &mut self,
        outcome: Result<Answer, FetchError>,
        now: Now,
        out: &mut Out<'_>,
    ) {
        self.refresh.asked = false;
        let why = match outcome {
            Ok(Answer::BinanceInstruments(info)) if !info.symbols.is_empty() => {
                self.refresh.on_answered(now, &mut self.random);
                for word in &info.unknown_words {
                    self.drift.note(DriftKind::NewValue, &word.what, word.seen.as_bytes(), now, out);
                }
                self.on_instruments(&info.symbols, now, out);
                if self.settings.wants(Stream::Funding) {
                    self.funding_info.at_mono_ns = Some(now.mono_ns);
                }
                return;
            }
            Ok(_) => "the list is empty".to_owned(),
            Err(error) => format!("{error:?}"),
        };
        // What is known stays.
        let delay_ms = self.refresh.backoff.next_ms(&mut self.random);
        self.refresh.at_mono_ns = now.after_ms(delay_ms);
        let what = "instrument list could not be fetched, trying again";
        (out.events)(Event::new(Severity::Error, Some(VENUE), what).detail(&why).number(delay_ms));
    }

    /// The venue's list: what it says of the symbols known, and which new ones are wanted.
    fn on_instruments(&mut self, listed: &[InstrumentInfo], now: Now, out: &mut Out<'_>) {
        let takes_all = self.settings.symbols == SymbolChoice::All;
        let mut infos: Vec<Option<&InstrumentInfo>> = vec![None; self.symbols.len()];
        for info in listed.iter().filter(|info| !info.coin_margined) {
            let index = match self.table.get(&info.symbol) {
                Some(index) => index,
                None if takes_all && info.perpetual && info.status == InstrumentStatus::Trading => {
                    let Some(body) = instrument_body(info) else {
                        let what = "symbol name too long, not carried";
                        (out.events)(Event::new(Severity::Error, Some(VENUE), what).about(&info.symbol));
                        continue;
                    };
                    self.add_symbol(&info.symbol, body, now, out)
                }
                None => continue,
            };
            infos.resize(infos.len().max(index + 1), None);
            infos[index] = Some(info);
        }
        for (index, info) in infos.into_iter().enumerate() {
            match info {
                Some(info) if info.status != InstrumentStatus::Delisted => {
                    self.on_listed(index, info, now, out);
                }
                info => self.on_unlisted(index, info, listed, now, out),
            }
        }
        self.groups.iter_mut().for_each(|group| group.forgive());
        let first = self.groups.is_empty();
        self.place_all(now, out);
        if first {
            self.groups.iter_mut().for_each(|group| group.counts = true);
        }
        self.tell_venue(now, out);
    }

    fn on_listed(&mut self, index: usize, info: &InstrumentInfo, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        if let Some(body) = instrument_body(info) {
            let before = out.publisher.instrument(symbol.instrument).copied();
            out.publisher.redefine(symbol.instrument, body, now);
            self.drift.on_redefined(before, &body, &info.symbol, now, out);
        }
        let halted = info.status != InstrumentStatus::Trading;
        if symbol.halted && !halted {
            symbol.watches.iter_mut().for_each(|watch| watch.begin_anew(now));
            symbol.klines.iter_mut().for_each(|kline| kline.watch.begin_anew(now));
        }
        symbol.halted = halted;
        if !symbol.carried {
            (symbol.carried, symbol.told_unknown) = (true, false);
            symbol.set_all(State::Warming, Reason::Connecting, now, out);
        }
    }

    fn on_unlisted(
        &mut self,
        index: usize,
        info: Option<&InstrumentInfo>,
        listed: &[InstrumentInfo],
        now: Now,
        out: &mut Out<'_>,
    ) {
        let symbol = &self.symbols[index];
        let body = match info {
            Some(info) => instrument_body(info),
            // Its particulars, as far as they were known, stay what they were.
            None => out
                .publisher
                .instrument(symbol.instrument)
                .copied()
                .map(|body| InstrumentBody { status: InstrumentStatus::Delisted.number(), ..body }),
        };
        if let Some(body) = body {
            out.publisher.redefine(symbol.instrument, body, now);
        }
        let news = symbol.carried || !symbol.told_unknown;
        if !news {
            return;
        }
        let what = match (symbol.carried, info.is_some()) {
            (true, _) => "symbol is no longer traded, unsubscribed",
            (false, true) => "symbol is delisted, not subscribed",
            (false, false) => "symbol is not listed, not subscribed",
        };
        let name = &symbol.name;
        let likeness = |info: &InstrumentInfo| strsim::jaro_winkler(&info.symbol, name);
        let nearest = listed
            .iter()
            .filter(|_| !symbol.carried)
            .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))
            .map_or_else(String::new, |info| format!("the nearest listed name is {}", info.symbol));
        (out.events)(Event::new(Severity::Error, Some(VENUE), what).about(name).detail(&nearest));
        self.drop_symbol(index, now, out);
        self.symbols[index].told_unknown = true;
    }

    pub(super) fn on_funding_info_fetched(
        &mut self,
        outcome: Result<Answer, FetchError>,
        now: Now,
        out: &mut Out<'_>,
    ) {
        match outcome {
            Ok(Answer::FundingInfo(rows)) => {
                self.funding_info.backoff.reset();
                self.on_funding_info(&rows);
            }
            Ok(_) => {}
            Err(error) => {
                let delay_ms = self.funding_info.backoff.next_ms(&mut self.random);
                // What will not help now may help with the next list.
                if !matches!(error, FetchError::Permanent { .. }) {
                    self.funding_info.at_mono_ns = Some(now.after_ms(delay_ms));
                }
                let what = "funding intervals could not be fetched, trying again";
                (out.events)(
                    Event::new(Severity::Warn, Some(VENUE), what)
                        .detail(&format!("{error:?}"))
                        .number(delay_ms),
                );
            }
        }
    }

    fn on_funding_info(&mut self, rows: &[FundingInfo]) {
        if rows.is_empty() && core::mem::replace(&mut self.funding_info.known, true) {
            // It lists hundreds; without one it is no answer to replace what is known.
            return;
        }
        self.funding_info.known = true;
        let fundings = self.symbols.iter_mut().filter_map(|symbol| symbol.funding.as_mut());
        fundings.for_each(|funding| funding.interval_hours = BINANCE_FUNDING_HOURS);
        for row in rows.iter().filter(|row| row.interval_hours != 0) {
            let symbol = self.table.get(&row.symbol).and_then(|index| self.symbols.get_mut(index));
            if let Some(funding) = symbol.and_then(|symbol| symbol.funding.as_mut()) {
                funding.interval_hours = row.interval_hours;
            }
        }
    }
}

const fn fetch(query: Query, priority: Priority) -> Action {
    let request = FetchRequest { venue: VENUE, query, instrument: NO_INSTRUMENT, token: 0, priority };
    Action::Fetch(request)
}
