//! One table of the configuration, read key by key: what nobody asked for is unknown.

use super::error::ConfigError;
use std::fmt::Display;
use std::ops::RangeInclusive;
use toml::{Table, Value};

/// An environment variable that sets a key.
#[derive(Clone, Debug)]
pub(super) struct Override {
    /// The variable's name.
    pub name: String,
    /// The key's path joined by dots.
    pub key: String,
    /// The variable's text as it is.
    pub raw: String,
}

/// Where values come from, for messages.
#[derive(Debug)]
pub(super) struct Origin {
    /// The file's name.
    pub file: String,
    /// What the environment sets.
    pub overrides: Vec<Override>,
}

impl Origin {
    /// The override that set `key` or something around or inside it.
    fn override_of(&self, key: &str) -> Option<&Override> {
        let around = |inner: &str, outer: &str| {
            inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
        };
        self.overrides.iter().rev().find(|one| around(key, &one.key) || around(&one.key, key))
    }

    /// What to call the place a key stands in.
    pub fn of(&self, key: &str) -> String {
        match self.override_of(key) {
            Some(one) => format!("environment variable {}", one.name),
            None => self.file.clone(),
        }
    }
}

/// A table on its way to becoming a typed section.
pub(super) struct Section<'a> {
    origin: &'a Origin,
    path: String,
    table: Table,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub fn root(origin: &'a Origin, table: Table) -> Self {
        Self { origin, path: String::new(), table, known: Vec::new() }
    }

    /// The whole path of a key in this table.
    pub fn key(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key, once.
    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.table.remove(key)
    }

    /// A refusal of `value`.
    pub fn refuse(&self, key: &str, value: impl Display, expected: impl Into<String>) -> ConfigError {
        let key = self.key(key);
        ConfigError::Value {
            origin: self.origin.of(&key),
            value: value.to_string(),
            expected: expected.into(),
            key,
        }
    }

    pub fn integer(
        &mut self,
        key: &'static str,
        default: u64,
        range: RangeInclusive<u64>,
    ) -> Result<u64, ConfigError> {
        Ok(self.optional_integer(key, range)?.unwrap_or(default))
    }

    pub fn optional_integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(self.refuse(
                key,
                &value,
                format!("a whole number from {} to {}", range.start(), range.end()),
            )),
        }
    }

    pub fn boolean(&mut self, key: &'static str, default: bool) -> Result<bool, ConfigError> {
        match self.take(key) {
            None => Ok(default),
            Some(Value::Boolean(value)) => Ok(value),
            Some(value) => Err(self.refuse(key, value, "true or false")),
        }
    }

    /// A string. What the environment gives is a string even where it reads as something else.
    pub fn optional_text(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Result<Option<String>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) if !text.is_empty() => Ok(Some(text)),
            Some(value) => {
                let whole = self.key(key);
                match self.origin.override_of(&whole) {
                    Some(one) if one.key == whole && !one.raw.is_empty() && !value.is_str() => {
                        Ok(Some(one.raw.clone()))
                    }
                    _ => Err(self.refuse(key, value, expected)),
                }
            }
        }
    }

    /// Whether a key holds the empty string, where that has a meaning of its own.
    pub fn is_empty_text(&self, key: &str) -> bool {
        self.table.get(key).and_then(Value::as_str) == Some("")
    }

    pub fn text(&mut self, key: &'static str, default: &str, expected: &str) -> Result<String, ConfigError> {
        Ok(self.optional_text(key, expected)?.unwrap_or_else(|| default.to_owned()))
    }

    /// One of a few words.
    pub fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        default: T,
        words: &[(&'static str, T)],
    ) -> Result<T, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(default) };
        if let Some(found) =
            value.as_str().and_then(|word| words.iter().find(|(candidate, _)| *candidate == word))
        {
            return Ok(found.1);
        }
        let list: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        Err(self.refuse(key, value, format!("one of {}", list.join(", "))))
    }

    /// A list of numbers (user or group ids).
    pub fn optional_ids(&mut self, key: &'static str) -> Result<Option<Vec<u32>>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        let ids = value.as_array().and_then(|list| {
            list.iter().map(|id| id.as_integer().and_then(|id| u32::try_from(id).ok())).collect()
        });
        match ids {
            Some(ids) => Ok(Some(ids)),
            None => Err(self.refuse(key, value, "a list of numeric ids such as [1000]")),
        }
    }

    /// `"all"` (`None`) or a list of strings.
    pub fn all_or_list(
        &mut self,
        key: &'static str,
        what: &str,
    ) -> Result<Option<Option<Vec<String>>>, ConfigError> {
        let Some(value) = self.take(key) else { return Ok(None) };
        if value.as_str() == Some("all") {
            return Ok(Some(None));
        }
        let list = value
            .as_array()
            .and_then(|list| list.iter().map(|item| item.as_str().map(str::to_owned)).collect());
        match list {
            Some(list) => Ok(Some(Some(list))),
            None => Err(self.refuse(key, value, format!("\"all\" or a list of {what}"))),
        }
    }

    /// A table inside this one.
    pub fn section(&mut self, key: &'static str) -> Result<Option<Section<'a>>, ConfigError> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Table(table)) => {
                Ok(Some(Section { origin: self.origin, path: self.key(key), table, known: Vec::new() }))
            }
            Some(value) => Err(self.refuse(key, value, format!("a table, written [{}]", self.key(key)))),
        }
    }

    /// Refuses what nobody asked for.
    pub fn finish(self) -> Result<(), ConfigError> {
        let Some(stray) = self.table.keys().next() else { return Ok(()) };
        let key = self.key(stray);
        let nearest = self
            .known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(&stray.to_lowercase(), known), *known))
            .filter(|(distance, known)| *distance <= (known.len() / 2).max(2))
            .min()
            .map(|(_, known)| self.key(known));
        let mut known = self.known.clone();
        known.sort_unstable();
        let origin = self.origin.of(&key);
        Err(ConfigError::UnknownKey { origin, key: self.key(&written(stray)), nearest, known })
    }
}

/// A key as a line of text shows it: in quotes where it would be nothing, or more than one, without.
fn written(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if !key.is_empty() && key.bytes().all(bare) { key.to_owned() } else { format!("{key:?}") }
}
