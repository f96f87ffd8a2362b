//! The random life of one symbol's market: orders come and go at every depth, takers trade against the best.
//!
//! It promises: the book is never crossed; a quote is made at every change of the best, and only then; a trade
//! takes exactly what it takes from the best level of its moment. It owns no clock: time comes in with each event.

use super::accounts::NewFill;
use super::book::{Book, Level, Side};
use super::candles::Candles;
use super::funding::Funding;
use super::history::{Aggressor, Change, History, Quote, Trade};
use super::instrument::{Instrument, Venue};
use super::interval::MINUTE_MS;
use super::past::Past;
use super::{Ids, MarketConfig, MarketEvent};
use crate::decimal::SCALE_E8;
use crate::limits::BOOK_LEVELS_MIN;
use crate::random::Random;

/// What share of events happen where. On the real BTCUSDT capture half of all changes are more than 224 levels
/// away from the best; trades are about 15 % of messages there, but most of those share a change.
const DEEP_SHARE: f64 = 0.50;
const NEAR_SHARE: f64 = 0.25;
/// The first rank that counts as deep, where the book has that many.
const DEEP_RANK: usize = 200;
const NEAR_RANK: usize = 50;
/// The value a typical level holds, in units of the quote currency.
const LEVEL_VALUE: f64 = 12_000.0;
/// … but not more than a billion: near the lowest price there is, sizes would leave their range.
const LEVEL_SIZE_MEAN_MAX_E8: f64 = 1e17;
/// The relative step of the hidden fair price an event makes.
const FAIR_STEP: f64 = 3e-6;
/// Levels a single taker order may sweep.
const SWEEP_LEVELS_MAX: u64 = 4;
/// Share of taker orders that also fill against hidden retail orders.
const RETAIL_SHARE: f64 = 0.03;
/// Share of Binance trade ids used up by placeholders (0.3 to 1.2 % measured).
const PLACEHOLDER_SHARE: f64 = 0.008;
/// Hyperliquid trade ids are below 2 to this power.
const TID_BITS: u32 = 50;
/// Orders at a level, at most, as the model makes them.
const ORDERS_MAX: u64 = 24;

/// One symbol: its book, its history and its dice.
pub struct SymbolMarket {
    /// What it is.
    pub instrument: Instrument,
    /// The book now.
    pub book: Book,
    /// What it was.
    pub history: History,
    /// Its candles, those before the simulation's start too.
    pub candles: Candles,
    /// Its funding.
    pub funding: Funding,
    /// The id of its last change.
    pub last_update_id: u64,
    symbol: usize,
    venue: Venue,
    random: Random,
    fair_e8: f64,
    next_trade_id: u64,
    next_aggregate_id: u64,
    trade_share: f64,
    /// Nobody trades before this time.
    no_trades_until_ms: i64,
}

/// The moment of an event, and where its traces go.
pub struct Moment<'a> {
    /// When.
    pub time_ms: i64,
    /// The venue-wide ids.
    pub ids: &'a mut Ids,
    /// What subscribers may be told.
    pub events: &'a mut Vec<MarketEvent>,
}

impl SymbolMarket {
    /// A symbol with a full book around the price its past ends with.
    pub fn new(
        venue: Venue,
        symbol: usize,
        instrument: Instrument,
        seed: u64,
        start: (u64, i64),
        config: &MarketConfig,
    ) -> Self {
        let past = instrument.trading.then(|| Past::new(venue, symbol, &instrument, seed));
        Self::with_past(venue, symbol, instrument, past, seed, start, config)
    }

    /// A symbol that begins now, at its start price.
    pub fn newly_listed(
        venue: Venue,
        symbol: usize,
        instrument: Instrument,
        seed: u64,
        start: (u64, i64),
        config: &MarketConfig,
    ) -> Self {
        Self::with_past(venue, symbol, instrument, None, seed, start, config)
    }

