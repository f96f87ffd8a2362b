//! A whole desk in virtual time: a session before a simulated venue driven by hand, the fetcher's queue and
//! budget before the venue's REST, the history of candles in memory, and the server with one client.
//!
//! Nothing sleeps, nothing has a socket; days pass in seconds, and one seed makes one run.
#![allow(dead_code)]

use codec::record::Record;
use codec::ring::Consumer;
use codec::time::Now;
use codec::words::{Interval, Venue};
use engine::event::{Event, Severity};
use engine::fetch::{FetchError, FetchRequest, Fetched};
use engine::fetcher::{Queue, Reply, Ticket, understand, wire};
use engine::history::{CandleFiles, CoreVenue, HistoryCore, HistoryCounters, Loaded, NoFiles, SeriesName};
use engine::publisher::{Outlet, Publisher, Takes};
use engine::session::{Action, CloseCause, Interest, Link, Out, Session};
use ipc::client::ClientId;
use ipc::{CandleWish, Core, CoreConfig, Outlets, Output, VenueConfig};
use sim::protocol::{ControlFrame, Protocol};
use sim::{ByHand, Heard};
use slipstream_client::{Request, Value};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// From an answer of the venue to its arrival here, and of a connection being made.
const LATENCY_MS: u64 = 120;

/// Where engine and history would be asked by the fetcher.
const OF_ENGINE: usize = 0;
const OF_HISTORY: usize = 1;

struct Wait {
    due_ms: u64,
    ticket: Ticket,
    asked: Now,
    reply: Reply,
    body: Vec<u8>,
}

/// See the module.
pub struct VirtualDesk<P: Protocol, S: Session> {
    pub venue: ByHand<P>,
    pub session: S,
    pub publisher: Publisher,
    pub core: Core,
    pub history: HistoryCore,
    pub queue: Queue,
    pub now: Now,
    pub events: Vec<Event>,
    /// Connections made so far.
    pub connects: usize,
    which: Venue,
    actions: VecDeque<Action>,
    records: Consumer,
    closed: Consumer,
    interest: rtrb::Consumer<ipc::Interest>,
    wishes: rtrb::Consumer<CandleWish>,
    links: HashMap<Link, (u32, u64)>,
    by_connection: HashMap<u64, Link>,
    connecting: Vec<(u64, Link, u32, String)>,
    asked: HashMap<u64, (Ticket, Now)>,
    waiting: Vec<Wait>,
    pub client: ClientId,
    inbox: Vec<u8>,
    next_id: u64,
}

/// What a desk is made of.
pub struct Shape {
    pub intervals: Vec<(Interval, u32)>,
    pub streams: Vec<codec::words::Stream>,
    pub symbols: Vec<String>,
    pub weight_per_minute: u32,
}

impl<P: Protocol, S: Session> VirtualDesk<P, S> {
    pub fn new(
        venue: ByHand<P>,
        session: S,
        which: Venue,
        shape: &Shape,
        files: Option<Box<dyn CandleFiles + Send>>,
    ) -> Self {
        let (ipc_in, records) = codec::ring::ring(32 << 20);
        let (closed_in, closed) = codec::ring::ring(4 << 20);
        let publisher = Publisher::new(
            1,
            vec![
                Outlet::all("ipc", ipc_in),
                Outlet { name: "history", producer: closed_in, takes: Takes::ClosedCandles },
            ],
        );
        let start_ms = venue.now_ms() as u64;
        let now = Now { mono_ns: 3_600_000_000_000, wall_ns: start_ms * 1_000_000 };
        let (interest_in, interest) = rtrb::RingBuffer::new(16_384);
        let (wishes_in, wishes) = rtrb::RingBuffer::new(16_384);
        let mut config = CoreConfig::new(
            1,
            vec![VenueConfig {
                venue: which,
                streams: shape.streams.clone(),
                intervals: shape.intervals.iter().map(|(interval, _)| *interval).collect(),
                symbols: shape.symbols.clone(),
            }],
        );
        config.retention.orderbook_depth = 20;
        let outlets =
            Outlets { interest: Some(interest_in), candle_wishes: Some(wishes_in), ..Outlets::default() };
        let mut core = Core::new(config, outlets, now);
        let client = core.connect(now).unwrap();
        let history = HistoryCore::new(
            vec![CoreVenue {
                venue: which,
                intervals: shape.intervals.clone(),
                files: files.unwrap_or_else(|| Box::new(NoFiles)),
            }],
            Arc::new(HistoryCounters::default()),
            7,
        );
        let mut desk = Self {
            venue,
            session,
            publisher,
            core,
            history,
            queue: Queue::new(which, shape.weight_per_minute, 7),
            now,
            events: Vec::new(),
            connects: 0,
            which,
            actions: VecDeque::new(),
            records,
            closed,
            interest,
            wishes,
            links: HashMap::new(),
            by_connection: HashMap::new(),
            connecting: Vec::new(),
            asked: HashMap::new(),
            waiting: Vec::new(),
            client,
            inbox: Vec::new(),
            next_id: 1,
        };
        desk.call(|session, now, out| session.on_start(now, out));
        desk
    }

