//! Writing MessagePack into a reused buffer.
//!
//! Integers of messages are written at full width: a message of one kind then has one layout, and the
//! price is a few bytes on a local socket.

/// Appends nil.
#[inline]
pub fn nil(out: &mut Vec<u8>) {
    out.push(0xC0);
}

/// Appends a boolean.
#[inline]
pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(if value { 0xC3 } else { 0xC2 });
}

/// Appends an unsigned integer, nine bytes.
#[inline]
pub fn uint(out: &mut Vec<u8>, value: u64) {
    let mut bytes = [0xCF, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends a signed integer, nine bytes.
#[inline]
pub fn int(out: &mut Vec<u8>, value: i64) {
    let mut bytes = [0xD3, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends an unsigned integer or, without one, nil.
#[inline]
pub fn uint_or_nil(out: &mut Vec<u8>, value: Option<u64>) {
    match value {
        Some(value) => uint(out, value),
        None => nil(out),
    }
}

/// Appends a float64, nine bytes, whole numbers included.
#[inline]
pub fn float(out: &mut Vec<u8>, value: f64) {
    let mut bytes = [0xCB, 0, 0, 0, 0, 0, 0, 0, 0];
    bytes[1..].copy_from_slice(&value.to_be_bytes());
    out.extend_from_slice(&bytes);
}

/// Appends a float64 or, without one, nil.
#[inline]
pub fn float_or_nil(out: &mut Vec<u8>, value: Option<f64>) {
    match value {
        Some(value) => float(out, value),
        None => nil(out),
    }
}

/// Appends a string.
#[inline]
pub fn string(out: &mut Vec<u8>, text: &str) {
    string_bytes(out, text.as_bytes());
}

/// Appends a string whose bytes are UTF-8.
#[inline]
pub fn string_bytes(out: &mut Vec<u8>, text: &[u8]) {
    match text.len() {
        length @ 0..=31 => out.push(0xA0 | length as u8),
        length @ 32..=0xFF => out.extend_from_slice(&[0xD9, length as u8]),
        length @ 0x100..=0xFFFF => {
            out.push(0xDA);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            out.push(0xDB);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

/// Appends a string or, without one, nil.
#[inline]
pub fn string_or_nil(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => nil(out),
    }
}

/// Appends raw bytes.
pub fn binary(out: &mut Vec<u8>, bytes: &[u8]) {
    binary_head(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the head of raw bytes, five bytes whatever their number.
#[inline]
pub fn binary_head(out: &mut Vec<u8>, length: usize) {
    out.push(0xC6);
    out.extend_from_slice(&(length as u32).to_be_bytes());
}

/// Appends the head of an array.
#[inline]
pub fn array(out: &mut Vec<u8>, length: usize) {
    match length {
        0..=15 => out.push(0x90 | length as u8),
        16..=0xFFFF => {
            out.push(0xDC);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xDD);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

/// Appends the head of a map.
#[inline]
pub fn map(out: &mut Vec<u8>, length: usize) {
    match length {
        0..=15 => out.push(0x80 | length as u8),
        16..=0xFFFF => {
            out.push(0xDE);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xDF);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}
