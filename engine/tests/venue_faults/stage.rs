//! A session before a simulated venue in virtual time, and a witness who holds every record against the truth.

use crate::support::settings;
use crate::virtual_desk::{HandVenue, Place, Shape, VirtualDesk};
use codec::book::{Book, TimedLevel};
use codec::record::{Kind, Level, NO_INSTRUMENT, QuoteBody, Record, flags};
use codec::words::{Interval, Reason, State, Stream, Venue};
use engine::session::Session;
use engine::session::binance::BinanceSession;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::{Settings, SymbolChoice};
use sim::{ByHand, Config, Fault, MarketHandle};
use slipstream_client::{Request, Value};
use std::collections::{BTreeMap, HashMap};

/// 2026-11-22 11:00 UTC.
pub const START_MS: i64 = 1_795_345_200_000;

/// Everything a venue streams.
pub const EVERYTHING: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];

/// Books are compared with the truth once in so many records, and whenever they come back.
const COMPARE_EVERY: u64 = 16;

/// A state as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    pub at_ms: u64,
    pub symbol: String,
    pub stream: Stream,
    pub state: State,
    pub reason: Reason,
}

/// A loss as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    pub at_ms: u64,
    pub symbol: String,
    pub stream: Stream,
    pub reason: Reason,
    pub missed: Option<u64>,
    pub first: u64,
    pub last: u64,
}

/// A trade as it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TradeSeen {
    pub id: u64,
    pub is_backfill: bool,
    /// Of the venue's backlog after a first subscription.
    pub is_history: bool,
}

/// A candle as it was published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandleSeen {
    pub at_ms: u64,
    pub interval: Interval,
    pub start_ms: u64,
    pub closed: bool,
    pub revised: bool,
    pub close_e8: i64,
    pub num_trades: u64,
    pub volume_e8: i128,
}

/// Looks at every record; of what is live it holds the books and quotes against the venue's truth.
pub struct Witness {
    venue: Venue,
    market: MarketHandle,
    names: HashMap<u32, String>,
    flat: HashMap<u32, Book<Level>>,
    timed: HashMap<u32, Book<TimedLevel>>,
    states: BTreeMap<(String, Stream), (State, Reason)>,
    /// What a book's last record stood at.
    pub book_ids: BTreeMap<String, u64>,
    pub told: Vec<Told>,
    pub lost: Vec<Lost>,
    pub trades: BTreeMap<String, Vec<TradeSeen>>,
    pub candles: BTreeMap<String, Vec<CandleSeen>>,
    pub fundings: BTreeMap<String, u64>,
    /// Records of books and quotes, by symbol.
    pub books: BTreeMap<String, u64>,
    pub quotes: BTreeMap<String, u64>,
    /// Books and quotes held against the truth.
    pub compared: u64,
    fresh: bool,
    /// The venue's times are wrong on purpose: nothing can be found by them.
    pub is_blind: bool,
    pub at_ms: u64,
}

impl Witness {
    fn new(venue: Venue, market: MarketHandle) -> Self {
        Self {
            venue,
            market,
            names: HashMap::new(),
            flat: HashMap::new(),
            timed: HashMap::new(),
            states: BTreeMap::new(),
            book_ids: BTreeMap::new(),
            told: Vec::new(),
            lost: Vec::new(),
            trades: BTreeMap::new(),
            candles: BTreeMap::new(),
            fundings: BTreeMap::new(),
            books: BTreeMap::new(),
            quotes: BTreeMap::new(),
            compared: 0,
            fresh: false,
            is_blind: false,
            at_ms: 0,
        }
    }

    /// The present state of a stream.
    pub fn state(&self, symbol: &str, stream: Stream) -> Option<(State, Reason)> {
        self.states.get(&(symbol.to_owned(), stream)).copied()
    }

