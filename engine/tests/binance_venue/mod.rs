//! A small scripted Binance in virtual time: exact markets, connections with their own latency and faults,
//! and a witness who holds every record against the truth.

#![allow(dead_code)]

pub mod frames;
pub mod witness;

use crate::support::Bench;
use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Size};
use codec::record::Level;
use codec::venues::rest_binance::{AggTradeRow, DepthSnapshot, ExchangeInfo, FundingInfo, InstrumentInfo};
use codec::words::{InstrumentKind, InstrumentStatus, Interval, Side};
use engine::fetch::{Answer, FetchError, Query};
use engine::session::backoff::Random;
use engine::session::binance::BinanceSession;
use engine::session::{Action, CloseCause, Generation, Link, Session};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use witness::Witness;

/// A price or size at 1e-8.
pub const ONE: i64 = 100_000_000;

pub fn info(symbol: &str, status: InstrumentStatus) -> InstrumentInfo {
    InstrumentInfo {
        symbol: symbol.to_owned(),
        base: symbol.trim_end_matches("USDT").to_owned(),
        quote: "USDT".to_owned(),
        kind: InstrumentKind::Perp,
        perpetual: true,
        status,
        tick_size: Some(Price::from_raw(ONE / 10)),
        lot_size: Some(Size::from_raw(ONE / 1000)),
        coin_margined: false,
    }
}

pub fn list(symbols: &[&str]) -> ExchangeInfo {
    let symbols = symbols.iter().map(|symbol| info(symbol, InstrumentStatus::Trading)).collect();
    ExchangeInfo { request_weight_per_minute: None, symbols, unknown_words: Vec::new() }
}

/// One change of a book.
#[derive(Clone, Copy)]
pub struct Change {
    pub id: u64,
    pub bid: bool,
    pub price: i64,
    pub size: i64,
}

/// One symbol's market.
pub struct Market {
    pub symbol: String,
    /// Full stream names by suffix.
    names: BTreeMap<String, String>,
    /// All changes since `log_from`, oldest first.
    pub log: VecDeque<Change>,
    pub log_from: u64,
    pub book: BTreeMap<(bool, i64), i64>,
    pub last_id: u64,
    pub trades: Vec<AggTradeRow>,
    pub candles: BTreeMap<Interval, Vec<Candle>>,
}

impl Market {
    fn new(symbol: &str, intervals: &[Interval], now_ms: u64) -> Self {
        let mut book = BTreeMap::new();
        for step in 1..=10 {
            book.insert((true, 100 * ONE - step * ONE), ONE);
            book.insert((false, 100 * ONE + step * ONE), ONE);
        }
        let open = |interval: &Interval| {
            (*interval, vec![Candle::flat(interval.start_ms_of(now_ms), Price::from_raw(100 * ONE))])
        };
        let mut suffixes: Vec<_> = intervals.iter().map(|interval| format!("@kline_{interval}")).collect();
        suffixes.extend(["@depth@100ms", "@bookTicker", "@aggTrade", "@markPrice@1s"].map(str::to_owned));
        let full = |suffix: String| (suffix.clone(), format!("{}{suffix}", symbol.to_lowercase()));
        Self {
            symbol: symbol.to_owned(),
            names: suffixes.into_iter().map(full).collect(),
            log: VecDeque::new(),
            log_from: 0,
            book,
            last_id: 1_000,
            trades: Vec::new(),
            candles: intervals.iter().map(open).collect(),
        }
    }

    pub fn side(&self, bid: bool) -> Vec<Level> {
        let level = |((_, price), size): (&(bool, i64), &i64)| Level {
            price: Price::from_raw(*price),
            size: Size::from_raw(*size),
        };
        let mut levels: Vec<_> = self.book.iter().filter(|((side, _), _)| *side == bid).map(level).collect();
        if bid {
            levels.reverse();
        }
        levels
    }

    fn change(&mut self, random: &mut Random) {
        self.last_id += 1 + random.below(5);
        let bid = random.below(2) == 0;
        let step = (1 + random.below(12) as i64) * ONE;
        let price = if bid { 100 * ONE - step } else { 100 * ONE + step };
        // The best levels stay, so that the book is never empty.
        let size = if random.below(4) == 0 && step > 2 * ONE { 0 } else { 1 + random.below(1_000) as i64 };
        if size == 0 {
            self.book.remove(&(bid, price));
        } else {
            self.book.insert((bid, price), size);
        }
        self.log.push_back(Change { id: self.last_id, bid, price, size });
    }

