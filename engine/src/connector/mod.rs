//! The connector: makes connections on threads of its own and hands them, ready, to the driver.
//!
//! ```text
//!   driver ──ConnectJob──▶ connector ──▶ one thread per attempt: resolve, connect, TLS, upgrade
//!      ▲                       │                                       │
//!      └───────Connected───────┴───────────────────────────────────────┘
//! ```

mod handshake;
mod tls;

pub use handshake::{ConnectError, Ready, Resolve, open, open_at, resolve_by_system};
pub use tls::{Trust, TrustError};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::limits::{CONNECT_TIMEOUT_MS, CONNECTS_INFLIGHT_MAX};
use crate::session::{Generation, Link};
use codec::time::Now;
use codec::words::Venue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// A connection wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectJob {
    /// Whose.
    pub venue: Venue,
    /// The session's slot.
    pub link: Link,
    /// The attempt.
    pub generation: Generation,
    /// Where to.
    pub url: String,
}

/// A job's end.
#[derive(Debug)]
pub struct Connected {
    /// Whose.
    pub venue: Venue,
    /// The session's slot.
    pub link: Link,
    /// The attempt.
    pub generation: Generation,
    /// The connection, or why there is none.
    pub outcome: Result<Box<Ready>, String>,
}

struct Attempt {
    number: u64,
    job: ConnectJob,
    deadline: Instant,
    /// Given up: its thread still hangs (in the resolver, which has no time-out), nobody waits for it.
    abandoned: bool,
}

/// See the module.
pub struct Connector {
    clock: Clock,
    jobs: rtrb::Consumer<ConnectJob>,
    results: rtrb::Producer<Connected>,
    trust: Vec<(Venue, Trust)>,
    resolve: Arc<Resolve>,
    stop: Arc<AtomicBool>,
    attempts: Vec<Attempt>,
    next_number: u64,
    done: (Sender<Done>, Receiver<Done>),
    /// What the ring had no room for yet.
    held: Option<Connected>,
}

type Done = (u64, Result<Box<Ready>, String>);

impl Connector {
    /// A connector that trusts, per venue, what `trust` says (a venue without TLS needs none).
    #[must_use]
    pub fn new(
        clock: Clock,
        jobs: rtrb::Consumer<ConnectJob>,
        results: rtrb::Producer<Connected>,
        trust: Vec<(Venue, Trust)>,
        stop: Arc<AtomicBool>,
    ) -> Self {
        Self {
            clock,
            jobs,
            results,
            trust,
            resolve: Arc::new(resolve_by_system),
            stop,
            attempts: Vec::new(),
            next_number: 0,
            done: channel(),
            held: None,
        }
    }

    /// With another source of addresses than the system's resolver.
    #[must_use]
    pub fn resolving_by(mut self, resolve: Arc<Resolve>) -> Self {
        self.resolve = resolve;
        self
    }

    fn begin(&mut self, job: ConnectJob) {
        let number = self.next_number;
        self.next_number += 1;
        let deadline = Instant::now() + Duration::from_millis(CONNECT_TIMEOUT_MS);
        let config = self
            .trust
            .iter()
            .find(|(venue, _)| *venue == job.venue)
            .map(|(_, trust)| Arc::clone(&trust.config));
        let (url, done, resolve) = (job.url.clone(), self.done.0.clone(), Arc::clone(&self.resolve));
        let spawned = std::thread::Builder::new().name("connect".to_owned()).spawn(move || {
            let outcome = open_at(&url, config.as_ref(), &*resolve, deadline);
            // The connector may be gone: then nobody wants this.
            let _ = done.send((number, outcome.map(Box::new).map_err(|error| error.to_string())));
        });
        match spawned {
            Ok(_) => self.attempts.push(Attempt { number, job, deadline, abandoned: false }),
            Err(error) => self.report(&job, Err(format!("starting a thread: {error}"))),
        }
    }

    fn report(&mut self, job: &ConnectJob, outcome: Result<Box<Ready>, String>) {
        let connected = Connected { venue: job.venue, link: job.link, generation: job.generation, outcome };
        if let Err(rtrb::PushError::Full(connected)) = self.results.push(connected) {
            self.held = Some(connected);
        }
    }

    /// Takes one thread's result, or gives one attempt up; whether there was one.
    fn finish_one(&mut self) -> bool {
        if let Ok((number, outcome)) = self.done.1.try_recv() {
            let Some(index) = self.attempts.iter().position(|attempt| attempt.number == number) else {
                return true;
            };
            let attempt = self.attempts.swap_remove(index);
            if !attempt.abandoned {
                self.report(&attempt.job, outcome);
            }
            return true;
        }
        let now = Instant::now();
        let late =
            |attempt: &Attempt| !attempt.abandoned && now > attempt.deadline + Duration::from_millis(500);
        if let Some(index) = self.attempts.iter().position(late) {
            self.attempts[index].abandoned = true;
            let job = self.attempts[index].job.clone();
            self.report(&job, Err("time-out while resolving the name".to_owned()));
            return true;
        }
        false
    }
}

impl Agent for Connector {
    fn name(&self) -> &'static str {
        "connector"
    }

    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn do_work(&mut self, _now: Now) -> usize {
        if let Some(held) = self.held.take()
            && let Err(rtrb::PushError::Full(held)) = self.results.push(held)
        {
            self.held = Some(held);
            return 0;
        }
        let mut work = 0;
        while self.held.is_none() && self.finish_one() {
            work += 1;
        }
        while self.held.is_none() && self.attempts.len() < CONNECTS_INFLIGHT_MAX {
            let Ok(job) = self.jobs.pop() else { break };
            self.begin(job);
            work += 1;
        }
        work
    }

    fn is_done(&self) -> bool {
        // Threads that still try end with the process.
        self.stop.load(Ordering::Relaxed)
    }
}
