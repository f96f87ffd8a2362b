//! A reply of candles, encoded a piece per turn.
//!
//! 200 symbols × 1,100 candles are 42 MB as rows, so nothing is copied when they are asked for but where each
//! series ended then. A symbol's rows are copied when its turn comes and written from that copy: each is of
//! one moment, and all end with the period that ran when they were asked for (unless a client is so slow that
//! retention has overtaken it). A row of one symbol always takes the same bytes and a series never gets
//! shorter, so the frame's length is known before its first row.
//!
//! ```text
//!  get_candles         [row, row, …]
//!  batch, rows         {symbol: [row, row, …], …}
//!  batch, columns      {symbol: {field: bin of n × 8 bytes, little-endian, …}, …}
//! ```

use crate::limits::CANDLE_REPLY_BYTES_MAX;
use crate::replica::Replica;
use crate::replica::candle_row::Row;
use crate::topic::Slot;
use codec::candle::Candle;
use codec::protocol::message::{Frame, Names, put_candle};
use codec::protocol::pack;
use codec::protocol::request::Id;
use codec::time::Now;
use codec::words::Interval;

/// What the reply looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `candles`: one symbol's rows.
    Single,
    /// `candles_batch` with layout `"rows"`.
    Rows,
    /// `candles_batch` with layout `"columns"`.
    Columns,
}

/// Fields of layout `"columns"`, in order.
pub const COLUMNS: [&str; 8] =
    ["timestamp", "open", "high", "low", "close", "volume", "num_trades", "closed"];

/// Values of a column written at a time.
const COLUMN_PIECE: usize = 512;

/// One symbol's part.
#[derive(Clone, Copy, Debug)]
struct Part {
    slot: Slot,
    count: usize,
    last_start_s: u32,
}

/// The reply would be longer than [`CANDLE_REPLY_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// Its candles.
    pub candles: usize,
    /// Its bytes.
    pub bytes: u64,
}

/// See the module.
#[derive(Debug)]
pub struct CandleReply {
    interval: Interval,
    shape: Shape,
    parts: Box<[Part]>,
    /// The frame up to the first part; empty once written.
    head: Vec<u8>,
    /// Bytes still to come.
    left: u64,
    /// The part that is being written, and whether its copy is made.
    place: usize,
    begun: bool,
    rows: Vec<Row>,
    column: usize,
    row: usize,
}

impl CandleReply {
    /// A reply of at most `count` candles of each of these instruments, which carry `interval`.
    ///
    /// # Errors
    /// [`TooLong`].
    pub fn new(
        id: Option<Id<'_>>,
        (shape, interval): (Shape, Interval),
        (slots, count): (&[Slot], usize),
        replica: &Replica,
        now: Now,
    ) -> Result<Self, TooLong> {
        let part = |slot: &Slot| {
            let series = replica.instrument(*slot).series(interval);
            Part {
                slot: *slot,
                count: series.map_or(0, |series| series.shown(now).min(count)),
                last_start_s: series.map_or(0, |series| series.last_start_s(now)),
            }
        };
        let parts: Box<[Part]> = slots.iter().map(part).collect();
        let mut head = Vec::with_capacity(64);
        let _open =
            Frame::begin(&mut head, id, if shape == Shape::Single { "candles" } else { "candles_batch" });
        if shape != Shape::Single {
            pack::map(&mut head, parts.len());
        }
        let mut scratch = Vec::new();
        let bytes: u64 = parts
            .iter()
            .map(|part| {
                scratch.clear();
                put_part_head(&mut scratch, shape, replica, part);
                let of_head = scratch.len() as u64;
                of_head
                    + values_bytes(&mut scratch, shape, interval, &replica.instrument(part.slot).names, part)
            })
            .sum();
        let frame_bytes = head.len() as u64 + bytes;
        if frame_bytes > CANDLE_REPLY_BYTES_MAX {
            let candles = parts.iter().map(|part| part.count).sum();
            return Err(TooLong { candles, bytes: frame_bytes });
        }
        head[..4].copy_from_slice(&((frame_bytes - 4) as u32).to_be_bytes());
        Ok(Self {
            interval,
            shape,
            parts,
            head,
            left: frame_bytes,
            place: 0,
            begun: false,
            rows: Vec::new(),
            column: 0,
            row: 0,
        })
    }

