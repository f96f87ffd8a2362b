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
fn row(tree: &Tree) -> Answer<CandleRow> {
    let start_ms = tree.get("t")?.integer()?;
    let end_ms = tree.get("T")?.integer()?;
    let (open, high) = (tree.price_of("o")?, tree.price_of("h")?);
    let (low, close) = (tree.price_of("l")?, tree.price_of("c")?);
    let (volume, num_trades) = (tree.get("v")?.volume()?, tree.get("n")?.integer()?);
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
