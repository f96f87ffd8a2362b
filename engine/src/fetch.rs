//! What sessions ask of REST, and what they get: plain values, so that sessions know no HTTP.

use codec::candle::CandleRow;
use codec::venues::{rest_binance, rest_hyperliquid};
use codec::words::{Interval, Venue};

/// Who goes first at a venue's token bucket. How far each may fill it: `fetcher/budget.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Resynchronisation and gap-fill.
    Repair,
    /// What a strategy asked for.
    Asked,
    /// The first snapshot of a book that nobody waits for.
    Seed,
    /// The rest.
    Background,
}

/// One REST question. `instrument` and `token` come back with the answer and mean nothing to the fetcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Venue to ask.
    pub venue: Venue,
    /// What is asked.
    pub query: Query,
    /// Instrument it is for, or [`codec::record::NO_INSTRUMENT`].
    pub instrument: u32,
    /// The session's own mark.
    pub token: u64,
    /// Place in the queue.
    pub priority: Priority,
}

/// The questions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Binance `exchangeInfo`; Hyperliquid `meta` of the first dex.
    Instruments,
    /// Hyperliquid `meta` of a builder dex.
    DexInstruments {
        /// Its name, lower case.
        dex: String,
    },
    /// Hyperliquid `spotMeta`.
    SpotInstruments,
    /// A book snapshot: Binance `depth`, Hyperliquid `l2Book`.
    Book {
        /// The venue's symbol.
        symbol: String,
        /// Levels a side (Binance: 5, 10, 20, 50, 100, 500, 1000).
        limit: u32,
    },
    /// Candles that start from `start_ms` to `end_ms`, both included, oldest first: Binance `klines`,
    /// Hyperliquid `candleSnapshot`. The period that runs now comes with them, if it starts in there.
    Candles {
        /// The venue's symbol.
        symbol: String,
        /// Their interval.
        interval: Interval,
        /// Start of the first, ms since the epoch.
        start_ms: u64,
        /// Start of the last, ms since the epoch.
        end_ms: u64,
        /// Rows at most (Binance: 1,500; Hyperliquid has 5,000 in all): the oldest come.
        limit: u32,
    },
    /// Binance `fundingInfo`: symbols whose funding interval is not eight hours.
    FundingInfo,
    /// Hyperliquid `metaAndAssetCtxs`: what was traded of each perp in a day.
    Turnover,
    /// Binance `aggTrades` from an id on, ascending.
    AggTrades {
        /// The venue's symbol.
        symbol: String,
        /// First id wanted.
        from_id: u64,
        /// Rows, at most 1,000.
        limit: u32,
    },
}

/// A question's end.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The question.
    pub request: FetchRequest,
    /// The answer.
    pub outcome: Result<Answer, FetchError>,
}

/// The answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Query::Instruments`] at Binance.
    BinanceInstruments(rest_binance::ExchangeInfo),
    /// To [`Query::Instruments`] and [`Query::DexInstruments`] at Hyperliquid.
    HyperliquidInstruments(Vec<rest_hyperliquid::InstrumentInfo>),
    /// To [`Query::SpotInstruments`].
    HyperliquidSpot(Vec<rest_hyperliquid::SpotInfo>),
    /// To [`Query::Book`] at Binance.
    BinanceBook(rest_binance::DepthSnapshot),
    /// To [`Query::Book`] at Hyperliquid; `None`: the venue does not know the coin.
    HyperliquidBook(Option<rest_hyperliquid::L2BookSnapshot>),
    /// To [`Query::AggTrades`].
    AggTrades(Vec<rest_binance::AggTradeRow>),
    /// To [`Query::Candles`].
    Candles(Vec<CandleRow>),
    /// To [`Query::FundingInfo`].
    FundingInfo(Vec<rest_binance::FundingInfo>),
    /// To [`Query::Turnover`].
    Turnover(Vec<rest_hyperliquid::Turnover>),
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// Worth another try: network, time-out, 5xx, 403.
    Transient(String),
    /// The venue's limit: the fetcher itself waits this long before it asks anything again.
    RateLimited {
        /// Milliseconds until the fetcher asks again.
        retry_after_ms: u64,
    },
    /// Asking again will not help: 4xx, an unknown symbol, a body that cannot be read.
    Permanent {
        /// HTTP status, 0 where the answer was not HTTP's fault.
        status: u16,
        /// The venue's own error code, 0 where it gave none.
        code: i64,
        /// What it said.
        message: String,
    },
    /// The queue for this venue is full; nothing was asked.
    Overflow,
}
