//! What a query is on the wire: address, body, weight, and how its answer is read.

use super::queue::Reply;
use crate::fetch::{Answer, FetchRequest, Query};
use crate::limits::{HYPERLIQUID_CANDLES_MAX, HYPERLIQUID_ROWS_PER_WEIGHT};
use codec::venues::{DecodeError, rest_binance, rest_hyperliquid};
use codec::words::{Interval, Venue};

/// A request on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// The whole URL.
    pub url: String,
    /// A JSON body to be posted; `None`: GET.
    pub body: Option<String>,
}

/// A query that a venue does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchQuery;

/// Percent-encodes what may not stand in a URL's query.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// A JSON string.
fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            control if u32::from(control) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
    out
}

/// The request on the wire.
///
/// # Errors
/// [`NoSuchQuery`] when the venue does not have it.
pub fn wire(rest_url: &str, request: &FetchRequest) -> Result<Wire, NoSuchQuery> {
    let get = |tail: String| Ok(Wire { url: format!("{rest_url}/fapi/v1/{tail}"), body: None });
    let post = |body: String| Ok(Wire { url: format!("{rest_url}/info"), body: Some(body) });
    match (request.venue, &request.query) {
        (Venue::Binance, Query::Instruments) => get("exchangeInfo".to_owned()),
        (Venue::Binance, Query::Book { symbol, limit }) => {
            get(format!("depth?symbol={}&limit={limit}", encoded(symbol)))
        }
        (Venue::Binance, Query::AggTrades { symbol, from_id, limit }) => {
            get(format!("aggTrades?symbol={}&fromId={from_id}&limit={limit}", encoded(symbol)))
        }
        (Venue::Hyperliquid, Query::Instruments) => post(r#"{"type":"meta"}"#.to_owned()),
        (Venue::Hyperliquid, Query::DexInstruments { dex }) => {
            post(format!(r#"{{"type":"meta","dex":{}}}"#, json(dex)))
        }
        (Venue::Hyperliquid, Query::SpotInstruments) => post(r#"{"type":"spotMeta"}"#.to_owned()),
        (Venue::Hyperliquid, Query::Book { symbol, .. }) => {
            post(format!(r#"{{"type":"l2Book","coin":{}}}"#, json(symbol)))
        }
        (Venue::Binance, Query::Candles { symbol, interval, start_ms, end_ms, limit }) => get(format!(
            "klines?symbol={}&interval={interval}&startTime={start_ms}&endTime={end_ms}&limit={limit}",
            encoded(symbol)
        )),
        (Venue::Binance, Query::FundingInfo) => get("fundingInfo".to_owned()),
        // Times must be integers: in quotes they are refused with 422 (measured, 2026-09).
        (Venue::Hyperliquid, Query::Candles { symbol, interval, start_ms, end_ms, .. }) => post(format!(
            r#"{{"type":"candleSnapshot","req":{{"coin":{},"interval":"{interval}","startTime":{start_ms},"endTime":{end_ms}}}}}"#,
            json(symbol)
        )),
        (Venue::Hyperliquid, Query::Turnover) => post(r#"{"type":"metaAndAssetCtxs"}"#.to_owned()),
        (Venue::Binance, Query::DexInstruments { .. } | Query::SpotInstruments | Query::Turnover)
        | (Venue::Hyperliquid, Query::AggTrades { .. } | Query::FundingInfo) => Err(NoSuchQuery),
    }
}

/// The weight a request costs (venue documentation, 2026).
#[must_use]
pub fn weight(request: &FetchRequest) -> u32 {
    match (request.venue, &request.query) {
        (Venue::Binance, Query::Book { limit, .. }) => match limit {
            0..=50 => 2,
            51..=100 => 5,
            101..=500 => 10,
            _ => 20,
        },
        (Venue::Binance, Query::AggTrades { .. }) => 20,
        // Whether exactly 100 and 500 rows belong to the cheaper step is told both ways: the dearer is taken.
        (Venue::Binance, Query::Candles { limit, .. }) => match limit {
            0..=99 => 1,
            100..=499 => 2,
            500..=1000 => 5,
            _ => 10,
        },
        // `fundingInfo` has a limit of its own (500 in five minutes), which nothing here comes near.
        (Venue::Binance, _) => 1,
        (Venue::Hyperliquid, Query::Book { .. }) => 2,
        (Venue::Hyperliquid, Query::Candles { interval, start_ms, end_ms, limit, .. }) => {
            20 + candles_expected(*interval, *start_ms, *end_ms, *limit).div_ceil(HYPERLIQUID_ROWS_PER_WEIGHT)
        }
        (Venue::Hyperliquid, _) => 20,
    }
}

/// Rows an answer may have at most: what fits between the times, and what the venue has.
fn candles_expected(interval: Interval, start_ms: u64, end_ms: u64, limit: u32) -> u32 {
    // A month has four weeks at least.
    let length_ms = interval.length_ms().unwrap_or(28 * 86_400_000);
    let periods = end_ms.saturating_sub(start_ms) / length_ms + 1;
    u32::try_from(periods).unwrap_or(u32::MAX).min(limit).min(HYPERLIQUID_CANDLES_MAX)
}

/// Reads the body of a good answer.
///
/// # Errors
/// When it is not of the documented form.
pub fn decode(request: &FetchRequest, body: &mut [u8]) -> Result<Answer, DecodeError> {
    Ok(match (request.venue, &request.query) {
        (Venue::Binance, Query::Book { .. }) => Answer::BinanceBook(rest_binance::depth(body)?),
        (Venue::Binance, Query::AggTrades { .. }) => Answer::AggTrades(rest_binance::agg_trades(body)?),
        (Venue::Binance, Query::Candles { .. }) => Answer::Candles(rest_binance::klines(body)?),
        (Venue::Binance, Query::FundingInfo) => Answer::FundingInfo(rest_binance::funding_info(body)?),
        (Venue::Binance, _) => Answer::BinanceInstruments(rest_binance::exchange_info(body)?),
        (Venue::Hyperliquid, Query::Book { .. }) => Answer::HyperliquidBook(rest_hyperliquid::l2_book(body)?),
        (Venue::Hyperliquid, Query::SpotInstruments) => {
            Answer::HyperliquidSpot(rest_hyperliquid::spot_meta(body)?)
        }
        (Venue::Hyperliquid, Query::Candles { .. }) => {
            Answer::Candles(rest_hyperliquid::candle_snapshot(body)?)
        }
        (Venue::Hyperliquid, Query::Turnover) => Answer::Turnover(rest_hyperliquid::turnover(body)?),
        (Venue::Hyperliquid, _) => Answer::HyperliquidInstruments(rest_hyperliquid::meta(body)?),
    })
}

/// What a body says: the answer, or what went wrong in words, noted in the reply. `from` names the address.
#[must_use]
pub fn understand(
    request: &FetchRequest,
    mut reply: Reply,
    mut body: Vec<u8>,
    from: &str,
) -> (Reply, Option<Answer>) {
    if !(200..300).contains(&reply.status) {
        (reply.code, reply.message) = error_text(request.venue, &mut body);
        return (reply, None);
    }
    match decode(request, &mut body) {
        Ok(answer) => (reply, Some(answer)),
        Err(error) => {
            reply.message = format!("{from}: {error}");
            (reply, None)
        }
    }
}

/// The venue's code and words: of its own error form, else the beginning of the body.
fn error_text(venue: Venue, body: &mut [u8]) -> (i64, String) {
    let beginning: String = String::from_utf8_lossy(&body[..body.len().min(512)])
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    let known = if venue == Venue::Binance { rest_binance::error(body) } else { None };
    let (code, message) = known.unwrap_or((0, beginning.trim().to_owned()));
    // An error without words is still one.
    (code, if message.is_empty() { "no explanation".to_owned() } else { message })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Priority;

    fn request(venue: Venue, query: Query) -> FetchRequest {
        FetchRequest { venue, query, instrument: 0, token: 0, priority: Priority::Asked }
    }

    fn candles(symbol: &str, interval: Interval, start_ms: u64, end_ms: u64, limit: u32) -> Query {
        Query::Candles { symbol: symbol.into(), interval, start_ms, end_ms, limit }
    }

    #[test]
    fn candles_cost_by_the_rows_they_may_bring() {
        for (limit, cost) in
            [(1, 1), (99, 1), (100, 2), (499, 2), (500, 5), (999, 5), (1000, 5), (1001, 10), (1500, 10)]
        {
            let query = candles("X", Interval::M1, 0, u64::MAX, limit);
            assert_eq!(weight(&request(Venue::Binance, query)), cost, "{limit}");
        }
        let minute = 60_000;
        for (end_ms, limit, cost) in [
            (0, 5000, 21),
            (59 * minute, 5000, 21),
            (60 * minute, 5000, 22),
            (60 * minute, 60, 21),
            (5000 * minute, 5000, 104),
            // The venue has no more than 5,000, whatever is asked.
            (u64::MAX, u32::MAX, 104),
        ] {
            let query = candles("X", Interval::M1, 0, end_ms, limit);
            assert_eq!(weight(&request(Venue::Hyperliquid, query)), cost, "{end_ms} {limit}");
        }
        // Backwards times are one row, not a panic.
        assert_eq!(weight(&request(Venue::Hyperliquid, candles("X", Interval::Month1, 9, 0, 5))), 21);
    }

    #[test]
    fn queries_are_written_as_the_venues_want_them() {
        let book = |symbol: &str| Query::Book { symbol: symbol.into(), limit: 1000 };
        for (venue, query, url, body, cost) in [
            (Venue::Binance, Query::Instruments, "u/fapi/v1/exchangeInfo", None, 1),
            (Venue::Binance, book("BTCUSDT"), "u/fapi/v1/depth?symbol=BTCUSDT&limit=1000", None, 20),
            (
                Venue::Binance,
                book("币安USDT"),
                "u/fapi/v1/depth?symbol=%E5%B8%81%E5%AE%89USDT&limit=1000",
                None,
                20,
            ),
            (
                Venue::Binance,
                Query::AggTrades { symbol: "A&B".into(), from_id: 7, limit: 1000 },
                "u/fapi/v1/aggTrades?symbol=A%26B&fromId=7&limit=1000",
                None,
                20,
            ),
            (Venue::Hyperliquid, Query::Instruments, "u/info", Some(r#"{"type":"meta"}"#), 20),
            (
                Venue::Hyperliquid,
                Query::DexInstruments { dex: "xyz".into() },
                "u/info",
                Some(r#"{"type":"meta","dex":"xyz"}"#),
                20,
            ),
            (Venue::Hyperliquid, Query::SpotInstruments, "u/info", Some(r#"{"type":"spotMeta"}"#), 20),
            (
                Venue::Binance,
                candles("A&B", Interval::M15, 900_000, 5_400_000, 1500),
                "u/fapi/v1/klines?symbol=A%26B&interval=15m&startTime=900000&endTime=5400000&limit=1500",
                None,
                10,
            ),
            (Venue::Binance, Query::FundingInfo, "u/fapi/v1/fundingInfo", None, 1),
            (
                Venue::Hyperliquid,
                candles("kPEPE", Interval::Month1, 7, 8, 5000),
                "u/info",
                Some(
                    r#"{"type":"candleSnapshot","req":{"coin":"kPEPE","interval":"1M","startTime":7,"endTime":8}}"#,
                ),
                21,
            ),
            (Venue::Hyperliquid, Query::Turnover, "u/info", Some(r#"{"type":"metaAndAssetCtxs"}"#), 20),
            (Venue::Hyperliquid, book("a\"\n"), "u/info", Some(r#"{"type":"l2Book","coin":"a\"\u000a"}"#), 2),
        ] {
            let request = request(venue, query);
            let wire = wire("u", &request).unwrap();
            assert_eq!((wire.url.as_str(), wire.body.as_deref()), (url, body));
            assert_eq!(weight(&request), cost);
        }
        for (venue, query) in [
            (Venue::Binance, Query::SpotInstruments),
            (Venue::Binance, Query::Turnover),
            (Venue::Hyperliquid, Query::FundingInfo),
        ] {
            assert_eq!(wire("u", &request(venue, query)), Err(NoSuchQuery));
        }
        for (limit, cost) in [(5, 2), (50, 2), (100, 5), (500, 10), (1000, 20)] {
            let query = Query::Book { symbol: "X".into(), limit };
            assert_eq!(weight(&request(Venue::Binance, query)), cost);
        }
    }
}
