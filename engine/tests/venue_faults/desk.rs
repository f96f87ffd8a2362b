//! The real daemon before simulated venues over TLS: what needs sockets, processes and clients that do not read.

use crate::hyperliquid_venue::{Venue, perp};
use crate::scripted::Scripted;
use crate::stage::fault;
use crate::support::settings;
use crate::system::{Choice, Desk, e8, receive_until, wait_for};
use engine::session::{Action, CloseCause, Session};
use sim::{Config, VenueHandle};
use slipstream_client::{Client, Message, Value, request};
use std::collections::BTreeMap;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

const VENUES: [(&str, &str); 2] = [("binance", "BTCUSDT"), ("hyperliquid", "BTC")];

fn small() -> Config {
    let mut config = Config::default();
    config.binance.market.symbols = 3;
    config.hyperliquid.market.symbols = 3;
    config
}

fn both() -> Desk {
    let choice = Choice {
        hyperliquid: Some("symbols = [\"BTC\"]"),
        binance: Some("symbols = [\"BTCUSDT\"]"),
        retention: "",
    };
    let desk = Desk::start(small(), &choice);
    println!("seed {}", desk.sim.seed());
    desk
}

fn handle<'a>(desk: &'a Desk, venue: &str) -> &'a VenueHandle {
    if venue == "binance" { desk.sim.binance() } else { desk.sim.hyperliquid() }
}

/// A field of the status report of a venue.
fn of_venue(client: &mut Client, venue: &str, name: &str) -> Value {
    let (_, report) = client.request(&request("get_status")).unwrap();
    let venues = crate::stage::field(&report, "venues").unwrap();
    let report = crate::stage::field(&venues, venue).unwrap();
    crate::stage::field(&report, name).unwrap()
}

/// What a subscriber to a book saw: its states, its gaps, and books to hold against the truth.
#[derive(Default)]
struct Followed {
    states: Vec<String>,
    gaps: Vec<String>,
    is_live: bool,
    books: Vec<slipstream_client::Book>,
}

impl Followed {
    fn take(&mut self, message: Message) {
        match message {
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                self.is_live = true;
                self.books.push(book);
            }
            Message::Status(status) if status.stream == "orderbook" => {
                // Live again is what a book has been served of.
                self.is_live &= status.state == "live";
                self.states.push(format!("{} {}", status.state, status.reason));
            }
            Message::Gap(gap) => self.gaps.push(format!("{} {}", gap.stream, gap.reason)),
            _ => {}
        }
    }

    /// Until the book was not live, and is again.
    fn until_back(&mut self, client: &mut Client, what: &str) {
        let mut fell = false;
        receive_until(client, what, |message| {
            self.take(message);
            fell |= !self.is_live;
            fell && self.is_live
        });
    }

    fn until_live(&mut self, client: &mut Client) {
        receive_until(client, "a live book", |message| {
            self.take(message);
            self.is_live
        });
    }

    /// Binance's books at their own ids; Hyperliquid's best at its own time.
    fn compare(&self, venue: &VenueHandle) -> usize {
        let market = venue.market();
        for book in &self.books {
            let truth = match book.venue_sequence {
                Some(id) => market.truth_at_update_id(&book.symbol, id).unwrap(),
                None => market.truth_at_time(&book.symbol, (book.timestamp_us / 1_000) as i64).unwrap(),
            };
            let levels = if book.venue_sequence.is_some() { book.bids.len() } else { 1 };
            for (have, want) in [(&book.bids, &truth.bids), (&book.asks, &truth.asks)] {
                let have: Vec<_> = have.iter().take(levels).map(|it| (e8(it.price), e8(it.size))).collect();
                let want: Vec<_> = want.iter().take(have.len()).map(|it| (it.price_e8, it.size_e8)).collect();
                assert_eq!(have, want, "{} at {:?} {}", book.symbol, book.venue_sequence, book.timestamp_us);
            }
        }
        self.books.len()
    }
}

