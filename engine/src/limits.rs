//! Every limit of this crate: its name, its reason, and what happens at it.

/// Sessions are told the time at least this often; deadlines are coarser than that by far.
pub const TICK_MS: u64 = 10;

/// Losses told, or books published anew, per ring and tick after a ring was full, so that the repair
/// does not fill it again; the rest waits for the next tick.
pub const REPUBLISH_PER_TICK_MAX: usize = 16;

/// Levels a side asked of Binance's `depth`: its maximum (weight 20). Fewer make ghost levels likelier.
pub const BINANCE_SNAPSHOT_LEVELS: usize = 1000;

/// Depth events buffered per book while a snapshot is fetched: at ten a second more than eight minutes.
/// At the limit the buffer begins anew and the stream says `overflow`.
pub const RESYNC_EVENTS_MAX: usize = 5_000;

/// Levels in those events together (8 MiB). At the limit as above.
pub const RESYNC_LEVELS_MAX: usize = 512 * 1024;

/// While a book's snapshot waits for the stream to reach its id, each so many events (some seconds at the stream's
/// own pace, where a tenth of a second is usual) it is judged whether the stream gets there before
/// [`RESYNC_EVENTS_MAX`]. If not, the snapshot is asked for again, at growing intervals.
pub const SNAPSHOT_AHEAD_EVENTS: usize = 50;

/// A snapshot that waits so, without any event for this long, is asked for again: the venue sends changes within
/// a tenth of a second, so what is still the same then has not changed. The pause doubles each time, up to the
/// second figure (weight 20 each time).
pub const SNAPSHOT_AHEAD_QUIET_MS: u64 = 2_000;

/// Longest such pause.
pub const SNAPSHOT_AHEAD_QUIET_LAST_MS: u64 = 120_000;

/// A book whose venue already quotes a newer update id for longer than this is stale.
pub const BOOK_BEHIND_QUOTE_MS: u64 = 1_000;

/// A quote that a newer live book contradicts for longer than this is stale.
pub const QUOTE_BEHIND_BOOK_MS: u64 = 2_000;

/// After a reconnect a trade stream without a trade for this long asks REST what it missed.
pub const TRADE_PROBE_AFTER_MS: u64 = 2_000;

/// A book that shows less than half of what it should is seeded anew in the background at most this often
/// (weight 20 each time).
pub const RESEED_INTERVAL_MS: u64 = 120_000;

/// With fewer levels than this inside its horizon a book is about to lose sight of the best price …
pub const RESEED_URGENT_LEVELS: usize = 100;

/// … and is seeded anew at most this often.
pub const RESEED_URGENT_INTERVAL_MS: u64 = 3_000;

/// First pause before a snapshot is asked for again; doubles each time.
pub const SNAPSHOT_RETRY_FIRST_MS: u64 = 250;

/// Longest pause before a snapshot is asked for again.
pub const SNAPSHOT_RETRY_LAST_MS: u64 = 4_000;

/// Pause after a snapshot with a number that cannot be held exactly: it will hardly have changed sooner.
pub const SNAPSHOT_UNREPRESENTABLE_RETRY_MS: u64 = 30_000;

/// Rows of one `aggTrades` answer: the venue's maximum.
pub const AGG_TRADES_PAGE: u32 = 1_000;

/// Holes waiting to be filled per trade stream; the oldest is then given up, told as
/// `venue_history_exhausted`.
pub const FILL_RANGES_MAX: usize = 64;

/// Trades filled per hole: fifty requests of weight 20. What is older is told as lost.
pub const FILL_TRADES_MAX: u64 = 50_000;

/// Fruitless requests for one hole before it is told as lost.
pub const FILL_RETRIES_MAX: u32 = 6;

/// First pause before a hole is asked for again; doubles each time.
pub const FILL_RETRY_FIRST_MS: u64 = 500;

/// Longest pause before a hole is asked for again.
pub const FILL_RETRY_LAST_MS: u64 = 10_000;

