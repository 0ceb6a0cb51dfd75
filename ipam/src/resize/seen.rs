use cairn_api::core::{Namespace, Node, Pod};
use cairn_api::kinds::{
    BgpConfiguration, BgpFilter, BgpPeer, BlockAffinity, EgressGateway, IpPool, IpReservation, IpamBlock,
    IpamConfiguration, WireguardPeer,
};
use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Query, StoreError};
use cairn_net::Prefix;

/// All that a plan follows from.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// All pools.
    pub pools: Vec<Object<IpPool>>,
    /// All reservations.
    pub reservations: Vec<Object<IpReservation>>,
    /// All blocks.
    pub blocks: Vec<Object<IpamBlock>>,
    /// All affinities.
    pub affinities: Vec<Object<BlockAffinity>>,
    /// How long an address rests, and more.
    pub ipam: IpamConfiguration,
    /// All nodes.
    pub nodes: Vec<Object<Node>>,
    /// All pods.
    pub pods: Vec<Object<Pod>>,
    /// All namespaces.
    pub namespaces: Vec<Object<Namespace>>,
    /// All peers.
    pub peers: Vec<Object<BgpPeer>>,
    /// All filters.
    pub filters: Vec<Object<BgpFilter>>,
    /// All configurations of BGP.
    pub bgp: Vec<Object<BgpConfiguration>>,
    /// All egress gateways.
    pub gateways: Vec<Object<EgressGateway>>,
    /// All WireGuard peers.
    pub wireguard: Vec<Object<WireguardPeer>>,
    /// Prefixes that peers announce to a node; `None` where nobody was asked.
    pub learned: Option<Vec<Prefix>>,
}

impl Seen {
    /// Reads all that is in a store.
    ///
    /// Errors: what the store said.
    pub async fn read(store: &impl Datastore) -> Result<Self, StoreError> {
        Ok(Self {
            pools: all(store).await?,
            reservations: all(store).await?,
            nodes: all(store).await?,
            namespaces: all(store).await?,
            peers: all(store).await?,
            filters: all(store).await?,
            bgp: all(store).await?,
            gateways: all(store).await?,
            wireguard: all(store).await?,
            ..Self::of_addresses(store).await?
        })
    }

    /// Reads who has which address, and nothing else.
    pub(super) async fn of_addresses(store: &impl Datastore) -> Result<Self, StoreError> {
        let configurations = all::<IpamConfiguration>(store).await?;
        // The order matters: an affinity is made before its block and goes after it, so that of two that go meanwhile one is seen.
        let pods = all(store).await?;
        let blocks = all(store).await?;
        let default = configurations.into_iter().find(|found| found.name() == "default");
        let ipam = default.map(|found| found.spec).unwrap_or_default();
        Ok(Self { blocks, affinities: all(store).await?, ipam, pods, ..Self::default() })
    }

    /// A pool by its name.
    pub(super) fn pool(&self, name: &str) -> Option<&Object<IpPool>> {
        self.pools.iter().find(|pool| pool.name() == name)
    }
}

async fn all<K: Kind>(store: &impl Datastore) -> Result<Vec<Object<K>>, StoreError> {
    store.list(&Query::all()).await.map(|list| list.objects)
}
