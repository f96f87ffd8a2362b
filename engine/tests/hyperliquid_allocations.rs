//! Candle, trade and funding frames of Hyperliquid on their way to the rings allocate nothing, closes included,
//! over six hours of real candles.
//!
//! A counting allocator stands in for the global one; this file holds one test so that nothing else counts.

mod support;

use codec::venues::rest_hyperliquid;
use codec::words::{Interval, Stream};
use engine::fetch::Answer;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::Settings;
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
fn nothing_is_allocated_from_candle_frame_to_ring() {
    let Some(lines) = capture("hyperliquid/eth_candle_1m_20250214_00-06.txt.gz") else { return };
    let settings = Settings {
        streams: vec![Stream::Trades, Stream::Candles, Stream::Funding],
        intervals: vec![Interval::M1],
        ..settings(&["ETH"])
    };
    let mut bench = Bench::new(HyperliquidSession::new(settings, BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let meta = r#"{"universe":[{"name":"ETH","szDecimals":4}],"marginTables":[]}"#;
    let list = rest_hyperliquid::meta(&mut meta.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(list)));
    bench.pass_ms(10);
    bench.with(|session, now, out| session.on_connected(0, 1, now, out));
    bench.pass_ms(10);
    for subscription in [
        r#"{"type":"trades","coin":"ETH"}"#,
        r#"{"type":"candle","coin":"ETH","interval":"1m"}"#,
        r#"{"type":"activeAssetCtx","coin":"ETH"}"#,
    ] {
        bench.message(0, &format!(r#"{{"channel":"subscriptionResponse","data":{{"method":"subscribe","subscription":{subscription}}}}}"#));
    }
    let ctx = r#"{"channel":"activeAssetCtx","data":{"coin":"ETH","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.96","premium":"-0.0006413454","oraclePx":"84198.0","markPx":"84148.0","midPx":"84143.5","impactPxs":["84143.0","84144.0"],"dayBaseVlm":"49116.08533"}}}"#;
    let begun_ns = lines[0].0;
    let (start_ns, mono_ns) = (bench.now.wall_ns, bench.now.mono_ns);
    let (mut counted, mut made, mut candles) = (0u64, 0u64, 0u64);
    for (index, (at_ns, json)) in lines.iter().enumerate() {
        let passed_ns = at_ns - begun_ns;
        (bench.now.mono_ns, bench.now.wall_ns) = (mono_ns + passed_ns, start_ns + passed_ns);
        let trade = format!(
            r#"{{"channel":"trades","data":[{{"coin":"ETH","side":"A","px":"2700.5","sz":"0.5","time":{},"hash":"0x0","tid":{index}}}]}}"#,
            at_ns / 1_000_000
        );
        for message in [json.as_str(), ctx, &trade] {
            let before = ALLOCATIONS.load(Ordering::Relaxed);
            bench.message(0, message);
            if index > 500 {
                made += ALLOCATIONS.load(Ordering::Relaxed) - before;
                counted += 1;
            }
        }
        bench.with(Session::on_tick);
        // REST knows nothing: what it does not confirm is kept, within its limit.
        bench.actions.retain(|action| matches!(action, Action::Fetch(_)));
        while let Some(request) = bench.fetch() {
            bench.answer(request, Ok(Answer::Candles(Vec::new())));
        }
        bench.drain(|record| candles += u64::from(record.candle().is_some_and(|body| body.closed == 1)));
    }
    println!("{made} allocations in {counted} messages, {candles} closes");
    assert!(counted > 30_000 && candles > 300, "{counted} messages, {candles} closes");
    assert_eq!(made, 0, "allocations on the hot path");
}
