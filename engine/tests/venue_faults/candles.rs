//! Candles whose closing frame is late, lost, or of which nothing came at all.

use crate::stage::{CandleSeen, Scene, Stage, field};
use codec::words::{Interval, Reason, State, Stream};
use slipstream_client::request;
use std::collections::BTreeMap;

const MINUTE_MS: u64 = 60_000;

/// The closes of a symbol's minutes as they were told first, and as they were told last.
fn closes(stage: &Stage, symbol: &str) -> (Vec<CandleSeen>, BTreeMap<u64, CandleSeen>) {
    let (mut first, mut last) = (Vec::new(), BTreeMap::new());
    let mut shown_ms = 0;
    for candle in &stage.seen.candles[symbol] {
        match (candle.closed, candle.revised) {
            (true, false) => first.push(*candle),
            // A correction is of something that was closed.
            (_, true) => assert!(last.contains_key(&candle.start_ms), "{candle:?}"),
            (false, false) => {
                let open = first.last().is_none_or(|closed: &CandleSeen| closed.start_ms < candle.start_ms);
                assert!(open, "shown open after its close: {candle:?}");
            }
        }
        if candle.closed {
            last.insert(candle.start_ms, *candle);
        } else {
            let waits = shown_ms == 0 || candle.start_ms <= shown_ms || last.contains_key(&shown_ms);
            assert!(waits, "{candle:?} before the close of {shown_ms}");
            shown_ms = candle.start_ms;
        }
    }
    let once = first.windows(2).all(|pair| pair[1].start_ms == pair[0].start_ms + MINUTE_MS);
    assert!(once, "each minute once, in order: {first:?}");
    (first, last)
}

/// Whether a candle is what the venue's books say.
fn is_true(stage: &Stage, symbol: &str, candle: &CandleSeen) -> bool {
    let start_ms = candle.start_ms as i64;
    let truth = stage.desk.truth().candles(symbol, "1m", start_ms, start_ms + 1).unwrap();
    let truth = truth.first().expect("the venue has it");
    (truth.close_e8, truth.volume_e8, truth.trades) == (candle.close_e8, candle.volume_e8, candle.num_trades)
}

fn to_minute(stage: &mut Stage, before_end_ms: u64) {
    let into = stage.desk.now_ms() % MINUTE_MS;
    stage.run_ms((2 * MINUTE_MS - into - before_end_ms) % MINUTE_MS);
}

/// The closing frame is late, or lost: a timer, then REST; and whatever comes after the close changes nothing twice.
#[test]
fn fault_12_closed_kline_late_or_missing() {
    let mut scene = Scene::of(&["BTCUSDT"], &[Stream::Trades, Stream::Candles, Stream::Funding]);
    scene.intervals = vec![Interval::M1];
    let mut stage = scene.binance();
    stage.until_live(&[Stream::Candles], 60_000);
    to_minute(&mut stage, 5_000);
    stage.run_ms(10_000);
    // Within the grace, past REST's turn, never, and not even the running frames.
    let faults = [
        "late_close_frames symbol=BTCUSDT delay_ms=1500",
        "late_close_frames symbol=BTCUSDT delay_ms=25000",
        "lose_close_frames symbol=BTCUSDT",
        "silence_klines symbol=BTCUSDT for_ms=8000",
    ];
    let mut closed_after = Vec::new();
    for fault in faults {
        to_minute(&mut stage, 4_000);
        let end_ms = stage.desk.now_ms() / MINUTE_MS * MINUTE_MS + MINUTE_MS;
        stage.fault(fault);
        stage.run_ms(40_000);
        let start_ms = end_ms - MINUTE_MS;
        let candle = stage.seen.candles["BTCUSDT"].iter().find(|it| it.closed && it.start_ms == start_ms);
        let candle = *candle.unwrap_or_else(|| panic!("{fault}: never closed"));
        let after_ms = (candle.at_ms + crate::stage::START_MS as u64).saturating_sub(end_ms);
        closed_after.push(after_ms);
        assert!(after_ms <= 10_000, "{fault}: closed after {after_ms} ms");
        assert!(is_true(&stage, "BTCUSDT", &candle), "{fault}: {candle:?}");
    }
    println!("closed after {closed_after:?} ms");
    assert!(closed_after[0] >= 1_400 && closed_after[0] < 3_000, "by its own frame, late: {closed_after:?}");
    assert!(closed_after[1..].iter().all(|after| *after < 10_000), "by REST: {closed_after:?}");
    assert!(closed_after[3] >= 3_000, "the timer alone: {closed_after:?}");
    stage.run_ms(60_000);
    let (first, last) = closes(&stage, "BTCUSDT");
    assert!(first.len() >= 4);
    assert!(
        stage.seen.candles["BTCUSDT"].iter().all(|candle| !candle.revised),
        "nothing had to be corrected"
    );
    assert!(last.values().all(|candle| is_true(&stage, "BTCUSDT", candle)));
    assert_eq!(stage.seen.lost, []);

    // REST fails as well: closed with the best known after ten seconds, and corrected when it can be.
    to_minute(&mut stage, 4_000);
    stage.fault("silence_klines symbol=BTCUSDT for_ms=12000");
    stage.fault("candle_rest_down for_ms=60000");
    stage.run_ms(100_000);
    let (first, last) = closes(&stage, "BTCUSDT");
    assert!(last.values().all(|candle| is_true(&stage, "BTCUSDT", candle)), "true in the end");
    assert!(first.iter().any(|candle| !is_true(&stage, "BTCUSDT", candle)), "the fault has bitten");
    assert!(stage.seen.candles["BTCUSDT"].iter().any(|candle| candle.revised), "and was corrected openly");
}

