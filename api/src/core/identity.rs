use std::fmt::Display;
use std::net::IpAddr;
use std::str::FromStr;

use cairn_net::{Asn, Family, Prefix, RouterId};

use super::Node;
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

/// What a Node says of who it is, before one of several addresses is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeClaims {
    /// As annotated; with an address only where one is annotated.
    annotated: NodeIdentity,
    /// Each `InternalIP` of its status that a session could use, once.
    internal: Vec<IpAddr>,
}

impl NodeClaims {
    /// All addresses that may be its own: of each family the annotated one, else every `InternalIP`.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        Family::ALL.into_iter().flat_map(move |family| {
            let annotated = self.annotated.address(family).map(|own| own.addr);
            let internal = self.internal_of(family).filter(move |_| annotated.is_none());
            annotated.into_iter().chain(internal)
        })
    }

    /// The identity. An address is the annotated one, else the only `InternalIP` of its family: the only one inside of `ranges`, where these have
    /// any of the family. Of several none is taken, for sessions would come and go with the order in which somebody lists them.
    ///
    /// Besides it one fault for each family that has addresses, and none that could be taken.
    pub fn identity(&self, ranges: &[Prefix]) -> (NodeIdentity, Faults) {
        let (mut identity, mut faults) = (self.annotated.clone(), Faults::default());
        for (family, own) in [(Family::Ipv4, &mut identity.ipv4), (Family::Ipv6, &mut identity.ipv6)] {
            if own.is_none() {
                *own = self.choose(family, ranges, &mut faults);
            }
        }
        (identity, faults)
    }

    fn internal_of(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.internal.iter().copied().filter(move |addr| Family::of(*addr) == family)
    }

    fn choose(&self, family: Family, ranges: &[Prefix], faults: &mut Faults) -> Option<InterfaceAddress> {
        let own: Vec<IpAddr> = self.internal_of(family).collect();
        let limited = ranges.iter().any(|range| range.family() == family);
        let is_inside = |addr: IpAddr| !limited || ranges.iter().any(|range| range.contains(addr));
        let fit: Vec<IpAddr> = own.iter().copied().filter(|addr| is_inside(*addr)).collect();
        let key = match family {
            Family::Ipv4 => annotation::IPV4_ADDRESS,
            Family::Ipv6 => annotation::IPV6_ADDRESS,
        };
        let (found, what) = match (own.as_slice(), fit.as_slice()) {
            ([], _) => return None,
            (_, [addr]) => return Some(InterfaceAddress { addr: *addr, subnet: Prefix::host(*addr) }),
            (_, []) => (&own, format!("no InternalIP of {family} is inside of nodeAddressCIDRs")),
            _ => (&fit, format!("several InternalIPs of {family}, so none is used")),
        };
        let found: Vec<String> = found.iter().map(ToString::to_string).collect();
        let rule = format!(
            "{what}: annotate the Node with {key}, or choose by nodeAddressCIDRs of a NodeConfiguration"
        );
        faults.add("status.addresses", found.join(", "), rule);
        None
    }
}

impl Object<Node> {
    /// Reads what it says of itself.
    ///
    /// Errors: one fault per annotation that is not valid.
    pub fn claims(&self) -> Result<NodeClaims, Faults> {
        let mut faults = Faults::default();
        let annotated = NodeIdentity {
            asn: read(self, annotation::AS_NUMBER, &mut faults),
            ipv4: address(self, Family::Ipv4, annotation::IPV4_ADDRESS, &mut faults),
            ipv6: address(self, Family::Ipv6, annotation::IPV6_ADDRESS, &mut faults),
            router_id: read(self, annotation::ROUTER_ID, &mut faults),
            cluster_id: read(self, annotation::ROUTE_REFLECTOR_CLUSTER_ID, &mut faults),
        };
        let path = path(annotation::AS_NUMBER);
        faults.speaker_asn(path, annotated.asn);
        let mut internal: Vec<IpAddr> = Vec::new();
        for address in self.status.iter().flat_map(|state| &state.addresses) {
            let Ok(addr) = address.address.parse::<IpAddr>() else { continue };
            if address.kind == "InternalIP"
                && usable(addr)
                && !is_link_local(addr)
                && !internal.contains(&addr)
            {
                internal.push(addr);
            }
        }
        faults.into_result().map(|()| NodeClaims { annotated, internal })
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
    let found: InterfaceAddress = read(node, key, faults)?;
    let fits = Family::of(found.addr) == family && usable(found.addr);
    faults.require(fits, path(key), found.addr, format!("a unicast address of {family}"));
    fits.then_some(found)
}

fn usable(addr: IpAddr) -> bool {
    !addr.is_unspecified() && !addr.is_multicast() && !addr.is_loopback()
}

/// Such an address means nothing but on its link.
fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metadata;
    use crate::core::{NodeAddress, NodeState};

