use super::uapi::{self, chain};
use super::{Table, uapi::message};
use crate::netlink::Batch;

/// A chain of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name, unique within the table. At most 127 bytes.
    pub name: String,
    /// Where packets enter it; `None`: only by jump and goto.
    pub base: Option<BaseChain>,
}

/// Where and when a base chain sees packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BaseChain {
    /// What its rules may do.
    pub kind: ChainType,
    /// Where.
    pub hook: Hook,
    /// When, relative to others at the same hook: lower is earlier. The kernel's NAT is at -100 (destination) and 100
    /// (source), conntrack at -200, filters at 0.
    pub priority: i32,
    /// What becomes of a packet that reaches the end.
    pub policy: Policy,
}

/// The type of a base chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainType {
    /// Accept and drop.
    Filter,
    /// Translate addresses: sees the first packet of each connection.
    Nat,
}

/// A netfilter hook of the IP families (`enum nf_inet_hooks`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Whatever comes in, before routing.
    Prerouting,
    /// For this host.
    Input,
    /// Passing through.
    Forward,
    /// From this host.
    Output,
    /// Whatever goes out, after routing.
    Postrouting,
}

/// What becomes of a packet that no rule decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// It passes.
    Accept,
    /// It is dropped.
    Drop,
}

impl Chain {
    /// A chain that packets reach only by jump and goto.
    pub fn regular(name: impl Into<String>) -> Self {
        Self { name: name.into(), base: None }
    }

    /// A chain at a hook, with policy accept.
    pub fn at(name: impl Into<String>, kind: ChainType, hook: Hook, priority: i32) -> Self {
        Self { name: name.into(), base: Some(BaseChain { kind, hook, priority, policy: Policy::Accept }) }
    }

    pub(super) fn encode_create(&self, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::NEW_CHAIN, uapi::CREATE);
        out.text(chain::TABLE, table.name).text(chain::NAME, &self.name);
        if let Some(base) = self.base {
            out.nest(chain::HOOK, |hook| {
                hook.be32(chain::HOOK_NUMBER, base.hook as u32)
                    .be32(chain::HOOK_PRIORITY, base.priority.cast_unsigned());
            });
            out.be32(chain::POLICY, u32::from(base.policy == Policy::Accept));
            out.text(
                chain::TYPE,
                match base.kind {
                    ChainType::Filter => "filter",
                    ChainType::Nat => "nat",
                },
            );
        }
    }

    pub(super) fn encode_delete(name: &str, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::DEL_CHAIN, 0);
        out.text(chain::TABLE, table.name).text(chain::NAME, name);
    }
}
