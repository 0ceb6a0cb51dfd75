//! The node's allocator, kept configured and running.

use std::sync::Arc;

use cairn_api::kinds::{IpPool, IpReservation, IpamConfiguration};
use cairn_datastore::Datastore;
use cairn_ipam::{NodeAllocator, Settings};
use cairn_net::{Family, Prefix};
use felix_core::PoolAttachment;
use tokio::sync::watch;
use tracing::warn;

use crate::engine::NodeFacts;
use crate::store::Followed;

/// The addresses of an IPv4 subnet that no host in it can have: the subnet's own and that of its broadcasts (RFC 1122 section 3.2.1.3).
fn no_hosts(attachment: &PoolAttachment) -> impl Iterator<Item = Prefix> + use<> {
    let subnet = match attachment {
        PoolAttachment::Underlay(underlay) => underlay.subnet,
        PoolAttachment::Routed | PoolAttachment::Unavailable(_) => None,
    };
    let subnet = subnet.filter(|subnet| subnet.family() == Family::Ipv4 && subnet.len() < 31);
    subnet.into_iter().flat_map(|subnet| [subnet.addr(), subnet.last()]).map(Prefix::host)
}

/// Why no address could be given. A pool that is full or disabled is none of the node's faults: pods that have addresses would have to go.
pub(crate) fn fault<D: Datastore>(allocator: &NodeAllocator<D>) -> Option<String> {
    (!allocator.has_pools()).then(|| "no IPPool is known".to_owned())
}

/// Keeps the allocator's settings what the cluster says, and runs it; tells why it could give no address. Ends only if the store is closed.
pub(crate) async fn run<D: Datastore>(
    store: D,
    allocator: Arc<NodeAllocator<D>>,
    mut facts: watch::Receiver<NodeFacts>,
    faults: watch::Sender<Option<String>>,
) {
    let tell = |fault: Option<String>| {
        faults.send_if_modified(|known| {
            let differs = *known != fault;
            *known = fault;
            differs
        })
    };
    let configure = async {
        let mut pools = Followed::<IpPool>::new(&store);
        let mut reservations = Followed::<IpReservation>::new(&store);
        let mut configurations = Followed::<IpamConfiguration>::new(&store);
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
            // Of a pool that cannot be read the engine tells.
            let unread = reservations.unread().or_else(|| configurations.unread());
            tell(unread.or_else(|| fault(&allocator)));
            // What is kept back, or how long addresses rest, must not become less because it cannot be read.
            if !(pools.is_complete() && reservations.is_complete() && configurations.is_complete()) {
                continue;
            }
            let facts = facts.borrow_and_update().clone();
            if !facts.complete {
                continue; // the node's labels may not be known yet
            }
            let settings = Settings {
                node_labels: facts.labels,
                pod_cidrs: facts.pod_cidrs,
                pools: pools.objects().values().map(|pool| (**pool).clone()).collect(),
                reserved: reservations
                    .objects()
                    .values()
                    .flat_map(|found| found.spec.reserved_cidrs.clone())
                    .chain(facts.attachments.values().flat_map(no_hosts))
                    .collect(),
                ipam: configurations.get("default").map(|found| found.spec.clone()).unwrap_or_default(),
                warm_addresses: facts.warm_addresses,
            };
            if last.as_ref() != Some(&settings) {
                match allocator.configure(settings.clone()) {
                    Ok(()) => last = Some(settings),
                    Err(error) => warn!(%error, "the allocator keeps its settings"),
                }
                tell(fault(&allocator));
            }
        }
    };
    tokio::select! {
        () = configure => {}
        () = allocator.run() => {}
    }
}

#[cfg(test)]
mod tests {
    use cairn_api::kinds::UnderlayKind;
    use felix_core::Underlay;

    use super::*;

    #[test]
    fn no_pod_gets_the_address_of_a_subnet_or_of_its_broadcasts() {
        let reserved = |subnet: &str| -> Vec<String> {
            let underlay = Underlay {
                kind: UnderlayKind::Macvlan,
                index: 2,
                interface: "eth0".to_owned(),
                mac: None,
                mtu: 1500,
                subnet: Some(subnet.parse().unwrap()),
                gateway: None,
                node: Vec::new(),
            };
            no_hosts(&PoolAttachment::Underlay(underlay)).map(|prefix| prefix.to_string()).collect()
        };
        assert_eq!(reserved("192.0.2.0/24"), ["192.0.2.0/32", "192.0.2.255/32"]);
        assert!(reserved("192.0.2.4/31").is_empty() && reserved("2001:db8::/64").is_empty());
        assert_eq!(no_hosts(&PoolAttachment::Routed).count(), 0);
    }
}
