//! What a symbol is at its venue: name, price grid, lot, and the default lists of both venues.

use crate::decimal::SCALE_E8;
use crate::random::Random;

/// Which venue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Venue {
    /// Hyperliquid.
    Hyperliquid,
    /// Binance USDⓈ-M futures.
    Binance,
}

impl Venue {
    /// The name used in flags, logs and control requests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hyperliquid => "hyperliquid",
            Self::Binance => "binance",
        }
    }
}

/// Which prices are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PriceGrid {
    /// Multiples of one tick (Binance).
    Tick {
        /// The tick.
        tick_e8: i64,
    },
    /// At most five significant figures and this many decimals; whole prices always (Hyperliquid).
    SignificantFigures {
        /// 6 less the size decimals, for perpetuals.
        decimals_max: u32,
    },
}

/// Significant figures of a Hyperliquid price.
const SIGNIFICANT_FIGURES: u32 = 5;

impl PriceGrid {
    /// The distance between neighbouring prices at this price.
    pub fn tick_e8(self, price_e8: i64) -> i64 {
        match self {
            Self::Tick { tick_e8 } => tick_e8,
            Self::SignificantFigures { decimals_max } => {
                let finest = Self::SignificantFigures { decimals_max }.finest_e8();
                let digits = price_e8.max(1).ilog10() + 1;
                let by_figures = 10i64.pow(digits.saturating_sub(SIGNIFICANT_FIGURES));
                finest.max(by_figures.min(SCALE_E8))
            }
        }
    }

    /// All allowed prices are multiples of this.
    pub fn finest_e8(self) -> i64 {
        match self {
            Self::Tick { tick_e8 } => tick_e8,
            Self::SignificantFigures { decimals_max } => SCALE_E8 / 10i64.pow(decimals_max.min(8)),
        }
    }

    /// The allowed price at or below this one.
    pub fn floor(self, price_e8: i64) -> i64 {
        let tick_e8 = self.tick_e8(price_e8);
        price_e8 - price_e8.rem_euclid(tick_e8)
    }

    /// The price this many ticks away; may be zero or less.
    pub fn offset(self, price_e8: i64, ticks: i64) -> i64 {
        if ticks < 0 {
            // Just below a power of ten the tick is finer: one step down is measured there.
            let tick_e8 = self.tick_e8(price_e8 - 1);
            self.floor(price_e8 + ticks * tick_e8)
        } else {
            self.floor(price_e8 + ticks * self.tick_e8(price_e8))
        }
    }
}

/// What kind of contract a symbol is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// A perpetual; on Hyperliquid of the venue's own dex or of a builder's.
    Perpetual,
    /// Binance: a perpetual on a stock or another traditional asset.
    TradfiPerpetual,
    /// Binance: a contract that is delivered at the end of a quarter.
    Quarterly {
        /// When it is delivered.
        delivery_ms: i64,
    },
    /// Binance: a COIN-M perpetual, seen only in merged streams.
    CoinPerpetual,
    /// Hyperliquid: a spot pair, by its index in `spotMeta`.
    Spot {
        /// The index.
        index: u32,
    },
}

/// A symbol of a venue.
#[derive(Clone, Debug)]
pub struct Instrument {
    /// The venue's own name, upper case on Binance, exact case on Hyperliquid.
    pub symbol: String,
    /// False: delisted (Hyperliquid) or settling (Binance); such a symbol has an empty book for ever.
    pub trading: bool,
    /// The price the walk begins at.
    pub start_price_e8: i64,
    /// The allowed prices.
    pub grid: PriceGrid,
    /// Decimals a Binance price is written with.
    pub price_decimals: u32,
    /// Decimals of a size; the lot is 10 to minus this.
    pub size_decimals: u32,
    /// Levels a side the book hovers about.
    pub book_levels: usize,
    /// The kind of contract.
    pub contract: Contract,
    /// Hyperliquid: the builder's dex, empty for the venue's own.
    pub dex: String,
    /// Hours between fundings; 0: it has none.
    pub funding_hours: u32,
}

impl Instrument {
    /// The smallest size.
    pub fn lot_e8(&self) -> i64 {
        SCALE_E8 / 10i64.pow(self.size_decimals.min(8))
    }

    /// The lower-case name Binance's stream names are made of.
    pub fn stream_symbol(&self) -> String {
        self.symbol.to_lowercase()
    }

    /// The base asset of a Binance symbol.
    pub fn base_asset(&self) -> &str {
        self.pair().strip_suffix("USDT").unwrap_or(self.pair())
    }

    /// The pair of a Binance symbol: a quarterly's without its date.
    pub fn pair(&self) -> &str {
        self.symbol.split('_').next().unwrap_or(&self.symbol)
    }
}

/// Hours between fundings at Binance, where nothing else is said.
pub const BINANCE_FUNDING_HOURS: u32 = 8;

