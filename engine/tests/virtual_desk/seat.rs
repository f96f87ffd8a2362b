//! One venue of the desk: the simulated venue, our session before it, the wires between them.

use super::rest::Rest;
use super::weather::Weather;
use codec::words::Venue;
use engine::frame::FrameReader;
use engine::limits::FRAME_BYTES_MAX;
use engine::session::{CloseCause, Generation, Link, Session};
use sim::protocol::{ControlFrame, Protocol, Request};
use sim::{ByHand, Counters, Fault, Heard, MarketHandle, NewFill, NotOpened, SimError, TruthCandle};
use std::collections::{BTreeMap, VecDeque};

/// A venue driven by hand, whichever it is.
pub trait HandVenue: Send {
    fn pass_to(&mut self, now_ms: i64);
    fn next_heard(&mut self) -> Option<Heard>;
    fn now_ms(&self) -> i64;
    fn open(&mut self, path: &str) -> Result<u64, NotOpened>;
    fn say(&mut self, connection: u64, text: &str) -> bool;
    fn send_control(&mut self, connection: u64, frame: ControlFrame) -> bool;
    fn close(&mut self, connection: u64);
    fn request(&mut self, request: &Request) -> u64;
    fn get(&mut self, target: &str) -> u64;
    fn post(&mut self, target: &str, body: &str) -> u64;
    fn fault(&mut self, fault: &Fault) -> Result<(), SimError>;
    fn counters(&self) -> Counters;
    fn market(&self) -> &MarketHandle;
    fn add_fill(&self, symbol: &str, fill: NewFill) -> Result<(), SimError>;
    fn candles(
        &self,
        symbol: &str,
        interval: &str,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<TruthCandle>, SimError>;
}

impl<P: Protocol> HandVenue for ByHand<P> {
    fn pass_to(&mut self, now_ms: i64) {
        ByHand::pass_to(self, now_ms);
    }
    fn next_heard(&mut self) -> Option<Heard> {
        ByHand::next_heard(self)
    }
    fn now_ms(&self) -> i64 {
        ByHand::now_ms(self)
    }
    fn open(&mut self, path: &str) -> Result<u64, NotOpened> {
        ByHand::open(self, path)
    }
    fn say(&mut self, connection: u64, text: &str) -> bool {
        ByHand::say(self, connection, text)
    }
    fn send_control(&mut self, connection: u64, frame: ControlFrame) -> bool {
        ByHand::send_control(self, connection, frame)
    }
    fn close(&mut self, connection: u64) {
        ByHand::close(self, connection);
    }
    fn request(&mut self, request: &Request) -> u64 {
        ByHand::request(self, request)
    }
    fn get(&mut self, target: &str) -> u64 {
        ByHand::get(self, target)
    }
    fn post(&mut self, target: &str, body: &str) -> u64 {
        ByHand::post(self, target, body)
    }
    fn fault(&mut self, fault: &Fault) -> Result<(), SimError> {
        ByHand::fault(self, fault)
    }
    fn counters(&self) -> Counters {
        ByHand::counters(self)
    }
    fn market(&self) -> &MarketHandle {
        ByHand::market(self)
    }
    fn add_fill(&self, symbol: &str, fill: NewFill) -> Result<(), SimError> {
        ByHand::add_fill(self, symbol, fill)
    }
    fn candles(
        &self,
        symbol: &str,
        interval: &str,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<TruthCandle>, SimError> {
        ByHand::candles(self, symbol, interval, from_ms, before_ms)
    }
}

/// What arrives at our end of a connection.
pub enum Arrival {
    Bytes(Vec<u8>),
    End(CloseCause),
}

/// A connection: what is on its way to us, and the reader of what has come.
pub struct Wire {
    pub reader: FrameReader,
    arriving: VecDeque<(u64, Arrival)>,
    last_due_ms: u64,
}

impl Wire {
    fn new() -> Self {
        Self { reader: FrameReader::new(FRAME_BYTES_MAX, &[]), arriving: VecDeque::new(), last_due_ms: 0 }
    }

    /// Nothing overtakes what was sent before it.
    fn push(&mut self, due_ms: u64, arrival: Arrival) {
        self.last_due_ms = self.last_due_ms.max(due_ms);
        self.arriving.push_back((self.last_due_ms, arrival));
    }

    /// Sends a frame; whole, or cut somewhere.
    pub fn send(&mut self, now_ms: u64, bytes: Vec<u8>, weather: &mut Weather) {
        let mut rest = bytes;
        while rest.len() > 1 && weather.strikes(weather.split_per_mille) {
            let cut = 1 + weather.below(rest.len() as u64 - 1) as usize;
            let after = rest.split_off(cut);
            let due_ms = now_ms + weather.draw(weather.message_ms);
            self.push(due_ms, Arrival::Bytes(rest));
            rest = after;
        }
        let due_ms = now_ms + weather.draw(weather.message_ms);
        self.push(due_ms, Arrival::Bytes(rest));
    }

