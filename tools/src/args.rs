//! Reads the command line; what is wrong is answered with what would be right.

use crate::{demo, tail, top};
use codec::words::Stream;
use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` prints.
pub const HELP: &str = "\
slipstream - looks at live market data on this machine

Usage: slipstream COMMAND [options]

Commands:
  tail VENUE SYMBOL   print one line per message of a symbol
  top                 show everything the daemon carries, as a live table
  demo                start simulated venues and a daemon, and show top

  slipstream COMMAND --help says more about a command.

Options:
  --version       print the version and exit
  --help          print this and exit

The daemon is found at --socket PATH, else SLIPSTREAM_SOCKET, else /var/run/slipstream/mktdata.sock,
else /tmp/slipstream-mktdata.sock. Exit codes: 0 clean, 2 usage, 1 other.
";

const VERSION: &str = concat!("slipstream ", env!("CARGO_PKG_VERSION"), "\n");

/// A command and its options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// One line per message.
    Tail(tail::Options),
    /// The live table.
    Top(top::Options),
    /// Simulated venues, a daemon, and the live table.
    Demo(demo::Options),
}

/// What came out of reading the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A text to print: help or version.
    Print(&'static str),
    /// A command to run.
    Run(Command),
}

/// What is wrong with the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    message: String,
    command: Option<&'static str>,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.command.map(|command| format!("{command} ")).unwrap_or_default();
        write!(f, "{}\nslipstream {of}--help tells the usage", self.message)
    }
}

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> Self {
        wrong(error.to_string())
    }
}

fn wrong(message: impl Into<String>) -> UsageError {
    UsageError { message: message.into(), command: None }
}

/// Reads the arguments, the program's name excluded; `environment` looks up a variable.
///
/// # Errors
/// What is wrong with them, and which command's help to read.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Parsed, UsageError> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let mut parser = Parser::from_args(arguments);
    let (name, read): (&'static str, Read) = match parser.next()? {
        Some(Long("help") | Short('h')) => return Ok(Parsed::Print(HELP)),
        Some(Long("version") | Short('V')) => return Ok(Parsed::Print(VERSION)),
        Some(Value(command)) => match command.to_str() {
            Some("tail") => ("tail", tail),
            Some("top") => ("top", top),
            Some("demo") => ("demo", demo),
            Some("help") => return help(&mut parser),
            _ => return Err(wrong(format!("there is no command {command:?}; there are tail, top and demo"))),
        },
        Some(other) => return Err(other.unexpected().into()),
        None => return Err(wrong("a command is missing: tail, top or demo")),
    };
    read(&mut parser, &environment).map_err(|error| UsageError { command: Some(name), ..error })
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;
type Read = fn(&mut Parser, Environment<'_>) -> Result<Parsed, UsageError>;

fn help(parser: &mut Parser) -> Result<Parsed, UsageError> {
    Ok(Parsed::Print(match parser.next()? {
        Some(Value(command)) if command == "tail" => tail::HELP,
        Some(Value(command)) if command == "top" => top::HELP,
        Some(Value(command)) if command == "demo" => demo::HELP,
        _ => HELP,
    }))
}

fn tail(parser: &mut Parser, environment: Environment<'_>) -> Result<Parsed, UsageError> {
    let mut socket = None;
    let mut names = Vec::new();
    let mut options = tail::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Parsed::Print(tail::HELP)),
            Long("socket") => socket = Some(path("--socket", parser)?),
            Long("streams") => options.streams = streams(&text(parser)?)?,
            Long("depth") => options.depth = count("--depth", parser)?,
            Long("mode") => options.delta = mode(&text(parser)?)?,
            Long("interval") => options.interval = text(parser)?,
            Long("count") => options.count = Some(count("--count", parser)?),
            Long("json") => options.json = true,
            Value(name) => names.push(utf8(name)?),
            other => return Err(other.unexpected().into()),
        }
    }
    let Ok([venue, symbol]) = <[String; 2]>::try_from(names) else {
        return Err(wrong("tail needs VENUE and SYMBOL, as in: slipstream tail binance BTCUSDT"));
    };
    let sockets = sockets(socket, environment);
    Ok(Parsed::Run(Command::Tail(tail::Options { sockets, venue, symbol, ..options })))
}

fn top(parser: &mut Parser, environment: Environment<'_>) -> Result<Parsed, UsageError> {
    let mut socket = None;
    let mut options = top::Options::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Parsed::Print(top::HELP)),
            Long("socket") => socket = Some(path("--socket", parser)?),
            Long("venue") => options.venues.extend(list("--venue", &text(parser)?)?),
            Long("symbols" | "symbol") => options.symbols.extend(list("--symbols", &text(parser)?)?),
            Long("once") => options.once = true,
            other => return Err(other.unexpected().into()),
        }
    }
    options.sockets = sockets(socket, environment);
    Ok(Parsed::Run(Command::Top(options)))
}

fn demo(parser: &mut Parser, environment: Environment<'_>) -> Result<Parsed, UsageError> {
    let from_environment = environment("DEMO_SECONDS").filter(|text| !text.is_empty());
    let (mut seconds, mut scenario) = (None, None);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Parsed::Print(demo::HELP)),
            Long("seconds") => seconds = Some(("--seconds", text(parser)?)),
            Long("scenario") => scenario = Some(parser.value()?),
            other => return Err(other.unexpected().into()),
        }
    }
    if let (None, Some(text)) = (&seconds, from_environment) {
        seconds = Some(("DEMO_SECONDS", utf8(text)?));
    }
    let length = match seconds {
        None => None,
        Some((name, text)) => match text.parse::<u64>() {
            Ok(seconds @ 1..) => Some(Duration::from_secs(seconds)),
            _ => return Err(wrong(format!("{name} {text}: right is a whole number of seconds from 1"))),
        },
    };
    Ok(Parsed::Run(Command::Demo(demo::Options { length, scenario })))
}

fn utf8(argument: OsString) -> Result<String, UsageError> {
    argument.into_string().map_err(|argument| wrong(format!("{argument:?} is not valid UTF-8")))
}

fn text(parser: &mut Parser) -> Result<String, UsageError> {
    utf8(parser.value()?)
}

fn path(flag: &str, parser: &mut Parser) -> Result<PathBuf, UsageError> {
    let path = parser.value()?;
    if path.is_empty() { Err(wrong(format!("{flag} needs a path"))) } else { Ok(path.into()) }
}

fn count(flag: &str, parser: &mut Parser) -> Result<u64, UsageError> {
    let text = text(parser)?;
    match text.parse() {
        Ok(count @ 1..) => Ok(count),
        _ => Err(wrong(format!("{flag} {text}: right is a whole number from 1"))),
    }
}

fn mode(text: &str) -> Result<bool, UsageError> {
    match text {
        "full" => Ok(false),
        "delta" => Ok(true),
        _ => Err(wrong(format!("--mode {text}: right is full or delta"))),
    }
}

fn list(flag: &str, text: &str) -> Result<Vec<String>, UsageError> {
    let items: Vec<_> =
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect();
    if items.is_empty() { Err(wrong(format!("{flag} needs at least one name"))) } else { Ok(items) }
}

fn streams(text: &str) -> Result<Vec<Stream>, UsageError> {
    let mut streams = Vec::new();
    for word in list("--streams", text)? {
        let stream = Stream::from_word(&word).filter(|stream| tail::STREAMS.contains(stream));
        let Some(stream) = stream else {
            let right: Vec<_> = tail::STREAMS.iter().map(|stream| stream.as_str()).collect();
            return Err(wrong(format!("--streams {word}: right is any of {}", right.join(", "))));
        };
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    }
    Ok(streams)
}

/// Where to look for the daemon, in order.
fn sockets(flag: Option<PathBuf>, environment: Environment<'_>) -> Vec<PathBuf> {
    let named =
        flag.or_else(|| environment("SLIPSTREAM_SOCKET").filter(|path| !path.is_empty()).map(Into::into));
    match named {
        Some(path) => vec![path],
        None => crate::connection::DEFAULT_SOCKETS.map(PathBuf::from).to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(line: &str, environment: &[(&str, &str)]) -> Result<Parsed, String> {
        let lookup = |name: &str| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        parse(line.split_whitespace().map(OsString::from), lookup).map_err(|error| error.to_string())
    }

    fn tail_of(line: &str, environment: &[(&str, &str)]) -> tail::Options {
        match read_with(line, environment) {
            Ok(Parsed::Run(Command::Tail(options))) => options,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn tail_takes_its_options_in_any_order() {
        let options = tail_of("tail binance BTCUSDT", &[]);
        assert_eq!((options.venue.as_str(), options.symbol.as_str()), ("binance", "BTCUSDT"));
        assert!(options.streams.is_empty(), "the usual ones");
        assert!(!options.json && !options.delta && options.count.is_none());
        let line =
            "tail --depth=7 --mode delta binance --streams trades,funding,trades BTCUSDT --count 2 --json";
        let options = tail_of(line, &[]);
        assert_eq!((options.depth, options.count, options.delta, options.json), (7, Some(2), true, true));
        assert_eq!(options.streams, [Stream::Trades, Stream::Funding]);
        assert_eq!(tail_of("tail hyperliquid -- -X", &[]).symbol, "-X");
    }

    #[test]
    fn the_socket_is_the_flag_else_the_variable_else_the_defaults() {
        let named = [("SLIPSTREAM_SOCKET", "/v")];
        assert_eq!(tail_of("tail b B --socket /f", &named).sockets, [PathBuf::from("/f")]);
        assert_eq!(tail_of("tail b B", &named).sockets, [PathBuf::from("/v")]);
        let defaults =
            ["/var/run/slipstream/mktdata.sock", "/tmp/slipstream-mktdata.sock"].map(PathBuf::from);
        assert_eq!(tail_of("tail b B", &[]).sockets, defaults);
        assert_eq!(tail_of("tail b B", &[("SLIPSTREAM_SOCKET", "")]).sockets, defaults);
    }

    #[test]
    fn top_gathers_venues_and_symbols() {
        let Ok(Parsed::Run(Command::Top(options))) =
            read_with("top --venue binance --venue hyperliquid --symbols BTC,ETH --once", &[])
        else {
            panic!("good options")
        };
        assert_eq!(options.venues, ["binance", "hyperliquid"]);
        assert_eq!(options.symbols, ["BTC", "ETH"]);
        assert!(options.once);
    }

    #[test]
    fn the_demo_lasts_as_long_as_the_flag_or_the_variable_says() {
        let length = |line, environment: &[_]| match read_with(line, environment) {
            Ok(Parsed::Run(Command::Demo(options))) => options.length.map(|length| length.as_secs()),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(length("demo", &[]), None);
        assert_eq!(length("demo", &[("DEMO_SECONDS", "")]), None);
        assert_eq!(length("demo", &[("DEMO_SECONDS", "9")]), Some(9));
        assert_eq!(length("demo --seconds 3", &[("DEMO_SECONDS", "x")]), Some(3));
        let error = read_with("demo", &[("DEMO_SECONDS", "0")]).unwrap_err();
        assert!(error.contains("DEMO_SECONDS 0: right is"), "{error}");
    }

    #[test]
    fn the_demo_hands_a_scenario_on() {
        let Ok(Parsed::Run(Command::Demo(options))) = read_with("demo --scenario bad-day", &[]) else {
            panic!("good options")
        };
        assert_eq!(options.scenario.as_deref(), Some("bad-day".as_ref()));
    }

    #[test]
    fn help_and_version_come_before_anything_else() {
        assert_eq!(read_with("--help", &[]), Ok(Parsed::Print(HELP)));
        assert_eq!(read_with("tail --help", &[]), Ok(Parsed::Print(tail::HELP)));
        assert_eq!(read_with("help top", &[]), Ok(Parsed::Print(top::HELP)));
        assert_eq!(read_with("demo -h", &[]), Ok(Parsed::Print(demo::HELP)));
        assert_eq!(read_with("-V", &[]), Ok(Parsed::Print(VERSION)));
    }

    #[test]
    fn what_is_wrong_is_told_with_what_would_be_right() {
        for (line, told) in [
            ("", "tail, top or demo"),
            ("tial", "there are tail, top and demo"),
            ("tail binance", "tail needs VENUE and SYMBOL"),
            ("tail a b c", "tail needs VENUE and SYMBOL"),
            ("tail a b --depth 0", "--depth 0: right is a whole number from 1"),
            ("tail a b --depth x", "--depth x: right is"),
            ("tail a b --mode fast", "right is full or delta"),
            ("tail a b --streams books", "orderbook, quotes, trades, candles, funding, fills"),
            ("tail a b --streams connection", "right is any of"),
            ("tail a b --streams ,", "at least one name"),
            ("tail a b --socket", "missing argument for option '--socket'"),
            ("tail a b --socket=", "--socket needs a path"),
            ("tail a b --jsno", "invalid option '--jsno'"),
            ("top BTC", "unexpected argument \"BTC\""),
            ("demo --seconds 1.5", "a whole number of seconds from 1"),
            ("demo --scenario", "missing argument for option '--scenario'"),
            ("--verbose", "invalid option '--verbose'"),
        ] {
            let error = read_with(line, &[]).expect_err(line);
            assert!(error.contains(told), "{line}: {error}");
            let command = line.split(' ').next().filter(|word| ["tail", "top", "demo"].contains(word));
            let help =
                command.map_or("slipstream --help".to_owned(), |word| format!("slipstream {word} --help"));
            assert!(error.contains(&help), "{line}: {error}");
        }
    }
}
