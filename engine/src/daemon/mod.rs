//! The daemon: makes every ring and thread from a configuration, and ends them in order.
//!
//! ```text
//!   engine ──records──▶ ipc ──▶ clients        start: ipc's socket first, the engine last
//!     │ ▲                │                     stop:  engine (says that all is down, ends the run),
//!     │ └──interest──────┘                            ipc (drains, tells clients, flushes),
//!     ├──▶ connector, fetcher, history                connector, history and fetcher,
//!     └──events──▶ ops                                ops
//! ```

mod ipc_agent;
mod wiring;

use crate::agent::{self, Agent, Progress, WaitPolicy};
use crate::clock::Clock;
use crate::config::{Config, EngineWait};
use crate::connector::{Connector, Trust, TrustError};
use crate::driver::{Driver, DriverCounters, EventSink, Parts};
use crate::fetcher::{FetchVenue, Fetcher, Lane};
use crate::history::{History, HistoryCounters, HistoryRings};
use crate::limits::{
    HISTORY_RECORDS_BYTES, HISTORY_RING_ITEMS, IPC_RING_BYTES, IPC_STALL_MS, SHUTDOWN_MS_MAX,
    SHUTDOWN_SERVING_MS_MAX, SHUTDOWN_SIDE_MS_MAX, SIDE_RING_ITEMS,
};
use crate::ops::{EventSource, Figures, HttpServer, Ops, VenueFigures};
use crate::publisher::{Outlet, Publisher, Takes};
use crate::url::Url;
use codec::words::Venue;
use ipc_agent::{IpcAgent, IpcRings};
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use thiserror::Error;

/// Why the daemon does not start, or did not end well.
#[derive(Debug, Error)]
pub enum DaemonError {
    /// A venue's certificates.
    #[error("venues.{venue}: {source}")]
    Trust {
        /// The venue.
        venue: Venue,
        /// What is wrong.
        source: TrustError,
    },
    /// The clients' socket.
    #[error(transparent)]
    Socket(#[from] ipc::IpcError),
    /// A call of the system.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// The system's words.
        source: io::Error,
    },
    /// A thread could not be pinned.
    #[error("the system refuses to pin {thread} to core {core}")]
    Pin {
        /// The thread.
        thread: &'static str,
        /// The core.
        core: usize,
    },
    /// A thread ended by a panic (in a process where that does not end all).
    #[error("thread {0} died")]
    Died(&'static str),
    /// A thread did not end in time.
    #[error("thread {0} did not stop within its time")]
    Hangs(&'static str),
}

impl DaemonError {
    /// Whether the configuration is at fault.
    #[must_use]
    pub const fn is_configuration(&self) -> bool {
        matches!(self, Self::Trust { source: TrustError::File { .. }, .. })
    }
}

struct Thread {
    name: &'static str,
    handle: JoinHandle<()>,
    progress: Progress,
}

/// A running daemon.
pub struct Daemon {
    run_id: u64,
    socket_path: PathBuf,
    stop_engine: Arc<AtomicBool>,
    stop_ipc: Arc<AtomicBool>,
    stop_side: Arc<AtomicBool>,
    stop_ops: Arc<AtomicBool>,
    /// In the order in which they end.
    threads: Vec<Thread>,
    driver: Arc<DriverCounters>,
    ipc: Arc<ipc::Counters>,
    history: Arc<HistoryCounters>,
}

/// What every thread's start needs.
struct Spawner {
    threads: Vec<Thread>,
}

impl Spawner {
    /// Starts a thread for an agent; returns when it runs, pinned if asked.
    fn spawn(
        &mut self,
        mut agent: Box<dyn Agent + Send>,
        policy: WaitPolicy,
        core: Option<usize>,
    ) -> Result<(), DaemonError> {
        let name = agent.name();
        let progress = Progress::default();
        let of_thread = progress.clone();
        let (sender, pinned) = std::sync::mpsc::channel();
        let handle = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let ok = core.is_none_or(agent::pin);
                let _ = sender.send(ok);
                if ok {
                    agent::run(agent.as_mut(), policy, &of_thread);
                }
            })
            .map_err(|source| DaemonError::Io { doing: format!("starting thread {name}"), source })?;
        self.threads.push(Thread { name, handle, progress });
        match (pinned.recv(), core) {
            (Ok(false), Some(core)) => Err(DaemonError::Pin { thread: name, core }),
            (Err(_), _) => Err(DaemonError::Died(name)),
            _ => Ok(()),
        }
    }
}

