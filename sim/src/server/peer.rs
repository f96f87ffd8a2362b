//! One client's connection: socket, TLS, and what is spoken inside.
//!
//! ```text
//! socket ─ ciphertext ─▶ TLS ─ plaintext ─▶ HTTP parser or WebSocket
//! socket ◀─ `outgoing` ─ TLS ◀─ plaintext ─ HTTP answers or WebSocket frames
//! ```
//! Nothing blocks: what the socket does not take waits in `outgoing`, and its length is the backlog.

use super::http;
use crate::framing;
use crate::limits::{
    BACKLOG_BYTES_MAX, HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX, MESSAGE_BYTES_MAX, READ_BYTES,
};
use crate::protocol::{OddMessage, Request, Response};
use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// Both directions of plaintext between TLS and the WebSocket.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    read_bytes: usize,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let unread = &self.incoming[self.read_bytes..];
        if unread.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = unread.len().min(buffer.len());
        buffer[..count].copy_from_slice(&unread[..count]);
        self.read_bytes += count;
        if self.read_bytes == self.incoming.len() {
            self.incoming.clear();
            self.read_bytes = 0;
        }
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is spoken on the connection.
enum Speech {
    Http { unread: Vec<u8> },
    WebSocket(Box<WebSocket<Pipe>>),
}

/// Something a client said.
#[derive(Debug)]
pub enum Said {
    /// An HTTP request, possibly a WebSocket handshake.
    Request(Request),
    /// Bytes that are no HTTP request; the status to answer with.
    NoRequest(u16),
    /// A WebSocket message.
    Message(Message),
    /// The WebSocket was closed as it should be, or broken.
    End,
}

/// The connection cannot go on.
#[derive(Debug)]
pub struct Broken;

/// A client's connection.
pub struct Peer {
    socket: TcpStream,
    tls: Option<ServerConnection>,
    speech: Speech,
    /// Bytes for the socket; those before `sent_bytes` are gone already.
    outgoing: Vec<u8>,
    sent_bytes: usize,
    /// Thousandths of bytes the socket may still be given; none: as many as it takes.
    credit: Option<u64>,
    /// Answers the first bytes with some that mean nothing.
    garbage: bool,
}

/// What answers a client's hello in place of TLS.
const GARBAGE: &[u8] = b"GARBAGE\xFF\x00\x13\x37 this is not the server you are looking for\r\n\r\n";

