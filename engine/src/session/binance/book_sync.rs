//! One Binance book: buffer, snapshot, join, follow the chain, and never serve a doubtful state as live.
//!
//! ```text
//!            event                snapshot joins             event with pu == chain
//!   Cold ───────────▶ Joining ───────────────────▶ Live ◀────────────────────────┐
//!    ▲                  ▲  │ too old: ask again     │ └──────────────────────────┘
//!    │                  │  └──────────────┘         │ break, crossing, unrepresentable: gap, Resyncing
//!    │ connection lost  └───────────────────────────┘
//!    └── from anywhere; a first event that continues the chain leads straight back to Live
//! ```
//!
//! Rules (venue documentation and nine recordings, 2022–2024): drop `u < L`; the first applied event has
//! `pu <= L <= u`; after it every `pu` equals the previous `u`. Ids are shared by all symbols, so `U` says
//! nothing. A snapshot that is ahead of the stream waits for it: one of another environment (addresses of
//! test net and main net mixed up) has ids that the stream never reaches, and is never served. It may stand in
//! the hole before the next event, which a quiet market does not bring: where no event comes, a second snapshot
//! is the same as the first, and both say of the stream's levels what the stream said, nothing lies between the
//! stream and the snapshot, and it is joined. An event that then ends before it shows that something did.
//! A background re-seed joins a second book the same way while the first stays live.
//!
//! While a connection is replaced, two deliver the same changes, cut into events differently. Sizes are
//! absolute: an event `(pu, u]` of the other connection with `pu <= chain < u` holds every change after the
//! chain, and those before it again with the size they have at `u`; so it leads to exactly the book at `u`.
//! One that begins after the chain waits for the slower connection to get there.

use super::event_buffer::EventBuffer;
use crate::fetch::{FetchError, Priority};
use crate::limits::{
    BINANCE_OVERLAP_WAIT_MS, BINANCE_SNAPSHOT_LEVELS, BOOK_BEHIND_QUOTE_MS, RESEED_INTERVAL_MS,
    RESEED_URGENT_INTERVAL_MS, RESEED_URGENT_LEVELS, RESYNC_EVENTS_MAX, SNAPSHOT_AHEAD_EVENTS,
    SNAPSHOT_AHEAD_QUIET_LAST_MS, SNAPSHOT_AHEAD_QUIET_MS, SNAPSHOT_RETRY_FIRST_MS, SNAPSHOT_RETRY_LAST_MS,
    SNAPSHOT_UNREPRESENTABLE_RETRY_MS,
};
use crate::publisher::{Publisher, Stamp};
use crate::session::Link;
use crate::session::account::{DropReason, Outcome};
use crate::session::states::StreamState;
use codec::book::{Book, BookSide, snapshot_horizon};
use codec::record::{GapBody, Level, MISSED_UNKNOWN, flags};
use codec::time::{Now, ns_of_ms};
use codec::venues::binance::Depth;
use codec::venues::rest_binance::DepthSnapshot;
use codec::words::{Reason, State, Stream, Venue};

const STREAM: Stream = Stream::Orderbook;

/// No connection: the next event comes by another one than the last.
const NO_SOURCE: Link = Link::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// No subscription. The book of an earlier connection may still be continued.
    Cold,
    /// Events are buffered until a snapshot joins them.
    Joining,
    /// The book follows the chain.
    Live,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fetch {
    Idle,
    /// Wait until this monotonic time, then ask.
    Wait {
        until_mono_ns: u64,
    },
    Asked {
        token: u64,
    },
}

/// A snapshot that the book now wants: to be asked for under this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotWish {
    /// Comes back with the answer.
    pub token: u64,
    /// Place in the fetcher's queue.
    pub priority: Priority,
}

/// What a book needs to speak: where to publish, as whom, and the time.
pub struct BookContext<'a> {
    /// Records go here.
    pub publisher: &'a mut Publisher,
    /// Instrument number.
    pub instrument: u32,
    /// Connection the data came by.
    pub source: Link,
    /// Receive time and monotonic time.
    pub now: Now,
}

impl BookContext<'_> {
    fn gap(&mut self, reason: Reason, first_missed: u64, last_missed: u64) {
        let body = GapBody::new(reason, MISSED_UNKNOWN, first_missed, last_missed);
        self.publisher.gap(Venue::Binance, self.instrument, STREAM, &body, self.now);
    }
}

