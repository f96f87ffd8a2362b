//! What can be wrong with a configuration, said so that the operator can mend it.

use std::path::PathBuf;
use thiserror::Error;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: cannot read the configuration: {source} (name another file with --config PATH or MKTDATA_CONFIG)", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{file}: not valid TOML: {source}")]
    Syntax {
        /// The file.
        file: String,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key that means nothing here.
    #[error("{origin}: unknown key {key}{}", hint(nearest.as_deref(), known))]
    UnknownKey {
        /// File or environment variable it stands in.
        origin: String,
        /// Its whole path.
        key: String,
        /// The known key most like it.
        nearest: Option<String>,
        /// All keys known at that place.
        known: Vec<&'static str>,
    },
    /// A value of the wrong kind or out of range.
    #[error("{origin}: {key} = {value}: must be {expected}")]
    Value {
        /// File or environment variable it stands in.
        origin: String,
        /// The key's whole path.
        key: String,
        /// The value as written.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// An environment variable that cannot be an override.
    #[error("environment variable {name}: {reason}")]
    Override {
        /// Its name.
        name: String,
        /// Why not.
        reason: String,
    },
}

fn hint(nearest: Option<&str>, known: &[&str]) -> String {
    match nearest {
        Some(nearest) => format!(" (did you mean {nearest}?)"),
        None => format!(" (known here: {})", known.join(", ")),
    }
}
