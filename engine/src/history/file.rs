//! The candle file: one series, as bytes.
//!
//! ```text
//!  byte  0            8       10      11         12             16
//!     0  | "SLPCNDL1" | ver   | venue | interval | symbol bytes |     one header of 80 bytes
//!    16  | origin_ms                             |                    0, or: the venue has nothing before
//!    24  | symbol, 48 bytes, zero-padded                        |
//!    72  | CRC-32C of the 72 bytes before | zero |
//!    80  | row | row | row …                                          rows of 72 bytes
//!
//!  row   | start_ms | open | high | low | close | volume low, high | trades | CRC-32C | zero |
//! ```
//!
//! Little-endian. Rows are in the order in which they became known: one of the same start as an earlier one
//! replaces it, and one that starts before others belongs before them. A row whose checksum does not hold is
//! skipped, a piece of a row at the end is cut off. So whatever happens to a file, a row that comes out of it
//! is one that was put in.

use codec::candle::Candle;
use codec::decimal::{Price, Volume};
use codec::limits::NAME_BYTES_MAX;
use codec::words::{Interval, Venue};
use std::collections::BTreeMap;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// Bytes of a header.
pub(super) const HEADER_BYTES: usize = size_of::<Header>();
/// Bytes of a row.
pub(super) const ROW_BYTES: usize = size_of::<Row>();

const MAGIC: [u8; 8] = *b"SLPCNDL1";
const VERSION: u16 = 1;

/// Which series a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeriesName<'a> {
    /// The venue.
    pub venue: Venue,
    /// The venue's symbol.
    pub symbol: &'a str,
    /// The interval.
    pub interval: Interval,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    version: u16,
    venue: u8,
    interval: u8,
    symbol_bytes: u32,
    origin_ms: u64,
    symbol: [u8; NAME_BYTES_MAX],
    checksum: u32,
    reserved: u32,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Row {
    start_ms: u64,
    open: Price,
    high: Price,
    low: Price,
    close: Price,
    volume_low: u64,
    volume_high: i64,
    num_trades: u64,
    checksum: u32,
    reserved: u32,
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// By start, each once, the later of two.
    pub rows: Vec<Candle>,
    /// The venue has nothing before this start; 0: not known.
    pub origin_ms: u64,
    /// Rows that were written, replaced ones included.
    pub written: usize,
    /// Rows whose checksum does not hold.
    pub damaged: usize,
    /// Bytes after the last whole row.
    pub torn_bytes: usize,
}

/// Why a file is not one of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// Its header cannot be read.
    Header,
    /// It is another series'.
    Series,
}

/// A header.
pub(super) fn header(name: SeriesName<'_>, origin_ms: u64) -> [u8; HEADER_BYTES] {
    let mut header = Header::new_zeroed();
    header.magic = MAGIC;
    header.version = VERSION;
    header.venue = name.venue.number();
    header.interval = name.interval.number();
    header.symbol_bytes = name.symbol.len() as u32;
    header.origin_ms = origin_ms;
    // Instruments with longer names are not carried.
    let length = name.symbol.len().min(NAME_BYTES_MAX);
    header.symbol[..length].copy_from_slice(&name.symbol.as_bytes()[..length]);
    header.checksum = checksum(&header.as_bytes()[..HEADER_BYTES - 8]);
    let mut bytes = [0; HEADER_BYTES];
    bytes.copy_from_slice(header.as_bytes());
    bytes
}

/// Appends rows.
pub(super) fn put(bytes: &mut Vec<u8>, rows: &[Candle]) {
    bytes.reserve(rows.len() * ROW_BYTES);
    for candle in rows {
        let mut row = Row {
            start_ms: candle.start_ms,
            open: candle.open,
            high: candle.high,
            low: candle.low,
            close: candle.close,
            volume_low: candle.volume.raw() as u64,
            volume_high: (candle.volume.raw() >> 64) as i64,
            num_trades: candle.num_trades,
            checksum: 0,
            reserved: 0,
        };
        row.checksum = checksum(&row.as_bytes()[..ROW_BYTES - 8]);
        bytes.extend_from_slice(row.as_bytes());
    }
}

/// Reads a file.
pub(super) fn read(name: SeriesName<'_>, bytes: &[u8]) -> Result<Contents, NotOurs> {
    let (found, rows) = Header::read_from_prefix(bytes).map_err(|_| NotOurs::Header)?;
    let sound = found.checksum == checksum(&bytes[..HEADER_BYTES - 8]) && found.reserved == 0;
    if !sound || found.magic != MAGIC || found.version != VERSION {
        return Err(NotOurs::Header);
    }
    if header(name, found.origin_ms) != found.as_bytes() {
        return Err(NotOurs::Series);
    }
    let mut contents = Contents { origin_ms: found.origin_ms, ..Contents::default() };
    let mut by_start = BTreeMap::new();
    let mut chunks = rows.chunks_exact(ROW_BYTES);
    for bytes in &mut chunks {
        contents.written += 1;
        match Row::read_from_bytes(bytes) {
            Ok(row) if row.checksum == checksum(&bytes[..ROW_BYTES - 8]) && row.reserved == 0 => {
                by_start.insert(row.start_ms, row.candle());
            }
            _ => contents.damaged += 1,
        }
    }
    contents.torn_bytes = chunks.remainder().len();
    contents.rows = by_start.into_values().collect();
    Ok(contents)
}

impl Row {
    const fn candle(&self) -> Candle {
        Candle {
            start_ms: self.start_ms,
            open: self.open,
            high: self.high,
            low: self.low,
            close: self.close,
            volume: Volume::from_raw(((self.volume_high as i128) << 64) | self.volume_low as i128),
            num_trades: self.num_trades,
        }
    }
}

