//! The Hyperliquid session without sockets: the fused book, backlog and duplicates, silence.

mod support;

use codec::record::{Kind, Record, flags};
use codec::venues::rest_hyperliquid;
use codec::words::{Reason, State, Stream};
use engine::fetch::{Answer, Query};
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::{Action, Session};
use support::{Bench, capture, settings};

const META: &str = r#"{"universe":[{"name":"BTC","szDecimals":5,"maxLeverage":40},{"name":"MATIC","szDecimals":1,"isDelisted":true}],"marginTables":[]}"#;

fn connect(bench: &mut Bench<HyperliquidSession>) {
    bench.pass_ms(10);
    while let Some((link, generation)) = bench.take(|action| match action {
        Action::Connect { link, generation, .. } => Some((*link, *generation)),
        _ => None,
    }) {
        bench.with(|session, now, out| session.on_connected(link, generation, now, out));
    }
    bench.pass_ms(10);
    acknowledge(bench);
}

/// Echoes every subscription as the venue does, defaults filled in.
fn acknowledge(bench: &mut Bench<HyperliquidSession>) {
    while let Some((link, text)) = bench.take(|action| match action {
        Action::Send { link, text } if text.contains("subscribe") => Some((*link, text.clone())),
        _ => None,
    }) {
        let subscription = text.split_once("\"subscription\":").unwrap().1.trim_end_matches('}');
        let subscription = if subscription.contains("l2Book") && !subscription.contains("fast") {
            format!("{subscription},\"nSigFigs\":null,\"mantissa\":null,\"fast\":false}}")
        } else {
            format!("{subscription}}}")
        };
        bench.message(
            link,
            &format!(r#"{{"channel":"subscriptionResponse","data":{{"method":"subscribe","subscription":{subscription}}}}}"#),
        );
    }
}

fn started(symbols: &[&str], sources: BookSources) -> Bench<HyperliquidSession> {
    started_at(symbols, sources, None)
}

/// As [`started`], at this real time, ns.
fn started_at(symbols: &[&str], sources: BookSources, wall_ns: Option<u64>) -> Bench<HyperliquidSession> {
    let mut bench = Bench::new(HyperliquidSession::new(settings(symbols), sources));
    bench.now.wall_ns = wall_ns.unwrap_or(bench.now.wall_ns);
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    assert_eq!(request.query, Query::Instruments);
    let list = rest_hyperliquid::meta(&mut META.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(list)));
    connect(&mut bench);
    bench
}

fn statuses(bench: &mut Bench<HyperliquidSession>, stream: Stream) -> Vec<(State, Reason)> {
    let mut seen = Vec::new();
    bench.drain(|record| {
        if let Some(status) = record.status()
            && record.header().stream == stream.number()
        {
            seen.push((status.state().unwrap(), status.reason().unwrap()));
        }
    });
    seen
}

fn fast(time_ms: u64, bid: u32, ask: u32) -> String {
    format!(
        r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":{time_ms},"levels":[[{{"px":"{bid}.0","sz":"1.5","n":1}}],[{{"px":"{ask}.0","sz":"2.0","n":1}}]],"fast":true}}}}"#
    )
}

fn trades(list: &[(u64, u64)]) -> String {
    let rows: Vec<String> = list
        .iter()
        .map(|(time, tid)| {
            format!(r#"{{"coin":"BTC","side":"A","px":"100.0","sz":"0.5","time":{time},"hash":"0x0","tid":{tid}}}"#)
        })
        .collect();
    format!(r#"{{"channel":"trades","data":[{}]}}"#, rows.join(","))
}

/// (trade id, flags) of every trade record, and the gaps between.
fn published(bench: &mut Bench<HyperliquidSession>) -> (Vec<(u64, u8)>, Vec<Reason>) {
    let (mut seen, mut gaps) = (Vec::new(), Vec::new());
    bench.drain(|record| {
        if let Some(trade) = record.trade() {
            seen.push((trade.trade_id, record.header().flags));
        }
        if let Some(gap) = record.gap()
            && record.header().stream == Stream::Trades.number()
        {
            gaps.push(gap.reason().unwrap());
        }
    });
    (seen, gaps)
}

const HISTORY: u8 = flags::BACKFILL | flags::SNAPSHOT;

#[test]
fn a_delisted_coin_is_not_subscribed() {
    let mut bench = Bench::new(HyperliquidSession::new(settings(&["MATIC", "BTC"]), BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let list = rest_hyperliquid::meta(&mut META.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(list)));
    let down = statuses(&mut bench, Stream::Orderbook);
    assert!(down.contains(&(State::Down, Reason::UnknownSymbol)), "{down:?}");
    bench.pass_ms(10);
    for link in [0, 1] {
        bench.with(|session, now, out| session.on_connected(link, 1, now, out));
    }
    bench.pass_ms(10);
    assert!(
        bench
            .actions
            .iter()
            .all(|action| !matches!(action, Action::Send { text, .. } if text.contains("MATIC")))
    );
    assert!(
        bench
            .actions
            .iter()
            .any(|action| matches!(action, Action::Send { text, .. } if text.contains("BTC")))
    );
}

#[test]
fn a_book_is_live_with_its_first_frame_and_stale_after_two_silent_seconds() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.records();
    bench.message(0, &fast(1_000, 100, 101));
    let records = bench.records();
    let order: Vec<_> = records.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(&order[..2], &[Kind::Status, Kind::BookSnapshot]);
    bench.pass_ms(2_100);
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Stale, Reason::Silence)]);
    bench.message(0, &fast(4_000, 100, 101));
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Live, Reason::None)]);
}

