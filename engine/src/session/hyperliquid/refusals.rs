//! What the venue refuses: in words, by a limit, by death of the connection, or by never acknowledging it.

use super::links::{Carried, Channel, LinkTrouble, NO_SYMBOL};
use super::quarantine::Finding;
use super::{HyperliquidSession, PROBE_LINK, VENUE, names};
use crate::event::{Event, Severity};
use crate::limits::HYPERLIQUID_LIMIT_REST_MS;
use crate::session::lifecycle::SilenceLimits;
use crate::session::{Action, Generation, Out};
use codec::time::Now;
use codec::venues::hyperliquid::{Subscription, parse_subscription};
use codec::words::{Reason, State, Stream};

/// The venue's limits, by the words it tells them with (seen 2025-11); they name no stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Subscriptions,
    Messages,
    Users,
}

impl Limit {
    fn of_text(text: &str) -> Option<Self> {
        Some(match text {
            text if text.starts_with("Cannot subscribe to more than") => Self::Subscriptions,
            text if text.starts_with("Cannot send more than") => Self::Messages,
            text if text.starts_with("Cannot track more than") => Self::Users,
            _ => return None,
        })
    }
}

/// On the probe nothing is judged by silence.
const ANY_SILENCE: SilenceLimits = SilenceLimits { stale_ms: u64::MAX, reconnect_ms: u64::MAX };

impl HyperliquidSession {
    /// The venue's errors are plain strings; "Already subscribed" is as good as an acknowledgement.
    pub(super) fn on_error_text(&mut self, at: usize, text: &str, now: Now, out: &mut Out<'_>) {
        match parse_subscription(text.as_bytes()) {
            Some((true, subscription)) => return self.on_acknowledged(at, &subscription, now, out),
            Some((false, subscription)) => self.on_refused(at, &subscription, now, out),
            None => {
                if let Some(limit) = Limit::of_text(text) {
                    self.on_limit(at, limit, now, out);
                }
            }
        }
        (out.events)(Event::new(Severity::Error, Some(VENUE), "venue refused a request").detail(text));
    }

    fn on_refused(&mut self, at: usize, refused: &Subscription<'_>, now: Now, out: &mut Out<'_>) {
        let index = self.table.get(refused.coin).unwrap_or(NO_SYMBOL);
        let carried = match self.links.get_mut(at) {
            Some(link) => link.refuse(index, refused).inspect(|one| self.quarantine.condemn(*one, now)),
            None => self.quarantine.refuse(index, refused, now),
        };
        if at == self.links.len() && self.quarantine.is_idle() {
            self.quarantine.put_off(0, now);
            out.actions.push_back(Action::Close { link: PROBE_LINK });
        }
        if let Some(carried) = carried {
            self.on_finding(Finding::Condemned(carried), now, out);
        }
    }

    /// A limit is reached: each refusal stands for one request, and the youngest are the ones to do without.
    fn on_limit(&mut self, at: usize, limit: Limit, now: Now, out: &mut Out<'_>) {
        let until = now.after_ms(HYPERLIQUID_LIMIT_REST_MS);
        match (limit, self.links.get_mut(at)) {
            (Limit::Messages, _) => {
                self.links.iter_mut().for_each(|link| link.rest(until));
                self.quarantine.probe.rest(until);
            }
            (_, None) => {
                self.quarantine.put_off(HYPERLIQUID_LIMIT_REST_MS, now);
                out.actions.push_back(Action::Close { link: PROBE_LINK });
            }
            (Limit::Subscriptions, Some(link)) => {
                if let Some(carried) = link.youngest_due() {
                    link.leave_out(carried);
                    self.tell_left_out(carried, Reason::Shed, now, out);
                }
            }
            (Limit::Users, Some(link)) => {
                let carried = Carried { symbol: NO_SYMBOL, channel: Channel::UserFills };
                if link.leave_out(carried) {
                    self.tell_left_out(carried, Reason::Shed, now, out);
                }
            }
        }
    }

