//! What is asked for, on which connection, how fast, and what becomes of requests that are answered oddly or not at all.

use crate::hyperliquid_venue::{self, Venue, candle_frame, perp};
use crate::stage::{EVERYTHING, Scene, Stage, field, text_of};
use crate::support::settings;
use codec::words::{Interval, Reason, State, Stream};
use engine::config::Config;
use engine::session::Session;
use engine::session::settings::Settings;
use sim::Route;
use slipstream_client::request;
use std::collections::{BTreeMap, BTreeSet};

const LIVE: (State, Reason) = (State::Live, Reason::None);

/// A stream that is acknowledged and delivers nothing has its own state, is asked for again, and hinders nobody.
#[test]
fn fault_01_acknowledged_but_silent() {
    let streams = [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Funding];
    let mut stage = Scene::of(&["BTCUSDT", "ETHUSDT"], &streams).binance();
    let (dead, of) = ("btcusdt@depth@100ms", ("BTCUSDT", Stream::Orderbook));
    stage.fault(&format!("silence_stream stream={dead} for_ms=45000"));
    let asked = |stage: &crate::stage::Stage| {
        let log = stage.desk.truth().counters().subscribe_log;
        log.iter().filter(|record| record.streams.iter().any(|name| name == dead)).count()
    };
    stage.until("the alarm", 15_000, |stage| {
        stage.seen.when(of.0, of.1, State::Down, Reason::NoFirstData).is_some()
    });
    let told_ms = stage.seen.when(of.0, of.1, State::Down, Reason::NoFirstData).unwrap();
    assert!(
        (9_000..12_500).contains(&told_ms),
        "the deadline of the first data is ten seconds: {told_ms} ms"
    );
    assert!(!stage.seen.told_of(of.0, of.1).contains(&LIVE), "acknowledged is not live");
    let book = request("get_orderbook").venue("binance").symbol("BTCUSDT");
    let (_, error) = stage.ask(&book);
    assert_eq!(text_of(&error, "code"), "not_live");
    assert!(text_of(&error, "message").contains("no_first_data"), "{error}");
    assert_eq!(text_of(&stage.report(of.0, of.1), "reason"), "no_first_data");
    stage.run_ms(1_000);
    assert_eq!(asked(&stage), 2, "asked for again");
    // Everything else has been live long since, and stays so.
    for (symbol, stream) in
        [("BTCUSDT", Stream::Quotes), ("ETHUSDT", Stream::Orderbook), ("BTCUSDT", Stream::Trades)]
    {
        let told = stage.seen.told_of(symbol, stream);
        let first = told.iter().position(|told| *told == LIVE).expect("live");
        assert_eq!(told[first..], [LIVE], "{symbol} {stream}");
    }
    stage.until_live(&[Stream::Orderbook], 60_000);
    assert!(asked(&stage) >= 3, "again and again, on this connection or another: {}", asked(&stage));

    // The same at the other venue.
    let mut stage = Scene::of(&["BTC", "ETH"], &[Stream::Orderbook, Stream::Trades]).hyperliquid();
    for stream in ["l2BookFast:BTC", "l2Book:BTC", "bbo:BTC"] {
        stage.fault(&format!("silence_stream stream={stream} for_ms=30000"));
    }
    stage.until("the alarm", 15_000, |stage| {
        stage.seen.when("BTC", Stream::Orderbook, State::Down, Reason::NoFirstData).is_some()
    });
    assert!(stage.seen.is_live("ETH", Stream::Orderbook) && stage.seen.is_live("BTC", Stream::Trades));
    stage.until_live(&[Stream::Orderbook], 60_000);

    // The address where everything is acknowledged and nothing comes is not used, whatever is written.
    for (written, used) in [("/ws", ""), ("/stream", ""), ("", "")] {
        let text = format!("[venues.binance]\nwebsocket_url = \"wss://fstream.binance.com{written}\"\n");
        let config = Config::parse(&text, "test.toml", Vec::new()).unwrap();
        let url =
            &config.venues.iter().find(|venue| venue.venue.as_str() == "binance").unwrap().websocket_url;
        assert_eq!(*url, format!("wss://fstream.binance.com{used}"));
        assert_eq!(config.warnings.is_empty(), written.is_empty(), "{:?}", config.warnings);
    }
}

