//! What a query is on the wire: address, body, weight, and how its answer is read.

use crate::fetch::{Answer, FetchRequest, Query};
use codec::venues::{DecodeError, rest_binance, rest_hyperliquid};
use codec::words::Venue;

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
        (Venue::Binance, Query::DexInstruments { .. } | Query::SpotInstruments)
        | (Venue::Hyperliquid, Query::AggTrades { .. }) => Err(NoSuchQuery),
        // Not asked yet.
        (_, Query::Candles { .. } | Query::FundingInfo | Query::Turnover) => Err(NoSuchQuery),
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
        (Venue::Binance, _) => 1,
        (Venue::Hyperliquid, Query::Book { .. }) => 2,
        (Venue::Hyperliquid, _) => 20,
    }
}

/// Reads the body of a good answer.
///
/// # Errors
/// When it is not of the documented form.
pub fn decode(request: &FetchRequest, body: &mut [u8]) -> Result<Answer, DecodeError> {
    Ok(match (request.venue, &request.query) {
        (Venue::Binance, Query::Book { .. }) => Answer::BinanceBook(rest_binance::depth(body)?),
        (Venue::Binance, Query::AggTrades { .. }) => Answer::AggTrades(rest_binance::agg_trades(body)?),
        (Venue::Binance, _) => Answer::BinanceInstruments(rest_binance::exchange_info(body)?),
        (Venue::Hyperliquid, Query::Book { .. }) => Answer::HyperliquidBook(rest_hyperliquid::l2_book(body)?),
        (Venue::Hyperliquid, Query::SpotInstruments) => {
            Answer::HyperliquidSpot(rest_hyperliquid::spot_meta(body)?)
        }
        (Venue::Hyperliquid, _) => Answer::HyperliquidInstruments(rest_hyperliquid::meta(body)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Priority;

    fn request(venue: Venue, query: Query) -> FetchRequest {
        FetchRequest { venue, query, instrument: 0, token: 0, priority: Priority::Asked }
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
            (Venue::Hyperliquid, book("a\"\n"), "u/info", Some(r#"{"type":"l2Book","coin":"a\"\u000a"}"#), 2),
        ] {
            let request = request(venue, query);
            let wire = wire("u", &request).unwrap();
            assert_eq!((wire.url.as_str(), wire.body.as_deref()), (url, body));
            assert_eq!(weight(&request), cost);
        }
        assert_eq!(wire("u", &request(Venue::Binance, Query::SpotInstruments)), Err(NoSuchQuery));
        for (limit, cost) in [(5, 2), (50, 2), (100, 5), (500, 10), (1000, 20)] {
            let query = Query::Book { symbol: "X".into(), limit };
            assert_eq!(weight(&request(Venue::Binance, query)), cost);
        }
    }
}
