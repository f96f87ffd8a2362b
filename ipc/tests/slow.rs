//! Clients that do not keep up: nothing is lost without a word, nothing stale passes for new, and memory stays
//! bounded.

mod common;

use codec::words::{Reason, State, Stream};
use common::{BTC, Bench, ETH, Peer, config, level};
use ipc::LeaveReason;
use proptest::prelude::*;
use slipstream_client::{Book, Message, Request, request};

fn btc(kind: &str) -> Request {
    request(kind).venue("binance").symbol("BTCUSDT")
}

/// A client that reads what it gets and checks it as it goes.
struct Reader {
    peer: Peer,
    trades: Vec<u64>,
    trades_missed: u64,
    quotes: u64,
    quotes_conflated: u64,
    last_bid: f64,
    book: Option<Book>,
    book_state: String,
    snapshots: usize,
}

impl Reader {
    fn new(bench: &mut Bench, requests: &[Request]) -> Self {
        let mut peer = bench.connect();
        for request in requests {
            peer.send(bench, request);
        }
        let mut reader = Self {
            peer,
            trades: Vec::new(),
            trades_missed: 0,
            quotes: 0,
            quotes_conflated: 0,
            last_bid: 0.0,
            book: None,
            book_state: "live".to_owned(),
            snapshots: 0,
        };
        reader.take(bench, usize::MAX);
        (reader.quotes, reader.snapshots, reader.last_bid) = (0, 0, 0.0);
        reader
    }

    fn take(&mut self, bench: &mut Bench, bytes_max: usize) {
        self.peer.take(bench, bytes_max);
        for message in self.peer.messages() {
            self.see(message);
        }
    }

    fn see(&mut self, message: Message) {
        match message {
            Message::Trade(trade) => {
                let id: u64 = trade.trade_id.parse().unwrap();
                let next = self.trades.last().map_or(1, |last| last + 1);
                let lost: u64 = id - next;
                assert!(self.trades.is_empty() || lost <= self.trades_missed, "a hole that no gap told");
                self.trades.push(id);
            }
            Message::Gap(gap) if gap.stream == "trades" => {
                assert_eq!(gap.reason, "slow_client");
                self.trades_missed += gap.missed.unwrap();
            }
            Message::Quote(quote) => {
                self.quotes += 1;
                self.quotes_conflated += quote.conflated;
                let bid = quote.bid.unwrap().price;
                assert!(bid >= self.last_bid, "never back in time");
                self.last_bid = bid;
            }
            Message::OrderbookSnapshot(book) => {
                self.snapshots += 1;
                assert!(self.book.as_ref().is_none_or(|before| book.sequence >= before.sequence));
                self.book = Some(book);
            }
            Message::OrderbookUpdate(book) => {
                assert!(book.sequence > self.book.as_ref().expect("a snapshot before updates").sequence);
                self.book = Some(book);
            }
            Message::OrderbookDelta(delta) => {
                let book = self.book.as_mut().expect("a snapshot before deltas");
                assert!(book.apply(&delta), "a delta with a hole");
            }
            Message::Status(status) if status.stream == "orderbook" => {
                if status.state != "live" {
                    self.book = None;
                }
                self.book_state = status.state;
            }
            _ => {}
        }
    }
}

#[test]
fn one_that_never_reads_gets_one_gap_with_the_number() {
    let mut bench = Bench::live();
    let mut reader = Reader::new(&mut bench, &[btc("subscribe_trades")]);
    bench.feed(|records| records.trade(BTC, 1, 0));
    reader.take(&mut bench, 10);
    for id in 2..=30_000 {
        bench.feed(|records| records.trade(BTC, id, 0));
    }
    assert!(bench.core.client(reader.peer.id).unwrap().held_bytes() < 100_000);
    bench.wait_ms(29_000);
    assert_eq!(bench.core.verdict(reader.peer.id, bench.records.now), None);
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.trades, [1], "what was on its way");
    assert_eq!(reader.trades_missed, 29_999);
    bench.feed(|records| records.trade(BTC, 30_001, 0));
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.trades, [1, 30_001], "on from the newest");
}

