//! The simulated venues as a program: starts them, prints their addresses, and runs until it is told to end.

mod args;

use args::{Args, Parsed};
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sim::{NewFill, SCALE_E8, ScenarioStart, Sim};
use std::io::Write;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// The exit code for flags that cannot be understood.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let default_seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match args::parse(std::env::args().skip(1), default_seed) {
        Ok(Parsed::Help) => {
            println!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(Parsed::Run(args)) => match run(*args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("slipstream-sim: {error}");
                ExitCode::FAILURE
            }
        },
        Err(reason) => {
            eprintln!("slipstream-sim: {reason}\nslipstream-sim --help says more");
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// What an account named in the flags has traded: coin, and whether it bought.
const ACCOUNT_FILLS: [(&str, bool); 3] = [("BTC", true), ("BTC", false), ("ETH", true)];

fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    // Before anything can be reached, so that no signal is missed.
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let sim = Sim::start(args.config)?;
    if let Some(user) = args.account {
        for (symbol, bought) in ACCOUNT_FILLS {
            let fill =
                NewFill { user: user.clone(), bought, taker: bought, price_e8: None, size_e8: SCALE_E8 };
            sim.hyperliquid().add_fill(symbol, fill)?;
        }
    }
    if let Some(scenario) = &args.scenario {
        sim.play(scenario, None, ScenarioStart::Subscribed)?;
    }
    let venue = |handle: &sim::VenueHandle| json!({"ws": handle.ws_url(), "rest": handle.rest_url()});
    let ready = json!({
        "hyperliquid": venue(sim.hyperliquid()),
        "binance": venue(sim.binance()),
        "control": sim.control_url(),
        "ca": sim.ca_path(),
        "seed": sim.seed(),
        "scenario": args.scenario.as_ref().map(sim::Scenario::name),
        "pid": std::process::id(),
    })
    .to_string();
    if let Some(path) = args.ready_file {
        // Written aside and renamed, so that whoever waits for the file never sees half of it.
        let partial = path.with_extension("partial");
        std::fs::write(&partial, &ready)?;
        std::fs::rename(&partial, &path)?;
    }
    println!("{ready}");
    std::io::stdout().flush()?;
    if let Some(signal) = signals.forever().next() {
        log::info!("ends on signal {signal}");
    }
    sim.stop();
    Ok(())
}
