//! One Hyperliquid symbol: its fused book, its quote and its trades, fed frame by frame.

use super::funding::FundingSync;
use super::fused::{Changes, FusedBook, Source};
use super::trade_sync::TradeSync;
use super::{FRESH_LINK, VENUE};
use crate::limits::HYPERLIQUID_DEFAULT_SILENT_MS;
use crate::publisher::Stamp;
use crate::session::account::{DropReason, Outcome};
use crate::session::candles::CandleSet;
use crate::session::states::StreamState;
use crate::session::{Link, Out};
use codec::decimal::{Price, Size};
use codec::record::{GapBody, Level, MISSED_UNKNOWN, QuoteBody, flags};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::{AssetCtx, Bbo, L2Book};
use codec::words::{Reason, State, Stream};

#[derive(Debug)]
pub(super) struct BookSync {
    pub(super) fused: FusedBook,
    pub(super) state: StreamState,
    /// The source whose beat tells whether the book is current, and how long it may be silent.
    pub(super) beat: Source,
    pub(super) silent_after_ms: u64,
    /// When that source last came on the present connection, monotonic ns; 0: not yet.
    pub(super) beat_mono_ns: u64,
    /// Acknowledged at this monotonic time, ns.
    pub(super) awaiting_since_mono_ns: u64,
    /// Asked for again since it fell silent, at this monotonic time, ns; 0: not.
    pub(super) retried_mono_ns: u64,
    /// Since the last loss a frame has come that shows a whole top.
    pub(super) seeded: bool,
    pub(super) served_before: bool,
}

#[derive(Debug, Default)]
pub(super) struct QuoteSync {
    pub(super) state: StreamState,
    pub(super) time_ms: u64,
    pub(super) last: Option<QuoteBody>,
    pub(super) lost: bool,
}

#[derive(Debug)]
pub(super) struct Symbol {
    pub(super) instrument: u32,
    pub(super) carried: bool,
    /// What was traded of it in a day, as last heard: decides who is left out first.
    pub(super) turnover: f64,
    /// A spot pair: no funding in the bulk stream.
    pub(super) spot: bool,
    pub(super) book: Option<Box<BookSync>>,
    pub(super) quote: Option<QuoteSync>,
    pub(super) trades: Option<Box<TradeSync>>,
    pub(super) candles: Option<Box<CandleSet>>,
    pub(super) funding: Option<FundingSync>,
}

impl BookSync {
    /// Judged by the fastest source there is: it comes whether the book changed or not.
    pub(super) const fn is_silent(&self, now: Now) -> bool {
        self.beat_mono_ns == 0
            || now.mono_ns.saturating_sub(self.beat_mono_ns) > self.silent_after_ms * 1_000_000
    }

    pub(super) fn stamp(&self, instrument: u32, source: Link, now: Now) -> Stamp {
        Stamp {
            venue: VENUE,
            instrument,
            source,
            flags: if self.state.is_live() { 0 } else { flags::SUSPECT },
            venue_sequence: 0,
            ts_event_ns: self.fused.time_ns(),
            ts_recv_ns: now.wall_ns,
        }
    }
}

/// A frame of any source.
pub(super) struct Frame<'a> {
    pub(super) source: Source,
    pub(super) time_ms: u64,
    pub(super) bids: &'a [Level],
    pub(super) asks: &'a [Level],
}

impl Symbol {
    pub(super) fn each_state(&mut self, mut take: impl FnMut(&mut StreamState, Stream)) {
        if let Some(book) = &mut self.book {
            take(&mut book.state, Stream::Orderbook);
        }
        if let Some(quote) = &mut self.quote {
            take(&mut quote.state, Stream::Quotes);
        }
        if let Some(trades) = &mut self.trades {
            take(&mut trades.state, Stream::Trades);
        }
        if let Some(candles) = &mut self.candles {
            take(&mut candles.state, Stream::Candles);
        }
        if let Some(funding) = &mut self.funding {
            take(&mut funding.state, Stream::Funding);
        }
    }

    pub(super) fn set_all(&mut self, state: (State, Reason), now: Now, out: &mut Out<'_>) {
        let instrument = self.instrument;
        self.each_state(|stream_state, stream| {
            stream_state.set(out.publisher, (VENUE, instrument, stream), state, now);
        });
    }

    #[inline]
    pub(super) fn on_ctx(
        &mut self,
        ctx: &AssetCtx<'_>,
        link: Link,
        venue_ms: u64,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        match &mut self.funding {
            Some(funding) => funding.on_ctx(ctx, out.publisher, (self.instrument, link), venue_ms, now),
            None => Outcome::Dropped(DropReason::NotCarried),
        }
    }

