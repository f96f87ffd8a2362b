//! Which symbols the Binance session carries, over which connections, and how that changes under way.

mod binance_venue;
mod support;

use binance_venue::{Venue, frames, info, list};
use codec::decimal::Price;
use codec::record::NO_INSTRUMENT;
use codec::words::{InstrumentStatus, Interval, Reason, State, Stream};
use engine::fetch::Query;
use engine::session::binance::BinanceSession;
use engine::session::settings::SymbolChoice;
use std::collections::{BTreeMap, BTreeSet};
use support::{Bench, settings};

const HOUR_MS: u64 = 3_600_000;
const INTERVALS: [Interval; 3] = [Interval::M15, Interval::H1, Interval::H4];
const ALL: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
const LIVE: Option<(State, Reason)> = Some((State::Live, Reason::None));
const UNKNOWN: Option<(State, Reason)> = Some((State::Down, Reason::UnknownSymbol));

/// A venue with markets for `symbols`, and a session told to carry `choice`.
fn venue_of(choice: SymbolChoice, symbols: &[&str], max_subscriptions: usize) -> Venue {
    let mut settings = settings(&[]);
    settings.symbols = choice;
    settings.streams = ALL.to_vec();
    settings.intervals = INTERVALS.to_vec();
    settings.max_messages_per_second = 5;
    settings.max_subscriptions = max_subscriptions;
    settings.book_levels_max = 64;
    Venue::new(Bench::new(BinanceSession::new(settings)), symbols, &INTERVALS)
}

fn listed(names: &[&str]) -> SymbolChoice {
    SymbolChoice::Listed(names.iter().map(|&name| name.to_owned()).collect())
}

fn lists_asked(venue: &Venue) -> usize {
    venue.fetches.iter().filter(|query| **query == Query::Instruments).count()
}

fn assert_states(venue: &Venue, instrument: u32, state: Option<(State, Reason)>) {
    for stream in ALL {
        assert_eq!(venue.witness.state(instrument, stream), state, "{instrument} {stream}");
    }
}

/// Streams subscribed over all connections.
fn subscribed(venue: &Venue) -> BTreeSet<String> {
    venue.wires.values().flat_map(|wire| wire.streams.iter().cloned()).collect()
}

#[test]
fn the_list_is_asked_for_every_hour_and_what_changed_is_told() {
    let mut venue = venue_of(listed(&["BTCUSDT", "ETHUSDT"]), &["BTCUSDT", "ETHUSDT"], 1024);
    venue.start();
    venue.run_ms(10_000, 50);
    assert_eq!(lists_asked(&venue), 1);
    venue.witness.forgive();
    venue.list.symbols[0].tick_size = Some(Price::from_raw(50_000_000));
    venue.list.symbols[1].status = InstrumentStatus::Halted;
    venue.run_ms(HOUR_MS, 100);
    assert_eq!(lists_asked(&venue), 2);
    let bodies = [0, 1].map(|instrument| *venue.bench.publisher.instrument(instrument).unwrap());
    assert_eq!(bodies[0].tick_size.raw(), 50_000_000);
    assert_eq!(bodies[1].status, InstrumentStatus::Halted.number());
    // One that is halted stays subscribed.
    venue.witness.assert_undisturbed();
    assert!(subscribed(&venue).contains("ethusdt@depth@100ms"));
}

#[test]
fn a_symbol_that_goes_is_unsubscribed_and_told_and_one_that_comes_is_carried() {
    let mut venue =
        venue_of(listed(&["BTCUSDT", "NEWUSDT", "OLDUSDT"]), &["BTCUSDT", "NEWUSDT", "OLDUSDT"], 1024);
    venue.list = list(&["BTCUSDT", "OLDUSDT"]);
    venue.start();
    venue.run_ms(10_000, 50);
    assert_states(&venue, 0, LIVE);
    assert_states(&venue, 1, UNKNOWN);
    assert_states(&venue, 2, LIVE);
    venue.witness.forgive();
    // One settles, the other is listed; the venue says that something happened.
    venue.list.symbols[1].status = InstrumentStatus::Delisted;
    venue.list.symbols.push(info("NEWUSDT", InstrumentStatus::Trading));
    let link = venue.link_of("!contractInfo").unwrap();
    frames::contract_info(&mut venue.bench, link, "NEWUSDT");
    venue.run_ms(10_000, 50);
    assert_states(&venue, 0, None);
    assert_states(&venue, 1, LIVE);
    assert_states(&venue, 2, UNKNOWN);
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection), None);
    let names = subscribed(&venue);
    assert!(names.iter().all(|name| !name.starts_with("oldusdt")), "{names:?}");
    assert_eq!(names.iter().filter(|name| name.starts_with("newusdt")).count(), 4 + INTERVALS.len());
    assert_eq!(venue.connects.len(), 2, "there was room");
    // A frame that was on its way changes nothing.
    venue.witness.forgive();
    frames::mark(&mut venue.bench, link, "OLDUSDT", 1_700_000_100_000);
    venue.run_ms(100, 50);
    venue.witness.assert_undisturbed();
    // And back.
    venue.list.symbols[1].status = InstrumentStatus::Trading;
    frames::contract_info(&mut venue.bench, link, "OLDUSDT");
    venue.run_ms(15_000, 50);
    assert_states(&venue, 2, LIVE);
}

