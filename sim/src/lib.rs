//! Both venues as programs meet them in late 2026: Hyperliquid and Binance USDⓈ-M futures, over real sockets on
//! loopback, with a market behind them whose truth is known.
//!
//! It shares no code with the rest of the workspace, so that one mistake cannot hide on both sides.
//!
//! ```text
//!             ┌──────────────── thread per venue ────────────────┐
//!  clients ◀─▶│ server: mio, TLS, HTTP, WebSocket                │
//!             │   ▲ actions          │ messages, requests, ticks │
//!             │   │                  ▼                           │      ┌───────────────┐
//!             │ venue (Protocol): subscriptions, limits, faults  │◀────▶│ tests: truth, │
//!             │   ▲                                              │      │ counters,     │
//!             │ market model, or playback of a capture           │      │ faults        │
//!             └──────────────────────────────────────────────────┘      └───────────────┘
//! ```
//! Only the server owns sockets and a clock. A [`protocol::Protocol`] and a [`market::Market`] take time as a value,
//! and can be driven by hand.
//!
//! ```no_run
//! let sim = sim::Sim::start(sim::Config::default())?;
//! println!("{} {}", sim.binance().ws_url(), sim.binance().rest_url());
//! let book = sim.binance().market().truth_at_time("BTCUSDT", sim.binance().market().now_ms())?;
//! println!("{} bids", book.bids.len());
//! # Ok::<(), sim::SimError>(())
//! ```

mod binance;
mod config;
mod control;
mod counters;
mod decimal;
mod error;
mod faults;
mod hyperliquid;
pub mod limits;
pub mod market;
mod playback;
pub mod protocol;
mod random;
mod server;
mod sim;
mod subscribers;

pub use binance::Binance;
pub use config::{BinanceConfig, Config, HyperliquidConfig, KeyOrder, PlaybackConfig, Speed, StartWhen};
pub use counters::{Counters, SharedCounters, SubscribeRecord};
pub use decimal::{SCALE_E8, fixed, parse_e8, trimmed};
pub use error::SimError;
pub use faults::{CutHow, FAULT_FORMS, Fault};
pub use hyperliquid::Hyperliquid;
pub use market::{
    Aggressor, Change, Contract, Fill, Instrument, Interval, Level, Market, MarketConfig, MarketHandle,
    NewFill, Quote, SettledFunding, Side, Trade, TruthBook, TruthCandle, TruthContext, TruthFunding, Venue,
};
pub use playback::PlaybackHandle;
pub use protocol::Route;
pub use random::Random;
pub use sim::{Sim, VenueHandle, combined_url};
