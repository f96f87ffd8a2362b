//! The JSON of Hyperliquid's market data, with keys in either of the two orders seen.

use super::subscription::Precision;
use crate::config::KeyOrder;
use crate::decimal::{push_trimmed, trimmed};
use crate::market::{Aggressor, Book, Level, Quote, Side, Trade};
use crate::random::Random;
use std::fmt::Write;

/// A book as far as a frame shows it.
pub struct ShownBook {
    /// Best first.
    pub bids: Vec<Level>,
    /// Best first.
    pub asks: Vec<Level>,
}

impl ShownBook {
    /// The best levels of a book at a precision.
    pub fn of(book: &Book, levels: usize, precision: Precision) -> Self {
        match precision.significant_figures {
            None => Self {
                bids: book.levels(Side::Bid).take(levels).copied().collect(),
                asks: book.levels(Side::Ask).take(levels).copied().collect(),
            },
            Some(figures) => Self {
                bids: coarse(book, Side::Bid, levels, figures, precision.mantissa),
                asks: coarse(book, Side::Ask, levels, figures, precision.mantissa),
            },
        }
    }
}

/// Levels added up at fewer significant figures, away from the other side: bids down, asks up.
fn coarse(book: &Book, side: Side, levels: usize, figures: u64, mantissa: Option<u64>) -> Vec<Level> {
    let mut shown: Vec<Level> = Vec::with_capacity(levels);
    for level in book.levels(side) {
        let digits = u64::from(level.price_e8.ilog10()) + 1;
        let step_e8 = 10i64.pow(digits.saturating_sub(figures) as u32) * mantissa.unwrap_or(1) as i64;
        let down_e8 = level.price_e8 - level.price_e8.rem_euclid(step_e8);
        let exact = down_e8 == level.price_e8;
        let price_e8 = if side == Side::Bid || exact { down_e8 } else { down_e8 + step_e8 };
        let full = shown.len() == levels;
        match shown.last_mut() {
            Some(last) if last.price_e8 == price_e8 => {
                last.size_e8 += level.size_e8;
                last.orders += level.orders;
            }
            _ if full => break,
            _ => shown.push(Level { price_e8, ..*level }),
        }
    }
    shown
}

/// Appends a level.
fn push_level(text: &mut String, level: &Level, order: KeyOrder) {
    match order {
        KeyOrder::Documented => text.push_str("{\"px\":\""),
        // Writing into a String cannot fail.
        KeyOrder::Alphabetical => drop(write!(text, "{{\"n\":{},\"px\":\"", level.orders)),
    }
    push_trimmed(text, level.price_e8);
    text.push_str("\",\"sz\":\"");
    push_trimmed(text, level.size_e8);
    match order {
        KeyOrder::Documented => drop(write!(text, "\",\"n\":{}}}", level.orders)),
        KeyOrder::Alphabetical => text.push_str("\"}"),
    }
}

fn push_side(text: &mut String, levels: &[Level], order: KeyOrder) {
    text.push('[');
    for (at, level) in levels.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_level(text, level, order);
    }
    text.push(']');
}

/// How a book is shown beside its levels.
#[derive(Clone, Copy)]
pub struct BookForm {
    /// Marks the frame as fast.
    pub fast: bool,
    /// Its precision: with one, the frame tells the spread.
    pub precision: Precision,
    /// The order of keys.
    pub order: KeyOrder,
}

