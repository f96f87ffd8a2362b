//! One symbol's series together: what is folded from the finest, and what has to be fetched.

use super::file::SeriesName;
use super::outbox::{HistoryCounters, Outbox};
use super::rows::{self, Agreement, AnswerRows, Closed, Cut};
use super::series::{Context, Job, Part, Series, Stage};
use super::store::CandleFiles;
use super::whole::{finish_empty, tells_origin, whole};
use crate::event::Severity;
use crate::limits::{
    HISTORY_EMPTY_ANSWERS_MAX, HISTORY_EMPTY_RETRY_MS, HISTORY_FOLD_ROWS_MAX, HISTORY_OVERLAP_ROWS,
};
use crate::session::CandleSeed;
use crate::session::backoff::Random;
use codec::candle::Candle;
use codec::time::Now;
use codec::words::Venue;
use std::sync::atomic::Ordering::Relaxed;

/// What a symbol's steps need from around it.
pub(super) struct World<'a> {
    pub files: &'a mut dyn CandleFiles,
    pub out: &'a mut Outbox,
    pub counters: &'a HistoryCounters,
    pub random: &'a mut Random,
    pub now: Now,
    /// The venue's time, as far as it is known.
    pub now_ms: u64,
}

/// Rows to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub part: Part,
    pub start_ms: u64,
    pub end_ms: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Symbol {
    pub venue: Venue,
    pub instrument: u32,
    pub name: String,
    /// Whether its past is wanted.
    pub carried: bool,
    /// Whether it trades now: only then is silence a fault.
    pub trading: bool,
    /// Series wished for, a bit each.
    pub wished: u32,
    /// Shortest interval first.
    pub series: Vec<Series>,
}

