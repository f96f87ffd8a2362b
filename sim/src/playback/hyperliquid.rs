//! Plays a Hyperliquid capture back: frames word for word to the subscribers of their stream.
//!
//! A captured `l2Book` belongs to the default subscription, never to `fast`. REST tells what has been played last.
//! `candleSnapshot` tells what each period ended with, which is sometimes more than its last frame showed; the
//! period of the frame played last is running.

use super::finals::{Finals, candle_of, final_of};
use super::{PlaybackHandle, Played, Player, read_capture};
use crate::config::{KeyOrder, PlaybackConfig};
use crate::error::SimError;
use crate::hyperliquid::candles::{self, Question};
use crate::hyperliquid::hub::Hub;
use crate::hyperliquid::{info, meta};
use crate::limits::{HYPERLIQUID_CANDLES_MAX, PLAYBACK_BACKLOG_BYTES};
use crate::market::{Instrument, Interval, TruthCandle, Venue, list};
use crate::protocol::{Action, Backlog, Response};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

struct Item {
    /// The name of its stream.
    stream: String,
    coin: String,
    /// Of a candle: its interval.
    interval: Option<Interval>,
    text: String,
}

/// A capture being played back.
pub struct HyperliquidPlayback {
    player: Player,
    items: Vec<Item>,
    instruments: Vec<Instrument>,
    /// The item last played, by stream.
    last: HashMap<String, usize>,
    handle: PlaybackHandle,
}

impl HyperliquidPlayback {
    /// Reads a capture.
    pub fn open(config: &PlaybackConfig, handle: PlaybackHandle) -> Result<Self, SimError> {
        let lines = read_capture(&config.path)?;
        let times_ns = lines.iter().map(|line| line.recv_ns).collect();
        let mut items = Vec::with_capacity(lines.len());
        let mut instruments: Vec<Instrument> = Vec::new();
        for (at, line) in lines.into_iter().enumerate() {
            let bad = |reason| SimError::Capture { path: config.path.clone(), line: at + 1, reason };
            let frame: Value = serde_json::from_str(&line.json).map_err(|_| bad("not JSON"))?;
            let channel = frame["channel"].as_str().ok_or_else(|| bad("a frame without channel"))?.to_owned();
            let data = &frame["data"];
            // Books name their coin, trades the coin of the first, candles call it `s`.
            let named = [&data["coin"], &data[0]["coin"], &data["s"]].into_iter().find_map(Value::as_str);
            let coin = named.ok_or_else(|| bad("a frame without coin"))?.to_owned();
            if !instruments.iter().any(|instrument| instrument.symbol == coin) {
                instruments.push(described(&coin));
            }
            let interval = data["i"].as_str().and_then(Interval::from_name);
            let stream = match interval {
                Some(interval) => candles::stream_name(&coin, interval),
                None => format!("{channel}:{coin}"),
            };
            items.push(Item { stream, coin, interval, text: line.json });
        }
        handle.set_finals(finals(&items));
        let player = Player::new(config.clone(), times_ns, handle.clone());
        Ok(Self { player, items, instruments, last: HashMap::new(), handle })
    }

    /// The coins of the capture.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// Hands out what is due.
    pub fn tick(&mut self, hub: &mut Hub, backlog: &dyn Backlog, now_ms: i64, out: &mut Vec<Action>) -> i64 {
        let all_sent = hub.connections.keys().all(|id| backlog.backlog_bytes(*id) == 0);
        let Self { player, items, last, .. } = self;
        player.begin(&hub.subscribers, now_ms);
        player.turn(all_sent, now_ms, |at, _| {
            let item = &items[at];
            let stream = hub.subscribers.find(&item.stream);
            let stream = stream.filter(|stream| !hub.subscribers.of(*stream).is_empty());
            let full = |id: &u64| backlog.backlog_bytes(*id) > PLAYBACK_BACKLOG_BYTES;
            if stream.is_some_and(|stream| hub.subscribers.of(stream).iter().any(full)) {
                return Played::Waits;
            }
            match last.get_mut(&item.stream) {
                Some(last) => *last = at,
                None => drop(last.insert(item.stream.clone(), at)),
            }
            let Some(stream) = stream else { return Played::Unclaimed };
            hub.deliver(stream, &item.coin, item.text.clone(), now_ms, out);
            Played::Claimed
        })
    }

