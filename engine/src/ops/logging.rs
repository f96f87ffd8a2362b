//! Where log lines go: standard error or a file, at the configured level.

use log::LevelFilter;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// The target of everything this daemon says.
pub const TARGET: &str = "slipstream";

/// Sets the process's logger up, once; later calls change nothing.
///
/// Libraries are heard only when they warn.
///
/// # Errors
/// When the file cannot be opened for appending.
pub fn init(level: LevelFilter, path: Option<&Path>) -> io::Result<()> {
    let mut builder = env_logger::Builder::new();
    builder.filter_level(level.min(LevelFilter::Warn)).filter_module(TARGET, level);
    if let Some(path) = path {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        builder.target(env_logger::Target::Pipe(Box::new(file)));
    }
    // Already set up, by an earlier daemon in the same process or by a test's own harness.
    let _ = builder.try_init();
    Ok(())
}
