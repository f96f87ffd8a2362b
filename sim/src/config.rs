//! What can be chosen about a simulation, with defaults as the venues behaved in late 2026.

use crate::market::{MarketConfig, Venue};
use std::path::PathBuf;

/// Everything.
#[derive(Clone, Debug)]
pub struct Config {
    /// Decides the whole market.
    pub seed: u64,
    /// TLS (`wss`, `https`); plain `ws` and `http` if off.
    pub tls: bool,
    /// Where the certificate authority is written in PEM; a temporary file if not given.
    pub ca_path: Option<PathBuf>,
    /// The port of the control endpoint (0: any free one); none if not given.
    pub control_port: Option<u16>,
    /// How often the markets move and streams are looked at.
    pub tick_ms: i64,
    /// Hyperliquid.
    pub hyperliquid: HyperliquidConfig,
    /// Binance.
    pub binance: BinanceConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            tls: true,
            ca_path: None,
            control_port: None,
            tick_ms: 5,
            hyperliquid: HyperliquidConfig::default(),
            binance: BinanceConfig::default(),
        }
    }
}

impl Config {
    /// So many symbols of each venue with names, prices and turnovers as at the venue, and few frames of each: for
    /// days of virtual time by hand. Two days of 800 and 240 symbols are a few million frames.
    ///
    /// Rates fall with the rank; books are small and come every minute, as do mark prices and contexts; quotes are
    /// held back for ten seconds. Trades and candles come as they happen.
    pub fn universe(binance: usize, hyperliquid: usize) -> Self {
        const MINUTE_MS: i64 = 60_000;
        let mut config = Self::default();
        for (market, symbols) in
            [(&mut config.binance.market, binance), (&mut config.hyperliquid.market, hyperliquid)]
        {
            market.symbols = symbols;
            market.named = true;
            market.rate_per_s = 1.0;
            market.rate_exponent = 0.8;
            market.trade_share = 0.3;
            market.book_levels = 40;
            market.segment_changes = 256;
            market.candle_minutes = 1_500;
        }
        let own = &mut config.binance;
        own.depth_interval_ms_min = MINUTE_MS;
        own.book_ticker_interval_ms_min = 10_000;
        own.mark_price_interval_ms = MINUTE_MS;
        own.kline_interval_ms = 1_000;
        let own = &mut config.hyperliquid;
        own.book_interval_ms = MINUTE_MS;
        own.fast_book_interval_ms = MINUTE_MS;
        own.mids_interval_ms = MINUTE_MS;
        own.context_interval_ms = MINUTE_MS;
        own.all_contexts_interval_ms = MINUTE_MS;
        own.candle_interval_ms = 1_000;
        config
    }
}

/// The order of keys in Hyperliquid's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// As the documentation and the wire of 2026 show them.
    Documented,
    /// Alphabetical, as in the recording of 2025.
    Alphabetical,
}

/// Hyperliquid.
#[derive(Clone, Debug)]
pub struct HyperliquidConfig {
    /// The port (0: any free one).
    pub port: u16,
    /// The market's own model; off while a capture is played back.
    pub market: MarketConfig,
    /// Plays a capture back instead of the model.
    pub playback: Option<PlaybackConfig>,
    /// Time between frames of a default book.
    pub book_interval_ms: i64,
    /// Time between frames of a fast book.
    pub fast_book_interval_ms: i64,
    /// Time between `allMids` frames.
    pub mids_interval_ms: i64,
    /// Time between `activeAssetCtx` frames.
    pub context_interval_ms: i64,
    /// Time between `allDexsAssetCtxs` frames.
    pub all_contexts_interval_ms: i64,
    /// The shortest time between two frames of a candle; the last one of a period comes when it ends.
    pub candle_interval_ms: i64,
    /// A connection on which the server sent nothing for this long is cut.
    pub idle_close_ms: i64,
    /// The shortest and longest time from a fatal subscription to the end of the connection.
    pub fatal_delay_ms: (i64, i64),
    /// Trades replayed after each subscription to `trades`, at most.
    pub trades_replay: usize,
    /// The order of keys in frames.
    pub key_order: KeyOrder,
    /// Whether limits are enforced (they are always counted).
    pub enforce_limits: bool,
}

