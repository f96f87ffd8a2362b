//! The candle history against a scripted market: in virtual time, through the fetcher's real queue and budget;
//! and its files on a real disk.

#[path = "../bench_net/mod.rs"]
mod bench_net;

mod bench;
mod doubt;
mod files;
mod keeping;
mod loading;
mod market;
