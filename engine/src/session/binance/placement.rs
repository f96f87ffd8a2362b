//! Which connection carries which stream: few connections, a symbol's streams together, no limit exceeded.
//!
//! Streams of a symbol come in units that stay together: those of the public route, trades and mark price,
//! candles. When there are more than all connections hold, this is left out, in this order: candles of the
//! last symbols, then the last symbols altogether. What is left out is told, and tried again with the next
//! list of instruments, when others may be gone.

use super::VENUE;
use super::feed::Feed;
use super::groups::Group;
use super::links::{Carried, Route, StreamName};
use super::symbol::Placed;
use crate::event::{Event, Severity};
use crate::limits::{
    BINANCE_GROUPS_MAX, BINANCE_ROTATION_RETRY_FIRST_MS, BINANCE_ROTATION_RETRY_LAST_MS,
    BINANCE_STREAMS_PER_LINK_MIN,
};
use crate::session::backoff::Backoff;
use crate::session::{Action, Out};
use codec::time::Now;
use codec::words::{Reason, State};

impl Feed {
    /// Gives every carried symbol that has none a place, as far as there is room.
    pub(super) fn place_all(&mut self, now: Now, out: &mut Out<'_>) {
        let mut shed = 0;
        for index in 0..self.symbols.len() {
            if self.symbols[index].carried && !self.symbols[index].placed.core {
                self.place_core(index, now, out);
            }
        }
        for index in 0..self.symbols.len() {
            let symbol = &self.symbols[index];
            if symbol.placed.core && !symbol.placed.candles && symbol.candles.is_some() {
                let names: Vec<_> =
                    self.settings.intervals.iter().map(|&interval| StreamName::Kline(interval)).collect();
                let placed = self.place_unit(index, &names, now, out);
                self.symbols[index].placed.candles = placed;
                if !placed {
                    self.symbols[index].set_candles(State::Down, Reason::Shed, now, out);
                    shed += 1;
                }
            } else if symbol.carried && !symbol.placed.core {
                self.symbols[index].set_all(State::Down, Reason::Shed, now, out);
                shed += 1;
            }
        }
        if shed > 0 {
            let what = "more streams than connections hold: candles of the last symbols, then the last \
                        symbols are left out";
            (out.events)(Event::new(Severity::Error, Some(VENUE), what).number(shed));
        }
        self.add_heartbeats(now, out);
    }

    fn place_core(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let symbol = &self.symbols[index];
        let wanted = |is_wanted: bool, name| is_wanted.then_some(name);
        let public = [
            wanted(symbol.book.is_some(), StreamName::Depth),
            wanted(symbol.quote.is_some(), StreamName::BookTicker),
        ];
        let market = [
            wanted(symbol.trades.is_some(), StreamName::AggTrade),
            wanted(symbol.funding.is_some(), StreamName::MarkPrice),
        ];
        let public: Vec<_> = public.into_iter().flatten().collect();
        let market: Vec<_> = market.into_iter().flatten().collect();
        let placed = self.place_unit(index, &public, now, out) && self.place_unit(index, &market, now, out);
        if !placed {
            // Half a symbol is none.
            self.unplace(index, now, out);
        }
        self.symbols[index].placed.core = placed;
    }

    /// Streams a connection of this route takes, but for those that every market connection may need.
    fn capacity(&self, route: Route) -> usize {
        let limit = self.settings.max_subscriptions.max(BINANCE_STREAMS_PER_LINK_MIN);
        match route {
            Route::Public => limit,
            Route::Market => limit - 2,
        }
    }

    /// Finds room for streams of one symbol and route that belong together; whether there was any.
    fn place_unit(&mut self, symbol: usize, names: &[StreamName], now: Now, out: &mut Out<'_>) -> bool {
        let Some(route) = names.first().map(|name| name.route()) else { return true };
        let capacity = self.capacity(route);
        // More of them than one connection takes are torn apart.
        for names in names.chunks(capacity) {
            let Some(at) = self.room(route, capacity, names.len()) else { return false };
            for &name in names {
                self.carry(at, Carried { symbol, name }, now, out);
            }
        }
        true
    }

