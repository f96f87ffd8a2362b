//! `slipstream demo`: simulated venues and a daemon in a temporary directory, and the live table of both.

mod child;
mod directory;

use crate::connection::{Connection, field};
use crate::error::ToolError;
use crate::format::grouped;
use crate::output;
use crate::stop::Stop;
use crate::top::{self, Stage, Totals};
use child::Child;
use directory::Directory;
use serde_json::Value as Json;
use slipstream_client::{Value, request};
use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

/// What `slipstream demo --help` prints.
pub const HELP: &str = "\
slipstream demo - simulated venues, a daemon, and the live table of both

Usage: slipstream demo [options]

  --seconds N            end after N seconds (default: DEMO_SECONDS, else at Ctrl-C)
  --scenario NAME|FILE   let things go wrong: bad-day, day-cut, lying-venue, or a file of your own
  --help                 this text

Starts slipstream-sim and slipstream-mktdata, which lie beside this program, in a temporary
directory, shows what `slipstream top` shows, and stops and removes everything at the end. While it
runs, the socket that it names serves any other client. Exit code 1 if not both venues were live.
";

/// What each venue shows.
const SYMBOLS: [(&str, &[&str]); 2] = [
    ("hyperliquid", &["BTC", "ETH", "SOL", "kPEPE"]),
    ("binance", &["BTCUSDT", "ETHUSDT", "SOLUSDT", "1000PEPEUSDT"]),
];

/// How long either program may take until it can be used.
const START_MAX: Duration = Duration::from_secs(30);
/// Between two looks at whether it can.
const LOOK: Duration = Duration::from_millis(50);

/// How it is run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// How long; `None`: until a signal.
    pub length: Option<Duration>,
    /// What goes wrong meanwhile, by name or path, as slipstream-sim takes it.
    pub scenario: Option<OsString>,
}

/// Runs until a signal or the end of its time.
pub fn run(options: &Options) -> Result<(), ToolError> {
    let stop = Stop::on_signals()?;
    let mut directory = Directory::create()?;
    let result = stage(options, &stop, &directory);
    if !matches!(result, Ok(()) | Err(ToolError::OutputClosed | ToolError::Interrupted)) {
        directory.keep();
        eprintln!("slipstream: the logs are kept in {}", directory.path().display());
    }
    result
}

/// Everything that needs the directory.
fn stage(options: &Options, stop: &Stop, directory: &Directory) -> Result<(), ToolError> {
    let (mut sim, addresses) = start_sim(options, stop, directory)?;
    let config = directory.path().join("mktdata.toml");
    let socket = directory.path().join("mktdata.sock");
    write(&config, &daemon_config(&addresses, &socket)?)?;
    let mut daemon =
        Child::start("slipstream-mktdata", &["--config".as_ref(), config.as_ref()], directory.path())?;
    let show = top::Options { sockets: vec![socket.clone()], ..top::Options::default() };
    wait_until_connected(stop, &mut sim, &mut daemon, &show)?;
    let mut notes = vec![format!("log {}", daemon.log().display())];
    if let Some(scenario) = &options.scenario {
        notes.push(format!("scenario {}: what goes wrong is in {}", scenario.display(), sim.log().display()));
    }
    notes.extend([
        "in another terminal:".to_owned(),
        format!("  export SLIPSTREAM_SOCKET={}", socket.display()),
        format!("  {} tail binance BTCUSDT", us()),
    ]);
    output::print(&(notes.join("\n") + "\n"))?;
    let shown = Instant::now();
    let mut check = || sim.check().and_then(|()| daemon.check());
    let totals = top::show(&show, Stage { stop, length: options.length, notes, check: &mut check })?;
    // The daemon first: without its venues it would only have losses to tell of.
    daemon.stop()?;
    sim.stop()?;
    let (missing, text) = closing(&totals, shown.elapsed());
    output::print(&(text + "\n"))?;
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(ToolError::Failed(format!("{} was never live", missing.join(" and ")))),
    }
}

/// This program as it can be typed here.
fn us() -> String {
    let us = std::env::current_exe().ok();
    let here = std::env::current_dir().ok();
    match (&us, &here) {
        (Some(us), Some(here)) => us.strip_prefix(here).unwrap_or(us).display().to_string(),
        _ => "slipstream".to_owned(),
    }
}

fn write(path: &Path, text: &str) -> Result<(), ToolError> {
    std::fs::write(path, text).map_err(|source| ToolError::io(format!("writing {}", path.display()), source))
}

/// The simulated venues and their addresses.
fn start_sim(options: &Options, stop: &Stop, directory: &Directory) -> Result<(Child, Json), ToolError> {
    let ready = directory.path().join("sim.json");
    let ca = directory.path().join("ca.pem");
    let mut arguments = vec!["--ca".as_ref(), ca.as_os_str(), "--ready-file".as_ref(), ready.as_os_str()];
    if let Some(scenario) = &options.scenario {
        arguments.extend(["--scenario".as_ref(), scenario.as_os_str()]);
    }
    let mut sim = Child::start("slipstream-sim", &arguments, directory.path())?;
    let deadline = Instant::now() + START_MAX;
    while !ready.exists() {
        sim.check()?;
        if stop.is_asked() {
            return Err(ToolError::Interrupted);
        }
        if Instant::now() > deadline {
            return Err(sim.failed(&format!("is not ready after {} s", START_MAX.as_secs())));
        }
        std::thread::sleep(LOOK);
    }
    let text = std::fs::read_to_string(&ready)
        .map_err(|source| ToolError::io(format!("reading {}", ready.display()), source))?;
    let addresses = serde_json::from_str(&text)
        .map_err(|error| ToolError::Failed(format!("slipstream-sim wrote {text:?}: {error}")))?;
    Ok((sim, addresses))
}

