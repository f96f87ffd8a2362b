//! Scenarios: what goes wrong when, written down in a file, and drawn by a seed where the file says so.
//!
//! ```text
//! file ──▶ Scenario ── seed, symbols ──▶ Schedule ── due(elapsed_ms) ──▶ faults
//!                                           ▲
//!                 wall clock: player.rs, for a running Sim
//!                 virtual time: whoever drives ByHand
//! ```
//! A schedule owns no clock: the same seed and symbols give the same faults at the same times, however it is played.

pub mod player;
mod read;

use crate::error::SimError;
use crate::faults::Fault;
use crate::limits::SCENARIO_BYTES_MAX;
use crate::market::Venue;
use crate::random::Random;
use std::collections::HashMap;
use std::path::Path;

/// The ready scenarios: name and file.
const READY: [(&str, &str); 3] = [
    ("bad-day", include_str!("../../scenarios/bad-day.toml")),
    ("day-cut", include_str!("../../scenarios/day-cut.toml")),
    ("lying-venue", include_str!("../../scenarios/lying-venue.toml")),
];

/// The first of the random streams of a scenario's plans; the market's own streams are far below.
const FIRST_STREAM: u64 = 0x5CE4_A210_0000_0000;

/// What stands for a drawn symbol in a value.
const SYMBOL: &str = "$symbol";
/// What stands for the same symbol in lower case, as Binance names streams.
const LOWER: &str = "$lower";

/// A scenario as its file says.
#[derive(Clone, Debug)]
pub struct Scenario {
    name: String,
    about: String,
    length_ms: i64,
    plans: Vec<Plan>,
    /// From which symbols of each venue one is drawn; from all if it says nothing.
    symbols: Vec<(Venue, Vec<String>)>,
}

/// A step, or a storm: one of these faults at each of these times.
#[derive(Clone, Debug)]
struct Plan {
    /// The line of the file where it begins.
    line: usize,
    first: First,
    /// The shortest and longest time between two; once only if none.
    every_ms: Option<(i64, i64)>,
    /// The last moment for one.
    until_ms: i64,
    /// One of them each time; never empty.
    choices: Vec<Choice>,
}

/// When the first fault of a plan comes.
#[derive(Clone, Copy, Debug)]
enum First {
    At(i64),
    /// One drawn pause after this.
    After(i64),
}

/// A fault, its symbol perhaps not drawn yet.
#[derive(Clone, Debug)]
struct Choice {
    /// One of them each time; never empty.
    venues: Vec<Venue>,
    name: String,
    /// Sorted by key.
    parameters: Vec<(String, String)>,
}

impl Choice {
    fn draws(&self) -> bool {
        self.parameters.iter().any(|(_, value)| value.contains(SYMBOL) || value.contains(LOWER))
    }

    /// The parameters for a symbol.
    fn for_symbol(&self, symbol: &str) -> HashMap<String, String> {
        let with = |value: &str| value.replace(SYMBOL, symbol).replace(LOWER, &symbol.to_lowercase());
        self.parameters.iter().map(|(key, value)| (key.clone(), with(value))).collect()
    }

    fn fault(&self, symbol: &str) -> Result<Fault, String> {
        Fault::parse(&self.name, &self.for_symbol(symbol))
    }

    /// The text form, with the symbol drawn.
    fn text(&self, symbol: &str) -> String {
        let with = self.for_symbol(symbol);
        let parameters = self.parameters.iter().map(|(key, _)| format!(" {key}={}", with[key]));
        parameters.fold(self.name.clone(), |text, parameter| text + &parameter)
    }
}

impl Scenario {
    /// Reads a scenario; an error names the line, what is wrong and what would be right.
    pub fn parse(name: &str, text: &str) -> Result<Self, SimError> {
        read::read(name, text)
    }