    /// Nothing that was known can be gone on from.
    pub(super) fn forget(&mut self) {
        if let Some(book) = &mut self.book {
            book.fused.clear();
            book.seeded = false;
            book.beat_mono_ns = 0;
        }
        if let Some(quote) = &mut self.quote {
            quote.last = None;
        }
    }

    pub(super) fn on_frame(
        &mut self,
        frame: &Frame<'_>,
        link: Link,
        changes: &mut Changes,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        let instrument = self.instrument;
        let Some(book) = &mut self.book else { return Outcome::Dropped(DropReason::NotCarried) };
        let of = (VENUE, instrument, Stream::Orderbook);
        if frame.source == Source::Bbo && !book.seeded {
            // A quote alone makes no book.
            return Outcome::Dropped(DropReason::NotLive);
        }
        book.state.touch(now);
        if matches!((frame.bids.first(), frame.asks.first()), (Some(bid), Some(ask)) if bid.price >= ask.price)
        {
            let body = GapBody::new(Reason::Crossed, 1, 0, 0);
            out.publisher.gap(VENUE, instrument, Stream::Orderbook, &body, now);
            book.state.set(out.publisher, of, (State::Stale, Reason::Crossed), now);
            return Outcome::Dropped(DropReason::Crossed);
        }
        let time_ns = ns_of_ms(frame.time_ms);
        let forget_before_ns = time_ns.saturating_sub(HYPERLIQUID_DEFAULT_SILENT_MS * 1_000_000);
        book.fused.apply(frame.source, time_ns, frame.bids, frame.asks, forget_before_ns, changes);
        let first = !book.seeded;
        book.seeded = true;
        if frame.source == book.beat {
            // Only a frame that had a say shows that the book is current.
            if !changes.is_empty() || first {
                book.beat_mono_ns = now.mono_ns;
            } else if book.is_silent(now) {
                // An earlier frame claims a later time: the venue's clock was wrong then, or is now.
                book.fused.clear();
                book.seeded = false;
                return Outcome::Dropped(DropReason::Late);
            }
        }
        if book.fused.book().is_crossed() {
            // Cannot be while each frame covers both its best prices; if it is, it must not be served.
            book.fused.clear();
            book.seeded = false;
            let body = GapBody::new(Reason::Crossed, MISSED_UNKNOWN, 0, 0);
            out.publisher.gap(VENUE, instrument, Stream::Orderbook, &body, now);
            book.state.set(out.publisher, of, (State::Resyncing, Reason::Crossed), now);
            return Outcome::Dropped(DropReason::Crossed);
        }
        if changes.is_empty() && !first {
            return Outcome::Dropped(DropReason::Unchanged);
        }
        // A source with a slow beat of its own does not make up for the silence of the one that matters.
        let wakes = frame.source != Source::Bbo && !book.is_silent(now);
        if wakes && !book.state.is_live() {
            book.served_before = true;
            book.state.set(out.publisher, of, (State::Live, Reason::None), now);
        }
        let stamp = book.stamp(instrument, link, now);
        let published = if first {
            out.publisher.book_snapshot(&stamp, book.fused.book())
        } else {
            out.publisher.book_delta(&stamp, time_ns, &changes.bids, &changes.asks)
        };
        if published.is_err() {
            book.fused.clear();
            book.seeded = false;
            book.state.set(out.publisher, of, (State::Resyncing, Reason::Overflow), now);
            return Outcome::Dropped(DropReason::Overflow);
        }
        Outcome::Published
    }

