//! Streams that are acknowledged and silent: asked for again first, and only then is their connection replaced.
//!
//! ```text
//!   acknowledged ──10 s without data──▶ told, asked again ──10 s──▶ connection replaced, if that was not
//!        ▲                                                             tried of late ──▶ asked again now and
//!        └──── data, from anywhere                                     then
//! ```
//! Judged are books, quotes and mark prices. A book or a quote is also suspect once the other has left it
//! behind: a quiet market leaves neither.

use super::VENUE;
use super::feed::Feed;
use super::links::{Carried, StreamName};
use super::symbol::Symbol;
use crate::event::{Event, Severity};
use crate::limits::{BINANCE_STREAM_RETRY_MS, FIRST_DATA_DEADLINE_MS};
use crate::session::Out;
use crate::session::states::StreamState;
use codec::time::{Now, ns_of_ms};
use codec::words::{Reason, State, Stream};

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

/// What a silent stream asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    AskAgain { tell: bool },
    Renew,
}

impl Symbol {
    pub(super) const fn watch_of(&mut self, name: StreamName) -> Option<&mut Watch> {
        match name {
            StreamName::Depth => Some(&mut self.watches[0]),
            StreamName::BookTicker => Some(&mut self.watches[1]),
            StreamName::MarkPrice => Some(&mut self.watches[2]),
            _ => None,
        }
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
        let state = *self.state_of(name)?;
        let watch = self.watch_of(name)?;
        if watch.acked_mono_ns == 0 {
            return None;
        }
        let no_data = state.data_mono_ns < watch.acked_mono_ns;
        let behind =
            state.state == State::Stale && matches!(state.reason, Reason::BehindQuote | Reason::Silence);
        if !no_data && !behind {
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
        Some(if watch.tries % 2 == 1 { Remedy::AskAgain { tell: no_data } } else { Remedy::Renew })
    }

    fn tell_no_data(&mut self, name: StreamName, source: u8, now: Now, out: &mut Out<'_>) {
        let reason = if self.halted { Reason::Halted } else { Reason::NoFirstData };
        let (instrument, silent) = (self.instrument, (State::Down, reason));
        match (name, &mut self.book, &mut self.quote, &mut self.funding) {
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
        let active = self.groups[at].active;
        self.groups[at].sides[active].ask_again(place);
    }
}