/// Makes something go wrong with a followed book, and waits until all is well again.
fn suffer(desk: &Desk, venue: &str, symbol: &str, texts: &[&str]) -> Followed {
    let mut client = desk.client();
    let mut followed = Followed::default();
    client.subscribe_orderbook(venue, symbol, 20, "full").unwrap();
    followed.until_live(&mut client);
    for text in texts {
        let states = followed.states.len();
        handle(desk, venue).fault(fault(text)).unwrap();
        let begun = Instant::now();
        followed.until_back(&mut client, text);
        println!("{venue}: {text}: {:?}, live again after {:?}", &followed.states[states..], begun.elapsed());
    }
    let compared = followed.compare(handle(desk, venue));
    assert!(compared > texts.len());
    followed
}

/// However politely a connection is closed, it is made again; and nothing is asked of the operator.
#[test]
fn fault_10_normal_close() {
    // Whatever the code, there is a next attempt, soon.
    let codes = [
        Some(1000),
        Some(1001),
        Some(1005),
        Some(1008),
        Some(1011),
        Some(1012),
        Some(1013),
        Some(4999),
        None,
    ];
    for code in codes {
        let cause = CloseCause::ClosedByVenue(code);
        let mut binance = Scripted::subscribed(&["BTCUSDT"]);
        binance.bench.with(|session, now, out| session.on_closed(0, 1, &cause, now, out));
        binance.bench.pass_ms(1_100);
        let next = binance.bench.take(|action| match action {
            Action::Connect { link: 0, generation, .. } => Some(*generation),
            _ => None,
        });
        assert_eq!(next, Some(2), "after {code:?}");
        let mut hyperliquid = Venue::new(settings(&["BTC"]), vec![perp("BTC")]).start();
        hyperliquid.links.remove(&0);
        hyperliquid.bench.with(|session, now, out| session.on_closed(0, 1, &cause, now, out));
        hyperliquid.pass_ms(1_100);
        assert_eq!(hyperliquid.links[&0].generation, 2, "after {code:?}");
    }
    // Over the wire, at both venues, more than once.
    let desk = both();
    for (venue, symbol) in VENUES {
        let followed = suffer(&desk, venue, symbol, &["cut how=close", "cut how=close"]);
        let fell = followed.states.iter().filter(|state| *state == "down disconnect").count();
        assert_eq!(fell, 2, "{:?}", followed.states);
        let mut client = desk.client();
        // The book may be back before the other connection is.
        wait_for("the venue to be live", || {
            (of_venue(&mut client, venue, "state").as_str() == Some("live")).then_some(())
        });
        assert!(of_venue(&mut client, venue, "reconnects").as_u64().unwrap() >= 1);
        assert_eq!(of_venue(&mut client, venue, "connected").as_bool(), Some(true));
    }
}

