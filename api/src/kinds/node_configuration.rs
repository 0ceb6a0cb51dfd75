use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object, Selector};

/// How the daemons of some nodes behave. Who a node is in BGP stands on its Node ([`crate::annotation`]).
///
/// Where several select a node, they are merged field by field in order of name, `default` first, later ones winning:
/// see [`NodeConfiguration::effective`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeConfiguration {
    /// The nodes it is for. Default: all.
    #[serde(default)]
    pub node_selector: Selector,
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
}

impl NodeConfiguration {
    /// `warmAddresses` where nothing is said.
    pub const DEFAULT_WARM_ADDRESSES: u32 = 16;
    /// `vxlanPort` where nothing is said.
    pub const DEFAULT_VXLAN_PORT: u16 = 4789;
    /// `vxlanVNI` where nothing is said.
    pub const DEFAULT_VXLAN_VNI: u32 = 4096;

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
            mtu: object.spec.mtu.or(merged.mtu),
            warm_addresses: object.spec.warm_addresses.or(merged.warm_addresses),
            vxlan_port: object.spec.vxlan_port.or(merged.vxlan_port),
            vxlan_vni: object.spec.vxlan_vni.or(merged.vxlan_vni),
        })
    }
}

impl Kind for NodeConfiguration {
    type Status = crate::NoStatus;
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
