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
        Venue::Binance,
        r#"{"e":"kline","E":1791382992723,"s":"BTCUSDT","k":{"t":1791382980000,"T":1791383039999,"s":"BTCUSDT","i":"1m","f":8153633367,"L":8153634395,"o":"83084.90","c":"83091.60","h":"83091.70","l":"83051.20","v":"13.551","n":1027,"x":false,"q":"1125714.73960","V":"6.426","Q":"533856.66860","B":"0"}}"#,
    ),
    (
        Venue::Binance,
        r#"{"stream":"1000pepeusdt@kline_1d","data":{"e":"kline","E":1791417600004,"s":"1000PEPEUSDT","k":{"t":1791331200000,"T":1791417599999,"s":"1000PEPEUSDT","i":"1d","f":-1,"L":-1,"o":"0.0044110","c":"0.0044110","h":"0.0044110","l":"0.0044110","v":"192233720368.5","n":0,"x":true,"q":"0","V":"0","Q":"0","B":"0"},"st":1}}"#,
    ),
    (
        Venue::Binance,
        r#"{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1791382993000,"s":"BTCUSDT","p":"83084.30000000","ap":"83084.30000000","P":"83195.15881449","i":"83123.65891304","r":"-0.00000078","T":1791388800000,"st":1}}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"markPriceUpdate","E":1591702613943,"s":"BTCUSD_261225","p":"10934.62000000","P":"10962.17000000","r":"","T":0,"st":2}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"candle","data":{"t":1790232180000,"T":1790232239999,"s":"BTC","i":"1m","o":"84143.0","c":"84143.0","h":"84144.0","l":"84143.0","v":"14.27847","n":114}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"candle","data":{"T":1739491199999,"c":"0.0044","h":"0.0045","i":"1M","l":"0.0042","n":57,"o":"0.0042","s":"kPEPE","t":1739491140000,"v":"123456789012.5"}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.6949653625","premium":"-0.0006413454","oraclePx":"84198.0","markPx":"84148.0","midPx":"84143.5","impactPxs":["84143.0","84144.0"],"dayBaseVlm":"49116.08533"}}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"activeAssetCtx","data":{"coin":"xyz:NVDA","ctx":{"dayBaseVlm":"0.0","dayNtlVlm":"0.0","funding":"-0.0000125","impactPxs":null,"markPx":"180.123","midPx":null,"openInterest":"0.0","oraclePx":"180.2","premium":null,"prevDayPx":"179.0"}}}"#,
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
        r#"{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1788936947361,"s":"BTCUSDT","k":{"t":1788936900000, "T":1788936959999, "s":"BTCUSDT", "i":"1y", "f":8062213398, "o":"79095.40", "c":79104.00, "h":"79111.30", "l":"79080.600000001", "v":42.797, "n":"1079", "x":false}}}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"markPriceUpdate","E":1,"s":"X","p":"83084.300000001","i":null,"r":0.0000000000001,"T":0,"ap":1}"#,
    ),
    (
        Venue::Binance,
        r#"{"e":"contractInfo","E":1669356423908,"s":"IOTAUSDT","ps":"IOTAUSDT","ct":"PERPETUAL","dt":4133404800000,"ot":1569398400000,"cs":"TRADING","bks":[{"bs":1,"bnf":0,"bnc":5000,"mmr":0.01,"cf":0,"mi":21,"ma":50}]}"#,
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
    (
        Venue::Hyperliquid,
        r#"{"channel":"candle","data":[{"t":1790232180000,"T":1790232239999,"s":"BTC","i":"1m","o":84143.0,"c":"84143.0","h":8.4144e4,"l":84143,"v":14.27847,"n":114},{"i":"6h","t":1,"T":2,"s":"@107","o":"0.1234567891","c":"1","h":"1","l":"1","v":"1","n":0}]}"#,
    ),
    (Venue::Hyperliquid, r#"{"channel":"candle","data":[]}"#),
    (
        Venue::Hyperliquid,
        r#"{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{"prevDayPx":"41.1","dayNtlVlm":"1.5","markPx":"41.1234567891","midPx":null,"circulatingSupply":"1","coin":"@107","totalSupply":"1","dayBaseVlm":"3"}}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"allDexsAssetCtxs","data":{"ctxs":[["",[{"funding":"0.0000125","openInterest":"1.5","oraclePx":"84198.0","markPx":"84148.0","premium":null,"midPx":null,"impactPxs":null},{"funding":null,"openInterest":0,"markPx":""}]],["xyz",[]],["flx",[{"funding":"-0.0001","oraclePx":"1.1"}]]]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"userFills","data":{"isSnapshot":true,"user":"0x8269c0a4f5f1a14582e0aa46856a234893c41970","fills":[{"coin":"BTC","px":"84143.0","sz":"0.00036","side":"A","time":1790232216193,"startPosition":"-1.5","dir":"Open Short","closedPnl":"0.0","hash":"0x7a","oid":123456789012,"crossed":true,"fee":"0.0106","tid":1045359869404765,"feeToken":"USDC","liquidation":null},{"coin":"@107","px":"41.1","sz":"0.1","side":"B","time":1,"oid":2,"tid":3,"fee":"-0.00000012"}]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"userFills","data":{"user":"0x82","fills":[{"coin":"BTC","px":"1","sz":"1","side":"B","time":1,"oid":2,"tid":3,"fee":null,"builderFee":"1"}]}}"#,
    ),
    (
        Venue::Hyperliquid,
        r#"{"channel":"subscriptionResponse","data":{"method":"subscribe","subscription":{"type":"userFills","user":"0x82","aggregateByTime":false}}}"#,
    ),
    (Venue::Hyperliquid, "Websocket connection established."),
];

pub fn all() -> impl Iterator<Item = (Venue, &'static str)> {
    HOT.iter().chain(COLD).copied()
}
