//! The sets and maps of the table `inet cairn`: what is in them is data, and the rules that ask them do not change with it.

use cairn_kernel::nftables::{DataType, Set};
use cairn_net::{Direction, Family};

/// Which set an element is in, for a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SetName {
    Sources(Family),
    Pools(Family),
    Masquerade(Family),
    Encrypted(Family),
    EgressMembers(Family),
    EgressDestinations(Family),
    EgressExcluded(Family),
    EgressExempt(Family),
    EgressAddresses(Family),
    Nodes(Family),
    TunnelPorts,
    TunnelProtocols,
    /// Ports of each of the node's addresses.
    HostPorts(Family),
    /// Ports of one of them.
    HostPortsOfAddress(Family),
    Limits(Direction),
}

impl SetName {
    pub(super) const ALL: [Self; 28] = [
        Self::Sources(Family::Ipv4),
        Self::Sources(Family::Ipv6),
        Self::Pools(Family::Ipv4),
        Self::Pools(Family::Ipv6),
        Self::Masquerade(Family::Ipv4),
        Self::Masquerade(Family::Ipv6),
        Self::Encrypted(Family::Ipv4),
        Self::Encrypted(Family::Ipv6),
        Self::EgressMembers(Family::Ipv4),
        Self::EgressMembers(Family::Ipv6),
        Self::EgressDestinations(Family::Ipv4),
        Self::EgressDestinations(Family::Ipv6),
        Self::EgressExcluded(Family::Ipv4),
        Self::EgressExcluded(Family::Ipv6),
        Self::EgressExempt(Family::Ipv4),
        Self::EgressExempt(Family::Ipv6),
        Self::EgressAddresses(Family::Ipv4),
        Self::EgressAddresses(Family::Ipv6),
        Self::Nodes(Family::Ipv4),
        Self::Nodes(Family::Ipv6),
        Self::TunnelPorts,
        Self::TunnelProtocols,
        Self::HostPorts(Family::Ipv4),
        Self::HostPorts(Family::Ipv6),
        Self::HostPortsOfAddress(Family::Ipv4),
        Self::HostPortsOfAddress(Family::Ipv6),
        Self::Limits(Direction::Ingress),
        Self::Limits(Direction::Egress),
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sources(Family::Ipv4) => "sources-v4",
            Self::Sources(Family::Ipv6) => "sources-v6",
            Self::Pools(Family::Ipv4) => "pools-v4",
            Self::Pools(Family::Ipv6) => "pools-v6",
            Self::Masquerade(Family::Ipv4) => "masquerade-v4",
            Self::Masquerade(Family::Ipv6) => "masquerade-v6",
            Self::Encrypted(Family::Ipv4) => "encrypted-v4",
            Self::Encrypted(Family::Ipv6) => "encrypted-v6",
            Self::EgressMembers(Family::Ipv4) => "egress-members-v4",
            Self::EgressMembers(Family::Ipv6) => "egress-members-v6",
            Self::EgressDestinations(Family::Ipv4) => "egress-destinations-v4",
            Self::EgressDestinations(Family::Ipv6) => "egress-destinations-v6",
            Self::EgressExcluded(Family::Ipv4) => "egress-excluded-v4",
            Self::EgressExcluded(Family::Ipv6) => "egress-excluded-v6",
            Self::EgressExempt(Family::Ipv4) => "egress-exempt-v4",
            Self::EgressExempt(Family::Ipv6) => "egress-exempt-v6",
            Self::EgressAddresses(Family::Ipv4) => "egress-addresses-v4",
            Self::EgressAddresses(Family::Ipv6) => "egress-addresses-v6",
            Self::Nodes(Family::Ipv4) => "nodes-v4",
            Self::Nodes(Family::Ipv6) => "nodes-v6",
            Self::TunnelPorts => "tunnel-ports",
            Self::TunnelProtocols => "tunnel-protocols",
            Self::HostPorts(Family::Ipv4) => "host-ports-v4",
            Self::HostPorts(Family::Ipv6) => "host-ports-v6",
            Self::HostPortsOfAddress(Family::Ipv4) => "host-ports-of-address-v4",
            Self::HostPortsOfAddress(Family::Ipv6) => "host-ports-of-address-v6",
            Self::Limits(Direction::Ingress) => "ingress-limits",
            Self::Limits(Direction::Egress) => "egress-limits",
        }
    }

    /// Does it hold prefixes, which may not overlap, or values that somebody else than a pod's attachment decides? What an earlier run has there
    /// may be right until all is known.
    pub(super) const fn waits(self) -> bool {
        match self {
            Self::Pools(_)
            | Self::Masquerade(_)
            | Self::Encrypted(_)
            | Self::EgressMembers(_)
            | Self::EgressDestinations(_)
            | Self::EgressExcluded(_)
            | Self::EgressExempt(_)
            | Self::EgressAddresses(_) => true,
            Self::Sources(_)
            | Self::Nodes(_)
            | Self::TunnelPorts
            | Self::TunnelProtocols
            | Self::HostPorts(_)
            | Self::HostPortsOfAddress(_)
            | Self::Limits(_) => false,
        }
    }

    /// Does a new value, or limit, take the place of the one that an earlier run left under the same key? ADD waits for nobody (I7).
    pub(super) const fn replaces(self) -> bool {
        matches!(self, Self::HostPorts(_) | Self::HostPortsOfAddress(_) | Self::Limits(_))
    }

    /// As the kernel is to have it.
    pub(super) fn set(self) -> Set {
        match self {
            Self::Sources(family) => {
                Set::hash(self.as_str(), &[DataType::Interface, DataType::Address(family)])
            }
            Self::Pools(family)
            | Self::Masquerade(family)
            | Self::Encrypted(family)
            | Self::EgressExempt(family) => Set::prefixes(self.as_str(), family),
            Self::EgressMembers(family) => {
                Set::values(self.as_str(), &[DataType::Address(family)], DataType::Mark)
            }
            Self::EgressAddresses(family) => {
                Set::values(self.as_str(), &[DataType::Mark], DataType::Address(family))
            }
            Self::EgressDestinations(family) | Self::EgressExcluded(family) => {
                Set::marked_prefixes(self.as_str(), family)
            }
            Self::Nodes(family) => Set::hash(self.as_str(), &[DataType::Address(family)]),
            Self::TunnelPorts => Set::hash(self.as_str(), &[DataType::Port]),
            Self::TunnelProtocols => Set::hash(self.as_str(), &[DataType::Protocol]),
            Self::HostPorts(family) => {
                let key = [DataType::Protocol, DataType::Port];
                Set::values(self.as_str(), &key, DataType::Socket(family))
            }
            Self::HostPortsOfAddress(family) => {
                let key = [DataType::Address(family), DataType::Protocol, DataType::Port];
                Set::values(self.as_str(), &key, DataType::Socket(family))
            }
            Self::Limits(_) => Set::limits(self.as_str(), &[DataType::Interface]),
        }
    }
}
