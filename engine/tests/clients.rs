//! What clients do to each other through the real daemon: nothing.

mod system;

use sim::Config;
use slipstream_client::{Book, Client, Message, request};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use system::{Choice, Desk, receive_until, wait_for};

fn desk() -> Desk {
    let mut config = Config::default();
    config.binance.market.symbols = 3;
    let lines = "symbols = [\"BTCUSDT\", \"ETHUSDT\"]";
    Desk::start(
        config,
        &Choice { hyperliquid: Some("symbols = [\"BTC\"]"), binance: Some(lines), retention: "" },
    )
}

fn wait_live(desk: &Desk, venue: &str, symbol: &str) {
    let mut client = desk.client();
    let question = request("get_orderbook").venue(venue).symbol(symbol).with("depth", 1);
    wait_for("a live book", || client.request(&question).ok());
}

#[test]
fn mode_delta_reproduces_mode_full() {
    let desk = desk();
    for (venue, symbol) in [("binance", "BTCUSDT"), ("hyperliquid", "BTC")] {
        wait_live(&desk, venue, symbol);
        for depth in [1, 5, 20, 1000] {
            let (mut full, mut delta) = (desk.client(), desk.client());
            full.subscribe_orderbook(venue, symbol, depth, "full").unwrap();
            delta.subscribe_orderbook(venue, symbol, depth, "delta").unwrap();
            let mut whole: BTreeMap<u64, Book> = BTreeMap::new();
            receive_until(&mut full, "full books", |message| {
                if let Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) = message {
                    whole.insert(book.sequence, book);
                }
                whole.len() >= 12
            });
            let last = *whole.keys().next_back().unwrap();
            let mut built: Option<Book> = None;
            let (mut compared, mut deltas) = (0, 0);
            receive_until(&mut delta, "deltas", |message| {
                match message {
                    Message::OrderbookSnapshot(book) => built = Some(book),
                    Message::OrderbookDelta(change) => {
                        assert!(built.as_mut().unwrap().apply(&change), "a delta with a hole");
                        deltas += 1;
                    }
                    _ => return false,
                }
                let built = built.as_ref().unwrap();
                if let Some(book) = whole.get(&built.sequence) {
                    assert_eq!(
                        (&built.bids, &built.asks),
                        (&book.bids, &book.asks),
                        "{symbol} depth {depth}"
                    );
                    assert_eq!(built.timestamp_us, book.timestamp_us);
                    assert_eq!(built.fresh_levels, book.fresh_levels);
                    compared += 1;
                }
                built.sequence >= last
            });
            assert!(compared > 3 && deltas > 3, "{symbol} {depth}: {compared} compared, {deltas} deltas");
        }
    }
}

/// Quotes of a well-behaved client, each with its sequence's neighbours: nothing lost, nothing conflated.
fn follow(client: &mut Client, until: Instant) -> (u64, Duration) {
    let (mut messages, mut longest, mut last) = (0, Duration::ZERO, Instant::now());
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    while Instant::now() < until {
        let Some(message) = client.recv(Duration::from_millis(100)).unwrap() else { continue };
        longest = longest.max(last.elapsed());
        last = Instant::now();
        messages += 1;
        match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                assert_eq!(book.conflated, 0);
                let before = sequences.insert(book.symbol.clone(), book.sequence).unwrap_or(0);
                assert!(book.sequence > before);
            }
            Message::Quote(quote) => assert_eq!(quote.conflated, 0),
            Message::Gap(gap) => panic!("{gap:?}"),
            Message::Status(status) => assert_eq!(status.state, "live", "{status:?}"),
            _ => {}
        }
    }
    (messages, longest)
}

#[test]
fn a_client_that_never_reads_random_bytes_and_idle_ones_delay_nobody() {
    let mut desk = desk();
    for (venue, symbol) in [("binance", "BTCUSDT"), ("binance", "ETHUSDT"), ("hyperliquid", "BTC")] {
        wait_live(&desk, venue, symbol);
    }
    let mut good = desk.client();
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        // Small messages: what the machine makes this thread wait must fit the socket's own buffer.
        good.subscribe_orderbook("binance", symbol, 20, "full").unwrap();
        good.subscribe_quote("binance", symbol).unwrap();
        good.subscribe_trades("binance", symbol).unwrap();
    }
    let (alone, _) = follow(&mut good, Instant::now() + Duration::from_secs(5));
    let before_kib = desk.resident_kib();

    let idle: Vec<UnixStream> = (0..500).map(|_| UnixStream::connect(&desk.socket).unwrap()).collect();
    let mut deaf = desk.client();
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        deaf.subscribe_orderbook("binance", symbol, 1000, "full").unwrap();
        deaf.subscribe_trades("binance", symbol).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    let noise = {
        let (stop, socket) = (stop.clone(), desk.socket.clone());
        std::thread::spawn(move || {
            let mut state = 0x1234_5678_9ABC_DEF1u64;
            println!("noise seed {state:#x}");
            let (mut connections, mut sent) = (0, 0usize);
            while !stop.load(Ordering::Relaxed) {
                let Ok(mut stream) = UnixStream::connect(&socket) else { continue };
                stream.set_nonblocking(true).unwrap();
                connections += 1;
                for _ in 0..64 {
                    let bytes: Vec<u8> = (0..256)
                        .map(|_| {
                            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            (state >> 56) as u8
                        })
                        .collect();
                    // Half of the time the length is believable and the daemon has to look inside.
                    let framed = state & 1 == 0;
                    let length = (bytes.len() as u32).to_be_bytes();
                    let written = if framed {
                        stream.write(&[&length[..], &bytes].concat())
                    } else {
                        stream.write(&bytes)
                    };
                    match written {
                        Ok(count) => sent += count,
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => break,
                    }
                    let _ = stream.read(&mut [0; 4096]);
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
            (connections, sent)
        })
    };
    let (among, longest) = follow(&mut good, Instant::now() + Duration::from_secs(60));
    stop.store(true, Ordering::Relaxed);
    let (connections, sent) = noise.join().unwrap();
    let after_kib = desk.resident_kib();
    println!("{alone} messages in 5 s alone, {among} in 60 s among them, longest pause {longest:?}");
    println!(
        "{connections} noisy connections, {sent} bytes; resident {before_kib} KiB before, {after_kib} after"
    );
    assert!(connections > 10 && sent > 100_000);
    assert!(among > alone * 4, "{among} in 60 s against {alone} in 5 s");
    assert!(after_kib < before_kib + 128 * 1024, "memory is bounded: {before_kib} KiB, then {after_kib}");
    assert!(desk.is_running());
    drop((idle, deaf));
}
