//! What becomes of a received path before selection.
//!
//! Spec: RFC 4271 sections 9.1.2 (AS loop) and 5.1.3 (next hop); RFC 4456 section 8 (reflection loops); RFC 8212.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use cairn_net::{Asn, Prefix, RouterId};
use foldhash::HashMap;
use smallvec::SmallVec;

use super::attrs::{Interner, RouteAttributes, Scope, confined};
use super::source::SourceKind;
use super::table::Verdict;
use crate::policy::{self, Hits, Matched, NextHopSetting, Policy, PolicyPeer, PrefixClass, RouteView};
use crate::speaker::LocalAs;
use crate::wire::{AsPath, Attributes, NextHop, Role, Segment};

/// Why a received path is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rejection {
    /// Our own AS is in the path too often.
    AsLoop,
    /// We are the originator (RFC 4456).
    OriginatorLoop,
    /// It went through our cluster (RFC 4456).
    ClusterLoop,
    /// The next hop is ourselves.
    OwnNextHop,
    /// The import policy says no.
    Policy,
    /// An eBGP session without import policy (RFC 8212).
    NoPolicy,
    /// A blackhole for a prefix that is too short to be one (RFC 7999).
    BlackholeTooShort,
    /// It has been to a customer or a peer, and comes back up (RFC 9234).
    RouteLeak,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AsLoop => "our own AS is in the AS path",
            Self::OriginatorLoop => "we are its originator",
            Self::ClusterLoop => "our cluster is in the cluster list",
            Self::OwnNextHop => "its next hop is ourselves",
            Self::Policy => "the import policy rejects it",
            Self::BlackholeTooShort => "a blackhole for so short a prefix is not accepted (RFC 7999)",
            Self::NoPolicy => "the eBGP peer has no import policy (RFC 8212)",
            Self::RouteLeak => "it is a route leak: only for customers (OTC, RFC 9234)",
        })
    }
}

/// The checks of a session that look at attributes only.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImportRules {
    pub(crate) kind: SourceKind,
    /// Our AS, in a confederation our member AS.
    pub(crate) local_as: Asn,
    /// The identifier of the confederation that we are in (RFC 5065).
    pub(crate) confederation: Option<Asn>,
    /// As which other AS we speak to the peer.
    pub(crate) session_as: Option<LocalAs>,
    /// The peer's AS.
    pub(crate) peer_as: Asn,
    /// Our role towards the peer.
    pub(crate) role: Option<Role>,
    pub(crate) router_id: RouterId,
    pub(crate) cluster_id: RouterId,
    /// How often our AS may be in the path.
    pub(crate) allow_own_as: u8,
    /// Blackholes are accepted for prefixes of at least this length, by family (RFC 7999); `None`: BLACKHOLE means nothing.
    pub(crate) blackhole: Option<[u8; 2]>,
    /// Nothing is taken in for want of a policy.
    pub(crate) denied: bool,
    /// Our end of the session.
    pub(crate) local: Option<IpAddr>,
    /// The peer's end.
    pub(crate) peer: IpAddr,
    /// The import policy.
    pub(crate) policy: Option<Arc<Policy>>,
}

impl ImportRules {
    /// Is there a reason to reject all paths with these attributes?
    pub(crate) fn check(&self, route: &RouteAttributes) -> Result<(), Rejection> {
        let attributes = &route.attributes;
        let too_often = |occurrences| occurrences > usize::from(self.allow_own_as);
        let session_as = self.session_as.map(|session| attributes.as_path.occurrences(session.asn));
        if too_often(self.own_occurrences(&attributes.as_path)) || session_as.is_some_and(too_often) {
            return Err(Rejection::AsLoop);
        }
        if self.is_leak(attributes.only_to_customer) {
            return Err(Rejection::RouteLeak);
        }
        if self.kind.is_internal() {
            let router_id = Ipv4Addr::from(self.router_id.get());
            if attributes.originator_id == Some(router_id) {
                return Err(Rejection::OriginatorLoop);
            }
            if attributes.cluster_list.contains(Ipv4Addr::from(self.cluster_id.get())) {
                return Err(Rejection::ClusterLoop);
            }
        }
        if self.local == Some(route.next_hop.addr) {
            return Err(Rejection::OwnNextHop);
        }
        if self.denied { Err(Rejection::NoPolicy) } else { Ok(()) }
    }

