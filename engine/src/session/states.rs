//! The state of every stream a session carries, told when it changes and only then.

use crate::publisher::Publisher;
use codec::record::NO_INSTRUMENT;
use codec::time::Now;
use codec::words::{Reason, State, Stream, Venue};

/// One stream's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamState {
    /// The state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    /// When data last came, monotonic ns; 0: never.
    pub data_mono_ns: u64,
}

impl StreamState {
    /// Wanted, with nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Warming, reason: Reason::Connecting, data_mono_ns: 0 }
    }

    /// Whether it is live.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Data came.
    #[inline]
    pub const fn touch(&mut self, now: Now) {
        self.data_mono_ns = now.mono_ns;
    }

    /// Age of the last data, ms; 0 when none came yet.
    #[must_use]
    pub const fn age_ms(&self, now: Now) -> u64 {
        if self.data_mono_ns == 0 { 0 } else { now.mono_ns.saturating_sub(self.data_mono_ns) / 1_000_000 }
    }

    /// Changes the state and tells it, if it changed.
    pub fn set(
        &mut self,
        publisher: &mut Publisher,
        (venue, instrument, stream): (Venue, u32, Stream),
        (state, reason): (State, Reason),
        now: Now,
    ) {
        if (self.state, self.reason) != (state, reason) {
            (self.state, self.reason) = (state, reason);
            publisher.status(venue, instrument, stream, (state, reason, self.age_ms(now)), now);
        }
    }

    /// Tells the state whether or not it changed: once, at the start.
    pub fn tell(&self, publisher: &mut Publisher, venue: Venue, instrument: u32, stream: Stream, now: Now) {
        publisher.status(venue, instrument, stream, (self.state, self.reason, self.age_ms(now)), now);
    }
}

impl Default for StreamState {
    fn default() -> Self {
        Self::new()
    }
}

/// A venue's connection as a whole.
#[derive(Debug)]
pub struct VenueState {
    venue: Venue,
    state: StreamState,
}

impl VenueState {
    /// Not connected yet.
    #[must_use]
    pub const fn new(venue: Venue) -> Self {
        Self { venue, state: StreamState::new() }
    }

    /// Changes the state and tells it, if it changed.
    pub fn set(&mut self, publisher: &mut Publisher, state: State, reason: Reason, now: Now) {
        self.state.set(publisher, (self.venue, NO_INSTRUMENT, Stream::Connection), (state, reason), now);
    }

    /// Data came on some connection.
    pub const fn touch(&mut self, now: Now) {
        self.state.touch(now);
    }

    /// Tells the state whether or not it changed: once, at the start.
    pub fn tell(&self, publisher: &mut Publisher, now: Now) {
        self.state.tell(publisher, self.venue, NO_INSTRUMENT, Stream::Connection, now);
    }
}
