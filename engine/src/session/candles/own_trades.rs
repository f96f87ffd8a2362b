//! Candles of the trades that were seen here: they complete a close whose last frame fell short.
//!
//! A bar counts only if every trade of its period was seen: the trade stream was there before it began, and
//! a trade from after its end has come (trades of a coin come in the order of their blocks).

use codec::candle::Candle;
use codec::decimal::{Price, Size};
use codec::words::Interval;

#[derive(Clone, Copy, Debug)]
struct Bars {
    interval: Interval,
    current: Option<Candle>,
    /// The period before, which may be asked for a moment later.
    previous: Option<Candle>,
}

/// What the own trades know of a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Not all of it was seen, and will not be.
    InPart,
    /// All of it so far; trades of its end may be on their way.
    SoFar,
    /// All of it. `None`: nothing was traded.
    Whole(Option<Candle>),
}

/// See the module.
#[derive(Debug)]
pub struct OwnTrades {
    bars: Vec<Bars>,
    /// Every trade since this venue time was seen, ms; `None`: the stream is not there.
    since_ms: Option<u64>,
    /// The newest trade, ms.
    newest_ms: u64,
}

impl OwnTrades {
    /// Bars of these intervals.
    #[must_use]
    pub fn new(intervals: impl Iterator<Item = Interval>) -> Self {
        let bars = intervals
            // Where a longer period begins is the venue's choice.
            .filter(|interval| interval.is_aligned())
            .map(|interval| Bars { interval, current: None, previous: None })
            .collect();
        Self { bars, since_ms: None, newest_ms: 0 }
    }

    /// Subscribed, when the venue's clock stood at `venue_ms`.
    pub fn on_subscribed(&mut self, venue_ms: u64) {
        self.since_ms = Some(venue_ms);
    }

    /// The stream is gone, or lost something.
    pub fn on_lost(&mut self) {
        self.since_ms = None;
    }

    /// A trade, each once.
    pub fn on_trade(&mut self, time_ms: u64, price: Price, size: Size) {
        self.newest_ms = self.newest_ms.max(time_ms);
        for bars in &mut self.bars {
            let start_ms = bars.interval.start_ms_of(time_ms);
            match &mut bars.current {
                Some(current) if current.start_ms == start_ms => current.add_trade(price, size),
                Some(current) if current.start_ms > start_ms => {
                    // Out of order: the bar it belongs to cannot be vouched for.
                    if let Some(previous) = &mut bars.previous
                        && previous.start_ms == start_ms
                    {
                        bars.previous = None;
                        self.since_ms = self.since_ms.map(|since| since.max(start_ms + 1));
                    }
                }
                current => {
                    bars.previous = current.replace(Candle::of_trade(start_ms, price, size));
                }
            }
        }
    }

    /// What is known of the period from `start_ms` to `end_ms`, its last millisecond.
    #[must_use]
    pub fn of(&self, interval: Interval, start_ms: u64, end_ms: u64) -> Seen {
        let Some(bars) = self.bars.iter().find(|bars| bars.interval == interval) else { return Seen::InPart };
        if self.since_ms.is_none_or(|since_ms| since_ms > start_ms) {
            return Seen::InPart;
        }
        if self.newest_ms <= end_ms {
            return Seen::SoFar;
        }
        let bar = [bars.current, bars.previous].into_iter().flatten().find(|bar| bar.start_ms == start_ms);
        let newest_start_ms = bars.current.map_or(0, |bar| bar.start_ms);
        match bar {
            Some(bar) => Seen::Whole(Some(bar)),
            // Forgotten, if more than one later period has had trades.
            None if bars.previous.is_some_and(|bar| bar.start_ms > start_ms) => Seen::InPart,
            None if newest_start_ms > start_ms => Seen::Whole(None),
            None => Seen::InPart,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn trade(trades: &mut OwnTrades, at_ms: u64, price: i64) {
        trades.on_trade(at_ms, Price::from_raw(price), Size::from_raw(1));
    }

    #[test]
    fn a_bar_counts_when_all_of_it_was_seen() {
        let mut own = OwnTrades::new([Interval::M1].into_iter());
        own.on_subscribed(10_000);
        trade(&mut own, 20_000, 5);
        assert_eq!(own.of(Interval::M1, 0, MINUTE - 1), Seen::InPart, "it began before us");
        trade(&mut own, MINUTE, 6);
        trade(&mut own, MINUTE + 1, 4);
        assert_eq!(own.of(Interval::M1, MINUTE, 2 * MINUTE - 1), Seen::SoFar);
        trade(&mut own, 3 * MINUTE, 7);
        let Seen::Whole(Some(bar)) = own.of(Interval::M1, MINUTE, 2 * MINUTE - 1) else { panic!() };
        assert_eq!((bar.open.raw(), bar.low.raw(), bar.close.raw(), bar.num_trades), (6, 4, 4, 2));
        trade(&mut own, 3 * MINUTE + 1, 7);
        assert_eq!(own.of(Interval::M1, 4 * MINUTE, 5 * MINUTE - 1), Seen::SoFar);
        own.on_lost();
        assert_eq!(own.of(Interval::M1, MINUTE, 2 * MINUTE - 1), Seen::InPart);
    }

    #[test]
    fn a_period_without_trades_is_known_to_be_empty_once_a_later_one_has_some() {
        let mut own = OwnTrades::new([Interval::M1].into_iter());
        own.on_subscribed(0);
        trade(&mut own, 1, 5);
        trade(&mut own, 2 * MINUTE + 5, 6);
        assert_eq!(own.of(Interval::M1, MINUTE, 2 * MINUTE - 1), Seen::Whole(None));
    }
}
