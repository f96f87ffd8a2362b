//! The final candles of a capture, and how the venues' candles are read from captured frames.

use crate::decimal::SCALE_DECIMALS;
use crate::market::{Interval, TruthCandle};
use crate::random::Random;
use serde_json::Value;
use std::collections::BTreeMap;

/// Candles by symbol, interval and beginning.
#[derive(Default)]
pub struct Finals(BTreeMap<(String, Interval), BTreeMap<i64, TruthCandle>>);

impl Finals {
    /// Adds a candle, or replaces the one of its period.
    pub fn insert(&mut self, symbol: &str, interval: Interval, candle: TruthCandle) {
        self.0.entry((symbol.to_owned(), interval)).or_default().insert(candle.open_ms, candle);
    }

    /// Whether there is any candle of a symbol and interval.
    pub fn has(&self, symbol: &str, interval: Interval) -> bool {
        self.0.contains_key(&(symbol.to_owned(), interval))
    }

    /// The candles whose periods begin from one time on and before another.
    pub fn range(&self, symbol: &str, interval: Interval, from_ms: i64, before_ms: i64) -> Vec<TruthCandle> {
        let Some(candles) = self.0.get(&(symbol.to_owned(), interval)) else { return Vec::new() };
        let wanted = |open_ms: &i64| (from_ms..before_ms).contains(open_ms);
        candles.iter().filter(|(open_ms, _)| wanted(open_ms)).map(|(_, candle)| *candle).collect()
    }

    /// Everything there is.
    pub fn all(&self) -> impl Iterator<Item = (&str, Interval, &TruthCandle)> {
        self.0.iter().flat_map(|((symbol, interval), candles)| {
            candles.values().map(move |candle| (symbol.as_str(), *interval, candle))
        })
    }
}

/// A decimal string with at most so many decimals, as an integer.
fn scaled(value: &Value, scale: u32) -> Option<i128> {
    let text = value.as_str()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let missing = scale.checked_sub(u32::try_from(fraction.len()).ok()?)?;
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    digits.checked_mul(10i128.pow(missing))
}

/// A candle as both venues' frames tell it; Binance tells more.
pub fn candle_of(data: &Value) -> Option<TruthCandle> {
    let price = |name: &str| i64::try_from(scaled(&data[name], SCALE_DECIMALS)?).ok();
    let volume = |name: &str, scale: u32| scaled(&data[name], scale).unwrap_or(0);
    let id = |name: &str| data[name].as_i64().unwrap_or(-1);
    Some(TruthCandle {
        open_ms: data["t"].as_i64()?,
        close_ms: data["T"].as_i64()?,
        open_e8: price("o")?,
        high_e8: price("h")?,
        low_e8: price("l")?,
        close_e8: price("c")?,
        volume_e8: scaled(&data["v"], SCALE_DECIMALS)?,
        quote_e16: volume("q", 2 * SCALE_DECIMALS),
        buy_volume_e8: volume("V", SCALE_DECIMALS),
        buy_quote_e16: volume("Q", 2 * SCALE_DECIMALS),
        trades: data["n"].as_u64()?,
        first_trade_id: id("f"),
        last_trade_id: id("L"),
        closed: data["x"].as_bool().unwrap_or(false),
    })
}

/// Of a hundred periods: how many end with more trades than their last frame showed, and how many of those with
/// another close, or with another extreme too.
const RAISED: u64 = 40;
const RECLOSED: u64 = 30;
const RERANGED: u64 = 10;
/// Trades missed, at most.
const MISSED_MAX: u64 = 6;

/// What a Hyperliquid period ended with, given its last frame: seeded by the period alone, so that every run of a
/// capture has the same. A part of the periods gets trades that no frame showed, as at the venue.
pub fn final_of(last: &TruthCandle) -> TruthCandle {
    let mut random = Random::seeded(last.open_ms as u64, 0xF1_4A1);
    let mut value = TruthCandle { closed: true, ..*last };
    let of_hundred = random.below(100);
    if of_hundred >= RAISED || value.trades == 0 {
        return value;
    }
    let missed = 1 + random.below(MISSED_MAX);
    value.trades += missed;
    // Each of them of a size seen before: a part of the mean, in the last frame's own decimals.
    let mean_e8 = (value.volume_e8 / i128::from(value.trades)).max(1);
    let unit_e8 =
        (0..=SCALE_DECIMALS).map(|places| 10i128.pow(places)).take_while(|unit| value.volume_e8 % unit == 0);
    let unit_e8 = unit_e8.last().unwrap_or(1);
    let more_e8 = mean_e8 * i128::from(missed) / 2 / unit_e8 * unit_e8;
    value.volume_e8 += more_e8.max(unit_e8);
    let range_e8 = value.high_e8 - value.low_e8;
    if of_hundred < RECLOSED && range_e8 > 0 {
        value.close_e8 = if value.close_e8 == value.high_e8 { value.low_e8 } else { value.high_e8 };
    }
    if of_hundred < RERANGED && range_e8 > 0 {
        value.high_e8 += range_e8;
        value.close_e8 = value.high_e8;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn candles_are_read_exactly() {
        let data = json!({"t": 60_000, "T": 119_999, "o": "84143.0", "c": "84143.5", "h": "84144.0", "l": "84143.0",
            "v": "14.27847", "n": 114, "q": "1125714.73960"});
        let candle = candle_of(&data).expect("a candle");
        assert_eq!((candle.close_e8, candle.volume_e8), (8_414_350_000_000, 1_427_847_000));
        assert_eq!(candle.quote_e16, 11_257_147_396_000_000_000_000);
        assert_eq!((candle.first_trade_id, candle.closed), (-1, false));
        assert!(candle_of(&json!({"t": 1})).is_none());
    }

    #[test]
    fn some_periods_end_with_more_than_was_shown_and_never_with_less() {
        let (mut raised, mut reclosed) = (0, 0);
        for minute in 0..1000 {
            let last = TruthCandle {
                trades: 20,
                volume_e8: 1_234_500_000,
                high_e8: 20_000_000,
                low_e8: 10_000_000,
                close_e8: 15_000_000,
                ..TruthCandle::flat(minute * 60_000, (minute + 1) * 60_000, 15_000_000, false)
            };
            let value = final_of(&last);
            assert_eq!(value, final_of(&last));
            assert!(value.closed && value.trades >= last.trades && value.volume_e8 >= last.volume_e8);
            assert_eq!(value.trades > last.trades, value.volume_e8 > last.volume_e8);
            assert!(value.high_e8 >= value.close_e8 && value.low_e8 == last.low_e8);
            raised += usize::from(value.trades > last.trades);
            reclosed += usize::from(value.close_e8 != last.close_e8);
        }
        assert!((300..500).contains(&raised) && (200..400).contains(&reclosed), "{raised} {reclosed}");
    }
}
