//! One Binance trade stream: each aggregate id once, holes told at once and filled from REST.
//!
//! Live trades are never held back: a hole is told by a gap, the live trade goes out, and what was missed
//! follows with the backfill flag when REST gives it. What REST cannot give is told by a second gap.
//! Only while a connection is replaced, and both deliver, a trade waits for those before it: the slower
//! connection has them on its way. What has price zero is no trade: its id counts, and nobody is told of it.

use crate::fetch::FetchError;
use crate::limits::{
    AGG_TRADES_PAGE, BINANCE_OVERLAP_TRADES_MAX, BINANCE_OVERLAP_WAIT_MS, FILL_RANGES_MAX, FILL_RETRIES_MAX,
    FILL_RETRY_FIRST_MS, FILL_RETRY_LAST_MS, FILL_TRADES_MAX, TRADE_ID_STEP_BACK, TRADE_PROBE_AFTER_MS,
};
use crate::publisher::{Publisher, Stamp};
use crate::session::Link;
use crate::session::account::{DropReason, Outcome};
use crate::session::states::StreamState;
use codec::decimal::{Price, Size};
use codec::record::{GapBody, MISSED_UNKNOWN, TradeBody, flags};
use codec::time::{Now, ns_of_ms};
use codec::venues::binance::AggTrade;
use codec::venues::rest_binance::AggTradeRow;
use codec::words::{Reason, Side, Stream, Venue};
use std::collections::VecDeque;

/// Ids that are missing, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Missing {
    next_id: u64,
    last_id: u64,
}

/// A trade that is ahead of the slower of two connections.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    agg_id: u64,
    value: Option<(Price, Size)>,
    side: Side,
    stamp: Stamp,
}

impl Ahead {
    const fn new(trade: &AggTrade<'_>, stamp: &Stamp) -> Self {
        Self { agg_id: trade.agg_id, value: trade.value, side: trade.side, stamp: *stamp }
    }
}

/// Trades from this id on, to be asked for under this token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillWish {
    /// Comes back with the answer.
    pub token: u64,
    /// First id wanted.
    pub from_id: u64,
    /// Rows wanted.
    pub limit: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub struct TradeSync {
    /// The highest id seen.
    last_id: Option<u64>,
    missing: VecDeque<Missing>,
    asked: Option<u64>,
    next_token: u64,
    not_before_mono_ns: u64,
    retries: u32,
    /// Whether the connection was lost since the last trade: the reason of the next hole.
    reconnected: bool,
    /// When to ask whether anything was missed.
    probe_at_mono_ns: Option<u64>,
    /// The request under way asks for whatever came after this id.
    probing_after: Option<u64>,
    /// In order of id, while two connections deliver; and since when the first waits, monotonic ns.
    ahead: VecDeque<Ahead>,
    ahead_since_mono_ns: u64,
    /// When a trade last came live and was published, monotonic ns; 0: none yet. Candles follow these alone.
    traded_mono_ns: u64,
    /// The stream's state.
    pub state: StreamState,
}

impl TradeSync {
    /// When a trade last came live and was published, monotonic ns; 0: none yet.
    #[must_use]
    pub const fn traded_mono_ns(&self) -> u64 {
        self.traded_mono_ns
    }

    /// The connection is gone.
    pub fn on_link_lost(&mut self) {
        // What waited is the newest of what was lost, and will be filled with the rest.
        self.ahead.clear();
        self.reconnected = true;
        self.probe_at_mono_ns = None;
    }

    /// Subscribed. If no trade shows what was missed meanwhile, REST is asked.
    pub fn on_subscribed(&mut self, now: Now) {
        if self.reconnected && self.last_id.is_some() {
            self.probe_at_mono_ns = Some(now.after_ms(TRADE_PROBE_AFTER_MS));
        }
    }

    /// A trade off the wire; `overlap`: another connection delivers the stream as well.
    pub fn on_trade(
        &mut self,
        trade: &AggTrade<'_>,
        overlap: bool,
        publisher: &mut Publisher,
        stamp: &Stamp,
        now: Now,
    ) -> Outcome {
        self.state.touch(now);
        if self.reconnected
            && self.last_id.is_some_and(|last| trade.agg_id.saturating_add(TRADE_ID_STEP_BACK) < last)
        {
            // Another numbering: what lies between cannot be known, and nothing of the old one helps.
            let body = GapBody::new(Reason::SequenceBreak, MISSED_UNKNOWN, 0, 0);
            publisher.gap(Venue::Binance, stamp.instrument, Stream::Trades, &body, now);
            self.missing.clear();
            self.asked = None;
            self.probing_after = None;
            self.last_id = None;
        }
        let trade = Ahead::new(trade, stamp);
        if overlap && self.waits_for_other(&trade, now) {
            return Outcome::Dropped(DropReason::Buffered);
        }
        let outcome = self.publish(&trade, publisher, now);
        if !self.ahead.is_empty() {
            self.publish_ahead(false, publisher, now);
        }
        outcome
    }

