//! A whole desk in virtual time: sessions before simulated venues driven by hand, the fetcher's queues and
//! budgets before the venues' REST, the history of candles in memory, and the server with its clients.
//!
//! ```text
//!   venues ─ frames in pieces, late ─▶ wires ─▶ sessions ─▶ publisher ─▶ rings ─▶ tap, server, history
//!      ▲                                          │  ▲                               │
//!      └── requests ◀─ queues and budgets ◀───────┘  └──── answers, seeds, wishes ◀──┘
//! ```
//! Nothing sleeps, nothing has a socket; days pass in seconds, and one seed makes one run. The parts are the
//! daemon's own; what is written here is what its threads do between them, so that any thread can stand still.
#![allow(dead_code, unused_imports)]

mod files;
mod rest;
mod seat;
mod socket;
mod weather;

pub use files::{MemoryFiles, Stored};
pub use rest::{OF_ENGINE, OF_HISTORY, Rest};
pub use seat::{HandVenue, Seat};
pub use socket::{Socket, sum};
pub use weather::{Span, Weather};

use codec::record::Record;
use codec::ring::{Consumer, Producer};
use codec::time::Now;
use codec::words::{Interval, Stream, Venue};
use engine::clock::{LOOK_INTERVAL_NS, Slew};
use engine::event::{Event, Severity};
use engine::fetch::Fetched;
use engine::frame::Kind;
use engine::history::{CandleFiles, CandleSeed, CoreVenue, HistoryCore, HistoryCounters, NoFiles};
use engine::limits::{IPC_STALL_MS, TICK_MS};
use engine::publisher::{Outlet, Publisher, Takes};
use engine::session::{Action, CloseCause, Generation, Interest, Link, Out, Session};
use ipc::limits::{HISTORY_ITEMS_PER_TURN, RECORDS_PER_TURN};
use ipc::{CandleHistory, CandleWish, Core, CoreConfig, Outlets, VenueConfig};
use seat::{Arrival, Dialled, Slot, Wire};
use sim::protocol::ControlFrame;
use slipstream_client::{Request, Value};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where monotonic time stands at the start.
const MONO_START_NS: u64 = 3_600_000_000_000;
/// Bytes of one client's socket.
const SOCKET_BYTES: usize = 1 << 30;
/// The tap's ring: it is emptied at every step.
const TAP_BYTES: usize = 64 << 20;

/// What a venue of a desk is made of.
pub struct Shape {
    pub intervals: Vec<(Interval, u32)>,
    pub streams: Vec<Stream>,
    pub symbols: Vec<String>,
    pub weight_per_minute: u32,
}

/// A venue of a desk.
pub struct Place {
    pub which: Venue,
    pub venue: Box<dyn HandVenue>,
    pub session: Box<dyn Session + Send>,
    pub shape: Shape,
    pub files: Option<Box<dyn CandleFiles + Send>>,
}

/// What the desk as a whole is made of.
pub struct Frame {
    pub ipc_ring: (Producer, Consumer),
    pub history_ring: (Producer, Consumer),
    /// Bytes of the log that all clients share; none: the usual.
    pub log_bytes: Option<usize>,
    pub weather: Weather,
    pub seed: u64,
}

impl Frame {
    /// Rings and log as large as ever needed, and nothing by chance.
    pub fn ample() -> Self {
        Self {
            ipc_ring: codec::ring::ring(32 << 20),
            history_ring: codec::ring::ring(4 << 20),
            log_bytes: None,
            weather: Weather::steady(),
            seed: 7,
        }
    }
}

/// The desk's threads that may stand still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thread {
    Engine,
    Ipc,
    /// Fetcher and history.
    Sides,
}

/// See the module.
pub struct VirtualDesk {
    pub seats: Vec<Seat>,
    pub publisher: Publisher,
    pub core: Core,
    pub history: HistoryCore,
    /// What the daemon's clocks say.
    pub now: Now,
    pub events: Vec<Event>,
    pub sockets: Vec<Socket>,
    pub weather: Weather,
    /// How far the system's clock is ahead of the true time.
    pub clock_error_ns: i64,
    /// How far the venues' clocks are ahead of the true time.
    pub venue_ahead_ms: i64,
    /// Messages handed to sessions so far.
    pub heard: u64,
    /// Times that reading stopped because a ring was nearly full, and that records were dropped then.
    pub stalls: (u64, u64),
    ipc_events: rtrb::Consumer<ipc::Event>,
    true_ms: u64,
    slew: Slew,
    next_look_ns: u64,
    paused_until_ms: [u64; 3],
    next_tick_ns: u64,
    stalled: Option<(u64, bool)>,
    actions: VecDeque<Action>,
    tap: Consumer,
    records: Consumer,
    closed: Consumer,
    interest: rtrb::Consumer<ipc::Interest>,
    wishes: rtrb::Consumer<CandleWish>,
    to_engine: VecDeque<(usize, Fetched)>,
    to_history: VecDeque<Fetched>,
    seeds: VecDeque<CandleSeed>,
    rows: VecDeque<CandleHistory>,
    next_id: u64,
}

