//! Reads a scenario's file: what is wrong is told with its line, and with what would be right.

use super::{Choice, First, Plan, Scenario, nearest};
use crate::error::SimError;
use crate::faults::{Fault, fault_form, form_keys};
use crate::limits::{SCENARIO_BYTES_MAX, SCENARIO_EVERY_MS_MIN, SCENARIO_LENGTH_MS_MAX, SCENARIO_PLANS_MAX};
use crate::market::Venue;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

const TOP: [&str; 5] = ["about", "length_s", "symbols", "step", "storm"];
const STEP: [&str; 6] = ["at_s", "every_s", "until_s", "venue", "venues", "fault"];
const STORM: [&str; 5] = ["from_s", "until_s", "every_s", "venues", "faults"];
const STORM_FAULT: [&str; 3] = ["fault", "venue", "venues"];
const VENUES: [Venue; 2] = [Venue::Hyperliquid, Venue::Binance];
/// Any symbol does where a fault is only tried.
const SOME_SYMBOL: &str = "BTC";

/// A file and its name, for errors.
struct File<'a> {
    name: &'a str,
    text: &'a str,
}

impl File<'_> {
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }

    fn wrong(&self, at: &Range<usize>, reason: impl Into<String>) -> SimError {
        SimError::Scenario { name: self.name.to_owned(), line: self.line(at.start), reason: reason.into() }
    }
}

/// A table of the file, and where it is.
struct Table<'f, 't> {
    file: &'f File<'f>,
    table: &'t DeTable<'t>,
    at: Range<usize>,
}

type Found<'t> = Option<&'t Spanned<DeValue<'t>>>;

impl<'f, 't> Table<'f, 't> {
    fn of(file: &'f File<'f>, value: &'t Spanned<DeValue<'t>>, form: &str) -> Result<Self, SimError> {
        let wrong = || file.wrong(&value.span(), format!("a table is needed here, such as {form}"));
        Ok(Self { file, table: value.get_ref().as_table().ok_or_else(wrong)?, at: value.span() })
    }

    fn wrong<T>(&self, reason: impl Into<String>) -> Result<T, SimError> {
        Err(self.file.wrong(&self.at, reason))
    }