/// What the venue knows of a period only later finds its place: closed at once with what there is, corrected when it
/// comes, never twice and never out of order.
#[test]
fn fault_26_zero_volume_candles_later() {
    let mut scene = Scene::of(&["BTC", "ETH"], &[Stream::Orderbook, Stream::Trades, Stream::Candles]);
    scene.intervals = vec![Interval::M1];
    let mut stage = scene.hyperliquid();
    stage.until_live(&[Stream::Candles], 60_000);
    let ask =
        request("get_candles").venue("hyperliquid").symbol("BTC").with("interval", "1m").with("count", 12);
    stage.ask(&ask);
    to_minute(&mut stage, 55_000);
    stage.run_ms(120_000);
    // Nobody trades for three minutes, and REST has no row of them for another one.
    stage.fault("stop_trades symbol=BTC for_ms=250000");
    stage.fault("late_candle_rows symbol=BTC lag_ms=90000 for_ms=400000 how=missing");
    stage.run_ms(310_000);
    let (first, _) = closes(&stage, "BTC");
    let flat: Vec<_> = first.iter().filter(|candle| candle.num_trades == 0).collect();
    assert!(flat.len() >= 3, "{first:?}");
    for candle in &flat {
        let at = first.iter().position(|it| it == *candle).unwrap();
        assert_eq!(
            (candle.volume_e8, candle.close_e8),
            (0, first[at - 1].close_e8),
            "flat, at the last close"
        );
    }
    // Two minutes of which neither a frame nor a trade arrives, and whose rows come late.
    to_minute(&mut stage, 30_000);
    stage.fault("silence_symbol symbol=BTC for_ms=130000");
    stage.run_ms(130_000);
    stage.run_ms(400_000);
    let (first, last) = closes(&stage, "BTC");
    assert!(stage.seen.candles["BTC"].iter().any(|candle| candle.revised), "what came later was told");
    let wrong: Vec<_> = last.values().filter(|candle| !is_true(&stage, "BTC", candle)).collect();
    assert!(wrong.is_empty(), "true in the end: {wrong:?}");
    assert!(first.len() >= 13);
    // And whoever asks gets each minute once, the late ones too.
    let (kind, rows) = stage.ask(&ask);
    assert_eq!(kind, "candles", "{rows}");
    let rows = rows.as_array().unwrap().clone();
    assert_eq!(rows.len(), 12);
    let starts: Vec<u64> =
        rows.iter().map(|row| field(row, "timestamp").unwrap().as_u64().unwrap()).collect();
    assert!(starts.windows(2).all(|pair| pair[1] == pair[0] + 60), "{starts:?}");
    for row in rows.iter().take(11) {
        let start_ms = field(row, "timestamp").unwrap().as_i64().unwrap() * 1_000;
        let truth = stage.desk.truth().candles("BTC", "1m", start_ms, start_ms + 1).unwrap()[0];
        let volume = field(row, "volume").unwrap().as_f64().unwrap();
        assert_eq!((volume * 1e8).round() as i128, truth.volume_e8, "{start_ms}");
    }
    assert_eq!(stage.seen.state("BTC", Stream::Candles), Some((State::Live, Reason::None)));
}
