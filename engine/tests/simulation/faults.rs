//! What goes wrong, by seed: the faults of the venues and of the network between, and those of our own machine.

use crate::virtual_desk::Thread;
use codec::words::Venue;
use engine::session::backoff::Random;
use sim::{CutHow, Fault, MalformedHow, RefuseHow, Route, StrangeOrder, TlsHow};

/// Something that goes wrong.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// At a venue, or on the way to it.
    Venue(Venue, Fault),
    /// A thread is not run.
    Pause(Thread, u64),
    /// The system's clock is set.
    Clock(i64),
    /// Messages, connections and requests take longer, by up to so much.
    Slow { by_ms: u64, for_ms: u64 },
    /// Answers of REST are lost: so many of a thousand.
    LoseRest { per_mille: u64, for_ms: u64 },
    /// An account trades: no fault, but it comes in the middle of them.
    Fill(String),
}

/// Something that goes wrong at a time.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Since the start.
    pub at_ms: u64,
    pub trouble: Trouble,
}

impl Trouble {
    /// Its name, as counted.
    pub fn name(&self) -> String {
        let word = |text: String| text.split([' ', '(', '{']).next().unwrap_or_default().to_owned();
        match self {
            Self::Venue(venue, fault) => format!("{venue} {}", word(format!("{fault:?}"))),
            Self::Pause(thread, _) => format!("pause {thread:?}"),
            other => word(format!("{other:?}")),
        }
    }

    /// How long it takes from its beginning until nothing of it is left but its consequences.
    pub fn lasts_ms(&self) -> u64 {
        match self {
            Self::Pause(_, for_ms) | Self::Slow { for_ms, .. } => *for_ms,
            // A request that is lost is waited for.
            Self::LoseRest { for_ms, .. } => for_ms + 20_000,
            Self::Clock(_) | Self::Fill(_) => 0,
            Self::Venue(_, fault) => fault_lasts_ms(fault),
        }
    }
}

fn fault_lasts_ms(fault: &Fault) -> u64 {
    let ms = match fault {
        Fault::RefuseConnections { for_ms, .. }
        | Fault::TlsFailure { for_ms, .. }
        | Fault::Drip { for_ms, .. }
        | Fault::KeyOrder { for_ms, .. }
        | Fault::EmptyRate { for_ms, .. }
        | Fault::ChangeCadence { for_ms, .. }
        | Fault::SilenceStream { for_ms, .. }
        | Fault::SilenceSymbol { for_ms, .. }
        | Fault::SilenceKlines { for_ms, .. }
        | Fault::CandleRestDown { for_ms, .. }
        | Fault::StopTrades { for_ms, .. } => *for_ms,
        Fault::LateCandleRows { for_ms, lag_ms, .. } => for_ms + lag_ms,
        Fault::DelayRest { for_ms, delay_ms } => for_ms + delay_ms,
        Fault::LateCloseFrames { delay_ms, .. } | Fault::SlowSnapshots { delay_ms, .. } => *delay_ms,
        // The fetcher rests a little longer than it is told to.
        Fault::RestStatus { for_ms, retry_after_s, .. } => {
            for_ms + 1_000 * i64::from(retry_after_s.unwrap_or(0)) + 10_000
        }
        Fault::ClockStep { for_ms, .. } => for_ms.unwrap_or(0),
        // Asked for again after five minutes.
        Fault::AckedAndSilent { .. } => 600_000,
        _ => 0,
    };
    ms.max(0) as u64
}

/// Nothing new happens for so long at the end, beside the faults that last.
const REST_MS: u64 = 30_000;

/// The whole schedule of a seed.
pub fn plan(seed: u64, storm_ms: u64, symbols: &[(Venue, Vec<String>)]) -> Vec<Planned> {
    let mut random = Random::new(seed ^ 0xFA17);
    let mut planned = Vec::new();
    let mean_ms = [5_000, 15_000, 30_000, 60_000][random.below(4) as usize];
    let mut at_ms = 20_000;
    while at_ms < storm_ms {
        let trouble = draw(&mut random, symbols);
        if at_ms + trouble.lasts_ms() + REST_MS < storm_ms {
            // What is refused is noticed by whoever has to connect.
            let cut = matches!(&trouble, Trouble::Venue(_, Fault::RefuseConnections { .. }));
            if let (true, Trouble::Venue(venue, _)) = (cut, &trouble) {
                let fault = Fault::Cut { route: None, how: CutHow::Reset, code: 1000 };
                planned.push(Planned { at_ms, trouble: Trouble::Venue(*venue, fault) });
            }
            planned.push(Planned { at_ms, trouble });
        }
        // Often some at once.
        at_ms += if random.below(4) == 0 { random.below(500) } else { random.below(2 * mean_ms) };
    }
    planned
}

