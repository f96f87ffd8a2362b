//! Binance's REST weight: what an address has used up of its minute, and what becomes of one that asks on.

use super::rest::error;
use crate::counters::{MINUTE_MS, MinuteWeight, SharedCounters};
use crate::limits::{
    BINANCE_BAN_MAX_MS, BINANCE_FIRST_BAN_MS, BINANCE_REFUSALS_BEFORE_BAN, BINANCE_WEIGHT_PER_MINUTE_MAX,
};
use crate::protocol::Response;
use crate::rest_faults::Storm;

/// What an address has used up.
pub struct Budget {
    weight: MinuteWeight,
    refusals: (i64, u64),
    ban_until_ms: i64,
    next_ban_ms: i64,
    enforce: bool,
}

impl Budget {
    /// A fresh one; if not enforced, it only counts.
    pub fn new(enforce: bool) -> Self {
        Self {
            weight: MinuteWeight::default(),
            refusals: (0, 0),
            ban_until_ms: 0,
            next_ban_ms: BINANCE_FIRST_BAN_MS,
            enforce,
        }
    }

    /// Takes the weight of a request: the weight used in this minute, or the refusal.
    pub fn admit(
        &mut self,
        path: &str,
        weight: u64,
        now_ms: i64,
        counters: &SharedCounters,
    ) -> Result<u64, Response> {
        let used = self.weight.add(now_ms, weight);
        let mut counters = counters.lock();
        counters.count_rest(path, weight, used);
        let banned = now_ms < self.ban_until_ms;
        let over = counters.use_limit("binance REST weight", used, BINANCE_WEIGHT_PER_MINUTE_MAX);
        if !over && !banned {
            return Ok(used);
        }
        if !self.enforce {
            return Ok(used);
        }
        let minute = now_ms.div_euclid(MINUTE_MS);
        if self.refusals.0 != minute {
            self.refusals = (minute, 0);
        }
        self.refusals.1 += 1;
        if !banned && self.refusals.1 > BINANCE_REFUSALS_BEFORE_BAN {
            self.ban_until_ms = now_ms + self.next_ban_ms;
            self.next_ban_ms = (self.next_ban_ms * 2).min(BINANCE_BAN_MAX_MS);
        }
        if now_ms < self.ban_until_ms {
            counters.rest_418 += 1;
            let left_s = (self.ban_until_ms - now_ms + 999) / 1000;
            let message = format!("Way too many requests; IP banned until {}.", self.ban_until_ms);
            return Err(error(418, -1003, &message).with_header("Retry-After", left_s));
        }
        counters.rest_429 += 1;
        let message = format!(
            "Too many requests; current limit is {BINANCE_WEIGHT_PER_MINUTE_MAX} requests per minute. \
             Please use the websocket for live updates to avoid polling the API."
        );
        let retry =
            error(429, -1003, &message).with_header("Retry-After", MinuteWeight::seconds_left(now_ms));
        Err(with_weight(retry, used))
    }
}

/// What a request is answered with while a fault lasts; with `Retry-After` as the venue sends it.
pub fn refusal_of(storm: Storm, now_ms: i64, counters: &SharedCounters) -> Response {
    let (response, usual_s) = match storm.status {
        418 => {
            counters.lock().rest_418 += 1;
            let message = format!("Way too many requests; IP banned until {}.", storm.until_ms);
            (error(418, -1003, &message), Some((storm.until_ms - now_ms + 999) / 1000))
        }
        429 => {
            counters.lock().rest_429 += 1;
            let left_s = MinuteWeight::seconds_left(now_ms);
            (error(429, -1003, "Too many requests."), Some(left_s))
        }
        500 => (error(500, -1000, "An unknown error occurred while processing the request."), None),
        status => (Response::text(status, "Service Unavailable from backend"), None),
    };
    match storm.retry_after_s.map(i64::from).or(usual_s) {
        Some(retry_s) => response.with_header("Retry-After", retry_s),
        None => response,
    }
}

/// The same answer with the header that tells what is used up.
pub fn with_weight(response: Response, used: u64) -> Response {
    response.with_header("X-MBX-USED-WEIGHT-1M", used)
}
