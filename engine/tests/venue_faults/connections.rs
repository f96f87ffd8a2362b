//! Connections that end, that are cut on schedule, that live on without life in them, and clocks that disagree.

use crate::hyperliquid_venue::{Venue, perp};
use crate::stage::{EVERYTHING, START_MS, Scene, Stage, field};
use crate::support::settings;
use codec::words::{Interval, Reason, State, Stream};
use engine::session::settings::Settings;
use sim::ByHand;
use slipstream_client::request;

const LIVE: (State, Reason) = (State::Live, Reason::None);
const HOUR_MS: u64 = 3_600_000;

/// A connection is replaced before the venue cuts it, without a loss; when it is cut all the same, everything that is
/// wanted is asked for again.
#[test]
fn fault_09_twenty_four_hour_cut() {
    let streams = [Stream::Orderbook, Stream::Trades, Stream::Candles, Stream::Funding];
    let mut scene = Scene::of(&["BTCUSDT", "ETHUSDT"], &streams);
    scene.config = sim::Config::universe(3, 0);
    scene.config.binance.market.retention_ms = 100_000_000;
    scene.config.binance.depth_interval_ms_min = 5_000;
    scene.config.binance.mark_price_interval_ms = 2_000;
    scene.intervals = vec![Interval::M15];
    scene.stale_after_ms = Some(60_000);
    let mut stage = scene.binance();
    stage.until_live(&streams, 120_000);
    let wanted = |stage: &crate::stage::Stage| stage.desk.truth().counters().subscriptions;
    let (streams_wanted, connects) = (wanted(&stage), stage.desk.connects());
    stage.seen.forget();
    while stage.at_ms() < 25 * HOUR_MS {
        stage.step(500);
    }
    let counters = stage.desk.truth().counters();
    assert_eq!(counters.connections_aged_out, 0, "replaced before the venue had to");
    assert_eq!(stage.desk.connects(), 2 * connects, "each once");
    assert_eq!(stage.seen.lost, [], "nothing is lost");
    assert_eq!(stage.seen.told, [], "and no stream changes its state");
    assert_eq!(counters.connections_open, connects);
    assert_eq!(wanted(&stage), streams_wanted);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let count = stage.seen.assert_every_trade_once(symbol);
        assert!(count > 3_000, "{symbol}: {count}");
    }
    assert!(stage.seen.compared > 1_000, "{}", stage.seen.compared);

    // The venue cuts everything, and at once again while the subscriptions are still under way: what comes back is
    // what is wanted, not what was acknowledged.
    stage.fault("cut how=close");
    stage.run_ms(200);
    assert!(streams.iter().all(|stream| !stage.seen.is_live("BTCUSDT", *stream)), "told at once");
    stage.run_ms(500);
    stage.fault("cut how=close");
    stage.run_ms(100);
    stage.until_live(&streams, 120_000);
    assert_eq!(wanted(&stage), streams_wanted);
    stage.run_ms(120_000);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        stage.seen.assert_every_trade_once(symbol);
        assert!(stage.seen.is_live(symbol, Stream::Orderbook));
    }
}

