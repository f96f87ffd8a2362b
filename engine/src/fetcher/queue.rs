//! One venue's requests: who is next, and what an answer means for those after it. No I/O, no clock.

use super::budget::Budget;
use super::query;
use crate::fetch::{FetchError, FetchRequest, Priority, Query};
use crate::limits::{
    FETCH_BAN_PAUSE_MS, FETCH_FAILURE_PAUSE_FIRST_MS, FETCH_FAILURE_PAUSE_LAST_MS, FETCH_FAILURES_FREE,
    FETCH_FORBIDDEN_PAUSE_MS, FETCH_QUEUE_MAX, FETCH_REGION_PAUSE_MS, FETCHES_INFLIGHT_MAX,
};
use crate::session::backoff::Random;
use codec::time::Now;
use codec::words::Venue;
use std::collections::VecDeque;

/// What came back, before anybody looks into a good body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status; 0: none came.
    pub status: u16,
    /// `Retry-After`, seconds.
    pub retry_after_s: Option<u64>,
    /// `X-MBX-USED-WEIGHT-1M`.
    pub used_weight: Option<u32>,
    /// The venue's own error code, or 0.
    pub code: i64,
    /// What went wrong, in words; empty when nothing did.
    pub message: String,
    /// Weight beyond the request's own, known only now.
    pub surcharge: u32,
}

/// A rest the operator should know of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Why, as a fixed phrase.
    pub why: &'static str,
    /// How long, ms.
    pub ms: u64,
}

/// A request, and the lane its answer returns by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Index of the lane.
    pub lane: usize,
    /// What is asked.
    pub request: FetchRequest,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    venue: Venue,
    waiting: [VecDeque<Ticket>; 4],
    inflight: usize,
    budget: Budget,
    failures: u32,
    random: Random,
}

impl Queue {
    /// Weight used in the present minute.
    pub fn weight_used(&mut self, now: Now) -> u32 {
        self.budget.used(now)
    }

    /// An empty queue with `weight_per_minute` to spend.
    #[must_use]
    pub fn new(venue: Venue, weight_per_minute: u32, seed: u64) -> Self {
        Self {
            venue,
            waiting: Default::default(),
            inflight: 0,
            budget: Budget::new(venue, weight_per_minute),
            failures: 0,
            random: Random::new(seed),
        }
    }

    /// Takes a request. A book asked for again while the same request still waits takes its place: a
    /// connection that is cut over and over must not pile up snapshots of which only the last is wanted. The
    /// older one is dropped unanswered, for its session knows its token no longer.
    ///
    /// # Errors
    /// Gives it back when [`FETCH_QUEUE_MAX`] are waiting.
    pub fn push(&mut self, ticket: Ticket) -> Result<(), Ticket> {
        let Some(ticket) = self.replace(ticket) else { return Ok(()) };
        if self.waiting.iter().map(VecDeque::len).sum::<usize>() >= FETCH_QUEUE_MAX {
            return Err(ticket);
        }
        self.waiting[ticket.request.priority as usize].push_back(ticket);
        Ok(())
    }

    /// Puts a book's request where an older one of the same book waits, if it is no less urgent there; takes a
    /// less urgent one out. Gives back what has no place yet.
    fn replace(&mut self, ticket: Ticket) -> Option<Ticket> {
        let Query::Book { symbol, .. } = &ticket.request.query else { return Some(ticket) };
        let is_same = |waiting: &Ticket| {
            waiting.lane == ticket.lane
                && waiting.request.instrument == ticket.request.instrument
                && matches!(&waiting.request.query, Query::Book { symbol: other, .. } if other == symbol)
        };
        let found = self
            .waiting
            .iter()
            .enumerate()
            .find_map(|(priority, queue)| queue.iter().position(is_same).map(|place| (priority, place)));
        let Some((priority, place)) = found else { return Some(ticket) };
        if priority > ticket.request.priority as usize {
            self.waiting[priority].remove(place);
            return Some(ticket);
        }
        self.waiting[priority][place] = ticket;
        None
    }

