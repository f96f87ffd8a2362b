//! The way of events out of a thread that must not wait.

use crate::event::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The way of events out of a thread that must not wait: what does not fit is counted.
pub struct EventSink {
    ring: rtrb::Producer<Event>,
    dropped: Arc<AtomicU64>,
}

impl EventSink {
    /// A sink into `ring`.
    #[must_use]
    pub fn new(ring: rtrb::Producer<Event>) -> Self {
        Self { ring, dropped: Arc::default() }
    }

    /// The number of events that did not fit, for whoever reads the ring.
    #[must_use]
    pub fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }

    /// Hands an event over.
    pub fn push(&mut self, event: Event) {
        if self.ring.push(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
