//! Ten clients that hear books and trades of everything, each in its own way, on two threads.

use crate::books::{Levels, Sample, Shown};
use crate::system::{Desk, e8};
use codec::book::{Book as KeptBook, TimedLevel};
use codec::record::{Kind, NO_INSTRUMENT, Record};
use codec::words::{Side, State, Stream};
use sim::{MarketHandle, Random, Sim};
use slipstream_client::{Book, Client, Gap, Level, Message, Status, Trade, Wait, request};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How each hears books, and whether it stops to listen at times.
const EARS: [(Style, bool); 10] = [
    (Style::Full(5), false),
    (Style::Full(20), false),
    (Style::Full(10), true),
    (Style::Full(1), false),
    (Style::Delta(10), false),
    (Style::Delta(50), false),
    (Style::Delta(1000), false),
    (Style::Delta(1), false),
    (Style::Record, false),
    (Style::Record, false),
];
const THREADS: usize = 2;
/// One book in so many is held against the truth, in the mean.
const SAMPLED: u64 = 150;
/// How often the slow one stops to listen, and for how long, in the mean.
const SLOW_EVERY_S: f64 = 20.0;
const SLOW_FOR_S: f64 = 6.0;
/// Between two looks at the sockets.
const PAUSE: Duration = Duration::from_millis(2);
/// Messages of one client taken in a row.
const TAKEN_IN_A_ROW: usize = 2_000;

#[derive(Clone, Copy, Debug)]
enum Style {
    Full(u64),
    Delta(u64),
    Record,
}

/// One symbol at one venue.
#[derive(Clone)]
pub struct Instrument {
    pub venue: &'static str,
    pub symbol: String,
}

impl Instrument {
    pub fn market<'a>(&self, sim: &'a Sim) -> &'a MarketHandle {
        if self.venue == "binance" { sim.binance().market() } else { sim.hyperliquid().market() }
    }

    pub fn is_live(&self, client: &mut Client) -> bool {
        let question = request("get_orderbook").venue(self.venue).symbol(&self.symbol).with("depth", 1);
        match client.request(&question) {
            Ok(_) => true,
            Err(error) if error.code().is_some() => false,
            Err(error) => panic!("{error}"),
        }
    }
}

/// A trade as it was heard.
pub struct HeardTrade {
    pub instrument: usize,
    pub id: u64,
    pub price_e8: i64,
    pub size_e8: i64,
    pub is_buy: bool,
    pub backfill: bool,
    pub received_ms: i64,
    /// Gaps told of this stream before.
    pub gaps: u32,
}

/// A gap in a symbol's trades as it was heard.
pub struct HeardGap {
    pub instrument: usize,
    pub reason: String,
    pub missed: Option<u64>,
}

/// What one has heard since it was last asked.
#[derive(Default)]
pub struct Heard {
    pub trades: Vec<HeardTrade>,
    pub gaps: Vec<HeardGap>,
    pub samples: Vec<Sample>,
}

/// What is shared with the threads.
#[derive(Default)]
struct Shared {
    heard: Mutex<Heard>,
    /// Streams that are not live, by what they are.
    dark: Mutex<BTreeMap<String, String>>,
    messages: AtomicU64,
    gaps: Mutex<BTreeMap<String, u64>>,
}

