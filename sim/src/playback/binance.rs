//! Plays a Binance capture back: stream events to their subscribers, recorded REST answers in their place.
//!
//! Events keep their text. Diff depth goes to every diff depth stream of its symbol, whatever the speed recorded;
//! `trade` events are served as `aggTrade` too, one to one. A depth snapshot asked for before its place in the
//! capture is answered when the playback gets there; later ones show the book that the capture has led to by then.

use super::finals::Finals;
use super::kept_book::KeptBook;
use super::klines::PlayedKlines;
use super::{Line, PlaybackHandle, Played, Player, read_capture};
use crate::binance::hub::Hub;
use crate::binance::klines::{self, Klines};
use crate::binance::question::{self, AggTradesQuery, KlinesQuery, Question};
use crate::binance::streams::{self, DEPTH_SPEEDS, Kind};
use crate::binance::{budget, funding, listing, rest};
use crate::config::PlaybackConfig;
use crate::decimal::parse_e8;
use crate::error::SimError;
use crate::limits::{PLAYBACK_BACKLOG_BYTES, PLAYBACK_REST_WAIT_MS};
use crate::market::{
    Aggressor, BINANCE_FUNDING_HOURS, Bar, Contract, Funding, Instrument, PriceGrid, Trade, Venue, list,
};
use crate::protocol::{Action, Backlog, Request, RequestId, Response, Target};
use crate::subscribers::StreamId;
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// One captured message.
enum Item {
    Event {
        symbol: usize,
        kind: Kind,
        /// The venue's time as far as candles go: trades come in order, other streams a little early or late.
        clock_ms: i64,
        data: String,
    },
    Snapshot {
        symbol: String,
        body: String,
    },
    /// Known from the start; its place in the capture means nothing.
    Skipped,
}

/// A request for a snapshot the playback has not got to.
struct Held {
    id: RequestId,
    symbol: String,
    limit: usize,
    weight_used: u64,
}

/// A trade served so far.
struct PlayedTrade {
    id: u64,
    time_ms: i64,
    price_e8: i64,
    row: String,
}

/// A capture being played back.
pub struct BinancePlayback {
    player: Player,
    tape: Tape,
}

/// What a capture holds, and what of it has been told.
struct Tape {
    pause_at_rest: bool,
    items: Vec<Item>,
    instruments: Vec<Instrument>,
    exchange_info: Option<String>,
    /// The books that the capture has led to, by symbol.
    books: HashMap<String, KeptBook>,
    /// Symbols whose snapshot was asked for.
    asked: HashSet<String>,
    held: Vec<Held>,
    trades: HashMap<String, Vec<PlayedTrade>>,
    /// The candles as far as played.
    klines: PlayedKlines,
    /// When candles are told, in capture time.
    kline_clock: Option<Klines>,
}

/// The text of a member that is the last one of an object: `{…,"data":TEXT}`.
fn last_member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let begin = json.find(&format!("\"{name}\":"))? + name.len() + 3;
    json.trim_end().strip_suffix('}')?.get(begin..)
}

/// The text of a string member near the front of an object.
fn string_member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let begin = json.find(&format!("\"{name}\":\""))? + name.len() + 4;
    json.get(begin..)?.split('"').next()
}

impl BinancePlayback {
    /// Reads a capture.
    pub fn open(config: &PlaybackConfig, handle: PlaybackHandle) -> Result<Self, SimError> {
        let lines = read_capture(&config.path)?;
        let tape = Tape::new(&lines, config)?;
        handle.set_finals(tape.finals());
        let times_ns = lines.iter().map(|line| line.recv_ns).collect();
        Ok(Self { player: Player::new(config.clone(), times_ns, handle), tape })
    }

    /// The symbols of the capture.
    pub fn instruments(&self) -> &[Instrument] {
        &self.tape.instruments
    }

    /// Hands out what is due.
    pub fn tick(&mut self, hub: &mut Hub, backlog: &dyn Backlog, now_ms: i64, out: &mut Vec<Action>) -> i64 {
        let all_sent = hub.connections.keys().all(|id| backlog.backlog_bytes(*id) == 0);
        let Self { player, tape } = self;
        player.begin(&hub.subscribers, now_ms);
        player
            .turn(all_sent, now_ms, |at, stood_ms| tape.play(at, stood_ms, (&mut *hub, backlog), now_ms, out))
    }

