use std::collections::BTreeMap;

use cairn_api::Object;
use cairn_api::kinds::{IpPool, IpamConfiguration, NodeConfiguration};
use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

/// All that an allocator must know of the cluster's configuration. Kept in the journal too, so that a restart needs no store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The node's labels.
    pub node_labels: BTreeMap<String, String>,
    /// The node's pod CIDRs, the blocks that it has of pools with `blockSource: PodCIDR`. A journal may be of a time before there were such.
    #[serde(default)]
    pub pod_cidrs: Vec<Prefix>,
    /// All pools.
    pub pools: Vec<Object<IpPool>>,
    /// Ranges of all reservations.
    pub reserved: Vec<Prefix>,
    /// `IPAMConfiguration` named `default`, or its defaults.
    pub ipam: IpamConfiguration,
    /// How many free addresses per pool to hold ready.
    pub warm_addresses: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            node_labels: BTreeMap::new(),
            pod_cidrs: Vec::new(),
            pools: Vec::new(),
            reserved: Vec::new(),
            ipam: IpamConfiguration::default(),
            warm_addresses: NodeConfiguration::DEFAULT_WARM_ADDRESSES,
        }
    }
}
