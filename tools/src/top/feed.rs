//! The connection behind the table: subscribes to everything shown, asks for the daemon's status now and then.

use crate::connection::{Connection, texts};
use crate::error::ToolError;
use crate::stop::Stop;
use crate::top::Options;
use crate::top::board::Board;
use slipstream_client::{Client, ClientError, Message, Request, request};
use std::time::{Duration, Instant};

/// Symbols of which books are subscribed; beyond them quotes alone tell bid and ask.
const BOOKS_MAX: usize = 100;
/// Levels of those books.
const BOOK_DEPTH: u64 = 1;
/// Between two looks at the daemon's status.
const STATUS_EVERY: Duration = Duration::from_secs(1);
/// A daemon that has not answered for so long is as good as gone.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// How long a signal may go unnoticed.
const LOOK_UP: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug)]
pub struct Feed {
    client: Client,
    asked: Instant,
    answered: Instant,
    pending: bool,
}

impl Feed {
    /// Connects and subscribes; the board gets a row for every symbol.
    ///
    /// # Errors
    /// When there is no daemon, or it does not carry what was asked for.
    pub fn open(options: &Options, board: &mut Board) -> Result<Self, ToolError> {
        let Connection { mut client, venues: carried } =
            Connection::open(&options.sockets, "slipstream top")?;
        let venues = if options.venues.is_empty() { &carried } else { &options.venues };
        let mut shown: Vec<(&str, Vec<String>)> = Vec::new();
        for venue in venues {
            let (_, reply) = client.request(&request("get_symbols").venue(venue))?;
            let wanted = |symbol: &String| options.symbols.is_empty() || options.symbols.contains(symbol);
            shown.push((venue, texts(&reply).into_iter().filter(wanted).collect()));
        }
        for symbol in &options.symbols {
            if !shown.iter().any(|(_, symbols)| symbols.contains(symbol)) {
                return Err(missing(&mut client, venues, symbol));
            }
        }
        board.connected(options.symbols.is_empty());
        let mut books_left = BOOKS_MAX;
        for (venue, symbols) in &shown {
            symbols.iter().for_each(|symbol| board.announce(venue, symbol));
            let books = &symbols[..symbols.len().min(books_left)];
            books_left -= books.len();
            subscribe(&mut client, venue, symbols, books, options.symbols.is_empty())?;
        }
        let now = Instant::now();
        let mut feed = Self { client, asked: now, answered: now, pending: false };
        feed.ask_status(now)?;
        Ok(feed)
    }

    fn ask_status(&mut self, now: Instant) -> Result<(), ClientError> {
        self.client.send(&request("get_status"))?;
        (self.asked, self.pending) = (now, true);
        Ok(())
    }

    /// Takes what comes until a time.
    ///
    /// # Errors
    /// When the connection ends or the daemon does not answer any more.
    pub fn pump(&mut self, board: &mut Board, until: Instant, stop: &Stop) -> Result<(), ToolError> {
        loop {
            let now = Instant::now();
            if now >= until || stop.is_asked() {
                return Ok(());
            }
            if !self.pending && now - self.asked >= STATUS_EVERY {
                self.ask_status(now)?;
            }
            if self.pending && now - self.answered > SILENCE_MAX {
                return Err(ToolError::Lost("it does not answer".to_owned()));
            }
            let Some(message) = self.client.recv((until - now).min(LOOK_UP))? else { continue };
            match &message {
                Message::Other { kind, .. } if kind == "status_report" => {
                    (self.answered, self.pending) = (now, false);
                }
                Message::Error { code, message, .. } => {
                    return Err(ToolError::Refused { code: code.clone(), message: message.clone() });
                }
                _ => {}
            }
            board.take(&message, now);
        }
    }
}

/// Subscribes to what a row needs, as far as the daemon carries it.
fn subscribe(
    client: &mut Client,
    venue: &str,
    symbols: &[String],
    books: &[String],
    all: bool,
) -> Result<(), ToolError> {
    let of = |kind: &str, symbol: &String| request(kind).venue(venue).symbol(symbol);
    if all {
        carried(client, [request("subscribe_all_quotes").venue(venue)].into_iter())?;
        carried(client, [request("subscribe_all_trades").venue(venue)].into_iter())?;
    } else {
        carried(client, symbols.iter().map(|symbol| of("subscribe_quote", symbol)))?;
        carried(client, symbols.iter().map(|symbol| of("subscribe_trades", symbol)))?;
    }
    carried(client, books.iter().map(|symbol| of("subscribe_orderbook", symbol).with("depth", BOOK_DEPTH)))
}

/// Makes requests of one stream; ends early without error when the daemon does not carry it.
fn carried(client: &mut Client, requests: impl Iterator<Item = Request>) -> Result<(), ToolError> {
    for request in requests {
        match client.request(&request) {
            Ok(_) => {}
            Err(error) if error.code() == Some("not_configured") => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Why a symbol cannot be shown: in the daemon's words, which name the nearest, where one venue is in question.
fn missing(client: &mut Client, venues: &[String], symbol: &str) -> ToolError {
    if let [venue] = venues {
        let refused = client.request(&request("get_quote").venue(venue).symbol(symbol));
        if let Err(error @ ClientError::Refused { .. }) = refused {
            return error.into();
        }
    }
    let venues = venues.join(", ");
    ToolError::Failed(format!("no venue carries {symbol} ({venues}); `slipstream top` shows what there is"))
}
