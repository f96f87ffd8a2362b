//! The account of what comes: every message and every item counted, each with the outcome it had.

mod support;
mod virtual_desk;

use codec::venues::{rest_binance, rest_hyperliquid};
use codec::words::{Interval, Stream, Venue};
use engine::fetch::{Answer, Query};
use engine::session::account::{Account, Channel, DropReason, Outcome};
use engine::session::binance::BinanceSession;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::Settings;
use engine::session::{Action, Session};
use sim::{ByHand, Config, Fault};
use std::sync::Arc;
use support::{Bench, settings};
use virtual_desk::{Place, Shape, VirtualDesk};

const START_MS: i64 = 1_790_000_000_000;
const GREETING: &str = "Websocket connection established.";
const USER: &str = "0x00000000000000000000000000000000000000aa";

use DropReason::{
    Buffered, Control, Crossed, Duplicate, Implausible, Late, Malformed, NotCarried, NotLive, Unchanged,
    Unknown, Unrepresentable,
};
use Outcome::{Dropped, Published};

/// A session under watch: what each message does to its account.
struct Watched<S> {
    bench: Bench<S>,
    account: Arc<Account>,
}

impl<S: Session> Watched<S> {
    fn new(bench: Bench<S>) -> Self {
        let account = bench.session.account().unwrap();
        Self { bench, account }
    }

    /// The outcomes that one message adds, with their numbers.
    fn outcomes(&mut self, link: u8, text: &str) -> (Channel, Vec<(Outcome, u64)>) {
        self.outcomes_of(|bench| bench.message(link, text))
    }

    fn outcomes_of(&mut self, act: impl FnOnce(&mut Bench<S>)) -> (Channel, Vec<(Outcome, u64)>) {
        let before = Copied::of(&self.account);
        act(&mut self.bench);
        let after = Copied::of(&self.account);
        assert!(self.account.adds_up());
        let channel = (0..Channel::ALL.len()).find(|&at| after.messages[at] == before.messages[at] + 1);
        let at = channel.expect("one message");
        let total = |copied: &Copied| copied.messages.iter().sum::<u64>();
        assert_eq!(total(&after), total(&before) + 1);
        let rose = |at: usize, place: usize| after.items[at][place] - before.items[at][place];
        let outcomes =
            std::iter::once(Published).chain(DropReason::ALL.iter().map(|&reason| Dropped(reason)));
        let rose: Vec<_> = outcomes
            .enumerate()
            .map(|(place, outcome)| (outcome, rose(at, place)))
            .filter(|one| one.1 > 0)
            .collect();
        (Channel::ALL[at], rose)
    }

    fn expect(&mut self, what: &str, link: u8, text: &str, channel: Channel, outcome: Outcome) {
        assert_eq!(self.outcomes(link, text), (channel, vec![(outcome, 1)]), "{what}: {text}");
    }
}

/// The counts of an account now: messages, and items by outcome, by channel.
struct Copied {
    messages: Vec<u64>,
    items: Vec<Vec<u64>>,
}

impl Copied {
    fn of(account: &Account) -> Self {
        let items = |&channel: &Channel| {
            std::iter::once(account.items_published(channel))
                .chain(DropReason::ALL.iter().map(|&reason| account.items_dropped(channel, reason)))
                .collect()
        };
        Self {
            messages: Channel::ALL.iter().map(|&channel| account.messages_received(channel)).collect(),
            items: Channel::ALL.iter().map(items).collect(),
        }
    }
}

fn everything(symbols: &[&str]) -> Settings {
    Settings {
        streams: vec![Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding],
        intervals: vec![Interval::M1],
        ..settings(symbols)
    }
}

/// Opens every connection asked for.
fn connect<S: Session>(bench: &mut Bench<S>) {
    bench.pass_ms(10);
    while let Some((link, generation)) = bench.take(|action| match action {
        Action::Connect { link, generation, .. } => Some((*link, *generation)),
        _ => None,
    }) {
        bench.with(|session, now, out| session.on_connected(link, generation, now, out));
    }
    bench.pass_ms(10);
}

fn depth(last: u64, prev: u64, bids: &str, asks: &str) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","U":1,"u":{last},"pu":{prev},"b":[{bids}],"a":[{asks}]}}"#
    )
}

