//! What a kind of peer is told about a route.
//!
//! Spec: RFC 4271 sections 5.1 and 9.2; RFC 4456 section 8; RFC 5065 section 4; RFC 1997 (well-known communities).
//! Invariant: a pure function of the treatment and the route. So nobody keeps an Adj-RIB-Out: what a peer was told about a route
//! that changes is computed again from the old route.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cairn_net::{Asn, Families, Family, Prefix, RouterId};
use smallvec::SmallVec;

use super::attrs::{RouteAttributes, Scope};
use super::outbound::{Outbound, default_nlri};
use super::source::{Source, SourceId, SourceKind};
use super::table::{Best, NetId, Table};
use crate::policy::{Matched, NextHopSetting, Policy, PolicyPeer, PrefixClass, RouteView, Verdict};
use crate::speaker::{LocalAs, NextHopMode};
use crate::wire::{Attributes, Community, EncodeContext, Marks, NextHop, Nlri, Role, WireList};

/// Everything that decides what a peer is told. Peers with equal treatment form one update group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Treatment {
    /// What the receiver is to us.
    pub(crate) kind: SourceKind,
    /// Our AS as the receiver knows it: in a confederation the identifier outside, the member AS inside.
    pub(crate) local_as: Asn,
    /// LOCAL_PREF of routes that have none.
    pub(crate) default_local_pref: u32,
    /// Routes from clients go to clients (RFC 4456).
    pub(crate) reflects_between_clients: bool,
    /// As which other AS we speak to the peer.
    pub(crate) session_as: Option<LocalAs>,
    /// Our role towards the peer.
    pub(crate) role: Option<Role>,
    /// The cluster that we reflect for.
    pub(crate) cluster_id: RouterId,
    /// The next hop rule.
    pub(crate) next_hop: NextHopMode,
    /// Ourselves as a next hop.
    pub(crate) local: LocalAddresses,
    /// Families that were negotiated.
    pub(crate) families: Families,
    /// By family: how many paths of a prefix it is told; 0: the best one, without ADD-PATH.
    pub(crate) paths: [u8; 2],
    /// IPv4 routes may have an IPv6 next hop.
    pub(crate) extended_next_hop: bool,
    /// The peer knows what a long-lived stale route is (RFC 9494).
    pub(crate) long_lived_restart: bool,
    /// The form of messages.
    pub(crate) encode: EncodeContext,
    /// The export policy.
    pub(crate) policy: Option<Arc<Policy>>,
    /// The peer's address, where the policy uses it.
    pub(crate) peer_address: Option<IpAddr>,
    /// Nothing is announced for want of a policy (RFC 8212).
    pub(crate) denied: bool,
    /// What is changed and held back beside the policy.
    pub(crate) outbound: Outbound,
}

/// What the export policy made of a route.
#[derive(Debug)]
pub(crate) struct Filtered<'a> {
    pub(crate) attributes: Cow<'a, Attributes>,
    pub(crate) next_hop: Option<NextHopSetting>,
    /// MULTI_EXIT_DISC is the policy's word.
    med_set: bool,
}

impl<'a> Filtered<'a> {
    /// As it was.
    pub(super) fn unchanged(route: &'a RouteAttributes) -> Self {
        Self { attributes: Cow::Borrowed(&route.attributes), next_hop: None, med_set: false }
    }
}

/// Our address for each family of routes, as far as there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LocalAddresses {
    /// For IPv4 routes.
    pub(crate) ipv4: Option<NextHop>,
    /// For IPv6 routes.
    pub(crate) ipv6: Option<NextHop>,
}

impl LocalAddresses {
    /// For routes of this family.
    pub(crate) fn of(&self, family: Family) -> Option<NextHop> {
        match family {
            Family::Ipv4 => self.ipv4,
            Family::Ipv6 => self.ipv6,
        }
    }
}

impl Treatment {
    /// Told all paths of a prefix.
    pub(crate) const ALL_PATHS: u8 = u8::MAX;

