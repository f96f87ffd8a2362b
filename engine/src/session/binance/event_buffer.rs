//! Depth events kept until a snapshot, or another connection, joins them: bounded, in one flat array of levels.

use crate::limits::{RESYNC_EVENTS_MAX, RESYNC_LEVELS_MAX};
use codec::book::Book;
use codec::record::Level;
use codec::venues::binance::Depth;
use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug)]
struct Event {
    last_id: u64,
    prev_id: u64,
    transaction_ms: u64,
    bids_start: usize,
    asks_start: usize,
    end: usize,
}

/// Events of one unbroken chain, oldest first; each begins where the one before ended, or before that.
#[derive(Debug, Default)]
pub struct EventBuffer {
    events: Vec<Event>,
    levels: Vec<Level>,
}

impl EventBuffer {
    /// Appends one event; `false`, and nothing kept of it, at the limit.
    #[must_use]
    pub fn push(&mut self, depth: &Depth<'_>) -> bool {
        let count = depth.bids.len() + depth.asks.len();
        if self.events.len() >= RESYNC_EVENTS_MAX || self.levels.len() + count > RESYNC_LEVELS_MAX {
            return false;
        }
        let bids_start = self.levels.len();
        self.levels.extend_from_slice(depth.bids);
        let asks_start = self.levels.len();
        self.levels.extend_from_slice(depth.asks);
        self.events.push(Event {
            last_id: depth.last_id,
            prev_id: depth.prev_id,
            transaction_ms: depth.transaction_ms,
            bids_start,
            asks_start,
            end: self.levels.len(),
        });
        true
    }

    /// `u` of the newest event.
    #[must_use]
    pub fn last_id(&self) -> Option<u64> {
        self.events.last().map(|event| event.last_id)
    }

    fn from(&self, snapshot_id: u64) -> &[Event] {
        let start = self.events.partition_point(|event| event.last_id < snapshot_id);
        &self.events[start..]
    }

    /// `pu` of the first event that is not older than the snapshot.
    #[must_use]
    pub fn first_prev_id(&self, snapshot_id: u64) -> Option<u64> {
        self.from(snapshot_id).first().map(|event| event.prev_id)
    }

    /// Each event not older than the snapshot: (`u`, `T`, bids, asks).
    pub fn for_each_from(&self, snapshot_id: u64, mut take: impl FnMut(u64, u64, &[Level], &[Level])) {
        for event in self.from(snapshot_id) {
            take(
                event.last_id,
                event.transaction_ms,
                &self.levels[event.bids_start..event.asks_start],
                &self.levels[event.asks_start..event.end],
            );
        }
    }

    /// Whether what the newest events last said of their levels is what this book holds, beyond its horizons
    /// left aside. `None`: nothing tells, for any book lacks what was deleted.
    #[must_use]
    pub fn agrees_with(&self, book: &Book) -> Option<bool> {
        let mut judged = BTreeSet::new();
        let mut confirmed = false;
        for event in self.events.iter().rev() {
            let bids = &self.levels[event.bids_start..event.asks_start];
            let asks = &self.levels[event.asks_start..event.end];
            for (is_bid, side, levels) in [(true, &book.bids, bids), (false, &book.asks, asks)] {
                for level in levels {
                    let is_beyond = side.horizon().is_some_and(|horizon| match is_bid {
                        true => level.price <= horizon,
                        false => level.price >= horizon,
                    });
                    if is_beyond || !judged.insert((is_bid, level.price)) {
                        continue;
                    }
                    let said = Some(level.size).filter(|size| size.raw() != 0);
                    if side.size_at(level.price) != said {
                        return Some(false);
                    }
                    confirmed |= said.is_some();
                }
            }
            if confirmed {
                return Some(true);
            }
        }
        None
    }

    /// Whether it holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Each event as it came, but for what is not kept: its names, its first id and its event time.
    pub fn for_each(&self, mut take: impl FnMut(&Depth<'_>)) {
        for event in &self.events {
            take(&Depth {
                stream: "",
                symbol: "",
                event_ms: event.transaction_ms,
                transaction_ms: event.transaction_ms,
                first_id: event.prev_id.saturating_add(1),
                last_id: event.last_id,
                prev_id: event.prev_id,
                bids: &self.levels[event.bids_start..event.asks_start],
                asks: &self.levels[event.asks_start..event.end],
                unrepresentable: 0,
                coin_margined: false,
            });
        }
    }

    /// Forgets the events, keeps the memory for the next ones.
    pub fn clear(&mut self) {
        self.events.clear();
        self.levels.clear();
    }

    /// Forgets the events and gives the memory back: a live book needs none.
    pub fn release(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(prev_id: u64, last_id: u64) -> Depth<'static> {
        Depth {
            stream: "",
            symbol: "",
            event_ms: 0,
            transaction_ms: 0,
            first_id: prev_id + 1,
            last_id,
            prev_id,
            bids: &[],
            asks: &[],
            unrepresentable: 0,
            coin_margined: false,
        }
    }

    /// The venue's rule: what has `u < L` is dropped, what has `u == L` is the first to be applied.
    #[test]
    fn only_what_ended_before_the_snapshot_is_older_than_it() {
        let mut events = EventBuffer::default();
        for (prev_id, last_id) in [(0, 10), (10, 20), (20, 30)] {
            assert!(events.push(&event(prev_id, last_id)));
        }
        for (snapshot_id, first_prev_id, from) in [
            (0, Some(0), &[10, 20, 30][..]),
            (10, Some(0), &[10, 20, 30]),
            (11, Some(10), &[20, 30]),
            (20, Some(10), &[20, 30]),
            (30, Some(20), &[30]),
            (31, None, &[]),
        ] {
            assert_eq!(events.first_prev_id(snapshot_id), first_prev_id, "{snapshot_id}");
            let mut seen = Vec::new();
            events.for_each_from(snapshot_id, |last_id, _, _, _| seen.push(last_id));
            assert_eq!(seen, from, "{snapshot_id}");
        }
    }
}
