//! Scenarios: the ready ones to their end in virtual time, the same seed the same faults, and over real sockets.

mod common;

use common::{Client, Got, PATIENCE, quick};
use sim::protocol::{ConnectionId, ControlFrame, Protocol};
use sim::{
    ByHand, Config, CutHow, Due, FAULT_FORMS, Fault, Heard, Scenario, ScenarioStart, ScenarioState, Sim,
    SimError, Venue,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const START_MS: i64 = 1_790_000_000_000;
const LATE_MS: i64 = i64::MAX / 2;
/// How long the virtual client waits before it connects again.
const AGAIN_MS: i64 = 1_000;

fn calm() -> Config {
    let mut config = Config { seed: 5, ..Config::default() };
    for market in [&mut config.binance.market, &mut config.hyperliquid.market] {
        (market.book_levels, market.rate_per_s) = (40, 5.0);
    }
    config
}

fn symbols() -> Vec<(Venue, Vec<String>)> {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    vec![
        (Venue::Hyperliquid, names(&["BTC", "ETH", "SOL", "kPEPE"])),
        (Venue::Binance, names(&["BTCUSDT", "ETHUSDT", "SOLUSDT", "1000PEPEUSDT"])),
    ]
}

fn all(scenario: &Scenario, seed: u64) -> Vec<Due> {
    let mut schedule = scenario.schedule(seed, &symbols()).expect("a schedule");
    std::iter::from_fn(|| schedule.due(LATE_MS)).collect()
}

/// A client that connects again whenever it can, and counts what it gets.
struct Persistent<P: Protocol> {
    venue: ByHand<P>,
    path: &'static str,
    subscribe: &'static [&'static str],
    connection: Option<ConnectionId>,
    again_ms: i64,
    ended: u32,
    texts: u64,
}

