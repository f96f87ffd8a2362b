//! Candles over real sockets, and the control endpoint's part in them.

mod common;

use common::{Client, PATIENCE, agent, get, post, quick};
use serde_json::{Value, json};
use sim::Sim;
use std::time::{Duration, Instant};

const USER: &str = "0x1230000000000000000000000000000000000abc";

#[test]
fn candles_come_through_the_market_door_only() {
    let sim = Sim::start(quick()).expect("a simulation");
    let venue = sim.binance();
    let mut market = Client::connect(&sim, &format!("{}/market/ws/btcusdt@kline_4h", venue.ws_url()));
    let mut wrong = Client::connect(&sim, &format!("{}/public/ws/btcusdt@kline_4h", venue.ws_url()));
    let event = market.next_json();
    let open_ms = event["k"]["t"].as_i64().expect("t");
    assert_eq!((&event["k"]["i"], &event["k"]["x"]), (&json!("4h"), &json!(false)));
    assert!(wrong.all_within(Duration::from_millis(300)).is_empty(), "acknowledged and silent");
    let url = format!("{}/fapi/v1/klines?symbol=BTCUSDT&interval=4h&limit=1200", venue.rest_url());
    let (status, rows) = get(&agent(&sim), &url);
    let rows = rows.as_array().expect("rows");
    assert_eq!((status, rows.len(), rows[1_199][0].as_i64()), (200, 1_200, Some(open_ms)));
    let truth = venue.candles("BTCUSDT", "4h", open_ms, open_ms + 1).expect("candles")[0];
    assert!(truth.trades >= event["k"]["n"].as_u64().expect("n") && !truth.closed);
    assert_eq!(venue.counters().rest_weight_by_path["/fapi/v1/klines"], 10);

    let other = sim.hyperliquid();
    let mut client = Client::connect(&sim, &other.ws_url());
    client.send(r#"{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"15m"}}"#);
    assert_eq!(client.next_json()["data"]["subscription"]["interval"], "15m");
    let frame = client.next_where(|value| value["channel"] == "candle");
    let ask = json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "15m", "startTime": frame["data"]["t"]}});
    let (_, rows) = post(&agent(&sim), &format!("{}/info", other.rest_url()), &ask.to_string());
    assert_eq!((&rows[0]["o"], &rows[0]["t"]), (&frame["data"]["o"], &frame["data"]["t"]));
}

#[test]
fn the_control_endpoint_stops_trades_makes_fills_and_tells_the_truth() {
    let mut config = quick();
    config.control_port = Some(0);
    let sim = Sim::start(config).expect("a simulation");
    let control = sim.control_url().expect("a control endpoint").to_owned();
    let agent = agent(&sim);
    let read = |path: &str| get(&agent, &format!("{control}{path}"));
    let done = |path: &str| post(&agent, &format!("{control}{path}"), "");
    let candles = "/truth/candles?venue=binance&symbol=ETHUSDT&interval=1d";
    let (status, before) = read(candles);
    let before = before.as_array().expect("candles").len();
    assert_eq!((status, before), (200, 2_501));
    assert_eq!(done("/control/stop_trades?venue=binance&symbol=ETHUSDT&for_ms=60000").0, 200);
    let trades = || sim.binance().market().trades("ETHUSDT").expect("trades").len();
    let stopped = trades();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(trades(), stopped);
    assert_eq!(done("/control/late_candle_rows?venue=hyperliquid&lag_ms=5&for_ms=5&how=whenever").0, 400);
    assert_eq!(done("/control/list_symbol?venue=binance&symbol=NEWUSDT&price=1.5&tick=0.001").0, 200);
    assert!(sim.binance().market().candles("NEWUSDT", sim::Interval::Minute1, 0, i64::MAX).is_ok());
    assert_eq!(read("/truth/funding?venue=binance&symbol=BTCUSDT").1["interval_hours"], 8);

    let fill = format!("/fill?venue=hyperliquid&symbol=BTC&user={USER}&side=buy&size=0.25");
    assert_eq!(done(&fill), (200, json!({"done": true})));
    assert_eq!(done("/fill?venue=hyperliquid&symbol=BTC&side=buy&size=1").0, 400);
    let deadline = Instant::now() + PATIENCE;
    while sim.hyperliquid().market().fills(USER).is_empty() {
        assert!(Instant::now() < deadline, "no fill");
        std::thread::sleep(Duration::from_millis(5));
    }
    let counters: Value = read("/counters?venue=binance").1;
    assert!(counters["limit_used_max"].is_object() && counters["rest_weight_by_path"].is_object());
}
