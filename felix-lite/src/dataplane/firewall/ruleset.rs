//! The table `inet cairn`: its sets, chains and rules.
//!
//! Hooks in the order in which a packet of a pod meets them; the gaps are for what comes later:
//!
//! | chain | hook, priority | what |
//! |---|---|---|
//! | `source-check` | prerouting, -310 | pods send from their own addresses only (`from-pods`); packets of pods of other nodes come through WireGuard only, where nothing else is to be taken (`cleartext`); before conntrack, so that a forged packet leaves no entry |
//! | `encapsulated` | input, -10 | packets with packets of pods in them come from nodes of the cluster only; decapsulated ones go on as if the tunnel were a wire |
//! | (services) | prerouting, -100 | |
//! | `forged` | forward, -10 | pods send no encapsulated packets to nodes, also by way of a service: its address is translated by then |
//! | (policy) | forward, 0 | |
//! | `masquerade` | postrouting, 100 | pods of pools with `natOutgoing` leave all pools with the node's address |
//!
//! Every packet between pods passes these chains on both nodes, so what most packets need not be asked is in chains of its own, behind one question, and what nothing needs
//! is not there: see [`Needs`]. Without masquerading nothing has the kernel track connections.
//!
//! IPv6 cannot live from global addresses alone: an unassigned source (`::`) does duplicate address detection, a
//! link-local one resolves neighbours. From these a pod may send neighbour discovery and multicast listener reports
//! (RFC 4861, RFC 3810) and nothing else; link-local packets are not forwarded, so they reach no further than the node.

use std::collections::BTreeSet;

use cairn_kernel::nftables::{
    Chain, ChainType, Comparison, DataType, Expression, Hook, MetaKey, PayloadBase, Register, Rule, Set,
    Transaction, Verdict,
};
use cairn_net::Family;
use felix_api::WORKLOAD;
use felix_core::TunnelKind;

/// Types of ICMPv6 that a pod may send from a link-local or unassigned source: router solicitation, neighbour
/// solicitation and advertisement, multicast listener report version 2.
const OWN_LINK_TYPES: [u8; 4] = [133, 135, 136, 143];
/// Next header of ICMPv6.
const ICMPV6: u8 = 58;

const SOURCE_CHECK: &str = "source-check";
const FROM_PODS: &str = "from-pods";
const OWN_LINK: &str = "own-link";
const MASQUERADE: &str = "masquerade";
const ENCAPSULATED: &str = "encapsulated";
const CLEARTEXT: &str = "cleartext";
/// The interface of what this node sends to itself.
const LOOPBACK: &[u8] = b"lo\0";
const FORGED: &str = "forged";
/// Protocol number of UDP.
const UDP: u8 = 17;

/// Which set an element is in, for a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SetName {
    Sources(Family),
    Pools(Family),
    Masquerade(Family),
    Encrypted(Family),
    Nodes(Family),
    TunnelPorts,
    TunnelProtocols,
}

