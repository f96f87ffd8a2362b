//! Hyperliquid: messages of the public WebSocket.
//!
//! Shapes as of October 2026. Keys come in more than one order: that of the documentation, and
//! alphabetically (captures of 2025). Unknown ones are ignored.

pub(super) mod general;
mod general_fills;
mod general_market;
mod scan;
mod scan_candle;
mod scan_ctx;
mod subscription;

pub use subscription::{Subscription, parse_subscription};

use super::general::General;
use super::{DecodeError, Strange, side_buffer};
use crate::candle::CandleRow;
use crate::decimal::{Price, Rate, Size};
use crate::limits::DOCUMENT_BYTES_START;
use crate::limits::MESSAGE_TRADES_MAX;
use crate::record::Level;
use crate::words::{Interval, Side};
use bumpalo::Bump;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message<'a> {
    /// `l2Book`: a complete book of up to 20 levels a side, 5 with `fast`.
    Book(L2Book<'a>),
    /// `bbo`: the best bid and ask of a block.
    Bbo(Bbo<'a>),
    /// `trades`, oldest first; the first message after a subscription repeats recent ones, unmarked.
    Trades(&'a [Trade<'a>]),
    /// `candle`: candles as they stand; the venue does not say when one is final. One at a time as measured,
    /// though documented ambiguously.
    Candles(&'a [CandleFrame<'a>]),
    /// `activeAssetCtx` and `activeSpotAssetCtx`.
    AssetCtx(AssetCtx<'a>),
    /// `allDexsAssetCtxs`: every perp of every exchange, by its place in that exchange's `meta`.
    DexCtxs(&'a [DexCtx<'a>]),
    /// `userFills`.
    UserFills(UserFills<'a>),
    /// A subscription is acknowledged, with defaults filled in.
    Subscribed(Subscription<'a>),
    /// The end of a subscription is acknowledged.
    Unsubscribed(Subscription<'a>),
    /// The venue's text on channel `error`; see [`parse_subscription`].
    Error(&'a str),
    /// The answer to a ping.
    Pong,
    /// The answer to a `post` request.
    Post {
        /// The request's id.
        id: u64,
    },
    /// JSON that carries none of the above.
    Other {
        /// The channel; empty where absent.
        channel: &'a str,
    },
    /// Plain text, such as the greeting `Websocket connection established.` of older servers.
    Text,
}

/// A complete book. Levels are best first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct L2Book<'a> {
    /// Coin, as subscribed.
    pub coin: &'a str,
    /// Venue time, ms since the epoch.
    pub time_ms: u64,
    /// The quick feed of five levels (`fast`, since 2026-06).
    pub fast: bool,
    /// Prices are aggregated (`nSigFigs`): the message has a `spread`.
    pub aggregated: bool,
    /// Bids, highest first.
    pub bids: &'a [Level],
    /// Asks, lowest first.
    pub asks: &'a [Level],
    /// Levels left out because they have more digits than are carried.
    pub unrepresentable: u32,
}

/// The best bid and ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bbo<'a> {
    /// Coin, as subscribed.
    pub coin: &'a str,
    /// Block time, ms since the epoch.
    pub time_ms: u64,
    /// Best bid; `None` when there is none, or it is unrepresentable.
    pub bid: Option<Level>,
    /// Best ask; `None` when there is none, or it is unrepresentable.
    pub ask: Option<Level>,
    /// A side is missing because it has more digits than are carried.
    pub unrepresentable: bool,
}

/// One trade.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade<'a> {
    /// Coin, as subscribed.
    pub coin: &'a str,
    /// Who took liquidity (`B` the buyer, `A` the seller).
    pub side: Side,
    /// Price and size; `None` when one has more digits than are carried.
    pub value: Option<(Price, Size)>,
    /// Block time, ms since the epoch; many trades share it.
    pub time_ms: u64,
    /// The venue's id: a hash, not ascending, unique with time and coin.
    pub tid: u64,
}

/// A candle as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CandleFrame<'a> {
    /// Coin, as subscribed.
    pub coin: &'a str,
    /// Its interval; `None` for one not known here.
    pub interval: Option<Interval>,
    /// Start of its period, its last millisecond, and its values.
    pub row: CandleRow,
}

