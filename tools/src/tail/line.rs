//! A message as a line for people: time, type, then what matters, numbers below numbers.

use crate::format::{
    NumberColumn, date_and_minute, number, printable, spread_bps, time_of_day_s, time_of_day_us,
};
use slipstream_client::{Book, Candle, Delta, Fill, Funding, Gap, Level, Message, Quote, Status, Trade};

/// Characters of the longest type shown.
const KIND_WIDTH: usize = 8;

/// Makes lines; it remembers how wide numbers have been.
#[derive(Debug, Default)]
pub struct Lines {
    price: NumberColumn,
    size: NumberColumn,
    width: Option<usize>,
}

impl Lines {
    /// Lines for a terminal `width` characters wide, or for something of any width.
    pub fn new(width: Option<usize>) -> Self {
        Self { width, ..Self::default() }
    }

    /// The line of a message, with its newline.
    pub fn line(&mut self, message: &Message, received_us: u64) -> String {
        let (kind, body) = match message {
            Message::OrderbookSnapshot(book) => ("snapshot", self.book(book)),
            Message::OrderbookUpdate(book) => ("update", self.book(book)),
            Message::OrderbookDelta(delta) => ("delta", self.delta(delta)),
            Message::Quote(quote) => ("quote", self.quote(quote)),
            Message::Trade(trade) => ("trade", self.trade(trade)),
            Message::Candle(of) => ("candle", candle(of)),
            Message::Funding(of) => ("funding", funding(of)),
            Message::Fill(fill) => ("fill", self.fill(fill)),
            Message::Status(of) => ("status", status(of)),
            Message::Gap(of) => ("gap", gap(of)),
            Message::Error { code, message, .. } => ("error", format!("{code}: {message}")),
            Message::Other { kind, data, .. } => (kind.as_str(), data.to_string()),
            Message::Heartbeat { .. } | Message::Record(_) => ("", String::new()),
        };
        let line = format!("{}  {kind:<KIND_WIDTH$}  {body}", time_of_day_us(received_us));
        printable(line.trim_end()) + "\n"
    }

    fn learn(&mut self, levels: &[Level]) {
        for level in levels {
            self.price.learn(level.price);
            self.size.learn(level.size);
        }
    }

    fn level(&self, level: &Level) -> String {
        format!("{} x {}", self.price.show(level.price), self.size.show(level.size))
    }

    /// Bids on the left with the best last, asks on the right with the best first.
    fn book(&mut self, book: &Book) -> String {
        self.learn(&book.bids);
        self.learn(&book.asks);
        let mut tail = match (book.bids.first(), book.asks.first()) {
            (Some(bid), Some(ask)) => format!("  spread {:.2} bps", spread_bps(bid.price, ask.price)),
            _ => String::new(),
        };
        tail += &format!("  #{}", book.sequence);
        tail += &lag(book.received_us, book.timestamp_us);
        if book.conflated > 0 {
            tail += &format!("  conflated {}", book.conflated);
        }
        if book.stale {
            tail += "  stale";
        }
        let level_width = self.level(&Level { price: 0.0, size: 0.0 }).chars().count() + 2;
        let levels = book.bids.len().max(book.asks.len()).max(1);
        let levels = match self.width {
            None => levels,
            Some(width) => {
                let taken = time_of_day_us(0).len() + 2 + KIND_WIDTH + 2 + tail.len();
                levels.min(width.saturating_sub(taken) / (2 * level_width)).max(1)
            }
        };
        let side = |levels: &mut dyn Iterator<Item = &Level>| {
            levels.map(|level| self.level(level)).collect::<Vec<_>>().join("  ")
        };
        let bids = side(&mut book.bids.iter().take(levels).rev());
        let asks = side(&mut book.asks.iter().take(levels));
        let side_width = levels * level_width - 2;
        format!("{bids:>side_width$} | {asks:<side_width$}{tail}")
    }

    fn delta(&mut self, delta: &Delta) -> String {
        self.learn(&delta.bid_changes);
        self.learn(&delta.ask_changes);
        let side = |name: &str, changes: &[Level]| {
            let change = |change: &Level| match change.size {
                0.0 => format!("  {} x {}", self.price.show(change.price), self.size.text("-")),
                _ => format!("  {}", self.level(change)),
            };
            let changes: String = changes.iter().map(change).collect();
            if changes.is_empty() { changes } else { format!("{name}{changes}  ") }
        };
        format!(
            "{}{}#{} after #{}{}",
            side("bids", &delta.bid_changes),
            side("asks", &delta.ask_changes),
            delta.head.sequence,
            delta.prev_sequence,
            lag(delta.head.received_us, delta.head.timestamp_us)
        )
    }

