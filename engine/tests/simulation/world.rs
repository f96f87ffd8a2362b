//! One run: both venues, the daemon's parts and its clients for some time of market under one seed.

use crate::clients::{Customer, Habit, Menu};
use crate::faults::{Planned, Trouble, plan};
use crate::oracle::{Checked, Oracle, binance, hyperliquid};
use crate::support::settings;
use crate::virtual_desk::{Frame, HandVenue, Place, Shape, Thread, VirtualDesk, Weather};
use codec::ring::{ring, small_ring};
use codec::words::{Interval, State, Stream, Venue};
use engine::session::Session;
use engine::session::backoff::Random;
use engine::session::binance::BinanceSession;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::Settings;
use sim::{ByHand, Config, NewFill};
use std::collections::BTreeMap;

/// 2026-11-22 11:00 UTC.
const START_MS: i64 = 1_795_345_200_000;
const INTERVALS: [(Interval, u32); 2] = [(Interval::M1, 40), (Interval::M5, 40)];
const ACCOUNT: &str = "0x00000000000000000000000000000000000000aa";

/// Everything starts, and nothing goes wrong yet.
const QUIET_MS: u64 = 15_000;
/// Once the last fault is over, all streams are live again within this time: the longest pauses of the daemon are
/// those between connections (30 s), once more for the connection that comes too early, and the venue's own minute.
pub const LIVE_AGAIN_MS: u64 = 150_000;
/// A run is over when all has been calm for so long.
const CALM_MS: u64 = 20_000;
/// A book that is live is no older than this while the daemon runs, unless nothing can be known of it: a connection
/// that is silent is noticed after five seconds, a default book of Hyperliquid after twelve.
const LIVE_LAG_MS_MAX: i64 = 16_000;
/// … and at the end no older than this.
const CALM_LAG_MS_MAX: i64 = 3_000;

/// What cannot be read is told so long after it happened: the longest pause of the engine, and the slowest network.
const UNREAD_TOLD_MS_MAX: i64 = 20_000;

/// How a run ended.
pub struct Outcome {
    pub seed: u64,
    pub wrong: Vec<String>,
    pub sum: u64,
    pub checked: Checked,
    pub faults: BTreeMap<String, u64>,
    pub virtual_ms: u64,
    pub planned: Vec<Planned>,
    pub log: String,
    pub lags: u64,
    pub conflated: u64,
    pub left: u64,
    pub stalls: (u64, u64),
    pub dropped: u64,
    pub connects: u64,
    pub again_ms: u64,
    /// What was live again last.
    pub last_unrest: Vec<String>,
}

struct World {
    desk: VirtualDesk,
    oracle: Oracle,
    customers: Vec<Customer>,
    menu: Vec<Menu>,
    random: Random,
    start_ms: u64,
    step_ms_max: u64,
    /// The weather when nothing is wrong with it, and until when something is; 0: it is fair.
    fair: Weather,
    foul_until_ms: u64,
    engine_ran_since_ms: u64,
    next_look_ms: u64,
    silent_until_ms: BTreeMap<(Venue, String), u64>,
    faults: BTreeMap<String, u64>,
}

fn market(seed: u64, random: &mut Random) -> Config {
    let mut config = Config { seed, ..Config::default() };
    let rate_per_s = [0.5, 1.0, 2.0, 4.0][random.below(4) as usize];
    let trade_share = [0.1, 0.3][random.below(2) as usize];
    let book_levels = [40, 60, 100][random.below(3) as usize];
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        market.symbols = 3;
        market.rate_per_s = rate_per_s;
        market.trade_share = trade_share;
        market.book_levels = book_levels;
        market.retention_ms = 300_000;
        market.past_periods = 80;
        market.segment_changes = 256;
    }
    config
}

fn own(names: &[String], which: Venue, seed: u64) -> Settings {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let hyperliquid = which == Venue::Hyperliquid;
    Settings {
        websocket_url: if hyperliquid { "wss://venue/ws" } else { "wss://venue" }.to_owned(),
        streams: STREAMS.to_vec(),
        intervals: INTERVALS.map(|(interval, _)| interval).to_vec(),
        account_address: hyperliquid.then(|| ACCOUNT.to_owned()),
        max_subscriptions: if hyperliquid { 1000 } else { 1024 },
        max_messages_per_second: if hyperliquid { 25 } else { 5 },
        seed,
        ..settings(&names)
    }
}

