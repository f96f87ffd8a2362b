//! The candles of one instrument and interval: the closed ones that are kept, and the one that runs.
//!
//! ```text
//!   rows   | oldest … newest |        closed, ordered by start, at most `rows_max`
//!   open                       | ? |  the engine's, of a period after the newest row; else, once the series
//!                                     is ready, a flat one right after the newest row
//! ```
//! Rows come from three sides and meet by their start. A live one nearly always belongs at the end; one that
//! came live stays against any history; among histories the later knows better. Memory is taken a step
//! at a time as rows come, never more than for `rows_max`.

use super::candle_row::Row;
use crate::limits::CANDLE_ROWS_STEP;
use codec::candle::Candle;
use codec::record::{CandleBody, Header, flags};
use codec::time::Now;
use codec::words::Interval;
use std::collections::VecDeque;

/// Records with both flags are of the past: for queries, not for the stream.
pub const HISTORY_ONLY: u8 = flags::BACKFILL | flags::SNAPSHOT;

/// Who wants a series.
#[derive(Clone, Copy, Debug, Default)]
pub struct Demand {
    /// Subscriptions.
    pub wanted: u32,
    /// A query asked for it.
    pub asked: bool,
    /// Whoever loads the past was told so.
    pub wish_sent: bool,
}

/// The candle that runs, as the engine told it.
#[derive(Clone, Copy, Debug)]
struct OpenCandle {
    header: Header,
    body: CandleBody,
    row: Row,
}

/// The candle that runs, as it is shown.
#[derive(Clone, Copy, Debug)]
pub struct ShownCandle {
    /// Its values.
    pub body: CandleBody,
    /// When it was received, or made here, ns since the epoch.
    pub recv_ns: u64,
    /// The header of its record; none: it was made here.
    pub header: Option<Header>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Series {
    interval: Interval,
    rows: VecDeque<Row>,
    rows_max: usize,
    open: Option<OpenCandle>,
    ready: bool,
    /// Who wants it.
    pub demand: Demand,
}

impl Series {
    /// An empty series that keeps `rows_max` closed candles.
    #[must_use]
    pub fn new(interval: Interval, rows_max: usize) -> Self {
        let rows_max = rows_max.max(1);
        Self {
            interval,
            rows: VecDeque::new(),
            rows_max,
            open: None,
            ready: false,
            demand: Demand::default(),
        }
    }

    /// The interval.
    #[must_use]
    pub const fn interval(&self) -> Interval {
        self.interval
    }

    /// Closed candles kept.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Bytes held for rows.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>()
    }