    /// The path as the import policy sees it.
    pub(crate) fn view<'a>(&self, prefix: Prefix, route: &'a RouteAttributes) -> RouteView<'a> {
        RouteView {
            prefix,
            attributes: &route.attributes,
            next_hop: route.next_hop,
            source: self.kind.into(),
            peer: PolicyPeer { address: self.peer, kind: self.kind.peer_type() },
        }
    }

    /// RFC 9234 section 5, the first two rules of receipt.
    fn is_leak(&self, only_to_customer: Option<Asn>) -> bool {
        match (self.role, only_to_customer) {
            (Some(Role::Provider | Role::RouteServer), Some(_)) => true,
            (Some(Role::Peer), Some(marked_by)) => marked_by != self.peer_as,
            _ => false,
        }
    }

    /// A path that passed [`ImportRules::check`] as the policy gets it: with the other AS number of the session in front of its path, with
    /// the mark that the sender's role asks for (RFC 9234 section 5, the third rule of receipt), and after what well-known communities
    /// ask for: the lowest LOCAL_PREF for one from outside that is about to go (RFC 8326 section 4.2), and no further than the AS
    /// for a blackhole (RFC 7999 section 3.2).
    pub(crate) fn prepared(
        &self,
        route: &Arc<RouteAttributes>,
        interner: &mut Interner,
    ) -> Arc<RouteAttributes> {
        match self.adapted(route) {
            Some((attributes, next_hop)) => interner.intern(attributes, next_hop),
            None => Arc::clone(route),
        }
    }

    /// As [`ImportRules::prepared`], for a route that is only looked at.
    pub(crate) fn prepared_view(&self, route: &Arc<RouteAttributes>) -> Arc<RouteAttributes> {
        match self.adapted(route) {
            Some((attributes, next_hop)) => Arc::new(RouteAttributes::detached(attributes, next_hop)),
            None => Arc::clone(route),
        }
    }

    /// Attributes and next hop after what the session's local AS, role and link ask for, and what well-known communities do; `None`:
    /// nothing changes.
    fn adapted(&self, route: &RouteAttributes) -> Option<(Attributes, NextHop)> {
        let prepend = self.session_as.filter(|session| !session.no_prepend).map(|session| session.asn);
        let from_above = matches!(self.role, Some(Role::Customer | Role::Peer | Role::RouteServerClient));
        let mark = from_above && route.attributes.only_to_customer.is_none();
        let lower = route.is_shutting_down && self.kind.is_external();
        let confine = route.is_blackhole && self.blackhole.is_some() && route.scope == Scope::Any;
        let next_hop = self.on_link(route.next_hop);
        if prepend.is_none() && !mark && !lower && !confine && next_hop == route.next_hop {
            return None;
        }
        let mut attributes = route.attributes.clone();
        if let Some(asn) = prepend {
            attributes.as_path = attributes.as_path.prepended(asn, 1);
        }
        if mark {
            attributes.only_to_customer = Some(self.peer_as);
        }
        if lower {
            attributes.local_pref = Some(0);
        }
        if confine {
            attributes = confined(attributes);
        }
        Some((attributes, next_hop))
    }

    /// On a link without addresses of its own the neighbour's other addresses cannot be reached, but its link-local one can.
    fn on_link(&self, next_hop: NextHop) -> NextHop {
        match next_hop.link_local {
            Some(addr) if NextHop::new(self.peer).is_link_local() => NextHop::new(addr.into()),
            _ => next_hop,
        }
    }

    pub(crate) fn is_blackhole_too_short(&self, prefix: Prefix, route: &RouteAttributes) -> bool {
        let least = self.blackhole.map(|least| least[prefix.family() as usize]);
        route.is_blackhole && least.is_some_and(|least| prefix.len() < least)
    }

    /// How often our AS is in the path. A member AS is one only where the confederation speaks of it (RFC 5065 section 4): its
    /// number may be somebody else's outside.
    fn own_occurrences(&self, path: &AsPath) -> usize {
        let Some(identifier) = self.confederation else { return path.occurrences(self.local_as) };
        let (member, outside) = (self.local_as, identifier);
        let own = |segment: Segment<'_>| {
            let own = if segment.kind.is_confederation() { member } else { outside };
            segment.asns().filter(|asn| *asn == own).count()
        };
        path.segments().map(own).sum()
    }

    /// What becomes of a path that passed [`ImportRules::check`].
    pub(crate) fn filter(
        &self,
        prefix: Prefix,
        route: &Arc<RouteAttributes>,
        interner: &mut Interner,
        verdicts: &mut Verdicts,
        hits: &Hits,
    ) -> Verdict {
        if self.is_blackhole_too_short(prefix, route) {
            return Verdict::Rejected(Rejection::BlackholeTooShort);
        }
        let Some(policy) = &self.policy else {
            return Verdict::Accepted(Arc::clone(route));
        };
        let class = policy.class(prefix);
        if let Some((verdict, matched)) = verdicts.find(class) {
            hits.count(matched);
            return verdict.clone();
        }
        let (verdict, matched) = policy.evaluate_counted(&self.view(prefix, route));
        let verdict = self.settle(route, verdict, interner);
        hits.count(&matched);
        if let Some(class) = class {
            verdicts.keep(class, verdict.clone(), matched);
        }
        verdict
    }

    /// The next hop after a policy's word about it.
    pub(crate) fn next_hop(&self, route: &RouteAttributes, setting: Option<NextHopSetting>) -> NextHop {
        match setting {
            None | Some(NextHopSetting::Unchanged) => route.next_hop,
            Some(NextHopSetting::OwnAddress) => self.local.map_or(route.next_hop, NextHop::new),
            Some(NextHopSetting::PeerAddress) => NextHop::new(self.peer),
            Some(NextHopSetting::Address(addr)) => NextHop::new(addr),
        }
    }

    /// What a policy's word means for a path of this session.
    fn settle(
        &self,
        route: &Arc<RouteAttributes>,
        verdict: policy::Verdict<'_>,
        interner: &mut Interner,
    ) -> Verdict {
        let policy::Verdict::Accept(accepted) = verdict else {
            return Verdict::Rejected(Rejection::Policy);
        };
        let next_hop = self.next_hop(route, accepted.next_hop);
        match accepted.attributes {
            Cow::Borrowed(_) if next_hop == route.next_hop => Verdict::Accepted(Arc::clone(route)),
            attributes => Verdict::Accepted(interner.intern(attributes.into_owned(), next_hop)),
        }
    }
}

