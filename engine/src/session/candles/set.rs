//! Every interval of one instrument: streams of their own, or made of the finest one.

use super::CandleContext;
use super::folded::Folded;
use super::own_trades::OwnTrades;
use super::sync::{CandleSync, Finality, Wish};
use crate::fetch::FetchError;
use crate::publisher::Publisher;
use crate::session::Link;
use crate::session::account::{DropReason, Outcome};
use crate::session::states::StreamState;
use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Size};
use codec::time::Now;
use codec::words::{Interval, Reason, State, Stream, Venue};

/// Where an instrument's candles come from now: what a [`CandleContext`] is made of.
pub struct CandleSource<'a> {
    /// Records go here.
    pub publisher: &'a mut Publisher,
    /// The venue.
    pub venue: Venue,
    /// Instrument number.
    pub instrument: u32,
    /// Connection.
    pub source: Link,
    /// Receive time and monotonic time.
    pub now: Now,
    /// The venue's clock now, ms since the epoch.
    pub venue_ms: u64,
}

/// What went otherwise than it should.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CandleCounts {
    /// Candles said again because they were not right at their close.
    pub revisions: u64,
    /// Closes that REST never confirmed.
    pub unconfirmed: u64,
}

/// Candles of one interval to be asked of REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetWish {
    /// The interval.
    pub interval: Interval,
    /// What of it.
    pub wish: Wish,
}

/// See the module.
#[derive(Debug)]
pub struct CandleSet {
    /// The stream's state: of all intervals together.
    pub state: StreamState,
    /// Streamed by the venue, finest first.
    series: Vec<CandleSync>,
    /// Made of the first of those.
    folded: Vec<Folded>,
    own: Option<OwnTrades>,
    finality: Finality,
    /// Streams acknowledged, by place.
    acked: u32,
    /// Streams that are left out for now, by place.
    refused: u32,
    /// Intervals somebody wants, by number.
    wanted: u32,
}

impl CandleSet {
    /// `streamed` come from the venue, finest first; `folded` are made of the first of them, where that can be.
    #[must_use]
    pub fn new(streamed: &[Interval], folded: &[Interval], finality: Finality, has_trades: bool) -> Self {
        let series: Vec<_> = streamed.iter().map(|&interval| CandleSync::new(interval, finality)).collect();
        let folded = match streamed.first() {
            Some(&finest) => folded.iter().filter_map(|&long| Folded::new(long, finest)).collect(),
            None => Vec::new(),
        };
        let own =
            (has_trades && finality == Finality::Unmarked).then(|| OwnTrades::new(streamed.iter().copied()));
        Self { state: StreamState::new(), series, folded, own, finality, acked: 0, refused: 0, wanted: 0 }
    }

    /// Another share between streamed and folded intervals, before anything is subscribed.
    pub fn reshape(&mut self, streamed: &[Interval], folded: &[Interval]) {
        if self.streamed().eq(streamed.iter().copied()) {
            return;
        }
        let fresh = Self::new(streamed, folded, self.finality, self.own.is_some());
        *self = Self { state: self.state, wanted: self.wanted, ..fresh };
    }

