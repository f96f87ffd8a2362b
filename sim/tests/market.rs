//! The market's truth holds together: books, quotes, trades and history agree at every change, whatever the seed.

mod common;

use common::NaiveBook;
use proptest::prelude::*;
use sim::market::{MarketEvent, PriceGrid};
use sim::{Aggressor, Market, MarketConfig, MarketHandle, SimError, Venue};

const START_MS: i64 = 1_790_000_000_000;

fn small(venue: Venue) -> MarketConfig {
    MarketConfig { book_levels: 80, rate_per_s: 200.0, ..MarketConfig::of(venue) }
}

fn run(venue: Venue, seed: u64, steps_ms: &[i64]) -> (Market, Vec<MarketEvent>) {
    let mut market = Market::new(venue, &small(venue), seed, START_MS);
    let (mut now_ms, mut events) = (START_MS, Vec::new());
    for step_ms in steps_ms {
        now_ms += step_ms;
        market.step(now_ms, &mut events);
    }
    (market, events)
}

/// Replays a symbol's changes one by one over its first book and checks everything there is to know.
fn check_symbol(market: &MarketHandle, symbol: &str, grid: PriceGrid, lot_e8: i64) {
    let (oldest, newest) = market.update_id_window(symbol).expect("a window");
    let mut book = NaiveBook::from_truth(&market.truth_at_update_id(symbol, oldest).expect("the first book"));
    let changes = market.changes(symbol).expect("changes");
    let trades = market.trades(symbol).expect("trades");
    let quotes = market.quotes(symbol).expect("quotes");
    let (mut next_trade, mut next_quote) = (0, 1);
    let mut last_id = oldest;
    for (at, change) in changes.iter().enumerate() {
        assert!(change.update_id > last_id, "ids ascend");
        last_id = change.update_id;
        let before = book.best();
        if let Some(trade) = trades.get(next_trade).filter(|trade| trade.update_id == change.update_id) {
            next_trade += 1;
            let (bid, ask) = before;
            let best = if trade.aggressor == Aggressor::Buy { ask } else { bid };
            let (price_e8, size_e8) = best.expect("somebody to trade with");
            assert_eq!(trade.price_e8, price_e8, "a trade takes the best");
            assert_eq!(change.level.size_e8, size_e8 - trade.visible_size_e8, "and exactly what it says");
            assert!(trade.size_e8 >= trade.visible_size_e8 && trade.visible_size_e8 > 0);
            assert_eq!(trade.time_ms, change.time_ms);
        }
        let side = if change.side == sim::Side::Bid { &mut book.bids } else { &mut book.asks };
        if change.level.size_e8 == 0 {
            assert!(side.remove(&change.level.price_e8).is_some(), "only what is there is removed");
        } else {
            side.insert(change.level.price_e8, change.level.size_e8);
            assert_eq!(grid.floor(change.level.price_e8), change.level.price_e8, "prices lie on the grid");
            assert_eq!(change.level.size_e8 % lot_e8, 0, "sizes are whole lots");
        }
        let (bid, ask) = book.best();
        assert!(bid.expect("a bid").0 < ask.expect("an ask").0, "never crossed");
        if let Some(quote) = quotes.get(next_quote).filter(|quote| quote.update_id == change.update_id) {
            next_quote += 1;
            let pair = |level: sim::Level| (level.price_e8, level.size_e8);
            assert_eq!((quote.bid.map(pair), quote.ask.map(pair)), (bid, ask), "a quote is the top");
        } else {
            assert_eq!((bid, ask), before, "no change of the best without a quote");
        }
        if at % 97 == 0 {
            let truth = market.truth_at_update_id(symbol, change.update_id).expect("a true book");
            assert_eq!(NaiveBook::from_truth(&truth), book);
            assert_eq!((truth.update_id, truth.time_ms), (change.update_id, change.time_ms));
            let later = changes.get(at + 1).map_or(i64::MAX, |next| next.time_ms);
            if later > change.time_ms {
                let truth = market.truth_at_time(symbol, change.time_ms).expect("a true book");
                assert_eq!(NaiveBook::from_truth(&truth), book);
            }
            let quote = market.quote_at_update_id(symbol, change.update_id).expect("a quote");
            assert_eq!(quote.bid.map(|level| level.price_e8), bid.map(|(price, _)| price));
        }
    }
    assert_eq!(
        (next_trade, next_quote),
        (trades.len(), quotes.len()),
        "no trade or quote without its change"
    );
    assert!(last_id <= newest);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn books_quotes_and_trades_agree(seed in any::<u64>(), hyperliquid in any::<bool>()) {
        let venue = if hyperliquid { Venue::Hyperliquid } else { Venue::Binance };
        let (market, _) = run(venue, seed, &[10_000]);
        let instruments: Vec<_> = market.instruments().cloned().collect();
        let market = MarketHandle::new(market);
        for instrument in instruments.iter().filter(|instrument| instrument.trading) {
            check_symbol(&market, &instrument.symbol, instrument.grid, instrument.lot_e8());
        }
    }

    #[test]
    fn how_the_steps_are_cut_changes_nothing(seed in any::<u64>(), cuts in prop::collection::vec(1i64..900, 1..20)) {
        let whole = cuts.iter().sum();
        let (_, at_once) = run(Venue::Binance, seed, &[whole]);
        let (_, in_pieces) = run(Venue::Binance, seed, &cuts);
        prop_assert_eq!(at_once, in_pieces);
    }
}

