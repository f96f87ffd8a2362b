//! Binance's REST as far as market data needs it: weights, limits, bans, and the answers of the model.

use super::frames;
use crate::counters::{MINUTE_MS, MinuteWeight, SharedCounters};
use crate::faults::Disturbances;
use crate::limits::{
    BINANCE_AGG_TRADES_MAX, BINANCE_AGG_TRADES_WINDOW_MS, BINANCE_BAN_MAX_MS, BINANCE_FIRST_BAN_MS,
    BINANCE_REFUSALS_BEFORE_BAN, BINANCE_WEIGHT_PER_MINUTE_MAX,
};
use crate::market::{MarketHandle, Side, Trade};
use crate::protocol::{Request, Response};
use flate2::{Compression, write::GzEncoder};
use std::collections::HashMap;
use std::io::Write;

/// What an address has used up.
pub struct Budget {
    weight: MinuteWeight,
    refusals: (i64, u64),
    ban_until_ms: i64,
    next_ban_ms: i64,
    enforce: bool,
}

impl Budget {
    /// A fresh one; if not enforced, it only counts.
    pub fn new(enforce: bool) -> Self {
        Self {
            weight: MinuteWeight::default(),
            refusals: (0, 0),
            ban_until_ms: 0,
            next_ban_ms: BINANCE_FIRST_BAN_MS,
            enforce,
        }
    }

    /// Takes the weight of a request: the weight used in this minute, or the refusal.
    pub fn admit(
        &mut self,
        path: &str,
        weight: u64,
        now_ms: i64,
        counters: &SharedCounters,
    ) -> Result<u64, Response> {
        let used = self.weight.add(now_ms, weight);
        let mut counters = counters.lock();
        counters.count_rest(path, used);
        let banned = now_ms < self.ban_until_ms;
        if used <= BINANCE_WEIGHT_PER_MINUTE_MAX && !banned {
            return Ok(used);
        }
        counters.violate("binance REST weight");
        if !self.enforce {
            return Ok(used);
        }
        let minute = now_ms.div_euclid(MINUTE_MS);
        if self.refusals.0 != minute {
            self.refusals = (minute, 0);
        }
        self.refusals.1 += 1;
        if !banned && self.refusals.1 > BINANCE_REFUSALS_BEFORE_BAN {
            self.ban_until_ms = now_ms + self.next_ban_ms;
            self.next_ban_ms = (self.next_ban_ms * 2).min(BINANCE_BAN_MAX_MS);
        }
        if now_ms < self.ban_until_ms {
            counters.rest_418 += 1;
            let left_s = (self.ban_until_ms - now_ms + 999) / 1000;
            let message = format!("Way too many requests; IP banned until {}.", self.ban_until_ms);
            return Err(error(418, -1003, &message).with_header("Retry-After", left_s));
        }
        counters.rest_429 += 1;
        let message = format!(
            "Too many requests; current limit is {BINANCE_WEIGHT_PER_MINUTE_MAX} requests per minute. \
             Please use the websocket for live updates to avoid polling the API."
        );
        let retry =
            error(429, -1003, &message).with_header("Retry-After", MinuteWeight::seconds_left(now_ms));
        Err(with_weight(retry, used))
    }
}

/// The same answer with the header that tells what is used up.
pub fn with_weight(response: Response, used: u64) -> Response {
    response.with_header("X-MBX-USED-WEIGHT-1M", used)
}

