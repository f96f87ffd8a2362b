//! The vocabulary every other crate speaks: exact decimals, records, books.
//!
//! Without features this crate depends on `zerocopy` alone and holds what is written into rings,
//! journals and shared memory: [`decimal`], [`record`], [`book`], [`candle`] and the [`words`] they use, and the table of [`drift`].
//! Feature `ring` adds the ring that carries records between threads, feature `venues` the decoders
//! of the venues' JSON, feature `protocol` the MessagePack of the socket.

pub mod book;
pub mod candle;
pub mod decimal;
pub mod drift;
pub mod limits;
pub mod record;
pub mod time;
pub mod words;

#[cfg(feature = "ring")]
pub mod ring;

#[cfg(feature = "venues")]
pub mod venues;

#[cfg(feature = "protocol")]
pub mod protocol;
