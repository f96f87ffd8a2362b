//! The server: a [`Core`] behind a Unix socket, turned by [`Server::do_work`].
//!
//! One turn takes records from the ring, lets clients in, reads from those that sent something, answers, and
//! writes what waits. Nothing in it blocks; whoever calls it decides how to wait when there was no work.
//!
//! Sockets are polled edge-triggered: one that can be read stays on a list of our own until it is dry. A
//! client is watched for writing only while it is blocked, because every message it reads would wake us.

use crate::candle_feed::CandleHistory;
use crate::client::ClientId;
use crate::config::ServerConfig;
use crate::core::{Core, Outlets};
use crate::deliver::Output;
use crate::error::IpcError;
use crate::event::{Event, LeaveReason, RefuseReason};
use crate::limits;
use crate::socket::SocketFile;
use codec::ring::Consumer;
use codec::time::Now;
use mio::net::UnixStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::path::Path;
use std::time::Duration;

const LISTENER: Token = Token(usize::MAX);

/// A connection's socket.
struct Connection {
    stream: UnixStream,
    /// Bytes may wait to be read.
    readable: bool,
    /// It is watched for writing.
    watched: bool,
    /// Its writing side is closed; what it still sends is dropped.
    over: bool,
    /// It is on the list of those to look at.
    listed: bool,
}

/// The time on a clock, ns since the epoch: what latency figures are taken with.
pub type WallClock = Box<dyn Fn() -> u64 + Send>;

/// See the module.
pub struct Server {
    core: Core,
    records: Consumer,
    history: Option<rtrb::Consumer<CandleHistory>>,
    socket: Option<SocketFile>,
    allow_uids: Option<Vec<u32>>,
    allow_gids: Option<Vec<u32>>,
    poll: Poll,
    events: Events,
    connections: Vec<Option<Connection>>,
    /// Clients with something to read, answer or write besides the log.
    active: Vec<ClientId>,
    spare: Vec<ClientId>,
    read_buffer: Box<[u8]>,
    clock: WallClock,
    drain_until_ns: Option<u64>,
    /// Until then requests are answered with `shutting_down`.
    goodbye_until_ns: u64,
    accepting: bool,
}

impl core::fmt::Debug for Server {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Server").field("clients", &self.core.connected()).finish_non_exhaustive()
    }
}

impl Server {
    /// A server that listens, and takes records from `records` and the candles of the past from `history`.
    ///
    /// # Errors
    /// When the socket cannot be had; see [`IpcError`].
    pub fn new(
        config: ServerConfig,
        records: Consumer,
        history: Option<rtrb::Consumer<CandleHistory>>,
        outlets: Outlets,
        clock: WallClock,
        now: Now,
    ) -> Result<Self, IpcError> {
        let mut socket = SocketFile::bind(&config.socket_path, config.socket_mode)?;
        let failed = |source| IpcError::Io { doing: "cannot poll", path: config.socket_path.clone(), source };
        let poll = Poll::new().map_err(failed)?;
        poll.registry().register(&mut socket.listener, LISTENER, Interest::READABLE).map_err(failed)?;
        let mut core = config.core;
        core.clients_buffer_bytes = core.clients_buffer_bytes.max(limits::LOG_BYTES_MIN);
        Ok(Self {
            core: Core::new(core, outlets, now),
            records,
            history,
            socket: Some(socket),
            allow_uids: config.allow_uids,
            allow_gids: config.allow_gids,
            poll,
            events: Events::with_capacity(1024),
            connections: Vec::new(),
            active: Vec::new(),
            spare: Vec::new(),
            read_buffer: vec![0; limits::READ_BYTES_PER_TURN].into_boxed_slice(),
            clock,
            drain_until_ns: None,
            goodbye_until_ns: 0,
            accepting: true,
        })
    }

    /// Where clients connect; nowhere once it has shut down.
    #[must_use]
    pub fn socket_path(&self) -> Option<&Path> {
        self.socket.as_ref().map(SocketFile::path)
    }

    /// The protocol's state.
    #[must_use]
    pub const fn core(&self) -> &Core {
        &self.core
    }

    /// One turn. How much was done; 0: nothing waited.
    pub fn do_work(&mut self, now: Now) -> usize {
        self.core.begin_turn();
        let head = self.core.log_head();
        let core = &mut self.core;
        let mut work = self.records.drain(limits::RECORDS_PER_TURN, |record| core.on_record(record, now));
        work += self.take_history(now);
        work += self.poll(now);
        work += self.turn_active(now);
        if self.core.log_head() != head || work > 0 {
            work += self.turn_streams(now);
        }
        if self.core.deadlines_due(now) {
            self.turn_deadlines(now);
        }
        work + usize::from(self.core.keep_books(now))
    }

