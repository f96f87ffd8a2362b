//! The JSON of Binance's market data as it stands on the wire in 2026.

use crate::decimal::{fixed, push_fixed};
use crate::market::{Aggressor, Instrument, Level, Quote, Trade};
use std::fmt::Write;

/// The members of a diff or partial depth event beside its levels.
pub struct DepthIds {
    /// When it is sent.
    pub event_ms: i64,
    /// When its last change happened.
    pub transaction_ms: i64,
    /// The first id in it.
    pub first_id: u64,
    /// The last id in it.
    pub last_id: u64,
    /// The last id of the event before it on the same stream.
    pub previous_id: u64,
}

/// Appends `[["price","size"],…]`.
pub fn push_levels<'a>(text: &mut String, instrument: &Instrument, levels: impl Iterator<Item = &'a Level>) {
    text.push('[');
    for (at, level) in levels.enumerate() {
        text.push_str(if at == 0 { "[\"" } else { ",[\"" });
        push_fixed(text, level.price_e8, instrument.price_decimals);
        text.push_str("\",\"");
        push_fixed(text, level.size_e8, instrument.size_decimals);
        text.push_str("\"]");
    }
    text.push(']');
}

/// A `depthUpdate` event.
pub fn depth<'a>(
    instrument: &Instrument,
    ids: &DepthIds,
    bids: impl Iterator<Item = &'a Level>,
    asks: impl Iterator<Item = &'a Level>,
) -> String {
    let symbol = &instrument.symbol;
    let DepthIds { event_ms, transaction_ms, first_id, last_id, previous_id } = ids;
    let mut text = format!(
        r#"{{"e":"depthUpdate","E":{event_ms},"T":{transaction_ms},"s":"{symbol}","ps":"{symbol}","U":{first_id},"u":{last_id},"pu":{previous_id},"b":"#
    );
    push_levels(&mut text, instrument, bids);
    text.push_str(",\"a\":");
    push_levels(&mut text, instrument, asks);
    text.push_str(",\"st\":1}");
    text
}

