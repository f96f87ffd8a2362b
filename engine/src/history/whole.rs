//! A load of all of a series: what its answer makes of it, and what an answer without rows does.

use super::rows::{self, AnswerRows};
use super::series::{Context, Part, Series, Stage};
use super::symbol::{Symbol, Want, World, extend_held, tell_cut};
use crate::event::Severity;
use crate::limits::{
    HISTORY_EMPTY_ANSWERS_MAX, HISTORY_EMPTY_RETRY_MS, HISTORY_EMPTY_RETRY_SLOW_MS, HISTORY_LEAD_ROWS,
    HISTORY_MATURE_MS, HYPERLIQUID_CANDLES_MAX,
};
use codec::words::{Interval, Venue};
use std::sync::atomic::Ordering::Relaxed;

impl Symbol {
    pub(super) fn on_whole(&mut self, i: usize, start_ms: u64, answer: &AnswerRows, world: &mut World<'_>) {
        let venue = self.venue;
        let (series, finest, cx) = self.parts(i, world);
        let finest = finest.filter(|_| series.folded);
        if let Some(finest) = finest.filter(|_| series.stage == Stage::Cold) {
            extend_held(series, finest, cx.counters);
        }
        if answer.rows.is_empty() && !self.is_all_there_is(i, world.now_ms) {
            return self.on_vain(i, world);
        }
        let (series, finest, mut cx) = self.parts(i, world);
        let finest = finest.filter(|_| series.folded);
        let last_ms = series.last().map(|last| last.start_ms);
        let mut known = std::mem::take(&mut series.held);
        if series.stage == Stage::Known {
            known = series.recent.iter().copied().collect();
        }
        let digest = rows::digest(series.interval, &known, answer, &series.live);
        let fetched = digest.run.len().saturating_sub(known.len());
        cx.counters.rows_fetched.fetch_add(fetched as u64, Relaxed);
        tell_cut(&mut cx, digest.cut);
        match digest.run.first() {
            None if series.recent.is_empty() => {
                // The only period it has may have ended just now: a little later it is settled.
                let is_over =
                    answer.rows.iter().any(|row| rows::end_ms(series.interval, row.start_ms) <= cx.now_ms);
                series.vain += 1;
                if is_over && !series.complete && series.vain < HISTORY_EMPTY_ANSWERS_MAX {
                    series.again_at_ns = cx.now.after_ms(HISTORY_MATURE_MS);
                    return;
                }
                series.vain = 0;
                series.fall_back(&mut cx);
                series.expect_first(cx.now_ms);
            }
            // It says less than is known.
            last if last.is_none() || digest.run.last().map(|row| row.start_ms) < last_ms => {
                return self.on_vain(i, world);
            }
            // Nothing older than what is known.
            Some(first) if last_ms.is_some() && first.start_ms >= series.first_ms => series.vain = 0,
            None => {}
            Some(first) => {
                // Where no calendar says when periods start, the first may start later than asked for.
                let slack_ms = if series.interval.is_aligned() {
                    0
                } else {
                    rows::end_ms(series.interval, start_ms) - start_ms
                };
                let agrees = finest
                    .is_some_and(|finest| finest.at_origin && first.start_ms <= finest.first_ms)
                    && tells_origin(venue);
                let began = agrees
                    || (first.start_ms > start_ms + slack_ms
                        && is_in_reach(venue, series.interval, start_ms, answer, cx.now_ms));
                series.install(&mut cx, digest.run, began && digest.cut.is_none());
                (series.vain, series.again_at_ns) = (0, 0);
            }
        }
        if i == 0 {
            self.fold_into_cold(world);
        }
    }

    /// Whether other series show that there is nothing to be had of this one beyond what was folded: the symbol
    /// was listed within the running period, or with the first one that is known.
    fn is_all_there_is(&self, i: usize, now_ms: u64) -> bool {
        let series = &self.series[i];
        let first_ms = series.held.first().map_or(series.interval.start_ms_of(now_ms), |row| row.start_ms);
        self.series.iter().enumerate().any(|(other, known)| {
            other != i && known.at_origin && known.last().is_some() && known.first_ms >= first_ms
        })
    }

    /// A load of all brought nothing: asked for again later. After several the series counts as complete with
    /// what there is, and is asked for all the same.
    pub(super) fn on_vain(&mut self, i: usize, world: &mut World<'_>) {
        let (series, _, mut cx) = self.parts(i, world);
        series.vain = series.vain.saturating_add(1);
        let is_last = series.vain >= HISTORY_EMPTY_ANSWERS_MAX;
        let pause_ms = if is_last { HISTORY_EMPTY_RETRY_SLOW_MS } else { HISTORY_EMPTY_RETRY_MS };
        series.again_at_ns = cx.now.after_ms(pause_ms);
        if !is_last || series.complete && series.stage == Stage::Known {
            return;
        }
        cx.tell(Severity::Warn, "no candle history to be had: served as it is, and asked for again", "");
        let (vain, again_at_ns) = (series.vain, series.again_at_ns);
        let held = std::mem::take(&mut series.held);
        if held.is_empty() {
            series.fall_back(&mut cx);
        } else {
            series.install(&mut cx, held, false);
        }
        (series.vain, series.again_at_ns) = (vain, again_at_ns);
        if series.recent.is_empty() {
            finish_empty(series, &mut cx);
        } else {
            series.finish(&mut cx);
        }
    }
}

/// A request for all from `start_ms`.
pub(super) fn whole(interval: Interval, start_ms: u64, end_ms: u64) -> Want {
    // The first periods may have had no trades: what they were worth is known from before.
    let lead_ms = rows::oldest_ms(interval, HISTORY_LEAD_ROWS, start_ms);
    Want { part: Part::Whole, start_ms: lead_ms, end_ms }
}

/// A series without rows is complete; what the engine closed meanwhile is its beginning.
pub(super) fn finish_empty(series: &mut Series, cx: &mut Context<'_>) {
    series.finish(cx);
    series.expect_first(cx.now_ms);
    for closed in std::mem::take(&mut series.live) {
        series.on_closed(cx, closed);
    }
}

/// Whether the first row a venue has of one interval says where the others begin. Hyperliquid keeps so many
/// rows of each, and leaves out periods without trades.
pub(super) fn tells_origin(venue: Venue) -> bool {
    venue == Venue::Binance
}

/// Whether a request reached back no further than the venue keeps rows: only then does an answer that begins
/// later show that there is nothing older.
fn is_in_reach(venue: Venue, interval: Interval, start_ms: u64, answer: &AnswerRows, now_ms: u64) -> bool {
    let most = HYPERLIQUID_CANDLES_MAX;
    venue == Venue::Binance
        || (answer.rows.len() < most as usize
            && start_ms >= rows::oldest_ms(interval, u64::from(most) - HISTORY_LEAD_ROWS, now_ms))
}
