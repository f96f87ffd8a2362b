//! A small HTTP server for whoever watches the daemon: `GET` of a few paths, nothing kept open.
//!
//! ```text
//!   accept ──▶ reading, up to an empty line ──▶ writing the answer ──▶ closed
//!                 │ too long, too late, no HTTP: an answer that says so, or none
//! ```
//! It never blocks and belongs to the ops thread; each limit is in [`crate::limits`]. A port that cannot be
//! had does not stop the daemon: it is asked for again.

use crate::limits::{HTTP_CLIENTS_MAX, HTTP_REQUEST_BYTES_MAX, HTTP_RETRY_MS, HTTP_TIMEOUT_MS};
use codec::time::Now;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Its media type.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Response {
    /// A line of plain text.
    #[must_use]
    pub fn plain(status: u16, text: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", body: format!("{text}\n") }
    }

    fn bytes(&self, with_body: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            431 => "Request Header Fields Too Large",
            503 => "Service Unavailable",
            _ => "",
        };
        let allow = if self.status == 405 { "Allow: GET, HEAD\r\n" } else { "" };
        let mut text = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len()
        );
        if with_body {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

struct Client {
    stream: TcpStream,
    since_mono_ns: u64,
    request: Vec<u8>,
    /// The answer and how much of it is written.
    answer: Option<(Vec<u8>, usize)>,
}

/// What a step of a client has come to.
enum Step {
    Waits,
    Moved,
    Over,
}

/// See the module.
pub struct HttpServer {
    address: SocketAddr,
    listener: Option<TcpListener>,
    retry_at_mono_ns: u64,
    told: bool,
    clients: Vec<Client>,
}

/// What the server has to say of itself.
#[derive(Debug)]
pub enum Notice {
    /// It serves at this address.
    Serving(SocketAddr),
    /// It cannot; told once until it can.
    CannotBind(SocketAddr, std::io::Error),
}

impl HttpServer {
    /// A server that begins to listen with its first turn. Port 0: any free one.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, listener: None, retry_at_mono_ns: 0, told: false, clients: Vec::new() }
    }

    /// Does what there is to do. `answer` is asked for what a path holds; `None`: nothing.
    pub fn turn(
        &mut self,
        now: Now,
        notice: impl FnOnce(Notice),
        mut answer: impl FnMut(&str) -> Option<Response>,
    ) -> usize {
        self.listen(now, notice);
        let mut work = self.accept(now);
        self.clients.retain_mut(|client| {
            if now.mono_ns.saturating_sub(client.since_mono_ns) > HTTP_TIMEOUT_MS * 1_000_000 {
                return false;
            }
            loop {
                match client.step(&mut answer) {
                    Step::Waits => return true,
                    Step::Moved => work += 1,
                    Step::Over => {
                        work += 1;
                        return false;
                    }
                }
            }
        });
        work
    }

    fn listen(&mut self, now: Now, notice: impl FnOnce(Notice)) {
        if self.listener.is_some() || now.mono_ns < self.retry_at_mono_ns {
            return;
        }
        let bound = TcpListener::bind(self.address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok((listener, address))
        });
        match bound {
            Ok((listener, address)) => {
                self.listener = Some(listener);
                self.told = false;
                notice(Notice::Serving(address));
            }
            Err(error) => {
                self.retry_at_mono_ns = now.after_ms(HTTP_RETRY_MS);
                if !self.told {
                    self.told = true;
                    notice(Notice::CannotBind(self.address, error));
                }
            }
        }
    }

    fn accept(&mut self, now: Now) -> usize {
        let mut accepted = 0;
        // Beyond the limit they wait in the kernel's queue, until one here is answered or timed out.
        while self.clients.len() < HTTP_CLIENTS_MAX
            && let Some(Ok((stream, _))) = self.listener.as_ref().map(TcpListener::accept)
        {
            accepted += 1;
            if stream.set_nonblocking(true).is_ok() {
                let client = Client { stream, since_mono_ns: now.mono_ns, request: Vec::new(), answer: None };
                self.clients.push(client);
            }
        }
        accepted
    }
}

impl Client {
    fn step(&mut self, answer: &mut impl FnMut(&str) -> Option<Response>) -> Step {
        let Some((bytes, written)) = &mut self.answer else { return self.read(answer) };
        match self.stream.write(&bytes[*written..]) {
            Ok(0) => Step::Over,
            Ok(more) => {
                *written += more;
                if *written < bytes.len() {
                    return Step::Moved;
                }
                let _ = self.stream.shutdown(Shutdown::Write);
                Step::Over
            }
            Err(error) if is_transient(&error) => Step::Waits,
            Err(_) => Step::Over,
        }
    }

    fn read(&mut self, answer: &mut impl FnMut(&str) -> Option<Response>) -> Step {
        let mut buffer = [0; 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => Step::Over,
            Ok(more) => {
                self.request.extend_from_slice(&buffer[..more]);
                self.answer = respond(&self.request, answer).map(|bytes| (bytes, 0));
                Step::Moved
            }
            Err(error) if is_transient(&error) => Step::Waits,
            Err(_) => Step::Over,
        }
    }
}

