//! What becomes of a data frame between the venue that tells it and the socket: its keys, its text, its form, its turn.
//!
//! ```text
//! text ─▶ new fields ─▶ order of keys ─▶ padding ─▶ spoilt ─▶ text, binary or fragments ─▶ once, twice, or after the next
//! ```
//! Decided once for all who hear a frame ([`Wire::leave`]), done for each form of it ([`Wire::compose`]).

use crate::disturbances::take_one;
use crate::faults::{Fault, MalformedHow, StrangeOrder};
use crate::json::{self, Node};
use crate::protocol::{Action, ConnectionId, OddMessage};
use crate::random::Random;
use std::collections::{BTreeSet, HashMap};
use tungstenite::Utf8Bytes;

/// The frames of one symbol that are swapped with the next of their stream.
#[derive(Default)]
struct Reorder {
    swaps: u32,
    /// Frames told since, by stream.
    told: HashMap<String, u32>,
}

/// The faults of frames at work.
pub struct Wire {
    random: Random,
    doubled: HashMap<String, u32>,
    /// Frames still to be spoilt: of a symbol, or of any.
    malformed: HashMap<Option<String>, (u32, MalformedHow)>,
    fragmented: u32,
    binary: u32,
    oversize: Option<usize>,
    new_fields: u32,
    order: Option<(StrangeOrder, i64)>,
    reorder: HashMap<String, Reorder>,
    held: HashMap<(ConnectionId, String), Action>,
    muted: BTreeSet<(ConnectionId, String)>,
    /// Nothing of the above is at work.
    idle: bool,
}

/// How a frame leaves.
#[derive(Clone, Debug, Default)]
pub struct Leaving {
    times: u32,
    waits_for_next: bool,
    new_fields: bool,
    order: Option<StrangeOrder>,
    bytes: Option<usize>,
    malformed: Option<MalformedHow>,
    binary: bool,
    fragmented: bool,
    /// Decides what is drawn for this frame.
    salt: u64,
}

impl Leaving {
    /// As it is, once.
    const PLAIN: Self = Self {
        times: 1,
        waits_for_next: false,
        new_fields: false,
        order: None,
        bytes: None,
        malformed: None,
        binary: false,
        fragmented: false,
        salt: 0,
    };

    /// Whether the text stays as it is.
    pub fn is_plain(&self) -> bool {
        !(self.new_fields
            || self.order.is_some()
            || self.bytes.is_some()
            || self.malformed.is_some()
            || self.binary
            || self.fragmented)
    }
}

/// A message as it leaves.
#[derive(Clone)]
pub enum Leaves {
    /// As a text.
    Text(Utf8Bytes),
    /// As something else.
    Odd(OddMessage),
}

