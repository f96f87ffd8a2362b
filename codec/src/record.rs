//! The record: one layout for rings, journal, shared memory and the socket's binary encoding.
//!
//! Little-endian, 8-byte aligned, variable length: a 64-byte header, then a plain-old-data body, padded
//! with zeros to a multiple of eight.
//!
//! ```text
//!  byte  0        4      5      6      7      8
//!     0  | length | kind | flags| venue|stream|      length: bytes, header and padding included
//!     8  | instrument    | source| ver | zero |      source: which connection of the venue; ver: layout
//!    16  | run_id                             |      one per start of the daemon
//!    24  | sequence                           |      of (stream, instrument), no holes
//!    32  | venue_sequence                     |      Binance u or a; 0: the venue has none
//!    40  | ts_event_ns                        |      venue time, ns since the epoch
//!    48  | ts_recv_ns                         |      receive time, ns since the epoch
//!    56  | checksum       | zero              |      CRC-32C, set by the recorder, zero elsewhere
//!    64  | body …                             |
//! ```
//!
//! A trade, quote, book, candle, funding or fill record takes the next sequence of its stream; status, gap,
//! check, instrument and checkpoint records carry the current one and take none. Each trade is one event.
//!
//! Bodies, with their sizes, are the structs of this file; a book's levels follow its [`BookBody`]: bids
//! best first, then asks best first, 16 bytes each, then, if [`flags::LEVEL_TIMES`] is set, one venue time
//! (u64 ns) per level in the same order. How a snapshot and the deltas after it make a book is told in
//! [`crate::book`].

use crate::decimal::{Price, Rate, Size, Volume};
use crate::limits::{BOOK_LEVELS_MAX, NAME_BYTES_MAX, RECORD_BYTES_MAX};
use crate::words::{InstrumentKind, InstrumentStatus, Interval, Reason, Side, State, Stream, Venue};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Version of the layout on this page; in every header.
pub const LAYOUT_VERSION: u8 = 1;
/// Bytes of a header.
pub const HEADER_BYTES: usize = 64;
/// The instrument number of records that concern a whole venue or the daemon.
pub const NO_INSTRUMENT: u32 = u32::MAX;
/// In a signed field: the venue gives none.
pub const NONE_I64: i64 = i64::MIN;
/// In [`GapBody::missed`]: unknown how many.
pub const MISSED_UNKNOWN: u64 = u64::MAX;

/// Bits of [`Header::flags`].
pub mod flags {
    /// A book record that replaces the book.
    pub const SNAPSHOT: u8 = 1;
    /// Published while its stream was not known to be right.
    pub const SUSPECT: u8 = 2;
    /// Filled in later, from the venue's history.
    pub const BACKFILL: u8 = 4;
    /// Stands for several.
    pub const CONFLATED: u8 = 8;
    /// Written by the recorder at the start of a segment; not streamed.
    pub const CHECKPOINT: u8 = 16;
    /// One time per level follows the levels.
    pub const LEVEL_TIMES: u8 = 32;
}

/// What a record's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// [`InstrumentBody`].
    Instrument = 1,
    /// [`TradeBody`].
    Trade = 2,
    /// [`QuoteBody`].
    Quote = 3,
    /// [`BookBody`] and levels: replaces the book.
    BookSnapshot = 4,
    /// [`BookBody`] and levels: changes; size zero deletes.
    BookDelta = 5,
    /// [`CandleBody`].
    Candle = 6,
    /// [`FundingBody`].
    Funding = 7,
    /// [`FillBody`].
    Fill = 8,
    /// [`StatusBody`].
    Status = 9,
    /// [`GapBody`].
    Gap = 10,
    /// [`CheckBody`].
    Check = 11,
    /// No body: the run ended in order.
    End = 12,
}

