//! Routing policy: what is accepted from a peer, what is announced to it, and with which attributes.
//!
//! A [`Policy`] is a chain of named [`Filter`]s; a filter is ordered [`Rule`]s, each with a [`Condition`], [`Change`]s and
//! a [`Disposition`]. Evaluation is pure: a [`RouteView`] in, a [`Verdict`] out, attributes copied only when changed.
//! Conditions nest (`All`, `Any`, `Not`) and changes are values, so that a richer language only adds variants.
//! Not here: the text form (bgpd's configuration), well-known communities and loop checks (`rib`, `speaker`).

mod change;
mod condition;
mod filter;
mod path_pattern;
mod prefix_list;
mod route;

pub use change::{Change, ListChange, NextHopSetting};
pub use condition::{AsPathMatch, Condition, DEFAULT_LOCAL_PREF, ListMatch};
pub use filter::{Disposition, Filter, Policy, Rule};
pub use path_pattern::PathToken;
pub use prefix_list::{PrefixEntry, PrefixEntryError, PrefixList};
pub use route::{Accepted, Decider, RouteSource, RouteView, Verdict};
