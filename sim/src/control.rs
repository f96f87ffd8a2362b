//! A small plain HTTP endpoint for those who are not in the same process.
//!
//! ```text
//! GET  /                                            what there is
//! GET  /urls                                        the addresses of both venues
//! GET  /counters?venue=V                            the counters
//! POST /control/FAULT?venue=V&…                     makes something go wrong (all faults: GET /)
//! POST /scenario?name=N[&seed=N]                    plays a ready scenario, or the one in the request's body
//! POST /scenario/stop                               stops it
//! GET  /scenario                                    how far it is
//! GET  /playback?venue=V                            started, ended, played, unclaimed
//! POST /playback/start?venue=V                      starts a playback
//! GET  /truth/book?venue=V&symbol=S&update_id=N     the true book (or &time_ms=N; neither: now)
//! GET  /truth/trades?venue=V&symbol=S&from_ms=N&before_ms=N
//! GET  /truth/candles?venue=V&symbol=S&interval=I&from_ms=N&before_ms=N
//! GET  /truth/funding?venue=V&symbol=S              mark, index, rate and next funding now (or &time_ms=N)
//! POST /fill?venue=V&symbol=S&user=U&side=buy|sell&size=D[&price=D][&role=maker]
//! ```

use crate::decimal::{parse_e8, trimmed, trimmed_scaled};
use crate::error::SimError;
use crate::faults::{FAULT_FORMS, Fault, fault_form, form_keys};
use crate::hyperliquid::is_address;
use crate::market::{Aggressor, Level, NewFill, TruthCandle};
use crate::protocol::{
    Action, Backlog, ConnectionId, ControlFrame, Protocol, Request, RequestId, Response, Target,
};
use crate::scenario::Scenario;
use crate::scenario::player::{Player, ScenarioStart};
use crate::sim::VenueHandle;
use serde_json::{Value, json};
use std::collections::HashMap;

/// The control endpoint.
pub struct Control {
    venues: Vec<VenueHandle>,
    player: Player,
}

/// What is wrong with a request: status and text.
type Refused = (u16, String);

/// Who asks over HTTP means now.
const START: ScenarioStart = ScenarioStart::Now;

/// The control endpoint has nothing to do between requests.
const IDLE_MS: i64 = 1_000;

impl Control {
    /// An endpoint for these venues.
    pub fn new(venues: Vec<VenueHandle>, player: Player) -> Self {
        Self { venues, player }
    }

    fn venue(&self, parameters: &HashMap<String, String>) -> Result<&VenueHandle, Refused> {
        let name = parameters.get("venue").map(String::as_str).unwrap_or_default();
        self.venues.iter().find(|handle| handle.venue().name() == name).ok_or_else(|| {
            (400, format!("venue={name} is no venue; right is venue=hyperliquid or venue=binance"))
        })
    }

    fn answer(&self, request: &Request) -> Result<Value, Refused> {
        let parameters = request.target.parameters();
        let path = request.target.path.as_str();
        let refused = |error: SimError| (409, error.to_string());
        match (request.method.as_str(), path) {
            ("GET", "/") => Ok(json!({
                "faults": FAULT_FORMS, "form": "POST /control/FAULT?venue=VENUE&…",
                "scenarios": Scenario::names().collect::<Vec<_>>(), "scenario": "POST /scenario?name=NAME",
            })),
            ("GET", "/urls") => {
                let urls = self.venues.iter().map(|handle| {
                    let urls = json!({"ws": handle.ws_url(), "rest": handle.rest_url()});
                    (handle.venue().name().to_owned(), urls)
                });
                Ok(Value::Object(urls.collect()))
            }
            ("GET", "/counters") => Ok(counters(self.venue(&parameters)?)),
            ("GET", "/playback") => {
                let handle = self.venue(&parameters)?;
                let playback = handle.playback().ok_or_else(|| (409, "no playback here".to_owned()))?;
                Ok(json!({
                    "started": playback.has_started(), "ended": playback.has_ended(),
                    "played": playback.played(), "unclaimed": playback.unclaimed(),
                }))
            }
            ("POST", "/playback/start") => {
                self.venue(&parameters)?.start_playback().map_err(refused)?;
                Ok(json!({"done": true}))
            }
            ("POST", "/scenario") => {
                self.player
                    .play(&scenario(request, &parameters)?, number(&parameters, "seed")?, START)
                    .map_err(refused)?;
                Ok(self.scenario_state())
            }
            ("POST", "/scenario/stop") => {
                self.player.stop();
                Ok(self.scenario_state())
            }
            ("GET", "/scenario") => Ok(self.scenario_state()),
            ("GET", "/truth/book") => book(self.venue(&parameters)?, &parameters),
            ("GET", "/truth/trades") => trades(self.venue(&parameters)?, &parameters),
            ("GET", "/truth/candles") => candles(self.venue(&parameters)?, &parameters),
            ("GET", "/truth/funding") => funding(self.venue(&parameters)?, &parameters),
            ("POST", "/fill") => fill(self.venue(&parameters)?, &parameters),
            ("POST", _) if path.starts_with("/control/") => {
                let handle = self.venue(&parameters)?;
                let name = path.trim_start_matches("/control/");
                only_known(name, &parameters)?;
                let fault = Fault::parse(name, &parameters).map_err(|text| (400, text))?;
                handle.fault(fault).map_err(refused)?;
                Ok(json!({"done": true}))
            }
            _ => Err((404, format!("nothing at {} {path}; GET / says what there is", request.method))),
        }
    }

