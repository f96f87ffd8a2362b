//! REST bodies of candles, funding intervals and turnover.

use crate::tree::Tree;
use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Volume};
use codec::limits::MESSAGE_CANDLES_MAX;
use codec::venues::rest_binance::{self, FundingInfo};
use codec::venues::rest_hyperliquid::{self, Turnover};
use codec::venues::{DecodeError, hyperliquid};

fn body(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn price(text: &str) -> Price {
    Price::parse(text.as_bytes()).expect("a price")
}

fn volume(text: &str) -> Volume {
    Volume::parse(text.as_bytes()).expect("a volume")
}

#[test]
fn binance_klines() {
    let text = r#"[[1499040000000,"0.01634790","0.80000000","0.01575800","0.01577100","148976.11427815",1499644799999,"2434.19055334",308,"1756.87402397","28.46694368","0"],
        [1499644800000,"1","1","1","0.000000001","123456789012345.5",1500249599999,"1",0,"0","0","0"]]"#;
    let rows = rest_binance::klines(&mut body(text)).expect("klines");
    let first = Candle {
        start_ms: 1_499_040_000_000,
        open: price("0.0163479"),
        high: price("0.8"),
        low: price("0.015758"),
        close: price("0.015771"),
        volume: volume("148976.11427815"),
        num_trades: 308,
    };
    assert_eq!(
        rows,
        [
            CandleRow { start_ms: 1_499_040_000_000, end_ms: 1_499_644_799_999, candle: Some(first) },
            CandleRow { start_ms: 1_499_644_800_000, end_ms: 1_500_249_599_999, candle: None },
        ]
    );
    assert_eq!(rest_binance::klines(&mut body("[]")), Ok(Vec::new()));
    for text in [
        "",
        "null",
        "{}",
        "[[]]",
        "[1]",
        r#"[[1,"1","1","1","1","1",2,"1"]]"#,
        r#"[["x","1","1","1","1","1",2,"1",1]]"#,
    ] {
        assert!(matches!(rest_binance::klines(&mut body(text)), Err(DecodeError::Malformed(_))), "{text}");
    }
}