    /// A ready scenario.
    pub fn named(name: &str) -> Result<Self, SimError> {
        let ready = READY.iter().find(|(ready, _)| *ready == name);
        let (name, text) = ready.ok_or_else(|| {
            let near = nearest(name, Self::names()).map_or(String::new(), |near| format!(" (is it {near}?)"));
            let names: Vec<&str> = Self::names().collect();
            SimError::NoScenario { name: name.to_owned(), near, names: names.join(", ") }
        })?;
        Self::parse(name, text)
    }

    /// A ready scenario by its name, or one of a file: what looks like a path is one.
    pub fn load(name_or_path: &str) -> Result<Self, SimError> {
        let path = Path::new(name_or_path);
        if !name_or_path.ends_with(".toml") && path.components().count() == 1 {
            return Self::named(name_or_path);
        }
        let failed = |source| SimError::File { doing: "read", path: path.to_owned(), source };
        let length = std::fs::metadata(path).map_err(failed)?.len();
        if length > SCENARIO_BYTES_MAX as u64 {
            let reason = format!("{length} bytes are more than {SCENARIO_BYTES_MAX}");
            return Err(SimError::Scenario { name: name_or_path.to_owned(), line: 1, reason });
        }
        Self::parse(name_or_path, &std::fs::read_to_string(path).map_err(failed)?)
    }

    /// The names of the ready scenarios.
    pub fn names() -> impl Iterator<Item = &'static str> {
        READY.iter().map(|(name, _)| *name)
    }

    /// Its name, or the path of its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it says of itself.
    pub fn about(&self) -> &str {
        &self.about
    }

    /// How long it is, with the quiet time at its end.
    pub fn length_ms(&self) -> i64 {
        self.length_ms
    }

    /// What goes wrong when. The symbols are those that each venue has; with none known (a capture is played back)
    /// the scenario itself must name those it draws from.
    pub fn schedule(&self, seed: u64, symbols: &[(Venue, Vec<String>)]) -> Result<Schedule, SimError> {
        let of = |from: &[(Venue, Vec<String>)], venue: Venue| -> Vec<String> {
            from.iter().find(|(of, _)| *of == venue).map(|(_, names)| names.clone()).unwrap_or_default()
        };
        let venues = [Venue::Hyperliquid, Venue::Binance].map(|venue| {
            let (known, chosen) = (of(symbols, venue), of(&self.symbols, venue));
            (venue, if chosen.is_empty() { known.clone() } else { chosen }, known)
        });
        for (venue, drawn, known) in &venues {
            self.check_symbols(*venue, drawn, known)?;
        }
        let mut plans = Vec::with_capacity(self.plans.len());
        for (at, plan) in self.plans.iter().enumerate() {
            let mut random = Random::seeded(seed, FIRST_STREAM + at as u64);
            let first_ms = match (plan.first, plan.every_ms) {
                (First::After(from_ms), Some(every_ms)) => from_ms + pause_ms(every_ms, &mut random),
                (First::At(at_ms) | First::After(at_ms), _) => at_ms,
            };
            let next_ms = (first_ms <= plan.until_ms).then_some(first_ms);
            plans.push(Running { plan: plan.clone(), random, next_ms });
        }
        Ok(Schedule {
            scenario: self.name.clone(),
            length_ms: self.length_ms,
            plans,
            symbols: venues.map(|(venue, drawn, _)| (venue, drawn)).into(),
        })
    }

    /// Whether every symbol exists, now or once the scenario has listed it.
    fn check_symbols(&self, venue: Venue, drawn: &[String], known: &[String]) -> Result<(), SimError> {
        let wrong = |line, reason| Err(SimError::Scenario { name: self.name.clone(), line, reason });
        let choices = || {
            let lines = self.plans.iter().map(|plan| (plan.line, &plan.choices));
            let all = lines.flat_map(|(line, choices)| choices.iter().map(move |choice| (line, choice)));
            all.filter(move |(_, choice)| choice.venues.contains(&venue))
        };
        let listed: Vec<String> = choices()
            .filter_map(|(_, choice)| match choice.fault("") {
                Ok(Fault::ListSymbol(new)) => Some(new.symbol),
                _ => None,
            })
            .collect();
        let exists = |symbol: &String| known.is_empty() || known.contains(symbol) || listed.contains(symbol);
        if let Some(unknown) = drawn.iter().find(|symbol| !exists(symbol)) {
            return wrong(1, format!("no symbol {unknown:?} at {}", venue.name()));
        }
        for (line, choice) in choices() {
            if choice.draws() {
                if drawn.is_empty() {
                    let reason = format!(
                        "nothing to draw {SYMBOL} from at {0}; right is: symbols.{0} = [\"…\"]",
                        venue.name()
                    );
                    return wrong(line, reason);
                }
            } else if let Ok(fault) = choice.fault("")
                && let Some(unknown) = fault.symbol().filter(|symbol| !exists(symbol))
            {
                return wrong(line, format!("no symbol {unknown:?} at {}", venue.name()));
            }
        }
        Ok(())
    }
}

