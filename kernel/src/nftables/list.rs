//! What is in a table: for adoption after a restart, and for the repair of interference.

use super::rule::read_comment;
use super::uapi::{LIST_ELEMENT, chain, element, message, rule, set, table};
use super::{Element, Table};
use crate::Error;
use crate::error::is_absence;
use crate::netlink::{Attribute, Batch, Frame, Message, Socket};

/// A rule as the kernel lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// Its chain.
    pub chain: String,
    /// The kernel's name for it, never used twice within a table.
    pub handle: u64,
    /// What was said when it was made.
    pub comment: String,
}

/// Length of a `struct nfgenmsg`.
const HEADER: usize = 4;

/// Whether there is such a table.
pub fn exists(socket: &mut Socket, table: Table) -> Result<bool, Error> {
    let ask = |batch: &mut Batch, flags: u16| table.encode_get(flags, batch);
    let named = |frame: Frame<'_>| (text(frame, table::NAME)? == table.name).then_some(());
    match socket.dump(ask, named) {
        Ok(found) => Ok(!found.is_empty()),
        Err(refusal) if is_absence(refusal.errno) => Ok(false),
        Err(refusal) => Err(Error::refused("list", format_args!("table {table}"), refusal)),
    }
}

/// The names of the table's chains; none if there is no such table.
pub fn chains(socket: &mut Socket, table: Table) -> Result<Vec<String>, Error> {
    let request = |out: &mut Message<'_>| {
        out.text(chain::TABLE, table.name);
    };
    list(socket, table, "chains", message::GET_CHAIN, request, |frame| {
        (text(frame, chain::TABLE)? == table.name).then(|| text(frame, chain::NAME))?
    })
}

/// The names of the table's sets; none if there is no such table.
pub fn sets(socket: &mut Socket, table: Table) -> Result<Vec<String>, Error> {
    let request = |out: &mut Message<'_>| {
        out.text(set::TABLE, table.name);
    };
    list(socket, table, "sets", message::GET_SET, request, |frame| {
        (text(frame, set::TABLE)? == table.name).then(|| text(frame, set::NAME))?
    })
}

/// The table's rules, chain by chain in their order; none if there is no such table.
pub fn rules(socket: &mut Socket, table: Table) -> Result<Vec<ListedRule>, Error> {
    list_rules(socket, table, None)
}

/// The rules of one of the table's chains; none if there is no such one.
pub fn rules_of(socket: &mut Socket, table: Table, chain: &str) -> Result<Vec<ListedRule>, Error> {
    list_rules(socket, table, Some(chain))
}

fn list_rules(socket: &mut Socket, table: Table, chain: Option<&str>) -> Result<Vec<ListedRule>, Error> {
    let request = |out: &mut Message<'_>| {
        out.text(rule::TABLE, table.name);
        if let Some(chain) = chain {
            out.text(rule::CHAIN, chain);
        }
    };
    list(socket, table, "rules", message::GET_RULE, request, |frame| {
        let attributes = frame.attributes(HEADER);
        let comment = attributes.find(rule::USERDATA).and_then(|userdata| read_comment(userdata.value));
        (text(frame, rule::TABLE)? == table.name).then_some(())?;
        Some(ListedRule {
            chain: text(frame, rule::CHAIN)?,
            handle: attributes.find(rule::HANDLE).and_then(Attribute::be64)?,
            comment: comment.unwrap_or_default(),
        })
    })
}

/// The elements of a set; none if there is no such set.
pub fn elements(socket: &mut Socket, table: Table, name: &str) -> Result<Vec<Element>, Error> {
    let request = |out: &mut Message<'_>| {
        out.text(element::LIST_TABLE, table.name).text(element::LIST_SET, name);
    };
    let messages = list(socket, table, "elements", message::GET_ELEMENT, request, |frame| {
        let members = frame.attributes(HEADER).find(element::LIST_ELEMENTS)?.nested();
        Some(
            members
                .filter(|member| member.kind == LIST_ELEMENT)
                .filter_map(Element::decode)
                .collect::<Vec<_>>(),
        )
    })?;
    Ok(messages.into_iter().flatten().collect())
}

pub(super) fn list<T>(
    socket: &mut Socket,
    table: Table,
    what: &'static str,
    kind: u16,
    request: impl Fn(&mut Message<'_>),
    each: impl FnMut(Frame<'_>) -> Option<T>,
) -> Result<Vec<T>, Error> {
    let ask = |batch: &mut Batch, flags: u16| request(&mut table.message(batch, kind, flags));
    match socket.dump(ask, each) {
        Ok(found) => Ok(found),
        Err(refusal) if is_absence(refusal.errno) => Ok(Vec::new()),
        Err(refusal) => Err(Error::refused("list", format_args!("{what} of table {table}"), refusal)),
    }
}

fn text(frame: Frame<'_>, kind: u16) -> Option<String> {
    frame.attributes(HEADER).find(kind).map(Attribute::text)
}
