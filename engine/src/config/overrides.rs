//! Environment variables that override keys: `SLIPSTREAM_` and the key's path joined by `__`.

use super::error::ConfigError;
use super::section::Override;
use std::ffi::OsString;
use toml::{Table, Value};

const PREFIX: &str = "SLIPSTREAM_";

/// Finds the overrides in an environment and puts their values into `table`.
///
/// A name without `__` after the prefix is none of ours (`SLIPSTREAM_SOCKET` is the clients').
pub(super) fn apply(
    table: &mut Table,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Vec<Override>, ConfigError> {
    let mut overrides = Vec::new();
    for (name, raw) in environment {
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        if !path.contains("__") {
            continue;
        }
        let refuse = |reason: &str| ConfigError::Override { name: name.clone(), reason: reason.to_owned() };
        let raw = raw.into_string().map_err(|_| refuse("its value is not UTF-8"))?;
        let path: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        if path.iter().any(String::is_empty) {
            return Err(refuse("a part of the key's path is empty"));
        }
        set(table, &path, read(&raw)).map_err(|reason| refuse(&reason))?;
        overrides.push(Override { name: name.clone(), key: path.join("."), raw });
    }
    Ok(overrides)
}

/// A value as TOML, else as a string.
fn read(raw: &str) -> Value {
    let parsed = format!("value = {raw}").parse::<Table>().ok();
    match parsed {
        Some(mut table) if table.len() == 1 => table.remove("value"),
        _ => None,
    }
    .unwrap_or_else(|| Value::String(raw.to_owned()))
}

fn set(table: &mut Table, path: &[String], value: Value) -> Result<(), String> {
    let (last, tables) = path.split_last().expect("a path has a part");
    let mut here = table;
    for (depth, part) in tables.iter().enumerate() {
        here = here
            .entry(part.clone())
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{} is not a table", path[..=depth].join(".")))?;
    }
    here.insert(last.clone(), value);
    Ok(())
}