    fn get(&self, key: &str) -> Found<'t> {
        self.table.get(key)
    }

    /// All keys that are not among these, with their values.
    fn others(&self, known: &'static [&str]) -> impl Iterator<Item = (&'t str, &'t Spanned<DeValue<'t>>)> {
        let all = self.table.iter().map(|(key, value)| (key.get_ref().as_ref(), value));
        all.filter(|(key, _)| !known.contains(key))
    }

    /// Where a key stands.
    fn key_at(&self, key: &str) -> Range<usize> {
        let at = self.table.iter().find(|(known, _)| known.get_ref().as_ref() == key);
        at.map_or(self.at.clone(), |(key, _)| key.span())
    }

    /// What is wrong with a key that nobody knows here.
    fn unknown<T>(&self, key: &str, known: &[&str], form: &str) -> Result<T, SimError> {
        let near = nearest(key, known.iter().copied());
        let near = near.map_or(String::new(), |near| format!(" (is it {near}?)"));
        let right = if form.is_empty() { format!("there are {}", known.join(", ")) } else { form.to_owned() };
        Err(self.file.wrong(&self.key_at(key), format!("there is no {key} here{near}; {right}")))
    }

    fn no_others(&self, known: &'static [&str]) -> Result<(), SimError> {
        match self.others(known).next() {
            Some((key, _)) => self.unknown(key, known, ""),
            None => Ok(()),
        }
    }

    fn text(&self, key: &str) -> Result<Option<&'t str>, SimError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || self.file.wrong(&value.span(), format!("{key} is a text in quotation marks"));
        value.get_ref().as_str().map(Some).ok_or_else(wrong)
    }

    /// A time in seconds, in milliseconds.
    fn time_ms(&self, key: &str) -> Result<Option<i64>, SimError> {
        self.get(key).map(|value| self.as_ms(key, value)).transpose()
    }

    fn as_ms(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<i64, SimError> {
        let most_s = SCENARIO_LENGTH_MS_MAX / 1000;
        let seconds = number(value.get_ref()).and_then(|text| text.parse::<f64>().ok());
        match seconds {
            Some(seconds) if (0.0..=most_s as f64).contains(&seconds) => {
                Ok((seconds * 1000.0).round() as i64)
            }
            _ => {
                let reason = format!("{key} is a number of seconds from 0 to {most_s}, such as 2.5");
                Err(self.file.wrong(&value.span(), reason))
            }
        }
    }

    fn list(&self, key: &str, form: &str) -> Result<Option<Vec<&'t Spanned<DeValue<'t>>>>, SimError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let wrong = || self.file.wrong(&value.span(), format!("{key} is a list, such as {form}"));
        Ok(Some(value.get_ref().as_array().ok_or_else(wrong)?.iter().collect()))
    }

    fn venue(&self, value: &Spanned<DeValue<'_>>) -> Result<Venue, SimError> {
        let name = value.get_ref().as_str().unwrap_or_default();
        VENUES.into_iter().find(|venue| venue.name() == name).ok_or_else(|| {
            let near = nearest(name, VENUES.map(Venue::name));
            let near = near.map_or(String::new(), |near| format!(" (is it {near}?)"));
            self.file.wrong(
                &value.span(),
                format!("{name:?} is no venue{near}; right is \"hyperliquid\" or \"binance\""),
            )
        })
    }

    /// The venues of `venue` or `venues`, none twice; none if neither is given.
    fn venues(&self) -> Result<Option<Vec<Venue>>, SimError> {
        let mut venues = match (self.get("venue"), self.list("venues", "[\"binance\"]")?) {
            (Some(_), Some(_)) => return self.wrong("either venue or venues, not both"),
            (Some(venue), None) => vec![self.venue(venue)?],
            (None, None) => return Ok(None),
            (None, Some(venues)) => {
                venues.into_iter().map(|venue| self.venue(venue)).collect::<Result<_, _>>()?
            }
        };
        if venues.is_empty() {
            return Err(self.file.wrong(&self.key_at("venues"), "venues is empty"));
        }
        venues.sort_by_key(|venue| venue.name());
        venues.dedup();
        Ok(Some(venues))
    }

    /// The fault that this table holds beside the keys of its own.
    fn choice(&self, own: &'static [&str], venues: Vec<Venue>) -> Result<Choice, SimError> {
        let Some(name) = self.text("fault")? else {
            return self.wrong("fault is missing; right is such as fault = \"cut\"");
        };
        let Some(form) = fault_form(name) else {
            let names: Vec<&str> =
                crate::FAULT_FORMS.iter().filter_map(|form| form.split(' ').next()).collect();
            let near = nearest(name, names.iter().copied());
            let near = near.map_or(String::new(), |near| format!(" (is it {near}?)"));
            let at = self.get("fault").map_or(self.at.clone(), Spanned::span);
            let reason = format!("there is no fault {name:?}{near}; there are {}", names.join(", "));
            return Err(self.file.wrong(&at, reason));
        };
        let keys: Vec<&str> = form_keys(form).collect();
        let mut parameters = Vec::new();
        for (key, value) in self.others(own) {
            if !keys.contains(&key) {
                let known: Vec<&str> = keys.iter().chain(own).copied().collect();
                return self.unknown(key, &known, &format!("right is: {form}"));
            }
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                other => number(other).ok_or_else(|| {
                    self.file.wrong(&value.span(), format!("{key} is a text or a number; right is: {form}"))
                })?,
            };
            parameters.push((key.to_owned(), text));
        }
        parameters.sort();
        let choice = Choice { venues, name: name.to_owned(), parameters };
        choice.fault(SOME_SYMBOL).map_err(|reason| self.file.wrong(&self.key_at("fault"), reason))?;
        Ok(choice)
    }

    /// Refuses a fault that a venue never has.
    fn must_have(&self, venue: Venue, fault: &Fault) -> Result<(), SimError> {
        match fault.refused_by(venue) {
            Some(why) => {
                let reason = format!("{} cannot have this fault: {why}", venue.name());
                Err(self.file.wrong(&self.key_at("fault"), reason))
            }
            None => Ok(()),
        }
    }

    fn every_ms(&self, value: &Spanned<DeValue<'_>>) -> Result<i64, SimError> {
        let every_ms = self.as_ms("every_s", value)?;
        if every_ms < SCENARIO_EVERY_MS_MIN {
            let reason = format!("every_s is at least {}", SCENARIO_EVERY_MS_MIN as f64 / 1000.0);
            return Err(self.file.wrong(&value.span(), reason));
        }
        Ok(every_ms)
    }

    /// The plans of a step: one for each of its venues.
    fn step(&self, length_ms: Option<i64>, plans: &mut Vec<Plan>) -> Result<(), SimError> {
        let Some(at_ms) = self.time_ms("at_s")? else {
            return self.wrong("at_s is missing; right is such as at_s = 5.0");
        };
        let every_ms = self.get("every_s").map(|value| self.every_ms(value)).transpose()?;
        let until_ms = match (every_ms, self.time_ms("until_s")?) {
            (None, Some(_)) => return self.wrong("until_s needs every_s"),
            (None, None) => at_ms,
            (Some(_), until_ms) => match until_ms.or(length_ms) {
                Some(until_ms) if until_ms >= at_ms => until_ms,
                Some(_) => return self.wrong("until_s is before at_s"),
                None => return self.wrong("every_s needs until_s here, or the scenario length_s"),
            },
        };
        let Some(venues) = self.venues()? else {
            return self.wrong("venue is missing; right is \"hyperliquid\" or \"binance\"");
        };
        for venue in venues {
            let choice = self.choice(&STEP, vec![venue])?;
            if let Ok(fault) = choice.fault(SOME_SYMBOL) {
                self.must_have(venue, &fault)?;
            }
            plans.push(Plan {
                line: self.file.line(self.at.start),
                first: First::At(at_ms),
                every_ms: every_ms.map(|every_ms| (every_ms, every_ms)),
                until_ms,
                choices: vec![choice],
            });
        }
        Ok(())
    }

    fn storm(&self, length_ms: Option<i64>) -> Result<Plan, SimError> {
        self.no_others(&STORM)?;
        let from_ms = self.time_ms("from_s")?.unwrap_or(0);
        let Some(until_ms) = self.time_ms("until_s")?.or(length_ms) else {
            return self.wrong("until_s is missing, or the scenario's length_s");
        };
        if until_ms < from_ms {
            return self.wrong("until_s is before from_s");
        }
        let every_ms = match self.get("every_s") {
            None => return self.wrong("every_s is missing; right is such as every_s = [5, 20]"),
            Some(value) => match value.get_ref().as_array().map(|both| both.iter().collect::<Vec<_>>()) {
                None => self.every_ms(value).map(|every_ms| (every_ms, every_ms))?,
                Some(both) if both.len() == 2 => (self.every_ms(both[0])?, self.every_ms(both[1])?),
                Some(_) => {
                    return Err(self.file.wrong(&value.span(), "every_s is a number, or two: [5, 20]"));
                }
            },
        };
        if every_ms.0 > every_ms.1 {
            return Err(self
                .file
                .wrong(&self.key_at("every_s"), "the first number of every_s is the larger one"));
        }
        let form = "{ fault = \"cut\", how = \"drop\" }";
        let of_storm = self.venues()?.unwrap_or(VENUES.to_vec());
        let mut choices = Vec::new();
        for value in self.list("faults", &format!("[{form}]"))?.unwrap_or_default() {
            let table = Table::of(self.file, value, form)?;
            let given = table.venues()?;
            let mut choice = table.choice(&STORM_FAULT, given.clone().unwrap_or(of_storm.clone()))?;
            let fault = choice.fault(SOME_SYMBOL).map_err(|reason| self.file.wrong(&table.at, reason))?;
            match given {
                // A venue that is named must be able to have it; of the storm's own, those are drawn that can.
                Some(venues) => {
                    venues.iter().try_for_each(|venue| table.must_have(*venue, &fault))?;
                }
                None => choice.venues.retain(|venue| fault.refused_by(*venue).is_none()),
            }
            if choice.venues.is_empty() {
                table.must_have(of_storm[0], &fault)?;
            }
            choices.push(choice);
        }
        if choices.is_empty() {
            return self.wrong(format!("faults is missing or empty; right is such as faults = [{form}]"));
        }
        let line = self.file.line(self.at.start);
        Ok(Plan { line, first: First::After(from_ms), every_ms: Some(every_ms), until_ms, choices })
    }

    /// The symbols to draw from.
    fn symbols(&self) -> Result<Vec<(Venue, Vec<String>)>, SimError> {
        self.no_others(&["hyperliquid", "binance"])?;
        let mut symbols = Vec::new();
        for venue in VENUES {
            let Some(values) = self.list(venue.name(), "[\"BTCUSDT\"]")? else { continue };
            let text = |value: &&Spanned<DeValue<'_>>| value.get_ref().as_str().map(str::to_owned);
            match values.iter().map(text).collect::<Option<Vec<String>>>() {
                Some(names) if !names.is_empty() => symbols.push((venue, names)),
                _ => {
                    let at = self.key_at(venue.name());
                    return Err(self
                        .file
                        .wrong(&at, "one or more symbols in quotation marks are needed here"));
                }
            }
        }
        Ok(symbols)
    }
}

