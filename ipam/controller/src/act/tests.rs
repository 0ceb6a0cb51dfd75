use std::time::Duration;

use cairn_api::Metadata;
use cairn_api::core::PodIp;
use cairn_api::kinds::{Allocation, AllocationState};
use cairn_datastore::{Fault, MemoryStore};

use super::*;
use crate::observe::observe;

fn entry(last: u8, node: &str) -> Allocation {
    Allocation {
        address: [10, 0, 0, last].into(),
        node: node.to_owned(),
        state: AllocationState::Assigned,
        handle: format!("net.{last}.eth0"),
        pod: format!("test/p{last}"),
        since: Timestamp::from_unix(1000),
    }
}

fn cidr() -> Prefix {
    "10.0.0.0/26".parse().unwrap()
}

/// One block of the node `n1`, which is there if it is said to be, with two addresses.
async fn world(is_there: bool) -> MemoryStore {
    let store = MemoryStore::new();
    let metadata = || Metadata::named(name::of_prefix(cidr()));
    let (node, pool) = ("n1".to_owned(), "p".to_owned());
    let affinity = BlockAffinity { cidr: cidr(), node, pool: pool.clone(), state: AffinityState::Confirmed };
    store.create(&Object::new(metadata(), affinity)).await.unwrap();
    let block = IpamBlock { cidr: cidr(), pool, allocations: vec![entry(1, "n1"), entry(2, "n1")] };
    store.create(&Object::new(metadata(), block)).await.unwrap();
    if is_there {
        store.create(&Object::new(Metadata::named("n1"), Node::default())).await.unwrap();
    }
    store
}

fn both(why: Why) -> Action {
    let leaked = [1, 2].map(|last| Leak { entry: entry(last, "n1"), why });
    Action::Release { block: cidr(), leaked: leaked.into() }
}

async fn done(store: &MemoryStore, action: &Action) -> usize {
    let seen = observe(store).await.unwrap();
    perform(store, action, &seen, &|| Timestamp::from_unix(5000)).await.unwrap()
}

async fn states(store: &MemoryStore) -> Vec<AllocationState> {
    let block = store.get::<IpamBlock>(&key_of(cidr())).await.unwrap();
    block.spec.allocations.iter().map(|entry| entry.state).collect()
}

/// A pod of another name on another node that has the first address.
async fn a_pod_elsewhere_has_it(store: &MemoryStore) {
    let pod = Pod { node_name: "n2".to_owned(), ..Pod::default() };
    let mut pod = Object::new(Metadata::namespaced("test", "other"), pod);
    let pod_ips = vec![PodIp { ip: "10.0.0.1".to_owned() }];
    pod.status = Some(PodState { phase: "Running".to_owned(), pod_ips });
    store.create(&pod).await.unwrap();
}

#[tokio::test]
async fn an_address_that_any_pod_has_by_now_is_not_released_and_its_block_stays() {
    let store = world(false).await;
    a_pod_elsewhere_has_it(&store).await;
    assert_eq!(done(&store, &both(Why::NodeGone)).await, 1);
    assert_eq!(states(&store).await, [AllocationState::Assigned, AllocationState::Released]);
    let mut block = store.get::<IpamBlock>(&key_of(cidr())).await.unwrap();
    block.spec.allocations.clear();
    store.update(&block).await.unwrap();
    let affinity = store.get::<BlockAffinity>(&key_of(cidr())).await.unwrap();
    let remove = Action::Remove { affinity };
    assert_eq!(done(&store, &remove).await, 0);
    store.delete::<Pod>(&Key::namespaced("test", "other"), &Precondition::default()).await.unwrap();
    assert_eq!(done(&store, &remove).await, 1);
}

#[tokio::test]
async fn a_node_that_has_a_status_by_now_keeps_all() {
    let store = world(false).await;
    store.create(&Object::new(Metadata::named("n1"), NodeStatus::default())).await.unwrap();
    let affinity = store.get::<BlockAffinity>(&key_of(cidr())).await.unwrap();
    let actions =
        [both(Why::NodeGone), Action::Remove { affinity: affinity.clone() }, Action::Disown { affinity }];
    for action in actions {
        assert_eq!(done(&store, &action).await, 0, "{action:?}");
    }
}

#[tokio::test]
async fn a_node_that_cannot_be_told_keeps_neither_the_others_nor_the_count() {
    let store = world(true).await;
    store.set_hook(|operation| match (operation.verb, operation.kind) {
        ("update", BlockAffinity::KIND) => Fault::Lost,
        _ => Fault::None,
    });
    assert_eq!(done(&store, &both(Why::PodGone)).await, 2);
    assert_eq!(states(&store).await, [AllocationState::Released; 2]);
}

#[tokio::test]
async fn an_address_rests_from_its_release_on() {
    let store = world(true).await;
    let seen = observe(&store).await.unwrap();
    let time = std::cell::Cell::new(5000);
    let clock = || {
        time.set(time.get() + 1);
        Timestamp::from_unix(time.get())
    };
    let tries = std::sync::atomic::AtomicU8::new(0);
    store.set_hook(move |operation| {
        let writes_block = (operation.verb, operation.kind) == ("update", IpamBlock::KIND);
        let first = writes_block && tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
        if first { Fault::Conflict } else { Fault::None }
    });
    assert_eq!(perform(&store, &both(Why::PodGone), &seen, &clock).await, Ok(2));
    let block = store.get::<IpamBlock>(&key_of(cidr())).await.unwrap();
    assert_eq!(block.spec.allocations[0].since, Timestamp::from_unix(5002), "of the second attempt");
    assert!(!reclaim::is_empty(&block.spec, Timestamp::from_unix(5003), Duration::from_secs(30)));
}

#[tokio::test]
async fn only_a_node_without_node_is_asked_and_only_by_what_was_seen() {
    let store = world(true).await;
    let status = store.create(&Object::new(Metadata::named("n1"), NodeStatus::default())).await.unwrap();
    let of = |version: &str| {
        Action::Ask(Report {
            kind: ReportKind::NodeStatus,
            node: "n1".to_owned(),
            resource_version: version.to_owned(),
        })
    };
    let version = status.metadata.resource_version;
    assert_eq!(done(&store, &of(&version)).await, 0, "there is a Node");
    store.delete::<Node>(&Key::named("n1"), &Precondition::default()).await.unwrap();
    assert_eq!(done(&store, &of("another")).await, 0, "it has been written since");
    assert_eq!(done(&store, &of(&version)).await, 1);
    assert!(is_absent::<NodeStatus>(&store, "n1").await.unwrap());
}
