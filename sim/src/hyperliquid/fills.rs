//! The JSON of an account's fills.

use super::frames;
use crate::decimal::trimmed;
use crate::limits::HYPERLIQUID_FILLS_MAX;
use crate::market::Fill;

/// What a fill did to the position.
fn direction(fill: &Fill) -> &'static str {
    let before = fill.start_position_e8;
    let after = before + if fill.bought { fill.size_e8 } else { -fill.size_e8 };
    match (before.signum(), after.signum(), fill.bought) {
        (1, -1, _) => "Long > Short",
        (-1, 1, _) => "Short > Long",
        (-1, _, true) => "Close Short",
        (1, _, false) => "Close Long",
        (_, _, true) => "Open Long",
        (_, _, false) => "Open Short",
    }
}

/// One fill.
fn fill(of: &Fill) -> String {
    let Fill { symbol, time_ms, order_id, trade_id, taker, .. } = of;
    let side = if of.bought { 'B' } else { 'A' };
    format!(
        r#"{{"coin":"{symbol}","px":"{}","sz":"{}","side":"{side}","time":{time_ms},"startPosition":"{}","dir":"{}","closedPnl":"{}","hash":"{}","oid":{order_id},"crossed":{taker},"fee":"{}","tid":{trade_id},"feeToken":"USDC"}}"#,
        trimmed(of.price_e8),
        trimmed(of.size_e8),
        trimmed(of.start_position_e8),
        direction(of),
        trimmed(of.closed_pnl_e8),
        frames::hash(of.transaction),
        trimmed(of.fee_e8),
    )
}

/// Fills as an array.
pub fn array<'a>(fills: impl Iterator<Item = &'a Fill>) -> String {
    let fills: Vec<String> = fills.map(fill).collect();
    format!("[{}]", fills.join(","))
}

/// The newest fills first, as many as the venue tells at once.
pub fn newest_first(fills: &[Fill]) -> (String, usize) {
    let told = fills.len().min(HYPERLIQUID_FILLS_MAX);
    (array(fills[fills.len() - told..].iter().rev()), told)
}

/// The first frame of `userFills`: what the account has traded so far, newest first.
pub fn snapshot(user: &str, fills: &[Fill]) -> String {
    let (fills, _) = newest_first(fills);
    frames::frame("userFills", &format!(r#"{{"isSnapshot":true,"user":"{user}","fills":{fills}}}"#))
}

/// A later frame of `userFills`.
pub fn update(user: &str, fill: &Fill) -> String {
    let fills = array(std::iter::once(fill));
    frames::frame("userFills", &format!(r#"{{"user":"{user}","fills":{fills}}}"#))
}

/// A frame of `userEvents`, which does not name the account.
pub fn event(fill: &Fill) -> String {
    frames::frame("user", &format!(r#"{{"fills":{}}}"#, array(std::iter::once(fill))))
}
