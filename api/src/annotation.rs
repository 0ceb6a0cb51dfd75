//! Annotations and labels of ours on objects of Kubernetes.
//!
//! On a Node they say who the node is in BGP (read by [`crate::core::NodeIdentity`]); on a Pod or a Namespace
//! what addresses are wanted.

use cairn_net::Family;

/// Node: the node's AS number. Default: `BGPConfiguration.spec.asNumber`.
pub const AS_NUMBER: &str = "cairn.network/as-number";
/// Node: the IPv4 address of its BGP sessions and next hops, `address` or `address/length`.
/// Default: the only IPv4 `InternalIP` of its status, or the only one inside of `nodeAddressCIDRs` of its NodeConfiguration.
pub const IPV4_ADDRESS: &str = "cairn.network/ipv4-address";
/// Node: the same for IPv6.
pub const IPV6_ADDRESS: &str = "cairn.network/ipv6-address";
/// Node: the BGP identifier. Default: the IPv4 address, else derived from the node's name.
pub const ROUTER_ID: &str = "cairn.network/router-id";
/// Node: makes it a route reflector with this cluster id; all of one cluster share it.
pub const ROUTE_REFLECTOR_CLUSTER_ID: &str = "cairn.network/route-reflector-cluster-id";

/// Node: it is to be emptied, whatever else is known of it; the value says why. Without effect: empty, or `false`.
pub const DRAIN: &str = "cairn.network/drain";

/// Pod, Namespace: names of the IPv4 pools to take from, a JSON list, tried in order. A pod's own counts before its namespace's.
pub const IPV4_POOLS: &str = "cairn.network/ipv4-pools";
/// Pod, Namespace: names of the IPv6 pools to take from, a JSON list, tried in order.
pub const IPV6_POOLS: &str = "cairn.network/ipv6-pools";
/// Pod: the exact addresses to have, a JSON list of at most one per family.
pub const ADDRESSES: &str = "cairn.network/ip-addresses";
/// Pod: the MAC address of its interface, a unicast one.
pub const MAC_ADDRESS: &str = "cairn.network/mac-address";

/// Label on BlockAffinity: the node that it belongs to, as a value fit for a label.
pub const NODE_LABEL: &str = "cairn.network/node";

/// BlockAffinity: when addresses of its node were last given back by somebody else; the node looks at its blocks again.
pub const RECLAIMED: &str = "cairn.network/reclaimed";

/// On any object of ours: the product whose object it was made of.
pub const MIGRATED_FROM: &str = "cairn.network/migrated-from";

/// Pod, Namespace: by which one the pools of a family are named.
pub const fn pools(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => IPV4_POOLS,
        Family::Ipv6 => IPV6_POOLS,
    }
}
