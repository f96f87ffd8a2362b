//! `slipstream top`: everything the daemon carries, as a table that stays in place or as plain lines.

mod board;
mod feed;
mod plain;
mod screen;
mod table;

use crate::error::ToolError;
use crate::output;
use crate::stop::Stop;
use board::Board;
use feed::Feed;
use plain::Plain;
use screen::{Key, Screen};
use std::collections::BTreeSet;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use table::{Frame, Table};

/// What `slipstream top --help` prints.
pub const HELP: &str = "\
slipstream top - shows everything the daemon carries, as a live table

Usage: slipstream top [options]

  --venue V        only this venue (may be given several times)
  --symbols LIST   only these symbols, separated by commas
  --once           print the table once, when every row has its prices or after 3 s, and end
  --socket PATH    where the daemon listens (default: SLIPSTREAM_SOCKET,
                   else /var/run/slipstream/mktdata.sock, else /tmp/slipstream-mktdata.sock)
  --help           this text

On a terminal the table stays in place: the arrow keys scroll, q or Ctrl-C ends it. Otherwise a
line per symbol is printed every second. SPREAD is in basis points (hundredths of a percent), AGE is
the time since the last message, MSG/S counts books, quotes and trades, STATE is the worst of these
three. NO_COLOR is honoured.
";

/// How often rates and the screen are renewed.
const TICK: Duration = Duration::from_millis(250);
/// Ticks between two rounds of plain lines.
const TICKS_PER_ROUND: u32 = 4;
/// Between two attempts to reach the daemon.
const RETRY: Duration = Duration::from_secs(1);
/// How long `--once` waits for prices.
const ONCE_PATIENCE: Duration = Duration::from_secs(3);

/// What to show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Where to look for the daemon, in order.
    pub sockets: Vec<PathBuf>,
    /// Only these venues; empty: all.
    pub venues: Vec<String>,
    /// Only these symbols; empty: all.
    pub symbols: Vec<String>,
    /// Print once and end.
    pub once: bool,
}

/// What decides about a show besides its options.
pub struct Stage<'a> {
    /// The wish to end.
    pub stop: &'a Stop,
    /// How long it lasts; `None`: until the wish to end.
    pub length: Option<Duration>,
    /// Lines shown below the table.
    pub notes: Vec<String>,
    /// Asked at every tick; an error ends the show.
    pub check: &'a mut dyn FnMut() -> Result<(), ToolError>,
}

/// What was seen during a show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Messages of data.
    pub messages: u64,
    /// Venues of which a symbol was live and had data.
    pub live_venues: BTreeSet<String>,
}

/// Runs the command.
pub fn run(options: &Options) -> Result<(), ToolError> {
    let stop = Stop::on_signals()?;
    if options.once {
        return once(options, &stop);
    }
    let stage = Stage { stop: &stop, length: None, notes: Vec::new(), check: &mut || Ok(()) };
    show(options, stage).map(|_| ())
}

fn once(options: &Options, stop: &Stop) -> Result<(), ToolError> {
    let mut board = Board::new();
    let mut feed = Feed::open(options, &mut board)?;
    let start = Instant::now();
    let deadline = start + ONCE_PATIENCE;
    while !stop.is_asked() && Instant::now() < deadline && !board.is_complete() {
        feed.pump(&mut board, Instant::now() + TICK, stop)?;
        board.tick(Instant::now());
    }
    let out = std::io::stdout();
    let width = if out.is_terminal() { screen::size().0 } else { usize::MAX };
    let frame =
        Frame { width, height: usize::MAX, colour: out.is_terminal() && screen::wants_colour(), first: 0 };
    let lines = Table::default().render(&board, Instant::now(), frame, &[]);
    output::print(&(lines.join("\n") + "\n"))
}

enum View {
    Screen(Box<Screen>, Table),
    Plain(Plain),
}

/// Shows the table until its end; what was seen is the answer.
///
/// # Errors
/// When the daemon cannot be reached at the start or refuses, or the stage's check fails. A daemon that goes
/// away later is waited for.
pub fn show(options: &Options, stage: Stage<'_>) -> Result<Totals, ToolError> {
    let mut board = Board::new();
    // Before the screen is taken, so that the message is seen.
    let mut feed = open(options, &mut board)?;
    let end = stage.length.map(|length| Instant::now() + length);
    let mut view = if std::io::stdout().is_terminal() {
        View::Screen(Box::new(Screen::take()?), Table::default())
    } else {
        View::Plain(Plain::default())
    };
    let mut ticks = 0;
    let mut first = 0_usize;
    loop {
        let now = Instant::now();
        let until = end.map_or(now + TICK, |end| end.min(now + TICK));
        match &mut feed {
            State::Open(open) => {
                if let Err(error) = open.pump(&mut board, until, stage.stop) {
                    board.gone(error.to_string());
                    feed = State::Retry(now + RETRY);
                }
            }
            State::Retry(at) if now >= *at => feed = reopen(options, &mut board, now),
            State::Retry(_) => std::thread::sleep(until.saturating_duration_since(now).min(TICK)),
        }
        let now = Instant::now();
        board.tick(now);
        (stage.check)()?;
        match &mut view {
            View::Screen(screen, table) => {
                for key in screen.keys() {
                    match key {
                        Key::Quit => return Ok(board.totals()),
                        Key::By(rows) => first = first.saturating_add_signed(rows).min(board.rows().len()),
                        Key::To(row) => first = row.min(board.rows().len()),
                    }
                }
                let (width, height) = screen::size();
                let frame = Frame { width, height, colour: screen::wants_colour(), first };
                screen.draw(&table.render(&board, now, frame, &stage.notes), height)?;
                first = first.min(table.first_shown());
            }
            View::Plain(plain) => {
                ticks += 1;
                if ticks % TICKS_PER_ROUND == 0 {
                    output::print(&plain.round(&board, now))?;
                }
            }
        }
        if stage.stop.is_asked() || end.is_some_and(|end| Instant::now() >= end) {
            return Ok(board.totals());
        }
    }
}

enum State {
    Open(Box<Feed>),
    Retry(Instant),
}

/// The first attempt: only what passes by itself is waited for.
fn open(options: &Options, board: &mut Board) -> Result<State, ToolError> {
    match Feed::open(options, board) {
        Ok(feed) => Ok(State::Open(Box::new(feed))),
        Err(ToolError::Refused { code, message }) if code == "not_ready" => {
            board.gone(message);
            Ok(State::Retry(Instant::now() + RETRY))
        }
        Err(error) => Err(error),
    }
}

fn reopen(options: &Options, board: &mut Board, now: Instant) -> State {
    match Feed::open(options, board) {
        Ok(feed) => State::Open(Box::new(feed)),
        Err(error) => {
            let text = error.to_string();
            board.gone(text.lines().next().unwrap_or_default().to_owned());
            State::Retry(now + RETRY)
        }
    }
}
