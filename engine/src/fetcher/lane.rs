//! One client of the fetcher: its ring of requests, and the ring its answers return by.

use crate::fetch::{FetchRequest, Fetched};
use std::collections::VecDeque;

/// The two rings of a client.
#[derive(Debug)]
pub struct Lane {
    /// What it asks.
    pub requests: rtrb::Consumer<FetchRequest>,
    /// What it is answered.
    pub answers: rtrb::Producer<Fetched>,
}

/// A lane, and the answers its ring had no room for yet.
pub(super) struct LaneState {
    lane: Lane,
    held: VecDeque<Fetched>,
}

impl LaneState {
    pub fn new(lane: Lane) -> Self {
        Self { lane, held: VecDeque::new() }
    }

    /// Hands an answer back, behind those that wait.
    pub fn answer(&mut self, fetched: Fetched) {
        if !self.held.is_empty() {
            self.held.push_back(fetched);
        } else if let Err(rtrb::PushError::Full(fetched)) = self.lane.answers.push(fetched) {
            self.held.push_back(fetched);
        }
    }

    /// Hands back what waits, as far as there is room; returns how many went.
    pub fn flush(&mut self) -> usize {
        let mut work = 0;
        while let Some(fetched) = self.held.pop_front() {
            if let Err(rtrb::PushError::Full(fetched)) = self.lane.answers.push(fetched) {
                self.held.push_front(fetched);
                break;
            }
            work += 1;
        }
        work
    }

    /// The next request; none from a client that is far behind with its answers, so that what waits here is
    /// never more than what had been asked by then.
    pub fn next(&mut self) -> Option<FetchRequest> {
        if self.held.is_empty() { self.lane.requests.pop().ok() } else { None }
    }
}
