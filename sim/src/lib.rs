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
//! and can be driven by hand: [`ByHand`] does so, with connections, REST and faults as over sockets.
//!
//! ```
//! use sim::{ByHand, Config, Heard, protocol::ControlFrame};
//! let mut venue = ByHand::binance(&Config::universe(20, 0), 1_790_000_000_000)?;
//! let Ok(connection) = venue.open("/market/stream?streams=btcusdt@kline_15m") else { panic!("refused") };
//! let asked = venue.get("/fapi/v1/klines?symbol=BTCUSDT&interval=15m&limit=96");
//! assert!(matches!(venue.next_heard(), Some(Heard::Answer(id, answer)) if id == asked && answer.status == 200));
//! let (mut closed, mut ended) = (0, false);
//! while !ended {
//!     venue.pass_to(venue.now_ms() + 1_000);
//!     while let Some(heard) = venue.next_heard() {
//!         match heard {
//!             Heard::Text(_, text) => closed += usize::from(text.contains("\"x\":true")),
//!             Heard::Ping(from, payload) => drop(venue.send_control(from, ControlFrame::Pong(payload))),
//!             Heard::Closed(from, code, _) => ended = from == connection && code == 1000,
//!             _ => {}
//!         }
//!     }
//! }
//! assert_eq!((closed, ended), (96, true), "a candle each quarter of an hour; a day is the longest life");
//! # Ok::<(), sim::SimError>(())
//! ```
//! What goes wrong is a [`Fault`], at once, or a [`Scenario`], at its times: played by [`Sim::play`], or asked by whoever
//! drives virtual time ([`Schedule::due`]). `docs/simulator.md` has them all.
//!
//! Every frame and row about candles, funding and fills has its truth: [`VenueHandle::candles`],
//! [`MarketHandle::funding_at`], [`MarketHandle::context`], [`MarketHandle::fills`]. The past before the start is a
//! pure function of seed, symbol and period, so that a simulation of the same seed started later has the same past
//! ([`market::Past`]).
//!
//! ```no_run
//! let sim = sim::Sim::start(sim::Config::default())?;
//! println!("{} {}", sim.binance().ws_url(), sim.binance().rest_url());
//! let book = sim.binance().market().truth_at_time("BTCUSDT", sim.binance().market().now_ms())?;
//! println!("{} bids", book.bids.len());
//! # Ok::<(), sim::SimError>(())
//! ```

mod binance;
pub mod by_hand;
mod cadence;
mod clock;
mod config;
mod control;
mod counters;
mod decimal;
mod disturbances;
mod error;
mod faults;
mod framing;
mod hyperliquid;
mod json;
pub mod limits;
pub mod market;
mod names;
mod playback;
pub mod protocol;
mod random;
mod rest_faults;
mod scenario;
mod server;
mod sim;
mod subscribers;
mod transport;
mod wire;

pub use binance::Binance;
pub use by_hand::{ByHand, Heard, NotOpened};
pub use config::{BinanceConfig, Config, HyperliquidConfig, KeyOrder, PlaybackConfig, Speed, StartWhen};
pub use counters::{Counters, SharedCounters, SubscribeRecord};
pub use decimal::{SCALE_E8, fixed, parse_e8, trimmed};
pub use error::SimError;
pub use faults::{CutHow, FAULT_FORMS, Fault, MalformedHow, RefuseHow, StrangeOrder, TlsHow};
pub use hyperliquid::{Hyperliquid, is_address};
pub use market::{
    Aggressor, Change, Contract, Fill, Instrument, Interval, Level, Market, MarketConfig, MarketHandle,
    NewFill, NewListing, Quote, SettledFunding, Side, Trade, TruthBook, TruthCandle, TruthContext,
    TruthFunding, Venue,
};
pub use names::Names;
pub use playback::PlaybackHandle;
pub use protocol::Route;
pub use random::Random;
pub use scenario::player::{ScenarioStart, ScenarioState};
pub use scenario::{Due, Scenario, Schedule};
pub use sim::{Sim, VenueHandle, combined_url};
