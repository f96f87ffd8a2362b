//! Fan-out: a record becomes one message per topic that somebody subscribes to, in the shared log.

use crate::log::Log;
use crate::replica::candles::ShownCandle;
use crate::replica::instrument::{Instrument, LastQuote};
use crate::topic::{Encoding, Mode, Scope, Slot, TopicId, TopicKey, Topics, What};
use crate::window::{Window, difference};
use codec::protocol::frame::put_record_frame;
use codec::protocol::message::{self, Extra, Names, StatusView, Times};
use codec::record::{GapBody, Header, Kind, Level, NO_INSTRUMENT, Record, RecordBuilder, StatusBody};
use codec::words::{Interval, Stream};
use zerocopy::{Immutable, IntoBytes};

/// Particulars belong to no stream; their topic is filed under this one, whichever is subscribed to.
pub const INSTRUMENT_STREAM: Stream = Stream::Quotes;

/// Who a status or gap is about.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// Its topics' scope.
    pub scope: Scope,
    /// Its names.
    pub names: &'a Names,
}

/// See the module.
#[derive(Debug)]
pub struct Fanout {
    /// Topics that have subscribers.
    pub topics: Topics,
    /// Their messages.
    pub log: Log,
    /// This run's id, in records made here.
    pub run_id: u64,
    out: Vec<u8>,
    shown: Window,
    bid_changes: Vec<Level>,
    ask_changes: Vec<Level>,
    builder: RecordBuilder,
}

impl Fanout {
    /// Nothing published yet.
    #[must_use]
    pub fn new(log_bytes: usize, run_id: u64, depth_max: usize) -> Self {
        Self {
            topics: Topics::default(),
            log: Log::new(log_bytes),
            run_id,
            out: Vec::with_capacity(codec::limits::RECORD_BYTES_MAX),
            shown: Window::with_depth(depth_max),
            bid_changes: Vec::with_capacity(2 * depth_max),
            ask_changes: Vec::with_capacity(2 * depth_max),
            builder: RecordBuilder::new(),
        }
    }

    #[inline]
    fn send(&mut self, id: TopicId, recv_ns: u64, is_snapshot: bool) {
        self.topics.publish(&mut self.log, id, recv_ns, &self.out, is_snapshot);
    }

    /// The record itself, for those who want records.
    fn send_record(&mut self, id: TopicId, record: Record<'_>, is_snapshot: bool) {
        self.out.clear();
        put_record_frame(&mut self.out, record.bytes());
        self.send(id, record.header().ts_recv_ns, is_snapshot);
    }

    /// The topics of a scope and stream, copied one by one because publishing changes them.
    #[inline]
    fn topic(&self, scope: Scope, stream: Stream, place: usize) -> Option<(TopicId, TopicKey)> {
        let id = *self.topics.of(scope, stream).get(place)?;
        Some((id, self.topics.get(id).key))
    }

    /// A record whose message does not depend on the one before.
    #[inline]
    fn plain(
        &mut self,
        scope: Scope,
        stream: Stream,
        what: What,
        record: Record<'_>,
        encode: impl Fn(&mut Vec<u8>),
    ) {
        let mut place = 0;
        while let Some((id, key)) = self.topic(scope, stream, place) {
            place += 1;
            if key.what != what {
                continue;
            }
            match key.encoding {
                Encoding::Msgpack => {
                    self.out.clear();
                    encode(&mut self.out);
                    self.send(id, record.header().ts_recv_ns, false);
                }
                Encoding::Record => self.send_record(id, record, false),
            }
        }
    }

    /// A quote.
    pub fn quote(&mut self, slot: Slot, instrument: &Instrument, record: Record<'_>, quote: &LastQuote) {
        self.plain(Scope::Instrument(slot), Stream::Quotes, What::Data, record, |out| {
            message::quote(out, &instrument.names, quote.row.times, &quote.row.body, Extra::default());
        });
    }

    /// A trade.
    pub fn trade(&mut self, slot: Slot, instrument: &Instrument, record: Record<'_>, backfill: bool) {
        let Some(body) = record.trade() else { return };
        self.plain(Scope::Instrument(slot), Stream::Trades, What::Data, record, |out| {
            message::trade(out, &instrument.names, Times::of(record.header()), body, backfill);
        });
    }

    /// Funding.
    pub fn funding(&mut self, slot: Slot, instrument: &Instrument, record: Record<'_>) {
        let Some(body) = record.funding() else { return };
        self.plain(Scope::Instrument(slot), Stream::Funding, What::Data, record, |out| {
            message::funding(out, None, &instrument.names, Times::of(record.header()), body);
        });
    }

    /// A candle.
    pub fn candle(&mut self, slot: Slot, instrument: &Instrument, record: Record<'_>, interval: Interval) {
        let Some(body) = record.candle() else { return };
        self.plain(Scope::Instrument(slot), Stream::Candles, What::Candles(interval), record, |out| {
            message::candle(out, &instrument.names, record.header().ts_recv_ns, body);
        });
    }

