//! The node's allocator, kept configured and running.

use std::sync::Arc;

use cairn_api::kinds::{IpPool, IpReservation, IpamConfiguration};
use cairn_datastore::Datastore;
use cairn_ipam::{NodeAllocator, Settings};
use tokio::sync::watch;
use tracing::warn;

use crate::engine::NodeFacts;
use crate::store::Known;

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
