//! Both venues driven by hand in virtual time: what is published is what the market was.

mod common;

use common::{ByHand, NaiveBook, number};
use serde_json::Value;
use sim::protocol::{Action, ControlFrame, Protocol, Request, Target};
use sim::{
    Binance, BinanceConfig, Fault, Hyperliquid, HyperliquidConfig, KeyOrder, Market, MarketConfig,
    MarketHandle, SharedCounters, Venue,
};
use std::collections::{BTreeMap, HashMap};

const START_MS: i64 = 1_790_000_000_000;

fn binance(config: BinanceConfig) -> (ByHand<Binance>, MarketHandle, SharedCounters) {
    let market_config = MarketConfig { book_levels: 200, ..config.market.clone() };
    let market = MarketHandle::new(Market::new(Venue::Binance, &market_config, 21, START_MS));
    let counters = SharedCounters::default();
    let venue = Binance::on_model(&config, market.clone(), counters.clone(), 21, 5);
    (ByHand::new(venue, START_MS), market, counters)
}

fn hyperliquid(config: HyperliquidConfig) -> (ByHand<Hyperliquid>, MarketHandle, SharedCounters) {
    let market = MarketHandle::new(Market::new(Venue::Hyperliquid, &config.market, 21, START_MS));
    let counters = SharedCounters::default();
    let venue = Hyperliquid::on_model(&config, market.clone(), counters.clone(), 21, 5);
    (ByHand::new(venue, START_MS), market, counters)
}

fn ask<P: Protocol>(hand: &mut ByHand<P>, request: Request) -> sim::protocol::Response {
    hand.venue.request(900, &request, hand.now_ms, &mut hand.actions);
    let at = hand.actions.iter().position(|action| matches!(action, Action::Respond(900, _)));
    match hand.actions.remove(at.expect("an answer at once")) {
        Action::Respond(_, response) => response,
        _ => unreachable!(),
    }
}

fn get(hand: &mut ByHand<Binance>, url: &str) -> (u16, Value) {
    let request =
        Request { method: "GET".to_owned(), target: Target::parse(url), headers: vec![], body: vec![] };
    let response = ask(hand, request);
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::Null))
}

fn id(value: &Value) -> u64 {
    value.as_u64().expect("an id")
}