    /// One of the account's fills.
    pub fn fill(&mut self, instrument: &Instrument, record: Record<'_>) {
        let Some(body) = record.fill() else { return };
        self.plain(Scope::Venue(instrument.venue), Stream::Fills, What::Data, record, |out| {
            message::fill(out, &instrument.names, Times::of(record.header()), body);
        });
    }

    /// An instrument's particulars, to those who want records.
    pub fn instrument(&mut self, slot: Slot, instrument: &Instrument) {
        let own = (Scope::Instrument(slot), INSTRUMENT_STREAM);
        for (scope, stream) in [own, (Scope::Venue(instrument.venue), Stream::Fills)] {
            let mut place = 0;
            while let Some((id, key)) = self.topic(scope, stream, place) {
                place += 1;
                if key.what == What::Instrument && key.encoding == Encoding::Record {
                    self.topics.publish(&mut self.log, id, 0, &instrument.frame, false);
                }
            }
        }
    }

    /// A stream's new state.
    pub fn status(&mut self, about: About<'_>, header: &Header, status: &StatusView) {
        let body = StatusBody::new(status.state, status.reason, status.age_ms);
        self.notice(about, status.stream, What::Status, |out, builder, encoding| match encoding {
            Encoding::Msgpack => message::status(out, about.names, Times::of(header), status),
            Encoding::Record => {
                let header = Header { kind: Kind::Status as u8, ..*header };
                put_record_frame(out, builder.fixed(header, &body).bytes());
            }
        });
    }

    /// A loss.
    pub fn gap(&mut self, about: About<'_>, header: &Header, stream: Stream, body: &GapBody) {
        self.notice(about, stream, What::Gap, |out, builder, encoding| match encoding {
            Encoding::Msgpack => message::gap(out, about.names, Times::of(header), stream, body),
            Encoding::Record => put_record_frame(out, builder.fixed(*header, body).bytes()),
        });
    }

    fn notice(
        &mut self,
        about: About<'_>,
        stream: Stream,
        what: What,
        encode: impl Fn(&mut Vec<u8>, &mut RecordBuilder, Encoding),
    ) {
        let mut place = 0;
        while let Some((id, key)) = self.topic(about.scope, stream, place) {
            place += 1;
            if key.what == what {
                self.out.clear();
                encode(&mut self.out, &mut self.builder, key.encoding);
                self.send(id, 0, false);
            }
        }
    }

    /// A book's next state, or a new beginning (`as_snapshot`). Without a record it is made from the replica.
    pub fn book(
        &mut self,
        slot: Slot,
        instrument: &Instrument,
        record: Option<Record<'_>>,
        as_snapshot: bool,
    ) {
        let mut place = 0;
        while let Some((id, key)) = self.topic(Scope::Instrument(slot), Stream::Orderbook, place) {
            place += 1;
            match key.what {
                What::Book { depth, mode } => {
                    self.book_window(id, instrument, record, depth as usize, mode, as_snapshot);
                }
                What::Data => match record {
                    Some(record) if !as_snapshot || record.kind() == Kind::BookSnapshot => {
                        self.send_record(id, record, as_snapshot);
                    }
                    _ => {
                        self.out.clear();
                        self.book_record(instrument);
                        self.send(id, record.map_or(0, |record| record.header().ts_recv_ns), true);
                    }
                },
                _ => {}
            }
        }
    }

    fn book_window(
        &mut self,
        id: TopicId,
        instrument: &Instrument,
        record: Option<Record<'_>>,
        depth: usize,
        mode: Mode,
        as_snapshot: bool,
    ) {
        let book = &instrument.book;
        let topic = self.topics.get_mut(id);
        let Some(window) = topic.window.as_deref_mut() else { return };
        if !as_snapshot && let Some(delta) = record.filter(|record| record.kind() == Kind::BookDelta) {
            let untouched = delta.book().is_some_and(|delta| book.leaves_alone(window, depth, &delta));
            if untouched {
                return;
            }
        }
        let shown = &mut self.shown;
        book.show(shown, depth);
        // Of a timed book the times have changed even where the levels have not.
        if !as_snapshot && !book.is_timed() && shown.bids == window.bids && shown.asks == window.asks {
            return;
        }
        self.out.clear();
        if as_snapshot || mode == Mode::Full {
            let levels = (&shown.bids[..], &shown.asks[..]);
            message::book(
                &mut self.out,
                None,
                as_snapshot,
                &instrument.names,
                &shown.meta,
                levels,
                Extra::default(),
            );
        } else {
            difference(&window.bids, &shown.bids, 1, &mut self.bid_changes);
            difference(&window.asks, &shown.asks, -1, &mut self.ask_changes);
            let prev_sequence = window.meta.sequence;
            message::delta(
                &mut self.out,
                &instrument.names,
                &shown.meta,
                prev_sequence,
                &self.bid_changes,
                &self.ask_changes,
            );
        }
        window.copy_from(shown);
        // Without a record nothing was received just now that could be timed.
        self.send(id, record.map_or(0, |record| record.header().ts_recv_ns), as_snapshot);
    }

