//! Candles: what is kept of them, and when and how they can be asked for.

mod common;

use codec::candle::Candle;
use codec::record::{CandleBody, flags};
use codec::words::{Interval, Reason, State, Stream, Venue};
use common::candles::*;
use common::{BTC, Bench, ETH, HYPE, config, get, keys};
use slipstream_client::{Value, request};

#[test]
fn a_row_of_a_reply_is_the_data_of_the_stream_message() {
    let mut bench = loaded();
    let mut peer = bench.connect();
    peer.reply(&mut bench, &subscribe("1h"));
    bench.put(Interval::H1, candle(NOW_S, 77), false, false, 0);
    let streamed = peer.values(&mut bench).remove(0);
    let streamed = get(&streamed, "data");
    let (kind, data) = peer.reply(&mut bench, &candles("1h", 2));
    assert_eq!(kind, "candles");
    let data = data.as_array().unwrap();
    assert_eq!(&data[1], streamed, "values, their types and the order of fields");
    assert_eq!(ordered_keys(&data[0]), ordered_keys(streamed));
    assert_eq!(
        keys(streamed),
        [
            "close",
            "closed",
            "high",
            "interval",
            "low",
            "num_trades",
            "open",
            "received_us",
            "symbol",
            "timestamp",
            "venue",
            "volume"
        ]
    );
    let past = &data[0];
    assert_eq!(get(past, "timestamp").as_u64(), Some(NOW_S - HOUR_S), "seconds, oldest first");
    assert_eq!(
        (get(past, "venue").as_str(), get(past, "symbol").as_str()),
        (Some("binance"), Some("BTCUSDT"))
    );
    assert_eq!(get(past, "interval").as_str(), Some("1h"));
    for (name, value) in
        [("open", 1000.0), ("high", 1000.0), ("low", 999.0), ("close", 999.0), ("volume", 2.0)]
    {
        assert_eq!(get(past, name), &Value::F64(value), "{name}");
    }
    assert_eq!(get(past, "num_trades").as_u64(), Some(2));
    assert_eq!(get(past, "closed").as_bool(), Some(true));
    assert_eq!(get(past, "received_us").as_u64(), Some(NOW_S * 1_000_000), "when it was loaded");
}

#[test]
fn what_has_not_loaded_is_refused_with_how_far_it_is() {
    let mut bench = bench();
    let mut peer = bench.connect();
    let (code, message) = peer.refusal(&mut bench, &candles("1h", 5));
    assert_eq!(code, "not_ready");
    assert_eq!(
        message,
        "the 1h candles of BTCUSDT have not loaded yet (0 of 6 series of binance loaded); try again shortly"
    );
    bench.history(BTC, Interval::H1, past(HOUR_S, NOW_S - 10 * HOUR_S, 40), false);
    assert_eq!(peer.refusal(&mut bench, &candles("1h", 5)).0, "not_ready", "more is to come");
    bench.history(BTC, Interval::H1, past(HOUR_S, NOW_S, 10), true);
    assert_eq!(hours(&mut bench, &mut peer, 60).len(), 51);
    assert_eq!(peer.refusal(&mut bench, &candles("4h", 5)).0, "not_ready", "another interval");
    let (code, message) = peer.refusal(&mut bench, &batch(&["BTCUSDT", "ETHUSDT"], "1h", 5, "rows"));
    assert_eq!(code, "not_ready");
    assert!(message.contains("of ETHUSDT have") && message.contains("1 of 6 series"), "{message}");
    let (_, message) = peer.refusal(&mut bench, &batch(&["ETHUSDT", "BTCUSDT"], "4h", 5, "rows"));
    assert!(message.contains("ETHUSDT and 1 more of the symbols"), "{message}");
    bench.feed(|records| records.status(BTC, Stream::Candles, State::Down, Reason::UnknownSymbol));
    let (_, message) = peer.refusal(&mut bench, &candles("4h", 5));
    assert!(message.contains("their stream is down (unknown_symbol)"), "{message}");
    // New rows alone change nothing, and what is ready stays so.
    bench.put(Interval::H4, candle(NOW_S, 5), true, false, 0);
    assert_eq!(peer.refusal(&mut bench, &candles("4h", 5)).0, "not_ready");
    bench.history(BTC, Interval::H1, Vec::new(), false);
    assert_eq!(hours(&mut bench, &mut peer, 60).len(), 51);
    // Nothing in the past at all: a symbol that was listed just now.
    bench.history(ETH, Interval::M15, Vec::new(), true);
    let (_, data) = peer.reply(&mut bench, &candles("15m", 5).symbol("ETHUSDT"));
    assert!(data.as_array().unwrap().is_empty());
}

