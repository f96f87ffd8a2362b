//! The JSON of Hyperliquid's contexts: funding, open interest, marks and volumes of a coin.

use crate::decimal::{SCALE_DECIMALS, trimmed, trimmed_scaled};
use crate::market::{Contract, Market, TruthContext};

/// Decimals of rates and premiums.
const RATE_SCALE: u32 = 10;

fn optional(text: Option<String>) -> String {
    text.map_or_else(|| "null".to_owned(), |text| format!("\"{text}\""))
}

/// The context of a coin.
pub fn context(market: &Market, coin: usize) -> String {
    let of = market.context(coin);
    match market.instrument(coin).contract {
        Contract::Spot { .. } => spot(&market.instrument(coin).symbol, &of),
        _ => perpetual(&of),
    }
}

fn perpetual(of: &TruthContext) -> String {
    let rate = trimmed_scaled(of.funding.rate_e10.unwrap_or(0).into(), RATE_SCALE);
    let premium = of.mid_e8.map(|_| trimmed_scaled(of.funding.premium_e10.into(), RATE_SCALE));
    let impact = of.impact_e8.map_or_else(
        || "null".to_owned(),
        |(bid_e8, ask_e8)| format!(r#"["{}","{}"]"#, trimmed(bid_e8), trimmed(ask_e8)),
    );
    format!(
        r#"{{"funding":"{rate}","openInterest":"{}","prevDayPx":"{}","dayNtlVlm":"{}","premium":{},"oraclePx":"{}","markPx":"{}","midPx":{},"impactPxs":{impact},"dayBaseVlm":"{}"}}"#,
        trimmed(of.open_interest_e8),
        trimmed(of.day_ago_e8),
        trimmed_scaled(of.day_quote_e16, 2 * SCALE_DECIMALS),
        optional(premium),
        trimmed(of.funding.index_e8),
        trimmed(of.funding.mark_e8),
        optional(of.mid_e8.map(trimmed)),
        trimmed_scaled(of.day_base_e8, SCALE_DECIMALS),
    )
}

fn spot(coin: &str, of: &TruthContext) -> String {
    let supply = trimmed(of.open_interest_e8);
    format!(
        r#"{{"prevDayPx":"{}","dayNtlVlm":"{}","markPx":"{}","midPx":{},"circulatingSupply":"{supply}","coin":"{coin}","totalSupply":"{supply}","dayBaseVlm":"{}"}}"#,
        trimmed(of.day_ago_e8),
        trimmed_scaled(of.day_quote_e16, 2 * SCALE_DECIMALS),
        trimmed(of.funding.mark_e8),
        optional(of.mid_e8.map(trimmed)),
        trimmed_scaled(of.day_base_e8, SCALE_DECIMALS),
    )
}

/// The contexts of a dex in the order of its universe.
pub fn of_dex(market: &Market, dex: &str) -> String {
    let contexts: Vec<String> = universe(market, dex).map(|coin| context(market, coin)).collect();
    format!("[{}]", contexts.join(","))
}

/// The perpetuals of a dex, in the order of its universe.
pub fn universe<'a>(market: &'a Market, dex: &'a str) -> impl Iterator<Item = usize> + 'a {
    (0..market.symbol_count()).filter(move |coin| {
        let instrument = market.instrument(*coin);
        instrument.contract == Contract::Perpetual && instrument.dex == dex
    })
}

/// The dexes of a market, the venue's own (without a name) first.
pub fn dexes(market: &Market) -> Vec<String> {
    let mut dexes = vec![String::new()];
    for instrument in market.instruments() {
        if !dexes.contains(&instrument.dex) {
            dexes.push(instrument.dex.clone());
        }
    }
    dexes
}

/// The `data` of an `allDexsAssetCtxs` frame.
pub fn all_dexes(market: &Market) -> String {
    let of = |dex: &String| format!(r#"["{dex}",{}]"#, of_dex(market, dex));
    let all: Vec<String> = dexes(market).iter().map(of).collect();
    format!(r#"{{"ctxs":[{}]}}"#, all.join(","))
}

/// The answer to `fundingHistory`.
pub fn funding_history(
    market: &Market,
    coin: usize,
    from_ms: i64,
    to_ms: i64,
    limit: usize,
) -> (String, usize) {
    let name = &market.instrument(coin).symbol;
    let settled = market.funding(coin).settled(from_ms, to_ms, limit);
    let rows: Vec<String> = settled
        .iter()
        .map(|row| {
            let (rate, premium) = (row.rate_e10.into(), row.premium_e10.into());
            format!(
                r#"{{"coin":"{name}","fundingRate":"{}","premium":"{}","time":{}}}"#,
                trimmed_scaled(rate, RATE_SCALE),
                trimmed_scaled(premium, RATE_SCALE),
                row.time_ms
            )
        })
        .collect();
    (format!("[{}]", rows.join(",")), rows.len())
}