    #[inline]
    fn publish(&mut self, trade: &Ahead, publisher: &mut Publisher, now: Now) -> Outcome {
        let stamp = &trade.stamp;
        if let Some(last) = self.last_id {
            if trade.agg_id <= last {
                return Outcome::Dropped(DropReason::Duplicate);
            }
            if trade.agg_id - last > 1 {
                self.tell_hole(last + 1, trade.agg_id - 1, publisher, stamp, now);
            }
        }
        self.reconnected = false;
        self.probe_at_mono_ns = None;
        self.last_id = Some(trade.agg_id);
        match trade.value {
            Some(value) if is_placeholder(value) => Outcome::Dropped(DropReason::Placeholder),
            Some((price, size)) => {
                publisher.trade(stamp, &TradeBody::new(price, size, trade.side, trade.agg_id));
                self.traded_mono_ns = now.mono_ns;
                Outcome::Published
            }
            None => {
                gap(publisher, stamp, Reason::Unrepresentable, trade.agg_id, trade.agg_id, now);
                Outcome::Dropped(DropReason::Unrepresentable)
            }
        }
    }

    /// Of two connections one is ahead: its trade is kept until the other has brought those before it.
    fn waits_for_other(&mut self, trade: &Ahead, now: Now) -> bool {
        let begins_later = self.last_id.is_some_and(|last| trade.agg_id > last && trade.agg_id - last > 1);
        if !begins_later || self.reconnected || self.ahead.len() >= BINANCE_OVERLAP_TRADES_MAX {
            return false;
        }
        if self.ahead.is_empty() {
            self.ahead_since_mono_ns = now.mono_ns;
        }
        let at = self.ahead.partition_point(|other| other.agg_id < trade.agg_id);
        if self.ahead.get(at).is_none_or(|other| other.agg_id != trade.agg_id) {
            self.ahead.insert(at, *trade);
        }
        true
    }

    /// What was ahead, as far as the others have come to it; all of it, if nothing else will come.
    #[cold]
    fn publish_ahead(&mut self, all: bool, publisher: &mut Publisher, now: Now) {
        while let Some(first) = self.ahead.front()
            && (all || self.last_id.is_some_and(|last| first.agg_id <= last.saturating_add(1)))
        {
            let trade = *first;
            self.ahead.pop_front();
            self.publish(&trade, publisher, now);
        }
    }

    /// Whether trades wait for the slower connection for too long.
    #[must_use]
    pub fn is_ahead_too_long(&self, now: Now) -> bool {
        let waited_ns = now.mono_ns.saturating_sub(self.ahead_since_mono_ns);
        !self.ahead.is_empty() && waited_ns > ns_of_ms(BINANCE_OVERLAP_WAIT_MS)
    }

    /// The other connection is gone, or does not bring them: what waited goes out, the hole before it told.
    /// `given_up`: that one is gone; what it brought ahead of the one that stays that one will bring, too.
    pub fn end_overlap(&mut self, given_up: Option<Link>, publisher: &mut Publisher, now: Now) {
        self.ahead.retain(|trade| Some(trade.stamp.source) != given_up);
        self.publish_ahead(true, publisher, now);
    }

    #[cold]
    fn tell_hole(&mut self, first: u64, last: u64, publisher: &mut Publisher, stamp: &Stamp, now: Now) {
        let reason = if self.reconnected { Reason::Disconnect } else { Reason::SequenceBreak };
        gap(publisher, stamp, reason, first, last, now);
        let mut next_id = first;
        if last - first >= FILL_TRADES_MAX {
            // Too long ago to fill: the newest part is, the rest is told as lost.
            next_id = last - (FILL_TRADES_MAX - 1);
            gap(publisher, stamp, Reason::VenueHistoryExhausted, first, next_id - 1, now);
        }
        if self.missing.len() == FILL_RANGES_MAX {
            // Oldest first out, told.
            if let Some(oldest) = self.missing.pop_front() {
                self.asked = None;
                gap(publisher, stamp, Reason::VenueHistoryExhausted, oldest.next_id, oldest.last_id, now);
            }
        }
        self.missing.push_back(Missing { next_id, last_id: last });
    }

    /// Time passed. Answers with trades to ask for, if any are wanted now.
    pub fn on_tick(&mut self, now: Now) -> Option<FillWish> {
        if self.asked.is_some() || now.mono_ns < self.not_before_mono_ns {
            return None;
        }
        let Some(missing) = self.missing.front() else { return self.probe(now) };
        self.next_token += 1;
        self.asked = Some(self.next_token);
        let wanted = missing.last_id - missing.next_id + 1;
        let limit = u32::try_from(wanted).unwrap_or(u32::MAX).clamp(1, AGG_TRADES_PAGE);
        Some(FillWish { token: self.next_token, from_id: missing.next_id, limit })
    }

    fn probe(&mut self, now: Now) -> Option<FillWish> {
        if self.probe_at_mono_ns.is_none_or(|at| now.mono_ns < at) {
            return None;
        }
        let last = self.last_id?;
        self.probe_at_mono_ns = None;
        self.probing_after = Some(last);
        self.next_token += 1;
        self.asked = Some(self.next_token);
        Some(FillWish { token: self.next_token, from_id: last.saturating_add(1), limit: AGG_TRADES_PAGE })
    }

