//! What the server has to say to the operator: plain values in a ring, printed by another thread.

use codec::words::Venue;

/// Why a client left or was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaveReason {
    /// It closed its end.
    Closed,
    /// Its socket failed.
    Failed,
    /// It took nothing for [`crate::limits::PROGRESS_NS`].
    NoProgress,
    /// It sent a frame longer than a request may be.
    FrameTooLarge,
    /// More memory was wanted for clients than [`crate::limits::PRIVATE_BYTES_MAX`].
    OutOfMemory,
    /// The daemon stopped.
    Shutdown,
}

/// Why a connection was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// `max_clients` are connected.
    TooMany,
    /// `allow_uids` and `allow_gids` do not name it.
    NotAllowed,
    /// The daemon is stopping.
    ShuttingDown,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A client connected.
    ClientConnected {
        /// Its number.
        client: u32,
        /// Its process's user.
        uid: u32,
        /// Its process; 0: not known.
        pid: u32,
    },
    /// A client left.
    ClientLeft {
        /// Its number.
        client: u32,
        /// Why.
        reason: LeaveReason,
    },
    /// A connection was refused.
    ClientRefused {
        /// Why.
        reason: RefuseReason,
        /// Its process's user.
        uid: u32,
    },
    /// A client fell behind the shared log.
    ClientLagged {
        /// Its number.
        client: u32,
    },
    /// A client sent what cannot be read.
    Malformed {
        /// Its number.
        client: u32,
    },
    /// The engine's view of a book and the replica's differ.
    CheckMismatch {
        /// The venue.
        venue: Option<Venue>,
        /// The instrument's number in this run.
        instrument: u32,
        /// The book's sequence.
        sequence: u64,
    },
    /// A book record did not follow the one before it.
    BookBroken {
        /// The venue.
        venue: Option<Venue>,
        /// The instrument's number in this run.
        instrument: u32,
        /// The sequence it arrived with.
        sequence: u64,
    },
    /// A record of an instrument that was never told.
    UnknownInstrument {
        /// Its number.
        instrument: u32,
    },
    /// Accepting connections failed (out of file descriptors, most likely).
    AcceptFailed {
        /// The system's error number.
        errno: i32,
    },
}

impl core::fmt::Display for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            Self::ClientConnected { client, uid, pid } => {
                write!(f, "client {client} connected (uid {uid}, pid {pid})")
            }
            Self::ClientLeft { client, reason } => write!(f, "client {client} left: {reason}"),
            Self::ClientRefused { reason, uid } => write!(f, "connection of uid {uid} refused: {reason}"),
            Self::ClientLagged { client } => write!(f, "client {client} fell behind the shared log"),
            Self::Malformed { client } => write!(f, "client {client} sent a malformed frame"),
            Self::CheckMismatch { instrument, sequence, .. } => {
                write!(f, "book of instrument {instrument} differs from the engine's at sequence {sequence}")
            }
            Self::BookBroken { instrument, sequence, .. } => {
                write!(f, "book of instrument {instrument} has a hole before sequence {sequence}")
            }
            Self::UnknownInstrument { instrument } => write!(f, "record of unknown instrument {instrument}"),
            Self::AcceptFailed { errno } => {
                write!(f, "accepting a connection failed: {}", std::io::Error::from_raw_os_error(errno))
            }
        }
    }
}

impl core::fmt::Display for LeaveReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed by the client",
            Self::Failed => "socket failed",
            Self::NoProgress => "it read nothing for 30 s",
            Self::FrameTooLarge => "request frame too large",
            Self::OutOfMemory => "memory for clients exhausted",
            Self::Shutdown => "daemon stopping",
        })
    }
}

impl core::fmt::Display for RefuseReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::TooMany => "`max_clients` are connected",
            Self::NotAllowed => "not in `allow_uids` or `allow_gids`",
            Self::ShuttingDown => "daemon stopping",
        })
    }
}

/// A stream of an instrument that somebody began, or ceased, to want.
///
/// `wanted` is true when the first client subscribes to it or, once, when a query asks for it; false when
/// the last subscription ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The instrument's number in this run.
    pub instrument: u32,
    /// The stream.
    pub stream: codec::words::Stream,
    /// The interval, of candles; each is wanted for itself. None of other streams.
    pub interval: Option<codec::words::Interval>,
    /// Whether it is wanted now.
    pub wanted: bool,
    /// Its whole state is wanted once more: the replica can no longer vouch for its own.
    pub resend: bool,
}