    /// Whether a stream is live.
    pub fn is_live(&self, symbol: &str, stream: Stream) -> bool {
        self.state(symbol, stream).is_some_and(|(state, _)| state == State::Live)
    }

    /// How many symbols have this stream live.
    pub fn live(&self, stream: Stream) -> usize {
        let is = |((_, of), (state, _)): &(&(String, Stream), &(State, Reason))| {
            *of == stream && *state == State::Live
        };
        self.states.iter().filter(is).count()
    }

    /// Forgets what was told, not what is.
    pub fn forget(&mut self) {
        self.told.clear();
        self.lost.clear();
    }

    /// What was told of a stream, in order.
    pub fn told_of(&self, symbol: &str, stream: Stream) -> Vec<(State, Reason)> {
        let of = |told: &&Told| told.symbol == symbol && told.stream == stream;
        self.told.iter().filter(of).map(|told| (told.state, told.reason)).collect()
    }

    /// When a state was first told of a stream, since the last [`Self::forget`].
    pub fn when(&self, symbol: &str, stream: Stream, state: State, reason: Reason) -> Option<u64> {
        let of = |told: &&Told| {
            told.symbol == symbol && told.stream == stream && (told.state, told.reason) == (state, reason)
        };
        self.told.iter().find(of).map(|told| told.at_ms)
    }

    fn take(&mut self, record: Record<'_>) {
        let header = record.header();
        let instrument = header.instrument;
        if let Some(body) = record.instrument() {
            self.names.insert(instrument, body.symbol().to_owned());
            return;
        }
        let stream = header.stream().unwrap_or(Stream::Connection);
        let symbol = match instrument {
            NO_INSTRUMENT => String::new(),
            known => self.names[&known].clone(),
        };
        if let Some(status) = record.status() {
            let (state, reason) = (status.state().unwrap(), status.reason().unwrap());
            self.fresh |= state == State::Live;
            self.states.insert((symbol.clone(), stream), (state, reason));
            self.told.push(Told { at_ms: self.at_ms, symbol, stream, state, reason });
        } else if let Some(gap) = record.gap() {
            self.lost.push(Lost {
                at_ms: self.at_ms,
                symbol,
                stream,
                reason: gap.reason().unwrap(),
                missed: gap.missed(),
                first: gap.first_missed,
                last: gap.last_missed,
            });
        } else if let Some(trade) = record.trade() {
            let seen = TradeSeen {
                id: trade.trade_id,
                is_backfill: header.has(flags::BACKFILL),
                is_history: header.has(flags::SNAPSHOT),
            };
            self.trades.entry(symbol).or_default().push(seen);
        } else if let Some(body) = record.candle() {
            let candle = codec::candle::Candle::of_body(body);
            self.candles.entry(symbol).or_default().push(CandleSeen {
                at_ms: self.at_ms,
                interval: body.interval().unwrap(),
                start_ms: candle.start_ms,
                closed: body.closed == 1,
                revised: body.revised == 1,
                close_e8: candle.close.raw(),
                num_trades: candle.num_trades,
                volume_e8: candle.volume.raw(),
            });
        } else if record.funding().is_some() {
            *self.fundings.entry(symbol).or_default() += 1;
        } else if let Some(quote) = record.quote() {
            let count = self.quotes.entry(symbol.clone()).or_default();
            *count += 1;
            if *count % COMPARE_EVERY == 1 && !self.is_blind {
                self.compare_quote(&symbol, quote, header.venue_sequence, header.ts_event_ns / 1_000_000);
            }
        } else if record.book().is_some() {
            self.take_book(record, &symbol);
        }
    }

