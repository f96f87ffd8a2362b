//! Candles under the market model with faults, in virtual time through sessions, fetcher budget, history and
//! server: none missing, doubled or wrong in the end, in the stream, in history and in queries.

mod support;
mod virtual_desk;

use codec::candle::Candle;
use codec::record::{Kind, Record};
use codec::words::{Interval, Stream, Venue};
use engine::session::backoff::Random;
use engine::session::binance::BinanceSession;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::Settings;
use sim::{ByHand, Config, CutHow, Fault, RefuseHow, TruthCandle};
use slipstream_client::{Value, request};
use std::collections::BTreeMap;
use std::sync::Arc;
use support::settings;
use virtual_desk::{MemoryFiles, Place, Shape, Stored, VirtualDesk};

/// 2026-11-22 11:00 UTC.
const START_MS: i64 = 1_795_345_200_000;
const INTERVALS: [(Interval, u32); 3] = [(Interval::M1, 300), (Interval::M5, 300), (Interval::M15, 300)];
const STREAMS: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];

/// What was said of candles, in order: by (instrument, interval).
#[derive(Default)]
struct Said {
    closed: BTreeMap<(u32, u8, u64), Candle>,
    last: BTreeMap<(u32, u8), u64>,
    closes: usize,
    opens: usize,
    revisions: usize,
    names: BTreeMap<u32, String>,
}

impl Said {
    fn take(&mut self, record: Record<'_>) {
        let header = record.header();
        if record.kind() == Kind::Instrument {
            self.names.insert(header.instrument, record.instrument().unwrap().symbol().to_owned());
        }
        let Some(body) = record.candle() else { return };
        let interval = body.interval().unwrap();
        let key = (header.instrument, body.interval);
        let candle = Candle::of_body(body);
        let last = self.last.get(&key).copied();
        let follows = last.is_none_or(|last| interval.next_start_ms(last) == candle.start_ms);
        let place = (key.0, key.1, candle.start_ms);
        match (body.closed, body.revised) {
            (0, _) => {
                self.opens += 1;
                assert!(follows, "open before its turn: {interval} {candle:?} after {last:?}");
            }
            (_, 0) => {
                assert!(follows, "closed out of turn: {interval} {candle:?} after {last:?}");
                assert!(self.closed.insert(place, candle).is_none(), "closed twice");
                self.last.insert(key, candle.start_ms);
                self.closes += 1;
            }
            _ => {
                assert!(self.closed.insert(place, candle).is_some_and(|known| known != candle));
                self.revisions += 1;
            }
        }
    }
}

fn equal(candle: &Candle, truth: &TruthCandle) -> bool {
    candle.start_ms == truth.open_ms as u64
        && [candle.open, candle.high, candle.low, candle.close].map(|price| price.raw())
            == [truth.open_e8, truth.high_e8, truth.low_e8, truth.close_e8]
        && candle.volume.raw() == truth.volume_e8
        && candle.num_trades == truth.trades
}

fn of_value(value: &Value) -> (u64, [i64; 5], u64, bool) {
    let get = |name: &str| {
        let map = value.as_map().unwrap();
        map.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone()).unwrap()
    };
    let e8 = |name: &str| (get(name).as_f64().unwrap() * 1e8).round() as i64;
    (
        get("timestamp").as_u64().unwrap() * 1000,
        ["open", "high", "low", "close", "volume"].map(e8),
        get("num_trades").as_u64().unwrap(),
        get("closed").as_bool().unwrap(),
    )
}

fn of_truth(truth: &TruthCandle) -> (u64, [i64; 5], u64) {
    let numbers = [truth.open_e8, truth.high_e8, truth.low_e8, truth.close_e8, truth.volume_e8 as i64];
    (truth.open_ms as u64, numbers, truth.trades)
}

