//! The socket file: taken over when stale, respected when live, never anything else deleted.

use crate::error::IpcError;
use crate::limits::SOCKET_PATH_BYTES_MAX;
use mio::net::{UnixListener, UnixStream};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// A listening socket and its file, which is removed with it.
#[derive(Debug)]
pub struct SocketFile {
    /// The listener, non-blocking.
    pub listener: UnixListener,
    path: PathBuf,
    /// Device and inode: another daemon may have put its own file in our place.
    identity: (u64, u64),
}

fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> IpcError {
    move |source| IpcError::Io { doing, path: path.to_owned(), source }
}

impl SocketFile {
    /// Listens at `path` with permission bits `mode`.
    ///
    /// # Errors
    /// When another daemon answers there, when something else lies there, or when the system refuses.
    pub fn bind(path: &Path, mode: u32) -> Result<Self, IpcError> {
        let bytes = path.as_os_str().as_bytes().len();
        if bytes > SOCKET_PATH_BYTES_MAX {
            return Err(IpcError::PathTooLong {
                path: path.to_owned(),
                bytes,
                bytes_max: SOCKET_PATH_BYTES_MAX,
            });
        }
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !directory.is_dir() {
            return Err(IpcError::NoDirectory { directory: directory.to_owned(), path: path.to_owned() });
        }
        clear_stale(path)?;
        let listener = match UnixListener::bind(path) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                return Err(IpcError::InUse { path: path.to_owned() });
            }
            other => other.map_err(io("cannot listen at", path))?,
        };
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(path, permissions).map_err(io("cannot set the mode of", path))?;
        let identity = identity(path).map_err(io("cannot look at", path))?;
        Ok(Self { listener, path: path.to_owned(), identity })
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the file, if it is still this socket's.
    pub fn remove(&self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Removes a socket file that nobody answers on.
fn clear_stale(path: &Path) -> Result<(), IpcError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(io("cannot look at", path)(error)),
    };
    if !metadata.file_type().is_socket() {
        return Err(IpcError::NotASocket { path: path.to_owned() });
    }
    // Without waiting: a daemon that takes no connections any more, its queue full, would hold this one up for good.
    match UnixStream::connect(path) {
        // A full queue of connections, too, means that somebody listens.
        Ok(_) => Err(IpcError::InUse { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(io("cannot remove the stale socket", path))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(IpcError::InUse { path: path.to_owned() }),
        Err(error) => Err(io("cannot tell whether a daemon answers on", path)(error)),
    }
}