    fn trade(&mut self, now_ms: u64, random: &mut Random) {
        let (price, size) = (
            Price::from_raw(99 * ONE + random.below(2 * ONE as u64) as i64),
            Size::from_raw(1 + random.below(ONE as u64) as i64),
        );
        let agg_id = self.trades.last().map_or(500, |row| row.agg_id + 1);
        self.trades.push(AggTradeRow {
            agg_id,
            value: Some((price, size)),
            trade_ms: now_ms,
            side: Side::Buy,
        });
        for candles in self.candles.values_mut() {
            let open = candles.last_mut().unwrap();
            if open.num_trades == 0 {
                *open = Candle::of_trade(open.start_ms, price, size);
            } else {
                open.add_trade(price, size);
            }
        }
    }

    fn row(interval: Interval, candle: &Candle) -> CandleRow {
        let end_ms = interval.next_start_ms(candle.start_ms) - 1;
        CandleRow { start_ms: candle.start_ms, end_ms, candle: Some(*candle) }
    }
}

/// A frame on its way.
pub enum Frame {
    Text(String),
    Depth { symbol: usize, id: u64 },
    Ticker { symbol: usize, id: u64 },
    Trade { symbol: usize, row: AggTradeRow },
    Kline { symbol: usize, interval: Interval, candle: Candle, closed: bool },
    Mark { symbol: usize },
}

/// One connection.
pub struct Wire {
    pub generation: Generation,
    pub opened_ms: u64,
    pub public: bool,
    pub latency_ms: u64,
    pub streams: BTreeSet<String>,
    /// Due, sent at, frame.
    queue: VecDeque<(u64, u64, Frame)>,
    /// Last update id of each symbol's depth stream, as said on this connection.
    depth_ids: BTreeMap<usize, u64>,
    depth_phase_ms: u64,
}

/// Faults, to be set by the test.
#[derive(Default)]
pub struct Faults {
    pub refused: BTreeSet<String>,
    pub mute: BTreeSet<String>,
    /// Requests to be left unanswered, by link.
    pub acks_to_lose: BTreeMap<Link, usize>,
    pub refuse_connections: bool,
    pub candles_down: bool,
    pub closing_frames_lost: bool,
    pub closing_frames_late_ms: u64,
    pub instruments_down: bool,
    pub silent: BTreeSet<Link>,
}

/// See the module.
pub struct Venue {
    pub bench: Bench<BinanceSession>,
    pub markets: Vec<Market>,
    pub wires: BTreeMap<Link, Wire>,
    pub faults: Faults,
    pub witness: Witness,
    pub list: ExchangeInfo,
    pub funding_info: Vec<FundingInfo>,
    pub intervals: Vec<Interval>,
    /// Latency of the next connections, by turns.
    pub latencies_ms: Vec<u64>,
    pub connects: Vec<(u64, Link)>,
    pub sends: BTreeMap<Link, Vec<u64>>,
    pub fetches: Vec<Query>,
    /// Connections the venue itself cut at 24 hours.
    pub cut: usize,
    pub closed: Vec<Link>,
    /// How far the venue's clock is ahead of ours.
    pub clock_ahead_ms: u64,
    pub trade_every_ms: u64,
    keeps_fetches: bool,
    random: Random,
    step: u64,
}

impl Venue {
    pub fn new(bench: Bench<BinanceSession>, symbols: &[&str], intervals: &[Interval]) -> Self {
        let now_ms = bench.now.wall_ns / 1_000_000;
        Self {
            bench,
            markets: symbols.iter().map(|symbol| Market::new(symbol, intervals, now_ms)).collect(),
            wires: BTreeMap::new(),
            faults: Faults::default(),
            witness: Witness::default(),
            list: list(symbols),
            funding_info: Vec::new(),
            intervals: intervals.to_vec(),
            latencies_ms: vec![0],
            connects: Vec::new(),
            sends: BTreeMap::new(),
            fetches: Vec::new(),
            cut: 0,
            closed: Vec::new(),
            clock_ahead_ms: 0,
            trade_every_ms: 700,
            keeps_fetches: false,
            random: Random::new(3),
            step: 0,
        }
    }

    pub fn start(&mut self) {
        self.bench.with(Session::on_start);
        self.act();
    }

