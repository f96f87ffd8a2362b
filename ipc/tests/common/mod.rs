//! What the tests share: records as an engine would write them, and clients on either side of the socket.
#![allow(dead_code, reason = "each test uses its part")]

pub mod candles;

use codec::book::Book;
use codec::decimal::{Price, Rate, Size};
use codec::protocol::frame::Frames;
use codec::record::{
    BookBody, CandleBody, CheckBody, FillBody, FundingBody, GapBody, Header, InstrumentBody, Kind, Level,
    NO_INSTRUMENT, QuoteBody, Record, RecordBuilder, StatusBody, TradeBody, flags,
};
use codec::time::Now;
use codec::words::{InstrumentKind, InstrumentStatus, Interval, Reason, Side, State, Stream, Venue};
use ipc::client::ClientId;
use ipc::{Core, CoreConfig, Outlets, Output, VenueConfig};
use slipstream_client::{Message, Request, Value};
use std::collections::HashMap;
use zerocopy::FromZeros;

pub const RUN_ID: u64 = 0x0123_4567_89ab_cdef;
pub const BTC: u32 = 0;
pub const ETH: u32 = 1;
/// Hyperliquid's, with times per level.
pub const HYPE: u32 = 2;

pub fn level(price: f64, size: f64) -> Level {
    Level {
        price: Price::from_raw((price * 1e8).round() as i64),
        size: Size::from_raw((size * 1e8).round() as i64),
    }
}

/// Writes records as the engine does: numbered, one after the other.
pub struct Records {
    builder: RecordBuilder,
    sequences: HashMap<(u32, Stream), u64>,
    venues: HashMap<u32, Venue>,
    pub now: Now,
}

impl Records {
    pub fn new() -> Self {
        Self {
            builder: RecordBuilder::new(),
            sequences: HashMap::new(),
            venues: HashMap::new(),
            now: Now { mono_ns: 1_000_000_000_000, wall_ns: 1_700_000_000_000_000_000 },
        }
    }

    pub fn sequence(&self, instrument: u32, stream: Stream) -> u64 {
        self.sequences.get(&(instrument, stream)).copied().unwrap_or(0)
    }

    pub fn set_sequence(&mut self, instrument: u32, stream: Stream, sequence: u64) {
        self.sequences.insert((instrument, stream), sequence);
    }

    fn header(&mut self, kind: Kind, stream: Stream, instrument: u32, advance: bool) -> Header {
        let venue = self.venues.get(&instrument).copied().unwrap_or(Venue::Binance);
        let sequence = self.sequences.entry((instrument, stream)).or_insert(0);
        *sequence += u64::from(advance);
        Header {
            run_id: RUN_ID,
            sequence: *sequence,
            ts_event_ns: self.now.wall_ns - 2_000_000,
            ts_recv_ns: self.now.wall_ns,
            ..Header::of(kind, venue, stream, instrument)
        }
    }

    pub fn instrument(&mut self, id: u32, venue: Venue, symbol: &str) -> Vec<u64> {
        self.instrument_with(id, venue, symbol, InstrumentStatus::Trading)
    }

    pub fn instrument_with(
        &mut self,
        id: u32,
        venue: Venue,
        symbol: &str,
        status: InstrumentStatus,
    ) -> Vec<u64> {
        self.venues.insert(id, venue);
        let mut body = InstrumentBody::new(InstrumentKind::Perp, status, symbol, "BTC", "USDT").unwrap();
        body.tick_size = Price::from_raw(10_000_000);
        body.lot_size = Size::from_raw(100_000);
        let header = Header {
            kind: Kind::Instrument as u8,
            stream: 0,
            ..self.header(Kind::Instrument, Stream::Quotes, id, false)
        };
        self.builder.fixed(header, &body).words().to_vec()
    }

    pub fn status(&mut self, id: u32, stream: Stream, state: State, reason: Reason) -> Vec<u64> {
        let header = self.header(Kind::Status, stream, id, false);
        self.builder.fixed(header, &StatusBody::new(state, reason, 7)).words().to_vec()
    }

    pub fn whole(&mut self, venue: Option<Venue>, stream: Stream, state: State, reason: Reason) -> Vec<u64> {
        let header = self.header(Kind::Status, stream, NO_INSTRUMENT, false);
        let header = Header { venue: venue.map_or(0, Venue::number), ..header };
        self.builder.fixed(header, &StatusBody::new(state, reason, 7)).words().to_vec()
    }

    pub fn live(&mut self, id: u32, stream: Stream) -> Vec<u64> {
        self.status(id, stream, State::Live, Reason::None)
    }

