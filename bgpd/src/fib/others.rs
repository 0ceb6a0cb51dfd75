//! Routes of others where ours should be: they stay, and are named once.

use std::collections::BTreeSet;

use cairn_kernel::object::{IfIndex, PROTOCOL, Route, RouteTarget, protocol_name};
use cairn_net::Prefix;
use tokio::time::Instant;
use tracing::{info, warn};

use super::RETRY;

/// Places that are named one by one after a look; the others are counted.
const NAMED: usize = 10;

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
}

/// The places that others have. Bounded by the number of their routes.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// It was said of these.
    told: BTreeSet<Prefix>,
    looked: Option<Instant>,
}

impl Others {
    /// Those of which nothing was said yet.
    pub(super) fn unknown(&self, prefixes: impl Iterator<Item = Prefix>) -> BTreeSet<Prefix> {
        prefixes.filter(|prefix| !self.told.contains(prefix)).collect()
    }

    /// To know who has a place all routes are read, so that is not done each time.
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
            let other = holders.iter().find(|holder| holder.prefix == prefix && holder.protocol != PROTOCOL);
            let Some(other) = other else {
                free.push(prefix);
                continue;
            };
            self.told.insert(prefix);
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

    /// Nothing is wanted there, or it was written.
    pub(super) fn forget(&mut self, prefix: Prefix) {
        self.told.remove(&prefix);
    }

    /// The route was written.
    pub(super) fn written(&mut self, prefix: Prefix) {
        if self.told.remove(&prefix) {
            info!(%prefix, "the other owner's route has gone: the learned one is written");
        }
    }
}
