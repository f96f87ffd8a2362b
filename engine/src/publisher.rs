//! The publisher: numbers every record, writes it into each ring, and remembers what did not fit.
//!
//! Promises: a record goes to the recorder's ring before any other; records of one (stream, instrument)
//! are numbered without holes; whatever a ring had no room for is told in that ring by a gap before
//! anything else of the same stream follows, and a book that lost a delta continues with a snapshot
//! only. The last eighth of each ring is kept for records that may not be lost.

use crate::limits::REPUBLISH_PER_TICK_MAX;
use codec::book::{Book, BookLevel};
use codec::record::{
    BookBody, CandleBody, CheckBody, FillBody, FundingBody, GapBody, Header, InstrumentBody, Kind, Level,
    NO_INSTRUMENT, QuoteBody, Record, RecordBuilder, RecordError, StatusBody, TradeBody, flags,
};
use codec::ring::{Importance, Producer};
use codec::time::Now;
use codec::words::{Reason, State, Stream, Venue};
use zerocopy::FromZeros;

/// What a ring gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Everything.
    All,
    /// Instruments and closed candles. What it has no room for is not told there: whoever reads it sees
    /// that a period is missing, and can ask for it.
    ClosedCandles,
}

/// A ring the publisher writes, and its name in metrics.
#[derive(Debug)]
pub struct Outlet {
    /// `recorder`, `ipc`, `history`.
    pub name: &'static str,
    /// Its writing end.
    pub producer: Producer,
    /// What it gets.
    pub takes: Takes,
}

impl Outlet {
    /// A ring that gets everything.
    #[must_use]
    pub const fn all(name: &'static str, producer: Producer) -> Self {
        Self { name, producer, takes: Takes::All }
    }

    fn wants(&self, record: Record<'_>) -> bool {
        match self.takes {
            Takes::All => true,
            Takes::ClosedCandles => {
                record.kind() == Kind::Instrument || record.candle().is_some_and(|body| body.closed == 1)
            }
        }
    }
}

/// A ring that is nearly full: the driver stops reading sockets for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Index of the outlet, in the order given to [`Publisher::new`].
    pub outlet: usize,
}

/// Where and when a record comes from.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Venue.
    pub venue: Venue,
    /// Instrument number.
    pub instrument: u32,
    /// Connection it came by.
    pub source: u8,
    /// Bits of [`flags`].
    pub flags: u8,
    /// The venue's own number, or 0.
    pub venue_sequence: u64,
    /// Venue time, ns.
    pub ts_event_ns: u64,
    /// Receive time, ns.
    pub ts_recv_ns: u64,
}

const STREAMS: usize = Stream::ALL.len() + 1;

#[derive(Debug)]
struct OutletState {
    outlet: Outlet,
    /// Records lost per instrument and stream since the last gap told there.
    lost: Vec<[u64; STREAMS]>,
    /// Of a book's losses, those told already: the first is, at once.
    told: Vec<u64>,
    any_lost: bool,
    /// Books published anew in this tick.
    republished: usize,
    dropped: u64,
}

#[derive(Debug)]
struct Instrument {
    venue: Venue,
    body: InstrumentBody,
    sequences: [u64; STREAMS],
}

/// See the module.
#[derive(Debug)]
pub struct Publisher {
    run_id: u64,
    builder: RecordBuilder,
    gap_builder: RecordBuilder,
    outlets: Vec<OutletState>,
    instruments: Vec<Instrument>,
}

impl Publisher {
    /// A publisher into `outlets`, in this order for every record.
    #[must_use]
    pub fn new(run_id: u64, outlets: Vec<Outlet>) -> Self {
        let outlets = outlets
            .into_iter()
            .map(|outlet| OutletState {
                outlet,
                lost: Vec::new(),
                told: Vec::new(),
                any_lost: false,
                republished: 0,
                dropped: 0,
            })
            .collect();
        Self {
            run_id,
            builder: RecordBuilder::new(),
            gap_builder: RecordBuilder::new(),
            outlets,
            instruments: Vec::new(),
        }
    }

    /// This run's id, in every record.
    #[must_use]
    pub const fn run_id(&self) -> u64 {
        self.run_id
    }

    /// Adds an instrument and tells it; its number is the answer.
    pub fn define(&mut self, venue: Venue, body: InstrumentBody, now: Now) -> u32 {
        let id = self.instruments.len() as u32;
        self.instruments.push(Instrument { venue, body, sequences: [0; STREAMS] });
        for outlet in &mut self.outlets {
            outlet.lost.push([0; STREAMS]);
            outlet.told.push(0);
        }
        self.tell_instrument(id, now);
        id
    }