impl<P: Protocol> Persistent<P> {
    fn new(venue: ByHand<P>, path: &'static str, subscribe: &'static [&'static str]) -> Self {
        let again_ms = venue.now_ms();
        Self { venue, path, subscribe, connection: None, again_ms, ended: 0, texts: 0 }
    }

    fn pass_to(&mut self, now_ms: i64) {
        while self.venue.now_ms() < now_ms {
            let next_ms = (self.venue.now_ms() + 20).min(now_ms);
            self.venue.pass_to(next_ms);
            if self.connection.is_none() && self.again_ms <= next_ms {
                self.again_ms = next_ms + AGAIN_MS;
                self.connection = self.venue.open(self.path).ok();
                for text in self.subscribe {
                    self.connection.map(|connection| self.venue.say(connection, text));
                }
            }
            self.hear();
        }
    }

    fn hear(&mut self) {
        while let Some(heard) = self.venue.next_heard() {
            match heard {
                Heard::Text(..) => self.texts += 1,
                Heard::Ping(from, payload) => {
                    self.venue.send_control(from, ControlFrame::Pong(payload));
                }
                Heard::Closed(..) | Heard::Dropped(..) => {
                    (self.connection, self.ended) = (None, self.ended + 1);
                    self.again_ms = self.venue.now_ms() + AGAIN_MS;
                }
                _ => {}
            }
        }
    }
}

#[test]
fn ready_scenarios_play_to_their_end_in_virtual_time() {
    for name in Scenario::names() {
        let scenario = Scenario::named(name).expect(name);
        assert!(!scenario.about().is_empty(), "{name} says what it is");
        let binance = ByHand::binance(&calm(), START_MS).expect("a venue");
        let hyperliquid = ByHand::hyperliquid(&calm(), START_MS).expect("a venue");
        let known = vec![
            (Venue::Hyperliquid, hyperliquid.market().trading_symbols()),
            (Venue::Binance, binance.market().trading_symbols()),
        ];
        let streams = "/public/stream?streams=btcusdt@bookTicker/btcusdt@depth/ethusdt@depth@100ms";
        let mut binance = Persistent::new(binance, streams, &[]);
        let mut hyperliquid = Persistent::new(
            hyperliquid,
            "/ws",
            &[r#"{"method":"subscribe","subscription":{"type":"bbo","coin":"BTC"}}"#],
        );
        let mut schedule = scenario.schedule(17, &known).expect("a schedule");
        let (mut made, mut cuts) = (0, 0);
        while let Some(next_ms) = schedule.next_ms() {
            assert!(next_ms <= scenario.length_ms());
            binance.pass_to(START_MS + next_ms);
            hyperliquid.pass_to(START_MS + next_ms);
            while let Some(due) = schedule.due(next_ms) {
                let done = match due.venue {
                    Venue::Binance => binance.venue.fault(&due.fault),
                    Venue::Hyperliquid => hyperliquid.venue.fault(&due.fault),
                };
                assert!(done.is_ok(), "{name}: {}: {done:?}", due.text);
                cuts += u32::from(matches!(due.fault, Fault::Cut { .. } | Fault::DayCut { .. }));
                made += 1;
            }
        }
        assert!(made >= 8, "{name}: {made} faults");
        let end_ms = START_MS + scenario.length_ms();
        binance.pass_to(end_ms);
        hyperliquid.pass_to(end_ms);
        let ended = binance.ended + hyperliquid.ended;
        assert!((cuts == 0) == (ended == 0), "{name}: {cuts} cuts, {ended} ends of connections");
        // The quiet time at the end is long enough for both to be heard again.
        let before = (binance.texts, hyperliquid.texts);
        binance.pass_to(end_ms + 10_000);
        hyperliquid.pass_to(end_ms + 10_000);
        assert!(
            binance.texts > before.0 && hyperliquid.texts > before.1,
            "{name} ends with both venues well"
        );
    }
}

#[test]
fn a_seed_decides_a_scenario_however_it_is_asked() {
    for name in Scenario::names() {
        let scenario = Scenario::named(name).expect(name);
        let whole = all(&scenario, 3);
        let mut schedule = scenario.schedule(3, &symbols()).expect("a schedule");
        let mut stepwise = Vec::new();
        for elapsed_ms in (0..=scenario.length_ms()).step_by(7) {
            stepwise.extend(std::iter::from_fn(|| schedule.due(elapsed_ms)));
        }
        stepwise.extend(std::iter::from_fn(|| schedule.due(scenario.length_ms())));
        assert_eq!(whole, stepwise, "{name}");
        assert!(whole.is_sorted_by_key(|due| due.at_ms) && schedule.next_ms().is_none());
        if whole.iter().any(|due| due.text.contains("symbol=")) {
            assert_ne!(whole, all(&scenario, 4), "{name} draws by the seed");
        }
    }
}

#[test]
fn steps_come_at_their_times_and_storms_within_their_bounds() {
    let text = r#"
        symbols.binance = ["ETHUSDT", "SOLUSDT"]
        [[step]]
        at_s = 1.5
        every_s = 2
        until_s = 5.5
        venues = ["hyperliquid", "binance"]
        fault = "cut"
        how = "reset"
        [[storm]]
        from_s = 10
        until_s = 200
        every_s = [2, 5]
        faults = [
            { fault = "drop_trades", symbol = "$symbol", count = 3, venue = "binance" },
            { fault = "silence_stream", stream = "$lower@depth@100ms", for_ms = 1_000, venues = ["binance"] },
            { fault = "change_tick", symbol = "$symbol", tick = 0.05, venue = "binance" },
            { fault = "short_candles", symbol = "$symbol" },
        ]
    "#;
    let plan = all(&Scenario::parse("own.toml", text).expect("a scenario"), 1);
    let (steps, storm): (Vec<Due>, Vec<Due>) = plan.into_iter().partition(|due| due.at_ms < 10_000);
    let times: Vec<(i64, Venue)> = steps.iter().map(|due| (due.at_ms, due.venue)).collect();
    let both = |at_ms| [(at_ms, Venue::Binance), (at_ms, Venue::Hyperliquid)];
    assert_eq!(times, [1_500, 3_500, 5_500].map(both).concat());
    assert!(steps.iter().all(|due| due.fault == Fault::Cut { route: None, how: CutHow::Reset, code: 1000 }));
    let mut last_ms = 10_000;
    let mut drawn = BTreeSet::new();
    for due in &storm {
        assert!((2_000..=5_000).contains(&(due.at_ms - last_ms)), "{due:?}");
        last_ms = due.at_ms;
        match &due.fault {
            // Of the storm's two venues only one has it.
            Fault::ShortCandles { .. } => assert_eq!(due.venue, Venue::Hyperliquid),
            Fault::ChangeTick { tick_e8, .. } => assert_eq!(*tick_e8, 5_000_000),
            _ => assert_eq!(due.venue, Venue::Binance),
        }
        drawn.insert(due.text.clone());
    }
    assert!((195_000..=200_000).contains(&last_ms));
    for text in
        ["drop_trades count=3 symbol=ETHUSDT", "silence_stream for_ms=1000 stream=solusdt@depth@100ms"]
    {
        assert!(drawn.contains(text), "{text} in {drawn:?}");
    }
    assert!(!drawn.iter().any(|text| text.contains("BTCUSDT") || text.contains('$')));
}

#[test]
fn symbols_that_are_not_there_are_refused_before_it_begins() {
    let refused = |text: &str, symbols: &[(Venue, Vec<String>)]| {
        let scenario = Scenario::parse("own.toml", text).expect("a scenario");
        match scenario.schedule(1, symbols) {
            Err(SimError::Scenario { line, reason, .. }) => (line, reason),
            other => panic!("{other:?}"),
        }
    };
    let step = |symbol| {
        format!("\n[[step]]\nat_s = 1\nvenue = \"binance\"\nfault = \"drop_trades\"\nsymbol = \"{symbol}\"")
    };
    assert_eq!(refused(&step("NOPE"), &symbols()), (2, "no symbol \"NOPE\" at binance".to_owned()));
    let (line, reason) = refused(&step("$symbol"), &[]);
    assert!(line == 2 && reason.contains("symbols.binance = ["), "{reason}");
    let (_, reason) = refused(&format!("symbols.binance = [\"X\"]{}", step("$symbol")), &symbols());
    assert_eq!(reason, "no symbol \"X\" at binance");
    // What the scenario lists itself is there, and of a capture only the venue knows.
    let listed =
        "[[step]]\nat_s = 0\nvenue = \"binance\"\nfault = \"list_symbol\"\nsymbol = \"NOPE\"\nprice = 1.5";
    for (text, known) in [(format!("{listed}{}", step("NOPE")), symbols()), (step("NOPE"), Vec::new())] {
        let scenario = Scenario::parse("own.toml", &text).expect("a scenario");
        assert!(scenario.schedule(1, &known).is_ok());
    }
}

fn wait_for(sim: &Sim, fits: impl Fn(&ScenarioState) -> bool) -> ScenarioState {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let state = sim.scenario().expect("a scenario");
        if fits(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "{state:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_running_simulation_plays_one_scenario_at_a_time() {
    let text = r#"
        length_s = 0.2
        [[step]]
        at_s = 0.05
        venue = "binance"
        fault = "cut"
        code = 4001
        how = "close"
        [[step]]
        at_s = 0.1
        venue = "hyperliquid"
        fault = "change_cadence"
        stream = "trades:BTC"
        period_ms = 9
        for_ms = 9
    "#;
    let short = Scenario::parse("short.toml", text).expect("a scenario");
    let sim = Sim::start(quick()).expect("a simulation");
    assert_eq!(sim.scenario(), None);
    sim.play(&short, Some(77), ScenarioStart::Subscribed).expect("it plays");
    let refused = sim.play(&short, None, ScenarioStart::Now).expect_err("one at a time");
    assert!(refused.to_string().contains("short.toml is being played"), "{refused}");
    assert_eq!(wait_for(&sim, |_| true).elapsed_ms, None, "nobody has subscribed");
    let url = format!("{}/public/ws/btcusdt@bookTicker", sim.binance().ws_url());
    let mut client = Client::connect(&sim, &url);
    assert!(matches!(client.read_to_end(), Got::Closed { code: Some(4001), .. }));
    let state = wait_for(&sim, |state| state.ended);
    // Trades cannot be told more rarely: the venue says so, and the scenario goes on.
    assert_eq!((state.played, state.refused, state.seed), (1, 1, 77));
    assert!(state.last.is_some_and(|last| last.contains("0.1 s, hyperliquid: change_cadence")));

    let long = Scenario::named("bad-day").expect("a scenario");
    sim.play(&long, None, ScenarioStart::Now).expect("the first one is over");
    assert_eq!(wait_for(&sim, |state| state.elapsed_ms.is_some()).seed, sim.seed());
    sim.stop_scenario();
    assert!(wait_for(&sim, |_| true).ended);
    sim.play(&long, None, ScenarioStart::Subscribed).expect("the second one is over");
    // Ends while it waits.
    sim.stop();
}

#[test]
fn the_page_names_every_fault_and_every_ready_scenario() {
    let page = include_str!("../../docs/simulator.md");
    let faults =
        page.split("## Faults").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the section");
    let of_section =
        faults.lines().filter_map(|line| line.strip_prefix("- `")).filter_map(|line| line.split_once("`: "));
    let on_page: Vec<(&str, &str)> = of_section.collect();
    let forms: BTreeSet<&str> = FAULT_FORMS.iter().copied().collect();
    assert_eq!(on_page.iter().map(|(form, _)| *form).collect::<BTreeSet<_>>(), forms);
    assert_eq!(on_page.len(), forms.len(), "each once");
    assert!(on_page.iter().all(|(_, meaning)| meaning.len() > 10), "each with its meaning");
    for name in Scenario::names() {
        let about = Scenario::named(name).expect(name).about().to_owned();
        assert!(page.contains(&format!("| `{name}` | {about} |")), "{name}: {about}");
    }
}
