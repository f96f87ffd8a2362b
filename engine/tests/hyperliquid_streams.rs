//! The Hyperliquid session without sockets, before a scripted venue: candles, funding, fills, the limits on
//! subscriptions, those that kill their connection, and lists that change.

mod hyperliquid_venue;
mod support;

use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Size};
use codec::record::{Kind, NO_INSTRUMENT, NONE_I64};
use codec::words::{Interval, Reason, State, Stream};
use engine::fetch::{Answer, FetchError, Query};
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::Settings;
use engine::session::{Action, CandleSeed, Session};
use hyperliquid_venue::{ACCOUNT, EVERYTHING, Venue, all, candle_frame, perp};
use std::collections::BTreeSet;
use support::{Bench, settings};

#[test]
fn a_candle_is_open_closed_and_corrected_by_rest() {
    let settings =
        Settings { streams: vec![Stream::Candles], intervals: vec![Interval::M1], ..settings(&["BTC"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    assert_eq!(venue.state(0, Stream::Candles), (State::Live, Reason::None));
    let start = venue.venue_ms() / 60_000 * 60_000;
    venue.say(0, &candle_frame("BTC", "1m", start, 60_000, 101, 3));
    venue.say(0, &candle_frame("BTC", "1m", start, 60_000, 102, 5));
    venue.pass_ms(start + 60_000 - venue.venue_ms());
    venue.say(0, &candle_frame("BTC", "1m", start + 60_000, 60_000, 103, 1));
    let said: Vec<_> =
        venue.candles.iter().map(|(_, candle, closed, _)| (candle.num_trades, *closed)).collect();
    assert_eq!(said, [(3, 0), (5, 0), (5, 1), (1, 0)]);
    venue.pass_ms(10_000);
    let asked = venue.queries.iter().find_map(|query| match query {
        Query::Candles { start_ms, interval, .. } => Some((*start_ms, *interval)),
        _ => None,
    });
    assert_eq!(asked, Some((start, Interval::M1)));
}

#[test]
fn rest_answers_find_their_series() {
    let settings = Settings {
        streams: vec![Stream::Candles],
        intervals: vec![Interval::M1, Interval::M5],
        ..settings(&["BTC"])
    };
    let mut venue = Venue::new(settings, vec![perp("BTC")]);
    venue.bench.with(Session::on_start);
    let start = venue.venue_ms() / 300_000 * 300_000;
    // Both are short, and nothing is answered but by hand.
    venue.pass_ms(100);
    for (name, length) in [("1m", 60_000), ("5m", 300_000)] {
        venue.say(0, &candle_frame("BTC", name, start, length, 101, 3));
        let passed = start + length - venue.venue_ms();
        venue.pass_ms(passed);
        venue.say(0, &candle_frame("BTC", name, start + length, length, 101, 3));
    }
    venue.candles.clear();
    venue.pass_ms(6_000);
    for request in std::mem::take(&mut venue.unanswered) {
        let Query::Candles { interval, start_ms, .. } = request.query else { continue };
        assert_eq!(start_ms, start);
        let end_ms = interval.next_start_ms(start) - 1;
        let candle = Candle::of_trade(start, Price::from_raw(7), Size::from_raw(interval.number().into()));
        let rows = vec![CandleRow { start_ms: start, end_ms, candle: Some(candle) }];
        venue.bench.answer(request, Ok(Answer::Candles(rows)));
    }
    venue.read();
    let revised: Vec<_> = venue
        .candles
        .iter()
        .filter(|(.., revised)| *revised == 1)
        .map(|(interval, candle, ..)| (*interval, candle.volume.raw()))
        .collect();
    assert!(revised.contains(&(Interval::M1, Interval::M1.number().into())), "{revised:?}");
    assert!(revised.contains(&(Interval::M5, Interval::M5.number().into())), "{revised:?}");
}

#[test]
fn funding_of_a_perp_and_of_a_spot_pair() {
    let settings = Settings { streams: vec![Stream::Funding], ..settings(&["BTC", "@107"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    assert_eq!(venue.state(0, Stream::Funding), (State::Warming, Reason::AwaitingData));
    venue.say(0, r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.9646","premium":null,"oraclePx":"84198.0","markPx":"84148.0","midPx":null,"impactPxs":null}}}"#);
    venue.say(0, r#"{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{"dayNtlVlm":"1.0","prevDayPx":"41.0","markPx":"41.25","midPx":null,"circulatingSupply":"1.0","totalSupply":"1.0","coin":"@107","dayBaseVlm":"1.0"}}}"#);
    let [perp, spot] = venue.funding[..] else { panic!("{:?}", venue.funding) };
    assert_eq!((perp.rate.raw(), perp.interval_hours), (1_895_200, 1));
    assert_eq!(perp.next_funding_ns % 3_600_000_000_000, 0);
    assert_eq!((spot.rate.raw(), spot.mark_price.to_f64(), spot.interval_hours), (NONE_I64, 41.25, 0));
    assert_eq!(venue.state(0, Stream::Funding), (State::Live, Reason::None));
    venue.pass_ms(12_000);
    assert_eq!(venue.state(1, Stream::Funding), (State::Stale, Reason::Silence));
}

fn fills(is_snapshot: bool, tids: &[u64]) -> String {
    let rows: Vec<_> = tids
        .iter()
        .map(|tid| {
            format!(r#"{{"coin":"{}","px":"100.5","sz":"0.25","side":"B","time":{tid},"startPosition":"0.0","dir":"Open Long","closedPnl":"0.0","hash":"0x0","oid":77,"crossed":true,"fee":"-0.01","tid":{tid},"feeToken":"USDC"}}"#, if tid % 2 == 0 { "BTC" } else { "DOGE" })
        })
        .collect();
    format!(
        r#"{{"channel":"userFills","data":{{"isSnapshot":{is_snapshot},"user":"{ACCOUNT}","fills":[{}]}}}}"#,
        rows.join(",")
    )
}

#[test]
fn each_fill_once_although_every_subscription_begins_with_the_past() {
    let settings = Settings {
        account_address: Some(ACCOUNT.to_owned()),
        streams: vec![Stream::Trades],
        ..settings(&["BTC"])
    };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    assert_eq!(venue.state(NO_INSTRUMENT, Stream::Fills), (State::Live, Reason::None));
    venue.say(0, &fills(true, &[2, 4, 5]));
    venue.say(0, &fills(false, &[6]));
    venue.say(0, &fills(false, &[6]));
    assert_eq!(venue.fills, [(2, 1, 0), (4, 1, 0), (5, 1, 1), (6, 0, 0)], "a coin that is not carried, too");
    venue.cut(0);
    venue.read();
    assert_eq!(venue.state(NO_INSTRUMENT, Stream::Fills).0, State::Down);
    venue.pass_ms(5_000);
    venue.say(0, &fills(true, &[4, 5, 6, 8]));
    assert_eq!(venue.fills[4..], [(8, 0, 0)], "missed, and new");
    assert_eq!(venue.gaps.iter().filter(|(stream, _)| *stream == Stream::Fills).count(), 0);
    venue.cut(0);
    venue.pass_ms(5_000);
    venue.say(0, &fills(true, &[100]));
    assert!(venue.gaps.contains(&(Stream::Fills, Reason::Disconnect)), "the past does not reach back");
    // Somebody else's.
    venue.say(0, &fills(false, &[102]).replace(ACCOUNT, "0xbb"));
    assert_eq!(venue.fills.len(), 6);
}

#[test]
fn all_of_240_coins_within_a_thousand_subscriptions() {
    let coins: Vec<_> = (0..240).map(|number| perp(&format!("C{number}"))).collect();
    let mut venue = Venue::new(all(settings(&[])), coins).start();
    venue.pass_ms(60_000);
    assert!(venue.queries.contains(&Query::Turnover));
    assert!((990..=1000).contains(&venue.subscriptions_max), "{}", venue.subscriptions_max);
    let subscribed: BTreeSet<_> = venue.links.values().flat_map(|link| link.subscribed.clone()).collect();
    let with = |part: &str| subscribed.iter().filter(|one| one.contains(part)).count();
    assert_eq!((with("\"fast\":true"), with("\"bbo\""), with("\"trades\"")), (240, 240, 240));
    assert_eq!(
        (with("\"15m\""), with("\"1h\""), with("activeAssetCtx"), with("allDexsAssetCtxs")),
        (240, 0, 0, 1)
    );
    // The most traded keep their deep books.
    let deep: Vec<_> =
        subscribed.iter().filter(|one| one.contains("l2Book") && !one.contains("fast")).collect();
    assert_eq!(deep.len(), 39);
    assert!(
        deep.iter().any(|one| one.contains("\"C239\"")) && !deep.iter().any(|one| one.contains("\"C10\""))
    );
    // Every book by its fast frames alone; funding in bulk.
    let ctx = r#"{"funding":"0.00001","openInterest":"1.0","prevDayPx":"1.0","dayNtlVlm":"1.0","premium":null,"oraclePx":"1.0","markPx":"1.5","midPx":null,"impactPxs":null}"#;
    let ctxs = vec![ctx; 240].join(",");
    venue.say(0, &format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[["",[{ctxs}]]]}}}}"#));
    for instrument in 0..240 {
        assert_eq!(venue.state(instrument, Stream::Orderbook), (State::Live, Reason::None));
        assert_eq!(venue.state(instrument, Stream::Funding), (State::Live, Reason::None));
    }
    assert_eq!(venue.funding.len(), 240);
    // Of another length the message says nothing that could be trusted, and the lists are asked for.
    venue.queries.clear();
    venue.say(0, &format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[["",[{ctxs},{ctx}]]]}}}}"#));
    assert_eq!(venue.funding.len(), 240);
    venue.pass_ms(11_000);
    assert!(venue.queries.contains(&Query::Instruments));
}

#[test]
fn longer_candles_are_folded_where_streams_are_short() {
    let coins: Vec<_> = (0..8).map(|number| perp(&format!("C{number}"))).collect();
    // Funding is never sent here, and would have its connection made anew in the end.
    let streams = EVERYTHING.into_iter().filter(|stream| *stream != Stream::Funding).collect();
    let short = Settings { max_subscriptions: 50, streams, ..all(settings(&[])) };
    let mut venue = Venue::new(short, coins).start();
    let hour = venue.venue_ms() / 3_600_000 * 3_600_000;
    let quarter = 900_000;
    let last = Candle::flat(hour - 3_600_000, Price::from_raw(1));
    let seed = |interval, last| CandleSeed {
        venue: codec::words::Venue::Hyperliquid,
        instrument: 7,
        interval,
        last,
        base: None,
    };
    let fine = seed(Interval::M15, Candle::flat(hour - quarter, Price::from_raw(1)));
    let coarse = seed(Interval::H1, last);
    venue.bench.with(|session, now, out| session.on_seed(&fine, now, out));
    venue.bench.with(|session, now, out| session.on_seed(&coarse, now, out));
    venue.candles.clear();
    for part in 0..=4 {
        let start = hour + part * quarter;
        venue.say(0, &candle_frame("C7", "15m", start, quarter, 101, 2));
        let passed = (start + quarter).saturating_sub(venue.venue_ms());
        venue.pass_ms(if part < 4 { passed } else { 4_000 });
    }
    let hours: Vec<_> = venue
        .candles
        .iter()
        .filter(|(interval, ..)| *interval == Interval::H1)
        .map(|(_, candle, closed, _)| (candle.start_ms, candle.num_trades, *closed))
        .collect();
    assert!(hours.contains(&(hour, 8, 1)), "{hours:?} of {:?}", venue.candles);
    assert_eq!(hours.last(), Some(&(hour + 3_600_000, 2, 0)));
}

#[test]
fn a_subscription_that_kills_its_connection_stands_alone_in_the_end() {
    let coins: Vec<_> = (0..60).map(|number| perp(&format!("C{number}"))).collect();
    let mut venue = Venue::new(all(settings(&[])), coins);
    venue.fatal.insert("C33".to_owned());
    let mut venue = venue.start();
    venue.pass_ms(240_000);
    let deaths = venue.deaths;
    let subscribed: BTreeSet<_> = venue.links.values().flat_map(|link| link.subscribed.clone()).collect();
    let expected = 59 * 8;
    assert_eq!(subscribed.len(), expected, "all but those of the bad coin");
    for stream in EVERYTHING {
        assert_eq!(venue.state(33, stream), (State::Down, Reason::Rejected), "{stream}");
        // Funding is never sent here.
        let fine = stream == Stream::Funding || venue.state(34, stream).0 != State::Down;
        assert!(fine, "{stream}: {:?}", venue.state(34, stream));
    }
    // Eight subscriptions are bad, each found by halving; the connection itself died with the first batches only.
    assert!(deaths < 60, "{deaths}");
    venue.pass_ms(600_000);
    assert_eq!(venue.deaths, deaths, "and none of it again");
}

#[test]
fn a_lost_acknowledgement_costs_one_more_message_and_no_connection() {
    let mut venue = Venue::new(all(settings(&[])), vec![perp("BTC")]);
    venue.lose_ack_of = Some("\"trades\"");
    let mut venue = venue.start();
    assert_eq!(venue.state(0, Stream::Trades).0, State::Warming);
    venue.pass_ms(4_000);
    assert_eq!(venue.state(0, Stream::Trades), (State::Live, Reason::None));
    assert_eq!(venue.links[&0].generation, 1);
}

#[test]
fn lists_are_asked_for_again_and_followed() {
    let mut venue = Venue::new(all(settings(&[])), vec![perp("BTC"), perp("OLD")]).start();
    let before: usize = venue.links.values().map(|link| link.subscribed.len()).sum();
    venue.perps[1].delisted = true;
    venue.perps.push(perp("NEW"));
    venue.perps[0].size_decimals = 1;
    venue.pass_ms(700_000);
    assert_eq!(venue.state(1, Stream::Trades), (State::Down, Reason::UnknownSymbol));
    assert_eq!(venue.state(2, Stream::Trades), (State::Live, Reason::None));
    let subscribed: BTreeSet<_> = venue.links.values().flat_map(|link| link.subscribed.clone()).collect();
    assert_eq!(subscribed.len(), before, "one went, one came");
    assert!(
        subscribed.iter().any(|one| one.contains("NEW")) && !subscribed.iter().any(|one| one.contains("OLD"))
    );
    assert_eq!(venue.bench.publisher.instrument(0).unwrap().lot_size.to_f64(), 0.1);
    assert_eq!(venue.bench.publisher.instrument(1).unwrap().status, 3);
    assert!(venue.kinds[&(Kind::Instrument as u8)] >= 4);
}

#[test]
fn turnover_that_cannot_be_had_holds_up_nothing() {
    let coins: Vec<_> = (0..240).map(|number| perp(&format!("C{number}"))).collect();
    let mut bench = Bench::new(HyperliquidSession::new(all(settings(&[])), BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(coins)));
    let mut failures = 0;
    for _ in 0..6_000 {
        bench.pass_ms(10);
        if let Some(request) = bench.fetch() {
            assert_eq!(request.query, Query::Turnover);
            failures += 1;
            bench.answer(request, Err(FetchError::Transient("no".into())));
        }
    }
    assert_eq!(failures, 3);
    assert!(bench.actions.iter().any(|action| matches!(action, Action::Connect { .. })));
}
