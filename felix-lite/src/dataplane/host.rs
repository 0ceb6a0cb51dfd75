//! What the kernel has besides our own objects: see [`felix_core::Host`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use cairn_kernel::object::{
    Address, Hop, IfIndex, Kind, Link, LinkName, PROTOCOL, Route, RouteKind, RouteTarget, TableId,
};
use cairn_kernel::sysctl::{self, Conf, Scope, Sysctl};
use cairn_kernel::{Error, Rtnl};
use cairn_net::Family;
use felix_api::WORKLOAD;
use felix_core::{Host, HostAddress, HostHop, HostLink, HostRoute};

use super::tunnel::is_tunnel;

/// A reverse path filter that takes packets only from where their answers would go.
const STRICT: i64 = 1;

/// Reads the host's addresses, routes and interfaces, but pods', tunnels and the loopback; and the addresses on tunnels. Which tunnels can be used
/// is for the caller to say.
pub(super) fn read(rtnl: &mut Rtnl) -> Result<(Host, BTreeSet<IpAddr>), Error> {
    let mut links: BTreeMap<IfIndex, Link> =
        rtnl.list::<Link>(None)?.into_iter().map(|link| (link.index, link)).collect();
    let all = rtnl.list::<Address>(None)?;
    let on_tunnel = |address: &&Address| links.get(&address.link).is_some_and(is_tunnel);
    let on_tunnels = all.iter().filter(on_tunnel).map(|address| address.addr).collect();
    let on_loopback = |address: &&Address| links.get(&address.link).is_some_and(|link| link.flags.loopback);
    let mut loopback: Vec<IpAddr> = all.iter().filter(on_loopback).map(|address| address.addr).collect();
    loopback.retain(|address| !address.is_loopback());
    loopback.sort_unstable();
    links.retain(|_, link| !is_workload(link) && !is_tunnel(link) && !link.flags.loopback);
    let mut addresses: Vec<HostAddress> = all
        .into_iter()
        .filter_map(|address| {
            let link = links.get(&address.link)?;
            let (address, prefix_len) = (address.addr, address.prefix_len);
            Some(HostAddress { address, prefix_len, interface: link.name.clone() })
        })
        .collect();
    addresses.sort_unstable();
    let indices: HashSet<IfIndex> = links.keys().copied().collect();
    let mut routes = Vec::new();
    for family in Family::ALL {
        let listed = rtnl.list::<Route>(Some(family))?;
        routes.extend(listed.into_iter().filter_map(|route| host_route(&route, &indices)));
    }
    routes.sort_unstable();
    let links = links.values().map(|link| (link.index.0, host_link(link, &links))).collect();
    Ok((Host { addresses, loopback, routes, links, ..Host::default() }, on_tunnels))
}

fn host_link(link: &Link, all: &BTreeMap<IfIndex, Link>) -> HostLink {
    let master = link.master.and_then(|master| all.get(&master));
    let master = master.map(|master| match &master.kind {
        Kind::Other(kind) => kind.clone(),
        Kind::Veth | Kind::Vxlan(_) | Kind::Ipip(_) | Kind::Stacked(_) => String::new(),
    });
    let wireless = std::path::Path::new("/sys/class/net").join(&link.name).join("phy80211").exists();
    let (name, strict) = (link.name.clone(), is_strict(link));
    HostLink { name, mtu: link.mtu, mac: link.mac, master, wireless, strict }
}

/// Is an interface's reverse path filter strict? The larger of its own setting and of that for all counts.
pub(super) fn is_strict(link: &Link) -> bool {
    let own = link.name.parse::<LinkName>().map_or(0, |name| reverse_path_filter(Scope::Link(name)));
    own.max(reverse_path_filter(Scope::All)) == STRICT
}

/// Are the reverse path filters of all interfaces strict that are not looser themselves?
pub(super) fn all_are_strict() -> bool {
    reverse_path_filter(Scope::All) == STRICT
}

/// 0 if it cannot be read: a kernel without IPv4 has none.
fn reverse_path_filter(scope: Scope) -> i64 {
    sysctl::read(&Sysctl::Conf(Family::Ipv4, scope, Conf::RpFilter)).unwrap_or(0)
}

/// Is it the host end of a pod's veth pair?
pub(super) fn is_workload(link: &Link) -> bool {
    link.name.starts_with(WORKLOAD)
}

/// Does the route lead to interfaces that are not among these?
pub(super) fn leads_to_pods<T>(route: &Route, links: &HashMap<IfIndex, T>) -> bool {
    match &route.target {
        RouteTarget::Hop(Hop { dev: Some(index), .. }) => !links.contains_key(index),
        _ => false,
    }
}

/// Is a change of this route a change of the host's own?
pub(super) fn is_foreign(route: &Route) -> bool {
    route.table == TableId::MAIN && route.protocol != PROTOCOL && route.kind == RouteKind::Unicast
}

fn host_route(route: &Route, links: &HashSet<IfIndex>) -> Option<HostRoute> {
    if !is_foreign(route) {
        return None;
    }
    let hops = match &route.target {
        RouteTarget::Hop(hop) => std::slice::from_ref(hop),
        RouteTarget::Multipath(hops) => hops.as_slice(),
        RouteTarget::None | RouteTarget::Nexthop(_) => &[],
    };
    let hop = |hop: &Hop| {
        let index = hop.dev.filter(|index| links.contains(index))?;
        Some(HostHop { gateway: hop.gateway, index: index.0 })
    };
    let hops: Vec<HostHop> = hops.iter().filter_map(hop).collect();
    (!hops.is_empty()).then_some(HostRoute {
        prefix: route.prefix,
        metric: route.priority,
        hops,
        mtu: route.mtu,
    })
}
