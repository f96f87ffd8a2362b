//! Loading the past: how long it takes, what it costs, and that it is what happened.

use crate::bench::{Bench, Memory, START_MS};
use crate::market::{Market, QUARTER_MS};
use codec::words::{InstrumentStatus, Interval, Venue};
use engine::fetch::{FetchError, Priority, Query};
use std::collections::HashMap;

const USUAL: [(Interval, u32); 3] = [(Interval::M15, 2000), (Interval::H1, 2000), (Interval::H4, 1200)];
const SMALL: [(Interval, u32); 3] = [(Interval::M15, 100), (Interval::H1, 60), (Interval::H4, 40)];
const READY_MS: u64 = 10_000;

/// Wishes for every series of some symbols; all are there ten seconds later.
fn ready_soon(bench: &mut Bench, instruments: &[u32]) {
    for &instrument in instruments {
        for (interval, _) in bench.intervals.clone() {
            bench.wish(instrument, interval);
        }
    }
    bench.run(READY_MS);
    for &instrument in instruments {
        for (interval, count) in bench.intervals.clone() {
            assert!(bench.is_complete(instrument, interval), "{instrument} {interval} at {}", bench.now_ms());
            let one = bench.instruments[instrument as usize].clone();
            bench.check_series(&one, interval, count as usize);
        }
    }
}

#[test]
fn two_hundred_hyperliquid_symbols_from_nothing() {
    let mut bench = Bench::new(Market::new(1), &USUAL, Memory::default(), START_MS);
    bench.symbols(Venue::Hyperliquid, 200);
    // At once, in the middle of the first burst, right after it, and at many moments of the long load.
    ready_soon(&mut bench, &[150, 199]);
    let mut instrument = 198;
    for pause_ms in [0, 45_000, 61_300, 130_000, 400_000, 777_700, 500_000] {
        bench.run(60_000 + pause_ms);
        ready_soon(&mut bench, &[instrument, instrument - 1]);
        instrument -= 2;
    }
    bench.load(90 * 60_000);
    // Half the budget is left to whoever is in a hurry: an hour, of which nobody who asks notices anything.
    let minutes = (bench.now_ms() - START_MS) / 60_000;
    assert!((50..60).contains(&minutes), "{minutes}");
    bench.check();
    bench.check_weights();
    let spent = bench.weight_spent();
    assert!((25_000..32_000).contains(&spent), "{spent}");
    assert_eq!(bench.told("candle history loaded"), 1);
    assert!((11..400).contains(&bench.told("candle history: still loading")));

    // An hour later: the finest tail of each symbol, and nothing else.
    let mut bench = bench.restart(3_600_000);
    let asked: Vec<u32> = (100..115).collect();
    ready_soon(&mut bench, &asked);
    bench.load(15 * 60_000);
    bench.check();
    bench.check_weights();
    assert_eq!(bench.requests.len(), 200);
    assert!(
        bench
            .requests
            .iter()
            .all(|request| { matches!(request.query, Query::Candles { interval: Interval::M15, .. }) })
    );
    assert_eq!(bench.weight_spent(), 200 * 21);

    // Within the same quarter of an hour: nothing at all.
    let into_the_quarter = bench.now_ms() % QUARTER_MS;
    bench.run((QUARTER_MS - into_the_quarter) + 30_000);
    let mut bench = bench.restart(1_000);
    let took = bench.load(5_000);
    assert!(took <= 1_000, "{took}");
    bench.run(60_000);
    assert_eq!(bench.requests.len(), 0);
    bench.check();
}

