//! Every figure of every thread, on one page for Prometheus.
//!
//! `docs/metrics.md` lists them; a test holds the two together.

use super::text::{Kind, Page};
use crate::driver::DriverCounters;
use crate::fetcher::FetchCounters;
use crate::history::HistoryCounters;
use crate::publisher::RingCounters;
use crate::session::account::{Account, Channel, DropReason};
use codec::drift::{DriftKind, DriftTable};
use codec::time::Now;
use codec::words::{Reason, Stream, Venue};
use ipc::counters::LATENCY_BOUNDS_NS;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a session counts.
pub struct VenueFigures {
    /// The venue.
    pub venue: Venue,
    /// What came and what became of it.
    pub account: Option<Arc<Account>>,
    /// How the venue differs from what is known of it.
    pub drift: Option<Arc<DriftTable>>,
}

/// Where the figures are.
pub struct Figures {
    /// This run's id.
    pub run_id: u64,
    /// Of each venue that is switched on.
    pub venues: Vec<VenueFigures>,
    /// Of the driver.
    pub driver: Arc<DriverCounters>,
    /// Of the rings of records.
    pub rings: Vec<Arc<RingCounters>>,
    /// Of the socket server.
    pub ipc: Arc<ipc::Counters>,
    /// Of the candles' past.
    pub history: Arc<HistoryCounters>,
    /// Of REST.
    pub fetcher: Vec<(Venue, Arc<FetchCounters>)>,
    /// Events for the log that found no room, by thread.
    pub events_dropped: Vec<(&'static str, Arc<AtomicU64>)>,
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

impl Figures {
    /// The page as it stands now.
    #[must_use]
    pub fn page(&self, now: Now) -> String {
        let mut page = Page::default();
        page.family("mktdata_info", Kind::Gauge, "Always 1: which program and run this is.");
        let run_id = format!("{:016x}", self.run_id);
        page.sample(&[("version", env!("CARGO_PKG_VERSION")), ("run_id", &run_id)], 1);
        self.put_accounts(&mut page, now);
        self.put_venues(&mut page);
        self.put_drift(&mut page);
        self.put_rings(&mut page);
        self.put_ipc(&mut page);
        self.put_rest(&mut page);
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of this process that is in RAM, bytes.";
            page.single("process_resident_memory_bytes", Kind::Gauge, help, bytes);
        }
        page.finish()
    }

    fn accounts(&self) -> impl Iterator<Item = (&'static str, &Account)> {
        self.venues.iter().filter_map(|of| Some((of.venue.as_str(), of.account.as_deref()?)))
    }

    /// One counter by venue and channel.
    fn put_by_channel(&self, page: &mut Page, name: &str, help: &str, count: fn(&Account, Channel) -> u64) {
        page.family(name, Kind::Counter, help);
        for (venue, account) in self.accounts() {
            for &channel in Channel::ALL {
                let labels = [("venue", venue), ("channel", channel.as_str())];
                page.sample(&labels, count(account, channel));
            }
        }
    }

    fn put_accounts(&self, page: &mut Page, now: Now) {
        let help = "Messages received from the venue, by what they are about.";
        let name = "mktdata_messages_received_total";
        self.put_by_channel(page, name, help, Account::messages_received);
        // Outcomes first: what comes while the page is written, which may be much, is missing from outcomes, never
        // from what was received.
        let help = "Items that became at least one record.";
        self.put_by_channel(page, "mktdata_items_published_total", help, Account::items_published);
        page.family(
            "mktdata_items_dropped_total",
            Kind::Counter,
            "Items that became no record, by reason. Published and dropped items are those received.",
        );
        for (venue, account) in self.accounts() {
            for &channel in Channel::ALL {
                for &reason in DropReason::ALL {
                    let labels =
                        [("venue", venue), ("channel", channel.as_str()), ("reason", reason.as_str())];
                    page.sample(&labels, account.items_dropped(channel, reason));
                }
            }
        }
        let help =
            "What stands for itself in messages: each trade, candle, fill and bulk row; else the message.";
        self.put_by_channel(page, "mktdata_items_received_total", help, Account::items_received);
        page.family(
            "mktdata_stream_age_seconds",
            Kind::Gauge,
            "Time since something came for a stream, of any carried symbol; since the start where nothing has.",
        );
        for (venue, account) in self.accounts() {
            for &channel in Channel::ALL {
                let last = account.last_mono_ns(channel).zip(channel.stream());
                if let Some((last_mono_ns, stream)) = last {
                    let labels = [("venue", venue), ("stream", stream.as_str())];
                    page.sample(&labels, seconds(now.mono_ns.saturating_sub(last_mono_ns)));
                }
            }
        }
        let help = "Candles said again because they were not right at their close.";
        page.family("mktdata_candle_revisions_total", Kind::Counter, help);
        for (venue, account) in self.accounts() {
            page.sample(&[("venue", venue)], get(&account.candle_revisions));
        }
        let help = "Candles closed with the best known, which REST never confirmed.";
        page.family("mktdata_candle_unconfirmed_total", Kind::Counter, help);
        for (venue, account) in self.accounts() {
            page.sample(&[("venue", venue)], get(&account.candle_unconfirmed));
        }
    }

    fn put_venues(&self, page: &mut Page) {
        let of = |venue: &VenueFigures| self.ipc.venue(venue.venue);
        let help = "Whether every connection to the venue that is needed is there.";
        page.family("mktdata_connection_up", Kind::Gauge, help);
        for venue in &self.venues {
            page.sample(&[("venue", venue.venue.as_str())], get(&of(venue).connected));
        }
        page.family("mktdata_reconnects_total", Kind::Counter, "Times the venue's connections came back.");
        for venue in &self.venues {
            page.sample(&[("venue", venue.venue.as_str())], get(&of(venue).reconnects));
        }
        let help = "Losses told to clients, by stream and reason; a series begins with its first.";
        page.family("mktdata_gaps_total", Kind::Counter, help);
        for venue in &self.venues {
            for &stream in Stream::ALL {
                for &reason in Reason::ALL {
                    let count = of(venue).gaps_of(stream, reason);
                    if count > 0 {
                        let labels = [
                            ("venue", venue.venue.as_str()),
                            ("stream", stream.as_str()),
                            ("reason", reason.as_str()),
                        ];
                        page.sample(&labels, count);
                    }
                }
            }
        }
    }

    fn put_drift(&self, page: &mut Page) {
        let drifts = || self.venues.iter().filter_map(|of| Some((of.venue.as_str(), of.drift.as_deref()?)));
        let help = "Times the venue was seen to differ from what is known of it; get_status tells how.";
        page.family("mktdata_drift_total", Kind::Counter, help);
        for (venue, drift) in drifts() {
            for &kind in DriftKind::ALL {
                page.sample(&[("venue", venue), ("kind", kind.as_str())], drift.total(kind));
            }
        }
        let help = "Of those, times that get_status had no room to tell.";
        page.family("mktdata_drift_overflow_total", Kind::Counter, help);
        for (venue, drift) in drifts() {
            page.sample(&[("venue", venue)], drift.overflow());
        }
    }

    fn put_rings(&self, page: &mut Page) {
        let help = "Records written into a ring between threads.";
        page.family("mktdata_ring_records_total", Kind::Counter, help);
        for ring in &self.rings {
            page.sample(&[("ring", ring.name)], get(&ring.records));
        }
        let help =
            "Records that a ring had no room for: data is told as a gap, states and instruments again later.";
        page.family("mktdata_ring_dropped_total", Kind::Counter, help);
        for ring in &self.rings {
            page.sample(&[("ring", ring.name)], get(&ring.dropped));
        }
        let help = "Events for the log that found no room.";
        page.family("mktdata_events_dropped_total", Kind::Counter, help);
        for (thread, dropped) in &self.events_dropped {
            page.sample(&[("thread", thread)], get(dropped));
        }
        let driver = &self.driver;
        let help = "Bytes read from the venues' connections, encrypted where they are.";
        page.single("mktdata_engine_bytes_read_total", Kind::Counter, help, get(&driver.bytes_read));
        let help = "WebSocket messages and control frames read from the venues.";
        page.single("mktdata_engine_frames_total", Kind::Counter, help, get(&driver.messages));
        let help = "Times reading stopped because a ring was nearly full.";
        page.single("mktdata_engine_stalls_total", Kind::Counter, help, get(&driver.stalls));
    }

    fn put_ipc(&self, page: &mut Page) {
        let ipc = &self.ipc;
        page.single("mktdata_clients", Kind::Gauge, "Clients connected now.", get(&ipc.clients));
        let help = "Subscriptions of clients held now, a bulk one counted once.";
        page.single("mktdata_active_subscriptions", Kind::Gauge, help, get(&ipc.subscriptions));
        for ((name, value), help) in ipc.figures().zip(ipc::Counters::FIGURES_HELP) {
            if matches!(name, "clients" | "subscriptions") {
                continue;
            }
            let kind = if name.ends_with("_total") { Kind::Counter } else { Kind::Gauge };
            page.single(&format!("mktdata_ipc_{name}"), kind, help, value);
        }
        page.family(
            "mktdata_ipc_latency_seconds",
            Kind::Histogram,
            "From a venue's bytes being readable to their message being written to a client's socket.",
        );
        let mut below = 0;
        let buckets = ipc.latency.buckets();
        for (place, count) in buckets.iter().enumerate() {
            below += count;
            let bound = LATENCY_BOUNDS_NS.get(place).map_or("+Inf".to_owned(), |&ns| seconds(ns).to_string());
            page.part("_bucket", &[("le", &bound)], below);
        }
        page.part("_sum", &[], seconds(ipc.latency.sum_ns()));
        page.part("_count", &[], below);
    }

    fn put_rest(&self, page: &mut Page) {
        let help = "Request weight used in the present minute, as the venue counts it.";
        page.family("mktdata_rest_weight_used", Kind::Gauge, help);
        for (venue, counters) in &self.fetcher {
            page.sample(&[("venue", venue.as_str())], get(&counters.weight_used));
        }
        let help = "Request weight that may be used in a minute.";
        page.family("mktdata_rest_weight_limit", Kind::Gauge, help);
        for (venue, counters) in &self.fetcher {
            page.sample(&[("venue", venue.as_str())], get(&counters.weight_limit));
        }
        page.family("mktdata_rest_requests_total", Kind::Counter, "REST requests answered, or given up.");
        for (venue, counters) in &self.fetcher {
            page.sample(&[("venue", venue.as_str())], get(&counters.requests));
        }
        page.family(
            "mktdata_rest_failures_total",
            Kind::Counter,
            "Of those, requests without a good answer.",
        );
        for (venue, counters) in &self.fetcher {
            page.sample(&[("venue", venue.as_str())], get(&counters.failures));
        }
        let history = &self.history;
        for (name, kind, help, counter) in [
            ("series", Kind::Gauge, "Candle series of carried instruments.", &history.series_total),
            (
                "series_loaded",
                Kind::Gauge,
                "Of these, those whose past has been loaded.",
                &history.series_loaded,
            ),
            ("rows_from_disk_total", Kind::Counter, "Candles that came from files.", &history.rows_from_disk),
            ("rows_fetched_total", Kind::Counter, "Closed candles that came by REST.", &history.rows_fetched),
            ("rows_folded_total", Kind::Counter, "Candles folded from shorter ones.", &history.rows_folded),
            (
                "files_damaged_total",
                Kind::Counter,
                "Candle files damaged or put aside.",
                &history.files_damaged,
            ),
            ("requests_total", Kind::Counter, "Requests for candles of the past.", &history.requests),
        ] {
            page.single(&format!("mktdata_history_{name}"), kind, help, get(counter));
        }
    }
}

/// The process's memory in RAM, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: sysconf has no memory to touch.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    Some(pages * u64::try_from(page_bytes).ok()?)
}
