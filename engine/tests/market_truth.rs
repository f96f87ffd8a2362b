//! Under the market model, through cuts, breaks and stale snapshots: what is served as live is the truth.

mod system;

use codec::book::{Book, TimedLevel};
use codec::record::{Kind, NO_INSTRUMENT, Record};
use codec::words::{State, Stream};
use sim::{Config, CutHow, Fault, MarketHandle, Route};
use slipstream_client::{Client, Message, request};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use system::{Choice, Desk, PATIENCE, e8};

type Levels = Vec<(i64, i64)>;

/// A level as a record told it: is it a bid, price, size, its source's time in ms.
type TimedLevels = Vec<(bool, i64, i64, u64)>;

/// A price and size, if the side has any.
type Top = Option<(i64, i64)>;

fn truth(levels: &[sim::Level]) -> Levels {
    levels.iter().map(|level| (level.price_e8, level.size_e8)).collect()
}

fn served(levels: &[slipstream_client::Level]) -> Levels {
    levels.iter().map(|level| (e8(level.price), e8(level.size))).collect()
}

/// What a client saw of Binance: books at their update ids, trades in order, states.
#[derive(Default)]
struct Seen {
    books: Vec<(String, u64, Levels, Levels)>,
    trades: BTreeMap<String, Vec<u64>>,
    gaps: Vec<(String, String)>,
    live: BTreeMap<String, bool>,
    quotes: Vec<(String, u64, i64, i64)>,
}

impl Seen {
    fn take(&mut self, message: Message) {
        match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                assert!(!book.stale);
                self.live.insert(book.symbol.clone(), true);
                self.books.push((
                    book.symbol,
                    book.venue_sequence.unwrap(),
                    served(&book.bids),
                    served(&book.asks),
                ));
            }
            Message::Trade(trade) => {
                self.trades.entry(trade.symbol).or_default().push(trade.trade_id.parse().unwrap());
            }
            Message::Status(status) if status.stream == "orderbook" => {
                self.live.insert(status.symbol.unwrap_or_default(), status.state == "live");
            }
            Message::Gap(gap) => self.gaps.push((gap.stream, gap.reason)),
            Message::Quote(quote) => {
                if let (Some(bid), Some(ask)) = (quote.bid, quote.ask) {
                    self.quotes.push((quote.symbol, quote.timestamp_us, e8(bid.price), e8(ask.price)));
                }
            }
            _ => {}
        }
    }

    fn for_a_while(&mut self, client: &mut Client, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            if let Some(message) = client.recv(Duration::from_millis(50)).unwrap() {
                self.take(message);
            }
        }
    }

    /// Until every book is live again with a book message after now.
    fn until_live(&mut self, client: &mut Client, symbols: &[&str]) -> Duration {
        let begun = Instant::now();
        let mut fresh = BTreeSet::new();
        while fresh.len() < symbols.len() {
            assert!(begun.elapsed() < PATIENCE, "not live again: {:?}", self.live);
            if let Some(message) = client.recv(Duration::from_millis(50)).unwrap() {
                if let Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) = &message {
                    fresh.insert(book.symbol.clone());
                }
                self.take(message);
            }
        }
        begun.elapsed()
    }

    fn compare(&self, market: &MarketHandle) -> usize {
        for (symbol, id, bids, asks) in &self.books {
            let book = market.truth_at_update_id(symbol, *id).unwrap();
            let (true_bids, true_asks) = (truth(&book.bids), truth(&book.asks));
            assert!(!bids.is_empty() && !asks.is_empty(), "{symbol}: an empty side served as live");
            assert_eq!(bids[..], true_bids[..bids.len()], "{symbol} bids at {id}");
            assert_eq!(asks[..], true_asks[..asks.len()], "{symbol} asks at {id}");
        }
        self.books.len()
    }
}

