//! From the configuration to what sessions and the socket server are told.

use crate::config::{Config, Symbols, VenueConfig};
use crate::history::{HistorySettings, HistoryVenue};
use crate::session::Session;
use crate::session::binance::BinanceSession;
use crate::session::hyperliquid::HyperliquidSession;
use crate::session::settings::{Settings, SymbolChoice};
use codec::words::{Interval, Stream, Venue};

/// What a venue's session is told.
#[must_use]
pub fn settings(config: &Config, venue: &VenueConfig, seed: u64) -> Settings {
    Settings {
        websocket_url: venue.websocket_url.clone(),
        symbols: match &venue.symbols {
            Symbols::All => SymbolChoice::All,
            Symbols::List(names) => SymbolChoice::Listed(names.clone()),
        },
        streams: venue.channels.clone(),
        intervals: venue.intervals.clone(),
        account_address: venue.account_address.clone(),
        book_levels_max: config.retention.book_levels_max as usize,
        orderbook_depth: config.retention.orderbook_depth as usize,
        max_subscriptions: venue.rate_limits.max_subscriptions as usize,
        max_messages_per_second: venue.rate_limits.max_messages_per_second.into(),
        reconnect_delay_ms: venue.reconnect_delay_ms,
        max_reconnect_delay_ms: venue.max_reconnect_delay_ms,
        stale_after_ms: venue.stale_after_ms,
        seed: seed ^ u64::from(venue.venue.number()),
    }
}

/// The session of every enabled venue.
pub(super) fn sessions(config: &Config, seed: u64) -> Vec<Box<dyn Session + Send>> {
    config
        .enabled_venues()
        .map(|venue| -> Box<dyn Session + Send> {
            let settings = settings(config, venue, seed);
            match venue.venue {
                Venue::Binance => Box::new(BinanceSession::new(settings)),
                Venue::Hyperliquid => Box::new(HyperliquidSession::new(settings, venue.book)),
            }
        })
        .collect()
}

/// What the history of candles is told.
pub(super) fn history_settings(config: &Config, seed: u64) -> HistorySettings {
    let count = |interval| match interval {
        Interval::H4 => config.retention.candles_4h_count,
        Interval::H1 => config.retention.candles_1h_count,
        Interval::M15 => config.retention.candles_15m_count,
        _ => config.retention.candles_default_count,
    };
    let venues = config
        .enabled_venues()
        .filter(|venue| venue.channels.contains(&Stream::Candles))
        .map(|venue| HistoryVenue {
            venue: venue.venue,
            rest_url: venue.rest_url.clone(),
            intervals: venue.intervals.iter().map(|&interval| (interval, count(interval))).collect(),
        })
        .collect();
    HistorySettings { candles_path: config.retention.candles_path.clone(), venues, seed }
}

/// What the socket server is told.
pub(super) fn server_config(config: &Config, run_id: u64) -> ipc::ServerConfig {
    let venues = config.enabled_venues().map(server_venue).collect();
    let retention = &config.retention;
    let core = ipc::CoreConfig {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        retention: ipc::Retention {
            orderbook_depth: retention.orderbook_depth as usize,
            book_levels_max: retention.book_levels_max as usize,
            orderbook_snapshots_per_symbol: retention.orderbook_snapshots_per_symbol as usize,
            trades_per_symbol: retention.trades_per_symbol as usize,
            quotes_per_symbol: retention.quotes_per_symbol as usize,
            candles_4h_count: retention.candles_4h_count as usize,
            candles_1h_count: retention.candles_1h_count as usize,
            candles_15m_count: retention.candles_15m_count as usize,
            candles_default_count: retention.candles_default_count as usize,
        },
        clients_max: config.daemon.max_clients as usize,
        clients_buffer_bytes: (config.daemon.clients_buffer_mib as usize) << 20,
        // There is none in this version, whatever is configured.
        recorder: false,
        ..ipc::CoreConfig::new(run_id, venues)
    };
    ipc::ServerConfig {
        socket_mode: config.daemon.socket_mode,
        allow_uids: config.daemon.allow_uids.clone(),
        allow_gids: config.daemon.allow_gids.clone(),
        ..ipc::ServerConfig::new(core, &config.daemon.socket_path)
    }
}

fn server_venue(venue: &VenueConfig) -> ipc::VenueConfig {
    let mut streams = venue.channels.clone();
    if venue.account_address.is_some() {
        streams.push(Stream::Fills);
    }
    ipc::VenueConfig {
        venue: venue.venue,
        intervals: venue.intervals.clone(),
        streams,
        symbols: match &venue.symbols {
            Symbols::All => Vec::new(),
            Symbols::List(names) => names.clone(),
        },
    }
}
