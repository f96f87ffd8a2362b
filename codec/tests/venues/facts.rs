//! Values read by eye from real messages.

use codec::decimal::{Price, Size};
use codec::record::Level;
use codec::venues::{DecodeError, binance, hyperliquid};
use codec::words::Side;

fn price(text: &str) -> Price {
    Price::parse(text.as_bytes()).expect("a price")
}

fn size(text: &str) -> Size {
    Size::parse(text.as_bytes()).expect("a size")
}

fn level(price_text: &str, size_text: &str) -> Level {
    Level { price: price(price_text), size: size(size_text) }
}

#[test]
fn binance_events() {
    use binance::{AggTrade, BookTicker, Depth, Message, Trade};
    let mut decoder = binance::Decoder::new();
    let json = br#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11757092630476,"s":"BTCUSDT","ps":"BTCUSDT","b":"83091.60","B":"4.215","a":"83091.70","A":"3.763","T":1791382994657,"E":1791382994658,"st":1}}"#;
    let ticker = BookTicker {
        stream: "btcusdt@bookTicker",
        symbol: "BTCUSDT",
        event_ms: 1_791_382_994_658,
        transaction_ms: 1_791_382_994_657,
        update_id: 11_757_092_630_476,
        quote: Some((level("83091.6", "4.215"), level("83091.7", "3.763"))),
        coin_margined: false,
    };
    assert_eq!(decoder.decode(json), Ok(Message::BookTicker(ticker)));
    let json = br#"{"e":"depthUpdate","E":1626992741037,"T":1626992741024,"s":"AAVEUSD_PERP","U":600859599090,"u":600859600917,"pu":600859598061,"b":[["7.5040","813"],["7.6090","0"]],"a":[["7.6150","0.00000001"]],"st":2}"#;
    let depth = Depth {
        stream: "",
        symbol: "AAVEUSD_PERP",
        event_ms: 1_626_992_741_037,
        transaction_ms: 1_626_992_741_024,
        first_id: 600_859_599_090,
        last_id: 600_859_600_917,
        prev_id: 600_859_598_061,
        bids: &[level("7.504", "813"), level("7.609", "0")],
        asks: &[level("7.615", "0.00000001")],
        unrepresentable: 0,
        coin_margined: true,
    };
    assert_eq!(decoder.decode(json), Ok(Message::Depth(depth)));
    let json = br#"{"e":"aggTrade","E":1791382992488,"a":3477868433,"s":"BTCUSDT","p":"83091.70","q":"0.022","nq":"0.020","f":8153634393,"l":8153634394,"T":1791382992338,"m":true,"st":1}"#;
    let trade = AggTrade {
        stream: "",
        symbol: "BTCUSDT",
        event_ms: 1_791_382_992_488,
        trade_ms: 1_791_382_992_338,
        agg_id: 3_477_868_433,
        value: Some((price("83091.7"), size("0.022"))),
        side: Side::Sell,
        coin_margined: false,
    };
    assert_eq!(decoder.decode(json), Ok(Message::AggTrade(trade)));
    let json = br#"{"e":"trade","E":1791382990000,"T":1791382990001,"s":"BTCUSDT","t":8153634000,"p":"0","q":"0","X":"NA","m":false,"st":1}"#;
    let placeholder = Trade {
        stream: "",
        symbol: "BTCUSDT",
        event_ms: 1_791_382_990_000,
        trade_ms: 1_791_382_990_001,
        trade_id: 8_153_634_000,
        value: Some((Price::ZERO, Size::ZERO)),
        side: Side::Buy,
        market: false,
        coin_margined: false,
    };
    assert_eq!(decoder.decode(json), Ok(Message::Trade(placeholder)));
    assert_eq!(decoder.fallbacks(), 0);
}

