//! The general road: any JSON document, parsed by `simd-json` and walked without owned strings.
//!
//! `simd-json` turns numbers into doubles, which would lose digits. So a number's text is found again in
//! the source: every node begins at a structural character, and the parser tells where those are.

use super::{DecodeError, Strange, StrangeKind};
use crate::decimal::{DecimalError, Price, Rate, Size, Volume, parse_fixed};
use crate::limits::{self, DOCUMENT_BYTES_MAX, DOCUMENT_DEPTH_MAX, STRANGE_THINGS_MAX};
use crate::record::Level;
use bumpalo::Bump;
use bumpalo::collections::Vec;
use simd_json::{Buffers, Node, StaticNode, Tape};
use std::cell::RefCell;

/// Parses one document with memory of its own, for REST bodies.
pub fn read_once<R>(
    source: &[u8],
    walk: impl for<'t, 'a> FnOnce(Value<'t, 'a>, &'a Bump) -> Result<R, DecodeError>,
) -> Result<R, DecodeError> {
    General::new(0).read(source, walk)
}

/// The parser and its reused buffers.
pub struct General {
    padded: std::vec::Vec<u8>,
    buffers: Buffers,
    /// Empty between documents; here only to keep its memory.
    tape: Tape<'static>,
    arena: Bump,
    strange: RefCell<Strange>,
}

impl General {
    /// A parser that has its memory for documents of this size, if they are arrays of levels.
    pub fn new(bytes: usize) -> Self {
        let mut parser = Self {
            padded: std::vec::Vec::new(),
            buffers: Buffers::with_max_depth(0, DOCUMENT_DEPTH_MAX),
            tape: Tape(std::vec::Vec::new()),
            // A level of eighteen bytes needs 28: itself, and where its three nodes begin.
            arena: Bump::with_capacity(2 * bytes),
            // One that reads a single document has nobody to tell.
            strange: RefCell::new(Strange::with_capacity(if bytes == 0 { 0 } else { STRANGE_THINGS_MAX })),
        };
        let level = br#"["0.000","0.000"],"#;
        let levels = bytes / level.len();
        if levels > 0 {
            // Reading such a document makes every buffer grow to what it takes.
            let document = [b"[", level.repeat(levels).as_slice(), b"0]"].concat();
            let read = parser.read(&document, |_, _| Ok(()));
            debug_assert_eq!(read, Ok(()));
        }
        parser
    }

    /// What was strange in what was read.
    pub fn strange(&mut self) -> &mut Strange {
        self.strange.get_mut()
    }

    /// Parses a document and hands its root to `walk`, with an arena for what shall outlive the walk.
    pub fn read<'a, R>(
        &'a mut self,
        source: &'a [u8],
        walk: impl for<'t> FnOnce(Value<'t, 'a>, &'a Bump) -> Result<R, DecodeError>,
    ) -> Result<R, DecodeError> {
        if source.len() > DOCUMENT_BYTES_MAX {
            return Err(DecodeError::TooLarge("bytes"));
        }
        self.arena.reset();
        let arena = &self.arena;
        self.padded.clear();
        self.padded.extend_from_slice(source);
        self.padded.resize(source.len() + simd_json::INPUT_PADDING, 0);
        let shared = Shared { source, strange: &self.strange };
        let mut tape = core::mem::replace(&mut self.tape, Tape(std::vec::Vec::new())).reset();
        let parsed =
            simd_json::fill_tape_padded(&mut self.padded, source.len(), &mut self.buffers, &mut tape);
        let result = match parsed {
            Ok(()) => begins(source, self.buffers.structural_indexes(), tape.0.len(), arena)
                .and_then(|begins| walk(Value { nodes: &tape.0, begins, shared: &shared }, arena)),
            Err(_) => Err(DecodeError::Malformed("JSON")),
        };
        self.tape = tape.reset();
        result
    }
}

/// Where each node begins in the source: the structural characters that open a value or a key.
fn begins<'t>(
    source: &[u8],
    structurals: &[u32],
    nodes: usize,
    arena: &'t Bump,
) -> Result<&'t [u32], DecodeError> {
    let begins = arena.alloc_slice_fill_copy(nodes, 0u32);
    let mut count = 0;
    for &at in structurals {
        if !matches!(source.get(at as usize), Some(b':' | b',' | b'}' | b']')) {
            *begins.get_mut(count).ok_or(DecodeError::Malformed("JSON"))? = at;
            count += 1;
        }
    }
    if count == nodes { Ok(begins) } else { Err(DecodeError::Malformed("JSON")) }
}

/// A value of a parsed document: its nodes, then those of the rest of the document.
#[derive(Clone, Copy)]
pub struct Value<'t, 'a> {
    nodes: &'t [Node<'a>],
    begins: &'t [u32],
    shared: &'t Shared<'a, 't>,
}

