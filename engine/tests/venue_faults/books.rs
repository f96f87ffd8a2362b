//! Binance books: how they are seeded, followed, broken, repaired, and how many of them at once.

use crate::scripted::{Scripted, depth, levels, snapshot};
use crate::stage::{Scene, Told};
use codec::record::{Kind, Record};
use codec::words::{Reason, State, Stream};
use engine::fetch::Query;
use slipstream_client::request;
use std::collections::BTreeSet;

const BOOK: Stream = Stream::Orderbook;
const LIVE: (State, Reason) = (State::Live, Reason::None);
const DEPTH_PATH: &str = "/fapi/v1/depth";

fn asks_for_book(symbol: &str) -> slipstream_client::Request {
    request("get_orderbook").venue("binance").symbol(symbol)
}

/// A snapshot means nothing without the events around it, and one that was asked for and never came is asked for
/// again, for the same symbol.
#[test]
fn fault_03_snapshot_without_buffering() {
    let mut stage = Scene::of(&["BTCUSDT", "ETHUSDT"], &[BOOK]).binance();
    // Answers that take three seconds are older than what was buffered meanwhile.
    stage.fault("delay_rest delay_ms=3000 for_ms=20000");
    stage.until("a snapshot to be asked for", 20_000, |stage| {
        stage.desk.truth().counters().rest_requests_by_path.contains_key(DEPTH_PATH)
    });
    let frames = stage.desk.truth().counters().frames_sent;
    let came = |name: &String| name.ends_with("@depth@100ms");
    assert!(frames.keys().any(came), "events are buffered before a snapshot is asked for: {frames:?}");
    // Neither is served before its snapshot has joined.
    assert_eq!(stage.refusal(&asks_for_book("BTCUSDT")).as_deref(), Some("not_live"));
    stage.until_live(&[BOOK], 20_000);
    stage.run_ms(5_000);
    let compared = stage.seen.compared;
    assert!(compared > 4, "{compared} whole books compared");

    // Now the answers do not come at all: the requests time out after twenty seconds and are made again.
    stage.run_ms(20_000);
    let asked = stage.desk.truth().counters().rest_requests_by_path[DEPTH_PATH];
    stage.fault("delay_rest delay_ms=600000 for_ms=15000");
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        stage.fault(&format!("break_depth_sequence symbol={symbol}"));
    }
    stage.until("both to be asked for again", 30_000, |stage| {
        stage.desk.truth().counters().rest_requests_by_path[DEPTH_PATH] >= asked + 2
    });
    stage.run_ms(15_000);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let told = stage.seen.state(symbol, BOOK);
        assert_eq!(told, Some((State::Resyncing, Reason::SequenceBreak)), "{symbol}");
    }
    // A request without its symbol, or with the other's, would end in a book that is never right.
    stage.until_live(&[BOOK], 30_000);
    stage.run_ms(5_000);
    assert!(stage.seen.compared > compared + 4);
    let counters = stage.desk.truth().counters();
    assert_eq!(counters.rest_requests_by_path[DEPTH_PATH], asked + 4, "two that failed, two that came");
    assert_eq!(counters.soft_errors, 0, "none was refused");
}

/// A break in the chain is told at once, from which id to which, and the book is not served until it is whole again.
#[test]
fn fault_04_pu_gap() {
    let mut stage = Scene::of(&["BTCUSDT", "ETHUSDT"], &[BOOK]).binance();
    stage.until_live(&[BOOK], 20_000);
    stage.run_ms(2_000);
    stage.seen.forget();
    let mut broken = 0;
    for events in [1, 7] {
        stage.fault(&format!("break_depth_sequence symbol=BTCUSDT events={events}"));
        let mut last = 0;
        stage.until("the break", 5_000, |stage| {
            // What the book stood at when it was broken.
            if stage.seen.lost.len() == broken {
                last = stage.seen.book_ids["BTCUSDT"];
            }
            stage.seen.lost.len() > broken
        });
        let lost = stage.seen.lost[broken].clone();
        broken += 1;
        assert_eq!(
            (lost.symbol.as_str(), lost.stream, lost.reason),
            ("BTCUSDT", BOOK, Reason::SequenceBreak)
        );
        assert!(lost.first == last + 1 && lost.last >= lost.first, "from id, to id: {lost:?} after {last}");
        // All that the venue changed in between lies within.
        let changes = stage.desk.truth().market().changes("BTCUSDT").unwrap();
        let missed = changes.iter().filter(|change| (lost.first..=lost.last).contains(&change.update_id));
        assert!(missed.count() > 0, "{lost:?}");
        assert_eq!(stage.seen.state("BTCUSDT", BOOK), Some((State::Resyncing, Reason::SequenceBreak)));
        assert_eq!(stage.refusal(&asks_for_book("BTCUSDT")).as_deref(), Some("not_live"));
        let (kind, data) = stage.ask(&asks_for_book("BTCUSDT").with("allow_stale", true));
        let marked = crate::stage::field(&data, "stale").and_then(|stale| stale.as_bool());
        assert_eq!((kind.as_str(), marked), ("orderbook_snapshot", Some(true)));
        let took = stage.until("it to be live", 10_000, |stage| stage.seen.is_live("BTCUSDT", BOOK));
        println!("{events} events lost: live again after {took} ms");
        stage.run_ms(3_000);
    }
    assert_eq!(stage.seen.lost.len(), broken, "one break, one gap");
    assert_eq!(stage.seen.told_of("ETHUSDT", BOOK), [], "the other book notices nothing");
    assert!(stage.seen.compared > 10);
}

