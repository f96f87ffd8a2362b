//! The JSON of what Binance lists: `exchangeInfo`, and `!contractInfo` when something of it changes.

use super::funding::market_of;
use crate::decimal::fixed;
use crate::market::{Contract, Instrument};

/// When every simulated symbol was listed: 2019-09-25.
const ONBOARD_MS: i64 = 1_569_398_400_000;
/// The delivery of a contract that is never delivered: 2100-12-25.
const NEVER_MS: i64 = 4_133_404_800_000;

fn contract_type(instrument: &Instrument) -> &'static str {
    /// Quarterlies delivered before this are the current ones: 2027-01-01.
    const NEXT_QUARTER_MS: i64 = 1_798_761_600_000;
    match instrument.contract {
        Contract::TradfiPerpetual => "TRADIFI_PERPETUAL",
        Contract::Quarterly { delivery_ms } if delivery_ms < NEXT_QUARTER_MS => "CURRENT_QUARTER",
        Contract::Quarterly { .. } => "NEXT_QUARTER",
        _ => "PERPETUAL",
    }
}

fn delivery_ms(instrument: &Instrument) -> i64 {
    match instrument.contract {
        Contract::Quarterly { delivery_ms } => delivery_ms,
        _ => NEVER_MS,
    }
}

fn status(instrument: &Instrument) -> &'static str {
    if instrument.trading { "TRADING" } else { "SETTLING" }
}

/// A `contractInfo` event: without brackets, as they did not change.
pub fn contract_info(instrument: &Instrument, event_ms: i64) -> String {
    format!(
        r#"{{"e":"contractInfo","E":{event_ms},"s":"{}","ps":"{}","ct":"{}","dt":{},"ot":{ONBOARD_MS},"cs":"{}","st":{}}}"#,
        instrument.symbol,
        instrument.pair(),
        contract_type(instrument),
        delivery_ms(instrument),
        status(instrument),
        market_of(instrument),
    )
}

/// One symbol of `/fapi/v1/exchangeInfo`.
fn symbol_info(instrument: &Instrument) -> String {
    let Instrument { symbol, price_decimals, size_decimals, .. } = instrument;
    let base = instrument.base_asset();
    let (pair, contract, delivery_ms) =
        (instrument.pair(), contract_type(instrument), delivery_ms(instrument));
    let status = status(instrument);
    let (kind, subtypes) = match instrument.contract {
        Contract::TradfiPerpetual if base == "XAU" => ("COMMODITY", "[\"TradFi\"]"),
        Contract::TradfiPerpetual => ("EQUITY", "[\"TradFi\"]"),
        _ => ("COIN", "[]"),
    };
    let tick = fixed(instrument.grid.tick_e8(instrument.start_price_e8), *price_decimals);
    let step = fixed(instrument.lot_e8(), *size_decimals);
    let minimum = fixed(instrument.grid.tick_e8(instrument.start_price_e8) * 10, *price_decimals);
    format!(
        r#"{{"symbol":"{symbol}","pair":"{pair}","contractType":"{contract}","deliveryDate":{delivery_ms},"onboardDate":{ONBOARD_MS},"status":"{status}","maintMarginPercent":"2.5000","requiredMarginPercent":"5.0000","baseAsset":"{base}","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":{price_decimals},"quantityPrecision":{size_decimals},"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"{kind}","underlyingSubType":{subtypes},"triggerProtect":"0.0500","liquidationFee":"0.012500","marketTakeBound":"0.05","maxMoveOrderLimit":10000,"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{minimum}","maxPrice":"4529764","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"{step}","maxQty":"1000000","stepSize":"{step}"}},{{"filterType":"MARKET_LOT_SIZE","minQty":"{step}","maxQty":"120000","stepSize":"{step}"}},{{"filterType":"MAX_NUM_ORDERS","limit":200}},{{"filterType":"MIN_NOTIONAL","notional":"50"}},{{"filterType":"PERCENT_PRICE","multiplierUp":"1.0500","multiplierDown":"0.9500","multiplierDecimal":"4"}},{{"filterType":"POSITION_RISK_CONTROL","positionControlSide":"NONE"}}],"orderTypes":["LIMIT","MARKET","STOP","STOP_MARKET","TAKE_PROFIT","TAKE_PROFIT_MARKET","TRAILING_STOP_MARKET"],"timeInForce":["GTC","IOC","FOK","GTX","GTD","RPI"],"st":1}}"#
    )
}

/// A symbol as the venue might list one some day: status, contract, filter and order type are new.
const NEW_SYMBOL: &str = r#"{"symbol":"AUCTIONTESTUSDT","pair":"AUCTIONTESTUSDT","contractType":"EVENT_PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,"status":"CALL_AUCTION","baseAsset":"AUCTIONTEST","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":2,"quantityPrecision":3,"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"FORECAST","underlyingSubType":[],"filters":[{"filterType":"AUCTION_BAND","band":{"up":"1.1"}},{"filterType":"PRICE_FILTER","minPrice":"0.01","maxPrice":"100000","tickSize":"0.01"}],"orderTypes":["LIMIT","AUCTION"],"timeInForce":["GTC","ATA"],"st":1}"#;

/// `/fapi/v1/exchangeInfo`; with a symbol of values not told so far, if so.
pub fn exchange_info(instruments: &[Instrument], new_values: bool, now_ms: i64) -> String {
    let mut symbols: Vec<String> = instruments
        .iter()
        .filter(|instrument| instrument.contract != Contract::CoinPerpetual)
        .map(symbol_info)
        .collect();
    if new_values {
        symbols.insert(0, NEW_SYMBOL.to_owned());
    }
    format!(
        r#"{{"timezone":"UTC","serverTime":{now_ms},"futuresType":"U_MARGINED","rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400}},{{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200}},{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300}}],"exchangeFilters":[],"assets":[{{"asset":"USDT","marginAvailable":true,"autoAssetExchange":"-10000"}}],"symbols":[{}]}}"#,
        symbols.join(",")
    )
}
