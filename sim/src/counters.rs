//! What a venue has seen and done, for tests to read.
//!
//! All counts are since the start; a snapshot is consistent in itself.

use crate::protocol::{ConnectionId, Route};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One subscribe or unsubscribe request, in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeRecord {
    /// When it arrived.
    pub time_ms: i64,
    /// On which connection.
    pub connection: ConnectionId,
    /// Through which door.
    pub route: Route,
    /// True for unsubscribe.
    pub unsubscribe: bool,
    /// The streams named (Hyperliquid: the subscription object as sent, in JSON).
    pub streams: Vec<String>,
}

/// A venue's counters.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// WebSocket connections open now.
    pub connections_open: usize,
    /// WebSocket connections ever opened.
    pub connections_opened: u64,
    /// WebSocket handshakes refused for a limit.
    pub connections_refused: u64,
    /// Binance: connections closed because they were too old.
    pub connections_aged_out: u64,
    /// Subscriptions live now, over all connections.
    pub subscriptions: usize,
    /// Messages received from clients, control frames included.
    pub messages_received: u64,
    /// Most messages received within one second on one connection.
    pub messages_per_second_max: u64,
    /// Most messages received within one minute on all connections together.
    pub messages_per_minute_max: u64,
    /// REST requests received.
    pub rest_requests: u64,
    /// REST requests received, by path (Hyperliquid: by `type`).
    pub rest_requests_by_path: BTreeMap<String, u64>,
    /// REST weight used since the start, by path (Hyperliquid: by `type`), refused requests and surcharges included.
    pub rest_weight_by_path: BTreeMap<String, u64>,
    /// Most REST weight used within one minute, refused requests included.
    pub rest_weight_per_minute_max: u64,
    /// Answers with status 429.
    pub rest_429: u64,
    /// Answers with status 418.
    pub rest_418: u64,
    /// Data frames sent, by stream, summed over connections.
    pub frames_sent: BTreeMap<String, u64>,
    /// The most ever used of each limit of the venue, by the limit's name.
    pub limit_used_max: BTreeMap<&'static str, u64>,
    /// How often a client went over a limit of the venue, by the limit's name.
    pub limit_violations: BTreeMap<&'static str, u64>,
    /// Requests answered with an error that leaves the connection open.
    pub soft_errors: u64,
    /// Requests that cost the client its connection.
    pub fatal_requests: u64,
    /// Subscriptions acknowledged that will never deliver (wrong route, wrong case, misspelt).
    pub silent_subscriptions: u64,
    /// Subscribe and unsubscribe requests in the order they came.
    pub subscribe_log: Vec<SubscribeRecord>,
}

impl Counters {
    /// All data frames sent.
    pub fn frames_sent_total(&self) -> u64 {
        self.frames_sent.values().sum()
    }

    /// All violations of limits.
    pub fn limit_violations_total(&self) -> u64 {
        self.limit_violations.values().sum()
    }

    /// Notes how much of a limit is used; counts a violation, and returns true, if that is too much.
    pub fn use_limit(&mut self, limit: &'static str, used: u64, allowed: u64) -> bool {
        let most = self.limit_used_max.entry(limit).or_default();
        *most = used.max(*most);
        if used > allowed {
            self.violate(limit);
        }
        used > allowed
    }

    /// Counts a violation.
    fn violate(&mut self, limit: &'static str) {
        log::warn!("a client went over a limit of the venue: {limit}");
        *self.limit_violations.entry(limit).or_default() += 1;
    }

    /// Counts a REST request, its weight, and what its minute has used with it.
    pub fn count_rest(&mut self, path: &str, weight: u64, weight_used: u64) {
        self.rest_requests += 1;
        self.count_weight(path, weight);
        self.rest_weight_per_minute_max = self.rest_weight_per_minute_max.max(weight_used);
        match self.rest_requests_by_path.get_mut(path) {
            Some(count) => *count += 1,
            None => drop(self.rest_requests_by_path.insert(path.to_owned(), 1)),
        }
    }

