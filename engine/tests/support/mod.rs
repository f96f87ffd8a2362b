//! A bench for sessions: no sockets, no clock, every record and every action at hand.

#![allow(dead_code)]

use codec::record::{Kind, Record};
use codec::ring::Consumer;
use codec::time::Now;
use codec::words::Stream;
use engine::event::Event;
use engine::fetch::{Answer, FetchError, FetchRequest, Fetched};
use engine::publisher::{Outlet, Publisher};
use engine::session::settings::{Settings, SymbolChoice};
use engine::session::{Action, CloseCause, Generation, Link, Out, Session};
use flate2::read::GzDecoder;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;

/// A session with everything around it.
pub struct Bench<S> {
    pub session: S,
    pub publisher: Publisher,
    pub actions: VecDeque<Action>,
    pub events: Vec<Event>,
    pub records: Consumer,
    pub now: Now,
}

impl<S: Session> Bench<S> {
    pub fn new(session: S) -> Self {
        let (producer, records) = codec::ring::ring(64 << 20);
        Self {
            session,
            publisher: Publisher::new(1, vec![Outlet::all("ipc", producer)]),
            actions: VecDeque::new(),
            events: Vec::new(),
            records,
            now: Now { mono_ns: 1_000_000_000, wall_ns: 1_700_000_000_000_000_000 },
        }
    }

    /// Calls the session.
    pub fn with(&mut self, call: impl FnOnce(&mut S, Now, &mut Out<'_>)) {
        let events = &mut self.events;
        let mut push = |event| events.push(event);
        let mut out = Out { publisher: &mut self.publisher, actions: &mut self.actions, events: &mut push };
        call(&mut self.session, self.now, &mut out);
    }

    pub fn message(&mut self, link: Link, text: &str) {
        self.with(|session, now, out| session.on_message(link, text.as_bytes(), now, out));
    }

    pub fn close(&mut self, link: Link, generation: Generation) {
        self.with(|session, now, out| {
            session.on_closed(link, generation, &CloseCause::ClosedByVenue(None), now, out);
        });
    }

    pub fn answer(&mut self, request: FetchRequest, outcome: Result<Answer, FetchError>) {
        self.with(|session, now, out| session.on_fetched(Fetched { request, outcome }, now, out));
    }

    /// Lets time pass, a tick every ten milliseconds.
    pub fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.now.mono_ns += 10_000_000;
            self.now.wall_ns += 10_000_000;
            self.with(|session, now, out| session.on_tick(now, out));
        }
    }

    /// Takes the first action that `pick` wants.
    pub fn take<T>(&mut self, pick: impl Fn(&Action) -> Option<T>) -> Option<T> {
        let (index, picked) =
            self.actions.iter().enumerate().find_map(|(index, action)| Some((index, pick(action)?)))?;
        self.actions.remove(index);
        Some(picked)
    }

    /// Takes the first fetch asked for.
    pub fn fetch(&mut self) -> Option<FetchRequest> {
        self.take(|action| match action {
            Action::Fetch(request) => Some(request.clone()),
            _ => None,
        })
    }

    /// Hands out every record that waits.
    pub fn drain(&mut self, take: impl FnMut(Record<'_>)) {
        self.records.drain(usize::MAX, take);
    }

    /// Every record that waits, with its kind.
    pub fn records(&mut self) -> Vec<(Kind, Vec<u64>)> {
        let mut records = Vec::new();
        self.drain(|record| records.push((record.kind(), record.words().to_vec())));
        records
    }
}

/// What sessions are told in tests.
pub fn settings(symbols: &[&str]) -> Settings {
    Settings {
        websocket_url: "wss://venue".to_owned(),
        symbols: SymbolChoice::Listed(symbols.iter().map(|&name| name.to_owned()).collect()),
        streams: vec![Stream::Orderbook, Stream::Quotes, Stream::Trades],
        intervals: Vec::new(),
        account_address: None,
        book_levels_max: 4096,
        orderbook_depth: 1000,
        max_subscriptions: 1024,
        max_messages_per_second: 25,
        reconnect_delay_ms: 1000,
        max_reconnect_delay_ms: 30_000,
        stale_after_ms: None,
        seed: 7,
    }
}

/// The file of a capture. `None`, and said so, where captures are absent.
pub fn fixture(name: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("SLIPSTREAM_FIXTURES").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
        PathBuf::from,
    );
    let path = directory.join(name);
    if path.exists() {
        return Some(path);
    }
    println!("SKIPPED: capture {} is not there (set SLIPSTREAM_FIXTURES)", path.display());
    None
}

/// The lines of a capture: receive time, ns, and message. `None`, and said so, where captures are absent.
pub fn capture(name: &str) -> Option<Vec<(u64, String)>> {
    let file = File::open(fixture(name)?).unwrap();
    let lines = BufReader::new(GzDecoder::new(file)).lines().map(|line| {
        let line = line.unwrap();
        let (time, json) = line.split_once(' ').unwrap();
        (time.parse().unwrap(), json.to_owned())
    });
    Some(lines.collect())
}
