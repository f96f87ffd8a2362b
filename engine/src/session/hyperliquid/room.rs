//! Who has room within the venue's limit on subscriptions: symbols that come and go, and their default books.

use super::fused::FusedBook;
use super::links::{Carried, Channel, LinkState};
use super::listing::unknown_body;
use super::plan::Needs;
use super::{DEEP_LINK, FRESH_LINK, HyperliquidSession, VENUE, names};
use crate::event::{Event, Severity};
use crate::session::candles::Folded;
use crate::session::{Link, Out};
use codec::record::InstrumentBody;
use codec::time::Now;
use codec::words::{InstrumentStatus, Reason, State, Stream};

impl HyperliquidSession {
    /// Plans what is subscribed of all that is carried. Candles take their shape at once: what history sends
    /// from now on finds its place.
    pub(super) fn make_plan(&mut self) {
        let (perps, others) = self.carried_counts();
        let limit = self.subscriptions_max();
        self.plan = self.needs().plan(perps, others, limit, |long, short| Folded::new(long, short).is_some());
        (0..self.symbols.len()).for_each(|index| self.reshape(index));
    }

    pub(super) fn reshape(&mut self, index: usize) {
        if let Some(candles) = &mut self.symbols[index].candles {
            candles.reshape(&self.plan.streamed, &self.plan.folded);
        }
    }

    /// Subscriptions for market data: the account's fills have theirs.
    fn subscriptions_max(&self) -> usize {
        self.settings.max_subscriptions.saturating_sub(usize::from(self.settings.account_address.is_some()))
    }

    pub(super) fn needs(&self) -> Needs {
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

    /// Whether default books may be done without.
    pub(super) fn has_luxury(&self) -> bool {
        let has_both = self.sources.has_default() && self.sources.has_fast();
        has_both && self.settings.wants(Stream::Orderbook)
    }

    /// What is carried, in the order of turnover; the venue's own order where that is equal.
    pub(super) fn most_traded_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> =
            (0..self.symbols.len()).filter(|&index| self.symbols[index].carried).collect();
        order.sort_by(|a, b| self.symbols[*b].turnover.total_cmp(&self.symbols[*a].turnover));
        order
    }

    /// Subscriptions that are free.
    fn room(&self) -> usize {
        let used: usize = self.links.iter().map(LinkState::len).sum();
        self.settings.max_subscriptions.saturating_sub(used)
    }

    /// Makes room for so many subscriptions: default books of the least traded go first.
    fn make_room(&mut self, wanted: usize, out: &mut Out<'_>) -> bool {
        let mut missing = wanted.saturating_sub(self.room());
        if missing == 0 {
            return true;
        }
        let deep: Vec<usize> = if self.has_luxury() {
            let order = self.most_traded_first().into_iter().rev();
            order.filter(|&index| self.links[usize::from(DEEP_LINK)].holds(deep_book(index))).collect()
        } else {
            Vec::new()
        };
        if deep.len() < missing {
            return false;
        }
        for index in deep {
            if missing == 0 {
                break;
            }
            let names = names(&self.coins_json, &self.settings);
            let carried = deep_book(index);
            self.links[usize::from(DEEP_LINK)].remove_where(|one| one == carried, &names, out.actions);
            self.quarantine.forget(carried);
            self.set_has_deep_book(index, false);
            missing -= 1;
        }
        true
    }

    /// What is free goes to default books, the most traded first.
    pub(super) fn hand_out_deep_books(&mut self) {
        if !self.has_luxury() {
            return;
        }
        let mut room = self.room();
        for index in self.most_traded_first() {
            if room == 0 {
                break;
            }
            if !self.links[usize::from(DEEP_LINK)].holds(deep_book(index)) {
                self.links[usize::from(DEEP_LINK)].add(deep_book(index));
                self.set_has_deep_book(index, true);
                room -= 1;
            }
        }
    }

    fn set_has_deep_book(&mut self, index: usize, has_it: bool) {
        if let Some(book) = &mut self.symbols[index].book {
            book.fused.set_fast_is_whole(!has_it);
        }
    }

    /// A symbol is subscribed from its beginning.
    pub(super) fn subscribe(&mut self, index: usize, deep: bool) {
        let has_default_book = deep || !self.sources.has_fast();
        if let Some(book) = &mut self.symbols[index].book {
            book.fused = FusedBook::new(!has_default_book);
        }
        for carried in self.channels_of(index, deep) {
            self.links[usize::from(Self::home(carried.channel))].add(carried);
        }
    }

    /// A symbol that has just been listed, or was shed before, if the venue's limit allows it.
    pub(super) fn carry_one_more(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let count = self.channels_of(index, false).len();
        if !self.make_room(count, out) {
            self.shed_symbol(index, now, out);
            return;
        }
        let symbol = &mut self.symbols[index];
        symbol.carried = true;
        symbol.set_all((State::Warming, Reason::Subscribing), now, out);
        let deep = self.has_luxury() && self.room() > count;
        self.subscribe(index, deep);
        let what = "symbol is listed now or finds room, subscribed";
        (out.events)(Event::new(Severity::Info, Some(VENUE), what).about(self.table.name(index)));
    }

    pub(super) fn drop_symbol(&mut self, index: usize, name: &str, now: Now, out: &mut Out<'_>) {
        let names = names(&self.coins_json, &self.settings);
        for link in &mut self.links {
            link.remove_symbol(index, &names, out.actions);
        }
        self.quarantine.forget_symbol(index);
        if let Some(body) = unknown_body(name, InstrumentStatus::Delisted) {
            let gone = out.publisher.instrument(self.symbols[index].instrument).copied().unwrap_or(body);
            let body = InstrumentBody { status: InstrumentStatus::Delisted.number(), ..gone };
            out.publisher.redefine(self.symbols[index].instrument, body, now);
        }
        let down = (State::Down, Reason::UnknownSymbol);
        self.lose_symbol(index, down, now, out);
        let symbol = &mut self.symbols[index];
        symbol.carried = false;
        symbol.forget();
        symbol.set_all(down, now, out);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), "symbol is no longer listed, dropped").about(name),
        );
    }

    /// Every stream of a symbol is gone, as with its connection: should it come back, the loss is told.
    fn lose_symbol(&mut self, index: usize, down: (State, Reason), now: Now, out: &mut Out<'_>) {
        let intervals = self.plan.streamed.iter().map(|&interval| Channel::Candle(interval));
        let channels = [Channel::FastBook, Channel::DefaultBook, Channel::Bbo, Channel::Trades].into_iter();
        let channels: Vec<_> = channels.chain(intervals).chain([Channel::Ctx]).collect();
        for channel in channels {
            self.lose_stream(Carried { symbol: index, channel }, down, now, out);
        }
    }

    pub(super) fn shed_symbol(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        symbol.carried = false;
        symbol.set_all((State::Down, Reason::Shed), now, out);
    }

    /// What is subscribed of a symbol.
    fn channels_of(&self, symbol: usize, deep: bool) -> Vec<Carried> {
        let needs = self.needs();
        let own_ctx = needs.ctx && (self.symbols[symbol].spot || !self.plan.bulk_ctx);
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

    /// The connection of a kind of subscription.
    pub(super) const fn home(channel: Channel) -> Link {
        if matches!(channel, Channel::DefaultBook) { DEEP_LINK } else { FRESH_LINK }
    }
}

const fn deep_book(symbol: usize) -> Carried {
    Carried { symbol, channel: Channel::DefaultBook }
}