const STREAMS: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];

fn place(which: Venue, venue: Box<dyn HandVenue>, seed: u64) -> (Place, Menu) {
    let mut symbols = venue.market().trading_symbols();
    symbols.truncate(2);
    let own = own(&symbols, which, seed ^ u64::from(which.number()));
    let session: Box<dyn Session + Send> = match which {
        Venue::Binance => Box::new(BinanceSession::new(own)),
        Venue::Hyperliquid => Box::new(HyperliquidSession::new(own, BookSources::Both)),
    };
    let fills = which == Venue::Hyperliquid;
    let mut streams = STREAMS.to_vec();
    if fills {
        streams.push(Stream::Fills);
    }
    let weight_per_minute = if which == Venue::Binance { 1800 } else { 1000 };
    let shape = Shape { intervals: INTERVALS.to_vec(), streams, symbols: symbols.clone(), weight_per_minute };
    let intervals = INTERVALS.iter().map(|(interval, _)| interval.as_str()).collect();
    (Place { which, venue, session, shape, files: None }, Menu { venue: which, symbols, intervals, fills })
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let config = market(seed, &mut random);
        let venues: [(Venue, Box<dyn HandVenue>); 2] = [
            (Venue::Hyperliquid, Box::new(ByHand::hyperliquid(&config, START_MS).unwrap())),
            (Venue::Binance, Box::new(ByHand::binance(&config, START_MS).unwrap())),
        ];
        let oracle =
            Oracle::new(venues.iter().map(|(which, venue)| (*which, venue.market().clone())).collect());
        let (places, menu): (Vec<_>, Vec<_>) =
            venues.into_iter().map(|(which, venue)| place(which, venue, seed)).unzip();
        let mut weather = Weather::seeded(seed ^ 0x0EA7);
        weather.message_ms = (1, [5, 30, 300][random.below(3) as usize]);
        weather.connect_ms = (20, 20 + random.below(800));
        weather.rest_ms = (20, 20 + random.below(1_500));
        weather.split_per_mille = [0, 50, 500][random.below(3) as usize];
        let fair = weather.clone();
        let ring_bytes = [12 << 10, 24 << 10, 256 << 10][random.below(3) as usize];
        let log_bytes = [64 << 10, 256 << 10, 1 << 20][random.below(3) as usize];
        let frame = Frame {
            ipc_ring: small_ring(ring_bytes),
            history_ring: ring(0),
            log_bytes: Some(log_bytes),
            weather,
            seed,
        };
        let mut desk = VirtualDesk::new(places, frame);
        let mut habits = vec![Habit::Full, Habit::Delta, Habit::Records, Habit::Slow, Habit::Guest];
        habits.push(Habit::Rubbish);
        habits.push(Habit::SlowRecords);
        let customers = habits
            .into_iter()
            .map(|habit| Customer::new(habit, random.next_u64(), &mut desk, &menu))
            .collect();
        Self {
            start_ms: desk.now_ms(),
            step_ms_max: [25, 60, 120][random.below(3) as usize],
            desk,
            oracle,
            customers,
            menu,
            random,
            fair,
            foul_until_ms: 0,
            engine_ran_since_ms: 0,
            next_look_ms: 0,
            silent_until_ms: BTreeMap::new(),
            faults: BTreeMap::new(),
        }
    }

    fn at_ms(&self) -> u64 {
        self.desk.now_ms() - self.start_ms
    }

    fn step(&mut self, until_ms: u64) {
        let ms = 1 + self.random.below(self.step_ms_max);
        let ms = ms.min((until_ms - self.at_ms()).max(1));
        let oracle = &mut self.oracle;
        oracle.now_ms = self.desk.now_ms() + ms;
        let mut followed = false;
        self.desk.step(ms, |record| {
            if !std::mem::replace(&mut followed, true) {
                oracle.follow();
            }
            oracle.take(record);
        });
        for customer in &mut self.customers {
            customer.act(&mut self.desk, oracle, &self.menu);
        }
        self.clear_up();
        if self.desk.now_ms() >= self.next_look_ms {
            self.next_look_ms = self.desk.now_ms() + 1_000;
            self.look();
        }
        if !self.desk.runs(Thread::Engine) {
            self.engine_ran_since_ms = self.desk.now_ms();
        }
    }

    fn clear_up(&mut self) {
        let now_ms = self.desk.now_ms();
        if self.foul_until_ms > 0 && self.foul_until_ms <= now_ms {
            self.foul_until_ms = 0;
            let (weather, fair) = (&mut self.desk.weather, &self.fair);
            weather.message_ms = fair.message_ms;
            weather.rest_ms = fair.rest_ms;
            weather.connect_ms = fair.connect_ms;
            weather.lost_rest_per_mille = 0;
        }
    }

    /// Once a second: what is live is not old; what the daemon itself found wrong is no secret.
    fn look(&mut self) {
        self.oracle.follow();
        let now_ms = self.desk.now_ms();
        for event in self.desk.ipc_events() {
            if matches!(event, ipc::Event::CheckMismatch { .. }) {
                self.oracle.blame(format!("{event:?}"));
            }
        }
        if now_ms - self.engine_ran_since_ms < 2_000 {
            return;
        }
        self.oracle.is_told();
        if self.foul_until_ms > 0 {
            return;
        }
        let mut old = Vec::new();
        for line in self.oracle.lines.values().filter(|line| line.is_live(Stream::Orderbook)) {
            let key = (line.venue, line.symbol.clone());
            if self.silent_until_ms.get(&key).is_some_and(|until_ms| now_ms < *until_ms) {
                continue;
            }
            let lag_ms = lag_ms(line, now_ms);
            if lag_ms > LIVE_LAG_MS_MAX {
                old.push(format!("{} {} is live and {lag_ms} ms old", line.venue, line.symbol));
            }
        }
        old.into_iter().for_each(|what| self.oracle.blame(what));
    }

    fn trouble(&mut self, trouble: &Trouble) {
        *self.faults.entry(trouble.name()).or_default() += 1;
        let now_ms = self.desk.now_ms();
        match trouble {
            Trouble::Venue(venue, fault) => {
                if let sim::Fault::SilenceSymbol { symbol, for_ms } = fault {
                    let until_ms = now_ms + *for_ms as u64 + LIVE_LAG_MS_MAX as u64;
                    self.silent((*venue, symbol.clone()), until_ms);
                    if *venue == Venue::Hyperliquid {
                        let from_ms = now_ms as i64 - 100;
                        let until_ms = now_ms as i64 + for_ms + 100;
                        self.oracle.silenced.entry(symbol.clone()).or_default().push((from_ms, until_ms));
                    }
                }
                if let sim::Fault::NullSides { symbol, frames } = fault {
                    self.oracle.told_without_side(*venue, symbol, u64::from(*frames));
                }
                // Where quotes are silent too, nothing says that a book is behind.
                if let sim::Fault::SilenceStream { stream, for_ms } = fault
                    && let Some(symbol) = stream.strip_suffix("@bookTicker")
                {
                    let until_ms = now_ms + *for_ms as u64 + LIVE_LAG_MS_MAX as u64;
                    self.silent((*venue, symbol.to_uppercase()), until_ms);
                }
                if let sim::Fault::Drip { for_ms, .. } = fault {
                    self.foul_until_ms = self.foul_until_ms.max(now_ms + *for_ms as u64 + 10_000);
                }
                let seat = self.desk.seats.iter_mut().find(|seat| seat.which == *venue);
                if let Some(Err(_)) = seat.map(|seat| seat.venue.fault(fault)) {
                    // This venue has no such fault.
                    let count = self.faults.entry(trouble.name()).or_default();
                    *count = count.saturating_sub(1);
                }
            }
            Trouble::Pause(thread, for_ms) => self.desk.pause(*thread, *for_ms),
            Trouble::Clock(by_ms) => self.desk.clock_error_ns = by_ms * 1_000_000,
            Trouble::Slow { by_ms, for_ms } => {
                self.foul_until_ms = self.foul_until_ms.max(now_ms + for_ms);
                let weather = &mut self.desk.weather;
                for span in [&mut weather.message_ms, &mut weather.rest_ms, &mut weather.connect_ms] {
                    span.1 += by_ms;
                }
            }
            Trouble::LoseRest { per_mille, for_ms } => {
                self.foul_until_ms = self.foul_until_ms.max(now_ms + for_ms);
                self.desk.weather.lost_rest_per_mille = *per_mille;
            }
            Trouble::Fill(symbol) => {
                let size_e8 = 100_000_000;
                let (bought, taker) = (self.random.below(2) == 0, self.random.below(2) == 0);
                let fill = NewFill { user: ACCOUNT.to_owned(), bought, taker, price_e8: None, size_e8 };
                self.desk.seats[0].venue.add_fill(symbol, fill).unwrap();
            }
        }
    }

    fn silent(&mut self, of: (Venue, String), until_ms: u64) {
        let known = self.silent_until_ms.entry(of).or_default();
        *known = (*known).max(until_ms);
    }

    /// What is not as it should be when all is calm; empty when it is.
    fn unrest(&self) -> Vec<String> {
        let now_ms = self.desk.now_ms();
        let mut unrest = Vec::new();
        for seat in &self.desk.seats {
            if self.oracle.connection.get(&seat.which) != Some(&State::Live) {
                unrest.push(format!("{} is not connected", seat.which));
            }
        }
        for line in self.oracle.lines.values().filter(|line| !line.states.is_empty()) {
            for stream in STREAMS {
                if !line.is_live(stream) {
                    unrest.push(format!(
                        "{} {} {stream} is {:?}",
                        line.venue,
                        line.symbol,
                        line.states.get(&stream)
                    ));
                }
            }
            let lag_ms = lag_ms(line, now_ms);
            if lag_ms > CALM_LAG_MS_MAX {
                unrest.push(format!("{} {} is {lag_ms} ms old", line.venue, line.symbol));
            }
            let holes = line.trades.holes.len();
            if line.venue == Venue::Binance && holes > 0 && !line.trades.exhausted {
                unrest.push(format!("{}: {holes} trades missing", line.symbol));
            }
        }
        for customer in &self.customers {
            for ((venue, symbol, stream), topic) in &customer.reader.topics {
                if topic.live == Some(false) && !matches!(customer.habit, Habit::Slow | Habit::SlowRecords) {
                    unrest.push(format!("{}: {venue} {symbol} {stream} not live", customer.reader.name));
                }
            }
        }
        unrest
    }

    /// What must hold at the very end.
    fn settle(&mut self) {
        let now_ms = self.desk.now_ms();
        for what in self.unrest() {
            self.oracle.blame(format!("in the end: {what}"));
        }
        for seat in &self.desk.seats {
            let counters = seat.venue.counters();
            if counters.limit_violations_total() > 0 {
                self.oracle.blame(format!("{}: {:?}", seat.which, counters.limit_violations));
            }
        }
        for seat in &self.desk.seats {
            if seat.session.account().is_some_and(|account| !account.adds_up()) {
                self.oracle.blame(format!(
                    "{}: what was received is not what was published and dropped",
                    seat.which
                ));
            }
        }
        let carried: usize = self.menu.iter().map(|of| of.symbols.len()).sum();
        if self.oracle.lines.values().filter(|line| !line.books.is_empty()).count() != carried {
            self.oracle.blame("a symbol had no book at all".to_owned());
        }
        let mut wrong = Vec::new();
        for line in self.oracle.lines.values() {
            let Some(seat) = self.desk.seats.iter().find(|seat| seat.which == line.venue) else { continue };
            for (&(number, start_ms), (candle, _)) in &line.closed {
                let Some(interval) = Interval::from_number(number) else { continue };
                let end_ms = interval.next_start_ms(start_ms);
                // REST may still correct the last ones.
                if end_ms + 60_000 > now_ms {
                    continue;
                }
                let truth =
                    seat.venue.candles(&line.symbol, interval.as_str(), start_ms as i64, end_ms as i64);
                let Some(truth) = truth.ok().and_then(|rows| rows.first().copied()) else { continue };
                let told = [candle.open, candle.high, candle.low, candle.close].map(|price| price.raw());
                let real = [truth.open_e8, truth.high_e8, truth.low_e8, truth.close_e8];
                if told != real || candle.volume.raw() != truth.volume_e8 || candle.num_trades != truth.trades
                {
                    wrong.push(format!("{} {interval}: {candle:?} is not {truth:?}", line.symbol));
                }
            }
        }
        for fill in self.desk.seats[0].venue.market().fills(ACCOUNT) {
            // What is withheld without a word nobody can know.
            let silenced =
                self.oracle.silenced.get(&fill.symbol).is_some_and(|spans| {
                    spans.iter().any(|(from, to)| (*from..=*to).contains(&fill.time_ms))
                });
            // What could not be read may have been a fill, and was told as lost.
            let soon = fill.time_ms..=fill.time_ms + UNREAD_TOLD_MS_MAX;
            let unread = self.oracle.unread_ms.iter().any(|at_ms| soon.contains(at_ms));
            if !silenced && !unread && !self.oracle.fills.contains_key(&fill.trade_id) {
                wrong.push(format!("fill {} at {} was never told", fill.trade_id, fill.time_ms));
            }
        }
        wrong.into_iter().for_each(|what| self.oracle.blame(what));
    }
}

