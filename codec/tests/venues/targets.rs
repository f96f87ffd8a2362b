//! Fuzz targets: the venue decoders, frames and REST bodies, against the oracle.

use crate::check::{Bench, Venue};
use crate::fuzz;
use crate::oracle::{self, Refused, rest};
use crate::samples;
use crate::tree::Tree;
use codec::venues::{DecodeError, rest_binance, rest_hyperliquid};
use std::fmt::Debug;

const FRAMES: &str = include_str!("../corpus/frames.txt");
const BODIES: &str = include_str!("../corpus/rest.txt");

fn frames(of: Venue) -> Vec<Vec<u8>> {
    let samples = samples::all().filter(|(venue, _)| *venue == of);
    let samples = samples.map(|(_, text)| text.as_bytes().to_vec());
    samples.chain(fuzz::inputs(FRAMES)).collect()
}

/// Any bytes as a Binance frame: scanner, general parser and oracle agree.
#[test]
fn fuzz_binance() {
    let mut bench = Bench::new();
    fuzz::run(&frames(Venue::Binance), 15_000, |bytes| bench.check(Venue::Binance, bytes));
}

/// Any bytes as a Hyperliquid frame: scanner, general parser and oracle agree.
#[test]
fn fuzz_hyperliquid() {
    let mut bench = Bench::new();
    fuzz::run(&frames(Venue::Hyperliquid), 15_000, |bytes| bench.check(Venue::Hyperliquid, bytes));
}

/// Any bytes as the answer to any REST question: never a panic, and where the oracle knows the question, its
/// answer.
#[test]
fn fuzz_rest() {
    fuzz::run(&fuzz::inputs(BODIES), 15_000, |bytes| {
        let tree = Tree::parse(bytes);
        let tree = tree.as_ref();
        agree(rest_binance::depth, rest::depth, bytes, tree);
        agree(rest_binance::agg_trades, rest::agg_trades, bytes, tree);
        agree(rest_binance::klines, rest::klines, bytes, tree);
        agree(rest_hyperliquid::l2_book, rest::l2_book, bytes, tree);
        agree(rest_hyperliquid::recent_trades, rest::recent_trades, bytes, tree);
        agree(rest_hyperliquid::candle_snapshot, rest::candle_snapshot, bytes, tree);
        let body = || bytes.to_vec();
        let _ = rest_binance::exchange_info(&mut body());
        let _ = rest_binance::server_time(&mut body());
        let _ = rest_binance::error(&mut body());
        if let Ok(infos) = rest_binance::funding_info(&mut body()) {
            assert!(infos.iter().all(|info| info.interval_hours > 0));
        }
        let _ = rest_hyperliquid::meta(&mut body());
        let _ = rest_hyperliquid::turnover(&mut body());
        let _ = rest_hyperliquid::spot_meta(&mut body());
        let _ = rest_hyperliquid::perp_dexs(&mut body());
    });
}

/// As [`Bench::check`], for a body.
fn agree<T: PartialEq + Debug>(
    read: fn(&mut [u8]) -> Result<T, DecodeError>,
    plain: fn(&Tree) -> Result<T, Refused>,
    bytes: &[u8],
    tree: Option<&Tree>,
) {
    let answer = read(&mut bytes.to_vec());
    match (tree.ok_or(Refused("no JSON")).and_then(plain), answer) {
        (Ok(expected), Ok(answer)) => assert_eq!(answer, expected, "another value than the oracle's"),
        (Err(why), Ok(answer)) => panic!("accepted what the oracle refuses ({why:?}): {answer:?}"),
        (Ok(expected), Err(error)) => {
            assert!(!tree.is_some_and(Tree::is_tame), "refused ({error}) what is {expected:?}");
        }
        (Err(_), Err(_)) => {}
    }
}

/// The oracle's exactness is also the decimals': any text is the same number for both, or none.
#[test]
fn fuzz_decimals() {
    use codec::decimal::{DecimalError, Price, Rate, Volume, parse_fixed, parse_wide};
    fuzz::run(&fuzz::inputs(include_str!("../corpus/decimals.txt")), 30_000, |bytes| {
        let text = std::str::from_utf8(bytes).ok();
        for places in [0u32, 8, 12] {
            let exact = text.and_then(|text| oracle::exact(text, places.into()));
            let expected = match exact {
                None => Err(DecimalError::Malformed),
                Some(None) => Err(DecimalError::Unrepresentable),
                Some(Some(value)) => Ok(value),
            };
            assert_eq!(parse_fixed(bytes, places), expected, "{places} places");
            if let Ok(value) = expected {
                assert_eq!(parse_wide(bytes, places), Ok(value.into()), "{places} places");
            }
        }
        // What was read prints as what reads back, and as the nearest double.
        if let Ok(price) = Price::parse(bytes) {
            let printed = price.to_string();
            assert_eq!(Price::parse(printed.as_bytes()), Ok(price), "{printed}");
            assert_eq!(Ok(price.to_f64()), printed.parse(), "{printed}");
        }
        if let Ok(rate) = Rate::parse(bytes) {
            let printed = rate.to_string();
            assert_eq!(Rate::parse(printed.as_bytes()), Ok(rate), "{printed}");
            assert_eq!(Ok(rate.to_f64()), printed.parse(), "{printed}");
        }
        if let Ok(volume) = Volume::parse(bytes) {
            let _ = volume.to_f64();
        }
    });
}

/// Any words as records: whatever is taken for one lies within them and can be looked at whole, and a book follows it
/// without a panic.
#[test]
fn fuzz_records() {
    use codec::book::{Book, TimedLevel};
    use codec::record::{Kind, Level, Record};
    fuzz::run(&fuzz::inputs(include_str!("../corpus/records.txt")), 20_000, |bytes| {
        let mut words: Vec<u64> = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            })
            .collect();
        // A length that fits is found by luck alone: the first word is what it would have to be, at times.
        if bytes.first().is_some_and(|byte| byte % 2 == 0) && !words.is_empty() {
            words[0] = words[0] & !0xffff_ffff | (words.len() * 8) as u64;
        }
        let Ok(record) = Record::first(&words) else { return };
        assert!(record.words().len() <= words.len());
        assert_eq!(record.bytes().len(), record.header().length as usize);
        if let Some(instrument) = record.instrument() {
            let _ = (instrument.symbol(), instrument.base(), instrument.quote(), instrument.kind());
            let _ = (instrument.status(), instrument.tick_at(None));
            let _ = instrument.tick_at(Some(codec::decimal::Price::from_raw(1)));
        }
        let _ = record.trade().map(|body| body.side());
        let _ = record.candle().map(|body| (body.volume(), body.interval()));
        let _ = record.status().map(|body| (body.state(), body.reason()));
        let _ = record.gap().map(|body| (body.reason(), body.missed()));
        let _ = (record.quote(), record.funding(), record.fill(), record.check());
        if let Some(levels) = record.book() {
            let is_snapshot = record.kind() == Kind::BookSnapshot;
            let mut plain = Book::<Level>::new(8);
            plain.apply_record(&levels, is_snapshot);
            let mut timed = Book::<TimedLevel>::new(8);
            timed.apply_record(&levels, is_snapshot);
            assert!(plain.bids.len() <= 8 && plain.asks.len() <= 8);
            assert_eq!(plain.check(), timed.check());
        }
    });
}
