//! What the daemon holds in memory with a hundred busy symbols, everything carried and every history full.
//!
//! `docs/memory.md` says where it goes. The markets here are busy enough that trades and quotes fill what is kept of
//! them within a minute; once-a-second books take a hundred seconds, and what they still grow is allowed for.

mod system;

use sim::Config;
use sim::market::{MarketConfig, Venue, list};
use slipstream_client::{Client, Value, request};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use system::{Choice, Desk, wait_for, wait_long_for};

const SEED: u64 = 20_261_122;
const INTERVALS: [(&str, u64); 3] = [("15m", 2_000), ("1h", 2_000), ("4h", 1_200)];
const KEPT: u64 = 1_000;
/// What is promised.
const RESIDENT_KIB_MAX: u64 = 300_000_000 / 1024;
/// Half a minute of it may add: once-a-second books of a hundred symbols take 70 KiB a second until they are full.
const GROWTH_KIB_MAX: u64 = 6 * 1024;
/// Filling takes fifty seconds by the markets' rates, and three times as long on a machine that cannot keep up.
const FILLED: Duration = Duration::from_secs(150);
const WATCHED: Duration = Duration::from_secs(30);

/// Symbols of a venue that trade.
fn names(venue: Venue, count: usize) -> Vec<String> {
    let all = list(venue, count + 1, 1, SEED).into_iter();
    all.filter(|instrument| instrument.trading).map(|instrument| instrument.symbol).collect()
}

fn busy(market: &mut MarketConfig, symbols: usize) {
    market.symbols = symbols + 1;
    market.rate_per_s = 80.0;
    market.trade_share = 0.4;
    // Nobody asks for the truth here.
    (market.retention_ms, market.segment_changes) = (10_000, 512);
}

fn ask(client: &mut Client, question: &str, venue: &str, symbol: &str, count: u64) -> Vec<Value> {
    match client.request(&request(question).venue(venue).symbol(symbol).with("count", count)) {
        Ok((_, Value::Array(rows))) => rows,
        other => panic!("{question} {venue} {symbol}: {other:?}"),
    }
}

/// Whether all candles of a symbol are there; then as many as are kept, and the one that runs.
fn has_candles(client: &mut Client, venue: &str, symbol: &str) -> bool {
    INTERVALS.iter().all(|&(interval, kept)| {
        let question = request("get_candles").venue(venue).symbol(symbol).with("interval", interval);
        match client.request(&question.with("count", 5_000)) {
            Ok((_, Value::Array(rows))) => {
                assert_eq!(rows.len() as u64, kept + 1, "{symbol} {interval}");
                true
            }
            Err(error) if error.code() == Some("not_ready") => false,
            other => panic!("{symbol} {interval}: {other:?}"),
        }
    })
}

/// A client that wants everything: with it the shared log of messages is in use to its end.
fn listen(desk: &Desk, symbols: &[(Venue, Vec<String>)], stop: &Arc<AtomicBool>) -> (Arc<AtomicU64>, Reader) {
    let mut client = desk.client();
    for (venue, names) in symbols {
        for bulk in ["subscribe_all_trades", "subscribe_all_quotes"] {
            client.request(&request(bulk).venue(venue.name())).unwrap();
        }
        for name in names.iter().take(20) {
            client.subscribe_orderbook(venue.name(), name, 100, "full").unwrap();
        }
    }
    let (bytes, stop) = (Arc::new(AtomicU64::new(0)), stop.clone());
    let read = bytes.clone();
    let reader = std::thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            if let Some(frame) = client.next_frame(Duration::from_millis(100)).unwrap() {
                read.fetch_add(frame.len() as u64, Ordering::Relaxed);
            }
        }
    });
    (bytes, reader)
}

type Reader = std::thread::JoinHandle<()>;

/// Resident memory by what it is of: anonymous (heap and rings), and the program's own pages.
fn parts(desk: &Desk) -> String {
    let rollup = desk.proc("smaps_rollup");
    let of = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default()
    };
    format!("{} KiB anonymous, {} KiB in all", of("Anonymous:"), of("Rss:"))
}