/// A Binance symbol: the tick decides the decimals unless more are shown.
pub fn binance(
    symbol: &str,
    price_e8: i64,
    tick_e8: i64,
    price_decimals: u32,
    size_decimals: u32,
) -> Instrument {
    Instrument {
        symbol: symbol.to_owned(),
        trading: true,
        start_price_e8: price_e8 - price_e8 % tick_e8,
        grid: PriceGrid::Tick { tick_e8 },
        price_decimals,
        size_decimals,
        book_levels: 0,
        contract: Contract::Perpetual,
        dex: String::new(),
        funding_hours: BINANCE_FUNDING_HOURS,
    }
}

/// Most decimals of a Hyperliquid perpetual's price, before the size decimals are taken off.
const HYPERLIQUID_PRICE_DECIMALS: u32 = 6;

/// A Hyperliquid perpetual.
pub fn hyperliquid(symbol: &str, price_e8: i64, size_decimals: u32) -> Instrument {
    let grid = PriceGrid::SignificantFigures {
        decimals_max: HYPERLIQUID_PRICE_DECIMALS.saturating_sub(size_decimals),
    };
    Instrument {
        symbol: symbol.to_owned(),
        trading: true,
        start_price_e8: grid.floor(price_e8),
        grid,
        price_decimals: HYPERLIQUID_PRICE_DECIMALS.saturating_sub(size_decimals),
        size_decimals,
        book_levels: 0,
        contract: Contract::Perpetual,
        dex: String::new(),
        funding_hours: 1,
    }
}

/// The first `count` symbols of a venue: the well-known ones first, one that does not trade, then made-up names.
pub fn list(venue: Venue, count: usize, book_levels: usize, seed: u64) -> Vec<Instrument> {
    let mut instruments = match venue {
        Venue::Hyperliquid => vec![
            hyperliquid("BTC", 8_414_300_000_000, 5),
            hyperliquid("ETH", 340_050_000_000, 4),
            hyperliquid("SOL", 18_342_000_000, 2),
            hyperliquid("kPEPE", 441_100, 0),
            Instrument { trading: false, ..hyperliquid("MATIC", 37_000_000, 1) },
        ],
        Venue::Binance => vec![
            binance("BTCUSDT", 8_309_160_000_000, 10_000_000, 2, 3),
            binance("ETHUSDT", 340_050_000_000, 1_000_000, 2, 3),
            binance("SOLUSDT", 18_342_000_000, 1_000_000, 4, 0),
            Instrument { funding_hours: 4, ..binance("1000PEPEUSDT", 1_102_300, 10, 7, 0) },
            Instrument { trading: false, ..binance("LUNAUSDT", 50_000_000, 10_000, 4, 0) },
            Instrument { funding_hours: 1, ..binance("币安人生USDT", 12_345_000, 1_000, 5, 0) },
        ],
    };
    let mut random = Random::seeded(seed, 0x11_57);
    for number in instruments.len()..count {
        // Prices from a thousandth to a thousand, sizes as coarse as the price allows.
        let price_e8 = random.log_uniform(100_000, 100_000_000_000) as i64;
        let figures_tick_e8 = 10i64.pow((price_e8.ilog10() + 1).saturating_sub(5));
        instruments.push(match venue {
            Venue::Hyperliquid => {
                let size_decimals = if price_e8 > 10 * SCALE_E8 { 2 } else { 0 };
                hyperliquid(&format!("SIM{number}"), price_e8, size_decimals)
            }
            Venue::Binance => {
                let decimals = 8 - figures_tick_e8.ilog10();
                binance(&format!("SIM{number}USDT"), price_e8, figures_tick_e8, decimals, 0)
            }
        });
    }
    instruments.truncate(count.max(1));
    for instrument in &mut instruments {
        instrument.book_levels = book_levels;
    }
    instruments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hyperliquid_ticks_are_those_of_the_venue() {
        let tick = |price, size_decimals| hyperliquid("X", price, size_decimals).grid.tick_e8(price);
        assert_eq!(tick(8_414_300_000_000, 5), SCALE_E8, "BTC 84143 moves by 1");
        assert_eq!(tick(340_050_000_000, 4), SCALE_E8 / 10, "ETH 3400.5 moves by 0.1");
        assert_eq!(tick(441_100, 0), 100, "kPEPE 0.004411 moves by 0.000001");
        assert_eq!(tick(12_345_600_000_000, 5), SCALE_E8, "whole prices are always allowed");
    }

    #[test]
    fn steps_cross_a_power_of_ten_both_ways() {
        let grid = PriceGrid::SignificantFigures { decimals_max: 4 };
        let thousand = 1000 * SCALE_E8;
        assert_eq!(grid.offset(thousand, 1), thousand + SCALE_E8 / 10);
        assert_eq!(grid.offset(thousand, -1), thousand - SCALE_E8 / 100);
    }

    #[test]
    fn lists_are_as_long_as_asked_and_lie_on_the_grid() {
        for venue in [Venue::Hyperliquid, Venue::Binance] {
            let list = list(venue, 300, 100, 1);
            assert_eq!(list.len(), 300);
            for instrument in list {
                assert_eq!(instrument.grid.floor(instrument.start_price_e8), instrument.start_price_e8);
                assert!(instrument.start_price_e8 > 0);
            }
        }
    }
}
