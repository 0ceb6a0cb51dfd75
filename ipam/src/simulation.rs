//! Several nodes on one store, under any interleaving that the scheduler is told: the same driver code as in production.
//!
//! A schedule starts requests, polls one task at a time, drops tasks, crashes processes (with a torn journal), crashes machines (journal
//! and pods gone), gives nodes other pod CIDRs, has the controller give back what no pod has, and lets time pass; the store loses requests and answers and reports conflicts.

mod model;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::path::PathBuf;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Waker};

use cairn_api::kinds::{
    Allocation, AllocationState, BlockAffinity, BlockSource, IpPool, IpamBlock, IpamConfiguration,
};
use cairn_api::{Metadata, Object, Timestamp};
use cairn_datastore::{Datastore, Fault, MemoryStore, Query};
use cairn_net::{Families, Family, Prefix};
use proptest::prelude::*;
use tempfile::TempDir;

use crate::clock::Now;
use crate::{Handle, NodeAllocator, Request, Settings, reclaim};
use model::{Asking, Model, answered};

const NODES: usize = 3;
const HANDLES: u8 = 5;
const COOLDOWN: u32 = 30;

type Allocator = NodeAllocator<MemoryStore>;
type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Both clocks of every node.
fn moment(seconds: &AtomicU64) -> Now {
    let seconds = seconds.load(Ordering::Relaxed);
    Now { wall: Timestamp::from_unix(seconds), steady: std::time::Duration::from_secs(seconds) }
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Assign {
        node: usize,
        handle: u8,
        families: u8,
    },
    AssignFixed {
        node: usize,
        handle: u8,
        offset: u8,
    },
    Release {
        node: usize,
        handle: u8,
    },
    Maintain {
        node: usize,
    },
    Poll {
        task: usize,
        times: u8,
    },
    Cancel {
        task: usize,
    },
    Crash {
        node: usize,
        torn: u8,
    },
    Reboot {
        node: usize,
    },
    /// The node's object was made anew, with another pod CIDR, which may overlap with that of another node.
    PodCidr {
        node: usize,
        number: u8,
    },
    /// The controller gives back what no pod has.
    Reclaim,
    Pass {
        seconds: u64,
    },
}

struct World {
    store: MemoryStore,
    clock: Arc<AtomicU64>,
    calm: Arc<AtomicBool>,
    directory: TempDir,
    settings: Settings,
    nodes: Vec<Arc<Allocator>>,
    /// How often each machine has started.
    starts: [u32; NODES],
    tasks: Vec<(usize, Task)>,
    model: Rc<RefCell<Model>>,
}

/// Pod CIDRs of two sizes, all inside of the pool, some inside of others.
const POD_CIDRS: u8 = 12;

fn pod_cidr(number: u8) -> Prefix {
    let (len, number) = if number < 8 { (30, number) } else { (29, number - 8) };
    let pool: Prefix = "10.0.0.0/27".parse().unwrap();
    pool.subnet(len, number.into()).unwrap()
}

fn settings(strict: bool, pod_cidrs: bool) -> Settings {
    let pool = |name: &str, cidr: &str, block_size| {
        let mut pool = IpPool::of(cidr.parse().unwrap());
        pool.block_size = Some(block_size);
        Object::new(Metadata::named(name), pool)
    };
    let mut four = pool("four", "10.0.0.0/27", 30);
    if pod_cidrs {
        (four.spec.block_source, four.spec.block_size) = (BlockSource::PodCidr, None);
    }
    Settings {
        pools: vec![four, pool("six", "fd00::/124", 125)],
        reserved: vec!["10.0.0.4/32".parse().unwrap()],
        ipam: IpamConfiguration {
            strict_affinity: strict,
            max_blocks_per_host: if strict { 3 } else { 0 },
            ip_cooldown_seconds: COOLDOWN,
            ..IpamConfiguration::default()
        },
        warm_addresses: 16,
        ..Settings::default()
    }
}