#[test]
fn one_that_takes_nothing_for_thirty_seconds_is_sent_away() {
    let mut bench = Bench::live();
    let mut reader = Reader::new(&mut bench, &[btc("subscribe_trades")]);
    bench.feed(|records| records.trade(BTC, 1, 0));
    reader.take(&mut bench, 0);
    bench.wait_ms(29_900);
    assert_eq!(bench.core.verdict(reader.peer.id, bench.records.now), None);
    bench.wait_ms(200);
    assert_eq!(bench.core.verdict(reader.peer.id, bench.records.now), Some(LeaveReason::NoProgress));
    // Having nothing to take is no lack of progress.
    let idle = bench.connect();
    bench.wait_ms(100_000);
    assert_eq!(bench.core.verdict(idle.id, bench.records.now), None);
}

#[test]
fn books_and_quotes_conflate_and_trades_do_not() {
    let mut bench = Bench::live();
    let full = btc("subscribe_orderbook").with("depth", 20);
    let mut reader = Reader::new(&mut bench, &[full, btc("subscribe_quote"), btc("subscribe_trades")]);
    bench.feed(|records| records.quote(BTC, level(50.0, 1.0), level(101.0, 1.0)));
    reader.take(&mut bench, 10);
    for round in 1..=3000u32 {
        let round_f = f64::from(round);
        bench.feed(|records| records.quote(BTC, level(50.0 + round_f, 1.0), level(9e6, 1.0)));
        bench.feed(|records| records.delta(BTC, &[level(50.0, round_f)], &[]));
        if round % 10 == 0 {
            bench.feed(|records| records.trade(BTC, u64::from(round / 10), 0));
        }
    }
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.trades.len(), 300);
    assert_eq!(reader.quotes + reader.quotes_conflated, 3001, "sent or said to be left out");
    assert!(reader.quotes < 5, "{}", reader.quotes);
    assert_eq!(reader.last_bid, 3050.0);
    let book = reader.book.as_ref().unwrap();
    assert_eq!((book.sequence, book.conflated), (3001, 2999));
    // Having caught up it gets everything again.
    for round in 1..=10u32 {
        bench.feed(|records| records.quote(BTC, level(5000.0 + f64::from(round), 1.0), level(9e6, 1.0)));
    }
    let before = reader.quotes;
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.quotes - before, 10);
}

#[test]
fn a_short_stall_loses_and_merges_nothing() {
    let mut bench = Bench::live();
    let mut reader = Reader::new(&mut bench, &[btc("subscribe_quote"), btc("subscribe_trades")]);
    for round in 1..=400u32 {
        bench.feed(|records| records.quote(BTC, level(f64::from(round), 1.0), level(9e6, 1.0)));
        bench.feed(|records| records.trade(BTC, u64::from(round), 0));
        reader.take(&mut bench, 7);
    }
    reader.take(&mut bench, usize::MAX);
    assert_eq!((reader.quotes, reader.quotes_conflated, reader.trades.len()), (400, 0, 400));
}

#[test]
fn a_delta_subscriber_that_was_behind_gets_a_fresh_snapshot() {
    let mut bench = Bench::live();
    let delta = btc("subscribe_orderbook").with("mode", "delta");
    let mut reader = Reader::new(&mut bench, &[delta]);
    bench.feed(|records| records.delta(BTC, &[level(50.0, 1.0)], &[]));
    reader.take(&mut bench, 10);
    for round in 2..=4000u32 {
        bench.feed(|records| records.delta(BTC, &[level(50.0, f64::from(round))], &[]));
    }
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.snapshots, 1);
    bench.feed(|records| records.delta(BTC, &[level(50.0, 7.0)], &[]));
    reader.take(&mut bench, usize::MAX);
    let book = reader.book.as_ref().unwrap();
    assert_eq!((book.sequence, reader.snapshots), (4002, 1));
    assert_eq!(book.bids.last().unwrap().size, 7.0);
}

#[test]
fn a_resync_while_behind_is_still_a_snapshot() {
    let mut bench = Bench::live();
    let mut reader = Reader::new(&mut bench, &[btc("subscribe_orderbook")]);
    bench.feed(|records| records.delta(BTC, &[level(50.0, 1.0)], &[]));
    reader.take(&mut bench, 10);
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Resyncing, Reason::Crossed));
    bench.feed(|records| records.live(BTC, Stream::Orderbook));
    bench.feed(|records| records.snapshot(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
    for round in 2..=3000u32 {
        bench.feed(|records| records.delta(BTC, &[level(50.0, f64::from(round))], &[]));
    }
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.snapshots, 1);
    assert_eq!(reader.book.as_ref().unwrap().sequence, 3002);
}

