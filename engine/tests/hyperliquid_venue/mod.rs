//! A scripted Hyperliquid: connections with their subscriptions, lists, and what kills a connection.

#![allow(dead_code)]

use crate::support::Bench;
use codec::candle::Candle;
use codec::venues::rest_hyperliquid::{InstrumentInfo, SpotInfo, Turnover};
use codec::words::{Interval, Reason, State, Stream};
use engine::fetch::{Answer, FetchError, FetchRequest, Query};
use engine::session::hyperliquid::{BookSources, HyperliquidSession};
use engine::session::settings::{Settings, SymbolChoice};
use engine::session::{Action, Session};
use std::collections::{BTreeMap, BTreeSet};

pub const EVERYTHING: [Stream; 5] =
    [Stream::Orderbook, Stream::Quotes, Stream::Trades, Stream::Candles, Stream::Funding];
pub const ACCOUNT: &str = "0x00000000000000000000000000000000000000aa";

/// A perp's context.
pub const CTX: &str = r#"{"funding":"0.00001","openInterest":"1.0","prevDayPx":"1.0","dayNtlVlm":"1.0","premium":null,"oraclePx":"1.0","markPx":"1.5","midPx":null,"impactPxs":null}"#;

/// See the module.
pub struct Venue {
    pub bench: Bench<HyperliquidSession>,
    pub links: BTreeMap<u8, Link>,
    pub perps: Vec<InstrumentInfo>,
    pub fatal: BTreeSet<String>,
    /// Subscriptions, by a part of their text, whose first acknowledgement gets lost.
    pub lose_ack_of: Option<&'static str>,
    /// Subscriptions, by a part of their text, that are never acknowledged.
    pub mute: BTreeSet<&'static str>,
    /// Subscriptions, by a part of their text, refused in words.
    pub refused: Option<&'static str>,
    /// Answers no pings.
    pub withholds_pongs: bool,
    /// Subscriptions it takes, all connections together.
    pub takes_max: usize,
    /// How requests are answered, instead of well.
    pub failing: BTreeMap<&'static str, FetchError>,
    pub empty: BTreeSet<&'static str>,
    pub holds_turnover: bool,
    /// Whether contexts come as books do.
    pub sends_ctx: bool,
    pub dex: Vec<InstrumentInfo>,
    pub limit_errors: usize,
    /// Messages sent, with their link.
    pub sent: Vec<(u8, String)>,
    pub trades: Vec<(u32, u64)>,
    pub deaths: usize,
    pub subscriptions_max: usize,
    pub queries: Vec<Query>,
    pub unanswered: Vec<FetchRequest>,
    pub states: BTreeMap<(u32, u8), (State, Reason)>,
    pub candles: Vec<(Interval, Candle, u8, u8)>,
    pub kinds: BTreeMap<u8, usize>,
    pub fills: Vec<(u64, u8, u32)>,
    pub funding: Vec<codec::record::FundingBody>,
    pub gaps: Vec<(Stream, Reason)>,
}

#[derive(Default)]
pub struct Link {
    pub generation: u32,
    pub subscribed: BTreeSet<String>,
    /// When it dies, monotonic ns.
    pub dies_at: Option<u64>,
    pub pings: usize,
}

pub fn perp(name: &str) -> InstrumentInfo {
    InstrumentInfo { name: name.to_owned(), size_decimals: 3, delisted: false }
}

pub fn all(settings: Settings) -> Settings {
    Settings {
        symbols: SymbolChoice::All,
        streams: EVERYTHING.to_vec(),
        intervals: vec![Interval::M15, Interval::H1, Interval::H4],
        max_subscriptions: 1000,
        ..settings
    }
}