    /// The `data` of the frame of a channel and coin last played.
    fn last_data(&self, channel: &str, coin: &str) -> Option<String> {
        let at = *self.last.get(&format!("{channel}:{coin}"))?;
        let frame: Value = serde_json::from_str(&self.items[at].text).ok()?;
        Some(frame["data"].to_string())
    }

    /// Answers an `info` request.
    pub fn answer(&self, request: &Value, now_ms: i64) -> (Response, u64) {
        if request.get("type").and_then(Value::as_str) == Some("candleSnapshot") {
            return self.candles(request);
        }
        (self.plain_answer(request, now_ms), 0)
    }

    /// The candles played so far: ended ones with their final values, the running one as its last frame shows it.
    fn candles(&self, request: &Value) -> (Response, u64) {
        let question = match Question::parse(request, i64::MAX - 1) {
            Ok(question) => question,
            Err(response) => return (response, 0),
        };
        let Question { coin, interval, start_ms, end_ms } = &question;
        if !self.instruments.iter().any(|instrument| instrument.symbol == *coin) {
            return (Response::json(500, "null"), 0);
        }
        let last = self.last.get(&candles::stream_name(coin, *interval));
        let running = last.and_then(|at| shown(&self.items[*at]));
        let mut rows = Vec::new();
        if let Some(running) = running {
            let from_ms = interval.open_of(*start_ms);
            let oldest_ms = interval.back(running.open_ms, HYPERLIQUID_CANDLES_MAX - 1);
            let before_ms = running.open_ms.min(end_ms.saturating_add(1));
            let ended = self.handle.candles(coin, *interval, from_ms.max(oldest_ms), before_ms);
            rows = ended.unwrap_or_default();
            rows.extend((from_ms..=*end_ms).contains(&running.open_ms).then_some(running));
        }
        let weight = rows.len().div_ceil(info::CANDLES_PER_WEIGHT) as u64;
        (question.answer(&rows, KeyOrder::Alphabetical), weight)
    }

    fn plain_answer(&self, request: &Value, now_ms: i64) -> Response {
        let coin = request.get("coin").and_then(Value::as_str).unwrap_or_default();
        let known = self.instruments.iter().any(|instrument| instrument.symbol == coin);
        let json = |body: String| Response::json(200, body);
        match request.get("type").and_then(Value::as_str) {
            Some("meta") => json(meta::meta(self.instruments.iter(), "")),
            Some("spotMeta") => json(meta::spot(self.instruments.iter())),
            Some("perpDexs") => json("[null]".to_owned()),
            Some("exchangeStatus") => json(format!(r#"{{"specialStatuses":null,"time":{now_ms}}}"#)),
            Some("l2Book") if !known => json("null".to_owned()),
            Some("l2Book") => {
                let empty = || format!(r#"{{"coin":"{coin}","time":{now_ms},"levels":[[],[]]}}"#);
                json(self.last_data("l2Book", coin).unwrap_or_else(empty))
            }
            Some("recentTrades") if known => {
                json(self.last_data("trades", coin).unwrap_or_else(|| "[]".to_owned()))
            }
            _ => Response::text(422, "Failed to deserialize the JSON body into the target type"),
        }
    }
}

/// The candle a frame shows.
fn shown(item: &Item) -> Option<TruthCandle> {
    let frame: Value = serde_json::from_str(&item.text).ok()?;
    candle_of(&frame["data"])
}

/// What every period of the capture ended with; the last one of each stream may not have ended.
fn finals(items: &[Item]) -> Finals {
    let mut last = HashMap::new();
    for item in items {
        if let Some(interval) = item.interval
            && let Some(candle) = shown(item)
        {
            last.entry((&item.coin, interval)).or_insert_with(BTreeMap::new).insert(candle.open_ms, candle);
        }
    }
    let mut finals = Finals::default();
    for ((coin, interval), mut candles) in last {
        candles.pop_last();
        for candle in candles.values() {
            finals.insert(coin, interval, final_of(candle));
        }
    }
    finals
}

/// A coin: as the venue lists it if it is one of the well-known ones.
fn described(coin: &str) -> Instrument {
    const GUESSED_SIZE_DECIMALS: u32 = 2;
    let known = list(Venue::Hyperliquid, 4, 0, 0).into_iter().find(|instrument| instrument.symbol == coin);
    known.unwrap_or_else(|| crate::market::hyperliquid(coin, crate::decimal::SCALE_E8, GUESSED_SIZE_DECIMALS))
}
