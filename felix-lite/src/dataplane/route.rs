//! Routes in the kernel, kept equal to what the core wants.
//!
//! Learned routes name nexthop objects ([`super::nexthop`]), so that a set of gateways is checked and kept once; pods' routes
//! name the interface. All of ours have protocol 202 and metric 1024, so that what an administrator adds wins.
//!
//! Two reconcilers of the kernel crate do the work, one after the other: objects before the routes that name them, and
//! objects that nobody names any more last, because an object that goes takes its routes with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use cairn_kernel::monitor::Monitor;
use cairn_kernel::object::{
    Change, IfIndex, Link, LinkName, Nexthop, NexthopId, NexthopTarget, Object, PROTOCOL, Route, RouteKey,
    RouteKind, RouteTarget, TableId,
};
use cairn_kernel::reconciler::{BackOff, Reconciler, Report, Rtnetlink};
use cairn_kernel::{Error, Rtnl};
use cairn_net::Prefix;
use felix_core::Route as Wanted;
use foldhash::{HashMap, HashMapExt as _};
use tracing::warn;

use super::nexthop::Nexthops;
use super::quarrel::{self, Quarrels};

/// Metric of our routes.
const METRIC: u32 = 1024;

/// Our routes and nexthop objects.
#[derive(Debug)]
pub(super) struct Routes {
    rtnl: Rtnl,
    numbers: Nexthops,
    objects: Reconciler<Rtnetlink<Nexthop>>,
    routes: Reconciler<Rtnetlink<Route>>,
    /// The nexthop object that each learned prefix names.
    held: HashMap<Prefix, NexthopId>,
    /// Objects that prefixes named before; released once the prefixes' routes are written.
    released: Vec<NexthopId>,
    /// The interface of each pod's prefix.
    pods: HashMap<Prefix, Arc<str>>,
    /// The prefixes of each pod's interface.
    interfaces: HashMap<Arc<str>, BTreeSet<Prefix>>,
    /// Why a prefix cannot even be tried.
    homeless: BTreeMap<Prefix, String>,
    /// What the kernel refuses, and why.
    route_faults: BTreeMap<RouteKey, String>,
    object_faults: BTreeMap<NexthopId, String>,
    /// Who keeps changing our routes.
    quarrels: Quarrels<RouteKey>,
    swept: bool,
    resync: bool,
}

impl Routes {
    /// Adopts the routes and nexthop objects that are there.
    pub(super) fn open() -> Result<Self, Error> {
        let mut objects = Reconciler::new(Rtnetlink::<Nexthop>::new(Rtnl::open()?, ()), BackOff::default());
        let mut routes =
            Reconciler::new(Rtnetlink::<Route>::new(Rtnl::open()?, TableId::MAIN.into()), BackOff::default());
        objects.resync()?;
        routes.resync()?;
        let mut rtnl = Rtnl::open()?;
        let mut numbers = Nexthops::default();
        for nexthop in rtnl.list::<Nexthop>(None)? {
            numbers.adopt(&nexthop);
        }
        Ok(Self {
            rtnl,
            numbers,
            objects,
            routes,
            held: HashMap::new(),
            released: Vec::new(),
            pods: HashMap::new(),
            interfaces: HashMap::new(),
            homeless: BTreeMap::new(),
            route_faults: BTreeMap::new(),
            object_faults: BTreeMap::new(),
            quarrels: Quarrels::default(),
            swept: false,
            resync: false,
        })
    }

    /// A socket, for whoever reads other things.
    pub(super) const fn rtnl(&mut self) -> &mut Rtnl {
        &mut self.rtnl
    }

    /// Lets the monitor leave out what is written here.
    pub(super) fn silence(&mut self, monitor: &mut Monitor) -> Result<(), Error> {
        monitor.ignore(self.objects.backend().socket())?;
        monitor.ignore(self.routes.backend().socket())
    }