    /// How many paths of a prefix it is told; `None`: the best one, without ADD-PATH.
    pub(super) fn path_limit(&self, family: Family) -> Option<u8> {
        Some(self.paths[family as usize]).filter(|paths| *paths > 0)
    }

    /// How many paths of a prefix must be in order for it.
    pub(crate) fn ranks(&self) -> u8 {
        // Where all are told, only which ones there are.
        let needs = |paths: &u8| if *paths == Self::ALL_PATHS { 1 } else { *paths };
        self.paths.iter().map(needs).max().unwrap_or(0)
    }

    /// Calls `each` with the routes to a prefix that may be told.
    pub(crate) fn each_route(&self, table: &Table, net: NetId, mut each: impl FnMut(Nlri, Best)) {
        let prefix = table.nets[net].prefix;
        match self.path_limit(prefix.family()) {
            Some(limit) => table.each_ranked(net, limit, each),
            None => {
                if let Some(best) = table.best(net) {
                    each(prefix.into(), best);
                }
            }
        }
    }

    /// The route that is told under this prefix and identifier.
    pub(crate) fn route(&self, table: &Table, nlri: Nlri) -> Option<Best> {
        match self.path_limit(nlri.prefix.family()) {
            Some(limit) => table.ranked_by_id(nlri, limit),
            None => table.find(nlri.prefix).and_then(|net| table.best(net)),
        }
    }

    /// May the route go to such a peer at all, whatever the policy says?
    pub(crate) fn may_be_told(&self, family: Family, route: &RouteAttributes, source: &Source) -> bool {
        !self.denied
            && self.families.contains(family)
            && self.may_pass(route, source.kind)
            && !self.would_leak(route)
    }

    /// What is for customers only goes to no one else (RFC 9234 section 5).
    fn would_leak(&self, route: &RouteAttributes) -> bool {
        let upwards = matches!(self.role, Some(Role::Customer | Role::Peer | Role::RouteServerClient));
        upwards && route.attributes.only_to_customer.is_some()
    }

    /// The class of a prefix: routes with the same attributes, source and class are told alike. `None`: there are no classes.
    pub(crate) fn class(&self, prefix: Prefix) -> Option<PrefixClass> {
        self.policy.as_ref().map_or(Some(PrefixClass::ONLY), |policy| policy.class(prefix))
    }

