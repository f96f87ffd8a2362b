//! One Hyperliquid book fused from three sources, by venue time, every level knowing its source's time.
//!
//! The venue has no sequences and no one good book (measured 2026-07 to 09): the plain `l2Book` shows 20
//! levels every 5.4 s, `fast` five every 0.5 s, `bbo` the best at each block. A frame says what it knows of
//! each side down to a price it covers:
//!
//! ```text
//!   best ────────────────────────────────────────────▶ worse
//!   bbo     |x|                                          covers the best price only
//!   fast    |x x x x x|                                  covers down to its fifth price (all, if shorter)
//!   default |x x x x x x x x x x x x x x x x x x x x ∞   covers everything
//! ```
//!
//! Inside what it covers a frame replaces whatever comes from an older source, and is itself overruled by
//! what a newer one covers. At equal time default wins over fast, fast over bbo.

use crate::limits::FUSED_LEVELS_MAX;
use codec::book::{Book, BookSide, TimedLevel};
use codec::decimal::{Price, Size};
use codec::limits::MESSAGE_LEVELS_MAX;
use codec::record::Level;

/// Where a frame comes from; a later one wins at equal time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// `bbo`.
    Bbo,
    /// `l2Book` with `fast: true`.
    Fast,
    /// `l2Book`.
    Default,
}

/// Levels a side of a fast frame when the book has that many.
pub const FAST_LEVELS: usize = 5;

/// What a frame covered of one side: keys grow toward the best, so from `floor_key` up.
#[derive(Clone, Copy, Debug)]
struct Cover {
    time_ns: u64,
    source: Source,
    floor_key: i64,
}

/// Frames remembered per side: a fast frame is overtaken by a handful of bbos at most (they are 70 ms apart,
/// its age differs from theirs by some hundred), and by a default frame.
const COVERS: usize = 32;

/// The last frames' covers, as a ring.
#[derive(Clone, Copy, Debug)]
struct Covers {
    last: [Option<Cover>; COVERS],
    next: usize,
}

impl Covers {
    const NONE: Self = Self { last: [None; COVERS], next: 0 };

    fn push(&mut self, cover: Cover) {
        self.last[self.next] = Some(cover);
        self.next = (self.next + 1) % COVERS;
    }

    /// Only below this key does a frame of this time and source have a say; `None`: everywhere.
    fn ceiling(&self, time_ns: u64, source: Source) -> Option<i64> {
        let newer =
            self.last.iter().flatten().filter(|cover| (cover.time_ns, cover.source) > (time_ns, source));
        newer.map(|cover| cover.floor_key).min()
    }
}

/// Changes that a frame made, as a delta record tells them: levels set (all confirmed at the frame's time,
/// changed or not) and levels deleted (size zero).
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Bids.
    pub bids: Vec<Level>,
    /// Asks.
    pub asks: Vec<Level>,
}

impl Changes {
    /// With room for any frame's changes.
    #[must_use]
    pub fn with_capacity(levels: usize) -> Self {
        Self { bids: Vec::with_capacity(levels), asks: Vec::with_capacity(levels) }
    }

    /// Whether nothing was set or deleted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bids.is_empty() && self.asks.is_empty()
    }
}

/// See the module.
#[derive(Debug)]
pub struct FusedBook {
    book: Book<TimedLevel>,
    /// The last frames, per side.
    covers: [Covers; 2],
    /// Venue time of the newest frame applied.
    time_ns: u64,
    /// Without the default source a fast frame is all there is: it covers everything.
    fast_is_whole: bool,
}

impl FusedBook {
    /// An empty book of at most [`FUSED_LEVELS_MAX`] a side.
    #[must_use]
    pub fn new(fast_is_whole: bool) -> Self {
        // With room for a whole frame beyond the limit, so that the book itself never drops a level and with it
        // sets a horizon.
        Self {
            book: Book::new(FUSED_LEVELS_MAX + MESSAGE_LEVELS_MAX),
            covers: [Covers::NONE; 2],
            time_ns: 0,
            fast_is_whole,
        }
    }

    /// Whether fast frames are all there is from now on.
    pub const fn set_fast_is_whole(&mut self, fast_is_whole: bool) {
        self.fast_is_whole = fast_is_whole;
    }

    /// The book.
    #[must_use]
    pub const fn book(&self) -> &Book<TimedLevel> {
        &self.book
    }

    /// Venue time of the newest frame applied, ns: the time of its best levels.
    #[must_use]
    pub const fn time_ns(&self) -> u64 {
        self.time_ns
    }

    /// Forgets everything: after a lost connection nothing says what still holds.
    pub fn clear(&mut self) {
        self.book.clear();
        self.covers = [Covers::NONE; 2];
        self.time_ns = 0;
    }

