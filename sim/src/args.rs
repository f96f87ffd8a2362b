//! Reads the program's flags; a bad one is answered with what would be right.

use sim::{Config, PlaybackConfig, Scenario, Speed, StartWhen};
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
slipstream-sim: Hyperliquid and Binance USDⓈ-M futures, simulated on loopback

Usage: slipstream-sim [flags]

  --hyperliquid-port N          port of Hyperliquid, WebSocket and REST (default: a free one)
  --binance-port N              port of Binance (default: a free one)
  --control-port N              port of the control endpoint (default: a free one; GET / there says what it can do)
  --ca PATH                     write the certificate authority here, in PEM (default: a temporary file)
  --no-tls                      plain ws and http
  --seed N                      decides the whole market (default: from the clock, and printed)
  --symbols N                   symbols of each venue (default: 5 and 6)
  --binance-symbols N           symbols of Binance alone
  --hyperliquid-symbols N       symbols of Hyperliquid alone
  --other-kinds                 symbols of other kinds too: spot, builder dexes, stocks, quarterlies, COIN-M, delisted
  --names                       names and turnovers as at the venues for made-up symbols
  --history N                   past candles of each interval (default: 2500)
  --account ADDRESS             an account at Hyperliquid that has traded a little (0x and 40 digits)
  --connection-age-s N          age at which Binance closes a connection (default: 86400)
  --rate N                      events a second of each symbol (default: 50 and 100)
  --playback-binance FILE       play a capture back instead of the model
  --playback-hyperliquid FILE   the same for Hyperliquid
  --speed N|max                 speed of playbacks (default: 1, as recorded)
  --start-after N               begin a playback when N streams are subscribed (default: 1; 0: on command only)
  --scenario NAME|FILE          what goes wrong when, from the first subscription on: bad-day, day-cut, lying-venue,
                                or a file of your own (docs/simulator.md)
  --ready-file PATH             write the line of JSON with all addresses here as well, when ready
  --help                        this text

When ready it prints one line of JSON with all addresses. It ends on SIGINT or SIGTERM.";

/// What the program is to do.
pub struct Args {
    /// The simulation.
    pub config: Config,
    /// Where the addresses are written beside standard output.
    pub ready_file: Option<PathBuf>,
    /// What goes wrong when.
    pub scenario: Option<Scenario>,
    /// An account that has traded.
    pub account: Option<String>,
}

/// What came out of reading the flags.
pub enum Parsed {
    /// Run.
    Run(Box<Args>),
    /// Print the help.
    Help,
}

/// Every flag, to name the nearest ones.
const FLAGS: [&str; 22] = [
    "--hyperliquid-port",
    "--binance-port",
    "--control-port",
    "--ca",
    "--no-tls",
    "--seed",
    "--symbols",
    "--binance-symbols",
    "--hyperliquid-symbols",
    "--other-kinds",
    "--names",
    "--history",
    "--account",
    "--connection-age-s",
    "--rate",
    "--playback-binance",
    "--playback-hyperliquid",
    "--speed",
    "--start-after",
    "--scenario",
    "--ready-file",
    "--help",
];

fn value(flag: &str, values: &mut impl Iterator<Item = String>) -> Result<String, String> {
    values.next().ok_or_else(|| format!("{flag} needs a value"))
}

fn number<T: std::str::FromStr>(flag: &str, text: &str, right: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag} {text}: right is {right}"))
}

/// A whole number within bounds.
fn within(flag: &str, text: &str, least: usize, most: usize) -> Result<usize, String> {
    let right = format!("a whole number from {least} to {most}");
    let value: usize = number(flag, text, &right)?;
    if (least..=most).contains(&value) { Ok(value) } else { Err(format!("{flag} {text}: right is {right}")) }
}

fn speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let right = "a number above 0, or max";
    let times: f64 = number("--speed", text, right)?;
    if times > 0.0 && times.is_finite() {
        Ok(Speed::Times(times))
    } else {
        Err(format!("--speed {text}: right is {right}"))
    }
}