/// What happened to a book, for counters and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BookEvent {
    /// Nothing worth a word.
    Nothing,
    /// Joined a snapshot after this many attempts.
    Joined,
    /// Went on after a reconnect without a loss.
    Resumed,
    /// Lost its place for this reason.
    Lost(Reason),
    /// The snapshot was older than the buffered events.
    SnapshotTooOld,
    /// The stream does not reach the snapshot.
    SnapshotNeverReached,
    /// Re-seeded in the background.
    Reseeded,
    /// An event seen before.
    Duplicate,
}

/// What happened to the book, and what became of the depth event.
pub type Taken = (BookEvent, Outcome);

/// See the module.
#[derive(Debug)]
pub struct BookSync {
    book: Book,
    phase: Phase,
    /// `u` of the last event of the stream, applied or older than the snapshot; 0: none.
    chain_id: u64,
    /// The connection by which that event came.
    chain_source: Link,
    /// Events of the other connection that begin after the chain: of which, and since when (monotonic ns).
    ahead: EventBuffer,
    ahead_source: Link,
    ahead_since_mono_ns: u64,
    /// Update id at which the book stands.
    book_id: u64,
    /// Venue time of the last applied state, ms.
    book_ms: u64,
    events: EventBuffer,
    fetch: Fetch,
    attempts: u32,
    next_token: u64,
    /// A re-seed is under way: events are buffered although the book is live.
    reseeding: bool,
    /// A snapshot that is ahead of the stream, how many events came since without reaching it, at which id the
    /// stream stood before them, since when nothing came (monotonic ns), and how often it was asked for again.
    early_snapshot: Option<Box<DepthSnapshot>>,
    early_events: usize,
    early_from_id: u64,
    early_since_mono_ns: u64,
    early_asks: u32,
    /// When a snapshot was last joined or, for a re-seed, asked for.
    last_seed_mono_ns: u64,
    /// First quote id that the book has not reached, and since when.
    behind: Option<(u64, u64)>,
    /// The last quote id.
    quote_id: u64,
    served_before: bool,
    /// Somebody wants it: its first snapshot is not one among hundreds.
    wanted: bool,
    /// How urgently the request on its way was asked.
    asked_as: Priority,
    depth_wanted: usize,
    state: StreamState,
}

impl BookSync {
    /// An empty book that keeps `levels_max` a side and serves up to `depth_wanted`.
    #[must_use]
    pub fn new(levels_max: usize, depth_wanted: usize) -> Self {
        Self {
            book: Book::new(levels_max),
            phase: Phase::Cold,
            chain_id: 0,
            chain_source: NO_SOURCE,
            ahead: EventBuffer::default(),
            ahead_source: NO_SOURCE,
            ahead_since_mono_ns: 0,
            book_id: 0,
            book_ms: 0,
            events: EventBuffer::default(),
            fetch: Fetch::Idle,
            attempts: 0,
            next_token: 1,
            reseeding: false,
            early_snapshot: None,
            early_events: 0,
            early_from_id: 0,
            early_since_mono_ns: 0,
            early_asks: 0,
            last_seed_mono_ns: 0,
            behind: None,
            quote_id: 0,
            served_before: false,
            wanted: false,
            asked_as: Priority::Repair,
            depth_wanted,
            state: StreamState::new(),
        }
    }

    /// The stream's state.
    #[must_use]
    pub const fn state(&self) -> &StreamState {
        &self.state
    }

    /// The book, right only while [`Self::state`] is live.
    #[must_use]
    pub const fn book(&self) -> &Book {
        &self.book
    }

    /// Update id at which the book stands.
    #[must_use]
    pub const fn book_id(&self) -> u64 {
        self.book_id
    }

    /// Changes the state and tells it.
    pub fn set_state(&mut self, state: State, reason: Reason, cx: &mut BookContext<'_>) {
        self.state.set(cx.publisher, (Venue::Binance, cx.instrument, STREAM), (state, reason), cx.now);
    }

    /// Somebody wants this book, or no longer does. A first snapshot that waits among those of others is asked
    /// for again, urgently; the fetcher drops the request that waits.
    pub fn on_interest(&mut self, wanted: bool) {
        self.wanted = wanted;
        if wanted && self.asked_as == Priority::Seed && matches!(self.fetch, Fetch::Asked { .. }) {
            self.fetch = Fetch::Wait { until_mono_ns: 0 };
        }
    }

