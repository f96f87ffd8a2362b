//! The venues: bytes to messages, REST bodies to rows.
//!
//! A live message is read by a scanner made for the shapes a venue is known to send. The scanner checks
//! every literal and every number; whatever it does not know (an unknown key, white space, an escape, a
//! number where a string was) it hands, unread, to a general JSON parser, which finds the same fields in
//! any form. Both give the same values or refuse: prices and sizes are never rounded, and a field named
//! twice is refused. In steady state neither touches the heap.

pub mod binance;
pub mod hyperliquid;
pub mod rest_binance;
pub mod rest_hyperliquid;

mod candle_row;
mod general;
mod scan;
mod strange;

pub use strange::{Strange, StrangeKind, StrangeThing};

use crate::decimal::{Price, Size};
use crate::limits::MESSAGE_LEVELS_MAX;
use crate::record::Level;
use core::fmt;

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Not JSON, or not of the documented form; what was expected.
    Malformed(&'static str),
    /// More of this than is ever accepted; see [`crate::limits`].
    TooLarge(&'static str),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(expected) => write!(f, "malformed venue message: expected {expected}"),
            Self::TooLarge(what) => write!(f, "venue message with too many {what}"),
        }
    }
}

impl core::error::Error for DecodeError {}

/// Room for one side of a message's levels.
fn side_buffer() -> Box<[Level]> {
    vec![Level { price: Price::ZERO, size: Size::ZERO }; MESSAGE_LEVELS_MAX].into_boxed_slice()
}
