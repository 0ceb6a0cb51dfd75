//! Routing policy: what is accepted from a peer, what is announced to it, and with which attributes.
//!
//! A [`Policy`] is a chain of named [`Filter`]s; a filter is ordered [`Rule`]s, each with a [`Condition`], [`Change`]s, perhaps a
//! call of another filter, and a [`Disposition`]. Evaluation is pure: a [`RouteView`] in, a [`Verdict`] out, attributes copied only when
//! changed. It can be watched: which statements matched ([`Hits`]), or all that were asked ([`TraceStep`]).
//! Invariants: evaluation ends, for filters cannot call themselves; its cost is bounded by the rules that can be reached and by the
//! length of the attributes, and no condition takes more than linear time in these. A verdict depends on a prefix only through
//! its [`PrefixClass`], so that it can be kept for an attribute set.
//! Not here: the text form (bgpd's configuration), well-known communities and loop checks (`rib`, `speaker`).

mod chain;
mod change;
mod community_set;
mod condition;
mod filter;
mod hits;
mod path_pattern;
mod prefix_list;
mod prefix_trie;
mod route;
mod text_pattern;

pub use chain::{Matched, Policy, PrefixClass, TraceStep};
pub use change::{Change, ListChange, NextHopSetting};
pub use community_set::{
    CommunityKinds, CommunitySet, CommunityText, ExtendedType, FieldRanges, Fields, KindSet, Quantity,
};
pub use condition::{AsPathMatch, Condition, DEFAULT_LOCAL_PREF};
pub use filter::{Disposition, Filter, Rule};
pub use hits::Hits;
pub use path_pattern::PathToken;
pub use prefix_list::{PrefixEntry, PrefixEntryError, PrefixList};
pub use route::{Accepted, Decider, PeerType, PolicyPeer, RouteSource, RouteView, Verdict};
pub use text_pattern::TextPattern;

#[cfg(test)]
mod reference;