    /// Appends the whole book as a record frame to `self.out`.
    fn book_record(&mut self, instrument: &Instrument) {
        let record =
            instrument.book.record(&mut self.builder, instrument.venue, instrument.record_id, self.run_id);
        if let Ok(record) = record {
            put_record_frame(&mut self.out, record.bytes());
        }
    }

    /// Appends the whole book as a record frame, for one client.
    pub fn put_book_record(&mut self, out: &mut Vec<u8>, instrument: &Instrument) {
        self.out.clear();
        self.book_record(instrument);
        out.extend_from_slice(&self.out);
    }

    /// Appends a book topic's current state for a client that just joined it, and makes sure that the topic's
    /// next message follows from it.
    pub fn put_book_begin(&mut self, out: &mut Vec<u8>, id: TopicId, instrument: &Instrument) {
        let topic = self.topics.get_mut(id);
        let What::Book { depth, mode } = topic.key.what else {
            return self.put_book_record(out, instrument);
        };
        let Some(window) = topic.window.as_deref_mut() else { return };
        let (shown, prev_sequence) = (&mut self.shown, window.meta.sequence);
        instrument.book.show(shown, depth as usize);
        let moved_on = mode == Mode::Delta && topic.subscribers > 1 && prev_sequence != shown.meta.sequence;
        window.copy_from(shown);
        let levels = (&shown.bids[..], &shown.asks[..]);
        message::book(out, None, true, &instrument.names, &shown.meta, levels, Extra::default());
        if moved_on {
            // Changes beyond this depth moved the sequence on and nobody was told. The newcomer starts at
            // the current one, so those who were here follow to it by a delta without changes.
            self.out.clear();
            message::delta(&mut self.out, &instrument.names, &shown.meta, prev_sequence, &[], &[]);
            self.send(id, 0, false);
        }
    }

    /// Appends a status for one client.
    pub fn put_status(
        &mut self,
        out: &mut Vec<u8>,
        encoding: Encoding,
        names: &Names,
        header: &Header,
        status: &StatusView,
    ) {
        match encoding {
            Encoding::Msgpack => message::status(out, names, Times::of(header), status),
            Encoding::Record => {
                let body = StatusBody::new(status.state, status.reason, status.age_ms);
                put_record_frame(out, self.builder.fixed(*header, &body).bytes());
            }
        }
    }

    /// Appends a gap for one client.
    pub fn put_gap(
        &mut self,
        out: &mut Vec<u8>,
        encoding: Encoding,
        names: &Names,
        header: &Header,
        body: &GapBody,
    ) {
        match encoding {
            Encoding::Msgpack => {
                let stream = header.stream().unwrap_or(Stream::Connection);
                message::gap(out, names, Times::of(header), stream, body);
            }
            Encoding::Record => put_record_frame(out, self.builder.fixed(*header, body).bytes()),
        }
    }

    /// Appends a record of a fixed body as a frame, for one client.
    pub fn put_fixed<B: IntoBytes + Immutable>(&mut self, out: &mut Vec<u8>, header: Header, body: &B) {
        put_record_frame(out, self.builder.fixed(header, body).bytes());
    }

    /// Appends the candle that runs, for one client.
    pub fn put_open_candle(
        &mut self,
        out: &mut Vec<u8>,
        encoding: Encoding,
        instrument: &Instrument,
        open: &ShownCandle,
    ) {
        match encoding {
            Encoding::Msgpack => message::candle(out, &instrument.names, open.recv_ns, &open.body),
            Encoding::Record => {
                // One made here takes no sequence.
                let header = open.header.unwrap_or_else(|| Header {
                    sequence: instrument.candle_sequence,
                    ts_event_ns: 0,
                    ..self.notice_header(
                        Kind::Candle,
                        Some(instrument.venue),
                        Stream::Candles,
                        instrument.record_id,
                        open.recv_ns,
                    )
                });
                self.put_fixed(out, header, &open.body);
            }
        }
    }

    /// The header of a notice made here.
    #[must_use]
    pub fn notice_header(
        &self,
        kind: Kind,
        venue: Option<codec::words::Venue>,
        stream: Stream,
        instrument: Option<u32>,
        wall_ns: u64,
    ) -> Header {
        let base =
            Header::of(kind, codec::words::Venue::Binance, stream, instrument.unwrap_or(NO_INSTRUMENT));
        Header {
            venue: venue.map_or(0, codec::words::Venue::number),
            run_id: self.run_id,
            ts_event_ns: wall_ns,
            ts_recv_ns: wall_ns,
            ..base
        }
    }
}
