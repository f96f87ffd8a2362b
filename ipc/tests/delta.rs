//! Mode delta, applied, is exactly what mode full shows, whatever the book does, at every depth.

mod common;

use codec::record::Level as Exact;
use codec::words::{Reason, State, Stream};
use common::{BTC, Bench, HYPE, Peer, get, level};
use proptest::prelude::*;
use slipstream_client::{Book, Message, request};

/// One thing that happens to a book.
#[derive(Clone, Debug)]
enum Step {
    Change(Vec<(bool, u16, u8)>),
    Snapshot(Vec<(bool, u16, u8)>),
    Resync(Vec<(bool, u16, u8)>),
    Stale,
    Wait(u16),
}

fn levels() -> impl Strategy<Value = Vec<(bool, u16, u8)>> {
    proptest::collection::vec((any::<bool>(), 0u16..40, 0u8..4), 0..12)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => levels().prop_map(Step::Change),
        1 => levels().prop_map(Step::Snapshot),
        1 => levels().prop_map(Step::Resync),
        1 => Just(Step::Stale),
        2 => (1u16..50).prop_map(Step::Wait),
    ]
}

/// Bids below 100, asks above; in a snapshot without zero sizes, sorted, once each.
fn split(levels: &[(bool, u16, u8)], is_snapshot: bool) -> (Vec<Exact>, Vec<Exact>) {
    let side = |wanted: bool| {
        let mut side: Vec<_> = levels.iter().filter(|(is_bid, ..)| *is_bid == wanted).copied().collect();
        if is_snapshot {
            side.retain(|(.., size)| *size > 0);
            side.sort_by_key(|(_, ticks, _)| *ticks);
            side.dedup_by_key(|(_, ticks, _)| *ticks);
        }
        side.iter()
            .map(|&(is_bid, ticks, size)| {
                let ticks = f64::from(ticks);
                let price = if is_bid { 99.0 - ticks } else { 101.0 + ticks };
                level(price, f64::from(size))
            })
            .collect()
    };
    (side(true), side(false))
}

/// What one subscriber believes.
struct View {
    peer: Peer,
    book: Option<Book>,
}

impl View {
    fn new(bench: &mut Bench, venue: &str, symbol: &str, depth: u32, mode: &str) -> Self {
        let mut peer = bench.connect();
        peer.send(
            bench,
            &request("subscribe_orderbook")
                .venue(venue)
                .symbol(symbol)
                .with("depth", depth)
                .with("mode", mode),
        );
        Self { peer, book: None }
    }

    fn read(&mut self, bench: &mut Bench) {
        for message in self.peer.read(bench) {
            match message {
                Message::OrderbookSnapshot(book) => self.book = Some(book),
                Message::OrderbookUpdate(book) => {
                    assert!(self.book.is_some(), "an update before any snapshot");
                    self.book = Some(book);
                }
                Message::OrderbookDelta(delta) => {
                    let book = self.book.as_mut().expect("a delta before any snapshot");
                    assert!(book.apply(&delta), "a delta that does not follow");
                }
                Message::Status(status) if status.state != "live" => self.book = None,
                _ => {}
            }
        }
    }
}

fn run(timed: bool, steps: &[Step], late_at: usize) {
    let (id, venue, symbol) = if timed { (HYPE, "hyperliquid", "HYPE") } else { (BTC, "binance", "BTCUSDT") };
    let mut config = common::config();
    config.retention.book_levels_max = 30;
    let mut bench = Bench::live_with(config);
    let mut views: Vec<(u32, View, View)> = Vec::new();
    let add = |bench: &mut Bench, views: &mut Vec<(u32, View, View)>| {
        for depth in [1, 5, 20, 1000] {
            let full = View::new(bench, venue, symbol, depth, "full");
            views.push((depth, full, View::new(bench, venue, symbol, depth, "delta")));
        }
    };
    add(&mut bench, &mut views);
    let mut asking = bench.connect();
    for (index, step) in steps.iter().enumerate() {
        if index == late_at {
            add(&mut bench, &mut views);
        }
        let snapshot = |bench: &mut Bench, levels: &[(bool, u16, u8)]| {
            let (bids, asks) = split(levels, true);
            let ages: Vec<u64> = (0..(bids.len() + asks.len()) as u64).collect();
            bench.feed(|records| {
                if timed {
                    records.timed_snapshot(id, &bids, &asks, &ages)
                } else {
                    records.snapshot(id, &bids, &asks)
                }
            });
        };
        match step {
            Step::Change(levels) => {
                let (bids, asks) = split(levels, false);
                bench.feed(|records| records.delta(id, &bids, &asks));
            }
            Step::Snapshot(levels) => snapshot(&mut bench, levels),
            Step::Resync(levels) => {
                bench.feed(|records| {
                    records.status(id, Stream::Orderbook, State::Resyncing, Reason::SequenceBreak)
                });
                bench.feed(|records| records.live(id, Stream::Orderbook));
                snapshot(&mut bench, levels);
            }
            Step::Stale => {
                bench.feed(|records| records.status(id, Stream::Orderbook, State::Stale, Reason::Silence));
                bench.feed(|records| records.live(id, Stream::Orderbook));
                bench.feed(|records| records.delta(id, &[], &[]));
            }
            Step::Wait(ms) => bench.wait_ms(u64::from(*ms)),
        }
        // Not every step is read at once: what waits must not matter.
        if index % 3 == 2 && index + 1 < steps.len() {
            continue;
        }
        for (depth, full, delta) in &mut views {
            full.read(&mut bench);
            delta.read(&mut bench);
            let (one, other) = (full.book.as_ref().unwrap(), delta.book.as_ref().unwrap());
            assert_eq!((&one.bids, &one.asks), (&other.bids, &other.asks), "depth {depth}");
            assert!(one.bids.len() <= *depth as usize);
            if timed {
                assert_eq!(one, other, "times and freshness too");
            }
            let ask = request("get_orderbook").venue(venue).symbol(symbol).with("depth", *depth);
            let (_, data) = asking.reply(&mut bench, &ask);
            let Some(Message::OrderbookSnapshot(now)) = Message::typed("orderbook_snapshot", &data) else {
                panic!("a book")
            };
            assert_eq!((&one.bids, &one.asks), (&now.bids, &now.asks), "as a query says, depth {depth}");
            assert!(get(&data, "sequence").as_u64() >= Some(one.sequence));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn delta_is_full(timed in any::<bool>(), steps in proptest::collection::vec(step(), 1..60), late_at in 0usize..60) {
        run(timed, &steps, late_at);
    }
}
