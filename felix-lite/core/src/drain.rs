//! Nodes that are being emptied: which ones, and what this one does with its announcements then.
//!
//! As a router that is about to go does (RFC 8326), the node tells all its routes with GRACEFUL_SHUTDOWN, waits, and withdraws what nothing
//! uses. What is in use stays announced for as long as it is: a cordoned node runs pods, and nobody else has a way to them.
//!
//! Not here: the clock that says whether the node has waited, which is a fact ([`crate::Update::DrainWaited`]).

use std::collections::BTreeSet;
use std::fmt;

use cairn_api::core::Node;
use cairn_api::kinds::Drain;
use cairn_api::{GoDuration, Object, annotation};
use cairn_net::Prefix;

/// What kubelet says, among else, in the condition `Ready` while its machine shuts down.
const SHUTTING_DOWN: &str = "node is shutting down";

/// Most characters of a reason that are told.
const LONGEST: usize = 256;

/// Why a node is being emptied.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DrainCause {
    /// Somebody asks for it, for this reason.
    Requested(String),
    /// Its kubelet says that the machine shuts down.
    ShuttingDown,
    /// A condition of its Node.
    Condition(String),
    /// A taint, by its key.
    Tainted(String),
    /// No new pods are to come.
    Cordoned,
}

impl DrainCause {
    /// One word for programs.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Requested(_) => "Requested",
            Self::ShuttingDown => "ShuttingDown",
            Self::Condition(_) => "Condition",
            Self::Tainted(_) => "Tainted",
            Self::Cordoned => "Cordoned",
        }
    }
}

impl fmt::Display for DrainCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested(why) => write!(f, "an operator asks for it ({why})"),
            Self::ShuttingDown => f.write_str("its machine shuts down"),
            Self::Condition(kind) => write!(f, "its Node has the condition {kind}"),
            Self::Tainted(key) => write!(f, "its Node has the taint {key}"),
            Self::Cordoned => f.write_str("it is cordoned"),
        }
    }
}

/// How far the emptying of this node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainState {
    /// Why: at least one cause.
    pub causes: Vec<DrainCause>,
    /// For how long all is announced.
    pub wait: GoDuration,
    /// Is that over?
    pub waited: bool,
    /// Addresses that its pods have.
    pub addresses: usize,
    /// Addresses of egress gateways that it has.
    pub egress: usize,
    /// Its blocks with an address in use, which stay announced.
    pub used: usize,
    /// Its blocks without, which are withdrawn once it has waited.
    pub idle: usize,
}

impl DrainState {
    /// Has it nothing left that anybody uses?
    pub const fn is_over(&self) -> bool {
        self.waited && self.addresses == 0 && self.egress == 0
    }
}

/// What a Node object says that may count. Most changes of a Node are heartbeats, which change none of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Signals {
    cordoned: bool,
    shutting_down: bool,
    /// Conditions that hold, but for that it is ready.
    conditions: BTreeSet<String>,
    taints: BTreeSet<String>,
    requested: Option<String>,
    /// Somebody says that it is not ready.
    unready: bool,
}

impl Signals {
    /// Those of a Node; `None` where it says nothing, as most do.
    pub(crate) fn of(node: &Object<Node>) -> Option<Self> {
        let conditions = node.status.as_ref().map_or(&[][..], |status| &status.conditions);
        let ready = conditions.iter().find(|condition| condition.kind == "Ready");
        let holding = conditions.iter().filter(|found| found.status == "True" && found.kind != "Ready");
        let taints: BTreeSet<String> = node.spec.taints.iter().map(|taint| taint.key.clone()).collect();
        let requested = node.metadata.annotations.get(annotation::DRAIN);
        let unready = ready.filter(|ready| ready.status != "True");
        let signals = Self {
            cordoned: node.spec.unschedulable,
            shutting_down: unready.is_some_and(|ready| ready.message.contains(SHUTTING_DOWN)),
            conditions: holding.map(|condition| condition.kind.clone()).collect(),
            requested: requested
                .filter(|why| !matches!(why.as_str(), "" | "false"))
                .map(|why| why.chars().take(LONGEST).collect()),
            unready: unready.is_some() || node.spec.is_out_of_reach(),
            taints,
        };
        (signals != Self::default()).then_some(signals)
    }

    /// Why the node is being emptied, if it is.
    pub(crate) fn causes(&self, drain: &Drain) -> Vec<DrainCause> {
        let mut causes: Vec<DrainCause> =
            self.requested.iter().map(|why| DrainCause::Requested(why.clone())).collect();
        causes.extend((self.shutting_down && drain.on_shutdown).then_some(DrainCause::ShuttingDown));
        let listed = |known: &BTreeSet<String>, listed: &[String]| {
            known.iter().filter(|key| listed.contains(key)).cloned().collect::<Vec<_>>()
        };
        causes.extend(listed(&self.conditions, &drain.conditions).into_iter().map(DrainCause::Condition));
        causes.extend(listed(&self.taints, &drain.taints).into_iter().map(DrainCause::Tainted));
        causes.extend((self.cordoned && drain.on_cordon).then_some(DrainCause::Cordoned));
        causes
    }

    /// Is the node being emptied?
    pub(crate) fn drains(&self, drain: &Drain) -> bool {
        !self.causes(drain).is_empty()
    }

    /// Can the node take nothing over?
    pub(crate) const fn is_unready(&self) -> bool {
        self.unready
    }
}

/// What a node that is being emptied does with its announcements.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Its blocks that nothing uses, once it has waited: they are not announced.
    pub(crate) withheld: BTreeSet<Prefix>,
}
