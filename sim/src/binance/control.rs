//! What clients may say on Binance's WebSocket, and what it answers.

use super::hub::Hub;
use crate::counters::SubscribeRecord;
use crate::limits::{BINANCE_STREAMS_MAX, SUBSCRIBE_LOG_MAX};
use crate::protocol::{Action, ConnectionId};
use serde_json::{Value, json};

/// Why a request is refused: code and text.
type Refusal = (u8, String);

/// Takes one request.
pub fn text(hub: &mut Hub, id: ConnectionId, text: &str, now_ms: i64, out: &mut Vec<Action>) {
    let Ok(request) = serde_json::from_str::<Value>(text) else {
        return refuse(hub, id, None, (3, "Invalid JSON".to_owned()), out);
    };
    // An id that is no unsigned integer cannot be given back.
    let request_id = request.get("id").and_then(Value::as_u64);
    let result = match request_id {
        None => Err((2, "Invalid request: request ID must be an unsigned integer".to_owned())),
        Some(request_id) => answer(hub, id, &request, request_id, now_ms, out),
    };
    match result {
        Ok(Some(result)) => {
            let is_ack = request
                .get("method")
                .and_then(Value::as_str)
                .is_some_and(|method| matches!(method, "SUBSCRIBE" | "UNSUBSCRIBE"));
            if is_ack && hub.disturbances.loses_ack() {
                return;
            }
            out.push(Action::Text(id, json!({"result": result, "id": request_id}).to_string().into()));
        }
        Ok(None) => {}
        Err(refusal) => refuse(hub, id, request_id, refusal, out),
    }
}

fn refuse(
    hub: &mut Hub,
    id: ConnectionId,
    request_id: Option<u64>,
    (code, message): Refusal,
    out: &mut Vec<Action>,
) {
    hub.counters.lock().soft_errors += 1;
    let mut answer = json!({"code": code, "msg": message});
    if let Some(request_id) = request_id {
        answer["id"] = json!(request_id);
    }
    out.push(Action::Text(id, answer.to_string().into()));
}

/// The result of a request; `None` if it was answered otherwise.
fn answer(
    hub: &mut Hub,
    id: ConnectionId,
    request: &Value,
    request_id: u64,
    now_ms: i64,
    out: &mut Vec<Action>,
) -> Result<Option<Value>, Refusal> {
    let missing = |field: &str| (2, format!("Invalid request: missing field `{field}`"));
    let method = request.get("method").and_then(Value::as_str).ok_or_else(|| missing("method"))?;
    let parameters = request.get("params").and_then(Value::as_array);
    match method {
        "SUBSCRIBE" | "UNSUBSCRIBE" => {
            let unsubscribe = method == "UNSUBSCRIBE";
            let names = stream_names(parameters.ok_or_else(|| missing("params"))?)?;
            record(hub, id, unsubscribe, &names, now_ms);
            for name in &names {
                if unsubscribe {
                    hub.unsubscribe(id, name);
                } else if hub
                    .connections
                    .get(&id)
                    .is_some_and(|connection| is_full(&connection.streams, name))
                {
                    too_many_streams(hub, id, request_id, out);
                    return Ok(None);
                } else {
                    hub.subscribe(id, name);
                }
            }
            count_streams(hub, hub.connections.get(&id).map_or(0, |connection| connection.streams.len()));
            hub.counters.lock().subscriptions = hub.subscribers.live();
            Ok(Some(Value::Null))
        }
        "LIST_SUBSCRIPTIONS" => Ok(Some(
            hub.connections.get(&id).map_or_else(|| json!([]), |connection| json!(connection.streams)),
        )),
        "SET_PROPERTY" => {
            let parameters = parameters.ok_or_else(|| missing("params"))?;
            let property = parameters.first().and_then(Value::as_str);
            if property != Some("combined") {
                return Err((0, "Unknown property".to_owned()));
            }
            let Some(combined) = parameters.get(1).and_then(Value::as_bool) else {
                return Err((1, "Invalid value type: expected Boolean".to_owned()));
            };
            if let Some(connection) = hub.connections.get_mut(&id) {
                connection.combined = combined;
            }
            Ok(Some(Value::Null))
        }
        "GET_PROPERTY" => {
            let property = parameters.and_then(|parameters| parameters.first()).and_then(Value::as_str);
            if property != Some("combined") {
                return Err((0, "Unknown property".to_owned()));
            }
            Ok(Some(json!(hub.connections.get(&id).is_some_and(|connection| connection.combined))))
        }
        other => Err((2, format!("Invalid request: unknown variant `{other}`"))),
    }
}

fn stream_names(parameters: &[Value]) -> Result<Vec<String>, Refusal> {
    let names: Option<Vec<String>> = parameters.iter().map(|name| name.as_str().map(str::to_owned)).collect();
    names.ok_or_else(|| (1, "Invalid value type: expected String".to_owned()))
}

/// Whether one more stream is one too many.
pub fn is_full(streams: &[String], name: &str) -> bool {
    streams.len() >= BINANCE_STREAMS_MAX && !streams.iter().any(|other| other == name)
}

/// Notes how many streams a connection has, or would have.
pub fn count_streams(hub: &Hub, streams: usize) {
    let allowed = BINANCE_STREAMS_MAX as u64;
    hub.counters.lock().use_limit("binance streams per connection", streams as u64, allowed);
}

/// Refuses the stream that is too many, and ends the connection with all its streams.
fn too_many_streams(hub: &mut Hub, id: ConnectionId, request_id: u64, out: &mut Vec<Action>) {
    count_streams(hub, BINANCE_STREAMS_MAX + 1);
    hub.counters.lock().fatal_requests += 1;
    if let Some(connection) = hub.connections.get_mut(&id) {
        connection.closing = true;
    }
    let answer = json!({"error": {"code": 4, "msg": "Too many subscriptions"}, "id": request_id});
    out.push(Action::Text(id, answer.to_string().into()));
    out.push(Action::Close(id, 1008, "Too many subscriptions"));
}

/// Writes a request into the log.
pub fn record(hub: &Hub, id: ConnectionId, unsubscribe: bool, names: &[String], now_ms: i64) {
    let Some(connection) = hub.connections.get(&id) else { return };
    let mut counters = hub.counters.lock();
    if counters.subscribe_log.len() < SUBSCRIBE_LOG_MAX {
        counters.subscribe_log.push(SubscribeRecord {
            time_ms: now_ms,
            connection: id,
            route: connection.route,
            unsubscribe,
            streams: names.to_vec(),
        });
    }
}
