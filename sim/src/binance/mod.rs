//! Binance USDⓈ-M futures as a program meets it in late 2026: two doors, stream names, control messages, REST.
//!
//! The data come from the model or from a capture; everything else is the same.

mod all_symbols;
pub(crate) mod budget;
mod control;
mod depth;
mod fault;
pub(crate) mod frames;
pub(crate) mod funding;
pub(crate) mod hub;
pub(crate) mod klines;
pub(crate) mod listing;
mod publish;
pub(crate) mod question;
pub(crate) mod rest;
pub(crate) mod streams;

use crate::config::BinanceConfig;
use crate::counters::{SharedCounters, SlidingCount};
use crate::error::SimError;
use crate::faults::Fault;
use crate::limits::{
    BINANCE_MESSAGES_PER_SECOND_CLOSE, BINANCE_MESSAGES_PER_SECOND_MAX, BINANCE_STREAMS_MAX,
};
use crate::market::MarketHandle;
use crate::playback::binance::BinancePlayback;
use crate::protocol::{
    Action, Backlog, ConnectionId, ControlFrame, Protocol, Request, RequestId, Response, Route, Target,
    percent_decode,
};
use crate::rest_faults::RestFaults;
use budget::Budget;
use hub::{Connection, Hub};
use publish::Publisher;
use question::Question;

enum Source {
    Model { market: MarketHandle, publisher: Box<Publisher> },
    Playback(Box<BinancePlayback>),
}

/// The venue.
pub struct Binance {
    hub: Hub,
    source: Source,
    rest_faults: RestFaults,
    budget: Budget,
    messages_per_minute: SlidingCount,
    ping_interval_ms: i64,
    pong_timeout_ms: i64,
    connection_age_ms_max: i64,
    enforce_limits: bool,
    tick_ms: i64,
}

impl Binance {
    /// The venue on a market's model.
    pub fn on_model(
        config: &BinanceConfig,
        market: MarketHandle,
        counters: SharedCounters,
        seed: u64,
        tick_ms: i64,
    ) -> Self {
        let publisher = Box::new(Publisher::new(&market.lock(), config));
        let instruments = market.instruments();
        let hub = Hub::new(&instruments, counters, seed);
        Self::new(config, Source::Model { market, publisher }, hub, tick_ms)
    }

    /// The venue on a capture.
    pub fn on_playback(
        config: &BinanceConfig,
        playback: BinancePlayback,
        counters: SharedCounters,
        seed: u64,
        tick_ms: i64,
    ) -> Self {
        let hub = Hub::new(playback.instruments(), counters, seed);
        Self::new(config, Source::Playback(Box::new(playback)), hub, tick_ms)
    }

    fn new(config: &BinanceConfig, source: Source, hub: Hub, tick_ms: i64) -> Self {
        Self {
            hub,
            source,
            rest_faults: RestFaults::default(),
            budget: Budget::new(config.enforce_limits),
            messages_per_minute: SlidingCount::new(60_000),
            ping_interval_ms: config.ping_interval_ms,
            pong_timeout_ms: config.pong_timeout_ms,
            connection_age_ms_max: config.connection_age_ms_max,
            enforce_limits: config.enforce_limits,
            tick_ms,
        }
    }

    /// Counts a message from a client; true if the connection survives it.
    fn count_message(&mut self, id: ConnectionId, now_ms: i64, out: &mut Vec<Action>) -> bool {
        let Some(connection) = self.hub.connections.get_mut(&id) else { return false };
        if connection.closing {
            return false;
        }
        let in_second = connection.messages.add(now_ms);
        let in_minute = self.messages_per_minute.add(now_ms);
        let mut counters = self.hub.counters.lock();
        counters.messages_received += 1;
        counters.messages_per_second_max = counters.messages_per_second_max.max(in_second);
        counters.messages_per_minute_max = counters.messages_per_minute_max.max(in_minute);
        counters.use_limit("binance messages per second", in_second, BINANCE_MESSAGES_PER_SECOND_MAX);
        if in_second > BINANCE_MESSAGES_PER_SECOND_CLOSE && self.enforce_limits {
            counters.fatal_requests += 1;
            connection.closing = true;
            out.push(Action::Close(id, 1008, "Too many requests"));
            return false;
        }
        true
    }

