//! The venue decoders against a plain `serde_json` decoder: on captures, on the documented shapes, and on
//! messages damaged and rewritten in every way a venue or a wire might.
#![cfg(feature = "venues")]

mod check;
mod facts;
mod fixtures;
#[path = "../support/fuzz.rs"]
mod fuzz;
mod limits;
mod market;
mod mutate;
mod mutation;
mod oracle;
mod rest;
mod rest_market;
mod samples;
mod strange;
mod targets;
mod tree;
