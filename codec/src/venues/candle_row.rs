//! A candle from a parsed document. Both venues give its members the same letters.

use super::DecodeError;
use super::general::{Value, required};
use crate::candle::{Candle, CandleRow};

/// The candle of an object with members `t`, `T`, `o`, `h`, `l`, `c`, `v` and `n`; others are ignored.
pub fn of_object(row: Value<'_, '_>) -> Result<CandleRow, DecodeError> {
    of_fields(row.fields(["t", "T", "o", "h", "l", "c", "v", "n"], "a candle")?)
}

/// The candle of these values, in the order of [`of_object`].
pub fn of_fields(fields: [Option<Value<'_, '_>>; 8]) -> Result<CandleRow, DecodeError> {
    let [start_ms, end_ms, open, high, low, close, volume, num_trades] = fields;
    let start_ms = required(start_ms, "a candle's start")?.integer("a candle's start")?;
    let end_ms = required(end_ms, "a candle's end")?.integer("a candle's end")?;
    let price = |field| required(field, "a candle's price")?.price();
    let (open, high, low, close) = (price(open)?, price(high)?, price(low)?, price(close)?);
    let volume = required(volume, "a candle's volume")?.volume()?;
    let num_trades = required(num_trades, "a candle's trades")?.integer("a candle's trades")?;
    let candle = || {
        Some(Candle {
            start_ms,
            open: open?,
            high: high?,
            low: low?,
            close: close?,
            volume: volume?,
            num_trades,
        })
    };
    Ok(CandleRow { start_ms, end_ms, candle: candle() })
}