impl Kind {
    /// The kind of a number; 0, a ring's skip word, is none.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Instrument,
            2 => Self::Trade,
            3 => Self::Quote,
            4 => Self::BookSnapshot,
            5 => Self::BookDelta,
            6 => Self::Candle,
            7 => Self::Funding,
            8 => Self::Fill,
            9 => Self::Status,
            10 => Self::Gap,
            11 => Self::Check,
            12 => Self::End,
            _ => return None,
        })
    }

    const fn body_bytes(self) -> usize {
        match self {
            Self::Instrument => size_of::<InstrumentBody>(),
            Self::Trade => size_of::<TradeBody>(),
            Self::Quote => size_of::<QuoteBody>(),
            Self::BookSnapshot | Self::BookDelta => size_of::<BookBody>(),
            Self::Candle => size_of::<CandleBody>(),
            Self::Funding => size_of::<FundingBody>(),
            Self::Fill => size_of::<FillBody>(),
            Self::Status => size_of::<StatusBody>(),
            Self::Gap => size_of::<GapBody>(),
            Self::Check => size_of::<CheckBody>(),
            Self::End => 0,
        }
    }
}

macro_rules! plain {
    ($(#[$doc:meta])* pub struct $name:ident { $($(#[$fdoc:meta])* pub $field:ident: $ty:ty,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
        #[repr(C)]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)+ }
    };
}

plain! {
    /// The first 64 bytes of every record.
    pub struct Header {
        /// Bytes of the record, header and padding included; a multiple of eight.
        pub length: u32,
        /// A [`Kind`]; 0 is a ring's skip word.
        pub kind: u8,
        /// Bits of [`flags`].
        pub flags: u8,
        /// A [`Venue`]; 0 in records of the daemon itself.
        pub venue: u8,
        /// A [`Stream`]; 0 where none applies.
        pub stream: u8,
        /// The instrument's number in this run, or [`NO_INSTRUMENT`].
        pub instrument: u32,
        /// Which of the venue's connections it came by.
        pub source: u8,
        /// [`LAYOUT_VERSION`].
        pub version: u8,
        /// Zero.
        pub reserved: u16,
        /// The run's id.
        pub run_id: u64,
        /// Position in its stream.
        pub sequence: u64,
        /// The venue's own number, or 0.
        pub venue_sequence: u64,
        /// Venue time, ns since the epoch.
        pub ts_event_ns: u64,
        /// Receive time, ns since the epoch.
        pub ts_recv_ns: u64,
        /// CRC-32C, set by the recorder.
        pub checksum: u32,
        /// Zero.
        pub reserved_end: u32,
    }
}

impl Header {
    /// A header of `kind` with everything else zero, to be filled in with struct update syntax.
    #[must_use]
    pub fn of(kind: Kind, venue: Venue, stream: Stream, instrument: u32) -> Self {
        Self {
            kind: kind as u8,
            venue: venue.number(),
            stream: stream.number(),
            instrument,
            version: LAYOUT_VERSION,
            ..Self::new_zeroed()
        }
    }

    /// The venue, if this record belongs to one.
    #[must_use]
    pub const fn venue(&self) -> Option<Venue> {
        Venue::from_number(self.venue)
    }

    /// The stream, where one applies.
    #[must_use]
    pub const fn stream(&self) -> Option<Stream> {
        Stream::from_number(self.stream)
    }

    /// Whether `flag` (of [`flags`]) is set.
    #[must_use]
    pub const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

plain! {
    /// One price level.
    pub struct Level {
        /// Price.
        pub price: Price,
        /// Size; zero, in a delta, deletes the level.
        pub size: Size,
    }
}

plain! {
    /// A trade.
    pub struct TradeBody {
        /// Price.
        pub price: Price,
        /// Size.
        pub size: Size,
        /// Binance aggregate id, Hyperliquid tid.
        pub trade_id: u64,
        /// A [`Side`]: the aggressor.
        pub side: u8,
        /// Zero.
        pub reserved: [u8; 7],
    }
}

impl TradeBody {
    /// A trade.
    #[must_use]
    pub const fn new(price: Price, size: Size, side: Side, trade_id: u64) -> Self {
        Self { price, size, trade_id, side: side.number(), reserved: [0; 7] }
    }

    /// The aggressor.
    #[must_use]
    pub const fn side(&self) -> Option<Side> {
        Side::from_number(self.side)
    }
}

plain! {
    /// Best bid and offer. An empty side has price and size zero.
    pub struct QuoteBody {
        /// Best bid.
        pub bid: Level,
        /// Best ask.
        pub ask: Level,
    }
}

plain! {
    /// The head of a book snapshot or delta; its levels follow.
    pub struct BookBody {
        /// Bids that follow.
        pub bid_count: u32,
        /// Asks that follow the bids.
        pub ask_count: u32,
        /// Snapshot: bids are known at prices above this only; `i64::MIN`: all. Delta: zero.
        pub bid_horizon: Price,
        /// Snapshot: asks are known at prices below this only; `i64::MAX`: all. Delta: zero.
        pub ask_horizon: Price,
        /// Delta: venue time of every level set by it. Snapshot: of its oldest level. Equal to the
        /// header's time except in a book fused from several sources.
        pub source_ts_ns: u64,
        /// Delta: the book sequence it applies to. Snapshot: zero.
        pub prev_sequence: u64,
    }
}

plain! {
    /// A candle.
    pub struct CandleBody {
        /// Start of the period, ns since the epoch.
        pub start_ns: u64,
        /// First price.
        pub open: Price,
        /// Highest price.
        pub high: Price,
        /// Lowest price.
        pub low: Price,
        /// Last price.
        pub close: Price,
        /// Low 64 bits of the volume (base units at 1e-8, signed 128 bits).
        pub volume_low: u64,
        /// High 64 bits of the volume.
        pub volume_high: i64,
        /// Trades in the period.
        pub num_trades: u64,
        /// An [`Interval`].
        pub interval: u8,
        /// 1 when the period is over.
        pub closed: u8,
        /// 1 when it corrects a closed one.
        pub revised: u8,
        /// Zero.
        pub reserved: [u8; 5],
    }
}

impl CandleBody {
    /// The volume.
    #[must_use]
    pub const fn volume(&self) -> Volume {
        Volume::from_raw(((self.volume_high as i128) << 64) | self.volume_low as i128)
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Option<Interval> {
        Interval::from_number(self.interval)
    }
}

plain! {
    /// Funding and mark. [`NONE_I64`] where the venue gives none.
    pub struct FundingBody {
        /// Rate per funding interval, as the venue gives it.
        pub rate: Rate,
        /// Mark price.
        pub mark_price: Price,
        /// Index or oracle price.
        pub index_price: Price,
        /// Open interest, base units.
        pub open_interest: Size,
        /// Next settlement, ns since the epoch; 0: none.
        pub next_funding_ns: u64,
        /// Hours between settlements; 0: none.
        pub interval_hours: u32,
        /// Zero.
        pub reserved: u32,
    }
}

plain! {
    /// One of the account's own fills.
    pub struct FillBody {
        /// Price.
        pub price: Price,
        /// Size.
        pub size: Size,
        /// Order id.
        pub order_id: u64,
        /// Trade id.
        pub trade_id: u64,
        /// Fee, in quote units; negative: a rebate.
        pub fee: Price,
        /// A [`Side`]: ours.
        pub side: u8,
        /// 1 when it came with the snapshot of past fills.
        pub is_snapshot: u8,
        /// Zero.
        pub reserved: [u8; 6],
    }
}

plain! {
    /// A stream's (or with [`NO_INSTRUMENT`] a venue's) new state.
    pub struct StatusBody {
        /// A [`State`].
        pub state: u8,
        /// Zero.
        pub reserved: u8,
        /// A [`Reason`].
        pub reason: u16,
        /// Zero.
        pub reserved_end: u32,
        /// Age of the last data when this was said, ms.
        pub age_ms: u64,
    }
}

impl StatusBody {
    /// A status.
    #[must_use]
    pub const fn new(state: State, reason: Reason, age_ms: u64) -> Self {
        Self { state: state.number(), reserved: 0, reason: reason.number(), reserved_end: 0, age_ms }
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> Option<State> {
        State::from_number(self.state)
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        Reason::from_number(self.reason)
    }
}

plain! {
    /// Something was lost here.
    pub struct GapBody {
        /// A [`Reason`].
        pub reason: u16,
        /// Zero.
        pub reserved: [u8; 6],
        /// Messages lost; [`MISSED_UNKNOWN`] when not known.
        pub missed: u64,
        /// First venue sequence lost; 0: not known.
        pub first_missed: u64,
        /// Last venue sequence lost; 0: not known.
        pub last_missed: u64,
    }
}

impl GapBody {
    /// A gap.
    #[must_use]
    pub const fn new(reason: Reason, missed: u64, first_missed: u64, last_missed: u64) -> Self {
        Self { reason: reason.number(), reserved: [0; 6], missed, first_missed, last_missed }
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        Reason::from_number(self.reason)
    }

    /// How many were lost, if known.
    #[must_use]
    pub const fn missed(&self) -> Option<u64> {
        if self.missed == MISSED_UNKNOWN { None } else { Some(self.missed) }
    }
}

plain! {
    /// The engine's own view of a book once a second; the header's sequence is the book's.
    pub struct CheckBody {
        /// CRC-32C of the top levels ([`crate::book::Book::check`]).
        pub crc: u32,
        /// Levels a side it covers at most.
        pub levels: u32,
    }
}

plain! {
    /// What an instrument number stands for.
    pub struct InstrumentBody {
        /// Price increment at the current price; 0: none.
        pub tick_size: Price,
        /// Size increment; 0: none.
        pub lot_size: Size,
        /// An [`InstrumentKind`].
        pub kind: u8,
        /// An [`InstrumentStatus`].
        pub status: u8,
        /// Significant figures a price may have (Hyperliquid: 5); 0: not so limited.
        pub price_figures: u8,
        /// Decimal places a price may have, where `price_figures` applies.
        pub price_decimals: u8,
        /// Bytes of the symbol.
        pub symbol_bytes: u8,
        /// Bytes of the base asset's name.
        pub base_bytes: u8,
        /// Bytes of the quote asset's name.
        pub quote_bytes: u8,
        /// Zero.
        pub reserved: u8,
        /// The symbol, UTF-8, zero-padded.
        pub symbol: [u8; NAME_BYTES_MAX],
        /// The base asset, UTF-8, zero-padded.
        pub base: [u8; NAME_BYTES_MAX],
        /// The quote asset, UTF-8, zero-padded.
        pub quote: [u8; NAME_BYTES_MAX],
    }
}

impl InstrumentBody {
    /// An instrument of these names; `None` when one is longer than [`NAME_BYTES_MAX`].
    #[must_use]
    pub fn new(
        kind: InstrumentKind,
        status: InstrumentStatus,
        symbol: &str,
        base: &str,
        quote: &str,
    ) -> Option<Self> {
        let mut body = Self::new_zeroed();
        body.kind = kind.number();
        body.status = status.number();
        body.symbol_bytes = put_name(&mut body.symbol, symbol)?;
        body.base_bytes = put_name(&mut body.base, base)?;
        body.quote_bytes = put_name(&mut body.quote, quote)?;
        Some(body)
    }

    /// The venue's own name of it.
    #[must_use]
    pub fn symbol(&self) -> &str {
        name(&self.symbol, self.symbol_bytes)
    }

    /// The base asset.
    #[must_use]
    pub fn base(&self) -> &str {
        name(&self.base, self.base_bytes)
    }

    /// The quote asset.
    #[must_use]
    pub fn quote(&self) -> &str {
        name(&self.quote, self.quote_bytes)
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> Option<InstrumentKind> {
        InstrumentKind::from_number(self.kind)
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> Option<InstrumentStatus> {
        InstrumentStatus::from_number(self.status)
    }

    /// The price increment at `price`: fixed, or by significant figures; `None` when not known.
    #[must_use]
    pub fn tick_at(&self, price: Option<Price>) -> Option<Price> {
        if self.price_figures == 0 {
            return (self.tick_size != Price::ZERO).then_some(self.tick_size);
        }
        let price = price.filter(|price| price.raw() > 0)?;
        let finest = 10i64.checked_pow(Price::DECIMALS.checked_sub(u32::from(self.price_decimals))?)?;
        let unit = 10i64.pow(Price::DECIMALS);
        let by_figures =
            10i64.checked_pow((price.raw().ilog10() + 1).saturating_sub(u32::from(self.price_figures)))?;
        Some(Price::from_raw(finest.max(by_figures.min(unit))))
    }
}

fn put_name(field: &mut [u8; NAME_BYTES_MAX], text: &str) -> Option<u8> {
    field.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
    u8::try_from(text.len()).ok()
}

fn name(field: &[u8; NAME_BYTES_MAX], bytes: u8) -> &str {
    field.get(..usize::from(bytes)).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or("")
}

/// Why words are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordError {
    /// Fewer words than the length says, or than a header has.
    Truncated,
    /// A length that is no multiple of eight, shorter than its body, or beyond [`RECORD_BYTES_MAX`].
    Length,
    /// A kind that this layout does not have.
    Kind,
    /// A layout version that this program does not read.
    Version,
}

impl core::fmt::Display for RecordError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Truncated => "record cut short",
            Self::Length => "record with an impossible length",
            Self::Kind => "record of an unknown kind",
            Self::Version => "record of another layout version",
        })
    }
}

impl core::error::Error for RecordError {}

/// A whole, checked record, borrowed from wherever it lies.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    words: &'a [u64],
    kind: Kind,
}

