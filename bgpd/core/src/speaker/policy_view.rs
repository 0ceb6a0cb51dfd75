//! Policies looked at: what they matched, why a route is where it is, what another policy would change.

use std::net::IpAddr;
use std::sync::Arc;

use cairn_net::Prefix;

use super::establish::import_rules;
use super::peer::Peer;
use super::{RouteSource, Speaker};
use crate::policy::{Decider, Policy, TraceStep, Verdict};
use crate::rib::{Best, ImportRules, NetId, Rejection, RouteAttributes, Treatment};

/// Which way routes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyDirection {
    /// From the peer.
    Import,
    /// To the peer.
    Export,
}

/// A statement of a policy, by name and number; see [`Decider`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statement {
    /// The filter; `None`: the end of the policy, or no policy at all.
    pub filter: Option<String>,
    /// The rule's place, from zero; `None`: the filter's default.
    pub rule: Option<usize>,
    /// The rule's name.
    pub name: Option<String>,
}

impl From<Decider<'_>> for Statement {
    fn from(decider: Decider<'_>) -> Self {
        Self {
            filter: decider.filter.map(str::to_owned),
            rule: decider.rule,
            name: decider.name.map(str::to_owned),
        }
    }
}

/// How often a statement matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementHits {
    /// Which.
    pub statement: Statement,
    /// Routes that it matched: on import those that came or were judged anew, on export those that became best or were sent again.
    pub hits: u64,
}

/// A statement that was asked about a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedStep {
    /// Which.
    pub statement: Statement,
    /// How many calls deep.
    pub depth: usize,
    /// It matched.
    pub matched: bool,
}

/// What a policy makes of a route.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyExplanation {
    /// Where the route comes from.
    pub source: RouteSource,
    /// Every statement that was asked, in order.
    pub steps: Vec<ExplainedStep>,
    /// The one that decided; `None`: no policy was asked.
    pub decider: Option<Statement>,
    /// Why the route is not used, or not sent, whatever the policy says. Empty: there is no such reason.
    pub reason: String,
    /// As it came (import), or as it is used (export).
    pub before: Arc<RouteAttributes>,
    /// As it is used (import), or as it is sent (export); `None`: it is not.
    pub after: Option<Arc<RouteAttributes>>,
}

/// What another policy would change about a route.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyDifference {
    /// The prefix.
    pub prefix: Prefix,
    /// With the policy in force.
    pub now: PolicyExplanation,
    /// With the other one.
    pub then: PolicyExplanation,
}

/// How many routes were looked at, and what would become of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyTally {
    /// Routes.
    pub examined: u64,
    /// Used, or sent, now.
    pub accepted_now: u64,
    /// With the other policy.
    pub accepted_then: u64,
    /// Treated differently in any way.
    pub different: u64,
}

/// Where to go on with a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyPage(u32);

/// Evaluates one direction of a peer with its own policy or another one.
enum Evaluator {
    Import(ImportRules),
    Export(Box<Treatment>),
}

impl Speaker {
    /// The statements of a peer's policy with their counts; empty without policy. `None`: there is no such peer.
    ///
    /// Export counts are those of all peers that are told the same; they begin anew with a session.
    pub fn policy_hits(&self, peer: IpAddr, direction: PolicyDirection) -> Option<Vec<StatementHits>> {
        let peer = &self.peers[*self.by_address.get(&peer)?];
        let group = peer.session.as_ref().map(|session| &self.rib.groups[session.group].group);
        let (policy, hits) = match direction {
            PolicyDirection::Import => (peer.config.import.as_ref(), peer.import_hits.read()),
            PolicyDirection::Export => {
                (peer.config.export.as_ref(), group.map(|group| group.hits.read()).unwrap_or_default())
            }
        };
        let counts = hits.into_iter().chain(std::iter::repeat(0));
        let statements = policy.into_iter().flat_map(|policy| policy.statements()).zip(counts);
        Some(
            statements.map(|(statement, hits)| StatementHits { statement: statement.into(), hits }).collect(),
        )
    }

