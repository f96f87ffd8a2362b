//! The socket server as an agent: runs until it is told to stop and has told its clients.

use crate::agent::Agent;
use crate::clock::Clock;
use codec::drift::DriftTable;
use codec::ring::Consumer;
use codec::time::Now;
use codec::words::Venue;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module.
pub(super) struct IpcAgent {
    clock: Clock,
    server: ipc::Server,
    stop: Arc<AtomicBool>,
    stopping: bool,
    done: bool,
}

/// The server's ends of its rings.
pub(super) struct IpcRings {
    pub records: Consumer,
    pub history: rtrb::Consumer<ipc::CandleHistory>,
    pub candle_wishes: rtrb::Producer<ipc::CandleWish>,
    pub interest: rtrb::Producer<ipc::Interest>,
    pub events: rtrb::Producer<ipc::Event>,
}

impl IpcAgent {
    /// A server on its socket, between these rings.
    pub fn new(
        mut clock: Clock,
        config: ipc::ServerConfig,
        rings: IpcRings,
        (counters, drift): (Arc<ipc::Counters>, Vec<(Venue, Arc<DriftTable>)>),
        stop: Arc<AtomicBool>,
    ) -> Result<Self, ipc::IpcError> {
        let now = clock.now();
        // Its latency figures want the time of the write, not that of the turn.
        let of_writes = RefCell::new(clock.clone());
        let wall_clock = Box::new(move || of_writes.borrow_mut().now().wall_ns);
        let outlets = ipc::Outlets {
            events: Some(rings.events),
            interest: Some(rings.interest),
            candle_wishes: Some(rings.candle_wishes),
            counters,
            drift,
        };
        let server = ipc::Server::new(config, rings.records, Some(rings.history), outlets, wall_clock, now)?;
        Ok(Self { clock, server, stop, stopping: false, done: false })
    }
}

impl Agent for IpcAgent {
    fn name(&self) -> &'static str {
        "ipc"
    }

    fn clock(&mut self) -> &mut Clock {
        &mut self.clock
    }

    fn do_work(&mut self, now: Now) -> usize {
        if !self.stopping && self.stop.load(Ordering::Relaxed) {
            // The engine has ended: everything it had to say is in the ring.
            self.stopping = true;
            self.server.begin_shutdown(now);
        }
        let work = self.server.do_work(now);
        self.done = self.stopping && self.server.is_drained(now);
        work
    }

    fn is_done(&self) -> bool {
        self.done
    }
}
