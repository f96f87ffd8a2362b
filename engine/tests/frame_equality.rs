//! Our frame reader and tungstenite's see the same messages and the same first fault, in any byte stream.

#[path = "../../codec/tests/support/fuzz.rs"]
mod fuzz;

use engine::frame::{FrameError, FrameReader, Kind};
use proptest::prelude::*;
use std::io::{self, ErrorKind, Read, Write};
use tungstenite::error::{CapacityError, ProtocolError};
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

/// Small, so that messages on both sides of it are common.
const LIMIT: usize = 300;

/// What a reader made of a stream: its messages, then why there are no more (`None`: the stream ended).
type Seen = (Vec<(Kind, Vec<u8>)>, Option<FrameError>);

/// A stream that arrives in pieces and then has nothing more.
struct Pieces<'a> {
    bytes: &'a [u8],
    cuts: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.bytes.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let size = self.cuts.next().copied().unwrap_or(1).min(buffer.len()).min(self.bytes.len());
        buffer[..size].copy_from_slice(&self.bytes[..size]);
        self.bytes = &self.bytes[size..];
        Ok(size)
    }
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn ours(mut pieces: Pieces<'_>) -> Seen {
    let mut reader = FrameReader::new(LIMIT, &[]);
    let mut messages = Vec::new();
    loop {
        match reader.advance() {
            Ok(Some(kind)) => {
                // A close is compared by its code, which is in the kind.
                let closed = matches!(kind, Kind::Close(_));
                messages.push((kind, if closed { Vec::new() } else { reader.payload().to_vec() }));
            }
            Ok(None) => match pieces.read(reader.space()) {
                Ok(bytes) => reader.filled(bytes),
                Err(_) => return (messages, None),
            },
            Err(error) => return (messages, Some(error)),
        }
    }
}

fn theirs(pieces: Pieces<'_>) -> Seen {
    let config = WebSocketConfig::default()
        .max_message_size(Some(LIMIT))
        .max_frame_size(Some(LIMIT))
        .read_buffer_size(64);
    let mut socket = WebSocket::from_raw_socket(pieces, Role::Client, Some(config));
    let mut messages = Vec::new();
    loop {
        match socket.read() {
            Ok(Message::Text(text)) => messages.push((Kind::Text, text.as_bytes().to_vec())),
            Ok(Message::Binary(bytes)) => messages.push((Kind::Binary, bytes.to_vec())),
            Ok(Message::Ping(bytes)) => messages.push((Kind::Ping, bytes.to_vec())),
            Ok(Message::Pong(bytes)) => messages.push((Kind::Pong, bytes.to_vec())),
            Ok(Message::Close(frame)) => {
                messages.push((Kind::Close(frame.map(|frame| frame.code.into())), Vec::new()));
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(error) => return (messages, fault(&error)),
        }
    }
}

fn fault(error: &Error) -> Option<FrameError> {
    Some(match error {
        Error::Io(error) if error.kind() == ErrorKind::WouldBlock => return None,
        Error::Utf8(_) => FrameError::Utf8,
        Error::Capacity(CapacityError::MessageTooLong { .. }) => FrameError::TooLong,
        Error::Protocol(error) => match error {
            ProtocolError::InvalidOpcode(_) => FrameError::Opcode,
            ProtocolError::ReceivedAfterClosing => FrameError::AfterClose,
            ProtocolError::NonZeroReservedBits => FrameError::ReservedBits,
            ProtocolError::MaskedFrameFromServer => FrameError::Masked,
            ProtocolError::FragmentedControlFrame => FrameError::FragmentedControl,
            ProtocolError::ControlFrameTooBig => FrameError::ControlTooLong,
            ProtocolError::InvalidCloseSequence => FrameError::CloseFrame,
            ProtocolError::UnexpectedContinueFrame => FrameError::Continuation,
            ProtocolError::ExpectedFragment(_) => FrameError::Interleaved,
            other => panic!("an error we do not know: {other:?}"),
        },
        other => panic!("an error we do not know: {other:?}"),
    })
}

/// A payload: plain text, text of several bytes a character (whole or cut), or anything.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~]{0,130}".prop_map(String::into_bytes),
        2 => ("[a€𝄞é]{0,60}", 0usize..4).prop_map(|(text, cut)| {
            let bytes = text.into_bytes();
            bytes[..bytes.len() - cut.min(bytes.len())].to_vec()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => (0usize..LIMIT + 20).prop_map(|length| vec![b'x'; length]),
    ]
}

/// One frame, well-formed as a rule.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        6 => Just(1u8), 2 => Just(0u8), 1 => Just(2u8), 1 => Just(9u8), 1 => Just(10u8), 1 => Just(8u8),
        1 => 0u8..16,
    ];
    let rare = |bits: u8| prop_oneof![40 => Just(0u8), 1 => Just(bits)];
    (opcode, prop::bool::weighted(0.7), rare(0x40), rare(0x10), rare(0x80), payload(), 0u8..20, any::<u16>())
        .prop_map(|(opcode, last, rsv1, rsv3, mask, mut payload, form, code)| {
            if opcode == 8 && form < 15 {
                // A close frame usually has a code, and usually a legal one.
                let code = if form < 10 { 1000 + code % 20 } else { code };
                payload.truncate(100);
                payload.splice(0..0, code.to_be_bytes());
            }
            let mut bytes = vec![opcode | u8::from(last) << 7 | rsv1 | rsv3];
            match (payload.len(), form) {
                // Lengths are legal in longer forms than needed.
                (length @ 0..=125, 1..) => bytes.push(length as u8 | mask),
                (length, 0 | 2..) => {
                    bytes.push(126 | mask);
                    bytes.extend((length as u16).to_be_bytes());
                }
                (length, _) => {
                    bytes.push(127 | mask);
                    bytes.extend((length as u64).to_be_bytes());
                }
            }
            if mask != 0 {
                bytes.extend([1, 2, 3, 4]);
            }
            bytes.extend(payload);
            bytes
        })
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::collection::vec(frame(), 0..12), damage).prop_map(|(frames, damage)| {
        let mut bytes = frames.concat();
        if let Some((index, value)) = damage
            && !bytes.is_empty()
        {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        bytes
    })
}

fn compare(mut bytes: Vec<u8>, cuts: &[usize]) -> Result<(), TestCaseError> {
    // Ours refuses a frame by its header, theirs when it is complete: so every frame gets to its end.
    bytes.extend([0; 2 * LIMIT]);
    let pieces = || Pieces { bytes: &bytes, cuts: cuts.iter().cycle() };
    prop_assert_eq!(ours(pieces()), theirs(pieces()));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn frames_read_the_same(bytes in stream(), cuts in prop::collection::vec(1usize..200, 1..10)) {
        compare(bytes, &cuts)?;
    }

    #[test]
    fn noise_reads_the_same(
        bytes in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => Just(0x81), 1 => 0u8..4], 0..80),
        cuts in prop::collection::vec(1usize..20, 1..5),
    ) {
        compare(bytes, &cuts)?;
    }
}

/// Fuzz target: any bytes, in pieces of the sizes that the first two say.
#[test]
fn fuzz_frames() {
    fuzz::run(&fuzz::inputs(include_str!("corpus/frames.txt")), 20_000, |input| {
        let [one, other, bytes @ ..] = input else { return };
        compare(bytes.to_vec(), &[1 + usize::from(*one), 1 + usize::from(*other)])
            .expect("the same messages");
    });
}
