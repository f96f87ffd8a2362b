//! The Binance session without sockets: joins, breaks, holes, silence, and the real capture.

mod support;

use codec::book::Book;
use codec::decimal::{Price, Size};
use codec::record::{Kind, Level, Record};
use codec::venues::{rest_binance, rest_binance::ExchangeInfo};
use codec::words::{Reason, State, Stream};
use engine::fetch::{Answer, FetchError, FetchRequest, Priority, Query};
use engine::session::binance::BinanceSession;
use engine::session::{Action, Interest, Session};
use std::collections::BTreeMap;
use support::{Bench, capture, settings};

const EXCHANGE_INFO: &str = r#"{"rateLimits":[],"symbols":[{"symbol":"BTCUSDT","pair":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.10","minPrice":"1","maxPrice":"2"},{"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"1","maxQty":"2"}]}]}"#;

/// The second group's first slot: trades.
const MARKET: u8 = 2;

fn exchange_info() -> ExchangeInfo {
    rest_binance::exchange_info(&mut EXCHANGE_INFO.as_bytes().to_vec()).unwrap()
}

/// A session with both connections open and acknowledged.
fn subscribed() -> Bench<BinanceSession> {
    let mut bench = Bench::new(BinanceSession::new(settings(&["BTCUSDT"])));
    bench.with(Session::on_start);
    let request = bench.fetch().expect("asks for the instruments");
    assert_eq!(request.query, Query::Instruments);
    bench.answer(request, Ok(Answer::BinanceInstruments(exchange_info())));
    connect(&mut bench);
    bench
}

/// Opens every connection asked for and acknowledges every subscription.
fn connect(bench: &mut Bench<BinanceSession>) {
    bench.pass_ms(10);
    while let Some((link, generation)) = bench.take(|action| match action {
        Action::Connect { link, generation, .. } => Some((*link, *generation)),
        _ => None,
    }) {
        bench.with(|session, now, out| {
            session.on_connected(link, generation, now, out);
        });
    }
    bench.pass_ms(10);
    while let Some((link, text)) = bench.take(|action| match action {
        Action::Send { link, text } => Some((*link, text.clone())),
        _ => None,
    }) {
        let id = text.rsplit_once("\"id\":").unwrap().1.trim_end_matches('}').to_owned();
        bench.message(link, &format!("{{\"result\":null,\"id\":{id}}}"));
    }
}

fn depth(first: u64, last: u64, prev: u64, bids: &str, asks: &str) -> String {
    format!(
        r#"{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1700000000000,"T":1700000000000,"s":"BTCUSDT","U":{first},"u":{last},"pu":{prev},"b":[{bids}],"a":[{asks}]}}}}"#
    )
}

fn snapshot(id: u64, bids: &str, asks: &str) -> Answer {
    let body = format!(
        r#"{{"lastUpdateId":{id},"E":1700000000000,"T":1700000000000,"bids":[{bids}],"asks":[{asks}]}}"#
    );
    Answer::BinanceBook(rest_binance::depth(&mut body.into_bytes()).unwrap())
}

fn agg_trade(id: u64) -> String {
    format!(
        r#"{{"stream":"btcusdt@aggTrade","data":{{"e":"aggTrade","E":1700000000000,"a":{id},"s":"BTCUSDT","p":"100.5","q":"0.5","f":1,"l":1,"T":1700000000000,"m":true}}}}"#
    )
}

