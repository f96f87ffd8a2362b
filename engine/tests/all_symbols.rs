//! `symbols = "all"` at both venues, for two days of virtual time: every book live, every limit kept as the venues
//! count them, connections replaced before their 24 hours, and nothing lost.

mod support;
mod virtual_desk;

use codec::record::{Kind, Record};
use codec::words::{Interval, Reason, State, Stream, Venue};
use engine::session::binance::BinanceSession;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::{Settings, SymbolChoice};
use sim::{ByHand, Config};
use std::collections::{BTreeMap, BTreeSet};
use support::settings;
use virtual_desk::{Place, Shape, VirtualDesk};

/// 2026-11-22 11:00 UTC.
const START_MS: i64 = 1_795_345_200_000;
const INTERVALS: [(Interval, u32); 3] = [(Interval::M15, 20), (Interval::H1, 20), (Interval::H4, 20)];
const HOUR_MS: u64 = 3_600_000;
/// Of one more each that the venue lists: that one is delisted.
const COINS: usize = 240;
const PERPETUALS: usize = 800;

/// What the streams say, at a glance.
#[derive(Default)]
struct Seen {
    books: BTreeMap<u32, (State, Reason)>,
    instruments: BTreeSet<u32>,
    gaps: Vec<(u64, Option<Stream>, Option<Reason>)>,
    /// Books that were live and are not.
    falls: Vec<(u64, u32, Reason)>,
    connection: Vec<(u64, State)>,
    last_closed: BTreeMap<(u32, u8), u64>,
    closes: u64,
    trades: u64,
    at_ms: u64,
}

impl Seen {
    fn take(&mut self, record: Record<'_>) {
        let header = record.header();
        match record.kind() {
            Kind::Instrument => {
                self.instruments.insert(header.instrument);
            }
            Kind::Trade => self.trades += 1,
            Kind::Gap => {
                self.gaps.push((self.at_ms, header.stream(), record.gap().unwrap().reason()));
            }
            Kind::Status => {
                let status = record.status().unwrap();
                let state = (status.state().unwrap(), status.reason().unwrap());
                if header.stream() == Some(Stream::Orderbook) {
                    let before = self.books.insert(header.instrument, state);
                    if before.is_some_and(|(before, _)| before == State::Live) && state.0 != State::Live {
                        self.falls.push((self.at_ms, header.instrument, state.1));
                    }
                }
                if header.stream() == Some(Stream::Connection) {
                    self.connection.push((self.at_ms, state.0));
                }
            }
            Kind::Candle => {
                let body = record.candle().unwrap();
                if (body.closed, body.revised) == (1, 0) {
                    let interval = body.interval().unwrap();
                    let start_ms = body.start_ns / 1_000_000;
                    let last = self.last_closed.insert((header.instrument, body.interval), start_ms);
                    let follows = last.is_none_or(|last| interval.next_start_ms(last) == start_ms);
                    assert!(follows, "{interval} of {} after {last:?}: {start_ms}", header.instrument);
                    self.closes += 1;
                }
            }
            _ => {}
        }
    }

    fn live_books(&self) -> usize {
        self.books.values().filter(|(state, _)| *state == State::Live).count()
    }
}

fn all(url: &str, streams: &[Stream], seed: u64) -> Settings {
    Settings {
        websocket_url: url.to_owned(),
        symbols: SymbolChoice::All,
        streams: streams.to_vec(),
        intervals: INTERVALS.map(|(interval, _)| interval).to_vec(),
        book_levels_max: 256,
        orderbook_depth: 20,
        // Here books and contexts come every minute.
        stale_after_ms: Some(200_000),
        seed,
        ..settings(&[])
    }
}

fn shape(streams: &[Stream], weight_per_minute: u32) -> Shape {
    Shape { intervals: INTERVALS.to_vec(), streams: streams.to_vec(), symbols: Vec::new(), weight_per_minute }
}

/// Some hours; finely at first, while everything begins, then four seconds at a time.
fn run(desk: &mut VirtualDesk, seen: &mut Seen, until_ms: u64, step_ms: u64) {
    let start_ms = START_MS as u64;
    while desk.now_ms() - start_ms < until_ms {
        seen.at_ms = desk.now_ms() - start_ms;
        desk.step(step_ms, |record| seen.take(record));
    }
}