    fn scenario_state(&self) -> Value {
        let Some(state) = self.player.state() else { return Value::Null };
        json!({
            "name": state.name, "seed": state.seed, "elapsed_ms": state.elapsed_ms,
            "length_ms": state.length_ms, "played": state.played, "refused": state.refused,
            "last": state.last, "ended": state.ended,
        })
    }
}

fn counters(handle: &VenueHandle) -> Value {
    let counters = handle.counters();
    json!({
        "connections_open": counters.connections_open,
        "connections_opened": counters.connections_opened,
        "connections_refused": counters.connections_refused,
        "connections_aged_out": counters.connections_aged_out,
        "subscriptions": counters.subscriptions,
        "messages_received": counters.messages_received,
        "messages_per_second_max": counters.messages_per_second_max,
        "messages_per_minute_max": counters.messages_per_minute_max,
        "rest_requests": counters.rest_requests,
        "rest_requests_by_path": counters.rest_requests_by_path,
        "rest_weight_by_path": counters.rest_weight_by_path,
        "rest_weight_per_minute_max": counters.rest_weight_per_minute_max,
        "rest_429": counters.rest_429,
        "rest_418": counters.rest_418,
        "frames_sent": counters.frames_sent,
        "limit_used_max": counters.limit_used_max,
        "limit_violations": counters.limit_violations,
        "soft_errors": counters.soft_errors,
        "fatal_requests": counters.fatal_requests,
        "silent_subscriptions": counters.silent_subscriptions,
    })
}

fn number<T: std::str::FromStr>(
    parameters: &HashMap<String, String>,
    name: &str,
) -> Result<Option<T>, Refused> {
    let bad = |text: &String| (400, format!("{name}={text} is not a whole number"));
    parameters.get(name).map(|text| text.parse().map_err(|_| bad(text))).transpose()
}

fn symbol(parameters: &HashMap<String, String>) -> Result<&str, Refused> {
    parameters.get("symbol").map(String::as_str).ok_or_else(|| (400, "symbol is missing".to_owned()))
}

/// The scenario that a request brings, or names. A path is none of this: what is read is what the request holds.
fn scenario(request: &Request, parameters: &HashMap<String, String>) -> Result<Scenario, Refused> {
    let bad = |error: SimError| (400, error.to_string());
    let name = parameters.get("name").map(String::as_str);
    if request.body.is_empty() {
        return Scenario::named(name.unwrap_or_default()).map_err(bad);
    }
    let text = std::str::from_utf8(&request.body).map_err(|_| (400, "the body is not UTF-8".to_owned()))?;
    Scenario::parse(name.unwrap_or("the request's body"), text).map_err(bad)
}

/// Refuses parameters that a fault does not have: a mistyped one would leave its default in force.
fn only_known(name: &str, parameters: &HashMap<String, String>) -> Result<(), Refused> {
    let Some(form) = fault_form(name) else { return Ok(()) };
    let known = |key: &String| key == "venue" || form_keys(form).any(|known| known == key);
    match parameters.keys().find(|key| !known(key)) {
        Some(key) => Err((400, format!("{name}: there is no {key} here; right is: {form}"))),
        None => Ok(()),
    }
}

fn book(handle: &VenueHandle, parameters: &HashMap<String, String>) -> Result<Value, Refused> {
    let (market, symbol) = (handle.market(), symbol(parameters)?);
    let book = match (number(parameters, "update_id")?, number(parameters, "time_ms")?) {
        (Some(update_id), _) => market.truth_at_update_id(symbol, update_id),
        (None, Some(time_ms)) => market.truth_at_time(symbol, time_ms),
        (None, None) => market.truth_at_time(symbol, market.now_ms()),
    };
    let book = book.map_err(|error| (409, error.to_string()))?;
    let side = |levels: &[Level]| -> Vec<Value> {
        levels.iter().map(|level| json!([trimmed(level.price_e8), trimmed(level.size_e8)])).collect()
    };
    Ok(json!({
        "update_id": book.update_id, "time_ms": book.time_ms,
        "bids": side(&book.bids), "asks": side(&book.asks),
    }))
}

