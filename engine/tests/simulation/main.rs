//! The whole desk under faults by seed, in virtual time: both venues, the fetcher's queues and budgets, history,
//! rings, server and several clients; an oracle that knows the true market compares every message of every client.
//!
//! `SIMULATION_SEEDS=n` runs so many seeds, `SIMULATION_SEED=n` that one alone, `SIMULATION_MINUTES=n` for so much
//! market each. What it is and how to read it: `docs/simulation.md`.

mod clients;
mod faults;
mod oracle;
mod reader;
#[path = "../support/mod.rs"]
mod support;
#[path = "../virtual_desk/mod.rs"]
mod virtual_desk;
mod world;

use oracle::Checked;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;
use world::{Outcome, run};

/// Seeds of every test run.
const SEEDS: u64 = 100;
/// Market of each, minutes: `make simulate` takes an hour.
const MINUTES: u64 = 6;
/// After so many seeds that fail nothing new is begun.
const FAILURES_MAX: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

fn tell(outcome: &Outcome, minutes: u64) {
    println!("seed {} FAILED after {} ms of market:", outcome.seed, outcome.virtual_ms);
    for wrong in &outcome.wrong {
        println!("  {wrong}");
    }
    println!("its faults:");
    for of in outcome.planned.iter().filter(|of| of.at_ms <= outcome.virtual_ms) {
        println!("  {:>9} ms {:?}", of.at_ms, of.trouble);
    }
    if std::env::var_os("SIMULATION_LOG").is_some() {
        println!("the daemon's log:\n{}", outcome.log);
    }
    println!("again: make simulate SEED={} MINUTES={minutes}", outcome.seed);
}

#[derive(Default)]
struct Total {
    seeds: u64,
    virtual_ms: u64,
    checked: Checked,
    faults: BTreeMap<String, u64>,
    lags: u64,
    conflated: u64,
    left: u64,
    stalls: (u64, u64),
    dropped: u64,
    connects: u64,
    again_ms: u64,
    last: (u64, Vec<String>),
}

impl Total {
    fn add(&mut self, of: &Outcome) {
        self.seeds += 1;
        self.virtual_ms += of.virtual_ms;
        self.checked.add(&of.checked);
        for (name, count) in &of.faults {
            *self.faults.entry(name.clone()).or_default() += count;
        }
        self.lags += of.lags;
        self.conflated += of.conflated;
        self.left += of.left;
        self.stalls.0 += of.stalls.0;
        self.stalls.1 += of.stalls.1;
        self.dropped += of.dropped;
        self.connects += of.connects;
        if of.again_ms > self.again_ms {
            (self.again_ms, self.last) = (of.again_ms, (of.seed, of.last_unrest.clone()));
        }
    }

    fn tell(&self, began: Instant) {
        let Checked { records, books, quotes, trades, closes, messages, unknowable, gaps } = &self.checked;
        println!(
            "{} seeds, {:.1} virtual hours in {:.1} s: {messages} client messages and {records} records checked",
            self.seeds,
            self.virtual_ms as f64 / 3.6e6,
            began.elapsed().as_secs_f64()
        );
        println!(
            "  {books} live books, {quotes} live quotes, {trades} trades ({unknowable} left out unknowably), {closes} closed candles"
        );
        println!(
            "  {} connections; {} stalls, {} of them given up, {} records dropped; clients: {} gaps for slowness, {} messages conflated, {} sent away or gone",
            self.connects, self.stalls.0, self.stalls.1, self.dropped, self.lags, self.conflated, self.left
        );
        let (seed, last) = &self.last;
        println!(
            "  all live again at the latest {} ms after the storm (seed {seed}: {last:?})",
            self.again_ms
        );
        let list = |map: &BTreeMap<String, u64>| {
            map.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        println!("  faults: {}", list(&self.faults));
        println!("  gaps: {}", list(gaps));
    }
}

/// Runs a seed; a panic of the daemon is a failure like others.
fn attempt(seed: u64, minutes: u64) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, minutes))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

#[test]
fn every_message_is_true_or_says_that_it_may_not_be() {
    let minutes = number("SIMULATION_MINUTES").unwrap_or(MINUTES);
    let seeds = match number("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let began = Instant::now();
    let next = AtomicU64::new(seeds.start);
    let failures = AtomicUsize::new(0);
    let total = Mutex::new(Total::default());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failures.load(Ordering::Relaxed) >= FAILURES_MAX {
                        break;
                    }
                    let outcome = attempt(seed, minutes);
                    let mut total = total.lock().unwrap();
                    match outcome {
                        Ok(outcome) => {
                            total.add(&outcome);
                            if !outcome.wrong.is_empty() {
                                failures.fetch_add(1, Ordering::Relaxed);
                                tell(&outcome, minutes);
                            }
                        }
                        Err(panic) => {
                            failures.fetch_add(1, Ordering::Relaxed);
                            println!("seed {seed} FAILED, the daemon's code panicked: {panic}");
                            println!("again: make simulate SEED={seed} MINUTES={minutes}");
                        }
                    }
                }
            });
        }
    });
    total.lock().unwrap().tell(began);
    assert_eq!(failures.load(Ordering::Relaxed), 0, "seeds failed; see above");
}

/// The same seed makes the same bytes.
#[test]
fn a_seed_decides_every_byte() {
    for seed in [3, 4] {
        let (one, other) = (run(seed, 3), run(seed, 3));
        assert!(one.wrong.is_empty(), "{:?}", one.wrong);
        assert_eq!((one.sum, &one.checked), (other.sum, &other.checked), "seed {seed}");
        println!("seed {seed}: {:016x}", one.sum);
    }
}
