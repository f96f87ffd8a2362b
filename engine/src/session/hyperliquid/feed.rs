//! What the venue sends: each message to whom it concerns.

use super::fills::in_order;
use super::listing::unknown_body;
use super::symbol::Symbol;
use super::{HyperliquidSession, PROBE_LINK, VENUE};
use crate::event::{Event, Severity};
use crate::limits::LISTS_OLD_REFRESH_MS;
use crate::publisher::Stamp;
use crate::session::account::{Channel, Check, DropReason, Outcome};
use crate::session::settings::Settings;
use crate::session::states::StreamState;
use crate::session::symbols::SymbolTable;
use crate::session::{Link, Out};
use codec::drift::DriftKind;
use codec::record::NO_INSTRUMENT;
use codec::time::Now;
use codec::venues::hyperliquid::{Message, Subscription};
use codec::words::{InstrumentStatus, Reason, State};

/// An acknowledged subscription, kept beside the decoder that lent it.
struct Echo {
    kind: String,
    coin: String,
    interval: String,
    fast: bool,
}

impl Echo {
    fn of(subscription: &Subscription<'_>) -> Self {
        Self {
            kind: subscription.kind.to_owned(),
            coin: subscription.coin.to_owned(),
            interval: subscription.interval.to_owned(),
            fast: subscription.fast,
        }
    }

    fn subscription(&self) -> Subscription<'_> {
        let Self { kind, coin, interval, fast } = self;
        Subscription { kind, coin, interval, fast: *fast, user: "", dex: "" }
    }
}

const CONTROL: Outcome = Outcome::Dropped(DropReason::Control);
const NOT_CARRIED: Outcome = Outcome::Dropped(DropReason::NotCarried);

/// What a message is about.
const fn channel_of(message: &Message<'_>) -> Channel {
    match message {
        Message::Book(_) => Channel::Orderbook,
        Message::Bbo(_) => Channel::Quotes,
        Message::Trades(_) => Channel::Trades,
        Message::Candles(_) => Channel::Candles,
        Message::AssetCtx(_) | Message::DexCtxs(_) => Channel::Funding,
        Message::UserFills(_) => Channel::Fills,
        Message::Subscribed(_)
        | Message::Unsubscribed(_)
        | Message::Error(_)
        | Message::Pong
        | Message::Post { .. }
        | Message::Text => Channel::Control,
        Message::Other { .. } => Channel::Unknown,
    }
}

/// How many things stand for themselves in a message.
const fn items_of(message: &Message<'_>) -> u64 {
    (match message {
        Message::Trades(trades) => trades.len(),
        Message::Candles(candles) => candles.len(),
        Message::DexCtxs(ctxs) => ctxs.len(),
        Message::UserFills(fills) => fills.fills.len(),
        _ => 1,
    }) as u64
}

/// The symbol of a coin. Frames of one that is not carried were on their way when it was dropped.
fn carried(table: &SymbolTable, symbols: &[Symbol], coin: &str) -> Option<usize> {
    table.get(coin).filter(|index| symbols[*index].carried)
}

/// An instrument of which nothing but the account's fills comes: not one that is carried.
#[cold]
fn define_for_fill(coin: &str, settings: &Settings, now: Now, out: &mut Out<'_>) -> u32 {
    let Some(body) = unknown_body(coin, InstrumentStatus::Delisted) else { return NO_INSTRUMENT };
    let instrument = out.publisher.define(VENUE, body, now);
    for &stream in &settings.streams {
        let down = (State::Down, Reason::NotConfigured);
        StreamState::new().set(out.publisher, (VENUE, instrument, stream), down, now);
    }
    instrument
}

