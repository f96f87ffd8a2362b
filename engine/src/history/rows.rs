//! Rows of candles as values: what an answer, a file and the live closes make together, and folding.
//!
//! A *run* of candles is ascending and without holes by the interval's own calendar. Everything that
//! leaves this file is one.

use crate::limits::HISTORY_FLAT_MAX;
use codec::candle::{Candle, CandleRow};
use codec::words::Interval;
use std::collections::BTreeMap;

/// A candle that the engine closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed {
    /// Its values.
    pub candle: Candle,
    /// Whether it corrects an earlier close, which only REST can.
    pub revised: bool,
}

/// What an answer and the rows around it make.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    /// The newest run in it.
    pub run: Vec<Candle>,
    /// Rows left out before the run because of a value with more digits than are carried, or because
    /// periods do not follow each other.
    pub cut: Option<Cut>,
}

/// Why rows before a run were left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// A value with more digits than are carried, in the period that starts then.
    Unrepresentable(u64),
    /// A period that does not begin where the one before it ends.
    Misplaced(u64),
}

/// The end of the period that starts at `start_ms`, exclusive.
pub(super) fn end_ms(interval: Interval, start_ms: u64) -> u64 {
    interval.next_start_ms(start_ms)
}

/// An answer's rows, and for which periods they speak.
#[derive(Clone, Debug, Default)]
pub(super) struct AnswerRows {
    /// As they came.
    pub rows: Vec<CandleRow>,
    /// It speaks for periods that start until then …
    pub until_ms: u64,
    /// … and ended by then: what it says of later ones was not final when it was asked.
    pub mature_ms: u64,
}

impl AnswerRows {
    fn speaks_for(&self, interval: Interval, start_ms: u64) -> bool {
        start_ms <= self.until_ms && end_ms(interval, start_ms) <= self.mature_ms
    }
}

/// Makes the newest run of what is known already, what an answer brought, and what the engine closed.
///
/// A final row of an answer counts more than one known before. It counts more than the engine's close, too (a
/// Hyperliquid close may fall short of the venue's final values), unless that was a correction. Periods that
/// the answer speaks for and leaves out had no trades if a later row follows: they become flat candles (last
/// close, volume 0). A row that was not final only proves that the periods before it are over. The run ends
/// where a period is missing for which nobody speaks.
pub(super) fn digest(interval: Interval, known: &[Candle], answer: &AnswerRows, closed: &[Closed]) -> Digest {
    struct Source {
        candle: Option<Candle>,
        is_final: bool,
    }
    let of = |candle| Source { candle, is_final: true };
    let mut rows: BTreeMap<u64, Source> =
        known.iter().map(|candle| (candle.start_ms, of(Some(*candle)))).collect();
    for Closed { candle, revised } in closed {
        if *revised || !rows.contains_key(&candle.start_ms) {
            rows.insert(candle.start_ms, of(Some(*candle)));
        }
    }
    let revised = |start_ms| closed.iter().any(|one| one.revised && one.candle.start_ms == start_ms);
    for row in &answer.rows {
        let is_final = end_ms(interval, row.start_ms) <= answer.mature_ms;
        let is_better = is_final && !revised(row.start_ms);
        if is_better || !rows.contains_key(&row.start_ms) {
            rows.insert(row.start_ms, Source { candle: row.candle, is_final });
        }
    }
    let mut digest = Digest::default();
    let mut before_cut = Vec::new();
    for (start_ms, Source { candle, is_final }) in rows {
        if interval.is_aligned() && interval.start_ms_of(start_ms) != start_ms {
            digest.cut = Some(Cut::Misplaced(start_ms));
            continue;
        }
        match (candle, is_final) {
            (Some(candle), _) => {
                match fill(&mut digest.run, interval, start_ms, answer) {
                    Filled::Whole => {}
                    Filled::NobodySpeaks => break,
                    Filled::Misplaced => {
                        digest.cut = Some(Cut::Misplaced(start_ms));
                        before_cut = std::mem::take(&mut digest.run);
                    }
                }
                if !is_final {
                    break;
                }
                digest.run.push(candle);
            }
            (None, true) => {
                digest.cut = Some(Cut::Unrepresentable(start_ms));
                before_cut = std::mem::take(&mut digest.run);
            }
            (None, false) => break,
        }
    }
    if digest.run.is_empty() {
        // Nothing follows what was cut: then what lies before it is the newest there is.
        digest.run = before_cut;
    }
    digest
}

