//! HTTP/1.1 as far as the venues' clients use it: requests with a length, answers with a length, keep-alive.

use crate::limits::{HTTP_BODY_BYTES_MAX, HTTP_HEAD_BYTES_MAX, HTTP_HEADERS_MAX};
use crate::protocol::{Request, Response, Target};

/// A request as far as the bytes go.
#[derive(Debug)]
pub enum Parsed {
    /// More bytes are needed.
    Incomplete,
    /// Not a request; answer with this status and end the connection.
    Bad(u16),
    /// A request, and how many bytes it took.
    Complete(Request, usize),
}

/// Reads one request from the front of the bytes.
pub fn parse(bytes: &[u8]) -> Parsed {
    let mut headers = [httparse::EMPTY_HEADER; HTTP_HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_bytes = match head.parse(bytes) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if bytes.len() > HTTP_HEAD_BYTES_MAX => return Parsed::Bad(431),
        Ok(httparse::Status::Partial) => return Parsed::Incomplete,
        Err(httparse::Error::TooManyHeaders) => return Parsed::Bad(431),
        Err(_) => return Parsed::Bad(400),
    };
    let headers: Vec<(String, String)> = head
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value).trim().to_owned();
            (header.name.to_ascii_lowercase(), value)
        })
        .collect();
    let mut request = Request {
        method: head.method.unwrap_or_default().to_owned(),
        target: Target::parse(head.path.unwrap_or_default()),
        headers,
        body: Vec::new(),
    };
    if request.header("transfer-encoding").is_some() {
        return Parsed::Bad(411);
    }
    let body_bytes = match request.header("content-length").map(str::parse::<usize>) {
        None => 0,
        Some(Ok(length)) => length,
        Some(Err(_)) => return Parsed::Bad(400),
    };
    if body_bytes > HTTP_BODY_BYTES_MAX {
        return Parsed::Bad(413);
    }
    let Some(body) = bytes.get(head_bytes..head_bytes + body_bytes) else { return Parsed::Incomplete };
    request.body = body.to_vec();
    Parsed::Complete(request, head_bytes + body_bytes)
}

/// Whether the client wants the connection kept.
pub fn keeps_alive(request: &Request) -> bool {
    !request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

/// The handshake key, if the request asks for a WebSocket.
pub fn websocket_key(request: &Request) -> Option<&str> {
    let upgrade = request.header("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    if upgrade && request.method == "GET" { request.header("sec-websocket-key") } else { None }
}

/// The answer to a WebSocket handshake.
pub fn switching_protocols(key: &str) -> Vec<u8> {
    let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
    .into_bytes()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        411 => "Length Required",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        418 => "I'm a teapot",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Other",
    }
}

/// An answer as bytes.
pub fn write(response: &Response, keep_alive: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", response.status, reason(response.status));
    for (name, value) in &response.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let connection = if keep_alive { "keep-alive" } else { "close" };
    head.push_str(&format!("Content-Length: {}\r\nConnection: {connection}\r\n\r\n", response.body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&response.body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_whole_or_not_at_all() {
        let bytes =
            b"POST /info?x=1 HTTP/1.1\r\nContent-Length: 3\r\nContent-Type: application/json\r\n\r\nabcGET";
        for cut in 0..bytes.len() - 3 {
            assert!(matches!(parse(&bytes[..cut]), Parsed::Incomplete), "{cut}");
        }
        let Parsed::Complete(request, used) = parse(bytes) else { panic!("a whole request") };
        assert_eq!(
            (request.method.as_str(), request.target.path.as_str(), used),
            ("POST", "/info", bytes.len() - 3)
        );
        assert_eq!(request.body, b"abc");
        assert!(keeps_alive(&request));
    }

    #[test]
    fn bad_and_oversized_requests_are_refused() {
        assert!(matches!(parse(b"\x16\x03\x01 hello"), Parsed::Bad(400)));
        assert!(matches!(parse(b"POST / HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n"), Parsed::Bad(413)));
        assert!(matches!(parse(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), Parsed::Bad(411)));
        let long = format!("GET /{} HTTP/1.1", "x".repeat(HTTP_HEAD_BYTES_MAX));
        assert!(matches!(parse(long.as_bytes()), Parsed::Bad(431)));
    }
}
