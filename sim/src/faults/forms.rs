//! The text form of faults: `name key=value …`, as a control request, a scenario or a command line writes it.

use super::{CutHow, Fault, MalformedHow, RefuseHow, StrangeOrder, TlsHow};
use crate::decimal::{SCALE_E8, parse_e8};
use crate::limits::{EXTRA_FRAMES_MAX, OVERSIZE_BYTES_MAX};
use crate::market::{Interval, NewListing};
use crate::protocol::Route;
use std::collections::HashMap;

/// The code of a close frame at a planned restart.
const CLOSE_NORMAL: u16 = 1000;

const CUTS: &[(&str, CutHow)] = &[
    ("drop", CutHow::Drop),
    ("close", CutHow::Close),
    ("reset", CutHow::Reset),
    ("mid_frame", CutHow::MidFrame),
    ("mid_record", CutHow::MidRecord),
];
const TLS_FAILURES: &[(&str, TlsHow)] =
    &[("garbage", TlsHow::Garbage), ("wrong_name", TlsHow::WrongName), ("expired", TlsHow::Expired)];
const MALFORMED: &[(&str, MalformedHow)] = &[
    ("truncated", MalformedHow::Truncated),
    ("not_json", MalformedHow::NotJson),
    ("wrong_type", MalformedHow::WrongType),
    ("not_utf8", MalformedHow::NotUtf8),
];
const ORDERS: &[(&str, StrangeOrder)] =
    &[("reversed", StrangeOrder::Reversed), ("shuffled", StrangeOrder::Shuffled)];

/// The names of the faults as [`Fault::parse`] takes them, with their parameters.
pub const FAULT_FORMS: &[&str] = &[
    "cut [route=public|market|ws] [how=close|drop|reset|mid_frame|mid_record] [code=N]",
    "day_cut [route=public|market|ws]",
    "refuse_connections for_ms=N [how=close|refuse]",
    "tls_failure for_ms=N [how=garbage|wrong_name|expired]",
    "dns_failure for_ms=N",
    "drip for_ms=N bytes_per_s=N",
    "fragment_frames [frames=N]",
    "binary_frames [frames=N]",
    "oversize_frame bytes=N",
    "malformed_frames [frames=N] [symbol=S] [how=truncated|not_json|wrong_type|not_utf8]",
    "reorder_frames symbol=S [frames=N]",
    "new_fields [frames=N]",
    "new_channel [frames=N]",
    "new_values [frames=N]",
    "key_order for_ms=N [order=reversed|shuffled]",
    "zero_price_trades symbol=S [count=N]",
    "empty_rate symbol=S for_ms=N",
    "null_sides symbol=S [frames=N]",
    "slow_snapshots delay_ms=N [requests=N] [symbol=S]",
    "rest_status status=429|418|500|503 for_ms=N [retry_after_s=N]",
    "rest_garbage [requests=N]",
    "clock_step by_ms=N [for_ms=N]",
    "change_cadence stream=S period_ms=N for_ms=N",
    "lose_acks [count=N]",
    "acked_and_silent [count=N]",
    "greeting [connections=N]",
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

/// The form of a fault by its name.
pub fn fault_form(name: &str) -> Option<&'static str> {
    FAULT_FORMS.iter().find(|form| form.split(' ').next() == Some(name)).copied()
}