    /// The connection is gone. The book is kept: its chain may go on.
    pub fn on_link_lost(&mut self, reason: Reason, cx: &mut BookContext<'_>) {
        if self.phase == Phase::Joining {
            // What was being repaired is no state that a chain could continue.
            self.chain_id = 0;
        }
        self.phase = Phase::Cold;
        self.chain_source = NO_SOURCE;
        self.ahead.release();
        self.events.release();
        self.fetch = Fetch::Idle;
        self.reseeding = false;
        self.early_snapshot = None;
        self.behind = None;
        self.quote_id = 0;
        self.set_state(State::Down, reason, cx);
    }

    /// The connection is silent: what was live is stale.
    pub fn on_link_silent(&mut self, cx: &mut BookContext<'_>) {
        if self.state.is_live() {
            self.set_state(State::Stale, Reason::Silence, cx);
        } else if self.state.data_mono_ns == 0 {
            self.set_state(State::Down, Reason::NoFirstData, cx);
        }
    }

    /// A connection that was silent speaks again: TCP lost nothing, so the chain still holds.
    pub fn on_link_awake(&mut self, cx: &mut BookContext<'_>) {
        if self.phase == Phase::Live
            && self.state.state == State::Stale
            && self.state.reason == Reason::Silence
        {
            self.set_state(State::Live, Reason::None, cx);
        }
    }

    /// The subscription is sent or acknowledged: what is awaited now.
    pub fn on_subscribing(&mut self, reason: Reason, cx: &mut BookContext<'_>) {
        if self.phase == Phase::Cold && self.state.reason != Reason::NoFirstData {
            let state = if self.served_before { State::Resyncing } else { State::Warming };
            self.set_state(state, reason, cx);
        }
    }

    /// One depth event; `overlap`: another connection delivers the stream as well. The own book takes it
    /// first: a state that cannot be served is never published as live. (That costs a depth event some 50 ns
    /// a level before it is published; quotes do not wait for it.)
    pub fn on_depth(&mut self, depth: &Depth<'_>, overlap: bool, cx: &mut BookContext<'_>) -> Taken {
        self.state.touch(cx.now);
        if overlap && let Some(reason) = self.waits_for_other(depth, cx) {
            return (BookEvent::Nothing, Outcome::Dropped(reason));
        }
        let taken = self.take(depth, cx);
        if !self.ahead.is_empty() && self.phase == Phase::Live {
            self.take_ahead(cx);
        }
        taken
    }

    fn take(&mut self, depth: &Depth<'_>, cx: &mut BookContext<'_>) -> Taken {
        if depth.unrepresentable > 0 {
            if self.phase == Phase::Cold && self.served_before {
                cx.gap(Reason::Disconnect, self.first_missed(), depth.last_id);
            }
            let event = self.lose(Reason::Unrepresentable, self.first_missed(), depth.last_id, cx);
            return (event, Outcome::Dropped(DropReason::Unrepresentable));
        }
        match self.phase {
            Phase::Live => self.follow(depth, cx),
            Phase::Cold if self.chain_id != 0 && self.book_id != 0 && self.continues(depth, cx.source) => {
                self.phase = Phase::Live;
                // Whether it is live again is told by what the event leads to.
                match self.follow(depth, cx) {
                    (BookEvent::Nothing, outcome) => (BookEvent::Resumed, outcome),
                    taken => taken,
                }
            }
            Phase::Cold => {
                if self.served_before {
                    cx.gap(Reason::Disconnect, self.first_missed(), depth.prev_id);
                }
                self.start_joining();
                self.buffer(depth, cx)
            }
            Phase::Joining => self.buffer(depth, cx),
        }
    }

    /// Whether an event holds everything that came after the chain: see the module.
    #[inline]
    const fn continues(&self, depth: &Depth<'_>, source: u8) -> bool {
        let other = source != self.chain_source;
        depth.prev_id == self.chain_id
            || (other && depth.prev_id < self.chain_id && self.chain_id < depth.last_id)
    }

    /// Of two connections one is ahead: its event is kept until the other has closed the gap, or left to what
    /// the other brings. Answers with what became of it; `None`: it does not wait.
    fn waits_for_other(&mut self, depth: &Depth<'_>, cx: &BookContext<'_>) -> Option<DropReason> {
        let begins_later = self.chain_id != 0 && depth.prev_id > self.chain_id;
        if !begins_later || depth.unrepresentable > 0 {
            return None;
        }
        match self.phase {
            // The other one's events are being buffered: it brings the same changes, and this one is not kept.
            Phase::Joining => (cx.source != self.chain_source).then_some(DropReason::Duplicate),
            Phase::Cold => None,
            Phase::Live => {
                if self.ahead.is_empty() {
                    self.ahead_source = cx.source;
                    self.ahead_since_mono_ns = cx.now.mono_ns;
                }
                // What neither of them has is told when it has waited too long.
                if cx.source != self.ahead_source
                    || self.ahead.last_id().is_some_and(|last| depth.last_id <= last)
                {
                    return Some(DropReason::Duplicate);
                }
                self.ahead.push(depth).then_some(DropReason::Buffered)
            }
        }
    }

