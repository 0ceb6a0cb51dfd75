//! From a next hop to routers on our links.
//!
//! The longest prefix decides, as it does for packets. A route of the kernel comes before a learned one to the same prefix. A learned
//! route counts only if a next hop of it can be resolved in turn; otherwise the next shorter prefix is asked, as if it were
//! not there: it is not in the kernel either.
//!
//! What an address leads to depends on nothing but how many next hops may still follow, not on those before it. So everything is looked up
//! once for each number of these, however many routes lead through it, and circles end by that number.

use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};
use foldhash::HashMap;
use smallvec::SmallVec;

use super::{
    Gateway, KernelRoute, KernelTable, KernelTarget, NextHopTracking, Reach, Resolution, ResolvedBy,
    Unresolved,
};

/// How many next hops a lookup may pass through: its own and those of learned routes.
const DEPTH: u8 = 4;
/// Next hops of learned routes that are named of which a way depends; one of more depends on all that change.
const NAMED: usize = 32;

/// Next hops of a learned route.
pub(crate) type NextHops = SmallVec<[IpAddr; 4]>;

/// Where a learned route leads.
pub(crate) enum Learned {
    /// To these next hops.
    Through(NextHops),
    /// Nowhere: it is a blackhole (RFC 7999).
    Blackhole,
}

/// What a lookup reads.
pub(crate) struct Lookup<'a> {
    pub(crate) options: NextHopTracking,
    pub(crate) kernel: &'a KernelTable,
    /// Addresses of this machine.
    pub(crate) own: &'a dyn Fn(IpAddr) -> bool,
    /// Where the learned route to exactly this prefix leads, if it may be used on the way to this next hop: no path to the prefix has
    /// it itself.
    pub(crate) learned: &'a dyn Fn(Prefix, IpAddr) -> Option<Learned>,
    /// The interface behind which a link-local address is; 0: not known.
    pub(crate) link: &'a dyn Fn(IpAddr) -> u32,
}

/// What a lookup has found.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) way: Result<Resolution, Unresolved>,
    /// Which next hops of learned routes it came by, whether they were of use or not: it depends on what leads to these, too.
    pub(crate) passed: Passed,
}

/// Next hops that a lookup came by on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Passed {
    /// These, each once.
    These(SmallVec<[IpAddr; 2]>),
    /// More than are named.
    Many,
}

impl Passed {
    /// None.
    pub(crate) fn none() -> Self {
        Self::These(SmallVec::new())
    }

    fn add(&mut self, address: IpAddr) {
        match self {
            Self::These(these) if these.contains(&address) => {}
            Self::These(these) if these.len() < NAMED => these.push(address),
            Self::These(_) | Self::Many => *self = Self::Many,
        }
    }

    fn add_all(&mut self, others: &Self) {
        match others {
            Self::These(others) => others.iter().for_each(|other| self.add(*other)),
            Self::Many => *self = Self::Many,
        }
    }
}

/// Lookups of one pass, during which nothing changes that they read.
pub(crate) struct Lookups<'a> {
    lookup: Lookup<'a>,
    /// What was found, by address and how many next hops might follow; 0: that made no difference.
    known: HashMap<(IpAddr, u8), Found>,
}

impl<'a> Lookups<'a> {
    pub(crate) fn new(lookup: Lookup<'a>) -> Self {
        Self { lookup, known: HashMap::default() }
    }

    /// Looks a next hop up.
    pub(crate) fn resolve(&mut self, address: IpAddr) -> Found {
        self.with_others(address, DEPTH)
    }

    /// Looks a next hop up, with so many that it may pass through, itself among them.
    fn with_others(&mut self, address: IpAddr, most: u8) -> Found {
        let alone = |way| Found { way, passed: Passed::none() };
        if is_link_local(address) {
            return alone(Ok(self.on_link(address)));
        }
        if (self.lookup.own)(address) {
            return alone(Ok(Resolution {
                reach: Reach { own: true, ..Reach::ASSUMED },
                prefix: Prefix::host(address),
                by: ResolvedBy::Own,
                gateways: Arc::new([]),
                discards: false,
            }));
        }
        let Some(others) = most.checked_sub(1) else { return alone(Err(Unresolved::Loop)) };
        if let Some(found) = self.known.get(&(address, 0)).or_else(|| self.known.get(&(address, most))) {
            return found.clone();
        }
        let mut passed = Passed::none();
        let way = self.longest(address, others, &mut passed);
        let found = Found { way, passed };
        let number = if found.passed == Passed::none() { 0 } else { most };
        self.known.insert((address, number), found.clone());
        found
    }

