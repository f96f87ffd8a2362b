//! What the hot threads have to say to the operator: plain values, printed by the ops thread.
//!
//! Engine and ipc never format and never log; they hand over an [`Event`] and go on.

use codec::words::Venue;

/// How urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For whoever debugs.
    Debug,
    /// Ordinary life.
    Info,
    /// Something was lost, late or refused, and is handled.
    Warn,
    /// The operator should act.
    Error,
}

/// Bytes of text an event carries; longer text is cut.
pub const TEXT_BYTES_MAX: usize = 192;

/// A short text by value.
#[derive(Clone, Copy)]
pub struct Text {
    bytes: [u8; TEXT_BYTES_MAX],
    length: u8,
}

impl Text {
    /// The text, cut at a character boundary.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let mut bytes = [0; TEXT_BYTES_MAX];
        bytes[..end].copy_from_slice(&text.as_bytes()[..end]);
        Self { bytes, length: end as u8 }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.length)]).unwrap_or("")
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// How urgent.
    pub severity: Severity,
    /// Where, if at a venue.
    pub venue: Option<Venue>,
    /// A fixed phrase; the same phrase repeated is folded by the ops thread.
    pub what: &'static str,
    /// Symbol or stream it concerns, or empty.
    pub subject: Text,
    /// Particulars, or empty.
    pub detail: Text,
    /// A figure (a count, an id, ms), or 0.
    pub number: u64,
}

impl Event {
    /// An event without subject, detail or number.
    #[must_use]
    pub fn new(severity: Severity, venue: Option<Venue>, what: &'static str) -> Self {
        Self { severity, venue, what, subject: Text::new(""), detail: Text::new(""), number: 0 }
    }

    /// With its subject.
    #[must_use]
    pub fn about(mut self, subject: &str) -> Self {
        self.subject = Text::new(subject);
        self
    }

    /// With particulars.
    #[must_use]
    pub fn detail(mut self, detail: &str) -> Self {
        self.detail = Text::new(detail);
        self
    }

    /// With a figure.
    #[must_use]
    pub fn number(mut self, number: u64) -> Self {
        self.number = number;
        self
    }
}
