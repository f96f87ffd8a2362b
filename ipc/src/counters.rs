//! Figures that any thread may read: relaxed atomics, written by the server thread alone.

use codec::words::{Reason, Stream, Venue};
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the latency histogram's buckets, ns; one more bucket takes what is beyond the last.
pub const LATENCY_BOUNDS_NS: [u64; 20] = [
    1_000,
    2_000,
    5_000,
    10_000,
    20_000,
    35_000,
    50_000,
    75_000,
    100_000,
    150_000,
    200_000,
    350_000,
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
];

/// A histogram: counts per bucket (not cumulative) and the sum.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; LATENCY_BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

impl Latency {
    /// Counts one observation.
    #[inline]
    pub fn observe(&self, ns: u64) {
        let bucket = LATENCY_BOUNDS_NS.partition_point(|&bound| bound < ns);
        add(&self.buckets[bucket], 1);
        add(&self.sum_ns, ns);
    }

    /// Observations per bucket, the last one beyond every bound.
    #[must_use]
    pub fn buckets(&self) -> [u64; LATENCY_BOUNDS_NS.len() + 1] {
        core::array::from_fn(|bucket| self.buckets[bucket].load(Ordering::Relaxed))
    }

    /// Sum of all observations, ns.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }
}

/// One writer, so a load and a store do; no locked instruction on the way.
#[inline]
pub(crate) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

/// Figures of one venue, counted from its records.
#[derive(Debug, Default)]
pub struct VenueCounters {
    /// Times its connection came back.
    pub reconnects: AtomicU64,
    /// Gaps told.
    pub gaps: AtomicU64,
    /// Whether all of its connections that are needed are there: 1 or 0.
    pub connected: AtomicU64,
    /// Gaps told, by number of the stream and of the reason.
    gaps_by: [[AtomicU64; Reason::ALL.len()]; Stream::ALL.len() + 1],
}

impl VenueCounters {
    /// Counts a gap.
    pub(crate) fn gap(&self, stream: Stream, reason: Option<Reason>) {
        add(&self.gaps, 1);
        let reason = reason.unwrap_or(Reason::None);
        add(&self.gaps_by[usize::from(stream.number())][usize::from(reason.number())], 1);
    }

    /// Gaps told of a stream for a reason.
    #[must_use]
    pub fn gaps_of(&self, stream: Stream, reason: Reason) -> u64 {
        self.gaps_by[usize::from(stream.number())][usize::from(reason.number())].load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])* $name:ident,)+) => {
        /// The server's figures.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])* pub $name: AtomicU64,)+
            /// From receiving a record's bytes at the venue's socket to having written its message to a
            /// client's.
            pub latency: Latency,
            venues: [VenueCounters; Venue::ALL.len()],
        }

        impl Counters {
            /// Every plain figure by name, for metrics.
            pub fn figures(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
                [$((stringify!($name), self.$name.load(Ordering::Relaxed)),)+].into_iter()
            }

            /// What each of them is, in the same order.
            pub const FIGURES_HELP: &[&str] = &[$(concat!($($doc),*),)+];
        }
    };
}

counters! {
    /// Clients connected now.
    clients,
    /// Subscriptions held now, a bulk one counted once.
    subscriptions,
    /// Clients ever let in.
    clients_total,
    /// Connections refused.
    refused_total,
    /// Clients disconnected because they took nothing.
    no_progress_total,
    /// Requests read.
    requests_total,
    /// Requests answered with an error.
    errors_total,
    /// Stream messages written.
    messages_total,
    /// Bytes written.
    bytes_total,
    /// Records applied.
    records_total,
    /// Messages left out of books and quotes for clients that did not keep up.
    conflated_total,
    /// Times a client fell behind the shared log.
    lagged_total,
    /// Messages lost to such clients.
    missed_total,
    /// Book checks that did not match.
    check_mismatches_total,
    /// Book records that did not follow the one before.
    broken_books_total,
    /// Records of instruments that were never told, or past the limit.
    unknown_instruments_total,
    /// Events that found their ring full.
    events_dropped_total,
    /// Interest that found its ring full.
    interest_dropped_total,
    /// Candle series (a symbol's candles of one interval) that are carried.
    candle_series,
    /// Those of them whose history has loaded.
    candle_series_loaded,
    /// Closed candles held now.
    candle_rows,
    /// Candles of the past taken from the history ring.
    candle_history_rows_total,
    /// Candles of the past that nobody could place: of no instrument or interval that is carried, or past the
    /// limit on waiting ones.
    candle_history_dropped_total,
    /// Candles that a row cannot hold exactly.
    candle_unrepresentable_total,
    /// Wishes for candles that found their ring full.
    candle_wishes_dropped_total,
    /// Bytes held for single clients now.
    private_bytes,
    /// Bytes ever put into the shared log.
    log_bytes_total,
}

impl Counters {
    /// Figures of a venue.
    #[must_use]
    pub fn venue(&self, venue: Venue) -> &VenueCounters {
        &self.venues[(venue.number() - 1) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_land_in_their_bucket() {
        let latency = Latency::default();
        for ns in [0, 1_000, 1_001, 2_000_000_000] {
            latency.observe(ns);
        }
        let buckets = latency.buckets();
        assert_eq!((buckets[0], buckets[1], buckets[LATENCY_BOUNDS_NS.len()]), (2, 1, 1));
        assert_eq!(latency.sum_ns(), 2_000_002_001);
    }
}
