//! The rules for ports of the node that lead to pods (docs/adr/0044). Which port leads where is in maps.
//!
//! A client outside keeps its address. An address of the node is put in its place only where the answer would not come back through here otherwise: where a
//! pod speaks to itself, and where the node spoke from 127.0.0.1. The kernel does not let `::1` out of the node, whatever becomes of it later.

use std::net::Ipv6Addr;

use cairn_kernel::nftables::{
    Chain, ChainType, Expression, FibResult, FibSelector, Hook, MetaKey, PayloadBase, Ports, Register, Rule,
    Verdict,
};
use cairn_net::Family;
use felix_api::WORKLOAD;

use super::ruleset::{ARRIVALS, destination, equal, of_family, rule, source};
use super::sets::SetName;

const COMING: &str = "host-ports";
const OWN: &str = "host-ports-own";
const LEAD: &str = "host-ports-lead";
const RETURN: &str = "host-ports-return";
/// Behind services: an address of one of them is translated by then.
const DESTINATION: i32 = -95;
/// Before the sources of what leaves the pools.
const SOURCE: i32 = 95;
/// `RTN_LOCAL`: an address of this node.
const LOCAL: u32 = 2;
/// The first octet of 127.0.0.0/8.
const LOOPBACK: u8 = 127;

pub(super) fn chains() -> [Chain; 4] {
    [
        Chain::at(COMING, ChainType::Nat, Hook::Prerouting, DESTINATION),
        Chain::at(OWN, ChainType::Nat, Hook::Output, DESTINATION),
        Chain::regular(LEAD),
        Chain::at(RETURN, ChainType::Nat, Hook::Postrouting, SOURCE),
    ]
}

pub(super) fn rules() -> Vec<Rule> {
    let mut rules = vec![to_node_rule(COMING), own_loopback_rule(), to_node_rule(OWN)];
    // The more exact ones first.
    rules.extend(Family::ALL.map(|family| lead_rule(family, true)));
    rules.extend(Family::ALL.map(|family| lead_rule(family, false)));
    rules.extend(Family::ALL.map(to_itself_rule));
    rules.push(from_loopback_rule());
    rules
}

/// The answer to what the node sent from 127.0.0.1 is let back to there on the interfaces of pods that have ports (`route_localnet`). Nothing else
/// that pods send to such an address is.
pub(super) fn loopback_rule() -> Rule {
    let mut parts = of_family(Family::Ipv4, Register(0)).to_vec();
    parts.extend([first_octet(16), equal(Register(0), &[LOOPBACK])]);
    parts.push(Expression::Meta { key: MetaKey::InputInterface, into: Register(0) });
    parts.extend([equal(Register(0), WORKLOAD.as_bytes()), Expression::Counter]);
    parts.push(Expression::Verdict(Verdict::Drop));
    rule(ARRIVALS, "pods do not send to the node's loopback", parts)
}

/// The first octet of the IPv4 address at this offset.
fn first_octet(offset: u32) -> Expression {
    Expression::Payload { base: PayloadBase::Network, offset, len: 1, into: Register(0) }
}

fn to_node_rule(chain: &str) -> Rule {
    let parts = vec![
        Expression::Fib { result: FibResult::AddressType, of: FibSelector::Destination, into: Register(0) },
        equal(Register(0), &LOCAL.to_ne_bytes()),
        Expression::Verdict(Verdict::Goto(LEAD.to_owned())),
    ];
    rule(chain, "connections to an address of the node", parts)
}

/// What is sent there could not leave, and whoever listens there himself is reached.
fn own_loopback_rule() -> Rule {
    let mut parts = of_family(Family::Ipv6, Register(0)).to_vec();
    parts.extend([
        destination(Family::Ipv6, Register(0)),
        equal(Register(0), &Ipv6Addr::LOCALHOST.octets()),
        Expression::Verdict(Verdict::Accept),
    ]);
    rule(OWN, "the node's own ::1 stays what it is", parts)
}

/// By address, protocol and port; or by the latter two alone.
fn lead_rule(family: Family, by_address: bool) -> Rule {
    // An address fills one register, or four.
    let words: u8 = if family == Family::Ipv4 { 1 } else { 4 };
    let protocol = if by_address { words } else { 0 };
    let mut parts = of_family(family, Register(0)).to_vec();
    parts.extend(by_address.then(|| destination(family, Register(0))));
    let set = if by_address { SetName::HostPortsOfAddress(family) } else { SetName::HostPorts(family) };
    let port = Register(protocol + 1);
    parts.extend([
        Expression::Meta { key: MetaKey::TransportProtocol, into: Register(protocol) },
        Expression::Payload { base: PayloadBase::Transport, offset: 2, len: 2, into: port },
        Expression::Map { map: set.as_str().to_owned(), key: Register(0), into: Register(0) },
        Expression::DestinationNat { family, address: Register(0), port: Register(words) },
    ]);
    rule(LEAD, "a port of the node leads to a pod", parts)
}

/// What leaves by an interface with that interface's own source: a pod would take it for forged.
fn to_itself_rule(family: Family) -> Rule {
    let mut parts = of_family(family, Register(8)).to_vec();
    let sources = SetName::Sources(family).as_str().to_owned();
    parts.extend([
        Expression::Meta { key: MetaKey::OutputInterface, into: Register(0) },
        source(family, Register(4)),
        Expression::Lookup { set: sources, key: Register(0), inverted: false },
        Expression::Masquerade { ports: Ports::default() },
    ]);
    rule(RETURN, "a pod that speaks to itself by a port of the node", parts)
}

fn from_loopback_rule() -> Rule {
    let mut parts = of_family(Family::Ipv4, Register(0)).to_vec();
    parts.extend([
        Expression::Meta { key: MetaKey::OutputInterface, into: Register(0) },
        equal(Register(0), WORKLOAD.as_bytes()),
        first_octet(12),
        equal(Register(0), &[LOOPBACK]),
        Expression::Masquerade { ports: Ports::default() },
    ]);
    rule(RETURN, "the node itself, from its loopback", parts)
}