#[test]
fn the_report_and_the_figures_say_how_far_it_is() {
    let mut bench = loaded();
    let mut peer = bench.connect();
    let mut report = |bench: &mut Bench, venue: &str| {
        let (_, data) = peer.reply(bench, &request("get_status"));
        let candles = get(get(get(&data, "venues"), venue), "candles").clone();
        assert_eq!(keys(&candles), ["loaded", "total"]);
        (get(&candles, "loaded").as_u64().unwrap(), get(&candles, "total").as_u64().unwrap())
    };
    assert_eq!((report(&mut bench, "binance"), report(&mut bench, "hyperliquid")), ((1, 6), (0, 3)));
    assert_eq!((bench.figure("candle_series_loaded"), bench.figure("candle_series")), (1, 9));
    assert_eq!((bench.figure("candle_rows"), bench.figure("candle_history_rows_total")), (50, 50));
    bench.history(HYPE, Interval::H4, past(4 * HOUR_S, NOW_S, 5), true);
    bench.history(HYPE, Interval::H4, past(4 * HOUR_S, NOW_S, 5), true);
    assert_eq!(report(&mut bench, "hyperliquid"), (1, 3));
    assert_eq!((bench.figure("candle_rows"), bench.figure("candle_history_rows_total")), (55, 60));
    // A symbol that the venue does not list is not waited for.
    bench.feed(|records| {
        records.instrument_with(ETH, Venue::Binance, "ETHUSDT", codec::words::InstrumentStatus::Delisted)
    });
    assert_eq!(report(&mut bench, "binance"), (1, 3));
    assert_eq!(bench.figure("candle_series"), 6);
}

#[test]
fn each_interval_keeps_its_number() {
    let mut config = config();
    config.venues[1].intervals.push(Interval::M1);
    config.retention.candles_4h_count = 12;
    config.retention.candles_1h_count = 20;
    config.retention.candles_15m_count = 30;
    config.retention.candles_default_count = 40;
    let mut bench = Bench::live_with(config);
    bench.at(NOW_S);
    let mut peer = bench.connect();
    let mut rows_before = 0;
    for (interval, kept) in [(Interval::H4, 12), (Interval::H1, 20), (Interval::M15, 30), (Interval::M1, 40)]
    {
        let length_s = interval.length_ms().unwrap() / 1000;
        bench.history(BTC, interval, past(length_s, NOW_S, 100), true);
        for asked in [1, 5, kept, kept + 1, kept + 2, 1_000_000] {
            let (_, data) = peer.reply(&mut bench, &candles(interval.as_str(), asked));
            let data = data.as_array().unwrap();
            assert_eq!(data.len() as u64, asked.min(kept + 1), "{interval}: what is kept, and the open one");
            let starts: Vec<_> = data.iter().map(|row| get(row, "timestamp").as_u64().unwrap()).collect();
            assert!(starts.windows(2).all(|pair| pair[1] - pair[0] == length_s));
            assert_eq!(starts.last(), Some(&NOW_S));
        }
        rows_before += kept;
        assert_eq!(bench.figure("candle_rows"), rows_before);
        let series = bench.core.replica().instruments()[0].series(interval).unwrap();
        assert!(series.held_bytes() as u64 <= kept * 64, "{} bytes for {kept} rows", series.held_bytes());
    }
    let default = ipc::Retention::default();
    let counts = [Interval::H4, Interval::H1, Interval::M15, Interval::M1, Interval::Month1];
    assert_eq!(counts.map(|interval| default.candles_count(interval)), [1200, 2000, 2000, 1500, 1500]);
}

