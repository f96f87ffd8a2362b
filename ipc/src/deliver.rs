//! Delivery: what a client is to be written next, and what it means that it was.
//!
//! A client's own bytes go first, then what the shared log holds for it. From the log whole messages are
//! gathered into one buffer, so that a burst costs one write. Nothing is remembered until bytes are
//! written; of a message that was written in part, the rest becomes the client's own.
//!
//! A client that keeps up gets every message. One that was blocked and has more than
//! [`CONFLATE_BYTES`](crate::limits::CONFLATE_BYTES) waiting gets of each book and quote only the newest,
//! until it has caught up. One that the log has run over continues at its head and is told what it
//! missed, topic by topic.

use crate::client::{Catchup, Client, ClientId, Sub};
use crate::core::Core;
use crate::counters::add;
use crate::event::Event;
use crate::fanout::Fanout;
use crate::limits::{
    ENTRIES_PER_TURN, GATHER_BYTES_MAX, LONG_BYTES_ALL_PER_TURN, REPLY_BACKLOG_BYTES_MAX,
    REPLY_BYTES_PER_TURN,
};
use crate::log::Entry;
use crate::replica::Replica;
use crate::topic::{Encoding, Scope, TopicId, TopicKey, What};
use codec::protocol::message::{self, Extra, Names};
use codec::record::{GapBody, Header, Kind, MISSED_UNKNOWN, flags};
use codec::time::Now;
use codec::words::{Reason, Stream, Venue};

/// One gathered message.
#[derive(Clone, Copy, Debug)]
struct Staged {
    /// Where its bytes begin in the buffer.
    start: usize,
    /// Where it lies in the log.
    offset: u64,
    topic: TopicId,
    number: u64,
    recv_ns: u64,
}

/// Messages gathered for one write.
#[derive(Debug, Default)]
pub struct Staging {
    bytes: Vec<u8>,
    messages: Vec<Staged>,
    /// Where the log was left.
    end: u64,
    /// Everything the log holds was gathered.
    reached_head: bool,
    conflated: u64,
}

impl Staging {
    fn clear(&mut self) {
        self.bytes.clear();
        self.messages.clear();
        self.conflated = 0;
        self.reached_head = false;
    }

    fn stage(&mut self, entry: &Entry<'_>) {
        self.messages.push(Staged {
            start: self.bytes.len(),
            offset: entry.offset,
            topic: entry.topic,
            number: entry.number,
            recv_ns: entry.recv_ns,
        });
    }
}

/// What [`Core::output`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nothing to write.
    Nothing,
    /// The client's own bytes ([`Core::output_bytes`]).
    Own,
    /// Messages from the log ([`Core::output_bytes`]).
    Gathered,
    /// Nothing yet, but work remains: call again in the next turn.
    Later,
}

impl Core {
    /// Whether a client may have something to be written.
    #[must_use]
    pub fn has_output(&self, id: ClientId) -> bool {
        self.client(id).is_some_and(|client| {
            !client.blocked
                && (!client.is_flushed()
                    || client.catchup.is_some()
                    || (!client.subs.is_empty() && client.cursor < self.fanout.log.head()))
        })
    }