fn default_book(time_ms: u64) -> String {
    fast(time_ms, 100, 101).replace(",\"fast\":true", "")
}

#[test]
fn an_acknowledged_book_that_stays_silent_is_down() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.records();
    for _ in 0..110 {
        bench.pass_ms(100);
        bench.message(
            0,
            &trades(&[]).replace("[]", r#"[{"coin":"X","side":"A","px":"1","sz":"1","time":1,"tid":1}]"#),
        );
    }
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Down, Reason::NoFirstData)]);
}

#[test]
fn the_slow_source_does_not_make_up_for_the_silence_of_the_fast_one() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(1_000, 100, 101));
    bench.records();
    bench.pass_ms(2_100);
    bench.message(1, &default_book(3_000));
    bench.pass_ms(100);
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Stale, Reason::Silence)]);
    bench.message(0, &fast(3_500, 100, 101));
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Live, Reason::None)]);
}

#[test]
fn without_its_own_connection_a_book_or_quote_is_not_live() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(1_000, 100, 101));
    bench.close(0, 1);
    bench.records();
    bench.message(1, &default_book(1_500));
    bench.pass_ms(20);
    assert!(!statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
    bench.message(1, &default_book(1_600));
    assert!(statuses(&mut bench, Stream::Quotes).is_empty());
}

#[test]
fn a_crossed_frame_is_told_and_not_served() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(1_000, 100, 101));
    bench.records();
    bench.message(0, &fast(1_500, 102, 101));
    let records = bench.records();
    assert!(records.iter().all(|(kind, _)| matches!(kind, Kind::Gap | Kind::Status)), "{records:?}");
    bench.message(0, &fast(2_000, 100, 101));
    assert!(statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
}

#[test]
fn a_level_with_more_digits_than_are_carried_is_told_and_its_book_not_served() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(1_000, 100, 101));
    bench.records();
    bench.message(0, &fast(1_500, 100, 101).replace("100.0", "100.000000001"));
    let mut told = Vec::new();
    bench.drain(|record| {
        assert!(record.gap().is_none_or(|gap| gap.reason() == Some(Reason::Unrepresentable)));
        assert!(record.status().is_none_or(|status| status.state() == Some(State::Stale)));
        told.push(record.kind());
    });
    assert_eq!(told, [Kind::Gap, Kind::Status]);
    bench.message(0, &fast(2_000, 100, 101));
    assert!(statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
}

#[test]
fn the_backlog_after_a_first_subscription_is_history() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.records();
    bench.message(0, &fast(10_000, 100, 101));
    bench.message(0, &trades(&[(3_000, 1), (4_000, 2)]));
    bench.message(0, &trades(&[(10_100, 3), (10_100, 4)]));
    bench.message(0, &trades(&[(10_100, 4), (10_200, 5)]));
    let (seen, gaps) = published(&mut bench);
    assert_eq!(seen, [(1, HISTORY), (2, HISTORY), (3, 0), (4, 0), (5, 0)]);
    assert!(gaps.is_empty());
}

#[test]
fn a_trade_is_known_by_its_time_and_its_tid_together() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(10_000, 100, 101));
    bench.records();
    bench.message(0, &trades(&[(10_100, 3)]));
    // The same tid in a later block is another trade; a block that comes again, late, is not.
    bench.message(0, &trades(&[(10_200, 3), (10_200, 4)]));
    bench.message(0, &trades(&[(10_100, 3), (10_200, 4), (10_200, 3)]));
    bench.message(0, &trades(&[(10_100, 4)]));
    let (seen, gaps) = published(&mut bench);
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 3, 4, 4]);
    assert!(gaps.is_empty());
}

/// As at Binance: nobody is told of it, and no candle's low is zero because of it.
#[test]
fn a_trade_at_nothing_is_no_trade() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(10_000, 100, 101));
    bench.records();
    bench.message(0, &trades(&[(10_100, 1)]).replace("100.0", "0.0"));
    bench.message(0, &trades(&[(10_100, 2)]).replace("0.5", "0"));
    bench.message(0, &trades(&[(10_200, 3)]));
    let (seen, gaps) = published(&mut bench);
    assert_eq!(seen, [(3, 0)]);
    assert!(gaps.is_empty());
}

