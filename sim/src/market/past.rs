//! What was traded before the simulation began: a pure function of seed, symbol and period.
//!
//! ```text
//! quarter of an hour k:   open P(k) ── wicks, trades, volume: dice of (seed, symbol, k) ── close P(k+1)
//! its fifteen minutes:    a split of exactly that, by further dice of (seed, symbol, k)
//! any longer candle:      the quarters in it, added up
//! ```
//! So every interval agrees with every other, and two simulations of one seed agree on all that lies before the
//! earlier of their starts, whenever they were started. The live market begins at the price this ends with.
//! Next to nothing is stored; a quarter costs a fraction of a microsecond. No float function that could differ between
//! machines is used: only sums and products.

use super::candle::Bar;
use super::instrument::{Instrument, PriceGrid, Venue};
use super::interval::MINUTE_MS;
use crate::decimal::SCALE_E8;
use std::cell::RefCell;

/// Minutes of a quarter of an hour.
const MINUTES: usize = 15;
/// Milliseconds of a quarter of an hour.
pub const QUARTER_MS: i64 = MINUTES as i64 * MINUTE_MS;
/// The price is a sum of noises, each half as slow and less strong than the one before: the slowest takes 21 days.
const OCTAVES: u32 = 12;
/// The share of the price the fastest noise moves at most.
const FASTEST_SHARE: f64 = 0.0008;
/// How much stronger the next slower noise is: the square root of two, as in a random walk.
const SLOWER_IS_STRONGER: f64 = std::f64::consts::SQRT_2;
/// The longest wick, as a share of the price.
const WICK_SHARE: f64 = 0.0015;
/// A typical trade's value in the quote currency.
const TRADE_VALUE: f64 = 1_500.0;
/// Trades in a typical quarter of an hour of the first symbol; the symbol at rank n has this divided by n + 1.
const TRADES_BINANCE: f64 = 12_000.0;
const TRADES_HYPERLIQUID: f64 = 4_000.0;
/// Trades in a quarter of an hour, at least, if there are any: each minute that trades has four or more.
const TRADES_MIN: u64 = 4;
/// From this rank on, some quarters have no trade at all.
const QUIET_RANK: usize = 100;
const QUIET_CHANCE: f64 = 0.03;
/// Trade ids a quarter of an hour has for itself; what is left over is a hole.
const IDS_PER_QUARTER: u64 = 40_000;
/// Quarter 0 of the trade ids: 2019-09-01.
const FIRST_QUARTER: i64 = 1_567_296_000_000 / QUARTER_MS;

/// The uses of the dice.
#[derive(Clone, Copy)]
enum Dice {
    Noise = 1,
    Wicks,
    Trades,
    Volume,
    Minutes,
}

/// One symbol's past.
#[derive(Clone, Debug)]
pub struct Past {
    seed: u64,
    middle_e8: i64,
    grid: PriceGrid,
    /// All prices are multiples of this.
    unit_e8: i64,
    lot_e8: i64,
    trades: f64,
    lots_per_trade: f64,
    quiet: bool,
    /// The minutes of the quarter last asked for: they are asked for one by one.
    last_minutes: RefCell<Option<(i64, [Option<Bar>; MINUTES])>>,
}

/// One side of a bar's volume in whole lots, and its value in ticks times lots.
#[derive(Clone, Copy, Default)]
struct Taken {
    lots: i128,
    value: i128,
}

/// A bar in ticks and lots.
#[derive(Clone, Copy, Default)]
struct Raw {
    open: i128,
    high: i128,
    low: i128,
    close: i128,
    bought: Taken,
    sold: Taken,
    trades: u64,
    first_id: u64,
}

