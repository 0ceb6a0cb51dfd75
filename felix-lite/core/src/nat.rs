//! What becomes of the sources of packets that leave the pools.
//!
//! Which packets these are is said by the firewall's elements ([`crate::firewall`]); here is what source they get.

use std::net::IpAddr;

use cairn_api::PortRange;
use cairn_api::kinds::NodeConfiguration;
use cairn_net::Family;

use crate::condition::{Condition, Reason};

/// The sources of packets that are translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nat {
    /// The address: IPv4, IPv6; `None`: that of the interface that the packet leaves by.
    pub addresses: [Option<IpAddr>; 2],
    /// The ports, where the packet has any.
    pub ports: Option<PortRange>,
    /// Is the port always drawn at random?
    pub random: bool,
}

impl Default for Nat {
    fn default() -> Self {
        Self { addresses: [None; 2], ports: None, random: true }
    }
}

impl Nat {
    /// The address that packets of a family get.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.into_iter().flatten().find(|address| Family::of(*address) == family)
    }
}

/// What the configuration asks for. An address that the node does not have would never see an answer, so it is reported, and packets leave as
/// they would without it.
pub(crate) fn derive(
    configuration: &NodeConfiguration,
    node: &str,
    has: impl Fn(IpAddr) -> bool,
) -> (Nat, Vec<Condition>) {
    let mut conditions = Vec::new();
    let addresses = Family::ALL.map(|family| {
        let address = configuration.nat_address(family)?;
        if has(address) {
            return Some(address);
        }
        let field = match family {
            Family::Ipv4 => "natOutgoingAddress",
            Family::Ipv6 => "natOutgoingAddressV6",
        };
        let message = format!(
            "{field} {address} of the NodeConfiguration is no address of this node: packets that leave the pools get that of their interface"
        );
        let subject = format!("Node/{node}");
        conditions.push(Condition { subject, reason: Reason::AddressUnknown, message });
        None
    });
    let random = configuration.nat_random_fully.unwrap_or(true);
    (Nat { addresses, ports: configuration.nat_port_range, random }, conditions)
}
