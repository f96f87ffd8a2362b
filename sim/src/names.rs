//! A name service that can fail, for clients that take a resolver of their own.

use crate::server::wall_ms;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Looks a venue's names up; `localhost` is the only one there is.
#[derive(Clone, Debug)]
pub struct Names {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    fails_until_ms: AtomicI64,
    failed: AtomicU64,
}

impl Names {
    /// The names of whoever listens on this port.
    pub fn new(port: u16) -> Self {
        Self { port, shared: Arc::default() }
    }

    /// The addresses of a host now.
    ///
    /// While a `dns_failure` lasts the error is that of a name server that does not answer; a host that does not
    /// exist is [`io::ErrorKind::NotFound`].
    pub fn lookup(&self, host: &str) -> io::Result<Vec<SocketAddr>> {
        self.lookup_at(host, wall_ms())
    }

    /// The same at a moment, for virtual time.
    pub fn lookup_at(&self, host: &str, now_ms: i64) -> io::Result<Vec<SocketAddr>> {
        if now_ms < self.shared.fails_until_ms.load(Ordering::Acquire) {
            self.shared.failed.fetch_add(1, Ordering::Relaxed);
            return Err(io::Error::other("Temporary failure in name resolution"));
        }
        match host {
            "localhost" | "127.0.0.1" => Ok(vec![SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))]),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "Name or service not known")),
        }
    }

    /// Look-ups that failed for a fault so far.
    pub fn failed(&self) -> u64 {
        self.shared.failed.load(Ordering::Relaxed)
    }

    pub(crate) fn fail_until(&self, until_ms: i64) {
        self.shared.fails_until_ms.store(until_ms, Ordering::Release);
    }
}
