//! Which faults come when, drawn from a seed.

use sim::{Fault, Random, Sim, VenueHandle};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What may happen to Binance: `{S}` is one of its symbols, `{s}` the same in a stream's name. Several in a line happen
/// at once.
const BINANCE: &[&str] = &[
    "cut route=public how=drop",
    "cut route=market how=reset",
    "cut how=close",
    "cut route=public how=mid_frame",
    "cut route=market how=mid_record",
    "day_cut",
    "refuse_connections for_ms=3000; cut route=public how=drop",
    "tls_failure for_ms=2000; cut route=market how=drop",
    "break_depth_sequence symbol={S} events=2",
    "break_depth_sequence symbol={S}; break_depth_sequence symbol={S2}",
    "drop_trades symbol={S} count=5",
    "drop_trades symbol={S} count=40; delay_rest delay_ms=1500 for_ms=4000",
    "stale_snapshots requests=2 age_ms=3000; break_depth_sequence symbol={S}",
    "slow_snapshots delay_ms=3000 requests=2; break_depth_sequence symbol={S}",
    "silence_stream stream={s}@depth@100ms for_ms=4000",
    "silence_symbol symbol={S} for_ms=5000",
    "crossed_book symbol={S} frames=2",
    "duplicate_frames symbol={S} frames=20",
    "reorder_frames symbol={S} frames=4",
    "malformed_frames frames=3 how=truncated symbol={S}",
    "malformed_frames frames=2 how=not_utf8 symbol={S}",
    "malformed_frames frames=2 how=wrong_type symbol={S}",
    "new_fields frames=200",
    "new_channel frames=5",
    "key_order for_ms=3000 order=shuffled",
    "fragment_frames frames=50",
    "binary_frames frames=3",
    "drip for_ms=2000 bytes_per_s=300000",
    "zero_price_trades symbol={S} count=3",
    "rest_status status=429 for_ms=4000 retry_after_s=2; drop_trades symbol={S} count=10",
    "rest_status status=503 for_ms=4000; break_depth_sequence symbol={S}",
    "rest_garbage requests=3; break_depth_sequence symbol={S}",
    "lose_acks count=1; cut route=public how=drop",
    "oversize_frame bytes=5000000",
    "new_values frames=20",
];

/// … and to Hyperliquid. Nothing here withholds trades on a connection that goes on: without numbers nobody could know.
const HYPERLIQUID: &[&str] = &[
    "cut how=drop",
    "cut how=reset",
    "cut how=close",
    "cut how=mid_frame",
    "refuse_connections for_ms=2000; cut how=drop",
    "silence_stream stream=l2BookFast:{S} for_ms=4000",
    "silence_stream stream=bbo:{S} for_ms=4000",
    "crossed_book symbol={S} frames=2",
    "duplicate_frames symbol={S} frames=10",
    "new_fields frames=100",
    "new_channel frames=5",
    "key_order for_ms=3000 order=reversed",
    "fragment_frames frames=30",
    "binary_frames frames=3",
    "malformed_frames frames=2 how=truncated symbol={S}",
    "malformed_frames frames=2 how=not_utf8 symbol={S}",
    "reorder_frames symbol={S} frames=4",
    "drip for_ms=2000 bytes_per_s=30000",
    "oversize_frame bytes=5000000",
    "greeting connections=2; cut how=drop",
];

/// See the module.
pub struct Plan {
    random: Random,
    every: Duration,
    next: Instant,
    /// Of Binance and Hyperliquid.
    symbols: [Vec<String>; 2],
    /// When Hyperliquid was last cut: it allows thirty connections a minute.
    cut: Option<Instant>,
    /// How often each kind has happened.
    pub done: BTreeMap<String, u64>,
}

impl Plan {
    pub fn new(seed: u64, every: Duration, symbols: [Vec<String>; 2]) -> Self {
        // A line that cannot be read is found at once, not when the seed comes to it.
        for line in BINANCE.iter().chain(HYPERLIQUID) {
            faults(line).unwrap();
        }
        let next = Instant::now() + every;
        Self { random: Random::seeded(seed, 77), every, next, symbols, cut: None, done: BTreeMap::new() }
    }

    /// Lets happen what is due.
    pub fn act(&mut self, sim: &Sim) {
        if Instant::now() < self.next {
            return;
        }
        self.next += self.every.mul_f64(self.random.exponential(1.0).clamp(0.1, 3.0));
        // As often as their lines are many.
        let at = self.random.index(BINANCE.len() + HYPERLIQUID.len());
        let (venue, line, index): (&VenueHandle, &str, usize) = match HYPERLIQUID.get(at) {
            Some(line) => (sim.hyperliquid(), line, 1),
            None => (sim.binance(), BINANCE[at - HYPERLIQUID.len()], 0),
        };
        let cuts = index == 1 && line.contains("cut");
        if cuts && self.cut.is_some_and(|cut| cut.elapsed() < Duration::from_secs(15)) {
            return;
        }
        let mut symbol = || self.symbols[index][self.random.index(self.symbols[index].len())].clone();
        let (one, other) = (symbol(), symbol());
        let line = line.replace("{S}", &one).replace("{S2}", &other).replace("{s}", &one.to_lowercase());
        for (kind, fault) in faults(&line).unwrap() {
            println!("{} {kind}: {fault:?}", venue.venue().name());
            venue.fault(fault).unwrap();
            *self.done.entry(format!("{} {kind}", venue.venue().name())).or_default() += 1;
        }
        if cuts {
            self.cut = Some(Instant::now());
        }
    }
}

/// The faults of a line, each with its name and how.
fn faults(line: &str) -> Result<Vec<(String, Fault)>, String> {
    line.split("; ")
        .map(|text| {
            let mut words = text.split(' ');
            let name = words.next().unwrap_or_default();
            let parameters = words
                .filter_map(|word| word.split_once('='))
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
            let parameters = parameters.collect();
            let fault = Fault::parse(name, &parameters)?;
            let how = parameters.get("how").map(|how| format!(" {how}")).unwrap_or_default();
            Ok((format!("{name}{how}"), fault))
        })
        .collect()
}
