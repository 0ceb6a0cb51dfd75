//! Which filter calls which: no circles, a bounded depth, a bounded number of rules for a route.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Filter, Name};

/// What calling a filter means.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// Calls below it, one inside the other.
    pub(super) depth: usize,
    /// Rules that a route may be asked by, each call counted anew.
    pub(super) rules: usize,
}

/// The extent of every filter that is in no circle of calls and does not lead to one.
///
/// Worked out from those that call nothing upwards, without recursion: a document decides how many there are.
pub(super) fn extents(filters: &BTreeMap<Name, Filter>) -> BTreeMap<&Name, Extent> {
    let calls = |filter: &'_ Filter| -> Vec<Name> {
        filter.rules.iter().filter_map(|rule| rule.call.clone()).collect()
    };
    let mut callers: BTreeMap<Name, Vec<&Name>> = BTreeMap::new();
    let mut waiting: BTreeMap<&Name, usize> = BTreeMap::new();
    let mut ready: Vec<&Name> = Vec::new();
    for (name, filter) in filters {
        // A name that is not defined is a fault of its own, and calls nothing.
        let called: BTreeSet<Name> =
            calls(filter).into_iter().filter(|called| filters.contains_key(called)).collect();
        waiting.insert(name, called.len());
        if called.is_empty() {
            ready.push(name);
        }
        called.into_iter().for_each(|called| callers.entry(called).or_default().push(name));
    }
    let mut extents: BTreeMap<&Name, Extent> = BTreeMap::new();
    while let Some(name) = ready.pop() {
        let Some(filter) = filters.get(name) else { continue };
        let mut extent = Extent { depth: 0, rules: filter.rules.len() };
        for called in filter.rules.iter().filter_map(|rule| extents.get(rule.call.as_ref()?)) {
            extent.depth = extent.depth.max(called.depth + 1);
            extent.rules = extent.rules.saturating_add(called.rules);
        }
        extents.insert(name, extent);
        for caller in callers.get(name).into_iter().flatten() {
            if let Some(left) = waiting.get_mut(caller) {
                *left -= 1;
                if *left == 0 {
                    ready.push(caller);
                }
            }
        }
    }
    extents
}
