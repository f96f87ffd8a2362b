//! What is strange is noted, by either road, and what is known is not.

use crate::check::Venue;
use crate::samples::{COLD, HOT};
use codec::venues::{StrangeKind, binance, hyperliquid};

/// Everything strange in these messages, read by the general parser alone or as they would be.
fn strange(messages: &[(Venue, &str)], general: bool) -> Vec<(StrangeKind, String, u64)> {
    let mut of_binance = binance::Decoder::new();
    let mut of_hyperliquid = hyperliquid::Decoder::new();
    for (venue, text) in messages {
        let bytes = text.as_bytes();
        match (venue, general) {
            (Venue::Binance, false) => drop(of_binance.decode(bytes)),
            (Venue::Binance, true) => drop(of_binance.decode_general(bytes)),
            (Venue::Hyperliquid, false) => drop(of_hyperliquid.decode(bytes)),
            (Venue::Hyperliquid, true) => drop(of_hyperliquid.decode_general(bytes)),
        }
    }
    let both = [of_binance.strange().things().to_vec(), of_hyperliquid.strange().things().to_vec()];
    both.iter()
        .flatten()
        .map(|thing| (thing.kind, format!("{}.{}", thing.of, thing.name()), thing.count))
        .collect()
}

fn one(venue: Venue, text: &str) -> Vec<(StrangeKind, String, u64)> {
    let (fast, general) = (strange(&[(venue, text)], false), strange(&[(venue, text)], true));
    assert_eq!(fast, general, "{text}");
    fast
}

#[test]
fn nothing_is_strange_in_what_the_venues_send() {
    assert_eq!(strange(HOT, true), []);
    assert_eq!(strange(HOT, false), []);
    // Some samples have an interval that nobody offers, and members that nobody sends.
    let words: Vec<_> = strange(COLD, false).into_iter().map(|(_, what, _)| what).collect();
    assert!(
        words.iter().all(|what| ["kline.k.i.1y", "bookTicker.data_", "level.x"].contains(&what.as_str())),
        "{words:?}"
    );
}

#[test]
fn a_new_member_is_noted_in_every_message_that_is_known() {
    let mut noted = Vec::new();
    for (venue, text) in HOT.iter().filter(|(_, text)| !text.contains("pong") && !text.contains("[]}")) {
        // Into the innermost object of the end, and into the outermost one.
        for changed in [
            text.replacen("{\"", "{\"zz\":[1,{\"a\":null}],\"", 1),
            match text.rfind("\":") {
                Some(_) => text.replacen("\"time\":", "\"zz\":{},\"time\":", 1).replacen(
                    "\"T\":",
                    "\"zz\":1,\"T\":",
                    1,
                ),
                None => continue,
            },
        ] {
            if changed == *text {
                continue;
            }
            let seen = one(*venue, &changed);
            assert_eq!(seen.len(), 1, "{changed}: {seen:?}");
            assert!(seen[0].0 == StrangeKind::Field && seen[0].1.ends_with(".zz"), "{changed}: {seen:?}");
            noted.push(seen[0].1.clone());
        }
    }
    noted.sort();
    noted.dedup();
    for what in [
        "combined",
        "depthUpdate",
        "bookTicker",
        "aggTrade",
        "trade",
        "kline.k",
        "markPriceUpdate",
        "message",
        "l2Book",
        "bbo",
        "candle",
    ] {
        assert!(noted.iter().any(|seen| seen.strip_suffix(".zz") == Some(what)), "{what}: {noted:?}");
    }
}

#[test]
fn a_member_of_a_level_and_of_a_context_is_noted_too() {
    let book = r#"{"channel":"l2Book","data":{"coin":"BTC","time":1,"levels":[[{"px":"1","sz":"1","n":1,"who":"x"}],[{"px":"2","sz":"1","n":1,"who":"x"}]]}}"#;
    assert_eq!(one(Venue::Hyperliquid, book), [(StrangeKind::Field, "level.who".to_owned(), 2)]);
    let ctx = r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0","openInterest":"1","oraclePx":"1","markPx":"1","zeal":1}}}"#;
    assert_eq!(one(Venue::Hyperliquid, ctx), [(StrangeKind::Field, "ctx.zeal".to_owned(), 1)]);
}

#[test]
fn an_unknown_word_is_noted() {
    let cases = [
        (
            Venue::Binance,
            r#"{"e":"trade","E":1,"T":1,"s":"X","t":1,"p":"1","q":"1","X":"RPI","m":true}"#,
            "trade.X.RPI",
        ),
        (
            Venue::Binance,
            r#"{"e":"aggTrade","E":1,"a":1,"s":"X","p":"1","q":"1","T":1,"m":true,"st":3}"#,
            "st.3",
        ),
        (
            Venue::Binance,
            r#"{"e":"contractInfo","s":"X","ct":"ETERNAL","cs":"TRADING"}"#,
            "contractInfo.ct.ETERNAL",
        ),
        (
            Venue::Binance,
            r#"{"e":"contractInfo","s":"X","ct":"PERPETUAL","cs":"NAPPING"}"#,
            "contractInfo.cs.NAPPING",
        ),
        (
            Venue::Hyperliquid,
            r#"{"channel":"candle","data":{"t":1,"T":2,"s":"BTC","i":"6s","o":"1","c":"1","h":"1","l":"1","v":"1","n":1}}"#,
            "candle.i.6s",
        ),
    ];
    for (venue, text, what) in cases {
        assert_eq!(one(venue, text), [(StrangeKind::Value, what.to_owned(), 1)], "{text}");
    }
}