/// The book of a living connection dies: stale at once, the stream asked for again, then the connection made anew;
/// a missing pong and a lost acknowledgement are faults of their own.
#[test]
fn fault_16_stale_book_on_a_living_socket() {
    let streams = [Stream::Orderbook, Stream::Trades];
    let mut stage = Scene::of(&["BTC", "ETH"], &streams).hyperliquid();
    stage.until_live(&streams, 20_000);
    stage.run_ms(20_000);
    stage.seen.forget();
    let connects = stage.desk.connects();
    let asked = |stage: &crate::stage::Stage| {
        let log = stage.desk.truth().counters().subscribe_log;
        let of = |object: &String| {
            object.contains("l2Book") && object.contains("\"fast\":true") && object.contains("BTC")
        };
        log.iter().filter(|record| !record.unsubscribe && record.streams.iter().any(of)).count()
    };
    assert_eq!(asked(&stage), 1);
    // Longer than the daemon waits before it takes the connection itself for dead.
    let begun = stage.at_ms();
    stage.fault("silence_stream stream=l2BookFast:BTC for_ms=120000");
    stage.until("stale", 4_000, |stage| !stage.seen.is_live("BTC", Stream::Orderbook));
    let stale_ms = stage.at_ms() - begun;
    assert!(stale_ms <= 2_700, "two seconds after the last frame: {stale_ms}");
    assert_eq!(stage.seen.told_of("BTC", Stream::Orderbook), [(State::Stale, Reason::Silence)]);
    let book = request("get_orderbook").venue("hyperliquid").symbol("BTC");
    assert_eq!(stage.refusal(&book).as_deref(), Some("not_live"));
    stage.until("the stream to be asked for again", 10_000, |stage| asked(stage) == 2);
    assert_eq!(stage.desk.connects(), connects, "the stream first");
    stage.until("the connection to be made anew", 100_000, |stage| stage.desk.connects() > connects);
    let remade_ms = stage.at_ms() - begun;
    assert!((60_000..90_000).contains(&remade_ms), "a minute later: {remade_ms}");
    stage.until_live(&streams, 90_000);
    stage.run_ms(5_000);
    assert!(stage.seen.is_live("BTC", Stream::Orderbook) && stage.seen.compared > 10);

    // No pong within ten seconds: the connection is dead, whatever it may still send.
    let of_one = || Settings { streams: streams.to_vec(), ..settings(&["BTC"]) };
    let mut venue = Venue::new(of_one(), vec![perp("BTC")]).start();
    venue.pass_ms(60_000);
    let before: Vec<_> = venue.links.values().map(|link| link.generation).collect();
    assert_eq!(before, [1, 1]);
    venue.withholds_pongs = true;
    venue.pass_ms(25_000 + 10_000 + 1_000);
    assert!(venue.links.values().all(|link| link.generation == 2), "made anew, books or not");
    venue.withholds_pongs = false;
    venue.pass_ms(60_000);
    assert_eq!(venue.state(0, Stream::Orderbook), LIVE);

    // One acknowledgement that never comes stalls nothing else, and costs one connection, once.
    let mut venue = Venue::new(of_one(), vec![perp("BTC")]);
    venue.mute.insert("\"trades\"");
    let mut venue = venue.start();
    assert_eq!(venue.state(0, Stream::Orderbook), LIVE);
    assert_ne!(venue.state(0, Stream::Trades), LIVE, "not acknowledged is not live");
    venue.pass_ms(600_000);
    assert_eq!(venue.state(0, Stream::Orderbook), LIVE);
    assert!(venue.links[&0].generation <= 3, "{}", venue.links[&0].generation);
}

/// Pings and pongs are no data: a connection that gives only those is stale and made anew, and the age of what it gave
/// grows with the time that passes, whether or not anything arrives.
#[test]
fn fault_17_pings_do_not_feed_the_data_timer() {
    let streams = [Stream::Orderbook, Stream::Quotes, Stream::Funding];
    let scene = Scene::of(&["BTCUSDT"], &streams).with(|config| config.binance.ping_interval_ms = 500);
    let mut stage = scene.binance();
    stage.until_live(&streams, 20_000);
    stage.run_ms(5_000);
    stage.seen.forget();
    let connects = stage.desk.connects();
    let age = |stage: &mut crate::stage::Stage| {
        field(&stage.report("BTCUSDT", Stream::Orderbook), "age_ms").unwrap().as_u64().unwrap()
    };
    assert!(age(&mut stage) < 1_000);
    let begun = stage.at_ms();
    for symbol in stage.desk.truth().market().trading_symbols() {
        stage.fault(&format!("silence_symbol symbol={symbol} for_ms=60000"));
    }
    let heard = stage.desk.truth().counters().messages_received;
    stage.run_ms(3_000);
    let ages = [(), ()].map(|()| {
        let age = age(&mut stage);
        stage.run_ms(1_000);
        age
    });
    assert!(ages[0] >= 2_500 && ages[1] - ages[0] == 1_000, "it grows by itself: {ages:?}");
    assert!(stage.desk.truth().counters().messages_received > heard + 8, "pongs went out all the time");
    stage.until("stale", 4_000, |stage| !stage.seen.is_live("BTCUSDT", Stream::Orderbook));
    let stale_ms = stage.at_ms() - begun;
    assert!((4_900..=6_500).contains(&stale_ms), "five seconds without data: {stale_ms}");
    assert_eq!(stage.seen.told_of("BTCUSDT", Stream::Orderbook), [(State::Stale, Reason::Silence)]);
    stage.until("the connection to be made anew", 8_000, |stage| stage.desk.connects() > connects);
    assert!(stage.at_ms() - begun <= 12_000, "{}", stage.at_ms() - begun);
    assert!(age(&mut stage) >= 9_000);
    stage.until_live(&streams, 120_000);

    // Hyperliquid's pongs count as little.
    let mut stage = Scene::of(&["BTC"], &[Stream::Orderbook, Stream::Quotes]).hyperliquid();
    stage.until_live(&[Stream::Orderbook, Stream::Quotes], 20_000);
    stage.run_ms(20_000);
    let connects = stage.desk.connects();
    for symbol in stage.desk.truth().market().trading_symbols() {
        stage.fault(&format!("silence_symbol symbol={symbol} for_ms=90000"));
    }
    let begun = stage.at_ms();
    stage.until("stale", 4_000, |stage| {
        stage.seen.state("BTC", Stream::Orderbook) == Some((State::Stale, Reason::Silence))
    });
    stage.until("connections made anew", 60_000, |stage| stage.desk.connects() > connects);
    println!("hyperliquid: made anew after {} ms", stage.at_ms() - begun);
    stage.until_live(&[Stream::Orderbook, Stream::Quotes], 120_000);
}