impl SetName {
    pub(super) const ALL: [Self; 12] = [
        Self::Sources(Family::Ipv4),
        Self::Sources(Family::Ipv6),
        Self::Pools(Family::Ipv4),
        Self::Pools(Family::Ipv6),
        Self::Masquerade(Family::Ipv4),
        Self::Masquerade(Family::Ipv6),
        Self::Encrypted(Family::Ipv4),
        Self::Encrypted(Family::Ipv6),
        Self::Nodes(Family::Ipv4),
        Self::Nodes(Family::Ipv6),
        Self::TunnelPorts,
        Self::TunnelProtocols,
    ];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sources(Family::Ipv4) => "sources-v4",
            Self::Sources(Family::Ipv6) => "sources-v6",
            Self::Pools(Family::Ipv4) => "pools-v4",
            Self::Pools(Family::Ipv6) => "pools-v6",
            Self::Masquerade(Family::Ipv4) => "masquerade-v4",
            Self::Masquerade(Family::Ipv6) => "masquerade-v6",
            Self::Encrypted(Family::Ipv4) => "encrypted-v4",
            Self::Encrypted(Family::Ipv6) => "encrypted-v6",
            Self::Nodes(Family::Ipv4) => "nodes-v4",
            Self::Nodes(Family::Ipv6) => "nodes-v6",
            Self::TunnelPorts => "tunnel-ports",
            Self::TunnelProtocols => "tunnel-protocols",
        }
    }

    /// Does it hold prefixes, which may not overlap?
    pub(super) const fn holds_prefixes(self) -> bool {
        matches!(self, Self::Pools(_) | Self::Masquerade(_) | Self::Encrypted(_))
    }

    fn set(self) -> Set {
        match self {
            Self::Sources(family) => {
                Set::hash(self.as_str(), &[DataType::Interface, DataType::Address(family)])
            }
            Self::Pools(family) | Self::Masquerade(family) | Self::Encrypted(family) => {
                Set::prefixes(self.as_str(), family)
            }
            Self::Nodes(family) => Set::hash(self.as_str(), &[DataType::Address(family)]),
            Self::TunnelPorts => Set::hash(self.as_str(), &[DataType::Port]),
            Self::TunnelProtocols => Set::hash(self.as_str(), &[DataType::Protocol]),
        }
    }
}

/// What of the rules is of use. A chain at a hook costs every packet something, also while there is nothing in its sets, and a rule that
/// translates has the kernel track all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    /// Packets are encapsulated on this node.
    pub(super) encapsulation: bool,
    /// Packets of some pools are taken through WireGuard only.
    pub(super) encryption: bool,
    /// Some pods leave the pools with another source.
    pub(super) translation: bool,
}

impl Needs {
    /// Those of elements, and of what is there: connections that are translated go on when no new ones are.
    pub(super) fn of(holds: impl Fn(SetName) -> bool, chains: &BTreeSet<String>) -> Self {
        let of_any_family =
            |set: fn(Family) -> SetName| Family::ALL.into_iter().any(|family| holds(set(family)));
        Self {
            encapsulation: holds(SetName::TunnelPorts) || holds(SetName::TunnelProtocols),
            encryption: of_any_family(SetName::Encrypted),
            translation: of_any_family(SetName::Masquerade) || chains.contains(MASQUERADE),
        }
    }
}

/// Puts everything but the elements in place, whatever is there already; the rules are written anew. Of the `chains` that are there those
/// go that are of no use.
pub(super) fn write(transaction: &mut Transaction, needs: Needs, chains: &BTreeSet<String>) {
    transaction.create_table();
    for name in SetName::ALL {
        transaction.create_set(&name.set());
    }
    let (wanted, needless) = all_chains(needs);
    for chain in &wanted {
        transaction.create_chain(chain);
    }
    for chain in &wanted {
        transaction.flush_chain(&chain.name);
    }
    for chain in needless.iter().filter(|chain| chains.contains(&chain.name)) {
        transaction.flush_chain(&chain.name).delete_chain(&chain.name);
    }
    for rule in rules(needs) {
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
        (needs.encapsulation, Chain::at(ENCAPSULATED, ChainType::Filter, Hook::Input, -10)),
        (needs.encapsulation, Chain::at(FORGED, ChainType::Filter, Hook::Forward, -10)),
        (needs.translation, Chain::at(MASQUERADE, ChainType::Nat, Hook::Postrouting, 100)),
    ];
    let (wanted, needless): (Vec<_>, Vec<_>) = all.into_iter().partition(|(wanted, _)| *wanted);
    let chains = |list: Vec<(bool, Chain)>| list.into_iter().map(|(_, chain)| chain).collect();
    (chains(wanted), chains(needless))
}

