//! Everything that can be made to go wrong on command.
//!
//! A new fault is a variant here, its text form in `forms.rs`, and the place that obeys it:
//!
//! ```text
//! the market      change_market                  stop_trades, list_symbol, …
//! the venue       Disturbances, the publishers   what is told, and what is not
//! REST            RestFaults                     statuses, garbage, late answers
//! a frame         Wire, Clock, Cadences          its keys, its stamps, its form on the wire
//! a connection    transport_fault                cuts
//! the transport   Transport                      TCP, TLS, how fast bytes come
//! names           Names                          look-ups
//! ```

mod forms;

use crate::error::SimError;
use crate::market::{Interval, Market, NewListing, Venue};
use crate::protocol::Route;
pub use forms::{FAULT_FORMS, fault_form, form_keys};

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutHow {
    /// A close frame with code 1000, as at a planned restart.
    Close,
    /// The TCP connection ends without a close frame: clients report 1006.
    Drop,
    /// A TCP reset.
    Reset,
    /// Half a WebSocket frame is sent, then the TCP connection ends.
    MidFrame,
    /// Half a TLS record is sent, then the TCP connection ends; without TLS half a frame.
    MidRecord,
}

/// How new connections are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseHow {
    /// Accepted by the system, and closed at once.
    Close,
    /// Nobody listens: `ECONNREFUSED`.
    Refuse,
}

/// What is wrong with TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsHow {
    /// Bytes that are no TLS answer the client's hello.
    Garbage,
    /// The certificate is for another name.
    WrongName,
    /// The certificate expired years ago.
    Expired,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedHow {
    /// The text ends in the middle.
    Truncated,
    /// The text is no JSON.
    NotJson,
    /// Prices and sizes are `null`.
    WrongType,
    /// The payload of the text frame is not UTF-8.
    NotUtf8,
}