impl<'a> Record<'a> {
    /// The record at the front of `words`.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub fn first(words: &'a [u64]) -> Result<Self, RecordError> {
        let header = Header::ref_from_prefix(words.as_bytes()).map_err(|_| RecordError::Truncated)?.0;
        let bytes = header.length as usize;
        let kind = Kind::from_number(header.kind).ok_or(RecordError::Kind)?;
        if header.version != LAYOUT_VERSION {
            return Err(RecordError::Version);
        }
        if !bytes.is_multiple_of(8) || bytes > RECORD_BYTES_MAX || bytes < HEADER_BYTES + kind.body_bytes() {
            return Err(RecordError::Length);
        }
        let words = words.get(..bytes / 8).ok_or(RecordError::Truncated)?;
        let record = Self { words, kind };
        if matches!(kind, Kind::BookSnapshot | Kind::BookDelta) && record.book_layout().is_none() {
            return Err(RecordError::Length);
        }
        Ok(record)
    }

    /// Its words, as they go into a ring or file.
    #[must_use]
    pub const fn words(self) -> &'a [u64] {
        self.words
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(self) -> &'a [u8] {
        self.words.as_bytes()
    }

    /// Its kind.
    #[must_use]
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Its header.
    #[must_use]
    pub fn header(self) -> &'a Header {
        // Checked in `first`: a record is never shorter than a header.
        Header::ref_from_prefix(self.words.as_bytes()).expect("a record holds its header").0
    }

    fn body<B: FromBytes + KnownLayout + Immutable>(self, kind: Kind) -> Option<&'a B> {
        if self.kind != kind {
            return None;
        }
        B::ref_from_prefix(&self.words.as_bytes()[HEADER_BYTES..]).ok().map(|(body, _)| body)
    }

    /// The body of an instrument record.
    #[must_use]
    pub fn instrument(self) -> Option<&'a InstrumentBody> {
        self.body(Kind::Instrument)
    }

    /// The body of a trade record.
    #[must_use]
    pub fn trade(self) -> Option<&'a TradeBody> {
        self.body(Kind::Trade)
    }

    /// The body of a quote record.
    #[must_use]
    pub fn quote(self) -> Option<&'a QuoteBody> {
        self.body(Kind::Quote)
    }

    /// The body of a candle record.
    #[must_use]
    pub fn candle(self) -> Option<&'a CandleBody> {
        self.body(Kind::Candle)
    }

    /// The body of a funding record.
    #[must_use]
    pub fn funding(self) -> Option<&'a FundingBody> {
        self.body(Kind::Funding)
    }

    /// The body of a fill record.
    #[must_use]
    pub fn fill(self) -> Option<&'a FillBody> {
        self.body(Kind::Fill)
    }

    /// The body of a status record.
    #[must_use]
    pub fn status(self) -> Option<&'a StatusBody> {
        self.body(Kind::Status)
    }

    /// The body of a gap record.
    #[must_use]
    pub fn gap(self) -> Option<&'a GapBody> {
        self.body(Kind::Gap)
    }

    /// The body of a check record.
    #[must_use]
    pub fn check(self) -> Option<&'a CheckBody> {
        self.body(Kind::Check)
    }

    /// A book snapshot or delta with its levels.
    #[must_use]
    pub fn book(self) -> Option<BookRecord<'a>> {
        matches!(self.kind, Kind::BookSnapshot | Kind::BookDelta).then(|| self.book_layout()).flatten()
    }

    fn book_layout(self) -> Option<BookRecord<'a>> {
        let (body, rest) = BookBody::ref_from_prefix(&self.words.as_bytes()[HEADER_BYTES..]).ok()?;
        let (bid_count, ask_count) = (body.bid_count as usize, body.ask_count as usize);
        let (bids, rest) = <[Level]>::ref_from_prefix_with_elems(rest, bid_count).ok()?;
        let (asks, rest) = <[Level]>::ref_from_prefix_with_elems(rest, ask_count).ok()?;
        let (bid_times, ask_times) = if self.header().has(flags::LEVEL_TIMES) {
            let (bid_times, rest) = <[u64]>::ref_from_prefix_with_elems(rest, bid_count).ok()?;
            let (ask_times, _) = <[u64]>::ref_from_prefix_with_elems(rest, ask_count).ok()?;
            (bid_times, ask_times)
        } else {
            (&[][..], &[][..])
        };
        Some(BookRecord { body, bids, asks, bid_times, ask_times })
    }
}

