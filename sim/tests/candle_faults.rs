//! What can go wrong with candles, on command: frames late, lost or short, rows missing or immature, REST down.

mod common;

use common::scaled;
use serde_json::{Value, json};
use sim::{Binance, ByHand, Config, Fault, Heard, Hyperliquid, Interval};

/// Just after a quarter of an hour began.
const START_MS: i64 = 1_789_999_200_000 + 1_000;
const MINUTE_MS: i64 = 60_000;

fn config() -> Config {
    let mut config = Config { seed: 4, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.book_levels, market.rate_per_s) = (60, 20.0);
    }
    config
}

fn pass<P: sim::protocol::Protocol>(venue: &mut ByHand<P>, ms: i64) {
    let until_ms = venue.now_ms() + ms;
    while venue.now_ms() < until_ms {
        venue.pass_to(venue.now_ms() + 10);
    }
}

fn texts<P: sim::protocol::Protocol>(venue: &mut ByHand<P>) -> Vec<Value> {
    let heard: Vec<Heard> = venue.drain_heard().collect();
    let text = |heard| match heard {
        Heard::Text(_, text) => Some(serde_json::from_str(text.as_str()).expect("JSON")),
        _ => None,
    };
    heard.into_iter().filter_map(text).collect()
}

/// Status and body of the answer to the last request, if it came.
fn answer<P: sim::protocol::Protocol>(venue: &mut ByHand<P>) -> Option<(u16, Value)> {
    let heard: Vec<Heard> = venue.drain_heard().collect();
    heard.into_iter().find_map(|heard| match heard {
        Heard::Answer(_, response) => {
            Some((response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null)))
        }
        _ => None,
    })
}

fn binance(streams: &str) -> ByHand<Binance> {
    let mut venue = ByHand::binance(&config(), START_MS).expect("Binance");
    venue.open(&format!("/market/ws/{streams}")).expect("an open door");
    venue
}

/// When each minute's closing frame came, by the minute's beginning.
fn closings(events: &[Value]) -> Vec<(i64, i64)> {
    let closed = events.iter().filter(|event| event["k"]["x"] == true && event["k"]["i"] == "1m");
    closed.map(|event| (event["k"]["t"].as_i64().expect("t"), event["E"].as_i64().expect("E"))).collect()
}

#[test]
fn closing_frames_come_late_or_never() {
    let mut venue = binance("btcusdt@kline_1m/btcusdt@kline_3m");
    let (symbol, interval) = ("BTCUSDT".to_owned(), Some(Interval::Minute1));
    let late = Fault::LateCloseFrames { symbol: symbol.clone(), interval, delay_ms: 24_000, frames: 1 };
    venue.fault(&late).expect("a fault");
    pass(&mut venue, 2 * MINUTE_MS);
    let first_ms = START_MS - 1_000;
    let events = texts(&mut venue);
    let told = closings(&events);
    assert_eq!(
        told.iter().map(|(open_ms, _)| *open_ms).collect::<Vec<_>>(),
        [first_ms, first_ms + MINUTE_MS]
    );
    assert_eq!(told[0].1, first_ms + MINUTE_MS + 24_000);
    let late = events.iter().position(|event| event["k"]["x"] == true).expect("a closing frame");
    assert!(events[..late].iter().any(|event| event["k"]["t"].as_i64() == Some(first_ms + MINUTE_MS)));
    let truth = venue.candles("BTCUSDT", "1m", first_ms, first_ms + 1).expect("candles")[0];
    assert_eq!(scaled(&events[late]["k"]["q"], 16), truth.quote_e16, "late, but whole");

    venue
        .fault(&Fault::LoseCloseFrames { symbol: symbol.clone(), interval: None, frames: 1 })
        .expect("a fault");
    pass(&mut venue, 2 * MINUTE_MS);
    let events = texts(&mut venue);
    assert_eq!(closings(&events).len(), 1);
    assert!(!events.iter().any(|event| event["k"]["i"] == "3m" && event["k"]["x"] == true), "lost as well");
    venue.fault(&Fault::SilenceKlines { symbol, for_ms: 90_000 }).expect("a fault");
    pass(&mut venue, 90_000);
    assert!(texts(&mut venue).is_empty());
    pass(&mut venue, MINUTE_MS);
    assert!(!closings(&texts(&mut venue)).is_empty());
    let short =
        Fault::ShortCandles { symbol: "BTCUSDT".to_owned(), interval: None, before_ms: 1, periods: 1 };
    assert!(venue.fault(&short).is_err(), "not at this venue");
}

#[test]
fn rows_of_just_ended_periods_are_missing_or_immature() {
    let mut venue = binance("");
    pass(&mut venue, 2 * MINUTE_MS);
    let url = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=3";
    let rows = |venue: &mut ByHand<Binance>| {
        venue.get(url);
        answer(venue).expect("an answer").1.as_array().expect("rows").clone()
    };
    let late = |missing| Fault::LateCandleRows { symbol: None, missing, lag_ms: 3_000, for_ms: 30_000 };
    let truth = rows(&mut venue);
    venue.fault(&late(true)).expect("a fault");
    let missing = rows(&mut venue);
    assert_eq!((missing.len(), &missing[1]), (2, &truth[2]), "all but the one that just ended");
    venue.fault(&late(false)).expect("a fault");
    let immature = rows(&mut venue);
    assert!(
        immature[1][8].as_u64() < truth[1][8].as_u64()
            && scaled(&immature[1][5], 8) < scaled(&truth[1][5], 8)
    );
    assert_eq!((&immature[0], immature.len()), (&truth[0], 3));
    pass(&mut venue, 3_000);
    assert_eq!(rows(&mut venue)[1], truth[1], "in time it is there");
}

