//! What a message costs to decode, by kind, on real ones.
#![allow(missing_docs)]

use benches::btcusdt_capture;
use codec::venues::{binance, hyperliquid};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const BOOK_TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11488690331777,"s":"BTCUSDT","ps":"BTCUSDT","b":"79878.30","B":"12.494","a":"79878.40","A":"4.980","T":1788696037158,"E":1788696037158,"st":1}}"#;
const AGG_TRADE: &str = r#"{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1788964868663,"a":3078158748,"s":"ETHUSDT","p":"2509.01","q":"2.678","nq":"2.678","f":8697988426,"l":8697988433,"T":1788964868592,"m":false,"st":1}}"#;

fn l2_book() -> String {
    let side = |start: i32, step: i32| {
        let level = |index: i32| {
            format!(r#"{{"px":"{}.0","sz":"3.0362{}","n":{}}}"#, start + step * index, index % 10, index + 1)
        };
        (0..20).map(level).collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":1790232236546,"levels":[[{}],[{}]]}}}}"#,
        side(84143, -1),
        side(84144, 1)
    )
}

fn trades() -> String {
    let row = r#"{"coin":"BTC","side":"A","px":"84143.0","sz":"0.00036","time":1790232216193,"hash":"0x7ab608dad75f7ce37c2f044516391f02023a00c072529bb51e7eb42d965356ce","tid":1045359869404765,"users":["0x9aa589355bf745db9784c8ef3c646360f11b58af","0x8269c0a4f5f1a14582e0aa46856a234893c41970"]}"#;
    format!(r#"{{"channel":"trades","data":[{row},{row},{row}]}}"#)
}

fn decoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut decoder = binance::Decoder::new();
    for (name, text) in [("bookTicker", BOOK_TICKER), ("aggTrade", AGG_TRADE)] {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(decoder.decode(black_box(text.as_bytes())).is_ok()));
        });
    }
    let mut decoder = hyperliquid::Decoder::new();
    for (name, text) in [("l2Book 20+20", l2_book()), ("trades x3", trades())] {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(decoder.decode(black_box(text.as_bytes())).is_ok()));
        });
    }
    if let Some(messages) = btcusdt_capture() {
        group.throughput(Throughput::Elements(messages.len() as u64)).sample_size(20);
        let mut decoder = binance::Decoder::new();
        group.bench_function("BTCUSDT capture, all messages", |bench| {
            bench.iter(|| messages.iter().filter(|text| decoder.decode(text.as_bytes()).is_ok()).count());
        });
    }
    group.finish();
}

criterion_group!(benches, decoders);
criterion_main!(benches);
