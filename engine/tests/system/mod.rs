//! The real daemon before simulated venues: started as a process, asked through its socket, stopped.
#![allow(dead_code)]

mod metrics;

pub use metrics::Metrics;

use sim::{Config, Sim};
use slipstream_client::{Client, Message};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything is waited for: several times what it takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Simulated venues and a daemon that holds connections to them.
pub struct Desk {
    pub sim: Sim,
    daemon: Child,
    directory: PathBuf,
    pub socket: PathBuf,
}

/// What of the daemon's configuration a test chooses.
pub struct Choice<'a> {
    pub hyperliquid: Option<&'a str>,
    pub binance: Option<&'a str>,
    /// Lines of `[retention]`.
    pub retention: &'a str,
}

impl Desk {
    /// Starts both; the venue tables are TOML lines (`symbols = […]`), absent for a venue that is off.
    pub fn start(config: Config, choice: &Choice<'_>) -> Self {
        Self::start_with(config, choice, |text| text)
    }

    /// As [`Desk::start`], with a last word on the daemon's configuration.
    pub fn start_with(mut config: Config, choice: &Choice<'_>, edit: impl FnOnce(String) -> String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("slipstream-desk-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        config.ca_path = Some(directory.join("ca.pem"));
        let sim = Sim::start(config).unwrap();
        let socket = directory.join("mktdata.sock");
        let mut text = format!(
            "[daemon]\nsocket_path = {socket:?}\nclients_buffer_mib = 16\nlog_level = \"debug\"\n\
             [threads]\nengine_wait = \"poll\"\nwait = \"park\"\n[health]\nmetrics_port = 0\n[retention]\ncandles_path = {:?}\n{}\n",
            directory.join("candles"),
            choice.retention
        );
        let venues = [
            ("hyperliquid", choice.hyperliquid, sim.hyperliquid()),
            ("binance", choice.binance, sim.binance()),
        ];
        for (name, lines, venue) in venues {
            if let Some(lines) = lines {
                text += &format!(
                    "[venues.{name}]\nwebsocket_url = {:?}\nrest_url = {:?}\ntls_ca_file = {:?}\nreconnect_delay_ms = 200\n{lines}\n",
                    venue.ws_url(),
                    venue.rest_url(),
                    sim.ca_path().unwrap(),
                );
            }
        }
        std::fs::write(directory.join("mktdata.toml"), edit(text)).unwrap();
        let daemon = spawn(&directory);
        Self { sim, daemon, directory, socket }
    }

    /// Ends the daemon by a signal, does something while it is down, and starts it again. The time of the start is
    /// the answer.
    pub fn restart(&mut self, signal: i32, meanwhile: impl FnOnce(&Path)) -> Instant {
        self.signal(signal);
        let asked = Instant::now();
        while self.is_running() {
            assert!(asked.elapsed() < PATIENCE, "signal {signal} does not end the daemon");
            std::thread::sleep(Duration::from_millis(5));
        }
        meanwhile(&self.directory);
        self.daemon = spawn(&self.directory);
        Instant::now()
    }

    /// Asks the daemon to stop; its exit code (none if a signal ended it) and how long it took.
    pub fn stop(&mut self) -> (Option<i32>, Duration) {
        self.signal(libc::SIGTERM);
        let asked = Instant::now();
        let status = wait_for("the daemon's end", || self.daemon.try_wait().unwrap());
        (status.code(), asked.elapsed())
    }

    /// Ends the daemon by a signal; how it ended.
    pub fn end(&mut self, signal: i32) -> ExitStatus {
        self.signal(signal);
        wait_for("the daemon's end", || self.daemon.try_wait().unwrap())
    }

    fn signal(&self, signal: i32) {
        // SAFETY: kill has no memory to touch, and the process is our own child, not yet waited for.
        unsafe { libc::kill(self.daemon.id() as i32, signal) };
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }

    /// What the daemon's figures are now.
    pub fn metrics(&self) -> Metrics {
        Metrics::ask(&self.metrics_address())
    }

    /// Where the daemon that runs now serves its figures, as its log says.
    pub fn metrics_address(&self) -> String {
        wait_for("the address of the metrics", || {
            let log = self.log();
            let of_this_run = &log[log.rfind("(the seed of all jitter)")?..];
            let (_, rest) = of_this_run.split_once("metrics: http://")?;
            Some(rest.split_once("/metrics")?.0.to_owned())
        })
    }

    /// A client, as soon as the socket serves.
    pub fn client(&self) -> Client {
        wait_for("the socket", || Client::connect(&self.socket).ok())
    }

    /// The daemon's resident memory, KiB.
    pub fn resident_kib(&self) -> u64 {
        let text = self.proc("status");
        let line = text.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// What the system says of the daemon's process, by the name of the file under `/proc`.
    pub fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.daemon.id())).unwrap()
    }

    /// How many files and sockets the daemon has open.
    pub fn descriptors(&self) -> u64 {
        std::fs::read_dir(format!("/proc/{}/fd", self.daemon.id())).unwrap().count() as u64
    }

    /// Allows the daemon so many descriptors from now on; none: as many as it may have.
    pub fn allow_descriptors(&self, count: Option<u64>) {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        let pid = self.daemon.id() as i32;
        // SAFETY: the process is our own child, not yet waited for, and the limit is written before it is read.
        unsafe {
            assert_eq!(libc::prlimit(pid, libc::RLIMIT_NOFILE, std::ptr::null(), &raw mut limit), 0);
            limit.rlim_cur = count.unwrap_or(limit.rlim_max);
            assert_eq!(libc::prlimit(pid, libc::RLIMIT_NOFILE, &raw const limit, std::ptr::null_mut()), 0);
        }
    }

    /// Whether the daemon still runs.
    pub fn is_running(&mut self) -> bool {
        self.daemon.try_wait().unwrap().is_none()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- the daemon's log\n{}", self.log());
        }
        self.signal(libc::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(15) {
            if let Ok(Some(_)) = self.daemon.try_wait() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// The daemon of a directory; its log goes on.
fn spawn(directory: &Path) -> Child {
    let log = std::fs::File::options().append(true).create(true).open(directory.join("log")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_slipstream-mktdata"))
        .arg("--config")
        .arg(directory.join("mktdata.toml"))
        .env_remove("MKTDATA_CONFIG")
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap()
}

/// Asks until there is an answer.
pub fn wait_for<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    wait_long_for(what, PATIENCE, ask)
}

/// As [`wait_for`], for what takes long of itself.
pub fn wait_long_for<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < patience, "waited {patience:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Receives until `done` says so, or the time is over (then with a panic that names what was awaited).
pub fn receive_until(client: &mut Client, what: &str, mut done: impl FnMut(Message) -> bool) {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(message) = client.recv(Duration::from_millis(200)).unwrap()
            && done(message)
        {
            return;
        }
    }
    panic!("waited {PATIENCE:?} in vain for {what}");
}

/// A price or size off the socket, back at 1e-8: exact, because it came from there.
pub fn e8(value: f64) -> i64 {
    (value * 1e8).round() as i64
}