/// A `bookTicker` event; `None` while a side is empty.
pub fn book_ticker(instrument: &Instrument, quote: &Quote, event_ms: i64) -> Option<String> {
    let (bid, ask) = (quote.bid?, quote.ask?);
    let symbol = &instrument.symbol;
    let mut text =
        format!(r#"{{"e":"bookTicker","u":{},"s":"{symbol}","ps":"{symbol}","b":""#, quote.update_id);
    push_fixed(&mut text, bid.price_e8, instrument.price_decimals);
    text.push_str("\",\"B\":\"");
    push_fixed(&mut text, bid.size_e8, instrument.size_decimals);
    text.push_str("\",\"a\":\"");
    push_fixed(&mut text, ask.price_e8, instrument.price_decimals);
    text.push_str("\",\"A\":\"");
    push_fixed(&mut text, ask.size_e8, instrument.size_decimals);
    // Writing into a String cannot fail.
    let _ = write!(text, "\",\"T\":{},\"E\":{event_ms},\"st\":1}}", quote.time_ms);
    Some(text)
}

/// Whether the buyer was the maker, that is: whether a seller took.
fn buyer_is_maker(trade: &Trade) -> bool {
    trade.aggressor == Aggressor::Sell
}

/// An `aggTrade` event.
pub fn agg_trade(instrument: &Instrument, trade: &Trade, event_ms: i64) -> String {
    let Trade { id, first_trade_id, last_trade_id, time_ms, .. } = trade;
    let symbol = &instrument.symbol;
    let price = fixed(trade.price_e8, instrument.price_decimals);
    let size = fixed(trade.size_e8, instrument.size_decimals);
    let visible = fixed(trade.visible_size_e8, instrument.size_decimals);
    let maker = buyer_is_maker(trade);
    format!(
        r#"{{"e":"aggTrade","E":{event_ms},"a":{id},"s":"{symbol}","p":"{price}","q":"{size}","nq":"{visible}","f":{first_trade_id},"l":{last_trade_id},"T":{time_ms},"m":{maker},"st":1}}"#
    )
}

/// A row of `/fapi/v1/aggTrades`.
pub fn agg_trade_row(instrument: &Instrument, trade: &Trade) -> String {
    let Trade { id, first_trade_id, last_trade_id, time_ms, .. } = trade;
    let price = fixed(trade.price_e8, instrument.price_decimals);
    let size = fixed(trade.size_e8, instrument.size_decimals);
    let visible = fixed(trade.visible_size_e8, instrument.size_decimals);
    let maker = buyer_is_maker(trade);
    format!(
        r#"{{"a":{id},"p":"{price}","q":"{size}","nq":"{visible}","f":{first_trade_id},"l":{last_trade_id},"T":{time_ms},"m":{maker}}}"#
    )
}

/// The `trade` events of one aggregate trade: its fills, behind the placeholders before it if they are shown.
pub fn trades(instrument: &Instrument, trade: &Trade, placeholders: bool, event_ms: i64) -> Vec<String> {
    let frame = |id: u64, price: &str, size: &str, kind: &str, maker: bool| {
        let (symbol, time_ms) = (&instrument.symbol, trade.time_ms);
        format!(
            r#"{{"e":"trade","E":{event_ms},"T":{time_ms},"s":"{symbol}","t":{id},"p":"{price}","q":"{size}","X":"{kind}","m":{maker},"st":1}}"#
        )
    };
    let mut frames = Vec::new();
    if placeholders {
        let first = trade.first_trade_id - u64::from(trade.placeholders);
        frames.extend((first..trade.first_trade_id).map(|id| frame(id, "0", "0", "NA", false)));
    }
    let price = fixed(trade.price_e8, instrument.price_decimals);
    let fills = (trade.last_trade_id - trade.first_trade_id + 1) as i64;
    let lot_e8 = instrument.lot_e8();
    // Equal parts in whole lots; the last fill takes what is left over.
    let part_e8 = trade.size_e8 / fills / lot_e8 * lot_e8;
    for (at, id) in (trade.first_trade_id..=trade.last_trade_id).enumerate() {
        let last = at as i64 == fills - 1;
        let size_e8 = if last { trade.size_e8 - part_e8 * (fills - 1) } else { part_e8 };
        let size = fixed(size_e8, instrument.size_decimals);
        frames.push(frame(id, &price, &size, "MARKET", buyer_is_maker(trade)));
    }
    frames
}

/// One symbol of `/fapi/v1/exchangeInfo`.
fn symbol_info(instrument: &Instrument) -> String {
    let Instrument { symbol, price_decimals, size_decimals, .. } = instrument;
    let base = instrument.base_asset();
    let status = if instrument.trading { "TRADING" } else { "SETTLING" };
    let tick = fixed(instrument.grid.tick_e8(instrument.start_price_e8), *price_decimals);
    let step = fixed(instrument.lot_e8(), *size_decimals);
    let minimum = fixed(instrument.grid.tick_e8(instrument.start_price_e8) * 10, *price_decimals);
    format!(
        r#"{{"symbol":"{symbol}","pair":"{symbol}","contractType":"PERPETUAL","deliveryDate":4133404800000,"onboardDate":1569398400000,"status":"{status}","maintMarginPercent":"2.5000","requiredMarginPercent":"5.0000","baseAsset":"{base}","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":{price_decimals},"quantityPrecision":{size_decimals},"baseAssetPrecision":8,"quotePrecision":8,"underlyingType":"COIN","underlyingSubType":[],"triggerProtect":"0.0500","liquidationFee":"0.012500","marketTakeBound":"0.05","maxMoveOrderLimit":10000,"filters":[{{"filterType":"PRICE_FILTER","minPrice":"{minimum}","maxPrice":"4529764","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","minQty":"{step}","maxQty":"1000000","stepSize":"{step}"}},{{"filterType":"MARKET_LOT_SIZE","minQty":"{step}","maxQty":"120000","stepSize":"{step}"}},{{"filterType":"MAX_NUM_ORDERS","limit":200}},{{"filterType":"MIN_NOTIONAL","notional":"50"}},{{"filterType":"PERCENT_PRICE","multiplierUp":"1.0500","multiplierDown":"0.9500","multiplierDecimal":"4"}},{{"filterType":"POSITION_RISK_CONTROL","positionControlSide":"NONE"}}],"orderTypes":["LIMIT","MARKET","STOP","STOP_MARKET","TAKE_PROFIT","TAKE_PROFIT_MARKET","TRAILING_STOP_MARKET"],"timeInForce":["GTC","IOC","FOK","GTX","GTD","RPI"],"st":1}}"#
    )
}

/// `/fapi/v1/exchangeInfo`.
pub fn exchange_info(instruments: &[Instrument], now_ms: i64) -> String {
    let symbols: Vec<String> = instruments.iter().map(symbol_info).collect();
    format!(
        r#"{{"timezone":"UTC","serverTime":{now_ms},"futuresType":"U_MARGINED","rateLimits":[{{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400}},{{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200}},{{"rateLimitType":"ORDERS","interval":"SECOND","intervalNum":10,"limit":300}}],"exchangeFilters":[],"assets":[{{"asset":"USDT","marginAvailable":true,"autoAssetExchange":"-10000"}}],"symbols":[{}]}}"#,
        symbols.join(",")
    )
}

/// `/fapi/v1/depth`.
pub fn snapshot<'a>(
    instrument: &Instrument,
    ids: (u64, i64, i64),
    bids: impl Iterator<Item = &'a Level>,
    asks: impl Iterator<Item = &'a Level>,
) -> String {
    let (last_id, event_ms, transaction_ms) = ids;
    let mut text = format!(r#"{{"lastUpdateId":{last_id},"E":{event_ms},"T":{transaction_ms},"bids":"#);
    push_levels(&mut text, instrument, bids);
    text.push_str(",\"asks\":");
    push_levels(&mut text, instrument, asks);
    text.push('}');
    text
}