/// A number as it is written, without anything that only helps to read it.
fn number(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace(['_', '+'], "")),
        DeValue::Float(number) => Some(number.as_str().replace(['_', '+'], "")),
        _ => None,
    }
}

/// See [`Scenario::parse`].
pub fn read(name: &str, text: &str) -> Result<Scenario, SimError> {
    let file = File { name, text };
    if text.len() > SCENARIO_BYTES_MAX {
        return Err(file.wrong(&(0..0), format!("{} bytes are more than {SCENARIO_BYTES_MAX}", text.len())));
    }
    let parsed = DeTable::parse(text)
        .map_err(|error| file.wrong(&error.span().unwrap_or_default(), error.message()))?;
    let top = Table { file: &file, table: parsed.get_ref(), at: 0..0 };
    top.no_others(&TOP)?;
    let length_ms = top.time_ms("length_s")?;
    let mut plans = Vec::new();
    for value in top.list("step", "[[step]]")?.unwrap_or_default() {
        Table::of(&file, value, "[[step]]")?.step(length_ms, &mut plans)?;
    }
    for value in top.list("storm", "[[storm]]")?.unwrap_or_default() {
        plans.push(Table::of(&file, value, "[[storm]]")?.storm(length_ms)?);
    }
    if plans.is_empty() {
        return top.wrong("nothing goes wrong here; right is at least one [[step]] or [[storm]]");
    }
    if plans.len() > SCENARIO_PLANS_MAX {
        return top.wrong(format!("{} steps and storms are more than {SCENARIO_PLANS_MAX}", plans.len()));
    }
    let last_ms = plans.iter().map(|plan| plan.until_ms).max().unwrap_or(0);
    if length_ms.is_some_and(|length_ms| length_ms < last_ms) {
        let at = top.key_at("length_s");
        let last_s = last_ms as f64 / 1000.0;
        return Err(file.wrong(&at, format!("length_s ends before the last fault may come, at {last_s}")));
    }
    let symbols = match top.get("symbols") {
        Some(value) => Table::of(&file, value, "symbols.binance = [\"BTCUSDT\"]")?.symbols()?,
        None => Vec::new(),
    };
    Ok(Scenario {
        name: name.to_owned(),
        about: top.text("about")?.unwrap_or_default().to_owned(),
        length_ms: length_ms.unwrap_or(last_ms),
        plans,
        symbols,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_would_be_right() {
        let step = "[[step]]\nat_s = 1\nvenue = \"binance\"\n";
        let storm = "[[storm]]\nuntil_s = 9\n";
        for (text, line, told) in [
            (String::new(), 1, "at least one [[step]] or [[storm]]"),
            ("[[step]\n".to_owned(), 1, ""),
            ("[[stepp]]\nat_s = 1\n".to_owned(), 1, "is it step?"),
            ("length_s = -1".to_owned(), 1, "seconds from 0 to"),
            ("[[step]]\nvenue = \"binance\"".to_owned(), 1, "at_s is missing"),
            ("[[step]]\nat_s = \"1\"".to_owned(), 2, "at_s is a number of seconds"),
            ("[[step]]\nat_s = 1\nfault = \"cut\"".to_owned(), 1, "venue is missing"),
            ("[[step]]\nat_s = 1\nvenue = \"binanse\"".to_owned(), 3, "is it binance?"),
            (step.to_owned(), 1, "fault is missing"),
            (format!("{step}fault = \"cutt\""), 4, "is it cut?"),
            (format!("{step}fault = \"cut\"\nhowe = \"drop\""), 5, "is it how?); right is: cut [route="),
            (format!("{step}fault = \"cut\"\nhow = \"gently\""), 4, "there are drop, close, reset"),
            (format!("{step}fault = \"cut\"\nhow = true"), 5, "how is a text or a number"),
            (format!("{step}fault = \"drop_trades\""), 4, "symbol is missing"),
            (format!("{step}fault = \"greeting\""), 4, "binance cannot have this fault: this venue does not"),
            (format!("{step}fault = \"cut\"\nuntil_s = 9"), 1, "until_s needs every_s"),
            (format!("{step}fault = \"cut\"\nevery_s = 1"), 1, "every_s needs until_s"),
            (format!("{step}fault = \"cut\"\nevery_s = 0\nuntil_s = 9"), 5, "every_s is at least 0.01"),
            (format!("length_s = 0.5\n{step}fault = \"cut\""), 1, "before the last fault may come, at 1"),
            (format!("symbols.binanc = []\n{step}fault = \"cut\""), 1, "is it binance?"),
            (format!("symbols.binance = [1]\n{step}fault = \"cut\""), 1, "in quotation marks"),
            (storm.to_owned(), 1, "every_s is missing"),
            (format!("{storm}every_s = [9, 1]"), 3, "the larger one"),
            (format!("{storm}every_s = [1, 2, 3]"), 3, "a number, or two"),
            (format!("{storm}every_s = 1"), 1, "faults is missing or empty"),
            (format!("{storm}every_s = 1\nvenus = []"), 4, "is it venues?"),
            (format!("{storm}every_s = 1\nfaults = [3]"), 4, "a table is needed here"),
            (format!("{storm}every_s = 1\nvenues = []\nfaults = []"), 4, "venues is empty"),
            (
                format!("{storm}every_s = 1\nvenues = [\"binance\"]\nfaults = [{{ fault = \"greeting\" }}]"),
                5,
                "this venue does not greet",
            ),
        ] {
            match read("x.toml", &text) {
                Err(SimError::Scenario { line: at, reason, .. }) => {
                    assert!(at == line && reason.contains(told), "{text}: line {at}: {reason}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
