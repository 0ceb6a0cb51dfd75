//! Encapsulated packets that somebody would have another node take for this node's (docs/adr/0053).
//!
//! Nodes take such packets from nodes only ([`super::ruleset`], `tunnel-ends`). So what a pod sends can pass for a node's only once its source is
//! translated to this node's, and what this node's tunnels send never has its destination translated, as by a service. Both are decided at the first packet of a
//! connection. There it is refused: in a chain of the type `nat`, which others pass by, before all that translate sources.
//!
//! Without anything that translates there is nothing to refuse, and no chain: it would have the kernel track connections. Tables of others are looked at
//! every [`LOOK`] until one translates. Connections that are older than what refuses them are ended.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cairn_kernel::Error;
use cairn_kernel::conntrack::{Conntrack, Endpoint, Flow};
use cairn_kernel::netlink::Socket;
use cairn_kernel::nftables::{
    self, Chain, ChainType, Comparison, ConntrackKey, Expression, Hook, Register, Rule, Table, Verdict,
};
use cairn_net::Family;
use felix_core::Element;
use tracing::{info, warn};

use super::ruleset::{UDP, destination, lookup, of_family, rule, source};
use super::sets::SetName;

/// How often tables of others are looked at: the older iptables tells nobody of its.
const LOOK: Duration = Duration::from_secs(1);
/// Nodes that come within this are one look at the connections.
const SETTLE: Duration = Duration::from_secs(1);
/// How often connections are tried to be read, this long apart.
const ATTEMPTS: u32 = 5;
const RETRY: Duration = Duration::from_secs(1);

const TO_TUNNELS: &str = "to-tunnels";
const TO_NODES: &str = "to-nodes";
/// Before all others that may have the type `nat`: the kernel allows none as early as conntrack, which is at -200.
const FIRST: i32 = -199;
/// `IPS_DST_NAT`.
const DESTINATION_TRANSLATED: u32 = 1 << 5;

pub(super) fn chains() -> [Chain; 2] {
    [Chain::at(TO_TUNNELS, ChainType::Nat, Hook::Postrouting, FIRST), Chain::regular(TO_NODES)]
}

/// For packets of these kinds, which this node's tunnels take.
pub(super) fn rules(encapsulated: impl Iterator<Item = Vec<Expression>>) -> Vec<Rule> {
    let first = encapsulated.map(|mut what| {
        what.push(Expression::Verdict(Verdict::Goto(TO_NODES.to_owned())));
        rule(TO_TUNNELS, "encapsulated", what)
    });
    first.chain(Family::ALL.into_iter().flat_map(to_nodes_rules)).collect()
}

fn to_nodes_rules(family: Family) -> [Rule; 2] {
    let to_node = || {
        let mut parts = of_family(family, Register(0)).to_vec();
        parts.extend([destination(family, Register(0)), lookup(SetName::Nodes(family), false)]);
        parts
    };
    let drop = [Expression::Counter, Expression::Verdict(Verdict::Drop)];
    let mut from_others = to_node();
    from_others.extend([source(family, Register(0)), lookup(SetName::Nodes(family), true)]);
    let mut led_there = to_node();
    led_there.extend([
        Expression::Conntrack { key: ConntrackKey::Status, into: Register(0) },
        Expression::Bitwise {
            register: Register(0),
            mask: DESTINATION_TRANSLATED.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
        Expression::Compare {
            register: Register(0),
            operator: Comparison::NotEqual,
            value: 0_u32.to_ne_bytes().to_vec(),
        },
    ]);
    from_others.extend(drop.clone());
    led_there.extend(drop);
    [
        rule(TO_NODES, "encapsulated packets to nodes come from nodes only", from_others),
        rule(TO_NODES, "encapsulated packets do not come to nodes by way of a service", led_there),
    ]
}

/// What is known of translation by others, and of connections that may be older than the chain.
#[derive(Debug, Default)]
pub(super) struct Forged {
    ends: Ends,
    /// Somebody else translates, or did.
    foreign: bool,
    /// When that is looked at again; `None`: it makes no difference.
    look_at: Option<Instant>,
    /// When older connections are ended.
    end_at: Option<Instant>,
    ending: Option<JoinHandle<()>>,
}

/// What packets of tunnels are, and between whom.
#[derive(Debug, Clone, Default)]
struct Ends {
    nodes: BTreeSet<IpAddr>,
    ports: BTreeSet<u16>,
    protocols: BTreeSet<u8>,
}

impl Forged {
    /// An element is wanted. What is sent there may have begun before.
    pub(super) fn add(&mut self, element: &Element, now: Instant) {
        let is_new = match element {
            Element::Node(address) => self.ends.nodes.insert(*address),
            Element::TunnelPort(port) => self.ends.ports.insert(*port),
            Element::TunnelProtocol(protocol) => self.ends.protocols.insert(*protocol),
            _ => false,
        };
        if is_new {
            self.outdated(now);
        }
    }

    /// An element is not wanted any more.
    pub(super) fn remove(&mut self, element: &Element) {
        match element {
            Element::Node(address) => self.ends.nodes.remove(address),
            Element::TunnelPort(port) => self.ends.ports.remove(port),
            Element::TunnelProtocol(protocol) => self.ends.protocols.remove(protocol),
            _ => false,
        };
    }

    /// Does somebody else translate, as far as [`Self::look`] has seen?
    pub(super) const fn foreign(&self) -> bool {
        self.foreign
    }

    /// Looks at the tables of others if it is time to. `matters`: only they decide whether there is to be a chain.
    pub(super) fn look(&mut self, matters: bool, socket: &mut Socket, now: Instant) {
        if !matters || self.foreign {
            self.look_at = None;
            return;
        }
        if self.look_at.is_some_and(|at| now < at) {
            return;
        }
        self.look_at = Some(now + LOOK);
        // What cannot be known is taken for the worse.
        self.foreign = nftables::translates(socket, Table::CAIRN).unwrap_or_else(|error| {
            warn!(%error, "whether others translate addresses is not known");
            true
        });
        if self.foreign {
            info!(
                "others translate addresses: what pods would send to nodes' tunnels is refused before that"
            );
        }
    }

    /// Connections may be older than what refuses them.
    pub(super) fn outdated(&mut self, now: Instant) {
        self.end_at.get_or_insert(now + SETTLE);
    }

    /// When [`Self::look`] and [`Self::end`] should be called again.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.look_at.into_iter().chain(self.end_at).min()
    }

    /// Ends older connections if it is time to, aside: there may be hundreds of thousands. `refused`: new ones are.
    pub(super) fn end(&mut self, refused: bool, now: Instant) {
        if self.end_at.is_none_or(|at| now < at) {
            return;
        }
        self.end_at = None;
        if !refused {
            return;
        }
        if self.ending.as_ref().is_some_and(|ending| !ending.is_finished()) {
            self.end_at = Some(now + SETTLE);
            return;
        }
        let ends = self.ends.clone();
        match thread::Builder::new().name("flows".to_owned()).spawn(move || ends.end()) {
            Ok(ending) => self.ending = Some(ending),
            Err(error) => {
                warn!(%error, "connections that are older than tunnels are not looked at yet: there is no thread for it");
                self.end_at = Some(now + SETTLE);
            }
        }
    }
}

