//! A book's window: the top levels that a topic shows, and what changed in it.

use codec::book::{Book, BookLevel, BookSide};
use codec::decimal::{Price, Size};
use codec::protocol::message::{BookMeta, Times};
use codec::record::{BookRecord, Level};

/// The window of one topic as it was last sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
    /// What its message said beside them.
    pub meta: BookMeta,
}

/// Where a book stands: what its messages say, before it is known how many levels are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct BookPosition {
    /// The sequence of its last record.
    pub sequence: u64,
    /// The venue's own number.
    pub venue_sequence: u64,
    /// Times of its last record.
    pub times: Times,
}

impl Window {
    /// A window with room for `depth` levels a side.
    #[must_use]
    pub fn with_depth(depth: usize) -> Self {
        Self { bids: Vec::with_capacity(depth), asks: Vec::with_capacity(depth), meta: BookMeta::default() }
    }

    /// Becomes a copy of another, in the memory it has.
    pub fn copy_from(&mut self, other: &Self) {
        self.bids.clear();
        self.bids.extend_from_slice(&other.bids);
        self.asks.clear();
        self.asks.extend_from_slice(&other.asks);
        self.meta = other.meta;
    }

    /// Shows the top `depth` levels of a book.
    pub fn show<L: BookLevel>(&mut self, book: &Book<L>, depth: usize, at: &BookPosition) {
        let (bid_fresh, bid_oldest) = show_side(&mut self.bids, &book.bids, depth, at.times.event_ns);
        let (ask_fresh, ask_oldest) = show_side(&mut self.asks, &book.asks, depth, at.times.event_ns);
        let oldest = bid_oldest.min(ask_oldest);
        self.meta = BookMeta {
            sequence: at.sequence,
            venue_sequence: at.venue_sequence,
            times: at.times,
            fresh_levels: bid_fresh.min(ask_fresh) as u64,
            depth_ns: if oldest == u64::MAX { 0 } else { oldest },
        };
    }
}

/// Fills one side; how many of its levels from the best on are of `event_ns`, and the oldest time.
fn show_side<L: BookLevel>(
    shown: &mut Vec<Level>,
    side: &BookSide<L>,
    depth: usize,
    event_ns: u64,
) -> (usize, u64) {
    shown.clear();
    shown.extend(side.iter().take(depth).map(L::level));
    if !L::TIMED {
        return (shown.len(), u64::MAX);
    }
    let times = || side.iter().take(depth).map(L::source_ts_ns);
    (times().take_while(|&time| time == event_ns).count(), times().min().unwrap_or(u64::MAX))
}

/// Whether a delta of an untimed book leaves the shown levels alone: a cheap look that may say no in doubt.
#[must_use]
pub fn leaves_alone<L: BookLevel>(
    window: &Window,
    book: &Book<L>,
    depth: usize,
    record: &BookRecord<'_>,
) -> bool {
    let beyond = |shown: &[Level], side: &BookSide<L>, changes: &[Level], sign: i64| {
        // A window that is not full shows everything, so any change may be seen.
        if shown.len() < depth || side.len() < depth {
            return changes.is_empty() && shown.len() == side.len().min(depth);
        }
        let worst = sign * shown[depth - 1].price.raw();
        changes.iter().all(|change| sign * change.price.raw() < worst)
    };
    beyond(&window.bids, &book.bids, record.bids, 1) && beyond(&window.asks, &book.asks, record.asks, -1)
}

/// What turns one side of a window into another: new sizes, zero for levels that left. `sign` is 1 for bids
/// and −1 for asks.
pub fn difference(old: &[Level], new: &[Level], sign: i64, changes: &mut Vec<Level>) {
    changes.clear();
    let key = |level: &Level| sign * level.price.raw();
    let gone = |price: Price| Level { price, size: Size::ZERO };
    let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
    loop {
        match (old.peek(), new.peek()) {
            (Some(was), Some(is)) if key(was) == key(is) => {
                if was.size != is.size {
                    changes.push(**is);
                }
                old.next();
                new.next();
            }
            (Some(was), Some(is)) if key(was) > key(is) => {
                changes.push(gone(was.price));
                old.next();
            }
            (_, Some(is)) => {
                changes.push(**is);
                new.next();
            }
            (Some(was), None) => {
                changes.push(gone(was.price));
                old.next();
            }
            (None, None) => break,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn levels(of: &BTreeMap<i64, i64>, sign: i64) -> Vec<Level> {
        let mut levels: Vec<_> = of
            .iter()
            .map(|(&price, &size)| Level { price: Price::from_raw(price), size: Size::from_raw(size) })
            .collect();
        levels.sort_by_key(|level| -sign * level.price.raw());
        levels
    }

    proptest! {
        #[test]
        fn the_difference_turns_one_into_the_other(
            old in proptest::collection::btree_map(0i64..60, 1i64..4, 0..40),
            new in proptest::collection::btree_map(0i64..60, 1i64..4, 0..40),
            is_bid in any::<bool>(),
        ) {
            let sign = if is_bid { 1 } else { -1 };
            let mut changes = Vec::new();
            difference(&levels(&old, sign), &levels(&new, sign), sign, &mut changes);
            let mut applied = old.clone();
            for change in &changes {
                if change.size == Size::ZERO {
                    prop_assert!(applied.remove(&change.price.raw()).is_some(), "only what was there leaves");
                } else {
                    applied.insert(change.price.raw(), change.size.raw());
                }
            }
            prop_assert_eq!(applied, new);
        }
    }
}