#[test]
fn what_is_told_of_an_earlier_connection_changes_nothing() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(1_000, 100, 101));
    bench.close(0, 1);
    bench.pass_ms(1_100);
    bench.records();
    bench.with(|session, now, out| session.on_connected(0, 1, now, out));
    assert!(bench.take(|action| matches!(action, Action::Send { link: 0, .. }).then_some(())).is_none());
    connect(&mut bench);
    bench.message(0, &fast(2_000, 100, 101));
    bench.records();
    bench.close(0, 1);
    assert!(bench.records().is_empty(), "the present connection is open");
}

#[test]
fn after_a_reconnect_only_what_was_missed_follows() {
    let mut bench = started(&["BTC"], BookSources::Both);
    bench.message(0, &fast(10_000, 100, 101));
    bench.message(0, &trades(&[(10_100, 3), (10_200, 4)]));
    bench.records();
    bench.close(0, 1);
    bench.pass_ms(1_100);
    connect(&mut bench);
    bench.message(0, &fast(20_000, 100, 101));
    bench.message(0, &trades(&[(10_200, 4), (11_000, 5), (12_000, 6)]));
    bench.message(0, &trades(&[(20_500, 7)]));
    let (seen, gaps) = published(&mut bench);
    assert_eq!(gaps, [], "the backlog reaches back to a trade that was seen");
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [5, 6, 7]);

    bench.close(0, 2);
    bench.pass_ms(2_100);
    connect(&mut bench);
    bench.message(0, &trades(&[(31_000, 8)]));
    let (seen, gaps) = published(&mut bench);
    assert_eq!(gaps, [Reason::Disconnect], "nothing shows that no trade was lost");
    assert_eq!(seen.len(), 1);
}

#[test]
fn already_subscribed_is_as_good_as_an_acknowledgement() {
    let mut bench = Bench::new(HyperliquidSession::new(settings(&["BTC"]), BookSources::Fast));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let list = rest_hyperliquid::meta(&mut META.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(list)));
    bench.pass_ms(10);
    bench.with(|session, now, out| session.on_connected(0, 1, now, out));
    bench.message(
        0,
        r#"{"channel":"error","data":"Already subscribed: {\"type\":\"trades\",\"coin\":\"BTC\"}"}"#,
    );
    assert!(statuses(&mut bench, Stream::Trades).contains(&(State::Live, Reason::None)));
}

#[test]
fn a_ping_goes_out_and_a_missing_pong_makes_the_connection_anew() {
    let mut bench = started(&["BTC"], BookSources::Both);
    for second in 0..36 {
        bench.message(0, &fast(second * 1000, 100, 101));
        bench.message(1, &fast(second * 1000, 100, 101));
        bench.pass_ms(1000);
    }
    let mut pings = 0;
    while bench
        .take(|action| matches!(action, Action::Send { text, .. } if text.contains("ping")).then_some(()))
        .is_some()
    {
        pings += 1;
    }
    assert!(pings >= 2);
    assert!(bench.actions.iter().any(|action| matches!(action, Action::Close { .. })), "{:?}", bench.actions);
}

#[test]
fn the_real_capture_gives_the_frames_books_and_each_trade_once() {
    let Some(lines) = capture("hyperliquid/btc_l2book_trades_20250126.txt.gz") else { return };
    let mut bench = started_at(&["BTC"], BookSources::Default, Some(lines[0].0));
    bench.records();
    let mut decoder = codec::venues::hyperliquid::Decoder::new();
    let mut replica = codec::book::Book::<codec::book::TimedLevel>::new(64);
    let (mut books, mut live, mut history) = (0, 0, 0);
    let mut ids = std::collections::BTreeSet::new();
    for (_, json) in &lines {
        bench.pass_ms(100);
        let link = u8::from(json.contains("l2Book"));
        bench.message(link, json);
        bench.drain(|record: Record<'_>| {
            if let Some(book) = record.book() {
                replica.apply_record(&book, record.kind() == Kind::BookSnapshot);
            }
            if let Some(trade) = record.trade() {
                assert!(ids.insert(trade.trade_id), "trade {} twice", trade.trade_id);
                if record.header().has(flags::SNAPSHOT) { history += 1 } else { live += 1 }
            }
        });
        if let Ok(codec::venues::hyperliquid::Message::Book(frame)) = decoder.decode(json.as_bytes()) {
            let held = |side: &codec::book::BookSide<codec::book::TimedLevel>| {
                side.iter().map(|held| held.level).collect::<Vec<_>>()
            };
            assert_eq!(held(&replica.bids), frame.bids);
            assert_eq!(held(&replica.asks), frame.asks);
            books += 1;
        }
    }
    println!("{books} books, {live} live trades, {history} of the backlog");
    assert!(books > 20 && live > 5 && history > 5);
}
