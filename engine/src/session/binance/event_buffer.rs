//! Depth events kept until a snapshot, or another connection, joins them: bounded, in one flat array of levels.

use crate::limits::{RESYNC_EVENTS_MAX, RESYNC_LEVELS_MAX};
use codec::record::Level;
use codec::venues::binance::Depth;

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