/// A call of a session, and what it concerns.
macro_rules! call {
    ($desk:expr, $seat:expr, |$session:ident, $out:ident| $body:expr) => {{
        let desk = &mut *$desk;
        let events = &mut desk.events;
        let mut push = |event: Event| {
            if event.severity != Severity::Debug {
                events.push(event);
            }
        };
        let mut out = Out { publisher: &mut desk.publisher, actions: &mut desk.actions, events: &mut push };
        let ($session, $out) = (&mut desk.seats[$seat].session, &mut out);
        $body;
    }};
}

impl VirtualDesk {
    /// A desk before one venue, with one client.
    pub fn single(place: Place) -> Self {
        let mut desk = Self::new(vec![place], Frame::ample());
        desk.join(SOCKET_BYTES);
        desk
    }

    pub fn new(places: Vec<Place>, frame: Frame) -> Self {
        let (tap_in, tap) = codec::ring::ring(TAP_BYTES);
        let (ipc_in, records) = frame.ipc_ring;
        let (closed_in, closed) = frame.history_ring;
        let publisher = Publisher::new(
            1,
            vec![
                Outlet::all("recorder", tap_in),
                Outlet::all("ipc", ipc_in),
                Outlet { name: "history", producer: closed_in, takes: Takes::ClosedCandles },
            ],
        );
        let true_ms = places[0].venue.now_ms() as u64;
        let now = Now { mono_ns: MONO_START_NS, wall_ns: true_ms * 1_000_000 };
        let (interest_in, interest) = rtrb::RingBuffer::new(16_384);
        let (wishes_in, wishes) = rtrb::RingBuffer::new(16_384);
        let (events_in, ipc_events) = rtrb::RingBuffer::new(16_384);
        let venues = places.iter().map(|place| VenueConfig {
            venue: place.which,
            streams: place.shape.streams.clone(),
            intervals: place.shape.intervals.iter().map(|(interval, _)| *interval).collect(),
            symbols: place.shape.symbols.clone(),
        });
        let mut config = CoreConfig::new(1, venues.collect());
        config.retention.orderbook_depth = 20;
        config.clients_buffer_bytes = frame.log_bytes.unwrap_or(config.clients_buffer_bytes);
        let outlets = Outlets {
            events: Some(events_in),
            interest: Some(interest_in),
            candle_wishes: Some(wishes_in),
            drift: places.iter().filter_map(|place| Some((place.which, place.session.drift()?))).collect(),
            ..Outlets::default()
        };
        let core = Core::new(config, outlets, now);
        let mut seats = Vec::new();
        let mut kept = Vec::new();
        for Place { which, venue, session, shape, files } in places {
            let rest = Rest::new(which, shape.weight_per_minute, frame.seed);
            seats.push(Seat::new(which, venue, session, rest));
            let files = files.unwrap_or_else(|| Box::new(NoFiles));
            kept.push(CoreVenue { venue: which, intervals: shape.intervals, files });
        }
        let history = HistoryCore::new(kept, Arc::new(HistoryCounters::default()), frame.seed);
        let mut new = Self {
            seats,
            publisher,
            core,
            history,
            now,
            events: Vec::new(),
            sockets: Vec::new(),
            weather: frame.weather,
            clock_error_ns: 0,
            venue_ahead_ms: 0,
            heard: 0,
            stalls: (0, 0),
            ipc_events,
            true_ms,
            slew: Slew::new(now.mono_ns, now.wall_ns),
            next_look_ns: 0,
            paused_until_ms: [0; 3],
            next_tick_ns: 0,
            stalled: None,
            actions: VecDeque::new(),
            tap,
            records,
            closed,
            interest,
            wishes,
            to_engine: VecDeque::new(),
            to_history: VecDeque::new(),
            seeds: VecDeque::new(),
            rows: VecDeque::new(),
            next_id: 1,
        };
        new.start();
        new
    }

