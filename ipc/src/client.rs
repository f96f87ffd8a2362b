//! What the server knows of one client.

use crate::reply::Long;
use crate::topic::{Encoding, Mode, Slot, TopicId};
use codec::protocol::frame::{Frames, REQUEST_BYTES_MAX};
use codec::words::{Interval, Stream, Venue};
use std::collections::BTreeMap;

/// A client's number; taken again after it left.
pub type ClientId = u32;

/// One topic of a client.
#[derive(Clone, Copy, Debug)]
pub struct Sub {
    /// The topic.
    pub topic: TopicId,
    /// How many of the client's subscriptions need it.
    pub refs: u32,
    /// Number of the last message that was sent, told as lost, or older than the subscription.
    pub seen: u64,
}

/// A client's topics.
#[derive(Debug, Default)]
pub struct Subs {
    /// Sorted by topic.
    list: Vec<Sub>,
    /// One bit per topic: most entries of the log are of no concern to most clients.
    bits: Vec<u64>,
}

impl Subs {
    /// The place of a topic in the list, if it is there.
    #[inline]
    #[must_use]
    pub fn find(&self, topic: TopicId) -> Option<usize> {
        let word = self.bits.get(topic as usize / 64)?;
        if word >> (topic % 64) & 1 == 0 {
            return None;
        }
        self.list.binary_search_by_key(&topic, |sub| sub.topic).ok()
    }

    /// The topic at a place of the list.
    #[inline]
    #[must_use]
    pub fn at(&self, place: usize) -> Option<Sub> {
        self.list.get(place).copied()
    }

    /// Remembers what was sent.
    #[inline]
    pub fn see(&mut self, topic: TopicId, number: u64) {
        if let Some(place) = self.find(topic) {
            self.list[place].seen = number;
        }
    }

    /// Adds a reference; a topic that is new begins after `seen`. Whether it is new.
    pub fn join(&mut self, topic: TopicId, seen: u64) -> bool {
        match self.list.binary_search_by_key(&topic, |sub| sub.topic) {
            Ok(place) => {
                self.list[place].refs += 1;
                false
            }
            Err(place) => {
                self.list.insert(place, Sub { topic, refs: 1, seen });
                let word = topic as usize / 64;
                if self.bits.len() <= word {
                    self.bits.resize(word + 1, 0);
                }
                self.bits[word] |= 1 << (topic % 64);
                true
            }
        }
    }

    /// Takes a reference away. Whether it was the last.
    pub fn leave(&mut self, topic: TopicId) -> bool {
        let Ok(place) = self.list.binary_search_by_key(&topic, |sub| sub.topic) else { return false };
        self.list[place].refs -= 1;
        if self.list[place].refs > 0 {
            return false;
        }
        self.list.remove(place);
        self.bits[topic as usize / 64] &= !(1 << (topic % 64));
        true
    }

    /// Topics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Sub> {
        self.list.iter()
    }
}

/// What a subscribe request names: the same again replaces depth and mode, and `unsubscribe` finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SubscriptionKey {
    /// The venue.
    pub venue: Venue,
    /// The instrument; none: all of the venue's.
    pub slot: Option<Slot>,
    /// The stream.
    pub stream: Stream,
    /// The interval of candles.
    pub interval: Option<Interval>,
}

/// How a book was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BookChoice {
    /// Levels a side.
    pub depth: u32,
    /// How messages follow one another.
    pub mode: Mode,
}

/// Going through all topics of a client that fell behind the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Catchup {
    /// First what was lost for good and the states, then the newest books and quotes.
    pub newest: bool,
    /// The next place in the client's list.
    pub place: usize,
}

/// How a connection is being ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is not.
    None,
    /// Once what waits is written. Input is ignored, and for a moment still read, so that the client sees
    /// the error instead of a reset.
    AfterFlush,
    /// It sent its last byte; what it asked for before that is still answered.
    InputDone,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// Requests.
    pub inbox: Frames,
    /// Bytes for this client alone, ahead of anything from the log.
    pub out: Vec<u8>,
    /// How much of `out` is written.
    pub out_at: usize,
    /// A reply that is encoded piece by piece; nothing may come between its pieces.
    pub long: Option<Box<Long>>,
    /// The turn in which it last went on.
    pub long_turn: u64,
    /// What stream messages are written in.
    pub encoding: Encoding,
    /// Its position in the log.
    pub cursor: u64,
    /// Its topics.
    pub subs: Subs,
    /// Its subscriptions, ordered so that equal histories give equal output.
    pub subscriptions: BTreeMap<SubscriptionKey, BookChoice>,
    /// Its socket takes nothing at present.
    pub blocked: bool,
    /// It was blocked and has not caught up since.
    pub behind: bool,
    /// It is so far behind that books and quotes are conflated.
    pub conflating: bool,
    /// It fell behind the log and is being told.
    pub catchup: Option<Catchup>,
    /// When something was last written to it, monotonic ns.
    pub sent_mono_ns: u64,
    /// When it last took something, or had nothing to take, monotonic ns.
    pub progress_mono_ns: u64,
    /// How it is being ended.
    pub ending: Ending,
    /// When an ending connection is closed at the latest, monotonic ns.
    pub close_mono_ns: u64,
    /// Connected past `max_clients`, to be told so.
    pub refused: bool,
    /// Instruments whose record it has, by bit of slot.
    announced: Vec<u64>,
    /// What was last counted for it.
    pub private_bytes: usize,
}

impl Client {
    /// A client that has just connected.
    #[must_use]
    pub fn new(cursor: u64, mono_ns: u64) -> Self {
        Self {
            inbox: Frames::new(REQUEST_BYTES_MAX),
            out: Vec::new(),
            out_at: 0,
            long: None,
            long_turn: u64::MAX,
            encoding: Encoding::Msgpack,
            cursor,
            subs: Subs::default(),
            subscriptions: BTreeMap::new(),
            blocked: false,
            behind: false,
            conflating: false,
            catchup: None,
            sent_mono_ns: mono_ns,
            progress_mono_ns: mono_ns,
            ending: Ending::None,
            close_mono_ns: u64::MAX,
            refused: false,
            announced: Vec::new(),
            private_bytes: 0,
        }
    }

    /// Whether nothing of its own waits to be written.
    #[must_use]
    pub fn is_flushed(&self) -> bool {
        self.out_at == self.out.len() && self.long.is_none()
    }

    /// Whether its next request may be answered now.
    #[must_use]
    pub fn takes_requests(&self) -> bool {
        self.ending != Ending::AfterFlush
            && self.long.is_none()
            && self.out.len() - self.out_at < crate::limits::REPLY_BACKLOG_BYTES_MAX
    }

    /// Bytes held for it alone.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.out.capacity()
            + self.inbox.capacity_bytes()
            + self.long.as_ref().map_or(0, |long| long.held_bytes())
    }

    /// Gives an emptied buffer back if it grew large.
    pub fn shrink(&mut self) {
        if self.out_at == self.out.len() {
            self.out.clear();
            self.out_at = 0;
            if self.out.capacity() > crate::limits::REPLY_BACKLOG_BYTES_MAX {
                self.out = Vec::new();
            }
        }
    }

    /// Whether it has the record of an instrument; from now on it counts as having it.
    pub fn announce(&mut self, slot: Slot) -> bool {
        let word = slot as usize / 64;
        if self.announced.len() <= word {
            self.announced.resize(word + 1, 0);
        }
        let had = self.announced[word] >> (slot % 64) & 1 == 1;
        self.announced[word] |= 1 << (slot % 64);
        had
    }
}
