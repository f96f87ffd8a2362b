//! The oracle: sees every record as it is published, knows the true market, and says where the two differ.
//!
//! What is live is compared at once; what is not live is compared when it becomes live. What clients are shown
//! later is compared with what was published ([`Line`]), which is known to be true by then.

pub mod binance;
pub mod hyperliquid;
pub mod line;
pub mod truth;

pub use line::{DEPTH_MAX, Held, Line, sum_of};

use codec::candle::Candle;
use codec::record::{
    CandleBody, FundingBody, Header, Kind, NO_INSTRUMENT, NONE_I64, QuoteBody, Record, flags,
};
use codec::words::{Reason, State, Stream, Venue};
use sim::MarketHandle;
use std::collections::BTreeMap;
use truth::Truth;

/// Records with both flags are of the past: for queries, not for the stream.
const HISTORY_ONLY: u8 = flags::BACKFILL | flags::SNAPSHOT;

/// What could not be read is told of a connection with the session's next tick.
const TOLD_WITHIN_MS: u64 = 1_000;

/// How much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    pub records: u64,
    pub books: u64,
    pub quotes: u64,
    pub trades: u64,
    pub closes: u64,
    pub gaps: BTreeMap<String, u64>,
    /// Messages of clients.
    pub messages: u64,
    /// Trades that Hyperliquid left out silently: nobody can know of them.
    pub unknowable: u64,
}

impl Checked {
    pub fn add(&mut self, other: &Self) {
        self.records += other.records;
        self.books += other.books;
        self.quotes += other.quotes;
        self.trades += other.trades;
        self.closes += other.closes;
        self.messages += other.messages;
        self.unknowable += other.unknowable;
        for (gap, count) in &other.gaps {
            *self.gaps.entry(gap.clone()).or_default() += count;
        }
    }
}

/// See the module.
pub struct Oracle {
    markets: Vec<(Venue, MarketHandle)>,
    pub lines: BTreeMap<u32, Line>,
    pub checked: Checked,
    pub wrong: Vec<String>,
    pub now_ms: u64,
    /// Symbols of Hyperliquid of which nothing is sent, and until when.
    pub silenced: BTreeMap<String, Vec<(i64, i64)>>,
    /// When Hyperliquid was told to have sent what could not be read.
    pub unread_ms: Vec<i64>,
    pub fills: BTreeMap<u64, bool>,
    pub connection: BTreeMap<Venue, State>,
}

impl Oracle {
    pub fn new(markets: Vec<(Venue, MarketHandle)>) -> Self {
        Self {
            markets,
            lines: BTreeMap::new(),
            checked: Checked::default(),
            wrong: Vec::new(),
            now_ms: 0,
            silenced: BTreeMap::new(),
            unread_ms: Vec::new(),
            fills: BTreeMap::new(),
            connection: BTreeMap::new(),
        }
    }

    pub fn blame(&mut self, what: String) {
        if self.wrong.len() < 8 {
            self.wrong.push(format!("at {} ms: {what}", self.now_ms));
        }
    }

    /// Takes note of what has happened in the markets.
    pub fn follow(&mut self) {
        for line in self.lines.values_mut() {
            line.truth.follow(line.venue == Venue::Hyperliquid);
        }
    }

    /// So many more quotes of a symbol may lack a side.
    pub fn told_without_side(&mut self, venue: Venue, symbol: &str, frames: u64) {
        let line = self.lines.values_mut().find(|line| line.venue == venue && line.symbol == symbol);
        line.into_iter().for_each(|line| line.nulls.0 += frames);
    }

    pub fn line(&self, venue: &str, symbol: &str) -> Option<&Line> {
        self.lines.values().find(|line| line.symbol == symbol && line.venue.as_str() == venue)
    }

    /// A record as it was published.
    pub fn take(&mut self, record: Record<'_>) {
        self.checked.records += 1;
        let header = record.header();
        if let Some(body) = record.instrument() {
            return self.define(header, body.symbol());
        }
        if header.instrument == NO_INSTRUMENT {
            if let (Some(body), Some(venue)) = (record.status(), header.venue()) {
                self.connection.insert(venue, body.state().unwrap_or(State::Down));
            }
            if let (Some(body), Some(venue)) = (record.gap(), header.venue()) {
                self.connection_gap(venue, body.reason().unwrap_or(Reason::None));
            }
            return;
        }
        let Some(line) = self.lines.get_mut(&header.instrument) else {
            // Symbols that are not traded have no truth.
            return;
        };
        let Some(stream) = header.stream() else { return };
        let result = take(line, record, stream, self.now_ms, &mut self.checked, &self.silenced);
        if let Err(what) = result {
            let about = format!("{} {} {stream}: {what}", line.venue, line.symbol);
            self.blame(about);
        }
        if let Some(fill) = record.fill() {
            let known = self.fills.insert(fill.trade_id, true);
            if known.is_some() {
                self.blame(format!("fill {} twice", fill.trade_id));
            }
        }
    }

