//! The captures, played back by the simulated venues, through the real daemon to a client.

mod support;
mod system;

use codec::book::{Book, TimedLevel};
use codec::record::{Kind, Level, Record};
use codec::venues::{binance, hyperliquid, rest_binance};
use sim::{Config, PlaybackConfig, Speed, StartWhen};
use slipstream_client::{Message, request};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use support::{capture, fixture};
use system::{Choice, Desk, e8, receive_until};

const BTCUSDT: &str = "binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz";
const FOUR: &str = "binance_usdm/four_symbols_all_streams_20210722.txt.gz";
const HYPERLIQUID: &str = "hyperliquid/btc_l2book_trades_20250126.txt.gz";

fn playback(path: &str, speed: Speed, streams: Vec<String>) -> Option<PlaybackConfig> {
    let start = StartWhen::Subscribed(streams);
    Some(PlaybackConfig { path: fixture(path)?, speed, start, pause_at_rest: true })
}

/// The streams that are compared: until the last of them is subscribed nothing is played. A count would not do, for
/// candles and mark prices go by another connection than books.
fn binance_streams(symbols: &[&str]) -> Vec<String> {
    let of = |symbol: &&str| {
        ["depth@100ms", "bookTicker", "aggTrade"].map(|stream| format!("{}@{stream}", symbol.to_lowercase()))
    };
    symbols.iter().flat_map(of).collect()
}

fn hyperliquid_streams() -> Vec<String> {
    ["l2Book:BTC", "bbo:BTC", "trades:BTC"].map(str::to_owned).to_vec()
}

/// Everything ever said about one symbol, by update id.
#[derive(Default)]
struct Reference {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
    quotes: BTreeMap<u64, (i64, i64)>,
    trades: Vec<u64>,
}

fn set(side: &mut BTreeMap<i64, i64>, levels: &[Level]) {
    for level in levels {
        if level.size.raw() == 0 {
            side.remove(&level.price.raw());
        } else {
            side.insert(level.price.raw(), level.size.raw());
        }
    }
}

/// Depth events (id, bids, asks) per symbol, snapshots applied first, quotes and trade ids.
type Events = BTreeMap<String, Vec<(u64, Vec<Level>, Vec<Level>)>>;

fn read(path: &str, symbol_of_bare: &str) -> Option<(Events, BTreeMap<String, Reference>)> {
    let mut events = Events::new();
    let mut references: BTreeMap<String, Reference> = BTreeMap::new();
    let mut snapshots: BTreeMap<String, rest_binance::DepthSnapshot> = BTreeMap::new();
    let mut decoder = binance::Decoder::new();
    for (_, json) in capture(path)? {
        if json.contains("\"lastUpdateId\"") {
            let (symbol, body) = match json.split_once("symbol=") {
                Some((_, rest)) => {
                    let symbol = rest.split('&').next().unwrap().to_owned();
                    let body = rest.split_once("\"body\":").unwrap().1;
                    (symbol, body[..body.len() - 1].to_owned())
                }
                None => (symbol_of_bare.to_owned(), json),
            };
            snapshots.insert(symbol, rest_binance::depth(&mut body.into_bytes()).unwrap());
            continue;
        }
        match decoder.decode(json.as_bytes()) {
            Ok(binance::Message::Depth(depth)) => events.entry(depth.symbol.to_owned()).or_default().push((
                depth.last_id,
                depth.bids.to_vec(),
                depth.asks.to_vec(),
            )),
            Ok(binance::Message::BookTicker(ticker)) => {
                let (bid, ask) = ticker.quote.unwrap();
                let quotes = &mut references.entry(ticker.symbol.to_owned()).or_default().quotes;
                quotes.insert(ticker.update_id, (bid.price.raw(), ask.price.raw()));
            }
            Ok(binance::Message::Trade(trade)) if trade.market => {
                references.entry(trade.symbol.to_owned()).or_default().trades.push(trade.trade_id);
            }
            Ok(binance::Message::AggTrade(trade)) => {
                references.entry(trade.symbol.to_owned()).or_default().trades.push(trade.agg_id);
            }
            _ => {}
        }
    }
    for (symbol, snapshot) in &snapshots {
        let reference = references.entry(symbol.clone()).or_default();
        set(&mut reference.bids, &snapshot.bids);
        set(&mut reference.asks, &snapshot.asks);
        events.get_mut(symbol).unwrap().retain(|(last, _, _)| *last >= snapshot.last_update_id);
    }
    Some((events, references))
}