    /// Applies a frame (levels best first) and writes what changed into `changes`.
    ///
    /// `forget_before_ns`: levels whose source is older are dropped, because nothing has confirmed them for
    /// too long.
    pub fn apply(
        &mut self,
        source: Source,
        time_ns: u64,
        bids: &[Level],
        asks: &[Level],
        forget_before_ns: u64,
        changes: &mut Changes,
    ) {
        changes.bids.clear();
        changes.asks.clear();
        let whole = match source {
            Source::Default => true,
            Source::Fast => self.fast_is_whole,
            Source::Bbo => false,
        };
        let Self { book, covers, .. } = self;
        let frame = Frame { source, time_ns, whole, forget_before_ns };
        frame.fuse(&mut book.bids, 1, bids, &mut covers[0], &mut changes.bids);
        frame.fuse(&mut book.asks, -1, asks, &mut covers[1], &mut changes.asks);
        self.time_ns = self.time_ns.max(time_ns);
    }
}

struct Frame {
    source: Source,
    time_ns: u64,
    whole: bool,
    forget_before_ns: u64,
}

impl Frame {
    fn fuse(
        &self,
        side: &mut BookSide<TimedLevel>,
        sign: i64,
        levels: &[Level],
        covers: &mut Covers,
        changes: &mut Vec<Level>,
    ) {
        let key = |price: Price| sign * price.raw();
        let full = match self.source {
            Source::Bbo => 1,
            Source::Fast => FAST_LEVELS,
            Source::Default => usize::MAX,
        };
        let floor_key = match levels.last() {
            Some(worst) if !self.whole && levels.len() >= full => key(worst.price),
            // Fewer levels than it could show: it shows the whole side.
            _ => i64::MIN,
        };
        let ceiling_key = covers.ceiling(self.time_ns, self.source);
        covers.push(Cover { time_ns: self.time_ns, source: self.source, floor_key });
        let has_say = |price: Price| {
            let key = key(price);
            key >= floor_key && ceiling_key.is_none_or(|ceiling| key < ceiling)
        };
        let shown = |price: Price| levels.iter().any(|level| level.price == price);
        side.remove_where(|held| {
            let price = held.level.price;
            let disproved = has_say(price) && !shown(price) && held.source_ts_ns <= self.time_ns;
            let gone = disproved || held.source_ts_ns < self.forget_before_ns;
            if gone {
                changes.push(Level { price, size: Size::ZERO });
            }
            gone
        });
        for &level in levels.iter().filter(|level| has_say(level.price) && level.size != Size::ZERO) {
            if side.source_at(level.price).is_some_and(|source| source > self.time_ns) {
                continue;
            }
            side.set(level, self.time_ns);
            changes.push(level);
        }
        // A market that runs one way adds levels faster than default frames clear them behind it.
        if side.len() > FUSED_LEVELS_MAX {
            let mut excess = side.len() - FUSED_LEVELS_MAX;
            // Levels are visited from the worst.
            side.remove_where(|held| {
                let cut = excess > 0;
                if cut {
                    excess -= 1;
                    changes.push(Level { price: held.level.price, size: Size::ZERO });
                }
                cut
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(pairs: &[(i64, i64)]) -> Vec<Level> {
        pairs
            .iter()
            .map(|&(price, size)| Level { price: Price::from_raw(price), size: Size::from_raw(size) })
            .collect()
    }

    fn apply(
        book: &mut FusedBook,
        source: Source,
        time: u64,
        bids: &[(i64, i64)],
        asks: &[(i64, i64)],
    ) -> Changes {
        let mut changes = Changes::default();
        book.apply(source, time, &levels(bids), &levels(asks), 0, &mut changes);
        changes
    }

    fn bids(book: &FusedBook) -> Vec<(i64, i64, u64)> {
        book.book()
            .bids
            .iter()
            .map(|held| (held.level.price.raw(), held.level.size.raw(), held.source_ts_ns))
            .collect()
    }

    fn seeded() -> FusedBook {
        let mut book = FusedBook::new(false);
        let twenty: Vec<_> = (0..20).map(|index| (100 - index, 1)).collect();
        apply(&mut book, Source::Default, 10, &twenty, &[(101, 1)]);
        book
    }

    #[test]
    fn a_fast_frame_replaces_down_to_its_worst_price() {
        let mut book = seeded();
        apply(&mut book, Source::Fast, 11, &[(99, 2), (98, 2), (97, 2), (95, 2), (94, 2)], &[(101, 1)]);
        let held = bids(&book);
        // 100 and 96 are proven gone, 93 and worse stay with their older source.
        assert_eq!(
            &held[..6],
            &[(99, 2, 11), (98, 2, 11), (97, 2, 11), (95, 2, 11), (94, 2, 11), (93, 1, 10)]
        );
        assert_eq!(held.len(), 5 + 13);
    }

    #[test]
    fn a_short_fast_frame_is_the_whole_side() {
        let mut book = seeded();
        apply(&mut book, Source::Fast, 11, &[(99, 2)], &[]);
        assert_eq!(bids(&book), [(99, 2, 11)]);
        assert!(book.book().asks.is_empty());
    }

    #[test]
    fn a_bbo_replaces_the_best_and_removes_what_it_proves_gone() {
        let mut book = seeded();
        let changes = apply(&mut book, Source::Bbo, 12, &[(98, 7)], &[(101, 3)]);
        assert_eq!(&bids(&book)[..2], &[(98, 7, 12), (97, 1, 10)]);
        assert_eq!(changes.bids, levels(&[(99, 0), (100, 0), (98, 7)]));
    }

    #[test]
    fn an_older_default_frame_fills_only_what_newer_sources_do_not_cover() {
        let mut book = seeded();
        apply(&mut book, Source::Fast, 20, &[(99, 2), (98, 2), (97, 2), (96, 2), (95, 2)], &[(101, 1)]);
        apply(&mut book, Source::Bbo, 22, &[(98, 9)], &[(101, 2)]);
        let changes = apply(
            &mut book,
            Source::Default,
            15,
            &[(100, 5), (99, 5), (97, 5), (94, 5), (90, 5)],
            &[(101, 5)],
        );
        assert_eq!(changes.bids.iter().filter(|level| level.size != Size::ZERO).count(), 2);
        assert_eq!(
            bids(&book),
            [(98, 9, 22), (97, 2, 20), (96, 2, 20), (95, 2, 20), (94, 5, 15), (90, 5, 15)]
        );
        assert_eq!(book.time_ns(), 22);
    }

    #[test]
    fn a_late_fast_frame_leaves_what_newer_quotes_have_told() {
        let mut book = seeded();
        // 99 and better are gone at 22, 100 is new at 23; the fast frame of 21 knows of neither.
        apply(&mut book, Source::Bbo, 22, &[(98, 9)], &[(101, 1)]);
        apply(&mut book, Source::Bbo, 23, &[(100, 4)], &[(101, 1)]);
        apply(&mut book, Source::Fast, 21, &[(99, 2), (98, 2), (97, 2), (96, 2), (95, 2)], &[(101, 1)]);
        assert_eq!(&bids(&book)[..4], &[(100, 4, 23), (98, 9, 22), (97, 2, 21), (96, 2, 21)]);
    }

    #[test]
    fn a_market_that_runs_one_way_never_sets_a_horizon() {
        let mut book = seeded();
        let mut replica = Book::<TimedLevel>::new(4096);
        for step in 0..2_000i64 {
            let best = 100 + step;
            let changes = apply(&mut book, Source::Bbo, 20 + step as u64, &[(best, 1)], &[(best + 1, 1)]);
            replica.apply(&changes.bids, &changes.asks, 0);
            assert!(book.book().bids.len() <= FUSED_LEVELS_MAX);
            assert_eq!(book.book().bids.horizon(), None);
        }
        let held =
            |book: &Book<TimedLevel>| book.bids.iter().take(30).map(|held| held.level).collect::<Vec<_>>();
        assert_eq!(held(book.book()), held(&replica));
        assert_eq!(book.book().asks.len(), 1);
    }

    #[test]
    fn at_equal_time_default_beats_fast_beats_bbo() {
        let mut book = FusedBook::new(false);
        apply(&mut book, Source::Default, 10, &[(100, 1), (99, 1)], &[(101, 1)]);
        assert!(apply(&mut book, Source::Fast, 10, &[(100, 2)], &[(101, 2)]).is_empty());
        assert!(apply(&mut book, Source::Bbo, 10, &[(100, 3)], &[(101, 3)]).is_empty());
        assert_eq!(bids(&book), [(100, 1, 10), (99, 1, 10)]);
        let mut book = FusedBook::new(false);
        apply(&mut book, Source::Bbo, 10, &[(100, 3)], &[(101, 3)]);
        apply(&mut book, Source::Fast, 10, &[(100, 2)], &[(101, 2)]);
        assert_eq!(bids(&book), [(100, 2, 10)]);
    }

    #[test]
    fn a_newer_default_frame_replaces_everything_older() {
        let mut book = seeded();
        apply(&mut book, Source::Default, 30, &[(90, 4)], &[(95, 4)]);
        assert_eq!(bids(&book), [(90, 4, 30)]);
    }

    #[test]
    fn levels_that_nothing_confirms_for_long_are_dropped() {
        let mut book = seeded();
        let mut changes = Changes::default();
        let five = levels(&[(100, 1), (99, 1), (98, 1), (97, 1), (96, 1)]);
        book.apply(Source::Fast, 40, &five, &[], 20, &mut changes);
        assert_eq!(book.book().bids.len(), 5);
    }

    #[test]
    fn without_a_default_source_a_fast_frame_is_the_book() {
        let mut book = FusedBook::new(true);
        apply(&mut book, Source::Fast, 10, &[(100, 1), (99, 1), (98, 1), (97, 1), (96, 1)], &[(101, 1)]);
        apply(&mut book, Source::Fast, 11, &[(105, 1), (104, 1), (103, 1), (102, 1), (101, 1)], &[(106, 1)]);
        assert_eq!(bids(&book).len(), 5);
    }
}
