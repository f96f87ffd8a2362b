//! The desk's clients: who reads all, who reads late, who comes and goes, who sends rubbish.

use crate::oracle::Oracle;
use crate::reader::{Key, Reader};
use crate::virtual_desk::{Socket, Thread, VirtualDesk};
use codec::words::{Stream, Venue};
use engine::session::backoff::Random;
use ipc::LeaveReason;
use slipstream_client::{Request, request};

/// What a client is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Everything, whole books.
    Full,
    /// Everything, changes of books.
    Delta,
    /// Everything, as records.
    Records,
    /// As the first two, but it reads late.
    Slow,
    /// As records, late.
    SlowRecords,
    /// Connects, subscribes to something, leaves.
    Guest,
    /// Sends what nobody understands.
    Rubbish,
}

/// All that one venue carries.
#[derive(Clone, Debug)]
pub struct Menu {
    pub venue: Venue,
    pub symbols: Vec<String>,
    pub intervals: Vec<&'static str>,
    pub fills: bool,
}

/// A silence longer than this is one heartbeat too few.
const HEARTBEAT_MS: u64 = 5_000;
const ROOM_BYTES: usize = 1 << 20;

/// See the module.
pub struct Customer {
    pub habit: Habit,
    pub reader: Reader,
    pub leaves: u64,
    socket: usize,
    random: Random,
    asleep_until_ms: u64,
    back_at_ms: Option<u64>,
    next_whim_ms: u64,
}

impl Customer {
    pub fn new(habit: Habit, seed: u64, desk: &mut VirtualDesk, menu: &[Menu]) -> Self {
        let mut random = Random::new(seed);
        let now_ms = desk.now_ms();
        let socket = desk.join(room(habit, &mut random));
        let mut customer = Self {
            habit,
            reader: Reader::new(&format!("{habit:?}")),
            leaves: 0,
            socket,
            random,
            asleep_until_ms: 0,
            back_at_ms: None,
            next_whim_ms: now_ms,
        };
        customer.greet(desk, menu);
        customer
    }

    fn send(&self, desk: &mut VirtualDesk, bytes: &[u8]) {
        desk.sockets[self.socket].unheard.extend_from_slice(bytes);
    }

    /// What it says when it has connected.
    fn greet(&mut self, desk: &mut VirtualDesk, menu: &[Menu]) {
        self.reader.reset(desk.now_ms());
        let records = matches!(self.habit, Habit::Records | Habit::SlowRecords);
        if records {
            let hello = request("hello").with("client", "simulation").with("encoding", "record");
            let bytes = self.reader.ask(hello, "hello", false);
            self.send(desk, &bytes);
        }
        let all = !matches!(self.habit, Habit::Guest | Habit::Rubbish);
        if all {
            for of in menu {
                for (subscription, key, depth, delta) in self.choices(of, records) {
                    let bytes = self.reader.subscribe(subscription, key, depth, delta);
                    self.send(desk, &bytes);
                }
            }
        }
    }

    /// Every subscription of a venue, as this client makes it.
    fn choices(&mut self, of: &Menu, records: bool) -> Vec<(Request, Key, usize, bool)> {
        let venue = of.venue.as_str();
        let mut choices = Vec::new();
        let mut add = |request: Request, symbol: &str, stream: Stream, depth: usize, delta: bool| {
            choices.push((request, (venue.to_owned(), symbol.to_owned(), stream), depth, delta));
        };
        for symbol in &of.symbols {
            let about = |kind: &str| request(kind).venue(venue).symbol(symbol);
            let depth = [1, 5, 10, 20][self.random.below(4) as usize];
            let delta = match self.habit {
                Habit::Delta => true,
                Habit::Full => false,
                _ => self.random.below(2) == 0,
            };
            let mut book = about("subscribe_orderbook");
            if !records {
                book = book.with("depth", depth as u64).with("mode", if delta { "delta" } else { "full" });
            }
            add(book, symbol, Stream::Orderbook, depth, delta && !records);
            add(about("subscribe_quote"), symbol, Stream::Quotes, 0, false);
            add(about("subscribe_trades"), symbol, Stream::Trades, 0, false);
            add(about("subscribe_funding"), symbol, Stream::Funding, 0, false);
            // One key for all intervals: the first only, so that none begins anew while another runs.
            let candles = about("subscribe_candles").with("interval", of.intervals[0]);
            add(candles, symbol, Stream::Candles, 0, false);
        }
        if of.fills {
            add(request("subscribe_fills").venue(venue), "", Stream::Fills, 0, false);
        }
        choices
    }

