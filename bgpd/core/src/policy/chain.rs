use std::borrow::Cow;
use std::sync::Arc;

use cairn_net::{Family, Prefix};
use smallvec::SmallVec;

use super::condition::Condition;
use super::filter::{Filter, Rule};
use super::prefix_list::PrefixList;
use super::route::{Accepted, Decider, RouteView, Verdict};

/// The numbers of the statements that matched a route, in the order in which they did. A statement is a rule, a filter's
/// default, or the policy's default; see [`Policy::statements`].
pub type Matched = SmallVec<[u32; 4]>;

/// What a policy can tell two prefixes apart by: routes of one attribute set and one class are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PrefixClass(u64);

impl PrefixClass {
    /// The class of every prefix for want of a policy.
    pub const ONLY: Self = Self(0);
    /// Prefix lists that a class can hold; one bit more is the family.
    const LISTS: usize = 63;
}

/// All that is asked on one direction of one session: filters in order, and what happens if none decides.
#[derive(Debug, Clone)]
pub struct Policy {
    filters: Vec<Arc<Filter>>,
    accept_by_default: bool,
    /// Every filter that may be asked, called ones included, with the number of its first statement.
    reachable: Vec<(Arc<Filter>, u32)>,
    /// How many statements there are; the last one is the policy's default.
    statements: u32,
    /// The prefix lists that conditions ask, each once.
    prefix_lists: Vec<Arc<PrefixList>>,
}

impl Policy {
    /// Filters in order, and whether to accept what none of them decided on. False is what RFC 8212 wants of an external session.
    pub fn new(filters: Vec<Arc<Filter>>, accept_by_default: bool) -> Self {
        let mut policy = Self {
            filters: Vec::new(),
            accept_by_default,
            reachable: Vec::new(),
            statements: 1,
            prefix_lists: Vec::new(),
        };
        filters.iter().for_each(|filter| policy.reach(filter));
        policy.filters = filters;
        policy
    }

    /// Accepts everything unchanged: the default between internal peers.
    pub const fn accept_all() -> Self {
        Self {
            filters: Vec::new(),
            accept_by_default: true,
            reachable: Vec::new(),
            statements: 1,
            prefix_lists: Vec::new(),
        }
    }

    /// Rejects everything: the default for external peers (RFC 8212).
    pub const fn reject_all() -> Self {
        Self {
            filters: Vec::new(),
            accept_by_default: false,
            reachable: Vec::new(),
            statements: 1,
            prefix_lists: Vec::new(),
        }
    }

    /// The filters, in order.
    pub fn filters(&self) -> &[Arc<Filter>] {
        &self.filters
    }

    fn reach(&mut self, filter: &Arc<Filter>) {
        if self.first_statement(filter).is_some() {
            return;
        }
        self.reachable.push((Arc::clone(filter), self.statements - 1));
        self.statements += u32::try_from(filter.rules.len()).unwrap_or(u32::MAX) + 1;
        for rule in &filter.rules {
            rule.condition.each(&mut |condition| {
                if let Condition::Prefix(list) = condition
                    && !self.prefix_lists.iter().any(|known| Arc::ptr_eq(known, list))
                {
                    self.prefix_lists.push(Arc::clone(list));
                }
            });
            if let Some(called) = &rule.call {
                self.reach(called);
            }
        }
    }

    fn first_statement(&self, filter: &Arc<Filter>) -> Option<u32> {
        self.reachable.iter().find(|(known, _)| Arc::ptr_eq(known, filter)).map(|(_, first)| *first)
    }

