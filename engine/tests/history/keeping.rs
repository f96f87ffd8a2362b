//! Keeping up: silence and holes, corrections, restarts, files that are wrong and disks that are full.

use crate::bench::{Bench, Memory, START_MS};
use crate::market::{Market, QUARTER_MS};
use codec::candle::Candle;
use codec::decimal::Volume;
use codec::words::{Interval, Venue};
use engine::fetch::{FetchError, Priority, Query};
use std::cell::Cell;
use std::rc::Rc;

const SMALL: [(Interval, u32); 3] = [(Interval::M15, 100), (Interval::H1, 60), (Interval::H4, 40)];
const HOUR_MS: u64 = 3_600_000;

/// A bench with everything loaded.
fn loaded(seed: u64, venue: Venue, symbols: usize) -> Bench {
    let mut bench = Bench::new(Market::new(seed), &SMALL, Memory::default(), START_MS);
    bench.symbols(venue, symbols);
    bench.load(10 * 60_000);
    bench
}

/// The newest closed candle, as it looked before its last trades.
fn short_of(candle: Candle) -> Candle {
    Candle {
        volume: Volume::from_raw(candle.volume.raw() - 1),
        num_trades: candle.num_trades - 1,
        close: candle.open,
        ..candle
    }
}

/// The start of the newest closed quarter that had trades and is followed by so many.
fn traded_quarter(bench: &Bench, symbol: &str, back: u64) -> Candle {
    let rows = bench.market.closed(symbol, Interval::M15, 20, bench.now_ms());
    *rows[..rows.len() - back as usize].iter().rev().find(|row| row.num_trades > 2).unwrap()
}

#[test]
fn what_the_engine_does_not_close_is_fetched_after_a_while() {
    for venue in [Venue::Hyperliquid, Venue::Binance] {
        let mut bench = loaded(1, venue, 6);
        let asked = bench.requests.len();
        // One closes nothing, one only the finest, the others everything.
        bench.closes = Box::new(|instrument, interval, _| match instrument {
            0 => false,
            1 => interval == Interval::M15,
            _ => true,
        });
        bench.run(9 * HOUR_MS + 120_000);
        bench.check();
        bench.check_weights();
        let new = &bench.requests[asked..];
        assert!(
            new.iter().all(|request| request.instrument == 0 && request.priority == Priority::Background)
        );
        // Where the finest is known, the others are folded from it.
        assert!(
            new.iter().all(|request| matches!(request.query, Query::Candles { interval: Interval::M15, .. }))
        );
        assert!((36..45).contains(&new.len()), "{}", new.len());
    }
}

#[test]
fn a_hole_is_filled_as_soon_as_it_shows() {
    let mut bench = loaded(2, Venue::Hyperliquid, 3);
    // Two quarters are lost; the third shows it.
    let lost = Rc::new(Cell::new(0u64));
    let counted = Rc::clone(&lost);
    bench.closes = Box::new(move |instrument, interval, start_ms| {
        let is_lost = instrument == 1 && interval == Interval::M15 && start_ms < START_MS + 2 * QUARTER_MS;
        counted.set(counted.get() + u64::from(is_lost));
        !is_lost
    });
    bench.script = Box::new(|_, now_ms| {
        (now_ms < START_MS + 3 * QUARTER_MS - 700_000).then(|| FetchError::Transient("down".into()))
    });
    bench.run(4 * QUARTER_MS);
    assert!(lost.get() >= 2);
    bench.check();
}

#[test]
fn a_correction_reaches_the_file() {
    let mut bench = loaded(3, Venue::Hyperliquid, 2);
    let truth = |bench: &Bench| traded_quarter(bench, "SYM0", 0);
    // Everything ends short and is put right a little later, as Hyperliquid's do.
    bench.closes = Box::new(|instrument, _, _| instrument != 0);
    for _ in 0..8 {
        bench.run(QUARTER_MS - bench.now_ms() % QUARTER_MS + 3_000);
        for (interval, _) in SMALL {
            let closed = bench.market.closed("SYM0", interval, 1, bench.now_ms())[0];
            if interval.next_start_ms(closed.start_ms) + 10_000 < bench.now_ms() {
                continue;
            }
            if closed.num_trades == 0 {
                bench.close(0, interval, closed, false);
                continue;
            }
            bench.close(0, interval, short_of(closed), false);
            bench.run(1_000);
            bench.close(0, interval, closed, true);
        }
    }
    let asked = bench.requests.len();
    bench.run(10_000);
    bench.check();
    assert_eq!(bench.requests.len(), asked);
    // A correction of something long past is written as well.
    let old = traded_quarter(&bench, "SYM0", 10);
    let corrected = Candle { num_trades: old.num_trades + 1, ..old };
    bench.close(0, Interval::M15, corrected, true);
    assert!(bench.files.rows(Venue::Hyperliquid, "SYM0", Interval::M15).contains(&corrected));
    // The engine's own close, after REST brought the final values, is no correction.
    let last = truth(&bench);
    bench.close(0, Interval::M15, short_of(last), false);
    assert!(bench.files.rows(Venue::Hyperliquid, "SYM0", Interval::M15).contains(&last));
}

