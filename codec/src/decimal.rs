//! Exact decimal numbers: prices and sizes at 1e-8, rates at 1e-12.
//!
//! A value that does not fit exactly is refused as [`DecimalError::Unrepresentable`]; nothing here ever
//! rounds or wraps. `f64` appears only at the edges ([`Price::to_f64`] and its kin) and is then the
//! double nearest to the decimal, so that it prints back to the same digits (up to 15 significant ones,
//! and to the nearest double's shortest form beyond).

use core::fmt;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Decimal places of prices and sizes.
pub const PRICE_DECIMALS: u32 = 8;
/// Decimal places of rates (Hyperliquid sends funding with ten).
pub const RATE_DECIMALS: u32 = 12;

/// Why a text is not a number we carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalError {
    /// Not a decimal number at all.
    Malformed,
    /// A decimal number, but with more digits than we carry exactly.
    Unrepresentable,
}

impl fmt::Display for DecimalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a decimal number",
            Self::Unrepresentable => "a decimal number with more digits than are carried exactly",
        })
    }
}

impl core::error::Error for DecimalError {}

const POW10: [u64; 20] = {
    let mut table = [1u64; 20];
    let mut i = 1;
    while i < 20 {
        table[i] = table[i - 1] * 10;
        i += 1;
    }
    table
};

/// Parses `-?digits[.digits][(e|E)[+-]digits]` into an integer of `decimals` places, exactly.
///
/// # Errors
/// [`DecimalError::Malformed`] for any other text, [`DecimalError::Unrepresentable`] when a non-zero
/// digit lies beyond `decimals` places or the value exceeds `i64`.
pub fn parse_fixed(text: &[u8], decimals: u32) -> Result<i64, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    // Eighteen digits cannot overflow a u64, and every price seen at either venue has fewer.
    let mut value: u64 = 0;
    let mut fraction_digits: u32 = 0;
    let mut seen_point = false;
    if digits.is_empty() || digits.len() > 18 {
        return parse_fixed_slow(negative, digits, decimals);
    }
    let mut any_digit = false;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit < 10 {
            value = value * 10 + u64::from(digit);
            fraction_digits += u32::from(seen_point);
            any_digit = true;
        } else if byte == b'.' && !seen_point && any_digit {
            seen_point = true;
        } else {
            return parse_fixed_slow(negative, digits, decimals);
        }
    }
    if seen_point && fraction_digits == 0 {
        return Err(DecimalError::Malformed);
    }
    if fraction_digits > decimals {
        return parse_fixed_slow(negative, digits, decimals);
    }
    let scaled = value
        .checked_mul(POW10[(decimals - fraction_digits) as usize])
        .ok_or(DecimalError::Unrepresentable)?;
    signed(negative, scaled)
}

fn signed(negative: bool, magnitude: u64) -> Result<i64, DecimalError> {
    let value = i64::try_from(magnitude).map_err(|_| DecimalError::Unrepresentable)?;
    Ok(if negative { -value } else { value })
}

/// Parses what [`parse_fixed`] does into a wider integer.
///
/// # Errors
/// As [`parse_fixed`], where [`DecimalError::Unrepresentable`] means a value beyond `i128`.
pub fn parse_wide(text: &[u8], decimals: u32) -> Result<i128, DecimalError> {
    match parse_fixed(text, decimals) {
        Err(DecimalError::Unrepresentable) => parse_wide_slow(text, decimals),
        narrow => narrow.map(i128::from),
    }
}

#[cold]
fn parse_wide_slow(text: &[u8], decimals: u32) -> Result<i128, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let value = i128::try_from(magnitude_of(digits, decimals)?).map_err(|_| DecimalError::Unrepresentable)?;
    Ok(if negative { -value } else { value })
}

#[cold]
fn parse_fixed_slow(negative: bool, digits: &[u8], decimals: u32) -> Result<i64, DecimalError> {
    let magnitude = u64::try_from(magnitude_of(digits, decimals)?);
    signed(negative, magnitude.map_err(|_| DecimalError::Unrepresentable)?)
}

