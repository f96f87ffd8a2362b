//! WebSocket frames as a client reads and writes them, without any I/O.
//!
//! The reader owns one large buffer; the connection fills its free end, and a message that came in one
//! frame is handed out as a slice of it, uncopied. Once warm it neither allocates nor zero-fills.
//!
//! ```text
//!   0        start         end               length
//!   | handed | unread bytes | free: space()    |
//!   |  out   | frame | fra… |                  |
//! ```
//!
//! What is legal is what RFC 6455 and tungstenite say (a property test holds the two equal): text must be
//! UTF-8, servers do not mask, no extension is negotiated so reserved bits are zero, control frames are
//! short and whole. The first fault ends the connection.

use thiserror::Error;

/// What a frame or message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole text message, checked to be UTF-8.
    Text,
    /// A whole binary message.
    Binary,
    /// A ping; the payload goes back in a pong.
    Ping,
    /// A pong.
    Pong,
    /// The end, with the code if one was given; a code that may not be sent reads as 1002.
    Close(Option<u16>),
}

/// A breach of the protocol or of our limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// An opcode without meaning.
    #[error("reserved opcode")]
    Opcode,
    /// Longer than the reader's limit.
    #[error("message longer than our limit")]
    TooLong,
    /// Something after the close frame.
    #[error("data after the close frame")]
    AfterClose,
    /// A bit of an extension that was not negotiated.
    #[error("reserved bit set")]
    ReservedBits,
    /// A mask from a server.
    #[error("masked frame from a server")]
    Masked,
    /// A control frame in pieces.
    #[error("fragmented control frame")]
    FragmentedControl,
    /// A control frame of more than 125 bytes.
    #[error("control frame too long")]
    ControlTooLong,
    /// A close frame with half a code.
    #[error("malformed close frame")]
    CloseFrame,
    /// A continuation of nothing.
    #[error("continuation without a message")]
    Continuation,
    /// A new message inside an unfinished one.
    #[error("new message inside an unfinished one")]
    Interleaved,
    /// Text that is none.
    #[error("text is not UTF-8")]
    Utf8,
}

impl FrameError {
    /// The fault as a fixed phrase.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Opcode => "reserved opcode",
            Self::TooLong => "message longer than our limit",
            Self::AfterClose => "data after the close frame",
            Self::ReservedBits => "reserved bit set",
            Self::Masked => "masked frame from a server",
            Self::FragmentedControl => "fragmented control frame",
            Self::ControlTooLong => "control frame too long",
            Self::CloseFrame => "malformed close frame",
            Self::Continuation => "continuation without a message",
            Self::Interleaved => "new message inside an unfinished one",
            Self::Utf8 => "text is not UTF-8",
        }
    }
}

/// Bytes of a reader's buffer to begin with: some hundred messages, a TLS burst.
const BUFFER_BYTES: usize = 64 * 1024;
/// With less room than this at its end, the buffer moves what is unread to its front.
const ROOM_BYTES_MIN: usize = 16 * 1024;
/// Payload of a control frame at most (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A message that comes in fragments, in its own buffer.
#[derive(Debug, Default)]
struct Assembly {
    bytes: Vec<u8>,
    /// Bytes known to be UTF-8; stays behind by the part of a character at the end.
    checked: usize,
    text: bool,
    /// Whether the first fragment is here and the last is not.
    open: bool,
}

impl Assembly {
    fn begin(&mut self, text: bool) {
        self.bytes.clear();
        self.checked = 0;
        self.text = text;
        self.open = true;
    }

    fn extend(&mut self, payload: &[u8], limit: usize, last: bool) -> Result<(), FrameError> {
        if payload.len() > limit - self.bytes.len() {
            return Err(FrameError::TooLong);
        }
        self.bytes.extend_from_slice(payload);
        if self.text {
            match core::str::from_utf8(&self.bytes[self.checked..]) {
                Ok(_) => self.checked = self.bytes.len(),
                Err(error) if error.error_len().is_none() && !last => self.checked += error.valid_up_to(),
                Err(_) => return Err(FrameError::Utf8),
            }
        }
        self.open = !last;
        Ok(())
    }
}

/// Where the message handed out last lies.
#[derive(Clone, Copy, Debug)]
enum Payload {
    Buffer { start: usize, end: usize },
    Assembly,
}

/// A reader of one connection's frames.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes the frame at the front needs in the buffer, as far as known.
    needed: usize,
    limit: usize,
    payload: Payload,
    assembly: Assembly,
    closed: bool,
}

impl FrameReader {
    /// A reader of messages of at most `limit` bytes, beginning with `leftover`.
    #[must_use]
    pub fn new(limit: usize, leftover: &[u8]) -> Self {
        let mut reader = Self {
            buffer: vec![0; BUFFER_BYTES.max(leftover.len())],
            start: 0,
            end: 0,
            needed: 0,
            limit,
            payload: Payload::Buffer { start: 0, end: 0 },
            assembly: Assembly::default(),
            closed: false,
        };
        reader.space()[..leftover.len()].copy_from_slice(leftover);
        reader.filled(leftover.len());
        reader
    }

