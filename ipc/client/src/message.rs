//! What the daemon says, typed.

use codec::protocol::frame::RECORD_MARK;
use codec::protocol::unpack::{Map, Value};
use codec::record::Record;

/// A price level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Price.
    pub price: f64,
    /// Size; zero, in a delta, deletes.
    pub size: f64,
}

/// `orderbook_snapshot` and `orderbook_update`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Venue time, µs.
    pub timestamp_us: u64,
    /// The daemon's receive time, µs.
    pub received_us: u64,
    /// The book's sequence.
    pub sequence: u64,
    /// The venue's own number.
    pub venue_sequence: Option<u64>,
    /// Shown levels confirmed at `timestamp_us`.
    pub fresh_levels: u64,
    /// Venue time of the oldest part, µs.
    pub depth_timestamp_us: u64,
    /// Messages left out before this one.
    pub conflated: u64,
    /// Served although not live.
    pub stale: bool,
    /// Bids, best first.
    pub bids: Vec<Level>,
    /// Asks, best first.
    pub asks: Vec<Level>,
}

/// `orderbook_delta`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// Everything but the levels.
    pub head: Book,
    /// The message it applies to.
    pub prev_sequence: u64,
    /// Changed bids.
    pub bid_changes: Vec<Level>,
    /// Changed asks.
    pub ask_changes: Vec<Level>,
}

impl Book {
    /// Applies a delta. `false`, and nothing changed, when it does not follow this state.
    #[must_use]
    pub fn apply(&mut self, delta: &Delta) -> bool {
        if delta.prev_sequence != self.sequence || delta.head.symbol != self.symbol {
            return false;
        }
        change(&mut self.bids, &delta.bid_changes, -1.0);
        change(&mut self.asks, &delta.ask_changes, 1.0);
        let (bids, asks) = (core::mem::take(&mut self.bids), core::mem::take(&mut self.asks));
        *self = Self { bids, asks, ..delta.head.clone() };
        true
    }
}

/// Sets and deletes levels of a side whose prices, times `sign`, ascend.
fn change(side: &mut Vec<Level>, changes: &[Level], sign: f64) {
    for change in changes {
        let at = side.partition_point(|level| sign * level.price < sign * change.price);
        let there = side.get(at).is_some_and(|level| level.price == change.price);
        match (there, change.size == 0.0) {
            (true, true) => drop(side.remove(at)),
            (true, false) => side[at] = *change,
            (false, true) => {}
            (false, false) => side.insert(at, *change),
        }
    }
}

/// `quote`. An empty side has neither price nor size.
#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Venue time, µs.
    pub timestamp_us: u64,
    /// The daemon's receive time, µs.
    pub received_us: u64,
    /// Best bid.
    pub bid: Option<Level>,
    /// Best ask.
    pub ask: Option<Level>,
    /// Messages left out before this one.
    pub conflated: u64,
}

/// `trade`.
#[derive(Clone, Debug, PartialEq)]
pub struct Trade {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Venue time, µs.
    pub timestamp_us: u64,
    /// The daemon's receive time, µs.
    pub received_us: u64,
    /// Price.
    pub price: f64,
    /// Size.
    pub size: f64,
    /// `Buy` or `Sell`: the aggressor.
    pub side: String,
    /// The venue's id.
    pub trade_id: String,
    /// Filled in later.
    pub backfill: bool,
}

/// `candle`.
#[derive(Clone, Debug, PartialEq)]
pub struct Candle {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Start of the period, s.
    pub timestamp: u64,
    /// The daemon's receive time, µs.
    pub received_us: u64,
    /// Interval.
    pub interval: String,
    /// First price.
    pub open: f64,
    /// Highest price.
    pub high: f64,
    /// Lowest price.
    pub low: f64,
    /// Last price.
    pub close: f64,
    /// Volume, base units.
    pub volume: f64,
    /// Trades.
    pub num_trades: u64,
    /// The period is over.
    pub closed: bool,
    /// A correction.
    pub revised: bool,
}

