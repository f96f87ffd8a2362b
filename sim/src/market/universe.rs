//! Names for many made-up symbols, as a venue's list has them, ordered by turnover.

use super::instrument::{Instrument, Venue};
use crate::random::Random;
use std::collections::HashSet;

/// Well-known assets that come before the made-up ones.
const KNOWN: [&str; 40] = [
    "XRP", "DOGE", "BNB", "ADA", "SUI", "LINK", "AVAX", "LTC", "HYPE", "TRX", "DOT", "NEAR", "UNI", "AAVE",
    "APT", "ARB", "OP", "FIL", "ATOM", "INJ", "TIA", "SEI", "WLD", "ENA", "ONDO", "JUP", "PENDLE", "LDO",
    "CRV", "ETC", "BCH", "XLM", "ALGO", "ICP", "RUNE", "GALA", "FET", "TAO", "KAS", "STX",
];
const BEGINNINGS: [&str; 16] =
    ["A", "BO", "CY", "DE", "E", "FL", "GRO", "HA", "I", "KO", "LU", "MA", "NE", "O", "PI", "ZE"];
const MIDDLES: [&str; 14] =
    ["", "LA", "RI", "TO", "NU", "VE", "XA", "MI", "SO", "BE", "DA", "GI", "KU", "PO"];
const ENDS: [&str; 12] = ["X", "N", "RA", "TIC", "M", "LO", "S", "DEX", "K", "Y", "VI", "Z"];

/// Gives every numbered symbol a name of its own, by the seed.
pub fn rename(venue: Venue, instruments: &mut [Instrument], seed: u64) {
    let mut random = Random::seeded(seed, 0x4A_3E5);
    let mut taken: HashSet<String> = instruments.iter().map(|one| one.symbol.clone()).collect();
    let mut known = KNOWN.iter();
    for instrument in instruments.iter_mut().filter(|one| one.symbol.starts_with("SIM")) {
        let symbol = loop {
            let base = match known.next() {
                Some(known) => (*known).to_owned(),
                None => made_up(venue, &mut random),
            };
            let symbol = if venue == Venue::Binance { format!("{base}USDT") } else { base };
            if taken.insert(symbol.clone()) {
                break symbol;
            }
        };
        instrument.symbol = symbol;
    }
}

fn made_up(venue: Venue, random: &mut Random) -> String {
    let mut pick = |parts: &[&'static str]| parts[random.index(parts.len())];
    let name = [pick(&BEGINNINGS), pick(&MIDDLES), pick(&MIDDLES), pick(&ENDS)].concat();
    // Cheap tokens are counted by the thousand.
    match (venue, random.below(20)) {
        (Venue::Binance, 0) => format!("1000{name}"),
        (Venue::Hyperliquid, 0) => format!("k{name}"),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::list;

    #[test]
    fn every_symbol_has_a_name_and_no_two_the_same() {
        for venue in [Venue::Binance, Venue::Hyperliquid] {
            let mut instruments = list(venue, 2_000, 30, 9);
            rename(venue, &mut instruments, 9);
            let names: HashSet<&str> = instruments.iter().map(|one| one.symbol.as_str()).collect();
            assert_eq!(names.len(), 2_000);
            assert!(names.iter().all(|name| !name.starts_with("SIM")));
        }
    }
}
