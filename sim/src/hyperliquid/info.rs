//! Hyperliquid's `info` requests, over REST and over WebSocket `post`.

use super::candles::Question;
use super::frames::{self, BookForm, ShownBook};
use super::subscription::precision;
use super::{context, fills, meta, publish};
use crate::config::KeyOrder;
use crate::disturbances::Disturbances;
use crate::limits::{HYPERLIQUID_BOOK_LEVELS, HYPERLIQUID_FUNDINGS_MAX, HYPERLIQUID_RECENT_TRADES};
use crate::market::{Book, Market};
use crate::protocol::Response;
use serde_json::Value;

/// The answer to an unknown type or a missing field.
pub fn unprocessable() -> Response {
    Response::text(422, "Failed to deserialize the JSON body into the target type")
}

/// The answer to a caller's mistake the venue did not expect.
fn mistake() -> Response {
    Response::json(500, "null")
}

/// The weight of a request before its rows are counted.
pub fn weight(kind: &str) -> u64 {
    match kind {
        "l2Book"
        | "allMids"
        | "clearinghouseState"
        | "orderStatus"
        | "spotClearinghouseState"
        | "exchangeStatus" => 2,
        "userRole" => 60,
        _ => 20,
    }
}

/// The weight rows add to `recentTrades`.
const ROWS_PER_WEIGHT: usize = 20;
/// The weight rows add to `candleSnapshot`.
pub const CANDLES_PER_WEIGHT: usize = 60;

/// Answers from a model; with the weight the rows add.
pub fn answer(
    request: &Value,
    market: &Market,
    disturbances: &mut Disturbances,
    order: KeyOrder,
    now_ms: i64,
) -> (Response, u64) {
    let coin = request.get("coin").and_then(Value::as_str);
    let dex = request.get("dex").and_then(Value::as_str).unwrap_or_default();
    let known_dex = || context::dexes(market).iter().any(|known| known == dex);
    let json = |body: String| (Response::json(200, body), 0);
    match request.get("type").and_then(Value::as_str) {
        Some("meta" | "metaAndAssetCtxs" | "allMids") if !known_dex() => (mistake(), 0),
        Some("meta") => json(meta::meta(market.instruments(), dex)),
        Some("metaAndAssetCtxs") => {
            let contexts = context::of_dex(market, dex);
            json(format!("[{},{contexts}]", meta::meta(market.instruments(), dex)))
        }
        Some("spotMeta") => json(meta::spot(market.instruments())),
        Some("spotMetaAndAssetCtxs") => {
            json(format!("[{},{}]", meta::spot(market.instruments()), meta::spot_contexts(market)))
        }
        Some("perpDexs") => json(meta::dexes(market)),
        Some("allPerpMetas") => json(meta::all(market)),
        Some("allMids") => json(publish::mids(market, dex)),
        Some("exchangeStatus") => json(format!(r#"{{"specialStatuses":null,"time":{}}}"#, market.now_ms())),
        Some("l2Book") => {
            let (Some(coin), Ok(precision)) = (coin, precision(request)) else { return (unprocessable(), 0) };
            if !precision.is_valid() {
                return (mistake(), 0);
            }
            let Some(index) = market.find(coin) else { return json("null".to_owned()) };
            let form = BookForm { fast: false, precision, order };
            let data = |book: &Book, time_ms| {
                frames::book_data(
                    coin,
                    time_ms,
                    &ShownBook::of(book, HYPERLIQUID_BOOK_LEVELS, precision),
                    form,
                )
            };
            match disturbances.stale_age_ms(coin) {
                Some(age_ms) => {
                    let history = market.history(index);
                    let at_ms = (market.now_ms() - age_ms).max(history.oldest_ms());
                    let old = history.book_at_time(at_ms).or_else(|| history.book_at_id(history.oldest_id()));
                    json(old.map_or_else(|| "null".to_owned(), |(book, ..)| data(&book, at_ms)))
                }
                None => json(data(market.book(index), market.now_ms())),
            }
        }
        Some("recentTrades") => {
            let Some(coin) = coin else { return (unprocessable(), 0) };
            let Some(index) = market.find(coin) else { return (mistake(), 0) };
            let trades = market.history(index).trades();
            let rows = trades.len().min(HYPERLIQUID_RECENT_TRADES);
            // Newest first.
            let body = frames::trades(coin, trades.range(trades.len() - rows..).rev(), order);
            (Response::json(200, body), (rows / ROWS_PER_WEIGHT) as u64)
        }
        Some("candleSnapshot") => {
            let question = match Question::parse(request, now_ms) {
                Ok(question) => question,
                Err(response) => return (response, 0),
            };
            let Some(index) = market.find(&question.coin) else { return (mistake(), 0) };
            let mut rows = question.rows(market.candles(index), now_ms);
            let lot_e8 = market.instrument(index).lot_e8();
            disturbances.delay_rows(&question.coin, &mut rows, lot_e8, now_ms);
            (question.answer(&rows, order), rows.len().div_ceil(CANDLES_PER_WEIGHT) as u64)
        }
        Some("fundingHistory") => {
            let start_ms = request.get("startTime").and_then(Value::as_i64);
            let (Some(coin), Some(start_ms)) = (coin, start_ms) else { return (unprocessable(), 0) };
            let Some(index) = market.find(coin) else { return (mistake(), 0) };
            let end_ms = request.get("endTime").and_then(Value::as_i64).unwrap_or(now_ms).min(now_ms);
            let (body, rows) =
                context::funding_history(market, index, start_ms, end_ms, HYPERLIQUID_FUNDINGS_MAX);
            (Response::json(200, body), (rows / ROWS_PER_WEIGHT) as u64)
        }
        Some("userFills") => {
            let Some(user) = request.get("user").and_then(Value::as_str) else { return (unprocessable(), 0) };
            let (body, rows) = fills::newest_first(market.accounts().fills(user));
            (Response::json(200, body), (rows / ROWS_PER_WEIGHT) as u64)
        }
        _ => (unprocessable(), 0),
    }
}
