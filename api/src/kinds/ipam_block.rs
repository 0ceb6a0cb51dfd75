use std::net::IpAddr;

use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object, Timestamp, name};

/// A block of a pool: the only arbiter of who holds which address in it.
///
/// Its name is made from its range ([`name::of_prefix`]). An address without an entry was never used. An entry belongs to
/// its `node`: nobody else changes it until it is `Released` and its cool-down is over. A block that is cut out of its pool has at most
/// 4096 addresses; a node's pod CIDR may have more, of which as many are used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IpamBlock {
    /// The range.
    pub cidr: Prefix,
    /// Name of the pool it was cut from.
    pub pool: String,
    /// The addresses that are or were held, in order of address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allocations: Vec<Allocation>,
}

/// One address of a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Allocation {
    /// The address.
    pub address: IpAddr,
    /// The node that holds it.
    pub node: String,
    /// What the node does with it.
    pub state: AllocationState,
    /// Who has it: `<network>.<container id>` for a pod's attachment. Empty while `Reserved`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub handle: String,
    /// The pod as `namespace/name`, for people. Empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pod: String,
    /// When the state was entered.
    pub since: Timestamp,
}

/// What a node does with an address that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum AllocationState {
    /// Claimed ahead of need: the node may give it to a pod without asking.
    Reserved,
    /// A pod has it.
    Assigned,
    /// Given back; free once the cool-down is over.
    Released,
}

impl IpamBlock {
    /// Most entries of a block, so that the object stays small whatever the size of the range.
    pub const MAX_ALLOCATIONS: usize = 4096;
}

impl Kind for IpamBlock {
    type Status = crate::NoStatus;
    const KIND: &'static str = "IPAMBlock";
    const PLURAL: &'static str = "ipamblocks";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let spec = &object.spec;
        let expected = name::of_prefix(spec.cidr);
        faults.require(
            object.metadata.name == expected,
            "metadata.name",
            &object.metadata.name,
            format!("must be made from spec.cidr: {expected}"),
        );
        faults.at_most("spec.allocations", spec.allocations.len(), Self::MAX_ALLOCATIONS);
        for (index, allocation) in spec.allocations.iter().enumerate() {
            let path = format!("spec.allocations[{index}]");
            let address = allocation.address;
            let inside = spec.cidr.contains(address);
            faults.require(inside, format!("{path}.address"), address, "must be inside spec.cidr");
            name::check(&allocation.node, &format!("{path}.node"), faults);
            faults.require(
                allocation.state != AllocationState::Assigned || !allocation.handle.is_empty(),
                format!("{path}.handle"),
                &allocation.handle,
                "an assigned address has a handle",
            );
            let in_order = index == 0 || spec.allocations[index - 1].address < address;
            faults.require(in_order, format!("{path}.address"), address, "once each, in ascending order");
        }
    }
}
