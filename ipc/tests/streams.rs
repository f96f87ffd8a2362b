//! What subscribers get: the current state, then every change, with states and losses in their place.

mod common;

use codec::book::Book;
use codec::record::flags;
use codec::words::{Interval, Reason, State, Stream, Venue};
use common::{BTC, Bench, ETH, HYPE, Peer, config, get, keys, level};
use slipstream_client::{Message, Request, request};

fn btc(kind: &str) -> Request {
    request(kind).venue("binance").symbol("BTCUSDT")
}

fn book(depth: u32, mode: &str) -> Request {
    btc("subscribe_orderbook").with("depth", depth).with("mode", mode)
}

/// A subscriber whose reply and beginning were read.
fn subscriber(bench: &mut Bench, requests: &[Request]) -> Peer {
    let mut peer = bench.connect();
    for request in requests {
        let (kind, data) = peer.reply(bench, request);
        assert_eq!(kind, "subscribed", "{data}");
    }
    peer
}

/// Messages in one word each.
fn words(messages: &[Message]) -> Vec<String> {
    messages
        .iter()
        .map(|message| match message {
            Message::OrderbookSnapshot(book) => format!("snapshot {}", book.sequence),
            Message::OrderbookUpdate(book) => format!("update {}", book.sequence),
            Message::OrderbookDelta(delta) => {
                format!("delta {}<{}", delta.head.sequence, delta.prev_sequence)
            }
            Message::Quote(quote) => format!("quote {}", quote.bid.map_or(0.0, |bid| bid.price)),
            Message::Trade(trade) => {
                format!("trade {}{}", trade.trade_id, if trade.backfill { "b" } else { "" })
            }
            Message::Status(status) => format!("{} {} {}", status.stream, status.state, status.reason),
            Message::Gap(gap) => format!("gap {} {} {:?}", gap.stream, gap.reason, gap.missed),
            Message::Other { kind, .. } => kind.clone(),
            other => format!("{other:?}"),
        })
        .collect()
}

#[test]
fn every_subscription_begins_with_what_is() {
    let mut bench = Bench::live();
    bench.feed(|records| records.funding(BTC));
    let mut peer = bench.connect();
    for (request, begins) in [
        (book(5, "full"), vec!["subscribed", "snapshot 1"]),
        (book(5, "delta"), vec!["subscribed", "snapshot 1"]),
        (btc("subscribe_quote"), vec!["subscribed", "quote 100"]),
        (btc("subscribe_trades"), vec!["subscribed"]),
        (btc("subscribe_candles").with("interval", "1h"), vec!["subscribed"]),
    ] {
        let messages = peer.ask(&mut bench, &request);
        assert_eq!(words(&messages), begins);
    }
    let messages = peer.ask(&mut bench, &btc("subscribe_funding"));
    assert!(matches!(&messages[1], Message::Funding(funding) if funding.mark_price == Some(100.0)));
}

#[test]
fn full_and_delta_follow_the_book() {
    let mut bench = Bench::live();
    let mut full = subscriber(&mut bench, &[book(1, "full")]);
    let mut delta = subscriber(&mut bench, &[book(1, "delta")]);
    // Beyond the shown depth: nothing to tell.
    bench.feed(|records| records.delta(BTC, &[level(98.0, 1.0)], &[]));
    assert!(full.read(&mut bench).is_empty() && delta.read(&mut bench).is_empty());
    // The best bid goes; the next one enters the window.
    bench.feed(|records| records.delta(BTC, &[level(100.0, 0.0)], &[]));
    let Message::OrderbookUpdate(update) = full.read(&mut bench).remove(0) else { panic!("an update") };
    assert_eq!((update.sequence, update.bids[0].price, update.bids[0].size), (3, 99.0, 2.0));
    let Message::OrderbookDelta(change) = delta.read(&mut bench).remove(0) else { panic!("a delta") };
    assert_eq!((change.head.sequence, change.prev_sequence), (3, 1));
    let changes: Vec<_> = change.bid_changes.iter().map(|level| (level.price, level.size)).collect();
    assert_eq!(changes, [(100.0, 0.0), (99.0, 2.0)]);
    assert!(change.ask_changes.is_empty());
}

