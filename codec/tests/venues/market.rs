//! Candles, marks and fills read by eye from real or documented messages.

use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Rate, Size, Volume};
use codec::venues::{DecodeError, binance, hyperliquid};
use codec::words::{Interval, Side};

fn price(text: &str) -> Price {
    Price::parse(text.as_bytes()).expect("a price")
}

fn size(text: &str) -> Size {
    Size::parse(text.as_bytes()).expect("a size")
}

fn rate(text: &str) -> Rate {
    Rate::parse(text.as_bytes()).expect("a rate")
}

fn volume(text: &str) -> Volume {
    Volume::parse(text.as_bytes()).expect("a volume")
}

#[test]
fn binance_klines() {
    let mut decoder = binance::Decoder::new();
    let json = br#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"T":1791383039999,"s":"BTCUSDT","i":"1m","f":8153633367,"L":8153634395,"o":"83084.90","c":"83091.60","h":"83091.70","l":"83051.20","v":"13.551","n":1027,"x":false,"q":"1125714.73960","V":"6.426","Q":"533856.66860","B":"0"}}}"#;
    let kline = binance::Kline {
        stream: "btcusdt@kline_1m",
        symbol: "BTCUSDT",
        event_ms: 1_791_382_992_723,
        interval: Some(Interval::M1),
        row: CandleRow {
            start_ms: 1_791_382_980_000,
            end_ms: 1_791_383_039_999,
            candle: Some(Candle {
                start_ms: 1_791_382_980_000,
                open: price("83084.9"),
                high: price("83091.7"),
                low: price("83051.2"),
                close: price("83091.6"),
                volume: volume("13.551"),
                num_trades: 1027,
            }),
        },
        closed: false,
    };
    assert_eq!(decoder.decode(json), Ok(binance::Message::Kline(kline)));
    assert_eq!(decoder.fallbacks(), 0);
}

/// A volume beyond what sizes hold is kept to the last digit, a price with a ninth decimal leaves no candle, and an
/// interval made up tomorrow is not mistaken for another.
#[test]
fn binance_klines_at_the_edges() {
    let mut decoder = binance::Decoder::new();
    let mut kline = |interval: &str, low: &str, volume: &str| {
        let json = format!(
            r#"{{"e":"kline","E":1,"s":"X","k":{{"t":2,"T":3,"s":"X","i":"{interval}","f":-1,"L":-1,"o":"5","c":"6","h":"7","l":{low},"v":{volume},"n":0,"x":true,"q":"0","V":"0","Q":"0","B":"0"}}}}"#
        );
        match decoder.decode(json.as_bytes()) {
            Ok(binance::Message::Kline(kline)) => {
                assert!(kline.closed && (kline.row.start_ms, kline.row.end_ms) == (2, 3));
                Ok((kline.interval, kline.row.candle.map(|candle| (candle.low, candle.volume))))
            }
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error),
        }
    };
    let wide = volume("192233720368.54775808");
    assert_eq!(
        kline("1M", "\"4\"", "\"192233720368.54775808\""),
        Ok((Some(Interval::Month1), Some((price("4"), wide))))
    );
    assert_eq!(
        kline("1d", "4.5", "192233720368.54775808"),
        Ok((Some(Interval::D1), Some((price("4.5"), wide))))
    );
    assert_eq!(kline("1s", "\"4\"", "\"1\""), Ok((None, Some((price("4"), volume("1"))))));
    assert_eq!(kline("6h", "\"0.000000001\"", "\"1\""), Ok((Some(Interval::H6), None)));
    assert_eq!(kline("6h", "\"4\"", "\"1e23\""), Ok((Some(Interval::H6), None)));
    assert_eq!(kline("6h", "\"-4\"", "\"1\""), Err(DecodeError::Malformed("a price")));
    assert_eq!(kline("6h", "\"4\"", "\"-1\""), Err(DecodeError::Malformed("a volume")));
    assert_eq!(kline("6h", "\"4\"", "null"), Err(DecodeError::Malformed("a volume")));
}