    /// Where bytes from the connection go; never empty once [`FrameReader::advance`] has found nothing.
    ///
    /// The message handed out last is gone after this.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.buffer.len() - self.end < ROOM_BYTES_MIN && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.needed > self.buffer.len() - self.start {
            // A rare, large message: its whole length is known, so this happens once. The room is kept.
            self.buffer.resize(self.start + self.needed.next_power_of_two(), 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Tells how many bytes of [`FrameReader::space`] now hold something.
    pub fn filled(&mut self, bytes: usize) {
        self.end += bytes;
        assert!(self.end <= self.buffer.len(), "more bytes than there was space for");
    }

    /// Whether every byte has been handed out.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.start == self.end
    }

    /// Goes on to the next message or control frame, whose bytes [`FrameReader::payload`] then gives.
    /// `None`: not all of it is here yet.
    ///
    /// # Errors
    /// See [`FrameError`]; the reader is of no use after one.
    #[inline]
    pub fn advance(&mut self) -> Result<Option<Kind>, FrameError> {
        loop {
            let unread = &self.buffer[self.start..self.end];
            let &[first, second, ref rest @ ..] = unread else {
                self.needed = 0;
                return Ok(None);
            };
            let (header, length) = match second & 0x7F {
                126 => match rest.first_chunk::<2>() {
                    Some(&length) => (4, u64::from(u16::from_be_bytes(length))),
                    None => return self.incomplete(first, 4),
                },
                127 => match rest.first_chunk::<8>() {
                    Some(&length) => (10, u64::from_be_bytes(length)),
                    None => return self.incomplete(first, 10),
                },
                length => (2, u64::from(length)),
            };
            self.check(first, second, length)?;
            let end = header + length as usize;
            if unread.len() < end {
                return self.incomplete(first, end);
            }
            let (start, end) = (self.start + header, self.start + end);
            self.start = end;
            if let Some(kind) = self.take(first, start, end)? {
                return Ok(Some(kind));
            }
        }
    }

    /// The bytes of what [`FrameReader::advance`] found last.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        match self.payload {
            Payload::Buffer { start, end } => &self.buffer[start..end],
            Payload::Assembly => &self.assembly.bytes,
        }
    }

    fn incomplete(&mut self, first: u8, needed: usize) -> Result<Option<Kind>, FrameError> {
        self.needed = needed;
        if is_opcode(first & 0x0F) { Ok(None) } else { Err(FrameError::Opcode) }
    }

    /// What a header alone shows to be wrong, so that nobody waits for such a frame's end.
    fn check(&self, first: u8, second: u8, length: u64) -> Result<(), FrameError> {
        let opcode = first & 0x0F;
        if !is_opcode(opcode) {
            return Err(FrameError::Opcode);
        }
        if length > self.limit as u64 {
            return Err(FrameError::TooLong);
        }
        if self.closed {
            return Err(FrameError::AfterClose);
        }
        if first & 0x70 != 0 {
            return Err(FrameError::ReservedBits);
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let last = first & 0x80 != 0;
        match opcode {
            CLOSE | PING | PONG if !last => Err(FrameError::FragmentedControl),
            CLOSE | PING | PONG if length > CONTROL_BYTES_MAX as u64 => Err(FrameError::ControlTooLong),
            CONTINUATION if !self.assembly.open => Err(FrameError::Continuation),
            TEXT | BINARY if self.assembly.open => Err(FrameError::Interleaved),
            _ => Ok(()),
        }
    }

    /// Takes a whole frame; `None`: a fragment that does not end its message.
    #[inline]
    fn take(&mut self, first: u8, start: usize, end: usize) -> Result<Option<Kind>, FrameError> {
        let last = first & 0x80 != 0;
        let opcode = first & 0x0F;
        self.payload = Payload::Buffer { start, end };
        let payload = &self.buffer[start..end];
        match opcode {
            TEXT if last => match core::str::from_utf8(payload) {
                Ok(_) => Ok(Some(Kind::Text)),
                Err(_) => Err(FrameError::Utf8),
            },
            BINARY if last => Ok(Some(Kind::Binary)),
            CONTINUATION | TEXT | BINARY => {
                if opcode != CONTINUATION {
                    self.assembly.begin(opcode == TEXT);
                }
                self.assembly.extend(payload, self.limit, last)?;
                self.payload = Payload::Assembly;
                Ok(last.then_some(if self.assembly.text { Kind::Text } else { Kind::Binary }))
            }
            CLOSE => {
                let code = close_code(payload)?;
                self.closed = true;
                Ok(Some(Kind::Close(code)))
            }
            PING => Ok(Some(Kind::Ping)),
            _ => Ok(Some(Kind::Pong)),
        }
    }
}

