//! Plays a Hyperliquid capture back: frames word for word to the subscribers of their stream.
//!
//! A captured `l2Book` belongs to the default subscription, never to `fast`. REST tells what has been played last.

use super::{PlaybackHandle, Played, Player, read_capture};
use crate::config::PlaybackConfig;
use crate::error::SimError;
use crate::hyperliquid::frames;
use crate::hyperliquid::hub::Hub;
use crate::limits::PLAYBACK_BACKLOG_BYTES;
use crate::market::{Instrument, Venue, list};
use crate::protocol::{Action, Backlog, Response};
use serde_json::Value;
use std::collections::HashMap;

struct Item {
    channel: String,
    coin: String,
    text: String,
}

/// A capture being played back.
pub struct HyperliquidPlayback {
    player: Player,
    items: Vec<Item>,
    instruments: Vec<Instrument>,
    /// The item last played, by channel and coin.
    last: HashMap<(String, String), usize>,
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
            items.push(Item { channel, coin, text: line.json });
        }
        let player = Player::new(config.clone(), times_ns, handle);
        Ok(Self { player, items, instruments, last: HashMap::new() })
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
            let stream = hub.subscribers.find(&format!("{}:{}", item.channel, item.coin));
            let stream = stream.filter(|stream| !hub.subscribers.of(*stream).is_empty());
            let full = |id: &u64| backlog.backlog_bytes(*id) > PLAYBACK_BACKLOG_BYTES;
            if stream.is_some_and(|stream| hub.subscribers.of(stream).iter().any(full)) {
                return Played::Waits;
            }
            last.insert((item.channel.clone(), item.coin.clone()), at);
            let Some(stream) = stream else { return Played::Unclaimed };
            hub.deliver(stream, &item.coin, item.text.clone(), now_ms, out);
            Played::Claimed
        })
    }

    /// The `data` of the frame of a channel and coin last played.
    fn last_data(&self, channel: &str, coin: &str) -> Option<String> {
        let at = *self.last.get(&(channel.to_owned(), coin.to_owned()))?;
        let frame: Value = serde_json::from_str(&self.items[at].text).ok()?;
        Some(frame["data"].to_string())
    }

    /// Answers an `info` request.
    pub fn answer(&self, request: &Value, now_ms: i64) -> Response {
        let coin = request.get("coin").and_then(Value::as_str).unwrap_or_default();
        let known = self.instruments.iter().any(|instrument| instrument.symbol == coin);
        let json = |body: String| Response::json(200, body);
        match request.get("type").and_then(Value::as_str) {
            Some("meta") => json(frames::meta(&self.instruments)),
            Some("spotMeta") => json(frames::SPOT_META.to_owned()),
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

/// A coin: as the venue lists it if it is one of the well-known ones.
fn described(coin: &str) -> Instrument {
    const GUESSED_SIZE_DECIMALS: u32 = 2;
    let known = list(Venue::Hyperliquid, 4, 0, 0).into_iter().find(|instrument| instrument.symbol == coin);
    known.unwrap_or_else(|| crate::market::hyperliquid(coin, crate::decimal::SCALE_E8, GUESSED_SIZE_DECIMALS))
}
