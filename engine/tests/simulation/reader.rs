//! One client's view, checked message by message: what it is shown is what was published, in order, each once, with
//! a gap before every hole, and nothing of a stream that is not live.

use crate::oracle::{DEPTH_MAX, Held, Line, Oracle, candle_sum, funding_sum, quote_sum, sum_of};
use codec::book::{Book as Levels, TimedLevel};
use codec::record::{Kind, NO_INSTRUMENT, Record, flags};
use codec::words::{Interval, State, Stream};
use slipstream_client::{Book, Level, Message, Request, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Venue, symbol (empty: all) and stream.
pub type Key = (String, String, Stream);

/// What a subscription has been shown.
#[derive(Clone, Debug, Default)]
pub struct Topic {
    pub depth: usize,
    pub delta: bool,
    pub live: Option<bool>,
    /// Gaps told of it, and how many of them each interval's last message knew.
    gaps: u64,
    known_gaps: BTreeMap<u8, u64>,
    /// Where it stands in what was published, by interval.
    cursors: BTreeMap<u8, usize>,
    /// Intervals of which the first candle came.
    begun_with: BTreeSet<u8>,
    book: Option<Book>,
    levels: Option<(Levels<TimedLevel>, u64)>,
    /// A snapshot came since the book was last not live.
    begun: bool,
    /// The last states and gaps, for whoever reads of a failure.
    recent: VecDeque<String>,
}

/// States and gaps of a subscription that a failure tells.
const RECENT: usize = 8;

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Asked {
    id: u64,
    kind: &'static str,
    topic: Option<(Key, Topic)>,
    may_fail: bool,
}

/// See the module.
#[derive(Default)]
pub struct Reader {
    pub name: String,
    pub topics: BTreeMap<Key, Topic>,
    pub messages: u64,
    pub heard_ms: u64,
    pub conflated: u64,
    pub lags: u64,
    inbox: Vec<u8>,
    asked: VecDeque<Asked>,
    fills: BTreeSet<u64>,
    next_id: u64,
}

fn e8(value: f64) -> i64 {
    (value * 1e8).round() as i64
}

fn raw(levels: &[Level]) -> Vec<(i64, i64)> {
    levels.iter().map(|level| (e8(level.price), e8(level.size))).collect()
}

fn same_levels(book: &Book, held: &Held, depth: usize) -> Result<(), String> {
    let depth = depth.min(DEPTH_MAX);
    for (name, shown, truth) in [("bids", &book.bids, &held.bids), ("asks", &book.asks, &held.asks)] {
        let truth = &truth[..truth.len().min(depth)];
        let shown = raw(shown);
        if shown != truth {
            return Err(format!("{name} at {}: shown {shown:?}, published {truth:?}", book.sequence));
        }
    }
    Ok(())
}

fn check_book(book: &Book, line: &Line, depth: usize) -> Result<(), String> {
    let Some(held) = line.held(book.sequence) else {
        return Err(format!("sequence {} was never published, or long ago", book.sequence));
    };
    if book.stale
        || book.timestamp_us != held.event_us
        || book.venue_sequence.unwrap_or(0) != held.venue_sequence
    {
        return Err(format!(
            "{} is told as {:?} at {}",
            book.sequence, book.venue_sequence, book.timestamp_us
        ));
    }
    same_levels(book, held, depth)?;
    if let Some((bids, asks)) = &held.fresh {
        let fresh = book.fresh_levels as usize;
        for (shown, truth) in [(&book.bids, bids), (&book.asks, asks)] {
            let shown = raw(&shown[..fresh.min(shown.len())]);
            if shown.len() < fresh || shown[..] != truth[..fresh.min(truth.len())] {
                return Err(format!("{fresh} fresh levels at {}: {shown:?} of {truth:?}", book.sequence));
            }
        }
    }
    Ok(())
}

impl Topic {
    fn gap(&mut self) {
        self.gaps += 1;
    }

    fn note(&mut self, at_ms: u64, what: String) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(format!("{at_ms} {what}"));
    }

    /// The next message is the one of what was published that has this sum.
    fn follow(
        &mut self,
        line: &Line,
        stream: Stream,
        interval: u8,
        sum: u64,
        conflated: bool,
    ) -> Result<(), String> {
        let said = line.said.get(&(stream, interval)).map_or(&[][..], Vec::as_slice);
        let gap = self.known_gaps.insert(interval, self.gaps).unwrap_or(0) < self.gaps || conflated;
        let found = match self.cursors.get(&interval) {
            // Of some that say the same, the first: the others may follow.
            None => said.iter().rposition(|said| said.sum == sum).map(|at| {
                let same = said[..at].iter().rev().take_while(|said| said.sum == sum).count();
                at - same
            }),
            Some(&from) => {
                let found = said[from..].iter().position(|said| said.sum == sum).map(|at| from + at);
                if let Some(at) = found
                    && !gap
                    && said[from..at]
                        .iter()
                        .any(|left_out| left_out.shown && left_out.sum != said[from - 1].sum)
                {
                    return Err(format!(
                        "{} messages left out and no gap told, {from}..{at} of {}",
                        at - from,
                        said.len()
                    ));
                }
                found
            }
        };
        if stream == Stream::Candles && self.begun_with.insert(interval) {
            // What a new subscriber begins with may have been published before something else of the past, and
            // may be made for it.
            return Ok(());
        }
        match found {
            Some(at) => {
                self.cursors.insert(interval, at + 1);
                Ok(())
            }
            None => Err("a message that was never published, or comes again".to_owned()),
        }
    }

    fn full(&mut self, book: Book, line: &Line, is_snapshot: bool) -> Result<(), String> {
        if self.live == Some(false) {
            return Err(format!("a book ({}) of a stream that is not live", book.sequence));
        }
        check_book(&book, line, self.depth)?;
        if !is_snapshot {
            if !self.begun || self.delta {
                return Err(format!("an update ({}) where a snapshot or a delta is due", book.sequence));
            }
            self.follows(book.sequence, book.conflated, line)?;
        } else if self.book.as_ref().is_some_and(|last| book.sequence < last.sequence) {
            return Err(format!("sequence {} goes back", book.sequence));
        }
        self.begun = true;
        self.book = Some(book);
        Ok(())
    }

    /// A hole hides only states that look the same at this depth.
    fn follows(&self, sequence: u64, conflated: u64, line: &Line) -> Result<(), String> {
        let Some(last) = &self.book else { return Err("an update of nothing".to_owned()) };
        if sequence <= last.sequence {
            return Err(format!("sequence {sequence} after {}", last.sequence));
        }
        if conflated == 0 {
            for between in last.sequence + 1..sequence {
                if let Some(held) = line.held(between) {
                    same_levels(last, held, self.depth)
                        .map_err(|what| format!("{between} was left out before {sequence}: {what}"))?;
                }
            }
        }
        Ok(())
    }

    fn change(&mut self, delta: &slipstream_client::Delta, line: &Line) -> Result<(), String> {
        if self.live == Some(false) || !self.begun || !self.delta {
            return Err(format!("a delta ({}) where none is due", delta.head.sequence));
        }
        if delta.head.sequence > delta.prev_sequence {
            self.follows(delta.head.sequence, 0, line)?;
        }
        let Some(book) = &mut self.book else { return Err("a delta of nothing".to_owned()) };
        if !book.apply(delta) {
            return Err(format!("a delta of {} upon {}", delta.prev_sequence, book.sequence));
        }
        check_book(book, line, self.depth)
    }

    fn set_state(&mut self, live: bool) {
        self.live = Some(live);
        self.begun &= live;
    }
}

