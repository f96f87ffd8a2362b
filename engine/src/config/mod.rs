//! The configuration: TOML with environment overrides, checked whole before anything starts.
//!
//! A value that is wrong is refused with the file (or environment variable), the key, the value and what
//! would be right; a key that nobody knows is refused with the nearest known one. What is merely unwise is
//! collected in [`Config::warnings`] and logged at start.

mod error;
mod overrides;
mod render;
mod section;
mod sections;
mod venue;

#[cfg(test)]
mod tests;

pub use error::ConfigError;
pub use sections::{
    DaemonConfig, EngineWait, HealthConfig, RecorderConfig, RetentionConfig, ShmConfig, ThreadsConfig, Wait,
};
pub use venue::{RateLimits, Symbols, VenueConfig, venue_intervals};

use codec::words::Venue;
use section::{Origin, Section};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use toml::Table;

/// Where the configuration is when neither `--config` nor `MKTDATA_CONFIG` says.
pub const DEFAULT_PATH: &str = "/etc/slipstream/mktdata.toml";
/// The environment variable that names the configuration file.
pub const PATH_VARIABLE: &str = "MKTDATA_CONFIG";

/// Everything the daemon is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `[daemon]`.
    pub daemon: DaemonConfig,
    /// `[threads]`.
    pub threads: ThreadsConfig,
    /// `[retention]`.
    pub retention: RetentionConfig,
    /// `[venues.*]` that are there, enabled or not, in the order of [`Venue::ALL`].
    pub venues: Vec<VenueConfig>,
    /// `[recorder]`, if there.
    pub recorder: Option<RecorderConfig>,
    /// `[shm]`, if there.
    pub shm: Option<ShmConfig>,
    /// `[health]`.
    pub health: HealthConfig,
    /// What is unwise about all that; empty in a configuration made in code.
    pub warnings: Vec<String>,
}

impl Config {
    /// The file to read: what `--config` says, else what the environment says, else [`DEFAULT_PATH`].
    #[must_use]
    pub fn path(argument: Option<PathBuf>) -> PathBuf {
        argument
            .or_else(|| std::env::var_os(PATH_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from))
            .unwrap_or_else(|| DEFAULT_PATH.into())
    }

    /// Reads `file` with the process's environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| ConfigError::Read { file: file.to_owned(), source })?;
        Self::parse(&text, &file.display().to_string(), std::env::vars_os())
    }

    /// Reads the text of `file` with a given environment.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn parse(
        text: &str,
        file: &str,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut table: Table = text
            .parse()
            .map_err(|source| ConfigError::Syntax { file: file.to_owned(), source: Box::new(source) })?;
        let overrides = overrides::apply(&mut table, environment)?;
        let origin = Origin { file: file.to_owned(), overrides };
        let mut warnings = Vec::new();
        let mut root = Section::root(&origin, table);
        let mut config = Self::default();
        if let Some(section) = root.section("daemon")? {
            config.daemon = DaemonConfig::read(section)?;
        }
        if let Some(section) = root.section("threads")? {
            config.threads = ThreadsConfig::read(section, &mut warnings)?;
        }
        if let Some(section) = root.section("retention")? {
            config.retention = RetentionConfig::read(section)?;
        }
        if let Some(mut venues) = root.section("venues")? {
            for venue in Venue::ALL.iter().copied() {
                if let Some(section) = venues.section(venue.as_str())? {
                    config.venues.push(VenueConfig::read(venue, section, &mut warnings)?);
                }
            }
            venues.finish()?;
        }
        if let Some(section) = root.section("recorder")? {
            config.recorder = Some(RecorderConfig::read(section, &mut warnings)?);
        }
        if let Some(section) = root.section("shm")? {
            config.shm = Some(ShmConfig::read(section)?);
        }
        if let Some(section) = root.section("health")? {
            config.health = HealthConfig::read(section)?;
        }
        root.finish()?;
        if config.enabled_venues().next().is_none() {
            warnings.push(format!("{file}: no venue is enabled: there is nothing to serve"));
        }
        config.warnings = warnings;
        Ok(config)
    }

    /// The venues that are used.
    pub fn enabled_venues(&self) -> impl Iterator<Item = &VenueConfig> {
        self.venues.iter().filter(|venue| venue.enabled)
    }
}
