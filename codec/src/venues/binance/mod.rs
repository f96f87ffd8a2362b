//! Binance USDⓈ-M futures: messages of the market-data WebSocket.
//!
//! Shapes as of October 2026 (fields `st`, `ps` since 2026-06-30, `nq` since 2025-12-31), raw (`/ws`) and
//! combined (`/stream`). Keys that differ only by case differ in meaning here; unknown ones are ignored.

pub(super) mod general;
mod scan;
mod scan_kline;
mod scan_mark_price;

use super::general::General;
use super::{DecodeError, Strange, side_buffer};
use crate::candle::CandleRow;
use crate::decimal::{Price, Rate, Size};
use crate::limits::DOCUMENT_BYTES_START;
use crate::record::Level;
use crate::words::{Interval, Side};

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Message<'a> {
    /// `depthUpdate`: a difference, or with `@depth5|10|20` a complete top of the book.
    Depth(Depth<'a>),
    /// `bookTicker`.
    BookTicker(BookTicker<'a>),
    /// `aggTrade`.
    AggTrade(AggTrade<'a>),
    /// `trade` (undocumented for these futures, 2026-10).
    Trade(Trade<'a>),
    /// `kline`: a candle, open or closed.
    Kline(Kline<'a>),
    /// `markPriceUpdate`.
    MarkPrice(MarkPrice<'a>),
    /// `contractInfo`: something about a listing changed; the instrument list tells what.
    ContractInfo {
        /// Symbol, upper case.
        symbol: &'a str,
        /// A COIN-M contract (`st` = 2).
        coin_margined: bool,
    },
    /// A request was done: `{"result":…,"id":…}`.
    Reply {
        /// The request's id, if it is an unsigned integer.
        id: Option<u64>,
    },
    /// A request was refused: `code` and `msg` at the top or under `error`.
    Error {
        /// The request's id, if told.
        id: Option<u64>,
        /// The venue's code; 0 where absent.
        code: i64,
        /// The venue's text.
        message: &'a str,
    },
    /// JSON that carries none of the above: another event, an `@arr` stream's array, something new.
    Other {
        /// The combined stream's name; empty where absent.
        stream: &'a str,
        /// The event's name; empty where absent.
        event: &'a str,
    },
}

/// A depth event. Levels are in the order sent, sizes absolute, size zero deletes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Depth<'a> {
    /// The combined stream's name; empty on a raw connection.
    pub stream: &'a str,
    /// Symbol, upper case.
    pub symbol: &'a str,
    /// When it was published (`E`), ms since the epoch.
    pub event_ms: u64,
    /// When it happened (`T`), ms since the epoch.
    pub transaction_ms: u64,
    /// First update id of the event (`U`).
    pub first_id: u64,
    /// Last update id of the event (`u`).
    pub last_id: u64,
    /// Last update id of this stream's previous event (`pu`).
    pub prev_id: u64,
    /// Changed bids.
    pub bids: &'a [Level],
    /// Changed asks.
    pub asks: &'a [Level],
    /// Levels left out because they have more digits than are carried.
    pub unrepresentable: u32,
    /// A COIN-M contract (`st` = 2).
    pub coin_margined: bool,
}

/// The best bid and offer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BookTicker<'a> {
    /// The combined stream's name; empty on a raw connection.
    pub stream: &'a str,
    /// Symbol, upper case.
    pub symbol: &'a str,
    /// When it was published (`E`), ms since the epoch.
    pub event_ms: u64,
    /// When it happened (`T`), ms since the epoch.
    pub transaction_ms: u64,
    /// Update id (`u`), of one numbering with the depth's.
    pub update_id: u64,
    /// Best bid and best ask; `None` when one has more digits than are carried.
    pub quote: Option<(Level, Level)>,
    /// A COIN-M contract (`st` = 2).
    pub coin_margined: bool,
}

/// Fills of one taker order at one price within 100 ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggTrade<'a> {
    /// The combined stream's name; empty on a raw connection.
    pub stream: &'a str,
    /// Symbol, upper case.
    pub symbol: &'a str,
    /// When it was published (`E`), ms since the epoch.
    pub event_ms: u64,
    /// When it was traded (`T`), ms since the epoch.
    pub trade_ms: u64,
    /// Aggregate id (`a`), without holes per symbol.
    pub agg_id: u64,
    /// Price, and size with retail-price-improvement fills (`q`); `None` when one has more digits than are
    /// carried.
    pub value: Option<(Price, Size)>,
    /// Who took liquidity (`m` true: the seller).
    pub side: Side,
    /// A COIN-M contract (`st` = 2).
    pub coin_margined: bool,
}

/// One fill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trade<'a> {
    /// The combined stream's name; empty on a raw connection.
    pub stream: &'a str,
    /// Symbol, upper case.
    pub symbol: &'a str,
    /// When it was published (`E`), ms since the epoch.
    pub event_ms: u64,
    /// When it was traded (`T`), ms since the epoch.
    pub trade_ms: u64,
    /// Trade id (`t`), without holes per symbol.
    pub trade_id: u64,
    /// Price and size; `None` when one has more digits than are carried.
    pub value: Option<(Price, Size)>,
    /// Who took liquidity (`m` true: the seller).
    pub side: Side,
    /// A trade of the market (`X` is `MARKET`). Others, with price zero or of the insurance fund, only use
    /// up an id.
    pub market: bool,
    /// A COIN-M contract (`st` = 2).
    pub coin_margined: bool,
}

/// A candle as it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kline<'a> {
    /// The combined stream's name; empty on a raw connection.
    pub stream: &'a str,
    /// Symbol, upper case.
    pub symbol: &'a str,
    /// When it was published (`E`), ms since the epoch.
    pub event_ms: u64,
    /// Its interval; `None` for one not known here.
    pub interval: Option<Interval>,
    /// Start of its period, its last millisecond, and its values (`k.t`, `k.T`).
    pub row: CandleRow,
    /// Whether this is final (`k.x`).
    pub closed: bool,
}

