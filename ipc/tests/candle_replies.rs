//! Candles of many symbols in one reply: both layouts, and the turns it takes.

mod common;

use codec::candle::Candle;
use codec::words::{Interval, Venue};
use common::candles::*;
use common::{BTC, Bench, ETH, Peer, get};
use slipstream_client::{Value, request};

#[test]
fn both_layouts_say_the_same() {
    let mut bench = loaded();
    // More than one piece of a column, and than one turn.
    bench.history(ETH, Interval::H1, past(HOUR_S, NOW_S, 1999), true);
    let wide = Candle {
        volume: codec::decimal::Volume::from_raw((1 << 70) + 1),
        num_trades: 1 << 40,
        ..candle(NOW_S, 3)
    };
    bench.put(Interval::H1, wide, false, false, 0);
    bench.history(BTC, Interval::M15, Vec::new(), true);
    let mut peer = bench.connect();
    for (symbols, interval, count) in [
        (&["ETHUSDT", "BTCUSDT"][..], "1h", 1_000_000),
        (&["BTCUSDT", "ETHUSDT"], "1h", 513),
        (&["BTCUSDT"], "1h", 1),
        (&["BTCUSDT", "BTCUSDT"], "1h", 2),
        (&["BTCUSDT"], "15m", 3),
        (&[], "1h", 3),
    ] {
        let (kind, by_rows) = peer.reply(&mut bench, &batch(symbols, interval, count, "rows"));
        let (_, by_columns) = peer.reply(&mut bench, &batch(symbols, interval, count, "columns"));
        assert_eq!(kind, "candles_batch");
        let mut named = symbols.to_vec();
        named.dedup();
        assert_eq!((ordered_keys(&by_rows), ordered_keys(&by_columns)), (named.clone(), named.clone()));
        for symbol in named {
            let (listed, fields) = (get(&by_rows, symbol).as_array().unwrap(), get(&by_columns, symbol));
            assert_eq!(
                ordered_keys(fields),
                ["timestamp", "open", "high", "low", "close", "volume", "num_trades", "closed"]
            );
            for name in ordered_keys(fields) {
                let number = |row: &Value| match get(row, name) {
                    Value::Boolean(closed) => f64::from(u8::from(*closed)),
                    other => other.as_f64().unwrap(),
                };
                let want: Vec<_> = listed.iter().map(number).collect();
                assert_eq!(column(fields, name), want, "{symbol} {name}");
            }
            let single = candles(interval, count).symbol(symbol);
            assert_eq!(get(&by_rows, symbol), &peer.reply(&mut bench, &single).1);
        }
    }
    let (_, data) = peer.reply(&mut bench, &batch(&["BTCUSDT"], "1h", 1, "columns"));
    assert_eq!(column(get(&data, "BTCUSDT"), "volume"), [((1i128 << 70) + 1) as f64 / 1e8]);
}

#[test]
fn a_batch_is_refused_as_a_whole() {
    let mut bench = loaded();
    let mut peer = bench.connect();
    let (code, message) = peer.refusal(&mut bench, &batch(&["BTCUSDT", "BTCUSDC"], "1h", 5, "rows"));
    assert_eq!(code, "unknown_symbol");
    assert!(message.contains("BTCUSDC"), "{message}");
    assert_eq!(peer.refusal(&mut bench, &batch(&["BTCUSDT"], "1h", 5, "table")).0, "bad_request");
    assert_eq!(peer.refusal(&mut bench, &batch(&["BTCUSDT"], "1h", 0, "rows")).0, "bad_count");
    assert_eq!(peer.refusal(&mut bench, &batch(&["BTCUSDT"], "5m", 1, "rows")).0, "unknown_interval");
    let (code, message) = peer.refusal(&mut bench, &batch(&["BTCUSDT"; 5000], "1h", 1, "rows"));
    assert_eq!(code, "too_many");
    assert!(message.contains("4096"), "{message}");
    assert_eq!(peer.reply(&mut bench, &batch(&["BTCUSDT"; 4096], "1h", 1, "rows")).0, "candles_batch");
}

/// What one turn of the server would do for these clients; how many bytes each was given.
fn turn(bench: &mut Bench, peers: &mut [Peer]) -> Vec<usize> {
    let now = bench.records.now;
    bench.core.begin_turn();
    let turn_of = |peer: &mut Peer| {
        bench.core.serve(peer.id, now);
        let mut given = 0;
        while bench.core.has_output(peer.id) {
            let output = bench.core.output(peer.id, now);
            let bytes = bench.core.output_bytes(peer.id, output);
            if bytes.is_empty() {
                break;
            }
            given += bytes.len();
            peer.push(bytes);
            let all = bytes.len();
            bench.core.sent(peer.id, output, all, now, now.wall_ns);
        }
        given
    };
    peers.iter_mut().map(turn_of).collect()
}