    /// A stream is not subscribed for now.
    pub(super) fn tell_left_out(&mut self, carried: Carried, reason: Reason, now: Now, out: &mut Out<'_>) {
        self.lose_stream(carried, (State::Down, reason), now, out);
        let Some(symbol) = self.symbols.get_mut(carried.symbol) else { return };
        match (carried.channel, &mut symbol.candles, &mut symbol.book) {
            (Channel::Candle(interval), Some(candles), _) => {
                let are_others_live = candles.on_refused(interval);
                let live = (State::Live, Reason::None);
                if are_others_live {
                    candles.state.set(out.publisher, (VENUE, symbol.instrument, Stream::Candles), live, now);
                }
            }
            (Channel::DefaultBook, _, Some(book)) => book.fused.set_fast_is_whole(true),
            _ => {}
        }
    }

    /// What was left out for now is tried again.
    pub(super) fn readmit(&mut self, now: Now, out: &mut Out<'_>) {
        for at in 0..self.links.len() {
            for carried in self.links[at].readmit() {
                self.await_stream(carried, now, out);
                if carried.channel == Channel::DefaultBook
                    && let Some(book) = self.symbols.get_mut(carried.symbol).and_then(|one| one.book.as_mut())
                {
                    book.fused.set_fast_is_whole(false);
                }
            }
        }
    }

    /// Subscriptions were not acknowledged in time, twice: whether the connection has to be made anew for it.
    pub(super) fn give_up_late(&mut self, at: usize, now: Now, out: &mut Out<'_>) -> bool {
        let (left_out, others) = self.links[at].give_up_late(now);
        for carried in left_out {
            let what = "subscription never acknowledged, left out for now";
            (out.events)(
                Event::new(Severity::Error, Some(VENUE), what)
                    .about(self.table.name(carried.symbol))
                    .detail(&format!("{:?}", carried.channel)),
            );
            self.tell_left_out(carried, Reason::Rejected, now, out);
        }
        others
    }

    /// The connection that suspects are tried on is gone.
    pub(super) fn on_probe_closed(&mut self, generation: Generation, now: Now) {
        let life = &self.quarantine.probe.life;
        if life.is_current(generation) {
            let was_open = life.is_open();
            self.quarantine.on_died(was_open, now);
        }
    }

    pub(super) fn tick_quarantine(&mut self, now: Now, out: &mut Out<'_>) {
        let mut findings = self.quarantine.on_tick(now);
        let mut close = || out.actions.push_back(Action::Close { link: PROBE_LINK });
        if self.quarantine.is_survived(now) {
            close();
            findings.push(self.quarantine.acquit(now));
        }
        match self.quarantine.probe.trouble(now, ANY_SILENCE) {
            Some(LinkTrouble::ConnectTimeout) => {
                close();
                self.quarantine.on_died(false, now);
            }
            Some(LinkTrouble::AckTimeout | LinkTrouble::PongTimeout) => {
                close();
                self.quarantine.on_died(true, now);
            }
            Some(LinkTrouble::Silent | LinkTrouble::Dead) | None => {}
        }
        let names = names(&self.coins_json, &self.settings);
        self.quarantine.drive(now, &self.settings.websocket_url, &names, &mut self.pace, out.actions);
        for finding in findings {
            self.on_finding(finding, now, out);
        }
    }

    fn on_finding(&mut self, finding: Finding, now: Now, out: &mut Out<'_>) {
        match finding {
            Finding::Acquitted(innocent) => {
                for carried in innocent {
                    for link in &mut self.links {
                        link.acquit(carried);
                    }
                }
            }
            Finding::Condemned(carried) => {
                if self.links.iter().all(|link| !link.holds(carried)) {
                    // Its symbol was dropped meanwhile.
                    self.quarantine.forget(carried);
                    return;
                }
                let what = "subscription refused by the venue, left out";
                (out.events)(
                    Event::new(Severity::Error, Some(VENUE), what)
                        .about(self.table.name(carried.symbol))
                        .detail(&format!("{:?}", carried.channel)),
                );
                for link in &mut self.links {
                    link.condemn(carried);
                }
                self.tell_left_out(carried, Reason::Rejected, now, out);
            }
        }
    }
}
