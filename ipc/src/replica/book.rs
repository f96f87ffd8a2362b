//! One book of the replica: its levels, where it stands, and whether it may be served.
//!
//! ```text
//!                    status: live
//!   not live  ────────────────────▶ live, pending ── snapshot, or a delta that follows ──▶ served
//!      ▲  ▲                             │                                                   │ │
//!      │  └── status: any other ────────┴───────────────────────────────────────────────────┘ │
//!      │                                                                                      │
//!   fault (a record that does not follow, a check that differs) ◀─────────────────────────────┘
//!      └──────────── snapshot record ──▶ as its status says
//! ```
//!
//! The first message after every way into *served* is an `orderbook_snapshot`.

use crate::window::{BookPosition, Window, leaves_alone};
use codec::book::{Book, TimedLevel};
use codec::protocol::message::Times;
use codec::record::{
    BookBody, BookRecord, Header, Kind, Level, NO_INSTRUMENT, Record, RecordBuilder, RecordError, flags,
};
use codec::words::{Reason, State, Stream, Venue};
use core::cell::Cell;
use zerocopy::FromZeros;

/// Levels, with or without a time each.
#[derive(Debug)]
enum Levels {
    Plain(Book<Level>),
    Timed(Book<TimedLevel>),
}

/// What clients have to be told after a book record or status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookOutcome {
    /// Nothing.
    Quiet,
    /// The next state.
    Update,
    /// A state that does not follow from the one before: an `orderbook_snapshot`.
    Snapshot,
    /// As `Snapshot`, after saying that the book is live again.
    Repaired,
    /// The book is broken; nothing of it is served until a snapshot comes.
    Broken,
}

/// See the module.
#[derive(Debug)]
pub struct BookReplica {
    levels: Levels,
    levels_max: usize,
    /// Where it stands.
    pub at: BookPosition,
    loaded: bool,
    live: bool,
    /// Live, but what the replica holds is not known to be what is live now.
    pending: bool,
    /// A snapshot record came since the book was last live.
    reloaded: bool,
    /// Since it was last live it was stale and nothing worse.
    only_stale: bool,
    /// Somebody was told that it is not served although its status says live: once it is, that is told, too.
    told: Cell<bool>,
    /// A gap was told: the next snapshot record is a new beginning.
    gap: bool,
    /// When it last became live, monotonic ns.
    live_mono_ns: u64,
    fault: Option<Reason>,
}

impl BookReplica {
    /// An empty book that keeps at most `levels_max` a side.
    #[must_use]
    pub fn new(levels_max: usize) -> Self {
        Self {
            // The first snapshot brings the real one.
            levels: Levels::Plain(Book::new(0)),
            levels_max,
            at: BookPosition::default(),
            loaded: false,
            live: false,
            pending: true,
            reloaded: false,
            only_stale: false,
            told: Cell::new(false),
            gap: false,
            live_mono_ns: 0,
            fault: None,
        }
    }

    /// Whether it may be served.
    #[must_use]
    pub const fn is_served(&self) -> bool {
        self.live && self.loaded && !self.pending && self.fault.is_none()
    }

    /// Whether it ever held a book.
    #[must_use]
    pub const fn is_loaded(&self) -> bool {
        self.loaded
    }

    /// Whether its levels carry times.
    #[must_use]
    pub const fn is_timed(&self) -> bool {
        matches!(self.levels, Levels::Timed(_))
    }

    /// Whether it is known to be wrong, whatever its status says.
    #[must_use]
    pub const fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// What is wrong with it although its status says live.
    #[must_use]
    pub const fn trouble(&self) -> Option<(State, Reason)> {
        match self.fault {
            Some(reason) => Some((State::Stale, reason)),
            None if self.live && (self.pending || !self.loaded) => {
                Some((State::Resyncing, Reason::AwaitingSnapshot))
            }
            None => None,
        }
    }

