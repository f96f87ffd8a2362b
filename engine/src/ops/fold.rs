//! Folding: the same phrase said again and again becomes a count. No I/O, no clock.

use crate::event::Severity;
use codec::words::Venue;
use std::collections::HashMap;

/// Something to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How urgent.
    pub severity: Severity,
    /// The words.
    pub text: String,
}

/// A phrase is counted, not repeated, for this long.
const FOLD_MS: u64 = 10_000;
/// Lines of one phrase printed before that begins: a handful of symbols should all be seen.
const FREE_LINES: u32 = 5;

#[derive(Debug)]
struct Phrase {
    since_ms: u64,
    printed: u32,
    folded: u64,
    last: Line,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Folder {
    // As many entries as there are phrases in the program, times venues.
    phrases: HashMap<(&'static str, Option<Venue>), Phrase>,
}

impl Folder {
    /// Takes a line with its phrase; gives it back if it is to be printed now.
    pub fn offer(
        &mut self,
        what: &'static str,
        venue: Option<Venue>,
        line: Line,
        now_ms: u64,
    ) -> Option<Line> {
        let phrase = self.phrases.entry((what, venue)).or_insert_with(|| Phrase {
            since_ms: now_ms,
            printed: 0,
            folded: 0,
            last: line.clone(),
        });
        if phrase.folded == 0 && now_ms - phrase.since_ms >= FOLD_MS {
            (phrase.since_ms, phrase.printed) = (now_ms, 0);
        }
        if phrase.printed < FREE_LINES {
            phrase.printed += 1;
            return Some(line);
        }
        phrase.folded += 1;
        phrase.last = line;
        None
    }

    /// The counts that are due, or with `all` every one.
    pub fn due(&mut self, now_ms: u64, all: bool) -> Vec<Line> {
        let mut lines = Vec::new();
        for phrase in self.phrases.values_mut() {
            let passed_ms = now_ms - phrase.since_ms;
            if phrase.folded == 0 || !(all || passed_ms >= FOLD_MS) {
                continue;
            }
            let text = match phrase.folded {
                1 => phrase.last.text.clone(),
                more => format!(
                    "{} (and {} more like it in {} s)",
                    phrase.last.text,
                    more - 1,
                    passed_ms.div_ceil(1000)
                ),
            };
            lines.push(Line { severity: phrase.last.severity, text });
            (phrase.since_ms, phrase.folded) = (now_ms, 0);
            // What goes on goes on being counted.
            phrase.printed = FREE_LINES;
        }
        lines.sort_by(|a, b| a.text.cmp(&b.text));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u64) -> Line {
        Line { severity: Severity::Warn, text: format!("gap {number}") }
    }

    #[test]
    fn repetitions_become_one_line_with_a_count() {
        let mut folder = Folder::default();
        let printed = (0..1000).filter(|&number| folder.offer("gap", None, line(number), number).is_some());
        assert_eq!(printed.count(), 5);
        assert!(folder.due(9_999, false).is_empty());
        let due = folder.due(10_000, false);
        assert_eq!(due[0].text, "gap 999 (and 994 more like it in 10 s)");
        assert!(folder.due(30_000, false).is_empty());
        // Still going on: counted. Quiet for a while: printed again.
        assert!(folder.offer("gap", None, line(1), 10_001).is_none());
        assert_eq!(folder.due(20_001, false)[0].text, "gap 1");
        assert!(folder.offer("gap", None, line(2), 30_002).is_some());
    }

    #[test]
    fn other_phrases_and_venues_are_their_own() {
        let mut folder = Folder::default();
        for number in 0..6 {
            folder.offer("gap", None, line(number), 0);
        }
        assert!(folder.offer("gap", Some(Venue::Binance), line(0), 0).is_some());
        assert!(folder.offer("down", None, line(0), 0).is_some());
        assert_eq!(folder.due(1, true).len(), 1);
    }
}