/// Each stream has its route, and each route its own connections: at the wrong one a stream is acknowledged and silent.
#[test]
fn fault_02_streams_on_the_wrong_route() {
    let mut scene = Scene::of(&["BTCUSDT", "ETHUSDT"], &EVERYTHING);
    scene.intervals = vec![Interval::M1, Interval::H4];
    let mut stage = scene.binance();
    stage.until_live(&EVERYTHING, 60_000);
    let counters = stage.desk.truth().counters();
    assert_eq!(counters.silent_subscriptions, 0, "every stream asked for delivers");
    let mut by_connection: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    let mut kinds = BTreeSet::new();
    for record in &counters.subscribe_log {
        for name in &record.streams {
            let kind = name.split_once('@').map_or(name.as_str(), |(_, kind)| kind);
            let route =
                if matches!(kind, "depth@100ms" | "bookTicker") { Route::Public } else { Route::Market };
            assert_eq!(record.route, route, "{name}");
            kinds.insert(kind);
            by_connection.entry(record.connection).or_default().insert(route.name());
        }
    }
    let every =
        ["depth@100ms", "bookTicker", "aggTrade", "markPrice@1s", "kline_1m", "kline_4h", "!contractInfo"];
    assert_eq!(kinds, every.into_iter().collect(), "every kind of stream there is");
    assert!(by_connection.len() == 2 && by_connection.values().all(|routes| routes.len() == 1));
    // Each of them at the other door: acknowledged, and dead.
    let venue = stage.desk.venue();
    let wrong = [("/market/stream", "ethusdt@depth@100ms"), ("/public/stream", "ethusdt@aggTrade")];
    for (door, stream) in wrong {
        let connection = venue.open(door).unwrap();
        venue.say(connection, &format!(r#"{{"method":"SUBSCRIBE","params":["{stream}"],"id":1}}"#));
    }
    assert_eq!(venue.counters().silent_subscriptions, 2);
}

/// Requests go out in batches, slower than the venue's limit even with every ping answered, and bounded in names.
#[test]
fn fault_14_subscriptions_too_fast() {
    const SYMBOLS: usize = 420;
    let mut scene = Scene::of(&[], &[Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding]);
    scene.config = sim::Config::universe(SYMBOLS + 1, 0);
    scene.intervals = vec![Interval::M15];
    scene.stale_after_ms = Some(200_000);
    // The server's own pings cost an answer each, of the same allowance.
    scene.config.binance.ping_interval_ms = 700;
    let mut stage = scene.binance();
    stage.until_coarse("everything asked for", 120_000, |stage| stage.seen.live(Stream::Candles) == SYMBOLS);
    stage.run_ms(5_000);
    for how in ["drop", "close"] {
        stage.fault(&format!("cut how={how}"));
        stage.run_ms(20);
        assert_eq!(stage.seen.live(Stream::Candles), 0);
        stage.until_coarse("everything again", 120_000, |stage| stage.seen.live(Stream::Candles) == SYMBOLS);
    }
    let counters = stage.desk.truth().counters();
    assert!(counters.messages_received > 100, "{}", counters.messages_received);
    // Five of our own; an answer to a ping cannot wait, and holds up what follows.
    assert!(counters.messages_per_second_max <= 6, "{} in a second", counters.messages_per_second_max);
    let most = counters.subscribe_log.iter().map(|record| record.streams.len()).max().unwrap();
    assert!((50..=200).contains(&most), "{most} names in a message");
    let mut on: BTreeMap<u64, usize> = BTreeMap::new();
    for record in counters.subscribe_log.iter().filter(|record| !record.unsubscribe) {
        *on.entry(record.connection).or_default() += record.streams.len();
    }
    assert!(on.values().all(|streams| *streams <= 1_024), "{on:?}");
    assert!(on.values().any(|streams| *streams > 800), "the connections are well filled: {on:?}");
    assert!(counters.limit_violations.is_empty(), "{:?}", counters.limit_violations);

    // Hyperliquid counts the minute: a whole universe of coins, cut twice.
    let mut scene = Scene::of(&[], &EVERYTHING);
    scene.config = sim::Config::universe(0, 121);
    scene.stale_after_ms = Some(200_000);
    scene.intervals = vec![Interval::M15];
    let mut stage = scene.hyperliquid();
    stage.until_coarse("everything asked for", 120_000, |stage| stage.seen.live(Stream::Trades) == 120);
    for how in ["drop", "close"] {
        stage.fault(&format!("cut how={how}"));
        stage.run_ms(1_000);
        stage.until_coarse("everything again", 300_000, |stage| stage.seen.live(Stream::Trades) == 120);
    }
    let counters = stage.desk.truth().counters();
    println!("at most {} messages in a minute", counters.messages_per_minute_max);
    assert!(counters.messages_per_minute_max <= 2_000);
    assert!(counters.limit_violations.is_empty(), "{:?}", counters.limit_violations);
}

/// The subscription objects of a log: what was asked for on each connection, and what was given up.
fn objects(stage: &Stage) -> BTreeMap<u64, Vec<(bool, String)>> {
    let mut by_connection: BTreeMap<u64, Vec<_>> = BTreeMap::new();
    for record in stage.desk.truth().counters().subscribe_log {
        let asked = by_connection.entry(record.connection).or_default();
        asked.extend(record.streams.into_iter().map(|stream| (record.unsubscribe, stream)));
    }
    by_connection
}

/// Every subscription is kept as it was sent: the same object goes out again after a reconnect and to unsubscribe.
#[test]
fn fault_19_fast_flag_lost() {
    let mut stage = Scene::of(&["BTC", "ETH"], &EVERYTHING).hyperliquid();
    stage.until_live(&EVERYTHING, 60_000);
    stage.fault("cut");
    stage.run_ms(100);
    stage.until_live(&EVERYTHING, 60_000);
    let by_connection = objects(&stage);
    assert_eq!(by_connection.len(), 4, "two connections, twice");
    let sorted = |asked: &Vec<(bool, String)>| asked.iter().cloned().collect::<BTreeSet<_>>();
    let all: Vec<_> = by_connection.values().map(sorted).collect();
    let (before, after): (BTreeSet<_>, BTreeSet<_>) =
        (all[..2].iter().cloned().collect(), all[2..].iter().cloned().collect());
    assert_eq!(before, after, "the same objects, to the letter");
    let fast = all.iter().flatten().filter(|(_, object)| object.contains("\"fast\":true")).count();
    assert_eq!(fast, 4, "two coins, twice");
    // And it is the fast feed that came back: without it this book would be stale after two seconds.
    stage.seen.forget();
    stage.run_ms(10_000);
    assert_eq!(stage.seen.told_of("BTC", Stream::Orderbook), []);
    assert!(stage.seen.compared > 4);

    // A coin that goes is unsubscribed with the very objects it was subscribed with.
    let mut stage = Scene::of(&["BTC", "ETH"], &EVERYTHING).hyperliquid();
    stage.until_live(&EVERYTHING, 60_000);
    stage.fault("halt_symbol symbol=ETH");
    stage.until_coarse("the next list", 900_000, |stage| {
        stage.seen.state("ETH", Stream::Trades) == Some((State::Down, Reason::UnknownSymbol))
    });
    stage.run_ms(2_000);
    let mut given_up = 0;
    for asked in objects(&stage).values() {
        let subscribed: BTreeSet<_> = asked.iter().filter(|(un, _)| !un).map(|(_, object)| object).collect();
        for (_, object) in asked.iter().filter(|(unsubscribe, _)| *unsubscribe) {
            assert!(subscribed.contains(object) && object.contains("ETH"), "{object}");
            given_up += 1;
        }
    }
    // Fast and default book, best prices, trades, candles, context.
    assert_eq!(given_up, 6);
    assert_eq!(stage.desk.truth().counters().subscriptions, 6, "those of the other coin");
    assert_eq!(stage.desk.truth().counters().soft_errors, 0);
}

/// The venue knows no number of levels: none is ever sent, and whoever configures one is told what there is.
#[test]
fn fault_20_nlevels_unsupported() {
    let mut stage = Scene::of(&["BTC"], &EVERYTHING).hyperliquid();
    stage.until_live(&EVERYTHING, 60_000);
    let known = ["type", "coin", "fast", "interval", "user"];
    for (_, object) in objects(&stage).into_values().flatten() {
        let value: serde_json::Value = serde_json::from_str(&object).unwrap();
        for (key, _) in value.as_object().unwrap() {
            assert!(known.contains(&key.as_str()), "{object}");
        }
    }
    let refuse = |lines: &str| {
        let text = format!("[venues.hyperliquid]\n{lines}\n");
        Config::parse(&text, "test.toml", Vec::new()).expect_err(lines).to_string()
    };
    for line in ["n_levels = 100", "nLevels = 100", "levels = 100", "depth = 100"] {
        let error = refuse(line);
        let key = line.split_once(' ').unwrap().0;
        assert!(error.contains("venues.hyperliquid") && error.contains(key), "{error}");
    }
    let error = refuse("book = \"100\"");
    for choice in ["fast", "default", "both"] {
        assert!(error.contains(choice), "{error}");
    }
    let error = refuse("channels = [\"l2Book\"]");
    assert!(error.contains("orderbook"), "{error}");
    // A client that asks for more than is kept is told the range; one within it gets what is known, not more.
    let book = request("get_orderbook").venue("hyperliquid").symbol("BTC");
    let stream = request("subscribe_orderbook").venue("hyperliquid").symbol("BTC");
    assert_eq!(stage.refusal(&stream.with("depth", 100_000)).as_deref(), Some("bad_depth"));
    let (_, data) = stage.ask(&book.with("depth", 20));
    let bids = field(&data, "bids").unwrap().as_array().unwrap().len();
    assert!((5..=20).contains(&bids), "{bids}");
}

fn of_one_coin() -> Venue {
    let settings = Settings {
        streams: vec![Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles],
        intervals: vec![Interval::M1],
        ..settings(&["BTC"])
    };
    Venue::new(settings, vec![perp("BTC")])
}

/// An error in words is data; a pong has none; a greeting is not even JSON: none of it stops anything.
#[test]
fn fault_21_already_subscribed_and_bare_pong() {
    // The acknowledgement gets lost, the stream is asked for again, and the venue says that it has it already.
    let mut venue = of_one_coin();
    venue.lose_ack_of = Some("\"trades\"");
    let mut venue = venue.start();
    assert_eq!(venue.state(0, Stream::Trades).0, State::Warming);
    venue.pass_ms(4_000);
    assert_eq!(venue.state(0, Stream::Trades), LIVE);
    venue.pass_ms(60_000);
    assert!(venue.links.values().all(|link| link.pings >= 2), "bare pongs were heard");
    // Whatever else it may say.
    let odd = [
        "Websocket connection established.",
        r#"{"channel":"pong"}"#,
        r#"{"channel":"error","data":"Already subscribed: {\"type\":\"trades\",\"coin\":\"BTC\"}"}"#,
        r#"{"channel":"error","data":"Already subscribed: {\"type\":\"nothing\",\"coin\":\"NONE\"}"}"#,
        r#"{"channel":"error","data":"Already subscribed: {\"type"}"#,
        r#"{"channel":"error","data":"Already unsubscribed: {}"}"#,
        r#"{"channel":"error","data":"too many pending post requests id=1234"}"#,
        r#"{"channel":"error","data":{"code":1}}"#,
        r#"{"channel":"error"}"#,
        r#"{"channel":"subscriptionResponse","data":null}"#,
        r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"trades","coin":"NONE"}}}"#,
        "",
        "null",
        "[]",
    ];
    for text in odd {
        for link in [0, 1] {
            venue.say(link, text);
        }
        venue.pass_ms(100);
    }
    let start = venue.venue_ms() / 60_000 * 60_000;
    venue.say(0, &candle_frame("BTC", "1m", start, 60_000, 101, 3));
    venue.pass_ms(2_000);
    assert!(venue.links.values().all(|link| link.generation == 1), "no connection was lost for it");
    for stream in [Stream::Orderbook, Stream::Trades, Stream::Candles] {
        assert_eq!(venue.state(0, stream), LIVE, "{stream}");
    }
    assert_eq!(venue.with("\"trades\""), 1);
}