    /// A gap of a whole venue is one of each of its streams: what could not be read, nobody knows.
    fn connection_gap(&mut self, venue: Venue, reason: Reason) {
        *self.checked.gaps.entry(format!("{venue} {reason}")).or_default() += 1;
        // What Binance's trades lack their ids tell, and each stream by itself.
        if venue == Venue::Hyperliquid && reason == Reason::Malformed {
            self.unread_ms.push(self.now_ms as i64);
            for line in self.lines.values_mut().filter(|line| line.venue == venue) {
                line.gap.insert(Stream::Trades);
                line.trades.untold = None;
            }
        }
    }

    /// What was left out must have been told by now; asked when the engine has had its turns.
    pub fn is_told(&mut self) {
        let mut untold = Vec::new();
        for line in self.lines.values_mut() {
            if line.trades.untold.as_ref().is_some_and(|(at_ms, _)| at_ms + TOLD_WITHIN_MS < self.now_ms)
                && let Some((_, what)) = line.trades.untold.take()
            {
                untold.push(format!("{} {} trades: {what}", line.venue, line.symbol));
            }
        }
        untold.into_iter().for_each(|what| self.blame(what));
    }

    fn define(&mut self, header: &Header, symbol: &str) {
        if self.lines.contains_key(&header.instrument) {
            return;
        }
        let Some(venue) = header.venue() else { return };
        let market = self.markets.iter().find(|(known, _)| *known == venue);
        let Some(truth) = market.and_then(|(_, market)| Truth::new(market, symbol)) else { return };
        self.lines.insert(header.instrument, Line::new(venue, symbol, truth));
    }
}

