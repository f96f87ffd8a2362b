//! Every limit of the simulator, with its reason.
//!
//! The first part holds the venues' own limits, as measured or documented in 2026; a client that exceeds one is
//! answered as the venue answers it, and counted as a violation. The second part bounds the simulator itself.

/// Hyperliquid: WebSocket connections an address may hold (the documentation said 100 before 2026).
pub const HYPERLIQUID_CONNECTIONS_MAX: usize = 10;
/// Hyperliquid: new WebSocket connections a minute.
pub const HYPERLIQUID_NEW_CONNECTIONS_PER_MINUTE_MAX: u64 = 30;
/// Hyperliquid: subscriptions of all connections together.
pub const HYPERLIQUID_SUBSCRIPTIONS_MAX: usize = 1000;
/// Hyperliquid: messages a minute from all connections together.
pub const HYPERLIQUID_MESSAGES_PER_MINUTE_MAX: u64 = 2000;
/// Hyperliquid: REST weight a minute.
pub const HYPERLIQUID_WEIGHT_PER_MINUTE_MAX: u64 = 1200;
/// Hyperliquid: a connection on which the server sent nothing for this long is closed (60.2 s measured).
pub const HYPERLIQUID_IDLE_CLOSE_MS: i64 = 60_200;
/// Hyperliquid: levels a side in a default book frame.
pub const HYPERLIQUID_BOOK_LEVELS: usize = 20;
/// Hyperliquid: levels a side in a fast book frame.
pub const HYPERLIQUID_FAST_BOOK_LEVELS: usize = 5;
/// Hyperliquid: trades replayed after a subscription (up to about 30 seen).
pub const HYPERLIQUID_TRADES_REPLAY_MAX: usize = 30;
/// Hyperliquid: candles of an interval that `candleSnapshot` knows, the running one included.
pub const HYPERLIQUID_CANDLES_MAX: usize = 5000;
/// Hyperliquid: rows of `fundingHistory` in one answer.
pub const HYPERLIQUID_FUNDINGS_MAX: usize = 500;
/// Hyperliquid: rows of `userFills` in one answer.
pub const HYPERLIQUID_FILLS_MAX: usize = 2000;
/// Hyperliquid: distinct users of user-specific subscriptions.
pub const HYPERLIQUID_USERS_MAX: usize = 10;
/// Hyperliquid: rows of `recentTrades` (about ten seen, not fixed).
pub const HYPERLIQUID_RECENT_TRADES: usize = 10;

/// Binance: streams on one connection; the next one is refused with code 4 and the connection closed.
pub const BINANCE_STREAMS_MAX: usize = 1024;
/// Binance: messages a second from a client, as documented; more counts as a violation.
pub const BINANCE_MESSAGES_PER_SECOND_MAX: u64 = 10;
/// Binance: messages within a second that really close the connection (15 passed, 40 did not).
pub const BINANCE_MESSAGES_PER_SECOND_CLOSE: u64 = 20;
/// Binance: REST weight a UTC clock minute.
pub const BINANCE_WEIGHT_PER_MINUTE_MAX: u64 = 2400;
/// Binance: rows a `/klines` page holds at most.
pub const BINANCE_KLINES_MAX: usize = 1500;
/// Binance: rows an `/aggTrades` page holds at most.
pub const BINANCE_AGG_TRADES_MAX: usize = 1000;
/// Binance: how far back `/aggTrades` looks (two days enforced, documents vary).
pub const BINANCE_AGG_TRADES_WINDOW_MS: i64 = 2 * 24 * 3600 * 1000;
/// Binance: refused requests a client may still send in a minute before it is banned (not documented; an assumption).
pub const BINANCE_REFUSALS_BEFORE_BAN: u64 = 10;
/// Binance: the first ban; each further one doubles.
pub const BINANCE_FIRST_BAN_MS: i64 = 120_000;
/// Binance: the longest ban (three days).
pub const BINANCE_BAN_MAX_MS: i64 = 3 * 24 * 3600 * 1000;

