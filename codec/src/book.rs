//! One book: price levels of two sides, kept exactly, with a horizon.
//!
//! A side is a flat array sorted by price with the best level last, so that the changes near the best,
//! which matter most, move the least memory. A binary search finds a level; the layout was chosen by
//! `benches/benches/book.rs` on a real capture.
//!
//! **Horizon.** A snapshot shows so many levels and nothing is known of what lies beyond, and a side keeps
//! at most `levels_max`. So each side has a bound: only prices strictly better than it are known. A change
//! at the bound or beyond is ignored; dropping levels moves the bound to the best price dropped. Two books
//! that were given the same snapshot and changes are equal, bound included, wherever they live.
//!
//! A [`Book`] may hold anything; whether it is live is its session's knowledge, told by status records.

use crate::decimal::{Price, Size};
use crate::limits::CHECK_LEVELS;
use crate::record::{BookRecord, Level};

/// What a book keeps per level: a bare [`Level`], or one that knows the time of its source.
pub trait BookLevel: Copy {
    /// Whether levels carry the time of their source.
    const TIMED: bool;
    /// A level.
    fn new(level: Level, source_ts_ns: u64) -> Self;
    /// Price and size.
    fn level(&self) -> Level;
    /// Venue time of the source; 0 where not kept.
    fn source_ts_ns(&self) -> u64;
}

impl BookLevel for Level {
    const TIMED: bool = false;

    fn new(level: Level, _source_ts_ns: u64) -> Self {
        level
    }

    fn level(&self) -> Level {
        *self
    }

    fn source_ts_ns(&self) -> u64 {
        0
    }
}

/// A level of a book fused from several sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedLevel {
    /// Price and size.
    pub level: Level,
    /// Venue time of the source that last confirmed it, ns.
    pub source_ts_ns: u64,
}

impl BookLevel for TimedLevel {
    const TIMED: bool = true;

    fn new(level: Level, source_ts_ns: u64) -> Self {
        Self { level, source_ts_ns }
    }

    fn level(&self) -> Level {
        self.level
    }

    fn source_ts_ns(&self) -> u64 {
        self.source_ts_ns
    }
}

/// One side. Prices are compared by a key that grows toward the best: the price for bids, its negative
/// for asks.
#[derive(Clone, Debug)]
pub struct BookSide<L> {
    /// Worst first, best last; never more than `levels_max`.
    levels: Vec<L>,
    /// Only keys strictly above this are known.
    bound: i64,
    sign: i64,
    levels_max: usize,
}

/// The bound of a side that is known to its end.
const UNBOUNDED: i64 = i64::MIN;

impl<L: BookLevel> BookSide<L> {
    fn new(sign: i64, levels_max: usize) -> Self {
        Self { levels: Vec::with_capacity(levels_max), bound: UNBOUNDED, sign, levels_max }
    }

    /// The one price without a negative keeps its key, which is within no bound.
    #[inline]
    fn key(&self, price: Price) -> i64 {
        self.sign.wrapping_mul(price.raw())
    }

    #[inline]
    fn find(&self, key: i64) -> Result<usize, usize> {
        self.levels.binary_search_by(|level| self.key(level.level().price).cmp(&key))
    }

    /// Sets or, with size zero, deletes one level.
    #[inline]
    pub fn set(&mut self, change: Level, source_ts_ns: u64) {
        let key = self.key(change.price);
        if key <= self.bound {
            return;
        }
        match self.find(key) {
            Ok(at) if change.size == Size::ZERO => {
                self.levels.remove(at);
            }
            Ok(at) => self.levels[at] = L::new(change, source_ts_ns),
            Err(_) if change.size == Size::ZERO => {}
            Err(mut at) => {
                if self.levels.len() == self.levels_max {
                    let dropped = self.drop_worst();
                    if key <= self.bound {
                        return;
                    }
                    at -= dropped;
                }
                self.levels.insert(at, L::new(change, source_ts_ns));
            }
        }
    }

    /// Makes room by dropping the worst 64th, many at once because each time moves the whole array.
    #[cold]
    fn drop_worst(&mut self) -> usize {
        let count = (self.levels_max / 64).max(1);
        self.bound = self.key(self.levels[count - 1].level().price);
        self.levels.drain(..count);
        count
    }