/// More of them for a long run: `CAIRN_SIMULATION_CASES=20000`.
fn cases() -> u32 {
    std::env::var("CAIRN_SIMULATION_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

fn pod_of(handle: &Handle) -> String {
    format!("test/{}", handle.as_str().rsplit('.').next().unwrap_or_default())
}

/// A container's name is never used again once its machine has stopped.
fn handle(start: u32, number: u8) -> Handle {
    Handle::new(format!("net.{start}.{number}"))
}

impl World {
    fn new(strict: bool, pod_cidrs: bool, faults: Vec<u8>) -> Self {
        let store = MemoryStore::new();
        let calm = Arc::new(AtomicBool::new(false));
        let (quiet, at) = (Arc::clone(&calm), AtomicUsize::new(0));
        store.set_hook(move |_| {
            let fault = faults.get(at.fetch_add(1, Ordering::Relaxed) % faults.len().max(1)).copied();
            match fault.filter(|_| !quiet.load(Ordering::Relaxed)) {
                Some(0..=11) => Fault::AnswerLost,
                Some(12..=19) => Fault::Lost,
                Some(20..=31) => Fault::Conflict,
                _ => Fault::None,
            }
        });
        let shm = PathBuf::from("/dev/shm");
        let directory = if shm.is_dir() { TempDir::new_in(shm) } else { TempDir::new() };
        let clock = Arc::new(AtomicU64::new(1_000_000));
        let (nodes, tasks) = (Vec::new(), Vec::new());
        let cidrs = pod_cidrs.then(|| [0, 1, 2].map(|number| vec![pod_cidr(number)]));
        let model = Rc::new(RefCell::new(Model { pod_cidrs: cidrs, ..Model::default() }));
        let (directory, settings) = (directory.unwrap(), settings(strict, pod_cidrs));
        let mut world =
            Self { store, clock, calm, directory, settings, nodes, starts: [0; NODES], tasks, model };
        for node in 0..NODES {
            let allocator = world.open(node);
            world.nodes.push(allocator);
        }
        world
    }

    fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn path(&self, node: usize) -> PathBuf {
        self.directory.path().join(format!("n{node}.journal"))
    }

    fn open(&self, node: usize) -> Arc<Allocator> {
        let clock = Arc::clone(&self.clock);
        let now = move || moment(&clock);
        let opened =
            Allocator::open_with_clock(self.store.clone(), &format!("n{node}"), &self.path(node), now);
        let allocator = opened.unwrap();
        allocator.configure(self.settings_of(node)).unwrap();
        Arc::new(allocator)
    }

    fn settings_of(&self, node: usize) -> Settings {
        let pod_cidrs =
            self.model.borrow().pod_cidrs.iter().filter_map(|cidrs| cidrs[node].last().copied()).collect();
        Settings { pod_cidrs, ..self.settings.clone() }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Assign { node, handle: number, families } => {
                let families =
                    Family::ALL.into_iter().enumerate().filter(|(bit, _)| families & 1 << bit != 0);
                let families = families.map(|(_, family)| family).collect::<Families>();
                self.assign(node, Request::any(handle(self.starts[node], number), families));
            }
            Step::AssignFixed { node, handle: number, offset } => {
                let mut request =
                    Request::any(handle(self.starts[node], number), Families::NONE.with(Family::Ipv4));
                request.pod = pod_of(&request.handle);
                request.addresses.push(self.settings.pools[0].spec.cidr.nth(offset.into()).unwrap());
                self.assign(node, request);
            }
            Step::Release { node, handle: number } => self.release(node, &handle(self.starts[node], number)),
            Step::Maintain { node } => {
                let allocator = Arc::clone(&self.nodes[node]);
                self.tasks.push((node, Box::pin(async move { drop(allocator.maintain().await) })));
            }
            Step::Poll { task, times } => {
                for _ in 0..times {
                    self.poll(task);
                }
            }
            Step::Cancel { task } if !self.tasks.is_empty() => {
                let task = task % self.tasks.len();
                drop(self.tasks.swap_remove(task));
            }
            Step::Cancel { .. } => {}
            Step::Crash { node, torn } => {
                self.stop(node);
                if torn > 0 {
                    let line = b"0123456789abcdef {\"assign\":{\"handle\":\"x\"";
                    let mut file = std::fs::OpenOptions::new().append(true).open(self.path(node)).unwrap();
                    file.write_all(&line[..usize::from(torn) % line.len()]).unwrap();
                }
                self.nodes[node] = self.open(node);
            }
            Step::Reboot { node } => {
                self.stop(node);
                self.starts[node] += 1;
                std::fs::remove_file(self.path(node)).unwrap();
                self.model.borrow_mut().live.retain(|_, (owner, _)| *owner != node);
                self.nodes[node] = self.open(node);
            }
            Step::PodCidr { node, number } => {
                if let Some(cidrs) = &mut self.model.borrow_mut().pod_cidrs {
                    cidrs[node].push(pod_cidr(number));
                }
                self.nodes[node].configure(self.settings_of(node)).unwrap();
            }
            Step::Reclaim => self.reclaim(),
            Step::Pass { seconds } => {
                self.clock.fetch_add(seconds, Ordering::Relaxed);
            }
        }
        self.check();
    }

    /// As the controller does, but for its patience: each address in the store whose pod does not live is released there.
    fn reclaim(&mut self) {
        let now = self.now();
        let Ok(list) = self.run(self.store.list::<IpamBlock>(&Query::all())) else { return };
        for mut block in list.objects {
            let mut model = self.model.borrow_mut();
            let is_dead = |entry: &Allocation| {
                let owner = (0..NODES).find(|node| entry.node == format!("n{node}"));
                let owner = owner.map(|node| (node, Handle::new(&entry.handle)));
                let lives = model.live.get(&entry.address) == owner.as_ref()
                    || owner.as_ref().is_some_and(|owner| model.asking.contains_key(owner));
                entry.state == AllocationState::Assigned && !lives
            };
            let dead: Vec<_> =
                block.spec.allocations.iter().filter(|entry| is_dead(entry)).cloned().collect();
            if reclaim::release(&mut block.spec, &dead, Timestamp::from_unix(now)) > 0 {
                model.released.extend(dead.into_iter().map(|entry| (entry.address, (now, entry.pod))));
                drop(model);
                // What was not written is found again.
                let _written = self.run(self.store.update(&block));
            }
        }
    }

    /// Ends a node's process: its tasks and its memory are gone.
    fn stop(&mut self, node: usize) {
        self.tasks.retain(|(owner, _)| *owner != node);
        self.model.borrow_mut().asking.retain(|(owner, _), _| *owner != node);
        let clock = Arc::clone(&self.clock);
        let other = self.directory.path().join(format!("none{node}.journal"));
        let nobody = Allocator::open_with_clock(self.store.clone(), "none", &other, move || moment(&clock));
        self.nodes[node] = Arc::new(nobody.unwrap());
    }

    fn assign(&mut self, node: usize, request: Request) {
        let allocator = Arc::clone(&self.nodes[node]);
        let (model, clock) = (Rc::clone(&self.model), Arc::clone(&self.clock));
        let key = (node, request.handle.clone());
        *model.borrow_mut().asking.entry(key.clone()).or_default() += 1;
        let asking = Asking(Rc::clone(&model), key);
        self.tasks.push((
            node,
            Box::pin(async move {
                let answer = allocator.assign(&request).await;
                drop(asking);
                answered(&mut model.borrow_mut(), node, &request, answer, clock.load(Ordering::Relaxed));
            }),
        ));
    }

    fn release(&mut self, node: usize, handle: &Handle) {
        let mut model = self.model.borrow_mut();
        // The runtime never adds and deletes one container at the same time.
        if model.asking.contains_key(&(node, handle.clone())) {
            return;
        }
        let expected = model.of(node, handle);
        let known = self.nodes[node].lookup(handle);
        let released = self.nodes[node].release(handle).unwrap();
        let addresses: Vec<_> = released.iter().map(|assigned| assigned.address).collect();
        for address in expected {
            assert!(
                addresses.contains(&address),
                "{handle} on n{node}: {address} was not released: {known:?}"
            );
            model.live.remove(&address);
        }
        let now = self.now();
        let pod = pod_of(handle);
        model.released.extend(addresses.into_iter().map(|address| (address, (now, pod.clone()))));
    }

    fn poll(&mut self, task: usize) {
        if self.tasks.is_empty() {
            return;
        }
        let at = task % self.tasks.len();
        let mut context = Context::from_waker(Waker::noop());
        if self.tasks[at].1.as_mut().poll(&mut context).is_ready() {
            drop(self.tasks.swap_remove(at));
        }
    }

    /// What must hold at every moment.
    fn check(&self) {
        let model = self.model.borrow();
        for (address, (node, handle)) in &model.live {
            let held = self.nodes[*node].lookup(handle);
            assert!(
                held.iter().any(|a| a.address == *address),
                "n{node} lost {address} of {handle}: {held:?}"
            );
        }
        let mut announced: Vec<(Prefix, usize)> = Vec::new();
        for (node, allocator) in self.nodes.iter().enumerate() {
            for route in &allocator.routes().borrow().blocks {
                let other = announced.iter().find(|(cidr, _)| cidr.overlaps(route.cidr));
                assert_eq!(other, None, "{} of n{node} is announced twice", route.cidr);
                announced.push((route.cidr, node));
            }
        }
    }

    fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = std::pin::pin!(future);
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..100_000 {
            if let std::task::Poll::Ready(done) = future.as_mut().poll(&mut context) {
                return done;
            }
        }
        panic!("a future that never ends");
    }

    fn blocks(&self) -> Vec<IpamBlock> {
        let list = self.run(self.store.list::<IpamBlock>(&Query::all())).unwrap();
        list.objects.into_iter().map(|object| object.spec).collect()
    }

    fn affinities(&self) -> Vec<BlockAffinity> {
        let list = self.run(self.store.list::<BlockAffinity>(&Query::all())).unwrap();
        list.objects.into_iter().map(|object| object.spec).collect()
    }

    /// The store no longer fails and every task ends.
    fn calm_down(&mut self) {
        self.calm.store(true, Ordering::Relaxed);
        for round in 0.. {
            if self.tasks.is_empty() {
                break;
            }
            assert!(round < 100_000, "tasks that never end");
            self.poll(round);
        }
        self.check();
    }

    fn maintain_all(&self) {
        for node in &self.nodes {
            self.run(node.maintain()).unwrap();
        }
    }

    /// Every live address stands in the store under its owner; nothing else is assigned there.
    fn check_store_is_exact(&self) {
        let model = self.model.borrow();
        let mut assigned = BTreeMap::new();
        for block in self.blocks() {
            for entry in block.allocations.iter().filter(|entry| entry.state == AllocationState::Assigned) {
                assigned.insert(entry.address, (entry.node.clone(), entry.handle.clone()));
            }
        }
        let expected: BTreeMap<_, _> = model
            .live
            .iter()
            .map(|(address, (node, handle))| (*address, (format!("n{node}"), handle.to_string())))
            .collect();
        assert_eq!(assigned, expected);
    }

    /// When all is released and the pools are closed, nothing is left in the store.
    fn check_nothing_leaks(&mut self) {
        for node in &self.nodes {
            node.retain(|_| false).unwrap();
        }
        self.model.borrow_mut().live.clear();
        for pool in &mut self.settings.pools {
            pool.spec.disabled = true;
        }
        for (number, node) in self.nodes.iter().enumerate() {
            node.configure(self.settings_of(number)).unwrap();
        }
        for _ in 0..4 {
            self.maintain_all();
            self.clock.fetch_add(u64::from(COOLDOWN) + 60, Ordering::Relaxed);
        }
        let ledgers: Vec<_> = self.nodes.iter().map(|node| node.inner().ledger.blocks.clone()).collect();
        assert_eq!(self.blocks(), [], "{:?} {ledgers:?}", self.affinities());
        assert_eq!(self.affinities(), [], "{ledgers:?}");
        for node in &self.nodes {
            assert_eq!(**node.routes().borrow(), crate::Routes::default());
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..NODES;
    prop_oneof![
        6 => (node.clone(), 0..HANDLES, 1u8..4)
            .prop_map(|(node, handle, families)| Step::Assign { node, handle, families }),
        2 => (node.clone(), 0..HANDLES, 0u8..32)
            .prop_map(|(node, handle, offset)| Step::AssignFixed { node, handle, offset }),
        4 => (node.clone(), 0..HANDLES).prop_map(|(node, handle)| Step::Release { node, handle }),
        3 => node.clone().prop_map(|node| Step::Maintain { node }),
        20 => (any::<usize>(), 1u8..12).prop_map(|(task, times)| Step::Poll { task, times }),
        1 => any::<usize>().prop_map(|task| Step::Cancel { task }),
        1 => (node.clone(), 0u8..40).prop_map(|(node, torn)| Step::Crash { node, torn }),
        1 => node.prop_map(|node| Step::Reboot { node }),
        1 => (0..NODES, 0..POD_CIDRS).prop_map(|(node, number)| Step::PodCidr { node, number }),
        1 => Just(Step::Reclaim),
        2 => prop_oneof![Just(1u64), Just(20), Just(31), Just(70)].prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn no_interleaving_assigns_twice_loses_or_leaks(
        strict in any::<bool>(),
        pod_cidrs in any::<bool>(),
        faults in proptest::collection::vec(any::<u8>(), 1..64),
        steps in proptest::collection::vec(step(), 1..160),
    ) {
        let mut world = World::new(strict, pod_cidrs, faults);
        for step in steps {
            world.take(step);
        }
        world.calm_down();
        world.maintain_all();
        // What a machine took with it when it crashed is collected by the list of attachments that are left.
        for (number, node) in world.nodes.iter().enumerate() {
            let model = world.model.borrow();
            node.retain(|handle| !model.of(number, handle).is_empty()).unwrap();
        }
        world.maintain_all();
        world.check_store_is_exact();
        world.check_nothing_leaks();
    }
}