impl Default for HyperliquidConfig {
    fn default() -> Self {
        Self {
            port: 0,
            market: MarketConfig::of(Venue::Hyperliquid),
            playback: None,
            book_interval_ms: 5_400,
            fast_book_interval_ms: 540,
            mids_interval_ms: 5_000,
            context_interval_ms: 1_000,
            all_contexts_interval_ms: 13_600,
            candle_interval_ms: 500,
            idle_close_ms: crate::limits::HYPERLIQUID_IDLE_CLOSE_MS,
            fatal_delay_ms: (100, 800),
            trades_replay: crate::limits::HYPERLIQUID_TRADES_REPLAY_MAX,
            key_order: KeyOrder::Documented,
            enforce_limits: true,
        }
    }
}

/// Binance USDⓈ-M futures.
#[derive(Clone, Debug)]
pub struct BinanceConfig {
    /// The port (0: any free one).
    pub port: u16,
    /// The market's own model; off while a capture is played back.
    pub market: MarketConfig,
    /// Plays a capture back instead of the model.
    pub playback: Option<PlaybackConfig>,
    /// Time between the server's ping frames.
    pub ping_interval_ms: i64,
    /// A connection whose client answered no ping for this long is cut.
    pub pong_timeout_ms: i64,
    /// How old a connection may get before the venue closes it.
    pub connection_age_ms_max: i64,
    /// The shortest time between two events of a depth stream; 0: what its name says.
    pub depth_interval_ms_min: i64,
    /// The shortest time between two quotes of a symbol; 0: every change of the best is told at once.
    pub book_ticker_interval_ms_min: i64,
    /// The shortest time between two frames of a kline stream; the closing frame comes when its period ends.
    pub kline_interval_ms: i64,
    /// Time between mark prices on the fast stream; the slow one takes three times as long.
    pub mark_price_interval_ms: i64,
    /// Whether `@trade` shows the zero placeholders (`X: "NA"`).
    pub trade_placeholders: bool,
    /// Whether limits are enforced (they are always counted).
    pub enforce_limits: bool,
}

impl Default for BinanceConfig {
    fn default() -> Self {
        Self {
            port: 0,
            market: MarketConfig::of(Venue::Binance),
            playback: None,
            ping_interval_ms: 180_000,
            pong_timeout_ms: 600_000,
            connection_age_ms_max: 24 * 3600 * 1000,
            depth_interval_ms_min: 0,
            book_ticker_interval_ms_min: 0,
            kline_interval_ms: 250,
            mark_price_interval_ms: 1_000,
            trade_placeholders: false,
            enforce_limits: true,
        }
    }
}

/// How fast a capture is played back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded.
    Times(f64),
    /// As fast as the sockets take it.
    Max,
}

/// When a playback begins.
#[derive(Clone, Debug, PartialEq)]
pub enum StartWhen {
    /// On command.
    Command,
    /// When all these streams are subscribed (Hyperliquid: `l2Book:BTC`, `trades:BTC`).
    Subscribed(Vec<String>),
    /// When so many streams are subscribed.
    SubscriptionCount(usize),
}

/// A capture to be played back.
#[derive(Clone, Debug)]
pub struct PlaybackConfig {
    /// A gzipped file of lines `RECV_NS SPACE JSON`.
    pub path: PathBuf,
    /// How fast.
    pub speed: Speed,
    /// From when.
    pub start: StartWhen,
    /// Whether to pause at a recorded REST answer until it has been asked for (where its symbol's book is subscribed),
    /// for ten seconds at most. On by default: at full speed a client could never ask in time.
    pub pause_at_rest: bool,
}

impl PlaybackConfig {
    /// A capture at full speed, beginning when so many streams are subscribed.
    pub fn at_full_speed(path: impl Into<PathBuf>, subscriptions: usize) -> Self {
        Self {
            path: path.into(),
            speed: Speed::Max,
            start: StartWhen::SubscriptionCount(subscriptions),
            pause_at_rest: true,
        }
    }
}
