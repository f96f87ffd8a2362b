//! One open WebSocket: a non-blocking socket, TLS if it has it, the frame reader and a bounded write queue.
//!
//! ```text
//!   socket ──read──▶ input (64 KiB) ──▶ rustls ──▶ frame reader ──▶ messages
//!      │                                              ▲
//!      └──────────── without TLS: read directly ──────┘
//! ```
//!
//! [`Connection::advance`] hands out everything that is here before it says that the socket must be read:
//! a message never waits behind a read that finds nothing.

use crate::frame::{self, FrameReader, Kind, Outgoing};
use crate::limits::{FRAME_BYTES_MAX, WRITE_QUEUE_BYTES_MAX};
use crate::session::CloseCause;
use crate::session::backoff::Random;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};

/// Bytes taken from a socket with TLS in one read; rustls' own reads are 4 KiB.
const INPUT_BYTES: usize = 64 * 1024;

/// What [`Connection::advance`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A message or control frame: [`Connection::payload`].
    Message(Kind),
    /// Nothing more without reading the socket: [`Connection::read`].
    NeedsRead,
}

/// What one read of the socket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadOutcome {
    /// Bytes, and perhaps more are waiting.
    Some(usize),
    /// Bytes, and nothing was left behind them.
    Last(usize),
    /// Nothing.
    Dry,
}

#[derive(Debug)]
struct Tls {
    session: ClientConnection,
    input: Box<[u8]>,
    start: usize,
    end: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    tls: Option<Tls>,
    reader: FrameReader,
    /// Frames on their way out (without TLS, the bytes of the wire; with it, one frame at a time).
    outgoing: Vec<u8>,
    sent: usize,
    registered_writable: bool,
    /// The other side will send no more: a short read does not mean that the socket is dry.
    read_closed: bool,
}

impl Connection {
    /// A connection whose handshakes are done, with the bytes that came behind the last of them.
    #[must_use]
    pub fn new(socket: TcpStream, tls: Option<ClientConnection>, leftover: &[u8]) -> Self {
        let tls = tls.map(|mut session| {
            session.set_buffer_limit(Some(WRITE_QUEUE_BYTES_MAX));
            Tls { session, input: vec![0; INPUT_BYTES].into_boxed_slice(), start: 0, end: 0 }
        });
        Self {
            socket,
            tls,
            reader: FrameReader::new(FRAME_BYTES_MAX, leftover),
            outgoing: Vec::with_capacity(4096),
            sent: 0,
            registered_writable: false,
            read_closed: false,
        }
    }