/// Funding and mark of one coin. The venue gives no time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AssetCtx<'a> {
    /// Coin, as subscribed; empty in [`DexCtx`].
    pub coin: &'a str,
    /// A spot pair's: no funding, no open interest, no oracle price.
    pub spot: bool,
    /// Funding rate as a fraction per hour; `None` when absent, null, empty, or of more digits than are carried.
    pub rate: Option<Rate>,
    /// Open interest, base units; `None` as above.
    pub open_interest: Option<Size>,
    /// Oracle price; `None` as above.
    pub oracle: Option<Price>,
    /// Mark price; `None` as above.
    pub mark: Option<Price>,
}

/// One entry of `allDexsAssetCtxs`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DexCtx<'a> {
    /// The exchange; empty for the first one.
    pub dex: &'a str,
    /// Its place in the exchange's `meta` universe.
    pub position: u32,
    /// How many the exchange has in this message: another number than `meta`'s means that `meta` is old.
    pub count: u32,
    /// The values.
    pub ctx: AssetCtx<'a>,
}

/// Fills of one account.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserFills<'a> {
    /// The account's address.
    pub user: &'a str,
    /// The past ones that begin every subscription.
    pub is_snapshot: bool,
    /// The fills, in the order sent.
    pub fills: &'a [UserFill<'a>],
}

/// One fill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UserFill<'a> {
    /// Coin.
    pub coin: &'a str,
    /// The account's side (`B` bought, `A` sold).
    pub side: Side,
    /// Price and size; `None` when one has more digits than are carried.
    pub value: Option<(Price, Size)>,
    /// Block time, ms since the epoch.
    pub time_ms: u64,
    /// Order id.
    pub oid: u64,
    /// Trade id.
    pub tid: u64,
    /// Fee, in its token's units; negative: a rebate. `None` when absent, null, empty, or of more digits than
    /// are carried.
    pub fee: Option<Price>,
}

/// Turns messages of one connection into [`Message`]s. Holds all the memory that takes.
pub struct Decoder {
    bids: Box<[Level]>,
    asks: Box<[Level]>,
    /// Of the scanner: trades or candles of one message.
    arena: Bump,
    general: General,
    fallbacks: u64,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// A decoder with its memory taken.
    #[must_use]
    pub fn new() -> Self {
        Self {
            bids: side_buffer(),
            asks: side_buffer(),
            arena: Bump::with_capacity(MESSAGE_TRADES_MAX * size_of::<Trade<'_>>()),
            general: General::new(DOCUMENT_BYTES_START),
            fallbacks: 0,
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`DecodeError`], when it is neither JSON nor plain text, when a field of a known channel is missing
    /// or of another type, negative or named twice, or when it has more levels, trades, candles, fills or
    /// entries of exchanges than the `MESSAGE_…_MAX` of [`crate::limits`].
    #[inline]
    pub fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        match scan::message(bytes, &mut self.bids, &mut self.asks, &mut self.arena) {
            Some(message) => Ok(message),
            None => {
                self.fallbacks += 1;
                fallback(bytes, &mut self.general)
            }
        }
    }

    /// Reads one message by the general parser alone, which gives the same answer. For tests.
    ///
    /// # Errors
    /// As [`Self::decode`].
    #[doc(hidden)]
    pub fn decode_general<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        self.fallbacks += 1;
        fallback(bytes, &mut self.general)
    }

    /// What was strange in the messages read so far.
    pub fn strange(&mut self) -> &mut Strange {
        self.general.strange()
    }

    /// Messages the scanner handed to the general parser.
    #[must_use]
    pub const fn fallbacks(&self) -> u64 {
        self.fallbacks
    }
}

#[cold]
fn fallback<'a>(bytes: &'a [u8], parser: &'a mut General) -> Result<Message<'a>, DecodeError> {
    if is_text(bytes) { Ok(Message::Text) } else { parser.read(bytes, general::message) }
}

/// Neither JSON nor what is left of it: text without quotes and brackets.
fn is_text(bytes: &[u8]) -> bool {
    let greeting = bytes.first().is_some_and(u8::is_ascii_alphabetic);
    greeting
        && !bytes.iter().any(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))
        && core::str::from_utf8(bytes).is_ok()
}
