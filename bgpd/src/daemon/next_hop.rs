//! Next hops: the kernel's routes for the speaker, and the speaker's answers for people.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_core::nexthop::{Gateway, KernelRoute, ResolvedBy};
use bgp_core::speaker::{Input, NextHopView};
use bgpd_api::next_hop::{NextHop, NextHopGateway, NextHopPage};
use cairn_kernel::object::{IfIndex, protocol_name};
use cairn_net::Prefix;
use tracing::error;

use super::Daemon;
use crate::nexthop;

/// Next hops in one page.
const PAGE: usize = 256;

impl Daemon {
    /// Follows the kernel's routes if next hops are tracked, and only then.
    pub(super) fn follow_kernel(&mut self, tracked: bool) {
        if !tracked {
            self.tracker = None;
        } else if self.tracker.is_none() {
            self.trackers += 1;
            match nexthop::start(self.handle.clone(), self.trackers) {
                Ok(watch) => self.tracker = Some((self.trackers, watch)),
                Err(error) => error!(%error, "cannot follow the kernel's routes: next hops are not tracked"),
            }
        }
    }

    /// The kernel's routes changed, as the thread with this number tells. False: nobody wants to know it.
    pub(crate) fn set_kernel_routes(
        &mut self,
        number: u64,
        changes: Vec<(Prefix, Option<KernelRoute>)>,
        whole: bool,
    ) -> bool {
        if self.tracker.as_ref().is_none_or(|(current, _)| *current != number) {
            return false;
        }
        self.handle(Input::KernelRoutes { changes, whole });
        true
    }

    /// A page of the next hops after one, or only this one, and where the next page begins.
    pub(crate) fn next_hop_page(
        &self,
        after: Option<IpAddr>,
        only: Option<IpAddr>,
    ) -> (NextHopPage, Option<IpAddr>) {
        let mut page =
            NextHopPage { tracked: self.speaker.next_hop_statistics().is_some(), next_hops: Vec::new() };
        if let Some(only) = only {
            page.next_hops = self.speaker.next_hop(only).iter().map(view).collect();
            return (page, None);
        }
        let hops = self.speaker.next_hops(after, PAGE);
        page.next_hops = hops.iter().map(view).collect();
        let next = hops.last().filter(|_| hops.len() == PAGE).map(|hop| hop.address);
        (page, next)
    }
}

fn view(hop: &NextHopView) -> NextHop {
    let mut shown = NextHop {
        address: hop.address,
        paths: hop.paths.into(),
        metric: None,
        connected: false,
        unreachable: String::new(),
        via: None,
        protocol: String::new(),
        gateways: Vec::new(),
        discarded: false,
        since: hop.since.map(|since| since.elapsed()).unwrap_or(Duration::ZERO),
    };
    match &hop.way {
        None => {}
        Some(Err(reason)) => shown.unreachable = reason.to_string(),
        Some(Ok(way)) => {
            shown.metric = Some(way.reach.metric);
            shown.connected = way.reach.connected;
            shown.via = Some(way.prefix);
            shown.protocol = match way.by {
                ResolvedBy::Kernel(protocol) => protocol_name(protocol),
                ResolvedBy::Bgp => "bgp".to_owned(),
                ResolvedBy::Link => "link".to_owned(),
                ResolvedBy::Own => "self".to_owned(),
            };
            shown.gateways = gateways(&way.gateways);
            shown.discarded = way.discards;
        }
    }
    shown
}

fn gateways(gateways: &Arc<[Gateway]>) -> Vec<NextHopGateway> {
    let gateway = |gateway: &Gateway| NextHopGateway {
        address: gateway.address,
        interface: gateway.interface,
        // One that is gone has its number for a name.
        interface_name: IfIndex(gateway.interface).name(),
    };
    gateways.iter().map(gateway).collect()
}
