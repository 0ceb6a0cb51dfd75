//! The rules for packets of egress gateways (docs/adr/0034).

use cairn_kernel::nftables::{Comparison, ConntrackKey, Expression, MetaKey, Ports, Register, Rule, Verdict};
use cairn_net::Family;
use felix_core::EGRESS_MARKS;

use super::ruleset::{MASQUERADE, destination, equal, of_family, rule, source};
use super::sets::SetName;

pub(super) const EGRESS: &str = "egress";
pub(super) const EGRESS_MARKED: &str = "egress-marked";
pub(super) const EGRESS_TUNNELS: &str = "egress-tunnels";
/// How the names of all of our tunnels' devices begin.
const TUNNELS: &[u8] = b"cairn-";

/// What a pod of a gateway begins with a destination of the gateway gets its mark; behind services, whose addresses are translated by then.
///
/// The mark is set first and taken away again from what is not for the gateway: a value that comes straight out of a map cannot be part of a key, for nft
/// up to 1.0.6 at least ends by an assertion when it lists such a rule.
pub(super) fn egress_rules(family: Family) -> [Rule; 4] {
    let (own, mark, to) = (Register(0), Register(8), Register(9));
    let lookup =
        |set: SetName, key, inverted| Expression::Lookup { set: set.as_str().to_owned(), key, inverted };
    let set_mark = Expression::SetMeta { key: MetaKey::Mark, from: mark };
    let no_mark = [Expression::Immediate { value: vec![0; 4], into: mark }, set_mark.clone()];
    let mut member = of_family(family, own).to_vec();
    member.extend([
        // The answers of a pod that others began to speak to go back as they came: only the first way of a connection is led elsewhere.
        Expression::Conntrack { key: ConntrackKey::Direction, into: own },
        equal(own, &[0]),
        destination(family, to),
        lookup(SetName::EgressExempt(family), to, true),
        source(family, own),
        Expression::Map { map: SetName::EgressMembers(family).as_str().to_owned(), key: own, into: mark },
        set_mark,
        Expression::Verdict(Verdict::Goto(EGRESS_MARKED.to_owned())),
    ]);
    let marked = |set: SetName| {
        let mut parts = of_family(family, own).to_vec();
        let key = Expression::Meta { key: MetaKey::Mark, into: mark };
        parts.extend([key, destination(family, to), lookup(set, mark, false)]);
        parts
    };
    let accept = Expression::Verdict(Verdict::Accept);
    let mut excluded = marked(SetName::EgressExcluded(family));
    excluded.extend(no_mark.clone());
    excluded.push(accept.clone());
    let mut wanted = marked(SetName::EgressDestinations(family));
    wanted.push(accept);
    let mut others = of_family(family, own).to_vec();
    others.extend(no_mark);
    [
        rule(EGRESS, "what pods of egress gateways send outside", member),
        rule(EGRESS_MARKED, "not what a gateway excludes", excluded),
        rule(EGRESS_MARKED, "what a gateway is for", wanted),
        rule(EGRESS_MARKED, "not what it is not for", others),
    ]
}

/// A VXLAN device looks for the way of the packet that it makes with the mark of the one inside (`vxlan_xmit_one`): that way would be the device itself.
pub(super) fn egress_tunnel_rule() -> Rule {
    let mark = Register(0);
    let parts = vec![
        Expression::Meta { key: MetaKey::OutputInterface, into: mark },
        equal(mark, TUNNELS),
        Expression::Meta { key: MetaKey::Mark, into: mark },
        Expression::Bitwise { register: mark, mask: (!EGRESS_MARKS).to_ne_bytes().to_vec(), xor: vec![0; 4] },
        Expression::SetMeta { key: MetaKey::Mark, from: mark },
    ];
    rule(EGRESS_TUNNELS, "the way of a tunnel's own packets does not depend on what is inside", parts)
}

/// Marked packets leave with the gateway's address where this node has it, and else with their own, to the node that has.
pub(super) fn egress_source_rules(family: Family) -> [Rule; 2] {
    let mark = [
        Expression::Meta { key: MetaKey::Mark, into: Register(0) },
        Expression::Bitwise {
            register: Register(0),
            mask: EGRESS_MARKS.to_ne_bytes().to_vec(),
            xor: vec![0; 4],
        },
    ];
    let map =
        |set: SetName| Expression::Map { map: set.as_str().to_owned(), key: Register(0), into: Register(4) };
    let mut here = of_family(family, Register(0)).to_vec();
    here.extend(mark.clone());
    // The port stays as it is where it is free: so a connection may go on when another node takes the address.
    let ports = Ports { range: None, fully_random: false };
    here.extend([
        map(SetName::EgressAddresses(family)),
        Expression::SourceNat { family, address: Register(4), ports },
    ]);
    let mut away = of_family(family, Register(0)).to_vec();
    away.extend([source(family, Register(0)), map(SetName::EgressMembers(family))]);
    away.extend(mark);
    away.push(Expression::Compare {
        register: Register(0),
        operator: Comparison::NotEqual,
        value: vec![0; 4],
    });
    away.push(Expression::Verdict(Verdict::Accept));
    [
        rule(MASQUERADE, "pods of egress gateways leave with their address", here),
        rule(MASQUERADE, "pods of egress gateways of other nodes", away),
    ]
}