    fn quote(&mut self, quote: &Quote) -> String {
        let mut body = String::new();
        for level in [quote.bid, quote.ask].into_iter().flatten() {
            self.learn(&[level]);
        }
        for (separator, side) in [("", &quote.bid), (" | ", &quote.ask)] {
            body += separator;
            body += &match side {
                Some(level) => self.level(level),
                None => format!("{}   {}", self.price.text("none"), self.size.text("")),
            };
        }
        if let (Some(bid), Some(ask)) = (quote.bid, quote.ask) {
            body += &format!("  spread {:.2} bps", spread_bps(bid.price, ask.price));
        }
        body += &lag(quote.received_us, quote.timestamp_us);
        if quote.conflated > 0 {
            body += &format!("  conflated {}", quote.conflated);
        }
        body
    }

    fn trade(&mut self, trade: &Trade) -> String {
        self.learn(&[Level { price: trade.price, size: trade.size }]);
        let mut body = format!(
            "{} x {}  {:<4}  id {}",
            self.price.show(trade.price),
            self.size.show(trade.size),
            trade.side,
            trade.trade_id
        );
        if trade.backfill {
            body += &format!("  backfill of {}", time_of_day_us(trade.timestamp_us));
        } else {
            body += &lag(trade.received_us, trade.timestamp_us);
        }
        body
    }

    fn fill(&mut self, fill: &Fill) -> String {
        self.learn(&[Level { price: fill.price, size: fill.size }]);
        format!(
            "{} x {}  {:<4}  {}  fee {}  order {}  id {}{}",
            self.price.show(fill.price),
            self.size.show(fill.size),
            fill.side,
            fill.symbol,
            number(fill.fee),
            fill.order_id,
            fill.trade_id,
            if fill.is_snapshot { "  past" } else { "" }
        )
    }
}

/// How much later than the venue's time the daemon received something; clocks may disagree.
fn lag(received_us: u64, timestamp_us: u64) -> String {
    if received_us == 0 || timestamp_us == 0 {
        return String::new();
    }
    format!("  lag {:.1} ms", (received_us as f64 - timestamp_us as f64) / 1000.0)
}

fn candle(candle: &Candle) -> String {
    let state = match (candle.closed, candle.revised) {
        (_, true) => "revised",
        (true, false) => "closed",
        (false, false) => "open",
    };
    format!(
        "{} {}  o {}  h {}  l {}  c {}  volume {}  {} trades  {state}",
        candle.interval,
        date_and_minute(candle.timestamp),
        number(candle.open),
        number(candle.high),
        number(candle.low),
        number(candle.close),
        number(candle.volume),
        candle.num_trades
    )
}

fn funding(funding: &Funding) -> String {
    let mut parts = Vec::new();
    if let Some(rate) = funding.funding_rate {
        let hours = funding.interval_hours.map(|hours| format!(" per {hours} h")).unwrap_or_default();
        parts.push(format!("rate {}{hours}", number(rate)));
    }
    for (name, value) in [
        ("mark", funding.mark_price),
        ("index", funding.index_price),
        ("open interest", funding.open_interest),
    ] {
        parts.extend(value.map(|value| format!("{name} {}", number(value))));
    }
    parts.extend(funding.next_funding_us.map(|us| format!("next {}", time_of_day_s(us / 1_000_000))));
    parts.join("  ")
}

/// Whose stream: nothing for the symbol's own.
fn scope(venue: Option<&str>, symbol: Option<&str>) -> &'static str {
    match (venue, symbol) {
        (Some(_), Some(_)) => "",
        (Some(_), None) => "the venue's ",
        (None, _) => "the daemon's ",
    }
}

fn status(status: &Status) -> String {
    let mut body = format!(
        "{}{} {}",
        scope(status.venue.as_deref(), status.symbol.as_deref()),
        status.stream,
        status.state
    );
    if status.state != "live" {
        body += &format!(": {}", status.reason);
        if status.age_ms > 0 {
            body += &format!(", last data {} ms ago", status.age_ms);
        }
    }
    body
}

