//! Those who watch the Loc-RIB.
//!
//! A watcher first walks the table page by page, meanwhile and afterwards it gets what changed. What it has not taken yet is kept as a
//! set of prefixes, whose routes are looked up when there is room for them: so a slow watcher costs a prefix for each, and skips what was
//! overtaken. A watcher is a gRPC stream, or the writer of the kernel's table ([`crate::fib`]), which gets the very same batches.
//!
//! Invariants: messages are made only when the speaker has reported everything, so that page and change never contradict each
//! other; End-of-RIB of a family follows its last page and whatever changed until then.

mod pending;

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use bgp_core::nexthop::Forwarding;
use bgp_core::speaker::{BestRoute, Input, Listing, PrefixMatch, RibKind, Speaker};
use bgpd_api::{proto, route};
use cairn_net::{Families, Family, Prefix};
use pending::Pending;
use tokio::sync::mpsc;

use super::Daemon;
use super::outbox::Outbox;
use super::view::best_route;
use crate::transport::{Event, Events};

/// Changes in one batch. About 50 KiB as a message.
const BATCH: usize = 1024;

/// A piece of what a watcher is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct RouteBatch {
    /// Prefixes with their routes as they are now; `None`: the prefix is gone.
    pub(crate) changes: Vec<(Prefix, Option<BestRoute>)>,
    /// Families of which everything has been told.
    pub(crate) end_of_rib: Families,
    /// The numbers of the interfaces behind which link-local next hops are.
    pub(crate) links: BTreeMap<IpAddr, u32>,
    /// For a watcher that asked for it: where packets go that are sent by way of these next hops.
    pub(crate) forwarding: BTreeMap<IpAddr, Forwarding>,
}

impl From<RouteBatch> for proto::WatchRoutesResponse {
    fn from(batch: RouteBatch) -> Self {
        let links = batch.links;
        let changes = batch.changes.into_iter().map(|(prefix, best)| {
            let best = best.map(|best| best_route(best, &links));
            proto::RouteChange::from(route::RouteChange { prefix, best })
        });
        let end_of_rib = bgpd_api::convert::family_numbers(batch.end_of_rib);
        Self { changes: changes.collect(), end_of_rib }
    }
}

/// All watchers of routes.
#[derive(Default)]
pub(super) struct RouteWatchers {
    next: u64,
    watchers: HashMap<u64, Watcher>,
    /// Families whose Loc-RIB is complete.
    complete: Families,
}

struct Watcher {
    families: Families,
    /// It wants to know where packets to next hops go.
    forwarding: bool,
    outbox: Outbox<RouteBatch>,
    /// Where the walk through the table goes on; `None`: it is done.
    walk: Option<Listing>,
    /// What changed and was not sent yet.
    pending: Pending,
    /// Families whose End-of-RIB was sent.
    ended: Families,
}

impl RouteWatchers {
    pub(super) fn changed(&mut self, prefix: Prefix) {
        let family = prefix.family();
        for watcher in self.watchers.values_mut().filter(|watcher| watcher.families.contains(family)) {
            watcher.pending.insert(prefix);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.watchers.len()
    }

    /// Changes that were not taken yet.
    pub(super) fn queued(&self) -> usize {
        self.watchers.values().map(|watcher| watcher.pending.len()).sum()
    }

    pub(super) fn complete(&mut self, family: Family) {
        self.complete = self.complete.with(family);
    }

    /// Sends what can be sent. False if nobody watches any more.
    fn send(&mut self, speaker: &Speaker, links: &BTreeMap<IpAddr, u32>, events: &Events) -> bool {
        let complete = self.complete;
        self.watchers.retain(|id, watcher| watcher.send(*id, complete, (speaker, links), events));
        !self.watchers.is_empty()
    }
}

impl Watcher {
    /// Sends what there is room for; false if the reader is gone.
    fn send(
        &mut self,
        id: u64,
        complete: Families,
        (speaker, links): (&Speaker, &BTreeMap<IpAddr, u32>),
        events: &Events,
    ) -> bool {
        while self.has_something(complete) {
            if !self.outbox.has_room(events, move || Event::WatcherReady(id)) {
                return true;
            }
            let batch = RouteBatch { links: links.clone(), ..self.next_batch(complete, speaker) };
            if !self.outbox.send(batch) {
                return false;
            }
        }
        true
    }

