//! The replica: what the records say, held for queries and for whoever subscribes next.
//!
//! Applying a record changes the replica and says what clients have to be told; it tells nobody itself.

pub mod book;
pub mod candle_row;
pub mod candles;
pub mod history;
pub mod instrument;
pub mod state;

use crate::config::{CoreConfig, Retention, VenueConfig};
use crate::limits::INSTRUMENTS_MAX;
use crate::topic::Slot;
use codec::protocol::message::Names;
use codec::record::{NO_INSTRUMENT, Record};
use codec::words::{Reason, State, Stream, Venue};
use instrument::Instrument;
use state::{STREAMS, StreamStatus};
use std::collections::HashMap;

/// A venue that is switched on.
#[derive(Debug)]
pub struct VenueReplica {
    /// Its configuration.
    pub config: VenueConfig,
    /// Its name as the head of data maps, without a symbol.
    pub names: Names,
    /// States that concern it as a whole: its connection, the account's fills.
    pub streams: [StreamStatus; STREAMS],
    /// Its instruments, sorted by symbol.
    pub sorted: Vec<Slot>,
    /// Whether the venue has told any instrument yet.
    pub has_instruments: bool,
    /// Whether its connection was ever live.
    pub was_live: bool,
}

/// How far the candles of the past have loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CandleTotals {
    /// Series whose history has come.
    pub loaded: u64,
    /// Series that are carried: symbols times intervals.
    pub total: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Replica {
    retention: Retention,
    instruments: Vec<Instrument>,
    venues: Vec<VenueReplica>,
    by_symbol: HashMap<(Venue, Box<str>), Slot>,
    by_record_id: Vec<Slot>,
    /// The journal's state.
    pub recorder: StreamStatus,
}

const NO_SLOT: Slot = Slot::MAX;

impl Replica {
    /// An empty replica, with a slot for every symbol the configuration names.
    #[must_use]
    pub fn new(config: &CoreConfig) -> Self {
        let mut replica = Self {
            retention: config.retention,
            instruments: Vec::new(),
            venues: config
                .venues
                .iter()
                .map(|venue| VenueReplica {
                    config: venue.clone(),
                    names: Names::new(Some(venue.venue), None),
                    streams: [StreamStatus::new(State::Warming, Reason::Connecting); STREAMS],
                    sorted: Vec::new(),
                    has_instruments: false,
                    was_live: false,
                })
                .collect(),
            by_symbol: HashMap::new(),
            by_record_id: Vec::new(),
            recorder: if config.recorder {
                StreamStatus::new(State::Live, Reason::None)
            } else {
                StreamStatus::new(State::Down, Reason::NotConfigured)
            },
        };
        for venue in &config.venues {
            for symbol in &venue.symbols {
                replica.slot_of(venue.venue, symbol);
            }
        }
        replica
    }

    /// How much is kept.
    #[must_use]
    pub const fn retention(&self) -> &Retention {
        &self.retention
    }

    /// An instrument.
    #[must_use]
    #[inline]
    pub fn instrument(&self, slot: Slot) -> &Instrument {
        &self.instruments[slot as usize]
    }

    /// An instrument.
    #[inline]
    pub fn instrument_mut(&mut self, slot: Slot) -> &mut Instrument {
        &mut self.instruments[slot as usize]
    }

    /// Instruments, in order of slot.
    #[must_use]
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Venues, in order of configuration.
    #[must_use]
    pub fn venues(&self) -> &[VenueReplica] {
        &self.venues
    }

    /// A venue, if it is switched on.
    #[must_use]
    pub fn venue(&self, venue: Venue) -> Option<&VenueReplica> {
        self.venues.iter().find(|replica| replica.config.venue == venue)
    }

    /// A venue, if it is switched on.
    pub fn venue_mut(&mut self, venue: Venue) -> Option<&mut VenueReplica> {
        self.venues.iter_mut().find(|replica| replica.config.venue == venue)
    }

    /// The slot of a symbol.
    #[must_use]
    pub fn find(&self, venue: Venue, symbol: &str) -> Option<Slot> {
        // A key borrowed from parts would need a type of its own; queries can afford the copy.
        self.by_symbol.get(&(venue, Box::from(symbol))).copied()
    }

    /// The slot of a record's instrument.
    #[must_use]
    #[inline]
    pub fn slot(&self, record_id: u32) -> Option<Slot> {
        self.by_record_id.get(record_id as usize).copied().filter(|&slot| slot != NO_SLOT)
    }

    fn slot_of(&mut self, venue: Venue, symbol: &str) -> Option<Slot> {
        if let Some(slot) = self.find(venue, symbol) {
            return Some(slot);
        }
        if self.instruments.len() >= INSTRUMENTS_MAX {
            return None;
        }
        let slot = self.instruments.len() as Slot;
        let replica = self.venues.iter_mut().find(|replica| replica.config.venue == venue)?;
        let instruments = &self.instruments;
        let at = replica.sorted.partition_point(|&other| &*instruments[other as usize].symbol < symbol);
        replica.sorted.insert(at, slot);
        self.instruments.push(Instrument::new(venue, symbol, &replica.config, &self.retention));
        self.by_symbol.insert((venue, Box::from(symbol)), slot);
        Some(slot)
    }

    /// Takes an instrument record. Its slot, and whether that is new.
    pub fn define(&mut self, record: Record<'_>) -> Option<(Slot, bool)> {
        let header = record.header();
        let (body, venue) = (record.instrument()?, header.venue()?);
        let id = header.instrument;
        if id == NO_INSTRUMENT || id as usize >= INSTRUMENTS_MAX {
            return None;
        }
        let before = self.instruments.len();
        let slot = self.slot_of(venue, body.symbol())?;
        if self.by_record_id.len() <= id as usize {
            self.by_record_id.resize(id as usize + 1, NO_SLOT);
        }
        self.by_record_id[id as usize] = slot;
        if let Some(replica) = self.venue_mut(venue) {
            replica.has_instruments = true;
        }
        self.instruments[slot as usize].define(id, body, record.bytes());
        Some((slot, self.instruments.len() > before))
    }

    /// How many candle series of a venue there are, and how many of them can be served.
    #[must_use]
    pub fn candle_totals(&self, venue: &VenueReplica) -> CandleTotals {
        let carried = venue.sorted.iter().map(|&slot| self.instrument(slot)).filter(|one| one.is_carried());
        let mut totals = CandleTotals::default();
        for instrument in carried {
            totals.total += instrument.candles.len() as u64;
            totals.loaded += instrument.candles.iter().filter(|series| series.is_ready()).count() as u64;
        }
        totals
    }

    /// Current status of a stream of an instrument, of a venue (no slot), or of the recorder.
    #[must_use]
    pub fn venue_status(&self, venue: Venue, stream: Stream) -> Option<&StreamStatus> {
        self.venue(venue).map(|replica| &replica.streams[stream.number() as usize])
    }
}
