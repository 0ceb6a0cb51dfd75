use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::{Bytes, BytesMut};

use super::peer::PeerId;
use crate::wire::Framer;

/// A TCP connection, or the attempt of one: what is read of it, and what is to be written before any routes.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) peer: PeerId,
    pub(super) framer: Framer,
    /// OPEN, KEEPALIVE, NOTIFICATION and ROUTE-REFRESH: they never wait behind routes.
    pub(super) control: VecDeque<Bytes>,
    /// `Output::Transmit` was given, and [`super::Speaker::transmit`] has not yet run dry.
    pub(super) woken: bool,
    /// Both ends, once it is open.
    pub(super) ends: Option<(SocketAddr, SocketAddr)>,
    /// The shell has said that it is gone.
    pub(super) gone: bool,
    /// The OPENs of both sides, header and all, once they were sent and received.
    pub(super) opens: Opens,
    /// The last time the shell took bytes although more were waiting; `None`: nothing waits (RFC 9687).
    pub(super) stalled_since: Option<Instant>,
}

/// The two OPENs of a connection, as they were on the wire. Empty: not yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Opens {
    /// Ours.
    pub sent: Bytes,
    /// The peer's.
    pub received: Bytes,
}

impl Connection {
    pub(super) fn new(peer: PeerId) -> Self {
        Self {
            peer,
            framer: Framer::default(),
            control: VecDeque::new(),
            woken: false,
            ends: None,
            gone: false,
            opens: Opens::default(),
            stalled_since: None,
        }
    }

    /// What is still to be written, in one piece, with a last message behind it.
    pub(super) fn last_words(self, last: Option<Bytes>) -> Bytes {
        if self.control.is_empty() {
            return last.unwrap_or_default();
        }
        let mut all = BytesMut::new();
        for bytes in self.control.iter().chain(&last) {
            all.extend_from_slice(bytes);
        }
        all.freeze()
    }
}