/// One of the faults that candles meet, drawn.
fn fault(venue: Venue, symbols: &[String], random: &mut Random) -> Fault {
    let symbol = symbols[random.below(symbols.len() as u64) as usize].clone();
    let some = |random: &mut Random| random.below(150_000) as i64 + 5_000;
    match random.below(8) {
        0 if venue == Venue::Binance => {
            Fault::LateCloseFrames { symbol, interval: None, delay_ms: some(random) / 6, frames: 2 }
        }
        1 if venue == Venue::Binance => Fault::LoseCloseFrames { symbol, interval: None, frames: 2 },
        2 if venue == Venue::Binance => Fault::SilenceKlines { symbol, for_ms: some(random) },
        0..3 => Fault::ShortCandles { symbol, interval: None, before_ms: 2_000, periods: 3 },
        3 => Fault::CandleRestDown { timeout: random.below(2) == 0, for_ms: some(random) },
        4 if venue == Venue::Hyperliquid => Fault::LateCandleRows {
            symbol: None,
            missing: random.below(2) == 0,
            lag_ms: 4_000,
            for_ms: some(random),
        },
        4 | 5 => Fault::StopTrades { symbol, for_ms: 2 * some(random) },
        6 => Fault::Cut { route: None, how: CutHow::Drop, code: 1000 },
        _ => Fault::RefuseConnections { for_ms: some(random), how: RefuseHow::Close },
    }
}

fn run(mut desk: VirtualDesk, which: Venue, symbols: &[String], files: &Stored, seed: u64, hours: u64) {
    let mut said = Said::default();
    let mut random = Random::new(seed);
    let mut next_fault = 120_000;
    let storm_ms = hours * 3_600_000;
    let mut drawn = Vec::new();
    for step in 0..(storm_ms + 400_000) / 50 {
        desk.step(50, |record| said.take(record));
        let at = step * 50;
        if at >= next_fault && at < storm_ms {
            next_fault = at + 20_000 + random.below(120_000);
            let one = fault(which, symbols, &mut random);
            drawn.push((at, format!("{one:?}")));
            desk.venue().fault(&one).unwrap();
            if matches!(one, Fault::RefuseConnections { .. }) {
                desk.venue().fault(&Fault::Cut { route: None, how: CutHow::Reset, code: 1000 }).unwrap();
            }
        }
    }
    println!(
        "{which} seed {seed}: {} faults, {} closes, {} corrections, {} connections",
        drawn.len(),
        said.closes,
        said.revisions,
        desk.connects()
    );
    assert!(desk.connects() > 10, "it was cut more often than that");
    assert!(said.opens > 1_000 && said.closes >= 470);
    // The stream.
    let now_ms = desk.now_ms();
    for (&(instrument, interval, start_ms), candle) in &said.closed {
        let (name, interval) = (&said.names[&instrument], Interval::from_number(interval).unwrap());
        let truth = desk
            .venue()
            .candles(name, interval.as_str(), start_ms as i64, interval.next_start_ms(start_ms) as i64)
            .unwrap();
        assert!(
            equal(candle, &truth[0]),
            "{name} {interval}: {candle:?} is not {:?}; {drawn:?}\n{}",
            truth[0],
            desk.log()
        );
    }
    for (&(_, interval), &last) in &said.last {
        let interval = Interval::from_number(interval).unwrap();
        assert!(interval.next_start_ms(last) >= interval.start_ms_of(now_ms - 20_000), "{interval} stands");
    }
    assert_eq!(said.last.len(), symbols.len() * INTERVALS.len());
    // Queries, and what is kept for the next start.
    for name in symbols {
        for (interval, count) in INTERVALS {
            let question = request("get_candles")
                .venue(which.as_str())
                .symbol(name)
                .with("interval", interval.as_str())
                .with("count", 10_000);
            let (kind, rows) = desk.request(&question);
            assert_eq!(kind, "candles", "{rows}");
            let rows: Vec<_> = rows.as_array().unwrap().iter().map(of_value).collect();
            let (open, closed) = rows.split_last().unwrap();
            assert!(!open.3 && closed.iter().all(|row| row.3));
            assert!(closed.len() >= count as usize && open.0 == interval.start_ms_of(now_ms), "{open:?}");
            let truth =
                desk.venue().candles(name, interval.as_str(), closed[0].0 as i64, open.0 as i64).unwrap();
            assert_eq!(truth.len(), closed.len(), "{name} {interval}");
            for (row, truth) in closed.iter().zip(&truth) {
                assert_eq!((row.0, row.1, row.2), of_truth(truth), "{name} {interval} in a query");
            }
            let stored = files.lock().unwrap();
            let (_, stored) = &stored[&(name.clone(), interval)];
            let stored: BTreeMap<u64, &Candle> = stored.iter().map(|row| (row.start_ms, row)).collect();
            for truth in truth.iter().rev().take(count as usize - 1) {
                let row = stored.get(&(truth.open_ms as u64)).expect("a row on disk");
                assert!(equal(row, truth), "{name} {interval} on disk");
            }
        }
    }
}

