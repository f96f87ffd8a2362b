//! REST bodies: recorded ones, and the documented shapes where none was recorded.

use crate::fixtures::{lines, read};
use crate::tree::Tree;
use codec::decimal::{Price, Size};
use codec::venues::rest_binance::{self, InstrumentInfo};
use codec::venues::{DecodeError, rest_hyperliquid};
use codec::words::{InstrumentKind, InstrumentStatus, Side};

fn body(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

fn price(text: &str) -> Price {
    Price::parse(text.as_bytes()).expect("a price")
}

fn size(text: &str) -> Size {
    Size::parse(text.as_bytes()).expect("a size")
}

/// The answers recorded in `{"rest": path, "body": …}` lines whose path begins so.
fn recorded<'t>(text: &'t str, path: &str) -> Vec<&'t str> {
    let head = format!(r#"{{"rest":"{path}"#);
    let json = |line: &'t str| line.strip_prefix(&head)?.split_once(r#""body":"#)?.1.strip_suffix('}');
    lines(text).filter_map(json).collect()
}

/// The bodies of a recorded exchange: single-quoted YAML.
pub fn yaml_bodies(name: &str) -> Vec<String> {
    let Some(text) = read(name) else { return Vec::new() };
    let json = |line: &str| {
        let quoted = line.trim().strip_prefix("string: '")?.strip_suffix('\'')?;
        Some(quoted.replace("''", "'"))
    };
    let bodies: Vec<_> = text.lines().filter_map(json).collect();
    assert_eq!(bodies.len(), text.matches("string:").count(), "{name}");
    bodies
}

/// Levels as a tree tells them, `["price", "size"]` or `{px, sz}`.
fn levels_of(rows: &Tree) -> Vec<(Price, Size)> {
    let text = |tree: &Tree| match tree {
        Tree::Text(text) => text.clone(),
        _ => panic!("a number that is no string"),
    };
    let Tree::Array(rows) = rows else { panic!("no rows") };
    rows.iter()
        .map(|row| match row {
            Tree::Array(cells) => (price(&text(&cells[0])), size(&text(&cells[1]))),
            row => (price(&text(member(row, "px"))), size(&text(member(row, "sz")))),
        })
        .collect()
}