    /// Sets counts of policies to zero.
    pub fn reset_policy_hits(&self, peer: Option<IpAddr>, direction: Option<PolicyDirection>) {
        let wanted = |peer_of: &&Peer| peer.is_none_or(|address| address == peer_of.address);
        for peer in self.peers.iter().map(|(_, peer)| peer).filter(wanted) {
            if direction != Some(PolicyDirection::Export) {
                peer.import_hits.reset();
            }
            if direction != Some(PolicyDirection::Import)
                && let Some(session) = &peer.session
            {
                self.rib.groups[session.group].group.hits.reset();
            }
        }
    }

    /// What a peer's policy makes of the routes to a prefix: each path of its Adj-RIB-In, or the best path. `None`: the peer has no session.
    pub fn explain_policy(
        &self,
        peer: IpAddr,
        direction: PolicyDirection,
        prefix: Prefix,
    ) -> Option<Vec<PolicyExplanation>> {
        let peer = &self.peers[*self.by_address.get(&peer)?];
        let evaluator = self.evaluator(peer, direction)?;
        let Some(net) = self.rib.table.find(prefix) else { return Some(Vec::new()) };
        Some(
            self.policy_routes(peer, direction, net)
                .filter_map(|best| self.explained(&evaluator, prefix, &best))
                .collect(),
        )
    }

    /// A part of what another policy would change for a peer: about `limit` prefixes are looked at. `None`: the peer has no session.
    pub fn test_policy(
        &self,
        peer: IpAddr,
        direction: PolicyDirection,
        candidate: &Arc<Policy>,
        (page, limit): (PolicyPage, u32),
    ) -> Option<(Vec<PolicyDifference>, PolicyTally, Option<PolicyPage>)> {
        let peer = &self.peers[*self.by_address.get(&peer)?];
        let now = self.evaluator(peer, direction)?;
        let then = self.evaluator(peer, direction)?.with(candidate, peer.address);
        let (mut differences, mut tally) = (Vec::new(), PolicyTally::default());
        let places = u32::try_from(self.rib.table.nets.places()).unwrap_or(u32::MAX);
        let end = page.0.saturating_add(limit).min(places);
        for net in (page.0..end).map(<NetId as crate::rib::slab::SlabId>::from_place) {
            let Some(prefix) = self.rib.table.nets.get(net).map(|net| net.prefix) else { continue };
            for best in self.policy_routes(peer, direction, net) {
                let outcome = |evaluator| self.explained(evaluator, prefix, &best);
                let (Some(mut now), Some(mut then)) = (outcome(&now), outcome(&then)) else { continue };
                // What decided is enough here: every statement for every route would make a page as large as the filters.
                (now.steps, then.steps) = (Vec::new(), Vec::new());
                tally.examined += 1;
                tally.accepted_now += u64::from(now.after.is_some());
                tally.accepted_then += u64::from(then.after.is_some());
                if now.after != then.after {
                    tally.different += 1;
                    differences.push(PolicyDifference { prefix, now, then });
                }
            }
        }
        Some((differences, tally, (end < places).then_some(PolicyPage(end))))
    }

    fn evaluator(&self, peer: &Peer, direction: PolicyDirection) -> Option<Evaluator> {
        let session = peer.session.as_ref()?;
        Some(match direction {
            PolicyDirection::Import => {
                Evaluator::Import(import_rules(self.config.as_ref()?, peer, session.import.local))
            }
            PolicyDirection::Export => {
                Evaluator::Export(Box::new(self.rib.groups[session.group].group.treatment.clone()))
            }
        })
    }