/// The rules in the order of their chains.
fn rules(needs: Needs) -> Vec<Rule> {
    let mut rules = Vec::new();
    for kind in OWN_LINK_TYPES {
        rules.push(own_link_rule(kind, "link-local", 0xfe80, 0xffc0));
        rules.push(own_link_rule(kind, "unassigned", 0, 0xffff));
    }
    let drop = vec![Expression::Counter, Expression::Verdict(Verdict::Drop)];
    rules.push(rule(OWN_LINK, "nothing else from a source that is not the pod's", drop));
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
    if needs.encapsulation {
        rules.extend(Family::ALL.into_iter().flat_map(encapsulated_rules));
        rules.extend(Family::ALL.into_iter().flat_map(forged_rules));
    }
    if needs.translation {
        rules.extend(Family::ALL.map(masquerade_rule));
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

/// Packets that tunnels take: by port, by protocol.
fn encapsulated() -> [Vec<Expression>; 2] {
    let lookup =
        |set: SetName| Expression::Lookup { set: set.as_str().to_owned(), key: Register(0), inverted: false };
    let protocol = Expression::Meta { key: MetaKey::TransportProtocol, into: Register(0) };
    let port = Expression::Payload { base: PayloadBase::Transport, offset: 2, len: 2, into: Register(0) };
    [
        vec![protocol.clone(), equal(Register(0), &[UDP]), port, lookup(SetName::TunnelPorts)],
        vec![protocol, lookup(SetName::TunnelProtocols)],
    ]
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
/// is no node's: [`encapsulated_rules`] see to that.
fn forged_rules(family: Family) -> impl Iterator<Item = Rule> {
    encapsulated().into_iter().map(move |what| {
        let mut parts = vec![
            Expression::Meta { key: MetaKey::InputInterface, into: Register(0) },
            equal(Register(0), WORKLOAD.as_bytes()),
        ];
        parts.extend(of_family(family, Register(0)));
        parts.extend(what);
        parts.extend([
            destination(family, Register(0)),
            nodes(family, false),
            Expression::Counter,
            Expression::Verdict(Verdict::Drop),
        ]);
        rule(FORGED, "pods send no encapsulated packets to nodes", parts)
    })
}

/// Encapsulated packets from elsewhere than the cluster's nodes, or to another address of this node than the one that its tunnels have:
/// a pod may send there, and be masqueraded as its node, for [`forged_rules`] know only the addresses of tunnels.
fn encapsulated_rules(family: Family) -> impl Iterator<Item = Rule> {
    encapsulated().into_iter().flat_map(move |what| {
        let ends = [
            (source(family, Register(0)), "encapsulated packets come from nodes only"),
            (destination(family, Register(0)), "encapsulated packets go to nodes' own addresses only"),
        ];
        ends.map(|(end, comment)| {
            let mut parts = of_family(family, Register(0)).to_vec();
            parts.extend(what.iter().cloned());
            parts.extend([end, nodes(family, true), Expression::Counter, Expression::Verdict(Verdict::Drop)]);
            rule(ENCAPSULATED, comment, parts)
        })
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

/// From a masqueraded pool to an address of no pool.
fn masquerade_rule(family: Family) -> Rule {
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
        Expression::Masquerade { fully_random: true },
    ]);
    rule(MASQUERADE, "pods leave all pools with the node's address", parts)
}

fn rule(chain: &str, comment: &'static str, expressions: Vec<Expression>) -> Rule {
    Rule { chain: chain.to_owned(), expressions, comment }
}

fn equal(register: Register, value: &[u8]) -> Expression {
    Expression::Compare { register, operator: Comparison::Equal, value: value.to_vec() }
}

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`.
fn of_family(family: Family, register: Register) -> [Expression; 2] {
    let number = match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    };
    [Expression::Meta { key: MetaKey::NetworkProtocol, into: register }, equal(register, &[number])]
}

/// The source address (RFC 791 section 3.1, RFC 8200 section 3).
fn source(family: Family, into: Register) -> Expression {
    let (offset, len) = match family {
        Family::Ipv4 => (12, 4),
        Family::Ipv6 => (8, 16),
    };
    Expression::Payload { base: PayloadBase::Network, offset, len, into }
}

fn destination(family: Family, into: Register) -> Expression {
    let (offset, len) = match family {
        Family::Ipv4 => (16, 4),
        Family::Ipv6 => (24, 16),
    };
    Expression::Payload { base: PayloadBase::Network, offset, len, into }
}
