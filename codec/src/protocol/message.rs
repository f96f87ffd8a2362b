//! What the daemon says, appended to a reused buffer: whole frames, length first.
//!
//! Field names are written as ready byte strings (0xA0 | length, then the name); the tests read every
//! message back by name, so a length that does not fit its name cannot pass.

use super::error::ErrorCode;
use super::pack;
use super::request::{Id, Refusal};
use crate::decimal::{Price, Size};
use crate::record::{
    CandleBody, FillBody, FundingBody, GapBody, Header, InstrumentBody, Level, NONE_I64, QuoteBody, TradeBody,
};
use crate::words::{Reason, Side, State, Stream, Venue};

/// A frame being written: where it began.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    start: usize,
}

impl Frame {
    /// Begins a message of `kind`, up to and including the key `data`; its value follows.
    pub fn begin(out: &mut Vec<u8>, id: Option<Id<'_>>, kind: &str) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        match id {
            Some(id) => {
                out.extend_from_slice(b"\x83\xa2id");
                id.put(out);
            }
            None => out.push(0x82),
        }
        out.extend_from_slice(b"\xa4type");
        pack::string(out, kind);
        out.extend_from_slice(b"\xa4data");
        Self { start }
    }

    /// Ends it: its length is known now.
    pub fn end(self, out: &mut [u8]) {
        let bytes = (out.len() - self.start - 4) as u32;
        out[self.start..self.start + 4].copy_from_slice(&bytes.to_be_bytes());
    }
}

/// Venue and symbol as the first two entries of a data map, packed once per instrument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names(Box<[u8]>);

impl Names {
    /// Of an instrument; without a symbol, of a whole venue; without a venue, of the daemon.
    #[must_use]
    pub fn new(venue: Option<Venue>, symbol: Option<&str>) -> Self {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(b"\xa5venue");
        pack::string_or_nil(&mut out, venue.map(Venue::as_str));
        out.extend_from_slice(b"\xa6symbol");
        pack::string_or_nil(&mut out, symbol);
        Self(out.into_boxed_slice())
    }

    /// The entries.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Entries that only some copies of a message carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extra {
    /// Messages left out before this one for a client that did not keep up; 0: no entry.
    pub conflated: u64,
    /// Served although not live.
    pub stale: bool,
}

impl Extra {
    const NONE: Self = Self { conflated: 0, stale: false };

    const fn entries(self) -> usize {
        (self.conflated > 0) as usize + self.stale as usize
    }

    fn put(self, out: &mut Vec<u8>) {
        if self.conflated > 0 {
            out.extend_from_slice(b"\xa9conflated");
            pack::uint(out, self.conflated);
        }
        if self.stale {
            out.extend_from_slice(b"\xa5stale\xc3");
        }
    }
}

/// The two times of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Venue time, ns; 0 where the venue gives none.
    pub event_ns: u64,
    /// Receive time, ns.
    pub recv_ns: u64,
}

impl Times {
    /// Of a record.
    #[must_use]
    pub const fn of(header: &Header) -> Self {
        Self { event_ns: header.ts_event_ns, recv_ns: header.ts_recv_ns }
    }

    /// `timestamp_us`: the venue's, or where it gives none, the daemon's.
    #[must_use]
    pub const fn timestamp_us(self) -> u64 {
        if self.event_ns == 0 { self.recv_ns / 1000 } else { self.event_ns / 1000 }
    }

    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\xactimestamp_us");
        pack::uint(out, self.timestamp_us());
        self.put_received(out);
    }

    fn put_received(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\xabreceived_us");
        pack::uint(out, self.recv_ns / 1000);
    }
}

/// What book messages say beside their levels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookMeta {
    /// The book's sequence.
    pub sequence: u64,
    /// The venue's own number; 0: none.
    pub venue_sequence: u64,
    /// Times of the record that made this state.
    pub times: Times,
    /// Shown levels from the best on that are confirmed at its time, the smaller side's number.
    pub fresh_levels: u64,
    /// Venue time of the oldest shown level, ns.
    pub depth_ns: u64,
}

