//! The Binance USDⓈ-M session: two kinds of connection, books joined to snapshots, trades by aggregate id,
//! candles and funding.
//!
//! Source of every rule: the venue's documentation and measurements of 2026, told where they apply.

mod answers;
mod book_sync;
mod deadlines;
mod event_buffer;
mod feed;
mod funding;
mod groups;
mod links;
mod placement;
mod rotation;
mod stream_states;
mod symbol;
mod trade_sync;
mod universe;

use self::feed::Feed;
use super::account::Account;
use super::settings::Settings;
use super::{CandleSeed, CloseCause, Generation, Interest, Link, Out, Session};
use crate::fetch::Fetched;
use codec::drift::DriftTable;
use codec::time::Now;
use codec::venues::DecodeError;
use codec::venues::binance::{Decoder, Message};
use codec::words::Venue;
use std::sync::Arc;

const VENUE: Venue = Venue::Binance;

/// See the module.
pub struct BinanceSession {
    /// Lends its buffers to each message, so everything else is kept apart.
    decoder: Decoder,
    feed: Feed,
}

impl BinanceSession {
    /// A session that does nothing until it is started.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { decoder: Decoder::new(), feed: Feed::new(settings) }
    }

    /// As [`Session::on_message`], with a message that is read already. For tests and simulations.
    #[doc(hidden)]
    pub fn on_decoded(&mut self, link: Link, message: &Message<'_>, now: Now, out: &mut Out<'_>) {
        self.feed.on_decoded(link, message, now, out);
    }
}

impl Session for BinanceSession {
    fn venue(&self) -> Venue {
        VENUE
    }

    fn on_start(&mut self, now: Now, out: &mut Out<'_>) {
        self.feed.on_start(now, out);
    }

    fn on_connected(&mut self, link: Link, generation: Generation, now: Now, out: &mut Out<'_>) {
        self.feed.on_connected(link, generation, now, out);
    }

    fn on_closed(
        &mut self,
        link: Link,
        generation: Generation,
        cause: &CloseCause,
        now: Now,
        out: &mut Out<'_>,
    ) {
        self.feed.on_closed(link, generation, cause, now, out);
    }

    fn on_message(&mut self, link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        match self.decoder.decode(message) {
            Ok(decoded) => {
                self.feed.on_decoded(link, &decoded, now, out);
                if let Message::Other { stream, event } = decoded {
                    self.feed.on_unknown(stream, event, message, now, out);
                }
            }
            Err(error) => self.feed.on_unreadable(&error, message, now, out),
        }
        if self.decoder.strange().has_news() {
            self.feed.drift.on_strange(self.decoder.strange(), message, now, out);
        }
    }

    fn on_binary(&mut self, _link: Link, message: &[u8], now: Now, out: &mut Out<'_>) {
        self.feed.on_unreadable(&DecodeError::Malformed("a text frame"), message, now, out);
    }

    fn on_pong(&mut self, _link: Link, _now: Now, _out: &mut Out<'_>) {}

    fn on_ping(&mut self, link: Link, now: Now, _out: &mut Out<'_>) {
        self.feed.on_ping(link, now);
    }

    fn on_fetched(&mut self, fetched: Fetched, now: Now, out: &mut Out<'_>) {
        self.feed.on_fetched(fetched, now, out);
    }

    fn on_tick(&mut self, now: Now, out: &mut Out<'_>) {
        self.feed.drift.count(self.decoder.strange(), out);
        self.feed.on_tick(now, out);
    }

    fn on_interest(&mut self, interest: &Interest) {
        self.feed.on_interest(interest);
    }

    fn on_seed(&mut self, seed: &CandleSeed, now: Now, out: &mut Out<'_>) {
        self.feed.on_seed(seed, now, out);
    }

    fn on_shutdown(&mut self, now: Now, out: &mut Out<'_>) {
        self.feed.on_shutdown(now, out);
    }

    fn account(&self) -> Option<Arc<Account>> {
        Some(Arc::clone(&self.feed.account))
    }

    fn drift(&self) -> Option<Arc<DriftTable>> {
        Some(self.feed.drift.table())
    }
}
