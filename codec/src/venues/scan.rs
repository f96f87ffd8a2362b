//! The cursor the scanners read with: literals, integers, decimals and strings in compact JSON.
//!
//! Every method consumes what it names or answers `None` (`take`: `false`). `None` means "not a shape
//! known here", never "wrong": the message then goes to the general parser from its beginning.

use crate::decimal::PRICE_DECIMALS;

const POW10: [u64; PRICE_DECIMALS as usize + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// What is left of a message.
#[derive(Clone, Copy)]
pub struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes left.
    #[inline(always)]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The message ends here.
    #[inline(always)]
    pub fn end(&self) -> Option<()> {
        self.rest.is_empty().then_some(())
    }

    /// Consumes this text if it comes next.
    #[inline(always)]
    pub fn take<const N: usize>(&mut self, text: &[u8; N]) -> bool {
        match self.rest.split_first_chunk::<N>() {
            Some((head, rest)) if head == text => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Consumes this text, which must come next.
    #[inline(always)]
    pub fn literal<const N: usize>(&mut self, text: &[u8; N]) -> Option<()> {
        self.take(text).then_some(())
    }

    /// After a member or an element: whether another follows (a comma), or the object or array ends.
    #[inline(always)]
    pub fn another(&mut self, close: u8) -> Option<bool> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        if byte == b',' {
            Some(true)
        } else if byte == close {
            Some(false)
        } else {
            None
        }
    }

    /// `true` or `false`.
    #[inline(always)]
    pub fn boolean(&mut self) -> Option<bool> {
        if self.take(b"true") { Some(true) } else { self.literal(b"false").map(|()| false) }
    }

    /// An unsigned JSON integer of at most 19 digits.
    #[inline(always)]
    pub fn integer(&mut self) -> Option<u64> {
        let (value, length) = short_integer(self.rest).or_else(|| long_integer(self.rest))?;
        // JSON knows no leading zeros.
        if length > 1 && self.rest[0] == b'0' {
            return None;
        }
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    /// The rest of a string after its opening quote, when it is `digits[.digits]` of at most 10 digits
    /// before the point and 8 after it: the value at 1e-8.
    #[inline(always)]
    pub fn decimal(&mut self) -> Option<i64> {
        let (value, length) = short_decimal(self.rest).or_else(|| long_decimal(self.rest))?;
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    /// The rest of a string after its opening quote, without escapes.
    #[inline(always)]
    pub fn text(&mut self) -> Option<&'a str> {
        let (length, _) = string_length(self.rest)?;
        let text = core::str::from_utf8(&self.rest[..length]).ok()?;
        self.rest = &self.rest[length + 1..];
        Some(text)
    }

    /// Like [`Self::text`], for a string nobody wants.
    #[inline(always)]
    pub fn skip_text(&mut self) -> Option<()> {
        let (length, ascii) = string_length(self.rest)?;
        if !ascii {
            core::str::from_utf8(&self.rest[..length]).ok()?;
        }
        self.rest = &self.rest[length + 1..];
        Some(())
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// The value of eight bytes if all are digits.
#[inline(always)]
fn eight_digits(bytes: &[u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(*bytes);
    (non_digits(word) == 0).then(|| eight_digits_value(word ^ (ONES * 0x30)))
}

/// The number of eight digits, each a byte of value 0 to 9, the first one lowest.
#[inline(always)]
const fn eight_digits_value(digits: u64) -> u64 {
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xffff_ffff
}

/// An integer of at most fifteen digits with bytes to spare behind it, and the bytes read.
#[inline(always)]
fn short_integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let tail = rest.first_chunk::<8>()?;
    match eight_digits(head) {
        Some(value) => {
            let (value, length) = digits(value, tail);
            (length < 8).then_some((value, 8 + length))
        }
        None => {
            let (value, length) = digits(0, head);
            (length > 0).then_some((value, length))
        }
    }
}

/// The same for whatever [`short_integer`] has no room for.
#[inline(never)]
fn long_integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let length = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let value = bytes[..length]
        .iter()
        .try_fold(0u64, |value, byte| value.checked_mul(10)?.checked_add(u64::from(byte - b'0')))?;
    (length > 0).then_some((value, length))
}

/// A decimal and its closing quote with bytes to spare behind it: the value at 1e-8, and the bytes read.
#[inline(always)]
fn short_decimal(bytes: &[u8]) -> Option<(i64, usize)> {
    let (value, whole) = digits(0, bytes.first_chunk::<WHOLE>()?);
    let rest = bytes.get(whole..)?.first_chunk::<10>()?;
    let [b'.', fraction @ ..] = rest else {
        return (rest[0] == b'"' && whole > 0).then_some(((value * POW10[PLACES]) as i64, whole + 1));
    };
    let (fraction, places) = digits(value, fraction);
    if rest.get(places + 1) != Some(&b'"') || whole == 0 || places == 0 {
        return None;
    }
    Some(((fraction * POW10.get(PLACES - places)?) as i64, whole + places + 2))
}

const WHOLE: usize = 10;
const PLACES: usize = PRICE_DECIMALS as usize;

/// Appends the leading digits to a value, and how many those were. Unrolled: a loop over the fixed length.
#[inline(always)]
fn digits<const N: usize>(mut value: u64, bytes: &[u8; N]) -> (u64, usize) {
    for at in 0..N {
        let digit = bytes[at].wrapping_sub(b'0');
        if digit > 9 {
            return (value, at);
        }
        value = value.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    (value, N)
}

/// The same for whatever [`short_decimal`] has no room for.
#[inline(never)]
fn long_decimal(bytes: &[u8]) -> Option<(i64, usize)> {
    let digits = |from: usize| bytes.get(from..)?.iter().position(|byte| !byte.is_ascii_digit());
    let whole = digits(0)?;
    let mut end = whole;
    let mut places = 0;
    if bytes[end] == b'.' {
        places = digits(whole + 1)?;
        end += 1 + places;
        if places == 0 {
            return None;
        }
    }
    // Eighteen digits never overflow.
    if bytes[end] != b'"' || whole == 0 || whole > 10 || places > PRICE_DECIMALS as usize {
        return None;
    }
    let value = bytes[..end]
        .iter()
        .filter(|byte| **byte != b'.')
        .fold(0u64, |value, byte| value * 10 + u64::from(byte - b'0'));
    Some(((value * POW10[PRICE_DECIMALS as usize - places]) as i64, end + 1))
}

/// The high bit of every byte that is no ASCII digit.
#[inline(always)]
const fn non_digits(word: u64) -> u64 {
    let digits = word ^ (ONES * 0x30);
    (((digits & !HIGHS) + ONES * 0x76) | digits) & HIGHS
}

/// Bytes before the closing quote, and whether all are ASCII; `None` at an escape, a control character,
/// or the message's end.
#[inline(always)]
fn string_length(bytes: &[u8]) -> Option<(usize, bool)> {
    let mut at = 0;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        // The lowest bit set is exact; borrows can only disturb the ones above it.
        let quote = zero(word ^ (ONES * 0x22));
        let escape = zero(word ^ (ONES * 0x5c));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let found = (quote | escape | control | word) & HIGHS;
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    string_length_slow(bytes, at)
}

/// The same byte by byte.
#[inline(always)]
fn string_length_slow(bytes: &[u8], mut at: usize) -> Option<(usize, bool)> {
    let mut ascii = true;
    loop {
        match *bytes.get(at)? {
            b'"' => return Some((at, ascii)),
            b'\\' | 0..0x20 => return None,
            byte => ascii &= byte < 0x80,
        }
        at += 1;
    }
}

/// Reads the members of an object up to and including its closing brace, each into its `Option`.
///
/// Members in the order listed cost one comparison each; in another order, one pass more for each step
/// back. Leaves the enclosing function with `None` at an unknown or repeated key.
macro_rules! members {
    ($cursor:ident: $($key:literal => $slot:ident = $value:expr;)+) => {
        loop {
            let before = $cursor.left();
            $(
                if $cursor.take($key) {
                    if $slot.replace($value).is_some() {
                        return None;
                    }
                    if !$cursor.another(b'}')? {
                        break;
                    }
                }
            )+
            if $cursor.left() == before {
                return None;
            }
        }
    };
}
pub(super) use members;