    /// What was ahead, as far as the chain has come to it.
    #[cold]
    fn take_ahead(&mut self, cx: &mut BookContext<'_>) {
        let ahead = core::mem::take(&mut self.ahead);
        let mut rest = EventBuffer::default();
        let source = core::mem::replace(&mut cx.source, self.ahead_source);
        ahead.for_each(|depth| {
            if self.phase == Phase::Live
                && (depth.last_id <= self.chain_id || self.continues(depth, cx.source))
            {
                self.follow(depth, cx);
            } else {
                // It came out of a buffer of the same size.
                let _ = rest.push(depth);
            }
        });
        cx.source = source;
        if self.phase == Phase::Live {
            self.ahead = rest;
        }
    }

    /// The other connection is gone, or does not close the gap: what waited for it has lost its place. `given_up`:
    /// it is that one which was ahead and is gone; what it brought the one that stays will bring, too.
    pub fn end_overlap(&mut self, given_up: Option<Link>, cx: &mut BookContext<'_>) {
        let ahead = core::mem::take(&mut self.ahead);
        if ahead.is_empty() || self.phase != Phase::Live || given_up == Some(self.ahead_source) {
            return;
        }
        let source = core::mem::replace(&mut cx.source, self.ahead_source);
        ahead.for_each(|depth| {
            self.take(depth, cx);
        });
        cx.source = source;
    }

    #[inline]
    fn follow(&mut self, depth: &Depth<'_>, cx: &mut BookContext<'_>) -> Taken {
        // One that ends before the book: it was joined in the belief that nothing lies there.
        if !self.continues(depth, cx.source) || depth.last_id < self.book_id {
            if depth.last_id <= self.chain_id {
                return (BookEvent::Duplicate, Outcome::Dropped(DropReason::Duplicate));
            }
            let last_missed = if depth.last_id < self.book_id { depth.last_id } else { depth.prev_id };
            let event = self.lose(Reason::SequenceBreak, self.first_missed(), last_missed, cx);
            let (_, outcome) = self.buffer(depth, cx);
            return (event, outcome);
        }
        self.chain_id = depth.last_id;
        self.chain_source = cx.source;
        if self.reseeding && !self.events.push(depth) {
            self.abandon_reseed();
        }
        self.book.apply(depth.bids, depth.asks, 0);
        self.book_id = depth.last_id;
        self.book_ms = depth.transaction_ms;
        if self.book.is_crossed() {
            return (self.lose(Reason::Crossed, 0, 0, cx), Outcome::Dropped(DropReason::Crossed));
        }
        if self.behind.is_some_and(|(id, _)| depth.last_id >= id) {
            self.behind = (self.quote_id > self.book_id).then_some((self.quote_id, cx.now.mono_ns));
        }
        if self.is_exhausted() {
            self.set_state(State::Resyncing, Reason::HorizonExhausted, cx);
        } else if !self.state.is_live() && !self.is_behind(cx.now) {
            self.set_state(State::Live, Reason::None, cx);
        }
        let stamp = self.stamp(cx.instrument, cx.source, cx.now);
        if cx.publisher.book_delta(&stamp, stamp.ts_event_ns, depth.bids, depth.asks).is_err() {
            let event = self.lose(Reason::Overflow, depth.first_id, depth.last_id, cx);
            return (event, Outcome::Dropped(DropReason::Overflow));
        }
        if self.early_snapshot.as_ref().is_some_and(|snapshot| snapshot.last_update_id <= self.chain_id) {
            return (self.finish_reseed(cx), Outcome::Published);
        }
        (BookEvent::Nothing, Outcome::Published)
    }

    /// The first update id after the chain; 0 where there is none.
    const fn first_missed(&self) -> u64 {
        if self.chain_id == 0 { 0 } else { self.chain_id.saturating_add(1) }
    }

    fn start_joining(&mut self) {
        self.phase = Phase::Joining;
        self.ahead.release();
        self.events.clear();
        self.fetch = Fetch::Idle;
        self.attempts = 0;
        self.early_asks = 0;
        self.abandon_reseed();
        self.behind = None;
    }

