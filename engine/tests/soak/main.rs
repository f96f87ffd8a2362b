//! The soak: the real daemon before both simulated venues, ten clients, and faults by a printed seed.
//!
//! `SOAK_MINUTES=n` (what `make soak` sets) runs it for so long at 10,000 messages a second in all; without it this is
//! twenty seconds at a fraction of that. `SOAK_SEED=n` chooses the seed.
//!
//! ```text
//!   sim: both venues ──TLS──▶ daemon ──Unix socket──▶ ten ears: full, delta, record, several depths, one at times slow
//!     │  ▲ faults by seed       │ /proc, log, metrics     │ trades, samples of books, gaps, states
//!     │  └──────────────────────┼─────────────┐           │
//!     └──truth of trades and books──▶ the check: nothing lost without a word, nothing wrong shown as live,
//!                                     nothing grows, everything live again at the end
//! ```

#[path = "../system/mod.rs"]
mod system;

mod books;
mod ears;
mod figures;
mod plan;
mod trades;
mod vitals;

use books::BookCheck;
use ears::{Ears, Instrument};
use plan::Plan;
use sim::market::{Venue, list};
use sim::{Config, Sim};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, Instant};
use system::{Choice, Desk, PATIENCE, wait_for};
use trades::Trades;
use vitals::Vitals;

/// Symbols of each venue.
const SYMBOLS: usize = 10;
/// How long after the last fault everything may take to be live: the longest pause between two attempts is 30 s.
const LIVE_WITHIN: Duration = Duration::from_secs(90);
/// What is promised after a signal, threefold.
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
/// Once-a-second books are full after half a minute instead of after a hundred seconds: what grows then is a leak.
const RETENTION: &str = "orderbook_snapshots_per_symbol = 30";
/// How often the main thread looks at what has come.
const LOOK: Duration = Duration::from_millis(100);

/// How long, and how much.
struct Scale {
    time: Duration,
    /// Messages a second of both venues together, about.
    rate_per_s: f64,
    fault_every: Duration,
    /// The part of the time after which the vitals are compared.
    warm_up: Duration,
    seed: u64,
}

impl Scale {
    fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<f64>().expect(name));
        let seed = number("SOAK_SEED").map_or_else(
            || std::time::UNIX_EPOCH.elapsed().map_or(1, |since| since.as_millis() as u64 % 1_000_000),
            |seed| seed as u64,
        );
        match number("SOAK_MINUTES") {
            Some(minutes) => Self {
                time: Duration::from_secs_f64(minutes * 60.0),
                rate_per_s: number("SOAK_RATE").unwrap_or(10_000.0),
                fault_every: Duration::from_secs(4),
                warm_up: Duration::from_secs_f64(45.0f64.min(minutes * 20.0)),
                seed,
            },
            None => Self {
                time: Duration::from_secs(12),
                rate_per_s: 1_500.0,
                fault_every: Duration::from_secs(2),
                warm_up: Duration::from_secs(3),
                seed,
            },
        }
    }
}

fn names(venue: Venue, seed: u64) -> Vec<String> {
    let trading = list(venue, SYMBOLS + 1, 1, seed).into_iter().filter(|instrument| instrument.trading);
    trading.map(|instrument| instrument.symbol).take(SYMBOLS).collect()
}

/// Nine tenths of the messages are Binance's; Hyperliquid tells of each block at most one best and one list of trades.
fn config(scale: &Scale) -> Config {
    let mut config = Config { seed: scale.seed, ..Config::default() };
    let per_symbol = scale.rate_per_s / SYMBOLS as f64;
    let binance = &mut config.binance.market;
    (binance.symbols, binance.book_levels) = (SYMBOLS + 1, 1_200);
    // Of an event of the market this many messages come, by the shares of what happens in it.
    binance.rate_per_s = per_symbol * 0.9 / 0.33;
    (binance.trade_share, binance.retention_ms) = (0.1, 120_000);
    let hyperliquid = &mut config.hyperliquid.market;
    hyperliquid.symbols = SYMBOLS + 1;
    (hyperliquid.rate_per_s, hyperliquid.block_ms) = (per_symbol * 0.1 / 0.26, 25);
    (hyperliquid.trade_share, hyperliquid.retention_ms) = (0.15, 120_000);
    config
}

fn messages(sim: &Sim) -> u64 {
    [sim.binance(), sim.hyperliquid()].iter().map(|venue| venue.counters().frames_sent_total()).sum()
}

/// What every look takes in.
struct Watch<'a> {
    ears: &'a Ears,
    trades: Trades,
    books: BookCheck,
    vitals: Vitals,
    per_second: Vec<u64>,
    last: (Instant, u64),
}

impl Watch<'_> {
    fn look(&mut self, desk: &Desk) {
        for (ear, heard) in self.ears.take().into_iter().enumerate() {
            self.trades.take(ear, heard.trades, heard.gaps);
            self.books.take(heard.samples);
        }
        self.trades.learn(&desk.sim);
        self.books.check(&desk.sim);
        if self.last.0.elapsed() >= Duration::from_secs(1) {
            let now = (Instant::now(), messages(&desk.sim));
            let seconds = (now.0 - self.last.0).as_secs_f64();
            self.per_second.push(((now.1 - self.last.1) as f64 / seconds) as u64);
            self.last = now;
            self.vitals.look(desk);
        }
    }
}