/// After each reconnect exactly the wanted streams are subscribed, each once, whatever was acknowledged before; and
/// what an earlier connection still says counts for nothing.
#[test]
fn fault_22_subscriptions_lost_or_doubled() {
    let mut stage = Scene::of(&["BTC", "ETH", "SOL"], &EVERYTHING).hyperliquid();
    stage.until_live(&EVERYTHING, 60_000);
    let wanted = stage.desk.truth().counters().subscriptions;
    assert_eq!(wanted, 3 * 6);
    for (round, how) in ["drop", "close", "reset", "drop", "drop", "close"].into_iter().enumerate() {
        stage.fault(&format!("cut how={how}"));
        // Some cuts come while subscriptions are under way: half of them acknowledged.
        let wait_ms = [5_000, 1_300, 20_000, 700, 2_000, 400][round];
        stage.run_ms(wait_ms);
    }
    stage.run_ms(100);
    stage.until_live(&EVERYTHING, 120_000);
    assert_eq!(stage.desk.truth().counters().subscriptions, wanted, "none is lost, none is left over");
    let by_connection = objects(&stage);
    assert!(by_connection.len() >= 10, "{}", by_connection.len());
    for (connection, asked) in by_connection {
        let once: BTreeSet<_> = asked.iter().collect();
        assert_eq!(once.len(), asked.len(), "connection {connection} was asked twice");
    }
    assert_eq!(stage.desk.truth().counters().soft_errors, 0, "nothing was `Already subscribed`");
    stage.seen.forget();
    stage.run_ms(10_000);
    assert_eq!(stage.seen.told, [], "and everything goes on");
    assert!(stage.seen.compared > 10);

    // A connection that was given up comes up late, and ends: neither is anything to the one that is used.
    let mut venue = of_one_coin().start();
    venue.cut(0);
    venue.pass_ms(3_000);
    let generation = venue.links[&0].generation;
    assert!(generation > 1);
    let sent = venue.sent.len();
    venue.bench.with(|session, now, out| session.on_connected(0, generation - 1, now, out));
    venue.bench.close(0, generation - 1);
    venue.pass_ms(1_000);
    assert_eq!((venue.sent.len(), venue.links[&0].generation), (sent, generation));
    assert_eq!(venue.state(0, Stream::Trades), LIVE);
}

