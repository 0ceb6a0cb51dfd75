use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use cairn_net::{Asn, Family, Prefix, RouterId};
use smallvec::SmallVec;

use super::{ConnId, DownReason, NextHopView, Password, Ttl};
use crate::fsm::State;
use crate::nexthop::Reach;

/// What a speaker wants done, or has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Open a TCP connection; answered by `Input::ConnectionOpened` or `Input::ConnectFailed`.
    Connect {
        /// Its name from now on.
        conn: ConnId,
        /// Where to.
        remote: SocketAddr,
        /// From which address; `None`: the kernel chooses.
        local: Option<IpAddr>,
        /// Socket options.
        options: TcpOptions,
    },
    /// Drop a connection, or give up the attempt. The speaker has forgotten it: no input about it counts any more.
    ///
    /// The shell finishes a message that it has written in part, then writes `last` (a NOTIFICATION, or nothing), as far
    /// as that goes without waiting for longer than a second or so, then closes.
    Close {
        /// Which.
        conn: ConnId,
        /// The last bytes.
        last: Bytes,
    },
    /// There is something to write: call `Speaker::transmit`.
    Transmit {
        /// To where.
        conn: ConnId,
    },
    /// A peer's state changed.
    PeerChanged {
        /// The peer.
        peer: IpAddr,
        /// Its AS. One of a listen range may be gone by now.
        asn: Asn,
        /// What happened.
        change: PeerChange,
    },
    /// The Loc-RIB changed: [`super::Speaker::best_route`] says to what.
    RouteChanged {
        /// Of what.
        prefix: Prefix,
    },
    /// The way to a next hop changed, or there is none to a new one.
    NextHopChanged {
        /// As it is now.
        next_hop: NextHopView,
        /// How it was reached before; `None`: it was not.
        before: Option<Reach>,
    },
    /// The Loc-RIB of the family is complete after the start: whatever was not reported by now does not exist.
    /// Once per family.
    EndOfRib {
        /// Which.
        family: Family,
    },
}

/// Options of a TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpOptions {
    /// TCP MD5 signature (RFC 2385).
    pub password: Option<Password>,
    /// The interface or VRF to bind to.
    pub device: Option<String>,
    /// Time to live.
    pub ttl: Ttl,
    /// The peer is external: with [`Ttl::Default`] the time to live is 1.
    pub external: bool,
}

/// A change of a peer, for logs and watchers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// The state machine moved.
    State {
        /// From here.
        from: State,
        /// To here.
        to: State,
    },
    /// The session is up.
    Up {
        /// The peer's identifier.
        router_id: RouterId,
        /// Its AS.
        asn: Asn,
    },
    /// An attempt failed or the session ended.
    Down {
        /// Why.
        reason: DownReason,
        /// The session had been Established.
        was_up: bool,
    },
    /// Something worth a line in the log that does not end the session.
    Warning {
        /// The line.
        text: String,
    },
}

/// The best route to a prefix. Whoever watches takes one of these for each prefix, so a single next hop is kept in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BestRoute {
    /// All next hops of equal cost, the best path's first, each once. Empty: the route is our own.
    pub next_hops: SmallVec<[IpAddr; 1]>,
    /// Where the best path comes from.
    pub source: RouteSource,
    /// Traffic to it is to be discarded: the best path has BLACKHOLE, and its peer may say so (RFC 7999).
    pub blackhole: bool,
}

/// Where a route comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RouteSource {
    /// From a peer.
    Peer(IpAddr),
    /// Our own, in the name of an owner.
    Local(Arc<str>),
}
