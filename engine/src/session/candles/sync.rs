//! One candle stream of one interval.
//!
//! ```text
//!            frame of the open period          its period is over and known
//!   Open ◀──────────────┐   Open ───────────────────────────────────────────▶ closed, next one Open
//!    └──────────────────┘    │ over, but what it came to is not known
//!                            ▼
//!                         Waiting: frames of later periods are held, REST is asked
//!                            │ the closing frame, REST, or ten seconds
//!                            └──────────────────────────────▶ closed with the best known, unconfirmed
//! ```
//! "Known" is the venue's closing frame where it marks one. Where it does not, the last frame is, if the
//! connection lasted beyond the end, made whole by own trades; it is unconfirmed until REST agrees.
//! An unconfirmed close that REST contradicts is said again as revised. A period of which nothing came is
//! flat. Several periods missed are closed in order, before the first frame after them is shown.

use super::own_trades::{OwnTrades, Seen};
use super::{CandleContext, Saying};
use crate::fetch::{FetchError, Priority};
use crate::limits::{
    CANDLE_CONFIRM_AFTER_MS, CANDLE_FILL_PERIODS_MAX, CANDLE_GRACE_MS, CANDLE_HOLD_MS, CANDLE_MATURE_MS,
    CANDLE_OWN_TRADES_WAIT_MS, CANDLE_RECENT_MAX, CANDLE_RECENT_MIN, CANDLE_REFUSED_MS,
    CANDLE_RETRY_FIRST_MS, CANDLE_RETRY_LAST_MS, CANDLE_ROWS_PER_REQUEST, CANDLE_VAIN_ANSWERS_MAX,
    VENUE_CLOCK_STEP_MS,
};
use crate::session::account::{DropReason, Outcome};
use codec::candle::{Candle, CandleRow};
use codec::decimal::Price;
use codec::words::{Interval, Reason};
use std::collections::VecDeque;

/// How a venue ends a candle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finality {
    /// By a frame that says so.
    Marked,
    /// Not at all.
    Unmarked,
}

/// Candles to be asked of REST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Comes back with the answer.
    pub token: u64,
    /// Start of the first one wanted, ms.
    pub start_ms: u64,
    /// Start of the last one wanted, at most, ms.
    pub end_ms: u64,
    /// Rows at most.
    pub limit: u32,
    /// Place in the queue.
    pub priority: Priority,
}

