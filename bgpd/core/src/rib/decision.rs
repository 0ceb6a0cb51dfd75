//! Best-path selection.
//!
//! Spec: RFC 4271 section 9.1.2, with RFC 4456 section 9 (originator, cluster list) and RFC 5004's idea left out: the result
//! depends on the paths alone, never on the order in which they came.
//! Invariants: without MED the comparison of two paths is a total order. MED compares only paths of one neighbour AS
//! (unless always-compare-med), so it is a filter on the set: a path goes out if any other of its neighbour AS that is equal up to there
//! has a lower one. Either way the best of a set is unique and does not depend on its order.

use std::cmp::Ordering;
use std::fmt;
use std::net::IpAddr;

use super::attrs::Rank;
use super::source::SourceKind;

/// A path as selection sees it.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub(crate) rank: Rank,
    pub(crate) kind: SourceKind,
    /// IGP metric to the next hop.
    pub(crate) metric: u32,
    pub(crate) router_id: u32,
    /// Place of the owner's name, of routes of our own.
    pub(crate) owner: u32,
    pub(crate) address: IpAddr,
    pub(crate) path_id: u32,
}

/// The step of the decision process that told two paths apart, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Any other before a long-lived stale one (RFC 9494 section 4.3).
    LongLivedStale,
    /// Higher weight: preference on this router alone, before all of RFC 4271.
    Weight,
    /// Higher LOCAL_PREF (9.1.1).
    LocalPref,
    /// Our own before a learned one.
    LocallyOriginated,
    /// Shorter AS path (9.1.2.2 a).
    AsPathLength,
    /// Lower origin: IGP, EGP, incomplete (9.1.2.2 b).
    Origin,
    /// Lower MED from the same neighbour AS (9.1.2.2 c).
    Med,
    /// External before internal (9.1.2.2 d); from another member AS is internal here (RFC 5065 section 5.3).
    ExternalOverInternal,
    /// Lower IGP metric to the next hop (9.1.2.2 e).
    IgpMetric,
    /// Lower router id, or originator id where reflected (9.1.2.2 f, RFC 4456 section 9).
    RouterId,
    /// Shorter cluster list (RFC 4456 section 9).
    ClusterListLength,
    /// Of our own: the owner whose name comes first.
    OwnerName,
    /// Lower peer address (9.1.2.2 g).
    PeerAddress,
    /// Lower path identifier: several paths from one peer.
    PathId,
    /// The only path.
    Only,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LongLivedStale => "not a long-lived stale route",
            Self::Weight => "higher weight",
            Self::LocalPref => "higher local preference",
            Self::LocallyOriginated => "originated here",
            Self::AsPathLength => "shorter AS path",
            Self::Origin => "lower origin",
            Self::Med => "lower MED",
            Self::ExternalOverInternal => "external over internal",
            Self::IgpMetric => "lower IGP metric",
            Self::RouterId => "lower router id",
            Self::ClusterListLength => "shorter cluster list",
            Self::OwnerName => "owner's name",
            Self::PeerAddress => "lower peer address",
            Self::PathId => "lower path identifier",
            Self::Only => "only path",
        })
    }
}

impl Candidate {
    fn identifier(&self) -> u32 {
        self.rank.originator.unwrap_or(self.router_id)
    }

    /// The steps before MED; `Less` is better.
    fn before_med(&self, other: &Self) -> Option<(Ordering, Step)> {
        let local = |kind| kind != SourceKind::Local;
        first_difference([
            (self.rank.long_lived_stale.cmp(&other.rank.long_lived_stale), Step::LongLivedStale),
            (other.rank.weight.cmp(&self.rank.weight), Step::Weight),
            (other.rank.local_pref.cmp(&self.rank.local_pref), Step::LocalPref),
            (local(self.kind).cmp(&local(other.kind)), Step::LocallyOriginated),
            (self.rank.path_len.cmp(&other.rank.path_len), Step::AsPathLength),
            (self.rank.origin.cmp(&other.rank.origin), Step::Origin),
        ])
    }

    /// The MED step; `None`: equal, or not comparable.
    fn by_med(&self, other: &Self, always: bool) -> Option<(Ordering, Step)> {
        let comparable = always || self.rank.neighbor_as == other.rank.neighbor_as;
        first_difference([(
            if comparable { self.rank.med.cmp(&other.rank.med) } else { Ordering::Equal },
            Step::Med,
        )])
    }