    fn take_history(&mut self, now: Now) -> usize {
        let Some(history) = &mut self.history else { return 0 };
        let mut taken = 0;
        while taken < limits::HISTORY_ITEMS_PER_TURN
            && let Ok(item) = history.pop()
        {
            self.core.on_history(item, now);
            taken += 1;
        }
        taken
    }

    fn poll(&mut self, now: Now) -> usize {
        if let Err(error) = self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            // Interrupted: the next turn is as good.
            debug_assert_eq!(error.kind(), ErrorKind::Interrupted);
            return 0;
        }
        let mut work = 0;
        let events = core::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            work += 1;
            if event.token() == LISTENER {
                self.accepting = true;
                continue;
            }
            let id = event.token().0 as ClientId;
            let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut) else {
                continue;
            };
            connection.readable |= event.is_readable() || event.is_error() || event.is_read_closed();
            if event.is_writable() && connection.watched {
                connection.watched = false;
                let token = event.token();
                let _ = self.poll.registry().reregister(&mut connection.stream, token, Interest::READABLE);
                self.core.writable(id);
            }
            self.list(id);
        }
        self.events = events;
        if self.accepting {
            work += self.accept(now);
        }
        work
    }

    /// Puts a client on the list of those to look at.
    fn list(&mut self, id: ClientId) {
        if let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut)
            && !connection.listed
        {
            connection.listed = true;
            self.active.push(id);
        }
    }

    fn accept(&mut self, now: Now) -> usize {
        let mut accepted = 0;
        loop {
            let Some(socket) = &self.socket else { return accepted };
            match socket.listener.accept() {
                Ok((stream, _)) => {
                    accepted += 1;
                    self.admit(stream, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.accepting = false;
                    return accepted;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    // Out of descriptors, most likely: looked at again when the next deadline is.
                    self.core.tell(Event::AcceptFailed { errno: error.raw_os_error().unwrap_or(0) });
                    self.accepting = false;
                    return accepted;
                }
            }
        }
    }

    fn admit(&mut self, mut stream: UnixStream, now: Now) {
        let peer = rustix::net::sockopt::socket_peercred(&stream).ok();
        let uid = peer.map_or(u32::MAX, |peer| peer.uid.as_raw());
        let gid = peer.map_or(u32::MAX, |peer| peer.gid.as_raw());
        let named = |list: &Option<Vec<u32>>, id| list.as_ref().is_some_and(|list| list.contains(&id));
        let restricted = self.allow_uids.is_some() || self.allow_gids.is_some();
        if restricted && !named(&self.allow_uids, uid) && !named(&self.allow_gids, gid) {
            return self.core.tell(Event::ClientRefused { reason: RefuseReason::NotAllowed, uid });
        }
        let Some(id) = self.core.connect(now) else {
            return self.core.tell(Event::ClientRefused { reason: RefuseReason::TooMany, uid });
        };
        let token = Token(id as usize);
        if self.poll.registry().register(&mut stream, token, Interest::READABLE).is_err() {
            return self.core.disconnect(id, LeaveReason::Failed);
        }
        let refused = self.core.client(id).is_some_and(|client| client.refused);
        let pid = peer.map_or(0, |peer| peer.pid.as_raw_nonzero().get() as u32);
        self.core.tell(if refused {
            Event::ClientRefused { reason: RefuseReason::TooMany, uid }
        } else {
            Event::ClientConnected { client: id, uid, pid }
        });
        if self.connections.len() <= id as usize {
            self.connections.resize_with(id as usize + 1, || None);
        }
        // It may have sent something before it was registered.
        self.connections[id as usize] =
            Some(Connection { stream, readable: true, watched: false, over: false, listed: false });
        self.list(id);
    }

    /// Reads from, answers and writes to the clients that have something going on.
    fn turn_active(&mut self, now: Now) -> usize {
        if self.active.is_empty() {
            return 0;
        }
        let mut work = 0;
        let mut active = core::mem::replace(&mut self.active, core::mem::take(&mut self.spare));
        // Whoever is first has the turn's budgets for itself; each is in its turn.
        active.rotate_left(1);
        for id in active.drain(..) {
            let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut) else {
                continue;
            };
            connection.listed = false;
            work += self.turn_client(id, now);
        }
        self.spare = active;
        work
    }

    fn turn_client(&mut self, id: ClientId, now: Now) -> usize {
        let mut work = usize::from(self.read(id));
        work += usize::from(self.core.serve(id, now));
        work += usize::from(self.write(id, now));
        if let Some(reason) = self.core.verdict(id, now) {
            self.close(id, reason);
            return work + 1;
        }
        let Some(connection) = self.connections.get(id as usize).and_then(Option::as_ref) else {
            return work;
        };
        // One whose replies wait for its socket is listed again when that takes bytes.
        let reads = connection.readable && (connection.over || self.core.wants_input(id));
        if reads || self.core.can_serve(id) || self.core.has_output(id) {
            self.list(id);
        }
        work
    }

    /// Reads what a client sent, if it is of use now. Whether anything came.
    fn read(&mut self, id: ClientId) -> bool {
        let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut) else {
            return false;
        };
        if !connection.readable || !(connection.over || self.core.wants_input(id)) {
            return false;
        }
        match connection.stream.read(&mut self.read_buffer) {
            Ok(0) => {
                connection.readable = false;
                if connection.over {
                    self.close(id, LeaveReason::Closed);
                } else {
                    self.core.input_done(id);
                }
                true
            }
            Ok(bytes) => {
                if !connection.over {
                    self.core.input(id, &self.read_buffer[..bytes]);
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.readable = false;
                false
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => false,
            Err(_) => {
                self.close(id, LeaveReason::Failed);
                true
            }
        }
    }

    /// Writes what waits for a client, as much as a turn allows. Whether anything was written, or will be in the
    /// next turn.
    fn write(&mut self, id: ClientId, now: Now) -> bool {
        let (mut written, mut later) = (0, false);
        while written < limits::WRITE_BYTES_PER_TURN && self.core.has_output(id) {
            let output = self.core.output(id, now);
            if matches!(output, Output::Nothing | Output::Later) {
                later = output == Output::Later;
                break;
            }
            let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut) else {
                return false;
            };
            let bytes = self.core.output_bytes(id, output);
            let wanted = bytes.len();
            let sent = match connection.stream.write(bytes) {
                Ok(sent) => sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => {
                    self.close(id, LeaveReason::Closed);
                    return true;
                }
            };
            self.core.sent(id, output, sent, now, (self.clock)());
            written += sent;
            if sent < wanted {
                self.watch(id);
                break;
            }
        }
        if self.core.is_over(id) {
            self.finish(id);
        }
        written > 0 || later
    }

    /// Waits for a blocked client's socket to take bytes again.
    fn watch(&mut self, id: ClientId) {
        let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut) else { return };
        if !connection.watched {
            connection.watched = true;
            let both = Interest::READABLE | Interest::WRITABLE;
            let _ = self.poll.registry().reregister(&mut connection.stream, Token(id as usize), both);
        }
    }

    /// The last word was said: the client sees the end of the stream, and what it still sends is dropped.
    fn finish(&mut self, id: ClientId) {
        let Some(connection) = self.connections.get_mut(id as usize).and_then(Option::as_mut) else { return };
        if !connection.over {
            connection.over = true;
            connection.readable = true;
            let _ = connection.stream.shutdown(std::net::Shutdown::Write);
        }
    }

    /// Writes to the clients whose subscriptions have something new.
    fn turn_streams(&mut self, now: Now) -> usize {
        let mut work = 0;
        for id in 0..self.connections.len() as ClientId {
            if self.core.has_output(id) {
                work += usize::from(self.write(id, now));
                if self.core.has_output(id) {
                    self.list(id);
                }
            }
        }
        work
    }

    fn turn_deadlines(&mut self, now: Now) {
        self.accepting |= self.socket.is_some();
        for id in 0..self.connections.len() as ClientId {
            if self.connections[id as usize].is_none() {
                continue;
            }
            if let Some(reason) = self.core.verdict(id, now) {
                self.close(id, reason);
            } else if self.core.heartbeat(id, now) {
                self.list(id);
            }
        }
    }

    fn close(&mut self, id: ClientId, reason: LeaveReason) {
        if let Some(mut connection) = self.connections.get_mut(id as usize).and_then(Option::take) {
            let _ = self.poll.registry().deregister(&mut connection.stream);
            self.core.disconnect(id, reason);
        }
    }

    /// Stops letting clients in and refuses new requests. What waits is written for at most
    /// [`limits::DRAIN_NS`].
    pub fn begin_shutdown(&mut self, now: Now) {
        if self.drain_until_ns.is_none() {
            self.drain_until_ns = Some(now.mono_ns + limits::DRAIN_NS);
            self.goodbye_until_ns = now.mono_ns + limits::GOODBYE_NS;
            self.core.begin_shutdown();
            if let Some(mut socket) = self.socket.take() {
                let _ = self.poll.registry().deregister(&mut socket.listener);
            }
        }
    }

    /// Whether, after [`Self::begin_shutdown`], every record was taken and every client has what it is due, or
    /// the time for that is over. The server may then be dropped, which closes all connections.
    #[must_use]
    pub fn is_drained(&self, now: Now) -> bool {
        let Some(until) = self.drain_until_ns else { return false };
        now.mono_ns >= until
            || (now.mono_ns >= self.goodbye_until_ns
                && self.records.waiting_bytes() == 0
                && (0..self.connections.len() as ClientId).all(|id| !self.core.owes(id)))
    }
}
