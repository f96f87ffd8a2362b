//! Everything that can be made to go wrong on command, and the text form a control request or a scenario writes it in.
//!
//! A new fault is a variant here, a line in [`Fault::parse`], and the place in a venue that obeys it.

use crate::decimal::{SCALE_E8, parse_e8};
use crate::error::SimError;
use crate::market::{Interval, Market, NewListing};
use crate::protocol::Route;
use std::collections::HashMap;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutHow {
    /// A close frame with code 1000, as at a planned restart.
    Close,
    /// The TCP connection ends without a close frame: clients report 1006.
    Drop,
    /// A TCP reset.
    Reset,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Cuts the WebSocket connections, of one route or of all.
    Cut {
        /// Which connections; all if none is named.
        route: Option<Route>,
        /// How.
        how: CutHow,
    },
    /// Closes every new TCP connection at once for a while.
    RefuseConnections {
        /// How long.
        for_ms: i64,
    },
    /// Answers every REST request this much later, for a while.
    DelayRest {
        /// How much later.
        delay_ms: i64,
        /// How long this goes on.
        for_ms: i64,
    },
    /// Binance: withholds the next events of a symbol's diff depth streams, so that the next `pu` does not fit.
    BreakDepthSequence {
        /// The symbol, upper case.
        symbol: String,
        /// How many events of each speed.
        events: u32,
    },
    /// Binance: withholds the next aggregate trades of a symbol, so that their ids leave a hole.
    DropTrades {
        /// The symbol, upper case.
        symbol: String,
        /// How many.
        count: u32,
    },
    /// Answers the next book snapshot requests from a cache.
    StaleSnapshots {
        /// The symbol; any if none is named.
        symbol: Option<String>,
        /// How many requests.
        requests: u32,
        /// How old the answer is.
        age_ms: i64,
    },
    /// Sends nothing on one stream for a while. Binance: the stream's name. Hyperliquid: `l2Book:BTC`,
    /// `l2BookFast:BTC`, `bbo:BTC`, `trades:BTC`, …
    SilenceStream {
        /// The stream.
        stream: String,
        /// How long.
        for_ms: i64,
    },
    /// Sends nothing of one symbol for a while.
    SilenceSymbol {
        /// The symbol.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Makes the next book frames of a symbol cross: a bid at the best ask.
    CrossedBook {
        /// The symbol.
        symbol: String,
        /// How many frames, of whichever book streams come first.
        frames: u32,
    },
    /// Binance: sends the next closing kline frames of a symbol late.
    LateCloseFrames {
        /// The symbol, upper case.
        symbol: String,
        /// Of one interval, or of all.
        interval: Option<Interval>,
        /// How much later.
        delay_ms: i64,
        /// How many closing frames of each interval.
        frames: u32,
    },
    /// Binance: loses the next closing kline frames of a symbol.
    LoseCloseFrames {
        /// The symbol, upper case.
        symbol: String,
        /// Of one interval, or of all.
        interval: Option<Interval>,
        /// How many closing frames of each interval.
        frames: u32,
    },
    /// Binance: loses every kline frame of a symbol for a while.
    SilenceKlines {
        /// The symbol, upper case.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Hyperliquid: tells no candle frame in the last moments of the next periods, nor after them, so that their last
    /// trades are never shown; REST has them.
    ShortCandles {
        /// The coin.
        symbol: String,
        /// Of one interval, or of all.
        interval: Option<Interval>,
        /// How long before the end of a period its frames end.
        before_ms: i64,
        /// How many periods of each interval.
        periods: u32,
    },
    /// Answers requests for candles with status 500, or not at all, for a while.
    CandleRestDown {
        /// Not at all, instead of 500.
        timeout: bool,
        /// How long.
        for_ms: i64,
    },
    /// Lets REST tell a candle only some time after its period has ended, for a while: until then its row is missing,
    /// or without its last trade.
    LateCandleRows {
        /// The symbol; any if none is named.
        symbol: Option<String>,
        /// Missing, instead of without the last trade.
        missing: bool,
        /// How long after the end.
        lag_ms: i64,
        /// How long this goes on.
        for_ms: i64,
    },
    /// Lets nobody trade a symbol for a while; its book lives on.
    StopTrades {
        /// The symbol.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Lists a symbol.
    ListSymbol(NewListing),
    /// Ends a symbol's trading for good.
    HaltSymbol {
        /// The symbol.
        symbol: String,
    },
    /// Binance: gives a symbol another tick.
    ChangeTick {
        /// The symbol, upper case.
        symbol: String,
        /// The tick at 1e-8.
        tick_e8: i64,
    },
    /// Sends the next frames of a symbol twice.
    DuplicateFrames {
        /// The symbol.
        symbol: String,
        /// How many frames.
        frames: u32,
    },
}

/// The names of the faults as [`Fault::parse`] takes them, with their parameters.
pub const FAULT_FORMS: &[&str] = &[
    "cut [route=public|market|ws] [how=close|drop|reset]",
    "refuse_connections for_ms=N",
    "delay_rest delay_ms=N for_ms=N",
    "break_depth_sequence symbol=S [events=N]",
    "drop_trades symbol=S [count=N]",
    "stale_snapshots [symbol=S] [requests=N] age_ms=N",
    "silence_stream stream=S for_ms=N",
    "silence_symbol symbol=S for_ms=N",
    "crossed_book symbol=S [frames=N]",
    "duplicate_frames symbol=S [frames=N]",
    "late_close_frames symbol=S delay_ms=N [interval=I] [frames=N]",
    "lose_close_frames symbol=S [interval=I] [frames=N]",
    "silence_klines symbol=S for_ms=N",
    "short_candles symbol=S [interval=I] [before_ms=N] [periods=N]",
    "candle_rest_down for_ms=N [how=error|timeout]",
    "late_candle_rows lag_ms=N for_ms=N [symbol=S] [how=missing|immature]",
    "stop_trades symbol=S for_ms=N",
    "list_symbol symbol=S price=P [tick=P] [size_decimals=N]",
    "halt_symbol symbol=S",
    "change_tick symbol=S tick=P",
];

/// The parameters of a textual fault.
struct Parameters<'a>(&'a HashMap<String, String>);

impl Parameters<'_> {
    fn text(&self, name: &str) -> Result<String, String> {
        self.0.get(name).cloned().ok_or_else(|| format!("{name} is missing"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str, default: Option<T>) -> Result<T, String> {
        match (self.0.get(name), default) {
            (Some(text), _) => text.parse().map_err(|_| format!("{name}={text} is not a whole number")),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("{name} is missing")),
        }
    }
}

impl Parameters<'_> {
    fn interval(&self) -> Result<Option<Interval>, String> {
        let Some(name) = self.0.get("interval") else { return Ok(None) };
        Interval::from_name(name).map(Some).ok_or_else(|| format!("interval={name} is no interval"))
    }

    fn decimal(&self, name: &str, default: Option<i64>) -> Result<i64, String> {
        match (self.0.get(name), default) {
            (Some(text), _) => parse_e8(text).ok_or_else(|| format!("{name}={text} is not a decimal")),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("{name} is missing")),
        }
    }

    /// Which of two ways `how` names: false is the usual one, and what it is if none is named.
    fn either(&self, usual: &str, other: &str) -> Result<bool, String> {
        match self.0.get("how") {
            None => Ok(false),
            Some(how) if how == usual => Ok(false),
            Some(how) if how == other => Ok(true),
            Some(how) => Err(format!("how={how}; there are {usual} and {other}")),
        }
    }
}

