//! The cursor the scanners read with: literals, integers, decimals and strings in compact JSON.
//!
//! Every method consumes what it names or answers `None` (`take`: `false`). `None` means "not a shape
//! known here", never "wrong": the message then goes to the general parser from its beginning.

use crate::decimal::{PRICE_DECIMALS, RATE_DECIMALS, Volume, parse_fixed};
use crate::record::Level;

/// Digits before and after a decimal's point that the quick road reads; eighteen never overflow.
const WHOLE: usize = 10;
const PLACES: usize = PRICE_DECIMALS as usize;

const POW10: [u64; PLACES + 1] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

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

    /// After an element: whether another follows (a comma), or the array ends.
    #[inline(always)]
    pub fn another(&mut self) -> Option<bool> {
        let (&byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        if byte == b',' {
            Some(true)
        } else if byte == b']' {
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
        if length > 1 && self.rest.first() == Some(&b'0') {
            return None;
        }
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    /// The rest of a string after its opening quote, when it is a decimal that is not negative: the value
    /// at 1e-8, exactly.
    #[inline(always)]
    pub fn decimal(&mut self) -> Option<i64> {
        let (value, length) = short_decimal(self.rest).or_else(|| long_decimal(self.rest))?;
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    /// Like [`Self::decimal`], for volumes.
    #[inline(always)]
    pub fn volume(&mut self) -> Option<Volume> {
        let (value, length) = match short_decimal(self.rest) {
            Some((value, length)) => (Volume::from_raw(value.into()), length),
            None => long_volume(self.rest)?,
        };
        self.rest = self.rest.get(length..)?;
        Some(value)
    }

    /// The rest of a string after its opening quote, when it is a decimal of either sign: the value at 1e-12,
    /// exactly.
    #[inline(always)]
    pub fn rate(&mut self) -> Option<i64> {
        let length = self.rest.iter().position(|&byte| byte == b'"')?;
        let value = parse_fixed(&self.rest[..length], RATE_DECIMALS).ok()?;
        self.rest = &self.rest[length + 1..];
        Some(value)
    }

    /// `null`, or a string that this reads after its opening quote.
    #[inline(always)]
    pub fn nullable<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.take(b"null") {
            return Some(None);
        }
        self.literal(b"\"")?;
        read(self).map(Some)
    }

    /// An integer nobody wants, of either sign.
    #[inline(always)]
    pub fn skip_integer(&mut self) -> Option<()> {
        if self.take(b"-") {
            // Numbers beyond 64 bits are refused wherever they stand.
            return i64::try_from(self.integer()?).ok().map(|_| ());
        }
        self.integer().map(|_| ())
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

    /// Like [`Self::skip_text`], for a string that is expected to have this many bytes.
    #[inline(always)]
    pub fn skip_sized_text<const N: usize>(&mut self) -> Option<()> {
        if let Some((text, [b'"', rest @ ..])) = self.rest.split_first_chunk::<N>()
            && is_plain(text)
        {
            self.rest = rest;
            return Some(());
        }
        self.skip_text()
    }
}

/// The rest of an array of levels after its opening bracket, and how many those are; `None` also if `into`
/// has no room for them.
#[inline(never)]
pub fn levels<'a>(
    cursor: &mut Cursor<'a>,
    into: &mut [Level],
    level: impl Fn(&mut Cursor<'a>) -> Option<Level>,
) -> Option<usize> {
    if cursor.take(b"]") {
        return Some(0);
    }
    // A copy of its own stays in registers.
    let mut c = *cursor;
    let mut count = 0;
    loop {
        *into.get_mut(count)? = level(&mut c)?;
        count += 1;
        if !c.another()? {
            *cursor = c;
            return Some(count);
        }
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

/// An integer with bytes to spare behind it, and the bytes read. The steps suit what the venues send:
/// counts below eight digits, times of thirteen, ids of up to seventeen.
#[inline(always)]
fn short_integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let Some(value) = eight_digits(head) else {
        let (value, length) = digits(0, head);
        return (length > 0).then_some((value, length));
    };
    let (next, rest) = rest.split_first_chunk::<6>()?;
    let (value, length) = digits(value, next);
    if length < 6 {
        return Some((value, 8 + length));
    }
    let (value, length) = digits(value, rest.first_chunk::<4>()?);
    (length < 4).then_some((value, 14 + length))
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
///
/// Digit by digit and unrolled: a venue's numbers have few lengths, so that the branches are foreseen and
/// the next field is read before this one is done. Finding the end with eight bytes at a time, without
/// branches, makes each field wait for the one before and took half as long again (2026-11).
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

/// Appends the leading digits to a value, and tells how many those were.
#[inline(always)]
fn digits<const N: usize>(mut value: u64, bytes: &[u8; N]) -> (u64, usize) {
    for (at, &byte) in bytes.iter().enumerate() {
        let digit = u64::from(byte).wrapping_sub(0x30);
        if digit > 9 {
            return (value, at);
        }
        value = value.wrapping_mul(10).wrapping_add(digit);
    }
    (value, N)
}

/// The same for whatever [`short_decimal`] has no room for.
#[inline(never)]
fn long_decimal(bytes: &[u8]) -> Option<(i64, usize)> {
    let length = bytes.iter().position(|&byte| byte == b'"')?;
    let value = parse_fixed(&bytes[..length], PRICE_DECIMALS).ok()?;
    (value >= 0).then_some((value, length + 1))
}

/// A volume of any length, and the bytes read.
#[inline(never)]
fn long_volume(bytes: &[u8]) -> Option<(Volume, usize)> {
    let length = bytes.iter().position(|&byte| byte == b'"')?;
    let value = Volume::parse(&bytes[..length]).ok()?;
    (value >= Volume::ZERO).then_some((value, length + 1))
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

/// Neither a quote, nor an escape, nor a control character, nor beyond ASCII. Written for vector code.
#[inline(always)]
fn is_plain<const N: usize>(text: &[u8; N]) -> bool {
    text.iter().fold(true, |plain, &byte| {
        // As a signed number, what is not ASCII is negative.
        plain & ((byte as i8) >= 0x20) & (byte != b'"') & (byte != b'\\')
    })
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

/// Reads the members of an object, each with the comma before it, up to and including the closing brace.
/// `must` marks those that have to be there, `may` the others.
///
/// Members in the order listed cost one comparison each; in another order, one pass more for each step
/// back. Leaves the enclosing function with `None` at an unknown, repeated or missing key.
macro_rules! members {
    ($cursor:ident: $($need:ident $key:literal => $action:expr;)+) => {
        let mut seen = 0u32;
        loop {
            let (before, mut bit, mut needed) = (seen, 1, 0);
            $(
                if $cursor.take($key) {
                    if seen & bit != 0 {
                        return None;
                    }
                    seen |= bit;
                    $action;
                }
                needed |= members!(@$need bit);
                bit <<= 1;
            )+
            if $cursor.take(b"}") {
                if seen & needed != needed {
                    return None;
                }
                break;
            }
            if seen == before {
                return None;
            }
        }
    };
    (@must $bit:ident) => { $bit };
    (@may $bit:ident) => { 0 };
}
pub(super) use members;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn decimals_are_those_of_the_slow_parser(text in "-?[0-9]{0,12}(\\.[0-9]{0,10})?", rest in "[\",}\\]0-9]{0,24}") {
            let message = format!("{text}\"{rest}");
            let mut cursor = Cursor::new(message.as_bytes());
            let expected = parse_fixed(text.as_bytes(), PRICE_DECIMALS).ok().filter(|value| *value >= 0);
            prop_assert_eq!(cursor.decimal(), expected);
            if expected.is_some() {
                prop_assert_eq!(cursor.left(), rest.len());
            }
        }

        #[test]
        fn volumes_are_those_of_the_slow_parser(text in "-?[0-9]{0,26}(\\.[0-9]{0,10})?", rest in "[\",}\\]0-9]{0,24}") {
            let message = format!("{text}\"{rest}");
            let mut cursor = Cursor::new(message.as_bytes());
            let expected = Volume::parse(text.as_bytes()).ok().filter(|value| *value >= Volume::ZERO);
            prop_assert_eq!(cursor.volume(), expected);
            if expected.is_some() {
                prop_assert_eq!(cursor.left(), rest.len());
            }
        }

        #[test]
        fn integers_are_those_of_the_standard_library(text in "[0-9]{0,21}", rest in "[\",}\\]a-z][\",}0-9]{0,20}") {
            let message = format!("{text}{rest}");
            let mut cursor = Cursor::new(message.as_bytes());
            let expected = text.parse::<u64>().ok().filter(|_| text == "0" || !text.starts_with('0'));
            prop_assert_eq!(cursor.integer(), expected);
            if expected.is_some() {
                prop_assert_eq!(cursor.left(), rest.len());
            }
        }

        #[test]
        fn strings_end_at_their_quote(text in "[a-z@\"\\\\\u{0}-\u{1f}é币]{0,20}", rest in "[\"a]{0,9}") {
            let message = format!("{text}\"{rest}");
            let end = message.find('"').expect("there is one");
            let expected = &message[..end];
            let plain = !expected.contains(|c: char| c == '\\' || c < ' ');
            let mut cursor = Cursor::new(message.as_bytes());
            prop_assert_eq!(cursor.text(), plain.then_some(expected));
            for skip in [Cursor::skip_text, Cursor::skip_sized_text::<4>, Cursor::skip_sized_text::<16>] {
                let mut cursor = Cursor::new(message.as_bytes());
                prop_assert_eq!(skip(&mut cursor).is_some(), plain);
                if plain {
                    prop_assert_eq!(cursor.left(), message.len() - end - 1);
                }
            }
        }

        #[test]
        fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = Cursor::new(&bytes).decimal();
            let _ = Cursor::new(&bytes).volume();
            let _ = Cursor::new(&bytes).rate();
            let _ = Cursor::new(&bytes).integer();
            let _ = Cursor::new(&bytes).text();
            let _ = Cursor::new(&bytes).skip_sized_text::<42>();
        }
    }
}
