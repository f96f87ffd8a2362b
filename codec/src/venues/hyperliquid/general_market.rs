//! Candles, funding and marks from a parsed document.

use super::general::{known, text};
use super::{AssetCtx, CandleFrame, DexCtx};
use crate::limits::{MESSAGE_CANDLES_MAX, MESSAGE_CTXS_MAX};
use crate::venues::general::{Known, Value, optional, required};
use crate::venues::{DecodeError, candle_row};
use crate::words::Interval;
use bumpalo::Bump;
use bumpalo::collections::Vec;

/// A candle: what is read in [`candle_row`].
const CANDLE: Known = known("candle", &["t", "T", "o", "h", "l", "c", "v", "n"]);

/// A context: what perps have, and what spot pairs have instead.
const CTX: Known = known(
    "ctx",
    &[
        "prevDayPx",
        "dayNtlVlm",
        "dayBaseVlm",
        "premium",
        "midPx",
        "impactPxs",
        "circulatingSupply",
        "totalSupply",
        "coin",
    ],
);

/// One candle or an array of them: the documentation leaves open which.
pub fn candles<'a>(data: Value<'_, 'a>, arena: &'a Bump) -> Result<&'a [CandleFrame<'a>], DecodeError> {
    if !data.is_array() {
        return Ok(core::slice::from_ref(arena.alloc(candle(data)?)));
    }
    let rows = data.elements("an array of candles")?;
    if rows.len() > MESSAGE_CANDLES_MAX {
        return Err(DecodeError::TooLarge("candles"));
    }
    let mut candles = Vec::with_capacity_in(rows.len(), arena);
    for row in rows {
        candles.push(candle(row)?);
    }
    Ok(candles.into_bump_slice())
}

fn candle<'a>(row: Value<'_, 'a>) -> Result<CandleFrame<'a>, DecodeError> {
    let [coin, interval] = row.known_fields(["s", "i"], CANDLE, "a candle")?;
    let length = Interval::from_word(text(interval, "i")?);
    if let (None, Some(interval)) = (length, interval) {
        interval.note_value("candle.i");
    }
    Ok(CandleFrame { coin: text(coin, "s")?, interval: length, row: candle_row::of_object(row)? })
}

/// Of one coin, by its name.
pub fn asset_ctx<'a>(data: Value<'_, 'a>, spot: bool) -> Result<AssetCtx<'a>, DecodeError> {
    let [coin, values] =
        data.known_fields(["coin", "ctx"], known("activeAssetCtx", &[]), "an activeAssetCtx")?;
    ctx(required(values, "ctx")?, text(coin, "coin")?, spot)
}

/// Of every exchange, by position.
pub fn dex_ctxs<'a>(data: Value<'_, 'a>, arena: &'a Bump) -> Result<&'a [DexCtx<'a>], DecodeError> {
    let [exchanges] = data.known_fields(["ctxs"], known("allDexsAssetCtxs", &[]), "allDexsAssetCtxs")?;
    let exchanges = || required(exchanges, "ctxs")?.elements("an array of exchanges");
    let mut total = 0;
    for exchange in exchanges()? {
        total += exchange_of(exchange)?.1.elements("an exchange's ctxs")?.len();
    }
    if total > MESSAGE_CTXS_MAX {
        return Err(DecodeError::TooLarge("ctxs"));
    }
    let mut entries = Vec::with_capacity_in(total, arena);
    for exchange in exchanges()? {
        let (dex, rows) = exchange_of(exchange)?;
        let rows = rows.elements("an exchange's ctxs")?;
        let count = rows.len() as u32;
        for (position, row) in (0..count).zip(rows) {
            entries.push(DexCtx { dex, position, count, ctx: ctx(row, "", false)? });
        }
    }
    Ok(entries.into_bump_slice())
}

/// `[name, ctxs]`; the first exchange's name is empty.
fn exchange_of<'t, 'a>(row: Value<'t, 'a>) -> Result<(&'a str, Value<'t, 'a>), DecodeError> {
    let [name, rows] = super::general::pair(row, "an exchange and its ctxs")?;
    Ok((text(Some(name), "an exchange's name")?, rows))
}

fn ctx<'a>(values: Value<'_, 'a>, coin: &'a str, spot: bool) -> Result<AssetCtx<'a>, DecodeError> {
    let [rate, open_interest, oracle, mark] =
        values.known_fields(["funding", "openInterest", "oraclePx", "markPx"], CTX, "a ctx")?;
    Ok(AssetCtx {
        coin,
        spot,
        rate: optional(rate, Value::rate)?,
        open_interest: optional(open_interest, Value::size)?,
        oracle: optional(oracle, Value::price)?,
        mark: optional(mark, Value::price)?,
    })
}
