//! Looks at every record and holds it against the truth.

use super::Market;
use codec::book::Book;
use codec::candle::Candle;
use codec::record::{FundingBody, Kind, Level, Record};
use codec::time::Now;
use codec::words::{Interval, Reason, State, Stream};
use std::collections::BTreeMap;

/// A replica of a book, and the truth at its update id.
pub struct Seen {
    replica: Book<Level>,
    truth: BTreeMap<(bool, i64), i64>,
    pub id: u64,
}

/// See the module.
#[derive(Default)]
pub struct Witness {
    pub books: BTreeMap<u32, Seen>,
    pub trades: BTreeMap<u32, Vec<u64>>,
    /// Closed candles, those said again as revised, and the open ones.
    pub closed: BTreeMap<(u32, Interval), Vec<Candle>>,
    pub revised: BTreeMap<(u32, Interval), Vec<Candle>>,
    pub opened: BTreeMap<(u32, Interval), Candle>,
    pub funding: BTreeMap<u32, Vec<(u64, FundingBody)>>,
    pub quotes: BTreeMap<u32, u64>,
    pub gaps: Vec<(u32, Stream, Reason)>,
    pub statuses: Vec<(u32, Stream, State, Reason)>,
    pub compared: u64,
    pub deltas: u64,
}

impl Witness {
    pub fn look(&mut self, record: &Record<'_>, markets: &[Market], now: Now) {
        let header = record.header();
        let (instrument, stream) = (header.instrument, header.stream().unwrap_or(Stream::Connection));
        if let Some(levels) = record.book() {
            let is_snapshot = record.kind() == Kind::BookSnapshot;
            let market = &markets[instrument as usize];
            let seen = self.books.entry(instrument).or_insert_with(|| Seen {
                replica: Book::new(256),
                truth: BTreeMap::new(),
                id: 0,
            });
            seen.replica.apply_record(&levels, is_snapshot);
            if is_snapshot {
                // What follows is held against what the venue says from here on.
                seen.truth.clear();
                for (bid, side) in [(true, levels.bids), (false, levels.asks)] {
                    let level = |level: &Level| ((bid, level.price.raw()), level.size.raw());
                    seen.truth.extend(side.iter().map(level));
                }
            } else {
                self.deltas += 1;
                // The first event after a snapshot may stand exactly where that stands.
                assert!(header.venue_sequence >= seen.id, "a book goes forward");
                for change in &market.log {
                    if seen.id < change.id && change.id <= header.venue_sequence {
                        if change.size == 0 {
                            seen.truth.remove(&(change.bid, change.price));
                        } else {
                            seen.truth.insert((change.bid, change.price), change.size);
                        }
                    }
                }
            }
            seen.id = header.venue_sequence;
            let have = |bid: bool| {
                let side = if bid { &seen.replica.bids } else { &seen.replica.asks };
                let mut levels: Vec<_> =
                    side.iter().map(|level| (level.price.raw(), level.size.raw())).collect();
                levels.sort_unstable();
                levels
            };
            let want = |bid: bool| {
                let side = seen.truth.iter().filter(|((of, _), _)| *of == bid);
                side.map(|((_, price), size)| (*price, *size)).collect::<Vec<_>>()
            };
            assert_eq!((have(true), have(false)), (want(true), want(false)), "at {}", seen.id);
            self.compared += 1;
        } else if record.quote().is_some() {
            let last = self.quotes.entry(instrument).or_default();
            assert!(header.venue_sequence > *last, "a quote goes forward");
            *last = header.venue_sequence;
        } else if let Some(trade) = record.trade() {
            self.trades.entry(instrument).or_default().push(trade.trade_id);
        } else if let Some(body) = record.candle() {
            let (series, candle) = ((instrument, body.interval().unwrap()), Candle::of_body(body));
            if body.revised == 1 {
                self.revised.entry(series).or_default().push(candle);
            } else if body.closed == 1 {
                self.closed.entry(series).or_default().push(candle);
            } else {
                let last = self.closed.get(&series).and_then(|closed| closed.last());
                assert!(last.is_none_or(|last| last.start_ms < candle.start_ms), "open after its close");
                self.opened.insert(series, candle);
            }
        } else if let Some(body) = record.funding() {
            assert!(header.ts_recv_ns <= now.wall_ns);
            self.funding.entry(instrument).or_default().push((header.ts_event_ns, *body));
        } else if let Some(gap) = record.gap() {
            self.gaps.push((instrument, stream, gap.reason().unwrap()));
        } else if let Some(status) = record.status() {
            if stream == Stream::Quotes {
                // After a loss the next one counts, whatever its id.
                self.quotes.remove(&instrument);
            }
            self.statuses.push((instrument, stream, status.state().unwrap(), status.reason().unwrap()));
        }
    }

    /// Forgets gaps and statuses.
    pub fn forgive(&mut self) {
        self.gaps.clear();
        self.statuses.clear();
    }

    /// The last state told of a stream.
    pub fn state(&self, instrument: u32, stream: Stream) -> Option<(State, Reason)> {
        let of = |told: &&(u32, Stream, State, Reason)| (told.0, told.1) == (instrument, stream);
        self.statuses.iter().rev().find(of).map(|told| (told.2, told.3))
    }

    /// Nothing was lost and nothing has changed its state since it was asked to forgive.
    pub fn assert_undisturbed(&self) {
        assert_eq!(self.gaps, [], "gaps");
        assert_eq!(self.statuses, [], "states");
    }

    /// Every trade once, in order, without a hole.
    pub fn assert_trades(&self, markets: &[Market]) {
        for (instrument, ids) in &self.trades {
            assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "trades of {instrument}");
            let last = markets[*instrument as usize].trades.last().unwrap().agg_id;
            assert!(last - ids.last().unwrap() < 40, "up to the last but what is on its way");
        }
    }

    /// Every candle closed once, in order, with the venue's values, without a hole; and how many.
    pub fn assert_candles(&self, markets: &[Market]) -> usize {
        let mut count = 0;
        for ((instrument, interval), closed) in &self.closed {
            let truth = &markets[*instrument as usize].candles[interval];
            let first = truth.iter().position(|candle| candle.start_ms == closed[0].start_ms).unwrap();
            assert_eq!(closed[..], truth[first..first + closed.len()], "{instrument} {interval}");
            count += closed.len();
        }
        count
    }
}