    pub fn end(&mut self, now_ms: u64, cause: CloseCause) {
        self.push(now_ms, Arrival::End(cause));
    }

    pub fn take(&mut self, now_ms: u64) -> Option<Arrival> {
        let due = self.arriving.front().is_some_and(|(due_ms, _)| *due_ms <= now_ms);
        if due { self.arriving.pop_front().map(|(_, arrival)| arrival) } else { None }
    }
}

/// A server's frame: final, unmasked.
pub fn server_frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    bytes.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
    bytes
}

const PONG: u8 = 10;

/// A link of the session, as the driver keeps it.
pub enum Slot {
    Connecting(Generation),
    Open(Generation, u64),
}

/// A connection being made.
struct Dial {
    due_ms: u64,
    link: Link,
    generation: Generation,
    path: String,
}

/// A connection that was made, or was not.
pub struct Dialled {
    pub link: Link,
    pub generation: Generation,
    pub outcome: Result<u64, String>,
}

/// See the module.
pub struct Seat {
    pub which: Venue,
    pub venue: Box<dyn HandVenue>,
    pub session: Box<dyn Session + Send>,
    pub rest: Rest,
    pub slots: BTreeMap<Link, Slot>,
    pub wires: BTreeMap<u64, Wire>,
    /// Connections that nobody has taken yet.
    pub dialled: VecDeque<Dialled>,
    dialling: Vec<Dial>,
    /// Connections made so far.
    pub connects: usize,
}

impl Seat {
    pub fn new(
        which: Venue,
        venue: Box<dyn HandVenue>,
        session: Box<dyn Session + Send>,
        rest: Rest,
    ) -> Self {
        Self {
            which,
            venue,
            session,
            rest,
            slots: BTreeMap::new(),
            wires: BTreeMap::new(),
            dialled: VecDeque::new(),
            dialling: Vec::new(),
            connects: 0,
        }
    }

    /// What the venue has sent goes on its way.
    pub fn hear(&mut self, now_ms: u64, weather: &mut Weather) {
        while let Some(heard) = self.venue.next_heard() {
            if let Some((connection, bytes)) = heard.to_bytes() {
                if let Some(wire) = self.wires.get_mut(&connection) {
                    wire.send(now_ms, bytes, weather);
                }
                continue;
            }
            match heard {
                Heard::Dropped(connection, _) => {
                    if let Some(wire) = self.wires.get_mut(&connection) {
                        wire.end(now_ms, CloseCause::Dropped("cut".to_owned()));
                    }
                }
                Heard::Answer(request, response) => self.rest.answered(request, response, now_ms, weather),
                _ => unreachable!("everything else is bytes"),
            }
        }
    }

    /// The venue answers our ping.
    pub fn pong(&mut self, connection: u64, now_ms: u64, weather: &mut Weather) {
        if let Some(wire) = self.wires.get_mut(&connection) {
            wire.send(now_ms, server_frame(PONG, &[]), weather);
        }
    }

    pub fn dial(&mut self, due_ms: u64, link: Link, generation: Generation, url: &str) {
        let path = url.strip_prefix("wss://venue").unwrap().to_owned();
        self.hang_up(link);
        self.slots.insert(link, Slot::Connecting(generation));
        self.dialling.push(Dial { due_ms, link, generation, path });
    }

    /// The connector: makes connections whatever the engine does.
    pub fn connect(&mut self, now_ms: u64) {
        for Dial { link, generation, path, .. } in self.dialling.extract_if(.., |dial| dial.due_ms <= now_ms)
        {
            let outcome = match self.venue.open(&path) {
                Ok(connection) => {
                    self.connects += 1;
                    self.wires.insert(connection, Wire::new());
                    Ok(connection)
                }
                Err(error) => Err(format!("{error:?}")),
            };
            self.dialled.push_back(Dialled { link, generation, outcome });
        }
    }

    pub fn is_connecting(&self, link: Link, generation: Generation) -> bool {
        matches!(self.slots.get(&link), Some(Slot::Connecting(current)) if *current == generation)
    }

    pub fn connection(&self, link: Link) -> Option<u64> {
        match self.slots.get(&link) {
            Some(Slot::Open(_, connection)) => Some(*connection),
            _ => None,
        }
    }

    /// We end a connection, or no longer want one.
    pub fn hang_up(&mut self, link: Link) {
        if let Some(Slot::Open(_, connection)) = self.slots.remove(&link) {
            self.forget(connection);
        }
    }

    pub fn forget(&mut self, connection: u64) {
        self.wires.remove(&connection);
        self.venue.close(connection);
    }
}