/// Members that no venue has told so far.
const NEW_FIELDS: [(&str, &str); 4] = [
    ("zzNew", r#"{"e":"none","s":"NOPE","levels":[[],{}]}"#),
    ("newText", r#""a \"quoted\" }{][ \\ text\u00e9""#),
    ("newNumber", "-1.25e-7"),
    ("newNull", "null"),
];

impl Wire {
    /// Nothing is at work; the seed decides what is drawn later.
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::seeded(seed, 0x317E),
            doubled: HashMap::new(),
            malformed: HashMap::new(),
            fragmented: 0,
            binary: 0,
            oversize: None,
            new_fields: 0,
            order: None,
            reorder: HashMap::new(),
            held: HashMap::new(),
            muted: BTreeSet::new(),
            idle: true,
        }
    }

    /// Begins a lasting fault; the others change nothing here.
    pub fn begin(&mut self, fault: &Fault, now_ms: i64) {
        match fault {
            Fault::DuplicateFrames { symbol, frames } => {
                *self.doubled.entry(symbol.clone()).or_default() += frames;
            }
            Fault::MalformedFrames { frames, symbol, how } => {
                self.malformed.insert(symbol.clone(), (*frames, *how));
            }
            Fault::FragmentFrames { frames } => self.fragmented += frames,
            Fault::BinaryFrames { frames } => self.binary += frames,
            Fault::OversizeFrame { bytes } => self.oversize = Some(*bytes),
            Fault::NewFields { frames } => self.new_fields += frames,
            Fault::KeyOrder { for_ms, order } => self.order = Some((*order, now_ms + for_ms)),
            Fault::ReorderFrames { symbol, frames } => {
                self.reorder.insert(symbol.clone(), Reorder { swaps: *frames, told: HashMap::new() });
            }
            _ => return,
        }
        self.idle = false;
    }

    /// A connection never hears this stream again, unless it subscribes once more.
    pub fn mute(&mut self, id: ConnectionId, stream: &str) {
        self.muted.insert((id, stream.to_owned()));
    }

    /// A connection may hear this stream.
    pub fn unmute(&mut self, id: ConnectionId, stream: &str) {
        if !self.muted.is_empty() {
            self.muted.remove(&(id, stream.to_owned()));
        }
    }

    /// Whether a connection hears nothing of a stream it subscribed to.
    pub fn is_muted(&self, id: ConnectionId, stream: &str) -> bool {
        !self.muted.is_empty() && self.muted.contains(&(id, stream.to_owned()))
    }

    /// Forgets a connection.
    pub fn forget(&mut self, id: ConnectionId) {
        self.muted.retain(|(of, _)| *of != id);
        self.held.retain(|(of, _), _| *of != id);
    }

    /// How the next frame of a symbol's stream leaves.
    pub fn leave(&mut self, symbol: &str, stream: &str, now_ms: i64) -> Leaving {
        if self.idle {
            return Leaving::PLAIN;
        }
        let doubled = self.doubled.get_mut(symbol).is_some_and(take_one);
        let mut spoils = |key: &Option<String>| {
            let (frames, how) = self.malformed.get_mut(key)?;
            take_one(frames).then_some(*how)
        };
        let malformed = spoils(&Some(symbol.to_owned())).or_else(|| spoils(&None));
        let waits_for_next = self.reorder.get_mut(symbol).is_some_and(|reorder| {
            let told = reorder.told.entry(stream.to_owned()).or_default();
            *told = told.saturating_add(1);
            *told % 2 == 1 && *told <= reorder.swaps.saturating_mul(2)
        });
        let order = self.order.filter(|(_, until_ms)| now_ms < *until_ms).map(|(order, _)| order);
        Leaving {
            times: if doubled { 2 } else { 1 },
            waits_for_next,
            new_fields: take_one(&mut self.new_fields),
            order,
            bytes: self.oversize.take(),
            malformed,
            binary: take_one(&mut self.binary),
            fragmented: take_one(&mut self.fragmented),
            salt: self.random.next_u64(),
        }
    }

    /// A message in the form in which it leaves.
    pub fn compose(leaving: &Leaving, text: String) -> Leaves {
        if leaving.is_plain() {
            return Leaves::Text(text.into());
        }
        let mut random = Random::seeded(leaving.salt, 0);
        let text = rewrite(leaving, &text, &mut random).unwrap_or(text);
        match leaving.malformed {
            Some(MalformedHow::NotUtf8) => {
                let mut bytes = text.into_bytes();
                let middle = bytes.len() / 2;
                if let Some(byte) = bytes.get_mut(middle) {
                    // A byte that UTF-8 never has.
                    *byte = 0xFF;
                }
                return Leaves::Odd(OddMessage::NotUtf8(bytes));
            }
            Some(how) => return Leaves::Text(spoil(how, &text, &mut random).into()),
            None => {}
        }
        if leaving.binary {
            Leaves::Odd(OddMessage::Binary(text.into_bytes()))
        } else if leaving.fragmented {
            Leaves::Odd(OddMessage::Fragments(fragments(text.as_bytes(), &mut random)))
        } else {
            Leaves::Text(text.into())
        }
    }

    /// Sends a message to one connection; returns how often.
    pub fn send(
        &mut self,
        leaving: &Leaving,
        id: ConnectionId,
        stream: &str,
        leaves: &Leaves,
        out: &mut Vec<Action>,
    ) -> u64 {
        let action = match leaves {
            Leaves::Text(text) => Action::Text(id, text.clone()),
            Leaves::Odd(message) => Action::Odd(id, message.clone()),
        };
        if leaving.waits_for_next {
            if let Some(before) = self.held.insert((id, stream.to_owned()), action) {
                out.push(before);
            }
            return 1;
        }
        for _ in 1..leaving.times {
            out.push(action.clone());
        }
        out.push(action);
        if !self.held.is_empty()
            && let Some(before) = self.held.remove(&(id, stream.to_owned()))
        {
            out.push(before);
        }
        u64::from(leaving.times)
    }
}

/// The text with what only changes its JSON; `None` if it stays.
fn rewrite(leaving: &Leaving, text: &str, random: &mut Random) -> Option<String> {
    if !leaving.new_fields && leaving.order.is_none() && leaving.bytes.is_none() {
        return None;
    }
    let mut node = json::parse(text)?;
    if leaving.new_fields {
        node.each_object(&mut |members| {
            let (first, last) = (random.index(NEW_FIELDS.len()), random.index(NEW_FIELDS.len() - 1));
            let member = |at: usize| (NEW_FIELDS[at].0.to_owned(), Node::Scalar(NEW_FIELDS[at].1.to_owned()));
            members.insert(0, member(first));
            members.push(member((first + 1 + last) % NEW_FIELDS.len()));
        });
    }
    match leaving.order {
        Some(StrangeOrder::Reversed) => node.each_object(&mut |members| members.reverse()),
        Some(StrangeOrder::Shuffled) => node.each_object(&mut |members| json::shuffle(members, random)),
        None => {}
    }
    if let (Some(bytes), Node::Object(members)) = (leaving.bytes, &mut node) {
        const MEMBER_BYTES: usize = r#","padding":"""#.len();
        let missing = bytes.saturating_sub(text.len() + MEMBER_BYTES);
        members.push(("padding".to_owned(), Node::Scalar(format!("\"{}\"", "x".repeat(missing)))));
    }
    Some(node.to_text())
}