/// Reads the flags; `default_seed` is used if none is given.
pub fn parse(flags: impl IntoIterator<Item = String>, default_seed: u64) -> Result<Parsed, String> {
    const PORT: &str = "a port from 0 to 65535";
    const SYMBOLS_MAX: usize = 2_000;
    const RATE_MAX: f64 = 100_000.0;
    const HISTORY_MAX: usize = 20_000;
    const CONNECTION_AGE_S_MAX: usize = 10 * 24 * 3600;
    let (mut account, mut scenario) = (None, None);
    let mut config = Config { seed: default_seed, control_port: Some(0), ..Config::default() };
    let (mut ready_file, mut chosen_speed, mut start) =
        (None, Speed::Times(1.0), StartWhen::SubscriptionCount(1));
    let (mut playback_binance, mut playback_hyperliquid) = (None, None);
    let mut flags = flags.into_iter();
    while let Some(flag) = flags.next() {
        let mut next = || value(&flag, &mut flags);
        match flag.as_str() {
            "--help" | "-h" => return Ok(Parsed::Help),
            "--no-tls" => config.tls = false,
            "--hyperliquid-port" => config.hyperliquid.port = number(&flag, &next()?, PORT)?,
            "--binance-port" => config.binance.port = number(&flag, &next()?, PORT)?,
            "--control-port" => config.control_port = Some(number(&flag, &next()?, PORT)?),
            "--ca" => config.ca_path = Some(next()?.into()),
            "--seed" => config.seed = number(&flag, &next()?, "a whole number from 0")?,
            "--symbols" => {
                let symbols = within(&flag, &next()?, 1, SYMBOLS_MAX)?;
                config.hyperliquid.market.symbols = symbols;
                config.binance.market.symbols = symbols;
            }
            "--binance-symbols" => config.binance.market.symbols = within(&flag, &next()?, 1, SYMBOLS_MAX)?,
            "--hyperliquid-symbols" => {
                config.hyperliquid.market.symbols = within(&flag, &next()?, 1, SYMBOLS_MAX)?;
            }
            "--other-kinds" => {
                config.hyperliquid.market.other_kinds = true;
                config.binance.market.other_kinds = true;
            }
            "--names" => {
                config.hyperliquid.market.named = true;
                config.binance.market.named = true;
            }
            "--history" => {
                let periods = within(&flag, &next()?, 0, HISTORY_MAX)?;
                config.hyperliquid.market.past_periods = periods;
                config.binance.market.past_periods = periods;
            }
            "--account" => {
                let address = next()?;
                if !sim::is_address(&address) {
                    return Err(format!("--account {address}: right is 0x and 40 hexadecimal digits"));
                }
                account = Some(address);
            }
            "--connection-age-s" => {
                let seconds = within(&flag, &next()?, 1, CONNECTION_AGE_S_MAX)?;
                config.binance.connection_age_ms_max = seconds as i64 * 1000;
            }
            "--rate" => {
                let right = format!("a number from 0 to {RATE_MAX}");
                let rate: f64 = number(&flag, &next()?, &right)?;
                if !(0.0..=RATE_MAX).contains(&rate) {
                    return Err(format!("--rate {rate}: right is {right}"));
                }
                config.hyperliquid.market.rate_per_s = rate;
                config.binance.market.rate_per_s = rate;
            }
            "--playback-binance" => playback_binance = Some(PathBuf::from(next()?)),
            "--playback-hyperliquid" => playback_hyperliquid = Some(PathBuf::from(next()?)),
            "--speed" => chosen_speed = speed(&next()?)?,
            "--start-after" => {
                start = match number(&flag, &next()?, "a whole number from 0")? {
                    0 => StartWhen::Command,
                    count => StartWhen::SubscriptionCount(count),
                }
            }
            "--scenario" => {
                let name = next()?;
                let read = Scenario::load(&name).map_err(|error| format!("--scenario {name}: {error}"))?;
                scenario = Some(read);
            }
            "--ready-file" => ready_file = Some(PathBuf::from(next()?)),
            other => return Err(format!("there is no flag {other}; there are {}", FLAGS.join(", "))),
        }
    }
    let playback = |path: PathBuf| PlaybackConfig {
        path,
        speed: chosen_speed,
        start: start.clone(),
        pause_at_rest: chosen_speed == Speed::Max,
    };
    config.binance.playback = playback_binance.map(playback);
    config.hyperliquid.playback = playback_hyperliquid.map(playback);
    Ok(Parsed::Run(Box::new(Args { config, ready_file, scenario, account })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Parsed, String> {
        parse(line.split_whitespace().map(str::to_owned), 7)
    }

    #[test]
    fn flags_become_a_configuration() {
        let line =
            "--seed 3 --no-tls --symbols 9 --rate 2.5 --playback-binance x.gz --speed max --binance-port 1";
        let Ok(Parsed::Run(args)) = parsed(line) else { panic!("good flags") };
        let more = "--binance-symbols 800 --hyperliquid-symbols 240 --names --other-kinds --history 5000";
        let Ok(Parsed::Run(big)) = parsed(more) else { panic!("good flags") };
        assert_eq!((big.config.binance.market.symbols, big.config.hyperliquid.market.symbols), (800, 240));
        assert!(big.config.binance.market.named && big.config.hyperliquid.market.past_periods == 5_000);
        assert_eq!((args.config.seed, args.config.tls, args.config.binance.port), (3, false, 1));
        assert_eq!(args.config.hyperliquid.market.symbols, 9);
        assert_eq!(args.config.binance.playback.map(|playback| playback.speed), Some(Speed::Max));
        assert!(matches!(parsed("--help"), Ok(Parsed::Help)));
    }

    #[test]
    fn every_flag_is_in_the_help_and_on_the_page() {
        let page = include_str!("../../docs/simulator.md");
        for flag in FLAGS {
            assert!(HELP.contains(flag), "{flag} is not in the help");
            assert!(page.contains(&format!("`{flag}")), "{flag} is not in docs/simulator.md");
        }
    }

    #[test]
    fn bad_flags_are_told_what_would_be_right() {
        for (line, told) in [
            ("--sead 3", "--seed"),
            ("--seed", "needs a value"),
            ("--seed x", "a whole number"),
            ("--speed 0", "a number above 0, or max"),
            ("--binance-port 99999", "0 to 65535"),
            ("--symbols 0", "from 1 to 2000"),
            ("--scenario bad-dya", "is it bad-day?); there are bad-day, day-cut, lying-venue"),
            ("--scenario nowhere.toml", "cannot read nowhere.toml"),
            ("--history -1", "from 0 to 20000"),
            ("--account 0x12", "40 hexadecimal digits"),
            ("--connection-age-s 0", "from 1 to"),
            ("--rate -1", "from 0 to"),
        ] {
            assert!(parsed(line).is_err_and(|text| text.contains(told)), "{line}");
        }
    }
}