/// Bytes of an HTTP request head; a longer one is answered 431 and cut.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an HTTP request body; a longer one is answered 413 and cut.
pub const HTTP_BODY_BYTES_MAX: usize = 256 * 1024;
/// Headers of an HTTP request; more is answered 431.
pub const HTTP_HEADERS_MAX: usize = 64;
/// Bytes of a WebSocket message from a client: 1024 stream names fit many times.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// Bytes waiting for one client's socket; a client that falls further behind is dropped, as venues do.
pub const BACKLOG_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes waiting for one client's socket at which a playback holds back, so that nothing is lost.
pub const PLAYBACK_BACKLOG_BYTES: usize = 256 * 1024;
/// Frames a playback hands out before it looks at the sockets again.
pub const PLAYBACK_FRAMES_PER_TURN: usize = 256;
/// How long a playback waits at a recorded REST answer for somebody to ask for it.
pub const PLAYBACK_REST_WAIT_MS: i64 = 10_000;
/// How long a closing handshake may take before the socket is dropped.
pub const CLOSE_WAIT_MS: i64 = 1_000;
/// Bytes read from a socket at once.
pub const READ_BYTES: usize = 64 * 1024;

/// Changes in one segment of a symbol's history: one full book is kept per segment.
pub const HISTORY_SEGMENT_CHANGES: usize = 4096;
/// Segments a symbol's history keeps whatever the window asks for: a million changes, about 90 MB at worst.
pub const HISTORY_SEGMENTS_MAX: usize = 256;
/// Trades a symbol's history keeps at most: about 100 MB at worst.
pub const HISTORY_TRADES_MAX: usize = 1_000_000;
/// Quotes a symbol's history keeps at most: about 70 MB at worst.
pub const HISTORY_QUOTES_MAX: usize = 1_000_000;
/// Minutes with trades a symbol's candles keep by default: more than four days.
pub const CANDLE_MINUTES_KEPT: usize = 6_000;
/// Quarters of an hour with trades a symbol's candles keep: 200 days.
pub const CANDLE_QUARTERS_MAX: usize = 20_000;
/// Rows one question about candles is answered with at most.
pub const CANDLE_ROWS_MAX: usize = 20_000;
/// Levels a side a model's book never falls below while it trades.
pub const BOOK_LEVELS_MIN: usize = 30;
/// Records in the log of subscribe requests; later ones are only counted.
pub const SUBSCRIBE_LOG_MAX: usize = 100_000;
/// Bytes a frame may be padded to by a fault; half of what may wait for a socket, so that it is the client who objects.
pub const OVERSIZE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Frames a fault may send at once on every connection; more in one request is refused.
pub const EXTRA_FRAMES_MAX: u32 = 1_000;
/// Steps of a venue's clock remembered, so that a moment keeps the stamp it once had; the oldest is forgotten.
pub const CLOCK_STEPS_MAX: usize = 64;
/// Bytes of a scenario's file; a longer one is refused. As much as an HTTP request may bring.
pub const SCENARIO_BYTES_MAX: usize = HTTP_BODY_BYTES_MAX;
/// Steps and storms of a scenario, each for one venue; more are refused, since each next fault looks at all of them.
pub const SCENARIO_PLANS_MAX: usize = 1_000;
/// The longest scenario, and the latest time in one; a later one is refused. A month of virtual time fits.
pub const SCENARIO_LENGTH_MS_MAX: i64 = 31 * 24 * 3600 * 1000;
/// The shortest time between two faults of a step or storm; a shorter one is refused: nobody could keep up.
pub const SCENARIO_EVERY_MS_MIN: i64 = 10;
/// How often a playing scenario looks at the clock, and before it begins at the subscriptions.
pub const SCENARIO_LOOK_MS: i64 = 50;
/// How often a dripping server looks at its sockets.
pub const DRIP_EVERY_MS: i64 = 10;
/// How long a command from another thread may wait for the venue's thread.
pub const COMMAND_WAIT_MS: u64 = 10_000;
