//! One Hyperliquid trade stream: each trade once, the backlog told from what is live.
//!
//! A subscription begins with a backlog of up to thirty trades in one frame and no flag (measured 2026-09); a
//! coin without recent trades sends none. So the first frame is the backlog if its oldest trade is older than
//! the venue's clock at the moment of subscription. After the first subscription
//! the backlog is history, not stream; after a reconnect what of it was not seen was missed, and follows
//! as backfill, after a gap unless some of it was seen before.

use crate::limits::TRADE_WINDOW;
use crate::publisher::{Publisher, Stamp};
use crate::session::account::{Account, Channel, DropReason, Outcome};
use crate::session::candles::CandleSet;
use crate::session::states::StreamState;
use codec::record::{GapBody, MISSED_UNKNOWN, TradeBody, flags};
use codec::time::{Now, ns_of_ms};
use codec::venues::hyperliquid::Trade;
use codec::words::{Reason, Stream, Venue};
use std::cmp::Ordering;

/// Trades seen lately, by (time, tid).
#[derive(Debug, Default)]
struct Window {
    /// A ring of the last [`TRADE_WINDOW`] trades, searched only for trades older than the newest block.
    seen: Vec<(u64, u64)>,
    next: usize,
    newest_ms: u64,
    /// Ids at `newest_ms`: a block's trades come together, so this is short.
    newest_tids: Vec<u64>,
}

impl Window {
    fn is_empty(&self) -> bool {
        self.newest_ms == 0
    }

    fn contains(&self, time_ms: u64, tid: u64) -> bool {
        match time_ms.cmp(&self.newest_ms) {
            Ordering::Greater => false,
            Ordering::Equal => self.newest_tids.contains(&tid),
            Ordering::Less => self.seen.contains(&(time_ms, tid)),
        }
    }

    fn insert(&mut self, time_ms: u64, tid: u64) {
        if time_ms > self.newest_ms {
            self.newest_ms = time_ms;
            self.newest_tids.clear();
        }
        if time_ms == self.newest_ms {
            self.newest_tids.push(tid);
        }
        if self.seen.len() < TRADE_WINDOW {
            self.seen.push((time_ms, tid));
        } else {
            self.seen[self.next] = (time_ms, tid);
        }
        self.next = (self.next + 1) % TRADE_WINDOW;
    }
}

/// See the module.
#[derive(Debug)]
pub struct TradeSync {
    /// The stream's state.
    pub state: StreamState,
    window: Window,
    /// Until the first frame of the present subscription: the venue's clock when it began, ms.
    begun_ms: Option<u64>,
    /// How the backlog of the present subscription is published.
    backlog_flags: u8,
    /// A connection was lost, and whether that lost trades is not known yet.
    loss_open: bool,
    subscribed_before: bool,
}

impl TradeSync {
    /// Nothing seen yet; the window's memory is taken here.
    #[must_use]
    pub fn new() -> Self {
        let window = Window {
            seen: Vec::with_capacity(TRADE_WINDOW),
            newest_tids: Vec::with_capacity(codec::limits::MESSAGE_TRADES_MAX),
            ..Window::default()
        };
        Self {
            state: StreamState::new(),
            window,
            begun_ms: None,
            backlog_flags: flags::BACKFILL | flags::SNAPSHOT,
            loss_open: false,
            subscribed_before: false,
        }
    }

    /// The connection is gone.
    pub fn on_link_lost(&mut self) {
        self.begun_ms = None;
        if self.subscribed_before {
            self.backlog_flags = flags::BACKFILL;
            self.loss_open = true;
        }
    }

    /// Subscribed, when the venue's clock stood at `venue_ms`.
    pub fn on_subscribed(&mut self, venue_ms: u64) {
        self.subscribed_before = true;
        self.begun_ms = Some(venue_ms);
    }

    /// One frame of trades, oldest first; candles are told of each that is not of a backlog, the account of
    /// what becomes of each.
    pub fn on_trades(
        &mut self,
        trades: &[Trade<'_>],
        mut candles: Option<&mut CandleSet>,
        (publisher, account): (&mut Publisher, &Account),
        stamp: &Stamp,
        now: Now,
    ) {
        self.state.touch(now);
        let oldest_ms = trades.iter().map(|trade| trade.time_ms).min().unwrap_or(0);
        let is_backlog = self.begun_ms.take().is_some_and(|begun_ms| oldest_ms <= begun_ms);
        let flags = if is_backlog { self.backlog_flags } else { 0 };
        if self.loss_open {
            self.loss_open = false;
            // A backlog is the newest trades without a hole: if it reaches back to one that was seen,
            // it holds everything since.
            let overlaps = trades.iter().any(|trade| self.window.contains(trade.time_ms, trade.tid));
            if !overlaps && !self.window.is_empty() {
                let body = GapBody::new(Reason::Disconnect, MISSED_UNKNOWN, 0, 0);
                publisher.gap(Venue::Hyperliquid, stamp.instrument, Stream::Trades, &body, now);
            }
        }
        for trade in trades {
            if self.window.contains(trade.time_ms, trade.tid) {
                account.items(Channel::Trades, Outcome::Dropped(DropReason::Duplicate), 1, now);
                continue;
            }
            self.window.insert(trade.time_ms, trade.tid);
            let Some((price, size)) = trade.value else {
                let body = GapBody::new(Reason::Unrepresentable, 1, 0, 0);
                publisher.gap(Venue::Hyperliquid, stamp.instrument, Stream::Trades, &body, now);
                if let Some(candles) = &mut candles {
                    candles.on_trades_lost();
                }
                account.items(Channel::Trades, Outcome::Dropped(DropReason::Unrepresentable), 1, now);
                continue;
            };
            // No trade of the market; a candle would take it for its low.
            if price.raw() == 0 || size.raw() == 0 {
                account.items(Channel::Trades, Outcome::Dropped(DropReason::Placeholder), 1, now);
                continue;
            }
            if let Some(candles) = candles.as_mut().filter(|_| !is_backlog) {
                candles.on_trade(trade.time_ms, price, size);
            }
            let stamp = Stamp { flags, ts_event_ns: ns_of_ms(trade.time_ms), ..*stamp };
            publisher.trade(&stamp, &TradeBody::new(price, size, trade.side, trade.tid));
            account.items(Channel::Trades, Outcome::Published, 1, now);
        }
    }
}

impl Default for TradeSync {
    fn default() -> Self {
        Self::new()
    }
}
