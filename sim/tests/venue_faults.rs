//! What goes wrong beside the frames of known streams, in virtual time: acknowledgements, unknown channels and values,
//! REST, names, the transport.

use serde_json::{Value, json};
use sim::protocol::{Protocol, Response};
use sim::{Binance, ByHand, Config, CutHow, Fault, Heard, Hyperliquid, NotOpened, RefuseHow, TlsHow};

const START_MS: i64 = 1_790_000_000_000;
const DEPTH: &str = "/fapi/v1/depth?symbol=BTCUSDT&limit=100";
const BOOK: &str = r#"{"type":"l2Book","coin":"BTC"}"#;

fn config() -> Config {
    let mut config = Config { seed: 8, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.book_levels, market.rate_per_s) = (60, 60.0);
    }
    config
}

fn binance() -> ByHand<Binance> {
    ByHand::binance(&config(), START_MS).expect("a venue")
}

fn hyperliquid() -> ByHand<Hyperliquid> {
    ByHand::hyperliquid(&config(), START_MS).expect("a venue")
}

fn pass<P: Protocol>(venue: &mut ByHand<P>, ms: i64) {
    let until_ms = venue.now_ms() + ms;
    while venue.now_ms() < until_ms {
        venue.pass_to(venue.now_ms() + 10);
    }
}

fn texts<P: Protocol>(venue: &mut ByHand<P>) -> Vec<Value> {
    let text = |heard| match heard {
        Heard::Text(_, text) => serde_json::from_str(text.as_str()).unwrap_or(json!(text.as_str())),
        other => panic!("{other:?}"),
    };
    venue.drain_heard().map(text).collect()
}