fn draw(random: &mut Random, symbols: &[(Venue, Vec<String>)]) -> Trouble {
    let some_ms = |random: &mut Random| {
        let longest = [2_000, 15_000, 60_000][random.below(3) as usize];
        200 + random.below(longest)
    };
    match random.below(20) {
        0 | 1 => {
            let thread = [Thread::Engine, Thread::Ipc, Thread::Sides][random.below(3) as usize];
            let longest =
                [100, 1_000, 10_000][random.below(3) as usize] * if thread == Thread::Ipc { 3 } else { 1 };
            Trouble::Pause(thread, 10 + random.below(longest))
        }
        2 => {
            let farthest = [50, 5_000, 3_600_000][random.below(3) as usize];
            let by_ms = random.below(farthest) as i64;
            Trouble::Clock(if random.below(2) == 0 { by_ms } else { -by_ms })
        }
        3 => {
            let by_ms = [50, 400, 3_000][random.below(3) as usize];
            Trouble::Slow { by_ms, for_ms: some_ms(random) }
        }
        4 => Trouble::LoseRest { per_mille: 100 + random.below(900), for_ms: some_ms(random) },
        5 => match symbols.iter().find(|(venue, _)| *venue == Venue::Hyperliquid) {
            Some((_, names)) => Trouble::Fill(names[random.below(names.len() as u64) as usize].clone()),
            None => Trouble::Pause(Thread::Engine, 50),
        },
        _ => {
            let (venue, names) = &symbols[random.below(symbols.len() as u64) as usize];
            let symbol = names[random.below(names.len() as u64) as usize].clone();
            let for_ms = some_ms(random) as i64;
            Trouble::Venue(*venue, fault(*venue, symbol, for_ms, random))
        }
    }
}

/// Frames and answers in unusual forms, connections that do not come about: nothing of them is lost.
fn form(symbol: String, for_ms: i64, few: u32, random: &mut Random) -> Fault {
    let frames = few * 10;
    match random.below(13) {
        0 => Fault::DayCut { route: None },
        1 => Fault::TlsFailure { for_ms, how: TlsHow::Garbage },
        2 | 3 => Fault::FragmentFrames { frames },
        4 => Fault::OversizeFrame { bytes: 5 << 20 },
        5 => Fault::NewFields { frames },
        6 => Fault::NewChannel { frames: few },
        7 => {
            let order = if random.below(2) == 0 { StrangeOrder::Reversed } else { StrangeOrder::Shuffled };
            Fault::KeyOrder { for_ms, order }
        }
        8 => {
            let status = [429, 418, 500, 503][random.below(4) as usize];
            let retry_after_s = (status < 500).then(|| 1 + random.below(20) as u32);
            Fault::RestStatus { status, for_ms: for_ms.min(20_000), retry_after_s }
        }
        9 => Fault::RestGarbage { requests: few },
        10 => Fault::Greeting { connections: few },
        11 => Fault::LoseAcks { count: few },
        _ => Fault::SlowSnapshots { delay_ms: for_ms.min(15_000), requests: few, symbol: Some(symbol) },
    }
}

/// What is told is odd, or not so, and the oracle knows what of it can be known.
fn untruth(binance: bool, symbol: String, for_ms: i64, few: u32, random: &mut Random) -> Fault {
    match random.below(8) {
        // Numbers that are used up look like trades left out, at Binance.
        0 if !binance => Fault::ZeroPriceTrades { symbol, count: few },
        0 => Fault::NewValues { frames: few },
        1 if binance => Fault::EmptyRate { symbol, for_ms },
        // A book has to follow such a quote at Hyperliquid, until the next message.
        2 if binance => Fault::NullSides { symbol, frames: few },
        1 | 2 => Fault::NewFields { frames: few },
        3 => Fault::BinaryFrames { frames: few },
        4 => {
            let hows = [
                MalformedHow::Truncated,
                MalformedHow::WrongType,
                MalformedHow::NotUtf8,
                MalformedHow::NotJson,
            ];
            let how = hows[random.below(4) as usize];
            Fault::MalformedFrames { frames: few, symbol: Some(symbol), how }
        }
        5 => {
            let stream = match stream(binance, &symbol, random) {
                // Changes that come late tell of crossed books when those are long over.
                changes if changes.ends_with("@depth@100ms") => changes.replace("depth@100ms", "bookTicker"),
                states => states,
            };
            Fault::ChangeCadence { stream, period_ms: 200 + random.below(6_000) as i64, for_ms }
        }
        6 => Fault::NewValues { frames: few },
        // Trades have numbers here.
        7 if binance => Fault::ReorderFrames { symbol, frames: few },
        _ => Fault::NewChannel { frames: few },
    }
}

