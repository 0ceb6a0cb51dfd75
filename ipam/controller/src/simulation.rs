//! Pods, nodes and the controller on one store, in any order of events: no address of a container that runs is ever given back, and
//! everything that leaked is, in the end. One node's daemon goes by another name than its Node: it lives all the same.

use std::collections::BTreeMap;
use std::time::Duration;

use cairn_api::core::{Node, Pod, Taint};
use cairn_api::kinds::{AffinityState, Allocation, AllocationState, BlockAffinity, IpamBlock, NodeStatus};
use cairn_api::{Kind, Metadata, Object, Timestamp, name};
use cairn_datastore::{Datastore, Key, MemoryStore, Precondition};
use proptest::prelude::*;

use crate::act;
use crate::judge::{Judge, Observation};
use crate::observe::{held, with_cluster};

const NODES: u8 = 3;
const PODS: u8 = 4;
const GRACE: u64 = 900;
/// The node without Node, whose daemon answers.
const MISNAMED: u8 = NODES;
/// Its pod, which the controller knows nothing of either.
const UNSEEN: u8 = PODS;
/// After how long without a look the controller suspects nobody any more.
const GAP: u64 = 300;
/// How long a node goes on with a container whose pod, or whose Node, is gone. Less than the grace period without a gap in which nobody saw
/// that it could not be reached: that is what it is for.
const LINGER: u64 = 600;

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A pod is made, bound, and gets an address; the store may hear of the address first and of nothing in between.
    Start {
        pod: u8,
        node: u8,
    },
    /// The pod is deleted; its container ends later.
    Delete {
        pod: u8,
    },
    /// A container of a deleted pod ends, and its address is given back, or is not.
    End {
        pod: u8,
        told: bool,
    },
    NodeGoes {
        node: u8,
    },
    NodeComes {
        node: u8,
    },
    OutOfReach {
        node: u8,
    },
    /// The controller reads blocks.
    Look,
    /// It reads the rest, and does something about it, unless it had to stop in between.
    Act {
        stops: bool,
    },
    /// Another controller leads, which suspects nobody.
    NewLeader,
    Pass {
        seconds: u64,
    },
}

/// A container that runs.
#[derive(Debug, Clone)]
struct Container {
    pod: u8,
    node: u8,
    entry: Allocation,
    /// Since when it should not run any more.
    doomed: Option<u64>,
}

struct World {
    store: MemoryStore,
    now: u64,
    made: u8,
    containers: Vec<Container>,
    bound: BTreeMap<u8, u8>,
    out_of_reach: Vec<u8>,
    judge: Judge,
    looked: Option<Observation>,
}

fn judge() -> Judge {
    Judge::new(Duration::from_secs(GRACE), Duration::from_secs(GAP), true)
}

fn node_name(node: u8) -> String {
    format!("n{node}")
}

fn pod_key(pod: u8) -> Key {
    Key::namespaced("test", format!("p{pod}"))
}

impl World {
    async fn new() -> Self {
        let store = MemoryStore::new();
        for node in 0..=MISNAMED {
            let cidr = format!("10.0.{node}.0/26").parse().unwrap();
            let metadata = || Metadata::named(name::of_prefix(cidr));
            let (owner, pool) = (node_name(node), "p".to_owned());
            let affinity =
                BlockAffinity { cidr, node: owner, pool: pool.clone(), state: AffinityState::Confirmed };
            store.create(&Object::new(metadata(), affinity)).await.unwrap();
            let block = IpamBlock { cidr, pool, allocations: Vec::new() };
            store.create(&Object::new(metadata(), block)).await.unwrap();
            if node != MISNAMED {
                store.create(&Object::new(Metadata::named(node_name(node)), Node::default())).await.unwrap();
            }
        }
        let mut world = Self {
            store,
            now: 100_000,
            made: 0,
            containers: Vec::new(),
            bound: BTreeMap::new(),
            out_of_reach: Vec::new(),
            judge: judge(),
            looked: None,
        };
        world.run(UNSEEN, MISNAMED).await;
        world.report().await;
        world
    }

    /// What the daemon of the misnamed node does when its report is not there.
    async fn report(&self) {
        let status = Object::new(Metadata::named(node_name(MISNAMED)), NodeStatus::default());
        // It is there already, unless the controller has asked.
        let _there = self.store.create(&status).await;
    }

