//! The addresses of the node's tunnels: one of each family that an encapsulated pool is of.
//!
//! What this node itself sends to pods of other nodes leaves through a tunnel, and has to have a source that the answer finds back through one:
//! the node's own address would be answered plainly, by a pod whose address the fabric may not know. It is allocated like a pod's, under a handle
//! of its own, so that it stays the same across restarts and modes, and nobody else ever gets it (docs/adr/0030).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_api::kinds::AllowedUse;
use cairn_datastore::Datastore;
use cairn_ipam::{Handle, NodeAllocator, Request};
use cairn_net::{Families, Family};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::engine::NodeFacts;

/// When an address that could not be had is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// The handle of a family's address. No attachment has one with a slash.
fn handle(family: Family) -> Handle {
    Handle::new(format!("cairn/tunnel/{family}"))
}

/// Is it a tunnel's?
pub(crate) fn is_tunnels(found: &Handle) -> bool {
    Family::ALL.into_iter().any(|family| *found == handle(family))
}

/// The addresses that the node has had since before its start.
pub(crate) fn known<D: Datastore>(allocator: &NodeAllocator<D>) -> BTreeMap<Family, IpAddr> {
    let of = |family| Some((family, allocator.lookup(&handle(family)).first()?.address));
    Family::ALL.into_iter().filter_map(of).collect()
}

/// Keeps the addresses what the pools ask for. Ends only with the engine.
pub(crate) async fn run<D: Datastore>(
    allocator: Arc<NodeAllocator<D>>,
    mut facts: watch::Receiver<NodeFacts>,
    addresses: watch::Sender<BTreeMap<Family, IpAddr>>,
) {
    loop {
        let now = facts.borrow_and_update().clone();
        // Before the datastore was read no pool is known, which does not mean that there is none; nor does the allocator know any.
        let complete = now.not_ready.is_some() || {
            let mut complete = true;
            for family in Family::ALL {
                let pools = now.tunnel_pools.get(&family).map_or(&[][..], Vec::as_slice);
                complete &= settle(&allocator, family, pools).await;
            }
            let known = known(&allocator);
            addresses.send_if_modified(|told| {
                let differs = *told != known;
                *told = known;
                differs
            });
            complete
        };
        tokio::select! {
            changed = facts.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(RETRY), if !complete => {}
        }
    }
}

/// Has an address of one of the pools, or none if there is none; false if that did not succeed.
async fn settle<D: Datastore>(allocator: &NodeAllocator<D>, family: Family, pools: &[String]) -> bool {
    let handle = handle(family);
    let held = allocator.lookup(&handle);
    if held.iter().any(|held| !pools.contains(&held.pool)) {
        if let Err(error) = allocator.release(&handle) {
            warn!(%family, %error, "the address of the tunnels is not given back");
            return false;
        }
        info!(%family, "the address of the tunnels is given back: its pool needs none");
    }
    if pools.is_empty() {
        return true;
    }
    if !allocator.has_pools() {
        return false; // it is told of them in a moment
    }
    let request = Request {
        pools: pools.to_vec(),
        purpose: AllowedUse::Tunnel,
        ..Request::any(handle, Families::NONE.with(family))
    };
    match allocator.assign(&request).await {
        Ok(_) => true,
        Err(error) => {
            warn!(%family, %error, "the tunnels have no address: asking again");
            false
        }
    }
}
