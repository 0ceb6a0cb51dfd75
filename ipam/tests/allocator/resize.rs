//! Pools that get another range under nodes that give addresses.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use cairn_api::kinds::{BlockAffinity, IpPool, IpamBlock, IpamConfiguration};
use cairn_api::{Metadata, Object, Timestamp};
use cairn_datastore::{Datastore, Key, MemoryStore, Query};
use cairn_ipam::resize::{Change, Performed, Seen, Step, Wish, perform, plan};
use cairn_ipam::{Handle, NodeAllocator, Request, Settings};
use cairn_net::{Families, Family, Prefix};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    store: MemoryStore,
    nodes: Vec<Arc<NodeAllocator<MemoryStore>>>,
    running: Vec<tokio::task::JoinHandle<()>>,
    _journals: TempDir,
}

impl Cluster {
    /// Two nodes and the pool `p`.
    async fn start(cidr: &str) -> Self {
        let (store, journals) = (MemoryStore::new(), TempDir::new().unwrap());
        let pool = IpPool { block_size: Some(28), ..IpPool::of(prefix(cidr)) };
        store.create(&Object::new(Metadata::named("p"), pool)).await.unwrap();
        let open = |name: &str| {
            Arc::new(NodeAllocator::open(store.clone(), name, &journals.path().join(name)).unwrap())
        };
        let nodes: Vec<_> = ["n1", "n2"].map(open).into();
        // Without rest nobody has to wait.
        let ipam = IpamConfiguration { ip_cooldown_seconds: 0, ..IpamConfiguration::default() };
        store.create(&Object::new(Metadata::named("default"), ipam)).await.unwrap();
        let mut cluster = Self { store, nodes, running: Vec::new(), _journals: journals };
        cluster.tell().await;
        for node in &cluster.nodes {
            let node = Arc::clone(node);
            cluster.running.push(tokio::spawn(async move { node.run().await }));
        }
        cluster
    }

    /// Tells the nodes of the pools, as their watches do.
    async fn tell(&self) {
        let pools = self.store.list::<IpPool>(&Query::all()).await.unwrap().objects;
        let ipam = self.store.get::<IpamConfiguration>(&Key::named("default")).await.unwrap().spec;
        for node in &self.nodes {
            node.configure(Settings { pools: pools.clone(), ipam: ipam.clone(), ..Settings::default() })
                .unwrap();
        }
    }

    async fn assign(&self, node: usize, handle: &str) -> Result<IpAddr, String> {
        let request = Request::any(Handle::new(handle), Families::NONE.with(Family::Ipv4));
        let assigned = self.nodes[node].assign(&request).await;
        assigned.map(|assigned| assigned[0].address).map_err(|error| error.to_string())
    }

    async fn blocks(&self) -> Vec<Prefix> {
        let list = self.store.list::<IpamBlock>(&Query::all()).await.unwrap();
        list.objects.iter().map(|block| block.spec.cidr).collect()
    }

    /// The next step, done; what it waits for, if it does.
    async fn step(&self, change: &Change) -> Option<(Step, Performed)> {
        let seen = Seen::read(&self.store).await.unwrap();
        let plan = plan(change, &seen, clock());
        assert_eq!(plan.objections, []);
        let step = plan.steps.iter().find(|step| !matches!(step, Step::Empty { .. }))?;
        let done = perform(&self.store, change, step, &clock).await.unwrap();
        self.tell().await;
        Some((step.clone(), done))
    }

