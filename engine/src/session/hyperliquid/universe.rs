//! What the venue lists and what of it is carried: asked for at the start, and again while running.

use super::links::{Carried, Channel, NO_SYMBOL};
use super::listing::unknown_body;
use super::plan::{Needs, Plan};
use super::symbol::Symbol;
use super::{DEEP_LINK, FRESH_LINK, HyperliquidSession, VENUE};
use crate::event::{Event, Severity};
use crate::fetch::{Answer, FetchError, FetchRequest, Priority, Query};
use crate::limits::{HYPERLIQUID_REFRESH_MS, TURNOVER_TRIES_MAX};
use crate::session::candles::Folded;
use crate::session::settings::SymbolChoice;
use crate::session::{Action, Out};
use codec::record::NO_INSTRUMENT;
use codec::time::Now;
use codec::venues::rest_hyperliquid::Turnover;
use codec::words::{InstrumentStatus, Reason, State, Stream};
use std::collections::HashMap;

impl HyperliquidSession {
    /// Asks for the lists that are missing, or all of them when it is time again.
    pub(super) fn fetch_instruments(&mut self, now: Now, out: &mut Out<'_>) {
        if self.instruments_at_mono_ns.is_none_or(|at| now.mono_ns < at) {
            return;
        }
        self.instruments_at_mono_ns = None;
        if self.instruments_known && self.listed.is_whole() {
            self.listed.forget();
        }
        let ask = |query: Query, out: &mut Out<'_>| {
            let priority = Priority::Repair;
            let request = FetchRequest { venue: VENUE, query, instrument: NO_INSTRUMENT, token: 0, priority };
            out.actions.push_back(Action::Fetch(request));
        };
        if self.listed.perps.is_none() {
            ask(Query::Instruments, out);
        }
        if self.listed.spot.is_none() {
            ask(Query::SpotInstruments, out);
        }
        for (dex, answered) in &self.listed.dexes {
            if answered.is_none() {
                ask(Query::DexInstruments { dex: dex.clone() }, out);
            }
        }
        if self.listed.is_whole() && self.awaits_turnover {
            ask(Query::Turnover, out);
        }
    }

    pub(super) fn on_list(&mut self, query: &Query, answer: Answer, now: Now, out: &mut Out<'_>) {
        match (query, answer) {
            // An empty universe is no answer.
            (Query::Instruments, Answer::HyperliquidInstruments(perps)) if perps.is_empty() => {
                self.retry_lists(now);
                return;
            }
            (Query::Instruments, Answer::HyperliquidInstruments(perps)) => self.listed.perps = Some(perps),
            (Query::SpotInstruments, Answer::HyperliquidSpot(spot)) => self.listed.spot = Some(spot),
            (Query::DexInstruments { dex }, Answer::HyperliquidInstruments(perps)) => {
                for (known, answered) in &mut self.listed.dexes {
                    if known == dex {
                        *answered = Some(perps.clone());
                    }
                }
            }
            (Query::Turnover, Answer::Turnover(turnover)) => {
                self.awaits_turnover = false;
                self.start_with(&turnover, now, out);
                return;
            }
            _ => return,
        }
        if !self.listed.is_whole() {
            return;
        }
        self.instruments_backoff.reset();
        if self.instruments_known {
            self.instruments_at_mono_ns = Some(now.after_ms(self.refresh_ms()));
            self.refresh(now, out);
            return;
        }
        self.choose_symbols(now, out);
        let limit = self.subscriptions_max();
        let (perps, others) = self.carried_counts();
        let plan = self.needs().plan(perps, others, limit, |long, short| Folded::new(long, short).is_some());
        if plan.reduced {
            // Who is shed is decided by what is traded.
            self.awaits_turnover = true;
            self.instruments_at_mono_ns = Some(now.mono_ns);
            self.fetch_instruments(now, out);
        } else {
            self.start_with(&[], now, out);
        }
    }

    pub(super) fn on_list_failed(&mut self, query: &Query, error: &FetchError, now: Now, out: &mut Out<'_>) {
        if matches!((query, error), (Query::DexInstruments { .. }, FetchError::Permanent { .. })) {
            // A dex that does not exist lists nothing; the symbols named by it are told unknown.
            (out.events)(
                Event::new(
                    Severity::Error,
                    Some(VENUE),
                    "builder dex could not be asked, its symbols are unknown",
                )
                .detail(&format!("{query:?}: {error:?}")),
            );
            self.on_list(query, Answer::HyperliquidInstruments(Vec::new()), now, out);
            return;
        }
        if *query == Query::Turnover {
            self.turnover_tries += 1;
            if self.turnover_tries >= TURNOVER_TRIES_MAX {
                let what = "turnover could not be fetched, symbols rank by their place in the venue's list";
                (out.events)(Event::new(Severity::Warn, Some(VENUE), what).detail(&format!("{error:?}")));
                self.awaits_turnover = false;
                self.start_with(&[], now, out);
                return;
            }
        }
        let delay_ms = self.retry_lists(now);
        (out.events)(
            Event::new(Severity::Error, Some(VENUE), "instrument list could not be fetched, trying again")
                .detail(&format!("{query:?}: {error:?}"))
                .number(delay_ms),
        );
    }

    fn retry_lists(&mut self, now: Now) -> u64 {
        let delay_ms = self.instruments_backoff.next_ms(&mut self.random);
        self.instruments_at_mono_ns = Some(now.after_ms(delay_ms));
        delay_ms
    }

    /// Not all daemons at once.
    fn refresh_ms(&mut self) -> u64 {
        HYPERLIQUID_REFRESH_MS - self.random.below(HYPERLIQUID_REFRESH_MS / 5)
    }

    fn chosen(&self) -> Vec<String> {
        match &self.settings.symbols {
            SymbolChoice::Listed(names) => names.clone(),
            SymbolChoice::All => self
                .listed
                .perps
                .iter()
                .flatten()
                .filter(|info| !info.delisted)
                .map(|info| info.name.clone())
                .collect(),
        }
    }

    fn choose_symbols(&mut self, now: Now, out: &mut Out<'_>) {
        for name in &self.chosen() {
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
            out.publisher.redefine(symbol.instrument, body, now);
            symbol.carried = carried;
            let state = if carried {
                (State::Warming, Reason::Connecting)
            } else {
                (State::Down, Reason::UnknownSymbol)
            };
            symbol.set_all(state, now, out);
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

    /// What changed at the venue since the last time.
    fn refresh(&mut self, now: Now, out: &mut Out<'_>) {
        for name in &self.chosen() {
            let Some(found) = self.listed.find(name) else { continue };
            let (Some(body), gone) = (found.body(name), found.delisted()) else { continue };
            let known = self.table.get(name);
            if gone && known.is_none() {
                continue;
            }
            let index = known.unwrap_or_else(|| self.add_symbol(name, body, now, out));
            out.publisher.redefine(self.symbols[index].instrument, body, now);
            if !gone && !self.symbols[index].carried && !self.symbols[index].shed {
                self.carry_one_more(index, name, now, out);
            }
        }
        for index in 0..self.symbols.len() {
            if self.symbols[index].carried {
                let name = self.table.name(index).to_owned();
                let gone = self.listed.find(&name).is_none_or(|found| found.delisted());
                if gone {
                    self.drop_symbol(index, &name, now, out);
                }
            }
        }
        self.place_ctxs();
    }

    /// A symbol that has just been listed, if the venue's limit allows it.
    fn carry_one_more(&mut self, index: usize, name: &str, now: Now, out: &mut Out<'_>) {
        let used: usize = self.links.iter().map(super::links::LinkState::len).sum();
        let channels = self.channels_of(index, false);
        if used + channels.len() > self.subscriptions_max() {
            self.shed_symbol(index, now, out);
            return;
        }
        self.symbols[index].carried = true;
        self.symbols[index].set_all((State::Warming, Reason::Subscribing), now, out);
        let deep = self.needs().default
            && self.sources.has_fast()
            && used + channels.len() < self.subscriptions_max();
        self.symbols[index].fit_to(&self.plan, deep || !self.sources.has_fast());
        for carried in self.channels_of(index, deep) {
            self.link_of(carried).add(carried);
        }
        (out.events)(Event::new(Severity::Info, Some(VENUE), "symbol is listed now, subscribed").about(name));
    }

    fn drop_symbol(&mut self, index: usize, name: &str, now: Now, out: &mut Out<'_>) {
        let names = super::names(&self.coins_json, &self.settings);
        for link in &mut self.links {
            link.remove_symbol(index, &names, out.actions);
        }
        self.quarantine.forget_symbol(index);
        if let Some(body) = unknown_body(name, InstrumentStatus::Delisted) {
            let gone = out.publisher.instrument(self.symbols[index].instrument).copied().unwrap_or(body);
            let body = codec::record::InstrumentBody { status: InstrumentStatus::Delisted.number(), ..gone };
            out.publisher.redefine(self.symbols[index].instrument, body, now);
        }
        let symbol = &mut self.symbols[index];
        symbol.carried = false;
        symbol.forget();
        symbol.set_all((State::Down, Reason::UnknownSymbol), now, out);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), "symbol is no longer listed, dropped").about(name),
        );
    }

    fn shed_symbol(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        (symbol.carried, symbol.shed) = (false, true);
        symbol.set_all((State::Down, Reason::Shed), now, out);
    }

    /// Subscriptions for market data: the account's fills have theirs.
    fn subscriptions_max(&self) -> usize {
        self.settings.max_subscriptions.saturating_sub(usize::from(self.settings.account_address.is_some()))
    }

    fn needs(&self) -> Needs {
        let wants = |stream| self.settings.wants(stream);
        let book = wants(Stream::Orderbook);
        Needs {
            fast: book && self.sources.has_fast(),
            default: book && self.sources.has_default(),
            // The book needs the best of each block as much as the quote does.
            bbo: book || wants(Stream::Quotes),
            trades: wants(Stream::Trades),
            intervals: if wants(Stream::Candles) { self.settings.intervals.clone() } else { Vec::new() },
            ctx: wants(Stream::Funding),
        }
    }

    fn carried_counts(&self) -> (usize, usize) {
        let carried = || self.symbols.iter().filter(|symbol| symbol.carried);
        let others = carried().filter(|symbol| symbol.spot).count();
        (carried().count() - others, others)
    }

    /// Plans what is subscribed and lets the connections begin.
    fn start_with(&mut self, turnover: &[Turnover], now: Now, out: &mut Out<'_>) {
        let ranks: HashMap<&str, f64> = turnover.iter().map(|row| (&*row.name, row.day_notional)).collect();
        let rank = |index: &usize| ranks.get(self.table.name(*index)).copied().unwrap_or(0.0);
        let mut order: Vec<usize> =
            (0..self.symbols.len()).filter(|&index| self.symbols[index].carried).collect();
        order.sort_by(|a, b| rank(b).total_cmp(&rank(a)));
        let (perps, others) = self.carried_counts();
        let limit = self.subscriptions_max();
        self.plan = self.needs().plan(perps, others, limit, |long, short| Folded::new(long, short).is_some());
        self.tell_plan(order.len(), out);
        let mut spare = self.plan.spare;
        for (place, &index) in order.iter().enumerate() {
            if place >= self.plan.symbols {
                self.shed_symbol(index, now, out);
                continue;
            }
            let deep = spare > 0 && self.needs().default && self.sources.has_fast();
            spare -= usize::from(deep);
            let plan = self.plan.clone();
            self.symbols[index].fit_to(&plan, deep || !self.sources.has_fast());
            for carried in self.channels_of(index, deep) {
                self.link_of(carried).add(carried);
            }
        }
        if self.plan.bulk_ctx {
            self.links[usize::from(FRESH_LINK)].add(Carried { symbol: NO_SYMBOL, channel: Channel::AllCtxs });
        }
        if self.settings.account_address.is_some() {
            self.links[usize::from(FRESH_LINK)]
                .add(Carried { symbol: NO_SYMBOL, channel: Channel::UserFills });
        }
        self.instruments_known = true;
        self.instruments_at_mono_ns = Some(now.after_ms(self.refresh_ms()));
        self.place_ctxs();
        self.tell_venue(now, out);
    }

    fn tell_plan(&self, count: usize, out: &mut Out<'_>) {
        let Plan { symbols, spare, bulk_ctx, ref folded, reduced, .. } = self.plan;
        if !reduced {
            return;
        }
        let folded: Vec<_> = folded.iter().map(|interval| interval.as_str()).collect();
        let detail = format!(
            "of {count} symbols {} have no default book, {} are left out; candles folded: {}; funding {}",
            symbols.min(count).saturating_sub(spare),
            count - symbols.min(count),
            if folded.is_empty() { "none".to_owned() } else { folded.join(" ") },
            if bulk_ctx { "in bulk" } else { "one by one" },
        );
        let what = "more subscriptions wanted than max_subscriptions, some shed";
        (out.events)(Event::new(Severity::Warn, Some(VENUE), what).detail(&detail));
    }

    /// What is subscribed of a symbol.
    fn channels_of(&self, symbol: usize, deep: bool) -> Vec<Carried> {
        let needs = self.needs();
        let own_ctx = needs.ctx && (!self.plan.bulk_ctx || self.symbols[symbol].spot);
        let sole_book = needs.default && !needs.fast;
        let mut channels = Vec::new();
        let mut add = |wanted: bool, channel| {
            if wanted {
                channels.push(Carried { symbol, channel });
            }
        };
        add(needs.fast, Channel::FastBook);
        add(needs.bbo, Channel::Bbo);
        add(needs.trades, Channel::Trades);
        for &interval in &self.plan.streamed {
            add(true, Channel::Candle(interval));
        }
        add(own_ctx, Channel::Ctx);
        add(deep || sole_book, Channel::DefaultBook);
        channels
    }

    fn link_of(&mut self, carried: Carried) -> &mut super::links::LinkState {
        let link = if carried.channel == Channel::DefaultBook { DEEP_LINK } else { FRESH_LINK };
        &mut self.links[usize::from(link)]
    }

    /// Where each coin stands in the bulk stream of funding.
    fn place_ctxs(&mut self) {
        let Self { listed, table, ctx_places, plan, .. } = self;
        ctx_places.clear();
        if !plan.bulk_ctx {
            return;
        }
        let first = listed.perps.iter().map(|perps| ("", perps));
        let dexes = listed.dexes.iter().filter_map(|(dex, perps)| Some((&**dex, perps.as_ref()?)));
        for (dex, perps) in first.chain(dexes) {
            let places = perps.iter().map(|info| table.get(&info.name)).collect();
            ctx_places.push((dex.to_owned(), places));
        }
    }
}

impl Symbol {
    /// Takes the shape that the plan gives it, before anything is subscribed.
    pub(super) fn fit_to(&mut self, plan: &Plan, has_default_book: bool) {
        if let Some(book) = &mut self.book {
            book.fused = super::fused::FusedBook::new(!has_default_book);
        }
        if let Some(candles) = &mut self.candles {
            candles.reshape(&plan.streamed, &plan.folded);
        }
    }
}
