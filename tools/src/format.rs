//! Times and numbers as people read them.

use std::time::Duration;

/// Decimals shown at most; a double that is no short decimal is cut here.
const DECIMALS_MAX: usize = 10;

/// The time of day, UTC, of microseconds since the epoch: `09:21:11.123456`.
pub fn time_of_day_us(us: u64) -> String {
    format!("{}.{:06}", time_of_day_s(us / 1_000_000), us % 1_000_000)
}

/// The time of day, UTC, of seconds since the epoch: `09:21:11`.
pub fn time_of_day_s(seconds: u64) -> String {
    let of_day = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Date and time, UTC, to the minute, of seconds since the epoch: `2026-11-22 08:00`.
pub fn date_and_minute(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", of_day / 3600, of_day / 60 % 60)
}

/// Year, month and day of days since the epoch, by Howard Hinnant's `civil_from_days`.
const fn civil(days: u64) -> (u64, u64, u64) {
    // Days since 1 March of year 0, in whole eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + (month <= 2) as u64, month, day)
}

/// How long: `03:25:45`, with days in front when there are some.
pub fn uptime(seconds: u64) -> String {
    match seconds / 86_400 {
        0 => time_of_day_s(seconds),
        days => format!("{days}d {}", time_of_day_s(seconds)),
    }
}

/// How long ago, in at most five characters: `12ms`, `1.5s`, `45s`, `3m`, `2h`.
pub fn age(age: Duration) -> String {
    let ms = age.as_millis();
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..10_000 => format!("{}.{}s", ms / 1000, ms / 100 % 10),
        10_000..100_000 => format!("{}s", ms / 1000),
        100_000..6_000_000 => format!("{}m", ms / 60_000),
        _ => format!("{}h", ms / 3_600_000),
    }
}

/// A count with a comma at every third digit.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number as short as it can be written.
pub fn number(value: f64) -> String {
    format!("{value:.*}", decimals_of(value))
}

/// Distance of ask and bid in hundredths of a percent of their middle.
pub fn spread_bps(bid: f64, ask: f64) -> f64 {
    (ask - bid) / ((ask + bid) / 2.0) * 10_000.0
}

/// Decimal places a number has when written as short as it can be.
fn decimals_of(value: f64) -> usize {
    let text = value.to_string();
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len()).min(DECIMALS_MAX)
}

/// Decimal places that only ever grow: numbers of one column keep their points below one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Decimals(usize);

impl Decimals {
    /// Makes room for the places of a number.
    pub fn learn(&mut self, value: f64) {
        self.0 = self.0.max(decimals_of(value));
    }

    /// A number with these places.
    pub fn show(self, value: f64) -> String {
        format!("{value:.*}", self.0)
    }
}

/// A column of numbers, right-aligned, as wide as all so far need.
#[derive(Clone, Copy, Debug, Default)]
pub struct NumberColumn {
    decimals: Decimals,
    /// Characters before the point.
    whole: usize,
}

impl NumberColumn {
    /// Makes room for a number.
    pub fn learn(&mut self, value: f64) {
        self.decimals.learn(value);
        let text = number(value);
        self.whole = self.whole.max(text.find('.').unwrap_or(text.len()));
    }

    const fn width(&self) -> usize {
        self.whole + if self.decimals.0 > 0 { 1 + self.decimals.0 } else { 0 }
    }

    /// A number, padded.
    pub fn show(&self, value: f64) -> String {
        format!("{:>1$}", self.decimals.show(value), self.width())
    }

    /// A text in a number's place, padded.
    pub fn text(&self, text: &str) -> String {
        format!("{text:>0$}", self.width())
    }
}

/// The text without anything that would move the cursor: names come from outside.
pub fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(time_of_day_us(1_795_339_252_000_042), "09:20:52.000042");
        assert_eq!(date_and_minute(0), "1970-01-01 00:00");
        assert_eq!(date_and_minute(951_782_400), "2000-02-29 00:00");
        assert_eq!(date_and_minute(1_795_339_252), "2026-11-22 09:20");
        assert_eq!(date_and_minute(4_107_542_399), "2100-02-28 23:59");
        assert_eq!(uptime(3_725), "01:02:05");
        assert_eq!(uptime(2 * 86_400 + 1), "2d 00:00:01");
    }

    #[test]
    fn ages_are_short() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_500, "1.5s"),
            (9_999, "9.9s"),
            (45_000, "45s"),
            (180_000, "3m"),
            (7_200_000, "2h"),
        ] {
            assert_eq!(age(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn numbers_keep_their_points_below_one_another() {
        assert_eq!([number(84143.0), number(0.0000001), number(1.5)], ["84143", "0.0000001", "1.5"]);
        assert_eq!(number(1.0 / 3.0), "0.3333333333");
        assert_eq!([grouped(0), grouped(999), grouped(1_234_567)], ["0", "999", "1,234,567"]);
        let mut column = NumberColumn::default();
        column.learn(100.0);
        column.learn(1.25);
        assert_eq!([column.show(1.25), column.show(100.0), column.text("-")], ["  1.25", "100.00", "     -"]);
        assert!((spread_bps(9_999.0, 10_001.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(printable("A\x1b[2JB\n币"), "A\u{fffd}[2JB\u{fffd}币");
    }
}
