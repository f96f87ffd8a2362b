//! The history's thread: rings in, rings out, the logic between them.

use super::core::{CoreVenue, HistoryCore};
use super::outbox::HistoryCounters;
use super::store::{CandleFiles, Directory, NoFiles};
use crate::agent::Agent;
use crate::clock::Clock;
use crate::driver::EventSink;
use crate::event::{Event, Severity};
use crate::fetch::{FetchRequest, Fetched};
use crate::limits::{HISTORY_ANSWERS_PER_TURN, HISTORY_ITEMS_PER_TURN};
use crate::session::CandleSeed;
use codec::ring::Consumer;
use codec::time::Now;
use codec::words::{Interval, Venue};
use ipc::{CandleHistory, CandleWish};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One venue whose candles are carried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryVenue {
    /// The venue.
    pub venue: Venue,
    /// Its REST URL: part of the directory's name.
    pub rest_url: String,
    /// Intervals carried and how many closed candles of each are kept, shortest first.
    pub intervals: Vec<(Interval, u32)>,
}

/// What the history is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistorySettings {
    /// Where candles are stored; `None`: nowhere.
    pub candles_path: Option<PathBuf>,
    /// The venues whose candles are carried.
    pub venues: Vec<HistoryVenue>,
    /// Of the jitter.
    pub seed: u64,
}

/// The history's ends of its rings.
pub struct HistoryRings {
    /// Instruments and candles from the engine; other records are ignored.
    pub records: Consumer,
    /// Series that somebody asked for.
    pub wishes: rtrb::Consumer<CandleWish>,
    /// Rows for the server.
    pub rows: rtrb::Producer<CandleHistory>,
    /// Where series stand, for the engine.
    pub seeds: rtrb::Producer<CandleSeed>,
    /// Its lane of the fetcher.
    pub requests: rtrb::Producer<FetchRequest>,
    /// Its lane of the fetcher.
    pub answers: rtrb::Consumer<Fetched>,
}

/// See the module.
pub struct History {
    clock: Clock,
    core: HistoryCore,
    rings: HistoryRings,
    events: EventSink,
    stop: Arc<AtomicBool>,
    done: bool,
}

impl History {
    /// Opens the directories of all venues; one that cannot be used is told in the log.
    #[must_use]
    pub fn new(
        clock: Clock,
        settings: HistorySettings,
        rings: HistoryRings,
        counters: Arc<HistoryCounters>,
        mut events: EventSink,
        stop: Arc<AtomicBool>,
    ) -> Self {
        let path = settings.candles_path.as_deref();
        let mut open = |venue: HistoryVenue| {
            let files: Box<dyn CandleFiles + Send> =
                match path.map(|path| Directory::open(path, venue.venue, &venue.rest_url)) {
                    Some(Ok(directory)) => Box::new(directory),
                    None => Box::new(NoFiles),
                    Some(Err(trouble)) => {
                        let event = Event::new(Severity::Warn, Some(venue.venue), trouble.what);
                        events.push(event.detail(&trouble.detail));
                        Box::new(NoFiles)
                    }
                };
            CoreVenue { venue: venue.venue, intervals: venue.intervals, files }
        };
        let venues = settings.venues.into_iter().map(&mut open).collect();
        let core = HistoryCore::new(venues, counters, settings.seed);
        Self { clock, core, rings, events, stop, done: false }
    }

    fn take_in(&mut self, now: Now) -> usize {
        let core = &mut self.core;
        let mut work = self.rings.records.drain(HISTORY_ITEMS_PER_TURN, |record| core.on_record(record, now));
        while work < 2 * HISTORY_ITEMS_PER_TURN
            && let Ok(wish) = self.rings.wishes.pop()
        {
            core.on_wish(wish);
            work += 1;
        }
        for _ in 0..HISTORY_ANSWERS_PER_TURN {
            if core.outbox().is_full() {
                break;
            }
            let Ok(fetched) = self.rings.answers.pop() else { break };
            core.on_fetched(fetched, now);
            work += 1;
        }
        work
    }

    fn hand_out(&mut self) -> usize {
        let out = self.core.outbox();
        let work = flush(&mut out.requests, &mut self.rings.requests)
            + flush(&mut out.history, &mut self.rings.rows)
            + flush(&mut out.seeds, &mut self.rings.seeds);
        self.tell();
        work
    }

    fn tell(&mut self) {
        for event in self.core.outbox().events.drain(..) {
            self.events.push(event);
        }
    }
}

/// Moves what there is room for.
fn flush<T>(waiting: &mut VecDeque<T>, ring: &mut rtrb::Producer<T>) -> usize {
    let mut work = 0;
    while let Some(item) = waiting.pop_front() {
        if let Err(rtrb::PushError::Full(item)) = ring.push(item) {
            waiting.push_front(item);
            break;
        }
        work += 1;
    }
    work
}

impl Agent for History {
    fn name(&self) -> &'static str {
        "history"
    }

    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn do_work(&mut self, now: Now) -> usize {
        if self.stop.load(Ordering::Relaxed) {
            // The engine has ended: its last closed candles go to the files. Answers that still come would each
            // replace a file and ask for more.
            let core = &mut self.core;
            let taken =
                self.rings.records.drain(HISTORY_ITEMS_PER_TURN, |record| core.on_record(record, now));
            self.done = taken == 0;
            self.tell();
            return taken;
        }
        self.take_in(now) + self.core.work(now) + self.hand_out()
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