fn take(
    line: &mut Line,
    record: Record<'_>,
    stream: Stream,
    now_ms: u64,
    checked: &mut Checked,
    silenced: &BTreeMap<String, Vec<(i64, i64)>>,
) -> Result<(), String> {
    let header = record.header();
    match record.kind() {
        Kind::Status | Kind::Gap | Kind::Check => {}
        _ => {
            // Numbered without holes, whatever happens.
            let last = line.sequences.insert(stream, header.sequence).unwrap_or(0);
            let again = record.kind() == Kind::BookSnapshot && header.sequence == last;
            if header.sequence != last + 1 && !again {
                return Err(format!("numbered {} after {last}", header.sequence));
            }
        }
    }
    match record.kind() {
        Kind::Status => {
            let state = record.status().and_then(|body| body.state()).unwrap_or(State::Down);
            let before = line.states.insert(stream, state);
            if state == State::Live && before != Some(State::Live) {
                came_live(line, stream)?;
            }
            if stream == Stream::Orderbook {
                line.confirmed = false;
            }
        }
        Kind::Gap => {
            let reason = record.gap().and_then(|body| body.reason()).unwrap_or(Reason::None);
            *checked.gaps.entry(format!("{stream} {reason}")).or_default() += 1;
            line.gap.insert(stream);
            line.trades.exhausted |= stream == Stream::Trades && reason == Reason::VenueHistoryExhausted;
        }
        Kind::BookSnapshot | Kind::BookDelta => take_book(line, record, checked)?,
        Kind::Quote => {
            if let Some(body) = record.quote() {
                let shown = line.is_live(stream);
                line.last_quote = Some((*header, *body));
                line.nulls.1 += u64::from(body.bid.size.raw() == 0 || body.ask.size.raw() == 0);
                if line.nulls.1 > line.nulls.0 {
                    return Err(format!("{body:?} lacks a side that the venue told"));
                }
                if shown {
                    checked.quotes += 1;
                    check_quote(line, header, body)?;
                }
                line.say(stream, 0, quote_sum(header, body), shown);
            }
        }
        Kind::Trade => take_trade(line, record, now_ms, checked, silenced)?,
        Kind::Candle => {
            if let Some(body) = record.candle() {
                let shown = header.flags & HISTORY_ONLY != HISTORY_ONLY;
                line.say(stream, body.interval, candle_sum(body), shown);
                take_candle(line, body, checked)?;
            }
        }
        Kind::Funding => {
            if let Some(body) = record.funding() {
                line.say(stream, 0, funding_sum(header, body), true);
                if line.venue == Venue::Binance && line.is_live(stream) {
                    binance::funding(line, header, body)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

fn came_live(line: &mut Line, stream: Stream) -> Result<(), String> {
    match stream {
        Stream::Quotes => {
            let Some((header, body)) = line.last_quote else { return Ok(()) };
            check_quote(line, &header, &body).map_err(|what| format!("coming live: {what}"))
        }
        _ => Ok(()),
    }
}

fn check_quote(line: &Line, header: &Header, body: &QuoteBody) -> Result<(), String> {
    match line.venue {
        Venue::Binance => binance::quote(line, header, body),
        Venue::Hyperliquid => hyperliquid::quote(line, header, body),
    }
}

fn take_book(line: &mut Line, record: Record<'_>, checked: &mut Checked) -> Result<(), String> {
    let Some(levels) = record.book() else { return Err("a book record without levels".to_owned()) };
    let header = record.header();
    let is_snapshot = record.kind() == Kind::BookSnapshot;
    line.book.apply_record(&levels, is_snapshot);
    let live = line.is_live(Stream::Orderbook);
    let mut fresh = None;
    if live {
        checked.books += 1;
        match line.venue {
            Venue::Binance => binance::book(line, header)?,
            // The first after it came live makes all of it what is served.
            Venue::Hyperliquid if is_snapshot || !line.confirmed => {
                hyperliquid::whole(line)?;
                fresh = Some(hyperliquid::best(line, header)?);
            }
            Venue::Hyperliquid => {
                hyperliquid::changes(line, &levels)?;
                fresh = Some(hyperliquid::best(line, header)?);
            }
        }
    } else if line.venue == Venue::Hyperliquid {
        // It may be live in a moment, with this.
        fresh = hyperliquid::best(line, header).ok();
    }
    line.confirmed |= live;
    line.keep(header, fresh);
    Ok(())
}

fn take_trade(
    line: &mut Line,
    record: Record<'_>,
    now_ms: u64,
    checked: &mut Checked,
    silenced: &BTreeMap<String, Vec<(i64, i64)>>,
) -> Result<(), String> {
    let Some(body) = record.trade() else { return Err("a trade record without a trade".to_owned()) };
    let header = record.header();
    checked.trades += 1;
    let backfill = header.has(flags::BACKFILL);
    let shown = header.flags & HISTORY_ONLY != HISTORY_ONLY;
    let told = sum_of(&[
        header.ts_event_ns / 1000,
        header.ts_recv_ns / 1000,
        body.price.to_f64().to_bits(),
        body.size.to_f64().to_bits(),
        u64::from(body.side),
        body.trade_id,
        u64::from(backfill),
    ]);
    line.say(Stream::Trades, 0, told, shown);
    let Some(truth) = line.truth.trades.get(&body.trade_id).copied() else {
        // Of before the market's own memory began.
        return if shown { Err(format!("trade {} never happened", body.trade_id)) } else { Ok(()) };
    };
    let bought = body.side() == Some(codec::words::Side::Buy);
    let at_ms = (header.ts_event_ns / 1_000_000) as i64;
    if (body.price.raw(), body.size.raw(), bought, at_ms)
        != (truth.price, truth.size, truth.bought, truth.time_ms)
    {
        return Err(format!("{body:?} at {at_ms} is not {truth:?}"));
    }
    if !line.trades.published.insert(body.trade_id) {
        return Err(format!("trade {} twice", body.trade_id));
    }
    let gap = line.gap.remove(&Stream::Trades);
    line.trades.holes.remove(&truth.place);
    line.trades.first = Some(line.trades.first.unwrap_or(truth.place).min(truth.place));
    let high = line.trades.high;
    if let Some(high) = high
        && truth.place > high
    {
        let excused = silenced.get(&line.symbol).map_or(&[][..], Vec::as_slice);
        for (place, of) in line
            .truth
            .trades
            .values()
            .map(|of| (of.place, of))
            .filter(|(place, _)| (high..truth.place).contains(place))
        {
            if excused.iter().any(|(from, to)| (*from..=*to).contains(&of.time_ms)) {
                checked.unknowable += 1;
                continue;
            }
            line.trades.holes.insert(place);
            if !gap && shown {
                let what = format!(
                    "trade {} at {} was left out before {} at {at_ms} and no gap told",
                    place, of.time_ms, truth.place
                );
                if line.venue == Venue::Binance {
                    return Err(what);
                }
                // A message that could not be read is told a moment later, of the whole connection.
                line.trades.untold.get_or_insert((now_ms, what));
            }
        }
    }
    if gap && (backfill || !shown) {
        // The gap still stands for what has not come yet.
        line.gap.insert(Stream::Trades);
    }
    line.trades.high = Some(high.unwrap_or(0).max(truth.place + 1));
    Ok(())
}

fn take_candle(line: &mut Line, body: &CandleBody, checked: &mut Checked) -> Result<(), String> {
    let Some(interval) = body.interval() else { return Err("a candle without an interval".to_owned()) };
    let candle = Candle::of_body(body);
    let last = line.last_closed.get(&body.interval).copied();
    let follows = last.is_none_or(|last| interval.next_start_ms(last) == candle.start_ms);
    let place = (body.interval, candle.start_ms);
    match (body.closed, body.revised) {
        (0, _) if !follows => Err(format!("open before its turn: {interval} {candle:?} after {last:?}")),
        (0, _) => Ok(()),
        (_, 0) if !follows => Err(format!("closed out of turn: {interval} {candle:?} after {last:?}")),
        (_, 0) => {
            checked.closes += 1;
            line.last_closed.insert(body.interval, candle.start_ms);
            match line.closed.insert(place, (candle, false)) {
                None => Ok(()),
                Some(_) => Err(format!("closed twice: {interval} {candle:?}")),
            }
        }
        _ => match line.closed.insert(place, (candle, true)) {
            Some((known, _)) if known != candle => Ok(()),
            known => Err(format!("{candle:?} corrects {known:?}")),
        },
    }
}

/// Whether a quote is what the best was.
pub fn same_quote(body: &QuoteBody, truth: &sim::Quote) -> Result<(), String> {
    let side = |of: &codec::record::Level| (of.price.raw(), of.size.raw());
    let real = |of: Option<sim::Level>| of.map_or((0, 0), |of| (of.price_e8, of.size_e8));
    // How often a side may be missing is looked at where a quote is taken.
    let is_told = |told: (i64, i64), truth: (i64, i64)| told == truth || told == (0, 0);
    if is_told(side(&body.bid), real(truth.bid)) && is_told(side(&body.ask), real(truth.ask)) {
        return Ok(());
    }
    Err(format!("{body:?} is not {truth:?}"))
}

pub fn quote_sum(header: &Header, body: &QuoteBody) -> u64 {
    let side = |of: &codec::record::Level| {
        if of.size.raw() == 0 { [0, 0] } else { [of.price.to_f64().to_bits(), of.size.to_f64().to_bits()] }
    };
    let ([bid, bid_size], [ask, ask_size]) = (side(&body.bid), side(&body.ask));
    sum_of(&[header.ts_event_ns / 1000, header.ts_recv_ns / 1000, bid, bid_size, ask, ask_size])
}

pub fn candle_sum(body: &CandleBody) -> u64 {
    sum_of(&[
        body.start_ns / 1_000_000_000,
        body.open.to_f64().to_bits(),
        body.high.to_f64().to_bits(),
        body.low.to_f64().to_bits(),
        body.close.to_f64().to_bits(),
        body.volume().to_f64().to_bits(),
        body.num_trades,
        u64::from(body.closed),
        u64::from(body.revised),
    ])
}

pub fn funding_sum(header: &Header, body: &FundingBody) -> u64 {
    let given = |raw: i64, value: f64| if raw == NONE_I64 { 0 } else { value.to_bits() };
    let event_us = if header.ts_event_ns == 0 { header.ts_recv_ns } else { header.ts_event_ns } / 1000;
    sum_of(&[
        event_us,
        header.ts_recv_ns / 1000,
        given(body.rate.raw(), body.rate.to_f64()),
        given(body.mark_price.raw(), body.mark_price.to_f64()),
        given(body.open_interest.raw(), body.open_interest.to_f64()),
        body.next_funding_ns / 1000,
    ])
}
