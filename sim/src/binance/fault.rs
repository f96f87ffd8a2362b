//! What goes wrong at Binance on command: which faults it can have, and what it tells at once because of them.

use super::streams::{self, AllSymbols, Kind};
use super::{Binance, Source};
use crate::error::SimError;
use crate::faults::Fault;
use crate::market::{Contract, Venue};
use crate::protocol::{Action, Route, transport_fault};

fn refused(why: &str) -> SimError {
    SimError::Fault(why.to_owned())
}

/// Whether what a stream tells is lost when it is not told.
fn tells_each(stream: &str) -> bool {
    match streams::parse(stream) {
        Some((_, kind)) => matches!(kind, Kind::AggTrade | Kind::Trade | Kind::Kline(_)),
        None => AllSymbols::parse(stream).is_none_or(|stream| stream == AllSymbols::ContractInfo),
    }
}

/// Whether a fault needs the model, because a capture is played back word for word.
fn needs_model(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::CrossedBook { .. }
            | Fault::StaleSnapshots { .. }
            | Fault::SlowSnapshots { .. }
            | Fault::CandleRestDown { .. }
            | Fault::LateCandleRows { .. }
            | Fault::StopTrades { .. }
            | Fault::ListSymbol(_)
            | Fault::HaltSymbol { .. }
            | Fault::ChangeTick { .. }
            | Fault::ZeroPriceTrades { .. }
            | Fault::EmptyRate { .. }
            | Fault::NullSides { .. }
            | Fault::NewValues { .. }
            | Fault::ClockStep { .. }
            | Fault::ChangeCadence { .. }
    )
}

impl Binance {
    /// Begins a fault, or says why not.
    pub(super) fn begin_fault(
        &mut self,
        fault: &Fault,
        now_ms: i64,
        out: &mut Vec<Action>,
    ) -> Result<(), SimError> {
        if let Fault::DayCut { route } = fault {
            let of_route = |of: Route| route.is_none_or(|route| route == of);
            let cut = self.hub.connections.values().filter(|connection| of_route(connection.route)).count();
            self.hub.counters.lock().connections_aged_out += cut as u64;
        }
        let connections = self.hub.connections.iter().map(|(id, connection)| (*id, connection.route));
        if transport_fault(fault, connections, out) {
            return Ok(());
        }
        if let Some(why) = fault.refused_by(Venue::Binance) {
            return Err(refused(why));
        }
        match fault {
            Fault::DnsFailure { .. } => return Err(refused("only look-ups through sim::Names can fail")),
            Fault::ChangeCadence { stream, .. } if tells_each(stream) => {
                return Err(refused("only streams of states can be told more rarely"));
            }
            _ => {}
        }
        if let Some(symbol) = fault.symbol()
            && self.hub.symbol(&symbol.to_lowercase()).map(|at| self.hub.name(at)) != Some(symbol)
        {
            return Err(SimError::UnknownSymbol(symbol.clone()));
        }
        match &mut self.source {
            Source::Playback(_) if needs_model(fault) => {
                return Err(refused("not while a capture is played back"));
            }
            Source::Playback(_) => {}
            Source::Model { market, .. } => {
                let mut market = market.lock();
                let before = market.symbol_count();
                fault.change_market(&mut market)?;
                (before..market.symbol_count()).for_each(|new| self.hub.add_symbol(market.instrument(new)));
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

    /// Events that no client knows: a new kind of a symbol's stream, an array of something, the end of the server.
    fn tell_new_channels(&self, frames: u32, now_ms: i64, out: &mut Vec<Action>) {
        for at in 0..frames {
            let (stream, data) = match at % 3 {
                0 => (
                    "btcusdt@auction",
                    format!(
                        r#"{{"e":"auctionUpdate","E":{now_ms},"s":"BTCUSDT","p":"1.50","b":[["1.5","2"]],"x":{{"y":null}}}}"#
                    ),
                ),
                1 => (
                    "!riskLevel@arr",
                    format!(
                        r#"[{{"e":"riskLevel","E":{now_ms},"s":"BTCUSDT","l":3}},{{"e":"riskLevel","s":"X"}}]"#
                    ),
                ),
                _ => ("!serverShutdown", format!(r#"{{"e":"serverShutdown","E":{now_ms}}}"#)),
            };
            self.hub.send_to_all(None, stream, &data, out);
        }
    }

    /// Known events with values no client knows, of a symbol or an interval that nobody asked for.
    fn tell_new_values(&self, frames: u32, now_ms: i64, out: &mut Vec<Action>) {
        let Source::Model { market, .. } = &self.source else { return };
        let instruments = market.instruments();
        let Some(of) = instruments.iter().find(|of| of.contract != Contract::CoinPerpetual) else { return };
        let (symbol, lower) = (&of.symbol, of.stream_symbol());
        let (open_ms, close_ms) =
            (now_ms - now_ms.rem_euclid(600_000), now_ms - now_ms.rem_euclid(600_000) + 599_999);
        for _ in 0..frames {
            let kline = format!(
                r#"{{"e":"kline","E":{now_ms},"s":"{symbol}","k":{{"t":{open_ms},"T":{close_ms},"s":"{symbol}","i":"10m","f":1,"L":2,"o":"1.0","c":"1.0","h":"1.0","l":"1.0","v":"1.0","n":2,"x":false,"q":"1.0","V":"1.0","Q":"1.0","B":"0"}}}}"#
            );
            let contract = format!(
                r#"{{"e":"contractInfo","E":{now_ms},"s":"AUCTIONTESTUSDT","ps":"AUCTIONTESTUSDT","ct":"EVENT_PERPETUAL","dt":4133404800000,"ot":{now_ms},"cs":"CALL_AUCTION","st":1}}"#
            );
            let quote = format!(
                r#"{{"e":"bookTicker","u":1,"s":"AUCTIONTESTUSDT","ps":"AUCTIONTESTUSDT","b":"1.0","B":"1","a":"1.1","A":"1","T":{now_ms},"E":{now_ms},"st":9}}"#
            );
            let market = Some(Route::Market);
            self.hub.send_to_all(market, &format!("{lower}@kline_10m"), &kline, out);
            self.hub.send_to_all(market, "!contractInfo", &contract, out);
            self.hub.send_to_all(Some(Route::Public), "auctiontestusdt@bookTicker", &quote, out);
        }
    }
}