/// What the import policy said about one attribute set, by the class of the prefix.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(SmallVec<[(PrefixClass, Verdict, Matched); 1]>);

impl Verdicts {
    /// Classes that are remembered; a policy that tells more apart is asked again.
    const KEPT: usize = 16;

    fn find(&self, class: Option<PrefixClass>) -> Option<(&Verdict, &[u32])> {
        let (_, verdict, matched) = self.0.iter().find(|(known, ..)| Some(*known) == class)?;
        Some((verdict, matched))
    }

    fn keep(&mut self, class: PrefixClass, verdict: Verdict, matched: Matched) {
        if self.0.len() < Self::KEPT {
            self.0.push((class, verdict, matched));
        }
    }
}

/// [`Verdicts`] for many attribute sets, each of which must outlive this.
#[derive(Debug, Default)]
pub(crate) struct VerdictsBySet(HashMap<usize, Verdicts>);

impl VerdictsBySet {
    /// Attribute sets that are remembered at a time.
    const KEPT: usize = 1 << 16;

    pub(crate) fn of(&mut self, route: &Arc<RouteAttributes>) -> &mut Verdicts {
        if self.0.len() >= Self::KEPT {
            self.0.clear();
        }
        self.0.entry(Arc::as_ptr(route) as usize).or_default()
    }
}
