//! Turns Hyperliquid's market into frames: one clock for all books, quotes and trades per block.

use super::candles::CandleFrames;
use super::frames::{self, BookForm, ShownBook};
use super::hub::Hub;
use super::subscription::{Precision, Subscription};
use super::{context, fills};
use crate::config::{HyperliquidConfig, KeyOrder};
use crate::limits::{HYPERLIQUID_BOOK_LEVELS, HYPERLIQUID_FAST_BOOK_LEVELS};
use crate::market::{Contract, Level, Market, MarketEvent, Quote, Side, Trade};
use crate::protocol::{Action, ConnectionId};
use std::collections::BTreeMap;

/// Makes the id of a trade that is none from that of the trade behind it: real ids have 50 bits.
const ZERO_TRADE_ID: u64 = 1 << 50;

/// Something that comes round at a fixed interval.
struct Clock {
    interval_ms: i64,
    due_ms: i64,
}

impl Clock {
    fn new(interval_ms: i64, now_ms: i64) -> Self {
        let interval_ms = interval_ms.max(1);
        Self { interval_ms, due_ms: now_ms + interval_ms }
    }

    /// Whether it has come round; several rounds missed count as one.
    fn strikes(&mut self, now_ms: i64) -> bool {
        if now_ms < self.due_ms {
            return false;
        }
        self.due_ms += ((now_ms - self.due_ms).div_euclid(self.interval_ms) + 1) * self.interval_ms;
        true
    }
}

/// What one block brought.
#[derive(Default)]
struct Block {
    time_ms: i64,
    quotes: BTreeMap<usize, Quote>,
    trades: BTreeMap<usize, Vec<Trade>>,
    /// The accounts that traded, and which fill it was.
    fills: Vec<(usize, usize)>,
}

/// Publishes a market.
pub struct Publisher {
    books: Clock,
    fast_books: Clock,
    mids: Clock,
    contexts: Clock,
    all_contexts: Clock,
    candles: CandleFrames,
    order: KeyOrder,
    trades_replay: usize,
    /// The best last told, or last seen while nobody listened.
    tops: Vec<(Option<Level>, Option<Level>)>,
    /// Subscriptions that still wait for their first frame.
    fresh: Vec<(ConnectionId, Subscription)>,
    events: Vec<MarketEvent>,
}