    /// Replaces an instrument's particulars and tells them, if they differ.
    pub fn redefine(&mut self, id: u32, body: InstrumentBody, now: Now) {
        let Some(instrument) = self.instruments.get_mut(id as usize) else { return };
        if instrument.body != body {
            instrument.body = body;
            self.tell_instrument(id, now);
        }
    }

    /// An instrument's particulars.
    #[must_use]
    pub fn instrument(&self, id: u32) -> Option<&InstrumentBody> {
        self.instruments.get(id as usize).map(|instrument| &instrument.body)
    }

    fn tell_instrument(&mut self, id: u32, now: Now) {
        let Some(instrument) = self.instruments.get(id as usize) else { return };
        let header = Header {
            kind: Kind::Instrument as u8,
            venue: instrument.venue.number(),
            instrument: id,
            run_id: self.run_id,
            ts_event_ns: now.wall_ns,
            ts_recv_ns: now.wall_ns,
            ..Header::new_zeroed()
        };
        let record = self.builder.fixed(header, &instrument.body);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Kept);
    }

    /// The number of the last record of a stream.
    #[must_use]
    pub fn sequence(&self, instrument: u32, stream: Stream) -> u64 {
        self.instruments
            .get(instrument as usize)
            .map_or(0, |instrument| instrument.sequences[stream.number() as usize])
    }

    fn header(&mut self, kind: Kind, stream: Stream, stamp: &Stamp, advance: bool) -> Header {
        let sequence = match self.instruments.get_mut(stamp.instrument as usize) {
            Some(instrument) => {
                let sequence = &mut instrument.sequences[stream.number() as usize];
                *sequence += u64::from(advance);
                *sequence
            }
            None => 0,
        };
        Header {
            flags: stamp.flags,
            source: stamp.source,
            run_id: self.run_id,
            sequence,
            venue_sequence: stamp.venue_sequence,
            ts_event_ns: stamp.ts_event_ns,
            ts_recv_ns: stamp.ts_recv_ns,
            ..Header::of(kind, stamp.venue, stream, stamp.instrument)
        }
    }

    /// A trade.
    pub fn trade(&mut self, stamp: &Stamp, body: &TradeBody) {
        let header = self.header(Kind::Trade, Stream::Trades, stamp, true);
        let record = self.builder.fixed(header, body);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Normal);
    }

    /// A quote.
    pub fn quote(&mut self, stamp: &Stamp, body: &QuoteBody) {
        let header = self.header(Kind::Quote, Stream::Quotes, stamp, true);
        let record = self.builder.fixed(header, body);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Normal);
    }

    /// Funding and mark.
    pub fn funding(&mut self, stamp: &Stamp, body: &FundingBody) {
        let header = self.header(Kind::Funding, Stream::Funding, stamp, true);
        let record = self.builder.fixed(header, body);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Normal);
    }

    /// A candle. One that is closed is never dropped for want of room.
    pub fn candle(&mut self, stamp: &Stamp, body: &CandleBody) {
        let header = self.header(Kind::Candle, Stream::Candles, stamp, true);
        let record = self.builder.fixed(header, body);
        let importance = if body.closed == 1 { Importance::Kept } else { Importance::Normal };
        push_all(&mut self.outlets, &mut self.gap_builder, record, importance);
    }

    /// One of the account's own fills.
    pub fn fill(&mut self, stamp: &Stamp, body: &FillBody) {
        let header = self.header(Kind::Fill, Stream::Fills, stamp, true);
        let record = self.builder.fixed(header, body);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Kept);
    }

    /// Changes of a book, all confirmed at `source_ts_ns`.
    ///
    /// # Errors
    /// With more levels than a record holds; the book then has to be published anew.
    pub fn book_delta(
        &mut self,
        stamp: &Stamp,
        source_ts_ns: u64,
        bids: &[Level],
        asks: &[Level],
    ) -> Result<(), RecordError> {
        let prev_sequence = self.sequence(stamp.instrument, Stream::Orderbook);
        let header = self.header(Kind::BookDelta, Stream::Orderbook, stamp, true);
        let body = BookBody { source_ts_ns, prev_sequence, ..BookBody::new_zeroed() };
        let record = self.builder.book(header, body, bids.iter().copied(), asks.iter().copied(), None)?;
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Normal);
        Ok(())
    }

    /// A whole book as its stream's next state.
    ///
    /// # Errors
    /// With more levels than a record holds.
    pub fn book_snapshot<L: BookLevel>(&mut self, stamp: &Stamp, book: &Book<L>) -> Result<(), RecordError> {
        let header = self.header(Kind::BookSnapshot, Stream::Orderbook, stamp, true);
        let record = build_snapshot(&mut self.builder, header, book)?;
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Normal);
        Ok(())
    }

    /// Whether some ring lost part of this book and has room again for a snapshot.
    #[must_use]
    pub fn wants_snapshot(&self, instrument: u32) -> bool {
        self.outlets.iter().any(|outlet| outlet.wants_snapshot(instrument))
    }

    /// Whether any ring lost anything that is not told yet: the cheap question before the others.
    #[must_use]
    pub fn any_lost(&self) -> bool {
        self.outlets.iter().any(|outlet| outlet.any_lost)
    }

    /// The whole book again at its current sequence, into those rings that lost part of it.
    ///
    /// # Errors
    /// With more levels than a record holds.
    pub fn republish_snapshot<L: BookLevel>(
        &mut self,
        stamp: &Stamp,
        book: &Book<L>,
    ) -> Result<(), RecordError> {
        let header = self.header(Kind::BookSnapshot, Stream::Orderbook, stamp, false);
        let record = build_snapshot(&mut self.builder, header, book)?;
        for outlet in &mut self.outlets {
            if outlet.wants_snapshot(stamp.instrument) {
                outlet.republished += 1;
                outlet.push(&mut self.gap_builder, record, Importance::Normal);
            }
        }
        Ok(())
    }

    /// The consumer of the outlet of this name can no longer vouch for its copy of a book: it gets the whole book again with the next tick.
    pub fn resend_book(&mut self, consumer: &str, instrument: u32) {
        for outlet in self.outlets.iter_mut().filter(|outlet| outlet.outlet.name == consumer) {
            if let Some(lost) = outlet.lost.get_mut(instrument as usize) {
                // Nothing was lost here, so nothing is told; the mark asks for the snapshot.
                let lost = &mut lost[Stream::Orderbook.number() as usize];
                if *lost == 0 {
                    *lost = 1;
                    outlet.told[instrument as usize] = 1;
                    outlet.any_lost = true;
                }
            }
        }
    }

    /// Tells the losses of streams other than books, where there is room again, and lets books be published
    /// anew, so many per call: once per tick.
    pub fn tell_losses(&mut self, now: Now) {
        for outlet in &mut self.outlets {
            outlet.republished = 0;
            if outlet.any_lost && !outlet.outlet.producer.nearly_full() {
                outlet.tell_losses(&mut self.gap_builder, &self.instruments, self.run_id, now);
            }
        }
    }

    /// The engine's own view of a book, for everybody who keeps one to compare with.
    pub fn check<L: BookLevel>(&mut self, stamp: &Stamp, book: &Book<L>) {
        let header = self.header(Kind::Check, Stream::Orderbook, stamp, false);
        let body = CheckBody { crc: book.check(), levels: codec::limits::CHECK_LEVELS as u32 };
        let record = self.builder.fixed(header, &body);
        // A ring that lost part of the book has nothing to compare.
        for outlet in self.outlets.iter_mut().filter(|outlet| outlet.outlet.wants(record)) {
            if outlet.lost_of(stamp.instrument, Stream::Orderbook) == 0 {
                let _ = outlet.outlet.producer.push(record, Importance::Normal);
            }
        }
    }

    /// A stream's new state; `instrument` may be [`NO_INSTRUMENT`] for a whole venue.
    pub fn status(
        &mut self,
        venue: Venue,
        instrument: u32,
        stream: Stream,
        (state, reason, age_ms): (State, Reason, u64),
        now: Now,
    ) {
        let stamp = Stamp::now(venue, instrument, now);
        let header = self.header(Kind::Status, stream, &stamp, false);
        let record = self.builder.fixed(header, &StatusBody::new(state, reason, age_ms));
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Kept);
    }

    /// Something of a stream was lost.
    pub fn gap(&mut self, venue: Venue, instrument: u32, stream: Stream, body: &GapBody, now: Now) {
        let stamp = Stamp::now(venue, instrument, now);
        let header = self.header(Kind::Gap, stream, &stamp, false);
        let record = self.builder.fixed(header, body);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Kept);
    }

    /// The last record of a run.
    pub fn end(&mut self, now: Now) {
        let header = Header {
            kind: Kind::End as u8,
            instrument: NO_INSTRUMENT,
            run_id: self.run_id,
            ts_event_ns: now.wall_ns,
            ts_recv_ns: now.wall_ns,
            ..Header::new_zeroed()
        };
        let record = self.builder.end(header);
        push_all(&mut self.outlets, &mut self.gap_builder, record, Importance::Kept);
    }

    /// The first ring that is nearly full, if any.
    #[must_use]
    pub fn pressure(&self) -> Option<Pressure> {
        self.outlets
            .iter()
            .position(|outlet| outlet.outlet.takes == Takes::All && outlet.outlet.producer.nearly_full())
            .map(|outlet| Pressure { outlet })
    }

    /// Name and dropped records of each ring.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.outlets.iter().map(|outlet| (outlet.outlet.name, outlet.dropped))
    }
}

