//! JSON taken apart and put together again without touching a single number or text: for faults that rewrite frames.

use crate::random::Random;

/// A value; scalars and keys are kept as they stand in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// Members in their order; keys without quotes.
    Object(Vec<(String, Node)>),
    /// Elements.
    Array(Vec<Node>),
    /// A text with its quotes, a number, `true`, `false` or `null`.
    Scalar(String),
}

/// How deep values may lie in each other; the venues' frames are six deep.
const DEPTH_MAX: usize = 64;

/// Reads a text; `None` if it is not JSON, as far as that shows by its structure.
pub fn parse(text: &str) -> Option<Node> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.space();
    (reader.at == text.len()).then_some(node)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// A text with its quotes.
    fn string(&mut self) -> Option<String> {
        self.space();
        let from = self.at;
        self.take(b'"')?;
        loop {
            match self.peek()? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(from..self.at).map(str::to_owned)
    }

    fn value(&mut self, depth: usize) -> Option<Node> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.space();
        match self.peek()? {
            b'{' => {
                self.at += 1;
                let mut members = Vec::new();
                if self.take(b'}').is_some() {
                    return Some(Node::Object(members));
                }
                loop {
                    let key = self.string()?;
                    self.take(b':')?;
                    members.push((key[1..key.len() - 1].to_owned(), self.value(depth + 1)?));
                    if self.take(b',').is_none() {
                        self.take(b'}')?;
                        return Some(Node::Object(members));
                    }
                }
            }
            b'[' => {
                self.at += 1;
                let mut elements = Vec::new();
                if self.take(b']').is_some() {
                    return Some(Node::Array(elements));
                }
                loop {
                    elements.push(self.value(depth + 1)?);
                    if self.take(b',').is_none() {
                        self.take(b']')?;
                        return Some(Node::Array(elements));
                    }
                }
            }
            b'"' => self.string().map(Node::Scalar),
            _ => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', ']', '}', ' ', '\n', '\r', '\t']).unwrap_or(rest.len());
                self.at += end;
                (end > 0).then(|| Node::Scalar(rest[..end].to_owned()))
            }
        }
    }
}

impl Node {
    /// Appends the value as text.
    pub fn write(&self, text: &mut String) {
        match self {
            Self::Object(members) => {
                text.push('{');
                for (at, (key, value)) in members.iter().enumerate() {
                    text.push_str(if at == 0 { "\"" } else { ",\"" });
                    text.push_str(key);
                    text.push_str("\":");
                    value.write(text);
                }
                text.push('}');
            }
            Self::Array(elements) => {
                text.push('[');
                for (at, element) in elements.iter().enumerate() {
                    if at > 0 {
                        text.push(',');
                    }
                    element.write(text);
                }
                text.push(']');
            }
            Self::Scalar(scalar) => text.push_str(scalar),
        }
    }

    /// The value as text.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Does something to the members of every object.
    pub fn each_object(&mut self, act: &mut impl FnMut(&mut Vec<(String, Node)>)) {
        match self {
            Self::Object(members) => {
                members.iter_mut().for_each(|(_, value)| value.each_object(act));
                act(members);
            }
            Self::Array(elements) => elements.iter_mut().for_each(|element| element.each_object(act)),
            Self::Scalar(_) => {}
        }
    }

    /// Does something to every scalar.
    pub fn each_scalar(&mut self, act: &mut impl FnMut(&mut String)) {
        match self {
            Self::Object(members) => members.iter_mut().for_each(|(_, value)| value.each_scalar(act)),
            Self::Array(elements) => elements.iter_mut().for_each(|element| element.each_scalar(act)),
            Self::Scalar(scalar) => act(scalar),
        }
    }
}

/// Puts elements in another order.
pub fn shuffle<T>(elements: &mut [T], random: &mut Random) {
    for at in (1..elements.len()).rev() {
        elements.swap(at, random.index(at + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_changed_on_the_way_through() {
        for text in [
            r#"{"e":"x","p":"83091.60","n":-1.50e-3,"a":[["1","2"],[]],"o":{},"t":true,"q":"a\"}{\\","u":null}"#,
            "[]",
            "12",
        ] {
            assert_eq!(parse(text).map(|node| node.to_text()).as_deref(), Some(text));
        }
        let spaced = parse(" { \"a\" : [ 1 , 2 ] } ").map(|node| node.to_text());
        assert_eq!(spaced.as_deref(), Some(r#"{"a":[1,2]}"#));
        for wrong in ["", "{", "[1,", r#"{"a"}"#, r#"{"a":1}x"#, r#"{"a":}"#, "\"open", "\"\\"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
