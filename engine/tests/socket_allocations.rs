//! From the readable socket to the records: the engine's thread allocates nothing, but for rustls' one per record.
//!
//! The daemon runs in this process; a counting allocator counts what its engine thread asks for.

mod system;

use engine::config::Config;
use engine::daemon::Daemon;
use slipstream_client::Client;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::Duration;
use system::wait_for;

struct Counting;

static WATCHED_THREAD: AtomicI32 = AtomicI32::new(-1);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN_THREAD: Cell<i32> = const { Cell::new(0) };
}

fn count() {
    let own = OWN_THREAD.with(|own| {
        if own.get() == 0 {
            // SAFETY: gettid has no arguments and no effect.
            own.set(unsafe { libc::gettid() });
        }
        own.get()
    });
    if own == WATCHED_THREAD.load(Ordering::Relaxed) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call is handed on to the system allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn engine_thread() -> Option<i32> {
    std::fs::read_dir("/proc/self/task").unwrap().flatten().find_map(|task| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        (name.trim() == "engine").then(|| task.file_name().to_string_lossy().parse().ok()).flatten()
    })
}

/// (allocations of the engine's thread, frames the venue sent) over some seconds of steady state.
fn measure(tls: bool) -> (u64, u64) {
    let mut simulation = sim::Config { tls, ..sim::Config::default() };
    simulation.binance.market.symbols = 3;
    let sim = sim::Sim::start(simulation).unwrap();
    let venue = sim.binance();
    let socket =
        std::env::temp_dir().join(format!("slipstream-allocations-{}-{tls}.sock", std::process::id()));
    let ca = sim.ca_path().map_or_else(String::new, |path| format!("tls_ca_file = {path:?}\n"));
    let text = format!(
        "[daemon]\nsocket_path = {socket:?}\nclients_buffer_mib = 1\n[threads]\nengine_wait = \"poll\"\n\
         [retention]\norderbook_depth = 100\ncandles_path = \"\"\n[health]\nmetrics_port = 0\n\
         [venues.binance]\nwebsocket_url = {:?}\nrest_url = {:?}\nsymbols = [\"BTCUSDT\", \"ETHUSDT\"]\n{ca}",
        venue.ws_url(),
        venue.rest_url(),
    );
    let daemon = Daemon::start(&Config::parse(&text, "test", Vec::new()).unwrap()).unwrap();
    let mut client = wait_for("the socket", || Client::connect(&socket).ok());
    for symbol in ["BTCUSDT", "ETHUSDT"] {
        let question =
            slipstream_client::request("get_orderbook").venue("binance").symbol(symbol).with("depth", 1);
        wait_for("a live book", || client.request(&question).ok());
    }
    // The first pass over every path takes its memory.
    std::thread::sleep(Duration::from_secs(2));
    WATCHED_THREAD.store(wait_for("the engine's thread", engine_thread), Ordering::Relaxed);
    let (before, sent_before) = (ALLOCATIONS.load(Ordering::Relaxed), venue.counters().frames_sent_total());
    std::thread::sleep(Duration::from_secs(5));
    let (after, sent_after) = (ALLOCATIONS.load(Ordering::Relaxed), venue.counters().frames_sent_total());
    WATCHED_THREAD.store(-1, Ordering::Relaxed);
    daemon.stop();
    daemon.join().unwrap();
    (after - before, sent_after - sent_before)
}

#[test]
fn the_engine_allocates_nothing_in_steady_state() {
    let (plain, frames) = measure(false);
    println!("plain: {plain} allocations in {frames} frames");
    assert!(frames > 200, "{frames}");
    assert_eq!(plain, 0, "allocations of the engine's thread without TLS");
    let (encrypted, frames) = measure(true);
    println!("TLS: {encrypted} allocations in {frames} frames");
    assert!(frames > 200, "{frames}");
    // The named exception: rustls makes one per TLS record, and a frame is one record at most here.
    assert!(encrypted <= frames + frames / 10, "{encrypted} allocations in {frames} frames");
}
