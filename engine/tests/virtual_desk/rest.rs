//! The fetcher of one venue without its threads: queue and budget, requests on their way, answers that come back.

use super::seat::HandVenue;
use super::weather::Weather;
use codec::time::Now;
use codec::words::Venue;
use engine::event::{Event, Severity};
use engine::fetch::{FetchError, FetchRequest, Fetched};
use engine::fetcher::{Queue, Reply, Ticket, understand, wire};
use engine::limits::FETCH_TIMEOUT_MS;
use sim::protocol::{Request, Response, Target};
use std::collections::{BTreeMap, VecDeque};

/// By whom the fetcher is asked.
pub const OF_ENGINE: usize = 0;
pub const OF_HISTORY: usize = 1;

struct Asked {
    ticket: Ticket,
    asked: Now,
    asked_ms: u64,
}

struct Wait {
    due_ms: u64,
    asked: Asked,
    reply: Reply,
    body: Vec<u8>,
}

/// See the module.
pub struct Rest {
    pub queue: Queue,
    which: Venue,
    /// Requests that the fetcher has not taken yet.
    lanes: VecDeque<Ticket>,
    asked: BTreeMap<u64, Asked>,
    waiting: Vec<Wait>,
}

impl Rest {
    pub fn new(which: Venue, weight_per_minute: u32, seed: u64) -> Self {
        Self {
            queue: Queue::new(which, weight_per_minute, seed),
            which,
            lanes: VecDeque::new(),
            asked: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    pub fn request(&mut self, lane: usize, request: FetchRequest) {
        self.lanes.push_back(Ticket { lane, request });
    }

    /// The venue has answered; the answer sets out.
    pub fn answered(&mut self, request: u64, response: Response, now_ms: u64, weather: &mut Weather) {
        let Some(asked) = self.asked.remove(&request) else { return };
        if weather.strikes(weather.lost_rest_per_mille) {
            self.asked.insert(request, asked);
            return;
        }
        let header = |name: &str| {
            let found = response.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.parse::<u64>().ok())
        };
        let reply = Reply {
            status: response.status,
            retry_after_s: header("retry-after"),
            used_weight: header("x-mbx-used-weight-1m").map(|used| used as u32),
            ..Reply::default()
        };
        let due_ms = now_ms + weather.draw(weather.rest_ms);
        self.waiting.push(Wait { due_ms, asked, reply, body: response.body });
    }

    /// A turn of the fetcher; what it has for whom.
    pub fn turn(
        &mut self,
        venue: &mut dyn HandVenue,
        now: Now,
        now_ms: u64,
        events: &mut Vec<Event>,
        mut give: impl FnMut(usize, Fetched),
    ) {
        // A request that is not answered in time has failed.
        let late = |asked: &Asked| now_ms - asked.asked_ms > FETCH_TIMEOUT_MS;
        let late: Vec<_> =
            self.asked.iter().filter(|(_, asked)| late(asked)).map(|(number, _)| *number).collect();
        for number in late {
            let Some(asked) = self.asked.remove(&number) else { continue };
            let reply = Reply { message: "time-out".to_owned(), ..Reply::default() };
            self.waiting.push(Wait { due_ms: 0, asked, reply, body: Vec::new() });
        }
        let due: Vec<_> = self.waiting.extract_if(.., |wait| wait.due_ms <= now_ms).collect();
        for Wait { asked: Asked { ticket, asked, .. }, reply, body, .. } in due {
            let (reply, answer) =
                if reply.status == 0 { (reply, None) } else { understand(&ticket.request, reply, body, "") };
            let (outcome, rest) = self.queue.settle(&reply, asked, now);
            if let Some(rest) = rest {
                events.push(Event::new(Severity::Warn, Some(self.which), rest.why).number(rest.ms));
            }
            let outcome =
                outcome.and_then(|()| answer.ok_or_else(|| FetchError::Transient("no answer".into())));
            give(ticket.lane, Fetched { request: ticket.request, outcome });
        }
        for ticket in self.lanes.drain(..) {
            if let Err(Ticket { lane, request }) = self.queue.push(ticket) {
                give(lane, Fetched { request, outcome: Err(FetchError::Overflow) });
            }
        }
        while let Some(ticket) = self.queue.next(now) {
            let number = venue.request(&on_the_wire(&ticket.request));
            self.asked.insert(number, Asked { ticket, asked: now, asked_ms: now_ms });
        }
    }
}

fn on_the_wire(request: &FetchRequest) -> Request {
    let wire = wire("", request).unwrap();
    let (method, headers) = match wire.body {
        None => ("GET", Vec::new()),
        Some(_) => ("POST", vec![("content-type".to_owned(), "application/json".to_owned())]),
    };
    Request {
        method: method.to_owned(),
        target: Target::parse(&wire.url),
        headers,
        body: wire.body.unwrap_or_default().into_bytes(),
    }
}
