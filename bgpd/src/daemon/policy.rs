//! Policies looked at, for `cairnctl bgp policy`.

use std::net::IpAddr;
use std::sync::Arc;

use bgp_core::policy::Policy;
use bgp_core::rib::RouteAttributes;
use bgp_core::speaker::{self, PolicyDirection, PolicyPage};
use bgpd_api::policy::{
    Counter, Difference, Direction, Explanation, SessionPolicy, Statement, Step, TestPage,
};
use cairn_net::Prefix;

use super::view::{attributes, source};
use super::{Daemon, Refused};

/// Places of the table that are looked at in one turn, and fewer the longer the candidate is: each takes two evaluations.
const PLACES: std::ops::RangeInclusive<usize> = 16..=1024;
/// Statements of the candidate that are asked in one turn, or about that many.
const STATEMENTS: usize = 1 << 16;

/// Where a test goes on: the next place of the table.
pub(crate) type TestCursor = PolicyPage;

const BOTH: [Direction; 2] = [Direction::Import, Direction::Export];

impl Daemon {
    /// The statements of policies with their counts.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub(crate) fn policies(
        &self,
        peer: Option<IpAddr>,
        way: Option<Direction>,
    ) -> Result<Vec<SessionPolicy>, Refused> {
        let peers: Vec<IpAddr> = match peer {
            Some(peer) => vec![peer],
            None => self.speaker.peers().into_iter().map(|peer| peer.address).collect(),
        };
        let mut policies = Vec::new();
        for peer in peers {
            for direction in BOTH.into_iter().filter(|direction| way.is_none_or(|way| way == *direction)) {
                let hits =
                    self.speaker.policy_hits(peer, core(direction)).ok_or(Refused::UnknownPeer(peer))?;
                let counters = hits
                    .into_iter()
                    .map(|counted| Counter { statement: statement(counted.statement), hits: counted.hits });
                policies.push(SessionPolicy { peer, direction, counters: counters.collect() });
            }
        }
        Ok(policies)
    }

    /// Sets those counts to zero.
    ///
    /// # Errors
    /// If there is no such neighbour.
    pub(crate) fn reset_policy_counters(
        &self,
        peer: Option<IpAddr>,
        way: Option<Direction>,
    ) -> Result<(), Refused> {
        peer.map_or(Ok(()), |peer| self.known(peer))?;
        self.speaker.reset_policy_hits(peer, way.map(core));
        Ok(())
    }

    /// What a neighbour's policy makes of the routes to a prefix.
    ///
    /// # Errors
    /// If there is no such neighbour, or it has no session.
    pub(crate) fn explain_policy(
        &self,
        peer: IpAddr,
        way: Direction,
        prefix: Prefix,
    ) -> Result<Vec<Explanation>, Refused> {
        self.known(peer)?;
        let found = self.speaker.explain_policy(peer, core(way), prefix).ok_or(Refused::NoSession(peer))?;
        Ok(found.into_iter().map(explanation).collect())
    }

    /// A part of what a candidate would change, and where to go on, if anywhere.
    ///
    /// # Errors
    /// If there is no such neighbour, or it has no session.
    pub(crate) fn test_policy(
        &self,
        peer: IpAddr,
        way: Direction,
        candidate: &Arc<Policy>,
        from: TestCursor,
    ) -> Result<(TestPage, Option<TestCursor>), Refused> {
        self.known(peer)?;
        let places = (STATEMENTS / candidate.statements().count()).clamp(*PLACES.start(), *PLACES.end());
        let places = u32::try_from(places).unwrap_or(u32::MAX);
        let (differences, tally, next) = self
            .speaker
            .test_policy(peer, core(way), candidate, (from, places))
            .ok_or(Refused::NoSession(peer))?;
        let differences = differences.into_iter().map(|difference| Difference {
            prefix: difference.prefix,
            now: explanation(difference.now),
            then: explanation(difference.then),
        });
        let page = TestPage {
            differences: differences.collect(),
            examined: tally.examined,
            accepted_now: tally.accepted_now,
            accepted_then: tally.accepted_then,
            different: tally.different,
        };
        Ok((page, next))
    }

    /// The local AS of the running configuration.
    ///
    /// # Errors
    /// If there is none yet.
    pub(crate) fn local_as(&self) -> Result<cairn_net::Asn, Refused> {
        self.running.as_ref().map(|running| running.config.local_as).ok_or(Refused::NotConfigured)
    }
}

const fn core(direction: Direction) -> PolicyDirection {
    match direction {
        Direction::Import => PolicyDirection::Import,
        Direction::Export => PolicyDirection::Export,
    }
}

fn statement(from: speaker::Statement) -> Statement {
    let number = |place: usize| u32::try_from(place + 1).unwrap_or(u32::MAX);
    Statement {
        filter: from.filter.unwrap_or_default(),
        rule: from.rule.map_or(0, number),
        name: from.name.unwrap_or_default(),
    }
}

fn explanation(from: speaker::PolicyExplanation) -> Explanation {
    let step = |step: speaker::ExplainedStep| Step {
        statement: statement(step.statement),
        depth: u32::try_from(step.depth).unwrap_or(u32::MAX),
        matched: step.matched,
    };
    let shown = |route: Arc<RouteAttributes>| attributes(&route);
    Explanation {
        source: source(from.source),
        steps: from.steps.into_iter().map(step).collect(),
        decider: from.decider.map(statement),
        reason: from.reason,
        before: shown(from.before),
        after: from.after.map(shown),
    }
}
