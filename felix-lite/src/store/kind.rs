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
    /// The fact about an object, by its full name.
    fn fact(name: String, object: Option<Box<Object<Self>>>) -> Update;
}

macro_rules! watched {
    ($($kind:ty => $fact:expr),* $(,)?) => {
        $(impl Watched for $kind {
            fn fact(name: String, object: Option<Box<Object<Self>>>) -> Update {
                $fact(name, object)
            }
        })*
    };
}

watched! {
    Node => Update::Node,
    IpPool => Update::Pool,
    BlockAffinity => Update::Affinity,
    BgpConfiguration => Update::BgpConfiguration,
    BgpPeer => Update::BgpPeer,
    BgpFilter => Update::BgpFilter,
    NodeConfiguration => Update::NodeConfiguration,
    WireguardPeer => Update::WireguardPeer,
    EgressGateway => Update::EgressGateway,
    EgressMembers => Update::EgressMembers,
    Pod => Update::Pod,
    Namespace => Update::Namespace,
    Secret => Update::Secret,
}
