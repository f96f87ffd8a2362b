//! Candles, funding, and single streams that misbehave, at the Binance session.

mod binance_venue;
mod support;

use binance_venue::{Venue, frames};
use codec::candle::Candle;
use codec::decimal::Price;
use codec::record::{NO_INSTRUMENT, NONE_I64};
use codec::venues::rest_binance::FundingInfo;
use codec::words::{Interval, Reason, State, Stream, Venue as VenueName};
use engine::fetch::{FetchRequest, Priority, Query};
use engine::session::binance::BinanceSession;
use engine::session::{Action, CandleSeed, Interest, Session};
use support::{Bench, settings};

const MINUTE_MS: u64 = 60_000;
const INTERVALS: [Interval; 2] = [Interval::M1, Interval::M5];
const LIVE: Option<(State, Reason)> = Some((State::Live, Reason::None));

fn venue_of(symbols: &[&str], streams: &[Stream]) -> Venue {
    let mut settings = settings(symbols);
    settings.streams = streams.to_vec();
    settings.intervals = INTERVALS.to_vec();
    settings.max_messages_per_second = 5;
    Venue::new(Bench::new(BinanceSession::new(settings)), symbols, &INTERVALS)
}

/// Candles and what proves their connection, live for some minutes.
fn candles() -> Venue {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &[Stream::Candles]);
    venue.start();
    venue.run_ms(3 * MINUTE_MS, 50);
    assert_eq!(venue.witness.state(0, Stream::Candles), LIVE);
    venue.witness.forgive();
    venue
}

fn candle_fetches(venue: &Venue) -> usize {
    venue.fetches.iter().filter(|query| matches!(query, Query::Candles { .. })).count()
}

/// Minute candles closed so far.
fn closed(venue: &Venue) -> usize {
    venue.witness.closed.get(&(0, Interval::M1)).map_or(0, Vec::len)
}

/// Runs until so long before the end of a minute.
fn until_before_minute(venue: &mut Venue, before_ms: u64) {
    while venue.now_ms() % MINUTE_MS != MINUTE_MS - before_ms {
        venue.run_ms(50, 50);
    }
}

#[test]
fn candles_are_closed_once_with_the_venues_values_by_the_venues_clock() {
    for ahead_ms in [0, 300_000] {
        let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &[Stream::Candles]);
        // Our own clock is five minutes late: closes must not be judged by it.
        venue.clock_ahead_ms = ahead_ms;
        for market in &mut venue.markets {
            for (interval, candles) in &mut market.candles {
                let start_ms = interval.start_ms_of(venue.bench.now.wall_ns / 1_000_000 + ahead_ms);
                *candles = vec![Candle::flat(start_ms, Price::from_raw(100))];
            }
        }
        // Some minutes are without a trade.
        venue.trade_every_ms = 40_000;
        venue.start();
        venue.run_ms(30 * MINUTE_MS, 50);
        assert!(venue.witness.assert_candles(&venue.markets) >= 2 * (28 + 5));
        assert_eq!(candle_fetches(&venue), 0);
        assert!(venue.witness.revised.is_empty());
        assert_eq!(venue.witness.gaps, []);
        assert_eq!(venue.witness.state(1, Stream::Candles), LIVE);
    }
}

#[test]
fn a_lost_or_late_closing_frame_is_made_good_by_rest() {
    for late_ms in [None, Some(9_000), Some(24_000)] {
        let mut venue = candles();
        let before = closed(&venue);
        venue.faults.closing_frames_lost = late_ms.is_none();
        venue.faults.closing_frames_late_ms = late_ms.unwrap_or(0);
        venue.run_ms(10 * MINUTE_MS, 50);
        assert!(candle_fetches(&venue) >= 10, "{late_ms:?}");
        assert!(closed(&venue) >= before + 9, "{late_ms:?}");
        venue.witness.assert_candles(&venue.markets);
        assert!(venue.witness.revised.is_empty());
        venue.witness.assert_undisturbed();
    }
}

#[test]
fn a_reconnect_over_a_close_misses_none() {
    for away_ms in [2_000, 200_000] {
        let mut venue = candles();
        until_before_minute(&mut venue, 500);
        let link = venue.link_of("btcusdt@kline_1m").unwrap();
        venue.faults.refuse_connections = true;
        venue.close(link);
        assert_eq!(venue.witness.state(0, Stream::Candles), None);
        venue.run_ms(away_ms, 50);
        assert_eq!(venue.witness.state(0, Stream::Candles), Some((State::Down, Reason::Disconnect)));
        venue.faults.refuse_connections = false;
        venue.run_ms(3 * MINUTE_MS, 50);
        assert_eq!(venue.witness.state(0, Stream::Candles), LIVE);
        venue.witness.assert_candles(&venue.markets);
        let newest = venue.witness.closed[&(0, Interval::M1)].last().unwrap().start_ms;
        assert!(venue.now_ms() - newest <= 2 * MINUTE_MS + 5_000, "up to the newest");
        assert_eq!(venue.witness.gaps, []);
        assert!(venue.witness.revised.is_empty());
    }
}