#[test]
fn a_newcomer_starts_at_the_current_sequence_and_nobody_gets_a_hole() {
    let mut bench = Bench::live();
    let mut first = subscriber(&mut bench, &[book(1, "delta")]);
    bench.feed(|records| records.delta(BTC, &[level(98.0, 1.0)], &[]));
    let mut second = bench.connect();
    assert_eq!(words(&second.ask(&mut bench, &book(1, "delta"))), ["subscribed", "snapshot 2"]);
    bench.feed(|records| records.delta(BTC, &[level(100.0, 5.0)], &[]));
    assert_eq!(words(&first.read(&mut bench)), ["delta 2<1", "delta 3<2"]);
    assert_eq!(words(&second.read(&mut bench)), ["delta 3<2"]);
}

#[test]
fn a_timed_book_is_published_even_when_only_its_times_change() {
    let mut bench = Bench::live();
    let hype = request("subscribe_orderbook").venue("hyperliquid").symbol("HYPE");
    let mut full = subscriber(&mut bench, std::slice::from_ref(&hype));
    let mut delta = subscriber(&mut bench, &[hype.with("mode", "delta")]);
    bench.wait_ms(100);
    bench.feed(|records| records.delta(HYPE, &[level(100.0, 1.0)], &[level(101.0, 1.5)]));
    let Message::OrderbookUpdate(update) = full.read(&mut bench).remove(0) else { panic!("an update") };
    assert_eq!((update.sequence, update.fresh_levels), (2, 1));
    assert_eq!(update.timestamp_us - update.depth_timestamp_us, 600_000);
    let Message::OrderbookDelta(change) = delta.read(&mut bench).remove(0) else { panic!("a delta") };
    assert!(change.bid_changes.is_empty() && change.ask_changes.is_empty());
    assert_eq!(change.head.fresh_levels, 1);
}

#[test]
fn a_resync_is_told_in_order() {
    let mut bench = Bench::live();
    let mut full = subscriber(&mut bench, &[book(5, "full")]);
    let mut delta = subscriber(&mut bench, &[book(5, "delta")]);
    bench.feed(|records| records.gap(BTC, Stream::Orderbook, Reason::SequenceBreak, 4));
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Resyncing, Reason::SequenceBreak));
    let mut late = bench.connect();
    assert_eq!(
        words(&late.ask(&mut bench, &book(3, "full"))),
        ["subscribed", "orderbook resyncing sequence_break"]
    );
    bench.feed(|records| records.live(BTC, Stream::Orderbook));
    assert!(late.refusal(&mut bench, &btc("get_orderbook")).0 == "not_live", "the old book is not served");
    bench.feed(|records| records.snapshot(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
    bench.feed(|records| records.delta(BTC, &[level(90.0, 2.0)], &[]));
    assert_eq!(
        words(&full.read(&mut bench)),
        [
            "gap orderbook sequence_break Some(4)",
            "orderbook resyncing sequence_break",
            "orderbook live none",
            "snapshot 2",
            "update 3"
        ]
    );
    assert_eq!(words(&delta.read(&mut bench))[3..], ["snapshot 2", "delta 3<2"]);
}

#[test]
fn stale_and_back_without_a_loss_gives_a_snapshot_with_the_next_record_or_soon() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[book(5, "delta")]);
    for _ in 0..2 {
        bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Stale, Reason::Silence));
        bench.feed(|records| records.live(BTC, Stream::Orderbook));
        bench.feed(|records| records.delta(BTC, &[level(100.0, 9.0)], &[]));
    }
    assert_eq!(
        words(&peer.read(&mut bench)),
        [
            "orderbook stale silence",
            "orderbook live none",
            "snapshot 2",
            "orderbook stale silence",
            "orderbook live none",
            "snapshot 3"
        ]
    );
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Stale, Reason::Silence));
    bench.feed(|records| records.live(BTC, Stream::Orderbook));
    bench.wait_ms(1000);
    while bench.core.keep_books(bench.records.now) {}
    assert_eq!(words(&peer.read(&mut bench))[2..], ["snapshot 3"], "no record came, and nothing was lost");
}

