//! What time alone brings: connections to make, silences, deadlines, closes of candles.

use super::links::{Carried, Channel, LinkTrouble, NO_SYMBOL};
use super::{BulkCtx, DEEP_LINK, FRESH_LINK, HyperliquidSession, VENUE, candle_token, link_name, names};
use crate::event::{Event, Severity};
use crate::fetch::{FetchRequest, Query};
use crate::limits::{
    FIRST_DATA_DEADLINE_MS, HYPERLIQUID_BULK_CTX_SILENT_MS, HYPERLIQUID_CTX_SILENT_MS,
    HYPERLIQUID_DEFAULT_SILENT_MS, HYPERLIQUID_FAST_SILENT_MS, HYPERLIQUID_RECONNECT_FACTOR,
    STREAM_ESCALATE_EVERY_MS, STREAM_ESCALATE_MS, STREAM_RETRY_FACTOR,
};
use crate::session::lifecycle::SilenceLimits;
use crate::session::{Action, Out};
use codec::drift::DriftKind;
use codec::time::{Now, ns_of_ms};
use codec::words::{Reason, State, Stream};

impl HyperliquidSession {
    pub(super) fn tick_links(&mut self, now: Now, out: &mut Out<'_>) {
        for at in 0..self.links.len() {
            let names = names(&self.coins_json, &self.settings);
            let link = &mut self.links[at];
            if !link.is_used() {
                // Nothing that could speak.
                link.life.on_data(now);
            }
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
            let stale_ms = self.settings.stale_after_ms.unwrap_or(default_ms);
            // However early its streams are to be called stale, a link is given time for its own beat.
            let reconnect_ms = stale_ms.max(default_ms).saturating_mul(HYPERLIQUID_RECONNECT_FACTOR);
            let limits = SilenceLimits { stale_ms, reconnect_ms };
            link.drive(now, &self.settings.websocket_url, &names, &mut self.pace, out.actions);
            let Some(trouble) = link.trouble(now, limits) else { continue };
            self.on_trouble(at, trouble, now, out);
        }
    }

