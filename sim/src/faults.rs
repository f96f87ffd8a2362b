//! Everything that can be made to go wrong on command, and the text form a control request or a scenario writes it in.
//!
//! A new fault is a variant here, a line in [`Fault::parse`], and the place in a venue that obeys it.

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

impl Fault {
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

/// The faults of a venue that last: what is being withheld, doubled, crossed or silenced right now.
#[derive(Default)]
pub struct Disturbances {
    silent_streams: HashMap<String, i64>,
    silent_symbols: HashMap<String, i64>,
    broken_depth: HashMap<(String, String), u32>,
    broken_depth_symbols: HashMap<String, u32>,
    dropped_trades: HashMap<String, u32>,
    crossed: HashMap<String, u32>,
    doubled: HashMap<String, u32>,
    stale: Option<(Option<String>, u32, i64)>,
}

/// Takes one from a count; true if there was one.
fn take(counts: &mut HashMap<String, u32>, key: &str) -> bool {
    let Some(count) = counts.get_mut(key) else { return false };
    *count -= 1;
    if *count == 0 {
        counts.remove(key);
    }
    true
}

fn give(counts: &mut HashMap<String, u32>, key: &str, count: u32) {
    if count > 0 {
        *counts.entry(key.to_owned()).or_default() += count;
    }
}

impl Disturbances {
    /// Begins a lasting fault; the others are not for this type and change nothing.
    pub fn begin(&mut self, fault: &Fault, now_ms: i64) {
        match fault {
            Fault::SilenceStream { stream, for_ms } => {
                self.silent_streams.insert(stream.clone(), now_ms + for_ms);
            }
            Fault::SilenceSymbol { symbol, for_ms } => {
                self.silent_symbols.insert(symbol.clone(), now_ms + for_ms);
            }
            Fault::BreakDepthSequence { symbol, events } => {
                self.broken_depth.retain(|(broken, _), _| broken != symbol);
                self.broken_depth_symbols.insert(symbol.clone(), *events);
            }
            Fault::DropTrades { symbol, count } => give(&mut self.dropped_trades, symbol, *count),
            Fault::CrossedBook { symbol, frames } => give(&mut self.crossed, symbol, *frames),
            Fault::DuplicateFrames { symbol, frames } => give(&mut self.doubled, symbol, *frames),
            Fault::StaleSnapshots { symbol, requests, age_ms } => {
                self.stale = (*requests > 0).then(|| (symbol.clone(), *requests, *age_ms));
            }
            Fault::Cut { .. } | Fault::RefuseConnections { .. } | Fault::DelayRest { .. } => {}
        }
    }

    /// Whether nothing may be sent on this stream of this symbol now.
    pub fn is_silent(&self, stream: &str, symbol: &str, now_ms: i64) -> bool {
        let until = |map: &HashMap<String, i64>, key: &str| map.get(key).is_some_and(|until| now_ms < *until);
        until(&self.silent_streams, stream) || until(&self.silent_symbols, symbol)
    }

    /// Whether the next event of this diff depth stream is withheld: each stream loses as many.
    pub fn breaks_depth(&mut self, symbol: &str, stream: &str) -> bool {
        let Some(&events) = self.broken_depth_symbols.get(symbol) else { return false };
        let lost = self.broken_depth.entry((symbol.to_owned(), stream.to_owned())).or_default();
        *lost += 1;
        *lost <= events
    }

    /// Whether the next aggregate trade is withheld.
    pub fn drops_trade(&mut self, symbol: &str) -> bool {
        take(&mut self.dropped_trades, symbol)
    }

    /// Whether the next book frame of a symbol is to be crossed.
    pub fn crosses(&mut self, symbol: &str) -> bool {
        take(&mut self.crossed, symbol)
    }

    /// Whether the next frame of a symbol is to be sent twice.
    pub fn doubles(&mut self, symbol: &str) -> bool {
        take(&mut self.doubled, symbol)
    }

    /// How old the next snapshot of a symbol is to be, if it is to come from a cache.
    pub fn stale_age_ms(&mut self, symbol: &str) -> Option<i64> {
        let (wanted, requests, age_ms) = self.stale.as_mut()?;
        if wanted.as_deref().is_some_and(|wanted| wanted != symbol) {
            return None;
        }
        let age_ms = *age_ms;
        *requests -= 1;
        if *requests == 0 {
            self.stale = None;
        }
        Some(age_ms)
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
            let all = [("symbol", "X"), ("stream", "x"), ("for_ms", "1"), ("delay_ms", "1"), ("age_ms", "1")];
            assert!(parse(name, &all).is_ok(), "{form}");
        }
    }

    #[test]
    fn counts_run_out_and_each_depth_stream_loses_its_own() {
        let mut now = Disturbances::default();
        now.begin(&Fault::BreakDepthSequence { symbol: "X".to_owned(), events: 1 }, 0);
        assert!(now.breaks_depth("X", "x@depth") && !now.breaks_depth("X", "x@depth"));
        assert!(now.breaks_depth("X", "x@depth@100ms"));
        now.begin(&Fault::DropTrades { symbol: "X".to_owned(), count: 2 }, 0);
        assert!(now.drops_trade("X") && now.drops_trade("X") && !now.drops_trade("X"));
        now.begin(&Fault::SilenceSymbol { symbol: "X".to_owned(), for_ms: 10 }, 100);
        assert!(now.is_silent("any", "X", 109) && !now.is_silent("any", "X", 110));
    }
}
