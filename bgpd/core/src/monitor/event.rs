use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use cairn_net::{Asn, Families, RouterId};

use super::MonitoredRoute;
use super::bgp4mp::Ends;
use crate::fsm::State;
use crate::speaker::{DownReason, Opens};
use crate::wire::{EncodeContext, Notification};

/// Which events are wanted. Sessions that come up and go down always are, once anything is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scope {
    /// UPDATEs as they came.
    pub pre_policy: bool,
    /// What the import side made of them.
    pub post_policy: bool,
    /// Changes of best paths.
    pub loc_rib: bool,
    /// UPDATEs as they are sent.
    pub adj_out: bool,
    /// States of peers that have no session yet, too.
    pub states: bool,
}

impl Scope {
    /// Is anything wanted?
    pub const fn any(self) -> bool {
        self.pre_policy || self.post_policy || self.loc_rib || self.adj_out || self.states
    }

    /// What either wants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            pre_policy: self.pre_policy || other.pre_policy,
            post_policy: self.post_policy || other.post_policy,
            loc_rib: self.loc_rib || other.loc_rib,
            adj_out: self.adj_out || other.adj_out,
            states: self.states || other.states,
        }
    }
}

/// The session of a monitored peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitoredPeer {
    /// Our end and the peer's.
    pub ends: (SocketAddr, SocketAddr),
    /// Its AS.
    pub asn: Asn,
    /// Our AS as it knows it.
    pub local_asn: Asn,
    /// Its identifier.
    pub router_id: RouterId,
    /// AS numbers take four octets in its UPDATEs.
    pub four_octet_as: bool,
    /// Families of which routes are exchanged.
    pub families: Families,
    /// The form of its UPDATEs.
    pub receive: EncodeContext,
    /// The form of ours.
    pub send: EncodeContext,
    /// Both OPENs.
    pub opens: Opens,
}

/// Something that happened, in the order in which it did.
#[derive(Debug, Clone, PartialEq)]
pub enum MonitorEvent {
    /// A session is up. Its routes follow.
    Up {
        /// Whose.
        peer: IpAddr,
        /// What is known of it.
        session: Box<MonitoredPeer>,
    },
    /// A session ended; its routes are gone.
    Down {
        /// Whose.
        peer: IpAddr,
        /// Why.
        reason: DownReason,
        /// The NOTIFICATION with which we ended it.
        sent: Option<Notification>,
    },
    /// An UPDATE came.
    Received {
        /// From whom.
        peer: IpAddr,
        /// The message as it came, header and all.
        message: Bytes,
        /// Its prefixes have path identifiers.
        path_ids: bool,
        /// What it says: the message itself; where it is treated as withdraw (RFC 7606), that withdrawal; `None`: nothing, it is malformed
        /// altogether.
        update: Option<Bytes>,
    },
    /// A peer's state became another one.
    State {
        /// Its address, its AS, and our side of it.
        ends: Ends,
        /// Before.
        from: State,
        /// Now.
        to: State,
    },
    /// The import side decided about routes of a peer.
    Judged {
        /// Whose.
        peer: IpAddr,
        /// The routes; those without attributes are gone or rejected.
        routes: Vec<MonitoredRoute>,
    },
    /// Routes from before a peer's restart went, as it has not announced them again (RFC 4724 section 4.2).
    Swept {
        /// Whose.
        peer: IpAddr,
        /// The routes, all without attributes.
        routes: Vec<MonitoredRoute>,
    },
    /// Best paths changed.
    Selected {
        /// The routes; those without attributes are gone.
        routes: Vec<MonitoredRoute>,
    },
    /// UPDATEs are handed out to a peer.
    Sent {
        /// To whom.
        peer: IpAddr,
        /// Whole messages, one after the other.
        updates: Bytes,
    },
}
