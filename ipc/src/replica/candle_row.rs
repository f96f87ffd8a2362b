//! A candle as it is kept: 64 bytes, exact.
//!
//! ```text
//!  byte  0        8        16       24       32           40            48                56           60
//!        | open   | high   | low    | close  | volume_low | num_trades  | received        | volume_hi  | start_s |
//!  volume:   signed 96 bits at 1e-8, volume_hi its upper 32
//!  received: µs since the epoch, shifted left by eight | flags
//! ```
//! Hundreds of thousands of them are kept, so the 80 bytes of a [`Candle`] and its receive time beside
//! it would be paid for in hundreds of megabytes. What a row cannot hold exactly is not kept at all:
//! starts that are not whole seconds before 2106, volumes beyond 4e20 units.

use codec::candle::Candle;
use codec::decimal::{Price, Volume};
use codec::record::CandleBody;
use codec::words::Interval;

/// The period is over.
const CLOSED: u64 = 1;
/// It came as a record of this run, which knows better than any history.
const LIVE: u64 = 2;
const FLAG_BITS: u32 = 8;

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    volume_low: u64,
    num_trades: u64,
    received: u64,
    volume_high: i32,
    start_s: u32,
}

/// A row is one cache line; whoever widens it pays for it in every series.
const _: () = assert!(size_of::<Row>() == 64);

impl Row {
    /// Of the period that runs, received at `recv_ns`; `None` when it cannot be held exactly.
    #[must_use]
    pub fn of(candle: &Candle, recv_ns: u64) -> Option<Self> {
        let volume = candle.volume.raw();
        let (start_s, rest_ms) = (candle.start_ms / 1000, candle.start_ms % 1000);
        if rest_ms != 0 {
            return None;
        }
        Some(Self {
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            volume_low: volume as u64,
            num_trades: candle.num_trades,
            received: (recv_ns / 1000) << FLAG_BITS,
            volume_high: i32::try_from(volume >> 64).ok()?,
            start_s: u32::try_from(start_s).ok()?,
        })
    }

    /// The same, of a period that is over; `live`: as told by a record of this run.
    #[must_use]
    pub const fn closed(mut self, live: bool) -> Self {
        self.received |= CLOSED | if live { LIVE } else { 0 };
        self
    }

    /// Start of the period, s since the epoch.
    #[must_use]
    pub const fn start_s(&self) -> u32 {
        self.start_s
    }

    /// Last price.
    #[must_use]
    pub const fn close(&self) -> Price {
        self.close
    }

    /// Whether the period is over.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.received & CLOSED != 0
    }

    /// Whether it came as a record of this run.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        self.received & LIVE != 0
    }

    /// When it was received, ns since the epoch, to the µs.
    #[must_use]
    pub const fn recv_ns(&self) -> u64 {
        (self.received >> FLAG_BITS) * 1000
    }

    /// Its values.
    #[must_use]
    pub fn candle(&self) -> Candle {
        let volume = i128::from(self.volume_high) << 64 | i128::from(self.volume_low);
        Candle {
            start_ms: u64::from(self.start_s) * 1000,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: Volume::from_raw(volume),
            num_trades: self.num_trades,
        }
    }

    /// As the message and the record say it.
    #[must_use]
    pub fn body(&self, interval: Interval) -> CandleBody {
        self.candle().body(interval, self.is_closed(), false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candle(start_ms: u64, volume: i128) -> Candle {
        Candle {
            start_ms,
            open: Price::from_raw(1),
            high: Price::from_raw(i64::MAX),
            low: Price::from_raw(-2),
            close: Price::from_raw(3),
            volume: Volume::from_raw(volume),
            num_trades: u64::MAX,
        }
    }

    #[test]
    fn a_row_gives_back_what_it_was_given() {
        for volume in [0, 1, i128::from(u64::MAX), i128::from(u64::MAX) * 1000, -1, (1 << 95) - 1] {
            let candle = candle(1_700_000_040_000, volume);
            let row = Row::of(&candle, 1_700_000_000_123_456_789).unwrap();
            assert_eq!((row.candle(), row.recv_ns()), (candle, 1_700_000_000_123_456_000));
            assert_eq!((row.is_closed(), row.is_live()), (false, false));
            let row = row.closed(true);
            assert_eq!((row.candle(), row.recv_ns()), (candle, 1_700_000_000_123_456_000));
            assert_eq!((row.is_closed(), row.is_live(), row.closed(false).is_live()), (true, true, true));
        }
    }

    #[test]
    fn what_it_cannot_hold_is_no_row() {
        assert_eq!(Row::of(&candle(1_700_000_000_001, 0), 0), None);
        assert_eq!(Row::of(&candle(1000 << 32, 0), 0), None);
        assert_eq!(Row::of(&candle(0, 1 << 95), 0), None);
        assert_eq!(Row::of(&candle(0, -(1 << 95) - 1), 0), None);
    }
}