/// CRC-32C (Castagnoli), a byte at a time: a series has 150 KB, read once per start.
fn checksum(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let mut table = [0u32; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ TABLE[(crc as u8 ^ byte) as usize])
}

#[cfg(test)]
#[path = "../../../codec/tests/support/fuzz.rs"]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::fuzz;
    use super::*;
    use codec::decimal::Size;
    use proptest::prelude::*;

    const NAME: SeriesName<'static> =
        SeriesName { venue: Venue::Binance, symbol: "币安人生USDT", interval: Interval::M15 };

    fn candle(start_ms: u64, price: i64) -> Candle {
        Candle {
            volume: Volume::from_raw(i128::from(i64::MAX) * 1000 + 7),
            ..Candle::of_trade(start_ms, Price::from_raw(price), Size::from_raw(5))
        }
    }

    fn file(rows: &[Candle]) -> Vec<u8> {
        let mut bytes = header(NAME, 9).to_vec();
        put(&mut bytes, rows);
        bytes
    }

    #[test]
    fn the_layout_is_as_drawn() {
        assert_eq!((HEADER_BYTES, ROW_BYTES), (80, 72));
        assert_eq!(checksum(&[0; 32]), 0x8A91_36AA, "RFC 3720 B.4");
        let bytes = file(&[candle(0x0102, 3)]);
        assert_eq!(&bytes[..12], b"SLPCNDL1\x01\x00\x02\x04");
        assert_eq!(&bytes[80..90], &[2, 1, 0, 0, 0, 0, 0, 0, 3, 0]);
    }

    #[test]
    fn the_later_row_of_a_period_counts_and_order_does_not() {
        let rows = [candle(30, 1), candle(40, 2), candle(30, 3), candle(20, 4)];
        let contents = read(NAME, &file(&rows)).unwrap();
        assert_eq!(contents.rows, [rows[3], rows[2], rows[1]]);
        assert_eq!((contents.written, contents.damaged, contents.origin_ms), (4, 0, 9));
    }

    #[test]
    fn another_series_file_is_not_ours() {
        let bytes = file(&[]);
        for name in [
            SeriesName { venue: Venue::Hyperliquid, ..NAME },
            SeriesName { symbol: "BTC", ..NAME },
            SeriesName { interval: Interval::Month1, ..NAME },
        ] {
            assert_eq!(read(name, &bytes), Err(NotOurs::Series));
        }
        assert_eq!(read(NAME, &bytes[..79]), Err(NotOurs::Header));
        assert_eq!(read(NAME, b""), Err(NotOurs::Header));
    }

    /// The fault: any one byte is not what was written.
    #[test]
    fn a_flipped_byte_anywhere_never_gives_a_wrong_row() {
        let rows = [candle(10, 1), candle(20, 2), candle(30, 3)];
        let sound = file(&rows);
        for at in 0..sound.len() {
            for flip in [1u8, 0x80, 0xFF] {
                let mut bytes = sound.clone();
                bytes[at] ^= flip;
                match read(NAME, &bytes) {
                    Err(_) => assert!(at < HEADER_BYTES, "{at}"),
                    Ok(contents) => {
                        let hit = (at - HEADER_BYTES) / ROW_BYTES;
                        let mut expected = rows.to_vec();
                        expected.remove(hit);
                        assert_eq!((contents.rows, contents.damaged), (expected, 1), "{at}");
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn whatever_is_cut_off_or_appended_rows_stay_true(
            starts in proptest::collection::vec(0u64..50, 0..20),
            cut in 0usize..1600,
            garbage in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let rows: Vec<Candle> =
                starts.iter().enumerate().map(|(i, start)| candle(*start, i as i64)).collect();
            let mut bytes = file(&rows);
            bytes.truncate(cut);
            bytes.extend(&garbage);
            if let Ok(contents) = read(NAME, &bytes) {
                for row in &contents.rows {
                    prop_assert!(rows.contains(row));
                }
                prop_assert!(contents.rows.windows(2).all(|pair| pair[0].start_ms < pair[1].start_ms));
            }
        }

        #[test]
        fn garbage_is_no_file(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(read(NAME, &bytes).is_err());
        }
    }
    /// Fuzz target: any bytes as a file, and as rows whose checksums hold.
    #[test]
    fn fuzz_candle_files() {
        let mut inputs = fuzz::inputs(include_str!("../../tests/corpus/candle_files.txt"));
        inputs.push(file(&[candle(20, 4), candle(10, 1), candle(20, 5)]));
        fuzz::run(&inputs, 10_000, |input| {
            let _ = read(NAME, input);
            let mut sealed = header(NAME, 9).to_vec();
            let mut starts = Vec::new();
            for row in input.chunks_exact(ROW_BYTES) {
                let mut row: [u8; ROW_BYTES] = row.try_into().unwrap();
                let sum = checksum(&row[..ROW_BYTES - 8]);
                row[ROW_BYTES - 8..ROW_BYTES - 4].copy_from_slice(&sum.to_le_bytes());
                row[ROW_BYTES - 4..].fill(0);
                starts.push(u64::from_le_bytes(row[..8].try_into().unwrap()));
                sealed.extend(row);
            }
            let contents = read(NAME, &sealed).expect("a sound file");
            assert_eq!((contents.written, contents.damaged, contents.torn_bytes), (starts.len(), 0, 0));
            starts.sort_unstable();
            starts.dedup();
            assert!(contents.rows.iter().map(|row| row.start_ms).eq(starts));
            let mut again = header(NAME, 9).to_vec();
            put(&mut again, &contents.rows);
            assert_eq!(read(NAME, &again).map(|again| again.rows), Ok(contents.rows));
        });
    }
}
