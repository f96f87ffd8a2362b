//! The plain decoder: the same rules, written for reading, not for speed.

mod market;
pub mod rest;

use crate::tree::Tree;
use codec::decimal::{Price, Size};
use codec::record::Level;
use codec::venues::{binance, hyperliquid};
use codec::words::Side;

/// Why a message is refused; the reason is for whoever reads a failing test.
#[derive(Debug)]
pub struct Refused(#[allow(dead_code, reason = "read in failures only")] pub &'static str);

type Answer<T> = Result<T, Refused>;

fn refuse<T>(why: &'static str) -> Answer<T> {
    Err(Refused(why))
}

/// A decimal text times ten to `places`: `None` when it is none, `Some(None)` when it does not fit an `i64`
/// exactly.
pub fn exact(text: &str, places: i64) -> Option<Option<i64>> {
    Some(
        exact_wide(text, places)?
            .and_then(|value| i64::try_from(value).ok())
            .filter(|value| *value > i64::MIN),
    )
}

/// The same for an `i128`.
pub fn exact_wide(text: &str, places: i64) -> Option<Option<i128>> {
    let (negative, magnitude) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match magnitude.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let size = digits.parse::<i64>().map_or(1_000_000, |size| size.min(1_000_000));
            (mantissa, if exponent.starts_with('-') { -size } else { size })
        }
        None => (magnitude, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    if [whole, fraction].iter().any(|part| part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let power = exponent - fraction.len() as i64 + places;
    let significant = digits.trim_end_matches('0');
    let power = power + (digits.len() - significant.len()) as i64;
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Some(Some(0));
    }
    if power < 0 || significant.len() as i64 + power > 38 {
        return Some(None);
    }
    let value = significant.parse::<i128>().ok()? * 10i128.pow(power as u32);
    Some(Some(if negative { -value } else { value }))
}

impl Tree {
    fn members(&self) -> Answer<&[(String, Self)]> {
        match self {
            Self::Object(members) => Ok(members),
            _ => refuse("no object"),
        }
    }

    /// A member, `None` where absent; refused when there are two.
    fn find(&self, name: &str) -> Answer<Option<&Self>> {
        let mut found = self.members()?.iter().filter(|(key, _)| key == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => refuse("a member twice"),
            (found, None) => Ok(found.map(|(_, value)| value)),
        }
    }

    fn get(&self, name: &str) -> Answer<&Self> {
        self.find(name)?.ok_or(Refused("a member is missing"))
    }

    fn elements(&self) -> Answer<&[Self]> {
        match self {
            Self::Array(elements) => Ok(elements),
            _ => refuse("no array"),
        }
    }

    fn text(&self) -> Answer<&str> {
        match self {
            Self::Text(text) => Ok(text),
            _ => refuse("no string"),
        }
    }

    fn number(&self) -> Answer<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Ok(text),
            _ => refuse("no number"),
        }
    }

    fn integer(&self) -> Answer<u64> {
        let text = self.number()?;
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map_err(|_| Refused("an integer beyond 64 bits"));
        }
        match exact(text, 0) {
            Some(Some(value)) if value >= 0 => Ok(value as u64),
            _ => refuse("no unsigned integer"),
        }
    }

    fn decimal(&self) -> Answer<Option<i64>> {
        let text = self.number()?;
        match exact(text, 8) {
            Some(Some(value)) if value >= 0 => Ok(Some(value)),
            Some(None) if !text.starts_with('-') => Ok(None),
            _ => refuse("no decimal that is not negative"),
        }
    }

    /// A member that may be absent, null or empty.
    fn optional(&self, name: &str) -> Answer<Option<&Self>> {
        Ok(self.find(name)?.filter(|value| **value != Self::Null && **value != Self::Text(String::new())))
    }

    fn boolean(&self) -> Answer<bool> {
        match self {
            Self::Bool(value) => Ok(*value),
            _ => refuse("no boolean"),
        }
    }

    fn flag(&self, name: &str) -> Answer<bool> {
        match self.find(name)? {
            None | Some(Self::Null) => Ok(false),
            Some(value) => value.boolean(),
        }
    }
}