#[test]
fn binance_funding_intervals() {
    let text = r#"[{"symbol":"BLZUSDT","adjustedFundingRateCap":"0.02500000","adjustedFundingRateFloor":"-0.02500000","fundingIntervalHours":4,"disclaimer":false,"updateTime":null},{"symbol":"币安人生USDT","fundingIntervalHours":1}]"#;
    let rows = rest_binance::funding_info(&mut body(text));
    let row = |symbol: &str, interval_hours| FundingInfo { symbol: symbol.to_owned(), interval_hours };
    assert_eq!(rows, Ok(vec![row("BLZUSDT", 4), row("币安人生USDT", 1)]));
    assert_eq!(rest_binance::funding_info(&mut body("[]")), Ok(Vec::new()));
    // No one may be made to divide by it.
    for hours in ["0", "-8", "null", "4294967296", "1.5"] {
        let text = format!(r#"[{{"symbol":"X","fundingIntervalHours":{hours}}}]"#);
        let expected = Err(DecodeError::Malformed("fundingIntervalHours"));
        assert_eq!(rest_binance::funding_info(&mut body(&text)), expected, "{hours}");
    }
}

#[test]
fn recorded_hyperliquid_candles() {
    for json in crate::rest::yaml_bodies("hyperliquid/rest_candle_snapshot.yaml") {
        if !json.starts_with('[') {
            continue;
        }
        let rows = rest_hyperliquid::candle_snapshot(&mut body(&json)).expect("candles");
        assert_eq!(rows.len(), 24);
        let Some(Tree::Array(trees)) = Tree::parse(json.as_bytes()) else { panic!("no array") };
        // The same candles as one message each.
        let mut decoder = hyperliquid::Decoder::new();
        for (row, at) in rows.iter().zip(0..) {
            assert!(row.candle.is_some() && row.end_ms == row.start_ms + 3_599_999);
            assert_eq!(row.start_ms, rows[0].start_ms + at * 3_600_000);
            let message = format!(r#"{{"channel":"candle","data":{}}}"#, text_of(&trees[at as usize]));
            let decoded = decoder.decode(message.as_bytes());
            let Ok(hyperliquid::Message::Candles([frame])) = decoded else { panic!("{decoded:?}") };
            assert_eq!((frame.coin, frame.row), ("kPEPE", *row));
        }
        assert_eq!(decoder.fallbacks(), 0);
        assert_eq!(rows[0].candle.map(|candle| candle.volume), Some(volume("520665683")));
    }
}

fn text_of(tree: &Tree) -> String {
    let mut text = String::new();
    crate::mutate::write(tree, &mut crate::mutate::Random(0), 0, &mut text);
    text
}

#[test]
fn hyperliquid_candles_of_none() {
    for text in ["null", "[]"] {
        assert_eq!(rest_hyperliquid::candle_snapshot(&mut body(text)), Ok(Vec::new()));
    }
    for text in ["", "{}", "[null]", "[{}]", "Failed to deserialize the JSON body"] {
        assert!(rest_hyperliquid::candle_snapshot(&mut body(text)).is_err(), "{text}");
    }
}

/// The candles that both venues' histories hold at most fit; more are refused.
#[test]
fn candles_of_one_answer() {
    let kline = r#"[1,"1","1","1","1","1",2,"1",1,"1","1","0"]"#;
    let candle = r#"{"t":1,"T":2,"s":"X","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}"#;
    for (count, expected) in [
        (MESSAGE_CANDLES_MAX, Ok(MESSAGE_CANDLES_MAX)),
        (MESSAGE_CANDLES_MAX + 1, Err(DecodeError::TooLarge("candles"))),
    ] {
        let rows = |row: &str| body(&format!("[{}]", vec![row; count].join(",")));
        assert_eq!(rest_binance::klines(&mut rows(kline)).map(|rows| rows.len()), expected);
        assert_eq!(rest_hyperliquid::candle_snapshot(&mut rows(candle)).map(|rows| rows.len()), expected);
    }
}

#[test]
fn hyperliquid_turnover() {
    let meta = r#"{"universe":[{"name":"BTC","szDecimals":5},{"name":"xyz:NVDA","szDecimals":3,"isDelisted":true}],"marginTables":[],"collateralToken":0}"#;
    let answer = |ctxs: &str| rest_hyperliquid::turnover(&mut body(&format!("[{meta},[{ctxs}]]")));
    let row = |name: &str, day_notional| Turnover { name: name.to_owned(), day_notional };
    assert_eq!(
        answer(
            r#"{"funding":"0.0000125","dayNtlVlm":"4161029539.6949653625","premium":null},{"dayNtlVlm":null}"#
        ),
        Ok(vec![row("BTC", 4_161_029_539.694_965_4), row("xyz:NVDA", 0.0)])
    );
    assert_eq!(answer(r#"{"dayNtlVlm":1},{}"#), Ok(vec![row("BTC", 1.0), row("xyz:NVDA", 0.0)]));
    for ctxs in ["", "{}", "{},{},{}"] {
        assert_eq!(answer(ctxs), Err(DecodeError::Malformed("as many ctxs as perpetuals")), "{ctxs}");
    }
    for notional in ["\"-1\"", "\"NaN\"", "\"inf\"", "\"1e400\"", "true"] {
        let ctxs = format!(r#"{{"dayNtlVlm":{notional}}},{{}}"#);
        assert_eq!(answer(&ctxs), Err(DecodeError::Malformed("dayNtlVlm")), "{notional}");
    }
    for text in ["", "null", "[]", "[null,null]", "[{},[]]", "{}"] {
        assert!(rest_hyperliquid::turnover(&mut body(text)).is_err(), "{text}");
    }
}