/// Of which the oracle knows less than the daemon might.
fn unknown(symbol: String, for_ms: i64, few: u32, random: &mut Random) -> Fault {
    match random.below(6) {
        0 => Fault::ReorderFrames { symbol, frames: few },
        1 => Fault::ZeroPriceTrades { symbol, count: few },
        2 => Fault::ClockStep { by_ms: random.below(20_000) as i64 - 10_000, for_ms: Some(for_ms) },
        3 => Fault::Drip { for_ms, bytes_per_s: 200 << random.below(8) },
        4 => Fault::NullSides { symbol, frames: few },
        _ => Fault::AckedAndSilent { count: few },
    }
}

fn fault(venue: Venue, symbol: String, for_ms: i64, random: &mut Random) -> Fault {
    let binance = venue == Venue::Binance;
    let few = 1 + random.below(4) as u32;
    if random.below(4) == 0 {
        return form(symbol, for_ms, few, random);
    }
    if std::env::var_os("SIMULATION_WIDE").is_some() && random.below(4) == 0 {
        return unknown(symbol, for_ms, few, random);
    }
    if random.below(4) == 0 {
        return untruth(binance, symbol, for_ms, few, random);
    }
    match random.below(18) {
        0 | 1 => {
            let routes = [None, Some(Route::Public), Some(Route::Market)];
            let route = if binance { routes[random.below(3) as usize] } else { None };
            let hows = [CutHow::Close, CutHow::Drop, CutHow::Reset, CutHow::MidFrame];
            let how = hows[random.below(4) as usize];
            let code = [1000, 1001, 1006, 1008, 1012][random.below(5) as usize];
            Fault::Cut { route, how, code }
        }
        2 => {
            let how = if random.below(2) == 0 { RefuseHow::Close } else { RefuseHow::Refuse };
            Fault::RefuseConnections { for_ms, how }
        }
        3 => Fault::DelayRest { delay_ms: for_ms / 3, for_ms },
        4 if binance => Fault::BreakDepthSequence { symbol, events: few },
        4 | 5 => Fault::DuplicateFrames { symbol, frames: few * 3 },
        6 if binance => Fault::DropTrades { symbol, count: few },
        6 | 7 => Fault::CrossedBook { symbol, frames: few },
        8 => Fault::StaleSnapshots { symbol: None, requests: few, age_ms: 100 + for_ms.min(20_000) },
        9 => Fault::SilenceSymbol { symbol, for_ms },
        10 | 11 => Fault::SilenceStream { stream: stream(binance, &symbol, random), for_ms },
        12 if binance => Fault::LateCloseFrames { symbol, interval: None, delay_ms: for_ms / 3, frames: few },
        13 if binance => Fault::LoseCloseFrames { symbol, interval: None, frames: few },
        14 if binance => Fault::SilenceKlines { symbol, for_ms },
        12..=14 => Fault::ShortCandles { symbol, interval: None, before_ms: 2_000, periods: few },
        15 => Fault::CandleRestDown { timeout: random.below(2) == 0, for_ms },
        // Binance marks its closes, and its rows are right a second after them.
        16 if !binance => {
            Fault::LateCandleRows { symbol: None, missing: random.below(2) == 0, lag_ms: 4_000, for_ms }
        }
        _ => Fault::StopTrades { symbol, for_ms },
    }
}

/// A stream whose silence can be known, or does no harm.
fn stream(binance: bool, symbol: &str, random: &mut Random) -> String {
    if binance {
        let kind = ["depth@100ms", "bookTicker", "aggTrade", "markPrice@1s"][random.below(4) as usize];
        return format!("{}@{kind}", symbol.to_lowercase());
    }
    let kind = ["l2Book", "l2BookFast", "bbo", "activeAssetCtx"][random.below(4) as usize];
    format!("{kind}:{symbol}")
}
