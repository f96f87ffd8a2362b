//! Streams that are acknowledged and silent: asked for again first, and only then is their connection replaced.
//!
//! ```text
//!   acknowledged ──10 s without data──▶ told, asked again ──10 s──▶ connection replaced, if that was not
//!        ▲                                                             tried of late ──▶ asked again now and
//!        └──── data, from anywhere                                     then
//! ```
//! Judged are books, quotes and mark prices. A book or a quote is also suspect once the other has left it
//! behind: a quiet market leaves neither. Candles are judged by their symbol's trades: where these go on for
//! seconds without a frame, the stream is suspect.

use super::VENUE;
use super::feed::Feed;
use super::links::{Carried, StreamName};
use super::symbol::Symbol;
use crate::event::{Event, Severity};
use crate::limits::{BINANCE_KLINE_BEHIND_TRADES_MS, BINANCE_STREAM_RETRY_MS, FIRST_DATA_DEADLINE_MS};
use crate::session::Out;
use crate::session::states::StreamState;
use codec::drift::DriftKind;
use codec::time::{Now, ns_of_ms};
use codec::words::{Interval, Reason, State, Stream};

/// What is told of candles of which one stream is silent.
const KLINE_SILENT: (State, Reason) = (State::Stale, Reason::NoFirstData);

/// What is known about one acknowledged stream's silence.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// When it was first acknowledged on this connection, monotonic ns; 0: not.
    acked_mono_ns: u64,
    /// Since when it is suspect; 0: it is not.
    suspect_mono_ns: u64,
    not_before_mono_ns: u64,
    tries: u32,
}

impl Watch {
    pub(super) const fn on_acked(&mut self, now: Now) {
        if self.acked_mono_ns == 0 {
            self.acked_mono_ns = now.mono_ns;
        }
    }

    /// The symbol trades again: from here on its silence counts.
    pub(super) const fn begin_anew(&mut self, now: Now) {
        if self.suspect_mono_ns != 0 {
            self.suspect_mono_ns = now.mono_ns;
        }
        self.not_before_mono_ns = 0;
        self.tries = 0;
    }
}

/// What is known about one candle stream's silence: the symbol's trades tell whether it is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct KlineWatch {
    interval: Interval,
    pub(super) watch: Watch,
    /// When its last frame came, monotonic ns; 0: none yet.
    data_mono_ns: u64,
}

impl KlineWatch {
    pub(super) fn new(interval: Interval) -> Self {
        Self { interval, watch: Watch::default(), data_mono_ns: 0 }
    }
}

/// What a silent stream asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    AskAgain { tell: bool },
    Renew,
}

impl Symbol {
    pub(super) fn watch_of(&mut self, name: StreamName) -> Option<&mut Watch> {
        match name {
            StreamName::Depth => Some(&mut self.watches[0]),
            StreamName::BookTicker => Some(&mut self.watches[1]),
            StreamName::MarkPrice => Some(&mut self.watches[2]),
            StreamName::Kline(interval) => {
                let kline = self.klines.iter_mut().find(|kline| kline.interval == interval);
                kline.map(|kline| &mut kline.watch)
            }
            _ => None,
        }
    }

    /// Whether some candle stream has been told silent, and still is.
    pub(super) fn has_silent_kline(&self) -> bool {
        self.klines.iter().any(|kline| kline.watch.tries > 0)
    }

    /// A candle frame came.
    pub(super) fn on_kline_seen(&mut self, interval: Interval, now: Now, out: &mut Out<'_>) {
        let Some(kline) = self.klines.iter_mut().find(|kline| kline.interval == interval) else { return };
        kline.data_mono_ns = now.mono_ns;
        if kline.watch.tries == 0 {
            return;
        }
        kline.watch = Watch { acked_mono_ns: kline.watch.acked_mono_ns, ..Watch::default() };
        if let Some(candles) = &mut self.candles
            && (candles.state.state, candles.state.reason) == KLINE_SILENT
            && self.klines.iter().all(|kline| kline.watch.tries == 0)
        {
            self.set_candles(State::Live, Reason::None, now, out);
        }
    }

    /// Whether the symbol has traded for longer than its candles of an interval take to follow.
    fn is_kline_behind(&self, interval: Interval) -> Option<bool> {
        let kline = self.klines.iter().find(|kline| kline.interval == interval)?;
        // A placeholder is no trade, and no candle follows it.
        let traded_mono_ns = self.trades.as_ref()?.traded_mono_ns();
        let since_mono_ns = kline.data_mono_ns.max(kline.watch.acked_mono_ns);
        Some(traded_mono_ns > since_mono_ns + ns_of_ms(BINANCE_KLINE_BEHIND_TRADES_MS))
    }

    fn state_of(&self, name: StreamName) -> Option<&StreamState> {
        match name {
            StreamName::Depth => self.book.as_ref().map(|book| book.state()),
            StreamName::BookTicker => self.quote.as_ref().map(|quote| &quote.state),
            StreamName::MarkPrice => self.funding.as_ref().map(|funding| &funding.state),
            _ => None,
        }
    }

