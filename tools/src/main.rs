//! `slipstream`: looks at a running daemon, or shows one off.

mod args;
mod connection;
mod demo;
mod error;
mod format;
mod output;
mod stop;
mod tail;
mod top;

use args::{Command, Parsed};
use error::ToolError;
use std::process::ExitCode;

/// Arguments that cannot be understood.
const EXIT_USAGE: u8 = 2;

fn main() -> ExitCode {
    let parsed = args::parse(std::env::args_os().skip(1), |name| std::env::var_os(name));
    let result = match parsed {
        Ok(Parsed::Print(text)) => output::print(text),
        Ok(Parsed::Run(command)) => run(command),
        Err(usage) => {
            eprintln!("slipstream: {usage}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match result {
        // Whoever read our output has gone, as in `slipstream tail … | head`: that is no failure.
        Ok(()) | Err(ToolError::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipstream: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), ToolError> {
    match command {
        Command::Tail(options) => tail::run(&options),
        Command::Top(options) => top::run(&options),
        Command::Demo(options) => demo::run(&options),
    }
}
