//! The driver's connections by (session, link), and which of them are ready to be read.

use crate::connection::Connection;
use crate::limits::LINKS_PER_VENUE_MAX;
use crate::session::{Generation, Link};
use mio::Token;
use mio::event::Event;
use std::collections::VecDeque;

/// One slot.
#[derive(Debug)]
pub(super) enum Slot {
    /// No connection, and none wanted.
    Free,
    /// The connector is at it.
    Connecting(Generation),
    /// Open.
    Open(Generation, Box<Connection>),
}

#[derive(Debug)]
struct Place {
    slot: Slot,
    /// On the ready list.
    queued: bool,
    writable: bool,
}

/// All slots. mio tells once that a socket is ready; it stays on the list here until it is dry.
#[derive(Debug)]
pub(super) struct Links {
    places: Vec<Place>,
    ready: VecDeque<u32>,
}

impl Links {
    pub fn new(seats: usize) -> Self {
        let places = seats * LINKS_PER_VENUE_MAX;
        let place = || Place { slot: Slot::Free, queued: false, writable: false };
        Self { places: (0..places).map(|_| place()).collect(), ready: VecDeque::with_capacity(places) }
    }

    fn index(seat: usize, link: Link) -> usize {
        debug_assert!(usize::from(link) < LINKS_PER_VENUE_MAX);
        seat * LINKS_PER_VENUE_MAX + usize::from(link)
    }

    pub fn token(seat: usize, link: Link) -> Token {
        Token(Self::index(seat, link))
    }

    fn place(&mut self, seat: usize, link: Link) -> Option<&mut Place> {
        if usize::from(link) >= LINKS_PER_VENUE_MAX {
            return None;
        }
        self.places.get_mut(Self::index(seat, link))
    }

    pub fn is_connecting(&mut self, seat: usize, link: Link, generation: Generation) -> bool {
        self.place(seat, link)
            .is_some_and(|place| matches!(place.slot, Slot::Connecting(current) if current == generation))
    }

    /// Notes that the connector is at it; returns what was there.
    pub fn connecting(&mut self, seat: usize, link: Link, generation: Generation) -> Slot {
        match self.place(seat, link) {
            Some(place) => std::mem::replace(&mut place.slot, Slot::Connecting(generation)),
            None => Slot::Free,
        }
    }

    /// A connection is open. It is ready at once: bytes may have come with the handshake.
    pub fn open(&mut self, seat: usize, link: Link, generation: Generation, connection: Connection) {
        if let Some(place) = self.place(seat, link) {
            place.slot = Slot::Open(generation, Box::new(connection));
            place.writable = false;
            self.ready_again(seat, link);
        }
    }

    /// Frees a slot; returns what was there.
    pub fn take(&mut self, seat: usize, link: Link) -> Slot {
        match self.place(seat, link) {
            Some(place) => std::mem::replace(&mut place.slot, Slot::Free),
            None => Slot::Free,
        }
    }

    pub fn connection(&mut self, seat: usize, link: Link) -> Option<&mut Connection> {
        match self.place(seat, link) {
            Some(Place { slot: Slot::Open(_, connection), .. }) => Some(connection),
            _ => None,
        }
    }

    /// Every open connection, out of its slot.
    pub fn drain(&mut self) -> impl Iterator<Item = (usize, Link, Connection)> + '_ {
        self.places.iter_mut().enumerate().filter_map(|(index, place)| {
            match std::mem::replace(&mut place.slot, Slot::Free) {
                Slot::Open(_, connection) => {
                    Some((index / LINKS_PER_VENUE_MAX, (index % LINKS_PER_VENUE_MAX) as Link, *connection))
                }
                _ => None,
            }
        })
    }

    /// Notes what the poll says. A late word about a connection that is gone costs one vain read at most.
    pub fn note(&mut self, event: &Event) {
        let index = event.token().0;
        let Some(place) = self.places.get_mut(index) else { return };
        if let Slot::Open(_, connection) = &mut place.slot
            && (event.is_read_closed() || event.is_error())
        {
            connection.note_read_closed();
        }
        place.writable |= event.is_writable();
        if !place.queued {
            place.queued = true;
            self.ready.push_back(index as u32);
        }
    }

    pub fn any_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    pub fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Takes the next place off the list.
    pub fn next_ready(&mut self) -> Option<(usize, Link)> {
        let index = self.ready.pop_front()? as usize;
        self.places[index].queued = false;
        Some((index / LINKS_PER_VENUE_MAX, (index % LINKS_PER_VENUE_MAX) as Link))
    }

    /// Puts a place (back) on the list.
    pub fn ready_again(&mut self, seat: usize, link: Link) {
        let index = Self::index(seat, link);
        if !self.places[index].queued {
            self.places[index].queued = true;
            self.ready.push_back(index as u32);
        }
    }

    /// Whether the socket has become writable since this was last asked.
    pub fn take_writable(&mut self, seat: usize, link: Link) -> bool {
        self.place(seat, link).is_some_and(|place| std::mem::take(&mut place.writable))
    }
}
