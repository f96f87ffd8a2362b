//! Hyperliquid: answers of the public REST interface (`POST /info`, October 2026).
//!
//! Read on the fetcher's thread; these allocate.

use super::general::{Elements, Value, optional, read_once, required};
use super::hyperliquid::general as rows;
use super::{DecodeError, candle_row};
use crate::candle::CandleRow;
use crate::decimal::{Price, Size};
use crate::limits::MESSAGE_CANDLES_MAX;
use crate::record::Level;
use crate::words::Side;

/// One perpetual of a `meta` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstrumentInfo {
    /// Name on the wire, with its exchange's prefix (`xyz:NVDA`) outside the first one.
    pub name: String,
    /// Decimal places of sizes (`szDecimals`).
    pub size_decimals: u8,
    /// No longer listed: subscriptions are accepted and deliver empty books.
    pub delisted: bool,
}

/// One spot pair of a `spotMeta` answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpotInfo {
    /// Name on the wire: `PURR/USDC`, or `@` and the pair's index.
    pub name: String,
    /// Index of the pair.
    pub index: u64,
    /// Base token's name.
    pub base: String,
    /// Quote token's name.
    pub quote: String,
    /// Decimal places of sizes: the base token's `szDecimals`.
    pub size_decimals: u8,
    /// `isCanonical`.
    pub canonical: bool,
}

/// `l2Book`: a book of up to 20 levels a side.
#[derive(Clone, Debug, PartialEq)]
pub struct L2BookSnapshot {
    /// Coin, as asked for.
    pub coin: String,
    /// Venue time, ms since the epoch.
    pub time_ms: u64,
    /// Bids, highest first.
    pub bids: Vec<Level>,
    /// Asks, lowest first.
    pub asks: Vec<Level>,
    /// Levels left out because they have more digits than are carried.
    pub unrepresentable: u32,
}

/// What was traded of one perpetual in a day, of `metaAndAssetCtxs`.
#[derive(Clone, Debug, PartialEq)]
pub struct Turnover {
    /// Name on the wire.
    pub name: String,
    /// Notional of the last 24 hours, quote units (`dayNtlVlm`), the nearest double: for ranking only.
    pub day_notional: f64,
}

/// One row of `recentTrades`.
#[derive(Clone, Debug, PartialEq)]
pub struct TradeRow {
    /// Coin, as asked for.
    pub coin: String,
    /// Who took liquidity.
    pub side: Side,
    /// Price and size; `None` when one has more digits than are carried.
    pub value: Option<(Price, Size)>,
    /// Block time, ms since the epoch.
    pub time_ms: u64,
    /// The venue's id; unique with time and coin.
    pub tid: u64,
}

/// Reads `meta` of one exchange, in the venue's order: a perpetual's position is its asset id.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn meta(body: &mut [u8]) -> Result<Vec<InstrumentInfo>, DecodeError> {
    read_once(body, |root, _| {
        universe(root)?
            .map(|row| {
                let [name, size_decimals, delisted] =
                    row.fields(["name", "szDecimals", "isDelisted"], "an instrument")?;
                Ok(InstrumentInfo {
                    name: rows::text(name, "name")?.to_owned(),
                    size_decimals: small(size_decimals, "szDecimals")?,
                    delisted: delisted.and_then(Value::boolean).unwrap_or(false),
                })
            })
            .collect()
    })
}

/// The perpetuals of a `meta`.
fn universe<'t, 'a>(meta: Value<'t, 'a>) -> Result<Elements<'t, 'a>, DecodeError> {
    let [universe] = meta.fields(["universe"], "a meta")?;
    required(universe, "universe")?.elements("a universe")
}

/// Reads `metaAndAssetCtxs`: what was traded of each perpetual of one exchange in a day, in the order of `meta`.
/// A turnover that is not told counts as none.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form; also when the two lists, which belong together
/// by position, have different lengths.
pub fn turnover(body: &mut [u8]) -> Result<Vec<Turnover>, DecodeError> {
    read_once(body, |root, _| {
        let [meta, ctxs] = rows::pair(root, "a meta and its ctxs")?;
        let (perps, ctxs) = (universe(meta)?, ctxs.elements("an array of ctxs")?);
        if perps.len() != ctxs.len() {
            return Err(DecodeError::Malformed("as many ctxs as perpetuals"));
        }
        perps
            .zip(ctxs)
            .map(|(perp, ctx)| {
                let [name] = perp.fields(["name"], "an instrument")?;
                let [notional] = ctx.fields(["dayNtlVlm"], "a ctx")?;
                let double = |value: Value<'_, '_>| value.double("dayNtlVlm").map(Some);
                Ok(Turnover {
                    name: rows::text(name, "name")?.to_owned(),
                    day_notional: optional(notional, double)?.unwrap_or(0.0),
                })
            })
            .collect()
    })
}

