//! The table `inet cairn`: its sets, chains and rules.
//!
//! Hooks in the order in which a packet of a pod meets them; the gaps are for what comes later:
//!
//! | chain | hook, priority | what |
//! |---|---|---|
//! | `source-check` | prerouting, -310 | pods send from their own addresses only (`from-pods`); packets of pods of other nodes come through WireGuard only, where nothing else is to be taken (`cleartext`); before conntrack, so that a forged packet leaves no entry |
//! | `encapsulated` | input, -10 | packets with packets of pods in them come from nodes of the cluster only (`tunnel-ends`); decapsulated ones go on as if the tunnel were a wire |
//! | `egress-limit` | prerouting, -305 | what pods send beyond their rate; before conntrack, too; only where there are such |
//! | (services) | prerouting, -100 | |
//! | `host-ports`, `host-ports-own` | prerouting and output, -95 | connections to ports of the node that lead to pods; before anything is filtered, so that policies see pods' own addresses and ports; only where there are such |
//! | `egress` | prerouting, -90 | packets of pods of egress gateways get a mark; only where there are such |
//! | `forged` | forward, -10 | pods send no encapsulated packets to nodes (`to-nodes`), also by way of a service: its address is translated by then |
//! | (policy) | forward, 0 | |
//! | `host-ports-return` | postrouting, 95 | of such connections those whose answers would not come back here get an address of the node |
//! | `masquerades` | postrouting, 100 | pods of pools with `natOutgoing` leave all pools with an address of the node |
//! | `egress-tunnels` | postrouting, 110 | packets of egress gateways enter a tunnel without their mark, or the kernel would lead what they travel in back into it; only where there are such |
//! | `ingress-limit` | postrouting, 300 | what pods are sent beyond their rate; last, so that it is what really would reach them; only where there are such |
//!
//! Every packet between pods passes these chains on both nodes, so what most packets need not be asked is in chains of its own, behind one question, what is
//! cheap is asked first (the kernel copies the name of an interface to ask for it), and what nothing needs is not there: see [`Needs`]. Without translation, of
//! sources or of ports, nothing has the kernel track connections.
//!
//! IPv6 cannot live from global addresses alone: an unassigned source (`::`) does duplicate address detection, a
//! link-local one resolves neighbours. From these a pod may send neighbour discovery and multicast listener reports
//! (RFC 4861, RFC 3810) and nothing else; link-local packets are not forwarded, so they reach no further than the node.

use std::collections::BTreeSet;

use cairn_kernel::nftables::{
    Chain, ChainType, Comparison, Expression, Hook, MetaKey, PayloadBase, Ports, Register, Rule, Transaction,
    Verdict, nfproto,
};
use std::net::IpAddr;

use cairn_net::{Direction, Family};
use felix_api::WORKLOAD;
use felix_core::{Nat, TunnelKind};

use super::egress::{
    EGRESS, EGRESS_MARKED, EGRESS_TUNNELS, egress_rules, egress_source_rules, egress_tunnel_rule,
};
use super::host_ports;
use super::limits;
use super::sets::SetName;

/// Types of ICMPv6 that a pod may send from a link-local or unassigned source: router solicitation, neighbour
/// solicitation and advertisement, multicast listener report version 2.
const OWN_LINK_TYPES: [u8; 4] = [133, 135, 136, 143];
/// Next header of ICMPv6.
const ICMPV6: u8 = 58;

const SOURCE_CHECK: &str = "source-check";
pub(super) const FROM_PODS: &str = "from-pods";
const OWN_LINK: &str = "own-link";
/// Not `masquerade`: that is a word of nft's language, so that no command of it could name the chain.
pub(super) const MASQUERADE: &str = "masquerades";
const ENCAPSULATED: &str = "encapsulated";
const CLEARTEXT: &str = "cleartext";
/// The interface of what this node sends to itself.
const LOOPBACK: &[u8] = b"lo\0";
const TUNNEL_ENDS: &str = "tunnel-ends";
const FORGED: &str = "forged";
const TO_NODES: &str = "to-nodes";
/// Protocol number of UDP.
const UDP: u8 = 17;
/// TCP, UDP, SCTP, DCCP.
const WITH_PORTS: [u8; 4] = [6, UDP, 132, 33];

