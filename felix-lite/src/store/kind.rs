use cairn_api::core::{Namespace, Node, Pod, Secret};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, EgressMembers, IpPool,
    NodeConfiguration, WireguardPeer,
};
use cairn_api::{Kind, Object};
use felix_core::Update;

/// How many kinds are watched: see [`super::Feed::start`].
pub(crate) const KINDS: usize = 13;

/// A kind that the core wants to know about.
pub(super) trait Watched: Kind {
    /// Does so much follow from its objects that nothing may be put in force while one of them cannot be read? Then defaults would take
    /// its place: another AS number, or a node without the pool that its pods are of.
    const NEEDED: bool = false;

    /// The fact about an object, by its full name.
    fn fact(name: String, object: Option<Box<Object<Self>>>) -> Update;
}

macro_rules! watched {
    ($($kind:ty => $fact:expr $(, needed: $needed:literal)?;)*) => {
        $(impl Watched for $kind {
            $(const NEEDED: bool = $needed;)?

            fn fact(name: String, object: Option<Box<Object<Self>>>) -> Update {
                $fact(name, object)
            }
        })*
    };
}

watched! {
    Node => Update::Node;
    IpPool => Update::Pool, needed: true;
    BlockAffinity => Update::Affinity;
    BgpConfiguration => Update::BgpConfiguration, needed: true;
    BgpPeer => Update::BgpPeer;
    BgpFilter => Update::BgpFilter;
    NodeConfiguration => Update::NodeConfiguration, needed: true;
    WireguardPeer => Update::WireguardPeer;
    EgressGateway => Update::EgressGateway;
    EgressMembers => Update::EgressMembers;
    Pod => Update::Pod;
    Namespace => Update::Namespace;
    Secret => Update::Secret;
}