impl Peer {
    /// A connection just accepted.
    pub fn new(socket: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<Self, Broken> {
        let tls = match tls {
            None => None,
            Some(config) => {
                let mut tls = ServerConnection::new(config.clone()).map_err(|error| {
                    log::warn!("cannot begin TLS: {error}");
                    Broken
                })?;
                tls.set_buffer_limit(None);
                Some(tls)
            }
        };
        // Frames leave when they are written, as at the venues.
        if let Err(error) = socket.set_nodelay(true) {
            log::debug!("cannot set TCP_NODELAY: {error}");
        }
        Ok(Self {
            socket,
            tls,
            speech: Speech::Http { unread: Vec::new() },
            outgoing: Vec::new(),
            sent_bytes: 0,
            credit: None,
            garbage: false,
        })
    }

    /// The socket, to be registered.
    pub fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Bytes waiting for the socket.
    pub fn backlog_bytes(&self) -> usize {
        self.outgoing.len() - self.sent_bytes
    }

    /// Reads what the socket has. `Ok(false)`: the client has ended its side.
    pub fn read_socket(&mut self, buffer: &mut [u8]) -> Result<bool, Broken> {
        debug_assert!(buffer.len() >= READ_BYTES);
        loop {
            match self.socket.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(count) => self.take_in(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
    }

    /// Takes bytes from the socket through TLS to whoever understands them.
    fn take_in(&mut self, mut bytes: &[u8]) -> Result<(), Broken> {
        let into = match &mut self.speech {
            Speech::Http { unread } => unread,
            Speech::WebSocket(websocket) => &mut websocket.get_mut().incoming,
        };
        match &mut self.tls {
            None => into.extend_from_slice(bytes),
            Some(tls) => {
                while !bytes.is_empty() {
                    tls.read_tls(&mut bytes).map_err(|_| Broken)?;
                    let state = tls.process_new_packets().map_err(|error| {
                        log::debug!("TLS: {error}");
                        Broken
                    });
                    let plaintext_bytes = state?.plaintext_bytes_to_read();
                    let old = into.len();
                    into.resize(old + plaintext_bytes, 0);
                    tls.reader().read_exact(&mut into[old..]).map_err(|_| Broken)?;
                }
            }
        }
        // A client that pipelines more than this without end is not one of ours.
        if into.len() > HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX + 2 * MESSAGE_BYTES_MAX {
            return Err(Broken);
        }
        Ok(())
    }

    /// The next thing the client said, if a whole one is there.
    pub fn next_said(&mut self) -> Option<Said> {
        match &mut self.speech {
            Speech::Http { unread } => {
                if unread.is_empty() {
                    return None;
                }
                if self.garbage {
                    unread.clear();
                    self.outgoing.extend_from_slice(GARBAGE);
                    return Some(Said::End);
                }
                match http::parse(unread) {
                    http::Parsed::Incomplete => None,
                    http::Parsed::Bad(status) => Some(Said::NoRequest(status)),
                    http::Parsed::Complete(request, used) => {
                        unread.drain(..used);
                        Some(Said::Request(request))
                    }
                }
            }
            Speech::WebSocket(websocket) => match websocket.read() {
                Ok(message) => Some(Said::Message(message)),
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => None,
                Err(_) => Some(Said::End),
            },
        }
    }

    /// Answers a handshake; from here on a WebSocket is spoken.
    pub fn become_websocket(&mut self, key: &str) {
        let Speech::Http { unread } = &mut self.speech else { return };
        let pipe = Pipe { incoming: std::mem::take(unread), ..Pipe::default() };
        let config = WebSocketConfig::default()
            .read_buffer_size(4096)
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        self.queue_plain(&http::switching_protocols(key));
        self.speech =
            Speech::WebSocket(Box::new(WebSocket::from_raw_socket(pipe, Role::Server, Some(config))));
    }

    /// Queues an HTTP answer.
    pub fn respond(&mut self, response: &Response, keep_alive: bool) {
        self.queue_plain(&http::write(response, keep_alive));
    }

    /// From now on the client's first bytes are answered with garbage, and the connection ends.
    pub fn answer_garbage(&mut self) {
        self.tls = None;
        self.garbage = true;
    }

    /// Queues a message that the WebSocket library would not send.
    pub fn send_odd(&mut self, message: &OddMessage) -> Result<(), Broken> {
        let Speech::WebSocket(websocket) = &mut self.speech else { return Err(Broken) };
        // What was written before it goes before it.
        match websocket.flush() {
            Ok(()) => {}
            Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return Err(Broken),
        }
        websocket.get_mut().outgoing.extend_from_slice(&message.to_bytes());
        Ok(())
    }

    /// Gives half of a frame to the socket behind all that is queued: of its bytes, or of those TLS makes of them.
    pub fn send_half(&mut self, of_record: bool) -> Result<(), Broken> {
        self.credit = None;
        self.flush()?;
        let frame = framing::unfinished();
        match &mut self.tls {
            Some(tls) if of_record => {
                tls.writer().write_all(&frame).map_err(|_| Broken)?;
                let mut record = Vec::new();
                while tls.wants_write() {
                    tls.write_tls(&mut record).map_err(|_| Broken)?;
                }
                self.outgoing.extend_from_slice(&record[..record.len() / 2]);
                self.write_socket()
            }
            _ => {
                self.queue_plain(&frame[..frame.len() / 2]);
                self.flush()
            }
        }
    }

    /// Lets so many thousandths of bytes more leave, up to as many at once; none: as many as the socket takes.
    pub fn pace(&mut self, earned: Option<u64>, at_once_max: u64) {
        self.credit = earned.map(|earned| (self.credit.unwrap_or(0) + earned).min(at_once_max));
    }

    /// Queues a WebSocket message; nothing leaves before [`Peer::flush`].
    pub fn send(&mut self, message: Message) -> Result<(), Broken> {
        let Speech::WebSocket(websocket) = &mut self.speech else { return Err(Broken) };
        websocket.write(message).map_err(|_| Broken)
    }

    /// Begins the closing handshake.
    pub fn close(&mut self, code: u16, reason: &'static str) -> Result<(), Broken> {
        let Speech::WebSocket(websocket) = &mut self.speech else { return Err(Broken) };
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        match websocket.close(Some(frame)) {
            Ok(()) | Err(tungstenite::Error::ConnectionClosed) => Ok(()),
            Err(_) => Err(Broken),
        }
    }

    /// Tells TLS that no more comes, where it is spoken.
    pub fn end_tls(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
    }

    fn queue_plain(&mut self, bytes: &[u8]) {
        match &mut self.tls {
            // Writing to TLS without a buffer limit cannot fail: it goes to memory.
            Some(tls) => drop(tls.writer().write_all(bytes)),
            None => self.outgoing.extend_from_slice(bytes),
        }
    }

    /// Moves all that is queued towards the socket. `Broken` as well if the client fell too far behind.
    pub fn flush(&mut self) -> Result<(), Broken> {
        if let Speech::WebSocket(websocket) = &mut self.speech {
            match websocket.flush() {
                Ok(()) | Err(tungstenite::Error::ConnectionClosed) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Err(_) => return Err(Broken),
            }
            let plain = std::mem::take(&mut websocket.get_mut().outgoing);
            self.queue_plain(&plain);
            if let Speech::WebSocket(websocket) = &mut self.speech {
                // The buffer goes back, empty, to be used again.
                let mut plain = plain;
                plain.clear();
                websocket.get_mut().outgoing = plain;
            }
        }
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                tls.write_tls(&mut self.outgoing).map_err(|_| Broken)?;
            }
        }
        self.write_socket()?;
        if self.backlog_bytes() > BACKLOG_BYTES_MAX {
            log::warn!("a client fell {} bytes behind and is dropped", self.backlog_bytes());
            return Err(Broken);
        }
        Ok(())
    }

    fn write_socket(&mut self) -> Result<(), Broken> {
        while self.backlog_bytes() > 0 {
            let allowed = self.credit.map_or(usize::MAX, |credit| (credit / 1000) as usize);
            if allowed == 0 {
                break;
            }
            let end = self.sent_bytes.saturating_add(allowed).min(self.outgoing.len());
            match self.socket.write(&self.outgoing[self.sent_bytes..end]) {
                Ok(0) => return Err(Broken),
                Ok(count) => {
                    self.sent_bytes += count;
                    self.credit = self.credit.map(|credit| credit - count as u64 * 1000);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
        if self.backlog_bytes() == 0 {
            self.outgoing.clear();
            self.sent_bytes = 0;
        } else if self.sent_bytes > READ_BYTES {
            self.outgoing.drain(..self.sent_bytes);
            self.sent_bytes = 0;
        }
        Ok(())
    }

    /// Makes the end of the connection a TCP reset.
    pub fn reset_on_end(&self) {
        if let Err(error) = socket2::SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO)) {
            log::warn!("cannot make a connection end in a reset: {error}");
        }
    }
}