/// All of them.
pub struct Ears {
    shared: Vec<Arc<Shared>>,
    stop: Arc<AtomicBool>,
    calm: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Ears {
    pub fn start(desk: &Desk, instruments: &[Instrument], seed: u64) -> Self {
        let (stop, calm) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let mut groups: Vec<Vec<Ear>> = (0..THREADS).map(|_| Vec::new()).collect();
        let mut shared = Vec::new();
        for (number, (style, slow)) in EARS.into_iter().enumerate() {
            let ear = Ear::new(desk, instruments, number, style, slow, seed);
            shared.push(ear.shared.clone());
            groups[number % THREADS].push(ear);
        }
        let threads = groups.into_iter().map(|mut ears| {
            let (stop, calm) = (stop.clone(), calm.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let calm = calm.load(Ordering::Relaxed);
                    for ear in &mut ears {
                        ear.listen(calm);
                    }
                    std::thread::sleep(PAUSE);
                }
            })
        });
        let threads = Mutex::new(threads.collect());
        Self { shared, stop, calm, threads }
    }

    pub fn count(&self) -> usize {
        self.shared.len()
    }

    /// What each has heard since the last time.
    pub fn take(&self) -> Vec<Heard> {
        let threads = self.threads.lock().unwrap();
        assert!(!threads.iter().any(JoinHandle::is_finished), "a client has failed");
        self.shared.iter().map(|shared| std::mem::take(&mut *shared.heard.lock().unwrap())).collect()
    }

    /// From now on nobody stops to listen.
    pub fn calm(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    /// A stream that somebody was told is not live, if there is one.
    pub fn not_live(&self) -> Option<String> {
        self.shared.iter().enumerate().find_map(|(ear, shared)| {
            let dark = shared.dark.lock().unwrap();
            dark.iter().next().map(|(what, why)| format!("client {ear}: {what} {why}"))
        })
    }

    /// Gaps of all of them, by stream and reason.
    pub fn gaps(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for shared in &self.shared {
            for (what, count) in shared.gaps.lock().unwrap().iter() {
                *all.entry(what.clone()).or_default() += count;
            }
        }
        all
    }

    /// Messages heard by all of them.
    pub fn stop(&self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut *self.threads.lock().unwrap()) {
            thread.join().expect("a client has failed");
        }
        self.shared.iter().map(|shared| shared.messages.load(Ordering::Relaxed)).sum()
    }
}

/// A symbol as one client knows it.
#[derive(Default)]
struct Known {
    book: Option<Book>,
    sequence: u64,
    kept: Option<KeptBook<TimedLevel>>,
    is_live: bool,
    gaps: u32,
}

struct Ear {
    name: String,
    client: Client,
    slow: bool,
    deaf_from: Instant,
    deaf_until: Instant,
    random: Random,
    instruments: Vec<Instrument>,
    by_name: HashMap<String, usize>,
    by_number: HashMap<u32, usize>,
    known: Vec<Known>,
    heard: Heard,
    shared: Arc<Shared>,
    ended: bool,
}

impl Ear {
    fn new(
        desk: &Desk,
        instruments: &[Instrument],
        number: usize,
        style: Style,
        slow: bool,
        seed: u64,
    ) -> Self {
        let mut client = desk.client();
        if matches!(style, Style::Record) {
            client.hello("soak", "record").unwrap();
        }
        for Instrument { venue, symbol } in instruments {
            match style {
                Style::Full(depth) => client.subscribe_orderbook(venue, symbol, depth, "full").unwrap(),
                Style::Delta(depth) => client.subscribe_orderbook(venue, symbol, depth, "delta").unwrap(),
                Style::Record => {
                    drop(
                        client.request(&request("subscribe_orderbook").venue(venue).symbol(symbol)).unwrap(),
                    );
                }
            }
            client.subscribe_trades(venue, symbol).unwrap();
        }
        client.set_wait(Wait::Spin).unwrap();
        let mut random = Random::seeded(seed, 100 + number as u64);
        let deaf_from = Instant::now() + Duration::from_secs_f64(random.exponential(SLOW_EVERY_S / 4.0));
        Self {
            name: format!("client {number} {style:?}"),
            client,
            slow,
            deaf_from,
            deaf_until: deaf_from,
            random,
            instruments: instruments.to_vec(),
            by_name: instruments.iter().enumerate().map(|(at, it)| (it.symbol.clone(), at)).collect(),
            by_number: HashMap::new(),
            known: instruments.iter().map(|_| Known { is_live: true, ..Known::default() }).collect(),
            heard: Heard::default(),
            shared: Arc::default(),
            ended: false,
        }
    }

    /// Takes what has come.
    fn listen(&mut self, calm: bool) {
        let now = Instant::now();
        if self.ended || (self.slow && !calm && self.is_deaf(now)) {
            return;
        }
        let mut taken = 0;
        while taken < TAKEN_IN_A_ROW {
            match self.client.recv(Duration::ZERO) {
                Ok(Some(message)) => self.hear(message),
                Ok(None) => break,
                Err(slipstream_client::ClientError::Closed) => {
                    self.ended = true;
                    break;
                }
                Err(error) => panic!("{}: {error}", self.name),
            }
            taken += 1;
        }
        self.shared.messages.fetch_add(taken as u64, Ordering::Relaxed);
        let mut heard = self.shared.heard.lock().unwrap();
        heard.trades.append(&mut self.heard.trades);
        heard.gaps.append(&mut self.heard.gaps);
        heard.samples.append(&mut self.heard.samples);
    }

