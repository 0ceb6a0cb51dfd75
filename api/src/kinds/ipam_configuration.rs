use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object};

/// How addresses are managed in the whole cluster. The one named `default` counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IpamConfiguration {
    /// Are nodes confined to their own blocks? Default: false (they borrow when all is taken).
    pub strict_affinity: bool,
    /// Most blocks a node may own per family; 0 means 20. Above 0 requires `strictAffinity`.
    pub max_blocks_per_host: u32,
    /// Do nodes claim blocks by themselves? Default: true.
    pub auto_allocate_blocks: bool,
    /// How long a released address rests before it is used again. Unit: seconds. Range: 0 to 1200. Default: 30.
    pub ip_cooldown_seconds: u32,
}

impl Default for IpamConfiguration {
    fn default() -> Self {
        Self {
            strict_affinity: false,
            max_blocks_per_host: 0,
            auto_allocate_blocks: true,
            ip_cooldown_seconds: 30,
        }
    }
}

impl IpamConfiguration {
    /// Most blocks per node and family, with the default resolved.
    pub const fn max_blocks(&self) -> usize {
        if self.max_blocks_per_host == 0 { 20 } else { self.max_blocks_per_host as usize }
    }
}

impl Kind for IpamConfiguration {
    type Status = crate::NoStatus;
    const KIND: &'static str = "IPAMConfiguration";
    const PLURAL: &'static str = "ipamconfigurations";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        faults.require(
            object.metadata.name == "default",
            "metadata.name",
            &object.metadata.name,
            "there is only one, named default",
        );
        faults.require(
            spec.strict_affinity || spec.auto_allocate_blocks,
            "spec.autoAllocateBlocks",
            spec.auto_allocate_blocks,
            "must be true unless strictAffinity is",
        );
        faults.require(
            spec.max_blocks_per_host == 0 || spec.strict_affinity,
            "spec.maxBlocksPerHost",
            spec.max_blocks_per_host,
            "must be 0 unless strictAffinity is true",
        );
        faults.require(
            spec.ip_cooldown_seconds <= 1200,
            "spec.ipCooldownSeconds",
            spec.ip_cooldown_seconds,
            "0 to 1200",
        );
    }
}