    /// What it does in this moment.
    pub fn act(&mut self, desk: &mut VirtualDesk, oracle: &mut Oracle, menu: &[Menu]) {
        let now_ms = desk.now_ms();
        if let Some(reason) = desk.sockets[self.socket].left.take() {
            self.sent_away(reason, desk, oracle);
        }
        if desk.sockets[self.socket].id.is_none() {
            if self.back_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
                self.back_at_ms = None;
                let room = room(self.habit, &mut self.random);
                let sum = desk.sockets[self.socket].sum;
                let mut socket = Socket::connected(&mut desk.core, room, desk.now);
                socket.sum = sum;
                desk.sockets[self.socket] = socket;
                self.greet(desk, menu);
            }
            return;
        }
        self.read(desk, oracle);
        if now_ms >= self.next_whim_ms {
            self.whim(desk, menu);
        }
    }

    fn sent_away(&mut self, reason: LeaveReason, desk: &VirtualDesk, oracle: &mut Oracle) {
        let allowed = match self.habit {
            Habit::Slow | Habit::SlowRecords => reason == LeaveReason::NoProgress,
            Habit::Rubbish => reason == LeaveReason::FrameTooLarge,
            _ => false,
        };
        if !allowed {
            oracle.blame(format!("client {:?} was sent away: {reason}", self.habit));
        }
        self.leaves += 1;
        self.back_at_ms = Some(desk.now_ms() + 100 + self.random.below(5_000));
    }

    fn read(&mut self, desk: &mut VirtualDesk, oracle: &mut Oracle) {
        let now_ms = desk.now_ms();
        let slow = matches!(self.habit, Habit::Slow | Habit::SlowRecords);
        if now_ms < self.asleep_until_ms {
            return;
        }
        let most = if slow { 200 + self.random.below(30_000) as usize } else { usize::MAX };
        if slow && self.random.below(150) == 0 {
            let longest = if self.random.below(8) == 0 { 45_000 } else { 12_000 };
            self.asleep_until_ms = now_ms + self.random.below(longest);
        }
        let mut bytes = Vec::new();
        desk.sockets[self.socket].read(&mut desk.core, most, &mut bytes);
        let before = self.reader.messages;
        let result = self.reader.take(&bytes, oracle);
        oracle.checked.messages += self.reader.messages - before;
        if let Err(what) = result {
            let what = format!("client {}: {what}", self.reader.name);
            oracle.blame(what);
        }
        // A server that stands still says nothing.
        if slow || !desk.runs(Thread::Ipc) {
            self.reader.heard_ms = now_ms;
        }
        let silent_ms = now_ms - self.reader.heard_ms;
        if silent_ms > HEARTBEAT_MS && !slow {
            oracle.blame(format!("client {} heard nothing for {silent_ms} ms", self.reader.name));
            self.reader.heard_ms = now_ms;
        }
    }

    fn whim(&mut self, desk: &mut VirtualDesk, menu: &[Menu]) {
        let now_ms = desk.now_ms();
        self.next_whim_ms = now_ms + 200 + self.random.below(8_000);
        let of = &menu[self.random.below(menu.len() as u64) as usize];
        let symbol = &of.symbols[self.random.below(of.symbols.len() as u64) as usize];
        let about = |kind: &str| request(kind).venue(of.venue.as_str()).symbol(symbol);
        match self.habit {
            Habit::Full => {
                let (question, kind) = match self.random.below(6) {
                    0 => (about("get_orderbook"), "orderbook_snapshot"),
                    1 => (about("get_quote"), "quote"),
                    2 => (about("get_trades").with("count", 20), "trades"),
                    3 => {
                        (about("get_candles").with("interval", of.intervals[0]).with("count", 30), "candles")
                    }
                    4 => (about("get_funding"), "funding"),
                    _ => (request("get_status"), "status_report"),
                };
                let bytes = self.reader.ask(question, kind, true);
                self.send(desk, &bytes);
            }
            Habit::Guest if self.random.below(6) == 0 => {
                // Some leave in the middle of a sentence.
                desk.sockets[self.socket].close(&mut desk.core, LeaveReason::Closed);
                desk.sockets[self.socket].left = None;
                self.back_at_ms = Some(now_ms + self.random.below(20_000));
                self.leaves += 1;
            }
            Habit::Guest if !self.reader.is_answered() => {}
            Habit::Guest => {
                let choices = self.choices(&of.clone(), false);
                let (subscription, key, depth, delta) =
                    choices[self.random.below(choices.len() as u64) as usize].clone();
                let subscribed = self.reader.topics.contains_key(&key);
                let bytes = if subscribed && self.random.below(2) == 0 {
                    self.reader.unsubscribe(&subscription, key)
                } else {
                    self.reader.subscribe(subscription, key, depth, delta)
                };
                self.send(desk, &bytes);
            }
            Habit::Rubbish => self.rubbish(desk),
            _ => {}
        }
    }

    fn rubbish(&mut self, desk: &mut VirtualDesk) {
        let framed = |payload: &[u8]| {
            let mut frame = (payload.len() as u32).to_be_bytes().to_vec();
            frame.extend_from_slice(payload);
            frame
        };
        let bytes = match self.random.below(6) {
            0 => framed(&[]),
            1 => framed(b"\xc1\x00\xff\x90rubbish"),
            2 => framed(&[0x91; 40]),
            3 => framed(b"\x81\xa4type\xa4pingtrailing"),
            4 => {
                let bytes = self.reader.ask(request("subscribe_everything"), "error", true);
                return self.send(desk, &bytes);
            }
            _ if self.random.below(10) == 0 => (8u32 << 20).to_be_bytes().to_vec(),
            _ => {
                let bytes = self.reader.ask(request("ping"), "pong", false);
                return self.send(desk, &bytes);
            }
        };
        self.reader.expect_error();
        self.send(desk, &bytes);
    }
}

fn room(habit: Habit, random: &mut Random) -> usize {
    match habit {
        Habit::Slow | Habit::SlowRecords => 2_000 << random.below(6),
        _ => ROOM_BYTES,
    }
}