enum Filled {
    Whole,
    NobodySpeaks,
    Misplaced,
}

/// Continues a run with flat candles up to `start_ms`, if its periods lead there and the answer left them out.
fn fill(run: &mut Vec<Candle>, interval: Interval, start_ms: u64, answer: &AnswerRows) -> Filled {
    let length = run.len();
    while let Some(last) = run.last() {
        let next_ms = interval.next_start_ms(last.start_ms);
        if next_ms == start_ms {
            break;
        }
        if next_ms > start_ms || run.len() - length == HISTORY_FLAT_MAX {
            return Filled::Misplaced;
        }
        if !answer.speaks_for(interval, next_ms) {
            return Filled::NobodySpeaks;
        }
        run.push(Candle::flat(next_ms, last.close));
    }
    Filled::Whole
}

/// Leaves the newest run of ascending rows; returns how many were dropped before it.
pub(super) fn keep_newest_run(rows: &mut Vec<Candle>, interval: Interval) -> usize {
    let follows = |pair: &[Candle]| interval.next_start_ms(pair[0].start_ms) == pair[1].start_ms;
    let breaks = rows.windows(2).rposition(|pair| !follows(pair)).map_or(0, |at| at + 1);
    rows.drain(..breaks);
    breaks
}

/// The whole periods that a run of a finer interval gives: those of which all pieces are there.
pub(super) fn fold<'a>(
    pieces: impl IntoIterator<Item = &'a Candle>,
    finer: Interval,
    interval: Interval,
) -> Vec<Candle> {
    let mut folded = Vec::new();
    let mut open: Option<(Candle, u64)> = None;
    for piece in pieces {
        let follows = |open: &(Candle, u64)| open.1 == piece.start_ms;
        open = match open.filter(follows) {
            Some((mut candle, _)) => {
                candle.append(piece);
                Some((candle, end_ms(finer, piece.start_ms)))
            }
            None if interval.start_ms_of(piece.start_ms) == piece.start_ms => {
                Some((*piece, end_ms(finer, piece.start_ms)))
            }
            None => None,
        };
        if let Some((candle, end)) = open
            && end == end_ms(interval, candle.start_ms)
        {
            folded.push(candle);
            open = None;
        }
    }
    folded
}

/// The pieces of one period put together, and the end of the last (exclusive).
pub(super) fn fold_part<'a>(
    pieces: impl IntoIterator<Item = &'a Candle>,
    finer: Interval,
    start_ms: u64,
) -> Option<(Candle, u64)> {
    let mut pieces = pieces.into_iter();
    let first = pieces.next()?;
    let mut part = Candle { start_ms, ..*first };
    let mut end = end_ms(finer, first.start_ms);
    for piece in pieces {
        part.append(piece);
        end = end_ms(finer, piece.start_ms);
    }
    Some((part, end))
}

/// How a stored candle and the venue's of the same period stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agreement {
    /// Equal.
    Same,
    /// The stored one is an earlier state of the venue's.
    Outgrown,
    /// The stored one holds no trades, so that it says nothing.
    Silent,
    /// Another market's.
    Foreign,
}

