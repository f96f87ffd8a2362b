//! The daemon and its program: starting, stopping, refusing.

mod bench_net;

use bench_net::{TempDir, closed_port, text, wait_for};
use engine::config::Config;
use engine::daemon::{Daemon, DaemonError};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// Both venues, at ports where nobody answers.
fn config_text(directory: &TempDir) -> String {
    let port = closed_port();
    format!(
        "[daemon]\nsocket_path = \"{}\"\nclients_buffer_mib = 1\n[threads]\nengine_wait = \"poll\"\nwait = \"park\"\n\
         [retention]\ncandles_path = \"{}\"\n\
         [venues.binance]\nwebsocket_url = \"ws://127.0.0.1:{port}\"\nrest_url = \"http://127.0.0.1:{port}\"\n\
         [venues.hyperliquid]\nwebsocket_url = \"ws://127.0.0.1:{port}/ws\"\nrest_url = \"http://127.0.0.1:{port}\"\n",
        text(&directory.path("mktdata.sock")),
        text(&directory.path("candles"))
    )
}

fn config(directory: &TempDir) -> Config {
    Config::parse(&config_text(directory), "test.toml", Vec::new()).unwrap()
}

#[test]
fn a_daemon_serves_its_socket_from_start_to_stop() {
    let directory = TempDir::new();
    let config = config(&directory);
    let daemon = Daemon::start(&config).unwrap();
    assert_eq!(daemon.socket_path(), config.daemon.socket_path);
    UnixStream::connect(daemon.socket_path()).expect("the socket serves when start returns");
    for name in ["engine", "ipc", "connector", "fetcher", "ops"] {
        wait_for("every thread to turn", || {
            daemon.progress().find(|(thread, turns)| *thread == name && *turns > 3)
        });
    }
    assert_eq!(daemon.has_died(), None);
    // A second one finds the socket taken, and leaves it alone.
    let Err(DaemonError::Socket(error)) = Daemon::start(&config) else { panic!("two daemons on a socket") };
    assert!(error.to_string().contains("mktdata.sock"), "{error}");
    UnixStream::connect(daemon.socket_path()).expect("the first goes on");
    daemon.stop();
    daemon.join().unwrap();
    assert!(UnixStream::connect(&config.daemon.socket_path).is_err());
    // And again, in the same process.
    let daemon = Daemon::start(&config).unwrap();
    daemon.stop();
    daemon.join().unwrap();
}

#[test]
fn every_run_has_its_own_id() {
    let (one, other) = (TempDir::new(), TempDir::new());
    let daemons = [Daemon::start(&config(&one)).unwrap(), Daemon::start(&config(&other)).unwrap()];
    assert_ne!(daemons[0].run_id(), daemons[1].run_id());
    for daemon in daemons {
        daemon.stop();
        daemon.join().unwrap();
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipstream-mktdata"));
    command.args(arguments).env_remove("MKTDATA_CONFIG");
    command
}

fn output(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: kill has no memory to touch, and the process is our own child, not yet waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

#[test]
fn exit_codes_are_the_documented_ones() {
    let directory = TempDir::new();
    let file = directory.path("mktdata.toml");
    std::fs::write(&file, config_text(&directory)).unwrap();
    let path = text(&file);

    let (code, printed, _) = output(&mut program(&["--check", "--config", &path]));
    assert_eq!(code, 0);
    assert!(printed.contains("[venues.hyperliquid.rate_limits]"));
    assert_eq!(Config::parse(&printed, "printed", Vec::new()).unwrap(), config_without_warnings(&file));
    let (code, _, error) = output(program(&["--check"]).env("MKTDATA_CONFIG", "/nonexistent"));
    assert_eq!(code, 2);
    assert!(error.contains("/nonexistent: cannot read the configuration"), "{error}");
    let with_override = |name, value| output(program(&["--check", "--config", &path]).env(name, value));
    let (code, printed, _) = with_override("SLIPSTREAM_DAEMON__MAX_CLIENTS", "3");
    assert!(code == 0 && printed.contains("max_clients = 3"));
    assert_eq!(with_override("SLIPSTREAM_DAEMON__MAX_CLIENTS", "0").0, 2);
    assert_eq!(with_override("SLIPSTREAM_SOCKET", "/anything").0, 0);
    let (code, _, error) = output(&mut program(&["--bogus"]));
    assert!(code == 2 && error.contains("--bogus"), "{error}");
    let (code, printed, _) = output(&mut program(&["--version"]));
    assert_eq!(
        (code, printed.as_str()),
        (0, concat!("slipstream-mktdata ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    assert!(output(&mut program(&["--help"])).1.contains("--config PATH"));

    // A path that is not a socket is left alone: exit 1, naming it.
    std::fs::write(directory.path("mktdata.sock"), "precious").unwrap();
    let (code, _, error) = output(&mut program(&["--config", &path]));
    assert!(code == 1 && error.contains("mktdata.sock"), "{code} {error}");
    assert_eq!(std::fs::read_to_string(directory.path("mktdata.sock")).unwrap(), "precious");
}

fn config_without_warnings(file: &Path) -> Config {
    Config { warnings: Vec::new(), ..Config::load(file).unwrap() }
}

#[test]
fn signals_stop_it_cleanly_and_promptly() {
    for number in [libc::SIGTERM, libc::SIGINT] {
        let directory = TempDir::new();
        let file = directory.path("mktdata.toml");
        std::fs::write(&file, config_text(&directory) + "[recorder]\n[shm]\n").unwrap();
        let mut child = program(&["--config", &text(&file)]).stderr(Stdio::piped()).spawn().unwrap();
        let socket = directory.path("mktdata.sock");
        wait_for("the socket", || UnixStream::connect(&socket).ok());
        let asked = Instant::now();
        signal(&child, number);
        wait_for("the end", || child.try_wait().unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(asked.elapsed().as_secs() < 5);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{log}");
        for line in ["slipstream-mktdata ", "nothing is journaled", "no shared memory", "stopped"] {
            assert!(log.contains(line), "{line:?} in {log}");
        }
    }
}
