//! `slipstream-mktdata`: reads the command line and the configuration, runs the daemon until a signal.

use engine::cli::{self, Command};
use engine::config::Config;
use engine::daemon::{self, Daemon};
use engine::ops::logging;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bad configuration or usage.
const EXIT_CONFIGURATION: u8 = 2;
/// Anything else that went wrong.
const EXIT_FAILURE: u8 = 1;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)) {
        Ok(Command::Help) => {
            print(cli::HELP);
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            print(concat!("slipstream-mktdata ", env!("CARGO_PKG_VERSION"), "\n"));
            ExitCode::SUCCESS
        }
        Ok(Command::Check(path)) => check(path),
        Ok(Command::Run(path)) => run(path),
        Err(error) => {
            eprintln!("slipstream-mktdata: {error} (--help tells the usage)");
            ExitCode::from(EXIT_CONFIGURATION)
        }
    }
}

/// Prints to a reader that may be gone (`| head`).
fn print(text: &str) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn load(path: Option<PathBuf>) -> Result<Config, ExitCode> {
    Config::load(&Config::path(path)).map_err(|error| {
        eprintln!("slipstream-mktdata: {error}");
        ExitCode::from(EXIT_CONFIGURATION)
    })
}

fn check(path: Option<PathBuf>) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    for warning in &config.warnings {
        eprintln!("slipstream-mktdata: warning: {warning}");
    }
    match daemon::trust(&config) {
        Err(error) if error.is_configuration() => {
            eprintln!("slipstream-mktdata: {error}");
            return ExitCode::from(EXIT_CONFIGURATION);
        }
        // What this machine lacks is not the configuration's fault.
        Err(error) => eprintln!("slipstream-mktdata: warning: {error}"),
        Ok(_) => {}
    }
    print(&config.to_toml());
    ExitCode::SUCCESS
}

fn run(path: Option<PathBuf>) -> ExitCode {
    let config = match load(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    if let Err(error) = logging::init(config.daemon.log_level, config.daemon.log_path.as_deref()) {
        let path = config.daemon.log_path.unwrap_or_default();
        eprintln!("slipstream-mktdata: daemon.log_path: cannot open {} for writing: {error}", path.display());
        return ExitCode::from(EXIT_FAILURE);
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // A second signal, while the first is being obeyed, ends the process at once.
        let registered = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&stop)));
        if let Err(error) = registered {
            log::error!(target: logging::TARGET, "registering for signal {signal}: {error}");
            return ExitCode::from(EXIT_FAILURE);
        }
    }
    let daemon = match Daemon::start(&config) {
        Ok(daemon) => daemon,
        Err(error) => {
            log::error!(target: logging::TARGET, "{error}");
            let code = if error.is_configuration() { EXIT_CONFIGURATION } else { EXIT_FAILURE };
            return ExitCode::from(code);
        }
    };
    while !stop.load(Ordering::Relaxed) {
        if let Some(thread) = daemon.has_died() {
            log::error!(target: logging::TARGET, "thread {thread} ended unasked");
            return ExitCode::from(EXIT_FAILURE);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    log::info!(target: logging::TARGET, "stopping");
    daemon.stop();
    match daemon.join() {
        Ok(()) => {
            log::info!(target: logging::TARGET, "stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            log::error!(target: logging::TARGET, "{error}");
            ExitCode::from(EXIT_FAILURE)
        }
    }
}
