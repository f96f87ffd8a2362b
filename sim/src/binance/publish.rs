//! Turns Binance's market into stream events: what happened at once, the rest when its time has come.

use super::all_symbols::AllSymbolsStreams;
use super::depth::DepthStreams;
use super::hub::Hub;
use super::klines::Klines;
use super::streams::Kind;
use super::{all_symbols, frames, funding};
use crate::config::BinanceConfig;
use crate::market::{Level, Market, MarketEvent, Quote};
use crate::protocol::Action;
use std::collections::BTreeMap;

/// Publishes a market.
pub struct Publisher {
    depth: DepthStreams,
    all_symbols: AllSymbolsStreams,
    klines: Klines,
    /// Quotes held back so as not to tell every one: the newest of each symbol.
    held_quotes: BTreeMap<usize, Quote>,
    quote_interval_ms: i64,
    quotes_due_ms: i64,
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
        let mark_interval_ms = config.mark_price_interval_ms.max(1);
        Self {
            depth: DepthStreams::new(config.depth_interval_ms_min),
            all_symbols: AllSymbolsStreams::new(now_ms),
            klines: Klines::new(config.kline_interval_ms, now_ms),
            held_quotes: BTreeMap::new(),
            quote_interval_ms: config.book_ticker_interval_ms_min,
            quotes_due_ms: now_ms,
            mark_due_ms: (now_ms.div_euclid(mark_interval_ms) + 1) * mark_interval_ms,
            mark_interval_ms,
            trade_placeholders: config.trade_placeholders,
            events: Vec::new(),
        }
    }

    /// Lets the market move on to now, and tells all who listen.
    pub fn tick(&mut self, market: &mut Market, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        // Before the step: a new chain begins with what its listener can join to.
        for (symbol, kind) in std::mem::take(&mut hub.begun) {
            self.depth.begin(market, symbol, kind, now_ms);
        }
        let mut events = std::mem::take(&mut self.events);
        market.step(now_ms, &mut events);
        for event in events.drain(..) {
            self.tell(market, hub, event, now_ms, out);
        }
        self.events = events;
        self.depth.tick(market, hub, now_ms, out);
        self.tell_held_quotes(market, hub, now_ms, out);
        self.all_symbols.tick(market, hub, now_ms, out);
        self.klines.tick(market, hub, (now_ms, now_ms), out);
        if self.mark_due_ms <= now_ms {
            // After a long pause only the newest is told.
            let at_ms = now_ms - now_ms.rem_euclid(self.mark_interval_ms);
            self.mark_due_ms = at_ms + self.mark_interval_ms;
            let slow_too = at_ms.div_euclid(self.mark_interval_ms) % MARK_SLOW_TIMES == 0;
            tell_marks(market, hub, (at_ms, slow_too), now_ms, out);
        }
    }

    /// Tells the newest quotes held back, if it is time to.
    fn tell_held_quotes(&mut self, market: &Market, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        if self.quotes_due_ms > now_ms || self.quote_interval_ms <= 0 {
            return;
        }
        self.quotes_due_ms = now_ms + self.quote_interval_ms;
        for (symbol, quote) in std::mem::take(&mut self.held_quotes) {
            tell_quote(market, hub, symbol, &quote, now_ms, out);
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
                if self.quote_interval_ms > 0 {
                    self.held_quotes.insert(symbol, quote);
                } else {
                    tell_quote(market, hub, symbol, &quote, now_ms, out);
                }
            }
            MarketEvent::Listing { symbol, .. } => {
                all_symbols::tell_listing(market, hub, symbol, now_ms, out)
            }
            // Accounts are not simulated at this venue; the trade is told.
            MarketEvent::Fill { .. } => {}
            MarketEvent::Trade { symbol, trade } => {
                self.klines.traded(symbol);
                let instrument = market.instrument(symbol);
                let streams = (hub.live(symbol, Kind::Trade), hub.live(symbol, Kind::AggTrade));
                let zero = streams != (None, None) && hub.disturbances.adds_zero_trade(&instrument.symbol);
                if let Some(stream) = streams.0 {
                    if zero {
                        let data = frames::zero_trade(instrument, &trade, now_ms);
                        hub.deliver(symbol, stream, &data, now_ms, out);
                    }
                    for mut data in frames::trades(instrument, &trade, self.trade_placeholders, now_ms) {
                        if hub.disturbances.tells_new_kind() {
                            data = data.replace(r#""X":"MARKET""#, r#""X":"AUCTION""#);
                        }
                        hub.deliver(symbol, stream, &data, now_ms, out);
                    }
                }
                if let Some(stream) = streams.1 {
                    if zero {
                        let data = frames::zero_agg_trade(instrument, &trade, now_ms);
                        hub.deliver(symbol, stream, &data, now_ms, out);
                    }
                    if hub.disturbances.drops_trade(&instrument.symbol) {
                        return;
                    }
                    let data = frames::agg_trade(instrument, &trade, now_ms);
                    hub.deliver(symbol, stream, &data, now_ms, out);
                }
            }
        }
    }
}

fn tell_quote(
    market: &Market,
    hub: &mut Hub,
    symbol: usize,
    quote: &Quote,
    now_ms: i64,
    out: &mut Vec<Action>,
) {
    let Some(stream) = hub.live(symbol, Kind::BookTicker) else { return };
    let mut quote = *quote;
    if let Some((bid, ask)) = hub.disturbances.lacks_sides(&market.instrument(symbol).symbol) {
        let without = |level: Option<Level>| level.map(|level| Level { price_e8: 0, size_e8: 0, ..level });
        quote.bid = if bid { without(quote.bid) } else { quote.bid };
        quote.ask = if ask { without(quote.ask) } else { quote.ask };
    }
    // Sent at once: the event time is the transaction time, or a millisecond later.
    if let Some(data) = frames::book_ticker(market.instrument(symbol), &quote, quote.time_ms) {
        hub.deliver(symbol, stream, &data, now_ms, out);
    }
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
            let Some(mut funding) = market.funding_at(symbol, at_ms) else { continue };
            if hub.disturbances.rate_is_empty(&market.instrument(symbol).symbol, now_ms) {
                funding.rate_e10 = None;
            }
            let data = funding::mark_price(market.instrument(symbol), &funding);
            hub.deliver(symbol, stream, &data, now_ms, out);
        }
    }
}
