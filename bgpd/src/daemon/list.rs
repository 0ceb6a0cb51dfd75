//! Lists of routes, page by page: a page is made when the reader has taken the last one, so a long list costs neither memory nor time in
//! one piece.

use std::collections::HashMap;

use bgp_core::speaker::{Page, RibKind, RouteView};
use bgpd_api::proto::ListRoutesResponse;
use bgpd_api::route::Route;
use cairn_net::{Family, Prefix};
use tokio::sync::mpsc;

use super::outbox::Outbox;
use super::view::path;
use super::{Daemon, Refused};
use crate::transport::Event;

/// Routes in one page.
const PAGE: usize = 256;

/// What is wanted of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    pub(crate) rib: RibKind,
    pub(crate) family: Option<Family>,
    pub(crate) prefix: Option<Prefix>,
    /// With `prefix`: whatever it covers, too.
    pub(crate) longer: bool,
}

impl Query {
    fn wants(&self, prefix: Prefix) -> bool {
        let inside = |wanted: Prefix| if self.longer { wanted.covers(prefix) } else { wanted == prefix };
        self.family.is_none_or(|family| family == prefix.family()) && self.prefix.is_none_or(inside)
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
    page: Option<Page>,
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
        self.lists.lists.insert(id, List { query, page: Some(Page::default()), outbox });
        self.events.push(async move { Event::ListReady(id) });
        Ok(receiver)
    }

    /// Sends the next page of a list and comes back for the one after it.
    pub(super) fn send_page(&mut self, id: u64) {
        let Some(mut list) = self.lists.lists.remove(&id) else { return };
        list.outbox.ready();
        let Some(page) = list.page else { return };
        if list.outbox.has_room(&self.events, move || Event::ListReady(id)) {
            let (routes, next) = self.speaker.routes(list.query.rib, page, PAGE);
            list.page = next;
            let routes = together(routes.into_iter().filter(|route| list.query.wants(route.prefix)));
            let sent = routes.is_empty()
                || list
                    .outbox
                    .send(ListRoutesResponse { routes: routes.into_iter().map(Into::into).collect() });
            if !sent || next.is_none() {
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
