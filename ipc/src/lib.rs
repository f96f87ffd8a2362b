//! The Unix-socket server: a replica of the market, queries, subscriptions, fan-out, backpressure.
//!
//! [`core::Core`] is the protocol without sockets or clock; [`server::Server`] puts a socket under it.
//! Users' reference: `docs/protocol.md`.

pub mod candle_feed;
pub mod client;
pub mod config;
pub mod core;
pub mod counters;
pub mod error;
pub mod event;
pub mod limits;
pub mod replica;
pub mod server;

mod apply;
mod candle_history;
mod candle_queries;
mod candle_reply;
mod deliver;
mod fanout;
mod interest;
mod log;
mod names;
mod queries;
mod reply;
mod report;
mod requests;
mod socket;
mod subscribe;
mod topic;
mod window;

pub use candle_feed::{CandleHistory, CandleWish};
pub use config::{CoreConfig, Retention, ServerConfig, VenueConfig};
pub use core::{Core, Outlets};
pub use counters::Counters;
pub use deliver::Output;
pub use error::IpcError;
pub use event::{Event, Interest, LeaveReason, RefuseReason};
pub use server::Server;