fn holds(hyperliquid: usize, binance: usize) {
    let mut config = Config { seed: SEED, ..Config::default() };
    busy(&mut config.hyperliquid.market, hyperliquid);
    busy(&mut config.binance.market, binance);
    // As many quotes as elsewhere: a best price can change once a block.
    config.hyperliquid.market.block_ms = 25;
    (config.hyperliquid.enforce_limits, config.binance.enforce_limits) = (false, false);
    let symbols: Vec<(Venue, Vec<String>)> = [(Venue::Hyperliquid, hyperliquid), (Venue::Binance, binance)]
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(venue, count)| (venue, names(venue, count)))
        .collect();
    let lines = |venue: Venue| {
        let (_, names) = symbols.iter().find(|(other, _)| *other == venue)?;
        let limits = format!("[venues.{}.rate_limits]\nrest_weight_per_minute = 100000", venue.name());
        Some(format!("symbols = {names:?}\n{limits}"))
    };
    let (of_hyperliquid, of_binance) = (lines(Venue::Hyperliquid), lines(Venue::Binance));
    let choice =
        Choice { hyperliquid: of_hyperliquid.as_deref(), binance: of_binance.as_deref(), retention: "" };
    // Everything else as it is by default.
    let desk = Desk::start_with(config, &choice, |text| {
        text.replace("clients_buffer_mib = 16", "clients_buffer_mib = 64")
    });
    let began = Instant::now();
    let mut client = desk.client();
    let stop = Arc::new(AtomicBool::new(false));
    let all: Vec<(&str, &String)> =
        symbols.iter().flat_map(|(venue, names)| names.iter().map(|name| (venue.name(), name))).collect();
    wait_for("live books", || {
        let (_, status) = client.request(&request("get_status")).unwrap();
        let live =
            |stream: &&Value| stream["stream"] == "orderbook".into() && stream["state"] == "live".into();
        let count = symbols.iter().map(|(venue, _)| {
            status["venues"][venue.name()]["streams"].as_array().unwrap().iter().filter(live).count()
        });
        (count.sum::<usize>() == all.len()).then_some(())
    });
    let (bytes, reader) = listen(&desk, &symbols, &stop);
    let mut unfilled: Vec<_> = all.clone();
    wait_long_for("full histories", FILLED, || {
        std::thread::sleep(Duration::from_millis(500));
        unfilled.retain(|(venue, name)| {
            let mut count = |question| ask(&mut client, question, venue, name, KEPT).len() as u64;
            count("get_trades") < KEPT || count("get_quotes") < KEPT || !has_candles(&mut client, venue, name)
        });
        (unfilled.is_empty() && bytes.load(Ordering::Relaxed) > 80 << 20).then_some(())
    });
    println!("{hyperliquid} + {binance} symbols full after {:.0} s", began.elapsed().as_secs_f64());
    // Long replies have come and gone by now.
    std::thread::sleep(Duration::from_secs(3));
    let (full, watching) = (desk.resident_kib(), Instant::now());
    let (mut least, mut most) = (full, full);
    while watching.elapsed() < WATCHED {
        std::thread::sleep(Duration::from_millis(500));
        let resident = desk.resident_kib();
        (least, most) = (least.min(resident), most.max(resident));
    }
    println!(
        "{hyperliquid} + {binance}: {full} KiB resident, from {least} to {most} over {} s; {}; {} MiB of messages",
        WATCHED.as_secs(),
        parts(&desk),
        bytes.load(Ordering::Relaxed) >> 20
    );
    let books =
        all.iter().map(|(venue, name)| ask(&mut client, "get_orderbook_history", venue, name, 100).len());
    println!("{} once-a-second books", books.sum::<usize>());
    stop.store(true, Ordering::Relaxed);
    reader.join().unwrap();
    assert!(most < RESIDENT_KIB_MAX, "{most} KiB");
    assert!(most < full + GROWTH_KIB_MAX, "{full} KiB, then {most}");
}

#[test]
fn fifty_symbols_of_each_venue_fit_three_hundred_megabytes() {
    holds(50, 50);
}

/// Deepest books, so the most there can be.
#[test]
fn a_hundred_symbols_of_binance_fit_three_hundred_megabytes() {
    holds(0, 100);
}