    /// Sends the pings that are due, drops those who do not answer, and closes those who are too old.
    fn keep_alive(&mut self, now_ms: i64, out: &mut Vec<Action>) {
        for (id, connection) in &mut self.hub.connections {
            if now_ms - connection.opened_ms >= self.connection_age_ms_max && !connection.closing {
                connection.closing = true;
                out.push(Action::Close(*id, 1000, ""));
                self.hub.counters.lock().connections_aged_out += 1;
            } else if connection
                .unanswered_ping_ms
                .is_some_and(|since| now_ms - since >= self.pong_timeout_ms)
            {
                connection.unanswered_ping_ms = None;
                connection.closing = true;
                out.push(Action::Drop(*id));
            } else if connection.next_ping_ms <= now_ms && !connection.closing {
                connection.next_ping_ms = now_ms + self.ping_interval_ms;
                connection.unanswered_ping_ms.get_or_insert(now_ms);
                out.push(Action::Ping(*id, now_ms.to_string().into_bytes()));
            }
        }
    }
}

/// Route, form and streams a WebSocket address names; `None` if there is no such door.
fn door(target: &Target) -> Option<(Route, bool, Vec<String>)> {
    let path = target.path.trim_matches('/');
    let (route, rest) = path.split_once('/')?;
    let route = match route {
        "public" => Route::Public,
        "market" => Route::Market,
        _ => return None,
    };
    let names = |text: &str| -> Vec<String> {
        text.split('/').filter(|name| !name.is_empty()).map(percent_decode).collect()
    };
    match rest.split_once('/').unwrap_or((rest, "")) {
        ("ws", streams) => Some((route, false, names(streams))),
        ("stream", "") => {
            let asked = target.query.split('&').find_map(|pair| pair.strip_prefix("streams="));
            // A slash may come encoded as well.
            Some((route, true, asked.map(|text| names(&percent_decode(text))).unwrap_or_default()))
        }
        _ => None,
    }
}

impl Protocol for Binance {
    fn open(
        &mut self,
        id: ConnectionId,
        target: &Target,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), Response> {
        let Some((route, combined, names)) = door(target) else {
            return Err(Response::text(404, "no such route"));
        };
        let connection = Connection {
            route,
            combined,
            streams: Vec::new(),
            messages: SlidingCount::new(1000),
            next_ping_ms: now_ms + self.ping_interval_ms,
            unanswered_ping_ms: None,
            opened_ms: now_ms,
            closing: false,
        };
        self.hub.connections.insert(id, connection);
        if !names.is_empty() {
            control::record(&self.hub, id, false, &names, now_ms);
        }
        for name in names {
            let full = |connection: &Connection| control::is_full(&connection.streams, &name);
            if self.hub.connections.get(&id).is_some_and(full) {
                control::count_streams(&self.hub, BINANCE_STREAMS_MAX + 1);
                out.push(Action::Close(id, 1008, "Too many subscriptions"));
                break;
            }
            self.hub.subscribe(id, &name);
        }
        control::count_streams(&self.hub, self.hub.connections.get(&id).map_or(0, |of| of.streams.len()));
        let mut counters = self.hub.counters.lock();
        counters.connections_opened += 1;
        counters.connections_open = self.hub.connections.len();
        counters.subscriptions = self.hub.subscribers.live();
        Ok(())
    }

    fn text(&mut self, id: ConnectionId, text: &str, now_ms: i64, out: &mut Vec<Action>) {
        if self.count_message(id, now_ms, out) {
            control::text(&mut self.hub, id, text, now_ms, out);
        }
    }