impl Reader {
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), next_id: 1, ..Self::default() }
    }

    /// A new connection: nothing is subscribed, nothing is owed.
    pub fn reset(&mut self, now_ms: u64) {
        self.topics.clear();
        self.inbox.clear();
        self.asked.clear();
        self.fills.clear();
        self.heard_ms = now_ms;
    }

    /// Whether everything asked was answered.
    pub fn is_answered(&self) -> bool {
        self.asked.is_empty()
    }

    /// A request that is to be answered by this kind.
    pub fn ask(&mut self, request: Request, kind: &'static str, may_fail: bool) -> Vec<u8> {
        self.ask_for(request, kind, None, may_fail)
    }

    fn ask_for(
        &mut self,
        request: Request,
        kind: &'static str,
        topic: Option<(Key, Topic)>,
        may_fail: bool,
    ) -> Vec<u8> {
        let id = self.next_id;
        self.next_id += 1;
        self.asked.push_back(Asked { id, kind, topic, may_fail });
        crate::virtual_desk::frame_of(&request.with("id", id))
    }

    /// A subscription.
    pub fn subscribe(&mut self, request: Request, key: Key, depth: usize, delta: bool) -> Vec<u8> {
        self.ask_for(request, "subscribed", Some((key, Topic { depth, delta, ..Topic::default() })), false)
    }

    /// The end of one.
    pub fn unsubscribe(&mut self, request: &Request, key: Key) -> Vec<u8> {
        self.ask_for(request.unsubscribe(), "unsubscribed", Some((key, Topic::default())), false)
    }

    /// What was asked with an error as its only right answer and no id to know it by.
    pub fn expect_error(&mut self) {
        self.asked.push_back(Asked { id: 0, kind: "error", topic: None, may_fail: true });
    }

    /// Bytes from the server.
    pub fn take(&mut self, bytes: &[u8], oracle: &Oracle) -> Result<(), String> {
        self.inbox.extend_from_slice(bytes);
        let mut inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        let mut result = Ok(());
        while let Some(head) = inbox.get(at..at + 4) {
            let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let Some(frame) = inbox.get(at + 4..at + 4 + length) else { break };
            at += 4 + length;
            self.messages += 1;
            self.heard_ms = oracle.now_ms;
            result = Message::read(frame).and_then(|message| self.message(message, oracle));
            if result.is_err() {
                break;
            }
        }
        inbox.drain(..at);
        self.inbox = inbox;
        result
    }

    fn message(&mut self, message: Message, oracle: &Oracle) -> Result<(), String> {
        match message {
            Message::OrderbookSnapshot(book) => self.with(
                oracle,
                &book.venue.clone(),
                &book.symbol.clone(),
                Stream::Orderbook,
                |topic, line| topic.full(book, line, true),
            ),
            Message::OrderbookUpdate(book) => {
                self.conflated += book.conflated;
                self.with(
                    oracle,
                    &book.venue.clone(),
                    &book.symbol.clone(),
                    Stream::Orderbook,
                    |topic, line| topic.full(book, line, false),
                )
            }
            Message::OrderbookDelta(delta) => {
                let (venue, symbol) = (delta.head.venue.clone(), delta.head.symbol.clone());
                self.with(oracle, &venue, &symbol, Stream::Orderbook, |topic, line| {
                    topic.change(&delta, line)
                })
            }
            Message::Quote(quote) => {
                let side =
                    |of: Option<Level>| of.map_or([0, 0], |of| [of.price.to_bits(), of.size.to_bits()]);
                let ([bid, bid_size], [ask, ask_size]) = (side(quote.bid), side(quote.ask));
                let sum = sum_of(&[quote.timestamp_us, quote.received_us, bid, bid_size, ask, ask_size]);
                self.conflated += quote.conflated;
                self.with(oracle, &quote.venue, &quote.symbol, Stream::Quotes, |topic, line| {
                    if topic.live == Some(false) {
                        return Err("a quote of a stream that is not live".to_owned());
                    }
                    topic.follow(line, Stream::Quotes, 0, sum, quote.conflated > 0)
                })
            }
            Message::Trade(trade) => {
                let id = trade.trade_id.parse().map_err(|_| format!("trade id {}", trade.trade_id))?;
                let side =
                    if trade.side == "Buy" { codec::words::Side::Buy } else { codec::words::Side::Sell };
                let sum = sum_of(&[
                    trade.timestamp_us,
                    trade.received_us,
                    trade.price.to_bits(),
                    trade.size.to_bits(),
                    u64::from(side.number()),
                    id,
                    u64::from(trade.backfill),
                ]);
                self.with(oracle, &trade.venue, &trade.symbol, Stream::Trades, |topic, line| {
                    topic.follow(line, Stream::Trades, 0, sum, false)
                })
            }
            Message::Candle(candle) => {
                let interval = Interval::from_word(&candle.interval).ok_or("an unknown interval")?.number();
                let sum = sum_of(&[
                    candle.timestamp,
                    candle.open.to_bits(),
                    candle.high.to_bits(),
                    candle.low.to_bits(),
                    candle.close.to_bits(),
                    candle.volume.to_bits(),
                    candle.num_trades,
                    u64::from(candle.closed),
                    u64::from(candle.revised),
                ]);
                self.with(oracle, &candle.venue, &candle.symbol, Stream::Candles, |topic, line| {
                    topic.follow(line, Stream::Candles, interval, sum, false)
                })
            }
            Message::Funding(funding) => {
                let sum = sum_of(&[
                    funding.timestamp_us,
                    funding.received_us,
                    funding.funding_rate.map_or(0, f64::to_bits),
                    funding.mark_price.map_or(0, f64::to_bits),
                    funding.open_interest.map_or(0, f64::to_bits),
                    funding.next_funding_us.unwrap_or(0),
                ]);
                self.with(oracle, &funding.venue, &funding.symbol, Stream::Funding, |topic, line| {
                    topic.follow(line, Stream::Funding, 0, sum, false)
                })
            }
            Message::Fill(fill) => {
                let id = fill.trade_id.parse().map_err(|_| "a fill without an id".to_owned())?;
                self.fill(id, oracle)
            }
            Message::Status(status) => {
                let (Some(venue), Some(symbol)) = (status.venue, status.symbol) else { return Ok(()) };
                let stream = Stream::from_word(&status.stream).ok_or("a status of an unknown stream")?;
                let topic = self.topic(&venue, &symbol, stream)?;
                topic.note(oracle.now_ms, format!("{} {}", status.state, status.reason));
                topic.set_state(status.state == "live");
                Ok(())
            }
            Message::Gap(gap) => {
                self.lags += u64::from(gap.reason == "slow_client");
                let stream = Stream::from_word(&gap.stream).ok_or("a gap of an unknown stream")?;
                let Some(symbol) = gap.symbol else { return Ok(()) };
                let ring_full = gap.reason == "ring_full" && stream == Stream::Orderbook;
                let topic = self.topic(&gap.venue.unwrap_or_default(), &symbol, stream)?;
                topic.note(oracle.now_ms, format!("gap {} {:?}", gap.reason, gap.missed));
                topic.gap();
                topic.begun &= !ring_full;
                Ok(())
            }
            Message::Heartbeat { .. } => Ok(()),
            Message::Error { id, code, message } => {
                self.answered(id, "error", &format!("{code}: {message}"), oracle, &Value::Nil)
            }
            Message::Other { id, kind, data } => self.answered(id, &kind, "", oracle, &data),
            Message::Record(words) => self.record(&words, oracle),
        }
    }

    fn fill(&mut self, id: u64, oracle: &Oracle) -> Result<(), String> {
        if !oracle.fills.contains_key(&id) || !self.fills.insert(id) {
            return Err(format!("fill {id} comes again, or never was"));
        }
        Ok(())
    }

    fn topic(&mut self, venue: &str, symbol: &str, stream: Stream) -> Result<&mut Topic, String> {
        self.topics
            .get_mut(&(venue.to_owned(), symbol.to_owned(), stream))
            .ok_or_else(|| format!("{venue} {symbol} {stream} is not subscribed"))
    }

    fn with(
        &mut self,
        oracle: &Oracle,
        venue: &str,
        symbol: &str,
        stream: Stream,
        check: impl FnOnce(&mut Topic, &Line) -> Result<(), String>,
    ) -> Result<(), String> {
        let line = oracle.line(venue, symbol).ok_or_else(|| format!("{venue} {symbol} is not carried"))?;
        let topic = self.topic(venue, symbol, stream)?;
        check(topic, line).map_err(|what| format!("{venue} {symbol} {stream}: {what}; {:?}", topic.recent))
    }

    /// Replies come in the order of the requests.
    fn answered(
        &mut self,
        id: Option<u64>,
        kind: &str,
        what: &str,
        oracle: &Oracle,
        data: &Value,
    ) -> Result<(), String> {
        let Some(asked) = self.asked.pop_front() else { return Err(format!("{kind} {what} unasked")) };
        let right = if asked.id == 0 { id.is_none() && kind == "error" } else { id == Some(asked.id) };
        if !right || (kind != asked.kind && !(kind == "error" && asked.may_fail)) {
            return Err(format!("{kind} {what} ({id:?}) where {} ({}) was due", asked.kind, asked.id));
        }
        match (kind, asked.topic) {
            ("subscribed", Some((key, topic))) => drop(self.topics.insert(key, topic)),
            ("unsubscribed", Some((key, _))) => drop(self.topics.remove(&key)),
            _ => {}
        }
        match Message::typed(kind, data) {
            Some(Message::OrderbookSnapshot(book)) if kind == "orderbook_snapshot" => {
                let line = oracle.line(&book.venue, &book.symbol).ok_or("a book of nothing")?;
                check_book(&book, line, DEPTH_MAX)
                    .map_err(|what| format!("asked for {}: {what}", book.symbol))
            }
            _ => Ok(()),
        }
    }

    fn record(&mut self, words: &[u64], oracle: &Oracle) -> Result<(), String> {
        let record = Record::first(words).map_err(|error| error.to_string())?;
        let header = record.header();
        if record.kind() == Kind::Instrument || header.instrument == NO_INSTRUMENT {
            return Ok(());
        }
        let line = oracle.lines.get(&header.instrument).ok_or("a record of an unknown instrument")?;
        let stream = header.stream().ok_or("a record of no stream")?;
        if let Some(fill) = record.fill() {
            return self.fill(fill.trade_id, oracle);
        }
        let (venue, symbol) = (line.venue.as_str(), line.symbol.clone());
        let topic = self.topic(venue, &symbol, stream)?;
        let conflated = header.has(flags::CONFLATED);
        let result = match record.kind() {
            Kind::Status => {
                let state = record.status().and_then(|body| body.state());
                topic.set_state(state == Some(State::Live));
                Ok(())
            }
            Kind::Gap => {
                topic.gap();
                topic.begun = false;
                Ok(())
            }
            Kind::BookSnapshot | Kind::BookDelta => record_book(topic, line, record),
            _ if stream == Stream::Quotes && topic.live == Some(false) => {
                Err("a quote of a stream that is not live".to_owned())
            }
            Kind::Quote => record
                .quote()
                .map_or(Ok(()), |body| topic.follow(line, stream, 0, quote_sum(header, body), conflated)),
            Kind::Candle => record.candle().map_or(Ok(()), |body| {
                topic.follow(line, stream, body.interval, candle_sum(body), conflated)
            }),
            Kind::Funding => record
                .funding()
                .map_or(Ok(()), |body| topic.follow(line, stream, 0, funding_sum(header, body), conflated)),
            _ => Ok(()),
        };
        self.lags +=
            u64::from(record.gap().is_some_and(|gap| gap.reason() == Some(codec::words::Reason::SlowClient)));
        result.map_err(|what| format!("{venue} {symbol} {stream}: {what}"))
    }
}

