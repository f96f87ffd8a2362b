//! One Binance symbol: its book, its quote, its trades, its candles and its funding.

use super::VENUE;
use super::book_sync::{BookContext, BookSync};
use super::deadlines::{KlineWatch, Watch};
use super::funding::FundingSync;
use super::links::StreamName;
use super::stream_states::At;
use super::trade_sync::TradeSync;
use crate::limits::QUOTE_BEHIND_BOOK_MS;
use crate::publisher::{Publisher, Stamp};
use crate::session::account::{DropReason, Outcome};
use crate::session::candles::CandleSet;
use crate::session::states::StreamState;
use crate::session::{Link, Out};
use codec::record::{GapBody, InstrumentBody, Level, MISSED_UNKNOWN, QuoteBody};
use codec::time::{Now, ns_of_ms};
use codec::venues::binance::BookTicker;
use codec::venues::rest_binance::InstrumentInfo;
use codec::words::{InstrumentKind, InstrumentStatus, Reason, State, Stream};

/// One symbol with everything carried of it.
#[derive(Debug)]
pub(super) struct Symbol {
    pub(super) instrument: u32,
    pub(super) name: String,
    /// Listed and not delisted, so that it is subscribed.
    pub(super) carried: bool,
    /// Listed, but it does not trade at present: its silence is no fault.
    pub(super) halted: bool,
    /// Whether its streams, and its candles, have found a place on a connection.
    pub(super) placed: Placed,
    pub(super) book: Option<Box<BookSync>>,
    pub(super) quote: Option<QuoteSync>,
    pub(super) trades: Option<Box<TradeSync>>,
    /// Told to be unknown or delisted.
    pub(super) told_unknown: bool,
    pub(super) candles: Option<Box<CandleSet>>,
    pub(super) funding: Option<FundingSync>,
    /// Of book, quotes and mark prices.
    pub(super) watches: [Watch; 3],
    /// Of candles, one for each interval.
    pub(super) klines: Vec<KlineWatch>,
    /// Quotes since the last depth event.
    pub(super) quotes_since_depth: u32,
}

/// What of a symbol has a place on a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Placed {
    /// Everything but the candles.
    pub(super) core: bool,
    pub(super) candles: bool,
}

#[derive(Debug, Default)]
pub(super) struct QuoteSync {
    pub(super) state: StreamState,
    pub(super) update_id: u64,
    /// Best bid and ask as last published.
    pub(super) last: Option<(Level, Level)>,
    /// Since when a newer live book shows another best, monotonic ns.
    pub(super) differs_since_mono_ns: Option<u64>,
    /// Quotes were lost since the last one.
    pub(super) lost: bool,
}

impl QuoteSync {
    /// The connection is gone: quotes will have been lost, and the next one counts whatever its id.
    pub(super) const fn on_link_lost(&mut self) {
        self.lost |= self.update_id != 0;
        self.update_id = 0;
        self.last = None;
        self.differs_since_mono_ns = None;
    }
}