/// A name the venue does not know is never sent; one that kills its connection all the same is found and left out.
#[test]
fn fault_27_one_bad_coin() {
    // Misspelt names are told by the venue's own list, before anything is asked for.
    let bad = ["btc", "XYZ:SP500", "NOSUCH"];
    let mut stage = Scene::of(&["BTC", bad[0], bad[1], bad[2], "ETH"], &EVERYTHING).hyperliquid();
    stage.run_ms(60_000);
    for coin in bad {
        for stream in EVERYTHING {
            assert_eq!(stage.seen.state(coin, stream), Some((State::Down, Reason::UnknownSymbol)), "{coin}");
        }
    }
    for coin in ["BTC", "ETH"] {
        assert!(EVERYTHING.iter().all(|stream| stage.seen.is_live(coin, *stream)), "{coin}");
    }
    assert_eq!(stage.desk.truth().counters().fatal_requests, 0);
    let sent: Vec<_> = objects(&stage).into_values().flatten().collect();
    assert!(sent.iter().all(|(_, object)| bad.iter().all(|coin| !object.contains(&format!("\"{coin}\"")))));

    // Listed, and deadly: tried apart, found, and told; the rest lives, and the venue is left alone with it.
    let coins: Vec<_> = (0..30).map(|number| perp(&format!("C{number}"))).collect();
    let mut venue = Venue::new(hyperliquid_venue::all(settings(&[])), coins);
    venue.fatal.insert("C17".to_owned());
    venue.sends_ctx = true;
    let mut venue = venue.start();
    venue.pass_ms(180_000);
    let deaths = venue.deaths;
    println!("found after {deaths} deaths");
    assert!((1..60).contains(&deaths), "{deaths}");
    for stream in EVERYTHING {
        assert_eq!(venue.state(17, stream), (State::Down, Reason::Rejected), "{stream}");
        assert_ne!(venue.state(18, stream).0, State::Down, "{stream}");
    }
    assert_eq!(venue.with("\"C17\""), 0);
    assert_eq!(venue.subscribed().len(), 29 * 8);
    let of_used: Vec<_> = [0, 1].iter().map(|link| venue.links[link].generation).collect();
    venue.pass_ms(1_800_000);
    assert_eq!(venue.deaths, deaths, "no reconnect loop repeats it");
    assert_eq!([0, 1].map(|link| venue.links[&link].generation), of_used[..]);
}