    /// Notes that somebody was told of [`Self::trouble`]. A shared borrow is all that whoever tells has.
    pub fn note_told(&self) {
        self.told.set(self.told.get() || self.trouble().is_some());
    }

    /// It is served from now on.
    fn begin(&mut self) -> BookOutcome {
        self.pending = false;
        if self.told.take() { BookOutcome::Repaired } else { BookOutcome::Snapshot }
    }

    /// Takes what its status says.
    pub fn set_state(&mut self, state: State, mono_ns: u64) -> BookOutcome {
        let was_live = self.live;
        self.live = matches!(state, State::Live);
        if self.live {
            if was_live {
                return BookOutcome::Quiet;
            }
            self.live_mono_ns = mono_ns;
            // Everybody is told that it is.
            self.told.set(false);
            if self.loaded && self.reloaded && self.fault.is_none() {
                self.pending = false;
                return BookOutcome::Snapshot;
            }
            return BookOutcome::Quiet;
        }
        if was_live {
            self.only_stale = true;
            self.reloaded = false;
        }
        self.only_stale = self.only_stale && matches!(state, State::Stale);
        self.pending = true;
        BookOutcome::Quiet
    }

    /// Takes a gap of its stream.
    pub const fn set_gap(&mut self, reason: Reason) {
        self.gap = true;
        if matches!(reason, Reason::RingFull) {
            // This ring lost part of it; the snapshot that follows is the book.
            self.pending = true;
            self.reloaded = false;
            self.only_stale = false;
        }
    }

    /// A book that came back from stale, and that no record has confirmed for `wait_ns`: nothing was lost, so
    /// it is the book.
    pub fn settle(&mut self, mono_ns: u64, wait_ns: u64) -> BookOutcome {
        let waited = mono_ns.saturating_sub(self.live_mono_ns) >= wait_ns;
        if self.live && self.pending && self.only_stale && self.loaded && self.fault.is_none() && waited {
            return self.begin();
        }
        BookOutcome::Quiet
    }

    /// Takes a snapshot or delta.
    pub fn apply(&mut self, header: &Header, record: &BookRecord<'_>, is_snapshot: bool) -> BookOutcome {
        if is_snapshot { self.load(header, record) } else { self.change(header, record) }
    }

    fn load(&mut self, header: &Header, record: &BookRecord<'_>) -> BookOutcome {
        let timed = header.has(flags::LEVEL_TIMES);
        if !self.loaded || timed != self.is_timed() {
            self.levels = if timed {
                Levels::Timed(Book::new(self.levels_max))
            } else {
                Levels::Plain(Book::new(self.levels_max))
            };
        }
        // The current state again, for readers that lost part of it.
        let known = self.is_served() && !self.gap && header.sequence == self.at.sequence;
        match &mut self.levels {
            Levels::Plain(book) => book.apply_record(record, true),
            Levels::Timed(book) => book.apply_record(record, true),
        }
        self.stand(header);
        let begins = self.pending || self.gap;
        let repaired = self.fault.take().is_some();
        (self.loaded, self.reloaded, self.gap) = (true, true, false);
        if !self.live || known {
            return BookOutcome::Quiet;
        }
        match (repaired, begins) {
            (true, _) => {
                (self.pending, self.told) = (false, Cell::new(false));
                BookOutcome::Repaired
            }
            (false, true) => self.begin(),
            (false, false) => BookOutcome::Update,
        }
    }

    fn change(&mut self, header: &Header, record: &BookRecord<'_>) -> BookOutcome {
        if !self.loaded || self.fault.is_some() {
            return BookOutcome::Quiet;
        }
        if record.body.prev_sequence != self.at.sequence {
            return self.break_off(Reason::RingFull);
        }
        match &mut self.levels {
            Levels::Plain(book) => book.apply_record(record, false),
            Levels::Timed(book) => book.apply_record(record, false),
        }
        self.stand(header);
        if !self.live {
            return BookOutcome::Quiet;
        }
        if self.pending { self.begin() } else { BookOutcome::Update }
    }