    fn is_deaf(&mut self, now: Instant) -> bool {
        if now >= self.deaf_from && self.deaf_until <= self.deaf_from {
            let time = self.random.exponential(SLOW_FOR_S).min(20.0);
            self.deaf_until = now + Duration::from_secs_f64(time);
        }
        if now >= self.deaf_until && self.deaf_until > self.deaf_from {
            self.deaf_from = now + Duration::from_secs_f64(self.random.exponential(SLOW_EVERY_S));
            self.deaf_until = self.deaf_from;
        }
        now >= self.deaf_from
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                let at = self.by_name[&book.symbol];
                assert!(!book.stale, "{}: {book:?}", self.name);
                let known = &mut self.known[at];
                // A snapshot may repeat where a book stands.
                assert!(book.sequence >= known.sequence, "{}: back to {book:?}", self.name);
                known.sequence = book.sequence;
                self.sample(at, &book);
                self.known[at].book = Some(book);
            }
            Message::OrderbookDelta(delta) => {
                let at = self.by_name[&delta.head.symbol];
                let mut book =
                    self.known[at].book.take().unwrap_or_else(|| panic!("{}: a delta first", self.name));
                assert!(
                    book.apply(&delta),
                    "{}: at {} a delta with a hole: {delta:?}",
                    self.name,
                    book.sequence
                );
                self.known[at].sequence = book.sequence;
                self.sample(at, &book);
                self.known[at].book = Some(book);
            }
            Message::Trade(trade) => self.trade(&trade),
            Message::Gap(gap) => self.gap(gap),
            Message::Status(status) => self.status(&status),
            Message::Record(words) => self.record(&words),
            Message::Heartbeat { .. } => {}
            other => panic!("{}: {other:?}", self.name),
        }
    }

    fn draws(&mut self) -> bool {
        self.random.below(SAMPLED) == 0
    }

    fn sample(&mut self, instrument: usize, book: &Book) {
        if !self.draws() {
            return;
        }
        let levels =
            |levels: &[Level]| -> Levels { levels.iter().map(|it| (e8(it.price), e8(it.size))).collect() };
        let (mut bids, mut asks) = (levels(&book.bids), levels(&book.asks));
        let shown = match book.venue_sequence {
            Some(id) => Shown::AfterUpdate { id, bids, asks },
            None => {
                bids.truncate(book.fresh_levels as usize);
                asks.truncate(book.fresh_levels as usize);
                Shown::AtTime { time_ms: (book.timestamp_us / 1_000) as i64, bids, asks }
            }
        };
        self.heard.samples.push(Sample { instrument, shown });
    }

    fn trade(&mut self, trade: &Trade) {
        let instrument = self.by_name[&trade.symbol];
        self.heard.trades.push(HeardTrade {
            instrument,
            id: trade.trade_id.parse().unwrap(),
            price_e8: e8(trade.price),
            size_e8: e8(trade.size),
            is_buy: trade.side == "Buy",
            backfill: trade.backfill,
            received_ms: (trade.received_us / 1_000) as i64,
            gaps: self.known[instrument].gaps,
        });
    }

    fn gap(&mut self, gap: Gap) {
        let venue = gap.venue.as_deref().unwrap_or("daemon");
        let what = format!("{venue} {} {}", gap.stream, gap.reason);
        *self.shared.gaps.lock().unwrap().entry(what).or_default() += 1;
        if gap.stream != "trades" && gap.stream != "connection" {
            return;
        }
        for at in 0..self.instruments.len() {
            let instrument = &self.instruments[at];
            let concerns = gap.venue.as_deref().is_none_or(|venue| venue == instrument.venue)
                && gap.symbol.as_deref().is_none_or(|symbol| symbol == instrument.symbol);
            if concerns {
                self.known[at].gaps += 1;
                self.heard.gaps.push(HeardGap {
                    instrument: at,
                    reason: gap.reason.clone(),
                    missed: gap.missed,
                });
            }
        }
    }

    fn status(&mut self, status: &Status) {
        let of = |name: &Option<String>| name.clone().unwrap_or_else(|| "*".to_owned());
        self.state(&of(&status.venue), &of(&status.symbol), &status.stream, &status.state, &status.reason);
    }

    fn state(&mut self, venue: &str, symbol: &str, stream: &str, state: &str, reason: &str) {
        let what = format!("{venue} {symbol} {stream}");
        let mut dark = self.shared.dark.lock().unwrap();
        if state == "live" {
            dark.remove(&what);
        } else {
            dark.insert(what, format!("{state} {reason}"));
        }
    }

    fn record(&mut self, words: &[u64]) {
        let record = Record::first(words).unwrap();
        let header = record.header();
        if let Some(body) = record.instrument() {
            self.by_number.insert(header.instrument, self.by_name[body.symbol()]);
            return;
        }
        let at = self.by_number.get(&header.instrument).copied();
        assert!(at.is_some() || header.instrument == NO_INSTRUMENT, "{}: {header:?}", self.name);
        let venue = header.venue().map(|venue| venue.as_str().to_owned());
        let symbol = at.map(|at| self.instruments[at].symbol.clone());
        let stream = header.stream().map_or("", |stream| stream.as_str()).to_owned();
        if let Some(body) = record.status() {
            let state = body.state().unwrap();
            if let (Some(at), Some(Stream::Orderbook)) = (at, header.stream()) {
                self.known[at].is_live = state == State::Live;
            }
            let reason = body.reason().map_or("", |reason| reason.as_str());
            let of = |name: Option<String>| name.unwrap_or_else(|| "*".to_owned());
            self.state(&of(venue), &of(symbol), &stream, state.as_str(), reason);
        } else if let Some(body) = record.gap() {
            let reason = body.reason().map_or("", |reason| reason.as_str()).to_owned();
            self.gap(Gap { venue, symbol, stream, reason, missed: body.missed() });
        } else if let (Some(at), Some(body)) = (at, record.trade()) {
            self.heard.trades.push(HeardTrade {
                instrument: at,
                id: body.trade_id,
                price_e8: body.price.raw(),
                size_e8: body.size.raw(),
                is_buy: body.side() == Some(Side::Buy),
                backfill: header.has(codec::record::flags::BACKFILL),
                received_ms: (header.ts_recv_ns / 1_000_000) as i64,
                gaps: self.known[at].gaps,
            });
        } else if let (Some(at), Some(levels)) = (at, record.book()) {
            let is_snapshot = record.kind() == Kind::BookSnapshot;
            let known = &mut self.known[at];
            if !is_snapshot {
                assert_eq!(levels.body.prev_sequence, known.sequence, "{}: a delta with a hole", self.name);
            }
            known.sequence = header.sequence;
            let book = known.kept.get_or_insert_with(|| KeptBook::new(4096));
            book.apply_record(&levels, is_snapshot);
            if self.known[at].is_live && self.draws() {
                self.sample_kept(at, header.venue_sequence);
            }
        }
    }

    fn sample_kept(&mut self, instrument: usize, id: u64) {
        let Some(book) = &self.known[instrument].kept else { return };
        let shown = if self.instruments[instrument].venue == "binance" {
            let levels = |side: &codec::book::BookSide<TimedLevel>| -> Levels {
                side.iter().map(|held| (held.level.price.raw(), held.level.size.raw())).collect()
            };
            Shown::AfterUpdate { id, bids: levels(&book.bids), asks: levels(&book.asks) }
        } else {
            let mut levels = Vec::new();
            for (is_bid, side) in [(true, &book.bids), (false, &book.asks)] {
                levels.extend(side.iter().map(|held| {
                    (is_bid, held.level.price.raw(), held.level.size.raw(), held.source_ts_ns / 1_000_000)
                }));
            }
            Shown::EachAtItsTime { levels }
        };
        self.heard.samples.push(Sample { instrument, shown });
    }
}
