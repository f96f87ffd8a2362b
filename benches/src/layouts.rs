//! Layouts of one book side that were measured against the one in `codec` and not chosen.
//!
//! Each keeps keys that grow toward the best price (the price for bids, its negative for asks).

use std::collections::BTreeMap;

/// A side under test.
pub trait Side: Default {
    /// Sets a size, or deletes with zero.
    fn set(&mut self, key: i64, size: i64);
    /// Levels held.
    fn len(&self) -> usize;
    /// Whether none is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The standard library's ordered map.
#[derive(Debug, Default)]
pub struct Tree(BTreeMap<i64, i64>);

impl Side for Tree {
    fn set(&mut self, key: i64, size: i64) {
        if size == 0 {
            self.0.remove(&key);
        } else {
            self.0.insert(key, size);
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A flat array, best last, searched one by one from the best.
#[derive(Debug, Default)]
pub struct LinearScan(Vec<(i64, i64)>);

impl Side for LinearScan {
    fn set(&mut self, key: i64, size: i64) {
        let at = self.0.iter().rposition(|level| level.0 <= key);
        match at {
            Some(at) if self.0[at].0 == key => {
                if size == 0 {
                    self.0.remove(at);
                } else {
                    self.0[at].1 = size;
                }
            }
            _ if size == 0 => {}
            at => self.0.insert(at.map_or(0, |at| at + 1), (key, size)),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// A flat array, best first: the naive order, whose changes near the best move the most memory.
#[derive(Debug, Default)]
pub struct BestFirst(Vec<(i64, i64)>);

impl Side for BestFirst {
    fn set(&mut self, key: i64, size: i64) {
        match self.0.binary_search_by(|level| key.cmp(&level.0)) {
            Ok(at) if size == 0 => {
                self.0.remove(at);
            }
            Ok(at) => self.0[at].1 = size,
            Err(_) if size == 0 => {}
            Err(at) => self.0.insert(at, (key, size)),
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }
}

/// Sorted blocks of at most 64 levels, in an array sorted by their first key.
#[derive(Debug, Default)]
pub struct Blocks(Vec<Vec<(i64, i64)>>);

const BLOCK: usize = 64;

impl Side for Blocks {
    fn set(&mut self, key: i64, size: i64) {
        let block = self.0.partition_point(|block| block[0].0 <= key).saturating_sub(1);
        let Some(levels) = self.0.get_mut(block) else {
            if size != 0 {
                self.0.push(vec![(key, size)]);
            }
            return;
        };
        match levels.binary_search_by(|level| level.0.cmp(&key)) {
            Ok(at) if size == 0 => {
                levels.remove(at);
                if levels.is_empty() {
                    self.0.remove(block);
                }
            }
            Ok(at) => levels[at].1 = size,
            Err(_) if size == 0 => {}
            Err(at) => {
                levels.insert(at, (key, size));
                if levels.len() > BLOCK {
                    let upper = levels.split_off(BLOCK / 2);
                    self.0.insert(block + 1, upper);
                }
            }
        }
    }

    fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<S: Side>() -> usize {
        let mut side = S::default();
        let mut state = 1u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            side.set((state >> 40) as i64 % 3000, (state >> 33) as i64 % 3);
        }
        side.len()
    }

    #[test]
    fn layouts_hold_the_same_levels() {
        let want = run::<Tree>();
        assert_eq!([run::<LinearScan>(), run::<BestFirst>(), run::<Blocks>()], [want; 3]);
    }
}