    pub fn gap(&mut self, id: u32, stream: Stream, reason: Reason, missed: u64) -> Vec<u64> {
        let header = self.header(Kind::Gap, stream, id, false);
        self.builder.fixed(header, &GapBody::new(reason, missed, 0, 0)).words().to_vec()
    }

    pub fn quote(&mut self, id: u32, bid: Level, ask: Level) -> Vec<u64> {
        let header = self.header(Kind::Quote, Stream::Quotes, id, true);
        self.builder.fixed(header, &QuoteBody { bid, ask }).words().to_vec()
    }

    pub fn trade(&mut self, id: u32, trade_id: u64, flags: u8) -> Vec<u64> {
        let header = self.header(Kind::Trade, Stream::Trades, id, true);
        let header = Header { flags, ts_event_ns: header.ts_event_ns + trade_id * 1000, ..header };
        let side = if trade_id.is_multiple_of(2) { Side::Buy } else { Side::Sell };
        let price = level(100.0 + trade_id as f64, 2.0);
        self.builder.fixed(header, &TradeBody::new(price.price, price.size, side, trade_id)).words().to_vec()
    }

    pub fn snapshot(&mut self, id: u32, bids: &[Level], asks: &[Level]) -> Vec<u64> {
        let header = self.header(Kind::BookSnapshot, Stream::Orderbook, id, true);
        self.snapshot_at(header, bids, asks)
    }

    /// The current state once more, at the sequence it has.
    pub fn republished(&mut self, id: u32, bids: &[Level], asks: &[Level]) -> Vec<u64> {
        let header = self.header(Kind::BookSnapshot, Stream::Orderbook, id, false);
        self.snapshot_at(header, bids, asks)
    }

    fn snapshot_at(&mut self, header: Header, bids: &[Level], asks: &[Level]) -> Vec<u64> {
        let header = Header { flags: flags::SNAPSHOT, venue_sequence: 10 * header.sequence, ..header };
        let body = BookBody {
            bid_horizon: Price::from_raw(i64::MIN),
            ask_horizon: Price::from_raw(i64::MAX),
            source_ts_ns: header.ts_event_ns,
            ..BookBody::new_zeroed()
        };
        self.builder
            .book(header, body, bids.iter().copied(), asks.iter().copied(), None)
            .unwrap()
            .words()
            .to_vec()
    }

    /// A snapshot of a timed book: `ages_ms` behind the event time, bids then asks.
    pub fn timed_snapshot(&mut self, id: u32, bids: &[Level], asks: &[Level], ages_ms: &[u64]) -> Vec<u64> {
        let header = self.header(Kind::BookSnapshot, Stream::Orderbook, id, true);
        let header = Header { flags: flags::SNAPSHOT, ..header };
        let body = BookBody {
            bid_horizon: Price::from_raw(i64::MIN),
            ask_horizon: Price::from_raw(i64::MAX),
            source_ts_ns: header.ts_event_ns,
            ..BookBody::new_zeroed()
        };
        let mut times = ages_ms.iter().map(|age| header.ts_event_ns - age * 1_000_000);
        self.builder
            .book(header, body, bids.iter().copied(), asks.iter().copied(), Some(&mut times))
            .unwrap()
            .words()
            .to_vec()
    }

    pub fn delta(&mut self, id: u32, bids: &[Level], asks: &[Level]) -> Vec<u64> {
        let prev_sequence = self.sequence(id, Stream::Orderbook);
        let header = self.header(Kind::BookDelta, Stream::Orderbook, id, true);
        let header = Header { venue_sequence: 10 * header.sequence, ..header };
        let body = BookBody { source_ts_ns: header.ts_event_ns, prev_sequence, ..BookBody::new_zeroed() };
        self.builder
            .book(header, body, bids.iter().copied(), asks.iter().copied(), None)
            .unwrap()
            .words()
            .to_vec()
    }

    pub fn check(&mut self, id: u32, book: &Book) -> Vec<u64> {
        let header = self.header(Kind::Check, Stream::Orderbook, id, false);
        self.builder.fixed(header, &CheckBody { crc: book.check(), levels: 20 }).words().to_vec()
    }

    pub fn funding(&mut self, id: u32) -> Vec<u64> {
        let header = self.header(Kind::Funding, Stream::Funding, id, true);
        let body = FundingBody {
            rate: Rate::from_raw(12_500_000),
            mark_price: Price::from_raw(10_000_000_000),
            index_price: Price::from_raw(codec::record::NONE_I64),
            open_interest: Size::from_raw(codec::record::NONE_I64),
            next_funding_ns: 1_700_003_600_000_000_000,
            interval_hours: 8,
            reserved: 0,
        };
        self.builder.fixed(header, &body).words().to_vec()
    }

