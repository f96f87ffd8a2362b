//! Binance's connections and subscriptions: who hears what, in which form.

use super::streams::{self, AllSymbols, Kind};
use crate::counters::{SharedCounters, SlidingCount};
use crate::disturbances::Disturbances;
use crate::market::{Contract, Instrument};
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
    /// When it was opened.
    pub opened_ms: i64,
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
    /// Streams that began to be listened to, for the publisher to see.
    pub begun: Vec<(usize, Kind)>,
}

impl Hub {
    /// A hub for these symbols.
    pub fn new(instruments: &[Instrument], counters: SharedCounters) -> Self {
        let mut hub = Self {
            connections: BTreeMap::new(),
            subscribers: Subscribers::default(),
            disturbances: Disturbances::default(),
            counters,
            symbols: HashMap::new(),
            names: Vec::new(),
            by_kind: Vec::new(),
            begun: Vec::new(),
        };
        instruments.iter().for_each(|instrument| hub.add_symbol(instrument));
        hub
    }

    /// One more symbol; a COIN-M contract has no streams of its own here.
    pub fn add_symbol(&mut self, instrument: &Instrument) {
        if instrument.contract != Contract::CoinPerpetual {
            self.symbols.insert(instrument.stream_symbol(), self.names.len());
        }
        self.names.push(instrument.symbol.clone());
        self.by_kind.push([None; Kind::COUNT]);
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
        if AllSymbols::parse(name).is_some_and(|stream| stream.route() == route) {
            self.subscribers.add(name, id);
            return;
        }
        let meant = streams::parse(name).filter(|(_, kind)| kind.route() == route);
        let known = meant.and_then(|(symbol, kind)| Some((self.symbol(symbol)?, kind, kind.index()?)));
        match known {
            Some((symbol, kind, index)) => {
                let stream = self.subscribers.add(name, id);
                self.by_kind[symbol][index] = Some(stream);
                self.begun.push((symbol, kind));
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
        let symbol_name = std::mem::take(&mut self.names[symbol]);
        self.deliver_named(&symbol_name, stream, data, now_ms, out);
        self.names[symbol] = symbol_name;
    }

    /// The stream of all symbols together, if somebody listens to it now.
    pub fn live_of_all(&self, stream: AllSymbols) -> Option<StreamId> {
        let stream = self.subscribers.find(stream.name())?;
        (!self.subscribers.of(stream).is_empty()).then_some(stream)
    }

    /// The same for a stream that is not of one symbol alone; the name says which symbol an event is about, if any.
    pub fn deliver_named(
        &mut self,
        symbol_name: &str,
        stream: StreamId,
        data: &str,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        let stream_name = self.subscribers.name(stream);
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
