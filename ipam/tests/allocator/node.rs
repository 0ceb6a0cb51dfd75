//! The allocator as a daemon uses it: on the directory store, with its background loop.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_api::kinds::{
    AllocationState, AssignmentMode, BlockAffinity, IpPool, IpamBlock, IpamConfiguration,
};
use cairn_api::{Metadata, Object};
use cairn_datastore::{Datastore, DirectoryStore, Fault, Key, MemoryStore, Precondition, Query};
use cairn_ipam::{Handle, IpamError, NodeAllocator, Request, Settings};
use cairn_net::{Families, Family};
use tempfile::TempDir;
use tokio::task::JoinHandle;

fn pool(name: &str, cidr: &str) -> Object<IpPool> {
    Object::new(Metadata::named(name), IpPool::of(cidr.parse().unwrap()))
}

fn settings() -> Settings {
    Settings {
        pools: vec![pool("four", "10.0.0.0/16"), pool("six", "fd00::/64")],
        ipam: IpamConfiguration { ip_cooldown_seconds: 1, ..IpamConfiguration::default() },
        ..Settings::default()
    }
}

fn dual(handle: &str) -> Request {
    Request::any(Handle::new(handle), Families::ALL)
}

fn open<D: Datastore>(store: D, node: &str, directory: &TempDir) -> Arc<NodeAllocator<D>> {
    let journal = directory.path().join(format!("{node}.journal"));
    let allocator = NodeAllocator::open(store, node, &journal).unwrap();
    allocator.configure(settings()).unwrap();
    Arc::new(allocator)
}