#[test]
fn binance_mark_prices() {
    use binance::{MarkPrice, Message};
    let mut decoder = binance::Decoder::new();
    let json = br#"{"e":"markPriceUpdate","E":1791382993000,"s":"BTCUSDT","p":"83084.30000000","ap":"83084.30000000","P":"83195.15881449","i":"83123.65891304","r":"0.00000078","T":1791388800000,"st":1}"#;
    let mark = MarkPrice {
        stream: "",
        symbol: "BTCUSDT",
        event_ms: 1_791_382_993_000,
        mark: Some(price("83084.3")),
        index: Some(price("83123.65891304")),
        rate: Some(rate("0.00000078")),
        next_funding_ms: 1_791_388_800_000,
        coin_margined: false,
    };
    assert_eq!(decoder.decode(json), Ok(Message::MarkPrice(mark)));
    // A dated contract has no funding: an empty rate, or zero, and no next time.
    let json = br#"{"e":"markPriceUpdate","E":1591702613943,"s":"BTCUSD_261225","p":"10934.62000000","P":"10962.17000000","r":"","T":0,"st":2}"#;
    let dated = MarkPrice {
        stream: "",
        symbol: "BTCUSD_261225",
        event_ms: 1_591_702_613_943,
        mark: Some(price("10934.62")),
        index: None,
        rate: None,
        next_funding_ms: 0,
        coin_margined: true,
    };
    assert_eq!(decoder.decode(json), Ok(Message::MarkPrice(dated)));
    let json = br#"{"stream":"btcusdt_261225@markPrice","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT_261225","p":"1","ap":"1","P":"1","i":"","r":"0.00000000","T":0}}"#;
    let Ok(Message::MarkPrice(zero)) = decoder.decode(json) else { panic!() };
    assert_eq!((zero.index, zero.rate, zero.next_funding_ms), (None, Some(Rate::ZERO), 0));
    assert_eq!(decoder.fallbacks(), 0);
    let json = br#"{"e":"markPriceUpdate","E":1,"s":"X","p":"0.000000001","i":"1.123456789","r":"0.0000000000001","T":0}"#;
    let Ok(Message::MarkPrice(long)) = decoder.decode(json) else { panic!() };
    assert_eq!((long.mark, long.index, long.rate), (None, None, None));
    let json = br#"{"e":"markPriceUpdate","E":1,"s":"X","p":"1","T":0}"#;
    assert_eq!(decoder.decode(json), Err(DecodeError::Malformed("r")));
    let json = br#"{"stream":"!markPrice@arr@1s","data":[{"e":"markPriceUpdate","E":1,"s":"X","p":"1","r":"","T":0}]}"#;
    assert_eq!(decoder.decode(json), Ok(Message::Other { stream: "!markPrice@arr@1s", event: "" }));
}

#[test]
fn binance_listing_changes() {
    use binance::Message;
    let mut decoder = binance::Decoder::new();
    let json = br#"{"e":"contractInfo","E":1669356423908,"s":"IOTAUSDT","ps":"IOTAUSDT","ct":"PERPETUAL","dt":4133404800000,"ot":1569398400000,"cs":"TRADING","bks":[{"bs":1,"bnf":0,"bnc":5000,"mmr":0.01,"cf":0,"mi":21,"ma":50}]}"#;
    assert_eq!(decoder.decode(json), Ok(Message::ContractInfo { symbol: "IOTAUSDT", coin_margined: false }));
    let json = br#"{"stream":"!contractInfo","data":{"e":"contractInfo","s":"BTCUSD_PERP","st":2}}"#;
    assert_eq!(
        decoder.decode(json),
        Ok(Message::ContractInfo { symbol: "BTCUSD_PERP", coin_margined: true })
    );
}