/// The parameters that a form has.
pub fn form_keys(form: &str) -> impl Iterator<Item = &str> {
    form.split(' ').skip(1).filter_map(|part| part.trim_start_matches('[').split('=').next())
}

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

    fn optional<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.0.contains_key(name).then(|| self.number(name, None)).transpose()
    }

    fn decimal(&self, name: &str, default: Option<i64>) -> Result<i64, String> {
        match (self.0.get(name), default) {
            (Some(text), _) => parse_e8(text).ok_or_else(|| format!("{name}={text} is not a decimal")),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!("{name} is missing")),
        }
    }

    /// A number of milliseconds or the like that may not be negative.
    fn span(&self, name: &str) -> Result<i64, String> {
        let value: i64 = self.number(name, None)?;
        if value < 0 { Err(format!("{name}={value} is less than 0")) } else { Ok(value) }
    }

    /// Which of several words is given; the first is what it is if none is.
    fn one_of<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<T, String> {
        let Some(given) = self.0.get(name) else { return Ok(words[0].1) };
        words.iter().find(|(word, _)| word == given).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            format!("{name}={given}; there are {}", names.join(", "))
        })
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
    /// Reads a fault from its name and parameters; an error says what is wrong and what would be right.
    pub fn parse(name: &str, parameters: &HashMap<String, String>) -> Result<Self, String> {
        let Some(form) = fault_form(name) else {
            let names: Vec<&str> = FAULT_FORMS.iter().filter_map(|form| form.split(' ').next()).collect();
            return Err(format!("no fault {name:?}; there are {}", names.join(", ")));
        };
        Self::parse_known(name, &Parameters(parameters))
            .map_err(|reason| format!("{name}: {reason}; right is: {form}"))
    }

    fn parse_known(name: &str, given: &Parameters) -> Result<Self, String> {
        Ok(match name {
            "cut" => Self::Cut {
                route: route(given)?,
                how: given.one_of("how", CUTS)?,
                code: given.number("code", Some(CLOSE_NORMAL))?,
            },
            "day_cut" => Self::DayCut { route: route(given)? },
            "refuse_connections" => Self::RefuseConnections {
                for_ms: given.span("for_ms")?,
                how: given.one_of("how", &[("close", RefuseHow::Close), ("refuse", RefuseHow::Refuse)])?,
            },
            "tls_failure" => {
                Self::TlsFailure { for_ms: given.span("for_ms")?, how: given.one_of("how", TLS_FAILURES)? }
            }
            "dns_failure" => Self::DnsFailure { for_ms: given.span("for_ms")? },
            "drip" => Self::Drip {
                for_ms: given.span("for_ms")?,
                bytes_per_s: match given.number("bytes_per_s", None)? {
                    0 => return Err("bytes_per_s=0 is no speed; silence_stream sends nothing".to_owned()),
                    bytes_per_s => bytes_per_s,
                },
            },
            "fragment_frames" => Self::FragmentFrames { frames: given.number("frames", Some(1))? },
            "binary_frames" => Self::BinaryFrames { frames: given.number("frames", Some(1))? },
            "oversize_frame" => match given.number("bytes", None)? {
                bytes if bytes > OVERSIZE_BYTES_MAX => {
                    return Err(format!("bytes={bytes} is more than {OVERSIZE_BYTES_MAX}"));
                }
                bytes => Self::OversizeFrame { bytes },
            },
            "malformed_frames" => Self::MalformedFrames {
                frames: given.number("frames", Some(1))?,
                symbol: given.text("symbol").ok(),
                how: given.one_of("how", MALFORMED)?,
            },
            "reorder_frames" => Self::ReorderFrames {
                symbol: given.text("symbol")?,
                frames: given.number("frames", Some(1))?,
            },
            "new_fields" => Self::NewFields { frames: given.number("frames", Some(1))? },
            "new_channel" => Self::NewChannel { frames: extra_frames(given)? },
            "new_values" => Self::NewValues { frames: extra_frames(given)? },
            "key_order" => {
                Self::KeyOrder { for_ms: given.span("for_ms")?, order: given.one_of("order", ORDERS)? }
            }
            "zero_price_trades" => Self::ZeroPriceTrades {
                symbol: given.text("symbol")?,
                count: given.number("count", Some(1))?,
            },
            "empty_rate" => Self::EmptyRate { symbol: given.text("symbol")?, for_ms: given.span("for_ms")? },
            "null_sides" => {
                Self::NullSides { symbol: given.text("symbol")?, frames: given.number("frames", Some(1))? }
            }
            "slow_snapshots" => Self::SlowSnapshots {
                delay_ms: given.span("delay_ms")?,
                requests: given.number("requests", Some(1))?,
                symbol: given.text("symbol").ok(),
            },
            "rest_status" => Self::RestStatus {
                status: match given.number("status", None)? {
                    status @ (418 | 429 | 500 | 503) => status,
                    other => return Err(format!("status={other}; there are 418, 429, 500 and 503")),
                },
                for_ms: given.span("for_ms")?,
                retry_after_s: given.optional("retry_after_s")?,
            },
            "rest_garbage" => Self::RestGarbage { requests: given.number("requests", Some(1))? },
            "clock_step" => {
                Self::ClockStep { by_ms: given.number("by_ms", None)?, for_ms: given.optional("for_ms")? }
            }
            "change_cadence" => Self::ChangeCadence {
                stream: given.text("stream")?,
                period_ms: given.span("period_ms")?,
                for_ms: given.span("for_ms")?,
            },
            "lose_acks" => Self::LoseAcks { count: given.number("count", Some(1))? },
            "acked_and_silent" => Self::AckedAndSilent { count: given.number("count", Some(1))? },
            "greeting" => Self::Greeting { connections: given.number("connections", Some(1))? },
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

/// How many frames are sent at once, on each connection.
fn extra_frames(given: &Parameters) -> Result<u32, String> {
    match given.number("frames", Some(1))? {
        frames if frames > EXTRA_FRAMES_MAX => {
            Err(format!("frames={frames} is more than {EXTRA_FRAMES_MAX} at once"))
        }
        frames => Ok(frames),
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
            Ok(Fault::Cut { route: Some(Route::Public), how: CutHow::Reset, code: 1000 })
        );
        assert!(parse("cut", &[("how", "gently")]).is_err_and(|text| text.contains("drop, close, reset")));
        assert!(parse("cot", &[]).is_err_and(|text| text.contains("refuse_connections")));
        assert!(
            parse("silence_stream", &[("for_ms", "9")]).is_err_and(|text| text.contains("stream is missing"))
        );
        for (name, parameters, told) in [
            ("drip", [("for_ms", "9"), ("bytes_per_s", "0")], "no speed"),
            ("oversize_frame", [("bytes", "99999999999"), ("x", "")], "more than"),
            ("rest_status", [("for_ms", "9"), ("status", "404")], "418, 429, 500 and 503"),
            ("tls_failure", [("for_ms", "-9"), ("how", "garbage")], "less than 0"),
            ("key_order", [("for_ms", "9"), ("order", "sorted")], "reversed, shuffled"),
            ("new_channel", [("frames", "9999"), ("x", "")], "at once"),
        ] {
            let told_what = parse(name, &parameters);
            assert!(told_what.as_ref().is_err_and(|text| text.contains(told)), "{told_what:?}");
        }
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
                ("bytes_per_s", "1"),
                ("bytes", "1"),
                ("period_ms", "1"),
                ("status", "429"),
                ("by_ms", "-1"),
            ];
            assert!(parse(name, &all).is_ok(), "{form}");
        }
    }
}