/// What all values of a document share.
struct Shared<'a, 't> {
    source: &'a [u8],
    strange: &'t RefCell<Strange>,
}

/// What is known of an object: its name where it is told, and its members that are of no use here.
#[derive(Clone, Copy)]
pub struct Known {
    /// The message, or its part.
    pub of: &'static str,
    /// Members besides those that are read.
    pub also: &'static [&'static str],
}

impl<'t, 'a> Value<'t, 'a> {
    fn node(self) -> Node<'a> {
        self.nodes.first().copied().unwrap_or(Node::Static(StaticNode::Null))
    }

    fn skip(self, nodes: usize) -> Self {
        Self {
            nodes: self.nodes.get(nodes..).unwrap_or(&[]),
            begins: self.begins.get(nodes..).unwrap_or(&[]),
            shared: self.shared,
        }
    }

    /// The value after this one.
    fn after(self) -> Self {
        self.skip(match self.node() {
            Node::Object { count, .. } | Node::Array { count, .. } => count + 1,
            _ => 1,
        })
    }

    pub fn is_null(self) -> bool {
        self.node() == Node::Static(StaticNode::Null)
    }

    pub fn is_array(self) -> bool {
        matches!(self.node(), Node::Array { .. })
    }

    pub fn boolean(self) -> Option<bool> {
        match self.node() {
            Node::Static(StaticNode::Bool(value)) => Some(value),
            _ => None,
        }
    }

    pub fn text(self) -> Option<&'a str> {
        match self.node() {
            Node::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a number, be it in a string or bare.
    fn number_text(self) -> Option<&'a [u8]> {
        match self.node() {
            Node::String(text) => Some(text.as_bytes()),
            Node::Static(StaticNode::Null | StaticNode::Bool(_))
            | Node::Object { .. }
            | Node::Array { .. } => None,
            Node::Static(_) => {
                let text = self.shared.source.get(*self.begins.first()? as usize..)?;
                let end = text
                    .iter()
                    .position(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
                Some(&text[..end.unwrap_or(text.len())])
            }
        }
    }

    /// An unsigned integer; any form of number that is one exactly.
    pub fn integer(self, expected: &'static str) -> Result<u64, DecodeError> {
        let text = self.number_text().ok_or(DecodeError::Malformed(expected))?;
        let plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let value = if plain {
            core::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok())
        } else {
            parse_fixed(text, 0).ok().and_then(|value| u64::try_from(value).ok())
        };
        value.ok_or(DecodeError::Malformed(expected))
    }

    /// A signed integer.
    pub fn signed(self) -> Option<i64> {
        parse_fixed(self.number_text()?, 0).ok()
    }

    /// A decimal of either sign; `None` when it has more digits than are carried.
    fn decimal<T>(
        self,
        parse: impl FnOnce(&[u8]) -> Result<T, DecimalError>,
        expected: &'static str,
    ) -> Result<Option<T>, DecodeError> {
        let text = self.number_text().ok_or(DecodeError::Malformed(expected))?;
        match parse(text) {
            Ok(value) => Ok(Some(value)),
            Err(DecimalError::Unrepresentable) => Ok(None),
            Err(DecimalError::Malformed) => Err(DecodeError::Malformed(expected)),
        }
    }

    /// The same, not negative.
    fn positive<T: Default + PartialOrd>(
        self,
        parse: impl FnOnce(&[u8]) -> Result<T, DecimalError>,
        expected: &'static str,
    ) -> Result<Option<T>, DecodeError> {
        match self.decimal(parse, expected)? {
            Some(value) if value < T::default() => Err(DecodeError::Malformed(expected)),
            None if self.number_text().is_some_and(|text| text.starts_with(b"-")) => {
                Err(DecodeError::Malformed(expected))
            }
            value => Ok(value),
        }
    }

    pub fn price(self) -> Result<Option<Price>, DecodeError> {
        self.positive(Price::parse, "a price")
    }

    pub fn size(self) -> Result<Option<Size>, DecodeError> {
        self.positive(Size::parse, "a size")
    }

    pub fn volume(self) -> Result<Option<Volume>, DecodeError> {
        self.positive(Volume::parse, "a volume")
    }

    /// A fraction of either sign.
    pub fn rate(self) -> Result<Option<Rate>, DecodeError> {
        self.decimal(Rate::parse, "a rate")
    }

    /// An amount of money of either sign.
    pub fn amount(self) -> Result<Option<Price>, DecodeError> {
        self.decimal(Price::parse, "an amount")
    }

    /// The double nearest to a decimal that is not negative.
    pub fn double(self, expected: &'static str) -> Result<f64, DecodeError> {
        let text = self.number_text().filter(|text| text.first().is_some_and(u8::is_ascii_digit));
        text.and_then(|text| core::str::from_utf8(text).ok()?.parse().ok())
            .filter(|value: &f64| value.is_finite())
            .ok_or(DecodeError::Malformed(expected))
    }

    /// The elements of an array.
    pub fn elements(self, expected: &'static str) -> Result<Elements<'t, 'a>, DecodeError> {
        match self.node() {
            Node::Array { len, .. } => Ok(Elements { next: self.skip(1), left: len }),
            _ => Err(DecodeError::Malformed(expected)),
        }
    }

    /// The members of an object.
    pub fn members(self, expected: &'static str) -> Result<Members<'t, 'a>, DecodeError> {
        match self.node() {
            Node::Object { len, .. } => Ok(Members { next: self.skip(1), left: len }),
            _ => Err(DecodeError::Malformed(expected)),
        }
    }

    /// The members of these names, where present. One named twice is refused.
    pub fn fields<const N: usize>(
        self,
        names: [&str; N],
        expected: &'static str,
    ) -> Result<[Option<Self>; N], DecodeError> {
        let mut found = [None; N];
        for (key, value) in self.members(expected)? {
            if let Some(slot) = names.iter().position(|&name| name == key)
                && found[slot].replace(value).is_some()
            {
                return Err(DecodeError::Malformed("every member once"));
            }
        }
        Ok(found)
    }

    /// The same of an object whose members are all known: others are noted.
    pub fn known_fields<const N: usize>(
        self,
        names: [&str; N],
        known: Known,
        expected: &'static str,
    ) -> Result<[Option<Self>; N], DecodeError> {
        let mut found = [None; N];
        for (key, value) in self.members(expected)? {
            if let Some(slot) = names.iter().position(|&name| name == key) {
                if found[slot].replace(value).is_some() {
                    return Err(DecodeError::Malformed("every member once"));
                }
            } else if !known.also.contains(&key) {
                self.shared.strange.borrow_mut().note(StrangeKind::Field, known.of, key);
            }
        }
        Ok(found)
    }

    /// Notes a word that this member, `of` its message, is not known to hold.
    #[cold]
    pub fn note_value(self, of: &'static str) {
        let word = self.text().or_else(|| core::str::from_utf8(self.number_text()?).ok());
        self.shared.strange.borrow_mut().note(StrangeKind::Value, of, word.unwrap_or(""));
    }

    /// The levels of an array, and how many were left out because they have more digits than are carried.
    pub fn levels(
        self,
        arena: &'a Bump,
        level: impl Fn(Self) -> Result<Option<Level>, DecodeError>,
    ) -> Result<(&'a [Level], u32), DecodeError> {
        let rows = self.elements("an array of levels")?;
        if rows.len() > limits::MESSAGE_LEVELS_MAX {
            return Err(DecodeError::TooLarge("levels"));
        }
        let mut levels = Vec::with_capacity_in(rows.len(), arena);
        let mut unrepresentable = 0;
        for row in rows {
            match level(row)? {
                Some(level) => levels.push(level),
                None => unrepresentable += 1,
            }
        }
        Ok((levels.into_bump_slice(), unrepresentable))
    }
}