    /// The venue's time, ms.
    pub fn now_ms(&self) -> u64 {
        self.bench.now.wall_ns / 1_000_000 + self.clock_ahead_ms
    }

    pub fn link_of(&self, stream: &str) -> Option<Link> {
        self.wires.iter().find(|(_, wire)| wire.streams.contains(stream)).map(|(link, _)| *link)
    }

    /// As [`Self::run_ms`], with every fetch left to the test.
    pub fn run_ms_without_fetches(&mut self, ms: u64, step_ms: u64) {
        self.keeps_fetches = true;
        self.run_ms(ms, step_ms);
        self.keeps_fetches = false;
    }

    /// Lets time pass in steps.
    pub fn run_ms(&mut self, ms: u64, step_ms: u64) {
        for _ in 0..ms / step_ms {
            self.bench.now.mono_ns += step_ms * 1_000_000;
            self.bench.now.wall_ns += step_ms * 1_000_000;
            self.step += step_ms;
            self.happen(step_ms);
            self.deliver();
            self.bench.with(|session, now, out| session.on_tick(now, out));
            self.act();
            self.look();
        }
    }

    /// Whether a thing that happens so often happens in this step.
    fn every(&self, ms: u64, step_ms: u64) -> bool {
        self.step / ms != (self.step - step_ms) / ms
    }

    fn happen(&mut self, step_ms: u64) {
        let now_ms = self.now_ms();
        for symbol in 0..self.markets.len() {
            // Periods end by the clock.
            for interval in self.intervals.clone() {
                let next_ms = {
                    let open = self.markets[symbol].candles[&interval].last().unwrap();
                    interval.next_start_ms(open.start_ms)
                };
                if now_ms >= next_ms {
                    let candles = self.markets[symbol].candles.get_mut(&interval).unwrap();
                    let candle = *candles.last().unwrap();
                    candles.push(Candle::flat(next_ms, candle.close));
                    if !self.faults.closing_frames_lost {
                        let late_ms = self.faults.closing_frames_late_ms;
                        let name = format!("@kline_{interval}");
                        self.send(symbol, &name, late_ms, |_| Frame::Kline {
                            symbol,
                            interval,
                            candle,
                            closed: true,
                        });
                    }
                }
            }
            if self.every(250, step_ms) || step_ms > 250 {
                let Self { markets, random, .. } = self;
                markets[symbol].change(random);
                let id = markets[symbol].last_id;
                self.send(symbol, "@bookTicker", 0, |_| Frame::Ticker { symbol, id });
            }
            if self.trade_every_ms > 0 && self.every(self.trade_every_ms, step_ms) {
                let Self { markets, random, .. } = self;
                markets[symbol].trade(now_ms, random);
                let row = *markets[symbol].trades.last().unwrap();
                self.send(symbol, "@aggTrade", 0, |_| Frame::Trade { symbol, row });
            }
            if self.every(1_000, step_ms) {
                self.send(symbol, "@markPrice@1s", 0, |_| Frame::Mark { symbol });
                for interval in self.intervals.clone() {
                    let candle = *self.markets[symbol].candles[&interval].last().unwrap();
                    self.send(symbol, &format!("@kline_{interval}"), 0, |_| Frame::Kline {
                        symbol,
                        interval,
                        candle,
                        closed: false,
                    });
                }
            }
            // Each connection cuts the changes into events at its own moments.
            let id = self.markets[symbol].last_id;
            let (step, phase) = (self.step, step_ms);
            self.send(symbol, "@depth@100ms", 0, move |wire| {
                let at = |step: u64| (step + wire.depth_phase_ms) / 500;
                if at(step) == at(step - phase) {
                    return Frame::Text(String::new());
                }
                Frame::Depth { symbol, id }
            });
        }
        let (day_ms, now) = (24 * 3_600_000, now_ms);
        let old: Vec<_> =
            self.wires.iter().filter(|(_, wire)| now - wire.opened_ms >= day_ms).map(|(l, _)| *l).collect();
        for link in old {
            self.cut += 1;
            self.close(link);
        }
    }

