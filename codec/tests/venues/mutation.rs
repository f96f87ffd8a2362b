//! Rewritten and damaged messages: the oracle's value or a refusal, the same on both roads, never a panic.

use crate::check::{Bench, Venue};
use crate::mutate::{Random, change, damage, disguise, write};
use crate::oracle;
use crate::samples;
use crate::tree::Tree;

/// Rounds of each test; `SLIPSTREAM_MUTATION_ROUNDS` asks for more.
fn rounds(default: usize) -> usize {
    std::env::var("SLIPSTREAM_MUTATION_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn trees() -> Vec<(Venue, Tree)> {
    samples::all().filter_map(|(venue, text)| Some((venue, Tree::parse(text.as_bytes())?))).collect()
}

#[test]
fn samples_decode_and_the_scanner_knows_the_hot_ones() {
    let mut bench = Bench::new();
    for (venue, text) in samples::HOT {
        bench.check(*venue, text.as_bytes());
        assert_eq!((bench.binance.fallbacks(), bench.hyperliquid.fallbacks()), (0, 0), "{text}");
    }
    for (venue, text) in samples::COLD {
        let before = bench.binance.fallbacks() + bench.hyperliquid.fallbacks();
        bench.check(*venue, text.as_bytes());
        assert_eq!(bench.binance.fallbacks() + bench.hyperliquid.fallbacks(), before + 1, "{text}");
    }
    assert_eq!(bench.refused, 0);
}

/// Another order, white space, escapes, unknown members, the other form of numbers: nothing changes.
#[test]
fn disguises_change_nothing() {
    let mut bench = Bench::new();
    let mut random = Random(1);
    let trees = trees();
    for round in 0..rounds(10_000) {
        let (venue, mut tree) = random.pick(&trees);
        disguise(&mut tree, &mut random);
        let mut text = String::new();
        write(&tree, &mut random, round % 2, &mut text);
        let read = Tree::parse(text.as_bytes()).expect("what is written is JSON");
        assert_eq!(read, tree);
        bench.check(venue, text.as_bytes());
    }
    assert_eq!(bench.refused, 0);
}

/// One to three things changed: wrong types, missing and repeated members, numbers at every edge.
#[test]
fn changes_give_the_oracles_value_or_a_refusal() {
    let mut bench = Bench::new();
    let mut random = Random(2);
    let trees = trees();
    for round in 0..rounds(30_000) {
        let (venue, mut tree) = random.pick(&trees);
        for _ in 0..=random.below(3) {
            change(&mut tree, &mut random);
        }
        let mut text = String::new();
        write(&tree, &mut random, usize::from(round % 4 == 0), &mut text);
        bench.check(venue, text.as_bytes());
    }
    assert!(bench.accepted > 1000 && bench.refused > 1000, "{} and {}", bench.accepted, bench.refused);
}

#[test]
fn damage_gives_the_oracles_value_or_a_refusal() {
    let mut bench = Bench::new();
    let mut random = Random(3);
    let samples: Vec<_> = samples::all().collect();
    for _ in 0..rounds(40_000) {
        let (venue, text) = random.pick(&samples);
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..=random.below(2) {
            damage(&mut bytes, &mut random);
        }
        bench.check(venue, &bytes);
    }
    assert!(bench.accepted > 1000 && bench.refused > 1000, "{} and {}", bench.accepted, bench.refused);
}

#[test]
fn every_truncation_and_every_flipped_bit() {
    let mut bench = Bench::new();
    for (venue, text) in samples::HOT {
        let bytes = text.as_bytes();
        for end in 0..bytes.len() {
            bench.check(*venue, &bytes[..end]);
        }
        let mut flipped = bytes.to_vec();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                flipped[at] ^= 1 << bit;
                bench.check(*venue, &flipped);
                flipped[at] ^= 1 << bit;
            }
        }
    }
}

#[test]
fn noise_never_panics() {
    let mut bench = Bench::new();
    let mut random = Random(4);
    for _ in 0..rounds(5_000) {
        let bytes: Vec<u8> = (0..random.below(80)).map(|_| random.next() as u8).collect();
        bench.check(Venue::Binance, &bytes);
        bench.check(Venue::Hyperliquid, &bytes);
        for head in [
            r#"{"e":"bookTicker","#,
            r#"{"e":"kline","E":1,"s":"X","k":{"t":"#,
            r#"{"channel":"trades","data":["#,
            r#"{"channel":"candle","data":{"t":"#,
            r#"{"channel":"activeAssetCtx","data":{"coin":"X","ctx":{"funding":"#,
        ] {
            let bytes = [head.as_bytes(), &bytes].concat();
            bench.check(Venue::Binance, &bytes);
            bench.check(Venue::Hyperliquid, &bytes);
        }
    }
}

/// The oracle's arithmetic against values worked out by hand, so that it is worth comparing with.
#[test]
fn the_oracle_is_exact() {
    for (text, answer) in [
        ("84143.0", Some(Some(8_414_300_000_000))),
        ("1e-8", Some(Some(1))),
        ("1e-9", Some(None)),
        ("0.10", Some(Some(10_000_000))),
        ("92233720368.54775807", Some(Some(i64::MAX))),
        ("92233720368.54775808", Some(None)),
        ("0e999999999999999999999", Some(Some(0))),
        ("1e999999999999999999999", Some(None)),
        ("-2.5E1", Some(Some(-2_500_000_000))),
        ("1.", None),
        ("", None),
        ("+1", None),
    ] {
        assert_eq!(oracle::exact(text, 8), answer, "{text}");
    }
    assert_eq!(oracle::exact_wide("92233720368.54775808", 8), Some(Some(i128::from(i64::MAX) + 1)));
    assert_eq!(oracle::exact_wide("1e31", 8), Some(None));
}