/// The general form: long numbers, trailing zeros beyond our places, exponents.
fn magnitude_of(digits: &[u8], decimals: u32) -> Result<u128, DecimalError> {
    let (mantissa, exponent) = match digits.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&digits[..at], parse_exponent(&digits[at + 1..])?),
        None => (digits, 0),
    };
    let (whole, fraction) = match mantissa.iter().position(|&b| b == b'.') {
        Some(at) if at + 1 < mantissa.len() => (&mantissa[..at], &mantissa[at + 1..]),
        Some(_) => return Err(DecimalError::Malformed),
        None => (mantissa, &mantissa[..0]),
    };
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(DecimalError::Malformed);
    }
    let places = i64::from(decimals);
    let mut magnitude: u128 = 0;
    // The first digit stands for 10^weight, each next one for a tenth of that.
    let mut weight = i64::from(exponent) + whole.len() as i64 - 1;
    for &byte in whole.iter().chain(fraction) {
        let digit = u128::from(byte - b'0');
        if digit != 0 {
            let part = u32::try_from(weight + places).ok().and_then(|power| 10u128.checked_pow(power));
            magnitude = part
                .and_then(|part| digit.checked_mul(part))
                .and_then(|part| magnitude.checked_add(part))
                .ok_or(DecimalError::Unrepresentable)?;
        }
        weight -= 1;
    }
    Ok(magnitude)
}

fn parse_exponent(text: &[u8]) -> Result<i32, DecimalError> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(DecimalError::Malformed);
    }
    // Anything past four digits is out of range whatever the mantissa, unless that is zero.
    let value = digits.iter().fold(0i32, |sum, &b| (sum * 10 + i32::from(b - b'0')).min(9_999));
    Ok(if negative { -value } else { value })
}

/// The double nearest to `value / 10^decimals`.
#[inline]
fn to_f64(value: i64, decimals: u32) -> f64 {
    if value.unsigned_abs() < 1 << 53 {
        // Both operands are exact doubles, so the one division rounds once, correctly.
        return value as f64 / POW10[decimals as usize] as f64;
    }
    stripped_to_f64(value, decimals)
}

/// Without its trailing zeros a long number may fit the one division after all.
#[cold]
fn stripped_to_f64(value: i64, decimals: u32) -> f64 {
    let mut magnitude = value.unsigned_abs();
    let mut places = decimals as usize;
    while places > 0 && magnitude.is_multiple_of(10) {
        magnitude /= 10;
        places -= 1;
    }
    if magnitude < 1 << 53 {
        let quotient = magnitude as f64 / POW10[places] as f64;
        return if value < 0 { -quotient } else { quotient };
    }
    wide_to_f64(value, decimals)
}

/// More than 53 bits of digits: the standard library's parser rounds correctly at any length.
#[cold]
fn wide_to_f64(value: i64, decimals: u32) -> f64 {
    let mut text = DecimalText::new();
    text.write(value, decimals);
    text.as_str().parse().unwrap_or(f64::NAN)
}

/// A decimal printed without allocation, trailing zeros left out.
struct DecimalText {
    bytes: [u8; 24],
    start: usize,
}

impl DecimalText {
    const fn new() -> Self {
        Self { bytes: [0; 24], start: 24 }
    }

    fn put(&mut self, byte: u8) {
        self.start -= 1;
        self.bytes[self.start] = byte;
    }

    fn write(&mut self, value: i64, decimals: u32) {
        let mut magnitude = value.unsigned_abs();
        let mut places = decimals;
        while places > 0 && magnitude.is_multiple_of(10) {
            magnitude /= 10;
            places -= 1;
        }
        for _ in 0..places {
            self.put(b'0' + (magnitude % 10) as u8);
            magnitude /= 10;
        }
        if places > 0 {
            self.put(b'.');
        }
        loop {
            self.put(b'0' + (magnitude % 10) as u8);
            magnitude /= 10;
            if magnitude == 0 {
                break;
            }
        }
        if value < 0 {
            self.put(b'-');
        }
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[self.start..]).unwrap_or("")
    }
}