impl Venue {
    pub fn new(settings: Settings, perps: Vec<InstrumentInfo>) -> Self {
        let mut bench = Bench::new(HyperliquidSession::new(settings, BookSources::Both));
        // A full hour.
        bench.now.wall_ns = 1_699_999_200_000_000_000;
        Self {
            bench,
            links: BTreeMap::new(),
            perps,
            fatal: BTreeSet::new(),
            lose_ack_of: None,
            mute: BTreeSet::new(),
            refused: None,
            withholds_pongs: false,
            takes_max: usize::MAX,
            failing: BTreeMap::new(),
            empty: BTreeSet::new(),
            holds_turnover: false,
            sends_ctx: false,
            dex: Vec::new(),
            limit_errors: 0,
            sent: Vec::new(),
            trades: Vec::new(),
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

    pub fn start(mut self) -> Self {
        self.bench.with(Session::on_start);
        self.pass_ms(3_000);
        self
    }

    pub fn pass_ms(&mut self, ms: u64) {
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
    pub fn beat(&mut self) {
        let time = self.venue_ms();
        let mut frames = Vec::new();
        for (&link, state) in &self.links {
            let contexts = state.subscribed.iter().filter(|one| one.contains("activeAssetCtx"));
            for subscription in contexts.filter(|_| self.sends_ctx) {
                let coin = subscription.split_once("\"coin\":\"").unwrap().1.split('"').next().unwrap();
                frames.push((
                    link,
                    format!(r#"{{"channel":"activeAssetCtx","data":{{"coin":"{coin}","ctx":{CTX}}}}}"#),
                ));
            }
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

    pub fn cut(&mut self, link: u8) {
        if let Some(state) = self.links.remove(&link) {
            self.bench.close(link, state.generation);
        }
    }

    pub fn act(&mut self) {
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

    pub fn rest(&mut self, request: FetchRequest) {
        self.queries.push(request.query.clone());
        let kind = match &request.query {
            Query::Instruments => "perps",
            Query::SpotInstruments => "spot",
            Query::DexInstruments { .. } => "dex",
            _ => "",
        };
        if let Some(error) = self.failing.get(kind) {
            self.bench.answer(request, Err(error.clone()));
            return;
        }
        let answer = match &request.query {
            Query::Instruments | Query::DexInstruments { .. } if self.empty.contains(kind) => {
                Answer::HyperliquidInstruments(Vec::new())
            }
            Query::SpotInstruments if self.empty.contains(kind) => Answer::HyperliquidSpot(Vec::new()),
            Query::Turnover if self.holds_turnover => {
                self.unanswered.push(request);
                return;
            }
            Query::DexInstruments { .. } => Answer::HyperliquidInstruments(self.dex.clone()),
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

    pub fn receive(&mut self, link: u8, text: &str) {
        if text.contains("\"ping\"") {
            if self.withholds_pongs {
                return;
            }
            self.bench.message(link, r#"{"channel":"pong"}"#);
            if let Some(link) = self.links.get_mut(&link) {
                link.pings += 1;
            }
            return;
        }
        self.sent.push((link, text.to_owned()));
        let now = self.bench.now.mono_ns;
        let total: usize = self.links.values().map(|link| link.subscribed.len()).sum();
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
        if self.refused.is_some_and(|part| subscription.contains(part)) {
            let escaped = text.replace('"', "\\\"");
            let text = format!(
                r#"{{"channel":"error","data":"Error parsing JSON into valid websocket request: {escaped}"}}"#
            );
            self.bench.message(link, &text);
            return;
        }
        if total >= self.takes_max && !state.subscribed.contains(&subscription) {
            self.limit_errors += 1;
            let text = r#"{"channel":"error","data":"Cannot subscribe to more than 1000 channels."}"#;
            self.bench.message(link, text);
            return;
        }
        let is_new = state.subscribed.insert(subscription.clone());
        let total = self.links.values().map(|link| link.subscribed.len()).sum();
        self.subscriptions_max = self.subscriptions_max.max(total);
        if self.mute.iter().any(|part| subscription.contains(part)) {
            return;
        }
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

    pub fn say(&mut self, link: u8, text: &str) {
        self.bench.message(link, text);
        self.act();
        self.read();
    }

    pub fn read(&mut self) {
        let Self { bench, states, candles, kinds, fills, funding, gaps, trades, .. } = self;
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
            if let Some(trade) = record.trade() {
                trades.push((header.instrument, trade.trade_id));
            }
            if let Some(gap) = record.gap() {
                gaps.push((header.stream().unwrap(), gap.reason().unwrap()));
            }
        });
    }

    pub fn state(&self, instrument: u32, stream: Stream) -> (State, Reason) {
        self.states[&(instrument, stream.number())]
    }

    pub fn subscribed(&self) -> BTreeSet<String> {
        self.links.values().flat_map(|link| link.subscribed.clone()).collect()
    }

    pub fn with(&self, part: &str) -> usize {
        self.subscribed().iter().filter(|one| one.contains(part)).count()
    }

    pub fn venue_ms(&self) -> u64 {
        self.bench.now.wall_ns / 1_000_000
    }
}

pub fn candle_frame(
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
