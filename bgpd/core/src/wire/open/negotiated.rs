use cairn_net::{Asn, Families, Family};

use super::{Capability, Open, Role};
use crate::wire::{AfiSafi, EXTENDED_MAX_MESSAGE_LEN, MAX_MESSAGE_LEN};

/// What two OPENs agree on. A capability counts only if both sides sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// The peer's AS.
    pub peer_as: Asn,
    /// The smaller of the two hold times, in seconds; 0 is off (RFC 4271 section 4.2).
    pub hold_time: u16,
    /// Families of which routes may be sent.
    pub families: Families,
    /// AS numbers take four octets (RFC 6793).
    pub four_octet_as: bool,
    /// Families in which the peer sends path identifiers (RFC 7911).
    pub add_path_receive: Families,
    /// Families in which we send path identifiers (RFC 7911).
    pub add_path_send: Families,
    /// IPv4 routes may have an IPv6 next hop (RFC 8950).
    pub extended_next_hop: bool,
    /// ROUTE-REFRESH is understood (RFC 2918).
    pub route_refresh: bool,
    /// Refreshes carry begin and end marks (RFC 7313).
    pub enhanced_route_refresh: bool,
    /// Longest message either side may send (RFC 8654), header included.
    pub max_message_len: usize,
    /// Both sides support graceful restart (RFC 4724).
    pub graceful_restart: bool,
    /// Both sides keep routes over a NOTIFICATION (RFC 8538).
    pub notification_restart: bool,
    /// Both sides know what a long-lived stale route is (RFC 9494).
    pub long_lived_restart: bool,
    /// Our role, if both sides sent one (RFC 9234).
    pub role: Option<Role>,
}

impl Negotiated {
    /// From our OPEN and the peer's, both already checked.
    pub fn between(local: &Open, remote: &Open) -> Self {
        let both = |capability: &Capability| local.has(capability) && remote.has(capability);
        let extended = both(&Capability::ExtendedMessage);
        let families = families(local).intersection(families(remote));
        let add_path = |sender: &Open, receiver: &Open| {
            let direction = |family: &Family| {
                add_path_mode(sender, *family).is_some_and(super::AddPathMode::sends)
                    && add_path_mode(receiver, *family).is_some_and(super::AddPathMode::receives)
            };
            families.iter().filter(direction).collect::<Families>()
        };
        let restart = local.graceful_restart().zip(remote.graceful_restart());
        Self {
            peer_as: remote.asn,
            hold_time: local.hold_time.min(remote.hold_time),
            families,
            four_octet_as: has_four_octet_as(local) && has_four_octet_as(remote),
            add_path_receive: add_path(remote, local),
            add_path_send: add_path(local, remote),
            extended_next_hop: extended_next_hop(local) && extended_next_hop(remote),
            route_refresh: both(&Capability::RouteRefresh),
            enhanced_route_refresh: both(&Capability::EnhancedRouteRefresh),
            max_message_len: if extended { EXTENDED_MAX_MESSAGE_LEN } else { MAX_MESSAGE_LEN },
            graceful_restart: restart.is_some(),
            notification_restart: restart
                .is_some_and(|(ours, theirs)| ours.notification && theirs.notification),
            long_lived_restart: long_lived(local) && long_lived(remote),
            role: local.role().filter(|_| remote.role().is_some()),
        }
    }
}

/// The families of an OPEN; without any multiprotocol capability that is IPv4 unicast (RFC 4760 section 8).
fn families(open: &Open) -> Families {
    let mut multiprotocol = open
        .capabilities
        .iter()
        .filter_map(|capability| match capability {
            Capability::Multiprotocol(family) => Some(family.family()),
            _ => None,
        })
        .peekable();
    if multiprotocol.peek().is_none() {
        return Families::NONE.with(Family::Ipv4);
    }
    multiprotocol.flatten().collect()
}

fn has_four_octet_as(open: &Open) -> bool {
    open.capabilities.iter().any(|capability| matches!(capability, Capability::FourOctetAs(_)))
}

fn add_path_mode(open: &Open, family: Family) -> Option<super::AddPathMode> {
    open.capabilities.iter().find_map(|capability| match capability {
        Capability::AddPath(families) => {
            families.iter().find(|(of, _)| of.family() == Some(family)).map(|(_, mode)| *mode)
        }
        _ => None,
    })
}

fn extended_next_hop(open: &Open) -> bool {
    let wanted = (AfiSafi::unicast(Family::Ipv4), AfiSafi::afi_of(Family::Ipv6));
    open.capabilities.iter().any(|capability| match capability {
        Capability::ExtendedNextHop(families) => families.contains(&wanted),
        _ => false,
    })
}

fn long_lived(open: &Open) -> bool {
    open.capabilities.iter().any(|capability| matches!(capability, Capability::LongLivedGracefulRestart(_)))
}