    /// The next request to be asked now, if there is one and the budget has room: the most urgent first,
    /// and never a cheaper one past a more urgent one.
    pub fn next(&mut self, now: Now) -> Option<Ticket> {
        let queue = self.waiting.iter_mut().find(|queue| !queue.is_empty())?;
        let request = &queue.front()?.request;
        let slots = match request.priority {
            Priority::Repair => FETCHES_INFLIGHT_MAX,
            _ => FETCHES_INFLIGHT_MAX - 1,
        };
        let weight = query::weight(request);
        if self.inflight >= slots || !self.budget.allows(weight, request.priority, now) {
            return None;
        }
        self.budget.charge(weight, now);
        self.inflight += 1;
        queue.pop_front()
    }

    /// Weight spent in the present minute.
    pub fn used(&mut self, now: Now) -> u32 {
        self.budget.used(now)
    }

    /// Takes note of a reply: what error it is, if it is one, and whether the venue wants rest.
    pub fn settle(&mut self, reply: &Reply, asked: Now, now: Now) -> (Result<(), FetchError>, Option<Rest>) {
        self.inflight = self.inflight.saturating_sub(1);
        if reply.surcharge > 0 {
            self.budget.charge(reply.surcharge, now);
        }
        if let Some(used) = reply.used_weight {
            self.budget.learn_used(used, asked.wall_ns, now);
        }
        let order = self.order(reply, now);
        let mut rest = order.map(|(why, ms)| Rest { why, ms });
        let outcome = self.outcome(reply, rest);
        match &outcome {
            Err(FetchError::Transient(_)) if rest.is_none() => rest = self.slow_down(),
            Err(FetchError::Transient(_) | FetchError::RateLimited { .. }) => {}
            _ => self.failures = 0,
        }
        if let Some(rest) = rest {
            self.budget.rest(rest.ms, now);
        }
        (outcome, rest)
    }

    /// The rest a status orders.
    fn order(&mut self, reply: &Reply, now: Now) -> Option<(&'static str, u64)> {
        let given = reply.retry_after_s.map(|seconds| seconds.saturating_mul(1000));
        match reply.status {
            429 => {
                let minute_ms = 60_000 - now.wall_ns / 1_000_000 % 60_000;
                // A little past the minute, and not everybody at once.
                let ms = given.unwrap_or(minute_ms).saturating_add(100 + self.random.below(5_000));
                Some(("REST limit exceeded: all requests rest", ms))
            }
            418 => {
                let until = banned_until_ms(&reply.message)
                    .map(|until_ms| until_ms.saturating_sub(now.wall_ns / 1_000_000));
                let ms = given.or(until).unwrap_or(FETCH_BAN_PAUSE_MS).saturating_add(1_000);
                Some(("banned from REST: all requests rest", ms))
            }
            403 => Some((
                "REST forbidden by the venue's firewall: all requests rest",
                given.unwrap_or(FETCH_FORBIDDEN_PAUSE_MS),
            )),
            451 => Some(("REST not served from this region: all requests rest", FETCH_REGION_PAUSE_MS)),
            _ => None,
        }
    }

    fn outcome(&self, reply: &Reply, rest: Option<Rest>) -> Result<(), FetchError> {
        let transient = || Err(FetchError::Transient(describe(reply)));
        match reply.status {
            200..=299 if reply.message.is_empty() => Ok(()),
            0 | 403 | 408 => transient(),
            429 | 418 => Err(FetchError::RateLimited { retry_after_ms: rest.map_or(0, |rest| rest.ms) }),
            // Hyperliquid answers a caller's mistake with a 500 whose body is `null` (measured, 2026-09).
            500 if self.venue == Venue::Hyperliquid && reply.message == "null" => permanent(reply),
            500..=599 => transient(),
            _ => permanent(reply),
        }
    }

    /// After some failures in a row asking itself slows down, whoever asks.
    fn slow_down(&mut self) -> Option<Rest> {
        self.failures += 1;
        let doublings = self.failures.checked_sub(FETCH_FAILURES_FREE)?.min(16);
        let ms = (FETCH_FAILURE_PAUSE_FIRST_MS << doublings).min(FETCH_FAILURE_PAUSE_LAST_MS);
        let ms = ms / 2 + self.random.below(ms / 2 + 1);
        Some(Rest { why: "REST fails repeatedly: requests slow down", ms })
    }
}

fn permanent(reply: &Reply) -> Result<(), FetchError> {
    Err(FetchError::Permanent { status: reply.status, code: reply.code, message: reply.message.clone() })
}

fn describe(reply: &Reply) -> String {
    match reply.status {
        0 => reply.message.clone(),
        status => format!("HTTP {status} {}", reply.message).trim_end().to_owned(),
    }
}

