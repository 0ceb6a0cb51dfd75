//! From a next hop to routers on our links.
//!
//! The longest prefix decides, as it does for packets. A route of the kernel comes before a learned one to the same prefix. A learned
//! route counts only if a next hop of it can be resolved in turn; otherwise the next shorter prefix is asked, as if it were
//! not there: it is not in the kernel either. felix-lite resolves in the same way (`felix-lite/core/src/route/hop.rs`).

use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::{Family, Prefix};
use smallvec::SmallVec;

use super::{Gateway, KernelTable, NextHopTracking, Reach, Resolution, ResolvedBy, Unresolved};

/// How many next hops a lookup may pass through: its own and those of learned routes.
const DEPTH: usize = 4;

/// Next hops of a learned route.
pub(crate) type NextHops = SmallVec<[IpAddr; 4]>;

/// What a lookup reads.
pub(crate) struct Lookup<'a> {
    pub(crate) options: NextHopTracking,
    pub(crate) kernel: &'a KernelTable,
    /// Addresses of this machine.
    pub(crate) own: &'a dyn Fn(IpAddr) -> bool,
    /// The next hops of the learned route to exactly this prefix, if it may be used on the way to this next hop: no path to the prefix
    /// has it itself.
    pub(crate) learned: &'a dyn Fn(Prefix, IpAddr) -> Option<NextHops>,
    /// The interface behind which a link-local address is; 0: not known.
    pub(crate) link: &'a dyn Fn(IpAddr) -> u32,
}

/// What a lookup has found.
pub(crate) struct Found {
    pub(crate) way: Result<Resolution, Unresolved>,
    /// It has asked for the next hops of a learned route, whether they were of use or not: so it depends on theirs, too.
    pub(crate) depends: bool,
}

/// Looks a next hop up.
pub(crate) fn resolve(lookup: &Lookup<'_>, address: IpAddr) -> Found {
    let mut walk = Walk { lookup, chain: SmallVec::new(), depends: false };
    let way = walk.resolve(address);
    Found { way, depends: walk.depends }
}

/// A lookup under way.
struct Walk<'a> {
    lookup: &'a Lookup<'a>,
    /// The next hops on the way here, none of which may come again.
    chain: SmallVec<[IpAddr; DEPTH]>,
    depends: bool,
}

impl Walk<'_> {
    fn resolve(&mut self, address: IpAddr) -> Result<Resolution, Unresolved> {
        if is_link_local(address) {
            return Ok(self.on_link(address));
        }
        if (self.lookup.own)(address) {
            return Ok(Resolution {
                reach: Reach { own: true, ..Reach::ASSUMED },
                prefix: Prefix::host(address),
                by: ResolvedBy::Own,
                gateways: Arc::new([]),
            });
        }
        if self.chain.len() >= DEPTH || self.chain.contains(&address) {
            return Err(Unresolved::Loop);
        }
        self.chain.push(address);
        let found = self.longest(address);
        self.chain.pop();
        found
    }

    fn longest(&mut self, address: IpAddr) -> Result<Resolution, Unresolved> {
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
                if route.gateways.is_empty() {
                    return Err(Unresolved::Discarded(prefix));
                }
                let connected = route.gateways.iter().all(|gateway| gateway.address.is_none());
                let towards =
                    |gateway: &Gateway| Gateway { address: gateway.address.or(Some(address)), ..*gateway };
                return Ok(Resolution {
                    reach: Reach { metric: if connected { 0 } else { route.metric }, connected, own: false },
                    prefix,
                    by: ResolvedBy::Kernel(route.protocol),
                    gateways: sorted(route.gateways.iter().map(towards).collect()),
                });
            }
            self.depends = true;
            match of_bgp.and_then(|hops| self.through(prefix, &hops)) {
                Some(resolution) => return Ok(resolution),
                None => why = Unresolved::Loop,
            }
        }
        Err(why)
    }

    /// By a learned route: wherever its next hops lead.
    fn through(&mut self, prefix: Prefix, hops: &[IpAddr]) -> Option<Resolution> {
        let mut metric = None;
        let mut gateways = Vec::new();
        for hop in hops {
            // Nobody is to be sent what leads to this machine itself.
            if let Ok(found) = self.resolve(*hop).as_ref()
                && !found.reach.own
            {
                metric = Some(metric.unwrap_or(u32::MAX).min(found.reach.metric));
                gateways.extend_from_slice(&found.gateways);
            }
        }
        let reach = Reach { metric: metric?, connected: false, own: false };
        Some(Resolution { reach, prefix, by: ResolvedBy::Bgp, gateways: sorted(gateways) })
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
        }
    }
}

fn sorted(mut gateways: Vec<Gateway>) -> Arc<[Gateway]> {
    gateways.sort_unstable();
    gateways.dedup();
    gateways.into()
}

fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if address.is_unicast_link_local())
}
