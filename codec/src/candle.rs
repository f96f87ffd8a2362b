//! Candles as exact values, and the calendar of their periods.
//!
//! A [`Candle`] knows when it starts but not how long it lasts: the interval stands beside it. All times
//! are venue times in ms since the epoch, UTC.

use crate::decimal::{Price, Size, Volume};
use crate::record::CandleBody;
use crate::words::Interval;

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// What happened in one period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candle {
    /// Start of the period, ms since the epoch.
    pub start_ms: u64,
    /// First price.
    pub open: Price,
    /// Highest price.
    pub high: Price,
    /// Lowest price.
    pub low: Price,
    /// Last price.
    pub close: Price,
    /// Base units traded.
    pub volume: Volume,
    /// Trades.
    pub num_trades: u64,
}

/// A candle as the venues' REST gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleRow {
    /// Start of the period, ms since the epoch.
    pub start_ms: u64,
    /// Its last millisecond.
    pub end_ms: u64,
    /// Its values; `None` when one has more digits than are carried.
    pub candle: Option<Candle>,
}

impl Candle {
    /// A period in which nothing was traded, after one that closed at `price`.
    #[must_use]
    pub const fn flat(start_ms: u64, price: Price) -> Self {
        Self {
            start_ms,
            open: price,
            high: price,
            low: price,
            close: price,
            volume: Volume::ZERO,
            num_trades: 0,
        }
    }

    /// A period whose first trade is this one.
    #[must_use]
    pub fn of_trade(start_ms: u64, price: Price, size: Size) -> Self {
        let mut candle = Self::flat(start_ms, price);
        candle.add_trade(price, size);
        candle
    }

    /// Adds a trade that came after all the others.
    pub fn add_trade(&mut self, price: Price, size: Size) {
        self.high = self.high.max(price);
        self.low = self.low.min(price);
        self.close = price;
        self.volume = self.volume.plus(size);
        self.num_trades = self.num_trades.saturating_add(1);
    }

    /// Adds a later candle of the same, longer period. One without trades changes nothing: its price is the
    /// close before it.
    pub fn append(&mut self, later: &Self) {
        if later.num_trades == 0 && later.volume == Volume::ZERO {
            return;
        }
        if self.num_trades == 0 && self.volume == Volume::ZERO {
            *self = Self { start_ms: self.start_ms, ..*later };
            return;
        }
        self.high = self.high.max(later.high);
        self.low = self.low.min(later.low);
        self.close = later.close;
        self.volume = Volume::from_raw(self.volume.raw() + later.volume.raw());
        self.num_trades = self.num_trades.saturating_add(later.num_trades);
    }

    /// The record's body.
    #[must_use]
    pub fn body(&self, interval: Interval, closed: bool, revised: bool) -> CandleBody {
        CandleBody {
            start_ns: crate::time::ns_of_ms(self.start_ms),
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume_low: self.volume.raw() as u64,
            volume_high: (self.volume.raw() >> 64) as i64,
            num_trades: self.num_trades,
            interval: interval.number(),
            closed: closed.into(),
            revised: revised.into(),
            reserved: [0; 5],
        }
    }

    /// The values of a record's body.
    #[must_use]
    pub const fn of_body(body: &CandleBody) -> Self {
        Self {
            start_ms: body.start_ns / 1_000_000,
            open: body.open,
            high: body.high,
            low: body.low,
            close: body.close,
            volume: body.volume(),
            num_trades: body.num_trades,
        }
    }
}

impl Interval {
    /// Its length, ms; `None` for the calendar month.
    #[must_use]
    pub const fn length_ms(self) -> Option<u64> {
        Some(match self {
            Self::M1 => MINUTE_MS,
            Self::M3 => 3 * MINUTE_MS,
            Self::M5 => 5 * MINUTE_MS,
            Self::M15 => 15 * MINUTE_MS,
            Self::M30 => 30 * MINUTE_MS,
            Self::H1 => HOUR_MS,
            Self::H2 => 2 * HOUR_MS,
            Self::H4 => 4 * HOUR_MS,
            Self::H6 => 6 * HOUR_MS,
            Self::H8 => 8 * HOUR_MS,
            Self::H12 => 12 * HOUR_MS,
            Self::D1 => DAY_MS,
            Self::D3 => 3 * DAY_MS,
            Self::W1 => 7 * DAY_MS,
            Self::Month1 => return None,
        })
    }

    /// Whether its periods start at multiples of its length. Where three days, a week or a month begin is
    /// the venue's choice (undocumented for Hyperliquid, 2026-10): their starts are taken from it.
    #[must_use]
    pub const fn is_aligned(self) -> bool {
        !matches!(self, Self::D3 | Self::W1 | Self::Month1)
    }

    /// Start of the period after the one that starts at `start_ms`.
    #[must_use]
    pub fn next_start_ms(self, start_ms: u64) -> u64 {
        match self.length_ms() {
            Some(length_ms) => start_ms.saturating_add(length_ms),
            None => next_month_ms(start_ms),
        }
    }

