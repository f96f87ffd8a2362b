//! What breaks feed handlers in practice, each entry of `docs/faults.md` by its number: the fault is made to happen,
//! and the daemon is right or says that it is not.
//!
//! Most run a real session before a simulated venue in virtual time, with the fetcher's queue, the history of candles
//! and the server around it ([`stage`]); where sockets, TLS or processes matter, the real daemon ([`system`]).

#[path = "../hyperliquid_venue/mod.rs"]
mod hyperliquid_venue;
#[path = "../support/mod.rs"]
mod support;
#[path = "../system/mod.rs"]
mod system;
#[path = "../virtual_desk/mod.rs"]
mod virtual_desk;

mod books;
mod candles;
mod connections;
mod desk;
mod page;
mod rest;
mod scripted;
mod stage;
mod subscriptions;
mod trades;
mod wire;
