//! The node's allocator, kept configured and running.

use std::sync::Arc;

use cairn_api::kinds::{IpPool, IpReservation, IpamConfiguration};
use cairn_api::{Kind, Object};
use cairn_datastore::{Datastore, Event, Query, Watch};
use cairn_ipam::{NodeAllocator, Settings};
use tokio::sync::watch;
use tracing::warn;

use crate::engine::NodeFacts;

/// The objects of a kind as last told.
#[derive(Debug)]
struct Known<K: Kind> {
    watch: Watch<K>,
    objects: Vec<Arc<Object<K>>>,
    listed: bool,
}

impl<K: Kind> Known<K> {
    fn new<D: Datastore>(store: &D) -> Self {
        Self { watch: store.watch(Query::all()), objects: Vec::new(), listed: false }
    }

    /// Waits for the next event and takes it; false once the store is closed.
    async fn follow(&mut self) -> bool {
        let Some(event) = self.watch.next().await else { return false };
        match event {
            Event::Listed(objects) => (self.objects, self.listed) = (objects, true),
            Event::Added(object) | Event::Modified(object) => {
                self.forget(&object);
                self.objects.push(object);
            }
            Event::Deleted(object) => self.forget(&object),
            // The feed of the engine logs both.
            Event::Invalid { .. } | Event::Unavailable { .. } => {}
        }
        self.objects.sort_by(|a, b| a.name().cmp(b.name()));
        true
    }

    fn forget(&mut self, object: &Object<K>) {
        self.objects.retain(|known| known.name() != object.name());
    }
}

/// Keeps the allocator's settings what the cluster says, and runs it. Ends only if the store is closed.
pub(crate) async fn run<D: Datastore>(
    store: D,
    allocator: Arc<NodeAllocator<D>>,
    mut facts: watch::Receiver<NodeFacts>,
) {
    let configure = async {
        let mut pools = Known::<IpPool>::new(&store);
        let mut reservations = Known::<IpReservation>::new(&store);
        let mut configurations = Known::<IpamConfiguration>::new(&store);
        let mut last = None;
        loop {
            let open = tokio::select! {
                open = pools.follow() => open,
                open = reservations.follow() => open,
                open = configurations.follow() => open,
                changed = facts.changed() => changed.is_ok(),
            };
            if !open {
                return;
            }
            if !(pools.listed && reservations.listed && configurations.listed) {
                continue;
            }
            let facts = facts.borrow_and_update().clone();
            if facts.not_ready.is_some() {
                continue; // the node's labels may not be known yet
            }
            let settings = Settings {
                node_labels: facts.labels,
                pools: pools.objects.iter().map(|pool| (**pool).clone()).collect(),
                reserved: reservations
                    .objects
                    .iter()
                    .flat_map(|found| found.spec.reserved_cidrs.clone())
                    .collect(),
                ipam: configurations
                    .objects
                    .iter()
                    .find(|found| found.name() == "default")
                    .map(|found| found.spec.clone())
                    .unwrap_or_default(),
                warm_addresses: facts.warm_addresses,
            };
            if last.as_ref() != Some(&settings) {
                match allocator.configure(settings.clone()) {
                    Ok(()) => last = Some(settings),
                    Err(error) => warn!(%error, "the allocator keeps its settings"),
                }
            }
        }
    };
    tokio::select! {
        () = configure => {}
        () = allocator.run() => {}
    }
}
