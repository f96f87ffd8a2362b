//! What passes between the server and whoever keeps the candles of the past.
//!
//! ```text
//!   history ──CandleHistory──▶ server        server ──CandleWish──▶ history
//! ```
//! Rings of plain values; the live candles come with the other records.

use codec::candle::Candle;
use codec::words::Interval;

/// Closed candles of one series from before the stream began, or of a hole in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CandleHistory {
    /// The instrument's number in this run.
    pub instrument: u32,
    /// The interval.
    pub interval: Interval,
    /// Oldest first, without a hole among them, at most [`crate::limits::HISTORY_CHUNK_ROWS_MAX`]; may overlap
    /// what is known already.
    pub candles: Box<[Candle]>,
    /// Whether the series has all of its history with this: it can be served from now on.
    pub complete: bool,
}

/// A series that somebody asked for or subscribed to: it is loaded before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleWish {
    /// The instrument's number in this run.
    pub instrument: u32,
    /// The interval.
    pub interval: Interval,
}
