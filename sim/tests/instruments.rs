//! Symbols of every kind, and what changes about them while the venues run.

mod common;

use serde_json::{Value, json};
use sim::protocol::Protocol;
use sim::{Binance, ByHand, Config, Fault, Heard, Hyperliquid, NewListing};
use std::collections::HashSet;

const START_MS: i64 = 1_790_000_000_000;

fn config() -> Config {
    let mut config = Config { seed: 4, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.book_levels, market.rate_per_s, market.other_kinds) = (60, 20.0, true);
    }
    config
}

fn pass<P: Protocol>(venue: &mut ByHand<P>, ms: i64) {
    let until_ms = venue.now_ms() + ms;
    while venue.now_ms() < until_ms {
        venue.pass_to(venue.now_ms() + 10);
    }
}

fn texts<P: Protocol>(venue: &mut ByHand<P>) -> Vec<Value> {
    let heard: Vec<Heard> = venue.drain_heard().collect();
    let text = |heard| match heard {
        Heard::Text(_, text) => Some(serde_json::from_str(text.as_str()).expect("JSON")),
        Heard::Answer(_, response) => Some(serde_json::from_slice(&response.body).unwrap_or(Value::Null)),
        _ => None,
    };
    heard.into_iter().filter_map(text).collect()
}

fn get(venue: &mut ByHand<Binance>, url: &str) -> Value {
    drop(texts(venue));
    venue.get(url);
    texts(venue).pop().expect("an answer")
}

fn info(venue: &mut ByHand<Hyperliquid>, body: Value) -> Value {
    drop(texts(venue));
    venue.post("/info", &body.to_string());
    texts(venue).pop().expect("an answer")
}

fn symbol<'a>(info: &'a Value, name: &str) -> &'a Value {
    info["symbols"]
        .as_array()
        .expect("symbols")
        .iter()
        .find(|symbol| symbol["symbol"] == name)
        .expect("the symbol")
}

#[test]
fn binance_lists_every_kind_and_merges_coin_margined_contracts() {
    let mut venue = ByHand::binance(&config(), START_MS).expect("Binance");
    let listed = get(&mut venue, "/fapi/v1/exchangeInfo");
    let types: HashSet<&str> = listed["symbols"]
        .as_array()
        .expect("symbols")
        .iter()
        .filter_map(|symbol| symbol["contractType"].as_str())
        .collect();
    assert_eq!(types, HashSet::from(["PERPETUAL", "TRADIFI_PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER"]));
    let stock = symbol(&listed, "NVDAUSDT");
    assert_eq!((&stock["underlyingType"], &stock["pair"]), (&json!("EQUITY"), &json!("NVDAUSDT")));
    let quarterly = symbol(&listed, "BTCUSDT_261225");
    assert_eq!((&quarterly["pair"], &quarterly["baseAsset"]), (&json!("BTCUSDT"), &json!("BTC")));
    assert_eq!(quarterly["deliveryDate"], 1_798_185_600_000i64);
    assert_eq!(get(&mut venue, "/fapi/v1/klines?symbol=BTCUSD_PERP&interval=1m")["code"], -1121);

    venue
        .open("/market/ws/!markPrice@arr@1s/btcusdt_261225@markPrice@1s/btcusd_perp@aggTrade")
        .expect("an open door");
    venue.open("/public/ws/!bookTicker/nvdausdt@bookTicker").expect("an open door");
    pass(&mut venue, 6_000);
    let heard = texts(&mut venue);
    let arrays: Vec<&Vec<Value>> = heard.iter().filter_map(Value::as_array).collect();
    assert_eq!(arrays.len(), 2 * 6, "two frames a second");
    let rows: Vec<&Value> = arrays[..2].iter().flat_map(|rows| rows.iter()).collect();
    let names = |market: i64| -> HashSet<&str> {
        rows.iter().filter(|row| row["st"] == market).filter_map(|row| row["s"].as_str()).collect()
    };
    assert_eq!(names(2), HashSet::from(["BTCUSD_PERP", "AAVEUSD_PERP"]));
    assert!(arrays[1].iter().all(|row| ["NVDAUSDT", "XAUUSDT"].contains(&row["s"].as_str().expect("s"))));
    let own = heard.iter().find(|event| event["s"] == "BTCUSDT_261225").expect("its mark");
    assert_eq!((&own["r"], &own["T"]), (&json!(""), &json!(0)), "no funding");
    assert!(!heard.iter().any(|event| event["e"] == "aggTrade"), "no streams of its own");
    let quotes: HashSet<&str> = heard
        .iter()
        .filter(|event| event["e"] == "bookTicker")
        .filter_map(|event| event["s"].as_str())
        .collect();
    assert!(quotes.contains("AAVEUSD_PERP") && quotes.contains("NVDAUSDT") && quotes.contains("ETHUSDT"));
}