    fn load(&mut self, best_first: &[Level], times: &[u64], source_ts_ns: u64, bound: i64) {
        self.levels.clear();
        self.bound = bound;
        for (index, &level) in best_first.iter().enumerate().rev() {
            self.set(level, times.get(index).copied().unwrap_or(source_ts_ns));
        }
    }

    fn clear(&mut self) {
        self.levels.clear();
        self.bound = UNBOUNDED;
    }

    /// Levels kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// Levels kept at most.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.levels_max
    }

    /// Whether no level is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The best level.
    #[must_use]
    #[inline]
    pub fn best(&self) -> Option<Level> {
        self.levels.last().map(BookLevel::level)
    }

    /// Levels, best first.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &L> + DoubleEndedIterator + Clone {
        self.levels.iter().rev()
    }

    /// The size at a price, if a level is there.
    #[must_use]
    pub fn size_at(&self, price: Price) -> Option<Size> {
        self.find(self.key(price)).ok().map(|at| self.levels[at].level().size)
    }

    /// Venue time of the source of the level at a price, if one is there.
    #[must_use]
    pub fn source_at(&self, price: Price) -> Option<u64> {
        self.find(self.key(price)).ok().map(|at| self.levels[at].source_ts_ns())
    }

    /// The level at `index` from the best.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&L> {
        self.levels.len().checked_sub(index + 1).map(|at| &self.levels[at])
    }

    /// Removes every level for which `gone` holds; asks from the worst to the best.
    pub fn remove_where(&mut self, mut gone: impl FnMut(&L) -> bool) {
        self.levels.retain(|level| !gone(level));
    }

    /// Only prices strictly better than this are known; `None`: all.
    #[must_use]
    pub fn horizon(&self) -> Option<Price> {
        (self.bound != UNBOUNDED).then(|| Price::from_raw(self.sign * self.bound))
    }
}

/// A horizon as [`crate::record::BookBody`] holds it: `i64::MIN` for bids and `i64::MAX` for asks mean none.
fn horizon_to_raw(horizon: Option<Price>, none: i64) -> Price {
    horizon.unwrap_or(Price::from_raw(none))
}

/// A book of two sides.
#[derive(Clone, Debug)]
pub struct Book<L = Level> {
    /// Bids.
    pub bids: BookSide<L>,
    /// Asks.
    pub asks: BookSide<L>,
}

impl<L: BookLevel> Book<L> {
    /// An empty book that keeps at most `levels_max` a side; all memory is taken here.
    #[must_use]
    pub fn new(levels_max: usize) -> Self {
        Self { bids: BookSide::new(1, levels_max), asks: BookSide::new(-1, levels_max) }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }

    /// Replaces it by a snapshot. A horizon of `None` means that the side is whole.
    pub fn load(
        &mut self,
        bids_best_first: &[Level],
        asks_best_first: &[Level],
        bid_horizon: Option<Price>,
        ask_horizon: Option<Price>,
        source_ts_ns: u64,
    ) {
        let bound = |horizon: Option<Price>, sign: i64| horizon.map_or(UNBOUNDED, |price| sign * price.raw());
        self.bids.load(bids_best_first, &[], source_ts_ns, bound(bid_horizon, 1));
        self.asks.load(asks_best_first, &[], source_ts_ns, bound(ask_horizon, -1));
    }

    /// Applies changes: absolute sizes, zero deletes, deleting an absent level is normal.
    #[inline]
    pub fn apply(&mut self, bid_changes: &[Level], ask_changes: &[Level], source_ts_ns: u64) {
        for &change in bid_changes {
            self.bids.set(change, source_ts_ns);
        }
        for &change in ask_changes {
            self.asks.set(change, source_ts_ns);
        }
    }

    /// Applies a snapshot or delta record.
    pub fn apply_record(&mut self, record: &BookRecord<'_>, is_snapshot: bool) {
        let source = record.body.source_ts_ns;
        if !is_snapshot {
            self.apply(record.bids, record.asks, source);
            return;
        }
        let (bid, ask) = (record.body.bid_horizon.raw(), record.body.ask_horizon.raw());
        let bid_bound = if bid == i64::MIN { UNBOUNDED } else { bid };
        let ask_bound = if ask == i64::MAX { UNBOUNDED } else { ask.checked_neg().unwrap_or(i64::MAX) };
        self.bids.load(record.bids, record.bid_times, source, bid_bound);
        self.asks.load(record.asks, record.ask_times, source, ask_bound);
    }

