//! The report of `get_status`.

use crate::client::ClientId;
use crate::core::Core;
use crate::replica::VenueReplica;
use codec::drift::DriftTable;
use codec::protocol::message::{Frame, StatusView};
use codec::protocol::pack;
use codec::protocol::request::{Refusal, Request};
use codec::time::Now;
use codec::words::{Reason, State, Stream};
use std::sync::atomic::Ordering;

impl Core {
    pub(crate) fn get_status(
        &mut self,
        client: ClientId,
        request: &Request<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let mut out = Vec::new();
        let frame = Frame::begin(&mut out, request.id, "status_report");
        pack::map(&mut out, 7);
        pack::string(&mut out, "version");
        pack::string(&mut out, &self.config.version);
        pack::string(&mut out, "run_id");
        pack::string(&mut out, &format!("{:016x}", self.config.run_id));
        pack::string(&mut out, "uptime_s");
        pack::uint(&mut out, self.uptime_s(now));
        pack::string(&mut out, "clients");
        pack::uint(&mut out, self.connected() as u64);
        pack::string(&mut out, "subscriptions");
        pack::uint(&mut out, self.outlets.counters.subscriptions.load(Ordering::Relaxed));
        pack::string(&mut out, "recorder");
        put_recorder(&mut out, self.config.recorder, &self.replica.recorder.view(Stream::Recorder, now));
        pack::string(&mut out, "venues");
        pack::map(&mut out, self.replica.venues().len());
        for venue in self.replica.venues() {
            pack::string(&mut out, venue.config.venue.as_str());
            self.put_venue(&mut out, venue, now);
        }
        frame.end(&mut out);
        self.reply(client, |to| to.append(&mut out));
        Ok(())
    }

    fn put_venue(&self, out: &mut Vec<u8>, venue: &VenueReplica, now: Now) {
        let connection = venue.streams[Stream::Connection.number() as usize].view(Stream::Connection, now);
        let counters = self.outlets.counters.venue(venue.config.venue);
        let candles = self.replica.candle_totals(venue);
        pack::map(out, 7);
        pack::string(out, "connected");
        pack::boolean(out, connection.state == State::Live);
        pack::string(out, "state");
        pack::string(out, connection.state.as_str());
        pack::string(out, "reconnects");
        pack::uint(out, counters.reconnects.load(Ordering::Relaxed));
        pack::string(out, "gaps");
        pack::uint(out, counters.gaps.load(Ordering::Relaxed));
        pack::string(out, "candles");
        pack::map(out, 2);
        pack::string(out, "loaded");
        pack::uint(out, candles.loaded);
        pack::string(out, "total");
        pack::uint(out, candles.total);
        pack::string(out, "drift");
        let drift = self.outlets.drift.iter().find(|(of, _)| *of == venue.config.venue);
        put_drift(out, drift.map(|(_, table)| &**table));
        pack::string(out, "streams");
        let fills = venue.config.streams.contains(&Stream::Fills);
        let streams = || venue.config.streams.iter().filter(|stream| **stream != Stream::Fills);
        pack::array(out, 1 + usize::from(fills) + venue.sorted.len() * streams().count());
        put_stream(out, None, &connection);
        if fills {
            put_stream(out, None, &venue.streams[Stream::Fills.number() as usize].view(Stream::Fills, now));
        }
        for &slot in &venue.sorted {
            let instrument = self.replica.instrument(slot);
            for &stream in streams() {
                put_stream(out, Some(&instrument.symbol), &instrument.status(stream, now));
            }
        }
    }
}

/// How the venue differs from what is known of it, in order of first sight.
fn put_drift(out: &mut Vec<u8>, table: Option<&DriftTable>) {
    // Counted first: an entry may come while this is written.
    let count = table.map_or(0, |table| table.entries().count());
    pack::array(out, count);
    for entry in table.into_iter().flat_map(DriftTable::entries).take(count) {
        pack::map(out, 5);
        pack::string(out, "kind");
        pack::string(out, entry.kind.as_str());
        pack::string(out, "what");
        pack::string(out, &entry.what);
        pack::string(out, "count");
        pack::uint(out, entry.count());
        pack::string(out, "first_us");
        pack::uint(out, entry.first_us);
        pack::string(out, "frame");
        pack::string(out, &entry.frame);
    }
}

fn put_reason(out: &mut Vec<u8>, reason: Reason) {
    pack::string(out, "reason");
    pack::string(out, reason.as_str());
}

fn put_stream(out: &mut Vec<u8>, symbol: Option<&str>, status: &StatusView) {
    pack::map(out, 5);
    pack::string(out, "stream");
    pack::string(out, status.stream.as_str());
    pack::string(out, "symbol");
    pack::string_or_nil(out, symbol);
    pack::string(out, "state");
    pack::string(out, status.state.as_str());
    pack::string(out, "age_ms");
    pack::uint(out, status.age_ms);
    put_reason(out, status.reason);
}

fn put_recorder(out: &mut Vec<u8>, enabled: bool, status: &StatusView) {
    pack::map(out, 4);
    pack::string(out, "enabled");
    pack::boolean(out, enabled);
    pack::string(out, "state");
    pack::string(out, status.state.as_str());
    pack::string(out, "age_ms");
    pack::uint(out, status.age_ms);
    put_reason(out, status.reason);
}
