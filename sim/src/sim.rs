//! A running simulation: both venues on their ports, their markets, and what tests ask of them.

use crate::binance::Binance;
use crate::config::{Config, PlaybackConfig};
use crate::control::Control;
use crate::counters::{Counters, SharedCounters};
use crate::error::SimError;
use crate::faults::Fault;
use crate::hyperliquid::Hyperliquid;
use crate::market::{Interval, Market, MarketConfig, MarketHandle, NewFill, TruthCandle, Venue};
use crate::names::Names;
use crate::playback::PlaybackHandle;
use crate::playback::binance::BinancePlayback;
use crate::playback::hyperliquid::HyperliquidPlayback;
use crate::protocol::{Protocol, Route};
use crate::scenario::Scenario;
use crate::scenario::player::{Player, ScenarioStart, ScenarioState};
use crate::server::{Remote, Server, tls, wall_ms};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What can be asked of a venue, from any thread.
#[derive(Clone)]
pub struct VenueHandle {
    venue: Venue,
    port: u16,
    tls: bool,
    remote: Remote,
    counters: SharedCounters,
    market: MarketHandle,
    playback: Option<PlaybackHandle>,
    names: Names,
}

impl VenueHandle {
    /// Which venue.
    pub fn venue(&self) -> Venue {
        self.venue
    }

    /// The port of both WebSocket and REST.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The base address of WebSockets. Hyperliquid: complete (`wss://localhost:PORT/ws`); Binance: to be followed by
    /// `/public/…` or `/market/…`.
    pub fn ws_url(&self) -> String {
        let scheme = if self.tls { "wss" } else { "ws" };
        let path = if self.venue == Venue::Hyperliquid { "/ws" } else { "" };
        format!("{scheme}://localhost:{}{path}", self.port)
    }