/// A connection, its TLS and its WebSocket handshake together take at most this long; then it is given up
/// and tried again after the backoff.
pub const CONNECT_DEADLINE_MS: u64 = 15_000;

/// A subscription is acknowledged within this time, or its connection is made anew.
pub const ACK_DEADLINE_MS: u64 = 5_000;

/// After this long a connection counts as good and the backoff starts from its first step.
pub const STEADY_AFTER_MS: u64 = 30_000;

/// Control messages sent to Binance at once: evenly paced, no second ever sees more than the configured
/// number (the venue cuts at more than ten, pongs included).
pub const BINANCE_CONTROL_BURST: u64 = 1;

/// Stream names in one SUBSCRIBE: two hundred were measured to work.
pub const BINANCE_NAMES_PER_MESSAGE: usize = 100;

/// A Binance connection with books or mark prices that sends no data for this long: its streams are stale.
pub const BINANCE_SILENT_MS: u64 = 5_000;

/// … and after this long it is made anew.
pub const BINANCE_SILENT_RECONNECT_MS: u64 = 10_000;

/// A book or mark price stream that is acknowledged sends its first data within this time; else it is
/// asked for once more and reported as `no_first_data`.
pub const FIRST_DATA_DEADLINE_MS: u64 = 10_000;

/// Pause before an instrument list is asked for again after a failure; doubles up to the second figure.
pub const INSTRUMENTS_RETRY_FIRST_MS: u64 = 500;

/// Longest pause before an instrument list is asked for again.
pub const INSTRUMENTS_RETRY_LAST_MS: u64 = 15_000;

/// Each live book is checked against every replica this often.
pub const BOOK_CHECK_INTERVAL_MS: u64 = 1_000;

// Connections and the driver.

/// Bytes of one WebSocket message. The largest seen are some hundred kilobytes (a 1,000-level partial book,
/// an all-market frame); a longer one closes the connection, and its session reconnects.
pub const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes waiting to be written to one connection: our control messages are below 10 KiB, so a venue that
/// leaves this much unread is not reading at all. The connection is closed and made anew.
pub const WRITE_QUEUE_BYTES_MAX: usize = 1024 * 1024;

/// Bytes read from one socket per turn, so that a flood on one cannot starve the others. A socket that is
/// not dry by then stays on the driver's ready list.
pub const READ_BYTES_PER_TURN_MAX: usize = 256 * 1024;

/// Connections a venue's session may have, those being made included (Hyperliquid allows ten per address;
/// Binance needs two per 1,024 streams, doubled while they are rotated). A link beyond is answered as one
/// that could not be made.
pub const LINKS_PER_VENUE_MAX: usize = 64;

/// Poll events taken at a time; more come with the next turn.
pub const POLL_EVENTS_MAX: usize = 256;

/// Longest sleep inside the poll with `engine_wait = "poll"`: nothing is later than this, ticks included.
pub const POLL_SLEEP_MS: u64 = 1;

/// Answers, ready connections and wishes taken per turn: what is behind them waits for the next.
pub const SIDE_ITEMS_PER_TURN_MAX: usize = 16;

/// Reading stops for at most this long while the ring to ipc is nearly full; then records are dropped and
/// repaired. Longer would make every client's data old.
pub const IPC_STALL_MS: u64 = 5;

/// … and for at most this long while the recorder's is: completeness is worth more there, and the kernel
/// and TCP hold the data meanwhile.
pub const RECORDER_STALL_MS: u64 = 500;

/// Bytes of the ring from engine to ipc: some hundred full book snapshots, or more than a second of a wild
/// market. When it is nearly full the driver stops reading for [`IPC_STALL_MS`], then records are dropped.
pub const IPC_RING_BYTES: usize = 32 * 1024 * 1024;

/// Jobs, answers, wishes and events between threads. A job that does not fit is answered as failed, an
/// answer waits, an event is dropped and counted.
pub const SIDE_RING_ITEMS: usize = 4096;

// Connector.

