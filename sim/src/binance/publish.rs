//! Turns Binance's market into stream events.
//!
//! Each symbol and speed of a diff depth stream is a chain of its own: `pu` of an event is `u` of the one before it,
//! whether or not anybody listened.

use super::frames::{self, DepthIds};
use super::funding;
use super::hub::Hub;
use super::klines::Klines;
use super::streams::{DEPTH_SPEEDS, Kind, PARTIAL_LEVELS};
use crate::config::BinanceConfig;
use crate::market::{Change, Level, Market, MarketEvent, Side};
use crate::protocol::Action;

/// Where one diff depth stream of one symbol stands.
#[derive(Clone, Copy)]
struct Chain {
    /// The first change not yet told, counted from the beginning.
    next_change: u64,
    /// The last id told.
    last_id: u64,
    due_ms: i64,
}

/// Publishes a market.
pub struct Publisher {
    chains: Vec<[Chain; DEPTH_SPEEDS.len()]>,
    klines: Klines,
    mark_due_ms: i64,
    mark_interval_ms: i64,
    trade_placeholders: bool,
    events: Vec<MarketEvent>,
}

/// How many times rarer the slow mark price stream is than the fast one.
const MARK_SLOW_TIMES: i64 = 3;

impl Publisher {
    /// A publisher of a market as it stands.
    pub fn new(market: &Market, config: &BinanceConfig) -> Self {
        let now_ms = market.now_ms();
        let chains = (0..market.symbol_count())
            .map(|symbol| {
                std::array::from_fn(|speed| Chain {
                    next_change: market.history(symbol).change_count(),
                    last_id: market.symbol_update_id(symbol),
                    // Symbols do not speak in unison.
                    due_ms: now_ms + (symbol as i64 * 7) % DEPTH_SPEEDS[speed].1,
                })
            })
            .collect();
        let mark_interval_ms = config.mark_price_interval_ms.max(1);
        Self {
            chains,
            klines: Klines::new(config.kline_interval_ms, now_ms),
            mark_due_ms: (now_ms.div_euclid(mark_interval_ms) + 1) * mark_interval_ms,
            mark_interval_ms,
            trade_placeholders: config.trade_placeholders,
            events: Vec::new(),
        }
    }

    /// Lets the market move on to now, and tells all who listen.
    pub fn tick(&mut self, market: &mut Market, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        let mut events = std::mem::take(&mut self.events);
        market.step(now_ms, &mut events);
        for event in events.drain(..) {
            self.tell(market, hub, event, now_ms, out);
        }
        self.events = events;
        for symbol in 0..market.symbol_count() {
            for speed in 0..DEPTH_SPEEDS.len() {
                if self.chains[symbol][speed].due_ms <= now_ms {
                    self.flush(market, hub, (symbol, speed), now_ms, out);
                }
            }
        }
        self.klines.tick(market, hub, (now_ms, now_ms), out);
        if self.mark_due_ms <= now_ms {
            // After a long pause only the newest is told.
            let at_ms = now_ms - now_ms.rem_euclid(self.mark_interval_ms);
            self.mark_due_ms = at_ms + self.mark_interval_ms;
            let slow_too = at_ms.div_euclid(self.mark_interval_ms) % MARK_SLOW_TIMES == 0;
            tell_marks(market, hub, (at_ms, slow_too), now_ms, out);
        }
    }

    fn tell(
        &mut self,
        market: &Market,
        hub: &mut Hub,
        event: MarketEvent,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        match event {
            MarketEvent::Quote { symbol, quote } => {
                let Some(stream) = hub.live(symbol, Kind::BookTicker) else { return };
                // Sent at once: the event time is the transaction time, or a millisecond later.
                if let Some(data) = frames::book_ticker(market.instrument(symbol), &quote, quote.time_ms) {
                    hub.deliver(symbol, stream, &data, now_ms, out);
                }
            }
            // Accounts are not simulated at this venue; the trade is told.
            MarketEvent::Fill { .. } => {}
            MarketEvent::Trade { symbol, trade } => {
                self.klines.traded(symbol);
                let instrument = market.instrument(symbol);
                if let Some(stream) = hub.live(symbol, Kind::Trade) {
                    for data in frames::trades(instrument, &trade, self.trade_placeholders, now_ms) {
                        hub.deliver(symbol, stream, &data, now_ms, out);
                    }
                }
                if let Some(stream) = hub.live(symbol, Kind::AggTrade) {
                    if hub.disturbances.drops_trade(&instrument.symbol) {
                        return;
                    }
                    let data = frames::agg_trade(instrument, &trade, now_ms);
                    hub.deliver(symbol, stream, &data, now_ms, out);
                }
            }
        }
    }