    pub fn now_ms(&self) -> u64 {
        self.now.wall_ns / 1_000_000
    }

    fn call(&mut self, act: impl FnOnce(&mut S, Now, &mut Out<'_>)) {
        let events = &mut self.events;
        let mut push = |event: Event| {
            if event.severity != Severity::Debug {
                events.push(event);
            }
        };
        let mut out = Out { publisher: &mut self.publisher, actions: &mut self.actions, events: &mut push };
        act(&mut self.session, self.now, &mut out);
    }

    /// So much time passes at once.
    pub fn step(&mut self, ms: u64, mut watch: impl FnMut(Record<'_>)) {
        self.now.mono_ns += ms * 1_000_000;
        self.now.wall_ns += ms * 1_000_000;
        self.venue.pass_to(self.now_ms() as i64);
        self.hear();
        self.connect();
        self.take_answers();
        self.take_sides();
        self.call(|session, now, out| session.on_tick(now, out));
        self.act();
        self.ask();
        self.publish(&mut watch);
    }

    fn hear(&mut self) {
        while let Some(heard) = self.venue.next_heard() {
            match heard {
                Heard::Text(connection, text) => {
                    if let Some(&link) = self.by_connection.get(&connection) {
                        self.call(|session, now, out| session.on_message(link, text.as_bytes(), now, out));
                        self.act();
                    }
                }
                Heard::Ping(connection, payload) => {
                    self.venue.send_control(connection, ControlFrame::Pong(payload));
                    if let Some(&link) = self.by_connection.get(&connection) {
                        self.call(|session, now, out| session.on_ping(link, now, out));
                    }
                }
                Heard::Closed(connection, code, _) => {
                    self.closed(connection, &CloseCause::ClosedByVenue(Some(code)));
                }
                Heard::Dropped(connection, _) => {
                    self.closed(connection, &CloseCause::Dropped("cut".to_owned()));
                }
                Heard::Answer(request, response) => {
                    let Some((ticket, asked)) = self.asked.remove(&request) else { continue };
                    let header = |name: &str| {
                        let found = response.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
                        found.and_then(|(_, value)| value.parse::<u64>().ok())
                    };
                    let reply = Reply {
                        status: response.status,
                        retry_after_s: header("retry-after"),
                        used_weight: header("x-mbx-used-weight-1m").map(|used| used as u32),
                        ..Reply::default()
                    };
                    let due_ms = self.now_ms() + LATENCY_MS;
                    self.waiting.push(Wait { due_ms, ticket, asked, reply, body: response.body });
                }
            }
        }
    }

    fn closed(&mut self, connection: u64, cause: &CloseCause) {
        let Some(link) = self.by_connection.remove(&connection) else { return };
        if let Some((generation, _)) = self.links.remove(&link) {
            self.call(|session, now, out| session.on_closed(link, generation, cause, now, out));
            self.act();
        }
    }

    fn connect(&mut self) {
        let now_ms = self.now_ms();
        let due: Vec<_> = self.connecting.extract_if(.., |(due, ..)| *due <= now_ms).collect();
        for (_, link, generation, path) in due {
            match self.venue.open(&path) {
                Ok(connection) => {
                    self.connects += 1;
                    self.links.insert(link, (generation, connection));
                    self.by_connection.insert(connection, link);
                    self.call(|session, now, out| session.on_connected(link, generation, now, out));
                }
                Err(error) => {
                    let cause = CloseCause::ConnectFailed(format!("{error:?}"));
                    self.call(|session, now, out| session.on_closed(link, generation, &cause, now, out));
                }
            }
            self.act();
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Connect { link, generation, url } => {
                    self.drop_link(link);
                    let path = url.strip_prefix("wss://venue").unwrap().to_owned();
                    self.connecting.push((self.now_ms() + LATENCY_MS, link, generation, path));
                }
                Action::Send { link, text } => {
                    if let Some(&(_, connection)) = self.links.get(&link) {
                        self.venue.say(connection, &text);
                    }
                }
                Action::Ping { link } => {
                    if let Some(&(_, connection)) = self.links.get(&link) {
                        self.venue.send_control(connection, ControlFrame::Ping);
                    }
                }
                Action::Close { link } => self.drop_link(link),
                Action::Fetch(request) => {
                    if let Err(Ticket { request, .. }) = self.queue.push(Ticket { lane: OF_ENGINE, request })
                    {
                        self.fetched(OF_ENGINE, request, Err(FetchError::Overflow));
                    }
                }
            }
        }
    }

    fn drop_link(&mut self, link: Link) {
        self.connecting.retain(|(_, other, ..)| *other != link);
        if let Some((_, connection)) = self.links.remove(&link) {
            self.by_connection.remove(&connection);
            self.venue.close(connection);
        }
    }

    fn ask(&mut self) {
        while let Some(ticket) = self.queue.next(self.now) {
            let request = wire("", &ticket.request).unwrap();
            let number = match &request.body {
                None => self.venue.get(&request.url),
                Some(body) => self.venue.post(&request.url, body),
            };
            self.asked.insert(number, (ticket, self.now));
        }
        // A request that is never answered times out.
        let now = self.now;
        let lost: Vec<_> =
            self.asked.extract_if(|_, (_, asked)| now.mono_ns - asked.mono_ns > 20_000_000_000).collect();
        for (_, (ticket, asked)) in lost {
            let reply = Reply { message: "time-out".to_owned(), ..Reply::default() };
            self.waiting.push(Wait { due_ms: 0, ticket, asked, reply, body: Vec::new() });
        }
    }

    fn take_answers(&mut self) {
        let now_ms = self.now_ms();
        let due: Vec<_> = self.waiting.extract_if(.., |wait| wait.due_ms <= now_ms).collect();
        for Wait { ticket, asked, reply, body, .. } in due {
            let (reply, answer) =
                if reply.status == 0 { (reply, None) } else { understand(&ticket.request, reply, body, "") };
            let (outcome, rest) = self.queue.settle(&reply, asked, self.now);
            if let Some(rest) = rest {
                let event = Event::new(Severity::Warn, Some(self.which), rest.why).number(rest.ms);
                self.events.push(event);
            }
            let outcome =
                outcome.and_then(|()| answer.ok_or_else(|| FetchError::Transient("no answer".into())));
            self.fetched(ticket.lane, ticket.request, outcome);
        }
    }

    fn fetched(
        &mut self,
        lane: usize,
        request: FetchRequest,
        outcome: Result<engine::fetch::Answer, FetchError>,
    ) {
        let fetched = Fetched { request, outcome };
        if lane == OF_HISTORY {
            self.history.on_fetched(fetched, self.now);
        } else {
            self.call(|session, now, out| session.on_fetched(fetched, now, out));
            self.act();
        }
    }

    /// What engine, history and server have for each other.
    fn take_sides(&mut self) {
        while let Ok(interest) = self.interest.pop() {
            if interest.resend {
                self.publisher.resend_book("ipc", interest.instrument);
                continue;
            }
            let ipc::Interest { instrument, stream, interval, wanted, .. } = interest;
            self.session.on_interest(&Interest { instrument, stream, interval, wanted });
        }
        let (history, now) = (&mut self.history, self.now);
        self.closed.drain(usize::MAX, |record| history.on_record(record, now));
        while let Ok(wish) = self.wishes.pop() {
            self.history.on_wish(wish);
        }
        while self.history.work(self.now) > 0 {}
        let out = self.history.outbox();
        let (requests, rows, seeds): (Vec<_>, Vec<_>, Vec<_>) = (
            out.requests.drain(..).collect(),
            out.history.drain(..).collect(),
            out.seeds.drain(..).collect(),
        );
        self.events.extend(out.events.drain(..));
        for request in requests {
            if let Err(Ticket { request, .. }) = self.queue.push(Ticket { lane: OF_HISTORY, request }) {
                self.fetched(OF_HISTORY, request, Err(FetchError::Overflow));
            }
        }
        for item in rows {
            self.core.on_history(item, self.now);
        }
        for seed in seeds {
            self.call(|session, now, out| session.on_seed(&seed, now, out));
        }
        self.act();
    }

    fn publish(&mut self, watch: &mut impl FnMut(Record<'_>)) {
        let (core, now) = (&mut self.core, self.now);
        self.records.drain(usize::MAX, |record| {
            watch(record);
            core.on_record(record, now);
        });
        if self.publisher.any_lost() {
            self.publisher.tell_losses(self.now);
        }
    }

    /// One request of the client, answered at once. Type and data of the reply; the stream is dropped.
    pub fn request(&mut self, request: &Request) -> (String, Value) {
        let id = self.next_id;
        self.next_id += 1;
        let request = request.clone().with("id", id);
        let mut payload = Vec::new();
        rmpv::encode::write_value(&mut payload, &request.value()).unwrap();
        let mut frame = (payload.len() as u32).to_be_bytes().to_vec();
        frame.extend(payload);
        self.core.input(self.client, &frame);
        loop {
            self.core.begin_turn();
            self.core.serve(self.client, self.now);
            let output = self.core.output(self.client, self.now);
            let bytes = self.core.output_bytes(self.client, output).to_vec();
            self.inbox.extend_from_slice(&bytes);
            match output {
                Output::Nothing => break,
                Output::Later => {}
                _ => self.core.sent(self.client, output, bytes.len(), self.now, self.now.wall_ns),
            }
        }
        let mut found = None;
        while self.inbox.len() >= 4 {
            let length = u32::from_be_bytes(self.inbox[..4].try_into().unwrap()) as usize;
            let frame: Vec<u8> = self.inbox.drain(..4 + length).skip(4).collect();
            let value = rmpv::decode::read_value(&mut &frame[..]).unwrap();
            let get = |name: &str| {
                let map = value.as_map().unwrap();
                map.iter().find(|(key, _)| key.as_str() == Some(name)).map(|(_, value)| value.clone())
            };
            if get("id").and_then(|found| found.as_u64()) == Some(id) {
                found = Some((
                    get("type").unwrap().as_str().unwrap().to_owned(),
                    get("data").unwrap_or(Value::Nil),
                ));
            }
        }
        found.expect("a reply")
    }

    /// The events worth a line, as text.
    pub fn log(&self) -> String {
        self.events.iter().map(|event| format!("{event:?}\n")).collect()
    }
}

/// Files that survive in memory.
pub type Stored = Arc<std::sync::Mutex<HashMap<(String, Interval), (u64, Vec<codec::candle::Candle>)>>>;

/// See [`Stored`].
pub struct MemoryFiles(pub Stored);

impl CandleFiles for MemoryFiles {
    fn load(&mut self, name: SeriesName<'_>) -> Loaded {
        let stored = self.0.lock().unwrap();
        let found = stored.get(&(name.symbol.to_owned(), name.interval));
        let (origin_ms, rows) = found.cloned().unwrap_or_default();
        let written = rows.len();
        let by_start: std::collections::BTreeMap<_, _> =
            rows.into_iter().map(|row| (row.start_ms, row)).collect();
        Loaded { rows: by_start.into_values().collect(), origin_ms, written, ..Loaded::default() }
    }

    fn append(&mut self, name: SeriesName<'_>, rows: &[codec::candle::Candle]) -> std::io::Result<()> {
        let mut stored = self.0.lock().unwrap();
        stored.entry((name.symbol.to_owned(), name.interval)).or_default().1.extend_from_slice(rows);
        Ok(())
    }

    fn replace(
        &mut self,
        name: SeriesName<'_>,
        origin_ms: u64,
        rows: &[codec::candle::Candle],
    ) -> std::io::Result<()> {
        let mut stored = self.0.lock().unwrap();
        stored.insert((name.symbol.to_owned(), name.interval), (origin_ms, rows.to_vec()));
        Ok(())
    }
}