#[test]
fn binance_pages_and_never_asks_for_more_than_it_may() {
    let mut bench = Bench::new(Market::new(2), &USUAL, Memory::default(), START_MS);
    bench.symbols(Venue::Binance, 60);
    bench.load(10 * 60_000);
    bench.check();
    bench.check_weights();
    let of_first = |request: &&engine::fetch::FetchRequest| request.instrument == 0;
    let pages: Vec<(Interval, u32)> = bench
        .requests
        .iter()
        .filter(of_first)
        .map(|request| match &request.query {
            Query::Candles { interval, limit, .. } => (*interval, *limit),
            other => panic!("{other:?}"),
        })
        .collect();
    // 2,001 quarters with the running one and sixteen before; of the longer what lies before the folded ones.
    assert_eq!(
        pages,
        [
            (Interval::M15, 1000),
            (Interval::M15, 1000),
            (Interval::M15, 17),
            (Interval::H1, 1000),
            (Interval::H4, 1000),
            (Interval::H1, 517),
            (Interval::H4, 92),
        ]
    );
    assert_eq!(bench.counters.rows_folded.load(std::sync::atomic::Ordering::Relaxed), 60 * (499 + 124));
}

#[test]
fn what_is_folded_is_what_would_have_been_fetched() {
    let fetched: Vec<_> = [Interval::H1, Interval::H4]
        .map(|interval| {
            let mut bench = Bench::new(Market::new(3), &[(interval, 60)], Memory::default(), START_MS);
            bench.symbols(Venue::Hyperliquid, 5);
            bench.load(60_000);
            (0..5).map(|instrument| bench.rows(instrument, interval)).collect::<Vec<_>>()
        })
        .into();
    let intervals = [(Interval::M15, 2000), (Interval::H1, 60), (Interval::H4, 60)];
    let mut bench = Bench::new(Market::new(3), &intervals, Memory::default(), START_MS);
    bench.symbols(Venue::Hyperliquid, 5);
    bench.load(60_000);
    assert_eq!(bench.requests.len(), 5, "the finest has all that is needed");
    for (at, interval) in [Interval::H1, Interval::H4].into_iter().enumerate() {
        for instrument in 0..5 {
            assert_eq!(bench.rows(instrument, interval), fetched[at][instrument as usize]);
        }
    }
}

#[test]
fn intervals_that_nothing_makes_are_fetched_at_the_venues_own_starts() {
    let intervals = [
        (Interval::H4, 100),
        (Interval::D1, 30),
        (Interval::D3, 20),
        (Interval::W1, 10),
        (Interval::Month1, 4),
    ];
    for venue in [Venue::Hyperliquid, Venue::Binance] {
        let market = Market { shift_ms: 86_400_000, ..Market::new(4) };
        let mut bench = Bench::new(market, &intervals, Memory::default(), START_MS);
        bench.symbols(venue, 3);
        bench.load(60_000);
        bench.check();
        let seed = bench.seeds[&(0, Interval::W1)];
        assert_eq!(seed.base, None);
        // Two days on nothing of the longer ones has ended, but in three.
        let mut bench = bench.restart(3 * 86_400_000);
        bench.load(60_000);
        bench.check();
        let asked = |of| {
            let of_interval =
                |query: &Query| matches!(query, Query::Candles { interval, .. } if *interval == of);
            bench.requests.iter().filter(|request| of_interval(&request.query)).count()
        };
        assert_eq!((asked(Interval::H4), asked(Interval::D1), asked(Interval::Month1)), (3, 0, 0));
        assert_eq!(asked(Interval::D3), 3);
    }
}

#[test]
fn a_new_listing_is_complete_with_what_it_has() {
    let listed_ms = START_MS / QUARTER_MS * QUARTER_MS - 21 * QUARTER_MS;
    for venue in [Venue::Hyperliquid, Venue::Binance] {
        let market = Market { listed: Some(("NEW", listed_ms)), ..Market::new(5) };
        let mut bench = Bench::new(market, &SMALL, Memory::default(), START_MS);
        let new = bench.instrument(venue, "NEW", InstrumentStatus::Trading);
        bench.symbols(venue, 2);
        bench.load(30_000);
        bench.check();
        assert!((19..=21).contains(&bench.rows(new, Interval::M15).len()));
        // Its four hours began before it did: what is known of the running one begins with the listing or later.
        let seed = bench.seeds[&(new, Interval::H4)];
        assert_eq!(seed.last, *bench.rows(new, Interval::H4).last().unwrap());
        // That the venue has no more is remembered.
        let mut bench = bench.restart(1_000);
        bench.load(5_000);
        assert_eq!(bench.requests.len(), 0);
        bench.check();
    }
}