    fn abandon_reseed(&mut self) {
        if self.reseeding {
            self.reseeding = false;
            self.events.release();
            self.fetch = Fetch::Idle;
        }
        self.early_snapshot = None;
    }

    /// The book may be wrong from here on: say so, and begin again with what comes.
    fn lose(&mut self, reason: Reason, first: u64, last: u64, cx: &mut BookContext<'_>) -> BookEvent {
        let was_live = self.phase == Phase::Live;
        if was_live {
            cx.gap(reason, first, last);
        }
        if was_live || self.phase == Phase::Cold {
            self.start_joining();
        } else {
            self.events.clear();
        }
        let state = if reason == Reason::Unrepresentable { State::Stale } else { State::Resyncing };
        self.set_state(state, reason, cx);
        BookEvent::Lost(reason)
    }

    fn buffer(&mut self, depth: &Depth<'_>, cx: &mut BookContext<'_>) -> Taken {
        if self.events.last_id().is_some_and(|last| depth.last_id <= last) {
            return (BookEvent::Duplicate, Outcome::Dropped(DropReason::Duplicate));
        }
        if self.events.last_id().is_some() && !self.continues(depth, cx.source) {
            // A break inside the buffer: only what follows it can be joined.
            self.events.clear();
        }
        self.chain_id = depth.last_id;
        self.chain_source = cx.source;
        if !self.events.push(depth) {
            self.events.clear();
            // A snapshot under way may be older than what comes next; the join will tell.
            self.set_state(State::Resyncing, Reason::Overflow, cx);
            return (BookEvent::Lost(Reason::Overflow), Outcome::Dropped(DropReason::Overflow));
        }
        if self.early_snapshot.is_some() {
            let event = self.reach_snapshot(cx);
            let outcome = match event {
                BookEvent::Joined => Outcome::Published,
                _ => Outcome::Dropped(DropReason::Buffered),
            };
            return (event, outcome);
        }
        if self.fetch == Fetch::Idle {
            self.fetch = Fetch::Wait { until_mono_ns: 0 };
            if self.state.reason != Reason::Unrepresentable {
                let state = if self.served_before { State::Resyncing } else { State::Warming };
                let reason = match self.state.reason {
                    lost @ (Reason::SequenceBreak | Reason::Crossed | Reason::Overflow) => lost,
                    _ => Reason::AwaitingSnapshot,
                };
                self.set_state(state, reason, cx);
            }
        }
        (BookEvent::Nothing, Outcome::Dropped(DropReason::Buffered))
    }

    /// One more event was buffered while a snapshot waits for the stream.
    #[cold]
    fn reach_snapshot(&mut self, cx: &mut BookContext<'_>) -> BookEvent {
        let Some(snapshot) = self.early_snapshot.take() else { return BookEvent::Nothing };
        if snapshot.last_update_id <= self.chain_id {
            return self.join(snapshot, cx);
        }
        self.early_events += 1;
        self.early_since_mono_ns = cx.now.mono_ns;
        if self.early_events.is_multiple_of(SNAPSHOT_AHEAD_EVENTS) && !self.gets_to(snapshot.last_update_id) {
            self.retry_later(None, cx.now);
            return BookEvent::SnapshotNeverReached;
        }
        self.early_snapshot = Some(snapshot);
        BookEvent::Nothing
    }

    /// Whether the stream, at the pace it had since the snapshot came, gets to its id before the buffer is full: one
    /// that lags by seconds does, one of another environment does not.
    fn gets_to(&self, snapshot_id: u64) -> bool {
        let left = u128::from(snapshot_id.saturating_sub(self.chain_id));
        let covered = u128::from(self.chain_id.saturating_sub(self.early_from_id));
        let more_events = RESYNC_EVENTS_MAX.saturating_sub(self.early_events);
        left * self.early_events as u128 <= covered * more_events as u128
    }

    /// Whether a snapshot waits and nothing has come for so long that a second one is to be held against it.
    fn waits_in_silence(&self, now: Now) -> bool {
        let pause_ms = (SNAPSHOT_AHEAD_QUIET_MS << self.early_asks.min(8)).min(SNAPSHOT_AHEAD_QUIET_LAST_MS);
        self.phase == Phase::Joining
            && self.early_snapshot.is_some()
            && now.mono_ns.saturating_sub(self.early_since_mono_ns) >= ns_of_ms(pause_ms)
    }