impl Daemon {
    /// Starts everything and returns. The socket serves when this returns.
    ///
    /// # Errors
    /// See [`DaemonError`]; whatever had started by then has been told to stop.
    pub fn start(config: &Config) -> Result<Self, DaemonError> {
        let run_id = new_run_id();
        let clock = Clock::start();
        let trust = trust(config)?;
        let flag = || Arc::new(AtomicBool::new(false));
        let (stop_engine, stop_ipc, stop_side, stop_ops) = (flag(), flag(), flag(), flag());

        let (records, ipc_records) = codec::ring::ring(IPC_RING_BYTES);
        let (interest_in, interest) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (seeds_in, seeds) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (rows_in, rows) = rtrb::RingBuffer::new(HISTORY_RING_ITEMS);
        let (wishes_in, wishes) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (closed_in, closed) = codec::ring::ring(HISTORY_RECORDS_BYTES);
        let (past_requests, past_requests_out) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (past_answers_in, past_answers) = rtrb::RingBuffer::new(HISTORY_RING_ITEMS);
        let (history_events, history_source) = event_ring("history");
        let (jobs, jobs_out) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (connected_in, connected) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (requests, requests_out) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (answers_in, answers) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (ipc_events_in, ipc_events) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
        let (engine_events, engine_source) = event_ring("engine");
        let (fetcher_events, fetcher_source) = event_ring("fetcher");

        let ipc_counters = Arc::new(ipc::Counters::default());
        let sessions = wiring::sessions(config, run_id);
        let drift = sessions.iter().filter_map(|session| Some((session.venue(), session.drift()?))).collect();
        let venues = sessions.iter().map(|session| VenueFigures {
            venue: session.venue(),
            account: session.account(),
            drift: session.drift(),
        });
        let venues = venues.collect();
        let ipc = IpcAgent::new(
            clock.clone(),
            wiring::server_config(config, run_id),
            IpcRings {
                records: ipc_records,
                history: rows,
                candle_wishes: wishes_in,
                interest: interest_in,
                events: ipc_events_in,
            },
            (Arc::clone(&ipc_counters), drift),
            Arc::clone(&stop_ipc),
        )?;
        let outlets = vec![
            Outlet::all("ipc", records),
            Outlet { name: "history", producer: closed_in, takes: Takes::ClosedCandles },
        ];
        let publisher = Publisher::new(run_id, outlets);
        let ring_counters = publisher.counters();
        let driver = Driver::new(Parts {
            clock: clock.clone(),
            sessions,
            publisher,
            stall_ms: vec![IPC_STALL_MS, 0],
            jobs,
            connected,
            requests,
            answers,
            interest,
            seeds,
            events: engine_events,
            stop: Arc::clone(&stop_engine),
            sleeps: engine_sleeps(config),
            seed: run_id,
        })
        .map_err(|source| DaemonError::Io { doing: "creating the engine's poll".to_owned(), source })?;
        let connector =
            Connector::new(clock.clone(), jobs_out, connected_in, trust.clone(), Arc::clone(&stop_side));
        let fetcher = Fetcher::new(
            clock.clone(),
            vec![
                Lane { requests: requests_out, answers: answers_in },
                Lane { requests: past_requests_out, answers: past_answers_in },
            ],
            fetch_venues(config, &trust),
            fetcher_events,
            Arc::clone(&stop_side),
            run_id,
        )
        .map_err(|source| DaemonError::Io { doing: "starting the fetcher's threads".to_owned(), source })?;
        let history_counters = Arc::new(HistoryCounters::default());
        let rings = HistoryRings {
            records: closed,
            wishes,
            rows: rows_in,
            seeds: seeds_in,
            requests: past_requests,
            answers: past_answers,
        };
        let history = History::new(
            clock.clone(),
            wiring::history_settings(config, run_id),
            rings,
            Arc::clone(&history_counters),
            history_events,
            Arc::clone(&stop_side),
        );
        let sources = vec![engine_source, fetcher_source, history_source];
        let figures = Figures {
            run_id,
            venues,
            driver: driver.counters(),
            rings: ring_counters,
            ipc: Arc::clone(&ipc_counters),
            history: Arc::clone(&history_counters),
            fetcher: fetcher.counters(),
            events_dropped: sources.iter().map(|of| (of.name, Arc::clone(&of.dropped))).collect(),
        };
        let http = HttpServer::new((config.health.bind, config.health.metrics_port).into());
        let ops = Ops::new(clock, sources, ipc_events, (figures, http), Arc::clone(&stop_ops));

        let mut daemon = Self {
            run_id,
            socket_path: config.daemon.socket_path.clone(),
            stop_engine,
            stop_ipc,
            stop_side,
            stop_ops,
            threads: Vec::new(),
            driver: driver.counters(),
            ipc: ipc_counters,
            history: history_counters,
        };
        announce(config, run_id);
        let threads = &config.threads;
        let ipc_policy = WaitPolicy::of(threads.wait, threads.ipc_core.is_some());
        let mut spawner = Spawner { threads: Vec::new() };
        let started = spawner
            .spawn(Box::new(ops), WaitPolicy::Doze, None)
            .and_then(|()| spawner.spawn(Box::new(fetcher), WaitPolicy::Doze, None))
            .and_then(|()| spawner.spawn(Box::new(history), WaitPolicy::Doze, None))
            .and_then(|()| spawner.spawn(Box::new(connector), WaitPolicy::Doze, None))
            .and_then(|()| spawner.spawn(Box::new(ipc), ipc_policy, threads.ipc_core))
            // The engine blocks inside its poll, or not at all.
            .and_then(|()| spawner.spawn(Box::new(driver), WaitPolicy::Spin, threads.engine_core));
        daemon.threads = spawner.threads;
        daemon.threads.reverse();
        match started {
            Ok(()) => Ok(daemon),
            Err(error) => {
                daemon.stop();
                let _ = daemon.join();
                Err(error)
            }
        }
    }

