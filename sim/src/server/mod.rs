//! Serves a [`Protocol`] on a port: one thread, one poller, any number of connections.
//!
//! The only place that owns sockets and reads a clock. A turn: wait for sockets or the venue's next tick, take in
//! what clients said, let time pass at the venue, carry out its actions, flush each touched socket once.

mod door;
mod http;
mod peer;
pub(crate) mod tls;

use crate::error::SimError;
use crate::faults::{Fault, RefuseHow};
use crate::limits::{CLOSE_WAIT_MS, COMMAND_WAIT_MS, DRIP_EVERY_MS, READ_BYTES};
use crate::protocol::{Action, Backlog, ConnectionId, ControlFrame, Protocol, Request, RequestId, Response};
use crate::transport::Transport;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use peer::{Broken, Peer, Said};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tungstenite::Message;

const LISTENER: Token = Token(0);
const WAKER: Token = Token(1);
/// Tokens of connections are their ids, which begin behind the two above.
const FIRST_CONNECTION: ConnectionId = 2;
/// Events taken from the poller at once.
const EVENTS: usize = 256;

/// The wall clock in milliseconds, as the venues' times are.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A fault on its way to the server's thread, and where the outcome goes.
struct Command {
    fault: Fault,
    outcome: Sender<Result<(), SimError>>,
}

/// A running server; it ends when this is dropped.
pub struct Server {
    what: &'static str,
    port: u16,
    stop: Arc<AtomicBool>,
    waker: Arc<Waker>,
    commands: Sender<Command>,
    thread: Option<JoinHandle<()>>,
}

/// Sends faults to a running server, from any thread.
#[derive(Clone)]
pub struct Remote {
    what: &'static str,
    waker: Arc<Waker>,
    commands: Sender<Command>,
}

impl Remote {
    /// Makes something go wrong; returns when the server's thread has done so.
    pub fn fault(&self, fault: Fault) -> Result<(), SimError> {
        let (outcome, answer) = channel();
        let gone = |_| SimError::NoAnswer(self.what);
        self.commands.send(Command { fault, outcome }).map_err(|_| SimError::NoAnswer(self.what))?;
        self.wake();
        answer.recv_timeout(Duration::from_millis(COMMAND_WAIT_MS)).map_err(gone)?
    }

    /// Lets the server look at its venue at once.
    pub fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            log::warn!("cannot wake the thread of {}: {error}", self.what);
        }
    }
}

impl Server {
    /// Begins to serve on a port (0: any free one) of the loopback interface.
    pub fn start(
        what: &'static str,
        port: u16,
        tls: Option<Arc<tls::Settings>>,
        protocol: Box<dyn Protocol>,
    ) -> Result<Self, SimError> {
        let listen_failed = |source| SimError::Listen { what, port, source };
        let thread_failed = |source| SimError::Thread { what, source };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut listener = TcpListener::bind(address).map_err(listen_failed)?;
        let port = listener.local_addr().map_err(listen_failed)?.port();
        let poll = Poll::new().map_err(thread_failed)?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE).map_err(thread_failed)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER).map_err(thread_failed)?);
        let stop = Arc::new(AtomicBool::new(false));
        let (commands, receiver) = channel();
        let state = Loop {
            what,
            poll,
            listener: Some(listener),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            tls,
            protocol,
            stop: stop.clone(),
            commands: receiver,
            peers: Peers::default(),
            next_id: FIRST_CONNECTION,
            requests: HashMap::new(),
            delayed: BTreeMap::new(),
            transport: Transport::default(),
            paced_ms: None,
            now_ms: wall_ms(),
            actions: Vec::new(),
            buffer: vec![0; READ_BYTES],
        };
        let name = format!("sim-{what}");
        let thread =
            std::thread::Builder::new().name(name).spawn(move || state.run()).map_err(thread_failed)?;
        Ok(Self { what, port, stop, waker, commands, thread: Some(thread) })
    }

    /// The port served.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A sender of faults.
    pub fn remote(&self) -> Remote {
        Remote { what: self.what, waker: self.waker.clone(), commands: self.commands.clone() }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.remote().wake();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread of {} panicked", self.what);
        }
    }
}