fn candles(handle: &VenueHandle, parameters: &HashMap<String, String>) -> Result<Value, Refused> {
    let from_ms = number(parameters, "from_ms")?.unwrap_or(0);
    let before_ms = number(parameters, "before_ms")?.unwrap_or(i64::MAX);
    let interval = parameters.get("interval").ok_or_else(|| (400, "interval is missing".to_owned()))?;
    let candles = handle.candles(symbol(parameters)?, interval, from_ms, before_ms);
    let candles = candles.map_err(|error| (409, error.to_string()))?;
    let row = |candle: &TruthCandle| {
        json!({
            "open_ms": candle.open_ms, "close_ms": candle.close_ms, "closed": candle.closed,
            "open": trimmed(candle.open_e8), "high": trimmed(candle.high_e8),
            "low": trimmed(candle.low_e8), "close": trimmed(candle.close_e8),
            "volume": trimmed_scaled(candle.volume_e8, 8), "quote": trimmed_scaled(candle.quote_e16, 16),
            "trades": candle.trades,
        })
    };
    Ok(candles.iter().map(row).collect())
}

fn funding(handle: &VenueHandle, parameters: &HashMap<String, String>) -> Result<Value, Refused> {
    let market = handle.market();
    let time_ms = number(parameters, "time_ms")?.unwrap_or_else(|| market.now_ms());
    let funding =
        market.funding_at(symbol(parameters)?, time_ms).map_err(|error| (409, error.to_string()))?;
    Ok(json!({
        "time_ms": time_ms, "mark": trimmed(funding.mark_e8), "index": trimmed(funding.index_e8),
        "rate": funding.rate_e10.map(|rate_e10| trimmed_scaled(rate_e10.into(), 10)),
        "next_funding_ms": funding.next_funding_ms, "interval_hours": funding.interval_hours,
    }))
}

fn fill(handle: &VenueHandle, parameters: &HashMap<String, String>) -> Result<Value, Refused> {
    let decimal = |name: &str| {
        let bad = |text: &String| (400, format!("{name}={text} is not a decimal"));
        parameters.get(name).map(|text| parse_e8(text).ok_or_else(|| bad(text))).transpose()
    };
    let user = parameters.get("user").filter(|user| is_address(user));
    let bought = match parameters.get("side").map(String::as_str) {
        Some("buy") => true,
        Some("sell") => false,
        _ => return Err((400, "side is missing; right is buy or sell".to_owned())),
    };
    let new = NewFill {
        user: user.cloned().ok_or_else(|| (400, "user is 0x and 40 hexadecimal digits".to_owned()))?,
        bought,
        taker: parameters.get("role").is_none_or(|role| role != "maker"),
        price_e8: decimal("price")?,
        size_e8: decimal("size")?.ok_or_else(|| (400, "size is missing".to_owned()))?,
    };
    handle.add_fill(symbol(parameters)?, new).map_err(|error| (409, error.to_string()))?;
    Ok(json!({"done": true}))
}

fn trades(handle: &VenueHandle, parameters: &HashMap<String, String>) -> Result<Value, Refused> {
    let from_ms = number(parameters, "from_ms")?.unwrap_or(0);
    let before_ms = number(parameters, "before_ms")?.unwrap_or(i64::MAX);
    let trades = handle.market().trades_between(symbol(parameters)?, from_ms, before_ms);
    let trades = trades.map_err(|error| (409, error.to_string()))?;
    let row = |trade: &crate::market::Trade| {
        let side = if trade.aggressor == Aggressor::Buy { "buy" } else { "sell" };
        json!({
            "id": trade.id, "time_ms": trade.time_ms, "aggressor": side,
            "price": trimmed(trade.price_e8), "size": trimmed(trade.size_e8),
        })
    };
    Ok(trades.iter().map(row).collect())
}

impl Protocol for Control {
    fn open(
        &mut self,
        _connection: ConnectionId,
        _target: &Target,
        _now_ms: i64,
        _out: &mut Vec<Action>,
    ) -> Result<(), Response> {
        Err(Response::text(404, "no WebSocket here"))
    }

    fn text(&mut self, _connection: ConnectionId, _text: &str, _now_ms: i64, _out: &mut Vec<Action>) {}

    fn control(
        &mut self,
        _connection: ConnectionId,
        _frame: ControlFrame,
        _now_ms: i64,
        _out: &mut Vec<Action>,
    ) {
    }

    fn closed(&mut self, _connection: ConnectionId, _now_ms: i64) {}

    fn request(&mut self, id: RequestId, request: &Request, _now_ms: i64, out: &mut Vec<Action>) {
        let response = match self.answer(request) {
            Ok(value) => Response::json(200, value.to_string()),
            Err((status, text)) => Response::json(status, json!({"error": text}).to_string()),
        };
        out.push(Action::Respond(id, response));
    }

    fn tick(&mut self, _now_ms: i64, _backlog: &dyn Backlog, _out: &mut Vec<Action>) -> i64 {
        IDLE_MS
    }

    fn fault(&mut self, _fault: &Fault, _now_ms: i64, _out: &mut Vec<Action>) -> Result<(), SimError> {
        Err(SimError::Fault("the control endpoint itself does not fail".to_owned()))
    }
}