#[test]
fn nothing_of_a_book_that_is_not_live() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[book(5, "full"), btc("subscribe_quote")]);
    for stream in [Stream::Orderbook, Stream::Quotes] {
        bench.feed(|records| records.status(BTC, stream, State::Stale, Reason::BehindQuote));
    }
    bench.feed(|records| records.delta(BTC, &[level(100.0, 9.0)], &[]));
    bench.feed(|records| records.quote(BTC, level(100.0, 9.0), level(101.0, 9.0)));
    assert_eq!(words(&peer.read(&mut bench)), ["orderbook stale behind_quote", "quotes stale behind_quote"]);
}

#[test]
fn a_snapshot_amid_live_is_an_ordinary_change() {
    let mut bench = Bench::live();
    let mut full = subscriber(&mut bench, &[book(5, "full")]);
    let mut delta = subscriber(&mut bench, &[book(5, "delta")]);
    let (bids, asks) = ([level(100.0, 1.0), level(99.0, 2.0), level(98.0, 3.0)], [level(101.0, 1.5)]);
    bench.feed(|records| records.snapshot(BTC, &bids, &asks));
    bench.feed(|records| records.republished(BTC, &bids, &asks));
    assert_eq!(words(&full.read(&mut bench)), ["update 2"], "and the same state again is none");
    let messages = delta.read(&mut bench);
    assert_eq!(words(&messages), ["delta 2<1"]);
    let Message::OrderbookDelta(change) = &messages[0] else { panic!("a delta") };
    assert_eq!((change.bid_changes.len(), change.ask_changes.len()), (1, 1));
}

