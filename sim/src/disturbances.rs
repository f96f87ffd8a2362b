//! What a venue withholds, crosses, delays, silences or invents right now, as the faults that last asked for.

use crate::faults::Fault;
use crate::market::{Interval, TruthCandle};
use std::collections::HashMap;

/// The faults of a venue that last. Those of a frame's form are [`crate::wire::Wire`]'s.
#[derive(Default)]
pub struct Disturbances {
    silent_streams: HashMap<String, i64>,
    silent_symbols: HashMap<String, i64>,
    broken_depth: HashMap<(String, String), u32>,
    broken_depth_symbols: HashMap<String, u32>,
    dropped_trades: HashMap<String, u32>,
    crossed: HashMap<String, u32>,
    stale: Option<(Option<String>, u32, i64)>,
    late_closes: HashMap<(String, Interval), (u32, i64)>,
    lost_closes: HashMap<(String, Interval), u32>,
    silent_klines: HashMap<String, i64>,
    short: HashMap<(String, Interval), Short>,
    candle_rest_down: (bool, i64),
    late_rows: Option<LateRows>,
    zero_trades: HashMap<String, u32>,
    null_sides: HashMap<String, u32>,
    empty_rates: HashMap<String, i64>,
    new_listings: u32,
    new_kinds: u32,
    lost_acks: u32,
    silent_subscriptions: u32,
    greetings: u32,
}

/// Candle frames that end before their periods do.
struct Short {
    before_ms: i64,
    periods_left: u32,
    /// The period being cut short.
    open_ms: Option<i64>,
}

/// Candle rows that come late.
struct LateRows {
    symbol: Option<String>,
    missing: bool,
    lag_ms: i64,
    until_ms: i64,
}

/// What becomes of a closing frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// It is sent at once.
    Now,
    /// It is sent so much later.
    Late(i64),
    /// It is never sent.
    Lost,
}

/// What becomes of a request for candles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandleRest {
    /// It is answered.
    Up,
    /// It is answered with status 500.
    Error,
    /// It is not answered.
    Silent,
}

/// The one interval named, or all.
fn intervals(named: Option<Interval>) -> impl Iterator<Item = Interval> {
    Interval::all().filter(move |interval| named.is_none_or(|named| named == *interval))
}

/// Takes one from a count; true if there was one.
fn take(counts: &mut HashMap<String, u32>, key: &str) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
    true
}

/// Takes one from a count; true if there was one.
pub fn take_one(count: &mut u32) -> bool {
    let taken = *count > 0;
    *count -= u32::from(taken);
    taken
}

fn give(counts: &mut HashMap<String, u32>, key: &str, count: u32) {
    if count > 0 {
        *counts.entry(key.to_owned()).or_default() += count;
    }
}

