//! Streams that are told more rarely than usual: the newest state is kept and told when its time has come.

use std::collections::BTreeMap;

struct Slow {
    period_ms: i64,
    until_ms: i64,
    next_ms: i64,
    /// The newest that was not told: symbol and text.
    held: Option<(String, String)>,
}

/// What is told more rarely than usual, by the stream's name.
#[derive(Default)]
pub struct Cadences {
    streams: BTreeMap<String, Slow>,
}

impl Cadences {
    /// Slows a stream down for a while.
    pub fn slow(&mut self, stream: &str, period_ms: i64, for_ms: i64, now_ms: i64) {
        let until_ms = now_ms + for_ms;
        let next_ms = now_ms + period_ms;
        let held = self.streams.remove(stream).and_then(|before| before.held);
        self.streams.insert(stream.to_owned(), Slow { period_ms, until_ms, next_ms, held });
    }

    /// The shortest time between two frames of a stream, if it is slowed down.
    pub fn period_ms(&self, stream: &str, now_ms: i64) -> Option<i64> {
        self.streams.get(stream).filter(|slow| now_ms < slow.until_ms).map(|slow| slow.period_ms)
    }

    /// Whether a frame may be told now; if not it is kept until [`Cadences::due`] hands it out.
    pub fn admits(&mut self, stream: &str, symbol: &str, text: &str, now_ms: i64) -> bool {
        if self.streams.is_empty() {
            return true;
        }
        let Some(slow) = self.streams.get_mut(stream) else { return true };
        let slowed = now_ms < slow.until_ms;
        // At the end of the fault what is told now is newer than what was kept.
        slow.held = slowed.then(|| (symbol.to_owned(), text.to_owned()));
        !slowed
    }

    /// What was kept and may be told now, after all that is new: stream, symbol and text.
    pub fn due(&mut self, now_ms: i64) -> Vec<(String, String, String)> {
        let mut due = Vec::new();
        for (stream, slow) in &mut self.streams {
            if (now_ms >= slow.next_ms || now_ms >= slow.until_ms)
                && let Some((symbol, text)) = slow.held.take()
            {
                slow.next_ms = now_ms + slow.period_ms;
                due.push((stream.clone(), symbol, text));
            }
        }
        self.streams.retain(|_, slow| now_ms < slow.until_ms || slow.held.is_some());
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_told_when_its_time_has_come() {
        let mut now = Cadences::default();
        assert!(now.admits("x", "X", "0", 0));
        now.slow("x", 10, 25, 0);
        assert!(
            !now.admits("x", "X", "1", 3) && !now.admits("x", "X", "2", 9) && now.admits("y", "Y", "1", 3)
        );
        assert_eq!(now.due(9), []);
        let [(stream, symbol, text)] = &now.due(10)[..] else { panic!("one is due") };
        assert_eq!((stream.as_str(), symbol.as_str(), text.as_str()), ("x", "X", "2"));
        assert_eq!(now.due(20), [], "there is nothing new");
        assert!(!now.admits("x", "X", "3", 21) && now.due(21).len() == 1);
        assert!(!now.admits("x", "X", "4", 24));
        assert_eq!(now.period_ms("x", 24), Some(10));
        assert_eq!(now.due(25).len(), 1, "at the end nothing is kept");
        assert!(now.admits("x", "X", "5", 25) && now.admits("x", "X", "6", 25));
    }
}
