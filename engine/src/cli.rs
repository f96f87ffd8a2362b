//! The command line of `slipstream-mktdata`.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` prints.
pub const HELP: &str = "\
slipstream-mktdata - live market data for local strategies

Usage: slipstream-mktdata [--config PATH] [--check]

Options:
  --config PATH   configuration file; else the file named by MKTDATA_CONFIG,
                  else /etc/slipstream/mktdata.toml
  --check         check the configuration, print the effective one as TOML, and exit (0 or 2)
  --version       print the version and exit
  --help          print this and exit

Any key can be set from the environment: its path in upper case, joined by two underscores, after
SLIPSTREAM_, as in SLIPSTREAM_VENUES__BINANCE__REST_URL. The value is read as TOML, else as a string.

Stops on SIGTERM or SIGINT within 5 s. Exit codes: 0 clean, 2 bad configuration or usage, 1 other.
";

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the daemon.
    Run(Option<PathBuf>),
    /// Check the configuration.
    Check(Option<PathBuf>),
    /// Print the help.
    Help,
    /// Print the version.
    Version,
}

/// Reads the arguments, the program's name excluded.
///
/// # Errors
/// What is wrong with them.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut arguments = arguments.into_iter();
    let mut config = None;
    let mut check = false;
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy().into_owned();
        let path = match text.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--version" | "-V" => return Ok(Command::Version),
            "--check" => {
                check = true;
                continue;
            }
            "--config" => arguments.next(),
            _ => match text.strip_prefix("--config=") {
                Some(path) => Some(path.into()),
                None => return Err(format!("unknown argument {text:?}")),
            },
        };
        let path = path.filter(|path| !path.is_empty()).ok_or("--config needs a path")?;
        if config.replace(PathBuf::from(path)).is_some() {
            return Err("--config is given twice".to_owned());
        }
    }
    Ok(if check { Command::Check(config) } else { Command::Run(config) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read() {
        assert_eq!(read(&[]), Ok(Command::Run(None)));
        assert_eq!(read(&["--config", "a"]), Ok(Command::Run(Some("a".into()))));
        assert_eq!(read(&["--check", "--config=a b"]), Ok(Command::Check(Some("a b".into()))));
        assert_eq!(read(&["--check", "--help"]), Ok(Command::Help));
        assert_eq!(read(&["-V"]), Ok(Command::Version));
        assert_eq!(read(&["--config"]), Err("--config needs a path".into()));
        assert_eq!(read(&["--config="]), Err("--config needs a path".into()));
        assert_eq!(read(&["--config", "a", "--config", "b"]), Err("--config is given twice".into()));
        assert_eq!(read(&["start"]), Err("unknown argument \"start\"".into()));
    }
}
