use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use cairn_net::{Asn, Family, Prefix, RouterId};

use super::{Node, NodeState};
use crate::{Faults, Object, annotation};

/// Who a node is in BGP, from its annotations and its status.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeIdentity {
    /// AS number; `None` means the cluster's.
    pub asn: Option<Asn>,
    /// Address for IPv4 sessions and next hops; `None` where the node has none.
    pub ipv4: Option<InterfaceAddress>,
    /// The same for IPv6.
    pub ipv6: Option<InterfaceAddress>,
    /// BGP identifier. Default: the IPv4 address, else a hash of the node's name.
    pub router_id: Option<RouterId>,
    /// Route reflector cluster; `None` where the node is no route reflector.
    pub cluster_id: Option<RouterId>,
}

impl NodeIdentity {
    /// The address of a family.
    pub const fn address(&self, family: Family) -> Option<InterfaceAddress> {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

/// An address with the length of its subnet, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InterfaceAddress {
    /// The address.
    pub addr: IpAddr,
    /// The subnet it is in; a host prefix where no length was given.
    pub subnet: Prefix,
}

impl FromStr for InterfaceAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let rule = || "an address, or address/length".to_owned();
        let (addr, len) = text.split_once('/').map_or((text, None), |(addr, len)| (addr, Some(len)));
        let addr: IpAddr = addr.parse().map_err(|_| rule())?;
        let subnet = match len {
            None => Prefix::host(addr),
            Some(len) => {
                let len = len.parse().map_err(|_| rule())?;
                Prefix::containing(addr, len).ok_or_else(rule)?
            }
        };
        Ok(Self { addr, subnet })
    }
}

impl Object<Node> {
    /// Reads the identity.
    ///
    /// Errors: one fault per annotation or status address that is not valid.
    pub fn identity(&self) -> Result<NodeIdentity, Faults> {
        let mut faults = Faults::default();
        let identity = NodeIdentity {
            asn: read(self, annotation::AS_NUMBER, &mut faults),
            ipv4: address(self, Family::Ipv4, annotation::IPV4_ADDRESS, &mut faults),
            ipv6: address(self, Family::Ipv6, annotation::IPV6_ADDRESS, &mut faults),
            router_id: read(self, annotation::ROUTER_ID, &mut faults),
            cluster_id: read(self, annotation::ROUTE_REFLECTOR_CLUSTER_ID, &mut faults),
        };
        let path = path(annotation::AS_NUMBER);
        faults.speaker_asn(path, identity.asn);
        faults.into_result().map(|()| identity)
    }
}

fn path(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}

fn read<T: FromStr<Err: Display>>(node: &Object<Node>, key: &str, faults: &mut Faults) -> Option<T> {
    let text = node.metadata.annotations.get(key)?;
    text.parse().map_err(|error: T::Err| faults.add(path(key), text, error.to_string())).ok()
}

fn address(node: &Object<Node>, family: Family, key: &str, faults: &mut Faults) -> Option<InterfaceAddress> {
    if node.metadata.annotations.contains_key(key) {
        let found: InterfaceAddress = read(node, key, faults)?;
        let fits = Family::of(found.addr) == family && usable(found.addr);
        faults.require(fits, path(key), found.addr, format!("a unicast address of {family}"));
        return fits.then_some(found);
    }
    let addresses = node.status.as_ref().map_or(&[][..], |NodeState { addresses, .. }| addresses);
    let mut internal = addresses.iter().filter(|address| address.kind == "InternalIP");
    internal.find_map(|address| {
        let addr: IpAddr = address.address.parse().ok()?;
        (Family::of(addr) == family && usable(addr))
            .then(|| InterfaceAddress { addr, subnet: Prefix::host(addr) })
    })
}

fn usable(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast() && !addr.is_loopback()
}