/// Name resolution, connect, TLS and WebSocket handshake together; below [`CONNECT_DEADLINE_MS`], so that
/// the session hears what went wrong before its own deadline.
pub const CONNECT_TIMEOUT_MS: u64 = 10_000;

/// Connections being made at a time, each on a thread of its own, so that a slow one delays nobody. Jobs
/// beyond wait.
pub const CONNECTS_INFLIGHT_MAX: usize = 16;

/// Bytes of a handshake's answer up to the end of its header; a longer one fails the handshake.
pub const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// Hyperliquid cuts a connection on which it sent nothing for 60 s; a ping provokes an answer (venue
/// documentation: any interval up to 30 s).
pub const HYPERLIQUID_PING_MS: u64 = 25_000;

/// A ping unanswered for this long: the connection is made anew.
pub const HYPERLIQUID_PONG_DEADLINE_MS: u64 = 10_000;

/// Control messages Hyperliquid takes at once (2,000 a minute; bursts of 400 passed).
pub const HYPERLIQUID_CONTROL_BURST: u64 = 400;

/// A fast book comes every 0.55 s whether it changed or not: silent for this long, it is stale.
pub const HYPERLIQUID_FAST_SILENT_MS: u64 = 2_000;

/// A default book comes every 5.4 s whether it changed or not: silent for this long, it is stale.
pub const HYPERLIQUID_DEFAULT_SILENT_MS: u64 = 12_000;

/// Silent for this many times its limit, a connection is made anew.
pub const HYPERLIQUID_RECONNECT_FACTOR: u64 = 3;

/// Trades remembered per coin to know one that comes twice: a backlog has thirty, a frame has had 121.
pub const TRADE_WINDOW: usize = 2_048;

/// Levels a side of a fused book: twenty of the default source, and what newer sources add above them until
/// the next one. Beyond it the worst are dropped, told as deletions.
pub const FUSED_LEVELS_MAX: usize = 128;

// Fetcher.

/// Requests in flight at one venue: a slow snapshot does not delay the next, and a burst stays small. One
/// of them is kept for [`crate::fetch::Priority::Repair`]. Requests beyond wait.
pub const FETCHES_INFLIGHT_MAX: usize = 4;

/// Requests waiting for one venue: every symbol of either venue a few times over. A request beyond is
/// answered with [`crate::fetch::FetchError::Overflow`].
pub const FETCH_QUEUE_MAX: usize = 8192;

/// Percent of a venue's weight that only repairs may use.
pub const FETCH_REPAIR_RESERVE_PERCENT: u32 = 15;

/// A request as a whole, from its connection to the end of its body; then it has failed.
pub const FETCH_TIMEOUT_MS: u64 = 20_000;

/// Connecting for a request.
pub const FETCH_CONNECT_TIMEOUT_MS: u64 = 5_000;

/// Bytes of an answer's body, unpacked. The largest, Binance's `exchangeInfo`, has 1.2 MB; a longer one
/// counts as failed.
pub const FETCH_BODY_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Asking rests this long after a 403: the venue's firewall does not like us, and insisting prolongs it.
pub const FETCH_FORBIDDEN_PAUSE_MS: u64 = 120_000;

/// … and this long after a 451: not served from this place, which no retry will change.
pub const FETCH_REGION_PAUSE_MS: u64 = 600_000;

/// … and this long after a 418 that does not say until when: the shortest ban is two minutes.
pub const FETCH_BAN_PAUSE_MS: u64 = 300_000;

/// Failures in a row (network, 5xx) after which asking itself slows down, doubling each time.
pub const FETCH_FAILURES_FREE: u32 = 3;

/// First such rest.
pub const FETCH_FAILURE_PAUSE_FIRST_MS: u64 = 500;

/// Longest such rest.
pub const FETCH_FAILURE_PAUSE_LAST_MS: u64 = 30_000;

// Daemon.

/// After a stop was asked for: the engine says that all is down and the socket server tells its clients (for a
/// second at most) within this time. One that has not ended by then is named, and the exit code is 1.
pub const SHUTDOWN_SERVING_MS_MAX: u64 = 3_000;

