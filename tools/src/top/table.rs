//! The table as lines of text: what is shown where, at any width and height. No terminal is needed to draw it.
//!
//! ```text
//! Slipstream 0.1.0  run …  up …            what the daemon says of itself
//! binance live  …                          its venues, or why it is not there
//!
//! VENUE  SYMBOL  BID  ASK  …               titles
//! …                                        rows, as many as fit
//! … n more
//!
//! notes
//! ```
//!
//! Where a line is too narrow, gaps shrink first, then columns go, the least needed first.

use crate::format::{age, uptime};
use crate::top::board::{Board, Row};
use codec::words::State;
use std::time::Instant;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Room and manner of one drawing.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Characters per line.
    pub width: usize,
    /// Lines.
    pub height: usize,
    /// Whether colours are wanted.
    pub colour: bool,
    /// The first row to show.
    pub first: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Plain,
    Bold,
    Dim,
    Title,
    Green,
    Yellow,
    Red,
}

impl Style {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Title => "\x1b[7m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
        }
    }
}

const fn style_of(state: State) -> Style {
    match state {
        State::Live => Style::Green,
        State::Warming | State::Stale | State::Resyncing => Style::Yellow,
        State::Down => Style::Red,
    }
}

/// A piece of a line.
type Span = (String, Style);

/// Columns, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
enum Column {
    Venue,
    Symbol,
    Bid,
    Ask,
    Spread,
    Last,
    Size,
    Side,
    Age,
    Rate,
    State,
}

const COLUMNS: [(Column, &str); 11] = [
    (Column::Venue, "VENUE"),
    (Column::Symbol, "SYMBOL"),
    (Column::Bid, "BID"),
    (Column::Ask, "ASK"),
    (Column::Spread, "SPREAD"),
    (Column::Last, "LAST"),
    (Column::Size, "SIZE"),
    (Column::Side, "SIDE"),
    (Column::Age, "AGE"),
    (Column::Rate, "MSG/S"),
    (Column::State, "STATE"),
];

/// What goes when a line is too narrow, in this order; the venue's name is cut before the second goes.
const DISPENSABLE: [Column; 7] =
    [Column::Size, Column::Rate, Column::Spread, Column::Age, Column::Side, Column::Venue, Column::Last];

/// Characters a venue's name may be cut to.
const VENUE_WIDTH_MIN: usize = 4;

impl Column {
    const fn is_text(self) -> bool {
        matches!(self, Self::Venue | Self::Symbol | Self::Side | Self::State)
    }

    fn cell(self, row: &Row, now: Instant) -> Span {
        let price = |price: Option<f64>| price.map_or("-".to_owned(), |price| row.price_decimals.show(price));
        let last = row.last.as_ref();
        let plain = |text: String| (text, Style::Plain);
        match self {
            Self::Venue => plain(row.venue.clone()),
            Self::Symbol => plain(row.symbol.clone()),
            Self::Bid => plain(price(row.bid.map(|level| level.price))),
            Self::Ask => plain(price(row.ask.map(|level| level.price))),
            Self::Spread => plain(row.spread_bps().map_or("-".to_owned(), |spread| format!("{spread:.2}"))),
            Self::Last => plain(price(last.map(|last| last.price))),
            Self::Size => plain(last.map_or("-".to_owned(), |last| row.size_decimals.show(last.size))),
            Self::Side => match last.map(|last| last.side.as_str()) {
                Some("Buy") => ("Buy".to_owned(), Style::Green),
                Some("Sell") => ("Sell".to_owned(), Style::Red),
                other => plain(other.unwrap_or("-").to_owned()),
            },
            Self::Age => {
                plain(row.seen.map_or("-".to_owned(), |seen| age(now.saturating_duration_since(seen))))
            }
            Self::Rate => plain(rate(row.rate.per_second())),
            Self::State => {
                let (state, _) = row.state();
                (state.as_str().to_owned(), style_of(state))
            }
        }
    }
}

/// Messages per second: `98.5`, `1234`.
pub fn rate(per_second: f64) -> String {
    if per_second < 99.95 { format!("{per_second:.1}") } else { format!("{per_second:.0}") }
}

/// Which columns are shown, how wide, how far apart.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Layout {
    widths: [Option<usize>; COLUMNS.len()],
    gap: usize,
}