    const V4_TWICE: [&str; 2] = ["10.0.0.1", "192.168.0.1"];

    fn node(internal: &[&str], annotations: &[(&str, &str)]) -> Object<Node> {
        let mut node = Object::new(Metadata::named("n"), Node::default());
        let of_kind = |kind: &str, address: &str| NodeAddress { kind: kind.into(), address: address.into() };
        let mut addresses = vec![of_kind("Hostname", "n"), of_kind("ExternalIP", "203.0.113.9")];
        addresses.extend(internal.iter().map(|address| of_kind("InternalIP", address)));
        node.status = Some(NodeState { addresses, ..NodeState::default() });
        for (key, value) in annotations {
            node.metadata.annotations.insert((*key).to_owned(), (*value).to_owned());
        }
        node
    }

    /// The chosen addresses, and what is wrong.
    fn chosen(node: &Object<Node>, ranges: &[&str]) -> (Vec<String>, String) {
        let ranges: Vec<Prefix> = ranges.iter().map(|range| range.parse().unwrap()).collect();
        let (identity, faults) = node.claims().unwrap().identity(&ranges);
        let own = Family::ALL.into_iter().filter_map(|family| identity.address(family));
        (own.map(|own| own.addr.to_string()).collect(), faults.to_string())
    }

    #[test]
    fn the_one_internal_address_of_each_family_is_taken() {
        for internal in [
            &["10.0.0.1", "fd00::1"][..],
            &["fd00::1", "10.0.0.1", "fd00:0::1", "10.0.0.1"],
            &["fe80::1", "169.254.7.7", "127.0.0.1", "10.0.0.1", "fd00::1", "::1"],
        ] {
            let expected = vec!["10.0.0.1".to_owned(), "fd00::1".to_owned()];
            assert_eq!(chosen(&node(internal, &[]), &[]), (expected, String::new()), "{internal:?}");
        }
        assert_eq!(chosen(&node(&[], &[]), &["10.0.0.0/8"]), (vec![], String::new()), "none is no fault");
    }

    #[test]
    fn of_several_internal_addresses_none_is_taken_and_the_fault_names_them_and_the_remedies() {
        let both = node(&["10.0.0.1", "192.168.0.1", "fd00::1"], &[]);
        let (own, fault) = chosen(&both, &[]);
        assert_eq!(own, ["fd00::1"], "the other family has nothing to do with it");
        assert_eq!(
            fault,
            "status.addresses: \"10.0.0.1, 192.168.0.1\": several InternalIPs of ipv4, so none is used: annotate the Node \
             with cairn.network/ipv4-address, or choose by nodeAddressCIDRs of a NodeConfiguration"
        );
        let claims = both.claims().unwrap();
        assert_eq!(claims.addresses().count(), 3, "any of them may be its own");
        assert_eq!(both.validate(), Ok(()), "whoever writes the Node's status must not make it unreadable");
        let (own, fault) = chosen(&node(&["fd00::1", "10.0.0.1", "fd00::2"], &[]), &[]);
        assert_eq!(own, ["10.0.0.1"]);
        assert!(fault.contains("\"fd00::1, fd00::2\"") && fault.contains("ipv6-address"), "{fault}");
    }

    #[test]
    fn an_annotation_chooses_whatever_else_is_said() {
        let annotated = node(&V4_TWICE, &[(annotation::IPV4_ADDRESS, "192.0.2.7/24")]);
        let nothing: &[&str] = &[];
        for ranges in [nothing, &["10.0.0.0/8"]] {
            assert_eq!(chosen(&annotated, ranges), (vec!["192.0.2.7".to_owned()], String::new()));
        }
        assert_eq!(annotated.claims().unwrap().addresses().count(), 1);
    }

    #[test]
    fn ranges_choose_among_the_addresses_of_their_family() {
        let two = node(&["10.0.0.1", "192.168.0.1", "fd00::1"], &[]);
        let expected = vec!["192.168.0.1".to_owned(), "fd00::1".to_owned()];
        assert_eq!(chosen(&two, &["192.168.0.0/16", "172.16.0.0/12"]), (expected, String::new()));
        let (own, fault) = chosen(&two, &["0.0.0.0/0"]);
        assert!(own == ["fd00::1"] && fault.contains("several InternalIPs"), "{own:?}, {fault}");
        let (own, fault) = chosen(&two, &["10.0.0.0/8", "fd01::/64"]);
        assert_eq!(own, ["10.0.0.1"]);
        assert!(
            fault.contains("\"fd00::1\": no InternalIP of ipv6 is inside of nodeAddressCIDRs"),
            "{fault}"
        );
    }
}
