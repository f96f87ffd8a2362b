//! The errors of this crate: what was being done, and with what.

use std::path::PathBuf;

/// Why the simulator could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// A listener could not be opened.
    #[error("cannot listen on 127.0.0.1:{port} for {what}: {source}")]
    Listen {
        /// Who wanted to listen.
        what: &'static str,
        /// The port asked for (0: any).
        port: u16,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {doing} {path}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// A capture holds a line that is not of the form `RECV_NS SPACE JSON`.
    #[error("{path}, line {line}: {reason}")]
    Capture {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The certificate authority or the server's certificate could not be made.
    #[error("cannot make the certificate: {0}")]
    Certificate(String),
    /// A thread or its poller could not be started.
    #[error("cannot start the thread of {what}: {source}")]
    Thread {
        /// The thread.
        what: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The symbol does not exist at this venue.
    #[error("no symbol {0:?} at this venue")]
    UnknownSymbol(String),
    /// The interval does not exist.
    #[error("no interval {0:?}; there are 1m, 3m, 5m, 15m, 30m, 1h, 2h, 4h, 6h, 8h, 12h, 1d, 3d, 1w and 1M")]
    UnknownInterval(String),
    /// The time or id asked for is no longer kept.
    #[error("{what} {asked} of {symbol} is older than what is kept (from {oldest})")]
    OutsideWindow {
        /// The symbol.
        symbol: String,
        /// `time_ms`, `update id` or `trade id`.
        what: &'static str,
        /// What was asked for.
        asked: i128,
        /// The oldest that could be answered.
        oldest: i128,
    },
    /// The time or id asked for has not come to pass.
    #[error("{what} {asked} of {symbol} is not reached yet (at {newest})")]
    NotReached {
        /// The symbol.
        symbol: String,
        /// `time_ms` or `update id`.
        what: &'static str,
        /// What was asked for.
        asked: i128,
        /// The newest that can be answered.
        newest: i128,
    },
    /// A fault that this venue, or this mode, cannot have.
    #[error("fault refused: {0}")]
    Fault(String),
    /// A scenario that cannot be read, or that asks for what is not there.
    #[error("{name}, line {line}: {reason}")]
    Scenario {
        /// Its name or path.
        name: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// There is no ready scenario of this name.
    #[error("no scenario {name:?}{near}; there are {names}, or the path of a file NAME.toml")]
    NoScenario {
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        near: String,
        /// All names.
        names: String,
    },
    /// One scenario is played at a time.
    #[error("scenario {0} is being played; it has to end or be stopped first")]
    ScenarioPlays(String),
    /// A playback command to a venue that plays nothing back.
    #[error("{0} does not play a capture back")]
    NoPlayback(&'static str),
    /// The venue's thread did not answer.
    #[error("the thread of {0} does not answer")]
    NoAnswer(&'static str),
}
