//! The plain decoder's candles, marks and fills.

use super::{Answer, exact, exact_wide, hl_side, refuse, value};
use crate::tree::Tree;
use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Rate, Size, Volume};
use codec::limits::{MESSAGE_CTXS_MAX, MESSAGE_FILLS_MAX};
use codec::venues::{binance, hyperliquid};
use codec::words::Interval;

impl Tree {
    fn volume(&self) -> Answer<Option<i128>> {
        let text = self.number()?;
        let negative = text.starts_with('-');
        match exact_wide(text, 8) {
            Some(Some(0)) => Ok(Some(0)),
            Some(_) if negative => refuse("a negative volume"),
            Some(value) => Ok(value.filter(|value| *value <= 10i128.pow(30))),
            None => refuse("no volume"),
        }
    }

    fn price_of(&self, name: &str) -> Answer<Option<Price>> {
        Ok(self.get(name)?.decimal()?.map(Price::from_raw))
    }

    fn optional_decimal(&self, name: &str) -> Answer<Option<i64>> {
        match self.optional(name)? {
            Some(value) => value.decimal(),
            None => Ok(None),
        }
    }

    /// Of either sign.
    fn optional_signed(&self, name: &str, places: i64) -> Answer<Option<i64>> {
        let Some(value) = self.optional(name)? else { return Ok(None) };
        match exact(value.number()?, places) {
            Some(value) => Ok(value),
            None => refuse("no decimal"),
        }
    }
}

/// A candle of either venue.
pub fn row(tree: &Tree) -> Answer<CandleRow> {
    let names = ["t", "T", "o", "h", "l", "c", "v", "n"];
    let mut fields = [tree; 8];
    for (field, name) in fields.iter_mut().zip(names) {
        *field = tree.get(name)?;
    }
    candle_of(fields)
}

/// The candle of start, end, open, high, low, close, volume and trades.
pub fn candle_of([start, end, open, high, low, close, volume, count]: [&Tree; 8]) -> Answer<CandleRow> {
    let (start_ms, end_ms) = (start.integer()?, end.integer()?);
    let price = |tree: &Tree| Ok(tree.decimal()?.map(Price::from_raw));
    let (open, high, low, close) = (price(open)?, price(high)?, price(low)?, price(close)?);
    let (volume, num_trades) = (volume.volume()?, count.integer()?);
    let candle = match (open, high, low, close, volume) {
        (Some(open), Some(high), Some(low), Some(close), Some(volume)) => {
            Some(Candle { start_ms, open, high, low, close, volume: Volume::from_raw(volume), num_trades })
        }
        _ => None,
    };
    Ok(CandleRow { start_ms, end_ms, candle })
}

pub fn kline<'t>(data: &'t Tree, stream: &'t str) -> Answer<binance::Message<'t>> {
    let bar = data.get("k")?;
    Ok(binance::Message::Kline(binance::Kline {
        stream,
        symbol: data.get("s")?.text()?,
        event_ms: data.get("E")?.integer()?,
        interval: Interval::from_word(bar.get("i")?.text()?),
        row: row(bar)?,
        closed: bar.get("x")?.boolean()?,
    }))
}

pub fn mark_price<'t>(data: &'t Tree, stream: &'t str, coin_margined: bool) -> Answer<binance::Message<'t>> {
    data.get("r")?;
    Ok(binance::Message::MarkPrice(binance::MarkPrice {
        stream,
        symbol: data.get("s")?.text()?,
        event_ms: data.get("E")?.integer()?,
        mark: data.price_of("p")?,
        index: data.optional_decimal("i")?.map(Price::from_raw),
        rate: data.optional_signed("r", 12)?.map(Rate::from_raw),
        next_funding_ms: data.get("T")?.integer()?,
        coin_margined,
    }))
}

pub fn candle_frame(tree: &Tree) -> Answer<hyperliquid::CandleFrame<'_>> {
    Ok(hyperliquid::CandleFrame {
        coin: tree.get("s")?.text()?,
        interval: Interval::from_word(tree.get("i")?.text()?),
        row: row(tree)?,
    })
}

pub fn ctx<'t>(tree: &'t Tree, coin: &'t str, spot: bool) -> Answer<hyperliquid::AssetCtx<'t>> {
    Ok(hyperliquid::AssetCtx {
        coin,
        spot,
        rate: tree.optional_signed("funding", 12)?.map(Rate::from_raw),
        open_interest: tree.optional_decimal("openInterest")?.map(Size::from_raw),
        oracle: tree.optional_decimal("oraclePx")?.map(Price::from_raw),
        mark: tree.optional_decimal("markPx")?.map(Price::from_raw),
    })
}

pub fn dex_ctxs<'t>(data: &'t Tree, into: &mut Vec<hyperliquid::DexCtx<'t>>) -> Answer<()> {
    for exchange in data.get("ctxs")?.elements()? {
        let [name, rows] = exchange.elements()? else { return refuse("no name and ctxs") };
        let (dex, rows) = (name.text()?, rows.elements()?);
        for (position, row) in rows.iter().enumerate() {
            let (position, count) = (position as u32, rows.len() as u32);
            into.push(hyperliquid::DexCtx { dex, position, count, ctx: ctx(row, "", false)? });
        }
    }
    if into.len() > MESSAGE_CTXS_MAX { refuse("too many ctxs") } else { Ok(()) }
}

pub fn user_fills<'t>(
    data: &'t Tree,
    into: &'t mut Vec<hyperliquid::UserFill<'t>>,
) -> Answer<hyperliquid::Message<'t>> {
    for row in data.get("fills")?.elements()? {
        into.push(hyperliquid::UserFill {
            coin: row.get("coin")?.text()?,
            side: hl_side(row)?,
            value: value(row.get("px")?, row.get("sz")?)?,
            time_ms: row.get("time")?.integer()?,
            oid: row.get("oid")?.integer()?,
            tid: row.get("tid")?.integer()?,
            fee: row.optional_signed("fee", 8)?.map(Price::from_raw),
        });
    }
    if into.len() > MESSAGE_FILLS_MAX {
        return refuse("too many fills");
    }
    Ok(hyperliquid::Message::UserFills(hyperliquid::UserFills {
        user: data.get("user")?.text()?,
        is_snapshot: data.flag("isSnapshot")?,
        fills: into,
    }))
}
