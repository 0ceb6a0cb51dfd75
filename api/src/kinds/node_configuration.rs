use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cairn_net::{Family, Prefix};
use serde::{Deserialize, Serialize};

use crate::{Faults, GoDuration, Kind, Object, PortRange, Selector, bounds};

/// How the daemons of some nodes behave. Who a node is in BGP stands on its Node ([`crate::annotation`]).
///
/// Where several select a node, they are merged field by field in order of name, `default` first, later ones winning:
/// see [`NodeConfiguration::effective`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfiguration {
    /// The nodes it is for. Default: all.
    #[serde(default)]
    pub node_selector: Selector,
    /// Ranges that addresses of nodes are of: of several `InternalIP` of a family in a Node's status the one inside of them is the node's, and
    /// one outside never is. Ranges of one family say nothing of the other, and an annotation of the Node counts before them. Default: any, if
    /// it is the only one.
    #[serde(default, rename = "nodeAddressCIDRs", skip_serializing_if = "Option::is_none")]
    pub node_address_cidrs: Option<Vec<Prefix>>,
    /// MTU of pods and of tunnels. Unit: bytes. Range: 1280 to 65535. Default: the smallest MTU of the paths to the other nodes, less what the
    /// pools' encapsulation adds, followed when it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// How many free addresses per pool the node holds ready, so that a pod needs no store. Range: 0 to 256. Default: 16.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warm_addresses: Option<u32>,
    /// UDP port of VXLAN, the same on all nodes. Range: 1 to 65535. Default: 4789 (IANA).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vxlan_port: Option<u16>,
    /// VXLAN network identifier, the same on all nodes. Range: 1 to 16777215. Default: 4096.
    #[serde(default, rename = "vxlanVNI", skip_serializing_if = "Option::is_none")]
    pub vxlan_vni: Option<u32>,
    /// May packets enter VXLAN without the checksum of what is inside, for the network card to add? `false` where a card, or what emulates one, spoils
    /// it: the kernel then adds it first, at the cost of time. Default: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vxlan_checksum_offload: Option<bool>,
    /// Encrypt what IPv4 pods of different nodes send to each other, by WireGuard. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_enabled: Option<bool>,
    /// The same for IPv6 pods.
    #[serde(default, rename = "wireguardEnabledV6", skip_serializing_if = "Option::is_none")]
    pub wireguard_enabled_v6: Option<bool>,
    /// Encrypt what this node itself sends to other nodes' own addresses, too, of the families that are encrypted for pods. Default: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_host_encryption_enabled: Option<bool>,
    /// UDP port of WireGuard, the same on all nodes. Range: 1 to 65535. Default: 51820.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_listening_port: Option<u16>,
    /// Largest packet that is encrypted. Unit: bytes. Range: 1280 to 65535. Default: what the paths to the other nodes carry, less 60, or 80
    /// where encrypted packets are of IPv6.
    #[serde(default, rename = "wireguardMTU", skip_serializing_if = "Option::is_none")]
    pub wireguard_mtu: Option<u32>,
    /// A packet to each peer after so long without one, so that firewalls in between remember it. Range: 0s (none) or 1s to 65535s.
    /// Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_keep_alive: Option<GoDuration>,
    /// What becomes of packets between pods and nodes whose key is not known. Default: `Allow`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wireguard_unencrypted_peers: Option<UnencryptedPeers>,
    /// The destinations that pods of `natOutgoing` pools reach with their own addresses. Default: `IPPoolsOnly`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_outgoing_exclusions: Option<NatOutgoingExclusions>,
    /// Further such destinations.
    #[serde(default, rename = "natOutgoingExcludedCIDRs", skip_serializing_if = "Option::is_none")]
    pub nat_outgoing_excluded_cidrs: Option<Vec<Prefix>>,
    /// The source that IPv4 packets of such pods get: an address of the node. Default: the address of the interface that they leave by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_outgoing_address: Option<Ipv4Addr>,
    /// The same for IPv6.
    #[serde(default, rename = "natOutgoingAddressV6", skip_serializing_if = "Option::is_none")]
    pub nat_outgoing_address_v6: Option<Ipv6Addr>,
    /// The source ports that their connections get. Default: the connection's own where it is free, else any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_port_range: Option<PortRange>,
    /// Is the source port always drawn at random, so that two connections that begin at the same time do not draw the same? Default: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nat_random_fully: Option<bool>,
    /// Whether established connections of pods take the kernel's fast path, an nftables flowtable. Default: `Disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flowtable: Option<Flowtable>,
}

/// How established connections of pods are forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Flowtable {
    /// Packet by packet through routing, connection tracking and all rules.
    #[default]
    Disabled,
    /// By the kernel where they come in, with what was found out for the first packets.
    Software,
}

/// Which destinations are not translated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NatOutgoingExclusions {
    /// Addresses of pools.
    #[default]
    #[serde(rename = "IPPoolsOnly")]
    IpPoolsOnly,
    /// Addresses of pools and of the nodes.
    #[serde(rename = "IPPoolsAndHostIPs")]
    IpPoolsAndHostIps,
}

/// What becomes of packets between pods that cannot be encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum UnencryptedPeers {
    /// They travel as if there were no encryption: nothing breaks while it is switched on node by node.
    #[default]
    Allow,
    /// They are neither sent nor taken.
    Refuse,
}

impl NodeConfiguration {
    /// `warmAddresses` where nothing is said.
    pub const DEFAULT_WARM_ADDRESSES: u32 = 16;
    /// `vxlanPort` where nothing is said.
    pub const DEFAULT_VXLAN_PORT: u16 = 4789;
    /// `vxlanVNI` where nothing is said.
    pub const DEFAULT_VXLAN_VNI: u32 = 4096;
    /// `wireguardListeningPort` where nothing is said.
    pub const DEFAULT_WIREGUARD_PORT: u16 = 51820;

