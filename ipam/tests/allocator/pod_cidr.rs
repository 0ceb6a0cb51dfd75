//! Pools whose blocks are the nodes' pod CIDRs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cairn_api::kinds::{
    AffinityState, AllocationState, BlockAffinity, BlockSource, IpPool, IpamBlock, IpamConfiguration,
};
use cairn_api::{Metadata, Object, name};
use cairn_datastore::{Datastore, Key, MemoryStore, Query};
use cairn_ipam::{Assigned, Handle, IpamError, NodeAllocator, Request, Settings};
use cairn_net::{Families, Family, Prefix};
use tempfile::TempDir;

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn settings(pod_cidrs: &[&str]) -> Settings {
    let pool = |name: &str, cidr: &str| {
        let spec = IpPool { block_source: BlockSource::PodCidr, ..IpPool::of(prefix(cidr)) };
        Object::new(Metadata::named(name), spec)
    };
    Settings {
        pools: vec![pool("four", "10.244.0.0/16"), pool("six", "fd00:244::/48")],
        pod_cidrs: pod_cidrs.iter().map(|text| prefix(text)).collect(),
        ipam: IpamConfiguration { ip_cooldown_seconds: 0, ..IpamConfiguration::default() },
        ..Settings::default()
    }
}

struct Node {
    allocator: Arc<NodeAllocator<MemoryStore>>,
    _journal: TempDir,
}

impl Node {
    fn start(store: &MemoryStore, name: &str, pod_cidrs: &[&str]) -> Self {
        let journal = TempDir::new().unwrap();
        let opened = NodeAllocator::open(store.clone(), name, &journal.path().join("ipam"));
        let allocator = Arc::new(opened.unwrap());
        allocator.configure(settings(pod_cidrs)).unwrap();
        Self { allocator, _journal: journal }
    }

    async fn assign(&self, handle: &str, families: Families) -> Result<Vec<Assigned>, IpamError> {
        self.allocator.assign(&Request::any(Handle::new(handle), families)).await
    }

    async fn ipv4(&self, handle: &str) -> Result<IpAddr, String> {
        let assigned = self.assign(handle, Families::NONE.with(Family::Ipv4)).await;
        assigned.map(|assigned| assigned[0].address).map_err(|error| error.to_string())
    }

    fn announced(&self) -> Vec<String> {
        self.allocator.routes().borrow().blocks.iter().map(|route| route.cidr.to_string()).collect()
    }
}

#[tokio::test]
async fn a_node_takes_from_its_pod_cidrs_alone_and_announces_them_as_they_are() {
    let store = MemoryStore::new();
    let node = Node::start(&store, "n1", &["10.244.7.0/24", "fd00:244:0:7::/64"]);
    let both = node.assign("a", Families::ALL).await.unwrap();
    assert!(prefix("10.244.7.0/24").contains(both[0].address), "{both:?}");
    assert!(prefix("fd00:244:0:7::/64").contains(both[1].address), "{both:?}");
    assert_eq!(node.announced(), ["10.244.7.0/24", "fd00:244:0:7::/64"]);
    let blocks = store.list::<IpamBlock>(&Query::all()).await.unwrap().objects;
    let of: Vec<_> = blocks.iter().map(|block| block.spec.cidr.len()).collect();
    assert_eq!(of, [24, 64], "a block is as large as the pod CIDR");

    // All of it, and not one address more.
    for number in 1..256 {
        node.ipv4(&format!("h{number}")).await.unwrap();
    }
    let full = node.ipv4("one-too-many").await.unwrap_err();
    assert!(full.contains("its blocks here are full, and it has no other pod CIDR"), "{full}");
    assert!(full.contains("blockSource PodCIDR forbids to borrow"), "{full}");

    let fixed = |address: &str| {
        let addresses = vec![address.parse::<IpAddr>().unwrap()];
        let families = Families::NONE.with(Family::of(addresses[0]));
        Request { addresses, ..Request::any(Handle::new(address), families) }
    };
    let outside = node.allocator.assign(&fixed("10.244.8.1")).await.unwrap_err().to_string();
    assert!(outside.contains("in none of the node's pod CIDRs inside the pool"), "{outside}");
    // Far beyond the addresses that are given without being asked for.
    node.allocator.assign(&fixed("fd00:244:0:7:8000::1")).await.unwrap();
}

#[tokio::test]
async fn without_a_pod_cidr_inside_the_pool_there_is_no_address_and_the_error_says_why() {
    let store = MemoryStore::new();
    for (cidrs, why) in [
        (&[][..], "spec.podCIDRs of this Node has none of ipv4"),
        (&["fd00:244:0:7::/64"][..], "spec.podCIDRs of this Node has none of ipv4"),
        (&["10.9.0.0/24"][..], "spec.podCIDRs of this Node, 10.9.0.0/24, is not inside of 10.244.0.0/16"),
    ] {
        let refused = Node::start(&store, "n1", cidrs).ipv4("a").await.unwrap_err();
        assert!(refused.contains("no pool of ipv4 fits: four") && refused.contains(why), "{refused}");
    }
    assert!(store.list::<BlockAffinity>(&Query::all()).await.unwrap().objects.is_empty());
}

