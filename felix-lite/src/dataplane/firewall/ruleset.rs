//! The table `inet cairn`: its sets, chains and rules.
//!
//! Hooks in the order in which a packet of a pod meets them; the gaps are for what comes later:
//!
//! | chain | hook, priority | what |
//! |---|---|---|
//! | `arrivals` | prerouting, -310 | packets of pods of other nodes come through WireGuard only, where nothing else is to be taken (`cleartext`), and pods do not send to the node's loopback where ports lead to them; before conntrack, so that such a packet leaves no entry; only where there is either |
//! | `encapsulated` | input, -10 | packets with packets of pods in them come from nodes of the cluster only (`tunnel-ends`); decapsulated ones go on as if the tunnel were a wire |
//! | `egress-limit` | prerouting, -305 | what pods send beyond their rate; before conntrack, too; only where there are such |
//! | (services) | prerouting, -100 | |
//! | `host-ports`, `host-ports-own` | prerouting and output, -95 | connections to ports of the node that lead to pods; before anything is filtered, so that policies see pods' own addresses and ports; only where there are such |
//! | `egress` | prerouting, -90 | packets of pods of egress gateways get a mark; only where there are such |
//! | (policy) | forward, 0 | |
//! | `to-tunnels` | postrouting, -199 | pods send no encapsulated packets to nodes (`to-nodes`), also by way of a service: `super::forged`; only where somebody translates addresses |
//! | `host-ports-return` | postrouting, 95 | of such connections those whose answers would not come back here get an address of the node |
//! | `masquerades` | postrouting, 100 | pods of pools with `natOutgoing` leave all pools with an address of the node |
//! | `egress-tunnels` | postrouting, 110 | packets of egress gateways enter a tunnel without their mark, or the kernel would lead what they travel in back into it; only where there are such |
//! | `ingress-limit` | postrouting, 300 | what pods are sent beyond their rate; last, so that it is what really would reach them; only where there are such |
//!
//! What pods may have as their source is asked before all of these, at their interfaces: `super::source_check`.
//!
//! Every packet between pods passes these chains on both nodes, so what most packets need not be asked is in chains of its own, behind one question, what is
//! cheap is asked first (the kernel copies the name of an interface to ask for it), and what nothing needs is not there: see [`Needs`]. Without translation, of
//! sources or of ports, nothing has the kernel track connections.

use std::borrow::Cow;
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
use super::forged;
use super::host_ports;
use super::limits;
use super::sets::SetName;

/// Where packets come in, of whatever needs to be asked of all of them.
pub(super) const ARRIVALS: &str = "arrivals";
/// Not `masquerade`: that is a word of nft's language, so that no command of it could name the chain.
pub(super) const MASQUERADE: &str = "masquerades";
const ENCAPSULATED: &str = "encapsulated";
const CLEARTEXT: &str = "cleartext";
/// The interface of what this node sends to itself.
const LOOPBACK: &[u8] = b"lo\0";
const TUNNEL_ENDS: &str = "tunnel-ends";
/// Protocol number of UDP.
pub(super) const UDP: u8 = 17;
/// TCP, UDP, SCTP, DCCP.
const WITH_PORTS: [u8; 4] = [6, UDP, 132, 33];

/// What of the rules is of use. A chain at a hook costs every packet something, also while there is nothing in its sets, and a rule that
/// translates has the kernel track all connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Needs {
    /// Packets are encapsulated on this node: in UDP, in IP.
    encapsulation: [bool; 2],
    /// This node's tunnels end at these addresses, of IPv4 and of IPv6.
    ends: [Option<IpAddr>; 2],
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
    /// Somebody else translates addresses.
    foreign: bool,
    /// What leaves the pools gets these sources; `None` while that is not known. What an earlier run wrote is in force then.
    nat: Option<Nat>,
}

impl Needs {
    /// Those of the sets that hold something, and of the chains that are there. Before all is known, what is there `stays`. Connections that are translated go on when no new ones are.
    pub(super) fn of(
        nat: Option<Nat>,
        ends: [Option<IpAddr>; 2],
        foreign: bool,
        holds: impl Fn(SetName) -> bool,
        chains: &BTreeSet<String>,
        stays: bool,
    ) -> Self {
        let any = |set: fn(Family) -> SetName| Family::ALL.into_iter().any(|family| holds(set(family)));
        let egress = if stays { chains.contains(EGRESS) } else { any(SetName::EgressMembers) };
        Self {
            encapsulation: [holds(SetName::TunnelPorts), holds(SetName::TunnelProtocols)],
            ends,
            encryption: any(SetName::Encrypted),
            translation: any(SetName::Masquerade) || egress || chains.contains(MASQUERADE),
            egress,
            host_ports: any(SetName::HostPorts) || any(SetName::HostPortsOfAddress),
            limits: limits::DIRECTIONS.map(|direction| holds(SetName::Limits(direction))),
            foreign,
            nat,
        }
    }

