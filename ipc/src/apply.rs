//! Records: applied to the replica, then told to whoever subscribes.

use crate::core::Core;
use crate::counters::add;
use crate::event::Event;
use crate::fanout::About;
use crate::replica::book::BookOutcome;
use crate::replica::candles::HISTORY_ONLY;
use crate::replica::history::{QuoteRow, TradeRow};
use crate::replica::instrument::{FundingRow, LastQuote};
use crate::topic::{Scope, Slot};
use codec::protocol::message::{Names, StatusView, Times};
use codec::record::{GapBody, Header, Kind, MISSED_UNKNOWN, NO_INSTRUMENT, Record, flags};
use codec::time::Now;
use codec::words::{Reason, State, Stream, Venue};
use std::sync::atomic::Ordering;

impl Core {
    /// Takes one record.
    pub fn on_record(&mut self, record: Record<'_>, now: Now) {
        let header = record.header();
        add(&self.outlets.counters.records_total, 1);
        match record.kind() {
            Kind::End => self.ended = true,
            Kind::Instrument => self.on_instrument(record, now),
            _ if header.has(flags::CHECKPOINT) => {}
            _ if header.instrument == NO_INSTRUMENT => self.on_whole(record, now),
            _ => match self.replica.slot(header.instrument) {
                Some(slot) => self.on_data(slot, record, now),
                None => {
                    add(&self.outlets.counters.unknown_instruments_total, 1);
                    self.tell(Event::UnknownInstrument { instrument: header.instrument });
                }
            },
        }
    }

    fn on_instrument(&mut self, record: Record<'_>, now: Now) {
        match self.replica.define(record) {
            Some((slot, is_new)) => {
                if is_new {
                    self.join_bulk(slot);
                }
                self.fanout.instrument(slot, self.replica.instrument(slot));
                self.repeat_interest(slot);
                self.unpark(record.header().instrument, now);
                self.totals_changed = true;
            }
            None => add(&self.outlets.counters.unknown_instruments_total, 1),
        }
    }

    #[inline]
    fn on_data(&mut self, slot: Slot, record: Record<'_>, now: Now) {
        let header = record.header();
        match record.kind() {
            Kind::Quote => self.on_quote(slot, record),
            Kind::Trade => self.on_trade(slot, record),
            Kind::BookSnapshot | Kind::BookDelta => self.on_book(slot, record, now),
            Kind::Funding => {
                let Some(&body) = record.funding() else { return };
                let instrument = self.replica.instrument_mut(slot);
                instrument.stream_mut(Stream::Funding).touch(header.ts_recv_ns);
                instrument.funding = Some(FundingRow { header: *header, body });
                self.fanout.funding(slot, self.replica.instrument(slot), record);
            }
            Kind::Candle => self.on_candle(slot, record),
            Kind::Fill => self.fanout.fill(self.replica.instrument(slot), record),
            Kind::Status => self.on_status(slot, record, now),
            Kind::Gap => self.on_gap(slot, record),
            Kind::Check => self.on_check(slot, record, now),
            Kind::Instrument | Kind::End => {}
        }
    }

    #[inline]
    fn on_quote(&mut self, slot: Slot, record: Record<'_>) {
        let Some(&body) = record.quote() else { return };
        let header = record.header();
        let row = QuoteRow { body, times: Times::of(header) };
        let quote = LastQuote { header: *header, row };
        let instrument = self.replica.instrument_mut(slot);
        instrument.stream_mut(Stream::Quotes).touch(header.ts_recv_ns);
        instrument.quotes.push(row);
        instrument.quote = Some(quote);
        if instrument.is_served(Stream::Quotes) {
            instrument.shown_quote = Some(quote);
            self.fanout.quote(slot, self.replica.instrument(slot), record, &quote);
        }
    }

    #[inline]
    fn on_trade(&mut self, slot: Slot, record: Record<'_>) {
        let Some(&body) = record.trade() else { return };
        let header = record.header();
        let backfill = header.has(flags::BACKFILL);
        let instrument = self.replica.instrument_mut(slot);
        if !backfill {
            instrument.stream_mut(Stream::Trades).touch(header.ts_recv_ns);
        }
        instrument.trades.push(TradeRow { body, times: Times::of(header), backfill });
        if header.flags & HISTORY_ONLY != HISTORY_ONLY {
            self.fanout.trade(slot, self.replica.instrument(slot), record, backfill);
        }
    }

