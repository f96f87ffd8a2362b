//! The server's clients: two buffers of a socket for each, and the turn of the server around its core.

use codec::time::Now;
use ipc::client::ClientId;
use ipc::limits::WRITE_BYTES_PER_TURN;
use ipc::{Core, LeaveReason, Output};

/// One client's socket, seen from both ends.
pub struct Socket {
    /// Its number at the server; none once the server has closed it, or it hung up.
    pub id: Option<ClientId>,
    /// Bytes that the server may write before somebody reads them.
    pub room_bytes: usize,
    /// Written by the server and not read yet.
    pub unread: Vec<u8>,
    /// Written by the client and not read yet.
    pub unheard: Vec<u8>,
    /// Why the server closed it.
    pub left: Option<LeaveReason>,
    /// A sum over all that the server ever wrote.
    pub sum: u64,
    watched: bool,
    over: bool,
}

const FNV_START: u64 = 0xCBF2_9CE4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01B3;

/// Goes on with a sum over bytes (FNV-1a, eight at a time).
pub fn sum(mut state: u64, bytes: &[u8]) -> u64 {
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        state = (state ^ u64::from_le_bytes(word) ^ chunk.len() as u64).wrapping_mul(FNV_PRIME);
        state ^= state >> 29;
    }
    state
}

impl Socket {
    pub fn connected(core: &mut Core, room_bytes: usize, now: Now) -> Self {
        Self {
            id: core.connect(now),
            room_bytes,
            unread: Vec::new(),
            unheard: Vec::new(),
            left: None,
            sum: FNV_START,
            watched: false,
            over: false,
        }
    }

    /// The client reads up to so many bytes.
    pub fn read(&mut self, core: &mut Core, bytes_max: usize, into: &mut Vec<u8>) {
        let bytes = bytes_max.min(self.unread.len());
        into.extend_from_slice(&self.unread[..bytes]);
        self.unread.drain(..bytes);
        if let Some(id) = self.id
            && bytes > 0
            && std::mem::take(&mut self.watched)
        {
            core.writable(id);
        }
    }

    /// The server's part: reads, answers, writes. Whether it did anything.
    fn turn(&mut self, core: &mut Core, now: Now) -> bool {
        let Some(id) = self.id else { return false };
        let mut worked = false;
        if !self.unheard.is_empty() && (self.over || core.wants_input(id)) {
            if !self.over {
                core.input(id, &self.unheard);
            }
            self.unheard.clear();
            worked = true;
        }
        worked |= core.serve(id, now);
        worked |= self.write(core, id, now);
        if let Some(reason) = core.verdict(id, now) {
            self.close(core, reason);
            return true;
        }
        worked
    }

    fn write(&mut self, core: &mut Core, id: ClientId, now: Now) -> bool {
        let mut written = 0;
        while written < WRITE_BYTES_PER_TURN && core.has_output(id) {
            let output = core.output(id, now);
            if matches!(output, Output::Nothing | Output::Later) {
                // Later: a long reply goes on with the next turn.
                return written > 0 || output == Output::Later;
            }
            let bytes = core.output_bytes(id, output);
            let (wanted, room) = (bytes.len(), self.room_bytes.saturating_sub(self.unread.len()));
            let sent = wanted.min(room);
            self.unread.extend_from_slice(&bytes[..sent]);
            self.sum = sum(self.sum, &bytes[..sent]);
            core.sent(id, output, sent, now, now.wall_ns);
            written += sent;
            if sent < wanted {
                self.watched = true;
                break;
            }
        }
        self.over |= core.is_over(id);
        written > 0
    }

    /// The server closes it.
    pub fn close(&mut self, core: &mut Core, reason: LeaveReason) {
        if let Some(id) = self.id.take() {
            core.disconnect(id, reason);
            self.left = Some(reason);
        }
    }
}

/// Everything that waits at the server, once around; whether there was anything.
pub fn serve(core: &mut Core, sockets: &mut [Socket], now: Now) -> bool {
    let mut worked = false;
    for socket in sockets.iter_mut() {
        worked |= socket.turn(core, now);
    }
    if core.deadlines_due(now) {
        for socket in sockets.iter_mut() {
            let Some(id) = socket.id else { continue };
            if let Some(reason) = core.verdict(id, now) {
                socket.close(core, reason);
            } else {
                worked |= core.heartbeat(id, now);
            }
        }
    }
    worked | core.keep_books(now)
}