    fn with_past(
        venue: Venue,
        symbol: usize,
        mut instrument: Instrument,
        past: Option<Past>,
        seed: u64,
        start: (u64, i64),
        config: &MarketConfig,
    ) -> Self {
        let (update_id, start_ms) = start;
        if let Some(past) = &past {
            instrument.start_price_e8 = past.price_before(start_ms - start_ms.rem_euclid(MINUTE_MS));
        }
        let first_trade_id = past.as_ref().map_or(1, |past| past.id_after(start_ms));
        let unit_e8 = if venue == Venue::Binance { 1 } else { instrument.grid.finest_e8() };
        let funding = Funding::new(seed, &instrument.symbol, instrument.funding_hours, unit_e8);
        let candles = Candles::new(venue, past, start_ms, config.past_periods, config.candle_minutes);
        let mut random = Random::seeded(seed, symbol as u64 + 1);
        let book = if instrument.trading { first_book(&instrument, &mut random) } else { Book::default() };
        let mut history = History::new(&book, update_id, start_ms, config);
        let (bid, ask) = (book.best(Side::Bid), book.best(Side::Ask));
        history.push_quote(Quote { update_id, time_ms: start_ms, bid, ask });
        let fair_e8 = book.mid_e8().unwrap_or(instrument.start_price_e8) as f64;
        let next_aggregate_id = 2_000_000_000 + random.below(1_000_000_000);
        Self {
            instrument,
            book,
            history,
            candles,
            funding,
            last_update_id: update_id,
            symbol,
            venue,
            random,
            fair_e8,
            next_trade_id: first_trade_id,
            next_aggregate_id,
            trade_share: config.trade_share,
            no_trades_until_ms: i64::MIN,
        }
    }

    /// How long until the next event, in microseconds, at this rate.
    pub fn pause_us(&mut self, rate_per_s: f64) -> i64 {
        (self.random.exponential(1e6 / rate_per_s) as i64).max(1)
    }

    /// Lets one thing happen.
    pub fn event(&mut self, moment: &mut Moment) {
        let drift = self.random.normal() * FAIR_STEP;
        self.fair_e8 = (self.fair_e8 * (1.0 + drift)).max(self.instrument.start_price_e8 as f64 / 4.0);
        let kind = self.random.unit();
        let side = if self.random.chance(0.5) { Side::Bid } else { Side::Ask };
        let takes = kind >= 1.0 - self.trade_share;
        if takes && moment.time_ms >= self.no_trades_until_ms {
            self.take(moment);
        } else if kind < DEEP_SHARE {
            let depth = self.book.depth(side);
            let rank = self.random.log_uniform(DEEP_RANK.min(depth / 2), depth);
            self.churn(side, rank, moment);
        } else if kind < DEEP_SHARE + NEAR_SHARE {
            let rank = 1 + self.random.index(NEAR_RANK);
            self.churn(side, rank, moment);
        } else {
            self.change_best(side, moment);
        }
    }

    /// Lets nobody trade before a time.
    pub fn stop_trades(&mut self, until_ms: i64) {
        self.no_trades_until_ms = until_ms;
    }

    /// Takes every order out of the book, or those that lie on no price of the grid.
    pub fn clear(&mut self, all: bool, moment: &mut Moment) {
        for side in [Side::Bid, Side::Ask] {
            let levels: Vec<Level> = self.book.levels(side).copied().collect();
            for level in levels {
                if all || self.instrument.grid.floor(level.price_e8) != level.price_e8 {
                    self.set(side, Level { size_e8: 0, orders: 0, ..level }, moment);
                }
            }
        }
    }

    /// Puts orders outside of those there are, up to the usual depth.
    pub fn refill(&mut self, moment: &mut Moment) {
        let target = self.instrument.book_levels.max(BOOK_LEVELS_MIN + 1);
        for side in [Side::Bid, Side::Ask] {
            let worst = self.book.levels(side).last().map(|level| level.price_e8);
            let other = self.book.best(side.opposite()).map(|level| level.price_e8);
            let mut price_e8 = worst.or(other).unwrap_or(self.instrument.start_price_e8);
            while self.book.depth(side) < target && price_e8 > 0 {
                price_e8 = self.instrument.grid.offset(price_e8, -side.better());
                self.place(side, price_e8, moment);
            }
        }
    }

    /// An order comes, goes or changes at some depth, never at the best itself.
    fn churn(&mut self, side: Side, rank: usize, moment: &mut Moment) {
        let depth = self.book.depth(side);
        let Some(level) = self.book.rank(side, rank.clamp(1, depth.saturating_sub(1).max(1))) else { return };
        let target = self.instrument.book_levels;
        // New levels and removals balance at the target depth.
        let insert_share = if depth < target { 0.35 } else { 0.20 };
        let kind = self.random.unit();
        if kind < insert_share {
            let away = 1 + self.random.below(3) as i64;
            let price_e8 = self.instrument.grid.offset(level.price_e8, -side.better() * away);
            if price_e8 > 0 && self.book.at(side, price_e8).is_none() {
                self.place(side, price_e8, moment);
                return;
            }
        } else if kind < insert_share + 0.25 && depth > BOOK_LEVELS_MIN {
            self.set(side, Level { size_e8: 0, orders: 0, ..level }, moment);
            return;
        }
        self.place(side, level.price_e8, moment);
    }