/// What is known of a period that is not closed.
#[derive(Clone, Copy, Debug)]
struct Known {
    candle: Candle,
    end_ms: u64,
    /// The connection it came by: a loss since then makes it doubtful.
    generation: u32,
    closed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Closed {
    candle: Candle,
    end_ms: u64,
    confirmed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct CandleSync {
    interval: Interval,
    finality: Finality,
    /// Start of the period to be closed next; `None`: nothing known yet.
    next_ms: Option<u64>,
    last_close: Option<Price>,
    /// Of the period `next_ms`.
    open: Option<Known>,
    /// The newest frame of a later period, and since when it waits.
    held: Option<(Known, u64)>,
    /// The newest closed ones, oldest first.
    recent: VecDeque<Closed>,
    unconfirmed: usize,
    subscribed: bool,
    generation: u32,
    /// Since this venue time nothing was missed, if `subscribed`.
    whole_from_ms: u64,
    /// The last frame's time, where frames have one.
    event_ms: u64,
    /// Up to this period what was missed has been told.
    told_missed_ms: u64,
    /// The request under way, and the venue's time when it was wished for: its answer is no newer than that.
    asked: Option<(u64, u64)>,
    next_token: u64,
    not_before_mono_ns: u64,
    retries: u32,
    vain_answers: u32,
    /// Corrections said.
    pub revisions: u64,
    /// Closes that REST never confirmed.
    pub given_up: u64,
}

enum Verdict {
    Wait,
    Close { candle: Candle, end_ms: u64, confirmed: bool },
}

impl CandleSync {
    /// Nothing known yet.
    #[must_use]
    pub fn new(interval: Interval, finality: Finality) -> Self {
        Self {
            interval,
            finality,
            next_ms: None,
            last_close: None,
            open: None,
            held: None,
            recent: VecDeque::with_capacity(2 * CANDLE_RECENT_MIN),
            unconfirmed: 0,
            subscribed: false,
            generation: 0,
            whole_from_ms: u64::MAX,
            event_ms: 0,
            told_missed_ms: 0,
            asked: None,
            next_token: 0,
            not_before_mono_ns: 0,
            retries: 0,
            vain_answers: 0,
            revisions: 0,
            given_up: 0,
        }
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Interval {
        self.interval
    }

    /// Start of the period that will be closed next, if anything is known.
    #[must_use]
    pub const fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// Subscribed, when the venue's clock stood at `venue_ms`.
    pub const fn on_subscribed(&mut self, venue_ms: u64) {
        if !self.subscribed {
            self.subscribed = true;
            self.whole_from_ms = venue_ms;
            // What was missed is wanted within seconds now; the fetcher keeps to the venue's limits.
            self.not_before_mono_ns = 0;
            self.retries = 0;
        }
    }

    /// The connection is gone.
    pub const fn on_link_lost(&mut self) {
        self.subscribed = false;
        self.generation = self.generation.wrapping_add(1);
        self.event_ms = 0;
    }

    /// A frame: `closed` if it says that it is final, `event_ms` its own time or 0.
    pub fn on_frame(
        &mut self,
        row: &CandleRow,
        closed: bool,
        event_ms: u64,
        own: Option<&OwnTrades>,
        cx: &mut CandleContext<'_>,
    ) -> Outcome {
        let Some(candle) = row.candle else {
            // Its period is closed with what REST, or the frame before, says of it.
            cx.gap(Reason::Unrepresentable, 1);
            return Outcome::Dropped(DropReason::Unrepresentable);
        };
        if !self.is_sane(row, cx) {
            cx.gap(Reason::Malformed, 1);
            return Outcome::Dropped(DropReason::Implausible);
        }
        let next_ms = *self.next_ms.get_or_insert(row.start_ms);
        let frame = Known { candle, end_ms: self.last_ms(row), generation: self.generation, closed };
        if row.start_ms < next_ms {
            return self.on_late(&frame, cx);
        }
        if event_ms < self.event_ms && !closed && self.event_ms <= cx.venue_ms + VENUE_CLOCK_STEP_MS {
            // By the other connection of a rotation.
            return Outcome::Dropped(DropReason::Late);
        }
        self.event_ms = event_ms;
        if row.start_ms > next_ms
            && let Some((held, _)) = self.held
            && held.candle.start_ms < row.start_ms
        {
            // A second period has gone by: nothing waits that long.
            self.settle(own, true, cx);
        }
        let is_held = self.next_ms != Some(row.start_ms);
        let outcome = if is_held {
            let since = self.held.map_or(cx.now.mono_ns, |(_, since)| since);
            self.held = Some((frame, since));
            Outcome::Dropped(DropReason::Buffered)
        } else {
            self.on_open(frame, cx)
        };
        self.settle(own, false, cx);
        // What was held is shown at once where everything before it could be closed.
        if is_held && self.held.is_none() { Outcome::Published } else { outcome }
    }

    /// Whether a row can be of this interval, and not of a time that has not come.
    fn is_sane(&self, row: &CandleRow, cx: &CandleContext<'_>) -> bool {
        let aligned = !self.interval.is_aligned() || self.interval.start_ms_of(row.start_ms) == row.start_ms;
        let ahead_ms = VENUE_CLOCK_STEP_MS + self.interval.length_ms().unwrap_or(0);
        aligned && row.start_ms <= row.end_ms && row.start_ms <= cx.venue_ms.saturating_add(ahead_ms)
    }

    /// Last millisecond of a row's period: where periods begin at the venue's choice, its word for it.
    fn last_ms(&self, row: &CandleRow) -> u64 {
        if self.interval.is_aligned() {
            self.interval.next_start_ms(row.start_ms) - 1
        } else {
            row.end_ms.min(self.interval.next_start_ms(row.start_ms))
        }
    }

    /// A frame of the period that is open.
    fn on_open(&mut self, frame: Known, cx: &mut CandleContext<'_>) -> Outcome {
        let changed = self.open.is_none_or(|open| open.candle != frame.candle);
        self.open = Some(frame);
        if frame.closed {
            self.close(frame.candle, frame.end_ms, true, cx);
        } else if changed {
            cx.say(self.interval, &frame.candle, Saying::Open);
        } else {
            return Outcome::Dropped(DropReason::Unchanged);
        }
        Outcome::Published
    }

    /// A frame of a period that is closed already.
    fn on_late(&mut self, frame: &Known, cx: &mut CandleContext<'_>) -> Outcome {
        let Some(place) = self.recent.iter().position(|one| one.candle.start_ms == frame.candle.start_ms)
        else {
            return Outcome::Dropped(DropReason::Late);
        };
        let known = self.recent[place];
        let better = match self.finality {
            Finality::Marked => frame.closed,
            // What was said only grows.
            Finality::Unmarked => frame.candle.volume > known.candle.volume,
        };
        if !known.confirmed && better {
            return self.correct(place, &frame.candle, frame.closed, cx);
        }
        Outcome::Dropped(if known.candle == frame.candle { DropReason::Unchanged } else { DropReason::Late })
    }

    /// History knows this closed candle: what follows is said here.
    pub fn on_seed(&mut self, last: &Candle, own: Option<&OwnTrades>, cx: &mut CandleContext<'_>) {
        let after_ms = self.interval.next_start_ms(last.start_ms);
        if self.next_ms.is_none() {
            self.next_ms = Some(after_ms);
            self.last_close = Some(last.close);
        } else if self.next_ms == Some(last.start_ms) && after_ms <= cx.venue_ms {
            self.close(*last, after_ms - 1, true, cx);
        }
        self.settle(own, false, cx);
    }

    /// REST answered with rows, oldest first.
    pub fn on_rows(
        &mut self,
        token: u64,
        rows: &[CandleRow],
        own: Option<&OwnTrades>,
        cx: &mut CandleContext<'_>,
    ) {
        let Some((_, asked_ms)) = self.asked.take_if(|(asked, _)| *asked == token) else { return };
        let before = (self.next_ms, self.unconfirmed);
        for row in rows.iter().filter(|row| row.start_ms <= row.end_ms) {
            let end_ms = self.last_ms(row);
            let over = end_ms.saturating_add(CANDLE_MATURE_MS) <= asked_ms;
            let Some(next_ms) = self.next_ms.filter(|_| over) else { break };
            let settled = self.is_settled(end_ms, asked_ms);
            if row.start_ms < next_ms {
                self.confirm(row, settled, cx);
                continue;
            }
            let Some(candle) = row.candle else { continue };
            self.skip_empty(row.start_ms, cx);
            if self.next_ms == Some(row.start_ms) {
                self.close(candle, end_ms, settled, cx);
                self.release(cx);
            }
        }
        self.accept_omissions(rows);
        self.settle(own, false, cx);
        if before == (self.next_ms, self.unconfirmed) {
            self.on_vain_answer(cx);
        } else {
            (self.retries, self.vain_answers) = (0, 0);
        }
    }

    /// Whether a REST row of a period that ended then is final, as the venue stood at `asked_ms`.
    fn is_settled(&self, end_ms: u64, asked_ms: u64) -> bool {
        self.finality == Finality::Marked || end_ms.saturating_add(CANDLE_CONFIRM_AFTER_MS) <= asked_ms
    }

    /// The venue leaves out periods without trades when it has later ones: those are flat.
    fn skip_empty(&mut self, until_ms: u64, cx: &mut CandleContext<'_>) {
        while let (Some(next_ms), Some(price)) = (self.next_ms, self.last_close)
            && next_ms < until_ms
            && self.open.is_none_or(|open| open.candle.num_trades == 0)
        {
            let end_ms = self.interval.next_start_ms(next_ms) - 1;
            self.close(Candle::flat(next_ms, price), end_ms, true, cx);
        }
    }

    /// Flat ones that the venue has no row for are as they should be.
    fn accept_omissions(&mut self, rows: &[CandleRow]) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return };
        for one in &mut self.recent {
            let start_ms = one.candle.start_ms;
            let asked_for = first.start_ms < start_ms && start_ms < last.start_ms;
            if !one.confirmed && asked_for && one.candle.num_trades == 0 {
                one.confirmed = true;
                self.unconfirmed -= 1;
            }
        }
    }

    /// REST did not answer.
    pub fn on_failed(&mut self, token: u64, error: &FetchError, cx: &mut CandleContext<'_>) {
        if self.asked.take_if(|(asked, _)| *asked == token).is_none() {
            return;
        }
        match error {
            FetchError::RateLimited { retry_after_ms } => {
                self.not_before_mono_ns = cx.now.after_ms(*retry_after_ms);
            }
            // Refusals and outages say nothing about the candles: they are asked for as long as it takes.
            FetchError::Permanent { .. } => self.not_before_mono_ns = cx.now.after_ms(CANDLE_REFUSED_MS),
            FetchError::Transient(_) | FetchError::Overflow => self.retry_later(cx),
        }
    }

    fn retry_later(&mut self, cx: &CandleContext<'_>) {
        let step_ms = (CANDLE_RETRY_FIRST_MS << self.retries.min(8)).min(CANDLE_RETRY_LAST_MS);
        self.retries += 1;
        self.not_before_mono_ns = cx.now.after_ms(step_ms);
    }

    /// An answer that changed nothing. After some the venue has nothing to say about what is not confirmed.
    fn on_vain_answer(&mut self, cx: &CandleContext<'_>) {
        self.retry_later(cx);
        self.vain_answers += 1;
        if self.vain_answers >= CANDLE_VAIN_ANSWERS_MAX && self.unconfirmed > 0 && !self.is_waiting(cx) {
            self.given_up += self.unconfirmed as u64;
            self.recent.iter_mut().for_each(|one| one.confirmed = true);
            self.unconfirmed = 0;
            (self.retries, self.vain_answers) = (0, 0);
        }
    }

    /// Time passed. Answers with candles to ask for, if any are wanted now; `asked_for`: somebody wants this
    /// series.
    pub fn on_tick(
        &mut self,
        asked_for: bool,
        own: Option<&OwnTrades>,
        cx: &mut CandleContext<'_>,
    ) -> Option<Wish> {
        let next_ms = self.next_ms?;
        if self.held.is_some() || cx.venue_ms > self.end_ms(next_ms) {
            self.settle(own, false, cx);
        }
        if self.asked.is_some() || cx.now.mono_ns < self.not_before_mono_ns {
            return None;
        }
        let next_ms = self.next_ms?;
        let (start_ms, priority) = if self.wants_close(cx) {
            (next_ms, if asked_for { Priority::Repair } else { Priority::Asked })
        } else if self.wants_confirmation(cx) {
            (next_ms, if asked_for { Priority::Asked } else { Priority::Background })
        } else {
            return None;
        };
        // What was confirmed a moment ago comes along: venues correct late.
        let oldest = self.recent.iter().position(|one| !one.confirmed).unwrap_or(self.recent.len());
        let from = oldest.saturating_sub(CANDLE_RECENT_MIN / 2);
        let start_ms = self.recent.get(from).map_or(start_ms, |one| one.candle.start_ms.min(start_ms));
        self.next_token += 1;
        self.asked = Some((self.next_token, cx.venue_ms));
        let limit = CANDLE_ROWS_PER_REQUEST;
        let span_ms =
            self.interval.length_ms().map_or(u64::MAX, |length_ms| length_ms * u64::from(limit - 1));
        let end_ms = cx.venue_ms.min(start_ms.saturating_add(span_ms));
        Some(Wish { token: self.next_token, start_ms, end_ms, limit, priority })
    }

    /// Whether the open period is over and only REST can say what it came to.
    fn wants_close(&self, cx: &CandleContext<'_>) -> bool {
        let Some(next_ms) = self.next_ms else { return false };
        let since_end_ms = cx.venue_ms.saturating_sub(self.end_ms(next_ms));
        match self.finality {
            Finality::Marked => {
                let held_ms =
                    self.held.map_or(0, |(_, since)| cx.now.mono_ns.saturating_sub(since) / 1_000_000);
                since_end_ms > CANDLE_GRACE_MS || held_ms > CANDLE_MATURE_MS
            }
            Finality::Unmarked => {
                (self.held.is_some() || since_end_ms > CANDLE_GRACE_MS) && !self.is_whole(next_ms)
            }
        }
    }

    fn wants_confirmation(&self, cx: &CandleContext<'_>) -> bool {
        let oldest = self.recent.iter().find(|one| !one.confirmed);
        oldest.is_some_and(|one| one.end_ms + CANDLE_CONFIRM_AFTER_MS <= cx.venue_ms)
    }

    /// Whether some period is over and not closed yet.
    fn is_waiting(&self, cx: &CandleContext<'_>) -> bool {
        self.held.is_some() || self.next_ms.is_some_and(|next_ms| cx.venue_ms > self.end_ms(next_ms))
    }

    /// Last millisecond of the period that is open.
    fn end_ms(&self, next_ms: u64) -> u64 {
        self.open.map_or_else(|| self.interval.next_start_ms(next_ms) - 1, |open| open.end_ms)
    }

    /// Whether everything that was sent of this period has come.
    fn is_whole(&self, next_ms: u64) -> bool {
        let unbroken = self.open.is_some_and(|open| open.generation == self.generation);
        self.subscribed && (unbroken || self.whole_from_ms <= next_ms)
    }

    /// Closes what can be closed, in order. `forced`: everything before what is held.
    fn settle(&mut self, own: Option<&OwnTrades>, forced: bool, cx: &mut CandleContext<'_>) {
        self.release(cx);
        for _ in 0..CANDLE_FILL_PERIODS_MAX {
            let Some(next_ms) = self.next_ms else { return };
            // What is held is of a later period than the open one, always.
            let before_held = self.held.is_some();
            match self.verdict(next_ms, own, forced && before_held, cx) {
                Verdict::Wait => return,
                Verdict::Close { candle, end_ms, confirmed } => self.close(candle, end_ms, confirmed, cx),
            }
            self.release(cx);
        }
        self.give_up_the_past(cx);
    }

    fn verdict(
        &mut self,
        next_ms: u64,
        own: Option<&OwnTrades>,
        forced: bool,
        cx: &mut CandleContext<'_>,
    ) -> Verdict {
        let end_ms = self.end_ms(next_ms);
        let since_end_ms = cx.venue_ms.saturating_sub(end_ms);
        let held_ms = self.held.map(|(_, since)| cx.now.mono_ns.saturating_sub(since) / 1_000_000);
        if held_ms.is_none() && since_end_ms <= CANDLE_GRACE_MS {
            return Verdict::Wait;
        }
        // Without anything that waits for it, a close waits for the connection or REST.
        let overdue = match held_ms {
            Some(held_ms) => held_ms >= CANDLE_HOLD_MS,
            None => self.subscribed && since_end_ms >= CANDLE_GRACE_MS + CANDLE_HOLD_MS,
        };
        let forced = forced || overdue;
        let best = self.open.map(|open| open.candle);
        let flat = self.last_close.map(|price| Candle::flat(next_ms, price));
        if self.finality == Finality::Unmarked {
            let seen = own.map_or(Seen::InPart, |own| own.of(self.interval, next_ms, end_ms));
            let waited_ms = held_ms.unwrap_or(since_end_ms - CANDLE_GRACE_MS.min(since_end_ms));
            match seen {
                Seen::Whole(bar) => {
                    if let Some(candle) = better(best, bar).or(flat) {
                        return Verdict::Close { candle, end_ms, confirmed: false };
                    }
                }
                // The trades of its last moments may still come.
                Seen::SoFar if waited_ms < CANDLE_OWN_TRADES_WAIT_MS && !forced => return Verdict::Wait,
                Seen::SoFar | Seen::InPart => {}
            }
            if self.is_whole(next_ms)
                && let Some(candle) = best.or(flat)
            {
                return Verdict::Close { candle, end_ms, confirmed: false };
            }
        }
        match best.or(flat) {
            Some(candle) if forced => {
                if best.is_none() && !self.is_whole(next_ms) {
                    self.tell_missed(next_ms, cx);
                }
                Verdict::Close { candle, end_ms, confirmed: false }
            }
            _ => Verdict::Wait,
        }
    }

    /// Periods of which nothing is known are closed flat: how many is told before them.
    fn tell_missed(&mut self, next_ms: u64, cx: &mut CandleContext<'_>) {
        if next_ms < self.told_missed_ms {
            return;
        }
        let until_ms =
            self.held.map_or(self.interval.next_start_ms(next_ms), |(held, _)| held.candle.start_ms);
        let (mut at_ms, mut missed) = (next_ms, 0);
        while at_ms < until_ms && missed < CANDLE_FILL_PERIODS_MAX as u64 {
            at_ms = self.interval.next_start_ms(at_ms);
            missed += 1;
        }
        self.told_missed_ms = at_ms;
        cx.gap(Reason::Disconnect, missed);
    }

    /// Says that the open period is over.
    fn close(&mut self, candle: Candle, end_ms: u64, confirmed: bool, cx: &mut CandleContext<'_>) {
        self.next_ms = Some(end_ms + 1);
        self.last_close = Some(candle.close);
        self.open = None;
        self.remember(Closed { candle, end_ms, confirmed });
        cx.say(self.interval, &candle, Saying::Closed);
    }

    /// What was held is shown, once it is its turn.
    fn release(&mut self, cx: &mut CandleContext<'_>) {
        if let Some((held, _)) = self.held
            && self.next_ms.is_some_and(|next_ms| next_ms >= held.candle.start_ms)
        {
            self.held = None;
            if self.next_ms == Some(held.candle.start_ms) {
                self.on_open(held, cx);
            }
        }
    }

    fn remember(&mut self, closed: Closed) {
        while self.recent.len() >= CANDLE_RECENT_MIN
            && (self.recent[0].confirmed || self.recent.len() >= CANDLE_RECENT_MAX)
        {
            if let Some(oldest) = self.recent.pop_front()
                && !oldest.confirmed
            {
                self.unconfirmed -= 1;
                self.given_up += 1;
            }
        }
        self.unconfirmed += usize::from(!closed.confirmed);
        self.recent.push_back(closed);
    }

    /// REST says what a closed period came to.
    fn confirm(&mut self, row: &CandleRow, settled: bool, cx: &mut CandleContext<'_>) {
        let Some(place) = self.recent.iter().position(|one| one.candle.start_ms == row.start_ms) else {
            return;
        };
        let candle = row.candle.unwrap_or(self.recent[place].candle);
        self.correct(place, &candle, settled, cx);
    }

    fn correct(
        &mut self,
        place: usize,
        candle: &Candle,
        confirmed: bool,
        cx: &mut CandleContext<'_>,
    ) -> Outcome {
        let known = &mut self.recent[place];
        if confirmed && !known.confirmed {
            known.confirmed = true;
            self.unconfirmed -= 1;
        }
        if known.candle == *candle {
            return Outcome::Dropped(DropReason::Unchanged);
        }
        known.candle = *candle;
        self.revisions += 1;
        let is_last = place + 1 == self.recent.len();
        if is_last {
            self.last_close = Some(candle.close);
        }
        cx.say(self.interval, candle, Saying::Revised);
        Outcome::Published
    }

    /// More periods were missed than can be closed one by one: what is older is told as lost.
    #[cold]
    fn give_up_the_past(&mut self, cx: &mut CandleContext<'_>) {
        let (Some(next_ms), Some((held, _))) = (self.next_ms, self.held) else { return };
        let month_ms = 30 * 24 * 3_600_000;
        let missed =
            held.candle.start_ms.saturating_sub(next_ms) / self.interval.length_ms().unwrap_or(month_ms);
        cx.gap(Reason::VenueHistoryExhausted, missed);
        self.next_ms = Some(held.candle.start_ms);
        self.open = None;
        self.release(cx);
    }
}

/// The better of the last frame and the own trades of a whole period: the venue's own first price, and
/// whichever has seen more.
fn better(frame: Option<Candle>, own: Option<Candle>) -> Option<Candle> {
    match (frame, own) {
        (Some(frame), Some(own)) if own.volume >= frame.volume => Some(Candle {
            open: frame.open,
            high: frame.high.max(own.high),
            low: frame.low.min(own.low),
            num_trades: frame.num_trades.max(own.num_trades),
            ..own
        }),
        (Some(frame), _) => Some(frame),
        (None, own) => own,
    }
}
