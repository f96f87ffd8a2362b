//! A request: a checked map with a type, an id to echo, and fields read with errors that help.

use super::error::ErrorCode;
use super::pack;
use super::unpack::{Array, Malformed, Map, Value};

/// Bytes of an `id` that is a string; nobody needs a longer one. A request with more is refused, with its id.
pub const ID_BYTES_MAX: usize = 1024;

/// What a client puts into a request to find its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Id<'a> {
    /// An integer of 64 bits, signed or not.
    Int(i128),
    /// A string.
    Str(&'a str),
}

impl Id<'_> {
    /// Appends it as it came.
    pub fn put(&self, out: &mut Vec<u8>) {
        match *self {
            Self::Int(value) => match u64::try_from(value) {
                Ok(value) => pack::uint(out, value),
                // MessagePack has no integer below i64.
                Err(_) => pack::int(out, value as i64),
            },
            Self::Str(text) => pack::string(out, text),
        }
    }
}

/// A request that is refused: the code, and a sentence on what is wrong and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub code: ErrorCode,
    /// The sentence.
    pub message: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::new(ErrorCode::Malformed, malformed.to_string())
    }
}

/// A request, borrowed from its frame.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// What is asked.
    pub kind: &'a str,
    /// To be echoed.
    pub id: Option<Id<'a>>,
    fields: Map<'a>,
}

/// The id of a request as far as it can be told, whatever else is wrong with it; an error with the id to echo.
fn read_id<'a>(fields: &Map<'a>) -> Result<Option<Id<'a>>, (Option<Id<'a>>, Refusal)> {
    let refuse = |id, message: String| Err((id, Refusal::new(ErrorCode::BadRequest, message)));
    match fields.get("id") {
        None | Some(Value::Nil) => Ok(None),
        Some(Value::Int(value)) => Ok(Some(Id::Int(value))),
        Some(value @ Value::Str(bytes)) => match value.as_str() {
            Some(text) if bytes.len() <= ID_BYTES_MAX => Ok(Some(Id::Str(text))),
            Some(text) => refuse(
                Some(Id::Str(text)),
                format!("`id` has {} bytes; at most {ID_BYTES_MAX} are allowed", bytes.len()),
            ),
            None => refuse(None, "`id` is not valid UTF-8".to_owned()),
        },
        Some(other) => refuse(None, format!("`id` is {}; an integer or a string is echoed", other.what())),
    }
}

impl<'a> Request<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    /// With the id to echo, if one could be read.
    pub fn read(frame: &'a [u8]) -> Result<Self, (Option<Id<'a>>, Refusal)> {
        let fields = Map::read(frame).map_err(|malformed| (None, malformed.into()))?;
        Self::of(fields)
    }

    /// The request a map holds: a frame's, or the one given to `unsubscribe`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of(fields: Map<'a>) -> Result<Self, (Option<Id<'a>>, Refusal)> {
        let id = read_id(&fields)?;
        let request = Self { kind: "", id, fields };
        let kind = request.text("type").map_err(|refusal| (id, refusal))?;
        Ok(Self { kind, ..request })
    }

    /// The same request under another's id: the map given to `unsubscribe`, answered to whoever gave it.
    #[must_use]
    pub const fn with_id(self, id: Option<Id<'a>>) -> Self {
        Self { id, ..self }
    }

    /// A field; nil counts as absent.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Value<'a>> {
        self.fields.get(name).filter(|value| *value != Value::Nil)
    }

    /// A text that must be there.
    ///
    /// # Errors
    /// `bad_request` when it is missing or no text.
    pub fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        self.text_or_none(name)?.ok_or_else(|| {
            Refusal::new(ErrorCode::BadRequest, format!("`{name}` is missing; it must be a string"))
        })
    }

    /// A text that may be absent.
    ///
    /// # Errors
    /// `bad_request` when it is no text.
    pub fn text_or_none(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        let Some(value) = self.field(name) else { return Ok(None) };
        match (value, value.as_str()) {
            (_, Some(text)) => Ok(Some(text)),
            (Value::Str(_), None) => {
                Err(Refusal::new(ErrorCode::BadRequest, format!("`{name}` is not valid UTF-8")))
            }
            _ => Err(Refusal::new(
                ErrorCode::BadRequest,
                format!("`{name}` is {}; it must be a string", value.what()),
            )),
        }
    }

    /// A whole number of at least one, that may be absent; one beyond `usize` counts as its largest.
    ///
    /// # Errors
    /// `code` when it is something else.
    pub fn at_least_one(&self, name: &str, code: ErrorCode) -> Result<Option<usize>, Refusal> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::Int(value)) if value >= 1 => Ok(Some(usize::try_from(value).unwrap_or(usize::MAX))),
            Some(Value::Int(value)) => {
                Err(Refusal::new(code, format!("`{name}` is {value}; it must be at least 1")))
            }
            Some(other) => Err(Refusal::new(
                code,
                format!("`{name}` is {}; it must be an integer of at least 1", other.what()),
            )),
        }
    }

    /// A yes or no, no when absent.
    ///
    /// # Errors
    /// `bad_request` when it is something else.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(value),
            Some(other) => Err(Refusal::new(
                ErrorCode::BadRequest,
                format!("`{name}` is {}; it must be a boolean", other.what()),
            )),
        }
    }

    /// A list that must be there.
    ///
    /// # Errors
    /// `bad_request` when it is missing or no list.
    pub fn list(&self, name: &str) -> Result<Array<'a>, Refusal> {
        let wrong = |what: &str| {
            Refusal::new(ErrorCode::BadRequest, format!("`{name}` is {what}; it must be an array of strings"))
        };
        match self.field(name) {
            Some(Value::Array(array)) => Ok(array),
            Some(other) => Err(wrong(other.what())),
            None => Err(wrong("missing")),
        }
    }

    /// A map that must be there.
    ///
    /// # Errors
    /// `bad_request` when it is missing or no map.
    pub fn map(&self, name: &str) -> Result<Map<'a>, Refusal> {
        let wrong = |what: &str| {
            Refusal::new(
                ErrorCode::BadRequest,
                format!("`{name}` is {what}; it must be the map of the subscribe request"),
            )
        };
        match self.field(name) {
            Some(Value::Map(map)) => Ok(map),
            Some(other) => Err(wrong(other.what())),
            None => Err(wrong("missing")),
        }
    }
}
