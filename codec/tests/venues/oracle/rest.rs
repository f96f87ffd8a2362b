//! The plain decoder's REST bodies.

use super::market::{candle_of, row};
use super::{Answer, hl_trade, levels, object_row, pair_row, refuse, value};
use crate::tree::Tree;
use codec::candle::CandleRow;
use codec::limits::MESSAGE_CANDLES_MAX;
use codec::venues::rest_binance::{AggTradeRow, DepthSnapshot};
use codec::venues::rest_hyperliquid::{L2BookSnapshot, TradeRow};
use codec::words::Side;

pub fn depth(root: &Tree) -> Answer<DepthSnapshot> {
    let (mut bids, mut asks) = (Vec::new(), Vec::new());
    let unrepresentable =
        levels(root.get("bids")?, &mut bids, pair_row)? + levels(root.get("asks")?, &mut asks, pair_row)?;
    Ok(DepthSnapshot {
        last_update_id: root.get("lastUpdateId")?.integer()?,
        event_ms: root.get("E")?.integer()?,
        transaction_ms: root.get("T")?.integer()?,
        bids,
        asks,
        unrepresentable,
    })
}

pub fn agg_trades(root: &Tree) -> Answer<Vec<AggTradeRow>> {
    let trade = |row: &Tree| {
        Ok(AggTradeRow {
            agg_id: row.get("a")?.integer()?,
            value: value(row.get("p")?, row.get("q")?)?,
            trade_ms: row.get("T")?.integer()?,
            side: if row.get("m")?.boolean()? { Side::Sell } else { Side::Buy },
        })
    };
    root.elements()?.iter().map(trade).collect()
}

pub fn l2_book(root: &Tree) -> Answer<Option<L2BookSnapshot>> {
    if matches!(root, Tree::Null) {
        return Ok(None);
    }
    let [bid_rows, ask_rows] = root.get("levels")?.elements()? else { return refuse("no two sides") };
    let (mut bids, mut asks) = (Vec::new(), Vec::new());
    let unrepresentable = levels(bid_rows, &mut bids, object_row)? + levels(ask_rows, &mut asks, object_row)?;
    Ok(Some(L2BookSnapshot {
        coin: root.get("coin")?.text()?.to_owned(),
        time_ms: root.get("time")?.integer()?,
        bids,
        asks,
        unrepresentable,
    }))
}

pub fn recent_trades(root: &Tree) -> Answer<Vec<TradeRow>> {
    let trade = |row: &Tree| {
        let trade = hl_trade(row)?;
        Ok(TradeRow {
            coin: trade.coin.to_owned(),
            side: trade.side,
            value: trade.value,
            time_ms: trade.time_ms,
            tid: trade.tid,
        })
    };
    root.elements()?.iter().map(trade).collect()
}

fn candles(root: &Tree, of: impl Fn(&Tree) -> Answer<CandleRow>) -> Answer<Vec<CandleRow>> {
    let rows = root.elements()?;
    if rows.len() > MESSAGE_CANDLES_MAX {
        return refuse("too many candles");
    }
    rows.iter().map(of).collect()
}

pub fn klines(root: &Tree) -> Answer<Vec<CandleRow>> {
    candles(root, |cells| match cells.elements()? {
        [start, open, high, low, close, volume, end, _, count, ..] => {
            candle_of([start, end, open, high, low, close, volume, count])
        }
        _ => refuse("fewer than nine cells"),
    })
}

pub fn candle_snapshot(root: &Tree) -> Answer<Vec<CandleRow>> {
    match root {
        Tree::Null => Ok(Vec::new()),
        _ => candles(root, row),
    }
}
