//! What a stream is worth right now, and for how long it has had no data.

use codec::protocol::message::StatusView;
use codec::record::StatusBody;
use codec::time::Now;
use codec::words::{Reason, State, Stream};

/// One more than the largest stream number: arrays of streams are indexed by it.
pub const STREAMS: usize = Stream::ALL.len() + 1;

/// The state of one stream as it was last told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// The state.
    pub state: State,
    /// Why.
    pub reason: Reason,
    age_ms: u64,
    told_wall_ns: u64,
    data_wall_ns: u64,
}

impl StreamStatus {
    /// A state that nobody has told yet.
    #[must_use]
    pub const fn new(state: State, reason: Reason) -> Self {
        Self { state, reason, age_ms: 0, told_wall_ns: 0, data_wall_ns: 0 }
    }

    /// Whether it is live.
    #[must_use]
    #[inline]
    pub const fn is_live(&self) -> bool {
        matches!(self.state, State::Live)
    }

    /// Takes what a status record says.
    pub fn tell(&mut self, body: &StatusBody, now: Now) {
        self.state = body.state().unwrap_or(State::Down);
        self.reason = body.reason().unwrap_or(Reason::None);
        self.age_ms = body.age_ms;
        self.told_wall_ns = now.wall_ns;
    }

    /// Data came.
    #[inline]
    pub const fn touch(&mut self, recv_ns: u64) {
        self.data_wall_ns = recv_ns;
    }

    /// Age of the last data, ms; where none came, of what was told.
    #[must_use]
    pub const fn age_ms(&self, now: Now) -> u64 {
        if self.data_wall_ns > 0 {
            now.wall_ns.saturating_sub(self.data_wall_ns) / 1_000_000
        } else if self.told_wall_ns > 0 {
            self.age_ms + now.wall_ns.saturating_sub(self.told_wall_ns) / 1_000_000
        } else {
            0
        }
    }

    /// As a `status` says it.
    #[must_use]
    pub const fn view(&self, stream: Stream, now: Now) -> StatusView {
        StatusView { stream, state: self.state, reason: self.reason, age_ms: self.age_ms(now) }
    }
}