#[test]
fn announcements_are_answered_once_in_ten_seconds() {
    let mut venue = venue_of(listed(&["BTCUSDT"]), &["BTCUSDT"], 1024);
    venue.start();
    venue.run_ms(30_000, 50);
    let link = venue.link_of("!contractInfo").unwrap();
    for _ in 0..300 {
        frames::contract_info(&mut venue.bench, link, "ANYUSDT");
        venue.run_ms(100, 50);
    }
    assert!((4..=5).contains(&lists_asked(&venue)), "{}", lists_asked(&venue));
    venue.run_ms(60_000, 50);
    assert!(lists_asked(&venue) <= 6, "at most one was pending");
}

#[test]
fn a_list_that_fails_or_is_empty_changes_nothing_and_is_asked_for_again() {
    for fault in 0..2 {
        let mut venue = venue_of(SymbolChoice::All, &["BTCUSDT"], 1024);
        venue.start();
        venue.run_ms(10_000, 50);
        venue.witness.forgive();
        let kept = std::mem::take(&mut venue.list.symbols);
        venue.faults.instruments_down = fault == 0;
        venue.run_ms(HOUR_MS + 30_000, 100);
        let asked = lists_asked(&venue);
        assert!(asked > 4, "{asked}");
        venue.witness.assert_undisturbed();
        (venue.list.symbols, venue.faults.instruments_down) = (kept, false);
        venue.run_ms(60_000, 100);
        assert!(lists_asked(&venue) <= asked + 1, "then an hour of rest");
        venue.witness.assert_undisturbed();
    }
}

#[test]
fn all_follows_the_venues_listings() {
    let names = ["BTCUSDT", "ETHUSDT", "XRPUSDT", "NEWUSDT"];
    let mut venue = venue_of(SymbolChoice::All, &names, 1024);
    venue.list = list(&["BTCUSDT", "ETHUSDT", "XRPUSDT", "TSLAUSDT", "BTCUSD_PERP", "HALTUSDT"]);
    venue.list.symbols[3].perpetual = false;
    venue.list.symbols[4].coin_margined = true;
    venue.list.symbols[5].status = InstrumentStatus::Halted;
    venue.start();
    venue.run_ms(10_000, 50);
    for instrument in 0..3 {
        assert_states(&venue, instrument, LIVE);
    }
    assert!(venue.bench.publisher.instrument(3).is_none(), "perpetual, trading, margined in USD only");
    venue.witness.forgive();
    // One is gone from the list altogether, a new one is there.
    venue.list.symbols.remove(1);
    venue.list.symbols.push(info("NEWUSDT", InstrumentStatus::Trading));
    venue.run_ms(HOUR_MS, 100);
    assert_states(&venue, 0, None);
    assert_states(&venue, 1, UNKNOWN);
    assert_states(&venue, 3, LIVE);
    assert_eq!(venue.bench.publisher.instrument(1).unwrap().status, InstrumentStatus::Delisted.number());
    assert_eq!(venue.bench.publisher.instrument(3).unwrap().symbol(), "NEWUSDT");
    assert!(subscribed(&venue).iter().all(|name| !name.starts_with("ethusdt")));
}

fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("C{number}USDT")).collect()
}

/// No more than so many in any second.
fn busiest_second(times_ms: &[u64]) -> usize {
    times_ms
        .iter()
        .enumerate()
        .map(|(first, start)| times_ms[first..].iter().take_while(|time| **time < start + 1_000).count())
        .max()
        .unwrap_or(0)
}