    /// A quote carries this update id: a book that does not reach it in time is stale.
    #[inline]
    pub fn on_quote_id(&mut self, update_id: u64, mono_ns: u64) {
        // Of two connections the slower one tells what is known already.
        self.quote_id = self.quote_id.max(update_id);
        if self.phase == Phase::Live && self.behind.is_none() && update_id > self.book_id {
            self.behind = Some((update_id, mono_ns));
        }
    }

    /// Time passed. Answers with a snapshot to ask for, if one is wanted now.
    pub fn on_tick(&mut self, cx: &mut BookContext<'_>) -> Option<SnapshotWish> {
        let now = cx.now;
        if self.state.is_live() && self.is_behind(now) {
            self.set_state(State::Stale, Reason::BehindQuote, cx);
        }
        let waited_ns = now.mono_ns.saturating_sub(self.ahead_since_mono_ns);
        if !self.ahead.is_empty() && waited_ns > ns_of_ms(BINANCE_OVERLAP_WAIT_MS) {
            self.end_overlap(None, cx);
        }
        if self.wants_reseed(now) {
            self.reseeding = true;
            self.last_seed_mono_ns = now.mono_ns;
            self.events.clear();
            self.fetch = Fetch::Wait { until_mono_ns: 0 };
        }
        if self.fetch == Fetch::Idle && self.waits_in_silence(now) {
            self.fetch = Fetch::Wait { until_mono_ns: 0 };
        }
        match self.fetch {
            Fetch::Wait { until_mono_ns } if now.mono_ns >= until_mono_ns => {
                let token = self.next_token;
                self.next_token += 1;
                self.fetch = Fetch::Asked { token };
                self.asked_as = self.urgency();
                Some(SnapshotWish { token, priority: self.asked_as })
            }
            _ => None,
        }
    }

    fn urgency(&self) -> Priority {
        match self.reseeding {
            true if self.is_short_of(RESEED_URGENT_LEVELS) => Priority::Repair,
            true => Priority::Background,
            false if self.served_before || self.wanted => Priority::Repair,
            false => Priority::Seed,
        }
    }

    /// Whether a side that ends at a horizon has fewer levels than this inside it.
    fn is_short_of(&self, levels: usize) -> bool {
        let short = |side: &BookSide<Level>| side.horizon().is_some() && side.len() < levels;
        short(&self.book.bids) || short(&self.book.asks)
    }

    /// Whether the venue's quote has been ahead of the book for too long.
    fn is_behind(&self, now: Now) -> bool {
        let limit_ns = ns_of_ms(BOOK_BEHIND_QUOTE_MS);
        self.behind.is_some_and(|(_, since)| now.mono_ns.saturating_sub(since) > limit_ns)
    }

    /// Whether the market has left what is known of a side: the best price is beyond the horizon then.
    fn is_exhausted(&self) -> bool {
        self.is_short_of(1)
    }

    /// Whether the horizon has come so near that fewer than half the levels to be served are known.
    fn wants_reseed(&self, now: Now) -> bool {
        if self.phase != Phase::Live || self.reseeding {
            return false;
        }
        let interval_ms = if self.is_short_of(RESEED_URGENT_LEVELS) {
            RESEED_URGENT_INTERVAL_MS
        } else {
            RESEED_INTERVAL_MS
        };
        let due = now.mono_ns.saturating_sub(self.last_seed_mono_ns) >= interval_ms * 1_000_000;
        due && self
            .is_short_of((self.depth_wanted.min(BINANCE_SNAPSHOT_LEVELS) / 2).max(RESEED_URGENT_LEVELS))
    }

    fn retry_later(&mut self, delay_ms: Option<u64>, now: Now) {
        let step = (SNAPSHOT_RETRY_FIRST_MS << self.attempts.min(8)).min(SNAPSHOT_RETRY_LAST_MS);
        self.attempts += 1;
        let delay_ms = delay_ms.unwrap_or(step);
        self.fetch = Fetch::Wait { until_mono_ns: now.after_ms(delay_ms) };
    }

    /// The snapshot could not be had.
    pub fn on_snapshot_failed(&mut self, token: u64, error: &FetchError, now: Now) {
        if self.fetch != (Fetch::Asked { token }) {
            return;
        }
        if self.reseeding {
            self.abandon_reseed();
            return;
        }
        let delay_ms = match error {
            FetchError::RateLimited { retry_after_ms } => Some(*retry_after_ms),
            FetchError::Permanent { .. } => Some(SNAPSHOT_RETRY_LAST_MS),
            FetchError::Transient(_) | FetchError::Overflow => None,
        };
        self.retry_later(delay_ms, now);
    }

