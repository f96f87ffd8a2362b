//! Connections of the Binance session over days: replaced without a loss, whatever fails meanwhile.

mod binance_venue;
mod support;

use binance_venue::Venue;
use codec::record::NO_INSTRUMENT;
use codec::words::{Interval, Reason, State, Stream};
use engine::fetch::Query;
use engine::session::binance::BinanceSession;
use std::collections::BTreeSet;
use support::{Bench, settings};

const HOUR_MS: u64 = 3_600_000;
const INTERVALS: [Interval; 2] = [Interval::M1, Interval::M15];

fn venue(symbols: &[&str]) -> Venue {
    let mut settings = settings(symbols);
    settings.streams =
        vec![Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
    settings.intervals = INTERVALS.to_vec();
    settings.max_messages_per_second = 5;
    Venue::new(Bench::new(BinanceSession::new(settings)), symbols, &INTERVALS)
}

/// Started, and everything live.
fn live(symbols: &[&str]) -> Venue {
    let mut venue = venue(symbols);
    venue.start();
    venue.run_ms(5_000, 10);
    for instrument in 0..symbols.len() as u32 {
        for stream in [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding] {
            let state = venue.witness.state(instrument, stream).map(|(state, _)| state.as_str());
            assert_eq!(state, Some("live"), "{instrument} {stream}");
        }
    }
    assert_eq!(venue.wires.len(), 2);
    venue.witness.forgive();
    venue
}

fn assert_whole(venue: &Venue) {
    venue.witness.assert_undisturbed();
    venue.witness.assert_trades(&venue.markets);
    venue.witness.assert_candles(&venue.markets);
    assert_eq!(venue.cut, 0, "connections the venue had to cut");
}

/// Links of the public route that are open.
fn public(venue: &Venue) -> Vec<u8> {
    venue.wires.iter().filter(|(_, wire)| wire.public).map(|(link, _)| *link).collect()
}

/// Runs until two connections deliver the public streams.
fn until_overlap(venue: &mut Venue) {
    // Nothing happens at one age: the draw is for each connection.
    while public(venue).len() < 2 {
        venue.run_ms(1_000, 1_000);
        assert!(venue.now_ms() - venue.wires[&0].opened_ms < 24 * HOUR_MS);
    }
    venue.run_ms(500, 10);
}

#[test]
fn forty_eight_hours_pass_without_a_gap_or_a_state() {
    let mut venue = live(&["BTCUSDT", "ETHUSDT", "XRPUSDT"]);
    // New connections are by turns faster and slower than those they replace.
    venue.latencies_ms = vec![0, 300, 100];
    // Ticks are ten times rarer than in the daemon: that only makes everything later.
    venue.run_ms(48 * HOUR_MS, 100);
    assert_whole(&venue);
    assert!(venue.connects.len() >= 6, "two a day and route: {:?}", venue.connects);
    assert_eq!(venue.wires.len(), 2);
    let candles = venue.witness.assert_candles(&venue.markets);
    assert!(candles > 3 * 48 * 60, "{candles}");
    println!("{} books compared, {candles} candles", venue.witness.compared);
}

#[test]
fn a_faster_and_a_slower_successor_lose_nothing() {
    for latencies in [[0, 400], [400, 0], [0, 1_500], [1_500, 0]] {
        let slow = latencies.contains(&1_500);
        let mut venue = venue(&["BTCUSDT", "ETHUSDT"]);
        // Connections are counted from one: both old ones have the second figure, both new ones the first.
        venue.latencies_ms = vec![latencies[1]];
        venue.trade_every_ms = 50;
        venue.start();
        venue.run_ms(10_000, 10);
        venue.witness.forgive();
        venue.latencies_ms = vec![latencies[0]];
        until_overlap(&mut venue);
        venue.run_ms(20_000, 10);
        assert_eq!(public(&venue), [1], "{latencies:?}");
        venue.run_ms(HOUR_MS, 100);
        if slow {
            // A book that is more than a second behind its quote is stale until it has caught up: that is true.
            let behind = [(State::Stale, Reason::BehindQuote), (State::Live, Reason::None)];
            venue
                .witness
                .statuses
                .retain(|told| told.1 != Stream::Orderbook || !behind.contains(&(told.2, told.3)));
            assert!(venue.fetches.iter().filter(|query| matches!(query, Query::Book { .. })).count() <= 2);
        }
        assert_whole(&venue);
    }
}

#[test]
fn the_old_connection_dies_in_the_overlap_and_the_new_one_carries_on() {
    let mut venue = live(&["BTCUSDT", "ETHUSDT"]);
    until_overlap(&mut venue);
    venue.close(0);
    venue.run_ms(10_000, 10);
    assert_eq!(public(&venue), [1]);
    venue.run_ms(40 * HOUR_MS, 1_000);
    assert_whole(&venue);
}

#[test]
fn the_old_connection_falls_silent_in_the_overlap_and_the_new_one_takes_over() {
    let mut venue = live(&["BTCUSDT"]);
    until_overlap(&mut venue);
    venue.faults.silent.insert(0);
    venue.run_ms(20_000, 10);
    assert_eq!(public(&venue), [1]);
    assert_whole(&venue);
}

#[test]
fn what_the_new_connection_does_not_have_yet_is_lost_with_the_old_one_and_comes_back() {
    let mut venue = live(&["BTCUSDT"]);
    venue.latencies_ms = vec![2_000];
    until_overlap(&mut venue);
    venue.close(0);
    assert_eq!(public(&venue), [1]);
    venue.run_ms(10, 10);
    assert_eq!(venue.witness.state(0, Stream::Orderbook).unwrap().0, State::Warming.max(State::Resyncing));
    assert_eq!(venue.witness.state(0, Stream::Trades), None, "its connection is another");
    venue.run_ms(10_000, 10);
    for stream in [Stream::Orderbook, Stream::Quotes] {
        assert_eq!(venue.witness.state(0, stream).unwrap().0, State::Live, "{stream}");
    }
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection), None, "the venue stays live");
    venue.witness.forgive();
    venue.run_ms(30 * HOUR_MS, 1_000);
    assert_whole(&venue);
}

