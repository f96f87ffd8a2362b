//! The protocol without a socket or a clock: records and bytes in, bytes out.
//!
//! One [`Core`] holds the replica, the topics, the shared log and a state machine per client. It is told
//! what came and what time it is, and asked what to write; the same code serves a socket, a test and a
//! simulation in virtual time.
//!
//! ```text
//!  record ─▶ replica ─▶ fanout ─▶ shared log ─┐
//!                                             ├─▶ output(client) ─▶ bytes
//!  bytes ─▶ input(client) ─▶ requests ─▶ own ─┘
//! ```

use crate::candle_feed::CandleWish;
use crate::candle_history::Parked;
use crate::client::{Client, ClientId, Ending};
use crate::config::CoreConfig;
use crate::counters::{Counters, add};
use crate::deliver::Staging;
use crate::event::{Event, Interest, LeaveReason};
use crate::fanout::Fanout;
use crate::limits;
use crate::replica::Replica;
use crate::topic::Slot;
use crate::window::Window;
use codec::drift::DriftTable;
use codec::protocol::error::ErrorCode;
use codec::protocol::message;
use codec::protocol::request::Refusal;
use codec::time::Now;
use codec::words::Venue;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Where the core's by-products go.
#[derive(Debug, Default)]
pub struct Outlets {
    /// To whoever prints for the operator.
    pub events: Option<rtrb::Producer<Event>>,
    /// To the engine: what somebody wants.
    pub interest: Option<rtrb::Producer<Interest>>,
    /// To whoever loads the candles of the past: which are to come first.
    pub candle_wishes: Option<rtrb::Producer<CandleWish>>,
    /// Figures for metrics.
    pub counters: Arc<Counters>,
    /// How venues differ from what is known of them, for whoever asks.
    pub drift: Vec<(Venue, Arc<DriftTable>)>,
}

/// See the module.
#[derive(Debug)]
pub struct Core {
    pub(crate) config: CoreConfig,
    pub(crate) replica: Replica,
    pub(crate) fanout: Fanout,
    pub(crate) clients: Vec<Option<Box<Client>>>,
    pub(crate) staging: Staging,
    pub(crate) outlets: Outlets,
    /// Room to measure, encode and compare in.
    pub(crate) scratch: Vec<u8>,
    pub(crate) window: Window,
    pub(crate) connected: usize,
    pub(crate) shutting_down: bool,
    /// Bytes of replies made in this turn.
    pub(crate) reply_bytes: usize,
    /// Bytes of long replies encoded in this turn.
    pub(crate) long_bytes: usize,
    /// The turn's number: a long reply goes on once in each.
    pub(crate) turn: u64,
    /// Candles of instruments that are not known yet.
    pub(crate) parked: Parked,
    /// The number of candle series, or of those that have loaded, is no longer what the counters say.
    pub(crate) totals_changed: bool,
    pub(crate) private_bytes: usize,
    pub(crate) ended: bool,
    start_mono_ns: u64,
    deadlines_mono_ns: u64,
    snapshot_slot: usize,
}

impl Core {
    /// A core without clients.
    #[must_use]
    pub fn new(config: CoreConfig, outlets: Outlets, now: Now) -> Self {
        let depth = config.retention.orderbook_depth.max(limits::HISTORY_DEPTH);
        Self {
            replica: Replica::new(&config),
            fanout: Fanout::new(config.clients_buffer_bytes, config.run_id, depth),
            clients: Vec::new(),
            staging: Staging::default(),
            outlets,
            scratch: Vec::new(),
            window: Window::with_depth(depth),
            connected: 0,
            shutting_down: false,
            reply_bytes: 0,
            long_bytes: 0,
            turn: 0,
            parked: Parked::default(),
            totals_changed: true,
            private_bytes: 0,
            ended: false,
            start_mono_ns: now.mono_ns,
            deadlines_mono_ns: now.mono_ns,
            snapshot_slot: 0,
            config,
        }
    }