/// What of the rules is of use. A chain at a hook costs every packet something, also while there is nothing in its sets, and a rule that
/// translates has the kernel track all connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Needs {
    /// Packets are encapsulated on this node: in UDP, in IP.
    encapsulation: [bool; 2],
    /// Packets of some pools are taken through WireGuard only.
    encryption: bool,
    /// Some pods leave the pools with another source.
    translation: bool,
    /// There are pods of egress gateways.
    egress: bool,
    /// Ports of the node lead to pods.
    host_ports: bool,
    /// Some pods have a limit: to them, from them.
    limits: [bool; 2],
    /// What leaves the pools gets these sources; `None` while that is not known. What an earlier run wrote is in force then.
    nat: Option<Nat>,
}

impl Needs {
    /// Those of the sets that hold something, and of the chains that are there. Before all is known, what is there `stays`. Connections that are translated go on when no new ones are.
    pub(super) fn of(
        nat: Option<Nat>,
        holds: impl Fn(SetName) -> bool,
        chains: &BTreeSet<String>,
        stays: bool,
    ) -> Self {
        let any = |set: fn(Family) -> SetName| Family::ALL.into_iter().any(|family| holds(set(family)));
        let egress = if stays { chains.contains(EGRESS) } else { any(SetName::EgressMembers) };
        Self {
            encapsulation: [holds(SetName::TunnelPorts), holds(SetName::TunnelProtocols)],
            encryption: any(SetName::Encrypted),
            translation: any(SetName::Masquerade) || egress || chains.contains(MASQUERADE),
            egress,
            host_ports: any(SetName::HostPorts) || any(SetName::HostPortsOfAddress),
            limits: limits::DIRECTIONS.map(|direction| holds(SetName::Limits(direction))),
            nat,
        }
    }

    /// Is the set to be there? Those with limits need more of the kernel than the others.
    pub(super) fn has(self, set: SetName) -> bool {
        match set {
            SetName::Limits(of) => self.directions().any(|(wanted, direction)| wanted && direction == of),
            _ => true,
        }
    }

    fn encapsulates(self) -> bool {
        self.encapsulation.contains(&true)
    }

    /// Those directions in which some pods have a limit, and those in which none has.
    fn directions(self) -> impl Iterator<Item = (bool, Direction)> {
        self.limits.into_iter().zip(limits::DIRECTIONS)
    }
}

/// Puts everything but the elements in place, whatever is there already; the rules are written anew. Of the `chains` that are there those
/// go that are of no use. Rules that translate stay as they are while nobody knows what they should be: there is nothing that they apply to, or
/// they are of an earlier run.
pub(super) fn write(transaction: &mut Transaction, needs: Needs, chains: &BTreeSet<String>) {
    transaction.create_table();
    for name in SetName::ALL.into_iter().filter(|name| needs.has(*name)) {
        transaction.create_set(&name.set());
    }
    let (wanted, needless) = all_chains(needs);
    for chain in &wanted {
        transaction.create_chain(chain);
    }
    for chain in wanted.iter().filter(|chain| chain.name != MASQUERADE || needs.nat.is_some()) {
        transaction.flush_chain(&chain.name);
    }
    for chain in needless.iter().filter(|chain| chains.contains(&chain.name)) {
        transaction.flush_chain(&chain.name).delete_chain(&chain.name);
    }
    for rule in rules(needs).into_iter().chain(translating_rules(needs)) {
        transaction.append_rule(&rule);
    }
}

/// The names of the chains that there should be.
pub(super) fn chains(needs: Needs) -> BTreeSet<String> {
    all_chains(needs).0.into_iter().map(|chain| chain.name).collect()
}

