//! Every limit of this crate: its name, its reason, and what happens at it.

/// Levels a side that a book keeps unless configured otherwise (`book_levels_max`). On the real BTCUSDT
/// feed a book grows to five thousand levels a side within minutes; beyond the limit the worst levels are
/// dropped and the horizon moves in ([`crate::book`]).
pub const BOOK_LEVELS_DEFAULT: usize = 4096;

/// The largest `book_levels_max`, so that a snapshot record stays below [`RECORD_BYTES_MAX`].
pub const BOOK_LEVELS_MAX: usize = 5000;

/// Levels a side in one decoded message or delta record. The largest event seen had 856; an event with
/// more is refused by the decoder and its book resynchronises.
pub const MESSAGE_LEVELS_MAX: usize = 5000;

/// Bytes of one record, header included: a full book with a time per level on both sides, rounded up.
/// Nothing larger is ever built.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a symbol or asset name. Venue names are below 30 bytes, non-ASCII ones included; an instrument
/// with a longer name is not carried.
pub const NAME_BYTES_MAX: usize = 48;

/// Levels a side that the check record's CRC covers.
pub const CHECK_LEVELS: usize = 20;

/// Trades in one venue message. Hyperliquid has sent 121; a longer array is refused by the decoder,
/// counted, and told as a gap.
pub const MESSAGE_TRADES_MAX: usize = 4096;

/// Candles in one message or answer. Messages carry one; of history Hyperliquid keeps 5,000 an interval (5,116
/// were counted once), Binance gives 1,500. A longer array is refused.
pub const MESSAGE_CANDLES_MAX: usize = 8192;

/// Entries of all exchanges together in one `allDexsAssetCtxs`, about 1,100 in October 2026. A message with more
/// is refused.
pub const MESSAGE_CTXS_MAX: usize = 8192;

/// Fills in one message. The snapshot of an account has up to 2,000; a longer array is refused.
pub const MESSAGE_FILLS_MAX: usize = 4096;

/// Bytes of one document. Frames stay far below (the largest seen, `allDexsAssetCtxs`, has 116 KB), the
/// largest REST body (Binance's exchangeInfo) has 1.2 MB. A larger one is refused as too large.
pub const DOCUMENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Objects and arrays inside each other; the venues nest six deep. A deeper document is refused.
pub const DOCUMENT_DEPTH_MAX: usize = 64;

/// Bytes of the document a decoder's parser has memory for from the start: no frame of a hot channel has been
/// larger. Larger ones make the buffers grow, which they then keep.
pub const DOCUMENT_BYTES_START: usize = 64 * 1024;

/// Different unknown members and words that a decoder keeps apart; what is beyond is counted together. A venue
/// adds a few in a year.
pub const STRANGE_THINGS_MAX: usize = 32;

/// Bytes of an unknown member's or word's name that are kept; the rest is cut.
pub const STRANGE_NAME_BYTES_MAX: usize = 40;

/// Different ways in which one venue has changed that are kept apart in a run; what is beyond is counted together.
/// A decoder's unknown members take a third of them at most. Beyond what is reserved for each kind, 32 places go to
/// whoever comes first.
pub const DRIFT_ENTRIES_MAX: usize = 96;

/// Of these, places that each kind has to itself. A tick or a lot is changed for one symbol after another, an entry
/// each, in the ordinary course of a month: that must not leave a new channel without a place for its first frame. A
/// venue that changes in more ways of one kind than this is read about in its announcements anyway.
pub const DRIFT_ENTRIES_RESERVED: usize = 8;

/// Bytes of the first message that showed a change which are kept; the rest is cut.
pub const DRIFT_FRAME_BYTES_MAX: usize = 512;

/// Bytes of what a change is about; the rest is cut.
pub const DRIFT_WHAT_BYTES_MAX: usize = 96;