/// Data entries common to all book messages, their levels included.
const BOOK_ENTRIES: usize = 10;

fn put_levels(out: &mut Vec<u8>, levels: &[Level]) {
    pack::array(out, levels.len());
    out.reserve(levels.len() * 19);
    for level in levels {
        let mut bytes = [0x92, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0, 0xCB, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[2..10].copy_from_slice(&level.price.to_f64().to_be_bytes());
        bytes[11..].copy_from_slice(&level.size.to_f64().to_be_bytes());
        out.extend_from_slice(&bytes);
    }
}

fn put_book_head(out: &mut Vec<u8>, entries: usize, names: &Names, meta: &BookMeta) {
    pack::map(out, entries);
    out.extend_from_slice(names.bytes());
    meta.times.put(out);
    out.extend_from_slice(b"\xa8sequence");
    pack::uint(out, meta.sequence);
    out.extend_from_slice(b"\xaevenue_sequence");
    pack::uint_or_nil(out, (meta.venue_sequence != 0).then_some(meta.venue_sequence));
    out.extend_from_slice(b"\xacfresh_levels");
    pack::uint(out, meta.fresh_levels);
    out.extend_from_slice(b"\xb2depth_timestamp_us");
    pack::uint(out, if meta.depth_ns == 0 { meta.times.timestamp_us() } else { meta.depth_ns / 1000 });
}

/// The data of `orderbook_snapshot` and `orderbook_update`, also one row of `orderbook_history`.
pub fn put_book(
    out: &mut Vec<u8>,
    names: &Names,
    meta: &BookMeta,
    bids: &[Level],
    asks: &[Level],
    extra: Extra,
) {
    put_book_head(out, BOOK_ENTRIES + extra.entries(), names, meta);
    out.extend_from_slice(b"\xa4bids");
    put_levels(out, bids);
    out.extend_from_slice(b"\xa4asks");
    put_levels(out, asks);
    extra.put(out);
}

/// The type of a book message that holds the whole window.
#[must_use]
pub const fn book_kind(is_snapshot: bool) -> &'static str {
    if is_snapshot { "orderbook_snapshot" } else { "orderbook_update" }
}

/// `orderbook_delta`.
pub fn delta(
    out: &mut Vec<u8>,
    names: &Names,
    meta: &BookMeta,
    prev_sequence: u64,
    bid_changes: &[Level],
    ask_changes: &[Level],
) {
    let frame = Frame::begin(out, None, "orderbook_delta");
    put_book_head(out, BOOK_ENTRIES + 1, names, meta);
    out.extend_from_slice(b"\xadprev_sequence");
    pack::uint(out, prev_sequence);
    out.extend_from_slice(b"\xabbid_changes");
    put_levels(out, bid_changes);
    out.extend_from_slice(b"\xabask_changes");
    put_levels(out, ask_changes);
    frame.end(out);
}

/// The data of `quote`. An empty side has both its fields null.
pub fn put_quote(out: &mut Vec<u8>, names: &Names, times: Times, body: &QuoteBody, extra: Extra) {
    pack::map(out, 8 + extra.entries());
    out.extend_from_slice(names.bytes());
    times.put(out);
    let side = |out: &mut Vec<u8>, price_key: &[u8], size_key: &[u8], level: &Level| {
        let there = level.size != Size::ZERO;
        out.extend_from_slice(price_key);
        pack::float_or_nil(out, there.then(|| level.price.to_f64()));
        out.extend_from_slice(size_key);
        pack::float_or_nil(out, there.then(|| level.size.to_f64()));
    };
    side(out, b"\xa9bid_price", b"\xa8bid_size", &body.bid);
    side(out, b"\xa9ask_price", b"\xa8ask_size", &body.ask);
    extra.put(out);
}

/// `quote`.
pub fn quote(out: &mut Vec<u8>, names: &Names, times: Times, body: &QuoteBody, extra: Extra) {
    let frame = Frame::begin(out, None, "quote");
    put_quote(out, names, times, body, extra);
    frame.end(out);
}

/// An integer as a decimal string, without allocation.
fn put_decimal_string(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    pack::string_bytes(out, &digits[start..]);
}