/// `funding`.
#[derive(Clone, Debug, PartialEq)]
pub struct Funding {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Venue time, µs.
    pub timestamp_us: u64,
    /// The daemon's receive time, µs.
    pub received_us: u64,
    /// Rate per interval.
    pub funding_rate: Option<f64>,
    /// Hours between settlements.
    pub interval_hours: Option<u64>,
    /// Next settlement, µs.
    pub next_funding_us: Option<u64>,
    /// Mark price.
    pub mark_price: Option<f64>,
    /// Index or oracle price.
    pub index_price: Option<f64>,
    /// Open interest, base units.
    pub open_interest: Option<f64>,
}

/// `fill`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fill {
    /// Venue.
    pub venue: String,
    /// Symbol.
    pub symbol: String,
    /// Venue time, µs.
    pub timestamp_us: u64,
    /// The daemon's receive time, µs.
    pub received_us: u64,
    /// Price.
    pub price: f64,
    /// Size.
    pub size: f64,
    /// `Buy` or `Sell`: ours.
    pub side: String,
    /// Order id.
    pub order_id: String,
    /// Trade id.
    pub trade_id: String,
    /// Fee, quote units.
    pub fee: f64,
    /// One of the past fills sent at the start.
    pub is_snapshot: bool,
}

/// `status`. Without a symbol, of a whole venue; without a venue, of the daemon.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Venue.
    pub venue: Option<String>,
    /// Symbol.
    pub symbol: Option<String>,
    /// Stream.
    pub stream: String,
    /// State.
    pub state: String,
    /// Why.
    pub reason: String,
    /// Age of the last data, ms.
    pub age_ms: u64,
}

/// `gap`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gap {
    /// Venue.
    pub venue: Option<String>,
    /// Symbol.
    pub symbol: Option<String>,
    /// Stream.
    pub stream: String,
    /// Why.
    pub reason: String,
    /// How many were lost, if known.
    pub missed: Option<u64>,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// The whole book, and a new beginning.
    OrderbookSnapshot(Book),
    /// The whole book.
    OrderbookUpdate(Book),
    /// What changed in the book.
    OrderbookDelta(Delta),
    /// Best bid and ask.
    Quote(Quote),
    /// A trade.
    Trade(Trade),
    /// A candle.
    Candle(Candle),
    /// Funding and mark.
    Funding(Funding),
    /// One of the account's fills.
    Fill(Fill),
    /// What a stream is worth.
    Status(Status),
    /// Something was lost.
    Gap(Gap),
    /// The daemon is alive.
    Heartbeat {
        /// Its time, µs.
        timestamp_us: u64,
    },
    /// A request that was refused.
    Error {
        /// Of which request.
        id: Option<u64>,
        /// The code.
        code: String,
        /// The message.
        message: String,
    },
    /// A reply, or a message of a type that this client does not know.
    Other {
        /// Of which request.
        id: Option<u64>,
        /// Its type.
        kind: String,
        /// Its data.
        data: rmpv::Value,
    },
    /// A binary record (`encoding: "record"`), as words.
    Record(Vec<u64>),
}

/// Fields of a data map that are looked at; no message has as many. Further ones read as absent.
const FIELDS_MAX: usize = 32;

/// Reading fields of a data map; absent ones read as empty. The map is walked through once: each walk passes over
/// every level of a book.
struct Fields<'a> {
    entries: [(&'a [u8], Value<'a>); FIELDS_MAX],
    length: usize,
}

impl<'a> Fields<'a> {
    fn of(map: Map<'a>) -> Self {
        let mut fields = Self { entries: [(&[], Value::Nil); FIELDS_MAX], length: 0 };
        for (entry, (key, value)) in fields.entries.iter_mut().zip(map.iter()) {
            let Value::Str(name) = key else { break };
            *entry = (name, value);
            fields.length += 1;
        }
        fields
    }