    /// Sends a frame of a symbol's stream to whoever has it.
    fn send(&mut self, symbol: usize, suffix: &str, late_ms: u64, frame: impl Fn(&Wire) -> Frame) {
        let now_ms = self.now_ms();
        let name = &self.markets[symbol].names[suffix];
        if self.faults.mute.contains(name) {
            return;
        }
        for (link, wire) in &mut self.wires {
            let right_route = wire.public == (suffix.starts_with("@depth") || suffix == "@bookTicker");
            if !wire.streams.contains(name) || !right_route || self.faults.silent.contains(link) {
                continue;
            }
            let frame = frame(wire);
            if !matches!(&frame, Frame::Text(text) if text.is_empty()) {
                let due_ms = now_ms + wire.latency_ms + late_ms;
                let at = wire.queue.partition_point(|(other_ms, ..)| *other_ms <= due_ms);
                wire.queue.insert(at, (due_ms, now_ms, frame));
            }
        }
    }

    fn deliver(&mut self) {
        let now_ms = self.now_ms();
        for link in self.wires.keys().copied().collect::<Vec<_>>() {
            while let Some(wire) = self.wires.get_mut(&link) {
                if wire.queue.front().is_none_or(|(due_ms, ..)| *due_ms > now_ms) {
                    break;
                }
                let (_, sent_ms, frame) = wire.queue.pop_front().unwrap();
                self.hand_over(link, sent_ms, frame);
            }
        }
    }

    fn hand_over(&mut self, link: Link, sent_ms: u64, frame: Frame) {
        match frame {
            Frame::Text(text) => self.bench.message(link, &text),
            Frame::Depth { symbol, id } => {
                let market = &self.markets[symbol];
                let wire = self.wires.get_mut(&link).unwrap();
                let prev = *wire.depth_ids.get(&symbol).unwrap_or(&id);
                if id == prev {
                    return;
                }
                wire.depth_ids.insert(symbol, id);
                let mut last = BTreeMap::new();
                for change in market.log.iter().filter(|change| prev < change.id && change.id <= id) {
                    last.insert((change.bid, change.price), change.size);
                }
                let text = frames::depth(&market.symbol, sent_ms, (prev, id), &last);
                self.bench.message(link, &text);
            }
            Frame::Ticker { symbol, id } => {
                let market = &self.markets[symbol];
                let text =
                    frames::ticker(&market.symbol, sent_ms, id, market.side(true)[0], market.side(false)[0]);
                self.bench.message(link, &text);
            }
            Frame::Trade { symbol, row } => {
                let text = frames::agg_trade(&self.markets[symbol].symbol, sent_ms, &row);
                self.bench.message(link, &text);
            }
            Frame::Kline { symbol, interval, candle, closed } => {
                let row = Market::row(interval, &candle);
                let name = self.markets[symbol].symbol.clone();
                frames::kline(&mut self.bench, link, &name, sent_ms, interval, &row, closed);
            }
            Frame::Mark { symbol } => {
                let name = self.markets[symbol].symbol.clone();
                frames::mark(&mut self.bench, link, &name, sent_ms);
            }
        }
    }

    /// Carries out what the session asks for.
    pub fn act(&mut self) {
        let mut kept = VecDeque::new();
        while let Some(action) = self.bench.actions.pop_front() {
            match action {
                Action::Fetch(_) if self.keeps_fetches => kept.push_back(action),
                Action::Connect { link, generation, url } => self.connect(link, generation, &url),
                Action::Send { link, text } => self.hear(link, &text),
                Action::Close { link } => {
                    self.closed.push(link);
                    self.wires.remove(&link);
                }
                Action::Ping { .. } => {}
                Action::Fetch(request) => {
                    self.fetches.push(request.query.clone());
                    let outcome = self.answer(&request.query);
                    self.bench.answer(request, outcome);
                }
            }
        }
        self.bench.actions = kept;
    }

    fn connect(&mut self, link: Link, generation: Generation, url: &str) {
        let now_ms = self.now_ms();
        self.connects.push((now_ms, link));
        assert!(!self.wires.contains_key(&link), "link {link} has a connection");
        if self.faults.refuse_connections {
            let cause = CloseCause::ConnectFailed("refused".into());
            self.bench.with(|session, now, out| session.on_closed(link, generation, &cause, now, out));
            return;
        }
        let latency_ms = self.latencies_ms[self.connects.len() % self.latencies_ms.len()];
        let wire = Wire {
            generation,
            opened_ms: now_ms,
            public: url.contains("/public/"),
            latency_ms,
            streams: BTreeSet::new(),
            queue: VecDeque::new(),
            depth_ids: BTreeMap::new(),
            depth_phase_ms: (self.connects.len() as u64 * 170) % 500,
        };
        self.wires.insert(link, wire);
        self.bench.with(|session, now, out| session.on_connected(link, generation, now, out));
    }

