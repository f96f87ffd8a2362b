//! Standard output, whose reader may go away at any time.

use crate::error::ToolError;
use std::io::{self, Write};

/// A failed write to standard output as our error.
pub fn failed(error: io::Error) -> ToolError {
    match error.kind() {
        io::ErrorKind::BrokenPipe => ToolError::OutputClosed,
        _ => ToolError::io("writing to standard output", error),
    }
}

/// Writes a whole text at once.
pub fn print(text: &str) -> Result<(), ToolError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
}