/// A drawn pause.
fn pause_ms((least_ms, most_ms): (i64, i64), random: &mut Random) -> i64 {
    least_ms.saturating_add_unsigned(random.below((most_ms - least_ms).unsigned_abs() + 1))
}

/// The known name that is nearest to a wrong one, if any is near.
fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), name);
    known.into_iter().map(|name| (distance(name), name)).min().and_then(|(distance, name)| {
        // Further away it is another word.
        (distance <= name.len() / 2).then_some(name)
    })
}

/// A fault whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// When, since the scenario began.
    pub at_ms: i64,
    /// Where.
    pub venue: Venue,
    /// What.
    pub fault: Fault,
    /// What, as text.
    pub text: String,
}

/// A plan as far as it has been played.
#[derive(Clone, Debug)]
struct Running {
    plan: Plan,
    /// Its own, so that a plan draws the same whatever stands beside it after it.
    random: Random,
    next_ms: Option<i64>,
}

/// What goes wrong when, in order of time; see [`Scenario::schedule`].
#[derive(Clone, Debug)]
pub struct Schedule {
    scenario: String,
    length_ms: i64,
    plans: Vec<Running>,
    symbols: Vec<(Venue, Vec<String>)>,
}

impl Schedule {
    /// The next fault whose time has come after so long; to be asked until it tells none.
    pub fn due(&mut self, elapsed_ms: i64) -> Option<Due> {
        // Of the same moment the first in the file comes first.
        let running = self.plans.iter_mut().filter(|running| running.next_ms.is_some());
        let running = running.min_by_key(|running| running.next_ms)?;
        let at_ms = running.next_ms.filter(|at_ms| *at_ms <= elapsed_ms)?;
        let Running { plan, random, next_ms } = running;
        let choice = &plan.choices[random.index(plan.choices.len())];
        let venue = choice.venues[random.index(choice.venues.len())];
        let symbols = self.symbols.iter().find(|(of, _)| *of == venue).map_or(&[][..], |(_, names)| names);
        let drawn = random.index(symbols.len());
        let symbol = if choice.draws() { symbols.get(drawn).map_or("", String::as_str) } else { "" };
        *next_ms = plan
            .every_ms
            .map(|every_ms| at_ms + pause_ms(every_ms, random))
            .filter(|at_ms| *at_ms <= plan.until_ms);
        match choice.fault(symbol) {
            Ok(fault) => Some(Due { at_ms, venue, fault, text: choice.text(symbol) }),
            Err(reason) => {
                // Each was read once when the file was; a symbol changes nothing about that.
                log::error!("scenario {}: {reason}", self.scenario);
                debug_assert!(false, "{reason}");
                None
            }
        }
    }

    /// When the next fault comes, since the scenario began; none if all have come.
    pub fn next_ms(&self) -> Option<i64> {
        self.plans.iter().filter_map(|running| running.next_ms).min()
    }

    /// How long the scenario is, with the quiet time at its end.
    pub fn length_ms(&self) -> i64 {
        self.length_ms
    }
}
