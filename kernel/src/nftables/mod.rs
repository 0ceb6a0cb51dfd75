//! nf_tables: one table of ours, changed in transactions, read back after a restart.
//!
//! Spec: `include/uapi/linux/netfilter/nf_tables.h` and `nfnetlink.h` of Linux; the numbers that differ between kernels are
//! none. Needs Linux 5.10.
//! Invariants: a [`Transaction`] is in force whole or not at all; decoding never panics; nothing outside of the given [`Table`]
//! is ever named in a message.
//! Not here: which chains, sets and rules Cairn wants (felix-lite); the `nft` program, which only tests use.

mod chain;
mod element;
mod expression;
mod flowtable;
mod foreign;
mod generation;
mod limit;
mod list;
mod rule;
mod set;
mod table;
mod transaction;
mod uapi;

pub use chain::{BaseChain, Chain, ChainType, Hook, Policy};
pub use element::{Element, Value};
pub use expression::{
    Comparison, ConntrackKey, Expression, FibResult, FibSelector, MetaKey, PayloadBase, Ports, Register,
    Verdict, ct_state,
};
pub use flowtable::{Flowtable, flowtable_devices};
pub use foreign::{forward_drops, translates};
pub use generation::{GROUP, Generation};
pub use limit::Limit;
pub use list::{ListedRule, chains, elements, exists, rules, rules_of, sets};
pub use rule::Rule;
pub use set::{DataType, Set};
pub use table::{Table, TableFamily};
pub use transaction::Transaction;

use cairn_net::Family;

/// `NFPROTO_IPV4` or `NFPROTO_IPV6`, as [`MetaKey::NetworkProtocol`] has it.
pub const fn nfproto(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 2,
        Family::Ipv6 => 10,
    }
}
