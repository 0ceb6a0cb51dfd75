use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bgp_core::policy::{CommunitySet, Disposition, Filter, Policy, PrefixEntry, PrefixList, Rule};
use bgpd_api::config::{self, FilterChain, Name, Policies, PrefixRange, Verdict};
use cairn_net::Asn;

use crate::community;

/// Every filter of a document, ready to run. A set that several filters use exists once.
#[derive(Debug)]
pub struct Compiled {
    filters: BTreeMap<Name, Arc<Filter>>,
    /// Chains that were asked for: neighbours with the same chain share it.
    chains: RefCell<BTreeMap<FilterChain, Arc<Policy>>>,
}

impl Compiled {
    /// The filters of valid policies. `local_as` is what prepends and replacements mean that name no AS.
    pub fn new(policies: &Policies, local_as: Asn) -> Self {
        let mut compiler = Compiler::new(policies, local_as);
        policies.filters.keys().for_each(|name| drop(compiler.filter(name)));
        let filters = compiler.done.into_iter().filter_map(|(name, filter)| Some((name, filter?))).collect();
        Self { filters, chains: RefCell::default() }
    }

    /// The names of the filters.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.filters.keys()
    }

    /// The filters of a chain as one policy.
    ///
    /// In valid policies every name is defined; one that is not lets nothing pass.
    pub fn chain(&self, chain: &FilterChain) -> Arc<Policy> {
        let mut chains = self.chains.borrow_mut();
        if let Some(known) = chains.get(chain) {
            return Arc::clone(known);
        }
        let filters: Option<Vec<_>> = chain.0.iter().map(|name| self.filters.get(name).cloned()).collect();
        let policy = Arc::new(match (chain.0.as_slice(), filters) {
            ([only], _) if only.as_str() == "accept-all" => Policy::accept_all(),
            (_, Some(filters)) => Policy::new(filters, false),
            (_, None) => Policy::reject_all(),
        });
        chains.insert(chain.clone(), Arc::clone(&policy));
        policy
    }
}

/// The sets, and the filters as far as they are made.
pub(crate) struct Compiler<'a> {
    policies: &'a Policies,
    pub(crate) local_as: Asn,
    pub(crate) prefixes: BTreeMap<&'a Name, Arc<PrefixList>>,
    pub(crate) communities: BTreeMap<&'a Name, Arc<CommunitySet>>,
    /// `None`: being made, so that a filter that calls itself (which is a fault) ends.
    done: BTreeMap<Name, Option<Arc<Filter>>>,
}

impl<'a> Compiler<'a> {
    fn new(policies: &'a Policies, local_as: Asn) -> Self {
        let prefixes =
            policies.prefix_sets.iter().map(|(name, ranges)| (name, Arc::new(prefix_list(ranges))));
        let communities = policies.community_sets.iter();
        let communities = communities.map(|(name, patterns)| (name, Arc::new(community::set(patterns))));
        Self {
            policies,
            local_as,
            prefixes: prefixes.collect(),
            communities: communities.collect(),
            done: BTreeMap::new(),
        }
    }

    pub(crate) fn as_paths(&self, name: &Name) -> &'a [config::AsPathEntry] {
        self.policies.as_path_sets.get(name).map(Vec::as_slice).unwrap_or_default()
    }

    fn filter(&mut self, name: &Name) -> Option<Arc<Filter>> {
        if let Some(done) = self.done.get(name) {
            return done.clone();
        }
        let filter = self.policies.filters.get(name)?;
        self.done.insert(name.clone(), None);
        let rules = filter.rules.iter().map(|rule| Rule {
            name: rule.name.as_ref().map(|name| name.as_str().to_owned()),
            condition: self.condition(&rule.condition),
            changes: self.changes(&rule.set),
            call: rule.call.as_ref().and_then(|called| self.filter(called)),
            then: disposition(rule.then),
        });
        let rules = rules.collect();
        let made = Filter { name: name.as_str().to_owned(), rules, default: disposition(filter.default) };
        let made = Arc::new(made);
        self.done.insert(name.clone(), Some(Arc::clone(&made)));
        Some(made)
    }
}

fn prefix_list(ranges: &[PrefixRange]) -> PrefixList {
    // A range that is not valid cannot be in a valid document; were it there, it would match nothing.
    ranges.iter().filter_map(|range| PrefixEntry::new(range.prefix, range.ge, range.le, true).ok()).collect()
}

fn disposition(verdict: Verdict) -> Disposition {
    match verdict {
        Verdict::Accept => Disposition::Accept,
        Verdict::Reject => Disposition::Reject,
        Verdict::Next => Disposition::Next,
    }
}
