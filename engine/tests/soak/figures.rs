//! Whether the daemon's own counters add up.
//!
//! They go on while a page of them is written. So, while it runs, two pages are held against each other: what came in
//! by the first has come out, one way or the other, by the second; and never has more come out than had come in. When
//! nothing comes any more, they add up to the last one.

use crate::system::{Desk, Metrics, wait_for};
use engine::session::account::Channel;
use sim::{CutHow, Fault, RefuseHow};
use std::collections::BTreeMap;

/// For how long nobody gets a connection: longer than anything is waited for.
const REST_MS: i64 = 600_000;

/// What an account says of a channel.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Items {
    received: f64,
    published: f64,
    dropped: f64,
}

/// Of each venue and channel.
fn items(page: &Metrics) -> BTreeMap<(&'static str, &'static str), Items> {
    let pairs = ["binance", "hyperliquid"]
        .into_iter()
        .flat_map(|venue| Channel::ALL.iter().map(move |channel| (venue, channel.as_str())));
    pairs
        .map(|(venue, channel)| {
            let labels = [("venue", venue), ("channel", channel)];
            let sum = |name: &str| page.sum(&format!("mktdata_items_{name}_total"), &labels);
            let (received, published, dropped) = (sum("received"), sum("published"), sum("dropped"));
            ((venue, channel), Items { received, published, dropped })
        })
        .collect()
}

/// Records that went into the server's ring, and that came out of it.
fn ring(page: &Metrics) -> (f64, f64) {
    let into = page.sum("mktdata_ring_records_total", &[("ring", "ipc")]);
    (into, page.sum("mktdata_ipc_records_total", &[]))
}

fn next_page(desk: &Desk, before: &Metrics) -> Metrics {
    wait_for("the next page", || Some(desk.metrics()).filter(|page| page != before))
}

/// While everything runs.
pub fn keep_up(desk: &Desk) {
    let before = desk.metrics();
    let after = next_page(desk, &before);
    let (before, after) = (items(&before), items(&after));
    for (of, first) in &before {
        let then = after[of];
        let out = |items: Items| items.published + items.dropped;
        assert!(first.received <= out(then), "{of:?}: {first:?}, and later only {then:?}");
        assert!(out(*first) <= then.received, "{of:?}: more came out than came in: {first:?}, {then:?}");
    }
    for ((venue, channel), items) in after {
        let streams = ["orderbook", "quotes", "trades"].contains(&channel);
        assert!(!streams || items.received > 0.0, "{venue} {channel}: nothing received");
    }
}

/// Ends all traffic and waits until nothing moves; then received is published and dropped, and what went into the ring
/// came out of it, to the last one. A summary.
pub fn add_up_at_rest(desk: &Desk) -> String {
    for venue in [desk.sim.binance(), desk.sim.hyperliquid()] {
        venue.fault(Fault::RefuseConnections { for_ms: REST_MS, how: RefuseHow::Refuse }).unwrap();
        venue.fault(Fault::Cut { route: None, how: CutHow::Close, code: 1000 }).unwrap();
    }
    let mut before = desk.metrics();
    let page = wait_for("everything to stand still", || {
        let page = next_page(desk, &before);
        let is_same = (items(&page), ring(&page)) == (items(&before), ring(&before));
        before = page.clone();
        is_same.then_some(page)
    });
    let mut report = String::new();
    for ((venue, channel), items) in items(&page) {
        let Items { received, published, dropped } = items;
        assert_eq!(received, published + dropped, "{venue} {channel}: {items:?}");
        if received > 0.0 {
            report += &format!("{venue} {channel} {received} = {published} + {dropped}; ");
        }
    }
    let (into, taken) = ring(&page);
    assert_eq!(into, taken, "records into the server's ring, and out of it");
    let dropped = page.sum("mktdata_ring_dropped_total", &[("ring", "ipc")]);
    report += &format!("ring: {into} in, {taken} taken, {dropped} dropped; drift: ");
    for (series, count) in page
        .values
        .iter()
        .filter(|(series, count)| series.starts_with("mktdata_drift_total") && **count > 0.0)
    {
        report += &format!("{} {count} ", &series["mktdata_drift_total".len()..]);
    }
    report
}