    fn take_book(&mut self, record: Record<'_>, symbol: &str) {
        let (header, levels) = (record.header(), record.book().unwrap());
        let is_snapshot = record.kind() == Kind::BookSnapshot;
        let count = self.books.entry(symbol.to_owned()).or_default();
        *count += 1;
        let due = *count % COMPARE_EVERY == 1 || self.fresh || is_snapshot;
        self.fresh = false;
        self.book_ids.insert(symbol.to_owned(), header.venue_sequence);
        let is_live = self.is_live(symbol, Stream::Orderbook);
        assert_eq!(
            is_live,
            !header.has(flags::SUSPECT),
            "{symbol}: a book that is not live, and says nothing"
        );
        let due = due && is_live && !self.is_blind;
        if self.venue == Venue::Binance {
            let book = self.flat.entry(header.instrument).or_insert_with(|| Book::new(8192));
            book.apply_record(&levels, is_snapshot);
            assert!(!is_live || !book.is_crossed(), "{symbol} at {}", header.venue_sequence);
            if due {
                self.compared += 1;
                let truth = self.market.truth_at_update_id(symbol, header.venue_sequence).unwrap();
                let bound = book.bids.horizon().map_or(i64::MIN, |price| price.raw());
                let want = truth.bids.iter().map(|level| (level.price_e8, level.size_e8));
                let want: Vec<_> = want.filter(|(price, _)| *price > bound).collect();
                let have: Vec<_> = book.bids.iter().map(|it| (it.price.raw(), it.size.raw())).collect();
                assert_eq!(have, want, "{symbol} bids at {}", header.venue_sequence);
                let bound = book.asks.horizon().map_or(i64::MAX, |price| price.raw());
                let want = truth.asks.iter().map(|level| (level.price_e8, level.size_e8));
                let want: Vec<_> = want.filter(|(price, _)| *price < bound).collect();
                let have: Vec<_> = book.asks.iter().map(|it| (it.price.raw(), it.size.raw())).collect();
                assert_eq!(have, want, "{symbol} asks at {}", header.venue_sequence);
            }
        } else {
            let book = self.timed.entry(header.instrument).or_insert_with(|| Book::new(128));
            book.apply_record(&levels, is_snapshot);
            assert!(!is_live || !book.is_crossed(), "{symbol} at {}", header.ts_event_ns);
            if due {
                self.compared += 1;
                let mut at = HashMap::new();
                for (is_bid, side) in [(true, &book.bids), (false, &book.asks)] {
                    for held in side.iter() {
                        let time_ms = (held.source_ts_ns / 1_000_000) as i64;
                        let truth = at
                            .entry(time_ms)
                            .or_insert_with(|| self.market.truth_at_time(symbol, time_ms).unwrap());
                        let side = if is_bid { &truth.bids } else { &truth.asks };
                        let level = side.iter().find(|level| level.price_e8 == held.level.price.raw());
                        let size = level.map(|level| level.size_e8);
                        assert_eq!(size, Some(held.level.size.raw()), "{symbol} at {time_ms}");
                    }
                }
            }
        }
    }

    fn compare_quote(&mut self, symbol: &str, quote: &QuoteBody, update_id: u64, time_ms: u64) {
        let truth = if self.venue == Venue::Binance {
            self.market.quote_at_update_id(symbol, update_id).unwrap()
        } else {
            self.market.quote_at_time(symbol, time_ms as i64).unwrap()
        };
        for (have, want) in [(quote.bid, truth.bid), (quote.ask, truth.ask)] {
            if let Some(want) = want {
                assert_eq!((have.price.raw(), have.size.raw()), (want.price_e8, want.size_e8), "{symbol}");
            }
        }
        self.compared += 1;
    }

    /// Every trade from the first to the last seen is there once, in the venue's own order of ids.
    pub fn assert_every_trade_once(&self, symbol: &str) -> usize {
        let mut ids: Vec<u64> = self.trades[symbol].iter().map(|trade| trade.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "{symbol}: a trade twice");
        let (first, last) = (ids[0], ids[count - 1]);
        let all = self.market.trades_by_id(symbol, first, last).unwrap();
        let all: Vec<u64> = all.iter().map(|trade| trade.id).collect();
        assert_eq!(ids, all, "{symbol}: trades missing");
        count
    }
}