#[test]
fn a_close_that_was_short_when_the_daemon_ended_is_no_other_market() {
    let mut bench = loaded(4, Venue::Hyperliquid, 20);
    bench.closes = Box::new(|_, _, _| false);
    bench.run(QUARTER_MS - bench.now_ms() % QUARTER_MS + 3_000);
    for instrument in 0..20 {
        let name = bench.instruments[instrument as usize].name.clone();
        for (interval, _) in SMALL {
            let closed = bench.market.closed(&name, interval, 1, bench.now_ms())[0];
            if interval.next_start_ms(closed.start_ms) + 10_000 > bench.now_ms() {
                let short = if closed.num_trades > 2 { short_of(closed) } else { closed };
                bench.close(instrument, interval, short, false);
            }
        }
    }
    // Three seconds after a quarter's end: that quarter is not final yet, and is waited for.
    let mut bench = bench.restart(HOUR_MS);
    bench.load(60_000);
    assert_eq!((bench.requests.len(), bench.told("loaded anew")), (20, 0));
    bench.run(90_000);
    assert_eq!((bench.requests.len(), bench.told("loaded anew")), (20, 0));
    for one in &bench.instruments {
        bench.check_series(one, Interval::M15, 100);
    }
}

#[test]
fn another_markets_files_are_replaced() {
    let bench = loaded(5, Venue::Binance, 4);
    let mut bench = bench.restart(2 * HOUR_MS);
    bench.market.seed = 6;
    // The new market is younger than the file: nothing of the old one may be left before it.
    bench.market.listed = Some(("SYM2", START_MS / QUARTER_MS * QUARTER_MS - 30 * QUARTER_MS));
    bench.load(60_000);
    bench.check();
    for (interval, _) in SMALL {
        let served = &bench.served[&(2, interval)];
        let truth = bench.market.closed("SYM2", interval, 1000, bench.now_ms());
        assert_eq!(served.rows.values().copied().collect::<Vec<_>>(), truth);
    }
    assert_eq!(bench.told("loaded anew"), 4);
    let mut bench = bench.restart(1_000);
    bench.load(5_000);
    assert_eq!((bench.requests.len(), bench.told("loaded anew")), (0, 0));
}

#[test]
fn a_full_disk_costs_only_what_is_fetched_again() {
    // Full from the beginning.
    let files = Memory::default();
    *files.writes_left.lock().unwrap() = Some(0);
    let mut bench = Bench::new(Market::new(7), &SMALL, files.clone(), START_MS);
    bench.symbols(Venue::Binance, 3);
    bench.load(60_000);
    bench.run(2 * HOUR_MS);
    for one in &bench.instruments {
        assert_eq!(
            bench.rows(one.number, Interval::M15),
            bench.market.closed(&one.name, Interval::M15, 100, bench.now_ms())
        );
    }
    assert!(bench.told("cannot be written") > 0);
    *files.writes_left.lock().unwrap() = None;
    let mut bench = bench.restart(1_000);
    bench.load(60_000);
    bench.check();
    // Full for a while: what was refused goes with the next.
    *files.writes_left.lock().unwrap() = Some(0);
    bench.run(HOUR_MS);
    *files.writes_left.lock().unwrap() = None;
    bench.run(HOUR_MS);
    bench.check_series(&bench.instruments[0], Interval::M15, 100);
    // Full for so long that the file is left alone: the next start has its rows up to then, and a tail.
    *files.writes_left.lock().unwrap() = Some(0);
    bench.run(70 * QUARTER_MS);
    *files.writes_left.lock().unwrap() = None;
    bench.run(HOUR_MS);
    let mut bench = bench.restart(1_000);
    bench.load(60_000);
    bench.check();
    assert!(bench.requests.len() <= 3);
}

#[test]
fn files_are_compacted() {
    let mut bench = loaded(8, Venue::Binance, 1);
    let mut most = 0;
    for _ in 0..30 {
        bench.run(10 * QUARTER_MS);
        most = most.max(bench.files.written(Venue::Binance, "SYM0", Interval::M15));
    }
    assert!((190..=201).contains(&most), "{most}");
    bench.check();
    let mut bench = bench.restart(1_000);
    bench.load(10_000);
    assert_eq!(bench.requests.len(), 0);
}

