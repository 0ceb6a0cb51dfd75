//! Reverse path filters that are strict where packets may come another way than their answers go.
//!
//! A strict filter (RFC 3704 section 2.2) drops an IPv4 packet that comes by another link than the one that the route to its source leads over.
//! So it does with plain packets of pods while this node's routes already lead into a tunnel and the other's do not yet, and with those
//! that come by one of two uplinks while the route back leads over the other alone. Linux has no such filter for IPv6.

use std::collections::BTreeSet;
use std::net::IpAddr;

use cairn_net::Family;

use crate::condition::{Condition, Reason};
use crate::host::{Host, HostLink};

/// How packets of IPv4 pods travel.
#[derive(Debug)]
pub(crate) struct Ways {
    /// Some of them in tunnels, or some day.
    pub(crate) tunnels: bool,
    /// The links that routes lead over which lead over several.
    pub(crate) spread: BTreeSet<u32>,
}

/// What is to be said of the filters of this node's uplinks. `own`: the node's address.
pub(crate) fn condition(node: &str, own: Option<IpAddr>, host: &Host, ways: Ways) -> Option<Condition> {
    let Ways { tunnels, spread } = ways;
    let why = if spread.is_empty() {
        "packets of pods may change between tunnels and plain routes"
    } else {
        "routes lead over several interfaces"
    };
    let mut uplinks = spread;
    if tunnels {
        let routes = host.routes.iter().filter(|route| route.prefix.family() == Family::Ipv4);
        let to_routers = routes.flat_map(|route| &route.hops).filter(|hop| hop.gateway.is_some());
        uplinks.extend(to_routers.map(|hop| hop.index));
        let is_of_node = |link: &HostLink| {
            let mut of_link = host.addresses.iter().filter(|found| found.interface == link.name);
            of_link.any(|found| Some(found.address) == own)
        };
        uplinks.extend(host.links.iter().filter(|(_, link)| is_of_node(link)).map(|(index, _)| *index));
    }
    let strict = host.links.iter().filter(|(index, link)| link.strict && uplinks.contains(index));
    let strict: Vec<&str> = strict.map(|(_, link)| link.name.as_str()).collect();
    let message = format!(
        "the reverse path filter of {} is strict (rp_filter 1), and {why}: IPv4 packets of pods that come by another interface than their answers \
         leave by are dropped; set rp_filter there to 2 (loose), which counts whatever that of all interfaces is",
        strict.join(", ")
    );
    let subject = format!("Node/{node}");
    (!strict.is_empty()).then_some(Condition { subject, reason: Reason::ReversePathFilter, message })
}