#[test]
fn binance_replies() {
    use binance::Message;
    let mut decoder = binance::Decoder::new();
    for (json, message) in [
        (r#"{"result":null,"id":1}"#, Message::Reply { id: Some(1) }),
        (r#"{"result":["btcusdt@markPrice@1s"],"id":3}"#, Message::Reply { id: Some(3) }),
        (
            r#"{"code":2,"msg":"Invalid request"}"#,
            Message::Error { id: None, code: 2, message: "Invalid request" },
        ),
        (
            r#"{"error":{"code":4,"msg":"Too many subscriptions"},"id":5}"#,
            Message::Error { id: Some(5), code: 4, message: "Too many subscriptions" },
        ),
        (r#"{"error":null,"result":null,"id":6}"#, Message::Reply { id: Some(6) }),
        (
            r#"{"error":{"code":-1003,"msg":"a \"quoted\" word \u20ac"},"id":null}"#,
            Message::Error { id: None, code: -1003, message: "a \"quoted\" word €" },
        ),
        (
            r#"{"stream":"btcusdt@ticker","data":{"e":"24hrTicker"}}"#,
            Message::Other { stream: "btcusdt@ticker", event: "24hrTicker" },
        ),
        (
            r#"{"stream":"!ticker@arr","data":[{"e":"24hrTicker"}]}"#,
            Message::Other { stream: "!ticker@arr", event: "" },
        ),
        (r#"[{"e":"24hrTicker"}]"#, Message::Other { stream: "", event: "" }),
        (r#"{"e":"serverShutdown","E":1}"#, Message::Other { stream: "", event: "serverShutdown" }),
        ("{}", Message::Other { stream: "", event: "" }),
    ] {
        assert_eq!(decoder.decode(json.as_bytes()), Ok(message), "{json}");
    }
}

/// A level that does not fit is left out and counted, a quote or trade that does not fit has no value.
#[test]
fn values_that_do_not_fit() {
    let mut decoder = binance::Decoder::new();
    let json = br#"{"e":"depthUpdate","E":1,"T":2,"s":"X","U":3,"u":4,"pu":5,"b":[["1.000000001","1"],["1","99999999999999999999"],["2","3"]],"a":[["4e11","1"]]}"#;
    let Ok(binance::Message::Depth(depth)) = decoder.decode(json) else { panic!() };
    assert_eq!((depth.bids, depth.asks, depth.unrepresentable), (&[level("2", "3")][..], &[][..], 3));
    let json = br#"{"e":"bookTicker","E":1,"T":2,"s":"X","u":3,"b":"1","B":"0.000000001","a":"2","A":"1"}"#;
    let Ok(binance::Message::BookTicker(ticker)) = decoder.decode(json) else { panic!() };
    assert_eq!(ticker.quote, None);
    let json = br#"{"e":"aggTrade","E":1,"a":2,"s":"X","p":0.123456789,"q":"1","f":1,"l":1,"T":3,"m":false}"#;
    let Ok(binance::Message::AggTrade(trade)) = decoder.decode(json) else { panic!() };
    assert_eq!(trade.value, None);
    let mut decoder = hyperliquid::Decoder::new();
    let json =
        br#"{"channel":"bbo","data":{"coin":"X","time":1,"bbo":[{"px":"0.000000001","sz":"1","n":1},null]}}"#;
    let Ok(hyperliquid::Message::Bbo(bbo)) = decoder.decode(json) else { panic!() };
    assert_eq!((bbo.bid, bbo.ask, bbo.unrepresentable), (None, None, true));
}

/// A bare number keeps all its digits, though the general parser holds a double.
#[test]
fn bare_numbers_are_exact() {
    let mut decoder = binance::Decoder::new();
    let json = br#"{"e":"bookTicker","E":1,"T":2,"s":"\"1.5\",","u":3,"b":92233720368.54775807,"B":0.30000000000000004,"a":123456789.12345678,"A":1e-8}"#;
    let Ok(binance::Message::BookTicker(ticker)) = decoder.decode(json) else { panic!() };
    assert_eq!((ticker.symbol, ticker.quote), ("\"1.5\",", None));
    let json = br#"{"e":"bookTicker","E":1,"T":2,"s":"X","u":3.0,"b":92233720368.54775807,"B":0.3,"a":123456789.12345678,"A":1e-8}"#;
    let Ok(binance::Message::BookTicker(ticker)) = decoder.decode(json) else { panic!() };
    let ask = level("123456789.12345678", "0.00000001");
    assert_eq!(ticker.quote, Some((Level { price: Price::from_raw(i64::MAX), size: size("0.3") }, ask)));
}

#[test]
fn refusals_say_what_was_expected() {
    let mut decoder = binance::Decoder::new();
    for (json, expected) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("7", "an object or array"),
        (r#"{"e":"aggTrade","E":1,"a":2,"s":"X","p":"1","q":"1","T":3,"m":"false"}"#, "m, true or false"),
        (r#"{"e":"aggTrade","E":1,"a":2,"s":"X","p":"-1","q":"1","T":3,"m":false}"#, "a price"),
        (r#"{"e":"aggTrade","E":1,"a":2,"s":"X","p":"1","q":"1x","T":3,"m":false}"#, "a size"),
        (r#"{"e":"aggTrade","E":1,"a":-2,"s":"X","p":"1","q":"1","T":3,"m":false}"#, "a"),
        (
            r#"{"e":"aggTrade","E":1,"a":2,"s":"X","p":"1","q":"1","T":3,"m":false,"a":2}"#,
            "every member once",
        ),
        (r#"{"e":"trade","E":1,"T":1,"t":1,"p":"1","q":"1","X":"MARKET","m":false}"#, "s"),
    ] {
        assert_eq!(decoder.decode(json.as_bytes()), Err(DecodeError::Malformed(expected)), "{json}");
    }
    assert_eq!(DecodeError::Malformed("a price").to_string(), "malformed venue message: expected a price");
}

#[test]
fn hyperliquid_messages() {
    use hyperliquid::{Bbo, L2Book, Message, Subscription, Trade};
    let mut decoder = hyperliquid::Decoder::new();
    let json = br#"{"channel":"l2Book","data":{"coin":"kPEPE","levels":[[{"n":5,"px":"0.004411","sz":"2058973.0"}],[{"n":15,"px":"0.004413","sz":"5803647.0"}]],"time":1790232236546,"fast":true}}"#;
    let book = L2Book {
        coin: "kPEPE",
        time_ms: 1_790_232_236_546,
        fast: true,
        aggregated: false,
        bids: &[level("0.004411", "2058973")],
        asks: &[level("0.004413", "5803647")],
        unrepresentable: 0,
    };
    assert_eq!(decoder.decode(json), Ok(Message::Book(book)));
    let json = br#"{"channel":"bbo","data":{"coin":"BTC","time":1790232237145,"bbo":[{"px":"84143.0","sz":"10.25923","n":36},null]}}"#;
    let bbo = Bbo {
        coin: "BTC",
        time_ms: 1_790_232_237_145,
        bid: Some(level("84143", "10.25923")),
        ask: None,
        unrepresentable: false,
    };
    assert_eq!(decoder.decode(json), Ok(Message::Bbo(bbo)));
    let json = br#"{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"84143.0","sz":"0.00036","time":1790232216193,"hash":"0x00","tid":1045359869404765,"users":["0x9a","0x82"]},{"coin":"BTC","side":"B","px":"84144.0","sz":"1.0","time":1790232216194,"hash":"0x00","tid":2}]}"#;
    let first = Trade {
        coin: "BTC",
        side: Side::Sell,
        value: Some((price("84143"), size("0.00036"))),
        time_ms: 1_790_232_216_193,
        tid: 1_045_359_869_404_765,
    };
    let second = Trade {
        side: Side::Buy,
        value: Some((price("84144"), size("1"))),
        time_ms: 1_790_232_216_194,
        tid: 2,
        ..first
    };
    assert_eq!(decoder.decode(json), Ok(Message::Trades(&[first, second])));
    assert_eq!(decoder.decode(br#"{"channel":"pong"}"#), Ok(Message::Pong));
    assert_eq!(decoder.fallbacks(), 0);
    let json = br#"{"channel":"subscriptionResponse","data":{"method":"unsubscribe","subscription":{"type":"l2Book","coin":"BTC","nSigFigs":5,"mantissa":null,"fast":true}}}"#;
    let subscription = Subscription { kind: "l2Book", coin: "BTC", fast: true, ..Subscription::default() };
    assert_eq!(decoder.decode(json), Ok(Message::Unsubscribed(subscription)));
    let json = br#"{"channel":"error","data":"Already subscribed: {\"type\":\"l2Book\",\"coin\":\"BTC\",\"fast\":true}"}"#;
    let Ok(Message::Error(text)) = decoder.decode(json) else { panic!() };
    assert_eq!(hyperliquid::parse_subscription(text.as_bytes()), Some((true, subscription)));
    assert_eq!(decoder.decode(b"Websocket connection established."), Ok(Message::Text));
    assert_eq!(decoder.decode(br#"channel":"pong"}"#), Err(DecodeError::Malformed("JSON")));
}
