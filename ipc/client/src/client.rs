//! A connection to the daemon.

use crate::error::ClientError;
use crate::message::Message;
use crate::request::{Request, request};
use codec::protocol::frame::Frames;
use rmpv::Value;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// The longest frame taken from the daemon: far above 200 symbols × 1,100 candles.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// How long a reply is waited for.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// How to wait for bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// In the kernel: kind to the machine, some ten microseconds slower.
    Block,
    /// By asking again and again: for isolated cores.
    Spin,
}

/// See the crate.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    frames: Frames,
    /// Messages that came while a reply was waited for.
    kept: VecDeque<Message>,
    out: Vec<u8>,
    next_id: u64,
    wait: Wait,
    /// What the socket's read timeout is set to.
    timeout: Option<Duration>,
    reply_timeout: Duration,
}

impl Client {
    /// Connects, to block while waiting.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn connect(path: impl AsRef<Path>) -> Result<Self, ClientError> {
        let path = path.as_ref();
        let stream = UnixStream::connect(path)
            .map_err(|source| ClientError::Connect { path: path.to_owned(), source })?;
        Ok(Self::from_stream(stream))
    }

    /// A client on a socket that is connected already.
    #[must_use]
    pub fn from_stream(stream: UnixStream) -> Self {
        Self {
            stream,
            frames: Frames::new(FRAME_BYTES_MAX),
            kept: VecDeque::new(),
            out: Vec::new(),
            next_id: 1,
            wait: Wait::Block,
            timeout: None,
            reply_timeout: REPLY_TIMEOUT,
        }
    }

    /// Changes how it waits.
    ///
    /// # Errors
    /// When the socket cannot be switched.
    pub fn set_wait(&mut self, wait: Wait) -> Result<(), ClientError> {
        self.stream.set_nonblocking(wait == Wait::Spin)?;
        self.wait = wait;
        Ok(())
    }

    /// Changes how long [`Self::request`] waits for its reply; ten seconds otherwise.
    pub const fn set_reply_timeout(&mut self, timeout: Duration) {
        self.reply_timeout = timeout;
    }

    /// Sends a request without waiting. Its id, which the reply will carry, is the answer.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send(&mut self, request: &Request) -> Result<u64, ClientError> {
        let id = self.next_id;
        self.next_id += 1;
        self.out.clear();
        request.put(id, &mut self.out);
        self.write_out()?;
        Ok(id)
    }

    /// Sends bytes as they are, for those who test the daemon.
    ///
    /// # Errors
    /// When the connection fails.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        self.out.clear();
        self.out.extend_from_slice(bytes);
        self.write_out()
    }

    fn write_out(&mut self) -> Result<(), ClientError> {
        let mut at = 0;
        while at < self.out.len() {
            match self.stream.write(&self.out[at..]) {
                Ok(bytes) => at += bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    std::hint::spin_loop();
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Sends a request and waits for its reply; type and data of that are the answer. What is streamed meanwhile
    /// is kept for [`Self::recv`].
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the daemon refuses it.
    pub fn request(&mut self, request: &Request) -> Result<(String, Value), ClientError> {
        let id = self.send(request)?;
        let deadline = Instant::now() + self.reply_timeout;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.recv_new(left)? {
                None => return Err(ClientError::Timeout(self.reply_timeout)),
                Some(message) if message.id() == Some(id) => return reply(message),
                Some(message) => self.kept.push_back(message),
            }
        }
    }

    /// As [`Self::request`], for a request answered with one stream-like message (a book, a quote, funding).
    ///
    /// # Errors
    /// As [`Self::request`], and when the reply is of another kind.
    pub fn query(&mut self, request: &Request) -> Result<Message, ClientError> {
        let (kind, data) = self.request(request)?;
        Message::typed(&kind, &data).ok_or_else(|| ClientError::Unreadable(format!("a reply of type {kind}")))
    }

    /// The next message that is no reply to [`Self::request`]; `None` when none came in time.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub fn recv(&mut self, timeout: Duration) -> Result<Option<Message>, ClientError> {
        match self.kept.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.recv_new(timeout),
        }
    }

    fn recv_new(&mut self, timeout: Duration) -> Result<Option<Message>, ClientError> {
        match self.next_frame(timeout)? {
            None => Ok(None),
            Some(frame) => Message::read(frame).map(Some).map_err(ClientError::Unreadable),
        }
    }

    /// The next raw frame, without its length; nothing is allocated once buffers have grown.
    ///
    /// # Errors
    /// When the connection fails or ends.
    pub fn next_frame(&mut self, timeout: Duration) -> Result<Option<&[u8]>, ClientError> {
        if !self.frames.is_ready() {
            let deadline = Instant::now() + timeout;
            while !self.frames.is_ready() {
                if !self.fill(deadline)? {
                    return Ok(None);
                }
            }
        }
        self.frames
            .next_frame()
            .map_err(|error| ClientError::Unreadable(format!("a frame of {} bytes", error.bytes)))
    }

    /// Reads once. `false`: nothing came before the deadline.
    fn fill(&mut self, deadline: Instant) -> Result<bool, ClientError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.wait == Wait::Block {
                // Zero would mean forever.
                let timeout = left.max(Duration::from_micros(1));
                if self.timeout != Some(timeout) {
                    self.stream.set_read_timeout(Some(timeout))?;
                    self.timeout = Some(timeout);
                }
            }
            let space = self.frames.space(READ_BYTES);
            let read = self.stream.read(space);
            self.frames.filled(*read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) => return Err(ClientError::Closed),
                Ok(_) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if left.is_zero() {
                        return Ok(false);
                    }
                    if self.wait == Wait::Spin {
                        std::hint::spin_loop();
                    }
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(ClientError::Closed),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Says who this is, and chooses the encoding (`"msgpack"` or `"record"`).
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn hello(&mut self, name: &str, encoding: &str) -> Result<Value, ClientError> {
        let (_, data) = self.request(&request("hello").with("client", name).with("encoding", encoding))?;
        Ok(data)
    }

    /// Subscribes to a book.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn subscribe_orderbook(
        &mut self,
        venue: &str,
        symbol: &str,
        depth: u64,
        mode: &str,
    ) -> Result<(), ClientError> {
        let book = request("subscribe_orderbook").venue(venue).symbol(symbol);
        self.request(&book.with("depth", depth).with("mode", mode)).map(|_| ())
    }

    /// Subscribes to quotes.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn subscribe_quote(&mut self, venue: &str, symbol: &str) -> Result<(), ClientError> {
        self.request(&request("subscribe_quote").venue(venue).symbol(symbol)).map(|_| ())
    }

    /// Subscribes to trades.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn subscribe_trades(&mut self, venue: &str, symbol: &str) -> Result<(), ClientError> {
        self.request(&request("subscribe_trades").venue(venue).symbol(symbol)).map(|_| ())
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn unsubscribe(&mut self, subscription: &Request) -> Result<(), ClientError> {
        self.request(&subscription.unsubscribe()).map(|_| ())
    }

    /// The socket, for those who want to wait for several.
    #[must_use]
    pub const fn stream(&self) -> &UnixStream {
        &self.stream
    }
}

fn reply(message: Message) -> Result<(String, Value), ClientError> {
    match message {
        Message::Error { code, message, .. } => Err(ClientError::Refused { code, message }),
        Message::Other { kind, data, .. } => Ok((kind, data)),
        other => Err(ClientError::Unreadable(format!("a reply of another kind: {other:?}"))),
    }
}
