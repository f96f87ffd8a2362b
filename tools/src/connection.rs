//! Finding the daemon and greeting it.

use crate::error::ToolError;
use codec::protocol::PROTOCOL;
use slipstream_client::{Client, ClientError, Value};
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon listens unless told otherwise, in the order they are tried.
pub const DEFAULT_SOCKETS: [&str; 2] = ["/var/run/slipstream/mktdata.sock", "/tmp/slipstream-mktdata.sock"];

/// How long the daemon may take for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that has been greeted.
#[derive(Debug)]
pub struct Connection {
    /// The client.
    pub client: Client,
    /// The venues the daemon carries.
    pub venues: Vec<String>,
}

impl Connection {
    /// Connects to the first socket that answers; `name` is what the daemon calls this client.
    ///
    /// # Errors
    /// [`ToolError::NotRunning`] with every path tried, [`ToolError::Protocol`] when something else answers.
    pub fn open(sockets: &[PathBuf], name: &str) -> Result<Self, ToolError> {
        let mut tried = Vec::new();
        for path in sockets {
            match Client::connect(path) {
                Ok(client) => return Self::greet(client, name),
                Err(ClientError::Connect { path, source }) => tried.push((path, source)),
                Err(other) => return Err(other.into()),
            }
        }
        Err(ToolError::NotRunning { tried })
    }

    fn greet(mut client: Client, name: &str) -> Result<Self, ToolError> {
        client.set_reply_timeout(REPLY_TIMEOUT);
        let hello = client.hello(name, "msgpack")?;
        let protocol = field(&hello, "protocol").and_then(Value::as_u64);
        if protocol != Some(PROTOCOL) {
            let theirs = protocol.map_or("none".to_owned(), |protocol| protocol.to_string());
            return Err(ToolError::Protocol(format!("its protocol is {theirs}, this program's {PROTOCOL}")));
        }
        let venues = field(&hello, "venues").map(texts).unwrap_or_default();
        Ok(Self { client, venues })
    }
}

impl From<ClientError> for ToolError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Connect { path, source } => Self::NotRunning { tried: vec![(path, source)] },
            ClientError::Refused { code, message } => Self::Refused { code, message },
            ClientError::Closed => Self::Lost(String::new()),
            ClientError::Io(error) => Self::Lost(error.to_string()),
            ClientError::Timeout(_) => Self::Lost("it does not answer".to_owned()),
            other => Self::Protocol(other.to_string()),
        }
    }
}

/// A value of a map.
pub fn field<'a>(map: &'a Value, name: &str) -> Option<&'a Value> {
    map.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value)
}

/// The texts of an array.
pub fn texts(array: &Value) -> Vec<String> {
    array.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}
