//! The steps of a venue's clock: what stamp a moment got.
//!
//! A moment is stamped by the clock as it stood then, so that a trade that happened during a step keeps its stamp in
//! every later answer, and one from before the step as well. The market's own truth stays in unstepped time.

use crate::json::{self, Node};
use crate::limits::CLOCK_STEPS_MAX;
use std::collections::VecDeque;

struct Step {
    from_ms: i64,
    until_ms: i64,
    by_ms: i64,
}

/// The clock.
#[derive(Default)]
pub struct Clock {
    steps: VecDeque<Step>,
}

/// Candles are periods of the market, not stamps.
const NOT_STAMPED: &str = "k";

impl Clock {
    /// Steps the clock; the step before ends.
    pub fn step(&mut self, by_ms: i64, for_ms: Option<i64>, now_ms: i64) {
        if let Some(before) = self.steps.back_mut() {
            before.until_ms = before.until_ms.min(now_ms);
        }
        if self.steps.len() == CLOCK_STEPS_MAX {
            self.steps.pop_front();
        }
        let until_ms = for_ms.map_or(i64::MAX, |for_ms| now_ms.saturating_add(for_ms));
        self.steps.push_back(Step { from_ms: now_ms, until_ms, by_ms });
    }

    /// Whether it ever stepped.
    pub fn has_stepped(&self) -> bool {
        !self.steps.is_empty()
    }

    /// The stamp of a moment.
    pub fn stamp(&self, time_ms: i64) -> i64 {
        let step = self.steps.iter().find(|step| (step.from_ms..step.until_ms).contains(&time_ms));
        time_ms + step.map_or(0, |step| step.by_ms)
    }

    /// A frame or an answer with its stamps: the members of these names.
    pub fn stamped(&self, text: &str, names: &[&str]) -> String {
        let Some(mut node) = json::parse(text) else { return text.to_owned() };
        self.shift(&mut node, names);
        node.to_text()
    }

    fn shift(&self, node: &mut Node, names: &[&str]) {
        match node {
            Node::Array(elements) => elements.iter_mut().for_each(|element| self.shift(element, names)),
            Node::Scalar(_) => {}
            Node::Object(members) => {
                // `T` of a mark price is the next settlement.
                let is_mark = members
                    .iter()
                    .any(|(_, value)| matches!(value, Node::Scalar(text) if text == "\"markPriceUpdate\""));
                for (key, value) in members {
                    match value {
                        Node::Scalar(text) if names.contains(&key.as_str()) && !(is_mark && key == "T") => {
                            if let Ok(time_ms) = text.parse::<i64>() {
                                *text = self.stamp(time_ms).to_string();
                            }
                        }
                        _ if key == NOT_STAMPED => {}
                        _ => self.shift(value, names),
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_keeps_the_stamp_it_once_had() {
        let mut clock = Clock::default();
        clock.step(-5_000, Some(100), 1_000);
        assert_eq!([999, 1_000, 1_099, 1_100].map(|at| clock.stamp(at)), [999, -4_000, -3_901, 1_100]);
        clock.step(50, None, 1_050);
        assert_eq!([1_049, 1_050, 9_000].map(|at| clock.stamp(at)), [-3_951, 1_100, 9_050]);
        let text = r#"{"stream":"s","data":{"E":2000,"k":{"T":2000},"a":[{"T":2000,"time":"x"}]}}"#;
        assert_eq!(
            clock.stamped(text, &["E", "T", "time"]),
            r#"{"stream":"s","data":{"E":2050,"k":{"T":2000},"a":[{"T":2050,"time":"x"}]}}"#
        );
        let mark = r#"{"e":"markPriceUpdate","E":2000,"T":9000}"#;
        assert_eq!(clock.stamped(mark, &["E", "T"]), r#"{"e":"markPriceUpdate","E":2050,"T":9000}"#);
    }
}
