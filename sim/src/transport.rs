//! The faults of the transport at work, which whoever owns the connections obeys: the server, or a venue by hand.

use crate::faults::{Fault, RefuseHow, TlsHow};

/// What is wrong with TCP, TLS and the speed of bytes now.
#[derive(Default)]
pub struct Transport {
    refuse: Option<(RefuseHow, i64)>,
    tls: Option<(TlsHow, i64)>,
    drip: Option<(u64, i64)>,
    delay: Option<(i64, i64)>,
}

/// What has not ended yet.
fn lasting<T: Copy>(fault: Option<(T, i64)>, now_ms: i64) -> Option<T> {
    fault.filter(|(_, until_ms)| now_ms < *until_ms).map(|(what, _)| what)
}

impl Transport {
    /// Begins a lasting fault; the others change nothing here.
    pub fn begin(&mut self, fault: &Fault, now_ms: i64) {
        match fault {
            Fault::RefuseConnections { for_ms, how } => self.refuse = Some((*how, now_ms + for_ms)),
            Fault::TlsFailure { for_ms, how } => self.tls = Some((*how, now_ms + for_ms)),
            Fault::Drip { for_ms, bytes_per_s } => self.drip = Some((*bytes_per_s, now_ms + for_ms)),
            Fault::DelayRest { delay_ms, for_ms } => self.delay = Some((*delay_ms, now_ms + for_ms)),
            _ => {}
        }
    }

    /// How new connections are refused now.
    pub fn refuses(&self, now_ms: i64) -> Option<RefuseHow> {
        lasting(self.refuse, now_ms)
    }

    /// What is wrong with the TLS of new connections now.
    pub fn tls_failure(&self, now_ms: i64) -> Option<TlsHow> {
        lasting(self.tls, now_ms)
    }

    /// At how many bytes a second each connection is written to now.
    pub fn drip_bytes_per_s(&self, now_ms: i64) -> Option<u64> {
        lasting(self.drip, now_ms)
    }

    /// When the dripping ends or ended.
    pub fn drip_until_ms(&self) -> i64 {
        self.drip.map_or(i64::MIN, |(_, until_ms)| until_ms)
    }

    /// When an answer that is ready now may be sent.
    pub fn answer_at_ms(&self, now_ms: i64) -> i64 {
        now_ms + lasting(self.delay, now_ms).unwrap_or(0).max(0)
    }
}
