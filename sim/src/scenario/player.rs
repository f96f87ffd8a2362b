//! Plays a scenario into running venues, on a thread of its own.

use super::{Due, Scenario, Schedule};
use crate::error::SimError;
use crate::limits::SCENARIO_LOOK_MS;
use crate::market::Venue;
use crate::sim::VenueHandle;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// When a scenario's clock begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScenarioStart {
    /// Now.
    Now,
    /// When the first stream is subscribed at either venue.
    Subscribed,
}

/// How far a scenario is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioState {
    /// Its name.
    pub name: String,
    /// What it is drawn by.
    pub seed: u64,
    /// How long it has been playing; none before its clock has begun.
    pub elapsed_ms: Option<i64>,
    /// How long it is.
    pub length_ms: i64,
    /// Faults made so far.
    pub played: u64,
    /// Faults that a venue refused; each is in the log.
    pub refused: u64,
    /// The last fault, made or refused.
    pub last: Option<String>,
    /// Whether it is over: all is played, and the quiet time at its end has passed, or it was stopped.
    pub ended: bool,
}

/// Plays one scenario at a time; all clones are the same player.
#[derive(Clone)]
pub struct Player {
    venues: Vec<VenueHandle>,
    seed: u64,
    playing: Arc<Mutex<Option<Playing>>>,
}

/// A thread that plays; dropping it ends it.
struct Playing {
    state: Arc<Mutex<ScenarioState>>,
    /// Nothing is ever sent: that it is gone is the sign to end.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Playing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            log::error!("the thread of the scenario panicked");
        }
    }
}

/// What a thread that panicked has left is still right: each change is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Player {
    /// A player for these venues.
    pub fn new(venues: Vec<VenueHandle>, seed: u64) -> Self {
        Self { venues, seed, playing: Arc::default() }
    }

    /// Begins to play, drawn by this seed or by that of the simulation; refused while another one plays.
    pub fn play(&self, scenario: &Scenario, seed: Option<u64>, start: ScenarioStart) -> Result<(), SimError> {
        let mut playing = lock(&self.playing);
        if let Some(playing) = playing.as_ref() {
            let state = lock(&playing.state);
            if !state.ended {
                return Err(SimError::ScenarioPlays(state.name.clone()));
            }
        }
        let seed = seed.unwrap_or(self.seed);
        let symbols: Vec<(Venue, Vec<String>)> =
            self.venues.iter().map(|handle| (handle.venue(), handle.market().trading_symbols())).collect();
        let schedule = scenario.schedule(seed, &symbols)?;
        let state = Arc::new(Mutex::new(ScenarioState {
            name: scenario.name().to_owned(),
            seed,
            elapsed_ms: None,
            length_ms: scenario.length_ms(),
            played: 0,
            refused: 0,
            last: None,
            ended: false,
        }));
        let (stop, stopped) = channel();
        let run = Run { venues: self.venues.clone(), schedule, state: state.clone(), stopped };
        log::info!("scenario {} with seed {seed}", scenario.name());
        let thread = std::thread::Builder::new()
            .name("sim-scenario".to_owned())
            .spawn(move || run.run(start))
            .map_err(|source| SimError::Thread { what: "the scenario", source })?;
        *playing = Some(Playing { state, stop: Some(stop), thread: Some(thread) });
        Ok(())
    }

    /// How far the last scenario is; none if there was none.
    pub fn state(&self) -> Option<ScenarioState> {
        lock(&self.playing).as_ref().map(|playing| lock(&playing.state).clone())
    }

    /// Ends what plays; faults that last are not ended by this.
    pub fn stop(&self) {
        let mut playing = lock(&self.playing);
        if let Some(playing) = playing.as_mut() {
            drop(playing.stop.take());
            if let Some(thread) = playing.thread.take()
                && thread.join().is_err()
            {
                log::error!("the thread of the scenario panicked");
            }
            lock(&playing.state).ended = true;
        }
    }
}

/// What the thread has.
struct Run {
    venues: Vec<VenueHandle>,
    schedule: Schedule,
    state: Arc<Mutex<ScenarioState>>,
    stopped: Receiver<()>,
}

impl Run {
    /// Whether so much time has passed without being told to end.
    fn waited(&self, wait_ms: i64) -> bool {
        let wait = Duration::from_millis(wait_ms.max(0).unsigned_abs());
        matches!(self.stopped.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    fn run(mut self, start: ScenarioStart) {
        let subscribed = |handle: &VenueHandle| handle.counters().subscriptions > 0;
        while start == ScenarioStart::Subscribed && !self.venues.iter().any(subscribed) {
            if !self.waited(SCENARIO_LOOK_MS) {
                return;
            }
        }
        let began = Instant::now();
        let length_ms = self.schedule.length_ms();
        loop {
            let elapsed_ms = i64::try_from(began.elapsed().as_millis()).unwrap_or(i64::MAX);
            while let Some(due) = self.schedule.due(elapsed_ms) {
                self.make(due);
            }
            lock(&self.state).elapsed_ms = Some(elapsed_ms);
            let next_ms = match self.schedule.next_ms() {
                Some(next_ms) => next_ms,
                None if elapsed_ms < length_ms => length_ms,
                None => break,
            };
            // In between it looks, so that the time it tells is not old.
            if !self.waited((next_ms - elapsed_ms).min(SCENARIO_LOOK_MS)) {
                return;
            }
        }
        let mut state = lock(&self.state);
        state.ended = true;
        log::info!("scenario {} is over: {} faults, {} refused", state.name, state.played, state.refused);
    }

    fn make(&self, due: Due) {
        let Some(handle) = self.venues.iter().find(|handle| handle.venue() == due.venue) else { return };
        let what = format!("{:.1} s, {}: {}", due.at_ms as f64 / 1000.0, due.venue.name(), due.text);
        log::info!("scenario at {what}");
        let made = handle.fault(due.fault);
        let mut state = lock(&self.state);
        match made {
            Ok(()) => state.played += 1,
            Err(error) => {
                state.refused += 1;
                log::warn!("scenario at {what}: {error}");
            }
        }
        state.last = Some(what);
    }
}
