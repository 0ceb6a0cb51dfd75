use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Something that is refused or impossible: who, what and why (I10).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    /// Whom it is about, such as `BGPPeer/tor-1` or `Node/a`.
    pub subject: String,
    /// What is wrong, in one word.
    pub reason: Reason,
    /// What it is and why, and what follows, in a sentence for people.
    pub message: String,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.subject, self.reason, self.message)
    }
}

/// What is wrong, in one word for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// The node has no Node object, so nothing is known of its BGP identity.
    NodeUnknown,
    /// A node has no address that a session could use, several and nothing that chooses, or one that none of its interfaces has.
    AddressUnknown,
    /// An object's fields contradict each other or a rule.
    Invalid,
    /// Two nodes have one router id.
    DuplicateRouterId,
    /// Several objects configure one session, or one address.
    Ambiguous,
    /// A node is to have a session with itself.
    OwnAddress,
    /// A Secret, or a key in it, that is named does not exist.
    SecretMissing,
    /// A BGPFilter that is named does not exist.
    FilterMissing,
    /// What is asked for cannot be done by this version.
    Unsupported,
    /// Two pools, or a pool and a subnet of the node, share addresses.
    CidrOverlap,
    /// Another node announces a block of this node.
    BlockConflict,
    /// A next hop that no route leads to.
    NextHopUnreachable,
    /// A pool's modes cannot be had.
    EncapsulationRefused,
    /// Pods of a pool cannot be attached as it says.
    AttachmentUnavailable,
    /// The node has no pod CIDR that a pool's addresses could be of, or another node still has it.
    PodCidrUnavailable,
    /// The subnet of this node's address is not known.
    SubnetUnknown,
    /// Traffic with a node cannot be encrypted, though it should.
    Unencrypted,
    /// Packets of pods may be of a size that the paths to other nodes, or encapsulation, do not allow for.
    PacketSize,
    /// An uplink drops packets that come another way than their answers go.
    ReversePathFilter,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NodeUnknown => "NodeUnknown",
            Self::AddressUnknown => "AddressUnknown",
            Self::Invalid => "Invalid",
            Self::DuplicateRouterId => "DuplicateRouterId",
            Self::Ambiguous => "Ambiguous",
            Self::OwnAddress => "OwnAddress",
            Self::SecretMissing => "SecretMissing",
            Self::FilterMissing => "FilterMissing",
            Self::Unsupported => "Unsupported",
            Self::CidrOverlap => "CIDROverlap",
            Self::BlockConflict => "BlockConflict",
            Self::NextHopUnreachable => "NextHopUnreachable",
            Self::EncapsulationRefused => "EncapsulationRefused",
            Self::AttachmentUnavailable => "AttachmentUnavailable",
            Self::PodCidrUnavailable => "PodCIDRUnavailable",
            Self::SubnetUnknown => "SubnetUnknown",
            Self::Unencrypted => "Unencrypted",
            Self::PacketSize => "PacketSize",
            Self::ReversePathFilter => "ReversePathFilter",
        })
    }
}

/// What is wrong with each of many nodes, by name; a node of which nothing is known to be wrong is not there.
pub(crate) type ByNode = BTreeMap<Arc<str>, Vec<Condition>>;

/// Says what is wrong with a node from now on; false if that was known.
pub(crate) fn replace(known: &mut ByNode, name: &Arc<str>, conditions: Vec<Condition>) -> bool {
    if known.get(name).map_or(&[][..], Vec::as_slice) == conditions.as_slice() {
        return false;
    }
    if conditions.is_empty() {
        known.remove(name);
    } else {
        known.insert(Arc::clone(name), conditions);
    }
    true
}