    /// The routes of a prefix that a direction's policy is asked about.
    fn policy_routes<'a>(
        &'a self,
        peer: &Peer,
        direction: PolicyDirection,
        net: NetId,
    ) -> impl Iterator<Item = Best> + 'a {
        let (table, me) = (&self.rib.table, peer.source);
        let import = direction == PolicyDirection::Import;
        let received = table.paths_of(net).filter(move |(_, path)| import && path.source == me);
        let received =
            received.map(|(_, path)| Best { attributes: Arc::clone(&path.received), source: path.source });
        received.chain(table.best(net).filter(move |best| !import && best.source != me))
    }

    fn explained(&self, evaluator: &Evaluator, prefix: Prefix, best: &Best) -> Option<PolicyExplanation> {
        let source = &self.rib.table.sources[best.source];
        let route = &best.attributes;
        let mut explanation = PolicyExplanation {
            source: self.rib.names.get(&best.source)?.clone(),
            steps: Vec::new(),
            decider: None,
            reason: String::new(),
            before: Arc::clone(route),
            after: None,
        };
        match evaluator {
            Evaluator::Import(rules) => {
                // What the policy is asked about is the route after its well-known communities were heeded.
                let prepared = rules.prepared_view(route);
                if let Err(rejection) = rules.check(route) {
                    explanation.reason = rejection.to_string();
                } else if rules.is_blackhole_too_short(prefix, &prepared) {
                    explanation.reason = Rejection::BlackholeTooShort.to_string();
                } else if let Some(policy) = &rules.policy {
                    let (verdict, steps) = policy.trace(&rules.view(prefix, &prepared));
                    explanation.decided(&verdict, &steps);
                    explanation.after = rules.used(&prepared, verdict);
                } else {
                    explanation.after = Some(prepared);
                }
            }
            Evaluator::Export(treatment) => {
                let family = prefix.family();
                if !treatment.may_be_told(family, route, source) {
                    "its communities, route reflection, the families of the session or a missing policy (RFC 8212) keep it \
                     from this peer"
                        .clone_into(&mut explanation.reason);
                    return Some(explanation);
                }
                let filtered = match &treatment.policy {
                    None => treatment.filter(prefix, route, source).0,
                    Some(policy) => {
                        let (verdict, steps) = policy.trace(&treatment.view(prefix, route, source));
                        explanation.decided(&verdict, &steps);
                        Treatment::passed(verdict)
                    }
                };
                let told = filtered
                    .as_ref()
                    .and_then(|filtered| treatment.transform(family, route, filtered, source));
                if filtered.is_some() && told.is_none() {
                    "there is no next hop that this peer could use".clone_into(&mut explanation.reason);
                }
                explanation.after =
                    told.map(|(attributes, hop)| Arc::new(RouteAttributes::detached(attributes, hop)));
            }
        }
        Some(explanation)
    }
}

impl PolicyExplanation {
    fn decided(&mut self, verdict: &Verdict<'_>, steps: &[TraceStep<'_>]) {
        self.steps = steps
            .iter()
            .map(|step| ExplainedStep {
                statement: step.statement.into(),
                depth: step.depth,
                matched: step.matched,
            })
            .collect();
        let decider = match verdict {
            Verdict::Accept(accepted) => accepted.decider,
            Verdict::Reject(decider) => *decider,
        };
        self.decider = Some(decider.into());
    }
}

impl Evaluator {
    /// The same direction with another policy.
    fn with(self, candidate: &Arc<Policy>, peer: IpAddr) -> Self {
        match self {
            Self::Import(rules) => {
                Self::Import(ImportRules { policy: Some(Arc::clone(candidate)), denied: false, ..rules })
            }
            Self::Export(treatment) => Self::Export(Box::new(Treatment {
                policy: Some(Arc::clone(candidate)),
                peer_address: Some(peer),
                denied: false,
                ..*treatment
            })),
        }
    }
}

impl ImportRules {
    /// A path as it is used after the policy's word; `None`: it is not.
    fn used(&self, route: &Arc<RouteAttributes>, verdict: Verdict<'_>) -> Option<Arc<RouteAttributes>> {
        let Verdict::Accept(accepted) = verdict else { return None };
        let next_hop = self.next_hop(route, accepted.next_hop);
        Some(Arc::new(RouteAttributes::detached(accepted.attributes.into_owned(), next_hop)))
    }
}
