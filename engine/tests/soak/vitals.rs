//! What the system says of the daemon's process over time: memory, descriptors, threads.

use crate::system::Desk;
use std::time::{Duration, Instant};

/// What memory may grow by from the first third to the last: allocators and page tables are not to the byte.
const GROWTH_KIB_MAX: u64 = 8 * 1024;
/// … and this part of it.
const GROWTH_PARTS: u64 = 20;
/// Connections being made, and the threads that make them, come and go.
const COUNT_SLACK: u64 = 6;
/// Looks, one a second, without which nothing is concluded.
const LOOKS_MIN: usize = 60;

#[derive(Clone, Copy)]
struct Look {
    resident_kib: u64,
    descriptors: u64,
    threads: u64,
}

/// See the module.
pub struct Vitals {
    from: Instant,
    looks: Vec<Look>,
}

/// Seconds of processor time that the daemon has used.
pub fn cpu_s(desk: &Desk) -> f64 {
    let stat = desk.proc("stat");
    // Behind the name in brackets: state is field 3, user and system time 14 and 15, in hundredths.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
    (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
}

impl Vitals {
    pub fn new(warm_up: Duration) -> Self {
        Self { from: Instant::now() + warm_up, looks: Vec::new() }
    }

    pub fn look(&mut self, desk: &Desk) {
        if Instant::now() < self.from {
            return;
        }
        let status = desk.proc("status");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse().unwrap()
        };
        self.looks.push(Look {
            resident_kib: field("VmRSS:"),
            descriptors: desk.descriptors(),
            threads: field("Threads:"),
        });
    }

    /// The median of something in the first and the last third.
    fn thirds(&self, of: impl Fn(&Look) -> u64) -> (u64, u64) {
        let third = (self.looks.len() / 3).max(1);
        let median = |looks: &[Look]| {
            let mut values: Vec<u64> = looks.iter().map(&of).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        (median(&self.looks[..third]), median(&self.looks[self.looks.len() - third..]))
    }

    pub fn report(&self) -> String {
        let every = (self.looks.len() / 12).max(1);
        let series = |of: &dyn Fn(&Look) -> u64| {
            let values: Vec<String> =
                self.looks.iter().step_by(every).map(|look| of(look).to_string()).collect();
            format!("{} (thirds {:?})", values.join(" "), self.thirds(of))
        };
        format!(
            "resident MiB: {}\ndescriptors: {}\nthreads: {}",
            series(&|look| look.resident_kib / 1024),
            series(&|look| look.descriptors),
            series(&|look| look.threads)
        )
    }

    /// What is kept must be full before growth means anything: short runs are only reported.
    pub fn is_flat(&self) {
        if self.looks.len() < LOOKS_MIN {
            return;
        }
        let (first, last) = self.thirds(|look| look.resident_kib);
        let most = first + GROWTH_KIB_MAX + first / GROWTH_PARTS;
        assert!(last <= most, "memory grows: {first} KiB, then {last}");
        let (first, last) = self.thirds(|look| look.descriptors);
        assert!(last <= first + COUNT_SLACK, "descriptors grow: {first}, then {last}");
        let (first, last) = self.thirds(|look| look.threads);
        assert!(last <= first + COUNT_SLACK, "threads grow: {first}, then {last}");
    }
}