/// An error answer.
pub fn error(status: u16, code: i32, message: &str) -> Response {
    Response::json(status, format!(r#"{{"code":{code},"msg":"{message}"}}"#))
}

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
    /// `/fapi/v1/premiumIndex`
    PremiumIndex {
        /// One symbol, or all.
        symbol: Option<String>,
    },
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

/// The answer to a symbol that does not exist.
pub fn invalid_symbol() -> Response {
    error(400, -1121, "Invalid symbol.")
}

/// The answer to a search too far back.
pub fn too_old() -> Response {
    error(400, -4166, "Search window is restricted to recent 2 days only.")
}

/// An answer, packed if the client takes gzip.
pub fn packed(body: &str, request: &Request) -> Response {
    let takes_gzip = request.header("accept-encoding").is_some_and(|value| value.contains("gzip"));
    if !takes_gzip {
        return Response::json(200, body);
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    match encoder.write_all(body.as_bytes()).and_then(|()| encoder.finish()) {
        Ok(packed) => Response::json(200, packed).with_header("Content-Encoding", "gzip"),
        Err(error) => {
            log::warn!("cannot gzip an answer, sending it plain: {error}");
            Response::json(200, body)
        }
    }
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

/// Answers from a model.
pub fn answer(
    question: &Question,
    request: &Request,
    market: &MarketHandle,
    disturbances: &mut Disturbances,
    now_ms: i64,
) -> Response {
    match question {
        Question::Time => Response::json(200, format!(r#"{{"serverTime":{now_ms}}}"#)),
        Question::ExchangeInfo => packed(&frames::exchange_info(&market.instruments(), now_ms), request),
        Question::Depth { symbol, limit } => depth(symbol, *limit, market, disturbances, now_ms),
        Question::AggTrades(query) => agg_trades(query, market, now_ms),
        Question::PremiumIndex { symbol } => premium_index(symbol.as_deref(), market, now_ms),
    }
}

fn depth(
    symbol: &str,
    limit: usize,
    market: &MarketHandle,
    disturbances: &mut Disturbances,
    now_ms: i64,
) -> Response {
    let market = market.lock();
    let Some(index) = market.find(symbol) else { return invalid_symbol() };
    let instrument = market.instrument(index);
    let history = market.history(index);
    let body = match disturbances.stale_age_ms(symbol) {
        Some(age_ms) => {
            let at_ms = (market.now_ms() - age_ms).max(history.oldest_ms());
            let old = history.book_at_time(at_ms).or_else(|| history.book_at_id(history.oldest_id()));
            let Some((book, last_id, time_ms)) = old else { return Response::text(503, "") };
            let levels = |side| book.levels(side).take(limit);
            frames::snapshot(instrument, (last_id, at_ms, time_ms), levels(Side::Bid), levels(Side::Ask))
        }
        None => {
            let book = market.book(index);
            let levels = |side| book.levels(side).take(limit);
            let ids = (market.symbol_update_id(index), now_ms, market.now_ms());
            frames::snapshot(instrument, ids, levels(Side::Bid), levels(Side::Ask))
        }
    };
    Response::json(200, body)
}

fn agg_trades(query: &AggTradesQuery, market: &MarketHandle, now_ms: i64) -> Response {
    let market = market.lock();
    let Some(index) = market.find(&query.symbol) else { return invalid_symbol() };
    if query.start_ms.is_some_and(|start_ms| start_ms < now_ms - BINANCE_AGG_TRADES_WINDOW_MS) {
        return too_old();
    }
    let instrument = market.instrument(index);
    let asked: Vec<&Trade> = market
        .history(index)
        .trades()
        .iter()
        .filter(|trade| is_asked(query, trade.id, trade.time_ms))
        .collect();
    let rows: Vec<String> =
        page(asked, query).into_iter().map(|trade| frames::agg_trade_row(instrument, trade)).collect();
    Response::json(200, format!("[{}]", rows.join(",")))
}

fn premium_index(symbol: Option<&str>, market: &MarketHandle, now_ms: i64) -> Response {
    let market = market.lock();
    let row = |index: usize| {
        let instrument = market.instrument(index);
        let mid_e8 = market.book(index).mid_e8().unwrap_or(instrument.start_price_e8);
        frames::premium_index(&instrument.symbol, mid_e8, now_ms)
    };
    match symbol {
        Some(symbol) => {
            market.find(symbol).map_or_else(invalid_symbol, |index| Response::json(200, row(index)))
        }
        None => {
            let rows: Vec<String> = (0..market.symbol_count()).map(row).collect();
            Response::json(200, format!("[{}]", rows.join(",")))
        }
    }
}
