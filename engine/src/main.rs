//! `slipstream-mktdata`: reads the command line and the configuration, runs the daemon until a signal.

use engine::cli::{self, Command};
use engine::config::Config;
use engine::daemon::{self, Daemon};
use engine::limits::SHUTDOWN_LAST_RESORT_S;
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
    let stop = Arc::new(AtomicBool::new(false));
    if let Err(error) = obey_signals(&stop) {
        eprintln!("slipstream-mktdata: {error}");
        return ExitCode::from(EXIT_FAILURE);
    }
    if let Err(error) = logging::init(config.daemon.log_level, config.daemon.log_path.as_deref()) {
        let path = config.daemon.log_path.unwrap_or_default();
        eprintln!("slipstream-mktdata: daemon.log_path: cannot open {} for writing: {error}", path.display());
        return ExitCode::from(EXIT_FAILURE);
    }
    // Else the last words of a thread would go to standard error whatever is configured, and wait for its reader.
    std::panic::set_hook(Box::new(|panic| {
        logging::say_last(&format!("{panic}\n{}", std::backtrace::Backtrace::capture()));
    }));
    let code = serve(&config, &stop);
    logging::flush();
    code
}

/// Lets SIGTERM and SIGINT ask for a stop.
fn obey_signals(stop: &Arc<AtomicBool>) -> std::io::Result<()> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        // A second signal, while the first is being obeyed, ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(stop))?;
        signal_hook::flag::register(signal, Arc::clone(stop))?;
        // SAFETY: alarm is async-signal-safe, and touches no memory.
        let last_resort = || unsafe {
            libc::alarm(SHUTDOWN_LAST_RESORT_S);
        };
        // SAFETY: the action does nothing that a signal handler must not do.
        unsafe { signal_hook::low_level::register(signal, last_resort) }?;
    }
    Ok(())
}

/// Runs the daemon until a stop is asked for.
fn serve(config: &Config, stop: &AtomicBool) -> ExitCode {
    let daemon = match Daemon::start(config) {
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