/// A book record's body and levels.
#[derive(Clone, Copy, Debug)]
pub struct BookRecord<'a> {
    /// The body's head.
    pub body: &'a BookBody,
    /// Bids, best first.
    pub bids: &'a [Level],
    /// Asks, best first.
    pub asks: &'a [Level],
    /// Venue time of each bid, ns; empty unless [`flags::LEVEL_TIMES`].
    pub bid_times: &'a [u64],
    /// Venue time of each ask, ns; empty unless [`flags::LEVEL_TIMES`].
    pub ask_times: &'a [u64],
}

/// Builds records in one reused, preallocated buffer.
#[derive(Debug)]
pub struct RecordBuilder {
    words: Box<[u64]>,
}

impl Default for RecordBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordBuilder {
    /// A builder with room for [`RECORD_BYTES_MAX`].
    #[must_use]
    pub fn new() -> Self {
        Self { words: vec![0; RECORD_BYTES_MAX / 8].into_boxed_slice() }
    }

    /// A record of `header` and a fixed body; the header's length is set here.
    ///
    /// The body must be the one of the header's kind (asserted in debug builds).
    pub fn fixed<B: IntoBytes + Immutable>(&mut self, header: Header, body: &B) -> Record<'_> {
        debug_assert_eq!(Kind::from_number(header.kind).map(Kind::body_bytes), Some(size_of::<B>()));
        let bytes = self.words.as_mut_bytes();
        bytes[HEADER_BYTES..HEADER_BYTES + size_of::<B>()].copy_from_slice(body.as_bytes());
        self.finish(header, HEADER_BYTES + size_of::<B>())
    }

    /// The record that ends a run.
    pub fn end(&mut self, header: Header) -> Record<'_> {
        self.finish(header, HEADER_BYTES)
    }

    /// A book snapshot or delta. Counts and length are set here; levels are given best first, by
    /// iterators, so that a book is copied once.
    ///
    /// `times` yields one venue time per bid, then per ask, and sets [`flags::LEVEL_TIMES`].
    ///
    /// # Errors
    /// [`RecordError::Length`] with more than [`BOOK_LEVELS_MAX`] levels on a side.
    pub fn book(
        &mut self,
        mut header: Header,
        mut body: BookBody,
        bids: impl ExactSizeIterator<Item = Level>,
        asks: impl ExactSizeIterator<Item = Level>,
        times: Option<&mut dyn Iterator<Item = u64>>,
    ) -> Result<Record<'_>, RecordError> {
        let (bid_count, ask_count) = (bids.len(), asks.len());
        if bid_count > BOOK_LEVELS_MAX || ask_count > BOOK_LEVELS_MAX {
            return Err(RecordError::Length);
        }
        body.bid_count = bid_count as u32;
        body.ask_count = ask_count as u32;
        let bytes = self.words.as_mut_bytes();
        let start = HEADER_BYTES + size_of::<BookBody>();
        bytes[HEADER_BYTES..start].copy_from_slice(body.as_bytes());
        let levels_end = start + (bid_count + ask_count) * size_of::<Level>();
        let levels =
            <[Level]>::mut_from_bytes(&mut bytes[start..levels_end]).map_err(|_| RecordError::Length)?;
        for (slot, level) in levels.iter_mut().zip(bids.chain(asks)) {
            *slot = level;
        }
        let mut end = levels_end;
        if let Some(times) = times {
            header.flags |= flags::LEVEL_TIMES;
            end += (bid_count + ask_count) * 8;
            let slots =
                <[u64]>::mut_from_bytes(&mut bytes[levels_end..end]).map_err(|_| RecordError::Length)?;
            for (slot, time) in slots.iter_mut().zip(times) {
                *slot = time;
            }
        }
        Ok(self.finish(header, end))
    }

    fn finish(&mut self, mut header: Header, bytes: usize) -> Record<'_> {
        let padded = bytes.next_multiple_of(8);
        header.length = padded as u32;
        header.version = LAYOUT_VERSION;
        let buffer = self.words.as_mut_bytes();
        buffer[bytes..padded].fill(0);
        buffer[..HEADER_BYTES].copy_from_slice(header.as_bytes());
        let kind = Kind::from_number(header.kind).expect("a header is made of a Kind");
        Record { words: &self.words[..padded / 8], kind }
    }
}