#[test]
fn a_ring_that_dropped_records_is_told_as_gap_and_snapshot() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[book(5, "delta")]);
    bench.records.set_sequence(BTC, Stream::Orderbook, 7);
    bench.feed(|records| records.gap(BTC, Stream::Orderbook, Reason::RingFull, 6));
    assert_eq!(peer.refusal(&mut bench, &btc("get_orderbook")).0, "not_live");
    // Who joins meanwhile is told that the book is not live, and then that it is.
    let mut peer = bench.connect();
    let begins = peer.ask(&mut bench, &book(5, "delta"));
    assert_eq!(words(&begins), ["subscribed", "orderbook resyncing awaiting_snapshot"]);
    bench.feed(|records| records.republished(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
    bench.feed(|records| records.delta(BTC, &[level(90.0, 2.0)], &[]));
    assert_eq!(words(&peer.read(&mut bench)), ["orderbook live none", "snapshot 7", "delta 8<7"]);
}

#[test]
fn what_a_ring_lost_the_newest_of_is_given_to_nobody_as_the_newest() {
    let mut bench = Bench::live();
    bench.feed(|records| records.funding(BTC));
    bench.feed(|records| records.gap(BTC, Stream::Quotes, Reason::RingFull, 1));
    bench.feed(|records| records.gap(BTC, Stream::Funding, Reason::RingFull, 1));
    let mut peer = bench.connect();
    for kind in ["subscribe_quote", "subscribe_funding"] {
        assert_eq!(words(&peer.ask(&mut bench, &btc(kind))), ["subscribed"]);
    }
    assert_eq!(peer.refusal(&mut bench, &btc("get_quote")).0, "not_live");
    assert_eq!(peer.refusal(&mut bench, &btc("get_funding")).0, "not_ready");
    bench.feed(|records| records.quote(BTC, level(120.0, 1.0), level(121.0, 1.0)));
    assert_eq!(words(&peer.read(&mut bench)), ["quote 120"]);
}

#[test]
fn a_record_that_does_not_follow_breaks_the_book_until_a_snapshot() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[book(5, "full")]);
    bench.records.set_sequence(BTC, Stream::Orderbook, 3);
    bench.feed(|records| records.delta(BTC, &[level(100.0, 2.0)], &[]));
    bench.feed(|records| records.delta(BTC, &[level(100.0, 3.0)], &[]));
    bench.feed(|records| records.snapshot(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
    assert_eq!(
        words(&peer.read(&mut bench)),
        ["gap orderbook ring_full None", "orderbook stale ring_full", "orderbook live none", "snapshot 6"]
    );
    assert_eq!(bench.core.counters().figures().find(|(name, _)| *name == "broken_books_total").unwrap().1, 1);
}

#[test]
fn a_check_that_differs_breaks_the_book() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[book(5, "full")]);
    let mut own = Book::new(10);
    own.apply(&[level(100.0, 1.0), level(99.0, 2.0)], &[level(101.0, 1.5), level(102.0, 3.0)], 0);
    bench.feed(|records| records.check(BTC, &own));
    assert!(peer.read(&mut bench).is_empty(), "equal");
    own.apply(&[level(100.0, 2.0)], &[], 0);
    bench.feed(|records| records.check(BTC, &own));
    assert_eq!(
        words(&peer.read(&mut bench)),
        ["gap orderbook sequence_break None", "orderbook stale sequence_break"]
    );
    assert_eq!(peer.refusal(&mut bench, &btc("get_orderbook")).0, "not_live");
    // The engine's own coming and going does not make it right, a snapshot does.
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Resyncing, Reason::Crossed));
    bench.feed(|records| records.live(BTC, Stream::Orderbook));
    bench.feed(|records| records.snapshot(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
    assert_eq!(
        words(&peer.read(&mut bench)),
        ["orderbook resyncing crossed", "orderbook live none", "snapshot 2"]
    );
}

#[test]
fn trades_live_backfilled_and_from_the_backlog() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[btc("subscribe_trades")]);
    bench.feed(|records| records.trade(BTC, 1, flags::BACKFILL | flags::SNAPSHOT));
    bench.feed(|records| records.trade(BTC, 5, 0));
    bench.feed(|records| records.gap(BTC, Stream::Trades, Reason::Disconnect, 2));
    bench.feed(|records| records.trade(BTC, 3, flags::BACKFILL));
    bench.feed(|records| records.trade(BTC, 6, 0));
    assert_eq!(
        words(&peer.read(&mut bench)),
        ["trade 5", "gap trades disconnect Some(2)", "trade 3b", "trade 6"]
    );
    let (_, data) = peer.reply(&mut bench, &btc("get_trades"));
    let ids: Vec<_> =
        data.as_array().unwrap().iter().map(|trade| get(trade, "trade_id").as_str().unwrap()).collect();
    assert_eq!(ids, ["1", "3", "5", "6"], "by time, the backlog included");
}

