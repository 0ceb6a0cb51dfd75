use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use cairn_net::Prefix;

use super::{Config, Interface, OriginatedRoute};
use crate::nexthop::KernelRoute;

/// Names a TCP connection, or the attempt of one, between the shell and the speaker. Never used again.
///
/// The speaker names the connections that it asks for; for an accepted one the shell gets a name from
/// `Speaker::allocate_conn`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub(crate) u64);

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// We did, on `Output::Connect`.
    Outbound,
    /// The peer did.
    Inbound,
}

/// What happens to a speaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Become this. Compared with the running configuration: sessions and routes that the difference does not
    /// concern see nothing of it.
    Configure(Box<Config>),
    /// A TCP connection is there.
    ConnectionOpened {
        /// Its name.
        conn: ConnId,
        /// Who opened it.
        direction: Direction,
        /// Our end; its address is the next hop where we announce ourselves.
        local: SocketAddr,
        /// The other end; its address names the peer.
        remote: SocketAddr,
    },
    /// An attempt of `Output::Connect` failed.
    ConnectFailed {
        /// Its name.
        conn: ConnId,
        /// For people.
        reason: String,
    },
    /// Bytes came, in order. Any number, cut anywhere.
    Received {
        /// From where.
        conn: ConnId,
        /// What.
        bytes: Bytes,
    },
    /// A connection ended, other than by `Output::Close`.
    ConnectionClosed {
        /// Its name.
        conn: ConnId,
        /// For people: `closed by the peer`, or the system's error.
        reason: String,
    },
    /// Announce routes in the name of an owner. The same prefix again replaces the route.
    Originate {
        /// Whose they are.
        owner: String,
        /// The routes.
        routes: Vec<OriginatedRoute>,
        /// Withdraw whatever the owner had and does not name now.
        replace: bool,
    },
    /// Withdraw prefixes of an owner. Unknown ones are ignored.
    Withdraw {
        /// Whose they are.
        owner: String,
        /// The prefixes.
        prefixes: Vec<Prefix>,
    },
    /// Ask the peer for its routes again, or send ours again, without touching the session.
    SoftReset {
        /// The peer; `None`: all.
        peer: Option<IpAddr>,
        /// Which way.
        way: SoftReset,
    },
    /// Take a peer down until [`Input::StartPeer`] (Cease / Administrative Shutdown).
    StopPeer {
        /// The peer.
        peer: IpAddr,
        /// Text for the other operator (RFC 9003), at most 255 octets; may be empty.
        text: String,
    },
    /// Undo [`Input::StopPeer`], or end an idle hold right now.
    StartPeer {
        /// The peer.
        peer: IpAddr,
    },
    /// End the session and begin again (Cease / Administrative Reset).
    ResetPeer {
        /// The peer.
        peer: IpAddr,
        /// Text for the other operator (RFC 9003), at most 255 octets; may be empty.
        text: String,
    },
    /// The kernel's routes that BGP did not make, one for each prefix. Ignored without [`Config::next_hop_tracking`]; with it every next hop
    /// is taken as reachable with metric 0 until the whole of them was told.
    KernelRoutes {
        /// Prefixes with their routes; `None`: there is none any more.
        changes: Vec<(Prefix, Option<KernelRoute>)>,
        /// These are all.
        whole: bool,
    },
    /// The numbers of the interfaces behind which link-local neighbours are, all of them.
    NeighborLinks(BTreeMap<IpAddr, u32>),
    /// The interfaces of this machine that have addresses, all of them: in place of what was said before.
    InterfacesChanged(Vec<Interface>),
    /// Begin or end the stream of `Output::RouteChanged`. On at the start.
    WatchRoutes(bool),
    /// BFD has something to say of the path to a peer. Ignored for one without [`super::PeerConfig::bfd`].
    Bfd {
        /// Which.
        peer: IpAddr,
        /// What.
        state: super::BfdState,
    },
    /// The daemon ends: leave the peers as `Config::shutdown` says. Nothing happens afterwards.
    Shutdown {
        /// Text for the other operators (RFC 9003) where a Cease is sent; may be empty.
        text: String,
    },
    /// A deadline of `Speaker::poll_timeout` has passed.
    Tick,
}

/// Direction of a soft reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SoftReset {
    /// ROUTE-REFRESH to the peer, and the import policy over what is stored.
    In,
    /// Send our Adj-RIB-Out again.
    Out,
    /// Both.
    Both,
}