    pub fn candle(&mut self, id: u32, interval: Interval, closed: bool, revised: bool) -> Vec<u64> {
        let price = |value: f64| level(value, 0.0).price;
        let body = CandleBody {
            start_ns: 1_700_000_000_000_000_000,
            open: price(1.0),
            high: price(4.0),
            low: price(0.5),
            close: price(2.0),
            volume_low: 12_345_600_000,
            volume_high: 0,
            num_trades: 17,
            interval: interval.number(),
            closed: closed.into(),
            revised: revised.into(),
            reserved: [0; 5],
        };
        self.candle_of(id, &body, 0)
    }

    pub fn candle_of(&mut self, id: u32, body: &CandleBody, flags: u8) -> Vec<u64> {
        let header = self.header(Kind::Candle, Stream::Candles, id, true);
        self.builder.fixed(Header { flags, ..header }, body).words().to_vec()
    }

    pub fn fill(&mut self, id: u32) -> Vec<u64> {
        let header = self.header(Kind::Fill, Stream::Fills, id, true);
        let body = FillBody {
            price: level(10.0, 0.0).price,
            size: level(0.0, 2.0).size,
            order_id: 77,
            trade_id: 88,
            fee: level(-0.25, 0.0).price,
            side: Side::Sell.number(),
            is_snapshot: 1,
            reserved: [0; 6],
        };
        self.builder.fixed(header, &body).words().to_vec()
    }

    pub fn end(&mut self) -> Vec<u64> {
        let header = Header {
            kind: Kind::End as u8,
            ..self.header(Kind::End, Stream::Connection, NO_INSTRUMENT, false)
        };
        self.builder.end(header).words().to_vec()
    }
}

