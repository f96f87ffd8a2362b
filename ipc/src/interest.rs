//! What somebody wants, told upstream: to the engine which streams, to whoever loads the past which candles.
//!
//! Each is told once, when the first client wants it, and again when an instrument gets its number only
//! afterwards. A ring that is full drops and counts.

use crate::candle_feed::CandleWish;
use crate::core::Core;
use crate::counters::add;
use crate::event::Interest;
use crate::topic::Slot;
use codec::words::{Interval, Stream};

impl Core {
    /// Tells the engine that a stream is wanted, or no longer.
    pub(crate) fn want(&mut self, slot: Slot, stream: Stream, interval: Option<Interval>, wanted: bool) {
        if let Some(instrument) = self.replica.instrument(slot).record_id {
            self.push_interest(Interest { instrument, stream, interval, wanted, resend: false });
        }
    }

    /// Asks for a whole book once more: the replica's own cannot be vouched for.
    pub(crate) fn want_again(&mut self, instrument: u32) {
        let stream = Stream::Orderbook;
        self.push_interest(Interest { instrument, stream, interval: None, wanted: true, resend: true });
    }

    fn push_interest(&mut self, interest: Interest) {
        let Some(ring) = &mut self.outlets.interest else { return };
        if ring.push(interest).is_err() {
            add(&self.outlets.counters.interest_dropped_total, 1);
        }
    }

    /// One more subscription to a stream of an instrument.
    pub(crate) fn add_demand(&mut self, slot: Slot, stream: Stream, interval: Option<Interval>) {
        let instrument = self.replica.instrument_mut(slot);
        let count = match interval {
            None => &mut instrument.wanted[stream.number() as usize],
            Some(interval) => {
                let Some(series) = instrument.series_mut(interval) else { return };
                &mut series.demand.wanted
            }
        };
        *count += 1;
        if *count == 1 {
            self.want(slot, stream, interval, true);
        }
        if let Some(interval) = interval {
            self.wish(slot, interval);
        }
    }

    /// One subscription less.
    pub(crate) fn remove_demand(&mut self, slot: Slot, stream: Stream, interval: Option<Interval>) {
        let instrument = self.replica.instrument_mut(slot);
        let count = match interval {
            None => &mut instrument.wanted[stream.number() as usize],
            Some(interval) => {
                let Some(series) = instrument.series_mut(interval) else { return };
                &mut series.demand.wanted
            }
        };
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.want(slot, stream, interval, false);
        }
    }

    /// A query asked for a stream: the engine hears it the first time.
    pub(crate) fn ask(&mut self, slot: Slot, stream: Stream) {
        let bit = 1u16 << stream.number();
        let instrument = self.replica.instrument_mut(slot);
        if instrument.asked & bit == 0 {
            instrument.asked |= bit;
            if instrument.wanted[stream.number() as usize] == 0 {
                self.want(slot, stream, None, true);
            }
        }
    }

    /// A query asked for candles.
    pub(crate) fn ask_candles(&mut self, slot: Slot, interval: Interval) {
        let Some(series) = self.replica.instrument_mut(slot).series_mut(interval) else { return };
        if !core::mem::replace(&mut series.demand.asked, true) && series.demand.wanted == 0 {
            self.want(slot, Stream::Candles, Some(interval), true);
        }
        self.wish(slot, interval);
    }

    /// Wishes for the past of a series, unless it is here or was wished for.
    fn wish(&mut self, slot: Slot, interval: Interval) {
        let Self { replica, outlets, .. } = self;
        let Some(ring) = &mut outlets.candle_wishes else { return };
        let instrument = replica.instrument_mut(slot);
        let Some(record_id) = instrument.record_id else { return };
        let Some(series) = instrument.series_mut(interval) else { return };
        if series.is_ready() || series.demand.wish_sent {
            return;
        }
        match ring.push(CandleWish { instrument: record_id, interval }) {
            Ok(()) => series.demand.wish_sent = true,
            // Whoever asks again wishes again.
            Err(_) => add(&outlets.counters.candle_wishes_dropped_total, 1),
        }
    }

    /// What was wanted before an instrument had its number.
    pub(crate) fn repeat_interest(&mut self, slot: Slot) {
        for &stream in Stream::ALL {
            let instrument = self.replica.instrument(slot);
            let number = stream.number();
            if instrument.wanted[number as usize] > 0 || instrument.asked >> number & 1 == 1 {
                self.want(slot, stream, None, true);
            }
        }
        for place in 0..self.replica.instrument(slot).candles.len() {
            let series = &self.replica.instrument(slot).candles[place];
            let interval = series.interval();
            if series.demand.wanted > 0 || series.demand.asked {
                self.want(slot, Stream::Candles, Some(interval), true);
                self.wish(slot, interval);
            }
        }
    }
}
