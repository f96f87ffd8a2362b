//! The ops thread: prints what the other threads have to say, so that they need not, and shows their figures
//! to whoever asks by HTTP.
//!
//! Health and the watchdog join it later: [`Ops`] is where the counters of all threads meet.

mod fold;
mod http;
pub mod logging;
mod metrics;
mod text;

pub use fold::{Folder, Line};
pub use http::{HttpServer, Response};
pub use metrics::{Figures, VenueFigures};

use crate::agent::Agent;
use crate::clock::Clock;
use crate::event::{Event, Severity};
use codec::time::Now;
use codec::words::Venue;
use http::Notice;
use logging::TARGET;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A ring of events and how many did not fit into it.
pub struct EventSource {
    /// The thread they come from.
    pub name: &'static str,
    /// The ring.
    pub ring: rtrb::Consumer<Event>,
    /// Events lost.
    pub dropped: Arc<AtomicU64>,
}

/// See the module.
pub struct Ops {
    clock: Clock,
    sources: Vec<(EventSource, u64)>,
    ipc: rtrb::Consumer<ipc::Event>,
    folder: Folder,
    figures: Figures,
    http: HttpServer,
    stop: Arc<AtomicBool>,
    done: bool,
}

impl Ops {
    /// An ops agent that reads these rings, and shows these figures.
    #[must_use]
    pub fn new(
        clock: Clock,
        sources: Vec<EventSource>,
        ipc: rtrb::Consumer<ipc::Event>,
        (figures, http): (Figures, HttpServer),
        stop: Arc<AtomicBool>,
    ) -> Self {
        let sources = sources.into_iter().map(|source| (source, 0)).collect();
        Self { clock, sources, ipc, folder: Folder::default(), figures, http, stop, done: false }
    }

    fn say(&mut self, what: &'static str, venue: Option<Venue>, line: Line, now_ms: u64) {
        if let Some(line) = self.folder.offer(what, venue, line, now_ms) {
            print(&line);
        }
    }

    fn take_events(&mut self, now_ms: u64) -> usize {
        let mut taken = 0;
        for index in 0..self.sources.len() {
            while let Ok(event) = self.sources[index].0.ring.pop() {
                taken += 1;
                self.say(event.what, event.venue, line_of(&event), now_ms);
            }
            let (source, told) = &mut self.sources[index];
            let dropped = source.dropped.load(Ordering::Relaxed);
            if dropped > *told {
                let text = format!("{}: {} events had no room to be told", source.name, dropped - *told);
                *told = dropped;
                self.say("events dropped", None, Line { severity: Severity::Warn, text }, now_ms);
            }
        }
        while let Ok(event) = self.ipc.pop() {
            taken += 1;
            let (what, severity, venue) = of_ipc(&event);
            self.say(what, venue, Line { severity, text: event.to_string() }, now_ms);
        }
        taken
    }
}

impl Ops {
    fn serve(&mut self, now: Now) -> usize {
        let figures = &self.figures;
        self.http.turn(
            now,
            |notice| match notice {
                Notice::Serving(address) => log::info!(target: TARGET, "metrics: http://{address}/metrics"),
                Notice::CannotBind(address, error) => log::error!(
                    target: TARGET,
                    "metrics cannot be served at {address}, trying again ([health] bind, metrics_port): {error}"
                ),
            },
            |path| {
                (path == "/metrics").then(|| Response {
                    status: 200,
                    content_type: "text/plain; version=0.0.4; charset=utf-8",
                    body: figures.page(now),
                })
            },
        )
    }
}

/// An event in words: `binance: what: subject: detail (number)`.
fn line_of(event: &Event) -> Line {
    let mut text = String::new();
    if let Some(venue) = event.venue {
        let _ = write!(text, "{venue}: ");
    }
    text.push_str(event.what);
    for part in [event.subject.as_str(), event.detail.as_str()] {
        if !part.is_empty() {
            let _ = write!(text, ": {part}");
        }
    }
    if event.number != 0 {
        let _ = write!(text, " ({})", event.number);
    }
    Line { severity: event.severity, text }
}

/// The phrase to fold by, the urgency and the venue of an event of the server.
fn of_ipc(event: &ipc::Event) -> (&'static str, Severity, Option<Venue>) {
    use ipc::Event;
    match *event {
        Event::ClientConnected { .. } => ("client connected", Severity::Info, None),
        Event::ClientLeft { .. } => ("client left", Severity::Info, None),
        Event::ClientRefused { .. } => ("client refused", Severity::Warn, None),
        Event::ClientLagged { .. } => ("client lagged", Severity::Warn, None),
        Event::Malformed { .. } => ("malformed request", Severity::Warn, None),
        Event::CheckMismatch { venue, .. } => ("book check failed", Severity::Error, venue),
        Event::BookBroken { venue, .. } => ("book broken", Severity::Warn, venue),
        Event::UnknownInstrument { .. } => ("unknown instrument", Severity::Error, None),
        Event::AcceptFailed { .. } => ("accept failed", Severity::Error, None),
        _ => ("socket server", Severity::Warn, None),
    }
}

fn print(line: &Line) {
    let level = match line.severity {
        Severity::Debug => log::Level::Debug,
        Severity::Info => log::Level::Info,
        Severity::Warn => log::Level::Warn,
        Severity::Error => log::Level::Error,
    };
    log::log!(target: TARGET, level, "{}", line.text);
}

impl Agent for Ops {
    fn name(&self) -> &'static str {
        "ops"
    }

    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn do_work(&mut self, now: Now) -> usize {
        let now_ms = now.mono_ns / 1_000_000;
        // Asked before the rings are read: what was said before the stop is printed.
        let stopping = self.stop.load(Ordering::Relaxed);
        let taken = self.take_events(now_ms) + self.serve(now);
        for line in self.folder.due(now_ms, stopping) {
            print(&line);
        }
        self.done = stopping;
        taken
    }

    fn is_done(&self) -> bool {
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reads_as_one_line() {
        let event = Event::new(Severity::Warn, Some(Venue::Binance), "gap");
        assert_eq!(line_of(&event).text, "binance: gap");
        let event = event.about("BTCUSDT").detail("sequence_break").number(7);
        assert_eq!(line_of(&event).text, "binance: gap: BTCUSDT: sequence_break (7)");
        assert_eq!(line_of(&Event::new(Severity::Info, None, "up").number(1)).text, "up (1)");
    }
}