    /// Registers the socket for reading.
    ///
    /// # Errors
    /// The system's.
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.socket, token, Interest::READABLE)
    }

    /// Takes the socket out of the poll again.
    pub fn deregister(&mut self, registry: &Registry) {
        // Closing the socket does the same; nothing depends on this.
        let _ = registry.deregister(&mut self.socket);
    }

    /// Notes that the other side has shut its sending half.
    pub const fn note_read_closed(&mut self) {
        self.read_closed = true;
    }

    /// Goes on to the next message that is here.
    ///
    /// # Errors
    /// [`CloseCause`], when the connection is of no more use.
    #[inline]
    pub fn advance(&mut self) -> Result<Step, CloseCause> {
        loop {
            if let Some(kind) = self.reader.advance().map_err(|error| CloseCause::Protocol(error.phrase()))? {
                return Ok(Step::Message(kind));
            }
            let Some(tls) = &mut self.tls else { return Ok(Step::NeedsRead) };
            match tls.session.reader().read(self.reader.space()) {
                // The end, announced by TLS.
                Ok(0) => return Err(CloseCause::Dropped("end of the TLS stream".to_owned())),
                Ok(bytes) => {
                    self.reader.filled(bytes);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(dropped("reading", &error)),
            }
            if tls.start == tls.end {
                return Ok(Step::NeedsRead);
            }
            let mut input = &tls.input[tls.start..tls.end];
            tls.session.read_tls(&mut input).map_err(|error| dropped("decrypting", &error))?;
            tls.start = tls.end - input.len();
            let state = tls
                .session
                .process_new_packets()
                .map_err(|error| CloseCause::Dropped(format!("TLS: {error}")))?;
            if state.tls_bytes_to_write() > 0 {
                // Key updates and the like; ordinary records ask for nothing.
                self.flush()?;
            }
        }
    }

    /// The bytes of the message found last.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.reader.payload()
    }

    /// Reads the socket once; only after [`Step::NeedsRead`].
    ///
    /// # Errors
    /// [`CloseCause::Dropped`] at its end or on failure.
    #[inline]
    pub fn read(&mut self) -> Result<ReadOutcome, CloseCause> {
        let space = match &mut self.tls {
            Some(tls) => &mut tls.input[..],
            None => self.reader.space(),
        };
        let room = space.len();
        let bytes = match self.socket.read(space) {
            Ok(0) => return Err(CloseCause::Dropped("end of stream".to_owned())),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(ReadOutcome::Dry),
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(ReadOutcome::Some(0)),
            Err(error) => return Err(dropped("reading", &error)),
        };
        match &mut self.tls {
            Some(tls) => (tls.start, tls.end) = (0, bytes),
            None => self.reader.filled(bytes),
        }
        // Less than there was room for: the socket is empty, and what comes next raises a new event. Only
        // an end that is already here would not.
        let last = bytes < room && !self.read_closed;
        Ok(if last { ReadOutcome::Last(bytes) } else { ReadOutcome::Some(bytes) })
    }

    /// Queues a frame and writes what the socket takes.
    ///
    /// # Errors
    /// [`CloseCause`] when the socket fails or the queue is over [`WRITE_QUEUE_BYTES_MAX`].
    pub fn send(&mut self, frame: Outgoing<'_>, random: &mut Random) -> Result<(), CloseCause> {
        const FULL: CloseCause = CloseCause::Protocol("our write queue is full: the venue does not read");
        let mask = (random.next_u64() as u32).to_ne_bytes();
        if self.sent > 0 {
            self.outgoing.drain(..self.sent);
            self.sent = 0;
        }
        frame::write(&mut self.outgoing, frame, mask);
        if let Some(tls) = &mut self.tls {
            let taken =
                tls.session.writer().write(&self.outgoing).map_err(|error| dropped("writing", &error))?;
            if taken < self.outgoing.len() {
                return Err(FULL);
            }
            self.outgoing.clear();
        } else if self.outgoing.len() > WRITE_QUEUE_BYTES_MAX {
            return Err(FULL);
        }
        self.flush()
    }

    /// Answers the ping found last.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_pong(&mut self, random: &mut Random) -> Result<(), CloseCause> {
        // A control frame's payload is at most 125 bytes.
        let mut copy = [0; 125];
        let payload = self.reader.payload();
        let length = payload.len().min(copy.len());
        copy[..length].copy_from_slice(&payload[..length]);
        self.send(Outgoing::Pong(&copy[..length]), random)
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// [`CloseCause::Dropped`] when the socket fails.
    pub fn flush(&mut self) -> Result<(), CloseCause> {
        while self.wants_write() {
            let written = match &mut self.tls {
                Some(tls) => tls.session.write_tls(&mut self.socket),
                None => self.socket.write(&self.outgoing[self.sent..]),
            };
            match written {
                Ok(0) => return Err(CloseCause::Dropped("writing: the socket takes nothing".to_owned())),
                Ok(bytes) if self.tls.is_none() => self.sent += bytes,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(dropped("writing", &error)),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }

    /// Whether something waits to be written.
    #[must_use]
    pub fn wants_write(&self) -> bool {
        match &self.tls {
            Some(tls) => tls.session.wants_write(),
            None => self.sent < self.outgoing.len(),
        }
    }

    /// Asks the poll for writability while something waits, and only then.
    ///
    /// # Errors
    /// [`CloseCause::Dropped`] when the system refuses.
    pub fn update_interest(&mut self, registry: &Registry, token: Token) -> Result<(), CloseCause> {
        let wanted = self.wants_write();
        if wanted != self.registered_writable {
            let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            registry
                .reregister(&mut self.socket, token, interest)
                .map_err(|error| dropped("polling", &error))?;
            self.registered_writable = wanted;
        }
        Ok(())
    }

    /// Says goodbye as far as that is possible at once, and closes.
    pub fn close(mut self, registry: &Registry, random: &mut Random) {
        let _ = self.send(Outgoing::Close(1000), random);
        if let Some(tls) = &mut self.tls {
            tls.session.send_close_notify();
            let _ = self.flush();
        }
        self.deregister(registry);
    }
}

fn dropped(doing: &str, error: &io::Error) -> CloseCause {
    CloseCause::Dropped(format!("{doing}: {error}"))
}
