//! BGPFilters as bgpd's filters.
//!
//! The first rule of a BGPFilter that matches decides, as in bgpd; what differs is put into other words:
//! `NotEqual` and `NotIn` become prefix sets that hold everything else, `peerType` is decided here, because each
//! session's type is known, and several different AS numbers to prepend become several rules.
//!
//! Filters and sets are named after their contents, so that equal ones are one, and peers with equal filters share one
//! update group.

use std::collections::BTreeMap;

use bgpd_api::config::{
    AsPathEntry, AsPathPattern, AsPathToken, Community, CommunityChange, CommunityMatch, CommunityPattern,
    Config, Filter, Match, Name, PathPrepend, PrefixRange, RouteSource, Rule, SetActions, Verdict,
};
use cairn_api::Object;
use cairn_api::kinds::{BgpFilter, FilterAction, FilterRule, MatchOperator, PeerType, PrefixLengthRange};
use cairn_net::{Family, Prefix};

use crate::condition::{Condition, Reason};
use crate::speaker::community;

/// Which way routes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the peer.
    Import,
    /// To the peer.
    Export,
}

/// What the default and `peerType` depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope {
    /// The peer is in another AS.
    pub(super) external: bool,
    /// This node reflects routes to the peer.
    pub(super) reflector: bool,
}

/// The filters and sets of a document while it is made.
#[derive(Debug)]
pub(super) struct Filters<'a> {
    objects: &'a BTreeMap<String, Box<Object<BgpFilter>>>,
    filters: BTreeMap<Name, Filter>,
    prefixes: BTreeMap<Name, Vec<PrefixRange>>,
    communities: BTreeMap<Name, Vec<CommunityPattern>>,
    paths: BTreeMap<Name, Vec<AsPathEntry>>,
}

impl<'a> Filters<'a> {
    pub(super) fn new(objects: &'a BTreeMap<String, Box<Object<BgpFilter>>>) -> Self {
        Self {
            objects,
            filters: BTreeMap::new(),
            prefixes: BTreeMap::new(),
            communities: BTreeMap::new(),
            paths: BTreeMap::new(),
        }
    }

    /// The filter made of the named BGPFilters and the default of the direction.
    pub(super) fn name(
        &mut self,
        subject: &str,
        names: &[String],
        direction: Direction,
        scope: Scope,
    ) -> Result<Name, Condition> {
        let mut rules = Vec::new();
        for name in names {
            let object = self.objects.get(name).ok_or_else(|| Condition {
                subject: subject.to_owned(),
                reason: Reason::FilterMissing,
                message: format!("no session: there is no BGPFilter {name}"),
            })?;
            let spec = &object.spec;
            let by_family = match direction {
                Direction::Import => [&spec.import_v4, &spec.import_v6],
                Direction::Export => [&spec.export_v4, &spec.export_v6],
            };
            for (family, list) in Family::ALL.into_iter().zip(by_family) {
                for rule in list.iter().filter(|rule| applies(rule, scope)) {
                    let made = self.rules(family, rule, direction).map_err(|message| Condition {
                        subject: format!("BGPFilter/{name}"),
                        reason: Reason::Unsupported,
                        message: format!("{subject} has no session: {message}"),
                    })?;
                    rules.extend(made);
                }
            }
        }
        Ok(self.intern_filter(rules, direction, scope))
    }

    /// Puts what was made into the document.
    pub(super) fn finish(self, config: &mut Config) {
        config.filters = self.filters;
        config.prefix_sets = self.prefixes;
        config.community_sets = self.communities;
        config.as_path_sets = self.paths;
    }

    fn intern_filter(&mut self, mut rules: Vec<Rule>, direction: Direction, scope: Scope) -> Name {
        let plain = rules.is_empty();
        let default = match direction {
            Direction::Import => Verdict::Accept,
            Direction::Export => {
                let sources = [Some(RouteSource::Local), scope.reflector.then_some(RouteSource::Ibgp)];
                rules.extend(sources.into_iter().flatten().map(|source| Rule {
                    condition: Match { source: Some(source), ..Match::default() },
                    set: SetActions::default(),
                    name: None,
                    call: None,
                    then: Verdict::Accept,
                }));
                Verdict::Reject
            }
        };
        let filter = Filter { rules, default };
        let name = match (plain, direction, scope.reflector) {
            (true, Direction::Import, _) => return fixed("accept-all"),
            (true, Direction::Export, false) => fixed("own"),
            (true, Direction::Export, true) => fixed("own-and-reflected"),
            (false, Direction::Import, _) => hashed("import", &filter),
            (false, Direction::Export, _) => hashed("export", &filter),
        };
        self.filters.insert(name.clone(), filter);
        name
    }

