//! What the venues change without a word is seen, counted and told once, and nothing breaks by it.

mod support;
mod system;

use codec::drift::DriftKind;
use codec::venues::{rest_binance, rest_hyperliquid};
use codec::words::{Interval, Reason, State, Stream};
use engine::fetch::{Answer, FetchRequest, Query};
use engine::session::account::Channel;
use engine::session::binance::BinanceSession;
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::Settings;
use engine::session::{Action, Session};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use support::{Bench, settings};

const PUBLIC: u8 = 0;
const MARKET: u8 = 2;
/// The first slot, where everything lives on one route.
const ONLY: u8 = 0;

fn info(tick: &str, lot: &str, status: &str) -> Answer {
    let body = format!(
        r#"{{"symbols":[{{"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{{"filterType":"PRICE_FILTER","tickSize":"{tick}"}},{{"filterType":"LOT_SIZE","stepSize":"{lot}"}}]}},{{"symbol":"X","contractType":"PERPETUAL","status":"{status}","filters":[]}}]}}"#
    );
    Answer::BinanceInstruments(rest_binance::exchange_info(&mut body.into_bytes()).unwrap())
}

fn meta(decimals: u8) -> Answer {
    let body = format!(r#"{{"universe":[{{"name":"BTC","szDecimals":{decimals}}}],"marginTables":[]}}"#);
    Answer::HyperliquidInstruments(rest_hyperliquid::meta(&mut body.into_bytes()).unwrap())
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

/// Acknowledges every subscription of Binance.
fn acknowledge(bench: &mut Bench<BinanceSession>) {
    while let Some((link, text)) = bench.take(|action| match action {
        Action::Send { link, text } => Some((*link, text.clone())),
        _ => None,
    }) {
        let id = text.rsplit_once("\"id\":").unwrap().1.trim_end_matches('}').to_owned();
        bench.message(link, &format!("{{\"result\":null,\"id\":{id}}}"));
    }
}

fn binance(streams: &[Stream]) -> Bench<BinanceSession> {
    let own = Settings {
        streams: streams.to_vec(),
        intervals: vec![Interval::M1, Interval::H1],
        ..settings(&["BTCUSDT"])
    };
    let mut bench = Bench::new(BinanceSession::new(own));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(info("0.10", "0.001", "CLOSE")));
    connect(&mut bench);
    acknowledge(&mut bench);
    bench
}

fn hyperliquid(streams: &[Stream]) -> Bench<HyperliquidSession> {
    let own = Settings { streams: streams.to_vec(), ..settings(&["BTC"]) };
    let mut bench = Bench::new(HyperliquidSession::new(own, BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(meta(5)));
    connect(&mut bench);
    bench
}

/// Kind, subject, count and frame of everything noted.
fn drift<S: Session>(bench: &Bench<S>) -> Vec<(DriftKind, String, u64, String)> {
    let table = bench.session.drift().unwrap();
    let all: Vec<_> = table
        .entries()
        .map(|entry| (entry.kind, entry.what.to_string(), entry.count(), entry.frame.to_string()))
        .collect();
    for &kind in DriftKind::ALL {
        let kept: u64 = all.iter().filter(|one| one.0 == kind).map(|one| one.2).sum();
        assert!(kept <= table.total(kind));
        assert!(kept == table.total(kind) || table.overflow() > 0);
    }
    all
}

/// How often drift was told in the log.
fn told<S: Session>(bench: &Bench<S>) -> usize {
    bench.events.iter().filter(|event| event.what.starts_with("venue drift")).count()
}

fn ticker(id: u64) -> String {
    format!(
        r#"{{"e":"bookTicker","u":{id},"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1,"nw":[1,{{"x":2}}]}}"#
    )
}

#[test]
fn a_new_member_of_every_message_is_told_once_and_counted() {
    let mut bench = binance(&[Stream::Quotes]);
    for id in 1..=1000 {
        bench.message(PUBLIC, &ticker(id));
    }
    bench.pass_ms(10);
    assert_eq!(drift(&bench), [(DriftKind::NewField, "bookTicker.nw".to_owned(), 1000, ticker(1))]);
    assert_eq!(told(&bench), 1);
    let account = bench.session.account().unwrap();
    assert_eq!(account.items_published(Channel::Quotes), 1000, "and every one is a quote");
}

#[test]
fn unknown_channels_and_words_are_told() {
    let mut bench = binance(&[Stream::Trades, Stream::Candles]);
    let session = r#"{"stream":"!tradingSession","data":{"e":"tradingSession","x":1}}"#;
    let array = r#"{"stream":"btcusdt@novelty@arr","data":[1]}"#;
    let kline = r#"{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":0,"T":1,"s":"BTCUSDT","i":"9m","o":"1","c":"1","h":"1","l":"1","v":"1","n":1,"x":false}}"#;
    let trade = r#"{"e":"aggTrade","E":1,"a":1,"s":"BTCUSDT","p":"1","q":"1","T":1,"m":true,"st":7}"#;
    for text in [session, array, kline, trade, session] {
        bench.message(ONLY, text);
    }
    bench.pass_ms(10);
    let expected = [
        (DriftKind::NewChannel, "tradingSession", 2, session),
        (DriftKind::NewChannel, "novelty@arr", 1, array),
        (DriftKind::NewValue, "kline.k.i=9m", 1, kline),
        (DriftKind::NewValue, "st=7", 1, trade),
    ];
    let expected =
        expected.map(|(kind, what, count, frame)| (kind, what.to_owned(), count, frame.to_owned()));
    assert_eq!(drift(&bench), expected);

    let mut bench = hyperliquid(&[Stream::Quotes]);
    let news = r#"{"channel":"news","data":{"a":1}}"#;
    bench.message(0, news);
    bench.message(0, news);
    let nameless = r#"{"data":{}}"#;
    bench.message(0, nameless);
    assert_eq!(
        drift(&bench),
        [
            (DriftKind::NewChannel, "news".to_owned(), 2, news.to_owned()),
            (DriftKind::NewChannel, "(no name)".to_owned(), 1, nameless.to_owned())
        ]
    );
    assert_eq!(told(&bench), 2);
}

#[test]
fn a_flood_of_differences_stays_bounded() {
    let mut bench = hyperliquid(&[Stream::Quotes]);
    for number in 0..1000 {
        bench.message(0, &format!(r#"{{"channel":"news{number}","data":{{"a{number}":1}}}}"#));
        let trade = r#"{"coin":"BTC","side":"A","px":"1","sz":"1","time":1,"hash":"0x0","tid":1,"zzz":1}"#;
        let trade = trade.replace("zzz", &format!("z{number}"));
        bench.message(0, &format!(r#"{{"channel":"trades","data":[{trade}]}}"#));
    }
    bench.pass_ms(10);
    let entries = drift(&bench).len();
    let others = (DriftKind::ALL.len() - 2) * codec::limits::DRIFT_ENTRIES_RESERVED;
    assert_eq!(entries, codec::limits::DRIFT_ENTRIES_MAX - others);
    assert_eq!(told(&bench), entries);
    let full: Vec<_> =
        bench.events.iter().filter(|event| event.what.starts_with("no room for more")).collect();
    let mut kinds: Vec<_> = full.iter().map(|event| event.subject.as_str()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["new_channel", "new_field"], "each once");
    let table = bench.session.drift().unwrap();
    assert_eq!(table.total(DriftKind::NewChannel) + table.total(DriftKind::NewField), 2000);
    assert_eq!(table.overflow(), 2000 - entries as u64);
}

fn book(time_ms: u64, fast: bool) -> String {
    let fast = if fast { ",\"fast\":true" } else { "" };
    format!(
        r#"{{"channel":"l2Book","data":{{"coin":"BTC","time":{time_ms},"levels":[[{{"px":"1","sz":"1","n":1}}],[{{"px":"2","sz":"1","n":1}}]]{fast}}}}}"#
    )
}

#[test]
fn a_pace_that_changes_is_told() {
    let mut bench = hyperliquid(&[Stream::Orderbook]);
    let mut at_ms = bench.now.wall_ns / 1_000_000;
    let mut feed = |bench: &mut Bench<HyperliquidSession>, gap_ms: u64, fast: bool, count: usize| {
        for _ in 0..count {
            at_ms += gap_ms;
            bench.pass_ms(gap_ms);
            bench.message(u8::from(!fast), &book(at_ms, fast));
        }
    };
    feed(&mut bench, 540, true, 60);
    feed(&mut bench, 5_400, false, 40);
    // The fast book is silent while the other comes, and that is told; the pace is not.
    let paces = |bench: &Bench<HyperliquidSession>| {
        drift(bench).into_iter().filter(|one| one.0 == DriftKind::Cadence).collect::<Vec<_>>()
    };
    assert_eq!(paces(&bench), [], "as expected");
    feed(&mut bench, 2_000, true, 60);
    let seen = "every 2000 ms (median) instead of 540".to_owned();
    assert_eq!(paces(&bench), [(DriftKind::Cadence, "l2Book fast".to_owned(), 1, seen)]);
    assert_eq!(told(&bench), drift(&bench).len());
    feed(&mut bench, 550, true, 60);
    assert!(bench.events.iter().any(|event| event.what == "stream comes at its expected pace again"));

    let mut bench = binance(&[Stream::Orderbook, Stream::Quotes, Stream::Funding]);
    let mut id = 0;
    let mut second = |bench: &mut Bench<BinanceSession>, depths: u64, quotes: u64, marks: bool| {
        let from_ms = bench.now.wall_ns / 1_000_000;
        for depth in 0..depths {
            for _ in 0..quotes {
                id += 1;
                bench.message(PUBLIC, &ticker(id).replace(",\"nw\":[1,{\"x\":2}]", ""));
            }
            id += 1;
            let event_ms = from_ms + depth * (1000 / depths);
            let text = format!(
                r#"{{"e":"depthUpdate","E":{event_ms},"T":1,"s":"BTCUSDT","U":1,"u":{id},"pu":{},"b":[],"a":[]}}"#,
                id - 1
            );
            bench.message(PUBLIC, &text);
        }
        if marks {
            let text = format!(
                r#"{{"e":"markPriceUpdate","E":{from_ms},"s":"BTCUSDT","p":"1","i":"1","r":"0","T":0}}"#
            );
            bench.message(MARKET, &text);
        }
        bench.pass_ms(1000);
    };
    (0..100).for_each(|_| second(&mut bench, 10, 5, true));
    (0..100).for_each(|_| second(&mut bench, 1, 1, true));
    assert_eq!(drift(&bench), [], "a quiet market is no change");
    (0..100).for_each(|at| second(&mut bench, 2, 5, at % 3 == 0));
    let paces: Vec<_> = drift(&bench).into_iter().map(|(kind, what, _, seen)| (kind, what, seen)).collect();
    let expected = [
        (DriftKind::Cadence, "depth@100ms".to_owned(), "every 500 ms (median) instead of 100".to_owned()),
        (DriftKind::Cadence, "markPrice@1s".to_owned(), "every 3000 ms (median) instead of 1000".to_owned()),
    ];
    assert_eq!(paces, expected);
}

#[test]
fn a_route_that_is_acknowledged_and_silent_is_told() {
    let mut bench = binance(&[Stream::Quotes]);
    bench.pass_ms(30_000);
    let seen = drift(&bench);
    assert!(
        seen.iter().any(|(kind, what, ..)| *kind == DriftKind::SilentRoute && what == "public"),
        "{seen:?}"
    );
}

#[test]
fn a_connection_of_hyperliquid_that_acknowledges_and_is_silent_is_told() {
    let mut bench = hyperliquid(&[Stream::Orderbook]);
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
    bench.pass_ms(9_000);
    let routes: Vec<_> = drift(&bench).into_iter().filter(|one| one.0 == DriftKind::SilentRoute).collect();
    assert!(matches!(&routes[..], [(_, what, 1, _)] if what == "fast books, quotes, trades"), "{routes:?}");
}

/// Names asked for since this was last called.
fn asked(bench: &mut Bench<BinanceSession>) -> Vec<String> {
    let mut names = Vec::new();
    while let Some((link, text)) = bench.take(|action| match action {
        Action::Send { link, text } => Some((*link, text.clone())),
        _ => None,
    }) {
        let id = text.rsplit_once("\"id\":").unwrap().1.trim_end_matches('}').to_owned();
        bench.message(link, &format!("{{\"result\":null,\"id\":{id}}}"));
        names.push(text);
    }
    names
}

#[test]
fn candles_that_do_not_follow_their_trades_are_stale_and_asked_for_again() {
    let mut bench = binance(&[Stream::Trades, Stream::Candles]);
    let mut id = 0;
    let mut seconds = |bench: &mut Bench<BinanceSession>, count: u64, silent: bool, trades: bool| {
        for _ in 0..count {
            let at_ms = bench.now.wall_ns / 1_000_000;
            if trades {
                id += 1;
                bench.message(ONLY, &format!(
                    r#"{{"e":"aggTrade","E":{at_ms},"a":{id},"s":"BTCUSDT","p":"{id}","q":"1","T":{at_ms},"m":true}}"#
                ));
            }
            for (interval, length_ms) in [("1m", 60_000), ("1h", 3_600_000)] {
                if !trades || (silent && interval == "1m") {
                    continue;
                }
                let start_ms = at_ms / length_ms * length_ms;
                let end_ms = start_ms + length_ms - 1;
                bench.message(ONLY, &format!(
                    r#"{{"e":"kline","E":{at_ms},"s":"BTCUSDT","k":{{"t":{start_ms},"T":{end_ms},"s":"BTCUSDT","i":"{interval}","o":"1","c":"{id}","h":"999999","l":"1","v":"{id}","n":{id},"x":false}}}}"#
                ));
            }
            // What keeps the connection awake.
            bench.message(ONLY, r#"{"e":"contractInfo","s":"X","ct":"PERPETUAL","cs":"TRADING"}"#);
            bench.pass_ms(1000);
        }
    };
    let states = |bench: &mut Bench<BinanceSession>| {
        let mut seen = Vec::new();
        bench.drain(|record| {
            if let Some(status) = record.status()
                && record.header().stream == Stream::Candles.number()
            {
                seen.push((status.state().unwrap(), status.reason().unwrap()));
            }
        });
        seen
    };
    seconds(&mut bench, 30, false, true);
    assert_eq!(states(&mut bench).last(), Some(&(State::Live, Reason::None)));
    seconds(&mut bench, 120, false, false);
    assert_eq!((states(&mut bench), drift(&bench)), (vec![], vec![]), "a market without trades is quiet");
    asked(&mut bench);
    seconds(&mut bench, 16, true, true);
    assert_eq!(states(&mut bench), [(State::Stale, Reason::NoFirstData)]);
    let seen = drift(&bench);
    assert!(
        matches!(&seen[..], [(DriftKind::SilentStream, what, 1, name)] if what == "kline_1m" && name == "btcusdt@kline_1m"),
        "{seen:?}"
    );
    let names = asked(&mut bench);
    assert!(
        names.iter().any(|text| text.contains("SUBSCRIBE") && text.contains("[\"btcusdt@kline_1m\"]")),
        "{names:?}"
    );
    assert_eq!(states(&mut bench), [], "acknowledged again, it is no better for that");
    seconds(&mut bench, 2, false, true);
    assert_eq!(states(&mut bench), [(State::Live, Reason::None)]);
}

/// The next request for the instruments, after this time.
fn instruments<S: Session>(bench: &mut Bench<S>) -> FetchRequest {
    for _ in 0..4_000 {
        bench.pass_ms(1_000);
        let asked = bench.take(|action| match action {
            Action::Fetch(request) if request.query == Query::Instruments => Some(request.clone()),
            _ => None,
        });
        if let Some(request) = asked {
            return request;
        }
        bench.actions.clear();
        bench.drain(|_| {});
    }
    panic!("the instruments are never asked for again");
}

#[test]
fn ticks_lots_and_new_words_of_the_list_are_told() {
    let mut bench = binance(&[]);
    let request = instruments(&mut bench);
    bench.answer(request, Ok(info("0.10", "0.001", "CLOSE")));
    assert_eq!(drift(&bench), []);
    let request = instruments(&mut bench);
    bench.answer(request, Ok(info("0.50", "0.01", "NAPPING")));
    let told: Vec<_> = drift(&bench).into_iter().map(|(kind, what, count, _)| (kind, what, count)).collect();
    let expected = [
        (DriftKind::NewValue, "exchangeInfo.status=NAPPING".to_owned(), 1),
        (DriftKind::TickSize, "BTCUSDT".to_owned(), 1),
        (DriftKind::LotSize, "BTCUSDT".to_owned(), 1),
    ];
    assert_eq!(told, expected);
    assert_eq!(drift(&bench)[0].3, "symbol X, contractType PERPETUAL, status NAPPING");
    assert!(drift(&bench)[1].3.starts_with("tick 0.1"), "{:?}", drift(&bench));

    let mut bench = hyperliquid(&[]);
    let request = instruments(&mut bench);
    bench.answer(request, Ok(meta(4)));
    let told: Vec<_> = drift(&bench).into_iter().map(|(kind, what, ..)| (kind, what)).collect();
    assert_eq!(told, [(DriftKind::TickSize, "BTC".to_owned()), (DriftKind::LotSize, "BTC".to_owned())]);
}

#[test]
fn a_tick_that_changes_is_in_the_report_the_metrics_and_the_log() {
    let symbols = "symbols = [\"BTCUSDT\"]\nchannels = [\"quotes\", \"trades\"]";
    let choice = system::Choice { hyperliquid: None, binance: Some(symbols), retention: "" };
    let desk = system::Desk::start(sim::Config::default(), &choice);
    let mut client = desk.client();
    let up = "mktdata_connection_up{venue=\"binance\"}";
    system::wait_for("a connection", || (desk.metrics().value(up) == 1.0).then_some(()));
    let venue = desk.sim.binance();
    let tick_e8 = 50_000_000;
    venue.fault(sim::Fault::ChangeTick { symbol: "BTCUSDT".into(), tick_e8 }).unwrap();
    // A tick changes without a word; a listing makes the daemon ask for the list again, once listings are heard.
    let mut listed: Option<Instant> = None;
    let mut number = 0;
    let entry = system::wait_for("the tick in the report", || {
        if listed.is_none_or(|at| at.elapsed() > Duration::from_secs(1)) {
            number += 1;
            let symbol = ("symbol".to_owned(), format!("NEW{number}USDT"));
            let listing = HashMap::from([symbol, ("price".to_owned(), "1".to_owned())]);
            venue.fault(sim::Fault::parse("list_symbol", &listing).unwrap()).unwrap();
            listed = Some(Instant::now());
        }
        let (_, status) = client.request(&slipstream_client::request("get_status")).unwrap();
        let status = status.to_string();
        status.contains("\"tick_size\"").then_some(status)
    });
    assert!(entry.contains("BTCUSDT") && entry.contains("became 0.5"), "{entry}");
    let counted = desk.metrics().value("mktdata_drift_total{venue=\"binance\",kind=\"tick_size\"}");
    assert_eq!(counted, 1.0);
    assert!(desk.log().contains("venue drift: an instrument has another tick: BTCUSDT"), "{}", desk.log());
}
