//! Policies as other programs see them.

use std::fmt;
use std::net::IpAddr;

use cairn_net::Prefix;
use serde::Serialize;

use crate::route::{Attributes, RouteSource};

/// Which way routes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the neighbour.
    Import,
    /// To the neighbour.
    Export,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Import => "import",
            Self::Export => "export",
        })
    }
}

/// A rule of a filter, or the end of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// Empty: the end of the policy.
    pub filter: String,
    /// Counted from 1; 0: the filter's default.
    pub rule: u32,
    /// The rule's name, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl fmt::Display for Statement {
    /// `from-tor rule 2 (drain)`, `from-tor default`, `end of the policy`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.filter.as_str(), self.rule) {
            ("", _) => f.write_str("end of the policy")?,
            (filter, 0) => write!(f, "{filter} default")?,
            (filter, rule) => write!(f, "{filter} rule {rule}")?,
        }
        if self.name.is_empty() { Ok(()) } else { write!(f, " ({})", self.name) }
    }
}

/// The policy of one direction of a neighbour, with what it matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SessionPolicy {
    /// The neighbour.
    pub peer: IpAddr,
    /// Which way.
    pub direction: Direction,
    /// Statements in order, called filters after those that call them; empty without policy.
    pub counters: Vec<Counter>,
}

/// A statement with how many routes it matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counter {
    /// Which.
    #[serde(flatten)]
    pub statement: Statement,
    /// Import: paths that came or were judged anew. Export: routes that became best or were sent again, over all neighbours that
    /// are told the same.
    pub hits: u64,
}

/// What a policy makes of a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Whom the route comes from.
    pub source: RouteSource,
    /// Every statement that was asked, in order.
    pub steps: Vec<Step>,
    /// The one that decided; `None`: no policy was asked.
    pub decider: Option<Statement>,
    /// Why the route is not used, or not sent, whatever the policy says.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// As it came (import), or as it is used (export).
    pub before: Attributes,
    /// As it is used (import), or as it is sent (export); `None`: it is not.
    pub after: Option<Attributes>,
}

/// A statement that was asked about a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// Which.
    #[serde(flatten)]
    pub statement: Statement,
    /// How many calls deep.
    pub depth: u32,
    /// It matched.
    pub matched: bool,
}

/// What another policy would change about a route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The prefix.
    pub prefix: Prefix,
    /// With the policy in force.
    pub now: Explanation,
    /// With the other one.
    pub then: Explanation,
}

/// A piece of what another policy would change, and the sums up to here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TestPage {
    /// Routes that would be treated differently.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
    /// Routes that were looked at.
    pub examined: u64,
    /// Used, or sent, now.
    pub accepted_now: u64,
    /// With the other policy.
    pub accepted_then: u64,
    /// Treated differently.
    pub different: u64,
}

impl TestPage {
    /// Adds the sums of another page; its differences are left to it.
    pub fn add(&mut self, page: &Self) {
        self.examined += page.examined;
        self.accepted_now += page.accepted_now;
        self.accepted_then += page.accepted_then;
        self.different += page.different;
    }
}
