//! From message bytes to the record in the rings nothing is allocated, over the whole BTCUSDT capture.
//!
//! A counting allocator stands in for the global one; this file holds one test so that nothing else counts.

mod support;

use codec::venues::rest_binance;
use engine::fetch::{Answer, FetchError, Query};
use engine::session::binance::BinanceSession;
use engine::session::{Action, Session};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use support::{Bench, capture, settings};

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

#[test]
fn nothing_is_allocated_from_message_to_ring() {
    let Some(lines) = capture("binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz") else { return };
    let mut bench = Bench::new(BinanceSession::new(settings(&["BTCUSDT"])));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let info = r#"{"symbols":[{"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]}]}"#;
    let info = rest_binance::exchange_info(&mut info.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(info)));
    bench.pass_ms(10);
    for link in [0, 1] {
        bench.with(|session, now, out| session.on_connected(link, 1, now, out));
        bench.message(link, r#"{"result":null,"id":1}"#);
    }
    let mut joined = false;
    let mut counted = 0u64;
    let mut worst = 0u64;
    let mut snapshot = None;
    for (index, (_, json)) in lines.iter().enumerate() {
        if json.contains("lastUpdateId") {
            snapshot = Some(json.clone().into_bytes());
            continue;
        }
        bench.now.mono_ns += 3_000_000;
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        bench.message(0, json);
        let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
        if joined && index > 1_000 {
            counted += 1;
            worst += made;
        }
        if index % 8 == 0 {
            bench.with(Session::on_tick);
        }
        while let Some(request) = bench.fetch() {
            match (&request.query, snapshot.take()) {
                (Query::Book { .. }, Some(mut body)) => {
                    let answer = rest_binance::depth(&mut body).unwrap();
                    bench.answer(request, Ok(Answer::BinanceBook(answer)));
                    joined = true;
                }
                (_, kept) => {
                    snapshot = kept;
                    bench.answer(request, Err(FetchError::Transient("not in the capture".into())));
                }
            }
        }
        bench.actions.retain(|action| matches!(action, Action::Fetch(_)));
        bench.drain(|_| {});
    }
    println!("{worst} allocations in {counted} messages");
    assert!(counted > 90_000, "{counted}");
    assert_eq!(worst, 0, "allocations on the hot path");
}
