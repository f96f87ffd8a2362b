//! One instrument as the daemon has told of it: its book as it stands, and what clients may have been shown.

use super::truth::{Levels, Truth};
use codec::book::{Book, TimedLevel};
use codec::candle::Candle;
use codec::record::Header;
use codec::words::{State, Stream, Venue};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Levels a side of a published book that are remembered: as many as any client asks for.
pub const DEPTH_MAX: usize = 20;
/// Published states of a book that are remembered: the shared log holds far fewer.
const BOOKS_KEPT: usize = 20_000;

/// A published state of a book.
#[derive(Clone, Debug, Default)]
pub struct Held {
    pub sequence: u64,
    pub venue_sequence: u64,
    pub event_us: u64,
    pub bids: Levels,
    pub asks: Levels,
    /// Of a fused book: the true best levels at its time.
    pub fresh: Option<(Levels, Levels)>,
    /// A sum over the whole book.
    pub whole: u64,
}

/// Something else that was published.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    pub sum: u64,
    /// Whether clients are shown it: a quote of a stream that is not live is not.
    pub shown: bool,
}

/// See the module.
pub struct Line {
    pub venue: Venue,
    pub symbol: String,
    pub truth: Truth,
    pub states: BTreeMap<Stream, State>,
    pub book: Book<TimedLevel>,
    /// A record has come since the book was last said to be live.
    pub confirmed: bool,
    pub books: VecDeque<Held>,
    pub last_quote: Option<(Header, codec::record::QuoteBody)>,
    /// Quotes that the venue was made to tell without a side, and such that were published.
    pub nulls: (u64, u64),
    /// Books with such a side.
    pub null_books: u64,
    /// By stream, and of candles by interval.
    pub said: BTreeMap<(Stream, u8), Vec<Said>>,
    /// Streams of which a gap was told since their last record.
    pub gap: BTreeSet<Stream>,
    pub sequences: BTreeMap<Stream, u64>,
    pub trades: Trades,
    pub closed: BTreeMap<(u8, u64), (Candle, bool)>,
    pub last_closed: BTreeMap<u8, u64>,
}

/// Which trades were published, and which were left out meanwhile.
#[derive(Default)]
pub struct Trades {
    pub published: BTreeSet<u64>,
    /// One past the place of the newest published.
    pub high: Option<usize>,
    pub first: Option<usize>,
    /// Places left out, with a gap told before what came after them.
    pub holes: BTreeSet<usize>,
    pub exhausted: bool,
    /// Some were left out, when and what, and no gap has told it yet.
    pub untold: Option<(u64, String)>,
}

impl Line {
    pub fn new(venue: Venue, symbol: &str, truth: Truth) -> Self {
        Self {
            venue,
            symbol: symbol.to_owned(),
            truth,
            states: BTreeMap::new(),
            book: Book::new(8192),
            confirmed: false,
            books: VecDeque::new(),
            last_quote: None,
            nulls: (0, 0),
            null_books: 0,
            said: BTreeMap::new(),
            gap: BTreeSet::new(),
            sequences: BTreeMap::new(),
            trades: Trades::default(),
            closed: BTreeMap::new(),
            last_closed: BTreeMap::new(),
        }
    }

    pub fn is_live(&self, stream: Stream) -> bool {
        self.states.get(&stream) == Some(&State::Live)
    }

    /// Remembers the book as it stands.
    pub fn keep(&mut self, header: &Header, fresh: Option<(Levels, Levels)>) {
        let top = |side: &codec::book::BookSide<TimedLevel>| -> Levels {
            side.iter().take(DEPTH_MAX).map(|of| (of.level.price.raw(), of.level.size.raw())).collect()
        };
        let mut whole = 0u64;
        for of in self.book.bids.iter().chain(self.book.asks.iter()) {
            for word in [of.level.price.raw() as u64, of.level.size.raw() as u64] {
                whole = (whole ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(17);
            }
        }
        let held = Held {
            sequence: header.sequence,
            venue_sequence: header.venue_sequence,
            event_us: header.ts_event_ns / 1000,
            bids: top(&self.book.bids),
            asks: top(&self.book.asks),
            fresh,
            whole,
        };
        match self.books.back_mut() {
            Some(last) if last.sequence == held.sequence => *last = held,
            _ => self.books.push_back(held),
        }
        if self.books.len() > BOOKS_KEPT {
            self.books.pop_front();
        }
    }

    pub fn held(&self, sequence: u64) -> Option<&Held> {
        let first = self.books.front()?.sequence;
        self.books.get(sequence.checked_sub(first)? as usize).filter(|held| held.sequence == sequence)
    }

    pub fn say(&mut self, stream: Stream, interval: u8, sum: u64, shown: bool) {
        self.said.entry((stream, interval)).or_default().push(Said { sum, shown });
    }
}

/// A sum over numbers: two messages that say the same have the same.
pub fn sum_of(words: &[u64]) -> u64 {
    words.iter().fold(0xCBF2_9CE4_8422_2325, |state, word| {
        let mixed = (state ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ (mixed >> 31)
    })
}