/// A connection and what the loop knows of it.
struct Entry {
    peer: Peer,
    /// Announced to the protocol as a WebSocket.
    open: bool,
    /// The HTTP request being answered, and whether to keep the connection after it.
    answering: Option<(RequestId, bool)>,
    /// No more is taken in; the connection ends when all is sent, or at this time.
    ending_at_ms: Option<i64>,
}

#[derive(Default)]
struct Peers {
    entries: BTreeMap<ConnectionId, Entry>,
    /// Connections with something to flush.
    touched: BTreeSet<ConnectionId>,
}

impl Backlog for Peers {
    fn backlog_bytes(&self, connection: ConnectionId) -> usize {
        self.entries.get(&connection).map_or(0, |entry| entry.peer.backlog_bytes())
    }
}

struct Loop {
    what: &'static str,
    poll: Poll,
    /// None while connections are refused by not listening.
    listener: Option<TcpListener>,
    address: SocketAddr,
    tls: Option<Arc<tls::Settings>>,
    protocol: Box<dyn Protocol>,
    stop: Arc<AtomicBool>,
    commands: Receiver<Command>,
    peers: Peers,
    next_id: u64,
    requests: HashMap<RequestId, ConnectionId>,
    /// Answers held back by a fault, by the time they are due.
    delayed: BTreeMap<(i64, RequestId), Response>,
    /// The faults of the transport.
    transport: Transport,
    /// While everything is sent slowly: when bytes were last allowed.
    paced_ms: Option<i64>,
    now_ms: i64,
    actions: Vec<Action>,
    buffer: Vec<u8>,
}

