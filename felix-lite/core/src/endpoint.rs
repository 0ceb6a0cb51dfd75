use std::net::IpAddr;

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
}