impl Disturbances {
    /// Begins a lasting fault; the others are not for this type and change nothing.
    pub fn begin(&mut self, fault: &Fault, now_ms: i64) {
        match fault {
            Fault::SilenceStream { stream, for_ms } => {
                self.silent_streams.insert(stream.clone(), now_ms + for_ms);
            }
            Fault::SilenceSymbol { symbol, for_ms } => {
                self.silent_symbols.insert(symbol.clone(), now_ms + for_ms);
            }
            Fault::BreakDepthSequence { symbol, events } => {
                self.broken_depth.retain(|(broken, _), _| broken != symbol);
                self.broken_depth_symbols.insert(symbol.clone(), *events);
            }
            Fault::DropTrades { symbol, count } => give(&mut self.dropped_trades, symbol, *count),
            Fault::CrossedBook { symbol, frames } => give(&mut self.crossed, symbol, *frames),
            Fault::ZeroPriceTrades { symbol, count } => give(&mut self.zero_trades, symbol, *count),
            Fault::NullSides { symbol, frames } => give(&mut self.null_sides, symbol, *frames),
            Fault::EmptyRate { symbol, for_ms } => {
                self.empty_rates.insert(symbol.clone(), now_ms + for_ms);
            }
            Fault::NewValues { frames } => {
                self.new_listings += frames;
                self.new_kinds += frames;
            }
            Fault::LoseAcks { count } => self.lost_acks += count,
            Fault::AckedAndSilent { count } => self.silent_subscriptions += count,
            Fault::Greeting { connections } => self.greetings += connections,
            Fault::StaleSnapshots { symbol, requests, age_ms } => {
                self.stale = (*requests > 0).then(|| (symbol.clone(), *requests, *age_ms));
            }
            Fault::LateCloseFrames { symbol, interval, delay_ms, frames } => {
                for interval in intervals(*interval) {
                    self.late_closes.insert((symbol.clone(), interval), (*frames, *delay_ms));
                }
            }
            Fault::LoseCloseFrames { symbol, interval, frames } => {
                for interval in intervals(*interval) {
                    self.lost_closes.insert((symbol.clone(), interval), *frames);
                }
            }
            Fault::SilenceKlines { symbol, for_ms } => {
                self.silent_klines.insert(symbol.clone(), now_ms + for_ms);
            }
            Fault::ShortCandles { symbol, interval, before_ms, periods } => {
                let (before_ms, periods_left) = (*before_ms, *periods);
                for interval in intervals(*interval) {
                    let short = Short { before_ms, periods_left, open_ms: None };
                    self.short.insert((symbol.clone(), interval), short);
                }
            }
            Fault::CandleRestDown { timeout, for_ms } => self.candle_rest_down = (*timeout, now_ms + for_ms),
            Fault::LateCandleRows { symbol, missing, lag_ms, for_ms } => {
                let (symbol, until_ms) = (symbol.clone(), now_ms + for_ms);
                self.late_rows = Some(LateRows { symbol, missing: *missing, lag_ms: *lag_ms, until_ms });
            }
            _ => {}
        }
    }

    /// Whether nothing may be sent on this stream of this symbol now.
    pub fn is_silent(&self, stream: &str, symbol: &str, now_ms: i64) -> bool {
        let until = |map: &HashMap<String, i64>, key: &str| map.get(key).is_some_and(|until| now_ms < *until);
        until(&self.silent_streams, stream) || until(&self.silent_symbols, symbol)
    }

    /// Whether the next event of this diff depth stream is withheld: each stream loses as many.
    pub fn breaks_depth(&mut self, symbol: &str, stream: &str) -> bool {
        let Some(&events) = self.broken_depth_symbols.get(symbol) else { return false };
        let lost = self.broken_depth.entry((symbol.to_owned(), stream.to_owned())).or_default();
        *lost += 1;
        *lost <= events
    }

    /// Whether the next aggregate trade is withheld.
    pub fn drops_trade(&mut self, symbol: &str) -> bool {
        take(&mut self.dropped_trades, symbol)
    }

    /// Whether the next book frame of a symbol is to be crossed.
    pub fn crosses(&mut self, symbol: &str) -> bool {
        take(&mut self.crossed, symbol)
    }

    /// Whether a trade without price is told before the next trade of a symbol.
    pub fn adds_zero_trade(&mut self, symbol: &str) -> bool {
        take(&mut self.zero_trades, symbol)
    }

    /// Whether the next quote of a symbol lacks its bid, and its ask.
    pub fn lacks_sides(&mut self, symbol: &str) -> Option<(bool, bool)> {
        let left = self.null_sides.get(symbol).copied()?;
        take(&mut self.null_sides, symbol);
        Some([(true, true), (true, false), (false, true)][left as usize % 3])
    }

