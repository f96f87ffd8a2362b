//! Who is let in, and how fast bytes may leave: what the faults of the transport change about a server's sockets.

use super::peer::Peer;
use super::{Entry, LISTENER, Loop};
use crate::faults::{RefuseHow, TlsHow};
use mio::net::TcpListener;
use mio::{Interest, Token};

impl Loop {
    /// Listens again when connections are no longer refused.
    pub(super) fn listen_again(&mut self) {
        if self.listener.is_some() || self.transport.refuses(self.now_ms) == Some(RefuseHow::Refuse) {
            return;
        }
        let bound = TcpListener::bind(self.address).and_then(|mut listener| {
            self.poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
            Ok(listener)
        });
        match bound {
            Ok(listener) => self.listener = Some(listener),
            Err(error) => log::warn!("{}: cannot listen on {} again yet: {error}", self.what, self.address),
        }
    }

    /// Allows each connection the bytes of the time that has passed, while everything is sent slowly.
    pub(super) fn pace(&mut self) {
        let rate = self.transport.drip_bytes_per_s(self.now_ms);
        let Some(bytes_per_s) = rate else {
            if self.paced_ms.take().is_some() {
                for (id, entry) in &mut self.peers.entries {
                    entry.peer.pace(None, 0);
                    self.peers.touched.insert(*id);
                }
            }
            return;
        };
        let passed_ms = self.now_ms - self.paced_ms.unwrap_or(self.now_ms);
        self.paced_ms = Some(self.now_ms);
        // Bytes a second are thousandths of bytes a millisecond; what was not used for a second is gone.
        let earned = bytes_per_s.saturating_mul(passed_ms.unsigned_abs());
        for (id, entry) in &mut self.peers.entries {
            entry.peer.pace(Some(earned), bytes_per_s.saturating_mul(1000));
            if entry.peer.backlog_bytes() > 0 {
                self.peers.touched.insert(*id);
            }
        }
    }

    pub(super) fn accept(&mut self) {
        loop {
            let Some(listener) = &self.listener else { return };
            let socket = match listener.accept() {
                Ok((socket, _)) => socket,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    log::debug!("{}: accept: {error}", self.what);
                    continue;
                }
            };
            if self.transport.refuses(self.now_ms).is_some() {
                continue;
            }
            let failure = self.transport.tls_failure(self.now_ms);
            let tls = self.tls.as_ref().map(|settings| match failure {
                Some(TlsHow::WrongName) => &settings.wrong_name,
                Some(TlsHow::Expired) => &settings.expired,
                Some(TlsHow::Garbage) | None => &settings.right,
            });
            let Ok(mut peer) = Peer::new(socket, tls) else { continue };
            if failure == Some(TlsHow::Garbage) {
                peer.answer_garbage();
            }
            if let Some(bytes_per_s) = self.transport.drip_bytes_per_s(self.now_ms) {
                peer.pace(Some(0), bytes_per_s);
            }
            let id = self.next_id;
            self.next_id += 1;
            let both = Interest::READABLE | Interest::WRITABLE;
            if let Err(error) = self.poll.registry().register(peer.socket(), Token(id as usize), both) {
                log::warn!("{}: cannot watch a connection: {error}", self.what);
                continue;
            }
            let entry = Entry { peer, open: false, answering: None, ending_at_ms: None };
            self.peers.entries.insert(id, entry);
        }
    }
}