#[test]
fn a_symbol_that_does_not_trade_has_an_empty_book() {
    let (market, _) = run(Venue::Hyperliquid, 1, &[5_000]);
    let truth = MarketHandle::new(market).truth_at_time("MATIC", START_MS + 4_000).expect("a book");
    assert!(truth.bids.is_empty() && truth.asks.is_empty());
}

#[test]
fn hyperliquid_changes_only_at_blocks() {
    let (market, _) = run(Venue::Hyperliquid, 1, &[5_000]);
    let block_ms = MarketConfig::of(Venue::Hyperliquid).block_ms;
    let changes = MarketHandle::new(market).changes("BTC").expect("changes");
    assert!(changes.len() > 100 && changes.iter().all(|change| change.time_ms % block_ms == 0));
}

#[test]
fn binance_trade_ids_have_no_hole_and_update_ids_nearly_always_do() {
    let (market, _) = run(Venue::Binance, 5, &[60_000]);
    let market = MarketHandle::new(market);
    let trades = market.trades("BTCUSDT").expect("trades");
    assert!(trades.len() > 100);
    for pair in trades.windows(2) {
        assert_eq!(pair[1].id, pair[0].id + 1);
        let placeholders = u64::from(pair[1].placeholders);
        assert_eq!(pair[1].first_trade_id, pair[0].last_trade_id + 1 + placeholders);
    }
    let changes = market.changes("BTCUSDT").expect("changes");
    let adjacent = changes.windows(2).filter(|pair| pair[1].update_id == pair[0].update_id + 1).count();
    assert!(adjacent * 20 < changes.len(), "{adjacent} of {}", changes.len());
}

#[test]
fn half_of_all_changes_are_far_from_the_best() {
    let config = MarketConfig { book_levels: 1500, symbols: 1, ..MarketConfig::of(Venue::Binance) };
    let mut market = Market::new(Venue::Binance, &config, 3, START_MS);
    market.step(START_MS + 60_000, &mut Vec::new());
    assert!(market.book(0).depth(sim::Side::Bid) > 1000 && market.book(0).depth(sim::Side::Ask) > 1000);
    let market = MarketHandle::new(market);
    let changes = market.changes("BTCUSDT").expect("changes");
    let (oldest, _) = market.update_id_window("BTCUSDT").expect("a window");
    let mut book = NaiveBook::from_truth(&market.truth_at_update_id("BTCUSDT", oldest).expect("a book"));
    let mut far = 0;
    for change in &changes {
        let price = change.level.price_e8;
        let (side, better) = if change.side == sim::Side::Bid {
            let better = book.bids.range(price + 1..).count();
            (&mut book.bids, better)
        } else {
            let better = book.asks.range(..price).count();
            (&mut book.asks, better)
        };
        far += usize::from(better >= 150);
        side.insert(price, change.level.size_e8);
        if change.level.size_e8 == 0 {
            side.remove(&price);
        }
    }
    let share = far as f64 / changes.len() as f64;
    assert!((0.35..0.6).contains(&share), "{share}");
}

#[test]
fn what_lies_outside_the_window_is_a_clear_error() {
    let config = MarketConfig { retention_ms: 5_000, rate_per_s: 2_000.0, ..small(Venue::Binance) };
    let mut market = Market::new(Venue::Binance, &config, 3, START_MS);
    market.step(START_MS + 60_000, &mut Vec::new());
    let market = MarketHandle::new(market);
    let outside = |result: Result<_, SimError>| matches!(result, Err(SimError::OutsideWindow { .. }));
    assert!(outside(market.truth_at_time("BTCUSDT", START_MS)));
    assert!(outside(market.truth_at_update_id("BTCUSDT", 1)));
    assert!(matches!(
        market.trades_between("BTCUSDT", START_MS, i64::MAX),
        Err(SimError::OutsideWindow { .. })
    ));
    let too_far = market.truth_at_time("BTCUSDT", START_MS + 60_001);
    assert!(matches!(too_far, Err(SimError::NotReached { .. })));
    assert!(matches!(market.trades("NOPE"), Err(SimError::UnknownSymbol(_))));
    let known = market.truth_at_time("BTCUSDT", START_MS + 56_000).expect("within the window");
    assert!(known.time_ms <= START_MS + 56_000);
}
