//! From a URL to an open WebSocket, blocking, within a deadline: resolve, connect, TLS, HTTP upgrade.
//!
//! The upgrade is done here byte by byte, so that whatever the venue sends right behind its answer is ours.

use crate::limits::HANDSHAKE_BYTES_MAX;
use crate::url::{Url, UrlError};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

/// An open WebSocket.
#[derive(Debug)]
pub struct Ready {
    /// The socket, non-blocking.
    pub stream: TcpStream,
    /// TLS, if the URL asked for it.
    pub tls: Option<ClientConnection>,
    /// What came behind the handshake.
    pub leftover: Vec<u8>,
}

/// Why there is none.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The URL cannot be used.
    #[error("{url}: {source}")]
    Url {
        /// The URL.
        url: String,
        /// Its fault.
        source: UrlError,
    },
    /// The name leads nowhere.
    #[error("resolving {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// The system's words.
        reason: String,
    },
    /// No address answers; the last one's error.
    #[error("connecting to {address}: {source}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// TLS failed.
    #[error("TLS with {host}: {reason}")]
    Tls {
        /// The host.
        host: String,
        /// The library's words.
        reason: String,
    },
    /// Something other than 101.
    #[error("{host} answered HTTP {status}{text}")]
    Http {
        /// The host.
        host: String,
        /// The status.
        status: u16,
        /// Reason, waiting time and the beginning of the body, as far as given.
        text: String,
    },
    /// A 101 that is none.
    #[error("WebSocket handshake with {host}: {reason}")]
    Upgrade {
        /// The host.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// It took too long.
    #[error("time-out while {doing}")]
    TimedOut {
        /// What took too long.
        doing: &'static str,
    },
}

/// A blocking stream whose every operation ends by the deadline.
struct Deadline {
    stream: TcpStream,
    at: Instant,
}