    /// What it knows of the market.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Its figures.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.outlets.counters
    }

    /// Whether the record that ends a run came.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// How long it has run, s.
    #[must_use]
    pub const fn uptime_s(&self, now: Now) -> u64 {
        now.mono_ns.saturating_sub(self.start_mono_ns) / 1_000_000_000
    }

    pub(crate) fn tell(&mut self, event: Event) {
        let Some(events) = &mut self.outlets.events else { return };
        if events.push(event).is_err() {
            add(&self.outlets.counters.events_dropped_total, 1);
        }
    }

    /// Lets a client in. One past `max_clients` is let in only to be told so; its output ends with that.
    ///
    /// `None` when there is no room even for this.
    pub fn connect(&mut self, now: Now) -> Option<ClientId> {
        let refused = self.connected >= self.config.clients_max;
        let waiting = self.clients.iter().flatten().filter(|client| client.refused).count();
        if refused && waiting >= limits::REFUSED_CLIENTS_MAX {
            return None;
        }
        let place = self.clients.iter().position(Option::is_none).unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        let mut client = Box::new(Client::new(self.fanout.log.head(), now.mono_ns));
        let counters = &self.outlets.counters;
        if refused {
            add(&counters.refused_total, 1);
            let clients_max = self.config.clients_max;
            let refusal = Refusal::new(
                ErrorCode::TooMany,
                format!(
                    "{clients_max} clients are connected, which is `max_clients`; try again when one has left"
                ),
            );
            message::error(&mut client.out, None, &refusal);
            client.refused = true;
            end_after_flush(&mut client, now);
        } else {
            self.connected += 1;
            add(&counters.clients_total, 1);
            counters.clients.store(self.connected as u64, Ordering::Relaxed);
        }
        self.clients[place] = Some(client);
        Some(place as ClientId)
    }

    /// Forgets a client and whatever it subscribed to.
    pub fn disconnect(&mut self, id: ClientId, reason: LeaveReason) {
        self.unsubscribe_all(id);
        let Some(client) = self.clients.get_mut(id as usize).and_then(Option::take) else { return };
        self.private_bytes -= client.private_bytes;
        let counters = &self.outlets.counters;
        counters.private_bytes.store(self.private_bytes as u64, Ordering::Relaxed);
        if client.refused {
            return;
        }
        self.connected -= 1;
        counters.clients.store(self.connected as u64, Ordering::Relaxed);
        if reason == LeaveReason::NoProgress {
            add(&counters.no_progress_total, 1);
        }
        self.tell(Event::ClientLeft { client: id, reason });
    }

    /// A client, if it is connected.
    #[must_use]
    pub fn client(&self, id: ClientId) -> Option<&Client> {
        self.clients.get(id as usize)?.as_deref()
    }

    pub(crate) fn client_mut(&mut self, id: ClientId) -> Option<&mut Client> {
        self.clients.get_mut(id as usize)?.as_deref_mut()
    }

    /// Clients connected, refused ones not counted.
    #[must_use]
    pub const fn connected(&self) -> usize {
        self.connected
    }

    /// Begins a turn: its budgets are full again.
    pub fn begin_turn(&mut self) {
        self.reply_bytes = 0;
        self.long_bytes = 0;
        self.turn += 1;
        self.count_series();
    }

    /// Whether bytes from a client are of use now; while its replies wait to be written, they are not.
    #[must_use]
    pub fn wants_input(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| {
            client.ending == Ending::AfterFlush
                || (client.ending == Ending::None && client.takes_requests() && !client.inbox.is_ready())
        })
    }

    /// Takes bytes from a client. They are looked at by [`Self::serve`].
    pub fn input(&mut self, id: ClientId, bytes: &[u8]) {
        let Some(client) = self.client_mut(id) else { return };
        if client.ending == Ending::None {
            client.inbox.push(bytes);
            self.account(id);
        }
    }

    /// The client will send nothing more. What it asked for is still answered.
    pub fn input_done(&mut self, id: ClientId) {
        if let Some(client) = self.client_mut(id)
            && client.ending == Ending::None
        {
            client.ending = Ending::InputDone;
        }
    }

    /// Answers waiting requests of a client, within the budgets of the turn. Whether there was any.
    pub fn serve(&mut self, id: ClientId, now: Now) -> bool {
        let mut served = 0;
        while served < limits::REQUESTS_PER_TURN && self.reply_bytes < limits::REPLY_BYTES_ALL_PER_TURN {
            let Some(client) = self.client_mut(id) else { break };
            if !client.takes_requests() {
                break;
            }
            // The inbox is lent out while its frame is read in place.
            let mut inbox = core::mem::replace(&mut client.inbox, codec::protocol::frame::Frames::new(0));
            let before = client.out.len();
            let more = match inbox.next_frame() {
                Ok(None) => false,
                Ok(Some(frame)) => {
                    self.handle(id, frame, now);
                    true
                }
                Err(too_large) => {
                    self.refuse_frame(id, too_large.bytes, now);
                    inbox = codec::protocol::frame::Frames::new(0);
                    false
                }
            };
            if inbox.capacity_bytes() > limits::INBOX_KEEP_BYTES_MAX {
                inbox.release();
            }
            if let Some(client) = self.client_mut(id) {
                client.inbox = inbox;
                let made = client.out.len().saturating_sub(before);
                self.reply_bytes += made;
            }
            self.account(id);
            if !more {
                break;
            }
            served += 1;
        }
        served > 0
    }

    /// Whether [`Self::serve`] would find a request to answer.
    #[must_use]
    pub fn can_serve(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| client.takes_requests() && client.inbox.is_ready())
    }

    /// Whether anything is still to be written to a client, blocked or not.
    #[must_use]
    pub fn owes(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| {
            !client.is_flushed() || (!client.subs.is_empty() && client.cursor < self.fanout.log.head())
        })
    }

    /// Where the shared log ends: it grows when there is something to write.
    #[must_use]
    pub const fn log_head(&self) -> u64 {
        self.fanout.log.head()
    }

    fn refuse_frame(&mut self, id: ClientId, bytes: usize, now: Now) {
        let bytes_max = codec::protocol::frame::REQUEST_BYTES_MAX;
        let refusal = Refusal::new(
            ErrorCode::FrameTooLarge,
            format!("a frame of {bytes} bytes; a request has at most {bytes_max}"),
        );
        add(&self.outlets.counters.errors_total, 1);
        if let Some(client) = self.client_mut(id) {
            message::error(&mut client.out, None, &refusal);
            end_after_flush(client, now);
        }
    }

    /// Counts a client's memory; one that would exceed what there is for all is sent away.
    pub(crate) fn account(&mut self, id: ClientId) {
        let Some(client) = self.clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        let held = client.held_bytes();
        self.private_bytes = self.private_bytes + held - client.private_bytes;
        client.private_bytes = held;
        self.outlets.counters.private_bytes.store(self.private_bytes as u64, Ordering::Relaxed);
    }

    /// Whether a client has to be disconnected now, and why.
    #[must_use]
    pub fn verdict(&self, id: ClientId, now: Now) -> Option<LeaveReason> {
        let client = self.client(id)?;
        if self.private_bytes > limits::PRIVATE_BYTES_MAX
            && client.private_bytes > limits::REPLY_BACKLOG_BYTES_MAX
        {
            return Some(LeaveReason::OutOfMemory);
        }
        match client.ending {
            Ending::AfterFlush if now.mono_ns >= client.close_mono_ns => Some(LeaveReason::FrameTooLarge),
            Ending::InputDone if client.is_flushed() && !client.inbox.is_ready() => Some(LeaveReason::Closed),
            _ if client.blocked
                && now.mono_ns.saturating_sub(client.progress_mono_ns) >= limits::PROGRESS_NS =>
            {
                Some(LeaveReason::NoProgress)
            }
            _ => None,
        }
    }

    /// Whether a client was told its last and may have its writing side closed.
    #[must_use]
    pub fn is_over(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| client.ending == Ending::AfterFlush && client.is_flushed())
    }

    /// Whether it is time to look at every client's deadlines ([`Self::verdict`], [`Self::heartbeat`]).
    pub const fn deadlines_due(&mut self, now: Now) -> bool {
        if now.mono_ns < self.deadlines_mono_ns {
            return false;
        }
        self.deadlines_mono_ns = now.mono_ns + limits::DEADLINES_EVERY_NS;
        true
    }

    /// Gives a client a heartbeat if it has heard nothing for long. Whether it got one.
    pub fn heartbeat(&mut self, id: ClientId, now: Now) -> bool {
        let Some(client) = self.client_mut(id) else { return false };
        let due = now.mono_ns.saturating_sub(client.sent_mono_ns) >= limits::HEARTBEAT_NS;
        if !due || client.blocked || !client.is_flushed() || client.ending != Ending::None {
            return false;
        }
        message::heartbeat(&mut client.out, now.wall_ns);
        true
    }

    /// Keeps the once-a-second books, a few symbols per call. Whether any was kept.
    pub fn keep_books(&mut self, now: Now) -> bool {
        let count = self.replica.instruments().len();
        let second = now.wall_ns / 1_000_000_000;
        let mut kept = false;
        for _ in 0..limits::SNAPSHOTS_PER_TURN.min(count) {
            let slot = self.snapshot_slot % count;
            if self.replica.instruments()[slot].book_second == second {
                // Everybody after it has had its turn too.
                break;
            }
            self.snapshot_slot = (slot + 1) % count;
            self.keep_book(slot as Slot, second, now);
            kept = true;
        }
        kept
    }

    fn keep_book(&mut self, slot: Slot, second: u64, now: Now) {
        let outcome = self.replica.instrument_mut(slot).book.settle(now.mono_ns, limits::STALE_RETURN_NS);
        self.publish_book(slot, None, outcome, now);
        let instrument = self.replica.instrument_mut(slot);
        instrument.book_second = second;
        if instrument.book.is_served() {
            instrument.book.show(&mut self.window, limits::HISTORY_DEPTH);
            instrument.books.push(crate::replica::history::BookRow::of(&self.window));
        }
    }

    /// New requests are refused from now on.
    pub fn begin_shutdown(&mut self) {
        self.shutting_down = true;
        // Subscribers learn it from the streams' own status; who has none is told as well.
        for client in self.clients.iter_mut().flatten() {
            if client.subscriptions.is_empty() && client.is_flushed() && client.ending == Ending::None {
                message::error(&mut client.out, None, &shutting_down());
            }
        }
    }
}

/// What everybody hears while the daemon stops.
pub(crate) fn shutting_down() -> Refusal {
    Refusal::new(ErrorCode::ShuttingDown, "the daemon is stopping; connect again when it has been restarted")
}

/// The connection ends once this is written.
pub(crate) const fn end_after_flush(client: &mut Client, now: Now) {
    client.ending = Ending::AfterFlush;
    client.close_mono_ns = now.mono_ns + limits::LINGER_NS;
}