/// … the threads that wait for networks and disks by then. One that still hangs is warned of and left to the end of
/// the process: nothing is lost with it that is not fetched again.
pub const SHUTDOWN_SIDE_MS_MAX: u64 = 4_000;

/// … and all of them by then: less than the five seconds promised after a signal, with room for the last lines of
/// the log.
pub const SHUTDOWN_MS_MAX: u64 = 4_500;

/// How long the last lines of the log are waited for at the end; what nobody has taken by then is lost.
pub const LOG_FLUSH_MS_MAX: u64 = 300;

/// A process that has not ended so long after a signal is ended by the system: twice what is promised, so that only
/// what hangs for good (a start that waits for a dead disk) ends this way.
pub const SHUTDOWN_LAST_RESORT_S: u32 = 10;

/// Lines of the log that wait to be written, while whoever reads standard error does not, or the disk is slow.
/// Further ones are dropped, counted and told: a log that nobody takes stops nothing.
pub const LOG_LINES_MAX: usize = 4_096;

/// How often the log's thread looks whether lines were lost when none comes: a loss before a silence is told after no
/// more than this, and a thread that has nothing to do wakes once in that time.
pub const LOG_LOSS_LOOK_MS: u64 = 1_000;

/// Age of Hyperliquid's frames on arrival (measured 2026-09: 260 to 440 ms): a trade that much newer than the
/// clock its frames show may still belong to a backlog.
pub const HYPERLIQUID_LATENCY_MS: u64 = 400;

/// A first trade after a reconnect whose id lies this far below the last one belongs to a new numbering (a venue's
/// reset, another environment): told as a gap. Fewer are duplicates.
pub const TRADE_ID_STEP_BACK: u64 = 10_000;

// Candles.

/// After the end of a period this long is given to its last frame; then it is closed without, where the
/// venue marks no close, or REST is asked, where it does (closing frames have come 24 s late).
pub const CANDLE_GRACE_MS: u64 = 3_000;

/// A close waits at most this long once the next candle has come; then it is closed with the best known.
pub const CANDLE_HOLD_MS: u64 = 10_000;

/// A REST row of a period that ended less than this ago may lack its last trades.
pub const CANDLE_MATURE_MS: u64 = 1_000;

/// … and after this long it is taken as final.
pub const CANDLE_CONFIRM_AFTER_MS: u64 = 5_000;

/// A close waits this long for own trades that are still on their way (they are half a second old).
pub const CANDLE_OWN_TRADES_WAIT_MS: u64 = 2_000;

/// Closed candles remembered per series, to be confirmed and corrected.
pub const CANDLE_RECENT_MIN: usize = 4;

/// … and at most, while REST does not confirm them. The oldest is then left as it is, and counted.
pub const CANDLE_RECENT_MAX: usize = 1_500;

/// Missed periods closed one by one: Hyperliquid's whole history. What is older is told as lost.
pub const CANDLE_FILL_PERIODS_MAX: usize = 5_000;

/// Rows asked for at a time to close and confirm: a small weight at both venues.
pub const CANDLE_ROWS_PER_REQUEST: u32 = 99;

/// Answers that change nothing before a close is left unconfirmed, and counted.
pub const CANDLE_VAIN_ANSWERS_MAX: u32 = 6;

/// Pause after the venue refused to answer for a symbol that it lists.
pub const CANDLE_REFUSED_MS: u64 = 60_000;

/// First pause before candles are asked for again; doubles each time.
pub const CANDLE_RETRY_FIRST_MS: u64 = 1_000;

/// Longest pause before candles are asked for again.
pub const CANDLE_RETRY_LAST_MS: u64 = 30_000;

/// Candles of the finest interval in one that is made of them: a day of minutes, a month of half hours. An
/// interval that takes more is subscribed for itself.
pub const CANDLE_PARTS_MAX: usize = 1_500;

// Hyperliquid: what it does to bad subscriptions, and how much of it is remembered.

