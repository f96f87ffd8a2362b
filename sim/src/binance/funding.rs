//! The JSON of Binance's mark prices and funding.

use crate::decimal::{SCALE_DECIMALS, fixed, push_scaled};
use crate::market::{Contract, HOUR_MS, Instrument, Market, TruthFunding};

/// A rate as it stands on the wire; empty for a contract without funding.
fn rate(funding: &TruthFunding) -> String {
    const RATE_DECIMALS: u32 = 10;
    let mut text = String::new();
    if let Some(rate_e10) = funding.rate_e10 {
        push_scaled(&mut text, rate_e10.into(), RATE_DECIMALS, SCALE_DECIMALS);
    }
    text
}

/// Whether merged streams carry it beside the venue's own: 1 is USDⓈ-M, 2 is COIN-M.
pub fn market_of(instrument: &Instrument) -> u8 {
    if instrument.contract == Contract::CoinPerpetual { 2 } else { 1 }
}

/// A `markPriceUpdate` event.
pub fn mark_price(instrument: &Instrument, funding: &TruthFunding) -> String {
    let TruthFunding { time_ms, next_funding_ms, .. } = funding;
    let price = |value_e8| fixed(value_e8, SCALE_DECIMALS);
    format!(
        r#"{{"e":"markPriceUpdate","E":{time_ms},"s":"{}","p":"{}","ap":"{}","P":"{}","i":"{}","r":"{}","T":{next_funding_ms},"st":{}}}"#,
        instrument.symbol,
        price(funding.mark_e8),
        price(funding.mark_average_e8),
        price(funding.settle_e8),
        price(funding.index_e8),
        rate(funding),
        market_of(instrument),
    )
}

/// A row of `/fapi/v1/premiumIndex`.
pub fn premium_index(symbol: &str, funding: &TruthFunding) -> String {
    let TruthFunding { time_ms, next_funding_ms, .. } = funding;
    let price = |value_e8| fixed(value_e8, SCALE_DECIMALS);
    let interest = if funding.interval_hours > 0 { "0.00010000" } else { "" };
    format!(
        r#"{{"symbol":"{symbol}","markPrice":"{}","indexPrice":"{}","estimatedSettlePrice":"{}","lastFundingRate":"{}","interestRate":"{interest}","nextFundingTime":{next_funding_ms},"time":{time_ms}}}"#,
        price(funding.mark_e8),
        price(funding.index_e8),
        price(funding.settle_e8),
        rate(funding),
    )
}

/// `/fapi/v1/fundingInfo`: only the symbols whose interval is not the usual one.
pub fn funding_info<'a>(instruments: impl Iterator<Item = &'a Instrument>, now_ms: i64) -> String {
    const USUAL_HOURS: u32 = 8;
    let adjusted = instruments.filter(|instrument| ![0, USUAL_HOURS].contains(&instrument.funding_hours));
    let row = |(at, instrument): (usize, &Instrument)| {
        let Instrument { symbol, funding_hours, .. } = instrument;
        // Some rows have no time of their last change.
        let updated = if at % 2 == 0 { (now_ms - 24 * HOUR_MS).to_string() } else { "null".to_owned() };
        format!(
            r#"{{"symbol":"{symbol}","adjustedFundingRateCap":"0.02000000","adjustedFundingRateFloor":"-0.02000000","fundingIntervalHours":{funding_hours},"disclaimer":false,"updateTime":{updated}}}"#
        )
    };
    let rows: Vec<String> = adjusted.enumerate().map(row).collect();
    format!("[{}]", rows.join(","))
}

/// `/fapi/v1/fundingRate`: what was settled, oldest first.
pub fn funding_rates(market: &Market, symbol: usize, from_ms: i64, to_ms: i64, limit: usize) -> String {
    let instrument = market.instrument(symbol);
    let settled = market.funding(symbol).settled(from_ms, to_ms, limit);
    let row = |row: &crate::market::SettledFunding| {
        let price_e8 = market.candles(symbol).price_before(row.time_ms).unwrap_or(instrument.start_price_e8);
        let mut rate = String::new();
        push_scaled(&mut rate, row.rate_e10.into(), 10, SCALE_DECIMALS);
        format!(
            r#"{{"symbol":"{}","fundingTime":{},"fundingRate":"{rate}","markPrice":"{}"}}"#,
            instrument.symbol,
            row.time_ms,
            fixed(price_e8, SCALE_DECIMALS)
        )
    };
    let rows: Vec<String> = settled.iter().map(row).collect();
    format!("[{}]", rows.join(","))
}
