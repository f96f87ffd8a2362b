//! Hyperliquid as a program meets it in late 2026: one door, subscriptions without ids, and a temper.
//!
//! A mistake in a subscription is either answered (`channel: error`) or costs the connection, without a word.

pub(crate) mod candles;
mod context;
mod fault;
mod fills;
pub(crate) mod frames;
pub(crate) mod hub;
pub(crate) mod info;
pub(crate) mod meta;
mod publish;
mod subscription;

use crate::config::{HyperliquidConfig, KeyOrder};
use crate::counters::{MINUTE_MS, SharedCounters, SlidingCount, SlidingWeight, SubscribeRecord};
use crate::disturbances::CandleRest;
use crate::error::SimError;
use crate::faults::Fault;
use crate::limits::{
    HYPERLIQUID_CONNECTIONS_MAX, HYPERLIQUID_MESSAGES_PER_MINUTE_MAX,
    HYPERLIQUID_NEW_CONNECTIONS_PER_MINUTE_MAX, HYPERLIQUID_SUBSCRIPTIONS_MAX, HYPERLIQUID_USERS_MAX,
    HYPERLIQUID_WEIGHT_PER_MINUTE_MAX, SUBSCRIBE_LOG_MAX,
};
use crate::market::MarketHandle;
use crate::playback::hyperliquid::HyperliquidPlayback;
use crate::protocol::{
    Action, Backlog, ConnectionId, ControlFrame, Protocol, Request, RequestId, Response, Route, Target,
};
use crate::random::Random;
use crate::rest_faults::RestFaults;
use hub::{Connection, Hub};
use publish::Publisher;
use serde_json::Value;
use subscription::Refusal;
pub(crate) use subscription::Subscription;
pub use subscription::is_address;

enum Source {
    Model { market: MarketHandle, publisher: Box<Publisher> },
    Playback(Box<HyperliquidPlayback>),
}

/// The venue.
pub struct Hyperliquid {
    hub: Hub,
    source: Source,
    rest_faults: RestFaults,
    weight: SlidingWeight,
    messages: SlidingCount,
    new_connections: SlidingCount,
    random: Random,
    idle_close_ms: i64,
    fatal_delay_ms: (i64, i64),
    key_order: KeyOrder,
    enforce_limits: bool,
    tick_ms: i64,
}

impl Hyperliquid {
    /// The venue on a market's model.
    pub fn on_model(
        config: &HyperliquidConfig,
        market: MarketHandle,
        counters: SharedCounters,
        seed: u64,
        tick_ms: i64,
    ) -> Self {
        let publisher = Box::new(Publisher::new(&market.lock(), config));
        let hub = Hub::new(&market.instruments(), counters, seed);
        Self::new(config, Source::Model { market, publisher }, hub, seed, tick_ms)
    }

    /// The venue on a capture.
    pub fn on_playback(
        config: &HyperliquidConfig,
        playback: HyperliquidPlayback,
        counters: SharedCounters,
        seed: u64,
        tick_ms: i64,
    ) -> Self {
        let hub = Hub::new(playback.instruments(), counters, seed);
        Self::new(config, Source::Playback(Box::new(playback)), hub, seed, tick_ms)
    }

    fn new(config: &HyperliquidConfig, source: Source, hub: Hub, seed: u64, tick_ms: i64) -> Self {
        Self {
            hub,
            source,
            rest_faults: RestFaults::default(),
            weight: SlidingWeight::default(),
            messages: SlidingCount::new(MINUTE_MS),
            new_connections: SlidingCount::new(MINUTE_MS),
            random: Random::seeded(seed, 0xFA7A1),
            idle_close_ms: config.idle_close_ms,
            fatal_delay_ms: config.fatal_delay_ms,
            key_order: config.key_order,
            enforce_limits: config.enforce_limits,
            tick_ms,
        }
    }

    fn error(&mut self, id: ConnectionId, text: &str, now_ms: i64, out: &mut Vec<Action>) {
        self.hub.counters.lock().soft_errors += 1;
        self.hub.send(id, frames::error(text), now_ms, out);
    }