    fn on_candle(&mut self, slot: Slot, record: Record<'_>) {
        let Some(body) = record.candle() else { return };
        let Some(interval) = body.interval() else { return };
        let header = record.header();
        let instrument = self.replica.instrument_mut(slot);
        if !header.has(flags::BACKFILL) {
            instrument.stream_mut(Stream::Candles).touch(header.ts_recv_ns);
        }
        instrument.candle_sequence = header.sequence;
        if let Some(series) = instrument.series_mut(interval) {
            let before = series.rows();
            let kept = series.take(header, body);
            let after = series.rows();
            self.count_rows(before, after, usize::from(!kept));
        }
        if header.flags & HISTORY_ONLY != HISTORY_ONLY {
            self.fanout.candle(slot, self.replica.instrument(slot), record, interval);
        }
    }

    fn on_book(&mut self, slot: Slot, record: Record<'_>, now: Now) {
        let Some(book) = record.book() else { return };
        let header = record.header();
        let instrument = self.replica.instrument_mut(slot);
        instrument.stream_mut(Stream::Orderbook).touch(header.ts_recv_ns);
        let outcome = instrument.book.apply(header, &book, record.kind() == Kind::BookSnapshot);
        if outcome == BookOutcome::Broken {
            add(&self.outlets.counters.broken_books_total, 1);
            let (venue, instrument, sequence) = (header.venue(), header.instrument, header.sequence);
            self.tell(Event::BookBroken { venue, instrument, sequence });
            self.want_again(instrument);
        }
        self.publish_book(slot, Some(record), outcome, now);
    }

    fn on_check(&mut self, slot: Slot, record: Record<'_>, now: Now) {
        let Some(check) = record.check() else { return };
        let header = record.header();
        let outcome = self.replica.instrument_mut(slot).book.check(header.sequence, check.crc);
        let Some(outcome) = outcome.filter(|outcome| *outcome != BookOutcome::Quiet) else { return };
        add(&self.outlets.counters.check_mismatches_total, 1);
        let (venue, instrument, sequence) = (header.venue(), header.instrument, header.sequence);
        self.tell(Event::CheckMismatch { venue, instrument, sequence });
        self.want_again(instrument);
        self.publish_book(slot, None, outcome, now);
    }

    /// Tells what became of a book.
    pub(crate) fn publish_book(
        &mut self,
        slot: Slot,
        record: Option<Record<'_>>,
        outcome: BookOutcome,
        now: Now,
    ) {
        match outcome {
            BookOutcome::Quiet => return,
            BookOutcome::Broken => {
                self.publish_book_gap(slot, now);
                self.publish_book_status(slot, now);
            }
            BookOutcome::Repaired => self.publish_book_status(slot, now),
            BookOutcome::Update | BookOutcome::Snapshot => {}
        }
        let instrument = self.replica.instrument(slot);
        match outcome {
            BookOutcome::Quiet | BookOutcome::Broken => {}
            BookOutcome::Update => self.fanout.book(slot, instrument, record, false),
            BookOutcome::Snapshot | BookOutcome::Repaired => self.fanout.book(slot, instrument, record, true),
        }
    }

    /// States of a book that the replica has lost, or never had: how many nobody can say.
    fn publish_book_gap(&mut self, slot: Slot, now: Now) {
        let instrument = self.replica.instrument(slot);
        let reason = instrument.status(Stream::Orderbook, now).reason;
        let body = GapBody::new(reason, MISSED_UNKNOWN, 0, 0);
        let venue = instrument.venue;
        let header = Header {
            sequence: instrument.book.at.sequence,
            ..self.fanout.notice_header(
                Kind::Gap,
                Some(instrument.venue),
                Stream::Orderbook,
                instrument.record_id,
                now.wall_ns,
            )
        };
        self.outlets.counters.venue(venue).gap(Stream::Orderbook, Some(reason));
        let about = About { scope: Scope::Instrument(slot), names: &self.replica.instrument(slot).names };
        self.fanout.gap(about, &header, Stream::Orderbook, &body);
    }

    /// The status of a book as the replica knows it better than the record that told it.
    fn publish_book_status(&mut self, slot: Slot, now: Now) {
        let instrument = self.replica.instrument(slot);
        let status = instrument.status(Stream::Orderbook, now);
        let header = Header {
            sequence: instrument.book.at.sequence,
            ..self.fanout.notice_header(
                Kind::Status,
                Some(instrument.venue),
                Stream::Orderbook,
                instrument.record_id,
                now.wall_ns,
            )
        };
        let about = About { scope: Scope::Instrument(slot), names: &instrument.names };
        self.fanout.status(about, &header, &status);
    }

