//! The shared log: every stream message once, encoded, for all clients.
//!
//! A ring of bytes addressed by offsets that only grow. What lies within one capacity of the head is
//! there; what lies before is gone. Readers hold an offset of their own.
//!
//! ```text
//!  byte  0          4          8                16               24         28         32
//!        | length   | topic    | number         | ts_recv_ns     | frame    | zero     | frame … pad
//!  length: of the entry, a multiple of eight; frame: bytes of the frame
//!  An entry never wraps: where the end of the ring is too near, one of topic SKIP fills the rest
//!  (of which only length and topic are written).
//! ```

use crate::topic::TopicId;

const HEAD_BYTES: usize = 32;
const SKIP: u32 = u32::MAX;

/// See the module.
#[derive(Debug)]
pub struct Log {
    bytes: Box<[u8]>,
    head: u64,
}

/// One message in the log.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its topic.
    pub topic: TopicId,
    /// Its number within the topic, from 1.
    pub number: u64,
    /// When what it tells was received, ns; 0: not to be timed.
    pub recv_ns: u64,
    /// The frame, length included.
    pub frame: &'a [u8],
    /// Where it lies.
    pub offset: u64,
    /// Where the next one lies.
    pub next: u64,
}

impl Log {
    /// A log of `bytes` bytes, all taken here: more than twice the longest message.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(8);
        Self { bytes: vec![0; bytes].into_boxed_slice(), head: 0 }
    }

    /// Where the next entry will lie.
    #[must_use]
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Whether what lay at `offset` is still there.
    #[must_use]
    pub fn holds(&self, offset: u64) -> bool {
        offset + self.bytes.len() as u64 >= self.head
    }

    fn place(&self, offset: u64) -> usize {
        (offset % self.bytes.len() as u64) as usize
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        bytes.copy_from_slice(&self.bytes[at..at + N]);
        bytes
    }

    /// Appends a frame; its offset is the answer.
    pub fn append(&mut self, topic: TopicId, number: u64, recv_ns: u64, frame: &[u8]) -> u64 {
        let length = (HEAD_BYTES + frame.len()).next_multiple_of(8);
        assert!(length < self.bytes.len() / 2, "a message fits the log several times");
        let mut at = self.place(self.head);
        let until_end = self.bytes.len() - at;
        if until_end < length {
            self.put(at, &(until_end as u32).to_le_bytes());
            self.put(at + 4, &SKIP.to_le_bytes());
            self.head += until_end as u64;
            at = 0;
        }
        let offset = self.head;
        self.put(at, &(length as u32).to_le_bytes());
        self.put(at + 4, &topic.to_le_bytes());
        self.put(at + 8, &number.to_le_bytes());
        self.put(at + 16, &recv_ns.to_le_bytes());
        self.put(at + 24, &(frame.len() as u32).to_le_bytes());
        self.put(at + HEAD_BYTES, frame);
        self.head += length as u64;
        offset
    }

    /// The entry at `offset`, which must be one this log gave out, still held.
    #[must_use]
    #[inline]
    pub fn entry(&self, offset: u64) -> Option<Entry<'_>> {
        debug_assert!(self.holds(offset), "an entry that is gone was asked for");
        let mut offset = offset;
        loop {
            if offset >= self.head {
                return None;
            }
            let at = self.place(offset);
            let next = offset + u64::from(u32::from_le_bytes(self.get(at)));
            let topic = u32::from_le_bytes(self.get(at + 4));
            if topic == SKIP {
                offset = next;
                continue;
            }
            let frame_bytes = u32::from_le_bytes(self.get(at + 24)) as usize;
            return Some(Entry {
                topic,
                number: u64::from_le_bytes(self.get(at + 8)),
                recv_ns: u64::from_le_bytes(self.get(at + 16)),
                frame: &self.bytes[at + HEAD_BYTES..at + HEAD_BYTES + frame_bytes],
                offset,
                next,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_back_until_they_are_gone() {
        let mut log = Log::new(crate::limits::LOG_BYTES_MIN);
        let mut offsets = Vec::new();
        for number in 0..50_000u64 {
            let frame = vec![number as u8; (number as usize * 37) % 900];
            offsets.push(log.append(number as u32 % 7, number, number + 1, &frame));
            let oldest = offsets.partition_point(|&offset| !log.holds(offset));
            assert!(number < 1000 || oldest > 0 || log.head() <= log.bytes.len() as u64);
        }
        let first = offsets.partition_point(|&offset| !log.holds(offset));
        assert!(first > 0 && first < offsets.len() - 1000);
        let mut at = offsets[first];
        for number in first as u64..50_000 {
            let entry = log.entry(at).unwrap();
            assert_eq!((entry.number, entry.topic, entry.recv_ns), (number, number as u32 % 7, number + 1));
            assert!(entry.frame.iter().all(|&byte| byte == number as u8));
            assert_eq!(entry.frame.len(), (number as usize * 37) % 900);
            at = entry.next;
        }
        assert!(log.entry(at).is_none());
    }
}
