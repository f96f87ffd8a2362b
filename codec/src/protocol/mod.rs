//! The socket's MessagePack: frames, requests in, messages out. No sockets, no clock, no state.
//!
//! A frame is a 4-byte big-endian length and one MessagePack map with string keys. Requests are read in
//! place without allocation ([`unpack`], [`request`]); messages are appended to a reused buffer
//! ([`pack`], [`message`]). The reference for users is `docs/protocol.md`.

pub mod error;
pub mod frame;
pub mod message;
pub mod pack;
pub mod request;
pub mod unpack;

/// The number of this protocol, in the reply to `hello`.
pub const PROTOCOL: u64 = 1;
