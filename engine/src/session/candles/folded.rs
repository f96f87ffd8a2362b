//! An interval that is made of the finest one: for venues that allow too few subscriptions for both.
//!
//! It begins with the first period seen from its start, or with what history knows of the one that runs.

use super::{CandleContext, Saying};
use crate::limits::{CANDLE_PARTS_KEPT, CANDLE_PARTS_MAX};
use codec::candle::Candle;
use codec::words::{Interval, Reason};
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub struct Folded {
    interval: Interval,
    part: Interval,
    /// Start of the period that is open; `None`: its beginning is not known.
    next_ms: Option<u64>,
    /// What history knew of that period, and the end (exclusive) of what it covers.
    base: Option<(Candle, u64)>,
    /// Closed parts of that period and of those before, oldest first: they may be corrected late.
    parts: VecDeque<Candle>,
    /// What was said of the periods before, as far back as the parts reach, each with what it began from.
    closed: VecDeque<(Candle, Option<(Candle, u64)>)>,
    /// Corrections said.
    pub revisions: u64,
}

impl Folded {
    /// `interval` made of `part`; `None` when that cannot be, or takes too many.
    #[must_use]
    pub fn new(interval: Interval, part: Interval) -> Option<Self> {
        let month_ms = 31 * 24 * 3_600_000;
        let parts = interval.length_ms().unwrap_or(month_ms) / part.length_ms()?;
        (interval.is_made_of(part) && parts <= CANDLE_PARTS_MAX as u64).then(|| Self {
            interval,
            part,
            next_ms: None,
            base: None,
            parts: VecDeque::with_capacity(CANDLE_PARTS_KEPT.max(2 * parts as usize + 1)),
            closed: VecDeque::with_capacity(2 + CANDLE_PARTS_KEPT / parts.max(1) as usize),
            revisions: 0,
        })
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Interval {
        self.interval
    }

    /// Whether it is served.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.next_ms.is_some()
    }

    /// History's newest closed candle of this interval, and the fold of what came after it with its end.
    /// `finest_ms`: start of the part that will be closed next, if that is known.
    pub fn on_seed(
        &mut self,
        last: &Candle,
        base: Option<(Candle, u64)>,
        finest_ms: Option<u64>,
        cx: &mut CandleContext<'_>,
    ) {
        if self.is_ready() {
            return;
        }
        let start_ms = self.interval.next_start_ms(last.start_ms);
        let known_to_ms = base.map_or(start_ms, |(_, end_ms)| end_ms);
        // What is known has to reach the parts that came here.
        let joins = match self.parts.iter().find(|part| part.start_ms >= known_to_ms) {
            Some(part) => part.start_ms == known_to_ms,
            None => finest_ms.is_none_or(|finest_ms| finest_ms == known_to_ms),
        };
        if !joins {
            return;
        }
        self.parts.retain(|part| part.start_ms >= known_to_ms);
        (self.next_ms, self.base) = (Some(start_ms), base);
        self.advance(cx);
    }

    /// A candle of the finest interval.
    pub(super) fn on_part(&mut self, part: &Candle, saying: Saying, cx: &mut CandleContext<'_>) {
        let start_ms = self.interval.start_ms_of(part.start_ms);
        if saying != Saying::Revised && self.known_to_ms().is_some_and(|known_ms| part.start_ms > known_ms) {
            // A part is missing: what is made of the others would be wrong. The next period begins anew.
            cx.gap(Reason::SequenceBreak, 1);
            (self.next_ms, self.base) = (None, None);
            self.parts.clear();
        }
        if self.next_ms.is_none() && part.start_ms == start_ms && saying != Saying::Revised {
            // Seen from its first moment.
            self.parts.clear();
            self.next_ms = Some(start_ms);
        }
        match saying {
            Saying::Open => {
                if self.next_ms == Some(start_ms)
                    && let Some(candle) = self.fold(start_ms, self.base, Some(part))
                {
                    cx.publish(self.interval, &candle, Saying::Open);
                }
            }
            Saying::Closed => {
                if self.parts.len() == self.parts.capacity() {
                    self.parts.pop_front();
                }
                self.parts.push_back(*part);
                self.advance(cx);
            }
            Saying::Revised => self.revise(part, cx),
        }
    }

    /// Closes what is complete.
    fn advance(&mut self, cx: &mut CandleContext<'_>) {
        while let Some(start_ms) = self.next_ms {
            let next_ms = self.interval.next_start_ms(start_ms);
            if self.known_to_ms().is_none_or(|known_ms| known_ms < next_ms) {
                return;
            }
            let base = self.base.take();
            let Some(candle) = self.fold(start_ms, base, None) else { return };
            self.next_ms = Some(next_ms);
            if self.closed.len() == self.closed.capacity() {
                self.closed.pop_front();
            }
            self.closed.push_back((candle, base));
            cx.publish(self.interval, &candle, Saying::Closed);
        }
    }

    /// The end (exclusive) of what is known without a hole since the start of the open period.
    fn known_to_ms(&self) -> Option<u64> {
        let start_ms = self.next_ms?;
        let base_ms = self.base.map(|(_, end_ms)| end_ms);
        let parts_ms = self.parts.back().map(|part| self.end_ms(part));
        Some(start_ms.max(base_ms.unwrap_or(0)).max(parts_ms.unwrap_or(0)))
    }

    fn end_ms(&self, part: &Candle) -> u64 {
        self.part.next_start_ms(part.start_ms)
    }

    /// The period's candle from what is known of it: what it began from, its parts, and the one that is open.
    fn fold(&self, start_ms: u64, base: Option<(Candle, u64)>, open_part: Option<&Candle>) -> Option<Candle> {
        let next_ms = self.interval.next_start_ms(start_ms);
        let from_ms = base.map_or(start_ms, |(_, end_ms)| end_ms);
        let inside = |part: &&Candle| from_ms <= part.start_ms && part.start_ms < next_ms;
        let base = base.map(|(candle, _)| candle);
        let mut parts = base.iter().chain(self.parts.iter().filter(inside)).chain(open_part);
        let mut candle = Candle { start_ms, ..*parts.next()? };
        parts.for_each(|part| candle.append(part));
        Some(candle)
    }

    fn revise(&mut self, part: &Candle, cx: &mut CandleContext<'_>) {
        let Some(known) = self.parts.iter_mut().find(|known| known.start_ms == part.start_ms) else { return };
        *known = *part;
        let start_ms = self.interval.start_ms_of(part.start_ms);
        let Some(place) = self.closed.iter().position(|(one, _)| one.start_ms == start_ms) else { return };
        let (said, base) = self.closed[place];
        // Of a period whose first parts are forgotten nothing better is known here.
        let from_ms = base.map_or(start_ms, |(_, end_ms)| end_ms);
        let whole = self.parts.front().is_some_and(|oldest| oldest.start_ms <= from_ms);
        if let Some(candle) = self.fold(start_ms, base, None).filter(|candle| whole && *candle != said) {
            self.closed[place].0 = candle;
            self.revisions += 1;
            cx.publish(self.interval, &candle, Saying::Revised);
        }
    }
}