    /// This run's id.
    #[must_use]
    pub const fn run_id(&self) -> u64 {
        self.run_id
    }

    /// Where clients connect.
    #[must_use]
    pub fn socket_path(&self) -> &Path {
        &self.socket_path
    }

    /// The engine's figures.
    #[must_use]
    pub fn driver_counters(&self) -> &DriverCounters {
        &self.driver
    }

    /// The socket server's figures.
    #[must_use]
    pub fn ipc_counters(&self) -> &ipc::Counters {
        &self.ipc
    }

    /// The figures of the candles' past.
    #[must_use]
    pub fn history_counters(&self) -> &HistoryCounters {
        &self.history
    }

    /// Turns each thread has made, by name: what a watchdog looks at.
    pub fn progress(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.threads.iter().map(|thread| (thread.name, thread.progress.turns()))
    }

    /// Whether some thread has ended although nobody asked for it.
    #[must_use]
    pub fn has_died(&self) -> Option<&'static str> {
        self.threads.iter().find(|thread| thread.handle.is_finished()).map(|thread| thread.name)
    }

    /// Begins to stop; [`Daemon::join`] goes on with it.
    pub fn stop(&self) {
        self.stop_engine.store(true, Ordering::Relaxed);
    }

    /// Ends all threads in order, after [`Daemon::stop`]. One that waits for a network or a disk is not waited for
    /// long: it is warned of, and ends with the process.
    ///
    /// # Errors
    /// [`DaemonError::Died`] or [`DaemonError::Hangs`] with the first thread that did not end well.
    pub fn join(self) -> Result<(), DaemonError> {
        let asked = Instant::now();
        let mut result = Ok(());
        for thread in self.threads {
            let (stop, ms_max, may_hang) = match thread.name {
                "engine" => (&self.stop_engine, SHUTDOWN_SERVING_MS_MAX, false),
                "ipc" => (&self.stop_ipc, SHUTDOWN_SERVING_MS_MAX, false),
                "ops" => (&self.stop_ops, SHUTDOWN_MS_MAX, false),
                _ => (&self.stop_side, SHUTDOWN_SIDE_MS_MAX, true),
            };
            stop.store(true, Ordering::Relaxed);
            match end(thread, asked + Duration::from_millis(ms_max)) {
                Err(hangs @ DaemonError::Hangs(_)) if may_hang => {
                    log::warn!(target: crate::ops::logging::TARGET, "{hangs}: it is left behind");
                }
                ended => result = result.and(ended),
            }
        }
        result
    }
}

