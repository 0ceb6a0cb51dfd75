//! Policies.

use super::route::{source, source_parts};
use super::{FieldError, address, address_bytes, all, each, prefix};
use crate::policy::{Counter, Difference, Direction, Explanation, SessionPolicy, Statement, Step, TestPage};
use crate::proto;

impl From<Direction> for proto::PolicyDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Import => Self::Import,
            Direction::Export => Self::Export,
        }
    }
}

impl Direction {
    /// From a request; `None`: both.
    ///
    /// # Errors
    /// If the number has no meaning.
    pub fn from_request(number: i32) -> Result<Option<Self>, FieldError> {
        match proto::PolicyDirection::try_from(number) {
            Ok(proto::PolicyDirection::Unspecified) => Ok(None),
            Ok(proto::PolicyDirection::Import) => Ok(Some(Self::Import)),
            Ok(proto::PolicyDirection::Export) => Ok(Some(Self::Export)),
            Err(_) => Err(FieldError::new("direction", number, "must be import or export")),
        }
    }

    /// From a request that must name one.
    ///
    /// # Errors
    /// If it does not.
    pub fn required(number: i32) -> Result<Self, FieldError> {
        Self::from_request(number)?
            .ok_or_else(|| FieldError::new("direction", number, "must be import or export"))
    }
}

impl From<Statement> for proto::PolicyStatement {
    fn from(Statement { filter, rule, name }: Statement) -> Self {
        Self { filter, rule, name }
    }
}

impl From<proto::PolicyStatement> for Statement {
    fn from(proto::PolicyStatement { filter, rule, name }: proto::PolicyStatement) -> Self {
        Self { filter, rule, name }
    }
}

impl From<SessionPolicy> for proto::SessionPolicy {
    fn from(policy: SessionPolicy) -> Self {
        let counter = |counter: Counter| proto::PolicyCounter {
            statement: Some(counter.statement.into()),
            hits: counter.hits,
        };
        Self {
            peer: address_bytes(policy.peer),
            direction: proto::PolicyDirection::from(policy.direction).into(),
            counters: policy.counters.into_iter().map(counter).collect(),
        }
    }
}

impl TryFrom<proto::SessionPolicy> for SessionPolicy {
    type Error = FieldError;

    fn try_from(message: proto::SessionPolicy) -> Result<Self, FieldError> {
        let counter = |counter: proto::PolicyCounter| Counter {
            statement: counter.statement.unwrap_or_default().into(),
            hits: counter.hits,
        };
        Ok(Self {
            peer: address("peer", &message.peer)?,
            direction: Direction::required(message.direction)?,
            counters: message.counters.into_iter().map(counter).collect(),
        })
    }
}

impl From<Explanation> for proto::PolicyExplanation {
    fn from(explanation: Explanation) -> Self {
        let (peer, owner) = source_parts(explanation.source);
        let step = |step: Step| proto::PolicyStep {
            statement: Some(step.statement.into()),
            depth: step.depth,
            matched: step.matched,
        };
        Self {
            peer,
            owner,
            steps: explanation.steps.into_iter().map(step).collect(),
            decider: explanation.decider.map(Into::into),
            reason: explanation.reason,
            before: Some(explanation.before.into()),
            after: explanation.after.map(Into::into),
        }
    }
}

impl TryFrom<proto::PolicyExplanation> for Explanation {
    type Error = FieldError;

    fn try_from(message: proto::PolicyExplanation) -> Result<Self, FieldError> {
        let step = |step: proto::PolicyStep| Step {
            statement: step.statement.unwrap_or_default().into(),
            depth: step.depth,
            matched: step.matched,
        };
        Ok(Self {
            source: source(&message.peer, &message.owner)?,
            steps: message.steps.into_iter().map(step).collect(),
            decider: message.decider.map(Into::into),
            reason: message.reason,
            before: message.before.unwrap_or_default().try_into()?,
            after: message.after.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<Difference> for proto::PolicyDifference {
    fn from(difference: Difference) -> Self {
        Self {
            prefix: Some(difference.prefix.into()),
            now: Some(difference.now.into()),
            then: Some(difference.then.into()),
        }
    }
}

impl TryFrom<proto::PolicyDifference> for Difference {
    type Error = FieldError;

    fn try_from(message: proto::PolicyDifference) -> Result<Self, FieldError> {
        Ok(Self {
            prefix: prefix(message.prefix.as_ref())?,
            now: message.now.unwrap_or_default().try_into()?,
            then: message.then.unwrap_or_default().try_into()?,
        })
    }
}

impl From<TestPage> for proto::TestPolicyResponse {
    fn from(page: TestPage) -> Self {
        Self {
            differences: each(page.differences),
            examined: page.examined,
            accepted_now: page.accepted_now,
            accepted_then: page.accepted_then,
            different: page.different,
        }
    }
}

impl TryFrom<proto::TestPolicyResponse> for TestPage {
    type Error = FieldError;

    fn try_from(message: proto::TestPolicyResponse) -> Result<Self, FieldError> {
        Ok(Self {
            differences: all(message.differences)?,
            examined: message.examined,
            accepted_now: message.accepted_now,
            accepted_then: message.accepted_then,
            different: message.different,
        })
    }
}
