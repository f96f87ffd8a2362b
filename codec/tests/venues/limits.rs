//! What happens at each limit.

use codec::limits::{
    MESSAGE_CANDLES_MAX, MESSAGE_CTXS_MAX, MESSAGE_FILLS_MAX, MESSAGE_LEVELS_MAX, MESSAGE_TRADES_MAX,
};
use codec::venues::{DecodeError, binance, hyperliquid};

fn depth(levels: usize) -> String {
    let rows = vec![r#"["1.5","2"]"#; levels].join(",");
    format!(r#"{{"e":"depthUpdate","E":1,"T":2,"s":"X","U":3,"u":4,"pu":5,"b":[{rows}],"a":[{rows}]}}"#)
}

#[test]
fn binance_levels() {
    let mut decoder = binance::Decoder::new();
    let most = depth(MESSAGE_LEVELS_MAX);
    for general in [false, true] {
        let decoded =
            if general { decoder.decode_general(most.as_bytes()) } else { decoder.decode(most.as_bytes()) };
        let Ok(binance::Message::Depth(depth)) = decoded else { panic!("{decoded:?}") };
        assert_eq!((depth.bids.len(), depth.asks.len()), (MESSAGE_LEVELS_MAX, MESSAGE_LEVELS_MAX));
    }
    assert_eq!(decoder.fallbacks(), 1);
    assert_eq!(
        decoder.decode(depth(MESSAGE_LEVELS_MAX + 1).as_bytes()),
        Err(DecodeError::TooLarge("levels"))
    );
}

#[test]
fn hyperliquid_levels_and_trades() {
    let mut decoder = hyperliquid::Decoder::new();
    let book = |levels: usize| {
        let rows = vec![r#"{"px":"1.5","sz":"2","n":1}"#; levels].join(",");
        format!(r#"{{"channel":"l2Book","data":{{"coin":"X","time":1,"levels":[[{rows}],[{rows}]]}}}}"#)
    };
    assert!(decoder.decode(book(MESSAGE_LEVELS_MAX).as_bytes()).is_ok());
    let trades = |count: usize| {
        let rows = vec![r#"{"coin":"","side":"A","px":"0","sz":"0","time":0,"tid":0}"#; count].join(",");
        format!(r#"{{"channel":"trades","data":[{rows}]}}"#)
    };
    let most = trades(MESSAGE_TRADES_MAX);
    let decoded = decoder.decode(most.as_bytes());
    assert!(
        matches!(decoded, Ok(hyperliquid::Message::Trades(trades)) if trades.len() == MESSAGE_TRADES_MAX)
    );
    assert_eq!(decoder.fallbacks(), 0);
    let one_more = book(MESSAGE_LEVELS_MAX + 1);
    assert_eq!(decoder.decode(one_more.as_bytes()), Err(DecodeError::TooLarge("levels")));
    let one_more = trades(MESSAGE_TRADES_MAX + 1);
    assert_eq!(decoder.decode(one_more.as_bytes()), Err(DecodeError::TooLarge("trades")));
}

#[test]
fn hyperliquid_candles_ctxs_and_fills() {
    use hyperliquid::Message;
    let mut decoder = hyperliquid::Decoder::new();
    let mut count = |channel: &str, rows: usize, row: &str, around: (&str, &str)| {
        let rows = vec![row; rows].join(",");
        let json = format!(r#"{{"channel":"{channel}","data":{}{rows}{}}}"#, around.0, around.1);
        match decoder.decode(json.as_bytes()) {
            Ok(Message::Candles(rows)) => Ok(rows.len()),
            Ok(Message::DexCtxs(rows)) => Ok(rows.len()),
            Ok(Message::UserFills(fills)) => Ok(fills.fills.len()),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    let candle = r#"{"t":1,"T":2,"s":"X","i":"1m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}"#;
    let fill = r#"{"coin":"X","px":"1","sz":"1","side":"A","time":1,"oid":1,"tid":1}"#;
    let two_exchanges = (r#"{"ctxs":[["",[{},{}]],["xyz",["#, "]]]}");
    for (channel, row, around, before, most, what) in [
        ("candle", candle, ("[", "]"), 0, MESSAGE_CANDLES_MAX, "candles"),
        ("allDexsAssetCtxs", "{}", two_exchanges, 2, MESSAGE_CTXS_MAX, "ctxs"),
        ("userFills", fill, (r#"{"user":"","fills":["#, "]}"), 0, MESSAGE_FILLS_MAX, "fills"),
    ] {
        assert_eq!(count(channel, most - before, row, around), Ok(most));
        assert_eq!(count(channel, most - before + 1, row, around), Err(DecodeError::TooLarge(what)));
    }
}

#[test]
fn nesting() {
    let nested = |depth: usize| format!(r#"{{"e":"new","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let mut decoder = binance::Decoder::new();
    assert!(decoder.decode(nested(60).as_bytes()).is_ok());
    for depth in [64, 1000, 200_000] {
        assert_eq!(decoder.decode(nested(depth).as_bytes()), Err(DecodeError::Malformed("JSON")));
    }
    assert_eq!(decoder.decode("[".repeat(100_000).as_bytes()), Err(DecodeError::Malformed("JSON")));
}

#[test]
fn bytes() {
    let large = format!(r#"{{"e":"{}"}}"#, "x".repeat(17 << 20));
    assert_eq!(binance::Decoder::new().decode(large.as_bytes()), Err(DecodeError::TooLarge("bytes")));
}

#[test]
fn decoders_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<binance::Decoder>();
    is_send::<hyperliquid::Decoder>();
}