    /// A prefix should have this route, or none, from the next [`Self::write`] on.
    pub(super) fn want(&mut self, prefix: Prefix, route: Option<Wanted>) {
        self.released.extend(self.held.remove(&prefix));
        self.leave(prefix);
        match route {
            None => self.routes.unset(&key(prefix)),
            Some(Wanted::Unreachable) => {
                let route = Route { kind: RouteKind::Unreachable, ..Route::blackhole(prefix) };
                self.routes.set_object(ours(route));
            }
            Some(Wanted::Blackhole) => self.routes.set_object(ours(Route::blackhole(prefix))),
            Some(Wanted::Interface(name)) => {
                self.pods.insert(prefix, Arc::clone(&name));
                self.interfaces.entry(Arc::clone(&name)).or_default().insert(prefix);
                self.place(prefix, &name);
            }
            Some(Wanted::Gateways(gateways)) => match self.numbers.acquire(&gateways) {
                Some((id, begun)) => {
                    begun.into_iter().for_each(|object| self.objects.set_object(object));
                    self.held.insert(prefix, id);
                    self.routes.set_object(ours(Route::nexthop(prefix, id)));
                }
                None => {
                    self.routes.unset(&key(prefix));
                    self.fault(prefix, "no number is free for another nexthop object".to_owned());
                }
            },
        }
    }

    /// The picture is complete: routes and objects of ours that nobody wants go at the next [`Self::write`].
    pub(super) fn sweep(&mut self) {
        self.swept = true;
        self.routes.allow_prune(true);
    }

    /// Why a prefix does not have the route that it should; `None`: it has.
    pub(super) fn fault_of(&self, prefix: Prefix) -> Option<String> {
        let key = key(prefix);
        let missing = || (!self.routes.is_settled(&key)).then(|| format!("{key} is not in the kernel"));
        self.homeless.get(&prefix).or_else(|| self.route_faults.get(&key)).cloned().or_else(missing)
    }

    /// Who keeps changing what of ours.
    pub(super) fn quarrels(&self) -> impl Iterator<Item = &String> {
        self.quarrels.texts()
    }