    /// Prepares what to write to a client next. [`Self::sent`] must follow before anything else is done.
    pub fn output(&mut self, id: ClientId, now: Now) -> Output {
        let Self { clients, fanout, replica, staging, scratch, turn, long_bytes, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else {
            return Output::Nothing;
        };
        if client.out_at < client.out.len() {
            return Output::Own;
        }
        if let Some(long) = &mut client.long {
            if client.long_turn == *turn || *long_bytes >= LONG_BYTES_ALL_PER_TURN {
                return Output::Later;
            }
            client.long_turn = *turn;
            if long.go_on(&mut client.out, scratch, replica, now, REPLY_BYTES_PER_TURN) {
                client.long = None;
            }
            *long_bytes += client.out.len();
            let output = if client.out.is_empty() { Output::Later } else { Output::Own };
            self.account(id);
            return output;
        }
        if client.subs.is_empty() {
            client.cursor = fanout.log.head();
            return Output::Nothing;
        }
        if !fanout.log.holds(client.cursor) {
            client.cursor = fanout.log.head();
            client.catchup = Some(Catchup { newest: false, place: 0 });
            client.conflating = false;
            add(&self.outlets.counters.lagged_total, 1);
            self.tell(Event::ClientLagged { client: id });
            return self.output(id, now);
        }
        if client.catchup.is_some() {
            let missed = catch_up(client, fanout, replica, now);
            add(&self.outlets.counters.missed_total, missed);
            let output = if client.out.is_empty() { Output::Later } else { Output::Own };
            self.account(id);
            return output;
        }
        gather(client, fanout, replica, staging, now);
        if staging.bytes.is_empty() {
            // What was passed over is of no concern to it.
            client.cursor = staging.end;
            if staging.reached_head {
                (client.behind, client.conflating) = (false, false);
                return Output::Nothing;
            }
            return Output::Later;
        }
        Output::Gathered
    }

    /// The bytes that [`Self::output`] prepared.
    #[must_use]
    pub fn output_bytes(&self, id: ClientId, output: Output) -> &[u8] {
        match (output, self.client(id)) {
            (Output::Own, Some(client)) => &client.out[client.out_at..],
            (Output::Gathered, _) => &self.staging.bytes,
            _ => &[],
        }
    }

    /// Takes note that `bytes` of the prepared bytes were written; fewer than all: the client is blocked.
    /// `wall_ns` is the time after the write, for the latency figures.
    pub fn sent(&mut self, id: ClientId, output: Output, bytes: usize, now: Now, wall_ns: u64) {
        let Self { clients, staging, outlets, .. } = self;
        let Some(client) = clients.get_mut(id as usize).and_then(Option::as_deref_mut) else { return };
        let counters = &outlets.counters;
        add(&counters.bytes_total, bytes as u64);
        if bytes > 0 {
            client.sent_mono_ns = now.mono_ns;
            client.progress_mono_ns = now.mono_ns;
        }
        match output {
            Output::Own => {
                client.out_at += bytes;
                client.blocked = client.out_at < client.out.len();
                client.shrink();
            }
            Output::Gathered => {
                let done = if bytes == staging.bytes.len() {
                    staging.messages.len()
                } else {
                    staging.messages.partition_point(|message| message.start < bytes)
                };
                for message in &staging.messages[..done] {
                    client.subs.see(message.topic, message.number);
                    if message.recv_ns > 0 {
                        counters.latency.observe(wall_ns.saturating_sub(message.recv_ns));
                    }
                }
                add(&counters.messages_total, done as u64);
                client.blocked = bytes < staging.bytes.len();
                if client.blocked {
                    let next = staging.messages.get(done);
                    let end = next.map_or(staging.bytes.len(), |message| message.start);
                    client.out.extend_from_slice(&staging.bytes[bytes..end]);
                    client.cursor = next.map_or(staging.end, |message| message.offset);
                } else {
                    client.cursor = staging.end;
                    add(&counters.conflated_total, staging.conflated);
                    if staging.reached_head {
                        (client.behind, client.conflating) = (false, false);
                    }
                }
            }
            Output::Nothing | Output::Later => {}
        }
        client.behind |= client.blocked;
        self.account(id);
    }

    /// The client's socket takes bytes again.
    pub fn writable(&mut self, id: ClientId) {
        if let Some(client) = self.client_mut(id) {
            client.blocked = false;
        }
    }
}

/// Gathers what the log holds for a client, from its cursor on.
fn gather(client: &mut Client, fanout: &mut Fanout, replica: &Replica, staging: &mut Staging, now: Now) {
    staging.clear();
    staging.end = client.cursor;
    let mut looked = 0;
    while let Some(entry) = fanout.log.entry(staging.end) {
        if looked == ENTRIES_PER_TURN {
            return;
        }
        looked += 1;
        let sub = client.subs.find(entry.topic).and_then(|place| client.subs.at(place));
        let Some(sub) = sub.filter(|sub| entry.number > sub.seen) else {
            staging.end = entry.next;
            continue;
        };
        let topic = fanout.topics.get(entry.topic);
        let (key, newest) = (topic.key, topic.count);
        let newest_only = client.conflating && key.conflates();
        if newest_only && entry.number < newest {
            staging.end = entry.next;
            continue;
        }
        if !staging.bytes.is_empty() && staging.bytes.len() + entry.frame.len() > GATHER_BYTES_MAX {
            if !client.behind || client.conflating {
                return;
            }
            // Too much waits for a client that does not keep up: again, with the newest only.
            client.conflating = true;
            staging.clear();
            staging.end = client.cursor;
            continue;
        }
        staging.stage(&entry);
        // What nothing was skipped before follows from what the client has.
        let left_out = entry.number - sub.seen - 1;
        if newest_only && left_out > 0 {
            let next = entry.next;
            staging.conflated += left_out;
            put_state(&mut staging.bytes, fanout, replica, (sub, key, left_out), now);
            staging.end = next;
        } else {
            staging.bytes.extend_from_slice(entry.frame);
            staging.end = entry.next;
        }
    }
    staging.reached_head = true;
}

/// The current state of a book or quote topic, as one message that replaces `left_out` others and its own.
fn put_state(
    out: &mut Vec<u8>,
    fanout: &mut Fanout,
    replica: &Replica,
    (sub, key, left_out): (Sub, TopicKey, u64),
    now: Now,
) {
    let Scope::Instrument(slot) = key.scope else { return };
    let instrument = replica.instrument(slot);
    let extra = Extra { conflated: left_out, stale: false };
    match (key.stream, key.encoding) {
        (Stream::Orderbook, Encoding::Msgpack) => {
            let topic = fanout.topics.get(sub.topic);
            let Some(window) = topic.window.as_deref() else { return };
            let as_snapshot = key.chains() || topic.snapshot_number > sub.seen;
            let levels = (&window.bids[..], &window.asks[..]);
            message::book(out, None, as_snapshot, &instrument.names, &window.meta, levels, extra);
        }
        (Stream::Orderbook, Encoding::Record) => {
            // The replica may be ahead of the log only while the book is not live; then its status follows
            // in the log, and a snapshot after that.
            if !instrument.book.is_served() {
                return;
            }
            let header = fanout.notice_header(
                Kind::Gap,
                Some(instrument.venue),
                Stream::Orderbook,
                instrument.record_id,
                now.wall_ns,
            );
            let header = Header { sequence: instrument.book.at.sequence, ..header };
            let body = GapBody::new(Reason::SlowClient, left_out + 1, 0, 0);
            fanout.put_gap(out, Encoding::Record, &instrument.names, &header, &body);
            fanout.put_book_record(out, instrument);
        }
        (_, Encoding::Msgpack) => {
            let Some(quote) = &instrument.shown_quote else { return };
            message::quote(out, &instrument.names, quote.row.times, &quote.row.body, extra);
        }
        (_, Encoding::Record) => {
            let Some(quote) = &instrument.shown_quote else { return };
            let header = Header { flags: quote.header.flags | flags::CONFLATED, ..quote.header };
            fanout.put_fixed(out, header, &quote.row.body);
        }
    }
}

/// Tells a client that fell behind the log what it missed; a piece per turn. How many messages were lost.
fn catch_up(client: &mut Client, fanout: &mut Fanout, replica: &Replica, now: Now) -> u64 {
    let mut lost = 0;
    let start = client.out.len();
    while let Some(Catchup { newest, place }) = client.catchup {
        if client.out.len() - start >= REPLY_BACKLOG_BYTES_MAX {
            return lost;
        }
        let Some(sub) = client.subs.at(place) else {
            client.catchup = (!newest).then_some(Catchup { newest: true, place: 0 });
            continue;
        };
        client.catchup = Some(Catchup { newest, place: place + 1 });
        let topic = fanout.topics.get(sub.topic);
        let (key, count) = (topic.key, topic.count);
        if count == sub.seen || key.conflates() != newest {
            continue;
        }
        let missed = count - sub.seen;
        client.subs.see(sub.topic, count);
        match key.what {
            What::Status => put_current_status(&mut client.out, fanout, replica, key, now),
            What::Gap => put_loss(&mut client.out, fanout, replica, key, MISSED_UNKNOWN, now),
            What::Instrument => put_instruments(&mut client.out, replica, key.scope),
            _ if newest => {
                let Scope::Instrument(slot) = key.scope else { continue };
                if replica.instrument(slot).is_served(key.stream) {
                    put_state(&mut client.out, fanout, replica, (sub, key, missed - 1), now);
                } else {
                    // No newer one says that these were left out.
                    lost += missed;
                    put_loss(&mut client.out, fanout, replica, key, missed, now);
                }
            }
            _ => {
                lost += missed;
                put_loss(&mut client.out, fanout, replica, key, missed, now);
            }
        }
    }
    lost
}

/// Appends the records of an instrument, or of all of a venue's.
fn put_instruments(out: &mut Vec<u8>, replica: &Replica, scope: Scope) {
    match scope {
        Scope::Instrument(slot) => out.extend_from_slice(&replica.instrument(slot).frame),
        Scope::Venue(venue) => {
            for &slot in replica.venue(venue).map_or(&[][..], |venue| &venue.sorted) {
                out.extend_from_slice(&replica.instrument(slot).frame);
            }
        }
        Scope::Daemon => {}
    }
}

/// Names, venue and number of what a topic is about.
fn about(replica: &Replica, scope: Scope) -> (Names, Option<Venue>, Option<u32>) {
    match scope {
        Scope::Instrument(slot) => {
            let instrument = replica.instrument(slot);
            (instrument.names.clone(), Some(instrument.venue), instrument.record_id)
        }
        Scope::Venue(venue) => (Names::new(Some(venue), None), Some(venue), None),
        Scope::Daemon => (Names::new(None, None), None, None),
    }
}

fn put_loss(out: &mut Vec<u8>, fanout: &mut Fanout, replica: &Replica, key: TopicKey, missed: u64, now: Now) {
    let (names, venue, instrument) = about(replica, key.scope);
    let header = fanout.notice_header(Kind::Gap, venue, key.stream, instrument, now.wall_ns);
    fanout.put_gap(out, key.encoding, &names, &header, &GapBody::new(Reason::SlowClient, missed, 0, 0));
}

/// Appends the current status of what a topic is about.
pub(crate) fn put_current_status(
    out: &mut Vec<u8>,
    fanout: &mut Fanout,
    replica: &Replica,
    key: TopicKey,
    now: Now,
) {
    let (names, venue, instrument) = about(replica, key.scope);
    let status = match key.scope {
        Scope::Instrument(slot) => {
            let instrument = replica.instrument(slot);
            if key.stream == Stream::Orderbook {
                instrument.book.note_told();
            }
            instrument.status(key.stream, now)
        }
        Scope::Venue(venue) => match replica.venue_status(venue, key.stream) {
            Some(status) => status.view(key.stream, now),
            None => return,
        },
        Scope::Daemon => replica.recorder.view(Stream::Recorder, now),
    };
    let header = fanout.notice_header(Kind::Status, venue, key.stream, instrument, now.wall_ns);
    fanout.put_status(out, key.encoding, &names, &header, &status);
}