#[test]
fn hyperliquid_lists_dexes_spot_and_delisted_coins() {
    let mut venue = ByHand::hyperliquid(&config(), START_MS).expect("Hyperliquid");
    let dexes = info(&mut venue, json!({"type": "perpDexs"}));
    assert!(dexes[0].is_null() && dexes[1]["name"] == "xyz" && dexes[2]["name"] == "flx");
    let names = |meta: &Value| -> Vec<String> {
        let coins = meta["universe"].as_array().expect("a universe").iter();
        coins.map(|coin| coin["name"].as_str().expect("a name").to_owned()).collect()
    };
    let own = info(&mut venue, json!({"type": "meta"}));
    assert_eq!(names(&own), ["BTC", "ETH", "SOL", "kPEPE", "MATIC", "FTM"]);
    let built = info(&mut venue, json!({"type": "meta", "dex": "xyz"}));
    assert_eq!(names(&built), ["xyz:NVDA", "xyz:SP500", "xyz:OLD"]);
    assert!(built["universe"][2]["isDelisted"] == true && built["universe"][0].get("isDelisted").is_none());
    assert_eq!(info(&mut venue, json!({"type": "meta", "dex": "XYZ"})), Value::Null);
    let all = info(&mut venue, json!({"type": "allPerpMetas"}));
    assert_eq!(all.as_array().map(Vec::len), Some(3));
    let spot = info(&mut venue, json!({"type": "spotMeta"}));
    let pairs: Vec<&str> =
        spot["universe"].as_array().expect("pairs").iter().filter_map(|pair| pair["name"].as_str()).collect();
    assert_eq!(pairs, ["PURR/USDC", "@107"]);
    let base = &spot["universe"][1]["tokens"][0];
    let token = spot["tokens"].as_array().expect("tokens").iter().find(|token| token["index"] == *base);
    assert_eq!(token.expect("the base")["name"], "HYPE");
    let mids = info(&mut venue, json!({"type": "allMids", "dex": "xyz"}));
    assert_eq!(mids.as_object().expect("mids").keys().collect::<Vec<_>>(), ["xyz:NVDA", "xyz:SP500"]);
    assert!(info(&mut venue, json!({"type": "allMids"})).get("@107").is_some());
    let both = info(&mut venue, json!({"type": "metaAndAssetCtxs", "dex": "xyz"}));
    assert_eq!(both[1].as_array().map(Vec::len), Some(3));

    let connection = venue.open("/ws").expect("an open door");
    for subscription in [
        r#"{"type":"activeAssetCtx","coin":"PURR/USDC"}"#,
        r#"{"type":"candle","coin":"xyz:NVDA","interval":"1m"}"#,
        r#"{"type":"l2Book","coin":"FTM"}"#,
        r#"{"type":"allMids","dex":"xyz"}"#,
        r#"{"type":"allDexsAssetCtxs"}"#,
    ] {
        venue.say(connection, &format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#));
    }
    pass(&mut venue, 30_000);
    let heard = texts(&mut venue);
    let find = |channel: &str| heard.iter().find(|frame| frame["channel"] == channel).expect("a frame");
    assert_eq!(find("activeSpotAssetCtx")["data"]["ctx"]["coin"], "PURR/USDC");
    assert_eq!(find("candle")["data"]["s"], "xyz:NVDA");
    assert_eq!(find("l2Book")["data"]["levels"], json!([[], []]));
    assert_eq!(find("allMids")["data"]["dex"], "xyz");
    let ctxs = &find("allDexsAssetCtxs")["data"]["ctxs"];
    let sizes: Vec<_> =
        ctxs.as_array().expect("dexes").iter().map(|dex| dex[1].as_array().map(Vec::len)).collect();
    assert_eq!(sizes, [Some(6), Some(3), Some(1)], "by position in each universe");
    for fatal in ["XYZ:NVDA", "NVDA", "xyz:nvda", "purr/usdc", "@108"] {
        let connection = venue.open("/ws").expect("an open door");
        venue.say(
            connection,
            &format!(r#"{{"method":"subscribe","subscription":{{"type":"bbo","coin":"{fatal}"}}}}"#),
        );
        pass(&mut venue, 90);
        assert!(venue.is_open(connection), "not at once");
        pass(&mut venue, 720);
        assert!(!venue.is_open(connection), "{fatal}");
    }
}

#[test]
fn symbols_are_listed_halted_and_get_another_tick_while_running() {
    let mut venue = ByHand::binance(&config(), START_MS).expect("Binance");
    venue.open("/market/ws/!contractInfo").expect("an open door");
    let new =
        NewListing {
            symbol: "新币USDT".to_owned(), price_e8: 12_300_000, tick_e8: 1_000, size_decimals: 1
        };
    venue.fault(&Fault::ListSymbol(new.clone())).expect("a listing");
    assert!(venue.fault(&Fault::ListSymbol(new)).is_err(), "once only");
    venue.open("/market/ws/新币usdt@aggTrade/新币usdt@kline_1m").expect("an open door");
    venue.open("/public/ws/新币usdt@depth@100ms").expect("an open door");
    pass(&mut venue, 70_000);
    let heard = texts(&mut venue);
    let told = heard.iter().find(|event| event["e"] == "contractInfo").expect("an event");
    assert_eq!((&told["s"], &told["cs"], told.get("bks")), (&json!("新币USDT"), &json!("TRADING"), None));
    for kind in ["aggTrade", "depthUpdate", "kline"] {
        assert!(heard.iter().any(|event| event["e"] == kind && event["s"] == "新币USDT"), "{kind}");
    }
    let rows = get(&mut venue, "/fapi/v1/klines?symbol=%E6%96%B0%E5%B8%81USDT&interval=1m");
    assert!((1..=2).contains(&rows.as_array().expect("rows").len()), "it has no past");

    let tick = |venue: &mut ByHand<Binance>| {
        let listed = get(venue, "/fapi/v1/exchangeInfo");
        symbol(&listed, "BTCUSDT")["filters"][0]["tickSize"].clone()
    };
    assert_eq!(tick(&mut venue), "0.10");
    venue.fault(&Fault::ChangeTick { symbol: "BTCUSDT".to_owned(), tick_e8: 100_000_000 }).expect("a tick");
    venue.open("/market/ws/btcusdt@aggTrade").expect("an open door");
    pass(&mut venue, 10_000);
    let heard = texts(&mut venue);
    let prices: Vec<&str> = heard
        .iter()
        .filter(|event| event["e"] == "aggTrade" && event["s"] == "BTCUSDT")
        .filter_map(|event| event["p"].as_str())
        .collect();
    assert!(!prices.is_empty() && prices.iter().all(|price| price.ends_with(".00")), "{prices:?}");
    assert!(heard.iter().any(|event| event["e"] == "contractInfo" && event["s"] == "BTCUSDT"));
    assert_eq!(tick(&mut venue), "1.00");

    venue.fault(&Fault::HaltSymbol { symbol: "ETHUSDT".to_owned() }).expect("a halt");
    pass(&mut venue, 1_000);
    let heard = texts(&mut venue);
    let told = heard.iter().find(|event| event["e"] == "contractInfo").expect("an event");
    assert_eq!((&told["s"], &told["cs"]), (&json!("ETHUSDT"), &json!("SETTLING")));
    let book = get(&mut venue, "/fapi/v1/depth?symbol=ETHUSDT");
    assert_eq!((&book["bids"], &book["asks"]), (&json!([]), &json!([])));
    assert_eq!(symbol(&get(&mut venue, "/fapi/v1/exchangeInfo"), "ETHUSDT")["status"], "SETTLING");

    let mut other = ByHand::hyperliquid(&config(), START_MS).expect("Hyperliquid");
    let new = NewListing { symbol: "NEWC".to_owned(), price_e8: 250_000_000, tick_e8: 1, size_decimals: 1 };
    other.fault(&Fault::ListSymbol(new)).expect("a listing");
    other.fault(&Fault::HaltSymbol { symbol: "SOL".to_owned() }).expect("a halt");
    assert!(other.fault(&Fault::ChangeTick { symbol: "BTC".to_owned(), tick_e8: 1 }).is_err());
    let connection = other.open("/ws").expect("an open door");
    for coin in ["NEWC", "SOL"] {
        let subscription = format!(r#"{{"type":"l2Book","coin":"{coin}"}}"#);
        other.say(connection, &format!(r#"{{"method":"subscribe","subscription":{subscription}}}"#));
    }
    pass(&mut other, 1_000);
    let heard = texts(&mut other);
    let book = |coin: &str| {
        heard.iter().rfind(|frame| frame["data"]["coin"] == coin).expect("a book")["data"].clone()
    };
    assert_eq!(book("NEWC")["levels"][0].as_array().map(Vec::len), Some(20));
    assert_eq!(book("SOL")["levels"], json!([[], []]));
    let meta = info(&mut other, json!({"type": "meta"}));
    let coins = meta["universe"].as_array().expect("coins");
    assert_eq!((&coins[coins.len() - 1]["name"], &coins[2]["isDelisted"]), (&json!("NEWC"), &json!(true)));
}
