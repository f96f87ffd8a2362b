//! The sections of the configuration that concern the daemon rather than a venue.

use super::error::ConfigError;
use super::section::Section;
use super::venue::{CHANNELS, Symbols, channels, symbols};
use codec::limits::{BOOK_LEVELS_DEFAULT, BOOK_LEVELS_MAX};
use codec::words::{Interval, Stream, Venue};
use log::LevelFilter;
use std::net::IpAddr;
use std::path::PathBuf;

/// `[daemon]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaemonConfig {
    /// The clients' socket.
    pub socket_path: PathBuf,
    /// Its permission bits.
    pub socket_mode: u32,
    /// How much is logged.
    pub log_level: LevelFilter,
    /// Where to; `None`: standard error.
    pub log_path: Option<PathBuf>,
    /// Clients at a time.
    pub max_clients: u32,
    /// The shared log of encoded messages.
    pub clients_buffer_mib: u32,
    /// User ids that may connect; with both lists absent the file's permissions decide.
    pub allow_uids: Option<Vec<u32>>,
    /// Group ids that may connect.
    pub allow_gids: Option<Vec<u32>>,
}

impl Default for DaemonConfig {
    fn default() -> Self {
        Self {
            socket_path: "/var/run/slipstream/mktdata.sock".into(),
            socket_mode: 0o660,
            log_level: LevelFilter::Info,
            log_path: None,
            max_clients: 1024,
            clients_buffer_mib: 64,
            allow_uids: None,
            allow_gids: None,
        }
    }
}

/// Longest path a Unix socket can have (`sun_path`, less its final zero).
const SOCKET_PATH_BYTES_MAX: usize = 107;

pub(super) const LOG_LEVELS: [(&str, LevelFilter); 6] = [
    ("off", LevelFilter::Off),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];

impl DaemonConfig {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let socket_path = section
            .optional_text("socket_path", "the path of a Unix socket")?
            .map_or(default.socket_path, PathBuf::from);
        if socket_path.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            return Err(section.refuse(
                "socket_path",
                format!("{socket_path:?}"),
                format!("at most {SOCKET_PATH_BYTES_MAX} bytes long, the system's limit for a Unix socket"),
            ));
        }
        let config = Self {
            socket_path,
            socket_mode: socket_mode(&mut section, default.socket_mode)?,
            log_level: section.choice("log_level", default.log_level, &LOG_LEVELS)?,
            log_path: section.optional_text("log_path", "the path of a file")?.map(PathBuf::from),
            max_clients: section.integer("max_clients", default.max_clients.into(), 1..=65_536)? as u32,
            clients_buffer_mib: section.integer(
                "clients_buffer_mib",
                default.clients_buffer_mib.into(),
                1..=16_384,
            )? as u32,
            allow_uids: section.optional_ids("allow_uids")?,
            allow_gids: section.optional_ids("allow_gids")?,
        };
        section.finish()?;
        Ok(config)
    }
}

fn socket_mode(section: &mut Section<'_>, default: u32) -> Result<u32, ConfigError> {
    const EXPECTED: &str = "permission bits in octal and in quotes, such as \"0660\"";
    let Some(text) = section.optional_text("socket_mode", EXPECTED)? else { return Ok(default) };
    let octal = text.len() <= 4 && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    match u32::from_str_radix(&text, 8).ok().filter(|mode| octal && *mode <= 0o777) {
        Some(mode) => Ok(mode),
        None => Err(section.refuse("socket_mode", format!("{text:?}"), EXPECTED)),
    }
}

/// `engine_wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineWait {
    /// Never sleep.
    Spin,
    /// Sleep in the kernel until data comes, 1 ms at most.
    Poll,
    /// Spin with a core of its own, poll otherwise.
    Auto,
}

