//! Aggregates: routes of our own that stand for more specific ones.
//!
//! Spec: RFC 4271 section 9.2.2.2. An aggregate exists while the Loc-RIB has a more specific route. Its contributors are noted as the
//! Loc-RIB changes; what it says is worked out anew, from the distinct attribute sets, where one of them came or went.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cairn_net::{Asn, Prefix};
use foldhash::HashMap;

use super::{Config, Speaker};
use crate::rib::{Best, NewPath, RouteAttributes, SourceId, Table, Verdict};
use crate::wire::{Aggregator, AsPath, Attributes, Community, NextHop, Origin};

/// Under which name aggregates are originated.
pub(super) const OWNER: &str = "aggregate";

/// An aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateConfig {
    /// Its prefix.
    pub prefix: Prefix,
    /// The routes that it stands for are sent to nobody.
    pub summary_only: bool,
    /// It names the AS and the communities of all that it stands for. Else its path is empty and it is marked ATOMIC_AGGREGATE.
    pub as_set: bool,
    /// It exists only while all that it stands for have the same MED, which is then its own (RFC 4271 section 9.2.2.2). Else it has none.
    pub matching_med_only: bool,
}

impl Config {
    /// The aggregates that alone are sent.
    pub(super) fn summary_only(&self) -> impl Iterator<Item = Prefix> {
        self.aggregates.iter().filter(|aggregate| aggregate.summary_only).map(|aggregate| aggregate.prefix)
    }
}

/// All aggregates with what they are made of.
#[derive(Debug, Default)]
pub(super) struct Aggregates(Vec<Aggregate>);

#[derive(Debug)]
struct Aggregate {
    config: AggregateConfig,
    contributors: BTreeMap<Prefix, Arc<RouteAttributes>>,
    /// The distinct sets of the contributors, by their address, with how many have each.
    sets: HashMap<usize, (Arc<RouteAttributes>, usize)>,
    changed: bool,
}

impl Aggregate {
    /// The route to a more specific prefix is this one now.
    fn note(&mut self, prefix: Prefix, route: Option<&Arc<RouteAttributes>>) {
        let old = match route {
            Some(route) => self.contributors.insert(prefix, Arc::clone(route)),
            None => self.contributors.remove(&prefix),
        };
        if let Some(route) = route {
            let entry = self.sets.entry(key(route)).or_insert_with(|| (Arc::clone(route), 0));
            entry.1 += 1;
            self.changed |= entry.1 == 1;
        }
        if let Some(old) = old
            && let Some(entry) = self.sets.get_mut(&key(&old))
        {
            entry.1 -= 1;
            if entry.1 == 0 {
                self.sets.remove(&key(&old));
                self.changed = true;
            }
        }
    }

    /// What it says; `None`: it does not exist.
    fn attributes(&self, aggregator: Aggregator) -> Option<Attributes> {
        let sets = || self.sets.values().map(|(route, _)| &route.attributes);
        let first = sets().next()?;
        let same_med = sets().all(|attributes| attributes.med == first.med);
        if self.config.matching_med_only && !same_med {
            return None;
        }
        let mut aggregate = Attributes {
            origin: sets().map(|attributes| attributes.origin).max().unwrap_or(Origin::Igp),
            med: first.med.filter(|_| self.config.matching_med_only),
            aggregator: Some(aggregator),
            ..Attributes::default()
        };
        if self.config.as_set {
            aggregate.as_path = AsPath::aggregated(sets().map(|attributes| &attributes.as_path));
            aggregate.atomic_aggregate = sets().any(|attributes| attributes.atomic_aggregate);
            // It goes only if all that it stands for does.
            let going = Community::GRACEFUL_SHUTDOWN;
            let all_go = sets().all(|attributes| attributes.communities.contains(going));
            let communities: BTreeSet<_> = sets()
                .flat_map(|attributes| attributes.communities.iter())
                .filter(|community| all_go || *community != going)
                .collect();
            aggregate.communities = communities.into_iter().collect();
            let large: BTreeSet<_> =
                sets().flat_map(|attributes| attributes.large_communities.iter()).collect();
            aggregate.large_communities = large.into_iter().collect();
        } else {
            // The path of what it stands for is left out, unless there is none.
            aggregate.atomic_aggregate =
                sets().any(|attributes| attributes.atomic_aggregate || !attributes.as_path.is_empty());
        }
        Some(aggregate)
    }
}

fn key(route: &Arc<RouteAttributes>) -> usize {
    Arc::as_ptr(route) as usize
}

impl Aggregates {
    /// A prefix of the Loc-RIB has this route now.
    pub(super) fn note(&mut self, prefix: Prefix, best: Option<&Best>) {
        for aggregate in &mut self.0 {
            let covering = aggregate.config.prefix;
            if covering.len() < prefix.len() && covering.covers(prefix) {
                aggregate.note(prefix, best.map(|best| &best.attributes));
            }
        }
    }

    /// The aggregates of a configuration, with what a table has for them.
    fn new(config: &Config, table: &Table) -> Self {
        let aggregate = |config: &AggregateConfig| Aggregate {
            config: config.clone(),
            contributors: BTreeMap::new(),
            sets: HashMap::default(),
            changed: true,
        };
        let mut aggregates = Self(config.aggregates.iter().map(aggregate).collect());
        if !aggregates.0.is_empty() {
            for (net, entry) in table.nets.iter() {
                if let Some(best) = table.best(net) {
                    aggregates.note(entry.prefix, Some(&best));
                }
            }
        }
        aggregates
    }
}

impl Speaker {
    /// Begins to follow the aggregates of a new configuration; those that it no longer has go.
    pub(super) fn configure_aggregates(&mut self, new: &Config) {
        let wanted: BTreeSet<Prefix> = new.aggregates.iter().map(|aggregate| aggregate.prefix).collect();
        if let Some(source) = self.owners.get(OWNER).copied() {
            let gone = self.own_paths(source, |prefix| !wanted.contains(&prefix));
            gone.into_iter().for_each(|path| self.rib.table.remove(path));
        }
        self.rib.aggregates = Aggregates::new(new, &self.rib.table);
    }

    /// Originates, changes and withdraws aggregates whose contributors changed. False if there were none.
    pub(super) fn follow_aggregates(&mut self) -> bool {
        if !self.rib.aggregates.0.iter().any(|aggregate| aggregate.changed) {
            return false;
        }
        let Some(config) = &self.config else { return false };
        let asn: Asn =
            config.confederation.as_ref().map_or(config.asn, |confederation| confederation.identifier);
        let aggregator = Aggregator { asn, router_id: config.router_id.get().into() };
        let source: SourceId = self.owner(OWNER);
        let learned = u32::try_from(self.now.duration_since(self.started).as_secs()).unwrap_or(u32::MAX);
        let rib = &mut self.rib;
        for aggregate in rib.aggregates.0.iter_mut().filter(|aggregate| aggregate.changed) {
            aggregate.changed = false;
            let prefix = aggregate.config.prefix;
            match aggregate.attributes(aggregator) {
                Some(attributes) => {
                    let ourselves = NextHop::new(prefix.family().unspecified());
                    let received = rib.interner.intern(attributes, ourselves);
                    let verdict = Verdict::Accepted(Arc::clone(&received));
                    rib.table.announce(source, prefix.into(), NewPath { received, verdict, learned });
                }
                None => {
                    rib.table.withdraw(source, prefix.into());
                }
            }
        }
        true
    }
}