    /// Of the last one, should it be there twice.
    fn get(&self, name: &str) -> Option<Value<'a>> {
        let entries = &self.entries[..self.length];
        entries.iter().rev().find(|(key, _)| *key == name.as_bytes()).map(|(_, value)| *value)
    }

    fn text_or_none(&self, name: &str) -> Option<String> {
        self.get(name)?.as_str().map(str::to_owned)
    }

    fn text(&self, name: &str) -> String {
        self.text_or_none(name).unwrap_or_default()
    }

    fn uint_or_none(&self, name: &str) -> Option<u64> {
        self.get(name)?.as_u64()
    }

    fn uint(&self, name: &str) -> u64 {
        self.uint_or_none(name).unwrap_or(0)
    }

    fn float_or_none(&self, name: &str) -> Option<f64> {
        self.get(name)?.as_f64()
    }

    fn float(&self, name: &str) -> f64 {
        self.float_or_none(name).unwrap_or(f64::NAN)
    }

    fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn levels(&self, name: &str) -> Vec<Level> {
        let Some(Value::Array(levels)) = self.get(name) else { return Vec::new() };
        levels
            .iter()
            .filter_map(|level| {
                let mut pair = level.as_array()?.iter();
                Some(Level { price: pair.next()?.as_f64()?, size: pair.next()?.as_f64()? })
            })
            .collect()
    }

    fn side(&self, price: &str, size: &str) -> Option<Level> {
        Some(Level { price: self.float_or_none(price)?, size: self.float_or_none(size)? })
    }

    fn book(&self) -> Book {
        Book {
            venue: self.text("venue"),
            symbol: self.text("symbol"),
            timestamp_us: self.uint("timestamp_us"),
            received_us: self.uint("received_us"),
            sequence: self.uint("sequence"),
            venue_sequence: self.uint_or_none("venue_sequence"),
            fresh_levels: self.uint("fresh_levels"),
            depth_timestamp_us: self.uint("depth_timestamp_us"),
            conflated: self.uint("conflated"),
            stale: self.flag("stale"),
            bids: self.levels("bids"),
            asks: self.levels("asks"),
        }
    }

    fn quote(&self) -> Quote {
        Quote {
            venue: self.text("venue"),
            symbol: self.text("symbol"),
            timestamp_us: self.uint("timestamp_us"),
            received_us: self.uint("received_us"),
            bid: self.side("bid_price", "bid_size"),
            ask: self.side("ask_price", "ask_size"),
            conflated: self.uint("conflated"),
        }
    }

    fn trade(&self) -> Trade {
        Trade {
            venue: self.text("venue"),
            symbol: self.text("symbol"),
            timestamp_us: self.uint("timestamp_us"),
            received_us: self.uint("received_us"),
            price: self.float("price"),
            size: self.float("size"),
            side: self.text("side"),
            trade_id: self.text("trade_id"),
            backfill: self.flag("backfill"),
        }
    }

    fn candle(&self) -> Candle {
        Candle {
            venue: self.text("venue"),
            symbol: self.text("symbol"),
            timestamp: self.uint("timestamp"),
            received_us: self.uint("received_us"),
            interval: self.text("interval"),
            open: self.float("open"),
            high: self.float("high"),
            low: self.float("low"),
            close: self.float("close"),
            volume: self.float("volume"),
            num_trades: self.uint("num_trades"),
            closed: self.flag("closed"),
            revised: self.flag("revised"),
        }
    }

    fn funding(&self) -> Funding {
        Funding {
            venue: self.text("venue"),
            symbol: self.text("symbol"),
            timestamp_us: self.uint("timestamp_us"),
            received_us: self.uint("received_us"),
            funding_rate: self.float_or_none("funding_rate"),
            interval_hours: self.uint_or_none("interval_hours"),
            next_funding_us: self.uint_or_none("next_funding_us"),
            mark_price: self.float_or_none("mark_price"),
            index_price: self.float_or_none("index_price"),
            open_interest: self.float_or_none("open_interest"),
        }
    }

    fn fill(&self) -> Fill {
        Fill {
            venue: self.text("venue"),
            symbol: self.text("symbol"),
            timestamp_us: self.uint("timestamp_us"),
            received_us: self.uint("received_us"),
            price: self.float("price"),
            size: self.float("size"),
            side: self.text("side"),
            order_id: self.text("order_id"),
            trade_id: self.text("trade_id"),
            fee: self.float("fee"),
            is_snapshot: self.flag("is_snapshot"),
        }
    }
}

