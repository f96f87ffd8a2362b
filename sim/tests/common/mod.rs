//! What the tests share: clients that know nothing of the simulator's code, a naive book, and a venue driven by hand.

// Each test file uses its own part of this.
#![allow(dead_code)]

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;
use sim::protocol::{Action, Backlog, ConnectionId, Protocol, Request, Response, Target};
use sim::{
    Binance, BinanceConfig, Config, Hyperliquid, HyperliquidConfig, Market, MarketHandle, SharedCounters,
    Sim, TruthBook, Venue, parse_e8,
};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tungstenite::{Message, WebSocket};

/// Long enough for anything that is not stuck.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// A WebSocket client, over TLS where the simulation has it.
pub struct Client {
    socket: WebSocket<Box<dyn Stream>>,
    tcp: TcpStream,
}

/// What a client may get.
#[derive(Debug)]
pub enum Got {
    Json(Value),
    Ping(Vec<u8>),
    Closed {
        code: Option<u16>,
        reason: String,
    },
    /// The connection ended without a close frame.
    Broken,
    Nothing,
}

pub fn tls_config(sim: &Sim) -> Option<Arc<ClientConfig>> {
    let pem = sim.ca_pem()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).expect("the CA in PEM")).expect("a CA");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Some(Arc::new(config))
}

impl Client {
    /// Connects to an address like `wss://localhost:1234/ws`.
    pub fn connect(sim: &Sim, url: &str) -> Self {
        Self::try_connect(sim, url).expect("a WebSocket")
    }

    pub fn try_connect(sim: &Sim, url: &str) -> Result<Self, String> {
        let authority = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        let port: u16 = authority.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
        let tcp = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
        tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let stream: Box<dyn Stream> = match tls_config(sim) {
            None => Box::new(tcp.try_clone().expect("a second handle")),
            Some(config) => {
                let name = "localhost".try_into().expect("a name");
                let tls = ClientConnection::new(config, name).expect("TLS");
                Box::new(StreamOwned::new(tls, tcp.try_clone().expect("a second handle")))
            }
        };
        let (socket, _) = tungstenite::client(url, stream).map_err(|error| error.to_string())?;
        Ok(Self { socket, tcp })
    }

    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("a message sent");
    }

    /// Like `send`, for a connection that may be gone.
    pub fn try_send(&mut self, text: &str) -> bool {
        self.socket.send(Message::text(text)).is_ok()
    }

    /// The next thing, waited for at most so long.
    pub fn next_within(&mut self, wait: Duration) -> Got {
        self.tcp.set_read_timeout(Some(wait.max(Duration::from_millis(1)))).expect("a timeout");
        match self.socket.read() {
            Ok(Message::Text(text)) => {
                Got::Json(serde_json::from_str(text.as_str()).unwrap_or(Value::String(text.to_string())))
            }
            Ok(Message::Ping(payload)) => Got::Ping(payload.to_vec()),
            Ok(Message::Close(frame)) => Got::Closed {
                code: frame.as_ref().map(|frame| frame.code.into()),
                reason: frame.map(|frame| frame.reason.to_string()).unwrap_or_default(),
            },
            Ok(_) => Got::Nothing,
            Err(tungstenite::Error::Io(error))
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
            {
                Got::Nothing
            }
            Err(_) => Got::Broken,
        }
    }

    /// The next text, word for word; `None` if none comes in time or the connection ends.
    pub fn next_text(&mut self) -> Option<String> {
        self.tcp.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// The next message in JSON.
    pub fn next_json(&mut self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Got::Json(value) => return value,
                Got::Ping(_) => {}
                other => panic!("a message was expected, not {other:?}"),
            }
        }
    }

    /// The next message that fits.
    pub fn next_where(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let value = self.next_json();
            if fits(&value) {
                return value;
            }
        }
    }

    /// Reads until the connection ends, and says how.
    pub fn read_to_end(&mut self) -> Got {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Got::Json(_) | Got::Ping(_) => {}
                end => return end,
            }
        }
    }

    /// Everything that comes within a time.
    pub fn all_within(&mut self, time: Duration) -> Vec<Value> {
        let deadline = Instant::now() + time;
        let mut all = Vec::new();
        while Instant::now() < deadline {
            match self.next_within(deadline.saturating_duration_since(Instant::now())) {
                Got::Json(value) => all.push(value),
                Got::Ping(_) | Got::Nothing => {}
                other => panic!("the connection ended: {other:?}"),
            }
        }
        all
    }
}

