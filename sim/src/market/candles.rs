//! All candles of one symbol: what the past says up to the start, and what has been traded since.
//!
//! ```text
//!  … quarters of the past │ minutes of the past │ minutes and quarters traded      now
//!                         └ of the quarter in which the simulation began
//! ```
//! Minutes and quarters with trades are stored, nothing else: every candle is put together when it is asked for.

use super::candle::{Bar, TruthCandle};
use super::history::Trade;
use super::instrument::{Instrument, Venue};
use super::interval::{DAY_MS, Interval, MINUTE_MS};
use super::past::{Past, QUARTER_MS};
use crate::limits::{CANDLE_QUARTERS_MAX, CANDLE_ROWS_MAX};
use std::cell::Cell;
use std::collections::VecDeque;

/// The candles of a symbol.
#[derive(Clone, Debug)]
pub struct Candles {
    venue: Venue,
    /// Nothing, of a symbol that was listed while the simulation ran.
    past: Option<Past>,
    /// The minute in which the simulation, or the symbol, began: the past ends here.
    since_ms: i64,
    past_periods: usize,
    minutes_kept: usize,
    minutes: VecDeque<(i64, Bar)>,
    quarters: VecDeque<(i64, Bar)>,
    /// Minutes before this one are no longer kept.
    minutes_from_ms: i64,
    /// Base and quote volume of the day before a quarter of an hour.
    day: Cell<Option<(i64, i128, i128)>>,
}

fn push(bars: &mut VecDeque<(i64, Bar)>, open_ms: i64, bar: &Bar) {
    match bars.back_mut() {
        Some((last_ms, last)) if *last_ms == open_ms => *last = last.then(bar),
        _ => bars.push_back((open_ms, *bar)),
    }
}

fn fold(bars: &VecDeque<(i64, Bar)>, from_ms: i64, until_ms: i64) -> Option<Bar> {
    let first = bars.partition_point(|(open_ms, _)| *open_ms < from_ms);
    let wanted = bars.range(first..).take_while(|(open_ms, _)| *open_ms < until_ms);
    Bar::fold(wanted.map(|(_, bar)| *bar))
}

/// Where a venue takes the candles from that it tells.
pub trait CandleSource {
    /// How many symbols there are.
    fn symbol_count(&self) -> usize;

    /// What the symbol at an index is.
    fn instrument(&self, symbol: usize) -> &Instrument;

    /// The candle of the period that begins here, as far as its time has come; none if it cannot be told.
    fn candle(&self, symbol: usize, interval: Interval, open_ms: i64, now_ms: i64) -> Option<TruthCandle>;
}

impl Candles {
    /// Candles that go on from a past at a moment; so many past periods of each interval can be asked for.
    pub fn new(
        venue: Venue,
        past: Option<Past>,
        start_ms: i64,
        past_periods: usize,
        minutes_kept: usize,
    ) -> Self {
        let since_ms = start_ms - start_ms.rem_euclid(MINUTE_MS);
        Self {
            venue,
            past,
            since_ms,
            past_periods,
            minutes_kept: minutes_kept.max(1),
            minutes: VecDeque::new(),
            quarters: VecDeque::new(),
            minutes_from_ms: i64::MIN,
            day: Cell::new(None),
        }
    }

    /// Adds a trade.
    pub fn add(&mut self, trade: &Trade) {
        self.add_bar(&Bar::of(trade, self.venue), trade.time_ms);
    }

    /// Adds what was traded at a time, not before what is already here.
    pub fn add_bar(&mut self, bar: &Bar, time_ms: i64) {
        push(&mut self.minutes, time_ms - time_ms.rem_euclid(MINUTE_MS), bar);
        push(&mut self.quarters, time_ms - time_ms.rem_euclid(QUARTER_MS), bar);
        if self.minutes.len() > self.minutes_kept
            && let Some((open_ms, _)) = self.minutes.pop_front()
        {
            self.minutes_from_ms = open_ms + MINUTE_MS;
        }
        if self.quarters.len() > CANDLE_QUARTERS_MAX {
            self.quarters.pop_front();
        }
    }

    /// What was traded from one time until before another, both at whole minutes.
    pub fn traded(&self, from_ms: i64, until_ms: i64) -> Option<Bar> {
        let past = self.past.as_ref().and_then(|past| past.fold(from_ms, until_ms.min(self.since_ms)));
        let whole_quarters = from_ms % QUARTER_MS == 0 && until_ms % QUARTER_MS == 0;
        let bars = if whole_quarters { &self.quarters } else { &self.minutes };
        Bar::fold([past, fold(bars, from_ms, until_ms)].into_iter().flatten())
    }