    fn hear(&mut self, link: Link, text: &str) {
        let now_ms = self.now_ms();
        self.sends.entry(link).or_default().push(now_ms);
        let id = text.rsplit_once("\"id\":").unwrap().1.trim_end_matches('}').to_owned();
        let names = text.split_once('[').unwrap().1.split_once(']').unwrap().0;
        let names: Vec<_> = names.split(',').map(|name| name.trim_matches('"').to_owned()).collect();
        let Some(wire) = self.wires.get_mut(&link) else { return };
        let answer = if names.iter().any(|name| self.faults.refused.contains(name)) {
            format!("{{\"error\":{{\"code\":2,\"msg\":\"Invalid request\"}},\"id\":{id}}}")
        } else {
            for name in names {
                if text.contains("UNSUBSCRIBE") {
                    wire.streams.remove(&name);
                    continue;
                }
                if let Some(symbol) = name.strip_suffix("@depth@100ms")
                    && let Some(at) = self.markets.iter().position(|m| m.symbol.to_lowercase() == symbol)
                {
                    wire.depth_ids.entry(at).or_insert(self.markets[at].last_id);
                }
                wire.streams.insert(name);
            }
            format!("{{\"result\":null,\"id\":{id}}}")
        };
        let to_lose = self.faults.acks_to_lose.entry(link).or_default();
        if *to_lose > 0 {
            *to_lose -= 1;
        } else {
            wire.queue.push_back((now_ms + wire.latency_ms, now_ms, Frame::Text(answer)));
        }
    }

    /// The venue, or the net, cuts a connection.
    pub fn close(&mut self, link: Link) {
        let wire = self.wires.remove(&link).unwrap();
        self.bench.close(link, wire.generation);
        self.act();
    }

    fn answer(&self, query: &Query) -> Result<Answer, FetchError> {
        let market = |symbol: &str| self.markets.iter().find(|market| market.symbol == *symbol);
        let unknown =
            || FetchError::Permanent { status: 400, code: -1121, message: "Invalid symbol.".into() };
        let down = || Err(FetchError::Transient("down".into()));
        Ok(match query {
            Query::Instruments if self.faults.instruments_down => return down(),
            Query::Instruments => Answer::BinanceInstruments(self.list.clone()),
            Query::FundingInfo => Answer::FundingInfo(self.funding_info.clone()),
            Query::Book { symbol, .. } => {
                let market = market(symbol).ok_or_else(unknown)?;
                Answer::BinanceBook(DepthSnapshot {
                    last_update_id: market.last_id,
                    event_ms: self.now_ms(),
                    transaction_ms: self.now_ms(),
                    bids: market.side(true),
                    asks: market.side(false),
                    unrepresentable: 0,
                })
            }
            Query::AggTrades { symbol, from_id, limit } => {
                let rows = &market(symbol).ok_or_else(unknown)?.trades;
                let rows = rows.iter().filter(|row| row.agg_id >= *from_id).take(*limit as usize);
                Answer::AggTrades(rows.copied().collect())
            }
            Query::Candles { .. } if self.faults.candles_down => return down(),
            Query::Candles { symbol, interval, start_ms, end_ms, limit } => {
                let candles = &market(symbol).ok_or_else(unknown)?.candles[interval];
                let wanted = |candle: &&Candle| *start_ms <= candle.start_ms && candle.start_ms <= *end_ms;
                let rows = candles.iter().filter(wanted).take(*limit as usize);
                Answer::Candles(rows.map(|candle| Market::row(*interval, candle)).collect())
            }
            other => panic!("not asked of Binance: {other:?}"),
        })
    }

    fn look(&mut self) {
        let Self { bench, witness, markets, .. } = self;
        let now = bench.now;
        bench.drain(|record| witness.look(&record, markets, now));
        // What every connection has said and the witness has seen is history.
        for (symbol, market) in markets.iter_mut().enumerate() {
            let told = self.wires.values().filter_map(|wire| wire.depth_ids.get(&symbol)).min();
            let seen = witness.books.get(&(symbol as u32)).map_or(0, |book| book.id);
            let done = told.map_or(0, |told| (*told).min(seen));
            while market.log.len() > 64 && market.log.front().is_some_and(|change| change.id <= done) {
                market.log.pop_front();
            }
        }
    }
}