/// A venue with `symbols` symbols of 1,100 four-hour candles each.
fn many(symbols: u32) -> (Bench, Vec<String>) {
    let mut bench = bench();
    let names: Vec<_> = (0..symbols).map(|number| format!("SYM{number}USDT")).collect();
    let past = past(4 * HOUR_S, NOW_S, 1100);
    for (number, name) in names.iter().enumerate() {
        let id = 100 + number as u32;
        bench.feed(|records| records.instrument(id, Venue::Binance, name));
        for chunk in past.chunks(512) {
            bench.history(id, Interval::H4, chunk.to_vec(), chunk.len() < 512);
        }
    }
    (bench, names)
}

#[test]
fn a_reply_of_megabytes_takes_its_turns_and_delays_nobody() {
    let (mut bench, names) = many(60);
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let mut peers: Vec<_> = (0..12).map(|_| bench.connect()).collect();
    let ask = |layout: &str| batch(&names, "4h", 1100, layout);
    for peer in &mut peers[..11] {
        peer.send(&mut bench, &ask("rows"));
    }
    assert!(peers[..11].iter().all(|peer| bench.core.client(peer.id).unwrap().held_bytes() < 200_000));
    let bystander = &mut peers[11];
    bystander.reply(&mut bench, &binance("subscribe_trades"));
    let piece = ipc::limits::REPLY_BYTES_PER_TURN + 4096;
    let (mut turns, mut bytes) = (0u64, 0);
    loop {
        bench.feed(|records| records.trade(BTC, turns, 0));
        peers[11].queue(&mut bench, &request("ping"));
        let given = turn(&mut bench, &mut peers);
        let of_replies: usize = given[..11].iter().sum();
        assert!(given[..11].iter().all(|&bytes| bytes <= piece), "turn {turns}: {given:?}");
        assert!(of_replies <= ipc::limits::LONG_BYTES_ALL_PER_TURN + piece, "turn {turns}: {given:?}");
        assert_eq!(peers[11].frames().len(), 2, "the trade and the pong of this very turn");
        for (peer, given) in peers[..11].iter().zip(&given) {
            let held = bench.core.client(peer.id).unwrap().held_bytes();
            assert!(held < 400_000, "{held} bytes held for a client that was given {given}");
        }
        (turns, bytes) = (turns + 1, bytes + of_replies);
        peers[..11].rotate_left(1);
        if of_replies == 0 {
            break;
        }
    }
    assert!(bytes > 11 * 10_000_000 && turns > 200, "{bytes} bytes in {turns} turns");
    let replies: Vec<_> = peers[..11].iter_mut().map(|peer| peer.frames().remove(0)).collect();
    let reply = rmpv::decode::read_value(&mut &replies[0][..]).unwrap();
    let data = get(&reply, "data").as_map().unwrap();
    assert_eq!(data.len(), 60);
    assert!(data.iter().all(|(_, rows)| rows.as_array().unwrap().len() == 1100));
    assert!(replies.iter().all(|other| *other == replies[0]));
}

#[test]
fn what_closes_while_a_reply_is_written_does_not_tear_it() {
    for layout in ["rows", "columns"] {
        let (mut bench, names) = many(40);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let mut peers = vec![bench.connect()];
        peers[0].send(&mut bench, &batch(&names, "4h", 1100, layout));
        let mut period = 0;
        let mut turns = 0;
        while turn(&mut bench, &mut peers)[0] > 0 {
            turns += 1;
            // In every turn a whole period of every symbol: retention overtakes the later ones.
            for id in 100..140 {
                let body = candle(NOW_S + period * 4 * HOUR_S, 1).body(Interval::H4, true, false);
                bench.feed(|records| records.candle_of(id, &body, 0));
            }
            period += 1;
        }
        assert!(turns > 20, "{turns}");
        let values = peers[0].values(&mut bench);
        assert_eq!(values.len(), 1);
        let data = get(&values[0], "data");
        let mut ends = Vec::new();
        for name in names {
            let starts: Vec<_> = match layout {
                "columns" => column(get(data, name), "timestamp").iter().map(|start| *start as u64).collect(),
                _ => {
                    let rows = get(data, name).as_array().unwrap();
                    rows.iter().map(|row| get(row, "timestamp").as_u64().unwrap()).collect()
                }
            };
            assert_eq!(starts.len(), 1100);
            assert!(starts.windows(2).all(|pair| pair[1] == pair[0] + 4 * HOUR_S), "{name} has a hole");
            ends.push(*starts.last().unwrap());
        }
        let overtaken = ends.iter().filter(|end| **end > NOW_S).count();
        assert!(overtaken < 20, "most end with the period that ran when they were asked for: {ends:?}");
        assert_eq!(overtaken == 0, layout == "columns", "which are a third of the bytes");
        assert!(ends.is_sorted() && ends[0] == NOW_S);
    }
}
