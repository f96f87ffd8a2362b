//! Trades: each one once, whatever comes twice, late, or is none.

use crate::scripted::Scripted;
use crate::stage::{START_MS, Scene};
use codec::venues::rest_binance;
use codec::words::{Reason, State, Stream};
use engine::fetch::{Answer, Query};
use engine::session::account::{Account, Channel, DropReason};

/// The connection that trades come by.
const MARKET: u8 = 2;

/// A frame with price zero is no trade: its id counts, and nobody is told of a trade at nothing.
#[test]
fn fault_13_zero_price_placeholder() {
    let mut bench = Scripted::subscribed(&["BTCUSDT"]);
    let frame = |id: u64, price: &str, tail: &str| {
        format!(
            r#"{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":1700000000000,"a":{id},"s":"BTCUSDT","p":"{price}","q":"0.5","f":1,"l":1,"T":1700000000000,"m":true{tail}}}}}"#
        )
    };
    let mut told = Vec::new();
    let mut say = |bench: &mut Scripted, texts: &[String]| {
        for text in texts {
            bench.message(MARKET, text);
        }
        bench.drain(|record| {
            if let Some(trade) = record.trade() {
                assert!(trade.price.raw() > 0 && trade.size.raw() > 0, "a trade at nothing: {trade:?}");
                told.push(Ok(trade.trade_id));
            } else if let Some(gap) = record.gap() {
                told.push(Err((gap.reason().unwrap(), gap.first_missed, gap.last_missed)));
            }
        });
        std::mem::take(&mut told)
    };
    // In every spelling, by the scanner and (with a field it does not know) by the general decoder.
    let texts: Vec<String> = ["100.5", "0", "0.0", "0.00000000", "100.5"]
        .iter()
        .zip(10..)
        .map(|(price, id)| frame(id, price, if id == 12 { r#","new":1"# } else { "" }))
        .collect();
    assert_eq!(say(&mut bench, &texts), [Ok(10), Ok(14)], "their ids count: no hole is seen");
    // A placeholder may be the first thing after a hole, and a hole may hold some.
    assert_eq!(
        say(&mut bench, &[frame(18, "0", ""), frame(19, "101", "")]),
        [Err((Reason::SequenceBreak, 15, 17)), Ok(19)]
    );
    bench.pass_ms(20, false);
    let asked = bench.fetch().expect("the hole is asked for");
    assert!(matches!(asked.query, Query::AggTrades { from_id: 15, limit: 3, .. }), "{asked:?}");
    let rows = r#"[{"a":15,"p":"100","q":"1","f":1,"l":1,"T":1,"m":true},{"a":16,"p":"0","q":"0","f":2,"l":2,"T":2,"m":true},{"a":17,"p":"100","q":"1","f":3,"l":3,"T":3,"m":false}]"#;
    let rows = rest_binance::agg_trades(&mut rows.as_bytes().to_vec()).unwrap();
    bench.answer(asked, Answer::AggTrades(rows));
    assert_eq!(say(&mut bench, &[]), [Ok(15), Ok(17)], "and nothing is told as lost for good");
    // The raw trades' stream, where the venue shows placeholders of its own and of the insurance fund, is not used.
    let raw = |origin: &str| {
        format!(
            r#"{{"stream":"btcusdt@trade","data":{{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":99,"p":"0","q":"0","X":"{origin}","m":true}}}}"#
        )
    };
    assert_eq!(say(&mut bench, &[raw("NA"), raw("INSURANCE_FUND"), raw("MARKET")]), []);
    assert_eq!(say(&mut bench, &[frame(20, "102", "")]), [Ok(20)], "and has no ids of ours");
}

/// A trade is told once: what the venue replays after a reconnect, what comes twice, what two connections bring, and
/// what REST fills in.
#[test]
fn fault_28_duplicate_trades_after_reconnect() {
    // Hyperliquid replays the last trades after each subscription, and says nothing of it.
    let mut scene = Scene::of(&["BTC", "ETH"], &[Stream::Trades]).with(|config| {
        config.hyperliquid.market.trade_share = 0.05;
    });
    let mut stage = scene.hyperliquid();
    stage.until_live(&[Stream::Trades], 20_000);
    stage.run_ms(20_000);
    for (round, how) in ["drop", "close", "reset", "drop"].into_iter().enumerate() {
        if round % 2 == 0 {
            stage.fault("duplicate_frames symbol=BTC frames=5");
        }
        stage.fault(&format!("cut how={how}"));
        stage.run_ms(12_000);
    }
    let backlog_again = stage.desk.truth().counters().connections_opened;
    assert!(backlog_again >= 5, "{backlog_again}");
    for symbol in ["BTC", "ETH"] {
        let seen = &stage.seen.trades[symbol];
        let mut ids: Vec<_> = seen.iter().map(|trade| trade.id).collect();
        ids.sort_unstable();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids.len(), count, "{symbol}: a trade twice");
        // All of the market's, from the start on: the backlog reached back to what was seen, so nothing is missing.
        let from_ms = START_MS + 2_000;
        let all = stage
            .desk
            .truth()
            .market()
            .trades_between(symbol, from_ms, stage.desk.truth().now_ms() - 500)
            .unwrap();
        let missing: Vec<_> = all.iter().filter(|trade| ids.binary_search(&trade.id).is_err()).collect();
        let gaps = stage.seen.lost.iter().filter(|lost| lost.symbol == symbol).count();
        assert!(missing.is_empty() || gaps > 0, "{symbol}: {missing:?} missing and not told");
        assert!(gaps == 0, "{symbol}: the backlog reached back: {:?}", stage.seen.lost);
        assert!(seen.iter().any(|trade| trade.is_history), "the first backlog is history");
        assert!(seen.iter().any(|trade| trade.is_backfill && !trade.is_history), "what was missed follows");
    }

    // Binance replays nothing: REST fills, and ids are counted.
    scene.symbols = vec!["BTCUSDT".to_owned(), "ETHUSDT".to_owned()];
    scene.config.binance.market.trade_share = 0.6;
    let mut stage = scene.binance();
    stage.until_live(&[Stream::Trades], 20_000);
    stage.run_ms(10_000);
    for how in ["drop", "close", "reset"] {
        stage.fault("duplicate_frames symbol=BTCUSDT frames=20");
        stage.fault("drop_trades symbol=ETHUSDT count=3");
        stage.run_ms(5_000);
        stage.fault(&format!("cut how={how}"));
        stage.run_ms(15_000);
    }
    stage.run_ms(20_000);
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let count = stage.seen.assert_every_trade_once(symbol);
        let filled = stage.seen.trades[symbol].iter().filter(|trade| trade.is_backfill).count();
        println!("{symbol}: {count} trades, {filled} of them filled in");
        assert!(filled > 3, "{filled}");
    }
    // Each loss was told before it was filled, with how many.
    let told: u64 = stage
        .seen
        .lost
        .iter()
        .filter(|lost| lost.stream == Stream::Trades)
        .filter_map(|lost| lost.missed)
        .sum();
    let filled: usize = stage.seen.trades.values().flatten().filter(|trade| trade.is_backfill).count();
    assert_eq!(told, filled as u64, "{:?}", stage.seen.lost);
    assert_eq!(stage.seen.state("BTCUSDT", Stream::Trades), Some((State::Live, Reason::None)));
    of_an_overlap();
}

/// While a connection of Binance is replaced, both bring every trade.
fn of_an_overlap() {
    let mut scene = Scene::of(&["BTCUSDT"], &[Stream::Trades]);
    scene.config = sim::Config::universe(2, 0);
    scene.config.binance.market.retention_ms = 100_000_000;
    scene.stale_after_ms = Some(120_000);
    let mut stage = scene.binance();
    stage.until_live(&[Stream::Trades], 120_000);
    let connects = stage.desk.connects();
    stage.seen.forget();
    // Replaced at about 23 hours; a day has passed then without a cut.
    while stage.desk.connects() == connects {
        assert!(stage.at_ms() < 24 * 3_600_000, "never replaced");
        stage.step(500);
    }
    let account = stage.desk.seats[0].session.account().unwrap();
    let twice = |account: &Account| account.items_dropped(Channel::Trades, DropReason::Duplicate);
    assert_eq!(twice(&account), 0);
    let before = stage.seen.trades["BTCUSDT"].len();
    stage.run_ms(300_000);
    let during = stage.seen.trades["BTCUSDT"].len() - before;
    assert!(twice(&account) > 0, "the overlap brought nothing twice, of {during} trades");
    assert!(stage.seen.assert_every_trade_once("BTCUSDT") > before);
    assert_eq!(account.items_published(Channel::Trades), (before + during) as u64);
    assert_eq!((&stage.seen.told[..], &stage.seen.lost[..]), (&[][..], &[][..]), "nobody notices");
    assert!(stage.seen.trades["BTCUSDT"].iter().all(|trade| !trade.is_backfill), "nothing was missed");
}
