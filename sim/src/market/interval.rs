//! The intervals of candles and where their periods begin, in UTC.
//!
//! Whole minutes, hours and days count from the epoch, `3d` too; weeks begin on Monday, months on their first day.

/// One interval of candles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Interval {
    /// `1m`
    Minute1,
    /// `3m`
    Minute3,
    /// `5m`
    Minute5,
    /// `15m`
    Minute15,
    /// `30m`
    Minute30,
    /// `1h`
    Hour1,
    /// `2h`
    Hour2,
    /// `4h`
    Hour4,
    /// `6h`; not at Hyperliquid
    Hour6,
    /// `8h`
    Hour8,
    /// `12h`
    Hour12,
    /// `1d`
    Day1,
    /// `3d`
    Day3,
    /// `1w`
    Week1,
    /// `1M`
    Month1,
}

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds of an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds of a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// From the epoch, a Thursday, to its first Monday.
const FIRST_MONDAY_MS: i64 = 4 * DAY_MS;

impl Interval {
    /// All of them, shortest first, with their names and lengths in minutes (a month's is that of 30 days).
    const TABLE: [(Self, &'static str, i64); 15] = [
        (Self::Minute1, "1m", 1),
        (Self::Minute3, "3m", 3),
        (Self::Minute5, "5m", 5),
        (Self::Minute15, "15m", 15),
        (Self::Minute30, "30m", 30),
        (Self::Hour1, "1h", 60),
        (Self::Hour2, "2h", 120),
        (Self::Hour4, "4h", 240),
        (Self::Hour6, "6h", 360),
        (Self::Hour8, "8h", 480),
        (Self::Hour12, "12h", 720),
        (Self::Day1, "1d", 1_440),
        (Self::Day3, "3d", 3 * 1_440),
        (Self::Week1, "1w", 7 * 1_440),
        (Self::Month1, "1M", 30 * 1_440),
    ];

    /// How many there are.
    pub const COUNT: usize = Self::TABLE.len();

    /// All of them, shortest first.
    pub fn all() -> impl Iterator<Item = Self> {
        Self::TABLE.iter().map(|(interval, ..)| *interval)
    }

    /// The interval at an index of [`Interval::all`].
    pub fn at(index: usize) -> Option<Self> {
        Self::TABLE.get(index).map(|(interval, ..)| *interval)
    }

    /// Its index in [`Interval::all`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name both venues use.
    pub fn name(self) -> &'static str {
        Self::TABLE[self as usize].1
    }

    /// The interval of a name; names differ by case (`1m`, `1M`).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::TABLE.iter().find(|(_, known, _)| *known == name).map(|(interval, ..)| *interval)
    }

    /// Its length; of a month about.
    pub fn about_ms(self) -> i64 {
        Self::TABLE[self as usize].2 * MINUTE_MS
    }

    /// The beginning of the period a time lies in.
    pub fn open_of(self, time_ms: i64) -> i64 {
        let aligned = |offset_ms: i64| time_ms - (time_ms - offset_ms).rem_euclid(self.about_ms());
        match self {
            Self::Week1 => aligned(FIRST_MONDAY_MS),
            Self::Month1 => {
                let (year, month) = month_of(time_ms.div_euclid(DAY_MS));
                first_of_month(year, month) * DAY_MS
            }
            _ => aligned(0),
        }
    }

    /// The beginning of the period after the one that begins here.
    pub fn next_open(self, open_ms: i64) -> i64 {
        match self {
            // No month has 32 days, and the 32nd day lies in the next.
            Self::Month1 => self.open_of(open_ms + 31 * DAY_MS + DAY_MS / 2),
            _ => open_ms + self.about_ms(),
        }
    }

    /// The beginning of the period so many before the one that begins here.
    pub fn back(self, open_ms: i64, periods: usize) -> i64 {
        let back_ms = self.about_ms().saturating_mul(periods as i64);
        match self {
            Self::Month1 => {
                let (year, month) = month_of(open_ms.div_euclid(DAY_MS));
                let months = year * 12 + month - 1 - periods as i64;
                first_of_month(months.div_euclid(12), months.rem_euclid(12) + 1) * DAY_MS
            }
            _ => open_ms.saturating_sub(back_ms),
        }
    }
}

/// Year and month (1 to 12) of a day counted from the epoch, by Howard Hinnant's `civil_from_days`.
fn month_of(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month)
}

/// The first day of a month, counted from the epoch (`days_from_civil`).
fn first_of_month(year: i64, month: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_begin_where_the_calendar_says() {
        // 2026-11-22 (a Sunday) 11:40:01 UTC.
        let time_ms = 1_795_347_601_000;
        let open = |name| Interval::from_name(name).map(|interval| interval.open_of(time_ms));
        assert_eq!(open("1m"), Some(1_795_347_600_000));
        assert_eq!(open("4h"), Some(1_795_334_400_000));
        assert_eq!(open("1d"), Some(1_795_305_600_000));
        assert_eq!(open("1w"), Some(1_795_305_600_000 - 6 * DAY_MS));
        assert_eq!(open("1M"), Some(1_795_305_600_000 - 21 * DAY_MS));
        assert_eq!(open("7m"), None);
    }

    #[test]
    fn months_follow_each_other_both_ways() {
        let mut open_ms = Interval::Month1.open_of(1_700_000_000_000);
        let first_ms = open_ms;
        for _ in 0..100 {
            let next_ms = Interval::Month1.next_open(open_ms);
            let days = (next_ms - open_ms) / DAY_MS;
            assert!((28..=31).contains(&days), "{days}");
            assert_eq!(Interval::Month1.open_of(next_ms - 1), open_ms);
            assert_eq!(Interval::Month1.back(next_ms, 1), open_ms);
            open_ms = next_ms;
        }
        assert_eq!(Interval::Month1.back(open_ms, 100), first_ms);
    }

    #[test]
    fn every_period_ends_where_the_next_begins() {
        for interval in Interval::all() {
            assert_eq!(Interval::at(interval.index()), Some(interval));
            assert_eq!(Interval::from_name(interval.name()), Some(interval));
            let open_ms = interval.open_of(1_795_347_601_000);
            let next_ms = interval.next_open(open_ms);
            assert_eq!((interval.open_of(next_ms - 1), interval.open_of(next_ms)), (open_ms, next_ms));
            assert_eq!(interval.back(next_ms, 1), open_ms);
        }
    }
}