#[test]
fn the_engine_is_told_where_each_series_stands() {
    let mut bench = Bench::new(Market::new(6), &SMALL, Memory::default(), START_MS);
    bench.symbols(Venue::Hyperliquid, 4);
    bench.load(30_000);
    for again in [false, true] {
        let now_ms = bench.now_ms();
        for one in &bench.instruments {
            for (interval, _) in SMALL {
                let seed = bench.seeds[&(one.number, interval)];
                assert_eq!(seed.last, bench.market.closed(&one.name, interval, 1, now_ms)[0], "{again}");
                let start_ms = interval.start_ms_of(now_ms);
                let until_ms = now_ms / QUARTER_MS * QUARTER_MS;
                if interval == Interval::M15 || start_ms == until_ms {
                    assert_eq!(seed.base, None);
                    continue;
                }
                let (base, end_ms) = seed.base.unwrap();
                assert_eq!((base.start_ms, end_ms), (start_ms, until_ms), "{interval}");
                let quarters = || {
                    (start_ms / QUARTER_MS..until_ms / QUARTER_MS).map(|quarter| {
                        bench.market.candle(&one.name, Interval::M15, quarter * QUARTER_MS).unwrap()
                    })
                };
                assert_eq!(base.volume.raw(), quarters().map(|quarter| quarter.volume.raw()).sum::<i128>());
                assert_eq!(base.close, quarters().next_back().unwrap().close);
                assert_eq!(base.num_trades, quarters().map(|quarter| quarter.num_trades).sum::<u64>());
            }
        }
        if !again {
            bench = bench.restart(2_000_000);
            bench.load(30_000);
        }
    }
}

#[test]
fn a_wish_overtakes_what_waits() {
    let mut bench = Bench::new(Market::new(7), &USUAL, Memory::default(), START_MS);
    // Known to the server before it is known here.
    bench.wish(149, Interval::H4);
    bench.wish(149, Interval::M1);
    bench.symbols(Venue::Hyperliquid, 150);
    bench.run(5_000);
    let first: Vec<(u32, Priority)> =
        bench.requests.iter().map(|request| (request.instrument, request.priority)).take(2).collect();
    assert_eq!(first[0], (149, Priority::Asked));
    assert_eq!(first[1].1, Priority::Background);
    assert!(bench.is_complete(149, Interval::H4) && bench.is_complete(149, Interval::M15));
    // One that waits in the background is asked for once more.
    bench.run(20_000);
    let waiting = bench
        .requests
        .iter()
        .rev()
        .find(|request| !bench.is_complete(request.instrument, Interval::M15))
        .unwrap()
        .instrument;
    bench.wish(waiting, Interval::M15);
    bench.run(3_000);
    assert!(bench.is_complete(waiting, Interval::M15));
    bench.load(80 * 60_000);
    bench.check();
    bench.check_weights();
}

#[test]
fn the_background_is_only_a_few_requests_deep() {
    let mut bench = Bench::new(Market::new(8), &USUAL, Memory::default(), START_MS);
    bench.symbols(Venue::Hyperliquid, 100);
    bench.run(50_000);
    // What half a minute's budget allows is done, and eight wait.
    let done = bench.counters.rows_fetched.load(std::sync::atomic::Ordering::Relaxed);
    assert!(done > 0 && bench.requests.len() <= 8 + 12, "{}", bench.requests.len());
}

