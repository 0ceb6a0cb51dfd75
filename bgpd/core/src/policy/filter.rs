use std::borrow::Cow;
use std::sync::Arc;

use super::change::Change;
use super::condition::Condition;
use super::route::{Accepted, Decider, RouteView, Verdict};

/// What follows a match, or the end of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Disposition {
    /// Use the route, ask no further.
    Accept,
    /// Do not use the route, ask no further.
    Reject,
    /// Go on: to the next rule, and after a filter's last to the next filter.
    Next,
}

/// If the condition holds, make the changes, and then accept, reject or go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// When.
    pub condition: Condition,
    /// What, in this order. Later rules see the result.
    pub changes: Vec<Change>,
    /// What then.
    pub then: Disposition,
}

/// Ordered rules under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The name by which peers refer to it.
    pub name: String,
    /// The rules; the first one that accepts or rejects decides.
    pub rules: Vec<Rule>,
    /// What happens to a route on which no rule decided.
    pub default: Disposition,
}

impl Filter {
    /// Asks this filter alone; a route on which it does not decide is rejected.
    pub fn evaluate<'a>(&'a self, route: &RouteView<'a>) -> Verdict<'a> {
        evaluate(std::iter::once(self), false, route)
    }

    /// Runs the rules over a route; `None` is `Next`.
    fn run<'a>(&'a self, route: &RouteView<'_>, accepted: &mut Accepted<'a>) -> Option<bool> {
        accepted.decider = Decider { filter: Some(&self.name), rule: None };
        for (index, rule) in self.rules.iter().enumerate() {
            if !rule.condition.holds(route, &accepted.attributes) {
                continue;
            }
            if rule.then != Disposition::Reject {
                rule.changes.iter().for_each(|change| change.apply(accepted));
            }
            if let Some(decision) = rule.then.decision() {
                accepted.decider.rule = Some(index);
                return Some(decision);
            }
        }
        self.default.decision()
    }
}

impl Disposition {
    const fn decision(self) -> Option<bool> {
        match self {
            Self::Accept => Some(true),
            Self::Reject => Some(false),
            Self::Next => None,
        }
    }
}

/// All that is asked on one direction of one session: filters in order, and what happens if none decides.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The filters.
    pub filters: Vec<Arc<Filter>>,
    /// Accept what no filter decided on. False is what RFC 8212 wants of an external session.
    pub accept_by_default: bool,
}

impl Policy {
    /// Accepts everything unchanged: the default between internal peers.
    pub const fn accept_all() -> Self {
        Self { filters: Vec::new(), accept_by_default: true }
    }

    /// Rejects everything: the default for external peers (RFC 8212).
    pub const fn reject_all() -> Self {
        Self { filters: Vec::new(), accept_by_default: false }
    }

    /// What becomes of the route.
    pub fn evaluate<'a>(&'a self, route: &RouteView<'a>) -> Verdict<'a> {
        evaluate(self.filters.iter().map(Arc::as_ref), self.accept_by_default, route)
    }
}

fn evaluate<'a>(
    filters: impl Iterator<Item = &'a Filter>,
    accept_by_default: bool,
    route: &RouteView<'a>,
) -> Verdict<'a> {
    let undecided = Decider { filter: None, rule: None };
    let mut accepted =
        Accepted { attributes: Cow::Borrowed(route.attributes), next_hop: None, decider: undecided };
    for filter in filters {
        match filter.run(route, &mut accepted) {
            Some(true) => return Verdict::Accept(accepted),
            Some(false) => return Verdict::Reject(accepted.decider),
            None => {}
        }
    }
    accepted.decider = undecided;
    if accept_by_default { Verdict::Accept(accepted) } else { Verdict::Reject(undecided) }
}

#[cfg(test)]
mod tests;