    /// Whether a symbol's funding rate is empty now.
    pub fn rate_is_empty(&self, symbol: &str, now_ms: i64) -> bool {
        self.empty_rates.get(symbol).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Whether the next list of symbols has one with values not told so far.
    pub fn lists_new_values(&mut self) -> bool {
        take_one(&mut self.new_listings)
    }

    /// Whether the next single trade is of a kind not told so far.
    pub fn tells_new_kind(&mut self) -> bool {
        take_one(&mut self.new_kinds)
    }

    /// Whether the next acknowledgement is lost.
    pub fn loses_ack(&mut self) -> bool {
        take_one(&mut self.lost_acks)
    }

    /// Whether the next subscription delivers nothing.
    pub fn silences_subscription(&mut self) -> bool {
        take_one(&mut self.silent_subscriptions)
    }

    /// Whether the next connection is greeted.
    pub fn greets(&mut self) -> bool {
        take_one(&mut self.greetings)
    }

    /// How old the next snapshot of a symbol is to be, if it is to come from a cache.
    pub fn stale_age_ms(&mut self, symbol: &str) -> Option<i64> {
        let (wanted, requests, age_ms) = self.stale.as_mut()?;
        if wanted.as_deref().is_some_and(|wanted| wanted != symbol) {
            return None;
        }
        let age_ms = *age_ms;
        *requests -= 1;
        if *requests == 0 {
            self.stale = None;
        }
        Some(age_ms)
    }

    /// Whether no kline frame of a symbol may be sent now.
    pub fn klines_are_silent(&self, symbol: &str, now_ms: i64) -> bool {
        self.silent_klines.get(symbol).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// What becomes of the next closing frame of a symbol's interval.
    pub fn closing(&mut self, symbol: &str, interval: Interval) -> Closing {
        if self.lost_closes.is_empty() && self.late_closes.is_empty() {
            return Closing::Now;
        }
        let key = (symbol.to_owned(), interval);
        if let Some(left) = self.lost_closes.get_mut(&key).filter(|left| **left > 0) {
            *left -= 1;
            return Closing::Lost;
        }
        match self.late_closes.get_mut(&key) {
            Some((left, delay_ms)) if *left > 0 => {
                *left -= 1;
                Closing::Late(*delay_ms)
            }
            _ => Closing::Now,
        }
    }

    /// Whether a candle frame of the period from `open_ms` until before `next_ms` may not be sent any more.
    pub fn hides_candle(
        &mut self,
        symbol: &str,
        interval: Interval,
        (open_ms, next_ms): (i64, i64),
        now_ms: i64,
    ) -> bool {
        if self.short.is_empty() {
            return false;
        }
        let Some(short) = self.short.get_mut(&(symbol.to_owned(), interval)) else { return false };
        if now_ms < next_ms - short.before_ms {
            return false;
        }
        if short.open_ms != Some(open_ms) {
            if short.periods_left == 0 {
                return false;
            }
            short.periods_left -= 1;
            short.open_ms = Some(open_ms);
        }
        true
    }

    /// What becomes of a request for candles now.
    pub fn candle_rest(&self, now_ms: i64) -> CandleRest {
        match self.candle_rest_down {
            (_, until_ms) if now_ms >= until_ms => CandleRest::Up,
            (true, _) => CandleRest::Silent,
            (false, _) => CandleRest::Error,
        }
    }

    /// Takes from the rows what REST does not tell yet.
    pub fn delay_rows(&self, symbol: &str, rows: &mut Vec<TruthCandle>, lot_e8: i64, now_ms: i64) {
        let Some(late) = self.late_rows.as_ref().filter(|late| now_ms < late.until_ms) else { return };
        if late.symbol.as_deref().is_some_and(|named| named != symbol) {
            return;
        }
        let is_late = |row: &TruthCandle| row.closed && now_ms <= row.close_ms + late.lag_ms;
        if late.missing {
            rows.retain(|row| !is_late(row));
        } else {
            rows.iter_mut().filter(|row| is_late(row) && row.trades > 1).for_each(|row| {
                // As before a last trade of one lot at the lowest price.
                row.trades -= 1;
                row.volume_e8 -= i128::from(lot_e8);
                row.quote_e16 -= i128::from(lot_e8) * i128::from(row.low_e8);
                row.buy_volume_e8 = row.buy_volume_e8.min(row.volume_e8);
                row.buy_quote_e16 = row.buy_quote_e16.min(row.quote_e16);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_run_out_and_each_depth_stream_loses_its_own() {
        let mut now = Disturbances::default();
        now.begin(&Fault::BreakDepthSequence { symbol: "X".to_owned(), events: 1 }, 0);
        assert!(now.breaks_depth("X", "x@depth") && !now.breaks_depth("X", "x@depth"));
        assert!(now.breaks_depth("X", "x@depth@100ms"));
        now.begin(&Fault::DropTrades { symbol: "X".to_owned(), count: 2 }, 0);
        assert!(now.drops_trade("X") && now.drops_trade("X") && !now.drops_trade("X"));
        now.begin(&Fault::SilenceSymbol { symbol: "X".to_owned(), for_ms: 10 }, 100);
        assert!(now.is_silent("any", "X", 109) && !now.is_silent("any", "X", 110));
    }
}