    /// The last price before a time at a whole minute; none before the first trade of all.
    pub fn price_before(&self, at_ms: i64) -> Option<i64> {
        // Quarters go back further; minutes are more exact within the last quarter.
        let quarter_ms = at_ms - at_ms.rem_euclid(QUARTER_MS);
        let in_quarter = fold(&self.minutes, quarter_ms, at_ms).map(|bar| bar.close_e8);
        let before = || {
            let after = self.quarters.partition_point(|(open_ms, _)| *open_ms < quarter_ms);
            after.checked_sub(1).map(|last| self.quarters[last].1.close_e8)
        };
        let past = || self.past.as_ref().map(|past| past.price_before(at_ms.min(self.since_ms)));
        in_quarter.or_else(before).or_else(past)
    }

    /// The beginning of the oldest period of an interval that can be told.
    pub fn oldest_open(&self, interval: Interval) -> i64 {
        let start_ms = interval.open_of(self.since_ms);
        let back_ms = match self.past {
            Some(_) => interval.back(start_ms, self.past_periods),
            None => start_ms,
        };
        if interval.about_ms() >= QUARTER_MS || self.minutes_from_ms == i64::MIN {
            return back_ms;
        }
        back_ms.max(interval.open_of(self.minutes_from_ms - 1 + interval.about_ms()))
    }

    /// Base volume at 1e-8 and quote volume at 1e-16 of the day before the running quarter of an hour, and of what
    /// that has brought so far.
    pub fn day_volumes(&self, now_ms: i64) -> (i128, i128) {
        let quarter_ms = now_ms - now_ms.rem_euclid(QUARTER_MS);
        let (_, base_e8, quote_e16) = match self.day.get().filter(|(of_ms, ..)| *of_ms == quarter_ms) {
            Some(known) => known,
            None => {
                let day = self.traded(quarter_ms - DAY_MS, quarter_ms);
                let known = day.map_or((quarter_ms, 0, 0), |bar| (quarter_ms, bar.volume_e8, bar.quote_e16));
                self.day.set(Some(known));
                known
            }
        };
        let minute_ms = now_ms - now_ms.rem_euclid(MINUTE_MS);
        match self.traded(quarter_ms, minute_ms + MINUTE_MS) {
            Some(bar) => (base_e8 + bar.volume_e8, quote_e16 + bar.quote_e16),
            None => (base_e8, quote_e16),
        }
    }

    /// The candle of the period that begins here; none before the first trade of all.
    pub fn candle(&self, interval: Interval, open_ms: i64, now_ms: i64) -> Option<TruthCandle> {
        let next_ms = interval.next_open(open_ms);
        let closed = next_ms <= now_ms;
        match self.traded(open_ms, next_ms) {
            Some(bar) => Some(bar.candle(open_ms, next_ms, closed)),
            None => self
                .price_before(open_ms)
                .map(|price_e8| TruthCandle::flat(open_ms, next_ms, price_e8, closed)),
        }
    }

    /// The candles of the periods that begin from one time on and not after another, as far as they can be told and
    /// have begun; flat ones where nothing was traded.
    pub fn rows(&self, interval: Interval, from_ms: i64, to_ms: i64, now_ms: i64) -> Vec<TruthCandle> {
        let mut rows: Vec<TruthCandle> = Vec::new();
        let from_ms = from_ms.max(self.oldest_open(interval));
        let mut open_ms = interval.open_of(from_ms);
        if open_ms < from_ms {
            open_ms = interval.next_open(open_ms);
        }
        while open_ms <= to_ms.min(now_ms) && rows.len() < CANDLE_ROWS_MAX {
            let next_ms = interval.next_open(open_ms);
            let closed = next_ms <= now_ms;
            let before = rows.last().map(|row| row.close_e8);
            let row = match self.traded(open_ms, next_ms) {
                Some(bar) => Some(bar.candle(open_ms, next_ms, closed)),
                None => before
                    .or_else(|| self.price_before(open_ms))
                    .map(|price_e8| TruthCandle::flat(open_ms, next_ms, price_e8, closed)),
            };
            rows.extend(row);
            open_ms = next_ms;
        }
        rows
    }

    /// The last `limit` periods that begin not after a time.
    pub fn last_rows(&self, interval: Interval, limit: usize, to_ms: i64, now_ms: i64) -> Vec<TruthCandle> {
        let last_ms = interval.open_of(to_ms.min(now_ms));
        self.rows(interval, interval.back(last_ms, limit.saturating_sub(1)), to_ms, now_ms)
    }
}