/// A connection that dies this soon after a subscription was sent may have been killed by it (measured
/// 2026-07 and 2026-09: 0.1 to 0.8 s).
pub const HYPERLIQUID_FATAL_WITHIN_MS: u64 = 1_500;

/// Pause between connections on which suspects are tried: the venue allows thirty a minute.
pub const HYPERLIQUID_PROBE_PAUSE_MS: u64 = 3_000;

/// A subscription that killed a connection by itself is tried again after this long.
pub const HYPERLIQUID_RETRIAL_MS: u64 = 3_600_000;

/// Subscriptions in quarantine: all that the venue allows. Suspects beyond are tried where they were.
pub const QUARANTINE_MAX: usize = 1_000;

/// Fills remembered to know one that comes twice: the venue's snapshot has at most 2,000.
pub const FILL_WINDOW: usize = 4_096;

/// Instrument lists are asked for again this often (weight 20 each).
pub const HYPERLIQUID_REFRESH_MS: u64 = 600_000;

/// Turnover is asked for so many times before symbols are ranked by their place in the list.
pub const TURNOVER_TRIES_MAX: u32 = 3;

/// Funding of a coin comes every second: silent for this long, it is stale …
pub const HYPERLIQUID_CTX_SILENT_MS: u64 = 10_000;

/// … and in bulk every 14 s.
pub const HYPERLIQUID_BULK_CTX_SILENT_MS: u64 = 45_000;

/// Candles are looked after this often: nothing of theirs is due more exactly than to the second.
pub const CANDLE_TICK_MS: u64 = 100;

/// A stream that is silent beyond its limit for this many times that limit, on a connection that speaks, is
/// asked for again …
pub const STREAM_RETRY_FACTOR: u64 = 3;

/// … and its connection is made anew after this long, if that did not help …
pub const STREAM_ESCALATE_MS: u64 = 60_000;

/// … but not more often than this: one dead stream must not cut the others again and again.
pub const STREAM_ESCALATE_EVERY_MS: u64 = 600_000;

/// When the bulk stream of funding shows another number of coins than the lists, they are asked for again
/// this soon.
pub const LISTS_OLD_REFRESH_MS: u64 = 10_000;

// Budgets of REST weight.

/// Percent of Hyperliquid's weight that only repairs may use, instead of [`FETCH_REPAIR_RESERVE_PERCENT`]: its
/// books need no snapshots, so that instrument lists and confirmations are all there is to repair.
pub const HYPERLIQUID_REPAIR_RESERVE_PERCENT: u32 = 10;

/// Percent of a venue's weight that the background may have filled, so that what a strategy asks for in the
/// middle of a long load finds room in the same minute. The load itself takes twice as long for it.
pub const FETCH_BACKGROUND_PERCENT_MAX: u32 = 50;

/// Percent of a venue's weight that first snapshots of books may have filled: those of 200 symbols take three
/// minutes, and what a strategy asks for meanwhile is not behind them. Books that somebody asks for do not count
/// among them.
pub const FETCH_SEED_PERCENT_MAX: u32 = 75;

/// Candles Hyperliquid has of an interval (venue documentation, 2026-09); an older start silently gives less.
pub const HYPERLIQUID_CANDLES_MAX: u32 = 5_000;

/// Rows of a Hyperliquid `candleSnapshot` that cost one weight beyond the request's own.
pub const HYPERLIQUID_ROWS_PER_WEIGHT: u32 = 60;

// Candle history.

/// Rows in one message to the server: 40 KB, so that a long history passes in small steps.
pub const HISTORY_CHUNK_ROWS: usize = 512;

/// Messages to the server that may wait for room in its ring; then no more files are read and no more answers
/// taken until they have gone.
pub const HISTORY_WAITING_MAX: usize = 64;

/// Records and wishes taken per turn: what is behind them waits for the next.
pub const HISTORY_ITEMS_PER_TURN: usize = 64;

/// Answers taken per turn: each may replace a file.
pub const HISTORY_ANSWERS_PER_TURN: usize = 1;