    /// The steps after MED that decide about equal cost.
    fn by_cost(&self, other: &Self) -> Option<(Ordering, Step)> {
        first_difference([
            (self.kind.is_inside().cmp(&other.kind.is_inside()), Step::ExternalOverInternal),
            (self.metric.cmp(&other.metric), Step::IgpMetric),
        ])
    }

    /// The tie-breakers; equal only for a path and itself.
    fn by_identity(&self, other: &Self) -> Option<(Ordering, Step)> {
        first_difference([
            (self.identifier().cmp(&other.identifier()), Step::RouterId),
            (self.rank.cluster_list_len.cmp(&other.rank.cluster_list_len), Step::ClusterListLength),
            (self.owner.cmp(&other.owner), Step::OwnerName),
            (self.address.cmp(&other.address), Step::PeerAddress),
            (self.path_id.cmp(&other.path_id), Step::PathId),
        ])
    }

    /// Compares two paths by all steps: `Less` is better. MED is compared if both have one neighbour AS, or `always`.
    ///
    /// A total order as long as MED is always compared, or never matters; see the module for sets where it does.
    pub fn compare(&self, other: &Self, always_compare_med: bool) -> (Ordering, Step) {
        self.before_med(other)
            .or_else(|| self.by_med(other, always_compare_med))
            .or_else(|| self.by_cost(other))
            .or_else(|| self.by_identity(other))
            .unwrap_or((Ordering::Equal, Step::Only))
    }

    /// Is this one better than the other by MED, where the two are equal up to there?
    pub(crate) fn has_lower_med(&self, other: &Self, always_compare_med: bool) -> bool {
        is_better(self.by_med(other, always_compare_med))
    }

    /// Are both of equal cost up to the tie-breakers?
    pub fn equal_cost(&self, other: &Self, always_compare_med: bool) -> bool {
        self.before_med(other).is_none()
            && self.by_med(other, always_compare_med).is_none()
            && self.by_cost(other).is_none()
    }
}

fn first_difference<const N: usize>(steps: [(Ordering, Step); N]) -> Option<(Ordering, Step)> {
    steps.into_iter().find(|(ordering, _)| ordering.is_ne())
}

/// The place of the best of these, and the step that set it apart from the second best; `None` if there are none.
pub fn best(candidates: &[Candidate], always_compare_med: bool) -> Option<(usize, Step)> {
    match candidates {
        [] => None,
        [_] => Some((0, Step::Only)),
        many => {
            let winner = winner(many, always_compare_med, None)?;
            // Who would win without the winner decides what made the difference.
            let second = self::winner(many, always_compare_med, Some(winner))?;
            let (_, step) = many.get(winner)?.compare(many.get(second)?, always_compare_med);
            Some((winner, step))
        }
    }
}

/// The winner among all but `without`.
pub(super) fn winner(candidates: &[Candidate], always: bool, without: Option<usize>) -> Option<usize> {
    let all = || candidates.iter().enumerate().filter(move |(place, _)| Some(*place) != without);
    // First the paths that are equal up to MED: pairwise comparison is a total order so far.
    let (_, top) = all().reduce(|a, b| if is_better(b.1.before_med(a.1)) { b } else { a })?;
    let tied = || all().filter(move |(_, candidate)| candidate.before_med(top).is_none());
    // Then MED as a filter on that set, then the rest, which is a total order again.
    let med_matters = tied().any(|(_, candidate)| candidate.rank.med != top.rank.med);
    let undominated = tied().filter(|(_, candidate)| {
        !med_matters || !tied().any(|(_, other)| is_better(other.by_med(candidate, always)))
    });
    let by_rest = |a: &Candidate, b: &Candidate| is_better(a.by_cost(b).or_else(|| a.by_identity(b)));
    undominated.reduce(|a, b| if by_rest(b.1, a.1) { b } else { a }).map(|(place, _)| place)
}

fn is_better(difference: Option<(Ordering, Step)>) -> bool {
    difference.is_some_and(|(ordering, _)| ordering.is_lt())
}

#[cfg(test)]
mod tests;
