//! Binance's candles: stream events as trades change them and as their periods end, and the rows of `/klines`.
//!
//! ```text
//! a trade ──▶ changed ── every 250 ms ──▶ an event of the running candle (x:false)
//! a period ends ─────── at once ────────▶ the closing event (x:true), flat if nothing was traded
//! ```

use super::hub::Hub;
use super::streams::Kind;
use crate::decimal::{SCALE_DECIMALS, push_fixed, push_scaled};
use crate::disturbances::Closing;
use crate::market::{CandleSource, Instrument, Interval, TruthCandle};
use crate::protocol::Action;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Decimals of a quote volume at 1e-16.
const QUOTE_SCALE: u32 = 2 * SCALE_DECIMALS;

/// Appends a name and a price: `"o":"1.0",`.
fn push_price(text: &mut String, name: &str, price_e8: i64, decimals: u32) {
    // Writing into a String cannot fail.
    let _ = write!(text, "\"{name}\":\"");
    push_fixed(text, price_e8, decimals);
    text.push_str("\",");
}

/// A `kline` event.
pub fn event(instrument: &Instrument, interval: Interval, candle: &TruthCandle, event_ms: i64) -> String {
    let Instrument { symbol, price_decimals, size_decimals, .. } = instrument;
    let name = interval.name();
    let TruthCandle { open_ms, close_ms, first_trade_id, last_trade_id, trades, closed, .. } = candle;
    let mut text = format!(
        r#"{{"e":"kline","E":{event_ms},"s":"{symbol}","k":{{"t":{open_ms},"T":{close_ms},"s":"{symbol}","i":"{name}","f":{first_trade_id},"L":{last_trade_id},"#
    );
    let prices = [("o", candle.open_e8), ("c", candle.close_e8), ("h", candle.high_e8), ("l", candle.low_e8)];
    for (name, price_e8) in prices {
        push_price(&mut text, name, price_e8, *price_decimals);
    }
    let quote_decimals = price_decimals + size_decimals;
    text.push_str("\"v\":\"");
    push_scaled(&mut text, candle.volume_e8, SCALE_DECIMALS, *size_decimals);
    let _ = write!(text, "\",\"n\":{trades},\"x\":{closed},\"q\":\"");
    push_scaled(&mut text, candle.quote_e16, QUOTE_SCALE, quote_decimals);
    text.push_str("\",\"V\":\"");
    push_scaled(&mut text, candle.buy_volume_e8, SCALE_DECIMALS, *size_decimals);
    text.push_str("\",\"Q\":\"");
    push_scaled(&mut text, candle.buy_quote_e16, QUOTE_SCALE, quote_decimals);
    text.push_str("\",\"B\":\"0\"}}");
    text
}

/// Appends a row of `/fapi/v1/klines`.
pub fn push_row(text: &mut String, instrument: &Instrument, candle: &TruthCandle) {
    let Instrument { price_decimals, size_decimals, .. } = instrument;
    let _ = write!(text, "[{}", candle.open_ms);
    for price_e8 in [candle.open_e8, candle.high_e8, candle.low_e8, candle.close_e8] {
        text.push_str(",\"");
        push_fixed(text, price_e8, *price_decimals);
        text.push('"');
    }
    let quote_decimals = price_decimals + size_decimals;
    text.push_str(",\"");
    push_scaled(text, candle.volume_e8, SCALE_DECIMALS, *size_decimals);
    let _ = write!(text, "\",{},\"", candle.close_ms);
    push_scaled(text, candle.quote_e16, QUOTE_SCALE, quote_decimals);
    let _ = write!(text, "\",{},\"", candle.trades);
    push_scaled(text, candle.buy_volume_e8, SCALE_DECIMALS, *size_decimals);
    text.push_str("\",\"");
    push_scaled(text, candle.buy_quote_e16, QUOTE_SCALE, quote_decimals);
    text.push_str("\",\"0\"]");
}

/// The answer of `/fapi/v1/klines`.
pub fn rows(instrument: &Instrument, candles: &[TruthCandle]) -> String {
    let mut text = String::from("[");
    for (at, candle) in candles.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        push_row(&mut text, instrument, candle);
    }
    text.push(']');
    text
}

