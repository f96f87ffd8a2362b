//! Fills of an account: the past at each subscription, later ones as they happen, each a trade for all to see.

mod common;

use common::{Client, agent, hyperliquid_by_hand, number, post, quick};
use serde_json::{Value, json};
use sim::{HyperliquidConfig, NewFill, Sim};

const START_MS: i64 = 1_790_000_000_000;
const USER: &str = "0xAbCdef0000000000000000000000000000000001";

fn fill(bought: bool, size_e8: i64) -> NewFill {
    NewFill { user: USER.to_owned(), bought, taker: true, price_e8: None, size_e8 }
}

fn subscription() -> String {
    format!(r#"{{"type":"userFills","user":"{USER}","aggregateByTime":false}}"#)
}

#[test]
fn the_past_comes_first_and_later_fills_are_trades_too() {
    let (mut hand, market, _) = hyperliquid_by_hand(&HyperliquidConfig::default(), 5, START_MS);
    market.add_fill("BTC", fill(true, 30_000_000)).expect("a fill");
    hand.pass_in_steps(1_000, 5);
    hand.open(1, "/ws");
    hand.subscribe(1, &subscription());
    hand.subscribe(1, r#"{"type":"trades","coin":"BTC"}"#);
    hand.subscribe(1, &format!(r#"{{"type":"userEvents","user":"{USER}"}}"#));
    hand.pass_in_steps(1_000, 5);
    let heard = hand.heard(1);
    let first = heard.iter().find(|frame| frame["channel"] == "userFills").expect("a snapshot");
    assert_eq!(
        (&first["data"]["isSnapshot"], &first["data"]["user"]),
        (&json!(true), &json!(USER.to_lowercase()))
    );
    let past = &first["data"]["fills"];
    assert_eq!(
        (past.as_array().map(Vec::len), &past[0]["sz"], &past[0]["dir"]),
        (Some(1), &json!("0.3"), &json!("Open Long"))
    );

    market.add_fill("BTC", fill(false, 50_000_000)).expect("a fill");
    assert!(market.add_fill("NOPE", fill(true, 1)).is_err());
    hand.pass_in_steps(1_000, 5);
    let heard = hand.heard(1);
    let told = heard.iter().find(|frame| frame["channel"] == "userFills").expect("a fill");
    assert!(told["data"]["isSnapshot"] != json!(true));
    let told = &told["data"]["fills"][0];
    assert_eq!(
        (&told["side"], &told["dir"], &told["startPosition"]),
        (&json!("A"), &json!("Long > Short"), &json!("0.3"))
    );
    for name in ["px", "sz", "startPosition", "closedPnl", "fee"] {
        assert!(told[name].is_string(), "{name}");
    }
    assert_eq!((&told["crossed"], &told["feeToken"]), (&json!(true), &json!("USDC")));
    let event = heard.iter().find(|frame| frame["channel"] == "user").expect("an event");
    assert_eq!(event["data"], json!({"fills": [told]}));
    let traded: Vec<&Value> = heard.iter().filter(|frame| frame["channel"] == "trades").collect();
    let traded: Vec<&Value> =
        traded.iter().flat_map(|frame| frame["data"].as_array().expect("trades")).collect();
    let own = traded.iter().find(|trade| trade["tid"] == told["tid"]).expect("its trade");
    assert_eq!((&own["hash"], &own["px"], &own["time"]), (&told["hash"], &told["px"], &told["time"]));
    assert_eq!(market.fills(&USER.to_lowercase()).len(), 2);
    let truth = &market.fills(USER)[1];
    assert_eq!((number(&told["px"]), number(&told["fee"])), (truth.price_e8, truth.fee_e8));

    hand.open(2, "/ws");
    hand.subscribe(2, &subscription());
    hand.pass(5);
    let again = hand.heard(2).into_iter().find(|frame| frame["channel"] == "userFills").expect("a snapshot");
    let tids: Vec<_> =
        again["data"]["fills"].as_array().expect("fills").iter().map(|fill| fill["tid"].clone()).collect();
    assert_eq!(tids, [told["tid"].clone(), past[0]["tid"].clone()], "the newest first");
    hand.say(1, r#"{"method":"subscribe","subscription":{"type":"userFills","user":"0x12"}}"#);
    assert!(hand.heard(1)[0]["data"].as_str().is_some_and(|text| text.starts_with("Error parsing")));
}

#[test]
fn fills_come_over_the_wire_on_command() {
    let sim = Sim::start(quick()).expect("a simulation");
    let mut client = Client::connect(&sim, &sim.hyperliquid().ws_url());
    client.send(&format!(r#"{{"method":"subscribe","subscription":{}}}"#, subscription()));
    let first = client.next_where(|value| value["channel"] == "userFills");
    assert_eq!((&first["data"]["isSnapshot"], &first["data"]["fills"]), (&json!(true), &json!([])));
    sim.hyperliquid().add_fill("ETH", fill(true, 100_000_000)).expect("a fill");
    let told = client.next_where(|value| value["channel"] == "userFills");
    assert_eq!(told["data"]["fills"][0]["coin"], "ETH");
    let url = format!("{}/info", sim.hyperliquid().rest_url());
    let (_, rows) = post(&agent(&sim), &url, &format!(r#"{{"type":"userFills","user":"{USER}"}}"#));
    assert_eq!(rows, told["data"]["fills"]);
}
