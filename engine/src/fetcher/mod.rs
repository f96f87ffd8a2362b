//! The fetcher: REST, under one budget per venue, answered with finished values.
//!
//! ```text
//!   driver ──FetchRequest──▶ fetcher: queue and budget per venue ──▶ its threads: ask, read, decode
//!      ▲                        │                                                │
//!      └────────Fetched─────────┴────────────────────────────────────────────────┘
//! ```

mod budget;
mod query;
mod queue;
mod worker;

pub use budget::Budget;
pub use queue::{Queue, Reply, Rest};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::connector::Trust;
use crate::driver::EventSink;
use crate::event::{Event, Severity};
use crate::fetch::{FetchError, FetchRequest, Fetched};
use codec::time::Now;
use codec::words::Venue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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

struct Desk {
    queue: Queue,
    pool: Pool,
}

/// See the module.
pub struct Fetcher {
    clock: Clock,
    requests: rtrb::Consumer<FetchRequest>,
    answers: rtrb::Producer<Fetched>,
    desks: Vec<(Venue, Desk)>,
    done: Receiver<Done>,
    /// Answers the ring had no room for yet.
    held: VecDeque<Fetched>,
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
        requests: rtrb::Consumer<FetchRequest>,
        answers: rtrb::Producer<Fetched>,
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
            desks.push((venue.venue, Desk { queue, pool }));
        }
        Ok(Self { clock, requests, answers, desks, done, held: VecDeque::new(), events, stop })
    }

    fn answer(&mut self, fetched: Fetched) {
        if !self.held.is_empty() {
            self.held.push_back(fetched);
        } else if let Err(rtrb::PushError::Full(fetched)) = self.answers.push(fetched) {
            self.held.push_back(fetched);
        }
    }

    fn take(&mut self, request: FetchRequest) {
        let desk = self.desks.iter_mut().find(|(venue, _)| *venue == request.venue);
        let refused = match desk {
            Some((_, desk)) => desk.queue.push(request).err(),
            None => Some(request),
        };
        if let Some(request) = refused {
            self.answer(Fetched { request, outcome: Err(FetchError::Overflow) });
        }
    }

    fn settle(&mut self, done: Done, now: Now) {
        let venue = done.job.request.venue;
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
        self.answer(Fetched { request: done.job.request, outcome });
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
        while let Some(fetched) = self.held.pop_front() {
            if let Err(rtrb::PushError::Full(fetched)) = self.answers.push(fetched) {
                self.held.push_front(fetched);
                // The driver is far behind: nothing new until it has caught up.
                return work;
            }
            work += 1;
        }
        while let Ok(done) = self.done.try_recv() {
            self.settle(done, now);
            work += 1;
        }
        while let Ok(request) = self.requests.pop() {
            self.take(request);
            work += 1;
        }
        let mut failed = Vec::new();
        for (_, desk) in &mut self.desks {
            while let Some(request) = desk.queue.next(now) {
                work += 1;
                if let Err(job) = desk.pool.ask(Job { request, asked: now }) {
                    failed.push(job.request);
                }
            }
        }
        for request in failed {
            let outcome = Err(FetchError::Transient("no thread to ask with".to_owned()));
            self.answer(Fetched { request, outcome });
        }
        work
    }

    fn is_done(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