impl Stamp {
    /// Of the daemon's own making, now.
    #[must_use]
    pub const fn now(venue: Venue, instrument: u32, now: Now) -> Self {
        Self {
            venue,
            instrument,
            source: 0,
            flags: 0,
            venue_sequence: 0,
            ts_event_ns: now.wall_ns,
            ts_recv_ns: now.wall_ns,
        }
    }
}

fn build_snapshot<'b, L: BookLevel>(
    builder: &'b mut RecordBuilder,
    mut header: Header,
    book: &Book<L>,
) -> Result<Record<'b>, RecordError> {
    header.flags |= flags::SNAPSHOT;
    let (bid_horizon, ask_horizon) = book.record_horizons();
    let times = || book.bids.iter().chain(book.asks.iter()).map(L::source_ts_ns);
    let source_ts_ns =
        if L::TIMED { times().min().unwrap_or(header.ts_event_ns) } else { header.ts_event_ns };
    let body = BookBody { bid_horizon, ask_horizon, source_ts_ns, ..BookBody::new_zeroed() };
    let mut level_times = times();
    builder.book(
        header,
        body,
        book.bids.iter().map(L::level),
        book.asks.iter().map(L::level),
        L::TIMED.then_some(&mut level_times as &mut dyn Iterator<Item = u64>),
    )
}