/// The time in "…banned until 1573483123456…", ms since the epoch.
fn banned_until_ms(message: &str) -> Option<u64> {
    let (_, after) = message.split_once("until ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    if digits.len() == 13 { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::Query;

    fn at(ms: u64) -> Now {
        Now { mono_ns: (1_000_000 + ms) * 1_000_000, wall_ns: (1_795_000_020_000 + ms) * 1_000_000 }
    }

    /// Each token is another book's.
    fn book(priority: Priority, token: u64) -> Ticket {
        book_of(token as u32, priority, token)
    }

    fn book_of(instrument: u32, priority: Priority, token: u64) -> Ticket {
        let query = Query::Book { symbol: "BTCUSDT".into(), limit: 1000 };
        let request = FetchRequest { venue: Venue::Binance, query, instrument, token, priority };
        Ticket { lane: 0, request }
    }

    fn queue() -> Queue {
        Queue::new(Venue::Binance, 1800, 1)
    }

    fn status(status: u16) -> Reply {
        let message = if status == 200 { String::new() } else { "no".into() };
        Reply { status, message, ..Reply::default() }
    }

    #[test]
    fn the_urgent_go_first_and_find_a_free_place() {
        let mut queue = queue();
        for token in 0..10 {
            queue.push(book(Priority::Background, token)).unwrap();
        }
        queue.push(book(Priority::Asked, 10)).unwrap();
        let mut order = Vec::new();
        while let Some(request) = queue.next(at(0)) {
            order.push(request.request.token);
        }
        assert_eq!(order, [10, 0, 1], "one place is kept for repairs");
        queue.push(book(Priority::Repair, 11)).unwrap();
        assert_eq!(queue.next(at(0)).unwrap().request.token, 11);
        assert!(queue.next(at(0)).is_none());
        assert_eq!(queue.settle(&status(200), at(0), at(1)), (Ok(()), None));
        assert!(queue.next(at(1)).is_none(), "three others are still on their way");
        let _ = queue.settle(&status(200), at(0), at(1));
        assert_eq!(queue.next(at(1)).unwrap().request.token, 2);
    }

    #[test]
    fn a_book_asked_for_again_waits_once() {
        let mut queue = queue();
        for (instrument, priority, token) in [
            (1, Priority::Background, 10),
            (2, Priority::Background, 20),
            (3, Priority::Repair, 30),
            (1, Priority::Background, 11),
            (1, Priority::Background, 12),
            // More urgent than the one that waits, and less.
            (2, Priority::Asked, 21),
            (3, Priority::Background, 31),
        ] {
            queue.push(book_of(instrument, priority, token)).unwrap();
        }
        // Another lane, another symbol and another query are others.
        queue.push(Ticket { lane: 1, ..book_of(1, Priority::Background, 13) }).unwrap();
        let mut other = book_of(1, Priority::Background, 14);
        other.request.query = Query::Book { symbol: "ETHUSDT".into(), limit: 1000 };
        queue.push(other).unwrap();
        for token in [15, 16] {
            let mut trades = book_of(1, Priority::Background, token);
            trades.request.query = Query::AggTrades { symbol: "BTCUSDT".into(), from_id: 1, limit: 1 };
            queue.push(trades).unwrap();
        }
        let mut order = Vec::new();
        while let Some(ticket) = queue.next(at(0)) {
            order.push(ticket.request.token);
            let _ = queue.settle(&status(200), at(0), at(0));
        }
        assert_eq!(order, [31, 21, 12, 13, 14, 15, 16]);
        // One that is on its way is no longer replaced; a full queue still takes its own books again.
        for token in 0..FETCH_QUEUE_MAX as u64 {
            queue.push(book(Priority::Background, token)).unwrap();
        }
        queue.push(book_of(7, Priority::Background, 1_000_000)).unwrap();
        assert!(queue.push(book(Priority::Background, FETCH_QUEUE_MAX as u64)).is_err());
    }

    #[test]
    fn a_full_queue_gives_the_request_back() {
        let mut queue = queue();
        for token in 0..FETCH_QUEUE_MAX as u64 {
            queue.push(book(Priority::Background, token)).unwrap();
        }
        assert_eq!(queue.push(book_of(u32::MAX, Priority::Repair, 7)).unwrap_err().request.token, 7);
    }

    #[test]
    fn a_limit_stops_everything_until_the_venue_says() {
        let mut queue = queue();
        queue.push(book(Priority::Repair, 0)).unwrap();
        queue.push(book(Priority::Repair, 1)).unwrap();
        queue.next(at(0)).unwrap();
        let reply = Reply { retry_after_s: Some(7), ..status(429) };
        let (outcome, rest) = queue.settle(&reply, at(0), at(100));
        let ms = rest.unwrap().ms;
        assert!((7_100..12_200).contains(&ms));
        assert_eq!(outcome, Err(FetchError::RateLimited { retry_after_ms: ms }));
        assert!(queue.next(at(ms)).is_none());
        assert_eq!(queue.next(at(ms + 101)).unwrap().request.token, 1);
        // Without Retry-After: the next clock minute.
        let (_, rest) = queue.settle(&status(429), at(0), at(20_000));
        assert!((40_100..45_200).contains(&rest.unwrap().ms), "{rest:?}");
    }

    #[test]
    fn a_ban_lasts_as_long_as_its_text_says() {
        let mut queue = queue();
        let until = at(0).wall_ns / 1_000_000 + 250_000;
        let message =
            format!("Way too many requests; IP(1.2.3.4) banned until {until}. Please use the websocket");
        let (_, rest) = queue.settle(&Reply { message, ..status(418) }, at(0), at(0));
        assert_eq!(rest.unwrap().ms, 251_000);
        let mut queue = self::queue();
        let (_, rest) = queue.settle(&status(418), at(0), at(0));
        assert_eq!(rest.unwrap().ms, FETCH_BAN_PAUSE_MS + 1_000);
        let reply = Reply { retry_after_s: Some(9), ..status(418) };
        let (_, rest) = self::queue().settle(&reply, at(0), at(0));
        assert_eq!(rest.unwrap().ms, 10_000);
        let endless = Reply { retry_after_s: Some(u64::MAX), ..status(418) };
        let (_, rest) = self::queue().settle(&endless, at(0), at(0));
        assert_eq!(rest.unwrap().ms, u64::MAX);
    }

    #[test]
    fn every_status_has_its_meaning() {
        let outcome = |venue, reply: Reply| Queue::new(venue, 1000, 1).settle(&reply, at(0), at(0));
        for code in [0, 403, 408, 500, 502, 503] {
            let (result, rest) = outcome(Venue::Binance, status(code));
            assert!(matches!(result, Err(FetchError::Transient(_))), "{code}");
            assert_eq!(rest.is_some(), code == 403);
        }
        for code in [301, 400, 404, 422, 451] {
            let (result, rest) = outcome(Venue::Binance, Reply { code: -1121, ..status(code) });
            assert_eq!(
                result,
                Err(FetchError::Permanent { status: code, code: -1121, message: "no".into() })
            );
            assert_eq!(rest.is_some(), code == 451);
        }
        let null = Reply { message: "null".into(), ..status(500) };
        let (result, _) = outcome(Venue::Hyperliquid, null);
        assert!(matches!(result, Err(FetchError::Permanent { status: 500, .. })));
        // A good status whose body cannot be read.
        let (result, _) = outcome(Venue::Hyperliquid, Reply { message: "no JSON".into(), ..status(200) });
        assert!(matches!(result, Err(FetchError::Permanent { status: 200, .. })));
    }

    #[test]
    fn repeated_failures_slow_everybody_down_until_one_succeeds() {
        let mut queue = queue();
        let mut rests = Vec::new();
        for _ in 0..12 {
            rests.push(queue.settle(&status(503), at(0), at(0)).1.map_or(0, |rest| rest.ms));
        }
        assert_eq!(&rests[..2], [0, 0]);
        assert!(rests[2] >= 250 && rests[11] >= 15_000 && rests[11] <= 30_000, "{rests:?}");
        let _ = queue.settle(&status(200), at(0), at(0));
        assert_eq!(queue.settle(&status(503), at(0), at(0)).1, None);
    }

    #[test]
    fn surcharges_and_the_venues_own_figure_are_counted() {
        let mut queue = queue();
        let _ = queue.settle(&Reply { surcharge: 30, ..status(200) }, at(0), at(0));
        assert_eq!(queue.budget.used(at(0)), 30);
        let _ = queue.settle(&Reply { used_weight: Some(1500), ..status(200) }, at(0), at(0));
        assert_eq!(queue.budget.used(at(0)), 1500);
    }
}
