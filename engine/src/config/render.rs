//! The effective configuration as TOML, which reads back as the same configuration.

use super::sections::LOG_LEVELS;
use super::venue::BOOK_WORDS;
use super::{Config, EngineWait, Symbols, VenueConfig, Wait};
use codec::words::Venue;
use std::fmt::{self, Display, Write};
use std::path::Path;
use toml::Value;

/// A string as TOML writes it.
fn quoted(text: impl Display) -> String {
    Value::String(text.to_string()).to_string()
}

fn quoted_item<T: Display>(item: &T) -> String {
    quoted(item)
}

fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn word<T: Copy + PartialEq>(words: &[(&str, T)], value: T) -> String {
    quoted(words.iter().find(|(_, candidate)| *candidate == value).map_or("", |(word, _)| word))
}

fn symbols(symbols: &Symbols) -> String {
    match symbols {
        Symbols::All => quoted("all"),
        Symbols::List(names) => list(names, quoted_item),
    }
}

fn optional(out: &mut String, key: &str, value: Option<String>) -> fmt::Result {
    value.map_or(Ok(()), |value| writeln!(out, "{key} = {value}"))
}

impl Config {
    /// The configuration with every value that holds, defaults included.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        // Writing into a string cannot fail.
        let _ = self.render(&mut out);
        out
    }

    fn render(&self, out: &mut String) -> fmt::Result {
        let daemon = &self.daemon;
        writeln!(out, "[daemon]")?;
        writeln!(out, "socket_path = {}", quoted(daemon.socket_path.display()))?;
        writeln!(out, "socket_mode = \"{:04o}\"", daemon.socket_mode)?;
        writeln!(out, "log_level = {}", word(&LOG_LEVELS, daemon.log_level))?;
        optional(out, "log_path", daemon.log_path.as_ref().map(|path| quoted(path.display())))?;
        writeln!(out, "max_clients = {}", daemon.max_clients)?;
        writeln!(out, "clients_buffer_mib = {}", daemon.clients_buffer_mib)?;
        optional(out, "allow_uids", daemon.allow_uids.as_ref().map(|ids| list(ids, u32::to_string)))?;
        optional(out, "allow_gids", daemon.allow_gids.as_ref().map(|ids| list(ids, u32::to_string)))?;

        let threads = &self.threads;
        writeln!(out, "\n[threads]")?;
        optional(out, "engine_core", threads.engine_core.map(|core| core.to_string()))?;
        optional(out, "ipc_core", threads.ipc_core.map(|core| core.to_string()))?;
        optional(out, "recorder_core", threads.recorder_core.map(|core| core.to_string()))?;
        writeln!(out, "engine_wait = {}", word(&EngineWait::WORDS, threads.engine_wait))?;
        writeln!(out, "wait = {}", word(&Wait::WORDS, threads.wait))?;

        let retention = &self.retention;
        writeln!(out, "\n[retention]")?;
        writeln!(out, "candles_4h_count = {}", retention.candles_4h_count)?;
        writeln!(out, "candles_1h_count = {}", retention.candles_1h_count)?;
        writeln!(out, "candles_15m_count = {}", retention.candles_15m_count)?;
        writeln!(out, "candles_default_count = {}", retention.candles_default_count)?;
        let candles_path = retention.candles_path.as_deref().unwrap_or(Path::new(""));
        writeln!(out, "candles_path = {}", quoted(candles_path.display()))?;
        writeln!(out, "orderbook_depth = {}", retention.orderbook_depth)?;
        writeln!(out, "book_levels_max = {}", retention.book_levels_max)?;
        writeln!(out, "orderbook_snapshots_per_symbol = {}", retention.orderbook_snapshots_per_symbol)?;
        writeln!(out, "trades_per_symbol = {}", retention.trades_per_symbol)?;
        writeln!(out, "quotes_per_symbol = {}", retention.quotes_per_symbol)?;

        for venue in &self.venues {
            render_venue(venue, out)?;
        }
        self.render_outlets(out)?;

        let health = &self.health;
        writeln!(out, "\n[health]")?;
        writeln!(out, "bind = {}", quoted(health.bind))?;
        writeln!(out, "metrics_port = {}", health.metrics_port)?;
        writeln!(out, "watchdog_interval_ms = {}", health.watchdog_interval_ms)
    }

    fn render_outlets(&self, out: &mut String) -> fmt::Result {
        if let Some(recorder) = &self.recorder {
            writeln!(out, "\n[recorder]")?;
            writeln!(out, "enabled = {}", recorder.enabled)?;
            writeln!(out, "journal_path = {}", quoted(recorder.journal_path.display()))?;
            if !recorder.symbols.is_empty() {
                let of_venue = |(venue, chosen): &(Venue, Symbols)| format!("{venue} = {}", symbols(chosen));
                let venues: Vec<_> = recorder.symbols.iter().map(of_venue).collect();
                writeln!(out, "symbols = {{ {} }}", venues.join(", "))?;
            }
            writeln!(out, "channels = {}", list(&recorder.channels, quoted_item))?;
            writeln!(out, "segment_mib = {}", recorder.segment_mib)?;
            writeln!(out, "sync_ms = {}", recorder.sync_ms)?;
            writeln!(out, "restart_fill_minutes = {}", recorder.restart_fill_minutes)?;
            writeln!(out, "record_raw = {}", recorder.record_raw)?;
            writeln!(out, "max_disk_gib = {}", recorder.max_disk_gib)?;
        }
        if let Some(shm) = &self.shm {
            writeln!(out, "\n[shm]")?;
            writeln!(out, "enabled = {}", shm.enabled)?;
            writeln!(out, "path = {}", quoted(shm.path.display()))?;
            writeln!(out, "ring_mib = {}", shm.ring_mib)?;
        }
        Ok(())
    }
}

fn render_venue(venue: &VenueConfig, out: &mut String) -> fmt::Result {
    let name = venue.venue;
    writeln!(out, "\n[venues.{name}]")?;
    writeln!(out, "enabled = {}", venue.enabled)?;
    writeln!(out, "websocket_url = {}", quoted(&venue.websocket_url))?;
    writeln!(out, "rest_url = {}", quoted(&venue.rest_url))?;
    writeln!(out, "symbols = {}", symbols(&venue.symbols))?;
    writeln!(out, "channels = {}", list(&venue.channels, quoted_item))?;
    writeln!(out, "intervals = {}", list(&venue.intervals, quoted_item))?;
    if name == Venue::Hyperliquid {
        writeln!(out, "book = {}", word(&BOOK_WORDS, venue.book))?;
    }
    optional(out, "account_address", venue.account_address.as_ref().map(quoted))?;
    optional(out, "tls_ca_file", venue.tls_ca_file.as_ref().map(|path| quoted(path.display())))?;
    optional(out, "stale_after_ms", venue.stale_after_ms.map(|ms| ms.to_string()))?;
    writeln!(out, "reconnect_delay_ms = {}", venue.reconnect_delay_ms)?;
    writeln!(out, "max_reconnect_delay_ms = {}", venue.max_reconnect_delay_ms)?;
    let limits = &venue.rate_limits;
    writeln!(out, "\n[venues.{name}.rate_limits]")?;
    writeln!(out, "max_subscriptions = {}", limits.max_subscriptions)?;
    writeln!(out, "max_messages_per_second = {}", limits.max_messages_per_second)?;
    writeln!(out, "rest_weight_per_minute = {}", limits.rest_weight_per_minute)
}
