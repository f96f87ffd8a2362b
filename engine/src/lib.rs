//! The feed handler: the pinned loop, the venues' sessions, connector, fetcher and candle history, and
//! their wiring.
//!
//! ```text
//!   connector ──ready connections──▶ ┌────────┐ records ┌─────┐
//!   fetcher   ──answers────────────▶ │ driver │────────▶│ ipc │──▶ strategies
//!   ipc       ──interest───────────▶ │ + ses- │         └─────┘
//!             ◀──jobs──────────────  │  sions │──events▶ ops (log)
//!                                    └────────┘
//! ```

pub mod agent;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod connector;
pub mod daemon;
pub mod driver;
pub mod event;
pub mod fetch;
pub mod fetcher;
pub mod frame;
pub mod history;
pub mod limits;
pub mod ops;
pub mod publisher;
pub mod session;
pub mod url;