    /// By the longest prefix, through so many other next hops at most.
    fn longest(
        &mut self,
        address: IpAddr,
        others: u8,
        passed: &mut Passed,
    ) -> Result<Resolution, Unresolved> {
        let mut why = Unresolved::NoRoute;
        for len in (0..=Family::of(address).bits()).rev() {
            let Some(prefix) = Prefix::containing(address, len) else { continue };
            let of_kernel = self.lookup.kernel.of_length(address, prefix);
            let of_bgp = if of_kernel.is_none() { (self.lookup.learned)(prefix, address) } else { None };
            if of_kernel.is_none() && of_bgp.is_none() {
                continue;
            }
            if len == 0 && !self.lookup.options.resolve_via_default {
                return Err(if why == Unresolved::NoRoute { Unresolved::OnlyDefault } else { why });
            }
            if let Some(route) = of_kernel {
                return by_kernel(prefix, route, address);
            }
            match of_bgp {
                Some(Learned::Blackhole) => return Ok(discarded(prefix, 0, ResolvedBy::Bgp)),
                Some(Learned::Through(hops)) => match self.through(prefix, &hops, others, passed) {
                    Some(resolution) => return Ok(resolution),
                    None => why = Unresolved::Loop,
                },
                None => {}
            }
        }
        Err(why)
    }

    /// By a learned route: wherever its next hops lead. Where some lead to routers, those that lead nowhere do not count.
    fn through(
        &mut self,
        prefix: Prefix,
        hops: &[IpAddr],
        others: u8,
        passed: &mut Passed,
    ) -> Option<Resolution> {
        let lower = |metric: Option<u32>, other| Some(metric.unwrap_or(u32::MAX).min(other));
        let (mut metric, mut metric_of_discards) = (None, None);
        let mut gateways = Vec::new();
        for hop in hops {
            let Found { way, passed: beyond } = self.with_others(*hop, others);
            passed.add(*hop);
            passed.add_all(&beyond);
            match way {
                // Nobody is to be sent what leads to this machine itself.
                Ok(found) if found.reach.own => {}
                Ok(found) if found.discards => {
                    metric_of_discards = lower(metric_of_discards, found.reach.metric);
                }
                Ok(found) => {
                    metric = lower(metric, found.reach.metric);
                    gateways.extend_from_slice(&found.gateways);
                }
                Err(_) => {}
            }
        }
        let Some(metric) = metric else {
            return metric_of_discards.map(|metric| discarded(prefix, metric, ResolvedBy::Bgp));
        };
        let reach = Reach { metric, connected: false, own: false };
        Some(Resolution { reach, prefix, by: ResolvedBy::Bgp, gateways: sorted(gateways), discards: false })
    }

    /// The session has come over the link that the address is on.
    fn on_link(&self, address: IpAddr) -> Resolution {
        let interface = (self.lookup.link)(address);
        let gateway = Gateway { address: Some(address), interface, onlink: false };
        Resolution {
            reach: Reach::ASSUMED,
            prefix: Prefix::host(address),
            by: ResolvedBy::Link,
            gateways: Some(gateway).filter(|_| interface != 0).into_iter().collect(),
            discards: false,
        }
    }
}

/// By a route of the kernel, which comes from the longest prefix.
fn by_kernel(prefix: Prefix, route: &KernelRoute, address: IpAddr) -> Result<Resolution, Unresolved> {
    let by = ResolvedBy::Kernel(route.protocol);
    let gateways = match &route.target {
        KernelTarget::Refused => return Err(Unresolved::Refused(prefix)),
        KernelTarget::Blackhole => return Ok(discarded(prefix, route.metric, by)),
        KernelTarget::Gateways(gateways) => gateways,
    };
    let connected = gateways.iter().all(|gateway| gateway.address.is_none());
    let towards = |gateway: &Gateway| Gateway { address: gateway.address.or(Some(address)), ..*gateway };
    Ok(Resolution {
        reach: Reach { metric: if connected { 0 } else { route.metric }, connected, own: false },
        prefix,
        by,
        gateways: sorted(gateways.iter().map(towards).collect()),
        discards: false,
    })
}

/// The way to a next hop behind a blackhole: there is one, and it ends there.
fn discarded(prefix: Prefix, metric: u32, by: ResolvedBy) -> Resolution {
    let reach = Reach { metric, connected: false, own: false };
    Resolution { reach, prefix, by, gateways: Arc::new([]), discards: true }
}

fn sorted(mut gateways: Vec<Gateway>) -> Arc<[Gateway]> {
    gateways.sort_unstable();
    gateways.dedup();
    gateways.into()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