/// Mark price and funding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MarkPrice<'a> {
    /// The combined stream's name; empty on a raw connection.
    pub stream: &'a str,
    /// Symbol, upper case.
    pub symbol: &'a str,
    /// When it was published (`E`), ms since the epoch.
    pub event_ms: u64,
    /// Mark price (`p`), rounded by nobody: `None` when it has more digits than are carried.
    pub mark: Option<Price>,
    /// Index price (`i`); `None` when absent, null, empty, or of more digits than are carried.
    pub index: Option<Price>,
    /// Funding rate of the current period as a fraction per funding interval (`r`); `None` when empty or null
    /// (a contract without funding), or of more digits than are carried.
    pub rate: Option<Rate>,
    /// Next settlement (`T`), ms since the epoch; 0: none.
    pub next_funding_ms: u64,
    /// A COIN-M contract (`st` = 2).
    pub coin_margined: bool,
}

/// Turns messages of one connection into [`Message`]s. Holds all the memory that takes.
pub struct Decoder {
    bids: Box<[Level]>,
    asks: Box<[Level]>,
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
            general: General::new(DOCUMENT_BYTES_START),
            fallbacks: 0,
        }
    }

    /// Reads one message.
    ///
    /// # Errors
    /// [`DecodeError`], when it is not JSON, when a field of a known event is missing or of another type,
    /// negative or named twice, or when it has more levels than [`MESSAGE_LEVELS_MAX`](crate::limits::MESSAGE_LEVELS_MAX).
    #[inline]
    pub fn decode<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Message<'a>, DecodeError> {
        match scan::message(bytes, &mut self.bids, &mut self.asks) {
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
    parser.read(bytes, general::message)
}

/// The aggressor, from `m`: whether the buyer's order was resting.
const fn aggressor(buyer_is_maker: bool) -> Side {
    if buyer_is_maker { Side::Sell } else { Side::Buy }
}
