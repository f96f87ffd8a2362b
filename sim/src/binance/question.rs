//! What Binance's REST is asked: read, weighed, and refused as far as that needs no market.

use super::rest::error;
use crate::limits::{BINANCE_AGG_TRADES_MAX, BINANCE_KLINES_MAX};
use crate::market::Interval;
use crate::protocol::{Request, Response};
use std::collections::HashMap;

/// A request for market data, checked as far as that needs no market.
pub enum Question {
    /// `/fapi/v1/time`
    Time,
    /// `/fapi/v1/exchangeInfo`
    ExchangeInfo,
    /// `/fapi/v1/depth`
    Depth {
        /// The symbol.
        symbol: String,
        /// Levels a side.
        limit: usize,
    },
    /// `/fapi/v1/aggTrades`
    AggTrades(AggTradesQuery),
    /// `/fapi/v1/klines`
    Klines(KlinesQuery),
    /// `/fapi/v1/premiumIndex`
    PremiumIndex {
        /// One symbol, or all.
        symbol: Option<String>,
    },
    /// `/fapi/v1/fundingInfo`
    FundingInfo,
    /// `/fapi/v1/fundingRate`
    FundingRates(FundingRatesQuery),
}

/// What `/fapi/v1/klines` is asked.
pub struct KlinesQuery {
    /// The symbol.
    pub symbol: String,
    /// The interval.
    pub interval: Interval,
    /// The earliest opening wanted.
    pub start_ms: Option<i64>,
    /// The latest opening wanted, inclusive.
    pub end_ms: Option<i64>,
    /// Rows at most.
    pub limit: usize,
}

/// What `/fapi/v1/fundingRate` is asked.
pub struct FundingRatesQuery {
    /// The symbol.
    pub symbol: String,
    /// The earliest time wanted.
    pub start_ms: Option<i64>,
    /// The latest time wanted, inclusive.
    pub end_ms: Option<i64>,
    /// Rows at most.
    pub limit: usize,
}

/// What `/fapi/v1/aggTrades` is asked.
pub struct AggTradesQuery {
    /// The symbol.
    pub symbol: String,
    /// The first id wanted, inclusive.
    pub from_id: Option<u64>,
    /// The earliest time wanted.
    pub start_ms: Option<i64>,
    /// The latest time wanted, inclusive.
    pub end_ms: Option<i64>,
    /// Rows at most.
    pub limit: usize,
}

/// Weight of `/depth` by its limit; other limits are refused.
fn depth_weight(limit: usize) -> Option<u64> {
    match limit {
        5 | 10 | 20 | 50 => Some(2),
        100 => Some(5),
        500 => Some(10),
        1000 => Some(20),
        _ => None,
    }
}

/// Weight of `/klines` by its limit.
fn klines_weight(limit: usize) -> u64 {
    match limit {
        0..=100 => 1,
        101..=500 => 2,
        501..=1000 => 5,
        _ => 10,
    }
}

/// What a request costs and asks; an error in it costs as well.
pub fn question(request: &Request) -> (u64, Result<Question, Response>) {
    if request.method != "GET" {
        return (1, Err(Response::text(405, "")));
    }
    let parameters = request.target.parameters();
    match request.target.path.as_str() {
        "/fapi/v1/time" => (1, Ok(Question::Time)),
        "/fapi/v1/ping" => (1, Err(Response::json(200, "{}"))),
        "/fapi/v1/exchangeInfo" => (1, Ok(Question::ExchangeInfo)),
        "/fapi/v1/depth" => depth_question(&parameters),
        "/fapi/v1/aggTrades" => (20, agg_trades_question(&parameters).map(Question::AggTrades)),
        "/fapi/v1/premiumIndex" => {
            let symbol = parameters.get("symbol").cloned();
            (if symbol.is_some() { 1 } else { 10 }, Ok(Question::PremiumIndex { symbol }))
        }
        "/fapi/v1/klines" => {
            let limit = number(&parameters, "limit").ok().flatten().unwrap_or(KLINES_LIMIT);
            (klines_weight(limit), klines_question(&parameters).map(Question::Klines))
        }
        "/fapi/v1/fundingInfo" => (1, Ok(Question::FundingInfo)),
        "/fapi/v1/fundingRate" => (1, funding_rates_question(&parameters).map(Question::FundingRates)),
        _ => (1, Err(Response::text(404, "Not Found"))),
    }
}

