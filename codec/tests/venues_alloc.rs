//! No heap in steady state: neither road allocates for any message once its decoder exists.
#![cfg(feature = "venues")]

use codec::venues::{binance, hyperliquid};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what a thread asks of the system's allocator.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; the count is constant-initialised
// and has no destructor, so that reaching it allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn decoding_does_not_allocate() {
    // The largest event seen had 856 levels.
    let rows = vec![r#"["58710.20","0.014"]"#; 856].join(",");
    let depth = format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"T":2,"s":"BTCUSDT","U":3,"u":4,"pu":5,"b":[{rows}],"a":[{rows}]}}}}"#
    );
    let binance_messages = [
        depth.as_str(),
        r#"{"e":"bookTicker","u":400900217,"s":"BNBUSDT","b":"25.35","B":"31.21","a":"25.36","A":"40.66","T":1,"E":2}"#,
        r#"{"e":"aggTrade","E":1,"a":2,"s":"BTCUSDT","p":"83091.70","q":"0.022","f":1,"l":1,"T":3,"m":false}"#,
        r#"{"e" : "book\u0054icker","u":400900217.0,"s":"BNBUSDT","b":25.35,"B":"31.21","a":"25.36","A":"1e-9","T":1,"E":2,"new":[{}]}"#,
        r#"{"result":null,"id":1}"#,
        r#"{"e":"kline","k":{"t":1}}"#,
        r#"{"e":"aggTrade","E":1}"#,
        "{broken",
    ];
    let row = r#"{"coin":"BTC","side":"A","px":"84143.0","sz":"0.00036","time":1790232216193,"hash":"0x7ab608dad75f7ce37c2f044516391f02023a00c072529bb51e7eb42d965356ce","tid":1045359869404765,"users":["0x9aa589355bf745db9784c8ef3c646360f11b58af","0x8269c0a4f5f1a14582e0aa46856a234893c41970"]}"#;
    let trades = format!(r#"{{"channel":"trades","data":[{}]}}"#, vec![row; 121].join(","));
    let side = vec![r#"{"px":"84143.0","sz":"10.25923","n":36}"#; 20].join(",");
    let book =
        format!(r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":1,"levels":[[{side}],[{side}]]}}}}"#);
    let hyperliquid_messages = [
        trades.as_str(),
        book.as_str(),
        r#"{"channel":"bbo","data":{"coin":"BTC","time":1,"bbo":[null,null]}}"#,
        r#"{"channel":"pong"}"#,
        r#"{"channel":"error","data":"Already subscribed: {\"type\":\"l2Book\",\"coin\":\"BTC\"}"}"#,
        r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}}"#,
        "Websocket connection established.",
        "{broken",
    ];

    let mut binance = binance::Decoder::new();
    let mut hyperliquid = hyperliquid::Decoder::new();
    let before = ALLOCATIONS.get();
    for _ in 0..3 {
        for message in binance_messages {
            let _ = binance.decode(message.as_bytes());
            let _ = binance.decode_general(message.as_bytes());
        }
        for message in hyperliquid_messages {
            let _ = hyperliquid.decode(message.as_bytes());
            let _ = hyperliquid.decode_general(message.as_bytes());
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    assert_eq!(binance.fallbacks(), 3 * (5 + 8));
}
