//! In steady state, from a record to the bytes for the socket, nothing is allocated.

mod common;

use codec::record::Record;
use codec::words::Interval;
use common::{BTC, Bench, HYPE, level};
use slipstream_client::request;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed on unchanged to the system's allocator; only a counter is added.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn publishing_allocates_nothing() {
    let mut bench = Bench::live();
    let mut ids = Vec::new();
    for (depth, mode) in [(5, "full"), (20, "delta"), (1000, "full"), (1000, "delta")] {
        let mut peer = bench.connect();
        for (venue, symbol) in [("binance", "BTCUSDT"), ("hyperliquid", "HYPE")] {
            let at = |kind: &str| request(kind).venue(venue).symbol(symbol);
            peer.ask(&mut bench, &at("subscribe_orderbook").with("depth", depth).with("mode", mode));
            peer.ask(&mut bench, &at("subscribe_quote"));
            peer.ask(&mut bench, &at("subscribe_trades"));
            peer.ask(&mut bench, &at("subscribe_candles").with("interval", "1h"));
        }
        ids.push(peer.id);
    }
    let mut words = Vec::new();
    for round in 0..6000u32 {
        let size = f64::from(round % 50);
        let price = 40.0 + f64::from(round % 60);
        for id in [BTC, HYPE] {
            let bid = [level(price, size)];
            words.push(bench.records.delta(id, &bid, &[level(101.0 + f64::from(round % 3), size + 1.0)]));
            words.push(bench.records.quote(id, level(price, 1.0), level(101.0, 1.0)));
            words.push(bench.records.trade(id, u64::from(round), 0));
            words.push(bench.records.candle(id, Interval::H1, false, false));
        }
    }
    let now = bench.records.now;
    let mut before = 0;
    let mut bytes = 0;
    for (index, words) in words.iter().enumerate() {
        if index == 24_000 {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        bench.core.on_record(Record::first(words).unwrap(), now);
        for &id in &ids {
            while bench.core.has_output(id) {
                let output = bench.core.output(id, now);
                let ready = bench.core.output_bytes(id, output).len();
                bench.core.sent(id, output, ready, now, now.wall_ns);
                bytes += ready;
            }
        }
    }
    assert_eq!(ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
    assert!(bytes > 10_000_000, "{bytes}");
}
