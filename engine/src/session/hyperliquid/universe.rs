//! What the venue lists and what of it is carried: asked for at the start, and again while running.

use super::links::{Carried, Channel, NO_SYMBOL};
use super::listing::{Worth, unknown_body};
use super::plan::Plan;
use super::{FRESH_LINK, HyperliquidSession, VENUE};
use crate::event::{Event, Severity};
use crate::fetch::{Answer, FetchError, FetchRequest, Priority, Query};
use crate::limits::{HYPERLIQUID_REFRESH_MS, LIST_RETRIES_MAX, TURNOVER_TRIES_MAX};
use crate::session::settings::SymbolChoice;
use crate::session::{Action, Out};
use codec::record::NO_INSTRUMENT;
use codec::time::Now;
use codec::venues::rest_hyperliquid::Turnover;
use codec::words::{InstrumentStatus, Reason, State};
use std::collections::HashMap;

impl HyperliquidSession {
    /// Asks for the lists that are missing, or all of them when it is time again.
    pub(super) fn fetch_instruments(&mut self, now: Now, out: &mut Out<'_>) {
        if self.instruments_at_mono_ns.is_none_or(|at| now.mono_ns < at) {
            return;
        }
        self.instruments_at_mono_ns = None;
        let mut wanted = self.listed.wanted();
        if self.instruments_known && wanted.is_empty() {
            self.listed.want_all();
            wanted = self.listed.wanted();
        }
        if self.awaits_turnover {
            wanted.push(Query::Turnover);
        }
        for query in wanted {
            let priority = Priority::Repair;
            let request = FetchRequest { venue: VENUE, query, instrument: NO_INSTRUMENT, token: 0, priority };
            out.actions.push_back(Action::Fetch(request));
        }
    }

    pub(super) fn on_list(&mut self, query: &Query, answer: Answer, now: Now, out: &mut Out<'_>) {
        if let (Query::Turnover, Answer::Turnover(turnover)) = (query, &answer) {
            if core::mem::take(&mut self.awaits_turnover) {
                self.start_with(turnover, now, out);
            }
            return;
        }
        match self.listed.take(query, answer) {
            Worth::Taken => {}
            Worth::Unasked => return,
            Worth::Empty => {
                let delay_ms = self.retry_lists(now);
                let what = "instrument list came empty, trying again";
                let event = Event::new(Severity::Error, Some(VENUE), what).number(delay_ms);
                (out.events)(event.detail(&format!("{query:?}")));
                return;
            }
        }
        if !self.listed.is_whole() {
            return;
        }
        let is_done = self.listed.wanted().is_empty();
        if is_done {
            self.instruments_backoff.reset();
        }
        if self.instruments_known {
            if is_done {
                self.instruments_at_mono_ns = Some(now.after_ms(self.refresh_ms()));
            }
            self.refresh(now, out);
            return;
        }
        self.choose_symbols(now, out);
        self.make_plan();
        if self.plan.reduced {
            // Who is shed is decided by what is traded.
            self.awaits_turnover = true;
            self.instruments_at_mono_ns = Some(now.mono_ns);
            self.fetch_instruments(now, out);
        } else {
            self.start_with(&[], now, out);
        }
    }

    pub(super) fn on_list_failed(&mut self, query: &Query, error: &FetchError, now: Now, out: &mut Out<'_>) {
        let is_waited_for = match query {
            Query::Turnover => self.awaits_turnover,
            query => self.listed.wanted().contains(query),
        };
        if !is_waited_for {
            return;
        }
        if matches!(error, FetchError::Permanent { .. }) && self.listed.may_be_empty(query) {
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
        let mut delay_ms = self.instruments_backoff.next_ms(&mut self.random);
        if self.instruments_known && self.instruments_backoff.attempts() > LIST_RETRIES_MAX {
            self.instruments_backoff.reset();
            self.listed.want_none();
            delay_ms = self.refresh_ms();
        }
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
            SymbolChoice::All => {
                self.listed.perps.rows().filter(|info| !info.delisted).map(|info| info.name.clone()).collect()
            }
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
        for index in 0..self.symbols.len() {
            let name = self.table.name(index).to_owned();
            let gone = self.listed.find(&name).is_none_or(|found| found.delisted());
            if gone && self.symbols[index].carried {
                self.drop_symbol(index, &name, now, out);
            }
        }
        self.readmit(now, out);
        let mut fresh = Vec::new();
        for name in &self.chosen() {
            let Some(found) = self.listed.find(name) else { continue };
            let (Some(body), gone) = (found.body(name), found.delisted()) else { continue };
            let known = self.table.get(name);
            if gone && known.is_none() {
                continue;
            }
            let index = known.unwrap_or_else(|| self.add_symbol(name, body, now, out));
            self.reshape(index);
            let instrument = self.symbols[index].instrument;
            let before = out.publisher.instrument(instrument).copied();
            out.publisher.redefine(instrument, body, now);
            self.drift.on_redefined(before, &body, name, now, out);
            if !gone && !self.symbols[index].carried {
                fresh.push(index);
            }
        }
        fresh.sort_by(|a, b| self.symbols[*b].turnover.total_cmp(&self.symbols[*a].turnover));
        for index in fresh {
            self.carry_one_more(index, now, out);
        }
        self.hand_out_deep_books();
        self.place_ctxs();
    }

    /// Ranks the symbols within the plan and lets the connections begin.
    fn start_with(&mut self, turnover: &[Turnover], now: Now, out: &mut Out<'_>) {
        if self.instruments_known {
            return;
        }
        let ranks: HashMap<&str, f64> = turnover.iter().map(|row| (&*row.name, row.day_notional)).collect();
        for (index, symbol) in self.symbols.iter_mut().enumerate() {
            symbol.turnover = ranks.get(self.table.name(index)).copied().unwrap_or(0.0);
        }
        let order = self.most_traded_first();
        self.tell_plan(order.len(), out);
        let mut spare = self.plan.spare;
        for (place, &index) in order.iter().enumerate() {
            if place >= self.plan.symbols {
                self.shed_symbol(index, now, out);
                continue;
            }
            let deep = spare > 0 && self.has_luxury();
            spare -= usize::from(deep);
            self.subscribe(index, deep);
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

    /// Where each coin stands in the bulk stream of funding.
    fn place_ctxs(&mut self) {
        let Self { listed, table, ctx_places, plan, .. } = self;
        ctx_places.clear();
        if !plan.bulk_ctx {
            return;
        }
        let dexes = listed.dexes.iter().map(|(dex, perps)| (&**dex, perps));
        for (dex, perps) in core::iter::once(("", &listed.perps)).chain(dexes) {
            let places = perps.rows().map(|info| table.get(&info.name)).collect();
            ctx_places.push((dex.to_owned(), places));
        }
    }
}