fn is_transient(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// The answer to what has come of a request; `None`: more has to come.
fn respond(request: &[u8], answer: &mut impl FnMut(&str) -> Option<Response>) -> Option<Vec<u8>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Request::new(&mut headers);
    let response = match parsed.parse(request) {
        Ok(httparse::Status::Complete(_)) => {
            let path = parsed.path.unwrap_or("").split('?').next().unwrap_or("");
            match parsed.method {
                Some("GET" | "HEAD") => {
                    answer(path).unwrap_or_else(|| Response::plain(404, "there is /metrics"))
                }
                _ => Response::plain(405, "only GET and HEAD"),
            }
        }
        Ok(httparse::Status::Partial) if request.len() < HTTP_REQUEST_BYTES_MAX => return None,
        Ok(httparse::Status::Partial) => Response::plain(431, "the request is too long"),
        Err(error) => Response::plain(400, &format!("not HTTP/1.1: {error}")),
    };
    Some(response.bytes(parsed.method != Some("HEAD")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn bound() -> (HttpServer, SocketAddr) {
        let mut server = HttpServer::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut address = None;
        server.turn(
            Now::default(),
            |notice| match notice {
                Notice::Serving(at) => address = Some(at),
                Notice::CannotBind(..) => {}
            },
            |_| None,
        );
        (server, address.unwrap())
    }

    fn page(path: &str) -> Option<Response> {
        (path == "/metrics").then(|| Response::plain(200, &"x".repeat(100_000)))
    }

    /// Turns until the client has heard the end.
    fn ask(server: &mut HttpServer, address: SocketAddr, request: &[u8]) -> String {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(request).unwrap();
        client.set_nonblocking(true).unwrap();
        let mut heard = Vec::new();
        let begun = std::time::Instant::now();
        loop {
            server.turn(Now::default(), |_| {}, page);
            match client.read_to_end(&mut heard) {
                Ok(_) => return String::from_utf8(heard).unwrap(),
                Err(error) if is_transient(&error) => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
            assert!(begun.elapsed().as_secs() < 60, "no end of {}", String::from_utf8_lossy(&heard));
        }
    }

    #[test]
    fn answers_what_is_asked_and_refuses_the_rest() {
        let (mut server, address) = bound();
        let answer = ask(&mut server, address, b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains("Content-Length: 100001"), "{head}");
        assert_eq!(body.len(), 100_001);
        let head = ask(&mut server, address, b"HEAD /metrics HTTP/1.1\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
        for (request, status) in [
            (&b"GET /other HTTP/1.1\r\n\r\n"[..], "404"),
            (b"POST /metrics HTTP/1.1\r\n\r\n", "405"),
            (b"\x16\x03\x01 no HTTP\r\n\r\n", "400"),
        ] {
            let answer = ask(&mut server, address, request);
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        }
        let long = [b"GET / HTTP/1.1\r\nX: ", "y".repeat(HTTP_REQUEST_BYTES_MAX).as_bytes()].concat();
        assert!(ask(&mut server, address, &long).starts_with("HTTP/1.1 431 "));
        assert!(server.clients.is_empty());
    }

    #[test]
    fn whoever_says_nothing_is_sent_away_and_makes_room() {
        let (mut server, address) = bound();
        let silent: Vec<_> =
            (0..HTTP_CLIENTS_MAX + 1).map(|_| TcpStream::connect(address).unwrap()).collect();
        let begun = std::time::Instant::now();
        while server.clients.len() < HTTP_CLIENTS_MAX {
            server.turn(Now::default(), |_| {}, page);
            assert!(begun.elapsed().as_secs() < 60);
        }
        server.turn(Now::default(), |_| {}, page);
        assert_eq!(server.clients.len(), HTTP_CLIENTS_MAX, "one waits outside");
        let late = Now { mono_ns: (HTTP_TIMEOUT_MS + 1) * 1_000_000, ..Now::default() };
        while server.clients.len() != 1 {
            server.turn(late, |_| {}, page);
            assert!(begun.elapsed().as_secs() < 60);
        }
        drop(silent);
    }

    #[test]
    fn a_port_that_is_taken_is_told_once_and_asked_for_again() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut server = HttpServer::new(taken.local_addr().unwrap());
        let mut told = Vec::new();
        let mut turn = |server: &mut HttpServer, ms: u64| {
            let now = Now { mono_ns: ms * 1_000_000, ..Now::default() };
            server.turn(now, |notice| told.push(matches!(notice, Notice::Serving(_))), page);
        };
        turn(&mut server, 0);
        turn(&mut server, HTTP_RETRY_MS + 1);
        drop(taken);
        turn(&mut server, HTTP_RETRY_MS + 2);
        turn(&mut server, 3 * HTTP_RETRY_MS);
        assert_eq!(told, [false, true]);
    }
}
