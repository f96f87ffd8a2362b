//! Plays captured messages back: when it begins, how fast it goes, when it has ended.
//!
//! ```text
//! waiting ── command, or the expected subscriptions ──▶ playing ── all handed out, all sockets empty ──▶ ended
//! ```
//! Nothing is lost on this side: while a subscriber's socket is full, the playback stands still.

pub(crate) mod binance;
mod finals;
pub(crate) mod hyperliquid;
mod kept_book;
mod klines;

use crate::config::{PlaybackConfig, Speed, StartWhen};
use crate::error::SimError;
use crate::limits::PLAYBACK_FRAMES_PER_TURN;
use crate::market::{Interval, TruthCandle};
use crate::subscribers::Subscribers;
use finals::Finals;
use flate2::read::GzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// One line of a capture.
pub(crate) struct Line {
    /// When it was received.
    pub recv_ns: u64,
    /// What was received.
    pub json: String,
}

/// Reads a gzipped capture of lines `RECV_NS SPACE JSON`.
pub(crate) fn read_capture(path: &Path) -> Result<Vec<Line>, SimError> {
    let failed = |source| SimError::File { doing: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let mut lines = Vec::new();
    for (at, line) in BufReader::new(GzDecoder::new(file)).lines().enumerate() {
        let mut json = line.map_err(failed)?;
        let bad = |reason| SimError::Capture { path: path.to_owned(), line: at + 1, reason };
        let space = json.find(' ').ok_or_else(|| bad("no space between the time and the message"))?;
        let recv_ns = json[..space].parse().map_err(|_| bad("the time is not a number of nanoseconds"))?;
        json.drain(..=space);
        lines.push(Line { recv_ns, json });
    }
    Ok(lines)
}

/// What the venue's thread and those who watch a playback share.
#[derive(Default)]
struct Shared {
    start: AtomicBool,
    started: AtomicBool,
    played: AtomicU64,
    unclaimed: AtomicU64,
    ended: Mutex<bool>,
    end: Condvar,
    /// The final candles of the capture; set when it is opened.
    finals: OnceLock<Finals>,
}

/// Watches and starts a playback, from any thread.
#[derive(Clone, Default)]
pub struct PlaybackHandle {
    shared: Arc<Shared>,
}

impl PlaybackHandle {
    /// Starts it now, whatever it was waiting for.
    pub fn start(&self) {
        self.shared.start.store(true, Ordering::Release);
    }

    /// Whether it has begun.
    pub fn has_started(&self) -> bool {
        self.shared.started.load(Ordering::Acquire)
    }

    /// Whether everything has been handed to the system's sockets.
    pub fn has_ended(&self) -> bool {
        *self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the end; false if it did not come in time.
    pub fn wait_ended(&self, timeout: Duration) -> bool {
        let ended = self.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.shared.end.wait_timeout_while(ended, timeout, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// The final values of the candles of the whole capture whose periods begin from one time on and before another,
    /// played or not. Binance: folded from the captured trades, or the captured closing frames. Hyperliquid: the
    /// last frame of each period, a part of them raised as the venue does (see `final_of`).
    pub fn candles(
        &self,
        symbol: &str,
        interval: Interval,
        from_ms: i64,
        before_ms: i64,
    ) -> Result<Vec<TruthCandle>, SimError> {
        let unknown = || SimError::UnknownSymbol(symbol.to_owned());
        let finals = self.shared.finals.get().ok_or_else(unknown)?;
        Ok(finals.range(symbol, interval, from_ms, before_ms))
    }

    fn set_finals(&self, finals: Finals) {
        // A handle belongs to one playback: nothing was set before.
        let _ = self.shared.finals.set(finals);
    }

    /// Captured messages played so far, recorded REST answers included.
    pub fn played(&self) -> u64 {
        self.shared.played.load(Ordering::Acquire)
    }

    /// Of these, the messages nobody was subscribed to.
    pub fn unclaimed(&self) -> u64 {
        self.shared.unclaimed.load(Ordering::Acquire)
    }
}

/// What came of playing one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Played {
    /// Somebody got it, or it is none that anybody gets.
    Claimed,
    /// Nobody was subscribed to it.
    Unclaimed,
    /// Not yet: a socket is full, or its question was not asked.
    Waits,
}

/// The position in a capture.
pub(crate) struct Player {
    config: PlaybackConfig,
    times_ns: Vec<u64>,
    position: usize,
    started_ms: Option<i64>,
    /// Since when it has been standing at the current message.
    standing_since_ms: Option<i64>,
    handle: PlaybackHandle,
}

const NS_PER_MS: f64 = 1e6;

impl Player {
    /// At the beginning of messages received at these times.
    pub fn new(config: PlaybackConfig, times_ns: Vec<u64>, handle: PlaybackHandle) -> Self {
        Self { config, times_ns, position: 0, started_ms: None, standing_since_ms: None, handle }
    }

    /// Begins, if it has not and it is time to.
    pub fn begin(&mut self, subscribers: &Subscribers, now_ms: i64) {
        if self.started_ms.is_some() {
            return;
        }
        let ready = match &self.config.start {
            StartWhen::Command => false,
            StartWhen::Subscribed(names) => names.iter().all(|name| subscribers.is_live(name)),
            StartWhen::SubscriptionCount(count) => subscribers.live() >= *count,
        };
        if ready || self.handle.shared.start.load(Ordering::Acquire) {
            self.started_ms = Some(now_ms);
            self.handle.shared.started.store(true, Ordering::Release);
            log::info!("playback of {} begins", self.config.path.display());
        }
    }

    /// The next message, if it is due.
    fn due(&self, now_ms: i64) -> Option<usize> {
        let started_ms = self.started_ms?;
        let time_ns = *self.times_ns.get(self.position)?;
        match self.config.speed {
            Speed::Max => Some(self.position),
            Speed::Times(times) => {
                let offset_ns = time_ns.saturating_sub(self.times_ns[0]) as f64;
                let played_ms = (now_ms - started_ms) as f64 * times;
                (offset_ns <= played_ms * NS_PER_MS).then_some(self.position)
            }
        }
    }

    /// Plays what is due, as far as one turn goes; returns the milliseconds until the next turn.
    ///
    /// `play` gets the message's place and for how long the playback has been standing there.
    pub fn turn(&mut self, all_sent: bool, now_ms: i64, mut play: impl FnMut(usize, i64) -> Played) -> i64 {
        let mut handed_out = 0;
        while handed_out < PLAYBACK_FRAMES_PER_TURN {
            let Some(at) = self.due(now_ms) else { break };
            let stood_ms = now_ms - self.standing_since_ms.unwrap_or(now_ms);
            let played = play(at, stood_ms);
            if played == Played::Waits {
                self.standing_since_ms.get_or_insert(now_ms);
                break;
            }
            self.advance(played == Played::Claimed);
            handed_out += 1;
        }
        self.end_if_done(all_sent && handed_out == 0);
        // At once while there is more to hand out.
        i64::from(handed_out < PLAYBACK_FRAMES_PER_TURN)
    }

    /// Counts the current message as played.
    fn advance(&mut self, claimed: bool) {
        self.position += 1;
        self.standing_since_ms = None;
        self.handle.shared.played.fetch_add(1, Ordering::AcqRel);
        if !claimed {
            self.handle.shared.unclaimed.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Ends it when everything is played and sent.
    fn end_if_done(&self, sent: bool) {
        if self.started_ms.is_none() || self.position < self.times_ns.len() || !sent {
            return;
        }
        let mut ended = self.handle.shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if !*ended {
            log::info!("playback of {} has ended", self.config.path.display());
            *ended = true;
            self.handle.shared.end.notify_all();
        }
    }
}