    /// The horizons as a snapshot record holds them.
    #[must_use]
    pub fn record_horizons(&self) -> (Price, Price) {
        (horizon_to_raw(self.bids.horizon(), i64::MIN), horizon_to_raw(self.asks.horizon(), i64::MAX))
    }

    /// Whether the best bid meets or passes the best ask.
    #[must_use]
    #[inline]
    pub fn is_crossed(&self) -> bool {
        matches!((self.bids.best(), self.asks.best()), (Some(bid), Some(ask)) if bid.price >= ask.price)
    }

    /// CRC-32C (bitwise, reflected) of the top [`CHECK_LEVELS`] levels of both sides, bids first, best
    /// first, each as 16 little-endian bytes.
    #[must_use]
    pub fn check(&self) -> u32 {
        let mut crc = Crc32c::new();
        for level in self.bids.iter().take(CHECK_LEVELS).chain(self.asks.iter().take(CHECK_LEVELS)) {
            let level = level.level();
            crc.write(level.price.raw());
            crc.write(level.size.raw());
        }
        crc.finish()
    }
}

/// The horizon that a snapshot of `levels` (best first) out of at most `limit` leaves: none when it is
/// shorter than its limit, else just past its worst price. `step` is −1 for bids, 1 for asks.
#[must_use]
pub fn snapshot_horizon(levels: &[Level], limit: usize, step: i64) -> Option<Price> {
    if levels.len() < limit {
        return None;
    }
    levels.last().map(|worst| Price::from_raw(worst.price.raw().saturating_add(step)))
}

/// CRC-32C over 64-bit words, eight tables to a word: forty levels once a second per book do not deserve a
/// dependency.
struct Crc32c(u32);

/// Table `n` is a byte's part when `n` more bytes follow it in its word.
const CRC32C_TABLES: [[u32; 256]; 8] = {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xFF) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
};

impl Crc32c {
    const fn new() -> Self {
        Self(!0)
    }

    fn write(&mut self, word: i64) {
        let bytes = (word as u64 ^ u64::from(self.0)).to_le_bytes();
        let mut crc = 0;
        for (byte, table) in bytes.iter().zip(CRC32C_TABLES.iter().rev()) {
            crc ^= table[usize::from(*byte)];
        }
        self.0 = crc;
    }