    /// The route as the export policy sees it.
    pub(crate) fn view<'a>(
        &self,
        prefix: Prefix,
        route: &'a RouteAttributes,
        source: &Source,
    ) -> RouteView<'a> {
        // Only a policy that asks for the address gets one, and then no two peers share the treatment.
        let address = self.peer_address.unwrap_or(prefix.family().unspecified());
        RouteView {
            prefix,
            attributes: &route.attributes,
            next_hop: route.next_hop,
            source: source.kind.into(),
            peer: PolicyPeer { address, kind: self.kind.peer_type() },
        }
    }

    /// Does the export policy let the route pass, and how does it change it? `None`: it is not announced. Also the statements of the policy
    /// that matched.
    pub(crate) fn filter<'a>(
        &'a self,
        prefix: Prefix,
        route: &'a RouteAttributes,
        source: &Source,
    ) -> (Option<Filtered<'a>>, Matched) {
        if self.outbound.withholds(prefix) || !self.may_be_told(prefix.family(), route, source) {
            return (None, Matched::new());
        }
        let Some(policy) = &self.policy else {
            return (Some(Filtered::unchanged(route)), Matched::new());
        };
        let (verdict, matched) = policy.evaluate_counted(&self.view(prefix, route, source));
        (Self::passed(verdict), matched)
    }

    /// What passed a policy.
    pub(crate) fn passed(verdict: Verdict<'_>) -> Option<Filtered<'_>> {
        match verdict {
            Verdict::Accept(accepted) => Some(Filtered {
                attributes: accepted.attributes,
                next_hop: accepted.next_hop,
                med_set: accepted.med_set,
            }),
            Verdict::Reject(_) => None,
        }
    }

    /// What the peer is told about a route that passed the filter; `None`: nothing, for want of a usable next hop.
    pub(crate) fn transform(
        &self,
        family: Family,
        route: &RouteAttributes,
        filtered: &Filtered<'_>,
        source: &Source,
    ) -> Option<(Attributes, NextHop)> {
        let next_hop = match filtered.next_hop {
            Some(NextHopSetting::OwnAddress) => self.local.of(family),
            Some(NextHopSetting::PeerAddress) => {
                self.peer_address.and_then(|addr| self.passed_on(family, addr.into()))
            }
            Some(NextHopSetting::Address(addr)) => self.passed_on(family, addr.into()),
            Some(NextHopSetting::Unchanged) if !route.next_hop.addr.is_unspecified() => {
                self.passed_on(family, route.next_hop)
            }
            Some(NextHopSetting::Unchanged) | None => self.next_hop(family, route.next_hop, source.kind),
        }?;
        let attributes = Attributes { marks: Marks::default(), ..filtered.attributes.as_ref().clone() };
        let attributes = match self.kind {
            SourceKind::External => self.to_external(attributes, filtered.med_set, source),
            SourceKind::Confederation => self.to_confederation(attributes, route),
            SourceKind::Internal | SourceKind::Client | SourceKind::Local => {
                self.to_internal(attributes, route, source)
            }
        };
        Some((self.outbound.mark(attributes, self.kind), next_hop))
    }

    fn may_pass(&self, route: &RouteAttributes, from: SourceKind) -> bool {
        // Within the AS there is a way to say it without the capability (RFC 9494 section 4.7).
        if route.long_lived_stale && !self.long_lived_restart && self.kind.is_external() {
            return false;
        }
        let scoped_out = match route.scope {
            Scope::Any => false,
            Scope::Confederation => self.kind == SourceKind::External,
            Scope::MemberAs => matches!(self.kind, SourceKind::External | SourceKind::Confederation),
            Scope::Nobody => true,
        };
        // Internal routes go to internal peers only by reflection: from clients to all, from others to clients.
        let reflected = match (from, self.kind) {
            (SourceKind::Internal, SourceKind::Internal) => false,
            (SourceKind::Client, SourceKind::Client) => self.reflects_between_clients,
            _ => true,
        };
        !scoped_out && reflected
    }

    fn next_hop(&self, family: Family, received: NextHop, from: SourceKind) -> Option<NextHop> {
        if let NextHopMode::Address(addr) = self.next_hop
            && let Some(hop) = self.passed_on(family, NextHop::new(addr))
        {
            return Some(hop);
        }
        // A link-local address means something on its own link only.
        let ourselves = received.addr.is_unspecified()
            || received.is_link_local()
            || match self.next_hop {
                NextHopMode::SelfAddress => true,
                NextHopMode::Unchanged => false,
                NextHopMode::Default | NextHopMode::Address(_) => self.kind == SourceKind::External,
            };
        if ourselves {
            return self.local.of(family);
        }
        // A link-local address means something on the link that it came from only.
        let hop = if from == SourceKind::Local { received } else { NextHop::new(received.addr) };
        self.passed_on(family, hop)
    }

    /// A next hop of the other family needs a peer that understands it.
    fn passed_on(&self, family: Family, hop: NextHop) -> Option<NextHop> {
        let extended = family == Family::Ipv4 && self.extended_next_hop;
        (family == hop.family() || extended).then_some(hop)
    }

    fn to_external(&self, mut attributes: Attributes, med_set: bool, source: &Source) -> Attributes {
        let path = attributes.as_path.without_confederation();
        // Whoever must not see our own number sees it nowhere.
        let own = match self.session_as {
            Some(LocalAs { asn, replace_as: true, .. }) => asn,
            _ => self.local_as,
        };
        let path = self.outbound.path(&path, own).prepended(own, 1);
        attributes.as_path = match self.session_as {
            Some(LocalAs { asn, replace_as: false, .. }) => path.prepended(asn, 1),
            _ => path,
        };
        if matches!(self.role, Some(Role::Provider | Role::Peer | Role::RouteServer)) {
            let seen_as = self.session_as.map_or(self.local_as, |session| session.asn);
            attributes.only_to_customer.get_or_insert(seen_as);
        }
        attributes.local_pref = None;
        attributes.originator_id = None;
        attributes.cluster_list = WireList::default();
        if source.kind != SourceKind::Local && !med_set {
            // A received MED goes no further than this AS (RFC 4271 section 5.1.4), one that the policy set does.
            attributes.med = None;
        }
        attributes
    }

    /// To another member AS: what stays inside of an AS stays inside of the confederation, but for the marks of reflection
    /// (RFC 5065 section 4).
    fn to_confederation(&self, attributes: Attributes, route: &RouteAttributes) -> Attributes {
        let mut attributes = self.inside(attributes, route);
        attributes.as_path = attributes.as_path.prepended_confederation(self.local_as);
        attributes.originator_id = None;
        attributes.cluster_list = WireList::default();
        attributes
    }

    /// What all that stays inside of the AS or the confederation has.
    fn inside(&self, mut attributes: Attributes, route: &RouteAttributes) -> Attributes {
        // One of our own that is about to go is everybody's last choice (RFC 8326 section 4); here it is not, or its echo would be preferred.
        let default = if route.is_shutting_down { 0 } else { self.default_local_pref };
        attributes.local_pref.get_or_insert(default);
        if route.long_lived_stale && !self.long_lived_restart {
            attributes.local_pref = Some(0);
            if !attributes.communities.contains(Community::NO_EXPORT) {
                attributes.communities = attributes.communities.prepended(Community::NO_EXPORT);
            }
        }
        attributes
    }

    fn to_internal(&self, attributes: Attributes, route: &RouteAttributes, source: &Source) -> Attributes {
        let mut attributes = self.inside(attributes, route);
        if source.kind.is_internal() {
            attributes.originator_id.get_or_insert(Ipv4Addr::from(source.router_id));
            let cluster_id = Ipv4Addr::from(self.cluster_id.get());
            attributes.cluster_list = attributes.cluster_list.prepended(cluster_id);
        }
        attributes
    }
}

