//! Who listens to which stream.
//!
//! A stream gets a small number at its first subscription and keeps it, so that publishing needs no text look-up.

use crate::protocol::ConnectionId;
use std::collections::HashMap;

/// A stream's number.
pub type StreamId = usize;

struct Stream {
    name: String,
    connections: Vec<ConnectionId>,
}

/// The subscriptions of a venue that really deliver.
#[derive(Default)]
pub struct Subscribers {
    index: HashMap<String, StreamId>,
    streams: Vec<Stream>,
    live: usize,
}

impl Subscribers {
    /// Subscribes a connection; returns the stream's number. Subscribing twice changes nothing.
    pub fn add(&mut self, name: &str, connection: ConnectionId) -> StreamId {
        let id = match self.index.get(name) {
            Some(id) => *id,
            None => {
                let id = self.streams.len();
                self.streams.push(Stream { name: name.to_owned(), connections: Vec::new() });
                self.index.insert(name.to_owned(), id);
                id
            }
        };
        let connections = &mut self.streams[id].connections;
        if !connections.contains(&connection) {
            connections.push(connection);
            self.live += 1;
        }
        id
    }

    /// Ends one subscription; false if there was none.
    pub fn remove(&mut self, name: &str, connection: ConnectionId) -> bool {
        let Some(id) = self.index.get(name) else { return false };
        let connections = &mut self.streams[*id].connections;
        let before = connections.len();
        connections.retain(|other| *other != connection);
        self.live -= before - connections.len();
        connections.len() != before
    }

    /// Ends all subscriptions of a connection.
    pub fn remove_connection(&mut self, connection: ConnectionId) {
        for stream in &mut self.streams {
            let before = stream.connections.len();
            stream.connections.retain(|other| *other != connection);
            self.live -= before - stream.connections.len();
        }
    }

    /// The connections that listen to a stream.
    pub fn of(&self, id: StreamId) -> &[ConnectionId] {
        &self.streams[id].connections
    }

    /// A stream's name.
    pub fn name(&self, id: StreamId) -> &str {
        &self.streams[id].name
    }

    /// A stream's number, if anybody ever subscribed to it.
    pub fn find(&self, name: &str) -> Option<StreamId> {
        self.index.get(name).copied()
    }

    /// Whether anybody listens to a stream now.
    pub fn is_live(&self, name: &str) -> bool {
        self.find(name).is_some_and(|id| !self.of(id).is_empty())
    }

    /// How many subscriptions there are.
    pub fn live(&self) -> usize {
        self.live
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_what_is_live() {
        let mut subscribers = Subscribers::default();
        let id = subscribers.add("x", 1);
        subscribers.add("x", 1);
        subscribers.add("x", 2);
        subscribers.add("y", 1);
        assert_eq!((subscribers.live(), subscribers.of(id)), (3, &[1, 2][..]));
        assert!(subscribers.remove("x", 2) && !subscribers.remove("x", 2));
        subscribers.remove_connection(1);
        assert_eq!(subscribers.live(), 0);
        assert!(!subscribers.is_live("x") && !subscribers.is_live("z"));
    }
}
