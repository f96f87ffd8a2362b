//! The past of two hundred symbols through the real daemon: loaded from nothing within the venues' limits, kept over
//! restarts, and there in seconds for whoever asks.
//!
//! How long the whole load takes, and that it stays within the weights to its end, is shown in virtual time by the
//! tests of `history`. Here is what can be seen in a minute over real sockets.

mod system;

use sim::market::{Venue, list};
use sim::{Config, Counters, TruthCandle};
use slipstream_client::{Client, Value, request};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use system::{Choice, Desk, wait_for, wait_long_for};

const SYMBOLS: usize = 200;
const INTERVALS: [(&str, u64); 3] = [("15m", 900), ("1h", 3_600), ("4h", 14_400)];
const COUNT: usize = 1_100;
const RETENTION: &str = "candles_15m_count = 1100\ncandles_1h_count = 1100\ncandles_4h_count = 1100";
const SEED: u64 = 20_261_122;

/// What is promised to whoever asks, and what a busy machine is given.
const READY: Duration = Duration::from_secs(10);
const READY_SLACK: Duration = Duration::from_secs(30);

/// A load without a budget takes ten seconds; the simulation must find the time for a thousand requests.
const LOADED: Duration = Duration::from_secs(150);

/// What differs between the venues.
struct Place {
    venue: Venue,
    /// The usual REST budget a minute.
    budget: u32,
    /// The venue's limit, as the simulation names and counts it.
    limit: (&'static str, u64),
    /// Candles, as the simulation counts their weight.
    candles: &'static str,
    /// The weight of a few of them.
    tail: u64,
}

const HYPERLIQUID: Place = Place {
    venue: Venue::Hyperliquid,
    budget: 1_000,
    limit: ("hyperliquid REST weight", sim::limits::HYPERLIQUID_WEIGHT_PER_MINUTE_MAX),
    candles: "candleSnapshot",
    tail: 21,
};

const BINANCE: Place = Place {
    venue: Venue::Binance,
    budget: 1_800,
    limit: ("binance REST weight", sim::limits::BINANCE_WEIGHT_PER_MINUTE_MAX),
    candles: "/fapi/v1/klines",
    tail: 1,
};

/// More than any load here needs in a minute.
const NO_BUDGET: u32 = 100_000;

impl Place {
    fn name(&self) -> &'static str {
        self.venue.name()
    }

    /// The symbols that trade. One of the well-known ones does not.
    fn symbols(&self) -> Vec<String> {
        list(self.venue, SYMBOLS + 1, 1, SEED)
            .into_iter()
            .filter(|instrument| instrument.trading)
            .map(|instrument| instrument.symbol)
            .collect()
    }

    /// Two hundred symbols that move a few times a second, every channel carried, an empty candle directory.
    fn desk(&self, budget: u32) -> Desk {
        let mut config = Config { seed: SEED, ..Config::default() };
        (config.hyperliquid.enforce_limits, config.binance.enforce_limits) =
            (budget != NO_BUDGET, budget != NO_BUDGET);
        let market = match self.venue {
            Venue::Hyperliquid => &mut config.hyperliquid.market,
            Venue::Binance => &mut config.binance.market,
        };
        (market.symbols, market.rate_per_s) = (SYMBOLS + 1, 3.0);
        let lines = format!(
            "symbols = {:?}\n[venues.{}.rate_limits]\nrest_weight_per_minute = {budget}",
            self.symbols(),
            self.name()
        );
        let (hyperliquid, binance) = match self.venue {
            Venue::Hyperliquid => (Some(&lines[..]), None),
            Venue::Binance => (None, Some(&lines[..])),
        };
        Desk::start(config, &Choice { hyperliquid, binance, retention: RETENTION })
    }

    fn counters(&self, desk: &Desk) -> Counters {
        desk.sim.venue(self.venue).counters()
    }

    /// Weight spent on candles so far, and the requests for it.
    fn spent(&self, desk: &Desk) -> (u64, u64) {
        let counters = self.counters(desk);
        let of = |counts: &std::collections::BTreeMap<String, u64>| {
            counts.get(self.candles).copied().unwrap_or_default()
        };
        (of(&counters.rest_weight_by_path), of(&counters.rest_requests_by_path))
    }

    /// Asks for every interval of some symbols until all are there, and holds them against the truth. How long it
    /// took, since `began`, is the answer.
    fn ready(&self, desk: &Desk, symbols: &[&String], began: Instant) -> Duration {
        let mut client = desk.client();
        let mut waiting: Vec<_> =
            symbols.iter().flat_map(|symbol| INTERVALS.map(|interval| (*symbol, interval))).collect();
        let mut answers = Vec::new();
        wait_for("candles that were asked for", || {
            waiting.retain(|&(symbol, interval)| match self.ask(&mut client, symbol, interval.0) {
                Some(rows) => {
                    answers.push((symbol, interval, rows));
                    false
                }
                None => true,
            });
            waiting.is_empty().then_some(())
        });
        let took = began.elapsed();
        for (symbol, (interval, seconds), rows) in answers {
            self.check(desk, symbol, interval, seconds, &rows);
        }
        took
    }

