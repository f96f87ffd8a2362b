//! What a simulated venue is to the sockets that serve it: a state machine without sockets, clock or threads.
//!
//! ```text
//!   server thread                              venue
//!   a client connects     ── open ──▶          may refuse
//!   a message arrives     ── text, control ──▶
//!   a request arrives     ── request ──▶       each call appends Actions; the server carries them out
//!   time passes           ── tick ──▶
//! ```
//! The same state machine can be driven by hand, in virtual time, without any socket.

use crate::error::SimError;
use crate::faults::{CutHow, Fault};
use crate::framing::{self, Opcode};
use std::collections::HashMap;
use tungstenite::Utf8Bytes;

/// One WebSocket connection; never used twice.
pub type ConnectionId = u64;
/// One HTTP request; never used twice.
pub type RequestId = u64;

/// Which door of a venue a connection came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Route {
    /// Hyperliquid's only one.
    Ws,
    /// Binance: books and quotes.
    Public,
    /// Binance: trades, candles, mark prices.
    Market,
}

impl Route {
    /// The name in logs and control requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Public => "public",
            Self::Market => "market",
        }
    }

    /// The route of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Ws, Self::Public, Self::Market].into_iter().find(|route| route.name() == name)
    }
}

/// Path and query of a request, as sent (percent-encoded).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The path, without the query.
    pub path: String,
    /// The query, without the `?`; empty if there is none.
    pub query: String,
}

impl Target {
    /// Splits what stands in a request line.
    pub fn parse(text: &str) -> Self {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        Self { path: path.to_owned(), query: query.to_owned() }
    }

    /// The query's parameters, decoded.
    pub fn parameters(&self) -> HashMap<String, String> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (percent_decode(key), percent_decode(value))
            })
            .collect()
    }
}

/// Decodes `%41`; what is not a valid code stays as it is.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// An HTTP request that is not a WebSocket handshake.
#[derive(Clone, Debug)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: Target,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A header's value, by its lower-case name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// An HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Headers beside the length and the connection.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// An answer in JSON.
    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: vec![("Content-Type", "application/json".to_owned())], body: body.into() }
    }

    /// An answer in plain text.
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, headers: vec![("Content-Type", "text/plain".to_owned())], body: body.into() }
    }

    /// The same with one more header.
    pub fn with_header(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

/// What a venue wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send a text message.
    Text(ConnectionId, Utf8Bytes),
    /// Send a message that is no plain text.
    Odd(ConnectionId, OddMessage),
    /// Send half a frame (of a TLS record, if so), then end the TCP connection.
    Half {
        /// The connection.
        connection: ConnectionId,
        /// Of a TLS record, where TLS is spoken.
        of_record: bool,
    },
    /// Send a WebSocket ping with this payload.
    Ping(ConnectionId, Vec<u8>),
    /// Close with a close frame.
    Close(ConnectionId, u16, &'static str),
    /// End the TCP connection without a close frame.
    Drop(ConnectionId),
    /// Reset the TCP connection.
    Reset(ConnectionId),
    /// Answer a request.
    Respond(RequestId, Response),
    /// Answer a request not before this time.
    RespondAt(RequestId, Response, i64),
    /// Let the transport suffer from this.
    Transport(Fault),
}

/// A message that is no plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OddMessage {
    /// A binary message.
    Binary(Vec<u8>),
    /// A text in fragments, which may be cut within a character.
    Fragments(Vec<Vec<u8>>),
    /// A text message whose payload is not UTF-8.
    NotUtf8(Vec<u8>),
}

impl OddMessage {
    /// The message as it stands on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Binary(payload) => framing::frame(Opcode::Binary, payload),
            Self::Fragments(parts) => framing::fragments(parts),
            Self::NotUtf8(payload) => framing::frame(Opcode::Text, payload),
        }
    }
}

/// A WebSocket control frame from a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlFrame {
    /// A ping (the server answers it by itself).
    Ping,
    /// A pong with its payload.
    Pong(Vec<u8>),
}

/// How many bytes wait for a client's socket.
pub trait Backlog {
    /// The bytes not yet taken by the system for this connection.
    fn backlog_bytes(&self, connection: ConnectionId) -> usize;
}

/// A venue, or anything else that answers WebSocket messages and HTTP requests.
pub trait Protocol: Send {
    /// A client asks for a WebSocket; an `Err` is the HTTP answer it gets instead.
    fn open(
        &mut self,
        connection: ConnectionId,
        target: &Target,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), Response>;

    /// A text message from a client.
    fn text(&mut self, connection: ConnectionId, text: &str, now_ms: i64, out: &mut Vec<Action>);

    /// A control frame from a client.
    fn control(&mut self, connection: ConnectionId, frame: ControlFrame, now_ms: i64, out: &mut Vec<Action>);

    /// A connection is gone, for whatever reason.
    fn closed(&mut self, connection: ConnectionId, now_ms: i64);

    /// An HTTP request; it may be answered at once or by a later call.
    fn request(&mut self, id: RequestId, request: &Request, now_ms: i64, out: &mut Vec<Action>);

    /// Time has passed; returns how many milliseconds may pass until the next call (0: as soon as possible).
    fn tick(&mut self, now_ms: i64, backlog: &dyn Backlog, out: &mut Vec<Action>) -> i64;

    /// Something is to go wrong.
    fn fault(&mut self, fault: &Fault, now_ms: i64, out: &mut Vec<Action>) -> Result<(), SimError>;
}

/// Carries out the faults of connections and sockets, which are the same at every venue; false if it is another one.
pub fn transport_fault(
    fault: &Fault,
    connections: impl Iterator<Item = (ConnectionId, Route)>,
    out: &mut Vec<Action>,
) -> bool {
    match fault {
        Fault::Cut { route, how, code } => {
            let chosen = connections.filter(|(_, of)| route.is_none_or(|wanted| wanted == *of));
            out.extend(chosen.map(|(connection, _)| match how {
                CutHow::Close => Action::Close(connection, *code, ""),
                CutHow::Drop => Action::Drop(connection),
                CutHow::Reset => Action::Reset(connection),
                CutHow::MidFrame => Action::Half { connection, of_record: false },
                CutHow::MidRecord => Action::Half { connection, of_record: true },
            }));
        }
        Fault::DayCut { route } => {
            let chosen = connections.filter(|(_, of)| route.is_none_or(|wanted| wanted == *of));
            out.extend(chosen.map(|(connection, _)| Action::Close(connection, 1000, "")));
        }
        Fault::RefuseConnections { .. }
        | Fault::TlsFailure { .. }
        | Fault::Drip { .. }
        | Fault::DelayRest { .. } => out.push(Action::Transport(fault.clone())),
        _ => return false,
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_split_and_decoded() {
        let target = Target::parse("/fapi/v1/depth?symbol=%E5%B8%81USDT&limit=5&x");
        assert_eq!(target.path, "/fapi/v1/depth");
        let parameters = target.parameters();
        assert_eq!(parameters["symbol"], "币USDT");
        assert_eq!(parameters["limit"], "5");
        assert_eq!(parameters["x"], "");
        assert_eq!(percent_decode("a%4"), "a%4");
        assert_eq!(percent_decode("%zz%41%币"), "%zzA%币");
    }
}
