//! The elements of the firewall's sets: which source belongs to which interface, what is masqueraded, what of the node's ports leads to pods, and how
//! much traffic they may have.
//!
//! Not here: the table, its chains and rules, which never change and belong to the shell.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;

use cairn_api::Object;
use cairn_api::kinds::IpPool;
use cairn_net::{Direction, Family, HostPort, Prefix, Rate, Transport};

use crate::condition::{Condition, Reason};
use crate::host::Host;
use crate::underlay::Underlays;

/// What the firewall is to know: an element of one of its sets, or a source that a pod's interface lets pass.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Element {
    /// Packets from this workload interface may have this source.
    Source {
        /// The host end of the veth pair.
        interface: Arc<str>,
        /// The address.
        address: IpAddr,
    },
    /// Addresses of pods: what goes there is never masqueraded. No two overlap.
    Pool(Prefix),
    /// Addresses of pods that are masqueraded when they leave all pools. No two overlap.
    Masquerade(Prefix),
    /// Addresses of pods whose packets are taken from this node's own pods and through WireGuard alone. No two overlap.
    Encrypted(Prefix),
    /// Packets from this address of a pod to a destination of its egress gateway get this mark.
    EgressMember {
        /// The pod's.
        address: IpAddr,
        /// The gateway's.
        mark: u32,
    },
    /// A destination of the gateway with this mark. No two of one gateway overlap.
    EgressDestination {
        /// The gateway's.
        mark: u32,
        /// The destination.
        prefix: Prefix,
    },
    /// What is no destination of the gateway, though another prefix says so. No two of one gateway overlap.
    EgressExcluded {
        /// The gateway's.
        mark: u32,
        /// The destination.
        prefix: Prefix,
    },
    /// What is no destination of any gateway. No two overlap.
    EgressExempt(Prefix),
    /// Packets with this mark leave with this source.
    EgressAddress {
        /// The gateway's.
        mark: u32,
        /// The source.
        address: IpAddr,
    },
    /// An address of a node of the cluster: encapsulated packets are taken from there alone.
    Node(IpAddr),
    /// A UDP port that encapsulated packets come to.
    TunnelPort(u16),
    /// A protocol above IP that encapsulated packets are of.
    TunnelProtocol(u8),
    /// Connections to a port of the node lead to a pod. No two of one protocol, family, address and port.
    HostPort {
        /// The protocol.
        transport: Transport,
        /// Of addresses and pod.
        family: Family,
        /// The address of the node; `None`: each of the family.
        host_ip: Option<IpAddr>,
        /// The port there.
        host_port: NonZeroU16,
        /// The pod's address and port.
        target: SocketAddr,
    },
    /// Packets beyond this rate are dropped. One of an interface and direction.
    Limit {
        /// The host end of the veth pair.
        interface: Arc<str>,
        /// To the pod, or from it.
        direction: Direction,
        /// How much passes.
        rate: Rate,
    },
}

impl Element {
    /// A port of the node that leads to a pod's address, of which family the port has to be.
    pub(crate) fn host_port(port: &HostPort, address: IpAddr) -> Self {
        Self::HostPort {
            transport: port.transport,
            family: Family::of(address),
            host_ip: port.address(),
            host_port: port.host_port,
            target: SocketAddr::new(address, port.port.get()),
        }
    }
}

/// The pools' elements, with what is wrong with the pools. `outside`: what is not masqueraded either. `underlays`: whose pods pass by the node.
pub(crate) fn pools(
    pools: &BTreeMap<String, Box<Object<IpPool>>>,
    outside: &[Prefix],
    underlays: &Underlays,
    host: &Host,
) -> (Vec<Element>, Vec<Condition>) {
    let all = outermost(pools.values().map(|pool| pool.spec.cidr).chain(outside.iter().copied()));
    let masqueraded =
        |pool: &Object<IpPool>| pool.spec.nat_outgoing && !underlays.passing.contains(&pool.spec.cidr);
    let masquerade = outermost(pools.values().filter(|pool| masqueraded(pool)).map(|pool| pool.spec.cidr));
    let elements = all.into_iter().map(Element::Pool).chain(masquerade.into_iter().map(Element::Masquerade));
    let mut conditions = overlaps(pools, &underlays.on_link, host);
    conditions.extend(
        pools
            .iter()
            .filter(|(_, pool)| masqueraded(pool))
            .filter_map(|(name, pool)| without_address(name, pool.spec.cidr, host)),
    );
    (elements.collect(), conditions)
}

/// What cannot be masqueraded, for the node has no address of that family, is dropped by the kernel.
fn without_address(name: &str, cidr: Prefix, host: &Host) -> Option<Condition> {
    let family = cidr.family();
    if host.addresses.is_empty() || host.global_address(family).is_some() {
        return None;
    }
    let message = format!(
        "natOutgoing, but no interface of this node has an address of {family} to masquerade with: what pods with addresses of {cidr} send \
         out of all pools is dropped"
    );
    Some(Condition { subject: format!("IPPool/{name}"), reason: Reason::AddressUnknown, message })
}

/// The prefixes that no other one covers.
pub(crate) fn outermost(prefixes: impl Iterator<Item = Prefix>) -> Vec<Prefix> {
    let mut sorted: Vec<Prefix> = prefixes.collect();
    sorted.sort_unstable();
    // A covering prefix sorts before what it covers, so only the last one kept can cover the next.
    sorted.dedup_by(|next, kept| kept.covers(*next));
    sorted
}

fn overlaps(
    pools: &BTreeMap<String, Box<Object<IpPool>>>,
    on_link: &[Prefix],
    host: &Host,
) -> Vec<Condition> {
    let condition = |name: &str, message: String| Condition {
        subject: format!("IPPool/{name}"),
        reason: Reason::CidrOverlap,
        message,
    };
    let mut found = Vec::new();
    for (name, pool) in pools {
        let cidr = pool.spec.cidr;
        for (other, against) in pools.range(name.clone()..).skip(1) {
            if cidr.overlaps(against.spec.cidr) {
                let message =
                    format!("{cidr} overlaps {} of IPPool/{other}: use one of the two", against.spec.cidr);
                found.push(condition(name, message));
            }
        }
        // These are meant to be of such a subnet.
        if on_link.contains(&cidr) {
            continue;
        }
        for own in host.addresses.iter().filter(|own| cidr.overlaps(own.subnet())) {
            let message = format!(
                "{cidr} overlaps the subnet {} of interface {}: pods and hosts there would share addresses",
                own.subnet(),
                own.interface
            );
            found.push(condition(name, message));
        }
    }
    found
}
