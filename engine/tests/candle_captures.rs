//! Candles over the captures, played back by the simulated venues, through the real daemon to a client.

mod support;
mod system;

use sim::{Config, PlaybackConfig, Speed, StartWhen, TruthCandle};
use slipstream_client::{Candle, Client, Message, request};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::fixture;
use system::{Choice, Desk, PATIENCE, e8, wait_for};

const BTCUSDT: &str = "binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz";
const KLINES: &str = "binance_usdm/btcusdt_klines_1m_20240808.csv";
const FOUR: &str = "binance_usdm/four_symbols_all_streams_20210722.txt.gz";
const ETH: &str = "hyperliquid/eth_candle_1m_20250214_00-06.txt.gz";

fn playback(path: &str, speed: Speed, subscriptions: usize) -> Option<PlaybackConfig> {
    Some(PlaybackConfig {
        path: fixture(path)?,
        speed,
        start: StartWhen::SubscriptionCount(subscriptions),
        pause_at_rest: true,
    })
}

/// Closed candles by (symbol, start in s), each close counted, corrections applied.
#[derive(Default)]
struct Seen {
    closed: BTreeMap<(String, u64), (Candle, usize)>,
    revisions: usize,
    opens: usize,
    last_open: u64,
}

impl Seen {
    fn take(&mut self, candle: Candle) {
        let key = (candle.symbol.clone(), candle.timestamp);
        if !candle.closed {
            assert!(!self.closed.contains_key(&key), "open after its close");
            self.opens += 1;
            self.last_open = candle.timestamp;
        } else if candle.revised {
            self.revisions += 1;
            let known = self.closed.get_mut(&key).expect("a correction of nothing");
            known.0 = candle;
        } else {
            let known = self.closed.entry(key).or_insert((candle, 0));
            known.1 += 1;
        }
    }

    fn watch(&mut self, client: &mut Client, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
            if let Some(Message::Candle(candle)) = client.recv(Duration::from_millis(100)).unwrap() {
                self.take(candle);
            }
        }
    }
}

fn subscribe(client: &mut Client, venue: &str, symbol: &str) {
    let (kind, data) = client
        .request(&request("subscribe_candles").venue(venue).symbol(symbol).with("interval", "1m"))
        .unwrap();
    assert_eq!(kind, "subscribed", "{data}");
}

fn equal(candle: &Candle, truth: &TruthCandle) -> bool {
    let own = [candle.open, candle.high, candle.low, candle.close, candle.volume].map(e8);
    let theirs = [truth.open_e8, truth.high_e8, truth.low_e8, truth.close_e8, truth.volume_e8 as i64];
    own == theirs && candle.num_trades == truth.trades
}

#[test]
fn the_five_full_minutes_of_btcusdt_equal_the_venues_own_to_the_last_digit() {
    let (Some(playback), Some(csv)) = (playback(BTCUSDT, Speed::Times(40.0), 1), fixture(KLINES)) else {
        return;
    };
    let mut config = Config::default();
    config.binance.playback = Some(playback);
    let lines = "symbols = [\"BTCUSDT\"]\nchannels = [\"candles\"]\nintervals = [\"1m\"]";
    let desk = Desk::start(config, &Choice { hyperliquid: None, binance: Some(lines), retention: "" });
    let mut client = desk.client();
    subscribe(&mut client, "binance", "BTCUSDT");
    let mut expected = BTreeMap::new();
    for line in std::fs::read_to_string(csv).unwrap().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let numbers: Vec<f64> = cells[1..6].iter().map(|cell| cell.parse().unwrap()).collect();
        expected.insert(cells[0].parse::<u64>().unwrap() / 1000, (numbers, cells[8].parse::<u64>().unwrap()));
    }
    let mut seen = Seen::default();
    let equal_minutes = |seen: &Seen| {
        let same = |(candle, _): &&(Candle, usize)| {
            expected.get(&candle.timestamp).is_some_and(|(numbers, trades)| {
                [candle.open, candle.high, candle.low, candle.close, candle.volume] == numbers[..]
                    && candle.num_trades == *trades
            })
        };
        seen.closed.values().filter(same).count()
    };
    seen.watch(&mut client, "five minutes", |seen| equal_minutes(seen) >= 5);
    assert!(seen.closed.values().all(|(_, count)| *count == 1));
    assert_eq!(seen.revisions, 0, "Binance says when one is final");
    assert!(seen.opens > 500);
}

#[test]
fn each_of_the_four_symbols_closes_its_candle_once() {
    let Some(playback) = playback(FOUR, Speed::Times(2.0), 4) else { return };
    let symbols = ["SUSHIUSDT", "AKROUSDT", "KEEPUSDT", "CTKUSDT"];
    let mut config = Config::default();
    config.binance.playback = Some(playback);
    let lines = format!("symbols = {symbols:?}\nchannels = [\"candles\"]\nintervals = [\"1m\"]");
    let desk = Desk::start(config, &Choice { hyperliquid: None, binance: Some(&lines), retention: "" });
    let mut client = desk.client();
    for symbol in symbols {
        subscribe(&mut client, "binance", symbol);
    }
    let mut seen = Seen::default();
    seen.watch(&mut client, "four closes", |seen| seen.closed.len() >= 4);
    seen.watch(&mut client, "the next period", |seen| seen.last_open > seen.closed.keys().next().unwrap().1);
    for symbol in symbols {
        let of: Vec<_> = seen.closed.iter().filter(|((name, _), _)| name == symbol).collect();
        assert_eq!(of.len(), 1, "{symbol}");
        assert_eq!(of[0].1.1, 1, "{symbol}");
    }
}

#[test]
fn every_minute_of_the_eth_capture_closes_once_and_is_corrected_where_its_last_frame_was_short() {
    let Some(mut playback) = playback(ETH, Speed::Max, 1) else { return };
    playback.start = StartWhen::Command;
    let mut config = Config::default();
    config.hyperliquid.playback = Some(playback);
    let lines = "symbols = [\"ETH\"]\nchannels = [\"candles\"]\nintervals = [\"1m\"]";
    let desk = Desk::start(config, &Choice { hyperliquid: Some(lines), binance: None, retention: "" });
    let mut client = desk.client();
    subscribe(&mut client, "hyperliquid", "ETH");
    let truth = desk.sim.hyperliquid().candles("ETH", "1m", 0, i64::MAX).unwrap();
    assert!(truth.len() >= 360, "{}", truth.len());
    let truth: BTreeMap<u64, TruthCandle> =
        truth.into_iter().map(|candle| (candle.open_ms as u64 / 1000, candle)).collect();
    // A frame that comes before the subscription is shown to nobody.
    wait_for("a live stream", || {
        (client.request(&request("get_status")).ok()?.1.to_string().contains("\"live\"")).then_some(())
    });
    desk.sim.hyperliquid().start_playback().unwrap();
    let mut seen = Seen::default();
    // The last minute of the capture has nothing after it.
    seen.watch(&mut client, "every minute, as the venue has it", |seen| {
        seen.closed.len() + 1 >= truth.len()
            && seen.closed.iter().all(|((_, start), (candle, _))| equal(candle, &truth[start]))
    });
    assert!(seen.closed.values().all(|(_, count)| *count == 1));
    assert!(seen.revisions > 100, "{} corrections", seen.revisions);
    println!("{} minutes, {} corrections, {} open", seen.closed.len(), seen.revisions, seen.opens);
}
