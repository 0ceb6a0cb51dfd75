//! Which connections are taken.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::rc::Rc;

use bgp_core::speaker::{Direction, Welcome};
use bgp_core::wire::{CeaseError, Notification};
use tokio::net::TcpStream;
use tracing::debug;

use super::Daemon;
use super::io::LINGERING;
use crate::transport::PeerOptions;

/// Connections that one peer may have at a time: two for a collision, and some that are about to end.
const CONNECTIONS_OF_A_PEER: usize = 4;
/// Of the connections that may be about to end, so many at most are refused ones: whoever knocks without end takes nothing from
/// those whose session ends.
const REFUSED: usize = LINGERING / 2;

/// Connections that were not taken, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Refusals {
    /// From an address that is no neighbour's.
    pub(crate) unknown: u64,
    /// From a listen range that has as many peers as it may.
    pub(crate) range_full: u64,
    /// By another interface than the neighbour's.
    pub(crate) interface: u64,
    /// Of a neighbour that has several already.
    pub(crate) surplus: u64,
}

impl Daemon {
    /// Decides on an accepted connection between these ends.
    pub(super) fn admit(
        &mut self,
        stream: TcpStream,
        (local, remote): (io::Result<SocketAddr>, SocketAddr),
        device: Option<&str>,
    ) {
        let peer = remote.ip();
        if let SocketAddr::V6(v6) = remote
            && v6.ip().is_unicast_link_local()
        {
            self.connected_on(*v6.ip(), v6.scope_id());
            if self.unnumbered.interface_of(peer).is_some_and(|index| index != v6.scope_id()) {
                debug!(%peer, "refused a connection: it did not come by the neighbor's interface");
                self.refusals.interface += 1;
                return;
            }
        }
        let options = match self.speaker.welcomes(peer) {
            Welcome::Yes => self.inbound_options(peer),
            Welcome::No => None,
            Welcome::Full => return self.reject(stream, peer),
        };
        let Some(options) = options else {
            self.refusals.unknown += 1;
            self.reporter.unknown_peer(peer);
            return;
        };
        if options.device.is_some() && options.device.as_deref() != device {
            debug!(%peer, ?device, "refused a connection: it did not come by the neighbor's bindInterface");
            self.refusals.interface += 1;
            return;
        }
        if self.connections.values().filter(|connection| connection.peer == peer).count()
            >= CONNECTIONS_OF_A_PEER
        {
            debug!(%peer, "refused a connection: the peer has {CONNECTIONS_OF_A_PEER} already");
            self.refusals.surplus += 1;
            return;
        }
        match local.and_then(|local| options.set_ttl(stream.as_fd()).map(|()| local)) {
            Ok(local) => {
                let conn = self.speaker.allocate_conn();
                self.opened(conn, peer, stream, Direction::Inbound, (local, remote));
            }
            Err(error) => debug!(%peer, %error, "an accepted connection was gone at once"),
        }
    }

    /// Says Cease / Connection Rejected (RFC 4486 section 4) to one too many of a listen range, whose operator shall know why. The
    /// speaker hears nothing of it.
    fn reject(&mut self, stream: TcpStream, peer: IpAddr) {
        self.refusals.range_full += 1;
        self.reporter.full_range(peer);
        let last = Notification::cease(CeaseError::ConnectionRejected).encode();
        self.part_with(Rc::new(stream), VecDeque::from([last]), REFUSED);
    }

    fn inbound_options(&self, peer: IpAddr) -> Option<PeerOptions> {
        let local_as = self.running.as_ref()?.config.local_as;
        let options = self.options_of(peer)?;
        Some(PeerOptions {
            peer,
            ttl: crate::settings::ttl(&options),
            external: options.remote_as.and_then(|of| of.number(local_as)) != Some(local_as),
            key: None,
            device: options.bind_interface,
        })
    }
}