#[test]
fn binance_gives_every_message_its_outcome() {
    let mut bench = Bench::new(BinanceSession::new(everything(&["BTCUSDT"])));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    assert_eq!(request.query, Query::Instruments);
    let info = r#"{"symbols":[{"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[]}]}"#;
    let info = rest_binance::exchange_info(&mut info.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::BinanceInstruments(info)));
    connect(&mut bench);
    let now_ms = bench.now.wall_ns / 1_000_000;
    let minute_ms = now_ms / 60_000 * 60_000;
    let mut watched = Watched::new(bench);
    let (public, market) = (0, 2);

    let w = &mut watched;
    w.expect("an acknowledgement", public, r#"{"result":null,"id":1}"#, Channel::Control, Dropped(Control));
    w.expect("another", market, r#"{"result":null,"id":1}"#, Channel::Control, Dropped(Control));
    w.expect("a refusal", market, r#"{"code":2,"msg":"x","id":99}"#, Channel::Control, Dropped(Control));
    let listing = r#"{"e":"contractInfo","s":"X","ct":"PERPETUAL"}"#;
    w.expect("a listing", market, listing, Channel::Control, Dropped(Control));

    let book = Channel::Orderbook;
    w.expect(
        "before the snapshot",
        public,
        &depth(10, 0, r#"["100","1"]"#, r#"["101","1"]"#),
        book,
        Dropped(Buffered),
    );
    w.expect(
        "the same again",
        public,
        &depth(10, 0, r#"["100","1"]"#, r#"["101","1"]"#),
        book,
        Dropped(Duplicate),
    );
    w.bench.pass_ms(10);
    let request = w.bench.take(|action| match action {
        Action::Fetch(request) if matches!(request.query, Query::Book { .. }) => Some(request.clone()),
        _ => None,
    });
    let snapshot = r#"{"lastUpdateId":15,"E":1,"T":1,"bids":[["99","2"]],"asks":[["102","2"]]}"#;
    let snapshot = Answer::BinanceBook(rest_binance::depth(&mut snapshot.as_bytes().to_vec()).unwrap());
    w.bench.answer(request.unwrap(), Ok(snapshot));
    w.expect("the snapshot waits for the stream", public, &depth(14, 10, "", ""), book, Dropped(Buffered));
    w.expect("the next one", public, &depth(20, 14, r#"["100","1"]"#, ""), book, Published);
    w.expect("again", public, &depth(20, 14, r#"["100","1"]"#, ""), book, Dropped(Duplicate));
    w.expect("a crossing one", public, &depth(30, 20, r#"["200","1"]"#, ""), book, Dropped(Crossed));
    w.expect(
        "too fine",
        public,
        &depth(40, 30, r#"["1.000000001","1"]"#, ""),
        book,
        Dropped(Unrepresentable),
    );
    w.expect("of nobody", public, &depth(1, 0, "", "").replace("BTC", "DOGE"), book, Dropped(NotCarried));

    let ticker = |id: u64, bid: &str| {
        format!(
            r#"{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"{bid}","B":"1","a":"300","A":"1","T":1,"E":1}}"#
        )
    };
    w.expect("a quote", public, &ticker(50, "200"), Channel::Quotes, Published);
    w.expect("it again", public, &ticker(50, "200"), Channel::Quotes, Dropped(Duplicate));
    w.expect("too fine", public, &ticker(51, "0.000000001"), Channel::Quotes, Dropped(Unrepresentable));
    let coin = ticker(52, "200").replace("\"E\":1}", "\"E\":1,\"st\":2}");
    w.expect("margined in coin", public, &coin, Channel::Quotes, Dropped(NotCarried));

    let trade = |id: u64, price: &str| {
        format!(
            r#"{{"e":"aggTrade","E":{now_ms},"a":{id},"s":"BTCUSDT","p":"{price}","q":"1","f":1,"l":1,"T":{now_ms},"m":true}}"#
        )
    };
    w.expect("a trade", market, &trade(7, "100"), Channel::Trades, Published);
    w.expect("it again", market, &trade(7, "100"), Channel::Trades, Dropped(Duplicate));
    w.expect("one after a hole", market, &trade(9, "100"), Channel::Trades, Published);
    w.expect("too fine", market, &trade(10, "0.000000001"), Channel::Trades, Dropped(Unrepresentable));
    let single = r#"{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","X":"MARKET","m":true}"#;
    w.expect("single fills nobody asked for", market, single, Channel::Trades, Dropped(NotCarried));

    let kline = |start_ms: u64, close: &str, interval: &str| {
        format!(
            r#"{{"e":"kline","E":{now_ms},"s":"BTCUSDT","k":{{"t":{start_ms},"T":{},"s":"BTCUSDT","i":"{interval}","o":"1","c":"{close}","h":"9","l":"1","v":"1","n":1,"x":false}}}}"#,
            start_ms + 59_999
        )
    };
    let candles = Channel::Candles;
    w.expect("a candle", market, &kline(minute_ms, "2", "1m"), candles, Published);
    w.expect("the same", market, &kline(minute_ms, "2", "1m"), candles, Dropped(Unchanged));
    w.expect("before it", market, &kline(minute_ms - 60_000, "2", "1m"), candles, Dropped(Late));
    w.expect("askew", market, &kline(minute_ms + 1, "2", "1m"), candles, Dropped(Implausible));
    w.expect("too fine", market, &kline(minute_ms, "0.000000001", "1m"), candles, Dropped(Unrepresentable));
    w.expect("the next waits", market, &kline(minute_ms + 60_000, "2", "1m"), candles, Dropped(Buffered));
    w.expect("not carried", market, &kline(minute_ms, "2", "5m"), candles, Dropped(NotCarried));
    w.expect("not known", market, &kline(minute_ms, "2", "7m"), candles, Dropped(NotCarried));

    let mark = |event_ms: u64| {
        format!(r#"{{"e":"markPriceUpdate","E":{event_ms},"s":"BTCUSDT","p":"1","i":"1","r":"0","T":0}}"#)
    };
    w.expect("a mark", market, &mark(now_ms), Channel::Funding, Published);
    w.expect("it again", market, &mark(now_ms), Channel::Funding, Dropped(Duplicate));

    w.expect("news", market, r#"{"e":"tradingSession","x":1}"#, Channel::Unknown, Dropped(Unknown));
    w.expect("rubbish", market, r#"{"e":"#, Channel::Unknown, Dropped(Malformed));
    let binary = w.outcomes_of(|bench| {
        bench.with(|session, now, out| session.on_binary(market, &[1, 2], now, out));
    });
    assert_eq!(binary, (Channel::Unknown, vec![(Dropped(Malformed), 1)]));
}

fn hyperliquid() -> Watched<HyperliquidSession> {
    let mut own = everything(&["BTC"]);
    own.account_address = Some(USER.to_owned());
    let mut bench = Bench::new(HyperliquidSession::new(own, BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let list = r#"{"universe":[{"name":"BTC","szDecimals":5}],"marginTables":[]}"#;
    let list = rest_hyperliquid::meta(&mut list.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(list)));
    connect(&mut bench);
    bench.message(0, GREETING);
    let account = bench.session.account().unwrap();
    assert_eq!(account.items_dropped(Channel::Control, Control), 1, "a greeting");
    while let Some((link, text)) = bench.take(|action| match action {
        Action::Send { link, text } if text.contains("\"subscribe\"") => Some((*link, text.clone())),
        _ => None,
    }) {
        let subscription = text.split_once("\"subscription\":").unwrap().1.strip_suffix('}').unwrap();
        let echo = format!(
            r#"{{"channel":"subscriptionResponse","data":{{"method":"subscribe","subscription":{subscription}}}}}"#
        );
        bench.message(link, &echo);
    }
    Watched::new(bench)
}

#[test]
fn hyperliquid_gives_every_message_its_outcome() {
    let mut watched = hyperliquid();
    let now_ms = watched.bench.now.wall_ns / 1_000_000;
    let w = &mut watched;
    assert!(w.account.messages_received(Channel::Control) >= 8, "every acknowledgement");
    let fresh = 0;
    w.expect("a pong", fresh, r#"{"channel":"pong"}"#, Channel::Control, Dropped(Control));
    w.expect("a greeting in the middle", fresh, GREETING, Channel::Unknown, Dropped(Malformed));
    let error = r#"{"channel":"error","data":"Something"}"#;
    w.expect("an error", fresh, error, Channel::Control, Dropped(Control));

    let bbo = |time_ms: u64, bid: &str| {
        format!(
            r#"{{"channel":"bbo","data":{{"coin":"BTC","time":{time_ms},"bbo":[{{"px":"{bid}","sz":"1","n":1}},{{"px":"300","sz":"1","n":1}}]}}}}"#
        )
    };
    let book = |coin: &str, time_ms: u64, bid: &str| {
        format!(
            r#"{{"channel":"l2Book","data":{{"coin":"{coin}","time":{time_ms},"levels":[[{{"px":"{bid}","sz":"1","n":1}}],[{{"px":"300","sz":"1","n":1}}]],"fast":true}}}}"#
        )
    };
    w.expect("a quote", fresh, &bbo(now_ms, "200"), Channel::Quotes, Published);
    w.expect("the same", fresh, &bbo(now_ms + 1, "200"), Channel::Quotes, Dropped(Unchanged));
    w.expect("an old one", fresh, &bbo(now_ms - 1, "201"), Channel::Quotes, Dropped(Late));
    w.expect("crossed", fresh, &bbo(now_ms + 2, "300"), Channel::Quotes, Dropped(Crossed));
    w.expect("too fine", fresh, &bbo(now_ms + 2, "0.000000001"), Channel::Quotes, Dropped(Unrepresentable));
    w.expect("a book", fresh, &book("BTC", now_ms + 3, "200"), Channel::Orderbook, Published);
    w.expect("unchanged but younger", fresh, &book("BTC", now_ms + 4, "200"), Channel::Orderbook, Published);
    w.expect("crossed", fresh, &book("BTC", now_ms + 5, "300"), Channel::Orderbook, Dropped(Crossed));
    w.expect("of nobody", fresh, &book("ETH", now_ms + 6, "200"), Channel::Orderbook, Dropped(NotCarried));

    let trade = |tid: u64, price: &str| {
        format!(
            r#"{{"coin":"BTC","side":"A","px":"{price}","sz":"1","time":{now_ms},"hash":"0x0","tid":{tid}}}"#
        )
    };
    let trades = |rows: &[String]| format!(r#"{{"channel":"trades","data":[{}]}}"#, rows.join(","));
    let rows = [trade(1, "1"), trade(2, "1"), trade(1, "1"), trade(3, "0.000000001")];
    let outcomes = vec![(Published, 2), (Dropped(Duplicate), 1), (Dropped(Unrepresentable), 1)];
    assert_eq!(w.outcomes(fresh, &trades(&rows)), (Channel::Trades, outcomes), "four of one frame");
    assert_eq!(w.outcomes(fresh, &trades(&[])), (Channel::Trades, vec![]), "a frame of nothing");
    let strange = trades(&[trade(5, "1"), trade(6, "1").replace("BTC", "ETH")]);
    assert_eq!(w.outcomes(fresh, &strange), (Channel::Trades, vec![(Dropped(NotCarried), 2)]));

    let minute_ms = now_ms / 60_000 * 60_000;
    let candle = |coin: &str, start_ms: u64, close: &str| {
        format!(
            r#"{{"t":{start_ms},"T":{},"s":"{coin}","i":"1m","o":"1","c":"{close}","h":"9","l":"1","v":"1","n":1}}"#,
            start_ms + 59_999
        )
    };
    let candles = [
        candle("BTC", minute_ms, "2"),
        candle("BTC", minute_ms, "2"),
        candle("ETH", minute_ms, "2"),
        candle("BTC", minute_ms - 60_000, "2"),
    ];
    let frame = format!(r#"{{"channel":"candle","data":[{}]}}"#, candles.join(","));
    let outcomes =
        vec![(Published, 1), (Dropped(NotCarried), 1), (Dropped(Late), 1), (Dropped(Unchanged), 1)];
    assert_eq!(w.outcomes(fresh, &frame), (Channel::Candles, outcomes), "an array of candles");

    let ctx = |coin: &str| {
        format!(
            r#"{{"channel":"activeAssetCtx","data":{{"coin":"{coin}","ctx":{{"funding":"0.1","markPx":"1"}}}}}}"#
        )
    };
    w.expect("a context", fresh, &ctx("BTC"), Channel::Funding, Published);
    w.expect("of nobody", fresh, &ctx("ETH"), Channel::Funding, Dropped(NotCarried));

    let fill = |tid: u64| {
        format!(
            r#"{{"coin":"BTC","side":"A","px":"1","sz":"1","time":{now_ms},"oid":1,"tid":{tid},"fee":"0"}}"#
        )
    };
    let fills = |user: &str| {
        format!(
            r#"{{"channel":"userFills","data":{{"user":"{user}","isSnapshot":true,"fills":[{},{},{}]}}}}"#,
            fill(1),
            fill(2),
            fill(1)
        )
    };
    let outcomes = vec![(Published, 2), (Dropped(Duplicate), 1)];
    assert_eq!(w.outcomes(fresh, &fills(USER)), (Channel::Fills, outcomes));
    assert_eq!(w.outcomes(fresh, &fills("0x1")), (Channel::Fills, vec![(Dropped(NotCarried), 3)]));

    w.expect("news", fresh, r#"{"channel":"news","data":{}}"#, Channel::Unknown, Dropped(Unknown));
    w.expect("rubbish", fresh, r#"{"channel":"#, Channel::Unknown, Dropped(Malformed));
}

#[test]
fn a_books_top_before_the_quotes_own_stream_makes_no_quote() {
    let own = Settings { streams: vec![Stream::Quotes], ..settings(&["BTC"]) };
    let mut bench = Bench::new(HyperliquidSession::new(own, BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    let list = r#"{"universe":[{"name":"BTC","szDecimals":5}],"marginTables":[]}"#;
    let list = rest_hyperliquid::meta(&mut list.as_bytes().to_vec()).unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(list)));
    connect(&mut bench);
    let mut watched = Watched::new(bench);
    let text = r#"{"channel":"l2Book","data":{"coin":"BTC","time":5,"levels":[[{"px":"1","sz":"1","n":1}],[]],"fast":true}}"#;
    let (channel, outcomes) = watched.outcomes(0, text);
    assert_eq!(channel, Channel::Orderbook);
    assert!(matches!(outcomes[..], [(Dropped(NotCarried | NotLive), 1)]), "{outcomes:?}");
}

fn shape(symbols: &[&str], weight_per_minute: u32) -> Shape {
    Shape {
        intervals: vec![(Interval::M1, 100)],
        streams: everything(&[]).streams,
        symbols: symbols.iter().map(|&name| name.to_owned()).collect(),
        weight_per_minute,
    }
}

/// Twenty minutes with faults; answers with the account, which has to add up after every step.
fn run(mut desk: VirtualDesk, faults: &[Fault]) -> Arc<Account> {
    let account = desk.seats[0].session.account().unwrap();
    let mut records = 0;
    for step in 0..20 * 60 * 10u64 {
        if step % 900 == 899
            && let Some(fault) = faults.get(step as usize / 900)
        {
            desk.venue().fault(fault).unwrap();
        }
        desk.step(100, |record| records += u64::from(record.trade().is_some()));
        assert!(account.adds_up());
    }
    let received: u64 = Channel::ALL.iter().map(|&channel| account.messages_received(channel)).sum();
    assert_eq!(received, desk.heard, "every message that came is counted, and nothing else");
    for channel in [Channel::Orderbook, Channel::Quotes, Channel::Trades, Channel::Candles, Channel::Funding]
    {
        assert!(account.items_published(channel) > 100, "{channel:?}: {account:?}");
    }
    println!(
        "{received} messages, {} trades published, {records} trade records",
        account.items_published(Channel::Trades)
    );
    assert!(records >= account.items_published(Channel::Trades));
    account
}

/// A fault from its text form.
fn fault(text: &str) -> Fault {
    let (name, parameters) = text.split_once(' ').unwrap_or((text, ""));
    let pairs = parameters.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    Fault::parse(name, &pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()).unwrap()
}

#[test]
fn in_a_virtual_run_of_binance_the_sums_are_exact() {
    let config = Config { seed: 11, ..Config::default() };
    let symbols = ["BTCUSDT", "ETHUSDT"];
    let venue = ByHand::binance(&config, START_MS).unwrap();
    let own = Settings { websocket_url: "wss://venue".into(), ..everything(&symbols) };
    let session = BinanceSession::new(own);
    let desk = VirtualDesk::single(Place {
        which: Venue::Binance,
        venue: Box::new(venue),
        session: Box::new(session),
        shape: shape(&symbols, 1800),
        files: None,
    });
    let faults = [
        "break_depth_sequence symbol=BTCUSDT",
        "duplicate_frames symbol=ETHUSDT frames=50",
        "drop_trades symbol=BTCUSDT count=5",
        "crossed_book symbol=BTCUSDT",
        "silence_klines symbol=BTCUSDT for_ms=70000",
        "cut how=drop",
    ];
    let faults: Vec<_> = faults.iter().map(|text| fault(text)).collect();
    let account = run(desk, &faults);
    assert!(account.items_dropped(Channel::Orderbook, Crossed) > 0);
    assert!(account.items_dropped(Channel::Trades, Duplicate) > 0);
}

#[test]
fn in_a_virtual_run_of_hyperliquid_the_sums_are_exact() {
    let config = Config { seed: 11, ..Config::default() };
    let symbols = ["BTC", "ETH"];
    let venue = ByHand::hyperliquid(&config, START_MS).unwrap();
    let own = Settings { websocket_url: "wss://venue/ws".into(), ..everything(&symbols) };
    let session = HyperliquidSession::new(own, BookSources::Both);
    let desk = VirtualDesk::single(Place {
        which: Venue::Hyperliquid,
        venue: Box::new(venue),
        session: Box::new(session),
        shape: shape(&symbols, 1000),
        files: None,
    });
    let faults =
        ["duplicate_frames symbol=ETH frames=50", "crossed_book symbol=BTC frames=3", "cut how=drop"];
    let faults: Vec<_> = faults.iter().map(|text| fault(text)).collect();
    let account = run(desk, &faults);
    assert!(account.items_dropped(Channel::Orderbook, Crossed) > 0);
    assert!(account.items_dropped(Channel::Trades, Duplicate) > 0);
}
