//! The Hyperliquid session before a scripted venue that refuses: in words, by its limits, by silence, by death of
//! the connection, and by accidents that only look like it.

mod hyperliquid_venue;
mod support;

use codec::words::{Reason, State, Stream};
use engine::session::settings::Settings;
use hyperliquid_venue::{CTX, Venue, all, perp};
use support::settings;

const PROBE: u8 = 2;

fn of_coins(count: usize) -> Venue {
    let coins = (0..count).map(|number| perp(&format!("C{number}"))).collect();
    let mut venue = Venue::new(all(settings(&[])), coins);
    venue.sends_ctx = true;
    venue
}

/// All subscriptions of a coin with everything.
const EACH: usize = 8;

#[test]
fn a_trial_that_hangs_ends_like_one_that_dies() {
    let mut venue = of_coins(4);
    venue.fatal.insert("C0".to_owned());
    venue.mute.insert(r#""bbo","coin":"C3""#);
    let mut venue = venue.start();
    venue.pass_ms(600_000);
    for coin in ["C1", "C2"] {
        assert_eq!(venue.with(&format!("\"{coin}\"")), EACH, "{coin}");
    }
    assert_eq!(venue.state(3, Stream::Quotes), (State::Down, Reason::Rejected));
    assert_eq!(venue.state(3, Stream::Trades), (State::Live, Reason::None));
}

#[test]
fn a_refusal_in_words_on_trial_condemns_that_one_only() {
    let mut venue = of_coins(4);
    venue.fatal.insert("C0".to_owned());
    venue.refused = Some(r#""trades","coin":"C3""#);
    let mut venue = venue.start();
    venue.pass_ms(600_000);
    assert_eq!(venue.state(3, Stream::Trades), (State::Down, Reason::Rejected));
    assert_eq!(venue.with("\"C3\""), EACH - 1);
    assert_eq!(venue.with("\"C2\""), EACH);
    assert_eq!(venue.state(0, Stream::Trades), (State::Down, Reason::Rejected));
}

#[test]
fn what_the_venue_has_no_room_for_is_shed_until_the_next_refresh() {
    let mut venue = of_coins(5);
    venue.takes_max = 30;
    let mut venue = venue.start();
    venue.pass_ms(120_000);
    assert_eq!(venue.subscribed().len(), 30);
    assert_eq!(venue.limit_errors, 5 * EACH - 30, "each asked for once");
    assert!(venue.links.values().all(|link| link.generation == 1));
    let shed = venue.states.values().filter(|state| **state == (State::Down, Reason::Shed)).count();
    assert!(shed > 0);
    venue.takes_max = usize::MAX;
    venue.pass_ms(600_000);
    assert_eq!(venue.subscribed().len(), 5 * EACH);
    assert!(venue.links.values().all(|link| link.generation == 1));
    for ((instrument, stream), (_, reason)) in &venue.states {
        assert!(*reason != Reason::Shed, "stream {stream} of {instrument}");
    }
    assert_eq!(venue.state(4, Stream::Candles), (State::Live, Reason::None));
}

#[test]
fn after_too_many_messages_nothing_is_sent_for_a_while() {
    let mut venue = of_coins(2).start();
    venue.pass_ms(20_000);
    let pings = |venue: &Venue| venue.links.values().map(|link| link.pings).sum::<usize>();
    assert_eq!(pings(&venue), 0);
    venue.say(0, r#"{"channel":"error","data":"Cannot send more than 2000 messages per minute."}"#);
    venue.pass_ms(15_000);
    assert_eq!(pings(&venue), 0);
    venue.pass_ms(10_000);
    assert_eq!(pings(&venue), 2);
    assert!(venue.links.values().all(|link| link.generation == 1));
}

#[test]
fn a_subscription_that_is_never_acknowledged_costs_one_connection_and_is_left_out() {
    let mut venue = of_coins(3);
    venue.mute.insert(r#""trades","coin":"C1""#);
    let mut venue = venue.start();
    venue.pass_ms(300_000);
    assert_eq!(venue.links[&0].generation, 2);
    assert_eq!(venue.state(1, Stream::Trades), (State::Down, Reason::Rejected));
    assert_eq!(venue.state(2, Stream::Trades), (State::Live, Reason::None));
    assert_eq!(venue.state(1, Stream::Orderbook), (State::Live, Reason::None));
    // With the lists it is tried again, and nothing is cut for it.
    venue.pass_ms(600_000);
    assert_eq!(venue.links[&0].generation, 2);
    venue.mute.clear();
    venue.pass_ms(620_000);
    assert_eq!(venue.state(1, Stream::Trades), (State::Live, Reason::None));
}

#[test]
fn candles_are_live_without_the_interval_that_is_refused() {
    let mut venue = of_coins(1);
    venue.refused = Some("\"1h\"");
    let mut venue = venue.start();
    venue.cut(0);
    venue.read();
    assert_eq!(venue.state(0, Stream::Candles).0, State::Down);
    venue.pass_ms(10_000);
    assert_eq!(venue.state(0, Stream::Candles), (State::Live, Reason::None));
}

#[test]
fn funding_that_dies_on_a_living_connection_is_asked_for_again() {
    let mut venue = of_coins(1).start();
    venue.sends_ctx = false;
    venue.say(0, &format!(r#"{{"channel":"activeAssetCtx","data":{{"coin":"C0","ctx":{CTX}}}}}"#));
    venue.sent.clear();
    venue.pass_ms(45_000);
    let texts: Vec<_> = venue.sent.iter().map(|(_, text)| text).collect();
    let [gone, again] = texts[..] else { panic!("{texts:?}") };
    assert!(gone.contains("\"unsubscribe\"") && gone.contains("activeAssetCtx"));
    assert!(again.contains("\"subscribe\"") && again.contains("activeAssetCtx"));
    assert_eq!(venue.links[&0].generation, 1);
    venue.pass_ms(60_000);
    assert_eq!(venue.links[&0].generation, 2, "that did not help");
    venue.pass_ms(1_500_000);
    assert_eq!(venue.links[&0].generation, 2, "and not again and again");
}

#[test]
fn bulk_funding_that_dies_is_asked_for_again() {
    let mut venue = of_coins(240).start();
    venue.pass_ms(30_000);
    let ctxs = vec![CTX; 240].join(",");
    venue.say(0, &format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[["",[{ctxs}]]]}}}}"#));
    venue.sent.clear();
    venue.pass_ms(140_000);
    let texts: Vec<_> = venue.sent.iter().map(|(_, text)| text).collect();
    let [gone, again] = texts[..] else { panic!("{texts:?}") };
    assert!(gone.contains("\"unsubscribe\"") && again.contains("allDexsAssetCtxs"));
}

/// A lone suspect on trial.
fn on_trial() -> Venue {
    let settings = Settings { streams: vec![Stream::Trades], ..settings(&["BTC", "ETH"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC"), perp("ETH")]);
    venue.fatal.insert("ETH".to_owned());
    let mut venue = venue.start();
    venue.fatal.clear();
    next_trial(&mut venue);
    venue
}

fn next_trial(venue: &mut Venue) {
    for _ in 0..3_000 {
        if venue.links.get(&PROBE).is_some_and(|link| !link.subscribed.is_empty()) {
            return;
        }
        venue.pass_ms(10);
    }
    panic!("no trial");
}

#[test]
fn one_death_on_trial_is_an_accident_and_two_are_not() {
    let mut venue = on_trial();
    venue.cut(PROBE);
    venue.pass_ms(60_000);
    assert_eq!(venue.state(1, Stream::Trades), (State::Live, Reason::None));

    let mut venue = on_trial();
    venue.cut(PROBE);
    next_trial(&mut venue);
    venue.cut(PROBE);
    venue.pass_ms(60_000);
    assert_eq!(venue.state(1, Stream::Trades), (State::Down, Reason::Rejected));
}

#[test]
fn a_trial_that_ends_when_the_network_falls_shows_nothing() {
    for wait_ms in [0, 500] {
        let mut venue = on_trial();
        for _ in 0..2 {
            assert!(venue.links.contains_key(&0));
            venue.cut(PROBE);
            venue.pass_ms(wait_ms);
            venue.cut(0);
            next_trial(&mut venue);
        }
        venue.pass_ms(60_000);
        assert_eq!(venue.state(1, Stream::Trades), (State::Live, Reason::None), "{wait_ms}");
    }
}