impl Symbol {
    /// A series, the finest one if it is another, and what steps need.
    pub(super) fn parts<'a>(
        &'a mut self,
        i: usize,
        world: &'a mut World<'_>,
    ) -> (&'a mut Series, Option<&'a mut Series>, Context<'a>) {
        let (before, rest) = self.series.split_at_mut(i);
        let series = &mut rest[0];
        let name = SeriesName { venue: self.venue, symbol: &self.name, interval: series.interval };
        let context = Context {
            files: &mut *world.files,
            out: &mut *world.out,
            counters: world.counters,
            random: &mut *world.random,
            name,
            instrument: self.instrument,
            now: world.now,
            now_ms: world.now_ms,
        };
        (series, before.first_mut(), context)
    }

    /// Reads the files of all series.
    pub fn read(&mut self, world: &mut World<'_>) {
        for i in 0..self.series.len() {
            let (series, _, mut cx) = self.parts(i, world);
            let oldest_ms = rows::oldest_ms(series.interval, series.retention as u64, cx.now_ms);
            series.read(&mut cx, oldest_ms);
        }
        self.fold_into_cold(world);
        self.trim();
    }

    /// Gives series of which nothing is known what the finest makes of them.
    pub(super) fn fold_into_cold(&mut self, world: &World<'_>) {
        let Some((finest, longer)) = self.series.split_first_mut() else { return };
        for series in longer.iter_mut().filter(|series| series.folded && series.stage == Stage::Cold) {
            extend_held(series, finest, world.counters);
        }
    }

    /// Whether longer series can be made from the finest now.
    fn finest_is_ready(&self) -> bool {
        self.series
            .first()
            .is_some_and(|finest| finest.complete && finest.stage == Stage::Known && finest.job.is_none())
    }

    /// Brings a series as far as it comes without asking, and says what to ask for.
    pub fn advance(&mut self, i: usize, world: &mut World<'_>) -> Option<Want> {
        let want = match self.series[i].stage {
            Stage::Unread => None,
            Stage::Cold if self.series[i].folded && !self.finest_is_ready() => None,
            Stage::Cold if world.now.mono_ns < self.series[i].again_at_ns => None,
            Stage::Cold => self.plan_whole(i, world),
            Stage::Known => self.advance_known(i, world),
        };
        self.seed(i, world);
        self.trim();
        want
    }

    /// All of a series, or all that lies before what was folded.
    fn plan_whole(&mut self, i: usize, world: &mut World<'_>) -> Option<Want> {
        let venue = self.venue;
        let (series, finest, mut cx) = self.parts(i, world);
        let mut start_ms = rows::oldest_ms(series.interval, series.retention as u64, cx.now_ms);
        let mut end_ms = series.interval.start_ms_of(cx.now_ms);
        if let Some(finest) = finest.filter(|_| series.folded) {
            extend_held(series, finest, cx.counters);
            if finest.at_origin && tells_origin(venue) {
                // The venue has nothing older of this symbol.
                start_ms = start_ms.max(series.interval.start_ms_of(finest.first_ms));
            }
        }
        if let Some(first) = series.held.first() {
            if first.start_ms <= start_ms {
                let run = std::mem::take(&mut series.held);
                series.install(&mut cx, run, false);
                return self.advance_known(i, world);
            }
            end_ms = first.start_ms - 1;
        }
        Some(whole(series.interval, start_ms, end_ms))
    }

    fn advance_known(&mut self, i: usize, world: &mut World<'_>) -> Option<Want> {
        let trading = self.trading;
        let (series, _, mut cx) = self.parts(i, world);
        let now_ms = cx.now_ms;
        let oldest_ms = rows::oldest_ms(series.interval, series.retention as u64, now_ms);
        let end_ms = series.interval.start_ms_of(now_ms);
        if series.complete && series.vain > 0 && cx.now.mono_ns >= series.again_at_ns {
            return Some(whole(series.interval, oldest_ms, end_ms));
        }
        if series.recent.is_empty() {
            if !series.complete {
                finish_empty(series, &mut cx);
                return None;
            }
            let is_due = series.vain == 0 && trading && now_ms >= series.check_at_ms;
            return is_due.then(|| whole(series.interval, oldest_ms, end_ms));
        }
        series.connect(&mut cx);
        if series.complete && now_ms < series.check_at_ms {
            return None;
        }
        if series.complete && !trading && series.live.is_empty() {
            series.pause(&mut cx);
            return None;
        }
        if self.is_up_to_date(i, world) {
            return None;
        }
        if self.series[i].folded {
            if !self.finest_is_ready() {
                return None;
            }
            self.fold_tail(i, world);
            if self.is_up_to_date(i, world) {
                return None;
            }
        }
        let (series, _, cx) = self.parts(i, world);
        if !series.complete {
            let too_early =
                series.is_settling(now_ms) || (series.live.is_empty() && !series.is_behind(now_ms));
            if too_early || cx.now.mono_ns < series.again_at_ns {
                return None;
            }
        }
        if series.next_ms().is_none_or(|next| next < oldest_ms) {
            // Nothing known is still kept.
            series.forget();
            return None;
        }
        Some(Want { part: Part::Tail, start_ms: series.tail_start_ms()?, end_ms })
    }

    /// Whether nothing is missing now; then the series is complete.
    fn is_up_to_date(&mut self, i: usize, world: &mut World<'_>) -> bool {
        let (series, _, mut cx) = self.parts(i, world);
        if series.stage != Stage::Known || !series.live.is_empty() || series.is_behind(cx.now_ms) {
            return false;
        }
        if series.complete {
            return true;
        }
        if !series.is_current(cx.now_ms) {
            // The engine may begin with the period after it, and nobody would have it.
            return false;
        }
        if series.hand_over(&mut cx) {
            series.finish(&mut cx);
        }
        true
    }

    /// Adds what the finest series' rows make of the periods after the last row.
    fn fold_tail(&mut self, i: usize, world: &mut World<'_>) {
        let (series, finest, mut cx) = self.parts(i, world);
        let (Some(finest), Some(next_ms)) = (finest, series.next_ms()) else { return };
        if finest.recent.front().is_none_or(|first| first.start_ms > next_ms) {
            return;
        }
        let pieces = finest.recent.iter().skip_while(|piece| piece.start_ms < next_ms);
        let run = rows::fold(pieces, finest.interval, series.interval);
        if run.first().is_some_and(|first| first.start_ms == next_ms) && series.hand_over(&mut cx) {
            cx.counters.rows_folded.fetch_add(run.len() as u64, Relaxed);
            series.extend(&mut cx, &run);
        }
    }

    /// Tells the engine where a series stands, once that is known.
    fn seed(&mut self, i: usize, world: &mut World<'_>) {
        let series = &self.series[i];
        if !series.complete || series.stage != Stage::Known || series.seeded {
            return;
        }
        let mut base = None;
        if series.folded {
            if !self.finest_is_ready() {
                return;
            }
            let has_ended = series.next_ms().is_some_and(|start_ms| {
                self.series[0].next_ms() >= Some(rows::end_ms(series.interval, start_ms))
            });
            if has_ended {
                // Nobody closes it in the engine yet.
                self.fold_tail(i, world);
            }
            match self.base(i, world.now_ms) {
                Some(known) => base = known,
                None => return,
            }
        }
        let series = &mut self.series[i];
        let Some(last) = series.last().copied() else { return };
        let interval = series.interval;
        series.seeded = true;
        let (venue, instrument) = (self.venue, self.instrument);
        world.out.seeds.push_back(CandleSeed { venue, instrument, interval, last, base });
    }

    /// What the finest rows make of the running period of a longer series, and the end of what they cover;
    /// `Some(None)`: nothing of it is over yet. `None`: it has begun, and not all of it is known.
    fn base(&self, i: usize, now_ms: u64) -> Option<Option<(Candle, u64)>> {
        let (finest, series) = (&self.series[0], &self.series[i]);
        let start_ms = series.next_ms()?;
        if !finest.is_current(now_ms) {
            return None;
        }
        let known_to_ms = finest.next_ms().unwrap_or(0);
        if known_to_ms <= start_ms {
            return (now_ms < rows::end_ms(finest.interval, start_ms)).then_some(None);
        }
        if known_to_ms >= rows::end_ms(series.interval, start_ms) {
            // It is over.
            return None;
        }
        let pieces = || finest.recent.iter().skip_while(move |row| row.start_ms < start_ms);
        let first_ms = pieces().next()?.start_ms;
        // A listing may begin in the middle of a period.
        let is_whole = first_ms == start_ms || (finest.at_origin && finest.first_ms == first_ms);
        if is_whole { rows::fold_part(pieces(), finest.interval, start_ms).map(Some) } else { None }
    }

    /// Lets go of rows that nothing will be made of.
    pub fn trim(&mut self) {
        let Some((finest, longer)) = self.series.split_first_mut() else { return };
        let mut needed_ms = u64::MAX;
        for series in longer {
            if series.folded {
                let held = series.held.last().map(|last| series.interval.next_start_ms(last.start_ms));
                needed_ms = needed_ms.min(series.next_ms().or(held).unwrap_or(0));
            }
            let excess = series.recent.len().saturating_sub(HISTORY_OVERLAP_ROWS);
            series.forget_oldest(excess);
        }
        let unneeded = finest.recent.iter().take_while(|row| row.start_ms < needed_ms).count();
        let excess = finest.recent.len().saturating_sub(HISTORY_FOLD_ROWS_MAX).max(unneeded);
        let keep = finest.recent.len().min(HISTORY_OVERLAP_ROWS);
        finest.forget_oldest(excess.min(finest.recent.len() - keep));
    }

    /// A candle that the engine closed.
    pub fn on_closed(&mut self, i: usize, closed: Closed, world: &mut World<'_>) {
        let (series, _, mut cx) = self.parts(i, world);
        series.on_closed(&mut cx, closed);
        self.trim();
    }

    /// All pages of a request have come; what ended by `mature_ms` is final in them.
    pub fn on_rows(&mut self, i: usize, job: Job, mature_ms: u64, world: &mut World<'_>) {
        let answer = AnswerRows { rows: job.rows, until_ms: job.end_ms, mature_ms };
        match job.part {
            Part::Whole => self.on_whole(i, job.start_ms, &answer, world),
            Part::Tail => self.on_tail(i, job.start_ms, &answer, world),
        }
        self.trim();
    }

    fn on_tail(&mut self, i: usize, start_ms: u64, answer: &AnswerRows, world: &mut World<'_>) {
        let (series, _, mut cx) = self.parts(i, world);
        let Some(last_ms) = series.last().map(|last| last.start_ms) else { return };
        if is_foreign(series, start_ms, answer) {
            cx.counters.files_damaged.fetch_add(1, Relaxed);
            cx.tell(Severity::Warn, "candle history differs from the venue's: loaded anew", "");
            self.distrust(i);
            return;
        }
        let known: Vec<Candle> =
            series.recent.iter().filter(|row| row.start_ms >= start_ms).copied().collect();
        if !series.complete {
            (series.vain, series.again_at_ns) = (0, 0);
        }
        let digest = rows::digest(series.interval, &known, answer, &series.live);
        tell_cut(&mut cx, digest.cut);
        let run = digest.run;
        if run.first().is_some_and(|first| first.start_ms > last_ms) {
            // What is known does not lead there: history begins anew.
            series.install(&mut cx, run, false);
            return;
        }
        if !series.hand_over(&mut cx) {
            return;
        }
        let is_news = |row: &&Candle| {
            row.start_ms > last_ms
                || known.iter().any(|known| known.start_ms == row.start_ms && known != *row)
        };
        let news: Vec<Candle> = run.iter().filter(is_news).copied().collect();
        if let Some(first) = news.first() {
            series.save(&mut cx, &news);
            let from = run.partition_point(|row| row.start_ms < first.start_ms);
            series.send(&mut cx, &run[from..]);
            series.push(&cx, &news);
        }
        let added = news.iter().filter(|row| row.start_ms > last_ms).count();
        cx.counters.rows_fetched.fetch_add(added as u64, Relaxed);
        if added == 0 {
            // The venue has no more: that is all there is, until somebody says otherwise.
            if !series.complete {
                series.finish(&mut cx);
            }
            // A close that does not follow what the venue has will be asked about again, but not at once.
            series.live.clear();
            series.pause(&mut cx);
        }
    }

    /// A series' rows were another market's. At the start that goes for the symbol's other files as well.
    fn distrust(&mut self, i: usize) {
        let all = !self.series[i].complete;
        for (other, series) in self.series.iter_mut().enumerate() {
            if (all && series.stage != Stage::Unread) || other == i {
                series.forget();
            }
        }
    }

    /// The venue will not give what was asked for.
    pub fn on_refused(&mut self, i: usize, part: Part, world: &mut World<'_>) {
        if part == Part::Whole {
            return self.on_vain(i, world);
        }
        let (series, _, mut cx) = self.parts(i, world);
        if !series.complete {
            series.vain += 1;
            if series.vain < HISTORY_EMPTY_ANSWERS_MAX {
                series.again_at_ns = cx.now.after_ms(HISTORY_EMPTY_RETRY_MS);
                return;
            }
            if !series.hand_over(&mut cx) {
                return;
            }
            series.vain = 0;
            series.finish(&mut cx);
        }
        series.pause(&mut cx);
    }
}