    /// Tells what changed since the last event of one speed.
    fn flush(
        &mut self,
        market: &Market,
        hub: &mut Hub,
        (symbol, speed): (usize, usize),
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        let chain = &mut self.chains[symbol][speed];
        let before = *chain;
        let interval_ms = DEPTH_SPEEDS[speed].1;
        chain.due_ms += ((now_ms - chain.due_ms).div_euclid(interval_ms) + 1) * interval_ms;
        let history = market.history(symbol);
        chain.next_change = history.change_count();
        if chain.next_change == before.next_change {
            return;
        }
        chain.last_id = market.symbol_update_id(symbol);

        let diff = hub.live(symbol, Kind::Depth(speed));
        let partials: [_; PARTIAL_LEVELS.len()] =
            std::array::from_fn(|count| hub.live(symbol, Kind::PartialDepth(count, speed)));
        if diff.is_none() && partials.iter().all(Option::is_none) {
            return;
        }
        let changes: Vec<Change> = history.changes_from(before.next_change).copied().collect();
        let (Some(first), Some(last)) = (changes.first(), changes.last()) else { return };
        let ids = DepthIds {
            event_ms: now_ms,
            transaction_ms: last.time_ms,
            first_id: first.update_id,
            last_id: last.update_id,
            previous_id: before.last_id,
        };
        let instrument = market.instrument(symbol);
        let book = market.book(symbol);
        if let Some(stream) = diff {
            let mut bids = last_of_each(&changes, Side::Bid);
            let asks = last_of_each(&changes, Side::Ask);
            let name = hub.subscribers.name(stream);
            if !hub.disturbances.breaks_depth(&instrument.symbol, name) {
                if hub.disturbances.crosses(&instrument.symbol)
                    && let Some(ask) = book.best(Side::Ask)
                {
                    bids.retain(|level| level.price_e8 != ask.price_e8);
                    bids.push(ask);
                }
                let data = frames::depth(instrument, &ids, bids.iter(), asks.iter());
                hub.deliver(symbol, stream, &data, now_ms, out);
            }
        }
        for (count, stream) in partials.into_iter().enumerate() {
            let Some(stream) = stream else { continue };
            let levels = |side| book.levels(side).take(PARTIAL_LEVELS[count]);
            let data = frames::depth(instrument, &ids, levels(Side::Bid), levels(Side::Ask));
            hub.deliver(symbol, stream, &data, now_ms, out);
        }
    }
}

/// The last state of each level touched on a side, by ascending price.
fn last_of_each(changes: &[Change], side: Side) -> Vec<Level> {
    let mut levels: Vec<Level> =
        changes.iter().rev().filter(|change| change.side == side).map(|change| change.level).collect();
    // Newest first and a stable sort: of equal prices the newest comes first and stays.
    levels.sort_by_key(|level| level.price_e8);
    levels.dedup_by_key(|level| level.price_e8);
    levels
}

fn tell_marks(
    market: &Market,
    hub: &mut Hub,
    (at_ms, slow_too): (i64, bool),
    now_ms: i64,
    out: &mut Vec<Action>,
) {
    for symbol in 0..market.symbol_count() {
        for every_second in [true, false] {
            if !every_second && !slow_too {
                continue;
            }
            let Some(stream) = hub.live(symbol, Kind::MarkPrice { every_second }) else { continue };
            let Some(funding) = market.funding_at(symbol, at_ms) else { continue };
            let data = funding::mark_price(market.instrument(symbol), &funding);
            hub.deliver(symbol, stream, &data, now_ms, out);
        }
    }
}
