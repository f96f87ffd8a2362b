//! The candle files of one venue, in a directory that one daemon uses at a time.
//!
//! ```text
//!   <candles_path>/<venue>-<host>_<port>/.lock
//!                                       /<symbol>.<interval>.candles
//! ```
//! The directory is named by the REST address, too, so that a test environment's candles are never taken for
//! the real market's. Nothing waits for the disk: a busy one can take a minute, in which the process could not even
//! end, and what a power cut takes is fetched again. A file is replaced by writing another one and renaming it, so
//! that the process may be killed at any time. What cannot be read is put aside as `.bad` and told; it is never
//! deleted. An empty file, which a power cut may leave, is as good as none.

use super::file::{self, Contents, HEADER_BYTES, NotOurs, ROW_BYTES, SeriesName};
use crate::limits::{CANDLE_FILE_BYTES_MAX, CANDLE_FILES_BAD_MAX};
use crate::url::Url;
use codec::candle::Candle;
use codec::words::Venue;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// What was found in a series' file.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// By start, each period once; there may be holes.
    pub rows: Vec<Candle>,
    /// The venue has nothing before this start; 0: not known.
    pub origin_ms: u64,
    /// Rows in the file, replaced ones included.
    pub written: usize,
    /// What was wrong with it.
    pub trouble: Option<Trouble>,
    /// It is there, and can be neither read nor put aside: nothing may be written to it.
    pub unusable: bool,
}

/// Something wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What, as a fixed phrase.
    pub what: &'static str,
    /// Particulars.
    pub detail: String,
}