    const fn break_off(&mut self, reason: Reason) -> BookOutcome {
        let was_served = self.is_served();
        self.fault = Some(reason);
        self.reloaded = false;
        if was_served { BookOutcome::Broken } else { BookOutcome::Quiet }
    }

    fn stand(&mut self, header: &Header) {
        self.at = BookPosition {
            sequence: header.sequence,
            venue_sequence: header.venue_sequence,
            times: Times::of(header),
        };
    }

    /// Compares with the engine's view at the same sequence; `None` when there is nothing to compare.
    pub fn check(&mut self, sequence: u64, crc: u32) -> Option<BookOutcome> {
        if !self.loaded || self.fault.is_some() || sequence != self.at.sequence {
            return None;
        }
        let own = match &self.levels {
            Levels::Plain(book) => book.check(),
            Levels::Timed(book) => book.check(),
        };
        Some(if own == crc { BookOutcome::Quiet } else { self.break_off(Reason::SequenceBreak) })
    }

    /// Shows its top levels.
    pub fn show(&self, window: &mut Window, depth: usize) {
        match &self.levels {
            Levels::Plain(book) => window.show(book, depth, &self.at),
            Levels::Timed(book) => window.show(book, depth, &self.at),
        }
    }

    /// Whether a delta just applied leaves a window as it was: a cheap look that may say no in doubt. Levels of
    /// a timed book are confirmed by every record, so that one never does.
    #[must_use]
    pub fn leaves_alone(&self, window: &Window, depth: usize, record: &BookRecord<'_>) -> bool {
        match &self.levels {
            Levels::Plain(book) => leaves_alone(window, book, depth, record),
            Levels::Timed(_) => false,
        }
    }

    /// The middle of the best prices, or the one there is: what a tick by significant figures depends on.
    #[must_use]
    pub fn best_price(&self) -> Option<codec::decimal::Price> {
        let best = match &self.levels {
            Levels::Plain(book) => book.bids.best().or(book.asks.best()),
            Levels::Timed(book) => book.bids.best().or(book.asks.best()),
        };
        best.map(|level| level.price)
    }

    /// The whole book as a snapshot record.
    ///
    /// # Errors
    /// With more levels than a record holds, which no configuration allows.
    pub fn record<'b>(
        &self,
        builder: &'b mut RecordBuilder,
        venue: Venue,
        instrument: Option<u32>,
        run_id: u64,
    ) -> Result<Record<'b>, RecordError> {
        let header = Header {
            flags: flags::SNAPSHOT,
            run_id,
            sequence: self.at.sequence,
            venue_sequence: self.at.venue_sequence,
            ts_event_ns: self.at.times.event_ns,
            ts_recv_ns: self.at.times.recv_ns,
            ..Header::of(Kind::BookSnapshot, venue, Stream::Orderbook, instrument.unwrap_or(NO_INSTRUMENT))
        };
        match &self.levels {
            Levels::Plain(book) => {
                let (bid_horizon, ask_horizon) = book.record_horizons();
                let body = BookBody {
                    bid_horizon,
                    ask_horizon,
                    source_ts_ns: header.ts_event_ns,
                    ..BookBody::new_zeroed()
                };
                builder.book(header, body, book.bids.iter().copied(), book.asks.iter().copied(), None)
            }
            Levels::Timed(book) => {
                let (bid_horizon, ask_horizon) = book.record_horizons();
                let mut times = book.bids.iter().chain(book.asks.iter()).map(|level| level.source_ts_ns);
                let source_ts_ns = times.clone().min().unwrap_or(header.ts_event_ns);
                let body = BookBody { bid_horizon, ask_horizon, source_ts_ns, ..BookBody::new_zeroed() };
                builder.book(
                    header,
                    body,
                    book.bids.iter().map(|level| level.level),
                    book.asks.iter().map(|level| level.level),
                    Some(&mut times),
                )
            }
        }
    }
}
