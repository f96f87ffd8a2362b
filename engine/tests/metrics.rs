//! The daemon's figures by HTTP: in the format, with the names and labels that are promised, and adding up.

mod system;

use sim::{Config, Fault};
use slipstream_client::{Client, Message, Value};
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Write};
use std::net::TcpStream;
use system::{Choice, Desk, Metrics, receive_until, wait_for};

const BINANCE: &str = "symbols = [\"BTCUSDT\"]\nintervals = [\"1m\"]";
const HYPERLIQUID: &str = "symbols = [\"BTC\"]\nintervals = [\"1m\"]";

/// What the faults here make be told.
const GAPS: [&str; 2] = [
    "mktdata_gaps_total{venue=\"binance\",stream=\"orderbook\",reason=\"sequence_break\"}",
    "mktdata_gaps_total{venue=\"hyperliquid\",stream=\"orderbook\",reason=\"crossed\"}",
];

fn both() -> Choice<'static> {
    Choice { hyperliquid: Some(HYPERLIQUID), binance: Some(BINANCE), retention: "" }
}

/// Name, type and labels of each metric in `docs/metrics.md`.
fn documented() -> BTreeMap<String, (String, Vec<String>)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    let unquote = |cell: &str| cell.trim().trim_matches('`').to_owned();
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "four cells: {line}");
            assert!(!cells[4].is_empty(), "{line}");
            let labels = cells[3].split(',').map(unquote).filter(|label| !label.is_empty()).collect();
            (unquote(cells[1]), (cells[2].to_owned(), labels))
        })
        .collect()
}

fn fault(text: &str) -> Fault {
    let (name, parameters) = text.split_once(' ').unwrap_or((text, ""));
    let pairs = parameters.split_whitespace().map(|pair| pair.split_once('=').unwrap());
    let pairs: HashMap<_, _> = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    Fault::parse(name, &pairs).unwrap()
}

/// Whether messages of every stream of both venues have come.
fn everything_came(metrics: &Metrics) -> bool {
    let came = |venue: &str, channel: &str| {
        let labels = [("venue", venue), ("channel", channel)];
        metrics.sum("mktdata_messages_received_total", &labels) > 0.0
    };
    let channels = ["orderbook", "quotes", "trades", "candles", "funding", "control"];
    channels.iter().all(|channel| came("binance", channel) && came("hyperliquid", channel))
}

/// Until a book of each venue has changed.
fn books_of_both(client: &mut Client) {
    let mut live = [false; 2];
    receive_until(client, "both books", |message| {
        if let Message::OrderbookUpdate(book) = message {
            live[usize::from(book.venue == "binance")] = true;
        }
        live == [true; 2]
    });
}