/// The chains that are of use, and those that are not.
fn all_chains(needs: Needs) -> (Vec<Chain>, Vec<Chain>) {
    let all = [
        (true, Chain::regular(OWN_LINK)),
        (true, Chain::regular(FROM_PODS)),
        (true, Chain::regular(CLEARTEXT)),
        (true, Chain::at(SOURCE_CHECK, ChainType::Filter, Hook::Prerouting, -310)),
        (needs.encapsulates(), Chain::at(ENCAPSULATED, ChainType::Filter, Hook::Input, -10)),
        (needs.encapsulates(), Chain::regular(TUNNEL_ENDS)),
        (needs.egress, Chain::at(EGRESS, ChainType::Filter, Hook::Prerouting, -90)),
        (needs.egress, Chain::regular(EGRESS_MARKED)),
        (needs.egress, Chain::at(EGRESS_TUNNELS, ChainType::Filter, Hook::Postrouting, 110)),
        (needs.encapsulates(), Chain::at(FORGED, ChainType::Filter, Hook::Forward, -10)),
        (needs.encapsulates(), Chain::regular(TO_NODES)),
        (needs.translation, Chain::at(MASQUERADE, ChainType::Nat, Hook::Postrouting, 100)),
    ];
    let ports = host_ports::chains().map(|chain| (needs.host_ports, chain));
    let limits = needs.directions().map(|(wanted, direction)| (wanted, limits::chain(direction)));
    let all = all.into_iter().chain(ports).chain(limits);
    let (wanted, needless): (Vec<_>, Vec<_>) = all.partition(|(wanted, _)| *wanted);
    let chains = |list: Vec<(bool, Chain)>| list.into_iter().map(|(_, chain)| chain).collect();
    (chains(wanted), chains(needless))
}

/// The rules that give packets another source.
fn translating_rules(needs: Needs) -> Vec<Rule> {
    let Some(nat) = needs.nat.filter(|_| needs.translation) else { return Vec::new() };
    let egress = Family::ALL.into_iter().filter(|_| needs.egress).flat_map(egress_source_rules);
    egress.chain(Family::ALL.into_iter().flat_map(|family| nat_rules(family, nat))).collect()
}

/// The rules in the order of their chains, but those that translate.
fn rules(needs: Needs) -> Vec<Rule> {
    let mut rules = Vec::new();
    for kind in OWN_LINK_TYPES {
        rules.push(own_link_rule(kind, "link-local", 0xfe80, 0xffc0));
        rules.push(own_link_rule(kind, "unassigned", 0, 0xffff));
    }
    let drop = vec![Expression::Counter, Expression::Verdict(Verdict::Drop)];
    rules.push(rule(OWN_LINK, "nothing else from a source that is not the pod's", drop));
    if needs.host_ports {
        rules.push(host_ports::loopback_rule());
        rules.extend(host_ports::rules());
    }
    let limited = needs.directions().filter(|(wanted, _)| *wanted);
    rules.extend(limited.map(|(_, direction)| limits::rule_of(direction)));
    for family in Family::ALL {
        rules.push(source_rule(family));
    }
    for interface in [TunnelKind::Wireguard.device().as_bytes(), LOOPBACK] {
        rules.push(encrypted_interface_rule(interface));
    }
    let drop = vec![Expression::Counter, Expression::Verdict(Verdict::Drop)];
    rules.push(rule(CLEARTEXT, "pods of other nodes come through WireGuard only", drop));
    rules.push(pods_rule());
    if needs.encryption {
        rules.extend(Family::ALL.map(cleartext_rule));
    }
    if needs.encapsulates() {
        rules.extend(Family::ALL.into_iter().flat_map(tunnel_ends_rules));
        rules.extend(Family::ALL.map(to_nodes_rule));
        rules.extend(
            encapsulated(needs).flat_map(|what| [encapsulated_rule(what.clone()), forged_rule(what)]),
        );
    }
    if needs.egress {
        rules.extend(Family::ALL.into_iter().flat_map(egress_rules));
        rules.push(egress_tunnel_rule());
    }
    rules
}

/// What comes from a pod is asked for its source, and nothing else here.
fn pods_rule() -> Rule {
    let parts = vec![
        Expression::Meta { key: MetaKey::InputInterface, into: Register(0) },
        equal(Register(0), WORKLOAD.as_bytes()),
        Expression::Verdict(Verdict::Goto(FROM_PODS.to_owned())),
    ];
    rule(SOURCE_CHECK, "from pods", parts)
}

/// Of a family, with a source that is not one of the interface's.
fn source_rule(family: Family) -> Rule {
    let mut parts = of_family(family, Register(8)).to_vec();
    parts.push(Expression::Meta { key: MetaKey::InputInterface, into: Register(0) });
    let foreign = Expression::Lookup {
        set: SetName::Sources(family).as_str().to_owned(),
        key: Register(0),
        inverted: true,
    };
    parts.extend([source(family, Register(4)), foreign]);
    match family {
        Family::Ipv4 => parts.extend([Expression::Counter, Expression::Verdict(Verdict::Drop)]),
        Family::Ipv6 => parts.push(Expression::Verdict(Verdict::Goto(OWN_LINK.to_owned()))),
    }
    rule(FROM_PODS, "pods send from their own addresses", parts)
}

