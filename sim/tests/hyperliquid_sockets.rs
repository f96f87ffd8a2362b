//! Hyperliquid's protocol over real sockets: subscriptions, errors, sudden ends, REST, faults.

mod common;

use common::{Client, Got, PATIENCE, agent, get, number, post, quick};
use serde_json::{Value, json};
use sim::{Config, CutHow, Fault, Sim};
use std::time::{Duration, Instant};

fn start() -> Sim {
    Sim::start(quick()).expect("a simulation")
}

fn connect(sim: &Sim) -> Client {
    Client::connect(sim, &sim.hyperliquid().ws_url())
}

fn control(value: &Value) -> bool {
    matches!(value["channel"].as_str(), Some("subscriptionResponse" | "error" | "pong" | "post"))
}

fn ask(client: &mut Client, text: &str) -> Value {
    client.send(text);
    client.next_where(control)
}

#[test]
fn requests_are_answered_with_defaults_filled_in() {
    let sim = start();
    let mut client = connect(&sim);
    let book = r#"{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC"}}"#;
    let full = json!({"type": "l2Book", "coin": "BTC", "nSigFigs": null, "mantissa": null, "fast": false});
    assert_eq!(
        ask(&mut client, book),
        json!({"channel": "subscriptionResponse", "data": {"method": "subscribe", "subscription": full}})
    );
    let again = ask(&mut client, book);
    assert_eq!(again["channel"], "error");
    let text = again["data"].as_str().expect("a plain string");
    let echoed: Value =
        serde_json::from_str(text.trim_start_matches("Already subscribed: ")).expect("JSON inside");
    assert_eq!(echoed, full);
    let end = book.replace("\"subscribe\"", "\"unsubscribe\"");
    assert_eq!(ask(&mut client, &end)["data"]["method"], "unsubscribe");
    let twice = ask(&mut client, &end);
    assert!(twice["data"].as_str().is_some_and(|text| text.starts_with("Already unsubscribed: {")));
    assert_eq!(ask(&mut client, r#"{"method":"ping"}"#), json!({"channel": "pong"}));
    let post =
        r#"{"method":"post","id":7,"request":{"type":"info","payload":{"type":"l2Book","coin":"NOPE"}}}"#;
    let nothing = json!({"id": 7, "response": {"type": "info", "payload": {"type": "l2Book", "data": null}}});
    assert_eq!(ask(&mut client, post), json!({"channel": "post", "data": nothing}));
    let real = ask(&mut client, &post.replace("NOPE", "BTC"));
    assert_eq!(real["data"]["response"]["payload"]["data"]["coin"], "BTC");
    for unreadable in ["hello", r#"{"method":"post","request":{}}"#, r#"{"method":"subscribe"}"#] {
        let error = ask(&mut client, unreadable);
        let text = error["data"].as_str().expect("a plain string");
        assert_eq!(text, format!("Error parsing JSON into valid websocket request: {unreadable}"));
    }
}

#[test]
fn one_bad_subscription_costs_the_whole_connection_without_a_word() {
    let sim = start();
    for bad in [
        r#"{"type":"l2Book","coin":"btc"}"#,
        r#"{"type":"trades","coin":"XYZ:SP500"}"#,
        r#"{"type":"l2Book","coin":"BTC","nSigFigs":7}"#,
    ] {
        let mut client = connect(&sim);
        ask(&mut client, r#"{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}"#);
        let asked = Instant::now();
        client.send(&format!(r#"{{"method":"subscribe","subscription":{bad}}}"#));
        assert!(matches!(client.read_to_end(), Got::Broken), "{bad}");
        assert!(asked.elapsed() >= Duration::from_millis(90));
    }
    assert_eq!(sim.hyperliquid().counters().fatal_requests, 3);
}

#[test]
fn a_delisted_coin_is_accepted_and_empty() {
    let sim = start();
    let mut client = connect(&sim);
    ask(&mut client, r#"{"method":"subscribe","subscription":{"type":"l2Book","coin":"MATIC"}}"#);
    for _ in 0..3 {
        assert_eq!(client.next_json()["data"]["levels"], json!([[], []]));
    }
}

#[test]
fn contexts_and_mids_follow_the_books() {
    let mut config = quick();
    (config.hyperliquid.mids_interval_ms, config.hyperliquid.context_interval_ms) = (50, 50);
    let sim = Sim::start(config).expect("a simulation");
    let mut client = connect(&sim);
    ask(&mut client, r#"{"method":"subscribe","subscription":{"type":"allMids"}}"#);
    ask(&mut client, r#"{"method":"subscribe","subscription":{"type":"activeAssetCtx","coin":"ETH"}}"#);
    let mids = client.next_where(|value| value["channel"] == "allMids");
    assert!(number(&mids["data"]["mids"]["BTC"]) > 0);
    assert!(mids["data"]["mids"].get("MATIC").is_none(), "no mid without a two-sided book");
    let context = client.next_where(|value| value["channel"] == "activeAssetCtx");
    assert_eq!(context["data"]["coin"], "ETH");
    let (mid, mark) = (number(&context["data"]["ctx"]["midPx"]), number(&context["data"]["ctx"]["markPx"]));
    assert!((mid - mark).abs() < mid / 500, "{context}");
}

#[test]
fn rest_answers_and_refuses_as_measured() {
    let sim = start();
    let agent = agent(&sim);
    let url = format!("{}/info", sim.hyperliquid().rest_url());
    let info = |body: &str| post(&agent, &url, body);
    let (status, meta) = info(r#"{"type":"meta"}"#);
    assert_eq!((status, &meta["universe"][0]["name"]), (200, &json!("BTC")));
    let flags: Vec<bool> =
        meta["universe"].as_array().expect("coins").iter().map(|coin| coin["isDelisted"] == true).collect();
    assert_eq!(flags, [false, false, false, false, true]);
    let (_, both) = info(r#"{"type":"metaAndAssetCtxs"}"#);
    assert_eq!(both[1].as_array().map(Vec::len), Some(flags.len()));
    assert_eq!(info(r#"{"type":"perpDexs"}"#).1, json!([null]));
    assert!(info(r#"{"type":"exchangeStatus"}"#).1["time"].is_i64());
    assert!(info(r#"{"type":"spotMeta"}"#).1["universe"].is_array());
    assert_eq!(info(r#"{"type":"l2Book","coin":"ETH"}"#).1["levels"][0].as_array().map(Vec::len), Some(20));
    assert_eq!(info(r#"{"type":"l2Book","coin":"NOPE"}"#), (200, Value::Null));
    assert_eq!(info(r#"{"type":"l2Book","coin":"BTC","nSigFigs":9}"#), (500, Value::Null));
    assert_eq!(info(r#"{"type":"l2Book","coin":7}"#).0, 422);
    assert_eq!(info(r#"{"type":"l2book","coin":"BTC"}"#).0, 422);
    assert_eq!(info("{").0, 400);
    assert_eq!(get(&agent, &url).0, 405);
    let bare = agent.post(&url).send_empty().expect("an answer");
    assert_eq!(bare.status().as_u16(), 415);
    // 60 are one minute's worth; twice as many are too many even if the minute ends meanwhile.
    assert!((0..121).any(|_| info(r#"{"type":"meta"}"#).0 == 429));
    let counters = sim.hyperliquid().counters();
    assert!(counters.rest_429 >= 1 && counters.rest_weight_per_minute_max > 1200);
}

#[test]
fn subscriptions_end_with_the_connection_and_at_a_thousand() {
    let mut config = quick();
    config.hyperliquid.market.symbols = 260;
    config.hyperliquid.market.rate_per_s = 1.0;
    let sim = Sim::start(config).expect("a simulation");
    let mut client = connect(&sim);
    let coins = sim.hyperliquid().market().instruments();
    for coin in &coins {
        for kind in ["l2Book", "bbo", "trades", "activeAssetCtx"] {
            let coin = &coin.symbol;
            client.send(&format!(
                r#"{{"method":"subscribe","subscription":{{"type":"{kind}","coin":"{coin}"}}}}"#
            ));
        }
    }
    let refused = client.next_where(|value| value["channel"] == "error");
    assert_eq!(refused["data"], "Cannot subscribe to more than 1000 channels.");
    assert_eq!(sim.hyperliquid().counters().subscriptions, 1000);
    drop(client);
    assert!(sim.hyperliquid().wait_until(PATIENCE, |counters| counters.subscriptions == 0));
}

#[test]
fn faults_work_here_too() {
    let sim = start();
    let mut client = connect(&sim);
    ask(&mut client, r#"{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","fast":true}}"#);
    let crossed = |frame: &Value| {
        let best = |side: usize| number(&frame["data"]["levels"][side][0]["px"]);
        best(0) >= best(1)
    };
    assert!(!crossed(&client.next_json()));
    sim.hyperliquid().fault(Fault::CrossedBook { symbol: "BTC".to_owned(), frames: 1 }).expect("a fault");
    client.next_where(crossed);
    assert!(!crossed(&client.next_json()));
    sim.hyperliquid()
        .fault(Fault::SilenceStream { stream: "l2BookFast:BTC".to_owned(), for_ms: 60_000 })
        .expect("a fault");
    drop(client.all_within(Duration::from_millis(100)));
    assert!(client.all_within(Duration::from_millis(300)).is_empty());
    let impossible = Fault::BreakDepthSequence { symbol: "BTC".to_owned(), events: 1 };
    assert!(sim.hyperliquid().fault(impossible).is_err());
    sim.hyperliquid().fault(Fault::Cut { route: None, how: CutHow::Drop, code: 1000 }).expect("a cut");
    assert!(matches!(client.read_to_end(), Got::Broken));
}

#[test]
fn it_works_without_tls_and_ends_when_dropped() {
    let sim = Sim::start(Config { tls: false, ..quick() }).expect("a simulation");
    assert!(sim.ca_pem().is_none() && sim.hyperliquid().ws_url().starts_with("ws://"));
    let mut client = connect(&sim);
    assert_eq!(ask(&mut client, r#"{"method":"ping"}"#), json!({"channel": "pong"}));
    let port = sim.hyperliquid().port();
    sim.stop();
    assert!(matches!(client.read_to_end(), Got::Broken));
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn the_authority_is_written_where_asked_and_removed_where_not() {
    let sim = start();
    let path = sim.ca_path().expect("a file").to_owned();
    assert_eq!(std::fs::read_to_string(&path).ok().as_deref(), sim.ca_pem());
    sim.stop();
    assert!(!path.exists());
}
