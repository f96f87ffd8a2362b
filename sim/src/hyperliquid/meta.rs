//! The JSON of what Hyperliquid lists: perpetuals by dex, spot pairs and their tokens, the dexes themselves.

use super::context;
use crate::market::{Contract, DEXES, Instrument, Market, spot_base};

/// The answer to `meta`: the perpetuals of a dex.
pub fn meta<'a>(instruments: impl Iterator<Item = &'a Instrument>, dex: &str) -> String {
    let universe: Vec<String> = instruments
        .filter(|instrument| instrument.contract == Contract::Perpetual && instrument.dex == dex)
        .map(|instrument| {
            let Instrument { symbol, size_decimals, .. } = instrument;
            let delisted = if instrument.trading { "" } else { r#","isDelisted":true"# };
            format!(
                r#"{{"szDecimals":{size_decimals},"name":"{symbol}","maxLeverage":40,"marginTableId":56{delisted}}}"#
            )
        })
        .collect();
    format!(
        r#"{{"universe":[{}],"marginTables":[[56,{{"description":"tiered 40x","marginTiers":[{{"lowerBound":"0.0","maxLeverage":40}}]}}]],"collateralToken":0}}"#,
        universe.join(",")
    )
}

/// The answer to `perpDexs`: the venue's own dex is null.
pub fn dexes(market: &Market) -> String {
    let row = |dex: String| {
        let full = DEXES.iter().find(|(name, _)| *name == dex).map_or(dex.as_str(), |(_, full)| full);
        format!(
            r#"{{"name":"{dex}","fullName":"{full}","deployer":"0x88806a71d74ad0a510b350545c9ae490912f0888","oracleUpdater":null,"feeRecipient":null}}"#
        )
    };
    let rows: Vec<String> = context::dexes(market).into_iter().skip(1).map(row).collect();
    let rest: String = rows.iter().map(|row| format!(",{row}")).collect();
    format!("[null{rest}]")
}

/// The answer to `allPerpMetas`.
pub fn all(market: &Market) -> String {
    let metas: Vec<String> =
        context::dexes(market).iter().map(|dex| meta(market.instruments(), dex)).collect();
    format!("[{}]", metas.join(","))
}

/// One token of `spotMeta`.
fn token(name: &str, index: u32, size_decimals: u32) -> String {
    format!(
        r#"{{"name":"{name}","szDecimals":{size_decimals},"weiDecimals":8,"index":{index},"tokenId":"0x{index:032x}","isCanonical":true,"evmContract":null,"fullName":null,"deployerTradingFeeShare":"0.0"}}"#
    )
}

/// The answer to `spotMeta`. Tokens are numbered by the pair they are the base of, after the quote token.
pub fn spot<'a>(instruments: impl Iterator<Item = &'a Instrument>) -> String {
    const QUOTE_SIZE_DECIMALS: u32 = 8;
    let mut tokens = vec![token("USDC", 0, QUOTE_SIZE_DECIMALS)];
    let mut universe = Vec::new();
    for instrument in instruments {
        let Contract::Spot { index } = instrument.contract else { continue };
        let (symbol, base) = (&instrument.symbol, index + 1);
        let canonical = symbol.contains('/');
        tokens.push(token(&spot_base(symbol, index), base, instrument.size_decimals));
        universe.push(format!(
            r#"{{"tokens":[{base},0],"name":"{symbol}","index":{index},"isCanonical":{canonical}}}"#
        ));
    }
    format!(r#"{{"universe":[{}],"tokens":[{}]}}"#, universe.join(","), tokens.join(","))
}

/// The contexts of the spot pairs, in the order of `spotMeta`.
pub fn spot_contexts(market: &Market) -> String {
    let is_spot = |coin: &usize| matches!(market.instrument(*coin).contract, Contract::Spot { .. });
    let contexts: Vec<String> =
        (0..market.symbol_count()).filter(is_spot).map(|coin| context::context(market, coin)).collect();
    format!("[{}]", contexts.join(","))
}
