//! Encoding "record": the engine's own records, framed, and enough to keep the book from them.

mod common;

use codec::book::{Book, TimedLevel};
use codec::record::{Kind, Record, flags};
use codec::words::{Reason, State, Stream, Venue};
use common::{BTC, Bench, HYPE, Peer, level};
use slipstream_client::{Message, Request, request};

fn btc(kind: &str) -> Request {
    request(kind).venue("binance").symbol("BTCUSDT")
}

fn peer(bench: &mut Bench) -> Peer {
    let mut peer = bench.connect();
    peer.reply(bench, &request("hello").with("encoding", "record"));
    peer
}

fn records(messages: Vec<Message>) -> Vec<Vec<u64>> {
    messages
        .into_iter()
        .filter_map(|message| match message {
            Message::Record(words) => Some(words),
            _ => None,
        })
        .collect()
}

fn kinds(records: &[Vec<u64>]) -> Vec<Kind> {
    records.iter().map(|words| Record::first(words).unwrap().kind()).collect()
}

#[test]
fn frames_begin_with_four_zero_bytes_and_hold_the_engines_own_bytes() {
    let mut bench = Bench::live();
    let mut peer = peer(&mut bench);
    peer.ask(&mut bench, &btc("subscribe_trades"));
    let mut words = Vec::new();
    bench.feed(|records| {
        words = records.trade(BTC, 7, 0);
        words.clone()
    });
    peer.take(&mut bench, usize::MAX);
    let frame = peer.frames().remove(0);
    assert_eq!(frame[..4], [0; 4]);
    assert_eq!(&frame[4..], Record::first(&words).unwrap().bytes());
}

#[test]
fn an_instrument_precedes_its_first_use_and_replies_stay_messagepack() {
    let mut bench = Bench::live();
    bench.feed(|records| records.funding(BTC));
    let mut peer = peer(&mut bench);
    let messages = peer.ask(&mut bench, &btc("subscribe_quote"));
    assert!(matches!(&messages[0], Message::Other { kind, .. } if kind == "subscribed"));
    assert_eq!(kinds(&records(messages)), [Kind::Instrument, Kind::Quote]);
    let messages = peer.ask(&mut bench, &btc("subscribe_funding"));
    assert_eq!(kinds(&records(messages)), [Kind::Funding], "the instrument is known by now");
    let (kind, _) = peer.reply(&mut bench, &btc("get_quote"));
    assert_eq!(kind, "quote");
    bench.feed(|records| records.instrument(9, Venue::Binance, "XRPUSDT"));
    let messages = peer.ask(&mut bench, &request("subscribe_all_trades").venue("binance"));
    assert_eq!(kinds(&records(messages))[..2], [Kind::Instrument, Kind::Instrument], "the two that are new");
    bench.feed(|records| records.instrument(10, Venue::Binance, "LTCUSDT"));
    bench.feed(|records| records.trade(10, 1, 0));
    assert_eq!(kinds(&records(peer.read(&mut bench))), [Kind::Instrument, Kind::Trade]);
}

#[test]
fn depth_and_mode_are_refused() {
    let mut bench = Bench::live();
    let mut peer = peer(&mut bench);
    for request in
        [btc("subscribe_orderbook").with("depth", 5), btc("subscribe_orderbook").with("mode", "full")]
    {
        assert_eq!(peer.refusal(&mut bench, &request).0, "bad_mode");
    }
    peer.reply(&mut bench, &btc("subscribe_orderbook"));
    let (code, _) = peer.refusal(&mut bench, &request("hello").with("encoding", "msgpack"));
    assert_eq!(code, "bad_request", "not amid subscriptions");
}

/// Keeps books from records alone, as a client would.
#[derive(Default)]
struct Kept {
    book: Option<(Book<TimedLevel>, u64)>,
    gaps: u64,
    snapshots: usize,
}