    /// Start of the period that holds `at_ms`; of an interval that is not [aligned](Self::is_aligned), the
    /// best guess: weeks from Monday, months from the first, three days from the epoch.
    #[must_use]
    pub fn start_ms_of(self, at_ms: u64) -> u64 {
        match self {
            Self::W1 => {
                // The epoch was a Thursday.
                const FIRST_MONDAY_MS: u64 = 4 * DAY_MS;
                let week_ms = 7 * DAY_MS;
                at_ms.saturating_sub(FIRST_MONDAY_MS) / week_ms * week_ms + FIRST_MONDAY_MS
            }
            Self::Month1 => {
                let (year, month) = year_and_month(at_ms / DAY_MS);
                days_before(year, month) * DAY_MS
            }
            _ => self.length_ms().map_or(at_ms, |length_ms| at_ms / length_ms * length_ms),
        }
    }

    /// Whether whole periods of `finer` fill each period of this interval.
    #[must_use]
    pub const fn is_made_of(self, finer: Self) -> bool {
        match (self.length_ms(), finer.length_ms()) {
            (Some(long), Some(short)) => {
                self.is_aligned() && finer.is_aligned() && long > short && long.is_multiple_of(short)
            }
            // A month begins at midnight.
            (None, Some(short)) => finer.is_aligned() && DAY_MS.is_multiple_of(short),
            _ => false,
        }
    }
}

/// Start of the month after the one that holds `at_ms`.
fn next_month_ms(at_ms: u64) -> u64 {
    let (year, month) = year_and_month(at_ms / DAY_MS);
    let (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_before(year, month) * DAY_MS
}

/// Year and month (1 to 12) of a day counted from the epoch, by the Gregorian calendar.
const fn year_and_month(day: u64) -> (u64, u64) {
    // Years are counted from March, so that the leap day is a year's last; eras have 400 years.
    let shifted = day + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month)
}

/// Days from the epoch to the first of a month.
const fn days_before(year: u64, month: u64) -> u64 {
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * from_march + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(text: &str) -> Price {
        Price::parse(text.as_bytes()).unwrap()
    }

    fn size(text: &str) -> Size {
        Size::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn trades_and_shorter_candles_add_up_to_the_same() {
        let trades = [("10", "1"), ("12", "2"), ("9", "0.5"), ("11", "3")];
        let mut whole = Candle::of_trade(0, price("10"), size("1"));
        for (at, amount) in &trades[1..] {
            whole.add_trade(price(at), size(amount));
        }
        let mut first = Candle::of_trade(0, price("10"), size("1"));
        first.add_trade(price("12"), size("2"));
        let mut second = Candle::of_trade(MINUTE_MS, price("9"), size("0.5"));
        second.add_trade(price("11"), size("3"));
        let mut folded = Candle::flat(0, price("8"));
        for part in [first, Candle::flat(MINUTE_MS, price("12")), second] {
            folded.append(&part);
        }
        assert_eq!(folded, whole);
        assert_eq!(
            (whole.open, whole.high, whole.low, whole.close),
            (price("10"), price("12"), price("9"), price("11"))
        );
        assert_eq!((whole.volume.to_f64(), whole.num_trades), (6.5, 4));
    }

    #[test]
    fn a_body_holds_every_value() {
        let candle = Candle {
            volume: Volume::from_raw(i128::from(i64::MAX) * 1000),
            ..Candle::of_trade(1_700_000_040_000, price("1.5"), size("3"))
        };
        let body = candle.body(Interval::M1, true, false);
        assert_eq!(Candle::of_body(&body), candle);
        assert_eq!((body.interval(), body.closed, body.revised), (Some(Interval::M1), 1, 0));
    }

    #[test]
    fn periods_follow_each_other() {
        // 2026-11-22 11:32:42 UTC, a Sunday.
        let now_ms = 1_795_347_162_000;
        for &interval in Interval::ALL {
            let start = interval.start_ms_of(now_ms);
            let next = interval.next_start_ms(start);
            assert!(start <= now_ms && now_ms < next, "{interval:?}");
            assert_eq!(interval.start_ms_of(next), next, "{interval:?}");
            assert_eq!(interval.start_ms_of(next - 1), start, "{interval:?}");
        }
        // Monday the 16th, and the first of the month.
        assert_eq!(Interval::W1.start_ms_of(now_ms), 1_794_787_200_000);
        assert_eq!(Interval::Month1.start_ms_of(now_ms), 1_793_491_200_000);
        assert_eq!(Interval::Month1.next_start_ms(1_793_491_200_000), 1_796_083_200_000);
        // A leap February.
        assert_eq!(Interval::Month1.next_start_ms(1_706_745_600_000), 1_709_251_200_000);
    }

    #[test]
    fn which_intervals_make_which() {
        assert!(Interval::H4.is_made_of(Interval::M15));
        assert!(Interval::Month1.is_made_of(Interval::D1));
        assert!(Interval::H12.is_made_of(Interval::H6));
        assert!(!Interval::H1.is_made_of(Interval::H1));
        assert!(!Interval::H12.is_made_of(Interval::H8));
        assert!(!Interval::W1.is_made_of(Interval::D1), "where a week begins is the venue's choice");
    }
}
