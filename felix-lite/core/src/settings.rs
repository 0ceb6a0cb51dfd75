use std::collections::BTreeMap;

use cairn_api::Object;
use cairn_api::kinds::NodeConfiguration;

/// What NodeConfiguration says to this node's daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// MTU of pods in bytes; `None`: that of the interface with the node's address.
    pub mtu: Option<u32>,
    /// How many free addresses per pool the node holds ready.
    pub warm_addresses: u32,
}

impl Settings {
    /// What holds for a node with these labels.
    pub(crate) fn of(
        objects: &BTreeMap<String, Box<Object<NodeConfiguration>>>,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let merged = NodeConfiguration::effective(objects.values().map(|object| &**object), labels);
        let warm = merged.warm_addresses.unwrap_or(NodeConfiguration::DEFAULT_WARM_ADDRESSES);
        Self { mtu: merged.mtu, warm_addresses: warm }
    }
}
