//! `slipstream tail`: one line per message of a symbol.

mod json;
mod line;

use crate::connection::Connection;
use crate::error::ToolError;
use crate::output;
use crate::stop::Stop;
use codec::protocol::unpack::Map;
use codec::words::Stream;
use line::Lines;
use slipstream_client::{Message, Request, request};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// What `slipstream tail --help` prints.
pub const HELP: &str = "\
slipstream tail - prints one line per message of a symbol

Usage: slipstream tail VENUE SYMBOL [options]

  --streams LIST   of orderbook, quotes, trades, candles, funding, fills, separated by commas
                   (default: orderbook,quotes,trades)
  --depth N        levels of the book on each side (default: 3)
  --mode MODE      full: the whole book each time (default); delta: what changed in it
  --interval I     of the candles (default: 15m)
  --count N        end after N messages
  --json           the messages as they are, one JSON object per line
  --socket PATH    where the daemon listens (default: SLIPSTREAM_SOCKET,
                   else /var/run/slipstream/mktdata.sock, else /tmp/slipstream-mktdata.sock)
  --help           this text

A line begins with the time of day, UTC, at which the daemon received the message; `lag` is how much
later that is than the venue's own time. On a terminal a book shows as many of its levels as fit.
Ctrl-C ends it.
";

/// Streams that can be asked for.
pub const STREAMS: [Stream; 6] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding, Stream::Fills];

/// Streams shown unless told otherwise.
const STREAMS_DEFAULT: [Stream; 3] = [Stream::Orderbook, Stream::Quotes, Stream::Trades];

/// How long a signal may go unnoticed.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What to show, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where to look for the daemon, in order.
    pub sockets: Vec<PathBuf>,
    /// The venue.
    pub venue: String,
    /// The symbol.
    pub symbol: String,
    /// The streams; empty: the usual ones, as far as the daemon carries them.
    pub streams: Vec<Stream>,
    /// Levels of the book on each side.
    pub depth: u64,
    /// Books as changes.
    pub delta: bool,
    /// The interval of candles.
    pub interval: String,
    /// End after so many messages.
    pub count: Option<u64>,
    /// Messages as JSON.
    pub json: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sockets: Vec::new(),
            venue: String::new(),
            symbol: String::new(),
            streams: Vec::new(),
            depth: 3,
            delta: false,
            interval: "15m".to_owned(),
            count: None,
            json: false,
        }
    }
}

/// Runs until a signal, the count, or the daemon ends it.
pub fn run(options: &Options) -> Result<(), ToolError> {
    let stop = Stop::on_signals()?;
    let mut connection = Connection::open(&options.sockets, "slipstream tail")?;
    let mut pending = HashMap::new();
    let streams = if options.streams.is_empty() { &STREAMS_DEFAULT[..] } else { &options.streams };
    for &stream in streams {
        pending.insert(connection.client.send(&subscription(options, stream))?, stream);
    }
    let mut acknowledged = 0;
    let mut lines = Lines::new(terminal_width());
    let mut left = options.count.unwrap_or(u64::MAX);
    let mut out = std::io::stdout().lock();
    while left > 0 && !stop.is_asked() {
        let Some(frame) = connection.client.next_frame(LOOK_UP)? else { continue };
        let message = Message::read(frame).map_err(ToolError::Protocol)?;
        if let Some(stream) = message.id().and_then(|id| pending.remove(&id)) {
            match message {
                Message::Error { code, message, .. } => {
                    // Of the usual streams this daemon may leave one out; of those asked for it may not.
                    if code != "not_configured" || !options.streams.is_empty() {
                        return Err(ToolError::Refused { code, message });
                    }
                    eprintln!("slipstream: without {stream}: {message}");
                    if pending.is_empty() && acknowledged == 0 {
                        return Err(ToolError::Refused { code, message });
                    }
                }
                _ => acknowledged += 1,
            }
            continue;
        }
        if matches!(message, Message::Heartbeat { .. }) {
            continue;
        }
        let text = if options.json { json::line(frame)? } else { lines.line(&message, received_us(frame)) };
        out.write_all(text.as_bytes()).map_err(output::failed)?;
        left -= 1;
    }
    out.flush().map_err(output::failed)
}

fn subscription(options: &Options, stream: Stream) -> Request {
    let of_symbol = |kind| request(kind).venue(&options.venue).symbol(&options.symbol);
    match stream {
        Stream::Orderbook => of_symbol("subscribe_orderbook")
            .with("depth", options.depth)
            .with("mode", if options.delta { "delta" } else { "full" }),
        Stream::Quotes => of_symbol("subscribe_quote"),
        Stream::Trades => of_symbol("subscribe_trades"),
        Stream::Candles => of_symbol("subscribe_candles").with("interval", options.interval.as_str()),
        Stream::Funding => of_symbol("subscribe_funding"),
        // The account's, whatever the symbol; the others of `Stream` are never asked for.
        Stream::Fills | Stream::Connection | Stream::Recorder => {
            request("subscribe_fills").venue(&options.venue)
        }
    }
}

/// When the daemon received what a frame says; 0 where it does not tell.
fn received_us(frame: &[u8]) -> u64 {
    let data = Map::read(frame).ok().and_then(|map| map.get("data")).and_then(|data| data.as_map());
    data.and_then(|data| data.get("received_us")).and_then(|time| time.as_u64()).unwrap_or(0)
}

fn terminal_width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
    Some(size.ws_col.into()).filter(|&width: &usize| width > 0)
}
