//! Depth streams: what changed of a book since the stream's last event, and the best levels as they stand.
//!
//! Each symbol and speed is a chain of its own: `pu` of an event is `u` of the one before it. A chain begins when
//! somebody begins to listen and ends when nobody does any more, so that a symbol without listeners costs nothing.

use super::frames::{self, DepthIds};
use super::hub::Hub;
use super::streams::{DEPTH_SPEEDS, Kind, PARTIAL_LEVELS};
use crate::market::{Change, Level, Market, Side};
use crate::protocol::Action;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Where one chain stands.
#[derive(Clone, Copy)]
struct Chain {
    /// The first change not yet told, counted from the beginning.
    next_change: u64,
    /// The last id told.
    last_id: u64,
}

/// All chains.
pub struct DepthStreams {
    chains: Vec<[Option<Chain>; DEPTH_SPEEDS.len()]>,
    /// When each chain tells next: time, symbol and speed.
    due: BinaryHeap<Reverse<(i64, usize, usize)>>,
    interval_ms_min: i64,
}

impl DepthStreams {
    /// Nobody listens yet.
    pub fn new(interval_ms_min: i64) -> Self {
        Self { chains: Vec::new(), due: BinaryHeap::new(), interval_ms_min }
    }

    fn interval_ms(&self, speed: usize) -> i64 {
        DEPTH_SPEEDS[speed].1.max(self.interval_ms_min)
    }

    /// Somebody begins to listen to a stream.
    pub fn begin(&mut self, market: &Market, symbol: usize, kind: Kind, now_ms: i64) {
        let (Kind::Depth(speed) | Kind::PartialDepth(_, speed)) = kind else { return };
        if self.chains.len() <= symbol {
            self.chains.resize(symbol + 1, [None; DEPTH_SPEEDS.len()]);
        }
        let interval_ms = self.interval_ms(speed);
        let chain = &mut self.chains[symbol][speed];
        if chain.is_some() {
            return;
        }
        *chain = Some(Chain {
            next_change: market.history(symbol).change_count(),
            last_id: market.symbol_update_id(symbol),
        });
        // Symbols do not speak in unison.
        let phase_ms = (symbol as i64 * 7) % interval_ms;
        let due_ms = now_ms - (now_ms - phase_ms).rem_euclid(interval_ms) + interval_ms;
        self.due.push(Reverse((due_ms, symbol, speed)));
    }

    /// Tells what is due.
    pub fn tick(&mut self, market: &Market, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        while let Some(&Reverse((due_ms, symbol, speed))) = self.due.peek() {
            if due_ms > now_ms {
                return;
            }
            self.due.pop();
            let partial = |count| Kind::PartialDepth(count, speed);
            let heard = hub.live(symbol, Kind::Depth(speed)).is_some()
                || (0..PARTIAL_LEVELS.len()).any(|count| hub.live(symbol, partial(count)).is_some());
            if !heard {
                self.chains[symbol][speed] = None;
                continue;
            }
            // Slowed down on command: what changes meanwhile is told in one event.
            let slowed_ms = hub
                .live(symbol, Kind::Depth(speed))
                .and_then(|stream| hub.cadences.period_ms(hub.subscribers.name(stream), now_ms));
            let interval_ms = slowed_ms.unwrap_or(0).max(self.interval_ms(speed));
            let next_ms = due_ms + ((now_ms - due_ms).div_euclid(interval_ms) + 1) * interval_ms;
            self.due.push(Reverse((next_ms, symbol, speed)));
            self.flush(market, hub, (symbol, speed), now_ms, out);
        }
    }

    /// Tells what changed since the last event of one speed.
    fn flush(
        &mut self,
        market: &Market,
        hub: &mut Hub,
        (symbol, speed): (usize, usize),
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        let Some(chain) = &mut self.chains[symbol][speed] else { return };
        let before = *chain;
        let history = market.history(symbol);
        chain.next_change = history.change_count();
        if chain.next_change == before.next_change {
            return;
        }
        chain.last_id = market.symbol_update_id(symbol);

        let diff = hub.live(symbol, Kind::Depth(speed));
        let partials: [_; PARTIAL_LEVELS.len()] =
            std::array::from_fn(|count| hub.live(symbol, Kind::PartialDepth(count, speed)));
        let changes: Vec<Change> = history.changes_from(before.next_change).copied().collect();
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
        let ids = DepthIds {
            event_ms: now_ms,
            transaction_ms: last.time_ms,
            first_id: first.update_id,
            last_id: last.update_id,
            previous_id: before.last_id,
        };
        let instrument = market.instrument(symbol);
        let book = market.book(symbol);
        if let Some(stream) = diff {
            let mut bids = last_of_each(&changes, Side::Bid);
            let asks = last_of_each(&changes, Side::Ask);
            let name = hub.subscribers.name(stream);
            if !hub.disturbances.breaks_depth(&instrument.symbol, name) {
                if hub.disturbances.crosses(&instrument.symbol)
                    && let Some(ask) = book.best(Side::Ask)
                {
                    bids.retain(|level| level.price_e8 != ask.price_e8);
                    bids.push(ask);
                }
                let data = frames::depth(instrument, &ids, bids.iter(), asks.iter());
                hub.deliver(symbol, stream, &data, now_ms, out);
            }
        }
        for (count, stream) in partials.into_iter().enumerate() {
            let Some(stream) = stream else { continue };
            let levels = |side| book.levels(side).take(PARTIAL_LEVELS[count]);
            let data = frames::depth(instrument, &ids, levels(Side::Bid), levels(Side::Ask));
            hub.deliver(symbol, stream, &data, now_ms, out);
        }
    }
}

/// The last state of each level touched on a side, by ascending price.
fn last_of_each(changes: &[Change], side: Side) -> Vec<Level> {
    let mut levels: Vec<Level> =
        changes.iter().rev().filter(|change| change.side == side).map(|change| change.level).collect();
    // Newest first and a stable sort: of equal prices the newest comes first and stays.
    levels.sort_by_key(|level| level.price_e8);
    levels.dedup_by_key(|level| level.price_e8);
    levels
}
