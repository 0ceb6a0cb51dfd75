//! Lists of routes, page by page: a page is made when the reader has taken the last one, so a long list costs neither memory nor time in
//! one piece.

use std::collections::HashMap;
use std::net::IpAddr;

use bgp_core::policy::AsPathMatch;
use bgp_core::speaker::{Listing, PrefixMatch, RibKind, RouteSource, RouteView};
use bgp_core::wire::{Community, ExtendedCommunity, LargeCommunity};
use bgpd_api::proto::ListRoutesResponse;
use bgpd_api::route::Route;
use cairn_net::Family;
use tokio::sync::mpsc;

use super::outbox::Outbox;
use super::view::path;
use super::{Daemon, Refused};
use crate::transport::Event;

/// Routes in one page.
const PAGE: usize = 256;

/// What is wanted of a table. Whatever is set must hold.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    pub(crate) rib: RibKind,
    pub(crate) prefix: PrefixMatch,
    pub(crate) family: Option<Family>,
    /// Only paths from this neighbour.
    pub(crate) from: Option<IpAddr>,
    /// Only paths that carry all of these.
    pub(crate) communities: Vec<Community>,
    pub(crate) large_communities: Vec<LargeCommunity>,
    pub(crate) extended_communities: Vec<ExtendedCommunity>,
    pub(crate) as_path: Option<AsPathMatch>,
    pub(crate) best_only: bool,
}

impl Query {
    fn wants(&self, view: &RouteView) -> bool {
        let attributes = &view.route.attributes;
        let carries = |wanted: &Community| attributes.communities.iter().any(|found| found == *wanted);
        let carries_large =
            |wanted: &LargeCommunity| attributes.large_communities.iter().any(|found| found == *wanted);
        self.family.is_none_or(|family| family == view.prefix.family())
            && (view.best || !self.best_only)
            && self.from.is_none_or(|from| view.source == RouteSource::Peer(from))
            && self.communities.iter().all(carries)
            && self.large_communities.iter().all(carries_large)
            && self
                .extended_communities
                .iter()
                .all(|wanted| attributes.extended_communities.contains(*wanted))
            && self.as_path.as_ref().is_none_or(|wanted| wanted.matches(&attributes.as_path))
    }
}

/// The lists that are being read.
#[derive(Default)]
pub(super) struct Lists {
    next: u64,
    lists: HashMap<u64, List>,
}

struct List {
    query: Query,
    listing: Listing,
    outbox: Outbox<ListRoutesResponse>,
}

impl Daemon {
    /// Begins a list.
    ///
    /// # Errors
    /// If it is of a neighbour that does not exist.
    pub(crate) fn list_routes(
        &mut self,
        query: Query,
    ) -> Result<mpsc::Receiver<ListRoutesResponse>, Refused> {
        if let RibKind::AdjRibIn(peer) | RibKind::AdjRibOut(peer) = query.rib {
            self.known(peer)?;
        }
        let (outbox, receiver) = Outbox::new();
        let id = self.lists.next;
        self.lists.next += 1;
        let listing = self.speaker.list(query.rib, query.prefix);
        self.lists.lists.insert(id, List { query, listing, outbox });
        self.events.push(async move { Event::ListReady(id) });
        Ok(receiver)
    }

    /// Sends the next page of a list and comes back for the one after it.
    pub(super) fn send_page(&mut self, id: u64) {
        let Some(mut list) = self.lists.lists.remove(&id) else { return };
        list.outbox.ready();
        if list.outbox.has_room(&self.events, move || Event::ListReady(id)) {
            let routes = self.speaker.next_page(&mut list.listing, PAGE);
            let routes = together(routes.into_iter().filter(|route| list.query.wants(route)));
            let sent = routes.is_empty()
                || list
                    .outbox
                    .send(ListRoutesResponse { routes: routes.into_iter().map(Into::into).collect() });
            if !sent || list.listing.is_done() {
                return;
            }
            self.events.push(async move { Event::ListReady(id) });
        }
        self.lists.lists.insert(id, list);
    }
}

/// Paths of one prefix, which come one after the other, as one route.
fn together(views: impl Iterator<Item = RouteView>) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    for view in views {
        let prefix = view.prefix;
        match routes.last_mut().filter(|route| route.prefix == prefix) {
            Some(route) => route.paths.push(path(view)),
            None => routes.push(Route { prefix, paths: vec![path(view)] }),
        }
    }
    for route in &mut routes {
        route.paths.sort_by_key(|path| (!path.best, !path.multipath));
    }
    routes
}
