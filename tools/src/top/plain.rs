//! The table for files and pipes: a line per symbol and round, each to be read by itself.

use crate::format::{age, time_of_day_s, uptime};
use crate::top::board::{Board, Row};
use crate::top::table::rate;
use std::fmt::Write;
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use unicode_width::UnicodeWidthStr;

/// Makes rounds of lines; it remembers what it said of the daemon, and how wide columns have been.
#[derive(Debug, Default)]
pub struct Plain {
    said: String,
    widths: [usize; COLUMNS],
}

/// Columns of a line: venue, symbol, bid, ask, spread, last price, size, side, age, rate, state.
const COLUMNS: usize = 11;

impl Plain {
    /// The lines of one round, with their newlines.
    pub fn round(&mut self, board: &Board, now: Instant) -> String {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.round_at(board, now, wall)
    }

    fn round_at(&mut self, board: &Board, now: Instant, wall_s: u64) -> String {
        let time = time_of_day_s(wall_s);
        let mut out = String::new();
        let said = about_daemon(board);
        if said != self.said {
            let up = match board.trouble() {
                None if !board.daemon().run_id.is_empty() => {
                    format!(", up {}", uptime(board.daemon().uptime_s))
                }
                _ => String::new(),
            };
            // Writing into memory does not fail.
            let _ = writeln!(out, "{time}  {said}{up}");
            self.said = said;
        }
        let rows: Vec<[String; COLUMNS]> = board.rows().iter().map(|row| cells(row, now)).collect();
        for row in &rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.width());
            }
        }
        for row in rows {
            let line = self.line(&time, row);
            out += line.trim_end();
            out.push('\n');
        }
        out
    }

    fn line(&self, time: &str, row: [String; COLUMNS]) -> String {
        let mut places = row.into_iter().zip(self.widths);
        let mut left = || {
            let (text, width) = places.next().unwrap_or_default();
            let blank = " ".repeat(width.saturating_sub(text.width()));
            text + &blank
        };
        let (venue, symbol) = (left(), left());
        let mut right = || {
            let (text, width) = places.next().unwrap_or_default();
            " ".repeat(width.saturating_sub(text.width())) + &text
        };
        let (bid, ask, spread, price, size) = (right(), right(), right(), right(), right());
        let side = right();
        let (age, rate) = (right(), right());
        let (state, _) = places.next().unwrap_or_default();
        format!(
            "{time}  {venue}  {symbol}  {bid} / {ask}  {spread} bps  last {price} x {size} {side}  \
             age {age}  {rate}/s  {state}"
        )
    }
}

fn cells(row: &Row, now: Instant) -> [String; COLUMNS] {
    let none = || "-".to_owned();
    let price = |price: Option<f64>| price.map_or_else(none, |price| row.price_decimals.show(price));
    let last = row.last.as_ref();
    let state = match row.state() {
        (state, None) => state.as_str().to_owned(),
        (state, Some((stream, reason))) => format!("{state} ({stream}: {reason})"),
    };
    [
        row.venue.clone(),
        row.symbol.clone(),
        price(row.bid.map(|level| level.price)),
        price(row.ask.map(|level| level.price)),
        row.spread_bps().map_or_else(none, |spread| format!("{spread:.2}")),
        price(last.map(|last| last.price)),
        last.map_or_else(none, |last| row.size_decimals.show(last.size)),
        last.map_or_else(none, |last| format!("{:<4}", last.side)),
        row.seen.map_or_else(none, |seen| age(now.saturating_duration_since(seen))),
        rate(row.rate.per_second()),
        state,
    ]
}

/// What is said of the daemon when it changes.
fn about_daemon(board: &Board) -> String {
    if let Some(trouble) = board.trouble() {
        return format!("waiting for the daemon: {trouble}");
    }
    let daemon = board.daemon();
    if daemon.run_id.is_empty() {
        return "waiting for the daemon's status".to_owned();
    }
    let venues: Vec<_> =
        daemon.venues.iter().map(|venue| format!("{} {}", venue.name, venue.state)).collect();
    format!("Slipstream {} run {}: {}", daemon.version, daemon.run_id, venues.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::board::tests::{quote, report, trade};
    use codec::words::State;
    use std::time::Duration;

    #[test]
    fn a_round_is_a_line_per_symbol_and_news_of_the_daemon() {
        let (mut board, now) = (Board::new(), Instant::now());
        let symbols = [("binance", "BTCUSDT", State::Live), ("hyperliquid", "BTC", State::Down)];
        for (venue, symbol, _) in symbols {
            board.announce(venue, symbol);
        }
        board.take(&report(&symbols), now);
        board.take(&quote("binance", "BTCUSDT", 1, 83091.6, 83091.7), now);
        board.take(&trade("binance", "BTCUSDT", 83091.7, 0.012, "Buy"), now);
        board.tick(now + Duration::from_secs(1));
        let mut plain = Plain::default();
        let first = plain.round_at(&board, now + Duration::from_millis(12), 60);
        assert_eq!(
            first,
            "\
00:01:00  Slipstream 0.1.0 run 00c0ffee00c0ffee: binance live, hyperliquid live, up 00:01:23
00:01:00  binance      BTCUSDT  83091.6 / 83091.7  0.01 bps  last 83091.7 x 0.012 Buy   age 12ms  2.0/s  live
00:01:00  hyperliquid  BTC            - /       -     - bps  last       - x     -    -  age    -  0.0/s  down (trades: silence)
"
        );
        assert_eq!(plain.round_at(&board, now, 61).lines().count(), 2, "no news of the daemon");
        board.gone("it ended".into());
        let text = plain.round_at(&board, now, 62);
        assert!(text.starts_with("00:01:02  waiting for the daemon: it ended\n"), "{text}");
    }
}
