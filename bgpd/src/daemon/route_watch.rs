//! Those who watch the Loc-RIB.
//!
//! A watcher first walks the table page by page, meanwhile and afterwards it gets what changed. What it has not taken yet is kept as a map
//! of prefixes, each with its latest route: so a slow watcher costs at most the table, and skips what was overtaken.
//!
//! Invariants: messages are made only when the speaker has reported everything, so that page and change never contradict each
//! other; End-of-RIB of a family follows its last page and whatever changed until then.

use std::collections::{BTreeMap, HashMap};

use bgp_core::speaker::{BestRoute, Input, Listing, PrefixMatch, RibKind, Speaker};
use bgpd_api::proto::WatchRoutesResponse;
use bgpd_api::route;
use cairn_net::{Families, Family, Prefix};
use tokio::sync::mpsc;

use super::Daemon;
use super::outbox::Outbox;
use super::view::best_route;
use crate::transport::{Event, Events};

/// Changes in one message. About 50 KiB.
const BATCH: usize = 1024;

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
    outbox: Outbox<WatchRoutesResponse>,
    /// Where the walk through the table goes on; `None`: it is done.
    walk: Option<Listing>,
    /// What changed and was not sent yet.
    pending: BTreeMap<Prefix, Option<BestRoute>>,
    /// Families whose End-of-RIB was sent.
    ended: Families,
}

impl RouteWatchers {
    pub(super) fn changed(&mut self, prefix: Prefix, best: Option<&BestRoute>) {
        let family = prefix.family();
        for watcher in self.watchers.values_mut().filter(|watcher| watcher.families.contains(family)) {
            watcher.pending.insert(prefix, best.cloned());
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
    fn send(&mut self, speaker: &Speaker, events: &Events) -> bool {
        let complete = self.complete;
        self.watchers.retain(|id, watcher| watcher.send(*id, complete, speaker, events));
        !self.watchers.is_empty()
    }
}

impl Watcher {
    /// Sends what there is room for; false if the reader is gone.
    fn send(&mut self, id: u64, complete: Families, speaker: &Speaker, events: &Events) -> bool {
        while self.has_something(complete) {
            if !self.outbox.has_room(events, move || Event::WatcherReady(id)) {
                return true;
            }
            let message = self.next_message(complete, speaker);
            if !self.outbox.send(message) {
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

    fn next_message(&mut self, complete: Families, speaker: &Speaker) -> WatchRoutesResponse {
        let mut changes = Vec::new();
        if let Some(listing) = self.walk.take() {
            self.walk(listing, speaker, &mut changes);
        }
        while changes.len() < BATCH
            && let Some((prefix, best)) = self.pending.pop_first()
        {
            changes.push(route::RouteChange { prefix, best: best.map(best_route) }.into());
        }
        let mut end_of_rib = Vec::new();
        if self.walk.is_none() && self.pending.is_empty() {
            let due = self.due(complete);
            self.ended = due.iter().fold(self.ended, Families::with);
            end_of_rib = bgpd_api::convert::family_numbers(due);
        }
        WatchRoutesResponse { changes, end_of_rib }
    }

    fn walk(
        &mut self,
        mut listing: Listing,
        speaker: &Speaker,
        changes: &mut Vec<bgpd_api::proto::RouteChange>,
    ) {
        let routes = speaker.next_page(&mut listing, BATCH);
        self.walk = Some(listing).filter(|listing| !listing.is_done());
        let best = routes.iter().filter(|route| route.best && self.families.contains(route.prefix.family()));
        for prefix in best.map(|route| route.prefix) {
            // As new as can be, so an older change must not follow.
            self.pending.remove(&prefix);
            let best = speaker.best_route(prefix).map(best_route);
            changes.push(route::RouteChange { prefix, best }.into());
        }
    }
}

impl Daemon {
    /// Adds a watcher.
    pub(crate) fn watch_routes(&mut self, families: Families) -> mpsc::Receiver<WatchRoutesResponse> {
        let (outbox, receiver) = Outbox::new();
        let id = self.routes.next;
        self.routes.next += 1;
        outbox.when_closed(&self.events, move || Event::WatcherGone(id));
        let watcher = Watcher {
            families,
            outbox,
            walk: Some(self.speaker.list(RibKind::LocRib, PrefixMatch::Any)),
            pending: BTreeMap::new(),
            ended: Families::NONE,
        };
        if self.routes.watchers.is_empty() {
            self.handle(Input::WatchRoutes(true));
        }
        self.routes.watchers.insert(id, watcher);
        receiver
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
        if !self.routes.watchers.is_empty() && !self.routes.send(&self.speaker, &self.events) {
            self.handle(Input::WatchRoutes(false));
        }
    }
}
