//! What the server is told by the configuration.

use crate::limits;
use codec::words::{Interval, Stream, Venue};
use std::path::PathBuf;

/// A venue that is switched on, and what of it is carried.
#[derive(Clone, Debug)]
pub struct VenueConfig {
    /// The venue.
    pub venue: Venue,
    /// Streams it carries: the configured channels, and fills where an account is configured.
    pub streams: Vec<Stream>,
    /// Candle intervals it carries.
    pub intervals: Vec<Interval>,
    /// Symbols asked for by name; empty for `"all"`. They can be subscribed to before the venue has told
    /// its instruments.
    pub symbols: Vec<String>,
}

/// How much history is kept, per symbol.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Depth served at most, and the largest a subscription may ask for.
    pub orderbook_depth: usize,
    /// Levels a side kept.
    pub book_levels_max: usize,
    /// Once-a-second snapshots kept.
    pub orderbook_snapshots_per_symbol: usize,
    /// Trades kept.
    pub trades_per_symbol: usize,
    /// Quotes kept.
    pub quotes_per_symbol: usize,
    /// Closed four-hour candles kept.
    pub candles_4h_count: usize,
    /// Closed one-hour candles kept.
    pub candles_1h_count: usize,
    /// Closed quarter-hour candles kept.
    pub candles_15m_count: usize,
    /// Closed candles of any other interval kept.
    pub candles_default_count: usize,
}

impl Retention {
    /// Closed candles of an interval kept.
    #[must_use]
    pub const fn candles_count(&self, interval: Interval) -> usize {
        match interval {
            Interval::H4 => self.candles_4h_count,
            Interval::H1 => self.candles_1h_count,
            Interval::M15 => self.candles_15m_count,
            _ => self.candles_default_count,
        }
    }
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            orderbook_depth: 1000,
            book_levels_max: codec::limits::BOOK_LEVELS_DEFAULT,
            orderbook_snapshots_per_symbol: 100,
            trades_per_symbol: 1000,
            quotes_per_symbol: 1000,
            candles_4h_count: 1200,
            candles_1h_count: 2000,
            candles_15m_count: 2000,
            candles_default_count: 1500,
        }
    }
}

/// The protocol's part of the configuration: everything but the socket.
#[derive(Clone, Debug)]
pub struct CoreConfig {
    /// The daemon's name in `hello`.
    pub server: String,
    /// The daemon's version.
    pub version: String,
    /// This run's id.
    pub run_id: u64,
    /// Venues that are switched on.
    pub venues: Vec<VenueConfig>,
    /// How much is kept.
    pub retention: Retention,
    /// Clients at once.
    pub clients_max: usize,
    /// Bytes of the shared log; a [`crate::Server`] makes it at least [`limits::LOG_BYTES_MIN`].
    pub clients_buffer_bytes: usize,
    /// Whether a recorder is configured.
    pub recorder: bool,
}

impl CoreConfig {
    /// The defaults, with these venues.
    #[must_use]
    pub fn new(run_id: u64, venues: Vec<VenueConfig>) -> Self {
        Self {
            server: "slipstream-mktdata".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            run_id,
            venues,
            retention: Retention::default(),
            clients_max: limits::CLIENTS_MAX_DEFAULT,
            clients_buffer_bytes: limits::CLIENTS_BUFFER_MIB_DEFAULT << 20,
            recorder: false,
        }
    }
}

/// Everything.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The protocol's part.
    pub core: CoreConfig,
    /// Where clients connect. Its directory must exist.
    pub socket_path: PathBuf,
    /// Its permission bits.
    pub socket_mode: u32,
    /// Users let in, if given; see `allow_gids`.
    pub allow_uids: Option<Vec<u32>>,
    /// Groups let in (the process's primary one), if given. With either list, whoever is in neither is
    /// refused.
    pub allow_gids: Option<Vec<u32>>,
}

impl ServerConfig {
    /// A socket that its owner and group may use.
    #[must_use]
    pub fn new(core: CoreConfig, socket_path: impl Into<PathBuf>) -> Self {
        Self { core, socket_path: socket_path.into(), socket_mode: 0o660, allow_uids: None, allow_gids: None }
    }
}