fn symbol(parameters: &HashMap<String, String>) -> Result<String, Response> {
    let missing =
        || error(400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed.");
    parameters.get("symbol").filter(|symbol| !symbol.is_empty()).cloned().ok_or_else(missing)
}

/// A parameter as a number; the venue's answer if it is none.
fn number<T: std::str::FromStr>(
    parameters: &HashMap<String, String>,
    name: &str,
) -> Result<Option<T>, Response> {
    let illegal = |_| error(400, -1102, &format!("Mandatory parameter '{name}' was malformed."));
    parameters.get(name).map(|text| text.parse().map_err(illegal)).transpose()
}

fn depth_question(parameters: &HashMap<String, String>) -> (u64, Result<Question, Response>) {
    const DEFAULT_LIMIT: usize = 500;
    let limit = match number(parameters, "limit") {
        Ok(limit) => limit.unwrap_or(DEFAULT_LIMIT),
        Err(response) => return (2, Err(response)),
    };
    match depth_weight(limit) {
        None => (2, Err(error(400, -4021, &format!("{limit} is not valid depth limit.")))),
        Some(weight) => (weight, symbol(parameters).map(|symbol| Question::Depth { symbol, limit })),
    }
}

fn agg_trades_question(parameters: &HashMap<String, String>) -> Result<AggTradesQuery, Response> {
    const DEFAULT_LIMIT: usize = 500;
    let limit = number(parameters, "limit")?.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > BINANCE_AGG_TRADES_MAX {
        return Err(error(400, -1130, "Data sent for parameter 'limit' is not valid."));
    }
    let query = AggTradesQuery {
        symbol: symbol(parameters)?,
        from_id: number(parameters, "fromId")?,
        start_ms: number(parameters, "startTime")?,
        end_ms: number(parameters, "endTime")?,
        limit,
    };
    if query.from_id.is_some() && (query.start_ms.is_some() || query.end_ms.is_some()) {
        return Err(error(400, -1128, "Combination of optional parameters invalid."));
    }
    Ok(query)
}

/// Rows of `/klines` if no limit is named.
const KLINES_LIMIT: usize = 500;

fn klines_question(parameters: &HashMap<String, String>) -> Result<KlinesQuery, Response> {
    let limit = number(parameters, "limit")?.unwrap_or(KLINES_LIMIT);
    if limit == 0 || limit > BINANCE_KLINES_MAX {
        return Err(error(400, -1130, "Data sent for parameter 'limit' is not valid."));
    }
    let symbol = symbol(parameters)?;
    let missing = "Mandatory parameter 'interval' was not sent, was empty/null, or malformed.";
    let interval = parameters.get("interval").ok_or_else(|| error(400, -1102, missing))?;
    let interval = Interval::from_name(interval).ok_or_else(|| error(400, -1120, "Invalid interval."))?;
    let (start_ms, end_ms) = (number(parameters, "startTime")?, number(parameters, "endTime")?);
    Ok(KlinesQuery { symbol, interval, start_ms, end_ms, limit })
}

fn funding_rates_question(parameters: &HashMap<String, String>) -> Result<FundingRatesQuery, Response> {
    const DEFAULT_LIMIT: usize = 100;
    const LIMIT_MAX: usize = 1000;
    let (start_ms, end_ms) = (number(parameters, "startTime")?, number(parameters, "endTime")?);
    let limit = number(parameters, "limit")?.unwrap_or(DEFAULT_LIMIT).min(LIMIT_MAX);
    Ok(FundingRatesQuery { symbol: symbol(parameters)?, start_ms, end_ms, limit })
}

/// Whether a trade is one of those asked for; with neither an id nor a time, all are.
pub fn is_asked(query: &AggTradesQuery, id: u64, time_ms: i64) -> bool {
    query.from_id.is_none_or(|from| id >= from)
        && query.start_ms.is_none_or(|start| time_ms >= start)
        && query.end_ms.is_none_or(|end| time_ms <= end)
}

/// The rows asked for: the oldest that fit, or the newest if no beginning was named.
pub fn page<T>(rows: Vec<T>, query: &AggTradesQuery) -> Vec<T> {
    let skip = if query.from_id.is_some() || query.start_ms.is_some() {
        0
    } else {
        rows.len().saturating_sub(query.limit)
    };
    rows.into_iter().skip(skip).take(query.limit).collect()
}