/// A connection that has nothing to say is kept open by our own pings, whatever else goes over it.
#[test]
fn fault_23_idle_close() {
    // Without pings the venue closes after a minute.
    let scene = Scene::of(&["BTC"], &[Stream::Trades, Stream::Quotes]);
    let mut alone = ByHand::hyperliquid(&scene.config, START_MS).unwrap();
    let idle = alone.open("/ws").unwrap();
    alone.pass_to(START_MS + 59_000);
    assert!(alone.is_open(idle));
    alone.pass_to(START_MS + 62_000);
    assert!(!alone.is_open(idle), "the venue does so");

    let mut stage = scene.hyperliquid();
    stage.until_live(&[Stream::Trades], 20_000);
    let (connects, heard) = (stage.desk.connects(), stage.desk.truth().counters().messages_received);
    for symbol in stage.desk.truth().market().trading_symbols() {
        stage.fault(&format!("silence_symbol symbol={symbol} for_ms=1800000"));
    }
    stage.seen.forget();
    stage.run_ms(1_800_000);
    let pings = stage.desk.truth().counters().messages_received - heard;
    println!("{pings} messages in half an hour of silence");
    // Connections with quotes or books are made anew for their silence; that of trades alone has no reason to be.
    let opened = stage.desk.connects() - connects;
    assert!(pings >= 1_800 / 30, "a ping every half minute at least: {pings}");
    assert_eq!(opened, 0, "no connection was closed, by either side: {}", stage.desk.log());
    assert_eq!(stage.seen.told_of("BTC", Stream::Trades), [], "quiet is not broken");

    // In the middle of traffic as well: the clock decides, not what goes over the line.
    let mut stage = Scene::of(&["BTC"], &EVERYTHING).hyperliquid();
    stage.until_live(&EVERYTHING, 60_000);
    let heard = stage.desk.truth().counters().messages_received;
    stage.run_ms(300_000);
    let pings = stage.desk.truth().counters().messages_received - heard;
    assert!(pings >= 2 * 10, "two connections, each twice a minute at least: {pings}");
}

/// The venue's clock and our own are kept apart: neither judges what the other says, and nothing is dropped for it.
#[test]
fn fault_15_skewed_clock() {
    // Ours is right, fast, slow: by what was measured once, and by much more.
    for venue_ahead_ms in [0, 1_270, -1_270, 40_000, -40_000] {
        let mut scene = Scene::of(&["BTCUSDT"], &EVERYTHING);
        scene.intervals = vec![Interval::M1];
        let mut stage = scene.binance();
        skewed(&mut stage, "binance", "BTCUSDT", venue_ahead_ms);
        scene.symbols = vec!["BTC".to_owned()];
        let mut stage = scene.hyperliquid();
        skewed(&mut stage, "hyperliquid", "BTC", venue_ahead_ms);
    }
}

fn skewed(stage: &mut Stage, venue: &str, symbol: &str, ahead_ms: i64) {
    stage.desk.venue_ahead_ms = ahead_ms;
    stage.run_ms(ahead_ms.unsigned_abs() / 10 * 10);
    stage.until_live(&EVERYTHING, 60_000);
    stage.seen.forget();
    stage.run_ms(130_000);
    assert_eq!((&stage.seen.told[..], &stage.seen.lost[..]), (&[][..], &[][..]), "{venue} {ahead_ms}");
    // Every time is kept as it was said, by whoever said it.
    let (_, quote) = stage.ask(&request("get_quote").venue(venue).symbol(symbol));
    let time = |name: &str| field(&quote, name).unwrap().as_i64().unwrap();
    let latency_ms = (time("received_us") - time("timestamp_us")) / 1_000;
    assert!((latency_ms + ahead_ms).abs() <= 5_000, "{venue}: {latency_ms} with {ahead_ms} ahead");
    assert!(ahead_ms < 1_000 || latency_ms < 0, "from the future, and served: {latency_ms}");
    // No age is negative, and none is the skew.
    let age = field(&stage.report(symbol, Stream::Orderbook), "age_ms").unwrap().as_u64().unwrap();
    assert!(age < 2_000, "{venue}: {age} with {ahead_ms} ahead");
    // Candles close once each, by the venue's clock, with its values.
    let closes: Vec<_> =
        stage.seen.candles[symbol].iter().filter(|candle| candle.closed && !candle.revised).collect();
    assert!(closes.len() >= 2, "{venue} {ahead_ms}: {closes:?}");
    assert!(closes.windows(2).all(|pair| pair[1].start_ms == pair[0].start_ms + 60_000), "{closes:?}");
    assert!(stage.seen.compared > 20);
}