#[test]
fn binance_books_are_the_truth_through_faults() {
    let mut config = Config::default();
    config.binance.market.symbols = 3;
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let choice =
        Choice { hyperliquid: None, binance: Some("symbols = [\"BTCUSDT\", \"ETHUSDT\"]"), retention: "" };
    let desk = Desk::start(config, &choice);
    println!("seed {}", desk.sim.seed());
    let venue = desk.sim.binance();
    let mut client = desk.client();
    for symbol in symbols {
        client.subscribe_orderbook("binance", symbol, 1000, "full").unwrap();
        client.subscribe_trades("binance", symbol).unwrap();
        client.subscribe_quote("binance", symbol).unwrap();
    }
    let mut seen = Seen::default();
    seen.until_live(&mut client, &symbols);
    seen.for_a_while(&mut client, Duration::from_secs(2));
    let break_depth = |symbol: &str| Fault::BreakDepthSequence { symbol: symbol.into(), events: 1 };
    let stale = Fault::StaleSnapshots { symbol: None, requests: 3, age_ms: 3_000 };
    let cut = |route, how| Fault::Cut { route, how, code: 1000 };
    let rounds: [(&str, Vec<Fault>, u64); 6] = [
        ("a broken sequence", vec![break_depth("BTCUSDT")], 10),
        ("a break and stale snapshots", vec![stale.clone(), break_depth("ETHUSDT")], 15),
        ("a dropped connection", vec![cut(Some(Route::Public), CutHow::Drop)], 30),
        ("a reset of everything", vec![cut(None, CutHow::Reset)], 30),
        ("a clean close", vec![cut(Some(Route::Market), CutHow::Close)], 30),
        ("lost trades", vec![Fault::DropTrades { symbol: "BTCUSDT".into(), count: 3 }], 10),
    ];
    for (what, faults, seconds) in rounds {
        for fault in faults {
            venue.fault(fault).unwrap();
        }
        seen.for_a_while(&mut client, Duration::from_millis(300));
        let took = seen.until_live(&mut client, &symbols);
        println!("{what}: live again after {took:?}");
        assert!(took < Duration::from_secs(3 * seconds), "{what}: {took:?}");
        seen.for_a_while(&mut client, Duration::from_secs(1));
    }
    seen.for_a_while(&mut client, Duration::from_secs(3));
    let compared = seen.compare(venue.market());
    let reasons: BTreeSet<_> =
        seen.gaps.iter().map(|(stream, reason)| format!("{stream} {reason}")).collect();
    println!("{compared} books compared; gaps: {reasons:?}");
    assert!(compared > 100);
    assert!(reasons.contains("orderbook sequence_break"), "{reasons:?}");
    assert!(reasons.iter().any(|reason| reason.starts_with("trades")), "{reasons:?}");
    // Every trade of the venue from the first to the last one seen, each once, backfilled ones included.
    for symbol in symbols {
        let ids = &seen.trades[symbol];
        let once: BTreeSet<u64> = ids.iter().copied().collect();
        assert_eq!(once.len(), ids.len(), "{symbol}: a trade twice");
        let (first, last) = (*once.first().unwrap(), *once.last().unwrap());
        let all: BTreeSet<u64> =
            venue.market().trades_by_id(symbol, first, last).unwrap().iter().map(|trade| trade.id).collect();
        assert_eq!(once, all, "{symbol}: trades missing");
    }
    let counters = venue.counters();
    assert_eq!(counters.limit_violations_total(), 0, "{:?}", counters.limit_violations);
}