/// Packets that this node's tunnels take: by port, by protocol.
fn encapsulated(needs: Needs) -> impl Iterator<Item = Vec<Expression>> {
    let lookup =
        |set: SetName| Expression::Lookup { set: set.as_str().to_owned(), key: Register(0), inverted: false };
    let protocol = Expression::Meta { key: MetaKey::TransportProtocol, into: Register(0) };
    let port = Expression::Payload { base: PayloadBase::Transport, offset: 2, len: 2, into: Register(0) };
    let all = [
        vec![protocol.clone(), equal(Register(0), &[UDP]), port, lookup(SetName::TunnelPorts)],
        vec![protocol, lookup(SetName::TunnelProtocols)],
    ];
    needs.encapsulation.into_iter().zip(all).filter_map(|(wanted, what)| wanted.then_some(what))
}

/// What comes in by an interface whose name begins so was not on a wire in clear text.
fn encrypted_interface_rule(interface: &[u8]) -> Rule {
    let parts = vec![
        Expression::Meta { key: MetaKey::InputInterface, into: Register(0) },
        equal(Register(0), interface),
        Expression::Verdict(Verdict::Accept),
    ];
    rule(CLEARTEXT, "not from a wire, or encrypted on it", parts)
}

/// What has an address of a pool that sends nothing in clear text is asked for the interface that it came by.
fn cleartext_rule(family: Family) -> Rule {
    let mut parts = of_family(family, Register(0)).to_vec();
    let lookup = Expression::Lookup {
        set: SetName::Encrypted(family).as_str().to_owned(),
        key: Register(0),
        inverted: false,
    };
    parts.extend([source(family, Register(0)), lookup]);
    parts.push(Expression::Verdict(Verdict::Goto(CLEARTEXT.to_owned())));
    rule(SOURCE_CHECK, "from a pool that is encrypted", parts)
}

/// What a pod would have another node take for this node's packet, once masqueraded as that. What it sends to its own node keeps its source, which
/// is no node's: [`tunnel_ends_rules`] see to that.
fn forged_rule(mut what: Vec<Expression>) -> Rule {
    what.extend([
        Expression::Meta { key: MetaKey::InputInterface, into: Register(0) },
        equal(Register(0), WORKLOAD.as_bytes()),
        Expression::Verdict(Verdict::Goto(TO_NODES.to_owned())),
    ]);
    rule(FORGED, "encapsulated by a pod", what)
}

fn to_nodes_rule(family: Family) -> Rule {
    let mut parts = of_family(family, Register(0)).to_vec();
    parts.extend([destination(family, Register(0)), nodes(family, false)]);
    parts.extend([Expression::Counter, Expression::Verdict(Verdict::Drop)]);
    rule(TO_NODES, "pods send no encapsulated packets to nodes", parts)
}

fn encapsulated_rule(mut what: Vec<Expression>) -> Rule {
    what.push(Expression::Verdict(Verdict::Goto(TUNNEL_ENDS.to_owned())));
    rule(ENCAPSULATED, "for a tunnel", what)
}

/// Encapsulated packets from elsewhere than the cluster's nodes, or to another address of this node than the one that its tunnels have:
/// a pod may send there, and be masqueraded as its node, for [`to_nodes_rule`] knows only the addresses of tunnels.
fn tunnel_ends_rules(family: Family) -> [Rule; 2] {
    let ends = [
        (source(family, Register(0)), "encapsulated packets come from nodes only"),
        (destination(family, Register(0)), "encapsulated packets go to nodes' own addresses only"),
    ];
    ends.map(|(end, comment)| {
        let mut parts = of_family(family, Register(0)).to_vec();
        parts.extend([end, nodes(family, true), Expression::Counter, Expression::Verdict(Verdict::Drop)]);
        rule(TUNNEL_ENDS, comment, parts)
    })
}

fn nodes(family: Family, inverted: bool) -> Expression {
    Expression::Lookup { set: SetName::Nodes(family).as_str().to_owned(), key: Register(0), inverted }
}