/// What trades and fills share: names, times, price, size, side.
fn put_execution(
    out: &mut Vec<u8>,
    names: &Names,
    times: Times,
    price: Price,
    size: Size,
    side: Option<Side>,
) {
    out.extend_from_slice(names.bytes());
    times.put(out);
    out.extend_from_slice(b"\xa5price");
    pack::float(out, price.to_f64());
    out.extend_from_slice(b"\xa4size");
    pack::float(out, size.to_f64());
    out.extend_from_slice(b"\xa4side");
    pack::string_or_nil(out, side.map(Side::as_str));
}

/// The data of `trade`.
pub fn put_trade(out: &mut Vec<u8>, names: &Names, times: Times, body: &TradeBody, backfill: bool) {
    pack::map(out, 9);
    put_execution(out, names, times, body.price, body.size, body.side());
    out.extend_from_slice(b"\xa8trade_id");
    put_decimal_string(out, body.trade_id);
    out.extend_from_slice(b"\xa8backfill");
    pack::boolean(out, backfill);
}

/// `trade`.
pub fn trade(out: &mut Vec<u8>, names: &Names, times: Times, body: &TradeBody, backfill: bool) {
    let frame = Frame::begin(out, None, "trade");
    put_trade(out, names, times, body, backfill);
    frame.end(out);
}

/// The data of `candle`.
pub fn put_candle(out: &mut Vec<u8>, names: &Names, recv_ns: u64, body: &CandleBody) {
    let revised = body.revised != 0;
    pack::map(out, 12 + usize::from(revised));
    out.extend_from_slice(names.bytes());
    Times { event_ns: 0, recv_ns }.put_received(out);
    out.extend_from_slice(b"\xa9timestamp");
    pack::uint(out, body.start_ns / 1_000_000_000);
    out.extend_from_slice(b"\xa8interval");
    pack::string_or_nil(out, body.interval().map(crate::words::Interval::as_str));
    for (key, price) in [
        (&b"\xa4open"[..], body.open),
        (b"\xa4high", body.high),
        (b"\xa3low", body.low),
        (b"\xa5close", body.close),
    ] {
        out.extend_from_slice(key);
        pack::float(out, price.to_f64());
    }
    out.extend_from_slice(b"\xa6volume");
    pack::float(out, body.volume().to_f64());
    out.extend_from_slice(b"\xaanum_trades");
    pack::uint(out, body.num_trades);
    out.extend_from_slice(b"\xa6closed");
    pack::boolean(out, body.closed != 0);
    if revised {
        out.extend_from_slice(b"\xa7revised\xc3");
    }
}

/// `candle`.
pub fn candle(out: &mut Vec<u8>, names: &Names, recv_ns: u64, body: &CandleBody) {
    let frame = Frame::begin(out, None, "candle");
    put_candle(out, names, recv_ns, body);
    frame.end(out);
}

/// The data of `funding`.
pub fn put_funding(out: &mut Vec<u8>, names: &Names, times: Times, body: &FundingBody) {
    pack::map(out, 10);
    out.extend_from_slice(names.bytes());
    times.put(out);
    let given = |raw: i64, value: f64| (raw != NONE_I64).then_some(value);
    out.extend_from_slice(b"\xacfunding_rate");
    pack::float_or_nil(out, given(body.rate.raw(), body.rate.to_f64()));
    out.extend_from_slice(b"\xaeinterval_hours");
    pack::uint_or_nil(out, (body.interval_hours != 0).then_some(u64::from(body.interval_hours)));
    out.extend_from_slice(b"\xafnext_funding_us");
    pack::uint_or_nil(out, (body.next_funding_ns != 0).then_some(body.next_funding_ns / 1000));
    out.extend_from_slice(b"\xaamark_price");
    pack::float_or_nil(out, given(body.mark_price.raw(), body.mark_price.to_f64()));
    out.extend_from_slice(b"\xabindex_price");
    pack::float_or_nil(out, given(body.index_price.raw(), body.index_price.to_f64()));
    out.extend_from_slice(b"\xadopen_interest");
    pack::float_or_nil(out, given(body.open_interest.raw(), body.open_interest.to_f64()));
}