    fn start(&mut self) {
        let now = self.now;
        for seat in 0..self.seats.len() {
            call!(self, seat, |session, out| session.on_start(now, out));
            self.act(seat);
        }
    }

    /// The true time.
    pub fn now_ms(&self) -> u64 {
        self.true_ms
    }

    /// The first venue.
    pub fn venue(&mut self) -> &mut dyn HandVenue {
        &mut *self.seats[0].venue
    }

    /// The first venue, to be asked only.
    pub fn truth(&self) -> &dyn HandVenue {
        &*self.seats[0].venue
    }

    /// Connections made so far.
    pub fn connects(&self) -> usize {
        self.seats.iter().map(|seat| seat.connects).sum()
    }

    /// A thread stands still for so long, from now on.
    pub fn pause(&mut self, thread: Thread, for_ms: u64) {
        let until_ms = &mut self.paused_until_ms[thread as usize];
        *until_ms = (*until_ms).max(self.true_ms + for_ms);
    }

    pub fn runs(&self, thread: Thread) -> bool {
        self.paused_until_ms[thread as usize] <= self.true_ms
    }

    /// What the server had to say to the operator since this was last asked.
    pub fn ipc_events(&mut self) -> Vec<ipc::Event> {
        std::iter::from_fn(|| self.ipc_events.pop().ok()).collect()
    }