fn check_limits(desk: &VirtualDesk) {
    let counters = desk.seats[0].venue.counters();
    println!("{} used at most {:?}", desk.seats[0].which, counters.limit_used_max);
    assert!(counters.limit_violations.values().all(|count| *count == 0), "{:?}", counters.limit_violations);
}

#[test]
fn all_coins_of_hyperliquid_for_two_days() {
    let streams = [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
    let venue = ByHand::hyperliquid(&Config::universe(0, COINS + 1), START_MS).unwrap();
    let own = Settings { max_subscriptions: 1000, ..all("wss://venue/ws", &streams, 5) };
    let session = HyperliquidSession::new(own, BookSources::Both);
    let mut desk = VirtualDesk::single(Place {
        which: Venue::Hyperliquid,
        venue: Box::new(venue),
        session: Box::new(session),
        shape: shape(&streams, 1000),
        files: None,
    });
    let mut seen = Seen::default();
    run(&mut desk, &mut seen, HOUR_MS / 4, 200);
    assert_eq!(seen.live_books(), COINS, "{}", desk.log());
    run(&mut desk, &mut seen, 48 * HOUR_MS, 4_000);
    println!("{} closes, {} trades, {} connections", seen.closes, seen.trades, desk.connects());
    check_limits(&desk);
    assert_eq!(seen.live_books(), COINS);
    assert_eq!(
        (seen.gaps.len(), seen.falls.len()),
        (0, 0),
        "{:?} {:?}\n{}",
        seen.gaps,
        seen.falls,
        desk.log()
    );
    assert_eq!(desk.connects(), 2, "nothing is made anew without need");
    // Every quarter, hour and four hours of every coin.
    assert!(seen.closes >= (COINS * (190 + 46 + 11)) as u64, "{}", seen.closes);
    assert!(seen.last_closed.len() == COINS * INTERVALS.len());
}

#[test]
fn all_perpetuals_of_binance_for_two_days() {
    // Quotes would show that these slow books are behind.
    let streams = [Stream::Orderbook, Stream::Trades, Stream::Candles, Stream::Funding];
    let venue = ByHand::binance(&Config::universe(PERPETUALS + 1, 0), START_MS).unwrap();
    let own =
        Settings { max_subscriptions: 1024, max_messages_per_second: 5, ..all("wss://venue", &streams, 5) };
    let mut desk = VirtualDesk::single(Place {
        which: Venue::Binance,
        venue: Box::new(venue),
        session: Box::new(BinanceSession::new(own)),
        shape: shape(&streams, 1800),
        files: None,
    });
    let mut seen = Seen::default();
    run(&mut desk, &mut seen, HOUR_MS / 2, 200);
    assert_eq!(seen.live_books(), PERPETUALS, "{}", desk.log());
    let connected = desk.connects();
    // Five of them; the books of this market are so slow to come that some are asked for on another one.
    assert!((5..=10).contains(&connected), "{connected} connections");
    run(&mut desk, &mut seen, 48 * HOUR_MS, 4_000);
    println!("{} closes, {} trades, {} connections", seen.closes, seen.trades, desk.connects());
    check_limits(&desk);
    assert_eq!(seen.live_books(), PERPETUALS);
    assert_eq!(
        (seen.gaps.len(), seen.falls.len()),
        (0, 0),
        "{:?} {:?}\n{}",
        seen.gaps,
        seen.falls,
        desk.log()
    );
    // Each replaced twice, none cut for its age.
    let replaced = desk.connects() - connected;
    assert!((10..=2 * connected).contains(&replaced), "{replaced} replaced");
    assert_eq!(desk.seats[0].venue.counters().connections_aged_out, 0);
    // Live once, and ever since.
    let states: Vec<_> = seen.connection.iter().map(|(_, state)| *state).collect();
    assert_eq!(states.iter().filter(|state| **state == State::Live).count(), 1, "{:?}", seen.connection);
    assert_eq!(states.last(), Some(&State::Live));
    assert!(seen.closes >= (PERPETUALS * (190 + 46 + 11)) as u64, "{}", seen.closes);
    assert!(seen.last_closed.len() == PERPETUALS * INTERVALS.len());
}
