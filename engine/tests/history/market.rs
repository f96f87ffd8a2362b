//! A market that is a pure function of symbol and time, and the venues' REST view of it.
//!
//! The truth is made of quarters of an hour. Longer candles are added up here by other code than the
//! engine's, so that one mistake cannot hide on both sides.

use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Volume};
use codec::words::{Interval, Venue};

pub const QUARTER_MS: u64 = 900_000;
/// Hyperliquid has so many candles of an interval.
const HYPERLIQUID_ROWS: usize = 5_000;

/// REST lacks a period's last trades for so long after its end.
const SETTLES_MS: u64 = 8_000;

/// See the module.
#[derive(Clone, Debug)]
pub struct Market {
    /// Another seed is another market.
    pub seed: u64,
    /// Symbols of this name begin at this time.
    pub listed: Option<(&'static str, u64)>,
    /// Weeks and three days begin so long after the engine's guess.
    pub shift_ms: u64,
    /// A candle that starts then has too many digits.
    pub unrepresentable_ms: Option<u64>,
    /// Nothing is traded in between.
    pub quiet_ms: (u64, u64),
}

struct Quarter {
    open: i64,
    high: i64,
    low: i64,
    close: i64,
    volume: i128,
    trades: u64,
}

impl Market {
    pub fn new(seed: u64) -> Self {
        Self { seed, listed: None, shift_ms: 0, unrepresentable_ms: None, quiet_ms: (0, 0) }
    }

    fn noise(&self, symbol: &str, quarter: u64, salt: u64) -> u64 {
        let mut mixed = self.seed ^ salt.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        for word in symbol.bytes().map(u64::from).chain([quarter]) {
            mixed = (mixed ^ word).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed ^= mixed >> 29;
        }
        mixed
    }

    fn begins_ms(&self, symbol: &str) -> u64 {
        self.listed.filter(|(name, _)| *name == symbol).map_or(0, |(_, at_ms)| at_ms)
    }

    /// What was traded in a quarter; `None`: nothing.
    fn quarter(&self, symbol: &str, quarter: u64) -> Option<Quarter> {
        let is_quiet = (self.quiet_ms.0..self.quiet_ms.1).contains(&(quarter * QUARTER_MS));
        if is_quiet
            || quarter * QUARTER_MS < self.begins_ms(symbol)
            || self.noise(symbol, quarter, 0).is_multiple_of(5)
        {
            return None;
        }
        let part = |salt| (self.noise(symbol, quarter, salt) % 1_000_000) as i64 + 10_000_000;
        let (a, b, c, d) = (part(1), part(2), part(3), part(4));
        Some(Quarter {
            open: a,
            high: a.max(b).max(c).max(d),
            low: a.min(b).min(c).min(d),
            close: d,
            volume: i128::from(self.noise(symbol, quarter, 5) % 1_000) + 10,
            trades: self.noise(symbol, quarter, 6) % 50 + 2,
        })
    }

    /// Where the period that holds `at_ms` starts.
    pub fn start_ms_of(&self, interval: Interval, at_ms: u64) -> u64 {
        if matches!(interval, Interval::D3 | Interval::W1) {
            interval.start_ms_of(at_ms - self.shift_ms) + self.shift_ms
        } else {
            interval.start_ms_of(at_ms)
        }
    }

    fn made_of(&self, symbol: &str, start_ms: u64, end_ms: u64) -> Option<Candle> {
        let quarters: Vec<Quarter> =
            (start_ms / QUARTER_MS..end_ms / QUARTER_MS).filter_map(|q| self.quarter(symbol, q)).collect();
        let price = Price::from_raw;
        Some(Candle {
            start_ms,
            open: price(quarters.first()?.open),
            high: price(quarters.iter().map(|quarter| quarter.high).max()?),
            low: price(quarters.iter().map(|quarter| quarter.low).min()?),
            close: price(quarters.last()?.close),
            volume: Volume::from_raw(quarters.iter().map(|quarter| quarter.volume).sum()),
            num_trades: quarters.iter().map(|quarter| quarter.trades).sum(),
        })
    }

    /// The candle of a period as it will be for ever; `None` before the first trade.
    pub fn candle(&self, symbol: &str, interval: Interval, start_ms: u64) -> Option<Candle> {
        let end_ms = interval.next_start_ms(start_ms);
        self.made_of(symbol, start_ms, end_ms).or_else(|| {
            let mut quarter = start_ms / QUARTER_MS;
            loop {
                quarter = quarter.checked_sub(1)?;
                if quarter * QUARTER_MS < self.begins_ms(symbol) {
                    return None;
                }
                if let Some(last) = self.quarter(symbol, quarter) {
                    return Some(Candle::flat(start_ms, Price::from_raw(last.close)));
                }
            }
        })
    }

    /// The closed candles at `now_ms`, the newest so many.
    pub fn closed(&self, symbol: &str, interval: Interval, count: usize, now_ms: u64) -> Vec<Candle> {
        let mut start_ms = self.start_ms_of(interval, now_ms);
        let mut candles = Vec::new();
        while candles.len() < count {
            start_ms = self.start_ms_of(interval, start_ms - 1);
            let Some(candle) = self.candle(symbol, interval, start_ms) else { break };
            candles.push(candle);
        }
        candles.reverse();
        candles
    }

    /// A venue's answer.
    #[allow(clippy::too_many_arguments)]
    pub fn answer(
        &self,
        venue: Venue,
        symbol: &str,
        interval: Interval,
        (from_ms, to_ms): (u64, u64),
        limit: usize,
        now_ms: u64,
    ) -> Vec<CandleRow> {
        let mut rows = Vec::new();
        let mut start_ms = self.start_ms_of(interval, to_ms.min(now_ms));
        let oldest_ms = from_ms.max(interval.start_ms_of(self.begins_ms(symbol)));
        while start_ms >= oldest_ms {
            let end_ms = interval.next_start_ms(start_ms);
            let running = end_ms > now_ms;
            // The running one holds what has been traded so far, and a little of the present quarter.
            let is_quiet = (self.quiet_ms.0..self.quiet_ms.1).contains(&now_ms);
            let traded = if running && is_quiet {
                self.made_of(symbol, start_ms, now_ms / QUARTER_MS * QUARTER_MS)
            } else if running {
                let so_far = now_ms / QUARTER_MS * QUARTER_MS;
                let mut candle = self
                    .made_of(symbol, start_ms, so_far.max(start_ms))
                    .unwrap_or_else(|| Candle::flat(start_ms, Price::from_raw(12_345_678)));
                candle.num_trades += 1;
                candle.volume = Volume::from_raw(candle.volume.raw() + 1);
                Some(candle)
            } else {
                self.made_of(symbol, start_ms, end_ms).map(|candle| {
                    let short = end_ms + SETTLES_MS > now_ms;
                    let volume = Volume::from_raw(candle.volume.raw() - i128::from(short));
                    Candle { volume, ..candle }
                })
            };
            let candle = match venue {
                Venue::Binance => traded.or_else(|| self.candle(symbol, interval, start_ms)),
                Venue::Hyperliquid => traded,
            };
            if let Some(candle) = candle {
                let candle = Some(candle).filter(|_| self.unrepresentable_ms != Some(start_ms));
                rows.push(CandleRow { start_ms, end_ms: end_ms - 1, candle });
            }
            if venue == Venue::Hyperliquid && rows.len() == HYPERLIQUID_ROWS {
                break;
            }
            let Some(before) = start_ms.checked_sub(1) else { break };
            start_ms = self.start_ms_of(interval, before);
        }
        rows.reverse();
        rows.truncate(limit);
        rows
    }
}
