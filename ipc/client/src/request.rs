//! Building requests.

use rmpv::Value;

/// A request being built.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    fields: Vec<(Value, Value)>,
}

/// A request of a type.
#[must_use]
pub fn request(kind: &str) -> Request {
    Request { fields: vec![("type".into(), kind.into())] }
}

impl Request {
    /// With a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// With a venue.
    #[must_use]
    pub fn venue(self, venue: &str) -> Self {
        self.with("venue", venue)
    }

    /// With a symbol.
    #[must_use]
    pub fn symbol(self, symbol: &str) -> Self {
        self.with("symbol", symbol)
    }

    /// The request that ends this subscription.
    #[must_use]
    pub fn unsubscribe(&self) -> Self {
        request("unsubscribe").with("subscription", self.value())
    }

    /// As a MessagePack map.
    #[must_use]
    pub fn value(&self) -> Value {
        Value::Map(self.fields.clone())
    }

    /// Appends it as a frame, with an id.
    pub(crate) fn put(&self, id: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; 4]);
        let mut fields = self.fields.clone();
        fields.push(("id".into(), id.into()));
        // Writing into memory does not fail.
        let _ = rmpv::encode::write_value(out, &Value::Map(fields));
        let bytes = (out.len() - start - 4) as u32;
        out[start..start + 4].copy_from_slice(&bytes.to_be_bytes());
    }
}