/// Symbols whose files are read in one turn: some hundred kilobytes each, about a millisecond. The rings are
/// looked at in between.
pub const HISTORY_SYMBOLS_READ_PER_TURN: usize = 1;

/// Background requests of one venue on their way at a time: enough to keep the fetcher's threads busy, few
/// enough that nothing queues up in front of what is asked for.
pub const HISTORY_BACKGROUND_REQUESTS_MAX: usize = 8;

/// … and requests for what somebody asked for.
pub const HISTORY_ASKED_REQUESTS_MAX: usize = 32;

/// Wishes for instruments that have not been told yet; further ones are dropped: their series is loaded in the
/// background all the same.
pub const HISTORY_EARLY_WISHES_MAX: usize = 1024;

/// A period's row counts as final when the period has been over for this long. Before that REST may still lack
/// the last trades of it; the engine's own close, or a later request, brings it.
pub const HISTORY_MATURE_MS: u64 = 10_000;

/// A period that ended this long ago without a close from the engine is asked for by REST.
pub const HISTORY_SILENCE_MS: u64 = 60_000;

/// Longest pause between such requests for one series, when they bring nothing.
pub const HISTORY_SILENCE_PAUSE_LAST_MS: u64 = 900_000;

/// How often the series are looked through for what is due, when nothing has happened.
pub const HISTORY_LOOK_INTERVAL_MS: u64 = 250;

/// First pause after a request that failed; doubles each time …
pub const HISTORY_RETRY_FIRST_MS: u64 = 1_000;

/// … up to this one. Trying does not end: a series with a hole is not served, so giving up would be worse.
pub const HISTORY_RETRY_LAST_MS: u64 = 60_000;

/// An answer that cannot be read may have been damaged on its way: asked for again this often, then the series
/// is left as it stands.
pub const HISTORY_UNREADABLE_RETRIES_MAX: u32 = 3;

/// Rows asked of Binance at a time: it gives up to 1,500, but a thousand cost 5 and one more costs 10.
pub const BINANCE_CANDLES_PAGE: u32 = 1_000;

/// Periods asked for before the oldest that is kept. Hyperliquid leaves out those without trades, and what the
/// first ones kept were worth is then known only from one before them.
pub const HISTORY_LEAD_ROWS: u64 = 16;

/// Rows read again before the ones that are missing: they must be what the file holds.
pub const HISTORY_OVERLAP_ROWS: usize = 2;

/// Candles of the finest interval kept per symbol to fold longer ones from, as many as the longest running
/// period has up to this: a day of minutes. What would need more is fetched instead of folded.
pub const HISTORY_FOLD_ROWS_MAX: usize = 1_500;

/// Closed candles from the engine held per series while its past is loading; at the limit the oldest goes, and
/// is fetched.
pub const HISTORY_LIVE_ROWS_MAX: usize = 64;

/// Rows per series that could not be written because the disk refused; they go with the next. At the limit the
/// file is left as it is until the next start, which fetches what it lacks.
pub const HISTORY_UNSAVED_ROWS_MAX: usize = 64;

/// Flat candles in a row between two others. A longer silence is taken for an interruption of the market's
/// existence: history begins after it.
pub const HISTORY_FLAT_MAX: usize = 5_000;

/// Progress of a load is logged at least this often, and every tenth of it.
pub const HISTORY_PROGRESS_INTERVAL_MS: u64 = 30_000;

/// Bytes read of a candle file: twice the largest retention, and room. What lies behind is not read.
pub const CANDLE_FILE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Files of one series put aside as `.bad`; with more, something is wrong that no renaming cures.
pub const CANDLE_FILES_BAD_MAX: usize = 100;

/// Chunks of candles, and answers to the history, on their way: each has at most some thousand rows, so that
/// this is tens of megabytes in the worst moment of a cold start and nothing in between. What does not fit waits.
pub const HISTORY_RING_ITEMS: usize = 64;