    /// Is the set to be there? Those with limits need more of the kernel than the others, and a pod that comes or goes costs a transaction less where
    /// nobody asks for sources here.
    pub(super) fn has(self, set: SetName) -> bool {
        match set {
            SetName::Sources(_) => self.host_ports,
            SetName::Limits(of) => self.directions().any(|(wanted, direction)| wanted && direction == of),
            _ => true,
        }
    }

    fn arrivals(self) -> bool {
        self.encryption || self.host_ports
    }

    fn encapsulates(self) -> bool {
        self.encapsulation.contains(&true)
    }

    /// What a pod sends could be taken for a node's.
    pub(super) fn may_be_forged(self) -> bool {
        self.encapsulates() && (self.translation || self.host_ports || self.foreign)
    }

    /// Is it for others to say whether [`Self::may_be_forged`]?
    pub(super) fn asks_others(self) -> bool {
        self.encapsulates() && !(self.translation || self.host_ports)
    }

    /// Those directions in which some pods have a limit, and those in which none has.
    fn directions(self) -> impl Iterator<Item = (bool, Direction)> {
        self.limits.into_iter().zip(limits::DIRECTIONS)
    }
}

/// Puts everything but the elements in place, whatever is there already; the rules are written anew. Of the `chains` that are there those
/// go that are of no use, whoever made them. Rules that translate stay as they are while nobody knows what they should be: there is nothing that they apply to, or
/// they are of an earlier run.
pub(super) fn write(transaction: &mut Transaction, needs: Needs, chains: &BTreeSet<String>) {
    transaction.create_table();
    for name in SetName::ALL.into_iter().filter(|name| needs.has(*name)) {
        transaction.create_set(&name.set());
    }
    let wanted = wanted_chains(needs);
    for chain in &wanted {
        transaction.create_chain(chain);
    }
    for chain in wanted.iter().filter(|chain| chain.name != MASQUERADE || needs.nat.is_some()) {
        transaction.flush_chain(&chain.name);
    }
    // First none leads to another any more.
    let needless = || chains.iter().filter(|name| wanted.iter().all(|chain| chain.name != **name));
    for name in needless() {
        transaction.flush_chain(name);
    }
    for name in needless() {
        transaction.delete_chain(name);
    }
    for rule in rules(needs).into_iter().chain(translating_rules(needs)) {
        transaction.append_rule(&rule);
    }
}

/// The names of the chains that there should be.
pub(super) fn chains(needs: Needs) -> BTreeSet<String> {
    wanted_chains(needs).into_iter().map(|chain| chain.name).collect()
}

/// The names of the sets that there should be.
pub(super) fn sets(needs: Needs) -> impl Iterator<Item = String> {
    SetName::ALL.into_iter().filter(move |name| needs.has(*name)).map(|name| name.as_str().to_owned())
}

/// The chains that are of use.
fn wanted_chains(needs: Needs) -> Vec<Chain> {
    let all = [
        (needs.arrivals(), Chain::at(ARRIVALS, ChainType::Filter, Hook::Prerouting, -310)),
        (needs.encryption, Chain::regular(CLEARTEXT)),
        (needs.encapsulates(), Chain::at(ENCAPSULATED, ChainType::Filter, Hook::Input, -10)),
        (needs.encapsulates(), Chain::regular(TUNNEL_ENDS)),
        (needs.egress, Chain::at(EGRESS, ChainType::Filter, Hook::Prerouting, -90)),
        (needs.egress, Chain::regular(EGRESS_MARKED)),
        (needs.egress, Chain::at(EGRESS_TUNNELS, ChainType::Filter, Hook::Postrouting, 110)),
        (needs.translation, Chain::at(MASQUERADE, ChainType::Nat, Hook::Postrouting, 100)),
    ];
    let ports = host_ports::chains().map(|chain| (needs.host_ports, chain));
    let limits = needs.directions().map(|(wanted, direction)| (wanted, limits::chain(direction)));
    let forged = forged::chains().map(|chain| (needs.may_be_forged(), chain));
    let all = all.into_iter().chain(forged).chain(ports).chain(limits);
    all.filter(|(wanted, _)| *wanted).map(|(_, chain)| chain).collect()
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
    if needs.host_ports {
        rules.push(host_ports::loopback_rule());
        rules.extend(host_ports::rules());
    }
    let limited = needs.directions().filter(|(wanted, _)| *wanted);
    rules.extend(limited.map(|(_, direction)| limits::rule_of(direction)));
    if needs.encryption {
        rules.push(pods_rule());
        rules.extend(Family::ALL.map(cleartext_rule));
        for interface in [TunnelKind::Wireguard.device().as_bytes(), LOOPBACK] {
            rules.push(encrypted_interface_rule(interface));
        }
        let drop = vec![Expression::Counter, Expression::Verdict(Verdict::Drop)];
        rules.push(rule(CLEARTEXT, "pods of other nodes come through WireGuard only", drop));
    }
    if needs.encapsulates() {
        rules.extend(needs.ends.into_iter().flatten().map(tunnel_end_rule));
        rules.extend(Family::ALL.into_iter().flat_map(strange_ends_rules));
        rules.extend(encapsulated(needs).map(encapsulated_rule));
    }
    if needs.may_be_forged() {
        rules.extend(forged::rules(encapsulated(needs)));
    }
    if needs.egress {
        rules.extend(Family::ALL.into_iter().flat_map(egress_rules));
        rules.push(egress_tunnel_rule());
    }
    rules
}