fn level(price: &Tree, size: &Tree) -> Answer<Option<Level>> {
    Ok(match (price.decimal()?, size.decimal()?) {
        (Some(price), Some(size)) => {
            Some(Level { price: Price::from_raw(price), size: Size::from_raw(size) })
        }
        _ => None,
    })
}

fn value(price: &Tree, size: &Tree) -> Answer<Option<(Price, Size)>> {
    Ok(level(price, size)?.map(|level| (level.price, level.size)))
}

/// Where the oracle keeps what its messages borrow.
#[derive(Default)]
pub struct Shelf<'t> {
    bids: Vec<Level>,
    asks: Vec<Level>,
    trades: Vec<hyperliquid::Trade<'t>>,
    candles: Vec<hyperliquid::CandleFrame<'t>>,
    ctxs: Vec<hyperliquid::DexCtx<'t>>,
    fills: Vec<hyperliquid::UserFill<'t>>,
}

fn levels(rows: &Tree, into: &mut Vec<Level>, row: impl Fn(&Tree) -> Answer<Option<Level>>) -> Answer<u32> {
    let mut left_out = 0;
    for level in rows.elements()? {
        match row(level)? {
            Some(level) => into.push(level),
            None => left_out += 1,
        }
    }
    if rows.elements()?.len() > codec::limits::MESSAGE_LEVELS_MAX {
        return refuse("too many levels");
    }
    Ok(left_out)
}

fn pair_row(row: &Tree) -> Answer<Option<Level>> {
    match row.elements()? {
        [price, size, ..] => level(price, size),
        _ => refuse("no level"),
    }
}

fn object_row(row: &Tree) -> Answer<Option<Level>> {
    level(row.get("px")?, row.get("sz")?)
}

pub fn binance<'t>(root: &'t Tree, shelf: &'t mut Shelf<'t>) -> Answer<binance::Message<'t>> {
    use binance::Message;
    if matches!(root, Tree::Array(_)) {
        return Ok(Message::Other { stream: "", event: "" });
    }
    for name in ["stream", "data", "e", "result", "error", "code", "msg", "id"] {
        root.find(name)?;
    }
    let word = |field: Option<&'t Tree>| field.map_or("", |field| field.text().unwrap_or(""));
    let (data, stream) = match (root.find("stream")?, root.find("data")?) {
        (None, None) => (root, ""),
        (Some(stream), Some(data)) => (data, stream.text()?),
        _ => return refuse("a stream without data, or data without a stream"),
    };
    if matches!(data, Tree::Array(_)) {
        return Ok(Message::Other { stream, event: "" });
    }
    let event = word(data.find("e")?);
    if root.find("stream")?.is_some() || root.find("e")?.is_some() {
        return event_of(data, stream, event, shelf);
    }
    let id = root.find("id")?.and_then(|id| id.integer().ok());
    let code_of =
        |code: Option<&Tree>| code.and_then(|code| exact(code.number().ok()?, 0).flatten()).unwrap_or(0);
    match root.find("error")? {
        None | Some(Tree::Null) => {}
        Some(Tree::Text(message)) => return Ok(Message::Error { id, code: 0, message }),
        Some(error) => {
            let (code, message) = (code_of(error.find("code")?), word(error.find("msg")?));
            return Ok(Message::Error { id, code, message });
        }
    }
    if root.find("code")?.is_some() {
        Ok(Message::Error { id, code: code_of(root.find("code")?), message: word(root.find("msg")?) })
    } else if root.find("result")?.is_some() {
        Ok(Message::Reply { id })
    } else {
        Ok(Message::Other { stream: "", event: "" })
    }
}

