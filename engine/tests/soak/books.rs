//! Whether books that were shown as live are what the venue's were at that moment.

use crate::ears::Instrument;
use sim::{Level, MarketHandle, Sim, SimError, TruthBook};
use std::collections::{BTreeMap, VecDeque};

/// Samples that wait for their moment to be known; more are left unchecked, and counted.
const WAITING_MAX: usize = 2_000;
/// Samples checked at a look, so that the venues are not held up.
const CHECKED_PER_LOOK: usize = 12;

/// Price and size at 1e-8, best first.
pub type Levels = Vec<(i64, i64)>;

/// A book as somebody was shown it.
pub struct Sample {
    /// Index of the instrument.
    pub instrument: usize,
    pub shown: Shown,
}

/// What can be held against the truth.
pub enum Shown {
    /// The best of both sides after an update id, complete as far as they go.
    AfterUpdate { id: u64, bids: Levels, asks: Levels },
    /// The best of both sides at a time, complete as far as they go.
    AtTime { time_ms: i64, bids: Levels, asks: Levels },
    /// Levels, each as of a time of its own: is it a bid, price, size, time in ms.
    EachAtItsTime { levels: Vec<(bool, i64, i64, u64)> },
}

/// See the module.
pub struct BookCheck {
    instruments: Vec<Instrument>,
    waiting: VecDeque<Sample>,
    books: u64,
    levels: u64,
    unchecked: u64,
}

impl BookCheck {
    pub fn new(instruments: &[Instrument]) -> Self {
        Self {
            instruments: instruments.to_vec(),
            waiting: VecDeque::new(),
            books: 0,
            levels: 0,
            unchecked: 0,
        }
    }

    pub fn take(&mut self, samples: Vec<Sample>) {
        for sample in samples {
            if self.waiting.len() < WAITING_MAX {
                self.waiting.push_back(sample);
            } else {
                self.unchecked += 1;
            }
        }
    }

    pub fn check(&mut self, sim: &Sim) {
        for _ in 0..self.waiting.len().min(CHECKED_PER_LOOK) {
            let Some(sample) = self.waiting.pop_front() else { break };
            let instrument = &self.instruments[sample.instrument];
            match compare(instrument.market(sim), &instrument.symbol, &sample.shown) {
                Ok(levels) => (self.books, self.levels) = (self.books + 1, self.levels + levels),
                // The block is not complete yet.
                Err(SimError::NotReached { .. }) => self.waiting.push_back(sample),
                Err(SimError::OutsideWindow { .. }) => self.unchecked += 1,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn checked(&self) -> u64 {
        self.books
    }

    pub fn report(&self) -> String {
        format!(
            "{} with {} levels checked, {} left unchecked",
            self.books,
            self.levels,
            self.unchecked + self.waiting.len() as u64
        )
    }
}

/// Panics where the shown differs from the truth; how many levels were compared.
fn compare(market: &MarketHandle, symbol: &str, shown: &Shown) -> Result<u64, SimError> {
    let levels = |levels: &[Level]| -> Levels { levels.iter().map(|it| (it.price_e8, it.size_e8)).collect() };
    let best = |what: String, truth: TruthBook, bids: &Levels, asks: &Levels| {
        assert!(!bids.is_empty() && !asks.is_empty(), "{symbol} {what}: an empty side shown as live");
        for (side, shown, truth) in [("bids", bids, levels(&truth.bids)), ("asks", asks, levels(&truth.asks))]
        {
            let length = shown.len().min(truth.len());
            assert_eq!(shown[..], truth[..length], "{symbol} {side} {what}");
        }
        (bids.len() + asks.len()) as u64
    };
    match shown {
        Shown::AfterUpdate { id, bids, asks } => {
            Ok(best(format!("after update {id}"), market.truth_at_update_id(symbol, *id)?, bids, asks))
        }
        Shown::AtTime { time_ms, bids, asks } => {
            Ok(best(format!("at {time_ms}"), market.truth_at_time(symbol, *time_ms)?, bids, asks))
        }
        Shown::EachAtItsTime { levels } => {
            let mut at = BTreeMap::new();
            for (is_bid, price, size, time_ms) in levels {
                if !at.contains_key(time_ms) {
                    at.insert(*time_ms, market.truth_at_time(symbol, *time_ms as i64)?);
                }
                let book = &at[time_ms];
                let side = if *is_bid { &book.bids } else { &book.asks };
                let truth = side.iter().find(|level| level.price_e8 == *price).map(|level| level.size_e8);
                assert_eq!(truth, Some(*size), "{symbol} bid {is_bid} {price} at {time_ms}");
            }
            Ok(levels.len() as u64)
        }
    }
}
