use cairn_api::kinds::{Flowtable, NodeConfiguration};

/// What the daemon itself follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// MTU of pods in bytes: as configured, else that of the paths to the other nodes less what encapsulation adds. `None` while no
    /// interface of the node is known.
    pub mtu: Option<u32>,
    /// How many free addresses per pool the node holds ready.
    pub warm_addresses: u32,
    /// Do established connections of pods take the kernel's fast path?
    pub flowtable: Flowtable,
}

impl Settings {
    /// What holds where the configuration says this, and pods' packets of this size get everywhere.
    pub(crate) fn of(configuration: &NodeConfiguration, mtu: Option<u32>) -> Self {
        let warm = configuration.warm_addresses.unwrap_or(NodeConfiguration::DEFAULT_WARM_ADDRESSES);
        let flowtable = configuration.flowtable.unwrap_or_default();
        Self { mtu: configuration.mtu.or(mtu), warm_addresses: warm, flowtable }
    }
}