#[test]
fn every_speed_is_a_chain_of_its_own_and_leads_to_the_true_book() {
    let (mut hand, market, _) = binance(BinanceConfig::default());
    hand.open(1, "/public/stream");
    let speeds = ["@0ms", "@100ms", "", "@500ms"];
    let names: Vec<String> = speeds.iter().map(|speed| format!("\"btcusdt@depth{speed}\"")).collect();
    hand.say(1, &format!(r#"{{"method":"SUBSCRIBE","params":[{}],"id":1}}"#, names.join(",")));
    assert_eq!(hand.heard(1), [serde_json::json!({"result": null, "id": 1})]);
    for _ in 0..100 {
        hand.pass(5);
    }
    let (status, snapshot) = get(&mut hand, "/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    assert_eq!(status, 200);
    let snapshot_id = id(&snapshot["lastUpdateId"]);
    for _ in 0..1000 {
        hand.pass(5);
    }
    let mut books: HashMap<String, (NaiveBook, bool)> = HashMap::new();
    let mut last: HashMap<String, u64> = HashMap::new();
    let (mut events, mut holes) = (0, 0);
    for message in hand.heard(1) {
        let (stream, data) = (message["stream"].as_str().expect("a stream").to_owned(), &message["data"]);
        let (first, until, previous) = (id(&data["U"]), id(&data["u"]), id(&data["pu"]));
        assert!(previous < first && first <= until);
        if let Some(last) = last.insert(stream.clone(), until) {
            assert_eq!(previous, last, "{stream}");
            holes += usize::from(first != last + 1);
            events += 1;
        }
        assert!(data["E"].as_i64() >= data["T"].as_i64());
        assert_eq!((&data["st"], &data["ps"]), (&Value::from(1), &Value::from("BTCUSDT")));
        // The venue's procedure: drop `u < L`, begin with `pu <= L <= u`.
        if until < snapshot_id {
            continue;
        }
        let (book, begun) =
            books.entry(stream.clone()).or_insert_with(|| (NaiveBook::from_snapshot(&snapshot), false));
        assert!(*begun || (previous <= snapshot_id && snapshot_id <= until), "{stream} does not join");
        *begun = true;
        book.apply(&data["b"], &data["a"]);
        let truth = market.truth_at_update_id("BTCUSDT", until).expect("the truth");
        assert_eq!(*book, NaiveBook::from_truth(&truth), "{stream} at {until}");
    }
    assert_eq!(books.len(), speeds.len());
    assert!(events > 150 && holes * 100 > events * 95, "{holes} of {events}");
}

#[test]
fn quotes_partial_books_and_trades_are_the_truth() {
    let (mut hand, market, counters) =
        binance(BinanceConfig { trade_placeholders: true, ..BinanceConfig::default() });
    hand.open(1, "/public/ws/btcusdt@bookTicker/btcusdt@depth5@100ms/btcusdt@depth20/btcusdt@trade");
    hand.open(2, "/market/ws/btcusdt@aggTrade/btcusdt@markPrice@1s");
    for _ in 0..12_000 {
        hand.pass(5);
    }
    let truth = |at: u64| market.truth_at_update_id("BTCUSDT", at).expect("the truth");
    let (mut quotes, mut partial, mut fills, mut placeholders) = (0, 0, BTreeMap::new(), 0);
    let mut last_fill = None;
    for event in hand.heard(1) {
        match event["e"].as_str() {
            Some("bookTicker") => {
                quotes += 1;
                let quote = market.quote_at_update_id("BTCUSDT", id(&event["u"])).expect("a quote");
                let (bid, ask) = (quote.bid.expect("a bid"), quote.ask.expect("an ask"));
                assert_eq!((number(&event["b"]), number(&event["B"])), (bid.price_e8, bid.size_e8));
                assert_eq!((number(&event["a"]), number(&event["A"])), (ask.price_e8, ask.size_e8));
                assert_eq!(quote.update_id, id(&event["u"]));
            }
            Some("depthUpdate") => {
                partial += 1;
                let truth = truth(id(&event["u"]));
                let shown = event["b"].as_array().expect("bids");
                assert!(matches!(shown.len(), 5 | 20));
                for (shown, level) in shown.iter().zip(&truth.bids) {
                    assert_eq!((number(&shown[0]), number(&shown[1])), (level.price_e8, level.size_e8));
                }
            }
            Some("trade") => {
                let trade_id = id(&event["t"]);
                assert!(last_fill.is_none_or(|last| trade_id == last + 1), "fill ids have no hole");
                last_fill = Some(trade_id);
                if event["X"] == "NA" {
                    placeholders += 1;
                    assert_eq!((number(&event["p"]), number(&event["q"])), (0, 0));
                } else {
                    fills.insert(trade_id, number(&event["q"]));
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(quotes > 300 && partial > 300 && placeholders > 0, "{quotes} {partial} {placeholders}");
    let (mut expected, mut marks, mut hidden) = (market.trades("BTCUSDT").expect("trades").into_iter(), 0, 0);
    for event in hand.heard(2) {
        if event["e"] == "markPriceUpdate" {
            marks += 1;
            continue;
        }
        let trade = expected.next().expect("as many trades as events");
        assert_eq!(id(&event["a"]), trade.id);
        assert_eq!((number(&event["p"]), number(&event["q"])), (trade.price_e8, trade.size_e8));
        assert_eq!(event["m"].as_bool(), Some(trade.aggressor == sim::Aggressor::Sell));
        let merged: i64 = fills.range(id(&event["f"])..=id(&event["l"])).map(|(_, size)| size).sum();
        assert_eq!(merged, trade.size_e8, "the fills add up");
        hidden += usize::from(event["nq"] != event["q"]);
    }
    assert_eq!(expected.count(), 0);
    assert!(marks >= 59 && hidden > 0, "{marks} {hidden}");
    let sent = counters.snapshot().frames_sent;
    assert_eq!(sent["btcusdt@bookTicker"], quotes);
}

#[test]
fn broken_sequences_dropped_trades_and_stale_snapshots_can_be_had() {
    let (mut hand, market, _) = binance(BinanceConfig::default());
    hand.open(1, "/public/ws/btcusdt@depth@100ms");
    hand.open(2, "/market/ws/btcusdt@aggTrade");
    hand.pass(10_000);
    hand.pass(200);
    let begin = |hand: &mut ByHand<Binance>, fault: Fault| {
        hand.venue.fault(&fault, hand.now_ms, &mut hand.actions).expect("a fault this venue can have");
    };
    let (last_event, last_trade) =
        (hand.heard(1).pop().expect("an event"), hand.heard(2).pop().expect("a trade"));
    begin(&mut hand, Fault::BreakDepthSequence { symbol: "BTCUSDT".to_owned(), events: 1 });
    begin(&mut hand, Fault::DropTrades { symbol: "BTCUSDT".to_owned(), count: 1 });
    for _ in 0..400 {
        hand.pass(100);
    }
    let breaks = |events: &[Value], this: &str, before: &str, step: u64| {
        events.windows(2).filter(|pair| id(&pair[1][this]) != id(&pair[0][before]) + step).count()
    };
    let events = [vec![last_event], hand.heard(1)].concat();
    assert_eq!(breaks(&events, "pu", "u", 0), 1, "one break, right at the fault");
    assert_ne!(events[1]["pu"], events[0]["u"]);
    let trades = [vec![last_trade], hand.heard(2)].concat();
    assert_eq!(breaks(&trades, "a", "a", 1), 1);
    assert_eq!(id(&trades[1]["a"]), id(&trades[0]["a"]) + 2, "one trade is missing");

    begin(&mut hand, Fault::StaleSnapshots { symbol: None, requests: 1, age_ms: 5_000 });
    let url = "/fapi/v1/depth?symbol=BTCUSDT&limit=1000";
    let (stale, fresh) = (get(&mut hand, url).1, get(&mut hand, url).1);
    assert!(id(&stale["lastUpdateId"]) < id(&fresh["lastUpdateId"]));
    let truth = market.truth_at_update_id("BTCUSDT", id(&stale["lastUpdateId"])).expect("the truth");
    assert!(NaiveBook::from_snapshot(&stale).bids.iter().eq(NaiveBook::from_truth(&truth).bids.iter()));

    begin(&mut hand, Fault::CrossedBook { symbol: "BTCUSDT".to_owned(), frames: 1 });
    drop(hand.heard(1));
    let mut book = NaiveBook::from_snapshot(&fresh);
    hand.pass(100);
    hand.pass(100);
    let heard = hand.heard(1);
    book.apply(&heard[0]["b"], &heard[0]["a"]);
    let (bid, ask) = book.best();
    assert!(bid.expect("a bid").0 >= ask.expect("an ask").0);
    let unknown = Fault::DropTrades { symbol: "btcusdt".to_owned(), count: 1 };
    assert!(hand.venue.fault(&unknown, hand.now_ms, &mut hand.actions).is_err());
}

#[test]
fn pings_must_be_answered() {
    let config =
        BinanceConfig { ping_interval_ms: 1_000, pong_timeout_ms: 2_500, ..BinanceConfig::default() };
    let (mut hand, _, _) = binance(config);
    hand.open(1, "/public/ws");
    hand.open(2, "/public/ws");
    let mut pings = [0; 3];
    for _ in 0..60 {
        hand.pass(100);
        for action in std::mem::take(&mut hand.actions) {
            match action {
                Action::Ping(connection, payload) => {
                    pings[connection as usize] += 1;
                    if connection == 1 {
                        let pong = ControlFrame::Pong(payload);
                        hand.venue.control(1, pong, hand.now_ms, &mut hand.actions);
                    }
                }
                Action::Drop(connection) => {
                    assert_eq!(connection, 2, "only the silent one is cut");
                    assert_eq!(hand.now_ms, START_MS + 1_000 + 2_500);
                    hand.venue.closed(2, hand.now_ms);
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert!(pings[1] >= 5 && pings[2] == 3, "{pings:?}");
}

#[test]
fn rest_weights_are_counted_refused_and_lead_to_a_ban() {
    let (mut hand, _, counters) = binance(BinanceConfig::default());
    let url = "/fapi/v1/depth?symbol=BTCUSDT&limit=1000";
    for _ in 0..120 {
        assert_eq!(get(&mut hand, url).0, 200);
    }
    let statuses: Vec<u16> = (0..12).map(|_| get(&mut hand, url).0).collect();
    assert_eq!(statuses, [[429; 10].as_slice(), &[418; 2]].concat());
    hand.pass(61_000);
    assert_eq!(get(&mut hand, url).0, 418, "a ban outlasts the minute");
    hand.pass(61_000);
    assert_eq!(get(&mut hand, url).0, 200);
    let counters = counters.snapshot();
    assert_eq!((counters.rest_429, counters.rest_418), (10, 3));
    assert_eq!(counters.rest_weight_per_minute_max, 132 * 20);
    let error = |hand: &mut ByHand<Binance>, url: &str| get(hand, url).1["code"].as_i64();
    assert_eq!(error(&mut hand, "/fapi/v1/depth?symbol=NOPE"), Some(-1121));
    assert_eq!(error(&mut hand, "/fapi/v1/depth?symbol=BTCUSDT&limit=7"), Some(-4021));
    assert_eq!(error(&mut hand, "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1001"), Some(-1130));
    let old = format!("/fapi/v1/aggTrades?symbol=BTCUSDT&startTime={}", START_MS - 3 * 86_400_000);
    assert_eq!(error(&mut hand, &old), Some(-4166));
}

#[test]
fn aggregate_trades_can_be_fetched_from_an_id_on() {
    let (mut hand, market, _) = binance(BinanceConfig::default());
    hand.pass(60_000);
    let trades = market.trades("ETHUSDT").expect("trades");
    let from = trades[trades.len() / 2].id;
    let (status, rows) = get(&mut hand, &format!("/fapi/v1/aggTrades?symbol=ETHUSDT&fromId={from}&limit=7"));
    assert_eq!(status, 200);
    let ids: Vec<u64> = rows.as_array().expect("rows").iter().map(|row| id(&row["a"])).collect();
    assert_eq!(ids, (from..from + 7).collect::<Vec<_>>());
    let (_, newest) = get(&mut hand, "/fapi/v1/aggTrades?symbol=ETHUSDT&limit=3");
    assert_eq!(
        newest.as_array().and_then(|rows| rows.last()).map(|row| id(&row["a"])),
        trades.last().map(|t| t.id)
    );
}

fn subscribe(hand: &mut ByHand<Hyperliquid>, connection: u64, subscription: &str) {
    hand.say(connection, &format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#));
}

#[test]
fn hyperliquid_frames_are_the_truth_of_their_block() {
    for key_order in [KeyOrder::Documented, KeyOrder::Alphabetical] {
        let (mut hand, market, _) =
            hyperliquid(HyperliquidConfig { key_order, ..HyperliquidConfig::default() });
        hand.open(1, "/ws");
        for coin in ["BTC", "kPEPE"] {
            for kind in [r#""type":"l2Book""#, r#""type":"l2Book","fast":true"#, r#""type":"bbo""#] {
                subscribe(&mut hand, 1, &format!(r#"{{{kind},"coin":"{coin}"}}"#));
            }
        }
        for _ in 0..6_000 {
            hand.pass(5);
        }
        let (mut times, mut quotes, mut last_quote) = (HashMap::<_, Vec<i64>>::new(), 0, HashMap::new());
        for frame in hand.heard(1) {
            let data = &frame["data"];
            let channel = frame["channel"].as_str().expect("a channel").to_owned();
            if channel == "subscriptionResponse" {
                continue;
            }
            let coin = data["coin"].as_str().expect("a coin").to_owned();
            let time_ms = data["time"].as_i64().expect("a time");
            let truth = market.truth_at_time(&coin, time_ms).expect("the truth");
            let level = |shown: &Value| (number(&shown["px"]), number(&shown["sz"]), shown["n"].as_u64());
            let real = |level: &sim::Level| (level.price_e8, level.size_e8, Some(u64::from(level.orders)));
            if channel == "bbo" {
                quotes += 1;
                let shown = [level(&data["bbo"][0]), level(&data["bbo"][1])];
                assert_eq!(shown, [real(&truth.bids[0]), real(&truth.asks[0])]);
                assert_ne!(last_quote.insert(coin, shown), Some(shown), "never repeats");
                continue;
            }
            let fast = data.get("fast").is_some();
            let depth = if fast { 5 } else { 20 };
            for (side, real_side) in [(0, &truth.bids), (1, &truth.asks)] {
                let shown: Vec<_> =
                    data["levels"][side].as_array().expect("levels").iter().map(level).collect();
                assert_eq!(shown, real_side.iter().take(depth).map(real).collect::<Vec<_>>());
            }
            times.entry((coin, fast)).or_default().push(time_ms);
        }
        let of = |coin: &str, fast| &times[&(coin.to_owned(), fast)];
        // The first frame answers the subscription; the rest follows one clock for all coins.
        assert_eq!(of("BTC", false), of("kPEPE", false));
        assert_eq!(of("BTC", true), of("kPEPE", true));
        assert_eq!((of("BTC", false).len(), of("BTC", true).len()), (1 + 5, 1 + 55));
        assert!(quotes > 20, "{quotes}");
    }
}

#[test]
fn hyperliquid_replays_trades_to_each_new_subscriber() {
    let (mut hand, market, _) = hyperliquid(HyperliquidConfig::default());
    hand.open(1, "/ws");
    hand.pass(60_000);
    subscribe(&mut hand, 1, r#"{"type":"trades","coin":"BTC"}"#);
    for _ in 0..12_000 {
        hand.pass(5);
    }
    let frames: Vec<Value> = hand.heard(1).into_iter().filter(|frame| frame["channel"] == "trades").collect();
    let told: Vec<Value> =
        frames.iter().flat_map(|frame| frame["data"].as_array().cloned().unwrap_or_default()).collect();
    assert_eq!(frames[0]["data"].as_array().map(Vec::len), Some(30), "the backlog comes first");
    let all = market.trades("BTC").expect("trades");
    let expected = &all[all.len() - told.len()..];
    for (told, trade) in told.iter().zip(expected) {
        assert_eq!((id(&told["tid"]), told["time"].as_i64()), (trade.id, Some(trade.time_ms)));
        assert_eq!((number(&told["px"]), number(&told["sz"])), (trade.price_e8, trade.size_e8));
        assert!(id(&told["tid"]) < 1 << 50);
        assert_eq!(told["side"], if trade.aggressor == sim::Aggressor::Buy { "B" } else { "A" });
        assert_eq!(told["hash"].as_str().map(str::len), Some(66));
        assert_eq!(told["users"][0].as_str().map(str::len), Some(42));
    }
    subscribe(&mut hand, 1, r#"{"type":"trades","coin":"MATIC"}"#);
    hand.pass(100);
    assert!(
        hand.heard(1).iter().all(|frame| frame["channel"] != "trades" || frame["data"][0]["coin"] == "BTC")
    );
}

#[test]
fn hyperliquid_limits_are_told_in_words_and_a_fatal_request_in_none() {
    let (mut hand, _, counters) = hyperliquid(HyperliquidConfig::default());
    hand.open(1, "/ws");
    hand.say(1, r#"{"method":"subscribe","subscription":{"type":"bbo","coin":["BTC","ETH"]}}"#);
    let heard = hand.heard(1);
    let text = heard[0]["data"].as_str().expect("a plain string");
    assert!(text.starts_with("Error parsing JSON into valid websocket request: {\"method\":\"subscribe\""));
    for at in 0..2_000 {
        hand.say(1, r#"{"method":"ping"}"#);
        let heard = hand.heard(1);
        if at < 1_999 {
            assert_eq!(heard, [serde_json::json!({"channel": "pong"})]);
        } else {
            assert_eq!(heard[0]["data"], "Cannot send more than 2000 messages per minute.");
        }
    }
    hand.pass(60_000);
    drop(hand.heard(1));
    subscribe(&mut hand, 1, r#"{"type":"l2Book","coin":"btc"}"#);
    for _ in 0..20 {
        hand.pass(50);
    }
    assert!(hand.actions.iter().any(|action| matches!(action, Action::Drop(1))));
    assert!(hand.heard(1).is_empty(), "without a word");
    assert_eq!(counters.snapshot().fatal_requests, 1);
}

#[test]
fn hyperliquid_closes_what_it_has_nothing_to_say_to() {
    let (mut hand, _, _) = hyperliquid(HyperliquidConfig::default());
    hand.open(1, "/ws");
    hand.open(2, "/ws");
    for _ in 0..9 {
        hand.pass(10_000);
        hand.say(2, r#"{"method":"ping"}"#);
    }
    let dropped: Vec<_> = hand.actions.iter().filter(|action| matches!(action, Action::Drop(_))).collect();
    assert!(!dropped.is_empty() && dropped.iter().all(|action| matches!(action, Action::Drop(1))));
    let target = Target::parse("/ws");
    for connection in 3..11 {
        hand.open(connection, "/ws");
    }
    let refused = hand.venue.open(11, &target, hand.now_ms, &mut hand.actions);
    assert_eq!(refused.err().map(|response| response.status), Some(429), "ten connections and no more");
}