#[test]
fn a_file_that_lost_its_beginning_is_fetched_whole_and_serves_if_nothing_comes() {
    for refused in [false, true] {
        let bench = loaded(9, Venue::Hyperliquid, 2);
        for (_, (_, rows)) in bench.files.series.lock().unwrap().iter_mut() {
            // A hole thirty rows from the end, as damage leaves it.
            let at = rows.len() - 30;
            rows.remove(at);
        }
        let mut bench = bench.restart(1_000);
        if refused {
            bench.script =
                Box::new(|_, _| Some(FetchError::Permanent { status: 500, code: 0, message: "null".into() }));
        }
        bench.load(300_000);
        if refused {
            assert_eq!(bench.rows(0, Interval::M15).len(), 29);
            assert_eq!(bench.told("refused"), 6);
        } else {
            bench.check();
            let mut bench = bench.restart(1_000);
            bench.load(60_000);
            assert_eq!(bench.requests.len(), 0);
        }
    }
}

#[test]
fn after_a_month_everything_is_fetched_anew() {
    let mut bench = loaded(10, Venue::Hyperliquid, 2).restart(30 * 24 * HOUR_MS);
    bench.load(60_000);
    bench.check();
    // Of another interval the file may still hold what is kept.
    let mut bench = loaded(10, Venue::Hyperliquid, 2).restart(50 * HOUR_MS);
    bench.load(60_000);
    bench.check();
}

#[test]
fn an_interval_more_or_less_is_no_trouble() {
    let bench = loaded(11, Venue::Hyperliquid, 3);
    let names: Vec<_> = bench.instruments.iter().map(|one| one.name.clone()).collect();
    let (market, files, at_ms) = (bench.market.clone(), bench.files.clone(), bench.now_ms());
    // A finer one is new, one is gone, one keeps more.
    let intervals = [(Interval::M15, 100), (Interval::H4, 90), (Interval::D1, 10)];
    let mut bench = Bench::new(market, &intervals, files, at_ms + 1_000);
    for name in &names {
        bench.instrument(Venue::Hyperliquid, name, codec::words::InstrumentStatus::Trading);
    }
    bench.load(60_000);
    bench.check();
    assert!(
        !bench
            .requests
            .iter()
            .any(|request| matches!(request.query, Query::Candles { interval: Interval::M15, .. }))
    );
}

/// Days of closes lost, requests failing, restarts at any time: once it is quiet, what is served and stored is
/// what happened.
#[test]
fn whatever_happens_it_ends_well() {
    let seeds: u64 = std::env::var("HISTORY_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(12);
    for seed in 0..seeds {
        let venue = if seed % 2 == 0 { Venue::Hyperliquid } else { Venue::Binance };
        let mut bench =
            Bench::new(Market::new(100 + seed), &SMALL, Memory::default(), START_MS + seed * 77_777);
        if seed % 3 == 0 {
            // Requests wait for minutes: what is asked is answered in another period.
            bench.limit(if venue == Venue::Binance { 12 } else { 120 });
        }
        bench.symbols(venue, 5);
        let mut dice = seed;
        let mut roll = move |below: u64| {
            dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (dice >> 33) % below
        };
        for round in 0..6 {
            let (lossy, failing) = (roll(3), roll(3));
            let mut closing = roll(1 << 30);
            bench.closes = Box::new(move |instrument, interval, start_ms| {
                closing = closing.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ start_ms ^ u64::from(instrument);
                lossy == 0 || !((closing >> 20) + u64::from(interval.number())).is_multiple_of(lossy + 1)
            });
            let mut request_number = roll(100);
            bench.script = Box::new(move |_, _| {
                request_number += 1;
                match (failing, request_number % 7) {
                    (0, _) => None,
                    (_, 0..3) => Some(FetchError::Transient("cut".into())),
                    (_, 3) => Some(FetchError::RateLimited { retry_after_ms: 20_000 }),
                    (2, 4) => Some(FetchError::Overflow),
                    _ => None,
                }
            });
            for _ in 0..roll(4) {
                bench.wish(roll(5) as u32, SMALL[roll(3) as usize].0);
            }
            bench.run(roll(5 * HOUR_MS) / 1000 * 1000 + 1000);
            if round < 5 && roll(2) == 0 {
                bench = bench.restart(roll(4) * roll(3 * HOUR_MS));
            }
        }
        // Quiet: everything is closed, nothing fails.
        bench.closes = Box::new(|_, _, _| true);
        bench.script = Box::new(|_, _| None);
        bench.run(2 * HOUR_MS);
        bench.check();
        bench.check_weights();
    }
}