/// See the module.
pub struct Stage {
    pub desk: VirtualDesk,
    pub seen: Witness,
    symbols: Vec<String>,
}

/// What a test chooses.
#[derive(Clone)]
pub struct Scene {
    pub config: Config,
    pub symbols: Vec<String>,
    pub streams: Vec<Stream>,
    pub intervals: Vec<Interval>,
    pub weight_per_minute: u32,
    pub stale_after_ms: Option<u64>,
    pub book_levels_max: usize,
}

impl Scene {
    /// These symbols with these streams; a venue that is small and quick.
    pub fn of(symbols: &[&str], streams: &[Stream]) -> Self {
        let mut config = Config::default();
        for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
            market.symbols = 3;
            market.book_levels = 60;
            market.rate_per_s = 20.0;
            market.past_periods = 300;
        }
        Self {
            config,
            symbols: symbols.iter().map(|&name| name.to_owned()).collect(),
            streams: streams.to_vec(),
            intervals: vec![Interval::M1],
            weight_per_minute: 1800,
            stale_after_ms: None,
            book_levels_max: 4096,
        }
    }

    /// With a last word on the simulated venues.
    #[must_use]
    pub fn with(mut self, edit: impl FnOnce(&mut Config)) -> Self {
        edit(&mut self.config);
        self
    }

    fn settings(&self, url: &str, max_subscriptions: usize, per_second: u64) -> Settings {
        let names: Vec<&str> = self.symbols.iter().map(String::as_str).collect();
        let all = names.is_empty();
        let given = settings(&names);
        Settings {
            websocket_url: url.to_owned(),
            symbols: if all { SymbolChoice::All } else { given.symbols.clone() },
            streams: self.streams.clone(),
            intervals: self.intervals.clone(),
            max_subscriptions,
            max_messages_per_second: per_second,
            stale_after_ms: self.stale_after_ms,
            book_levels_max: self.book_levels_max,
            seed: 11,
            ..given
        }
    }

    fn shape(&self) -> Shape {
        Shape {
            intervals: self.intervals.iter().map(|interval| (*interval, 20)).collect(),
            streams: self.streams.clone(),
            symbols: self.symbols.clone(),
            weight_per_minute: self.weight_per_minute,
        }
    }

    /// Before Binance, not yet run.
    pub fn binance(&self) -> Stage {
        let venue = ByHand::binance(&self.config, START_MS).unwrap();
        let session = BinanceSession::new(self.settings("wss://venue", 1024, 5));
        Stage::new(Box::new(venue), Box::new(session), Venue::Binance, self)
    }

    /// Before Hyperliquid, not yet run.
    pub fn hyperliquid(&self) -> Stage {
        let venue = ByHand::hyperliquid(&self.config, START_MS).unwrap();
        let session = HyperliquidSession::new(self.settings("wss://venue/ws", 1000, 25), BookSources::Both);
        let scene = Self { weight_per_minute: self.weight_per_minute.min(1000), ..self.clone() };
        Stage::new(Box::new(venue), Box::new(session), Venue::Hyperliquid, &scene)
    }
}

/// A fault in its text form: `name key=value …`.
pub fn fault(text: &str) -> Fault {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap();
    let parameters = words.map(|word| word.split_once('=').unwrap());
    let parameters = parameters.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Fault::parse(name, &parameters).unwrap()
}

impl Stage {
    fn new(venue: Box<dyn HandVenue>, session: Box<dyn Session + Send>, which: Venue, scene: &Scene) -> Self {
        println!("seed {}", scene.config.seed);
        let seen = Witness::new(which, venue.market().clone());
        Self {
            desk: VirtualDesk::single(Place { which, venue, session, shape: scene.shape(), files: None }),
            seen,
            symbols: scene.symbols.clone(),
        }
    }

