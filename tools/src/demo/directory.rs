//! A directory of our own that is gone afterwards.

use crate::error::ToolError;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// A socket's path must be shorter than this; some is left for the name of the socket.
const PATH_BYTES_MAX: usize = 80;
/// Names tried.
const ATTEMPTS_MAX: u32 = 100;

/// See the module.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    /// Makes one in the system's directory for temporary files, readable by us alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create() -> Result<Self, ToolError> {
        let mut parent = std::env::temp_dir();
        if parent.as_os_str().as_bytes().len() > PATH_BYTES_MAX - 30 {
            parent = PathBuf::from("/tmp");
        }
        let mut attempt = 0;
        loop {
            let mut name = format!("slipstream-demo-{}", std::process::id());
            if attempt > 0 {
                name += &format!("-{attempt}");
            }
            let path = parent.join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, keep: false }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < ATTEMPTS_MAX => {
                    attempt += 1
                }
                Err(source) => {
                    return Err(ToolError::io(format!("making directory {}", path.display()), source));
                }
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It stays.
    pub const fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            eprintln!("slipstream: removing {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_ours_alone_and_gone_afterwards_unless_kept() {
        use std::os::unix::fs::PermissionsExt;
        let (one, mut other) = (Directory::create().expect("one"), Directory::create().expect("another"));
        let paths = [one.path().to_owned(), other.path().to_owned()];
        assert_ne!(paths[0], paths[1]);
        let mode = std::fs::metadata(&paths[0]).expect("it").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        std::fs::write(paths[0].join("file"), "x").expect("a file");
        other.keep();
        drop((one, other));
        assert!(!paths[0].exists() && paths[1].exists());
        std::fs::remove_dir_all(&paths[1]).expect("removing it");
    }
}