    /// Bytes it holds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.head.capacity() + size_of_val(&*self.parts) + self.rows.capacity() * size_of::<Row>()
    }

    /// Goes on for about `budget` bytes. Whether it is done.
    pub fn go_on(&mut self, out: &mut Vec<u8>, replica: &Replica, now: Now, budget: usize) -> bool {
        let start = out.len();
        out.append(&mut self.head);
        let mut done = true;
        while let Some(part) = self.parts.get(self.place).copied() {
            if out.len() - start >= budget {
                done = false;
                break;
            }
            let instrument = replica.instrument(part.slot);
            if !self.begun {
                self.rows.clear();
                if let Some(series) = instrument.series(self.interval) {
                    series.copy(part.count, part.last_start_s, now, &mut self.rows);
                }
                put_part_head(out, self.shape, replica, &part);
                (self.begun, self.column, self.row) = (true, 0, 0);
            }
            let whole = if self.shape == Shape::Columns {
                self.put_column_piece(out)
            } else {
                self.put_row(out, &instrument.names)
            };
            if whole {
                self.begun = false;
                self.place += 1;
            }
        }
        self.left -= (out.len() - start) as u64;
        debug_assert!(!done || self.left == 0, "the frame has the length it announced");
        done
    }

    /// Appends one row. Whether it was the part's last.
    fn put_row(&mut self, out: &mut Vec<u8>, names: &Names) -> bool {
        if let Some(row) = self.rows.get(self.row) {
            put_candle(out, names, row.recv_ns(), &row.body(self.interval));
            self.row += 1;
        }
        self.row == self.rows.len()
    }

    /// Appends a piece of a column. Whether it was the part's last.
    fn put_column_piece(&mut self, out: &mut Vec<u8>) -> bool {
        if self.row == 0 {
            put_column_head(out, self.column, self.rows.len());
        }
        let end = self.rows.len().min(self.row + COLUMN_PIECE);
        let column = self.column;
        out.extend(self.rows[self.row..end].iter().flat_map(|row| column_value(row, column)));
        self.row = end;
        if end == self.rows.len() {
            (self.column, self.row) = (self.column + 1, 0);
        }
        self.column == COLUMNS.len()
    }
}

fn put_part_head(out: &mut Vec<u8>, shape: Shape, replica: &Replica, part: &Part) {
    if shape != Shape::Single {
        pack::string(out, &replica.instrument(part.slot).symbol);
    }
    if shape == Shape::Columns {
        pack::map(out, COLUMNS.len());
    } else {
        pack::array(out, part.count);
    }
}

/// Bytes of what follows a part's head.
fn values_bytes(scratch: &mut Vec<u8>, shape: Shape, interval: Interval, names: &Names, part: &Part) -> u64 {
    scratch.clear();
    let count = part.count as u64;
    if shape == Shape::Columns {
        for column in 0..COLUMNS.len() {
            put_column_head(scratch, column, part.count);
        }
        return scratch.len() as u64 + count * (8 * COLUMNS.len() as u64);
    }
    let any = Candle::flat(0, codec::decimal::Price::ZERO);
    put_candle(scratch, names, 0, &any.body(interval, true, false));
    count * scratch.len() as u64
}

fn put_column_head(out: &mut Vec<u8>, column: usize, count: usize) {
    pack::string(out, COLUMNS[column]);
    pack::binary_head(out, 8 * count);
}

fn column_value(row: &Row, column: usize) -> [u8; 8] {
    let candle = row.candle();
    match column {
        0 => i64::from(row.start_s()).to_le_bytes(),
        1 => candle.open.to_f64().to_le_bytes(),
        2 => candle.high.to_f64().to_le_bytes(),
        3 => candle.low.to_f64().to_le_bytes(),
        4 => candle.close.to_f64().to_le_bytes(),
        5 => candle.volume.to_f64().to_le_bytes(),
        6 => (candle.num_trades as i64).to_le_bytes(),
        _ => i64::from(row.is_closed()).to_le_bytes(),
    }
}