fn push_all(
    outlets: &mut [OutletState],
    gap_builder: &mut RecordBuilder,
    record: Record<'_>,
    importance: Importance,
) {
    for outlet in outlets {
        outlet.push(gap_builder, record, importance);
    }
}

impl OutletState {
    fn lost_of(&self, instrument: u32, stream: Stream) -> u64 {
        self.lost.get(instrument as usize).map_or(0, |lost| lost[stream.number() as usize])
    }

    fn wants_snapshot(&self, instrument: u32) -> bool {
        self.any_lost
            && self.lost_of(instrument, Stream::Orderbook) > 0
            && self.republished < REPUBLISH_PER_TICK_MAX
            && !self.outlet.producer.nearly_full()
    }

    fn push(&mut self, gap_builder: &mut RecordBuilder, record: Record<'_>, importance: Importance) {
        if !self.outlet.wants(record) {
            return;
        }
        let may_follow = !self.any_lost || self.tell_before(gap_builder, record);
        if !may_follow || !self.outlet.producer.push(record, importance) {
            self.lose(gap_builder, record);
        }
    }

    /// Tells an earlier loss of the same stream first. `false`: this record cannot go in either.
    #[cold]
    fn tell_before(&mut self, gap_builder: &mut RecordBuilder, record: Record<'_>) -> bool {
        let header = record.header();
        let (instrument, stream) = (header.instrument as usize, header.stream as usize);
        let Some(lost) = self.lost.get_mut(instrument).and_then(|lost| lost.get_mut(stream)) else {
            return true;
        };
        if *lost == 0 || !takes_sequence(record.kind()) {
            return true;
        }
        if record.kind() == Kind::BookDelta {
            return false;
        }
        let is_book = stream == Stream::Orderbook.number() as usize;
        let told_before = if is_book { self.told[instrument] } else { 0 };
        let told = *lost == told_before
            || push_gap(&mut self.outlet.producer, gap_builder, header, *lost - told_before);
        if told {
            *lost = 0;
            self.told[instrument] = if is_book { 0 } else { self.told[instrument] };
        }
        told
    }