fn event_of<'t>(
    data: &'t Tree,
    stream: &'t str,
    event: &'t str,
    shelf: &'t mut Shelf<'t>,
) -> Answer<binance::Message<'t>> {
    use binance::Message;
    let coin_margined = || match data.find("st")? {
        None | Some(Tree::Null) => Ok(false),
        Some(kind) => Ok(kind.integer()? == 2),
    };
    let side = || Ok(if data.get("m")?.boolean()? { Side::Sell } else { Side::Buy });
    match event {
        "depthUpdate" => {
            let mut unrepresentable = levels(data.get("b")?, &mut shelf.bids, pair_row)?;
            unrepresentable += levels(data.get("a")?, &mut shelf.asks, pair_row)?;
            Ok(Message::Depth(binance::Depth {
                stream,
                symbol: data.get("s")?.text()?,
                event_ms: data.get("E")?.integer()?,
                transaction_ms: data.get("T")?.integer()?,
                first_id: data.get("U")?.integer()?,
                last_id: data.get("u")?.integer()?,
                prev_id: data.get("pu")?.integer()?,
                bids: &shelf.bids,
                asks: &shelf.asks,
                unrepresentable,
                coin_margined: coin_margined()?,
            }))
        }
        "bookTicker" => {
            let bid = level(data.get("b")?, data.get("B")?)?;
            let ask = level(data.get("a")?, data.get("A")?)?;
            Ok(Message::BookTicker(binance::BookTicker {
                stream,
                symbol: data.get("s")?.text()?,
                event_ms: data.get("E")?.integer()?,
                transaction_ms: data.get("T")?.integer()?,
                update_id: data.get("u")?.integer()?,
                quote: bid.zip(ask),
                coin_margined: coin_margined()?,
            }))
        }
        "aggTrade" => Ok(Message::AggTrade(binance::AggTrade {
            stream,
            symbol: data.get("s")?.text()?,
            event_ms: data.get("E")?.integer()?,
            trade_ms: data.get("T")?.integer()?,
            agg_id: data.get("a")?.integer()?,
            value: value(data.get("p")?, data.get("q")?)?,
            side: side()?,
            coin_margined: coin_margined()?,
        })),
        "trade" => Ok(Message::Trade(binance::Trade {
            stream,
            symbol: data.get("s")?.text()?,
            event_ms: data.get("E")?.integer()?,
            trade_ms: data.get("T")?.integer()?,
            trade_id: data.get("t")?.integer()?,
            value: value(data.get("p")?, data.get("q")?)?,
            side: side()?,
            market: data.find("X")? == Some(&Tree::Text("MARKET".to_owned())),
            coin_margined: coin_margined()?,
        })),
        "kline" => market::kline(data, stream),
        "markPriceUpdate" => market::mark_price(data, stream, coin_margined()?),
        "contractInfo" => {
            Ok(Message::ContractInfo { symbol: data.get("s")?.text()?, coin_margined: coin_margined()? })
        }
        _ => Ok(Message::Other { stream, event }),
    }
}