/// A REST client for a simulation.
pub fn agent(sim: &Sim) -> ureq::Agent {
    let mut config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
    if let Some(pem) = sim.ca_pem() {
        let ca = ureq::tls::Certificate::from_pem(pem.as_bytes()).expect("the CA");
        let tls = ureq::tls::TlsConfig::builder()
            .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        config = config.tls_config(tls);
    }
    config.build().into()
}

/// Status and body of a GET.
pub fn get(agent: &ureq::Agent, url: &str) -> (u16, Value) {
    let mut response = agent.get(url).call().expect("an answer");
    let text = response.body_mut().with_config().limit(64 << 20).read_to_string().expect("a body");
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Status and body of a POST of JSON.
pub fn post(agent: &ureq::Agent, url: &str, body: &str) -> (u16, Value) {
    let request = agent.post(url).header("Content-Type", "application/json");
    let mut response = request.send(body).expect("an answer");
    let text = response.body_mut().read_to_string().expect("a body");
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A simulation that is quick to start: small books, high rates.
pub fn quick() -> Config {
    let mut config = Config { seed: 11, ..Config::default() };
    config.binance.market.book_levels = 300;
    config.binance.market.rate_per_s = 300.0;
    config.hyperliquid.market.book_levels = 60;
    config.hyperliquid.market.rate_per_s = 200.0;
    config.hyperliquid.book_interval_ms = 200;
    config.hyperliquid.fast_book_interval_ms = 60;
    config
}

/// Price and size of the best level, if there is one.
pub type Best = Option<(i64, i64)>;

/// A book kept in the plainest way.
#[derive(Default, Clone, Debug, PartialEq, Eq)]
pub struct NaiveBook {
    pub bids: BTreeMap<i64, i64>,
    pub asks: BTreeMap<i64, i64>,
}

pub fn number(value: &Value) -> i64 {
    parse_e8(value.as_str().expect("a decimal string")).expect("a decimal")
}

impl NaiveBook {
    pub fn from_truth(truth: &TruthBook) -> Self {
        let side =
            |levels: &[sim::Level]| levels.iter().map(|level| (level.price_e8, level.size_e8)).collect();
        Self { bids: side(&truth.bids), asks: side(&truth.asks) }
    }

    pub fn from_snapshot(snapshot: &Value) -> Self {
        let mut book = Self::default();
        book.apply(&snapshot["bids"], &snapshot["asks"]);
        book
    }

    pub fn apply(&mut self, bids: &Value, asks: &Value) {
        for (side, changes) in [(&mut self.bids, bids), (&mut self.asks, asks)] {
            for level in changes.as_array().expect("levels") {
                let (price, size) = (number(&level[0]), number(&level[1]));
                if size == 0 {
                    side.remove(&price);
                } else {
                    side.insert(price, size);
                }
            }
        }
    }

    pub fn best(&self) -> (Best, Best) {
        let pair = |(price, size): (&i64, &i64)| (*price, *size);
        (self.bids.last_key_value().map(pair), self.asks.first_key_value().map(pair))
    }
}

/// Nobody's socket is ever full.
pub struct NoBacklog;

impl Backlog for NoBacklog {
    fn backlog_bytes(&self, _connection: ConnectionId) -> usize {
        0
    }
}

/// A venue driven by hand: no sockets, no clock.
pub struct ByHand<P: Protocol> {
    pub venue: P,
    pub now_ms: i64,
    pub actions: Vec<Action>,
}

impl<P: Protocol> ByHand<P> {
    pub fn new(venue: P, now_ms: i64) -> Self {
        Self { venue, now_ms, actions: Vec::new() }
    }

    pub fn open(&mut self, connection: ConnectionId, path: &str) {
        let target = Target::parse(path);
        self.venue.open(connection, &target, self.now_ms, &mut self.actions).expect("an open door");
    }

    pub fn say(&mut self, connection: ConnectionId, text: &str) {
        self.venue.text(connection, text, self.now_ms, &mut self.actions);
    }

    pub fn pass(&mut self, ms: i64) {
        self.now_ms += ms;
        self.venue.tick(self.now_ms, &NoBacklog, &mut self.actions);
    }

    /// The messages to a connection since the last call, in JSON.
    pub fn heard(&mut self, connection: ConnectionId) -> Vec<Value> {
        let texts = self.actions.iter().filter_map(|action| match action {
            Action::Text(to, text) if *to == connection => Some(text.as_str()),
            _ => None,
        });
        let heard = texts.map(|text| serde_json::from_str(text).expect("JSON")).collect();
        self.actions.retain(|action| !matches!(action, Action::Text(to, _) if *to == connection));
        heard
    }
}

impl<P: Protocol> ByHand<P> {
    /// Lets time pass in steps.
    pub fn pass_in_steps(&mut self, ms: i64, step_ms: i64) {
        let until_ms = self.now_ms + ms;
        while self.now_ms < until_ms {
            self.pass(step_ms.min(until_ms - self.now_ms));
        }
    }

    /// The answer to a request.
    pub fn ask(&mut self, method: &str, url: &str, body: &str) -> Response {
        const ID: u64 = 900;
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let (method, target) = (method.to_owned(), Target::parse(url));
        let request = Request { method, target, headers, body: body.as_bytes().to_vec() };
        self.venue.request(ID, &request, self.now_ms, &mut self.actions);
        let at = self.actions.iter().position(|action| matches!(action, Action::Respond(ID, _)));
        match self.actions.remove(at.expect("an answer at once")) {
            Action::Respond(_, response) => response,
            _ => unreachable!(),
        }
    }

    /// Status and body of a GET.
    pub fn get(&mut self, url: &str) -> (u16, Value) {
        parts(self.ask("GET", url, ""))
    }

    /// Status and body of an `info` request.
    pub fn info(&mut self, body: &str) -> (u16, Value) {
        parts(self.ask("POST", "/info", body))
    }

    /// Subscribes at Hyperliquid.
    pub fn subscribe(&mut self, connection: ConnectionId, subscription: &str) {
        self.say(connection, &format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#));
    }
}

fn parts(response: Response) -> (u16, Value) {
    let body = String::from_utf8_lossy(&response.body).into_owned();
    (response.status, serde_json::from_slice(&response.body).unwrap_or(Value::String(body)))
}

/// Binance's model in virtual time.
pub fn binance_by_hand(
    config: &BinanceConfig,
    seed: u64,
    start_ms: i64,
) -> (ByHand<Binance>, MarketHandle, SharedCounters) {
    let market = MarketHandle::new(Market::new(Venue::Binance, &config.market, seed, start_ms));
    let counters = SharedCounters::default();
    let venue = Binance::on_model(config, market.clone(), counters.clone(), seed, 5);
    (ByHand::new(venue, start_ms), market, counters)
}

/// Hyperliquid's model in virtual time.
pub fn hyperliquid_by_hand(
    config: &HyperliquidConfig,
    seed: u64,
    start_ms: i64,
) -> (ByHand<Hyperliquid>, MarketHandle, SharedCounters) {
    let market = MarketHandle::new(Market::new(Venue::Hyperliquid, &config.market, seed, start_ms));
    let counters = SharedCounters::default();
    let venue = Hyperliquid::on_model(config, market.clone(), counters.clone(), seed, 5);
    (ByHand::new(venue, start_ms), market, counters)
}

/// A decimal string as an integer at this many decimals; none may be lost.
pub fn scaled(value: &Value, decimals: usize) -> i128 {
    let text = value.as_str().expect("a decimal string");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let zeros = "0".repeat(decimals.checked_sub(fraction.len()).expect("few enough decimals"));
    format!("{whole}{fraction}{zeros}").parse().expect("a decimal")
}

/// A captured file, if the fixtures are here.
pub fn fixture(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("SLIPSTREAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
        PathBuf::from,
    );
    let path = root.join(name);
    if !path.exists() {
        println!("skipped: no captured messages at {}", path.display());
        return None;
    }
    Some(path)
}

/// The lines of a captured file, without their times.
pub fn captured(path: &PathBuf) -> Vec<String> {
    let file = std::fs::File::open(path).expect("the capture");
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip");
    text.lines().map(|line| line.split_once(' ').expect("a time").1.to_owned()).collect()
}