/// The order in which keys come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrangeOrder {
    /// Backwards.
    Reversed,
    /// Another one in every object of every frame, by the seed.
    Shuffled,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Cuts the WebSocket connections, of one route or of all.
    Cut {
        /// Which connections; all if none is named.
        route: Option<Route>,
        /// How.
        how: CutHow,
        /// The code of a close frame.
        code: u16,
    },
    /// Closes all connections with code 1000, as Binance does with each after 24 hours.
    DayCut {
        /// Which connections; all if none is named.
        route: Option<Route>,
    },
    /// Refuses every new TCP connection for a while.
    RefuseConnections {
        /// How long.
        for_ms: i64,
        /// How.
        how: RefuseHow,
    },
    /// Lets every new connection's TLS fail for a while.
    TlsFailure {
        /// How long.
        for_ms: i64,
        /// How.
        how: TlsHow,
    },
    /// Lets look-ups through [`crate::Names`] fail for a while.
    DnsFailure {
        /// How long.
        for_ms: i64,
    },
    /// Sends everything slowly for a while, each connection at this speed.
    Drip {
        /// How long.
        for_ms: i64,
        /// How fast.
        bytes_per_s: u64,
    },
    /// Sends the next data frames in fragments.
    FragmentFrames {
        /// How many frames.
        frames: u32,
    },
    /// Sends the next data frames as binary messages.
    BinaryFrames {
        /// How many frames.
        frames: u32,
    },
    /// Pads the next data frame with an unknown member to this size.
    OversizeFrame {
        /// Bytes of the frame's text.
        bytes: usize,
    },
    /// Spoils the next data frames, so that what they held is lost.
    MalformedFrames {
        /// How many frames.
        frames: u32,
        /// Of one symbol, or of any.
        symbol: Option<String>,
        /// How.
        how: MalformedHow,
    },
    /// Swaps frames of a symbol with the next of the same stream.
    ReorderFrames {
        /// The symbol.
        symbol: String,
        /// How many swaps on each of its streams.
        frames: u32,
    },
    /// Adds unknown members to every object of the next data frames.
    NewFields {
        /// How many frames.
        frames: u32,
    },
    /// Sends frames of unknown channels or events on every connection now.
    NewChannel {
        /// How many frames on each connection.
        frames: u32,
    },
    /// Tells values that the venue has not told so far where it has a list of them.
    NewValues {
        /// How many frames of each kind.
        frames: u32,
    },
    /// Sends the keys of data frames in another order for a while.
    KeyOrder {
        /// How long.
        for_ms: i64,
        /// Which.
        order: StrangeOrder,
    },
    /// Tells trades without price and size before the next trades of a symbol.
    ZeroPriceTrades {
        /// The symbol.
        symbol: String,
        /// How many.
        count: u32,
    },
    /// Binance: tells an empty funding rate of a symbol for a while.
    EmptyRate {
        /// The symbol, upper case.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Tells the next quotes of a symbol without bid, without ask, and without both, in turn.
    NullSides {
        /// The symbol.
        symbol: String,
        /// How many frames.
        frames: u32,
    },
    /// Answers the next book snapshot requests late, with the book as it was when it was asked for.
    SlowSnapshots {
        /// How much later.
        delay_ms: i64,
        /// How many requests.
        requests: u32,
        /// The symbol; any if none is named.
        symbol: Option<String>,
    },
    /// Answers every REST request with an error for a while.
    RestStatus {
        /// 418, 429, 500 or 503.
        status: u16,
        /// How long.
        for_ms: i64,
        /// What `Retry-After` says; as the venue does if not given.
        retry_after_s: Option<u32>,
    },
    /// Answers the next REST requests with status 200 and something that is not what was asked for.
    RestGarbage {
        /// How many requests.
        requests: u32,
    },
    /// Steps the venue's clock: its stamps jump, the market's own times do not.
    ClockStep {
        /// By how much; negative: back.
        by_ms: i64,
        /// How long; for good if not given.
        for_ms: Option<i64>,
    },
    /// Tells a stream of states at most this often for a while.
    ChangeCadence {
        /// The stream, named as for [`Fault::SilenceStream`].
        stream: String,
        /// The shortest time between two frames.
        period_ms: i64,
        /// How long this goes on.
        for_ms: i64,
    },
    /// Loses the next acknowledgements of subscriptions, which are made all the same.
    LoseAcks {
        /// How many.
        count: u32,
    },
    /// Acknowledges the next subscriptions, and delivers nothing.
    AckedAndSilent {
        /// How many streams.
        count: u32,
    },
    /// Hyperliquid: greets the next connections with a bare text that is no JSON.
    Greeting {
        /// How many connections.
        connections: u32,
    },
    /// Answers every REST request this much later, for a while.
    DelayRest {
        /// How much later.
        delay_ms: i64,
        /// How long this goes on.
        for_ms: i64,
    },
    /// Binance: withholds the next events of a symbol's diff depth streams, so that the next `pu` does not fit.
    BreakDepthSequence {
        /// The symbol, upper case.
        symbol: String,
        /// How many events of each speed.
        events: u32,
    },
    /// Binance: withholds the next aggregate trades of a symbol, so that their ids leave a hole.
    DropTrades {
        /// The symbol, upper case.
        symbol: String,
        /// How many.
        count: u32,
    },
    /// Answers the next book snapshot requests from a cache.
    StaleSnapshots {
        /// The symbol; any if none is named.
        symbol: Option<String>,
        /// How many requests.
        requests: u32,
        /// How old the answer is.
        age_ms: i64,
    },
    /// Sends nothing on one stream for a while. Binance: the stream's name. Hyperliquid: `l2Book:BTC`,
    /// `l2BookFast:BTC`, `bbo:BTC`, `trades:BTC`, …
    SilenceStream {
        /// The stream.
        stream: String,
        /// How long.
        for_ms: i64,
    },
    /// Sends nothing of one symbol for a while.
    SilenceSymbol {
        /// The symbol.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Makes the next book frames of a symbol cross: a bid at the best ask.
    CrossedBook {
        /// The symbol.
        symbol: String,
        /// How many frames, of whichever book streams come first.
        frames: u32,
    },
    /// Binance: sends the next closing kline frames of a symbol late.
    LateCloseFrames {
        /// The symbol, upper case.
        symbol: String,
        /// Of one interval, or of all.
        interval: Option<Interval>,
        /// How much later.
        delay_ms: i64,
        /// How many closing frames of each interval.
        frames: u32,
    },
    /// Binance: loses the next closing kline frames of a symbol.
    LoseCloseFrames {
        /// The symbol, upper case.
        symbol: String,
        /// Of one interval, or of all.
        interval: Option<Interval>,
        /// How many closing frames of each interval.
        frames: u32,
    },
    /// Binance: loses every kline frame of a symbol for a while.
    SilenceKlines {
        /// The symbol, upper case.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Hyperliquid: tells no candle frame in the last moments of the next periods, nor after them, so that their last
    /// trades are never shown; REST has them.
    ShortCandles {
        /// The coin.
        symbol: String,
        /// Of one interval, or of all.
        interval: Option<Interval>,
        /// How long before the end of a period its frames end.
        before_ms: i64,
        /// How many periods of each interval.
        periods: u32,
    },
    /// Answers requests for candles with status 500, or not at all, for a while.
    CandleRestDown {
        /// Not at all, instead of 500.
        timeout: bool,
        /// How long.
        for_ms: i64,
    },
    /// Lets REST tell a candle only some time after its period has ended, for a while: until then its row is missing,
    /// or without its last trade.
    LateCandleRows {
        /// The symbol; any if none is named.
        symbol: Option<String>,
        /// Missing, instead of without the last trade.
        missing: bool,
        /// How long after the end.
        lag_ms: i64,
        /// How long this goes on.
        for_ms: i64,
    },
    /// Lets nobody trade a symbol for a while; its book lives on.
    StopTrades {
        /// The symbol.
        symbol: String,
        /// How long.
        for_ms: i64,
    },
    /// Lists a symbol.
    ListSymbol(NewListing),
    /// Ends a symbol's trading for good.
    HaltSymbol {
        /// The symbol.
        symbol: String,
    },
    /// Binance: gives a symbol another tick.
    ChangeTick {
        /// The symbol, upper case.
        symbol: String,
        /// The tick at 1e-8.
        tick_e8: i64,
    },
    /// Sends the next frames of a symbol twice.
    DuplicateFrames {
        /// The symbol.
        symbol: String,
        /// How many frames.
        frames: u32,
    },
}

impl Fault {
    /// The symbol it is about, if it is about one that must exist.
    pub fn symbol(&self) -> Option<&String> {
        match self {
            Self::BreakDepthSequence { symbol, .. }
            | Self::DropTrades { symbol, .. }
            | Self::SilenceSymbol { symbol, .. }
            | Self::CrossedBook { symbol, .. }
            | Self::DuplicateFrames { symbol, .. }
            | Self::LateCloseFrames { symbol, .. }
            | Self::LoseCloseFrames { symbol, .. }
            | Self::SilenceKlines { symbol, .. }
            | Self::ShortCandles { symbol, .. }
            | Self::StopTrades { symbol, .. }
            | Self::HaltSymbol { symbol }
            | Self::ReorderFrames { symbol, .. }
            | Self::ZeroPriceTrades { symbol, .. }
            | Self::EmptyRate { symbol, .. }
            | Self::NullSides { symbol, .. }
            | Self::ChangeTick { symbol, .. } => Some(symbol),
            Self::StaleSnapshots { symbol, .. }
            | Self::LateCandleRows { symbol, .. }
            | Self::MalformedFrames { symbol, .. }
            | Self::SlowSnapshots { symbol, .. } => symbol.as_ref(),
            Self::Cut { .. }
            | Self::DayCut { .. }
            | Self::RefuseConnections { .. }
            | Self::TlsFailure { .. }
            | Self::DnsFailure { .. }
            | Self::Drip { .. }
            | Self::DelayRest { .. }
            | Self::SilenceStream { .. }
            | Self::CandleRestDown { .. }
            | Self::FragmentFrames { .. }
            | Self::BinaryFrames { .. }
            | Self::OversizeFrame { .. }
            | Self::NewFields { .. }
            | Self::NewChannel { .. }
            | Self::NewValues { .. }
            | Self::KeyOrder { .. }
            | Self::RestStatus { .. }
            | Self::RestGarbage { .. }
            | Self::ClockStep { .. }
            | Self::ChangeCadence { .. }
            | Self::LoseAcks { .. }
            | Self::AckedAndSilent { .. }
            | Self::Greeting { .. }
            | Self::ListSymbol(_) => None,
        }
    }

    /// Why a venue never has this fault; none if it can.
    pub fn refused_by(&self, venue: Venue) -> Option<&'static str> {
        match (venue, self) {
            (Venue::Hyperliquid, Self::BreakDepthSequence { .. }) => {
                Some("books have no sequence at this venue")
            }
            (
                Venue::Hyperliquid,
                Self::LateCloseFrames { .. } | Self::LoseCloseFrames { .. } | Self::SilenceKlines { .. },
            ) => Some("no frame says here that a candle is closed"),
            (Venue::Hyperliquid, Self::EmptyRate { .. }) => {
                Some("this venue tells a rate of every perpetual")
            }
            (Venue::Binance, Self::ShortCandles { .. }) => Some("this venue says when a candle is closed"),
            (Venue::Binance, Self::Greeting { .. }) => Some("this venue does not greet"),
            _ => None,
        }
    }

    /// Whether it changes the market itself, and how; false if it is none of those.
    pub fn change_market(&self, market: &mut Market) -> Result<bool, SimError> {
        let find =
            |symbol: &String| market.find(symbol).ok_or_else(|| SimError::UnknownSymbol(symbol.clone()));
        match self {
            Self::StopTrades { symbol, for_ms } => {
                let index = find(symbol)?;
                market.stop_trades(index, market.now_ms() + for_ms);
            }
            Self::HaltSymbol { symbol } => {
                let index = find(symbol)?;
                market.halt(index);
            }
            Self::ChangeTick { symbol, tick_e8 } => {
                let index = find(symbol)?;
                market.change_tick(index, *tick_e8)?;
            }
            Self::ListSymbol(new) => drop(market.list(new)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}
