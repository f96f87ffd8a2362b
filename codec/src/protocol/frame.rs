//! Framing: a 4-byte big-endian length, then that many bytes.
//!
//! Sans-IO: bytes are handed in as they come, whole frames are taken out.

/// Bytes of the length in front of every frame.
pub const LENGTH_BYTES: usize = 4;

/// The largest request frame. Nothing a client has to say comes near it; a longer one is answered
/// `frame_too_large` and the connection closed, because what follows cannot be told apart from its rest.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// What begins a frame that holds a binary record: four zero bytes, so that the record after them is
/// 8-byte aligned in the stream. No MessagePack map begins with a zero byte.
pub const RECORD_MARK: [u8; 4] = [0; 4];

/// Appends a frame of `payload`.
pub fn put_frame(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends a frame that holds a record.
pub fn put_record_frame(out: &mut Vec<u8>, record: &[u8]) {
    out.extend_from_slice(&((record.len() + RECORD_MARK.len()) as u32).to_be_bytes());
    out.extend_from_slice(&RECORD_MARK);
    out.extend_from_slice(record);
}

/// A frame longer than its reader allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameTooLarge {
    /// The length it announces.
    pub bytes: usize,
}

/// Gathers bytes and yields whole frames.
#[derive(Debug)]
pub struct Frames {
    /// Storage; what waits lies in `start..end`. Its length only grows, so that room is zeroed once and not
    /// before every read.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    frame_bytes_max: usize,
}

/// Storage that grew beyond this is given back once nothing waits, unless reads of that size are usual.
const KEEP_BYTES_MAX: usize = 512 * 1024;

impl Frames {
    /// A reader of frames of at most `frame_bytes_max` bytes. Takes no memory before the first bytes come.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, end: 0, frame_bytes_max }
    }

    /// Takes bytes as they come.
    pub fn push(&mut self, bytes: &[u8]) {
        self.space(bytes.len())[..bytes.len()].copy_from_slice(bytes);
        self.filled(bytes.len());
    }

    /// Room for at least `bytes` more, to read a socket into; follow with [`Self::filled`].
    pub fn space(&mut self, bytes: usize) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            if self.buffer.len() > KEEP_BYTES_MAX {
                self.buffer = Vec::new();
            }
        }
        if self.buffer.len() - self.end < bytes {
            // What waits moves to the front before more is taken.
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.buffer.len() - self.end < bytes {
                self.buffer.resize(self.end + bytes, 0);
            }
        }
        &mut self.buffer[self.end..]
    }

    /// Says that the first `bytes` of the space last given hold bytes.
    pub fn filled(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.buffer.len() - self.end, "more was filled than was given");
        self.end += bytes;
    }

    /// The length that the next frame announces, once its four bytes are here.
    fn announced(&self) -> Option<usize> {
        let bytes = self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>()?;
        Some(u32::from_be_bytes(*bytes) as usize)
    }

    /// Where the next frame lies, without its length.
    fn whole(&self) -> Result<Option<core::ops::Range<usize>>, FrameTooLarge> {
        let Some(bytes) = self.announced() else { return Ok(None) };
        if bytes > self.frame_bytes_max {
            return Err(FrameTooLarge { bytes });
        }
        let start = self.start + LENGTH_BYTES;
        Ok((self.end >= start + bytes).then_some(start..start + bytes))
    }

    /// Whether [`Self::next_frame`] would yield a frame or an error.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !matches!(self.whole(), Ok(None))
    }

    /// The next whole frame, without its length.
    ///
    /// # Errors
    /// [`FrameTooLarge`]; the reader is then stuck, for nothing after it can be told apart.
    pub fn next_frame(&mut self) -> Result<Option<&[u8]>, FrameTooLarge> {
        match self.whole()? {
            Some(range) => {
                self.start = range.end;
                Ok(Some(&self.buffer[range]))
            }
            None => Ok(None),
        }
    }

    /// Bytes of storage held.
    #[must_use]
    pub fn capacity_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Gives storage back if nothing waits.
    pub fn release(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.buffer = Vec::new();
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub const fn waiting_bytes(&self) -> usize {
        self.end - self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..20),
            cuts in proptest::collection::vec(1usize..97, 1..20),
        ) {
            let mut stream = Vec::new();
            for payload in &payloads {
                put_frame(&mut stream, payload);
            }
            let mut frames = Frames::new(1000);
            let mut seen = Vec::new();
            let (mut at, mut turn) = (0, 0);
            while at < stream.len() {
                let end = (at + cuts[turn % cuts.len()]).min(stream.len());
                if turn % 2 == 0 {
                    frames.push(&stream[at..end]);
                } else {
                    frames.space(500)[..end - at].copy_from_slice(&stream[at..end]);
                    frames.filled(end - at);
                }
                (at, turn) = (end, turn + 1);
                while frames.is_ready() {
                    seen.push(frames.next_frame().unwrap().unwrap().to_vec());
                }
                prop_assert_eq!(frames.next_frame(), Ok(None));
            }
            prop_assert_eq!(seen, payloads);
            prop_assert_eq!(frames.waiting_bytes(), 0);
        }
    }

    #[test]
    fn a_frame_that_is_too_long_is_told_at_its_length() {
        let mut frames = Frames::new(10);
        frames.push(&[0, 0, 0, 11]);
        assert_eq!(frames.next_frame(), Err(FrameTooLarge { bytes: 11 }));
        let mut frames = Frames::new(10);
        frames.push(&[0, 0, 0, 10, 1]);
        assert_eq!(frames.next_frame(), Ok(None));
    }
}
