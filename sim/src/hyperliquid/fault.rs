//! What goes wrong at Hyperliquid on command: which faults it can have, and what it tells at once because of them.

use super::{Hyperliquid, Source, frames};
use crate::error::SimError;
use crate::faults::Fault;
use crate::market::Venue;
use crate::protocol::{Action, Response, Route, transport_fault};
use serde_json::Value;

fn refused(why: &str) -> SimError {
    SimError::Fault(why.to_owned())
}

/// Whether what a stream tells is lost when it is not told.
fn tells_each(stream: &str) -> bool {
    const STATES: [&str; 7] = [
        "l2Book",
        "l2BookFast",
        "bbo",
        "allMids",
        "activeAssetCtx",
        "allDexsAssetCtxs",
        "activeSpotAssetCtx",
    ];
    stream.split(':').next().is_none_or(|kind| !STATES.contains(&kind))
}

/// Whether a fault leaves what is told as it is, so that a capture played back can have it.
fn is_for_playback(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::SilenceStream { .. }
            | Fault::SilenceSymbol { .. }
            | Fault::DuplicateFrames { .. }
            | Fault::CandleRestDown { .. }
            | Fault::FragmentFrames { .. }
            | Fault::BinaryFrames { .. }
            | Fault::OversizeFrame { .. }
            | Fault::MalformedFrames { .. }
            | Fault::ReorderFrames { .. }
            | Fault::NewFields { .. }
            | Fault::NewChannel { .. }
            | Fault::KeyOrder { .. }
            | Fault::RestStatus { .. }
            | Fault::RestGarbage { .. }
            | Fault::LoseAcks { .. }
            | Fault::AckedAndSilent { .. }
            | Fault::Greeting { .. }
    )
}

impl Hyperliquid {
    /// Begins a fault, or says why not.
    pub(super) fn begin_fault(
        &mut self,
        fault: &Fault,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), SimError> {
        if let Fault::DayCut { route: None | Some(Route::Ws) } = fault {
            self.hub.counters.lock().connections_aged_out += self.hub.connections.len() as u64;
        }
        let connections = self.hub.connections.keys().map(|id| (*id, Route::Ws));
        if transport_fault(fault, connections, out) {
            return Ok(());
        }
        if let Some(why) = fault.refused_by(Venue::Hyperliquid) {
            return Err(refused(why));
        }
        match fault {
            Fault::DnsFailure { .. } => return Err(refused("only look-ups through sim::Names can fail")),
            Fault::ChangeCadence { stream, .. } if tells_each(stream) => {
                return Err(refused("only streams of states can be told more rarely"));
            }
            _ => {}
        }
        if let Some(coin) = fault.symbol().filter(|coin| self.hub.coin(coin).is_none()) {
            return Err(SimError::UnknownSymbol(coin.clone()));
        }
        match &mut self.source {
            Source::Playback(_) if !is_for_playback(fault) => {
                return Err(refused("not while a capture is played back"));
            }
            Source::Playback(_) => {}
            Source::Model { market, .. } => {
                let mut market = market.lock();
                let before = market.symbol_count();
                fault.change_market(&mut market)?;
                (before..market.symbol_count()).for_each(|new| self.hub.add_coin(market.instrument(new)));
            }
        }
        match fault {
            Fault::NewChannel { frames } => self.tell_new_channels(*frames, now_ms, out),
            Fault::NewValues { frames } => self.tell_new_values(*frames, now_ms, out),
            Fault::ClockStep { by_ms, for_ms } => self.hub.clock.step(*by_ms, *for_ms, now_ms),
            Fault::ChangeCadence { stream, period_ms, for_ms } => {
                self.hub.cadences.slow(stream, *period_ms, *for_ms, now_ms);
            }
            _ => {}
        }
        self.hub.disturbances.begin(fault, now_ms);
        self.hub.wire.begin(fault, now_ms);
        self.rest_faults.begin(fault, now_ms);
        Ok(())
    }

    /// Channels that no client knows: with an object, with an array, without data.
    fn tell_new_channels(&mut self, frames: u32, now_ms: i64, out: &mut Vec<Action>) {
        for at in 0..frames {
            let text = match at % 3 {
                0 => frames::frame(
                    "l2BookDelta",
                    &format!(r#"{{"coin":"BTC","time":{now_ms},"levels":[[{{"px":"1.5","sz":"2"}}],[]]}}"#),
                ),
                1 => frames::frame("webData9", r#"[{"user":null},{"s":["a",-1.5e3]}]"#),
                _ => r#"{"channel":"heartbeat"}"#.to_owned(),
            };
            self.hub.send_to_all(&text, now_ms, out);
        }
    }

    /// Known channels with values no client knows: a text of an error, an interval of candles.
    fn tell_new_values(&mut self, frames: u32, now_ms: i64, out: &mut Vec<Action>) {
        let open_ms = now_ms - now_ms.rem_euclid(600_000);
        let candle = format!(
            r#"{{"t":{open_ms},"T":{},"s":"BTC","i":"10m","o":"1.0","c":"1.0","h":"1.0","l":"1.0","v":"1.0","n":1}}"#,
            open_ms + 599_999
        );
        for _ in 0..frames {
            let error = frames::error("Rate limit class changed to tier 3: {\"type\":\"notice\"}");
            self.hub.send_to_all(&error, now_ms, out);
            self.hub.send_to_all(&frames::frame("candle", &candle), now_ms, out);
        }
    }

    /// How much later a request for a book is answered.
    pub(super) fn snapshot_delay_ms(&mut self, request: &Value) -> Option<i64> {
        let text = |name: &str| request.get(name).and_then(Value::as_str);
        (text("type") == Some("l2Book")).then(|| self.rest_faults.snapshot_delay_ms(text("coin")?)).flatten()
    }

    /// What every request is answered with while a fault lasts.
    pub(super) fn storm(&self, now_ms: i64) -> Option<Response> {
        let storm = self.rest_faults.storm(now_ms)?;
        if storm.status == 429 {
            self.hub.counters.lock().rest_429 += 1;
        }
        let response = Response::json(storm.status, "null");
        Some(match storm.retry_after_s {
            Some(retry_s) => response.with_header("Retry-After", retry_s),
            // This venue sends none.
            None => response,
        })
    }
}
