//! Candles of one instrument against a market whose truth is known, through every kind of loss: each period
//! closed exactly once and in order, nothing of a later one shown before, and in the end every value true.

use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Size};
use codec::record::{InstrumentBody, Kind};
use codec::ring::Consumer;
use codec::time::Now;
use codec::words::{InstrumentKind, InstrumentStatus, Interval, Venue};
use engine::fetch::FetchError;
use engine::publisher::{Outlet, Publisher};
use engine::session::backoff::Random;
use engine::session::candles::{CandleSet, CandleSource, Finality, SetWish};
use std::collections::BTreeMap;

const MINUTE: u64 = 60_000;
/// A full hour.
const START_MS: u64 = 1_795_345_200_000;

fn price(cents: u64) -> Price {
    Price::from_raw(cents as i64 * 1_000_000)
}

/// What clients would know.
#[derive(Default)]
struct Seen {
    /// By interval: closed candles as they stand, and the last one's start.
    closed: BTreeMap<(u8, u64), Candle>,
    last_closed: BTreeMap<u8, u64>,
    open: BTreeMap<u8, Candle>,
    revisions: usize,
    gaps: usize,
    closes: usize,
}

impl Seen {
    fn take(&mut self, records: &mut Consumer) {
        let mut sequence = None;
        records.drain(usize::MAX, |record| match record.kind() {
            Kind::Gap => self.gaps += 1,
            Kind::Candle => {
                let number = record.header().sequence;
                assert!(sequence.is_none_or(|last| number == last + 1), "a hole in the sequence");
                sequence = Some(number);
                let body = record.candle().unwrap();
                self.candle(body.interval().unwrap(), Candle::of_body(body), body.closed, body.revised);
            }
            _ => {}
        });
    }

