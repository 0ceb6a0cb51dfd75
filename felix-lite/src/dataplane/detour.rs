//! Packets of egress gateways that other nodes have: a rule for their mark, and a table of ours behind it with one default route.
//!
//! A table is there before its rule, and goes after it, so that a marked packet never takes the way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use cairn_kernel::monitor::Monitor;
use cairn_kernel::object::{
    Change, Hop, IfIndex, Object as _, Route, RouteKey, RouteKind, RouteTarget, Rule, RuleAction, TableId,
};
use cairn_kernel::reconciler::{BackOff, Reconciler, Report, Rtnetlink, Tables};
use cairn_kernel::{Error, Rtnl};
use cairn_net::{Family, Prefix};
use felix_core::{Detour, EGRESS_MARKS, EgressSlot};
use tracing::warn;

/// Priority of our rules: before the main table's, which is 32766, and behind the local table's.
const PRIORITY: u32 = 10_201;
/// The table of a slot has its number behind this.
const TABLES: u32 = 0x0ca0_0100;
/// Metric of our routes, as in the main table.
const METRIC: u32 = 1024;

type Key = (Family, EgressSlot);

/// Our rules, and the routes behind them.
#[derive(Debug)]
pub(super) struct Detours {
    routes: Reconciler<Rtnetlink<Route>>,
    rules: Reconciler<Rtnetlink<Rule>>,
    /// Whose routes go once their rules are gone.
    leaving: BTreeSet<Key>,
    faults: BTreeMap<String, String>,
    resync: bool,
}

impl Detours {
    /// Adopts what is there.
    pub(super) fn open() -> Result<Self, Error> {
        let tables = Tables::range(TABLES..=TABLES + u32::from(u8::MAX));
        let mut routes = Reconciler::new(Rtnetlink::<Route>::new(Rtnl::open()?, tables), BackOff::default());
        let mut rules = Reconciler::new(Rtnetlink::<Rule>::new(Rtnl::open()?, PRIORITY), BackOff::default());
        routes.resync()?;
        rules.resync()?;
        let (leaving, faults) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self { routes, rules, leaving, faults, resync: false })
    }

    /// Lets the monitor leave out what is written here.
    pub(super) fn silence(&mut self, monitor: &mut Monitor) -> Result<(), Error> {
        monitor.ignore(self.routes.backend().socket())?;
        monitor.ignore(self.rules.backend().socket())
    }

    /// Packets should be led there, or go their own way, from the next [`Self::prepare`] or [`Self::finish`] on.
    pub(super) fn want(&mut self, key: Key, detour: Option<Detour>) {
        match detour {
            Some(detour) => {
                self.leaving.remove(&key);
                self.routes.set_object(route(key, detour));
                self.rules.set_object(rule(key));
            }
            None => {
                self.leaving.insert(key);
            }
        }
    }

    /// The picture is complete: what nobody wants goes at the next [`Self::finish`].
    pub(super) fn sweep(&mut self) {
        self.rules.allow_prune(true);
        self.routes.allow_prune(true);
    }

    /// Notifications were lost.
    pub(super) fn resync(&mut self) {
        self.resync = true;
    }

    /// When [`Self::prepare`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        [self.routes.poll_timeout(), self.rules.poll_timeout()].into_iter().flatten().min()
    }

    /// Somebody changed a route.
    pub(super) fn route_changed(&mut self, change: Change<Route>) {
        self.routes.observe_object(change);
    }

    /// Somebody changed a rule.
    pub(super) fn rule_changed(&mut self, change: Change<Rule>) {
        self.rules.observe_object(change);
    }

    /// An interface came, went or changed its state: routes over it may be gone without a word, or possible again.
    pub(super) fn link_changed(&mut self, index: IfIndex) {
        let over = |route: &Route| matches!(&route.target, RouteTarget::Hop(hop) if hop.dev == Some(index));
        self.routes.distrust(|_, route| over(route));
        self.routes.retry(|_| true);
    }

    /// What is wrong.
    pub(super) fn faults(&self) -> impl Iterator<Item = &String> {
        self.faults.values()
    }

    /// Puts what is wanted into the kernel: before packets are marked.
    pub(super) fn prepare(&mut self) -> Result<(), Error> {
        let result = self.try_prepare();
        self.resync = result.is_err();
        result
    }

    fn try_prepare(&mut self) -> Result<(), Error> {
        if self.resync {
            self.routes.resync()?;
            self.rules.resync()?;
        }
        let now = Instant::now();
        let routes = self.routes.reconcile(now)?;
        let rules = self.rules.reconcile(now)?;
        self.note(routes);
        self.note(rules);
        Ok(())
    }

    /// Takes what is not wanted out of it: once packets are not marked any more.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.leaving.is_empty() {
            return Ok(());
        }
        let leaving = std::mem::take(&mut self.leaving);
        leaving.iter().for_each(|key| self.rules.unset(&rule(*key)));
        if let Err(error) = self.try_prepare() {
            // Their routes stay until the rules are gone.
            self.leaving.extend(leaving);
            self.resync = true;
            return Err(error);
        }
        leaving.iter().for_each(|key| self.routes.unset(&route(*key, Detour::Refused).key()));
        self.try_prepare()
    }

    fn note<K: std::fmt::Display>(&mut self, report: Report<K, Error>) {
        for failure in report.failures {
            let (key, text) = (failure.key.to_string(), failure.error.to_string());
            if self.faults.get(&key) != Some(&text) {
                warn!(error = text, "refused, and tried again");
                self.faults.insert(key, text);
            }
        }
        let unsettled: BTreeSet<String> = {
            let routes = self.routes.desired().map(|(key, _)| key).filter(|key| !self.routes.is_settled(key));
            let rules = self.rules.desired().map(|(key, _)| key).filter(|key| !self.rules.is_settled(key));
            routes.map(ToString::to_string).chain(rules.map(ToString::to_string)).collect()
        };
        self.faults.retain(|key, _| unsettled.contains(key));
    }
}

fn table((_, slot): Key) -> TableId {
    TableId(TABLES + u32::from(slot.number()))
}

fn rule(key: Key) -> Rule {
    let (family, slot) = key;
    let lookup = Rule::new(family, PRIORITY, RuleAction::Lookup(table(key)));
    Rule { mark: Some((slot.mark(), EGRESS_MARKS)), ..lookup }
}

fn route(key: Key, detour: Detour) -> Route {
    let everywhere = match key.0 {
        Family::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let prefix = Prefix::containing(everywhere, 0).unwrap_or_else(|| Prefix::host(everywhere));
    let (kind, target) = match detour {
        Detour::Refused => (RouteKind::Unreachable, RouteTarget::None),
        Detour::Gateway(to) => {
            let hop = Hop { onlink: to.onlink, ..Hop::via(to.address, Some(IfIndex(to.index))) };
            (RouteKind::Unicast, RouteTarget::Hop(hop))
        }
    };
    Route { table: table(key), priority: METRIC, ..Route::new(prefix, kind, target) }.normalised()
}

/// Is it a route of such a table?
pub(super) fn is_detour(key: &RouteKey) -> bool {
    (TABLES..=TABLES + u32::from(u8::MAX)).contains(&key.table.0)
}