/// One type of ICMPv6 from a source whose first 16 bits, and for `::` all others too, are these.
fn own_link_rule(kind: u8, what: &'static str, first: u16, mask: u16) -> Rule {
    let len = if first == 0 { 16 } else { 2 };
    let mut parts = vec![
        Expression::Meta { key: MetaKey::TransportProtocol, into: Register(0) },
        equal(Register(0), &[ICMPV6]),
        Expression::Payload { base: PayloadBase::Network, offset: 8, len, into: Register(0) },
    ];
    if first == 0 {
        parts.push(equal(Register(0), &[0; 16]));
    } else {
        parts.push(Expression::Bitwise {
            register: Register(0),
            mask: mask.to_be_bytes().to_vec(),
            xor: vec![0; 2],
        });
        parts.push(equal(Register(0), &first.to_be_bytes()));
    }
    parts.push(Expression::Payload { base: PayloadBase::Transport, offset: 0, len: 1, into: Register(0) });
    parts.extend([equal(Register(0), &[kind]), Expression::Verdict(Verdict::Accept)]);
    rule(OWN_LINK, what, parts)
}

/// From a masqueraded pool to an address of no pool. A range of ports is for protocols that have ports: others, such as ICMP, have a rule of their own.
fn nat_rules(family: Family, nat: Nat) -> Vec<Rule> {
    let with_ports = nat.ports.into_iter().flat_map(|range| {
        let load = |port: u16, into| Expression::Immediate { value: port.to_be_bytes().to_vec(), into };
        WITH_PORTS.map(|protocol| {
            let mut parts = vec![
                Expression::Meta { key: MetaKey::TransportProtocol, into: Register(0) },
                equal(Register(0), &[protocol]),
                load(range.first(), Register(4)),
                load(range.last(), Register(5)),
            ];
            let ports = Ports { range: Some((Register(4), Register(5))), fully_random: nat.random };
            parts.extend(translation(family, nat.address(family), ports));
            parts
        })
    });
    let ports = Ports { range: None, fully_random: nat.random };
    let rest = translation(family, nat.address(family), ports);
    with_ports.chain([rest]).map(|parts| leaving_rule(family, parts)).collect()
}

/// Another source: this address, or that of the interface.
fn translation(family: Family, address: Option<IpAddr>, ports: Ports) -> Vec<Expression> {
    let value = match address {
        None => return vec![Expression::Masquerade { ports }],
        Some(IpAddr::V4(address)) => address.octets().to_vec(),
        Some(IpAddr::V6(address)) => address.octets().to_vec(),
    };
    let load = Expression::Immediate { value, into: Register(0) };
    vec![load, Expression::SourceNat { family, address: Register(0), ports }]
}

/// What becomes of packets from a masqueraded pool to an address of no pool.
fn leaving_rule(family: Family, what: Vec<Expression>) -> Rule {
    let lookup = |set: SetName, inverted| Expression::Lookup {
        set: set.as_str().to_owned(),
        key: Register(0),
        inverted,
    };
    let mut parts = of_family(family, Register(0)).to_vec();
    parts.extend([
        source(family, Register(0)),
        lookup(SetName::Masquerade(family), false),
        destination(family, Register(0)),
        lookup(SetName::Pools(family), true),
    ]);
    parts.extend(what);
    rule(MASQUERADE, "pods leave all pools with the node's address", parts)
}

pub(super) fn rule(chain: &str, comment: &'static str, expressions: Vec<Expression>) -> Rule {
    Rule { chain: chain.to_owned(), expressions, comment }
}

pub(super) fn equal(register: Register, value: &[u8]) -> Expression {
    Expression::Compare { register, operator: Comparison::Equal, value: value.to_vec() }
}

/// Packets of a family.
pub(super) fn of_family(family: Family, register: Register) -> [Expression; 2] {
    [Expression::Meta { key: MetaKey::NetworkProtocol, into: register }, equal(register, &[nfproto(family)])]
}

/// The source address (RFC 791 section 3.1, RFC 8200 section 3).
pub(super) fn source(family: Family, into: Register) -> Expression {
    let (offset, len) = match family {
        Family::Ipv4 => (12, 4),
        Family::Ipv6 => (8, 16),
    };
    Expression::Payload { base: PayloadBase::Network, offset, len, into }
}

pub(super) fn destination(family: Family, into: Register) -> Expression {
    let (offset, len) = match family {
        Family::Ipv4 => (16, 4),
        Family::Ipv6 => (24, 16),
    };
    Expression::Payload { base: PayloadBase::Network, offset, len, into }
}
