//! What other tables do to forwarded packets.
//!
//! Rules of iptables are seen where they are of its nf_tables back end; those of the older one are not in nf_tables at all.

use std::collections::BTreeSet;

use super::table::header;
use super::uapi::{LIST_ELEMENT, chain, message, rule};
use super::{Table, Verdict};
use crate::Error;
use crate::netlink::{Attribute, Attributes, Batch, Frame, Socket};

/// Length of a `struct nfgenmsg`.
const HEADER: usize = 4;
/// `NF_INET_FORWARD`, `NF_DROP`.
const FORWARD: u32 = 2;
const DROP: u32 = 0;
/// `NFT_META_IIFNAME`, `NFT_META_OIFNAME`.
const INPUT: u32 = 6;
const OUTPUT: u32 = 7;

/// A table by the number of its family, and its name.
type Place = (u8, String);

/// Chains of tables other than `ours` that drop whatever forwarded packet no rule lets pass, in tables without rules that let packets from and to
/// interfaces pass whose names begin so. Each as `ip filter: FORWARD`.
pub fn forward_drops(socket: &mut Socket, ours: Table, interfaces: &str) -> Result<Vec<String>, Error> {
    let refused = |refusal| Error::refused("list", "chains of all tables", refusal);
    let ask = |kind: u16| {
        move |batch: &mut Batch, flags: u16| {
            batch.message(kind, flags, &header(0, 0));
        }
    };
    let chains = socket.dump(ask(message::GET_CHAIN), dropping).map_err(refused)?;
    let chains: BTreeSet<(Place, String)> = chains
        .into_iter()
        .filter(|((family, table), _)| (*family, table.as_str()) != (ours.family.number(), ours.name))
        .collect();
    if chains.is_empty() {
        return Ok(Vec::new());
    }
    let passing = |frame: Frame<'_>| passes(frame, interfaces);
    let passed: BTreeSet<(Place, u32)> =
        socket.dump(ask(message::GET_RULE), passing).map_err(refused)?.into_iter().collect();
    let closed = chains
        .into_iter()
        .filter(|(place, _)| [INPUT, OUTPUT].into_iter().any(|way| !passed.contains(&(place.clone(), way))));
    Ok(closed
        .filter_map(|((family, table), chain)| Some(format!("{} {table}: {chain}", name(family)?)))
        .collect())
}

/// IPv4 and IPv6 alone or together; what bridges forward is no concern of hosts.
const fn name(family: u8) -> Option<&'static str> {
    match family {
        1 => Some("inet"),
        2 => Some("ip"),
        10 => Some("ip6"),
        _ => None,
    }
}

fn place(frame: Frame<'_>, table: u16) -> Option<Place> {
    Some((frame.byte(0)?, frame.attributes(HEADER).find(table).map(Attribute::text)?))
}

/// A base chain at the hook whose policy is to drop.
fn dropping(frame: Frame<'_>) -> Option<(Place, String)> {
    let attributes = frame.attributes(HEADER);
    let hook = attributes.find(chain::HOOK)?.nested().find(chain::HOOK_NUMBER)?.be32()?;
    let policy = attributes.find(chain::POLICY)?.be32()?;
    let name = attributes.find(chain::NAME).map(Attribute::text)?;
    (hook == FORWARD && policy == DROP).then_some(())?;
    Some((place(frame, chain::TABLE)?, name))
}

/// A rule that lets packets pass that came from such interfaces, or that leave by them: which of the two.
fn passes(frame: Frame<'_>, interfaces: &str) -> Option<(Place, u32)> {
    let (mut way, mut named, mut accepts) = (None, false, false);
    for expression in frame.attributes(HEADER).find(rule::EXPRESSIONS)?.nested() {
        if expression.kind != LIST_ELEMENT {
            continue;
        }
        let parts = expression.nested();
        let Some(data) = parts.find(rule::EXPRESSION_DATA).map(Attribute::nested) else { continue };
        match parts.find(rule::EXPRESSION_NAME).map(Attribute::text).as_deref() {
            Some("meta") => way = data.find(2).and_then(Attribute::be32),
            // Equal, and as many bytes as the name begins with: a whole name would be one interface.
            Some("cmp") => {
                let equal = data.find(2).and_then(Attribute::be32) == Some(0);
                named |= equal
                    && matches!(way, Some(INPUT | OUTPUT))
                    && value(data) == Some(interfaces.as_bytes());
            }
            Some("immediate") => {
                let verdict = data.find(2).map(Attribute::nested).and_then(Verdict::decode);
                accepts |= verdict == Some(Verdict::Accept);
            }
            _ => {}
        }
        if named && accepts {
            return Some((place(frame, rule::TABLE)?, way?));
        }
    }
    None
}

/// The bytes that a comparison compares with.
fn value<'a>(compare: Attributes<'a>) -> Option<&'a [u8]> {
    Some(compare.find(3)?.nested().find(super::uapi::data::VALUE)?.value)
}