impl Ends {
    fn end(&self) {
        for family in Family::ALL {
            for attempt in 1..=ATTEMPTS {
                match self.try_end(family) {
                    Ok(0) => break,
                    Ok(ended) => {
                        warn!(
                            ended,
                            "pods had sent to nodes' tunnels before these were there: those connections are ended"
                        );
                        break;
                    }
                    Err(error) if attempt == ATTEMPTS => {
                        warn!(%error, "connections that are older than tunnels cannot be looked at");
                    }
                    Err(_) => thread::sleep(RETRY),
                }
            }
        }
    }

    fn try_end(&self, family: Family) -> Result<usize, Error> {
        Conntrack::open()?.delete(family, |flow| self.is_forged(flow))
    }

    /// Would the chain refuse its first packet? What the kernel has translated is seen from the answers.
    fn is_forged(&self, flow: &Flow) -> bool {
        let is_encapsulated = match flow.reply.endpoint {
            Endpoint::Ports(from, _) => flow.reply.protocol == UDP && self.ports.contains(&from),
            _ => false,
        };
        let from_node = self.nodes.contains(&flow.original.src);
        (is_encapsulated || self.protocols.contains(&flow.reply.protocol))
            && self.nodes.contains(&flow.reply.src)
            && (!from_node || flow.original.dst != flow.reply.src)
    }
}

#[cfg(test)]
mod tests {
    use cairn_kernel::conntrack::Tuple;

    use super::*;

    const NODES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
    const POD: &str = "10.0.0.7";
    const SERVICE: &str = "198.51.100.1";
    const IPIP: u8 = 4;

    /// From an address to another, answered by a third one to a fourth.
    fn flow([src, dst, answering, answered]: [&str; 4], protocol: u8, port: Option<u16>) -> Flow {
        let tuple = |src: &str, dst: &str, endpoint| Tuple {
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            protocol,
            endpoint,
        };
        let [there, back] = port.map_or([Endpoint::None; 2], |port| {
            [Endpoint::Ports(40_000, if dst == answering { port } else { 9 }), Endpoint::Ports(port, 40_000)]
        });
        Flow::new(tuple(src, dst, there), tuple(answering, answered, back))
    }

    #[test]
    fn connections_are_forged_whose_first_packet_would_be_refused() {
        let ends = Ends {
            nodes: NODES.map(|node| node.parse().unwrap()).into(),
            ports: [4789].into(),
            protocols: [IPIP].into(),
        };
        let [own, other] = NODES;
        let vxlan = |ends_of| flow(ends_of, UDP, Some(4789));
        let forged = [
            vxlan([POD, other, other, own]),
            vxlan([POD, other, other, POD]),
            vxlan([POD, SERVICE, other, own]),
            vxlan([other, own, other, own]),
            flow([POD, other, other, own], IPIP, None),
        ];
        let others = [
            vxlan([own, other, other, own]),
            vxlan([POD, SERVICE, SERVICE, own]),
            flow([POD, other, other, own], UDP, Some(53)),
            flow([POD, other, other, own], 6, Some(4789)),
            flow([own, other, other, own], IPIP, None),
            flow([POD, other, other, own], 47, None),
        ];
        for flow in &forged {
            assert!(ends.is_forged(flow), "{flow:?}");
        }
        for flow in &others {
            assert!(!ends.is_forged(flow), "{flow:?}");
        }
    }
}