    /// Counts the weight of a request, or what its rows add to it.
    pub fn count_weight(&mut self, path: &str, weight: u64) {
        match self.rest_weight_by_path.get_mut(path) {
            Some(sum) => *sum += weight,
            None => drop(self.rest_weight_by_path.insert(path.to_owned(), weight)),
        }
    }

    /// Counts a stream's frames.
    pub fn count_frames(&mut self, stream: &str, frames: u64) {
        match self.frames_sent.get_mut(stream) {
            Some(count) => *count += frames,
            None => drop(self.frames_sent.insert(stream.to_owned(), frames)),
        }
    }
}

/// Counters shared between a venue's thread and those who read them.
#[derive(Clone, Debug, Default)]
pub struct SharedCounters(Arc<Mutex<Counters>>);

impl SharedCounters {
    /// The counters, locked.
    pub fn lock(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of the counters now.
    pub fn snapshot(&self) -> Counters {
        self.lock().clone()
    }
}

/// Counts what happened within a sliding window.
#[derive(Clone, Debug)]
pub struct SlidingCount {
    window_ms: i64,
    times_ms: VecDeque<i64>,
}

impl SlidingCount {
    /// A count over this window.
    pub fn new(window_ms: i64) -> Self {
        Self { window_ms, times_ms: VecDeque::new() }
    }

    /// Adds one and returns how many lie within the window, this one included.
    pub fn add(&mut self, now_ms: i64) -> u64 {
        while self.times_ms.front().is_some_and(|time_ms| now_ms - time_ms >= self.window_ms) {
            self.times_ms.pop_front();
        }
        self.times_ms.push_back(now_ms);
        self.times_ms.len() as u64
    }
}

/// Adds up a weight per UTC clock minute.
#[derive(Clone, Debug, Default)]
pub struct MinuteWeight {
    minute: i64,
    used: u64,
}

/// Adds up a weight over the last minute, sliding.
#[derive(Clone, Debug, Default)]
pub struct SlidingWeight {
    parts: VecDeque<(i64, u64)>,
    used: u64,
}

impl SlidingWeight {
    /// Adds a weight and returns what the minute before now has used with it.
    pub fn add(&mut self, now_ms: i64, weight: u64) -> u64 {
        while let Some((time_ms, gone)) = self.parts.front().copied() {
            if now_ms - time_ms < MINUTE_MS {
                break;
            }
            self.used -= gone;
            self.parts.pop_front();
        }
        self.parts.push_back((now_ms, weight));
        self.used += weight;
        self.used
    }
}

/// Milliseconds of a minute.
pub const MINUTE_MS: i64 = 60_000;

impl MinuteWeight {
    /// Adds a weight and returns what the minute has used with it.
    pub fn add(&mut self, now_ms: i64, weight: u64) -> u64 {
        let minute = now_ms.div_euclid(MINUTE_MS);
        if minute != self.minute {
            (self.minute, self.used) = (minute, 0);
        }
        self.used += weight;
        self.used
    }

    /// Seconds until the next minute, at least one.
    pub fn seconds_left(now_ms: i64) -> i64 {
        (MINUTE_MS - now_ms.rem_euclid(MINUTE_MS) + 999) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_slide_and_minutes_end() {
        let mut count = SlidingCount::new(1000);
        assert_eq!((count.add(0), count.add(999), count.add(1000)), (1, 2, 2));
        let mut weight = MinuteWeight::default();
        assert_eq!((weight.add(59_999, 5), weight.add(59_999, 5), weight.add(60_000, 1)), (5, 10, 1));
        assert_eq!(MinuteWeight::seconds_left(59_999), 1);
        assert_eq!(MinuteWeight::seconds_left(60_000), 60);
        let mut sliding = SlidingWeight::default();
        assert_eq!((sliding.add(0, 5), sliding.add(59_999, 5), sliding.add(60_000, 1)), (5, 10, 6));
    }
}