    /// A snapshot came.
    pub fn on_snapshot(
        &mut self,
        token: u64,
        snapshot: DepthSnapshot,
        cx: &mut BookContext<'_>,
    ) -> BookEvent {
        if self.fetch != (Fetch::Asked { token }) {
            return BookEvent::Nothing;
        }
        self.fetch = Fetch::Idle;
        if snapshot.unrepresentable > 0 {
            if self.reseeding {
                self.abandon_reseed();
            } else {
                self.set_state(State::Stale, Reason::Unrepresentable, cx);
                self.retry_later(Some(SNAPSHOT_UNREPRESENTABLE_RETRY_MS), cx.now);
            }
            return BookEvent::Lost(Reason::Unrepresentable);
        }
        if self.reseeding {
            self.early_snapshot = Some(Box::new(snapshot));
            return self.finish_reseed(cx);
        }
        if self.phase == Phase::Joining { self.join(Box::new(snapshot), cx) } else { BookEvent::Nothing }
    }

    fn join(&mut self, snapshot: Box<DepthSnapshot>, cx: &mut BookContext<'_>) -> BookEvent {
        let Some(tail) = self.events.last_id() else {
            // Everything buffered was lost meanwhile; the next event asks again.
            return BookEvent::Nothing;
        };
        if self
            .events
            .first_prev_id(snapshot.last_update_id)
            .is_some_and(|prev| prev > snapshot.last_update_id)
        {
            self.retry_later(None, cx.now);
            return BookEvent::SnapshotTooOld;
        }
        if snapshot.last_update_id > tail {
            let was_silent = self.waits_in_silence(cx.now);
            let is_same = |earlier: &DepthSnapshot| {
                was_silent && earlier.bids == snapshot.bids && earlier.asks == snapshot.asks
            };
            let same = self.early_snapshot.take().is_some_and(|earlier| is_same(&earlier));
            let complete = if same { self.has_said(&snapshot, tail) } else { Some(false) };
            if complete != Some(true) {
                let owes = was_silent && complete == Some(false);
                return self.wait_for_stream(snapshot, tail, (was_silent, owes), cx);
            }
        }
        self.early_snapshot = None;
        let (book_id, book_ms, crossed) = load_and_apply(&mut self.book, &snapshot, &self.events);
        if crossed {
            self.retry_later(None, cx.now);
            self.set_state(State::Resyncing, Reason::Crossed, cx);
            return BookEvent::Lost(Reason::Crossed);
        }
        (self.book_id, self.book_ms, self.chain_id) = (book_id, book_ms, tail);
        self.events.release();
        self.phase = Phase::Live;
        // A second snapshot may be on its way.
        self.fetch = Fetch::Idle;
        self.attempts = 0;
        self.early_asks = 0;
        self.served_before = true;
        self.last_seed_mono_ns = cx.now.mono_ns;
        self.set_state(State::Live, Reason::None, cx);
        self.publish_whole(cx)
    }

    /// Whether the stream owes nothing up to this snapshot: no quote is newer than the stream's events, and the
    /// snapshot holds what they last said. `None`: nothing tells.
    fn has_said(&self, snapshot: &DepthSnapshot, tail: u64) -> Option<bool> {
        let mut book = Book::new(self.book.bids.capacity());
        load_and_apply(&mut book, snapshot, &EventBuffer::default());
        if self.quote_id > tail {
            return Some(false);
        }
        self.events.agrees_with(&book)
    }

    /// A snapshot is ahead of the stream: it waits. `owes`: the stream has been silent although there is something
    /// to say.
    fn wait_for_stream(
        &mut self,
        snapshot: Box<DepthSnapshot>,
        tail: u64,
        (was_silent, owes): (bool, bool),
        cx: &mut BookContext<'_>,
    ) -> BookEvent {
        self.early_events = 0;
        self.early_from_id = tail;
        self.early_since_mono_ns = cx.now.mono_ns;
        self.early_snapshot = Some(snapshot);
        if !was_silent {
            return BookEvent::Nothing;
        }
        self.early_asks += 1;
        if owes {
            // The stream may be dead: it is looked after like any that falls silent.
            self.set_state(State::Stale, Reason::Silence, cx);
        }
        BookEvent::SnapshotNeverReached
    }

