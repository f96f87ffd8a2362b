//! The scanner for `activeAssetCtx`.

use super::{AssetCtx, Message};
use crate::decimal::{Price, Rate, Size};
use crate::venues::scan::{Cursor, members};

#[inline(never)]
pub fn asset_ctx<'a>(mut c: Cursor<'a>) -> Option<Message<'a>> {
    c.literal(b"\"coin\":\"")?;
    let coin = c.text()?;
    c.literal(b",\"ctx\":{")?;
    let (mut rate, mut open_interest, mut oracle, mut mark) = (None, None, None, None);
    // First comes `funding`, or in the alphabetical order what nobody wants.
    if c.take(b"\"funding\":") {
        rate = Some(c.nullable(Cursor::rate)?);
    } else {
        c.literal(b"\"dayBaseVlm\":")?;
        c.nullable(Cursor::skip_text)?;
    }
    members!(c:
        may b",\"funding\":" => if rate.replace(c.nullable(Cursor::rate)?).is_some() { return None };
        may b",\"openInterest\":" => open_interest = c.nullable(Cursor::decimal)?;
        may b",\"prevDayPx\":" => c.nullable(Cursor::skip_text)?;
        may b",\"dayNtlVlm\":" => c.nullable(Cursor::skip_text)?;
        may b",\"premium\":" => c.nullable(Cursor::skip_text)?;
        may b",\"oraclePx\":" => oracle = c.nullable(Cursor::decimal)?;
        may b",\"markPx\":" => mark = c.nullable(Cursor::decimal)?;
        may b",\"midPx\":" => c.nullable(Cursor::skip_text)?;
        may b",\"impactPxs\":" => impact_prices(&mut c)?;
        may b",\"dayBaseVlm\":" => c.nullable(Cursor::skip_text)?;
    );
    c.literal(b"}}")?;
    c.end()?;
    Some(Message::AssetCtx(AssetCtx {
        coin,
        spot: false,
        rate: rate.flatten().map(Rate::from_raw),
        open_interest: open_interest.map(Size::from_raw),
        oracle: oracle.map(Price::from_raw),
        mark: mark.map(Price::from_raw),
    }))
}

/// `null`, or an array of two strings.
#[inline(always)]
fn impact_prices(c: &mut Cursor<'_>) -> Option<()> {
    if c.take(b"null") {
        return Some(());
    }
    c.literal(b"[\"")?;
    c.skip_text()?;
    c.literal(b",\"")?;
    c.skip_text()?;
    c.literal(b"]")
}
