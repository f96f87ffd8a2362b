//! The JSON of Binance's market data as it stands on the wire in 2026.

use super::funding::market_of;
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
    let (symbol, pair) = (&instrument.symbol, instrument.pair());
    let DepthIds { event_ms, transaction_ms, first_id, last_id, previous_id } = ids;
    let mut text = format!(
        r#"{{"e":"depthUpdate","E":{event_ms},"T":{transaction_ms},"s":"{symbol}","ps":"{pair}","U":{first_id},"u":{last_id},"pu":{previous_id},"b":"#
    );
    push_levels(&mut text, instrument, bids);
    text.push_str(",\"a\":");
    push_levels(&mut text, instrument, asks);
    text.push_str(",\"st\":1}");
    text
}

/// An event of no trade at all before a trade: no price, no size, and the id before the trade's.
pub fn zero_agg_trade(instrument: &Instrument, trade: &Trade, event_ms: i64) -> String {
    let Trade { id, first_trade_id, time_ms, .. } = trade;
    let (symbol, id, fill) = (&instrument.symbol, id.saturating_sub(1), first_trade_id.saturating_sub(1));
    format!(
        r#"{{"e":"aggTrade","E":{event_ms},"a":{id},"s":"{symbol}","p":"0","q":"0","nq":"0","f":{fill},"l":{fill},"T":{time_ms},"m":false,"st":1}}"#
    )
}

/// The same of single trades: a placeholder, as the venue sends them (`X` is `NA`).
pub fn zero_trade(instrument: &Instrument, trade: &Trade, event_ms: i64) -> String {
    let (symbol, id) = (&instrument.symbol, trade.first_trade_id.saturating_sub(1));
    let time_ms = trade.time_ms;
    format!(
        r#"{{"e":"trade","E":{event_ms},"T":{time_ms},"s":"{symbol}","t":{id},"p":"0","q":"0","X":"NA","m":false,"st":1}}"#
    )
}

/// A `bookTicker` event; `None` while a side is empty.
pub fn book_ticker(instrument: &Instrument, quote: &Quote, event_ms: i64) -> Option<String> {
    let (bid, ask) = (quote.bid?, quote.ask?);
    let symbol = &instrument.symbol;
    let mut text = format!(
        r#"{{"e":"bookTicker","u":{},"s":"{symbol}","ps":"{}","b":""#,
        quote.update_id,
        instrument.pair()
    );
    push_fixed(&mut text, bid.price_e8, instrument.price_decimals);
    text.push_str("\",\"B\":\"");
    push_fixed(&mut text, bid.size_e8, instrument.size_decimals);
    text.push_str("\",\"a\":\"");
    push_fixed(&mut text, ask.price_e8, instrument.price_decimals);
    text.push_str("\",\"A\":\"");
    push_fixed(&mut text, ask.size_e8, instrument.size_decimals);
    // Writing into a String cannot fail.
    let market = market_of(instrument);
    let _ = write!(text, "\",\"T\":{},\"E\":{event_ms},\"st\":{market}}}", quote.time_ms);
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
