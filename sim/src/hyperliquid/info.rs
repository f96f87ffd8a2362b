//! Hyperliquid's `info` requests, over REST and over WebSocket `post`.

use super::frames::{self, BookForm, ShownBook};
use super::publish::{self, Publisher};
use super::subscription::precision;
use crate::config::KeyOrder;
use crate::faults::Disturbances;
use crate::limits::{HYPERLIQUID_BOOK_LEVELS, HYPERLIQUID_RECENT_TRADES};
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

/// Answers from a model; with the weight the rows add.
pub fn answer(
    request: &Value,
    market: &Market,
    publisher: &Publisher,
    disturbances: &mut Disturbances,
    order: KeyOrder,
) -> (Response, u64) {
    let coin = request.get("coin").and_then(Value::as_str);
    // Only the venue's own dex is simulated.
    let foreign = request.get("dex").and_then(Value::as_str).is_some_and(|dex| !dex.is_empty());
    let json = |body: String| (Response::json(200, body), 0);
    match request.get("type").and_then(Value::as_str) {
        Some("meta" | "metaAndAssetCtxs" | "allMids") if foreign => (mistake(), 0),
        Some("meta") => json(meta(market)),
        Some("metaAndAssetCtxs") => {
            let contexts: Vec<String> =
                (0..market.symbol_count()).map(|coin| publisher.context(market, coin)).collect();
            json(format!("[{},[{}]]", meta(market), contexts.join(",")))
        }
        Some("spotMeta") => json(frames::SPOT_META.to_owned()),
        Some("perpDexs") => json("[null]".to_owned()),
        Some("allMids") => json(publish::mids(market)),
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
        _ => (unprocessable(), 0),
    }
}

fn meta(market: &Market) -> String {
    let instruments: Vec<_> = market.instruments().cloned().collect();
    frames::meta(&instruments)
}
