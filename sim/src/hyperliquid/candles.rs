//! Hyperliquid's candles: frames as trades change them, and the rows of `candleSnapshot`.
//!
//! A frame comes only after a trade, and none says that a period is over. The last frame of a period comes when it
//! has ended or when the next begins, whichever is seen first.

use super::hub::Hub;
use super::subscription::Subscription;
use super::{frames, info};
use crate::config::KeyOrder;
use crate::decimal::{SCALE_DECIMALS, trimmed, trimmed_scaled};
use crate::limits::HYPERLIQUID_CANDLES_MAX;
use crate::market::{CandleSource, Candles, Interval, TruthCandle};
use crate::protocol::{Action, Response};
use crate::subscribers::StreamId;
use serde_json::Value;
use std::collections::BTreeMap;

/// Whether the venue has an interval.
pub fn has(interval: Interval) -> bool {
    interval != Interval::Hour6
}

/// A candle, as in frames and in `candleSnapshot`.
pub fn object(coin: &str, interval: Interval, candle: &TruthCandle, order: KeyOrder) -> String {
    let TruthCandle { open_ms, close_ms, trades, .. } = candle;
    let name = interval.name();
    let (open, close) = (trimmed(candle.open_e8), trimmed(candle.close_e8));
    let (high, low) = (trimmed(candle.high_e8), trimmed(candle.low_e8));
    let volume = trimmed_scaled(candle.volume_e8, SCALE_DECIMALS);
    match order {
        KeyOrder::Documented => format!(
            r#"{{"t":{open_ms},"T":{close_ms},"s":"{coin}","i":"{name}","o":"{open}","c":"{close}","h":"{high}","l":"{low}","v":"{volume}","n":{trades}}}"#
        ),
        KeyOrder::Alphabetical => format!(
            r#"{{"T":{close_ms},"c":"{close}","h":"{high}","i":"{name}","l":"{low}","n":{trades},"o":"{open}","s":"{coin}","t":{open_ms},"v":"{volume}"}}"#
        ),
    }
}

/// What `candleSnapshot` is asked.
pub struct Question {
    /// The coin.
    pub coin: String,
    /// The interval.
    pub interval: Interval,
    /// From the period this time lies in.
    pub start_ms: i64,
    /// To the period this time lies in.
    pub end_ms: i64,
}

impl Question {
    /// Reads a request; times must be whole numbers.
    pub fn parse(request: &Value, now_ms: i64) -> Result<Self, Response> {
        let wrong = info::unprocessable;
        let asked = request.get("req").ok_or_else(wrong)?;
        let text = |name: &str| asked.get(name).and_then(Value::as_str).ok_or_else(wrong);
        let interval = Interval::from_name(text("interval")?).filter(|interval| has(*interval));
        let end_ms = match asked.get("endTime") {
            None | Some(Value::Null) => now_ms,
            Some(time) => time.as_i64().ok_or_else(wrong)?,
        };
        Ok(Self {
            coin: text("coin")?.to_owned(),
            interval: interval.ok_or_else(wrong)?,
            start_ms: asked.get("startTime").and_then(Value::as_i64).ok_or_else(wrong)?,
            end_ms,
        })
    }

    /// The rows of a coin's candles: only the most recent 5000 are known.
    pub fn rows(&self, candles: &Candles, now_ms: i64) -> Vec<TruthCandle> {
        let running_ms = self.interval.open_of(now_ms);
        let oldest_ms = self.interval.back(running_ms, HYPERLIQUID_CANDLES_MAX - 1);
        let from_ms = self.interval.open_of(self.start_ms.max(0)).max(oldest_ms);
        candles.rows(self.interval, from_ms, self.end_ms, now_ms)
    }

    /// The answer of these rows.
    pub fn answer(&self, rows: &[TruthCandle], order: KeyOrder) -> Response {
        let rows: Vec<String> =
            rows.iter().map(|row| object(&self.coin, self.interval, row, order)).collect();
        Response::json(200, format!("[{}]", rows.join(",")))
    }
}

/// A stream of candles.
struct Stream {
    interval: Interval,
    id: StreamId,
    /// The period of which a trade has not been told yet.
    untold_ms: Option<i64>,
}

/// When candles are told.
pub struct CandleFrames {
    interval_ms: i64,
    due_ms: i64,
    order: KeyOrder,
    /// The minute of the last look: when it ends, so may any period.
    minute_ms: i64,
    /// By coin.
    streams: BTreeMap<usize, Vec<Stream>>,
}

impl CandleFrames {
    /// Nobody listens yet.
    pub fn new(interval_ms: i64, now_ms: i64, order: KeyOrder) -> Self {
        let minute_ms = Interval::Minute1.open_of(now_ms);
        Self { interval_ms: interval_ms.max(1), due_ms: now_ms, order, minute_ms, streams: BTreeMap::new() }
    }

    /// Somebody listens to a stream of candles.
    pub fn listened(&mut self, coin: usize, interval: Interval, id: StreamId) {
        let streams = self.streams.entry(coin).or_default();
        if streams.iter().all(|stream| stream.id != id) {
            streams.push(Stream { interval, id, untold_ms: None });
        }
    }

    /// Something was traded of a coin at a time.
    pub fn traded(
        &mut self,
        source: &dyn CandleSource,
        hub: &mut Hub,
        (coin, time_ms): (usize, i64),
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        for stream in self.streams.get_mut(&coin).into_iter().flatten() {
            let open_ms = stream.interval.open_of(time_ms);
            if let Some(before_ms) =
                stream.untold_ms.replace(open_ms).filter(|before_ms| *before_ms != open_ms)
            {
                tell(source, hub, (coin, stream, before_ms), self.order, now_ms, out);
            }
        }
    }

    /// Tells what is due.
    pub fn tick(&mut self, source: &dyn CandleSource, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        let minute_ms = Interval::Minute1.open_of(now_ms);
        let minute_ended = std::mem::replace(&mut self.minute_ms, minute_ms) != minute_ms;
        if self.due_ms > now_ms && !minute_ended {
            return;
        }
        if self.due_ms <= now_ms {
            self.due_ms += ((now_ms - self.due_ms).div_euclid(self.interval_ms) + 1) * self.interval_ms;
        }
        for (coin, streams) in &mut self.streams {
            for stream in streams {
                if let Some(open_ms) = stream.untold_ms.take() {
                    tell(source, hub, (*coin, stream, open_ms), self.order, now_ms, out);
                }
            }
        }
    }
}

fn tell(
    source: &dyn CandleSource,
    hub: &mut Hub,
    (coin, stream, open_ms): (usize, &Stream, i64),
    order: KeyOrder,
    now_ms: i64,
    out: &mut Vec<Action>,
) {
    if hub.subscribers.of(stream.id).is_empty() {
        return;
    }
    let name = &source.instrument(coin).symbol;
    let next_ms = stream.interval.next_open(open_ms);
    if hub.disturbances.hides_candle(name, stream.interval, (open_ms, next_ms), now_ms) {
        return;
    }
    let Some(candle) = source.candle(coin, stream.interval, open_ms, now_ms) else { return };
    let text = frames::frame("candle", &object(name, stream.interval, &candle, order));
    hub.deliver(stream.id, name, text, now_ms, out);
}

/// The name of a stream of candles.
pub fn stream_name(coin: &str, interval: Interval) -> String {
    Subscription::Candle(coin.to_owned(), interval).name()
}