impl Deadline {
    fn left(&self) -> io::Result<Duration> {
        let left = self.at.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Deadline {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl Write for Deadline {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

fn timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

/// Where a host's addresses come from.
pub type Resolve = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// The addresses of a host as the system's resolver knows them; it has no time-out of its own.
///
/// # Errors
/// The system's.
pub fn resolve_by_system(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok((host, port).to_socket_addrs()?.collect())
}

/// Opens a WebSocket.
///
/// # Errors
/// See [`ConnectError`].
pub fn open(url: &str, tls: Option<&Arc<ClientConfig>>, deadline: Instant) -> Result<Ready, ConnectError> {
    open_at(url, tls, &resolve_by_system, deadline)
}

/// As [`open`], at the addresses that `resolve` gives.
///
/// # Errors
/// See [`ConnectError`].
pub fn open_at(
    url: &str,
    tls: Option<&Arc<ClientConfig>>,
    resolve: &Resolve,
    deadline: Instant,
) -> Result<Ready, ConnectError> {
    let parsed = Url::parse(url).map_err(|source| ConnectError::Url { url: url.to_owned(), source })?;
    let stream = connect(&parsed, resolve, deadline)?;
    let mut stream = Deadline { stream, at: deadline };
    let mut session = None;
    if parsed.is_encrypted() {
        let failed = |reason: String| ConnectError::Tls { host: parsed.host.clone(), reason };
        let config = tls.ok_or_else(|| failed("no certificates were loaded".to_owned()))?;
        let name = ServerName::try_from(parsed.host.clone()).map_err(|error| failed(error.to_string()))?;
        let mut tls =
            ClientConnection::new(Arc::clone(config), name).map_err(|error| failed(error.to_string()))?;
        while tls.is_handshaking() {
            tls.complete_io(&mut stream).map_err(|error| match timed_out(&error) {
                true => ConnectError::TimedOut { doing: "waiting for the TLS handshake" },
                false => failed(error.to_string()),
            })?;
        }
        session = Some(tls);
    }
    let leftover = match &mut session {
        Some(tls) => upgrade(&parsed, &mut rustls::Stream::new(tls, &mut stream))?,
        None => upgrade(&parsed, &mut stream)?,
    };
    let stream = stream.stream;
    let settled = stream
        .set_read_timeout(None)
        .and_then(|()| stream.set_write_timeout(None))
        .and_then(|()| stream.set_nonblocking(true));
    settled
        .map_err(|error| ConnectError::Upgrade { host: parsed.host.clone(), reason: error.to_string() })?;
    Ok(Ready { stream, tls: session, leftover })
}

/// Connects to the first address that answers; each gets its share of the time.
fn connect(url: &Url, resolve: &Resolve, deadline: Instant) -> Result<TcpStream, ConnectError> {
    let unresolved = |reason: String| ConnectError::Resolve { host: url.host.clone(), reason };
    let addresses = resolve(&url.host, url.port).map_err(|error| unresolved(error.to_string()))?;
    let mut failure = unresolved("the name has no address".to_owned());
    for (index, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - index) as u32;
        if share.is_zero() {
            return Err(ConnectError::TimedOut { doing: "connecting" });
        }
        match TcpStream::connect_timeout(address, share) {
            Ok(stream) => {
                // Small frames must not wait for an acknowledgement.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(source) => failure = ConnectError::Connect { address: *address, source },
        }
    }
    Err(failure)
}

/// Does the HTTP upgrade; returns what came behind the answer.
fn upgrade(url: &Url, stream: &mut (impl Read + Write)) -> Result<Vec<u8>, ConnectError> {
    let refuse = |reason: String| ConnectError::Upgrade { host: url.host.clone(), reason };
    let failed = |error: io::Error| match timed_out(&error) {
        true => ConnectError::TimedOut { doing: "waiting for the WebSocket handshake" },
        false => refuse(error.to_string()),
    };
    let key = generate_key();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: slipstream/{}\r\n\r\n",
        url.path,
        url.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    stream.write_all(request.as_bytes()).and_then(|()| stream.flush()).map_err(failed)?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let bytes = stream.read(&mut chunk).map_err(failed)?;
        if bytes == 0 {
            return Err(refuse("the connection was closed before an answer".to_owned()));
        }
        answer.extend_from_slice(&chunk[..bytes]);
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        match response.parse(&answer).map_err(|error| refuse(format!("not HTTP: {error}")))? {
            httparse::Status::Complete(length) => {
                check(url, &response, &key, &answer[length..])?;
                return Ok(answer.split_off(length));
            }
            httparse::Status::Partial if answer.len() > HANDSHAKE_BYTES_MAX => {
                return Err(refuse("its header has no end".to_owned()));
            }
            httparse::Status::Partial => {}
        }
    }
}

/// RFC 6455, 4.1: what makes an answer a WebSocket.
fn check(
    url: &Url,
    response: &httparse::Response<'_, '_>,
    key: &str,
    body: &[u8],
) -> Result<(), ConnectError> {
    let header = |name: &str| {
        response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case(name))
            .map(|header| String::from_utf8_lossy(header.value).into_owned())
    };
    let status = response.code.unwrap_or(0);
    if status != 101 {
        let mut text = response.reason.map_or(String::new(), |reason| format!(" {reason}"));
        if let Some(seconds) = header("retry-after") {
            text.push_str(&format!(", retry after {seconds} s"));
        }
        if let Some(location) = header("location") {
            text.push_str(&format!(", which points to {location}"));
        }
        let body: String = String::from_utf8_lossy(body)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(120)
            .collect();
        if !body.trim().is_empty() {
            text.push_str(&format!(": {}", body.trim()));
        }
        return Err(ConnectError::Http { host: url.host.clone(), status, text });
    }
    let refuse =
        |reason: &str| Err(ConnectError::Upgrade { host: url.host.clone(), reason: reason.to_owned() });
    if !header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket")) {
        return refuse("no Upgrade: websocket in the answer");
    }
    let upgrade = |value: String| value.split(',').any(|part| part.trim().eq_ignore_ascii_case("upgrade"));
    if !header("connection").is_some_and(upgrade) {
        return refuse("no Connection: Upgrade in the answer");
    }
    if header("sec-websocket-accept") != Some(derive_accept_key(key.as_bytes())) {
        return refuse("the answer's Sec-WebSocket-Accept is wrong");
    }
    if header("sec-websocket-extensions").is_some_and(|value| !value.trim().is_empty()) {
        return refuse("the answer has an extension nobody asked for");
    }
    if header("sec-websocket-protocol").is_some() {
        return refuse("the answer has a subprotocol nobody asked for");
    }
    Ok(())
}