/// Its background loop, until that is aborted.
fn in_background<D: Datastore>(node: &Arc<NodeAllocator<D>>) -> JoinHandle<()> {
    let node = Arc::clone(node);
    tokio::spawn(async move { node.run().await })
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn entries<D: Datastore>(store: &D, state: AllocationState) -> usize {
    let blocks = store.list::<IpamBlock>(&Query::all()).await.unwrap().objects;
    let entries = blocks.iter().flat_map(|block| &block.spec.allocations);
    entries.filter(|entry| entry.state == state).count()
}

#[tokio::test]
async fn a_node_fills_its_slice_gives_addresses_and_reports_them() {
    let directory = TempDir::new().unwrap();
    let store = DirectoryStore::new(directory.path().join("store"));
    let node = open(store.clone(), "n1", &directory);
    let routes = node.routes();
    let background = in_background(&node);
    until("the slice is full", async || entries(&store, AllocationState::Reserved).await == 32).await;
    until("both blocks are announced", async || routes.borrow().blocks.len() == 2).await;

    let first = node.assign(&dual("a")).await.unwrap();
    assert_eq!(first.iter().map(|a| Family::of(a.address)).collect::<Vec<_>>(), Family::ALL);
    assert_eq!(node.assign(&dual("a")).await.unwrap(), first, "asked twice");
    until("both are reported", async || entries(&store, AllocationState::Assigned).await == 2).await;
    assert_eq!(node.release(&Handle::new("a")).unwrap(), first);
    assert_eq!(node.release(&Handle::new("a")).unwrap(), []);
    until("both are released", async || entries(&store, AllocationState::Released).await == 2).await;
    background.abort();
}

#[tokio::test]
async fn a_hundred_requests_at_once_cost_a_handful_of_writes() {
    let directory = TempDir::new().unwrap();
    let (store, writes) = counting_store();
    let node = open(store.clone(), "n1", &directory);
    let background = in_background(&node);
    until("the slice is full", async || entries(&store, AllocationState::Reserved).await == 32).await;
    let before = writes.load(Ordering::Relaxed);
    let requests = (0..100).map(|number| {
        let node = Arc::clone(&node);
        tokio::spawn(async move { node.assign(&dual(&format!("h{number}"))).await })
    });
    let mut addresses = BTreeSet::new();
    for request in requests.collect::<Vec<_>>() {
        addresses.extend(request.await.unwrap().unwrap().into_iter().map(|assigned| assigned.address));
    }
    assert_eq!(addresses.len(), 200);
    until("all are reported", async || entries(&store, AllocationState::Assigned).await == 200).await;
    let spent = writes.load(Ordering::Relaxed) - before;
    assert!(spent <= 30, "{spent} writes");
    background.abort();
}

/// Twice as many pods as there are addresses held ready come and go while the store is away: what one gave back the next one gets, but not before it has rested.
#[tokio::test]
async fn pods_come_and_go_for_as_long_as_the_store_is_away() {
    let directory = TempDir::new().unwrap();
    let store = MemoryStore::new();
    let node = open(store.clone(), "n1", &directory);
    let background = in_background(&node);
    until("the slice is full", async || entries(&store, AllocationState::Reserved).await == 32).await;
    let before = node.assign(&dual("before")).await.unwrap();
    until("it is reported", async || entries(&store, AllocationState::Assigned).await == 2).await;

    let away = Arc::new(AtomicBool::new(true));
    let is_away = Arc::clone(&away);
    store.set_hook(move |_| if is_away.load(Ordering::Relaxed) { Fault::Lost } else { Fault::None });
    node.release(&Handle::new("before")).unwrap();
    let mut last = BTreeMap::new();
    let mut again = 0;
    for number in 0..32 {
        let handle = format!("h{number}");
        let mut assigned = Err(());
        until("a pod gets addresses", async || {
            assigned = node.assign(&dual(&handle)).await.map_err(drop);
            assigned.is_ok()
        })
        .await;
        for address in assigned.unwrap().into_iter().map(|assigned| assigned.address) {
            assert!(
                before.iter().all(|known| known.address != address),
                "{address}: the store may know it as free"
            );
            let rested = last.insert(address, Instant::now()).map(|used: Instant| used.elapsed());
            again += usize::from(rested.is_some());
            assert!(
                rested.is_none_or(|rested| rested >= Duration::from_secs(1)),
                "{address} after {rested:?}"
            );
        }
        node.release(&Handle::new(handle)).unwrap();
    }
    assert!(again > 0 && last.len() <= 32, "{again} times again, {} addresses", last.len());

    away.store(false, Ordering::Relaxed);
    until("the store is told", async || entries(&store, AllocationState::Assigned).await == 0).await;
    background.abort();
}

/// A bit flips in the journal's middle: the line is lost, the store is believed, and no address is given twice.
#[tokio::test]
async fn a_journal_damaged_in_the_middle_costs_no_address_twice() {
    let directory = TempDir::new().unwrap();
    let store = MemoryStore::new();
    let node = open(store.clone(), "n1", &directory);
    let background = in_background(&node);
    until("the slice is full", async || entries(&store, AllocationState::Reserved).await == 32).await;
    let mut held = BTreeSet::new();
    for handle in ["a", "b", "c"] {
        held.extend(node.assign(&dual(handle)).await.unwrap().into_iter().map(|assigned| assigned.address));
    }
    until("all are reported", async || entries(&store, AllocationState::Assigned).await == 6).await;
    background.abort();
    assert!(background.await.unwrap_err().is_cancelled());
    drop(Arc::into_inner(node).expect("nobody else has it"));

    // The line that gave `a` its addresses.
    let path = directory.path().join("n1.journal");
    let mut bytes = std::fs::read(&path).unwrap();
    let text = String::from_utf8(bytes.clone()).unwrap();
    let at = text.find("\"a\"").expect("the handle is in the journal");
    assert!(text[at..].contains('\n') && text[at..].lines().count() > 2, "in the middle");
    bytes[at + 1] ^= 1;
    std::fs::write(&path, bytes).unwrap();

    let node = open(store.clone(), "n1", &directory);
    let background = in_background(&node);
    for handle in ["b", "c"] {
        let kept = node.lookup(&Handle::new(handle));
        assert!(
            kept.len() == 2 && kept.iter().all(|kept| held.contains(&kept.address)),
            "{handle}: {kept:?}"
        );
    }
    for number in 0..40 {
        for given in node.assign(&dual(&format!("new{number}"))).await.unwrap() {
            assert!(held.insert(given.address), "{} is given twice", given.address);
        }
    }
    background.abort();
}

fn counting_store() -> (MemoryStore, Arc<std::sync::atomic::AtomicUsize>) {
    let store = MemoryStore::new();
    let writes = Arc::<std::sync::atomic::AtomicUsize>::default();
    let counter = Arc::clone(&writes);
    store.set_hook(move |operation| {
        if !matches!(operation.verb, "get" | "list") {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Fault::None
    });
    (store, writes)
}

#[tokio::test]
async fn pods_come_and_go_while_the_store_is_down_and_over_a_restart() {
    let directory = TempDir::new().unwrap();
    let store = MemoryStore::new();
    let down = Arc::new(AtomicBool::new(false));
    let is_down = Arc::clone(&down);
    store.set_hook(move |_| if is_down.load(Ordering::Relaxed) { Fault::Lost } else { Fault::None });
    let node = open(store.clone(), "n1", &directory);
    node.assign(&dual("before")).await.unwrap();
    down.store(true, Ordering::Relaxed);
    let kept = node.assign(&dual("kept")).await.unwrap();
    node.assign(&dual("gone")).await.unwrap();
    node.release(&Handle::new("gone")).unwrap();
    let announced = node.routes().borrow().clone();
    assert!(node.flush().await.is_err());
    drop(node);

    let node = open(store.clone(), "n1", &directory);
    assert_eq!(node.lookup(&Handle::new("kept")), kept);
    assert_eq!(*node.routes().borrow(), announced);
    node.assign(&dual("after the restart")).await.unwrap();
    let many = async {
        for number in 0.. {
            if let Err(error) = node.assign(&dual(&format!("many{number}"))).await {
                return (number, error);
            }
        }
        unreachable!("the slice is finite")
    };
    let (number, error) = many.await;
    assert!(number >= 10 && matches!(error, IpamError::Store { .. }), "{number}: {error}");
    assert!(error.is_temporary());

    down.store(false, Ordering::Relaxed);
    node.flush().await.unwrap();
    let assigned = entries(&store, AllocationState::Assigned).await;
    assert_eq!(assigned, 2 * (3 + number));
    assert!(entries(&store, AllocationState::Released).await >= 2);
}

#[tokio::test]
async fn two_nodes_never_claim_one_block_and_borrow_when_all_is_owned() {
    let directory = TempDir::new().unwrap();
    let store = DirectoryStore::new(directory.path().join("store"));
    let small = Settings { pools: vec![pool("four", "10.0.0.0/26")], ..settings() };
    let (one, two) = (open(store.clone(), "n1", &directory), open(store.clone(), "n2", &directory));
    one.configure(small.clone()).unwrap();
    two.configure(small.clone()).unwrap();
    let request = |handle: &str| Request::any(Handle::new(handle), Families::NONE.with(Family::Ipv4));
    one.assign(&request("a")).await.unwrap();
    let borrowed = two.assign(&request("b")).await.unwrap();
    assert_eq!((one.routes().borrow().blocks.len(), one.routes().borrow().borrowed.len()), (1, 0));
    let routes = two.routes().borrow().clone();
    assert_eq!(routes.blocks, []);
    assert_eq!(routes.borrowed[0].address, borrowed[0].address);
    two.release(&Handle::new("b")).unwrap();
    assert_eq!(two.routes().borrow().borrowed, []);

    let strict = IpamConfiguration { strict_affinity: true, ..small.ipam.clone() };
    two.configure(Settings { ipam: strict, ..small }).unwrap();
    let refused = two.assign(&request("c")).await.unwrap_err();
    assert!(matches!(refused, IpamError::Exhausted { .. }), "{refused}");
    assert!(refused.to_string().contains("strictAffinity forbids to borrow"), "{refused}");
}

#[tokio::test]
async fn pools_are_chosen_by_selectors_names_and_mode() {
    let directory = TempDir::new().unwrap();
    let node = open(MemoryStore::new(), "n1", &directory);
    let mut racks = pool("rack-b", "10.1.0.0/16");
    racks.spec.node_selector = "rack == 'b'".parse().unwrap();
    let mut tenants = pool("tenant", "10.2.0.0/16");
    tenants.spec.namespace_selector = "tenant == 'x'".parse().unwrap();
    let mut manual = pool("manual", "10.3.0.0/16");
    manual.spec.assignment_mode = AssignmentMode::Manual;
    let pools = vec![racks, tenants, manual];
    let node_labels = [("rack".to_owned(), "a".to_owned())].into();
    node.configure(Settings { pools, node_labels, ..settings() }).unwrap();
    let request = |handle: &str| Request::any(Handle::new(handle), Families::NONE.with(Family::Ipv4));
    let none = node.assign(&request("a")).await.unwrap_err().to_string();
    for reason in [
        "rack-b does not select this node: nodeSelector rack == 'b'",
        "tenant does not select the namespace: namespaceSelector tenant == 'x'",
        "manual must be asked for by name",
    ] {
        assert!(none.contains(reason), "{none}");
    }
    let by_namespace =
        Request { namespace_labels: [("tenant".to_owned(), "x".to_owned())].into(), ..request("b") };
    assert_eq!(node.assign(&by_namespace).await.unwrap()[0].pool, "tenant");
    let by_name = Request { pools: vec!["manual".to_owned()], ..request("c") };
    assert_eq!(node.assign(&by_name).await.unwrap()[0].pool, "manual");
    let address: IpAddr = "10.3.7.7".parse().unwrap();
    let by_address = Request { addresses: vec![address], ..request("d") };
    assert_eq!(node.assign(&by_address).await.unwrap()[0].address, address);
    let taken = Request { addresses: vec![address], ..request("e") };
    let taken = node.assign(&taken).await.unwrap_err();
    assert!(
        matches!(&taken, IpamError::NotAvailable { reason, .. } if reason.contains("d on node n1")),
        "{taken}"
    );
    let outside = Request { addresses: vec!["192.0.2.1".parse().unwrap()], ..request("f") };
    assert!(matches!(node.assign(&outside).await, Err(IpamError::NotAvailable { .. })));
    let both = Request { pools: vec!["manual".to_owned()], ..dual("g") };
    assert!(matches!(node.assign(&both).await, Err(IpamError::NoPool { family: Family::Ipv6, .. })));
    assert_eq!(node.lookup(&Handle::new("g")), [], "both or none");
}

#[tokio::test]
async fn a_claim_that_is_taken_away_is_no_longer_announced_and_pods_keep_their_addresses() {
    let directory = TempDir::new().unwrap();
    let store = DirectoryStore::new(directory.path().join("store"));
    let node = open(store.clone(), "n1", &directory);
    let request = Request::any(Handle::new("a"), Families::NONE.with(Family::Ipv4));
    let background = in_background(&node);
    let held = node.assign(&request).await.unwrap();
    node.flush().await.unwrap();
    // Or it would claim the free block again at once.
    let ipam = IpamConfiguration { auto_allocate_blocks: false, ..settings().ipam };
    node.configure(Settings { ipam, ..settings() }).unwrap();
    let key = Key::named(cairn_api::name::of_prefix(held[0].block));
    store.delete::<BlockAffinity>(&key, &Precondition::default()).await.unwrap();
    let routes = node.routes();
    until("the address is announced alone", async || {
        let routes = routes.borrow().clone();
        routes.borrowed.iter().any(|route| route.address == held[0].address)
            && !routes.blocks.iter().any(|route| route.cidr == held[0].block)
    })
    .await;
    assert_eq!(node.lookup(&Handle::new("a")), held);
    background.abort();
}

#[tokio::test]
async fn a_second_process_is_kept_off_the_journal_and_so_is_another_node() {
    let directory = TempDir::new().unwrap();
    let journal = directory.path().join("ipam.journal");
    let first = NodeAllocator::open(MemoryStore::new(), "n1", &journal).unwrap();
    let second = NodeAllocator::open(MemoryStore::new(), "n1", &journal).unwrap_err();
    assert!(second.to_string().contains("another process has it open"), "{second}");
    drop(first);
    let other = NodeAllocator::open(MemoryStore::new(), "n2", &journal).unwrap_err();
    assert!(other.to_string().contains("is that of node \"n1\", not of \"n2\""), "{other}");
}

/// Not a limit that a slow machine could break: it prints what an assignment and a release cost.
#[tokio::test]
async fn an_assignment_from_the_slice_is_cheap() {
    let directory = TempDir::new().unwrap();
    let node = open(MemoryStore::new(), "n1", &directory);
    let ipam = IpamConfiguration { ip_cooldown_seconds: 0, ..IpamConfiguration::default() };
    node.configure(Settings { ipam, ..settings() }).unwrap();
    let start = Instant::now();
    let mut fast = Vec::new();
    for number in 0..2000 {
        let handle = format!("h{number}");
        let at = Instant::now();
        node.assign(&dual(&handle)).await.unwrap();
        node.release(&Handle::new(handle)).unwrap();
        fast.push(at.elapsed());
    }
    fast.sort();
    println!("assign + release: median {:?}, total {:?}", fast[fast.len() / 2], start.elapsed());
    assert!(fast[fast.len() / 2] < Duration::from_millis(2));
}
