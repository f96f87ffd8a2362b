//! Reading MessagePack in place: checked once as a whole, then walked without allocation.
//!
//! [`check`] decides whether bytes are one map, complete, without anything after it and not nested past
//! [`DEPTH_MAX`]. What it accepts, [`Map::read`] and the values below walk.

use core::fmt;

/// How deep maps and arrays may nest, the outermost map included.
pub const DEPTH_MAX: usize = 32;

/// Why bytes are not one MessagePack map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Nothing there.
    Empty,
    /// The bytes end inside a value.
    Truncated,
    /// Something other than a map.
    NotAMap,
    /// Bytes after the map.
    Trailing,
    /// Nested past [`DEPTH_MAX`].
    TooDeep,
    /// The byte 0xC1, which MessagePack does not use.
    Reserved,
    /// A key of the outermost map that is not a string.
    KeyNotAString,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the frame is empty; a frame holds one MessagePack map"),
            Self::Truncated => f.write_str("the frame ends inside a MessagePack value"),
            Self::NotAMap => {
                f.write_str("the frame does not hold a map; a frame is one MessagePack map with string keys")
            }
            Self::Trailing => f.write_str("bytes follow the map; a frame holds exactly one MessagePack map"),
            Self::TooDeep => write!(f, "nested deeper than {DEPTH_MAX} levels"),
            Self::Reserved => f.write_str("the byte 0xc1 is not MessagePack"),
            Self::KeyNotAString => {
                f.write_str("a key is not a string; a frame is one MessagePack map with string keys")
            }
        }
    }
}

impl core::error::Error for Malformed {}

/// One value, borrowed from its frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// Nil.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer of any width.
    Int(i128),
    /// A float of either width.
    Float(f64),
    /// A string's bytes; not yet known to be UTF-8.
    Str(&'a [u8]),
    /// Raw bytes.
    Bin(&'a [u8]),
    /// An array.
    Array(Array<'a>),
    /// A map.
    Map(Map<'a>),
    /// An extension.
    Ext,
}

impl<'a> Value<'a> {
    /// What it is, for messages to people.
    #[must_use]
    pub const fn what(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bin(_) => "bytes",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Ext => "an extension",
        }
    }

    /// The text, if it is a string of valid UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::Str(bytes) => core::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// The integer, if it is one that fits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(value) => u64::try_from(*value).ok(),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Float(value) => Some(*value),
            Self::Int(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The array, if it is one.
    #[must_use]
    pub const fn as_array(&self) -> Option<Array<'a>> {
        match self {
            Self::Array(array) => Some(*array),
            _ => None,
        }
    }

    /// The map, if it is one.
    #[must_use]
    pub const fn as_map(&self) -> Option<Map<'a>> {
        match self {
            Self::Map(map) => Some(*map),
            _ => None,
        }
    }
}

/// An array in its frame. Iterating yields its items; it ends early if the bytes do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    length: u32,
    bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Items.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length as usize
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Its items.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut reader = Reader { bytes: self.bytes };
        (0..self.length).map_while(move |_| reader.value(DEPTH_MAX).ok())
    }
}

/// A map in its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map<'a> {
    length: u32,
    bytes: &'a [u8],
}

impl<'a> Map<'a> {
    /// The map of a frame.
    ///
    /// # Errors
    /// See [`Malformed`].
    pub fn read(frame: &'a [u8]) -> Result<Self, Malformed> {
        check(frame)?;
        match (Reader { bytes: frame }).value(DEPTH_MAX)? {
            Value::Map(map) => Ok(map),
            _ => Err(Malformed::NotAMap),
        }
    }

    /// The value of a key; of the last one, should it be there twice.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.iter().filter(|(name, _)| *name == Value::Str(key.as_bytes())).last().map(|(_, value)| value)
    }

    /// Its entries.
    pub fn iter(&self) -> impl Iterator<Item = (Value<'a>, Value<'a>)> + use<'a> {
        let mut reader = Reader { bytes: self.bytes };
        (0..self.length).map_while(move |_| {
            let key = reader.value(DEPTH_MAX).ok()?;
            Some((key, reader.value(DEPTH_MAX).ok()?))
        })
    }
}