/// Follows books, quotes and trades of `symbols` until the playback is over, holding each served book
/// against the reference at its update id. Answers with (books compared, ids that met a quote).
fn follow(desk: &Desk, symbols: &[&str], path: &str) -> (u64, u64) {
    let (events, mut references) = read(path, symbols[0]).unwrap();
    let mut client = desk.client();
    for symbol in symbols {
        client.subscribe_orderbook("binance", symbol, 1000, "full").unwrap();
        client.subscribe_quote("binance", symbol).unwrap();
        client.subscribe_trades("binance", symbol).unwrap();
    }
    let mut positions: BTreeMap<&str, usize> = BTreeMap::new();
    let mut trades: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    let (mut compared, mut met, mut deepest) = (0, 0, 0);
    let ended = desk.sim.binance().playback().unwrap().clone();
    let mut quiet_since = Instant::now();
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed() < Duration::from_secs(180), "the playback does not end");
        let Some(message) = client.recv(Duration::from_millis(100)).unwrap() else {
            if ended.has_ended() && quiet_since.elapsed() > Duration::from_secs(2) {
                break;
            }
            continue;
        };
        match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                quiet_since = Instant::now();
                let sequence = sequences.entry(book.symbol.clone()).or_default();
                assert!(book.sequence > *sequence, "sequence {} after {sequence}", book.sequence);
                *sequence = book.sequence;
                let id = book.venue_sequence.unwrap();
                let symbol = symbols.iter().find(|symbol| **symbol == book.symbol).unwrap();
                let reference = references.get_mut(*symbol).unwrap();
                let at = positions.entry(symbol).or_default();
                let events = &events[*symbol];
                while *at < events.len() && events[*at].0 <= id {
                    set(&mut reference.bids, &events[*at].1);
                    set(&mut reference.asks, &events[*at].2);
                    *at += 1;
                }
                let served = |levels: &[slipstream_client::Level]| {
                    levels.iter().map(|level| (e8(level.price), e8(level.size))).collect::<Vec<_>>()
                };
                let (bids, asks) = (served(&book.bids), served(&book.asks));
                let want: Vec<_> =
                    reference.bids.iter().rev().map(|(p, s)| (*p, *s)).take(bids.len()).collect();
                assert_eq!(bids, want, "{symbol} bids at {id}");
                let want: Vec<_> = reference.asks.iter().map(|(p, s)| (*p, *s)).take(asks.len()).collect();
                assert_eq!(asks, want, "{symbol} asks at {id}");
                assert!(!bids.is_empty() && !asks.is_empty(), "an empty side served as live");
                if let Some(&quote) = reference.quotes.get(&id) {
                    assert_eq!((bids[0].0, asks[0].0), quote, "{symbol} at {id}");
                    met += 1;
                }
                compared += 1;
                deepest = deepest.max(bids.len());
            }
            Message::Trade(trade) => {
                quiet_since = Instant::now();
                trades.entry(trade.symbol).or_default().push(trade.trade_id.parse().unwrap());
            }
            Message::Gap(gap) => panic!("a capture without losses: {gap:?}"),
            _ => {}
        }
    }
    for symbol in symbols {
        let want = &references[*symbol].trades;
        let have = trades.remove(*symbol).unwrap_or_default();
        let once: BTreeSet<_> = have.iter().collect();
        assert_eq!(once.len(), have.len(), "{symbol}: a trade twice");
        // Those before the client's subscription are in nobody's stream.
        assert!(want.ends_with(&have), "{symbol}: {} of {} trades, not the last", have.len(), want.len());
        println!("{symbol}: {} of {} trades", have.len(), want.len());
    }
    println!("{compared} books compared, {met} met a quote, up to {deepest} levels");
    (compared, met)
}

#[test]
fn btcusdt_of_2024_is_served_exactly() {
    let streams = binance_streams(&["BTCUSDT"]);
    let Some(playback) = playback(BTCUSDT, Speed::Times(15.0), streams) else { return };
    let mut config = Config::default();
    config.binance.playback = Some(playback);
    let choice = Choice { hyperliquid: None, binance: Some("symbols = [\"BTCUSDT\"]"), retention: "" };
    let desk = Desk::start(config, &choice);
    let (compared, met) = follow(&desk, &["BTCUSDT"], BTCUSDT);
    assert!(compared > 3000 && met > 200, "{compared} {met}");
}

#[test]
fn four_symbols_of_2021_join_and_stay_equal() {
    let symbols = ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"];
    let Some(playback) = playback(FOUR, Speed::Times(5.0), binance_streams(&symbols)) else { return };
    let mut config = Config::default();
    config.binance.playback = Some(playback);
    let lines = format!("symbols = {symbols:?}");
    let desk = Desk::start(config, &Choice { hyperliquid: None, binance: Some(&lines), retention: "" });
    let (compared, met) = follow(&desk, &symbols, FOUR);
    assert!(compared > 400 && met > 20, "{compared} {met}");
}