    /// Answers a question, or holds it until the playback gets to the answer.
    pub fn ask(
        &mut self,
        id: RequestId,
        question: &Question,
        request: &Request,
        weight_used: u64,
        now_ms: i64,
    ) -> Option<Response> {
        let known = |symbol: &str| self.tape.instruments.iter().any(|instrument| instrument.symbol == symbol);
        Some(match question {
            Question::Time => Response::json(200, format!(r#"{{"serverTime":{now_ms}}}"#)),
            Question::ExchangeInfo => match &self.tape.exchange_info {
                Some(body) => rest::packed(body, request),
                None => rest::packed(&listing::exchange_info(&self.tape.instruments, false, now_ms), request),
            },
            Question::Depth { symbol, .. } if !known(symbol) => rest::invalid_symbol(),
            Question::Depth { symbol, limit } => {
                self.tape.asked.insert(symbol.clone());
                match self.tape.books.get(symbol).and_then(|book| book.snapshot(*limit)) {
                    Some(body) => Response::json(200, body),
                    None => {
                        self.tape.held.push(Held { id, symbol: symbol.clone(), limit: *limit, weight_used });
                        return None;
                    }
                }
            }
            Question::AggTrades(query) if !known(&query.symbol) => rest::invalid_symbol(),
            Question::AggTrades(query) => self.tape.agg_trades(query),
            Question::Klines(query) => self.tape.klines(query),
            Question::PremiumIndex { symbol } => self.tape.premium_index(symbol.as_deref(), now_ms),
            Question::FundingInfo | Question::FundingRates(_) => Response::json(200, "[]"),
        })
    }
}

impl Tape {
    fn new(lines: &[Line], config: &PlaybackConfig) -> Result<Self, SimError> {
        let bad =
            |line: usize, reason| SimError::Capture { path: config.path.clone(), line: line + 1, reason };
        let mut tape = Self {
            pause_at_rest: config.pause_at_rest,
            items: Vec::with_capacity(lines.len()),
            instruments: Vec::new(),
            exchange_info: None,
            books: HashMap::new(),
            asked: HashSet::new(),
            held: Vec::new(),
            trades: HashMap::new(),
            klines: PlayedKlines::default(),
            kline_clock: None,
        };
        for (at, line) in lines.iter().enumerate() {
            let item = tape.item(line).map_err(|reason| bad(at, reason))?;
            tape.items.push(item);
        }
        // A bare snapshot names no symbol: it belongs to the only one there is.
        let only = (tape.instruments.len() == 1).then(|| tape.instruments[0].symbol.clone());
        for (at, item) in tape.items.iter_mut().enumerate() {
            if let Item::Snapshot { symbol, .. } = item
                && symbol.is_empty()
            {
                *symbol =
                    only.clone().ok_or_else(|| bad(at, "a snapshot without symbol among several symbols"))?;
            }
        }
        tape.klines = PlayedKlines::new(tape.instruments.clone());
        Ok(tape)
    }

    /// The candles the whole capture leads to.
    fn finals(&self) -> Finals {
        let mut klines = PlayedKlines::new(self.instruments.clone());
        for item in &self.items {
            if let Item::Event { symbol, kind, clock_ms, data } = item {
                klines.pass(*clock_ms);
                learn(&mut klines, *symbol, *kind, data);
            }
        }
        klines.finals()
    }

    fn item(&mut self, line: &Line) -> Result<Item, &'static str> {
        let json = &line.json;
        if json.starts_with("{\"lastUpdateId\"") {
            return Ok(Item::Snapshot { symbol: String::new(), body: json.clone() });
        }
        if json.starts_with("{\"rest\"") {
            let target = Target::parse(string_member(json, "rest").ok_or("no path of a REST answer")?);
            let body = last_member(json, "body").ok_or("no body of a REST answer")?.to_owned();
            return Ok(match target.path.as_str() {
                "/fapi/v1/exchangeInfo" => {
                    self.exchange_info = Some(body);
                    Item::Skipped
                }
                "/fapi/v1/depth" => {
                    let symbol = target.parameters().remove("symbol").unwrap_or_default();
                    Item::Snapshot { symbol, body }
                }
                _ => Item::Skipped,
            });
        }
        let stream = string_member(json, "stream").ok_or("neither a combined event nor a REST answer")?;
        let data = last_member(json, "data").ok_or("an event without data")?;
        let (stream_symbol, kind) = streams::parse(stream).ok_or("a stream name that does not exist")?;
        let symbol = self.symbol(&stream_symbol.to_uppercase(), data);
        let begin = data.find("\"E\":").map_or(0, |at| at + 4);
        let digits: String = data[begin..].chars().take_while(char::is_ascii_digit).collect();
        let event_ms: i64 = digits.parse().unwrap_or(0);
        let is_trade = matches!(kind, Kind::Trade | Kind::AggTrade);
        let clock_ms = if is_trade { event_ms } else { event_ms - STREAMS_APART_MS };
        Ok(Item::Event { symbol, kind, clock_ms, data: data.to_owned() })
    }

    /// The index of a symbol; a new one is described as truthfully as its first event allows.
    fn symbol(&mut self, symbol: &str, data: &str) -> usize {
        if let Some(at) = self.instruments.iter().position(|instrument| instrument.symbol == symbol) {
            return at;
        }
        let known = list(Venue::Binance, 4, 0, 0).into_iter().find(|instrument| instrument.symbol == symbol);
        self.instruments.push(known.unwrap_or_else(|| described(symbol, data)));
        self.instruments.len() - 1
    }

    /// Plays one message.
    fn play(
        &mut self,
        at: usize,
        stood_ms: i64,
        (hub, backlog): (&mut Hub, &dyn Backlog),
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Played {
        match &self.items[at] {
            Item::Skipped => Played::Claimed,
            Item::Snapshot { symbol, body } => {
                let wanted =
                    streams::depth_names(&symbol.to_lowercase()).any(|name| hub.subscribers.is_live(&name));
                let missing = wanted && !self.asked.contains(symbol);
                if missing && self.pause_at_rest && stood_ms < PLAYBACK_REST_WAIT_MS {
                    return Played::Waits;
                }
                for held in self.held.extract_if(.., |held| held.symbol == *symbol) {
                    let response = Response::json(200, cut_to(body, held.limit));
                    out.push(Action::Respond(held.id, budget::with_weight(response, held.weight_used)));
                }
                self.books.entry(symbol.clone()).or_default().load(body);
                Played::Claimed
            }
            Item::Event { symbol, kind, clock_ms, data } => {
                let mut targets = targets(hub, *symbol, *kind);
                let full = |id: &u64| backlog.backlog_bytes(*id) > PLAYBACK_BACKLOG_BYTES;
                if targets.iter().any(|(stream, _)| hub.subscribers.of(*stream).iter().any(full)) {
                    return Played::Waits;
                }
                let name = &self.instruments[*symbol].symbol;
                self.klines.pass(*clock_ms);
                let clock_ms = self.klines.clock_ms();
                let clock = self.kline_clock.get_or_insert_with(|| Klines::new(KLINE_INTERVAL_MS, clock_ms));
                // Before the event: a period it does not belong to ends first.
                clock.tick(&self.klines, hub, (clock_ms, now_ms), out);
                if matches!(kind, Kind::Trade | Kind::AggTrade) {
                    clock.traded(*symbol);
                }
                learn(&mut self.klines, *symbol, *kind, data);
                if matches!(kind, Kind::Depth(_)) {
                    self.books.entry(name.clone()).or_default().event(data);
                }
                let aggregate = (*kind == Kind::Trade).then(|| aggregate_of(data)).flatten();
                let remembered = aggregate.as_deref().or((*kind == Kind::AggTrade).then_some(data));
                if let Some(trade) = remembered.and_then(played_trade) {
                    self.trades.entry(name.clone()).or_default().push(trade);
                }
                let claimed = !targets.is_empty();
                targets.retain(|(stream, target)| match target {
                    // What is no trade of the market is no aggregate trade either.
                    Kind::AggTrade if *kind == Kind::Trade && aggregate.is_none() => false,
                    Kind::Depth(_) => !hub.disturbances.breaks_depth(name, hub.subscribers.name(*stream)),
                    Kind::AggTrade => !hub.disturbances.drops_trade(name),
                    _ => true,
                });
                for (stream, target) in targets {
                    let converted = if target == Kind::AggTrade { aggregate.as_deref() } else { None };
                    hub.deliver(*symbol, stream, converted.unwrap_or(data), now_ms, out);
                }
                if claimed { Played::Claimed } else { Played::Unclaimed }
            }
        }
    }

    fn agg_trades(&self, query: &AggTradesQuery) -> Response {
        let played = self.trades.get(&query.symbol).map(Vec::as_slice).unwrap_or_default();
        let asked: Vec<&str> = played
            .iter()
            .filter(|trade| question::is_asked(query, trade.id, trade.time_ms))
            .map(|trade| trade.row.as_str())
            .collect();
        Response::json(200, format!("[{}]", question::page(asked, query).join(",")))
    }

    fn klines(&self, query: &KlinesQuery) -> Response {
        let named = |instrument: &Instrument| instrument.symbol == query.symbol;
        let Some(symbol) = self.instruments.iter().position(named) else { return rest::invalid_symbol() };
        let (from_ms, to_ms) = (query.start_ms.unwrap_or(0), query.end_ms.unwrap_or(i64::MAX - 1));
        let mut rows = self.klines.rows(symbol, query.interval, from_ms, to_ms);
        if query.start_ms.is_none() {
            rows.drain(..rows.len().saturating_sub(query.limit));
        }
        rows.truncate(query.limit);
        Response::json(200, klines::rows(&self.instruments[symbol], &rows))
    }

    /// The last trade's price stands for the mark.
    fn premium_index(&self, symbol: Option<&str>, now_ms: i64) -> Response {
        let row = |instrument: &Instrument| {
            let last = self.trades.get(&instrument.symbol).and_then(|trades| trades.last());
            let price_e8 = last.map_or(instrument.start_price_e8, |trade| trade.price_e8);
            let funding = Funding::new(0, &instrument.symbol, instrument.funding_hours, 1);
            funding::premium_index(&instrument.symbol, &funding.at(now_ms, price_e8))
        };
        match symbol {
            Some(symbol) => match self.instruments.iter().find(|instrument| instrument.symbol == symbol) {
                Some(instrument) => Response::json(200, row(instrument)),
                None => rest::invalid_symbol(),
            },
            None => {
                let rows: Vec<String> = self.instruments.iter().map(row).collect();
                Response::json(200, format!("[{}]", rows.join(",")))
            }
        }
    }
}

/// The time between two frames of a folded candle, in capture time.
const KLINE_INTERVAL_MS: i64 = 250;

/// How much earlier or later than trades the events of other streams may come.
const STREAMS_APART_MS: i64 = 200;

/// What a captured trade adds to candles, and when; of aggregate trades too.
fn trade_bar(kind: Kind, data: &str) -> Option<(Bar, i64)> {
    if !matches!(kind, Kind::Trade | Kind::AggTrade) {
        return None;
    }
    let event: Value = serde_json::from_str(data).ok()?;
    if kind == Kind::Trade && event["X"] != "MARKET" {
        return None;
    }
    let number = |name: &str| event[name].as_str().and_then(parse_e8);
    let (first, last) = if kind == Kind::Trade { ("t", "t") } else { ("f", "l") };
    let time_ms = event["T"].as_i64()?;
    let trade = Trade {
        id: 0,
        first_trade_id: event[first].as_u64()?,
        last_trade_id: event[last].as_u64()?,
        placeholders: 0,
        order_id: 0,
        update_id: 0,
        time_ms,
        price_e8: number("p")?,
        size_e8: number("q")?,
        visible_size_e8: number("q")?,
        aggressor: if event["m"] == true { Aggressor::Sell } else { Aggressor::Buy },
    };
    Some((Bar::of(&trade, Venue::Binance), time_ms))
}

/// What an event tells of candles.
fn learn(klines: &mut PlayedKlines, symbol: usize, kind: Kind, data: &str) {
    if let Kind::Kline(interval) = kind {
        klines.captured(symbol, interval, data);
    } else if let Some((bar, time_ms)) = trade_bar(kind, data) {
        klines.trade(symbol, &bar, time_ms);
    }
}

/// The live streams an event is served on.
fn targets(hub: &Hub, symbol: usize, kind: Kind) -> Vec<(StreamId, Kind)> {
    let kinds: Vec<Kind> = match kind {
        Kind::Depth(_) => (0..DEPTH_SPEEDS.len()).map(Kind::Depth).collect(),
        Kind::Trade => vec![Kind::Trade, Kind::AggTrade],
        other => vec![other],
    };
    kinds.into_iter().filter_map(|kind| Some((hub.live(symbol, kind)?, kind))).collect()
}

/// A captured `trade` as the `aggTrade` it is served as; `None` if it is no trade of the market.
fn aggregate_of(data: &str) -> Option<String> {
    let trade: Value = serde_json::from_str(data).ok()?;
    if trade["X"] != "MARKET" {
        return None;
    }
    let (event, time, id, maker) = (&trade["E"], &trade["T"], &trade["t"], &trade["m"]);
    let (symbol, price, size) = (&trade["s"], &trade["p"], &trade["q"]);
    Some(format!(
        r#"{{"e":"aggTrade","E":{event},"a":{id},"s":{symbol},"p":{price},"q":{size},"nq":{size},"f":{id},"l":{id},"T":{time},"m":{maker},"st":1}}"#
    ))
}

/// What REST tells of an `aggTrade` event.
fn played_trade(data: &str) -> Option<PlayedTrade> {
    let trade: Value = serde_json::from_str(data).ok()?;
    let (price, size, first, last) = (&trade["p"], &trade["q"], &trade["f"], &trade["l"]);
    let (id, time, maker) = (&trade["a"], &trade["T"], &trade["m"]);
    let visible = trade.get("nq").unwrap_or(size);
    Some(PlayedTrade {
        id: id.as_u64()?,
        time_ms: time.as_i64()?,
        price_e8: parse_e8(price.as_str()?)?,
        row: format!(
            r#"{{"a":{id},"p":{price},"q":{size},"nq":{visible},"f":{first},"l":{last},"T":{time},"m":{maker}}}"#
        ),
    })
}

/// A recorded snapshot with at most so many levels a side; as it stands if it has no more.
fn cut_to(body: &str, limit: usize) -> String {
    let Ok(mut snapshot) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    let mut cut = false;
    for side in ["bids", "asks"] {
        if let Some(levels) = snapshot.get_mut(side).and_then(Value::as_array_mut) {
            cut |= levels.len() > limit;
            levels.truncate(limit);
        }
    }
    if cut { json!(snapshot).to_string() } else { body.to_owned() }
}

/// A symbol as its first event shows it: the decimals written are taken for the grid.
fn described(symbol: &str, data: &str) -> Instrument {
    let event: Value = serde_json::from_str(data).unwrap_or_default();
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, fraction)| fraction.len().min(8) as u32);
    let first_level = ["b", "a"].into_iter().find_map(|side| event[side].get(0).cloned());
    let (price, size) = match &first_level {
        Some(level) => (level[0].as_str().unwrap_or("1"), level[1].as_str().unwrap_or("1")),
        None => {
            let member =
                |names: [&str; 2]| names.into_iter().find_map(|name| event[name].as_str()).unwrap_or("1");
            (member(["p", "b"]), member(["q", "B"]))
        }
    };
    let price_decimals = decimals(price);
    Instrument {
        symbol: symbol.to_owned(),
        trading: true,
        start_price_e8: parse_e8(price).unwrap_or(0),
        grid: PriceGrid::Tick { tick_e8: 10i64.pow(8 - price_decimals) },
        price_decimals,
        size_decimals: decimals(size),
        book_levels: 0,
        contract: Contract::Perpetual,
        dex: String::new(),
        funding_hours: BINANCE_FUNDING_HOURS,
    }
}
