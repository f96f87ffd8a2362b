//! What can go wrong, in words for whoever typed the command.

use std::io;
use std::path::PathBuf;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// Nobody reads our output any more: the end, but no failure.
    #[error("standard output is closed")]
    OutputClosed,
    /// No daemon at any of the paths.
    #[error("no daemon answers at {}\n{HINT}", paths(tried))]
    NotRunning {
        /// Each path tried and why it did not do.
        tried: Vec<(PathBuf, io::Error)>,
    },
    /// The daemon said no.
    #[error("{message} ({code})")]
    Refused {
        /// Its error code.
        code: String,
        /// Its explanation.
        message: String,
    },
    /// The connection ended while in use.
    #[error("the daemon closed the connection{}", suffix(.0))]
    Lost(String),
    /// The peer does not speak our protocol.
    #[error("this is no Slipstream daemon, or another version: {0}")]
    Protocol(String),
    /// The operating system said no.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The demo was ended before there was anything to see.
    #[error("ended before both venues were live")]
    Interrupted,
    /// Anything else, explained.
    #[error("{0}")]
    Failed(String),
}

impl ToolError {
    /// An error of the operating system while doing something.
    pub fn io(doing: impl Into<String>, source: io::Error) -> Self {
        Self::Io { doing: doing.into(), source }
    }
}

fn paths(tried: &[(PathBuf, io::Error)]) -> String {
    let one = |(path, error): &(PathBuf, io::Error)| format!("{} ({})", path.display(), plain(error));
    tried.iter().map(one).collect::<Vec<_>>().join(", nor at ")
}

/// The error without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// What to do without a daemon.
const HINT: &str = "start one with `slipstream-mktdata --config PATH`, or try `slipstream demo`; \
                    --socket PATH or SLIPSTREAM_SOCKET says where it listens";

fn suffix(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_daemon_is_told_with_every_path_tried_and_how_to_start_one() {
        let missing = || io::Error::from_raw_os_error(2);
        let error = ToolError::NotRunning { tried: vec![("/a".into(), missing()), ("/b".into(), missing())] };
        let text = error.to_string();
        assert!(text.starts_with(
            "no daemon answers at /a (No such file or directory), nor at /b (No such file or directory)\n"
        ));
        assert!(text.contains("slipstream-mktdata --config PATH"));
    }
}
