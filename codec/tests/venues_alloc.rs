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

const KLINE: &str = r#"{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"T":1791383039999,"s":"BTCUSDT","i":"1m","f":8153633367,"L":8153634395,"o":"83084.90","c":"83091.60","h":"83091.70","l":"83051.20","v":"192233720368.5","n":1027,"x":false,"q":"1125714.73960","V":"6.426","Q":"533856.66860","B":"0"}}"#;
const MARK_PRICE: &str = r#"{"e":"markPriceUpdate","E":1791382993000,"s":"BTCUSDT","p":"83084.30000000","ap":"83084.30000000","P":"83195.15881449","i":"83123.65891304","r":"0.00000078","T":1791388800000,"st":1}"#;
const CANDLE: &str = r#"{"channel":"candle","data":{"t":1790232180000,"T":1790232239999,"s":"BTC","i":"1m","o":"84143.0","c":"84143.0","h":"84144.0","l":"84143.0","v":"14.27847","n":114}}"#;
const ASSET_CTX: &str = r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.6949653625","premium":"-0.0006413454","oraclePx":"84198.0","markPx":"84148.0","midPx":"84143.5","impactPxs":["84143.0","84144.0"],"dayBaseVlm":"49116.08533"}}}"#;

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
        KLINE,
        MARK_PRICE,
        r#"{"e":"contractInfo","s":"IOTAUSDT","bks":[{"bs":1}]}"#,
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
        CANDLE,
        ASSET_CTX,
        r#"{"channel":"candle","data":[{"t":1,"T":2,"s":"BTC","i":"1m","o":1.5,"c":"1","h":"2","l":"1","v":"14.27847","n":114}]}"#,
        r#"{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{"markPx":"41.1234567891","midPx":null}}}"#,
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
    assert_eq!(binance.fallbacks(), 3 * (6 + 11));
}

/// What is too large for the memory a decoder begins with makes it grow, and then stays within that.
#[test]
fn large_messages_stop_allocating() {
    let ctx = r#"{"funding":"0.0000125","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.6949653625","premium":"-0.0006413454","oraclePx":"84198.0","markPx":"84148.0","midPx":"84143.5","impactPxs":["84143.0","84144.0"],"dayBaseVlm":"49116.08533"}"#;
    let ctxs = vec![ctx; 550].join(",");
    let all =
        format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[["",[{ctxs}]],["xyz",[{ctxs}]]]}}}}"#);
    let fill = r#"{"coin":"BTC","px":"84143.0","sz":"0.00036","side":"A","time":1790232216193,"startPosition":"-1.5","dir":"Open Short","closedPnl":"0.0","hash":"0x7ab608dad75f7ce37c2f044516391f02023a00c072529bb51e7eb42d965356ce","oid":123456789012,"crossed":true,"fee":"0.0106","tid":1045359869404765,"feeToken":"USDC"}"#;
    let fills = format!(
        r#"{{"channel":"userFills","data":{{"isSnapshot":true,"user":"0x82","fills":[{}]}}}}"#,
        vec![fill; 2000].join(",")
    );
    let mut decoder = hyperliquid::Decoder::new();
    let mut decode_both = || {
        let before = ALLOCATIONS.get();
        assert!(
            matches!(decoder.decode(all.as_bytes()), Ok(hyperliquid::Message::DexCtxs(ctxs)) if ctxs.len() == 1100)
        );
        assert!(
            matches!(decoder.decode(fills.as_bytes()), Ok(hyperliquid::Message::UserFills(fills)) if fills.fills.len() == 2000)
        );
        ALLOCATIONS.get() - before
    };
    for _ in 0..3 {
        decode_both();
    }
    assert_eq!(decode_both(), 0);
}