    async fn is_there<K: Kind>(&self, key: &Key) -> bool {
        self.store.get::<K>(key).await.is_ok()
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Start { pod, node } => self.start(pod, node).await,
            Step::Delete { pod } => self.delete(pod).await,
            Step::End { pod, told } => self.end(pod, told).await,
            Step::NodeGoes { node } => {
                let gone =
                    self.store.delete::<Node>(&Key::named(node_name(node)), &Precondition::default()).await;
                let pods: Vec<u8> =
                    self.bound.iter().filter(|(_, on)| **on == node).map(|(pod, _)| *pod).collect();
                // Kubernetes deletes the pods of a node that is gone.
                for pod in pods.into_iter().filter(|_| gone.is_ok()) {
                    self.delete(pod).await;
                }
            }
            Step::NodeComes { node } => {
                self.reach(node, true).await;
            }
            Step::OutOfReach { node } => self.reach(node, false).await,
            Step::Look => self.looked = Some(held(&self.store).await.unwrap()),
            Step::Act { stops } => {
                if let Some(looked) = self.looked.take() {
                    self.act(looked, stops).await;
                }
            }
            Step::NewLeader => self.judge = judge(),
            Step::Pass { seconds } => self.pass(seconds).await,
        }
    }

    async fn start(&mut self, pod: u8, node: u8) {
        let there = self.is_there::<Node>(&Key::named(node_name(node))).await;
        if !there
            || self.out_of_reach.contains(&node)
            || self.bound.contains_key(&pod)
            || self.made == u8::MAX
        {
            return;
        }
        let key = pod_key(pod);
        let spec = Pod { node_name: node_name(node), ..Pod::default() };
        let object = Object::new(Metadata::namespaced(&key.namespace, &key.name), spec);
        self.store.create(&object).await.unwrap();
        self.bound.insert(pod, node);
        self.run(pod, node).await;
    }

    /// A node gives a container an address of its block.
    async fn run(&mut self, pod: u8, node: u8) {
        let key = pod_key(pod);
        let cidr = format!("10.0.{node}.0/26").parse().unwrap();
        let Ok(mut block) = self.store.get::<IpamBlock>(&Key::named(name::of_prefix(cidr))).await else {
            return;
        };
        let used = |offset: u128| {
            block.spec.allocations.iter().any(|e| Some(e.address) == block.spec.cidr.nth(offset))
        };
        let Some(address) =
            (0..64).find(|offset| !used(*offset)).and_then(|offset| block.spec.cidr.nth(offset))
        else {
            return;
        };
        self.made += 1;
        let entry = Allocation {
            address,
            node: node_name(node),
            state: AllocationState::Assigned,
            handle: format!("net.{}.eth0", self.made),
            pod: key.to_string(),
            since: Timestamp::from_unix(self.now),
        };
        block.spec.allocations.push(entry.clone());
        block.spec.allocations.sort_by_key(|entry| entry.address);
        self.store.update(&block).await.unwrap();
        self.containers.push(Container { pod, node, entry, doomed: None });
    }

    async fn delete(&mut self, pod: u8) {
        if self.bound.remove(&pod).is_some() {
            self.store.delete::<Pod>(&pod_key(pod), &Precondition::default()).await.unwrap();
            let now = self.now;
            let of_pod = self.containers.iter_mut().filter(|container| container.pod == pod);
            of_pod.for_each(|container| container.doomed = container.doomed.or(Some(now)));
        }
    }

    async fn end(&mut self, pod: u8, told: bool) {
        let doomed = |container: &Container| container.pod == pod && container.doomed.is_some();
        let Some(at) = self.containers.iter().position(doomed) else { return };
        let container = self.containers.remove(at);
        if told {
            self.give_back(&container.entry).await;
        }
    }

    /// What a node does when a container ends properly.
    async fn give_back(&self, entry: &Allocation) {
        let blocks = self.store.list::<IpamBlock>(&Default::default()).await.unwrap().objects;
        for mut block in blocks {
            if let Some(found) = block.spec.allocations.iter_mut().find(|found| *found == entry) {
                found.state = AllocationState::Released;
                self.store.update(&block).await.unwrap();
            }
        }
    }

    async fn reach(&mut self, node: u8, reachable: bool) {
        let taint = Taint { key: "node.kubernetes.io/unreachable".to_owned(), ..Taint::default() };
        let taints = if reachable { Vec::new() } else { vec![taint] };
        let spec = Node { taints, ..Node::default() };
        match self.store.get::<Node>(&Key::named(node_name(node))).await {
            Ok(mut found) => {
                found.spec = spec;
                self.store.update(&found).await.unwrap();
            }
            Err(_) if reachable => {
                self.store.create(&Object::new(Metadata::named(node_name(node)), spec)).await.unwrap();
            }
            Err(_) => return,
        }
        let was_out = self.out_of_reach.contains(&node);
        self.out_of_reach.retain(|other| *other != node);
        if !reachable {
            self.out_of_reach.push(node);
        } else if was_out {
            // From now on it hears which of its pods are gone.
            let now = self.now;
            for container in self.containers.iter_mut().filter(|container| container.node == node) {
                container.doomed = container.doomed.map(|_| now);
            }
        }
    }

    async fn act(&mut self, looked: Observation, stops: bool) {
        let seen = with_cluster(&self.store, looked).await.unwrap();
        let wall = Timestamp::from_unix(self.now);
        let actions = self.judge.judge(Duration::from_secs(self.now), wall, &seen).actions;
        let count = if stops { actions.len() / 2 } else { actions.len() };
        for action in &actions[..count] {
            act::perform(&self.store, action, &seen, &|| wall).await.unwrap();
            self.check().await;
        }
    }

    /// Time passes; nodes end what they should not run any more, without a word to anybody.
    async fn pass(&mut self, seconds: u64) {
        self.now += seconds;
        self.report().await;
        let mut there = Vec::new();
        for node in 0..NODES {
            if self.is_there::<Node>(&Key::named(node_name(node))).await {
                there.push(node);
            }
        }
        let (now, out) = (self.now, self.out_of_reach.clone());
        self.containers.retain(|container| {
            let unheard = there.contains(&container.node) && out.contains(&container.node);
            unheard || container.doomed.is_none_or(|since| now - since < LINGER)
        });
    }

    /// Everything that runs has its address.
    async fn check(&self) {
        let blocks = self.store.list::<IpamBlock>(&Default::default()).await.unwrap().objects;
        for container in &self.containers {
            let held = blocks.iter().any(|block| block.spec.allocations.contains(&container.entry));
            assert!(held, "{container:?} has lost its address");
        }
    }

    /// The end: all nodes can be reached or are gone, and the controller looks for as long as it takes.
    async fn settle(&mut self) {
        for node in self.out_of_reach.clone() {
            self.reach(node, true).await;
        }
        for _ in 0..24 {
            self.pass(GAP).await;
            let looked = held(&self.store).await.unwrap();
            self.act(looked, false).await;
        }
        let blocks = self.store.list::<IpamBlock>(&Default::default()).await.unwrap().objects;
        let entries = blocks.iter().flat_map(|block| &block.spec.allocations);
        let held = entries
            .filter(|entry| entry.state == AllocationState::Assigned && entry.node != node_name(MISNAMED));
        let mut held: Vec<_> = held.map(|entry| entry.pod.clone()).collect();
        held.sort();
        let leaked =
            held.iter().find(|pod| !self.bound.keys().any(|live| pod_key(*live).to_string() == **pod));
        assert_eq!(leaked, None, "of {held:?}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..PODS, 0..NODES).prop_map(|(pod, node)| Step::Start { pod, node }),
        3 => (0..PODS).prop_map(|pod| Step::Delete { pod }),
        2 => (0..PODS, any::<bool>()).prop_map(|(pod, told)| Step::End { pod, told }),
        1 => (0..NODES).prop_map(|node| Step::NodeGoes { node }),
        2 => (0..NODES).prop_map(|node| Step::NodeComes { node }),
        1 => (0..NODES).prop_map(|node| Step::OutOfReach { node }),
        4 => Just(Step::Look),
        4 => any::<bool>().prop_map(|stops| Step::Act { stops }),
        1 => Just(Step::NewLeader),
        5 => (1u64..700).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn no_order_of_events_frees_an_address_that_is_used_and_none_keeps_what_leaked(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.take(step).await;
                world.check().await;
            }
            world.settle().await;
        });
    }
}