/// The `data` of an `l2Book` frame, which is also the answer of REST.
pub fn book_data(coin: &str, time_ms: i64, book: &ShownBook, form: BookForm) -> String {
    let BookForm { fast, precision, order } = form;
    let mut text = format!(r#"{{"coin":"{coin}""#);
    const LEVEL_BYTES: usize = 48;
    let mut levels = String::with_capacity((book.bids.len() + book.asks.len() + 1) * LEVEL_BYTES);
    levels.push_str(",\"levels\":[");
    push_side(&mut levels, &book.bids, order);
    levels.push(',');
    push_side(&mut levels, &book.asks, order);
    levels.push(']');
    let fast = if fast { ",\"fast\":true" } else { "" };
    let spread = match (precision.significant_figures, book.bids.first(), book.asks.first()) {
        (Some(_), Some(bid), Some(ask)) => {
            format!(r#","spread":"{}""#, trimmed(ask.price_e8 - bid.price_e8))
        }
        _ => String::new(),
    };
    let _ = match order {
        KeyOrder::Documented => write!(text, ",\"time\":{time_ms}{levels}{fast}{spread}}}"),
        KeyOrder::Alphabetical => write!(text, "{fast}{levels}{spread},\"time\":{time_ms}}}"),
    };
    text
}

/// A frame of a channel.
pub fn frame(channel: &str, data: &str) -> String {
    format!(r#"{{"channel":"{channel}","data":{data}}}"#)
}

/// A `bbo` frame.
pub fn bbo(coin: &str, quote: &Quote, order: KeyOrder) -> String {
    let mut best = String::from("[");
    for (at, level) in [quote.bid, quote.ask].into_iter().enumerate() {
        if at > 0 {
            best.push(',');
        }
        match level {
            Some(level) => push_level(&mut best, &level, order),
            None => best.push_str("null"),
        }
    }
    best.push(']');
    let time_ms = quote.time_ms;
    match order {
        KeyOrder::Documented => {
            frame("bbo", &format!(r#"{{"coin":"{coin}","time":{time_ms},"bbo":{best}}}"#))
        }
        KeyOrder::Alphabetical => {
            frame("bbo", &format!(r#"{{"bbo":{best},"coin":"{coin}","time":{time_ms}}}"#))
        }
    }
}

/// Hexadecimal digits of a hash and of an address.
const HASH_DIGITS: usize = 64;
const ADDRESS_DIGITS: usize = 40;

/// Random hexadecimal digits.
fn hexadecimal(random: &mut Random, digits: usize) -> String {
    let mut text = String::from("0x");
    while text.len() < digits + 2 {
        let _ = write!(text, "{:016x}", random.next_u64());
    }
    text.truncate(digits + 2);
    text
}

/// The hash of a transaction; trades of one order share it, and its taker.
pub fn hash(order_id: u64) -> String {
    hexadecimal(&mut Random::seeded(order_id, 1), HASH_DIGITS)
}

/// One trade, as in `trades` frames and `recentTrades`.
fn trade(coin: &str, trade: &Trade, order: KeyOrder) -> String {
    // Trades of one order share the transaction's hash, and its taker.
    let mut random = Random::seeded(trade.order_id, 1);
    let hash = hexadecimal(&mut random, HASH_DIGITS);
    let taker = hexadecimal(&mut random, ADDRESS_DIGITS);
    let maker = hexadecimal(&mut Random::seeded(trade.id, 2), ADDRESS_DIGITS);
    let (side, buyer, seller) = match trade.aggressor {
        Aggressor::Buy => ('B', taker, maker),
        Aggressor::Sell => ('A', maker, taker),
    };
    let (price, size) = (trimmed(trade.price_e8), trimmed(trade.size_e8));
    let Trade { id, time_ms, .. } = trade;
    match order {
        KeyOrder::Documented => format!(
            r#"{{"coin":"{coin}","side":"{side}","px":"{price}","sz":"{size}","time":{time_ms},"hash":"{hash}","tid":{id},"users":["{buyer}","{seller}"]}}"#
        ),
        KeyOrder::Alphabetical => format!(
            r#"{{"coin":"{coin}","hash":"{hash}","px":"{price}","side":"{side}","sz":"{size}","tid":{id},"time":{time_ms},"users":["{buyer}","{seller}"]}}"#
        ),
    }
}

/// An array of trades.
pub fn trades<'a>(coin: &str, trades: impl Iterator<Item = &'a Trade>, order: KeyOrder) -> String {
    let rows: Vec<String> = trades.map(|one| trade(coin, one, order)).collect();
    format!("[{}]", rows.join(","))
}

/// An error.
pub fn error(text: &str) -> String {
    frame("error", &serde_json::Value::from(text).to_string())
}

/// Every mid price, as a flat object.
pub fn mids<'a>(mids: impl Iterator<Item = (&'a str, i64)>) -> String {
    let members: Vec<String> =
        mids.map(|(coin, mid_e8)| format!(r#""{coin}":"{}""#, trimmed(mid_e8))).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::SCALE_E8;

    #[test]
    fn coarse_levels_add_up_away_from_the_other_side() {
        let mut book = Book::default();
        let level = |price: i64| Level { price_e8: price * SCALE_E8, size_e8: SCALE_E8, orders: 1 };
        for price in [84_143, 84_142, 84_139] {
            book.set(Side::Bid, level(price));
            book.set(Side::Ask, level(price + 9));
        }
        let precision = Precision { significant_figures: Some(4), mantissa: None };
        let shown = ShownBook::of(&book, 20, precision);
        let prices = |levels: &[Level]| -> Vec<(i64, i64)> {
            levels.iter().map(|level| (level.price_e8 / SCALE_E8, level.size_e8 / SCALE_E8)).collect()
        };
        assert_eq!(prices(&shown.bids), [(84_140, 2), (84_130, 1)]);
        assert_eq!(prices(&shown.asks), [(84_150, 1), (84_160, 2)]);
    }

    #[test]
    fn both_key_orders_say_the_same() {
        let quote = Quote {
            update_id: 1,
            time_ms: 5,
            bid: Some(Level { price_e8: SCALE_E8, size_e8: 2 * SCALE_E8, orders: 3 }),
            ask: None,
        };
        let parse = |text: String| serde_json::from_str::<serde_json::Value>(&text).ok();
        let documented = bbo("BTC", &quote, KeyOrder::Documented);
        assert_eq!(
            documented,
            r#"{"channel":"bbo","data":{"coin":"BTC","time":5,"bbo":[{"px":"1.0","sz":"2.0","n":3},null]}}"#
        );
        let alphabetical = bbo("BTC", &quote, KeyOrder::Alphabetical);
        assert!(alphabetical.starts_with(r#"{"channel":"bbo","data":{"bbo":[{"n":3,"px":"1.0""#));
        assert_eq!(parse(documented), parse(alphabetical));
    }
}