pub fn config() -> CoreConfig {
    let all = vec![Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
    let intervals = vec![Interval::M15, Interval::H1, Interval::H4];
    let venue = |venue, streams: Vec<Stream>| VenueConfig {
        venue,
        streams,
        intervals: intervals.clone(),
        symbols: Vec::new(),
    };
    let mut hyperliquid = all.clone();
    hyperliquid.push(Stream::Fills);
    let mut config =
        CoreConfig::new(RUN_ID, vec![venue(Venue::Hyperliquid, hyperliquid), venue(Venue::Binance, all)]);
    config.clients_buffer_bytes = 2 << 20;
    config
}

/// A core with clients that are not on a socket.
pub struct Bench {
    pub core: Core,
    pub records: Records,
}

impl Bench {
    /// With instruments BTCUSDT, ETHUSDT (Binance) and HYPE (Hyperliquid); nothing is live yet.
    pub fn new(config: CoreConfig) -> Self {
        let mut records = Records::new();
        let mut core = Core::new(config, Outlets::default(), records.now);
        for (id, venue, symbol) in [
            (BTC, Venue::Binance, "BTCUSDT"),
            (ETH, Venue::Binance, "ETHUSDT"),
            (HYPE, Venue::Hyperliquid, "HYPE"),
        ] {
            let words = records.instrument(id, venue, symbol);
            core.on_record(Record::first(&words).unwrap(), records.now);
        }
        Self { core, records }
    }

    /// As [`Self::new`], with every stream live and a book for each.
    pub fn live() -> Self {
        Self::live_with(config())
    }

    pub fn live_with(config: CoreConfig) -> Self {
        let mut bench = Self::new(config);
        for id in [BTC, ETH, HYPE] {
            for stream in
                [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding]
            {
                bench.feed(|records| records.live(id, stream));
            }
            bench.feed(|records| {
                let (bids, asks) =
                    ([level(100.0, 1.0), level(99.0, 2.0)], [level(101.0, 1.5), level(102.0, 3.0)]);
                if id == HYPE {
                    records.timed_snapshot(id, &bids, &asks, &[0, 500, 0, 500])
                } else {
                    records.snapshot(id, &bids, &asks)
                }
            });
            bench.feed(|records| records.quote(id, level(100.0, 1.0), level(101.0, 1.5)));
        }
        bench
    }

    pub fn feed(&mut self, make: impl FnOnce(&mut Records) -> Vec<u64>) {
        let words = make(&mut self.records);
        self.core.on_record(Record::first(&words).unwrap(), self.records.now);
    }

    pub fn wait_ms(&mut self, ms: u64) {
        self.records.now.mono_ns += ms * 1_000_000;
        self.records.now.wall_ns += ms * 1_000_000;
    }

    pub fn connect(&mut self) -> Peer {
        let id = self.core.connect(self.records.now).expect("there is room");
        Peer { id, frames: Frames::new(1 << 30), next_id: 1 }
    }
}

/// One client of a [`Bench`]; it takes as many bytes as it likes.
pub struct Peer {
    pub id: ClientId,
    frames: Frames,
    next_id: u64,
}

impl Peer {
    /// Sends a request and reads everything that waits, the reply last unless something follows it.
    pub fn ask(&mut self, bench: &mut Bench, request: &Request) -> Vec<Message> {
        self.send(bench, request);
        self.read(bench)
    }

    /// Sends a request without reading.
    pub fn send(&mut self, bench: &mut Bench, request: &Request) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let request = request.clone().with("id", id);
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &request.value()).unwrap();
        self.send_frame(bench, &bytes);
        id
    }

    pub fn send_frame(&mut self, bench: &mut Bench, payload: &[u8]) {
        let mut frame = Vec::new();
        codec::protocol::frame::put_frame(&mut frame, payload);
        bench.core.input(self.id, &frame);
        bench.core.begin_turn();
        bench.core.serve(self.id, bench.records.now);
    }

    /// Hands in a request without having it answered.
    pub fn queue(&mut self, bench: &mut Bench, request: &Request) {
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &request.value()).unwrap();
        let mut frame = Vec::new();
        codec::protocol::frame::put_frame(&mut frame, &bytes);
        bench.core.input(self.id, &frame);
    }

    /// Gives it bytes as they were written to it.
    pub fn push(&mut self, bytes: &[u8]) {
        self.frames.push(bytes);
    }

    /// Takes at most `bytes_max` bytes; fewer than wait leave the client blocked.
    pub fn take(&mut self, bench: &mut Bench, mut bytes_max: usize) -> usize {
        let mut taken = 0;
        let mut idle = 0;
        bench.core.writable(self.id);
        loop {
            bench.core.begin_turn();
            bench.core.serve(self.id, bench.records.now);
            let now = bench.records.now;
            let output = bench.core.output(self.id, now);
            let bytes = bench.core.output_bytes(self.id, output);
            let sent = bytes.len().min(bytes_max);
            self.frames.push(&bytes[..sent]);
            let all = sent == bytes.len();
            match output {
                Output::Nothing => return taken,
                Output::Later => idle += 1,
                _ => bench.core.sent(self.id, output, sent, now, now.wall_ns),
            }
            assert!(idle < 100_000, "work that never ends");
            taken += sent;
            bytes_max -= sent;
            if !all {
                return taken;
            }
        }
    }

    /// Frames that were taken.
    pub fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        while let Some(frame) = self.frames.next_frame().unwrap() {
            frames.push(frame.to_vec());
        }
        frames
    }

    /// Messages that were taken.
    pub fn messages(&mut self) -> Vec<Message> {
        self.frames().iter().map(|frame| Message::read(frame).unwrap()).collect()
    }

    /// Takes everything that waits.
    pub fn read(&mut self, bench: &mut Bench) -> Vec<Message> {
        self.take(bench, usize::MAX);
        self.messages()
    }

    /// As [`Self::read`], as plain MessagePack values.
    pub fn values(&mut self, bench: &mut Bench) -> Vec<Value> {
        self.take(bench, usize::MAX);
        self.frames().iter().map(|frame| rmpv::decode::read_value(&mut &frame[..]).unwrap()).collect()
    }

    /// Sends a request and yields its reply's type and data; everything else is dropped.
    pub fn reply(&mut self, bench: &mut Bench, request: &Request) -> (String, Value) {
        let id = self.send(bench, request);
        let values = self.values(bench);
        let reply = values.into_iter().find(|value| get(value, "id").as_u64() == Some(id)).expect("a reply");
        (get(&reply, "type").as_str().unwrap().to_owned(), get(&reply, "data").clone())
    }

    /// Sends a request that is refused; code and message.
    pub fn refusal(&mut self, bench: &mut Bench, request: &Request) -> (String, String) {
        let (kind, data) = self.reply(bench, request);
        assert_eq!(kind, "error", "{data}");
        let text = |name: &str| get(&data, name).as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }
}

/// A field of a map; nil when absent.
pub fn get<'a>(value: &'a Value, name: &str) -> &'a Value {
    static NIL: Value = Value::Nil;
    value
        .as_map()
        .and_then(|entries| entries.iter().find(|(key, _)| key.as_str() == Some(name)))
        .map_or(&NIL, |(_, value)| value)
}

/// The keys of a map, sorted.
pub fn keys(value: &Value) -> Vec<String> {
    let mut keys: Vec<_> =
        value.as_map().unwrap().iter().map(|(key, _)| key.as_str().unwrap().to_owned()).collect();
    keys.sort();
    keys
}
