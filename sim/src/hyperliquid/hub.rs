//! Hyperliquid's connections and subscriptions.

use super::subscription::Subscription;
use crate::cadence::Cadences;
use crate::clock::Clock;
use crate::counters::SharedCounters;
use crate::disturbances::Disturbances;
use crate::market::Instrument;
use crate::protocol::{Action, ConnectionId};
use crate::subscribers::{StreamId, Subscribers};
use crate::wire::Wire;
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
    /// Those of frames.
    pub wire: Wire,
    /// Those of stamps.
    pub clock: Clock,
    /// Those of how often streams are told.
    pub cadences: Cadences,
    /// What tests read.
    pub counters: SharedCounters,
    coins: HashMap<String, usize>,
    dexes: BTreeSet<String>,
}

impl Hub {
    /// A hub for these coins.
    pub fn new(instruments: &[Instrument], counters: SharedCounters, seed: u64) -> Self {
        let mut hub = Self {
            connections: BTreeMap::new(),
            subscribers: Subscribers::default(),
            streams: Vec::new(),
            disturbances: Disturbances::default(),
            wire: Wire::new(seed),
            clock: Clock::default(),
            cadences: Cadences::default(),
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
        let name = subscription.name();
        self.wire.unmute(id, &name);
        if self.disturbances.silences_subscription() {
            self.wire.mute(id, &name);
        }
        let stream = self.subscribers.add(&name, id);
        if self.streams.len() <= stream {
            self.streams.push(Stream { id: stream, subscription });
        }
    }

    /// Forgets a connection.
    pub fn remove(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
        self.subscribers.remove_connection(id);
        self.wire.forget(id);
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
        let sent = self.send_frame(&name, subscription.coin(), &[id], text, now_ms, out);
        self.counters.lock().count_frames(&name, sent);
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
        if self.disturbances.is_silent(name, coin, now_ms) || !self.cadences.admits(name, coin, &text, now_ms)
        {
            return;
        }
        self.tell(stream, coin, text, now_ms, out);
    }

    fn tell(&mut self, stream: StreamId, coin: &str, text: String, now_ms: i64, out: &mut Vec<Action>) {
        let (name, to) = (self.subscribers.name(stream).to_owned(), self.subscribers.of(stream).to_vec());
        let sent = self.send_frame(&name, coin, &to, text, now_ms, out);
        self.counters.lock().count_frames(&name, sent);
    }

    /// Sends a frame of a stream as the faults have it; returns how often.
    fn send_frame(
        &mut self,
        name: &str,
        coin: &str,
        to: &[ConnectionId],
        text: String,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> u64 {
        let text = if self.clock.has_stepped() { self.clock.stamped(&text, &STAMPS) } else { text };
        let leaving = self.wire.leave(coin, name, now_ms);
        let leaves = Wire::compose(&leaving, text);
        let mut sent = 0;
        for id in to {
            let Some(connection) = self.connections.get_mut(id) else { continue };
            if self.wire.is_muted(*id, name) {
                continue;
            }
            connection.last_sent_ms = now_ms;
            sent += self.wire.send(&leaving, *id, name, &leaves, out);
        }
        sent
    }

    /// Tells what was held back to be told more rarely.
    pub fn release(&mut self, now_ms: i64, out: &mut Vec<Action>) {
        for (stream, coin, text) in self.cadences.due(now_ms) {
            if let Some(stream) = self.subscribers.find(&stream) {
                self.tell(stream, &coin, text, now_ms, out);
            }
        }
    }

    /// Sends a frame nobody asked for to every connection.
    pub fn send_to_all(&mut self, text: &str, now_ms: i64, out: &mut Vec<Action>) {
        for (id, connection) in &mut self.connections {
            connection.last_sent_ms = now_ms;
            out.push(Action::Text(*id, text.into()));
        }
    }
}

/// The members of frames and answers that are stamps.
pub const STAMPS: [&str; 1] = ["time"];