impl Message {
    /// Reads a frame (without its length).
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn read(frame: &[u8]) -> Result<Self, String> {
        if let Some(record) = frame.strip_prefix(&RECORD_MARK) {
            return read_record(record);
        }
        let map = Map::read(frame).map_err(|malformed| malformed.to_string())?;
        let kind = map.get("type").and_then(|kind| kind.as_str()).ok_or("a message without `type`")?;
        let id = map.get("id").and_then(|id| id.as_u64());
        let Some(Value::Map(data)) = map.get("data") else { return Self::other(frame, kind, id) };
        let data = Fields::of(data);
        // A reply may be of a stream message's type; with an id it is handed out as what it is.
        Ok(match kind {
            "error" => Self::Error { id, code: data.text("code"), message: data.text("message") },
            _ if id.is_some() => return Self::other(frame, kind, id),
            "orderbook_snapshot" => Self::OrderbookSnapshot(data.book()),
            "orderbook_update" => Self::OrderbookUpdate(data.book()),
            "orderbook_delta" => Self::OrderbookDelta(Delta {
                head: data.book(),
                prev_sequence: data.uint("prev_sequence"),
                bid_changes: data.levels("bid_changes"),
                ask_changes: data.levels("ask_changes"),
            }),
            "quote" => Self::Quote(data.quote()),
            "trade" => Self::Trade(data.trade()),
            "candle" => Self::Candle(data.candle()),
            "funding" => Self::Funding(data.funding()),
            "fill" => Self::Fill(data.fill()),
            "status" => Self::Status(Status {
                venue: data.text_or_none("venue"),
                symbol: data.text_or_none("symbol"),
                stream: data.text("stream"),
                state: data.text("state"),
                reason: data.text("reason"),
                age_ms: data.uint("age_ms"),
            }),
            "gap" => Self::Gap(Gap {
                venue: data.text_or_none("venue"),
                symbol: data.text_or_none("symbol"),
                stream: data.text("stream"),
                reason: data.text("reason"),
                missed: data.uint_or_none("missed"),
            }),
            "heartbeat" => Self::Heartbeat { timestamp_us: data.uint("timestamp_us") },
            _ => return Self::other(frame, kind, id),
        })
    }

    fn other(mut frame: &[u8], kind: &str, id: Option<u64>) -> Result<Self, String> {
        let value = rmpv::decode::read_value(&mut frame).map_err(|error| error.to_string())?;
        let rmpv::Value::Map(entries) = value else { return Err("a message that is no map".to_owned()) };
        let data = entries
            .into_iter()
            .find(|(key, _)| key.as_str() == Some("data"))
            .map_or(rmpv::Value::Nil, |(_, data)| data);
        Ok(Self::Other { id, kind: kind.to_owned(), data })
    }

    /// The request it answers.
    #[must_use]
    pub const fn id(&self) -> Option<u64> {
        match self {
            Self::Error { id, .. } | Self::Other { id, .. } => *id,
            _ => None,
        }
    }

    /// A reply's data as the typed value it holds, where its type is a stream message's.
    #[must_use]
    pub fn typed(kind: &str, data: &rmpv::Value) -> Option<Self> {
        let message = rmpv::Value::Map(vec![("type".into(), kind.into()), ("data".into(), data.clone())]);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &message).ok()?;
        Self::read(&bytes).ok()
    }
}

fn read_record(bytes: &[u8]) -> Result<Message, String> {
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default())).collect();
    let record = Record::first(&words).map_err(|error| error.to_string())?;
    if record.bytes().len() != bytes.len() {
        return Err("a record frame that holds more than a record".to_owned());
    }
    Ok(Message::Record(words))
}