fn end(thread: Thread, deadline: Instant) -> Result<(), DaemonError> {
    while !thread.handle.is_finished() {
        if Instant::now() > deadline {
            return Err(DaemonError::Hangs(thread.name));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    thread.handle.join().map_err(|_| DaemonError::Died(thread.name))
}

/// A number that no other run has: hashed, with the process's random keys, from time and process.
fn new_run_id() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u128(std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos()));
    hasher.write_u32(std::process::id());
    // 0 means "no run" in places.
    hasher.finish().max(1)
}

fn event_ring(name: &'static str) -> (EventSink, EventSource) {
    let (producer, ring) = rtrb::RingBuffer::new(SIDE_RING_ITEMS);
    let sink = EventSink::new(producer);
    let dropped = sink.dropped();
    (sink, EventSource { name, ring, dropped })
}

fn engine_sleeps(config: &Config) -> bool {
    match config.threads.engine_wait {
        EngineWait::Spin => false,
        EngineWait::Poll => true,
        EngineWait::Auto => config.threads.engine_core.is_none(),
    }
}

/// The certificates of every enabled venue that needs some.
///
/// # Errors
/// [`DaemonError::Trust`].
pub fn trust(config: &Config) -> Result<Vec<(Venue, Trust)>, DaemonError> {
    let encrypted = |url: &str| Url::parse(url).is_ok_and(|url| url.is_encrypted());
    config
        .enabled_venues()
        .filter(|venue| encrypted(&venue.websocket_url) || encrypted(&venue.rest_url))
        .map(|venue| match Trust::load(venue.tls_ca_file.as_deref()) {
            Ok(trust) => Ok((venue.venue, trust)),
            Err(source) => Err(DaemonError::Trust { venue: venue.venue, source }),
        })
        .collect()
}

fn fetch_venues(config: &Config, trust: &[(Venue, Trust)]) -> Vec<FetchVenue> {
    let trust_of = |venue| trust.iter().find(|(known, _)| *known == venue).map(|(_, trust)| trust.clone());
    config
        .enabled_venues()
        .map(|venue| FetchVenue {
            venue: venue.venue,
            rest_url: venue.rest_url.clone(),
            weight_per_minute: venue.rate_limits.rest_weight_per_minute,
            trust: trust_of(venue.venue),
        })
        .collect()
}

/// One line on what starts, and the warnings about it.
fn announce(config: &Config, run_id: u64) {
    use crate::ops::logging::TARGET;
    let venues: Vec<_> = config.enabled_venues().map(|venue| venue.venue.as_str()).collect();
    log::info!(
        target: TARGET,
        "slipstream-mktdata {} run {run_id:016x} (the seed of all jitter), venues: {}, socket {}",
        env!("CARGO_PKG_VERSION"),
        if venues.is_empty() { "none".to_owned() } else { venues.join(", ") },
        config.daemon.socket_path.display(),
    );
    for warning in &config.warnings {
        log::warn!(target: TARGET, "{warning}");
    }
    if config.recorder.as_ref().is_some_and(|recorder| recorder.enabled) {
        log::warn!(target: TARGET, "[recorder] is enabled, but this version has no recorder: nothing is journaled");
    }
    if config.shm.as_ref().is_some_and(|shm| shm.enabled) {
        log::warn!(target: TARGET, "[shm] is enabled, but this version writes no shared memory region");
    }
}
