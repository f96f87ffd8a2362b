//! One symbol's order book, kept as two sorted arrays.
//!
//! Both sides hold their best level last, so that the frequent changes near the best move little memory.

use std::cmp::Ordering;

/// Which side of the book.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Buyers.
    Bid,
    /// Sellers.
    Ask,
}

impl Side {
    /// The other side.
    pub fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }

    /// +1 where a better price is higher, -1 where it is lower.
    pub fn better(self) -> i64 {
        match self {
            Self::Bid => 1,
            Self::Ask => -1,
        }
    }
}

/// One price level; values are at 1e-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Level {
    /// The price.
    pub price_e8: i64,
    /// The size; never zero in a book.
    pub size_e8: i64,
    /// How many orders make it up.
    pub orders: u32,
}

/// A book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// Ascending: the best bid is last.
    bids: Vec<Level>,
    /// Descending: the best ask is last.
    asks: Vec<Level>,
}

impl Book {
    fn side(&self, side: Side) -> &Vec<Level> {
        match side {
            Side::Bid => &self.bids,
            Side::Ask => &self.asks,
        }
    }

    /// Where a price is, or would be.
    fn position(&self, side: Side, price_e8: i64) -> Result<usize, usize> {
        self.side(side).binary_search_by(|level| {
            let ascending = level.price_e8.cmp(&price_e8);
            if side == Side::Bid { ascending } else { Ordering::reverse(ascending) }
        })
    }

    /// Sets a level to an absolute size; zero removes it, and removing what is not there does nothing.
    pub fn set(&mut self, side: Side, level: Level) {
        let position = self.position(side, level.price_e8);
        let levels = match side {
            Side::Bid => &mut self.bids,
            Side::Ask => &mut self.asks,
        };
        match (position, level.size_e8) {
            (Ok(at), 0) => drop(levels.remove(at)),
            (Ok(at), _) => levels[at] = level,
            (Err(_), 0) => {}
            (Err(at), _) => levels.insert(at, level),
        }
    }

    /// The level this many places from the best (0 is the best).
    pub fn rank(&self, side: Side, rank: usize) -> Option<Level> {
        let levels = self.side(side);
        levels.len().checked_sub(rank + 1).map(|at| levels[at])
    }

    /// The best level.
    pub fn best(&self, side: Side) -> Option<Level> {
        self.side(side).last().copied()
    }

    /// The level at a price.
    pub fn at(&self, side: Side, price_e8: i64) -> Option<Level> {
        self.position(side, price_e8).ok().map(|at| self.side(side)[at])
    }

    /// Levels on a side.
    pub fn depth(&self, side: Side) -> usize {
        self.side(side).len()
    }

    /// The levels of a side, best first.
    pub fn levels(&self, side: Side) -> impl Iterator<Item = &Level> {
        self.side(side).iter().rev()
    }

    /// The middle of the best prices, if both sides have one.
    pub fn mid_e8(&self) -> Option<i64> {
        Some((self.best(Side::Bid)?.price_e8 + self.best(Side::Ask)?.price_e8) / 2)
    }

    /// Whether a best bid is at or above the best ask.
    pub fn is_crossed(&self) -> bool {
        match (self.best(Side::Bid), self.best(Side::Ask)) {
            (Some(bid), Some(ask)) => bid.price_e8 >= ask.price_e8,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(price_e8: i64, size_e8: i64) -> Level {
        Level { price_e8, size_e8, orders: 1 }
    }

    #[test]
    fn sets_replaces_removes_and_ranks() {
        let mut book = Book::default();
        for price in [5, 3, 9] {
            book.set(Side::Bid, level(price, 1));
            book.set(Side::Ask, level(price + 10, 1));
        }
        book.set(Side::Bid, level(5, 7));
        book.set(Side::Ask, level(99, 0));
        assert_eq!(book.best(Side::Bid), Some(level(9, 1)));
        assert_eq!(book.rank(Side::Bid, 1), Some(level(5, 7)));
        assert_eq!(book.rank(Side::Bid, 3), None);
        assert_eq!(book.levels(Side::Ask).map(|l| l.price_e8).collect::<Vec<_>>(), [13, 15, 19]);
        book.set(Side::Bid, level(9, 0));
        assert_eq!(book.best(Side::Bid), Some(level(5, 7)));
        assert!(!book.is_crossed());
    }
}