    /// Intervals that the venue streams, finest first.
    pub fn streamed(&self) -> impl Iterator<Item = Interval> + '_ {
        self.series.iter().map(CandleSync::interval)
    }

    /// Runs `act` on one series with what it needs.
    fn with<R>(
        &mut self,
        place: usize,
        from: CandleSource<'_>,
        act: impl FnOnce(&mut CandleSync, Option<&OwnTrades>, &mut CandleContext<'_>) -> R,
    ) -> Option<R> {
        let CandleSource { publisher, venue, instrument, source, now, venue_ms } = from;
        let Self { series, folded, own, .. } = self;
        let folded = if place == 0 { &mut folded[..] } else { &mut [] };
        let mut cx = CandleContext { publisher, venue, instrument, source, now, venue_ms, folded };
        series.get_mut(place).map(|sync| act(sync, own.as_ref(), &mut cx))
    }

    fn place(&self, interval: Interval) -> Option<usize> {
        self.series.iter().position(|sync| sync.interval() == interval)
    }

    /// A frame. `closed`: it says that it is final; `event_ms`: its own time, or 0.
    pub fn on_frame(
        &mut self,
        interval: Interval,
        row: &CandleRow,
        closed: bool,
        event_ms: u64,
        from: CandleSource<'_>,
    ) -> Outcome {
        self.state.touch(from.now);
        self.place(interval)
            .and_then(|place| {
                self.with(place, from, |sync, own, cx| sync.on_frame(row, closed, event_ms, own, cx))
            })
            .unwrap_or(Outcome::Dropped(DropReason::NotCarried))
    }

    /// One of the instrument's trades, live and each once.
    pub fn on_trade(&mut self, time_ms: u64, price: Price, size: Size) {
        if let Some(own) = &mut self.own {
            own.on_trade(time_ms, price, size);
        }
    }

    /// The trade stream is there, and whole since `venue_ms`.
    pub fn on_trades_subscribed(&mut self, venue_ms: u64) {
        if let Some(own) = &mut self.own {
            own.on_subscribed(venue_ms);
        }
    }

    /// The trade stream is gone, or lost something.
    pub fn on_trades_lost(&mut self) {
        if let Some(own) = &mut self.own {
            own.on_lost();
        }
    }

    /// The stream of an interval is acknowledged; whether all are now that are not left out.
    pub fn on_subscribed(&mut self, interval: Interval, venue_ms: u64) -> bool {
        let Some(place) = self.place(interval) else { return false };
        self.series[place].on_subscribed(venue_ms);
        self.acked |= 1 << place;
        self.refused &= !(1 << place);
        self.is_served()
    }

    /// Whether the stream of an interval is neither acknowledged nor left out.
    #[must_use]
    pub fn is_awaited(&self, interval: Interval) -> bool {
        self.place(interval).is_some_and(|place| (self.acked | self.refused) & (1 << place) == 0)
    }

    /// The stream of an interval is left out, until it is acknowledged; whether all others are.
    pub fn on_refused(&mut self, interval: Interval) -> bool {
        let Some(place) = self.place(interval) else { return false };
        self.refused |= 1 << place;
        self.acked &= !self.refused;
        self.is_served()
    }

    fn is_served(&self) -> bool {
        self.acked != 0 && (self.acked | self.refused).count_ones() as usize == self.series.len()
    }

    /// The stream of an interval is gone.
    pub fn on_link_lost(&mut self, interval: Interval) {
        if let Some(place) = self.place(interval) {
            self.series[place].on_link_lost();
            self.acked &= !(1 << place);
        }
    }

    /// History is loaded: the newest closed candle, and what it knows of the period after it.
    pub fn on_seed(
        &mut self,
        interval: Interval,
        last: &Candle,
        base: Option<(Candle, u64)>,
        from: CandleSource<'_>,
    ) {
        if let Some(place) = self.place(interval) {
            self.with(place, from, |sync, own, cx| sync.on_seed(last, own, cx));
        } else if let Some(place) = self.folded.iter().position(|fold| fold.interval() == interval) {
            let CandleSource { publisher, venue, instrument, source, now, venue_ms } = from;
            let mut cx =
                CandleContext { publisher, venue, instrument, source, now, venue_ms, folded: &mut [] };
            let finest_ms = self.series.first().and_then(CandleSync::next_ms);
            self.folded[place].on_seed(last, base, finest_ms, &mut cx);
        }
    }

    /// REST answered, or did not.
    pub fn on_fetched(
        &mut self,
        interval: Interval,
        token: u64,
        outcome: Result<&[CandleRow], &FetchError>,
        from: CandleSource<'_>,
    ) {
        let Some(place) = self.place(interval) else { return };
        self.with(place, from, |sync, own, cx| match outcome {
            Ok(rows) => sync.on_rows(token, rows, own, cx),
            Err(error) => sync.on_failed(token, error, cx),
        });
    }

    /// Time passed: what is over is closed; what has to be asked is answered, one at a time.
    pub fn on_tick(&mut self, from: CandleSource<'_>) -> Option<SetWish> {
        let CandleSource { publisher, venue, instrument, source, now, venue_ms } = from;
        for place in 0..self.series.len() {
            let interval = self.series[place].interval();
            let asked_for = self.wanted >> interval.number() & 1 == 1
                // What is made of it is asked for through it.
                || (place == 0 && self.folded.iter().any(|fold| self.wanted >> fold.interval().number() & 1 == 1));
            let from = CandleSource { publisher: &mut *publisher, venue, instrument, source, now, venue_ms };
            let wish = self.with(place, from, |sync, own, cx| sync.on_tick(asked_for, own, cx)).flatten();
            if let Some(wish) = wish {
                return Some(SetWish { interval, wish });
            }
        }
        None
    }

    /// Corrections said, and closes never confirmed, since this was last asked.
    pub fn take_counts(&mut self) -> CandleCounts {
        let mut counts = CandleCounts::default();
        for sync in &mut self.series {
            counts.revisions += core::mem::take(&mut sync.revisions);
            counts.unconfirmed += core::mem::take(&mut sync.given_up);
        }
        for fold in &mut self.folded {
            counts.revisions += core::mem::take(&mut fold.revisions);
        }
        counts
    }

    /// Somebody wants an interval, or nobody does any more.
    pub fn on_interest(&mut self, interval: Option<Interval>, wanted: bool) {
        let bits = interval.map_or(u32::MAX, |interval| 1 << interval.number());
        self.wanted = if wanted { self.wanted | bits } else { self.wanted & !bits };
    }

    /// Changes the stream's state and tells it.
    pub fn set_state(&mut self, state: State, reason: Reason, from: &mut CandleSource<'_>) {
        let of = (from.venue, from.instrument, Stream::Candles);
        self.state.set(from.publisher, of, (state, reason), from.now);
    }
}
