//! Candle and funding frames on their way to the rings allocate nothing, closes included.
//!
//! A counting allocator stands in for the global one; this file holds one test so that nothing else counts.

mod support;

use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Rate, Size};
use codec::venues::binance::{Kline, MarkPrice, Message};
use codec::venues::rest_binance;
use codec::words::{Interval, Stream};
use engine::fetch::{Answer, Query};
use engine::session::binance::BinanceSession;
use engine::session::{Action, Session};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Bench, settings};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on to the system allocator unchanged; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MINUTE_MS: u64 = 60_000;

#[test]
fn candles_and_funding_allocate_nothing() {
    let mut settings = settings(&["BTCUSDT"]);
    settings.streams = vec![Stream::Candles, Stream::Funding];
    settings.intervals = vec![Interval::M1];
    let mut bench = Bench::new(BinanceSession::new(settings));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let info = r#"{"symbols":[{"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]}]}"#;
    let info = rest_binance::exchange_info(&mut info.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(info)));
    bench.pass_ms(10);
    bench.with(|session, now, out| session.on_connected(0, 1, now, out));
    bench.message(0, r#"{"result":null,"id":1}"#);
    let begin_ms = bench.now.wall_ns / 1_000_000 / MINUTE_MS * MINUTE_MS + MINUTE_MS;
    let (mut counted, mut frames, mut candles, mut fundings) = (0, 0u64, 0u64, 0u64);
    for second in 0..3_600u64 {
        let event_ms = begin_ms + second * 1_000;
        bench.pass_ms(1_000);
        bench.actions.retain(|action| {
            matches!(action, Action::Fetch(request) if matches!(request.query, Query::Candles { .. }))
        });
        assert!(bench.actions.is_empty(), "no candle is late: {:?}", bench.actions);
        let start_ms = event_ms / MINUTE_MS * MINUTE_MS;
        let price = Price::from_raw(1_000 + second as i64);
        let candle = Candle::of_trade(start_ms, price, Size::from_raw(5 + second as i64));
        let row = CandleRow { start_ms, end_ms: start_ms + MINUTE_MS - 1, candle: Some(candle) };
        let kline = Message::Kline(Kline {
            stream: "btcusdt@kline_1m",
            symbol: "BTCUSDT",
            event_ms,
            interval: Some(Interval::M1),
            row,
            closed: event_ms + 1_000 == start_ms + MINUTE_MS,
        });
        let mark = Message::MarkPrice(MarkPrice {
            stream: "btcusdt@markPrice@1s",
            symbol: "BTCUSDT",
            event_ms,
            mark: Some(price),
            index: Some(price),
            rate: Some(Rate::from_raw(1)),
            next_funding_ms: event_ms + 1,
            coin_margined: false,
        });
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for message in [&kline, &mark] {
            bench.with(|session, now, out| session.on_decoded(0, message, now, out));
        }
        if second >= 10 * 60 {
            counted += ALLOCATIONS.load(Ordering::Relaxed) - before;
            frames += 2;
        }
        bench.drain(|record| {
            candles += u64::from(record.candle().is_some_and(|candle| candle.closed == 1));
            fundings += u64::from(record.funding().is_some());
        });
    }
    println!("{counted} allocations in {frames} frames");
    assert_eq!((candles, fundings), (60, 3_600));
    assert_eq!(counted, 0, "allocations on the hot path");
}