    /// What holds for a node with these labels.
    pub fn effective<'a>(
        all: impl IntoIterator<Item = &'a Object<Self>>,
        node_labels: &BTreeMap<String, String>,
    ) -> Self {
        let mut selected: Vec<_> =
            all.into_iter().filter(|object| object.spec.node_selector.matches(node_labels)).collect();
        selected.sort_by_key(|object| (object.metadata.name != "default", &object.metadata.name));
        selected.iter().fold(Self::default(), |merged, object| Self {
            node_selector: Selector::default(),
            node_address_cidrs: object.spec.node_address_cidrs.clone().or(merged.node_address_cidrs),
            mtu: object.spec.mtu.or(merged.mtu),
            warm_addresses: object.spec.warm_addresses.or(merged.warm_addresses),
            vxlan_port: object.spec.vxlan_port.or(merged.vxlan_port),
            vxlan_vni: object.spec.vxlan_vni.or(merged.vxlan_vni),
            vxlan_checksum_offload: object.spec.vxlan_checksum_offload.or(merged.vxlan_checksum_offload),
            wireguard_enabled: object.spec.wireguard_enabled.or(merged.wireguard_enabled),
            wireguard_enabled_v6: object.spec.wireguard_enabled_v6.or(merged.wireguard_enabled_v6),
            wireguard_host_encryption_enabled: object
                .spec
                .wireguard_host_encryption_enabled
                .or(merged.wireguard_host_encryption_enabled),
            wireguard_listening_port: object
                .spec
                .wireguard_listening_port
                .or(merged.wireguard_listening_port),
            wireguard_mtu: object.spec.wireguard_mtu.or(merged.wireguard_mtu),
            wireguard_keep_alive: object.spec.wireguard_keep_alive.or(merged.wireguard_keep_alive),
            wireguard_unencrypted_peers: object
                .spec
                .wireguard_unencrypted_peers
                .or(merged.wireguard_unencrypted_peers),
            flowtable: object.spec.flowtable.or(merged.flowtable),
            nat_outgoing_exclusions: object.spec.nat_outgoing_exclusions.or(merged.nat_outgoing_exclusions),
            nat_outgoing_excluded_cidrs: object
                .spec
                .nat_outgoing_excluded_cidrs
                .clone()
                .or(merged.nat_outgoing_excluded_cidrs),
            nat_outgoing_address: object.spec.nat_outgoing_address.or(merged.nat_outgoing_address),
            nat_outgoing_address_v6: object.spec.nat_outgoing_address_v6.or(merged.nat_outgoing_address_v6),
            nat_port_range: object.spec.nat_port_range.or(merged.nat_port_range),
            nat_random_fully: object.spec.nat_random_fully.or(merged.nat_random_fully),
        })
    }
}

impl NodeConfiguration {
    /// The source that packets of a family get when they leave the pools, where one is said.
    pub fn nat_address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Ipv4 => self.nat_outgoing_address.map(IpAddr::V4),
            Family::Ipv6 => self.nat_outgoing_address_v6.map(IpAddr::V6),
        }
    }
}

impl Kind for NodeConfiguration {
    type Status = super::ObjectStatus;
    const KIND: &'static str = "NodeConfiguration";
    const PLURAL: &'static str = "nodeconfigurations";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        if let Some(mtu) = object.spec.mtu {
            faults.require((1280..=65535).contains(&mtu), "spec.mtu", mtu, "1280 to 65535 bytes");
        }
        if let Some(warm) = object.spec.warm_addresses {
            faults.require(warm <= 256, "spec.warmAddresses", warm, "0 to 256");
        }
        if let Some(port) = object.spec.vxlan_port {
            faults.require(port != 0, "spec.vxlanPort", port, "1 to 65535");
        }
        if let Some(port) = object.spec.wireguard_listening_port {
            faults.require(port != 0, "spec.wireguardListeningPort", port, "1 to 65535");
        }
        if let Some(mtu) = object.spec.wireguard_mtu {
            faults.require((1280..=65535).contains(&mtu), "spec.wireguardMTU", mtu, "1280 to 65535 bytes");
        }
        let nat = [("spec.natOutgoingAddress", Family::Ipv4), ("spec.natOutgoingAddressV6", Family::Ipv6)];
        for (field, family) in nat {
            if let Some(address) = object.spec.nat_address(family) {
                let link_local = matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
                let usable = !address.is_unspecified() && !address.is_loopback() && !address.is_multicast();
                faults.require(
                    usable && !link_local,
                    field,
                    address,
                    "a unicast address that others can answer",
                );
            }
        }
        let lists = [
            ("spec.nodeAddressCIDRs", &object.spec.node_address_cidrs),
            ("spec.natOutgoingExcludedCIDRs", &object.spec.nat_outgoing_excluded_cidrs),
        ];
        for (field, ranges) in lists {
            faults.at_most(field, ranges.as_ref().map_or(0, Vec::len), bounds::LIST);
        }
        if let Some(time) = object.spec.wireguard_keep_alive {
            let (whole, seconds) = (time.get().subsec_nanos() == 0, time.get().as_secs());
            let rule = "whole seconds, 0s to 65535s";
            faults.require(whole && seconds <= 65535, "spec.wireguardKeepAlive", time, rule);
        }
        if let Some(vni) = object.spec.vxlan_vni {
            faults.require(
                (1..1 << 24).contains(&vni),
                "spec.vxlanVNI",
                vni,
                "1 to 16777215 (RFC 7348 section 5)",
            );
        }
    }
}
