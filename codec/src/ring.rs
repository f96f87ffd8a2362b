//! The ring that carries records from one thread to another, whole and in order.
//!
//! An `rtrb` ring of words. A record never wraps: where the end of the ring is too near, a skip word (a
//! header word of kind 0 whose length fills the rest) goes before it. One record, one commit, so the
//! consumer never sees a part.
//!
//! ```text
//!  … | record | record | skip ~~~~~| (wrap) record | record | free …
//! ```
//!
//! The last eighth is kept for records that may not be lost (status, gap, instrument, closed candle, fill):
//! [`Producer::push`] refuses other records there. What a refusal means is the engine's decision.

use crate::limits::RECORD_BYTES_MAX;
use crate::record::Record;

/// Whether a record may use the reserved part of a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// Refused once only the reserve is left.
    Normal,
    /// Refused only when the ring is full to the last word.
    Kept,
}

/// A ring of at least `bytes` bytes (and never less than eight of the largest records).
#[must_use]
pub fn ring(bytes: usize) -> (Producer, Consumer) {
    small_ring(bytes.max(8 * RECORD_BYTES_MAX))
}

/// A ring of just so many bytes, for whoever wants it to be full soon: a record longer than seven eighths of it
/// never fits.
#[must_use]
pub fn small_ring(bytes: usize) -> (Producer, Consumer) {
    let words = bytes / 8;
    let (producer, consumer) = rtrb::RingBuffer::new(words);
    (Producer { inner: producer, words, reserve_words: words / 8 }, Consumer { inner: consumer })
}

/// The writing end.
#[derive(Debug)]
pub struct Producer {
    inner: rtrb::Producer<u64>,
    words: usize,
    reserve_words: usize,
}

impl Producer {
    /// Appends one record; `false` when there is no room for one of its importance.
    #[must_use]
    pub fn push(&mut self, record: Record<'_>, importance: Importance) -> bool {
        let words = record.words();
        let kept_back = if importance == Importance::Normal { self.reserve_words } else { 0 };
        // Room for the record after a skip to the end of the ring, in the worst case its own length less one.
        if self.inner.slots() < words.len() + kept_back {
            return false;
        }
        let Ok(mut chunk) = self.inner.write_chunk(words.len()) else { return false };
        let (first, _) = chunk.as_mut_slices();
        let until_end = first.len();
        if until_end == words.len() {
            first.copy_from_slice(words);
            chunk.commit_all();
            return true;
        }
        drop(chunk);
        let total = until_end + words.len();
        if self.inner.slots() < total + kept_back {
            return false;
        }
        let Ok(mut chunk) = self.inner.write_chunk(total) else { return false };
        let (skip, second) = chunk.as_mut_slices();
        // Only length (bytes 0..4) is set; kind stays 0.
        skip[0] = (skip.len() * 8) as u64;
        second.copy_from_slice(words);
        chunk.commit_all();
        true
    }

    /// Bytes that are free, the reserve included.
    #[must_use]
    pub fn free_bytes(&self) -> usize {
        self.inner.slots() * 8
    }

    /// Whether less than a quarter is free: the sign to stop reading sockets.
    #[must_use]
    pub fn nearly_full(&self) -> bool {
        self.inner.slots() < self.words / 4
    }

    /// Bytes in all.
    #[must_use]
    pub const fn capacity_bytes(&self) -> usize {
        self.words * 8
    }

    /// Whether the other end is gone.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned()
    }
}

/// The reading end.
#[derive(Debug)]
pub struct Consumer {
    inner: rtrb::Consumer<u64>,
}

impl Consumer {
    /// Hands each waiting record to `take`, oldest first, at most `records_max`; returns how many.
    ///
    /// Space is given back once per call, after the last.
    pub fn drain(&mut self, records_max: usize, mut take: impl FnMut(Record<'_>)) -> usize {
        let waiting = self.inner.slots();
        if waiting == 0 {
            return 0;
        }
        let Ok(chunk) = self.inner.read_chunk(waiting) else { return 0 };
        let (first, second) = chunk.as_slices();
        let mut used = 0;
        let mut records = 0;
        'slices: for mut slice in [first, second] {
            while !slice.is_empty() {
                if records == records_max {
                    break 'slices;
                }
                let words = if slice[0] >> 32 & 0xFF == 0 {
                    // A skip word: kind, the fifth byte, is zero.
                    (slice[0] as u32 as usize / 8).max(1)
                } else {
                    let record = Record::first(slice).expect("only whole records are committed");
                    take(record);
                    records += 1;
                    record.words().len()
                };
                used += words;
                slice = &slice[words..];
            }
        }
        chunk.commit(used);
        records
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.inner.slots() * 8
    }

    /// Whether the writing end is gone; what waits can still be read.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::{Price, Size};
    use crate::record::{BookBody, Header, Kind, Level, RecordBuilder};
    use crate::words::{Stream, Venue};
    use zerocopy::FromZeros;

    fn delta(builder: &mut RecordBuilder, sequence: u64, levels: usize) -> Record<'_> {
        let header = Header { sequence, ..Header::of(Kind::BookDelta, Venue::Binance, Stream::Orderbook, 1) };
        let level =
            |index: usize| Level { price: Price::from_raw(index as i64 + 1), size: Size::from_raw(1) };
        builder.book(header, BookBody::new_zeroed(), (0..levels).map(level), (0..0).map(level), None).unwrap()
    }

    #[test]
    fn every_record_arrives_whole_and_in_order_across_the_wrap() {
        let (mut producer, mut consumer) = ring(0);
        let mut builder = RecordBuilder::new();
        let (mut sent, mut seen) = (0u64, 0u64);
        for round in 0..3000 {
            for _ in 0..round % 7 {
                let levels = (sent as usize * 31) % 700;
                if producer.push(delta(&mut builder, sent, levels), Importance::Normal) {
                    sent += 1;
                }
            }
            consumer.drain(1 + round % 5, |record| {
                assert_eq!(record.header().sequence, seen);
                assert_eq!(record.book().unwrap().bids.len(), (seen as usize * 31) % 700);
                seen += 1;
            });
        }
        consumer.drain(usize::MAX, |_| seen += 1);
        assert_eq!(sent, seen);
        assert!(sent > 5000);
    }

    #[test]
    fn the_last_eighth_is_for_what_may_not_be_lost() {
        let (mut producer, mut consumer) = ring(0);
        let mut builder = RecordBuilder::new();
        while producer.push(delta(&mut builder, 0, 100), Importance::Normal) {}
        assert!(producer.free_bytes() >= producer.capacity_bytes() / 8);
        assert!(producer.push(delta(&mut builder, 1, 100), Importance::Kept));
        while producer.push(delta(&mut builder, 2, 0), Importance::Kept) {}
        assert!(producer.free_bytes() < 4096);
        let mut last = 0;
        consumer.drain(usize::MAX, |record| last = record.header().sequence);
        assert_eq!(last, 2);
        assert_eq!(producer.free_bytes(), producer.capacity_bytes());
    }
}
