//! Fills of an account from a parsed document.

use super::general::{flag, integer, known, side_of, text, value};
use super::{UserFill, UserFills};
use crate::limits::MESSAGE_FILLS_MAX;
use crate::venues::DecodeError;
use crate::venues::general::{Known, Value, optional, required};
use bumpalo::Bump;
use bumpalo::collections::Vec;

/// A fill: what is not read.
const FILL: Known = known(
    "fill",
    &[
        "startPosition",
        "dir",
        "closedPnl",
        "hash",
        "crossed",
        "feeToken",
        "liquidation",
        "cloid",
        "builderFee",
        "twapId",
    ],
);

pub fn user_fills<'a>(data: Value<'_, 'a>, arena: &'a Bump) -> Result<UserFills<'a>, DecodeError> {
    let [user, is_snapshot, fills] =
        data.known_fields(["user", "isSnapshot", "fills"], known("userFills", &[]), "userFills")?;
    let rows = required(fills, "fills")?.elements("an array of fills")?;
    if rows.len() > MESSAGE_FILLS_MAX {
        return Err(DecodeError::TooLarge("fills"));
    }
    let mut fills = Vec::with_capacity_in(rows.len(), arena);
    for row in rows {
        fills.push(fill(row)?);
    }
    Ok(UserFills {
        user: text(user, "user")?,
        is_snapshot: flag(is_snapshot, "isSnapshot")?,
        fills: fills.into_bump_slice(),
    })
}

fn fill<'a>(row: Value<'_, 'a>) -> Result<UserFill<'a>, DecodeError> {
    let names = ["coin", "side", "px", "sz", "time", "oid", "tid", "fee"];
    let [coin, side, price, size, time_ms, oid, tid, fee] = row.known_fields(names, FILL, "a fill")?;
    Ok(UserFill {
        coin: text(coin, "coin")?,
        side: side_of(side)?,
        value: value(price, size)?,
        time_ms: integer(time_ms, "time")?,
        oid: integer(oid, "oid")?,
        tid: integer(tid, "tid")?,
        fee: optional(fee, Value::amount)?,
    })
}