/// Compares a stored candle with the venue's of the same period.
///
/// What the engine closed on Hyperliquid may fall short of the venue's final values, and a daemon that
/// ends before the confirmation leaves it so. Taking every difference for another market's history would
/// load everything anew after such an end: 25 minutes for two hundred symbols. But a candle only ever
/// grows: the open stays, the range widens, volume and trades add up. What has not grown from the stored
/// one is not the same market's.
pub(super) fn agreement(stored: &Candle, venue: &Candle) -> Agreement {
    if stored == venue {
        Agreement::Same
    } else if stored.num_trades == 0 && stored.volume.raw() == 0 {
        Agreement::Silent
    } else if stored.open == venue.open
        && venue.high >= stored.high
        && venue.low <= stored.low
        && venue.volume >= stored.volume
        && venue.num_trades >= stored.num_trades
    {
        Agreement::Outgrown
    } else {
        Agreement::Foreign
    }
}

/// The first period to be kept when `count` closed ones are, at `now_ms`.
pub(super) fn oldest_ms(interval: Interval, count: u64, now_ms: u64) -> u64 {
    match interval.length_ms() {
        Some(length_ms) => interval.start_ms_of(now_ms).saturating_sub(count.saturating_mul(length_ms)),
        None => (0..count.min(1200)).fold(interval.start_ms_of(now_ms), |start_ms, _| {
            interval.start_ms_of(start_ms.saturating_sub(1))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::decimal::{Price, Size, Volume};
    use proptest::prelude::*;

    const MINUTE_MS: u64 = 60_000;

    fn candle(minute: u64, price: i64, size: i64) -> Candle {
        if size == 0 {
            return Candle::flat(minute * MINUTE_MS, Price::from_raw(price));
        }
        let mut candle = Candle::of_trade(minute * MINUTE_MS, Price::from_raw(price), Size::from_raw(size));
        candle.add_trade(Price::from_raw(price + 3), Size::from_raw(1));
        candle.add_trade(Price::from_raw(price - 2), Size::from_raw(1));
        candle
    }

    fn row(candle: Candle) -> CandleRow {
        let start_ms = candle.start_ms;
        CandleRow { start_ms, end_ms: start_ms + MINUTE_MS - 1, candle: Some(candle) }
    }

    fn answer(rows: Vec<CandleRow>, mature_minute: u64) -> AnswerRows {
        AnswerRows { rows, until_ms: u64::MAX, mature_ms: mature_minute * MINUTE_MS }
    }

    fn answer_of(rows: &[Candle], mature_minute: u64) -> AnswerRows {
        answer(rows.iter().copied().map(row).collect(), mature_minute)
    }

    fn digest_of(rows: &[Candle], mature_minute: u64) -> Digest {
        digest(Interval::M1, &[], &answer_of(rows, mature_minute), &[])
    }

    #[test]
    fn what_an_answer_leaves_out_is_flat_if_something_follows() {
        let (first, last) = (candle(3, 100, 5), candle(6, 200, 5));
        let got = digest_of(&[first, last], 10);
        assert_eq!(got.run, [first, candle(4, 98, 0), candle(5, 98, 0), last]);
        assert_eq!(got.cut, None);
        // The running period proves the flat one before it, and is no history.
        assert_eq!(digest_of(&[first, last], 6).run, got.run[..3]);
        assert_eq!(digest_of(&[first, last], 4).run, [first]);
        assert_eq!(digest_of(&[first], 3).run, []);
    }

    #[test]
    fn a_value_that_cannot_be_carried_ends_what_lies_before_it() {
        let rows = |unrepresentable: u64| {
            let of = |minute| {
                let mut row = row(candle(minute, 100, 5));
                if minute == unrepresentable {
                    row.candle = None;
                }
                row
            };
            digest(Interval::M1, &[], &answer((3..8).map(of).collect(), 7), &[])
        };
        let middle = rows(4);
        assert_eq!(middle.cut, Some(Cut::Unrepresentable(4 * MINUTE_MS)));
        assert_eq!(middle.run, [candle(5, 100, 5), candle(6, 100, 5)]);
        // The newest of all: what lies before it stays.
        assert_eq!(rows(6).run, [candle(3, 100, 5), candle(4, 100, 5), candle(5, 100, 5)]);
        // The running one is nobody's business.
        assert_eq!(rows(7).cut, None);
    }

    #[test]
    fn the_engines_close_counts_less_than_rest_unless_it_corrects() {
        let rest = [candle(3, 100, 5), candle(4, 100, 5)];
        let close = |revised| [Closed { candle: candle(4, 100, 4), revised }];
        let of =
            |revised, mature| digest(Interval::M1, &[], &answer_of(&rest, mature), &close(revised)).run[1];
        assert_eq!(of(false, 5), rest[1]);
        assert_eq!(of(true, 5), candle(4, 100, 4));
        // REST asked too soon is no better than the close, nor than what is known.
        assert_eq!(of(false, 4), candle(4, 100, 4));
        let known = [rest[0], candle(4, 100, 3)];
        assert_eq!(digest(Interval::M1, &known, &answer_of(&rest, 4), &[]).run, known);
        assert_eq!(digest(Interval::M1, &known, &answer_of(&rest, 5), &[]).run, rest);
    }

    #[test]
    fn only_what_an_answer_speaks_for_and_leaves_out_is_flat() {
        let first = candle(3, 100, 5);
        let closed = [Closed { candle: candle(6, 50, 4), revised: false }];
        let of = |until_minute: u64, mature: u64| {
            let answer = AnswerRows { until_ms: until_minute * MINUTE_MS, ..answer_of(&[], mature) };
            digest(Interval::M1, &[first], &answer, &closed).run
        };
        let flat = [first, candle(4, 98, 0), candle(5, 98, 0), closed[0].candle];
        assert_eq!(of(6, 6), flat);
        assert_eq!(of(5, 6), flat);
        // The last period had not started, or was not over, when the answer was asked for.
        assert_eq!(of(4, 6), flat[..2]);
        assert_eq!(of(6, 5), flat[..2]);
        assert_eq!(of(0, 0), [first]);
        // A row that was still running stands for nothing, whatever the engine closed after it.
        let got = digest(Interval::M1, &[first], &answer_of(&[candle(4, 7, 7)], 4), &closed);
        assert_eq!(got.run, [first]);
    }

    #[test]
    fn periods_that_do_not_fit_the_calendar_are_cut() {
        let mut odd = candle(4, 100, 5);
        odd.start_ms += 1;
        let got = digest_of(&[candle(3, 100, 5), odd, candle(5, 100, 5)], 9);
        assert_eq!(got.cut, Some(Cut::Misplaced(odd.start_ms)));
        assert_eq!(got.run.iter().map(|candle| candle.start_ms / MINUTE_MS).collect::<Vec<_>>(), [3, 4, 5]);
        // Where weeks begin is the venue's choice; that they follow each other is not.
        let week = Interval::W1.length_ms().unwrap();
        let at = |start_ms| CandleRow { start_ms, ..row(Candle { start_ms, ..candle(0, 1, 1) }) };
        let rows = vec![at(5), at(5 + week), at(9 + 2 * week)];
        let weeks = AnswerRows { rows, until_ms: u64::MAX, mature_ms: u64::MAX };
        let got = digest(Interval::W1, &[], &weeks, &[]);
        assert_eq!(got.cut, Some(Cut::Misplaced(9 + 2 * week)));
        assert_eq!(got.run.len(), 1);
    }

    #[test]
    fn a_candle_only_grows() {
        let stored = candle(3, 100, 5);
        let mut venue = stored;
        assert_eq!(agreement(&stored, &venue), Agreement::Same);
        venue.add_trade(Price::from_raw(500), Size::from_raw(3));
        assert_eq!(agreement(&stored, &venue), Agreement::Outgrown);
        assert_eq!(agreement(&venue, &stored), Agreement::Foreign);
        assert_eq!(agreement(&Candle::flat(0, Price::from_raw(7)), &venue), Agreement::Silent);
        let other = Candle { open: Price::from_raw(99), ..venue };
        assert_eq!(agreement(&stored, &other), Agreement::Foreign);
        let less = Candle { volume: Volume::from_raw(1), ..venue };
        assert_eq!(agreement(&stored, &less), Agreement::Foreign);
    }

    #[test]
    fn how_far_back_history_goes() {
        // 2026-11-22 11:32:42 UTC.
        let now_ms = 1_795_347_162_000;
        assert_eq!(oldest_ms(Interval::M15, 2, now_ms), 1_795_345_200_000);
        assert_eq!(oldest_ms(Interval::Month1, 1, now_ms), 1_790_812_800_000);
        assert_eq!(oldest_ms(Interval::D1, u64::MAX, now_ms), 0);
        assert_eq!(oldest_ms(Interval::Month1, u64::MAX, now_ms), 0);
    }

    fn market() -> impl Strategy<Value = Vec<Candle>> {
        proptest::collection::vec((1i64..1_000, 0i64..4), 1..200).prop_map(|periods| {
            let mut run: Vec<Candle> = Vec::new();
            for (minute, (price, size)) in periods.into_iter().enumerate() {
                let minute = minute as u64 + 7;
                let flat = run.last().map(|last| Candle::flat(minute * MINUTE_MS, last.close));
                run.push(flat.filter(|_| size == 0).unwrap_or(candle(minute, price + 10, size.max(1))));
            }
            run
        })
    }

    proptest! {
        /// A venue that leaves out every period without trades is completed to what it was.
        #[test]
        fn an_answer_with_holes_is_completed(run in market(), mature in 0u64..250) {
            let traded: Vec<Candle> = run.iter().copied().filter(|candle| candle.num_trades > 0).collect();
            let got = digest_of(&traded, mature).run;
            let newest = traded.last().map_or(0, |last| last.start_ms);
            let expected: Vec<Candle> = run
                .iter()
                .copied()
                .filter(|c| c.start_ms <= newest && end_ms(Interval::M1, c.start_ms) <= mature * MINUTE_MS)
                .collect();
            prop_assert_eq!(got, expected);
        }

        /// Folding in one step, in two steps, and trade by trade gives the same.
        #[test]
        fn folds_agree(run in market()) {
            let direct = fold(&run, Interval::M1, Interval::M15);
            let by_five = fold(&fold(&run, Interval::M1, Interval::M5), Interval::M5, Interval::M15);
            prop_assert_eq!(&direct, &by_five);
            for candle in &direct {
                let pieces: Vec<&Candle> =
                    run.iter().filter(|piece| Interval::M15.start_ms_of(piece.start_ms) == candle.start_ms).collect();
                prop_assert_eq!(pieces.len(), 15);
                prop_assert_eq!(fold_part(pieces.iter().copied(), Interval::M1, candle.start_ms).unwrap(),
                    (*candle, end_ms(Interval::M15, candle.start_ms)));
                let volume: i128 = pieces.iter().map(|piece| piece.volume.raw()).sum();
                prop_assert_eq!(candle.volume.raw(), volume);
                let traded = || pieces.iter().filter(|piece| piece.num_trades > 0);
                if let Some(first) = traded().next() {
                    prop_assert_eq!(candle.open, first.open);
                    prop_assert_eq!(candle.high, traded().map(|piece| piece.high).max().unwrap());
                    prop_assert_eq!(candle.low, traded().map(|piece| piece.low).min().unwrap());
                }
            }
        }

        /// Whatever holes are in it, what is kept is a run and ends with the newest.
        #[test]
        fn the_newest_run_is_kept(run in market(), holes in proptest::collection::vec(any::<bool>(), 200)) {
            let mut rows: Vec<Candle> =
                run.iter().zip(&holes).filter(|(_, hole)| !**hole).map(|(candle, _)| *candle).collect();
            let all = rows.clone();
            let dropped = keep_newest_run(&mut rows, Interval::M1);
            prop_assert_eq!(&all[dropped..], &rows[..]);
            prop_assert!(rows.windows(2).all(|pair| pair[0].start_ms + MINUTE_MS == pair[1].start_ms));
            prop_assert!(dropped == 0 || all[dropped - 1].start_ms + MINUTE_MS != all[dropped].start_ms);
        }
    }
}