impl Symbol {
    pub(super) fn set_all(&mut self, state: State, reason: Reason, now: Now, out: &mut Out<'_>) {
        let instrument = self.instrument;
        if let Some(book) = &mut self.book {
            let mut cx = BookContext { publisher: out.publisher, instrument, source: 0, now };
            book.set_state(state, reason, &mut cx);
        }
        if let Some(quote) = &mut self.quote {
            quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), (state, reason), now);
        }
        if let Some(trades) = &mut self.trades {
            trades.state.set(out.publisher, (VENUE, instrument, Stream::Trades), (state, reason), now);
        }
        if let Some(funding) = &mut self.funding {
            funding.state.set(out.publisher, (VENUE, instrument, Stream::Funding), (state, reason), now);
        }
        self.set_candles(state, reason, now, out);
    }

    pub(super) fn set_candles(&mut self, state: State, reason: Reason, now: Now, out: &mut Out<'_>) {
        if let Some(candles) = &mut self.candles {
            candles.state.set(out.publisher, (VENUE, self.instrument, Stream::Candles), (state, reason), now);
        }
    }

    /// Only one connection delivers a stream from now on; `given_up`: not this one, which was to replace it.
    pub(super) fn end_overlap(
        &mut self,
        name: StreamName,
        given_up: Option<Link>,
        at: At,
        publisher: &mut Publisher,
    ) {
        match (name, &mut self.book, &mut self.trades) {
            (StreamName::Depth, Some(book), _) => {
                book.end_overlap(given_up, &mut at.book(self.instrument, publisher));
            }
            (StreamName::AggTrade, _, Some(trades)) => trades.end_overlap(given_up, publisher, at.now),
            _ => {}
        }
    }

    pub(super) fn on_quote(
        &mut self,
        update_id: u64,
        quote: (Level, Level),
        stamp: &Stamp,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        let Some(sync) = &mut self.quote else { return Outcome::Dropped(DropReason::NotCarried) };
        if update_id <= sync.update_id {
            return Outcome::Dropped(DropReason::Duplicate);
        }
        sync.update_id = update_id;
        sync.last = Some(quote);
        sync.differs_since_mono_ns = None;
        if core::mem::take(&mut sync.lost) {
            let body = GapBody::new(Reason::Disconnect, MISSED_UNKNOWN, 0, 0);
            out.publisher.gap(VENUE, self.instrument, Stream::Quotes, &body, now);
        }
        sync.state.set(
            out.publisher,
            (VENUE, self.instrument, Stream::Quotes),
            (State::Live, Reason::None),
            now,
        );
        out.publisher.quote(stamp, &QuoteBody { bid: quote.0, ask: quote.1 });
        Outcome::Published
    }

    /// A quote that a newer live book contradicts for too long: its stream has died without a word.
    pub(super) fn check_quote(&mut self, now: Now, out: &mut Out<'_>) {
        let (Some(book), Some(quote)) = (&self.book, &mut self.quote) else { return };
        if !quote.state.is_live() || !book.state().is_live() || book.book_id() <= quote.update_id {
            return;
        }
        let best = book.book().bids.best().zip(book.book().asks.best());
        if best == quote.last {
            quote.differs_since_mono_ns = None;
            return;
        }
        let since = *quote.differs_since_mono_ns.get_or_insert(now.mono_ns);
        if now.mono_ns.saturating_sub(since) > ns_of_ms(QUOTE_BEHIND_BOOK_MS) {
            let of = (VENUE, self.instrument, Stream::Quotes);
            quote.state.set(out.publisher, of, (State::Stale, Reason::Silence), now);
        }
    }

    /// A book that has just joined knows the best prices: a quote stream that waits need not wait longer.
    pub(super) fn quote_from_book(&mut self, source: Link, now: Now, out: &mut Out<'_>) {
        let Some(book) = &self.book else { return };
        let waits = |quote: &QuoteSync| {
            quote.state.state == State::Warming && quote.state.reason == Reason::AwaitingData
        };
        if !self.quote.as_ref().is_some_and(waits) {
            return;
        }
        let best = (book.book().bids.best(), book.book().asks.best());
        if let (Some(bid), Some(ask)) = best {
            let (update_id, stamp) = (book.book_id(), book.stamp(self.instrument, source, now));
            self.on_quote(update_id, (bid, ask), &stamp, now, out);
        }
    }
}

#[inline]
pub(super) fn on_ticker(
    symbol: &mut Symbol,
    ticker: &BookTicker<'_>,
    link: Link,
    now: Now,
    out: &mut Out<'_>,
) -> Outcome {
    symbol.quotes_since_depth = symbol.quotes_since_depth.saturating_add(1);
    if let Some(book) = &mut symbol.book {
        book.on_quote_id(ticker.update_id, now.mono_ns);
    }
    let Some(sync) = &mut symbol.quote else { return Outcome::Dropped(DropReason::NotCarried) };
    sync.state.touch(now);
    let Some(quote) = ticker.quote else {
        let body = GapBody::new(Reason::Unrepresentable, 1, ticker.update_id, ticker.update_id);
        out.publisher.gap(VENUE, symbol.instrument, Stream::Quotes, &body, now);
        sync.state.set(
            out.publisher,
            (VENUE, symbol.instrument, Stream::Quotes),
            (State::Stale, Reason::Unrepresentable),
            now,
        );
        return Outcome::Dropped(DropReason::Unrepresentable);
    };
    let stamp = Stamp {
        venue: VENUE,
        instrument: symbol.instrument,
        source: link,
        flags: 0,
        venue_sequence: ticker.update_id,
        ts_event_ns: ns_of_ms(ticker.transaction_ms),
        ts_recv_ns: now.wall_ns,
    };
    symbol.on_quote(ticker.update_id, quote, &stamp, now, out)
}

pub(super) fn unknown_body(name: &str) -> Option<InstrumentBody> {
    InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Delisted, name, "", "")
}

pub(super) fn instrument_body(info: &InstrumentInfo) -> Option<InstrumentBody> {
    let mut body = InstrumentBody::new(info.kind, info.status, &info.symbol, &info.base, &info.quote)?;
    body.tick_size = info.tick_size.unwrap_or_default();
    body.lot_size = info.lot_size.unwrap_or_default();
    Some(body)
}