/// `funding`, as a stream message or as a reply.
pub fn funding(out: &mut Vec<u8>, id: Option<Id<'_>>, names: &Names, times: Times, body: &FundingBody) {
    let frame = Frame::begin(out, id, "funding");
    put_funding(out, names, times, body);
    frame.end(out);
}

/// `fill`.
pub fn fill(out: &mut Vec<u8>, names: &Names, times: Times, body: &FillBody) {
    let frame = Frame::begin(out, None, "fill");
    pack::map(out, 11);
    put_execution(out, names, times, body.price, body.size, Side::from_number(body.side));
    out.extend_from_slice(b"\xa8order_id");
    put_decimal_string(out, body.order_id);
    out.extend_from_slice(b"\xa8trade_id");
    put_decimal_string(out, body.trade_id);
    out.extend_from_slice(b"\xa3fee");
    pack::float_or_nil(out, (body.fee.raw() != NONE_I64).then(|| body.fee.to_f64()));
    out.extend_from_slice(b"\xabis_snapshot");
    pack::boolean(out, body.is_snapshot != 0);
    frame.end(out);
}

/// What `status` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// The stream.
    pub stream: Stream,
    /// The state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// Age of the last data, ms.
    pub age_ms: u64,
}

/// `status`.
pub fn status(out: &mut Vec<u8>, names: &Names, times: Times, status: &StatusView) {
    let frame = Frame::begin(out, None, "status");
    pack::map(out, 8);
    out.extend_from_slice(names.bytes());
    times.put(out);
    out.extend_from_slice(b"\xa6stream");
    pack::string(out, status.stream.as_str());
    out.extend_from_slice(b"\xa5state");
    pack::string(out, status.state.as_str());
    out.extend_from_slice(b"\xa6reason");
    pack::string(out, status.reason.as_str());
    out.extend_from_slice(b"\xa6age_ms");
    pack::uint(out, status.age_ms);
    frame.end(out);
}

/// `gap`.
pub fn gap(out: &mut Vec<u8>, names: &Names, times: Times, stream: Stream, body: &GapBody) {
    let frame = Frame::begin(out, None, "gap");
    pack::map(out, 7);
    out.extend_from_slice(names.bytes());
    times.put(out);
    out.extend_from_slice(b"\xa6stream");
    pack::string(out, stream.as_str());
    out.extend_from_slice(b"\xa6reason");
    pack::string_or_nil(out, body.reason().map(Reason::as_str));
    out.extend_from_slice(b"\xa6missed");
    pack::uint_or_nil(out, body.missed());
    frame.end(out);
}

/// `heartbeat`.
pub fn heartbeat(out: &mut Vec<u8>, wall_ns: u64) {
    let frame = Frame::begin(out, None, "heartbeat");
    out.extend_from_slice(b"\x81\xactimestamp_us");
    pack::uint(out, wall_ns / 1000);
    frame.end(out);
}

/// `error`.
pub fn error(out: &mut Vec<u8>, id: Option<Id<'_>>, refusal: &Refusal) {
    let frame = Frame::begin(out, id, "error");
    out.extend_from_slice(b"\x82\xa4code");
    pack::string(out, ErrorCode::as_str(refusal.code));
    out.extend_from_slice(b"\xa7message");
    pack::string(out, &refusal.message);
    frame.end(out);
}

/// A reply whose data is an empty map: `pong`, `unsubscribed`.
pub fn empty(out: &mut Vec<u8>, id: Option<Id<'_>>, kind: &str) {
    let frame = Frame::begin(out, id, kind);
    pack::map(out, 0);
    frame.end(out);
}

/// A reply whose data is a book.
pub fn book(
    out: &mut Vec<u8>,
    id: Option<Id<'_>>,
    is_snapshot: bool,
    names: &Names,
    meta: &BookMeta,
    (bids, asks): (&[Level], &[Level]),
    extra: Extra,
) {
    let frame = Frame::begin(out, id, book_kind(is_snapshot));
    put_book(out, names, meta, bids, asks, extra);
    frame.end(out);
}

