//! Hyperliquid's connections and subscriptions.

use super::subscription::Subscription;
use crate::counters::SharedCounters;
use crate::disturbances::Disturbances;
use crate::market::Instrument;
use crate::protocol::{Action, ConnectionId};
use crate::subscribers::{StreamId, Subscribers};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tungstenite::Utf8Bytes;

/// One WebSocket connection.
pub struct Connection {
    /// When the server last sent anything; what the client sends does not count.
    pub last_sent_ms: i64,
    /// When the connection dies of a fatal request.
    pub dies_at_ms: Option<i64>,
}

/// A stream somebody once subscribed to.
pub struct Stream {
    /// Its number.
    pub id: StreamId,
    /// What it carries.
    pub subscription: Subscription,
}

/// Connections, subscriptions and what disturbs them.
pub struct Hub {
    /// By id.
    pub connections: BTreeMap<ConnectionId, Connection>,
    /// Who listens.
    pub subscribers: Subscribers,
    /// Every stream ever subscribed to.
    pub streams: Vec<Stream>,
    /// The faults at work.
    pub disturbances: Disturbances,
    /// What tests read.
    pub counters: SharedCounters,
    coins: HashMap<String, usize>,
    dexes: BTreeSet<String>,
}

impl Hub {
    /// A hub for these coins.
    pub fn new(instruments: &[Instrument], counters: SharedCounters) -> Self {
        let mut hub = Self {
            connections: BTreeMap::new(),
            subscribers: Subscribers::default(),
            streams: Vec::new(),
            disturbances: Disturbances::default(),
            counters,
            coins: HashMap::new(),
            dexes: BTreeSet::new(),
        };
        instruments.iter().for_each(|instrument| hub.add_coin(instrument));
        hub
    }

    /// One more coin.
    pub fn add_coin(&mut self, instrument: &Instrument) {
        self.dexes.insert(instrument.dex.clone());
        self.coins.insert(instrument.symbol.clone(), self.coins.len());
    }

    /// Whether there is a dex; the venue's own has no name.
    pub fn knows_dex(&self, dex: &str) -> bool {
        dex.is_empty() || self.dexes.contains(dex)
    }

    /// The index of a coin.
    pub fn coin(&self, coin: &str) -> Option<usize> {
        self.coins.get(coin).copied()
    }

    /// Whether a connection has a subscription.
    pub fn has(&self, id: ConnectionId, name: &str) -> bool {
        self.subscribers.find(name).is_some_and(|stream| self.subscribers.of(stream).contains(&id))
    }

    /// The distinct accounts somebody listens to now.
    pub fn users(&self) -> BTreeSet<&str> {
        let live = self.streams.iter().filter(|stream| !self.subscribers.of(stream.id).is_empty());
        live.filter_map(|stream| stream.subscription.user()).collect()
    }

    /// Subscribes.
    pub fn subscribe(&mut self, id: ConnectionId, subscription: Subscription) {
        let stream = self.subscribers.add(&subscription.name(), id);
        if self.streams.len() <= stream {
            self.streams.push(Stream { id: stream, subscription });
        }
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.subscribers.remove_connection(id);
    }

    /// Sends a text to one connection.
    pub fn send(&mut self, id: ConnectionId, text: impl Into<Utf8Bytes>, now_ms: i64, out: &mut Vec<Action>) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.last_sent_ms = now_ms;
        out.push(Action::Text(id, text.into()));
    }

    /// Sends a frame of a stream to one subscriber.
    pub fn deliver_to(
        &mut self,
        id: ConnectionId,
        subscription: &Subscription,
        text: String,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        let name = subscription.name();
        if self.disturbances.is_silent(&name, subscription.coin(), now_ms) {
            return;
        }
        self.counters.lock().count_frames(&name, 1);
        self.send(id, text, now_ms, out);
    }

    /// Sends a frame to all who listen to a stream.
    pub fn deliver(
        &mut self,
        stream: StreamId,
        coin: &str,
        text: String,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        let name = self.subscribers.name(stream);
        if self.disturbances.is_silent(name, coin, now_ms) {
            return;
        }
        let times = if self.disturbances.doubles(coin) { 2 } else { 1 };
        let text = Utf8Bytes::from(text);
        let mut sent = 0;
        for id in self.subscribers.of(stream) {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            connection.last_sent_ms = now_ms;
            for _ in 0..times {
                out.push(Action::Text(*id, text.clone()));
                sent += 1;
            }
        }
        self.counters.lock().count_frames(name, sent);
    }
}
