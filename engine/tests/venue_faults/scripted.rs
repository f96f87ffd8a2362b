//! A Binance session whose every frame and answer the test writes itself.

use crate::support::{Bench, settings};
use codec::book::Book;
use codec::record::{Kind, Level, Record};
use codec::venues::rest_binance;
use codec::words::{Reason, State, Stream};
use engine::fetch::{Answer, FetchRequest, Query};
use engine::session::binance::BinanceSession;
use engine::session::{Action, Link, Session};
use std::collections::HashMap;

/// Prices and sizes of a side, best first.
type Side = Vec<(i64, i64)>;

/// What the test wrote, and what came of it.
pub struct Scripted {
    pub bench: Bench<BinanceSession>,
    symbols: Vec<String>,
    books: HashMap<u32, Book<Level>>,
    states: HashMap<(u32, Stream), Vec<(State, Reason)>>,
    untold: HashMap<Stream, usize>,
}

/// A depth event.
pub fn depth(symbol: &str, first: u64, last: u64, prev: u64, bids: &str, asks: &str) -> String {
    let stream = symbol.to_lowercase();
    format!(
        r#"{{"stream":"{stream}@depth@100ms","data":{{"e":"depthUpdate","E":1700000000000,"T":1700000000000,"s":"{symbol}","U":{first},"u":{last},"pu":{prev},"b":[{bids}],"a":[{asks}]}}}}"#
    )
}

/// A snapshot as REST gives it.
pub fn snapshot(id: u64, bids: &str, asks: &str) -> Answer {
    let body = format!(
        r#"{{"lastUpdateId":{id},"E":1700000000000,"T":1700000000000,"bids":[{bids}],"asks":[{asks}]}}"#
    );
    Answer::BinanceBook(rest_binance::depth(&mut body.into_bytes()).unwrap())
}

