//! Symbols of every other kind than perpetuals that trade: stocks, quarterlies, COIN-M, spot, builder dexes, delisted.

use super::instrument::{Contract, Instrument, PriceGrid, Venue, binance, hyperliquid};

/// The builder dexes of Hyperliquid that are simulated, in the venue's order.
pub const DEXES: [(&str, &str); 2] = [("xyz", "XYZ"), ("flx", "Felix")];

/// 2026-12-25 and 2027-03-26, 08:00 UTC.
const CURRENT_QUARTER_MS: i64 = 1_798_185_600_000;
const NEXT_QUARTER_MS: i64 = 1_806_048_000_000;
/// Most decimals of a Hyperliquid spot price, before the size decimals are taken off.
const SPOT_PRICE_DECIMALS: u32 = 8;

fn spot(symbol: &str, index: u32, price_e8: i64, size_decimals: u32) -> Instrument {
    let decimals_max = SPOT_PRICE_DECIMALS - size_decimals;
    let grid = PriceGrid::SignificantFigures { decimals_max };
    Instrument {
        start_price_e8: grid.floor(price_e8),
        grid,
        price_decimals: decimals_max,
        contract: Contract::Spot { index },
        funding_hours: 0,
        ..hyperliquid(symbol, price_e8, size_decimals)
    }
}

/// The base token of a spot pair.
pub fn spot_base(symbol: &str, index: u32) -> String {
    match (symbol, symbol.split_once('/')) {
        (_, Some((base, _))) => base.to_owned(),
        ("@107", None) => "HYPE".to_owned(),
        _ => format!("TOKEN{index}"),
    }
}

/// One of each kind, and some that do not trade.
pub fn other_kinds(venue: Venue, book_levels: usize) -> Vec<Instrument> {
    let built = |dex: &str, name: &str, price_e8| Instrument {
        dex: dex.to_owned(),
        ..hyperliquid(&format!("{dex}:{name}"), price_e8, 3)
    };
    let kind = |contract, funding_hours, instrument| Instrument { contract, funding_hours, ..instrument };
    let delisted = |instrument| Instrument { trading: false, ..instrument };
    let quarterly = |symbol, price_e8, delivery_ms| {
        kind(Contract::Quarterly { delivery_ms }, 0, binance(symbol, price_e8, 10_000_000, 1, 3))
    };
    let mut instruments = match venue {
        Venue::Hyperliquid => vec![
            delisted(hyperliquid("FTM", 70_000_000, 0)),
            built("xyz", "NVDA", 18_250_000_000),
            built("xyz", "SP500", 767_330_000_000),
            delisted(built("xyz", "OLD", 1_000_000_000)),
            built("flx", "TSLA", 41_500_000_000),
            spot("PURR/USDC", 0, 19_000_000, 0),
            spot("@107", 107, 4_120_300_000, 2),
        ],
        Venue::Binance => vec![
            kind(Contract::TradfiPerpetual, 8, binance("NVDAUSDT", 18_250_000_000, 1_000_000, 2, 2)),
            kind(Contract::TradfiPerpetual, 4, binance("XAUUSDT", 405_000_000_000, 1_000_000, 2, 3)),
            quarterly("BTCUSDT_261225", 8_350_000_000_000, CURRENT_QUARTER_MS),
            quarterly("ETHUSDT_270326", 345_000_000_000, NEXT_QUARTER_MS),
            kind(Contract::CoinPerpetual, 8, binance("BTCUSD_PERP", 8_309_000_000_000, 10_000_000, 1, 0)),
            kind(Contract::CoinPerpetual, 8, binance("AAVEUSD_PERP", 21_000_000_000, 1_000_000, 2, 0)),
        ],
    };
    for instrument in &mut instruments {
        instrument.book_levels = book_levels;
    }
    instruments
}
