//! What a venue may send, and how it may send it, that was never seen before: the daemon takes it, or says what it lost.

use crate::stage::{EVERYTHING, Scene, Stage, field};
use codec::words::{Interval, Reason, State, Stream};
use slipstream_client::request;

const BOOKS: [Stream; 3] = [Stream::Orderbook, Stream::Quotes, Stream::Trades];

fn binance() -> Stage {
    let mut scene = Scene::of(&["BTCUSDT", "ETHUSDT"], &EVERYTHING);
    scene.intervals = vec![Interval::M1];
    let mut stage = scene.binance();
    stage.until_live(&EVERYTHING, 60_000);
    stage.run_ms(3_000);
    stage.seen.forget();
    stage
}

fn hyperliquid() -> Stage {
    let mut scene = Scene::of(&["BTC", "ETH"], &EVERYTHING);
    scene.intervals = vec![Interval::M1];
    let mut stage = scene.hyperliquid();
    stage.until_live(&EVERYTHING, 60_000);
    stage.run_ms(3_000);
    stage.seen.forget();
    stage
}

/// A fault that changes the form of messages and not what they say: nobody notices anything.
fn unnoticed(stage: &mut Stage, text: &str) {
    let (compared, connects) = (stage.seen.compared, stage.desk.connects());
    stage.fault(text);
    stage.run_ms(15_000);
    assert_eq!((&stage.seen.told[..], &stage.seen.lost[..]), (&[][..], &[][..]), "{text}");
    assert_eq!(stage.desk.connects(), connects, "{text}");
    assert!(stage.seen.compared > compared + 5, "{text}");
}

/// The same value with other keys, in other orders, with more of them: decoded alike, by the general decoder.
#[test]
fn new_fields_and_other_key_orders_change_nothing() {
    let (mut one, mut other) = (binance(), hyperliquid());
    for text in [
        "new_fields frames=300",
        "key_order for_ms=10000 order=reversed",
        "key_order for_ms=10000 order=shuffled",
        "new_channel frames=50",
    ] {
        unnoticed(&mut one, text);
        unnoticed(&mut other, text);
    }
}

/// What comes twice is told once.
#[test]
fn duplicates_are_counted_once() {
    let (mut one, mut other) = (binance(), hyperliquid());
    unnoticed(&mut one, "duplicate_frames symbol=BTCUSDT frames=50");
    unnoticed(&mut other, "duplicate_frames symbol=BTC frames=50");
    for (symbol, trades) in one.seen.trades.iter().chain(&other.seen.trades) {
        let mut ids: Vec<_> = trades.iter().map(|trade| trade.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "{symbol}");
    }
}

/// Two frames that change places: a book notices and repairs itself, or is not wrong by it; a trade is never twice.
#[test]
fn reordered_frames_are_never_a_wrong_book() {
    let mut stage = binance();
    stage.fault("reorder_frames symbol=BTCUSDT frames=20");
    stage.run_ms(10_000);
    stage.until_live(&BOOKS, 30_000);
    stage.run_ms(5_000);
    stage.seen.assert_every_trade_once("BTCUSDT");
    assert!(stage.seen.told_of("ETHUSDT", Stream::Orderbook).is_empty());
    let mut stage = hyperliquid();
    stage.fault("reorder_frames symbol=BTC frames=20");
    stage.run_ms(10_000);
    stage.until_live(&BOOKS, 30_000);
    assert!(stage.seen.compared > 8, "{}", stage.seen.compared);
}

/// What cannot be read is dropped, counted and told as a gap of the venue; the connection stays.
#[test]
fn malformed_frames_are_told() {
    for how in ["truncated", "not_json", "wrong_type"] {
        let mut stage = binance();
        stage.fault(&format!("malformed_frames frames=5 symbol=BTCUSDT how={how}"));
        stage.run_ms(10_000);
        stage.until_live(&EVERYTHING, 30_000);
        let told: u64 = stage
            .seen
            .lost
            .iter()
            .filter(|it| it.reason == Reason::Malformed)
            .filter_map(|it| it.missed)
            .sum();
        assert_eq!(told, 5, "{how}: {:?}", stage.seen.lost);
        let mut stage = hyperliquid();
        stage.fault(&format!("malformed_frames frames=5 symbol=BTC how={how}"));
        stage.run_ms(10_000);
        stage.until_live(&EVERYTHING, 30_000);
        let told: u64 = stage
            .seen
            .lost
            .iter()
            .filter(|it| it.reason == Reason::Malformed)
            .filter_map(|it| it.missed)
            .sum();
        assert_eq!(told, 5, "{how}: {:?}", stage.seen.lost);
    }
}