#[test]
fn hyperliquid_books_equal_the_frames_and_the_backlog_is_not_streamed() {
    let Some(playback) = playback(HYPERLIQUID, Speed::Times(5.0), hyperliquid_streams()) else { return };
    let mut config = Config::default();
    config.hyperliquid.playback = Some(playback);
    let lines = "symbols = [\"BTC\"]\nbook = \"default\"\nchannels = [\"orderbook\", \"quotes\", \"trades\"]";
    let desk = Desk::start(config, &Choice { hyperliquid: Some(lines), binance: None, retention: "" });
    let mut frames = BTreeMap::new();
    let (mut backlog, mut live) = (Vec::new(), Vec::new());
    let mut decoder = hyperliquid::Decoder::new();
    for (_, json) in capture(HYPERLIQUID).unwrap() {
        match decoder.decode(json.as_bytes()) {
            Ok(hyperliquid::Message::Book(book)) => {
                let pairs = |levels: &[Level]| {
                    levels.iter().map(|l| (l.price.raw(), l.size.raw())).collect::<Vec<_>>()
                };
                frames.insert(book.time_ms * 1000, (pairs(book.bids), pairs(book.asks)));
            }
            Ok(hyperliquid::Message::Trades(trades)) => {
                let list = if backlog.is_empty() { &mut backlog } else { &mut live };
                list.extend(trades.iter().map(|trade| trade.tid.to_string()));
            }
            _ => {}
        }
    }
    let mut client = desk.client();
    client.subscribe_orderbook("hyperliquid", "BTC", 50, "full").unwrap();
    client.subscribe_trades("hyperliquid", "BTC").unwrap();
    let mut books = 0;
    let mut streamed = Vec::new();
    let last_time = *frames.keys().next_back().unwrap();
    receive_until(&mut client, "the last frame", |message| {
        match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                let pairs = |levels: &[slipstream_client::Level]| {
                    levels.iter().map(|level| (e8(level.price), e8(level.size))).collect::<Vec<_>>()
                };
                assert_eq!(frames[&book.timestamp_us], (pairs(&book.bids), pairs(&book.asks)));
                assert_eq!(book.fresh_levels, 20);
                books += 1;
                return book.timestamp_us == last_time;
            }
            Message::Trade(trade) => streamed.push(trade.trade_id),
            _ => {}
        }
        false
    });
    while let Some(message) = client.recv(Duration::from_secs(1)).unwrap() {
        if let Message::Trade(trade) = message {
            streamed.push(trade.trade_id);
        }
    }
    assert!(streamed.iter().all(|id| !backlog.contains(id)), "the backlog is history, not stream");
    assert!(live.ends_with(&streamed), "each live trade once, in order");
    let (kind, history) = client
        .request(&request("get_trades").venue("hyperliquid").symbol("BTC").with("count", 1000))
        .unwrap();
    assert_eq!(kind, "trades");
    assert_eq!(
        history.as_array().unwrap().len(),
        backlog.len() + live.len(),
        "history holds the backlog too"
    );
    println!("{books} books, {} streamed of {} live trades", streamed.len(), live.len());
    assert!(books > 20);
}

/// Kept so that the record form of a book is exercised where the frames are known exactly.
#[test]
fn records_carry_the_same_books() {
    let Some(playback) = playback(HYPERLIQUID, Speed::Times(5.0), hyperliquid_streams()) else { return };
    let mut config = Config::default();
    config.hyperliquid.playback = Some(playback);
    let lines = "symbols = [\"BTC\"]\nbook = \"default\"\nchannels = [\"orderbook\", \"quotes\", \"trades\"]";
    let desk = Desk::start(config, &Choice { hyperliquid: Some(lines), binance: None, retention: "" });
    let mut client = desk.client();
    client.hello("test", "record").unwrap();
    client.request(&request("subscribe_orderbook").venue("hyperliquid").symbol("BTC")).unwrap();
    let mut book = Book::<TimedLevel>::new(64);
    let mut states = 0;
    receive_until(&mut client, "book records", |message| {
        if let Message::Record(words) = message {
            let record = Record::first(&words).unwrap();
            if let Some(levels) = record.book() {
                book.apply_record(&levels, record.kind() == Kind::BookSnapshot);
                assert_eq!((book.bids.len(), book.asks.len()), (20, 20));
                states += 1;
            }
        }
        states >= 20
    });
}