impl Loop {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut wait_ms: i64 = 0;
        while !self.stop.load(Ordering::Acquire) {
            let timeout = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
            if let Err(error) = self.poll.poll(&mut events, Some(timeout))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                log::error!("{}: cannot poll: {error}", self.what);
                return;
            }
            // The venues' clocks never run backwards.
            self.now_ms = self.now_ms.max(wall_ms());
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(),
                    WAKER => {}
                    Token(id) => self.ready(id as ConnectionId, event.is_readable()),
                }
            }
            while let Ok(command) = self.commands.try_recv() {
                let outcome = self.begin_fault(&command.fault);
                self.carry_out();
                self.flush();
                // Nobody waiting any more is no trouble.
                drop(command.outcome.send(outcome));
            }
            wait_ms = self.protocol.tick(self.now_ms, &self.peers, &mut self.actions);
            self.carry_out();
            self.release_delayed();
            self.listen_again();
            self.pace();
            self.flush();
            self.end_overdue();
            if self.paced_ms.is_some() || self.listener.is_none() {
                wait_ms = wait_ms.min(DRIP_EVERY_MS);
            }
        }
    }

    fn begin_fault(&mut self, fault: &Fault) -> Result<(), SimError> {
        if matches!(fault, Fault::TlsFailure { .. }) && self.tls.is_none() {
            return Err(SimError::Fault("TLS is not spoken here".to_owned()));
        }
        self.protocol.fault(fault, self.now_ms, &mut self.actions)
    }

    fn ready(&mut self, id: ConnectionId, readable: bool) {
        self.peers.touched.insert(id);
        if !readable {
            return;
        }
        let Some(entry) = self.peers.entries.get_mut(&id) else { return };
        match entry.peer.read_socket(&mut self.buffer) {
            Ok(more) => {
                self.hear(id);
                if !more {
                    self.end(id);
                }
            }
            Err(Broken) => self.end(id),
        }
    }

    /// Takes in all that a client has said, until an HTTP request is still to be answered.
    fn hear(&mut self, id: ConnectionId) {
        while let Some(entry) = self.peers.entries.get_mut(&id) {
            if entry.answering.is_some() || (entry.ending_at_ms.is_some() && !entry.open) {
                return;
            }
            let Some(said) = entry.peer.next_said() else { return };
            let closing = entry.ending_at_ms.is_some();
            match said {
                Said::End => return self.end_politely(id),
                // After our close frame the client's messages no longer count; only its close does.
                Said::Message(_) if closing => {}
                Said::Message(message) => self.message(id, message),
                Said::NoRequest(status) => {
                    entry.peer.respond(&Response::text(status, ""), false);
                    return self.end_politely(id);
                }
                Said::Request(request) => self.request(id, &request),
            }
            self.carry_out();
        }
    }

    fn message(&mut self, id: ConnectionId, message: Message) {
        let now_ms = self.now_ms;
        match message {
            Message::Text(text) => self.protocol.text(id, text.as_str(), now_ms, &mut self.actions),
            Message::Ping(_) => self.protocol.control(id, ControlFrame::Ping, now_ms, &mut self.actions),
            Message::Pong(payload) => {
                let frame = ControlFrame::Pong(payload.to_vec());
                self.protocol.control(id, frame, now_ms, &mut self.actions);
            }
            Message::Binary(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                self.protocol.text(id, &text, now_ms, &mut self.actions);
            }
            Message::Close(_) | Message::Frame(_) => {}
        }
    }

    fn request(&mut self, id: ConnectionId, request: &Request) {
        let Some(entry) = self.peers.entries.get_mut(&id) else { return };
        if let Some(key) = http::websocket_key(request) {
            match self.protocol.open(id, &request.target, self.now_ms, &mut self.actions) {
                Ok(()) => {
                    entry.peer.become_websocket(key);
                    entry.open = true;
                }
                Err(response) => {
                    entry.peer.respond(&response, false);
                    self.end_politely(id);
                }
            }
            return;
        }
        let request_id = self.next_id;
        self.next_id += 1;
        entry.answering = Some((request_id, http::keeps_alive(request)));
        self.requests.insert(request_id, id);
        self.protocol.request(request_id, request, self.now_ms, &mut self.actions);
    }

    fn carry_out(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Text(id, text) => self.send(id, Message::Text(text)),
                Action::Odd(id, message) => self.send_with(id, |peer| peer.send_odd(&message)),
                Action::Half { connection, of_record } => self.send_half(connection, of_record),
                Action::Ping(id, payload) => self.send(id, Message::Ping(payload.into())),
                Action::Close(id, code, reason) => self.close(id, code, reason),
                Action::Drop(id) => self.end(id),
                Action::Reset(id) => {
                    if let Some(entry) = self.peers.entries.get(&id) {
                        entry.peer.reset_on_end();
                    }
                    self.end(id);
                }
                Action::Respond(request, response) => self.respond_at(request, response, self.now_ms),
                Action::RespondAt(request, response, at_ms) => self.respond_at(request, response, at_ms),
                Action::Transport(fault) => {
                    self.transport.begin(&fault, self.now_ms);
                    if self.transport.refuses(self.now_ms) == Some(RefuseHow::Refuse) {
                        // Dropped with those that wait to be accepted: from here on nobody listens.
                        self.listener = None;
                    }
                }
            }
        }
        // The buffer is used again, unless something was queued meanwhile.
        if self.actions.is_empty() {
            self.actions = actions;
        }
    }

    fn send(&mut self, id: ConnectionId, message: Message) {
        self.send_with(id, |peer| peer.send(message));
    }

    fn send_with(&mut self, id: ConnectionId, send: impl FnOnce(&mut Peer) -> Result<(), Broken>) {
        let Some(entry) = self.peers.entries.get_mut(&id) else { return };
        if entry.ending_at_ms.is_some() {
            return;
        }
        self.peers.touched.insert(id);
        if send(&mut entry.peer).is_err() {
            self.end(id);
        }
    }

    fn send_half(&mut self, id: ConnectionId, of_record: bool) {
        if let Some(entry) = self.peers.entries.get_mut(&id)
            && let Err(Broken) = entry.peer.send_half(of_record)
        {
            log::debug!("{}: a connection was gone before it was cut", self.what);
        }
        self.end(id);
    }

    /// Answers a request when a fault lets it, but not before this time.
    fn respond_at(&mut self, request: RequestId, response: Response, at_ms: i64) {
        let at_ms = at_ms.max(self.transport.answer_at_ms(self.now_ms));
        if at_ms > self.now_ms {
            self.delayed.insert((at_ms, request), response);
        } else {
            self.respond(request, &response);
        }
    }

    fn close(&mut self, id: ConnectionId, code: u16, reason: &'static str) {
        let Some(entry) = self.peers.entries.get_mut(&id) else { return };
        if entry.ending_at_ms.is_some() {
            return;
        }
        entry.ending_at_ms = Some(self.now_ms + CLOSE_WAIT_MS);
        self.peers.touched.insert(id);
        if entry.peer.close(code, reason).is_err() {
            self.end(id);
        }
    }

    fn release_delayed(&mut self) {
        while let Some(due) = self.delayed.first_entry() {
            if due.key().0 > self.now_ms {
                return;
            }
            let ((_, request), response) = due.remove_entry();
            self.respond(request, &response);
        }
    }

    fn respond(&mut self, request: RequestId, response: &Response) {
        let Some(id) = self.requests.remove(&request) else { return };
        let Some(entry) = self.peers.entries.get_mut(&id) else { return };
        let Some((_, keep_alive)) = entry.answering.take() else { return };
        entry.peer.respond(response, keep_alive);
        self.peers.touched.insert(id);
        if keep_alive {
            // The next request may have arrived with this one.
            self.hear(id);
        } else {
            self.end_politely(id);
        }
    }

    fn flush(&mut self) {
        while let Some(id) = self.peers.touched.pop_first() {
            let Some(entry) = self.peers.entries.get_mut(&id) else { continue };
            let flushed = entry.peer.flush();
            let done = entry.ending_at_ms.is_some() && !entry.open && entry.peer.backlog_bytes() == 0;
            if flushed.is_err() || done {
                self.end(id);
            }
        }
    }

    /// Ends a connection once everything queued is sent.
    fn end_politely(&mut self, id: ConnectionId) {
        let Some(entry) = self.peers.entries.get_mut(&id) else { return };
        entry.ending_at_ms = Some(self.now_ms + CLOSE_WAIT_MS);
        if std::mem::take(&mut entry.open) {
            self.protocol.closed(id, self.now_ms);
        }
        // The last plaintext must be in TLS before it is told that no more comes.
        if entry.peer.flush().is_err() {
            return self.end(id);
        }
        entry.peer.end_tls();
        self.peers.touched.insert(id);
    }

    /// Ends a connection now.
    fn end(&mut self, id: ConnectionId) {
        let Some(mut entry) = self.peers.entries.remove(&id) else { return };
        if let Some((request, _)) = entry.answering {
            self.requests.remove(&request);
        }
        if let Err(error) = self.poll.registry().deregister(entry.peer.socket()) {
            log::debug!("{}: cannot forget a connection: {error}", self.what);
        }
        if entry.open {
            self.protocol.closed(id, self.now_ms);
        }
    }

    fn end_overdue(&mut self) {
        let now_ms = self.now_ms;
        if self.paced_ms.is_some() {
            // Nothing is late while everything is slow.
            return;
        }
        let overdue = |entry: &Entry| entry.ending_at_ms.is_some_and(|at_ms| at_ms <= now_ms);
        let ids: Vec<ConnectionId> =
            self.peers.entries.iter().filter(|(_, entry)| overdue(entry)).map(|(id, _)| *id).collect();
        for id in ids {
            self.end(id);
        }
    }
}
