//! The driver: the pinned loop around the sessions. It owns sockets and time, and decides nothing.
//!
//! One turn:
//! ```text
//!   stop asked? ─▶ ready connections, answers, seeds, wishes ─▶ poll ─▶ read and hand out ─▶ ticks ─▶ (again)
//! ```
//! After each call of a session its actions are carried out, in order, before anything else happens.
//!
//! In steady state a turn makes no system call but the poll and the reads, takes no lock and does not
//! allocate (rustls' one allocation per TLS record excepted). It wakes nobody.

mod counters;
mod links;
mod sink;

pub use counters::DriverCounters;
pub use sink::EventSink;

use crate::agent::Agent;
use crate::clock::Clock;
use crate::connection::{Connection, ReadOutcome, Step};
use crate::connector::{ConnectJob, Connected};
use crate::event::{Event, Severity};
use crate::fetch::{FetchError, FetchRequest, Fetched};
use crate::frame::{Kind, Outgoing};
use crate::limits::{
    LINKS_PER_VENUE_MAX, POLL_EVENTS_MAX, POLL_SLEEP_MS, READ_BYTES_PER_TURN_MAX, SIDE_ITEMS_PER_TURN_MAX,
    TICK_MS,
};
use crate::publisher::Publisher;
use crate::session::backoff::Random;
use crate::session::{Action, CandleSeed, CloseCause, Generation, Interest, Link, Out, Session};
use codec::time::Now;
use codec::words::Venue;
use links::{Links, Slot};
use mio::{Events, Poll};
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What a driver is made of.
pub struct Parts {
    /// The time.
    pub clock: Clock,
    /// The venues.
    pub sessions: Vec<Box<dyn Session + Send>>,
    /// Where records go.
    pub publisher: Publisher,
    /// How long reading may stop for each outlet of the publisher, in its order, ms.
    pub stall_ms: Vec<u64>,
    /// Connections wanted.
    pub jobs: rtrb::Producer<ConnectJob>,
    /// Connections made.
    pub connected: rtrb::Consumer<Connected>,
    /// Questions to REST.
    pub requests: rtrb::Producer<FetchRequest>,
    /// Their answers.
    pub answers: rtrb::Consumer<Fetched>,
    /// What clients want.
    pub interest: rtrb::Consumer<ipc::Interest>,
    /// What history has loaded.
    pub seeds: rtrb::Consumer<CandleSeed>,
    /// What the operator should know.
    pub events: EventSink,
    /// Set: stop.
    pub stop: Arc<AtomicBool>,
    /// Whether to sleep in the poll when there is nothing to do.
    pub sleeps: bool,
    /// Seed of the frame masks.
    pub seed: u64,
}

struct Seat {
    session: Box<dyn Session + Send>,
    venue: Venue,
}

/// See the module.
pub struct Driver {
    clock: Clock,
    seats: Vec<Seat>,
    links: Links,
    poll: Poll,
    poll_events: Events,
    sleeps: bool,
    idle: bool,
    publisher: Publisher,
    stall_ns: Vec<u64>,
    /// Since when reading has stopped, and whether it goes on although the ring is nearly full.
    stalled: Option<(u64, bool)>,
    actions: VecDeque<Action>,
    jobs: rtrb::Producer<ConnectJob>,
    connected: rtrb::Consumer<Connected>,
    requests: rtrb::Producer<FetchRequest>,
    answers: rtrb::Consumer<Fetched>,
    interest: rtrb::Consumer<ipc::Interest>,
    seeds: rtrb::Consumer<CandleSeed>,
    events: EventSink,
    random: Random,
    counters: Arc<DriverCounters>,
    next_tick_ns: u64,
    stop: Arc<AtomicBool>,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Done,
}

