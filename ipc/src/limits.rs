//! Every limit of this crate: its name, its reason, and what happens at it.

/// Clients at once, unless configured (`max_clients`). One more is answered `too_many` and closed.
pub const CLIENTS_MAX_DEFAULT: usize = 1024;

/// Connections past `max_clients` that are held just long enough to read why they were refused. Beyond
/// it they are closed without a word.
pub const REFUSED_CLIENTS_MAX: usize = 64;

/// The shared log of encoded messages, MiB, unless configured (`clients_buffer_mib`): how far all clients
/// together may fall behind. A client that falls behind it has lagged.
pub const CLIENTS_BUFFER_MIB_DEFAULT: usize = 64;

/// The smallest shared log: several of the largest records, so that any message fits. A smaller setting is
/// raised to it.
pub const LOG_BYTES_MIN: usize = 2 * 1024 * 1024;

/// A client that is blocked and has more than this of its own messages waiting gets books and quotes
/// conflated: about as much again as its socket holds, so it is far behind already.
pub const CONFLATE_BYTES: usize = 256 * 1024;

/// Bytes gathered for one write: what [`CONFLATE_BYTES`] is judged by.
pub const GATHER_BYTES_MAX: usize = CONFLATE_BYTES;

/// Bytes written to one client in one turn, so that one fast reader does not hold up the others. The rest
/// follows in the next turn.
pub const WRITE_BYTES_PER_TURN: usize = 1024 * 1024;

/// Entries of the shared log looked at for one client in one turn (about a millisecond). The rest follows
/// in the next turn.
pub const ENTRIES_PER_TURN: usize = 200_000;

/// Bytes of a long reply encoded per client and turn, so that a 30 MB reply delays nobody.
pub const REPLY_BYTES_PER_TURN: usize = 64 * 1024;

/// Rows by which a candle series' memory grows (16 KiB): most series are filled in a few steps, and one that
/// has little history holds little.
pub const CANDLE_ROWS_STEP: usize = 256;

/// Candles in one item of the history ring, as whoever loads the past should cut it: taking one in costs some
/// tens of microseconds.
pub const HISTORY_CHUNK_ROWS_MAX: usize = 512;

/// Items taken from the history ring in one turn. The rest follows in the next turn.
pub const HISTORY_ITEMS_PER_TURN: usize = 1;

/// Candles of instruments whose record has not come yet that are held until it does (about 40 MiB: the whole
/// past of 150 symbols). More are dropped and counted; their series stay not ready.
pub const HISTORY_PARKED_ROWS_MAX: usize = 512 * 1024;

/// Items in which they may lie, so that empty ones are bounded, too.
pub const HISTORY_PARKED_ITEMS_MAX: usize = 16 * 1024;

/// Symbols of one `get_candles_batch`: several times what the venues list. More are answered `too_many`.
pub const BATCH_SYMBOLS_MAX: usize = 4096;

/// Bytes of a reply to `get_candles` or `get_candles_batch`: half of what our clients take as a frame. It costs
/// no memory here. One that would be longer is answered `too_many`.
pub const CANDLE_REPLY_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Requests of a client are left unread while this much of its replies waits to be written.
pub const REPLY_BACKLOG_BYTES_MAX: usize = 64 * 1024;

/// Requests of one client answered in one turn. The rest follows in the next turn.
pub const REQUESTS_PER_TURN: usize = 64;

/// Bytes of replies made in one turn, all clients together; the next request waits for the next turn.
pub const REPLY_BYTES_ALL_PER_TURN: usize = 512 * 1024;

/// Bytes of long replies encoded in one turn, all clients together (under a millisecond); the next piece waits
/// for the next turn. Counted apart from [`REPLY_BYTES_ALL_PER_TURN`], so that short ones never wait for them.
pub const LONG_BYTES_ALL_PER_TURN: usize = 512 * 1024;

/// Bytes held for single clients (unfinished requests, unsent replies), all together. Clients that
/// hold more than a little are then disconnected as they come up, and the operator is told.
pub const PRIVATE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Bytes of room for requests that a client keeps between them. More is given back once nothing waits in it.
pub const INBOX_KEEP_BYTES_MAX: usize = 16 * 1024;

/// Bytes read from one client in one turn.
pub const READ_BYTES_PER_TURN: usize = 64 * 1024;

/// Records taken from the ring in one turn, before clients are served again.
pub const RECORDS_PER_TURN: usize = 512;

/// Topic subscriptions of one client, those of a bulk subscription counted singly. More are answered
/// `too_many`.
pub const SUBSCRIPTIONS_PER_CLIENT_MAX: usize = 16 * 1024;

/// Topics in all (an instrument's stream at one depth and mode is one). A subscription that would need
/// more is answered `too_many`.
pub const TOPICS_MAX: usize = 128 * 1024;

/// Instruments the replica holds. Records of more are dropped and counted.
pub const INSTRUMENTS_MAX: usize = 64 * 1024;

/// Levels a side of the retained once-a-second snapshots.
pub const HISTORY_DEPTH: usize = 20;

/// Books looked at for their once-a-second snapshot in one turn.
pub const SNAPSHOTS_PER_TURN: usize = 64;

/// Depth of `subscribe_orderbook` when none is given.
pub const DEPTH_DEFAULT: usize = 10;

/// Silence after which a client gets a heartbeat. The promise is five seconds.
pub const HEARTBEAT_NS: u64 = 4_000_000_000;

/// A client that has something waiting and takes none of it for so long is disconnected.
pub const PROGRESS_NS: u64 = 30_000_000_000;

/// How often the deadlines of all clients are looked at.
pub const DEADLINES_EVERY_NS: u64 = 250_000_000;

/// How long a connection that was told a fatal error is still read, so that it sees the error instead of a
/// reset.
pub const LINGER_NS: u64 = 1_000_000_000;

/// How long clients are flushed at shutdown.
pub const DRAIN_NS: u64 = 1_000_000_000;

/// A book that came back from `stale` and gets no new record is served again after this long: nothing
/// was lost, so the replica is the book.
pub const STALE_RETURN_NS: u64 = 250_000_000;

/// Bytes of a client's name (`hello`) that are kept; the rest is cut.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;

/// Bytes of a name from a request that an error message repeats.
pub const ECHO_BYTES_MAX: usize = 64;

/// Bytes of a socket's path: what the kernel's address holds.
pub const SOCKET_PATH_BYTES_MAX: usize = 107;

/// For so long after the end has begun requests are still answered, with `shutting_down`: a client that asks just
/// then learns why instead of finding the connection closed.
pub const GOODBYE_NS: u64 = 200_000_000;