    fn ask(&self, client: &mut Client, symbol: &str, interval: &str) -> Option<Vec<Value>> {
        let question = request("get_candles").venue(self.name()).symbol(symbol);
        match client.request(&question.with("interval", interval).with("count", COUNT as u64)) {
            Ok((_, Value::Array(rows))) => Some(rows),
            Err(error) if error.code() == Some("not_ready") => None,
            other => panic!("{symbol} {interval}: {other:?}"),
        }
    }

    /// All but the newest, which may still be corrected, are what the venue says.
    fn check(&self, desk: &Desk, symbol: &str, interval: &str, seconds: u64, rows: &[Value]) {
        assert_eq!(rows.len(), COUNT, "{symbol} {interval}");
        let first = whole(&rows[0], "timestamp");
        let last = whole(&rows[COUNT - 1], "timestamp");
        let truth =
            desk.sim.venue(self.venue).candles(symbol, interval, first as i64 * 1000, last as i64 * 1000 + 1);
        let truth = truth.unwrap();
        assert_eq!(truth.len(), COUNT, "{symbol} {interval}");
        for (at, (row, truth)) in rows.iter().zip(&truth).enumerate() {
            assert_eq!(whole(row, "timestamp"), first + at as u64 * seconds, "{symbol} {interval}");
            if at < COUNT - 3 {
                assert!(is_equal(row, truth), "{symbol} {interval} {at}: {row} is not {truth:?}");
            }
        }
    }

    /// Series loaded, of how many.
    fn loaded(&self, client: &mut Client) -> (u64, u64) {
        let (_, status) = client.request(&request("get_status")).unwrap();
        let candles = &status["venues"][self.name()]["candles"];
        (candles["loaded"].as_u64().unwrap(), candles["total"].as_u64().unwrap())
    }

    fn wait_loaded(&self, desk: &Desk) {
        let mut client = desk.client();
        let all = (SYMBOLS * INTERVALS.len()) as u64;
        wait_long_for("every series", LOADED, || (self.loaded(&mut client) == (all, all)).then_some(()));
    }
}

fn whole(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap_or_else(|| panic!("{field} of {row}"))
}

fn is_equal(row: &Value, truth: &TruthCandle) -> bool {
    let near = |field: &str, truth: f64| {
        let value = row[field].as_f64().unwrap_or_else(|| panic!("{field} of {row}"));
        (value - truth).abs() <= truth.abs() * 1e-12
    };
    near("open", truth.open_e8 as f64 / 1e8)
        && near("high", truth.high_e8 as f64 / 1e8)
        && near("low", truth.low_e8 as f64 / 1e8)
        && near("close", truth.close_e8 as f64 / 1e8)
        && near("volume", truth.volume_e8 as f64 / 1e8)
        && whole(row, "num_trades") == truth.trades
}

fn within(what: &str, took: Duration) {
    println!("{what}: {:.2} s, promised {} s", took.as_secs_f64(), READY.as_secs());
    assert!(took < READY_SLACK, "{what}: {took:?}");
}

/// From nothing, for seventy seconds: more than a minute of any clock.
fn cold(place: &Place) {
    let desk = place.desk(place.budget);
    let began = Instant::now();
    let symbols = place.symbols();
    let sleep_until =
        |second| std::thread::sleep(Duration::from_secs(second).saturating_sub(began.elapsed()));
    let took = place.ready(&desk, &[&symbols[3], &symbols[150]], began);
    within(&format!("{}: two symbols asked for at the start", place.name()), took);
    // In the middle of the load of the others.
    sleep_until(25);
    let took = place.ready(&desk, &[&symbols[199], &symbols[120]], Instant::now());
    within(&format!("{}: two more asked for 25 s later", place.name()), took);
    sleep_until(70);
    let counters = place.counters(&desk);
    let most = counters.limit_used_max[place.limit.0];
    let (weight, requests) = place.spent(&desk);
    let (loaded, total) = place.loaded(&mut desk.client());
    println!(
        "{}: {loaded} of {total} series after 70 s, {requests} requests for candles of weight {weight}, \
         the fullest minute {most} of {}",
        place.name(),
        place.limit.1
    );
    assert_eq!(total, (SYMBOLS * INTERVALS.len()) as u64);
    assert!((12..total).contains(&loaded), "it goes on in the background, and not all at once: {loaded}");
    assert!(most <= place.limit.1, "{most}");
    assert_eq!(counters.limit_violations_total(), 0, "{:?}", counters.limit_violations);
    assert_eq!((counters.rest_429, counters.rest_418), (0, 0));
}

