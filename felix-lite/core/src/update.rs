use std::collections::BTreeMap;
use std::net::IpAddr;

use cairn_api::Object;
use cairn_api::core::{Namespace, Node, Pod, Secret};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, EgressMembers, IpPool,
    NodeConfiguration, WireguardPeer,
};
use cairn_net::{Family, Prefix};

use crate::{Endpoint, Host, NextHop};

/// A fact about the current state. Each names one thing; the newest fact about a thing is what counts, and `None`
/// means that there is no such thing (any more).
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// A node of the cluster, by name.
    Node(String, Option<Box<Object<Node>>>),
    /// A pool, by name.
    Pool(String, Option<Box<Object<IpPool>>>),
    /// A claim on a block, by name.
    Affinity(String, Option<Box<Object<BlockAffinity>>>),
    /// The cluster's BGP settings, by name; only `default` counts.
    BgpConfiguration(String, Option<Box<Object<BgpConfiguration>>>),
    /// A BGP peer, by name.
    BgpPeer(String, Option<Box<Object<BgpPeer>>>),
    /// A BGP filter, by name.
    BgpFilter(String, Option<Box<Object<BgpFilter>>>),
    /// Settings of some nodes, by name.
    NodeConfiguration(String, Option<Box<Object<NodeConfiguration>>>),
    /// A key of a node, or a host outside, by name.
    WireguardPeer(String, Option<Box<Object<WireguardPeer>>>),
    /// An egress gateway, by name.
    EgressGateway(String, Option<Box<Object<EgressGateway>>>),
    /// The pods of a node that egress gateways select, by the node's name.
    EgressMembers(String, Option<Box<Object<EgressMembers>>>),
    /// A pod of this node, as `namespace/name`.
    Pod(String, Option<Box<Object<Pod>>>),
    /// A namespace, by name.
    Namespace(String, Option<Box<Object<Namespace>>>),
    /// A secret, as `namespace/name`.
    Secret(String, Option<Box<Object<Secret>>>),
    /// A pod on this node, by its host interface.
    Endpoint(String, Option<Endpoint>),
    /// The next hops of bgpd's best path for a prefix; several where they are of equal cost.
    Learned(Prefix, Option<Vec<NextHop>>),
    /// What the kernel of this node has besides Cairn's own objects.
    Host(Box<Host>),
    /// The addresses of this node's tunnels, one of a family: each is of a pool.
    TunnelAddresses(BTreeMap<Family, IpAddr>),
    /// Has this node been emptied for as long as it is to wait before it withdraws what nothing uses?
    DrainWaited(bool),
    /// Every object of the datastore and the kernel's side have been told once. Until then an object that is not known may well be there, and
    /// neither tunnels nor the size of packets follow from what is, nor any way into a tunnel.
    Complete,
}