#[test]
fn candles_of_one_interval_and_fills() {
    let mut bench = Bench::live();
    let mut peer = subscriber(
        &mut bench,
        &[btc("subscribe_candles").with("interval", "1h"), request("subscribe_fills").venue("hyperliquid")],
    );
    bench.feed(|records| records.candle(BTC, Interval::M15, false, false));
    bench.feed(|records| records.candle(ETH, Interval::H1, false, false));
    bench.feed(|records| records.candle(BTC, Interval::H1, true, false));
    bench.feed(|records| records.candle(BTC, Interval::H1, true, true));
    bench.feed(|records| records.fill(HYPE));
    let values = peer.values(&mut bench);
    assert_eq!(values.len(), 3);
    let candle = get(&values[0], "data");
    assert_eq!(
        keys(candle),
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
    assert_eq!(get(candle, "timestamp").as_u64(), Some(1_700_000_000), "seconds");
    assert_eq!(get(candle, "volume").as_f64(), Some(123.456));
    assert_eq!(get(candle, "closed").as_bool(), Some(true));
    assert_eq!(get(get(&values[1], "data"), "revised").as_bool(), Some(true));
    let fill = get(&values[2], "data");
    assert_eq!(
        keys(fill),
        [
            "fee",
            "is_snapshot",
            "order_id",
            "price",
            "received_us",
            "side",
            "size",
            "symbol",
            "timestamp_us",
            "trade_id",
            "venue"
        ]
    );
    assert_eq!(get(fill, "symbol").as_str(), Some("HYPE"));
    assert_eq!(get(fill, "side").as_str(), Some("Sell"));
    assert_eq!(get(fill, "fee").as_f64(), Some(-0.25));
}

#[test]
fn what_concerns_a_venue_or_the_daemon_reaches_those_it_concerns() {
    let mut bench = Bench::live();
    let mut binance = subscriber(&mut bench, &[btc("subscribe_quote"), btc("subscribe_trades")]);
    let mut hyperliquid =
        subscriber(&mut bench, &[request("subscribe_quote").venue("hyperliquid").symbol("HYPE")]);
    let mut idle = bench.connect();
    let down = |venue| {
        move |records: &mut common::Records| {
            records.whole(Some(venue), Stream::Connection, State::Down, Reason::Disconnect)
        }
    };
    bench.feed(down(Venue::Binance));
    bench.feed(|records| records.whole(None, Stream::Recorder, State::Stale, Reason::Lag));
    bench.feed(|records| records.status(ETH, Stream::Quotes, State::Stale, Reason::Silence));
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Stale, Reason::Silence));
    let values = binance.values(&mut bench);
    assert_eq!(values.len(), 2, "once each, and nothing of other streams and symbols");
    let status = get(&values[0], "data");
    assert_eq!(
        keys(status),
        ["age_ms", "reason", "received_us", "state", "stream", "symbol", "timestamp_us", "venue"]
    );
    assert_eq!(get(status, "venue").as_str(), Some("binance"));
    assert!(get(status, "symbol").is_nil());
    assert_eq!(get(status, "stream").as_str(), Some("connection"));
    let recorder = get(&values[1], "data");
    assert!(get(recorder, "venue").is_nil() && get(recorder, "symbol").is_nil());
    assert_eq!(words(&hyperliquid.read(&mut bench)), ["recorder stale lag"]);
    assert!(idle.read(&mut bench).is_empty());
}

#[test]
fn gap_field_by_field() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[btc("subscribe_trades")]);
    bench.feed(|records| records.gap(BTC, Stream::Trades, Reason::Silence, codec::record::MISSED_UNKNOWN));
    let values = peer.values(&mut bench);
    let gap = get(&values[0], "data");
    assert_eq!(keys(gap), ["missed", "reason", "received_us", "stream", "symbol", "timestamp_us", "venue"]);
    assert!(get(gap, "missed").is_nil());
    assert_eq!(get(gap, "reason").as_str(), Some("silence"));
}

#[test]
fn covered_twice_is_delivered_once_in_any_order() {
    for bulk_first in [true, false] {
        let mut bench = Bench::live();
        let (all, one) = (request("subscribe_all_trades").venue("binance"), btc("subscribe_trades"));
        let order = if bulk_first { [all.clone(), one.clone()] } else { [one.clone(), all.clone()] };
        let mut peer = subscriber(&mut bench, &order);
        bench.feed(|records| records.trade(BTC, 1, 0));
        bench.feed(|records| records.status(BTC, Stream::Trades, State::Stale, Reason::Silence));
        assert_eq!(words(&peer.read(&mut bench)), ["trade 1", "trades stale silence"]);
        // One of the two is left, and goes on.
        assert_eq!(peer.reply(&mut bench, &all.unsubscribe()).0, "unsubscribed");
        bench.feed(|records| records.trade(BTC, 2, 0));
        bench.feed(|records| records.trade(ETH, 2, 0));
        assert_eq!(words(&peer.read(&mut bench)), ["trade 2"]);
        assert_eq!(peer.reply(&mut bench, &one.unsubscribe()).0, "unsubscribed");
        bench.feed(|records| records.trade(BTC, 3, 0));
        assert!(peer.read(&mut bench).is_empty());
        assert_eq!(peer.refusal(&mut bench, &one.unsubscribe()).0, "not_subscribed");
    }
}