const _: () = assert!(cfg!(target_endian = "little"), "records are little-endian and read in place");
const _: () = assert!(
    HEADER_BYTES + size_of::<BookBody>() + 2 * BOOK_LEVELS_MAX * (size_of::<Level>() + 8) <= RECORD_BYTES_MAX,
    "a full book with times fits a record"
);

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;

    #[test]
    fn layout_is_the_documented_one() {
        for (what, is, should) in [
            ("Header", size_of::<Header>(), 64),
            ("Header.kind", offset_of!(Header, kind), 4),
            ("Header.stream", offset_of!(Header, stream), 7),
            ("Header.instrument", offset_of!(Header, instrument), 8),
            ("Header.run_id", offset_of!(Header, run_id), 16),
            ("Header.sequence", offset_of!(Header, sequence), 24),
            ("Header.venue_sequence", offset_of!(Header, venue_sequence), 32),
            ("Header.ts_event_ns", offset_of!(Header, ts_event_ns), 40),
            ("Header.ts_recv_ns", offset_of!(Header, ts_recv_ns), 48),
            ("Header.checksum", offset_of!(Header, checksum), 56),
            ("Level", size_of::<Level>(), 16),
            ("TradeBody", size_of::<TradeBody>(), 32),
            ("QuoteBody", size_of::<QuoteBody>(), 32),
            ("BookBody", size_of::<BookBody>(), 40),
            ("CandleBody", size_of::<CandleBody>(), 72),
            ("FundingBody", size_of::<FundingBody>(), 48),
            ("FillBody", size_of::<FillBody>(), 48),
            ("StatusBody", size_of::<StatusBody>(), 16),
            ("GapBody", size_of::<GapBody>(), 32),
            ("CheckBody", size_of::<CheckBody>(), 8),
            ("InstrumentBody", size_of::<InstrumentBody>(), 168),
        ] {
            assert_eq!(is, should, "{what}");
        }
    }

    fn level(price: i64, size: i64) -> Level {
        Level { price: Price::from_raw(price), size: Size::from_raw(size) }
    }

    #[test]
    fn what_is_built_is_read_back() {
        let mut builder = RecordBuilder::new();
        let header = Header { sequence: 7, ..Header::of(Kind::Trade, Venue::Binance, Stream::Trades, 3) };
        let body = TradeBody::new(Price::from_raw(1), Size::from_raw(2), Side::Sell, 99);
        let words = builder.fixed(header, &body).words().to_vec();
        let record = Record::first(&words).unwrap();
        assert_eq!(record.trade(), Some(&body));
        assert_eq!(record.header().sequence, 7);
        assert_eq!(record.header().length, 96);
        assert!(record.quote().is_none());

        let header = Header::of(Kind::BookDelta, Venue::Hyperliquid, Stream::Orderbook, 1);
        let (bids, asks) = ([level(10, 1), level(9, 0)], [level(11, 5)]);
        let words = builder
            .book(
                header,
                BookBody::new_zeroed(),
                bids.into_iter(),
                asks.into_iter(),
                Some(&mut [5u64, 6, 7].into_iter()),
            )
            .unwrap()
            .words()
            .to_vec();
        let book = Record::first(&words).unwrap().book().unwrap();
        assert_eq!((book.bids, book.asks), (&bids[..], &asks[..]));
        assert_eq!((book.bid_times, book.ask_times), (&[5u64, 6][..], &[7u64][..]));
    }

    #[test]
    fn damaged_words_are_refused() {
        let mut builder = RecordBuilder::new();
        let header = Header::of(Kind::BookDelta, Venue::Binance, Stream::Orderbook, 1);
        let words = builder
            .book(header, BookBody::new_zeroed(), [level(1, 1)].into_iter(), [].into_iter(), None)
            .unwrap()
            .words()
            .to_vec();
        assert_eq!(Record::first(&[]).unwrap_err(), RecordError::Truncated);
        for cut in 0..words.len() {
            assert!(Record::first(&words[..cut]).is_err());
        }
        for word in 0..words.len() {
            for bit in 0..64 {
                let mut damaged = words.clone();
                damaged[word] ^= 1 << bit;
                if let Ok(record) = Record::first(&damaged) {
                    // Whatever still parses stays inside its words.
                    let _ = record.book().map(|book| (book.bids.len(), book.asks.len()));
                }
            }
        }
    }

    #[test]
    fn tick_follows_significant_figures() {
        let mut body =
            InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "BTC", "BTC", "USDC")
                .unwrap();
        body.price_figures = 5;
        body.price_decimals = 1;
        let price = |text: &str| Price::parse(text.as_bytes()).unwrap();
        assert_eq!(body.tick_at(Some(price("84143"))), Some(price("1")));
        assert_eq!(body.tick_at(Some(price("3400.5"))), Some(price("0.1")));
        body.price_decimals = 6;
        assert_eq!(body.tick_at(Some(price("0.004411"))), Some(price("0.000001")));
        assert_eq!(body.tick_at(None), None);
        assert_eq!(body.symbol(), "BTC");
        assert!(
            InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, &"x".repeat(49), "", "")
                .is_none()
        );
    }
}
