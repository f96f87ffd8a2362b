//! Funding, marks and contexts by hand in virtual time: what is told is what the market says of that moment.

mod common;

use common::{binance_by_hand, hyperliquid_by_hand, number, scaled};
use serde_json::{Value, json};
use sim::{BinanceConfig, HyperliquidConfig, Interval};

const START_MS: i64 = 1_790_000_000_000;
const HOUR_MS: i64 = 3_600_000;

#[test]
fn binance_marks_are_exact_and_fundings_come_at_their_hours() {
    let (mut hand, market, _) = binance_by_hand(&BinanceConfig::default(), 5, START_MS);
    let symbols = [("btcusdt", 8), ("1000pepeusdt", 4), ("币安人生usdt", 1)];
    let names: Vec<String> = symbols.iter().map(|(symbol, _)| format!("{symbol}@markPrice@1s")).collect();
    hand.open(1, &format!("/market/ws/{}", names.join("/")));
    hand.open(2, "/market/ws/btcusdt@markPrice");
    hand.pass_in_steps(12_000, 5);
    let events = hand.heard(1);
    assert_eq!((events.len(), hand.heard(2).len()), (3 * 12, 4));
    for event in events {
        let (symbol, at_ms) = (event["s"].as_str().expect("s"), event["E"].as_i64().expect("E"));
        assert_eq!(at_ms % 1_000, 0);
        let truth = market.funding_at(symbol, at_ms).expect("the truth");
        let told = ["p", "ap", "i", "P"].map(|name| number(&event[name]));
        assert_eq!(told, [truth.mark_e8, truth.mark_average_e8, truth.index_e8, truth.settle_e8]);
        assert_eq!(scaled(&event["r"], 10), i128::from(truth.rate_e10.expect("a rate")));
        let hours = symbols.iter().find(|(name, _)| *name == symbol.to_lowercase()).expect("a symbol").1;
        assert_eq!(event["T"].as_i64(), Some((at_ms / (hours * HOUR_MS) + 1) * hours * HOUR_MS));
    }
    let (_, info) = hand.get("/fapi/v1/fundingInfo");
    let hours: Vec<_> = info
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["symbol"].clone(), row["fundingIntervalHours"].clone()))
        .collect();
    assert_eq!(hours, [(json!("1000PEPEUSDT"), json!(4)), (json!("币安人生USDT"), json!(1))]);
    assert!(info[1]["updateTime"].is_null());
    let (_, row) = hand.get("/fapi/v1/premiumIndex?symbol=ETHUSDT");
    let truth = market.funding_at("ETHUSDT", hand.now_ms).expect("the truth");
    assert_eq!((number(&row["markPrice"]), row["time"].as_i64()), (truth.mark_e8, Some(hand.now_ms)));
    let (_, rows) = hand.get("/fapi/v1/premiumIndex");
    assert_eq!(rows.as_array().map(Vec::len), Some(6));
    let (_, settled) = hand.get("/fapi/v1/fundingRate?symbol=BTCUSDT&limit=5");
    let truth = market.fundings("BTCUSDT", 0, START_MS).expect("the truth");
    for (row, truth) in settled.as_array().expect("rows").iter().zip(&truth[truth.len() - 5..]) {
        assert_eq!(row["fundingTime"].as_i64(), Some(truth.time_ms));
        assert_eq!(scaled(&row["fundingRate"], 10), i128::from(truth.rate_e10));
    }
}

#[test]
fn hyperliquid_contexts_are_the_truth_of_their_moment() {
    let (mut hand, market, _) = hyperliquid_by_hand(&HyperliquidConfig::default(), 5, START_MS);
    hand.open(1, "/ws");
    hand.subscribe(1, r#"{"type":"activeAssetCtx","coin":"BTC"}"#);
    hand.subscribe(1, r#"{"type":"allDexsAssetCtxs"}"#);
    hand.pass_in_steps(30_000, 5);
    let frames = hand.heard(1);
    let of = |channel: &str| frames.iter().filter(|frame| frame["channel"] == channel).count();
    assert!((29..=32).contains(&of("activeAssetCtx")), "{}", of("activeAssetCtx"));
    assert_eq!(of("allDexsAssetCtxs"), 1 + 2, "at once and every 13.6 s");
    let all = frames.iter().rfind(|frame| frame["channel"] == "allDexsAssetCtxs").expect("a frame");
    assert_eq!(
        (&all["data"]["ctxs"][0][0], all["data"]["ctxs"][0][1].as_array().map(Vec::len)),
        (&json!(""), Some(5))
    );

    let (_, both) = hand.info(r#"{"type":"metaAndAssetCtxs"}"#);
    let truth = market.context("BTC").expect("the truth");
    let ctx = &both[1][0];
    assert_eq!(
        (number(&ctx["markPx"]), number(&ctx["oraclePx"])),
        (truth.funding.mark_e8, truth.funding.index_e8)
    );
    assert_eq!(scaled(&ctx["funding"], 10), i128::from(truth.funding.rate_e10.expect("a rate")));
    assert_eq!(scaled(&ctx["premium"], 10), i128::from(truth.funding.premium_e10));
    assert_eq!(scaled(&ctx["dayNtlVlm"], 16), truth.day_quote_e16);
    assert_eq!(
        (number(&ctx["prevDayPx"]), number(&ctx["openInterest"])),
        (truth.day_ago_e8, truth.open_interest_e8)
    );
    let minute = Interval::Minute1;
    let day =
        market.candles("BTC", minute, minute.open_of(hand.now_ms) - 24 * HOUR_MS, i64::MAX).expect("candles");
    let base: i128 = day.iter().map(|candle| candle.volume_e8).sum();
    let off = (truth.day_base_e8 - base).abs();
    assert!(off * 50 < base, "a quarter of an hour more at most: {off} of {base}");
    let delisted = &both[1][4];
    assert_eq!((&delisted["midPx"], &delisted["impactPxs"]), (&Value::Null, &Value::Null));
}

#[test]
fn hyperliquid_fundings_of_the_past_come_by_the_hour() {
    let (mut hand, market, _) = hyperliquid_by_hand(&HyperliquidConfig::default(), 5, START_MS);
    let ask = |coin: &str, from_ms: i64| {
        json!({"type": "fundingHistory", "coin": coin, "startTime": from_ms}).to_string()
    };
    let (status, rows) = hand.info(&ask("ETH", START_MS - 48 * HOUR_MS));
    let rows = rows.as_array().expect("rows").clone();
    assert_eq!((status, rows.len()), (200, 48));
    let truth = market.fundings("ETH", START_MS - 48 * HOUR_MS, START_MS + 1).expect("the truth");
    for (row, truth) in rows.iter().zip(&truth) {
        assert_eq!((row["time"].as_i64(), &row["coin"]), (Some(truth.time_ms), &json!("ETH")));
        assert_eq!(scaled(&row["fundingRate"], 10), i128::from(truth.rate_e10));
    }
    let (_, many) = hand.info(&ask("ETH", 0));
    assert_eq!(many.as_array().map(Vec::len), Some(500), "the oldest five hundred");
    assert_eq!(hand.info(&ask("NOPE", 0)), (500, Value::Null));
    assert_eq!(hand.info(r#"{"type":"fundingHistory","coin":"ETH"}"#).0, 422);
}
