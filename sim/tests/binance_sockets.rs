//! Binance's protocol over real sockets: doors, control messages, limits, REST, faults.

mod common;

use common::{Client, Got, NaiveBook, PATIENCE, agent, get, quick};
use serde_json::{Value, json};
use sim::{CutHow, Fault, RefuseHow, Route, Sim, combined_url};
use std::time::Duration;

fn start() -> Sim {
    Sim::start(quick()).expect("a simulation")
}

fn door(sim: &Sim, path: &str) -> Client {
    Client::connect(sim, &format!("{}{path}", sim.binance().ws_url()))
}

fn is_data(value: &Value) -> bool {
    value.get("e").is_some() || value.get("stream").is_some()
}

#[test]
fn control_messages_are_answered_as_documented() {
    let sim = start();
    let mut client = door(&sim, "/market/ws");
    let mut ask = |text: &str| {
        client.send(text);
        client.next_where(|value| !is_data(value))
    };
    assert_eq!(
        ask(r#"{"method":"SUBSCRIBE","params":["btcusdt@aggTrade","BTCUSDT@aggTrade","x@nothing"],"id":1}"#),
        json!({"result": null, "id": 1})
    );
    assert_eq!(
        ask(r#"{"method":"LIST_SUBSCRIPTIONS","id":2}"#),
        json!({"result": ["btcusdt@aggTrade", "BTCUSDT@aggTrade", "x@nothing"], "id": 2})
    );
    assert_eq!(
        ask(r#"{"method":"UNSUBSCRIBE","params":["never@asked"],"id":3}"#),
        json!({"result": null, "id": 3})
    );
    assert_eq!(
        ask(r#"{"method":"GET_PROPERTY","params":["combined"],"id":4}"#),
        json!({"result": false, "id": 4})
    );
    assert_eq!(
        ask(r#"{"method":"SET_PROPERTY","params":["combined",true],"id":5}"#),
        json!({"result": null, "id": 5})
    );
    for (text, code) in [
        ("no json", 3),
        (r#"{"method":"SUBSCRIBE","params":["x"],"id":"one"}"#, 2),
        (r#"{"method":"DANCE","id":6}"#, 2),
        (r#"{"method":"SET_PROPERTY","params":["colour",true],"id":7}"#, 0),
        (r#"{"method":"SET_PROPERTY","params":["combined",7],"id":8}"#, 1),
    ] {
        assert_eq!(ask(text)["code"], code, "{text}");
    }
    let combined = client.next_where(is_data);
    assert_eq!(combined["stream"], "btcusdt@aggTrade");
    let counters = sim.binance().counters();
    assert_eq!((counters.subscriptions, counters.silent_subscriptions, counters.soft_errors), (1, 2, 5));
    assert_eq!(counters.subscribe_log.len(), 2);
    assert_eq!(counters.subscribe_log[0].route, Route::Market);
}

#[test]
fn streams_on_the_wrong_door_or_in_the_wrong_case_are_silent() {
    let sim = start();
    let mut public = door(&sim, "/public/stream?streams=btcusdt@aggTrade/BTCUSDT@bookTicker/btcusdt@depth7");
    let mut market = door(&sim, "/market/stream?streams=btcusdt@depth@100ms/btcusdt@bookTicker");
    assert!(public.all_within(Duration::from_millis(400)).is_empty());
    assert!(market.all_within(Duration::from_millis(10)).is_empty());
    assert_eq!(sim.binance().counters().silent_subscriptions, 5);
    assert!(Client::try_connect(&sim, &format!("{}/ws", sim.binance().ws_url())).is_err());
}

#[test]
fn names_that_are_not_ascii_work_raw_and_encoded() {
    let sim = start();
    let encoded = "/public/stream?streams=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9Fusdt@bookTicker";
    assert_eq!(door(&sim, encoded).next_json()["data"]["s"], "币安人生USDT");
    let mut raw = door(&sim, "/public/ws");
    raw.send(r#"{"method":"SUBSCRIBE","params":["币安人生usdt@bookTicker"],"id":1}"#);
    assert_eq!(raw.next_where(is_data)["s"], "币安人生USDT");
}

#[test]
fn the_stream_that_is_too_many_ends_the_connection() {
    let sim = start();
    let mut client = door(&sim, "/market/ws");
    for batch in 0..6 {
        let count = if batch < 5 { 200 } else { 25 };
        let names: Vec<String> = (0..count).map(|at| format!("\"s{}@aggTrade\"", batch * 200 + at)).collect();
        client.send(&format!(r#"{{"method":"SUBSCRIBE","params":[{}],"id":{batch}}}"#, names.join(",")));
        let answer = client.next_json();
        if batch < 5 {
            assert_eq!(answer, json!({"result": null, "id": batch}));
        } else {
            assert_eq!(answer, json!({"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 5}));
        }
    }
    assert!(matches!(client.read_to_end(), Got::Closed { code: Some(1008), .. }));
    assert!(sim.binance().wait_until(PATIENCE, |counters| counters.connections_open == 0));
    assert_eq!(sim.binance().counters().limit_violations_total(), 1);
}

#[test]
fn a_burst_of_messages_is_forgiven_and_a_flood_is_not() {
    let sim = start();
    let list = r#"{"method":"LIST_SUBSCRIPTIONS","id":1}"#;
    let mut burst = door(&sim, "/public/ws");
    (0..15).for_each(|_| burst.send(list));
    (0..15).for_each(|_| drop(burst.next_json()));
    let mut flood = door(&sim, "/public/ws");
    for _ in 0..40 {
        flood.try_send(list);
    }
    match flood.read_to_end() {
        Got::Closed { code, reason } => {
            assert_eq!((code, reason.as_str()), (Some(1008), "Too many requests"))
        }
        other => panic!("{other:?}"),
    }
    let counters = sim.binance().counters();
    assert!(counters.messages_per_second_max > 15 && counters.limit_violations_total() > 0);
}

#[test]
fn a_book_joined_over_the_wire_is_the_true_one() {
    let sim = start();
    let agent = agent(&sim);
    let mut client = Client::connect(&sim, &combined_url(&sim.binance().ws_url(), Route::Public));
    client.send(r#"{"method":"SUBSCRIBE","params":["ethusdt@depth@100ms"],"id":1}"#);
    let first = client.next_where(is_data);
    let url = format!("{}/fapi/v1/depth?symbol=ETHUSDT&limit=1000", sim.binance().rest_url());
    let (status, snapshot) = get(&agent, &url);
    assert_eq!(status, 200);
    let snapshot_id = snapshot["lastUpdateId"].as_u64();
    let mut book = NaiveBook::from_snapshot(&snapshot);
    let (mut applied, mut event, mut last) = (0, first, None);
    while applied < 20 {
        let data = &event["data"];
        let until = data["u"].as_u64();
        if until >= snapshot_id {
            let previous = data["pu"].as_u64();
            assert!(if applied == 0 { previous <= snapshot_id } else { previous == last });
            book.apply(&data["b"], &data["a"]);
            last = until;
            applied += 1;
            let truth =
                sim.binance().market().truth_at_update_id("ETHUSDT", until.unwrap_or(0)).expect("truth");
            assert_eq!(book, NaiveBook::from_truth(&truth));
        }
        event = client.next_where(is_data);
    }
}

#[test]
fn rest_tells_its_weight_packs_what_is_big_and_keeps_the_connection() {
    let sim = start();
    let agent = agent(&sim);
    let base = sim.binance().rest_url();
    let response = agent.get(format!("{base}/fapi/v1/exchangeInfo")).header("Accept-Encoding", "gzip").call();
    let mut response = response.expect("an answer");
    assert_eq!(response.headers()["X-MBX-USED-WEIGHT-1M"], "1");
    let info: Value =
        serde_json::from_str(&response.body_mut().read_to_string().expect("text")).expect("JSON");
    let symbols = info["symbols"].as_array().expect("symbols");
    assert_eq!(symbols[0]["symbol"], "BTCUSDT");
    assert_eq!(symbols[0]["filters"][0]["tickSize"], "0.10");
    assert_eq!(symbols[0]["filters"][1]["stepSize"], "0.001");
    assert!(symbols.iter().any(|symbol| symbol["status"] == "SETTLING"));
    assert!(get(&agent, &format!("{base}/fapi/v1/time")).1["serverTime"].is_i64());
    let (_, premium) = get(&agent, &format!("{base}/fapi/v1/premiumIndex"));
    assert_eq!(premium.as_array().map(Vec::len), Some(symbols.len()));
    let (status, error) = get(&agent, &format!("{base}/fapi/v1/premiumIndex?symbol=NOPE"));
    assert_eq!((status, error), (400, json!({"code": -1121, "msg": "Invalid symbol."})));
    let (_, chinese) =
        get(&agent, &format!("{base}/fapi/v1/depth?symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT"));
    assert!(chinese["bids"].as_array().is_some_and(|bids| !bids.is_empty()));
    let counters = sim.binance().counters();
    assert_eq!(counters.rest_requests_by_path["/fapi/v1/premiumIndex"], 2);
    // All of it, or the larger part if the minute ended meanwhile.
    assert!((10..=1 + 1 + 10 + 1 + 10).contains(&counters.rest_weight_per_minute_max));
}

#[test]
fn connections_can_be_cut_in_three_ways_and_refused() {
    let sim = start();
    for how in [CutHow::Close, CutHow::Drop, CutHow::Reset] {
        let mut public = door(&sim, "/public/ws");
        let mut market = door(&sim, "/market/ws/btcusdt@aggTrade");
        sim.binance().fault(Fault::Cut { route: Some(Route::Public), how, code: 1000 }).expect("a cut");
        let end = public.read_to_end();
        match how {
            CutHow::Close => assert!(matches!(end, Got::Closed { code: Some(1000), .. }), "{end:?}"),
            _ => assert!(matches!(end, Got::Broken), "{end:?}"),
        }
        assert_eq!(market.next_json()["e"], "aggTrade");
    }
    sim.binance().fault(Fault::RefuseConnections { for_ms: 400, how: RefuseHow::Close }).expect("a refusal");
    let url = format!("{}/public/ws", sim.binance().ws_url());
    assert!(Client::try_connect(&sim, &url).is_err());
    std::thread::sleep(Duration::from_millis(500));
    assert!(Client::try_connect(&sim, &url).is_ok());
}

#[test]
fn silence_duplicates_and_slow_rest_come_on_command() {
    let sim = start();
    let mut client = door(&sim, "/public/stream?streams=btcusdt@bookTicker/ethusdt@bookTicker");
    client.next_where(|value| value["stream"] == "btcusdt@bookTicker");
    let fault = |fault| sim.binance().fault(fault).expect("a fault");
    fault(Fault::SilenceSymbol { symbol: "BTCUSDT".to_owned(), for_ms: 60_000 });
    // What was sent before may still be on its way.
    drop(client.all_within(Duration::from_millis(100)));
    let heard = client.all_within(Duration::from_millis(400));
    assert!(!heard.is_empty() && heard.iter().all(|value| value["data"]["s"] == "ETHUSDT"));
    fault(Fault::DuplicateFrames { symbol: "ETHUSDT".to_owned(), frames: 1 });
    let (mut last, mut twice) = (Value::Null, client.next_json());
    while last != twice {
        last = std::mem::replace(&mut twice, client.next_json());
    }
    assert_eq!(twice["stream"], "ethusdt@bookTicker");
    fault(Fault::DelayRest { delay_ms: 300, for_ms: 60_000 });
    let before = std::time::Instant::now();
    get(&agent(&sim), &format!("{}/fapi/v1/time", sim.binance().rest_url()));
    assert!(before.elapsed() >= Duration::from_millis(300));
}
