//! Binance's connections and subscriptions: who hears what, in which form.

use super::streams::{self, AllSymbols, Kind};
use crate::cadence::Cadences;
use crate::clock::Clock;
use crate::counters::{SharedCounters, SlidingCount};
use crate::disturbances::Disturbances;
use crate::market::{Contract, Instrument};
use crate::protocol::{Action, ConnectionId, Route};
use crate::subscribers::{StreamId, Subscribers};
use crate::wire::{Leaves, Wire};
use std::collections::{BTreeMap, HashMap};

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
    /// Those of frames.
    pub wire: Wire,
    /// Those of stamps.
    pub clock: Clock,
    /// Those of how often streams are told.
    pub cadences: Cadences,
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
    pub fn new(instruments: &[Instrument], counters: SharedCounters, seed: u64) -> Self {
        let mut hub = Self {
            connections: BTreeMap::new(),
            subscribers: Subscribers::default(),
            disturbances: Disturbances::default(),
            wire: Wire::new(seed),
            clock: Clock::default(),
            cadences: Cadences::default(),
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
        self.wire.unmute(id, name);
        if self.disturbances.silences_subscription() {
            self.wire.mute(id, name);
        }
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
        self.wire.forget(id);
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
        if self.cadences.admits(stream_name, symbol_name, data, now_ms) {
            self.tell(symbol_name, stream, data, now_ms, out);
        }
    }

    /// Sends an event as the faults of frames have it.
    fn tell(&mut self, symbol_name: &str, stream: StreamId, data: &str, now_ms: i64, out: &mut Vec<Action>) {
        let stream_name = self.subscribers.name(stream);
        let stamped = self.clock.has_stepped().then(|| self.clock.stamped(data, &STAMPS));
        let data = stamped.as_deref().unwrap_or(data);
        let leaving = self.wire.leave(symbol_name, stream_name, now_ms);
        let (mut raw, mut combined) = (None, None);
        let mut sent = 0;
        for id in self.subscribers.of(stream) {
            let Some(connection) = self.connections.get(id).filter(|connection| !connection.closing) else {
                continue;
            };
            if self.wire.is_muted(*id, stream_name) {
                continue;
            }
            let form = if connection.combined { &mut combined } else { &mut raw };
            let leaves: &Leaves = form.get_or_insert_with(|| {
                if connection.combined {
                    Wire::compose(&leaving, format!(r#"{{"stream":"{stream_name}","data":{data}}}"#))
                } else {
                    Wire::compose(&leaving, data.to_owned())
                }
            });
            sent += self.wire.send(&leaving, *id, stream_name, leaves, out);
        }
        self.counters.lock().count_frames(stream_name, sent);
    }

    /// Tells what was held back to be told more rarely.
    pub fn release(&mut self, now_ms: i64, out: &mut Vec<Action>) {
        for (stream, symbol, data) in self.cadences.due(now_ms) {
            if let Some(stream) = self.subscribers.find(&stream) {
                self.tell(&symbol, stream, &data, now_ms, out);
            }
        }
    }

    /// Sends an event of a stream nobody asked for to every connection of a door, or of all.
    pub fn send_to_all(&self, route: Option<Route>, stream: &str, data: &str, out: &mut Vec<Action>) {
        for (id, connection) in &self.connections {
            if connection.closing || route.is_some_and(|route| route != connection.route) {
                continue;
            }
            let text = if connection.combined {
                format!(r#"{{"stream":"{stream}","data":{data}}}"#)
            } else {
                data.to_owned()
            };
            out.push(Action::Text(*id, text.into()));
        }
    }
}

/// The members of events and answers that are stamps.
pub const STAMPS: [&str; 4] = ["E", "T", "time", "serverTime"];
