//! The venues' limits by hand: what is used is counted, what is too much is answered as the venue answers it.

mod common;

use serde_json::{Value, json};
use sim::protocol::{ControlFrame, Protocol, Response};
use sim::{ByHand, Config, CutHow, Fault, Heard, NotOpened, RefuseHow, Route};

/// Twenty seconds before a clock minute ends.
const START_MS: i64 = 1_790_000_080_000;
const HOUR_MS: i64 = 3_600_000;

fn config() -> Config {
    let mut config = Config { seed: 4, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.book_levels, market.rate_per_s) = (40, 0.0);
    }
    config
}

fn take<P: Protocol>(venue: &mut ByHand<P>) -> Vec<Heard> {
    venue.drain_heard().collect()
}

fn answer<P: Protocol>(venue: &mut ByHand<P>) -> Response {
    let answers = take(venue).into_iter().filter_map(|heard| match heard {
        Heard::Answer(_, response) => Some(response),
        _ => None,
    });
    answers.last().expect("an answer")
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

#[test]
fn binance_counts_streams_and_messages_of_each_connection() {
    let mut venue = ByHand::binance(&config(), START_MS).expect("Binance");
    let connection = venue.open("/public/ws").expect("an open door");
    for part in 0..6 {
        let names: Vec<String> =
            (0..180.min(1_024 - part * 180)).map(|at| format!("\"s{part}x{at}@depth\"")).collect();
        venue.say(
            connection,
            &format!(r#"{{"method":"SUBSCRIBE","params":[{}],"id":{part}}}"#, names.join(",")),
        );
    }
    assert!(venue.is_open(connection));
    let limit = "binance streams per connection";
    assert_eq!(
        (venue.counters().limit_used_max[limit], venue.counters().limit_violations_total()),
        (1_024, 0)
    );
    venue.pass_to(venue.now_ms() + 1_000);
    drop(take(&mut venue));
    venue.say(connection, r#"{"method":"SUBSCRIBE","params":["one@more"],"id":9}"#);
    let heard = take(&mut venue);
    let Heard::Text(_, text) = &heard[0] else { panic!("{heard:?}") };
    let told: Value = serde_json::from_str(text.as_str()).expect("JSON");
    assert_eq!(told, json!({"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 9}));
    assert!(matches!(heard[1], Heard::Closed(_, 1008, _)) && !venue.is_open(connection));
    assert_eq!(
        (venue.counters().limit_used_max[limit], venue.counters().limit_violations[limit]),
        (1_025, 1)
    );

    let connection = venue.open("/market/ws").expect("an open door");
    let mut sent = 0;
    while venue.send_control(connection, ControlFrame::Pong(Vec::new())) {
        sent += 1;
        assert!(sent < 50);
    }
    assert!((11..=40).contains(&sent));
    assert!(
        take(&mut venue).iter().any(|heard| matches!(heard, Heard::Closed(_, 1008, "Too many requests")))
    );
    assert!(venue.counters().limit_used_max["binance messages per second"] > 10);
}

#[test]
fn binance_connections_have_an_age() {
    let mut venue = ByHand::binance(&config(), START_MS).expect("Binance");
    let old = venue.open("/public/ws").expect("an open door");
    let mut young = None;
    for minute in 0..24 * 60 {
        venue.pass_to(START_MS + minute * 60_000);
        if minute == 23 * 60 {
            young = Some(venue.open("/market/ws").expect("an open door"));
        }
        for heard in take(&mut venue) {
            if let Heard::Ping(from, payload) = heard {
                venue.send_control(from, ControlFrame::Pong(payload));
            }
        }
    }
    assert!(venue.is_open(old));
    venue.pass_to(START_MS + 24 * HOUR_MS);
    assert!(matches!(take(&mut venue)[..], [Heard::Closed(gone, 1000, _), ..] if gone == old));
    let young = young.expect("a second one");
    assert!(venue.is_open(young));
    assert_eq!(venue.counters().connections_aged_out, 1);
    venue.fault(&Fault::Cut { route: Some(Route::Market), how: CutHow::Reset, code: 1000 }).expect("a fault");
    assert!(matches!(take(&mut venue)[..], [Heard::Dropped(gone, true)] if gone == young));
    venue.fault(&Fault::RefuseConnections { for_ms: 500, how: RefuseHow::Close }).expect("a fault");
    assert_eq!(venue.open("/public/ws"), Err(NotOpened::Refused));
    assert!(matches!(venue.open("/nowhere"), Err(NotOpened::Refused)));
    venue.pass_to(venue.now_ms() + 500);
    assert!(matches!(venue.open("/nowhere"), Err(NotOpened::Answered(answer)) if answer.status == 404));
    let mut short = config();
    short.binance.connection_age_ms_max = 5_000;
    let mut venue = ByHand::binance(&short, START_MS).expect("Binance");
    let connection = venue.open("/public/ws").expect("an open door");
    venue.pass_to(START_MS + 5_000);
    assert!(!venue.is_open(connection));
}

#[test]
fn binance_weight_is_told_refused_and_punished() {
    let mut venue = ByHand::binance(&config(), START_MS).expect("Binance");
    let url = "/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=1500";
    for request in 1..=240u64 {
        venue.get(url);
        let told = answer(&mut venue);
        assert_eq!(
            (told.status, header(&told, "X-MBX-USED-WEIGHT-1M")),
            (200, Some(&*(request * 10).to_string()))
        );
    }
    venue.get("/fapi/v1/time");
    let refused = answer(&mut venue);
    assert_eq!((refused.status, header(&refused, "Retry-After")), (429, Some("20")), "the clock minute ends");
    assert_eq!(header(&refused, "X-MBX-USED-WEIGHT-1M"), Some("2401"), "a refusal costs as well");
    let counters = venue.counters();
    assert_eq!(counters.rest_weight_by_path["/fapi/v1/klines"], 2_400);
    assert_eq!(counters.limit_used_max["binance REST weight"], 2_401);
    let banned = (0..20).map(|_| {
        venue.get(url);
        answer(&mut venue)
    });
    let banned = banned.last().expect("an answer");
    assert_eq!((banned.status, header(&banned, "Retry-After")), (418, Some("120")));
    venue.pass_to(START_MS + 60_000);
    venue.get(url);
    assert_eq!(answer(&mut venue).status, 418, "the minute does not end a ban");
    venue.pass_to(START_MS + 125_000);
    venue.get(url);
    assert_eq!(answer(&mut venue).status, 200);
    venue.fault(&Fault::DelayRest { delay_ms: 700, for_ms: 1_000 }).expect("a fault");
    venue.get(url);
    venue.pass_to(venue.now_ms() + 699);
    assert!(take(&mut venue).is_empty());
    venue.pass_to(venue.now_ms() + 1);
    assert_eq!(answer(&mut venue).status, 200);
}

#[test]
fn hyperliquid_counts_connections_subscriptions_users_and_weight() {
    let mut venue = ByHand::hyperliquid(&config(), START_MS).expect("Hyperliquid");
    let open: Vec<_> = (0..10).map(|_| venue.open("/ws").expect("an open door")).collect();
    assert!(matches!(venue.open("/ws"), Err(NotOpened::Answered(answer)) if answer.status == 429));
    open.iter().for_each(|connection| venue.close(*connection));
    for _ in 0..19 {
        let connection = venue.open("/ws").expect("an open door");
        venue.close(connection);
    }
    assert!(matches!(venue.open("/ws"), Err(NotOpened::Answered(_))), "thirty a minute");
    venue.pass_to(START_MS + 60_000);
    let connection = venue.open("/ws").expect("an open door");
    let subscribe = |venue: &mut ByHand<sim::Hyperliquid>, subscription: &str| {
        venue.say(connection, &format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#));
        let heard = take(venue);
        let Some(Heard::Text(_, text)) = heard.first() else { panic!("{heard:?}") };
        serde_json::from_str::<Value>(text.as_str()).expect("JSON")["data"].clone()
    };
    let users = (0..11)
        .map(|user| subscribe(&mut venue, &format!(r#"{{"type":"userFills","user":"0x{user:040}"}}"#)));
    assert_eq!(users.last(), Some(json!("Cannot track more than 10 total users.")));
    let counters = venue.counters();
    assert_eq!(counters.limit_used_max["hyperliquid connections"], 11);
    assert_eq!(counters.limit_used_max["hyperliquid new connections per minute"], 31);
    assert_eq!(counters.limit_used_max["hyperliquid users"], 11);
    assert_eq!(counters.limit_violations_total(), 3);

    let ask = json!({"type": "candleSnapshot", "req": {"coin": "BTC", "interval": "1m", "startTime": 0}})
        .to_string();
    let mut used = 0;
    let refused = loop {
        venue.post("/info", &ask);
        let told = answer(&mut venue);
        if told.status != 200 {
            break told;
        }
        // 2501 rows of the past and the running one.
        used += 20 + 2_501u64.div_ceil(60);
    };
    assert_eq!((refused.status, header(&refused, "Retry-After")), (429, None));
    assert_eq!(venue.counters().rest_weight_by_path["candleSnapshot"], used + 20);
    assert!((1_140..=1_260).contains(&used), "{used}");
    venue.pass_to(venue.now_ms() + 59_999);
    venue.post("/info", &ask);
    assert_eq!(answer(&mut venue).status, 429, "the minute slides");
    venue.pass_to(venue.now_ms() + 60_000);
    venue.post("/info", &ask);
    assert_eq!(answer(&mut venue).status, 200);
    let idle = venue.open("/ws").expect("an open door");
    venue.pass_to(venue.now_ms() + 60_200);
    assert!(!venue.is_open(idle), "nothing was sent to it for a minute");
}
