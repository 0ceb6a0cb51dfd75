//! The reference: which route each node ends with, computed from what is originated and who would tell whom, without messages.

use std::collections::{BTreeMap, BTreeSet};

/// How the nodes of a network relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Every node is an AS of its own.
    External,
    /// All in one AS, everybody with everybody.
    Mesh,
    /// All in one AS, everybody with node 1, which reflects.
    Reflector,
}

/// What is originated where: nodes by prefix.
pub(crate) type Origins = BTreeMap<u8, BTreeSet<u8>>;

/// The nodes that a route came through, the nearest first, the originator last; empty for a route of one's own.
pub(crate) type Way = Vec<u8>;

/// The route of every node to a prefix that these nodes originate. `hears`: is the first one told of it by the second one, if it has it? Within
/// an AS that is so wherever there is a session.
pub(crate) fn ways(
    shape: Shape,
    nodes: u8,
    hears: impl Fn(u8, u8) -> bool,
    origins: &BTreeSet<u8>,
) -> BTreeMap<u8, Way> {
    match shape {
        Shape::External => external(nodes, hears, origins),
        Shape::Mesh => internal(nodes, origins, |_| origins.first().copied()),
        Shape::Reflector => {
            // The reflector chooses for all: its own route, else that of the lowest identifier.
            let chosen = origins.first().copied();
            internal(nodes, origins, move |_| chosen)
        }
    }
}

/// Paths of least length, and among those through the neighbour of the lowest identifier: computed by going on until nothing
/// changes, which shortest paths reach whatever the order is.
fn external(nodes: u8, hears: impl Fn(u8, u8) -> bool, origins: &BTreeSet<u8>) -> BTreeMap<u8, Way> {
    let mut ways: BTreeMap<u8, Way> = origins.iter().map(|node| (*node, Vec::new())).collect();
    loop {
        let better = |node: u8| {
            let neighbours = (1..=nodes).filter(|other| *other != node && hears(node, *other));
            let offers = neighbours.filter_map(|other| {
                let way = ways.get(&other)?;
                // A path with one's own AS in it is a loop.
                let mut offered = vec![other];
                offered.extend(way);
                (!way.contains(&node)).then_some(offered)
            });
            // Neighbours are asked in the order of their identifiers, and the first of the shortest stays.
            offers.min_by_key(Vec::len)
        };
        let next: BTreeMap<u8, Way> = (1..=nodes)
            .filter_map(|node| {
                let own = origins.contains(&node).then(Vec::new);
                Some((node, own.or_else(|| better(node))?))
            })
            .collect();
        if next == ways {
            return ways;
        }
        ways = next;
    }
}

/// Within an AS a node uses its own route, else the one that `chosen` names.
fn internal(nodes: u8, origins: &BTreeSet<u8>, chosen: impl Fn(u8) -> Option<u8>) -> BTreeMap<u8, Way> {
    (1..=nodes)
        .filter_map(|node| {
            let own = origins.contains(&node).then(Vec::new);
            Some((node, own.or_else(|| Some(vec![chosen(node)?]))?))
        })
        .collect()
}
