use cairn_net::Prefix;
use serde::{Deserialize, Serialize};

use crate::{Faults, Kind, Object, name};

/// Who owns a block.
///
/// Its name is made from the block's range, not from the node ([`name::of_prefix`]): the store cannot hold two of one
/// name, so no two nodes can ever own one block. It is made before its block and goes after it, so these objects are
/// the index of all blocks; and it changes rarely, unlike the block, so everybody can watch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockAffinity {
    /// The block's range.
    pub cidr: Prefix,
    /// The owner. Empty where nobody owns the block and some addresses of it are in use.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
    /// Name of the pool.
    pub pool: String,
    /// How far the claim has got.
    pub state: AffinityState,
}

/// How far a claim has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum AffinityState {
    /// Claimed; the block may not exist yet. Not announced.
    Pending,
    /// The block exists. Announced.
    Confirmed,
    /// The owner gives it up. Not announced; still nobody else's.
    PendingDeletion,
}

impl Kind for BlockAffinity {
    type Status = crate::NoStatus;
    const KIND: &'static str = "BlockAffinity";
    const PLURAL: &'static str = "blockaffinities";

    fn validate(object: &Object<Self>, faults: &mut Faults) {
        let expected = name::of_prefix(object.spec.cidr);
        faults.require(
            object.metadata.name == expected,
            "metadata.name",
            &object.metadata.name,
            format!("must be made from spec.cidr: {expected}"),
        );
        if !object.spec.node.is_empty() {
            name::check(&object.spec.node, "spec.node", faults);
        }
    }
}