    /// The best level changes its size, gets a better one before it, or goes away: the quote moves to the fair price.
    fn change_best(&mut self, side: Side, moment: &mut Moment) {
        let (Some(bid), Some(ask)) = (self.book.best(Side::Bid), self.book.best(Side::Ask)) else { return };
        let grid = self.instrument.grid;
        let pressure = self.pressure(bid, ask);
        let upward = if pressure.abs() > 0.1 { pressure > 0.0 } else { side == Side::Bid };
        let room = grid.offset(bid.price_e8, 1) < ask.price_e8;
        if room && self.random.chance(0.6) {
            let (side, price_e8) = if upward {
                (Side::Bid, grid.offset(bid.price_e8, 1))
            } else {
                (Side::Ask, grid.offset(ask.price_e8, -1))
            };
            self.place(side, price_e8, moment);
        } else if pressure.abs() > 0.3 && self.random.chance(pressure.abs()) {
            let (gone, side) = if upward { (ask, Side::Ask) } else { (bid, Side::Bid) };
            if self.book.depth(side) > BOOK_LEVELS_MIN {
                self.set(side, Level { size_e8: 0, orders: 0, ..gone }, moment);
            }
        } else {
            let best = if side == Side::Bid { bid } else { ask };
            self.place(side, best.price_e8, moment);
        }
    }

    /// A taker order trades against the best levels of one side.
    fn take(&mut self, moment: &mut Moment) {
        let (Some(bid), Some(ask)) = (self.book.best(Side::Bid), self.book.best(Side::Ask)) else { return };
        let buys = self.random.chance(0.5 + 0.4 * self.pressure(bid, ask));
        let (aggressor, side) = if buys { (Aggressor::Buy, Side::Ask) } else { (Aggressor::Sell, Side::Bid) };
        let order_id = self.random.next_u64();
        let mean_e8 = if buys { ask.size_e8 } else { bid.size_e8 } as f64 * 0.4;
        let lot_e8 = self.instrument.lot_e8();
        let mut wanted_e8 = round_up(self.random.exponential(mean_e8) as i64, lot_e8);
        for _ in 0..SWEEP_LEVELS_MAX {
            let Some(best) = self.book.best(side) else { break };
            if wanted_e8 <= 0 || self.book.depth(side) <= BOOK_LEVELS_MIN {
                break;
            }
            let taken_e8 = wanted_e8.min(best.size_e8);
            wanted_e8 -= taken_e8;
            let left_e8 = best.size_e8 - taken_e8;
            let orders = if left_e8 == 0 { 0 } else { best.orders.div_ceil(2) };
            let update_id = self.set(side, Level { size_e8: left_e8, orders, ..best }, moment);
            let trade = self.trade(aggressor, best.price_e8, taken_e8, (order_id, update_id), moment.time_ms);
            self.tell(trade, moment);
        }
    }

    fn tell(&mut self, trade: Trade, moment: &mut Moment) {
        self.history.push_trade(trade);
        self.candles.add(&trade);
        moment.events.push(MarketEvent::Trade { symbol: self.symbol, trade });
    }

    /// Lets an account trade at the best price of its side, whatever rests there.
    pub fn trade_at(&mut self, fill: &NewFill, moment: &mut Moment) -> Trade {
        let buys = fill.bought == fill.taker;
        let (aggressor, side) = if buys { (Aggressor::Buy, Side::Ask) } else { (Aggressor::Sell, Side::Bid) };
        let best = self.book.best(side).map_or(self.instrument.start_price_e8, |level| level.price_e8);
        let order_id = self.random.next_u64();
        let size_e8 = fill.size_e8.max(self.instrument.lot_e8());
        let price_e8 = fill.price_e8.unwrap_or(best);
        let mut trade =
            self.trade(aggressor, price_e8, size_e8, (order_id, moment.ids.take()), moment.time_ms);
        trade.size_e8 = size_e8;
        self.tell(trade, moment);
        trade
    }

