//! The publisher: numbers every record, writes it into each ring, and remembers what did not fit.
//!
//! Promises: a record goes to the recorder's ring before any other; records of one (stream, instrument)
//! are numbered without holes; whatever a ring had no room for is told in that ring by a gap before
//! anything else of the same stream follows, and a book that lost a delta continues with a snapshot
//! only. The last eighth of each ring is kept for records that may not be lost; should even that be full, the
//! gaps, states and particulars that found no room are told, states and particulars as they are then, as soon
//! as there is some, and before any data they concern.

use crate::limits::REPUBLISH_PER_TICK_MAX;
use codec::book::{Book, BookLevel};
use codec::record::{
    BookBody, CandleBody, CheckBody, FillBody, FundingBody, GapBody, Header, InstrumentBody, Kind, Level,
    MISSED_UNKNOWN, NO_INSTRUMENT, QuoteBody, Record, RecordBuilder, RecordError, StatusBody, TradeBody,
    flags,
};
use codec::ring::{Importance, Producer};
use codec::time::Now;
use codec::words::{Reason, State, Stream, Venue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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

/// Figures of a ring that any thread may read.
#[derive(Debug)]
pub struct RingCounters {
    /// The ring's name.
    pub name: &'static str,
    /// Records written into it.
    pub records: AtomicU64,
    /// Records it had no room for.
    pub dropped: AtomicU64,
}

impl RingCounters {
    /// One writer, so a load and a store do.
    fn add(counter: &AtomicU64) {
        counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

const STREAMS: usize = Stream::ALL.len() + 1;

/// What an instrument has untold in a ring, a bit each, in the order they are told in: its particulars, without
/// which the rest is of nothing known, then by stream its gaps, then its states.
const PARTICULARS: u32 = 1;

const fn gap_bit(stream: usize) -> u32 {
    1 << stream
}

const fn state_bit(stream: usize) -> u32 {
    1 << (STREAMS + stream)
}

/// What is told from memory where a record found no room.
#[derive(Clone, Copy, Debug)]
struct Known<'a> {
    instruments: &'a [Instrument],
    venue_states: &'a [(Venue, Stream, StatusBody)],
}

/// Run and time of what is told so.
#[derive(Clone, Copy, Debug)]
struct Telling {
    run_id: u64,
    wall_ns: u64,
}

impl Telling {
    fn header(self, kind: Kind, venue: Venue, stream: Stream, instrument: u32, sequence: u64) -> Header {
        Header {
            run_id: self.run_id,
            ts_event_ns: self.wall_ns,
            ts_recv_ns: self.wall_ns,
            sequence,
            ..Header::of(kind, venue, stream, instrument)
        }
    }
}

#[derive(Debug)]
struct OutletState {
    outlet: Outlet,
    /// Records lost per instrument and stream since the last gap told there.
    lost: Vec<[u64; STREAMS]>,
    /// Of a book's losses, those told already: the first is, at once.
    told: Vec<u64>,
    /// Per instrument what not even the reserve had room for, by [`PARTICULARS`], [`gap_bit`], [`state_bit`].
    untold: Vec<u32>,
    /// The gaps among that, one for each bit.
    untold_gaps: Vec<[GapBody; STREAMS]>,
    /// Gaps of no instrument that found no room, one per venue, stream and reason: no more than there are words.
    venue_gaps: Vec<(Venue, Stream, GapBody)>,
    /// Whether states of no instrument found no room.
    venues_untold: bool,
    any_untold: bool,
    any_lost: bool,
    /// Books published anew in this tick.
    republished: usize,
    counters: Arc<RingCounters>,
}

#[derive(Debug)]
struct Instrument {
    venue: Venue,
    body: InstrumentBody,
    sequences: [u64; STREAMS],
    /// The state of each stream as it was last told.
    states: [Option<StatusBody>; STREAMS],
}

/// See the module.
#[derive(Debug)]
pub struct Publisher {
    run_id: u64,
    builder: RecordBuilder,
    gap_builder: RecordBuilder,
    outlets: Vec<OutletState>,
    instruments: Vec<Instrument>,
    /// States of no instrument, as they were last told: a venue's connections, an account's fills.
    venue_states: Vec<(Venue, Stream, StatusBody)>,
    data_records: u64,
}

impl Publisher {
    /// A publisher into `outlets`, in this order for every record.
    #[must_use]
    pub fn new(run_id: u64, outlets: Vec<Outlet>) -> Self {
        let outlets = outlets
            .into_iter()
            .map(|outlet| OutletState {
                counters: Arc::new(RingCounters {
                    name: outlet.name,
                    records: AtomicU64::new(0),
                    dropped: AtomicU64::new(0),
                }),
                outlet,
                lost: Vec::new(),
                told: Vec::new(),
                untold: Vec::new(),
                untold_gaps: Vec::new(),
                venue_gaps: Vec::new(),
                venues_untold: false,
                any_untold: false,
                any_lost: false,
                republished: 0,
            })
            .collect();
        Self {
            run_id,
            builder: RecordBuilder::new(),
            gap_builder: RecordBuilder::new(),
            outlets,
            instruments: Vec::new(),
            venue_states: Vec::new(),
            data_records: 0,
        }
    }

    /// Records of data published: those that take a number of their stream, each once for all rings.
    #[must_use]
    pub const fn data_records(&self) -> u64 {
        self.data_records
    }

    /// This run's id, in every record.
    #[must_use]
    pub const fn run_id(&self) -> u64 {
        self.run_id
    }

    /// Adds an instrument and tells it; its number is the answer.
    pub fn define(&mut self, venue: Venue, body: InstrumentBody, now: Now) -> u32 {
        let id = self.instruments.len() as u32;
        self.instruments.push(Instrument { venue, body, sequences: [0; STREAMS], states: [None; STREAMS] });
        for outlet in &mut self.outlets {
            outlet.lost.push([0; STREAMS]);
            outlet.told.push(0);
            outlet.untold.push(0);
            outlet.untold_gaps.push([GapBody::new_zeroed(); STREAMS]);
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
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Kept);
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
        self.data_records += 1;
        let record = self.builder.fixed(header, body);
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Normal);
    }

    /// A quote.
    pub fn quote(&mut self, stamp: &Stamp, body: &QuoteBody) {
        let header = self.header(Kind::Quote, Stream::Quotes, stamp, true);
        self.data_records += 1;
        let record = self.builder.fixed(header, body);
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Normal);
    }

    /// Funding and mark.
    pub fn funding(&mut self, stamp: &Stamp, body: &FundingBody) {
        let header = self.header(Kind::Funding, Stream::Funding, stamp, true);
        self.data_records += 1;
        let record = self.builder.fixed(header, body);
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Normal);
    }

    /// A candle. One that is closed is never dropped for want of room.
    pub fn candle(&mut self, stamp: &Stamp, body: &CandleBody) {
        let header = self.header(Kind::Candle, Stream::Candles, stamp, true);
        self.data_records += 1;
        let record = self.builder.fixed(header, body);
        let importance = if body.closed == 1 { Importance::Kept } else { Importance::Normal };
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, importance);
    }

    /// One of the account's own fills.
    pub fn fill(&mut self, stamp: &Stamp, body: &FillBody) {
        let header = self.header(Kind::Fill, Stream::Fills, stamp, true);
        self.data_records += 1;
        let record = self.builder.fixed(header, body);
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Kept);
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
        self.data_records += 1;
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Normal);
        Ok(())
    }

    /// A whole book as its stream's next state.
    ///
    /// # Errors
    /// With more levels than a record holds.
    pub fn book_snapshot<L: BookLevel>(&mut self, stamp: &Stamp, book: &Book<L>) -> Result<(), RecordError> {
        let header = self.header(Kind::BookSnapshot, Stream::Orderbook, stamp, true);
        let record = build_snapshot(&mut self.builder, header, book)?;
        self.data_records += 1;
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Normal);
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
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        for outlet in &mut self.outlets {
            if outlet.wants_snapshot(stamp.instrument) {
                outlet.republished += 1;
                outlet.push(known, &mut self.gap_builder, record, Importance::Normal);
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
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        let telling = Telling { run_id: self.run_id, wall_ns: now.wall_ns };
        for outlet in &mut self.outlets {
            outlet.republished = 0;
            if outlet.any_untold && !outlet.outlet.producer.nearly_full() {
                outlet.tell_untold(known, &mut self.gap_builder, telling);
                outlet.any_lost |= outlet.any_untold;
            }
            if outlet.any_lost && !outlet.outlet.producer.nearly_full() {
                outlet.tell_losses(known, &mut self.gap_builder, telling);
            }
        }
    }

    /// The engine's own view of a book, for everybody who keeps one to compare with.
    pub fn check<L: BookLevel>(&mut self, stamp: &Stamp, book: &Book<L>) {
        let header = self.header(Kind::Check, Stream::Orderbook, stamp, false);
        let body = CheckBody { crc: book.check(), levels: codec::limits::CHECK_LEVELS as u32 };
        let record = self.builder.fixed(header, &body);
        // A ring that lost part of the book has nothing to compare; nor has one that was never told whose it is.
        for outlet in self.outlets.iter_mut().filter(|outlet| outlet.outlet.wants(record)) {
            if !outlet.any_untold
                && outlet.lost_of(stamp.instrument, Stream::Orderbook) == 0
                && outlet.outlet.producer.push(record, Importance::Normal)
            {
                RingCounters::add(&outlet.counters.records);
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
        let body = StatusBody::new(state, reason, age_ms);
        match self.instruments.get_mut(instrument as usize) {
            Some(known) => known.states[stream.number() as usize] = Some(body),
            None => {
                let of = |told: &&mut (Venue, Stream, StatusBody)| (told.0, told.1) == (venue, stream);
                match self.venue_states.iter_mut().find(of) {
                    Some(told) => told.2 = body,
                    None => self.venue_states.push((venue, stream, body)),
                }
            }
        }
        let record = self.builder.fixed(header, &body);
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Kept);
    }

    /// Something of a stream was lost.
    pub fn gap(&mut self, venue: Venue, instrument: u32, stream: Stream, body: &GapBody, now: Now) {
        let stamp = Stamp::now(venue, instrument, now);
        let header = self.header(Kind::Gap, stream, &stamp, false);
        let record = self.builder.fixed(header, body);
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Kept);
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
        let known = Known { instruments: &self.instruments, venue_states: &self.venue_states };
        push_all(&mut self.outlets, known, &mut self.gap_builder, record, Importance::Kept);
    }

    /// The first ring that is nearly full, if any.
    #[must_use]
    pub fn pressure(&self) -> Option<Pressure> {
        self.outlets
            .iter()
            .position(|outlet| outlet.outlet.takes == Takes::All && outlet.outlet.producer.nearly_full())
            .map(|outlet| Pressure { outlet })
    }

    /// Figures of each ring.
    #[must_use]
    pub fn counters(&self) -> Vec<Arc<RingCounters>> {
        self.outlets.iter().map(|outlet| Arc::clone(&outlet.counters)).collect()
    }

    /// Name and dropped records of each ring.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.outlets
            .iter()
            .map(|outlet| (outlet.outlet.name, outlet.counters.dropped.load(Ordering::Relaxed)))
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
    known: Known<'_>,
    gap_builder: &mut RecordBuilder,
    record: Record<'_>,
    importance: Importance,
) {
    for outlet in outlets {
        outlet.push(known, gap_builder, record, importance);
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

    fn push(
        &mut self,
        known: Known<'_>,
        gap_builder: &mut RecordBuilder,
        record: Record<'_>,
        importance: Importance,
    ) {
        if !self.outlet.wants(record) {
            return;
        }
        let may_follow = !self.any_lost || self.tell_before(known, gap_builder, record);
        if may_follow && self.outlet.producer.push(record, importance) {
            RingCounters::add(&self.counters.records);
        } else {
            self.lose(gap_builder, record);
        }
    }

    /// Tells first what concerns the record and found no room: particulars, gaps and states, then an earlier
    /// loss of the same stream. `false`: this record cannot go in either.
    #[cold]
    fn tell_before(&mut self, known: Known<'_>, gap_builder: &mut RecordBuilder, record: Record<'_>) -> bool {
        if self.any_untold && !self.tell_untold_before(known, gap_builder, record) {
            return false;
        }
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
            || push_gap(&mut self.outlet.producer, &self.counters, gap_builder, header, *lost - told_before);
        if told {
            *lost = 0;
            self.told[instrument] = if is_book { 0 } else { self.told[instrument] };
        }
        told
    }

    #[cold]
    fn lose(&mut self, gap_builder: &mut RecordBuilder, record: Record<'_>) {
        RingCounters::add(&self.counters.dropped);
        if self.outlet.takes != Takes::All {
            return;
        }
        let header = record.header();
        if !takes_sequence(record.kind()) {
            self.keep_untold(record);
            return;
        }
        if let Some(lost) = self
            .lost
            .get_mut(header.instrument as usize)
            .and_then(|lost| lost.get_mut(header.stream as usize))
        {
            *lost += 1;
            self.any_lost = true;
            // A book that lost a change is wrong from here on: that is told at once, from the reserve. What
            // follows it until the next snapshot is told with that; of a book nobody there knows there is nothing
            // to tell yet.
            let is_known = self.untold[header.instrument as usize] & PARTICULARS == 0;
            if *lost == 1 && header.stream == Stream::Orderbook.number() && is_known {
                let told = push_gap(&mut self.outlet.producer, &self.counters, gap_builder, header, 1);
                self.told[header.instrument as usize] = u64::from(told);
            }
        }
    }

    /// A ring that is full to the last word: what may not be lost is told again as soon as there is room.
    fn keep_untold(&mut self, record: Record<'_>) {
        let header = record.header();
        let (instrument, stream) = (header.instrument as usize, header.stream as usize);
        let bit = match record.kind() {
            Kind::Instrument => PARTICULARS,
            Kind::Gap => gap_bit(stream),
            Kind::Status => state_bit(stream),
            _ => return,
        };
        match (self.untold.get_mut(instrument), record.gap()) {
            (Some(untold), gap) => {
                if let Some(gap) = gap {
                    let kept = &mut self.untold_gaps[instrument][stream];
                    *kept = if *untold & bit == 0 { *gap } else { both(kept, gap) };
                }
                *untold |= bit;
            }
            (None, Some(gap)) => {
                let (Some(venue), Some(stream)) = (header.venue(), header.stream()) else { return };
                let same = |kept: &&mut (Venue, Stream, GapBody)| {
                    (kept.0, kept.1, kept.2.reason) == (venue, stream, gap.reason)
                };
                match self.venue_gaps.iter_mut().find(same) {
                    Some(kept) => kept.2 = both(&kept.2, gap),
                    None => self.venue_gaps.push((venue, stream, *gap)),
                }
            }
            (None, None) => self.venues_untold = true,
        }
        (self.any_untold, self.any_lost) = (true, true);
    }

    /// What was kept so and concerns this record, as far as it is not the same told anew.
    fn tell_untold_before(
        &mut self,
        known: Known<'_>,
        builder: &mut RecordBuilder,
        record: Record<'_>,
    ) -> bool {
        let header = record.header();
        let stream = header.stream as usize;
        let telling = Telling { run_id: header.run_id, wall_ns: header.ts_recv_ns };
        let which = match record.kind() {
            Kind::Instrument => return true,
            // A state is told as it is now, and this is how it is now.
            Kind::Status | Kind::Gap => PARTICULARS | gap_bit(stream),
            _ => PARTICULARS | gap_bit(stream) | state_bit(stream),
        };
        if takes_sequence(record.kind()) && !self.tell_venues(known, builder, telling) {
            return false;
        }
        let mut left = usize::MAX;
        self.tell_kept(known, builder, telling, (header.instrument, which), &mut left)
    }

    /// What was kept so, paced: whole venues first, then by instrument.
    #[cold]
    fn tell_untold(&mut self, known: Known<'_>, builder: &mut RecordBuilder, telling: Telling) {
        if !self.tell_venues(known, builder, telling) {
            return;
        }
        let mut left = REPUBLISH_PER_TICK_MAX;
        for id in 0..self.untold.len() as u32 {
            if !self.tell_kept(known, builder, telling, (id, u32::MAX), &mut left) {
                return;
            }
        }
        self.any_untold = false;
    }

    /// Gaps and states of no instrument. `false`: not all of them found room.
    fn tell_venues(&mut self, known: Known<'_>, builder: &mut RecordBuilder, telling: Telling) -> bool {
        while let Some((venue, stream, body)) = self.venue_gaps.first().copied() {
            let header = telling.header(Kind::Gap, venue, stream, NO_INSTRUMENT, 0);
            if !self.push_kept(builder.fixed(header, &body)) {
                return false;
            }
            self.venue_gaps.remove(0);
        }
        if self.venues_untold {
            for (venue, stream, body) in known.venue_states {
                let header = telling.header(Kind::Status, *venue, *stream, NO_INSTRUMENT, 0);
                if !self.push_kept(builder.fixed(header, body)) {
                    return false;
                }
            }
            self.venues_untold = false;
        }
        true
    }

    /// Of what an instrument has untold, these bits, so many at most. `false`: not all of them were told.
    fn tell_kept(
        &mut self,
        known: Known<'_>,
        builder: &mut RecordBuilder,
        telling: Telling,
        (id, which): (u32, u32),
        left: &mut usize,
    ) -> bool {
        let index = id as usize;
        let Some(instrument) = known.instruments.get(index) else { return true };
        loop {
            let due = self.untold[index] & which;
            if due == 0 {
                return true;
            }
            if *left == 0 {
                return false;
            }
            let bit = due.trailing_zeros() as usize;
            let stream = bit % STREAMS;
            let header = |kind| {
                let of = Stream::from_number(stream as u8).unwrap_or(Stream::Connection);
                telling.header(kind, instrument.venue, of, id, instrument.sequences[stream])
            };
            let pushed = if bit == 0 {
                // Particulars belong to no stream.
                let header = Header { stream: 0, sequence: 0, ..header(Kind::Instrument) };
                self.push_kept(builder.fixed(header, &instrument.body))
            } else if bit < STREAMS {
                let body = self.untold_gaps[index][stream];
                self.push_kept(builder.fixed(header(Kind::Gap), &body))
            } else if let Some(body) = instrument.states[stream] {
                self.push_kept(builder.fixed(header(Kind::Status), &body))
            } else {
                true
            };
            if !pushed {
                return false;
            }
            self.untold[index] &= !(1 << bit);
            *left -= 1;
        }
    }

    fn push_kept(&mut self, record: Record<'_>) -> bool {
        let pushed = self.outlet.producer.push(record, Importance::Kept);
        if pushed {
            RingCounters::add(&self.counters.records);
        }
        pushed
    }

    #[cold]
    fn tell_losses(&mut self, known: Known<'_>, builder: &mut RecordBuilder, telling: Telling) {
        let mut left = false;
        let mut told = 0;
        for (id, instrument) in known.instruments.iter().enumerate() {
            for &stream in Stream::ALL {
                let at = stream.number() as usize;
                let lost = &mut self.lost[id][at];
                if *lost == 0 {
                    continue;
                }
                // A book's loss is told with its snapshot, and nothing before the particulars.
                let must_wait = stream == Stream::Orderbook || self.untold[id] != 0;
                if must_wait || told == REPUBLISH_PER_TICK_MAX {
                    left = true;
                    continue;
                }
                let header =
                    telling.header(Kind::Gap, instrument.venue, stream, id as u32, instrument.sequences[at]);
                if !push_gap(&mut self.outlet.producer, &self.counters, builder, &header, *lost) {
                    left = true;
                    continue;
                }
                *lost = 0;
                told += 1;
            }
        }
        self.any_lost = left || self.any_untold;
    }
}

/// Two gaps of a stream as one: as many as both, if both are known, for the newer one's reason.
fn both(kept: &GapBody, newer: &GapBody) -> GapBody {
    let missed = match (kept.missed(), newer.missed()) {
        (Some(kept), Some(newer)) => kept.saturating_add(newer),
        _ => MISSED_UNKNOWN,
    };
    // What lies between them was not lost: the ends of both are the ends of neither.
    GapBody { missed, first_missed: 0, last_missed: 0, ..*newer }
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

fn push_gap(
    producer: &mut Producer,
    counters: &RingCounters,
    builder: &mut RecordBuilder,
    of: &Header,
    missed: u64,
) -> bool {
    let header = Header {
        kind: Kind::Gap as u8,
        flags: 0,
        venue_sequence: 0,
        // The current record of the stream is the one that could not be numbered yet in this ring.
        sequence: of.sequence,
        ..*of
    };
    let record = builder.fixed(header, &GapBody::new(Reason::RingFull, missed, 0, 0));
    let pushed = producer.push(record, Importance::Kept);
    if pushed {
        RingCounters::add(&counters.records);
    }
    pushed
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
    fn after_a_loss_no_change_of_the_book_goes_out_before_the_snapshot() {
        let (mut publisher, mut consumer, id) = publisher();
        let stamp = Stamp::now(Venue::Binance, id, Now::default());
        let trade = TradeBody::new(Price::from_raw(1), Size::from_raw(1), Side::Buy, 1);
        let mut truth = Book::<Level>::new(64);
        let mut replica = Book::<Level>::new(64);
        let (mut last, mut told) = ([0; STREAMS], 0);
        publisher.book_snapshot(&stamp, &truth).unwrap();
        let change = |publisher: &mut Publisher, truth: &mut Book<Level>, size: i64| {
            let change = [level(1 + size % 50, size)];
            publisher.book_delta(&stamp, 0, &change, &[]).unwrap();
            truth.apply(&change, &[], 0);
        };
        let mut size = 1;
        while !publisher.any_lost() {
            change(&mut publisher, &mut truth, size);
            size += 1;
        }
        publisher.trade(&stamp, &trade);
        account(&mut consumer, &mut replica, &mut last, &mut told);
        // There is room again, and the snapshot has not been asked for yet.
        change(&mut publisher, &mut truth, size);
        publisher.trade(&stamp, &trade);
        let mut kinds = Vec::new();
        consumer.drain(usize::MAX, |record| {
            kinds.push(record.kind());
            last[record.header().stream as usize] = record.header().sequence;
        });
        assert_eq!(kinds, [Kind::Gap, Kind::Trade]);
        publisher.republish_snapshot(&stamp, &truth).unwrap();
        account(&mut consumer, &mut replica, &mut last, &mut told);
        assert_eq!(replica.check(), truth.check());
    }

    #[test]
    fn states_that_found_no_room_are_told_when_there_is_some() {
        let (mut publisher, mut consumer, id) = publisher();
        let live = (State::Live, Reason::None, 0);
        // The consumer stands still; states change on and on, until not even the reserve has room.
        let full = |publisher: &Publisher| publisher.dropped().any(|(_, dropped)| dropped > 3);
        while !full(&publisher) {
            publisher.status(Venue::Binance, id, Stream::Trades, live, Now::default());
        }
        let down = (State::Down, Reason::Disconnect, 7);
        publisher.status(Venue::Binance, id, Stream::Orderbook, down, Now::default());
        publisher.status(Venue::Binance, NO_INSTRUMENT, Stream::Connection, down, Now::default());
        let body = InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "NEW", "NEW", "USDT")
            .unwrap();
        let new = publisher.define(Venue::Binance, body, Now::default());
        publisher.gap(
            Venue::Binance,
            id,
            Stream::Trades,
            &GapBody::new(Reason::Disconnect, 4, 0, 0),
            Now::default(),
        );
        consumer.drain(usize::MAX, |_| {});
        for _ in 0..3 {
            publisher.tell_losses(Now::default());
        }
        let mut seen = Vec::new();
        consumer.drain(usize::MAX, |record| {
            let header = record.header();
            let what = record.status().map(|status| status.state().unwrap());
            seen.push((record.kind(), header.instrument, header.stream, what));
        });
        let told = |kind, instrument, stream: Stream, state| {
            seen.contains(&(kind, instrument, stream.number(), state))
        };
        assert!(told(Kind::Status, id, Stream::Orderbook, Some(State::Down)), "{seen:?}");
        assert!(told(Kind::Status, id, Stream::Trades, Some(State::Live)), "{seen:?}");
        assert!(told(Kind::Status, NO_INSTRUMENT, Stream::Connection, Some(State::Down)), "{seen:?}");
        assert!(told(Kind::Gap, id, Stream::Trades, None), "{seen:?}");
        assert!(seen.iter().any(|it| (it.0, it.1) == (Kind::Instrument, new)), "{seen:?}");
        assert!(!publisher.any_lost());
    }

    /// What a reader sees of a record, for tests of what goes before what.
    type Seen = (Kind, u32, u8, u64, Option<u64>);

    fn drain_into(seen: &mut Vec<Seen>, consumer: &mut Consumer, records: usize) {
        consumer.drain(records, |record| {
            let header = record.header();
            let missed = record.gap().and_then(|gap| gap.missed());
            seen.push((record.kind(), header.instrument, header.stream, header.sequence, missed));
        });
    }

    /// Fills a ring to the last word, by records of no stream that the tests look at.
    fn fill_up(publisher: &mut Publisher, id: u32) {
        while publisher.dropped().all(|(_, dropped)| dropped == 0) {
            let state = (State::Live, Reason::None, 0);
            publisher.status(Venue::Binance, id, Stream::Candles, state, Now::default());
        }
    }

    fn instrument(symbol: &str) -> InstrumentBody {
        InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, symbol, symbol, "USDT").unwrap()
    }

    fn written(publisher: &Publisher) -> u64 {
        publisher.counters()[0].records.load(Ordering::Relaxed)
    }

    #[test]
    fn gaps_that_found_no_room_are_told_with_their_own_reason_and_number() {
        let (mut publisher, mut consumer, id) = publisher();
        let now = Now::default();
        fill_up(&mut publisher, id);
        let mut gap = |id, stream, reason, missed| {
            publisher.gap(Venue::Binance, id, stream, &GapBody::new(reason, missed, 0, 0), now);
        };
        gap(id, Stream::Trades, Reason::SequenceBreak, 40);
        gap(id, Stream::Trades, Reason::SequenceBreak, 2);
        gap(id, Stream::Quotes, Reason::Disconnect, MISSED_UNKNOWN);
        gap(NO_INSTRUMENT, Stream::Connection, Reason::Malformed, 3);
        gap(NO_INSTRUMENT, Stream::Connection, Reason::Malformed, 4);
        gap(NO_INSTRUMENT, Stream::Fills, Reason::Unrepresentable, 1);
        let down = (State::Down, Reason::Disconnect, 7);
        publisher.status(Venue::Binance, NO_INSTRUMENT, Stream::Connection, down, now);
        let mut seen = 0;
        consumer.drain(usize::MAX, |_| seen += 1);
        publisher.tell_losses(now);
        let mut told = Vec::new();
        consumer.drain(usize::MAX, |record| {
            seen += 1;
            let header = record.header();
            let gap = record.gap().map(|gap| (gap.reason().unwrap(), gap.missed()));
            told.push((header.instrument, header.stream().unwrap(), gap));
        });
        let expected = [
            (NO_INSTRUMENT, Stream::Connection, Some((Reason::Malformed, Some(7)))),
            (NO_INSTRUMENT, Stream::Fills, Some((Reason::Unrepresentable, Some(1)))),
            (NO_INSTRUMENT, Stream::Connection, None),
            (id, Stream::Quotes, Some((Reason::Disconnect, None))),
            (id, Stream::Trades, Some((Reason::SequenceBreak, Some(42)))),
            (id, Stream::Candles, None),
        ];
        assert_eq!(told, expected);
        assert!(!publisher.any_lost());
        assert_eq!(written(&publisher), seen, "what is told later is counted like the rest");
    }

    #[test]
    fn no_data_passes_the_particulars_and_states_that_found_no_room() {
        let (mut publisher, mut consumer, id) = publisher();
        let now = Now::default();
        fill_up(&mut publisher, id);
        let new = publisher.define(Venue::Binance, instrument("NEW"), now);
        let down = (State::Down, Reason::Disconnect, 7);
        publisher.status(Venue::Binance, id, Stream::Trades, down, now);
        publisher.status(Venue::Binance, NO_INSTRUMENT, Stream::Connection, down, now);
        let trade = TradeBody::new(Price::from_raw(1), Size::from_raw(1), Side::Buy, 1);
        let mut seen = Vec::new();
        // The ring drains record by record, so that now a short one has room, then a long one.
        let mut rounds = 0;
        while rounds < 40 {
            drain_into(&mut seen, &mut consumer, 1);
            publisher.fill(&Stamp::now(Venue::Binance, new, now), &FillBody::new_zeroed());
            publisher.trade(&Stamp::now(Venue::Binance, id, now), &trade);
            rounds += 1;
        }
        drain_into(&mut seen, &mut consumer, usize::MAX);
        publisher.fill(&Stamp::now(Venue::Binance, new, now), &FillBody::new_zeroed());
        publisher.trade(&Stamp::now(Venue::Binance, id, now), &trade);
        for _ in 0..3 {
            publisher.tell_losses(now);
        }
        drain_into(&mut seen, &mut consumer, usize::MAX);
        let first = |kind, instrument, stream: u8| {
            let is = |it: &Seen| (it.0, it.1, it.2) == (kind, instrument, stream);
            seen.iter().position(is).unwrap_or_else(|| panic!("no {kind:?} of {instrument}"))
        };
        let (trades, fills) = (Stream::Trades.number(), Stream::Fills.number());
        let first_data = first(Kind::Fill, new, fills).min(first(Kind::Trade, id, trades));
        assert!(
            first(Kind::Instrument, new, 0)
                < seen.iter().position(|it| it.1 == new && it.2 == fills).unwrap()
        );
        assert!(first(Kind::Status, id, trades) < first(Kind::Trade, id, trades));
        assert!(first(Kind::Status, NO_INSTRUMENT, Stream::Connection.number()) < first_data);
        for (instrument, stream) in [(new, fills), (id, trades)] {
            let mut last = 0;
            for it in seen.iter().filter(|it| (it.1, it.2) == (instrument, stream)) {
                match it.0 {
                    Kind::Gap => last += it.4.unwrap(),
                    Kind::Status => {}
                    _ => {
                        assert_eq!(it.3, last + 1, "a hole nobody told");
                        last = it.3;
                    }
                }
            }
            assert_eq!(last, rounds + 1);
        }
        assert!(!publisher.any_lost());
        assert_eq!(written(&publisher), seen.len() as u64);
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
