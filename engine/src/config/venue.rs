//! The configuration of one venue.

use super::error::ConfigError;
use super::section::Section;
use crate::session::hyperliquid::BookSources;
use crate::url::Url;
use codec::limits::NAME_BYTES_MAX;
use codec::words::{Interval, Stream, Venue};
use std::path::PathBuf;

/// Which instruments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Symbols {
    /// Whatever the venue lists and this daemon carries by default.
    All,
    /// These, by the venue's own names.
    List(Vec<String>),
}

/// Which of Hyperliquid's book feeds make its book: five levels every half second, twenty every five
/// seconds, or both, fused.
pub(super) const BOOK_WORDS: [(&str, BookSources); 3] =
    [("fast", BookSources::Fast), ("default", BookSources::Default), ("both", BookSources::Both)];

/// What we allow ourselves at a venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimits {
    /// Hyperliquid: over all connections; Binance: per connection.
    pub max_subscriptions: u32,
    /// Our control messages per second, averaged.
    pub max_messages_per_second: u32,
    /// REST weight per minute.
    pub rest_weight_per_minute: u32,
}

/// A venue's section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueConfig {
    /// The venue.
    pub venue: Venue,
    /// Whether it is used.
    pub enabled: bool,
    /// WebSocket URL without a trailing slash; Binance: without `/public` or `/market`.
    pub websocket_url: String,
    /// REST URL without a trailing slash.
    pub rest_url: String,
    /// Instruments carried.
    pub symbols: Symbols,
    /// Streams carried: of orderbook, quotes, trades, candles and funding, in that order, each once.
    pub channels: Vec<Stream>,
    /// Candle intervals carried, shortest first, each once.
    pub intervals: Vec<Interval>,
    /// Hyperliquid: which book feeds. Binance: meaningless.
    pub book: BookSources,
    /// Hyperliquid: account whose fills are carried.
    pub account_address: Option<String>,
    /// PEM file that replaces the system's roots.
    pub tls_ca_file: Option<PathBuf>,
    /// Silence after which a stream is stale, instead of the per-stream defaults.
    pub stale_after_ms: Option<u64>,
    /// First wait before a reconnect.
    pub reconnect_delay_ms: u64,
    /// Longest wait before a reconnect.
    pub max_reconnect_delay_ms: u64,
    /// What we allow ourselves.
    pub rate_limits: RateLimits,
}

struct Defaults {
    websocket_url: &'static str,
    rest_url: &'static str,
    symbols: [&'static str; 2],
    limits: RateLimits,
    /// What the venue itself allows (2026-11): more is accepted with a warning.
    venue_limits: RateLimits,
}

const fn limits(subscriptions: u32, messages: u32, weight: u32) -> RateLimits {
    RateLimits {
        max_subscriptions: subscriptions,
        max_messages_per_second: messages,
        rest_weight_per_minute: weight,
    }
}

fn defaults(venue: Venue) -> Defaults {
    match venue {
        Venue::Hyperliquid => Defaults {
            websocket_url: "wss://api.hyperliquid.xyz/ws",
            rest_url: "https://api.hyperliquid.xyz",
            symbols: ["BTC", "ETH"],
            limits: limits(1000, 25, 1000),
            venue_limits: limits(1000, 33, 1200),
        },
        Venue::Binance => Defaults {
            websocket_url: "wss://fstream.binance.com",
            rest_url: "https://fapi.binance.com",
            symbols: ["BTCUSDT", "ETHUSDT"],
            limits: limits(1024, 5, 1800),
            venue_limits: limits(1024, 10, 2400),
        },
    }
}

/// The channels a configuration may name, in the order they are kept.
pub(super) const CHANNELS: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];

/// The candle intervals a venue has, shortest first.
#[must_use]
pub fn venue_intervals(venue: Venue) -> Vec<Interval> {
    // Hyperliquid has every interval but six hours (venue documentation, 2026-09).
    let has = |interval: &Interval| venue == Venue::Binance || *interval != Interval::H6;
    Interval::ALL.iter().copied().filter(has).collect()
}

impl VenueConfig {
    /// The section of `venue` as if it were there and empty.
    #[must_use]
    pub fn defaults(venue: Venue) -> Self {
        let defaults = defaults(venue);
        Self {
            venue,
            enabled: true,
            websocket_url: defaults.websocket_url.to_owned(),
            rest_url: defaults.rest_url.to_owned(),
            symbols: Symbols::List(defaults.symbols.map(str::to_owned).to_vec()),
            channels: CHANNELS.to_vec(),
            intervals: vec![Interval::M15, Interval::H1, Interval::H4],
            book: BookSources::Both,
            account_address: None,
            tls_ca_file: None,
            stale_after_ms: None,
            reconnect_delay_ms: 1000,
            max_reconnect_delay_ms: 30_000,
            rate_limits: defaults.limits,
        }
    }

