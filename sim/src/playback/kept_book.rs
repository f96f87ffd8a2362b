//! The book a capture leads to: its recorded snapshot and every event since, so that snapshots can be given later
//! than the recording asked for one.
//!
//! Like the venue it shows so many levels a side at the last event played. What rests beyond the recorded snapshot
//! and was never touched is unknown to it, as it is to everybody who has only the recording.

use crate::decimal::parse_e8;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Levels by price at 1e-8, with the texts of price and size as they came.
type Side = BTreeMap<i64, [Value; 2]>;

/// See the module.
#[derive(Default)]
pub struct KeptBook {
    bids: Side,
    asks: Side,
    /// Update id, event and transaction time of the last event.
    last: Option<[Value; 3]>,
    /// Events before the snapshot's place; some of them are newer than the snapshot itself.
    before: Vec<Value>,
}

impl KeptBook {
    /// The recorded snapshot, at its place in the capture.
    pub fn load(&mut self, body: &str) {
        let Ok(snapshot) = serde_json::from_str::<Value>(body) else { return };
        self.bids.clear();
        self.asks.clear();
        set(&mut self.bids, &snapshot["bids"]);
        set(&mut self.asks, &snapshot["asks"]);
        let id = snapshot["lastUpdateId"].as_u64().unwrap_or(0);
        self.last = Some([snapshot["lastUpdateId"].clone(), snapshot["E"].clone(), snapshot["T"].clone()]);
        for event in std::mem::take(&mut self.before) {
            if event["u"].as_u64().is_some_and(|last| last >= id) {
                self.apply(&event);
            }
        }
    }

    /// One event, as it was recorded.
    pub fn event(&mut self, data: &str) {
        let Ok(event) = serde_json::from_str::<Value>(data) else { return };
        if self.last.is_none() {
            self.before.push(event);
        } else {
            self.apply(&event);
        }
    }

    fn apply(&mut self, event: &Value) {
        set(&mut self.bids, &event["b"]);
        set(&mut self.asks, &event["a"]);
        self.last = Some([event["u"].clone(), event["E"].clone(), event["T"].clone()]);
    }

    /// The answer to a `depth` request now; `None` before the recorded snapshot.
    pub fn snapshot(&self, limit: usize) -> Option<String> {
        let [id, event_time, time] = self.last.as_ref()?;
        let bids: Vec<&[Value; 2]> = self.bids.values().rev().take(limit).collect();
        let asks: Vec<&[Value; 2]> = self.asks.values().take(limit).collect();
        Some(json!({"lastUpdateId": id, "E": event_time, "T": time, "bids": bids, "asks": asks}).to_string())
    }
}

fn set(side: &mut Side, levels: &Value) {
    for level in levels.as_array().into_iter().flatten() {
        let text = |index: usize| level[index].as_str().and_then(parse_e8);
        match (text(0), text(1)) {
            (Some(price), Some(0)) => {
                side.remove(&price);
            }
            (Some(price), Some(_)) => {
                side.insert(price, [level[0].clone(), level[1].clone()]);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_shows_what_the_capture_has_led_to() {
        let mut book = KeptBook::default();
        book.event(r#"{"E":1,"T":1,"u":9,"b":[["1.0","9"]],"a":[]}"#);
        book.event(r#"{"E":2,"T":2,"u":11,"b":[["1.0","7"]],"a":[]}"#);
        assert_eq!(book.snapshot(5), None);
        book.load(r#"{"lastUpdateId":10,"E":1,"T":1,"bids":[["1.0","1"],["0.9","2"]],"asks":[["1.1","3"]]}"#);
        book.event(r#"{"E":3,"T":4,"u":12,"b":[["0.9","0"],["0.8","5"]],"a":[["1.2","1"]]}"#);
        let shown: Value = serde_json::from_str(&book.snapshot(1).unwrap()).unwrap();
        assert_eq!(shown, json!({"lastUpdateId":12,"E":3,"T":4,"bids":[["1.0","7"]],"asks":[["1.1","3"]]}));
    }
}