#[test]
fn hyperliquid_from_nothing() {
    cold(&HYPERLIQUID);
}

#[test]
fn binance_from_nothing() {
    cold(&BINANCE);
}

/// The quarter of an hour that runs now: while it does, no period ends.
fn quarter() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 900
}

/// Takes the last hour out of every candle file, as if the daemon had been down since: an hour ago these rows were
/// not known. The layout is that of `engine/src/history/file.rs`. Answers with the rows taken.
fn forget_an_hour(directory: &Path) -> usize {
    const HEADER_BYTES: usize = 80;
    const ROW_BYTES: usize = 72;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut taken = 0;
    for venue in std::fs::read_dir(directory.join("candles")).unwrap() {
        for file in std::fs::read_dir(venue.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            let name = path.to_string_lossy().into_owned();
            let suffix = |interval: &str| name.ends_with(&format!(".{interval}.candles"));
            let Some((_, seconds)) = INTERVALS.iter().find(|(interval, _)| suffix(interval)) else {
                continue;
            };
            let bytes = std::fs::read(&path).unwrap();
            let (head, rows) = bytes.split_at(HEADER_BYTES);
            assert_eq!(rows.len() % ROW_BYTES, 0, "{name}");
            let known = |row: &&[u8]| {
                let start_ms = u64::from_le_bytes(row[..8].try_into().unwrap());
                start_ms / 1000 + seconds + 3_600 <= now_s
            };
            let kept: Vec<&[u8]> = rows.chunks(ROW_BYTES).filter(known).collect();
            taken += rows.len() / ROW_BYTES - kept.len();
            std::fs::write(&path, [head, &kept.concat()[..]].concat()).unwrap();
        }
    }
    taken
}

/// Loaded once without a budget; then stopped, killed, and left alone for an hour.
fn restarts(place: &Place) {
    let mut desk = place.desk(NO_BUDGET);
    let began = Instant::now();
    place.wait_loaded(&desk);
    let (cold, requests) = place.spent(&desk);
    println!(
        "{}: loaded in {:.1} s without a budget, {requests} requests of weight {cold}",
        place.name(),
        began.elapsed().as_secs_f64()
    );
    let symbols = place.symbols();
    let asked = [&symbols[7], &symbols[180]];
    for (what, signal) in [("stopped", libc::SIGTERM), ("killed", libc::SIGKILL)] {
        let (before, quarter_before) = (place.spent(&desk), quarter());
        let began = desk.restart(signal, |_| {});
        let took = place.ready(&desk, &asked, began);
        within(&format!("{}, {what}: two symbols", place.name()), took);
        place.wait_loaded(&desk);
        println!("{}, {what}: all of them {:.2} s", place.name(), began.elapsed().as_secs_f64());
        let after = place.spent(&desk);
        let (weight, requests) = (after.0 - before.0, after.1 - before.1);
        if quarter_before == quarter() {
            assert_eq!((weight, requests), (0, 0), "no period has ended");
        } else {
            // One tail or confirmation of each series at most.
            assert!(weight <= place.tail * (SYMBOLS * INTERVALS.len()) as u64, "{weight} of {cold}");
        }
    }
    let (before, quarter_before) = (place.spent(&desk), quarter());
    let mut taken = 0;
    let began = desk.restart(libc::SIGTERM, |directory| taken = forget_an_hour(directory));
    // Four quarters each, and of the longer ones what the last hour ended.
    assert!((SYMBOLS * 4..SYMBOLS * 7).contains(&taken), "{taken}");
    let took = place.ready(&desk, &asked, began);
    within(&format!("{}, an hour later: two symbols", place.name()), took);
    place.wait_loaded(&desk);
    let after = place.spent(&desk);
    let (weight, requests) = (after.0 - before.0, after.1 - before.1);
    println!(
        "{}, an hour later: all of them {:.2} s, {requests} requests of weight {weight}, {cold} from nothing",
        place.name(),
        began.elapsed().as_secs_f64()
    );
    if quarter_before == quarter() {
        assert_eq!(requests, SYMBOLS as u64, "one tail for each symbol: longer candles are folded from it");
    }
    assert!(weight <= place.tail * requests, "tails only: {weight} for {requests}");
    assert!(weight < cold / 3, "{weight} of {cold}");
}

#[test]
fn hyperliquid_restarted() {
    restarts(&HYPERLIQUID);
}

#[test]
fn binance_restarted() {
    restarts(&BINANCE);
}