    fn control(&mut self, id: ConnectionId, frame: ControlFrame, now_ms: i64, out: &mut Vec<Action>) {
        if !self.count_message(id, now_ms, out) {
            return;
        }
        if let (ControlFrame::Pong(payload), Some(connection)) = (frame, self.hub.connections.get_mut(&id)) {
            // A pong must copy the payload of a ping: ours are times not older than the oldest unanswered one.
            let answered = String::from_utf8(payload).ok().and_then(|text| text.parse::<i64>().ok());
            if connection.unanswered_ping_ms.is_some_and(|since| answered.is_some_and(|sent| sent >= since)) {
                connection.unanswered_ping_ms = None;
            }
        }
    }

    fn closed(&mut self, id: ConnectionId, _now_ms: i64) {
        self.hub.remove(id);
        let mut counters = self.hub.counters.lock();
        counters.connections_open = self.hub.connections.len();
        counters.subscriptions = self.hub.subscribers.live();
    }

    fn request(&mut self, id: RequestId, request: &Request, now_ms: i64, out: &mut Vec<Action>) {
        let (weight, question) = question::question(request);
        let used = match self.budget.admit(&request.target.path, weight, now_ms, &self.hub.counters) {
            Ok(used) => used,
            Err(refusal) => return out.push(Action::Respond(id, refusal)),
        };
        if let Some(storm) = self.rest_faults.storm(now_ms) {
            let refusal = budget::refusal_of(storm, now_ms, &self.hub.counters);
            return out.push(Action::Respond(id, budget::with_weight(refusal, used)));
        }
        let late_ms = match &question {
            Ok(Question::Depth { symbol, .. }) => self.rest_faults.snapshot_delay_ms(symbol),
            _ => None,
        };
        let response = match question {
            Err(response) => Some(response),
            Ok(question) => match &mut self.source {
                Source::Model { market, .. } => {
                    rest::answer(&question, request, market, &mut self.hub, now_ms)
                }
                Source::Playback(playback) => playback.ask(id, &question, request, used, now_ms),
            },
        };
        if let Some(response) = response {
            let response = budget::with_weight(self.rest_faults.spoil(response), used);
            out.push(match late_ms {
                Some(late_ms) => Action::RespondAt(id, response, now_ms + late_ms),
                None => Action::Respond(id, response),
            });
        }
    }

    fn tick(&mut self, now_ms: i64, backlog: &dyn Backlog, out: &mut Vec<Action>) -> i64 {
        self.keep_alive(now_ms, out);
        let pause_ms = match &mut self.source {
            Source::Model { market, publisher } => {
                publisher.tick(&mut market.lock(), &mut self.hub, now_ms, out);
                self.tick_ms
            }
            Source::Playback(playback) => playback.tick(&mut self.hub, backlog, now_ms, out),
        };
        self.hub.release(now_ms, out);
        pause_ms
    }

    fn fault(&mut self, fault: &Fault, now_ms: i64, out: &mut Vec<Action>) -> Result<(), SimError> {
        self.begin_fault(fault, now_ms, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_take_raw_combined_and_encoded_names() {
        let open = |text| door(&Target::parse(text));
        let names = |list: &[&str]| list.iter().map(|name| name.to_string()).collect::<Vec<_>>();
        assert_eq!(open("/public/ws"), Some((Route::Public, false, vec![])));
        assert_eq!(open("/market/stream"), Some((Route::Market, true, vec![])));
        assert_eq!(
            open("/public/ws/btcusdt@depth/ethusdt@bookTicker"),
            Some((Route::Public, false, names(&["btcusdt@depth", "ethusdt@bookTicker"])))
        );
        assert_eq!(
            open("/market/stream?streams=btcusdt@aggTrade/%E5%B8%81usdt%40aggTrade"),
            Some((Route::Market, true, names(&["btcusdt@aggTrade", "币usdt@aggTrade"])))
        );
        assert_eq!(
            open("/public/stream?streams=a@b%2Fc@d"),
            Some((Route::Public, true, names(&["a@b", "c@d"])))
        );
        for closed in ["/ws", "/stream?streams=x", "/private/ws", "/public", "/public/other"] {
            assert_eq!(open(closed), None, "{closed}");
        }
    }
}