pub fn hyperliquid<'t>(root: &'t Tree, shelf: &'t mut Shelf<'t>) -> Answer<hyperliquid::Message<'t>> {
    use hyperliquid::{Bbo, L2Book, Message};
    let channel = root.find("channel")?.map_or("", |channel| channel.text().unwrap_or(""));
    root.find("data")?;
    let data = || root.get("data");
    match channel {
        "l2Book" => {
            let data = data()?;
            let [bids, asks] = data.get("levels")?.elements()? else { return refuse("no two sides") };
            let mut unrepresentable = levels(bids, &mut shelf.bids, object_row)?;
            unrepresentable += levels(asks, &mut shelf.asks, object_row)?;
            Ok(Message::Book(L2Book {
                coin: data.get("coin")?.text()?,
                time_ms: data.get("time")?.integer()?,
                fast: data.flag("fast")?,
                aggregated: !matches!(data.find("spread")?, None | Some(Tree::Null)),
                bids: &shelf.bids,
                asks: &shelf.asks,
                unrepresentable,
            }))
        }
        "bbo" => {
            let data = data()?;
            let [bid, ask] = data.get("bbo")?.elements()? else { return refuse("no two sides") };
            let side = |row: &Tree| if *row == Tree::Null { Ok(None) } else { object_row(row) };
            let missing = |row: &Tree, level: Option<Level>| *row != Tree::Null && level.is_none();
            let (best_bid, best_ask) = (side(bid)?, side(ask)?);
            Ok(Message::Bbo(Bbo {
                coin: data.get("coin")?.text()?,
                time_ms: data.get("time")?.integer()?,
                bid: best_bid,
                ask: best_ask,
                unrepresentable: missing(bid, best_bid) || missing(ask, best_ask),
            }))
        }
        "trades" => {
            for row in data()?.elements()? {
                shelf.trades.push(hl_trade(row)?);
            }
            if shelf.trades.len() > codec::limits::MESSAGE_TRADES_MAX {
                return refuse("too many trades");
            }
            Ok(Message::Trades(&shelf.trades))
        }
        "candle" => {
            match data()? {
                Tree::Array(rows) => {
                    for row in rows {
                        shelf.candles.push(market::candle_frame(row)?);
                    }
                }
                row => shelf.candles.push(market::candle_frame(row)?),
            }
            if shelf.candles.len() > codec::limits::MESSAGE_CANDLES_MAX {
                return refuse("too many candles");
            }
            Ok(Message::Candles(&shelf.candles))
        }
        "activeAssetCtx" | "activeSpotAssetCtx" => {
            let data = data()?;
            let spot = channel == "activeSpotAssetCtx";
            Ok(Message::AssetCtx(market::ctx(data.get("ctx")?, data.get("coin")?.text()?, spot)?))
        }
        "allDexsAssetCtxs" => {
            market::dex_ctxs(data()?, &mut shelf.ctxs)?;
            Ok(Message::DexCtxs(&shelf.ctxs))
        }
        "userFills" => market::user_fills(data()?, &mut shelf.fills),
        "subscriptionResponse" => acknowledgement(data()?),
        "error" => Ok(Message::Error(data()?.text()?)),
        "pong" => Ok(Message::Pong),
        "post" => Ok(Message::Post { id: data()?.get("id")?.integer()? }),
        _ => Ok(Message::Other { channel }),
    }
}

fn hl_side(row: &Tree) -> Answer<Side> {
    match row.get("side")?.text()? {
        "A" => Ok(Side::Sell),
        "B" => Ok(Side::Buy),
        _ => refuse("no side"),
    }
}

pub fn hl_trade(row: &Tree) -> Answer<hyperliquid::Trade<'_>> {
    Ok(hyperliquid::Trade {
        coin: row.get("coin")?.text()?,
        side: hl_side(row)?,
        value: value(row.get("px")?, row.get("sz")?)?,
        time_ms: row.get("time")?.integer()?,
        tid: row.get("tid")?.integer()?,
    })
}

fn acknowledgement(data: &Tree) -> Answer<hyperliquid::Message<'_>> {
    let subscription = data.get("subscription")?;
    let word = |name| Ok(subscription.find(name)?.map_or("", |field| field.text().unwrap_or("")));
    let subscription = hyperliquid::Subscription {
        kind: subscription.get("type")?.text()?,
        coin: word("coin")?,
        interval: word("interval")?,
        fast: subscription.flag("fast")?,
        user: word("user")?,
        dex: word("dex")?,
    };
    match data.get("method")?.text()? {
        "subscribe" => Ok(hyperliquid::Message::Subscribed(subscription)),
        "unsubscribe" => Ok(hyperliquid::Message::Unsubscribed(subscription)),
        _ => refuse("no method"),
    }
}

/// Plain text rather than a damaged message: it begins with a letter and holds no quote or bracket.
pub fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && !text.contains(['"', '{', '}', '[', ']'])
    })
}