    /// The best prices at a venue time: from a bbo, or from a book frame that is newer than the last bbo.
    pub(super) fn on_best(
        &mut self,
        time_ms: u64,
        best: QuoteBody,
        is_bbo: bool,
        link: Link,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        let Some(sync) = &mut self.quote else { return Outcome::Dropped(DropReason::NotCarried) };
        let waits = sync.state.state == State::Warming && sync.state.reason == Reason::AwaitingData;
        // Of a silent connection only its own frames show that it speaks again.
        let awakes =
            link == FRESH_LINK && sync.state.state == State::Stale && sync.state.reason == Reason::Silence;
        let subscribed = sync.state.is_live() || waits || awakes;
        if !is_bbo && !subscribed {
            // A book frame shows the best prices once; without the quotes' own subscription nothing keeps them right.
            return Outcome::Dropped(DropReason::NotLive);
        }
        sync.state.touch(now);
        let newer = if is_bbo { time_ms >= sync.time_ms } else { time_ms > sync.time_ms };
        if !newer && sync.last.is_some() {
            return Outcome::Dropped(DropReason::Late);
        }
        sync.time_ms = sync.time_ms.max(time_ms);
        let of = (VENUE, self.instrument, Stream::Quotes);
        if sync.last == Some(best) {
            sync.state.set(out.publisher, of, (State::Live, Reason::None), now);
            return Outcome::Dropped(DropReason::Unchanged);
        }
        if core::mem::take(&mut sync.lost) {
            let body = GapBody::new(Reason::Disconnect, MISSED_UNKNOWN, 0, 0);
            out.publisher.gap(VENUE, self.instrument, Stream::Quotes, &body, now);
        }
        sync.last = Some(best);
        sync.state.set(out.publisher, of, (State::Live, Reason::None), now);
        let stamp =
            Stamp { source: link, ts_event_ns: ns_of_ms(time_ms), ..Stamp::now(VENUE, self.instrument, now) };
        out.publisher.quote(&stamp, &best);
        Outcome::Published
    }

    pub(super) fn on_book(
        &mut self,
        frame: &L2Book<'_>,
        link: Link,
        changes: &mut Changes,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        if frame.unrepresentable > 0 {
            self.on_unrepresentable(false, now, out);
            return Outcome::Dropped(DropReason::Unrepresentable);
        }
        let source = if frame.fast { Source::Fast } else { Source::Default };
        let parts = Frame { source, time_ms: frame.time_ms, bids: frame.bids, asks: frame.asks };
        let outcome = self.on_frame(&parts, link, changes, now, out);
        let crossed = matches!((frame.bids.first(), frame.asks.first()), (Some(bid), Some(ask)) if bid.price >= ask.price);
        if !crossed {
            let best = QuoteBody {
                bid: frame.bids.first().copied().unwrap_or(NO_LEVEL),
                ask: frame.asks.first().copied().unwrap_or(NO_LEVEL),
            };
            return outcome.or(self.on_best(frame.time_ms, best, false, link, now, out));
        }
        outcome
    }

    pub(super) fn on_bbo(
        &mut self,
        bbo: &Bbo<'_>,
        link: Link,
        changes: &mut Changes,
        now: Now,
        out: &mut Out<'_>,
    ) -> Outcome {
        if bbo.unrepresentable {
            self.on_unrepresentable(true, now, out);
            return Outcome::Dropped(DropReason::Unrepresentable);
        }
        if matches!((bbo.bid, bbo.ask), (Some(bid), Some(ask)) if bid.price >= ask.price) {
            let body = GapBody::new(Reason::Crossed, 1, 0, 0);
            out.publisher.gap(VENUE, self.instrument, Stream::Quotes, &body, now);
            if let Some(quote) = &mut self.quote {
                quote.last = None;
                let of = (VENUE, self.instrument, Stream::Quotes);
                quote.state.set(out.publisher, of, (State::Stale, Reason::Crossed), now);
            }
            return Outcome::Dropped(DropReason::Crossed);
        }
        let best = QuoteBody { bid: bbo.bid.unwrap_or(NO_LEVEL), ask: bbo.ask.unwrap_or(NO_LEVEL) };
        let outcome = self.on_best(bbo.time_ms, best, true, link, now, out);
        let (bid, ask) = (bbo.bid.as_slice(), bbo.ask.as_slice());
        let parts = Frame { source: Source::Bbo, time_ms: bbo.time_ms, bids: bid, asks: ask };
        outcome.or(self.on_frame(&parts, link, changes, now, out))
    }

    /// A number that cannot be held exactly: neither book nor quote is right without it.
    #[cold]
    pub(super) fn on_unrepresentable(&mut self, is_bbo: bool, now: Now, out: &mut Out<'_>) {
        let instrument = self.instrument;
        let body = GapBody::new(Reason::Unrepresentable, 1, 0, 0);
        let stale = (State::Stale, Reason::Unrepresentable);
        if let Some(book) = &mut self.book {
            book.fused.clear();
            book.seeded = false;
            out.publisher.gap(VENUE, instrument, Stream::Orderbook, &body, now);
            book.state.set(out.publisher, (VENUE, instrument, Stream::Orderbook), stale, now);
        }
        if let (true, Some(quote)) = (is_bbo, &mut self.quote) {
            quote.last = None;
            out.publisher.gap(VENUE, instrument, Stream::Quotes, &body, now);
            quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), stale, now);
        }
    }
}

const NO_LEVEL: Level = Level { price: Price::ZERO, size: Size::ZERO };