/// A call of a session, and what it concerns.
macro_rules! call {
    ($driver:expr, $seat:expr, |$session:ident, $out:ident| $body:expr) => {{
        let driver = &mut *$driver;
        let events = &mut driver.events;
        let mut push = |event| events.push(event);
        let mut out =
            Out { publisher: &mut driver.publisher, actions: &mut driver.actions, events: &mut push };
        let ($session, $out) = (&mut driver.seats[$seat].session, &mut out);
        $body;
    }};
}

impl Driver {
    /// A driver that has not begun.
    ///
    /// # Errors
    /// When the system gives no poll.
    pub fn new(parts: Parts) -> io::Result<Self> {
        let seats: Vec<_> =
            parts.sessions.into_iter().map(|session| Seat { venue: session.venue(), session }).collect();
        Ok(Self {
            clock: parts.clock,
            links: Links::new(seats.len()),
            seats,
            poll: Poll::new()?,
            poll_events: Events::with_capacity(POLL_EVENTS_MAX),
            sleeps: parts.sleeps,
            idle: false,
            publisher: parts.publisher,
            stall_ns: parts.stall_ms.iter().map(|ms| ms * 1_000_000).collect(),
            stalled: None,
            actions: VecDeque::with_capacity(1024),
            jobs: parts.jobs,
            connected: parts.connected,
            requests: parts.requests,
            answers: parts.answers,
            interest: parts.interest,
            seeds: parts.seeds,
            events: parts.events,
            random: Random::new(parts.seed),
            counters: Arc::default(),
            next_tick_ns: 0,
            stop: parts.stop,
            phase: Phase::New,
        })
    }

    /// Its figures.
    #[must_use]
    pub fn counters(&self) -> Arc<DriverCounters> {
        Arc::clone(&self.counters)
    }

    fn start(&mut self, now: Now) {
        self.phase = Phase::Running;
        for seat in 0..self.seats.len() {
            call!(self, seat, |session, out| session.on_start(now, out));
            self.carry_out(seat, now);
        }
    }

    /// Says goodbye: sessions tell that every stream is down, the run's end goes into every ring.
    fn finish(&mut self, now: Now) {
        for seat in 0..self.seats.len() {
            call!(self, seat, |session, out| session.on_shutdown(now, out));
            // Whatever else they ask for is too late.
            self.actions.clear();
        }
        for (_, _, connection) in self.links.drain() {
            connection.close(self.poll.registry(), &mut self.random);
        }
        self.publisher.end(now);
        self.phase = Phase::Done;
    }

    fn seat_of(&self, venue: Venue) -> Option<usize> {
        self.seats.iter().position(|seat| seat.venue == venue)
    }

    /// Takes what the side roads bring; returns how much.
    fn take_from_side(&mut self, now: Now) -> usize {
        let mut taken = 0;
        while taken < SIDE_ITEMS_PER_TURN_MAX {
            let Ok(connected) = self.connected.pop() else { break };
            taken += 1;
            self.on_connected(connected, now);
        }
        while taken < SIDE_ITEMS_PER_TURN_MAX {
            let Ok(fetched) = self.answers.pop() else { break };
            taken += 1;
            if let Some(seat) = self.seat_of(fetched.request.venue) {
                call!(self, seat, |session, out| session.on_fetched(fetched, now, out));
                self.carry_out(seat, now);
            }
        }
        while taken < SIDE_ITEMS_PER_TURN_MAX {
            let Ok(seed) = self.seeds.pop() else { break };
            taken += 1;
            if let Some(seat) = self.seat_of(seed.venue) {
                call!(self, seat, |session, out| session.on_seed(&seed, now, out));
                self.carry_out(seat, now);
            }
        }
        while taken < SIDE_ITEMS_PER_TURN_MAX {
            let Ok(interest) = self.interest.pop() else { break };
            taken += 1;
            if interest.resend {
                self.publisher.resend_book("ipc", interest.instrument);
                continue;
            }
            let wish = Interest {
                instrument: interest.instrument,
                stream: interest.stream,
                interval: interest.interval,
                wanted: interest.wanted,
            };
            // Instrument numbers are the run's: each session knows its own.
            for seat in &mut self.seats {
                seat.session.on_interest(&wish);
            }
        }
        taken
    }

