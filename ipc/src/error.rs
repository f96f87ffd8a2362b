//! Why the server cannot start or go on.

use std::path::PathBuf;

/// What was being done, with what, and why it failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
    /// Another daemon serves the socket.
    #[error(
        "socket {path} is in use: a running daemon answers on it; stop it or choose another `daemon.socket_path`"
    )]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The path holds something that is not a socket.
    #[error("{path} exists and is not a socket; it is left alone, choose another `daemon.socket_path`")]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The directory is not there.
    #[error(
        "directory {directory} of socket {path} does not exist; create it or choose another `daemon.socket_path`"
    )]
    NoDirectory {
        /// The directory.
        directory: PathBuf,
        /// The socket.
        path: PathBuf,
    },
    /// The kernel's socket address cannot hold the path.
    #[error("socket path {path} has {bytes} bytes; the kernel takes at most {bytes_max}")]
    PathTooLong {
        /// The path.
        path: PathBuf,
        /// Its length.
        bytes: usize,
        /// The kernel's limit.
        bytes_max: usize,
    },
    /// A system call failed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}