impl Table {
    /// The routes of which a peer with the source number `me` is told differently under two treatments.
    pub(crate) fn differences(&self, old: &Treatment, new: &Treatment, me: SourceId) -> Vec<Nlri> {
        let told = |treatment: &Treatment, nlri: Nlri| {
            let family = nlri.prefix.family();
            if let Some(default) =
                treatment.default_route(family).filter(|_| default_nlri(family) == Some(nlri))
            {
                return Some(default);
            }
            let route = treatment.route(self, nlri).filter(|route| route.source != me)?;
            let source = &self.sources[route.source];
            let filtered = treatment.filter(nlri.prefix, &route.attributes, source).0?;
            treatment.transform(nlri.prefix.family(), &route.attributes, &filtered, source)
        };
        let mut differences = Vec::new();
        for (net, _) in self.nets.iter() {
            let mut routes: SmallVec<[Nlri; 4]> = SmallVec::new();
            for treatment in [old, new] {
                treatment.each_route(self, net, |nlri, _| {
                    if !routes.contains(&nlri) {
                        routes.push(nlri);
                    }
                });
            }
            differences.extend(routes.into_iter().filter(|nlri| told(old, *nlri) != told(new, *nlri)));
        }
        let defaults = Family::ALL.into_iter().filter_map(default_nlri);
        differences.extend(defaults.filter(|nlri| told(old, *nlri) != told(new, *nlri)));
        differences
    }
}