/// A consumer that does not read costs itself: its books are merged, its trades told as lost with their number, and in
/// the end it is sent away; the others get everything, and memory has its bound.
#[test]
fn fault_11_queue_overflow_and_slow_consumer() {
    let mut config = small();
    config.binance.market.rate_per_s = 300.0;
    config.binance.market.trade_share = 0.4;
    let choice =
        Choice { hyperliquid: None, binance: Some("symbols = [\"BTCUSDT\", \"ETHUSDT\"]"), retention: "" };
    let desk = Desk::start_with(config, &choice, |text| {
        text.replace("clients_buffer_mib = 16", "clients_buffer_mib = 2")
    });
    let (mut good, mut deaf, mut gone) = (desk.client(), desk.client(), desk.client());
    wait_for("a live book", || {
        good.request(&request("get_orderbook").venue("binance").symbol("BTCUSDT").with("depth", 1)).ok()
    });
    good.subscribe_trades("binance", "BTCUSDT").unwrap();
    for client in [&mut deaf, &mut gone] {
        client.subscribe_trades("binance", "BTCUSDT").unwrap();
        for symbol in ["BTCUSDT", "ETHUSDT"] {
            client.subscribe_orderbook("binance", symbol, 1000, "full").unwrap();
        }
    }
    // So many trades as the socket's own buffer and the shared one cannot hold beside the books.
    let mut ids = Vec::new();
    receive_until(&mut good, "two thousand trades", |message| {
        match message {
            Message::Trade(trade) => ids.push(trade.trade_id.parse::<u64>().unwrap()),
            Message::Gap(gap) => panic!("the good one loses nothing: {gap:?}"),
            _ => {}
        }
        ids.len() >= 2_000
    });
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "the good one gets every trade");
    let last = *ids.last().unwrap();
    let (mut accounted, mut next, mut conflated) = (0, 0, 0);
    let mut told = 0;
    let mut sequences: BTreeMap<String, u64> = BTreeMap::new();
    receive_until(&mut deaf, "what it missed to be told", |message| {
        match message {
            Message::Trade(trade) => {
                let id: u64 = trade.trade_id.parse().unwrap();
                assert!(next == 0 || id == next, "trades {next} to {id} are missing, and nobody says so");
                next = id + 1;
                accounted += 1;
            }
            Message::Gap(gap) if gap.stream == "trades" => {
                assert_eq!(gap.reason, "slow_client");
                let missed = gap.missed.expect("their number");
                told += missed;
                next += missed;
            }
            Message::OrderbookSnapshot(book) | Message::OrderbookUpdate(book) => {
                conflated += book.conflated;
                let before = sequences.insert(book.symbol.clone(), book.sequence).unwrap_or(0);
                assert!(
                    book.sequence > before,
                    "{} {}: {before}, then {}",
                    book.symbol,
                    book.conflated,
                    book.sequence
                );
            }
            _ => {}
        }
        next > last && conflated > 0
    });
    println!("{accounted} trades read, {told} told as lost, {conflated} books merged");
    assert!(told > 0 && conflated > 0, "{told} lost, {conflated} merged");
    // The one that takes nothing for half a minute is sent away.
    let begun = Instant::now();
    wait_for("the slow one to be sent away", || {
        let (_, report) = good.request(&request("get_status")).unwrap();
        (crate::stage::field(&report, "clients").unwrap().as_u64() == Some(2)).then_some(())
    });
    println!("sent away {:?} later", begun.elapsed());
    let mut ended = false;
    while begun.elapsed() < crate::system::PATIENCE && !ended {
        ended = gone.recv(Duration::from_secs(1)).is_err();
    }
    assert!(ended, "it reads to the end of what was sent, and then there is no more");
    let mut more = 0;
    receive_until(&mut good, "more trades", |message| {
        more += usize::from(matches!(message, Message::Trade(_)));
        more > 100
    });
}

/// Every way a connection ends: told, made again, and what is served afterwards is right.
#[test]
fn cuts_of_each_kind() {
    let desk = both();
    for (venue, symbol) in VENUES {
        suffer(&desk, venue, symbol, &["cut how=drop", "cut how=reset", "cut how=close"]);
    }
}

/// Cuts in the middle of a WebSocket frame and of a TLS record: nothing of the half is used.
#[test]
fn cuts_in_the_middle() {
    let desk = both();
    for (venue, symbol) in VENUES {
        suffer(&desk, venue, symbol, &["cut how=mid_frame", "cut how=mid_record", "cut how=close code=1011"]);
    }
}

/// Faults of the sockets themselves: whatever state they lead to is told, and what is served is right.
fn endure(desk: &Desk, venue: &str, symbol: &str, texts: &[&str]) {
    let mut client = desk.client();
    let mut followed = Followed::default();
    client.subscribe_orderbook(venue, symbol, 20, "full").unwrap();
    followed.until_live(&mut client);
    for text in texts {
        handle(desk, venue).fault(fault(text)).unwrap();
        let count = followed.books.len();
        receive_until(&mut client, text, |message| {
            followed.take(message);
            followed.is_live && followed.books.len() > count + 30
        });
        println!("{venue}: {text}: {:?} {:?}", followed.states, followed.gaps);
    }
    assert!(followed.compare(handle(desk, venue)) > 30 * texts.len());
}

/// Messages in pieces, in the other kind of frame, too large, slow in coming.
#[test]
fn odd_frames() {
    let desk = both();
    for (venue, symbol) in VENUES {
        endure(
            &desk,
            venue,
            symbol,
            &[
                "fragment_frames frames=40",
                "binary_frames frames=5",
                "oversize_frame bytes=5000000",
                "malformed_frames frames=5 how=not_utf8",
                "drip for_ms=4000 bytes_per_s=4000",
            ],
        );
    }
}