/// A field that must be there.
pub fn required<'t, 'a>(
    field: Option<Value<'t, 'a>>,
    expected: &'static str,
) -> Result<Value<'t, 'a>, DecodeError> {
    field.ok_or(DecodeError::Malformed(expected))
}

/// A field that may be absent, null or empty.
pub fn optional<'t, 'a, T>(
    field: Option<Value<'t, 'a>>,
    read: impl FnOnce(Value<'t, 'a>) -> Result<Option<T>, DecodeError>,
) -> Result<Option<T>, DecodeError> {
    match field {
        Some(value) if !value.is_null() && value.text() != Some("") => read(value),
        _ => Ok(None),
    }
}

/// A level of a price and a size, if both are representable.
pub fn level_of(price: Value<'_, '_>, size: Value<'_, '_>) -> Result<Option<Level>, DecodeError> {
    Ok(price.price()?.zip(size.size()?).map(|(price, size)| Level { price, size }))
}

/// An array's elements, in order.
pub struct Elements<'t, 'a> {
    next: Value<'t, 'a>,
    left: usize,
}

impl Elements<'_, '_> {
    pub fn len(&self) -> usize {
        self.left
    }
}

impl<'t, 'a> Iterator for Elements<'t, 'a> {
    type Item = Value<'t, 'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let value = self.next;
        self.next = value.after();
        Some(value)
    }
}

/// An object's members, in order.
pub struct Members<'t, 'a> {
    next: Value<'t, 'a>,
    left: usize,
}

impl<'t, 'a> Iterator for Members<'t, 'a> {
    type Item = (&'a str, Value<'t, 'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.next.text()?;
        let value = self.next.skip(1);
        self.next = value.after();
        Some((key, value))
    }
}