    pub(super) fn read(
        venue: Venue,
        mut section: Section<'_>,
        warnings: &mut Vec<String>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::defaults(venue);
        config.enabled = section.boolean("enabled", true)?;
        config.websocket_url = websocket_url(venue, &config.websocket_url, &mut section, warnings)?;
        config.rest_url = url("rest_url", &config.rest_url, ["https", "http"], &mut section, warnings)?;
        if let Some(symbols) = symbols("symbols", &mut section, warnings)? {
            config.symbols = symbols;
        }
        if let Some(channels) = channels("channels", &mut section, warnings)? {
            config.channels = channels;
        }
        config.intervals = intervals(venue, config.intervals, &mut section)?;
        if venue == Venue::Hyperliquid {
            config.book = section.choice("book", config.book, &BOOK_WORDS)?;
            config.account_address = account_address(&mut section)?;
        }
        config.tls_ca_file = ca_file(&mut section)?;
        config.stale_after_ms = section.optional_integer("stale_after_ms", 100..=3_600_000)?;
        config.reconnect_delay_ms =
            section.integer("reconnect_delay_ms", config.reconnect_delay_ms, 10..=600_000)?;
        config.max_reconnect_delay_ms =
            section.integer("max_reconnect_delay_ms", config.max_reconnect_delay_ms, 10..=3_600_000)?;
        if config.max_reconnect_delay_ms < config.reconnect_delay_ms {
            return Err(section.refuse(
                "max_reconnect_delay_ms",
                config.max_reconnect_delay_ms,
                format!("at least reconnect_delay_ms, which is {}", config.reconnect_delay_ms),
            ));
        }
        if let Some(limits) = section.section("rate_limits")? {
            config.rate_limits = rate_limits(venue, config.rate_limits, limits, warnings)?;
        }
        for (what, empty) in [
            ("symbols", config.symbols == Symbols::List(Vec::new())),
            ("channels", config.channels.is_empty()),
            ("intervals", config.intervals.is_empty() && config.channels.contains(&Stream::Candles)),
        ] {
            if empty && config.enabled {
                warnings.push(format!("{} is empty: nothing of it is subscribed", section.key(what)));
            }
        }
        section.finish()?;
        Ok(config)
    }
}