    fn publish_whole(&mut self, cx: &mut BookContext<'_>) -> BookEvent {
        match cx.publisher.book_snapshot(&self.stamp(cx.instrument, cx.source, cx.now), &self.book) {
            Ok(()) => BookEvent::Joined,
            Err(_) => self.lose(Reason::Overflow, 0, 0, cx),
        }
    }

    /// Where the book stands, as a stamp.
    #[must_use]
    pub fn stamp(&self, instrument: u32, source: u8, now: Now) -> Stamp {
        Stamp {
            venue: Venue::Binance,
            instrument,
            source,
            flags: if self.state.is_live() { 0 } else { flags::SUSPECT },
            venue_sequence: self.book_id,
            ts_event_ns: ns_of_ms(self.book_ms),
            ts_recv_ns: now.wall_ns,
        }
    }

    /// Joins the re-seed's snapshot with the events since it was asked for, once the stream has reached it.
    fn finish_reseed(&mut self, cx: &mut BookContext<'_>) -> BookEvent {
        let Some(snapshot) = self.early_snapshot.take() else { return BookEvent::Nothing };
        if snapshot.last_update_id > self.chain_id {
            self.early_snapshot = Some(snapshot);
            return BookEvent::Nothing;
        }
        let joins = match self.events.first_prev_id(snapshot.last_update_id) {
            Some(prev) => prev <= snapshot.last_update_id,
            // Nothing happened since: the snapshot must then stand exactly where the book stands.
            None => snapshot.last_update_id == self.chain_id,
        };
        if !joins {
            self.abandon_reseed();
            return BookEvent::SnapshotTooOld;
        }
        let mut fresh = Book::new(self.book.bids.capacity());
        let (.., crossed) = load_and_apply(&mut fresh, &snapshot, &self.events);
        self.abandon_reseed();
        if crossed {
            return BookEvent::Nothing;
        }
        self.book = fresh;
        if !self.state.is_live() && !self.is_behind(cx.now) {
            self.set_state(State::Live, Reason::None, cx);
        }
        match self.publish_whole(cx) {
            BookEvent::Joined => BookEvent::Reseeded,
            other => other,
        }
    }
}

/// Loads a snapshot, applies the buffered events not older than it; answers with id and venue time reached, and
/// whether the book was crossed anywhere on the way: the level that did it may stand when that is over.
fn load_and_apply(book: &mut Book, snapshot: &DepthSnapshot, events: &EventBuffer) -> (u64, u64, bool) {
    let limit = BINANCE_SNAPSHOT_LEVELS;
    book.load(
        &snapshot.bids,
        &snapshot.asks,
        snapshot_horizon(&snapshot.bids, limit, -1),
        snapshot_horizon(&snapshot.asks, limit, 1),
        0,
    );
    let mut reached = (snapshot.last_update_id, snapshot.transaction_ms, book.is_crossed());
    events.for_each_from(
        snapshot.last_update_id,
        |last_id, transaction_ms, bids: &[Level], asks: &[Level]| {
            book.apply(bids, asks, 0);
            reached = (last_id, transaction_ms, reached.2 || book.is_crossed());
        },
    );
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publisher::Outlet;
    use codec::record::InstrumentBody;
    use codec::words::{InstrumentKind, InstrumentStatus};

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

    #[test]
    fn of_two_connections_only_what_is_kept_is_called_buffered() {
        let (producer, _consumer) = codec::ring::ring(0);
        let mut publisher = Publisher::new(1, vec![Outlet::all("ipc", producer)]);
        let body = InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "BTC", "BTC", "USDC");
        let instrument = publisher.define(Venue::Binance, body.unwrap(), Now::default());
        let mut book = BookSync::new(16, 10);
        for (source, prev_id, last_id, reason, kept) in [
            (0, 0, 10, DropReason::Buffered, 10),
            // It is ahead while the other one's events are collected.
            (1, 20, 30, DropReason::Duplicate, 10),
            (0, 10, 20, DropReason::Buffered, 20),
            (1, 20, 30, DropReason::Buffered, 30),
            (0, 20, 25, DropReason::Duplicate, 30),
        ] {
            let mut cx = BookContext { publisher: &mut publisher, instrument, source, now: Now::default() };
            let (_, outcome) = book.on_depth(&event(prev_id, last_id), true, &mut cx);
            assert_eq!(outcome, Outcome::Dropped(reason), "{source} {last_id}");
            assert_eq!(book.events.last_id(), Some(kept), "{source} {last_id}");
        }
    }
}