/// (state, reason) of every status of a stream, in order.
fn statuses(bench: &mut Bench<BinanceSession>, stream: Stream) -> Vec<(State, Reason)> {
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

fn book_fetch(bench: &mut Bench<BinanceSession>) -> FetchRequest {
    bench.pass_ms(10);
    let request = bench.fetch().expect("asks for a snapshot");
    assert!(matches!(&request.query, Query::Book { symbol, limit: 1000 } if symbol == "BTCUSDT"));
    request
}

fn live() -> Bench<BinanceSession> {
    let mut bench = subscribed();
    bench.message(0, &depth(1, 10, 0, r#"["100","1"]"#, r#"["101","1"]"#));
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(8, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
    bench
}

#[test]
fn subscribes_each_stream_on_its_own_route() {
    let mut bench = Bench::new(BinanceSession::new(settings(&["BTCUSDT"])));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(exchange_info())));
    bench.pass_ms(10);
    let mut urls = Vec::new();
    while let Some((link, generation, url)) = bench.take(|action| match action {
        Action::Connect { link, generation, url } => Some((*link, *generation, url.clone())),
        _ => None,
    }) {
        bench.with(|session, now, out| session.on_connected(link, generation, now, out));
        urls.push(url);
    }
    assert_eq!(urls, ["wss://venue/public/stream", "wss://venue/market/stream"]);
    let mut sent = Vec::new();
    while let Some(text) = bench.take(|action| match action {
        Action::Send { link, text } => Some((*link, text.clone())),
        _ => None,
    }) {
        sent.push(text);
    }
    assert!(
        sent[0].1.contains("btcusdt@depth@100ms") && sent[0].1.contains("btcusdt@bookTicker"),
        "{sent:?}"
    );
    assert!(sent[1].1.contains("btcusdt@aggTrade") && !sent[1].1.contains("depth"), "{sent:?}");
    assert_eq!((sent[0].0, sent[1].0), (0, MARKET));
}

#[test]
fn joins_on_the_exact_id_and_drops_only_what_is_older() {
    let mut bench = subscribed();
    // 97 is gone again before the snapshot, which does not say so.
    bench.message(0, &depth(1, 10, 0, r#"["100","1"],["97","5"]"#, ""));
    bench.message(0, &depth(15, 20, 10, r#"["100","2"]"#, ""));
    let request = book_fetch(&mut bench);
    bench.message(0, &depth(22, 30, 20, r#"["99","3"]"#, r#"["101","1"]"#));
    // The snapshot stands exactly at a buffered event: spot's rule would wait for ever.
    bench.answer(request, Ok(snapshot(20, r#"["100","2"],["98","1"]"#, r#"["102","2"]"#)));
    let records = bench.records();
    let words = &records.iter().find(|(kind, _)| *kind == Kind::BookSnapshot).unwrap().1;
    let record = Record::first(words).unwrap();
    let book = record.book().unwrap();
    assert_eq!(record.header().venue_sequence, 30);
    let shown = |levels: &[Level]| {
        levels.iter().map(|level| format!("{}x{}", level.price, level.size)).collect::<Vec<_>>()
    };
    assert_eq!(shown(book.bids), ["100x2", "99x3", "98x1"]);
    assert_eq!(shown(book.asks), ["101x1", "102x2"]);
    assert_eq!(book.body.bid_horizon.raw(), i64::MIN, "a short snapshot is the whole book");
}

#[test]
fn a_stale_snapshot_is_asked_for_again_with_the_buffer_kept() {
    let mut bench = subscribed();
    bench.message(0, &depth(11, 20, 10, r#"["100","1"]"#, ""));
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(5, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert!(!statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
    bench.pass_ms(300);
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(12, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
}

/// The venue's ids are shared by all symbols: a snapshot may stand in the hole before the next event.
#[test]
fn a_snapshot_ahead_of_a_quiet_stream_is_joined_when_a_second_one_is_the_same() {
    for (later, then) in [
        (depth(14, 20, 10, r#"["100","7"]"#, ""), State::Live),
        // It ends before the snapshot: something lay between, and the book has to be joined anew.
        (depth(11, 11, 10, r#"["100","7"]"#, ""), State::Resyncing),
    ] {
        let mut bench = subscribed();
        bench.message(0, &depth(1, 10, 0, r#"["100","1"],["97","0"]"#, ""));
        let request = book_fetch(&mut bench);
        let ahead = |id| snapshot(id, r#"["100","1"],["99","2"]"#, r#"["102","2"]"#);
        bench.answer(request, Ok(ahead(12)));
        assert!(!statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
        bench.pass_ms(1_900);
        assert!(bench.fetch().is_none(), "the stream has its time");
        bench.pass_ms(200);
        let request = book_fetch(&mut bench);
        bench.answer(request, Ok(ahead(13)));
        assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
        bench.message(0, &later);
        bench.pass_ms(10);
        let told = statuses(&mut bench, Stream::Orderbook);
        assert_eq!(told.last().map_or(State::Live, |told| told.0), then, "{told:?}");
    }
}

#[test]
fn a_snapshot_ahead_of_a_silent_stream_is_not_joined_while_the_two_do_not_agree() {
    // The market goes on without the stream; it is another market; there is nothing to tell it by.
    let same = r#"["100","1"]"#;
    let owes = Some(&(State::Stale, Reason::Silence));
    let waits = Some(&(State::Warming, Reason::AwaitingSnapshot));
    for (said, first, second, state) in [
        (r#"["100","1"]"#, same, r#"["100","2"]"#, owes),
        (r#"["100","3"]"#, same, same, owes),
        (r#"["101","3"]"#, same, same, owes),
        (r#"["100","0"]"#, same, same, owes),
        (r#"["97","0"]"#, same, same, waits),
    ] {
        let mut bench = subscribed();
        bench.message(0, &depth(1, 10, 0, said, ""));
        let request = book_fetch(&mut bench);
        bench.answer(request, Ok(snapshot(12, first, r#"["102","2"]"#)));
        bench.pass_ms(2_100);
        let request = book_fetch(&mut bench);
        bench.answer(request, Ok(snapshot(12, second, r#"["102","2"]"#)));
        bench.pass_ms(1_000);
        let told = statuses(&mut bench, Stream::Orderbook);
        assert!(!told.contains(&(State::Live, Reason::None)), "{said} {told:?}");
        assert_eq!(told.last(), state, "{said}");
        assert!(bench.fetch().is_none(), "at growing intervals");
        // The stream gets there after all.
        bench.message(0, &depth(11, 12, 10, r#"["100","4"]"#, ""));
        assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
    }
}

#[test]
fn a_stream_that_lags_by_many_events_reaches_its_snapshot() {
    let mut bench = subscribed();
    bench.message(0, &depth(1, 10, 0, r#"["100","1"]"#, ""));
    let request = book_fetch(&mut bench);
    // Twenty seconds at ten events a second.
    bench.answer(request, Ok(snapshot(2_005, r#"["99","2"]"#, r#"["102","2"]"#)));
    for id in (10..2_000).step_by(10) {
        bench.message(0, &depth(id + 1, id + 10, id, r#"["100","1"]"#, ""));
        bench.pass_ms(100);
    }
    assert!(bench.fetch().is_none(), "not asked for again");
    assert!(!statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
    bench.message(0, &depth(2_001, 2_010, 2_000, r#"["100","1"]"#, ""));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
}

#[test]
fn a_snapshot_that_crosses_the_events_after_it_is_not_joined() {
    let mut bench = subscribed();
    bench.message(0, &depth(1, 10, 0, r#"["103","1"]"#, ""));
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(8, r#"["99","2"]"#, r#"["102","2"]"#)));
    bench.drain(|record| {
        assert_ne!(record.kind(), Kind::BookSnapshot);
        let state = record.status().filter(|_| record.header().stream == Stream::Orderbook.number());
        assert_ne!(state.and_then(|status| status.state()), Some(State::Live));
    });
    bench.pass_ms(300);
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(10, r#"["103","1"]"#, r#"["104","2"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
}

/// What crossed is covered up by the next event, not gone.
#[test]
fn a_snapshot_that_an_event_on_the_way_crosses_is_not_joined() {
    let mut bench = subscribed();
    bench.message(0, &depth(1, 10, 0, r#"["103","1"]"#, ""));
    let request = book_fetch(&mut bench);
    bench.message(0, &depth(11, 20, 10, "", r#"["102","0"],["104","1"]"#));
    bench.answer(request, Ok(snapshot(8, r#"["99","2"]"#, r#"["102","2"]"#)));
    bench.drain(|record| assert_ne!(record.kind(), Kind::BookSnapshot));
    bench.pass_ms(300);
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(20, r#"["99","2"]"#, r#"["104","1"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
}

#[test]
fn a_first_snapshot_does_not_hurry_until_somebody_wants_the_book() {
    let mut bench = subscribed();
    bench.message(0, &depth(11, 20, 10, r#"["100","1"]"#, ""));
    let waiting = book_fetch(&mut bench);
    assert_eq!(waiting.priority, Priority::Seed);
    let wanted = |wanted, stream| Interest { instrument: 0, stream, interval: None, wanted };
    bench.session.on_interest(&wanted(true, Stream::Trades));
    bench.pass_ms(10);
    assert_eq!(bench.fetch(), None);
    for again in [true, false, true] {
        bench.session.on_interest(&wanted(again, Stream::Orderbook));
    }
    let request = book_fetch(&mut bench);
    assert_eq!(request.priority, Priority::Repair);
    bench.pass_ms(100);
    assert_eq!(bench.fetch(), None, "once is enough");
    // The request that waited is nobody's any more.
    bench.answer(waiting, Ok(snapshot(12, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert!(!statuses(&mut bench, Stream::Orderbook).contains(&(State::Live, Reason::None)));
    bench.answer(request, Ok(snapshot(12, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
    // A book that was served hurries, whoever wants it.
    bench.session.on_interest(&wanted(false, Stream::Orderbook));
    bench.message(0, &depth(31, 40, 30, r#"["100","9"]"#, ""));
    assert_eq!(book_fetch(&mut bench).priority, Priority::Repair);
}

#[test]
fn a_broken_chain_is_told_at_once_and_never_served() {
    let mut bench = live();
    bench.message(0, &depth(31, 40, 30, r#"["100","9"]"#, ""));
    let records = bench.records();
    let gap = records.iter().find_map(|(_, words)| Record::first(words).unwrap().gap().copied()).unwrap();
    assert_eq!((gap.reason(), gap.first_missed, gap.last_missed), (Some(Reason::SequenceBreak), 11, 30));
    assert!(records.iter().all(|(kind, _)| *kind != Kind::BookDelta));
    // The event that broke the chain is the first of the new buffer.
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(35, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
}

#[test]
fn an_acknowledged_stream_that_stays_silent_is_down_and_asked_for_again() {
    let mut bench = subscribed();
    // The other connection lives, and so does this one: only these two streams are silent.
    for _ in 0..120 {
        bench.pass_ms(100);
        bench.message(0, r#"{"stream":"x@depth","data":{"e":"other","E":1,"s":"X"}}"#);
        bench.message(MARKET, r#"{"stream":"x@markPrice","data":{"e":"other","E":1,"s":"X"}}"#);
    }
    let mut down = Vec::new();
    bench.drain(|record| {
        if let Some(status) = record.status()
            && status.reason() == Some(Reason::NoFirstData)
        {
            down.push(record.header().stream().unwrap());
        }
    });
    assert_eq!(down, [Stream::Orderbook, Stream::Quotes]);
    let again = bench.actions.iter().filter(|action| matches!(action, Action::Send { link: 0, .. })).count();
    assert_eq!(again, 2, "{:?}", bench.actions);
}

#[test]
fn a_failed_snapshot_is_asked_for_again() {
    let mut bench = subscribed();
    bench.message(0, &depth(1, 10, 0, r#"["100","1"]"#, ""));
    let request = book_fetch(&mut bench);
    bench.answer(request, Err(FetchError::Transient("reset".into())));
    assert!(bench.fetch().is_none());
    bench.pass_ms(300);
    let again = bench.fetch().expect("asks again");
    assert!(matches!(again.query, Query::Book { .. }));
}

#[test]
fn a_crossed_book_is_resynchronised() {
    let mut bench = live();
    bench.message(0, &depth(12, 20, 10, r#"["103","1"]"#, ""));
    let seen = statuses(&mut bench, Stream::Orderbook);
    assert_eq!(seen, [(State::Resyncing, Reason::Crossed)]);
}

#[test]
fn a_level_with_more_digits_than_are_carried_is_told_and_its_book_not_served() {
    let mut bench = live();
    bench.message(0, &depth(12, 20, 10, r#"["100.000000001","1"]"#, ""));
    let mut told = Vec::new();
    bench.drain(|record| {
        told.push(record.kind());
        assert!(record.gap().is_none_or(|gap| gap.reason() == Some(Reason::Unrepresentable)));
        if let Some(status) = record.status() {
            assert_eq!(
                (status.state(), status.reason()),
                (Some(State::Stale), Some(Reason::Unrepresentable))
            );
        }
    });
    assert_eq!(told, [Kind::Gap, Kind::Status]);
    bench.message(0, &depth(21, 30, 20, r#"["100","1"]"#, ""));
    let request = book_fetch(&mut bench);
    bench.answer(request, Ok(snapshot(25, r#"["99","2"]"#, r#"["102","2"]"#)));
    assert_eq!(statuses(&mut bench, Stream::Orderbook).last(), Some(&(State::Live, Reason::None)));
}

#[test]
fn a_duplicate_event_changes_nothing() {
    let mut bench = live();
    bench.message(0, &depth(1, 10, 0, r#"["100","7"]"#, ""));
    assert!(bench.records().is_empty());
}

#[test]
fn after_a_reconnect_an_unbroken_chain_goes_on() {
    let mut bench = live();
    bench.close(0, 1);
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Down, Reason::Disconnect)]);
    bench.pass_ms(1000);
    connect(&mut bench);
    bench.records();
    bench.message(0, &depth(12, 20, 10, r#"["100","5"]"#, ""));
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Live, Reason::None)]);
    assert!(bench.fetch().is_none(), "no snapshot is needed");
}

#[test]
fn after_a_reconnect_an_event_that_begins_before_the_chain_holds_all_that_came_after_it() {
    let mut bench = live();
    bench.close(0, 1);
    bench.pass_ms(1000);
    connect(&mut bench);
    bench.records();
    bench.message(0, &depth(6, 20, 5, r#"["100","5"]"#, ""));
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Live, Reason::None)]);
    // Of one connection each event has to begin where the last one ended.
    bench.message(0, &depth(16, 30, 15, r#"["100","6"]"#, ""));
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Resyncing, Reason::SequenceBreak)]);
}

#[test]
fn after_a_reconnect_with_a_loss_there_is_a_gap_and_a_snapshot() {
    let mut bench = live();
    bench.close(0, 1);
    bench.pass_ms(1000);
    connect(&mut bench);
    bench.records();
    bench.message(0, &depth(42, 50, 40, r#"["100","5"]"#, ""));
    let records = bench.records();
    assert!(records.iter().any(|(_, words)| {
        Record::first(words).unwrap().gap().is_some_and(|gap| gap.reason() == Some(Reason::Disconnect))
    }));
    book_fetch(&mut bench);
}

#[test]
fn a_book_that_a_quote_has_passed_for_a_second_is_stale_until_it_catches_up() {
    let mut bench = live();
    bench.message(
        0,
        r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":15,"s":"BTCUSDT","b":"100","B":"1","a":"101","A":"1","T":1,"E":1}}"#,
    );
    bench.pass_ms(900);
    assert!(statuses(&mut bench, Stream::Orderbook).is_empty());
    bench.pass_ms(300);
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Stale, Reason::BehindQuote)]);
    bench.message(0, &depth(12, 20, 10, r#"["100","5"]"#, ""));
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Live, Reason::None)]);
}

#[test]
fn a_silent_connection_is_stale_then_made_anew() {
    let mut bench = live();
    bench.pass_ms(5_100);
    assert_eq!(statuses(&mut bench, Stream::Orderbook), [(State::Stale, Reason::Silence)]);
    bench.pass_ms(5_100);
    assert!(bench.take(|action| matches!(action, Action::Close { link: 0 }).then_some(())).is_some());
    assert_eq!(statuses(&mut bench, Stream::Orderbook).first(), Some(&(State::Down, Reason::Silence)));
}

#[test]
fn what_is_told_of_an_earlier_connection_changes_nothing() {
    let mut bench = live();
    bench.close(0, 1);
    bench.pass_ms(1_100);
    bench.records();
    // Its connect comes through after it was given up.
    bench.with(|session, now, out| session.on_connected(0, 1, now, out));
    assert!(bench.take(|action| matches!(action, Action::Send { link: 0, .. }).then_some(())).is_none());
    connect(&mut bench);
    bench.records();
    bench.close(0, 1);
    assert!(bench.records().is_empty(), "the present connection is open");
}

#[test]
fn an_unacknowledged_subscription_is_asked_for_again_and_then_the_connection_is_made_anew() {
    let mut bench = Bench::new(BinanceSession::new(settings(&["BTCUSDT"])));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(exchange_info())));
    bench.pass_ms(10);
    bench.with(|session, now, out| session.on_connected(0, 1, now, out));
    bench.pass_ms(5_100);
    let asked = bench.actions.iter().filter(|action| matches!(action, Action::Send { link: 0, .. })).count();
    assert_eq!(asked, 2);
    assert!(bench.take(|action| matches!(action, Action::Close { link: 0 }).then_some(())).is_none());
    bench.pass_ms(5_100);
    assert!(bench.take(|action| matches!(action, Action::Close { link: 0 }).then_some(())).is_some());
}

#[test]
fn a_hole_in_trades_is_told_and_filled_once() {
    let mut bench = subscribed();
    bench.records();
    bench.message(MARKET, &agg_trade(100));
    bench.message(MARKET, &agg_trade(104));
    bench.message(MARKET, &agg_trade(104));
    let order: Vec<_> = bench.records().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(order, [Kind::Trade, Kind::Gap, Kind::Trade], "the live trade is not held back");
    bench.pass_ms(10);
    let request = bench.fetch().expect("asks for the missing");
    assert_eq!(request.query, Query::AggTrades { symbol: "BTCUSDT".into(), from_id: 101, limit: 3 });
    let rows = r#"[{"a":101,"p":"1","q":"1","f":1,"l":1,"T":5,"m":false},{"a":102,"p":"1","q":"1","f":1,"l":1,"T":6,"m":false},{"a":104,"p":"1","q":"1","f":1,"l":1,"T":8,"m":false}]"#;
    let rows = rest_binance::agg_trades(&mut rows.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::AggTrades(rows)));
    let mut trades = Vec::new();
    let mut gaps = Vec::new();
    bench.drain(|record| {
        if let Some(trade) = record.trade() {
            assert!(record.header().has(codec::record::flags::BACKFILL));
            trades.push(trade.trade_id);
        }
        if let Some(gap) = record.gap() {
            gaps.push((gap.reason().unwrap(), gap.missed, gap.first_missed));
        }
    });
    assert_eq!(trades, [101, 102]);
    assert_eq!(gaps, [(Reason::VenueHistoryExhausted, 1, 103)], "what the venue does not have is told");
}

#[test]
fn a_hole_of_one_trade_is_a_hole() {
    let mut bench = subscribed();
    bench.records();
    bench.message(MARKET, &agg_trade(100));
    bench.message(MARKET, &agg_trade(102));
    let mut seen = Vec::new();
    bench.drain(|record| {
        seen.push((record.trade().map(|trade| trade.trade_id), record.gap().map(|gap| gap.first_missed)));
    });
    assert_eq!(seen, [(Some(100), None), (None, Some(101)), (Some(102), None)]);
}

#[test]
fn a_trade_that_the_venue_skips_in_a_fill_is_told_before_the_next() {
    let mut bench = subscribed();
    bench.message(MARKET, &agg_trade(100));
    bench.message(MARKET, &agg_trade(104));
    bench.pass_ms(10);
    let request = bench.fetch().expect("asks for the missing");
    bench.records();
    let row = |id| format!(r#"{{"a":{id},"p":"1","q":"1","f":1,"l":1,"T":5,"m":false}}"#);
    let mut body = format!("[{},{}]", row(102), row(103)).into_bytes();
    bench.answer(request, Ok(Answer::AggTrades(rest_binance::agg_trades(&mut body).unwrap())));
    let mut seen = Vec::new();
    bench.drain(|record| {
        seen.push((record.trade().map(|trade| trade.trade_id), record.gap().map(|gap| gap.first_missed)));
    });
    assert_eq!(seen, [(None, Some(101)), (Some(102), None), (Some(103), None)]);
}

#[test]
fn a_trade_with_more_digits_than_are_carried_is_told() {
    let mut bench = subscribed();
    bench.records();
    bench.message(MARKET, &agg_trade(100).replace("100.5", "100.000000001"));
    bench.message(MARKET, &agg_trade(101));
    let mut seen = Vec::new();
    bench.drain(|record| {
        let gap = record.gap().map(|gap| (gap.reason().unwrap(), gap.missed, gap.first_missed));
        seen.push((record.trade().map(|trade| trade.trade_id), gap));
    });
    assert_eq!(seen, [(None, Some((Reason::Unrepresentable, 1, 100))), (Some(101), None)]);
}

#[test]
fn a_venue_that_numbers_anew_is_followed() {
    let mut bench = subscribed();
    bench.message(MARKET, &agg_trade(5_000_000));
    bench.close(MARKET, 1);
    bench.pass_ms(1000);
    connect(&mut bench);
    bench.records();
    bench.message(MARKET, &agg_trade(17));
    bench.message(MARKET, &agg_trade(18));
    let order: Vec<_> = bench.records().iter().map(|(kind, _)| *kind).collect();
    assert_eq!(order, [Kind::Gap, Kind::Trade, Kind::Trade]);
}

#[test]
fn trades_missed_in_an_outage_are_asked_for_without_waiting_for_the_next() {
    let mut bench = subscribed();
    bench.message(MARKET, &agg_trade(100));
    bench.close(MARKET, 1);
    bench.pass_ms(1000);
    connect(&mut bench);
    bench.records();
    bench.pass_ms(2_100);
    let request = bench.fetch().expect("asks what it missed");
    assert_eq!(request.query, Query::AggTrades { symbol: "BTCUSDT".into(), from_id: 101, limit: 1000 });
    let rows = r#"[{"a":101,"p":"1","q":"1","f":1,"l":1,"T":5,"m":false},{"a":102,"p":"1","q":"1","f":1,"l":1,"T":6,"m":false}]"#;
    let rows = rest_binance::agg_trades(&mut rows.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::AggTrades(rows)));
    bench.message(MARKET, &agg_trade(103));
    let mut seen = Vec::new();
    bench.drain(|record| {
        if let Some(trade) = record.trade() {
            seen.push(trade.trade_id.to_string());
        } else if let Some(gap) = record.gap() {
            seen.push(format!("gap {} {}", gap.reason().unwrap(), gap.missed));
        }
    });
    assert_eq!(seen, ["gap disconnect 2", "101", "102", "103"]);
}

#[test]
fn ids_and_times_at_the_end_of_their_range_break_nothing() {
    let mut bench = subscribed();
    bench.message(MARKET, &agg_trade(1).replace("1700000000000", &u64::MAX.to_string()));
    bench.message(MARKET, &agg_trade(u64::MAX));
    bench.message(MARKET, &agg_trade(u64::MAX));
    let mut seen = Vec::new();
    bench.drain(|record| {
        if let Some(trade) = record.trade() {
            seen.push(trade.trade_id);
        }
    });
    assert_eq!(seen, [1, u64::MAX]);
    bench.message(0, &depth(1, u64::MAX, 0, r#"["100","1"]"#, ""));
    bench.message(0, &depth(1, u64::MAX, u64::MAX, r#"["100","2"]"#, ""));
    bench.pass_ms(100);
}

#[test]
fn an_unknown_symbol_is_down_and_the_rest_runs() {
    let mut bench = Bench::new(BinanceSession::new(settings(&["BTCUSDT", "BTCUSDR"])));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(exchange_info())));
    let mut down = Vec::new();
    bench.drain(|record| {
        if let Some(status) = record.status()
            && status.reason() == Some(Reason::UnknownSymbol)
        {
            down.push(record.header().instrument);
        }
    });
    assert_eq!(down, [1, 1, 1]);
    assert!(bench.events.iter().any(|event| event.detail.as_str().contains("BTCUSDT")), "names the nearest");
}

/// The uncapped reference: everything ever said.
#[derive(Default)]
struct Reference {
    bids: BTreeMap<i64, i64>,
    asks: BTreeMap<i64, i64>,
}

impl Reference {
    /// What the venue would answer now.
    fn snapshot(&self, last_update_id: u64) -> rest_binance::DepthSnapshot {
        let level = |(price, size): (&i64, &i64)| Level {
            price: Price::from_raw(*price),
            size: Size::from_raw(*size),
        };
        rest_binance::DepthSnapshot {
            last_update_id,
            event_ms: 0,
            transaction_ms: 0,
            bids: self.bids.iter().rev().take(1000).map(level).collect(),
            asks: self.asks.iter().take(1000).map(level).collect(),
            unrepresentable: 0,
        }
    }

    fn apply(side: &mut BTreeMap<i64, i64>, levels: &[Level]) {
        for level in levels {
            if level.size.raw() == 0 {
                side.remove(&level.price.raw());
            } else {
                side.insert(level.price.raw(), level.size.raw());
            }
        }
    }
}

#[test]
fn the_real_btcusdt_capture_is_followed_exactly() {
    let Some(lines) = capture("binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz") else { return };
    let mut bench = subscribed();
    bench.records();
    let mut decoder = codec::venues::binance::Decoder::new();
    let mut replica = Book::<Level>::new(4096);
    let mut reference: Option<Reference> = None;
    let mut snapshot_body = None;
    let mut book_id = 0;
    let mut quotes: BTreeMap<u64, (Level, Level)> = BTreeMap::new();
    let (mut deltas, mut compared, mut met, mut reseeds) = (0u64, 0u64, 0u64, 0u64);
    let mut pending: Vec<(u64, Vec<Level>, Vec<Level>)> = Vec::new();
    for (index, (_, json)) in lines.iter().enumerate() {
        if json.contains("lastUpdateId") {
            snapshot_body = Some(json.clone());
        } else {
            bench.message(0, json);
            if let Ok(codec::venues::binance::Message::Depth(depth)) = decoder.decode(json.as_bytes()) {
                pending.push((depth.last_id, depth.bids.to_vec(), depth.asks.to_vec()));
            }
        }
        bench.now.mono_ns += 3_000_000;
        if index % 8 == 0 {
            bench.with(Session::on_tick);
        }
        if let Some(body) = &snapshot_body
            && let Some(request) = bench.fetch()
        {
            let mut bytes = body.clone().into_bytes();
            let answer = rest_binance::depth(&mut bytes).unwrap();
            if reference.is_none() {
                let mut fresh = Reference::default();
                Reference::apply(&mut fresh.bids, &answer.bids);
                Reference::apply(&mut fresh.asks, &answer.asks);
                pending.retain(|(last, _, _)| *last >= answer.last_update_id);
                reference = Some(fresh);
                bench.answer(request, Ok(Answer::BinanceBook(answer)));
            } else if let Some(reference) = &reference {
                // The market leaves the first snapshot's prices within minutes; the venue would show it anew.
                reseeds += 1;
                bench.answer(request, Ok(Answer::BinanceBook(reference.snapshot(book_id))));
            }
        }
        let mut changed = false;
        bench.drain(|record| {
            if let Some(book) = record.book() {
                replica.apply_record(&book, record.kind() == Kind::BookSnapshot);
                book_id = record.header().venue_sequence;
                deltas += u64::from(record.kind() == Kind::BookDelta);
                changed = true;
            } else if let Some(quote) = record.quote() {
                quotes.insert(record.header().venue_sequence, (quote.bid, quote.ask));
            } else if let Some(check) = record.check() {
                assert_eq!(check.crc, replica.check());
            } else if let Some(gap) = record.gap() {
                panic!("the capture has no gap, told: {gap:?}");
            }
        });
        if let Some(reference) = &mut reference {
            for (_, bids, asks) in pending.drain(..) {
                Reference::apply(&mut reference.bids, &bids);
                Reference::apply(&mut reference.asks, &asks);
            }
            if changed {
                if let Some(&(bid, ask)) = quotes.get(&book_id) {
                    assert_eq!(
                        (replica.bids.best(), replica.asks.best()),
                        (Some(bid), Some(ask)),
                        "at {book_id}"
                    );
                    met += 1;
                }
                if deltas % 64 == 0 {
                    let bound = replica.bids.horizon().map_or(i64::MIN, |price| price.raw());
                    let want: Vec<_> = reference
                        .bids
                        .iter()
                        .rev()
                        .filter(|(price, _)| **price > bound)
                        .map(|(p, s)| (*p, *s))
                        .collect();
                    let have: Vec<_> =
                        replica.bids.iter().map(|level| (level.price.raw(), level.size.raw())).collect();
                    assert_eq!(have, want);
                    let bound = replica.asks.horizon().map_or(i64::MAX, |price| price.raw());
                    let want: Vec<_> = reference
                        .asks
                        .iter()
                        .filter(|(price, _)| **price < bound)
                        .map(|(p, s)| (*p, *s))
                        .collect();
                    let have: Vec<_> =
                        replica.asks.iter().map(|level| (level.price.raw(), level.size.raw())).collect();
                    assert_eq!(have, want);
                    compared += 1;
                }
            }
        }
    }
    assert!(reseeds > 0, "the capture outruns its first snapshot");
    println!("{reseeds} seeds, {deltas} deltas, {met} ids met, {compared} whole books compared");
    assert!(deltas > 6_000 && met > 400 && compared > 90, "{deltas} {met} {compared}");
}