    fn candle(&mut self, interval: Interval, candle: Candle, closed: u8, revised: u8) {
        let key = interval.number();
        let last = self.last_closed.get(&key).copied();
        match (closed, revised) {
            (0, 0) => {
                if let Some(last) = last {
                    assert_eq!(candle.start_ms, interval.next_start_ms(last), "open before its turn");
                }
                self.open.insert(key, candle);
            }
            (1, 0) => {
                if let Some(last) = last {
                    assert_eq!(candle.start_ms, interval.next_start_ms(last), "not the next period");
                }
                self.closes += 1;
                self.last_closed.insert(key, candle.start_ms);
                assert!(self.closed.insert((key, candle.start_ms), candle).is_none(), "closed twice");
            }
            (1, 1) => {
                self.revisions += 1;
                let known = self.closed.insert((key, candle.start_ms), candle);
                assert!(known.is_some_and(|known| known != candle), "a revision of nothing");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// A market, its REST, and a set of candles that follows it.
struct World {
    set: CandleSet,
    publisher: Publisher,
    records: Consumer,
    instrument: u32,
    seen: Seen,
    random: Random,
    finality: Finality,
    intervals: Vec<Interval>,
    venue: Venue,
    now: Now,
    /// The truth by minute.
    minutes: BTreeMap<u64, Candle>,
    last_price: Price,
    up: bool,
    rest_up: bool,
    /// Answers under way: due, wish, outcome.
    asked: Vec<(u64, SetWish)>,
    requests: usize,
    closed_frame: BTreeMap<u8, u64>,
}

impl World {
    fn new(finality: Finality, streamed: &[Interval], folded: &[Interval], trades: bool, seed: u64) -> Self {
        let (producer, records) = codec::ring::ring(16 << 20);
        let mut publisher = Publisher::new(1, vec![Outlet::all("ipc", producer)]);
        let now = Now { mono_ns: 1_000_000_000, wall_ns: START_MS * 1_000_000 };
        let body = InstrumentBody::new(InstrumentKind::Perp, InstrumentStatus::Trading, "X", "X", "USD");
        let venue = if finality == Finality::Marked { Venue::Binance } else { Venue::Hyperliquid };
        let instrument = publisher.define(venue, body.unwrap(), now);
        Self {
            set: CandleSet::new(streamed, folded, finality, trades),
            publisher,
            records,
            instrument,
            seen: Seen::default(),
            random: Random::new(seed),
            finality,
            intervals: streamed.to_vec(),
            venue,
            now,
            minutes: BTreeMap::new(),
            last_price: price(10_000),
            up: false,
            rest_up: true,
            asked: Vec::new(),
            requests: 0,
            closed_frame: BTreeMap::new(),
        }
    }

    fn venue_ms(&self) -> u64 {
        self.now.wall_ns / 1_000_000
    }

    fn with<R>(&mut self, act: impl FnOnce(&mut CandleSet, CandleSource<'_>) -> R) {
        let source = CandleSource {
            publisher: &mut self.publisher,
            venue: self.venue,
            instrument: self.instrument,
            source: 0,
            now: self.now,
            venue_ms: self.now.wall_ns / 1_000_000,
        };
        act(&mut self.set, source);
        self.seen.take(&mut self.records);
    }

    /// The venue's candle of a period, from its minutes; flat where nothing was traded.
    fn truth(&self, interval: Interval, start_ms: u64) -> Candle {
        let end_ms = interval.next_start_ms(start_ms);
        let before =
            self.minutes.range(..start_ms).next_back().map_or(price(10_000), |(_, minute)| minute.close);
        let mut candle = Candle::flat(start_ms, before);
        for minute in self.minutes.range(start_ms..end_ms).map(|(_, minute)| minute) {
            candle.append(minute);
        }
        candle
    }

    fn row(&self, interval: Interval, start_ms: u64) -> CandleRow {
        let candle = Some(self.truth(interval, start_ms));
        CandleRow { start_ms, end_ms: interval.next_start_ms(start_ms) - 1, candle }
    }

    fn connect(&mut self) {
        self.up = true;
        let at = self.venue_ms();
        for interval in self.intervals.clone() {
            self.set.on_subscribed(interval, at);
        }
        self.set.on_trades_subscribed(at + 400);
    }

    fn cut(&mut self) {
        self.up = false;
        for interval in self.intervals.clone() {
            self.set.on_link_lost(interval);
        }
        self.set.on_trades_lost();
    }

    /// A trade, and with `shown` the frames it leads to.
    fn trade(&mut self, shown: bool) {
        let at = self.venue_ms();
        let step = self.random.below(21) as i64 - 10;
        let price = Price::from_raw((self.last_price.raw() + step * 1_000_000).max(1_000_000));
        let size = Size::from_raw(1 + self.random.below(1_000_000_000) as i64);
        self.last_price = price;
        let minute = at / MINUTE * MINUTE;
        match self.minutes.get_mut(&minute) {
            Some(candle) => candle.add_trade(price, size),
            None => drop(self.minutes.insert(minute, Candle::of_trade(minute, price, size))),
        }
        if !self.up {
            return;
        }
        self.set.on_trade(at, price, size);
        if shown {
            self.show();
        }
    }

    fn show(&mut self) {
        let at = self.venue_ms();
        for interval in self.intervals.clone() {
            let row = self.row(interval, interval.start_ms_of(at));
            self.with(|set, source| set.on_frame(interval, &row, false, at, source));
        }
    }

    /// The venue's closing frames, where it sends them.
    fn closing_frames(&mut self, lost: bool) {
        let at = self.venue_ms();
        for interval in self.intervals.clone() {
            let start_ms = interval.start_ms_of(at - 1);
            if interval.start_ms_of(at) == start_ms
                || self.closed_frame.insert(interval.number(), start_ms) == Some(start_ms)
            {
                continue;
            }
            if self.up && !lost && self.finality == Finality::Marked {
                let row = self.row(interval, start_ms);
                self.with(|set, source| set.on_frame(interval, &row, true, at, source));
            }
        }
    }

    /// A hundred milliseconds go by.
    fn step(&mut self) {
        self.now.mono_ns += 100_000_000;
        self.now.wall_ns += 100_000_000;
        let mut wish = None;
        self.with(|set, source| wish = set.on_tick(source));
        if let Some(wish) = wish {
            self.requests += 1;
            self.asked.push((self.venue_ms() + 300, wish));
        }
        let due: Vec<_> =
            self.asked.extract_if(.., |(due, _)| *due <= self.now.wall_ns / 1_000_000).collect();
        for (_, SetWish { interval, wish }) in due {
            let rows = self.answer(interval, wish.start_ms, wish.end_ms, wish.limit as usize);
            let up = self.rest_up;
            self.with(|set, source| {
                let error = FetchError::Transient("down".into());
                let outcome = if up { Ok(&rows[..]) } else { Err(&error) };
                set.on_fetched(interval, wish.token, outcome, source);
            });
        }
    }

    fn answer(&self, interval: Interval, from_ms: u64, to_ms: u64, limit: usize) -> Vec<CandleRow> {
        let mut start_ms = interval.start_ms_of(from_ms);
        let mut rows = Vec::new();
        while start_ms <= to_ms.min(self.venue_ms()) && rows.len() < limit {
            if start_ms >= from_ms {
                rows.push(self.row(interval, start_ms));
            }
            start_ms = interval.next_start_ms(start_ms);
        }
        rows
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 100 {
            self.step();
            self.closing_frames(false);
        }
    }

    /// Everything closed is as the venue has it, up to the last period that is long over.
    fn check(&self) {
        for (&(number, start_ms), candle) in &self.seen.closed {
            let interval = Interval::from_number(number).unwrap();
            assert_eq!(*candle, self.truth(interval, start_ms), "{interval} {start_ms}");
        }
        for &interval in &self.intervals {
            let last = self.seen.last_closed[&interval.number()];
            let over = interval.start_ms_of(self.venue_ms() - 15_000);
            assert!(interval.next_start_ms(last) >= over, "{interval}: not all closed");
        }
    }
}

/// An hour with losses of every kind, then calm.
fn storm(finality: Finality, trades: bool, seed: u64) {
    let mut world = World::new(finality, &[Interval::M1, Interval::M5], &[], trades, seed);
    world.connect();
    let mut quiet_until = 0;
    for _ in 0..36_000 {
        world.step();
        let at = world.venue_ms();
        let lost = world.random.below(4) == 0;
        world.closing_frames(lost);
        if at > quiet_until && world.random.below(10) < 3 {
            let shown = world.random.below(10) < 8;
            world.trade(shown);
        }
        match world.random.below(3_000) {
            0..3 => world.cut(),
            3 => quiet_until = at + world.random.below(200_000),
            4 => world.rest_up = false,
            5..8 => world.rest_up = true,
            8..30 if !world.up => world.connect(),
            _ => {}
        }
    }
    world.rest_up = true;
    if !world.up {
        world.connect();
    }
    world.trade(true);
    world.pass(150_000);
    world.check();
    assert!(world.seen.closes >= 60, "{}", world.seen.closes);
}

#[test]
fn every_period_closes_once_and_in_the_end_true_where_closes_are_marked() {
    for seed in 0..20 {
        println!("seed {seed}");
        storm(Finality::Marked, false, seed);
    }
}

#[test]
fn every_period_closes_once_and_in_the_end_true_where_they_are_not() {
    for seed in 0..20 {
        println!("seed {seed}");
        storm(Finality::Unmarked, seed % 2 == 0, seed);
    }
}

#[test]
fn own_trades_complete_a_close_whose_last_frame_fell_short() {
    for trades in [true, false] {
        let mut world = World::new(Finality::Unmarked, &[Interval::M1], &[], trades, 1);
        world.connect();
        world.pass(60_000);
        world.trade(true);
        world.pass(59_000);
        // Seen as a trade, never shown in a frame.
        world.trade(false);
        world.pass(2_000);
        world.trade(true);
        assert_eq!(world.seen.revisions, 0);
        let known = world.seen.closed[&(Interval::M1.number(), START_MS + MINUTE)];
        let truth = world.truth(Interval::M1, START_MS + MINUTE);
        assert_eq!(known == truth, trades);
        world.pass(20_000);
        assert_eq!(world.seen.revisions, usize::from(!trades), "REST corrects what was not known");
        world.check();
    }
}

#[test]
fn a_close_waits_for_the_closing_frame_and_no_longer_than_ten_seconds() {
    let mut world = World::new(Finality::Marked, &[Interval::M1], &[], false, 1);
    world.connect();
    world.rest_up = false;
    world.trade(true);
    for _ in 0..600 {
        world.step();
    }
    // The next one has come, the closing frame has not.
    world.trade(true);
    assert_eq!((world.seen.closes, world.seen.open[&1].start_ms), (0, START_MS));
    for _ in 0..99 {
        world.step();
    }
    assert_eq!(world.seen.closes, 0);
    world.step();
    world.step();
    assert_eq!((world.seen.closes, world.seen.open[&1].start_ms), (1, START_MS + MINUTE));
    // Late, and as it was.
    let row = world.row(Interval::M1, START_MS);
    world.with(|set, source| set.on_frame(Interval::M1, &row, true, START_MS + MINUTE + 1, source));
    assert_eq!((world.seen.closes, world.seen.revisions), (1, 0));
}

#[test]
fn an_outage_over_several_periods_is_closed_in_order_before_the_next_is_shown() {
    for finality in [Finality::Marked, Finality::Unmarked] {
        let mut world = World::new(finality, &[Interval::M1], &[], false, 5);
        world.connect();
        world.trade(true);
        world.cut();
        world.rest_up = false;
        for _ in 0..6 {
            world.pass(30_000);
            world.trade(false);
        }
        assert_eq!(world.seen.closes, 0, "nothing waits, so a better answer may still come");
        world.rest_up = true;
        world.connect();
        world.trade(true);
        world.pass(61_000 + 60_000);
        assert_eq!(world.seen.gaps, 0, "REST knew it all");
        world.check();
    }
}

#[test]
fn what_nobody_knows_is_told_closed_flat_and_corrected_when_rest_is_back() {
    let mut world = World::new(Finality::Unmarked, &[Interval::M1], &[], false, 5);
    world.connect();
    world.trade(true);
    world.cut();
    world.rest_up = false;
    for _ in 0..6 {
        world.pass(30_000);
        world.trade(false);
    }
    world.connect();
    world.trade(true);
    world.pass(12_000);
    assert_eq!((world.seen.gaps, world.seen.closes), (1, 3));
    world.rest_up = true;
    world.pass(60_000);
    assert!(world.seen.revisions >= 2);
    world.pass(15_000);
    world.check();
}

#[test]
fn longer_candles_are_made_of_short_ones_and_corrected_with_them() {
    for seed in 0..10 {
        let folded = [Interval::M5, Interval::M15];
        let mut world = World::new(Finality::Unmarked, &[Interval::M1], &folded, false, seed);
        world.connect();
        world.pass(7 * MINUTE);
        // History knows the first five minutes and what of the second five is over.
        let last = world.truth(Interval::M5, START_MS);
        let base = Some((world.truth(Interval::M1, START_MS + 5 * MINUTE), START_MS + 6 * MINUTE));
        let one = world.truth(Interval::M1, START_MS + 5 * MINUTE);
        world.with(|set, source| set.on_seed(Interval::M1, &one, None, source));
        world.with(|set, source| set.on_seed(Interval::M5, &last, base, source));
        for _ in 0..60 * 60 {
            world.pass(500);
            if world.random.below(3) > 0 {
                let shown = world.random.below(10) < 7;
                world.trade(shown);
            }
        }
        world.pass(61_000);
        world.check();
        let fives = world.seen.closed.keys().filter(|(number, _)| *number == Interval::M5.number()).count();
        assert!((6..=8).contains(&fives), "{fives}");
        assert!(world.seen.closed.keys().any(|(number, _)| *number == Interval::M15.number()));
    }
}

#[test]
fn a_seed_begins_a_series_that_nothing_has_come_of() {
    let mut world = World::new(Finality::Unmarked, &[Interval::M1], &[], true, 3);
    world.connect();
    world.pass(30_000);
    let last = Candle::flat(START_MS - MINUTE, price(10_000));
    world.with(|set, source| set.on_seed(Interval::M1, &last, None, source));
    world.pass(120_000);
    // Flat, for nothing was traded; REST says so too.
    assert_eq!(world.seen.last_closed[&Interval::M1.number()], START_MS + MINUTE);
    assert_eq!((world.seen.closes, world.seen.revisions, world.seen.gaps), (2, 0, 0));
    world.check();
}