#[test]
fn whoever_the_log_ran_over_is_told_the_states_it_missed() {
    let mut bench = Bench::live();
    let mut reader = Reader::new(
        &mut bench,
        &[btc("subscribe_orderbook"), btc("subscribe_quote"), btc("subscribe_trades")],
    );
    bench.feed(|records| records.trade(BTC, 1, 0));
    reader.take(&mut bench, 10);
    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Resyncing, Reason::SequenceBreak));
    bench.feed(|records| records.gap(BTC, Stream::Quotes, Reason::Silence, 3));
    bench.feed(|records| records.quote(BTC, level(77.0, 1.0), level(9e6, 1.0)));
    let mut other =
        Reader::new(&mut bench, &[request("subscribe_trades").venue("binance").symbol("ETHUSDT")]);
    for id in 1..=20_000 {
        bench.feed(|records| records.trade(ETH, id, 0));
        other.take(&mut bench, usize::MAX);
    }
    assert_eq!(other.trades.len(), 20_000);
    bench.core.writable(reader.peer.id);
    reader.peer.take(&mut bench, usize::MAX);
    let messages = reader.peer.messages();
    let status = messages.iter().any(|message| {
        matches!(message, Message::Status(status) if status.stream == "orderbook" && status.state == "resyncing")
    });
    assert!(status, "{messages:?}");
    let gap = messages.iter().any(|message| {
        matches!(message, Message::Gap(gap) if gap.stream == "quotes" && gap.reason == "slow_client" && gap.missed.is_none())
    });
    assert!(gap, "a gap was lost: something was lost, nobody knows how much: {messages:?}");
    let quote = messages
        .iter()
        .any(|message| matches!(message, Message::Quote(quote) if quote.bid.unwrap().price == 77.0));
    assert!(quote, "{messages:?}");
    let trade_gap =
        messages.iter().any(|message| matches!(message, Message::Gap(gap) if gap.stream == "trades"));
    assert!(!trade_gap, "its only trade was on its way");
    // The book comes back.
    bench.feed(|records| records.live(BTC, Stream::Orderbook));
    bench.feed(|records| records.snapshot(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
    reader.take(&mut bench, usize::MAX);
    assert_eq!(reader.snapshots, 1);
}

#[test]
fn quotes_left_out_of_a_stream_that_is_no_longer_live_are_told_as_lost() {
    let mut bench = Bench::live();
    let mut reader = Reader::new(&mut bench, &[btc("subscribe_quote"), btc("subscribe_trades")]);
    bench.feed(|records| records.trade(BTC, 1, 0));
    reader.take(&mut bench, 10);
    for price in [70.0, 71.0, 72.0] {
        bench.feed(|records| records.quote(BTC, level(price, 1.0), level(9e6, 1.0)));
    }
    bench.feed(|records| records.status(BTC, Stream::Quotes, State::Stale, Reason::Silence));
    // The log runs over what the reader has not read.
    let mut other =
        Reader::new(&mut bench, &[request("subscribe_trades").venue("binance").symbol("ETHUSDT")]);
    for id in 1..=20_000 {
        bench.feed(|records| records.trade(ETH, id, 0));
        other.take(&mut bench, usize::MAX);
    }
    bench.core.writable(reader.peer.id);
    reader.peer.take(&mut bench, usize::MAX);
    let missed = reader.peer.messages().into_iter().find_map(|message| match message {
        Message::Gap(gap) if gap.stream == "quotes" && gap.reason == "slow_client" => gap.missed,
        _ => None,
    });
    assert_eq!(missed, Some(3), "no newer quote says that these were left out");
}

#[test]
fn replies_of_one_that_does_not_read_stop_its_requests() {
    let mut bench = Bench::live();
    for id in 0..1000 {
        bench.feed(|records| records.trade(BTC, id, 0));
    }
    let mut peer = bench.connect();
    let mut frame = Vec::new();
    rmpv::encode::write_value(&mut frame, &btc("get_trades").value()).unwrap();
    let mut sent = 0;
    for _ in 0..10_000 {
        if !bench.core.wants_input(peer.id) {
            break;
        }
        peer.send_frame(&mut bench, &frame);
        let now = bench.records.now;
        let output = bench.core.output(peer.id, now);
        bench.core.sent(peer.id, output, 0, now, 0);
        sent += 1;
    }
    assert!(sent < 10, "{sent}");
    assert!(bench.core.client(peer.id).unwrap().held_bytes() < 1_000_000);
    peer.take(&mut bench, usize::MAX);
    assert_eq!(peer.frames().len(), sent);
    assert!(bench.core.wants_input(peer.id));
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Trades(u16),
    Quotes(u16),
    Changes(u16),
    Others(u16),
    Resync,
    Read(u32),
    Subscribe,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u16..400).prop_map(Step::Trades),
        4 => (1u16..400).prop_map(Step::Quotes),
        4 => (1u16..400).prop_map(Step::Changes),
        1 => (1u16..12_000).prop_map(Step::Others),
        1 => Just(Step::Resync),
        1 => Just(Step::Subscribe),
        6 => (0u32..60_000).prop_map(Step::Read),
        2 => (0u32..2_000_000).prop_map(Step::Read),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_pace_the_account_is_right(steps in proptest::collection::vec(step(), 1..60), delta in any::<bool>()) {
        let mut bench = Bench::live();
        let mode = if delta { "delta" } else { "full" };
        let book = btc("subscribe_orderbook").with("mode", mode);
        let mut reader =
            Reader::new(&mut bench, &[book, btc("subscribe_quote"), btc("subscribe_trades")]);
        // Somebody else's messages wear the log out as well.
        let other = Reader::new(&mut bench, &[request("subscribe_all_trades").venue("binance")]);
        let (mut trade, mut quote, mut size, mut other_trade) = (0u64, 100u32, 1u32, 0u64);
        for step in steps {
            match step {
                Step::Trades(count) => for _ in 0..count {
                    trade += 1;
                    bench.feed(|records| records.trade(BTC, trade, 0));
                },
                Step::Quotes(count) => for _ in 0..count {
                    quote += 1;
                    bench.feed(|records| records.quote(BTC, level(f64::from(quote), 1.0), level(9e6, 1.0)));
                },
                Step::Changes(count) => for _ in 0..count {
                    size += 1;
                    bench.feed(|records| records.delta(BTC, &[level(50.0 + f64::from(size % 7), f64::from(size))], &[]));
                },
                Step::Others(count) => for _ in 0..count {
                    other_trade += 1;
                    bench.feed(|records| records.trade(ETH, other_trade, 0));
                },
                Step::Resync => {
                    bench.feed(|records| records.status(BTC, Stream::Orderbook, State::Resyncing, Reason::Crossed));
                    bench.feed(|records| records.live(BTC, Stream::Orderbook));
                    bench.feed(|records| records.snapshot(BTC, &[level(90.0, 1.0)], &[level(91.0, 1.0)]));
                }
                Step::Read(bytes) => reader.take(&mut bench, bytes as usize),
                Step::Subscribe => {
                    reader.peer.send(&mut bench, &request("subscribe_funding").venue("binance").symbol("ETHUSDT"));
                }
            }
            let held = bench.core.client(reader.peer.id).unwrap().held_bytes();
            prop_assert!(held < 700_000, "{held} bytes for one client");
        }
        reader.take(&mut bench, usize::MAX);
        prop_assert_eq!(reader.trades.len() as u64 + reader.trades_missed, trade);
        prop_assert!(reader.trades.is_sorted());
        if quote > 100 {
            prop_assert_eq!(reader.last_bid, f64::from(quote));
            prop_assert_eq!(reader.quotes + reader.quotes_conflated, u64::from(quote - 100));
        }
        prop_assert_eq!(&reader.book_state, "live");
        let (_, data) = reader.peer.reply(&mut bench, &btc("get_orderbook").with("depth", 10));
        let Some(Message::OrderbookSnapshot(now)) = Message::typed("orderbook_snapshot", &data) else { panic!("a book") };
        let book = reader.book.as_ref().unwrap();
        prop_assert_eq!((&book.bids, &book.asks, book.sequence), (&now.bids, &now.asks, now.sequence));
        let _ = (other.peer.id, config());
    }
}
