//! The Hyperliquid session before a scripted venue: lists that change, fail and come twice, symbols that go and
//! come back, and who has room within the venue's limit.

mod hyperliquid_venue;
mod support;

use codec::candle::Candle;
use codec::decimal::Price;
use codec::venues::rest_hyperliquid::InstrumentInfo;
use codec::words::{InstrumentStatus, Interval, Reason, State, Stream};
use engine::fetch::{Answer, FetchError, Query};
use engine::session::settings::Settings;
use engine::session::{CandleSeed, Session};
use hyperliquid_venue::{ACCOUNT, EVERYTHING, Venue, all, candle_frame, perp};
use support::settings;

/// Longer than between two regular requests for the lists.
const REFRESH_MS: u64 = 620_000;

fn coins(count: usize) -> Vec<InstrumentInfo> {
    (0..count).map(|number| perp(&format!("C{number}"))).collect()
}

fn trades(coin: &str, list: &[(u64, u64)]) -> String {
    let rows: Vec<String> = list
        .iter()
        .map(|(time, tid)| {
            format!(r#"{{"coin":"{coin}","side":"A","px":"100.0","sz":"0.5","time":{time},"hash":"0x0","tid":{tid}}}"#)
        })
        .collect();
    format!(r#"{{"channel":"trades","data":[{}]}}"#, rows.join(","))
}

#[test]
fn seeds_that_come_before_turnover_are_not_lost() {
    let streams = EVERYTHING.into_iter().filter(|stream| *stream != Stream::Funding).collect();
    let short = Settings { max_subscriptions: 50, streams, ..all(settings(&[])) };
    let mut venue = Venue::new(short, coins(8));
    venue.holds_turnover = true;
    let mut venue = venue.start();
    let turnover = venue.unanswered.pop().unwrap();
    let hour = venue.venue_ms() / 3_600_000 * 3_600_000;
    let quarter = 900_000;
    let seed = |interval, start_ms| CandleSeed {
        venue: codec::words::Venue::Hyperliquid,
        instrument: 7,
        interval,
        last: Candle::flat(start_ms, Price::from_raw(1)),
        base: None,
    };
    for one in [seed(Interval::M15, hour - quarter), seed(Interval::H1, hour - 3_600_000)] {
        venue.bench.with(|session, now, out| session.on_seed(&one, now, out));
    }
    venue.bench.answer(turnover, Ok(Answer::Turnover(Vec::new())));
    venue.pass_ms(30_000);
    venue.candles.clear();
    // From the second quarter on: the first is known to have been flat from the seed only.
    for part in 1..=4 {
        let passed = (hour + part * quarter).saturating_sub(venue.venue_ms());
        venue.pass_ms(passed);
        venue.say(0, &candle_frame("C7", "15m", hour + part * quarter, quarter, 101, 2));
        venue.pass_ms(12_000);
    }
    let closed = |interval| {
        let of_it = venue.candles.iter().filter(|(one, _, closed, _)| *one == interval && *closed == 1);
        of_it.map(|(_, candle, ..)| candle.start_ms).collect::<Vec<_>>()
    };
    assert_eq!(closed(Interval::M15).first(), Some(&hour));
    assert_eq!(closed(Interval::H1), [hour]);
}

#[test]
fn lists_that_come_twice_subscribe_once() {
    let settings =
        Settings { streams: vec![Stream::Trades], max_subscriptions: 1, ..settings(&["BTC", "@107"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]);
    venue.holds_turnover = true;
    venue.failing.insert("perps", FetchError::Transient("no".to_owned()));
    venue.bench.with(Session::on_start);
    let requests: Vec<_> = std::iter::from_fn(|| venue.bench.fetch()).collect();
    // One fails, the other takes its time: both are asked for again.
    let (perps, spot): (Vec<_>, Vec<_>) =
        requests.into_iter().partition(|request| request.query == Query::Instruments);
    for request in perps {
        venue.bench.answer(request, Err(FetchError::Transient("no".to_owned())));
    }
    venue.failing.clear();
    venue.pass_ms(5_000);
    for request in spot {
        venue.rest(request);
    }
    venue.pass_ms(1_000);
    for request in std::mem::take(&mut venue.unanswered) {
        venue.bench.answer(request, Ok(Answer::Turnover(Vec::new())));
    }
    venue.pass_ms(2_000);
    assert_eq!((venue.sent.len(), venue.with("trades")), (1, 1));
}

#[test]
fn turnover_that_comes_late_changes_nothing() {
    let mut venue = Venue::new(all(settings(&[])), coins(240));
    venue.holds_turnover = true;
    let mut venue = venue.start();
    let request = venue.unanswered.pop().unwrap();
    venue.bench.answer(request.clone(), Ok(Answer::Turnover(Vec::new())));
    venue.pass_ms(60_000);
    let before = venue.sent.len();
    venue.bench.answer(request, Ok(Answer::Turnover(Vec::new())));
    venue.pass_ms(20_000);
    let subscribes = venue.sent[before..].iter().filter(|(_, text)| text.contains("\"subscribe\"")).count();
    assert_eq!(subscribes, 0);
}

#[test]
fn one_bad_answer_drops_nothing() {
    let settings = Settings { streams: vec![Stream::Trades], ..settings(&["BTC", "@107", "xyz:NVDA"]) };
    let refusal = || FetchError::Permanent { status: 500, code: 0, message: "null".to_owned() };
    for kind in ["perps", "spot", "dex"] {
        for is_empty in [true, false] {
            let mut venue = Venue::new(settings.clone(), vec![perp("BTC")]);
            venue.dex = vec![perp("xyz:NVDA")];
            let mut venue = venue.start();
            assert_eq!(venue.with("trades"), 3);
            if is_empty {
                venue.empty.insert(kind);
            } else {
                venue.failing.insert(kind, refusal());
            }
            venue.queries.clear();
            venue.pass_ms(REFRESH_MS);
            assert_eq!(venue.with("trades"), 3, "{kind} {is_empty}");
            let asked = venue.queries.len();
            assert!(asked > 4 && asked < 40, "asked again, with pauses: {asked}");
            // What is delisted for certain goes, and what the other lists say is followed.
            (venue.empty, venue.failing) = Default::default();
            venue.perps[0].delisted = true;
            venue.pass_ms(2 * REFRESH_MS);
            assert_eq!(venue.state(0, Stream::Trades), (State::Down, Reason::UnknownSymbol), "{kind}");
            assert_eq!(venue.with("trades"), 2);
        }
    }
}

#[test]
fn a_coin_that_comes_back_tells_what_was_lost() {
    let mut venue = Venue::new(all(settings(&[])), vec![perp("BTC"), perp("OLD")]).start();
    let quote = |venue: &Venue, bid: u32| {
        let time = venue.venue_ms();
        format!(
            r#"{{"channel":"bbo","data":{{"coin":"OLD","time":{time},"bbo":[{{"px":"{bid}.0","sz":"1.0","n":1}},{{"px":"20.0","sz":"1.0","n":1}}]}}}}"#
        )
    };
    let now = venue.venue_ms();
    venue.say(0, &trades("OLD", &[(now, 1)]));
    let text = quote(&venue, 8);
    venue.say(0, &text);
    venue.perps[1].delisted = true;
    venue.pass_ms(REFRESH_MS);
    assert_eq!(venue.state(1, Stream::Trades), (State::Down, Reason::UnknownSymbol));
    venue.gaps.clear();
    venue.perps[1].delisted = false;
    venue.pass_ms(REFRESH_MS);
    let now = venue.venue_ms();
    venue.say(0, &trades("OLD", &[(now, 9)]));
    let text = quote(&venue, 9);
    venue.say(0, &text);
    for stream in [Stream::Trades, Stream::Quotes] {
        assert!(venue.gaps.contains(&(stream, Reason::Disconnect)), "{stream}: {:?}", venue.gaps);
    }
}

#[test]
fn frames_on_their_way_do_not_revive_what_was_dropped() {
    let mut venue = Venue::new(all(settings(&[])), vec![perp("BTC"), perp("OLD")]).start();
    venue.perps[1].delisted = true;
    venue.pass_ms(REFRESH_MS);
    let streams = [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
    let now = venue.venue_ms();
    let before = (venue.trades.len(), venue.candles.len(), venue.funding.len());
    let level = |px: u32| format!(r#"{{"px":"{px}.0","sz":"1.5","n":1}}"#);
    let (bid, ask) = (level(10), level(11));
    venue.say(0, &format!(r#"{{"channel":"l2Book","data":{{"coin":"OLD","time":{now},"levels":[[{bid}],[{ask}]],"fast":true}}}}"#));
    venue.say(0, &format!(r#"{{"channel":"bbo","data":{{"coin":"OLD","time":{now},"bbo":[{bid},{ask}]}}}}"#));
    venue.say(0, &trades("OLD", &[(now, 1)]));
    venue.say(0, &candle_frame("OLD", "15m", now / 900_000 * 900_000, 900_000, 101, 2));
    venue.say(0, r#"{"channel":"activeAssetCtx","data":{"coin":"OLD","ctx":{"funding":"0.00001","openInterest":"1.0","prevDayPx":"1.0","dayNtlVlm":"1.0","premium":null,"oraclePx":"1.0","markPx":"1.5","midPx":null,"impactPxs":null}}}"#);
    assert_eq!(before, (venue.trades.len(), venue.candles.len(), venue.funding.len()));
    for stream in streams {
        assert_eq!(venue.state(1, stream), (State::Down, Reason::UnknownSymbol), "{stream}");
    }
}

#[test]
fn a_new_coin_takes_the_room_of_the_least_needed_default_books() {
    let mut venue = Venue::new(all(settings(&[])), coins(240)).start();
    venue.pass_ms(60_000);
    let is_deep = |one: &&String| one.contains("l2Book") && !one.contains("fast");
    let deep = |venue: &Venue| venue.subscribed().iter().filter(is_deep).cloned().collect::<Vec<_>>();
    assert_eq!(deep(&venue).len(), 39);
    for number in 0..9 {
        venue.perps.push(perp(&format!("N{number}")));
    }
    venue.pass_ms(REFRESH_MS);
    // Four each: 36 of 39 are given up, and the three that are left are those of the most traded.
    assert_eq!(venue.with("\"trades\""), 249);
    let left = deep(&venue);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(["C239", "C238", "C237"].iter().all(|coin| left.iter().any(|one| one.contains(coin))));
    // One more finds none.
    venue.perps.push(perp("LATE"));
    venue.pass_ms(REFRESH_MS);
    let late =
        venue.states.keys().map(|(instrument, _)| *instrument).filter(|one| *one < 1000).max().unwrap();
    assert_eq!((late, venue.state(late, Stream::Trades)), (249, (State::Down, Reason::Shed)));
    // Until others go.
    for place in 0..10 {
        venue.perps[place].delisted = true;
    }
    venue.pass_ms(REFRESH_MS);
    assert_eq!(venue.state(late, Stream::Trades), (State::Live, Reason::None));
    assert_eq!(venue.with("\"trades\""), 240);
    assert_eq!(deep(&venue).len(), 39, "what is free goes to default books again");
    assert!(venue.subscriptions_max <= 1000, "{}", venue.subscriptions_max);
}

fn fills(is_snapshot: bool, list: &[(&str, u64)]) -> String {
    let rows: Vec<_> = list
        .iter()
        .map(|(coin, tid)| format!(r#"{{"coin":"{coin}","px":"100.5","sz":"0.25","side":"B","time":{tid},"startPosition":"0.0","dir":"Open Long","closedPnl":"0.0","hash":"0x0","oid":77,"crossed":true,"fee":"0.01","tid":{tid},"feeToken":"USDC"}}"#))
        .collect();
    let rows = rows.join(",");
    format!(
        r#"{{"channel":"userFills","data":{{"isSnapshot":{is_snapshot},"user":"{ACCOUNT}","fills":[{rows}]}}}}"#
    )
}

#[test]
fn past_fills_are_published_in_the_order_of_time() {
    let settings = Settings { account_address: Some(ACCOUNT.to_owned()), ..settings(&["BTC"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    venue.say(0, &fills(true, &[("BTC", 9), ("BTC", 7), ("BTC", 3)]));
    venue.say(0, &fills(false, &[("BTC", 12), ("BTC", 11)]));
    let tids: Vec<_> = venue.fills.iter().map(|(tid, ..)| *tid).collect();
    assert_eq!(tids, [3, 7, 9, 12, 11]);
}

#[test]
fn a_coin_with_fills_only_is_not_told_as_carried() {
    let settings = Settings { account_address: Some(ACCOUNT.to_owned()), ..all(settings(&[])) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    venue.say(0, &fills(true, &[("DOGE", 3)]));
    let doge = venue.fills[0].2;
    let status = |venue: &Venue| venue.bench.publisher.instrument(doge).unwrap().status();
    assert_eq!(status(&venue), Some(InstrumentStatus::Delisted));
    assert_eq!(venue.state(doge, Stream::Candles), (State::Down, Reason::NotConfigured));
    // Once listed it keeps its number.
    venue.perps.push(perp("DOGE"));
    venue.pass_ms(REFRESH_MS);
    assert_eq!(status(&venue), Some(InstrumentStatus::Trading));
    assert_eq!(venue.state(doge, Stream::Trades), (State::Live, Reason::None));
}
