//! The Hyperliquid session without sockets, before a scripted venue: candles, funding, fills, the limits on
//! subscriptions, those that kill their connection, and lists that change.

mod support;

use codec::candle::{Candle, CandleRow};
use codec::decimal::{Price, Size};
use codec::record::{Kind, NO_INSTRUMENT, NONE_I64};
use codec::venues::rest_hyperliquid::{InstrumentInfo, SpotInfo, Turnover};
use codec::words::{Interval, Reason, State, Stream};
use engine::fetch::{Answer, FetchError, FetchRequest, Query};
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::{Settings, SymbolChoice};
use engine::session::{Action, CandleSeed, Session};
use std::collections::{BTreeMap, BTreeSet};
use support::{Bench, settings};

const EVERYTHING: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
const ACCOUNT: &str = "0x00000000000000000000000000000000000000aa";

/// The venue: connections with their subscriptions, lists, and what kills a connection.
struct Venue {
    bench: Bench<HyperliquidSession>,
    links: BTreeMap<u8, Link>,
    perps: Vec<InstrumentInfo>,
    fatal: BTreeSet<String>,
    /// Subscriptions, by a part of their text, whose first acknowledgement gets lost.
    lose_ack_of: Option<&'static str>,
    deaths: usize,
    subscriptions_max: usize,
    queries: Vec<Query>,
    unanswered: Vec<FetchRequest>,
    states: BTreeMap<(u32, u8), (State, Reason)>,
    candles: Vec<(Interval, Candle, u8, u8)>,
    kinds: BTreeMap<u8, usize>,
    fills: Vec<(u64, u8, u32)>,
    funding: Vec<codec::record::FundingBody>,
    gaps: Vec<(Stream, Reason)>,
}

#[derive(Default)]
struct Link {
    generation: u32,
    subscribed: BTreeSet<String>,
    /// When it dies, monotonic ns.
    dies_at: Option<u64>,
    pings: usize,
}

fn perp(name: &str) -> InstrumentInfo {
    InstrumentInfo { name: name.to_owned(), size_decimals: 3, delisted: false }
}

fn all(settings: Settings) -> Settings {
    Settings {
        symbols: SymbolChoice::All,
        streams: EVERYTHING.to_vec(),
        intervals: vec![Interval::M15, Interval::H1, Interval::H4],
        max_subscriptions: 1000,
        ..settings
    }
}

impl Venue {
    fn new(settings: Settings, perps: Vec<InstrumentInfo>) -> Self {
        let mut bench = Bench::new(HyperliquidSession::new(settings, BookSources::Both));
        // A full hour.
        bench.now.wall_ns = 1_699_999_200_000_000_000;
        Self {
            bench,
            links: BTreeMap::new(),
            perps,
            fatal: BTreeSet::new(),
            lose_ack_of: None,
            deaths: 0,
            subscriptions_max: 0,
            queries: Vec::new(),
            unanswered: Vec::new(),
            states: BTreeMap::new(),
            candles: Vec::new(),
            kinds: BTreeMap::new(),
            fills: Vec::new(),
            funding: Vec::new(),
            gaps: Vec::new(),
        }
    }

    fn start(mut self) -> Self {
        self.bench.with(Session::on_start);
        self.pass_ms(3_000);
        self
    }

    fn pass_ms(&mut self, ms: u64) {
        for _ in 0..ms / 10 {
            self.bench.pass_ms(10);
            self.act();
            let now = self.bench.now.mono_ns;
            let dying: Vec<u8> = self
                .links
                .iter()
                .filter(|(_, link)| link.dies_at.is_some_and(|at| at <= now))
                .map(|(link, _)| *link)
                .collect();
            for link in dying {
                self.deaths += 1;
                self.cut(link);
            }
            if now.is_multiple_of(500_000_000) {
                self.beat();
            }
        }
        self.read();
    }