/// Levels as JSON.
pub fn levels(list: impl Iterator<Item = (i64, &'static str)>) -> String {
    list.map(|(price, size)| format!(r#"["{price}","{size}"]"#)).collect::<Vec<_>>().join(",")
}

/// The venue's list of instruments.
pub fn instruments(symbols: &[&str]) -> Answer {
    let rows: Vec<String> = symbols
        .iter()
        .map(|symbol| {
            format!(
                r#"{{"symbol":"{symbol}","pair":"{symbol}","contractType":"PERPETUAL","status":"TRADING","baseAsset":"{}","quoteAsset":"USDT","filters":[{{"filterType":"PRICE_FILTER","tickSize":"0.10"}},{{"filterType":"LOT_SIZE","stepSize":"0.001"}}]}}"#,
                symbol.trim_end_matches("USDT")
            )
        })
        .collect();
    let body = format!(r#"{{"rateLimits":[],"symbols":[{}]}}"#, rows.join(","));
    Answer::BinanceInstruments(rest_binance::exchange_info(&mut body.into_bytes()).unwrap())
}

impl Scripted {
    /// Both connections open and every subscription acknowledged.
    pub fn subscribed(symbols: &[&str]) -> Self {
        let mut bench = Bench::new(BinanceSession::new(settings(symbols)));
        bench.with(Session::on_start);
        let request = bench.fetch().expect("asks for the instruments");
        bench.answer(request, Ok(instruments(symbols)));
        let mut this = Self {
            bench,
            symbols: symbols.iter().map(|&name| name.to_owned()).collect(),
            books: HashMap::new(),
            states: HashMap::new(),
            untold: HashMap::new(),
        };
        this.connect();
        this.read();
        this.untold.clear();
        this
    }

    /// Opens every connection asked for and acknowledges every subscription.
    pub fn connect(&mut self) {
        let bench = &mut self.bench;
        bench.pass_ms(10);
        while let Some((link, generation)) = bench.take(|action| match action {
            Action::Connect { link, generation, .. } => Some((*link, *generation)),
            _ => None,
        }) {
            bench.with(|session, now, out| session.on_connected(link, generation, now, out));
        }
        for _ in 0..20 {
            bench.pass_ms(100);
            while let Some((link, text)) = bench.take(|action| match action {
                Action::Send { link, text } => Some((*link, text.clone())),
                _ => None,
            }) {
                let id = text.rsplit_once("\"id\":").unwrap().1.trim_end_matches('}').to_owned();
                bench.message(link, &format!("{{\"result\":null,\"id\":{id}}}"));
            }
        }
    }

    /// A depth event of the first symbol.
    pub fn depth(&mut self, first: u64, last: u64, prev: u64, bids: &str, asks: &str) {
        let text = depth(&self.symbols[0], first, last, prev, bids, asks);
        self.message(0, &text);
    }

    pub fn message(&mut self, link: Link, text: &str) {
        self.bench.message(link, text);
        // Sent by whoever had a reason to: not answered here.
        while self.bench.take(|action| matches!(action, Action::Ping { .. }).then_some(())).is_some() {}
    }

    /// Time passes; `alive`: the connections say something that is nothing, so that none is silent.
    pub fn pass_ms(&mut self, ms: u64, alive: bool) {
        for _ in 0..ms.div_ceil(1_000) {
            self.bench.pass_ms(ms.min(1_000));
            if alive {
                let beat = r#"{"stream":"x@depth","data":{"e":"other","E":1,"s":"X"}}"#;
                for link in [0, 2] {
                    self.bench.message(link, beat);
                }
            }
        }
    }

    pub fn fetch(&mut self) -> Option<FetchRequest> {
        self.bench.fetch()
    }

    /// The request for a snapshot of the first symbol.
    pub fn book_fetch(&mut self) -> FetchRequest {
        for _ in 0..100 {
            self.bench.pass_ms(10);
            if let Some(request) = self.bench.fetch() {
                let symbol = &self.symbols[0];
                assert!(
                    matches!(&request.query, Query::Book { symbol: of, limit: 1000 } if of == symbol),
                    "{request:?}"
                );
                return request;
            }
        }
        panic!("no snapshot is asked for");
    }

    pub fn answer(&mut self, request: FetchRequest, answer: Answer) {
        self.bench.answer(request, Ok(answer));
    }

    /// Records since the last look, without looking at them.
    pub fn records(&mut self) {
        self.read();
        self.untold.clear();
        for (key, seen) in &self.states {
            *self.untold.entry(key.1).or_default() += seen.len();
        }
    }

    pub fn drain(&mut self, mut look: impl FnMut(Record<'_>)) {
        let Self { bench, books, states, .. } = self;
        bench.drain(|record| {
            take(record, books, states);
            look(record);
        });
    }

    fn read(&mut self) {
        self.drain(|_| {});
    }

    /// States of a stream of the first symbol told since the last question.
    pub fn statuses(&mut self, stream: Stream) -> Vec<(State, Reason)> {
        self.read();
        let seen = self.states.get(&(0, stream)).cloned().unwrap_or_default();
        let from = self.untold.insert(stream, seen.len()).unwrap_or(0);
        seen[from.min(seen.len())..].to_vec()
    }

    /// The present state of a stream.
    pub fn state(&mut self, instrument: u32, stream: Stream) -> (State, Reason) {
        self.read();
        *self.states[&(instrument, stream)].last().unwrap()
    }

    /// Both sides of a book as whoever follows the records has them, in whole prices and sizes.
    pub fn whole_book(&mut self, instrument: u32) -> (Side, Side) {
        const ONE: i64 = 100_000_000;
        self.read();
        let book = &self.books[&instrument];
        let side = |levels: &codec::book::BookSide<Level>| {
            levels.iter().map(|it| (it.price.raw() / ONE, it.size.raw() / ONE)).collect()
        };
        (side(&book.bids), side(&book.asks))
    }
}

fn take(
    record: Record<'_>,
    books: &mut HashMap<u32, Book<Level>>,
    states: &mut HashMap<(u32, Stream), Vec<(State, Reason)>>,
) {
    let header = record.header();
    if let Some(levels) = record.book() {
        let book = books.entry(header.instrument).or_insert_with(|| Book::new(4096));
        book.apply_record(&levels, record.kind() == Kind::BookSnapshot);
    } else if let Some(status) = record.status() {
        let told = states.entry((header.instrument, header.stream().unwrap())).or_default();
        told.push((status.state().unwrap(), status.reason().unwrap()));
    }
}