impl EngineWait {
    pub(super) const WORDS: [(&'static str, Self); 3] =
        [("spin", Self::Spin), ("poll", Self::Poll), ("auto", Self::Auto)];
}

/// `wait`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Never sleep.
    Spin,
    /// Give the core away between looks.
    Yield,
    /// Short sleeps between looks.
    Park,
    /// Spin with a core of its own, park otherwise.
    Auto,
}

impl Wait {
    pub(super) const WORDS: [(&'static str, Self); 4] =
        [("spin", Self::Spin), ("yield", Self::Yield), ("park", Self::Park), ("auto", Self::Auto)];
}

/// `[threads]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadsConfig {
    /// Core of the engine; `None`: not pinned.
    pub engine_core: Option<usize>,
    /// Core of the ipc thread.
    pub ipc_core: Option<usize>,
    /// Core of the recorder.
    pub recorder_core: Option<usize>,
    /// How the engine waits.
    pub engine_wait: EngineWait,
    /// How ipc and recorder wait.
    pub wait: Wait,
}

impl Default for ThreadsConfig {
    fn default() -> Self {
        Self {
            engine_core: None,
            ipc_core: None,
            recorder_core: None,
            engine_wait: EngineWait::Auto,
            wait: Wait::Auto,
        }
    }
}

impl ThreadsConfig {
    pub(super) fn read(mut section: Section<'_>, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let available: Vec<usize> =
            core_affinity::get_core_ids().unwrap_or_default().iter().map(|core| core.id).collect();
        let mut taken: Vec<(usize, &str)> = Vec::new();
        let mut core = |section: &mut Section<'_>, key: &'static str| -> Result<Option<usize>, ConfigError> {
            let Some(core) = section.optional_integer(key, 0..=1023)? else { return Ok(None) };
            let core = core as usize;
            if !available.is_empty() && !available.contains(&core) {
                let list: Vec<_> = available.iter().map(usize::to_string).collect();
                return Err(section.refuse(
                    key,
                    core,
                    format!("a core this process may run on: {}", list.join(", ")),
                ));
            }
            if let Some((_, other)) = taken.iter().find(|(used, _)| *used == core) {
                warnings.push(format!("{} = {core}: {other} is pinned there too", section.key(key)));
            }
            taken.push((core, key));
            Ok(Some(core))
        };
        let default = Self::default();
        let config = Self {
            engine_core: core(&mut section, "engine_core")?,
            ipc_core: core(&mut section, "ipc_core")?,
            recorder_core: core(&mut section, "recorder_core")?,
            engine_wait: section.choice("engine_wait", default.engine_wait, &EngineWait::WORDS)?,
            wait: section.choice("wait", default.wait, &Wait::WORDS)?,
        };
        if config.engine_wait == EngineWait::Spin && config.engine_core.is_none() {
            // A thread that never sleeps starves whatever else the system puts on its core.
            let right = "\"poll\" or \"auto\", or engine_core set: it spins only on a core of its own";
            return Err(section.refuse("engine_wait", "\"spin\"", right.to_owned()));
        }
        section.finish()?;
        Ok(config)
    }
}

/// `[retention]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetentionConfig {
    /// Four-hour candles kept per symbol.
    pub candles_4h_count: u32,
    /// One-hour candles kept per symbol.
    pub candles_1h_count: u32,
    /// Quarter-hour candles kept per symbol.
    pub candles_15m_count: u32,
    /// Candles of any other interval kept per symbol.
    pub candles_default_count: u32,
    /// Directory of the candle files; `None`, written as an empty string: candles are not stored, and all of
    /// their history is fetched at every start.
    pub candles_path: Option<PathBuf>,
    /// Book levels a side served at most.
    pub orderbook_depth: u32,
    /// Book levels a side kept.
    pub book_levels_max: u32,
    /// Once-a-second book snapshots kept per symbol.
    pub orderbook_snapshots_per_symbol: u32,
    /// Trades kept per symbol.
    pub trades_per_symbol: u32,
    /// Quotes kept per symbol.
    pub quotes_per_symbol: u32,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self {
            candles_4h_count: 1200,
            candles_1h_count: 2000,
            candles_15m_count: 2000,
            candles_default_count: 1500,
            candles_path: Some("/var/lib/slipstream/candles".into()),
            orderbook_depth: 1000,
            book_levels_max: BOOK_LEVELS_DEFAULT as u32,
            orderbook_snapshots_per_symbol: 100,
            trades_per_symbol: 1000,
            quotes_per_symbol: 1000,
        }
    }
}

impl RetentionConfig {
    /// Candles kept of an interval.
    #[must_use]
    pub const fn candles_count(&self, interval: Interval) -> u32 {
        match interval {
            Interval::H4 => self.candles_4h_count,
            Interval::H1 => self.candles_1h_count,
            Interval::M15 => self.candles_15m_count,
            _ => self.candles_default_count,
        }
    }

    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let levels_max = BOOK_LEVELS_MAX as u64;
        // A day of seconds; a hundred thousand of anything else.
        let (few, many) = (86_400, 100_000);
        for (key, field, range) in [
            ("candles_4h_count", &mut config.candles_4h_count, 1..=many),
            ("candles_1h_count", &mut config.candles_1h_count, 1..=many),
            ("candles_15m_count", &mut config.candles_15m_count, 1..=many),
            ("candles_default_count", &mut config.candles_default_count, 1..=many),
            ("orderbook_depth", &mut config.orderbook_depth, 1..=levels_max),
            ("book_levels_max", &mut config.book_levels_max, 20..=levels_max),
            ("orderbook_snapshots_per_symbol", &mut config.orderbook_snapshots_per_symbol, 0..=few),
            ("trades_per_symbol", &mut config.trades_per_symbol, 0..=many),
            ("quotes_per_symbol", &mut config.quotes_per_symbol, 0..=many),
        ] {
            *field = section.integer(key, (*field).into(), range)? as u32;
        }
        if section.is_empty_text("candles_path") {
            section.take("candles_path");
            config.candles_path = None;
        } else if let Some(path) =
            section.optional_text("candles_path", "the path of a directory, or \"\" for none")?
        {
            config.candles_path = Some(path.into());
        }
        if config.orderbook_depth > config.book_levels_max {
            return Err(section.refuse(
                "orderbook_depth",
                config.orderbook_depth,
                format!("at most book_levels_max, which is {}", config.book_levels_max),
            ));
        }
        section.finish()?;
        Ok(config)
    }
}