/// Where series are kept.
pub trait CandleFiles {
    /// Reads a series, and mends its file where it is damaged.
    fn load(&mut self, name: SeriesName<'_>) -> Loaded;

    /// Appends rows to a series; makes the file where there is none.
    ///
    /// # Errors
    /// The system's; nothing of the rows is in the file then.
    fn append(&mut self, name: SeriesName<'_>, rows: &[Candle]) -> io::Result<()>;

    /// Makes a series consist of these rows.
    ///
    /// # Errors
    /// The system's; the file is as it was then.
    fn replace(&mut self, name: SeriesName<'_>, origin_ms: u64, rows: &[Candle]) -> io::Result<()>;
}

/// No files: history comes by REST only.
#[derive(Clone, Copy, Debug)]
pub struct NoFiles;

impl CandleFiles for NoFiles {
    fn load(&mut self, _: SeriesName<'_>) -> Loaded {
        Loaded::default()
    }
    fn append(&mut self, _: SeriesName<'_>, _: &[Candle]) -> io::Result<()> {
        Ok(())
    }
    fn replace(&mut self, _: SeriesName<'_>, _: u64, _: &[Candle]) -> io::Result<()> {
        Ok(())
    }
}

/// A directory of files, locked.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    /// Held, not read: the lock goes with it.
    _lock: File,
}

impl Directory {
    /// Makes and locks the directory of a venue's REST address.
    ///
    /// # Errors
    /// What keeps it from being used: the system's error, or that another process uses it.
    pub fn open(candles_path: &Path, venue: Venue, rest_url: &str) -> Result<Self, Trouble> {
        let address = match Url::parse(rest_url) {
            Ok(url) => format!("{}_{}", encoded(&url.host), url.port),
            Err(_) => encoded(rest_url),
        };
        let path = candles_path.join(format!("{venue}-{address}"));
        let trouble =
            |what, error: io::Error| Trouble { what, detail: format!("{}: {error}", path.display()) };
        const UNWRITABLE: &str = "candle files cannot be written: history comes by REST only";
        std::fs::create_dir_all(&path).map_err(|error| trouble(UNWRITABLE, error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join(".lock"))
            .map_err(|error| trouble(UNWRITABLE, error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Trouble {
                what: "another process uses the candle files: history comes by REST only",
                detail: path.display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(trouble(UNWRITABLE, error)),
        }
    }

    fn file(&self, name: SeriesName<'_>) -> PathBuf {
        self.path.join(format!("{}.{}.candles", encoded(name.symbol), name.interval))
    }

    fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(CANDLE_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    /// Renames a file to the first free name that ends in `.bad`.
    fn put_aside(path: &Path) -> io::Result<PathBuf> {
        for number in 0..CANDLE_FILES_BAD_MAX {
            let mut name = path.as_os_str().to_owned();
            name.push(if number == 0 { ".bad".to_owned() } else { format!(".bad{number}") });
            let aside = PathBuf::from(name);
            if !aside.exists() {
                std::fs::rename(path, &aside)?;
                return Ok(aside);
            }
        }
        Err(io::Error::other(format!("{CANDLE_FILES_BAD_MAX} files were put aside before")))
    }

    /// Rewrites a file whose rows are not all sound, so that this is told once.
    fn mend(&mut self, name: SeriesName<'_>, contents: &Contents) -> Option<Trouble> {
        if contents.damaged == 0 && contents.torn_bytes == 0 {
            return None;
        }
        let path = self.file(name);
        let mut detail = format!(
            "{}: {} of {} rows damaged, {} bytes of another cut off",
            path.display(),
            contents.damaged,
            contents.written,
            contents.torn_bytes
        );
        if let Err(error) = self.replace(name, contents.origin_ms, &contents.rows) {
            detail.push_str(&format!("; rewriting it: {error}"));
        }
        Some(Trouble { what: "candle file was damaged: its sound rows are kept", detail })
    }
}

impl CandleFiles for Directory {
    fn load(&mut self, name: SeriesName<'_>) -> Loaded {
        let path = self.file(name);
        let bytes = match Self::read(&path) {
            Ok(Some(bytes)) if !bytes.is_empty() => bytes,
            Ok(_) => return Loaded::default(),
            Err(error) => {
                let detail = format!("{}: {error}", path.display());
                let trouble = Trouble { what: "candle file cannot be read", detail };
                return Loaded { trouble: Some(trouble), unusable: true, ..Loaded::default() };
            }
        };
        match file::read(name, &bytes) {
            Ok(contents) => {
                let trouble = self.mend(name, &contents);
                let Contents { rows, origin_ms, written, .. } = contents;
                let written = if trouble.is_some() { rows.len() } else { written };
                Loaded { rows, origin_ms, written, trouble, unusable: false }
            }
            Err(why) => {
                let why = match why {
                    NotOurs::Header => "its header cannot be read",
                    NotOurs::Series => "it is another series'",
                };
                let (what, unusable, detail) = match Self::put_aside(&path) {
                    Ok(aside) => ("candle file put aside", false, format!("{why}: now {}", aside.display())),
                    Err(error) => {
                        let detail = format!("{}: {why}; renaming it: {error}", path.display());
                        ("candle file cannot be put aside", true, detail)
                    }
                };
                Loaded { trouble: Some(Trouble { what, detail }), unusable, ..Loaded::default() }
            }
        }
    }

    fn append(&mut self, name: SeriesName<'_>, rows: &[Candle]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(false).open(self.file(name))?;
        let length = file.metadata()?.len() as usize;
        let mut bytes = Vec::new();
        let start = if length < HEADER_BYTES {
            bytes.extend_from_slice(&file::header(name, 0));
            0
        } else {
            // Behind the last whole row, whatever an append that failed left behind.
            length - (length - HEADER_BYTES) % ROW_BYTES
        };
        file::put(&mut bytes, rows);
        file.seek(SeekFrom::Start(start as u64))?;
        let written = file.write_all(&bytes);
        if written.is_err() {
            // If this fails as well, the next append or load cuts it off.
            let _ = file.set_len(start as u64);
        }
        written
    }

    fn replace(&mut self, name: SeriesName<'_>, origin_ms: u64, rows: &[Candle]) -> io::Result<()> {
        let path = self.file(name);
        let temporary = path.with_extension("candles.tmp");
        let mut bytes = file::header(name, origin_ms).to_vec();
        file::put(&mut bytes, rows);
        let written = std::fs::write(&temporary, &bytes).and_then(|()| std::fs::rename(&temporary, &path));
        if written.is_err() {
            // On a full disk half a file is in the way of everybody.
            let _ = std::fs::remove_file(&temporary);
        }
        written
    }
}

/// A name as a part of a file's: everything but `A-Z a-z 0-9 . _ ~ -` percent-encoded.
fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'~' | b'-' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