/// SplitMix64's output function.
pub(super) fn mixed(mut word: u64) -> u64 {
    word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

/// A value in `[0, 1)` of 32 of the bits.
pub(super) fn unit(word: u64) -> f64 {
    f64::from((word >> 32) as u32) / 4_294_967_296.0
}

impl Past {
    /// The past of the symbol at this rank of a venue.
    pub fn new(venue: Venue, rank: usize, instrument: &Instrument, seed: u64) -> Self {
        // By the name, so that a symbol's past does not hang on the list it stands in.
        let name = instrument.symbol.bytes().fold(seed, |hash, byte| mixed(hash ^ u64::from(byte)));
        let unit_e8 = instrument.grid.finest_e8();
        let lot_e8 = instrument.lot_e8();
        let price = instrument.start_price_e8 as f64 / SCALE_E8 as f64;
        let lot = lot_e8 as f64 / SCALE_E8 as f64;
        let first = if venue == Venue::Binance { TRADES_BINANCE } else { TRADES_HYPERLIQUID };
        Self {
            seed: name,
            middle_e8: instrument.start_price_e8,
            grid: instrument.grid,
            unit_e8,
            lot_e8,
            trades: first / (rank + 1) as f64,
            lots_per_trade: (TRADE_VALUE / (price * lot)).max(2.0),
            quiet: rank >= QUIET_RANK,
            last_minutes: RefCell::new(None),
        }
    }

    fn dice(&self, dice: Dice, at: i64) -> u64 {
        mixed(self.seed ^ mixed((at as u64).wrapping_mul(8).wrapping_add(dice as u64)))
    }

    /// The price between quarter `k - 1` and quarter `k`.
    fn boundary_e8(&self, k: i64) -> i64 {
        let (mut offset, mut strength) = (0.0, FASTEST_SHARE);
        for octave in 0..OCTAVES {
            let at = k >> octave;
            let lattice = |at: i64| unit(self.dice(Dice::Noise, (at << 5) + i64::from(octave))) * 2.0 - 1.0;
            let part = (k - (at << octave)) as f64 / f64::from(1u32 << octave);
            let (left, right) = (lattice(at), lattice(at + 1));
            offset += strength * (left + (right - left) * part);
            strength *= SLOWER_IS_STRONGER;
        }
        self.grid.floor((self.middle_e8 as f64 * (1.0 + offset)) as i64).max(self.unit_e8)
    }

    /// Whether nothing was traded in quarter `k`: never twice in a row, so that the close before is always near.
    fn is_empty(&self, k: i64) -> bool {
        self.quiet && k.rem_euclid(2) == 1 && unit(self.dice(Dice::Trades, k)) < QUIET_CHANCE
    }

    fn raw_quarter(&self, k: i64) -> Option<Raw> {
        if self.is_empty(k) {
            return None;
        }
        let (open_e8, close_e8) = (self.boundary_e8(k), self.boundary_e8(k + 1));
        let wicks = self.dice(Dice::Wicks, k);
        let wick = |word: u64| (self.middle_e8 as f64 * WICK_SHARE * unit(word) * unit(word << 16)) as i64;
        let high_e8 = self.grid.floor(open_e8.max(close_e8) + wick(wicks));
        let low_e8 = self.grid.floor(open_e8.min(close_e8) - wick(wicks << 8)).max(self.unit_e8);
        let volume = self.dice(Dice::Volume, k);
        // A day has its quiet and its busy hours.
        let hour = k.rem_euclid(96) as f64 / 4.0;
        let season = 0.5 + (1.0 - ((hour - 15.0) / 12.0).abs().min(1.0));
        let trades = (self.trades * season * (0.3 + 1.4 * unit(volume))) as u64;
        let trades = trades.clamp(TRADES_MIN, IDS_PER_QUARTER);
        let ticks = |price_e8: i64| i128::from(price_e8 / self.unit_e8);
        let (open, high, low, close) = (ticks(open_e8), ticks(high_e8), ticks(low_e8), ticks(close_e8));
        let taken = |share: f64| {
            let lots = i128::from(((trades as f64 * self.lots_per_trade * share) as u64).max(trades));
            Taken { lots, value: lots * (open + high + low + close) / 4 }
        };
        let first = u64::try_from(k - FIRST_QUARTER).unwrap_or(0);
        Some(Raw {
            open,
            high,
            low,
            close,
            bought: taken(0.2 + unit(volume << 12)),
            sold: taken(0.2 + unit(volume << 24)),
            trades,
            first_id: first * IDS_PER_QUARTER + 1,
        })
    }

    fn bar(&self, raw: &Raw) -> Bar {
        let price = |ticks: i128| i64::try_from(ticks).unwrap_or(i64::MAX) * self.unit_e8;
        let size = |lots: i128| lots * i128::from(self.lot_e8);
        let value = |value: i128| value * i128::from(self.unit_e8) * i128::from(self.lot_e8);
        Bar {
            open_e8: price(raw.open),
            high_e8: price(raw.high),
            low_e8: price(raw.low),
            close_e8: price(raw.close),
            volume_e8: size(raw.bought.lots + raw.sold.lots),
            quote_e16: value(raw.bought.value + raw.sold.value),
            buy_volume_e8: size(raw.bought.lots),
            buy_quote_e16: value(raw.bought.value),
            trades: raw.trades,
            first_trade_id: raw.first_id,
            last_trade_id: raw.first_id + raw.trades - 1,
        }
    }

    /// What was traded in quarter `k`.
    pub fn quarter(&self, k: i64) -> Option<Bar> {
        self.raw_quarter(k).map(|raw| self.bar(&raw))
    }

    /// What was traded in each minute of quarter `k`: together exactly the quarter.
    pub fn minutes(&self, k: i64) -> [Option<Bar>; MINUTES] {
        if let Some((of, minutes)) = &*self.last_minutes.borrow()
            && *of == k
        {
            return *minutes;
        }
        let mut minutes = [None; MINUTES];
        if let Some(whole) = self.raw_quarter(k) {
            let (places, parts) = self.split(k, &whole);
            for (place, part) in places.into_iter().zip(&parts) {
                minutes[place] = Some(self.bar(part));
            }
        }
        self.last_minutes.replace(Some((k, minutes)));
        minutes
    }

    /// Which minutes trade, and what.
    fn split(&self, k: i64, whole: &Raw) -> (Vec<usize>, Vec<Raw>) {
        let dice = |at: usize| self.dice(Dice::Minutes, k * 64 + at as i64);
        let count = MINUTES.min((whole.trades / TRADES_MIN) as usize).max(1);
        let mut places: Vec<usize> = (0..MINUTES).collect();
        for at in 0..count {
            places.swap(at, at + (dice(at) % (MINUTES - at) as u64) as usize);
        }
        places.truncate(count);
        places.sort_unstable();

        let weights: Vec<f64> = (0..count).map(|at| 0.3 + unit(dice(16 + at))).collect();
        let sum: f64 = weights.iter().sum();
        let spare = (whole.trades - TRADES_MIN * count as u64) as f64;
        let mut left = whole.trades;
        let (highest, lowest) = (dice(32) % count as u64, dice(33) % count as u64);
        let (mut price, mut first_id) = (whole.open, whole.first_id);
        let mut parts = Vec::with_capacity(count);
        for (at, weight) in weights.iter().enumerate() {
            let last = at + 1 == count;
            let trades = if last { left } else { TRADES_MIN + (spare * weight / sum) as u64 };
            left -= trades;
            let close = if last { whole.close } else { self.between(whole, at + 1, count, dice(34 + at)) };
            let reach = |word: u64, room: i128| (room as f64 * 0.4 * unit(word)) as i128;
            let (top, bottom) = (price.max(close), price.min(close));
            let mut part = Raw {
                open: price,
                high: self.on_grid(top + reach(dice(49 + at), whole.high - top)).max(top),
                low: self.on_grid(bottom - reach(dice(49 + at) << 16, bottom - whole.low)),
                close,
                trades,
                first_id,
                ..Raw::default()
            };
            if at as u64 == highest {
                part.high = whole.high;
            }
            if at as u64 == lowest {
                part.low = whole.low;
            }
            parts.push(part);
            price = close;
            first_id += trades;
        }
        share_out(whole, &mut parts);
        (places, parts)
    }

    fn on_grid(&self, ticks: i128) -> i128 {
        let price_e8 = i64::try_from(ticks).unwrap_or(i64::MAX) * self.unit_e8;
        i128::from(self.grid.floor(price_e8) / self.unit_e8)
    }

    /// A price on the way from the open to the close, within the quarter's range.
    fn between(&self, whole: &Raw, at: usize, count: usize, word: u64) -> i128 {
        let straight = whole.open + (whole.close - whole.open) * at as i128 / count as i128;
        let stray = ((whole.high - whole.low) as f64 * (unit(word) - 0.5) * 0.6) as i128;
        self.on_grid((straight + stray).clamp(whole.low, whole.high)).max(whole.low)
    }

    /// What was traded from one time until before another, both at whole minutes.
    pub fn fold(&self, from_ms: i64, until_ms: i64) -> Option<Bar> {
        let mut all: Option<Bar> = None;
        let mut add = |bar: Option<Bar>| {
            if let Some(bar) = bar {
                all = Some(all.map_or(bar, |before| before.then(&bar)));
            }
        };
        let mut at_ms = from_ms;
        while at_ms < until_ms {
            let k = at_ms.div_euclid(QUARTER_MS);
            let (begin_ms, end_ms) = (k * QUARTER_MS, (k + 1) * QUARTER_MS);
            if at_ms == begin_ms && end_ms <= until_ms {
                add(self.quarter(k));
            } else {
                let first = ((at_ms - begin_ms) / MINUTE_MS) as usize;
                let last = ((end_ms.min(until_ms) - begin_ms) / MINUTE_MS) as usize;
                self.minutes(k)[first..last].iter().for_each(|minute| add(*minute));
            }
            at_ms = end_ms;
        }
        all
    }

    /// The last price before a time at a whole minute.
    pub fn price_before(&self, at_ms: i64) -> i64 {
        let k = at_ms.div_euclid(QUARTER_MS);
        let of = |bar: Bar| bar.close_e8;
        let own = self.fold(k * QUARTER_MS, at_ms).map(of);
        // Of two quarters in a row at least one traded.
        own.or_else(|| self.quarter(k - 1).map(of)).or_else(|| self.quarter(k - 2).map(of)).unwrap_or(0)
    }

    /// A trade id above all of the quarter a time lies in.
    pub fn id_after(&self, at_ms: i64) -> u64 {
        let next = at_ms.div_euclid(QUARTER_MS) + 1 - FIRST_QUARTER;
        u64::try_from(next).unwrap_or(0) * IDS_PER_QUARTER + 1
    }
}

/// Gives each part its lots by its trades, and values that lie within its range and add up to the whole.
fn share_out(whole: &Raw, parts: &mut [Raw]) {
    fn side(raw: &mut Raw, bought: bool) -> &mut Taken {
        if bought { &mut raw.bought } else { &mut raw.sold }
    }
    for bought in [true, false] {
        let total = if bought { whole.bought.lots } else { whole.sold.lots };
        let mut left = total;
        let count = parts.len();
        for (at, part) in parts.iter_mut().enumerate() {
            let lots = total * i128::from(part.trades) / i128::from(whole.trades);
            let lots = if at + 1 == count { left } else { lots };
            left -= lots;
            side(part, bought).lots = lots;
        }
    }
    // Ranges are widened towards the whole's until its value fits between the least and the most they allow.
    let bounds = |parts: &[Raw], bought: bool| {
        parts.iter().fold((0, 0), |(least, most), part| {
            let lots = if bought { part.bought.lots } else { part.sold.lots };
            (least + lots * part.low, most + lots * part.high)
        })
    };
    for at in 0..parts.len() {
        let both = [(true, whole.bought.value), (false, whole.sold.value)];
        let (mut up, mut down) = (false, false);
        for (bought, value) in both {
            let (least, most) = bounds(parts, bought);
            up |= value > most;
            down |= value < least;
        }
        if up {
            parts[at].high = whole.high;
        }
        if down {
            parts[at].low = whole.low;
        }
    }
    for (bought, value) in [(true, whole.bought.value), (false, whole.sold.value)] {
        let (least, most) = bounds(parts, bought);
        let mut left = value - least;
        for part in parts.iter_mut() {
            let (low, high) = (part.low, part.high);
            let taken = side(part, bought);
            let room = taken.lots * (high - low);
            let more = if most > least { room * (value - least) / (most - least) } else { 0 };
            taken.value = taken.lots * low + more;
            left -= more;
        }
        for part in parts.iter_mut() {
            let high = part.high;
            let taken = side(part, bought);
            let more = left.min(taken.lots * high - taken.value);
            taken.value += more;
            left -= more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::market::list;

    #[test]
    fn minutes_are_exactly_their_quarter_and_stay_in_its_range() {
        for venue in [Venue::Binance, Venue::Hyperliquid] {
            for (rank, instrument) in list(venue, 400, 10, 3).iter().enumerate().step_by(7) {
                let past = Past::new(venue, rank, instrument, 3);
                for k in 1_988_000..1_988_040 {
                    let minutes = past.minutes(k);
                    assert_eq!(Bar::fold(minutes.into_iter().flatten()), past.quarter(k));
                    let mut before: Option<Bar> = None;
                    for bar in minutes.into_iter().flatten() {
                        check(&bar, instrument);
                        if let Some(before) = before {
                            assert_eq!(bar.open_e8, before.close_e8);
                            assert_eq!(bar.first_trade_id, before.last_trade_id + 1);
                        }
                        before = Some(bar);
                    }
                }
            }
        }
    }

    fn check(bar: &Bar, instrument: &Instrument) {
        assert!(bar.low_e8 > 0 && bar.low_e8 <= bar.open_e8.min(bar.close_e8), "{bar:?}");
        assert!(bar.high_e8 >= bar.open_e8.max(bar.close_e8), "{bar:?}");
        for price_e8 in [bar.open_e8, bar.high_e8, bar.low_e8, bar.close_e8] {
            assert_eq!(instrument.grid.floor(price_e8), price_e8, "{}: {bar:?}", instrument.symbol);
        }
        let within = |quote: i128, volume: i128| {
            i128::from(bar.low_e8) * volume <= quote && quote <= i128::from(bar.high_e8) * volume
        };
        assert!(within(bar.buy_quote_e16, bar.buy_volume_e8), "{bar:?}");
        assert!(within(bar.quote_e16 - bar.buy_quote_e16, bar.volume_e8 - bar.buy_volume_e8), "{bar:?}");
        assert!(bar.trades >= TRADES_MIN && bar.volume_e8 % i128::from(instrument.lot_e8()) == 0);
    }

    #[test]
    fn prices_go_on_from_quarter_to_quarter_and_some_quarters_are_empty() {
        let instruments = list(Venue::Binance, 200, 10, 3);
        let past = Past::new(Venue::Binance, 150, &instruments[150], 3);
        let empty = (0..10_000).filter(|k| past.quarter(1_988_000 + k).is_none()).count();
        assert!((50..400).contains(&empty), "{empty}");
        let first = Past::new(Venue::Binance, 0, &instruments[0], 3);
        for k in 1_988_000..1_989_000 {
            let (one, next) = (first.quarter(k), first.quarter(k + 1));
            assert_eq!(one.map(|bar| bar.close_e8), next.map(|bar| bar.open_e8));
            assert_eq!(Some(first.price_before((k + 1) * QUARTER_MS)), one.map(|bar| bar.close_e8));
            assert!(one.is_some_and(|bar| bar.last_trade_id < first.id_after(k * QUARTER_MS)));
        }
    }
}