fn gap(gap: &Gap) -> String {
    let whose = scope(gap.venue.as_deref(), gap.symbol.as_deref());
    let missed = match gap.missed {
        Some(missed) => format!("{missed} missed"),
        None => "an unknown number missed".to_owned(),
    };
    format!("{whose}{}: {}, {missed}", gap.stream, gap.reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED_US: u64 = 1_795_339_252_123_456;

    fn levels(levels: &[(f64, f64)]) -> Vec<Level> {
        levels.iter().map(|&(price, size)| Level { price, size }).collect()
    }

    fn book() -> Book {
        Book {
            symbol: "BTCUSDT".into(),
            timestamp_us: RECEIVED_US - 1_250,
            received_us: RECEIVED_US,
            sequence: 4711,
            bids: levels(&[(83091.6, 0.5), (83091.5, 12.25), (83090.0, 3.0)]),
            asks: levels(&[(83091.7, 1.0), (83091.9, 0.125)]),
            ..Book::default()
        }
    }

    fn trade() -> Trade {
        Trade {
            venue: "binance".into(),
            symbol: "BTCUSDT".into(),
            timestamp_us: RECEIVED_US - 3_000,
            received_us: RECEIVED_US,
            price: 83091.7,
            size: 0.012,
            side: "Buy".into(),
            trade_id: "8001".into(),
            backfill: false,
        }
    }

    #[test]
    fn books_have_their_best_levels_in_the_middle() {
        let mut lines = Lines::new(None);
        assert_eq!(
            lines.line(&Message::OrderbookSnapshot(book()), RECEIVED_US),
            "09:20:52.123456  snapshot  83090.0 x  3.000  83091.5 x 12.250  83091.6 x  0.500 | \
             83091.7 x  1.000  83091.9 x  0.125                    spread 0.01 bps  #4711  lag 1.2 ms\n"
        );
        let one_sided = Book { bids: vec![], conflated: 7, stale: true, ..book() };
        assert_eq!(
            lines.line(&Message::OrderbookUpdate(one_sided), RECEIVED_US),
            "09:20:52.123456  update                                       | \
             83091.7 x  1.000  83091.9 x  0.125  #4711  lag 1.2 ms  conflated 7  stale\n"
        );
    }

    #[test]
    fn on_a_terminal_a_book_shows_the_levels_that_fit() {
        for (width, levels) in [(20, 1), (134, 1), (135, 2), (170, 2), (171, 3), (400, 3)] {
            let line = Lines::new(Some(width)).line(&Message::OrderbookUpdate(book()), RECEIVED_US);
            let shown = line.split(" | ").next().expect("bids").matches(" x ").count();
            assert_eq!(shown, levels, "{width}: {line}");
            assert!(levels == 1 || line.trim_end().chars().count() <= width, "{width}: {line}");
        }
    }

    #[test]
    fn deltas_tell_what_changed_and_what_went() {
        let delta = Delta {
            head: Book { bids: vec![], asks: vec![], ..book() },
            prev_sequence: 4710,
            bid_changes: levels(&[(83091.6, 0.0), (83091.5, 2.5)]),
            ask_changes: vec![],
        };
        assert_eq!(
            Lines::new(None).line(&Message::OrderbookDelta(delta), RECEIVED_US),
            "09:20:52.123456  delta     bids  83091.6 x   -  83091.5 x 2.5  #4711 after #4710  lag 1.2 ms\n"
        );
    }

    #[test]
    fn quotes_and_trades_stand_below_one_another() {
        let mut lines = Lines::new(None);
        let quote = Quote {
            venue: "binance".into(),
            symbol: "BTCUSDT".into(),
            timestamp_us: RECEIVED_US,
            received_us: RECEIVED_US,
            bid: Some(Level { price: 83091.6, size: 0.512 }),
            ask: Some(Level { price: 83091.7, size: 1.25 }),
            conflated: 0,
        };
        let empty_ask = Quote { ask: None, ..quote.clone() };
        let backfilled = Trade { side: "Sell".into(), backfill: true, ..trade() };
        let text: String = [
            Message::Quote(quote),
            Message::Quote(empty_ask),
            Message::Trade(trade()),
            Message::Trade(backfilled),
        ]
        .iter()
        .map(|message| lines.line(message, RECEIVED_US))
        .collect();
        assert_eq!(
            text,
            "09:20:52.123456  quote     83091.6 x 0.512 | 83091.7 x 1.250  spread 0.01 bps  lag 0.0 ms\n\
             09:20:52.123456  quote     83091.6 x 0.512 |    none          lag 0.0 ms\n\
             09:20:52.123456  trade     83091.7 x 0.012  Buy   id 8001  lag 3.0 ms\n\
             09:20:52.123456  trade     83091.7 x 0.012  Sell  id 8001  backfill of 09:20:52.120456\n"
        );
    }

    #[test]
    fn states_and_losses_say_whose_and_why() {
        let of = |venue: Option<&str>, symbol: Option<&str>, stream: &str, state: &str, reason: &str| {
            Message::Status(Status {
                venue: venue.map(str::to_owned),
                symbol: symbol.map(str::to_owned),
                stream: stream.into(),
                state: state.into(),
                reason: reason.into(),
                age_ms: 1200,
            })
        };
        let gap = |missed| {
            Message::Gap(Gap {
                venue: Some("binance".into()),
                symbol: Some("BTCUSDT".into()),
                stream: "trades".into(),
                reason: "sequence_break".into(),
                missed,
            })
        };
        let (venue, symbol) = (Some("binance"), Some("BTCUSDT"));
        for (message, body) in [
            (of(venue, symbol, "orderbook", "live", "none"), "status    orderbook live"),
            (
                of(venue, symbol, "orderbook", "stale", "silence"),
                "status    orderbook stale: silence, last data 1200 ms ago",
            ),
            (
                of(venue, None, "connection", "down", "disconnect"),
                "status    the venue's connection down: disconnect, last data 1200 ms ago",
            ),
            (
                of(None, None, "recorder", "stale", "lag"),
                "status    the daemon's recorder stale: lag, last data 1200 ms ago",
            ),
            (gap(Some(3)), "gap       trades: sequence_break, 3 missed"),
            (gap(None), "gap       trades: sequence_break, an unknown number missed"),
        ] {
            assert_eq!(Lines::new(None).line(&message, RECEIVED_US), format!("09:20:52.123456  {body}\n"));
        }
    }

    #[test]
    fn the_rarer_messages_have_lines_too() {
        let candle = Candle {
            venue: "binance".into(),
            symbol: "BTCUSDT".into(),
            timestamp: 1_795_334_400,
            received_us: RECEIVED_US,
            interval: "4h".into(),
            open: 83000.0,
            high: 83100.5,
            low: 82999.0,
            close: 83091.7,
            volume: 12.5,
            num_trades: 42,
            closed: true,
            revised: false,
        };
        let funding = Funding {
            venue: "hyperliquid".into(),
            symbol: "BTC".into(),
            timestamp_us: RECEIVED_US,
            received_us: RECEIVED_US,
            funding_rate: Some(0.0000125),
            interval_hours: Some(1),
            next_funding_us: None,
            mark_price: Some(84143.0),
            index_price: Some(84140.5),
            open_interest: None,
        };
        let fill = Fill {
            venue: "hyperliquid".into(),
            symbol: "BTC".into(),
            timestamp_us: RECEIVED_US,
            received_us: RECEIVED_US,
            price: 84143.0,
            size: 0.1,
            side: "Sell".into(),
            order_id: "12".into(),
            trade_id: "34".into(),
            fee: 1.5,
            is_snapshot: true,
        };
        let other = Message::Other { id: None, kind: "ne\x07ws".into(), data: 7.into() };
        let error = Message::Error { id: None, code: "shutting_down".into(), message: "stopping".into() };
        for (message, body) in [
            (
                Message::Candle(candle.clone()),
                "candle    4h 2026-11-22 08:00  o 83000  h 83100.5  l 82999  c 83091.7  volume 12.5  42 trades  closed",
            ),
            (
                Message::Candle(Candle { revised: true, ..candle }),
                "candle    4h 2026-11-22 08:00  o 83000  h 83100.5  l 82999  c 83091.7  volume 12.5  42 trades  revised",
            ),
            (Message::Funding(funding), "funding   rate 0.0000125 per 1 h  mark 84143  index 84140.5"),
            (Message::Fill(fill), "fill      84143 x 0.1  Sell  BTC  fee 1.5  order 12  id 34  past"),
            (other, "ne\u{fffd}ws     7"),
            (error, "error     shutting_down: stopping"),
        ] {
            assert_eq!(Lines::new(None).line(&message, RECEIVED_US), format!("09:20:52.123456  {body}\n"));
        }
    }
}