fn member<'t>(tree: &'t Tree, name: &str) -> &'t Tree {
    let Tree::Object(members) = tree else { panic!("no object") };
    &members.iter().find(|(key, _)| key == name).unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn recorded_depth_snapshots() {
    for (name, count) in [
        ("binance_usdm/btcusdt_depth_ticker_trade_20240808.txt.gz", 1),
        ("binance_usdm/four_symbols_all_streams_20210722.txt.gz", 4),
    ] {
        let Some(text) = read(name) else { return };
        let mut bodies = recorded(&text, "/fapi/v1/depth");
        if bodies.is_empty() {
            // The first capture holds the bare body.
            bodies = lines(&text).filter(|json| json.starts_with(r#"{"lastUpdateId""#)).collect();
        }
        assert_eq!(bodies.len(), count);
        for json in bodies {
            let snapshot = rest_binance::depth(&mut body(json)).expect("a snapshot");
            let tree = Tree::parse(json.as_bytes()).expect("JSON");
            let plain = |levels: &[codec::record::Level]| -> Vec<_> {
                levels.iter().map(|level| (level.price, level.size)).collect()
            };
            assert_eq!(plain(&snapshot.bids), levels_of(member(&tree, "bids")));
            assert_eq!(plain(&snapshot.asks), levels_of(member(&tree, "asks")));
            assert_eq!(*member(&tree, "lastUpdateId"), Tree::Number(snapshot.last_update_id.to_string()));
            assert_eq!(*member(&tree, "E"), Tree::Number(snapshot.event_ms.to_string()));
            assert_eq!(*member(&tree, "T"), Tree::Number(snapshot.transaction_ms.to_string()));
            assert_eq!(snapshot.unrepresentable, 0);
            assert!(!snapshot.bids.is_empty() && snapshot.bids[0].price < snapshot.asks[0].price);
        }
    }
}

#[test]
fn recorded_exchange_info() {
    let Some(text) = read("binance_usdm/four_symbols_all_streams_20210722.txt.gz") else { return };
    let json = recorded(&text, "/fapi/v1/exchangeInfo")[0];
    let info = rest_binance::exchange_info(&mut body(json)).expect("an exchangeInfo");
    assert_eq!(info.request_weight_per_minute, Some(2400));
    let sushi = info.symbols.iter().find(|row| row.symbol == "SUSHIUSDT").expect("SUSHIUSDT is listed");
    let expected = InstrumentInfo {
        symbol: "SUSHIUSDT".to_owned(),
        base: "SUSHI".to_owned(),
        quote: "USDT".to_owned(),
        kind: InstrumentKind::Perp,
        perpetual: true,
        status: InstrumentStatus::Trading,
        tick_size: Some(price("0.0010")),
        lot_size: Some(size("1")),
        coin_margined: false,
    };
    assert_eq!(*sushi, expected);
}

#[test]
fn binance_instruments_of_every_kind() {
    let mut answer = body(
        r#"{"timezone":"UTC","rateLimits":[{"rateLimitType":"ORDERS","interval":"MINUTE","intervalNum":1,"limit":1200},{"rateLimitType":"REQUEST_WEIGHT","interval":"MINUTE","intervalNum":1,"limit":2400}],"symbols":[
        {"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT","pricePrecision":2,"underlyingSubType":["PoW"],"filters":[{"filterType":"NEW_FILTER","x":{"y":[1]}},{"filterType":"PRICE_FILTER","minPrice":"261.10","maxPrice":"809484","tickSize":"0.10"},{"filterType":"MARKET_LOT_SIZE","stepSize":"5"},{"filterType":"LOT_SIZE","minQty":"0.001","stepSize":"0.001"}]},
        {"symbol":"NVDAUSDT","contractType":"TRADIFI_PERPETUAL","status":"PENDING_TRADING","baseAsset":"NVDA","quoteAsset":"USDT","marginAsset":"USDT","filters":[{"filterType":"PRICE_FILTER","tickSize":"0.000000001"},{"filterType":"LOT_SIZE","stepSize":"0"}]},
        {"symbol":"BTCUSDT_261225","contractType":"CURRENT_QUARTER","status":"SETTLING","baseAsset":"BTC","quoteAsset":"USDT","marginAsset":"USDT"},
        {"symbol":"币安人生USDT","contractType":"","status":"SOMETHING_NEW","baseAsset":"币安人生","quoteAsset":"USDT","marginAsset":"USDT","filters":null},
        {"symbol":"BTCUSD_PERP","contractType":"PERPETUAL","status":"CLOSE","baseAsset":"BTC","quoteAsset":"USD","marginAsset":"BTC","filters":[]}]}"#,
    );
    let info = rest_binance::exchange_info(&mut answer).expect("an exchangeInfo");
    assert_eq!(info.request_weight_per_minute, Some(2400));
    let rows: Vec<_> = info
        .symbols
        .iter()
        .map(|row| (row.symbol.as_str(), row.kind, row.perpetual, row.status, row.coin_margined))
        .collect();
    use {InstrumentKind as Kind, InstrumentStatus as Status};
    assert_eq!(
        rows,
        [
            ("BTCUSDT", Kind::Perp, true, Status::Trading, false),
            ("NVDAUSDT", Kind::Perp, false, Status::Halted, false),
            ("BTCUSDT_261225", Kind::Future, false, Status::Delisted, false),
            ("币安人生USDT", Kind::Future, false, Status::Halted, false),
            ("BTCUSD_PERP", Kind::Perp, true, Status::Delisted, true),
        ]
    );
    assert_eq!(
        (info.symbols[0].tick_size, info.symbols[0].lot_size),
        (Some(price("0.1")), Some(size("0.001")))
    );
    assert!(info.symbols[1..].iter().all(|row| row.tick_size.is_none() && row.lot_size.is_none()));
    // A word that is not known is told with who is described so.
    let new = info.unknown_words.iter().find(|word| word.what == "exchangeInfo.status=SOMETHING_NEW");
    let seen = "symbol 币安人生USDT, contractType , status SOMETHING_NEW";
    assert_eq!(new.map(|word| word.seen.as_str()), Some(seen));
}

