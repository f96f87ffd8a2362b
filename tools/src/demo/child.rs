//! A program of ours, run beside this one: started with its log in a file, watched, and stopped in good order.

use crate::error::ToolError;
use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to end once told to.
const STOP_MAX: Duration = Duration::from_secs(5);
/// Lines of its log that an error shows.
const LOG_LINES: usize = 12;
/// Between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(10);

/// See the module.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    log: PathBuf,
    process: process::Child,
    ended: bool,
}

impl Child {
    /// Starts a program that lies beside ours; its output goes to `NAME.log` in the directory.
    ///
    /// # Errors
    /// When it is not there or cannot be started.
    pub fn start(name: &'static str, arguments: &[&OsStr], directory: &Path) -> Result<Self, ToolError> {
        let program = beside_us(name)?;
        let log = directory.join(format!("{name}.log"));
        let open = || File::create(&log).and_then(|file| Ok((file.try_clone()?, file)));
        let (out, err) =
            open().map_err(|source| ToolError::io(format!("writing {}", log.display()), source))?;
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(err);
        // A Ctrl-C reaches us alone, so that both are stopped in order.
        command.process_group(0);
        // A configuration from the environment would override ours.
        for (variable, _) in std::env::vars_os().filter(|(variable, _)| is_override(variable)) {
            command.env_remove(variable);
        }
        let parent = rustix::process::getpid();
        // SAFETY: between fork and exec the closure makes only system calls, and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                // However we end, it does not stay behind.
                set_parent_process_death_signal(Some(Signal::KILL))?;
                match rustix::process::getppid() == Some(parent) {
                    true => Ok(()),
                    false => Err(std::io::ErrorKind::BrokenPipe.into()),
                }
            });
        }
        let process = command
            .spawn()
            .map_err(|source| ToolError::io(format!("starting {}", program.display()), source))?;
        Ok(Self { name, log, process, ended: false })
    }

    /// Where its log is.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When it does not; with the end of its log.
    pub fn check(&mut self) -> Result<(), ToolError> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.ended = true;
                Err(self.failed(&format!("ended unasked ({status})")))
            }
            Err(source) => Err(ToolError::io(format!("watching {}", self.name), source)),
        }
    }

    /// An error about it, with the end of its log.
    pub fn failed(&self, what: &str) -> ToolError {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let end = last_lines(&log, LOG_LINES);
        let log =
            if end.is_empty() { "; its log is empty".to_owned() } else { format!("; its log ends:\n{end}") };
        ToolError::Failed(format!("{} {what}{log}", self.name))
    }

    /// Stops it.
    ///
    /// # Errors
    /// When it does not end in time (it is killed then), or ends with an error.
    pub fn stop(mut self) -> Result<(), ToolError> {
        match self.end() {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.failed(&format!("ended badly ({status})"))),
            None => Err(self.failed(&format!("had to be killed after {} s", STOP_MAX.as_secs()))),
        }
    }

    /// Ends it one way or the other; `None`: it had to be killed.
    fn end(&mut self) -> Option<ExitStatus> {
        self.ended = true;
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let deadline = Instant::now() + STOP_MAX;
        while Instant::now() < deadline {
            if let Ok(Some(status)) = self.process.try_wait() {
                return Some(status);
            }
            std::thread::sleep(LOOK);
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
        None
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.ended {
            self.end();
        }
    }
}

/// The path of a program in our own directory.
fn beside_us(name: &str) -> Result<PathBuf, ToolError> {
    let us = std::env::current_exe()
        .map_err(|source| ToolError::io("finding this program's directory", source))?;
    let program = us.with_file_name(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(ToolError::Failed(format!(
        "{} is missing: the demo needs it beside this program; `cargo build --workspace` builds all of them",
        program.display()
    )))
}

/// Whether the daemon would read a variable as part of its configuration.
fn is_override(variable: &OsString) -> bool {
    variable.to_str().and_then(|name| name.strip_prefix("SLIPSTREAM_")).is_some_and(|key| key.contains("__"))
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_its_last_lines() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }

    #[test]
    fn only_configuration_is_kept_from_the_daemon() {
        assert!(is_override(&"SLIPSTREAM_VENUES__BINANCE__REST_URL".into()));
        assert!(!is_override(&"SLIPSTREAM_SOCKET".into()));
        assert!(!is_override(&"PATH".into()));
    }
}
