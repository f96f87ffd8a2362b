//! What a message costs to decode, by kind, on real ones.
#![allow(missing_docs)]

use benches::btcusdt_capture;
use codec::venues::{binance, hyperliquid};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const BOOK_TICKER: &str = r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11488690331777,"s":"BTCUSDT","ps":"BTCUSDT","b":"79878.30","B":"12.494","a":"79878.40","A":"4.980","T":1788696037158,"E":1788696037158,"st":1}}"#;
const AGG_TRADE: &str = r#"{"stream":"ethusdt@aggTrade","data":{"e":"aggTrade","E":1788964868663,"a":3078158748,"s":"ETHUSDT","p":"2509.01","q":"2.678","nq":"2.678","f":8697988426,"l":8697988433,"T":1788964868592,"m":false,"st":1}}"#;
const KLINE: &str = r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"T":1791383039999,"s":"BTCUSDT","i":"1m","f":8153633367,"L":8153634395,"o":"83084.90","c":"83091.60","h":"83091.70","l":"83051.20","v":"13.551","n":1027,"x":false,"q":"1125714.73960","V":"6.426","Q":"533856.66860","B":"0"}}}"#;
const MARK_PRICE: &str = r#"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1788936948001,"s":"BTCUSDT","p":"79107.36658171","ap":"79107.36658171","P":"79176.63756423","i":"79139.09565217","r":"0.00008359","T":1788940800000,"st":1}}"#;
const CANDLE: &str = r#"{"channel":"candle","data":{"t":1790232180000,"T":1790232239999,"s":"BTC","i":"1m","o":"84143.0","c":"84143.0","h":"84144.0","l":"84143.0","v":"14.27847","n":114}}"#;
const CANDLE_ALPHABETICAL: &str = r#"{"channel":"candle","data":{"T":1739491199999,"c":"2674.4","h":"2674.5","i":"1m","l":"2674.2","n":57,"o":"2674.2","s":"ETH","t":1739491140000,"v":"97.4171"}}"#;
const ASSET_CTX: &str = r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.6949653625","premium":"-0.0006413454","oraclePx":"84198.0","markPx":"84148.0","midPx":"84143.5","impactPxs":["84143.0","84144.0"],"dayBaseVlm":"49116.08533"}}}"#;

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

fn all_dexs_asset_ctxs() -> String {
    let (_, ctx) = ASSET_CTX.split_once(r#""ctx":"#).expect("an entry");
    let ctxs = vec![ctx.trim_end_matches('}').to_owned() + "}"; 275].join(",");
    let exchange = |name: &str| format!(r#"["{name}",[{ctxs}]]"#);
    let exchanges = ["", "xyz", "flx", "hyna"].map(exchange).join(",");
    format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[{exchanges}]}}}}"#)
}

fn decoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    let mut decoder = binance::Decoder::new();
    for (name, text) in [
        ("bookTicker", BOOK_TICKER),
        ("aggTrade", AGG_TRADE),
        ("kline", KLINE),
        ("markPriceUpdate", MARK_PRICE),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(decoder.decode(black_box(text.as_bytes())).is_ok()));
        });
    }
    let mut decoder = hyperliquid::Decoder::new();
    for (name, text) in [
        ("l2Book 20+20", l2_book()),
        ("trades x3", trades()),
        ("candle", CANDLE.to_owned()),
        ("candle, alphabetical", CANDLE_ALPHABETICAL.to_owned()),
        ("activeAssetCtx", ASSET_CTX.to_owned()),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(decoder.decode(black_box(text.as_bytes())).is_ok()));
        });
    }
    let mut general = binance::Decoder::new();
    group.bench_function("kline, general parser", |bench| {
        bench.iter(|| black_box(general.decode_general(black_box(KLINE.as_bytes())).is_ok()));
    });
    let mut general = hyperliquid::Decoder::new();
    let all_ctxs = all_dexs_asset_ctxs();
    for (name, text) in [
        ("candle, general parser", CANDLE),
        ("activeAssetCtx, general parser", ASSET_CTX),
        ("allDexsAssetCtxs, 1100 entries", &all_ctxs),
    ] {
        group.bench_function(name, |bench| {
            bench.iter(|| black_box(general.decode_general(black_box(text.as_bytes())).is_ok()));
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