    /// All that is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.homeless.values().chain(self.object_faults.values()).chain(self.route_faults.values())
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let all = [self.objects.poll_timeout(), self.routes.poll_timeout(), self.quarrels.poll_timeout()];
        all.into_iter().flatten().min()
    }

    /// Somebody, with this netlink port, changed a route.
    pub(super) fn route_changed(&mut self, change: Change<Route>, author: Option<u32>) {
        let place = RouteKey { protocol: PROTOCOL, ..change.object().key() };
        let deed = self.routes.is_settled(&place).then(|| quarrel::deed(&change, author));
        self.routes.observe_object(change);
        if let Some(deed) = deed.filter(|_| !self.routes.is_settled(&place)) {
            self.quarrels.seen(place, deed);
        }
    }

    /// Somebody changed a nexthop object.
    pub(super) fn nexthop_changed(&mut self, change: Change<Nexthop>) {
        if let Change::Gone(object) = &change {
            // Its routes, and its places in groups, went with it, and not all of that is told.
            let gone = object.id;
            self.distrust(|id, target| {
                id == gone || matches!(target, NexthopTarget::Group { members, .. } if members.iter().any(|(id, _)| *id == gone))
            });
        }
        self.objects.observe_object(change);
    }

    /// An interface that is no pod's came, went, or can or cannot carry packets now: what led over it may be gone
    /// without a word, or may be possible again.
    pub(super) fn link_changed(&mut self, index: IfIndex) {
        let leads =
            |target: &NexthopTarget| matches!(target, NexthopTarget::Gateway { dev, .. } if *dev == index);
        let over: BTreeSet<NexthopId> =
            self.held_objects().filter(|(_, target)| leads(target)).map(|(id, _)| id).collect();
        self.distrust(|id, target| {
            over.contains(&id)
                || matches!(target, NexthopTarget::Group { members, .. } if members.iter().any(|(id, _)| over.contains(id)))
        });
        self.objects.retry(|_| true);
        self.routes.retry(|_| true);
    }

    /// A pod's interface appeared or went.
    pub(super) fn pod_link_changed(&mut self, change: &Change<Link>) {
        let link = change.object();
        let Some((name, prefixes)) = self.interfaces.get_key_value(link.name.as_str()) else { return };
        let (name, prefixes) = (Arc::clone(name), prefixes.clone());
        for prefix in prefixes {
            match change {
                // Costs nothing where the route is there as it should be: an interface is told of several times.
                Change::Present(link) => self.place_on(prefix, link.index),
                Change::Gone(_) => {
                    self.routes.unset(&key(prefix));
                    self.fault(prefix, format!("interface {name} is gone"));
                }
            }
        }
    }

    /// Notifications were lost: everything is read again at the next [`Self::write`].
    pub(super) fn resync(&mut self) {
        self.resync = true;
    }

    /// Brings the kernel up to date.
    ///
    /// Errors: only where a socket fails; what the kernel refuses is kept as a fault and tried again.
    pub(super) fn write(&mut self) -> Result<(), Error> {
        let result = self.try_write();
        // After an error nobody knows what is there.
        self.resync = result.is_err();
        result
    }

    fn try_write(&mut self) -> Result<(), Error> {
        if self.resync {
            self.objects.resync()?;
            self.routes.resync()?;
        }
        let now = Instant::now();
        let report = self.objects.reconcile(now)?;
        if report.updated > 0 {
            self.routes.retry(|_| true);
        }
        note(&mut self.object_faults, report);
        let mut report = self.routes.reconcile(now)?;
        self.quarrels.note(now, std::mem::take(&mut report.quarrels));
        note(&mut self.route_faults, report);
        for id in std::mem::take(&mut self.released) {
            self.numbers.release(id);
        }
        if self.swept {
            self.objects.allow_prune(true);
            for id in self.numbers.take_unused() {
                self.objects.unset(&id);
            }
            let report = self.objects.reconcile(now)?;
            note(&mut self.object_faults, report);
        }
        self.object_faults.retain(|id, _| !self.objects.is_settled(id));
        self.route_faults.retain(|key, _| !self.routes.is_settled(key));
        Ok(())
    }

    /// Sets the route to a pod, if its interface is there.
    fn place(&mut self, prefix: Prefix, name: &str) {
        let link = name.parse::<LinkName>().and_then(|name| self.rtnl.link(&name));
        match link {
            Ok(Some(link)) => self.place_on(prefix, link.index),
            Ok(None) => {
                self.routes.unset(&key(prefix));
                self.fault(prefix, format!("there is no interface {name}"));
            }
            Err(error) => self.fault(prefix, error.to_string()),
        }
    }

    fn place_on(&mut self, prefix: Prefix, index: IfIndex) {
        self.homeless.remove(&prefix);
        self.routes.set_object(ours(Route::dev(prefix, index)));
    }

    /// Forgets that a prefix is a pod's.
    fn leave(&mut self, prefix: Prefix) {
        self.homeless.remove(&prefix);
        self.route_faults.remove(&key(prefix));
        let Some(name) = self.pods.remove(&prefix) else { return };
        if let Some(prefixes) = self.interfaces.get_mut(&name) {
            prefixes.remove(&prefix);
            if prefixes.is_empty() {
                self.interfaces.remove(&name);
            }
        }
    }

    fn held_objects(&self) -> impl Iterator<Item = (NexthopId, &NexthopTarget)> {
        self.objects.desired().map(|(id, object)| (*id, &object.target))
    }

    /// Objects that may be gone, and the routes that name them.
    fn distrust(&mut self, suspect: impl Fn(NexthopId, &NexthopTarget) -> bool) {
        let ids: BTreeSet<NexthopId> =
            self.held_objects().filter(|(id, target)| suspect(*id, target)).map(|(id, _)| id).collect();
        if ids.is_empty() {
            return;
        }
        self.objects.distrust(|id, _| ids.contains(id));
        self.routes
            .distrust(|_, route| matches!(&route.target, RouteTarget::Nexthop(id) if ids.contains(id)));
    }

    fn fault(&mut self, prefix: Prefix, reason: String) {
        if self.homeless.get(&prefix) != Some(&reason) {
            warn!(%prefix, reason, "no route");
            self.homeless.insert(prefix, reason);
        }
    }
}

/// Notes what was refused.
fn note<K: Ord>(faults: &mut BTreeMap<K, String>, report: Report<K, Error>) {
    for failure in report.failures {
        let text = failure.error.to_string();
        if faults.get(&failure.key) != Some(&text) {
            warn!(error = text, "refused, and tried again");
            faults.insert(failure.key, text);
        }
    }
}

fn ours(route: Route) -> Route {
    Route { priority: METRIC, ..route }.normalised()
}

fn key(prefix: Prefix) -> RouteKey {
    ours(Route::blackhole(prefix)).key()
}