macro_rules! fixed_point {
    ($(#[$doc:meta])* $name:ident, $decimals:expr) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, FromBytes, IntoBytes, Immutable, KnownLayout,
        )]
        #[repr(transparent)]
        pub struct $name(i64);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(0);
            /// Decimal places held.
            pub const DECIMALS: u32 = $decimals;

            /// From units of the last decimal place.
            #[must_use]
            pub const fn from_raw(raw: i64) -> Self {
                Self(raw)
            }

            /// In units of the last decimal place.
            #[must_use]
            pub const fn raw(self) -> i64 {
                self.0
            }

            /// Parses a decimal text exactly.
            ///
            /// # Errors
            /// See [`parse_fixed`].
            #[inline]
            pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
                parse_fixed(text, Self::DECIMALS).map(Self)
            }

            /// The nearest double.
            #[must_use]
            #[inline]
            pub fn to_f64(self) -> f64 {
                to_f64(self.0, Self::DECIMALS)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = DecimalText::new();
                text.write(self.0, Self::DECIMALS);
                f.pad(text.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

fixed_point!(
    /// A price in quote units, at 1e-8.
    Price,
    PRICE_DECIMALS
);
fixed_point!(
    /// A size in base units, at 1e-8.
    Size,
    PRICE_DECIMALS
);
fixed_point!(
    /// A rate as a fraction (0.0001 is one basis point), at 1e-12.
    Rate,
    RATE_DECIMALS
);

/// A sum of sizes, wide enough for any volume a venue reports, at 1e-8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Volume(i128);

impl Volume {
    /// Zero.
    pub const ZERO: Self = Self(0);
    /// The largest that is read, 1e22 units: no number of candles or trades adds up to an overflow.
    pub const MAX: Self = Self(10i128.pow(30));

    /// From units of 1e-8.
    #[must_use]
    pub const fn from_raw(raw: i128) -> Self {
        Self(raw)
    }

    /// In units of 1e-8.
    #[must_use]
    pub const fn raw(self) -> i128 {
        self.0
    }

    /// Parses a decimal text exactly.
    ///
    /// # Errors
    /// [`DecimalError::Malformed`] for any other text, [`DecimalError::Unrepresentable`] when a non-zero digit
    /// lies beyond eight places or the value beyond [`Self::MAX`] in either direction.
    #[inline]
    pub fn parse(text: &[u8]) -> Result<Self, DecimalError> {
        match parse_wide(text, PRICE_DECIMALS)? {
            value if value.unsigned_abs() <= Self::MAX.0.unsigned_abs() => Ok(Self(value)),
            _ => Err(DecimalError::Unrepresentable),
        }
    }

    /// The nearest double.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        if let Ok(narrow) = i64::try_from(self.0) {
            return to_f64(narrow, PRICE_DECIMALS);
        }
        // Beyond 9.2e10 units the text form is the one exact road.
        format!("{}.{:08}", self.0 / 100_000_000, (self.0 % 100_000_000).abs()).parse().unwrap_or(f64::NAN)
    }

    /// The sum with one more size.
    #[must_use]
    pub fn plus(self, size: Size) -> Self {
        Self(self.0 + i128::from(size.raw()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parses_what_the_venues_send() {
        for (text, raw) in [
            ("84143.0", 8_414_300_000_000),
            ("0.00000001", 1),
            ("0", 0),
            ("0.000", 0),
            ("-1.5", -150_000_000),
            ("2058973.0", 205_897_300_000_000),
            ("1e-8", 1),
            ("1.5E2", 15_000_000_000),
            ("0e99999", 0),
            ("0.100000000000000000000000", 10_000_000),
            ("92233720368.54775807", i64::MAX),
        ] {
            assert_eq!(parse_fixed(text.as_bytes(), 8), Ok(raw), "{text}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_hold() {
        for text in ["0.000000001", "92233720368.54775808", "1e-9", "1e12", "99999999999999999999", "1e9999"]
        {
            assert_eq!(parse_fixed(text.as_bytes(), 8), Err(DecimalError::Unrepresentable), "{text}");
        }
        for text in
            ["", "-", ".", ".5", "5.", "1.2.3", "+1", "1e", "1e+", "0x10", " 1", "1 ", "NaN", "1_0", "--1"]
        {
            assert_eq!(parse_fixed(text.as_bytes(), 8), Err(DecimalError::Malformed), "{text}");
        }
    }

    #[test]
    fn volumes_are_wider_than_sizes() {
        for (text, raw) in [
            ("92233720368.54775807", i128::from(i64::MAX)),
            ("92233720368.54775808", i128::from(i64::MAX) + 1),
            ("123456789012345.00000001", 12_345_678_901_234_500_000_001),
            ("1e22", Volume::MAX.raw()),
            ("-1e12", -100_000_000_000_000_000_000),
        ] {
            assert_eq!(Volume::parse(text.as_bytes()), Ok(Volume::from_raw(raw)), "{text}");
        }
        for text in ["0.000000001", "10000000000000000000000.00000001", "1e30", "1e400", "-1e23"] {
            assert_eq!(Volume::parse(text.as_bytes()), Err(DecimalError::Unrepresentable), "{text}");
        }
        assert_eq!(Volume::parse(b"1e99x"), Err(DecimalError::Malformed));
        assert_eq!(parse_wide(b"170141183460469231731687303715884105727", 0), Ok(i128::MAX));
        let beyond = parse_wide(b"170141183460469231731687303715884105728", 0);
        assert_eq!(beyond, Err(DecimalError::Unrepresentable));
    }

    proptest! {
        #[test]
        fn wide_numbers_are_those_of_the_standard_library(raw in any::<i128>().prop_filter("one value has no negative", |v| *v != i128::MIN)) {
            let text = raw.to_string();
            prop_assert_eq!(parse_wide(text.as_bytes(), 0), Ok(raw));
            let (sign, digits) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
            let digits = format!("{digits:0>9}");
            let (whole, fraction) = digits.split_at(digits.len() - 8);
            let pointed = format!("{sign}{whole}.{fraction}");
            prop_assert_eq!(parse_wide(pointed.as_bytes(), 8), Ok(raw));
        }

        #[test]
        fn wide_and_narrow_agree_where_both_hold(text in "-?[0-9]{1,22}(\\.[0-9]{1,10})?([eE][+-]?[0-9]{1,2})?") {
            match (parse_fixed(text.as_bytes(), 8), parse_wide(text.as_bytes(), 8)) {
                (Ok(narrow), wide) => prop_assert_eq!(wide, Ok(i128::from(narrow))),
                (Err(DecimalError::Unrepresentable), Ok(wide)) => prop_assert!(i64::try_from(wide).is_err() || wide == i128::from(i64::MIN)),
                (narrow, wide) => prop_assert_eq!(narrow.map(i128::from), wide),
            }
        }

        #[test]
        fn prints_back_to_the_same_value(raw in any::<i64>().prop_filter("one value has no negative", |v| *v != i64::MIN)) {
            let price = Price::from_raw(raw);
            prop_assert_eq!(Price::parse(price.to_string().as_bytes()), Ok(price));
            let rate = Rate::from_raw(raw);
            prop_assert_eq!(Rate::parse(rate.to_string().as_bytes()), Ok(rate));
        }

        #[test]
        fn doubles_are_the_nearest(raw in any::<i64>()) {
            let price = Price::from_raw(raw);
            prop_assert_eq!(price.to_f64(), price.to_string().parse::<f64>().unwrap());
            prop_assert_eq!(Volume::from_raw(i128::from(raw)).to_f64(), price.to_f64());
        }

        #[test]
        fn fast_and_slow_roads_agree(text in "-?[0-9]{1,12}(\\.[0-9]{1,12})?") {
            let (negative, digits) = text.strip_prefix('-').map_or((false, text.as_str()), |rest| (true, rest));
            prop_assert_eq!(parse_fixed(text.as_bytes(), 8), parse_fixed_slow(negative, digits.as_bytes(), 8));
        }

        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_fixed(&text, 8);
            let _ = parse_fixed(&text, 12);
            let _ = Volume::parse(&text);
        }
    }
}
