//! What this node sends to other nodes' own addresses, through the tunnel.
//!
//! A table of ours has a route to each such address, and a rule of each family leads what this node itself sends into it, but for packets with our
//! mark: WireGuard's own. So encrypted packets take the node's other routes, and a node whose route here goes is reached over these
//! at once (docs/adr/0032).
//!
//! Plain packets from a node whose route leads into the tunnel must be taken, too: that is how it is reached while one side does not encrypt.
//! A reverse path filter that is strict would drop them, so where there is one nothing is routed here.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cairn_kernel::object::{
    Hop, IfIndex, Link, LinkName, Route, RouteKind, RouteTarget, Rule, RuleAction, TableId,
};
use cairn_kernel::reconciler::{BackOff, Reconciler, Rtnetlink};
use cairn_kernel::{Error, Rtnl};
use cairn_net::{Family, Prefix};
use felix_api::{MARK_MASK, NODES_PRIORITY, NODES_TABLE, TUNNEL_GROUP, WORKLOAD};
use felix_core::OwnAddresses;
use tracing::warn;

use crate::dataplane::host::is_strict;

/// The interface of what this node itself sends.
const LOOPBACK: &str = "lo";
/// When what failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Routes and rules.
#[derive(Debug)]
pub(super) struct NodeRoutes {
    rtnl: Rtnl,
    routes: Reconciler<Rtnetlink<Route>>,
    rules: Reconciler<Rtnetlink<Rule>>,
    /// The ways that there should be, and the device.
    wanted: (BTreeSet<OwnAddresses>, IfIndex),
    /// The kernel is to be read.
    stale: bool,
    retry_at: Option<Instant>,
    fault: Option<String>,
}

impl NodeRoutes {
    /// Nothing is known of the kernel yet.
    pub(super) fn open() -> Result<Self, Error> {
        let back_off = BackOff::default();
        let (routes, rules) = (Rtnl::open()?, Rtnl::open()?);
        let mut routes = Reconciler::new(Rtnetlink::new(routes, TableId(NODES_TABLE).into()), back_off);
        let mut rules = Reconciler::new(Rtnetlink::new(rules, NODES_PRIORITY), back_off);
        // Written only once all is known.
        routes.allow_prune(true);
        rules.allow_prune(true);
        let wanted = (BTreeSet::new(), IfIndex(0));
        Ok(Self { rtnl: Rtnl::open()?, routes, rules, wanted, stale: true, retry_at: None, fault: None })
    }

    /// What others did to it is found at the next [`Self::write`].
    pub(super) const fn resync(&mut self) {
        self.stale = true;
    }

    /// What is wrong.
    pub(super) const fn fault(&self) -> Option<&String> {
        self.fault.as_ref()
    }

    /// When [`Self::write`] should be called again, at the latest.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let engines = [self.retry_at, self.routes.poll_timeout(), self.rules.poll_timeout()];
        engines.into_iter().flatten().min()
    }

    /// Makes these the ways through a device.
    pub(super) fn write(&mut self, ways: BTreeSet<OwnAddresses>, device: IfIndex, now: Instant) {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        let wanted = (ways, device);
        if wanted == self.wanted && !self.stale && !is_due {
            return;
        }
        self.wanted = wanted;
        let result = self.try_write(now);
        let failed = result.is_err();
        let fault = result.unwrap_or_else(|error| {
            // A kernel without rules has none to take away.
            let any = !self.wanted.0.is_empty();
            any.then(|| format!("packets to other nodes' own addresses are not encrypted: {error}"))
        });
        self.stale = failed;
        self.retry_at = (failed && !self.wanted.0.is_empty()).then(|| now + RETRY);
        if let Some(fault) = fault.as_ref().filter(|fault| self.fault.as_ref() != Some(*fault)) {
            warn!(fault, "nodes are reached in clear text");
        }
        self.fault = fault;
    }

    /// Writes; a sentence where something is in the way.
    fn try_write(&mut self, now: Instant) -> Result<Option<String>, Error> {
        let (ways, device) = &self.wanted;
        let any_v4 = ways.iter().any(|way| way.there.is_ipv4());
        let strict = if any_v4 { strict_interface(&mut self.rtnl)? } else { None };
        let routes: Vec<Route> = ways
            .iter()
            .filter(|way| strict.is_none() || way.there.is_ipv6())
            .map(|way| route(*way, *device))
            .collect();
        let led = Family::ALL
            .into_iter()
            .filter(|family| routes.iter().any(|route| route.prefix.family() == *family));
        let rules: Vec<Rule> = led.map(rule).collect::<Result<_, _>>()?;
        if std::mem::take(&mut self.stale) {
            self.routes.resync()?;
            self.rules.resync()?;
        }
        replace(&mut self.routes, routes);
        replace(&mut self.rules, rules);
        let refused =
            self.routes.reconcile(now)?.failures.into_iter().map(|failure| failure.error.to_string());
        let refused: Vec<String> = refused
            .chain(self.rules.reconcile(now)?.failures.into_iter().map(|failure| failure.error.to_string()))
            .collect();
        let strict = strict.map(|name| {
            format!(
                "rp_filter of {name} is strict (1), which drops plain packets of nodes that are reached by WireGuard: what nodes send to each \
                 other over IPv4 is not encrypted until it is 2 (loose) or 0"
            )
        });
        Ok(strict.or_else(|| refused.into_iter().next()))
    }
}

/// Wants these objects and no others.
fn replace<O: cairn_kernel::reconciler::Owned>(engine: &mut Reconciler<Rtnetlink<O>>, objects: Vec<O>)
where
    O::Key: Clone + Ord,
{
    let known: Vec<O::Key> = engine.desired().map(|(key, _)| key.clone()).collect();
    let kept: BTreeSet<O::Key> = objects.iter().map(O::key).collect();
    known.iter().filter(|key| !kept.contains(key)).for_each(|key| engine.unset(key));
    objects.into_iter().for_each(|object| engine.set_object(object));
}

fn route(way: OwnAddresses, device: IfIndex) -> Route {
    let target = RouteTarget::Hop(Hop::dev(device));
    let prefix = Prefix::host(way.there);
    let route = Route::new(prefix, RouteKind::Unicast, target);
    Route { table: TableId(NODES_TABLE), prefsrc: Some(way.here), ..route }
}

/// What this node itself sends, without our mark.
fn rule(family: Family) -> Result<Rule, Error> {
    let iif: LinkName = LOOPBACK.parse()?;
    let rule = Rule::new(family, NODES_PRIORITY, RuleAction::Lookup(TableId(NODES_TABLE)));
    Ok(Rule { iif: Some(iif), mark: Some((0, MARK_MASK)), ..rule })
}

/// An interface that packets of other nodes may come by, and whose reverse path filter is strict.
fn strict_interface(rtnl: &mut Rtnl) -> Result<Option<String>, Error> {
    let is_ours =
        |link: &Link| link.group == TUNNEL_GROUP || link.name.starts_with(WORKLOAD) || link.flags.loopback;
    let mut links = rtnl.list::<Link>(None)?.into_iter();
    let strict = links.find(|link| link.flags.up && !is_ours(link) && is_strict(link));
    Ok(strict.map(|link| link.name))
}