fn url(
    key: &'static str,
    default: &str,
    schemes: [&str; 2],
    section: &mut Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<String, ConfigError> {
    let expected = format!("a URL beginning with {}:// or {}://", schemes[0], schemes[1]);
    let text = section.text(key, default, &expected)?;
    let url = Url::parse(&text)
        .map_err(|error| section.refuse(key, format!("\"{text}\""), format!("{expected}: {error}")))?;
    if !schemes.contains(&url.scheme) {
        return Err(section.refuse(key, format!("\"{text}\""), expected));
    }
    if !url.is_encrypted() && !url.is_loopback() {
        warnings.push(format!(
            "{} = \"{text}\" is not encrypted: anybody on the way can read and change the data",
            section.key(key)
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn websocket_url(
    venue: Venue,
    default: &str,
    section: &mut Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<String, ConfigError> {
    let url = url("websocket_url", default, ["wss", "ws"], section, warnings)?;
    if venue != Venue::Binance {
        return Ok(url);
    }
    for tail in ["/ws", "/stream"] {
        if let Some(base) = url.strip_suffix(tail) {
            warnings.push(format!(
                "{} = \"{url}\": {tail} is stripped, since /public and /market are appended",
                section.key("websocket_url")
            ));
            return Ok(base.trim_end_matches('/').to_owned());
        }
    }
    Ok(url)
}

/// Names are sent inside JSON and stand in logs and file names: no quotes, no white space.
fn is_symbol(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.chars().any(|c| c.is_control() || c.is_whitespace() || c == '"' || c == '\\')
}

pub(super) fn symbols(
    key: &'static str,
    section: &mut Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Symbols>, ConfigError> {
    let Some(list) = section.all_or_list(key, "symbols such as [\"BTC\"]")? else { return Ok(None) };
    let Some(list) = list else { return Ok(Some(Symbols::All)) };
    let mut symbols: Vec<String> = Vec::with_capacity(list.len());
    let mut seen = std::collections::HashSet::new();
    for name in list {
        if !is_symbol(&name) {
            return Err(section.refuse(
                key,
                format!("{name:?}"),
                format!("the venue's own name: 1 to {NAME_BYTES_MAX} bytes without white space or quotes"),
            ));
        }
        if seen.insert(name.clone()) {
            symbols.push(name);
        } else {
            warnings.push(format!("{}: {name} is named twice", section.key(key)));
        }
    }
    Ok(Some(Symbols::List(symbols)))
}

pub(super) fn channels(
    key: &'static str,
    section: &mut Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<Option<Vec<Stream>>, ConfigError> {
    let Some(list) = section.all_or_list(key, "channels such as [\"orderbook\"]")? else { return Ok(None) };
    let Some(list) = list else { return Ok(Some(CHANNELS.to_vec())) };
    for name in &list {
        if name == Stream::Fills.as_str() {
            warnings
                .push(format!("{}: fills need no channel; they come with account_address", section.key(key)));
        } else if !CHANNELS.iter().any(|channel| channel.as_str() == name) {
            let words: Vec<_> = CHANNELS.iter().map(|channel| channel.as_str()).collect();
            return Err(section.refuse(
                key,
                format!("{name:?}"),
                format!("one of {}{}", words.join(", "), nearest(name, &words)),
            ));
        }
    }
    let wanted = |channel: &Stream| list.iter().any(|name| name == channel.as_str());
    Ok(Some(CHANNELS.iter().copied().filter(wanted).collect()))
}

fn intervals(
    venue: Venue,
    default: Vec<Interval>,
    section: &mut Section<'_>,
) -> Result<Vec<Interval>, ConfigError> {
    let Some(list) = section.all_or_list("intervals", "intervals such as [\"1h\"]")? else {
        return Ok(default);
    };
    let all = venue_intervals(venue);
    let Some(list) = list else { return Ok(all) };
    for name in &list {
        if !all.iter().any(|interval| interval.as_str() == name) {
            let words: Vec<_> = all.iter().map(|interval| interval.as_str()).collect();
            return Err(section.refuse(
                "intervals",
                format!("{name:?}"),
                format!("one that {venue} has: {}", words.join(", ")),
            ));
        }
    }
    Ok(all.into_iter().filter(|interval| list.iter().any(|name| name == interval.as_str())).collect())
}

fn nearest(name: &str, words: &[&str]) -> String {
    words
        .iter()
        .map(|word| (strsim::damerau_levenshtein(name, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 2).max(2))
        .min()
        .map(|(_, word)| format!(" (did you mean {word}?)"))
        .unwrap_or_default()
}

fn account_address(section: &mut Section<'_>) -> Result<Option<String>, ConfigError> {
    const EXPECTED: &str = "0x and 40 hexadecimal digits, in quotes";
    let Some(value) = section.take("account_address") else { return Ok(None) };
    let good = |text: &&str| {
        text.strip_prefix("0x")
            .is_some_and(|hex| hex.len() == 40 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match value.as_str().filter(good) {
        Some(address) => Ok(Some(address.to_ascii_lowercase())),
        None => Err(section.refuse("account_address", value, EXPECTED)),
    }
}

fn ca_file(section: &mut Section<'_>) -> Result<Option<PathBuf>, ConfigError> {
    const EXPECTED: &str = "the path of a PEM file with certificates";
    let Some(text) = section.optional_text("tls_ca_file", EXPECTED)? else { return Ok(None) };
    match std::fs::File::open(&text) {
        Ok(_) => Ok(Some(text.into())),
        Err(error) => Err(section.refuse(
            "tls_ca_file",
            format!("{text:?}"),
            format!("{EXPECTED} that can be read: {error}"),
        )),
    }
}

fn rate_limits(
    venue: Venue,
    default: RateLimits,
    mut section: Section<'_>,
    warnings: &mut Vec<String>,
) -> Result<RateLimits, ConfigError> {
    let venue_limits = defaults(venue).venue_limits;
    let mut read = |key, default: u32, most: u32| -> Result<u32, ConfigError> {
        let value = section.integer(key, default.into(), 1..=100_000)? as u32;
        if value > most {
            warnings.push(format!(
                "{} = {value} is more than the {most} that {venue} is known to allow",
                section.key(key)
            ));
        }
        Ok(value)
    };
    let limits = RateLimits {
        max_subscriptions: read(
            "max_subscriptions",
            default.max_subscriptions,
            venue_limits.max_subscriptions,
        )?,
        max_messages_per_second: read(
            "max_messages_per_second",
            default.max_messages_per_second,
            venue_limits.max_messages_per_second,
        )?,
        rest_weight_per_minute: read(
            "rest_weight_per_minute",
            default.rest_weight_per_minute,
            venue_limits.rest_weight_per_minute,
        )?,
    };
    section.finish()?;
    Ok(limits)
}