#[test]
fn what_only_the_new_connection_has_acknowledged_is_live_when_the_old_one_dies() {
    let mut venue = venue(&["BTCUSDT"]);
    // Nothing is traded, and so nothing but the acknowledgement shows that a stream is there.
    venue.trade_every_ms = 0;
    venue.faults.mute.extend(INTERVALS.map(|interval| format!("btcusdt@kline_{interval}")));
    venue.faults.acks_to_lose.insert(2, 1_000);
    venue.start();
    for _ in 0..600 {
        venue.run_ms(100, 10);
        if venue.wires.contains_key(&3) {
            break;
        }
    }
    for stream in [Stream::Trades, Stream::Candles] {
        assert_eq!(venue.witness.state(0, stream), Some((State::Warming, Reason::Subscribing)), "{stream}");
    }
    venue.run_ms(500, 10);
    venue.close(2);
    venue.run_ms(5_000, 10);
    assert!(!venue.wires.contains_key(&2), "the new one stays");
    for stream in [Stream::Trades, Stream::Candles, Stream::Funding] {
        assert_eq!(venue.witness.state(0, stream), Some((State::Live, Reason::None)), "{stream}");
    }
}

#[test]
fn the_new_connection_dies_and_the_old_one_stays_until_it_works() {
    let mut venue = live(&["BTCUSDT", "ETHUSDT"]);
    until_overlap(&mut venue);
    venue.close(1);
    assert_eq!(public(&venue), [0]);
    let tried = venue.connects.len();
    venue.run_ms(3_000, 100);
    assert_eq!(venue.connects.len(), tried, "not at once");
    venue.run_ms(180_000, 100);
    assert_eq!(public(&venue), [1]);
    assert_whole(&venue);
}

#[test]
fn what_a_successor_was_ahead_with_is_not_lost_when_it_dies() {
    let mut venue = venue(&["BTCUSDT", "ETHUSDT"]);
    // The old connections are slow, the new ones are at once: those are ahead of the old ones all the time.
    venue.latencies_ms = vec![600];
    venue.trade_every_ms = 250;
    venue.start();
    venue.run_ms(10_000, 10);
    venue.witness.forgive();
    venue.latencies_ms = vec![0];
    let mut died = BTreeSet::new();
    while died.len() < 2 {
        let successor =
            [1, 3].into_iter().find(|link| venue.wires.contains_key(link) && !died.contains(link));
        let Some(link) = successor else {
            venue.run_ms(1_000, 1_000);
            assert!(venue.now_ms() - venue.wires[&0].opened_ms < 24 * HOUR_MS);
            continue;
        };
        venue.run_ms(1_000, 10);
        venue.close(link);
        died.insert(link);
        venue.run_ms(5_000, 10);
        assert_whole(&venue);
    }
    venue.run_ms(20_000, 10);
    assert_whole(&venue);
}

#[test]
fn a_new_connection_that_never_gets_ready_is_given_up_and_tried_again() {
    // Its acknowledgements are lost; it is refused a stream that the old one has; it is silent.
    for fault in 0..3 {
        let mut venue = live(&["BTCUSDT"]);
        until_overlap_begins(&mut venue, |venue| match fault {
            0 => drop(venue.faults.acks_to_lose.insert(1, 1_000)),
            1 => drop(venue.faults.refused.insert("btcusdt@depth@100ms".into())),
            _ => drop(venue.faults.silent.insert(1)),
        });
        venue.run_ms(130_000, 100);
        assert!(public(&venue).contains(&0), "fault {fault}");
        assert!(venue.closed.contains(&1), "fault {fault}");
        venue.faults = Default::default();
        venue.run_ms(700_000, 100);
        assert_eq!(public(&venue), [1], "fault {fault}");
        assert_whole(&venue);
    }
}

/// Runs until just before the public connection is replaced, then lets `prepare` set the faults.
fn until_overlap_begins(venue: &mut Venue, prepare: impl FnOnce(&mut Venue)) {
    // The earliest it can be.
    venue.run_ms(22 * HOUR_MS + HOUR_MS / 2 - 60_000, 1_000);
    prepare(venue);
    while !venue.connects.iter().any(|(_, link)| *link == 1) {
        venue.run_ms(1_000, 100);
    }
}

#[test]
fn when_no_rotation_succeeds_the_cut_is_an_ordinary_reconnect() {
    let mut venue = live(&["BTCUSDT"]);
    venue.run_ms(22 * HOUR_MS, 1_000);
    venue.faults.refuse_connections = true;
    let tried = venue.connects.len();
    venue.run_ms(2 * HOUR_MS - 60_000, 1_000);
    venue.witness.assert_undisturbed();
    assert_eq!(venue.cut, 0);
    let tries = venue.connects.len() - tried;
    assert!((8..=40).contains(&tries), "{tries} tries of two connections in an hour and a half");
    venue.run_ms(60_000, 100);
    assert_eq!(venue.cut, 2);
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection).unwrap().0, State::Down);
    venue.faults.refuse_connections = false;
    venue.run_ms(60_000, 100);
    for stream in [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding] {
        assert_eq!(venue.witness.state(0, stream).unwrap().0, State::Live, "{stream}");
    }
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection).unwrap().0, State::Live);
}
