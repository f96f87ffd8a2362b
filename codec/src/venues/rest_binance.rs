//! Binance USDⓈ-M futures: answers of the public REST interface (`/fapi/v1`, October 2026).
//!
//! Read on the fetcher's thread; these allocate.

use super::binance::general as rows;
use super::general::{Elements, Value, read_once, required};
use super::{DecodeError, candle_row};
use crate::candle::CandleRow;
use crate::decimal::{Price, Size};
use crate::limits::{MESSAGE_CANDLES_MAX, STRANGE_THINGS_MAX};
use crate::record::Level;
use crate::words::{InstrumentKind, InstrumentStatus, Side};

/// `exchangeInfo`: the venue's limit and its instruments.
#[derive(Clone, Debug, PartialEq)]
pub struct ExchangeInfo {
    /// Request weight an address may spend a minute; `None` where the venue does not say.
    pub request_weight_per_minute: Option<u64>,
    /// Every listed instrument.
    pub symbols: Vec<InstrumentInfo>,
    /// Words of kinds and stages of contracts that are not known, each once.
    pub unknown_words: Vec<UnknownWord>,
}

/// A word of `exchangeInfo` that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownWord {
    /// As `exchangeInfo.status=WORD`.
    pub what: String,
    /// Who is described so in the first row that holds it: the body it stands in is too large to keep.
    pub seen: String,
}

/// One instrument of `exchangeInfo`.
#[derive(Clone, Debug, PartialEq)]
pub struct InstrumentInfo {
    /// Symbol, upper case.
    pub symbol: String,
    /// Base asset.
    pub base: String,
    /// Quote asset.
    pub quote: String,
    /// Perpetual (of traditional assets too) or dated.
    pub kind: InstrumentKind,
    /// `contractType` is exactly `PERPETUAL`.
    pub perpetual: bool,
    /// Whether it trades.
    pub status: InstrumentStatus,
    /// `tickSize` of `PRICE_FILTER` (not `pricePrecision`); `None` where absent, zero or unrepresentable.
    pub tick_size: Option<Price>,
    /// `stepSize` of `LOT_SIZE`; `None` where absent, zero or unrepresentable.
    pub lot_size: Option<Size>,
    /// A COIN-M contract: margined in its base asset.
    pub coin_margined: bool,
}

/// `depth`: a book to begin with.
#[derive(Clone, Debug, PartialEq)]
pub struct DepthSnapshot {
    /// The update the book stands at.
    pub last_update_id: u64,
    /// When it was sent (`E`), ms since the epoch.
    pub event_ms: u64,
    /// When the last change happened (`T`), ms since the epoch.
    pub transaction_ms: u64,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
    /// Levels left out because they have more digits than are carried.
    pub unrepresentable: u32,
}

/// One row of `fundingInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FundingInfo {
    /// Symbol, upper case.
    pub symbol: String,
    /// Hours between settlements, never zero.
    pub interval_hours: u32,
}

/// One row of `aggTrades`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggTradeRow {
    /// Aggregate id, without holes per symbol.
    pub agg_id: u64,
    /// Price and size; `None` when one has more digits than are carried.
    pub value: Option<(Price, Size)>,
    /// When it was traded, ms since the epoch.
    pub trade_ms: u64,
    /// Who took liquidity.
    pub side: Side,
}

/// Reads `exchangeInfo`. Unknown fields, filters and words are ignored.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn exchange_info(body: &mut [u8]) -> Result<ExchangeInfo, DecodeError> {
    read_once(body, |root, _| {
        let [limits, symbols] = root.fields(["rateLimits", "symbols"], "an exchangeInfo")?;
        let rows = || required(symbols, "symbols")?.elements("an array of symbols");
        Ok(ExchangeInfo {
            request_weight_per_minute: limits.and_then(request_weight_per_minute),
            symbols: rows()?.map(instrument).collect::<Result<_, _>>()?,
            unknown_words: unknown_words(rows()?),
        })
    })
}

