//! Sets and filters.

use std::collections::{BTreeMap, BTreeSet};

use super::calls::{Extent, extents};
use super::{Check, is_unicast};
use crate::config::{
    AsPathEntry, CommunityPattern, Filter, FilterChain, Match, Name, NextHopAction, NumberChange,
    NumberRange, PrefixRange, Rule, SetActions,
};

/// Filters that always exist.
const BUILT_IN: [&str; 2] = ["accept-all", "reject-all"];
/// Filters in a chain.
const MAX_CHAIN: usize = 16;
/// How deep filters may call each other, and conditions nest.
const MAX_DEPTH: usize = 8;
/// Rules that one chain may have a route asked by, each call counted anew.
const MAX_RULES: usize = 1 << 16;
/// Regular expressions in a document: compiled they take 64 KiB each at most.
const MAX_REGEXES: usize = 256;

impl Check<'_> {
    pub(super) fn policy(&mut self) {
        let config = self.config;
        for (name, entries) in &config.prefix_sets {
            for (index, entry) in entries.iter().enumerate() {
                self.prefix_range(&format!("prefixSets[{name}][{index}]"), *entry);
            }
        }
        self.regexes();
        let extents = extents(&config.filters);
        for (name, filter) in &config.filters {
            if BUILT_IN.contains(&name.as_str()) {
                self.fault(
                    format!("filters[{name}]"),
                    "",
                    "this filter is built in and cannot be defined anew",
                );
            }
            self.filter(name, filter, &extents);
        }
    }

    fn regexes(&mut self) {
        let config = self.config;
        let is_regex = |pattern: &&CommunityPattern| matches!(pattern, CommunityPattern::Regex { .. });
        let removed = config.filters.values().flat_map(|filter| &filter.rules);
        let removed = removed.flat_map(|rule| &rule.set.communities.remove);
        let communities = config.community_sets.values().flatten().chain(removed).filter(is_regex).count();
        let paths = config.as_path_sets.values().flatten();
        let paths = paths.filter(|entry| matches!(entry, AsPathEntry::Regex(_))).count();
        if communities + paths > MAX_REGEXES {
            let rule = format!("a document has at most {MAX_REGEXES} regular expressions");
            self.fault("filters", communities + paths, rule);
        }
    }

    fn filter(&mut self, name: &Name, filter: &Filter, extents: &BTreeMap<&Name, Extent>) {
        let mut names = BTreeSet::new();
        for (index, rule) in filter.rules.iter().enumerate() {
            let path = format!("filters[{name}].rules[{index}]");
            if let Some(rule_name) =
                rule.name.as_ref().filter(|rule_name| !names.insert((*rule_name).clone()))
            {
                self.fault(format!("{path}.name"), rule_name, "another rule of the filter has this name");
            }
            self.rule(&path, rule);
            if let Some(called) = &rule.call {
                self.call(format!("{path}.call"), called, extents);
            }
        }
        if let Some(extent) = extents.get(name).filter(|extent| extent.rules > MAX_RULES) {
            let rule = format!("a route may be asked by at most {MAX_RULES} rules, each call counted anew");
            self.fault(format!("filters[{name}]"), format!("{} rules", extent.rules), rule);
        }
    }

    fn call(&mut self, path: String, called: &Name, extents: &BTreeMap<&Name, Extent>) {
        if !self.config.filters.contains_key(called) {
            let known = self.config.filters.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
            self.fault(path, called, format!("no such filter is defined; there are: {known}"));
            return;
        }
        match extents.get(called) {
            None => self.fault(path, called, "these calls go in a circle: a filter cannot call itself"),
            Some(extent) if extent.depth + 1 > MAX_DEPTH => {
                self.fault(path, called, format!("filters call each other at most {MAX_DEPTH} deep"));
            }
            Some(_) => {}
        }
    }

    fn prefix_range(&mut self, path: &str, range: PrefixRange) {
        let (len, bits) = (range.prefix.len(), range.prefix.family().bits());
        if let Some(ge) = range.ge.filter(|ge| !(len..=bits).contains(ge)) {
            self.fault(
                format!("{path}.ge"),
                ge,
                format!("must be {len} to {bits}, for prefix {}", range.prefix),
            );
            return;
        }
        let least = range.ge.unwrap_or(len);
        if let Some(le) = range.le.filter(|le| !(least..=bits).contains(le)) {
            self.fault(
                format!("{path}.le"),
                le,
                format!("must be {least} to {bits}, for prefix {}", range.prefix),
            );
        }
    }

    fn rule(&mut self, path: &str, rule: &Rule) {
        self.condition(&format!("{path}.match"), &rule.condition, 0);
        self.set_actions(&format!("{path}.set"), &rule.set);
    }

    fn condition(&mut self, path: &str, condition: &Match, depth: usize) {
        let config = self.config;
        if depth > MAX_DEPTH {
            return self.fault(path, "", format!("conditions nest at most {MAX_DEPTH} deep"));
        }
        let communities = condition.community_set.as_ref().map(|wanted| wanted.set.clone());
        self.set_name(&format!("{path}.prefixSet"), &condition.prefix_set, &config.prefix_sets);
        self.set_name(&format!("{path}.nextHopSet"), &condition.next_hop_set, &config.prefix_sets);
        self.set_name(&format!("{path}.communitySet"), &communities, &config.community_sets);
        self.set_name(&format!("{path}.asPathSet"), &condition.as_path_set, &config.as_path_sets);
        for (field, range) in [
            ("asPathLength", condition.as_path_length),
            ("med", condition.med),
            ("localPreference", condition.local_preference),
            ("tag", condition.tag),
        ] {
            self.number_range(&format!("{path}.{field}"), range);
        }
        if condition.peer.as_ref().is_some_and(Vec::is_empty) {
            self.fault(format!("{path}.peer"), "[]", "must have an address or a prefix");
        }
        for (index, inner) in condition.any.iter().flatten().enumerate() {
            self.condition(&format!("{path}.any[{index}]"), inner, depth + 1);
        }
        if let Some(inner) = &condition.not {
            self.condition(&format!("{path}.not"), inner, depth + 1);
        }
    }

    fn number_range(&mut self, path: &str, range: Option<NumberRange>) {
        if let Some((ge, le)) = range.and_then(|range| Some((range.ge?, range.le?)))
            && ge > le
        {
            self.fault(format!("{path}.le"), le, format!("must be {ge} or more, for ge {ge}"));
        }
    }

    fn set_actions(&mut self, path: &str, set: &SetActions) {
        if set.local_preference == Some(NumberChange::Remove) {
            self.fault(
                format!("{path}.localPreference"),
                "none",
                "LOCAL_PREF cannot be removed: a number, add or subtract",
            );
        }
        if let Some(NextHopAction::Address(addr)) = set.next_hop
            && !is_unicast(addr)
        {
            self.fault(format!("{path}.nextHop"), addr, "must be a unicast address");
        }
        if let Some(prepend) = set.prepend {
            if !(1..=16).contains(&prepend.count) {
                self.fault(format!("{path}.prepend.count"), prepend.count, "must be 1 to 16");
            }
            if let Some(asn) = prepend.asn {
                self.asn(&format!("{path}.prepend.asn"), asn);
            }
        }
        if let Some(replacement) = &set.replace_as {
            if replacement.asns.is_empty() {
                self.fault(
                    format!("{path}.replaceAs.asns"),
                    "[]",
                    "must have an AS number, a range or \"*\"",
                );
            }
            if let Some(asn) = replacement.with {
                self.asn(&format!("{path}.replaceAs.with"), asn);
            }
        }
    }

    pub(super) fn set_name<T>(&mut self, path: &str, name: &Option<Name>, sets: &BTreeMap<Name, T>) {
        if let Some(name) = name.as_ref().filter(|name| !sets.contains_key(name)) {
            let known = sets.keys().map(Name::as_str).collect::<Vec<_>>().join(", ");
            let rule = if known.is_empty() {
                "no such set is defined".to_owned()
            } else {
                format!("no such set is defined; there are: {known}")
            };
            self.fault(path, name, rule);
        }
    }

    pub(super) fn filter_chain(&mut self, path: &str, chain: &FilterChain) {
        let FilterChain(names) = chain;
        if !(1..=MAX_CHAIN).contains(&names.len()) {
            self.fault(path, format!("{} filters", names.len()), format!("must be 1 to {MAX_CHAIN}"));
        }
        for (index, name) in names.iter().enumerate() {
            let path = if names.len() == 1 { path.to_owned() } else { format!("{path}[{index}]") };
            if BUILT_IN.contains(&name.as_str()) {
                if names.len() > 1 {
                    self.fault(path, name, "stands alone: it decides on every route");
                }
            } else if !self.config.filters.contains_key(name) {
                let mut known = BUILT_IN.to_vec();
                known.extend(self.config.filters.keys().map(Name::as_str));
                self.fault(path, name, format!("no such filter is defined; there are: {}", known.join(", ")));
            }
        }
    }
}