impl Layout {
    fn total(&self) -> usize {
        let shown = || self.widths.iter().flatten();
        shown().sum::<usize>() + self.gap * shown().count().saturating_sub(1)
    }

    fn fit(natural: &[usize; COLUMNS.len()], width: usize) -> Self {
        let mut layout = Self { widths: natural.map(Some), gap: 2 };
        if layout.total() > width {
            layout.gap = 1;
        }
        for (step, column) in DISPENSABLE.into_iter().enumerate() {
            let excess = layout.total().saturating_sub(width);
            if excess == 0 {
                break;
            }
            let venue = &mut layout.widths[Column::Venue as usize];
            if let Some(venue_width) = venue.filter(|&wide| step > 0 && wide >= VENUE_WIDTH_MIN + excess) {
                *venue = Some(venue_width - excess);
                break;
            }
            layout.widths[column as usize] = None;
        }
        layout
    }
}

/// Draws tables; it remembers how wide columns have been, so that they do not jump.
#[derive(Debug)]
pub struct Table {
    widths: [usize; COLUMNS.len()],
    first_shown: usize,
}

impl Default for Table {
    fn default() -> Self {
        Self { widths: COLUMNS.map(|(_, title)| title.len()), first_shown: 0 }
    }
}

/// Lines above the rows: two of the header, an empty one, titles.
const LINES_ABOVE: usize = 4;

impl Table {
    /// The row that the last drawing began with.
    pub const fn first_shown(&self) -> usize {
        self.first_shown
    }

    /// The lines, without newlines; `notes` go below as far as there is room.
    pub fn render(&mut self, board: &Board, now: Instant, frame: Frame, notes: &[String]) -> Vec<String> {
        let mut lines = vec![header(board), venues(board), Vec::new()];
        let (rows, left_out) = self.window(board.rows().len(), frame, notes.len());
        let cells: Vec<[Span; COLUMNS.len()]> = board.rows()[rows.clone()]
            .iter()
            .map(|row| COLUMNS.map(|(column, _)| column.cell(row, now)))
            .collect();
        for row in &cells {
            for (width, (text, _)) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(text.width());
            }
        }
        let layout = Layout::fit(&self.widths, frame.width);
        lines.push(titles(&layout));
        for (row, cells) in board.rows()[rows].iter().zip(cells) {
            lines.push(line(&layout, cells, row));
        }
        if board.rows().is_empty() {
            lines.push(vec![("no symbols yet".to_owned(), Style::Dim)]);
        }
        if left_out > 0 {
            lines.push(vec![(format!("… {left_out} more"), Style::Dim)]);
        }
        if !notes.is_empty() && lines.len() + notes.len() < frame.height {
            lines.push(Vec::new());
            lines.extend(notes.iter().map(|note| vec![(note.clone(), Style::Dim)]));
        }
        lines.truncate(frame.height);
        lines.into_iter().map(|spans| finish(spans, frame)).collect()
    }

    /// Which rows are shown, and how many are not.
    fn window(&mut self, rows: usize, frame: Frame, notes: usize) -> (std::ops::Range<usize>, usize) {
        let below = if notes > 0 { notes + 1 } else { 0 };
        let room = frame.height.saturating_sub(LINES_ABOVE);
        // Notes give way before rows do, when hardly a row would be left.
        let room = if room > below + 3 { room - below } else { room };
        if rows <= room {
            self.first_shown = 0;
            return (0..rows, 0);
        }
        let shown = room.saturating_sub(1);
        self.first_shown = frame.first.min(rows - shown);
        (self.first_shown..self.first_shown + shown, rows - shown)
    }
}

fn header(board: &Board) -> Vec<Span> {
    let daemon = board.daemon();
    let mut spans = vec![(format!("Slipstream {}", daemon.version).trim_end().to_owned(), Style::Bold)];
    if !daemon.run_id.is_empty() {
        let clients = if daemon.clients == 1 { "client" } else { "clients" };
        spans.push((
            format!(
                "  run {}  up {}  {} {clients}  {} msg/s",
                daemon.run_id,
                uptime(daemon.uptime_s),
                daemon.clients,
                rate(board.per_second())
            ),
            Style::Plain,
        ));
    }
    spans
}