    fn trade(
        &mut self,
        aggressor: Aggressor,
        price_e8: i64,
        taken_e8: i64,
        ids: (u64, u64),
        time_ms: i64,
    ) -> Trade {
        let lot_e8 = self.instrument.lot_e8();
        let binance = self.venue == Venue::Binance;
        let retail_e8 = if binance && self.random.chance(RETAIL_SHARE) {
            lot_e8 * (1 + self.random.below(20) as i64)
        } else {
            0
        };
        let placeholders = u32::from(binance && self.random.chance(PLACEHOLDER_SHARE));
        // No more fills than lots, so that every fill has a size.
        let fills = 1 + self.random.below(5).min((taken_e8 / lot_e8) as u64 - 1);
        let first_trade_id = self.next_trade_id + u64::from(placeholders);
        self.next_trade_id = first_trade_id + fills;
        let id = match self.venue {
            Venue::Binance => self.next_aggregate_id,
            Venue::Hyperliquid => self.random.next_u64() >> (u64::BITS - TID_BITS),
        };
        self.next_aggregate_id += 1;
        Trade {
            id,
            first_trade_id,
            last_trade_id: first_trade_id + fills - 1,
            placeholders,
            order_id: ids.0,
            update_id: ids.1,
            time_ms,
            price_e8,
            size_e8: taken_e8 + retail_e8,
            visible_size_e8: taken_e8,
            aggressor,
        }
    }

    /// How far the fair price is from the quote, from -1 (far below) to 1 (far above).
    fn pressure(&self, bid: Level, ask: Level) -> f64 {
        let mid_e8 = (bid.price_e8 + ask.price_e8) as f64 / 2.0;
        let tick_e8 = self.instrument.grid.tick_e8(bid.price_e8) as f64;
        ((self.fair_e8 - mid_e8) / (3.0 * tick_e8)).clamp(-1.0, 1.0)
    }

    /// Puts a level of some random size at a price, unless that would cross.
    fn place(&mut self, side: Side, price_e8: i64, moment: &mut Moment) {
        let crosses = self
            .book
            .best(side.opposite())
            .is_some_and(|other| (other.price_e8 - price_e8) * side.better() <= 0);
        if crosses || price_e8 <= 0 {
            return;
        }
        let level = random_level(&self.instrument, price_e8, &mut self.random);
        self.set(side, level, moment);
    }

    /// Sets a level, writes it down, and tells of a new quote if the best changed.
    fn set(&mut self, side: Side, level: Level, moment: &mut Moment) -> u64 {
        let best_before = self.book.best(side);
        let update_id = moment.ids.take();
        let time_ms = moment.time_ms;
        self.book.set(side, level);
        self.last_update_id = update_id;
        self.history.push_change(Change { update_id, time_ms, side, level }, &self.book);
        if self.book.best(side) != best_before {
            let (bid, ask) = (self.book.best(Side::Bid), self.book.best(Side::Ask));
            let quote = Quote { update_id, time_ms, bid, ask };
            self.history.push_quote(quote);
            moment.events.push(MarketEvent::Quote { symbol: self.symbol, quote });
        }
        update_id
    }
}

fn round_up(value_e8: i64, lot_e8: i64) -> i64 {
    (value_e8 / lot_e8 + 1) * lot_e8
}

fn random_level(instrument: &Instrument, price_e8: i64, random: &mut Random) -> Level {
    let mean_e8 = LEVEL_VALUE / (price_e8 as f64 / SCALE_E8 as f64) * SCALE_E8 as f64;
    let mean_e8 = mean_e8.min(LEVEL_SIZE_MEAN_MAX_E8);
    let size_e8 = round_up(random.exponential(mean_e8) as i64, instrument.lot_e8());
    Level { price_e8, size_e8, orders: 1 + random.below(ORDERS_MAX) as u32 }
}

fn first_book(instrument: &Instrument, random: &mut Random) -> Book {
    let mut book = Book::default();
    for side in [Side::Bid, Side::Ask] {
        let mut price_e8 = instrument.start_price_e8;
        if side == Side::Ask {
            price_e8 = instrument.grid.offset(price_e8, 1);
        }
        for rank in 0..instrument.book_levels.max(BOOK_LEVELS_MIN) {
            if price_e8 <= 0 {
                break;
            }
            book.set(side, random_level(instrument, price_e8, random));
            let step_max = if rank < 100 { 3 } else { 10 };
            let away = 1 + random.below(step_max) as i64;
            price_e8 = instrument.grid.offset(price_e8, -side.better() * away);
        }
    }
    book
}