    /// A rule in bgpd's words: one for each alternative and each step.
    fn rules(
        &mut self,
        family: Family,
        rule: &FilterRule,
        direction: Direction,
    ) -> Result<Vec<Rule>, String> {
        let prefixes = match (rule.cidr, rule.match_operator) {
            (Some(cidr), Some(operator)) => Some(ranges(cidr, operator, rule.prefix_length)),
            _ => None,
        };
        let condition = Match {
            family: Some(family),
            prefix_set: prefixes.map(|ranges| intern(&mut self.prefixes, "prefixes", ranges)),
            community_set: rule.communities.as_ref().map(|wanted| {
                let values = wanted.values.iter().map(|value| community(*value).into()).collect();
                CommunityMatch::from(intern(&mut self.communities, "communities", values))
            }),
            as_path_set: (!rule.as_path_prefix.is_empty()).then(|| {
                let first = rule.as_path_prefix.iter().map(|asn| AsPathToken::Range(*asn, *asn));
                let pattern = AsPathPattern(first.chain([AsPathToken::Any]).collect());
                intern(&mut self.paths, "paths", vec![pattern.into()])
            }),
            ..Match::default()
        };
        let steps = steps(rule)?;
        // Learned from a peer means: from either kind of peer; what comes from the peer itself always is.
        let sources: &[Option<RouteSource>] = match (rule.source, direction) {
            (Some(_), Direction::Export) => &[Some(RouteSource::Ebgp), Some(RouteSource::Ibgp)],
            _ => &[None],
        };
        let with = |source: &Option<RouteSource>| {
            let condition = Match { source: *source, ..condition.clone() };
            let last = steps.len() - 1;
            let rule = move |(index, set)| Rule {
                condition: condition.clone(),
                set,
                name: None,
                call: None,
                then: if index < last { Verdict::Next } else { verdict(rule.action) },
            };
            steps.clone().into_iter().enumerate().map(rule)
        };
        Ok(sources.iter().flat_map(with).collect())
    }
}

/// Can the rule match anything of this session?
fn applies(rule: &FilterRule, scope: Scope) -> bool {
    match rule.peer_type {
        None => true,
        Some(PeerType::Ebgp) => scope.external,
        Some(PeerType::Ibgp) => !scope.external,
    }
}

const fn verdict(action: FilterAction) -> Verdict {
    match action {
        FilterAction::Accept => Verdict::Accept,
        FilterAction::Reject => Verdict::Reject,
    }
}

/// The changes that a rule makes, in as many steps as bgpd needs for them.
fn steps(rule: &FilterRule) -> Result<Vec<SetActions>, String> {
    let mut add: Vec<Community> = Vec::new();
    // What is prepended last stands first in the path.
    let mut prepends: Vec<PathPrepend> = Vec::new();
    for operation in &rule.operations {
        add.extend(operation.add_community.map(|operation| community(operation.value)));
    }
    for asn in rule.prepended() {
        match prepends.last_mut() {
            Some(last) if last.asn == Some(asn) && usize::from(last.count) < FilterRule::MOST_PREPENDED => {
                last.count += 1;
            }
            _ => prepends.push(PathPrepend { asn: Some(asn), count: 1 }),
        }
    }
    if let Some(objection) = rule.objection() {
        return Err(objection.to_owned());
    }
    let communities = CommunityChange { add, ..CommunityChange::default() };
    let first = SetActions { communities, prepend: prepends.first().copied(), ..SetActions::default() };
    let more = prepends
        .iter()
        .skip(1)
        .map(|prepend| SetActions { prepend: Some(*prepend), ..SetActions::default() });
    Ok(std::iter::once(first).chain(more).collect())
}

/// The prefixes that an operator selects.
fn ranges(cidr: Prefix, operator: MatchOperator, lengths: Option<PrefixLengthRange>) -> Vec<PrefixRange> {
    let bits = cidr.family().bits();
    let inside = |min: u8, max: u8| PrefixRange { prefix: cidr, ge: Some(min), le: Some(max) };
    let (min, max) = match operator {
        MatchOperator::Equal | MatchOperator::NotEqual => (cidr.len(), cidr.len()),
        MatchOperator::In | MatchOperator::NotIn => {
            let range = lengths.unwrap_or_default();
            (range.min.unwrap_or(0).max(cidr.len()), range.max.unwrap_or(bits).max(cidr.len()))
        }
    };
    match operator {
        MatchOperator::Equal | MatchOperator::In => vec![inside(min, max)],
        MatchOperator::NotEqual | MatchOperator::NotIn => {
            let mut rest = outside(cidr);
            if min > cidr.len() {
                rest.push(inside(cidr.len(), min - 1));
            }
            if max < bits {
                rest.push(inside(max + 1, bits));
            }
            rest
        }
    }
}

/// Every prefix that a prefix does not cover: the shorter ones, and at each of its bits the other half.
fn outside(cidr: Prefix) -> Vec<PrefixRange> {
    let (bits, all) = (cidr.family().bits(), Prefix::containing(cidr.family().unspecified(), 0));
    let mut found = Vec::new();
    if let (Some(prefix), Some(le)) = (all, cidr.len().checked_sub(1)) {
        found.push(PrefixRange { prefix, ge: Some(0), le: Some(le) });
    }
    for len in 1..=cidr.len() {
        let parent = Prefix::containing(cidr.addr(), len - 1);
        let halves = [0, 1].map(|half| parent.and_then(|parent| parent.subnet(len, half)));
        let other = halves.into_iter().flatten().find(|half| !half.covers(cidr));
        found.extend(other.map(|prefix| PrefixRange { prefix, ge: Some(len), le: Some(bits) }));
    }
    found
}

fn intern<T: std::fmt::Debug>(sets: &mut BTreeMap<Name, Vec<T>>, kind: &str, values: Vec<T>) -> Name {
    let name = hashed(kind, &values);
    sets.insert(name.clone(), values);
    name
}

fn fixed(name: &str) -> Name {
    name.parse().expect("letters and dashes")
}

/// A name made of the contents (FNV-1a, 64 bits).
fn hashed(kind: &str, contents: &impl std::fmt::Debug) -> Name {
    let text = format!("{contents:?}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    fixed(&format!("{kind}-{hash:016x}"))
}