fn venues(board: &Board) -> Vec<Span> {
    if let Some(trouble) = board.trouble() {
        return vec![(format!("waiting for the daemon: {trouble}"), Style::Red)];
    }
    let mut spans = Vec::new();
    for venue in &board.daemon().venues {
        let before = if spans.is_empty() { "" } else { "    " };
        spans.push((format!("{before}{} ", venue.name), Style::Plain));
        spans.push((venue.state.as_str().to_owned(), style_of(venue.state)));
        let of = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
        let counts = format!(", {}, {}", of(venue.reconnects, "reconnect"), of(venue.gaps, "gap"));
        spans.push((counts, Style::Plain));
    }
    spans
}

fn padded(column: Column, text: &str, width: usize) -> String {
    let text = cut(text, width);
    let blank = " ".repeat(width.saturating_sub(text.width()));
    if column.is_text() { text + &blank } else { blank + &text }
}

fn titles(layout: &Layout) -> Vec<Span> {
    let shown = COLUMNS.iter().zip(layout.widths).filter_map(|(column, width)| Some((column, width?)));
    let titles: Vec<String> = shown.map(|((column, title), width)| padded(*column, title, width)).collect();
    vec![(titles.join(&" ".repeat(layout.gap)), Style::Title)]
}

fn line(layout: &Layout, cells: [Span; COLUMNS.len()], row: &Row) -> Vec<Span> {
    let mut spans = Vec::with_capacity(2 * COLUMNS.len());
    for (((column, _), width), (text, style)) in COLUMNS.iter().zip(layout.widths).zip(cells) {
        let Some(width) = width else { continue };
        if !spans.is_empty() {
            spans.push((" ".repeat(layout.gap), Style::Plain));
        }
        spans.push((padded(*column, &text, width), style));
    }
    // Why a row is not live stands behind everything, where there is room.
    if let (_, Some((stream, reason))) = row.state() {
        spans.push((format!(" {stream}: {reason}"), Style::Dim));
    }
    spans
}

/// The text cut to a width, with a mark where something is missing.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for char in text.chars() {
        let wide = char.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        out.push(char);
        used += wide;
    }
    if width > 0 {
        out.push('…');
    }
    out
}

