//! Writes and reads the decimal strings of both venues, from and to integers at 1e-8.
//!
//! Prices and sizes of the model are `i64` in units of 1e-8 (`_e8` in every name); nothing here goes through a float.

/// The scale of every `_e8` value: this many units are 1.
pub const SCALE_E8: i64 = 100_000_000;

/// Decimals an `_e8` value has.
pub const SCALE_DECIMALS: u32 = 8;

/// Appends a value with a fixed number of decimals, as Binance writes it (`83091.60`).
pub fn push_fixed(text: &mut String, value_e8: i64, decimals: u32) {
    let decimals = decimals.min(SCALE_DECIMALS);
    let mut left = value_e8.unsigned_abs() / 10u64.pow(SCALE_DECIMALS - decimals);
    // Written from the end, digit by digit: books are mostly decimals. 19 digits, a point and a sign fit.
    let mut written = [b'0'; 24];
    let mut at = written.len();
    let mut digits = 0;
    while left > 0 || digits <= decimals {
        if digits == decimals && decimals > 0 {
            at -= 1;
            written[at] = b'.';
        }
        at -= 1;
        written[at] = b'0' + (left % 10) as u8;
        left /= 10;
        digits += 1;
    }
    if value_e8 < 0 {
        at -= 1;
        written[at] = b'-';
    }
    text.push_str(std::str::from_utf8(&written[at..]).unwrap_or_default());
}

/// Appends a value that is so many decimals too large, with a number of decimals of which no digit may be lost.
pub fn push_scaled(text: &mut String, value: i128, scale: u32, decimals: u32) {
    use std::fmt::Write;
    let one = 10u128.pow(scale);
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    let (whole, fraction) = (magnitude / one, magnitude % one);
    let shown = fraction / 10u128.pow(scale.saturating_sub(decimals));
    let width = decimals.min(scale) as usize;
    // Writing into a String cannot fail.
    let _ = if width == 0 {
        write!(text, "{sign}{whole}")
    } else {
        write!(text, "{sign}{whole}.{shown:0width$}")
    };
}

/// A value that is so many decimals too large, without trailing zeros, always with one decimal.
pub fn trimmed_scaled(value: i128, scale: u32) -> String {
    let mut text = String::new();
    push_scaled(&mut text, value, scale, scale);
    while text.ends_with('0') && !text.ends_with(".0") {
        text.pop();
    }
    text
}

/// Appends a value as Hyperliquid writes it: no trailing zeros, but always one decimal (`84143.0`).
pub fn push_trimmed(text: &mut String, value_e8: i64) {
    let mut fraction = value_e8.unsigned_abs() % SCALE_E8.unsigned_abs();
    let mut decimals = SCALE_DECIMALS;
    while decimals > 1 && fraction.is_multiple_of(10) {
        fraction /= 10;
        decimals -= 1;
    }
    push_fixed(text, value_e8, decimals);
}

/// A value with a fixed number of decimals.
pub fn fixed(value_e8: i64, decimals: u32) -> String {
    let mut text = String::new();
    push_fixed(&mut text, value_e8, decimals);
    text
}

/// A value without trailing zeros, always with one decimal.
pub fn trimmed(value_e8: i64) -> String {
    let mut text = String::new();
    push_trimmed(&mut text, value_e8);
    text
}

/// Reads a decimal string exactly; `None` if it is not one, or does not fit.
pub fn parse_e8(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.is_empty() || fraction.len() > SCALE_DECIMALS as usize {
        return None;
    }
    if !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let missing = SCALE_DECIMALS - fraction.len() as u32;
    let fraction: i64 =
        if fraction.is_empty() { 0 } else { fraction.parse::<i64>().ok()? * 10i64.pow(missing) };
    let value = whole.checked_mul(SCALE_E8)?.checked_add(fraction)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_both_forms() {
        assert_eq!(fixed(8_309_160_000_000, 2), "83091.60");
        assert_eq!(fixed(421_500_000, 3), "4.215");
        assert_eq!(fixed(81_300_000_000, 0), "813");
        assert_eq!(fixed(0, 3), "0.000");
        assert_eq!(
            (fixed(-0, 0), fixed(-150_000_000, 0), fixed(i64::MAX, 8)),
            ("0".to_owned(), "-1".to_owned(), "92233720368.54775807".to_owned())
        );
        assert_eq!(fixed(i64::MIN, 2), "-92233720368.54");
        assert_eq!(fixed(-1, 8), "-0.00000001");
        assert_eq!(trimmed(8_414_300_000_000), "84143.0");
        assert_eq!(trimmed(441_000), "0.00441");
        assert_eq!(trimmed(0), "0.0");
    }

    #[test]
    fn writes_wide_values_without_losing_a_digit() {
        let mut text = String::new();
        push_scaled(&mut text, 11_257_147_396_000_000_000_000, 16, 5);
        assert_eq!(text, "1125714.73960");
        assert_eq!(trimmed_scaled(-6_413_454, 10), "-0.0006413454");
        assert_eq!(trimmed_scaled(41_610_295_396_949_653_625, 10), "4161029539.6949653625");
        assert_eq!(trimmed_scaled(0, 10), "0.0");
    }

    #[test]
    fn reads_what_it_writes_and_refuses_the_rest() {
        for value in [0, 1, 8_309_160_000_000, 441_000, -250_000_000] {
            assert_eq!(parse_e8(&trimmed(value)), Some(value));
            assert_eq!(parse_e8(&fixed(value, 8)), Some(value));
        }
        for bad in ["", ".", "1e5", "0.000000001", "12a", "99999999999999", "--1"] {
            assert_eq!(parse_e8(bad), None, "{bad}");
        }
    }
}
