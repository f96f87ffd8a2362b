//! The candles of the past: an agent that loads them, keeps them on disk, and keeps up with the present.
//!
//! ```text
//!   engine ──instruments, closed candles──▶ ┌─────────┐ ──rows of the past──▶ ipc
//!          ◀──────────────────seeds──────── │ history │ ◀─wishes────────────
//!   fetcher ◀─requests──── ────answers────▶ └────┬────┘
//!                                                ▼ files
//! ```
//! Its promises:
//! - What the server is handed of a series is ascending and without a hole, oldest first, until the series is
//!   said to be complete; corrections and what fills a hole later may come at any time after that.
//! - A row is handed over only if the venue gave it, the engine closed it, it was folded from such rows, or
//!   the venue left its period out before a later one (then it is flat: last close, volume 0).
//! - A series is not said to be complete while a period that is over is missing, unless the venue was asked
//!   for it when it was settled and did not give it; nor because of an answer without rows, unless that is
//!   what a new listing looks like, or several in a row were so. Then it is asked for again, slowly.
//! - The engine is told of an interval made of the finest one only when all of its running period is known.
//! - Rows of a file go to the server once the venue's rows after them agree with the file, or if no period has
//!   ended since: what the server has cannot be taken back.
//! - Every disturbance of a file is told, none stops the daemon: without a disk, history comes by REST.

mod agent;
mod clock;
mod core;
mod file;
mod outbox;
mod progress;
mod rows;
mod series;
mod store;
mod symbol;
mod whole;

pub use crate::session::CandleSeed;
pub use agent::{History, HistoryRings, HistorySettings, HistoryVenue};
pub use core::{CoreVenue, HistoryCore};
pub use file::SeriesName;
pub use outbox::{HistoryCounters, Outbox};
pub use store::{CandleFiles, Directory, Loaded, NoFiles, Trouble};
