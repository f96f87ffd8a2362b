//! What the life of a connection means for the streams it carries.

use super::links::{Carried, Channel};
use super::symbol::Symbol;
use super::{HyperliquidSession, VENUE};
use crate::limits::HYPERLIQUID_LATENCY_MS;
use crate::session::Out;
use crate::session::candles::CandleSource;
use crate::session::states::StreamState;
use codec::record::NO_INSTRUMENT;
use codec::time::Now;
use codec::venues::hyperliquid::Subscription;
use codec::words::{Reason, State, Stream};

impl HyperliquidSession {
    /// What a connection carried is no longer known to be right.
    pub(super) fn lose_link(&mut self, at: usize, reason: Reason, now: Now, out: &mut Out<'_>) {
        let down = (State::Down, reason);
        for place in 0..self.links[at].len() {
            let Some(carried) = self.links[at].carried_at(place) else { continue };
            self.lose_stream(carried, down, now, out);
        }
    }

    /// One stream is gone, for this reason.
    pub(super) fn lose_stream(
        &mut self,
        carried: Carried,
        down: (State, Reason),
        now: Now,
        out: &mut Out<'_>,
    ) {
        let Carried { symbol, channel } = carried;
        match channel {
            Channel::UserFills => {
                self.fills.on_link_lost();
                let of = (VENUE, NO_INSTRUMENT, Stream::Fills);
                self.fills.state.set(out.publisher, of, down, now);
                return;
            }
            Channel::AllCtxs => {
                self.bulk_ctx.acked_mono_ns = 0;
                for symbol in self.symbols.iter_mut().filter(|symbol| symbol.carried && !symbol.spot) {
                    symbol.lose_funding(down, now, out);
                }
                return;
            }
            _ => {}
        }
        // With both sources the fast one alone keeps the top right; the deep part ages out.
        let is_luxury = channel == Channel::DefaultBook && self.sources.has_fast();
        let Some(symbol) = self.symbols.get_mut(symbol).filter(|_| !is_luxury) else { return };
        let instrument = symbol.instrument;
        match channel {
            Channel::FastBook | Channel::DefaultBook => {
                if let Some(book) = &mut symbol.book {
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
                if let Some(candles) = &mut symbol.candles {
                    candles.on_trades_lost();
                }
            }
            Channel::Candle(interval) => {
                if let Some(candles) = &mut symbol.candles {
                    candles.on_link_lost(interval);
                    candles.state.set(out.publisher, (VENUE, instrument, Stream::Candles), down, now);
                }
            }
            Channel::Ctx => symbol.lose_funding(down, now, out),
            Channel::AllCtxs | Channel::UserFills => {}
        }
    }

    /// A silent link: what may be quiet by nature is judged by its link's books.
    pub(super) fn stale_link(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        self.each_quiet_stream(at, |state, instrument, stream| {
            if state.is_live() {
                let stale = (State::Stale, Reason::Silence);
                state.set(out.publisher, (VENUE, instrument, stream), stale, now);
            }
        });
    }

    /// A silent link speaks again: TCP lost nothing.
    pub(super) fn wake_link(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        self.each_quiet_stream(at, |state, instrument, stream| {
            if state.state == State::Stale && state.reason == Reason::Silence {
                state.set(out.publisher, (VENUE, instrument, stream), (State::Live, Reason::None), now);
            }
        });
    }

    /// Streams of a link without a beat of their own.
    fn each_quiet_stream(&mut self, at: usize, mut take: impl FnMut(&mut StreamState, u32, Stream)) {
        for place in 0..self.links[at].len() {
            let Some(Carried { symbol, channel }) = self.links[at].carried_at(place) else { continue };
            if channel == Channel::UserFills {
                take(&mut self.fills.state, NO_INSTRUMENT, Stream::Fills);
            }
            let Some(symbol) = self.symbols.get_mut(symbol) else { continue };
            let instrument = symbol.instrument;
            match (channel, &mut symbol.quote, &mut symbol.trades, &mut symbol.candles) {
                (Channel::Bbo, Some(quote), ..) => take(&mut quote.state, instrument, Stream::Quotes),
                (Channel::Trades, _, Some(trades), _) => {
                    take(&mut trades.state, instrument, Stream::Trades);
                }
                (Channel::Candle(_), .., Some(candles)) => {
                    take(&mut candles.state, instrument, Stream::Candles);
                }
                _ => {}
            }
        }
    }

    /// A connection is there: what is asked for on it.
    pub(super) fn on_subscribing(&mut self, at: usize, now: Now, out: &mut Out<'_>) {
        for place in 0..self.links[at].len() {
            if let Some(carried) = self.links[at].carried_at(place) {
                self.await_stream(carried, now, out);
            }
        }
    }

    /// A stream is about to be asked for.
    pub(super) fn await_stream(&mut self, carried: Carried, now: Now, out: &mut Out<'_>) {
        let waiting = (State::Warming, Reason::Subscribing);
        match carried.channel {
            Channel::UserFills => {
                let of = (VENUE, NO_INSTRUMENT, Stream::Fills);
                self.fills.state.set(out.publisher, of, waiting, now);
            }
            // The deep part alone does not make a book that has a fast source.
            Channel::DefaultBook if self.sources.has_fast() => {}
            channel => {
                let Some(symbol) = self.symbols.get_mut(carried.symbol) else { return };
                let instrument = symbol.instrument;
                if let Some((state, stream)) = symbol.state_of(channel)
                    && !state.is_live()
                {
                    state.set(out.publisher, (VENUE, instrument, stream), waiting, now);
                }
            }
        }
    }

    pub(super) fn on_acknowledged(
        &mut self,
        at: usize,
        echoed: &Subscription<'_>,
        now: Now,
        out: &mut Out<'_>,
    ) {
        let index = if echoed.coin.is_empty() {
            super::links::NO_SYMBOL
        } else {
            let Some(index) = self.table.get(echoed.coin) else { return };
            index
        };
        if at == self.links.len() {
            self.quarantine.probe.on_acknowledged(index, echoed);
            return;
        }
        let Some(carried) = self.links[at].on_acknowledged(index, echoed) else { return };
        let venue_ms = self.venue_now_ms(now);
        let begun_ms = venue_ms.saturating_add(HYPERLIQUID_LATENCY_MS);
        let waiting = (State::Warming, Reason::AwaitingData);
        let live = (State::Live, Reason::None);
        match carried.channel {
            Channel::UserFills => {
                let of = (VENUE, NO_INSTRUMENT, Stream::Fills);
                self.fills.state.set(out.publisher, of, live, now);
                return;
            }
            Channel::AllCtxs => {
                self.bulk_ctx.acked_mono_ns = now.mono_ns;
                for symbol in self.symbols.iter_mut().filter(|symbol| symbol.carried && !symbol.spot) {
                    symbol.await_funding(now, out);
                }
                return;
            }
            _ => {}
        }
        let Some(symbol) = self.symbols.get_mut(index) else { return };
        let instrument = symbol.instrument;
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
                    trades.state.set(out.publisher, of, live, now);
                }
                if let Some(candles) = &mut symbol.candles {
                    candles.on_trades_subscribed(begun_ms);
                }
            }
            Channel::Candle(interval) => {
                if let Some(candles) = &mut symbol.candles
                    && candles.on_subscribed(interval, venue_ms)
                {
                    // A market without trades is quiet, not broken: the acknowledgement is all there is.
                    let of = (VENUE, instrument, Stream::Candles);
                    candles.state.set(out.publisher, of, live, now);
                }
            }
            Channel::Ctx => symbol.await_funding(now, out),
            Channel::AllCtxs | Channel::UserFills => {}
        }
    }

    /// Where the candles of a symbol come from now.
    pub(super) fn candle_source<'o>(
        instrument: u32,
        source: super::Link,
        venue_ms: u64,
        now: Now,
        out: &'o mut Out<'_>,
    ) -> CandleSource<'o> {
        CandleSource { publisher: out.publisher, venue: VENUE, instrument, source, now, venue_ms }
    }
}