/// A reply whose data is a quote.
pub fn quote_reply(
    out: &mut Vec<u8>,
    id: Option<Id<'_>>,
    names: &Names,
    times: Times,
    body: &QuoteBody,
    stale: bool,
) {
    let frame = Frame::begin(out, id, "quote");
    put_quote(out, names, times, body, Extra { stale, ..Extra::NONE });
    frame.end(out);
}

/// One entry of `instruments`: a tick of zero is null.
pub fn put_instrument(out: &mut Vec<u8>, names: &Names, body: &InstrumentBody, tick_size: Option<Price>) {
    pack::map(out, 8);
    out.extend_from_slice(names.bytes());
    out.extend_from_slice(b"\xa4base");
    pack::string(out, body.base());
    out.extend_from_slice(b"\xa5quote");
    pack::string(out, body.quote());
    out.extend_from_slice(b"\xa4kind");
    pack::string_or_nil(out, body.kind().map(crate::words::InstrumentKind::as_str));
    out.extend_from_slice(b"\xa9tick_size");
    pack::float_or_nil(out, tick_size.map(Price::to_f64));
    out.extend_from_slice(b"\xa8lot_size");
    pack::float_or_nil(out, (body.lot_size != Size::ZERO).then(|| body.lot_size.to_f64()));
    out.extend_from_slice(b"\xa6status");
    pack::string_or_nil(out, body.status().map(crate::words::InstrumentStatus::as_str));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::unpack::{Map, Value};
    use crate::record::Kind;
    use crate::words::Interval;
    use zerocopy::FromZeros;

    /// Type, and the sorted names of the data's fields; every name and value has to be readable.
    fn shape(frame: &[u8]) -> (String, Vec<String>) {
        let (length, payload) = frame.split_first_chunk::<4>().unwrap();
        assert_eq!(u32::from_be_bytes(*length) as usize, payload.len());
        let map = Map::read(payload).unwrap();
        let kind = map.get("type").unwrap().as_str().unwrap().to_owned();
        let Some(Value::Map(data)) = map.get("data") else { panic!("data is a map") };
        let mut names: Vec<_> = data.iter().map(|(name, _)| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        (kind, names)
    }

    fn names() -> Names {
        Names::new(Some(Venue::Binance), Some("BTCUSDT"))
    }

    /// The fields named in `own`, with those of every message of an instrument.
    fn with_common(own: &[&str]) -> Vec<String> {
        let mut all: Vec<_> = ["venue", "symbol", "timestamp_us", "received_us"]
            .iter()
            .chain(own)
            .map(|name| (*name).to_owned())
            .collect();
        all.sort();
        all
    }

    const BOOK: [&str; 4] = ["sequence", "venue_sequence", "fresh_levels", "depth_timestamp_us"];

    #[test]
    fn every_message_has_the_fields_of_the_reference() {
        let (times, meta, extra) = (Times::default(), BookMeta::default(), Extra::default());
        let levels = vec![Level { price: Price::from_raw(5), size: Size::from_raw(7) }; 40];
        let mut out = Vec::new();
        let mut check = |write: &dyn Fn(&mut Vec<u8>), kind: &str, own: &[&str]| {
            out.clear();
            write(&mut out);
            assert_eq!(shape(&out), (kind.to_owned(), with_common(own)));
        };
        let whole = [&BOOK[..], &["bids", "asks"]].concat();
        let both = (&levels[..], &levels[..]);
        check(&|out| book(out, None, true, &names(), &meta, both, extra), "orderbook_snapshot", &whole);
        check(&|out| book(out, None, false, &names(), &meta, both, extra), "orderbook_update", &whole);
        let more = Extra { conflated: 3, stale: true };
        let with_more = [&whole[..], &["conflated", "stale"]].concat();
        check(&|out| book(out, None, false, &names(), &meta, both, more), "orderbook_update", &with_more);
        let changes = [&BOOK[..], &["prev_sequence", "bid_changes", "ask_changes"]].concat();
        check(&|out| delta(out, &names(), &meta, 1, &levels, &[]), "orderbook_delta", &changes);
        let sides = ["bid_price", "bid_size", "ask_price", "ask_size"];
        let body = QuoteBody::new_zeroed();
        check(&|out| quote(out, &names(), times, &body, extra), "quote", &sides);
        check(
            &|out| quote_reply(out, None, &names(), times, &body, true),
            "quote",
            &[&sides[..], &["stale"]].concat(),
        );
        let body = TradeBody::new(Price::ZERO, Size::ZERO, Side::Buy, 1);
        let own = ["price", "size", "side", "trade_id", "backfill"];
        check(&|out| trade(out, &names(), times, &body, false), "trade", &own);
        let body = FundingBody::new_zeroed();
        let own = [
            "funding_rate",
            "interval_hours",
            "next_funding_us",
            "mark_price",
            "index_price",
            "open_interest",
        ];
        check(&|out| funding(out, None, &names(), times, &body), "funding", &own);
        let body = FillBody::new_zeroed();
        let own = ["price", "size", "side", "order_id", "trade_id", "fee", "is_snapshot"];
        check(&|out| fill(out, &names(), times, &body), "fill", &own);
        let view = StatusView { stream: Stream::Quotes, state: State::Live, reason: Reason::None, age_ms: 1 };
        let own = ["stream", "state", "reason", "age_ms"];
        check(&|out| status(out, &names(), times, &view), "status", &own);
        let body = GapBody::new(Reason::Restart, 1, 0, 0);
        check(
            &|out| gap(out, &names(), times, Stream::Trades, &body),
            "gap",
            &["stream", "reason", "missed"],
        );

        let body = CandleBody { interval: Interval::H1.number(), revised: 1, ..CandleBody::new_zeroed() };
        let mut out = Vec::new();
        candle(&mut out, &names(), 1, &body);
        let (_, fields) = shape(&out);
        assert_eq!(fields.len(), 13);
        assert!(!fields.iter().any(|name| name == "timestamp_us"), "a candle has its start instead");
        for name in [
            "timestamp",
            "interval",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "num_trades",
            "closed",
            "revised",
        ] {
            assert!(fields.iter().any(|field| field == name), "{name}");
        }
    }

    #[test]
    fn numbers_come_out_as_they_went_in() {
        let mut out = Vec::new();
        let header =
            Header { ts_recv_ns: 5_000, ..Header::of(Kind::Trade, Venue::Binance, Stream::Trades, 0) };
        let body =
            TradeBody::new(Price::from_raw(8_414_310_000_000), Size::from_raw(-1), Side::Sell, u64::MAX);
        trade(&mut out, &names(), Times::of(&header), &body, true);
        let map = Map::read(&out[4..]).unwrap();
        let data = map.get("data").unwrap().as_map().unwrap();
        assert_eq!(data.get("price"), Some(Value::Float(84143.1)));
        assert_eq!(data.get("size"), Some(Value::Float(-1e-8)));
        assert_eq!(data.get("trade_id").unwrap().as_str(), Some("18446744073709551615"));
        assert_eq!(data.get("side").unwrap().as_str(), Some("Sell"));
        assert_eq!(
            data.get("timestamp_us"),
            Some(Value::Int(5)),
            "the venue gives none: when it was received"
        );
        assert_eq!(data.get("backfill"), Some(Value::Bool(true)));
    }

    #[test]
    fn a_reply_carries_its_id_and_a_venue_has_no_symbol() {
        let mut out = Vec::new();
        empty(&mut out, Some(Id::Int(-7)), "pong");
        assert_eq!(Map::read(&out[4..]).unwrap().get("id"), Some(Value::Int(-7)));
        out.clear();
        let view =
            StatusView { stream: Stream::Recorder, state: State::Live, reason: Reason::None, age_ms: 1 };
        status(&mut out, &Names::new(None, None), Times::default(), &view);
        let map = Map::read(&out[4..]).unwrap();
        let data = map.get("data").unwrap().as_map().unwrap();
        assert_eq!((data.get("venue"), data.get("symbol")), (Some(Value::Nil), Some(Value::Nil)));
    }
}