/// What rests beyond the snapshot is unknown: it is not served, the book is seeded anew while the old one stays live,
/// and one that crosses is never served.
#[test]
fn fault_05_orders_beyond_the_snapshot() {
    let mut bench = Scripted::subscribed(&["BTCUSDT"]);
    // A full snapshot: what lies beyond its thousand levels nobody has said.
    let side = |from: i64, step: i64| levels((0..1000).map(|rank| (from + rank * step, "1")));
    bench.depth(1, 10, 0, "", "");
    let asked = bench.book_fetch();
    bench.answer(asked, snapshot(10, &side(9_999, -1), &side(10_001, 1)));
    assert_eq!(bench.statuses(BOOK).last(), Some(&LIVE));
    // An order beyond the horizon, told of, is not served: what lies between is unknown.
    bench.depth(11, 20, 10, r#"["8000","5"]"#, "");
    let beyond = |record: &Record<'_>| {
        record
            .book()
            .is_some_and(|book| book.bids.iter().any(|level| level.price.raw() <= 8_000 * 100_000_000))
    };
    let book = bench.whole_book(0);
    assert!(book.0.iter().all(|(price, _)| *price >= 9_000), "only what is inside is kept");
    // The market falls: bid after bid is taken, until fewer than half of what is to be served is left.
    bench.pass_ms(125_000, true);
    let mut id = 20;
    let mut reseed = None;
    for price in (9_100..10_000).rev() {
        bench.depth(id + 1, id + 5, id, &format!(r#"["{price}","0"]"#), "");
        id += 5;
        bench.pass_ms(20, true);
        reseed = bench.fetch().filter(|request| matches!(request.query, Query::Book { .. }));
        if reseed.is_some() {
            break;
        }
    }
    let reseed = reseed.expect("the horizon has come near: seeded anew");
    assert_eq!(bench.statuses(BOOK), [], "the old book stays live meanwhile");
    let before = bench.whole_book(0).0.len();
    assert!((100..=500).contains(&before), "{before} levels left inside");
    // It goes on while the new snapshot loads.
    bench.depth(id + 1, id + 5, id, r#"["9200","7"]"#, "");
    id += 5;
    assert_eq!(bench.whole_book(0).0.iter().find(|(price, _)| *price == 9_200), Some(&(9_200, 7)));
    let top = 10_000 - 1_000 + before as i64 - 500;
    bench.answer(reseed, snapshot(id, &side(top.min(9_490), -1), &side(10_001, 1)));
    assert_eq!(bench.statuses(BOOK), [], "and is not interrupted by it");
    let book = bench.whole_book(0).0;
    assert!(book.len() > 900 && book.iter().any(|(price, _)| *price < 9_000), "what was beyond is known now");
    // A book that crosses has missed something.
    bench.records();
    bench.depth(id + 1, id + 5, id, r#"["10005","1"]"#, "");
    let mut kinds = Vec::new();
    bench.drain(|record| {
        assert!(!beyond(&record));
        kinds.push(record.kind());
    });
    assert_eq!(kinds, [Kind::Gap, Kind::Status], "told, and nothing of it served");
    assert_eq!(bench.state(0, BOOK), (State::Resyncing, Reason::Crossed));
}

/// Snapshots from a cache, and slow ones, are asked for again with the buffer kept: the first that reaches it joins.
#[test]
fn fault_06_snapshot_does_not_overlap() {
    let mut stage = Scene::of(&["BTCUSDT"], &[BOOK]).binance();
    stage.run_ms(200);
    stage.fault("stale_snapshots symbol=BTCUSDT requests=5 age_ms=4000");
    let took = stage.until_live(&[BOOK], 20_000);
    let asked = stage.desk.truth().counters().rest_requests_by_path[DEPTH_PATH];
    println!("cached: live after {took} ms and {asked} snapshots");
    assert!(asked <= 6, "tried again, not in a hurry: {asked}");
    let old = |told: &Told| told.stream == BOOK && told.state == State::Live;
    assert_eq!(stage.seen.told.iter().filter(|told| old(told)).count(), 1, "live once, when it joined");
    // Answers made when asked for, and five seconds on their way: whoever throws the buffer away with each try
    // never joins one.
    stage.fault("delay_rest delay_ms=5000 for_ms=60000");
    stage.fault("stale_snapshots symbol=BTCUSDT requests=2 age_ms=3000");
    stage.fault("break_depth_sequence symbol=BTCUSDT");
    stage.seen.forget();
    stage.until("the break", 3_000, |stage| !stage.seen.is_live("BTCUSDT", BOOK));
    let broken = stage.seen.lost[0].last;
    let took = stage.until_live(&[BOOK], 30_000);
    println!("slow: live after {took} ms");
    assert!(took < 20_000, "three answers of five seconds each");
    assert_eq!(stage.seen.lost.len(), 1, "nothing was lost but what broke it: {:?}", stage.seen.lost);
    let id = stage.seen.book_ids["BTCUSDT"];
    let market = stage.desk.truth().market();
    let now = market.changes("BTCUSDT").unwrap().last().unwrap().update_id;
    assert!(id > broken && now - id < 500, "it stands where the stream stands: {id} of {now}");
    stage.run_ms(8_000);
    assert!(stage.seen.compared > 5, "{}", stage.seen.compared);
}

/// The futures' own rule: `pu` counts and `U` does not, an event at the snapshot's own id joins, quantities are
/// absolute and zero deletes, and a snapshot of another environment is never served.
#[test]
fn fault_07_spot_rule_on_futures() {
    // Of the venue's own stream, nearly no event begins where spot's rule wants it.
    let mut stage = Scene::of(&["BTCUSDT", "ETHUSDT"], &[BOOK]).binance();
    stage.until_live(&[BOOK], 20_000);
    stage.seen.forget();
    stage.run_ms(30_000);
    assert_eq!(stage.seen.told_of("BTCUSDT", BOOK), [], "no break is seen where none is");
    let ids: BTreeSet<u64> = stage
        .desk
        .venue()
        .market()
        .changes("BTCUSDT")
        .unwrap()
        .iter()
        .map(|change| change.update_id)
        .collect();
    let alone = ids.iter().filter(|id| !ids.contains(&(*id + 1))).count();
    assert!(alone * 3 > ids.len(), "ids are shared by all symbols: {alone} of {}", ids.len());

    // The snapshot stands exactly at a buffered event: spot drops that one and then waits for ever.
    let mut bench = Scripted::subscribed(&["BTCUSDT"]);
    bench.depth(1, 10, 0, r#"["100","1"]"#, "");
    bench.depth(15, 20, 10, r#"["100","2"],["97","0"]"#, "");
    let asked = bench.book_fetch();
    bench.depth(22, 30, 20, r#"["99","0"],["1","0"]"#, r#"["102","0"],["103","4"]"#);
    bench.answer(asked, snapshot(20, r#"["100","2"],["99","3"]"#, r#"["102","2"]"#));
    assert_eq!(bench.statuses(BOOK).last(), Some(&LIVE));
    assert_eq!(bench.whole_book(0), (vec![(100, 2)], vec![(103, 4)]), "zero deletes, absent levels too");
    // An event with nothing in it, and a one-sided one, are events.
    bench.depth(31, 40, 30, "", "");
    bench.depth(45, 50, 40, r#"["98","1"]"#, "");
    assert_eq!(bench.whole_book(0).0, [(100, 2), (98, 1)]);
    assert_eq!(bench.statuses(BOOK), []);
    // An event out of order is an ordinary event: told, repaired, no error to anybody.
    bench.depth(61, 70, 60, r#"["100","9"]"#, "");
    assert_eq!(bench.statuses(BOOK), [(State::Resyncing, Reason::SequenceBreak)]);

    // A snapshot whose ids the stream never reaches is of another environment.
    let asked = bench.book_fetch();
    bench.answer(asked, snapshot(9_000_000, r#"["100","2"]"#, r#"["102","2"]"#));
    let mut id = 70;
    let mut asked_again = 0;
    for _ in 0..600 {
        bench.depth(id + 1, id + 5, id, r#"["100","3"]"#, "");
        id += 5;
        bench.pass_ms(100, false);
        if let Some(again) = bench.fetch() {
            asked_again += 1;
            bench.answer(again, snapshot(9_000_000, r#"["100","2"]"#, r#"["102","2"]"#));
        }
        assert!(!bench.statuses(BOOK).contains(&LIVE), "a snapshot of other ids is served");
    }
    assert!((1..=30).contains(&asked_again), "{asked_again} in a minute");
    // The right one heals it.
    let asked = (0..200).find_map(|_| {
        bench.depth(id + 1, id + 5, id, r#"["100","3"]"#, "");
        id += 5;
        bench.pass_ms(100, false);
        bench.fetch()
    });
    bench.answer(asked.unwrap(), snapshot(id, r#"["100","2"]"#, r#"["102","2"]"#));
    assert_eq!(bench.statuses(BOOK).last(), Some(&LIVE));
    let text = depth("BTCUSDT", id + 1, id + 5, id, r#"["100","3"]"#, "");
    bench.message(0, &text);
    assert_eq!(bench.whole_book(0).0, [(100, 3)]);
}

/// Many books at once: one queue that knows the venue's weights; a refusal stops everything for as long as it says.
#[test]
fn fault_08_snapshot_storm() {
    const SYMBOLS: usize = 150;
    let mut scene = Scene::of(&[], &[BOOK]);
    let levels = scene.config.binance.market.book_levels;
    scene.config = sim::Config::universe(SYMBOLS + 1, 0);
    scene.config.binance.market.book_levels = levels;
    scene.config.binance.depth_interval_ms_min = 1_000;
    scene.config.binance.market.rate_exponent = 0.0;
    scene.book_levels_max = 256;
    let mut stage = scene.binance();
    let all_live = |stage: &mut crate::stage::Stage| stage.seen.live(BOOK) == SYMBOLS;
    let took = stage.until_coarse("150 first books", 400_000, all_live);
    println!("{SYMBOLS} books after {} s", took / 1000);
    stage.run_ms(2_000);
    for how in ["drop", "close"] {
        stage.fault(&format!("cut how={how}"));
        stage.run_ms(20);
        assert_eq!(stage.seen.live(BOOK), 0);
        // Twenty weight each, 1,800 a minute of which repairs get nearly all.
        let took = stage.until_coarse("all books again", 300_000, all_live);
        println!("cut ({how}): all again after {} s", took / 1000);
    }
    let counters = stage.desk.truth().counters();
    assert_eq!((counters.rest_429, counters.rest_418), (0, 0));
    assert!(counters.rest_weight_per_minute_max <= 2_400, "{}", counters.rest_weight_per_minute_max);
    assert!(counters.limit_violations.is_empty(), "{:?}", counters.limit_violations);

    // Another program at the same address has used the minute up: the first refusal stops everything.
    let other = |stage: &mut crate::stage::Stage| {
        stage.desk.venue().get("/fapi/v1/depth?symbol=BTCUSDT&limit=1000");
    };
    while stage.desk.truth().counters().rest_429 == 0 {
        other(&mut stage);
    }
    let refused = stage.desk.truth().counters().rest_429;
    stage.fault("cut");
    stage.until("the refusal", 30_000, |stage| stage.desk.truth().counters().rest_429 > refused);
    let asked = stage.desk.truth().counters().rest_requests;
    stage.run_ms(1_000);
    let late = stage.desk.truth().counters().rest_requests - asked;
    assert!(late <= 4, "what was on its way, and no more: {late}");
    let asked = stage.desk.truth().counters().rest_requests;
    let left_ms = 60_000 - stage.desk.now_ms() % 60_000;
    stage.run_ms(left_ms.saturating_sub(1_000));
    assert_eq!(stage.desk.truth().counters().rest_requests, asked, "silence until the venue allows");
    stage.until_coarse("all books once more", 400_000, all_live);
    assert_eq!(stage.desk.truth().counters().rest_418, 0, "never banned");
}
