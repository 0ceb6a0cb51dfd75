//! `cairnctl doctor pods`: do the pods of each node answer?
//!
//! For each other node, and each family, an echo request goes from this node to some pod there. Where none answers but the node itself does, the
//! network between the two drops what carries packets of pods: their addresses, where they travel plainly, or the encapsulation.

use std::net::IpAddr;
use std::time::Duration;

use cairn_api::Object;
use cairn_api::kinds::{AllocationState, IpamBlock};
use cairn_kernel::Rtnl;
use cairn_kernel::object::{Kind, Link};
use cairn_net::Family;
use felix_api::TUNNEL_GROUP;
use serde::{Serialize, Serializer};

use super::{Other, Prober, is_hopeless};
use crate::Error;
use crate::output::Output;
use crate::table::Table;

/// The pods of a node, and family, of which one has to answer: a single one may have been stopped a moment ago.
const ASKED: usize = 3;
/// Bytes of a request: no path carries less.
const SIZE: u32 = 68;
/// Begins the handles of what a node holds for itself, as for its tunnels.
const OWN_HANDLES: &str = "cairn/";

/// What was found out about the pods of a node, of one family.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Found {
    node: String,
    /// The pod that answered, or was asked first; none if there is none.
    pod: Option<IpAddr>,
    /// The interface that packets to it leave by.
    interface: String,
    carrier: Carrier,
    verdict: Verdict,
}

/// What packets of pods are in, on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum Carrier {
    /// Nothing: pods' addresses are seen.
    Plain,
    /// IP-in-IP.
    Ipip,
    /// VXLAN to this UDP port.
    Vxlan(u16),
    /// WireGuard.
    Wireguard,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    Fine,
    NoPods,
    NoRoute,
    /// The node answers, but none of its pods.
    Dropped,
    /// Neither answers.
    Silent,
    Failed(String),
}

/// Asks pods of each node.
///
/// Errors: without the right to send echo requests.
pub(super) fn look(
    rtnl: &mut Rtnl,
    links: &[Link],
    nodes: &[Other],
    blocks: &[Object<IpamBlock>],
    patience: Duration,
) -> Result<Vec<Found>, Error> {
    let mut found = Vec::new();
    for node in nodes {
        let pods = pods_of(&node.name, blocks);
        if pods.iter().all(Vec::is_empty) {
            found.push(Found::of(&node.name, None, Verdict::NoPods));
        }
        for pods in pods.iter().filter(|pods| !pods.is_empty()) {
            let mut of_family = Found::of(&node.name, pods.first().copied(), Verdict::NoRoute);
            match ask(rtnl, links, node, pods, &mut of_family, patience) {
                Ok(()) => {}
                Err(error) if is_hopeless(&error) => return Err(error),
                Err(error) => of_family.verdict = Verdict::Failed(error.to_string()),
            }
            found.push(of_family);
        }
    }
    Ok(found)
}

/// Some addresses of a node's pods by family, as the store has them.
fn pods_of(node: &str, blocks: &[Object<IpamBlock>]) -> [Vec<IpAddr>; 2] {
    Family::ALL.map(|family| {
        let of_family = blocks.iter().filter(|block| block.spec.cidr.family() == family);
        let all = of_family.flat_map(|block| &block.spec.allocations);
        let here = all.filter(|entry| {
            entry.node == node
                && entry.state == AllocationState::Assigned
                && !entry.handle.starts_with(OWN_HANDLES)
        });
        here.map(|entry| entry.address).take(ASKED).collect()
    })
}

fn ask(
    rtnl: &mut Rtnl,
    links: &[Link],
    node: &Other,
    pods: &[IpAddr],
    found: &mut Found,
    patience: Duration,
) -> Result<(), Error> {
    for (place, pod) in pods.iter().enumerate() {
        let Some(index) = rtnl.resolve(*pod)?.and_then(|hop| hop.dev) else { continue };
        let Some(link) = links.iter().find(|link| link.index == index) else { continue };
        let Some(mut prober) = Prober::towards(*pod, patience)? else { continue };
        let answers = prober.answered(SIZE)?;
        if answers || place == 0 || found.verdict == Verdict::NoRoute {
            (found.interface, found.carrier) = (link.name.clone(), carrier(link));
            found.pod = Some(*pod);
        }
        if answers {
            found.verdict = Verdict::Fine;
            return Ok(());
        }
        found.verdict = Verdict::Silent;
    }
    if found.verdict == Verdict::Silent {
        for address in &node.addresses {
            let Some(mut prober) = Prober::towards(*address, patience)? else { continue };
            if prober.answered(SIZE)? {
                found.verdict = Verdict::Dropped;
            }
        }
    }
    Ok(())
}

/// By the interface that packets leave by.
fn carrier(link: &Link) -> Carrier {
    match &link.kind {
        Kind::Ipip(_) => Carrier::Ipip,
        Kind::Vxlan(vxlan) => Carrier::Vxlan(vxlan.port),
        Kind::Other(kind) if link.group == TUNNEL_GROUP && kind == "wireguard" => Carrier::Wireguard,
        Kind::Veth | Kind::Stacked(_) | Kind::Other(_) => Carrier::Plain,
    }
}

impl Found {
    fn of(node: &str, pod: Option<IpAddr>, verdict: Verdict) -> Self {
        Self { node: node.to_owned(), pod, interface: "-".to_owned(), carrier: Carrier::Plain, verdict }
    }
}

