//! A long reply, encoded a piece per turn.
//!
//! Its frame begins with its length, so the rows are encoded twice: once to be measured, once to be
//! written; either way at most a budget of bytes per turn. The rows are a copy taken when the request
//! was read, so the reply is of one moment.

use crate::candle_reply::CandleReply;
use crate::replica::Replica;
use crate::replica::history::{BookRow, QuoteRow, TradeRow};
use codec::protocol::message::{BookMeta, Extra, Frame, Names, put_book, put_quote, put_trade};
use codec::protocol::pack;
use codec::protocol::request::Id;
use codec::time::Now;

/// A reply that takes several turns.
#[derive(Debug)]
pub enum Long {
    /// Rows of one kind that were copied.
    Rows(LongReply),
    /// Candles, read from the replica as they are written.
    Candles(CandleReply),
}

impl Long {
    /// Bytes it holds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        match self {
            Self::Rows(reply) => reply.held_bytes(),
            Self::Candles(reply) => reply.held_bytes(),
        }
    }

    /// Goes on for about `budget` bytes, `scratch` being room to measure in. Whether it is done.
    pub fn go_on(
        &mut self,
        out: &mut Vec<u8>,
        scratch: &mut Vec<u8>,
        replica: &Replica,
        now: Now,
        budget: usize,
    ) -> bool {
        match self {
            Self::Rows(reply) => reply.go_on(out, scratch, budget),
            Self::Candles(reply) => reply.go_on(out, replica, now, budget),
        }
    }
}

/// What the rows are.
#[derive(Clone, Debug)]
pub enum Rows {
    /// `trades`.
    Trades(Vec<TradeRow>),
    /// `quotes`.
    Quotes(Vec<QuoteRow>),
    /// `orderbook_history`.
    Books {
        /// The books.
        rows: Vec<BookRow>,
        /// Levels a side.
        depth: usize,
    },
}

impl Rows {
    fn len(&self) -> usize {
        match self {
            Self::Trades(rows) => rows.len(),
            Self::Quotes(rows) => rows.len(),
            Self::Books { rows, .. } => rows.len(),
        }
    }

    fn held_bytes(&self) -> usize {
        match self {
            Self::Trades(rows) => rows.capacity() * size_of::<TradeRow>(),
            Self::Quotes(rows) => rows.capacity() * size_of::<QuoteRow>(),
            Self::Books { rows, .. } => rows.capacity() * size_of::<BookRow>(),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Trades(_) => "trades",
            Self::Quotes(_) => "quotes",
            Self::Books { .. } => "orderbook_history",
        }
    }

    fn put(&self, index: usize, names: &Names, out: &mut Vec<u8>) {
        match self {
            Self::Trades(rows) => {
                let row = &rows[index];
                put_trade(out, names, row.times, &row.body, row.backfill);
            }
            Self::Quotes(rows) => {
                put_quote(out, names, rows[index].times, &rows[index].body, Extra::default())
            }
            Self::Books { rows, depth } => {
                let row = &rows[index];
                let fresh_levels = row.meta.fresh_levels.min(*depth as _);
                let meta = BookMeta { fresh_levels, ..row.meta };
                put_book(out, names, &meta, row.bids(*depth), row.asks(*depth), Extra::default());
            }
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct LongReply {
    names: Names,
    rows: Rows,
    /// The frame up to the first row, its length still open.
    head: Vec<u8>,
    rows_bytes: usize,
    next: usize,
    measured: bool,
}

impl LongReply {
    /// A reply of rows of one instrument.
    #[must_use]
    pub fn new(id: Option<Id<'_>>, names: Names, rows: Rows) -> Self {
        let mut head = Vec::with_capacity(64);
        let _open = Frame::begin(&mut head, id, rows.kind());
        pack::array(&mut head, rows.len());
        Self { names, rows, head, rows_bytes: 0, next: 0, measured: false }
    }

    /// Bytes it holds.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.head.capacity() + self.rows.held_bytes()
    }

    /// Goes on for about `budget` bytes, `scratch` being room to measure in. Whether it is done.
    pub fn go_on(&mut self, out: &mut Vec<u8>, scratch: &mut Vec<u8>, budget: usize) -> bool {
        let mut spent = 0;
        while !self.measured {
            if self.next == self.rows.len() {
                let bytes = (self.head.len() - 4 + self.rows_bytes) as u32;
                self.head[..4].copy_from_slice(&bytes.to_be_bytes());
                out.extend_from_slice(&self.head);
                (self.measured, self.next) = (true, 0);
                break;
            }
            if spent >= budget {
                return false;
            }
            scratch.clear();
            self.rows.put(self.next, &self.names, scratch);
            self.rows_bytes += scratch.len();
            spent += scratch.len();
            self.next += 1;
        }
        let start = out.len();
        while self.next < self.rows.len() {
            if out.len() - start >= budget {
                return false;
            }
            self.rows.put(self.next, &self.names, out);
            self.next += 1;
        }
        true
    }
}