#[test]
fn rest_candles_can_be_down_in_two_ways() {
    let mut venue = binance("");
    let url = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m";
    for (timeout, expected) in [(false, Some(500)), (true, None)] {
        venue.fault(&Fault::CandleRestDown { timeout, for_ms: 5_000 }).expect("a fault");
        venue.get(url);
        assert_eq!(answer(&mut venue).map(|(status, _)| status), expected);
        venue.get("/fapi/v1/time");
        assert_eq!(answer(&mut venue).map(|(status, _)| status), Some(200), "the rest is up");
        pass(&mut venue, 5_000);
        venue.get(url);
        assert_eq!(answer(&mut venue).map(|(status, _)| status), Some(200));
    }
    let mut other = ByHand::hyperliquid(&config(), START_MS).expect("Hyperliquid");
    other.fault(&Fault::CandleRestDown { timeout: false, for_ms: 5_000 }).expect("a fault");
    let body = r#"{"type":"candleSnapshot","req":{"coin":"BTC","interval":"1m","startTime":0}}"#;
    other.post("/info", body);
    assert_eq!(answer(&mut other), Some((500, Value::Null)));
}

fn hyperliquid() -> ByHand<Hyperliquid> {
    let mut venue = ByHand::hyperliquid(&config(), START_MS).expect("Hyperliquid");
    let connection = venue.open("/ws").expect("an open door");
    // Something must come, or the venue takes the connection for dead.
    for subscription in [r#"{"type":"candle","coin":"BTC","interval":"1m"}"#, r#"{"type":"allMids"}"#] {
        venue.say(connection, &format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#));
    }
    venue
}

#[test]
fn the_last_trades_of_a_period_are_never_shown() {
    let mut venue = hyperliquid();
    let short =
        Fault::ShortCandles { symbol: "BTC".to_owned(), interval: None, before_ms: 20_000, periods: 1 };
    venue.fault(&short).expect("a fault");
    pass(&mut venue, 3 * MINUTE_MS);
    let first_ms = START_MS - 1_000;
    let frames = texts(&mut venue);
    let truth = venue.candles("BTC", "1m", first_ms, first_ms + 2 * MINUTE_MS).expect("candles");
    for (at, candle) in truth.iter().enumerate() {
        let own = frames.iter().rfind(|frame| frame["data"]["t"].as_i64() == Some(candle.open_ms));
        let shown = own.expect("a frame")["data"]["n"].as_u64();
        assert!(if at == 0 { shown < Some(candle.trades) } else { shown == Some(candle.trades) });
    }
    let ask =
        json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": first_ms}});
    venue.post("/info", &ask.to_string());
    let (_, rows) = answer(&mut venue).expect("rows");
    assert_eq!(rows[0]["n"].as_u64(), Some(truth[0].trades), "REST has them");
    let late = Fault::LateCloseFrames { symbol: "BTC".to_owned(), interval: None, delay_ms: 1, frames: 1 };
    assert!(venue.fault(&late).is_err(), "not at this venue");
}

#[test]
fn periods_can_be_empty() {
    let mut venue = hyperliquid();
    pass(&mut venue, MINUTE_MS);
    drop(texts(&mut venue));
    venue.fault(&Fault::StopTrades { symbol: "BTC".to_owned(), for_ms: 3 * MINUTE_MS }).expect("a fault");
    pass(&mut venue, 3 * MINUTE_MS);
    let first_ms = START_MS - 1_000 + MINUTE_MS;
    let told = texts(&mut venue);
    let of_empty = |frame: &&Value| frame["data"]["t"].as_i64().is_some_and(|open_ms| open_ms > first_ms);
    assert_eq!(told.iter().filter(of_empty).count(), 0, "no frame of an empty period");
    let truth = venue.candles("BTC", "1m", first_ms, i64::MAX).expect("candles");
    for (before, flat) in truth.iter().zip(&truth[1..3]) {
        assert_eq!((flat.trades, flat.open_e8, flat.high_e8), (0, before.close_e8, before.close_e8));
    }
    pass(&mut venue, MINUTE_MS);
    assert!(texts(&mut venue).iter().any(|frame| frame["channel"] == "candle"));

    let mut other = binance("ethusdt@kline_1m");
    other.fault(&Fault::StopTrades { symbol: "ETHUSDT".to_owned(), for_ms: 3 * MINUTE_MS }).expect("a fault");
    pass(&mut other, 2 * MINUTE_MS);
    let events = texts(&mut other);
    let flat = events.last().expect("a closing frame");
    assert_eq!((&flat["k"]["x"], &flat["k"]["n"], &flat["k"]["f"]), (&json!(true), &json!(0), &json!(-1)));
    assert_eq!(closings(&events).len(), 2, "an empty period is closed as well");
}
