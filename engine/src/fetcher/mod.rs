//! The fetcher: REST, under one budget per venue, answered with finished values.
//!
//! ```text
//!   lane: driver  ──FetchRequest──▶ fetcher: queue and budget per venue ──▶ its threads: ask, read, decode
//!   lane: history ──FetchRequest──▶    │                                         │
//!      ▲                               │                                         │
//!      └────────Fetched, by the same lane┴───────────────────────────────────────┘
//! ```
//! An answer returns by the lane its request came from. A lane that does not take its answers stops being
//! listened to, and no other.

mod budget;
mod lane;
mod query;
mod queue;
mod worker;

pub use budget::Budget;
pub use lane::Lane;
pub use query::{NoSuchQuery, Wire, understand, wire};
pub use queue::{Queue, Reply, Rest, Ticket};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::connector::Trust;
use crate::driver::EventSink;
use crate::event::{Event, Severity};
use crate::fetch::{FetchError, Fetched};
use codec::time::Now;
use codec::words::Venue;
use lane::LaneState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use worker::{Done, Job, Pool};

/// One venue to be asked.
pub struct FetchVenue {
    /// The venue.
    pub venue: Venue,
    /// Its REST URL, without a trailing slash.
    pub rest_url: String,
    /// What may be spent.
    pub weight_per_minute: u32,
    /// Whom to trust; `None` for plain HTTP.
    pub trust: Option<Trust>,
}

/// Figures of one venue's REST, that any thread may read.
#[derive(Debug, Default)]
pub struct FetchCounters {
    /// Weight used in the present minute.
    pub weight_used: AtomicU64,
    /// Weight that may be used in a minute.
    pub weight_limit: AtomicU64,
    /// Requests answered, or given up.
    pub requests: AtomicU64,
    /// Of those, requests without a good answer.
    pub failures: AtomicU64,
}

struct Desk {
    queue: Queue,
    pool: Pool,
    counters: Arc<FetchCounters>,
}

/// See the module.
pub struct Fetcher {
    clock: Clock,
    lanes: Vec<LaneState>,
    desks: Vec<(Venue, Desk)>,
    done: Receiver<Done>,
    events: EventSink,
    stop: Arc<AtomicBool>,
}

impl Fetcher {
    /// Starts the threads of every venue.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(
        clock: Clock,
        lanes: Vec<Lane>,
        venues: Vec<FetchVenue>,
        events: EventSink,
        stop: Arc<AtomicBool>,
        seed: u64,
    ) -> std::io::Result<Self> {
        let (sender, done) = channel();
        let mut desks = Vec::new();
        for venue in venues {
            let pool = Pool::start(&venue.rest_url, venue.trust.as_ref(), &sender)?;
            let seed = seed ^ u64::from(venue.venue.number());
            let queue = Queue::new(venue.venue, venue.weight_per_minute, seed);
            let counters = Arc::new(FetchCounters::default());
            counters.weight_limit.store(venue.weight_per_minute.into(), Ordering::Relaxed);
            desks.push((venue.venue, Desk { queue, pool, counters }));
        }
        let lanes = lanes.into_iter().map(LaneState::new).collect();
        Ok(Self { clock, lanes, desks, done, events, stop })
    }

    /// Figures of each venue.
    #[must_use]
    pub fn counters(&self) -> Vec<(Venue, Arc<FetchCounters>)> {
        self.desks.iter().map(|(venue, desk)| (*venue, Arc::clone(&desk.counters))).collect()
    }

    fn take(&mut self, ticket: Ticket) {
        let desk = self.desks.iter_mut().find(|(venue, _)| *venue == ticket.request.venue);
        let refused = match desk {
            Some((_, desk)) => desk.queue.push(ticket).err(),
            None => Some(ticket),
        };
        if let Some(Ticket { lane, request }) = refused {
            self.lanes[lane].answer(Fetched { request, outcome: Err(FetchError::Overflow) });
        }
    }

    fn settle(&mut self, done: Done, now: Now) {
        let Ticket { lane, request } = done.job.ticket;
        let venue = request.venue;
        let Some((_, desk)) = self.desks.iter_mut().find(|(known, _)| *known == venue) else { return };
        desk.pool.is_back(done.worker);
        let (outcome, rest) = desk.queue.settle(&done.reply, done.job.asked, now);
        if let Some(rest) = rest {
            let why = match done.reply.status {
                0 => done.reply.message.clone(),
                status => format!("HTTP {status}: {}", done.reply.message),
            };
            self.events.push(
                Event::new(Severity::Warn, Some(venue), rest.why)
                    .about(&format!("for {} ms", rest.ms))
                    .detail(&why),
            );
        }
        let outcome =
            outcome.and_then(|()| done.answer.ok_or_else(|| FetchError::Transient("no answer".to_owned())));
        desk.counters.requests.fetch_add(1, Ordering::Relaxed);
        desk.counters.failures.fetch_add(outcome.is_err().into(), Ordering::Relaxed);
        self.lanes[lane].answer(Fetched { request, outcome });
    }
}

impl Agent for Fetcher {
    fn name(&self) -> &'static str {
        "fetcher"
    }

    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn do_work(&mut self, now: Now) -> usize {
        let mut work = 0;
        while let Ok(done) = self.done.try_recv() {
            self.settle(done, now);
            work += 1;
        }
        for lane in 0..self.lanes.len() {
            work += self.lanes[lane].flush();
            while let Some(request) = self.lanes[lane].next() {
                self.take(Ticket { lane, request });
                work += 1;
            }
        }
        let mut failed = Vec::new();
        for (_, desk) in &mut self.desks {
            desk.counters.weight_used.store(desk.queue.weight_used(now).into(), Ordering::Relaxed);
            while let Some(ticket) = desk.queue.next(now) {
                work += 1;
                if let Err(job) = desk.pool.ask(Job { ticket, asked: now }) {
                    failed.push(job.ticket);
                }
            }
        }
        for Ticket { lane, request } in failed {
            let outcome = Err(FetchError::Transient("no thread to ask with".to_owned()));
            self.lanes[lane].answer(Fetched { request, outcome });
        }
        work
    }

    fn is_done(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