/// When candles are told.
pub struct Klines {
    interval_ms: i64,
    due_ms: i64,
    /// When the running period of each interval ends.
    ends_ms: Vec<i64>,
    /// By symbol: traded since its candles were last told.
    changed: Vec<bool>,
    changed_symbols: Vec<usize>,
    /// Closing frames held back by a fault, by the time they are due.
    late: BTreeSet<(i64, usize, Interval, i64)>,
}

impl Klines {
    /// Nothing has been traded yet.
    pub fn new(interval_ms: i64, now_ms: i64) -> Self {
        Self {
            interval_ms: interval_ms.max(1),
            due_ms: now_ms,
            ends_ms: Interval::all().map(|interval| interval.next_open(interval.open_of(now_ms))).collect(),
            changed: Vec::new(),
            changed_symbols: Vec::new(),
            late: BTreeSet::new(),
        }
    }

    /// Something was traded of a symbol.
    pub fn traded(&mut self, symbol: usize) {
        if self.changed.len() <= symbol {
            self.changed.resize(symbol + 1, false);
        }
        if !std::mem::replace(&mut self.changed[symbol], true) {
            self.changed_symbols.push(symbol);
        }
    }

    /// Tells what is due.
    ///
    /// `clock_ms` is the venue's time: that of the capture while one is played back.
    pub fn tick(
        &mut self,
        source: &dyn CandleSource,
        hub: &mut Hub,
        (clock_ms, now_ms): (i64, i64),
        out: &mut Vec<Action>,
    ) {
        while let Some(&(due_ms, symbol, interval, open_ms)) = self.late.first()
            && due_ms <= clock_ms
        {
            self.late.pop_first();
            tell(source, hub, (symbol, interval, open_ms), (clock_ms, now_ms), out);
        }
        for interval in Interval::all() {
            while self.ends_ms[interval.index()] <= clock_ms {
                let end_ms = self.ends_ms[interval.index()];
                self.ends_ms[interval.index()] = interval.next_open(end_ms);
                for symbol in 0..source.symbol_count() {
                    if hub.live(symbol, Kind::Kline(interval)).is_none() {
                        continue;
                    }
                    match hub.disturbances.closing(&source.instrument(symbol).symbol, interval) {
                        Closing::Now => {}
                        Closing::Lost => continue,
                        Closing::Late(delay_ms) => {
                            let open_ms = interval.back(end_ms, 1);
                            self.late.insert((end_ms + delay_ms, symbol, interval, open_ms));
                            continue;
                        }
                    }
                    tell(source, hub, (symbol, interval, interval.back(end_ms, 1)), (clock_ms, now_ms), out);
                }
            }
        }
        if self.due_ms > clock_ms {
            return;
        }
        self.due_ms += ((clock_ms - self.due_ms).div_euclid(self.interval_ms) + 1) * self.interval_ms;
        for symbol in std::mem::take(&mut self.changed_symbols) {
            self.changed[symbol] = false;
            for interval in Interval::all() {
                let open_ms = interval.open_of(clock_ms);
                tell(source, hub, (symbol, interval, open_ms), (clock_ms, now_ms), out);
            }
        }
    }
}

/// Tells a candle to those who listen; the running one only if anything was traded.
fn tell(
    source: &dyn CandleSource,
    hub: &mut Hub,
    (symbol, interval, open_ms): (usize, Interval, i64),
    (clock_ms, now_ms): (i64, i64),
    out: &mut Vec<Action>,
) {
    let Some(stream) = hub.live(symbol, Kind::Kline(interval)) else { return };
    let Some(candle) = source.candle(symbol, interval, open_ms, clock_ms) else { return };
    let name = &source.instrument(symbol).symbol;
    if (!candle.closed && candle.trades == 0) || hub.disturbances.klines_are_silent(name, now_ms) {
        return;
    }
    let data = event(source.instrument(symbol), interval, &candle, clock_ms);
    hub.deliver(symbol, stream, &data, now_ms, out);
}