#[test]
fn rows_from_all_sides_meet_by_their_start() {
    let mut bench = bench();
    let mut peer = bench.connect();
    let start = |hours: i64| (NOW_S as i64 + hours * HOUR_S as i64) as u64;
    // Live first, then the past around it, with a hole and an overlap.
    bench.put(Interval::H1, candle(start(0), 1), true, false, 0);
    bench.put(Interval::H1, candle(start(3), 4), true, false, 0);
    let of =
        |hours: &[i64], close: u64| hours.iter().map(|&hour| candle(start(hour), close)).collect::<Vec<_>>();
    bench.history(BTC, Interval::H1, of(&[-2, -1, 0], 100), false);
    bench.history(BTC, Interval::H1, of(&[-4, -3], 200), true);
    let want = [
        (-4, 200, true),
        (-3, 200, true),
        (-2, 100, true),
        (-1, 100, true),
        (0, 1, true),
        (3, 4, true),
        (4, 4, false),
    ];
    assert_eq!(hours(&mut bench, &mut peer, 99), want);
    // Missed ones, late and out of order; history knows nothing better than a live one.
    bench.put(Interval::H1, candle(start(2), 3), true, false, flags::BACKFILL);
    bench.put(Interval::H1, candle(start(1), 2), true, false, flags::BACKFILL);
    bench.put(Interval::H1, candle(start(2), 300), true, false, HISTORY);
    bench.history(BTC, Interval::H1, of(&[-1, 0, 1], 400), false);
    let newest = [(-1, 400, true), (0, 1, true), (1, 2, true), (2, 3, true), (3, 4, true), (4, 4, false)];
    assert_eq!(hours(&mut bench, &mut peer, 6), newest);
    // A correction does, whatever it corrects.
    for hour in [-1, 2] {
        bench.put(Interval::H1, candle(start(hour), 500), true, true, 0);
    }
    bench.history(BTC, Interval::H1, of(&[-1], 600), false);
    let newest = [(-1, 500, true), (0, 1, true), (1, 2, true), (2, 500, true), (3, 4, true), (4, 4, false)];
    assert_eq!(hours(&mut bench, &mut peer, 6), newest);
    assert_eq!(bench.figure("candle_rows"), 8);
    let (_, data) = peer.reply(&mut bench, &candles("1h", 9));
    assert!(data.as_array().unwrap().iter().all(|row| get(row, "revised").is_nil()), "it is what it is");
}

#[test]
fn what_a_row_cannot_hold_is_counted() {
    let mut bench = loaded();
    let odd = Candle { start_ms: NOW_S * 1000 + 1, ..candle(NOW_S, 1) };
    bench.put(Interval::H1, odd, true, false, 0);
    bench.history(BTC, Interval::H1, vec![odd], false);
    assert_eq!((bench.figure("candle_unrepresentable_total"), bench.figure("candle_rows")), (2, 50));
}

#[test]
fn the_last_row_is_the_candle_that_runs() {
    let mut bench = loaded();
    let mut peer = bench.connect();
    let mut last = |bench: &mut Bench| hours(bench, &mut peer, 2);
    assert_eq!(last(&mut bench), [(-1, 999, true), (0, 999, false)], "nothing was told of it yet: flat");
    let (_, data) = bench.connect().reply(&mut bench, &candles("1h", 1));
    let flat = &data.as_array().unwrap()[0];
    for name in ["open", "high", "low", "close"] {
        assert_eq!(get(flat, name), &Value::F64(999.0));
    }
    assert_eq!((get(flat, "volume"), get(flat, "num_trades").as_u64()), (&Value::F64(0.0), Some(0)));
    assert_eq!(get(flat, "received_us").as_u64(), Some(NOW_S * 1_000_000));

    bench.put(Interval::H1, candle(NOW_S, 7), false, false, 0);
    bench.put(Interval::H1, candle(NOW_S, 8), false, false, 0);
    assert_eq!(last(&mut bench), [(-1, 999, true), (0, 8, false)]);
    // Its period is over, but nobody has closed it yet.
    bench.at(NOW_S + HOUR_S + 5);
    assert_eq!(last(&mut bench), [(-1, 999, true), (0, 8, false)]);
    bench.put(Interval::H1, candle(NOW_S, 9), true, false, 0);
    assert_eq!(last(&mut bench), [(0, 9, true), (1, 9, false)]);
    bench.put(Interval::H1, candle(NOW_S + HOUR_S, 10), false, false, 0);
    // An update or a correction of what is closed changes nothing about the one that runs.
    bench.put(Interval::H1, candle(NOW_S, 11), false, false, 0);
    bench.put(Interval::H1, candle(NOW_S, 12), true, true, 0);
    assert_eq!(last(&mut bench), [(0, 12, true), (1, 10, false)]);
    // The venue's clock may be ahead of ours: what it closed is over all the same.
    bench.put(Interval::H1, candle(NOW_S + HOUR_S, 13), true, false, 0);
    bench.at(NOW_S + HOUR_S);
    assert_eq!(last(&mut bench), [(1, 13, true), (2, 13, false)]);
    // History may close it, too.
    bench.put(Interval::H1, candle(NOW_S + 2 * HOUR_S, 14), false, false, 0);
    bench.history(BTC, Interval::H1, vec![candle(NOW_S + 2 * HOUR_S, 15)], true);
    assert_eq!(last(&mut bench), [(2, 15, true), (3, 15, false)]);
}