    /// Virtual time since the start, ms.
    pub fn at_ms(&self) -> u64 {
        self.desk.now_ms() - START_MS as u64
    }

    pub fn step(&mut self, ms: u64) {
        self.seen.at_ms = self.at_ms() + ms;
        let seen = &mut self.seen;
        self.desk.step(ms, |record| seen.take(record));
    }

    /// Lets time pass, ten milliseconds at a time.
    pub fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.step(10);
        }
    }

    /// Lets time pass until something is so; how long it took, ms.
    pub fn until(&mut self, what: &str, limit_ms: u64, mut so: impl FnMut(&mut Self) -> bool) -> u64 {
        let begun = self.at_ms();
        while !so(self) {
            assert!(
                self.at_ms() - begun < limit_ms,
                "{limit_ms} ms in vain for {what}: {:?}\n{}",
                self.seen.states,
                self.desk.log()
            );
            self.step(10);
        }
        self.at_ms() - begun
    }

    /// As [`Self::until`], a tenth of a second at a time.
    pub fn until_coarse(&mut self, what: &str, limit_ms: u64, mut so: impl FnMut(&mut Self) -> bool) -> u64 {
        let begun = self.at_ms();
        while !so(self) {
            assert!(self.at_ms() - begun < limit_ms, "{limit_ms} ms in vain for {what}\n{}", self.desk.log());
            self.step(100);
        }
        self.at_ms() - begun
    }

    /// Until these streams of every symbol are live.
    pub fn until_live(&mut self, streams: &[Stream], limit_ms: u64) -> u64 {
        let symbols = self.symbols.clone();
        self.until("everything live", limit_ms, |stage| {
            let live = |symbol: &String| streams.iter().all(|stream| stage.seen.is_live(symbol, *stream));
            stage.seen.is_live("", Stream::Connection) && symbols.iter().all(live)
        })
    }

    /// Makes something go wrong.
    pub fn fault(&mut self, text: &str) {
        self.desk.venue().fault(&fault(text)).unwrap();
    }

    /// One request of a client.
    pub fn ask(&mut self, request: &Request) -> (String, Value) {
        self.desk.request(request)
    }

    /// The code of the error that a request gets; none if it is answered.
    pub fn refusal(&mut self, request: &Request) -> Option<String> {
        let (kind, data) = self.ask(request);
        (kind == "error").then(|| text_of(&data, "code"))
    }

    /// The status report's part about the venue.
    fn report_of_venue(&mut self) -> Value {
        let (_, data) = self.ask(&slipstream_client::request("get_status"));
        let venues = field(&data, "venues").unwrap();
        venues.as_map().unwrap()[0].1.clone()
    }

    /// How the venue differs from what is known of it, as the status report says: kind, what, and how often.
    pub fn drift(&mut self) -> Vec<(String, String, u64)> {
        let drift = field(&self.report_of_venue(), "drift").unwrap();
        let entries = drift.as_array().unwrap().iter();
        let count = |entry: &Value| field(entry, "count").unwrap().as_u64().unwrap();
        entries.map(|entry| (text_of(entry, "kind"), text_of(entry, "what"), count(entry))).collect()
    }

    /// The status report's entry of a stream.
    pub fn report(&mut self, symbol: &str, stream: Stream) -> Value {
        let streams = field(&self.report_of_venue(), "streams").unwrap();
        let is_it = |entry: &&Value| {
            text_of(entry, "symbol") == symbol && text_of(entry, "stream") == stream.as_str()
        };
        streams.as_array().unwrap().iter().find(is_it).expect("the stream is reported").clone()
    }
}

/// A field of a map.
pub fn field(value: &Value, name: &str) -> Option<Value> {
    let map = value.as_map()?;
    map.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone())
}

/// A text field of a map, empty where there is none.
pub fn text_of(value: &Value, name: &str) -> String {
    field(value, name).and_then(|found| found.as_str().map(str::to_owned)).unwrap_or_default()
}