/// A certificate of another name, one that has expired, and no TLS at all: no connection, told, and tried again.
#[test]
fn tls_failures() {
    let desk = both();
    for (venue, symbol) in VENUES {
        let mut client = desk.client();
        let mut followed = Followed::default();
        client.subscribe_orderbook(venue, symbol, 20, "full").unwrap();
        followed.until_live(&mut client);
        for how in ["garbage", "wrong_name", "expired"] {
            let begun = Instant::now();
            handle(&desk, venue).fault(fault(&format!("tls_failure for_ms=3000 how={how}"))).unwrap();
            handle(&desk, venue).fault(fault("cut")).unwrap();
            followed.until_back(&mut client, how);
            assert!(begun.elapsed() >= Duration::from_millis(2_900), "{how}: {:?}", begun.elapsed());
        }
        assert!(desk.log().contains("TLS with localhost"), "the log names the reason");
        assert!(followed.compare(handle(&desk, venue)) > 3);
    }
}

/// A venue that takes no connections for a while.
#[test]
fn refused_connections() {
    let desk = both();
    for (venue, symbol) in VENUES {
        let mut client = desk.client();
        let mut followed = Followed::default();
        client.subscribe_orderbook(venue, symbol, 20, "full").unwrap();
        followed.until_live(&mut client);
        handle(&desk, venue).fault(fault("refuse_connections for_ms=3000")).unwrap();
        let begun = Instant::now();
        handle(&desk, venue).fault(fault("cut")).unwrap();
        followed.until_back(&mut client, "the venue to be back");
        assert!(begun.elapsed() >= Duration::from_millis(2_900), "{:?}", begun.elapsed());
        assert!(desk.log().contains("connection failed, trying again"));
        assert!(followed.states.contains(&"down disconnect".to_owned()), "{:?}", followed.states);
        assert!(followed.compare(handle(&desk, venue)) > 1);
    }
}

/// A venue whose name leads nowhere is told and tried again; the daemon runs on, and the other venue notices nothing.
#[test]
fn a_host_that_does_not_resolve() {
    let choice = Choice {
        hyperliquid: Some("symbols = [\"BTC\"]"),
        binance: Some("symbols = [\"BTCUSDT\"]"),
        retention: "",
    };
    let mut desk = Desk::start_with(small(), &choice, |text| {
        let (before, after) = text.split_once("[venues.binance]").unwrap();
        format!("{before}[venues.binance]{}", after.replace("localhost", "venue.invalid"))
    });
    let followed = suffer(&desk, "hyperliquid", "BTC", &[]);
    assert!(followed.books.len() == 1);
    let mut client = desk.client();
    wait_for("it to be told", || {
        let log = desk.log();
        (log.contains("venue.invalid") && log.contains("lookup")).then_some(())
    });
    assert_eq!(of_venue(&mut client, "binance", "connected").as_bool(), Some(false));
    let book = request("get_orderbook").venue("binance").symbol("BTCUSDT");
    assert!(client.request(&book).is_err(), "nothing is served of what was never reached");
    assert!(desk.is_running());
    let mut more = 0;
    client.subscribe_orderbook("hyperliquid", "BTC", 5, "full").unwrap();
    receive_until(&mut client, "the other venue's books", |message| {
        more += usize::from(matches!(message, Message::OrderbookUpdate(_)));
        more > 5
    });
}

/// Killed without warning and started again: the stale socket is taken over, and what is served is right.
#[test]
fn killed_and_started_again() {
    let mut desk = both();
    let mut client = desk.client();
    let run = |client: &mut Client| {
        let hello = client.hello("test", "msgpack").unwrap();
        crate::stage::text_of(&hello, "run_id")
    };
    let first = run(&mut client);
    for (venue, symbol) in VENUES {
        suffer(&desk, venue, symbol, &[]);
    }
    desk.restart(libc::SIGKILL, |_| {});
    assert!(client.request(&request("ping")).is_err(), "clients of a dead daemon learn it from their socket");
    let mut client = desk.client();
    assert_ne!(run(&mut client), first, "a new run says so");
    for (venue, symbol) in VENUES {
        suffer(&desk, venue, symbol, &["cut how=drop"]);
    }
}