    fn unreadable(&mut self, id: ConnectionId, text: &str, now_ms: i64, out: &mut Vec<Action>) {
        let text = format!("Error parsing JSON into valid websocket request: {text}");
        self.error(id, &text, now_ms, out);
    }

    fn subscription(
        &mut self,
        id: ConnectionId,
        method: &str,
        request: &Value,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let object = request.get("subscription").ok_or(Refusal::Unreadable)?;
        let unsubscribe = method == "unsubscribe";
        self.record(id, unsubscribe, object, now_ms);
        let subscription =
            Subscription::parse(object, |coin| self.hub.coin(coin).is_some(), |dex| self.hub.knows_dex(dex))?;
        let (name, normalised) = (subscription.name(), subscription.normalised());
        let has = self.hub.has(id, &name);
        if has != unsubscribe {
            let already = if unsubscribe { "Already unsubscribed" } else { "Already subscribed" };
            self.error(id, &format!("{already}: {normalised}"), now_ms, out);
            return Ok(());
        }
        if unsubscribe {
            self.hub.subscribers.remove(&name, id);
        } else {
            if let Some(text) = self.limit_reached(&subscription).filter(|_| self.enforce_limits) {
                self.error(id, &text, now_ms, out);
                return Ok(());
            }
            self.hub.subscribe(id, subscription.clone());
            if let Source::Model { publisher, .. } = &mut self.source {
                publisher.expect(id, subscription, &self.hub);
            }
        }
        self.hub.counters.lock().subscriptions = self.hub.subscribers.live();
        if self.hub.disturbances.loses_ack() {
            return Ok(());
        }
        let data = format!(r#"{{"method":"{method}","subscription":{normalised}}}"#);
        self.hub.send(id, frames::frame("subscriptionResponse", &data), now_ms, out);
        Ok(())
    }

    /// What the venue says if one more subscription is one too many.
    fn limit_reached(&self, subscription: &Subscription) -> Option<String> {
        let mut counters = self.hub.counters.lock();
        let subscriptions = self.hub.subscribers.live() as u64 + 1;
        if counters.use_limit(
            "hyperliquid subscriptions",
            subscriptions,
            HYPERLIQUID_SUBSCRIPTIONS_MAX as u64,
        ) {
            return Some(format!("Cannot subscribe to more than {HYPERLIQUID_SUBSCRIPTIONS_MAX} channels."));
        }
        let mut users = self.hub.users();
        users.insert(subscription.user()?);
        let allowed = HYPERLIQUID_USERS_MAX as u64;
        let over = counters.use_limit("hyperliquid users", users.len() as u64, allowed);
        over.then(|| format!("Cannot track more than {HYPERLIQUID_USERS_MAX} total users."))
    }

    fn record(&self, id: ConnectionId, unsubscribe: bool, object: &Value, now_ms: i64) {
        let mut counters = self.hub.counters.lock();
        if counters.subscribe_log.len() < SUBSCRIBE_LOG_MAX {
            counters.subscribe_log.push(SubscribeRecord {
                time_ms: now_ms,
                connection: id,
                route: Route::Ws,
                unsubscribe,
                streams: vec![object.to_string()],
            });
        }
    }

    /// An `info` request over the WebSocket.
    fn post(
        &mut self,
        id: ConnectionId,
        request: &Value,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let post_id = request.get("id").and_then(Value::as_u64).ok_or(Refusal::Unreadable)?;
        let inner = request.get("request").ok_or(Refusal::Unreadable)?;
        let payload = inner.get("payload").ok_or(Refusal::Unreadable)?;
        let kind = payload.get("type").and_then(Value::as_str).unwrap_or_default();
        let response = match inner.get("type").and_then(Value::as_str) {
            Some("info") => self.info(payload, now_ms),
            _ => return Err(Refusal::Unreadable),
        };
        let Some(response) = response else { return Ok(()) };
        let body = String::from_utf8_lossy(&response.body);
        let response = if response.status == 200 {
            format!(r#"{{"type":"info","payload":{{"type":"{kind}","data":{body}}}}}"#)
        } else {
            format!(r#"{{"type":"error","payload":{}}}"#, Value::from(body.into_owned()))
        };
        let data = format!(r#"{{"id":{post_id},"response":{response}}}"#);
        self.hub.send(id, frames::frame("post", &data), now_ms, out);
        Ok(())
    }

    /// Answers an `info` request within the limits; `None` if a fault keeps the answer.
    fn info(&mut self, request: &Value, now_ms: i64) -> Option<Response> {
        let kind = request.get("type").and_then(Value::as_str).unwrap_or("unreadable");
        let weight = info::weight(kind);
        let used = self.weight.add(now_ms, weight);
        {
            let mut counters = self.hub.counters.lock();
            counters.count_rest(kind, weight, used);
            let over = counters.use_limit("hyperliquid REST weight", used, HYPERLIQUID_WEIGHT_PER_MINUTE_MAX);
            if over && self.enforce_limits {
                counters.rest_429 += 1;
                return Some(Response::json(429, "null"));
            }
        }
        if kind == "candleSnapshot" {
            match self.hub.disturbances.candle_rest(now_ms) {
                CandleRest::Up => {}
                CandleRest::Error => return Some(Response::json(500, "null")),
                CandleRest::Silent => return None,
            }
        }
        let (response, rows_weight) = match &self.source {
            Source::Model { market, .. } => {
                let disturbances = &mut self.hub.disturbances;
                let (answer, weight) =
                    info::answer(request, &market.lock(), disturbances, self.key_order, now_ms);
                let is_stamped = matches!(kind, "l2Book" | "recentTrades" | "exchangeStatus");
                if is_stamped && self.hub.clock.has_stepped() {
                    let body = self.hub.clock.stamped(&String::from_utf8_lossy(&answer.body), &hub::STAMPS);
                    (Response { body: body.into_bytes(), ..answer }, weight)
                } else {
                    (answer, weight)
                }
            }
            Source::Playback(playback) => playback.answer(request, now_ms),
        };
        if rows_weight > 0 {
            let used = self.weight.add(now_ms, rows_weight);
            let mut counters = self.hub.counters.lock();
            counters.count_weight(kind, rows_weight);
            counters.rest_weight_per_minute_max = counters.rest_weight_per_minute_max.max(used);
        }
        Some(response)
    }
}

impl Protocol for Hyperliquid {
    fn open(
        &mut self,
        id: ConnectionId,
        target: &Target,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), Response> {
        if target.path != "/ws" {
            return Err(Response::text(404, "no such route"));
        }
        let mut counters = self.hub.counters.lock();
        let new = self.new_connections.add(now_ms);
        let allowed = HYPERLIQUID_NEW_CONNECTIONS_PER_MINUTE_MAX;
        let too_often = counters.use_limit("hyperliquid new connections per minute", new, allowed);
        let open = self.hub.connections.len() as u64 + 1;
        let too_many =
            counters.use_limit("hyperliquid connections", open, HYPERLIQUID_CONNECTIONS_MAX as u64);
        if (too_often || too_many) && self.enforce_limits {
            counters.connections_refused += 1;
            return Err(Response::text(429, ""));
        }
        self.hub.connections.insert(id, Connection { last_sent_ms: now_ms, dies_at_ms: None });
        counters.connections_opened += 1;
        counters.connections_open = self.hub.connections.len();
        if self.hub.disturbances.greets() {
            out.push(Action::Text(id, "Websocket connection established.".into()));
        }
        Ok(())
    }

    fn text(&mut self, id: ConnectionId, text: &str, now_ms: i64, out: &mut Vec<Action>) {
        if self.hub.connections.get(&id).is_none_or(|connection| connection.dies_at_ms.is_some()) {
            return;
        }
        let in_minute = self.messages.add(now_ms);
        {
            let mut counters = self.hub.counters.lock();
            counters.messages_received += 1;
            counters.messages_per_minute_max = counters.messages_per_minute_max.max(in_minute);
            let allowed = HYPERLIQUID_MESSAGES_PER_MINUTE_MAX;
            counters.use_limit("hyperliquid messages per minute", in_minute, allowed);
        }
        if in_minute > HYPERLIQUID_MESSAGES_PER_MINUTE_MAX && self.enforce_limits {
            let text =
                format!("Cannot send more than {HYPERLIQUID_MESSAGES_PER_MINUTE_MAX} messages per minute.");
            return self.error(id, &text, now_ms, out);
        }
        let request: Value = serde_json::from_str(text).unwrap_or(Value::Null);
        let result = match request.get("method").and_then(Value::as_str) {
            Some("ping") => {
                self.hub.send(id, r#"{"channel":"pong"}"#, now_ms, out);
                Ok(())
            }
            Some(method @ ("subscribe" | "unsubscribe")) => {
                self.subscription(id, method, &request, now_ms, out)
            }
            Some("post") => self.post(id, &request, now_ms, out),
            _ => Err(Refusal::Unreadable),
        };
        match result {
            Ok(()) => {}
            Err(Refusal::Unreadable) => self.unreadable(id, text, now_ms, out),
            Err(Refusal::Fatal) => {
                let (shortest, longest) = self.fatal_delay_ms;
                let spread = u64::try_from(longest - shortest).unwrap_or(0);
                let delay_ms = shortest + self.random.below(spread + 1) as i64;
                self.hub.counters.lock().fatal_requests += 1;
                if let Some(connection) = self.hub.connections.get_mut(&id) {
                    connection.dies_at_ms = Some(now_ms + delay_ms);
                }
            }
        }
    }

    fn control(&mut self, _id: ConnectionId, _frame: ControlFrame, _now_ms: i64, _out: &mut Vec<Action>) {
        self.hub.counters.lock().messages_received += 1;
    }

    fn closed(&mut self, id: ConnectionId, _now_ms: i64) {
        self.hub.remove(id);
        let mut counters = self.hub.counters.lock();
        counters.connections_open = self.hub.connections.len();
        counters.subscriptions = self.hub.subscribers.live();
    }

    fn request(&mut self, id: RequestId, request: &Request, now_ms: i64, out: &mut Vec<Action>) {
        let is_json =
            request.header("content-type").is_some_and(|value| value.starts_with("application/json"));
        let mut late_ms = None;
        let response = if request.target.path != "/info" {
            Response::text(404, "")
        } else if request.method != "POST" {
            Response::text(405, "")
        } else if !is_json {
            Response::text(415, "Expected request with `Content-Type: application/json`")
        } else {
            match serde_json::from_slice::<Value>(&request.body) {
                Ok(body) => {
                    late_ms = self.snapshot_delay_ms(&body);
                    match self.info(&body, now_ms) {
                        Some(response) => self.rest_faults.spoil(response),
                        None => return,
                    }
                }
                Err(_) => Response::text(400, "Failed to parse the request body as JSON"),
            }
        };
        let (response, late_ms) = match self.storm(now_ms) {
            Some(refusal) => (refusal, None),
            None => (response, late_ms),
        };
        out.push(match late_ms {
            Some(late_ms) => Action::RespondAt(id, response, now_ms + late_ms),
            None => Action::Respond(id, response),
        });
    }

    fn tick(&mut self, now_ms: i64, backlog: &dyn Backlog, out: &mut Vec<Action>) -> i64 {
        let pause_ms = match &mut self.source {
            Source::Model { market, publisher } => {
                publisher.tick(&mut market.lock(), &mut self.hub, now_ms, out);
                self.tick_ms
            }
            Source::Playback(playback) => playback.tick(&mut self.hub, backlog, now_ms, out),
        };
        self.hub.release(now_ms, out);
        for (id, connection) in &self.hub.connections {
            let dies = connection.dies_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
            let idle = now_ms - connection.last_sent_ms >= self.idle_close_ms;
            if dies || idle {
                out.push(Action::Drop(*id));
            }
        }
        pause_ms
    }

    fn fault(&mut self, fault: &Fault, now_ms: i64, out: &mut Vec<Action>) -> Result<(), SimError> {
        self.begin_fault(fault, now_ms, out)
    }
}
