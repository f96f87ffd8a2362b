//! What the simulator costs under the load it must bear; run by hand: `cargo test -p sim --release -- --ignored --nocapture`.

mod common;

use common::Client;
use sim::{Config, Sim, Venue};
use std::time::{Duration, Instant};

/// Clock ticks of a thread of this process, by its name.
fn thread_ticks(name: &str) -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the threads");
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    stats
        .filter(|stat| stat.contains(&format!("({name})")))
        .map(|stat| {
            let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
            // User and system time are the fields 14 and 15 of the whole line.
            fields[11].parse::<u64>().unwrap_or(0) + fields[12].parse::<u64>().unwrap_or(0)
        })
        .sum()
}

#[test]
#[ignore = "a measurement, not a check"]
fn ten_connections_of_a_thousand_streams_at_ten_thousand_messages_a_second() {
    let mut config = Config::default();
    config.binance.market.symbols = 500;
    config.binance.market.book_levels = 500;
    config.binance.market.rate_per_s = 10.0;
    config.hyperliquid.market.symbols = 230;
    config.hyperliquid.market.rate_per_s = 10.0;
    let sim = Sim::start(config).expect("a simulation");
    let symbols = sim.market(Venue::Binance).trading_symbols();
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = Client::connect(&sim, &format!("{}/public/stream", sim.binance().ws_url()));
        for (at, batch) in symbols.chunks(100).enumerate() {
            let of = |symbol: &String| {
                let symbol = symbol.to_lowercase();
                [format!("\"{symbol}@bookTicker\""), format!("\"{symbol}@depth@500ms\"")]
            };
            let names: Vec<String> = batch.iter().flat_map(of).collect();
            client.send(&format!(r#"{{"method":"SUBSCRIBE","params":[{}],"id":{at}}}"#, names.join(",")));
        }
        clients.push(std::thread::spawn(move || while client.next_text().is_some() {}));
    }
    std::thread::sleep(Duration::from_secs(2));
    let (ticks, frames, begun) =
        (thread_ticks("sim-binance"), sim.binance().counters().frames_sent_total(), Instant::now());
    std::thread::sleep(Duration::from_secs(10));
    let seconds = begun.elapsed().as_secs_f64();
    let frames = (sim.binance().counters().frames_sent_total() - frames) as f64 / seconds;
    let busy = (thread_ticks("sim-binance") - ticks) as f64 / seconds;
    let idle = thread_ticks("sim-hyperliquid");
    println!(
        "binance: {frames:.0} frames/s, {busy:.0} % of a core; hyperliquid, nobody there: {idle} ticks of 10 ms"
    );
    drop(sim);
    for client in clients {
        client.join().expect("a client");
    }
}
