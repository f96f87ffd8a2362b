//! The demo, and with its daemon the other commands, as somebody uses them.
//!
//! The programs of the other crates are looked for beside ours: `cargo build --workspace` makes them.

use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn program() -> Command {
    let us = Path::new(env!("CARGO_BIN_EXE_slipstream"));
    for name in ["slipstream-sim", "slipstream-mktdata"] {
        let path = us.with_file_name(name);
        assert!(path.exists(), "{} is missing: run `cargo build --workspace` first", path.display());
    }
    let mut command = Command::new(us);
    command.env_remove("SLIPSTREAM_SOCKET").env_remove("DEMO_SECONDS");
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().expect("the program")
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("a signal");
}

fn end_of(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait().expect("its state") {
            Some(status) => return status,
            None if Instant::now() > deadline => panic!("it does not end"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The socket that a demo names.
fn socket_in(text: &str) -> PathBuf {
    let path = text.lines().find_map(|line| line.split_once("SLIPSTREAM_SOCKET="));
    path.expect("a socket").1.trim().into()
}

/// A demo that runs; whatever happens to the test, it ends.
struct Demo {
    child: Child,
    lines: BufReader<ChildStdout>,
    socket: PathBuf,
}

impl Demo {
    fn start() -> Self {
        let mut child = program()
            .arg("demo")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(child.stdout.take().expect("its output"));
        let mut seen = String::new();
        while !seen.ends_with("tail binance BTCUSDT\n") {
            if lines.read_line(&mut seen).expect("a line") == 0 {
                let mut told = String::new();
                child.stderr.take().expect("its errors").read_to_string(&mut told).expect("text");
                panic!("it does not start:\n{seen}{told}");
            }
        }
        let socket = socket_in(&seen);
        Self { child, lines, socket }
    }

    fn socket(&self) -> &str {
        self.socket.to_str().expect("a path in UTF-8")
    }

    /// Reads on until a line contains this.
    fn line_with(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut line = String::new();
            assert!(self.lines.read_line(&mut line).expect("a line") > 0, "the output ends before {text:?}");
            if line.contains(text) {
                return line;
            }
            assert!(Instant::now() < deadline, "{text:?} does not come");
        }
    }

    /// The rest of standard output and of standard error.
    fn rest(&mut self) -> (String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        self.lines.read_to_string(&mut out).expect("text");
        self.child.stderr.take().expect("its errors").read_to_string(&mut err).expect("text");
        (out, err)
    }

    /// A program that it has started.
    fn started(&self, name: &str) -> Pid {
        let id = self.child.id();
        let children =
            std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("its children");
        let found = children.split_whitespace().find(|child| {
            let command = std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            command.split('\0').next().is_some_and(|program| program.ends_with(name))
        });
        let id = found.unwrap_or_else(|| panic!("{name} does not run")).parse().expect("a number");
        Pid::from_raw(id).expect("a process")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            signal(&self.child, Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

#[test]
fn it_shows_both_venues_and_ends_after_its_time() {
    let output = program().arg("demo").env("DEMO_SECONDS", "3").output().expect("the program");
    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    assert!(told.is_empty(), "{told}");
    for symbol in ["BTCUSDT", "1000PEPEUSDT", "BTC", "kPEPE"] {
        let row = text.lines().rev().find(|line| line.split_whitespace().nth(2) == Some(symbol));
        let row = row.unwrap_or_else(|| panic!("{symbol} is missing:\n{text}"));
        assert!(row.contains(" bps  last ") && row.contains("/s  "), "{row}");
    }
    let closing = text.lines().last().expect("a line");
    assert!(closing.starts_with("demo: ") && closing.ends_with("both venues live"), "{closing}");
    let socket = socket_in(&text);
    let directory = socket.parent().expect("a directory");
    assert!(!directory.exists(), "{} is left behind", directory.display());
}

#[test]
fn while_it_runs_the_other_commands_can_be_tried() {
    let mut demo = Demo::start();
    demo.line_with("kPEPE");
    let at = ["--socket", demo.socket()];

    let output = run(&[&["tail", "binance", "BTCUSDT", "--json", "--count", "20"], &at[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 20);
    for line in text.lines() {
        let message: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert!(message["type"].is_string() && message["data"]["symbol"] == "BTCUSDT", "{line}");
    }

    let arguments = ["tail", "hyperliquid", "BTC", "--mode", "delta", "--depth", "2", "--count", "15"];
    let output = run(&[&arguments[..], &["--streams", "orderbook"], &at].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().any(|line| line.contains("  snapshot  ")) && text.contains(" after #"), "{text}");

    let output = run(&[&["tail", "binance", "BTCUSD"], &at[..]].concat());
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(told.contains("did you mean \"BTCUSDT\"?") && told.contains("unknown_symbol"), "{told}");

    let output = run(&[&["top", "--once", "--symbols", "ETH,ETHUSDT"], &at[..]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("VENUE") && !text.contains('\x1b') && !text.contains("SOL"), "{text}");
    assert_eq!(text.lines().filter(|line| line.contains("ETH")).count(), 2, "{text}");

    for ending in [Signal::INT, Signal::TERM] {
        let mut tail = program()
            .args(["tail", "binance", "ETHUSDT"])
            .args(at)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut line = String::new();
        BufReader::new(tail.stdout.as_mut().expect("its output")).read_line(&mut line).expect("a line");
        signal(&tail, ending);
        assert_eq!(end_of(&mut tail).code(), Some(0), "a signal ends it cleanly");
    }
    let mut tail = program()
        .args(["tail", "binance", "ETHUSDT"])
        .args(at)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program");
    drop(tail.stdout.take());
    assert_eq!(end_of(&mut tail).code(), Some(0), "a closed pipe is no failure");
    let mut told = String::new();
    tail.stderr.take().expect("its errors").read_to_string(&mut told).expect("text");
    assert_eq!(told, "");

    signal(&demo.child, Signal::INT);
    let (out, told) = demo.rest();
    assert_eq!((end_of(&mut demo.child).code(), told.as_str()), (Some(0), ""));
    assert!(out.ends_with("both venues live\n"), "{out}");
    assert!(!demo.socket.parent().expect("a directory").exists());
}

#[test]
fn a_program_that_dies_is_told_with_the_end_of_its_log() {
    let mut demo = Demo::start();
    demo.line_with("kPEPE");
    let sim = demo.started("slipstream-sim");
    kill_process(demo.started("slipstream-mktdata"), Signal::KILL).expect("a signal");
    let (_, told) = demo.rest();
    assert_eq!(end_of(&mut demo.child).code(), Some(1));
    for expected in ["slipstream-mktdata ended unasked", "its log ends:", "INFO  slipstream]"] {
        assert!(told.contains(expected), "{expected:?} is missing:\n{told}");
    }
    let running = Path::new("/proc").join(sim.as_raw_nonzero().to_string()).join("cmdline");
    assert!(!running.exists(), "the simulation is left behind");
    let directory = demo.socket.parent().expect("a directory");
    assert!(told.contains(&format!("the logs are kept in {}", directory.display())), "{told}");
    std::fs::remove_dir_all(directory).expect("removing it");
}

#[test]
fn on_a_terminal_the_table_stays_in_place_and_the_terminal_is_given_back() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("its other end");
    let name = ptsname(&ours, Vec::new()).expect("its name").into_string().expect("in UTF-8");
    let theirs = File::options().read(true).write(true).open(name).expect("its other end");
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&theirs, size).expect("its size");
    let before = rustix::termios::tcgetattr(&theirs).expect("its settings").local_modes;

    let input = theirs.try_clone().expect("a copy");
    let output = theirs.try_clone().expect("a copy");
    let mut child = program()
        .arg("demo")
        .env("TERM", "xterm")
        .env_remove("NO_COLOR")
        .stdin(input)
        .stdout(output)
        .spawn()
        .expect("the program");
    let mut terminal = File::from(ours);
    let mut seen = String::new();
    let mut read_until = |seen: &mut String, text: &str| {
        let deadline = Instant::now() + PATIENCE;
        while !seen.contains(text) {
            assert!(Instant::now() < deadline, "{text:?} does not come:\n{seen}");
            // A terminal of which the test holds both ends never ends: only look when there is something.
            let mut wanted = [rustix::event::PollFd::new(&terminal, rustix::event::PollFlags::IN)];
            let look = rustix::event::Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
            if rustix::event::poll(&mut wanted, Some(&look)).expect("a look") == 0 {
                continue;
            }
            let mut bytes = [0; 4096];
            let count = terminal.read(&mut bytes).expect("text");
            seen.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    };
    read_until(&mut seen, "\x1b[32mlive\x1b[0m");
    read_until(&mut seen, "kPEPE");
    // Long enough for every stream of both venues to have had its first data.
    read_until(&mut seen, "up 00:00:03");
    let (head, table) = seen.split_once("\x1b[?1049h").expect("the alternate screen");
    assert!(head.contains("SLIPSTREAM_SOCKET=") && table.contains("VENUE") && table.contains("log /"));
    signal(&child, Signal::TERM);
    read_until(&mut seen, "both venues live");
    let (_, after) = seen.split_once("\x1b[?1049l").expect("the usual screen");
    assert!(after.contains("demo: "), "{after}");
    assert_eq!(end_of(&mut child).code(), Some(0));
    assert_eq!(rustix::termios::tcgetattr(&theirs).expect("its settings").local_modes, before);
}