/// Stopped in the middle of a busy market with clients that do not read: each is told, and the end is clean and soon.
#[test]
fn terminated_under_load() {
    let mut config = small();
    config.binance.market.rate_per_s = 300.0;
    let choice = Choice {
        hyperliquid: Some("symbols = [\"BTC\", \"ETH\"]"),
        binance: Some("symbols = [\"BTCUSDT\", \"ETHUSDT\"]"),
        retention: "",
    };
    let mut desk = Desk::start(config, &choice);
    let mut client = desk.client();
    let mut deaf = desk.client();
    for client in [&mut client, &mut deaf] {
        for (venue, symbol) in VENUES {
            client.subscribe_orderbook(venue, symbol, 1000, "full").unwrap();
            client.subscribe_trades(venue, symbol).unwrap();
        }
    }
    let mut seen = 0;
    receive_until(&mut client, "a busy market", |_| {
        seen += 1;
        seen > 300
    });
    let begun = Instant::now();
    let ended = desk.end(libc::SIGTERM);
    assert!(begun.elapsed() < Duration::from_secs(15), "five seconds are promised: {:?}", begun.elapsed());
    println!("ended after {:?}", begun.elapsed());
    assert_eq!(ended.code(), Some(0), "{}", desk.log());
    let mut told = Vec::new();
    while let Ok(Some(message)) = client.recv(Duration::from_secs(5)) {
        if let Message::Status(status) = message {
            told.push((status.venue.unwrap_or_default(), status.stream, status.state, status.reason));
        }
    }
    for (venue, _) in VENUES {
        let of = |(of, stream, state, reason): &&(String, String, String, String)| {
            of == venue && stream == "orderbook" && state == "down" && reason == "shutdown"
        };
        assert!(told.iter().any(|one| of(&one)), "{venue}: {told:?}");
    }
    assert!(!desk.socket.exists(), "the socket is removed");
}

/// There is no descriptor left: whoever is there is served, a venue that is cut is waited for, whoever comes waits in
/// the kernel's queue; and as soon as there are some again everything is as it was.
#[test]
fn out_of_descriptors() {
    // A line that says so, of this.
    let told = |desk: &Desk, of: &str| {
        desk.log().lines().any(|line| line.contains(of) && line.contains("Too many open files"))
    };
    let desk = both();
    let mut client = desk.client();
    for (venue, symbol) in VENUES {
        wait_for("a book", || client.request(&request("get_orderbook").venue(venue).symbol(symbol)).ok());
    }
    desk.allow_descriptors(Some(desk.descriptors()));
    // They take what is left, and what the venue's connections leave behind.
    let waiting: Vec<_> = (0..32).map(|_| UnixStream::connect(&desk.socket).unwrap()).collect();
    wait_for("the operator to be told", || told(&desk, "accepting a connection").then_some(()));
    desk.sim.binance().fault(fault("cut how=drop")).unwrap();
    wait_for("the venue to be away", || {
        let refused = client.request(&request("get_orderbook").venue("binance").symbol("BTCUSDT")).err();
        refused.filter(|error| error.code() == Some("not_live"))
    });
    wait_for("an attempt that fails for it", || told(&desk, "binance").then_some(()));
    client.request(&request("ping")).unwrap();
    let of_other = request("get_orderbook").venue("hyperliquid").symbol("BTC");
    assert!(client.request(&of_other).is_ok(), "the other venue is unaffected");

    drop(waiting);
    desk.allow_descriptors(None);
    let mut late = desk.client();
    late.request(&request("ping")).unwrap();
    wait_for("the venue to be back", || {
        late.request(&request("get_orderbook").venue("binance").symbol("BTCUSDT")).ok()
    });
    let lines = desk.log().lines().filter(|line| line.contains("accepting a connection")).count();
    assert!(lines < 20, "told, and not again and again: {lines}");
}