/// Waits until the daemon serves and is connected to both venues.
fn wait_until_connected(
    stop: &Stop,
    sim: &mut Child,
    daemon: &mut Child,
    show: &top::Options,
) -> Result<(), ToolError> {
    let deadline = Instant::now() + START_MAX;
    loop {
        sim.check()?;
        daemon.check()?;
        let trouble = match venues_connected(show) {
            Ok(venues) => {
                let connected =
                    |name: &str| venues.iter().any(|(known, connected)| known == name && *connected);
                let missing = SYMBOLS.iter().map(|(name, _)| *name).filter(|name| !connected(name));
                let missing = missing.collect::<Vec<_>>().join(" and ");
                if missing.is_empty() {
                    return Ok(());
                }
                format!("{missing} is not connected")
            }
            Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
        };
        if stop.is_asked() {
            return Err(ToolError::Interrupted);
        }
        if Instant::now() > deadline {
            let waited = START_MAX.as_secs();
            return Err(daemon.failed(&format!("is not ready after {waited} s: {trouble}")));
        }
        std::thread::sleep(LOOK);
    }
}

/// Each venue of the daemon, and whether it is connected.
fn venues_connected(show: &top::Options) -> Result<Vec<(String, bool)>, ToolError> {
    let mut connection = Connection::open(&show.sockets, "slipstream demo")?;
    let (_, report) = connection.client.request(&request("get_status"))?;
    let venues = field(&report, "venues").and_then(Value::as_map).into_iter().flatten();
    let connected = |venue: &Value| field(venue, "connected").and_then(Value::as_bool).unwrap_or(false);
    Ok(venues.filter_map(|(name, venue)| Some((name.as_str()?.to_owned(), connected(venue)))).collect())
}

/// The daemon's configuration for the addresses that the simulation told.
fn daemon_config(addresses: &Json, socket: &Path) -> Result<String, ToolError> {
    let told = |path: &str| {
        let text = addresses.pointer(path).and_then(Json::as_str);
        text.ok_or_else(|| ToolError::Failed(format!("slipstream-sim does not tell {path}: {addresses}")))
    };
    let mut text = format!(
        "[daemon]\nsocket_path = {}\n\n[threads]\nengine_wait = \"poll\"\nwait = \"park\"\n\n\
         [health]\nmetrics_port = 0\n\n[retention]\ncandles_path = {}\n",
        toml(&socket.display().to_string()),
        toml(&socket.with_file_name("candles").display().to_string())
    );
    for (venue, symbols) in SYMBOLS {
        text += &format!(
            "\n[venues.{venue}]\nwebsocket_url = {}\nrest_url = {}\ntls_ca_file = {}\nsymbols = [{}]\n",
            toml(told(&format!("/{venue}/ws"))?),
            toml(told(&format!("/{venue}/rest"))?),
            toml(told("/ca")?),
            symbols.iter().map(|symbol| toml(symbol)).collect::<Vec<_>>().join(", ")
        );
    }
    Ok(text)
}

/// A TOML string.
fn toml(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char.is_control() => out += &format!("\\u{:04X}", u32::from(char)),
            char => out.push(char),
        }
    }
    out + "\""
}

/// The venues that were never live, and the closing line.
fn closing(totals: &Totals, length: Duration) -> (Vec<&'static str>, String) {
    let venues = SYMBOLS.iter().map(|(name, _)| *name);
    let missing: Vec<_> = venues.filter(|name| !totals.live_venues.contains(*name)).collect();
    let live = match missing.len() {
        0 => "both venues live".to_owned(),
        _ => format!("{} never live", missing.join(" and ")),
    };
    let text =
        format!("demo: {} messages in {:.1} s, {live}", grouped(totals.messages), length.as_secs_f64());
    (missing, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_configuration_holds_what_the_simulation_told() {
        let addresses = serde_json::json!({
            "hyperliquid": {"ws": "wss://localhost:1/ws", "rest": "https://localhost:1"},
            "binance": {"ws": "wss://localhost:2", "rest": "https://localhost:2"},
            "ca": "/tmp/a \"b\\/ca.pem",
        });
        let text = daemon_config(&addresses, Path::new("/tmp/x/mktdata.sock")).expect("a configuration");
        for expected in [
            "socket_path = \"/tmp/x/mktdata.sock\"",
            "candles_path = \"/tmp/x/candles\"",
            "[venues.hyperliquid]\nwebsocket_url = \"wss://localhost:1/ws\"\nrest_url = \"https://localhost:1\"",
            "tls_ca_file = \"/tmp/a \\\"b\\\\/ca.pem\"",
            "symbols = [\"BTCUSDT\", \"ETHUSDT\", \"SOLUSDT\", \"1000PEPEUSDT\"]",
        ] {
            assert!(text.contains(expected), "{expected} is missing:\n{text}");
        }
        let error = daemon_config(&serde_json::json!({}), Path::new("/x")).expect_err("no addresses");
        assert!(error.to_string().contains("/hyperliquid/ws"), "{error}");
    }

    #[test]
    fn the_closing_line_says_what_was_live() {
        let live = |venues: &[&str]| Totals {
            messages: 34_567,
            live_venues: venues.iter().map(|venue| (*venue).to_owned()).collect::<BTreeSet<_>>(),
        };
        let length = Duration::from_millis(12_040);
        let (missing, text) = closing(&live(&["binance", "hyperliquid"]), length);
        assert_eq!((missing.len(), text.as_str()), (0, "demo: 34,567 messages in 12.0 s, both venues live"));
        let (missing, text) = closing(&live(&["binance"]), length);
        assert_eq!(missing, ["hyperliquid"]);
        assert_eq!(text, "demo: 34,567 messages in 12.0 s, hyperliquid never live");
    }
}
