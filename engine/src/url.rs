//! URLs as far as this daemon needs them: scheme, host, port, path.

use std::net::IpAddr;
use thiserror::Error;

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// No `://`, or a scheme we do not speak.
    #[error("it must begin with ws://, wss://, http:// or https://")]
    Scheme,
    /// Nothing where the host should be, or something no host has.
    #[error("it has no valid host")]
    Host,
    /// Not a number from 1 to 65535.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// User names and passwords are not spoken.
    #[error("it must not hold a user name or password")]
    UserInfo,
    /// A fragment, a space, a control or non-ASCII character.
    #[error("it holds a character that must be percent-encoded")]
    Character,
}

/// A parsed URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Lower case: `ws`, `wss`, `http` or `https`.
    pub scheme: &'static str,
    /// Host name or address, IPv6 without its brackets.
    pub host: String,
    /// Port, the scheme's own where none is written.
    pub port: u16,
    /// Path and query, `/` at least.
    pub path: String,
    port_written: bool,
}

impl Url {
    /// Reads one.
    ///
    /// # Errors
    /// See [`UrlError`].
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let (scheme, default_port) = match scheme.to_ascii_lowercase().as_str() {
            "ws" => ("ws", 80),
            "wss" => ("wss", 443),
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(UrlError::Scheme),
        };
        if rest.bytes().any(|byte| byte == b'#' || !byte.is_ascii_graphic()) {
            return Err(UrlError::Character);
        }
        let split = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = if let Some(bracketed) = authority.strip_prefix('[') {
            let (host, after) = bracketed.split_once(']').ok_or(UrlError::Host)?;
            host.parse::<std::net::Ipv6Addr>().map_err(|_| UrlError::Host)?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(UrlError::Host)?),
            };
            (host, port)
        } else {
            match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        if host.is_empty() || !(host.bytes().all(named) || host.contains(':')) {
            return Err(UrlError::Host);
        }
        let number = match port {
            None => default_port,
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().ok().filter(|&port| port != 0).ok_or(UrlError::Port)?
            }
            Some(_) => return Err(UrlError::Port),
        };
        let path = match path.as_bytes().first() {
            None => "/".to_owned(),
            Some(b'?') => format!("/{path}"),
            Some(_) => path.to_owned(),
        };
        Ok(Self { scheme, host: host.to_ascii_lowercase(), port: number, path, port_written: port.is_some() })
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self.scheme, "wss" | "https")
    }

    /// Whether the host is this machine by its own name or address.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Host and port as the `Host` header wants them.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port_written { format!("{host}:{}", self.port) } else { host }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_urls_are_taken_apart() {
        let url = Url::parse("wss://fstream.binance.com/public/stream?x=1").unwrap();
        assert_eq!(
            (url.host.as_str(), url.port, url.path.as_str()),
            ("fstream.binance.com", 443, "/public/stream?x=1")
        );
        assert!(url.is_encrypted() && !url.is_loopback());
        assert_eq!(url.authority(), "fstream.binance.com");
        let url = Url::parse("WS://127.0.0.1:8080").unwrap();
        assert_eq!((url.scheme, url.port, url.path.as_str()), ("ws", 8080, "/"));
        assert!(url.is_loopback() && !url.is_encrypted());
        let url = Url::parse("https://[::1]:9?a").unwrap();
        assert_eq!(
            (url.host.as_str(), url.path.as_str(), url.authority().as_str()),
            ("::1", "/?a", "[::1]:9")
        );
        assert!(url.is_loopback());
    }

    #[test]
    fn broken_urls_are_refused_for_their_fault() {
        for (text, fault) in [
            ("", UrlError::Scheme),
            ("fstream.binance.com", UrlError::Scheme),
            ("ftp://a", UrlError::Scheme),
            ("wss://", UrlError::Host),
            ("wss:///ws", UrlError::Host),
            ("wss://a_b!", UrlError::Host),
            ("wss://[::1", UrlError::Host),
            ("wss://[nonsense]", UrlError::Host),
            ("wss://a:", UrlError::Port),
            ("wss://a:0", UrlError::Port),
            ("wss://a:+80", UrlError::Port),
            ("wss://a:70000", UrlError::Port),
            ("wss://me:secret@a", UrlError::UserInfo),
            ("wss://a/b c", UrlError::Character),
            ("wss://a/b\r\nX: y", UrlError::Character),
            ("wss://a/#top", UrlError::Character),
        ] {
            assert_eq!(Url::parse(text), Err(fault), "{text}");
        }
    }
}