fn record_book(topic: &mut Topic, line: &Line, record: Record<'_>) -> Result<(), String> {
    let header = record.header();
    let is_snapshot = record.kind() == Kind::BookSnapshot;
    if topic.live == Some(false) {
        return Err(format!("a book record ({}) of a stream that is not live", header.sequence));
    }
    let Some(levels) = record.book() else { return Err("a book record without levels".to_owned()) };
    let (book, at) = topic.levels.get_or_insert_with(|| (Levels::new(8192), 0));
    if !is_snapshot && (!topic.begun || levels.body.prev_sequence != *at) {
        return Err(format!("a delta of {} upon {at} (begun: {})", levels.body.prev_sequence, topic.begun));
    }
    book.apply_record(&levels, is_snapshot);
    *at = header.sequence;
    topic.begun = true;
    let Some(held) = line.held(header.sequence) else {
        return Err(format!("sequence {} was never published", header.sequence));
    };
    let mut whole = 0u64;
    for of in book.bids.iter().chain(book.asks.iter()) {
        for word in [of.level.price.raw() as u64, of.level.size.raw() as u64] {
            whole = (whole ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(17);
        }
    }
    if whole != held.whole {
        return Err(format!("the book at {} is not what was published", header.sequence));
    }
    Ok(())
}
