use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Bandwidth, Family, HostPort};

use crate::Element;

/// A pod's attachment to this node, as the CNI server registers it once the veth pair exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The host end of the pair: `crn` and 11 hex digits. At most one endpoint per interface.
    pub interface: String,
    /// The pod's addresses, of either family: each gets a host route and may be a packet's source.
    pub addresses: Vec<IpAddr>,
    /// Who it is, for messages: `namespace/name` of the pod, else the container id.
    pub owner: String,
    /// Do all its packets pass this node's firewall? Where they do not (macvlan, ipvlan), no policy can be enforced on it, and one that
    /// selects it is to be refused.
    pub enforceable: bool,
    /// Ports of the node that lead to it.
    pub host_ports: Vec<HostPort>,
    /// How much traffic it may have.
    pub bandwidth: Bandwidth,
}

impl Endpoint {
    /// What the firewall is to have of it.
    pub fn elements(&self) -> impl Iterator<Item = Element> {
        let interface: Arc<str> = self.interface.as_str().into();
        let sources = self.addresses.iter().map({
            let interface = Arc::clone(&interface);
            move |address| Element::Source { interface: Arc::clone(&interface), address: *address }
        });
        let ports = self.ports().map(|(port, address)| Element::host_port(port, address));
        sources.chain(ports).chain(self.limits(interface))
    }

    /// Its ports of the node, for each of its addresses that they are for.
    pub(crate) fn ports(&self) -> impl Iterator<Item = (&HostPort, IpAddr)> {
        self.host_ports.iter().flat_map(move |port| {
            let of_family = move |address: &&IpAddr| port.is_of(Family::of(**address));
            self.addresses.iter().filter(of_family).map(move |address| (port, *address))
        })
    }

    /// The limits of its traffic.
    pub(crate) fn limits(&self, interface: Arc<str>) -> impl Iterator<Item = Element> + use<> {
        let limits: Vec<_> = self.bandwidth.limits().collect();
        limits.into_iter().map(move |(direction, rate)| Element::Limit {
            interface: Arc::clone(&interface),
            direction,
            rate,
        })
    }
}