#[test]
fn eight_hundred_symbols_keep_every_limit() {
    let names = many(800);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut venue = venue_of(SymbolChoice::All, &[], 1024);
    venue.list = list(&names);
    venue.start();
    venue.run_ms(4_500, 10);
    assert!(venue.wires.len() <= 8, "few connections: {}", venue.wires.len());
    let mut carried = BTreeMap::new();
    for (link, wire) in &venue.wires {
        assert!(wire.streams.len() <= 1024, "link {link}: {}", wire.streams.len());
        let public = |name: &String| name.ends_with("@depth@100ms") || name.ends_with("@bookTicker");
        assert!(wire.streams.iter().all(|name| public(name) == wire.public), "each on its route");
        if !wire.public {
            let beats = wire.streams.iter().any(|name| name.ends_with("@markPrice@1s"));
            assert!(beats, "link {link} has a heartbeat");
        }
        for name in &wire.streams {
            *carried.entry(name.clone()).or_insert(0) += 1;
        }
    }
    let wanted =
        ["@depth@100ms", "@bookTicker", "@aggTrade", "@markPrice@1s", "@kline_15m", "@kline_1h", "@kline_4h"];
    for name in &names {
        for suffix in wanted {
            assert!(carried.contains_key(&format!("{}{suffix}", name.to_lowercase())), "{name}{suffix}");
        }
    }
    assert_eq!(carried["!contractInfo"], 1);
    // The venue says nothing, so every connection is made anew over and over.
    venue.run_ms(120_000, 10);
    for (link, times) in &venue.sends {
        assert!(busiest_second(times) <= 5, "link {link}: {} in a second", busiest_second(times));
    }
    let connects: Vec<_> = venue.connects.iter().map(|(time, _)| *time).collect();
    assert!(busiest_second(&connects) <= 6, "{}", busiest_second(&connects));
    assert!(connects.len() > 20);
    // One market connection, so that candles need not be torn apart.
    for name in &names {
        let of = |wire: &&binance_venue::Wire| {
            wire.streams.contains(&format!("{}@kline_15m", name.to_lowercase()))
        };
        if let Some(wire) = venue.wires.values().find(of) {
            assert!(wire.streams.contains(&format!("{}@kline_4h", name.to_lowercase())));
        }
    }
}

#[test]
fn what_does_not_fit_is_shed_from_the_end_candles_first() {
    let names = many(300);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    // 32 connections of 40 streams: 1,280 places for 2,100 streams.
    let mut venue = venue_of(SymbolChoice::All, &[], 40);
    venue.list = list(&names);
    venue.start();
    venue.run_ms(12_000, 10);
    let shed = Some((State::Down, Reason::Shed));
    let is_shed = |stream| {
        (0..300u32).map(|instrument| venue.witness.state(instrument, stream) == shed).collect::<Vec<_>>()
    };
    let (books, candles) = (is_shed(Stream::Orderbook), is_shed(Stream::Candles));
    for shed in [&books, &candles] {
        assert!(shed.windows(2).all(|pair| pair[0] <= pair[1]), "the last ones");
    }
    let kept = |shed: &[bool]| shed.iter().filter(|shed| !**shed).count();
    assert!(kept(&books) > 280 && kept(&candles) < kept(&books), "{} {}", kept(&books), kept(&candles));
    assert!(venue.bench.events.iter().any(|event| event.what.contains("left out")));
    assert!(venue.wires.values().all(|wire| wire.streams.len() <= 40));
}

#[test]
fn a_new_listing_without_room_gets_a_connection_of_its_own_and_the_venue_stays_live() {
    let mut venue = venue_of(SymbolChoice::All, &["BTCUSDT", "ETHUSDT"], 9);
    venue.list = list(&["BTCUSDT"]);
    venue.start();
    venue.run_ms(10_000, 50);
    assert_eq!(venue.wires.len(), 2);
    venue.witness.forgive();
    venue.list = list(&["BTCUSDT", "ETHUSDT"]);
    venue.run_ms(HOUR_MS, 100);
    assert_states(&venue, 1, LIVE);
    assert_states(&venue, 0, None);
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection), None);
    assert!(venue.wires.len() > 2);
    assert!(venue.wires.values().all(|wire| wire.streams.len() <= 9));
    // And goes with it.
    venue.list = list(&["BTCUSDT"]);
    venue.run_ms(HOUR_MS, 100);
    assert_states(&venue, 1, UNKNOWN);
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection), None);
}