/// Adds whole periods made of the finest rows to those that wait for older ones.
pub(super) fn extend_held(series: &mut Series, finest: &Series, counters: &HistoryCounters) {
    let from_ms = series.held.last().map_or(0, |last| series.interval.next_start_ms(last.start_ms));
    let pieces = finest.recent.iter().skip_while(|piece| piece.start_ms < from_ms);
    let run = rows::fold(pieces, finest.interval, series.interval);
    if series.held.is_empty() || run.first().is_some_and(|first| first.start_ms == from_ms) {
        counters.rows_folded.fetch_add(run.len() as u64, Relaxed);
        series.held.extend(run);
    }
}

/// Whether the rows read again show that what is known is another market's.
fn is_foreign(series: &Series, start_ms: u64, answer: &AnswerRows) -> bool {
    let newest_ms = answer.rows.iter().map(|row| row.start_ms).max().unwrap_or(0);
    let (mut agreeing, mut silent) = (0, 0);
    for known in series.recent.iter().filter(|known| known.start_ms >= start_ms) {
        if rows::end_ms(series.interval, known.start_ms) > answer.mature_ms {
            continue;
        }
        match answer.rows.iter().find(|row| row.start_ms == known.start_ms) {
            Some(row) => match row.candle.map(|venue| rows::agreement(known, &venue)) {
                Some(Agreement::Same | Agreement::Outgrown) => agreeing += 1,
                Some(Agreement::Silent) => silent += 1,
                Some(Agreement::Foreign) => return true,
                None => {}
            },
            // A venue leaves out periods without trades only.
            None if known.num_trades > 0 && newest_ms > known.start_ms => return true,
            None => {}
        }
    }
    silent > 0 && agreeing == 0
}

pub(super) fn tell_cut(cx: &mut Context<'_>, cut: Option<Cut>) {
    let (what, start_ms) = match cut {
        Some(Cut::Unrepresentable(start_ms)) => {
            ("candle with more digits than are carried: history ends there", start_ms)
        }
        Some(Cut::Misplaced(start_ms)) => ("candles do not follow each other: history ends there", start_ms),
        None => return,
    };
    cx.tell(Severity::Warn, what, &format!("period that starts at {start_ms} ms"));
}
