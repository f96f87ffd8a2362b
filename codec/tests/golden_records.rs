//! The bytes of one record of each kind, pinned: what was written once must be read for ever.
//!
//! `SLIPSTREAM_WRITE_GOLDEN=1` writes the file anew; a changed line there is a new layout version.

use codec::decimal::{Price, Rate, Size};
use codec::record::{
    BookBody, CandleBody, CheckBody, FillBody, FundingBody, GapBody, Header, InstrumentBody, Kind, Level,
    NO_INSTRUMENT, QuoteBody, Record, RecordBuilder, StatusBody, TradeBody, flags,
};
use codec::words::{InstrumentKind, InstrumentStatus, Interval, Reason, Side, State, Stream, Venue};
use std::fmt::Write as _;
use std::path::PathBuf;
use zerocopy::FromZeros;

const FILE: &str = "tests/golden/records_v1.txt";

fn level(price: &str, size: &str) -> Level {
    Level { price: Price::parse(price.as_bytes()).unwrap(), size: Size::parse(size.as_bytes()).unwrap() }
}

fn header(kind: Kind, stream: Stream) -> Header {
    Header {
        source: 1,
        run_id: 0x0123_4567_89AB_CDEF,
        sequence: 42,
        venue_sequence: 11_488_690_331_777,
        ts_event_ns: 1_788_696_037_158_000_000,
        ts_recv_ns: 1_788_696_037_159_123_456,
        ..Header::of(kind, Venue::Binance, stream, 7)
    }
}

/// Name and bytes of one record of each kind.
fn records() -> Vec<(&'static str, Vec<u8>)> {
    let mut builder = RecordBuilder::new();
    let mut all = Vec::new();
    let mut keep = |name, record: Record<'_>| all.push((name, record.bytes().to_vec()));

    let mut instrument =
        InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "BTCUSDT", "BTC", "USDT")
            .unwrap();
    instrument.tick_size = Price::parse(b"0.10").unwrap();
    instrument.lot_size = Size::parse(b"0.001").unwrap();
    keep("instrument", builder.fixed(header(Kind::Instrument, Stream::Connection), &instrument));

    let best = level("79878.30", "12.494");
    let trade = TradeBody::new(best.price, best.size, Side::Sell, 3_078_158_748);
    let backfilled = Header { flags: flags::BACKFILL, ..header(Kind::Trade, Stream::Trades) };
    keep("trade", builder.fixed(backfilled, &trade));

    let quote = QuoteBody { bid: best, ask: level("79878.40", "4.980") };
    keep("quote", builder.fixed(header(Kind::Quote, Stream::Quotes), &quote));

    let snapshot = BookBody {
        bid_horizon: Price::parse(b"79000").unwrap(),
        ask_horizon: Price::from_raw(i64::MAX),
        source_ts_ns: 1_788_696_030_000_000_000,
        ..BookBody::new_zeroed()
    };
    let bids = [best, level("79878.20", "1")];
    let asks = [level("79878.40", "4.980")];
    let times = [1_788_696_037_158_000_000u64, 1_788_696_030_000_000_000, 1_788_696_037_158_000_000];
    let of = Header { flags: flags::SNAPSHOT, ..header(Kind::BookSnapshot, Stream::Orderbook) };
    let record = builder.book(of, snapshot, bids.into_iter(), asks.into_iter(), Some(&mut times.into_iter()));
    keep("book_snapshot", record.unwrap());

    let delta =
        BookBody { source_ts_ns: 1_788_696_037_158_000_000, prev_sequence: 41, ..BookBody::new_zeroed() };
    let bids = [level("79878.20", "0")];
    let asks = [level("79878.40", "5"), level("79879", "0.001")];
    let of = header(Kind::BookDelta, Stream::Orderbook);
    keep("book_delta", builder.book(of, delta, bids.into_iter(), asks.into_iter(), None).unwrap());

    let price = |text: &str| Price::parse(text.as_bytes()).unwrap();
    let candle = CandleBody {
        start_ns: 1_788_696_000_000_000_000,
        open: price("79800"),
        high: price("79900.5"),
        low: price("79750.25"),
        close: price("79878.30"),
        volume_low: 1_234_567_890,
        volume_high: 1,
        num_trades: 321,
        interval: Interval::M15.number(),
        closed: 1,
        revised: 0,
        reserved: [0; 5],
    };
    keep("candle", builder.fixed(header(Kind::Candle, Stream::Candles), &candle));

    let funding = FundingBody {
        rate: Rate::parse(b"0.0000018952").unwrap(),
        mark_price: price("79878.36658171"),
        index_price: price("79139.09565217"),
        open_interest: Size::from_raw(codec::record::NONE_I64),
        next_funding_ns: 1_788_710_400_000_000_000,
        interval_hours: 8,
        reserved: 0,
    };
    keep("funding", builder.fixed(header(Kind::Funding, Stream::Funding), &funding));

    let fill = FillBody {
        price: best.price,
        size: best.size,
        order_id: 99,
        trade_id: 100,
        fee: price("-0.25"),
        side: Side::Buy.number(),
        is_snapshot: 1,
        reserved: [0; 6],
    };
    keep("fill", builder.fixed(header(Kind::Fill, Stream::Fills), &fill));

    let status = StatusBody::new(State::Stale, Reason::BehindQuote, 1_250);
    keep("status", builder.fixed(header(Kind::Status, Stream::Orderbook), &status));
    let gap = GapBody::new(Reason::SequenceBreak, 3, 101, 103);
    keep("gap", builder.fixed(header(Kind::Gap, Stream::Trades), &gap));
    let check = CheckBody { crc: 0xE306_9283, levels: 20 };
    keep("check", builder.fixed(header(Kind::Check, Stream::Orderbook), &check));
    let end = Header { instrument: NO_INSTRUMENT, ..header(Kind::End, Stream::Connection) };
    keep("end", builder.end(end));
    all
}

#[test]
fn bytes_are_what_they_were() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE);
    let mut text = String::new();
    for (name, bytes) in records() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{name} {hex}").unwrap();
    }
    if std::env::var_os("SLIPSTREAM_WRITE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (line, want) in text.lines().zip(golden.lines()) {
        assert_eq!(line, want);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn the_pinned_bytes_are_read_back() {
    let golden = std::fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(FILE)).unwrap();
    let mut kinds = 0;
    for line in golden.lines() {
        let (name, hex) = line.split_once(' ').unwrap();
        let words: Vec<u64> = hex
            .as_bytes()
            .chunks(16)
            .map(|word| u64::from_str_radix(core::str::from_utf8(word).unwrap(), 16).unwrap().swap_bytes())
            .collect();
        let record = Record::first(&words).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(record.header().sequence, 42, "{name}");
        assert_eq!(record.words().len(), words.len(), "{name}");
        kinds += 1;
    }
    assert_eq!(kinds, 12);
}