fn answers<P: Protocol>(venue: &mut ByHand<P>) -> Vec<Response> {
    let answer = |heard| match heard {
        Heard::Answer(_, response) => Some(response),
        _ => None,
    };
    venue.drain_heard().filter_map(answer).collect()
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

#[test]
fn acknowledgements_are_lost_and_the_subscriptions_made() {
    let mut venue = binance();
    venue.fault(&Fault::LoseAcks { count: 1 }).expect("a fault");
    let id = venue.open("/public/ws").expect("open");
    venue.say(id, r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker"],"id":1}"#);
    venue.say(id, r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#);
    assert_eq!(texts(&mut venue), [json!({"result": ["btcusdt@bookTicker"], "id": 2})]);
    pass(&mut venue, 2_000);
    assert!(texts(&mut venue).len() > 5);

    let mut venue = hyperliquid();
    venue.fault(&Fault::LoseAcks { count: 1 }).expect("a fault");
    let id = venue.open("/ws").expect("open");
    venue.say(id, r#"{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}"#);
    pass(&mut venue, 2_000);
    let heard = texts(&mut venue);
    assert!(heard.len() > 5 && heard.iter().all(|frame| frame["channel"] == "bbo"));
}

#[test]
fn an_acknowledged_subscription_is_silent_until_it_is_made_anew() {
    let mut venue = binance();
    venue.fault(&Fault::AckedAndSilent { count: 1 }).expect("a fault");
    let id = venue.open("/public/ws").expect("open");
    let subscribe = r#"{"method":"SUBSCRIBE","params":["btcusdt@bookTicker","ethusdt@bookTicker"],"id":1}"#;
    venue.say(id, subscribe);
    assert_eq!(texts(&mut venue), [json!({"result": null, "id": 1})]);
    pass(&mut venue, 2_000);
    let symbols: Vec<Value> = texts(&mut venue).iter().map(|event| event["s"].clone()).collect();
    assert!(symbols.len() > 5 && symbols.iter().all(|symbol| symbol == "ETHUSDT"));
    venue.say(id, r#"{"method":"UNSUBSCRIBE","params":["btcusdt@bookTicker"],"id":2}"#);
    venue.say(id, subscribe);
    pass(&mut venue, 2_000);
    assert!(texts(&mut venue).iter().any(|event| event["s"] == "BTCUSDT"));

    let mut venue = hyperliquid();
    venue.fault(&Fault::AckedAndSilent { count: 1 }).expect("a fault");
    let id = venue.open("/ws").expect("open");
    let trades = r#"{"type":"trades","coin":"BTC"}"#;
    venue.say(id, &format!(r#"{{"method":"subscribe","subscription":{trades}}}"#));
    assert_eq!(texts(&mut venue)[0]["channel"], "subscriptionResponse");
    pass(&mut venue, 5_000);
    assert_eq!(texts(&mut venue), Vec::<Value>::new());
    venue.say(id, &format!(r#"{{"method":"unsubscribe","subscription":{trades}}}"#));
    venue.say(id, &format!(r#"{{"method":"subscribe","subscription":{trades}}}"#));
    pass(&mut venue, 5_000);
    assert!(texts(&mut venue).iter().any(|frame| frame["channel"] == "trades"));
}

#[test]
fn unknown_channels_and_values_are_told_to_everybody() {
    let mut venue = binance();
    venue.open("/public/stream").expect("open");
    venue.open("/market/ws").expect("open");
    venue.fault(&Fault::NewChannel { frames: 3 }).expect("a fault");
    let heard = texts(&mut venue);
    assert_eq!(heard.len(), 6);
    assert!(heard.iter().any(|frame| frame["stream"] == "!serverShutdown"));
    assert!(heard.iter().any(|frame| frame["e"] == "serverShutdown"));
    assert!(heard.iter().any(Value::is_array));
    venue.fault(&Fault::NewValues { frames: 1 }).expect("a fault");
    let heard = texts(&mut venue);
    assert!(heard.iter().any(|event| event["cs"] == "CALL_AUCTION"));
    assert!(heard.iter().any(|event| event["k"]["i"] == "10m"));
    let listed = |venue: &mut ByHand<Binance>| {
        venue.get("/fapi/v1/exchangeInfo");
        let body: Value = serde_json::from_slice(&answers(venue)[0].body).expect("JSON");
        body["symbols"].as_array().expect("symbols").iter().any(|one| one["status"] == "CALL_AUCTION")
    };
    assert!(listed(&mut venue) && !listed(&mut venue), "in as many answers as frames");
    venue.open("/public/ws/btcusdt@trade").expect("open");
    pass(&mut venue, 5_000);
    let kinds: Vec<Value> = texts(&mut venue).iter().map(|trade| trade["X"].clone()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "AUCTION").count(), 1);
    assert!(kinds.len() > 5);

    let mut venue = hyperliquid();
    venue.fault(&Fault::Greeting { connections: 1 }).expect("a fault");
    venue.open("/ws").expect("open");
    venue.open("/ws").expect("open");
    assert_eq!(texts(&mut venue), [json!("Websocket connection established.")], "one of two is greeted");
    venue.fault(&Fault::NewChannel { frames: 3 }).expect("a fault");
    let heard = texts(&mut venue);
    assert_eq!(heard.len(), 6);
    assert!(heard.iter().any(|frame| frame["channel"] == "l2BookDelta"));
    assert!(heard.iter().any(|frame| frame["channel"] == "heartbeat" && frame.get("data").is_none()));
    venue.fault(&Fault::NewValues { frames: 1 }).expect("a fault");
    let heard = texts(&mut venue);
    assert!(heard.iter().any(|frame| frame["channel"] == "error" && frame["data"].is_string()));
    assert!(heard.iter().any(|frame| frame["data"]["i"] == "10m"));
    assert!(venue.fault(&Fault::EmptyRate { symbol: "BTC".to_owned(), for_ms: 9 }).is_err());
}

#[test]
fn a_rate_is_empty_for_a_while() {
    let mut venue = binance();
    venue.open("/market/ws/btcusdt@markPrice@1s").expect("open");
    venue.fault(&Fault::EmptyRate { symbol: "BTCUSDT".to_owned(), for_ms: 3_500 }).expect("a fault");
    venue.get("/fapi/v1/premiumIndex?symbol=BTCUSDT");
    let body: Value = serde_json::from_slice(&answers(&mut venue)[0].body).expect("JSON");
    assert_eq!(body["lastFundingRate"], "");
    pass(&mut venue, 6_000);
    let rates: Vec<bool> = texts(&mut venue).iter().map(|mark| mark["r"] == "").collect();
    assert_eq!(rates, [true, true, true, false, false, false]);
}

#[test]
fn rest_answers_with_errors_garbage_or_late() {
    let mut venue = binance();
    for (status, retry) in [(429, true), (418, true), (500, false), (503, false)] {
        let fault = Fault::RestStatus { status, for_ms: 9_500, retry_after_s: None };
        venue.fault(&fault).expect("a fault");
        venue.get(DEPTH);
        let answer = answers(&mut venue).remove(0);
        assert_eq!(answer.status, status);
        let after_s = header(&answer, "Retry-After").map(|text| text.parse::<u64>().expect("seconds"));
        assert_eq!(after_s.is_some(), retry);
        assert!(status != 418 || after_s == Some(10), "{after_s:?}");
        pass(&mut venue, 9_500);
        drop(venue.drain_heard().collect::<Vec<_>>());
        venue.get(DEPTH);
        assert_eq!(answers(&mut venue)[0].status, 200, "it passes");
    }
    assert_eq!((venue.counters().rest_429, venue.counters().rest_418), (1, 1));
    let named = Fault::RestStatus { status: 429, for_ms: 1_000, retry_after_s: Some(77) };
    venue.fault(&named).expect("a fault");
    venue.get(DEPTH);
    assert_eq!(header(&answers(&mut venue)[0], "Retry-After"), Some("77"));
    pass(&mut venue, 1_000);

    venue.fault(&Fault::RestGarbage { requests: 4 }).expect("a fault");
    for _ in 0..5 {
        venue.get(DEPTH);
    }
    let answers_now = answers(&mut venue);
    let useful = |answer: &Response| {
        let body: Option<Value> = serde_json::from_slice(&answer.body).ok();
        answer.status == 200 && body.is_some_and(|body| body["bids"].is_array())
    };
    assert_eq!(answers_now.iter().map(useful).collect::<Vec<_>>(), [false, false, false, false, true]);

    // A late snapshot shows the book as it was when it was asked for.
    let symbol = Some("BTCUSDT".to_owned());
    venue.fault(&Fault::SlowSnapshots { delay_ms: 4_000, requests: 1, symbol }).expect("a fault");
    let before = venue.market().truth_at_time("BTCUSDT", venue.now_ms()).expect("the truth").update_id;
    for _ in 0..2 {
        venue.get(DEPTH);
    }
    assert_eq!(answers(&mut venue).len(), 1, "the second comes first");
    let due_ms = venue.now_ms() + 4_000;
    pass(&mut venue, 3_990);
    assert!(answers(&mut venue).is_empty());
    assert!(venue.next_look_ms() <= due_ms);
    pass(&mut venue, 10);
    let late: Value = serde_json::from_slice(&answers(&mut venue)[0].body).expect("JSON");
    assert_eq!(late["lastUpdateId"].as_u64(), Some(before));

    let mut venue = hyperliquid();
    venue.fault(&Fault::RestStatus { status: 429, for_ms: 1_000, retry_after_s: None }).expect("a fault");
    venue.post("/info", BOOK);
    let answer = answers(&mut venue).remove(0);
    assert_eq!((answer.status, header(&answer, "Retry-After")), (429, None));
    pass(&mut venue, 1_000);
    venue.fault(&Fault::SlowSnapshots { delay_ms: 500, requests: 1, symbol: None }).expect("a fault");
    venue.post("/info", BOOK);
    venue.post("/info", r#"{"type":"meta"}"#);
    assert_eq!(answers(&mut venue).len(), 1, "only books are slow");
    pass(&mut venue, 500);
    assert_eq!(answers(&mut venue).len(), 1);
    venue.fault(&Fault::RestGarbage { requests: 1 }).expect("a fault");
    venue.post("/info", BOOK);
    assert!(serde_json::from_slice::<Value>(&answers(&mut venue)[0].body).is_err());
}

#[test]
fn rest_tells_the_stepped_time() {
    let mut venue = binance();
    pass(&mut venue, 2_000);
    venue.fault(&Fault::ClockStep { by_ms: -60_000, for_ms: None }).expect("a fault");
    let ask = |venue: &mut ByHand<Binance>, path: &str| -> Value {
        venue.get(path);
        serde_json::from_slice(&answers(venue)[0].body).expect("JSON")
    };
    assert_eq!(ask(&mut venue, "/fapi/v1/time")["serverTime"], START_MS + 2_000 - 60_000);
    assert_eq!(ask(&mut venue, "/fapi/v1/exchangeInfo")["serverTime"], START_MS + 2_000 - 60_000);
    assert_eq!(ask(&mut venue, DEPTH)["E"], START_MS + 2_000 - 60_000);
    pass(&mut venue, 5_000);
    // Trades keep the stamp of their moment: those before the step are not moved.
    let rows = ask(&mut venue, "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000");
    for trade in venue.market().trades("BTCUSDT").expect("trades") {
        let row = rows.as_array().expect("rows").iter().find(|row| row["a"] == trade.id).expect("the trade");
        let step_ms = if trade.time_ms < START_MS + 2_000 { 0 } else { -60_000 };
        assert_eq!(row["T"], trade.time_ms + step_ms);
    }

    let mut venue = hyperliquid();
    venue.fault(&Fault::ClockStep { by_ms: 5_000, for_ms: Some(1_000) }).expect("a fault");
    pass(&mut venue, 500);
    let time = |venue: &mut ByHand<Hyperliquid>| {
        venue.post("/info", r#"{"type":"exchangeStatus"}"#);
        let body: Value = serde_json::from_slice(&answers(venue)[0].body).expect("JSON");
        body["time"].as_i64().expect("a time") - venue.market().now_ms()
    };
    assert_eq!(time(&mut venue), 5_000);
    pass(&mut venue, 2_000);
    assert_eq!(time(&mut venue), 0);
}

#[test]
fn nothing_opens_while_the_transport_fails() {
    let mut venue = binance();
    for (fault, refused) in [
        (Fault::RefuseConnections { for_ms: 500, how: RefuseHow::Refuse }, NotOpened::Refused),
        (Fault::TlsFailure { for_ms: 500, how: TlsHow::Expired }, NotOpened::Tls(TlsHow::Expired)),
    ] {
        venue.fault(&fault).expect("a fault");
        assert_eq!(venue.connect(), Err(refused.clone()));
        assert_eq!(venue.open("/public/ws"), Err(refused));
        pass(&mut venue, 500);
        assert_eq!(venue.connect(), Ok(()));
        assert!(venue.open("/public/ws").is_ok());
    }
    venue.fault(&Fault::DnsFailure { for_ms: 500 }).expect("a fault");
    assert!(venue.lookup("localhost").is_err_and(|error| error.to_string().contains("Temporary failure")));
    pass(&mut venue, 500);
    assert!(venue.lookup("localhost").is_ok_and(|addresses| !addresses.is_empty()));
    assert!(venue.lookup("elsewhere").is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound));
}

#[test]
fn a_dripping_connection_is_late_and_loses_nothing() {
    let run = |drip: bool| {
        let mut venue = binance();
        venue.open("/public/ws/btcusdt@bookTicker").expect("open");
        if drip {
            venue.fault(&Fault::Drip { for_ms: 10_000, bytes_per_s: 100 }).expect("a fault");
        }
        pass(&mut venue, 2_000);
        let early = texts(&mut venue);
        venue.get("/fapi/v1/time");
        let answered_at_once = !answers(&mut venue).is_empty();
        pass(&mut venue, 8_000);
        pass(&mut venue, 10);
        let all: Vec<Heard> = venue.drain_heard().collect();
        let texts = all.iter().filter_map(|heard| match heard {
            Heard::Text(_, text) => serde_json::from_str(text.as_str()).ok(),
            _ => None,
        });
        (early.len(), [early, texts.collect::<Vec<Value>>()].concat(), answered_at_once)
    };
    let ((slow_early, slow, slow_answer), (early, plain, answer)) = (run(true), run(false));
    assert_eq!(slow, plain, "the same in the same order");
    assert!(slow_early <= 2 && early > 5, "{slow_early} {early}");
    assert!(!slow_answer && answer);
    // What was still on its way when the connection was cut never arrives.
    let mut venue = binance();
    venue.open("/public/ws/btcusdt@bookTicker").expect("open");
    venue.fault(&Fault::Drip { for_ms: 10_000, bytes_per_s: 1 }).expect("a fault");
    pass(&mut venue, 2_000);
    venue.fault(&Fault::Cut { route: None, how: CutHow::Drop, code: 1000 }).expect("a cut");
    pass(&mut venue, 10_000);
    assert!(matches!(venue.drain_heard().collect::<Vec<_>>()[..], [Heard::Dropped(_, false)]));
}

#[test]
fn the_cut_of_the_day_closes_all_and_is_counted() {
    let mut venue = binance();
    venue.open("/public/ws").expect("open");
    venue.open("/market/ws").expect("open");
    venue.fault(&Fault::DayCut { route: None }).expect("a fault");
    let closed = |heard: Heard| matches!(heard, Heard::Closed(_, 1000, _));
    assert_eq!(venue.drain_heard().filter(|heard| closed(heard.clone())).count(), 2);
    assert_eq!((venue.counters().connections_aged_out, venue.counters().connections_open), (2, 0));
    let mut venue = hyperliquid();
    venue.open("/ws").expect("open");
    venue.fault(&Fault::DayCut { route: None }).expect("a fault");
    assert_eq!(venue.drain_heard().filter(|heard| closed(heard.clone())).count(), 1);
}