impl HyperliquidSession {
    pub(super) fn take_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        let at = usize::from(link);
        let is_probe = link == PROBE_LINK;
        let venue_ms = self.venue_now_ms(now);
        let Self {
            decoder,
            symbols,
            table,
            changes,
            venue_clock,
            account,
            drift,
            fast_cadence,
            default_cadence,
            ..
        } = self;
        let decoded = match decoder.decode(message) {
            Ok(decoded) => decoded,
            Err(error) => {
                let what = error.to_string();
                self.on_unreadable(&what, message, now, out);
                return;
            }
        };
        if at <= self.links.len() {
            let state = self.links.get_mut(at).unwrap_or(&mut self.quarantine.probe);
            if !matches!(decoded, Message::Text) {
                state.on_spoken();
            } else if !state.may_greet() {
                self.on_unreadable("text where JSON was expected", message, now, out);
                return;
            }
        }
        let channel = channel_of(&decoded);
        account.message(channel);
        if at > self.links.len() {
            account.items(channel, Outcome::Dropped(DropReason::GivenUp), items_of(&decoded), now);
            return;
        }
        let check = Check::begin(out.publisher);
        let one = |outcome: Outcome, out: &Out<'_>| {
            check.end(outcome, false, out.publisher);
            account.items(channel, outcome, 1, now);
        };
        match decoded {
            Message::Subscribed(echoed) => {
                one(CONTROL, out);
                let echoed = Echo::of(&echoed);
                self.on_acknowledged(at, &echoed.subscription(), now, out);
                return;
            }
            Message::Error(text) => {
                one(CONTROL, out);
                let text = text.to_owned();
                self.on_error_text(at, &text, now, out);
                return;
            }
            Message::Pong => {
                one(CONTROL, out);
                self.links.get_mut(at).unwrap_or(&mut self.quarantine.probe).on_pong();
                return;
            }
            Message::Unsubscribed(_) | Message::Post { .. } | Message::Text => {
                one(CONTROL, out);
                return;
            }
            Message::Other { channel } => {
                one(Outcome::Dropped(DropReason::Unknown), out);
                let what = if channel.is_empty() { "(no name)" } else { channel };
                drift.note(DriftKind::NewChannel, what, message, now, out);
                return;
            }
            // The same comes by the connection where it belongs.
            message if is_probe => {
                account.items(channel, Outcome::Dropped(DropReason::Probe), items_of(&message), now);
                return;
            }
            Message::Book(frame) => {
                let index = carried(table, symbols, frame.coin).filter(|_| !frame.aggregated);
                let (cadence, what) =
                    if frame.fast { (fast_cadence, "l2Book fast") } else { (default_cadence, "l2Book") };
                if let Some(index) = index
                    && let Some(change) = cadence.on_message(index, frame.time_ms, true, now.mono_ns)
                {
                    drift.on_cadence(what, cadence.expected_ms(), change, now, out);
                }
                let outcome = index.map_or(NOT_CARRIED, |index| {
                    venue_clock.on_event(frame.time_ms, now);
                    symbols[index].on_book(&frame, link, changes, now, out)
                });
                one(outcome, out);
            }
            Message::Bbo(bbo) => {
                let outcome = carried(table, symbols, bbo.coin).map_or(NOT_CARRIED, |index| {
                    venue_clock.on_event(bbo.time_ms, now);
                    symbols[index].on_bbo(&bbo, link, changes, now, out)
                });
                one(outcome, out);
            }
            Message::Trades(trades) => {
                let Some(first) = trades.first() else { return };
                let index = carried(table, symbols, first.coin)
                    .filter(|_| trades.iter().all(|trade| trade.coin == first.coin));
                let symbol = index.map(|index| &mut symbols[index]);
                match symbol {
                    Some(Symbol { trades: Some(sync), candles, instrument, .. }) => {
                        let stamp = Stamp { source: link, ..Stamp::now(VENUE, *instrument, now) };
                        let to = (&mut *out.publisher, &**account);
                        sync.on_trades(trades, candles.as_deref_mut(), to, &stamp, now);
                    }
                    _ => account.items(channel, NOT_CARRIED, trades.len() as u64, now),
                }
            }
            Message::Candles(frames) => {
                for frame in frames {
                    let check = Check::begin(out.publisher);
                    let index = carried(table, symbols, frame.coin);
                    let outcome = match (index.map(|index| &mut symbols[index]), frame.interval) {
                        (Some(Symbol { candles: Some(candles), instrument, .. }), Some(interval)) => {
                            venue_clock.on_running(interval, &frame.row, now);
                            let venue_ms = venue_clock.ms(now);
                            let source = Self::candle_source(*instrument, link, venue_ms, now, out);
                            candles.on_frame(interval, &frame.row, false, 0, source)
                        }
                        _ => NOT_CARRIED,
                    };
                    check.end(outcome, true, out.publisher);
                    account.items(channel, outcome, 1, now);
                }
            }
            Message::AssetCtx(ctx) => {
                let outcome = carried(table, symbols, ctx.coin)
                    .map_or(NOT_CARRIED, |index| symbols[index].on_ctx(&ctx, link, venue_ms, now, out));
                one(outcome, out);
            }
            Message::DexCtxs(ctxs) => {
                let mut is_old = false;
                self.bulk_ctx.data_mono_ns = now.mono_ns;
                for one in ctxs {
                    let places = self.ctx_places.iter().find(|(dex, _)| dex == one.dex);
                    let outcome = match places {
                        Some((_, places)) if places.len() != one.count as usize => {
                            is_old = true;
                            Outcome::Dropped(DropReason::Misplaced)
                        }
                        Some((_, places)) => {
                            let index = places.get(one.position as usize).copied().flatten();
                            let symbol = index.and_then(|index| symbols.get_mut(index));
                            symbol.filter(|symbol| symbol.carried).map_or(NOT_CARRIED, |symbol| {
                                symbol.on_ctx(&one.ctx, link, venue_ms, now, out)
                            })
                        }
                        None => NOT_CARRIED,
                    };
                    account.items(channel, outcome, 1, now);
                }
                if is_old {
                    self.lists_are_old(now);
                }
            }
            Message::UserFills(fills) => {
                let own = self.settings.account_address.as_deref();
                if own.is_none_or(|own| !own.eq_ignore_ascii_case(fills.user)) {
                    account.items(channel, NOT_CARRIED, fills.fills.len() as u64, now);
                    return;
                }
                self.fills.on_frame(fills.fills, fills.is_snapshot, out.publisher, now);
                for fill in in_order(fills.fills, fills.is_snapshot) {
                    if !self.fills.is_new(fill) {
                        account.items(channel, Outcome::Dropped(DropReason::Duplicate), 1, now);
                        continue;
                    }
                    let instrument = match table.get(fill.coin) {
                        Some(index) => symbols[index].instrument,
                        None => *self
                            .fill_instruments
                            .entry(fill.coin.to_owned())
                            .or_insert_with(|| define_for_fill(fill.coin, &self.settings, now, out)),
                    };
                    let of = (instrument, link);
                    let outcome = self.fills.on_fill(fill, fills.is_snapshot, out.publisher, of, now);
                    account.items(channel, outcome, 1, now);
                }
                self.fills.on_frame_done(fills.is_snapshot);
            }
        }
        self.venue_state.touch(now);
        if self.links[at].life.on_data(now) {
            self.wake_link(at, now, out);
        }
    }

    #[cold]
    pub(super) fn on_unreadable(&mut self, what: &str, message: &[u8], now: Now, out: &mut Out<'_>) {
        self.account.one(Channel::Unknown, Outcome::Dropped(DropReason::Malformed), now);
        self.malformed += 1;
        self.malformed_untold += 1;
        let shown = String::from_utf8_lossy(&message[..message.len().min(96)]);
        (out.events)(
            Event::new(Severity::Warn, Some(VENUE), "message that cannot be read, dropped")
                .about(what)
                .detail(&shown)
                .number(self.malformed),
        );
    }

    /// The venue has another number of coins than we know of: its lists are asked for again.
    fn lists_are_old(&mut self, now: Now) {
        let soon = now.after_ms(LISTS_OLD_REFRESH_MS);
        if let Some(at) = &mut self.instruments_at_mono_ns {
            *at = (*at).min(soon);
        }
    }
}