/// A Hyperliquid book as the records tell it, each level checked at its own source's time.
#[test]
fn hyperliquid_levels_are_the_truth_at_their_sources_time() {
    let mut config = Config::default();
    config.hyperliquid.book_interval_ms = 1_500;
    config.hyperliquid.fast_book_interval_ms = 300;
    let choice = Choice { hyperliquid: Some("symbols = [\"BTC\", \"ETH\"]"), binance: None, retention: "" };
    let desk = Desk::start(config, &choice);
    println!("seed {}", desk.sim.seed());
    let venue = desk.sim.hyperliquid();
    let mut client = desk.client();
    client.hello("test", "record").unwrap();
    for symbol in ["BTC", "ETH"] {
        client.request(&request("subscribe_orderbook").venue("hyperliquid").symbol(symbol)).unwrap();
        client.request(&request("subscribe_quote").venue("hyperliquid").symbol(symbol)).unwrap();
    }
    let mut names = BTreeMap::new();
    let mut books: BTreeMap<u32, Book<TimedLevel>> = BTreeMap::new();
    let mut live: BTreeMap<u32, bool> = BTreeMap::new();
    let mut checks: Vec<(String, TimedLevels)> = Vec::new();
    let begun = Instant::now();
    let mut cuts = [Duration::from_secs(4), Duration::from_secs(9)].into_iter().peekable();
    let (mut states, mut quotes) = (0, 0);
    let mut best: Vec<(String, u64, Top, Top)> = Vec::new();
    while begun.elapsed() < Duration::from_secs(16) {
        if cuts.next_if(|at| begun.elapsed() > *at).is_some() {
            venue.fault(Fault::Cut { route: None, how: CutHow::Drop, code: 1000 }).unwrap();
        }
        let Some(Message::Record(words)) = client.recv(Duration::from_millis(100)).unwrap() else { continue };
        let record = Record::first(&words).unwrap();
        let header = record.header();
        if let Some(body) = record.instrument() {
            names.insert(header.instrument, body.symbol().to_owned());
        }
        if let Some(status) = record.status() {
            let is_live = status.state() == Some(State::Live);
            if header.stream() == Some(Stream::Orderbook) && header.instrument != NO_INSTRUMENT {
                live.insert(header.instrument, is_live);
            }
        }
        if record.quote().is_some() {
            quotes += 1;
        }
        if let Some(levels) = record.book() {
            let book = books.entry(header.instrument).or_insert_with(|| Book::new(64));
            book.apply_record(&levels, record.kind() == Kind::BookSnapshot);
            if live.get(&header.instrument).copied().unwrap_or(true) {
                states += 1;
                let symbol = names[&header.instrument].clone();
                let mut held: Vec<_> = Vec::new();
                for (is_bid, side) in [(true, &book.bids), (false, &book.asks)] {
                    held.extend(side.iter().map(|held| {
                        (is_bid, held.level.price.raw(), held.level.size.raw(), held.source_ts_ns / 1_000_000)
                    }));
                }
                let top = |level: Option<codec::record::Level>| {
                    level.map(|level| (level.price.raw(), level.size.raw()))
                };
                best.push((
                    symbol.clone(),
                    header.ts_event_ns / 1_000_000,
                    top(book.bids.best()),
                    top(book.asks.best()),
                ));
                if states % 8 == 0 {
                    checks.push((symbol, held));
                }
            }
        }
    }
    let market = venue.market();
    let mut compared = 0;
    for (symbol, held) in &checks {
        let mut at: BTreeMap<u64, sim::TruthBook> = BTreeMap::new();
        for (is_bid, price, size, time_ms) in held {
            let book =
                at.entry(*time_ms).or_insert_with(|| market.truth_at_time(symbol, *time_ms as i64).unwrap());
            let side = if *is_bid { &book.bids } else { &book.asks };
            let true_size = side.iter().find(|level| level.price_e8 == *price).map(|level| level.size_e8);
            assert_eq!(true_size, Some(*size), "{symbol} {price} at {time_ms}");
            compared += 1;
        }
    }
    for (symbol, time_ms, bid, ask) in &best {
        let book = market.truth_at_time(symbol, *time_ms as i64).unwrap();
        let top = |levels: &[sim::Level]| levels.first().map(|level| (level.price_e8, level.size_e8));
        assert_eq!((*bid, *ask), (top(&book.bids), top(&book.asks)), "{symbol} best at {time_ms}");
    }
    println!("{states} states, {} bests, {compared} levels compared, {quotes} quotes", best.len());
    assert!(states > 100 && compared > 500 && quotes > 50);
    assert_eq!(venue.counters().limit_violations_total(), 0);
}

#[test]
fn a_silent_market_is_stale_before_it_is_wrong() {
    let mut config = Config::default();
    config.binance.market.symbols = 2;
    let choice = Choice {
        hyperliquid: Some("symbols = [\"BTC\"]"),
        binance: Some("symbols = [\"BTCUSDT\"]"),
        retention: "",
    };
    let desk = Desk::start(config, &choice);
    let mut client = desk.client();
    client.subscribe_orderbook("hyperliquid", "BTC", 5, "full").unwrap();
    client.subscribe_orderbook("binance", "BTCUSDT", 5, "full").unwrap();
    let mut fresh = BTreeSet::new();
    system::receive_until(&mut client, "both books", |message| {
        if let Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) = message {
            fresh.insert(book.venue);
        }
        fresh.len() == 2
    });
    for stream in ["l2BookFast:BTC", "l2Book:BTC", "bbo:BTC"] {
        let fault = Fault::SilenceStream { stream: stream.into(), for_ms: 6_000 };
        desk.sim.hyperliquid().fault(fault).unwrap();
    }
    let fault = Fault::SilenceStream { stream: "btcusdt@depth@100ms".into(), for_ms: 4_000 };
    desk.sim.binance().fault(fault).unwrap();
    let mut told = BTreeMap::new();
    system::receive_until(&mut client, "both to be stale, then live", |message| {
        if let Message::Status(status) = message
            && status.stream == "orderbook"
        {
            let states: &mut Vec<String> = told.entry(status.venue.clone().unwrap()).or_default();
            states.push(format!("{} {}", status.state, status.reason));
        }
        told.len() == 2
            && told.values().all(|states| states.last().is_some_and(|last| last.starts_with("live")))
    });
    println!("{told:?}");
    assert!(told["binance"].contains(&"stale behind_quote".to_owned()), "{told:?}");
    assert!(told["hyperliquid"].iter().any(|state| state.starts_with("stale silence")), "{told:?}");
}