    #[cold]
    fn lose(&mut self, gap_builder: &mut RecordBuilder, record: Record<'_>) {
        self.dropped += 1;
        if !takes_sequence(record.kind()) || self.outlet.takes != Takes::All {
            return;
        }
        let header = record.header();
        if let Some(lost) = self
            .lost
            .get_mut(header.instrument as usize)
            .and_then(|lost| lost.get_mut(header.stream as usize))
        {
            *lost += 1;
            self.any_lost = true;
            // A book that lost a change is wrong from here on: that is told at once, from the reserve. What
            // follows it until the next snapshot is told with that.
            if *lost == 1 && header.stream == Stream::Orderbook.number() {
                let told = push_gap(&mut self.outlet.producer, gap_builder, header, 1);
                self.told[header.instrument as usize] = u64::from(told);
            }
        }
    }

    #[cold]
    fn tell_losses(
        &mut self,
        gap_builder: &mut RecordBuilder,
        instruments: &[Instrument],
        run_id: u64,
        now: Now,
    ) {
        let mut left = false;
        let mut told = 0;
        for (id, (lost, instrument)) in self.lost.iter_mut().zip(instruments).enumerate() {
            for &stream in Stream::ALL {
                let lost = &mut lost[stream.number() as usize];
                // A book's loss is told with its snapshot.
                if *lost == 0 {
                    continue;
                }
                if stream == Stream::Orderbook || told == REPUBLISH_PER_TICK_MAX {
                    left = true;
                    continue;
                }
                let header = Header {
                    run_id,
                    ts_event_ns: now.wall_ns,
                    ts_recv_ns: now.wall_ns,
                    sequence: instrument.sequences[stream.number() as usize],
                    ..Header::of(Kind::Gap, instrument.venue, stream, id as u32)
                };
                if push_gap(&mut self.outlet.producer, gap_builder, &header, *lost) {
                    *lost = 0;
                    told += 1;
                } else {
                    left = true;
                }
            }
        }
        self.any_lost = left;
    }
}

/// Whether a record takes a sequence of its stream, so that losing it makes a hole.
const fn takes_sequence(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Trade
            | Kind::Quote
            | Kind::BookSnapshot
            | Kind::BookDelta
            | Kind::Candle
            | Kind::Funding
            | Kind::Fill
    )
}