    /// The base address of REST (`https://localhost:PORT`).
    pub fn rest_url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://localhost:{}", self.port)
    }

    /// The truth about the market; without symbols while a capture is played back.
    pub fn market(&self) -> &MarketHandle {
        &self.market
    }

    /// A copy of the counters now.
    pub fn counters(&self) -> Counters {
        self.counters.snapshot()
    }

    /// Makes something go wrong; returns when it has.
    pub fn fault(&self, fault: Fault) -> Result<(), SimError> {
        if let Fault::DnsFailure { for_ms } = fault {
            self.names.fail_until(wall_ms() + for_ms);
            return Ok(());
        }
        self.remote.fault(fault)
    }

    /// The name service of this venue, for clients that take a resolver.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The playback, if one was configured.
    pub fn playback(&self) -> Option<&PlaybackHandle> {
        self.playback.as_ref()
    }

    /// Starts the playback now.
    pub fn start_playback(&self) -> Result<(), SimError> {
        self.playback.as_ref().ok_or(SimError::NoPlayback(self.venue.name()))?.start();
        self.remote.wake();
        Ok(())
    }

    /// The candles of an interval (`1m`, `4h`, `1M`, …) whose periods begin from one time on and before another, as
    /// far as they have begun; flat ones where nothing was traded, `closed` where nothing changes any more. While a
    /// capture is played back: what its periods end with, played or not.
    pub fn candles(
        &self,
        symbol: &str,
        interval: &str,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<TruthCandle>, SimError> {
        let interval =
            Interval::from_name(interval).ok_or_else(|| SimError::UnknownInterval(interval.to_owned()))?;
        match &self.playback {
            Some(playback) => playback.candles(symbol, interval, from_ms, before_ms),
            None => self.market.candles(symbol, interval, from_ms, before_ms),
        }
    }

    /// Lets an account trade now: its trade is told to all, the fill to those who listen to the account.
    pub fn add_fill(&self, symbol: &str, fill: NewFill) -> Result<(), SimError> {
        self.market.add_fill(symbol, fill)?;
        self.remote.wake();
        Ok(())
    }

    /// Waits until the counters fit; false if they did not in time.
    pub fn wait_until(&self, timeout: Duration, fits: impl Fn(&Counters) -> bool) -> bool {
        const LOOK_EVERY: Duration = Duration::from_millis(2);
        let deadline = std::time::Instant::now() + timeout;
        loop {
            if fits(&self.counters.lock()) {
                return true;
            }
            if std::time::Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

/// A directory of our own for the authority's certificate; gone with the simulation.
struct TemporaryDirectory(PathBuf);

impl TemporaryDirectory {
    fn create() -> Result<Self, SimError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("slipstream-sim-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|source| SimError::File {
            doing: "make",
            path: path.clone(),
            source,
        })?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryDirectory {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            log::warn!("cannot remove {}: {error}", self.0.display());
        }
    }
}

/// A running simulation; dropping it ends all its threads and closes its ports.
pub struct Sim {
    hyperliquid: VenueHandle,
    binance: VenueHandle,
    ca: Option<(String, PathBuf)>,
    control_url: Option<String>,
    seed: u64,
    player: Player,
    servers: Vec<Server>,
    _directory: Option<TemporaryDirectory>,
}

impl Sim {
    /// Starts everything; it is ready when this returns.
    pub fn start(config: Config) -> Result<Self, SimError> {
        log::info!("simulation with seed {}", config.seed);
        let mut directory = None;
        let (identity, ca) = if config.tls {
            let identity = tls::make_identity()?;
            let path = match &config.ca_path {
                Some(path) => path.clone(),
                None => directory.insert(TemporaryDirectory::create()?).0.join("ca.pem"),
            };
            std::fs::write(&path, &identity.ca_pem).map_err(|source| SimError::File {
                doing: "write",
                path: path.clone(),
                source,
            })?;
            (Some(identity.server), Some((identity.ca_pem, path)))
        } else {
            (None, None)
        };
        let (hyperliquid, hyperliquid_server) = start_hyperliquid(&config, identity.clone())?;
        let (binance, binance_server) = start_binance(&config, identity)?;
        let mut servers = vec![hyperliquid_server, binance_server];
        let player = Player::new(vec![hyperliquid.clone(), binance.clone()], config.seed);
        let mut control_url = None;
        if let Some(port) = config.control_port {
            let control = Control::new(vec![hyperliquid.clone(), binance.clone()], player.clone());
            let server = Server::start("control", port, None, Box::new(control))?;
            control_url = Some(format!("http://localhost:{}", server.port()));
            servers.push(server);
        }
        let seed = config.seed;
        Ok(Self { hyperliquid, binance, ca, control_url, seed, player, servers, _directory: directory })
    }

    /// Hyperliquid.
    pub fn hyperliquid(&self) -> &VenueHandle {
        &self.hyperliquid
    }

    /// Binance USDⓈ-M futures.
    pub fn binance(&self) -> &VenueHandle {
        &self.binance
    }

    /// A venue by its name.
    pub fn venue(&self, venue: Venue) -> &VenueHandle {
        match venue {
            Venue::Hyperliquid => &self.hyperliquid,
            Venue::Binance => &self.binance,
        }
    }

    /// A venue's market.
    pub fn market(&self, venue: Venue) -> &MarketHandle {
        self.venue(venue).market()
    }

    /// The certificate authority in PEM; none without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.ca.as_ref().map(|(pem, _)| pem.as_str())
    }

    /// The file the certificate authority was written to; none without TLS.
    pub fn ca_path(&self) -> Option<&Path> {
        self.ca.as_ref().map(|(_, path)| path.as_path())
    }

    /// The base address of the control endpoint, if there is one.
    pub fn control_url(&self) -> Option<&str> {
        self.control_url.as_deref()
    }

    /// The seed of everything random.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Begins to play a scenario on a thread of its own, drawn by this seed or by the simulation's; refused while
    /// another one plays, and if it names a symbol that is not there.
    pub fn play(&self, scenario: &Scenario, seed: Option<u64>, start: ScenarioStart) -> Result<(), SimError> {
        self.player.play(scenario, seed, start)
    }

    /// How far the last scenario is; none if there was none.
    pub fn scenario(&self) -> Option<ScenarioState> {
        self.player.state()
    }

    /// Stops the scenario that plays, if one does; faults that last are not ended by this.
    pub fn stop_scenario(&self) {
        self.player.stop();
    }

    /// Ends all threads and closes all ports; the same as dropping it.
    pub fn stop(self) {}
}