fn request_weight_per_minute(limits: Value<'_, '_>) -> Option<u64> {
    limits.elements("rate limits").ok()?.find_map(|row| {
        let [kind, interval, count, limit] =
            row.fields(["rateLimitType", "interval", "intervalNum", "limit"], "a rate limit").ok()?;
        let is = |field: Option<Value<'_, '_>>, word| field.and_then(Value::text) == Some(word);
        if !is(kind, "REQUEST_WEIGHT") || !is(interval, "MINUTE") {
            return None;
        }
        let minutes = count.and_then(|count| count.integer("intervalNum").ok()).unwrap_or(1);
        limit?.integer("limit").ok()?.checked_div(minutes)
    })
}

fn unknown_words(rows: Elements<'_, '_>) -> Vec<UnknownWord> {
    let mut found: Vec<UnknownWord> = Vec::new();
    for row in rows {
        let names = ["symbol", "contractType", "status"];
        let Ok([symbol, contract, status]) = row.fields(names, "a symbol's description") else {
            continue;
        };
        for (word, words, of) in
            [(contract, rows::CONTRACT_TYPES, "contractType"), (status, rows::CONTRACT_STATUSES, "status")]
        {
            let Some(word) = word.and_then(Value::text).filter(|word| !words.contains(word)) else {
                continue;
            };
            let what = format!("exchangeInfo.{of}={word}");
            if found.len() < STRANGE_THINGS_MAX && found.iter().all(|known| known.what != what) {
                let [symbol, contract, status] =
                    [symbol, contract, status].map(|field| field.and_then(Value::text).unwrap_or("(none)"));
                let seen = format!("symbol {symbol}, contractType {contract}, status {status}");
                found.push(UnknownWord { what, seen });
            }
        }
    }
    found
}

fn instrument(row: Value<'_, '_>) -> Result<InstrumentInfo, DecodeError> {
    let names =
        ["symbol", "baseAsset", "quoteAsset", "marginAsset", "contractType", "status", "filters", "st"];
    let [symbol, base, quote, margin, contract, status, filters, settlement] =
        row.fields(names, "a symbol's description")?;
    let word = |field: Option<Value<'_, '_>>| field.and_then(Value::text).unwrap_or("").to_owned();
    let symbol = required(symbol, "symbol")?.text().ok_or(DecodeError::Malformed("symbol"))?.to_owned();
    let (base, margin, contract) = (word(base), word(margin), word(contract));
    let filter = |kind, name| filters.and_then(|filters| filter(filters, kind, name));
    let positive_price =
        |value: Value<'_, '_>| value.price().ok().flatten().filter(|step| *step > Price::ZERO);
    let positive_size = |value: Value<'_, '_>| value.size().ok().flatten().filter(|step| *step > Size::ZERO);
    Ok(InstrumentInfo {
        symbol,
        quote: word(quote),
        kind: match contract.as_str() {
            "PERPETUAL" | "TRADIFI_PERPETUAL" => InstrumentKind::Perp,
            _ => InstrumentKind::Future,
        },
        perpetual: contract == "PERPETUAL",
        status: match word(status).as_str() {
            "TRADING" => InstrumentStatus::Trading,
            "DELIVERING" | "DELIVERED" | "SETTLING" | "CLOSE" => InstrumentStatus::Delisted,
            _ => InstrumentStatus::Halted,
        },
        tick_size: filter("PRICE_FILTER", "tickSize").and_then(positive_price),
        lot_size: filter("LOT_SIZE", "stepSize").and_then(positive_size),
        coin_margined: settlement.is_some_and(|kind| kind.integer("st") == Ok(2))
            || (!margin.is_empty() && margin == base),
        base,
    })
}

/// The member `name` of the first filter of this kind.
fn filter<'t, 'a>(filters: Value<'t, 'a>, kind: &str, name: &str) -> Option<Value<'t, 'a>> {
    filters.elements("filters").ok()?.find_map(|row| {
        let [found, value] = row.fields(["filterType", name], "a filter").ok()?;
        if found?.text()? == kind { value } else { None }
    })
}

