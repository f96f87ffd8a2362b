//! What is not certain: periods that ended just now, periods known in part, answers without rows, clocks that
//! are wrong, and where a market began.

use crate::bench::{Bench, Memory, START_MS};
use crate::market::{Market, QUARTER_MS};
use codec::words::{InstrumentStatus, Interval, Venue};
use engine::fetch::{FetchError, FetchRequest, Query};

const SMALL: [(Interval, u32); 3] = [(Interval::M15, 100), (Interval::H1, 60), (Interval::H4, 40)];
const VENUES: [Venue; 2] = [Venue::Hyperliquid, Venue::Binance];
const HOUR_MS: u64 = 3_600_000;
/// A quarter, an hour and four hours end.
const NOON_MS: u64 = START_MS / (4 * HOUR_MS) * (4 * HOUR_MS) + 4 * HOUR_MS;

fn is_of(request: &FetchRequest, of: Interval) -> bool {
    matches!(request.query, Query::Candles { interval, .. } if interval == of)
}

fn asked(bench: &Bench, of: Interval) -> usize {
    bench.requests.iter().filter(|request| is_of(request, of)).count()
}

#[test]
fn what_ended_just_now_is_waited_for() {
    for venue in VENUES {
        for (after_ms, closes) in [(100, false), (3_000, false), (9_500, false), (100, true), (1_500, true)] {
            let mut bench = Bench::new(Market::new(1), &SMALL, Memory::default(), NOON_MS + after_ms);
            bench.closes = Box::new(move |_, _, _| closes);
            bench.symbols(venue, 3);
            let took_ms = bench.load(15_000);
            bench.check();
            assert!(took_ms + after_ms <= if closes { 4_000 } else { 12_500 }, "{took_ms}");
            // From the files, too, and with one request.
            let passed_ms = bench.now_ms() - NOON_MS;
            let mut bench = bench.restart(HOUR_MS - passed_ms + after_ms);
            bench.closes = Box::new(move |_, _, _| closes);
            bench.load(15_000);
            bench.check();
            assert!(bench.requests.len() <= 3);
        }
    }
}

#[test]
fn a_period_known_in_part_is_not_vouched_for() {
    let intervals = [(Interval::M15, 20), (Interval::H1, 60), (Interval::H4, 40), (Interval::D1, 10)];
    for venue in VENUES {
        let mut bench = Bench::new(Market::new(2), &intervals, Memory::default(), START_MS);
        bench.symbols(venue, 2);
        bench.load(60_000);
        bench.run(5_000);
        // Twenty quarters reach back to the start of the hour and of the four hours, not of the day.
        let is_seeded = |bench: &Bench| intervals.map(|(of, _)| bench.seeds.contains_key(&(0, of)));
        assert_eq!(is_seeded(&bench), [true, true, true, false]);
        // The next day is known from its start.
        bench.run(12 * HOUR_MS + 28 * 60_000);
        assert_eq!(is_seeded(&bench), [true, true, true, true]);
        bench.check();
    }
}

#[test]
fn a_seed_waits_for_the_finest_rows() {
    // The finest is loaded, the others are only some quarters later: by then a quarter is missing for a while.
    let mut bench = Bench::new(Market::new(3), &SMALL, Memory::default(), NOON_MS + 2 * QUARTER_MS - 60_000);
    bench.script = Box::new(|request, now_ms| {
        let is_late = !is_of(request, Interval::M15) && now_ms < NOON_MS + 2 * QUARTER_MS + 4_000;
        is_late.then(|| FetchError::Transient("down".into()))
    });
    bench.closes = Box::new(|_, _, _| false);
    bench.symbols(Venue::Hyperliquid, 2);
    bench.run(60_000 + 70_000);
    assert!(bench.is_complete(0, Interval::H4));
    bench.run(60_000);
    // The bench looks at every seed.
    assert_eq!(bench.seeds.len(), 6);
    bench.check();
}

#[test]
fn a_load_without_rows_is_made_again() {
    for venue in VENUES {
        for refused in [false, true] {
            for until_ms in [90_000, 1_500_000] {
                let mut bench = Bench::new(Market::new(4), &SMALL, Memory::default(), START_MS);
                let is_vain = move |now_ms: u64| now_ms < START_MS + until_ms;
                if refused {
                    bench.script = Box::new(move |_, now_ms| {
                        let error =
                            FetchError::Permanent { status: 451, code: 0, message: "not here".into() };
                        is_vain(now_ms).then_some(error)
                    });
                } else {
                    bench.empty = Box::new(move |_, now_ms| is_vain(now_ms));
                }
                bench.symbols(venue, 2);
                bench.run(85_000);
                assert!(!bench.is_complete(0, Interval::M15));
                assert!(bench.requests.len() <= 4);
                let took_ms = bench.load(300_000);
                if until_ms == 90_000 {
                    assert!(took_ms < 60_000, "{took_ms}");
                    assert_eq!(bench.told("no candle history"), 0);
                } else {
                    // It counts as complete with nothing, and the rows come later all the same.
                    assert_eq!(bench.told("no candle history"), 6);
                    assert!(bench.rows(0, Interval::H4).is_empty());
                    bench.run(1_500_000 + 700_000);
                }
                bench.check();
                let mut bench = bench.restart(1_000);
                bench.load(15_000);
                assert_eq!(bench.requests.len(), 0);
            }
        }
    }
}