#[test]
fn binance_small_bodies() {
    let mut answer = body(
        r#"[{"a":26129,"p":"0.01633102","q":"4.70443515","nq":"4.7","f":27781,"l":27781,"T":1498793709153,"m":true},{"a":26130,"p":"0.0163310200001","q":"1","f":1,"l":1,"T":1498793709154,"m":false}]"#,
    );
    let rows = rest_binance::agg_trades(&mut answer).expect("trades");
    assert_eq!(rows[0].value, Some((price("0.01633102"), size("4.70443515"))));
    assert_eq!((rows[0].agg_id, rows[0].trade_ms, rows[0].side), (26129, 1_498_793_709_153, Side::Sell));
    assert_eq!((rows[1].value, rows[1].side), (None, Side::Buy));
    assert_eq!(
        rest_binance::server_time(&mut body(r#"{"serverTime":1499827319559}"#)),
        Ok(1_499_827_319_559)
    );
    let error = rest_binance::error(&mut body(r#"{"code":-1121,"msg":"Invalid symbol."}"#));
    assert_eq!(error, Some((-1121, "Invalid symbol.".to_owned())));
    for text in ["", "<html>403</html>", "{}", "null", r#"{"serverTime":1}"#] {
        assert_eq!(rest_binance::error(&mut body(text)), None, "{text}");
        assert!(rest_binance::depth(&mut body(text)).is_err());
        assert!(rest_binance::exchange_info(&mut body(text)).is_err());
        assert!(rest_binance::agg_trades(&mut body(text)).is_err());
    }
}

#[test]
fn recorded_hyperliquid_answers() {
    for name in [
        "hyperliquid/rest_meta.yaml",
        "hyperliquid/rest_l2book.yaml",
        "hyperliquid/rest_candle_snapshot.yaml",
    ] {
        for json in yaml_bodies(name) {
            let tree = Tree::parse(json.as_bytes()).expect("JSON");
            let mut bytes = body(&json);
            if json.starts_with(r#"{"universe""#) {
                let universe = rest_hyperliquid::meta(&mut bytes).expect("a meta");
                let Tree::Array(rows) = member(&tree, "universe") else { panic!() };
                assert_eq!(universe.len(), rows.len());
                for (info, row) in universe.iter().zip(rows) {
                    assert_eq!(*member(row, "name"), Tree::Text(info.name.clone()));
                    assert_eq!(*member(row, "szDecimals"), Tree::Number(info.size_decimals.to_string()));
                    assert!(!info.delisted);
                }
            } else if json.contains(r#""levels""#) {
                let book = rest_hyperliquid::l2_book(&mut bytes).expect("an l2Book").expect("a book");
                let Tree::Array(sides) = member(&tree, "levels") else { panic!() };
                for (levels, rows) in [(&book.bids, &sides[0]), (&book.asks, &sides[1])] {
                    let plain: Vec<_> = levels.iter().map(|level| (level.price, level.size)).collect();
                    assert_eq!(plain, levels_of(rows));
                }
                assert_eq!(*member(&tree, "coin"), Tree::Text(book.coin));
                assert_eq!(*member(&tree, "time"), Tree::Number(book.time_ms.to_string()));
            }
        }
    }
}

#[test]
fn hyperliquid_documented_answers() {
    let mut answer = body(
        r#"{"universe":[{"name":"BTC","szDecimals":5,"maxLeverage":40,"marginTableId":56},{"name":"MATIC","szDecimals":1,"maxLeverage":20,"isDelisted":true},{"name":"xyz:NVDA","szDecimals":3,"onlyIsolated":true}],"marginTables":[[50,{"description":"","marginTiers":[]}]],"collateralToken":0}"#,
    );
    let universe = rest_hyperliquid::meta(&mut answer).expect("a meta");
    let rows: Vec<_> =
        universe.iter().map(|row| (row.name.as_str(), row.size_decimals, row.delisted)).collect();
    assert_eq!(rows, [("BTC", 5, false), ("MATIC", 1, true), ("xyz:NVDA", 3, false)]);

    let mut answer = body(
        r#"{"universe":[{"tokens":[1,0],"name":"PURR/USDC","index":0,"isCanonical":true},{"tokens":[150,0],"name":"@107","index":107,"isCanonical":false},{"tokens":[9,0],"name":"@9","index":9}],"tokens":[{"name":"USDC","szDecimals":8,"weiDecimals":8,"index":0,"tokenId":"0x6d","isCanonical":true,"evmContract":null,"fullName":null},{"name":"PURR","szDecimals":0,"weiDecimals":5,"index":1},{"name":"HYPE","szDecimals":2,"weiDecimals":8,"index":150}]}"#,
    );
    let pairs = rest_hyperliquid::spot_meta(&mut answer).expect("a spotMeta");
    let rows: Vec<_> = pairs
        .iter()
        .map(|row| {
            (
                row.name.as_str(),
                row.index,
                row.base.as_str(),
                row.quote.as_str(),
                row.size_decimals,
                row.canonical,
            )
        })
        .collect();
    assert_eq!(rows, [("PURR/USDC", 0, "PURR", "USDC", 0, true), ("@107", 107, "HYPE", "USDC", 2, false)]);

    let mut answer = body(r#"[null,{"name":"xyz","fullName":"XYZ","deployer":"0x88"},{"name":"flx"}]"#);
    assert_eq!(
        rest_hyperliquid::perp_dexs(&mut answer),
        Ok(vec![String::new(), "xyz".to_owned(), "flx".to_owned()])
    );
    assert_eq!(rest_hyperliquid::l2_book(&mut body("null")), Ok(None));
    let mut answer = body(
        r#"[{"coin":"BTC","side":"B","px":"105056.0","sz":"0.00219","time":1737918794873,"hash":"0xde","tid":121451470284048,"users":["0xe9","0x68"]}]"#,
    );
    let trades = rest_hyperliquid::recent_trades(&mut answer).expect("trades");
    assert_eq!(trades[0].value, Some((price("105056"), size("0.00219"))));
    assert_eq!(
        (trades[0].side, trades[0].tid, trades[0].coin.as_str()),
        (Side::Buy, 121_451_470_284_048, "BTC")
    );
    for text in ["", "null", "Failed to deserialize the JSON body", "[{}]", "{}"] {
        assert!(matches!(rest_hyperliquid::meta(&mut body(text)), Err(DecodeError::Malformed(_))));
        assert!(rest_hyperliquid::spot_meta(&mut body(text)).is_err());
        assert!(rest_hyperliquid::recent_trades(&mut body(text)).is_err());
        assert!(rest_hyperliquid::perp_dexs(&mut body(text)).is_err());
    }
}
