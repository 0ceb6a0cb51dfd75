//! Sets and filters.

use std::collections::BTreeMap;

use super::{Check, is_unicast};
use crate::config::{Name, NextHopAction, PrefixRange, Rule, Verdict};

/// Filters that always exist.
const BUILT_IN: [&str; 2] = ["accept-all", "reject-all"];

impl Check<'_> {
    pub(super) fn policy(&mut self) {
        let config = self.config;
        for (name, entries) in &config.prefix_sets {
            for (index, entry) in entries.iter().enumerate() {
                self.prefix_range(&format!("prefixSets[{name}][{index}]"), *entry);
            }
        }
        for (name, filter) in &config.filters {
            if BUILT_IN.contains(&name.as_str()) {
                self.fault(
                    format!("filters[{name}]"),
                    "",
                    "this filter is built in and cannot be defined anew",
                );
            }
            if filter.default == Verdict::Next {
                self.fault(format!("filters[{name}].default"), "next", "must be accept or reject");
            }
            for (index, rule) in filter.rules.iter().enumerate() {
                self.rule(&format!("filters[{name}].rules[{index}]"), rule);
            }
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
        let config = self.config;
        let condition = &rule.condition;
        self.set_name(&format!("{path}.match.prefixSet"), &condition.prefix_set, &config.prefix_sets);
        self.set_name(
            &format!("{path}.match.communitySet"),
            &condition.community_set,
            &config.community_sets,
        );
        self.set_name(&format!("{path}.match.asPathSet"), &condition.as_path_set, &config.as_path_sets);
        if let Some(NextHopAction::Address(addr)) = rule.set.next_hop.filter(|_| true)
            && !is_unicast(addr)
        {
            self.fault(format!("{path}.set.nextHop"), addr, "must be a unicast address");
        }
        if let Some(prepend) = rule.set.prepend {
            if !(1..=16).contains(&prepend.count) {
                self.fault(format!("{path}.set.prepend.count"), prepend.count, "must be 1 to 16");
            }
            if let Some(asn) = prepend.asn {
                self.asn(&format!("{path}.set.prepend.asn"), asn);
            }
        }
    }

    fn set_name<T>(&mut self, path: &str, name: &Option<Name>, sets: &BTreeMap<Name, T>) {
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

    pub(super) fn filter_name(&mut self, path: &str, name: &Name) {
        if !BUILT_IN.contains(&name.as_str()) && !self.config.filters.contains_key(name) {
            let mut known = BUILT_IN.to_vec();
            known.extend(self.config.filters.keys().map(Name::as_str));
            self.fault(path, name, format!("no such filter is defined; there are: {}", known.join(", ")));
        }
    }
}
