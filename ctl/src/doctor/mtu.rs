//! `cairnctl doctor mtu`: does the path to each node carry what pods send?
//!
//! Echo requests that nobody may fragment go to each address of each other node, as large as the packets of this node's pods
//! with what encapsulation adds, then smaller until one is answered. Where a smaller one is answered and a larger one is lost, so are packets of pods.

use std::net::IpAddr;
use std::time::Duration;

use cairn_kernel::Rtnl;
use cairn_kernel::object::{Kind, Link};
use cairn_net::Family;
use felix_api::{MARK, TUNNEL_GROUP, WORKLOAD};
use serde::Serialize;

use super::{Other, Prober, is_hopeless};
use crate::Error;
use crate::output::Output;
use crate::table::Table;

/// A path.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(super) struct Path {
    node: String,
    address: IpAddr,
    /// The link that packets leave by.
    interface: String,
    /// Its MTU in bytes.
    link_mtu: u32,
    /// The largest packet of pods in bytes.
    #[serde(skip)]
    pods: u32,
    /// The largest packet in bytes that pods' traffic may need there.
    needed: u32,
    /// The largest packet in bytes that was answered, of those up to `needed`; none if none was.
    carried: Option<u32>,
    verdict: &'static str,
    /// What went wrong, where the path could not be looked at.
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

/// Looks at the path to each address of each node.
///
/// Errors: without the right to send echo requests.
pub(super) fn look(
    rtnl: &mut Rtnl,
    links: &[Link],
    nodes: &[Other],
    patience: Duration,
) -> Result<Vec<Path>, Error> {
    let mut paths = Vec::new();
    for node in nodes {
        for address in &node.addresses {
            let mut path = Path::to(&node.name, *address);
            match look_at(rtnl, links, &mut path, patience) {
                Ok(()) => {}
                Err(error) if is_hopeless(&error) => return Err(error),
                Err(error) => (path.verdict, path.error) = (FAILED, error.to_string()),
            }
            paths.push(path);
        }
    }
    Ok(paths)
}

pub(super) fn show(paths: &[Path], output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        paths.iter().try_for_each(|path| output.json(path))?;
    } else {
        let mut table =
            Table::new(&["NODE", "ADDRESS", "INTERFACE", "LINK MTU", "NEEDED", "CARRIED", "VERDICT"]);
        for path in paths {
            let carried = path.carried.map_or_else(|| "-".to_owned(), |carried| carried.to_string());
            let (node, address) = (path.node.clone(), path.address.to_string());
            let (interface, link) = (path.interface.clone(), path.link_mtu.to_string());
            let verdict = match path.error.as_str() {
                "" => path.verdict.to_owned(),
                error => format!("{}: {error}", path.verdict),
            };
            table.row(vec![node, address, interface, link, path.needed.to_string(), carried, verdict]);
        }
        table.print(output)?;
    }
    let narrow = paths.iter().filter(|path| path.verdict == NARROW);
    // What it leaves to pods.
    let left = |path: &Path| path.carried.unwrap_or_default().saturating_sub(path.needed - path.pods);
    if let Some(path) = narrow.min_by_key(|path| left(path)) {
        return Err(Error::Answer(format!(
            "the path to {} carries {} bytes, and packets of pods may need {}: give the route or the interface that MTU, or set `mtu` of \
             the NodeConfiguration to {}",
            path.node,
            path.carried.unwrap_or_default(),
            path.needed,
            left(path)
        )));
    }
    match paths.iter().filter(|path| path.verdict == FAILED).count() {
        0 => Ok(()),
        count => Err(Error::Answer(format!("{count} of {} paths could not be looked at", paths.len()))),
    }
}

const FINE: &str = "ok";
const NARROW: &str = "narrower than packets of pods";
const SILENT: &str = "no answer to echo requests";
const NO_ROUTE: &str = "no route";
const FAILED: &str = "not looked at";

impl Path {
    fn to(node: &str, address: IpAddr) -> Self {
        Self {
            node: node.to_owned(),
            address,
            interface: "-".to_owned(),
            link_mtu: 0,
            pods: 0,
            needed: 0,
            carried: None,
            verdict: NO_ROUTE,
            error: String::new(),
        }
    }
}

fn look_at(rtnl: &mut Rtnl, links: &[Link], path: &mut Path, patience: Duration) -> Result<(), Error> {
    let Some(index) = rtnl.resolve_marked(path.address, MARK)?.and_then(|hop| hop.dev) else { return Ok(()) };
    let Some(link) = links.iter().find(|link| link.index == index) else { return Ok(()) };
    (path.interface, path.link_mtu) = (link.name.clone(), link.mtu);
    (path.pods, path.needed) = needed(links, link, Family::of(path.address));
    let Some(mut prober) = Prober::towards(path.address, patience)? else { return Ok(()) };
    let least = if path.address.is_ipv6() { 1280 } else { 68 };
    path.carried = largest(least, path.needed, |size| prober.answered(size))?;
    path.verdict = match path.carried {
        None => SILENT,
        Some(carried) if carried < path.needed => NARROW,
        Some(_) => FINE,
    };
    Ok(())
}