/// What comes from a pod was asked for its source where it came in.
fn pods_rule() -> Rule {
    let parts = vec![
        Expression::Meta { key: MetaKey::InputInterface, into: Register(0) },
        equal(Register(0), WORKLOAD.as_bytes()),
        Expression::Verdict(Verdict::Accept),
    ];
    rule(ARRIVALS, "from pods", parts)
}

/// Packets that this node's tunnels take: by port, by protocol.
fn encapsulated(needs: Needs) -> impl Iterator<Item = Vec<Expression>> {
    let protocol = Expression::Meta { key: MetaKey::TransportProtocol, into: Register(0) };
    let port = Expression::Payload { base: PayloadBase::Transport, offset: 2, len: 2, into: Register(0) };
    let all = [
        vec![protocol.clone(), equal(Register(0), &[UDP]), port, lookup(SetName::TunnelPorts, false)],
        vec![protocol, lookup(SetName::TunnelProtocols, false)],
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
    parts.extend([source(family, Register(0)), lookup(SetName::Encrypted(family), false)]);
    parts.push(Expression::Verdict(Verdict::Goto(CLEARTEXT.to_owned())));
    rule(ARRIVALS, "from a pool that is encrypted", parts)
}

fn encapsulated_rule(mut what: Vec<Expression>) -> Rule {
    what.push(Expression::Verdict(Verdict::Goto(TUNNEL_ENDS.to_owned())));
    rule(ENCAPSULATED, "for a tunnel", what)
}

/// What is as it should be: nearly all, so it is asked first, and of an address itself rather than of a set.
fn tunnel_end_rule(own: IpAddr) -> Rule {
    let family = Family::of(own);
    let mut parts = of_family(family, Register(0)).to_vec();
    parts.extend([destination(family, Register(0)), equal(Register(0), &octets(own))]);
    parts.extend([source(family, Register(0)), lookup(SetName::Nodes(family), false)]);
    parts.push(Expression::Verdict(Verdict::Accept));
    rule(TUNNEL_ENDS, "encapsulated packets from nodes", parts)
}

/// Encapsulated packets from elsewhere than the cluster's nodes, or to another address of this node than the one that its tunnels have:
/// a pod may send there, and be masqueraded as its node, for [`forged`] knows only the addresses of tunnels.
fn strange_ends_rules(family: Family) -> [Rule; 2] {
    let ends = [
        (source(family, Register(0)), "encapsulated packets come from nodes only"),
        (destination(family, Register(0)), "encapsulated packets go to nodes' own addresses only"),
    ];
    ends.map(|(end, comment)| {
        let mut parts = of_family(family, Register(0)).to_vec();
        parts.extend([
            end,
            lookup(SetName::Nodes(family), true),
            Expression::Counter,
            Expression::Verdict(Verdict::Drop),
        ]);
        rule(TUNNEL_ENDS, comment, parts)
    })
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
    let Some(address) = address else { return vec![Expression::Masquerade { ports }] };
    let load = Expression::Immediate { value: octets(address), into: Register(0) };
    vec![load, Expression::SourceNat { family, address: Register(0), ports }]
}

/// What becomes of packets from a masqueraded pool to an address of no pool.
fn leaving_rule(family: Family, what: Vec<Expression>) -> Rule {
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

pub(super) fn rule(chain: &str, comment: impl Into<Cow<'static, str>>, expressions: Vec<Expression>) -> Rule {
    Rule { chain: chain.to_owned(), expressions, comment: comment.into() }
}

pub(super) fn equal(register: Register, value: &[u8]) -> Expression {
    Expression::Compare { register, operator: Comparison::Equal, value: value.to_vec() }
}

/// What is in the first registers is in the set; or, inverted, is not.
pub(super) fn lookup(set: SetName, inverted: bool) -> Expression {
    Expression::Lookup { set: set.as_str().to_owned(), key: Register(0), inverted }
}

/// Packets of a family.
pub(super) fn of_family(family: Family, register: Register) -> [Expression; 2] {
    [Expression::Meta { key: MetaKey::NetworkProtocol, into: register }, equal(register, &[nfproto(family)])]
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
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
