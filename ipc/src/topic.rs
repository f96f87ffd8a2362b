//! Topics: what can be subscribed to, each encoded once however many clients want it.
//!
//! A topic's messages are numbered from 1. A client remembers the number it has seen, so whatever is
//! skipped or lost is counted by subtraction, and a message from before a subscription is told by its number.

use crate::log::Log;
use crate::window::Window;
use codec::words::{Interval, Stream, Venue};
use std::collections::{HashMap, VecDeque};

/// A topic's place in [`Topics`].
pub type TopicId = u32;

/// An instrument's place in the replica. Not the records' number: a configured symbol has a slot before the
/// venue has told its instruments.
pub type Slot = u32;

/// What a topic is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One instrument.
    Instrument(Slot),
    /// A whole venue.
    Venue(Venue),
    /// The daemon itself.
    Daemon,
}

/// How book messages follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The whole window every time.
    Full,
    /// What changed in the window.
    Delta,
}

impl Mode {
    /// The word clients use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Delta => "delta",
        }
    }
}

/// What stream messages are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// MessagePack.
    Msgpack,
    /// The binary records.
    Record,
}

/// Which messages of a scope and stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// Quotes, trades, funding, fills; books as records.
    Data,
    /// A book's window.
    Book {
        /// Levels a side.
        depth: u32,
        /// How messages follow one another.
        mode: Mode,
    },
    /// Candles of one interval.
    Candles(Interval),
    /// States.
    Status,
    /// Losses.
    Gap,
    /// Particulars of an instrument, as records.
    Instrument,
}

/// A topic's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicKey {
    /// What it is about.
    pub scope: Scope,
    /// The stream.
    pub stream: Stream,
    /// Which of its messages.
    pub what: What,
    /// Written in what.
    pub encoding: Encoding,
}

impl TopicKey {
    /// Whether only the newest message matters to a client that is behind.
    #[must_use]
    pub const fn conflates(&self) -> bool {
        matches!(
            (self.stream, self.what),
            (Stream::Orderbook, What::Data | What::Book { .. }) | (Stream::Quotes, What::Data)
        )
    }

    /// Whether a message means nothing without the one before it.
    #[must_use]
    pub const fn chains(&self) -> bool {
        matches!(
            (self.stream, self.what),
            (Stream::Orderbook, What::Data | What::Book { mode: Mode::Delta, .. })
        )
    }
}

/// One topic.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub key: TopicKey,
    /// Clients subscribed.
    pub subscribers: u32,
    /// Messages so far: the newest one's number.
    pub count: u64,
    /// Number of the newest message that was an `orderbook_snapshot`.
    pub snapshot_number: u64,
    /// The book window last sent, for book topics in MessagePack.
    pub window: Option<Box<Window>>,
    last_offset: u64,
}

const STREAMS: usize = Stream::ALL.len() + 1;
type ByStream = [Vec<TopicId>; STREAMS];

/// Every topic, found by name or by what a record concerns.
#[derive(Debug, Default)]
pub struct Topics {
    slots: Vec<Topic>,
    index: HashMap<TopicKey, TopicId>,
    /// Topics without subscribers, the longest unused first; taken again once the log holds nothing of them.
    free: VecDeque<TopicId>,
    instruments: Vec<ByStream>,
    venues: [ByStream; Venue::ALL.len()],
    daemon: ByStream,
}

impl Topics {
    /// A topic.
    #[must_use]
    #[inline]
    pub fn get(&self, id: TopicId) -> &Topic {
        &self.slots[id as usize]
    }

    /// A topic.
    #[inline]
    pub fn get_mut(&mut self, id: TopicId) -> &mut Topic {
        &mut self.slots[id as usize]
    }

    /// Its place, if anybody has subscribed to it.
    #[must_use]
    pub fn find(&self, key: &TopicKey) -> Option<TopicId> {
        self.index.get(key).copied()
    }

    fn by_stream(&mut self, scope: Scope) -> &mut ByStream {
        match scope {
            Scope::Instrument(slot) => {
                let slot = slot as usize;
                if self.instruments.len() <= slot {
                    self.instruments.resize_with(slot + 1, ByStream::default);
                }
                &mut self.instruments[slot]
            }
            Scope::Venue(venue) => &mut self.venues[venue.number() as usize - 1],
            Scope::Daemon => &mut self.daemon,
        }
    }

    /// Topics of a scope and stream that have subscribers.
    #[must_use]
    #[inline]
    pub fn of(&self, scope: Scope, stream: Stream) -> &[TopicId] {
        let by_stream = match scope {
            Scope::Instrument(slot) => self.instruments.get(slot as usize),
            Scope::Venue(venue) => self.venues.get(venue.number() as usize - 1),
            Scope::Daemon => Some(&self.daemon),
        };
        by_stream.map_or(&[], |by_stream| &by_stream[stream.number() as usize])
    }

    /// Whether one more topic can be made.
    #[must_use]
    pub fn has_room(&self, log: &Log) -> bool {
        self.slots.len() < crate::limits::TOPICS_MAX || self.reusable(log).is_some()
    }

    fn reusable(&self, log: &Log) -> Option<TopicId> {
        self.free.front().copied().filter(|&id| {
            let topic = self.get(id);
            topic.count == 0 || !log.holds(topic.last_offset)
        })
    }

    /// Adds a subscriber; the topic is made if it is not there.
    pub fn join(&mut self, key: TopicKey, log: &Log) -> TopicId {
        let id = match self.index.get(&key) {
            Some(&id) => id,
            None => self.make(key, log),
        };
        self.slots[id as usize].subscribers += 1;
        id
    }

    fn make(&mut self, key: TopicKey, log: &Log) -> TopicId {
        let topic = Topic { key, subscribers: 0, count: 0, snapshot_number: 0, window: None, last_offset: 0 };
        let id = match self.reusable(log) {
            Some(id) => {
                self.free.pop_front();
                self.slots[id as usize] = topic;
                id
            }
            None => {
                self.slots.push(topic);
                (self.slots.len() - 1) as TopicId
            }
        };
        self.index.insert(key, id);
        self.by_stream(key.scope)[key.stream.number() as usize].push(id);
        id
    }

    /// Takes a subscriber away; the last one takes the topic with it.
    pub fn leave(&mut self, id: TopicId) {
        let topic = &mut self.slots[id as usize];
        topic.subscribers -= 1;
        if topic.subscribers > 0 {
            return;
        }
        topic.window = None;
        let key = topic.key;
        self.index.remove(&key);
        self.by_stream(key.scope)[key.stream.number() as usize].retain(|&other| other != id);
        self.free.push_back(id);
    }

    /// Appends a message of a topic to the log.
    #[inline]
    pub fn publish(&mut self, log: &mut Log, id: TopicId, recv_ns: u64, frame: &[u8], is_snapshot: bool) {
        let topic = &mut self.slots[id as usize];
        topic.count += 1;
        if is_snapshot {
            topic.snapshot_number = topic.count;
        }
        topic.last_offset = log.append(id, topic.count, recv_ns, frame);
    }
}