#[test]
fn without_rest_a_candle_is_closed_with_the_best_known_and_corrected_when_rest_is_back() {
    let mut venue = candles();
    // A trade falls between the last frame and the end, so that the best known is not the truth.
    venue.trade_every_ms = 300;
    venue.faults.closing_frames_lost = true;
    venue.faults.candles_down = true;
    let before = closed(&venue);
    until_before_minute(&mut venue, 50);
    venue.run_ms(50 + 9_000, 50);
    assert_eq!(closed(&venue), before, "it waits for REST");
    venue.run_ms(6_000, 50);
    assert_eq!(closed(&venue), before + 1, "and not for ever");
    venue.faults.candles_down = false;
    venue.faults.closing_frames_lost = false;
    venue.run_ms(2 * MINUTE_MS, 50);
    let said = venue.witness.closed[&(0, Interval::M1)][before];
    let corrected = venue.witness.revised[&(0, Interval::M1)].clone();
    assert_eq!(corrected.len(), 1);
    assert_eq!(corrected[0].start_ms, said.start_ms);
    let truth = &venue.markets[0].candles[&Interval::M1];
    assert!(truth.contains(&corrected[0]) && !truth.contains(&said));
}

#[test]
fn a_silent_market_connection_makes_candles_stale_and_a_frame_makes_them_live() {
    let mut venue = candles();
    let link = venue.link_of("btcusdt@kline_1m").unwrap();
    venue.faults.silent.insert(link);
    venue.run_ms(6_000, 50);
    assert_eq!(venue.witness.state(0, Stream::Candles), Some((State::Stale, Reason::Silence)));
    venue.faults.silent.clear();
    venue.run_ms(2_000, 50);
    assert_eq!(venue.witness.state(0, Stream::Candles), LIVE);
}

#[test]
fn what_somebody_wants_is_asked_for_first_and_history_says_where_to_begin() {
    // History has loaded, and the stream says nothing yet.
    let mut venue = venue_of(&["BTCUSDT"], &[Stream::Candles]);
    venue.start();
    let start_ms = Interval::M5.start_ms_of(venue.now_ms()) - 3 * 5 * MINUTE_MS;
    let last = Candle::flat(start_ms, Price::from_raw(7));
    let seed =
        CandleSeed { venue: VenueName::Binance, instrument: 0, interval: Interval::M5, last, base: None };
    venue.bench.with(|session, now, out| session.on_seed(&seed, now, out));
    // Nothing is judged by the local clock: the venue's is known from the first beat.
    venue.run_ms_without_fetches(2_000, 50);
    let link = venue.link_of("btcusdt@kline_5m").unwrap();
    let now_ms = venue.now_ms();
    frames::mark(&mut venue.bench, link, "BTCUSDT", now_ms);
    for wanted in [false, true] {
        let interest =
            Interest { instrument: 0, stream: Stream::Candles, interval: Some(Interval::M5), wanted };
        venue.bench.session.on_interest(&interest);
        venue.bench.now.mono_ns += 200_000_000;
        venue.bench.with(|session, now, out| session.on_tick(now, out));
        let request = venue.bench.take(|action| match action {
            Action::Fetch(request @ FetchRequest { query: Query::Candles { .. }, .. }) => {
                Some(request.clone())
            }
            _ => None,
        });
        let Some(request) = request else { panic!("asks for what came after the seed") };
        let expected = if wanted { Priority::Repair } else { Priority::Asked };
        assert_eq!(request.priority, expected);
        let Query::Candles { interval, start_ms: from_ms, .. } = &request.query else { unreachable!() };
        assert_eq!((*interval, *from_ms), (Interval::M5, start_ms + 5 * MINUTE_MS));
        venue.bench.answer(request, Err(engine::fetch::FetchError::RateLimited { retry_after_ms: 0 }));
    }
    venue.run_ms(MINUTE_MS, 50);
    // The venue of this test knows nothing before its own start, so the periods between are flat.
    let closed = &venue.witness.closed[&(0, Interval::M5)];
    assert_eq!(closed[0].start_ms, start_ms + 5 * MINUTE_MS);
    assert!(closed.iter().all(|candle| candle.close.raw() == 7));
}