fn own_settings(symbols: &[String], max_subscriptions: usize) -> Settings {
    let names: Vec<&str> = symbols.iter().map(String::as_str).collect();
    Settings {
        streams: STREAMS.to_vec(),
        intervals: INTERVALS.map(|(interval, _)| interval).to_vec(),
        max_subscriptions,
        ..settings(&names)
    }
}

fn shape(symbols: &[String], weight_per_minute: u32) -> Shape {
    Shape {
        intervals: INTERVALS.to_vec(),
        streams: STREAMS.to_vec(),
        symbols: symbols.to_vec(),
        weight_per_minute,
    }
}

fn market(seed: u64) -> Config {
    let mut config = Config { seed, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        market.symbols = 3;
        market.rate_per_s = 2.0;
    }
    config
}

fn hyperliquid(seed: u64, hours: u64, max_subscriptions: usize) {
    let venue = ByHand::hyperliquid(&market(seed), START_MS).unwrap();
    let symbols = venue.market().trading_symbols();
    let own = own_settings(&symbols, max_subscriptions);
    let own = Settings { websocket_url: "wss://venue/ws".to_owned(), ..own };
    let session = HyperliquidSession::new(own, BookSources::Both);
    let files = Stored::default();
    let kept = Box::new(MemoryFiles(Arc::clone(&files)));
    let desk = VirtualDesk::single(Place {
        which: Venue::Hyperliquid,
        venue: Box::new(venue),
        session: Box::new(session),
        shape: shape(&symbols, 1000),
        files: Some(kept),
    });
    run(desk, Venue::Hyperliquid, &symbols, &files, seed, hours);
}

/// `CANDLE_SEEDS=n` runs more of them, `CANDLE_SEED=n` that one alone.
fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    match number("CANDLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("CANDLE_SEEDS").unwrap_or(6),
    }
}

#[test]
fn hyperliquid_candles_are_true_in_stream_history_and_queries() {
    for seed in seeds() {
        hyperliquid(seed, 2, 1000);
    }
}

#[test]
fn hyperliquid_candles_made_of_the_finest_are_true_too() {
    for seed in seeds() {
        // Three symbols with three intervals want more than this.
        hyperliquid(100 + seed, 2, 20);
    }
}

#[test]
fn binance_candles_are_true_in_stream_history_and_queries() {
    for seed in seeds() {
        let venue = ByHand::binance(&market(seed), START_MS).unwrap();
        let symbols = venue.market().trading_symbols();
        let session = BinanceSession::new(own_settings(&symbols, 1000));
        let files = Stored::default();
        let kept = Box::new(MemoryFiles(Arc::clone(&files)));
        let desk = VirtualDesk::single(Place {
            which: Venue::Binance,
            venue: Box::new(venue),
            session: Box::new(session),
            shape: shape(&symbols, 1800),
            files: Some(kept),
        });
        run(desk, Venue::Binance, &symbols, &files, seed, 2);
    }
}
