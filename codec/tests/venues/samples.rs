//! Messages of every shape, as the venues document or send them; levels and hashes shortened.

use crate::check::Venue;

/// Shapes the scanner must know: none of these may reach the general parser.
pub const HOT: &[(Venue, &str)] = &[
    (
        Venue::Binance,
        r#"{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":11757092630476,"s":"BTCUSDT","ps":"BTCUSDT","b":"83091.60","B":"4.215","a":"83091.70","A":"3.763","T":1791382994657,"E":1791382994658,"st":1}}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"bookTicker","u":400900217,"E":1568014460893,"T":1568014460891,"s":"BNBUSDT","b":"25.35190000","B":"31.21000000","a":"25.36520000","A":"40.66000000"}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"depthUpdate","E":1626992741037,"T":1626992741024,"s":"SUSHIUSDT","U":600859599090,"u":600859600917,"pu":600859598061,"b":[["7.5040","813"],["7.6090","0"],["7.6110","2"]],"a":[["7.6150","1563"],["7.6220","3284"]]}"#,
    ),
    (
        Venue::Binance,
        r#"{"stream":"btcusdt@depth20@100ms","data":{"e":"depthUpdate","E":1791382994616,"T":1791382994613,"s":"BTCUSDT","ps":"BTCUSDT","U":11757092616793,"u":11757092625654,"pu":11757092616661,"b":[["83091.60","4.215"]],"a":[],"st":1}}"#,
    ),
    (
        Venue::Binance,
        r#"{"stream":"币安人生usdt@depth@100ms","data":{"e":"depthUpdate","E":1791382994616,"T":1791382994613,"s":"币安人生USDT","ps":"币安人生USDT","U":1,"u":2,"pu":0,"b":[],"a":[["0.12","1"]],"st":1}}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"aggTrade","E":1791382992488,"a":3477868433,"s":"BTCUSDT","p":"83091.70","q":"0.022","nq":"0.022","f":8153634393,"l":8153634394,"T":1791382992338,"m":false,"st":1}"#,
    ),
    (
        Venue::Binance,
        r#"{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT","t":5266583935,"p":"61800.30","q":"0.006","X":"MARKET","m":true}}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"trade","E":1791382990000,"T":1791382990000,"s":"BTCUSDT","t":8153634000,"p":"0","q":"0","X":"NA","m":false,"st":1}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"l2Book","data":{"coin":"BTC","time":1790232236546,"levels":[[{"px":"84143.0","sz":"10.25923","n":36},{"px":"84142.0","sz":"1.65875","n":7}],[{"px":"84144.0","sz":"50.66449","n":18},{"px":"84150.0","sz":"0.00711","n":2}]]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"l2Book","data":{"coin":"kPEPE","fast":true,"levels":[[{"n":5,"px":"0.004411","sz":"2058973.0"}],[{"n":15,"px":"0.004413","sz":"5803647.0"}]],"time":1790232236546}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"l2Book","data":{"coin":"BTC","time":1790232236546,"levels":[[{"px":"84140.0","sz":"10.25923","n":36}],[]],"spread":"10.0","fast":false}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"l2Book","data":{"coin":"MATIC","time":1790232237073,"levels":[[],[]]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"bbo","data":{"coin":"xyz:SP500","time":1790232237145,"bbo":[{"px":"84143.0","sz":"10.25923","n":36},{"px":"84144.0","sz":"50.66422","n":18}]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"bbo","data":{"coin":"@107","time":1790232237145,"bbo":[null,{"px":"84144.0","sz":"50.66422","n":18}]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"trades","data":[{"coin":"BTC","side":"A","px":"84143.0","sz":"0.00036","time":1790232216193,"hash":"0x7ab608dad75f7ce37c2f044516391f02023a00c072529bb51e7eb42d965356ce","tid":1045359869404765,"users":["0x9aa589355bf745db9784c8ef3c646360f11b58af","0x8269c0a4f5f1a14582e0aa46856a234893c41970"]},{"coin":"BTC","side":"B","px":"84144.0","sz":"1.5","time":1790232216194,"hash":"0x0000000000000000000000000000000000000000000000000000000000000000","tid":7}]}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"trades","data":[{"coin":"PURR/USDC","hash":"0xde47","px":"105056.0","side":"B","sz":"0.00219","tid":121451470284048,"time":1737918794873,"users":["0xe9","0x68"]}]}"#,
    ),
    (Venue::Hyperliquid, r#"{"channel":"trades","data":[]}"#),
    (Venue::Hyperliquid, r#"{"channel":"pong"}"#),
];

/// Shapes for the general parser.
pub const COLD: &[(Venue, &str)] = &[
    (Venue::Binance, r#"{"result":null,"id":1}"#),
    (Venue::Binance, r#"{"result":["btcusdt@markPrice@1s"],"id":3}"#),
    (Venue::Binance, r#"{"code":2,"msg":"Invalid request: unknown method","id":4}"#),
    (Venue::Binance, r#"{"error":{"code":4,"msg":"Too many subscriptions"},"id":5}"#),
    (
        Venue::Binance,
        r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"x":false,"B":"0"}}}"#,
    ),
    (
        Venue::Binance,
        r#"{"stream":"!markPrice@arr@1s","data":[{"e":"markPriceUpdate","E":1788936948001,"s":"BTCUSDT","r":""}]}"#,
    ),
    (
        Venue::Binance,
        r#"{"s":"BTCUSDT","data_":[[]],"A":3.763,"a":"83091.70","B":"4.215","b":83091.6,"T":"1791382994657","E":1791382994658,"e":"bookTicker","u":11757092630476,"st":2}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"l2Book","coin":"BTC","nSigFigs":null,"mantissa":null,"fast":true}}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"subscriptionResponse","data":{"method":"unsubscribe","subscription":{"type":"candle","coin":"BTC","interval":"1m"}}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"error","data":"Already subscribed: {\"type\":\"l2Book\",\"coin\":\"BTC\"}"}"#,
    ),
    (Venue::Hyperliquid, r#"{"channel":"error","data":"Cannot subscribe to more than 1000 channels."}"#),
    (
        Venue::Hyperliquid,
        r#"{"channel":"post","data":{"id":7,"response":{"type":"info","payload":{"type":"l2Book","data":null}}}}"#,
    ),
    (Venue::Hyperliquid, r#"{"channel":"allMids","data":{"mids":{"BTC":"84143.5","@107":"41.2035"}}}"#),
    (
        Venue::Hyperliquid,
        r#"{"data":{"levels":[[{"px":84143,"sz":"1","n":36,"x":{}}],[]],"time":1790232236546.0,"coin":"BTC"},"channel":"l2Book"}"#,
    ),
    (Venue::Hyperliquid, "Websocket connection established."),
];

pub fn all() -> impl Iterator<Item = (Venue, &'static str)> {
    HOT.iter().chain(COLD).copied()
}