#[test]
fn the_daemon_soaks() {
    let scale = Scale::from_environment();
    println!("SOAK_SEED={} {:?} at {} messages/s", scale.seed, scale.time, scale.rate_per_s);
    let [binance, hyperliquid] = [Venue::Binance, Venue::Hyperliquid].map(|venue| names(venue, scale.seed));
    let lines = |names: &[String]| {
        format!(
            "symbols = {names:?}\nchannels = [\"orderbook\", \"quotes\", \"trades\"]\nmax_reconnect_delay_ms = 2000"
        )
    };
    let choice = Choice {
        hyperliquid: Some(&lines(&hyperliquid)),
        binance: Some(&lines(&binance)),
        retention: RETENTION,
    };
    let mut desk = Desk::start_with(config(&scale), &choice, |text| {
        // What a production daemon says.
        text.replace("\"debug\"", "\"info\"")
    });
    let of = |venue: &'static str, names: &[String]| {
        names.iter().map(|name| Instrument { venue, symbol: name.clone() }).collect::<Vec<_>>()
    };
    let instruments = [of("binance", &binance), of("hyperliquid", &hyperliquid)].concat();
    let mut asking = desk.client();
    for instrument in &instruments {
        wait_for("every book to be live", || instrument.is_live(&mut asking).then_some(()));
    }
    let ears = Ears::start(&desk, &instruments, scale.seed);
    let mut plan = Plan::new(scale.seed, scale.fault_every, [binance, hyperliquid]);
    let mut watch = Watch {
        ears: &ears,
        trades: Trades::new(&desk.sim, &instruments, ears.count()),
        books: BookCheck::new(&instruments),
        vitals: Vitals::new(scale.warm_up),
        per_second: Vec::new(),
        last: (Instant::now(), messages(&desk.sim)),
    };
    let (begun, sent, cpu) = (Instant::now(), messages(&desk.sim), vitals::cpu_s(&desk));
    while begun.elapsed() < scale.time {
        plan.act(&desk.sim);
        watch.look(&desk);
        std::thread::sleep(LOOK);
    }
    let (time, sent) = (begun.elapsed(), messages(&desk.sim) - sent);
    let cpu = vitals::cpu_s(&desk) - cpu;

    // No more faults: everything is live again, and what was missed is there or told.
    ears.calm();
    let calm = Instant::now();
    loop {
        watch.look(&desk);
        let waiting = instruments.iter().find(|instrument| !instrument.is_live(&mut asking));
        let dark = waiting.map(|it| format!("{} {}", it.venue, it.symbol)).or_else(|| ears.not_live());
        let Some(dark) = dark else { break };
        assert!(calm.elapsed() < LIVE_WITHIN, "not live after {LIVE_WITHIN:?}: {dark}\n{}", desk.log());
        std::thread::sleep(LOOK);
    }
    let live_after = calm.elapsed();
    watch.trades.end(&desk.sim);
    let asked = Instant::now();
    loop {
        watch.look(&desk);
        let Err(why) = watch.trades.account() else { break };
        assert!(asked.elapsed() < PATIENCE, "{why}\n{}", desk.log());
        std::thread::sleep(LOOK);
    }
    figures::keep_up(&desk);
    // Before the last cut, which is not one of the plan's.
    let gaps = ears.gaps();
    let figures = figures::add_up_at_rest(&desk);
    let log = desk.log();
    let Watch { trades, books, vitals, per_second, .. } = watch;
    let (code, took) = desk.stop();
    let heard = ears.stop();

    let mut sorted = per_second.clone();
    sorted.sort_unstable();
    let mut report = String::new();
    let _ =
        writeln!(report, "{sent} messages in {time:.0?}: {:.0} a second", sent as f64 / time.as_secs_f64());
    let _ = writeln!(report, "  each second: least {}, median {}", sorted[0], sorted[sorted.len() / 2]);
    let _ = writeln!(
        report,
        "daemon: {:.0} % of a core, {:.1} µs a message",
        cpu / time.as_secs_f64() * 100.0,
        cpu * 1e6 / sent as f64
    );
    let _ = writeln!(report, "clients: {heard} messages; {}", trades.report());
    let _ = writeln!(report, "books: {}", books.report());
    let _ = writeln!(report, "faults: {:?}", plan.done);
    let _ = writeln!(report, "gaps: {gaps:?}");
    let _ =
        writeln!(report, "live again {live_after:.1?} after the last fault; ended {took:.1?} after SIGTERM");
    let _ = writeln!(report, "counters: {figures}");
    let _ = writeln!(report, "log: {} lines, {} bytes", log.lines().count(), log.len());
    let _ = writeln!(report, "{}", vitals.report());
    println!("{report}");

    assert_eq!(code, Some(0));
    assert!(took < STOPPED_WITHIN, "{took:?}");
    // What faults withhold is little; a rate that the machine does not sustain is no soak.
    assert!(sent as f64 > 0.7 * scale.rate_per_s * time.as_secs_f64(), "only {sent} messages in {time:?}");
    assert!(plan.done.values().sum::<u64>() > 0 && books.checked() > 100, "too little happened");
    // A phrase says five lines, and then one in ten seconds; there are some tens of phrases.
    let minutes = begun.elapsed().as_secs_f64() / 60.0;
    let lines_max = 400.0 + 250.0 * minutes;
    assert!(
        (log.lines().count() as f64) < lines_max,
        "{} lines in {minutes:.1} minutes",
        log.lines().count()
    );
    let violations: BTreeMap<_, _> = [desk.sim.binance(), desk.sim.hyperliquid()]
        .iter()
        .flat_map(|venue| venue.counters().limit_violations)
        .collect();
    assert!(violations.is_empty(), "the venues' limits: {violations:?}");
    vitals.is_flat();
}