/// One side of a quote may be nobody's, and a rate may be empty: that is data, told as null.
#[test]
fn empty_sides_and_rates_are_null() {
    let mut stage = hyperliquid();
    stage.fault("null_sides symbol=BTC frames=3");
    stage.until("a side of nobody", 20_000, |stage| {
        let (_, quote) =
            stage.ask(&request("get_quote").venue("hyperliquid").symbol("BTC").with("allow_stale", true));
        ["bid_price", "ask_price"].iter().any(|name| field(&quote, name).is_some_and(|value| value.is_nil()))
    });
    stage.run_ms(20_000);
    assert!(stage.seen.is_live("BTC", Stream::Quotes) && stage.seen.is_live("BTC", Stream::Orderbook));
    let mut stage = binance();
    stage.fault("empty_rate symbol=BTCUSDT for_ms=5000");
    stage.run_ms(2_500);
    let (kind, funding) = stage.ask(&request("get_funding").venue("binance").symbol("BTCUSDT"));
    assert_eq!(kind, "funding");
    assert!(field(&funding, "funding_rate").unwrap().is_nil(), "{funding}");
    assert!(field(&funding, "mark_price").unwrap().is_f64(), "{funding}");
    assert_eq!(stage.seen.told, [], "and nothing is wrong with the stream");
    stage.run_ms(5_000);
    let (_, funding) = stage.ask(&request("get_funding").venue("binance").symbol("BTCUSDT"));
    assert!(field(&funding, "funding_rate").unwrap().is_f64(), "{funding}");
}

/// A trade at nothing uses its id up and is nobody's, on the wire too.
#[test]
fn zero_price_trades_on_the_wire() {
    let mut stage = binance();
    stage.fault("zero_price_trades symbol=BTCUSDT count=5");
    stage.run_ms(30_000);
    assert_eq!(stage.seen.lost, [], "their ids count");
    assert_eq!(stage.seen.told, []);
}

/// Crossed frames are told and not served, at both venues.
#[test]
fn crossed_frames_are_never_served() {
    let mut stage = binance();
    stage.fault("crossed_book symbol=BTCUSDT frames=3");
    stage.until("it to be told", 5_000, |stage| !stage.seen.lost.is_empty());
    assert!(stage.seen.lost.iter().all(|lost| lost.reason == Reason::Crossed), "{:?}", stage.seen.lost);
    stage.until_live(&EVERYTHING, 30_000);
    stage.run_ms(5_000);
    let mut stage = hyperliquid();
    stage.fault("crossed_book symbol=BTC frames=3");
    stage.until("it to be told", 10_000, |stage| !stage.seen.lost.is_empty());
    assert!(stage.seen.lost.iter().all(|lost| lost.reason == Reason::Crossed), "{:?}", stage.seen.lost);
    stage.until_live(&EVERYTHING, 30_000);
    stage.run_ms(10_000);
    assert!(stage.seen.compared > 10);
}

/// A book that comes more slowly than it should is stale between its frames: its age is told by its own cadence, and
/// never taken for granted.
#[test]
fn fault_18_cadence_change() {
    const SLOW_MS: u64 = 2_600;
    let scene = Scene::of(&["BTC", "ETH"], &[Stream::Orderbook, Stream::Quotes]);
    let mut stage = scene.hyperliquid();
    stage.until_live(&[Stream::Orderbook], 20_000);
    stage.seen.forget();
    stage.run_ms(30_000);
    assert_eq!(stage.seen.told_of("BTC", Stream::Orderbook), [], "live without a break at the usual pace");
    assert_eq!(paces(&mut stage), [], "and nothing to report");
    // From here on it is another, at the venue's whim.
    for symbol in ["BTC", "ETH"] {
        stage.fault(&format!("change_cadence stream=l2BookFast:{symbol} period_ms={SLOW_MS} for_ms=120000"));
    }
    let connects = stage.desk.connects();
    let book = request("get_orderbook").venue("hyperliquid").symbol("BTC");
    let (mut refused, mut served) = (0, 0);
    for _ in 0..600 {
        stage.run_ms(50);
        let live = stage.seen.is_live("BTC", Stream::Orderbook);
        let code = stage.refusal(&book);
        assert_eq!(code.is_none(), live, "{code:?}");
        let age_ms = field(&stage.report("BTC", Stream::Orderbook), "age_ms").unwrap().as_u64().unwrap();
        if live {
            served += 1;
            assert!(age_ms <= 2_100, "served at {age_ms} ms");
        } else {
            refused += 1;
            assert_eq!(code.as_deref(), Some("not_live"));
        }
    }
    assert!(refused > 50 && served > 300, "{refused} refused, {served} served");
    let told = stage.seen.told_of("BTC", Stream::Orderbook);
    assert!(told.contains(&(State::Stale, Reason::Silence)) && told.len() >= 15, "each time: {told:?}");
    assert_eq!(stage.desk.connects(), connects, "a slow stream is no dead connection");
    assert!(stage.seen.compared > 5);
    // The change itself is told as soon as a window of messages has shown it, and once.
    stage.run_ms(60_000);
    assert_eq!(paces(&mut stage), [("l2Book fast".to_owned(), 1)]);
    // It ends as it began: live without a break again.
    stage.run_ms(40_000);
    assert!(stage.seen.is_live("BTC", Stream::Orderbook));
    stage.seen.forget();
    stage.run_ms(20_000);
    assert_eq!(stage.seen.told_of("BTC", Stream::Orderbook), []);
    // The limit is configuration: who knows of the new cadence says so, and has a live book.
    let slow = Scene { stale_after_ms: Some(6_000), ..scene };
    let slow = slow.with(|config| config.hyperliquid.fast_book_interval_ms = SLOW_MS as i64);
    let mut stage = slow.hyperliquid();
    stage.until_live(&[Stream::Orderbook], 20_000);
    stage.seen.forget();
    stage.run_ms(30_000);
    assert_eq!(stage.seen.told_of("BTC", Stream::Orderbook), []);
}