fn lag_ms(line: &crate::oracle::Line, now_ms: u64) -> i64 {
    let Some(held) = line.books.back() else { return 0 };
    match line.venue {
        Venue::Binance => binance::lag_ms(line, held, now_ms as i64),
        Venue::Hyperliquid => hyperliquid::lag_ms(held, now_ms as i64),
    }
}

/// Some minutes of market under a seed.
pub fn run(seed: u64, minutes: u64) -> Outcome {
    let mut world = World::new(seed);
    let storm_ms = minutes * 60_000;
    let symbols: Vec<_> = world.menu.iter().map(|of| (of.venue, of.symbols.clone())).collect();
    let planned = plan(seed, storm_ms, &symbols);
    while world.at_ms() < QUIET_MS {
        world.step(QUIET_MS);
    }
    let mut next = planned.iter().peekable();
    while world.at_ms() < storm_ms && world.oracle.wrong.is_empty() {
        let until_ms = next.peek().map_or(storm_ms, |of| of.at_ms.min(storm_ms)).max(world.at_ms() + 1);
        world.step(until_ms);
        while let Some(of) = next.next_if(|of| of.at_ms <= world.at_ms()) {
            world.trouble(&of.trouble);
        }
    }
    let (mut again_ms, mut last_unrest) = (0, Vec::new());
    let end_ms = storm_ms + LIVE_AGAIN_MS;
    let mut next_ms = storm_ms;
    while world.at_ms() < end_ms && world.oracle.wrong.is_empty() {
        world.step(end_ms);
        if world.at_ms() < next_ms {
            continue;
        }
        next_ms = world.at_ms() + 500;
        let unrest = world.unrest();
        if !unrest.is_empty() {
            again_ms = world.at_ms() - storm_ms;
            last_unrest = unrest;
        } else if world.at_ms() - storm_ms >= again_ms + CALM_MS {
            break;
        }
    }
    if world.oracle.wrong.is_empty() {
        world.settle();
    }
    let sum = world.desk.sockets.iter().fold(seed, |sum, socket| sum.rotate_left(7) ^ socket.sum);
    let readers = || world.customers.iter().map(|customer| &customer.reader);
    Outcome {
        seed,
        sum,
        virtual_ms: world.at_ms(),
        log: world.desk.log(),
        lags: readers().map(|reader| reader.lags).sum(),
        conflated: readers().map(|reader| reader.conflated).sum(),
        left: world.customers.iter().map(|customer| customer.leaves).sum(),
        stalls: world.desk.stalls,
        dropped: world.desk.publisher.dropped().map(|(_, dropped)| dropped).sum(),
        connects: world.desk.connects() as u64,
        again_ms,
        last_unrest,
        wrong: world.oracle.wrong,
        checked: world.oracle.checked,
        faults: world.faults,
        planned,
    }
}
