//! What is known of every symbol right now: a value, changed by messages and by time passing.

use crate::connection::field;
use crate::format::{Decimals, printable, spread_bps};
use crate::top::Totals;
use codec::words::{State, Stream};
use slipstream_client::{Book, Level, Message, Quote, Status, Trade, Value};
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Streams that make up a row, in the order of the states kept.
pub const ROW_STREAMS: [Stream; 3] = [Stream::Orderbook, Stream::Quotes, Stream::Trades];

/// Ticks that a rate is taken over.
const RATE_TICKS: usize = 8;

/// Messages per second over the last ticks.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    now: u32,
    ticks: [(u32, Duration); RATE_TICKS],
    next: usize,
}

impl Rate {
    const fn count(&mut self) {
        self.now += 1;
    }

    fn tick(&mut self, passed: Duration) {
        self.ticks[self.next] = (self.now, passed);
        self.next = (self.next + 1) % RATE_TICKS;
        self.now = 0;
    }

    /// Messages per second.
    pub fn per_second(&self) -> f64 {
        let messages: u32 = self.ticks.iter().map(|(messages, _)| messages).sum();
        let passed: Duration = self.ticks.iter().map(|(_, passed)| passed).sum();
        if passed.is_zero() { 0.0 } else { f64::from(messages) / passed.as_secs_f64() }
    }
}

/// What is known of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StreamState {
    state: State,
    reason: String,
}

/// The last trade of a symbol.
#[derive(Clone, Debug, PartialEq)]
pub struct LastTrade {
    /// Price.
    pub price: f64,
    /// Size.
    pub size: f64,
    /// The aggressor: `Buy` or `Sell`.
    pub side: String,
}

/// One symbol.
#[derive(Clone, Debug)]
pub struct Row {
    /// Venue, fit to be printed.
    pub venue: String,
    /// Symbol, fit to be printed.
    pub symbol: String,
    /// Best bid.
    pub bid: Option<Level>,
    /// Best ask.
    pub ask: Option<Level>,
    /// Last trade.
    pub last: Option<LastTrade>,
    /// Decimal places of its prices.
    pub price_decimals: Decimals,
    /// Decimal places of its sizes.
    pub size_decimals: Decimals,
    /// When its last message came.
    pub seen: Option<Instant>,
    /// Messages per second.
    pub rate: Rate,
    best_us: u64,
    states: [Option<StreamState>; ROW_STREAMS.len()],
}

impl Row {
    fn new(venue: &str, symbol: &str) -> Self {
        Self {
            venue: printable(venue),
            symbol: printable(symbol),
            bid: None,
            ask: None,
            last: None,
            price_decimals: Decimals::default(),
            size_decimals: Decimals::default(),
            seen: None,
            rate: Rate::default(),
            best_us: 0,
            states: Default::default(),
        }
    }

    /// The worst state of its streams, and whose and why; without any news of them it is warming.
    pub fn state(&self) -> (State, Option<(Stream, &str)>) {
        let known = ROW_STREAMS
            .iter()
            .zip(&self.states)
            .filter_map(|(stream, state)| Some((stream, state.as_ref()?)));
        match known.max_by_key(|(_, known)| badness(known.state)) {
            None => (State::Warming, None),
            Some((_, known)) if known.state == State::Live => (State::Live, None),
            Some((stream, known)) => (known.state, Some((*stream, &known.reason))),
        }
    }

    /// Distance of bid and ask in hundredths of a percent.
    pub fn spread_bps(&self) -> Option<f64> {
        Some(spread_bps(self.bid?.price, self.ask?.price))
    }

    /// The worst state of the streams that prices come from.
    fn price_state(&self) -> State {
        let prices = self.states[..2].iter().flatten();
        prices.map(|known| known.state).max_by_key(|&state| badness(state)).unwrap_or(State::Warming)
    }

    fn tell(&mut self, stream: &str, state: State, reason: &str) {
        let place = ROW_STREAMS.iter().position(|known| known.as_str() == stream);
        if let Some(place) = place {
            self.states[place] = Some(StreamState { state, reason: printable(reason) });
        }
    }

    fn best(&mut self, received_us: u64, bid: Option<Level>, ask: Option<Level>) {
        for level in [bid, ask].into_iter().flatten() {
            self.price_decimals.learn(level.price);
        }
        // Books and quotes tell the same at different times; the later one holds.
        if received_us >= self.best_us {
            (self.best_us, self.bid, self.ask) = (received_us, bid, ask);
        }
    }

    fn trade(&mut self, trade: &Trade) {
        self.price_decimals.learn(trade.price);
        self.size_decimals.learn(trade.size);
        if !trade.backfill {
            self.last =
                Some(LastTrade { price: trade.price, size: trade.size, side: printable(&trade.side) });
        }
    }

