//! The wish to end: SIGINT, SIGTERM and SIGHUP set a flag that every loop looks at.

use crate::error::ToolError;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
#[derive(Clone, Debug)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// From now on the signals set the flag instead of ending the process.
    pub fn on_signals() -> Result<Self, ToolError> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&asked))
                .map_err(|source| ToolError::io("setting up signals", source))?;
        }
        Ok(Self(asked))
    }

    /// Whether one of them has come.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