#[test]
fn hyperliquid_candles() {
    use hyperliquid::{CandleFrame, Message};
    let mut decoder = hyperliquid::Decoder::new();
    let frame = CandleFrame {
        coin: "BTC",
        interval: Some(Interval::M1),
        row: CandleRow {
            start_ms: 1_790_232_180_000,
            end_ms: 1_790_232_239_999,
            candle: Some(Candle {
                start_ms: 1_790_232_180_000,
                open: price("84143.5"),
                high: price("84144"),
                low: price("84142"),
                close: price("84143"),
                volume: volume("14.27847"),
                num_trades: 114,
            }),
        },
    };
    let json = br#"{"channel":"candle","data":{"t":1790232180000,"T":1790232239999,"s":"BTC","i":"1m","o":"84143.5","c":"84143.0","h":"84144.0","l":"84142.0","v":"14.27847","n":114}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::Candles(&[frame])));
    let json = br#"{"channel":"candle","data":{"T":1790232239999,"c":"84143.0","h":"84144.0","i":"1m","l":"84142.0","n":114,"o":"84143.5","s":"BTC","t":1790232180000,"v":"14.27847"}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::Candles(&[frame])));
    assert_eq!(decoder.fallbacks(), 0);
    // As the documentation has it: an array, with numbers.
    let json = br#"{"channel":"candle","data":[{"n":114,"t":1790232180000,"T":1790232239999,"s":"BTC","i":"1m","o":84143.5,"c":84143.0,"h":8.4144e4,"l":84142,"v":14.27847}]}"#;
    assert_eq!(decoder.decode(json), Ok(Message::Candles(&[frame])));
    // Digits that a double would lose.
    let json = br#"{"channel":"candle","data":{"t":1,"T":2,"s":"kPEPE","i":"3d","o":1.00000001,"c":"1","h":92233720368.54775807,"l":"1","v":9007199254740993.00000001,"n":1}}"#;
    let Ok(Message::Candles([exact])) = decoder.decode(json) else { panic!() };
    let candle = exact.row.candle.expect("every value fits");
    assert_eq!((exact.interval, candle.high), (Some(Interval::D3), Price::from_raw(i64::MAX)));
    assert_eq!((candle.open, candle.volume), (price("1.00000001"), volume("9007199254740993.00000001")));
    let json = br#"{"channel":"candle","data":{"t":1,"T":2,"s":"X","i":"1m","o":"1","c":"1","h":"0.123456789","l":"1","v":"1","n":1}}"#;
    let Ok(Message::Candles([none])) = decoder.decode(json) else { panic!() };
    assert_eq!(none.row, CandleRow { start_ms: 1, end_ms: 2, candle: None });
}

#[test]
fn hyperliquid_funding_and_marks() {
    use hyperliquid::{AssetCtx, DexCtx, Message};
    let mut decoder = hyperliquid::Decoder::new();
    let bitcoin = AssetCtx {
        coin: "BTC",
        spot: false,
        rate: Some(rate("0.0000018952")),
        open_interest: Some(size("36585.31848")),
        oracle: Some(price("84198")),
        mark: Some(price("84148")),
    };
    let json = br#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.6949653625","premium":null,"oraclePx":"84198.0","markPx":"84148.0","midPx":null,"impactPxs":null,"dayBaseVlm":"49116.08533"}}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::AssetCtx(bitcoin)));
    let json =
        br#"{"channel":"activeAssetCtx","data":{"coin":"X","ctx":{"funding":null,"openInterest":null}}}"#;
    let nothing =
        AssetCtx { coin: "X", spot: false, rate: None, open_interest: None, oracle: None, mark: None };
    assert_eq!(decoder.decode(json), Ok(Message::AssetCtx(nothing)));
    assert_eq!(decoder.fallbacks(), 0);
    let json = br#"{"channel":"activeAssetCtx","data":{"coin":"X","ctx":{}}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::AssetCtx(nothing)));
    let json = br#"{"channel":"activeAssetCtx","data":{"coin":"X","ctx":{"funding":"1e-13","openInterest":"92233720369","oraclePx":"","markPx":"0.0123456789"}}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::AssetCtx(nothing)));
    let json = br#"{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{"dayNtlVlm":"1.0","prevDayPx":"41.0","markPx":"41.2035","midPx":null,"circulatingSupply":"333928180.1","coin":"@107","totalSupply":"998964587.3","dayBaseVlm":"2.0"}}}"#;
    let spot = AssetCtx { coin: "@107", spot: true, mark: Some(price("41.2035")), ..nothing };
    assert_eq!(decoder.decode(json), Ok(Message::AssetCtx(spot)));

    let json = br#"{"channel":"allDexsAssetCtxs","data":{"ctxs":[["",[{"funding":"0.0000018952","openInterest":"36585.31848","oraclePx":"84198.0","markPx":"84148.0"},{"funding":null}]],["flx",[]],["xyz",[{"markPx":"7673.35"}]]]}}"#;
    let empty = AssetCtx { coin: "", ..nothing };
    let entries = [
        DexCtx { dex: "", position: 0, count: 2, ctx: AssetCtx { coin: "", ..bitcoin } },
        DexCtx { dex: "", position: 1, count: 2, ctx: empty },
        DexCtx { dex: "xyz", position: 0, count: 1, ctx: AssetCtx { mark: Some(price("7673.35")), ..empty } },
    ];
    assert_eq!(decoder.decode(json), Ok(Message::DexCtxs(&entries)));
}

