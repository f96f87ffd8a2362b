//! Binance's stream names: what they mean and through which door they come.

use crate::market::Interval;
use crate::protocol::Route;

/// What a stream of one symbol carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Changes of the book, by the index of the speed.
    Depth(usize),
    /// The best levels, by the index of the count and of the speed.
    PartialDepth(usize, usize),
    /// The best bid and ask.
    BookTicker,
    /// Trades merged per taker order and price.
    AggTrade,
    /// Single trades (undocumented).
    Trade,
    /// The mark price every second, or every three.
    MarkPrice {
        /// Every second.
        every_second: bool,
    },
    /// Candles; this venue has every interval.
    Kline(Interval),
    /// A stream that exists but is not simulated; acknowledged, and silent.
    Unsimulated(Route),
}

/// A stream of all symbols together, COIN-M contracts among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AllSymbols {
    /// `!bookTicker`: every five seconds.
    BookTicker,
    /// `!markPrice@arr`, every second or every three.
    MarkPrice {
        /// Every second.
        every_second: bool,
    },
    /// `!contractInfo`
    ContractInfo,
}

impl AllSymbols {
    /// Every one of them.
    const ALL: [Self; 4] = [
        Self::BookTicker,
        Self::MarkPrice { every_second: true },
        Self::MarkPrice { every_second: false },
        Self::ContractInfo,
    ];

    /// The stream's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::BookTicker => "!bookTicker",
            Self::MarkPrice { every_second: true } => "!markPrice@arr@1s",
            Self::MarkPrice { every_second: false } => "!markPrice@arr",
            Self::ContractInfo => "!contractInfo",
        }
    }

    /// The door it comes through.
    pub fn route(self) -> Route {
        if self == Self::BookTicker { Route::Public } else { Route::Market }
    }

    /// The stream of a name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stream| stream.name() == name)
    }
}

/// The speeds of depth streams: the suffix, and the time between events (`@0ms` came every 51 ms in 2024).
pub const DEPTH_SPEEDS: [(&str, i64); 4] = [("@0ms", 50), ("@100ms", 100), ("", 250), ("@500ms", 500)];
/// The counts of partial depth streams.
pub const PARTIAL_LEVELS: [usize; 3] = [5, 10, 20];

const PARTIAL_BASE: usize = DEPTH_SPEEDS.len();
const SINGLE_BASE: usize = PARTIAL_BASE + PARTIAL_LEVELS.len() * DEPTH_SPEEDS.len();
const KLINE_BASE: usize = SINGLE_BASE + 5;

impl Kind {
    /// How many kinds have an index.
    pub const COUNT: usize = KLINE_BASE + Interval::COUNT;

    /// A small number of its own for each kind that is simulated.
    pub fn index(self) -> Option<usize> {
        Some(match self {
            Self::Depth(speed) => speed,
            Self::PartialDepth(count, speed) => PARTIAL_BASE + count * DEPTH_SPEEDS.len() + speed,
            Self::BookTicker => SINGLE_BASE,
            Self::AggTrade => SINGLE_BASE + 1,
            Self::Trade => SINGLE_BASE + 2,
            Self::MarkPrice { every_second } => SINGLE_BASE + 3 + usize::from(every_second),
            Self::Kline(interval) => KLINE_BASE + interval.index(),
            Self::Unsimulated(_) => return None,
        })
    }

    /// The door it comes through; on the other one it is silent.
    pub fn route(self) -> Route {
        match self {
            Self::Depth(_) | Self::PartialDepth(..) | Self::BookTicker | Self::Trade => Route::Public,
            Self::AggTrade | Self::MarkPrice { .. } | Self::Kline(_) => Route::Market,
            Self::Unsimulated(route) => route,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let speed = |suffix: &str| DEPTH_SPEEDS.iter().position(|(name, _)| *name == suffix);
        match text {
            "bookTicker" => return Some(Self::BookTicker),
            "aggTrade" => return Some(Self::AggTrade),
            "trade" => return Some(Self::Trade),
            "markPrice" => return Some(Self::MarkPrice { every_second: false }),
            "markPrice@1s" => return Some(Self::MarkPrice { every_second: true }),
            "ticker" | "miniTicker" | "forceOrder" | "compositeIndex" => {
                return Some(Self::Unsimulated(Route::Market));
            }
            "rpiDepth@500ms" => return Some(Self::Unsimulated(Route::Public)),
            _ => {}
        }
        if let Some(interval) = text.strip_prefix("kline_") {
            return Interval::from_name(interval).map(Self::Kline);
        }
        let rest = text.strip_prefix("depth")?;
        if let Some(speed) = speed(rest) {
            return Some(Self::Depth(speed));
        }
        let digits = rest.find('@').unwrap_or(rest.len());
        let count: usize = rest[..digits].parse().ok()?;
        let count = PARTIAL_LEVELS.iter().position(|levels| *levels == count)?;
        // There is no partial depth at 0 ms.
        speed(&rest[digits..]).filter(|speed| *speed != 0).map(|speed| Self::PartialDepth(count, speed))
    }
}

/// Splits a stream name into its symbol (lower case as it stands) and kind; `None` if there is no such stream.
pub fn parse(name: &str) -> Option<(&str, Kind)> {
    let (symbol, kind) = name.split_once('@')?;
    Some((symbol, Kind::parse(kind)?))
}

/// The names of all diff depth streams of a symbol.
pub fn depth_names(stream_symbol: &str) -> impl Iterator<Item = String> {
    DEPTH_SPEEDS.iter().map(move |(suffix, _)| format!("{stream_symbol}@depth{suffix}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_have_their_meaning_and_door() {
        assert_eq!(parse("btcusdt@depth"), Some(("btcusdt", Kind::Depth(2))));
        assert_eq!(parse("btcusdt@depth@100ms"), Some(("btcusdt", Kind::Depth(1))));
        assert_eq!(parse("btcusdt@depth20@500ms"), Some(("btcusdt", Kind::PartialDepth(2, 3))));
        assert_eq!(parse("币安人生usdt@bookTicker"), Some(("币安人生usdt", Kind::BookTicker)));
        assert_eq!(parse("btcusdt@kline_1M"), Some(("btcusdt", Kind::Kline(Interval::Month1))));
        for misspelt in
            ["btcusdt", "btcusdt@bookticker", "btcusdt@depth7", "btcusdt@depth@1ms", "x@depth5@0ms"]
        {
            assert_eq!(parse(misspelt), None, "{misspelt}");
        }
        let route = |name| parse(name).map(|(_, kind)| kind.route());
        assert_eq!(route("x@trade"), Some(Route::Public));
        assert_eq!(route("x@aggTrade"), Some(Route::Market));
        assert_eq!(route("x@forceOrder"), Some(Route::Market));
    }

    #[test]
    fn every_kind_has_its_own_index() {
        let mut names: Vec<String> = depth_names("x").collect();
        for suffix in ["@100ms", "", "@500ms"] {
            names.extend(PARTIAL_LEVELS.iter().map(|levels| format!("x@depth{levels}{suffix}")));
        }
        names.extend(Interval::all().map(|interval| format!("x@kline_{}", interval.name())));
        names.extend(
            ["bookTicker", "aggTrade", "trade", "markPrice", "markPrice@1s"].map(|kind| format!("x@{kind}")),
        );
        let indexes: HashSet<usize> =
            names.iter().filter_map(|name| parse(name)).filter_map(|(_, kind)| kind.index()).collect();
        assert_eq!(indexes.len(), names.len());
        assert!(indexes.iter().all(|index| *index < Kind::COUNT));
    }
}