    /// So much time passes at once; then every thread that runs does all that it has to do. `watch` sees every
    /// record, whether or not it finds room elsewhere.
    pub fn step(&mut self, ms: u64, mut watch: impl FnMut(Record<'_>)) {
        self.pass(ms);
        for seat in &mut self.seats {
            seat.venue.pass_to(self.true_ms as i64 + self.venue_ahead_ms);
            seat.hear(self.true_ms, &mut self.weather);
            seat.connect(self.true_ms);
        }
        if self.runs(Thread::Engine) {
            self.engine_turn();
        }
        if self.runs(Thread::Sides) {
            self.sides_turn();
        }
        self.tap.drain(usize::MAX, &mut watch);
        if self.runs(Thread::Ipc) {
            self.ipc_turn();
        }
    }

    fn pass(&mut self, ms: u64) {
        self.true_ms += ms;
        self.now.mono_ns += ms * 1_000_000;
        if self.now.mono_ns >= self.next_look_ns {
            let system_ns = (self.true_ms * 1_000_000).saturating_add_signed(self.clock_error_ns);
            self.slew.look(self.now.mono_ns, system_ns);
            self.next_look_ns = self.now.mono_ns + LOOK_INTERVAL_NS;
        }
        self.now.wall_ns = self.slew.at(self.now.mono_ns);
    }

    // The engine.

    fn engine_turn(&mut self) {
        let now = self.now;
        self.take_from_side();
        if !self.is_stalled() {
            for seat in 0..self.seats.len() {
                let links: Vec<Link> = self.seats[seat].slots.keys().copied().collect();
                for link in links {
                    self.read(seat, link);
                }
            }
        }
        if now.mono_ns >= self.next_tick_ns {
            self.next_tick_ns = now.after_ms(TICK_MS);
            if self.publisher.any_lost() {
                self.publisher.tell_losses(now);
            }
            for seat in 0..self.seats.len() {
                call!(self, seat, |session, out| session.on_tick(now, out));
                self.act(seat);
            }
        }
        // What was asked of the venues is answered by them at once, and on its way.
        for seat in &mut self.seats {
            seat.hear(self.true_ms, &mut self.weather);
        }
    }

    fn take_from_side(&mut self) {
        let now = self.now;
        for seat in 0..self.seats.len() {
            while let Some(Dialled { link, generation, outcome }) = self.seats[seat].dialled.pop_front() {
                self.on_dialled(seat, link, generation, outcome);
            }
        }
        while let Some((seat, fetched)) = self.to_engine.pop_front() {
            call!(self, seat, |session, out| session.on_fetched(fetched, now, out));
            self.act(seat);
        }
        while let Some(seed) = self.seeds.pop_front() {
            let Some(seat) = self.seats.iter().position(|seat| seat.which == seed.venue) else { continue };
            call!(self, seat, |session, out| session.on_seed(&seed, now, out));
            self.act(seat);
        }
        while let Ok(interest) = self.interest.pop() {
            if interest.resend {
                self.publisher.resend_book("ipc", interest.instrument);
                continue;
            }
            let ipc::Interest { instrument, stream, interval, wanted, .. } = interest;
            for seat in &mut self.seats {
                seat.session.on_interest(&Interest { instrument, stream, interval, wanted });
            }
        }
    }

    fn on_dialled(&mut self, seat: usize, link: Link, generation: Generation, outcome: Result<u64, String>) {
        let now = self.now;
        let place = &mut self.seats[seat];
        if !place.is_connecting(link, generation) {
            // Nobody waits for this one.
            if let Ok(connection) = outcome {
                place.forget(connection);
            }
            return;
        }
        match outcome {
            Ok(connection) => {
                place.slots.insert(link, Slot::Open(generation, connection));
                call!(self, seat, |session, out| session.on_connected(link, generation, now, out));
            }
            Err(why) => {
                place.slots.remove(&link);
                let cause = CloseCause::ConnectFailed(why);
                call!(self, seat, |session, out| session.on_closed(link, generation, &cause, now, out));
            }
        }
        self.act(seat);
    }

    /// As the driver decides it.
    fn is_stalled(&mut self) -> bool {
        let Some(pressure) = self.publisher.pressure() else {
            self.stalled = None;
            return false;
        };
        let (since_ns, given_up) = *self.stalled.get_or_insert_with(|| {
            self.stalls.0 += 1;
            (self.now.mono_ns, false)
        });
        assert_eq!(pressure.outlet, 1, "only the server's ring is small");
        if given_up || self.now.mono_ns - since_ns < IPC_STALL_MS * 1_000_000 {
            return !given_up;
        }
        self.stalls.1 += 1;
        self.stalled = Some((since_ns, true));
        false
    }

    /// Reads a connection until it is dry.
    fn read(&mut self, seat: usize, link: Link) {
        let Some(connection) = self.seats[seat].connection(link) else { return };
        // Lent out meanwhile, for the session may end this connection and make others.
        let Some(mut wire) = self.seats[seat].wires.remove(&connection) else { return };
        while let Some(arrival) = wire.take(self.true_ms) {
            let cause = match arrival {
                Arrival::Bytes(bytes) => self.feed(seat, link, connection, &mut wire, &bytes),
                Arrival::End(cause) => Err(cause),
            };
            if let Err(cause) = cause {
                self.closed(seat, link, &cause);
                return;
            }
            if self.seats[seat].connection(link) != Some(connection) {
                return;
            }
        }
        self.seats[seat].wires.insert(connection, wire);
    }

    /// Bytes from the network: to the reader, and what it makes of them to the session.
    fn feed(
        &mut self,
        seat: usize,
        link: Link,
        connection: u64,
        wire: &mut Wire,
        mut bytes: &[u8],
    ) -> Result<(), CloseCause> {
        let now = self.now;
        while !bytes.is_empty() {
            let space = wire.reader.space();
            let taken = space.len().min(bytes.len());
            space[..taken].copy_from_slice(&bytes[..taken]);
            wire.reader.filled(taken);
            bytes = &bytes[taken..];
            while let Some(kind) =
                wire.reader.advance().map_err(|error| CloseCause::Protocol(error.phrase()))?
            {
                let payload = wire.reader.payload();
                match kind {
                    Kind::Text => {
                        self.heard += 1;
                        call!(self, seat, |session, out| session.on_message(link, payload, now, out));
                    }
                    Kind::Binary => {
                        call!(self, seat, |session, out| session.on_binary(link, payload, now, out));
                    }
                    Kind::Ping => {
                        let pong = ControlFrame::Pong(payload.to_vec());
                        self.seats[seat].venue.send_control(connection, pong);
                        call!(self, seat, |session, out| session.on_ping(link, now, out));
                    }
                    Kind::Pong => call!(self, seat, |session, out| session.on_pong(link, now, out)),
                    Kind::Close(code) => return Err(CloseCause::ClosedByVenue(code)),
                }
                self.act(seat);
                if self.seats[seat].connection(link) != Some(connection) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn closed(&mut self, seat: usize, link: Link, cause: &CloseCause) {
        let now = self.now;
        if let Some(Slot::Open(generation, connection)) = self.seats[seat].slots.remove(&link) {
            self.seats[seat].forget(connection);
            call!(self, seat, |session, out| session.on_closed(link, generation, cause, now, out));
            self.act(seat);
        }
    }

    fn act(&mut self, seat: usize) {
        while let Some(action) = self.actions.pop_front() {
            let (place, now_ms) = (&mut self.seats[seat], self.true_ms);
            match action {
                Action::Connect { link, generation, url } => {
                    let due_ms = now_ms + self.weather.draw(self.weather.connect_ms);
                    place.dial(due_ms, link, generation, &url);
                }
                Action::Send { link, text } => {
                    if let Some(connection) = place.connection(link) {
                        place.venue.say(connection, &text);
                    }
                }
                Action::Ping { link } => {
                    if let Some(connection) = place.connection(link)
                        && place.venue.send_control(connection, ControlFrame::Ping)
                    {
                        place.pong(connection, now_ms, &mut self.weather);
                    }
                }
                Action::Close { link } => place.hang_up(link),
                Action::Fetch(request) => place.rest.request(OF_ENGINE, request),
            }
        }
    }

    // Fetcher and history.

    fn sides_turn(&mut self) {
        let (now, now_ms) = (self.now, self.true_ms);
        let history = &mut self.history;
        self.closed.drain(usize::MAX, |record| history.on_record(record, now));
        while let Ok(wish) = self.wishes.pop() {
            history.on_wish(wish);
        }
        for (number, seat) in self.seats.iter_mut().enumerate() {
            let (to_engine, to_history) = (&mut self.to_engine, &mut self.to_history);
            seat.rest.turn(&mut *seat.venue, now, now_ms, &mut self.events, |lane, fetched| match lane {
                OF_HISTORY => to_history.push_back(fetched),
                _ => to_engine.push_back((number, fetched)),
            });
            seat.hear(now_ms, &mut self.weather);
        }
        while let Some(fetched) = self.to_history.pop_front() {
            history.on_fetched(fetched, now);
        }
        while history.work(now) > 0 {}
        let out = history.outbox();
        for request in out.requests.drain(..) {
            if let Some(seat) = self.seats.iter_mut().find(|seat| seat.which == request.venue) {
                seat.rest.request(OF_HISTORY, request);
            }
        }
        self.rows.extend(out.history.drain(..));
        self.seeds.extend(out.seeds.drain(..));
        self.events.extend(out.events.drain(..));
    }

    // The server.

    /// A client connects; its number in [`Self::sockets`].
    pub fn join(&mut self, room_bytes: usize) -> usize {
        let socket = Socket::connected(&mut self.core, room_bytes, self.now);
        self.sockets.push(socket);
        self.sockets.len() - 1
    }

    fn ipc_turn(&mut self) {
        loop {
            let (core, now) = (&mut self.core, self.now);
            core.begin_turn();
            let mut work = self.records.drain(RECORDS_PER_TURN, |record| core.on_record(record, now));
            for _ in 0..HISTORY_ITEMS_PER_TURN {
                if let Some(item) = self.rows.pop_front() {
                    core.on_history(item, now);
                    work += 1;
                }
            }
            if !socket::serve(core, &mut self.sockets, now) && work == 0 {
                break;
            }
        }
    }

    /// One request of the first client, answered at once. Type and data of the reply; the stream is dropped.
    pub fn request(&mut self, request: &Request) -> (String, Value) {
        let id = self.next_id;
        self.next_id += 1;
        self.sockets[0].unheard.extend(frame_of(&request.clone().with("id", id)));
        self.ipc_turn();
        let mut inbox = Vec::new();
        self.sockets[0].read(&mut self.core, usize::MAX, &mut inbox);
        let mut found = None;
        while inbox.len() >= 4 {
            let length = u32::from_be_bytes(inbox[..4].try_into().unwrap()) as usize;
            let frame: Vec<u8> = inbox.drain(..4 + length).skip(4).collect();
            let value = rmpv::decode::read_value(&mut &frame[..]).unwrap();
            let get = |name: &str| {
                let map = value.as_map().unwrap();
                map.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone())
            };
            if get("id").and_then(|found| found.as_u64()) == Some(id) {
                found = Some((
                    get("type").unwrap().as_str().unwrap().to_owned(),
                    get("data").unwrap_or(Value::Nil),
                ));
            }
        }
        found.expect("a reply")
    }

    /// The events worth a line, as text.
    pub fn log(&self) -> String {
        self.events.iter().map(|event| format!("{event:?}\n")).collect()
    }
}

/// A request as a client sends it.
pub fn frame_of(request: &Request) -> Vec<u8> {
    let mut payload = Vec::new();
    rmpv::encode::write_value(&mut payload, &request.value()).unwrap();
    let mut frame = (payload.len() as u32).to_be_bytes().to_vec();
    frame.extend(payload);
    frame
}
