//! WebSocket frames as bytes (RFC 6455, from a server: never masked), for what a library would not send.
//!
//! ```text
//! │ FIN, opcode │ length │ length of more than 125: 2 bytes, of more than 65,535: 8 │ payload │
//! ```

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment.
    Continuation = 0,
    /// Text, or the first fragment of one.
    Text = 1,
    /// Binary.
    Binary = 2,
    /// The end.
    Close = 8,
    /// A ping.
    Ping = 9,
}

/// Appends a frame; `last`: no fragment of the same message follows.
pub fn push_frame(bytes: &mut Vec<u8>, opcode: Opcode, last: bool, payload: &[u8]) {
    const FIN: u8 = 0x80;
    bytes.push(opcode as u8 | if last { FIN } else { 0 });
    match payload.len() {
        length @ 0..=125 => bytes.push(length as u8),
        length @ 126..=0xFFFF => {
            bytes.push(126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(payload);
}

/// One whole frame.
pub fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 10);
    push_frame(&mut bytes, opcode, true, payload);
    bytes
}

/// A text in fragments.
pub fn fragments(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        let opcode = if at == 0 { Opcode::Text } else { Opcode::Continuation };
        push_frame(&mut bytes, opcode, at + 1 == parts.len(), part);
    }
    bytes
}

/// A frame that is never sent whole: what it would have said does not matter.
pub fn unfinished() -> Vec<u8> {
    const LENGTH: usize = 200;
    frame(Opcode::Text, &[b' '; LENGTH])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tungstenite::protocol::Role;
    use tungstenite::{Message, WebSocket};

    #[test]
    fn a_client_reads_what_was_written() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let text = "x".repeat(length);
            let bytes = frame(Opcode::Text, text.as_bytes());
            let mut client = WebSocket::from_raw_socket(std::io::Cursor::new(bytes), Role::Client, None);
            assert_eq!(client.read().expect("a message"), Message::text(text));
        }
        let parts = ["{\"a\":\"币".as_bytes()[..8].to_vec(), "币".as_bytes()[2..].to_vec(), b"\"}".to_vec()];
        let mut client =
            WebSocket::from_raw_socket(std::io::Cursor::new(fragments(&parts)), Role::Client, None);
        assert_eq!(client.read().expect("a message"), Message::text("{\"a\":\"币\"}"));
    }
}
