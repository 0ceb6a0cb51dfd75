//! What other tables do to packets.
//!
//! Rules of iptables are seen where they are of its nf_tables back end; of those of the older one only that there are tables is known.

use std::collections::BTreeSet;
use std::fs;

use super::table::header;
use super::uapi::{LIST_ELEMENT, chain, message, rule};
use super::{Table, Verdict};
use crate::netlink::{Attribute, Attributes, Batch, Frame, Socket};
use crate::{Error, Refusal};

/// Length of a `struct nfgenmsg`.
const HEADER: usize = 4;
/// `NF_INET_FORWARD`, `NF_DROP`.
const FORWARD: u32 = 2;
const DROP: u32 = 0;
/// The type of chains that translate, and the name of such a table.
const NAT: &str = "nat";
/// `NFT_META_IIFNAME`, `NFT_META_OIFNAME`.
const INPUT: u32 = 6;
const OUTPUT: u32 = 7;

/// A table by the number of its family, and its name.
type Place = (u8, String);

/// Chains of tables other than `ours` that drop whatever forwarded packet no rule lets pass, in tables without rules that let packets from and to
/// interfaces pass whose names begin so. Each as `ip filter: FORWARD`.
pub fn forward_drops(socket: &mut Socket, ours: Table, interfaces: &str) -> Result<Vec<String>, Error> {
    let chains = socket.dump(ask(message::GET_CHAIN), dropping).map_err(refused)?;
    let chains: BTreeSet<(Place, String)> =
        chains.into_iter().filter(|(place, _)| !is_of(place, ours)).collect();
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

/// Whether there is somebody else's chain of the type `nat`, of nf_tables or of either iptables: addresses of packets may be translated then.
pub fn translates(socket: &mut Socket, ours: Table) -> Result<bool, Error> {
    let chains = socket.dump(ask(message::GET_CHAIN), translating).map_err(refused)?;
    Ok(chains.iter().any(|place| !is_of(place, ours)) || OLDER_TABLES.into_iter().any(has_older_nat))
}

/// The older iptables lists its tables of the thread's namespace here, once it is loaded.
const OLDER_TABLES: [&str; 2] =
    ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];

fn has_older_nat(list: &str) -> bool {
    fs::read_to_string(list).is_ok_and(|tables| tables.lines().any(|table| table == NAT))
}

/// A message for things of all tables.
fn ask(kind: u16) -> impl Fn(&mut Batch, u16) {
    move |batch, flags| {
        batch.message(kind, flags, &header(0, 0));
    }
}

fn refused(refusal: Refusal) -> Error {
    Error::refused("list", "chains of all tables", refusal)
}

fn is_of((family, name): &Place, table: Table) -> bool {
    (*family, name.as_str()) == (table.family.number(), table.name)
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

/// The table of a base chain that translates.
fn translating(frame: Frame<'_>) -> Option<Place> {
    let translates = frame.attributes(HEADER).find(chain::TYPE)?.is_text(NAT);
    translates.then(|| place(frame, chain::TABLE))?
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