impl Symbol {
    /// The state that a subscription stands for.
    pub(super) fn state_of(&mut self, channel: Channel) -> Option<(&mut StreamState, Stream)> {
        Some(match channel {
            Channel::FastBook | Channel::DefaultBook => (&mut self.book.as_mut()?.state, Stream::Orderbook),
            Channel::Bbo => (&mut self.quote.as_mut()?.state, Stream::Quotes),
            Channel::Trades => (&mut self.trades.as_mut()?.state, Stream::Trades),
            Channel::Candle(_) => (&mut self.candles.as_mut()?.state, Stream::Candles),
            Channel::Ctx | Channel::AllCtxs => (&mut self.funding.as_mut()?.state, Stream::Funding),
            Channel::UserFills => return None,
        })
    }

    pub(super) fn lose_funding(&mut self, down: (State, Reason), now: Now, out: &mut Out<'_>) {
        if let Some(funding) = &mut self.funding {
            funding.acked_mono_ns = 0;
            funding.state.set(out.publisher, (VENUE, self.instrument, Stream::Funding), down, now);
        }
    }

    fn await_funding(&mut self, now: Now, out: &mut Out<'_>) {
        if let Some(funding) = self.funding.as_mut().filter(|funding| !funding.state.is_live()) {
            funding.acked_mono_ns = now.mono_ns;
            let waiting = (State::Warming, Reason::AwaitingData);
            funding.state.set(out.publisher, (VENUE, self.instrument, Stream::Funding), waiting, now);
        }
    }
}