    fn has_something(&self, complete: Families) -> bool {
        self.walk.is_some() || !self.pending.is_empty() || !self.due(complete).is_empty()
    }

    /// Families whose End-of-RIB is due once everything is sent.
    fn due(&self, complete: Families) -> Families {
        let open = self.families.iter().filter(|family| !self.ended.contains(*family));
        open.filter(|family| complete.contains(*family)).collect()
    }

    fn next_batch(&mut self, complete: Families, speaker: &Speaker) -> RouteBatch {
        let mut batch = RouteBatch::default();
        if let Some(listing) = self.walk.take() {
            self.walk(listing, speaker, &mut batch);
        }
        batch.changes.reserve_exact(self.pending.len().min(BATCH.saturating_sub(batch.changes.len())));
        while batch.changes.len() < BATCH
            && let Some(prefix) = self.pending.pop()
        {
            batch.changes.push((prefix, speaker.best_route(prefix)));
        }
        if self.forwarding {
            let routes = batch.changes.iter().filter_map(|(_, best)| best.as_ref());
            let mut last = None;
            for hop in routes.flat_map(|best| best.next_hops.iter()) {
                // Routes mostly go the way of the one before.
                if last.replace(*hop) != Some(*hop) {
                    batch.forwarding.entry(*hop).or_insert_with(|| speaker.forwarding(*hop));
                }
            }
        }
        if self.walk.is_none() && self.pending.is_empty() {
            batch.end_of_rib = self.due(complete);
            self.ended = batch.end_of_rib.iter().fold(self.ended, Families::with);
        }
        batch
    }

    fn walk(&mut self, mut listing: Listing, speaker: &Speaker, batch: &mut RouteBatch) {
        let routes = speaker.next_page(&mut listing, BATCH);
        self.walk = Some(listing).filter(|listing| !listing.is_done());
        let best = routes.iter().filter(|route| route.best && self.families.contains(route.prefix.family()));
        for prefix in best.map(|route| route.prefix) {
            // As new as can be: it need not be told again.
            self.pending.remove(prefix);
            batch.changes.push((prefix, speaker.best_route(prefix)));
        }
    }
}

impl Daemon {
    /// Adds a watcher, which may want to know where packets to next hops go.
    pub(crate) fn watch_routes(
        &mut self,
        families: Families,
        forwarding: bool,
    ) -> mpsc::Receiver<RouteBatch> {
        let (outbox, receiver) = Outbox::new();
        let id = self.routes.next;
        self.routes.next += 1;
        outbox.when_closed(&self.events, move || Event::WatcherGone(id));
        let watcher = Watcher {
            families,
            forwarding,
            outbox,
            walk: Some(self.speaker.list(RibKind::LocRib, PrefixMatch::Any)),
            pending: Pending::default(),
            ended: Families::NONE,
        };
        if self.routes.watchers.is_empty() {
            self.handle(Input::WatchRoutes(true));
        }
        self.routes.watchers.insert(id, watcher);
        receiver
    }

    /// So many learned routes wait for others in the kernel.
    pub(crate) fn set_waiting_routes(&mut self, waiting: usize) {
        self.waiting_routes = Some(waiting);
    }

    pub(super) fn watcher_ready(&mut self, id: u64) {
        if let Some(watcher) = self.routes.watchers.get_mut(&id) {
            watcher.outbox.ready();
        }
    }

    pub(super) fn watcher_gone(&mut self, id: u64) {
        if self.routes.watchers.remove(&id).is_some() && self.routes.watchers.is_empty() {
            self.handle(Input::WatchRoutes(false));
        }
    }

    /// Sends watchers what they have room for. To be called when the speaker has nothing more to report.
    pub(super) fn serve_route_watchers(&mut self) {
        if self.routes.watchers.is_empty() {
            return;
        }
        let links = self.unnumbered.by_address();
        if !self.routes.send(&self.speaker, &links, &self.events) {
            self.handle(Input::WatchRoutes(false));
        }
    }
}
