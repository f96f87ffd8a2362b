//! A venue that adds a member to every message makes nothing be allocated for each of them.
//!
//! A counting allocator stands in for the global one; this file holds one test so that nothing else counts.

mod support;

use codec::venues::rest_binance;
use codec::words::Stream;
use engine::fetch::Answer;
use engine::session::binance::BinanceSession;
use engine::session::settings::Settings;
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

#[test]
fn a_new_member_in_every_message_allocates_nothing() {
    let own = Settings { streams: vec![Stream::Quotes], ..settings(&["BTCUSDT"]) };
    let mut bench = Bench::new(BinanceSession::new(own));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let info = r#"{"symbols":[{"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]}]}"#;
    let info = rest_binance::exchange_info(&mut info.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(info)));
    bench.pass_ms(10);
    while let Some((link, generation)) = bench.take(|action| match action {
        Action::Connect { link, generation, .. } => Some((*link, *generation)),
        _ => None,
    }) {
        bench.with(|session, now, out| session.on_connected(link, generation, now, out));
    }
    let messages: Vec<String> = (1..=2_000)
        .map(|id| {
            format!(
                r#"{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1,"st":1,"new":"x","newer":[{{"a":1}}]}}"#
            )
        })
        .collect();
    let mut counted = 0;
    for (number, message) in messages.iter().enumerate() {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        bench.message(0, message);
        if number >= 100 {
            counted += ALLOCATIONS.load(Ordering::Relaxed) - before;
        }
    }
    let mut quotes = 0;
    bench.drain(|record| quotes += u64::from(record.quote().is_some()));
    assert_eq!((quotes, counted), (2_000, 0), "quotes, and allocations after the first hundred");
    bench.pass_ms(10);
    let counts: Vec<_> = bench.session.drift().unwrap().entries().map(|entry| entry.count()).collect();
    assert_eq!(counts, [2_000, 2_000]);
}
