//! The kinds of `cairn.network/v1alpha1`, one file each.
//!
//! There is no handle kind: a handle is a field of each allocation in its block, and the node that holds the
//! addresses finds them in its own blocks, so that a pod's start writes one object and not two (docs/adr/0049).

mod attachment;
mod bfd;
mod bgp_configuration;
mod bgp_filter;
mod bgp_peer;
mod block_affinity;
mod block_source;
mod drain;
mod egress_gateway;
mod egress_members;
mod encapsulation;
mod ip_pool;
mod ip_reservation;
mod ipam_block;
mod ipam_configuration;
mod node_configuration;
mod node_status;
mod object_status;
mod wireguard_peer;

pub use attachment::{
    Attachment, AttachmentJudgement, AttachmentMode, AttachmentRefused, IpvlanMode, UnderlayKind, attachments,
};
pub use bfd::Bfd;
pub use bgp_configuration::{
    BgpConfiguration, BgpPassword, CommunityRef, NamedCommunity, PrefixAdvertisement, SecretKeyRef,
};
pub use bgp_filter::{
    AddCommunity, BgpFilter, CommunityMatch, FilterAction, FilterOperation, FilterRule, MatchOperator,
    MatchSource, PeerType, PrefixLengthRange, PrependAsPath, SetPriority,
};
pub use bgp_peer::{
    BgpPeer, BgpPeerStatus, NextHopMode, PeerAddress, PrefixLimitAction, ReversePeering, SessionCounts,
    SourceAddress,
};
pub use block_affinity::{AffinityState, BlockAffinity};
pub use block_source::{BlockSource, PodCidrRefused};
pub use drain::Drain;
pub use egress_gateway::{EgressGateway, EgressGatewayStatus};
pub use egress_members::{EgressMembers, GatewayMembers};
pub use encapsulation::{EncapsulationRefused, Judgement, Modes, encapsulations};
pub use ip_pool::{AllowedUse, AssignmentMode, EncapMode, IpPool, IpPoolStatus};
pub use ip_reservation::IpReservation;
pub use ipam_block::{Allocation, AllocationState, IpamBlock};
pub use ipam_configuration::IpamConfiguration;
pub use node_configuration::{Flowtable, NatOutgoingExclusions, NodeConfiguration, UnencryptedPeers};
pub use node_status::{NodeReport, NodeStatus, PeerDemand, SessionReport};
pub use object_status::ObjectStatus;
pub use wireguard_peer::WireguardPeer;