    fn on_trouble(&mut self, at: usize, trouble: LinkTrouble, now: Now, out: &mut Out<'_>) {
        if trouble == LinkTrouble::AckTimeout && !self.give_up_late(at, now, out) {
            return;
        }
        let (what, reason) = match trouble {
            LinkTrouble::ConnectTimeout => ("connection took too long, given up", Reason::Disconnect),
            LinkTrouble::AckTimeout => ("subscription not acknowledged, reconnecting", Reason::Disconnect),
            LinkTrouble::PongTimeout => ("ping not answered, reconnecting", Reason::Silence),
            LinkTrouble::Silent => ("connection silent, its streams are stale", Reason::Silence),
            LinkTrouble::Dead => ("connection silent, reconnecting", Reason::Silence),
        };
        let link = self.links[at].link();
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), what).about(link_name(link)).number(link.into()),
        );
        if trouble == LinkTrouble::Silent {
            if !self.links[at].life.has_heard() && self.links[at].acknowledged().next().is_some() {
                let seen = b"acknowledged, and nothing came";
                self.drift.note(DriftKind::SilentRoute, link_name(link), seen, now, out);
            }
            self.stale_link(at, now, out);
        } else {
            self.remake_link(at, reason, now, out);
        }
    }

    /// Closes a connection of our own will.
    fn remake_link(&mut self, at: usize, reason: Reason, now: Now, out: &mut Out<'_>) {
        out.actions.push_back(Action::Close { link: self.links[at].link() });
        let (_, suspects) = self.links[at].on_closed(now, &mut self.random);
        // It was not the venue that closed it.
        for carried in suspects {
            self.links[at].acquit(carried);
        }
        self.lose_link(at, reason, now, out);
    }

    pub(super) fn tick_book(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
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
        if book.state.is_live() && out.publisher.wants_snapshot(instrument) {
            let stamp = book.stamp(instrument, FRESH_LINK, now);
            let _ = out.publisher.republish_snapshot(&stamp, book.fused.book());
        }
    }

    /// Once a second: a live book is told for comparison, a dead one asked for again.
    pub(super) fn check_book(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let symbol = &mut self.symbols[index];
        let Some(book) = &mut symbol.book else { return };
        if book.state.is_live() {
            book.retried_mono_ns = 0;
            let stamp = book.stamp(symbol.instrument, FRESH_LINK, now);
            out.publisher.check(&stamp, book.fused.book());
        } else if symbol.carried {
            self.retry_book(index, now, out);
        }
    }

    /// A book that has died on a living connection: first the stream is asked for again, then the connection
    /// is made anew.
    fn retry_book(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let Some(book) = &mut self.symbols[index].book else { return };
        let silent = matches!(
            (book.state.state, book.state.reason),
            (State::Stale, Reason::Silence) | (State::Down, Reason::NoFirstData)
        );
        let since_ns = book.beat_mono_ns.max(book.awaiting_since_mono_ns);
        let silent_ms = now.mono_ns.saturating_sub(since_ns) / 1_000_000;
        if !silent || silent_ms < book.silent_after_ms.saturating_mul(STREAM_RETRY_FACTOR) {
            return;
        }
        let channel = if self.sources.has_fast() { Channel::FastBook } else { Channel::DefaultBook };
        let retried_mono_ns = book.retried_mono_ns;
        let retried_mono_ns =
            self.retry_stream(Carried { symbol: index, channel }, retried_mono_ns, now, out);
        if let Some(book) = &mut self.symbols[index].book {
            book.retried_mono_ns = retried_mono_ns;
        }
    }

    /// A stream is dead on a living connection, and was asked for again at this monotonic time, ns (0: not yet).
    /// Answers with that time as it is then.
    fn retry_stream(&mut self, carried: Carried, retried_mono_ns: u64, now: Now, out: &mut Out<'_>) -> u64 {
        let at = usize::from(Self::home(carried.channel));
        let name = self.table.name(carried.symbol);
        let channel = format!("{:?}", carried.channel);
        if retried_mono_ns == 0 {
            let names = names(&self.coins_json, &self.settings);
            self.links[at].ask_again(carried, &names, out.actions);
            let what = "stream silent on a living connection, asked for again";
            (out.events)(Event::new(Severity::Warn, Some(VENUE), what).about(name).detail(&channel));
            self.drift.note(DriftKind::SilentStream, carried.channel.name(), name.as_bytes(), now, out);
            return now.mono_ns;
        }
        let retried_ms = now.mono_ns.saturating_sub(retried_mono_ns) / 1_000_000;
        if retried_ms >= STREAM_ESCALATE_MS
            && self.links[at].life.open_ms(now) >= STREAM_ESCALATE_EVERY_MS.min(retried_ms)
            && now.mono_ns >= self.escalate_after_mono_ns
        {
            self.escalate_after_mono_ns = now.after_ms(STREAM_ESCALATE_EVERY_MS);
            let what = "stream still silent, connection made anew";
            (out.events)(Event::new(Severity::Warn, Some(VENUE), what).about(name).detail(&channel));
            self.remake_link(at, Reason::Silence, now, out);
            if carried.channel == Channel::Ctx {
                // Once is enough for funding, until it comes again.
                return u64::MAX;
            }
        }
        retried_mono_ns
    }

    pub(super) fn tick_funding(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        let bulk = self.plan.bulk_ctx;
        let symbol = &mut self.symbols[index];
        let Some(funding) = &mut symbol.funding else { return };
        let limit_ms = self.settings.stale_after_ms.unwrap_or(if bulk && !symbol.spot {
            HYPERLIQUID_BULK_CTX_SILENT_MS
        } else {
            HYPERLIQUID_CTX_SILENT_MS
        });
        let of = (VENUE, symbol.instrument, Stream::Funding);
        if funding.state.is_live() {
            funding.retried_mono_ns = 0;
            if funding.state.age_ms(now) > limit_ms {
                funding.state.set(out.publisher, of, (State::Stale, Reason::Silence), now);
            }
        } else if funding.state.reason == Reason::AwaitingData
            && now.mono_ns.saturating_sub(funding.acked_mono_ns)
                >= ns_of_ms(limit_ms.max(FIRST_DATA_DEADLINE_MS))
        {
            funding.state.set(out.publisher, of, (State::Down, Reason::NoFirstData), now);
        }
        let silent = matches!(
            (funding.state.state, funding.state.reason),
            (State::Stale, Reason::Silence) | (State::Down, Reason::NoFirstData)
        );
        let since_ns = funding.state.data_mono_ns.max(funding.acked_mono_ns);
        let silent_ms = now.mono_ns.saturating_sub(since_ns) / 1_000_000;
        let own = symbol.carried && (symbol.spot || !bulk);
        if own && silent && silent_ms >= limit_ms.saturating_mul(STREAM_RETRY_FACTOR) {
            let (carried, retried_mono_ns) =
                (Carried { symbol: index, channel: Channel::Ctx }, funding.retried_mono_ns);
            let retried_mono_ns = self.retry_stream(carried, retried_mono_ns, now, out);
            if let Some(funding) = &mut self.symbols[index].funding {
                funding.retried_mono_ns = retried_mono_ns;
            }
        }
    }

    /// The bulk stream of funding, looked after as one.
    pub(super) fn tick_bulk_funding(&mut self, now: Now, out: &mut Out<'_>) {
        let BulkCtx { acked_mono_ns, data_mono_ns, retried_mono_ns } = self.bulk_ctx;
        if acked_mono_ns == 0 {
            return;
        }
        let limit_ms = self.settings.stale_after_ms.unwrap_or(HYPERLIQUID_BULK_CTX_SILENT_MS);
        let silent_ms = now.mono_ns.saturating_sub(acked_mono_ns.max(data_mono_ns)) / 1_000_000;
        if data_mono_ns > retried_mono_ns {
            self.bulk_ctx.retried_mono_ns = 0;
        }
        if silent_ms >= limit_ms.saturating_mul(STREAM_RETRY_FACTOR)
            || (self.bulk_ctx.retried_mono_ns != 0 && silent_ms >= limit_ms)
        {
            let carried = Carried { symbol: NO_SYMBOL, channel: Channel::AllCtxs };
            let retried_mono_ns = self.retry_stream(carried, self.bulk_ctx.retried_mono_ns, now, out);
            self.bulk_ctx.retried_mono_ns = retried_mono_ns;
        }
    }

    pub(super) fn tick_candles(&mut self, index: usize, now: Now, out: &mut Out<'_>) {
        if !self.venue_clock.is_known() {
            // By the local clock a period might seem over that is not.
            return;
        }
        let venue_ms = self.venue_now_ms(now);
        let symbol = &mut self.symbols[index];
        let instrument = symbol.instrument;
        let Some(candles) = symbol.candles.as_mut().filter(|_| symbol.carried) else { return };
        let source = Self::candle_source(instrument, FRESH_LINK, venue_ms, now, out);
        let wish = candles.on_tick(source);
        self.account.candles(candles.take_counts());
        let Some(wish) = wish else { return };
        out.actions.push_back(Action::Fetch(FetchRequest {
            venue: VENUE,
            query: Query::Candles {
                symbol: self.table.name(index).to_owned(),
                interval: wish.interval,
                start_ms: wish.wish.start_ms,
                end_ms: wish.wish.end_ms,
                limit: wish.wish.limit,
            },
            instrument,
            token: candle_token(wish.interval, wish.wish.token),
            priority: wish.wish.priority,
        }));
    }
}