/// Bytes of the ring of closed candles: every series of both venues closing at once, twice over. What does not
/// fit is fetched again.
pub const HISTORY_RECORDS_BYTES: usize = 4 * 1024 * 1024;

// Binance: many symbols, long runs.

/// Groups of streams, each on a connection of its own that is rotated over two slots. Streams that find no
/// place in so many are shed: candles of the last symbols first, then the last symbols altogether; `status`
/// `down` `shed` tells it.
pub const BINANCE_GROUPS_MAX: usize = LINKS_PER_VENUE_MAX / 2;

/// Streams per connection below which a limit makes no sense: a heartbeat and `!contractInfo` need a place.
pub const BINANCE_STREAMS_PER_LINK_MIN: usize = 4;

/// Connections begun a second: the venue bounds attempts (300 in five minutes on spot, undocumented here) …
pub const BINANCE_CONNECTS_PER_SECOND: u64 = 4;

/// … and at once: the two of a small configuration do not wait for each other.
pub const BINANCE_CONNECTS_BURST: u64 = 2;

/// Age at which a connection is replaced: the venue cuts it at 24 hours, and attempts may fail.
pub const BINANCE_ROTATE_AFTER_MS: u64 = 23 * 3_600_000;

/// … earlier by up to this, drawn per connection, so that not all are replaced at once.
pub const BINANCE_ROTATE_JITTER_MS: u64 = 1_800_000;

/// The new connection has everything acknowledged and sends data for this long before the old one goes.
pub const BINANCE_ROTATION_OVERLAP_MS: u64 = 3_000;

/// A new connection that is not ready by then is given up; the old one stays.
pub const BINANCE_ROTATION_DEADLINE_MS: u64 = 120_000;

/// Pause before a rotation that failed is tried again; doubles each time …
pub const BINANCE_ROTATION_RETRY_FIRST_MS: u64 = 60_000;

/// … up to this, so that there are some more tries before the venue's cut.
pub const BINANCE_ROTATION_RETRY_LAST_MS: u64 = 600_000;

/// While two connections deliver the same streams, what one is ahead of the other waits this long for the
/// other to close the gap; then it is a gap.
pub const BINANCE_OVERLAP_WAIT_MS: u64 = 2_000;

/// … and so many trades of one symbol at most; one more, and it is a gap at once.
pub const BINANCE_OVERLAP_TRADES_MAX: usize = 512;

/// A connection is made anew for single silent or unacknowledged streams at most this often: one dead
/// symbol does not make all the others be subscribed again and again.
pub const BINANCE_RENEW_INTERVAL_MS: u64 = 1_800_000;

/// A stream that stays silent on a new connection too is asked for again this often.
pub const BINANCE_STREAM_RETRY_MS: u64 = 300_000;

/// Mark prices come every second: silent for this long (unless configured otherwise), a funding stream is
/// stale.
pub const BINANCE_FUNDING_SILENT_MS: u64 = 5_000;

/// Hours between settlements of a contract that `fundingInfo` does not name (venue documentation).
pub const BINANCE_FUNDING_HOURS: u32 = 8;

/// First pause before `fundingInfo` is asked for again after a failure; doubles each time.
pub const FUNDING_INFO_RETRY_FIRST_MS: u64 = 2_000;

/// Longest pause before `fundingInfo` is asked for again (500 requests in five minutes are allowed).
pub const FUNDING_INFO_RETRY_LAST_MS: u64 = 60_000;

/// The instrument list is asked for anew this often: ticks and statuses change without a word.
pub const INSTRUMENTS_REFRESH_MS: u64 = 3_600_000;

/// … earlier by up to this, drawn each time.
pub const INSTRUMENTS_REFRESH_JITTER_MS: u64 = 300_000;

/// Between two requests for the list that listings announce there is at least this; what is announced
/// meanwhile makes one more.
pub const INSTRUMENTS_SPACING_MS: u64 = 10_000;

/// A frame's time this far from the venue's clock as known is believed when a second one agrees.
pub const VENUE_CLOCK_STEP_MS: u64 = 60_000;

