//! What a venue sends that is not known here: members of known messages, words of known members.
//!
//! The scanners know nothing strange: a message with something strange in it goes to the general parser,
//! which notes it here. A venue that adds a member to every message makes every message come here, so that
//! noting what was seen before costs a search among a few names, and no memory.

use crate::limits::{STRANGE_NAME_BYTES_MAX, STRANGE_THINGS_MAX};

/// What is strange about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrangeKind {
    /// A member that messages of this kind did not have.
    Field,
    /// A word that this member did not hold.
    Value,
}

/// Something strange, and how often it was seen.
#[derive(Clone, Copy, Debug)]
pub struct StrangeThing {
    /// What is strange.
    pub kind: StrangeKind,
    /// Where: the message, or the message and its member.
    pub of: &'static str,
    /// Times it was seen.
    pub count: u64,
    name: [u8; STRANGE_NAME_BYTES_MAX],
    length: u8,
}

impl StrangeThing {
    /// The unknown member or word, cut at [`STRANGE_NAME_BYTES_MAX`].
    #[must_use]
    pub fn name(&self) -> String {
        String::from_utf8_lossy(&self.name[..usize::from(self.length)]).into_owned()
    }

    fn is(&self, kind: StrangeKind, of: &'static str, name: &[u8]) -> bool {
        self.kind == kind && self.of == of && self.name[..usize::from(self.length)] == *name
    }
}

/// Everything strange that one decoder has seen.
#[derive(Debug)]
pub struct Strange {
    /// Never grows past its capacity.
    things: Vec<StrangeThing>,
    overflow: u64,
    /// Things before this one have been looked at.
    looked: usize,
}

impl Strange {
    /// Nothing seen, with room for so many things.
    pub(super) fn with_capacity(things: usize) -> Self {
        Self { things: Vec::with_capacity(things.min(STRANGE_THINGS_MAX)), overflow: 0, looked: 0 }
    }

    /// Notes one.
    pub(super) fn note(&mut self, kind: StrangeKind, of: &'static str, name: &str) {
        let mut end = name.len().min(STRANGE_NAME_BYTES_MAX);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let cut = &name.as_bytes()[..end];
        if let Some(thing) = self.things.iter_mut().find(|thing| thing.is(kind, of, cut)) {
            thing.count += 1;
        } else if self.things.len() < STRANGE_THINGS_MAX && self.things.len() < self.things.capacity() {
            let mut bytes = [0; STRANGE_NAME_BYTES_MAX];
            bytes[..end].copy_from_slice(cut);
            self.things.push(StrangeThing { kind, of, count: 1, name: bytes, length: end as u8 });
        } else {
            self.overflow += 1;
        }
    }

    /// Whether something was seen for the first time since [`Self::look`].
    #[inline]
    #[must_use]
    pub const fn has_news(&self) -> bool {
        self.things.len() > self.looked
    }

    /// The things seen for the first time since this was last called, each with its place.
    pub fn look(&mut self) -> impl Iterator<Item = (usize, &StrangeThing)> {
        let from = core::mem::replace(&mut self.looked, self.things.len());
        self.things.iter().enumerate().skip(from)
    }

    /// Everything seen, in order of first sight.
    #[must_use]
    pub fn things(&self) -> &[StrangeThing] {
        &self.things
    }

    /// Times something was seen for which there was no room.
    #[must_use]
    pub const fn overflow(&self) -> u64 {
        self.overflow
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_is_new_once_and_counted_after_that() {
        let mut strange = Strange::with_capacity(STRANGE_THINGS_MAX);
        assert!(!strange.has_news());
        for _ in 0..3 {
            strange.note(StrangeKind::Field, "trade", "z");
            strange.note(StrangeKind::Value, "trade", "z");
        }
        let news: Vec<_> = strange.look().map(|(at, thing)| (at, thing.kind, thing.name())).collect();
        assert_eq!(news, [(0, StrangeKind::Field, "z".to_owned()), (1, StrangeKind::Value, "z".to_owned())]);
        assert!(!strange.has_news() && strange.look().next().is_none());
        assert_eq!(strange.things()[0].count, 3);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let mut strange = Strange::with_capacity(STRANGE_THINGS_MAX);
        for number in 0..STRANGE_THINGS_MAX + 5 {
            strange.note(StrangeKind::Field, "trade", &number.to_string());
        }
        assert_eq!((strange.things().len(), strange.overflow()), (STRANGE_THINGS_MAX, 5));
        let long = "币".repeat(STRANGE_NAME_BYTES_MAX);
        let mut strange = Strange::with_capacity(1);
        strange.note(StrangeKind::Field, "trade", &long);
        strange.note(StrangeKind::Field, "trade", &long);
        assert_eq!((strange.things()[0].count, strange.things()[0].name().len() % 3), (2, 0));
    }
}