#[test]
fn funding_is_what_the_venue_says_and_its_interval_is_known_or_none() {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &[Stream::Funding]);
    venue.funding_info = vec![FundingInfo { symbol: "ETHUSDT".into(), interval_hours: 4 }];
    venue.start();
    venue.run_ms(5_000, 10);
    for instrument in [0, 1] {
        let told = &venue.witness.funding[&instrument];
        assert!(told.len() >= 3);
        let (event_ns, body) = told.last().unwrap();
        assert_eq!(event_ns % 1_000_000_000, 0, "`E`, not the time of settlement");
        assert_eq!((body.mark_price.raw(), body.rate.raw()), (frames::MARK, frames::RATE));
        assert_eq!(body.index_price.raw(), 8_312_365_891_304);
        assert_eq!(body.open_interest.raw(), NONE_I64);
        assert_eq!(body.next_funding_ns, frames::NEXT_FUNDING_MS * 1_000_000);
        assert_eq!(body.interval_hours, if instrument == 0 { 8 } else { 4 });
    }
    assert!(venue.fetches.contains(&Query::FundingInfo));
    assert_eq!(venue.witness.state(0, Stream::Funding), LIVE);
    let link = venue.link_of("btcusdt@markPrice@1s").unwrap();
    let now_ms = venue.now_ms() + 1;
    frames::mark_unfunded(&mut venue.bench, link, "BTCUSDT", now_ms);
    frames::mark_unfunded(&mut venue.bench, link, "BTCUSDT", now_ms);
    venue.run_ms(10, 10);
    let (_, body) = venue.witness.funding[&0].last().unwrap();
    assert_eq!((body.rate.raw(), body.index_price.raw()), (NONE_I64, NONE_I64));
    assert_eq!((body.next_funding_ns, body.interval_hours), (0, 0));
    let times: Vec<_> = venue.witness.funding[&0].iter().map(|(event_ns, _)| *event_ns).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "each event once");
}

#[test]
fn until_the_venue_has_told_funding_intervals_there_is_none() {
    let mut venue = venue_of(&["BTCUSDT"], &[Stream::Funding]);
    venue.bench.with(Session::on_start);
    // The answer to `fundingInfo` is kept back.
    let mut kept = None;
    for _ in 0..50 {
        while let Some(request) = venue.bench.fetch() {
            match &request.query {
                Query::FundingInfo => kept = Some(request),
                _ => venue
                    .bench
                    .answer(request, Ok(engine::fetch::Answer::BinanceInstruments(venue.list.clone()))),
            }
        }
        venue.act();
        venue.run_ms_without_fetches(100, 10);
    }
    assert_eq!(venue.witness.funding[&0].last().unwrap().1.interval_hours, 0);
    let request = kept.unwrap();
    venue.bench.answer(request, Ok(engine::fetch::Answer::FundingInfo(Vec::new())));
    venue.run_ms(2_000, 10);
    assert_eq!(venue.witness.funding[&0].last().unwrap().1.interval_hours, 8);
}

#[test]
fn a_silent_funding_stream_is_stale_by_its_own_beat() {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &[Stream::Funding]);
    venue.start();
    venue.run_ms(5_000, 10);
    venue.witness.forgive();
    venue.faults.mute.insert("ethusdt@markPrice@1s".into());
    venue.run_ms(8_000, 10);
    assert_eq!(venue.witness.statuses, [(1, Stream::Funding, State::Stale, Reason::Silence)]);
    venue.faults.mute.clear();
    venue.run_ms(2_000, 10);
    assert_eq!(venue.witness.state(1, Stream::Funding), LIVE);
    assert_eq!(venue.witness.state(0, Stream::Funding), None);
}

const ALL: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];

#[test]
fn a_refused_stream_is_found_alone_and_left_out_until_the_next_list() {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &ALL);
    venue.faults.refused.insert("ethusdt@bookTicker".into());
    venue.start();
    venue.run_ms(10_000, 10);
    assert_eq!(venue.witness.state(1, Stream::Quotes), Some((State::Down, Reason::Rejected)));
    for (instrument, stream) in [(0, Stream::Quotes), (0, Stream::Orderbook), (1, Stream::Orderbook)] {
        assert_eq!(venue.witness.state(instrument, stream), LIVE, "{instrument} {stream}");
    }
    assert_eq!(venue.connects.len(), 2, "the connection stays");
    let asked = venue.sends[&0].len();
    venue.run_ms(50 * MINUTE_MS, 100);
    assert_eq!(venue.sends[&0].len(), asked, "it is not asked for again");
    venue.faults.refused.clear();
    venue.run_ms(10 * MINUTE_MS, 100);
    assert_eq!(venue.witness.state(1, Stream::Quotes), LIVE);
}

