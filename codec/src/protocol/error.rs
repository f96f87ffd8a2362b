//! The codes of `error` messages.

/// Why a request was refused. The word never changes its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// Not a frame that can be read: zero length, no map, bytes after it, nested too deep, cut short.
    Malformed,
    /// A frame longer than a request may be; the connection is closed after it.
    FrameTooLarge,
    /// A field is missing or of the wrong kind.
    BadRequest,
    /// No such request.
    UnknownType,
    /// No such venue.
    UnknownVenue,
    /// The venue does not carry the symbol.
    UnknownSymbol,
    /// The venue does not carry the interval.
    UnknownInterval,
    /// A depth outside its range.
    BadDepth,
    /// A count outside its range.
    BadCount,
    /// A mode that does not exist or does not go with the encoding.
    BadMode,
    /// The book or quote is not live.
    NotLive,
    /// What was asked for has not loaded yet.
    NotReady,
    /// The configuration does not ask for it.
    NotConfigured,
    /// Nothing to unsubscribe.
    NotSubscribed,
    /// A limit on clients, subscriptions or memory.
    TooMany,
    /// The daemon is stopping.
    ShuttingDown,
    /// The daemon's own fault.
    Internal,
}

impl ErrorCode {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::Malformed,
        Self::FrameTooLarge,
        Self::BadRequest,
        Self::UnknownType,
        Self::UnknownVenue,
        Self::UnknownSymbol,
        Self::UnknownInterval,
        Self::BadDepth,
        Self::BadCount,
        Self::BadMode,
        Self::NotLive,
        Self::NotReady,
        Self::NotConfigured,
        Self::NotSubscribed,
        Self::TooMany,
        Self::ShuttingDown,
        Self::Internal,
    ];

    /// The word clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::FrameTooLarge => "frame_too_large",
            Self::BadRequest => "bad_request",
            Self::UnknownType => "unknown_type",
            Self::UnknownVenue => "unknown_venue",
            Self::UnknownSymbol => "unknown_symbol",
            Self::UnknownInterval => "unknown_interval",
            Self::BadDepth => "bad_depth",
            Self::BadCount => "bad_count",
            Self::BadMode => "bad_mode",
            Self::NotLive => "not_live",
            Self::NotReady => "not_ready",
            Self::NotConfigured => "not_configured",
            Self::NotSubscribed => "not_subscribed",
            Self::TooMany => "too_many",
            Self::ShuttingDown => "shutting_down",
            Self::Internal => "internal",
        }
    }

    /// The code of a word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == word)
    }
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.as_str())
    }
}
