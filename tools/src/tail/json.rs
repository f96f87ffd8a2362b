//! A message as a line of JSON, its fields in the order in which they came.

use crate::error::ToolError;
use codec::protocol::unpack::{Map, Value};

/// A frame as JSON, with a newline.
pub fn line(frame: &[u8]) -> Result<String, ToolError> {
    let map = Map::read(frame).map_err(|malformed| ToolError::Protocol(malformed.to_string()))?;
    let mut out = String::with_capacity(frame.len() * 2);
    put(&mut out, Value::Map(map));
    out.push('\n');
    Ok(out)
}

fn put_text(out: &mut String, text: &str) {
    // A string always has a JSON form.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

fn put(out: &mut String, value: Value<'_>) {
    match value {
        Value::Nil | Value::Ext => out.push_str("null"),
        Value::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        // What is no number has no JSON form; a whole one keeps its point and stays a float.
        Value::Float(value) if value.is_finite() => out.push_str(&format!("{value:?}")),
        Value::Float(_) => out.push_str("null"),
        Value::Str(bytes) => put_text(out, &String::from_utf8_lossy(bytes)),
        Value::Bin(bytes) => put_list(out, bytes.iter().map(|&byte| Value::Int(byte.into()))),
        Value::Array(array) => put_list(out, array.iter()),
        Value::Map(map) => {
            out.push('{');
            for (at, (key, value)) in map.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                match key {
                    Value::Str(bytes) => put_text(out, &String::from_utf8_lossy(bytes)),
                    other => {
                        let mut text = String::new();
                        put(&mut text, other);
                        put_text(out, &text);
                    }
                }
                out.push(':');
                put(out, value);
            }
            out.push('}');
        }
    }
}

fn put_list<'a>(out: &mut String, items: impl Iterator<Item = Value<'a>>) {
    out.push('[');
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(',');
        }
        put(out, item);
    }
    out.push(']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use codec::protocol::pack;

    #[test]
    fn a_message_keeps_its_order_and_its_kinds_of_numbers() {
        let mut frame = Vec::new();
        pack::map(&mut frame, 2);
        pack::string(&mut frame, "type");
        pack::string(&mut frame, "quote");
        pack::string(&mut frame, "data");
        pack::map(&mut frame, 6);
        pack::string(&mut frame, "symbol");
        pack::string(&mut frame, "币\"\n");
        pack::string(&mut frame, "bid_price");
        pack::float(&mut frame, 84143.0);
        pack::string(&mut frame, "ask_price");
        pack::float(&mut frame, 1e-7);
        pack::string(&mut frame, "received_us");
        pack::uint(&mut frame, 1_795_339_252_000_042);
        pack::string(&mut frame, "levels");
        pack::array(&mut frame, 2);
        pack::nil(&mut frame);
        pack::boolean(&mut frame, true);
        pack::string(&mut frame, "nan");
        pack::float(&mut frame, f64::NAN);
        let line = line(&frame).expect("a message");
        assert_eq!(
            line,
            "{\"type\":\"quote\",\"data\":{\"symbol\":\"币\\\"\\n\",\"bid_price\":84143.0,\"ask_price\":1e-7,\
             \"received_us\":1795339252000042,\"levels\":[null,true],\"nan\":null}}\n"
        );
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
    }
}