/// Whether bytes are exactly one map within the limits of depth.
///
/// # Errors
/// See [`Malformed`].
pub fn check(frame: &[u8]) -> Result<(), Malformed> {
    if frame.is_empty() {
        return Err(Malformed::Empty);
    }
    let mut reader = Reader { bytes: frame };
    let Head::Map(length) = reader.head()? else { return Err(Malformed::NotAMap) };
    for _ in 0..length {
        match reader.head()? {
            Head::Str(bytes) => {
                reader.take(bytes as usize)?;
            }
            _ => return Err(Malformed::KeyNotAString),
        }
        reader.skip(DEPTH_MAX - 1)?;
    }
    if reader.bytes.is_empty() { Ok(()) } else { Err(Malformed::Trailing) }
}

/// The first bytes of a value: scalars whole, the rest by length.
enum Head {
    Nil,
    Bool(bool),
    Int(i128),
    Float(f64),
    Str(u32),
    Bin(u32),
    Ext(u32),
    Array(u32),
    Map(u32),
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline]
    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(Malformed::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(Malformed::Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn length(&mut self, width: u8) -> Result<u32, Malformed> {
        Ok(match width {
            0 => u32::from(self.fixed::<1>()?[0]),
            1 => u32::from(u16::from_be_bytes(self.fixed()?)),
            _ => u32::from_be_bytes(self.fixed()?),
        })
    }

    fn head(&mut self) -> Result<Head, Malformed> {
        let [first] = self.fixed()?;
        Ok(match first {
            0x00..=0x7F => Head::Int(i128::from(first)),
            0x80..=0x8F => Head::Map(u32::from(first & 0x0F)),
            0x90..=0x9F => Head::Array(u32::from(first & 0x0F)),
            0xA0..=0xBF => Head::Str(u32::from(first & 0x1F)),
            0xC0 => Head::Nil,
            0xC1 => return Err(Malformed::Reserved),
            0xC2 | 0xC3 => Head::Bool(first == 0xC3),
            0xC4..=0xC6 => Head::Bin(self.length(first - 0xC4)?),
            // The type byte of an extension counts as part of it.
            0xC7..=0xC9 => Head::Ext(self.length(first - 0xC7)?.checked_add(1).ok_or(Malformed::Truncated)?),
            0xCA => Head::Float(f64::from(f32::from_be_bytes(self.fixed()?))),
            0xCB => Head::Float(f64::from_be_bytes(self.fixed()?)),
            0xCC => Head::Int(i128::from(self.fixed::<1>()?[0])),
            0xCD => Head::Int(i128::from(u16::from_be_bytes(self.fixed()?))),
            0xCE => Head::Int(i128::from(u32::from_be_bytes(self.fixed()?))),
            0xCF => Head::Int(i128::from(u64::from_be_bytes(self.fixed()?))),
            0xD0 => Head::Int(i128::from(i8::from_be_bytes(self.fixed()?))),
            0xD1 => Head::Int(i128::from(i16::from_be_bytes(self.fixed()?))),
            0xD2 => Head::Int(i128::from(i32::from_be_bytes(self.fixed()?))),
            0xD3 => Head::Int(i128::from(i64::from_be_bytes(self.fixed()?))),
            0xD4..=0xD8 => Head::Ext((1 << (first - 0xD4)) + 1),
            0xD9..=0xDB => Head::Str(self.length(first - 0xD9)?),
            0xDC | 0xDD => Head::Array(self.length(first - 0xDC + 1)?),
            0xDE | 0xDF => Head::Map(self.length(first - 0xDE + 1)?),
            0xE0..=0xFF => Head::Int(i128::from(first as i8)),
        })
    }

    /// Passes over one value. Every item takes at least a byte, so a huge length ends with the bytes.
    fn skip(&mut self, depth_left: usize) -> Result<(), Malformed> {
        let items = match self.head()? {
            Head::Nil | Head::Bool(_) | Head::Int(_) | Head::Float(_) => return Ok(()),
            Head::Str(bytes) | Head::Bin(bytes) | Head::Ext(bytes) => {
                self.take(bytes as usize)?;
                return Ok(());
            }
            Head::Array(length) => u64::from(length),
            Head::Map(length) => 2 * u64::from(length),
        };
        if depth_left == 0 {
            return Err(Malformed::TooDeep);
        }
        for _ in 0..items {
            self.skip(depth_left - 1)?;
        }
        Ok(())
    }

    fn value(&mut self, depth_left: usize) -> Result<Value<'a>, Malformed> {
        Ok(match self.head()? {
            Head::Nil => Value::Nil,
            Head::Bool(value) => Value::Bool(value),
            Head::Int(value) => Value::Int(value),
            Head::Float(value) => Value::Float(value),
            Head::Str(bytes) => Value::Str(self.take(bytes as usize)?),
            Head::Bin(bytes) => Value::Bin(self.take(bytes as usize)?),
            Head::Ext(bytes) => {
                self.take(bytes as usize)?;
                Value::Ext
            }
            Head::Array(length) => {
                Value::Array(Array { length, bytes: self.span(u64::from(length), depth_left)? })
            }
            Head::Map(length) => {
                Value::Map(Map { length, bytes: self.span(2 * u64::from(length), depth_left)? })
            }
        })
    }

    /// The bytes of the next `items` values.
    fn span(&mut self, items: u64, depth_left: usize) -> Result<&'a [u8], Malformed> {
        let start = self.bytes;
        for _ in 0..items {
            self.skip(depth_left)?;
        }
        Ok(&start[..start.len() - self.bytes.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::pack;
    use proptest::prelude::*;

    #[test]
    fn reads_what_pack_writes() {
        let mut out = Vec::new();
        pack::map(&mut out, 8);
        for (key, value) in [("a", 1u64), ("b", u64::MAX)] {
            pack::string(&mut out, key);
            pack::uint(&mut out, value);
        }
        pack::string(&mut out, "c");
        pack::float(&mut out, 1.5);
        pack::string(&mut out, "d");
        pack::string(&mut out, &"x".repeat(300));
        pack::string(&mut out, "e");
        pack::array(&mut out, 20);
        (0..20).for_each(|item| pack::int(&mut out, -item));
        pack::string(&mut out, "f");
        pack::boolean(&mut out, true);
        pack::string(&mut out, "g");
        pack::nil(&mut out);
        pack::string(&mut out, "h");
        pack::binary(&mut out, &[1, 2]);
        let map = Map::read(&out).unwrap();
        assert_eq!(map.get("a"), Some(Value::Int(1)));
        assert_eq!(map.get("b").unwrap().as_u64(), Some(u64::MAX));
        assert_eq!(map.get("c"), Some(Value::Float(1.5)));
        assert_eq!(map.get("d").unwrap().as_str().unwrap().len(), 300);
        let items: Vec<_> = map.get("e").unwrap().as_array().unwrap().iter().collect();
        assert_eq!(items.len(), 20);
        assert_eq!(items[19], Value::Int(-19));
        assert_eq!(map.get("f").unwrap().as_bool(), Some(true));
        assert_eq!(map.get("g"), Some(Value::Nil));
        assert_eq!(map.get("h"), Some(Value::Bin(&[1, 2])));
        assert_eq!(map.get("i"), None);
    }

    fn nested(arrays: usize) -> Vec<u8> {
        let mut out = vec![0x81, 0xA1, b'a'];
        out.extend(std::iter::repeat_n(0x91, arrays));
        out.push(0xC0);
        out
    }

    #[test]
    fn what_is_malformed_is_told_apart() {
        for (bytes, want) in [
            (&b""[..], Malformed::Empty),
            (b"\x90", Malformed::NotAMap),
            (b"\xc0", Malformed::NotAMap),
            (b"\x80\x00", Malformed::Trailing),
            (b"\x81\xa1a", Malformed::Truncated),
            (b"\x81\x01\x02", Malformed::KeyNotAString),
            (b"\x81\xa1a\xc1", Malformed::Reserved),
            (b"\x81\xa1a\xdd\xff\xff\xff\xff", Malformed::Truncated),
            (b"\xdf\xff\xff\xff\xff", Malformed::Truncated),
            (b"\x81\xa1a\xc9\xff\xff\xff\xff\x00", Malformed::Truncated),
        ] {
            assert_eq!(check(bytes), Err(want), "{bytes:x?}");
        }
        assert_eq!(check(&nested(31)), Ok(()));
        assert_eq!(check(&nested(32)), Err(Malformed::TooDeep));
        assert_eq!(check(&nested(100_000)), Err(Malformed::TooDeep));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(map) = Map::read(&bytes) {
                for (key, value) in map.iter() {
                    prop_assert!(matches!(key, Value::Str(_)));
                    if let Value::Array(array) = value {
                        prop_assert_eq!(array.iter().count(), array.len());
                    }
                }
            }
        }

        #[test]
        fn any_cut_is_truncated(cut in 0usize..50) {
            let whole = nested(20);
            if cut < whole.len() {
                prop_assert!(check(&whole[..cut]).is_err());
            }
        }
    }
}
