//! The driver's figures: relaxed counters with one writer.

use std::sync::atomic::{AtomicU64, Ordering};

/// Figures of the driver that any thread may read.
#[derive(Debug, Default)]
pub struct DriverCounters {
    /// Bytes read from the venues, as they came (encrypted, where they are).
    pub bytes_read: AtomicU64,
    /// Messages handed to sessions.
    pub messages: AtomicU64,
    /// Times reading stopped because a ring was nearly full.
    pub stalls: AtomicU64,
}

impl DriverCounters {
    /// One writer, so a load and a store do.
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }
}