impl Carrier {
    /// What the network drops where only pods do not answer, and what helps.
    fn lost(self) -> (String, &'static str) {
        match self {
            Self::Plain => (
                "packets with addresses of pods".to_owned(),
                "give the pools an encapsulation (`vxlanMode: Always`), or the network routes to the pods' blocks",
            ),
            Self::Ipip => ("IP protocol 4".to_owned(), "let it through, or choose `vxlanMode`"),
            Self::Vxlan(port) => (format!("UDP to port {port}"), "let it through between all nodes"),
            Self::Wireguard => ("WireGuard's UDP port".to_owned(), "let it through between all nodes"),
        }
    }
}

impl Verdict {
    fn say(&self, carrier: Carrier) -> String {
        match self {
            Self::Fine => "ok".to_owned(),
            Self::NoPods => "no pods to ask".to_owned(),
            Self::NoRoute => "no route".to_owned(),
            Self::Dropped => format!("its node answers: {} lost on the way", carrier.lost().0),
            Self::Silent => "neither it nor its node answers".to_owned(),
            Self::Failed(error) => format!("not looked at: {error}"),
        }
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Self::Fine => "ok",
            Self::NoPods => "noPods",
            Self::NoRoute => "noRoute",
            Self::Dropped => "dropped",
            Self::Silent => "silent",
            Self::Failed(error) => error,
        })
    }
}

/// Prints what was found.
///
/// Errors: what is wrong, and what helps.
pub(super) fn show(found: &[Found], output: &mut Output) -> Result<(), Error> {
    if output.is_json() {
        found.iter().try_for_each(|found| output.json(found))?;
    } else {
        let mut table = Table::new(&["NODE", "POD", "INTERFACE", "VERDICT"]);
        for Found { node, pod, interface, carrier, verdict } in found {
            let pod = pod.map_or_else(|| "-".to_owned(), |pod| pod.to_string());
            table.row(vec![node.clone(), pod, interface.clone(), verdict.say(*carrier)]);
        }
        table.print(output)?;
    }
    match complaint(found) {
        Some(complaint) => Err(Error::Answer(complaint)),
        None => Ok(()),
    }
}

/// What is wrong, the most telling of it.
fn complaint(found: &[Found]) -> Option<String> {
    if let Some(dropped) = found.iter().find(|found| found.verdict == Verdict::Dropped) {
        let (what, help) = dropped.carrier.lost();
        return Some(format!(
            "{} answers, but none of its pods that were asked: the network between drops {what}, or the pods answer nobody; {help}",
            dropped.node
        ));
    }
    let fine = |found: &&Found| matches!(found.verdict, Verdict::Fine | Verdict::NoPods);
    let wrong = found.len() - found.iter().filter(fine).count();
    (wrong > 0).then(|| format!("pods of {wrong} of {} nodes and families were not reached", found.len()))
}

#[cfg(test)]
mod tests {
    use cairn_api::Metadata;
    use cairn_api::kinds::Allocation;

    use super::*;

    fn found(carrier: Carrier, verdict: Verdict) -> Found {
        Found { carrier, ..Found::of("n2", None, verdict) }
    }

    #[test]
    fn what_is_dropped_is_named_with_what_helps() {
        let say =
            |carrier| complaint(&[found(Carrier::Plain, Verdict::Silent), found(carrier, Verdict::Dropped)]);
        for (carrier, words) in [
            (Carrier::Plain, ["addresses of pods", "vxlanMode: Always"]),
            (Carrier::Ipip, ["IP protocol 4", "vxlanMode"]),
            (Carrier::Vxlan(4790), ["UDP to port 4790", "let it through"]),
            (Carrier::Wireguard, ["WireGuard's UDP port", "let it through"]),
        ] {
            let said = say(carrier).unwrap();
            assert!(said.starts_with("n2 answers") && words.iter().all(|word| said.contains(word)), "{said}");
        }
        assert_eq!(
            complaint(&[found(Carrier::Plain, Verdict::NoPods), found(Carrier::Ipip, Verdict::Fine)]),
            None
        );
        assert!(complaint(&[found(Carrier::Plain, Verdict::NoRoute)]).is_some());
    }

    #[test]
    fn pods_are_asked_that_the_node_has_now() {
        let entry = |last: u8, node: &str, state, handle: &str| Allocation {
            address: [10, 0, 0, last].into(),
            node: node.to_owned(),
            state,
            handle: handle.to_owned(),
            pod: String::new(),
            since: cairn_api::Timestamp::from_unix(0),
        };
        let (assigned, released) = (AllocationState::Assigned, AllocationState::Released);
        let mut allocations = vec![
            entry(1, "n1", assigned, "cbr.a"),
            entry(2, "n2", released, "cbr.b"),
            entry(3, "n2", assigned, "cairn/tunnel/IPv4"),
        ];
        allocations.extend((4..9).map(|last| entry(last, "n2", assigned, "cbr.c")));
        let spec = IpamBlock { cidr: "10.0.0.0/26".parse().unwrap(), pool: "p".to_owned(), allocations };
        let [four, six] = pods_of("n2", &[Object::new(Metadata::named("b"), spec)]);
        assert_eq!(four, [4, 5, 6].map(|last| IpAddr::from([10, 0, 0, last])));
        assert!(six.is_empty());
    }
}