impl Drop for Sim {
    fn drop(&mut self) {
        // Before its venues: a fault would find nobody.
        self.player.stop();
        self.servers.clear();
    }
}

/// The market of a venue; without symbols if a capture is played back instead.
fn market(
    venue: Venue,
    config: &MarketConfig,
    seed: u64,
    playback: Option<&PlaybackConfig>,
    now_ms: i64,
) -> MarketHandle {
    MarketHandle::new(match playback {
        Some(_) => Market::with_instruments(venue, config, Vec::new(), seed, now_ms),
        None => Market::new(venue, config, seed, now_ms),
    })
}

type Identity = Option<Arc<tls::Settings>>;

/// What belongs to a venue beside its protocol.
type Parts = (SharedCounters, MarketHandle, Option<PlaybackHandle>);

/// Hyperliquid as configured, at a moment.
pub fn hyperliquid_protocol(config: &Config, now_ms: i64) -> Result<(Hyperliquid, Parts), SimError> {
    let own = &config.hyperliquid;
    let market = market(Venue::Hyperliquid, &own.market, config.seed, own.playback.as_ref(), now_ms);
    let counters = SharedCounters::default();
    let playback = own.playback.as_ref().map(|_| PlaybackHandle::default());
    let protocol = match (&own.playback, &playback) {
        (Some(capture), Some(handle)) => {
            let capture = HyperliquidPlayback::open(capture, handle.clone())?;
            Hyperliquid::on_playback(own, capture, counters.clone(), config.seed, config.tick_ms)
        }
        _ => Hyperliquid::on_model(own, market.clone(), counters.clone(), config.seed, config.tick_ms),
    };
    Ok((protocol, (counters, market, playback)))
}

/// Binance as configured, at a moment.
pub fn binance_protocol(config: &Config, now_ms: i64) -> Result<(Binance, Parts), SimError> {
    let own = &config.binance;
    let market = market(Venue::Binance, &own.market, config.seed, own.playback.as_ref(), now_ms);
    let counters = SharedCounters::default();
    let playback = own.playback.as_ref().map(|_| PlaybackHandle::default());
    let protocol = match (&own.playback, &playback) {
        (Some(capture), Some(handle)) => {
            let capture = BinancePlayback::open(capture, handle.clone())?;
            Binance::on_playback(own, capture, counters.clone(), config.seed, config.tick_ms)
        }
        _ => Binance::on_model(own, market.clone(), counters.clone(), config.seed, config.tick_ms),
    };
    Ok((protocol, (counters, market, playback)))
}

fn start_hyperliquid(config: &Config, identity: Identity) -> Result<(VenueHandle, Server), SimError> {
    let (protocol, parts) = hyperliquid_protocol(config, wall_ms())?;
    serve(Venue::Hyperliquid, config.hyperliquid.port, identity, Box::new(protocol), parts)
}

fn start_binance(config: &Config, identity: Identity) -> Result<(VenueHandle, Server), SimError> {
    let (protocol, parts) = binance_protocol(config, wall_ms())?;
    serve(Venue::Binance, config.binance.port, identity, Box::new(protocol), parts)
}

fn serve(
    venue: Venue,
    port: u16,
    identity: Identity,
    protocol: Box<dyn Protocol>,
    (counters, market, playback): Parts,
) -> Result<(VenueHandle, Server), SimError> {
    let tls = identity.is_some();
    let server = Server::start(venue.name(), port, identity, protocol)?;
    let (port, remote) = (server.port(), server.remote());
    let names = Names::new(port);
    let handle = VenueHandle { venue, port, tls, remote, counters, market, playback, names };
    Ok((handle, server))
}

/// The address of a Binance door in combined form (`…/public/stream`).
pub fn combined_url(base: &str, route: Route) -> String {
    format!("{base}/{}/stream", route.name())
}