    /// What a probe has found: a hole that no live trade has shown yet.
    fn on_probed(
        &mut self,
        after: u64,
        rows: &[AggTradeRow],
        publisher: &mut Publisher,
        stamp: &Stamp,
        now: Now,
    ) {
        let newest = rows.last().map_or(after, |row| row.agg_id);
        if self.last_id != Some(after) || newest <= after {
            // A live trade has come meanwhile and told the hole itself, or nothing was missed.
            return;
        }
        self.tell_hole(after.saturating_add(1), newest, publisher, stamp, now);
        self.last_id = Some(newest);
        if rows.len() >= AGG_TRADES_PAGE as usize {
            self.probe_at_mono_ns = Some(now.mono_ns);
        } else {
            self.reconnected = false;
        }
    }

    /// REST answered with rows in order of id.
    pub fn on_rows(
        &mut self,
        token: u64,
        rows: &[AggTradeRow],
        publisher: &mut Publisher,
        stamp: &Stamp,
        now: Now,
    ) {
        if self.asked != Some(token) {
            return;
        }
        self.asked = None;
        if let Some(after) = self.probing_after.take() {
            self.on_probed(after, rows, publisher, stamp, now);
        }
        let Some(mut missing) = self.missing.pop_front() else { return };
        let mut progressed = false;
        for row in rows {
            if row.agg_id < missing.next_id || row.agg_id > missing.last_id {
                continue;
            }
            if row.agg_id > missing.next_id {
                gap(publisher, stamp, Reason::VenueHistoryExhausted, missing.next_id, row.agg_id - 1, now);
            }
            missing.next_id = row.agg_id.saturating_add(1);
            progressed = true;
            let stamp = Stamp {
                flags: flags::BACKFILL,
                venue_sequence: row.agg_id,
                ts_event_ns: ns_of_ms(row.trade_ms),
                ..*stamp
            };
            match row.value {
                Some(value) if is_placeholder(value) => {}
                Some((price, size)) => {
                    publisher.trade(&stamp, &TradeBody::new(price, size, row.side, row.agg_id))
                }
                None => gap(publisher, &stamp, Reason::Unrepresentable, row.agg_id, row.agg_id, now),
            }
        }
        if missing.next_id > missing.last_id {
            self.retries = 0;
            return;
        }
        if rows.iter().any(|row| row.agg_id > missing.last_id) {
            // The venue is past the hole and did not have its end.
            gap(publisher, stamp, Reason::VenueHistoryExhausted, missing.next_id, missing.last_id, now);
            self.retries = 0;
            return;
        }
        self.missing.push_front(missing);
        if progressed {
            self.retries = 0;
        } else {
            self.retry_or_give_up(None, publisher, stamp, now);
        }
    }

    /// REST did not answer.
    pub fn on_failed(
        &mut self,
        token: u64,
        error: &FetchError,
        publisher: &mut Publisher,
        stamp: &Stamp,
        now: Now,
    ) {
        if self.asked != Some(token) {
            return;
        }
        self.asked = None;
        if self.probing_after.take().is_some() {
            self.probe_at_mono_ns = Some(now.after_ms(FILL_RETRY_LAST_MS));
            return;
        }
        match error {
            FetchError::RateLimited { retry_after_ms } => {
                // The venue's limit is not the fill's fault: it costs no retry.
                self.not_before_mono_ns = now.after_ms(*retry_after_ms);
            }
            FetchError::Permanent { .. } => {
                self.retries = FILL_RETRIES_MAX;
                self.retry_or_give_up(None, publisher, stamp, now);
            }
            FetchError::Transient(_) | FetchError::Overflow => {
                self.retry_or_give_up(None, publisher, stamp, now)
            }
        }
    }

    fn retry_or_give_up(
        &mut self,
        delay_ms: Option<u64>,
        publisher: &mut Publisher,
        stamp: &Stamp,
        now: Now,
    ) {
        if self.retries >= FILL_RETRIES_MAX {
            if let Some(missing) = self.missing.pop_front() {
                gap(publisher, stamp, Reason::VenueHistoryExhausted, missing.next_id, missing.last_id, now);
            }
            self.retries = 0;
            return;
        }
        let step = (FILL_RETRY_FIRST_MS << self.retries.min(8)).min(FILL_RETRY_LAST_MS);
        self.retries += 1;
        self.not_before_mono_ns = now.after_ms(delay_ms.unwrap_or(step));
    }
}

/// Whether a price and size only use an id up: the venue has shown zeros for what is no trade of the market.
const fn is_placeholder((price, size): (Price, Size)) -> bool {
    price.raw() == 0 || size.raw() == 0
}

fn gap(publisher: &mut Publisher, stamp: &Stamp, reason: Reason, first: u64, last: u64, now: Now) {
    let body = GapBody::new(reason, (last - first).saturating_add(1), first, last);
    publisher.gap(Venue::Binance, stamp.instrument, Stream::Trades, &body, now);
}