impl Fault {
    /// The symbol it is about, if it is about one that must exist.
    pub fn symbol(&self) -> Option<&String> {
        match self {
            Self::BreakDepthSequence { symbol, .. }
            | Self::DropTrades { symbol, .. }
            | Self::SilenceSymbol { symbol, .. }
            | Self::CrossedBook { symbol, .. }
            | Self::DuplicateFrames { symbol, .. }
            | Self::LateCloseFrames { symbol, .. }
            | Self::LoseCloseFrames { symbol, .. }
            | Self::SilenceKlines { symbol, .. }
            | Self::ShortCandles { symbol, .. }
            | Self::StopTrades { symbol, .. }
            | Self::HaltSymbol { symbol }
            | Self::ChangeTick { symbol, .. } => Some(symbol),
            Self::StaleSnapshots { symbol, .. } | Self::LateCandleRows { symbol, .. } => symbol.as_ref(),
            Self::Cut { .. }
            | Self::RefuseConnections { .. }
            | Self::DelayRest { .. }
            | Self::SilenceStream { .. }
            | Self::CandleRestDown { .. }
            | Self::ListSymbol(_) => None,
        }
    }

    /// Whether it changes the market itself, and how; false if it is none of those.
    pub fn change_market(&self, market: &mut Market) -> Result<bool, SimError> {
        let find =
            |symbol: &String| market.find(symbol).ok_or_else(|| SimError::UnknownSymbol(symbol.clone()));
        match self {
            Self::StopTrades { symbol, for_ms } => {
                let index = find(symbol)?;
                market.stop_trades(index, market.now_ms() + for_ms);
            }
            Self::HaltSymbol { symbol } => {
                let index = find(symbol)?;
                market.halt(index);
            }
            Self::ChangeTick { symbol, tick_e8 } => {
                let index = find(symbol)?;
                market.change_tick(index, *tick_e8)?;
            }
            Self::ListSymbol(new) => drop(market.list(new)?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a fault from its name and parameters; an error says what is wrong and what would be right.
    pub fn parse(name: &str, parameters: &HashMap<String, String>) -> Result<Self, String> {
        let form = FAULT_FORMS.iter().find(|form| form.split(' ').next() == Some(name));
        let Some(form) = form else {
            let names: Vec<&str> = FAULT_FORMS.iter().filter_map(|form| form.split(' ').next()).collect();
            return Err(format!("no fault {name:?}; there are {}", names.join(", ")));
        };
        Self::parse_known(name, &Parameters(parameters))
            .map_err(|reason| format!("{name}: {reason}; right is: {form}"))
    }

    fn parse_known(name: &str, given: &Parameters) -> Result<Self, String> {
        Ok(match name {
            "cut" => Self::Cut { route: route(given)?, how: how(given)? },
            "refuse_connections" => Self::RefuseConnections { for_ms: given.number("for_ms", None)? },
            "delay_rest" => Self::DelayRest {
                delay_ms: given.number("delay_ms", None)?,
                for_ms: given.number("for_ms", None)?,
            },
            "break_depth_sequence" => Self::BreakDepthSequence {
                symbol: given.text("symbol")?,
                events: given.number("events", Some(1))?,
            },
            "drop_trades" => {
                Self::DropTrades { symbol: given.text("symbol")?, count: given.number("count", Some(1))? }
            }
            "stale_snapshots" => Self::StaleSnapshots {
                symbol: given.text("symbol").ok(),
                requests: given.number("requests", Some(1))?,
                age_ms: given.number("age_ms", None)?,
            },
            "silence_stream" => {
                Self::SilenceStream { stream: given.text("stream")?, for_ms: given.number("for_ms", None)? }
            }
            "silence_symbol" => {
                Self::SilenceSymbol { symbol: given.text("symbol")?, for_ms: given.number("for_ms", None)? }
            }
            "crossed_book" => {
                Self::CrossedBook { symbol: given.text("symbol")?, frames: given.number("frames", Some(1))? }
            }
            "late_close_frames" => Self::LateCloseFrames {
                symbol: given.text("symbol")?,
                interval: given.interval()?,
                delay_ms: given.number("delay_ms", None)?,
                frames: given.number("frames", Some(1))?,
            },
            "lose_close_frames" => Self::LoseCloseFrames {
                symbol: given.text("symbol")?,
                interval: given.interval()?,
                frames: given.number("frames", Some(1))?,
            },
            "silence_klines" => {
                Self::SilenceKlines { symbol: given.text("symbol")?, for_ms: given.number("for_ms", None)? }
            }
            "short_candles" => Self::ShortCandles {
                symbol: given.text("symbol")?,
                interval: given.interval()?,
                before_ms: given.number("before_ms", Some(2_000))?,
                periods: given.number("periods", Some(1))?,
            },
            "candle_rest_down" => Self::CandleRestDown {
                timeout: given.either("error", "timeout")?,
                for_ms: given.number("for_ms", None)?,
            },
            "late_candle_rows" => Self::LateCandleRows {
                symbol: given.text("symbol").ok(),
                missing: given.either("immature", "missing")?,
                lag_ms: given.number("lag_ms", None)?,
                for_ms: given.number("for_ms", None)?,
            },
            "stop_trades" => {
                Self::StopTrades { symbol: given.text("symbol")?, for_ms: given.number("for_ms", None)? }
            }
            "list_symbol" => Self::ListSymbol(NewListing {
                symbol: given.text("symbol")?,
                price_e8: given.decimal("price", None)?,
                tick_e8: given.decimal("tick", Some(SCALE_E8 / 10_000))?,
                size_decimals: given.number("size_decimals", Some(2))?,
            }),
            "halt_symbol" => Self::HaltSymbol { symbol: given.text("symbol")? },
            "change_tick" => {
                Self::ChangeTick { symbol: given.text("symbol")?, tick_e8: given.decimal("tick", None)? }
            }
            "duplicate_frames" => Self::DuplicateFrames {
                symbol: given.text("symbol")?,
                frames: given.number("frames", Some(1))?,
            },
            _ => return Err("not readable".to_owned()),
        })
    }
}

fn route(given: &Parameters) -> Result<Option<Route>, String> {
    match given.text("route") {
        Err(_) => Ok(None),
        Ok(name) => Route::from_name(&name)
            .map(Some)
            .ok_or_else(|| format!("no route {name:?}; there are public, market and ws")),
    }
}

fn how(given: &Parameters) -> Result<CutHow, String> {
    match given.text("how").as_deref() {
        Ok("close") => Ok(CutHow::Close),
        Err(_) | Ok("drop") => Ok(CutHow::Drop),
        Ok("reset") => Ok(CutHow::Reset),
        Ok(other) => Err(format!("no way to cut {other:?}; there are close, drop and reset")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(name: &str, parameters: &[(&str, &str)]) -> Result<Fault, String> {
        let map = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Fault::parse(name, &map)
    }

    #[test]
    fn reads_faults_and_explains_what_it_cannot_read() {
        assert_eq!(
            parse("cut", &[("route", "public"), ("how", "reset")]),
            Ok(Fault::Cut { route: Some(Route::Public), how: CutHow::Reset })
        );
        assert!(parse("cut", &[("how", "gently")]).is_err_and(|text| text.contains("close, drop and reset")));
        assert!(parse("cot", &[]).is_err_and(|text| text.contains("refuse_connections")));
        assert!(
            parse("silence_stream", &[("for_ms", "9")]).is_err_and(|text| text.contains("stream is missing"))
        );
        for form in FAULT_FORMS {
            let name = form.split(' ').next().unwrap_or_default();
            let all = [
                ("symbol", "X"),
                ("stream", "x"),
                ("for_ms", "1"),
                ("delay_ms", "1"),
                ("age_ms", "1"),
                ("lag_ms", "1"),
                ("price", "1.5"),
                ("tick", "0.1"),
            ];
            assert!(parse(name, &all).is_ok(), "{form}");
        }
    }
}