/// Reads `spotMeta`. A pair of tokens that are not listed is left out.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn spot_meta(body: &mut [u8]) -> Result<Vec<SpotInfo>, DecodeError> {
    read_once(body, |root, _| {
        let [universe, tokens] = root.fields(["universe", "tokens"], "a spotMeta")?;
        let mut known = std::collections::HashMap::new();
        for token in required(tokens, "tokens")?.elements("an array of tokens")? {
            let [name, size_decimals, index] = token.fields(["name", "szDecimals", "index"], "a token")?;
            let name = rows::text(name, "name")?;
            known.insert(rows::integer(index, "index")?, (name, small(size_decimals, "szDecimals")?));
        }
        let mut pairs = Vec::new();
        for row in required(universe, "universe")?.elements("a universe")? {
            let [name, index, tokens, canonical] =
                row.fields(["name", "index", "tokens", "isCanonical"], "a pair")?;
            let [base, quote] = rows::pair(required(tokens, "tokens")?, "two tokens")?;
            let (base, quote) = (base.integer("a token's index")?, quote.integer("a token's index")?);
            let (Some(&(base, size_decimals)), Some(&(quote, _))) = (known.get(&base), known.get(&quote))
            else {
                continue;
            };
            pairs.push(SpotInfo {
                name: rows::text(name, "name")?.to_owned(),
                index: rows::integer(index, "index")?,
                base: base.to_owned(),
                quote: quote.to_owned(),
                size_decimals,
                canonical: canonical.and_then(Value::boolean).unwrap_or(false),
            });
        }
        Ok(pairs)
    })
}

/// Reads `perpDexs`: the names of the exchanges, the first one's (`null`) being empty.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn perp_dexs(body: &mut [u8]) -> Result<Vec<String>, DecodeError> {
    read_once(body, |root, _| {
        root.elements("an array of exchanges")?
            .map(|row| {
                if row.is_null() {
                    return Ok(String::new());
                }
                let [name] = row.fields(["name"], "an exchange")?;
                Ok(rows::text(name, "name")?.to_owned())
            })
            .collect()
    })
}

/// Reads `l2Book`; `None` for a coin the venue does not know.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn l2_book(body: &mut [u8]) -> Result<Option<L2BookSnapshot>, DecodeError> {
    read_once(body, |root, arena| {
        if root.is_null() {
            return Ok(None);
        }
        let [coin, time_ms, levels] = root.fields(["coin", "time", "levels"], "an l2Book")?;
        let [bids, asks] = rows::pair(required(levels, "levels")?, "levels of two sides")?;
        let (bids, bids_left_out) = bids.levels(arena, rows::level)?;
        let (asks, asks_left_out) = asks.levels(arena, rows::level)?;
        Ok(Some(L2BookSnapshot {
            coin: rows::text(coin, "coin")?.to_owned(),
            time_ms: rows::integer(time_ms, "time")?,
            bids: bids.to_vec(),
            asks: asks.to_vec(),
            unrepresentable: bids_left_out + asks_left_out,
        }))
    })
}

/// Reads `recentTrades`, in the order sent.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn recent_trades(body: &mut [u8]) -> Result<Vec<TradeRow>, DecodeError> {
    read_once(body, |root, _| {
        root.elements("an array of trades")?
            .map(|row| {
                let trade = rows::trade(row)?;
                Ok(TradeRow {
                    coin: trade.coin.to_owned(),
                    side: trade.side,
                    value: trade.value,
                    time_ms: trade.time_ms,
                    tid: trade.tid,
                })
            })
            .collect()
    })
}

/// Reads `candleSnapshot`, in the order sent (ascending); empty for a coin the venue does not know. The last one may
/// be of a period that is not over.
///
/// # Errors
/// [`DecodeError`] when it is not JSON, not of the documented form, or has more than [`MESSAGE_CANDLES_MAX`] rows.
pub fn candle_snapshot(body: &mut [u8]) -> Result<Vec<CandleRow>, DecodeError> {
    read_once(body, |root, _| {
        if root.is_null() {
            return Ok(Vec::new());
        }
        let rows = root.elements("an array of candles")?;
        if rows.len() > MESSAGE_CANDLES_MAX {
            return Err(DecodeError::TooLarge("candles"));
        }
        rows.map(candle_row::of_object).collect()
    })
}

fn small(field: Option<Value<'_, '_>>, name: &'static str) -> Result<u8, DecodeError> {
    u8::try_from(rows::integer(field, name)?).map_err(|_| DecodeError::Malformed(name))
}