#[test]
fn bulk_takes_in_symbols_that_come_later() {
    let mut bench = Bench::live();
    let mut peer = bench.connect();
    let messages = peer.ask(&mut bench, &request("subscribe_all_quotes").venue("binance"));
    assert_eq!(words(&messages), ["subscribed", "quote 100", "quote 100"]);
    bench.feed(|records| records.instrument(7, Venue::Binance, "XRPUSDT"));
    bench.feed(|records| records.live(7, Stream::Quotes));
    bench.feed(|records| records.quote(7, level(3.0, 1.0), level(4.0, 1.0)));
    assert_eq!(words(&peer.read(&mut bench)), ["quotes live none", "quote 3"]);
}

#[test]
fn the_same_subscription_again_replaces_depth_and_mode() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[book(1, "full")]);
    assert_eq!(words(&peer.ask(&mut bench, &book(2, "delta"))), ["subscribed", "snapshot 1"]);
    bench.feed(|records| records.delta(BTC, &[level(99.0, 7.0)], &[]));
    assert_eq!(words(&peer.read(&mut bench)), ["delta 2<1"], "the old one is gone");
    // Depth and mode do not matter to unsubscribing, not even impossible ones.
    assert_eq!(peer.reply(&mut bench, &book(100_000, "sideways").unsubscribe()).0, "unsubscribed");
    bench.feed(|records| records.delta(BTC, &[level(99.0, 8.0)], &[]));
    assert!(peer.read(&mut bench).is_empty());
}

#[test]
fn the_same_subscription_again_loses_nothing_that_waits() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[btc("subscribe_trades")]);
    bench.feed(|records| records.gap(BTC, Stream::Trades, Reason::Disconnect, 2));
    bench.feed(|records| records.trade(BTC, 1, 0));
    let mut words = words(&peer.ask(&mut bench, &btc("subscribe_trades")));
    words.sort();
    assert_eq!(words, ["gap trades disconnect Some(2)", "subscribed", "trade 1"]);
}

#[test]
fn nothing_follows_unsubscribed_even_of_what_was_waiting() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[btc("subscribe_trades"), btc("subscribe_quote")]);
    for id in 0..10 {
        bench.feed(|records| records.trade(BTC, id, 0));
        bench.feed(|records| records.quote(BTC, level(id as f64, 1.0), level(200.0, 1.0)));
    }
    // Part of the first message is on its way.
    peer.take(&mut bench, 20);
    let messages = peer.ask(&mut bench, &btc("subscribe_trades").unsubscribe());
    let words = words(&messages);
    let acknowledged = words.iter().position(|word| word == "unsubscribed").unwrap();
    assert!(words[..acknowledged].len() <= 1, "{words:?}");
    assert!(words[acknowledged..].iter().all(|word| !word.starts_with("trade")), "{words:?}");
    assert_eq!(words.iter().filter(|word| word.starts_with("quote")).count(), 10);
}

#[test]
fn subscribing_while_behind_brings_no_older_state() {
    let mut bench = Bench::live();
    let mut other = subscriber(&mut bench, &[btc("subscribe_quote")]);
    let mut peer = subscriber(&mut bench, &[btc("subscribe_trades")]);
    for id in 0..10 {
        bench.feed(|records| records.trade(BTC, id, 0));
        bench.feed(|records| records.quote(BTC, level(id as f64, 1.0), level(200.0, 1.0)));
    }
    let messages = peer.ask(&mut bench, &btc("subscribe_quote"));
    let quotes: Vec<_> = words(&messages).into_iter().filter(|word| word.starts_with("quote")).collect();
    assert_eq!(quotes, ["quote 9"]);
    assert_eq!(other.read(&mut bench).len(), 10);
}