const fn is_opcode(opcode: u8) -> bool {
    matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG)
}

/// The code of a close frame; one that may not be sent counts as a protocol error, 1002.
fn close_code(payload: &[u8]) -> Result<Option<u16>, FrameError> {
    let Some((&code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(FrameError::CloseFrame) };
    };
    core::str::from_utf8(reason).map_err(|_| FrameError::Utf8)?;
    let code = u16::from_be_bytes(code);
    let allowed = matches!(code, 1000..=1003 | 1007..=1013 | 3000..=4999);
    Ok(Some(if allowed { code } else { 1002 }))
}

/// A frame we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing<'a> {
    /// A text message.
    Text(&'a str),
    /// A ping without payload.
    Ping,
    /// The answer to a ping, with its payload.
    Pong(&'a [u8]),
    /// The end, with its code.
    Close(u16),
}

/// Appends a frame to `out`, masked as a client must.
pub fn write(out: &mut Vec<u8>, frame: Outgoing<'_>, mask: [u8; 4]) {
    let code;
    let (opcode, payload) = match frame {
        Outgoing::Text(text) => (TEXT, text.as_bytes()),
        Outgoing::Ping => (PING, &[][..]),
        Outgoing::Pong(payload) => (PONG, payload),
        Outgoing::Close(number) => {
            code = number.to_be_bytes();
            (CLOSE, &code[..])
        }
    };
    out.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => out.push(0x80 | length as u8),
        length @ 126..=0xFFFF => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(reader: &mut FrameReader) -> Vec<(Kind, Vec<u8>)> {
        let mut messages = Vec::new();
        while let Some(kind) = reader.advance().unwrap() {
            messages.push((kind, reader.payload().to_vec()));
        }
        messages
    }

    #[test]
    fn messages_come_out_whole_wherever_the_bytes_are_cut() {
        let mut bytes = vec![0x81, 2, b'h', b'i', 0x89, 1, 7, 0x01, 1, 0xE2, 0x8A, 0];
        bytes.extend([0x80, 2, 0x82, 0xAC, 0x82, 126, 0x01, 0x00]);
        bytes.extend([9; 256]);
        bytes.extend([0x88, 2, 0x03, 0xE8]);
        let expected = [
            (Kind::Text, b"hi".to_vec()),
            (Kind::Ping, vec![7]),
            (Kind::Pong, vec![]),
            (Kind::Text, "€".into()),
            (Kind::Binary, vec![9; 256]),
            (Kind::Close(Some(1000)), vec![0x03, 0xE8]),
        ];
        for cut in 1..bytes.len() {
            let mut reader = FrameReader::new(1000, &bytes[..cut]);
            let mut messages = all(&mut reader);
            reader.space()[..bytes.len() - cut].copy_from_slice(&bytes[cut..]);
            reader.filled(bytes.len() - cut);
            messages.extend(all(&mut reader));
            assert_eq!(messages, expected, "cut at {cut}");
            assert!(reader.is_drained());
        }
    }

    #[test]
    fn a_message_larger_than_the_buffer_finds_room_and_the_limit_is_exact() {
        let limit = 300_000;
        let mut reader = FrameReader::new(limit, &[]);
        for length in [limit, 10, limit] {
            let mut bytes = vec![0x81, 127];
            bytes.extend((length as u64).to_be_bytes());
            bytes.resize(10 + length, b'x');
            let mut left = &bytes[..];
            while !left.is_empty() {
                assert_eq!(reader.advance(), Ok(None));
                let space = reader.space();
                let taken = space.len().min(left.len()).min(50_000);
                assert!(taken > 0);
                space[..taken].copy_from_slice(&left[..taken]);
                left = &left[taken..];
                reader.filled(taken);
            }
            assert_eq!(reader.advance(), Ok(Some(Kind::Text)));
            assert_eq!(reader.payload().len(), length);
        }
        let mut header = vec![0x81, 127];
        header.extend((limit as u64 + 1).to_be_bytes());
        assert_eq!(FrameReader::new(limit, &header).advance(), Err(FrameError::TooLong));
    }

    #[test]
    fn a_refusal_does_not_wait_for_the_end_of_the_frame() {
        for (bytes, error) in [
            (&[0x83, 126][..], FrameError::Opcode),
            (&[0xC1, 5], FrameError::ReservedBits),
            (&[0x81, 0x85], FrameError::Masked),
            (&[0x09, 1], FrameError::FragmentedControl),
            (&[0x89, 126, 0, 126], FrameError::ControlTooLong),
            (&[0x80, 3], FrameError::Continuation),
            (&[0x88, 1, 0], FrameError::CloseFrame),
            (&[0x81, 1, 0xFF], FrameError::Utf8),
        ] {
            let mut reader = FrameReader::new(1000, bytes);
            assert_eq!(reader.advance(), Err(error), "{bytes:?}");
            assert_eq!(error.phrase(), error.to_string());
        }
    }
}