#[test]
fn of_a_new_listing_nothing_is_an_answer() {
    let listed_ms = START_MS / QUARTER_MS * QUARTER_MS - 2 * QUARTER_MS;
    for venue in VENUES {
        let market = Market { listed: Some(("NEW", listed_ms)), ..Market::new(5) };
        let mut bench = Bench::new(market, &SMALL, Memory::default(), START_MS);
        bench.empty = Box::new(|request, _| !is_of(request, Interval::M15));
        let new = bench.instrument(venue, "NEW", InstrumentStatus::Trading);
        bench.load(10_000);
        assert!(bench.rows(new, Interval::H4).is_empty());
        let requests = bench.requests.len();
        bench.run(600_000);
        assert_eq!(bench.requests.len(), requests);
        // Nobody says that its first four hours have ended: that is asked as well.
        bench.closes = Box::new(|_, interval, _| interval == Interval::M15);
        bench.empty = Box::new(|_, _| false);
        bench.run(NOON_MS + 120_000 - bench.now_ms());
        assert_eq!(bench.rows(new, Interval::H4).len(), 1);
        assert!((1..4).contains(&asked(&bench, Interval::H4)));
    }
}

#[test]
fn a_clock_that_is_wrong_makes_no_row_of_a_running_period() {
    for venue in VENUES {
        for ahead_min in [1, 5, 16, 40, -1, -5, -16, -40, -200] {
            let mut bench = Bench::new(Market::new(6), &SMALL, Memory::default(), START_MS);
            bench.ahead_ms = ahead_min * 60_000;
            bench.symbols(venue, 2);
            // The bench looks at every row that is served.
            bench.load(30_000);
            if ahead_min > 0 {
                bench.check();
            }
            assert!(bench.seeds[&(0, Interval::M15)].last.start_ms + QUARTER_MS <= bench.now_ms());
            bench.run(5 * HOUR_MS);
            bench.check();
            bench.check_weights();
        }
    }
}

#[test]
fn the_newest_row_of_a_market_that_sleeps_is_not_lost() {
    // The last trades were an hour ago, and nobody closes anything.
    let quiet_ms = (START_MS / QUARTER_MS * QUARTER_MS - 2 * QUARTER_MS, u64::MAX);
    let market = Market { quiet_ms, ..Market::new(7) };
    let mut bench = Bench::new(market, &[(Interval::M15, 100)], Memory::default(), START_MS);
    bench.closes = Box::new(|_, _, _| false);
    bench.symbols(Venue::Hyperliquid, 1);
    bench.load(30_000);
    bench.run(2 * HOUR_MS);
    let newest = bench.market.candle("SYM0", Interval::M15, quiet_ms.0 - QUARTER_MS).unwrap();
    assert!(bench.rows(0, Interval::M15).contains(&newest));
}

#[test]
fn where_a_venue_keeps_no_more_is_no_origin() {
    let intervals = [(Interval::M15, 5_000), (Interval::H1, 2_000)];
    let mut bench = Bench::new(Market::new(8), &intervals, Memory::default(), START_MS);
    bench.symbols(Venue::Hyperliquid, 1);
    bench.load(60_000);
    assert_eq!(bench.rows(0, Interval::M15).len(), 4_999);
    bench.check_series(&bench.instruments[0], Interval::H1, 2_000);
    let origin = |bench: &Bench, of| {
        bench.files.series.lock().unwrap()[&(Venue::Hyperliquid, "SYM0".to_owned(), of)].0
    };
    assert_eq!((origin(&bench, Interval::M15), origin(&bench, Interval::H1)), (0, 0));
    // Nor is a silence that the venue leaves out: longer candles lie before it.
    let oldest_ms = START_MS / QUARTER_MS * QUARTER_MS - 100 * QUARTER_MS;
    let quiet_ms = (oldest_ms - 40 * QUARTER_MS, oldest_ms + 10 * QUARTER_MS);
    let market = Market { quiet_ms, ..Market::new(9) };
    let mut bench = Bench::new(market, &SMALL, Memory::default(), START_MS);
    bench.symbols(Venue::Hyperliquid, 1);
    bench.load(60_000);
    assert!(bench.rows(0, Interval::M15).len() < 95);
    bench.check_series(&bench.instruments[0], Interval::H1, 60);
    bench.check_series(&bench.instruments[0], Interval::H4, 40);
}
