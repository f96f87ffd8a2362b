//! What a session is told to carry: the venue's part of the configuration, as plain values.

use codec::words::{Interval, Stream};

/// Which instruments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SymbolChoice {
    /// Every instrument of the venue's main kind that trades.
    All,
    /// These, by the venue's own names.
    Listed(Vec<String>),
}

/// What every session needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Base address of the venue's WebSocket.
    pub websocket_url: String,
    /// Which instruments.
    pub symbols: SymbolChoice,
    /// Which streams.
    pub streams: Vec<Stream>,
    /// Candle intervals, finest first.
    pub intervals: Vec<Interval>,
    /// Hyperliquid: the account whose fills are carried.
    pub account_address: Option<String>,
    /// Levels a side kept at most.
    pub book_levels_max: usize,
    /// Levels a side served at most.
    pub orderbook_depth: usize,
    /// Streams (Binance: per connection, Hyperliquid: in all) subscribed at most.
    pub max_subscriptions: usize,
    /// Control messages a second.
    pub max_messages_per_second: u64,
    /// First pause before a new connection.
    pub reconnect_delay_ms: u64,
    /// Longest pause before a new connection.
    pub max_reconnect_delay_ms: u64,
    /// Overrides the silence limits of the venue's streams.
    pub stale_after_ms: Option<u64>,
    /// Seed of the jitter.
    pub seed: u64,
}

impl Settings {
    /// Whether a stream is wanted.
    #[must_use]
    pub fn wants(&self, stream: Stream) -> bool {
        self.streams.contains(&stream)
    }
}