fn spoil(how: MalformedHow, text: &str, random: &mut Random) -> String {
    match how {
        MalformedHow::Truncated | MalformedHow::NotUtf8 => {
            let from = text.len() / 4;
            let mut end = from + random.index(text.len() / 2 + 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text[..end].to_owned()
        }
        MalformedHow::NotJson => "Service temporarily unavailable".to_owned(),
        MalformedHow::WrongType => {
            let Some(mut node) = json::parse(text) else { return "null".to_owned() };
            node.each_scalar(&mut |scalar| {
                let is_decimal = scalar.len() > 2 && scalar[1..scalar.len() - 1].parse::<f64>().is_ok();
                if scalar.starts_with('"') && is_decimal {
                    *scalar = "null".to_owned();
                }
            });
            node.to_text()
        }
    }
}

/// Two to five pieces, cut anywhere: also inside a character.
fn fragments(bytes: &[u8], random: &mut Random) -> Vec<Vec<u8>> {
    let mut cuts: Vec<usize> = (0..1 + random.index(4)).map(|_| random.index(bytes.len() + 1)).collect();
    cuts.sort_unstable();
    cuts.push(bytes.len());
    let mut from = 0;
    cuts.into_iter().map(|cut| bytes[std::mem::replace(&mut from, cut)..cut].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        r#"{"stream":"x@depth","data":{"e":"depthUpdate","u":7,"b":[["83091.60","0.100"]],"s":"币USDT"}}"#;

    fn composed(fault: &Fault) -> Leaves {
        let mut wire = Wire::new(1);
        wire.begin(fault, 0);
        Wire::compose(&wire.leave("X", "x@depth", 0), TEXT.to_owned())
    }

    fn text(fault: &Fault) -> String {
        match composed(fault) {
            Leaves::Text(text) => text.to_string(),
            Leaves::Odd(message) => panic!("{message:?}"),
        }
    }

    #[test]
    fn keys_and_fields_change_and_values_do_not() {
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("JSON");
        let reversed = text(&Fault::KeyOrder { for_ms: 1, order: StrangeOrder::Reversed });
        assert!(reversed.starts_with(r#"{"data":{"s":"币USDT","b":"#), "{reversed}");
        assert_eq!(value(&reversed), value(TEXT));
        let shuffled = text(&Fault::KeyOrder { for_ms: 1, order: StrangeOrder::Shuffled });
        assert_eq!(value(&shuffled), value(TEXT));
        let more = value(&text(&Fault::NewFields { frames: 1 }));
        assert_eq!(more["data"]["b"], value(TEXT)["data"]["b"]);
        assert_eq!(more["data"].as_object().map(serde_json::Map::len), Some(6));
        let large = text(&Fault::OversizeFrame { bytes: 5_000 });
        assert_eq!(large.len(), 5_000);
        assert_eq!(value(&large)["data"], value(TEXT)["data"]);
    }

    #[test]
    fn spoilt_frames_are_spoilt_as_named() {
        let spoilt = |how| Fault::MalformedFrames { frames: 1, symbol: Some("X".to_owned()), how };
        for how in [MalformedHow::Truncated, MalformedHow::NotJson] {
            assert!(serde_json::from_str::<serde_json::Value>(&text(&spoilt(how))).is_err(), "{how:?}");
        }
        assert!(text(&spoilt(MalformedHow::WrongType)).contains(r#""u":7,"b":[[null,null]]"#));
        assert!(matches!(composed(&spoilt(MalformedHow::NotUtf8)),
            Leaves::Odd(OddMessage::NotUtf8(bytes)) if std::str::from_utf8(&bytes).is_err()));
        let mut wire = Wire::new(1);
        wire.begin(&spoilt(MalformedHow::NotJson), 0);
        assert!(wire.leave("Y", "y@depth", 0).is_plain());
        assert!(!wire.leave("X", "x@depth", 0).is_plain());
        assert!(wire.leave("X", "x@depth", 0).is_plain());
    }

    #[test]
    fn fragments_add_up() {
        for seed in 0..50 {
            let parts = fragments(TEXT.as_bytes(), &mut Random::seeded(seed, 0));
            assert!((2..=5).contains(&parts.len()));
            assert_eq!(parts.concat(), TEXT.as_bytes());
        }
    }

    #[test]
    fn neighbours_of_one_stream_are_swapped() {
        let mut wire = Wire::new(1);
        wire.begin(&Fault::ReorderFrames { symbol: "X".to_owned(), frames: 1 }, 0);
        let mut out = Vec::new();
        for (stream, text) in [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3"), ("b", "b2")] {
            let leaving = wire.leave("X", stream, 0);
            let leaves = Wire::compose(&leaving, text.to_owned());
            wire.send(&leaving, 1, stream, &leaves, &mut out);
        }
        let texts: Vec<&str> = out
            .iter()
            .map(|action| match action {
                Action::Text(1, text) => text.as_str(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(texts, ["a2", "a1", "a3", "b2", "b1"]);
    }
}
