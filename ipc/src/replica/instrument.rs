//! One instrument of the replica.

use super::book::BookReplica;
use super::candles::Series;
use super::history::{BookRow, History, QuoteRow, TradeRow};
use super::state::{STREAMS, StreamStatus};
use crate::config::{Retention, VenueConfig};
use codec::decimal::Price;
use codec::protocol::frame::put_record_frame;
use codec::protocol::message::{Names, StatusView};
use codec::record::{FundingBody, Header, InstrumentBody};
use codec::time::Now;
use codec::words::{InstrumentStatus, Interval, Reason, State, Stream, Venue};

/// The latest funding, as it came.
#[derive(Clone, Copy, Debug)]
pub struct FundingRow {
    /// Its header, for times and for the record encoding.
    pub header: Header,
    /// Its body.
    pub body: FundingBody,
}

/// The latest quote, as it came.
#[derive(Clone, Copy, Debug)]
pub struct LastQuote {
    /// Its header, for the record encoding.
    pub header: Header,
    /// What the history keeps of it.
    pub row: QuoteRow,
}

/// See the module.
#[derive(Debug)]
pub struct Instrument {
    /// The venue.
    pub venue: Venue,
    /// The venue's own name of it.
    pub symbol: Box<str>,
    /// Venue and symbol as the head of data maps.
    pub names: Names,
    /// Its number in this run's records, once told.
    pub record_id: Option<u32>,
    /// Its particulars, once told.
    pub body: Option<InstrumentBody>,
    /// The record that told them, as a frame.
    pub frame: Vec<u8>,
    /// What its streams are worth, by stream number.
    streams: [StreamStatus; STREAMS],
    /// The book, once one came.
    pub book: BookReplica,
    /// The latest quote.
    pub quote: Option<LastQuote>,
    /// The quote last published: the latest one while its stream was live.
    pub shown_quote: Option<LastQuote>,
    /// The latest funding.
    pub funding: Option<FundingRow>,
    /// Trades kept.
    pub trades: History<TradeRow>,
    /// Quotes kept.
    pub quotes: History<QuoteRow>,
    /// Once-a-second books kept.
    pub books: History<BookRow>,
    /// The second of the last of those.
    pub book_second: u64,
    /// Candles, a series for every interval that is carried.
    pub candles: Vec<Series>,
    /// Sequence of the latest candle.
    pub candle_sequence: u64,
    /// Subscriptions by stream number; those of candles are counted by their series.
    pub wanted: [u32; STREAMS],
    /// Streams somebody asked for, by bit; as above.
    pub asked: u16,
}

impl Instrument {
    /// An instrument of which nothing is known but its name.
    #[must_use]
    pub fn new(venue: Venue, symbol: &str, config: &VenueConfig, retention: &Retention) -> Self {
        let mut streams = [StreamStatus::new(State::Down, Reason::NotConfigured); STREAMS];
        for stream in &config.streams {
            streams[stream.number() as usize] =
                StreamStatus::new(State::Warming, Reason::AwaitingInstruments);
        }
        let with_candles = config.streams.contains(&Stream::Candles);
        let intervals = if with_candles { &config.intervals[..] } else { &[] };
        Self {
            venue,
            symbol: Box::from(symbol),
            names: Names::new(Some(venue), Some(symbol)),
            record_id: None,
            body: None,
            frame: Vec::new(),
            streams,
            book: BookReplica::new(retention.book_levels_max),
            quote: None,
            shown_quote: None,
            funding: None,
            trades: History::new(retention.trades_per_symbol),
            quotes: History::new(retention.quotes_per_symbol),
            books: History::new(retention.orderbook_snapshots_per_symbol),
            book_second: 0,
            candles: intervals
                .iter()
                .map(|&interval| Series::new(interval, retention.candles_count(interval)))
                .collect(),
            candle_sequence: 0,
            wanted: [0; STREAMS],
            asked: 0,
        }
    }

    /// Takes its particulars.
    pub fn define(&mut self, record_id: u32, body: &InstrumentBody, record: &[u8]) {
        if self.record_id.replace(record_id) != Some(record_id) {
            for series in &mut self.candles {
                series.demand.wish_sent = false;
            }
        }
        self.body = Some(*body);
        self.frame.clear();
        put_record_frame(&mut self.frame, record);
        for status in &mut self.streams {
            if status.reason == Reason::AwaitingInstruments {
                status.reason = Reason::AwaitingData;
            }
        }
    }

    /// Whether the venue's list has not come yet, so that its particulars say nothing.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let awaiting = |status: &StreamStatus| status.reason == Reason::AwaitingInstruments;
        self.body.is_none() || (self.is_delisted() && self.streams.iter().any(awaiting))
    }

    fn is_delisted(&self) -> bool {
        self.body.is_some_and(|body| body.status() == Some(InstrumentStatus::Delisted))
    }

    /// Whether it is carried, as far as known: one that is not listed is told as delisted.
    #[must_use]
    pub fn is_carried(&self) -> bool {
        self.is_awaited() || !self.is_delisted()
    }

    /// The price increment at the current price.
    #[must_use]
    pub fn tick_size(&self) -> Option<Price> {
        let quoted = self.quote.map(|quote| quote.row.body.bid.price).filter(|price| *price != Price::ZERO);
        self.body?.tick_at(quoted.or_else(|| self.book.best_price()))
    }

    /// Its candles of an interval, if that is carried.
    #[must_use]
    pub fn series(&self, interval: Interval) -> Option<&Series> {
        self.candles.iter().find(|series| series.interval() == interval)
    }

    /// Its candles of an interval, if that is carried.
    pub fn series_mut(&mut self, interval: Interval) -> Option<&mut Series> {
        self.candles.iter_mut().find(|series| series.interval() == interval)
    }

    /// The status of a stream as its records tell it.
    #[inline]
    pub fn stream_mut(&mut self, stream: Stream) -> &mut StreamStatus {
        &mut self.streams[stream.number() as usize]
    }

    /// The status of a stream as clients see it: a book that the replica knows to be broken is not live,
    /// whatever its records say.
    #[must_use]
    pub fn status(&self, stream: Stream, now: Now) -> StatusView {
        let told = self.streams[stream.number() as usize].view(stream, now);
        match self.book.trouble() {
            Some((state, reason)) if stream == Stream::Orderbook && told.state == State::Live => {
                StatusView { state, reason, ..told }
            }
            _ => told,
        }
    }

    /// Whether a stream may be served.
    #[must_use]
    #[inline]
    pub fn is_served(&self, stream: Stream) -> bool {
        match stream {
            Stream::Orderbook => self.book.is_served(),
            _ => self.streams[stream.number() as usize].is_live(),
        }
    }
}