    /// Whether all of its history has come, so that it can be served.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        self.ready
    }

    /// All of its history has come. Whether that is new.
    pub const fn set_ready(&mut self) -> bool {
        !core::mem::replace(&mut self.ready, true)
    }

    /// Takes a record. Whether a row can hold it.
    pub fn take(&mut self, header: &Header, body: &CandleBody) -> bool {
        let Some(row) = Row::of(&Candle::of_body(body), header.ts_recv_ns) else { return false };
        if body.closed == 0 {
            let after_closed = self.rows.back().is_none_or(|newest| newest.start_s() < row.start_s());
            if after_closed && self.open.is_none_or(|open| open.row.start_s() <= row.start_s()) {
                self.open = Some(OpenCandle { header: *header, body: *body, row });
            }
        } else {
            let history = header.flags & HISTORY_ONLY == HISTORY_ONLY && body.revised == 0;
            self.put(row.closed(!history));
        }
        true
    }

    /// Takes closed candles of the past, received at `recv_ns`. How many rows cannot hold.
    pub fn take_history(&mut self, candles: &[Candle], recv_ns: u64) -> usize {
        let oldest_s = self.rows.front().map_or(0, |oldest| u64::from(oldest.start_s()));
        let mut refused = 0;
        let mut take = |candle: &Candle| match Row::of(candle, recv_ns) {
            Some(row) => self.put(row.closed(false)),
            None => refused += 1,
        };
        // Either way each belongs at an end of what is there, or next to it.
        if candles.last().is_some_and(|last| last.start_ms / 1000 < oldest_s) {
            candles.iter().rev().for_each(&mut take);
        } else {
            candles.iter().for_each(&mut take);
        }
        refused
    }

    fn put(&mut self, row: Row) {
        let start_s = row.start_s();
        if self.open.is_some_and(|open| open.row.start_s() <= start_s) {
            self.open = None;
        }
        if self.rows.back().is_none_or(|newest| newest.start_s() < start_s) {
            if self.rows.len() == self.rows_max {
                self.rows.pop_front();
            }
            self.make_room();
            return self.rows.push_back(row);
        }
        let mut at = self.rows.partition_point(|other| other.start_s() < start_s);
        if self.rows[at].start_s() == start_s {
            if row.is_live() || !self.rows[at].is_live() {
                self.rows[at] = row;
            }
            return;
        }
        if self.rows.len() == self.rows_max {
            if at == 0 {
                return;
            }
            self.rows.pop_front();
            at -= 1;
        }
        self.make_room();
        self.rows.insert(at, row);
    }

    fn make_room(&mut self) {
        let rows = self.rows.len();
        if rows == self.rows.capacity() {
            self.rows.reserve_exact(CANDLE_ROWS_STEP.min(self.rows_max - rows));
        }
    }

    /// The candle that runs.
    #[must_use]
    pub fn open_candle(&self, now: Now) -> Option<ShownCandle> {
        if let Some(OpenCandle { header, body, row }) = self.open {
            return Some(ShownCandle { body, recv_ns: row.recv_ns(), header: Some(header) });
        }
        let row = self.flat_row(now)?;
        Some(ShownCandle { body: row.body(self.interval), recv_ns: row.recv_ns(), header: None })
    }

    /// After a closed candle the next period runs, whoever has told of it: nothing traded in it so far.
    /// Before the series is ready its newest row may be any.
    fn flat_row(&self, now: Now) -> Option<Row> {
        let newest = self.rows.back().filter(|_| self.ready)?;
        let start_ms = self.interval.next_start_ms(u64::from(newest.start_s()) * 1000);
        Row::of(&Candle::flat(start_ms, newest.close()), now.wall_ns)
    }

    fn open_row(&self, now: Now) -> Option<Row> {
        self.open.map(|open| open.row).or_else(|| self.flat_row(now))
    }

    /// Candles that can be shown, the open one included. Once ready it never gets less.
    #[must_use]
    pub fn shown(&self, now: Now) -> usize {
        self.rows.len() + usize::from(self.open_row(now).is_some())
    }

    /// Start of the newest candle that can be shown, s since the epoch.
    #[must_use]
    pub fn last_start_s(&self, now: Now) -> u32 {
        self.open_row(now).as_ref().or(self.rows.back()).map_or(0, Row::start_s)
    }

    /// Copies `count` candles, oldest first, the last one that of `last_start_s`, or a later one where so many
    /// are no longer kept before it.
    ///
    /// # Panics
    /// When there have never been so many.
    pub fn copy(&self, count: usize, last_start_s: u32, now: Now, out: &mut Vec<Row>) {
        out.clear();
        let open = self.open_row(now);
        let shown = self.rows.len() + usize::from(open.is_some());
        assert!(count <= shown, "a series never gets shorter");
        if count == 0 {
            return;
        }
        let until = match open {
            Some(open) if open.start_s() <= last_start_s => shown,
            _ => self.rows.partition_point(|row| row.start_s() <= last_start_s),
        };
        let end = until.max(count);
        out.extend(self.rows.range(end - count..end.min(self.rows.len())));
        if end == shown {
            out.extend(open);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::decimal::Price;
    use codec::record::Kind;
    use codec::words::{Stream, Venue};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const NOW: Now = Now { mono_ns: 0, wall_ns: 1_000_000_000_000 };

    fn candle(minute: u64, price: i64) -> Candle {
        Candle::flat(minute * 60_000, Price::from_raw(price))
    }

    fn header(flags: u8) -> Header {
        Header { flags, ..Header::of(Kind::Candle, Venue::Binance, Stream::Candles, 0) }
    }

    /// What can come, with a minute and a price.
    #[derive(Clone, Copy, Debug)]
    enum Coming {
        Open,
        Closed,
        Revised,
        HistoryRecord,
        History,
    }

    fn coming() -> impl Strategy<Value = (Coming, u64, i64)> {
        let kinds = prop_oneof![
            Just(Coming::Open),
            Just(Coming::Closed),
            Just(Coming::Revised),
            Just(Coming::HistoryRecord),
            Just(Coming::History),
        ];
        (kinds, 0u64..40, 1i64..1000)
    }

    fn minutes(series: &Series) -> Vec<(u64, i64)> {
        let mut rows = Vec::new();
        let shown = series.shown(NOW);
        series.copy(shown, u32::MAX, NOW, &mut rows);
        rows.iter().map(|row| (u64::from(row.start_s()) / 60, row.close().raw())).collect()
    }

    proptest! {
        #[test]
        fn rows_of_every_origin_meet_by_their_start(all in proptest::collection::vec(coming(), 0..120)) {
            let mut series = Series::new(Interval::M1, 12);
            series.set_ready();
            let mut closed: BTreeMap<u64, (i64, bool)> = BTreeMap::new();
            let mut open: Option<(u64, i64)> = None;
            let mut shown_before = 0;
            for (kind, minute, price) in all {
                let candle = candle(minute, price);
                match kind {
                    Coming::Open => {
                        series.take(&header(0), &candle.body(Interval::M1, false, false));
                        let after = closed.keys().next_back().is_none_or(|newest| *newest < minute);
                        if after && open.is_none_or(|(other, _)| other <= minute) {
                            open = Some((minute, price));
                        }
                    }
                    Coming::Closed | Coming::Revised | Coming::HistoryRecord => {
                        let history = matches!(kind, Coming::HistoryRecord);
                        let body = candle.body(Interval::M1, true, matches!(kind, Coming::Revised));
                        series.take(&header(if history { HISTORY_ONLY } else { 0 }), &body);
                    }
                    Coming::History => prop_assert_eq!(series.take_history(&[candle], 0), 0),
                }
                if !matches!(kind, Coming::Open) {
                    let live = matches!(kind, Coming::Closed | Coming::Revised);
                    let kept = closed.get(&minute).is_some_and(|(_, was_live)| *was_live && !live);
                    let too_old =
                        closed.len() == 12 && closed.keys().next().is_some_and(|oldest| minute < *oldest);
                    if !kept && !too_old {
                        closed.insert(minute, (price, live));
                        if closed.len() > 12 {
                            closed.pop_first();
                        }
                    }
                    open = open.filter(|(other, _)| *other > minute);
                }
                let mut want: Vec<_> = closed.iter().map(|(minute, (price, _))| (*minute, *price)).collect();
                let flat = want.last().map(|(minute, price)| (minute + 1, *price));
                want.extend(open.or(flat));
                prop_assert_eq!(minutes(&series), want);
                prop_assert!(series.shown(NOW) >= shown_before);
                shown_before = series.shown(NOW);
                prop_assert!(series.held_bytes() <= 12 * 64);
            }
        }
    }

    #[test]
    fn memory_is_taken_in_steps_up_to_what_is_kept() {
        let mut series = Series::new(Interval::M1, 1000);
        assert_eq!(series.held_bytes(), 0);
        let mut before = 0;
        for minute in 0..5000 {
            series.take(&header(0), &candle(minute, 1).body(Interval::M1, true, false));
            let held = series.held_bytes();
            assert!(held - before <= CANDLE_ROWS_STEP * 64 && held <= 1000 * 64, "{held}");
            before = held;
        }
        assert_eq!((series.rows(), series.held_bytes()), (1000, 64_000));
    }

    #[test]
    fn a_copy_ends_where_it_was_promised_to() {
        let mut series = Series::new(Interval::M1, 10);
        series.set_ready();
        let history: Vec<_> = (0..10).map(|minute| candle(minute, minute as i64)).collect();
        series.take_history(&history, 0);
        let last_s = series.last_start_s(NOW);
        assert_eq!(last_s, 600, "the flat one");
        let starts = |series: &Series, count| {
            let mut rows = Vec::new();
            series.copy(count, last_s, NOW, &mut rows);
            rows.iter().map(|row| row.start_s() / 60).collect::<Vec<_>>()
        };
        assert_eq!(starts(&series, 3), [8, 9, 10]);
        for minute in 10..15 {
            series.take(&header(0), &candle(minute, 1).body(Interval::M1, true, false));
        }
        assert_eq!(starts(&series, 3), [8, 9, 10], "what came since is left out");
        assert_eq!(starts(&series, 8), [5, 6, 7, 8, 9, 10, 11, 12], "so many are not kept before it");
        assert_eq!(starts(&series, 11).len(), 11);
        assert_eq!(starts(&series, 0), [0; 0]);
    }
}