    /// Every rule that may be asked.
    pub(crate) fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.reachable.iter().flat_map(|(filter, _)| &filter.rules)
    }

    /// Every statement, in the order of its number: for each filter its rules, then its default; last the policy's default.
    pub fn statements(&self) -> impl Iterator<Item = Decider<'_>> {
        self.reachable
            .iter()
            .flat_map(|(filter, _)| {
                let rules = filter.rules.iter().enumerate().map(|(index, rule)| Decider {
                    filter: Some(&*filter.name),
                    rule: Some(index),
                    name: rule.name.as_deref(),
                });
                rules.chain([Decider { filter: Some(&*filter.name), rule: None, name: None }])
            })
            .chain([Decider::DEFAULT])
    }

    /// The class of a prefix; `None` if the policy asks so many lists that there are no classes.
    pub fn class(&self, prefix: Prefix) -> Option<PrefixClass> {
        if self.reachable.is_empty() {
            return Some(PrefixClass::ONLY);
        }
        if self.prefix_lists.len() > PrefixClass::LISTS {
            return None;
        }
        let family = u64::from(prefix.family() == Family::Ipv6);
        let bits =
            self.prefix_lists.iter().rev().fold(0, |bits, list| bits << 1 | u64::from(list.permits(prefix)));
        Some(PrefixClass(bits << 1 | family))
    }

    /// What becomes of the route.
    pub fn evaluate<'a>(&'a self, route: &RouteView<'a>) -> Verdict<'a> {
        self.observed(route, &mut Unobserved)
    }

    /// What becomes of the route, and which statements matched it.
    pub fn evaluate_counted<'a>(&'a self, route: &RouteView<'a>) -> (Verdict<'a>, Matched) {
        let mut matched = Matched::new();
        let verdict = self.observed(route, &mut matched);
        (verdict, matched)
    }

    /// What becomes of the route, with every rule that was asked.
    pub fn trace<'a>(&'a self, route: &RouteView<'a>) -> (Verdict<'a>, Vec<TraceStep<'a>>) {
        let mut trace = Trace { depth: 0, steps: Vec::new() };
        let verdict = self.observed(route, &mut trace);
        (verdict, trace.steps)
    }

    fn observed<'a>(&'a self, route: &RouteView<'a>, observer: &mut impl Observer<'a>) -> Verdict<'a> {
        let mut accepted = Accepted {
            attributes: Cow::Borrowed(route.attributes),
            next_hop: None,
            med_set: false,
            decider: Decider::DEFAULT,
        };
        for filter in &self.filters {
            match self.run(filter, route, &mut accepted, observer) {
                Some(true) => return Verdict::Accept(accepted),
                Some(false) => return Verdict::Reject(accepted.decider),
                None => {}
            }
        }
        accepted.decider = Decider::DEFAULT;
        observer.asked(Decider::DEFAULT, self.statements - 1, true);
        if self.accept_by_default { Verdict::Accept(accepted) } else { Verdict::Reject(accepted.decider) }
    }

    /// Runs a filter's rules over a route; `None` is `Next`.
    fn run<'a>(
        &'a self,
        filter: &'a Arc<Filter>,
        route: &RouteView<'_>,
        accepted: &mut Accepted<'a>,
        observer: &mut impl Observer<'a>,
    ) -> Option<bool> {
        let first = self.first_statement(filter).unwrap_or_default();
        for ((index, rule), statement) in filter.rules.iter().enumerate().zip(first..) {
            let decider =
                Decider { filter: Some(&filter.name), rule: Some(index), name: rule.name.as_deref() };
            let holds = rule.condition.holds(route, &accepted.attributes);
            observer.asked(decider, statement, holds);
            if !holds {
                continue;
            }
            if rule.then.decision() == Some(false) {
                accepted.decider = decider;
                return Some(false);
            }
            rule.changes.iter().for_each(|change| change.apply(accepted));
            if let Some(called) = &rule.call {
                observer.enter();
                let decision = self.run(called, route, accepted, observer);
                observer.leave();
                if decision == Some(false) {
                    return decision;
                }
            }
            if let Some(decision) = rule.then.decision() {
                accepted.decider = decider;
                return Some(decision);
            }
        }
        let decider = Decider { filter: Some(&filter.name), rule: None, name: None };
        let default = first + u32::try_from(filter.rules.len()).unwrap_or(u32::MAX);
        observer.asked(decider, default, true);
        accepted.decider = decider;
        filter.default.decision()
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        self.accept_by_default == other.accept_by_default && self.filters == other.filters
    }
}

impl Eq for Policy {}

/// Looks on while a policy is evaluated.
trait Observer<'a> {
    /// A statement was asked, and matched or not.
    fn asked(&mut self, statement: Decider<'a>, number: u32, matched: bool);
    /// A filter is called.
    fn enter(&mut self) {}
    /// It has answered.
    fn leave(&mut self) {}
}

struct Unobserved;

impl<'a> Observer<'a> for Unobserved {
    fn asked(&mut self, _: Decider<'a>, _: u32, _: bool) {}
}

impl<'a> Observer<'a> for Matched {
    fn asked(&mut self, _: Decider<'a>, number: u32, matched: bool) {
        if matched {
            self.push(number);
        }
    }
}

/// A statement that was asked about a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceStep<'a> {
    /// Which.
    pub statement: Decider<'a>,
    /// How many calls deep; 0: a filter of the session itself.
    pub depth: usize,
    /// Its conditions held; always so for defaults.
    pub matched: bool,
}

struct Trace<'a> {
    depth: usize,
    steps: Vec<TraceStep<'a>>,
}

impl<'a> Observer<'a> for Trace<'a> {
    fn asked(&mut self, statement: Decider<'a>, _: u32, matched: bool) {
        self.steps.push(TraceStep { statement, depth: self.depth, matched });
    }
    fn enter(&mut self) {
        self.depth += 1;
    }
    fn leave(&mut self) {
        self.depth -= 1;
    }
}