    /// Books come by the clock, changed or not.
    fn beat(&mut self) {
        let time = self.venue_ms();
        let mut frames = Vec::new();
        for (&link, state) in &self.links {
            for subscription in state.subscribed.iter().filter(|one| one.contains("l2Book")) {
                let coin = subscription.split_once("\"coin\":\"").unwrap().1.split('"').next().unwrap();
                let fast = if subscription.contains("fast") { ",\"fast\":true" } else { "" };
                frames.push((link, format!(r#"{{"channel":"l2Book","data":{{"coin":"{coin}","time":{time},"levels":[[{{"px":"10.0","sz":"1.5","n":1}}],[{{"px":"11.0","sz":"2.0","n":1}}]]{fast}}}}}"#)));
            }
        }
        for (link, frame) in frames {
            self.bench.message(link, &frame);
        }
    }

    fn cut(&mut self, link: u8) {
        if let Some(state) = self.links.remove(&link) {
            self.bench.close(link, state.generation);
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.bench.actions.pop_front() {
            match action {
                Action::Connect { link, generation, .. } => {
                    self.links.insert(link, Link { generation, ..Link::default() });
                    self.bench.with(|session, now, out| session.on_connected(link, generation, now, out));
                }
                Action::Close { link } => drop(self.links.remove(&link)),
                Action::Send { link, text } => self.receive(link, &text),
                Action::Fetch(request) => self.rest(request),
                Action::Ping { .. } => {}
            }
        }
    }

    fn rest(&mut self, request: FetchRequest) {
        self.queries.push(request.query.clone());
        let answer = match &request.query {
            Query::Instruments => Answer::HyperliquidInstruments(self.perps.clone()),
            Query::SpotInstruments => Answer::HyperliquidSpot(vec![SpotInfo {
                name: "@107".to_owned(),
                index: 107,
                base: "HYPE".to_owned(),
                quote: "USDC".to_owned(),
                size_decimals: 2,
                canonical: false,
            }]),
            Query::Turnover => {
                let row = |(rank, info): (usize, &InstrumentInfo)| Turnover {
                    name: info.name.clone(),
                    day_notional: rank as f64,
                };
                Answer::Turnover(self.perps.iter().enumerate().map(row).collect())
            }
            _ => {
                self.unanswered.push(request);
                return;
            }
        };
        self.bench.answer(request, Ok(answer));
    }

    fn receive(&mut self, link: u8, text: &str) {
        if text.contains("\"ping\"") {
            self.bench.message(link, r#"{"channel":"pong"}"#);
            if let Some(link) = self.links.get_mut(&link) {
                link.pings += 1;
            }
            return;
        }
        let now = self.bench.now.mono_ns;
        let Some(state) = self.links.get_mut(&link) else { return };
        let subscription = text.split_once("\"subscription\":").unwrap().1;
        let subscription = subscription.strip_suffix('}').unwrap().to_owned();
        if text.contains("\"unsubscribe\"") {
            assert!(state.subscribed.remove(&subscription), "not subscribed: {subscription}");
            return;
        }
        if state.dies_at.is_some() {
            return;
        }
        if self.fatal.iter().any(|coin| subscription.contains(&format!("\"{coin}\""))) {
            state.dies_at = Some(now + 300_000_000);
            return;
        }
        let is_new = state.subscribed.insert(subscription.clone());
        let total = self.links.values().map(|link| link.subscribed.len()).sum();
        self.subscriptions_max = self.subscriptions_max.max(total);
        if self.lose_ack_of.is_some_and(|part| subscription.contains(part)) {
            self.lose_ack_of = None;
            return;
        }
        let reply = if is_new {
            format!(
                r#"{{"channel":"subscriptionResponse","data":{{"method":"subscribe","subscription":{subscription}}}}}"#
            )
        } else {
            let escaped = subscription.replace('"', "\\\"");
            format!(r#"{{"channel":"error","data":"Already subscribed: {escaped}"}}"#)
        };
        self.bench.message(link, &reply);
    }

    fn say(&mut self, link: u8, text: &str) {
        self.bench.message(link, text);
        self.act();
        self.read();
    }

    fn read(&mut self) {
        let Self { bench, states, candles, kinds, fills, funding, gaps, .. } = self;
        bench.drain(|record| {
            let header = record.header();
            *kinds.entry(header.kind).or_default() += 1;
            if let Some(status) = record.status() {
                let state = (status.state().unwrap(), status.reason().unwrap());
                states.insert((header.instrument, header.stream), state);
            }
            if let Some(body) = record.candle() {
                let interval = body.interval().unwrap();
                candles.push((interval, Candle::of_body(body), body.closed, body.revised));
            }
            if let Some(fill) = record.fill() {
                fills.push((fill.trade_id, fill.is_snapshot, header.instrument));
            }
            if let Some(body) = record.funding() {
                funding.push(*body);
            }
            if let Some(gap) = record.gap() {
                gaps.push((header.stream().unwrap(), gap.reason().unwrap()));
            }
        });
    }

    fn state(&self, instrument: u32, stream: Stream) -> (State, Reason) {
        self.states[&(instrument, stream.number())]
    }

    fn venue_ms(&self) -> u64 {
        self.bench.now.wall_ns / 1_000_000
    }
}

fn candle_frame(
    coin: &str,
    interval: &str,
    start_ms: u64,
    length_ms: u64,
    close: u32,
    trades: u32,
) -> String {
    format!(
        r#"{{"channel":"candle","data":{{"t":{start_ms},"T":{},"s":"{coin}","i":"{interval}","o":"100.0","c":"{close}.0","h":"110.0","l":"90.0","v":"{trades}.5","n":{trades}}}}}"#,
        start_ms + length_ms - 1
    )
}

#[test]
fn a_candle_is_open_closed_and_corrected_by_rest() {
    let settings =
        Settings { streams: vec![Stream::Candles], intervals: vec![Interval::M1], ..settings(&["BTC"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    assert_eq!(venue.state(0, Stream::Candles), (State::Live, Reason::None));
    let start = venue.venue_ms() / 60_000 * 60_000;
    venue.say(0, &candle_frame("BTC", "1m", start, 60_000, 101, 3));
    venue.say(0, &candle_frame("BTC", "1m", start, 60_000, 102, 5));
    venue.pass_ms(start + 60_000 - venue.venue_ms());
    venue.say(0, &candle_frame("BTC", "1m", start + 60_000, 60_000, 103, 1));
    let said: Vec<_> =
        venue.candles.iter().map(|(_, candle, closed, _)| (candle.num_trades, *closed)).collect();
    assert_eq!(said, [(3, 0), (5, 0), (5, 1), (1, 0)]);
    venue.pass_ms(10_000);
    let asked = venue.queries.iter().find_map(|query| match query {
        Query::Candles { start_ms, interval, .. } => Some((*start_ms, *interval)),
        _ => None,
    });
    assert_eq!(asked, Some((start, Interval::M1)));
}

#[test]
fn rest_answers_find_their_series() {
    let settings = Settings {
        streams: vec![Stream::Candles],
        intervals: vec![Interval::M1, Interval::M5],
        ..settings(&["BTC"])
    };
    let mut venue = Venue::new(settings, vec![perp("BTC")]);
    venue.bench.with(Session::on_start);
    let start = venue.venue_ms() / 300_000 * 300_000;
    // Both are short, and nothing is answered but by hand.
    venue.pass_ms(100);
    for (name, length) in [("1m", 60_000), ("5m", 300_000)] {
        venue.say(0, &candle_frame("BTC", name, start, length, 101, 3));
        let passed = start + length - venue.venue_ms();
        venue.pass_ms(passed);
        venue.say(0, &candle_frame("BTC", name, start + length, length, 101, 3));
    }
    venue.candles.clear();
    venue.pass_ms(6_000);
    for request in std::mem::take(&mut venue.unanswered) {
        let Query::Candles { interval, start_ms, .. } = request.query else { continue };
        assert_eq!(start_ms, start);
        let end_ms = interval.next_start_ms(start) - 1;
        let candle = Candle::of_trade(start, Price::from_raw(7), Size::from_raw(interval.number().into()));
        let rows = vec![CandleRow { start_ms: start, end_ms, candle: Some(candle) }];
        venue.bench.answer(request, Ok(Answer::Candles(rows)));
    }
    venue.read();
    let revised: Vec<_> = venue
        .candles
        .iter()
        .filter(|(.., revised)| *revised == 1)
        .map(|(interval, candle, ..)| (*interval, candle.volume.raw()))
        .collect();
    assert!(revised.contains(&(Interval::M1, Interval::M1.number().into())), "{revised:?}");
    assert!(revised.contains(&(Interval::M5, Interval::M5.number().into())), "{revised:?}");
}

#[test]
fn funding_of_a_perp_and_of_a_spot_pair() {
    let settings = Settings { streams: vec![Stream::Funding], ..settings(&["BTC", "@107"]) };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    assert_eq!(venue.state(0, Stream::Funding), (State::Warming, Reason::AwaitingData));
    venue.say(0, r#"{"channel":"activeAssetCtx","data":{"coin":"BTC","ctx":{"funding":"0.0000018952","openInterest":"36585.31848","prevDayPx":"86627.0","dayNtlVlm":"4161029539.9646","premium":null,"oraclePx":"84198.0","markPx":"84148.0","midPx":null,"impactPxs":null}}}"#);
    venue.say(0, r#"{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{"dayNtlVlm":"1.0","prevDayPx":"41.0","markPx":"41.25","midPx":null,"circulatingSupply":"1.0","totalSupply":"1.0","coin":"@107","dayBaseVlm":"1.0"}}}"#);
    let [perp, spot] = venue.funding[..] else { panic!("{:?}", venue.funding) };
    assert_eq!((perp.rate.raw(), perp.interval_hours), (1_895_200, 1));
    assert_eq!(perp.next_funding_ns % 3_600_000_000_000, 0);
    assert_eq!((spot.rate.raw(), spot.mark_price.to_f64(), spot.interval_hours), (NONE_I64, 41.25, 0));
    assert_eq!(venue.state(0, Stream::Funding), (State::Live, Reason::None));
    venue.pass_ms(12_000);
    assert_eq!(venue.state(1, Stream::Funding), (State::Stale, Reason::Silence));
}

fn fills(is_snapshot: bool, tids: &[u64]) -> String {
    let rows: Vec<_> = tids
        .iter()
        .map(|tid| {
            format!(r#"{{"coin":"{}","px":"100.5","sz":"0.25","side":"B","time":{tid},"startPosition":"0.0","dir":"Open Long","closedPnl":"0.0","hash":"0x0","oid":77,"crossed":true,"fee":"-0.01","tid":{tid},"feeToken":"USDC"}}"#, if tid % 2 == 0 { "BTC" } else { "DOGE" })
        })
        .collect();
    format!(
        r#"{{"channel":"userFills","data":{{"isSnapshot":{is_snapshot},"user":"{ACCOUNT}","fills":[{}]}}}}"#,
        rows.join(",")
    )
}

#[test]
fn each_fill_once_although_every_subscription_begins_with_the_past() {
    let settings = Settings {
        account_address: Some(ACCOUNT.to_owned()),
        streams: vec![Stream::Trades],
        ..settings(&["BTC"])
    };
    let mut venue = Venue::new(settings, vec![perp("BTC")]).start();
    assert_eq!(venue.state(NO_INSTRUMENT, Stream::Fills), (State::Live, Reason::None));
    venue.say(0, &fills(true, &[2, 4, 5]));
    venue.say(0, &fills(false, &[6]));
    venue.say(0, &fills(false, &[6]));
    assert_eq!(venue.fills, [(2, 1, 0), (4, 1, 0), (5, 1, 1), (6, 0, 0)], "a coin that is not carried, too");
    venue.cut(0);
    venue.read();
    assert_eq!(venue.state(NO_INSTRUMENT, Stream::Fills).0, State::Down);
    venue.pass_ms(5_000);
    venue.say(0, &fills(true, &[4, 5, 6, 8]));
    assert_eq!(venue.fills[4..], [(8, 0, 0)], "missed, and new");
    assert_eq!(venue.gaps.iter().filter(|(stream, _)| *stream == Stream::Fills).count(), 0);
    venue.cut(0);
    venue.pass_ms(5_000);
    venue.say(0, &fills(true, &[100]));
    assert!(venue.gaps.contains(&(Stream::Fills, Reason::Disconnect)), "the past does not reach back");
    // Somebody else's.
    venue.say(0, &fills(false, &[102]).replace(ACCOUNT, "0xbb"));
    assert_eq!(venue.fills.len(), 6);
}

#[test]
fn all_of_240_coins_within_a_thousand_subscriptions() {
    let coins: Vec<_> = (0..240).map(|number| perp(&format!("C{number}"))).collect();
    let mut venue = Venue::new(all(settings(&[])), coins).start();
    venue.pass_ms(60_000);
    assert!(venue.queries.contains(&Query::Turnover));
    assert!((990..=1000).contains(&venue.subscriptions_max), "{}", venue.subscriptions_max);
    let subscribed: BTreeSet<_> = venue.links.values().flat_map(|link| link.subscribed.clone()).collect();
    let with = |part: &str| subscribed.iter().filter(|one| one.contains(part)).count();
    assert_eq!((with("\"fast\":true"), with("\"bbo\""), with("\"trades\"")), (240, 240, 240));
    assert_eq!(
        (with("\"15m\""), with("\"1h\""), with("activeAssetCtx"), with("allDexsAssetCtxs")),
        (240, 0, 0, 1)
    );
    // The most traded keep their deep books.
    let deep: Vec<_> =
        subscribed.iter().filter(|one| one.contains("l2Book") && !one.contains("fast")).collect();
    assert_eq!(deep.len(), 39);
    assert!(
        deep.iter().any(|one| one.contains("\"C239\"")) && !deep.iter().any(|one| one.contains("\"C10\""))
    );
    // Every book by its fast frames alone; funding in bulk.
    let ctx = r#"{"funding":"0.00001","openInterest":"1.0","prevDayPx":"1.0","dayNtlVlm":"1.0","premium":null,"oraclePx":"1.0","markPx":"1.5","midPx":null,"impactPxs":null}"#;
    let ctxs = vec![ctx; 240].join(",");
    venue.say(0, &format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[["",[{ctxs}]]]}}}}"#));
    for instrument in 0..240 {
        assert_eq!(venue.state(instrument, Stream::Orderbook), (State::Live, Reason::None));
        assert_eq!(venue.state(instrument, Stream::Funding), (State::Live, Reason::None));
    }
    assert_eq!(venue.funding.len(), 240);
    // Of another length the message says nothing that could be trusted, and the lists are asked for.
    venue.queries.clear();
    venue.say(0, &format!(r#"{{"channel":"allDexsAssetCtxs","data":{{"ctxs":[["",[{ctxs},{ctx}]]]}}}}"#));
    assert_eq!(venue.funding.len(), 240);
    venue.pass_ms(11_000);
    assert!(venue.queries.contains(&Query::Instruments));
}

#[test]
fn longer_candles_are_folded_where_streams_are_short() {
    let coins: Vec<_> = (0..8).map(|number| perp(&format!("C{number}"))).collect();
    let short = Settings { max_subscriptions: 50, ..all(settings(&[])) };
    let mut venue = Venue::new(short, coins).start();
    let hour = venue.venue_ms() / 3_600_000 * 3_600_000;
    let quarter = 900_000;
    let last = Candle::flat(hour - 3_600_000, Price::from_raw(1));
    let seed = |interval, last| CandleSeed {
        venue: codec::words::Venue::Hyperliquid,
        instrument: 7,
        interval,
        last,
        base: None,
    };
    let fine = seed(Interval::M15, Candle::flat(hour - quarter, Price::from_raw(1)));
    let coarse = seed(Interval::H1, last);
    venue.bench.with(|session, now, out| session.on_seed(&fine, now, out));
    venue.bench.with(|session, now, out| session.on_seed(&coarse, now, out));
    venue.candles.clear();
    for part in 0..=4 {
        let start = hour + part * quarter;
        venue.say(0, &candle_frame("C7", "15m", start, quarter, 101, 2));
        let passed = (start + quarter).saturating_sub(venue.venue_ms());
        venue.pass_ms(if part < 4 { passed } else { 2_500 });
    }
    let hours: Vec<_> = venue
        .candles
        .iter()
        .filter(|(interval, ..)| *interval == Interval::H1)
        .map(|(_, candle, closed, _)| (candle.start_ms, candle.num_trades, *closed))
        .collect();
    assert!(hours.contains(&(hour, 8, 1)), "{hours:?} of {:?}", venue.candles);
    assert_eq!(hours.last(), Some(&(hour + 3_600_000, 2, 0)));
}

#[test]
fn a_subscription_that_kills_its_connection_stands_alone_in_the_end() {
    let coins: Vec<_> = (0..60).map(|number| perp(&format!("C{number}"))).collect();
    let mut venue = Venue::new(all(settings(&[])), coins);
    venue.fatal.insert("C33".to_owned());
    let mut venue = venue.start();
    venue.pass_ms(240_000);
    let deaths = venue.deaths;
    let subscribed: BTreeSet<_> = venue.links.values().flat_map(|link| link.subscribed.clone()).collect();
    let expected = 59 * 8;
    assert_eq!(subscribed.len(), expected, "all but those of the bad coin");
    for stream in EVERYTHING {
        assert_eq!(venue.state(33, stream), (State::Down, Reason::Rejected), "{stream}");
        // Funding is never sent here.
        let fine = stream == Stream::Funding || venue.state(34, stream).0 != State::Down;
        assert!(fine, "{stream}: {:?}", venue.state(34, stream));
    }
    // Eight subscriptions are bad, each found by halving; the connection itself died with the first batches only.
    assert!(deaths < 60, "{deaths}");
    venue.pass_ms(600_000);
    assert_eq!(venue.deaths, deaths, "and none of it again");
}

#[test]
fn a_lost_acknowledgement_costs_one_more_message_and_no_connection() {
    let mut venue = Venue::new(all(settings(&[])), vec![perp("BTC")]);
    venue.lose_ack_of = Some("\"trades\"");
    let mut venue = venue.start();
    assert_eq!(venue.state(0, Stream::Trades).0, State::Warming);
    venue.pass_ms(4_000);
    assert_eq!(venue.state(0, Stream::Trades), (State::Live, Reason::None));
    assert_eq!(venue.links[&0].generation, 1);
}

#[test]
fn lists_are_asked_for_again_and_followed() {
    let mut venue = Venue::new(all(settings(&[])), vec![perp("BTC"), perp("OLD")]).start();
    let before: usize = venue.links.values().map(|link| link.subscribed.len()).sum();
    venue.perps[1].delisted = true;
    venue.perps.push(perp("NEW"));
    venue.perps[0].size_decimals = 1;
    venue.pass_ms(700_000);
    assert_eq!(venue.state(1, Stream::Trades), (State::Down, Reason::UnknownSymbol));
    assert_eq!(venue.state(2, Stream::Trades), (State::Live, Reason::None));
    let subscribed: BTreeSet<_> = venue.links.values().flat_map(|link| link.subscribed.clone()).collect();
    assert_eq!(subscribed.len(), before, "one went, one came");
    assert!(
        subscribed.iter().any(|one| one.contains("NEW")) && !subscribed.iter().any(|one| one.contains("OLD"))
    );
    assert_eq!(venue.bench.publisher.instrument(0).unwrap().lot_size.to_f64(), 0.1);
    assert_eq!(venue.bench.publisher.instrument(1).unwrap().status, 3);
    assert!(venue.kinds[&(Kind::Instrument as u8)] >= 4);
}

#[test]
fn turnover_that_cannot_be_had_holds_up_nothing() {
    let coins: Vec<_> = (0..240).map(|number| perp(&format!("C{number}"))).collect();
    let mut bench = Bench::new(HyperliquidSession::new(all(settings(&[])), BookSources::Both));
    bench.with(Session::on_start);
    let request = bench.fetch().unwrap();
    bench.answer(request, Ok(Answer::HyperliquidInstruments(coins)));
    let mut failures = 0;
    for _ in 0..6_000 {
        bench.pass_ms(10);
        if let Some(request) = bench.fetch() {
            assert_eq!(request.query, Query::Turnover);
            failures += 1;
            bench.answer(request, Err(FetchError::Transient("no".into())));
        }
    }
    assert_eq!(failures, 3);
    assert!(bench.actions.iter().any(|action| matches!(action, Action::Connect { .. })));
}
