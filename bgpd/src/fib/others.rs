//! Routes of others where ours should be: they stay, and are named once.
//!
//! To know who has a place all routes are read: the kernel gives no route to exactly one prefix. So what was found is remembered, also while the
//! prefix is withdrawn, until the kernel tells that it has changed.

use std::collections::BTreeSet;

use cairn_kernel::object::{Change, IfIndex, PROTOCOL, Route, RouteTarget, protocol_name};
use cairn_net::Prefix;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::RETRY;

/// Places that are named one by one after a look; the others are counted.
const NAMED: usize = 10;
/// Places that nobody asks for at present and that are remembered.
const REMEMBERED: usize = 4096;

/// Who has a place in the kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) prefix: Prefix,
    protocol: u8,
    /// The interface, or the first one of several.
    interface: Option<IfIndex>,
}

impl Holder {
    pub(super) fn of(route: &Route) -> Self {
        let interface = match &route.target {
            RouteTarget::Hop(hop) => hop.dev,
            RouteTarget::Multipath(hops) => hops.iter().find_map(|hop| hop.dev),
            RouteTarget::None | RouteTarget::Nexthop(_) => None,
        };
        Self { prefix: route.prefix, protocol: route.protocol, interface }
    }

    pub(super) const fn is_ours(&self) -> bool {
        self.protocol == PROTOCOL
    }
}

/// The places that others have. Bounded by the number of their routes.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// Here ours would be. It was said of these.
    waiting: BTreeSet<Prefix>,
    /// Ours would have been here, and was withdrawn: at most [`REMEMBERED`].
    withdrawn: BTreeSet<Prefix>,
    looked: Option<Instant>,
}

impl Others {
    /// The prefixes whose learned routes wait.
    pub(super) const fn waiting(&self) -> &BTreeSet<Prefix> {
        &self.waiting
    }

    /// Of places that the kernel says are taken, those of which it is not known yet that another one has them.
    pub(super) fn unknown(&mut self, prefixes: impl Iterator<Item = Prefix>) -> BTreeSet<Prefix> {
        let mut unknown = BTreeSet::new();
        for prefix in prefixes {
            if self.withdrawn.remove(&prefix) {
                debug!(%prefix, "the other owner's route is still there: the learned one waits");
                self.waiting.insert(prefix);
            } else if !self.waiting.contains(&prefix) {
                unknown.insert(prefix);
            }
        }
        unknown
    }

    /// Whoever changed a route: what is remembered of its place may not be so any more.
    pub(super) fn told(&mut self, change: &Change<Route>) {
        self.withdrawn.remove(&change.object().prefix);
    }

    /// Routes may have changed of which the kernel could not tell.
    pub(super) fn told_no_more(&mut self) {
        self.withdrawn.clear();
    }

    /// Not too often: all routes are read.
    pub(super) fn may_look(&mut self, now: Instant) -> bool {
        let rested = self.looked.is_none_or(|last| now.duration_since(last) >= RETRY);
        if rested {
            self.looked = Some(now);
        }
        rested
    }

    /// Says who has these places. Gives those that are nobody else's any more.
    pub(super) fn found(&mut self, taken: BTreeSet<Prefix>, holders: &[Holder]) -> Vec<Prefix> {
        let (mut free, mut named, mut more) = (Vec::new(), 0, 0u64);
        for prefix in taken {
            let other = holders.iter().find(|holder| holder.prefix == prefix && !holder.is_ours());
            let Some(other) = other else {
                free.push(prefix);
                continue;
            };
            self.waiting.insert(prefix);
            if named >= NAMED {
                more += 1;
                continue;
            }
            named += 1;
            let protocol = protocol_name(other.protocol);
            let interface = other.interface.map(IfIndex::name);
            warn!(%prefix, protocol, interface, "the kernel has a route of another owner to this prefix: it stays, and the learned one waits until it has gone");
        }
        if more > 0 {
            warn!(
                routes = more,
                "the kernel has routes of other owners to more prefixes: the learned ones wait"
            );
        }
        free
    }

    /// Nothing is wanted there any more.
    pub(super) fn withdrawn(&mut self, prefix: Prefix) {
        if self.waiting.remove(&prefix) {
            if self.withdrawn.len() >= REMEMBERED {
                self.withdrawn.pop_first();
            }
            self.withdrawn.insert(prefix);
        }
    }

    /// The route was written.
    pub(super) fn written(&mut self, prefix: Prefix) {
        self.withdrawn.remove(&prefix);
        if self.waiting.remove(&prefix) {
            info!(%prefix, "the other owner's route has gone: the learned one is written");
        }
    }
}