#[test]
fn the_page_is_what_is_promised_and_documented() {
    let desk = Desk::start(Config::default(), &both());
    let mut client = desk.client();
    client.subscribe_trades("binance", "BTCUSDT").unwrap();
    client.subscribe_orderbook("hyperliquid", "BTC", 5, "full").unwrap();
    client.subscribe_orderbook("binance", "BTCUSDT", 5, "full").unwrap();
    books_of_both(&mut client);
    // Something lost, so that every metric has a series.
    desk.sim.binance().fault(fault("break_depth_sequence symbol=BTCUSDT")).unwrap();
    let metrics = wait_for("a gap told", || {
        let metrics = desk.metrics();
        (metrics.value(GAPS[0]) > 0.0 && everything_came(&metrics)).then_some(metrics)
    });

    let promised = [
        ("mktdata_messages_received_total", "counter", &["venue", "channel"][..]),
        ("mktdata_active_subscriptions", "gauge", &[]),
        ("mktdata_clients", "gauge", &[]),
        ("mktdata_ipc_latency_seconds", "histogram", &[]),
        ("mktdata_connection_up", "gauge", &["venue"]),
        ("mktdata_reconnects_total", "counter", &["venue"]),
        ("mktdata_gaps_total", "counter", &["venue", "stream", "reason"]),
        ("mktdata_stream_age_seconds", "gauge", &["venue", "stream"]),
        ("mktdata_ring_dropped_total", "counter", &["ring"]),
        ("process_resident_memory_bytes", "gauge", &[]),
    ];
    for (name, kind, labels) in promised {
        assert_eq!(metrics.types.get(name).map(String::as_str), Some(kind), "{name}");
        assert_eq!(metrics.labels[name], labels, "{name}");
    }
    let served: BTreeMap<_, _> = metrics
        .types
        .iter()
        .map(|(name, kind)| (name.clone(), (kind.clone(), metrics.labels[name].clone())))
        .collect();
    assert_eq!(served, documented(), "docs/metrics.md says what is served");

    assert_eq!(metrics.value("mktdata_clients"), 1.0);
    assert_eq!(metrics.value("mktdata_active_subscriptions"), 3.0);
    for venue in ["binance", "hyperliquid"] {
        assert_eq!(metrics.value(&format!("mktdata_connection_up{{venue=\"{venue}\"}}")), 1.0);
        for stream in ["orderbook", "quotes", "trades", "candles", "funding"] {
            let age = metrics.values
                [&format!("mktdata_stream_age_seconds{{venue=\"{venue}\",stream=\"{stream}\"}}")];
            assert!(age < 600.0, "{venue} {stream}: {age}");
        }
        let weight = metrics.value(&format!("mktdata_rest_weight_used{{venue=\"{venue}\"}}"));
        assert!(weight <= metrics.value(&format!("mktdata_rest_weight_limit{{venue=\"{venue}\"}}")));
        assert_eq!(
            metrics.sum("mktdata_drift_total", &[("venue", venue)]),
            0.0,
            "the simulation is as documented"
        );
    }
    assert!(metrics.value("mktdata_ipc_latency_seconds_count") > 0.0);
    let resident = metrics.value("process_resident_memory_bytes");
    assert!((1e6..1e10).contains(&resident), "{resident}");

    let mut stream = TcpStream::connect(desk.metrics_address()).unwrap();
    stream.write_all(b"GET /nothing HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

/// Everything that came by a channel has one outcome.
fn assert_adds_up(metrics: &Metrics) {
    let mut items = 0.0;
    for venue in ["binance", "hyperliquid"] {
        for channel in ["orderbook", "quotes", "trades", "candles", "funding", "fills", "control", "unknown"]
        {
            let labels = [("venue", venue), ("channel", channel)];
            let received = metrics.sum("mktdata_items_received_total", &labels);
            let published = metrics.sum("mktdata_items_published_total", &labels);
            let dropped = metrics.sum("mktdata_items_dropped_total", &labels);
            assert_eq!(received, published + dropped, "{venue} {channel}");
            items += received;
        }
    }
    assert!(items > 50.0, "{items}");
    let pushed = metrics.value("mktdata_ring_records_total{ring=\"ipc\"}");
    assert_eq!(
        pushed,
        metrics.value("mktdata_ipc_records_total"),
        "what is written into the ring is taken from it"
    );
}

#[test]
fn after_faults_and_with_nothing_on_its_way_the_sums_are_exact() {
    let desk = Desk::start(Config::default(), &both());
    let mut client = desk.client();
    client.subscribe_orderbook("binance", "BTCUSDT", 10, "full").unwrap();
    client.subscribe_orderbook("hyperliquid", "BTC", 5, "full").unwrap();
    books_of_both(&mut client);
    let venues = [desk.sim.binance(), desk.sim.hyperliquid()];
    venues[0].fault(fault("break_depth_sequence symbol=BTCUSDT")).unwrap();
    venues[0].fault(fault("duplicate_frames symbol=BTCUSDT frames=20")).unwrap();
    venues[0].fault(fault("drop_trades symbol=BTCUSDT count=2")).unwrap();
    venues[1].fault(fault("duplicate_frames symbol=BTC frames=20")).unwrap();
    venues[1].fault(fault("crossed_book symbol=BTC frames=2")).unwrap();
    wait_for("what the faults lead to", || {
        let metrics = desk.metrics();
        let dropped = |venue, reason| {
            metrics.sum("mktdata_items_dropped_total", &[("venue", venue), ("reason", reason)]) > 0.0
        };
        let all = dropped("binance", "duplicate")
            && dropped("hyperliquid", "duplicate")
            && dropped("hyperliquid", "crossed")
            && metrics.value(GAPS[0]) > 0.0
            && metrics.value(GAPS[1]) > 0.0;
        all.then_some(())
    });
    for venue in venues {
        venue.fault(fault("cut how=reset")).unwrap();
    }
    let reconnected = |metrics: &Metrics| {
        ["binance", "hyperliquid"]
            .iter()
            .all(|venue| metrics.value(&format!("mktdata_reconnects_total{{venue=\"{venue}\"}}")) >= 1.0)
    };
    wait_for("both venues again", || reconnected(&desk.metrics()).then_some(()));
    for venue in [desk.sim.binance(), desk.sim.hyperliquid()] {
        venue.fault(fault("refuse_connections for_ms=600000")).unwrap();
        venue.fault(fault("cut how=drop")).unwrap();
    }
    // Nothing comes any more: two pages in a row show the same.
    let mut last = Metrics::default();
    let metrics = wait_for("silence", || {
        let metrics = desk.metrics();
        let same = |name: &str| metrics.sum(name, &[]) == last.sum(name, &[]);
        let quiet = metrics.sum("mktdata_connection_up", &[]) == 0.0
            && ["mktdata_messages_received_total", "mktdata_ring_records_total", "mktdata_ipc_records_total"]
                .iter()
                .all(|name| same(name));
        last = metrics.clone();
        quiet.then_some(metrics)
    });
    assert_adds_up(&metrics);
    let told = metrics.sum("mktdata_gaps_total", &[]);
    let status = client.request(&slipstream_client::request("get_status")).unwrap().1;
    let reported = |venue: &str| {
        let of = |map: &Value, name: &str| {
            let entries = map.as_map().unwrap();
            entries
                .iter()
                .find(|(key, _)| key.as_str() == Some(name))
                .map(|(_, value)| value.clone())
                .unwrap()
        };
        of(&of(&of(&status, "venues"), venue), "gaps").as_u64().unwrap() as f64
    };
    assert_eq!(told, reported("binance") + reported("hyperliquid"), "gaps by reason are all gaps");
    assert_eq!(metrics.sum("mktdata_ring_dropped_total", &[]), 0.0);
}