#[test]
fn heartbeats_when_nothing_else_is_said() {
    let mut bench = Bench::live();
    let mut idle = bench.connect();
    let mut busy = subscriber(&mut bench, &[btc("subscribe_trades")]);
    let (mut beats, mut busy_beats) = (0, 0);
    for second in 1..=20 {
        bench.wait_ms(1000);
        bench.feed(|records| records.trade(BTC, second, 0));
        for peer in [&idle, &busy] {
            bench.core.heartbeat(peer.id, bench.records.now);
        }
        beats += idle.read(&mut bench).iter().filter(|it| matches!(it, Message::Heartbeat { .. })).count();
        busy_beats +=
            busy.read(&mut bench).iter().filter(|it| matches!(it, Message::Heartbeat { .. })).count();
    }
    assert!((4..=5).contains(&beats), "{beats} in 20 s");
    assert_eq!(busy_beats, 0);
}

#[test]
fn shutting_down_is_told_to_whoever_asks() {
    let mut bench = Bench::live();
    let mut peer = subscriber(&mut bench, &[btc("subscribe_trades")]);
    bench.feed(|records| {
        records.whole(Some(Venue::Binance), Stream::Connection, State::Down, Reason::Shutdown)
    });
    bench.feed(common::Records::end);
    assert!(bench.core.has_ended());
    bench.core.begin_shutdown();
    assert_eq!(peer.refusal(&mut bench, &request("ping")).0, "shutting_down");
}

#[test]
fn one_client_too_many_is_told_so() {
    let mut config = config();
    config.clients_max = 2;
    let mut bench = Bench::live_with(config);
    let (one, _two) = (bench.connect(), bench.connect());
    let mut three = bench.connect();
    let messages = three.read(&mut bench);
    assert!(matches!(&messages[..], [Message::Error { code, .. }] if code == "too_many"), "{messages:?}");
    assert!(bench.core.is_over(three.id));
    bench.core.disconnect(three.id, ipc::LeaveReason::Closed);
    bench.core.disconnect(one.id, ipc::LeaveReason::Closed);
    let mut again = bench.connect();
    assert_eq!(again.reply(&mut bench, &request("ping")).0, "pong");
}

#[test]
fn what_is_wanted_is_told_once() {
    let (producer, mut wanted) = rtrb::RingBuffer::new(64);
    let records = common::Records::new();
    let outlets = ipc::Outlets { interest: Some(producer), ..ipc::Outlets::default() };
    let core = ipc::Core::new(config(), outlets, records.now);
    let mut bench = Bench { core, records };
    bench.feed(|records| records.instrument(BTC, Venue::Binance, "BTCUSDT"));
    let mut next = || {
        let interest: ipc::Interest = wanted.pop().ok()?;
        Some((interest.instrument, interest.stream, interest.wanted))
    };
    let mut one = subscriber(&mut bench, &[btc("subscribe_orderbook")]);
    let mut two = subscriber(&mut bench, &[book(3, "delta"), book(4, "full")]);
    assert_eq!(next(), Some((BTC, Stream::Orderbook, true)));
    assert_eq!(next(), None);
    one.reply(&mut bench, &btc("subscribe_orderbook").unsubscribe());
    assert_eq!(next(), None);
    two.reply(&mut bench, &btc("subscribe_orderbook").unsubscribe());
    assert_eq!(next(), Some((BTC, Stream::Orderbook, false)));
    one.send(&mut bench, &btc("get_quote"));
    one.send(&mut bench, &btc("get_quote"));
    assert_eq!((next(), next()), (Some((BTC, Stream::Quotes, true)), None));
}
