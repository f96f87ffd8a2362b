//! Stopping in bad moments: under load, with clients, venues, disks and logs that take or give nothing. Each time
//! the exit code is 0 and the end comes soon.

mod bench_net;
mod system;

use bench_net::{TempDir, closed_port, text};
use sim::Config;
use slipstream_client::{Client, ClientError, Message, request};
use std::io::{PipeReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use system::{Choice, Desk, receive_until, wait_for};

/// Three times what is promised.
const SOON: Duration = Duration::from_secs(15);

/// A daemon of its own configuration, without a simulation.
struct Daemon {
    directory: TempDir,
    child: Child,
}

impl Daemon {
    /// Both venues at these ports, in plain text.
    fn start(websocket_port: u16, rest_port: u16, stderr: Stdio) -> Self {
        let directory = TempDir::new();
        let lines = format!(
            "[daemon]\nsocket_path = {:?}\nclients_buffer_mib = 1\nlog_level = \"debug\"\n\
             [threads]\nengine_wait = \"poll\"\nwait = \"park\"\n[health]\nmetrics_port = 0\n\
             [retention]\ncandles_path = {:?}\n\
             [venues.binance]\nwebsocket_url = \"ws://127.0.0.1:{websocket_port}\"\n\
             rest_url = \"http://127.0.0.1:{rest_port}\"\nreconnect_delay_ms = 10\n\
             [venues.hyperliquid]\nwebsocket_url = \"ws://127.0.0.1:{websocket_port}/ws\"\n\
             rest_url = \"http://127.0.0.1:{rest_port}\"\nreconnect_delay_ms = 10\n",
            text(&directory.path("mktdata.sock")),
            text(&directory.path("candles")),
        );
        let file = directory.path("mktdata.toml");
        std::fs::write(&file, lines).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_slipstream-mktdata"))
            .args(["--config", &text(&file)])
            .env_remove("MKTDATA_CONFIG")
            .stderr(stderr)
            .spawn()
            .unwrap();
        Self { directory, child }
    }

    fn client(&self) -> Client {
        let socket = self.directory.path("mktdata.sock");
        wait_for("the socket", || Client::connect(&socket).ok())
    }

    /// Whether a signal is obeyed from now on.
    fn obeys(&self, signal: i32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & 1 << (signal - 1) != 0
    }

    fn stop(mut self) {
        // SAFETY: kill has no memory to touch, and the process is our own child, not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) }, 0);
        let asked = Instant::now();
        let status = wait_for("the end", || self.child.try_wait().unwrap());
        check((status.code(), asked.elapsed()));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn check((code, took): (Option<i32>, Duration)) {
    println!("ended after {took:?}");
    assert_eq!(code, Some(0));
    assert!(took < SOON, "{took:?}");
}

/// Somebody who connects, and is then left alone.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    wait_for("somebody to connect", || listener.accept().ok()).0
}

/// Hears a client to its end; the states of the venues' connections that it was told.
fn last_words(mut client: Client) -> Vec<(String, String)> {
    let mut told = Vec::new();
    loop {
        match client.recv(Duration::from_secs(60)) {
            Ok(Some(Message::Status(status))) => told.push((status.state, status.reason)),
            Ok(Some(_)) => {}
            Ok(None) => panic!("neither a word nor an end"),
            Err(ClientError::Closed) => return told,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn under_load_with_a_client_that_never_reads() {
    let mut config = Config::default();
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.symbols, market.rate_per_s, market.trade_share) = (6, 300.0, 0.3);
        (market.retention_ms, market.segment_changes) = (10_000, 512);
    }
    let symbols = ["BTCUSDT", "ETHUSDT", "SOLUSDT"];
    let choice = Choice {
        hyperliquid: Some("symbols = [\"BTC\", \"ETH\"]"),
        binance: Some("symbols = [\"BTCUSDT\", \"ETHUSDT\", \"SOLUSDT\"]"),
        retention: "",
    };
    let mut desk = Desk::start(config, &choice);
    let (mut good, mut deaf) = (desk.client(), desk.client());
    for symbol in symbols {
        wait_for("a live book", || {
            good.request(&request("get_orderbook").venue("binance").symbol(symbol)).ok()
        });
        for client in [&mut good, &mut deaf] {
            client.subscribe_orderbook("binance", symbol, 1000, "full").unwrap();
            client.subscribe_trades("binance", symbol).unwrap();
        }
    }
    // By then the other one, which is sent the same, has long been blocked: its socket holds a few of these books.
    let mut books = 0;
    receive_until(&mut good, "a hundred books", |message| {
        books += usize::from(matches!(message, Message::OrderbookUpdate(_)));
        books >= 100
    });
    let listener = std::thread::spawn(move || last_words(good));
    check(desk.stop());
    let told = listener.join().unwrap();
    assert!(told.contains(&("down".to_owned(), "shutdown".to_owned())), "{told:?}");
    drop(deaf);
}

/// The faults: a venue that takes connections and never says a word, by WebSocket and by REST.
#[test]
fn with_venues_that_never_answer() {
    let (websocket, rest) =
        (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let daemon = Daemon::start(port(&websocket), port(&rest), Stdio::inherit());
    // Accepted and left alone: each is somebody who waits now. Some wait for lists before they connect.
    let waiting = accept(&rest);
    let _client = daemon.client();
    daemon.stop();
    drop((waiting, websocket));
}

/// The fault: a connection attempt that hangs in its handshake.
#[test]
fn with_a_connection_attempt_that_hangs() {
    let mut config = Config::default();
    config.binance.market.symbols = 2;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let choice = Choice { hyperliquid: None, binance: Some("symbols = [\"BTCUSDT\"]"), retention: "" };
    let mut desk = Desk::start_with(config, &choice, |text| {
        let begins = text.find("websocket_url").unwrap();
        let ends = begins + text[begins..].find('\n').unwrap();
        format!("{}websocket_url = \"wss://localhost:{port}\"{}", &text[..begins], &text[ends..])
    });
    // The lists come by REST; what waits for TLS here waits for ten seconds.
    let waiting = accept(&silent);
    let _client = desk.client();
    check(desk.stop());
    drop(waiting);
}

/// A pipe with no room left.
fn full_pipe() -> (PipeReader, Stdio) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    use std::os::fd::AsRawFd;
    let descriptor = writer.as_raw_fd();
    let flags = |flags: libc::c_int| {
        // SAFETY: a descriptor of our own, and a flag.
        assert_eq!(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags) }, 0);
    };
    flags(libc::O_NONBLOCK);
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    while writer.write(b"\n").is_ok() {}
    // The daemon's writes block, as they would in a shell's pipe.
    flags(0);
    (reader, Stdio::from(writer))
}

/// The fault: standard error is a pipe that nobody reads, full before the first line.
#[test]
fn with_a_log_that_nobody_reads() {
    let port = closed_port();
    let (mut reader, stderr) = full_pipe();
    let daemon = Daemon::start(port, port, stderr);
    let mut client = daemon.client();
    // It serves all the same, and has much to say: nobody answers at the venues' ports.
    client.request(&request("ping")).unwrap();
    daemon.stop();
    // Nobody was made to wait for it, and nothing came out of order: the pipe is what it was.
    let mut said = Vec::new();
    reader.read_to_end(&mut said).unwrap();
    assert!(said.iter().all(|byte| *byte == b'\n'), "{:?}", String::from_utf8_lossy(&said));
}

/// From the moment at which signals are obeyed, long before everything has started.
#[test]
fn while_it_starts() {
    for round in 0..8 {
        let port = closed_port();
        let daemon = Daemon::start(port, port, Stdio::inherit());
        let mut polls = 0u64;
        while !daemon.obeys(libc::SIGTERM) {
            polls += 1;
            std::thread::yield_now();
        }
        println!("round {round}: obeys after {polls} looks");
        daemon.stop();
    }
}

/// The fault: a disk that does not answer, here a candle file that is a pipe nobody writes to.
#[test]
fn with_a_disk_that_hangs() {
    let mut config = Config::default();
    config.binance.market.symbols = 2;
    let choice = Choice { hyperliquid: None, binance: Some("symbols = [\"BTCUSDT\"]"), retention: "" };
    let mut fifo = None;
    let mut desk = Desk::start_with(config, &choice, |text| {
        let of = |key: &str| {
            let begins = text.find(key).unwrap() + key.len();
            text[begins..].lines().next().unwrap().trim_matches([' ', '=', '"']).to_owned()
        };
        let port = of("rest_url").rsplit(':').next().unwrap().to_owned();
        let directory = format!("{}/binance-localhost_{port}", of("candles_path"));
        std::fs::create_dir_all(&directory).unwrap();
        let path = format!("{directory}/BTCUSDT.15m.candles");
        let name = std::ffi::CString::new(path.clone()).unwrap();
        // SAFETY: a string that ends with a zero, and a mode.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        fifo = Some(path);
        text.clone()
    });
    let mut client = desk.client();
    wait_for("a live book beside it", || {
        client.request(&request("get_orderbook").venue("binance").symbol("BTCUSDT")).ok()
    });
    check(desk.stop());
    let log = desk.log();
    assert!(log.contains("thread history did not stop within its time"), "{log}");
    drop(fifo);
}
