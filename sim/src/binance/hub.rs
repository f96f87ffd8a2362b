//! Binance's connections and subscriptions: who hears what, in which form.

use super::streams::{self, Kind};
use crate::counters::{SharedCounters, SlidingCount};
use crate::faults::Disturbances;
use crate::market::Instrument;
use crate::protocol::{Action, ConnectionId, Route};
use crate::subscribers::{StreamId, Subscribers};
use std::collections::{BTreeMap, HashMap};
use tungstenite::Utf8Bytes;

/// One WebSocket connection.
pub struct Connection {
    /// Its door.
    pub route: Route,
    /// Whether events come wrapped with their stream's name.
    pub combined: bool,
    /// The streams asked for, in order, silent ones included.
    pub streams: Vec<String>,
    /// The client's messages of the last second.
    pub messages: SlidingCount,
    /// When the next ping is due.
    pub next_ping_ms: i64,
    /// When the oldest unanswered ping was sent.
    pub unanswered_ping_ms: Option<i64>,
    /// Being closed for a violation: nothing is heard or sent any more.
    pub closing: bool,
}

/// Connections, subscriptions and what disturbs them.
pub struct Hub {
    /// By id.
    pub connections: BTreeMap<ConnectionId, Connection>,
    /// What really delivers.
    pub subscribers: Subscribers,
    /// The faults at work.
    pub disturbances: Disturbances,
    /// What tests read.
    pub counters: SharedCounters,
    symbols: HashMap<String, usize>,
    names: Vec<String>,
    by_kind: Vec<[Option<StreamId>; Kind::COUNT]>,
}

impl Hub {
    /// A hub for these symbols.
    pub fn new(instruments: &[Instrument], counters: SharedCounters) -> Self {
        let symbols =
            instruments.iter().enumerate().map(|(at, instrument)| (instrument.stream_symbol(), at)).collect();
        Self {
            connections: BTreeMap::new(),
            subscribers: Subscribers::default(),
            disturbances: Disturbances::default(),
            counters,
            symbols,
            names: instruments.iter().map(|instrument| instrument.symbol.clone()).collect(),
            by_kind: vec![[None; Kind::COUNT]; instruments.len()],
        }
    }

    /// The index of a symbol, by its lower-case name.
    pub fn symbol(&self, stream_symbol: &str) -> Option<usize> {
        self.symbols.get(stream_symbol).copied()
    }

    /// Subscribes; whatever the name, the client is told that it worked.
    pub fn subscribe(&mut self, id: ConnectionId, name: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if connection.streams.iter().any(|other| other == name) {
            return;
        }
        connection.streams.push(name.to_owned());
        let route = connection.route;
        let meant = streams::parse(name).filter(|(_, kind)| kind.route() == route);
        let known = meant.and_then(|(symbol, kind)| Some((self.symbol(symbol)?, kind.index()?)));
        match known {
            Some((symbol, kind)) => {
                let stream = self.subscribers.add(name, id);
                self.by_kind[symbol][kind] = Some(stream);
            }
            None => self.counters.lock().silent_subscriptions += 1,
        }
    }

    /// Unsubscribes; an unknown name is no error.
    pub fn unsubscribe(&mut self, id: ConnectionId, name: &str) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.streams.retain(|other| other != name);
        }
        self.subscribers.remove(name, id);
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.subscribers.remove_connection(id);
    }

    /// The stream of a kind that somebody listens to now.
    pub fn live(&self, symbol: usize, kind: Kind) -> Option<StreamId> {
        let stream = self.by_kind.get(symbol)?[kind.index()?]?;
        (!self.subscribers.of(stream).is_empty()).then_some(stream)
    }

    /// A symbol's name.
    pub fn name(&self, symbol: usize) -> &str {
        &self.names[symbol]
    }

    /// Sends an event to all who listen, in each one's form.
    pub fn deliver(
        &mut self,
        symbol: usize,
        stream: StreamId,
        data: &str,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        let stream_name = self.subscribers.name(stream);
        let symbol_name = &self.names[symbol];
        if self.disturbances.is_silent(stream_name, symbol_name, now_ms) {
            return;
        }
        let times = if self.disturbances.doubles(symbol_name) { 2 } else { 1 };
        let (mut raw, mut combined) = (None, None);
        let mut sent = 0;
        for id in self.subscribers.of(stream) {
            let Some(connection) = self.connections.get(id).filter(|connection| !connection.closing) else {
                continue;
            };
            let text = if connection.combined {
                combined.get_or_insert_with(|| {
                    Utf8Bytes::from(format!(r#"{{"stream":"{stream_name}","data":{data}}}"#))
                })
            } else {
                raw.get_or_insert_with(|| Utf8Bytes::from(data))
            };
            for _ in 0..times {
                out.push(Action::Text(*id, text.clone()));
                sent += 1;
            }
        }
        self.counters.lock().count_frames(stream_name, sent);
    }
}