/// Reads `depth`.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn depth(body: &mut [u8]) -> Result<DepthSnapshot, DecodeError> {
    read_once(body, |root, arena| {
        let [last_update_id, event_ms, transaction_ms, bids, asks] =
            root.fields(["lastUpdateId", "E", "T", "bids", "asks"], "a depth snapshot")?;
        let (bids, bids_left_out) = required(bids, "bids")?.levels(arena, rows::level)?;
        let (asks, asks_left_out) = required(asks, "asks")?.levels(arena, rows::level)?;
        Ok(DepthSnapshot {
            last_update_id: rows::integer(last_update_id, "lastUpdateId")?,
            event_ms: rows::integer(event_ms, "E")?,
            transaction_ms: rows::integer(transaction_ms, "T")?,
            bids: bids.to_vec(),
            asks: asks.to_vec(),
            unrepresentable: bids_left_out + asks_left_out,
        })
    })
}

/// Reads `aggTrades`, in the order sent (ascending).
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn agg_trades(body: &mut [u8]) -> Result<Vec<AggTradeRow>, DecodeError> {
    read_once(body, |root, _| {
        root.elements("an array of trades")?
            .map(|row| {
                let [agg_id, price, size, trade_ms, buyer_is_maker] =
                    row.fields(["a", "p", "q", "T", "m"], "a trade")?;
                Ok(AggTradeRow {
                    agg_id: rows::integer(agg_id, "a")?,
                    value: rows::value(price, size)?,
                    trade_ms: rows::integer(trade_ms, "T")?,
                    side: rows::side(buyer_is_maker)?,
                })
            })
            .collect()
    })
}

/// Reads `klines`, in the order sent (ascending); the last one may be of a period that is not over.
///
/// # Errors
/// [`DecodeError`] when it is not JSON, not of the documented form, or has more than [`MESSAGE_CANDLES_MAX`] rows.
pub fn klines(body: &mut [u8]) -> Result<Vec<CandleRow>, DecodeError> {
    read_once(body, |root, _| {
        let rows = root.elements("an array of klines")?;
        if rows.len() > MESSAGE_CANDLES_MAX {
            return Err(DecodeError::TooLarge("candles"));
        }
        rows.map(kline).collect()
    })
}

/// A row `[start, open, high, low, close, volume, end, quote volume, trades, …]`.
fn kline(row: Value<'_, '_>) -> Result<CandleRow, DecodeError> {
    let mut cells = row.elements("a kline of at least nine cells")?;
    let mut next = || cells.next();
    let [start_ms, open, high, low, close, volume, end_ms, _, num_trades] = core::array::from_fn(|_| next());
    candle_row::of_fields([start_ms, end_ms, open, high, low, close, volume, num_trades])
}

/// Reads `fundingInfo`, which lists only symbols whose funding differs from the usual: eight hours apart.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn funding_info(body: &mut [u8]) -> Result<Vec<FundingInfo>, DecodeError> {
    read_once(body, |root, _| {
        root.elements("an array of funding infos")?
            .map(|row| {
                let [symbol, hours] = row.fields(["symbol", "fundingIntervalHours"], "a funding info")?;
                let hours = rows::integer(hours, "fundingIntervalHours")?;
                Ok(FundingInfo {
                    symbol: rows::text(symbol, "symbol")?.to_owned(),
                    interval_hours: u32::try_from(hours)
                        .ok()
                        .filter(|hours| *hours > 0)
                        .ok_or(DecodeError::Malformed("fundingIntervalHours"))?,
                })
            })
            .collect()
    })
}

/// The code and text of an error body `{"code":…,"msg":…}`; `None` when the body is none.
#[must_use]
pub fn error(body: &mut [u8]) -> Option<(i64, String)> {
    read_once(body, |root, _| {
        let [code, text] = root.fields(["code", "msg"], "an object")?;
        let code = code.and_then(Value::signed).ok_or(DecodeError::Malformed("a code"))?;
        Ok((code, text.and_then(Value::text).unwrap_or("").to_owned()))
    })
    .ok()
}

/// Reads `time`: the venue's clock, ms since the epoch.
///
/// # Errors
/// [`DecodeError`] when it is not JSON or not of the documented form.
pub fn server_time(body: &mut [u8]) -> Result<u64, DecodeError> {
    read_once(body, |root, _| {
        let [time_ms] = root.fields(["serverTime"], "an object")?;
        rows::integer(time_ms, "serverTime")
    })
}