#[test]
fn hyperliquid_fills() {
    use hyperliquid::{Message, UserFill, UserFills};
    let mut decoder = hyperliquid::Decoder::new();
    let taken = UserFill {
        coin: "BTC",
        side: Side::Sell,
        value: Some((price("84143"), size("0.00036"))),
        time_ms: 1_790_232_216_193,
        oid: 123_456_789_012,
        tid: 1_045_359_869_404_765,
        fee: Some(price("0.0106")),
    };
    let rebate = UserFill {
        coin: "@107",
        side: Side::Buy,
        value: None,
        fee: Some(Price::from_raw(-12)),
        oid: 2,
        ..taken
    };
    let row = r#"{"coin":"BTC","px":"84143.0","sz":"0.00036","side":"A","time":1790232216193,"startPosition":"-1.5","dir":"Open Short","closedPnl":"0.0","hash":"0x7a","oid":123456789012,"crossed":true,"fee":"0.0106","tid":1045359869404765,"feeToken":"USDC","cloid":null}"#;
    let other = r#"{"coin":"@107","px":"41.123456789","sz":"1","side":"B","time":1790232216193,"oid":2,"fee":"-0.00000012","tid":1045359869404765,"liquidation":{"markPx":"1"}}"#;
    for (flag, is_snapshot) in
        [(r#""isSnapshot":true,"#, true), (r#""isSnapshot":false,"#, false), ("", false)]
    {
        let json =
            format!(r#"{{"channel":"userFills","data":{{{flag}"user":"0x82","fills":[{row},{other}]}}}}"#);
        let fills = UserFills { user: "0x82", is_snapshot, fills: &[taken, rebate] };
        assert_eq!(decoder.decode(json.as_bytes()), Ok(Message::UserFills(fills)));
    }
    let json = br#"{"channel":"userFills","data":{"user":"0x82","fills":[]}}"#;
    let none = UserFills { user: "0x82", is_snapshot: false, fills: &[] };
    assert_eq!(decoder.decode(json), Ok(Message::UserFills(none)));
    let json = br#"{"channel":"userFills","data":{"user":"0x82","fills":[{"coin":"BTC","px":"1","sz":"1","side":"B","time":1,"tid":3}]}}"#;
    assert_eq!(decoder.decode(json), Err(DecodeError::Malformed("oid")));
}

/// Which candle, and whose fills, an acknowledgement or a complaint speaks of.
#[test]
fn hyperliquid_acknowledgements() {
    use hyperliquid::{Message, Subscription, parse_subscription};
    let mut decoder = hyperliquid::Decoder::new();
    let candle = Subscription { kind: "candle", coin: "BTC", interval: "1m", ..Subscription::default() };
    let json = br#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"candle","coin":"BTC","interval":"1m"}}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::Subscribed(candle)));
    let text = br#"Already subscribed: {"type":"candle","coin":"BTC","interval":"1m"}"#;
    assert_eq!(parse_subscription(text), Some((true, candle)));
    let fills = Subscription { kind: "userFills", user: "0x82", ..Subscription::default() };
    let json = br#"{"channel":"subscriptionResponse","data":{"method":"unsubscribe","subscription":{"type":"userFills","user":"0x82","aggregateByTime":false}}}"#;
    assert_eq!(decoder.decode(json), Ok(Message::Unsubscribed(fills)));
    let text = br#"Already subscribed: {"type":"userFills","user":"0x82","aggregateByTime":false}"#;
    assert_eq!(parse_subscription(text), Some((true, fills)));
    let text = br#"Error parsing JSON into valid websocket request: {"method":"subscribe","subscription":{"type":"userFills","user":"0x82"}}"#;
    assert_eq!(parse_subscription(text), Some((false, fills)));
}
