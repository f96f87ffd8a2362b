//! REST within the venues' limits, and messages on channels of which nobody has heard.

use crate::hyperliquid_venue::{CTX, EVERYTHING, Venue, candle_frame, perp};
use crate::stage::{START_MS, Scene};
use crate::support::settings;
use codec::drift::DriftKind;
use codec::record::NO_INSTRUMENT;
use codec::words::{Interval, Reason, State, Stream};
use engine::fetch::{FetchRequest, Priority, Query};
use engine::fetcher::wire;
use engine::session::Session;
use engine::session::settings::Settings;
use sim::{ByHand, Heard};

const LIVE: (State, Reason) = (State::Live, Reason::None);

/// Weights are counted as the venue counts them, rows included; a refusal stops everything; and times are integers.
#[test]
fn fault_24_rate_limits_and_422() {
    let mut scene = Scene::of(&[], &[Stream::Trades, Stream::Candles]);
    scene.config = sim::Config::universe(0, 41);
    scene.intervals = vec![Interval::M15, Interval::H1, Interval::H4];
    scene.stale_after_ms = Some(200_000);
    let mut stage = scene.hyperliquid();
    // Forty coins, three intervals, each asked for by somebody: as much as the minutes allow.
    stage.until_coarse("candles", 120_000, |stage| stage.seen.live(Stream::Candles) == 40);
    while stage.at_ms() < 600_000 {
        stage.step(100);
    }
    let counters = stage.desk.truth().counters();
    let of_candles = counters.rest_weight_by_path["candleSnapshot"];
    let asked = counters.rest_requests_by_path["candleSnapshot"];
    println!(
        "{asked} requests of {of_candles} weight, at most {} a minute",
        counters.rest_weight_per_minute_max
    );
    assert!(asked >= 40 && of_candles > asked * 20, "rows cost beside the request");
    assert!(counters.rest_weight_per_minute_max <= 1_200);
    assert_eq!(counters.rest_429, 0);
    assert!(counters.limit_violations.is_empty(), "{:?}", counters.limit_violations);
    // Somebody else at this address has used the minute up, while there is much to ask for.
    let mut stage = scene.hyperliquid();
    stage.run_ms(10_000);
    while stage.desk.truth().counters().rest_429 == 0 {
        stage.desk.venue().post("/info", r#"{"type":"meta"}"#);
    }
    let refused = stage.desk.truth().counters().rest_429;
    stage.until("a refusal of ours", 60_000, |stage| stage.desk.truth().counters().rest_429 > refused);
    let asked = stage.desk.truth().counters().rest_requests;
    stage.run_ms(500);
    let late = stage.desk.truth().counters().rest_requests - asked;
    assert!(late <= 4, "what was on its way, and no more: {late}");
    let asked = stage.desk.truth().counters().rest_requests;
    stage.run_ms(5_000);
    assert_eq!(stage.desk.truth().counters().rest_requests, asked, "silence for a while");
    assert_eq!(stage.seen.live(Stream::Trades), 40, "streams need no REST");
    stage.until_coarse("candles all the same", 900_000, |stage| {
        stage.desk.log().contains("candle history loaded")
    });

    // Every request with a time has it as a number; in quotes it is refused.
    let request = |query| FetchRequest {
        venue: codec::words::Venue::Hyperliquid,
        query,
        instrument: NO_INSTRUMENT,
        token: 0,
        priority: Priority::Repair,
    };
    let candles = Query::Candles {
        symbol: "BTC".to_owned(),
        interval: Interval::M15,
        start_ms: START_MS as u64 - 9_000_000,
        end_ms: START_MS as u64,
        limit: 10,
    };
    let body = wire("", &request(candles)).unwrap().body.unwrap();
    let mut venue = ByHand::hyperliquid(&scene.config, START_MS).unwrap();
    let mut status = |body: &str| {
        let asked = venue.post("/info", body);
        match venue.next_heard() {
            Some(Heard::Answer(id, answer)) if id == asked => answer.status,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(status(&body), 200);
    let quoted = body.replace(&(START_MS - 9_000_000).to_string(), &format!("\"{}\"", START_MS - 9_000_000));
    assert_ne!(quoted, body);
    assert_eq!(status(&quoted), 422, "the venue does so");
}

/// A spot coin answers on a channel of its own; what nobody knows is counted, and stops nothing.
#[test]
fn fault_25_other_channels_and_renames() {
    let scene = Scene::of(&["BTC", "@107"], &[Stream::Orderbook, Stream::Trades, Stream::Funding])
        .with(|config| config.hyperliquid.market.other_kinds = true);
    let mut stage = scene.hyperliquid();
    stage.until_live(&[Stream::Orderbook, Stream::Trades, Stream::Funding], 30_000);
    stage.run_ms(20_000);
    // `activeSpotAssetCtx` for the one, `activeAssetCtx` for the other: both are funding.
    for symbol in ["BTC", "@107"] {
        assert!(stage.seen.fundings[symbol] >= 15, "{symbol}: {:?}", stage.seen.fundings);
        assert!(stage.seen.is_live(symbol, Stream::Funding));
    }
    assert!(stage.seen.compared > 5);

    let own = Settings { streams: EVERYTHING.to_vec(), intervals: vec![Interval::M1], ..settings(&["BTC"]) };
    let mut venue = Venue::new(own, vec![perp("BTC")]);
    venue.sends_ctx = true;
    let mut venue = venue.start();
    let gaps = venue.gaps.len();
    let strange = [
        r#"{"channel":"webData3","data":{"perpDexStates":[]}}"#.to_owned(),
        r#"{"channel":"l2","data":{"coin":"BTC","u":[[1,2]]}}"#.to_owned(),
        r#"{"channel":"activeAssetCtx2","data":{"coin":"BTC"}}"#.to_owned(),
        r#"{"channel":"","data":null}"#.to_owned(),
        format!(r#"{{"channel":"activeSpotAssetCtx","data":{{"coin":"NONE","ctx":{CTX}}}}}"#),
    ];
    for text in strange {
        for _ in 0..200 {
            venue.say(0, &text);
        }
        venue.pass_ms(500);
    }
    let start = venue.venue_ms() / 60_000 * 60_000;
    venue.say(0, &candle_frame("BTC", "1m", start, 60_000, 101, 3));
    venue.pass_ms(3_000);
    for stream in EVERYTHING.into_iter().filter(|stream| *stream != Stream::Quotes) {
        assert_eq!(venue.state(0, stream), LIVE, "{stream}");
    }
    assert!(venue.links.values().all(|link| link.generation == 1), "no connection was given up");
    assert_eq!(venue.gaps.len(), gaps, "nothing of ours was lost: {:?}", venue.gaps);
    // Each is counted every time and told once. A coin that is not carried is no new channel.
    let table = venue.bench.session.drift().unwrap();
    let channels = table.entries().filter(|entry| entry.kind == DriftKind::NewChannel);
    let counted: Vec<_> = channels.map(|entry| (&*entry.what, entry.count())).collect();
    assert_eq!(counted, ["webData3", "l2", "activeAssetCtx2", "(no name)"].map(|what| (what, 200)));
    for (what, _) in counted {
        let is_it = |event: &&engine::event::Event| {
            event.what.starts_with("venue drift") && event.subject.as_str() == what
        };
        assert_eq!(venue.bench.events.iter().filter(is_it).count(), 1, "{what}");
    }
}
