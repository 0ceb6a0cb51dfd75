//! What is changed about routes on their way out, beside the export policy.
//!
//! Spec: RFC 6996 section 4 (private AS numbers), RFC 8326 section 4 (graceful shutdown), RFC 1997.

use std::sync::Arc;

use cairn_net::{Asn, Families, Family, Prefix};

use super::attrs::{RouteAttributes, leaving};
use super::export::{Filtered, Treatment};
use super::source::{Source, SourceKind};
use crate::policy::PrefixList;
use crate::speaker::{RemovePrivateAs, SendCommunities};
use crate::wire::{AsPath, Attributes, NextHop, Nlri};

/// The options of a peer as they are in force.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Outbound {
    pub(crate) remove_private_as: Option<RemovePrivateAs>,
    pub(crate) as_override: bool,
    /// The receiver's AS, where it matters.
    pub(crate) peer_as: Option<Asn>,
    pub(crate) graceful_shutdown: bool,
    pub(crate) send_communities: SendCommunities,
    /// Families in which a default route of our own is sent.
    pub(crate) default_originate: Families,
    /// Routes that are not sent as long as their condition does not hold.
    pub(crate) withheld: Vec<Arc<PrefixList>>,
    /// Aggregates that stand for all that they cover.
    pub(crate) summarised: Vec<Prefix>,
}

impl Outbound {
    /// Is the prefix held back, whatever its route says?
    pub(super) fn withholds(&self, prefix: Prefix) -> bool {
        (prefix.len() == 0 && self.default_originate.contains(prefix.family()))
            || self.withheld.iter().any(|list| list.permits(prefix))
            || self.summarised.iter().any(|summary| summary.len() < prefix.len() && summary.covers(prefix))
    }

    /// The path without what the receiver shall not see; ours is not in front of it yet.
    pub(super) fn path(&self, path: &AsPath, local_as: Asn) -> AsPath {
        let mut path = path.clone();
        if let Some(remove) =
            self.remove_private_as.filter(|remove| remove.all || path.asns().all(Asn::is_private))
        {
            let replacement = remove.replace.then_some(local_as);
            path = path.rewritten(|asn| {
                let goes = asn.is_private() && Some(asn) != self.peer_as;
                if goes { replacement } else { Some(asn) }
            });
        }
        if self.as_override {
            path = path.rewritten(|asn| Some(if Some(asn) == self.peer_as { local_as } else { asn }));
        }
        path
    }

    /// The communities that are sent, and the mark of a coming end.
    pub(super) fn mark(&self, mut attributes: Attributes, receiver: SourceKind) -> Attributes {
        if self.graceful_shutdown {
            attributes = leaving(attributes, receiver.is_external());
        }
        if !self.send_communities.standard {
            attributes.communities = Default::default();
        }
        if !self.send_communities.extended {
            attributes.extended_communities = Default::default();
            attributes.ipv6_extended_communities = Default::default();
        }
        if !self.send_communities.large {
            attributes.large_communities = Default::default();
        }
        attributes
    }
}

/// The default route of a family, with the identifier that one of our own has under ADD-PATH: none.
pub(crate) fn default_nlri(family: Family) -> Option<Nlri> {
    Prefix::containing(family.unspecified(), 0).map(Nlri::from)
}

impl Treatment {
    /// The default route that is sent in place of any other.
    pub(crate) fn default_route(&self, family: Family) -> Option<(Attributes, NextHop)> {
        if !self.outbound.default_originate.contains(family) || self.denied {
            return None;
        }
        let route = RouteAttributes::detached(Attributes::default(), NextHop::new(family.unspecified()));
        let filtered = Filtered::unchanged(&route);
        let ourselves = Source::new(SourceKind::Local, family.unspecified(), self.local_as, 0);
        self.transform(family, &route, &filtered, &ourselves)
    }
}