#[test]
fn a_dead_stream_is_asked_for_again_then_its_connection_is_replaced_and_the_others_notice_nothing() {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &ALL);
    venue.faults.mute.insert("ethusdt@depth@100ms".into());
    venue.start();
    venue.run_ms(12_000, 10);
    assert_eq!(venue.witness.state(1, Stream::Orderbook), Some((State::Down, Reason::NoFirstData)));
    venue.witness.forgive();
    assert_eq!(venue.sends[&0].len(), 2, "asked for again");
    venue.run_ms(15_000, 10);
    assert!(venue.closed.contains(&0) && venue.wires.contains_key(&1), "replaced");
    venue.run_ms(HOUR_MS / 2 - MINUTE_MS, 100);
    assert_eq!(venue.closed, [0], "and not again and again");
    assert!(venue.sends[&1].len() > 2, "asked for now and then");
    venue.witness.assert_undisturbed();
    venue.faults.mute.clear();
    venue.run_ms(5_000, 10);
    assert_eq!(venue.witness.state(1, Stream::Orderbook), LIVE);
}

const HOUR_MS: u64 = 3_600_000;

#[test]
fn a_stream_that_dies_under_way_is_told_asked_for_again_and_revived() {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &ALL);
    venue.start();
    venue.run_ms(5_000, 10);
    venue.faults.mute.insert("ethusdt@depth@100ms".into());
    let asked = venue.sends[&0].len();
    venue.run_ms(5_000, 10);
    assert_eq!(venue.witness.state(1, Stream::Orderbook), Some((State::Stale, Reason::BehindQuote)));
    venue.run_ms(9_000, 10);
    assert_eq!(venue.sends[&0].len(), asked + 1);
    venue.faults.mute.clear();
    venue.run_ms(2_000, 10);
    assert_eq!(venue.witness.state(1, Stream::Orderbook), LIVE);
    assert_eq!(venue.connects.len(), 2);
}

#[test]
fn a_lost_acknowledgement_is_asked_for_again_on_the_same_connection() {
    let mut venue = venue_of(&["BTCUSDT"], &ALL);
    venue.faults.acks_to_lose.insert(2, 1);
    venue.start();
    venue.run_ms(8_000, 10);
    assert_eq!(venue.connects.len(), 2);
    assert_eq!(venue.sends[&2].len(), 2);
    for stream in ALL {
        assert_eq!(venue.witness.state(0, stream), LIVE, "{stream}");
    }
    assert_eq!(venue.witness.state(NO_INSTRUMENT, Stream::Connection), LIVE);
}

#[test]
fn streams_whose_acknowledgements_are_all_lost_are_live_with_their_data() {
    let mut venue = venue_of(&["BTCUSDT"], &ALL);
    venue.faults.acks_to_lose.insert(2, 99);
    venue.start();
    venue.run_ms(30_000, 10);
    for stream in ALL {
        assert_eq!(venue.witness.state(0, stream), LIVE, "{stream}");
    }
}

#[test]
fn a_placeholder_is_no_trade_that_candles_would_have_to_follow() {
    let mut venue = venue_of(&["BTCUSDT", "ETHUSDT"], &ALL);
    venue.start();
    venue.run_ms(5_000, 10);
    venue.trade_every_ms = 0;
    venue.run_ms(2_000, 10);
    venue.faults.mute.extend(INTERVALS.map(|interval| format!("btcusdt@kline_{interval}")));
    venue.run_ms(20_000, 10);
    venue.witness.forgive();
    let link = venue.link_of("btcusdt@aggTrade").unwrap();
    let (ms, id) = (venue.now_ms(), venue.markets[0].trades.last().unwrap().agg_id + 1);
    venue.bench.message(
        link,
        &format!(
            r#"{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":{ms},"a":{id},"s":"BTCUSDT","p":"0","q":"0","f":1,"l":1,"T":{ms},"m":true}}}}"#
        ),
    );
    venue.run_ms(30_000, 10);
    let told = venue.witness.statuses.iter().filter(|told| told.1 == Stream::Candles);
    assert_eq!(told.count(), 0, "{:?}", venue.witness.statuses);
    assert_eq!(venue.witness.gaps, []);
}