    fn room(&mut self, route: Route, capacity: usize, wanted: usize) -> Option<usize> {
        let has_room = |group: &Group| group.route == route && group.len() + wanted <= capacity;
        // Heartbeats count too, which leaves some room unused: better than one too many.
        if let Some(at) = self.groups.iter().position(has_room) {
            return Some(at);
        }
        if self.groups.len() >= BINANCE_GROUPS_MAX {
            return None;
        }
        let settings = &self.settings;
        let backoff = Backoff::new(settings.reconnect_delay_ms, settings.max_reconnect_delay_ms);
        let rotation = Backoff::new(BINANCE_ROTATION_RETRY_FIRST_MS, BINANCE_ROTATION_RETRY_LAST_MS);
        let at = self.groups.len();
        let per_second = settings.max_messages_per_second;
        self.groups.push(Group::new(at, route, per_second, &backoff, rotation));
        Some(at)
    }

    fn carry(&mut self, at: usize, carried: Carried, now: Now, out: &mut Out<'_>) {
        let group = &mut self.groups[at];
        group.add(carried);
        if group.active().life.is_open() && carried.name != StreamName::ContractInfo {
            let link = group.active().link();
            let at = self.at(link, now);
            self.symbols[carried.symbol].on_subscribing(carried.name, at, out.publisher);
        }
    }

    /// Trades may be silent for long; mark prices come every second and prove a market connection. One of
    /// them says when listings change.
    fn add_heartbeats(&mut self, now: Now, out: &mut Out<'_>) {
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            let beats = |name| matches!(name, StreamName::MarkPrice | StreamName::Heartbeat);
            let first = group.carried().map(|(_, carried)| carried).find(|carried| {
                // A halted symbol's mark price may halt too.
                carried.name != StreamName::ContractInfo && !self.symbols[carried.symbol].halted
            });
            if group.route == Route::Market
                && !group.carried().any(|(_, carried)| beats(carried.name))
                && let Some(Carried { symbol, .. }) = first
            {
                self.carry(at, Carried { symbol, name: StreamName::Heartbeat }, now, out);
            }
        }
        let has_any = self.groups.iter().any(|group| group.has(StreamName::ContractInfo));
        let market = self.groups.iter().position(|group| group.route == Route::Market && !group.is_empty());
        if let Some(at) = market.filter(|_| !has_any) {
            self.carry(at, Carried { symbol: 0, name: StreamName::ContractInfo }, now, out);
        }
    }

    /// Takes a symbol's streams off their connections. A connection without streams is closed.
    pub(super) fn unplace(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        self.symbols[index].placed = Placed::default();
        for at in 0..self.groups.len() {
            let group = &mut self.groups[at];
            group.remove_symbol(index, &self.stream_prefixes);
            if group.is_idle() {
                group.clear();
                for side in group.sides.iter_mut().filter(|side| side.is_in_use()) {
                    out.actions.push_back(Action::Close { link: side.link() });
                    side.on_closed(now, &mut self.random);
                }
            }
        }
    }

    /// A symbol is not to be had any more: its streams are unsubscribed and told down.
    pub(super) fn drop_symbol(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        self.unplace(index, now, out);
        let at = self.at(0, now);
        let symbol = &mut self.symbols[index];
        symbol.carried = false;
        let mut names =
            vec![StreamName::Depth, StreamName::BookTicker, StreamName::AggTrade, StreamName::MarkPrice];
        names.extend(self.settings.intervals.iter().map(|&interval| StreamName::Kline(interval)));
        for name in names {
            symbol.on_lost(name, Reason::UnknownSymbol, at, out.publisher);
        }
        symbol.set_all(State::Down, Reason::UnknownSymbol, now, out);
    }
}
