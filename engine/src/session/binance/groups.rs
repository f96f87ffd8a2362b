//! A group: streams that share a connection, and the two slots it is rotated over.
//!
//! ```text
//!                 link = 2 · group + side
//!   group ──▶ side 0  the connection whose loss and silence are told
//!        └──▶ side 1  its successor, only while it is made ready (see `rotation`)
//! ```
//! A stream has a fixed place in its group; each side knows by place how far it has come there.

use super::links::{Carried, LinkState, Route, StreamName};
use super::rotation::Rotation;
use crate::session::Link;
use crate::session::backoff::Backoff;

/// A stream's place in a group.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The stream.
    pub carried: Carried,
    /// The venue has refused it: left out until the next list of instruments.
    pub is_refused: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Group {
    /// Its address family.
    pub route: Route,
    /// Places; `None` is free.
    pub places: Vec<Option<Place>>,
    count: usize,
    /// Both slots.
    pub sides: [LinkState; 2],
    /// The one whose loss and silence are told.
    pub active: usize,
    /// When the other takes over, and how far that has come.
    pub rotation: Rotation,
    /// Failed rotations since the last good one.
    pub rotation_backoff: Backoff,
    /// Before this, single streams are no reason to make the connection anew.
    pub renew_not_before_mono_ns: u64,
    /// Whether the venue's state waits for it: it was there from the start, or has been open.
    pub counts: bool,
    /// Lost, or never made, and not open.
    pub is_lost: bool,
}

/// The group and side of a link.
#[inline]
pub const fn seat_of(link: Link) -> (usize, usize) {
    (link as usize / 2, link as usize % 2)
}

impl Group {
    /// The group at this place in the session, without streams.
    #[must_use]
    pub fn new(at: usize, route: Route, per_second: u64, backoff: &Backoff, rotation: Backoff) -> Self {
        let side = |side| LinkState::new((2 * at + side) as Link, per_second, backoff.clone());
        Self {
            route,
            places: Vec::new(),
            count: 0,
            sides: [side(0), side(1)],
            active: 0,
            rotation: Rotation::Idle,
            rotation_backoff: rotation,
            renew_not_before_mono_ns: 0,
            counts: false,
            is_lost: false,
        }
    }

    /// Streams carried.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether it carries none, and needs no connection.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it carries nothing of any symbol: then it needs no connection.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.carried().all(|(_, carried)| carried.name == StreamName::ContractInfo)
    }

    /// Carries nothing any more.
    pub fn clear(&mut self) {
        self.places.clear();
        self.count = 0;
        self.rotation = Rotation::Idle;
        (self.counts, self.is_lost) = (false, false);
    }

    /// The side whose loss and silence are told.
    #[must_use]
    pub const fn active(&self) -> &LinkState {
        &self.sides[self.active]
    }

    /// Whether two connections may deliver the same streams.
    #[must_use]
    #[inline]
    pub const fn is_overlapping(&self) -> bool {
        matches!(self.rotation, Rotation::Preparing { .. }) && self.sides[1 - self.active].life.is_open()
    }

    /// Each stream with its place.
    pub fn carried(&self) -> impl Iterator<Item = (u16, Carried)> + '_ {
        let places = self.places.iter().enumerate();
        places.filter_map(|(at, place)| place.as_ref().map(|place| (at as u16, place.carried)))
    }

    /// Places that are asked for on a new connection.
    pub fn wanted_places(&self) -> Vec<u16> {
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, place)| place.is_some_and(|place| !place.is_refused))
            .map(|(at, _)| at as u16)
            .collect()
    }

    /// Whether every stream that is not refused is acknowledged on this side.
    #[must_use]
    pub fn is_subscribed(&self, side: usize) -> bool {
        let link = &self.sides[side];
        link.is_settled()
            && self
                .places
                .iter()
                .enumerate()
                .all(|(at, place)| place.is_none_or(|place| place.is_refused) || link.is_acked(at as u16))
    }

    /// Whether it carries such a stream.
    #[must_use]
    pub fn has(&self, name: StreamName) -> bool {
        self.carried().any(|(_, carried)| carried.name == name)
    }

    /// Carries one more stream.
    pub fn add(&mut self, carried: Carried) {
        let place = Some(Place { carried, is_refused: false });
        let at = match self.places.iter().position(Option::is_none).filter(|_| self.count < self.places.len())
        {
            Some(free) => {
                self.places[free] = place;
                free
            }
            None => {
                self.places.push(place);
                self.places.len() - 1
            }
        };
        self.count += 1;
        self.sides.iter_mut().for_each(|side| side.add(at as u16));
    }

    /// Carries no stream of a symbol any more.
    pub fn remove_symbol(&mut self, symbol: usize, stream_prefixes: &[String]) {
        for at in 0..self.places.len() {
            let Some(Place { carried, .. }) = self.places[at] else { continue };
            if carried.name == StreamName::ContractInfo || carried.symbol != symbol {
                continue;
            }
            for side in &mut self.sides {
                side.remove(at as u16, carried.wire_name(stream_prefixes));
            }
            self.places[at] = None;
            self.count -= 1;
        }
    }

    /// Streams that were refused may be asked for again.
    pub fn forgive(&mut self) {
        for (at, place) in self.places.iter_mut().enumerate() {
            if let Some(place) = place
                && core::mem::take(&mut place.is_refused)
            {
                self.sides.iter_mut().for_each(|side| side.add(at as u16));
            }
        }
    }
}