/// Candles of the finest interval kept per interval that is made of them: as long as REST may be late with
/// corrections. One that comes later still reaches the finest interval alone.
pub const CANDLE_PARTS_KEPT: usize = 256;

// Candle history: answers without rows, and clocks that are wrong.

/// After a load that brought nothing, or was refused, the series is asked for again after this long …
pub const HISTORY_EMPTY_RETRY_MS: u64 = 60_000;

/// … until so many in a row brought nothing: then it counts as complete as it stands …
pub const HISTORY_EMPTY_ANSWERS_MAX: u32 = 3;

/// … and is asked for this often from then on: a venue that refuses today may have rows tomorrow.
pub const HISTORY_EMPTY_RETRY_SLOW_MS: u64 = 600_000;

/// The local clock may be ahead of the venue's by this much without making a running candle a closed one, even
/// where nothing is traded that shows the venue's time.
pub const HISTORY_CLOCK_ERROR_MS: u64 = 3_600_000;

/// What shows the venue's time to be ahead of the local clock by more than this is not believed.
pub const HISTORY_CLOCK_BEHIND_MAX_MS: u64 = 86_400_000;

/// When two Hyperliquid connections die within this time of each other, the network fell: nothing is concluded
/// about what was subscribed on either.
pub const HYPERLIQUID_SAME_FALL_MS: u64 = 1_000;

/// Nothing is sent for this long after the venue said that messages were too many, or subscriptions while some
/// were tried: others at the same address use up its limits, too.
pub const HYPERLIQUID_LIMIT_REST_MS: u64 = 20_000;

/// A list that was asked for so many times in a row without a good answer is left as it is until the next
/// regular time.
pub const LIST_RETRIES_MAX: u32 = 8;

// What the venues are known to do, against which they are watched.

/// Gaps between messages of a stream whose median is its pace: a minute and a half of the slowest stream.
pub const CADENCE_WINDOW: usize = 16;

/// A pace is another than expected when it is longer or shorter than that by more than this: half as much again, in
/// percent. Measured medians of one feed were within 3 % of each other (2026-07 to 2026-09), and the venue's
/// own changes were by a factor of two at least.
pub const CADENCE_FACTOR_PERCENT: u64 = 150;

/// An instrument of which nothing that counts has come for this long is no witness of its stream's pace.
pub const CADENCE_WITNESS_SILENT_MS: u64 = 60_000;

/// Quotes of a symbol between two of its depth events that show the market to be so busy that the second one
/// should have come in time.
pub const CADENCE_BUSY_QUOTES: u32 = 4;

/// Hyperliquid's default `l2Book` comes this often (medians of 5.36 to 5.43 s, 2026-07 to 2026-09).
pub const HYPERLIQUID_DEFAULT_BOOK_MS: u64 = 5_400;

/// Its fast one (medians of 537 to 550 ms, same time).
pub const HYPERLIQUID_FAST_BOOK_MS: u64 = 540;

/// Binance's `depth@100ms` (venue documentation).
pub const BINANCE_DEPTH_MS: u64 = 100;

/// Binance's `markPrice@1s` (venue documentation).
pub const BINANCE_MARK_PRICE_MS: u64 = 1_000;

/// A candle stream whose symbol has traded for this long beyond its last frame is behind: frames follow trades within
/// 250 ms (venue documentation).
pub const BINANCE_KLINE_BEHIND_TRADES_MS: u64 = 2_000;

// HTTP for whoever watches the daemon.

/// Connections answered at once; others wait in the kernel's queue.
pub const HTTP_CLIENTS_MAX: usize = 16;

/// Bytes of a request; a longer one is refused (431). Scrapers send a few hundred.
pub const HTTP_REQUEST_BYTES_MAX: usize = 8192;

/// A connection that has not been asked and answered within this is closed.
pub const HTTP_TIMEOUT_MS: u64 = 5_000;

/// A port that could not be had is asked for again after this.
pub const HTTP_RETRY_MS: u64 = 5_000;