impl Kept {
    fn see(&mut self, words: &[u64]) {
        let record = Record::first(words).unwrap();
        let header = record.header();
        match record.kind() {
            Kind::BookSnapshot => {
                let mut book = Book::new(4096);
                book.apply_record(&record.book().unwrap(), true);
                self.book = Some((book, header.sequence));
                self.snapshots += 1;
            }
            Kind::BookDelta => {
                let (book, sequence) = self.book.as_mut().expect("a snapshot first");
                let delta = record.book().unwrap();
                assert_eq!(delta.body.prev_sequence, *sequence, "a hole");
                book.apply_record(&delta, false);
                *sequence = header.sequence;
            }
            Kind::Gap => {
                assert_eq!(record.gap().unwrap().reason(), Some(Reason::SlowClient));
                self.gaps += record.gap().unwrap().missed().unwrap();
            }
            Kind::Status if record.status().unwrap().state() != Some(State::Live) => self.book = None,
            _ => {}
        }
    }
}

#[test]
fn books_are_a_snapshot_then_deltas_through_a_resync_and_a_lag() {
    for (id, venue, symbol) in [(BTC, "binance", "BTCUSDT"), (HYPE, "hyperliquid", "HYPE")] {
        let mut bench = Bench::live();
        bench.feed(|records| records.delta(id, &[level(98.0, 4.0)], &[]));
        let mut peer = peer(&mut bench);
        let mut kept = Kept::default();
        peer.send(&mut bench, &request("subscribe_orderbook").venue(venue).symbol(symbol));
        for round in 1..=50u32 {
            bench.feed(|records| records.delta(id, &[level(50.0, f64::from(round))], &[]));
        }
        records(peer.read(&mut bench)).iter().for_each(|words| kept.see(words));
        assert_eq!(kept.book.as_ref().unwrap().1, 52);
        assert_eq!(kept.snapshots, 1);

        bench.feed(|records| records.status(id, Stream::Orderbook, State::Stale, Reason::Silence));
        bench.feed(|records| records.live(id, Stream::Orderbook));
        bench.feed(|records| records.delta(id, &[level(51.0, 1.0)], &[]));
        records(peer.read(&mut bench)).iter().for_each(|words| kept.see(words));
        assert_eq!((kept.snapshots, kept.gaps), (2, 0), "made from the replica");

        bench.feed(|records| records.delta(id, &[level(52.0, 1.0)], &[]));
        peer.take(&mut bench, 10);
        for round in 1..=4000u32 {
            bench.feed(|records| records.delta(id, &[level(50.0, f64::from(round))], &[]));
        }
        records(peer.read(&mut bench)).iter().for_each(|words| kept.see(words));
        assert_eq!((kept.snapshots, kept.gaps), (3, 4000), "behind: a gap and a snapshot");
        bench.feed(|records| records.delta(id, &[level(50.0, 1.5)], &[]));
        records(peer.read(&mut bench)).iter().for_each(|words| kept.see(words));
        let (book, sequence) = kept.book.as_ref().unwrap();
        let (_, data) = peer.reply(&mut bench, &request("get_orderbook").venue(venue).symbol(symbol));
        let Some(Message::OrderbookSnapshot(now)) = Message::typed("orderbook_snapshot", &data) else {
            panic!("a book")
        };
        assert_eq!(*sequence, now.sequence);
        let bids: Vec<_> = book.bids.iter().map(|level| level.level.price.to_f64()).collect();
        assert_eq!(bids, now.bids.iter().map(|level| level.price).collect::<Vec<_>>());
    }
}

#[test]
fn quotes_that_were_merged_are_marked() {
    let mut bench = Bench::live();
    let mut peer = peer(&mut bench);
    peer.ask(&mut bench, &btc("subscribe_quote"));
    bench.feed(|records| records.quote(BTC, level(1.0, 1.0), level(9e6, 1.0)));
    peer.take(&mut bench, 10);
    for round in 2..=4000u32 {
        bench.feed(|records| records.quote(BTC, level(f64::from(round), 1.0), level(9e6, 1.0)));
    }
    let records = records(peer.read(&mut bench));
    assert_eq!(records.len(), 2);
    let last = Record::first(&records[1]).unwrap();
    assert!(last.header().has(flags::CONFLATED));
    assert_eq!(last.quote().unwrap().bid, level(4000.0, 1.0));
}
