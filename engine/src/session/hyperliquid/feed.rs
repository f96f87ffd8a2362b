//! What the venue sends: each message to whom it concerns.

use super::fills::in_order;
use super::listing::unknown_body;
use super::symbol::Symbol;
use super::{HyperliquidSession, PROBE_LINK, VENUE};
use crate::event::{Event, Severity};
use crate::limits::LISTS_OLD_REFRESH_MS;
use crate::publisher::Stamp;
use crate::session::settings::Settings;
use crate::session::states::StreamState;
use crate::session::symbols::SymbolTable;
use crate::session::{Link, Out};
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
        if at > self.links.len() {
            return;
        }
        let is_probe = link == PROBE_LINK;
        let venue_ms = self.venue_now_ms(now);
        let Self { decoder, symbols, table, changes, venue_clock, unexpected, .. } = self;
        match decoder.decode(message) {
            Ok(Message::Subscribed(echoed)) => {
                let echoed = Echo::of(&echoed);
                self.on_acknowledged(at, &echoed.subscription(), now, out);
                return;
            }
            Ok(Message::Error(text)) => {
                let text = text.to_owned();
                self.on_error_text(at, &text, now, out);
                return;
            }
            Ok(Message::Pong) => {
                self.links.get_mut(at).unwrap_or(&mut self.quarantine.probe).on_pong();
                return;
            }
            // The same comes by the connection where it belongs.
            Ok(_) if is_probe => return,
            Ok(Message::Book(frame)) if !frame.aggregated => match carried(table, symbols, frame.coin) {
                Some(index) => {
                    venue_clock.on_event(frame.time_ms, now);
                    symbols[index].on_book(&frame, link, changes, now, out);
                }
                None => *unexpected += 1,
            },
            Ok(Message::Bbo(bbo)) => match carried(table, symbols, bbo.coin) {
                Some(index) => {
                    venue_clock.on_event(bbo.time_ms, now);
                    symbols[index].on_bbo(&bbo, link, changes, now, out);
                }
                None => *unexpected += 1,
            },
            Ok(Message::Trades(trades)) => {
                let Some(first) = trades.first() else { return };
                match carried(table, symbols, first.coin) {
                    Some(index) if trades.iter().all(|trade| trade.coin == first.coin) => {
                        let symbol = &mut symbols[index];
                        let stamp = Stamp { source: link, ..Stamp::now(VENUE, symbol.instrument, now) };
                        if let Some(sync) = &mut symbol.trades {
                            let candles = symbol.candles.as_deref_mut();
                            sync.on_trades(trades, candles, out.publisher, &stamp, now);
                        }
                    }
                    _ => *unexpected += 1,
                }
            }
            Ok(Message::Candles(frames)) => {
                for frame in frames {
                    let (Some(index), Some(interval)) = (carried(table, symbols, frame.coin), frame.interval)
                    else {
                        *unexpected += 1;
                        continue;
                    };
                    venue_clock.on_running(interval, &frame.row, now);
                    let venue_ms = venue_clock.ms(now);
                    let symbol = &mut symbols[index];
                    if let Some(candles) = &mut symbol.candles {
                        let source = Self::candle_source(symbol.instrument, link, venue_ms, now, out);
                        candles.on_frame(interval, &frame.row, false, 0, source);
                    }
                }
            }
            Ok(Message::AssetCtx(ctx)) => match carried(table, symbols, ctx.coin) {
                Some(index) => symbols[index].on_ctx(&ctx, link, venue_ms, now, out),
                None => *unexpected += 1,
            },
            Ok(Message::DexCtxs(ctxs)) => {
                let mut is_old = false;
                self.bulk_ctx.data_mono_ns = now.mono_ns;
                for one in ctxs {
                    let Some((_, places)) = self.ctx_places.iter().find(|(dex, _)| dex == one.dex) else {
                        continue;
                    };
                    if places.len() != one.count as usize {
                        is_old = true;
                    } else if let Some(Some(index)) = places.get(one.position as usize)
                        && let Some(symbol) = symbols.get_mut(*index).filter(|symbol| symbol.carried)
                    {
                        symbol.on_ctx(&one.ctx, link, venue_ms, now, out);
                    }
                }
                if is_old {
                    self.lists_are_old(now);
                }
            }
            Ok(Message::UserFills(fills)) => {
                if self
                    .settings
                    .account_address
                    .as_deref()
                    .is_none_or(|own| !own.eq_ignore_ascii_case(fills.user))
                {
                    *unexpected += 1;
                    return;
                }
                self.fills.on_frame(fills.fills, fills.is_snapshot, out.publisher, now);
                for fill in in_order(fills.fills, fills.is_snapshot) {
                    if !self.fills.is_new(fill) {
                        continue;
                    }
                    let instrument = match table.get(fill.coin) {
                        Some(index) => symbols[index].instrument,
                        None => *self
                            .fill_instruments
                            .entry(fill.coin.to_owned())
                            .or_insert_with(|| define_for_fill(fill.coin, &self.settings, now, out)),
                    };
                    self.fills.on_fill(fill, fills.is_snapshot, out.publisher, (instrument, link), now);
                }
                self.fills.on_frame_done(fills.is_snapshot);
            }
            Ok(_) => return,
            Err(error) => {
                let what = error.to_string();
                self.on_unreadable(&what, message, out);
                return;
            }
        }
        self.venue_state.touch(now);
        if self.links[at].life.on_data(now) {
            self.wake_link(at, now, out);
        }
    }

    #[cold]
    fn on_unreadable(&mut self, what: &str, message: &[u8], out: &mut Out<'_>) {
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