    fn on_status(&mut self, slot: Slot, record: Record<'_>, now: Now) {
        let (Some(body), Some(stream)) = (record.status(), record.header().stream()) else { return };
        let instrument = self.replica.instrument_mut(slot);
        instrument.stream_mut(stream).tell(body, now);
        let (state, reason) = told(body.state(), body.reason());
        let mut outcome = BookOutcome::Quiet;
        if stream == Stream::Orderbook {
            outcome = instrument.book.set_state(state, now.mono_ns);
            if state == State::Live && instrument.book.has_fault() {
                // The replica's is not; a snapshot will say that it is.
                return;
            }
        }
        let status = StatusView { stream, state, reason, age_ms: body.age_ms };
        let about = About { scope: Scope::Instrument(slot), names: &self.replica.instrument(slot).names };
        self.fanout.status(about, record.header(), &status);
        self.publish_book(slot, None, outcome, now);
    }

    fn on_gap(&mut self, slot: Slot, record: Record<'_>) {
        let (Some(body), Some(stream)) = (record.gap(), record.header().stream()) else { return };
        let instrument = self.replica.instrument_mut(slot);
        match (stream, body.reason()) {
            (Stream::Orderbook, reason) => instrument.book.set_gap(reason.unwrap_or(Reason::None)),
            // What is known is no longer the newest: nobody is given it as such.
            (Stream::Quotes, Some(Reason::RingFull)) => instrument.quote = None,
            (Stream::Funding, Some(Reason::RingFull)) => instrument.funding = None,
            _ => {}
        }
        self.outlets.counters.venue(instrument.venue).gap(stream, body.reason());
        let about = About { scope: Scope::Instrument(slot), names: &self.replica.instrument(slot).names };
        self.fanout.gap(about, record.header(), stream, body);
    }

    /// A status or gap of a whole venue or of the daemon.
    fn on_whole(&mut self, record: Record<'_>, now: Now) {
        let header = record.header();
        let Some(stream) = header.stream() else { return };
        if let Some(body) = record.status() {
            self.track_whole(header.venue(), stream, record, now);
            let (state, reason) = told(body.state(), body.reason());
            let status = StatusView { stream, state, reason, age_ms: body.age_ms };
            self.with_whole(header.venue(), |fanout, about| fanout.status(about, header, &status));
        } else if let Some(body) = record.gap() {
            if let Some(venue) = header.venue() {
                self.outlets.counters.venue(venue).gap(stream, body.reason());
            }
            self.with_whole(header.venue(), |fanout, about| fanout.gap(about, header, stream, body));
        }
    }

    fn track_whole(&mut self, venue: Option<Venue>, stream: Stream, record: Record<'_>, now: Now) {
        let Some(body) = record.status() else { return };
        let Some(venue) = venue else {
            if stream == Stream::Recorder {
                self.replica.recorder.tell(body, now);
            }
            return;
        };
        let Some(replica) = self.replica.venue_mut(venue) else { return };
        let status = &mut replica.streams[stream.number() as usize];
        let came_up = !status.is_live() && body.state() == Some(State::Live);
        status.tell(body, now);
        if stream == Stream::Connection {
            let connected = u64::from(body.state() == Some(State::Live));
            self.outlets.counters.venue(venue).connected.store(connected, Ordering::Relaxed);
        }
        if stream == Stream::Connection && came_up {
            if replica.was_live {
                add(&self.outlets.counters.venue(venue).reconnects, 1);
            }
            replica.was_live = true;
        }
    }

    fn with_whole(
        &mut self,
        venue: Option<Venue>,
        publish: impl FnOnce(&mut crate::fanout::Fanout, About<'_>),
    ) {
        match venue {
            Some(venue) => {
                let Some(replica) = self.replica.venue(venue) else { return };
                publish(&mut self.fanout, About { scope: Scope::Venue(venue), names: &replica.names });
            }
            None => {
                let names = Names::new(None, None);
                publish(&mut self.fanout, About { scope: Scope::Daemon, names: &names });
            }
        }
    }
}

/// A state or reason that this program does not know reads as the safe one.
fn told(state: Option<State>, reason: Option<Reason>) -> (State, Reason) {
    (state.unwrap_or(State::Down), reason.unwrap_or(Reason::None))
}