    const fn finish(&self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn level(price: i64, size: i64) -> Level {
        Level { price: Price::from_raw(price), size: Size::from_raw(size) }
    }

    /// The naive book: everything ever said, no cap, no horizon.
    #[derive(Default)]
    struct Naive {
        bids: BTreeMap<i64, i64>,
        asks: BTreeMap<i64, i64>,
    }

    impl Naive {
        fn set(side: &mut BTreeMap<i64, i64>, change: Level) {
            if change.size == Size::ZERO {
                side.remove(&change.price.raw());
            } else {
                side.insert(change.price.raw(), change.size.raw());
            }
        }
    }

    fn known_equals(book: &Book, naive: &Naive) -> Result<(), TestCaseError> {
        let pair = |level: &Level| (level.price.raw(), level.size.raw());
        let bids: Vec<_> = book.bids.iter().map(pair).collect();
        let bound = book.bids.horizon().map_or(i64::MIN, Price::raw);
        let want: Vec<_> =
            naive.bids.iter().rev().map(|(&p, &s)| (p, s)).filter(|&(p, _)| p > bound).collect();
        prop_assert_eq!(bids, want);
        let asks: Vec<_> = book.asks.iter().map(pair).collect();
        let bound = book.asks.horizon().map_or(i64::MAX, Price::raw);
        let want: Vec<_> = naive.asks.iter().map(|(&p, &s)| (p, s)).filter(|&(p, _)| p < bound).collect();
        prop_assert_eq!(asks, want);
        Ok(())
    }

    proptest! {
        #[test]
        fn equals_a_naive_book_inside_its_horizon(
            seed_bids in proptest::collection::btree_map(0i64..500, 1i64..9, 0..60),
            seed_asks in proptest::collection::btree_map(500i64..1000, 1i64..9, 0..60),
            changes in proptest::collection::vec((any::<bool>(), 0i64..1000, 0i64..4), 0..400),
            levels_max in 1usize..80,
            limit in 1usize..70,
        ) {
            let mut naive = Naive { bids: seed_bids.clone(), asks: seed_asks.clone() };
            let bids: Vec<_> = seed_bids.iter().rev().take(limit).map(|(&p, &s)| level(p, s)).collect();
            let asks: Vec<_> = seed_asks.iter().take(limit).map(|(&p, &s)| level(p, s)).collect();
            let mut book = Book::<Level>::new(levels_max);
            book.load(&bids, &asks, snapshot_horizon(&bids, limit, -1), snapshot_horizon(&asks, limit, 1), 0);
            let capacity = (book.bids.levels.capacity(), book.asks.levels.capacity());
            known_equals(&book, &naive)?;
            for (is_bid, price, size) in changes {
                let change = level(price, size);
                Naive::set(if is_bid { &mut naive.bids } else { &mut naive.asks }, change);
                if is_bid { book.apply(&[change], &[], 0) } else { book.apply(&[], &[change], 0) }
                known_equals(&book, &naive)?;
                prop_assert!(book.bids.len() <= levels_max && book.asks.len() <= levels_max);
            }
            prop_assert_eq!(capacity, (book.bids.levels.capacity(), book.asks.levels.capacity()));
        }
    }

    #[test]
    fn check_is_crc32c() {
        // "123456789" has the published CRC-32C 0xE3069283; here over whole words, so 0 and a known vector.
        let mut crc = Crc32c::new();
        for _ in 0..4 {
            crc.write(0);
        }
        assert_eq!(crc.finish(), 0x8A91_36AA, "32 zero bytes, RFC 3720 B.4");
    }

    /// What reads records keeps the horizon that the writer had.
    #[test]
    fn a_snapshot_record_carries_its_horizon() {
        use crate::record::BookBody;
        use zerocopy::FromZeros;
        let mut book = Book::<Level>::new(8);
        let (bids, asks) = ([level(10, 1), level(9, 1)], [level(11, 1), level(12, 1)]);
        book.load(&bids, &asks, snapshot_horizon(&bids, 2, -1), snapshot_horizon(&asks, 2, 1), 0);
        let (bid_horizon, ask_horizon) = book.record_horizons();
        let body = BookBody { bid_horizon, ask_horizon, ..BookBody::new_zeroed() };
        let record = BookRecord { body: &body, bids: &bids, asks: &asks, bid_times: &[], ask_times: &[] };
        let mut reader = Book::<Level>::new(8);
        reader.apply_record(&record, true);
        // Beyond the horizon on either side: nobody knows what else is there.
        reader.apply(&[level(8, 1)], &[level(13, 1)], 0);
        assert_eq!((reader.bids.len(), reader.asks.len()), (2, 2));
        assert_eq!(reader.record_horizons(), book.record_horizons());
    }

    /// No venue sends them, but a record may hold anything.
    #[test]
    fn prices_at_the_ends_of_their_range_break_nothing() {
        let mut book = Book::<Level>::new(4);
        let ends = [level(i64::MIN, 1), level(i64::MAX, 1)];
        book.apply(&ends, &ends, 0);
        assert_eq!(book.bids.best(), Some(level(i64::MAX, 1)));
        assert_eq!(book.asks.best(), Some(level(i64::MAX, 1)));
        assert_eq!((book.bids.len(), book.asks.len()), (1, 1), "the least is no price");
        assert_eq!(snapshot_horizon(&[level(i64::MAX, 1)], 1, 1), Some(Price::from_raw(i64::MAX)));
    }

    #[test]
    fn crossed_when_best_meet() {
        let mut book = Book::<Level>::new(4);
        book.apply(&[level(10, 1)], &[level(11, 1)], 0);
        assert!(!book.is_crossed());
        book.apply(&[level(11, 1)], &[], 0);
        assert!(book.is_crossed());
    }
}