/// `[recorder]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecorderConfig {
    /// Whether it records.
    pub enabled: bool,
    /// Directory of the segments.
    pub journal_path: PathBuf,
    /// What is recorded of each venue; a venue not named: everything.
    pub symbols: Vec<(Venue, Symbols)>,
    /// Streams recorded.
    pub channels: Vec<Stream>,
    /// Size of a segment.
    pub segment_mib: u32,
    /// What a power cut may cost.
    pub sync_ms: u64,
    /// How far back a restart fills Binance trades; 0: not at all.
    pub restart_fill_minutes: u32,
    /// Whether the venues' own frames are recorded as well.
    pub record_raw: bool,
    /// Disk the journal may use.
    pub max_disk_gib: u32,
}

impl Default for RecorderConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            journal_path: "/var/lib/slipstream/journal".into(),
            symbols: Vec::new(),
            channels: CHANNELS.to_vec(),
            segment_mib: 256,
            sync_ms: 100,
            restart_fill_minutes: 10,
            record_raw: false,
            max_disk_gib: 200,
        }
    }
}

impl RecorderConfig {
    pub(super) fn read(mut section: Section<'_>, warnings: &mut Vec<String>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let mut by_venue = Vec::new();
        if let Some(mut venues) = section.section("symbols")? {
            for venue in Venue::ALL.iter().copied() {
                if let Some(symbols) = symbols(venue.as_str(), &mut venues, warnings)? {
                    by_venue.push((venue, symbols));
                }
            }
            venues.finish()?;
        }
        let config = Self {
            enabled: section.boolean("enabled", default.enabled)?,
            journal_path: section
                .optional_text("journal_path", "the path of a directory")?
                .map_or(default.journal_path, PathBuf::from),
            symbols: by_venue,
            channels: channels("channels", &mut section, warnings)?.unwrap_or(default.channels),
            segment_mib: section.integer("segment_mib", default.segment_mib.into(), 32..=4096)? as u32,
            sync_ms: section.integer("sync_ms", default.sync_ms, 1..=60_000)?,
            restart_fill_minutes: section.integer(
                "restart_fill_minutes",
                default.restart_fill_minutes.into(),
                0..=2880,
            )? as u32,
            record_raw: section.boolean("record_raw", default.record_raw)?,
            max_disk_gib: section.integer("max_disk_gib", default.max_disk_gib.into(), 1..=1_000_000)? as u32,
        };
        section.finish()?;
        Ok(config)
    }
}

/// `[shm]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShmConfig {
    /// Whether the region is written.
    pub enabled: bool,
    /// Its file.
    pub path: PathBuf,
    /// Size of its ring.
    pub ring_mib: u32,
}

impl Default for ShmConfig {
    fn default() -> Self {
        Self { enabled: true, path: "/dev/shm/slipstream".into(), ring_mib: 64 }
    }
}

impl ShmConfig {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let default = Self::default();
        let config = Self {
            enabled: section.boolean("enabled", default.enabled)?,
            path: section.optional_text("path", "the path of a file")?.map_or(default.path, PathBuf::from),
            ring_mib: section.integer("ring_mib", default.ring_mib.into(), 1..=16_384)? as u32,
        };
        section.finish()?;
        Ok(config)
    }
}

/// `[health]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// Address served on.
    pub bind: IpAddr,
    /// Port of `/metrics`, `/health` and `/ready`.
    pub metrics_port: u16,
    /// How often progress is looked at.
    pub watchdog_interval_ms: u64,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self { bind: IpAddr::from([127, 0, 0, 1]), metrics_port: 9090, watchdog_interval_ms: 5000 }
    }
}

impl HealthConfig {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        const EXPECTED: &str = "an IP address such as \"127.0.0.1\"";
        let default = Self::default();
        let bind = section.text("bind", &default.bind.to_string(), EXPECTED)?;
        let config = Self {
            bind: bind.parse().map_err(|_| section.refuse("bind", format!("{bind:?}"), EXPECTED))?,
            metrics_port: section.integer("metrics_port", default.metrics_port.into(), 0..=65_535)? as u16,
            watchdog_interval_ms: section.integer(
                "watchdog_interval_ms",
                default.watchdog_interval_ms,
                100..=600_000,
            )?,
        };
        section.finish()?;
        Ok(config)
    }
}