fn push_gap(producer: &mut Producer, builder: &mut RecordBuilder, of: &Header, missed: u64) -> bool {
    let header = Header {
        kind: Kind::Gap as u8,
        flags: 0,
        venue_sequence: 0,
        // The current record of the stream is the one that could not be numbered yet in this ring.
        sequence: of.sequence,
        ..*of
    };
    let record = builder.fixed(header, &GapBody::new(Reason::RingFull, missed, 0, 0));
    producer.push(record, Importance::Kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::decimal::{Price, Size};
    use codec::ring::{Consumer, ring};
    use codec::words::{InstrumentKind, InstrumentStatus, Side};

    fn publisher() -> (Publisher, Consumer, u32) {
        let (producer, consumer) = ring(0);
        let mut publisher = Publisher::new(5, vec![Outlet::all("ipc", producer)]);
        let body = InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "BTC", "BTC", "USDC")
            .unwrap();
        let id = publisher.define(Venue::Binance, body, Now::default());
        (publisher, consumer, id)
    }

    fn level(price: i64, size: i64) -> Level {
        Level { price: Price::from_raw(price), size: Size::from_raw(size) }
    }

    /// Replays a ring: (lost told, records seen) per stream, asserting that nothing is missing unannounced.
    fn account(consumer: &mut Consumer, book: &mut Book, last: &mut [u64; STREAMS], told: &mut u64) {
        consumer.drain(usize::MAX, |record| {
            let header = record.header();
            let stream = header.stream as usize;
            match record.kind() {
                Kind::Gap => {
                    let missed = record.gap().unwrap().missed().unwrap();
                    *told += missed;
                    last[stream] += missed;
                }
                kind if takes_sequence(kind) => {
                    if kind == Kind::BookSnapshot && header.sequence == last[stream] {
                        // The current state again, after a loss.
                    } else {
                        assert_eq!(header.sequence, last[stream] + 1, "a hole nobody told");
                        last[stream] += 1;
                    }
                    if let Some(levels) = record.book() {
                        book.apply_record(&levels, kind == Kind::BookSnapshot);
                    }
                }
                _ => {}
            }
        });
    }

    #[test]
    fn what_a_full_ring_loses_is_told_before_anything_follows() {
        let (mut publisher, mut consumer, id) = publisher();
        let stamp = Stamp::now(Venue::Binance, id, Now::default());
        let mut truth = Book::<Level>::new(64);
        let mut replica = Book::<Level>::new(64);
        let (mut last, mut told) = ([0; STREAMS], 0);
        publisher.book_snapshot(&stamp, &truth).unwrap();
        let mut dropped_once = false;
        for round in 0..60_000i64 {
            let change = [level(1 + round % 50, 1 + round % 3)];
            publisher.book_delta(&stamp, 0, &change, &[]).unwrap();
            truth.apply(&change, &[], 0);
            let trade = TradeBody::new(Price::from_raw(1), Size::from_raw(1), Side::Buy, round as u64);
            publisher.trade(&stamp, &trade);
            dropped_once |= publisher.any_lost();
            // A consumer that stalls for long stretches.
            if round % 20_000 == 19_999 {
                account(&mut consumer, &mut replica, &mut last, &mut told);
                publisher.tell_losses(Now::default());
                assert!(publisher.wants_snapshot(id));
                publisher.republish_snapshot(&stamp, &truth).unwrap();
                assert!(!publisher.wants_snapshot(id));
            }
        }
        account(&mut consumer, &mut replica, &mut last, &mut told);
        assert!(dropped_once);
        assert!(told > 0);
        assert_eq!(last[Stream::Trades.number() as usize], 60_000);
        assert_eq!(last[Stream::Orderbook.number() as usize], 60_001);
        assert_eq!(replica.check(), truth.check());
    }

    #[test]
    fn a_book_asked_for_again_comes_at_its_current_sequence_and_without_a_gap() {
        let (mut publisher, mut consumer, id) = publisher();
        let stamp = Stamp::now(Venue::Binance, id, Now::default());
        let mut truth = Book::<Level>::new(64);
        truth.apply(&[level(1, 1)], &[level(2, 1)], 0);
        publisher.book_snapshot(&stamp, &truth).unwrap();
        consumer.drain(usize::MAX, |_| {});
        publisher.resend_book("ipc", id);
        assert!(publisher.any_lost() && publisher.wants_snapshot(id));
        publisher.republish_snapshot(&stamp, &truth).unwrap();
        publisher.tell_losses(Now::default());
        assert!(!publisher.any_lost());
        let mut seen = Vec::new();
        consumer.drain(usize::MAX, |record| seen.push((record.kind(), record.header().sequence)));
        assert_eq!(seen, [(Kind::BookSnapshot, 1)]);
    }

    #[test]
    fn history_gets_closed_candles_and_its_full_ring_stops_nobody() {
        let (ipc, mut everything) = ring(1 << 20);
        let (history, mut closed) = ring(0);
        let outlets = vec![
            Outlet::all("ipc", ipc),
            Outlet { name: "history", producer: history, takes: Takes::ClosedCandles },
        ];
        let mut publisher = Publisher::new(5, outlets);
        let body = InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "BTC", "BTC", "USDC");
        let id = publisher.define(Venue::Binance, body.unwrap(), Now::default());
        let stamp = Stamp::now(Venue::Binance, id, Now::default());
        let candle = codec::candle::Candle::flat(60_000, Price::from_raw(1));
        publisher.candle(&stamp, &candle.body(codec::words::Interval::M1, false, false));
        publisher.candle(&stamp, &candle.body(codec::words::Interval::M1, true, false));
        publisher.check(&stamp, &Book::<Level>::new(4));
        let mut kinds = Vec::new();
        closed.drain(usize::MAX, |record| kinds.push((record.kind(), record.header().sequence)));
        assert_eq!(kinds, [(Kind::Instrument, 0), (Kind::Candle, 2)]);
        let before = publisher.dropped().find(|(name, _)| *name == "history").unwrap().1;
        for _ in 0..50_000 {
            publisher.candle(&stamp, &candle.body(codec::words::Interval::M1, true, false));
            everything.drain(usize::MAX, |_| {});
        }
        assert!(publisher.dropped().any(|(name, dropped)| name == "history" && dropped > before));
        assert!(!publisher.any_lost() && publisher.pressure().is_none());
    }

    #[test]
    fn the_first_lost_change_of_a_book_is_told_while_the_ring_is_still_full() {
        let (mut publisher, mut consumer, id) = publisher();
        let stamp = Stamp::now(Venue::Binance, id, Now::default());
        while !publisher.any_lost() {
            publisher.book_delta(&stamp, 0, &[level(1, 1)], &[]).unwrap();
        }
        let mut last = None;
        consumer.drain(usize::MAX, |record| last = Some((record.kind(), record.gap().map(|gap| gap.missed))));
        assert_eq!(last, Some((Kind::Gap, Some(1))));
    }
}