    /// What the silence of an acknowledged stream asks for now.
    fn remedy(&mut self, name: StreamName, now: Now) -> Option<Remedy> {
        let acked_mono_ns = self.watch_of(name)?.acked_mono_ns;
        if acked_mono_ns == 0 {
            return None;
        }
        let (no_data, behind) = if let StreamName::Kline(interval) = name {
            (false, self.is_kline_behind(interval)?)
        } else {
            let state = *self.state_of(name)?;
            let behind =
                state.state == State::Stale && matches!(state.reason, Reason::BehindQuote | Reason::Silence);
            (state.data_mono_ns < acked_mono_ns, behind)
        };
        let watch = self.watch_of(name)?;
        if !no_data && !behind {
            if watch.tries > 0 && matches!(name, StreamName::Kline(_)) {
                // Only a frame shows that it speaks again.
                return None;
            }
            *watch = Watch { acked_mono_ns: watch.acked_mono_ns, ..Watch::default() };
            return None;
        }
        if watch.suspect_mono_ns == 0 {
            watch.suspect_mono_ns = if no_data { watch.acked_mono_ns } else { now.mono_ns };
        }
        let deadline_ns = ns_of_ms(FIRST_DATA_DEADLINE_MS);
        if now.mono_ns.saturating_sub(watch.suspect_mono_ns) < deadline_ns
            || now.mono_ns < watch.not_before_mono_ns
        {
            return None;
        }
        watch.tries += 1;
        let pause_ms = if watch.tries == 1 { FIRST_DATA_DEADLINE_MS } else { BINANCE_STREAM_RETRY_MS };
        watch.not_before_mono_ns = now.after_ms(pause_ms);
        let tell = no_data || matches!(name, StreamName::Kline(_));
        Some(if watch.tries % 2 == 1 { Remedy::AskAgain { tell } } else { Remedy::Renew })
    }

    fn tell_no_data(&mut self, name: StreamName, source: u8, now: Now, out: &mut Out<'_>) {
        let reason = if self.halted { Reason::Halted } else { Reason::NoFirstData };
        let (instrument, silent) = (self.instrument, (State::Down, reason));
        match (name, &mut self.book, &mut self.quote, &mut self.funding) {
            // What closes is known by REST; what is open is not current.
            (StreamName::Kline(_), ..) => self.set_candles(KLINE_SILENT.0, KLINE_SILENT.1, now, out),
            (StreamName::Depth, Some(book), ..) => {
                let mut cx =
                    super::book_sync::BookContext { publisher: out.publisher, instrument, source, now };
                book.set_state(silent.0, silent.1, &mut cx);
            }
            // One that the book has told the best prices is judged by the book (`check_quote`).
            (StreamName::BookTicker, _, Some(quote), _) if !quote.state.is_live() => {
                quote.state.set(out.publisher, (VENUE, instrument, Stream::Quotes), silent, now);
            }
            (StreamName::MarkPrice, _, _, Some(funding)) => {
                funding.state.set(out.publisher, (VENUE, instrument, Stream::Funding), silent, now);
            }
            _ => {}
        }
    }
}

impl Feed {
    /// Looks after every acknowledged stream that has a beat of its own.
    pub(super) fn tick_deadlines(&mut self, now: Now, out: &mut Out<'_>) {
        for at in 0..self.groups.len() {
            let group = &self.groups[at];
            if !group.active().life.is_open() || group.active().is_silent {
                // That is the connection's fault, and answered there.
                continue;
            }
            for place in 0..group.places.len() {
                self.tick_deadline(at, place as u16, now, out);
            }
        }
    }

    fn tick_deadline(&mut self, at: usize, place: u16, now: Now, out: &mut Out<'_>) {
        let Some(known) = self.groups[at].places[usize::from(place)] else { return };
        let Carried { symbol, name } = known.carried;
        if known.is_refused || name == StreamName::ContractInfo {
            return;
        }
        let Some(symbol) = self.symbols.get_mut(symbol) else { return };
        let Some(remedy) = symbol.remedy(name, now) else { return };
        let source = self.groups[at].active().link();
        if let Remedy::AskAgain { tell: true } = remedy {
            symbol.tell_no_data(name, source, now, out);
        }
        if symbol.halted {
            // It has nothing to say.
            return;
        }
        if remedy == Remedy::Renew {
            self.renew(at, now, out);
            return;
        }
        let what = "stream acknowledged but silent, asked for again";
        let wire_name = known.carried.wire_name(&self.stream_prefixes);
        (out.events)(Event::new(Severity::Warn, Some(VENUE), what).about(&wire_name));
        let kind = wire_name.split_once('@').map_or(&*wire_name, |(_, kind)| kind);
        self.drift.note(DriftKind::SilentStream, kind, wire_name.as_bytes(), now, out);
        let active = self.groups[at].active;
        self.groups[at].sides[active].ask_again(place);
    }
}