impl Publisher {
    /// A publisher of a market as it stands.
    pub fn new(market: &Market, config: &HyperliquidConfig) -> Self {
        let now_ms = market.now_ms();
        let top = |coin| (market.book(coin).best(Side::Bid), market.book(coin).best(Side::Ask));
        Self {
            books: Clock::new(config.book_interval_ms, now_ms),
            fast_books: Clock::new(config.fast_book_interval_ms, now_ms),
            mids: Clock::new(config.mids_interval_ms, now_ms),
            contexts: Clock::new(config.context_interval_ms, now_ms),
            all_contexts: Clock::new(config.all_contexts_interval_ms, now_ms),
            candles: CandleFrames::new(config.candle_interval_ms, now_ms, config.key_order),
            order: config.key_order,
            trades_replay: config.trades_replay,
            tops: (0..market.symbol_count()).map(top).collect(),
            fresh: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Remembers that a subscription waits for its first frame.
    pub fn expect(&mut self, id: ConnectionId, subscription: Subscription, hub: &Hub) {
        if let Subscription::Candle(coin, interval) = &subscription
            && let (Some(coin), Some(stream)) = (hub.coin(coin), hub.subscribers.find(&subscription.name()))
        {
            self.candles.listened(coin, *interval, stream);
        }
        self.fresh.push((id, subscription));
    }

    /// Lets the market move on to now, and tells all who listen.
    pub fn tick(&mut self, market: &mut Market, hub: &mut Hub, now_ms: i64, out: &mut Vec<Action>) {
        // Before the step: what a new subscriber is shown ends where the live messages begin.
        for (id, subscription) in std::mem::take(&mut self.fresh) {
            self.tell_first(market, hub, (id, &subscription), now_ms, out);
        }
        let mut events = std::mem::take(&mut self.events);
        market.step(now_ms, &mut events);
        let mut block = Block::default();
        for event in events.drain(..) {
            let time_ms = event.time_ms();
            if time_ms != block.time_ms {
                self.tell_block(market, hub, &mut block, now_ms, out);
                block.time_ms = time_ms;
            }
            match event {
                MarketEvent::Quote { symbol, quote } => drop(block.quotes.insert(symbol, quote)),
                MarketEvent::Trade { symbol, trade } => block.trades.entry(symbol).or_default().push(trade),
                MarketEvent::Fill { account, fill, .. } => block.fills.push((account, fill)),
                // There is no channel for it here; `meta` tells.
                MarketEvent::Listing { .. } => {}
            }
        }
        self.tell_block(market, hub, &mut block, now_ms, out);
        self.events = events;
        self.candles.tick(market, hub, now_ms, out);

        let fast = self.fast_books.strikes(now_ms);
        let full = self.books.strikes(now_ms);
        let mids = self.mids.strikes(now_ms);
        let contexts = self.contexts.strikes(now_ms);
        let all_contexts = self.all_contexts.strikes(now_ms);
        if !(fast || full || mids || contexts || all_contexts) {
            return;
        }
        for at in 0..hub.streams.len() {
            let stream = &hub.streams[at];
            if hub.subscribers.of(stream.id).is_empty() {
                continue;
            }
            let due = match &stream.subscription {
                Subscription::Book { fast: true, .. } => fast,
                Subscription::Book { fast: false, .. } => full,
                Subscription::AllMids(_) => mids,
                Subscription::AssetContext(_) => contexts,
                Subscription::AllDexesContexts => all_contexts,
                Subscription::Bbo(_)
                | Subscription::Trades(_)
                | Subscription::Candle(..)
                | Subscription::UserFills { .. }
                | Subscription::UserEvents(_) => false,
            };
            if due {
                let (id, subscription) = (stream.id, stream.subscription.clone());
                if let Some(text) = self.state(market, hub, &subscription) {
                    hub.deliver(id, subscription.coin(), text, now_ms, out);
                }
            }
        }
    }

    /// The frame of a stream that tells a state.
    fn state(&self, market: &Market, hub: &mut Hub, subscription: &Subscription) -> Option<String> {
        match subscription {
            Subscription::Book { coin, precision, fast } => {
                let index = market.find(coin)?;
                let crossed = hub.disturbances.crosses(coin);
                Some(self.book_frame(market, index, *precision, *fast, crossed))
            }
            Subscription::AllMids(dex) => {
                let named = if dex.is_empty() { String::new() } else { format!(r#""dex":"{dex}","#) };
                let mids = mids(market, dex);
                Some(frames::frame("allMids", &format!(r#"{{{named}"mids":{mids}}}"#)))
            }
            Subscription::AssetContext(coin) => {
                let index = market.find(coin)?;
                let spot = matches!(market.instrument(index).contract, Contract::Spot { .. });
                let channel = if spot { "activeSpotAssetCtx" } else { "activeAssetCtx" };
                let context = context::context(market, index);
                Some(frames::frame(channel, &format!(r#"{{"coin":"{coin}","ctx":{context}}}"#)))
            }
            Subscription::AllDexesContexts => {
                Some(frames::frame("allDexsAssetCtxs", &context::all_dexes(market)))
            }
            Subscription::UserFills { user, .. } => {
                Some(fills::snapshot(user, market.accounts().fills(user)))
            }
            Subscription::Bbo(_)
            | Subscription::Trades(_)
            | Subscription::Candle(..)
            | Subscription::UserEvents(_) => None,
        }
    }

    fn book_frame(
        &self,
        market: &Market,
        coin: usize,
        precision: Precision,
        fast: bool,
        crossed: bool,
    ) -> String {
        let levels = if fast { HYPERLIQUID_FAST_BOOK_LEVELS } else { HYPERLIQUID_BOOK_LEVELS };
        let mut shown = ShownBook::of(market.book(coin), levels, precision);
        if crossed && let (Some(bid), Some(ask)) = (shown.bids.first_mut(), shown.asks.first()) {
            bid.price_e8 = ask.price_e8;
        }
        let form = BookForm { fast, precision, order: self.order };
        let coin = &market.instrument(coin).symbol;
        frames::frame("l2Book", &frames::book_data(coin, market.now_ms(), &shown, form))
    }

    /// Tells a new subscriber what it begins with.
    fn tell_first(
        &self,
        market: &Market,
        hub: &mut Hub,
        (id, subscription): (ConnectionId, &Subscription),
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        if !hub.has(id, &subscription.name()) {
            return;
        }
        let text = match subscription {
            Subscription::Trades(coin) => {
                let Some(index) = market.find(coin) else { return };
                let trades = market.history(index).trades();
                let replayed = trades.len().min(self.trades_replay);
                if replayed == 0 {
                    return;
                }
                let data = frames::trades(coin, trades.range(trades.len() - replayed..), self.order);
                Some(frames::frame("trades", &data))
            }
            _ => self.state(market, hub, subscription),
        };
        if let Some(text) = text {
            hub.deliver_to(id, subscription, text, now_ms, out);
        }
    }

    fn tell_block(
        &mut self,
        market: &Market,
        hub: &mut Hub,
        block: &mut Block,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) {
        for (coin, quote) in std::mem::take(&mut block.quotes) {
            let top = (quote.bid, quote.ask);
            // Within a block the best may have changed and changed back.
            if self.tops.len() <= coin {
                self.tops.resize(coin + 1, (None, None));
            }
            if std::mem::replace(&mut self.tops[coin], top) == top {
                continue;
            }
            let name = &market.instrument(coin).symbol;
            let Some(stream) = hub.subscribers.find(&format!("bbo:{name}")) else { continue };
            if !hub.subscribers.of(stream).is_empty() {
                let mut quote = quote;
                if let Some((bid, ask)) = hub.disturbances.lacks_sides(name) {
                    quote.bid = quote.bid.filter(|_| !bid);
                    quote.ask = quote.ask.filter(|_| !ask);
                }
                hub.deliver(stream, name, frames::bbo(name, &quote, self.order), now_ms, out);
            }
        }
        for (coin, mut trades) in std::mem::take(&mut block.trades) {
            self.candles.traded(market, hub, (coin, block.time_ms), now_ms, out);
            let name = &market.instrument(coin).symbol;
            let Some(stream) = hub.subscribers.find(&format!("trades:{name}")) else { continue };
            if hub.subscribers.of(stream).is_empty() {
                continue;
            }
            trades.retain(|_| !hub.disturbances.drops_trade(name));
            if !trades.is_empty() {
                if hub.disturbances.adds_zero_trade(name) {
                    let first = trades[0];
                    let id = first.id ^ ZERO_TRADE_ID;
                    trades.insert(0, Trade { id, price_e8: 0, size_e8: 0, ..first });
                }
                let data = frames::trades(name, trades.iter(), self.order);
                hub.deliver(stream, name, frames::frame("trades", &data), now_ms, out);
            }
        }
        for (account, fill) in std::mem::take(&mut block.fills) {
            let accounts = market.accounts();
            let fill = accounts.fill(account, fill);
            let user = accounts.user(account).to_ascii_lowercase();
            for (name, text) in [
                (format!("userFills:{user}"), fills::update(&user, fill)),
                (format!("userEvents:{user}"), fills::event(fill)),
            ] {
                if let Some(stream) = hub.subscribers.find(&name) {
                    hub.deliver(stream, &fill.symbol, text, now_ms, out);
                }
            }
        }
    }
}

/// Every mid price of a dex, as a flat object; a coin without a two-sided book is absent.
pub fn mids(market: &Market, dex: &str) -> String {
    let of_dex = |coin: &usize| market.instrument(*coin).dex == dex;
    let mid = |coin: usize| Some((market.instrument(coin).symbol.as_str(), market.book(coin).mid_e8()?));
    frames::mids((0..market.symbol_count()).filter(of_dex).filter_map(mid))
}
