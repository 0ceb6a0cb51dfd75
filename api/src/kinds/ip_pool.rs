use cairn_net::{Family, Prefix};
use serde::{Deserialize, Serialize};

use super::{Attachment, BlockSource, Modes};
use crate::{Condition, Faults, Kind, Object, Selector, bounds};

/// A range that addresses are taken from, cut into blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::struct_excessive_bools)] // the fields of the format
pub struct IpPool {
    /// The range. It may be widened, and narrowed while the pool is disabled; otherwise it never changes.
    pub cidr: Prefix,
    /// Where its blocks come from. Default: `Pool`. Never changes.
    #[serde(default, skip_serializing_if = "BlockSource::is_default")]
    pub block_source: BlockSource,
    /// Prefix length of a block: 20 to 32, or 116 to 128. Default: 26 or 122. Never changes. Not with `blockSource: PodCIDR`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_size: Option<u8>,
    /// Are packets that leave all pools masqueraded behind the node's address?
    #[serde(default)]
    pub nat_outgoing: bool,
    /// Is nothing new taken from it? Addresses in use stay.
    #[serde(default)]
    pub disabled: bool,
    /// Are its blocks kept out of BGP?
    #[serde(default, rename = "disableBGPExport")]
    pub disable_bgp_export: bool,
    /// Encapsulation in IP (RFC 2003), IPv4 in IPv4: only in a pool of IPv4. Never together with `vxlanMode`.
    #[serde(default)]
    pub ipip_mode: EncapMode,
    /// Encapsulation in VXLAN (RFC 7348). Never together with `ipipMode`.
    #[serde(default)]
    pub vxlan_mode: EncapMode,
    /// How its pods are attached: to the node's routes, or to the network that the node is in.
    #[serde(default, skip_serializing_if = "Attachment::is_default")]
    pub attachment: Attachment,
    /// The nodes that may take from it, by their labels.
    #[serde(default)]
    pub node_selector: Selector,
    /// The namespaces whose pods may take from it, by their labels.
    #[serde(default)]
    pub namespace_selector: Selector,
    /// What its addresses are for. Default: workloads and tunnels.
    #[serde(default = "default_uses")]
    pub allowed_uses: Vec<AllowedUse>,
    /// Is it used without being named?
    #[serde(default)]
    pub assignment_mode: AssignmentMode,
}

/// When packets between nodes are encapsulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EncapMode {
    /// Plain routing.
    #[default]
    Never,
    /// Between all nodes.
    Always,
    /// Between nodes that share no subnet; plain routing between those that do.
    CrossSubnet,
}

/// What an address may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AllowedUse {
    /// Pods.
    Workload,
    /// The nodes' tunnel devices.
    Tunnel,
    /// Services of type LoadBalancer.
    LoadBalancer,
}

/// Is a pool used without being named?
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AssignmentMode {
    /// Whenever its selectors match.
    #[default]
    Automatic,
    /// Only when the pod or its namespace names the pool or an address in it.
    Manual,
}

/// What is reported of a pool.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IpPoolStatus {
    /// `Allocatable`, with reason `OK`, `CIDROverlap`, `PoolDisabled` or `Terminating`; `Encapsulation`, with reason `OK`,
    /// `BothModes`, `FamilyUnsupported`, `Underlay` or `CIDROverlap`; of a pool with an attachment that is not routed also `Attachment`, with
    /// reason `OK`, `Encapsulated`, `NATOutgoing` or `CIDROverlap`; `Accepted`, with reason `OK` or `Invalid`.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The modes in force: those of the spec while they can be had, else those that were in force before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encapsulation: Option<Modes>,
    /// The attachment in force, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachment: Option<Attachment>,
}

fn default_uses() -> Vec<AllowedUse> {
    vec![AllowedUse::Workload, AllowedUse::Tunnel]
}

impl IpPool {
    /// A pool of a range with all defaults.
    pub fn of(cidr: Prefix) -> Self {
        Self {
            cidr,
            block_source: BlockSource::Pool,
            block_size: None,
            nat_outgoing: false,
            disabled: false,
            disable_bgp_export: false,
            ipip_mode: EncapMode::Never,
            vxlan_mode: EncapMode::Never,
            attachment: Attachment::default(),
            node_selector: Selector::default(),
            namespace_selector: Selector::default(),
            allowed_uses: default_uses(),
            assignment_mode: AssignmentMode::Automatic,
        }
    }

    /// Prefix length of the blocks that are cut out of it, with the default resolved.
    pub fn block_len(&self) -> u8 {
        self.block_size.unwrap_or(match self.cidr.family() {
            Family::Ipv4 => 26,
            Family::Ipv6 => 122,
        })
    }
}

impl Kind for IpPool {
    type Status = IpPoolStatus;
    const KIND: &'static str = "IPPool";
    const PLURAL: &'static str = "ippools";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        match spec.block_source {
            BlockSource::Pool => validate_block_len(spec, faults),
            BlockSource::PodCidr => {
                if let Some(len) = spec.block_size {
                    let rule = "not with spec.blockSource PodCIDR: a block is as large as a node's pod CIDR";
                    faults.add("spec.blockSize", len, rule);
                }
            }
        }
        faults.require(!spec.allowed_uses.is_empty(), "spec.allowedUses", "[]", "at least one use");
        faults.at_most("spec.allowedUses", spec.allowed_uses.len(), bounds::USES);
        let addr = spec.cidr.addr();
        faults.require(!addr.is_multicast(), "spec.cidr", spec.cidr, "must not be multicast");
        faults.require(!addr.is_loopback(), "spec.cidr", spec.cidr, "must not be loopback");
        spec.attachment.validate(spec.cidr, faults);
    }
}

fn validate_block_len(spec: &IpPool, faults: &mut Faults) {
    let family = spec.cidr.family();
    let (least, most) = (family.bits() - 12, family.bits());
    let len = spec.block_len();
    faults.require(
        (least..=most).contains(&len),
        "spec.blockSize",
        len,
        format!("{least} to {most} in a pool of {family}"),
    );
    faults.require(
        len >= spec.cidr.len(),
        "spec.blockSize",
        len,
        format!("not shorter than the pool's own length, {}", spec.cidr.len()),
    );
}