#[test]
fn weeks_and_months_follow_their_own_calendar() {
    let mut config = config();
    config.venues[1].intervals = vec![Interval::W1, Interval::Month1];
    let mut bench = Bench::live_with(config);
    let mut peer = bench.connect();
    // October 2023 and February 2024; the weeks of Monday 2023-11-06 and, as some venue may have it, a Thursday.
    const OCTOBER: u64 = 1_696_118_400;
    const FEBRUARY: u64 = 1_706_745_600;
    for (interval, start_s, next_s) in [
        (Interval::Month1, OCTOBER, OCTOBER + 31 * 86_400),
        (Interval::Month1, FEBRUARY, FEBRUARY + 29 * 86_400),
        (Interval::W1, 1_699_228_800, 1_699_833_600),
        (Interval::W1, 1_700_092_800, 1_700_697_600),
    ] {
        bench.history(BTC, interval, vec![candle(start_s, 5)], true);
        let (_, data) = peer.reply(&mut bench, &candles(interval.as_str(), 2));
        let starts: Vec<_> =
            data.as_array().unwrap().iter().map(|row| get(row, "timestamp").as_u64().unwrap()).collect();
        assert_eq!(starts, [start_s, next_s]);
        assert_eq!(get(&data.as_array().unwrap()[0], "interval").as_str(), Some(interval.as_str()));
    }
    let (code, message) = peer.refusal(&mut bench, &candles("4h", 5));
    assert_eq!(code, "unknown_interval");
    assert!(message.contains("1w, 1M"), "{message}");
}

#[test]
fn history_may_be_earlier_than_the_instruments_record() {
    let mut bench = bench();
    let mut peer = bench.connect();
    bench.history(7, Interval::H1, past(HOUR_S, NOW_S - 20 * HOUR_S, 30), false);
    bench.history(8, Interval::H1, past(HOUR_S, NOW_S, 30), true);
    bench.history(7, Interval::H1, past(HOUR_S, NOW_S, 20), true);
    bench.feed(|records| records.instrument(7, Venue::Binance, "XRPUSDT"));
    let (_, data) = peer.reply(&mut bench, &candles("1h", 99).symbol("XRPUSDT"));
    assert_eq!(data.as_array().unwrap().len(), 51);
    assert_eq!(bench.figure("candle_rows"), 50);
    // What nobody can place is counted: an interval that is not carried, and more than may wait.
    bench.history(BTC, Interval::W1, past(7 * 24 * HOUR_S, NOW_S, 3), true);
    assert_eq!(bench.figure("candle_history_dropped_total"), 3);
    let chunk = past(60, NOW_S, 512);
    for _ in 0..1100 {
        bench.history(9, Interval::H1, chunk.clone(), true);
    }
    let dropped = bench.figure("candle_history_dropped_total");
    assert!((70 * 512..90 * 512).contains(&dropped), "{dropped}");
}

#[test]
fn a_record_of_an_interval_that_is_not_carried_is_nobodys() {
    let mut bench = loaded();
    let body = CandleBody { interval: 99, ..candle(NOW_S, 1).body(Interval::H1, true, false) };
    bench.feed(|records| records.candle_of(BTC, &body, 0));
    bench.put(Interval::D1, candle(NOW_S, 1), true, false, 0);
    assert_eq!(bench.figure("candle_rows"), 50);
}
