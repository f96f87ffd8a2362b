//! A client of the Slipstream daemon, blocking or spinning.
//!
//! ```no_run
//! use slipstream_client::{Client, Message, request};
//! use std::time::Duration;
//!
//! let mut client = Client::connect("/var/run/slipstream/mktdata.sock")?;
//! client.request(&request("subscribe_orderbook").venue("binance").symbol("BTCUSDT").with("depth", 5))?;
//! while let Some(message) = client.recv(Duration::from_secs(10))? {
//!     if let Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) = message {
//!         println!("{:?} {:?}", book.bids.first(), book.asks.first());
//!     }
//! }
//! # Ok::<(), slipstream_client::ClientError>(())
//! ```
//!
//! A request may be made while streaming: messages that come before its reply are kept and given by the next
//! [`Client::recv`]. [`Client::next_frame`] hands out raw frames without allocation, for latency runs.

mod client;
mod error;
mod message;
mod request;

pub use client::{Client, Wait};
pub use error::ClientError;
pub use message::{Book, Candle, Delta, Fill, Funding, Gap, Level, Message, Quote, Status, Trade};
pub use request::{Request, request};
pub use rmpv::Value;
