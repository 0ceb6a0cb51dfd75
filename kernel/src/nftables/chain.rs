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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseChain {
    /// What its rules may do.
    pub kind: ChainType,
    /// Where.
    pub hook: Hook,
    /// Of which interface, for [`Hook::Ingress`]. Before Linux 6.16 it must be there, and the chain goes with it.
    pub device: Option<String>,
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

/// A netfilter hook: of the IP families (`enum nf_inet_hooks`), or of a device (`enum nf_dev_hooks`).
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
    /// Whatever comes in by a device, of any protocol, before IP sees it. In tables of [`TableFamily::Netdev`](super::TableFamily::Netdev) only.
    Ingress,
}

impl Hook {
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting | Self::Ingress => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }
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
        let base = BaseChain { kind, hook, device: None, priority, policy: Policy::Accept };
        Self { name: name.into(), base: Some(base) }
    }

    /// A filter of what comes in by a device, with policy accept.
    pub fn of_device(name: impl Into<String>, device: impl Into<String>, priority: i32) -> Self {
        let (kind, hook, policy) = (ChainType::Filter, Hook::Ingress, Policy::Accept);
        let base = BaseChain { kind, hook, device: Some(device.into()), priority, policy };
        Self { name: name.into(), base: Some(base) }
    }

    pub(super) fn encode_create(&self, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, message::NEW_CHAIN, uapi::CREATE);
        out.text(chain::TABLE, table.name).text(chain::NAME, &self.name);
        if let Some(base) = &self.base {
            out.nest(chain::HOOK, |hook| {
                hook.be32(chain::HOOK_NUMBER, base.hook.number())
                    .be32(chain::HOOK_PRIORITY, base.priority.cast_unsigned());
                if let Some(device) = &base.device {
                    hook.text(chain::HOOK_DEVICE, device);
                }
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
        Self::encode_name(message::DEL_CHAIN, name, table, batch);
    }

    pub(super) fn encode_destroy(name: &str, table: &Table, batch: &mut Batch) {
        Self::encode_name(message::DESTROY_CHAIN, name, table, batch);
    }

    fn encode_name(kind: u16, name: &str, table: &Table, batch: &mut Batch) {
        let mut out = table.message(batch, kind, 0);
        out.text(chain::TABLE, table.name).text(chain::NAME, name);
    }
}
