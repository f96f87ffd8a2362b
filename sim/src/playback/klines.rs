//! The candles of a Binance capture: folded from its trades in capture time, or the captured ones where there are any.
//!
//! A period that began before the capture did is never told: nobody has seen all of it.

use super::finals::{Finals, candle_of};
use crate::market::{Bar, CandleSource, Candles, Instrument, Interval, TruthCandle, Venue};
use serde_json::Value;
use std::collections::HashMap;

/// A symbol's candles as far as the capture has been played.
struct Folded {
    candles: Candles,
    first_ms: i64,
}

/// See the module.
#[derive(Default)]
pub struct PlayedKlines {
    instruments: Vec<Instrument>,
    folded: HashMap<usize, Folded>,
    clock_ms: i64,
    /// Frames of the capture, the last of each period played.
    captured: Finals,
}

impl PlayedKlines {
    /// Of these symbols, nothing is known yet.
    pub fn new(instruments: Vec<Instrument>) -> Self {
        Self { instruments, ..Self::default() }
    }

    /// A trade of the capture.
    pub fn trade(&mut self, symbol: usize, bar: &Bar, time_ms: i64) {
        let folded = self.folded.entry(symbol).or_insert_with(|| Folded {
            candles: Candles::new(Venue::Binance, None, time_ms, 0, usize::MAX),
            first_ms: time_ms,
        });
        folded.candles.add_bar(bar, time_ms);
    }

    /// The capture has come to a time.
    pub fn pass(&mut self, clock_ms: i64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
    }

    /// How far the capture has come.
    pub fn clock_ms(&self) -> i64 {
        self.clock_ms
    }

    /// A kline frame of the capture.
    pub fn captured(&mut self, symbol: usize, interval: Interval, data: &str) {
        let event: Value = serde_json::from_str(data).unwrap_or_default();
        if let Some(candle) = candle_of(&event["k"]) {
            self.captured.insert(&self.instruments[symbol].symbol, interval, candle);
        }
    }

    /// Whether the capture has candles of its own, so that none are folded.
    pub fn has_captured(&self, symbol: usize, interval: Interval) -> bool {
        self.captured.has(&self.instruments[symbol].symbol, interval)
    }

    /// The rows asked for, as far as played.
    pub fn rows(&self, symbol: usize, interval: Interval, from_ms: i64, to_ms: i64) -> Vec<TruthCandle> {
        if self.has_captured(symbol, interval) {
            let name = &self.instruments[symbol].symbol;
            return self.captured.range(name, interval, from_ms, to_ms.saturating_add(1));
        }
        let Some(folded) = self.folded.get(&symbol) else { return Vec::new() };
        let from_ms = from_ms.max(folded.first_whole(interval));
        folded.candles.rows(interval, from_ms, to_ms.min(self.clock_ms), self.clock_ms)
    }

    /// All candles that have come to their end.
    pub fn finals(&self) -> Finals {
        let mut finals = Finals::default();
        for (symbol, interval, candle) in self.captured.all().filter(|(_, _, candle)| candle.closed) {
            finals.insert(symbol, interval, *candle);
        }
        for symbol in self.folded.keys() {
            for interval in Interval::all().filter(|interval| !self.has_captured(*symbol, *interval)) {
                for candle in self.rows(*symbol, interval, 0, i64::MAX - 1) {
                    if candle.closed {
                        finals.insert(&self.instruments[*symbol].symbol, interval, candle);
                    }
                }
            }
        }
        finals
    }
}

impl Folded {
    /// The first period of which the capture saw everything.
    fn first_whole(&self, interval: Interval) -> i64 {
        interval.next_open(interval.open_of(self.first_ms - 1))
    }
}

impl CandleSource for PlayedKlines {
    fn symbol_count(&self) -> usize {
        self.instruments.len()
    }

    fn instrument(&self, symbol: usize) -> &Instrument {
        &self.instruments[symbol]
    }

    fn candle(&self, symbol: usize, interval: Interval, open_ms: i64, now_ms: i64) -> Option<TruthCandle> {
        if self.has_captured(symbol, interval) {
            return None;
        }
        let folded = self.folded.get(&symbol)?;
        let whole = open_ms >= folded.first_whole(interval);
        whole.then(|| folded.candles.candle(interval, open_ms, now_ms)).flatten()
    }
}
