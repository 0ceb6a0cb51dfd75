//! The addresses of the node's tunnels: one of each family that an encapsulated pool is of.
//!
//! What this node itself sends to pods of other nodes leaves through a tunnel, and has to have a source that the answer finds back through one:
//! the node's own address would be answered plainly, by a pod whose address the fabric may not know. It is allocated like a pod's, under a handle
//! of its own, so that it stays the same across restarts and modes, and nobody else ever gets it (docs/adr/0030).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_api::kinds::AllowedUse;
use cairn_datastore::Datastore;
use cairn_ipam::{Handle, NodeAllocator, Request};
use cairn_net::{Families, Family};
use felix_core::TunnelPools;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::engine::NodeFacts;

/// When an address that could not be had is asked for again; then twice as long each time, until the facts change.
const RETRY: Duration = Duration::from_secs(1);
/// The longest time between two requests.
const SLOWEST: Duration = Duration::from_secs(60);

/// The addresses that the node has had since before its start.
pub(crate) fn known<D: Datastore>(allocator: &NodeAllocator<D>) -> BTreeMap<Family, IpAddr> {
    let of = |family| Some((family, allocator.lookup(&Handle::of_tunnels(family)).first()?.address));
    Family::ALL.into_iter().filter_map(of).collect()
}

/// Keeps the addresses what the pools ask for. Ends only with the engine.
pub(crate) async fn run<D: Datastore>(
    allocator: Arc<NodeAllocator<D>>,
    mut facts: watch::Receiver<NodeFacts>,
    addresses: watch::Sender<BTreeMap<Family, IpAddr>>,
) {
    let mut retry = RETRY;
    let mut faults = BTreeMap::new();
    loop {
        let now = facts.borrow_and_update().clone();
        // Before the datastore was read no pool is known, which does not mean that there is none; nor does the allocator know any.
        let complete = !now.complete || {
            let mut complete = true;
            for family in Family::ALL {
                let pools = now.tunnel_pools.get(&family).cloned().unwrap_or_default();
                let settled = settle(&allocator, family, &pools, now.on_tunnels.as_ref()).await;
                complete &= settled == Ok(true);
                let fault = settled.err();
                if let Some(error) = fault.as_ref().filter(|error| faults.get(&family) != Some(*error)) {
                    warn!(%family, error, "the address of the tunnels is not as it should be: tried again");
                }
                match fault {
                    Some(fault) => drop(faults.insert(family, fault)),
                    None => drop(faults.remove(&family)),
                }
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
            changed = facts.changed() => match changed {
                Ok(()) => retry = RETRY,
                Err(_) => return,
            },
            () = tokio::time::sleep(retry), if !complete => retry = SLOWEST.min(retry * 2),
        }
    }
}

/// Has an address of one of the pools, or none if there is none. False if the allocator cannot say yet.
///
/// `there`: the addresses on tunnels. What is still on one is not given back: somebody else would get it, and this node would take his packets.
async fn settle<D: Datastore>(
    allocator: &NodeAllocator<D>,
    family: Family,
    pools: &TunnelPools,
    there: Option<&BTreeSet<IpAddr>>,
) -> Result<bool, String> {
    let handle = Handle::of_tunnels(family);
    let held = allocator.lookup(&handle);
    if held.iter().any(|held| !pools.fit.contains_key(&held.pool)) {
        if there.is_none_or(|there| held.iter().any(|held| there.contains(&held.address))) {
            return Ok(true); // one of the facts changes when it is gone
        }
        allocator.release(&handle).map_err(|error| format!("it is not given back: {error}"))?;
        info!(%family, "the address of the tunnels is given back: its pool needs none");
    } else if !held.is_empty() {
        return Ok(true);
    }
    if pools.open.is_empty() {
        return Ok(true); // nothing here for this node
    }
    if !allocator.has_pools() {
        return Ok(false); // it is told of them in a moment
    }
    let request = Request {
        pools: pools.open.clone(),
        purpose: AllowedUse::Tunnel,
        ..Request::any(handle, Families::NONE.with(family))
    };
    allocator.assign(&request).await.map(|_| true).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use cairn_api::kinds::{IpPool, IpamConfiguration};
    use cairn_api::{Metadata, Object};
    use cairn_datastore::MemoryStore;

    use super::*;

    fn pools(fit: &[&str], open: &[&str]) -> BTreeMap<Family, TunnelPools> {
        let fit = fit.iter().map(|name| ((*name).to_owned(), "10.0.0.0/8".parse().unwrap())).collect();
        let open = open.iter().map(|name| (*name).to_owned()).collect();
        [(Family::Ipv4, TunnelPools { fit, open })].into()
    }

    async fn becomes(
        seen: &mut watch::Receiver<BTreeMap<Family, IpAddr>>,
        is: impl FnMut(&BTreeMap<Family, IpAddr>) -> bool,
    ) -> BTreeMap<Family, IpAddr> {
        let found = tokio::time::timeout(Duration::from_secs(30), seen.wait_for(is)).await;
        found.expect("in time").unwrap().clone()
    }

    #[tokio::test]
    async fn an_address_is_given_back_when_no_device_has_it_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let journal = directory.path().join("ipam");
        let allocator = Arc::new(NodeAllocator::open(MemoryStore::new(), "n1", &journal).unwrap());
        let object = |name, cidr: &str| Object::new(Metadata::named(name), IpPool::of(cidr.parse().unwrap()));
        let settings = cairn_ipam::Settings {
            pools: vec![object("old", "10.0.0.0/16"), object("new", "10.1.0.0/16")],
            ipam: IpamConfiguration::default(),
            ..cairn_ipam::Settings::default()
        };
        allocator.configure(settings).unwrap();
        let driver = tokio::spawn({
            let allocator = Arc::clone(&allocator);
            async move { allocator.run().await }
        });
        let (facts, seen) = watch::channel(NodeFacts {
            tunnel_pools: pools(&["old"], &["old"]),
            complete: true,
            ..NodeFacts::default()
        });
        let (told, mut addresses) = watch::channel(BTreeMap::new());
        let keeper = tokio::spawn(run(Arc::clone(&allocator), seen, told));
        let first = becomes(&mut addresses, |found| found.len() == 1).await[&Family::Ipv4];

        // Closed for new ones: it stays. Then another pool: it stays for as long as a device has it, or nobody has looked.
        facts.send_modify(|facts| facts.tunnel_pools = pools(&["old"], &[]));
        for there in [None, Some(BTreeSet::from([first]))] {
            facts.send_modify(|facts| {
                facts.tunnel_pools = pools(&["new"], &["new"]);
                facts.on_tunnels = there;
            });
            let request = Request::any(Handle::new("pod"), Families::NONE.with(Family::Ipv4));
            allocator.assign(&request).await.unwrap();
            tokio::task::yield_now().await;
            assert_eq!(known(&allocator), [(Family::Ipv4, first)].into());
            allocator.release(&Handle::new("pod")).unwrap();
        }
        facts.send_modify(|facts| facts.on_tunnels = Some(BTreeSet::new()));
        let next =
            becomes(&mut addresses, |found| found.get(&Family::Ipv4).is_some_and(|now| *now != first)).await;
        assert!(next[&Family::Ipv4].to_string().starts_with("10.1."), "{next:?}");
        keeper.abort();
        driver.abort();
    }
}