/// Streams that the status report says to come at another pace than expected, and how often that was seen.
fn paces(stage: &mut Stage) -> Vec<(String, u64)> {
    let drift = stage.drift().into_iter().filter(|(kind, ..)| kind == "cadence");
    drift.map(|(_, what, count)| (what, count)).collect()
}

/// The venue's clock steps, forwards and back: nothing is dropped, and no stream changes its state for it.
#[test]
fn the_venues_clock_steps() {
    for by_ms in [1_270, -1_270, 30_000, -30_000] {
        let text = format!("clock_step by_ms={by_ms} for_ms=20000");
        for disturbed in [clock_step(&mut binance(), &text), clock_step(&mut hyperliquid(), &text)] {
            assert_eq!(disturbed, Vec::<String>::new(), "{text}");
        }
    }
}

/// States other than of candles that changed while the venue's clock was wrong.
fn clock_step(stage: &mut Stage, text: &str) -> Vec<String> {
    stage.fault(text);
    stage.seen.is_blind = true;
    stage.run_ms(40_000);
    assert_eq!(stage.seen.lost, [], "{text}");
    // A book of Hyperliquid whose venue goes back in time may be stale for a moment, and says so.
    let usual = [(State::Stale, Reason::Silence), (State::Live, Reason::None)];
    let is_usual = |told: &&crate::stage::Told| {
        told.stream == Stream::Candles || usual.contains(&(told.state, told.reason))
    };
    stage.until_live(&BOOKS, 1_000);
    let told = stage.seen.told.iter().filter(|told| !is_usual(told));
    told.map(|told| format!("{told:?}")).collect()
}

/// Acknowledgements that get lost, connections that begin with a greeting, streams that are acknowledged and dead.
#[test]
fn odd_beginnings() {
    for text in ["lose_acks count=3", "acked_and_silent count=2", "greeting connections=4"] {
        let mut scene = Scene::of(&["BTC", "ETH"], &BOOKS);
        let mut stage = scene.hyperliquid();
        stage.fault(text);
        stage.until_live(&BOOKS, 180_000);
        scene.symbols = vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()];
        if !text.starts_with("greeting") {
            let mut stage = scene.binance();
            stage.fault(text);
            stage.until_live(&BOOKS, 180_000);
        }
    }
}

/// REST that refuses, breaks down, answers slowly or with nonsense: streams go on, and what needs REST waits for it.
#[test]
fn rest_in_trouble() {
    for text in [
        "rest_status status=429 for_ms=20000 retry_after_s=5",
        "rest_status status=418 for_ms=20000 retry_after_s=30",
        "rest_status status=500 for_ms=20000",
        "rest_status status=503 for_ms=20000",
        "rest_garbage requests=5",
        "slow_snapshots delay_ms=8000 requests=3",
    ] {
        let mut stage = binance();
        stage.fault(text);
        stage.fault("break_depth_sequence symbol=BTCUSDT");
        stage.until("the break", 5_000, |stage| !stage.seen.is_live("BTCUSDT", Stream::Orderbook));
        let asked = stage.desk.truth().counters().rest_requests;
        stage.run_ms(15_000);
        let asked = stage.desk.truth().counters().rest_requests - asked;
        assert!(asked < 60, "{text}: {asked} requests in fifteen seconds");
        let took = stage.until_live(&EVERYTHING, 120_000);
        println!("{text}: {asked} requests, live {took} ms later");
        stage.run_ms(3_000);
        assert!(stage.seen.told_of("ETHUSDT", Stream::Orderbook).is_empty(), "{text}");
        assert_eq!(stage.desk.truth().counters().limit_violations_total(), 0, "{text}");
    }
}