#[tokio::test]
async fn a_pod_cidr_that_changed_hands_is_given_once_nothing_of_it_is_in_use() {
    let store = MemoryStore::new();
    let first = Node::start(&store, "n1", &["10.244.1.0/24"]);
    let second = Node::start(&store, "n2", &["10.244.2.0/24"]);
    let old = first.ipv4("old").await.unwrap();
    assert!(prefix("10.244.1.0/24").contains(old));

    // The first node's object is made anew, and the second one's, with the range that was the first one's.
    first.allocator.configure(settings(&["10.244.9.0/24"])).unwrap();
    second.allocator.configure(settings(&["10.244.1.0/24"])).unwrap();
    let new = first.ipv4("new").await.unwrap();
    assert!(prefix("10.244.9.0/24").contains(new), "{new}: warm addresses of the old one are not used");
    let held = second.ipv4("a").await.unwrap_err();
    let why = "its pod CIDR 10.244.1.0/24 is still held by node \"n1\" (BlockAffinity 10-244-1-0-24)";
    assert!(held.contains(why), "{held}");
    assert_eq!(first.announced(), ["10.244.1.0/24", "10.244.9.0/24"], "a pod is in the old one");

    first.allocator.release(&Handle::new("old")).unwrap();
    let running = tokio::spawn({
        let allocator = Arc::clone(&first.allocator);
        async move { allocator.run().await }
    });
    let deadline = Instant::now() + Duration::from_secs(10);
    let address = loop {
        match second.ipv4("a").await {
            Ok(address) => break address,
            Err(error) => assert!(Instant::now() < deadline, "not in time: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert!(prefix("10.244.1.0/24").contains(address), "{address}");
    assert_eq!(first.announced(), ["10.244.9.0/24"]);
    assert!(second.announced().contains(&"10.244.1.0/24".to_owned()));
    running.abort();
}

#[tokio::test]
async fn an_address_held_ready_of_an_earlier_pod_cidr_is_not_given_to_whoever_asks_for_it() {
    let store = MemoryStore::new();
    let node = Node::start(&store, "n1", &["10.244.1.0/24"]);
    node.ipv4("a").await.unwrap();
    let ready = store.get::<IpamBlock>(&Key::named("10-244-1-0-24")).await.unwrap().spec.allocations;
    let address = ready.iter().find(|entry| entry.state == AllocationState::Reserved).unwrap().address;
    node.allocator.configure(settings(&["10.244.9.0/24"])).unwrap();
    let request = Request {
        addresses: vec![address],
        ..Request::any(Handle::new("b"), Families::NONE.with(Family::Ipv4))
    };
    let refused = node.allocator.assign(&request).await.unwrap_err();
    assert!(matches!(refused, IpamError::NotAvailable { .. }), "{refused}");
    assert!(refused.to_string().contains("in none of the node's pod CIDRs inside the pool"), "{refused}");
}

#[tokio::test]
async fn a_pod_cidr_waits_for_an_earlier_one_around_it() {
    let store = MemoryStore::new();
    let node = Node::start(&store, "n1", &["10.244.0.0/23"]);
    node.ipv4("a").await.unwrap();
    node.allocator.configure(settings(&["10.244.1.0/24"])).unwrap();
    let held = node.ipv4("b").await.unwrap_err();
    let why = "its pod CIDR 10.244.1.0/24 is still held by node \"n1\" (BlockAffinity 10-244-0-0-23)";
    assert!(held.contains(why), "{held}");
    assert_eq!(node.announced(), ["10.244.0.0/23"]);
}

#[tokio::test]
async fn pod_cidrs_that_overlap_by_mistake_are_not_both_given() {
    let store = MemoryStore::new();
    // One that is on its way at the same time.
    let cidr = prefix("10.244.0.0/20");
    let spec =
        BlockAffinity { cidr, node: "n2".to_owned(), pool: "four".to_owned(), state: AffinityState::Pending };
    let pending = Object::new(Metadata::named(name::of_prefix(cidr)), spec);
    let key = Key::named(pending.name());
    store.create(&pending).await.unwrap();
    let node = Node::start(&store, "n1", &["10.244.1.0/24"]);
    let refused = node.ipv4("a").await.unwrap_err();
    assert!(refused.contains("10.244.1.0/24 is still held by node \"n2\""), "{refused}");
    assert!(node.announced().is_empty());
    let mine = store.get::<BlockAffinity>(&Key::named("10-244-1-0-24")).await;
    assert!(mine.is_err(), "nothing of the attempt is left: {mine:?}");
    store.delete::<BlockAffinity>(&key, &Default::default()).await.unwrap();
    node.ipv4("a").await.unwrap();
}

#[tokio::test]
async fn a_reserved_start_of_a_large_pod_cidr_is_passed_over_in_bounded_time() {
    let node = Node::start(&MemoryStore::new(), "n1", &["fd00:244:0:7::/64"]);
    let reserve = |range: &str| {
        let reserved = vec![prefix(range)];
        node.allocator.configure(Settings { reserved, ..settings(&["fd00:244:0:7::/64"]) }).unwrap();
    };
    let six = Families::NONE.with(Family::Ipv6);
    reserve("fd00:244:0:7::/118");
    let given = node.assign("a", six).await.unwrap();
    assert_eq!(given[0].address, "fd00:244:0:7::400".parse::<IpAddr>().unwrap());
    reserve("fd00:244:0:7::/65");
    let refused = node.assign("b", six).await.unwrap_err();
    assert!(matches!(refused, IpamError::Exhausted { .. }), "{refused}");
}