/// One line of text, not wider than the frame.
fn finish(spans: Vec<Span>, frame: Frame) -> String {
    let mut out = String::new();
    let mut left = frame.width;
    for (text, style) in spans {
        let shown = cut(&text, left);
        left = left.saturating_sub(shown.width());
        if frame.colour && style != Style::Plain && !shown.is_empty() {
            out += style.code();
            out += &shown;
            out += "\x1b[0m";
        } else {
            out += &shown;
        }
    }
    let trimmed = out.trim_end().len();
    out.truncate(trimmed);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::board::tests::{quote, report, trade};
    use std::time::Duration;

    fn frame(width: usize, height: usize) -> Frame {
        Frame { width, height, colour: false, first: 0 }
    }

    fn board() -> (Board, Instant) {
        let (mut board, now) = (Board::new(), Instant::now());
        let symbols = [
            ("binance", "BTCUSDT", State::Live),
            ("binance", "币安人生USDT", State::Stale),
            ("hyperliquid", "kPEPE", State::Live),
        ];
        for (venue, symbol, _) in symbols {
            board.announce(venue, symbol);
        }
        board.take(&report(&symbols), now);
        board.take(&quote("binance", "BTCUSDT", 1, 83091.6, 83091.7), now);
        board.take(&trade("binance", "BTCUSDT", 83091.7, 0.012, "Buy"), now);
        board.take(&quote("binance", "币安人生USDT", 1, 0.12345, 0.12346), now);
        board.take(
            &trade("hyperliquid", "kPEPE", 0.004411, 1200.0, "Sell"),
            now + Duration::from_millis(1_500),
        );
        board.tick(now + Duration::from_secs(2));
        (board, now + Duration::from_secs(3))
    }

    fn drawn(width: usize, height: usize) -> String {
        let (board, now) = board();
        Table::default().render(&board, now, frame(width, height), &["a note".to_owned()]).join("\n")
    }

    #[test]
    fn everything_is_shown_where_there_is_room() {
        assert_eq!(
            drawn(120, 24),
            "\
Slipstream 0.1.0  run 00c0ffee00c0ffee  up 00:01:23  2 clients  2.0 msg/s
binance live, 1 reconnect, 2 gaps    hyperliquid live, 1 reconnect, 2 gaps

VENUE        SYMBOL            BID      ASK  SPREAD      LAST   SIZE  SIDE   AGE  MSG/S  STATE
binance      BTCUSDT       83091.6  83091.7    0.01   83091.7  0.012  Buy   3.0s    1.0  live
binance      币安人生USDT  0.12345  0.12346    0.81         -      -  -     3.0s    0.5  stale trades: silence
hyperliquid  kPEPE               -        -       -  0.004411   1200  Sell  1.5s    0.5  live

a note"
        );
    }

    #[test]
    fn narrow_terminals_lose_the_size_first_and_the_end_of_the_venue_next() {
        let text = drawn(76, 24);
        assert!(!text.contains("SIZE"), "{text}");
        for title in ["BID", "ASK", "SPREAD", "LAST", "SIDE", "AGE", "MSG/S", "STATE"] {
            assert!(text.contains(title), "{title} is missing:\n{text}");
        }
        assert!(text.contains("hyperliq… kPEPE"), "{text}");
    }

    #[test]
    fn no_line_is_ever_wider_than_the_frame_nor_the_frame_higher_than_asked() {
        for width in 0..140 {
            for height in [0, 1, 3, 5, 6, 8, 24] {
                let text = drawn(width, height);
                assert!(text.lines().count() <= height, "{width}x{height}:\n{text}");
                for line in text.lines() {
                    assert!(line.width() <= width, "{width}x{height}: {line:?} is {} wide", line.width());
                }
            }
        }
        let narrow = drawn(40, 24);
        assert!(
            narrow.contains("BTCUSDT") && narrow.contains("83091.6") && narrow.contains("live"),
            "{narrow}"
        );
    }

    #[test]
    fn rows_that_do_not_fit_are_counted_and_can_be_scrolled_to() {
        let (mut board, now) = (Board::new(), Instant::now());
        (0..50).for_each(|number| board.announce("binance", &format!("S{number}USDT")));
        let mut table = Table::default();
        let lines = table.render(&board, now, frame(100, 14), &[]);
        assert_eq!((lines.len(), lines[13].as_str()), (14, "… 41 more"));
        assert!(lines[4].contains("S0USDT"));
        let lines = table.render(&board, now, Frame { first: 99, ..frame(100, 14) }, &[]);
        assert_eq!(table.first_shown(), 41);
        assert!(lines[12].contains("S49USDT"));
        // Notes go first when there is hardly room for rows.
        let notes = vec!["note".to_owned(); 6];
        assert!(table.render(&board, now, frame(100, 12), &notes).iter().all(|line| line != "note"));
        assert!(table.render(&board, now, frame(100, 16), &notes).iter().any(|line| line == "note"));
    }

    #[test]
    fn colours_say_what_is_good_and_are_left_out_when_unwanted() {
        let (mut board, now) = board();
        let coloured = Frame { colour: true, ..frame(120, 24) };
        let text = Table::default().render(&board, now, coloured, &[]).join("\n");
        for expected in ["\x1b[32mlive", "\x1b[33mstale", "\x1b[31mSell", "\x1b[1mSlipstream"] {
            assert!(text.contains(expected), "{expected:?} is missing:\n{text}");
        }
        assert!(!drawn(120, 24).contains('\x1b'));
        board.gone("it ended".into());
        let text = Table::default().render(&board, now, coloured, &[]).join("\n");
        assert!(text.contains("\x1b[31mwaiting for the daemon: it ended"), "{text}");
        assert!(text.contains("\x1b[31mdown"), "{text}");
    }

    #[test]
    fn columns_do_not_jump_when_a_number_gets_shorter() {
        let (mut board, now) = (Board::new(), Instant::now());
        board.announce("binance", "BTCUSDT");
        let mut table = Table::default();
        let mut column = |board: &Board| {
            let lines = table.render(board, now, frame(120, 24), &[]);
            lines[3].find("ASK").expect("a title")
        };
        board.take(&quote("binance", "BTCUSDT", 1, 100000.25, 100001.0), now);
        let before = column(&board);
        board.take(&quote("binance", "BTCUSDT", 2, 9.0, 10.0), now);
        assert_eq!(column(&board), before);
    }
}