/// The largest packet of this node's pods, and the same with what is added to it on the way to an address of a family. Without pods that of a tunnel;
/// without tunnels that of the link, as pods would have it.
fn needed(links: &[Link], link: &Link, family: Family) -> (u32, u32) {
    let tunnels = || links.iter().filter(|link| link.group == TUNNEL_GROUP);
    let pods = links.iter().filter(|link| link.name.starts_with(WORKLOAD)).map(|link| link.mtu).max();
    let pods = pods.or_else(|| tunnels().map(|link| link.mtu).max()).unwrap_or(link.mtu);
    let added = tunnels().filter_map(|link| overhead(&link.kind, family)).max().unwrap_or(0);
    (pods, pods.saturating_add(added))
}

/// The bytes that a tunnel adds, if its outer packets may be of a family.
fn overhead(kind: &Kind, family: Family) -> Option<u32> {
    let header = if family == Family::Ipv4 { 20 } else { 40 };
    match kind {
        Kind::Ipip(_) => (family == Family::Ipv4).then_some(header),
        // Headers of UDP, VXLAN and the inner Ethernet.
        Kind::Vxlan(vxlan) => {
            (vxlan.local.is_none_or(|local| Family::of(local) == family)).then_some(header + 8 + 8 + 14)
        }
        // Headers of UDP and WireGuard's data messages, and their tag.
        Kind::Other(name) if name == "wireguard" => Some(header + 8 + 16 + 16),
        Kind::Veth | Kind::Stacked(_) | Kind::Other(_) => None,
    }
}

/// The largest size that passes, of those from `least` to `most`; the largest is tried first, for it mostly does.
fn largest<E>(
    least: u32,
    most: u32,
    mut passes: impl FnMut(u32) -> Result<bool, E>,
) -> Result<Option<u32>, E> {
    if passes(most)? {
        return Ok(Some(most));
    }
    if most <= least || !passes(least)? {
        return Ok(None);
    }
    let (mut good, mut bad) = (least, most);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        if passes(middle)? {
            good = middle;
        } else {
            bad = middle;
        }
    }
    Ok(Some(good))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use cairn_kernel::object::{IfIndex, LinkFlags, Vxlan};

    use super::*;

    fn link(name: &str, mtu: u32, kind: Kind) -> Link {
        Link {
            index: IfIndex(1),
            name: name.to_owned(),
            mac: None,
            mtu,
            flags: LinkFlags::default(),
            group: if kind == Kind::Veth { 0 } else { TUNNEL_GROUP },
            kind,
            master: None,
            peer: None,
            alias: None,
        }
    }

    #[test]
    fn what_pods_have_counts_and_what_is_added_on_the_way() {
        let local = Some([192, 0, 2, 1].into());
        let vxlan = Vxlan { vni: 1, port: 4789, local, dev: None, learning: false };
        let eth0 = link("eth0", 9000, Kind::Veth);
        let tunnel = link("cairn-vxlan", 1450, Kind::Vxlan(vxlan));
        let pod = link("crn0123", 1400, Kind::Veth);
        let of = |links: &[Link], family| needed(links, &eth0, family);
        assert_eq!(of(&[], Family::Ipv4), (9000, 9000));
        assert_eq!(of(std::slice::from_ref(&tunnel), Family::Ipv4), (1450, 1500));
        let both = [tunnel, pod];
        assert_eq!(of(&both, Family::Ipv4), (1400, 1450));
        assert_eq!(of(&both, Family::Ipv6), (1400, 1400), "no tunnel leads over it");
        // Jumbo frames, encrypted to peers behind addresses of IPv6.
        let encrypted =
            [link("cairn-wg", 8920, Kind::Other("wireguard".to_owned())), link("crn0123", 8920, Kind::Veth)];
        assert_eq!(of(&encrypted, Family::Ipv6), (8920, 9000));
        assert_eq!(of(&encrypted, Family::Ipv4), (8920, 8980));
    }

    #[test]
    fn the_largest_size_is_found_in_a_few_steps() {
        for limit in [68, 69, 1399, 1400, 1499, 1500, 9000] {
            let mut steps = 0;
            let found = largest(68, 1500, |size| {
                steps += 1;
                Ok::<_, Infallible>(size <= limit)
            });
            assert_eq!(found, Ok(Some(limit.min(1500))));
            assert!(steps <= 13, "{steps}");
        }
        assert_eq!(largest(68, 1500, |_| Ok::<_, Infallible>(false)), Ok(None));
        assert_eq!(largest(68, 1500, Err::<bool, _>), Err(1500), "what goes wrong is told");
    }
}