    fn on_connected(&mut self, connected: Connected, now: Now) {
        let Connected { venue, link, generation, outcome } = connected;
        let Some(seat) = self.seat_of(venue) else { return };
        // Closed, or tried anew, in the meantime: nobody waits for this one.
        if !self.links.is_connecting(seat, link, generation) {
            return;
        }
        let opened = outcome.and_then(|ready| {
            let ready = *ready;
            let socket = mio::net::TcpStream::from_std(ready.stream);
            let mut connection = Connection::new(socket, ready.tls, &ready.leftover);
            connection
                .register(self.poll.registry(), Links::token(seat, link))
                .map_err(|error| format!("registering the socket: {error}"))?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => {
                self.links.open(seat, link, generation, connection);
                call!(self, seat, |session, out| session.on_connected(link, generation, now, out));
                self.carry_out(seat, now);
            }
            Err(reason) => self.close_and_tell(seat, link, &CloseCause::ConnectFailed(reason), now),
        }
    }

    /// Forgets a link and tells its session; carries out what that asks for.
    fn close_and_tell(&mut self, seat: usize, link: Link, cause: &CloseCause, now: Now) {
        let generation = match self.links.take(seat, link) {
            Slot::Free => return,
            Slot::Connecting(generation) => generation,
            Slot::Open(generation, mut connection) => {
                connection.deregister(self.poll.registry());
                generation
            }
        };
        self.tell_closed(seat, link, generation, cause, now);
        self.carry_out(seat, now);
    }

    fn tell_closed(&mut self, seat: usize, link: Link, generation: Generation, cause: &CloseCause, now: Now) {
        call!(self, seat, |session, out| session.on_closed(link, generation, cause, now, out));
    }

    /// Carries out what a session asked for. What it asks for meanwhile is carried out as well.
    fn carry_out(&mut self, seat: usize, now: Now) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Connect { link, generation, url } => self.connect(seat, link, generation, url, now),
                Action::Send { link, text } => self.send(seat, link, Outgoing::Text(&text), now),
                Action::Ping { link } => self.send(seat, link, Outgoing::Ping, now),
                Action::Close { link } => {
                    if let Slot::Open(_, connection) = self.links.take(seat, link) {
                        connection.close(self.poll.registry(), &mut self.random);
                    }
                }
                Action::Fetch(request) => self.fetch(seat, request, now),
            }
        }
    }

    fn connect(&mut self, seat: usize, link: Link, generation: Generation, url: String, now: Now) {
        let job = ConnectJob { venue: self.seats[seat].venue, link, generation, url };
        let refused = if usize::from(link) >= LINKS_PER_VENUE_MAX {
            Some("more connections than are allowed to one venue")
        } else if self.jobs.push(job).is_err() {
            Some("the connector's queue is full")
        } else {
            None
        };
        match refused {
            None => {
                if let Slot::Open(_, connection) = self.links.connecting(seat, link, generation) {
                    connection.close(self.poll.registry(), &mut self.random);
                }
            }
            Some(reason) => {
                let cause = CloseCause::ConnectFailed(reason.to_owned());
                self.tell_closed(seat, link, generation, &cause, now);
            }
        }
    }

    fn send(&mut self, seat: usize, link: Link, frame: Outgoing<'_>, now: Now) {
        let Some(connection) = self.links.connection(seat, link) else { return };
        let sent = connection
            .send(frame, &mut self.random)
            .and_then(|()| connection.update_interest(self.poll.registry(), Links::token(seat, link)));
        if let Err(cause) = sent {
            self.drop_and_tell(seat, link, &cause, now);
        }
    }

    /// As [`Driver::close_and_tell`], from within [`Driver::carry_out`].
    fn drop_and_tell(&mut self, seat: usize, link: Link, cause: &CloseCause, now: Now) {
        if let Slot::Open(generation, mut connection) = self.links.take(seat, link) {
            connection.deregister(self.poll.registry());
            self.tell_closed(seat, link, generation, cause, now);
        }
    }

    fn fetch(&mut self, seat: usize, request: FetchRequest, now: Now) {
        if let Err(rtrb::PushError::Full(request)) = self.requests.push(request) {
            let fetched = Fetched { request, outcome: Err(FetchError::Overflow) };
            call!(self, seat, |session, out| session.on_fetched(fetched, now, out));
        }
    }

    /// Polls; notes what is ready.
    fn look(&mut self, stalled: bool) {
        let nothing_ready = stalled || !self.links.any_ready();
        let sleep = self.sleeps && self.idle && nothing_ready;
        let timeout = if sleep { Duration::from_millis(POLL_SLEEP_MS) } else { Duration::ZERO };
        if let Err(error) = self.poll.poll(&mut self.poll_events, Some(timeout)) {
            if error.kind() != io::ErrorKind::Interrupted {
                self.events
                    .push(Event::new(Severity::Error, None, "polling failed").detail(&error.to_string()));
            }
            return;
        }
        for event in &self.poll_events {
            self.links.note(event);
        }
    }

    /// Whether sockets are left alone because a ring is nearly full.
    fn is_stalled(&mut self, now: Now) -> bool {
        let Some(pressure) = self.publisher.pressure() else {
            self.stalled = None;
            return false;
        };
        let (since_ns, given_up) = *self.stalled.get_or_insert_with(|| {
            DriverCounters::add(&self.counters.stalls, 1);
            (now.mono_ns, false)
        });
        if given_up {
            return false;
        }
        let limit_ns = self.stall_ns.get(pressure.outlet).copied().unwrap_or(0);
        if now.mono_ns - since_ns < limit_ns {
            return true;
        }
        // From here on the publisher drops and repairs, until the ring has room again.
        self.stalled = Some((since_ns, true));
        self.events.push(
            Event::new(Severity::Warn, None, "a ring is full: records are dropped and repaired")
                .number(pressure.outlet as u64),
        );
        false
    }

    /// Reads every ready socket, each within its budget; returns messages and bytes handled.
    fn serve_ready(&mut self) -> usize {
        let mut work = 0;
        for _ in 0..self.links.ready_count() {
            let Some((seat, link)) = self.links.next_ready() else { break };
            work += 1;
            if self.links.take_writable(seat, link) {
                self.flush(seat, link);
            }
            match self.serve(seat, link) {
                Served::Dry => {}
                Served::More => self.links.ready_again(seat, link),
                Served::Closed(cause) => {
                    let now = self.clock.now();
                    self.close_and_tell(seat, link, &cause, now);
                }
            }
        }
        work
    }

    fn flush(&mut self, seat: usize, link: Link) {
        let Some(connection) = self.links.connection(seat, link) else { return };
        let token = Links::token(seat, link);
        let flushed =
            connection.flush().and_then(|()| connection.update_interest(self.poll.registry(), token));
        if let Err(cause) = flushed {
            let now = self.clock.now();
            self.close_and_tell(seat, link, &cause, now);
        }
    }

    /// Hands out what a connection has and reads it until it is dry or its budget is spent.
    fn serve(&mut self, seat: usize, link: Link) -> Served {
        // What has come already is stamped now; each read after that stamps what it brings, since it may
        // bring what came while the messages before it were handled.
        let mut now = self.clock.now();
        let mut budget = READ_BYTES_PER_TURN_MAX;
        let mut dry = false;
        let mut messages = 0;
        let served = loop {
            let Some(connection) = self.links.connection(seat, link) else { break Served::Dry };
            match connection.advance() {
                Ok(Step::Message(kind)) => {
                    messages += 1;
                    if let Some(cause) = self.hand_out(seat, link, kind, now) {
                        break Served::Closed(cause);
                    }
                    if !self.actions.is_empty() {
                        self.carry_out(seat, now);
                    }
                }
                Ok(Step::NeedsRead) if dry => break Served::Dry,
                Ok(Step::NeedsRead) if budget == 0 => break Served::More,
                Ok(Step::NeedsRead) => {
                    now = self.clock.now();
                    match connection.read() {
                        Ok(ReadOutcome::Some(bytes)) => budget = budget.saturating_sub(bytes),
                        Ok(ReadOutcome::Last(bytes)) => {
                            budget = budget.saturating_sub(bytes);
                            dry = true;
                        }
                        Ok(ReadOutcome::Dry) => dry = true,
                        Err(cause) => break Served::Closed(cause),
                    }
                }
                Err(cause) => break Served::Closed(cause),
            }
        };
        DriverCounters::add(&self.counters.messages, messages);
        DriverCounters::add(&self.counters.bytes_read, (READ_BYTES_PER_TURN_MAX - budget) as u64);
        served
    }

    /// One message to its session, or one control frame's answer. `Some`: the connection is at its end.
    #[inline]
    fn hand_out(&mut self, seat: usize, link: Link, kind: Kind, now: Now) -> Option<CloseCause> {
        let connection = self.links.connection(seat, link)?;
        match kind {
            Kind::Text => {
                let events = &mut self.events;
                let mut push = |event| events.push(event);
                let mut out =
                    Out { publisher: &mut self.publisher, actions: &mut self.actions, events: &mut push };
                self.seats[seat].session.on_message(link, connection.payload(), now, &mut out);
            }
            Kind::Binary => {
                // The session says so in the log, once, with what else cannot be read.
                let events = &mut self.events;
                let mut push = |event| events.push(event);
                let mut out =
                    Out { publisher: &mut self.publisher, actions: &mut self.actions, events: &mut push };
                self.seats[seat].session.on_binary(link, connection.payload(), now, &mut out);
            }
            Kind::Ping => {
                let answered = connection.send_pong(&mut self.random).and_then(|()| {
                    connection.update_interest(self.poll.registry(), Links::token(seat, link))
                });
                if let Err(cause) = answered {
                    return Some(cause);
                }
                call!(self, seat, |session, out| session.on_ping(link, now, out));
            }
            Kind::Pong => call!(self, seat, |session, out| session.on_pong(link, now, out)),
            Kind::Close(code) => {
                // The answer the protocol wants; that the venue goes anyway is no failure of ours.
                let _ = connection.send(Outgoing::Close(code.unwrap_or(1000)), &mut self.random);
                return Some(CloseCause::ClosedByVenue(code));
            }
        }
        None
    }

    fn tick(&mut self, now: Now) {
        if self.publisher.any_lost() {
            self.publisher.tell_losses(now);
        }
        for seat in 0..self.seats.len() {
            call!(self, seat, |session, out| session.on_tick(now, out));
            if !self.actions.is_empty() {
                self.carry_out(seat, now);
            }
        }
    }
}

enum Served {
    /// Nothing more is there; the poll will say when there is.
    Dry,
    /// The budget is spent, not the socket.
    More,
    /// It is over.
    Closed(CloseCause),
}

impl Agent for Driver {
    fn name(&self) -> &'static str {
        "engine"
    }

    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn do_work(&mut self, now: Now) -> usize {
        if self.phase == Phase::New {
            self.start(now);
        }
        if self.stop.load(Ordering::Relaxed) {
            self.finish(now);
            return 1;
        }
        let mut work = self.take_from_side(now);
        let stalled = self.is_stalled(now);
        self.look(stalled);
        if !stalled {
            work += self.serve_ready();
        }
        // After the sockets: what waited in the kernel while this thread was not run is no silence.
        let now = self.clock.now();
        if now.mono_ns >= self.next_tick_ns {
            self.next_tick_ns = now.after_ms(TICK_MS);
            self.tick(now);
        }
        self.idle = work == 0;
        work
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }
}