#[test]
fn failures_are_tried_again_at_once_and_refusals_later() {
    let mut bench = Bench::new(Market::new(9), &SMALL, Memory::default(), START_MS);
    bench.symbols(Venue::Binance, 8);
    let mut tries: HashMap<u32, u32> = HashMap::new();
    bench.script = Box::new(move |request, _| {
        let tries = tries.entry(request.instrument).or_default();
        *tries += 1;
        match (request.instrument, *tries) {
            (0, ..=3) => Some(FetchError::Transient("cut".into())),
            (1, ..=2) => Some(FetchError::RateLimited { retry_after_ms: 7_000 }),
            (2, ..=3) => Some(FetchError::Permanent { status: 200, code: 0, message: "not JSON".into() }),
            (3, ..=5) => Some(FetchError::Overflow),
            (4, _) => Some(FetchError::Permanent { status: 400, code: -1121, message: "unknown".into() }),
            (5, _) => Some(FetchError::Permanent { status: 200, code: 0, message: "never JSON".into() }),
            _ => None,
        }
    });
    bench.load(500_000);
    for one in &bench.instruments {
        if [4, 5].contains(&one.number) {
            assert!(bench.rows(one.number, Interval::M15).is_empty());
        } else {
            for (interval, count) in SMALL {
                bench.check_series(one, interval, count as usize);
            }
        }
    }
    assert_eq!((bench.told("refused"), bench.told("no candle history")), (6, 6));
    let asked = |instrument| bench.requests.iter().filter(|request| request.instrument == instrument).count();
    assert_eq!(asked(4), 9, "three for each series");
    assert_eq!(asked(5), 36);
    // What the engine closes from now on is kept all the same.
    bench.run(QUARTER_MS);
    assert_eq!(bench.files.rows(Venue::Binance, "SYM4", Interval::M15).len(), 1);
}

#[test]
fn a_delisted_symbol_is_left_alone_and_a_listed_one_waits_for_the_list() {
    let mut bench = Bench::new(Market::new(10), &SMALL, Memory::default(), START_MS);
    let gone = bench.instrument(Venue::Hyperliquid, "GONE", InstrumentStatus::Delisted);
    let early = bench.instrument(Venue::Hyperliquid, "EARLY", InstrumentStatus::Halted);
    bench.run(5_000);
    assert_eq!(bench.requests.len(), 0);
    // The list says: halted, but listed.
    bench.instrument(Venue::Hyperliquid, "EARLY", InstrumentStatus::Halted);
    bench.load(10_000);
    assert!(bench.is_complete(early, Interval::H4) && !bench.served.contains_key(&(gone, Interval::M15)));
    // It does not trade, so silence is no fault.
    bench.closes = Box::new(|_, _, _| false);
    let asked = bench.requests.len();
    bench.run(2 * 3_600_000);
    assert_eq!(bench.requests.len(), asked);
    // Delisted in the middle of its load: what comes then finds nobody.
    let late = bench.instrument(Venue::Hyperliquid, "LATE", InstrumentStatus::Trading);
    bench.step();
    bench.step();
    bench.instrument(Venue::Hyperliquid, "LATE", InstrumentStatus::Delisted);
    bench.run(5_000);
    assert!(!bench.served.contains_key(&(late, Interval::M15)));
    assert_eq!(bench.counters.series_total.load(std::sync::atomic::Ordering::Relaxed), 3);
    // And listed again.
    bench.instrument(Venue::Hyperliquid, "LATE", InstrumentStatus::Trading);
    bench.load(10_000);
    assert!(bench.is_complete(late, Interval::H4));
}

#[test]
fn history_begins_after_a_value_that_cannot_be_carried() {
    let quarter_ms = START_MS / QUARTER_MS * QUARTER_MS - 30 * QUARTER_MS;
    let market = Market { unrepresentable_ms: Some(quarter_ms), ..Market::new(11) };
    let intervals = [(Interval::M15, 100)];
    let mut bench = Bench::new(market, &intervals, Memory::default(), START_MS);
    bench.symbols(Venue::Binance, 1);
    bench.load(10_000);
    let rows = bench.rows(0, Interval::M15);
    assert_eq!(rows.len(), 29);
    assert_eq!(rows[0].start_ms, quarter_ms + QUARTER_MS);
    assert_eq!(bench.told("more digits"), 1);
}