    async fn pool(&self, name: &str) -> Option<IpPool> {
        self.store.get::<IpPool>(&Key::named(name)).await.ok().map(|found| found.spec)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.running.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn clock() -> Timestamp {
    SystemTime::now().into()
}

async fn change(cluster: &Cluster, cidr: &str, to: Option<&str>) -> Change {
    let wish =
        Wish { pool: "p".to_owned(), cidr: Some(prefix(cidr)), to: to.map(str::to_owned), ..Wish::default() };
    Change::of(&wish, &Seen::read(&cluster.store).await.unwrap().pools).unwrap()
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_full_pool_gives_again_once_it_is_wider() {
    let cluster = Cluster::start("10.0.0.0/28").await;
    for number in 0..16 {
        cluster.assign(0, &format!("h{number}")).await.unwrap();
    }
    assert!(cluster.assign(0, "more").await.is_err());
    let wider = change(&cluster, "10.0.0.0/27", None).await;
    assert!(matches!(cluster.step(&wider).await, Some((Step::Resize { .. }, Performed::Done))));
    let more = cluster.assign(0, "more").await.unwrap();
    assert!(prefix("10.0.0.16/28").contains(more), "{more}");
    assert_eq!(cluster.step(&wider).await, None);
}

#[tokio::test]
async fn a_pool_is_narrowed_only_after_its_nodes_have_left_the_rest() {
    let cluster = Cluster::start("10.0.0.0/27").await;
    let address = cluster.assign(0, "a").await.unwrap();
    cluster.assign(1, "b").await.unwrap();
    until("both blocks are there", async || cluster.blocks().await.len() == 2).await;
    // To the half in which the first node's pod is.
    let half = Prefix::containing(address, 28).unwrap();
    cluster.nodes[1].release(&Handle::new("b")).unwrap();
    let reported = async || {
        let seen = Seen::read(&cluster.store).await.unwrap();
        let narrow =
            Change::of(&Wish { pool: "p".to_owned(), cidr: Some(half), ..Wish::default() }, &seen.pools);
        plan(&narrow.unwrap(), &seen, clock()).objections.is_empty()
    };
    until("the release is in the store", reported).await;
    let narrow = change(&cluster, &half.to_string(), None).await;
    assert!(matches!(cluster.step(&narrow).await, Some((Step::Disable { .. }, Performed::Done))));
    until("the pool is narrow", async || match cluster.step(&narrow).await {
        Some((Step::Resize { .. }, Performed::Waits(left))) => {
            assert!(!left.is_empty() && cluster.pool("p").await.unwrap().cidr == prefix("10.0.0.0/27"));
            false
        }
        Some((Step::Resize { .. }, Performed::Done)) => true,
        other => panic!("{other:?}"),
    })
    .await;
    assert_eq!(cluster.blocks().await, [half]);
    let pool = cluster.pool("p").await.unwrap();
    assert_eq!((pool.cidr, pool.disabled), (half, false));
    assert_eq!(cluster.assign(0, "a").await.unwrap(), address, "its pod was not touched");
    let more = cluster.assign(0, "c").await.unwrap();
    assert!(half.contains(more), "{more}");
}

#[tokio::test]
async fn a_pool_that_pods_move_away_from_goes_with_the_last_of_them() {
    let cluster = Cluster::start("10.0.0.0/24").await;
    let old = [cluster.assign(0, "a").await.unwrap(), cluster.assign(1, "b").await.unwrap()];
    assert!(old.iter().all(|address| prefix("10.0.0.0/24").contains(*address)));
    until("both blocks are there", async || cluster.blocks().await.len() == 2).await;
    cluster.nodes[0].flush().await.unwrap();
    cluster.nodes[1].flush().await.unwrap();
    let away = change(&cluster, "10.9.0.0/24", Some("q")).await;
    assert!(matches!(cluster.step(&away).await, Some((Step::Create { .. }, Performed::Done))));
    assert!(matches!(cluster.step(&away).await, Some((Step::Disable { .. }, Performed::Done))));
    assert!(matches!(cluster.step(&away).await, Some((Step::Delete { .. }, Performed::Waits(_)))));

    // Its pod starts anew: another address, of the other pool.
    cluster.nodes[0].release(&Handle::new("a")).unwrap();
    let new = cluster.assign(0, "a2").await.unwrap();
    assert!(prefix("10.9.0.0/24").contains(new), "{new}");
    let waits = cluster.step(&away).await;
    assert!(
        matches!(&waits, Some((Step::Delete { .. }, Performed::Waits(left))) if left.in_use >= 1),
        "{waits:?}"
    );
    assert_eq!(cluster.assign(1, "b").await.unwrap(), old[1], "live addresses stay");

    cluster.nodes[1].release(&Handle::new("b")).unwrap();
    until("the old pool is gone", async || {
        cluster.step(&away).await;
        cluster.pool("p").await.is_none()
    })
    .await;
    assert!(cluster.blocks().await.iter().all(|block| prefix("10.9.0.0/24").covers(*block)));
    let affinities = cluster.store.list::<BlockAffinity>(&Query::all()).await.unwrap().objects;
    assert!(affinities.iter().all(|found| found.spec.pool == "q"), "{affinities:?}");
    assert_eq!(cluster.step(&away).await, None);
}

#[tokio::test]
async fn a_pool_that_somebody_enabled_again_keeps_its_range() {
    let cluster = Cluster::start("10.0.0.0/27").await;
    let narrow = change(&cluster, "10.0.0.0/28", None).await;
    let resize = Step::Resize { pool: "p".to_owned(), cidr: prefix("10.0.0.0/28"), enable: true };
    let done = perform(&cluster.store, &narrow, &resize, &clock).await.unwrap();
    assert_eq!(done, Performed::Changed("IPPool p was enabled again".to_owned()));
    assert_eq!(cluster.pool("p").await.unwrap().cidr, prefix("10.0.0.0/27"));
}