    fn count(&mut self, now: Instant) {
        self.seen = Some(now);
        self.rate.count();
    }
}

const fn badness(state: State) -> u8 {
    match state {
        State::Live => 0,
        State::Warming => 1,
        State::Resyncing => 2,
        State::Stale => 3,
        State::Down => 4,
    }
}

/// One venue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VenueState {
    /// Its name.
    pub name: String,
    /// Of its connections.
    pub state: State,
    /// Connections made again.
    pub reconnects: u64,
    /// Losses.
    pub gaps: u64,
}

/// What the daemon says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Daemon {
    /// Its version.
    pub version: String,
    /// The run.
    pub run_id: String,
    /// Seconds since its start.
    pub uptime_s: u64,
    /// Connected clients, this one included.
    pub clients: u64,
    /// Its venues.
    pub venues: Vec<VenueState>,
}

/// Everything known.
#[derive(Debug)]
pub struct Board {
    rows: Vec<Row>,
    places: HashMap<String, HashMap<String, usize>>,
    /// Whether symbols that were not announced get a row.
    open: bool,
    daemon: Daemon,
    trouble: Option<String>,
    messages: u64,
    live_venues: BTreeSet<String>,
    rate: Rate,
    ticked: Instant,
}

impl Board {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self {
            rows: Vec::new(),
            places: HashMap::new(),
            open: false,
            daemon: Daemon::default(),
            trouble: None,
            messages: 0,
            live_venues: BTreeSet::new(),
            rate: Rate::default(),
            ticked: Instant::now(),
        }
    }

    /// A connection was made; `open`: symbols that turn up later are welcome.
    pub fn connected(&mut self, open: bool) {
        self.open = open;
        self.trouble = None;
    }

    /// Makes a row for a symbol, if it has none.
    pub fn announce(&mut self, venue: &str, symbol: &str) {
        let places = self.places.entry(venue.to_owned()).or_default();
        if !places.contains_key(symbol) {
            places.insert(symbol.to_owned(), self.rows.len());
            self.rows.push(Row::new(venue, symbol));
        }
    }

    /// The daemon cannot be reached, or not yet asked.
    pub fn gone(&mut self, why: String) {
        self.trouble = Some(printable(&why));
        for row in &mut self.rows {
            for stream in ROW_STREAMS {
                row.tell(stream.as_str(), State::Down, "no daemon");
            }
        }
        for venue in &mut self.daemon.venues {
            venue.state = State::Down;
        }
    }

    /// Why there is no connection to the daemon.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// The rows, in order of appearance.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The daemon.
    pub const fn daemon(&self) -> &Daemon {
        &self.daemon
    }

    /// Messages per second of all symbols.
    pub fn per_second(&self) -> f64 {
        self.rate.per_second()
    }

    /// What was seen so far.
    pub fn totals(&self) -> Totals {
        Totals { messages: self.messages, live_venues: self.live_venues.clone() }
    }

    /// Whether every symbol that can have prices has them.
    pub fn is_complete(&self) -> bool {
        let complete = |row: &Row| match row.price_state() {
            State::Down => true,
            State::Warming => false,
            _ => row.bid.is_some() && row.ask.is_some(),
        };
        !self.daemon.run_id.is_empty() && self.rows.iter().all(complete)
    }

    /// Time passes.
    pub fn tick(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.ticked);
        self.ticked = now;
        self.rate.tick(passed);
        for row in &mut self.rows {
            row.rate.tick(passed);
        }
        for row in &self.rows {
            if row.seen.is_some() && row.state().0 == State::Live && !self.live_venues.contains(&row.venue) {
                self.live_venues.insert(row.venue.clone());
            }
        }
    }

    fn row(&mut self, venue: &str, symbol: &str) -> Option<&mut Row> {
        let known = self.places.get(venue).and_then(|places| places.get(symbol)).copied();
        let place = match known {
            Some(place) => place,
            None if self.open => {
                self.announce(venue, symbol);
                self.rows.len() - 1
            }
            None => return None,
        };
        self.rows.get_mut(place)
    }

    /// Takes a message that arrived at `now`.
    pub fn take(&mut self, message: &Message, now: Instant) {
        let counted = match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => self.take_book(book, now),
            Message::Quote(quote) => self.take_quote(quote, now),
            Message::Trade(trade) => self.take_trade(trade, now),
            Message::Status(status) => {
                self.take_status(status);
                false
            }
            Message::Other { kind, data, .. } if kind == "status_report" => {
                self.take_report(data);
                false
            }
            _ => false,
        };
        if counted {
            self.messages += 1;
            self.rate.count();
        }
    }

    fn take_book(&mut self, book: &Book, now: Instant) -> bool {
        let Some(row) = self.row(&book.venue, &book.symbol) else { return false };
        row.best(book.received_us, book.bids.first().copied(), book.asks.first().copied());
        row.count(now);
        true
    }

    fn take_quote(&mut self, quote: &Quote, now: Instant) -> bool {
        let Some(row) = self.row(&quote.venue, &quote.symbol) else { return false };
        row.best(quote.received_us, quote.bid, quote.ask);
        row.count(now);
        true
    }

    fn take_trade(&mut self, trade: &Trade, now: Instant) -> bool {
        let Some(row) = self.row(&trade.venue, &trade.symbol) else { return false };
        row.trade(trade);
        row.count(now);
        true
    }

    fn take_status(&mut self, status: &Status) {
        let Some(state) = State::from_word(&status.state) else { return };
        match (&status.venue, &status.symbol) {
            (Some(venue), Some(symbol)) => {
                if let Some(row) = self.row(venue, symbol) {
                    row.tell(&status.stream, state, &status.reason);
                }
            }
            (Some(venue), None) if status.stream == Stream::Connection.as_str() => {
                if let Some(known) = self.daemon.venues.iter_mut().find(|known| known.name == *venue) {
                    known.state = state;
                }
            }
            _ => {}
        }
    }

    /// Takes the reply to `get_status`.
    fn take_report(&mut self, report: &Value) {
        let text =
            |map: &Value, name: &str| printable(field(map, name).and_then(Value::as_str).unwrap_or_default());
        let count = |map: &Value, name: &str| field(map, name).and_then(Value::as_u64).unwrap_or(0);
        let mut daemon = Daemon {
            version: text(report, "version"),
            run_id: text(report, "run_id"),
            uptime_s: count(report, "uptime_s"),
            clients: count(report, "clients"),
            venues: Vec::new(),
        };
        for (name, venue) in field(report, "venues").and_then(Value::as_map).into_iter().flatten() {
            let Some(name) = name.as_str() else { continue };
            daemon.venues.push(VenueState {
                name: printable(name),
                state: State::from_word(&text(venue, "state")).unwrap_or(State::Down),
                reconnects: count(venue, "reconnects"),
                gaps: count(venue, "gaps"),
            });
            for stream in field(venue, "streams").and_then(Value::as_array).into_iter().flatten() {
                let symbol = field(stream, "symbol").and_then(Value::as_str);
                let state = field(stream, "state").and_then(Value::as_str).and_then(State::from_word);
                let (Some(symbol), Some(state)) = (symbol, state) else { continue };
                // The report names symbols that are not shown, too.
                let place = self.places.get(name).and_then(|places| places.get(symbol));
                if let Some(row) = place.and_then(|&place| self.rows.get_mut(place)) {
                    row.tell(&text(stream, "stream"), state, &text(stream, "reason"));
                }
            }
        }
        self.daemon = daemon;
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    fn status(symbol: &str, stream: &str, state: &str, reason: &str) -> Message {
        Message::Status(Status {
            venue: Some("binance".into()),
            symbol: Some(symbol.into()),
            stream: stream.into(),
            state: state.into(),
            reason: reason.into(),
            age_ms: 0,
        })
    }

    pub fn quote(venue: &str, symbol: &str, received_us: u64, bid: f64, ask: f64) -> Message {
        Message::Quote(Quote {
            venue: venue.into(),
            symbol: symbol.into(),
            timestamp_us: received_us,
            received_us,
            bid: Some(Level { price: bid, size: 1.0 }),
            ask: Some(Level { price: ask, size: 1.0 }),
            conflated: 0,
        })
    }

    pub fn trade(venue: &str, symbol: &str, price: f64, size: f64, side: &str) -> Message {
        Message::Trade(Trade {
            venue: venue.into(),
            symbol: symbol.into(),
            timestamp_us: 1,
            received_us: 1,
            price,
            size,
            side: side.into(),
            trade_id: "1".into(),
            backfill: false,
        })
    }

    /// A `status_report` in which all streams of these symbols are in one state.
    pub fn report(symbols: &[(&str, &str, State)]) -> Message {
        let map = |entries: Vec<(&str, Value)>| {
            Value::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
        };
        let mut venues: Vec<(&str, Vec<Value>)> = Vec::new();
        for &(venue, symbol, state) in symbols {
            if venues.last().is_none_or(|(last, _)| *last != venue) {
                venues.push((venue, Vec::new()));
            }
            let Some((_, streams)) = venues.last_mut() else { continue };
            for stream in ["orderbook", "quotes", "trades", "candles"] {
                streams.push(map(vec![
                    ("stream", stream.into()),
                    ("symbol", symbol.into()),
                    ("state", state.as_str().into()),
                    ("reason", if state == State::Live { "none" } else { "silence" }.into()),
                    ("age_ms", 5.into()),
                ]));
            }
        }
        let venues = venues
            .into_iter()
            .map(|(venue, streams)| {
                let entries = vec![
                    ("state", "live".into()),
                    ("reconnects", 1.into()),
                    ("gaps", 2.into()),
                    ("streams", Value::Array(streams)),
                ];
                (venue, map(entries))
            })
            .collect();
        Message::Other {
            id: Some(1),
            kind: "status_report".into(),
            data: map(vec![
                ("version", "0.1.0".into()),
                ("run_id", "00c0ffee00c0ffee".into()),
                ("uptime_s", 83.into()),
                ("clients", 2.into()),
                ("venues", map(venues)),
            ]),
        }
    }

    #[test]
    fn a_row_is_as_good_as_its_worst_stream() {
        let (mut board, now) = (Board::new(), Instant::now());
        board.announce("binance", "BTCUSDT");
        assert_eq!(board.rows()[0].state(), (State::Warming, None));
        for stream in ["orderbook", "quotes", "trades"] {
            board.take(&status("BTCUSDT", stream, "live", "none"), now);
        }
        assert_eq!(board.rows()[0].state(), (State::Live, None));
        board.take(&status("BTCUSDT", "orderbook", "resyncing", "sequence_break"), now);
        board.take(&status("BTCUSDT", "candles", "down", "disconnect"), now);
        assert_eq!(board.rows()[0].state(), (State::Resyncing, Some((Stream::Orderbook, "sequence_break"))));
        board.take(&report(&[("binance", "BTCUSDT", State::Live), ("binance", "ETHUSDT", State::Live)]), now);
        assert_eq!(board.rows()[0].state(), (State::Live, None));
        assert_eq!(board.rows().len(), 1, "a report announces nothing");
        board.gone("it ended".into());
        assert_eq!(board.rows()[0].state(), (State::Down, Some((Stream::Trades, "no daemon"))));
        assert_eq!((board.trouble(), board.daemon().venues[0].state), (Some("it ended"), State::Down));
    }

    #[test]
    fn the_later_of_book_and_quote_holds() {
        let (mut board, now) = (Board::new(), Instant::now());
        board.announce("binance", "BTCUSDT");
        let best = |board: &Board| board.rows()[0].bid.map(|level| level.price);
        board.take(&quote("binance", "BTCUSDT", 20, 100.5, 101.0), now);
        let book = |received_us, price| {
            Message::OrderbookUpdate(Book {
                venue: "binance".into(),
                symbol: "BTCUSDT".into(),
                received_us,
                bids: vec![Level { price, size: 1.0 }],
                ..Book::default()
            })
        };
        board.take(&book(10, 99.0), now);
        assert_eq!(best(&board), Some(100.5));
        board.take(&book(30, 100.25), now);
        assert_eq!((best(&board), board.rows()[0].ask), (Some(100.25), None));
        assert_eq!(board.totals().messages, 3);
    }

    #[test]
    fn rates_are_over_the_last_two_seconds() {
        let mut board = Board::new();
        let start = board.ticked;
        board.announce("binance", "BTCUSDT");
        for tick in 1..=20u32 {
            if tick <= 12 {
                (0..25).for_each(|_| board.take(&trade("binance", "BTCUSDT", 1.0, 1.0, "Buy"), start));
            }
            board.tick(start + tick * Duration::from_millis(250));
            if tick == 12 {
                assert_eq!((board.per_second(), board.rows()[0].rate.per_second()), (100.0, 100.0));
            }
        }
        assert_eq!(board.per_second(), 0.0);
        assert_eq!(board.totals().messages, 300);
    }

    #[test]
    fn a_venue_was_live_once_a_live_symbol_had_data() {
        let (mut board, now) = (Board::new(), Instant::now());
        board.announce("binance", "BTCUSDT");
        board.announce("hyperliquid", "BTC");
        board.take(&report(&[("binance", "BTCUSDT", State::Live), ("hyperliquid", "BTC", State::Live)]), now);
        board.take(&quote("binance", "BTCUSDT", 1, 1.0, 2.0), now);
        board.tick(now);
        board.gone("it ended".into());
        board.tick(now);
        assert_eq!(board.totals().live_venues, BTreeSet::from(["binance".to_owned()]));
    }

    #[test]
    fn unknown_symbols_get_a_row_only_when_all_are_shown() {
        let (mut board, now) = (Board::new(), Instant::now());
        board.connected(false);
        board.take(&trade("binance", "NEWUSDT", 1.0, 1.0, "Buy"), now);
        assert_eq!((board.rows().len(), board.totals().messages), (0, 0));
        board.connected(true);
        board.take(&trade("binance", "NEWUSDT", 1.0, 1.0, "Buy"), now);
        board.take(&trade("binance", "NEWUSDT", 1.5, 1.0, "Sell"), now);
        assert_eq!((board.rows().len(), board.totals().messages), (1, 2));
    }
}
